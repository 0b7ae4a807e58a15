/* SPDX-License-Identifier: Apache-2.0
 * What follows a 101: bytes go both ways, and frames are read as they pass. */
#ifndef APIPOOL_RELAY_TUNNEL_H
#define APIPOOL_RELAY_TUNNEL_H

#include "request.h"

/**
 * Sends the client its 101, whose head is in the request, and carries bytes until both sides have
 * closed, or nothing came for too long.
 * @param origin the connection to the upstream
 * @param first  bytes that came together with the head
 */
void apipool_tunnel_run(const apipool_request_t *req, conn_rec *origin, const char *first,
                        apr_size_t first_len);

void apipool_tunnel_register_filters(void);

#endif
