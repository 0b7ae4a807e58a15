/* SPDX-License-Identifier: Apache-2.0
 * What follows a 101: bytes go both ways, and frames are read as they pass. */
#ifndef APIPOOL_RELAY_TUNNEL_H
#define APIPOOL_RELAY_TUNNEL_H

#include "exchange.h"

/** Sends the client its 101, and carries bytes until both sides have closed, or nothing came for too long. */
void apipool_tunnel_run(apipool_exchange_t *x);

void apipool_tunnel_register_filters(void);

#endif
