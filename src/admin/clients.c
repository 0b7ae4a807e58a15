/* SPDX-License-Identifier: Apache-2.0
 * Routes: client keys, with which the pools of this server are used. */
#include "admin.h"

#include <apr_sha1.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "client_name.h"

#define NAME_TEXT_MAX 255 /* that is looked at; in NFC it may be short enough */
#define LIST_MAX      100
#define LIST_TEXT_MAX 255
#define SCOPE_MAX     31 /* bytes of a name that pools may take */
#define SCOPE_DIGEST  8  /* bytes of a digest, which are written as twice as many */

/* --- What a location with APIPoolAdminPools may see: clients that cannot use any other pool --- */

static int is_seen(const apipool_admin_request_t *ask, const json_t *client)
{
    const json_t *pools = json_object_get(client, "pools");
    const apr_array_header_t *seen = apipool_admin_pools(ask);
    json_t *pool;
    size_t i;
    if (!ask->conf->pools) {
        return 1;
    }
    json_array_foreach(pools, i, pool)
    {
        if (!apipool_admin_find_pool(seen, json_string_value(pool))) {
            return 0;
        }
    }
    return json_array_size(pools) > 0;
}

/* The pools that a client is to have must be there, and be seen here. Where not all are seen, none
 * named means all that are, and not all of the server. Returns 0 if they are not. */
static int check_pools(const apipool_admin_request_t *ask, apr_array_header_t **list)
{
    const apr_array_header_t *pools = apipool_admin_pools(ask);
    for (int i = 0; *list && i < (*list)->nelts; i++) {
        if (!apipool_admin_find_pool(pools, APR_ARRAY_IDX(*list, i, const char *))) {
            return 0;
        }
    }
    if (ask->conf->pools && apr_is_empty_array(*list)) {
        *list = apr_array_make(ask->r->pool, pools->nelts, sizeof(const char *));
        for (int i = 0; i < pools->nelts; i++) {
            APR_ARRAY_PUSH(*list, const char *) = APR_ARRAY_IDX(pools, i, apipool_pool_info_t).name;
        }
    }
    return 1;
}

/* --- Names. A server's clients have one table, and a location that does not see all of them must not tell
 * which names the others have. So the names of clients that are made there end with its pools, "carol@main":
 * locations with the same pools see the same clients, and one with others cannot make such a name. --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What names end with here, a digest where the pools' names are long; NULL: nothing. */
static const char *scope_of(const apipool_admin_request_t *ask)
{
    apr_pool_t *p = ask->r->pool;
    if (!ask->conf->pools) {
        return NULL;
    }
    apr_array_header_t *names = apr_array_copy(p, ask->conf->pools);
    qsort(names->elts, (size_t)names->nelts, sizeof(const char *), by_text);
    char *scope = apr_array_pstrcat(p, names, '+');
    if (strlen(scope) > SCOPE_MAX) {
        unsigned char digest[APR_SHA1_DIGESTSIZE];
        apr_sha1_ctx_t sha1;
        apr_sha1_init(&sha1);
        apr_sha1_update(&sha1, scope, (unsigned)strlen(scope));
        apr_sha1_final(digest, &sha1);
        ap_bin2hex(digest, SCOPE_DIGEST, scope);
    }
    return scope;
}

/* The name that a client has here who is called so: one that cannot be given stays as it is. */
static const char *name_here(const apipool_admin_request_t *ask, const char *text)
{
    apr_pool_t *p = ask->r->pool;
    const char *scope = scope_of(ask), *name = apipool_client_name_normalise(text, p);
    if (!scope || apipool_client_name_fault(name, p)) {
        return name;
    }
    const char *at = strrchr(name, '@');
    return at && at > name && !strcmp(at + 1, scope) ? name
                                                     : apr_pstrcat(p, name, "@", scope, NULL);
}

/* Finds the client of the path, by its name or what comes before the pools in it; one that is not seen here
 * is not there. From then on it has its name as it is kept. Returns DECLINED with what is told of it, or
 * what was answered. */
static int find(apipool_admin_request_t *ask, json_t **client)
{
    request_rec *r = ask->r;
    const char *names[] = {ask->name, ask->conf->pools ? name_here(ask, ask->name) : NULL};
    apr_status_t rv = APR_NOTFOUND;
    for (int i = 0; i < 2 && names[i] && rv == APR_NOTFOUND; i++) {
        rv = apipool_admin_api->client(r->server, names[i], r->pool, client);
        if (rv == APR_SUCCESS && !is_seen(ask, *client)) {
            json_decref(*client);
            rv = APR_NOTFOUND;
        }
    }
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(ask, rv, "a client cannot be shown", NULL);
    }
    ask->name = apr_pstrdup(r->pool, json_string_value(json_object_get(*client, "name")));
    return DECLINED;
}

/* The same for whoever needs no more than the name. */
static int find_name(apipool_admin_request_t *ask)
{
    json_t *client = NULL;
    int status = find(ask, &client);
    if (status == DECLINED) {
        json_decref(client);
    }
    return status;
}

static int show(const apipool_admin_request_t *ask, int status, const char *name, const char *key)
{
    request_rec *r = ask->r;
    json_t *client;
    apr_status_t rv = apipool_admin_api->client(r->server, name, r->pool, &client);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(ask, rv, "a client cannot be shown", NULL);
    }
    if (!key) {
        return apipool_admin_reply(r, status, client);
    }
    json_object_set_new(client, "key", json_string(key));
    return apipool_admin_reply_secret(r, status, client);
}

/* --- What is sent --- */

#define TO(member) offsetof(apipool_client_edit_t, member)

/* What a name must not have, the table's function says. The others stand in the order of the bits of
 * apipool_client_edit_t. */
static const apipool_json_member_t new_members[] = {
    {"name", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(name), .max = NAME_TEXT_MAX},
    {"enabled", APIPOOL_JSON_BOOLEAN, APIPOOL_JSON_NOT_NULL, .offset = TO(enabled)},
    {"expires_at", APIPOOL_JSON_TIME, .offset = TO(expires_at)},
    {"pools", APIPOOL_JSON_STRINGS, .offset = TO(lists[0]), .max = LIST_TEXT_MAX,
     .count = LIST_MAX},
    {"models", APIPOOL_JSON_STRINGS, .offset = TO(lists[1]), .max = LIST_TEXT_MAX,
     .count = LIST_MAX},
    {"endpoints", APIPOOL_JSON_STRINGS, .offset = TO(lists[2]), .max = LIST_TEXT_MAX,
     .count = LIST_MAX},
    {"rpm", APIPOOL_JSON_INTEGER, .offset = TO(limits[0]), .max = APR_UINT32_MAX},
    {"tpm", APIPOOL_JSON_INTEGER, .offset = TO(limits[1]), .max = APR_UINT32_MAX},
    {"tokens_per_day", APIPOOL_JSON_INTEGER, .offset = TO(limits[2]), .max = APR_UINT32_MAX},
    {"concurrency", APIPOOL_JSON_INTEGER, .offset = TO(limits[3]), .max = APR_UINT32_MAX},
    {NULL}};
static const apipool_json_member_t *const members = new_members + 1;

/* Gives a new client the name that it has here. Returns DECLINED, or what was answered to a name that is too
 * long for that. */
static int take_name(const apipool_admin_request_t *ask, const char **name)
{
    const char *scope = scope_of(ask), *given = *name;
    if (!scope) {
        return DECLINED;
    }
    *name = name_here(ask, given);
    if (strlen(*name) < APIPOOL_CLIENT_NAME_SIZE || !strcmp(*name, given)) {
        return DECLINED;
    }
    return apipool_admin_refuse(ask->r, "name",
                                apr_psprintf(ask->r->pool, "Must be at most %d bytes long.",
                                             APIPOOL_CLIENT_NAME_SIZE - 2 - (int)strlen(scope)));
}

/* Reads a body. Returns DECLINED, or what was answered. */
static int read_client(apipool_admin_request_t *ask, int is_new, apipool_client_edit_t *edit)
{
    memset(edit, 0, sizeof(*edit));
    edit->enabled = 1;
    int status = apipool_admin_read_object(ask->r, APIPOOL_ADMIN_BODY_MAX,
                                           is_new ? new_members : members, edit, &edit->set);
    if (status == DECLINED && is_new) {
        status = take_name(ask, &edit->name);
    }
    if (status != DECLINED) {
        return status;
    }
    if ((is_new || edit->set & APIPOOL_CLIENT_SET_LIST(0)) && !check_pools(ask, &edit->lists[0])) {
        return apipool_admin_refuse(ask->r, "pools", "There is no such pool.");
    }
    return edit->set
               ? DECLINED
               : apipool_admin_refuse(ask->r, NULL,
                                      "Nothing to change: send at least one member of the client.");
}

/* --- Routes --- */

int apipool_admin_clients_list(apipool_admin_request_t *ask)
{
    json_t *clients, *seen = json_array(), *client;
    size_t i;
    apr_status_t rv = apipool_admin_api->clients(ask->r->server, ask->r->pool, &clients);
    if (rv != APR_SUCCESS) {
        json_decref(seen);
        return apipool_admin_failed(ask, rv, "clients cannot be listed", NULL);
    }
    json_array_foreach(clients, i, client)
    {
        if (is_seen(ask, client)) {
            json_array_append(seen, client);
        }
    }
    json_decref(clients);
    return apipool_admin_reply(ask->r, HTTP_OK, json_pack("{s:o}", "clients", seen));
}

int apipool_admin_client_create(apipool_admin_request_t *ask)
{
    request_rec *r = ask->r;
    apipool_client_edit_t edit;
    char key[APIPOOL_CLIENT_KEY_SIZE];
    apipool_input_error_t flaw = {NULL};
    int status = read_client(ask, 1, &edit);
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->client_create(r->server, &edit, r->pool, key, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(ask, rv, "a client cannot be made", &flaw);
    }
    const char *name = apipool_client_name_normalise(edit.name, r->pool);
    apipool_admin_audit(ask, apr_psprintf(r->pool, "client %s created", name), NULL);
    status = show(ask, HTTP_CREATED, name, key);
    OPENSSL_cleanse(key, sizeof(key));
    return status;
}

int apipool_admin_client_show(apipool_admin_request_t *ask)
{
    json_t *client = NULL;
    int status = find(ask, &client);
    return status == DECLINED ? apipool_admin_reply(ask->r, HTTP_OK, client) : status;
}

int apipool_admin_client_edit(apipool_admin_request_t *ask)
{
    request_rec *r = ask->r;
    apipool_client_edit_t edit;
    apipool_input_error_t flaw = {NULL};
    int status = find_name(ask);
    if (status == DECLINED) {
        status = read_client(ask, 0, &edit);
    }
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->client_change(r->server, ask->name, &edit, r->pool, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(ask, rv, "a client cannot be changed", &flaw);
    }
    apipool_admin_audit(
        ask,
        apr_psprintf(r->pool, "client %s edited (%s )", ask->name,
                     apipool_admin_name_set(r->pool, members, edit.set, edit.enabled)),
        NULL);
    return show(ask, HTTP_OK, ask->name, NULL);
}

int apipool_admin_client_delete(apipool_admin_request_t *ask)
{
    request_rec *r = ask->r;
    apipool_input_error_t flaw = {NULL};
    int status = find_name(ask);
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->client_delete(r->server, ask->name, r->pool, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(ask, rv, "a client cannot be deleted", &flaw);
    }
    apipool_admin_audit(ask, apr_psprintf(r->pool, "client %s deleted", ask->name), NULL);
    return apipool_admin_reply_nothing(r);
}
