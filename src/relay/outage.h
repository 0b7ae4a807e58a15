/* SPDX-License-Identifier: Apache-2.0
 * Pools that serve nobody for now: in maintenance, or without their store. */
#ifndef APIPOOL_RELAY_OUTAGE_H
#define APIPOOL_RELAY_OUTAGE_H

#include "request.h"

/** header_parser: refuses all requests of pools whose keys could not be read at start. It comes
 *  before any authentication, since the clients' keys could not be read either. */
int apipool_outage_header_parser(request_rec *r);

/** Returns 1 if httpd is about to send that refusal, which is JSON. */
int apipool_outage_is_refused(request_rec *r);

/** Answers a request if an operator has put its pool into maintenance. Returns 0 if it has not. */
int apipool_outage_answer(apipool_request_t *req);

#endif
