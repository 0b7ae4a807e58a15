/* SPDX-License-Identifier: Apache-2.0
 * Keeps the lent key out of the bodies that an upstream sends. */
#ifndef APIPOOL_RELAY_MASK_H
#define APIPOOL_RELAY_MASK_H

#include "request.h"

/** Whether the body of this answer may hold the key as text: any but a good one of sounds, images and the
 *  like, or one that is encoded, which none is asked to be. Its head must have been read. */
int apipool_mask_is_for(const apipool_request_t *req);

/** Masks the key as the body passes, at the same length, also where it comes in pieces. The end of a brigade
 *  that may be the beginning of the key stays behind, in carry, until it is known; nothing else is copied. */
void apipool_mask_body(apipool_request_t *req, apr_bucket_brigade *bb);

#endif
