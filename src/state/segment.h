/* SPDX-License-Identifier: Apache-2.0
 * The shared memory that all processes of this httpd see, and the one lock over it. */
#ifndef APIPOOL_STATE_SEGMENT_H
#define APIPOOL_STATE_SEGMENT_H

#include <apr_global_mutex.h>
#include <apr_shm.h>

#include "key.h"
#include "client_table.h"
#include "names.h"
#include "recent.h"
#include "table.h"

/* One anonymous segment, made by the parent before it forks and living as long as the parent: a
 * graceful restart adopts it, so that children of the old generation go on counting in the memory of
 * the new one. Its sizes are fixed when it is made.
 *
 *   header
 *   pools[1024]     a pool of one server
 *   groups[2048]    one upstream of one pool
 *   holders[32768]  who holds a lease
 *   hits[4096]      what holds for all keys of an account
 *   queues[256]     requests that wait for a key, by what they wait for
 *   waiters[8192]   one of them each
 *   stats[1024]     numbers and history of a pool
 *   names           numbers of clients and models
 *   recent          the last requests
 *   clients         who may ask, by keys of ours
 *   sessions        of operators; see sessions.h
 *   links           of the tables of slots, holders, hits, queues and waiters; see table.h
 *   slots[N]        one key each
 *   marks           a byte for each block of the arena, for the time that it takes to make that anew
 *   arena           members and heaps of groups, long keys; see arena.h
 *
 * Inside it stand indices and offsets, never pointers: the next generation's DSO may map elsewhere.
 * This room is the only writer of what lies behind the header.
 *
 * A process may be killed at any time, the time in which it holds the lock included. It has put its name to
 * the header then, and whoever gets the lock next makes anew what follows from the rest; see rebuild.h. */

#define APIPOOL_POOLS_MAX    1024
#define APIPOOL_GROUPS_MAX   2048
#define APIPOOL_HOLDERS_MAX  32768
#define APIPOOL_HITS_MAX     4096 /* a power of two */
#define APIPOOL_QUEUES_MAX   256  /* a power of two */
#define APIPOOL_WAITERS_MAX  8192
#define APIPOOL_NAMES_MAX    1024 /* a power of two */
#define APIPOOL_RECENT_MAX   100000
#define APIPOOL_CAPACITY_MIN 16
#define APIPOOL_CAPACITY_MAX 1000000

typedef struct apipool_shared_pool_t apipool_shared_pool_t;
typedef struct apipool_group_t apipool_group_t;
typedef struct apipool_holder_t apipool_holder_t;
typedef struct apipool_hit_t apipool_hit_t;
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
    apipool_table_head_t holders;
    apr_uint64_t random;   /* state of the generator for drawing keys */
    apr_uint64_t updates;  /* requests that were counted */
    apr_time_t hits_until; /* when the last hit ends */

    _Alignas(APIPOOL_LINE) apr_uint64_t saved_updates; /* how many by the last save */
    apipool_table_head_t slots, waiters, queues, hits;
    apr_uint32_t pools_used, groups_used;
    apr_uint32_t hit_next; /* of hits, when all are taken: where to look for one to forget */
    apr_uint32_t repairs;  /* how often one has died holding the lock */
    apr_uint32_t repairs_told;
    apipool_arena_t arena;
    apr_uint64_t changing; /* the generation that has a change not yet made here */
    apr_uint32_t lost;     /* a key or client was taken out that the store has; see rebuild.h */
    apr_uint64_t changes, saved_changes; /* of keys by operators, and how many by the last save */
    apr_time_t saved_at, save_told_at;   /* statistics; a failure to save them */
    apr_uint64_t saves, save_errors, save_time;     /* of all kinds; microseconds */
    apr_interval_time_t last_save_time;             /* that of statistics */
    unsigned char secret[APIPOOL_SECRET_SIZE];      /* what key ids are derived from */
    unsigned char sealed_with[APIPOOL_SECRET_SIZE]; /* what seals the store and signs sessions */
} apipool_header_t;

struct apipool_segment_t;

/* Called with the lock held. Returns 0 when there is no memory for it. */
typedef int apipool_rebuild_t(struct apipool_segment_t *segment);

/* A process's view of the segment. Made by the parent, inherited by children, who put their name to it. */
typedef struct apipool_segment_t {
    apipool_header_t *header;
    apipool_shared_pool_t *pools;
    apipool_group_t *groups;
    apipool_holder_t *holders;
    apipool_hit_t *hits;
    apipool_queue_t *queues;
    apipool_waiter_t *waiters;
    apipool_pool_stats_t *stats; /* by pool */
    apipool_names_t names;
    apipool_recent_t recent;
    apipool_clients_t clients;
    apipool_sessions_t *sessions;
    apipool_table_t slot_table; /* by id */
    apipool_table_t holder_table, hit_table, queue_table, waiter_table;
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
 * work, as pace.h says, and waits until those who wait for the lock have had it, about a millisecond at most.
 * Whoever lets go of the lock and takes it again at once would else have it before those who sleep are awake.
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

void apipool_store_health(const apipool_segment_t *segment, apipool_store_health_t *health);

/** A number below bound, from the segment's generator; call with the lock held. */
apr_uint32_t apipool_segment_draw_locked(apipool_segment_t *segment, apr_uint32_t bound);

#endif
