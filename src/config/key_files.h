/* SPDX-License-Identifier: Apache-2.0
 * Adds the keys of key files to the pools at start and at every graceful restart. */
#ifndef APIPOOL_CONFIG_KEY_FILES_H
#define APIPOOL_CONFIG_KEY_FILES_H

#include "config.h"

/** Finds what operators have deleted, before the imports of all pools: post_config, parent only, who
 *  keeps out other writers of the store. Returns their mutual state. */
apr_hash_t *apipool_key_files_begin(const apipool_segment_t *segment, apr_pool_t *p);

/**
 * Adds the keys of a pool's files: post_config, parent only. Keys are merged; none is removed, and
 * none is added that an operator has deleted. Logs how many were added, passed over and did not
 * fit, never a key. In any case their texts are wiped.
 * @param segment NULL: no key is added
 * @param deleted from apipool_key_files_begin(); unused without a segment
 */
apr_status_t apipool_key_files_import(apipool_segment_t *segment, apipool_pool_conf_t *pool,
                                      apr_hash_t *deleted);

/** Drops the deletions of keys that no file of any pool lists any longer, after all imports. */
void apipool_key_files_end(apipool_segment_t *segment, apr_hash_t *deleted);

/** Returns 1 if a file of the pool lists a key: as of this generation of the configuration. */
int apipool_key_files_list(const apipool_pool_conf_t *pool, const char *key, apr_size_t len);

#endif
