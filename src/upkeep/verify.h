/* SPDX-License-Identifier: Apache-2.0
 * Warns at start where an upstream would be believed to be who it says it is. */
#ifndef APIPOOL_UPKEEP_VERIFY_H
#define APIPOOL_UPKEEP_VERIFY_H

#include "config.h"

/**
 * Logs a warning for each pool with https upstreams whose server does not verify them: post_config. Reads the
 * directives as they stand in the configuration, for mod_ssl tells nobody what it makes of them. What a
 * <Proxy> section says is not matched to upstreams: where one has the directive, nothing is said of it.
 */
void apipool_verify_warn(const apr_array_header_t *pools);

#endif
