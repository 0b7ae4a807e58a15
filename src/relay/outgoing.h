/* SPDX-License-Identifier: Apache-2.0
 * What leaves for the upstream: the one place where a key goes out. */
#ifndef APIPOOL_RELAY_OUTGOING_H
#define APIPOOL_RELAY_OUTGOING_H

#include "request.h"

/**
 * mod_proxy's fixups hook. mod_proxy runs it once per attempt on a copy of the request's header
 * fields that is put aside afterwards, so what it sets is on the wire and nowhere else.
 */
int apipool_outgoing_fixups(request_rec *r);

#endif
