/* SPDX-License-Identifier: Apache-2.0
 * A key that is lent for an attempt. */
#ifndef APIPOOL_POOL_LEASE_H
#define APIPOOL_POOL_LEASE_H

#include <apr_time.h>

#include "key.h"

/* A key lent to one attempt. The secret is a copy: wipe it with apipool_lease_wipe. */
typedef struct {
    apr_uint32_t slot;
    apr_uint32_t group;
    apr_uint32_t holder; /* the entry that names this process, or APIPOOL_NONE */
    apr_uint64_t id;
    apr_uint64_t model;  /* as the group's upstream calls it */
    apr_uint32_t tokens; /* reserved */
    apr_time_t lent_at;
    int proving; /* the key is half open: this attempt decides */
    apr_uint32_t len;
    apr_uint32_t longest;          /* of the keys that it has held since it was wiped; 0 at first */
    char key[APIPOOL_KEY_MAX + 1]; /* NUL-terminated */
} apipool_lease_t;

void apipool_lease_wipe(apipool_lease_t *lease);

#endif
