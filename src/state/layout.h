/* SPDX-License-Identifier: Apache-2.0
 * What lies in the segment behind its header; private to src/state. */
#ifndef APIPOOL_STATE_LAYOUT_H
#define APIPOOL_STATE_LAYOUT_H

#include <apr_time.h>

#include "mod_apipool.h"
#include "segment.h"

#define APIPOOL_GROUPS_PER_POOL 16
#define APIPOOL_SERVER_NAME_MAX 256 /* bytes with NUL */
#define APIPOOL_NAME_MAX        64  /* bytes with NUL */
#define APIPOOL_KEY_INLINE      256 /* longer keys lie in the arena */

/* A pool is known by server and name, so that an edited configuration finds its own keys again. */
struct apipool_shared_pool_t {
    char server[APIPOOL_SERVER_NAME_MAX];
    char name[APIPOOL_NAME_MAX];
    apr_uint32_t turn; /* round robin: how many keys have had theirs */
    apr_uint32_t pad;
};

/* The keys of one upstream of one pool. Its members array holds every one of them exactly once:
 *
 *   0          usable             parked          size - waiting          size
 *   | in rotation | out of rotation | ... free ... | heap, root at the end |
 *
 * The heap is ordered by the time at which a cooldown ends and grows downwards: element i lies at
 * size - 1 - i. A slot knows its place: position for the left part, heap index for the right. */
struct apipool_group_t {
    apr_uint32_t pool;
    char name[APIPOOL_NAME_MAX];
    apr_uint32_t size, usable, parked, waiting; /* parked is where the left part ends */
    apr_rmm_off_t members;
};

/* The holder of one lease, so that those of a child that died can be given back. */
struct apipool_holder_t {
    apr_uint32_t process; /* 0: free */
    apr_uint32_t slot;    /* of a free one: the next free one */
};

struct apipool_slot_t {
    apr_uint64_t id;
    apr_uint32_t pool, group;
    apr_uint32_t next;  /* in the chain of its head */
    apr_uint32_t place; /* in the group's members */
    apr_uint32_t secret_len;
    apr_uint32_t in_flight;
    apr_rmm_off_t secret_off; /* where a long key lies; 0 when inline */
    apipool_state_e state;
    apr_uint32_t limited_streak; /* consecutive rate limits */
    apr_uint32_t error_streak;   /* consecutive errors blamed on the key */
    apr_uint32_t last_status;
    apr_time_t cooling_until, added_at, last_used_at, last_error_at;
    apr_uint64_t requests, successes, errors;
    char secret[APIPOOL_KEY_INLINE];
};

#endif
