/* SPDX-License-Identifier: Apache-2.0
 * Adds the keys of key files to the pools at start and at every graceful restart. */
#ifndef APIPOOL_CONFIG_KEY_FILES_H
#define APIPOOL_CONFIG_KEY_FILES_H

#include "config.h"

/**
 * Adds the keys of a pool's files: post_config, parent only. Keys are merged; none is removed. Logs
 * how many were added, passed over and did not fit, never a key. In any case their texts are
 * wiped. Keys that an operator has deleted are passed over; a deletion of a key that no file lists
 * any longer is dropped.
 * @param segment NULL: no key is added
 * @param p       for scratch memory
 */
apr_status_t apipool_key_files_import(apipool_segment_t *segment, apipool_pool_conf_t *pool,
                                      apr_pool_t *p);

/** Returns 1 if a file of the pool lists a key: as of this generation of the configuration. */
int apipool_key_files_list(const apipool_pool_conf_t *pool, const char *key, apr_size_t len);

#endif
