/* SPDX-License-Identifier: Apache-2.0
 * Says what is wrong with a segment. It changes nothing, and believes nothing that it finds. */
#ifndef APIPOOL_UNIT_CONSISTENCY_H
#define APIPOOL_UNIT_CONSISTENCY_H

#include "segment_layout.h"

/** What is wrong, as a sentence, or NULL. The caller holds the segment's lock, or is alone.
 *  O(keys). */
const char *consistency_of(const apipool_segment_t *segment);

/** Of that, what is wrong with the members of upstreams. */
const char *consistency_of_members(const apipool_segment_t *segment);

#endif
