/* SPDX-License-Identifier: Apache-2.0
 * Checker of a segment. It changes nothing and trusts nothing. */
#ifndef APIPOOL_UNIT_CONSISTENCY_H
#define APIPOOL_UNIT_CONSISTENCY_H

#include "segment_layout.h"

/** Returns a sentence that tells what is wrong, or NULL. The caller holds the segment's lock, or
 *  is alone. O(keys). */
const char *consistency_of(const apipool_segment_t *segment);

/** The same for the members of upstreams only. */
const char *consistency_of_members(const apipool_segment_t *segment);

#endif
