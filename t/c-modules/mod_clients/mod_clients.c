/* SPDX-License-Identifier: Apache-2.0
 * Calls mod_apipool's table of functions for clients: GET ?do=create&name=N&rpm=1&models=a,b answers JSON. */

/* Apache::Test builds it; "SetHandler clients" is all the configuration there is. What is asked for, "do", is
 * list, create, change or delete. Of a change only the members that are there are set. */
#define HTTPD_TEST_REQUIRE_APACHE 2

#if CONFIG_FOR_HTTPD_TEST
#endif

#include <ap_provider.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>
#include <util_script.h>

#include <stdlib.h>
#include <string.h>

#include "mod_apipool.h"

static const char *argument(request_rec *r, apr_table_t *args, const char *name, unsigned set,
                            unsigned *sets)
{
    char *value = apr_pstrdup(r->pool, apr_table_get(args, name));
    if (value) {
        ap_unescape_urlencoded(value);
        *sets |= set;
    }
    return value;
}

static apr_uint32_t number(request_rec *r, apr_table_t *args, const char *name, unsigned set,
                           unsigned *sets)
{
    const char *value = argument(r, args, name, set, sets);
    return value ? (apr_uint32_t)strtoul(value, NULL, 10) : 0;
}

static apr_array_header_t *list(request_rec *r, apr_table_t *args, const char *name, unsigned set,
                                unsigned *sets)
{
    const char *value = argument(r, args, name, set, sets);
    apr_array_header_t *texts = apr_array_make(r->pool, 4, sizeof(const char *));
    while (value && *value) {
        APR_ARRAY_PUSH(texts, const char *) = ap_getword(r->pool, &value, ',');
    }
    return texts;
}

static apipool_client_edit_t read_edit(request_rec *r, apr_table_t *args)
{
    static const char *const lists[] = {APIPOOL_CLIENT_LIST_NAMES};
    static const char *const limits[] = {APIPOOL_CLIENT_LIMIT_NAMES};
    apipool_client_edit_t edit = {.enabled = 1};
    edit.name = argument(r, args, "name", 0, &edit.set);
    if (apr_table_get(args, "enabled")) {
        edit.enabled = (int)number(r, args, "enabled", APIPOOL_CLIENT_SET_ENABLED, &edit.set);
    }
    edit.expires_at = apr_time_from_sec(
        (apr_time_t)number(r, args, "expires", APIPOOL_CLIENT_SET_EXPIRES_AT, &edit.set));
    for (int i = 0; i < APIPOOL_CLIENT_LISTS; i++) {
        edit.lists[i] = list(r, args, lists[i], APIPOOL_CLIENT_SET_LIST(i), &edit.set);
    }
    for (int i = 0; i < APIPOOL_CLIENT_LIMITS; i++) {
        edit.limits[i] = number(r, args, limits[i], APIPOOL_CLIENT_SET_LIMIT(i), &edit.set);
    }
    return edit;
}

static const char *word_for(apr_status_t rv)
{
    return rv == APR_SUCCESS    ? "done"
           : rv == APR_EINVAL   ? "invalid"
           : rv == APR_EEXIST   ? "exists"
           : rv == APR_NOTFOUND ? "not found"
           : rv == APR_ENOMEM   ? "full"
                                : "failed";
}

static void act(request_rec *r, const apipool_api_t *api)
{
    apr_table_t *args;
    char key[APIPOOL_CLIENT_KEY_SIZE] = "";
    apipool_input_error_t flaw = {NULL, NULL};
    json_t *told = NULL;
    apr_status_t rv;
    ap_args_to_table(r, &args);
    const char *what = apr_table_get(args, "do");
    apipool_client_edit_t edit = read_edit(r, args);

    if (!what || !strcmp(what, "list")) {
        rv = api->clients(r->server, r->pool, &told);
    }
    else if (!strcmp(what, "create")) {
        rv = api->client_create(r->server, &edit, r->pool, key, &flaw);
    }
    else if (!strcmp(what, "change")) {
        rv = api->client_change(r->server, edit.name, &edit, r->pool, &flaw);
    }
    else {
        rv = api->client_delete(r->server, edit.name, r->pool, &flaw);
    }
    json_t *answer = json_pack("{s:s,s:s,s:s,s:s,s:o*}", "key", key, "result", word_for(rv),
                               "field", flaw.field ? flaw.field : "", "error",
                               flaw.message ? flaw.message : "", "clients", told);
    char *text = json_dumps(answer, JSON_COMPACT);
    ap_rputs(text ? text : "", r);
    free(text);
    json_decref(answer);
}

static int answer(request_rec *r)
{
    if (!r->handler || strcmp(r->handler, "clients")) {
        return DECLINED;
    }
    const apipool_api_t *api =
        ap_lookup_provider(APIPOOL_API_GROUP, APIPOOL_API_NAME, APIPOOL_API_VERSION);
    if (!api) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    ap_set_content_type(r, "application/json");
    act(r, api);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(answer, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA clients_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks};
