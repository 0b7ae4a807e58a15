/* SPDX-License-Identifier: Apache-2.0
 * Routes: client keys, with which the pools of this server are used. */
#include "admin.h"

#include <apr_sha1.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "clientname.h"
#include "render.h"

#define NAME_TEXT_MAX 255 /* that is looked at; in NFC it may be short enough */
#define LIST_MAX      100
#define LIST_TEXT_MAX 255
#define SCOPE_MAX     31 /* bytes of a name that pools may take */

/* --- What a location with APIPoolAdminPools may see: clients that cannot use any other pool --- */

static int is_seen(const apipool_ask_t *ask, const apipool_client_info_t *client)
{
    if (!ask->conf->pools) {
        return 1;
    }
    for (int i = 0; i < client->pools->nelts; i++) {
        if (!apipool_admin_find_pool(ask, APR_ARRAY_IDX(client->pools, i, const char *))) {
            return 0;
        }
    }
    return client->pools->nelts > 0;
}

/* The pools that a client is to have must be there, and be seen here. Where not all are seen, none
 * named means all that are, and not all of the server. */
static void check_pools(const apipool_ask_t *ask, apipool_json_t *json,
                        apipool_client_info_t *client)
{
    for (int i = 0; i < client->pools->nelts; i++) {
        if (!apipool_admin_find_pool(ask, APR_ARRAY_IDX(client->pools, i, const char *))) {
            apipool_json_refuse(json, "pools", "There is no such pool.");
            return;
        }
    }
    if (ask->conf->pools && !client->pools->nelts) {
        const apr_array_header_t *pools = apipool_admin_pools(ask);
        client->pools = apr_array_make(json->p, pools->nelts, sizeof(const char *));
        for (int i = 0; i < pools->nelts; i++) {
            APR_ARRAY_PUSH(client->pools, const char *) =
                APR_ARRAY_IDX(pools, i, apipool_pool_info_t).name;
        }
    }
}

/* --- Names. A server's clients have one table, and a location that does not see all of them must not tell
 * which names the others have. So the names of clients that are made there end with its pools, "carol@main":
 * locations with the same pools see the same clients, and one with others cannot make such a name. --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What names end with here, a digest where the pools' names are long; NULL: nothing. */
static const char *scope_of(const apipool_ask_t *ask)
{
    apr_pool_t *p = ask->r->pool;
    const char *scope = NULL, *last = "";
    if (!ask->conf->pools) {
        return NULL;
    }
    apr_array_header_t *names = apr_array_copy(p, ask->conf->pools);
    qsort(names->elts, (size_t)names->nelts, sizeof(const char *), by_text);
    for (int i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        if (strcmp(name, last)) {
            scope = scope ? apr_pstrcat(p, scope, "+", name, NULL) : name;
        }
        last = name;
    }
    if (scope && strlen(scope) > SCOPE_MAX) {
        unsigned char digest[APR_SHA1_DIGESTSIZE];
        apr_sha1_ctx_t sha1;
        apr_sha1_init(&sha1);
        apr_sha1_update(&sha1, scope, (unsigned)strlen(scope));
        apr_sha1_final(digest, &sha1);
        scope = apr_psprintf(p, "%02x%02x%02x%02x%02x%02x%02x%02x", digest[0], digest[1], digest[2],
                             digest[3], digest[4], digest[5], digest[6], digest[7]);
    }
    return scope;
}

/* The name that a client has here who is called so: one that cannot be given stays as it is. */
static const char *name_here(const apipool_ask_t *ask, const char *text)
{
    apr_pool_t *p = ask->r->pool;
    const char *scope = scope_of(ask), *name = apipool_clientname_normalise(text, p);
    if (!scope || apipool_clientname_fault(name, p)) {
        return name;
    }
    const char *at = strrchr(name, '@');
    return at && at > name && !strcmp(at + 1, scope) ? name
                                                     : apr_pstrcat(p, name, "@", scope, NULL);
}

/* Finds a client that is seen here, by its name or what comes before the pools in it. */
static apr_status_t look_up(const apipool_ask_t *ask, apipool_client_info_t *client)
{
    request_rec *r = ask->r;
    const char *name = ask->name;
    apr_status_t rv = apipool_admin_api->client(r->server, name, r->pool, client);
    if (rv == APR_SUCCESS ? !is_seen(ask, client) : rv == APR_NOTFOUND && ask->conf->pools) {
        name = name_here(ask, name);
        rv = apipool_admin_api->client(r->server, name, r->pool, client);
    }
    return rv == APR_SUCCESS && !is_seen(ask, client) ? APR_NOTFOUND : rv;
}

/* Finds the client of the path, which from then on has its name as it is kept. Returns 1, or 0 when *status
 * is what to return. */
static int find(apipool_ask_t *ask, apipool_client_info_t *client, int *status)
{
    request_rec *r = ask->r;
    apr_status_t rv = look_up(ask, client);
    if (rv == APR_NOTFOUND) {
        *status =
            apipool_admin_error(r, HTTP_NOT_FOUND, "client_not_found", "There is no such client.");
        return 0;
    }
    if (rv != APR_SUCCESS) {
        *status = apipool_admin_failed(r, rv, "a client cannot be shown", NULL);
        return 0;
    }
    ask->name = client->name;
    return 1;
}

/* --- As JSON --- */

static json_t *client_object(const apipool_client_info_t *client)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", apipool_render_text(client->name));
    json_object_set_new(object, "enabled", json_boolean(client->enabled));
    json_object_set_new(object, "expires_at", apipool_render_time(client->expires_at));
    json_object_set_new(object, "pools", apipool_render_texts(client->pools));
    json_object_set_new(object, "models", apipool_render_texts(client->models));
    json_object_set_new(object, "endpoints", apipool_render_texts(client->endpoints));
    json_object_set_new(object, "rpm", apipool_render_limit(client->rpm));
    json_object_set_new(object, "tpm", apipool_render_limit(client->tpm));
    json_object_set_new(object, "tokens_per_day", apipool_render_limit(client->tokens_per_day));
    json_object_set_new(object, "concurrency", apipool_render_limit(client->concurrency));
    json_object_set_new(object, "in_flight", json_integer(client->in_flight));
    json_object_set_new(object, "created_at", apipool_render_time(client->created_at));
    json_object_set_new(object, "last_used_at", apipool_render_time(client->last_used_at));
    json_t *usage = json_object();
    apipool_render_numbers(usage, &client->numbers);
    json_object_set_new(object, "usage", usage);
    return object;
}

static int show(const apipool_ask_t *ask, int status, const char *name, const char *key)
{
    request_rec *r = ask->r;
    apipool_client_info_t client;
    apr_status_t rv = apipool_admin_api->client(r->server, name, r->pool, &client);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(r, rv, "a client cannot be shown", NULL);
    }
    json_t *object = client_object(&client);
    if (!key) {
        return apipool_admin_reply(r, status, object);
    }
    json_object_set_new(object, "key", json_string(key));
    return apipool_admin_reply_secret(r, status, object);
}

/* --- What is sent --- */

static void read_list(apipool_json_t *json, const char *name, unsigned bit, unsigned *set,
                      apr_array_header_t **list)
{
    *list = apr_array_make(json->p, 1, sizeof(const char *));
    if (apipool_json_strings(json, name, LIST_MAX, LIST_TEXT_MAX, list) != APIPOOL_JSON_ABSENT) {
        *set |= bit;
    }
}

static void read_limit(apipool_json_t *json, const char *name, unsigned bit, unsigned *set,
                       apr_uint32_t *limit)
{
    apr_int64_t number = 0;
    if (apipool_json_integer(json, name, 1, APR_UINT32_MAX, &number) != APIPOOL_JSON_ABSENT) {
        *set |= bit;
    }
    *limit = (apr_uint32_t)number;
}

/* Answers what the table's function refused or could not do. What it refuses it names: "name: ..." */
static int answer_failure(const apipool_ask_t *ask, apr_status_t rv, const char *what,
                          const char *error)
{
    request_rec *r = ask->r;
    const char *colon = error ? strstr(error, ": ") : NULL;
    if (rv == APR_NOTFOUND) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "client_not_found",
                                   "There is no such client.");
    }
    if (rv == APR_EEXIST) {
        return apipool_admin_error(r, HTTP_CONFLICT, "client_exists",
                                   "A client with this name already exists.");
    }
    if (rv == APR_ENOMEM) {
        return apipool_admin_error(r, HTTP_INSUFFICIENT_STORAGE, "no_room",
                                   error ? error : "There is no room for another client.");
    }
    if (rv == APR_EINVAL && error) {
        apipool_flaw_t flaw = {.message = colon ? colon + 2 : error};
        flaw.field = colon ? apr_pstrmemdup(r->pool, error, (apr_size_t)(colon - error)) : NULL;
        return apipool_admin_refuse(r, &flaw);
    }
    return apipool_admin_failed(r, rv, what, error);
}

static void take_name(const apipool_ask_t *ask, apipool_json_t *json, apipool_client_info_t *client)
{
    const char *scope = scope_of(ask), *name = client->name;
    if (!name || !scope) {
        return;
    }
    client->name = name_here(ask, name);
    if (strlen(client->name) >= APIPOOL_CLIENTNAME_SIZE && strcmp(client->name, name)) {
        apipool_json_refuse(json, "name",
                            apr_psprintf(json->p, "Must be at most %d bytes long.",
                                         APIPOOL_CLIENTNAME_SIZE - 2 - (int)strlen(scope)));
    }
}

/* Reads a body into client; what it named is in *set. */
static int read_client(apipool_ask_t *ask, int is_new, apipool_client_info_t *client, unsigned *set,
                       int *status)
{
    apipool_json_t json;
    apipool_flaw_t flaw;
    memset(client, 0, sizeof(*client));
    client->enabled = 1;
    *set = 0;
    if (!apipool_admin_read_object(ask->r, APIPOOL_ADMIN_BODY_MAX, &json, &flaw, status)) {
        return 0;
    }
    if (is_new) { /* what a name must not have, the table's function says */
        apipool_json_require(&json, "name",
                             apipool_json_string(&json, "name", NAME_TEXT_MAX, &client->name));
        take_name(ask, &json, client);
    }
    apipool_json_e enabled = apipool_json_boolean(&json, "enabled", &client->enabled);
    if (enabled == APIPOOL_JSON_NULL) {
        apipool_json_refuse(&json, "enabled", "Must not be null.");
    }
    *set |= enabled == APIPOOL_JSON_GIVEN ? APIPOOL_CLIENT_SET_ENABLED : 0;
    if (apipool_json_time(&json, "expires_at", &client->expires_at) != APIPOOL_JSON_ABSENT) {
        *set |= APIPOOL_CLIENT_SET_EXPIRES_AT;
    }
    read_list(&json, "pools", APIPOOL_CLIENT_SET_POOLS, set, &client->pools);
    read_list(&json, "models", APIPOOL_CLIENT_SET_MODELS, set, &client->models);
    read_list(&json, "endpoints", APIPOOL_CLIENT_SET_ENDPOINTS, set, &client->endpoints);
    read_limit(&json, "rpm", APIPOOL_CLIENT_SET_RPM, set, &client->rpm);
    read_limit(&json, "tpm", APIPOOL_CLIENT_SET_TPM, set, &client->tpm);
    read_limit(&json, "tokens_per_day", APIPOOL_CLIENT_SET_TOKENS_PER_DAY, set,
               &client->tokens_per_day);
    read_limit(&json, "concurrency", APIPOOL_CLIENT_SET_CONCURRENCY, set, &client->concurrency);
    if (is_new || *set & APIPOOL_CLIENT_SET_POOLS) {
        check_pools(ask, &json, client);
    }
    if (apipool_json_close(&json) && !is_new && !*set) {
        flaw.message = "Nothing to change: send at least one member of the client.";
    }
    if (flaw.message) {
        *status = apipool_admin_refuse(ask->r, &flaw);
    }
    return !flaw.message;
}

/* --- Routes --- */

int apipool_admin_clients_list(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_query_t query;
    apipool_flaw_t flaw;
    apr_array_header_t *clients;
    apipool_query_open(&query, r->pool, r->args, &flaw);
    if (!apipool_query_close(&query)) {
        return apipool_admin_refuse(r, &flaw);
    }
    apr_status_t rv = apipool_admin_api->clients(r->server, r->pool, &clients);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(r, rv, "clients cannot be listed", NULL);
    }
    json_t *array = json_array();
    for (int i = 0; i < clients->nelts; i++) {
        const apipool_client_info_t *client = &APR_ARRAY_IDX(clients, i, apipool_client_info_t);
        if (is_seen(ask, client)) {
            json_array_append_new(array, client_object(client));
        }
    }
    return apipool_admin_reply(r, HTTP_OK, json_pack("{s:o}", "clients", array));
}

int apipool_admin_client_create(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_client_info_t client;
    char key[APIPOOL_CLIENT_KEY_SIZE];
    const char *error = NULL;
    unsigned set;
    int status;
    if (!read_client(ask, 1, &client, &set, &status)) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->client_create(r->server, &client, r->pool, key, &error);
    if (rv != APR_SUCCESS) {
        return answer_failure(ask, rv, "a client cannot be made", error);
    }
    const char *name = apipool_clientname_normalise(client.name, r->pool);
    apipool_admin_audit(ask, apr_psprintf(r->pool, "client %s created", name));
    status = show(ask, HTTP_CREATED, name, key);
    OPENSSL_cleanse(key, sizeof(key));
    return status;
}

int apipool_admin_client_show(apipool_ask_t *ask)
{
    apipool_client_info_t client;
    int status;
    return find(ask, &client, &status)
               ? apipool_admin_reply(ask->r, HTTP_OK, client_object(&client))
               : status;
}

int apipool_admin_client_edit(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_client_info_t client, known;
    const char *error = NULL;
    unsigned set;
    int status;
    if (!find(ask, &known, &status) || !read_client(ask, 0, &client, &set, &status)) {
        return status;
    }
    apr_status_t rv =
        apipool_admin_api->client_change(r->server, ask->name, &client, set, r->pool, &error);
    if (rv != APR_SUCCESS) {
        return answer_failure(ask, rv, "a client cannot be changed", error);
    }
    apipool_admin_audit(
        ask, apr_pstrcat(r->pool, "client ", ask->name, " edited (",
                         !(set & APIPOOL_CLIENT_SET_ENABLED) ? ""
                         : client.enabled                    ? " enabled"
                                                             : " disabled",
                         set & APIPOOL_CLIENT_SET_EXPIRES_AT ? " expires_at" : "",
                         set & APIPOOL_CLIENT_SET_POOLS ? " pools" : "",
                         set & APIPOOL_CLIENT_SET_MODELS ? " models" : "",
                         set & APIPOOL_CLIENT_SET_ENDPOINTS ? " endpoints" : "",
                         set & APIPOOL_CLIENT_SET_RPM ? " rpm" : "",
                         set & APIPOOL_CLIENT_SET_TPM ? " tpm" : "",
                         set & APIPOOL_CLIENT_SET_TOKENS_PER_DAY ? " tokens_per_day" : "",
                         set & APIPOOL_CLIENT_SET_CONCURRENCY ? " concurrency" : "", " )", NULL));
    return show(ask, HTTP_OK, ask->name, NULL);
}

int apipool_admin_client_delete(apipool_ask_t *ask)
{
    request_rec *r = ask->r;
    apipool_client_info_t known;
    const char *error = NULL;
    int status;
    if (!find(ask, &known, &status)) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->client_delete(r->server, ask->name, r->pool, &error);
    if (rv != APR_SUCCESS) {
        return answer_failure(ask, rv, "a client cannot be deleted", error);
    }
    apipool_admin_audit(ask, apr_psprintf(r->pool, "client %s deleted", ask->name));
    return apipool_admin_reply_nothing(r);
}
