/* SPDX-License-Identifier: Apache-2.0
 * Bodies that hold many requests: the model that each of them names, and what they may take. */
#ifndef APIPOOL_RELAY_BATCH_H
#define APIPOOL_RELAY_BATCH_H

#include "body.h"

#define APIPOOL_BATCH_SIZE_MAX APIPOOL_BODY_MEMORY_MAX /* bytes that are looked into */

typedef enum {
    APIPOOL_BATCH_ALLOWED,
    APIPOOL_BATCH_REFUSED,  /* a request names no model, or one that is not allowed */
    APIPOOL_BATCH_TOO_LARGE /* to be looked into */
} apipool_batch_e;

/**
 * Looks into a body of an APIPOOL_ENDPOINT_BATCH, once it is captured and the demand is made. Memory of
 * about ten times its length is in use meanwhile.
 * @param has_model whether the client may use a model
 * @param tokens what all its requests may take; where they cannot be read, what one may
 * @return whether the client may use every model; one without a list of models may, whatever the body holds
 */
apipool_batch_e apipool_batch_read(const apipool_request_t *req,
                                   int (*has_model)(const apipool_request_t *req,
                                                    const char *model),
                                   apr_uint32_t *tokens);

#endif
