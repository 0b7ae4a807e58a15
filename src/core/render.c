/* SPDX-License-Identifier: Apache-2.0
 * Values of the API as JSON. */
#include "render.h"

#include <math.h>
#include <string.h>

#include "key.h"
#include "rfc3339.h"
#include "throttle.h"
#include "words.h"

json_t *apipool_render_time(apr_time_t when)
{
    char text[APIPOOL_RFC3339_SIZE];
    if (when <= 0) {
        return json_null();
    }
    apipool_rfc3339_write(when, text);
    return json_string(text);
}

json_t *apipool_render_number(apr_int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

/* Rounds to a thousandth, as more digits are noise. */
json_t *apipool_render_real(double number)
{
    return number < 0 || !isfinite(number) ? json_null() : json_real(round(number * 1000) / 1000);
}

json_t *apipool_render_limit(apr_uint32_t limit)
{
    return limit ? json_integer(limit) : json_null();
}

/* Replaces bytes outside ASCII if the text is not UTF-8. */
json_t *apipool_render_text(const char *text)
{
    if (!text || !*text) {
        return json_null();
    }
    json_t *string = json_string(text);
    char *shown = string ? NULL : strdup(text);
    for (char *c = shown; c && *c; c++) {
        *c = *c & (char)0x80 ? '?' : *c;
    }
    if (shown) {
        string = json_string(shown);
        free(shown);
    }
    return string ? string : json_null();
}

json_t *apipool_render_vendor(int status, const char *words)
{
    apipool_words_parts_t parts;
    if (status < 400 && !*words) {
        return json_null();
    }
    apipool_words_read(words, &parts);
    return json_pack("{s:o,s:o,s:o,s:o}", "status", status ? json_integer(status) : json_null(),
                     "type", apipool_render_text(parts.type), "code",
                     apipool_render_text(parts.code), "message",
                     apipool_render_text(parts.message));
}

json_t *apipool_render_texts(const apr_array_header_t *texts)
{
    json_t *array = json_array();
    for (int i = 0; texts && i < texts->nelts; i++) {
        json_array_append_new(array, json_string(APR_ARRAY_IDX(texts, i, const char *)));
    }
    return array;
}

json_t *apipool_render_id(apr_uint64_t id)
{
    char text[APIPOOL_ID_SIZE];
    if (!id) {
        return json_null();
    }
    apipool_key_id_hex(id, text);
    return json_string(text);
}

json_t *apipool_render_ids(const apr_array_header_t *ids)
{
    json_t *array = json_array();
    for (int i = 0; ids && i < ids->nelts; i++) {
        json_array_append_new(array, apipool_render_id(APR_ARRAY_IDX(ids, i, apr_uint64_t)));
        apipool_throttle();
    }
    return array;
}

json_t *apipool_render_seconds(apr_interval_time_t time)
{
    return apipool_render_real((double)time / APR_USEC_PER_SEC);
}

json_t *apipool_render_limits(const apipool_key_limits_t *limits)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o}", "rpm", apipool_render_limit(limits->rpm), "rpd",
                     apipool_render_limit(limits->rpd), "tpm", apipool_render_limit(limits->tpm),
                     "tpd", apipool_render_limit(limits->tpd), "concurrency",
                     apipool_render_limit(limits->concurrency));
}

json_t *apipool_render_balances(const apipool_balances_t *balances)
{
    json_t *array = json_array();
    for (int i = 0; i < balances->count; i++) {
        json_array_append_new(array,
                              json_pack("{s:f,s:o}", "amount", balances->of[i].amount, "currency",
                                        apipool_render_text(balances->of[i].currency)));
    }
    return array;
}

void apipool_render_add(json_t *object, json_t *members)
{
    json_object_update(object, members);
    json_decref(members);
}

static void set_count(json_t *object, const char *name, apr_uint64_t count)
{
    json_object_set_new(object, name, json_integer((json_int_t)count));
}

void apipool_render_rates(json_t *object, const apipool_counters_snapshot_t *counters)
{
    json_object_set_new(object, "rpm", apipool_render_number(counters->rpm));
    json_object_set_new(object, "rpd", apipool_render_number(counters->rpd));
    json_object_set_new(object, "tpm", apipool_render_number(counters->tpm));
    json_object_set_new(object, "tpd", apipool_render_number(counters->tpd));
}

void apipool_render_counters(json_t *object, const apipool_counters_snapshot_t *counters)
{
    set_count(object, "requests", counters->requests);
    set_count(object, "errors", counters->errors);
    json_object_set_new(object, "success_rate", apipool_render_real(counters->success_rate));
    apipool_render_rates(object, counters);
    set_count(object, "prompt_tokens", counters->prompt);
    set_count(object, "completion_tokens", counters->completion);
    set_count(object, "cached_tokens", counters->cached);
    set_count(object, "total_tokens", counters->total);
    set_count(object, "estimated_tokens", counters->estimated);
    json_object_set_new(object, "ttft_ms", apipool_render_real(counters->first_byte_ms));
    json_object_set_new(object, "latency_ms", apipool_render_real(counters->latency_ms));
}
