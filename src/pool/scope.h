/* SPDX-License-Identifier: Apache-2.0
 * Scopes: whose pools and clients these are; taking them over after a change of configuration. */
#ifndef APIPOOL_POOL_SCOPE_H
#define APIPOOL_POOL_SCOPE_H

#include <apr_tables.h>

#include "client.h"
#include "segment.h"

/* A scope is the name by which the pools and clients of a server are found again: "" for the main
 * server, and the ServerName of a virtual host that has pools of its own. src/config/scopes.c
 * chooses it. Unless noted otherwise, functions take the segment's lock in small steps. */

/* Keys of one upstream that no request can get. */
typedef struct {
    const char *scope, *pool, *upstream; /* valid as long as the segment */
    apr_uint32_t index;                  /* of the pool */
    int has_pool;                        /* the pool is configured, only the upstream is not */
    apr_uint32_t keys;
} apipool_unused_t;

/** Lists the upstreams that have keys but are not configured, or whose pool is not:
 *  apipool_unused_t. No lock: the counts may be a moment old. */
apr_array_header_t *apipool_scope_unused(const apipool_segment_t *segment, apr_pool_t *p);

/* Clients of one scope. */
typedef struct {
    const char *scope;
    apr_uint32_t clients;
} apipool_scope_clients_t;

/** Counts the clients of each scope but the main server's: apipool_scope_clients_t. */
apr_array_header_t *apipool_scope_clients(apipool_segment_t *segment, apr_pool_t *p);

/** Lists all scopes with keys or clients but the main server's: const char *. */
apr_array_header_t *apipool_scope_all(apipool_segment_t *segment, apr_pool_t *p);

/** Returns 1 if a scope has keys or clients. */
int apipool_scope_is_used(apipool_segment_t *segment, const char *scope);

/** Returns 1 if a scope has a pool with this name, configured or not. No lock. */
int apipool_scope_has_pool(const apipool_segment_t *segment, const char *scope, const char *name);

/** Returns 1 if a scope has a configured pool, or is the main server's. No lock. */
int apipool_scope_is_reached(const apipool_segment_t *segment, const char *scope);

/** Scope of a pool; it follows when the pool is taken over. Valid as long as the segment. */
const char *apipool_scope_of(const apipool_segment_t *segment, apr_uint32_t pool);

/** Host of a scope; earlier versions wrote addresses and ports before it. */
const char *apipool_scope_host(const char *scope);

/** Gives the pools of one scope to another that has no keys: parent, before pools are attached. */
apr_status_t apipool_scope_take_pools(apipool_segment_t *segment, const char *from, const char *to);

/* New scope and name of a client. */
typedef struct {
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];
    char name[APIPOOL_CLIENT_NAME_MAX];
    int is_renamed; /* its own name was taken */
} apipool_client_move_t;

/**
 * Plans to move the clients of one scope to another. A client whose name is taken there gets its
 * old scope's host behind it, "alice@old.example"; if that is no name or taken as well, it stays.
 * @param left number of clients that stay
 * @return apipool_client_move_t
 */
apr_array_header_t *apipool_scope_plan(apipool_segment_t *segment, const char *from, const char *to,
                                       apr_uint32_t *left, apr_pool_t *p);

#endif
