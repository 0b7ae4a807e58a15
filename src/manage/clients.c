/* SPDX-License-Identifier: Apache-2.0
 * Clients in the operator's API: reading, creating, changing and removing them. */
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "client.h"
#include "client_name.h"
#include "config.h"
#include "lifecycle.h"
#include "manage.h"
#include "names.h"
#include "render.h"

#define BATCH    16  /* clients copied at a time */
#define TEXT_MAX 255 /* bytes of a list element */

_Static_assert(APIPOOL_CLIENT_NAME_SIZE == APIPOOL_CLIENT_NAME_MAX, "names fit into the table");

static const char *const list_names[] = {APIPOOL_CLIENT_LIST_NAMES};
static const char *const limit_names[] = {APIPOOL_CLIENT_LIMIT_NAMES};

/* --- Reading --- */

static apr_array_header_t *list_of(const apipool_client_terms_t *terms, int list, apr_pool_t *p)
{
    apr_array_header_t *texts = apr_array_make(p, 2, sizeof(const char *));
    for (const char *at = apipool_client_list(terms, list); *at; at += strlen(at) + 1) {
        APR_ARRAY_PUSH(texts, const char *) = apr_pstrdup(p, at);
    }
    return texts;
}

static json_t *render(const apipool_client_row_t *row, apr_pool_t *p)
{
    const apipool_client_terms_t *terms = &row->image.terms;
    json_t *usage = json_object();
    apr_time_t old_until = row->image.old_until > apr_time_now() ? row->image.old_until : 0;
    json_t *object =
        json_pack("{s:o,s:b,s:o}", "name", apipool_render_text(row->image.name), "enabled",
                  terms->enabled != 0, "expires_at", apipool_render_time(terms->expires_at));
    for (int i = 0; i < APIPOOL_CLIENT_LISTS; i++) {
        json_object_set_new(object, list_names[i], apipool_render_texts(list_of(terms, i, p)));
    }
    for (int i = 0; i < APIPOOL_CLIENT_LIMITS; i++) {
        json_object_set_new(object, limit_names[i], apipool_render_limit(terms->limits[i]));
    }
    apipool_render_counters(usage, &row->counters);
    apipool_render_add(object,
                       json_pack("{s:I,s:o,s:o,s:o,s:o}", "in_flight", (json_int_t)row->in_flight,
                                 "created_at", apipool_render_time(row->image.created_at),
                                 "old_until", apipool_render_time(old_until), "last_used_at",
                                 apipool_render_time(row->last_used_at), "usage", usage));
    return object;
}

static const char *name_of(json_t *client)
{
    return json_string_value(json_object_get(client, "name"));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(name_of(*(json_t *const *)a), name_of(*(json_t *const *)b));
}

apr_status_t apipool_manage_clients(struct server_rec *s, apr_pool_t *p, json_t **result)
{
    apipool_client_row_t *rows = apr_palloc(p, BATCH * sizeof(*rows));
    apr_array_header_t *clients = apr_array_make(p, BATCH, sizeof(json_t *));
    const char *server = apipool_config_scope(s);
    apr_uint32_t from = 0, count;
    apr_status_t rv = APR_SUCCESS;
    while (rv == APR_SUCCESS && from != APIPOOL_NONE) {
        rv = apipool_client_rows(apipool_lifecycle_segment(), server, apr_time_now(), &from, rows,
                                 BATCH, &count);
        for (apr_uint32_t i = 0; rv == APR_SUCCESS && i < count; i++) {
            APR_ARRAY_PUSH(clients, json_t *) = render(&rows[i], p);
        }
    }
    qsort(clients->elts, (size_t)clients->nelts, sizeof(json_t *), by_name);
    *result = json_array();
    for (int i = 0; i < clients->nelts; i++) {
        json_array_append_new(*result, APR_ARRAY_IDX(clients, i, json_t *));
    }
    if (rv != APR_SUCCESS) {
        json_decref(*result);
    }
    return rv;
}

/* Looks for the exact name first, as an earlier version may have stored a name that is not
 * normalised. */
static apr_status_t read_row(const char *server, const char *name, apr_pool_t *p,
                             apipool_client_row_t *row)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apr_status_t rv = apipool_client_read(segment, server, name, apr_time_now(), row);
    return rv != APR_NOTFOUND
               ? rv
               : apipool_client_read(segment, server, apipool_client_name_normalise(name, p),
                                     apr_time_now(), row);
}

apr_status_t apipool_manage_client(struct server_rec *s, const char *name, apr_pool_t *p,
                                   json_t **result)
{
    apipool_client_row_t row;
    apr_status_t rv = read_row(apipool_config_scope(s), name, p, &row);
    if (rv == APR_SUCCESS) {
        *result = render(&row, p);
    }
    return rv;
}

/* --- Checks of the input --- */

static apr_status_t refuse(apipool_input_error_t *flaw, const char *field, const char *message)
{
    *flaw = (apipool_input_error_t){field, message};
    return APR_EINVAL;
}

/* Returns 1 if a text can be used in a log, a label or a header field without escaping. */
static int is_clean(const char *text)
{
    char clean[TEXT_MAX + 1];
    apr_size_t len = strlen(text);
    if (!len || len > TEXT_MAX) {
        return 0;
    }
    apipool_name_clean(clean, sizeof(clean), text, len);
    return !strcmp(clean, text);
}

static apr_status_t check_name(const char *name, apr_pool_t *p, apipool_input_error_t *flaw)
{
    const char *fault = apipool_client_name_fault(name, p);
    if (!fault && !strcmp(name, APIPOOL_NAMED_OTHER)) {
        fault = "Must not be \"other\", which stands for all clients that are counted together.";
    }
    return fault ? refuse(flaw, "name", fault) : APR_SUCCESS;
}

static apr_status_t check_lists(const apipool_client_edit_t *edit, apipool_input_error_t *flaw)
{
    for (int i = 0; i < APIPOOL_CLIENT_LISTS; i++) {
        const apr_array_header_t *list = edit->lists[i];
        for (int k = 0; list && k < list->nelts; k++) {
            if (!is_clean(APR_ARRAY_IDX(list, k, const char *))) {
                return refuse(flaw, list_names[i],
                              "Each must have 1 to 255 bytes of UTF-8 without control characters, "
                              "quotes and backslashes.");
            }
        }
    }
    return APR_SUCCESS;
}

/* Change to make once no other one is in progress. */
typedef struct {
    const apipool_client_edit_t *edit;
    apr_pool_t *p;
    apipool_input_error_t *flaw;
} change_t;

static apr_status_t edit_terms(void *ctx, apipool_client_terms_t *terms)
{
    const change_t *change = ctx;
    const apipool_client_edit_t *edit = change->edit;
    apr_array_header_t *lists[APIPOOL_CLIENT_LISTS];
    for (int i = 0; i < APIPOOL_CLIENT_LISTS; i++) {
        lists[i] =
            edit->set & APIPOOL_CLIENT_SET_LIST(i) ? edit->lists[i] : list_of(terms, i, change->p);
    }
    for (int i = 0; i < APIPOOL_CLIENT_LIMITS; i++) {
        if (edit->set & APIPOOL_CLIENT_SET_LIMIT(i)) {
            terms->limits[i] = edit->limits[i];
        }
    }
    if (edit->set & APIPOOL_CLIENT_SET_ENABLED) {
        terms->enabled = edit->enabled != 0;
    }
    if (edit->set & APIPOOL_CLIENT_SET_EXPIRES_AT) {
        terms->expires_at = edit->expires_at;
    }
    return apipool_client_pack(terms, lists)
               ? APR_SUCCESS
               : refuse(change->flaw, NULL,
                        "Pools, models and endpoints take more than 2048 bytes together.");
}

/* --- Changes --- */

/* Without a configured pool there is no store. */
static apr_status_t make_change(apipool_client_change_t *change, apipool_input_error_t *flaw,
                                apr_pool_t *p)
{
    apipool_store_change_t made = apipool_store_client_change(change);
    change->segment = apipool_lifecycle_segment();
    if (!apipool_lifecycle_store() && !apipool_lifecycle_fault()) {
        flaw->message = "there is no store, because no pool is configured";
        return APR_EGENERAL;
    }
    apr_status_t rv = apipool_lifecycle_change(&made, &flaw->message, p);
    if (change->is_over_share) {
        flaw->message =
            "There is no room for another client; raise this virtual host's APIPoolClientCapacity.";
    }
    else if (rv == APR_ENOMEM && !flaw->message) {
        flaw->message = "There is no room for another client; raise APIPoolClientCapacity.";
    }
    else if (rv != APR_SUCCESS && !flaw->message) {
        flaw->message = "the change could not be made";
    }
    return rv;
}

static void name_client(apipool_client_image_t *image, const char *server, const char *name)
{
    apr_cpystrn(image->server, server, sizeof(image->server));
    apr_cpystrn(image->name, name, sizeof(image->name));
}

/* Makes a client's key. */
static int make_key(char *key, apipool_client_image_t *image)
{
    return apipool_client_key_make(RAND_bytes, key) &&
           apipool_client_key_digest(key, APIPOOL_CLIENT_KEY_LEN, image->digest);
}

/* Makes a client's key and its stored form. */
static apr_status_t make_image(const char *server, const char *name, char *key,
                               apipool_client_image_t *image)
{
    name_client(image, server, name);
    image->created_at = apr_time_now();
    image->terms.lists_len = APIPOOL_CLIENT_LISTS;
    return strlen(server) < sizeof(image->server) && make_key(key, image) ? APR_SUCCESS
                                                                          : APR_EGENERAL;
}

apr_status_t apipool_manage_client_create(struct server_rec *s, const apipool_client_edit_t *edit,
                                          apr_pool_t *p, char *key, apipool_input_error_t *flaw)
{
    apipool_client_change_t change = {.what = APIPOOL_CLIENT_CREATE,
                                      .share = apipool_config_client_share(s)};
    apipool_client_edit_t all = *edit;
    change_t ctx = {&all, p, flaw};
    const char *name = apipool_client_name_normalise(edit->name ? edit->name : "", p);
    all.set = APIPOOL_CLIENT_SET_ALL;
    apr_status_t rv = check_name(name, p, flaw);
    rv = rv == APR_SUCCESS ? check_lists(edit, flaw) : rv;
    if (rv == APR_SUCCESS) {
        rv = make_image(apipool_config_scope(s), name, key, &change.image);
        flaw->message = rv == APR_SUCCESS ? NULL : "the client key could not be made";
    }
    rv = rv == APR_SUCCESS ? edit_terms(&ctx, &change.image.terms) : rv;
    rv = rv == APR_SUCCESS ? make_change(&change, flaw, p) : rv;
    if (rv != APR_SUCCESS) {
        OPENSSL_cleanse(key, APIPOOL_CLIENT_KEY_SIZE);
    }
    return rv;
}

apr_status_t apipool_manage_client_rotate(struct server_rec *s, const char *name,
                                          apr_uint32_t overlap, apr_pool_t *p, char *key,
                                          apipool_input_error_t *flaw)
{
    apipool_client_change_t change = {.what = APIPOOL_CLIENT_ROTATE};
    apr_status_t rv = APR_EGENERAL;
    name_client(&change.image, apipool_config_scope(s), name);
    change.image.old_until = apr_time_now() + apr_time_from_sec(overlap);
    if (make_key(key, &change.image)) {
        rv = make_change(&change, flaw, p);
    }
    else {
        flaw->message = "the client key could not be made";
    }
    if (rv != APR_SUCCESS) {
        OPENSSL_cleanse(key, APIPOOL_CLIENT_KEY_SIZE);
    }
    return rv;
}

apr_status_t apipool_manage_client_end_old_key(struct server_rec *s, const char *name,
                                               apr_pool_t *p, apipool_input_error_t *flaw)
{
    apipool_client_change_t change = {.what = APIPOOL_CLIENT_END_OLD_KEY};
    name_client(&change.image, apipool_config_scope(s), name);
    change.image.old_until = apr_time_now();
    return make_change(&change, flaw, p);
}

apr_status_t apipool_manage_client_fill(struct server_rec *s, const apipool_client_edit_t *edit,
                                        apr_pool_t *p, apipool_client_image_t *image,
                                        apipool_input_error_t *flaw)
{
    change_t ctx = {edit, p, flaw};
    const char *server = apipool_config_scope(s);
    apr_status_t rv = check_name(edit->name, p, flaw);
    rv = rv == APR_SUCCESS ? check_lists(edit, flaw) : rv;
    if (rv == APR_SUCCESS) {
        name_client(image, server, edit->name);
        image->terms.lists_len = APIPOOL_CLIENT_LISTS;
        rv = edit_terms(&ctx, &image->terms);
    }
    return rv;
}

apr_status_t apipool_manage_client_change(struct server_rec *s, const char *name,
                                          const apipool_client_edit_t *edit, apr_pool_t *p,
                                          apipool_input_error_t *flaw)
{
    change_t ctx = {edit, p, flaw};
    apipool_client_change_t change = {.what = APIPOOL_CLIENT_EDIT, .edit = edit_terms, .ctx = &ctx};
    name_client(&change.image, apipool_config_scope(s), name);
    apr_status_t rv = check_lists(edit, flaw);
    return rv == APR_SUCCESS ? make_change(&change, flaw, p) : rv;
}

apr_status_t apipool_manage_client_delete(struct server_rec *s, const char *name, apr_pool_t *p,
                                          apipool_input_error_t *flaw)
{
    apipool_client_change_t change = {.what = APIPOOL_CLIENT_DELETE};
    name_client(&change.image, apipool_config_scope(s), name);
    return make_change(&change, flaw, p);
}
