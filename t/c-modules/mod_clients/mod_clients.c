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

static unsigned read_client(request_rec *r, apr_table_t *args, apipool_client_info_t *client)
{
    unsigned sets = 0;
    memset(client, 0, sizeof(*client));
    client->name = argument(r, args, "name", 0, &sets);
    client->enabled = 1;
    if (apr_table_get(args, "enabled")) {
        client->enabled = (int)number(r, args, "enabled", APIPOOL_CLIENT_SET_ENABLED, &sets);
    }
    client->expires_at = apr_time_from_sec(
        (apr_time_t)number(r, args, "expires", APIPOOL_CLIENT_SET_EXPIRES_AT, &sets));
    client->pools = list(r, args, "pools", APIPOOL_CLIENT_SET_POOLS, &sets);
    client->models = list(r, args, "models", APIPOOL_CLIENT_SET_MODELS, &sets);
    client->endpoints = list(r, args, "endpoints", APIPOOL_CLIENT_SET_ENDPOINTS, &sets);
    client->rpm = number(r, args, "rpm", APIPOOL_CLIENT_SET_RPM, &sets);
    client->tpm = number(r, args, "tpm", APIPOOL_CLIENT_SET_TPM, &sets);
    client->tokens_per_day =
        number(r, args, "tokens_per_day", APIPOOL_CLIENT_SET_TOKENS_PER_DAY, &sets);
    client->concurrency = number(r, args, "concurrency", APIPOOL_CLIENT_SET_CONCURRENCY, &sets);
    return sets;
}

static void write_list(request_rec *r, const char *name, const apr_array_header_t *texts)
{
    ap_rprintf(r, ",\"%s\":[", name);
    for (int i = 0; i < texts->nelts; i++) {
        ap_rprintf(r, "%s\"%s\"", i ? "," : "", APR_ARRAY_IDX(texts, i, const char *));
    }
    ap_rputs("]", r);
}

static void write_client(request_rec *r, const apipool_client_info_t *client)
{
    ap_rprintf(r,
               "{\"name\":\"%s\",\"enabled\":%d,\"expires\":%" APR_TIME_T_FMT
               ",\"created\":%" APR_TIME_T_FMT ",\"used\":%" APR_TIME_T_FMT,
               client->name, client->enabled, apr_time_sec(client->expires_at),
               apr_time_sec(client->created_at), apr_time_sec(client->last_used_at));
    ap_rprintf(r, ",\"rpm\":%u,\"tpm\":%u,\"tokens_per_day\":%u", client->rpm, client->tpm,
               client->tokens_per_day);
    ap_rprintf(r, ",\"concurrency\":%u,\"in_flight\":%u", client->concurrency, client->in_flight);
    ap_rprintf(r, ",\"requests\":%" APR_UINT64_T_FMT ",\"total_tokens\":%" APR_UINT64_T_FMT,
               client->numbers.requests, client->numbers.total);
    write_list(r, "pools", client->pools);
    write_list(r, "models", client->models);
    write_list(r, "endpoints", client->endpoints);
    ap_rputs("}", r);
}

static apr_status_t write_clients(request_rec *r, const apipool_api_t *api)
{
    apr_array_header_t *clients;
    apr_status_t rv = api->clients(r->server, r->pool, &clients);
    ap_rputs(",\"clients\":[", r);
    for (int i = 0; rv == APR_SUCCESS && i < clients->nelts; i++) {
        ap_rputs(i ? "," : "", r);
        write_client(r, &APR_ARRAY_IDX(clients, i, apipool_client_info_t));
    }
    ap_rputs("]", r);
    return rv;
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
    apipool_client_info_t client;
    char key[APIPOOL_CLIENT_KEY_SIZE] = "";
    const char *error = NULL;
    apr_status_t rv;
    ap_args_to_table(r, &args);
    const char *what = apr_table_get(args, "do");
    unsigned sets = read_client(r, args, &client);

    ap_rputs("{\"ok\":1", r);
    if (!what || !strcmp(what, "list")) {
        rv = write_clients(r, api);
    }
    else if (!strcmp(what, "create")) {
        rv = api->client_create(r->server, &client, r->pool, key, &error);
    }
    else if (!strcmp(what, "change")) {
        rv = api->client_change(r->server, client.name, &client, sets, r->pool, &error);
    }
    else {
        rv = api->client_delete(r->server, client.name, r->pool, &error);
    }
    ap_rprintf(r, ",\"key\":\"%s\",\"result\":\"%s\",\"error\":\"%s\"}", key, word_for(rv),
               error ? ap_escape_html(r->pool, error) : "");
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
