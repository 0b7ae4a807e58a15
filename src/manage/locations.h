/* SPDX-License-Identifier: Apache-2.0
 * Where clients reach a pool. */
#ifndef APIPOOL_MANAGE_LOCATIONS_H
#define APIPOOL_MANAGE_LOCATIONS_H

#include <jansson.h>

#include "config.h"

/**
 * Lists the locations and servers whose APIPoolUse names a pool: an array. O(uses²). No lock.
 * @param s the server that is asked
 */
json_t *apipool_manage_locations(const server_rec *s, const apipool_pool_conf_t *pool);

#endif
