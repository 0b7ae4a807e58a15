/* SPDX-License-Identifier: Apache-2.0
 * Routes: clients of this server's pools and their keys. */
#include "admin.h"

#include <apr_sha1.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#include "client_name.h"

#define NAME_TEXT_MAX 255 /* bytes before normalisation; in NFC it may be short enough */
#define LIST_MAX      100
#define LIST_TEXT_MAX 255
#define SCOPE_MAX     31    /* bytes of a name that pool names may take */
#define SCOPE_DIGEST  8     /* bytes of a digest; twice as many characters */
#define OVERLAP       86400 /* seconds for which a key goes on beside its successor */
#define OVERLAP_MAX   (90 * 86400)

/* --- A location with APIPoolAdminPools sees only clients that can use no other pool --- */

static int is_seen(const apipool_admin_request_t *request, const json_t *client)
{
    const json_t *pools = json_object_get(client, "pools");
    const apr_array_header_t *seen = apipool_admin_pools(request);
    json_t *pool;
    size_t i;
    if (!request->conf->pools) {
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

/* Checks that all pools of a client exist and are visible here; returns 0 if not. In a restricted
 * location, no list means all visible pools, not all of the server. */
static int check_pools(const apipool_admin_request_t *request, apr_array_header_t **list)
{
    const apr_array_header_t *pools = apipool_admin_pools(request);
    for (int i = 0; *list && i < (*list)->nelts; i++) {
        if (!apipool_admin_find_pool(pools, APR_ARRAY_IDX(*list, i, const char *))) {
            return 0;
        }
    }
    if (request->conf->pools && apr_is_empty_array(*list)) {
        *list = apr_array_make(request->r->pool, pools->nelts, sizeof(const char *));
        for (int i = 0; i < pools->nelts; i++) {
            APR_ARRAY_PUSH(*list, const char *) = APR_ARRAY_IDX(pools, i, apipool_pool_info_t).name;
        }
    }
    return 1;
}

/* --- Names. All clients of a server are in one table, but a restricted location must not reveal
 * the names of those it does not see. So the names of clients created there end with its pools,
 * "carol@main": locations with the same pools see the same clients, and others cannot create such a
 * name. --- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Returns the suffix of names here, a digest if the pools' names are long; NULL if there is
 * none. */
static const char *scope_of(const apipool_admin_request_t *request)
{
    apr_pool_t *p = request->r->pool;
    if (!request->conf->pools) {
        return NULL;
    }
    apr_array_header_t *names = apr_array_copy(p, request->conf->pools);
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

/* Returns a client's full name here; an invalid name stays unchanged. */
static const char *name_here(const apipool_admin_request_t *request, const char *text)
{
    apr_pool_t *p = request->r->pool;
    const char *scope = scope_of(request), *name = apipool_client_name_normalise(text, p);
    if (!scope || apipool_client_name_fault(name, p)) {
        return name;
    }
    const char *at = strrchr(name, '@');
    return at && at > name && !strcmp(at + 1, scope) ? name
                                                     : apr_pstrcat(p, name, "@", scope, NULL);
}

/* Finds the client in the path, by its name with or without the suffix; a client that is not
 * visible here does not exist. Sets request->name to its stored name. Returns DECLINED and, unless
 * it is NULL, the client; else the status of the error sent. */
static int find(apipool_admin_request_t *request, json_t **client)
{
    request_rec *r = request->r;
    const char *names[] = {request->name,
                           request->conf->pools ? name_here(request, request->name) : NULL};
    json_t *found = NULL;
    apr_status_t rv = APR_NOTFOUND;
    for (int i = 0; i < 2 && names[i] && rv == APR_NOTFOUND; i++) {
        rv = apipool_admin_api->client(r->server, names[i], r->pool, &found);
        if (rv == APR_SUCCESS && !is_seen(request, found)) {
            json_decref(found);
            rv = APR_NOTFOUND;
        }
    }
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a client cannot be shown", NULL);
    }
    request->name = apr_pstrdup(r->pool, json_string_value(json_object_get(found, "name")));
    if (client) {
        *client = found;
    }
    else {
        json_decref(found);
    }
    return DECLINED;
}

static int show(const apipool_admin_request_t *request, int status, const char *name,
                const char *key)
{
    request_rec *r = request->r;
    json_t *client;
    apr_status_t rv = apipool_admin_api->client(r->server, name, r->pool, &client);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a client cannot be shown", NULL);
    }
    if (!key) {
        return apipool_admin_reply(r, status, client);
    }
    json_object_set_new(client, "key", json_string(key));
    return apipool_admin_reply_secret(r, status, client);
}

/* --- Input --- */

#define TO(member) offsetof(apipool_client_edit_t, member)

/* The pool module checks the characters of a name. The other members are in the order of the bits
 * of apipool_client_edit_t. */
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

/* Gives a new client its full name here. Returns DECLINED, or the status of the error sent if that
 * is too long. */
static int take_name(const apipool_admin_request_t *request, const char **name)
{
    const char *scope = scope_of(request), *given = *name;
    if (!scope) {
        return DECLINED;
    }
    *name = name_here(request, given);
    if (strlen(*name) < APIPOOL_CLIENT_NAME_SIZE || !strcmp(*name, given)) {
        return DECLINED;
    }
    return apipool_admin_refuse(request->r, "name",
                                apr_psprintf(request->r->pool, "Must be at most %d bytes long.",
                                             APIPOOL_CLIENT_NAME_SIZE - 2 - (int)strlen(scope)));
}

/* Reads a body. Returns DECLINED, or the status of the error sent. */
static int read_client(apipool_admin_request_t *request, int is_new, apipool_client_edit_t *edit)
{
    memset(edit, 0, sizeof(*edit));
    edit->enabled = 1;
    int status = apipool_admin_read_object(request->r, APIPOOL_ADMIN_BODY_MAX,
                                           is_new ? new_members : members, edit, &edit->set);
    if (status == DECLINED && is_new) {
        status = take_name(request, &edit->name);
    }
    if (status != DECLINED) {
        return status;
    }
    if ((is_new || edit->set & APIPOOL_CLIENT_SET_LIST(0)) &&
        !check_pools(request, &edit->lists[0])) {
        return apipool_admin_refuse(request->r, "pools", "There is no such pool.");
    }
    return edit->set
               ? DECLINED
               : apipool_admin_refuse(request->r, NULL,
                                      "Nothing to change: send at least one member of the client.");
}

/* --- Routes --- */

int apipool_admin_clients_list(apipool_admin_request_t *request)
{
    json_t *clients, *seen = json_array(), *client;
    size_t i;
    apr_status_t rv = apipool_admin_api->clients(request->r->server, request->r->pool, &clients);
    if (rv != APR_SUCCESS) {
        json_decref(seen);
        return apipool_admin_failed(request, rv, "clients cannot be listed", NULL);
    }
    json_array_foreach(clients, i, client)
    {
        if (is_seen(request, client)) {
            json_array_append(seen, client);
        }
    }
    json_decref(clients);
    return apipool_admin_reply(request->r, HTTP_OK, json_pack("{s:o}", "clients", seen));
}

int apipool_admin_client_create(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apipool_client_edit_t edit;
    char key[APIPOOL_CLIENT_KEY_SIZE];
    apipool_input_error_t flaw = {NULL};
    int status = read_client(request, 1, &edit);
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->client_create(r->server, &edit, r->pool, key, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a client cannot be made", &flaw);
    }
    const char *name = apipool_client_name_normalise(edit.name, r->pool);
    apipool_admin_audit(request, apr_psprintf(r->pool, "client %s created", name), NULL);
    status = show(request, HTTP_CREATED, name, key);
    OPENSSL_cleanse(key, sizeof(key));
    return status;
}

int apipool_admin_client_show(apipool_admin_request_t *request)
{
    json_t *client = NULL;
    int status = find(request, &client);
    return status == DECLINED ? apipool_admin_reply(request->r, HTTP_OK, client) : status;
}

int apipool_admin_client_edit(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apipool_client_edit_t edit;
    apipool_input_error_t flaw = {NULL};
    int status = find(request, NULL);
    if (status == DECLINED) {
        status = read_client(request, 0, &edit);
    }
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv =
        apipool_admin_api->client_change(r->server, request->name, &edit, r->pool, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a client cannot be changed", &flaw);
    }
    apipool_admin_audit(
        request,
        apr_psprintf(r->pool, "client %s edited (%s )", request->name,
                     apipool_admin_name_set(r->pool, members, edit.set, edit.enabled)),
        NULL);
    return show(request, HTTP_OK, request->name, NULL);
}

int apipool_admin_client_delete(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apipool_input_error_t flaw = {NULL};
    int status = find(request, NULL);
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv = apipool_admin_api->client_delete(r->server, request->name, r->pool, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a client cannot be deleted", &flaw);
    }
    apipool_admin_audit(request, apr_psprintf(r->pool, "client %s deleted", request->name), NULL);
    return apipool_admin_reply_nothing(r);
}

/* Tells the new key. */
int apipool_admin_client_rotate(apipool_admin_request_t *request)
{
    static const apipool_json_member_t rotation[] = {
        {"overlap", APIPOOL_JSON_COUNT, APIPOOL_JSON_NOT_NULL, .max = OVERLAP_MAX}, {NULL}};
    request_rec *r = request->r;
    char key[APIPOOL_CLIENT_KEY_SIZE];
    apipool_input_error_t flaw = {NULL};
    apr_uint32_t overlap = OVERLAP;
    unsigned given;
    int status = find(request, NULL);
    if (status == DECLINED) {
        status = apipool_admin_read_object(r, APIPOOL_ADMIN_BODY_MAX, rotation, &overlap, &given);
    }
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv =
        apipool_admin_api->client_rotate(r->server, request->name, overlap, r->pool, key, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a client's key cannot be rotated", &flaw);
    }
    apipool_admin_audit(request,
                        apr_psprintf(r->pool, "client %s has a new key (the old one ends in %u s)",
                                     request->name, overlap),
                        NULL);
    status = show(request, HTTP_OK, request->name, key);
    OPENSSL_cleanse(key, sizeof(key));
    return status;
}

int apipool_admin_client_end_old_key(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    apipool_input_error_t flaw = {NULL};
    int status = find(request, NULL);
    if (status != DECLINED) {
        return status;
    }
    apr_status_t rv =
        apipool_admin_api->client_end_old_key(r->server, request->name, r->pool, &flaw);
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "a client's old key cannot be ended", &flaw);
    }
    apipool_admin_audit(request, apr_psprintf(r->pool, "client %s: old key ended", request->name),
                        NULL);
    return apipool_admin_reply_nothing(r);
}
