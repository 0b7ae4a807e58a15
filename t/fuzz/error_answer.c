/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: error bodies and header fields, and the verdicts over them for every vendor. */
#include <string.h>

#include "error_answer.h"
#include "fuzz.h"
#include "verdict.h"
#include "opening.h"
#include "retry_after.h"

#define NOW apr_time_from_sec(1795348800)

static int is_text(const char *field, size_t size)
{
    return memchr(field, '\0', size) != NULL;
}

static void check_answer(const char *body, size_t len)
{
    apipool_error_answer_t answer;
    memset(&answer, 'x', sizeof(answer));
    apipool_error_answer_read(body, len, &answer);
    MUST(is_text(answer.type, sizeof(answer.type)));
    MUST(is_text(answer.code, sizeof(answer.code)));
    MUST(is_text(answer.reason, sizeof(answer.reason)));
    MUST(is_text(answer.quota, sizeof(answer.quota)));
    MUST(answer.reset_at >= 0);
    MUST(is_text(answer.message, sizeof(answer.message)));
    MUST(answer.retry_in >= -1);
}

/* A part decides as the whole does, or not at all; what is complete is decided. */
static void check_opening(apr_pool_t *pool, const char *body, size_t len)
{
    for (int only_first = 0; only_first < 2; only_first++) {
        apipool_opens_e half = apipool_opening_of_document(body, len / 2, 0, only_first);
        apipool_opens_e opens = apipool_opening_of_document(body, len, 0, only_first);
        apipool_opens_e complete = apipool_opening_of_document(body, len, 1, only_first);
        MUST(half == APIPOOL_OPENS_NEITHER || half == opens);
        MUST(complete != APIPOOL_OPENS_NEITHER);
        MUST(opens != APIPOOL_OPENS_ERROR || complete == APIPOOL_OPENS_ERROR);
    }
    apipool_ends_e ends = APIPOOL_ENDS_ANYHOW;
    apipool_sse_event_t event = {"", fuzz_text(pool, body, len), len};
    apipool_opens_e opens = apipool_opening_of_event(&event, &ends);
    apipool_opening_finishes(body, len);
    MUST(!apipool_error_answer_is_error(body, len) || opens == APIPOOL_OPENS_ERROR);
}

static int blames_the_key(const apipool_verdict_t *verdict)
{
    return verdict->event == APIPOOL_EVENT_RATE_LIMITED ||
           verdict->event == APIPOOL_EVENT_QUOTA_SPENT || verdict->event == APIPOOL_EVENT_REJECTED;
}

/* Checks the verdicts allowed for each status, whatever the body holds. */
static void check_status(int status, const apipool_verdict_t *verdict)
{
    apipool_rule_e rule = verdict->rule;
    if (status < 400) {
        MUST(rule == APIPOOL_RULE_SUCCESS);
    }
    else if (status >= 500) {
        MUST((status == 500 && (rule == APIPOOL_RULE_QUOTA || rule == APIPOOL_RULE_CREDENTIAL)) ||
             rule == APIPOOL_RULE_CLIENT_ERROR || rule == APIPOOL_RULE_UPSTREAM_ERROR ||
             rule == APIPOOL_RULE_OVERLOADED);
    }
    else {
        MUST(rule >= APIPOOL_RULE_QUOTA && rule <= APIPOOL_RULE_OVERLOADED &&
             rule != APIPOOL_RULE_SHARED_FATE);
        MUST(rule != APIPOOL_RULE_UPSTREAM_ERROR);
    }
    if (status == 402) {
        MUST(rule == APIPOOL_RULE_QUOTA || rule == APIPOOL_RULE_RATE_LIMIT);
    }
    if (status == 413) {
        MUST(rule == APIPOOL_RULE_CLIENT_ERROR);
    }
    if (status == 401 || status == 403 || status == 429) {
        MUST(rule == APIPOOL_RULE_NO_MODEL || rule == APIPOOL_RULE_CLIENT_ERROR ||
             rule == APIPOOL_RULE_OVERLOADED || blames_the_key(verdict));
    }
}

static void check_rule(const apipool_verdict_t *verdict)
{
    int is_custom = verdict->rule >= APIPOOL_RULE_CUSTOM;
    MUST(verdict->rule < APIPOOL_RULE_COUNT && verdict->event < APIPOOL_EVENT_COUNT);
    MUST(apipool_rule_name(verdict->rule)[0] == (is_custom ? 'C' : 'R'));
    MUST(verdict->upstream_fault == (verdict->scope == APIPOOL_SCOPE_UPSTREAM));
    if (verdict->rule == APIPOOL_RULE_CLIENT_ERROR || verdict->rule == APIPOOL_RULE_NO_MODEL) {
        MUST(verdict->event == APIPOOL_EVENT_NONE);
    }
    if (verdict->scope == APIPOOL_SCOPE_CLIENT || verdict->scope == APIPOOL_SCOPE_UPSTREAM ||
        verdict->scope == APIPOOL_SCOPE_NONE) {
        MUST(!blames_the_key(verdict));
    }
    if (verdict->retry_at) {
        MUST(verdict->event == APIPOOL_EVENT_RATE_LIMITED || verdict->upstream_fault);
        MUST(verdict->retry_at > NOW && verdict->retry_at <= NOW + apr_time_from_sec(25 * 3600));
    }
}

static void check_verdict(const apipool_evidence_t *evidence)
{
    apipool_verdict_t verdict = apipool_verdict(evidence);
    check_rule(&verdict);
    if (evidence->phase != APIPOOL_PHASE_ANSWERED) {
        MUST(verdict.event == APIPOOL_EVENT_NONE);
        MUST(verdict.action == APIPOOL_STOP || verdict.action == APIPOOL_RETRY);
    }
    else if (evidence->in_band) {
        MUST(verdict.rule != APIPOOL_RULE_SUCCESS);
    }
    else if (verdict.rule < APIPOOL_RULE_CUSTOM) {
        check_status(evidence->status, &verdict);
    }
}

static void check_headroom(const apipool_evidence_t *evidence)
{
    apr_time_t until;
    double share =
        apipool_retry_after_headroom(evidence->headers, evidence->provider, evidence->now, &until);
    MUST(share == -1 || (share >= 0 && share <= 1));
    MUST(share < 0 ? until == 0 : until > NOW && until <= NOW + APIPOOL_RETRY_AFTER_MAX);
}

/* Reads the first line: "429", then a blank and the phase as a digit, then "!" for replay safe, "+"
 * for an error in band, "#" for the pool's own rules, a letter for the vendor. */
static size_t read_first(const char *text, size_t size, apipool_evidence_t *evidence)
{
    static const apipool_custom_rule_t custom[] = {
        {{{400, 499}, {200, 200}}, 2, "frozen", APIPOOL_ROTATE, APIPOOL_SCOPE_ACCOUNT},
        {{{500, 599}}, 1, "frozen", APIPOOL_STOP, APIPOOL_SCOPE_UPSTREAM},
    };
    size_t at = 0;
    while (at < size && text[at] >= '0' && text[at] <= '9' && evidence->status < 100) {
        evidence->status = evidence->status * 10 + text[at++] - '0';
    }
    if (at + 1 < size && text[at] == ' ' && text[at + 1] >= '0' && text[at + 1] <= '4') {
        evidence->phase = (apipool_phase_e)(text[at + 1] - '0');
        at += 2;
    }
    for (; at < size && text[at] != '\n'; at++) {
        evidence->replay_safe |= text[at] == '!';
        evidence->in_band |= text[at] == '+';
        if (text[at] == '#') {
            evidence->custom = custom;
            evidence->custom_count = 2;
        }
        if (text[at] >= 'a' && text[at] < 'a' + APIPOOL_PROVIDER_COUNT) {
            evidence->provider = (apipool_provider_e)(text[at] - 'a');
        }
    }
    return at + (at < size);
}

/* Reads lines of the form ">Name: value" before the body. */
static size_t read_headers(apr_pool_t *pool, const char *text, size_t size, apr_table_t *headers)
{
    size_t at = 0;
    while (at < size && text[at] == '>') {
        const char *eol = memchr(text + at, '\n', size - at);
        size_t len = eol ? (size_t)(eol - text) - at : size - at;
        char *line = fuzz_text(pool, text + at + 1, len - 1);
        char *value = strchr(line, ':');
        if (value) {
            *value++ = '\0';
            apr_table_addn(headers, line, value + (*value == ' '));
        }
        at += len + (eol != NULL);
    }
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED, .now = NOW};

    apr_pool_t *pool = fuzz_pool();
    apr_table_t *headers = apr_table_make(pool, 8);
    size_t at = read_first(text, size, &evidence);
    at += read_headers(pool, text + at, size - at, headers);
    evidence.headers = headers;
    evidence.body = text + at;
    evidence.body_len = size - at;
    check_answer(evidence.body, evidence.body_len);
    check_opening(pool, evidence.body, evidence.body_len);
    check_verdict(&evidence);
    check_headroom(&evidence);
    apr_pool_destroy(pool);
    return 0;
}
