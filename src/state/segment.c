/* SPDX-License-Identifier: Apache-2.0
 * The shared memory that all processes of this httpd see: making it, viewing it, locking it. */
#include "segment.h"

#include <apr_thread_proc.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

#include "arena.h"
#include "layout.h"
#include "pace.h"
#include "pages.h"
#include "repair.h"

static const char magic[8] = "apipool";
#define LAYOUT_VERSION     21
#define LOCK_TRIES         64
#define LOCK_TRIES_AT_ONCE 16 /* then the processor goes to others in between */
#define LARGE_FROM         (4 * APIPOOL_PAGES_LARGE)
#define GIVE_WAY           50 /* microseconds, in which a sleeper wakes up */
#define GIVE_WAY_TIMES     10

#define ALIGNED(bytes) (((bytes) + APIPOOL_LINE - 1) & ~(apr_size_t)(APIPOOL_LINE - 1))

/* Pages of the arena cost nothing until they are used: room for every key to be a long one. */
static apr_size_t arena_size(apr_uint32_t capacity)
{
    return (apr_size_t)capacity * 1024 + 1024 * 1024;
}

static apr_uint32_t heads_for(apr_uint32_t capacity)
{
    apr_uint32_t heads = 16;
    while (heads < capacity) {
        heads *= 2;
    }
    return heads;
}

typedef struct {
    apr_size_t pools, groups, holders, hits, queues, waiters, stats, names, recent, sessions,
        clients, heads, slots, arena, end;
} offsets_t;

static offsets_t offsets_for(apr_uint32_t capacity, apr_uint32_t recent, apr_uint32_t clients)
{
    offsets_t at;
    at.pools = ALIGNED(sizeof(apipool_header_t));
    at.groups = at.pools + ALIGNED(APIPOOL_POOLS_MAX * sizeof(apipool_shared_pool_t));
    at.holders = at.groups + ALIGNED(APIPOOL_GROUPS_MAX * sizeof(apipool_group_t));
    at.hits = at.holders + ALIGNED(APIPOOL_HOLDERS_MAX * sizeof(apipool_holder_t));
    at.queues = at.hits + ALIGNED(APIPOOL_HITS_MAX * sizeof(apipool_hit_t));
    at.waiters = at.queues + ALIGNED(APIPOOL_QUEUES_MAX * sizeof(apipool_queue_t));
    at.stats = at.waiters + ALIGNED(APIPOOL_WAITERS_MAX * sizeof(apipool_waiter_t));
    at.names = at.stats + ALIGNED(APIPOOL_POOLS_MAX * sizeof(apipool_pool_stats_t));
    at.recent = at.names + ALIGNED(apipool_names_bytes(APIPOOL_NAMES_MAX, APIPOOL_POOLS_MAX));
    at.sessions = at.recent + ALIGNED(apipool_recent_bytes(recent));
    at.clients = at.sessions + ALIGNED(sizeof(apipool_sessions_t));
    at.heads = at.clients + ALIGNED(apipool_clients_bytes(clients));
    at.slots = at.heads + ALIGNED(heads_for(capacity) * sizeof(apr_uint32_t));
    at.arena = at.slots + ALIGNED(capacity * sizeof(apipool_slot_t));
    at.end = at.arena + arena_size(capacity);
    return at;
}

/* Where everything begins: APR puts a number of its own before the memory that it gives. */
static char *base_of(apr_shm_t *shm)
{
    return (char *)ALIGNED((apr_size_t)apr_shm_baseaddr_get(shm));
}

/* Of a few keys, small pages are no more than a processor keeps in mind. */
static apr_ssize_t aligned(apr_shm_t *shm, apr_uint32_t capacity)
{
    char *base = apr_shm_baseaddr_get(shm);
    apr_size_t into = (apr_size_t)base % (apr_size_t)getpagesize();
    return capacity * sizeof(apipool_slot_t) < LARGE_FROM
               ? 0
               : apipool_pages_align(base - into, into + apr_shm_size_get(shm)) - (base - into);
}

apr_status_t apipool_segment_create(apr_shm_t **shm, apr_uint32_t capacity, apr_uint32_t recent,
                                    apr_uint32_t clients, const unsigned char *secret,
                                    apr_pool_t *pool)
{
    offsets_t at = offsets_for(capacity, recent, clients);
    apr_status_t rv = apr_shm_create(shm, at.end + APIPOOL_LINE, NULL, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_pages_conceal(apr_shm_baseaddr_get(*shm), apr_shm_size_get(*shm));
    apr_ssize_t to_aligned =
        aligned(*shm, capacity); /* a mapping that is made from it is like it */
    char *base = base_of(*shm) + to_aligned;
    apipool_header_t *header = (apipool_header_t *)base;
    memset(header, 0, sizeof(*header));
    memcpy(header->magic, magic, sizeof(magic));
    header->version = LAYOUT_VERSION;
    header->pool_size = sizeof(apipool_shared_pool_t);
    header->group_size = sizeof(apipool_group_t);
    header->slot_size = sizeof(apipool_slot_t);
    header->aligned = to_aligned;
    header->capacity = capacity;
    header->recent = recent;
    header->clients = clients;
    header->heads = heads_for(capacity);
    header->holders_free = APIPOOL_NONE;
    header->slots_spare = APIPOOL_NONE;
    header->waiters_free = APIPOOL_NONE;
    header->arena.size = arena_size(capacity);
    header->arena.top = APIPOOL_ARENA_BLOCK; /* no block is at 0 */
    memcpy(header->secret, secret, sizeof(header->secret));
    header->saved_at = apr_time_now();
    if (RAND_bytes((unsigned char *)&header->random, sizeof(header->random)) != 1 ||
        RAND_bytes((unsigned char *)&header->salt, sizeof(header->salt)) != 1) {
        return APR_EGENERAL;
    }
    header->random |= 1; /* the generator's only fixed point is 0 */
    memset(base + at.heads, 0xff, header->heads * sizeof(apr_uint32_t));
    apipool_queue_t *queues = (apipool_queue_t *)(base + at.queues);
    for (int i = 0; i < APIPOOL_QUEUES_MAX; i++) {
        queues[i].first = queues[i].last = APIPOOL_NONE;
    }
    return APR_SUCCESS;
}

apr_status_t apipool_segment_view(apipool_segment_t **view, apr_shm_t *shm,
                                  apr_global_mutex_t *mutex, apr_pool_t *pool)
{
    char *base = base_of(shm);
    apipool_header_t *header = (apipool_header_t *)base;
    if (memcmp(header->magic, magic, sizeof(magic)) || header->version != LAYOUT_VERSION ||
        header->pool_size != sizeof(apipool_shared_pool_t) ||
        header->group_size != sizeof(apipool_group_t) ||
        header->slot_size != sizeof(apipool_slot_t)) {
        return APR_EINVAL;
    }
    base += header->aligned;
    header = (apipool_header_t *)base;
    offsets_t at = offsets_for(header->capacity, header->recent, header->clients);
    apipool_segment_t *segment = apr_palloc(pool, sizeof(*segment));
    segment->header = header;
    segment->pools = (apipool_shared_pool_t *)(base + at.pools);
    segment->groups = (apipool_group_t *)(base + at.groups);
    segment->holders = (apipool_holder_t *)(base + at.holders);
    segment->hits = (apipool_hit_t *)(base + at.hits);
    segment->queues = (apipool_queue_t *)(base + at.queues);
    segment->waiters = (apipool_waiter_t *)(base + at.waiters);
    segment->stats = (apipool_pool_stats_t *)(base + at.stats);
    segment->names = apipool_names_view(base + at.names, APIPOOL_NAMES_MAX, APIPOOL_POOLS_MAX);
    segment->recent = apipool_recent_view(base + at.recent, header->recent);
    segment->sessions = (apipool_sessions_t *)(base + at.sessions);
    segment->clients = apipool_clients_view(base + at.clients, header->clients);
    segment->heads = (apr_uint32_t *)(base + at.heads);
    segment->slots = (apipool_slot_t *)(base + at.slots);
    segment->arena = base + at.arena;
    segment->mutex = mutex;
    apipool_segment_enter(segment);
    *view = segment;
    return APR_SUCCESS;
}

void apipool_segment_enter(apipool_segment_t *segment)
{
    segment->process = (apr_uint32_t)getpid();
}

int apipool_segment_log_level(const apipool_segment_t *segment)
{
    return (int)__atomic_load_n(&segment->header->log_level, __ATOMIC_RELAXED);
}

void apipool_segment_set_log_level(apipool_segment_t *segment, int level)
{
    __atomic_store_n(&segment->header->log_level, (apr_uint32_t)level, __ATOMIC_RELAXED);
}

/* The lock is held for less than a microsecond, so whoever finds it taken tries again before it sleeps:
 * a mutex that is handed to a sleeper stays taken until that sleeper runs, and the others queue up. */
static apr_status_t take(const apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    for (int i = 0; i < LOCK_TRIES_AT_ONCE; i++) {
        if (apr_global_mutex_trylock(segment->mutex) == APR_SUCCESS) {
            return APR_SUCCESS;
        }
    }
    __atomic_add_fetch(&header->waiting, 1, __ATOMIC_RELAXED);
    apr_status_t rv = APR_EBUSY;
    for (int i = LOCK_TRIES_AT_ONCE; rv != APR_SUCCESS && i < LOCK_TRIES; i++) {
        apr_thread_yield();
        rv = apr_global_mutex_trylock(segment->mutex);
    }
    if (rv != APR_SUCCESS) {
        rv = apr_global_mutex_lock(segment->mutex);
    }
    __atomic_add_fetch(&header->served, 1, __ATOMIC_RELAXED);
    return rv;
}

/* The mutex does not tell that its holder has died: APR gives it to the next one as if nothing were. */
apr_status_t apipool_segment_lock(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    apr_status_t rv = take(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (header->inside) {
        if (!apipool_repair_locked(segment)) {
            apr_global_mutex_unlock(segment->mutex);
            return APR_EGENERAL;
        }
        __atomic_store_n(&header->repairs, header->repairs + 1, __ATOMIC_RELAXED);
    }
    header->inside = segment->process;
    APIPOOL_IN_ORDER();
    return APR_SUCCESS;
}

void apipool_segment_unlock(apipool_segment_t *segment)
{
    APIPOOL_IN_ORDER();
    segment->header->inside = 0;
    apr_global_mutex_unlock(segment->mutex);
}

/* Somebody who was killed while waiting will never be served, and is not waited for again. */
void apipool_segment_give_way(const apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t before = __atomic_load_n(&header->served, __ATOMIC_RELAXED);
    apr_uint32_t waiting = before, served = before;
    apipool_pace(); /* a request may wait for this processor as well */
    for (int i = 0; i < GIVE_WAY_TIMES; i++) {
        waiting = __atomic_load_n(&header->waiting, __ATOMIC_RELAXED);
        served = __atomic_load_n(&header->served, __ATOMIC_RELAXED);
        if (waiting == served) {
            return;
        }
        apr_sleep(GIVE_WAY);
    }
    if (served == before) {
        __atomic_compare_exchange_n(&header->served, &served, waiting, 0, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
}

void apipool_segment_enlarge_pages(apipool_segment_t *segment, int most)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t used = __atomic_load_n(&header->slots_used, __ATOMIC_RELAXED);
    if (header->aligned) {
        header->enlarged = apipool_pages_enlarge((char *)segment->slots, header->enlarged,
                                                 used * sizeof(*segment->slots), most);
    }
}

apr_uint32_t apipool_segment_repairs(const apipool_segment_t *segment)
{
    return __atomic_load_n(&segment->header->repairs, __ATOMIC_RELAXED);
}

apr_uint32_t apipool_segment_new_repairs(apipool_segment_t *segment)
{
    apr_uint32_t told = segment->header->repairs_told;
    segment->header->repairs_told = apipool_segment_repairs(segment);
    return segment->header->repairs_told - told;
}

/* xorshift64*, Vigna 2016: fast, and good enough to spread load; nothing secret depends on it. */
apr_uint32_t apipool_segment_draw_locked(apipool_segment_t *segment, apr_uint32_t bound)
{
    apr_uint64_t x = segment->header->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    segment->header->random = x;
    apr_uint64_t high = (x * APR_UINT64_C(2685821657736338717)) >> 32;
    return (apr_uint32_t)(high * bound >> 32);
}
