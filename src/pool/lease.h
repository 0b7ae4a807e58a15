/* SPDX-License-Identifier: Apache-2.0
 * Key that is lent for an attempt. */
#ifndef APIPOOL_POOL_LEASE_H
#define APIPOOL_POOL_LEASE_H

#include <apr_time.h>

#include "key.h"

/* Key lent to one attempt. The secret is a copy: wipe it with apipool_lease_wipe. */
typedef struct {
    apr_uint32_t slot;
    apr_uint32_t upstream;
    apr_uint32_t holder; /* entry that names this process, or APIPOOL_NONE */
    apr_uint64_t id;
    apr_uint64_t model;  /* name at the upstream, hashed */
    apr_uint32_t tokens; /* reserved */
    apr_time_t lent_at;
    int proving; /* the key is half open: this attempt decides */
    apr_uint32_t len;
    apr_uint32_t longest;          /* longest key held since the last wipe; 0 at first */
    char key[APIPOOL_KEY_MAX + 1]; /* NUL-terminated */
} apipool_lease_t;

void apipool_lease_wipe(apipool_lease_t *lease);

#endif
