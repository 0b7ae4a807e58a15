/* SPDX-License-Identifier: Apache-2.0
 * A group's array of member slots: moves between its three parts. */
#include "members.h"

#include <string.h>

#define FIRST_SIZE 16

typedef struct {
    apipool_slot_t *slots;
    apipool_group_t *group;
    apr_uint32_t *at;
} array_t;

static array_t array_of(const apipool_segment_t *segment, apr_uint32_t group)
{
    array_t a;
    a.slots = segment->slots;
    a.group = &segment->groups[group];
    a.at = a.group->size ? apr_rmm_addr_get(segment->rmm, a.group->members) : NULL;
    return a;
}

/* A slot's part of the array follows from its place only together with which side it is on; the left
 * part and the heap never meet, so one comparison of what lies there tells. */
static int is_waiting(const array_t *a, apr_uint32_t index)
{
    apr_uint32_t place = a->slots[index].place;
    return place < a->group->waiting && a->at[a->group->size - 1 - place] == index;
}

static void put(array_t *a, apr_uint32_t position, apr_uint32_t index)
{
    a->at[position] = index;
    a->slots[index].place = position;
}

static void swap(array_t *a, apr_uint32_t p, apr_uint32_t q)
{
    apr_uint32_t index = a->at[p];
    put(a, p, a->at[q]);
    put(a, q, index);
}

static apr_uint32_t heap_get(const array_t *a, apr_uint32_t i)
{
    return a->at[a->group->size - 1 - i];
}

static void heap_put(array_t *a, apr_uint32_t i, apr_uint32_t index)
{
    a->at[a->group->size - 1 - i] = index;
    a->slots[index].place = i;
}

static apr_time_t heap_time(const array_t *a, apr_uint32_t i)
{
    return a->slots[heap_get(a, i)].cooling_until;
}

static void sift_up(array_t *a, apr_uint32_t i)
{
    apr_uint32_t index = heap_get(a, i);
    apr_time_t time = a->slots[index].cooling_until;
    while (i > 0 && heap_time(a, (i - 1) / 2) > time) {
        heap_put(a, i, heap_get(a, (i - 1) / 2));
        i = (i - 1) / 2;
    }
    heap_put(a, i, index);
}

static void sift_down(array_t *a, apr_uint32_t i)
{
    apr_uint32_t index = heap_get(a, i);
    apr_time_t time = a->slots[index].cooling_until;
    for (;;) {
        apr_uint32_t child = 2 * i + 1;
        if (child + 1 < a->group->waiting && heap_time(a, child + 1) < heap_time(a, child)) {
            child++;
        }
        if (child >= a->group->waiting || heap_time(a, child) >= time) {
            break;
        }
        heap_put(a, i, heap_get(a, child));
        i = child;
    }
    heap_put(a, i, index);
}

static void heap_remove(array_t *a, apr_uint32_t i)
{
    apr_uint32_t last = heap_get(a, --a->group->waiting);
    if (i < a->group->waiting) {
        heap_put(a, i, last);
        sift_up(a, i);
        sift_down(a, a->slots[last].place);
    }
}

static void park(array_t *a, apr_uint32_t index)
{
    apipool_group_t *group = a->group;
    if (is_waiting(a, index)) {
        heap_remove(a, a->slots[index].place);
        put(a, group->parked++, index);
    }
    else if (a->slots[index].place < group->usable) {
        swap(a, a->slots[index].place, --group->usable);
    }
}

int apipool_members_reserve_locked(apipool_segment_t *segment, apr_uint32_t group)
{
    array_t a = array_of(segment, group);
    apipool_group_t *g = a.group;
    if (g->parked + g->waiting < g->size) {
        return 1;
    }
    apr_uint32_t size = g->size ? g->size * 2 : FIRST_SIZE;
    apr_rmm_off_t members = apr_rmm_malloc(segment->rmm, size * sizeof(apr_uint32_t));
    if (!members) {
        return 0;
    }
    if (g->size) {
        apr_uint32_t *to = apr_rmm_addr_get(segment->rmm, members);
        memcpy(to, a.at, g->parked * sizeof(*to));
        memcpy(to + size - g->waiting, a.at + g->size - g->waiting, g->waiting * sizeof(*to));
        apr_rmm_free(segment->rmm, g->members);
    }
    g->members = members;
    g->size = size;
    return 1;
}

void apipool_members_add_locked(apipool_segment_t *segment, apr_uint32_t group, apr_uint32_t index)
{
    array_t a = array_of(segment, group);
    a.slots[index].group = group;
    put(&a, a.group->parked++, index);
    apipool_members_settle_locked(segment, index);
}

void apipool_members_remove_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    array_t a = array_of(segment, segment->slots[index].group);
    park(&a, index);
    swap(&a, a.slots[index].place, --a.group->parked);
}

void apipool_members_settle_locked(apipool_segment_t *segment, apr_uint32_t index)
{
    array_t a = array_of(segment, segment->slots[index].group);
    apipool_group_t *g = a.group;

    park(&a, index);
    if (a.slots[index].state == APIPOOL_STATE_ACTIVE) {
        swap(&a, a.slots[index].place, g->usable++);
    }
    else if (a.slots[index].state == APIPOOL_STATE_COOLING) {
        swap(&a, a.slots[index].place, --g->parked);
        heap_put(&a, g->waiting++, index);
        sift_up(&a, g->waiting - 1);
    }
}

apr_uint32_t apipool_members_usable_locked(const apipool_segment_t *segment, apr_uint32_t group,
                                           apr_uint32_t n)
{
    array_t a = array_of(segment, group);
    return a.at[n];
}

apr_uint32_t apipool_members_first_waiting_locked(const apipool_segment_t *segment,
                                                  apr_uint32_t group)
{
    array_t a = array_of(segment, group);
    return a.group->waiting ? heap_get(&a, 0) : APIPOOL_NONE;
}
