/* SPDX-License-Identifier: Apache-2.0
 * APIPoolCORS: which pages may read answers, and what browsers ask before they send a request (Fetch). */
#ifndef APIPOOL_RELAY_CORS_H
#define APIPOOL_RELAY_CORS_H

#include "config.h"

/** header_parser: answers a preflight before anybody is asked for a key, and lets any other answer, errors of
 *  httpd's own included, say who may read it. Returns DONE or DECLINED. */
int apipool_cors_header_parser(request_rec *r);

/** Drops what an upstream says about it. */
void apipool_cors_strip(request_rec *r);

#endif
