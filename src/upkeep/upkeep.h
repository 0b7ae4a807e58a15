/* SPDX-License-Identifier: Apache-2.0
 * Shared data of the clock's jobs. */
#ifndef APIPOOL_UPKEEP_UPKEEP_H
#define APIPOOL_UPKEEP_UPKEEP_H

#include "config.h"

/* Made in post_config; the child that becomes the singleton adds its own data. */
typedef struct {
    server_rec *server;
    apipool_segment_t *segment;
    const apr_array_header_t *pools;      /* apipool_pool_conf_t *, of all servers */
    struct apipool_probe_schedule_t *due; /* of probe_schedule.c */
} apipool_upkeep_t;

#endif
