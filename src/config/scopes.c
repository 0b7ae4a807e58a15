/* SPDX-License-Identifier: Apache-2.0
 * Which scope a server's pools and clients have, and what of the store is taken over by which. */
#include "scopes.h"

#include <apr_strings.h>

#include "scope.h"

/* Server with its names: the one that earlier versions stored, and its ServerName. */
typedef struct {
    server_rec *s;
    const char *address, *host;
    const char *scope; /* "" without pools of its own */
    int has_pools;
} place_t;

/* How well a place fits to what is stored, in the order of trying. */
enum { BY_ADDRESS, BY_HOST, BY_POOL, PASSES };

static int fits(const place_t *place, const char *stored, int pass,
                const apipool_segment_t *segment)
{
    const apr_array_header_t *pools = apipool_config_server(place->s)->pools;
    if (pass != BY_POOL) {
        const char *name = pass == BY_ADDRESS ? stored : apipool_scope_host(stored);
        return place->s->is_virtual &&
               !ap_cstr_casecmp(name, pass == BY_ADDRESS ? place->address : place->host);
    }
    for (int i = 0; place->has_pools && i < pools->nelts; i++) {
        if (apipool_scope_has_pool(segment, stored,
                                   APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *)->name)) {
            return 1;
        }
    }
    return 0;
}

static apr_array_header_t *find_places(server_rec *main_server, apr_pool_t *p)
{
    apr_array_header_t *places = apr_array_make(p, 8, sizeof(place_t));
    for (server_rec *s = main_server; s; s = s->next) {
        const apipool_server_conf_t *conf = apipool_config_server(s);
        int is_own = s == main_server || conf != apipool_config_server(main_server);
        APR_ARRAY_PUSH(places, place_t) = (place_t){.s = s,
                                                    .address = apipool_config_address(p, s),
                                                    .host = apipool_config_host(p, s),
                                                    .scope = "",
                                                    .has_pools = is_own && conf->pools->nelts};
    }
    return places;
}

/* Virtual hosts of one ServerName whose keys an earlier version kept apart by their addresses, as
 * long as that is so. */
static int is_apart(const apr_array_header_t *places, const place_t *place,
                    apipool_segment_t *segment)
{
    int known = 0;
    for (int i = 0; i < places->nelts; i++) {
        const place_t *other = &APR_ARRAY_IDX(places, i, place_t);
        known += other->has_pools && other->s->is_virtual && !strcmp(other->host, place->host) &&
                 apipool_scope_is_used(segment, other->address);
    }
    return known > 1 && apipool_scope_is_used(segment, place->address);
}

static void name_places(apr_array_header_t *places, apipool_segment_t *segment)
{
    for (int i = 0; i < places->nelts; i++) {
        place_t *place = &APR_ARRAY_IDX(places, i, place_t);
        if (!place->has_pools || !place->s->is_virtual) {
            continue;
        }
        place->scope = place->host;
        if (is_apart(places, place, segment)) {
            place->scope = place->address;
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, place->s,
                         APIPOOL_LOG(0174) "another virtual host has the ServerName %s and pools "
                                           "with other keys; they stay apart as long as their "
                                           "addresses stay, so give them different ServerNames",
                         place->host);
        }
        apipool_config_server(place->s)->scope = place->scope;
    }
}

static int is_current(const apr_array_header_t *places, const char *stored)
{
    for (int i = 0; i < places->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(places, i, place_t).scope, stored)) {
            return 1;
        }
    }
    return 0;
}

/* The one scope that what is stored may go to; NULL: there is none, or there are several. Virtual
 * hosts with pools of their own come first. */
static const char *find_target(const apr_array_header_t *places, const char *stored, int pass,
                               apipool_segment_t *segment)
{
    const char *target = NULL;
    int has_pools = 0, several = 0;
    for (int i = 0; i < places->nelts; i++) {
        const place_t *place = &APR_ARRAY_IDX(places, i, place_t);
        if (!fits(place, stored, pass, segment) || (has_pools && !place->has_pools)) {
            continue;
        }
        if (place->has_pools && !has_pools) {
            target = NULL;
        }
        has_pools |= place->has_pools;
        several = target && (several || strcmp(target, place->scope));
        target = place->scope;
    }
    return several ? NULL : target;
}

static apr_status_t take_clients(server_rec *s, apipool_segment_t *segment, const char *from,
                                 const char *to, apr_pool_t *p)
{
    apr_uint32_t left;
    apr_status_t rv = APR_SUCCESS;
    const apr_array_header_t *moves = apipool_scope_plan(segment, from, to, &left, p);
    for (int i = 0; rv == APR_SUCCESS && i < moves->nelts; i++) {
        const apipool_client_move_t *move = &APR_ARRAY_IDX(moves, i, apipool_client_move_t);
        rv = apipool_client_move(segment, move->digest, to, move->name);
        if (move->is_renamed) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         APIPOOL_LOG(0172) "client %s is called so from now on, because its name "
                                           "is taken; look for its old name in Require user",
                         move->name);
        }
    }
    return rv;
}

/* A virtual host without pools of its own has only clients. */
static apr_status_t take(server_rec *s, apipool_segment_t *segment, const char *from,
                         const char *to, int pass, apr_pool_t *p)
{
    apr_status_t rv = take_clients(s, segment, from, to, p);
    if (rv == APR_SUCCESS && (*to || pass == BY_POOL)) {
        rv = apipool_scope_take_pools(segment, from, to);
    }
    ap_log_error(APLOG_MARK, APLOG_NOTICE, rv, s,
                 APIPOOL_LOG(0171) "the keys and clients of %s belong to %s now", from,
                 *to ? to : "the main server");
    return rv;
}

/* What two may claim stays where it is, and so does what would come to keys or clients of another;
 * only the main server's clients are everybody's. */
static apr_status_t settle(server_rec *main_server, const apr_array_header_t *places, int pass,
                           apipool_segment_t *segment, apr_pool_t *p)
{
    const apr_array_header_t *stored = apipool_scope_all(segment, p);
    const char **targets = apr_pcalloc(p, sizeof(*targets) * (apr_size_t)(stored->nelts + 1));
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; i < stored->nelts; i++) {
        const char *scope = APR_ARRAY_IDX(stored, i, const char *);
        const char *target =
            is_current(places, scope) ? NULL : find_target(places, scope, pass, segment);
        int is_shared = target && !*target && pass != BY_POOL;
        targets[i] =
            target && (is_shared || !apipool_scope_is_used(segment, target)) ? target : NULL;
    }
    for (int i = 0; rv == APR_SUCCESS && i < stored->nelts; i++) {
        int claims = 0;
        for (int k = 0; targets[i] && k < stored->nelts; k++) {
            claims += targets[k] && !strcmp(targets[k], targets[i]);
        }
        if (claims == 1 || (claims && !*targets[i] && pass != BY_POOL)) {
            rv = take(main_server, segment, APR_ARRAY_IDX(stored, i, const char *), targets[i],
                      pass, p);
        }
    }
    return rv;
}

apr_status_t apipool_scopes_settle(server_rec *main_server, apipool_segment_t *segment,
                                   apr_pool_t *p)
{
    apr_array_header_t *places = find_places(main_server, p);
    apr_status_t rv = APR_SUCCESS;
    name_places(places, segment);
    for (int pass = 0; rv == APR_SUCCESS && pass < PASSES; pass++) {
        rv = settle(main_server, places, pass, segment, p);
    }
    return rv;
}

static apr_uint32_t warn_of_keys(server_rec *s, const apr_array_header_t *unused)
{
    apr_uint32_t keys = 0;
    for (int i = 0; i < unused->nelts; i++) {
        const apipool_unused_t *of = &APR_ARRAY_IDX(unused, i, apipool_unused_t);
        keys += of->has_pool ? 0 : of->keys;
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     APIPOOL_LOG(0059) "pool %s%s%s: %u keys of upstream %s are kept but not used: "
                                       "the configuration has no such %s; move them in the page, "
                                       "or with the API",
                     of->pool, *of->scope ? " of " : "", of->scope, of->keys, of->upstream,
                     of->has_pool ? "upstream in this pool" : "pool");
    }
    return keys;
}

void apipool_scopes_warn(server_rec *main_server, apipool_segment_t *segment, apr_pool_t *p)
{
    const apr_array_header_t *scopes = apipool_scope_clients(segment, p);
    apr_uint32_t clients = 0, keys = warn_of_keys(main_server, apipool_scope_unused(segment, p));
    const char *whose = "";
    for (int i = 0; i < scopes->nelts; i++) {
        const apipool_scope_clients_t *of = &APR_ARRAY_IDX(scopes, i, apipool_scope_clients_t);
        if (!apipool_scope_is_reached(segment, of->scope)) {
            clients += of->clients;
            whose = apr_pstrcat(p, whose, *whose ? ", " : "", of->scope, NULL);
        }
    }
    if (clients || keys) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     APIPOOL_LOG(0170) "no server reaches %u clients%s%s and %u keys; move them "
                                       "in the page, under Clients, or with POST api/unreached",
                     clients, *whose ? " of " : "", whose, keys);
    }
}
