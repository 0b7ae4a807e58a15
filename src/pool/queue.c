/* SPDX-License-Identifier: Apache-2.0
 * Queues of requests that wait for a key, in order of arrival. */
#include "queue.h"

#include "fault.h"

static apr_uint64_t hash_of(apr_uint32_t pool, apr_uint64_t model)
{
    return model ^ ((apr_uint64_t)pool << 32);
}

/* Queue of a pool and model; NULL if no request waits for it. */
static apipool_queue_t *find(const apipool_segment_t *segment, apr_uint32_t pool,
                             apr_uint64_t model)
{
    apr_uint32_t i = apipool_hash_table_first(&segment->queue_table, hash_of(pool, model));
    while (i != APIPOOL_NONE &&
           (segment->queues[i].pool != pool || segment->queues[i].model != model)) {
        i = apipool_hash_table_next(&segment->queue_table, i);
    }
    return i != APIPOOL_NONE ? &segment->queues[i] : NULL;
}

/* Returns NULL when there are too many queues. */
static apipool_queue_t *find_or_make(const apipool_segment_t *segment, apr_uint32_t pool,
                                     apr_uint64_t model)
{
    apipool_queue_t *q = find(segment, pool, model);
    apr_uint32_t i = q ? APIPOOL_NONE : apipool_hash_table_take(&segment->queue_table);
    if (i != APIPOOL_NONE) {
        q = &segment->queues[i];
        *q = (apipool_queue_t){
            .pool = pool, .first = APIPOOL_NONE, .last = APIPOOL_NONE, .model = model};
        apipool_hash_table_link(&segment->queue_table, i, hash_of(pool, model));
    }
    return q;
}

/* Links two neighbours in a queue; APIPOOL_NONE: the end. */
static void link_up(apipool_segment_t *segment, apipool_queue_t *q, apr_uint32_t before,
                    apr_uint32_t after)
{
    *(before != APIPOOL_NONE ? &segment->waiters[before].next : &q->first) = after;
    APIPOOL_FAULT("leave-half-linked");
    *(after != APIPOOL_NONE ? &segment->waiters[after].prev : &q->last) = before;
}

/* Inserts a waiter by its ticket, searching from the end. */
static void insert(apipool_segment_t *segment, apipool_queue_t *q, apr_uint32_t index)
{
    apipool_waiter_t *waiters = segment->waiters, *waiter = &waiters[index];
    apr_uint32_t before = q->last;
    while (before != APIPOOL_NONE && waiters[before].ticket > waiter->ticket) {
        before = waiters[before].prev;
    }
    apr_uint32_t after = before != APIPOOL_NONE ? waiters[before].next : q->first;
    waiter->queue = (apr_uint32_t)(q - segment->queues);
    link_up(segment, q, before, index);
    link_up(segment, q, index, after);
    q->tickets = q->tickets > waiter->ticket ? q->tickets : waiter->ticket + 1;
}

static apr_uint32_t enter_locked(apipool_segment_t *segment, apr_uint32_t pool, apr_uint64_t model)
{
    apr_uint32_t i = apipool_hash_table_take(&segment->waiter_table);
    apipool_queue_t *q = i != APIPOOL_NONE ? find_or_make(segment, pool, model) : NULL;
    if (!q) {
        if (i != APIPOOL_NONE) {
            apipool_hash_table_give(&segment->waiter_table, i);
        }
        return APIPOOL_NONE;
    }
    apipool_waiter_t *waiter = &segment->waiters[i];
    waiter->pool = pool;
    waiter->model = model;
    waiter->ticket = q->tickets;
    APIPOOL_FAULT("enter-unnamed");
    APIPOOL_IN_ORDER(); /* the process puts the entry in use */
    waiter->process = segment->process;
    insert(segment, q, i);
    return i;
}

apr_status_t apipool_pool_enter_queue(apipool_segment_t *segment, apr_uint32_t pool,
                                      apr_uint64_t model, apr_uint32_t *waiter)
{
    apr_status_t rv = apipool_segment_lock(segment);
    *waiter = APIPOOL_NONE;
    if (rv == APR_SUCCESS) {
        *waiter = enter_locked(segment, pool, model);
        apipool_segment_unlock(segment);
    }
    return rv;
}

static void leave_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_waiter_t *waiter = &segment->waiters[index];
    apipool_queue_t *q = &segment->queues[waiter->queue];
    link_up(segment, q, waiter->prev, waiter->next);
    waiter->process = 0;
    apipool_hash_table_give(&segment->waiter_table, index);
    if (q->first == APIPOOL_NONE) {
        apipool_hash_table_unlink(&segment->queue_table, waiter->queue, hash_of(q->pool, q->model));
        apipool_hash_table_give(&segment->queue_table, waiter->queue);
    }
}

apr_status_t apipool_pool_leave_queue(apipool_segment_t *segment, apr_uint32_t waiter)
{
    apr_status_t rv = apipool_segment_lock(segment);
    if (rv == APR_SUCCESS) {
        leave_locked(segment, waiter);
        apipool_segment_unlock(segment);
    }
    return rv;
}

apr_uint64_t apipool_queue_ahead_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t model, apr_uint32_t waiter)
{
    const apipool_queue_t *q = segment->header->queues.linked ? find(segment, pool, model)
                                                              : NULL; /* usually there is none */
    if (!q) {
        return 0;
    }
    apr_uint64_t mine = waiter != APIPOOL_NONE ? segment->waiters[waiter].ticket : q->tickets;
    return mine - segment->waiters[q->first].ticket;
}

void apipool_queue_reclaim_locked(apipool_segment_t *segment, apr_uint32_t process)
{
    for (apr_uint32_t i = 0; i < segment->header->waiters.used; i++) {
        if (segment->waiters[i].process == process) {
            leave_locked(segment, i);
        }
    }
}

void apipool_queue_rebuild_locked(apipool_segment_t *segment)
{
    apipool_hash_table_clear(&segment->queue_table);
    segment->header->queues.used = 0;
    apipool_hash_table_clear(&segment->waiter_table);
    for (apr_uint32_t i = 0; i < segment->header->waiters.used; i++) {
        apipool_waiter_t *waiter = &segment->waiters[i];
        apipool_queue_t *q =
            waiter->process ? find_or_make(segment, waiter->pool, waiter->model) : NULL;
        if (q) {
            insert(segment, q, i);
        }
        else {
            waiter->process = 0;
            apipool_hash_table_give(&segment->waiter_table, i);
        }
    }
}
