/* SPDX-License-Identifier: Apache-2.0
 * What no server reaches, in the operator's API: clients and keys of servers and pools that the
 * configuration lacks, and moving them to where they are reached. */
#include "manage.h"

#include <apr_strings.h>
#include <string.h>

#include "config.h"
#include "lifecycle.h"
#include "render.h"
#include "scope.h"

/* The main server is everybody's operator. A virtual host is its own, unless another one has pools
 * as well: what is left behind could be that one's. */
static int may_see(server_rec *s)
{
    const char *own = apipool_config_scope(s);
    for (server_rec *other = ap_server_conf; s->is_virtual && other; other = other->next) {
        const char *scope = apipool_config_scope(other);
        if (*scope && strcmp(scope, own)) {
            return 0;
        }
    }
    return 1;
}

apr_status_t apipool_manage_unreached(server_rec *s, apr_pool_t *p, json_t **result)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    const apr_array_header_t *scopes = apipool_scope_clients(segment, p),
                             *unused = apipool_scope_unused(segment, p);
    json_t *clients = json_array(), *keys = json_array();
    int seen = may_see(s);
    for (int i = 0; seen && i < scopes->nelts; i++) {
        const apipool_scope_clients_t *of = &APR_ARRAY_IDX(scopes, i, apipool_scope_clients_t);
        if (!apipool_scope_is_reached(segment, of->scope)) {
            json_array_append_new(clients,
                                  json_pack("{s:o,s:I}", "server", apipool_render_text(of->scope),
                                            "clients", (json_int_t)of->clients));
        }
    }
    for (int i = 0; seen && i < unused->nelts; i++) {
        const apipool_unused_t *of = &APR_ARRAY_IDX(unused, i, apipool_unused_t);
        if (!of->has_pool) {
            json_array_append_new(keys, json_pack("{s:s,s:s,s:s,s:I}", "server", of->scope, "pool",
                                                  of->pool, "upstream", of->upstream, "keys",
                                                  (json_int_t)of->keys));
        }
    }
    *result = json_pack("{s:o,s:o}", "clients", clients, "keys", keys);
    return APR_SUCCESS;
}

/* --- Moving clients --- */

typedef struct {
    const char *from, *to;
    const apr_array_header_t *moves; /* apipool_client_move_t */
    apipool_moved_t *result;
    apr_pool_t *p;
} work_t;

static apr_status_t prepare(void *ctx, int *changes, const char **error)
{
    work_t *work = ctx;
    work->moves = apipool_scope_plan(apipool_lifecycle_segment(), work->from, work->to,
                                     &work->result->left, work->p);
    work->result->moved = (apr_uint32_t)work->moves->nelts;
    *changes = work->moves->nelts > 0;
    return APR_SUCCESS;
}

static void write_client(void *ctx, apipool_client_image_t *image)
{
    const work_t *work = ctx;
    for (int i = 0; !strcmp(image->server, work->from) && i < work->moves->nelts; i++) {
        const apipool_client_move_t *move = &APR_ARRAY_IDX(work->moves, i, apipool_client_move_t);
        if (!memcmp(move->digest, image->digest, sizeof(move->digest))) {
            apr_cpystrn(image->server, work->to, sizeof(image->server));
            apr_cpystrn(image->name, move->name, sizeof(image->name));
        }
    }
}

static apr_status_t apply(void *ctx)
{
    const work_t *work = ctx;
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < work->moves->nelts; i++) {
        const apipool_client_move_t *move = &APR_ARRAY_IDX(work->moves, i, apipool_client_move_t);
        rv = apipool_client_move(apipool_lifecycle_segment(), move->digest, work->to, move->name);
    }
    return rv;
}

static apr_status_t move_clients(server_rec *s, const char *from, apr_pool_t *p,
                                 apipool_moved_t *result, apipool_input_error_t *flaw)
{
    work_t work = {.from = from, .to = apipool_config_scope(s), .result = result, .p = p};
    apipool_store_change_t change = {
        .prepare = prepare, .each_client = write_client, .apply = apply, .ctx = &work};
    if (!*from || apipool_scope_is_reached(apipool_lifecycle_segment(), from)) {
        *flaw = (apipool_input_error_t){"server", "A server reaches these clients."};
        return APR_EINVAL;
    }
    return apipool_lifecycle_change(&change, &flaw->message, p);
}

/* --- Moving keys --- */

static apr_status_t move_keys(const apipool_move_t *move, apr_pool_t *p, apipool_moved_t *result,
                              apipool_input_error_t *flaw)
{
    const apr_array_header_t *unused = apipool_scope_unused(apipool_lifecycle_segment(), p);
    for (int i = 0; i < unused->nelts; i++) {
        const apipool_unused_t *of = &APR_ARRAY_IDX(unused, i, apipool_unused_t);
        if (of->has_pool || strcmp(of->scope, move->server) || strcmp(of->pool, move->pool) ||
            strcmp(of->upstream, move->upstream)) {
            continue;
        }
        apipool_key_changed_t changed;
        apipool_key_change_t change = {.action = APIPOOL_DO_EDIT,
                                       .edit = {.set = APIPOOL_SET_UPSTREAM},
                                       .to_pool = move->to_pool,
                                       .to_upstream = move->to_upstream,
                                       .filter = {.upstream = of->upstream}};
        apr_status_t rv = apipool_manage_key_change(of->index, &change, p, &changed, flaw);
        result->moved = changed.done;
        flaw->field = flaw->field ? "to_upstream" : NULL;
        return rv;
    }
    *flaw = (apipool_input_error_t){"pool", "There are no such keys that no server reaches."};
    return APR_EINVAL;
}

apr_status_t apipool_manage_unreached_move(server_rec *s, const apipool_move_t *move, apr_pool_t *p,
                                           apipool_moved_t *result, apipool_input_error_t *flaw)
{
    memset(result, 0, sizeof(*result));
    if (!may_see(s)) {
        return APR_NOTFOUND;
    }
    return move->pool ? move_keys(move, p, result, flaw)
                      : move_clients(s, move->server, p, result, flaw);
}
