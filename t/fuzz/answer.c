/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: error bodies, and the verdicts over them. The first line is status and phase. */
#include <string.h>

#include "answer.h"
#include "fuzz.h"
#include "verdict.h"
#include "when.h"

#define NOW apr_time_from_sec(1795348800)

static int is_text(const char *field, size_t size)
{
    return memchr(field, '\0', size) != NULL;
}

static void check_answer(const char *body, size_t len)
{
    apipool_answer_t answer;
    memset(&answer, 'x', sizeof(answer));
    apipool_answer_read(body, len, &answer);
    MUST(is_text(answer.type, sizeof(answer.type)));
    MUST(is_text(answer.code, sizeof(answer.code)));
    MUST(is_text(answer.reason, sizeof(answer.reason)));
    MUST(is_text(answer.message, sizeof(answer.message)));
    MUST(answer.retry_in >= -1);
}

static int blames_the_key(const apipool_verdict_t *verdict)
{
    return verdict->event != APIPOOL_EVENT_NONE && verdict->event != APIPOOL_EVENT_SUCCESS;
}

/* What may be said of each status, whatever the body holds. */
static void check_status(int status, const apipool_verdict_t *verdict)
{
    if (status < 400) {
        MUST(verdict->rule == APIPOOL_R00);
    }
    else if (status >= 500) {
        MUST(verdict->rule == APIPOOL_R11 || verdict->rule == APIPOOL_R12);
    }
    else {
        MUST(verdict->rule >= APIPOOL_R05 && verdict->rule <= APIPOOL_R11);
    }
    if (status == 402 || status == 429 || (status == 401 && verdict->rule != APIPOOL_R11)) {
        MUST(blames_the_key(verdict) && verdict->action == APIPOOL_ROTATE);
    }
}

static void check_verdict(const apipool_evidence_t *evidence)
{
    apipool_verdict_t verdict = apipool_verdict(evidence);
    MUST(verdict.rule < APIPOOL_RULE_COUNT && verdict.event < APIPOOL_EVENT_COUNT);
    MUST(apipool_rule_name(verdict.rule)[0] == 'R');
    if (evidence->phase == APIPOOL_PHASE_ANSWERED) {
        check_status(evidence->status, &verdict);
    }
    else {
        MUST(verdict.event == APIPOOL_EVENT_NONE);
        MUST(verdict.action == APIPOOL_STOP || verdict.action == APIPOOL_RETRY);
    }
    if (verdict.scope == APIPOOL_SCOPE_CLIENT || verdict.scope == APIPOOL_SCOPE_UPSTREAM) {
        MUST(!blames_the_key(&verdict));
    }
    if (verdict.retry_at) {
        MUST(verdict.rule == APIPOOL_R07);
        MUST(verdict.retry_at > NOW && verdict.retry_at <= NOW + APIPOOL_WHEN_MAX);
    }
}

/* "429", "429 2" or, for a phase that is replay safe, "0 2!" and a newline before the body. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED, .now = NOW};
    size_t at = 0;

    while (at < size && text[at] >= '0' && text[at] <= '9' && evidence.status < 100) {
        evidence.status = evidence.status * 10 + text[at++] - '0';
    }
    if (at + 1 < size && text[at] == ' ' && text[at + 1] >= '0' && text[at + 1] <= '4') {
        evidence.phase = (apipool_phase_e)(text[at + 1] - '0');
        at += 2;
    }
    while (at < size && text[at] != '\n') {
        evidence.replay_safe |= text[at++] == '!';
    }
    at += at < size;
    evidence.body = text + at;
    evidence.body_len = size - at;
    check_answer(evidence.body, evidence.body_len);
    check_verdict(&evidence);
    return 0;
}
