/* SPDX-License-Identifier: Apache-2.0
 * Warns at start where an upstream would be believed to be who it says it is. */
#ifndef APIPOOL_CONFIG_WARNINGS_H
#define APIPOOL_CONFIG_WARNINGS_H

#include "config.h"

/**
 * Logs a warning for each https upstream that its server, or the <Proxy> sections for its URL, do not
 * verify: post_config. Reads the directives as they stand in the configuration, for mod_ssl tells nobody what
 * it makes of them.
 */
void apipool_warnings_upstreams(const apr_array_header_t *pools);

#endif
