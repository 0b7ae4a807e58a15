/* SPDX-License-Identifier: Apache-2.0
 * Shared memory of all processes of this httpd, and its lock. */
#ifndef APIPOOL_MEMORY_SEGMENT_H
#define APIPOOL_MEMORY_SEGMENT_H

#include <apr_global_mutex.h>
#include <apr_shm.h>

#include "client_table.h"
#include "hash_table.h"
#include "key.h"
#include "names.h"
#include "recent.h"

/* One anonymous segment. The parent creates it before it forks, and it lives as long as the
 * parent: a graceful restart adopts it, so that children of the old generation go on counting in
 * the memory of the new one. Its sizes are fixed at creation.
 *
 *   header
 *   pools[1024]           a pool of one server
 *   upstreams[2048]       one upstream of one pool
 *   holders[32768]        who holds a lease
 *   account limits[4096]  limits that apply to all keys of an account
 *   queues[256]           queues of requests that wait for a key
 *   waiters[8192]         one waiting request each
 *   stats[1024]           counters and history of a pool
 *   names                 counters of clients and models
 *   recent                the last requests
 *   clients               clients with their client keys
 *   sessions              sessions of operators; see sessions.h
 *   links                 of the tables of slots, holders, account limits, queues and waiters;
 *                         see hash_table.h
 *   slots[N]              one key each
 *   words[4096]           what vendors said of the last errors of keys
 *   deletions[2N]         keys that were deleted; see deleted.h
 *   marks                 one byte per block of the arena, used while the arena is rebuilt
 *   arena                 members and heaps of upstreams, long keys; see arena.h
 *
 * The segment holds indices and offsets, never pointers, because the DSO of the next generation
 * may map it elsewhere. Only src/memory and src/pool write behind the header.
 *
 * A process may be killed at any time, even while it holds the lock. The lock holder has its
 * process id in the header; if it died, the next process that gets the lock rebuilds what can be
 * derived; see rebuild.h. */

#define APIPOOL_POOLS_MAX          1024
#define APIPOOL_SERVER_NAME_MAX    256 /* bytes with NUL */
#define APIPOOL_NAME_MAX           64  /* bytes with NUL */
#define APIPOOL_UPSTREAMS_MAX      2048
#define APIPOOL_UPSTREAMS_PER_POOL 16
#define APIPOOL_HOLDERS_MAX        32768
#define APIPOOL_PUT_OFF            4096 /* ids of answers that were put off */
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
typedef struct apipool_key_words_t apipool_key_words_t;

/* Session that was ended early. */
typedef struct {
    apr_uint64_t jti; /* session number */
    apr_time_t until; /* original end of the session */
} apipool_revoked_t;

/* Key that an operator deleted and that key files must not bring back; see deleted.h. */
typedef struct {
    apr_uint64_t id;
    apr_uint32_t pool, unused;
} apipool_deletion_t;

#define APIPOOL_ARENA_BLOCK  64 /* bytes of the smallest block */
#define APIPOOL_ARENA_ORDERS 25 /* number of block sizes; the largest is 1 GiB */

typedef apr_size_t apipool_offset_t; /* offset of a block in the arena, never 0 */

/* Free space of the arena; see arena.h. */
typedef struct {
    apr_size_t size;
    apipool_offset_t top;                        /* everything above is unused so far */
    apipool_offset_t free[APIPOOL_ARENA_ORDERS]; /* first free block of each size, or 0 */
    apr_uint32_t count[APIPOOL_ARENA_ORDERS];    /* number of free blocks of each size */
} apipool_arena_t;

#define APIPOOL_LINE 64 /* bytes of a cache line */

/* State of the store: how far memory and files agree, how saving goes, and the secrets. */
typedef struct {
    apr_uint64_t saved_updates; /* updates covered by the last save */
    apr_uint64_t changing;      /* generation with a change that is on disk but not yet in memory */
    apr_uint32_t lost;          /* a stored key or client was dropped from memory; see rebuild.h */
    apr_uint64_t changes, saved_changes;   /* of keys by operators; as of the last save */
    apr_time_t saved_at, save_reported_at; /* last save of statistics; last report of a failure */
    apr_uint64_t saves, save_errors, save_time;     /* all kinds; microseconds */
    apr_interval_time_t last_save_time;             /* save of statistics */
    apr_uint64_t told_saves, told_errors;           /* as an alarm saw them last; see watch.h */
    apr_uint64_t told_failing;                      /* it has told that they fail */
    unsigned char secret[APIPOOL_SECRET_SIZE];      /* key ids are derived from this */
    unsigned char sealed_with[APIPOOL_SECRET_SIZE]; /* seals the store and signs sessions */
} apipool_store_state_t;

/* The first cache line is read by all requests, the second is written by all of them; the rest
 * follows. */
typedef struct {
    char magic[8];
    apr_uint32_t version;
    apr_uint32_t pool_size, upstream_size, slot_size; /* bytes, to detect other layouts */
    apr_uint32_t capacity;                            /* slots */
    apr_uint32_t recent;                              /* entries of the ring */
    apr_uint32_t clients;                             /* slots for clients */
    apr_uint32_t log_level;                           /* see apipool_segment_log_level */

    _Alignas(APIPOOL_LINE) apr_uint32_t inside; /* process that holds the lock; 0: none */
    apr_uint32_t waiting, served; /* processes that found the lock taken; those that got it since */
    apipool_hash_table_head_t holders;
    apr_uint64_t put_off[APIPOOL_PUT_OFF]; /* ids of answers that can be read later; 0: none */
    apr_uint64_t random;                   /* state of the random generator */
    apr_uint64_t updates;                  /* requests counted */
    apr_time_t account_limits_until;       /* end of the last account limit */

    _Alignas(APIPOOL_LINE) apipool_hash_table_head_t slots, waiters, queues, account_limits;
    apr_uint32_t pools_used, upstreams_used;
    apr_interval_time_t clock_ahead; /* of the system's clock; see clock_step.h */
    apr_uint32_t account_limit_next; /* next to drop when all are taken */
    apr_uint32_t words_next;         /* next place for words to take */
    apr_uint32_t deletions_used;     /* see deleted.h */
    apr_uint32_t repairs;            /* deaths while holding the lock */
    apr_uint32_t repairs_reported;
    apipool_arena_t arena;
    apipool_store_state_t store;
} apipool_header_t;

struct apipool_segment_t;

/* Rebuilds the segment; called with the lock held. Returns 0 when memory runs out. */
typedef int apipool_rebuild_t(struct apipool_segment_t *segment);

/* View of the segment in one process. The parent makes it; children inherit it and enter their
 * own process id. */
typedef struct apipool_segment_t {
    apipool_header_t *header;
    apipool_pool_t *pools;
    apipool_upstream_t *upstreams;
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
    apipool_key_words_t *words;
    apipool_deletion_t *deletions;
    unsigned char *marks;
    char *arena;
    apr_global_mutex_t *mutex;
    apipool_rebuild_t *rebuild;
    apr_uint32_t process; /* owner of the leases taken through this view */
} apipool_segment_t;

/**
 * Creates a segment: parent only, once per life of the parent.
 * @param shm      result; owned by pool
 * @param capacity slots
 * @param recent   entries of the ring of requests
 * @param clients  slots for clients
 * @param secret   APIPOOL_SECRET_SIZE bytes that key ids are derived from, and that sign sessions
 *                 as long as no store is filled in
 * @param pool     determines the life time
 */
apr_status_t apipool_segment_create(apr_shm_t **shm, apr_uint32_t capacity, apr_uint32_t recent,
                                    apr_uint32_t clients, const unsigned char *secret,
                                    apr_pool_t *pool);

/**
 * Makes a view of a segment that this or an earlier generation created: parent only.
 * @param view    result; owned by pool
 * @param mutex   the lock; kept, not owned
 * @param rebuild called after a process has died holding the lock; see rebuild.h
 * @return APR_EINVAL when the segment has another layout
 */
apr_status_t apipool_segment_view(apipool_segment_t **view, apr_shm_t *shm,
                                  apr_global_mutex_t *mutex, apipool_rebuild_t *rebuild,
                                  apr_pool_t *pool);

/** Makes this process the owner of the leases that it takes: each child, once. */
void apipool_segment_enter(apipool_segment_t *segment);

/** Level, on httpd's scale, at which all processes log their work on requests; 0: as configured.
 *  No lock: one number. */
int apipool_segment_log_level(const apipool_segment_t *segment);
void apipool_segment_set_log_level(apipool_segment_t *segment, int level);

/**
 * Waits for the lock. Under the lock only memory is touched: no I/O, no logging, no allocation.
 * If the last holder died, the segment is rebuilt first, in O(keys).
 * @return APR_EGENERAL when the rebuild failed; the lock is not held then
 */
apr_status_t apipool_segment_lock(apipool_segment_t *segment);
void apipool_segment_unlock(apipool_segment_t *segment);

/** Gives others a turn between the steps of work that takes the lock many times in a row. Call
 *  it without the lock. Paces the work, as throttle.h says, and waits up to about a millisecond
 *  until the waiting processes had the lock: without that, a process that releases the lock and
 *  takes it again would win against sleepers. */
void apipool_segment_give_way(const apipool_segment_t *segment);

/** Deaths while holding the lock since the segment was created. No lock: one number. */
apr_uint32_t apipool_segment_repairs(const apipool_segment_t *segment);

/** Deaths since the previous call, in any generation: parent. No lock. */
apr_uint32_t apipool_segment_new_repairs(apipool_segment_t *segment);

/* State of saving, for metrics. */
typedef struct {
    apr_uint64_t saves, errors;
    double seconds;     /* total time of all saves */
    apr_time_t last_at; /* last save of statistics; 0: none yet */
} apipool_store_health_t;

void apipool_segment_store_health(const apipool_segment_t *segment, apipool_store_health_t *health);

/** Random number below bound. Call with the lock held. */
apr_uint32_t apipool_segment_draw_locked(apipool_segment_t *segment, apr_uint32_t bound);

/* Accessors of the header for the other rooms. No lock: the values are constant, or single
 * numbers that only grow. */

/** State of the store. Its numbers are read and written atomically. */
static inline apipool_store_state_t *apipool_segment_store(const apipool_segment_t *segment)
{
    return &segment->header->store;
}

/** Capacity for keys, clients and recent requests. */
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

/** Number of slots, upstreams and pools ever used; those behind are empty. */
static inline apr_uint32_t apipool_segment_slots_used(const apipool_segment_t *segment)
{
    return segment->header->slots.used;
}

static inline apr_uint32_t apipool_segment_upstreams_used(const apipool_segment_t *segment)
{
    return segment->header->upstreams_used;
}

static inline apr_uint32_t apipool_segment_pools_used(const apipool_segment_t *segment)
{
    return segment->header->pools_used;
}

/** Number of keys. */
static inline apr_uint32_t apipool_segment_keys(const apipool_segment_t *segment)
{
    return segment->header->slots.linked;
}

/** Number of requests counted. */
static inline apr_uint64_t apipool_segment_updates(const apipool_segment_t *segment)
{
    return __atomic_load_n(&segment->header->updates, __ATOMIC_RELAXED);
}

/** End of the last account limit. */
static inline apr_time_t apipool_segment_account_limits_until(const apipool_segment_t *segment)
{
    return segment->header->account_limits_until;
}

/** Number of deletions that a segment has room for. */
static inline apr_uint32_t apipool_segment_deletions_max(apr_uint32_t capacity)
{
    return 2 * capacity;
}

/** Id of a key. */
static inline apr_uint64_t apipool_segment_key_id(const apipool_segment_t *segment, const char *key,
                                                  apr_size_t len)
{
    return apipool_key_id(segment->header->store.secret, key, len);
}

#endif
