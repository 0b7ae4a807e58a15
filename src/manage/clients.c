/* SPDX-License-Identifier: Apache-2.0
 * Clients for the operator's API: what is told of them, and how they are made, changed and removed. */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "client.h"
#include "clientname.h"
#include "config.h"
#include "lasting.h"
#include "manage.h"
#include "names.h"

#define BATCH    16  /* clients that are copied at a time */
#define TEXT_MAX 255 /* bytes of what stands in a list */

_Static_assert(APIPOOL_CLIENTNAME_SIZE == APIPOOL_CLIENT_NAME_MAX, "names fit into the table");

/* --- telling --- */

static apr_array_header_t *list_of(const apipool_client_terms_t *terms, int list, apr_pool_t *p)
{
    apr_array_header_t *texts = apr_array_make(p, 2, sizeof(const char *));
    for (const char *at = apipool_client_list(terms, list); *at; at += strlen(at) + 1) {
        APR_ARRAY_PUSH(texts, const char *) = apr_pstrdup(p, at);
    }
    return texts;
}

static void tell(const apipool_client_row_t *row, apr_pool_t *p, apipool_client_info_t *info)
{
    const apipool_client_terms_t *terms = &row->image.terms;
    *info = (apipool_client_info_t){
        .name = apr_pstrdup(p, row->image.name),
        .enabled = terms->enabled != 0,
        .expires_at = terms->expires_at,
        .pools = list_of(terms, APIPOOL_CLIENT_POOLS, p),
        .models = list_of(terms, APIPOOL_CLIENT_MODELS, p),
        .endpoints = list_of(terms, APIPOOL_CLIENT_ENDPOINTS, p),
        .rpm = terms->limits[APIPOOL_CLIENT_RPM],
        .tpm = terms->limits[APIPOOL_CLIENT_TPM],
        .tokens_per_day = terms->limits[APIPOOL_CLIENT_TPD],
        .concurrency = terms->limits[APIPOOL_CLIENT_CONCURRENCY],
        .in_flight = row->in_flight,
        .created_at = row->image.created_at,
        .last_used_at = row->last_used_at,
        .numbers = row->numbers,
    };
}

static int by_name(const void *a, const void *b)
{
    const apipool_client_info_t *first = a, *second = b;
    return strcmp(first->name, second->name);
}

apr_status_t apipool_manage_clients(struct server_rec *s, apr_pool_t *p,
                                    apr_array_header_t **clients)
{
    apipool_client_row_t *rows = apr_palloc(p, BATCH * sizeof(*rows));
    const char *server = apipool_config_server_name(p, s);
    apr_uint32_t from = 0, count;
    apr_status_t rv = APR_SUCCESS;
    *clients = apr_array_make(p, BATCH, sizeof(apipool_client_info_t));
    while (rv == APR_SUCCESS && from != APIPOOL_NONE) {
        rv = apipool_client_rows(apipool_lasting_segment(), server, apr_time_now(), &from, rows,
                                 BATCH, &count);
        for (apr_uint32_t i = 0; i < count; i++) {
            tell(&rows[i], p, apr_array_push(*clients));
        }
    }
    qsort((*clients)->elts, (size_t)(*clients)->nelts, sizeof(apipool_client_info_t), by_name);
    return rv;
}

/* A name as it was made by a version that did not normalise names goes before the form that it has today. */
static apr_status_t read_row(const char *server, const char *name, apr_pool_t *p,
                             apipool_client_row_t *row)
{
    apipool_segment_t *segment = apipool_lasting_segment();
    apr_status_t rv = apipool_client_read(segment, server, name, apr_time_now(), row);
    return rv != APR_NOTFOUND
               ? rv
               : apipool_client_read(segment, server, apipool_clientname_normalise(name, p),
                                     apr_time_now(), row);
}

apr_status_t apipool_manage_client(struct server_rec *s, const char *name, apr_pool_t *p,
                                   apipool_client_info_t *info)
{
    apipool_client_row_t row;
    apr_status_t rv = read_row(apipool_config_server_name(p, s), name, p, &row);
    if (rv == APR_SUCCESS) {
        tell(&row, p, info);
    }
    return rv;
}

/* --- what an operator may say --- */

static apr_status_t refuse(const char **error, const char *sentence)
{
    *error = sentence;
    return APR_EINVAL;
}

/* Whether it can stand in a log, a label or a header field as it is. */
static int is_clean(const char *text, apr_size_t max)
{
    char clean[TEXT_MAX + 1];
    apr_size_t len = strlen(text);
    if (!len || len > max) {
        return 0;
    }
    apipool_name_clean(clean, sizeof(clean), text, len);
    return !strcmp(clean, text);
}

static apr_status_t check_name(const char *name, apr_pool_t *p, const char **error)
{
    const char *fault = apipool_clientname_fault(name, p);
    if (!fault && !strcmp(name, APIPOOL_NAMED_OTHER)) {
        fault = "Must not be \"other\", which stands for all clients that are counted together.";
    }
    return fault ? refuse(error, apr_pstrcat(p, "name: ", fault, NULL)) : APR_SUCCESS;
}

static apr_status_t check_list(const apr_array_header_t *list, const char *member, apr_pool_t *p,
                               const char **error)
{
    for (int i = 0; list && i < list->nelts; i++) {
        if (!is_clean(APR_ARRAY_IDX(list, i, const char *), TEXT_MAX)) {
            return refuse(error, apr_psprintf(p,
                                              "%s: Each must have 1 to 255 bytes of UTF-8 without "
                                              "control characters, quotes and backslashes.",
                                              member));
        }
    }
    return APR_SUCCESS;
}

static apr_status_t check_lists(const apipool_client_info_t *client, apr_pool_t *p,
                                const char **error)
{
    apr_status_t rv = check_list(client->pools, "pools", p, error);
    rv = rv == APR_SUCCESS ? check_list(client->models, "models", p, error) : rv;
    return rv == APR_SUCCESS ? check_list(client->endpoints, "endpoints", p, error) : rv;
}

/* Puts what set says into terms. */
static apr_status_t take_terms(const apipool_client_info_t *client, unsigned set, apr_pool_t *p,
                               apipool_client_terms_t *terms, const char **error)
{
    apr_array_header_t *lists[APIPOOL_CLIENT_LISTS] = {
        set & APIPOOL_CLIENT_SET_POOLS ? client->pools : list_of(terms, APIPOOL_CLIENT_POOLS, p),
        set & APIPOOL_CLIENT_SET_MODELS ? client->models : list_of(terms, APIPOOL_CLIENT_MODELS, p),
        set & APIPOOL_CLIENT_SET_ENDPOINTS ? client->endpoints
                                           : list_of(terms, APIPOOL_CLIENT_ENDPOINTS, p)};
    if (set & APIPOOL_CLIENT_SET_ENABLED) {
        terms->enabled = client->enabled != 0;
    }
    if (set & APIPOOL_CLIENT_SET_EXPIRES_AT) {
        terms->expires_at = client->expires_at > 0 ? client->expires_at : 0;
    }
    if (set & APIPOOL_CLIENT_SET_RPM) {
        terms->limits[APIPOOL_CLIENT_RPM] = client->rpm;
    }
    if (set & APIPOOL_CLIENT_SET_TPM) {
        terms->limits[APIPOOL_CLIENT_TPM] = client->tpm;
    }
    if (set & APIPOOL_CLIENT_SET_TOKENS_PER_DAY) {
        terms->limits[APIPOOL_CLIENT_TPD] = client->tokens_per_day;
    }
    if (set & APIPOOL_CLIENT_SET_CONCURRENCY) {
        terms->limits[APIPOOL_CLIENT_CONCURRENCY] = client->concurrency;
    }
    return apipool_client_pack(terms, lists)
               ? APR_SUCCESS
               : refuse(error, "Pools, models and endpoints take more than 2048 bytes together.");
}

/* --- changing --- */

static apr_status_t explain(apr_status_t rv, const char **error)
{
    if (!*error && rv == APR_EEXIST) {
        *error = "A client with this name already exists.";
    }
    else if (!*error && rv == APR_ENOMEM) {
        *error = "There is no room for another client; raise APIPoolClientCapacity.";
    }
    else if (!*error && rv == APR_NOTFOUND) {
        *error = "There is no such client.";
    }
    else if (!*error && rv != APR_SUCCESS) {
        *error = "the change could not be made";
    }
    return rv;
}

/* Where no pool is configured there is no store. */
static apr_status_t make_change(apipool_client_change_t *change, const char **error, apr_pool_t *p)
{
    apipool_store_change_t made = apipool_store_client_change(change);
    change->segment = apipool_lasting_segment();
    if (!apipool_lasting_store()) {
        *error = "there is no store, because no pool is configured";
        return APR_EGENERAL;
    }
    *error = NULL;
    return explain(apipool_lasting_change(&made, error, p), error);
}

static void name_client(apipool_client_image_t *image, const char *server, const char *name)
{
    apr_cpystrn(image->server, server, sizeof(image->server));
    apr_cpystrn(image->name, name, sizeof(image->name));
}

static apr_status_t make_image(const char *server, const apipool_client_info_t *client,
                               const char *key, apr_pool_t *p, apipool_client_image_t *image,
                               const char **error)
{
    name_client(image, server, client->name);
    image->created_at = apr_time_now();
    image->terms.lists_len = APIPOOL_CLIENT_LISTS;
    if (strlen(server) >= sizeof(image->server) ||
        !apipool_clientkey_digest(key, APIPOOL_CLIENTKEY_LEN, image->digest)) {
        *error = "the client key could not be made";
        return APR_EGENERAL;
    }
    return take_terms(client, APIPOOL_CLIENT_SET_ALL, p, &image->terms, error);
}

apr_status_t apipool_manage_client_create(struct server_rec *s, const apipool_client_info_t *client,
                                          apr_pool_t *p, char *key, const char **error)
{
    apipool_client_change_t change = {.what = APIPOOL_CLIENT_CREATE,
                                      .share = apipool_config_client_share(s)};
    apipool_client_info_t made = *client;
    made.name = apipool_clientname_normalise(client->name ? client->name : "", p);
    apr_status_t rv = check_name(made.name, p, error);
    rv = rv == APR_SUCCESS ? check_lists(client, p, error) : rv;
    if (rv == APR_SUCCESS && !apipool_clientkey_make(RAND_bytes, key)) {
        *error = "the client key could not be made";
        rv = APR_EGENERAL;
    }
    if (rv == APR_SUCCESS) {
        rv = make_image(apipool_config_server_name(p, s), &made, key, p, &change.image, error);
    }
    if (rv == APR_SUCCESS) {
        rv = make_change(&change, error, p);
    }
    if (change.is_over_share) {
        *error =
            "There is no room for another client; raise this virtual host's APIPoolClientCapacity.";
    }
    if (rv != APR_SUCCESS) {
        OPENSSL_cleanse(key, APIPOOL_CLIENT_KEY_SIZE);
    }
    return rv;
}

/* What is to be changed, for the moment in which nobody else changes anything. */
typedef struct {
    const apipool_client_info_t *client;
    unsigned set;
    apr_pool_t *pool;
    const char **error;
} edit_t;

static apr_status_t edit_terms(void *ctx, apipool_client_terms_t *terms)
{
    edit_t *edit = ctx;
    return take_terms(edit->client, edit->set, edit->pool, terms, edit->error);
}

apr_status_t apipool_manage_client_change(struct server_rec *s, const char *name,
                                          const apipool_client_info_t *client, unsigned set,
                                          apr_pool_t *p, const char **error)
{
    edit_t edit = {client, set, p, error};
    apipool_client_change_t change = {
        .what = APIPOOL_CLIENT_EDIT, .edit = edit_terms, .ctx = &edit};
    name_client(&change.image, apipool_config_server_name(p, s), name);
    apr_status_t rv = check_lists(client, p, error);
    return rv == APR_SUCCESS ? make_change(&change, error, p) : rv;
}

apr_status_t apipool_manage_client_delete(struct server_rec *s, const char *name, apr_pool_t *p,
                                          const char **error)
{
    apipool_client_change_t change = {.what = APIPOOL_CLIENT_DELETE};
    name_client(&change.image, apipool_config_server_name(p, s), name);
    return make_change(&change, error, p);
}
