/* SPDX-License-Identifier: Apache-2.0
 * Verdict on an attempt: the rules. */
#include "verdict.h"

#include <apr_lib.h>
#include <string.h>

#include "ascii.h"
#include "error_answer.h"
#include "retry_after.h"
#include "retry_words.h"

/* Consequences of each rule; absent fields have default values. The rows of a pool's own rules,
 * behind the built-in ones, are empty. */
static const apipool_rule_t rules[APIPOOL_RULE_COUNT] = {
    [APIPOOL_RULE_SUCCESS] = {.id = "R00",
                              .meaning = "the upstream has served the request",
                              .action = APIPOOL_PASS,
                              .event = APIPOOL_EVENT_SUCCESS},
    [APIPOOL_RULE_CLIENT_GONE] = {.id = "R01",
                                  .meaning = "the client went away before the answer was complete",
                                  .kind = APIPOOL_KIND_CLIENT,
                                  .action = APIPOOL_STOP,
                                  .scope = APIPOOL_SCOPE_CLIENT,
                                  .costs_prompt = 1,
                                  .says = APIPOOL_SAYS_NOTHING},
    [APIPOOL_RULE_BROKE_OFF] = {.id = "R02",
                                .meaning = "the answer broke off after its first byte",
                                .kind = APIPOOL_KIND_UPSTREAM,
                                .action = APIPOOL_STOP,
                                .scope = APIPOOL_SCOPE_UPSTREAM,
                                .upstream_fault = 1,
                                .costs_prompt = 1},
    [APIPOOL_RULE_NOT_SENT] = {.id = "R03",
                               .meaning = "the upstream could not be connected",
                               .kind = APIPOOL_KIND_UPSTREAM,
                               .action = APIPOOL_RETRY,
                               .scope = APIPOOL_SCOPE_UPSTREAM,
                               .upstream_fault = 1},
    [APIPOOL_RULE_NO_ANSWER] = {.id = "R04",
                                .meaning = "the upstream took the request and did not answer",
                                .kind = APIPOOL_KIND_UPSTREAM,
                                .action = APIPOOL_STOP,
                                .scope = APIPOOL_SCOPE_UPSTREAM,
                                .upstream_fault = 1,
                                .costs_prompt = 1},
    [APIPOOL_RULE_QUOTA] = {.id = "R05",
                            .meaning =
                                "the quota or the balance of the key or its account is spent",
                            .kind = APIPOOL_KIND_KEY,
                            .action = APIPOOL_ROTATE,
                            .scope = APIPOOL_SCOPE_ACCOUNT,
                            .event = APIPOOL_EVENT_QUOTA_SPENT,
                            .blames = APIPOOL_BLAMES_KEY,
                            .breaker = APIPOOL_BREAKER_REFUSED,
                            .says = APIPOOL_SAYS_EXHAUSTED},
    [APIPOOL_RULE_CREDENTIAL] = {.id = "R06",
                                 .meaning = "the upstream rejects the credential",
                                 .kind = APIPOOL_KIND_KEY,
                                 .action = APIPOOL_ROTATE,
                                 .scope = APIPOOL_SCOPE_KEY,
                                 .event = APIPOOL_EVENT_REJECTED,
                                 .blames = APIPOOL_BLAMES_KEY,
                                 .breaker = APIPOOL_BREAKER_REFUSED,
                                 .says = APIPOOL_SAYS_EXHAUSTED},
    [APIPOOL_RULE_RATE_LIMIT] = {.id = "R07",
                                 .meaning = "the upstream limits the rate of requests or tokens",
                                 .kind = APIPOOL_KIND_KEY,
                                 .action = APIPOOL_ROTATE,
                                 .scope = APIPOOL_SCOPE_MODEL,
                                 .event = APIPOOL_EVENT_RATE_LIMITED,
                                 .blames = APIPOOL_BLAMES_KEY,
                                 .breaker = APIPOOL_BREAKER_REFUSED,
                                 .says = APIPOOL_SAYS_COOLING},
    [APIPOOL_RULE_SHARED_FATE] =
        {.id = "R08",
         .meaning = "the upstream refuses all keys alike, so none of them is blamed",
         .kind = APIPOOL_KIND_UPSTREAM,
         .action = APIPOOL_STOP,
         .scope = APIPOOL_SCOPE_UPSTREAM,
         .says = APIPOOL_SAYS_COOLING},
    [APIPOOL_RULE_FORBIDDEN] = {.id = "R09",
                                .meaning =
                                    "the upstream forbids the request: region, model or terms",
                                .kind = APIPOOL_KIND_KEY,
                                .action = APIPOOL_ROTATE,
                                .scope = APIPOOL_SCOPE_MODEL,
                                .event = APIPOOL_EVENT_RATE_LIMITED,
                                .blames = APIPOOL_BLAMES_KEY_LATER,
                                .breaker = APIPOOL_BREAKER_REFUSED,
                                .says = APIPOOL_SAYS_COOLING},
    [APIPOOL_RULE_NO_MODEL] = {.id = "R10",
                               .meaning = "the upstream does not know the model",
                               .kind = APIPOOL_KIND_CLIENT,
                               .action = APIPOOL_ROTATE,
                               .again = APIPOOL_AGAIN_ELSEWHERE,
                               .breaker = APIPOOL_BREAKER_ANSWERED},
    [APIPOOL_RULE_CLIENT_ERROR] = {.id = "R11",
                                   .meaning = "the upstream finds fault with the request itself",
                                   .kind = APIPOOL_KIND_CLIENT,
                                   .action = APIPOOL_PASS,
                                   .scope = APIPOOL_SCOPE_CLIENT,
                                   .breaker = APIPOOL_BREAKER_ANSWERED},
    [APIPOOL_RULE_UPSTREAM_ERROR] = {.id = "R12",
                                     .meaning = "the upstream failed with an error of its own",
                                     .kind = APIPOOL_KIND_UPSTREAM,
                                     .action = APIPOOL_RETRY,
                                     .scope = APIPOOL_SCOPE_UPSTREAM,
                                     .event = APIPOOL_EVENT_FAILED,
                                     .upstream_fault = 1},
    [APIPOOL_RULE_OVERLOADED] = {.id = "R13",
                                 .meaning = "the upstream is overloaded",
                                 .kind = APIPOOL_KIND_UPSTREAM,
                                 .action = APIPOOL_RETRY,
                                 .scope = APIPOOL_SCOPE_UPSTREAM,
                                 .upstream_fault = 1},
    [APIPOOL_RULE_ALL_COOLING] = {.id = "R14",
                                  .meaning =
                                      "all keys that could serve the request rested for a while",
                                  .kind = APIPOOL_KIND_KEY,
                                  .action = APIPOOL_STOP},
    [APIPOOL_RULE_EXHAUSTED] = {.id = "R15",
                                .meaning = "no key was left that could recover by waiting",
                                .kind = APIPOOL_KIND_KEY,
                                .action = APIPOOL_STOP},
};

/* Rule for each meaning of a marker, and the status of an in-band error that has none. */
static const struct {
    apipool_rule_e rule;
    int status;
} meanings[APIPOOL_MEANS_COUNT] = {
    [APIPOOL_MEANS_QUOTA] = {APIPOOL_RULE_QUOTA, 402},
    [APIPOOL_MEANS_PENDING] = {APIPOOL_RULE_RATE_LIMIT, 402},
    [APIPOOL_MEANS_CREDENTIAL] = {APIPOOL_RULE_CREDENTIAL, 401},
    [APIPOOL_MEANS_NO_MODEL] = {APIPOOL_RULE_NO_MODEL, 404},
    [APIPOOL_MEANS_REFUSED] = {APIPOOL_RULE_CLIENT_ERROR, 400},
    [APIPOOL_MEANS_FORBIDDEN] = {APIPOOL_RULE_FORBIDDEN, 403},
    [APIPOOL_MEANS_OVERLOADED] = {APIPOOL_RULE_OVERLOADED, 529},
    [APIPOOL_MEANS_DAILY_LIMIT] = {APIPOOL_RULE_RATE_LIMIT, 429},
    [APIPOOL_MEANS_RATE_LIMIT] = {APIPOOL_RULE_RATE_LIMIT, 429},
};

static const struct {
    const char *open, *close;
} quotation_marks[] = {
    {"`", "`"},
    {"\"", "\""},
    {"'", "'"},
    {"\xe2\x80\x9c", "\xe2\x80\x9d"}, /* U+201C, U+201D */
    {"\xe3\x80\x8c", "\xe3\x80\x8d"}, /* U+300C, U+300D */
};

#define QUOTATION_MARKS (sizeof(quotation_marks) / sizeof(*quotation_marks))

/* End of the last occurrence of part, or NULL. */
static const char *find_end(const char *text, const char *part)
{
    const char *end = NULL;
    while ((text = strstr(text, part)) != NULL) {
        text += strlen(part);
        end = text;
    }
    return end;
}

/* End of the quotation that a mark opens: after the last mark of any kind, as quoted client text
 * may contain marks; at the end if this kind is never closed. */
static const char *quotation_end(const char *text, apr_size_t mark)
{
    const char *end = find_end(text, quotation_marks[mark].close);
    if (!end) {
        return text + strlen(text);
    }
    for (apr_size_t i = 0; i < QUOTATION_MARKS; i++) {
        const char *other = find_end(text, quotation_marks[i].close);
        end = other && other > end ? other : end;
    }
    return end;
}

/* Position behind a quotation that begins here; NULL if none does. */
static const char *skip_quoted(const char *text, int in_word)
{
    for (apr_size_t i = 0; i < QUOTATION_MARKS; i++) {
        apr_size_t len = strlen(quotation_marks[i].open);
        if (!strncmp(text, quotation_marks[i].open, len)) {
            int is_apostrophe = in_word && *text == '\'';
            return is_apostrophe ? NULL : quotation_end(text + len, i);
        }
    }
    return NULL;
}

/* Searches before end and outside quotation marks: vendors quote what the client sent, for example
 * a model name. */
static int contains(const char *text, const char *end, const char *part)
{
    apr_size_t len = strlen(part);
    for (const char *at = text; at < end && *at;) {
        int in_word = at > text && apipool_ascii_is_alpha(at[-1]) && apipool_ascii_is_alpha(at[1]);
        const char *behind = skip_quoted(at, in_word);
        if (!behind && !apr_cstr_casecmpn(at, part, len)) {
            return 1;
        }
        at = behind ? behind : at + 1;
    }
    return 0;
}

/* What precedes the first colon, ASCII or full width: what follows it may be the client's. */
static int opens(const char *message, const char *part)
{
    const char *end = message + strlen(message), *wide = strstr(message, "\xef\xbc\x9a");
    const char *colon = memchr(message, ':', (apr_size_t)((wide ? wide : end) - message));
    return contains(message, colon ? colon : wide ? wide : end, part);
}

/* A 400 may speak of limits that the request has broken. An error inside a 200 has no status. */
static int may_open(int status, apipool_meaning_e meaning)
{
    return !status || ((status == 400 || status == 412 || status == 500) &&
                       meaning != APIPOOL_MEANS_RATE_LIMIT);
}

/* Statuses for which a message is about the key, whatever else it may quote. */
static int is_about_key(int status)
{
    return status == 401 || status == 402 || status == 403 || status == 429;
}

static int in_fields(const char *text, const apipool_error_answer_t *answer)
{
    return !apr_cstr_casecmp(answer->type, text) || !apr_cstr_casecmp(answer->code, text) ||
           !apr_cstr_casecmp(answer->reason, text);
}

static int is_marked(const apipool_marker_t *marker, int status,
                     const apipool_error_answer_t *answer)
{
    const char *end = answer->message + strlen(answer->message);
    if (marker->status && marker->status != status) {
        return 0;
    }
    switch (marker->where) {
    case APIPOOL_IN_FIELDS:
        return in_fields(marker->text, answer);
    case APIPOOL_IN_QUOTA:
        return apipool_ascii_find(answer->quota, marker->text) != NULL;
    case APIPOOL_STARTS_MESSAGE:
        return !apr_cstr_casecmpn(answer->message, marker->text, strlen(marker->text));
    case APIPOOL_IN_MESSAGE:
        return contains(answer->message, end, marker->text);
    case APIPOOL_IN_KEY_MESSAGE:
        return is_about_key(status) && contains(answer->message, end, marker->text);
    case APIPOOL_OPENS_MESSAGE:
        return is_about_key(status)
                   ? contains(answer->message, end, marker->text)
                   : may_open(status, marker->means) && opens(answer->message, marker->text);
    case APIPOOL_IN_REFUSAL:
        return (status == 401 || status == 403) &&
               (in_fields(marker->text, answer) || contains(answer->message, end, marker->text));
    }
    return 0;
}

/* Returns 1 if the body may refine the status. A failing upstream may say anything about the key,
 * but for a message that opens with it. 402 and 413 are clear, except for a 402 that ends by
 * itself. */
static int may_mean(int status, const apipool_marker_t *marker)
{
    apipool_meaning_e meaning = marker->means;
    if (status >= 500) {
        return meaning == APIPOOL_MEANS_OVERLOADED ||
               (status == 500 && marker->where == APIPOOL_OPENS_MESSAGE);
    }
    if (status == 402) {
        return meaning == APIPOOL_MEANS_PENDING;
    }
    return status != 413;
}

static const apipool_marker_t *find_marker(apipool_provider_e provider, int status,
                                           const apipool_error_answer_t *answer)
{
    apr_size_t count;
    const apipool_marker_t *markers = apipool_provider_markers(&count);
    for (apr_size_t i = 0; i < count; i++) {
        if (apipool_provider_holds(markers[i].vendors, provider) && may_mean(status, &markers[i]) &&
            is_marked(&markers[i], status, answer)) {
            return &markers[i];
        }
    }
    return NULL;
}

/* 501 and 505 are permanent; every other 5xx may pass, including Cloudflare's. */
static apipool_rule_e rule_of_status(int status)
{
    switch (status) {
    case 401:
        return APIPOOL_RULE_CREDENTIAL;
    case 402:
        return APIPOOL_RULE_QUOTA;
    case 403:
        return APIPOOL_RULE_FORBIDDEN;
    case 429:
        return APIPOOL_RULE_RATE_LIMIT;
    case 501:
    case 505:
        return APIPOOL_RULE_CLIENT_ERROR;
    default:
        return status < 500 ? APIPOOL_RULE_CLIENT_ERROR : APIPOOL_RULE_UPSTREAM_ERROR;
    }
}

/* Parses a status such as "429"; returns 0 for anything else. */
static int read_status(const char *text)
{
    if ((text[0] != '4' && text[0] != '5') || !apr_isdigit(text[1]) || !apr_isdigit(text[2]) ||
        text[3]) {
        return 0;
    }
    return (text[0] - '0') * 100 + (text[1] - '0') * 10 + text[2] - '0';
}

static int type_status(const char *text)
{
    apr_size_t count;
    const apipool_error_type_t *types = apipool_provider_error_types(&count);
    for (apr_size_t i = 0; i < count; i++) {
        if (!apr_cstr_casecmp(text, types[i].type)) {
            return types[i].status;
        }
    }
    return 0;
}

/* Status that an error inside a 200 would have had. */
static int in_band_status(apipool_provider_e provider, const apipool_error_answer_t *answer)
{
    int status = read_status(answer->code);
    status = status ? status : read_status(answer->type);
    if (!status) { /* with status 0, only markers without a status match */
        const apipool_marker_t *marker = find_marker(provider, 0, answer);
        status = marker ? meanings[marker->means].status : 0;
    }
    status = status ? status : type_status(answer->type);
    status = status ? status : type_status(answer->code);
    return status ? status : 500;
}

static int custom_matches(const apipool_custom_rule_t *custom, int status,
                          const apipool_error_answer_t *answer)
{
    const char *texts[] = {answer->type, answer->code, answer->reason, answer->message};
    int listed = 0, marked = !custom->marker;
    for (int i = 0; i < custom->status_count; i++) {
        listed |= status >= custom->statuses[i].from && status <= custom->statuses[i].to;
    }
    for (int i = 0; listed && !marked && i < 4; i++) {
        marked = apipool_ascii_find(texts[i], custom->marker) != NULL;
    }
    return listed && marked;
}

static apr_time_t later(apr_time_t a, apr_time_t b)
{
    return a > b ? a : b;
}

/* Time named by the answer. A fault of the upstream lasts until the named time, not until a rate
 * limit window ends. */
static apr_time_t named_time(const apipool_evidence_t *evidence,
                             const apipool_error_answer_t *answer, int upstream_fault)
{
    apr_time_t now = evidence->now, at = 0;
    if (evidence->headers) {
        at = upstream_fault
                 ? apipool_retry_after_field(evidence->headers, evidence->provider, now)
                 : apipool_retry_after_headers(evidence->headers, evidence->provider, now);
    }
    at = later(at, apipool_retry_after_in(answer->retry_in, now));
    if (answer->reset_at && !upstream_fault) {
        at = later(at, apipool_retry_after_in(answer->reset_at - now, now));
    }
    return at ? at
              : apipool_retry_after_in(
                    apipool_retry_words(answer->message, evidence->provider, now), now);
}

/* Derives the consequences of a custom rule from its scope. */
static apipool_verdict_t by_custom(const apipool_custom_rule_t *custom, int index)
{
    int concerns_key = custom->scope == APIPOOL_SCOPE_MODEL || custom->scope == APIPOOL_SCOPE_KEY ||
                       custom->scope == APIPOOL_SCOPE_ACCOUNT;
    return (apipool_verdict_t){.rule = (apipool_rule_e)(APIPOOL_RULE_CUSTOM + index),
                               .action = custom->action,
                               .scope = custom->scope,
                               .event =
                                   concerns_key ? APIPOOL_EVENT_RATE_LIMITED : APIPOOL_EVENT_NONE,
                               .upstream_fault = custom->scope == APIPOOL_SCOPE_UPSTREAM};
}

static apipool_verdict_t by_rule(apipool_rule_e rule)
{
    const apipool_rule_t *row = &rules[rule];
    return (apipool_verdict_t){.rule = rule,
                               .action = row->action,
                               .scope = row->scope,
                               .event = row->event,
                               .upstream_fault = row->upstream_fault};
}

static apipool_verdict_t judge_error(const apipool_evidence_t *evidence)
{
    apr_size_t len = evidence->body ? evidence->body_len : 0;
    apipool_error_answer_t answer;
    apipool_verdict_t verdict;
    const apipool_marker_t *marker = NULL;
    int custom = 0, customs = evidence->custom_count;
    customs = customs < APIPOOL_CUSTOM_MAX ? customs : APIPOOL_CUSTOM_MAX;

    apipool_error_answer_read(evidence->body ? evidence->body : "",
                              len < APIPOOL_VERDICT_BODY_MAX ? len : APIPOOL_VERDICT_BODY_MAX,
                              &answer);
    while (custom < customs &&
           !custom_matches(&evidence->custom[custom], evidence->in_band ? 200 : evidence->status,
                           &answer)) {
        custom++;
    }
    if (custom < customs) {
        verdict = by_custom(&evidence->custom[custom], custom);
    }
    else {
        int status =
            evidence->in_band ? in_band_status(evidence->provider, &answer) : evidence->status;
        marker = find_marker(evidence->provider, status, &answer);
        verdict = by_rule(marker ? meanings[marker->means].rule : rule_of_status(status));
        verdict.is_certain = marker && marker->means == APIPOOL_MEANS_CREDENTIAL;
    }
    apipool_words_make(&verdict.words, answer.type, answer.code, answer.message);
    if (verdict.event == APIPOOL_EVENT_RATE_LIMITED || verdict.upstream_fault) {
        verdict.retry_at = named_time(evidence, &answer, verdict.upstream_fault);
    }
    if (marker && marker->means == APIPOOL_MEANS_DAILY_LIMIT) {
        verdict.retry_at =
            later(verdict.retry_at, apipool_retry_after_pacific_midnight(evidence->now));
    }
    return verdict;
}

apipool_verdict_t apipool_verdict(const apipool_evidence_t *evidence)
{
    static const apipool_rule_e unanswered[] = {
        [APIPOOL_PHASE_NOT_SENT] = APIPOOL_RULE_NOT_SENT,
        [APIPOOL_PHASE_NO_ANSWER] = APIPOOL_RULE_NO_ANSWER,
        [APIPOOL_PHASE_BROKE] = APIPOOL_RULE_BROKE_OFF,
        [APIPOOL_PHASE_CLIENT_GONE] = APIPOOL_RULE_CLIENT_GONE,
    };
    if (evidence->phase == APIPOOL_PHASE_ANSWERED) {
        return evidence->status < 400 && !evidence->in_band ? by_rule(APIPOOL_RULE_SUCCESS)
                                                            : judge_error(evidence);
    }
    apipool_verdict_t verdict = by_rule(unanswered[evidence->phase]);
    if (verdict.rule == APIPOOL_RULE_NO_ANSWER && evidence->replay_safe) {
        verdict.action = APIPOOL_RETRY;
    }
    verdict.upstream_fault &= !evidence->is_out_of_time;
    return verdict;
}

apipool_kind_e apipool_rule_kind(apipool_rule_e rule, const apipool_custom_rule_t *custom,
                                 int count)
{
    static const apipool_kind_e kinds[] = {[APIPOOL_SCOPE_NONE] = APIPOOL_KIND_CLIENT,
                                           [APIPOOL_SCOPE_CLIENT] = APIPOOL_KIND_CLIENT,
                                           [APIPOOL_SCOPE_MODEL] = APIPOOL_KIND_KEY,
                                           [APIPOOL_SCOPE_KEY] = APIPOOL_KIND_KEY,
                                           [APIPOOL_SCOPE_ACCOUNT] = APIPOOL_KIND_KEY,
                                           [APIPOOL_SCOPE_UPSTREAM] = APIPOOL_KIND_UPSTREAM};
    int own = (int)rule - APIPOOL_RULE_CUSTOM;
    return own < 0       ? rules[rule].kind
           : own < count ? kinds[custom[own].scope]
                         : APIPOOL_KIND_CLIENT;
}

const apipool_rule_t *apipool_rule(apipool_rule_e rule)
{
    return &rules[rule];
}

const char *apipool_rule_name(apipool_rule_e rule)
{
    static const char custom[APIPOOL_CUSTOM_MAX][4] = {"C01", "C02", "C03", "C04", "C05", "C06",
                                                       "C07", "C08", "C09", "C10", "C11", "C12",
                                                       "C13", "C14", "C15", "C16"};
    return rule < APIPOOL_RULE_CUSTOM ? rules[rule].id : custom[rule - APIPOOL_RULE_CUSTOM];
}

const char *apipool_rule_meaning(apipool_rule_e rule)
{
    return rule < APIPOOL_RULE_CUSTOM ? rules[rule].meaning : "a rule of the pool's own";
}
