/* SPDX-License-Identifier: Apache-2.0
 * The shared memory that all processes of this httpd see, and the one lock over it. */
#ifndef APIPOOL_MEMORY_SEGMENT_H
#define APIPOOL_MEMORY_SEGMENT_H

#include <apr_global_mutex.h>
#include <apr_shm.h>

#include "client_table.h"
#include "hash_table.h"
#include "key.h"
#include "names.h"
#include "recent.h"

/* One anonymous segment, made by the parent before it forks and living as long as the parent: a
 * graceful restart adopts it, so that children of the old generation go on counting in the memory of
 * the new one. Its sizes are fixed when it is made.
 *
 *   header
 *   pools[1024]     a pool of one server
 *   groups[2048]    one upstream of one pool
 *   holders[32768]  who holds a lease
 *   account limits[4096]  what holds for all keys of an account
 *   queues[256]     requests that wait for a key, by what they wait for
 *   waiters[8192]   one of them each
 *   stats[1024]     numbers and history of a pool
 *   names           numbers of clients and models
 *   recent          the last requests
 *   clients         who may ask, by client key
 *   sessions        of operators; see sessions.h
 *   links           of the tables of slots, holders, account limits, queues and waiters; see hash_table.h
 *   slots[N]        one key each
 *   marks           a byte for each block of the arena, for the time that it takes to make that anew
 *   arena           members and heaps of groups, long keys; see arena.h
 *
 * Inside it stand indices and offsets, never pointers: the next generation's DSO may map elsewhere.
 * src/memory and src/pool are the only writers of what lies behind the header.
 *
 * A process may be killed at any time, the time in which it holds the lock included. It has put its name to
 * the header then, and whoever gets the lock next makes anew what follows from the rest; see rebuild.h. */

#define APIPOOL_POOLS_MAX          1024
#define APIPOOL_SERVER_NAME_MAX    256 /* bytes with NUL */
#define APIPOOL_NAME_MAX           64  /* bytes with NUL */
#define APIPOOL_UPSTREAMS_MAX      2048
#define APIPOOL_HOLDERS_MAX        32768
#define APIPOOL_ACCOUNT_LIMITS_MAX 4096 /* a power of two */
#define APIPOOL_QUEUES_MAX         256  /* a power of two */
#define APIPOOL_WAITERS_MAX        8192
#define APIPOOL_NAMES_MAX          1024 /* a power of two */
#define APIPOOL_RECENT_MAX         100000
#define APIPOOL_CAPACITY_MIN       16
#define APIPOOL_CAPACITY_MAX       1000000

typedef struct apipool_pool_t apipool_pool_t;
typedef struct apipool_upstream_t apipool_upstream_t;
typedef struct apipool_holder_t apipool_holder_t;
typedef struct apipool_account_limit_t apipool_account_limit_t;
typedef struct apipool_queue_t apipool_queue_t;
typedef struct apipool_waiter_t apipool_waiter_t;
typedef struct apipool_pool_stats_t apipool_pool_stats_t;
typedef struct apipool_sessions_t apipool_sessions_t;
typedef struct apipool_slot_t apipool_slot_t;

/* A session that was ended before its time. */
typedef struct {
    apr_uint64_t jti; /* its number */
    apr_time_t until; /* when its time would have been over */
} apipool_revoked_t;

#define APIPOOL_ARENA_BLOCK  64 /* bytes of the smallest block */
#define APIPOOL_ARENA_ORDERS 25 /* of sizes; the largest is 1 GiB */

typedef apr_size_t apipool_offset_t; /* of a block in the arena, never 0 */

/* What of the arena is free; see arena.h. */
typedef struct {
    apr_size_t size;
    apipool_offset_t top;                        /* nothing above has been used yet */
    apipool_offset_t free[APIPOOL_ARENA_ORDERS]; /* the first one of each size, or 0 */
    apr_uint32_t count[APIPOOL_ARENA_ORDERS];    /* how many there are */
} apipool_arena_t;

#define APIPOOL_LINE 64 /* bytes that processors pass on to each other at once */

/* What the store keeps here: how far memory and its files agree, how saving goes, and its secrets. */
typedef struct {
    apr_uint64_t saved_updates; /* how many by the last save */
    apr_uint64_t changing;      /* the generation that has a change not yet made here */
    apr_uint32_t lost; /* a key or client was taken out that the store has; see rebuild.h */
    apr_uint64_t changes, saved_changes; /* of keys by operators, and how many by the last save */
    apr_time_t saved_at, save_told_at;   /* statistics; a failure to save them */
    apr_uint64_t saves, save_errors, save_time;     /* of all kinds; microseconds */
    apr_interval_time_t last_save_time;             /* that of statistics */
    unsigned char secret[APIPOOL_SECRET_SIZE];      /* what key ids are derived from */
    unsigned char sealed_with[APIPOOL_SECRET_SIZE]; /* what seals the store and signs sessions */
} apipool_store_state_t;

/* What all requests read, then what all of them write, each in a cache line of its own; then the rest. */
typedef struct {
    char magic[8];
    apr_uint32_t version;
    apr_uint32_t pool_size, group_size, slot_size; /* bytes; another build's layout is refused */
    apr_uint32_t capacity;                         /* slots */
    apr_uint32_t recent;                           /* entries of the ring */
    apr_uint32_t clients;                          /* slots for them */
    apr_uint32_t
        log_level; /* raises the configured one while above 0; see apipool_segment_log_level */

    _Alignas(APIPOOL_LINE)
        apr_uint32_t inside;      /* the process that holds the lock; 0: none, or not any more */
    apr_uint32_t waiting, served; /* those who found the lock taken, and have had it since */
    apipool_hash_table_head_t holders;
    apr_uint64_t random;             /* state of the generator for drawing keys */
    apr_uint64_t updates;            /* requests that were counted */
    apr_time_t account_limits_until; /* when the last account limit ends */

    _Alignas(APIPOOL_LINE) apipool_hash_table_head_t slots, waiters, queues, account_limits;
    apr_uint32_t pools_used, groups_used;
    apr_uint32_t
        account_limit_next; /* of account limits, when all are taken: where to look for one to forget */
    apr_uint32_t repairs; /* how often one has died holding the lock */
    apr_uint32_t repairs_told;
    apipool_arena_t arena;
    apipool_store_state_t store;
} apipool_header_t;

struct apipool_segment_t;

/* Called with the lock held. Returns 0 when there is no memory for it. */
typedef int apipool_rebuild_t(struct apipool_segment_t *segment);

/* A process's view of the segment. Made by the parent, inherited by children, who put their name to it. */
typedef struct apipool_segment_t {
    apipool_header_t *header;
    apipool_pool_t *pools;
    apipool_upstream_t *groups;
    apipool_holder_t *holders;
    apipool_account_limit_t *account_limits;
    apipool_queue_t *queues;
    apipool_waiter_t *waiters;
    apipool_pool_stats_t *stats; /* by pool */
    apipool_names_t names;
    apipool_recent_t recent;
    apipool_clients_t clients;
    apipool_sessions_t *sessions;
    apipool_hash_table_t slot_table; /* by id */
    apipool_hash_table_t holder_table, account_limit_table, queue_table, waiter_table;
    apipool_slot_t *slots;
    unsigned char *marks;
    char *arena;
    apr_global_mutex_t *mutex;
    apipool_rebuild_t *rebuild;
    apr_uint32_t process; /* whose leases those taken through this view are */
} apipool_segment_t;

/**
 * Makes a segment: parent only, once per life of the parent.
 * @param shm      result; owned by pool
 * @param capacity slots
 * @param recent   entries of the ring of requests
 * @param clients  slots for clients
 * @param secret   APIPOOL_SECRET_SIZE bytes that key ids are derived from
 * @param pool     of the life time wanted
 */
apr_status_t apipool_segment_create(apr_shm_t **shm, apr_uint32_t capacity, apr_uint32_t recent,
                                    apr_uint32_t clients, const unsigned char *secret,
                                    apr_pool_t *pool);

/**
 * A view of a segment made by this or an earlier generation: parent only.
 * @param view  result; owned by pool
 * @param mutex the lock; kept, not owned
 * @param rebuild makes everything anew after a process has died holding the lock; see rebuild.h
 * @return APR_EINVAL when the segment's layout is not this build's
 */
apr_status_t apipool_segment_view(apipool_segment_t **view, apr_shm_t *shm,
                                  apr_global_mutex_t *mutex, apipool_rebuild_t *rebuild,
                                  apr_pool_t *pool);

/** Makes this process the holder of the leases that it takes: each child, once. */
void apipool_segment_enter(apipool_segment_t *segment);

/** The level at which all processes log what they do for requests, on httpd's scale; 0: as configured. No
 *  lock: one number. */
int apipool_segment_log_level(const apipool_segment_t *segment);
void apipool_segment_set_log_level(apipool_segment_t *segment, int level);

/**
 * Waits for the lock. Under it only memory work is allowed: no I/O, no logging, no allocation. Where the
 * process that held it last has died, all that follows from the rest is made anew first, in O(keys).
 * @return APR_EGENERAL when that could not be done; the lock is not held then
 */
apr_status_t apipool_segment_lock(apipool_segment_t *segment);
void apipool_segment_unlock(apipool_segment_t *segment);

/**
 * To be called between the steps of what takes the lock many times in a row, without the lock: paces the
 * work, as throttle.h says, and waits until those who wait for the lock have had it, about a millisecond at
 * most. Whoever lets go of the lock and takes it again at once would else have it before those who sleep are
 * awake.
 */
void apipool_segment_give_way(const apipool_segment_t *segment);

/** How often a process has died holding the lock since the segment was made. No lock: one number. */
apr_uint32_t apipool_segment_repairs(const apipool_segment_t *segment);

/** How often since this was last asked for, by this or an earlier generation: parent. No lock. */
apr_uint32_t apipool_segment_new_repairs(apipool_segment_t *segment);

/* How saving goes, for metrics. */
typedef struct {
    apr_uint64_t saves, errors;
    double seconds;     /* that all saves took together */
    apr_time_t last_at; /* of statistics; 0: none yet */
} apipool_store_health_t;

void apipool_segment_store_health(const apipool_segment_t *segment, apipool_store_health_t *health);

/** A number below bound, from the segment's generator; call with the lock held. */
apr_uint32_t apipool_segment_draw_locked(apipool_segment_t *segment, apr_uint32_t bound);

/* Other rooms than src/memory and src/pool read the header by these. No lock: what they read is fixed, or
 * one number that only grows. */

/** The store's own part. Its numbers are read and written atomically. */
static inline apipool_store_state_t *apipool_segment_store(const apipool_segment_t *segment)
{
    return &segment->header->store;
}

/** How many keys, clients and recent requests there is room for. */
static inline apr_uint32_t apipool_segment_capacity(const apipool_segment_t *segment)
{
    return segment->header->capacity;
}

static inline apr_uint32_t apipool_segment_clients(const apipool_segment_t *segment)
{
    return segment->header->clients;
}

static inline apr_uint32_t apipool_segment_recent(const apipool_segment_t *segment)
{
    return segment->header->recent;
}

/** How many slots, upstreams and pools have ever been in use: those behind are empty. */
static inline apr_uint32_t apipool_segment_slots_used(const apipool_segment_t *segment)
{
    return segment->header->slots.used;
}

static inline apr_uint32_t apipool_segment_upstreams_used(const apipool_segment_t *segment)
{
    return segment->header->groups_used;
}

static inline apr_uint32_t apipool_segment_pools_used(const apipool_segment_t *segment)
{
    return segment->header->pools_used;
}

/** How many keys there are. */
static inline apr_uint32_t apipool_segment_keys(const apipool_segment_t *segment)
{
    return segment->header->slots.linked;
}

/** Requests that were counted. */
static inline apr_uint64_t apipool_segment_updates(const apipool_segment_t *segment)
{
    return __atomic_load_n(&segment->header->updates, __ATOMIC_RELAXED);
}

/** When the last limit of an account ends. */
static inline apr_time_t apipool_segment_account_limits_until(const apipool_segment_t *segment)
{
    return segment->header->account_limits_until;
}

/** The id of a key. */
static inline apr_uint64_t apipool_segment_key_id(const apipool_segment_t *segment, const char *key,
                                                  apr_size_t len)
{
    return apipool_key_id(segment->header->store.secret, key, len);
}

#endif
