/* SPDX-License-Identifier: Apache-2.0
 * Routes: clients and keys that no server reaches. */
#include "admin.h"

#include <apr_strings.h>

/* A location with APIPoolAdminPools has nothing to do with pools that are not among them. */
int apipool_admin_unreached_list(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    json_t *result = NULL;
    if (request->conf->pools) {
        return apipool_admin_reply(r, HTTP_OK, json_pack("{s:[],s:[]}", "clients", "keys"));
    }
    apr_status_t rv = apipool_admin_api->unreached(r->server, r->pool, &result);
    return rv == APR_SUCCESS
               ? apipool_admin_reply(r, HTTP_OK, result)
               : apipool_admin_failed(request, rv, "what no server reaches cannot be listed", NULL);
}

/* The body of a move. */
typedef struct {
    apipool_move_t move;
    const char *to_pool;
} body_t;

#define TO(member) offsetof(body_t, member)
static const apipool_json_member_t members[] = {
    {"server", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(move.server), .max = 255},
    {"pool", APIPOOL_JSON_STRING, APIPOOL_JSON_OPTIONAL, .offset = TO(move.pool), .max = 255},
    {"upstream", APIPOOL_JSON_STRING, APIPOOL_JSON_OPTIONAL, .offset = TO(move.upstream),
     .max = 255},
    {"to_pool", APIPOOL_JSON_STRING, APIPOOL_JSON_OPTIONAL, .offset = TO(to_pool), .max = 255},
    {"to_upstream", APIPOOL_JSON_STRING, APIPOOL_JSON_OPTIONAL, .offset = TO(move.to_upstream),
     .max = 255},
    {NULL}};

/* Finds the pool that keys move to. Returns 0 if the body is not whole. */
static int find_pool(const apipool_admin_request_t *request, body_t *body)
{
    const apipool_pool_info_t *pool =
        body->to_pool ? apipool_admin_find_pool(apipool_admin_pools(request), body->to_pool) : NULL;
    if (!body->move.pool) {
        return !body->move.upstream && !body->to_pool && !body->move.to_upstream;
    }
    body->move.to_pool = pool ? pool->index : 0;
    return body->move.upstream && pool;
}

int apipool_admin_unreached_move(apipool_admin_request_t *request)
{
    request_rec *r = request->r;
    body_t body = {.to_pool = NULL};
    apipool_moved_t moved;
    apipool_input_error_t flaw = {NULL};
    unsigned present;
    int status = apipool_admin_read_object(r, APIPOOL_ADMIN_BODY_MAX, members, &body, &present);
    if (status != DECLINED) {
        return status;
    }
    if (!find_pool(request, &body)) {
        return apipool_admin_refuse(r, "to_pool",
                                    "For keys, pool, upstream and a pool to move them to are "
                                    "required; for clients, none of these.");
    }
    apr_status_t rv =
        request->conf->pools
            ? APR_NOTFOUND
            : apipool_admin_api->unreached_move(r->server, &body.move, r->pool, &moved, &flaw);
    if (rv == APR_NOTFOUND) {
        return apipool_admin_error(r, HTTP_NOT_FOUND, "not_found",
                                   "Nothing of this server can be moved from here.");
    }
    if (rv != APR_SUCCESS) {
        return apipool_admin_failed(request, rv, "what no server reaches cannot be moved", &flaw);
    }
    const char *from = *body.move.server ? body.move.server : "the main server";
    apipool_admin_audit(request,
                        body.move.pool
                            ? apr_psprintf(r->pool, "%u keys moved from pool %s of %s to pool %s",
                                           moved.moved, body.move.pool, from, body.to_pool)
                            : apr_psprintf(r->pool, "%u clients moved from %s", moved.moved, from),
                        NULL);
    return apipool_admin_reply(
        r, HTTP_OK,
        json_pack("{s:I,s:I}", "moved", (json_int_t)moved.moved, "left", (json_int_t)moved.left));
}
