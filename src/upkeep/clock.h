/* SPDX-License-Identifier: Apache-2.0
 * Work that needs no request, done once a second in a single process. */
#ifndef APIPOOL_UPKEEP_CLOCK_H
#define APIPOOL_UPKEEP_CLOCK_H

#include "config.h"

/**
 * Registers with mod_watchdog's singleton: post_config.
 * @param pools of all servers; lives as long as pconf
 * @return OK, or HTTP_INTERNAL_SERVER_ERROR after a log message
 */
int apipool_clock_register(apr_pool_t *pconf, server_rec *main_server, apipool_segment_t *segment,
                           const apr_array_header_t *pools);

#endif
