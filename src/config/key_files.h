/* SPDX-License-Identifier: Apache-2.0
 * Adds the keys of key files to the pools at start and at every graceful restart. */
#ifndef APIPOOL_CONFIG_KEY_FILES_H
#define APIPOOL_CONFIG_KEY_FILES_H

#include "config.h"

/**
 * Adds the keys of a pool's files: post_config, parent only. Keys are merged; none is removed. Logs
 * how many were added and how many did not fit, never a key. In any case their texts are wiped.
 * @param segment NULL: no key is added
 */
apr_status_t apipool_key_files_import(apipool_segment_t *segment, apipool_pool_conf_t *pool);

#endif
