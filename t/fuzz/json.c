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

typedef struct {
    const char *label;
    int enabled;
    apr_uint32_t weight, rpm;
    apr_time_t expires;
    apr_array_header_t *models;
} members_t;

#define TO(member) offsetof(members_t, member)

static const apipool_json_member_t limits[] = {
    {"rpm", APIPOOL_JSON_INTEGER, .offset = TO(rpm), .max = 1000}, {NULL}};
static const apipool_json_member_t members[] = {
    {"label", APIPOOL_JSON_STRING, .offset = TO(label), .max = 20},
    {"enabled", APIPOOL_JSON_BOOLEAN, APIPOOL_JSON_NOT_NULL, .offset = TO(enabled)},
    {"weight", APIPOOL_JSON_INTEGER, APIPOOL_JSON_OPTIONAL, .offset = TO(weight), .max = 1000},
    {"expires_at", APIPOOL_JSON_TIME, .offset = TO(expires)},
    {"models", APIPOOL_JSON_STRINGS, .offset = TO(models), .max = 10, .count = 3},
    {"limits", APIPOOL_JSON_OBJECT, .members = limits},
    {NULL}};

static void check_members(const members_t *read, unsigned given)
{
    MUST(given < 64);
    MUST(read->enabled == 0 || read->enabled == 1);
    MUST(read->weight <= 1000 && read->rpm <= 1000 && read->expires >= 0);
    if (read->label) {
        check_text(read->label, 20);
    }
    for (int i = 0; read->models && i < read->models->nelts; i++) {
        MUST(read->models->nelts <= 3);
        check_text(APR_ARRAY_IDX(read->models, i, const char *), 10);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    members_t read = {0};
    apipool_input_error_t flaw;
    apr_pool_t *p = fuzz_pool();
    unsigned given = apipool_json_read(p, (const char *)data, size, members, &read, &flaw);
    if (!flaw.message) {
        MUST(!flaw.field);
        check_members(&read, given);
    }
    MUST(!flaw.field || flaw.message);
    MUST(!flaw.field || strlen(flaw.field) < 100);
    apr_pool_destroy(p);
    return 0;
}
