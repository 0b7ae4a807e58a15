/* SPDX-License-Identifier: Apache-2.0
 * What the jobs of the clock work on. */
#ifndef APIPOOL_UPKEEP_UPKEEP_H
#define APIPOOL_UPKEEP_UPKEEP_H

#include "config.h"

/* Made in post_config; a child that becomes the singleton puts to it what it makes. */
typedef struct {
    server_rec *server;
    apipool_segment_t *segment;
    const apr_array_header_t *pools;      /* apipool_pool_conf_t *, of all servers */
    struct apipool_probe_schedule_t *due; /* probe_schedule.c's */
} apipool_upkeep_t;

#endif
