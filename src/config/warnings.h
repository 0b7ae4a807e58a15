/* SPDX-License-Identifier: Apache-2.0
 * Warns at start about upstreams whose certificate is not verified. */
#ifndef APIPOOL_CONFIG_WARNINGS_H
#define APIPOOL_CONFIG_WARNINGS_H

#include "config.h"

/**
 * Logs a warning for each https upstream whose certificate is not verified by its server or the
 * <Proxy> sections for its URL: post_config. Reads the directives from the configuration tree,
 * since mod_ssl does not expose its settings.
 */
void apipool_warnings_upstreams(const apr_array_header_t *pools);

#endif
