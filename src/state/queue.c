/* SPDX-License-Identifier: Apache-2.0
 * Requests that wait for a key, in the order in which they came. */
#include "queue.h"

#include "fault.h"

#define PROBES 16

/* The queue in use for that, or else a free one; NULL when there is neither. */
static apipool_queue_t *find(const apipool_segment_t *segment, apr_uint32_t pool,
                             apr_uint64_t model)
{
    apr_uint64_t hash = (model ^ ((apr_uint64_t)pool << 32)) * APR_UINT64_C(0x9e3779b97f4a7c15);
    apipool_queue_t *free = NULL;
    for (apr_uint32_t n = 0; n < PROBES; n++) {
        apipool_queue_t *q =
            &segment->queues[((apr_uint32_t)(hash >> 32) + n) & (APIPOOL_QUEUES_MAX - 1)];
        if (q->first == APIPOOL_NONE) {
            free = free ? free : q;
        }
        else if (q->pool == pool && q->model == model) {
            return q;
        }
    }
    return free;
}

static apr_uint32_t take_waiter(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    apr_uint32_t i = header->waiters_free;
    if (i != APIPOOL_NONE) {
        header->waiters_free = segment->waiters[i].next;
    }
    else if (header->waiters_used < APIPOOL_WAITERS_MAX) {
        i = header->waiters_used++;
    }
    return i;
}

static void append(apipool_segment_t *segment, apipool_queue_t *q, apr_uint32_t index)
{
    apipool_waiter_t *waiter = &segment->waiters[index];
    waiter->next = APIPOOL_NONE;
    waiter->prev = q->last;
    APIPOOL_FAULT("enter-half-linked");
    if (q->last != APIPOOL_NONE) {
        segment->waiters[q->last].next = index;
    }
    else {
        q->first = index;
    }
    q->last = index;
}

apr_uint32_t apipool_queue_enter_locked(apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t model)
{
    apipool_queue_t *q = find(segment, pool, model);
    apr_uint32_t i = q ? take_waiter(segment) : APIPOOL_NONE;
    if (i == APIPOOL_NONE) {
        return i;
    }
    q->pool = pool;
    q->model = model;
    apipool_waiter_t *waiter = &segment->waiters[i];
    waiter->queue = (apr_uint32_t)(q - segment->queues);
    waiter->ticket = q->tickets++;
    APIPOOL_FAULT("enter-unnamed");
    APIPOOL_IN_ORDER(); /* with a process in it, the entry counts */
    waiter->process = segment->process;
    append(segment, q, i);
    return i;
}

void apipool_queue_leave_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_waiter_t *waiter = &segment->waiters[index];
    apipool_queue_t *q = &segment->queues[waiter->queue];
    if (waiter->prev != APIPOOL_NONE) {
        segment->waiters[waiter->prev].next = waiter->next;
    }
    else {
        q->first = waiter->next;
    }
    APIPOOL_FAULT("leave-half-linked");
    if (waiter->next != APIPOOL_NONE) {
        segment->waiters[waiter->next].prev = waiter->prev;
    }
    else {
        q->last = waiter->prev;
    }
    waiter->process = 0;
    waiter->next = segment->header->waiters_free;
    segment->header->waiters_free = index;
}

apr_uint64_t apipool_queue_ahead_locked(const apipool_segment_t *segment, apr_uint32_t pool,
                                        apr_uint64_t model, apr_uint32_t waiter)
{
    if (!segment->header->waiters_used) { /* as long as no one has ever waited */
        return 0;
    }
    const apipool_queue_t *q = find(segment, pool, model);
    if (!q || q->first == APIPOOL_NONE) {
        return 0;
    }
    apr_uint64_t mine = waiter != APIPOOL_NONE ? segment->waiters[waiter].ticket : q->tickets;
    return mine - segment->waiters[q->first].ticket;
}

void apipool_queue_reclaim_locked(apipool_segment_t *segment, apr_uint32_t process)
{
    for (apr_uint32_t i = 0; i < segment->header->waiters_used; i++) {
        if (segment->waiters[i].process && (!process || segment->waiters[i].process == process)) {
            apipool_queue_leave_locked(segment, i);
        }
    }
}

/* Puts a waiter where its ticket belongs, looking from the end. */
static void insert(apipool_segment_t *segment, apr_uint32_t index)
{
    apipool_waiter_t *waiters = segment->waiters, *waiter = &waiters[index];
    apipool_queue_t *q = &segment->queues[waiter->queue];
    apr_uint32_t before = q->last;
    while (before != APIPOOL_NONE && waiters[before].ticket > waiter->ticket) {
        before = waiters[before].prev;
    }
    apr_uint32_t *to_next = before != APIPOOL_NONE ? &waiters[before].next : &q->first;
    waiter->prev = before;
    waiter->next = *to_next;
    *to_next = index;
    *(waiter->next != APIPOOL_NONE ? &waiters[waiter->next].prev : &q->last) = index;
    q->tickets = q->tickets > waiter->ticket ? q->tickets : waiter->ticket + 1;
}

void apipool_queue_rebuild_locked(apipool_segment_t *segment)
{
    apipool_header_t *header = segment->header;
    if (header->waiters_used > APIPOOL_WAITERS_MAX) {
        header->waiters_used = APIPOOL_WAITERS_MAX;
    }
    header->waiters_free = APIPOOL_NONE;
    for (apr_uint32_t i = 0; i < APIPOOL_QUEUES_MAX; i++) {
        segment->queues[i].first = segment->queues[i].last = APIPOOL_NONE;
    }
    for (apr_uint32_t i = 0; i < header->waiters_used; i++) {
        apipool_waiter_t *waiter = &segment->waiters[i];
        waiter->queue &= APIPOOL_QUEUES_MAX - 1;
        if (waiter->process) {
            insert(segment, i);
        }
        else {
            waiter->next = header->waiters_free;
            header->waiters_free = i;
        }
    }
}
