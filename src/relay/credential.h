/* SPDX-License-Identifier: Apache-2.0
 * Where a request carries a client key, and how that is kept out of logs. */
#ifndef APIPOOL_RELAY_CREDENTIAL_H
#define APIPOOL_RELAY_CREDENTIAL_H

#include "module.h"

#define APIPOOL_AUTH_TYPE "APIPool"

/** Whether AuthType APIPool holds for a request. */
int apipool_credential_is_asked(request_rec *r);

/**
 * The first thing in a request that looks like a client key: Authorization (Bearer), x-api-key, api-key,
 * x-goog-api-key, or the query argument "key".
 * @param taken from the query by apipool_credential_take(), or NULL
 * @return APIPOOL_CLIENT_KEY_LEN bytes somewhere in the request; NULL: there is none
 */
const char *apipool_credential_find(request_rec *r, const char *taken);

/** Overwrites client keys in whatever of the URL this module, logs and status pages read. */
void apipool_credential_hide(request_rec *r);

/** Overwrites those in the query of a request that a pool serves.
 *  @return a copy of the one that would be found there; NULL: there is none */
const char *apipool_credential_take(request_rec *r);

/** post_read_request: overwrites them in the request line and the unparsed URI, before anything is logged. */
int apipool_credential_hide_line(request_rec *r);

/** translate_name, where no pool serves the request: other modules get the unparsed URI as it came. */
void apipool_credential_show_uri(request_rec *r);

/** handler: takes them out of the fields that httpd's other handlers would hand to a CGI, say. */
int apipool_credential_hide_from_environment(request_rec *r);

/** insert_error_filter: for requests that are refused before post_read_request. */
void apipool_credential_hide_refused(request_rec *r);

/** log_transaction: all of it, also where nobody was asked for a key. */
int apipool_credential_hide_from_logs(request_rec *r);

#endif
