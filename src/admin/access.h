/* SPDX-License-Identifier: Apache-2.0
 * Identifies callers: passwords, sessions, and the origin of a request. */
#ifndef APIPOOL_ADMIN_ACCESS_H
#define APIPOOL_ADMIN_ACCESS_H

#include "admin.h"

/* --- Passwords: password.c --- */

/**
 * Checks a password, for login and for reveal. Throttled by address; takes the same time whether or
 * not the user exists.
 * @param entry result: fingerprint of the user's entry
 * @return DECLINED if it is right; else the status of the error already sent
 */
int apipool_password_check(const apipool_admin_request_t *request, const char *user,
                           const char *password, const char **entry);

/**
 * Returns the fingerprint of a user's entry in the location's file, which changes with the
 * password; NULL if the user is gone. O(lines).
 */
const char *apipool_password_fingerprint(const apipool_admin_request_t *request, const char *user,
                                         apr_pool_t *p);

/** Explains why a file cannot be a list of users; NULL if it can. *other is set to a user whose
 *  entry is not bcrypt. */
const char *apipool_password_file_fault(apr_pool_t *p, const char *path, const char **other);

/* --- Sessions: caller.c --- */

#define APIPOOL_ADMIN_COOKIE "apipool_session"

/** Identifies the caller by session or by httpd's authentication; an unknown caller is not an
 *  error. Fills request->caller. */
void apipool_caller_find(apipool_admin_request_t *request);

/** Tests whether the caller's session is still valid: not ended, not expired, user and password
 *  unchanged. Always true with APIPoolAdminAuth httpd. Memory is taken from p. */
int apipool_caller_is_valid(const apipool_admin_request_t *request, apr_pool_t *p);

/** Returns a keyed hash, so that nobody can construct a collision; 0 if it cannot be computed. */
apr_uint64_t apipool_caller_hash(const char *bytes, apr_size_t len);

/** Returns the role of a user in this location. */
apipool_role_e apipool_caller_role(const apipool_admin_conf_t *conf, const char *user);
const char *apipool_caller_role_name(apipool_role_e role);

/** Returns the audience of this location's tokens: server and location. */
const char *apipool_caller_audience(const apipool_admin_request_t *request);

/** Returns the audience as a number, by which all sessions of the location are ended; 0 if it
 *  cannot be computed. */
apr_uint64_t apipool_caller_place(const apipool_admin_request_t *request);

/** Returns the number of the location as configured: virtual hosts that inherit it unchanged from
 *  the main server share it. 0 if it cannot be computed. */
apr_uint64_t apipool_caller_location(const apipool_admin_request_t *request);

/** Tests whether the browser reports that the request comes from a page of this very server: by
 *  Origin, else Sec-Fetch-Site, else Referer (RFC 6454, Fetch Metadata). 0 if it sends none of
 *  them. */
int apipool_caller_is_same_origin(request_rec *r);

/** Tests whether the client's connection uses TLS, as far as this server knows. */
int apipool_caller_is_secure(request_rec *r);

#endif
