/* SPDX-License-Identifier: Apache-2.0
 * The request body: captured once, replayed for every attempt. */
#ifndef APIPOOL_RELAY_BODY_H
#define APIPOOL_RELAY_BODY_H

#include "request.h"

/* Bodies up to this many bytes stay in memory; larger ones go to a temporary file without a name. */
#define APIPOOL_BODY_MEMORY_MAX (1024 * 1024)

/**
 * Reads the whole body of the client's request. Blocks for as long as httpd's Timeout allows.
 * @return OK; HTTP_REQUEST_ENTITY_TOO_LARGE above the pool's limit; HTTP_NOT_IMPLEMENTED for a
 *         transfer coding that is not understood; another HTTP status, or
 *         AP_FILTER_ERROR when the input filters have answered already
 */
int apipool_body_capture(apipool_request_t *req);

/** Where in the sniffed body a pool's affinity finds its session: a member that is wanted anyway
 *  is looked for but once. */
int apipool_body_session(const apipool_pool_conf_t *pool);

/** Copies a part of the captured body, decoded if it was compressed, which must be that long. */
apr_status_t apipool_body_read(const apipool_request_t *req, apr_off_t at, char *text,
                               apr_size_t len);

/** Whether a compressed body is sent decoded, since the current attempt calls its model by another name. */
int apipool_body_is_sent_decoded(const apipool_request_t *req);

/** Adds the body as the current attempt sends it to a brigade. Files are read as they are sent. */
apr_status_t apipool_body_copy(const apipool_request_t *req, apr_bucket_brigade *bb);

#endif
