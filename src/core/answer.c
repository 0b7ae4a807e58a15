/* SPDX-License-Identifier: Apache-2.0
 * What an error answer's body says, over the error shapes of OpenAI, Anthropic, Gemini and others. */
#include "answer.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

#include "when.h"

static void copy(char *out, apr_size_t size, const char *text)
{
    if (text) {
        apr_cpystrn(out, text, size);
    }
}

static void copy_scalar(char *out, apr_size_t size, const json_t *value)
{
    if (json_is_integer(value)) {
        /* not JSON_INTEGER_FORMAT, which apr_snprintf does not know */
        apr_snprintf(out, size, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
    }
    else {
        copy(out, size, json_string_value(value));
    }
}

/* Gemini, google.rpc.Status: ErrorInfo has a reason, RetryInfo a retryDelay. */
static void read_details(const json_t *details, apipool_answer_t *answer)
{
    size_t i;
    json_t *detail;
    json_array_foreach(details, i, detail)
    {
        const char *delay = json_string_value(json_object_get(detail, "retryDelay"));
        if (delay) {
            answer->retry_in = apipool_when_duration(delay);
        }
        copy(answer->reason, sizeof(answer->reason),
             json_string_value(json_object_get(detail, "reason")));
    }
}

static void read_object(const json_t *object, apipool_answer_t *answer)
{
    const json_t *error = json_object_get(object, "error");
    if (json_is_string(error)) {
        copy(answer->message, sizeof(answer->message), json_string_value(error));
    }
    const json_t *source = json_is_object(error) ? error : object;
    copy_scalar(answer->type, sizeof(answer->type), json_object_get(source, "type"));
    if (!answer->type[0]) {
        copy_scalar(answer->type, sizeof(answer->type), json_object_get(source, "status"));
    }
    copy_scalar(answer->code, sizeof(answer->code), json_object_get(source, "code"));
    if (!answer->message[0]) {
        copy_scalar(answer->message, sizeof(answer->message), json_object_get(source, "message"));
    }
    read_details(json_object_get(source, "details"), answer);
    copy(answer->reason, sizeof(answer->reason), /* OpenRouter */
         json_string_value(json_object_get(json_object_get(source, "metadata"), "reason")));
}

void apipool_answer_read(const char *body, apr_size_t len, apipool_answer_t *answer)
{
    json_error_t ignored;

    memset(answer, 0, sizeof(*answer));
    answer->retry_in = -1;
    json_t *root = json_loadb(body, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &ignored);
    const json_t *top = json_is_array(root) ? json_array_get(root, 0) : root;
    if (json_is_object(top)) {
        read_object(top, answer);
    }
    else if (json_is_string(top)) {
        copy(answer->message, sizeof(answer->message), json_string_value(top));
    }
    else {
        apr_size_t shown = len < sizeof(answer->message) - 1 ? len : sizeof(answer->message) - 1;
        memcpy(answer->message, body, shown);
        answer->message[shown] = '\0';
    }
    json_decref(root);
}
