/* SPDX-License-Identifier: Apache-2.0
 * Finds all models that a complete event of a WebSocket client names. */
#include "websocket_models.h"

#include <apr_cstr.h>
#include <stdint.h>
#include <string.h>

#define DEPTH_MAX 16 /* nested objects; no protocol has a model deeper than six */

typedef struct {
    int (*allows)(void *ctx, const char *model);
    void *ctx;
} check_t;

/* Objects with arbitrary members of the client's. */
static int is_free_form(const char *name)
{
    static const char *const names[] = {"metadata", "client_metadata", "variables", "schema"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!strcmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

static int is_allowed(const check_t *check, const json_t *model)
{
    return json_is_null(model) || (json_is_string(model) &&
                                   strlen(json_string_value(model)) == json_string_length(model) &&
                                   check->allows(check->ctx, json_string_value(model)));
}

static int all_allowed(const check_t *check, const json_t *object, int depth)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        if (!apr_cstr_casecmp(name, "model")) {
            if (!is_allowed(check, value)) {
                return 0;
            }
        }
        else if (json_is_object(value) && depth < DEPTH_MAX && !is_free_form(name) &&
                 !all_allowed(check, value, depth + 1)) {
            return 0;
        }
    }
    return 1;
}

int apipool_websocket_models_allowed(const json_t *event,
                                     int (*allows)(void *ctx, const char *model), void *ctx)
{
    const check_t check = {.allows = allows, .ctx = ctx};
    return all_allowed(&check, event, 1);
}
