/* SPDX-License-Identifier: Apache-2.0
 * Scopes: whose pools and clients these are; taking them over after a change of configuration. */
#include "scope.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "segment_layout.h"

static int is_unused(const apipool_segment_t *segment, const apipool_upstream_t *u)
{
    return u->members && !(u->configured && segment->pools[u->pool].configured);
}

apr_array_header_t *apipool_scope_unused(const apipool_segment_t *segment, apr_pool_t *p)
{
    apr_array_header_t *all = apr_array_make(p, 2, sizeof(apipool_unused_t));
    for (apr_uint32_t i = 0; i < segment->header->upstreams_used; i++) {
        const apipool_upstream_t *u = &segment->upstreams[i];
        const apipool_pool_t *pool = &segment->pools[u->pool];
        if (is_unused(segment, u)) {
            APR_ARRAY_PUSH(all, apipool_unused_t) =
                (apipool_unused_t){.scope = pool->server,
                                   .pool = pool->name,
                                   .upstream = u->name,
                                   .index = u->pool,
                                   .has_pool = pool->configured != 0,
                                   .keys = u->members};
        }
    }
    return all;
}

apr_array_header_t *apipool_scope_clients(apipool_segment_t *segment, apr_pool_t *p)
{
    apr_array_header_t *all = apr_array_make(p, 2, sizeof(apipool_scope_clients_t));
    apr_hash_t *seen = apr_hash_make(p);
    apipool_client_image_t image;
    for (apr_uint32_t i = 0; i < apipool_clients_used(&segment->clients); i++) {
        if (apipool_client_image(segment, i, &image) != APR_SUCCESS || !*image.server) {
            continue;
        }
        const apr_size_t *known = apr_hash_get(seen, image.server, APR_HASH_KEY_STRING);
        if (!known) {
            apr_size_t at = (apr_size_t)all->nelts;
            const char *scope = apr_pstrdup(p, image.server);
            known = apr_pmemdup(p, &at, sizeof(at));
            apr_hash_set(seen, scope, APR_HASH_KEY_STRING, known);
            APR_ARRAY_PUSH(all, apipool_scope_clients_t) = (apipool_scope_clients_t){scope, 0};
        }
        APR_ARRAY_IDX(all, *known, apipool_scope_clients_t).clients++;
    }
    return all;
}

apr_array_header_t *apipool_scope_all(apipool_segment_t *segment, apr_pool_t *p)
{
    const apr_array_header_t *clients = apipool_scope_clients(segment, p);
    apr_array_header_t *all = apr_array_make(p, 4, sizeof(const char *));
    apr_hash_t *seen = apr_hash_make(p);
    for (int i = 0; i < clients->nelts; i++) {
        const char *scope = APR_ARRAY_IDX(clients, i, apipool_scope_clients_t).scope;
        apr_hash_set(seen, scope, APR_HASH_KEY_STRING, scope);
        APR_ARRAY_PUSH(all, const char *) = scope;
    }
    for (apr_uint32_t i = 0; i < segment->header->upstreams_used; i++) {
        const apipool_upstream_t *u = &segment->upstreams[i];
        const char *scope = apr_pstrdup(p, segment->pools[u->pool].server);
        if (u->members && *scope && !apr_hash_get(seen, scope, APR_HASH_KEY_STRING)) {
            apr_hash_set(seen, scope, APR_HASH_KEY_STRING, scope);
            APR_ARRAY_PUSH(all, const char *) = scope;
        }
    }
    return all;
}

static int has_keys(const apipool_segment_t *segment, const char *scope)
{
    for (apr_uint32_t i = 0; i < segment->header->upstreams_used; i++) {
        const apipool_upstream_t *u = &segment->upstreams[i];
        if (u->members && !strcmp(segment->pools[u->pool].server, scope)) {
            return 1;
        }
    }
    return 0;
}

int apipool_scope_is_used(apipool_segment_t *segment, const char *scope)
{
    apr_uint32_t clients;
    return has_keys(segment, scope) ||
           (apipool_client_count(segment, scope, &clients) == APR_SUCCESS && clients);
}

int apipool_scope_has_pool(const apipool_segment_t *segment, const char *scope, const char *name)
{
    for (apr_uint32_t i = 0; i < segment->header->pools_used; i++) {
        const apipool_pool_t *pool = &segment->pools[i];
        if (!strcmp(pool->server, scope) && !strcmp(pool->name, name)) {
            return 1;
        }
    }
    return 0;
}

int apipool_scope_is_reached(const apipool_segment_t *segment, const char *scope)
{
    int found = !*scope;
    for (apr_uint32_t i = 0; !found && i < segment->header->pools_used; i++) {
        const apipool_pool_t *pool = &segment->pools[i];
        found = pool->configured && !strcmp(pool->server, scope);
    }
    return found;
}

const char *apipool_scope_of(const apipool_segment_t *segment, apr_uint32_t pool)
{
    return segment->pools[pool].server;
}

const char *apipool_scope_host(const char *scope)
{
    const char *last = strrchr(scope, ' ');
    return last ? last + 1 : scope;
}

/* A pool of the other scope that has the name already, and no keys, changes places with it. */
apr_status_t apipool_scope_take_pools(apipool_segment_t *segment, const char *from, const char *to)
{
    apipool_header_t *header = segment->header;
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_uint32_t i = 0; i < header->pools_used; i++) {
        apipool_pool_t *pool = &segment->pools[i];
        if (strcmp(pool->server, from)) {
            continue;
        }
        for (apr_uint32_t k = 0; k < header->pools_used; k++) {
            apipool_pool_t *other = &segment->pools[k];
            if (!strcmp(other->server, to) && !strcmp(other->name, pool->name)) {
                apr_cpystrn(other->server, "-", sizeof(other->server)); /* no server's name */
            }
        }
        apr_cpystrn(pool->server, to, sizeof(pool->server));
        header->store.changes++;
    }
    apipool_segment_unlock(segment);
    return APR_SUCCESS;
}

/* --- Clients --- */

static int is_taken(apipool_segment_t *segment, const char *to, const char *name,
                    const apr_array_header_t *moves)
{
    int taken = 1;
    if (apipool_segment_lock(segment) == APR_SUCCESS) {
        taken = apipool_clients_by_name_locked(&segment->clients, to, name) != NULL;
        apipool_segment_unlock(segment);
    }
    for (int i = 0; !taken && i < moves->nelts; i++) {
        taken = !strcmp(APR_ARRAY_IDX(moves, i, apipool_client_move_t).name, name);
    }
    return taken;
}

/* Returns 0 if there is no free name for the client. */
static int choose_name(apipool_segment_t *segment, const char *to, const char *host,
                       apipool_client_move_t *move, const apr_array_header_t *moves)
{
    char longer[APIPOOL_CLIENT_NAME_MAX + APIPOOL_CLIENT_SERVER_MAX];
    if (!is_taken(segment, to, move->name, moves)) {
        return 1;
    }
    apr_snprintf(longer, sizeof(longer), "%s@%s", move->name, host);
    if (strlen(longer) >= sizeof(move->name) || is_taken(segment, to, longer, moves)) {
        return 0;
    }
    apr_cpystrn(move->name, longer, sizeof(move->name));
    move->is_renamed = 1;
    return 1;
}

apr_array_header_t *apipool_scope_plan(apipool_segment_t *segment, const char *from, const char *to,
                                       apr_uint32_t *left, apr_pool_t *p)
{
    apr_array_header_t *moves = apr_array_make(p, 8, sizeof(apipool_client_move_t));
    apipool_client_image_t image;
    *left = 0;
    for (apr_uint32_t i = 0; i < apipool_clients_used(&segment->clients); i++) {
        apipool_client_move_t move = {.is_renamed = 0};
        if (apipool_client_image(segment, i, &image) != APR_SUCCESS || strcmp(image.server, from)) {
            continue;
        }
        memcpy(move.digest, image.digest, sizeof(move.digest));
        apr_cpystrn(move.name, image.name, sizeof(move.name));
        if (choose_name(segment, to, apipool_scope_host(from), &move, moves)) {
            APR_ARRAY_PUSH(moves, apipool_client_move_t) = move;
        }
        else {
            ++*left;
        }
    }
    return moves;
}
