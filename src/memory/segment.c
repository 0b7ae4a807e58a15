/* SPDX-License-Identifier: Apache-2.0
 * Shared memory of all processes of this httpd: creation, views, lock. */
#include "segment.h"

#include <apr_thread_proc.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

#include "pages.h"
#include "segment_layout.h"
#include "throttle.h"

static const char magic[8] = "apipool";
#define LAYOUT_VERSION 30
#define LOCK_TRIES     100
#define LOCK_SLEEP     20   /* microseconds between tries after these */
#define LOCK_SLEEPS    1000 /* then it waits for its turn */
#define GIVE_WAY       50   /* microseconds in which a sleeper wakes up */
#define GIVE_WAY_TIMES 10

#define ALIGNED(bytes) (((bytes) + APIPOOL_LINE - 1) & ~(apr_size_t)(APIPOOL_LINE - 1))

/* Unused pages of the arena cost nothing, so it has room for every key to be long and for every
 * upstream to have its first members. */
static apr_size_t arena_size(apr_uint32_t capacity)
{
    return (apr_size_t)capacity * 1024 + (apr_size_t)APIPOOL_UPSTREAMS_MAX * 4096 + 1024 * 1024;
}

/* Returns the beginning of the next part and moves the end behind it. */
static void *part(char **end, apr_size_t bytes)
{
    char *begin = *end;
    *end += ALIGNED(bytes);
    return begin;
}

static apipool_hash_table_t table(char **end, apipool_hash_table_head_t *head,
                                  apr_uint32_t capacity, apr_uint32_t chains)
{
    void *links = part(end, apipool_hash_table_bytes(capacity, chains));
    return apipool_hash_table_view(head, links, capacity, chains);
}

/* Computes where each part lies in a segment at base; memory need not exist yet. Returns the
 * size of the segment. */
static apr_size_t lay_out(apipool_segment_t *segment, char *base, apr_uint32_t capacity,
                          apr_uint32_t recent, apr_uint32_t clients)
{
    char *end = base;
    apipool_header_t *header = segment->header = part(&end, sizeof(apipool_header_t));
    segment->pools = part(&end, APIPOOL_POOLS_MAX * sizeof(*segment->pools));
    segment->upstreams = part(&end, APIPOOL_UPSTREAMS_MAX * sizeof(*segment->upstreams));
    segment->holders = part(&end, APIPOOL_HOLDERS_MAX * sizeof(*segment->holders));
    segment->account_limits =
        part(&end, APIPOOL_ACCOUNT_LIMITS_MAX * sizeof(*segment->account_limits));
    segment->queues = part(&end, APIPOOL_QUEUES_MAX * sizeof(*segment->queues));
    segment->waiters = part(&end, APIPOOL_WAITERS_MAX * sizeof(*segment->waiters));
    segment->stats = part(&end, APIPOOL_POOLS_MAX * sizeof(*segment->stats));
    segment->names =
        apipool_names_view(part(&end, apipool_names_bytes(APIPOOL_NAMES_MAX, APIPOOL_POOLS_MAX)),
                           APIPOOL_NAMES_MAX, APIPOOL_POOLS_MAX);
    segment->recent = apipool_recent_view(part(&end, apipool_recent_bytes(recent)), recent);
    segment->sessions = part(&end, sizeof(*segment->sessions));
    segment->clients = apipool_clients_view(part(&end, apipool_clients_bytes(clients)), clients);
    segment->slot_table =
        table(&end, &header->slots, capacity, apipool_hash_table_chains(capacity));
    segment->holder_table = table(&end, &header->holders, APIPOOL_HOLDERS_MAX, 0);
    segment->account_limit_table = table(&end, &header->account_limits, APIPOOL_ACCOUNT_LIMITS_MAX,
                                         APIPOOL_ACCOUNT_LIMITS_MAX);
    segment->queue_table = table(&end, &header->queues, APIPOOL_QUEUES_MAX, APIPOOL_QUEUES_MAX);
    segment->waiter_table = table(&end, &header->waiters, APIPOOL_WAITERS_MAX, 0);
    segment->slots = part(&end, capacity * sizeof(*segment->slots));
    segment->words = part(&end, APIPOOL_KEY_WORDS_MAX * sizeof(*segment->words));
    segment->marks = part(&end, arena_size(capacity) / APIPOOL_ARENA_BLOCK);
    segment->arena = part(&end, arena_size(capacity));
    return (apr_size_t)(end - base);
}

/* Beginning of the segment. APR puts a number of its own before the memory that it returns. */
static char *base_of(apr_shm_t *shm)
{
    return (char *)ALIGNED((apr_size_t)apr_shm_baseaddr_get(shm));
}

/* Only the header is initialised; the zeros of new shared memory are valid for the rest. */
apr_status_t apipool_segment_create(apr_shm_t **shm, apr_uint32_t capacity, apr_uint32_t recent,
                                    apr_uint32_t clients, const unsigned char *secret,
                                    apr_pool_t *pool)
{
    apipool_segment_t ignored;
    apr_size_t size = lay_out(&ignored, (char *)APIPOOL_LINE, capacity, recent, clients);
    apr_status_t rv = apr_shm_create(shm, size + APIPOOL_LINE, NULL, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_pages_conceal(apr_shm_baseaddr_get(*shm), apr_shm_size_get(*shm));
    apipool_header_t *header = (apipool_header_t *)base_of(*shm);
    memset(header, 0, sizeof(*header));
    memcpy(header->magic, magic, sizeof(magic));
    header->version = LAYOUT_VERSION;
    header->pool_size = sizeof(apipool_pool_t);
    header->upstream_size = sizeof(apipool_upstream_t);
    header->slot_size = sizeof(apipool_slot_t);
    header->capacity = capacity;
    header->recent = recent;
    header->clients = clients;
    header->arena.size = arena_size(capacity);
    header->arena.top = APIPOOL_ARENA_BLOCK; /* no block is at 0 */
    memcpy(header->store.secret, secret, sizeof(header->store.secret));
    memcpy(header->store.sealed_with, secret, sizeof(header->store.sealed_with));
    header->store.saved_at = apr_time_now();
    if (RAND_bytes((unsigned char *)&header->random, sizeof(header->random)) != 1) {
        return APR_EGENERAL;
    }
    header->random |= 1; /* the generator's only fixed point is 0 */
    return APR_SUCCESS;
}

apr_status_t apipool_segment_view(apipool_segment_t **view, apr_shm_t *shm,
                                  apr_global_mutex_t *mutex, apipool_rebuild_t *rebuild,
                                  apr_pool_t *pool)
{
    char *base = base_of(shm);
    apipool_header_t *header = (apipool_header_t *)base;
    if (memcmp(header->magic, magic, sizeof(magic)) || header->version != LAYOUT_VERSION ||
        header->pool_size != sizeof(apipool_pool_t) ||
        header->upstream_size != sizeof(apipool_upstream_t) ||
        header->slot_size != sizeof(apipool_slot_t)) {
        return APR_EINVAL;
    }
    apipool_segment_t *segment = apr_palloc(pool, sizeof(*segment));
    lay_out(segment, base, header->capacity, header->recent, header->clients);
    segment->mutex = mutex;
    segment->rebuild = rebuild;
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

/* The lock is held for less than a microsecond, so whoever finds it taken tries again. If it stays
 * taken, its holder waits for a processor: then others sleep a little, out of its way. A mutex that
 * is handed to a sleeper stays taken until that sleeper runs, and yielding keeps processors busy. */
static apr_status_t take(const apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (apr_global_mutex_trylock(segment->mutex) == APR_SUCCESS) {
            return APR_SUCCESS;
        }
    }
    __atomic_add_fetch(&header->waiting, 1, __ATOMIC_RELAXED);
    apr_status_t rv = APR_EBUSY;
    for (int i = 0; rv != APR_SUCCESS && i < LOCK_SLEEPS; i++) {
        apr_sleep(LOCK_SLEEP);
        rv = apr_global_mutex_trylock(segment->mutex);
    }
    if (rv != APR_SUCCESS) {
        rv = apr_global_mutex_lock(segment->mutex);
    }
    __atomic_add_fetch(&header->served, 1, __ATOMIC_RELAXED);
    return rv;
}

/* APR does not report that the holder of a mutex died: the next process gets the mutex as usual. */
apr_status_t apipool_segment_lock(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    apr_status_t rv = take(segment);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (header->inside) {
        if (!segment->rebuild(segment)) {
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

/* A process that was killed while waiting is never served; it is waited for only once. */
void apipool_segment_give_way(const apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t before = __atomic_load_n(&header->served, __ATOMIC_RELAXED);
    apr_uint32_t waiting = before, served = before;
    apipool_throttle(); /* a request may also be waiting for this processor */
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

apr_uint32_t apipool_segment_repairs(const apipool_segment_t *segment)
{
    return __atomic_load_n(&segment->header->repairs, __ATOMIC_RELAXED);
}

apr_uint32_t apipool_segment_new_repairs(apipool_segment_t *segment)
{
    apr_uint32_t reported = segment->header->repairs_reported;
    segment->header->repairs_reported = apipool_segment_repairs(segment);
    return segment->header->repairs_reported - reported;
}

void apipool_segment_store_health(const apipool_segment_t *segment, apipool_store_health_t *health)
{
    const apipool_header_t *header = segment->header;
    health->saves = __atomic_load_n(&header->store.saves, __ATOMIC_RELAXED);
    health->errors = __atomic_load_n(&header->store.save_errors, __ATOMIC_RELAXED);
    health->seconds =
        (double)__atomic_load_n(&header->store.save_time, __ATOMIC_RELAXED) / APR_USEC_PER_SEC;
    health->last_at = __atomic_load_n(&header->store.saved_at, __ATOMIC_RELAXED);
}

/* xorshift64* (Vigna, 2016): fast, and random enough to spread load; no secret depends on it. */
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
