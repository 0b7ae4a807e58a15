/* SPDX-License-Identifier: Apache-2.0
 * Reads an error answer's body in the error shapes of all vendors. */
#include "error_answer.h"

#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

#include "ascii.h"
#include "retry_after.h"

#define PLACES 5 /* in which an error may be */

static void copy(char *out, apr_size_t size, const char *text)
{
    if (text) {
        apr_cpystrn(out, text, size);
    }
}

static void copy_scalar(char *out, apr_size_t size, const json_t *value)
{
    if (json_is_integer(value)) {
        /* apr_snprintf does not know JSON_INTEGER_FORMAT */
        apr_snprintf(out, size, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
    }
    else {
        copy(out, size, json_string_value(value));
    }
}

/* Gemini, google.rpc.QuotaFailure: one answer may name a limit per minute and one per day. */
static void read_violations(const json_t *violations, apipool_error_answer_t *answer)
{
    size_t i;
    json_t *violation;
    json_array_foreach(violations, i, violation)
    {
        const char *id = json_string_value(json_object_get(violation, "quotaId"));
        apr_size_t used = strlen(answer->quota);
        if (id && used + 1 < sizeof(answer->quota)) {
            answer->quota[used] = ' ';
            apr_cpystrn(answer->quota + used + 1, id, sizeof(answer->quota) - used - 1);
        }
    }
}

/* Members that say when a limit ends: how long it takes, or a date. */
static const struct {
    const char *name;
    double unit; /* of a number, in seconds */
} times[] = {
    {"retryDelay", 1},          /* Gemini, google.rpc.RetryInfo */
    {"quotaResetDelay", 1},     /* Gemini's Code Assist, in ErrorInfo: gemini-cli 29425 */
    {"quotaResetTimeStamp", 1}, /* the same */
    {"resets_at", 1},           /* OpenAI's subscriptions: CLIProxyAPI 1666 */
    {"resets_in_seconds", 1},   /* the same */
    {"retry_after", 1},         /* gateways: posthog 82310 */
    {"retry_after_seconds", 1}, /* OpenRouter, of the vendor behind it; no report found */
    {"retry_after_ms", 0.001},  /* as the header field is called, no report */
    {"retryAfter", 1},          /* limiters in JavaScript: Negotole 61 */
    {"retryAfterSeconds", 1},   /* the same in other words, no report */
    {"reset_at", 1},            /* read by hermes-agent 26893 */
    {"reset_time", 1},          /* the same in other words, no report */
    {"X-RateLimit-Reset", 1},   /* OpenRouter, in metadata.headers: dirge 719 */
    {"Retry-After", 1},         /* beside it, no report found */
};

#define EPOCH 1e9 /* numbers from here on are dates */

static apr_time_t read_date(const char *text, double seconds)
{
    char number[40];
    apr_snprintf(number, sizeof(number), "%.0f", seconds);
    return apipool_retry_after_date(text ? text : number);
}

static void note_time(const json_t *value, double unit, apipool_error_answer_t *answer)
{
    const char *text = json_string_value(value);
    apr_interval_time_t interval = text ? apipool_retry_after_duration(text) : -1;
    double seconds = json_is_number(value) ? json_number_value(value) * unit
                                           : (double)interval * unit / APR_USEC_PER_SEC;
    apr_time_t date = (text && interval < 0) || seconds >= EPOCH ? read_date(text, seconds) : 0;
    if (date) {
        answer->reset_at = date > answer->reset_at ? date : answer->reset_at;
    }
    else if (seconds >= 0 && seconds * APR_USEC_PER_SEC > (double)answer->retry_in) {
        answer->retry_in = (apr_interval_time_t)(seconds * APR_USEC_PER_SEC);
    }
}

static void read_times(const json_t *object, apipool_error_answer_t *answer)
{
    for (apr_size_t i = 0; json_is_object(object) && i < sizeof(times) / sizeof(*times); i++) {
        const json_t *value = json_object_get(object, times[i].name);
        if (value) {
            note_time(value, times[i].unit, answer);
        }
    }
}

/* Gemini, google.rpc.Status: ErrorInfo has a reason, RetryInfo a retryDelay. */
static void read_details(const json_t *details, apipool_error_answer_t *answer)
{
    size_t i;
    json_t *detail;
    read_times(details, answer);
    json_array_foreach(details, i, detail)
    {
        read_times(detail, answer);
        read_times(json_object_get(detail, "metadata"), answer);
        copy(answer->reason, sizeof(answer->reason),
             json_string_value(json_object_get(detail, "reason")));
        read_violations(json_object_get(detail, "violations"), answer);
    }
}

/* OpenRouter. If its moderation refused a prompt, only the name of the member says so. */
static void read_metadata(const json_t *metadata, apipool_error_answer_t *answer)
{
    read_times(metadata, answer);
    read_times(json_object_get(metadata, "headers"), answer);
    if (json_object_get(metadata, "flagged_input")) {
        copy(answer->reason, sizeof(answer->reason), "flagged_input");
    }
    copy(answer->reason, sizeof(answer->reason),
         json_string_value(json_object_get(metadata, "limit_source")));
    copy(answer->reason, sizeof(answer->reason),
         json_string_value(json_object_get(metadata, "reason")));
}

/* MiniMax has it in every answer, with 0 where all is well. */
static const json_t *find_base_resp(const json_t *object)
{
    const json_t *base = json_object_get(object, "base_resp");
    return json_integer_value(json_object_get(base, "status_code")) ? base : NULL;
}

/* Finds the object with the fields. OpenAI's stream of responses has it inside the failed
 * response, OpenRouter may have it inside the choice, ElevenLabs in the detail. */
static const json_t *find_error(const json_t *object)
{
    const json_t *choices = json_object_get(object, "choices");
    const json_t *places[PLACES] = {
        json_object_get(object, "error"),
        json_object_get(json_object_get(object, "response"), "error"),
        json_object_get(json_array_get(choices, 0), "error"),
        json_object_get(object, "detail"),
        find_base_resp(object),
    };
    for (int i = 0; i < PLACES; i++) {
        if (json_is_object(places[i])) {
            return places[i];
        }
    }
    return object;
}

/* The reason tells MiniMax's numbers from those of others. */
static void read_base_resp(const json_t *base, apipool_error_answer_t *answer)
{
    copy_scalar(answer->code, sizeof(answer->code), json_object_get(base, "status_code"));
    apr_snprintf(answer->reason, sizeof(answer->reason), "base_resp.%s", answer->code);
}

static void read_object(const json_t *object, apipool_error_answer_t *answer)
{
    static const char *const messages[] = {"message", "msg", "detail", "status_msg", "error_msg"};
    const json_t *source = find_error(object);
    copy_scalar(answer->type, sizeof(answer->type), json_object_get(source, "type"));
    if (!answer->type[0]) {
        copy_scalar(answer->type, sizeof(answer->type), json_object_get(source, "status"));
    }
    copy_scalar(answer->code, sizeof(answer->code), json_object_get(source, "code"));
    copy(answer->message, sizeof(answer->message),
         json_string_value(json_object_get(object, "error")));
    for (apr_size_t i = 0; i < sizeof(messages) / sizeof(*messages) && !answer->message[0]; i++) {
        copy_scalar(answer->message, sizeof(answer->message), json_object_get(source, messages[i]));
    }
    read_times(object, answer);
    if (source != object) {
        read_times(source, answer);
    }
    read_details(json_object_get(source, "details"), answer);
    read_metadata(json_object_get(source, "metadata"), answer);
    if (source == find_base_resp(object)) {
        read_base_resp(source, answer);
    }
}

/* Compressed bodies have control characters early on. */
static int is_text(const char *text, apr_size_t len)
{
    for (apr_size_t i = 0; i < len; i++) {
        if (apipool_ascii_is_control(text[i]) && !apipool_ascii_is_space(text[i])) {
            return 0;
        }
    }
    return 1;
}

/* Gemini wraps streamed answers in an array. */
static const json_t *top_of(const json_t *root)
{
    return json_is_array(root) ? json_array_get(root, 0) : root;
}

void apipool_error_answer_read(const char *body, apr_size_t len, apipool_error_answer_t *answer)
{
    json_error_t ignored;

    memset(answer, 0, sizeof(*answer));
    answer->retry_in = -1;
    json_t *root = json_loadb(body, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &ignored);
    const json_t *top = top_of(root);
    if (json_is_object(top)) {
        read_object(top, answer);
    }
    else if (json_is_string(top)) {
        copy(answer->message, sizeof(answer->message), json_string_value(top));
    }
    else {
        apr_size_t shown = len < sizeof(answer->message) - 1 ? len : sizeof(answer->message) - 1;
        if (is_text(body, shown)) {
            memcpy(answer->message, body, shown);
        }
    }
    json_decref(root);
}

static int is_said(const json_t *error)
{
    return json_object_size(error) || (json_is_string(error) && json_string_length(error));
}

int apipool_error_answer_is_error(const char *body, apr_size_t len)
{
    json_error_t ignored;
    if (!memmem(body, len, "error", 5) && !memmem(body, len, "base_resp", 9)) {
        return 0; /* spares parsing most streams' first events */
    }
    json_t *root = json_loadb(body, len, 0, &ignored);
    int is_error = apipool_error_answer_is_said(top_of(root));
    json_decref(root);
    return is_error;
}

int apipool_error_answer_is_said(const json_t *top)
{
    const char *type = json_string_value(json_object_get(top, "type"));
    const json_t *choice = json_array_get(json_object_get(top, "choices"), 0);
    return is_said(json_object_get(top, "error")) ||
           is_said(json_object_get(json_object_get(top, "response"), "error")) ||
           is_said(json_object_get(choice, "error")) || find_base_resp(top) ||
           (type && !strcmp(type, "error"));
}
