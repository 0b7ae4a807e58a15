/* SPDX-License-Identifier: Apache-2.0
 * AuthType APIPool: who asks, by the client key. */
#ifndef APIPOOL_RELAY_AUTH_H
#define APIPOOL_RELAY_AUTH_H

#include "request.h"

/* Hooks of httpd's authentication. r->user becomes the client's name, so that everything that httpd does with
 * users works. Where "Require" is satisfied without a user, by an address say, nobody has to have a key; who
 * has a valid one is known and metered all the same. */

/** force_authn: a valid key is looked at even where it is not asked for. */
int apipool_auth_force(request_rec *r);

/** check_authn. Returns OK, DECLINED with another AuthType, or HTTP_UNAUTHORIZED. */
int apipool_auth_check(request_rec *r);

/** note_auth_failure: a user who is not the required one. */
int apipool_auth_note_failure(request_rec *r, const char *type);

/** insert_error_filter: says that the page is ours, and no HTML. */
void apipool_auth_insert_error_filter(request_rec *r);

void apipool_auth_register_filter(void);

/**
 * Whose key the request carries, where authentication has found that out, for this request or for the one
 * that was redirected to it.
 * @param is_asked set to whether there has to be a client
 * @return NULL: nobody's
 */
const apipool_client_pass_t *apipool_auth_client(apipool_request_t *req, int *is_asked);

#endif
