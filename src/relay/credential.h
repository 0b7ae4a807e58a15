/* SPDX-License-Identifier: Apache-2.0
 * Where a request carries a client key, and how that is kept out of logs. */
#ifndef APIPOOL_RELAY_CREDENTIAL_H
#define APIPOOL_RELAY_CREDENTIAL_H

#include "relay.h"

/**
 * The first thing in a request that looks like a client key: Authorization (Bearer), x-api-key, api-key,
 * x-goog-api-key, or the query argument "key".
 * @return APIPOOL_CLIENTKEY_LEN bytes somewhere in the request; NULL: there is none
 */
const char *apipool_credential_find(request_rec *r);

/** Overwrites client keys in the query. */
void apipool_credential_hide(request_rec *r);

/** post_read_request: the same in the request line, which is only for logs and status pages. */
int apipool_credential_hide_line(request_rec *r);

/** log_transaction: both, of requests that were refused before post_read_request as well, and of those that
 *  nobody was asked for a key of. */
int apipool_credential_hide_from_logs(request_rec *r);

#endif
