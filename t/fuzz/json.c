/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: bodies of requests to the operator's API. */
#include <string.h>

#include "fuzz.h"
#include "json.h"

static void check_text(const char *text, size_t max)
{
    MUST(strlen(text) <= max);
    for (const char *c = text; *c; c++) {
        MUST((unsigned char)*c >= ' ' && *c != 0x7f);
    }
}

static void read_members(apipool_json_t *json)
{
    const char *text = NULL;
    int flag = -1;
    apr_int64_t number = -1;
    apr_time_t when = -1;
    apr_array_header_t *list = NULL;
    apipool_json_t member;
    if (apipool_json_string(json, "label", 20, &text) == APIPOOL_JSON_GIVEN) {
        check_text(text, 20);
    }
    if (apipool_json_boolean(json, "enabled", &flag) == APIPOOL_JSON_GIVEN) {
        MUST(flag == 0 || flag == 1);
    }
    if (apipool_json_integer(json, "weight", 1, 1000, &number) == APIPOOL_JSON_GIVEN) {
        MUST(number >= 1 && number <= 1000);
    }
    if (apipool_json_time(json, "expires_at", &when) == APIPOOL_JSON_GIVEN) {
        MUST(when > 0);
    }
    if (apipool_json_strings(json, "models", 3, 10, &list) == APIPOOL_JSON_GIVEN) {
        MUST(list->nelts <= 3);
        for (int i = 0; i < list->nelts; i++) {
            check_text(APR_ARRAY_IDX(list, i, const char *), 10);
        }
    }
    if (apipool_json_object(json, "limits", &member) == APIPOOL_JSON_GIVEN) {
        apipool_json_integer(&member, "rpm", 1, 1000, &number);
        apipool_json_close(&member);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apipool_json_t json;
    apipool_flaw_t flaw;
    apr_pool_t *p = fuzz_pool();
    if (apipool_json_open(&json, p, (const char *)data, size, &flaw)) {
        MUST(!flaw.field && !flaw.message);
        read_members(&json);
        MUST(apipool_json_close(&json) == !flaw.message);
    }
    MUST(!flaw.field || flaw.message);
    MUST(!flaw.field || strlen(flaw.field) < 100);
    apr_pool_destroy(p);
    return 0;
}
