/* SPDX-License-Identifier: Apache-2.0
 * Who may ask: passwords, sessions, and where a request comes from. */
#ifndef APIPOOL_ADMIN_ACCESS_H
#define APIPOOL_ADMIN_ACCESS_H

#include "admin.h"

/* --- Passwords: password.c --- */

/**
 * Looks at a password, for login and for reveal alike: throttled by address, and in a time that does not tell
 * whether there is such a user.
 * @param entry result: fingerprint of the user's entry
 * @return DECLINED if it is right; else what was answered
 */
int apipool_password_is_right(const apipool_admin_request_t *ask, const char *user,
                              const char *password, const char **entry);

/**
 * The fingerprint of a user's entry in the location's file: another one as soon as the password changes, NULL
 * when the user is gone. O(lines).
 */
const char *apipool_password_fingerprint(const apipool_admin_request_t *ask, const char *user,
                                         apr_pool_t *p);

/** Why a file cannot be a list of users, or NULL; *others is set to a user whose entry is not bcrypt. */
const char *apipool_password_file_fault(apr_pool_t *p, const char *path, const char **other);

/* --- Sessions: caller.c --- */

#define APIPOOL_ADMIN_COOKIE "apipool_session"

/** Finds out who asks, by session or by httpd; nobody is not an error. Fills ask->caller. */
void apipool_caller_find(apipool_admin_request_t *ask);

/** Whether the session that the caller was found by still holds: not ended, not expired, user and password
 *  still the same. Always, with APIPoolAdminAuth httpd. Memory is taken from p. */
int apipool_caller_holds(const apipool_admin_request_t *ask, apr_pool_t *p);

/** A keyed hash, so that nobody can choose what shares its number with something else; 0 if it cannot be
 *  made. */
apr_uint64_t apipool_caller_hash(const char *bytes, apr_size_t len);

/** The role of a user here. */
apipool_role_e apipool_caller_role(const apipool_admin_conf_t *conf, const char *user);
const char *apipool_caller_role_name(apipool_role_e role);

/** The audience of tokens here: server and location. */
const char *apipool_caller_audience(const apipool_admin_request_t *ask);

/** The same as a number, by which all sessions here are ended; 0 if it cannot be made. */
apr_uint64_t apipool_caller_place(const apipool_admin_request_t *ask);

/** The number of the location as it is configured: virtual hosts that take it from the main server as it
 *  stands there have it in common. 0 if it cannot be made. */
apr_uint64_t apipool_caller_location(const apipool_admin_request_t *ask);

/** Whether a browser says that the request comes from a page of this very server: by Origin, else
 *  Sec-Fetch-Site, else Referer (RFC 6454, Fetch Metadata). 0 where nothing is said. */
int apipool_caller_is_same_origin(request_rec *r);

/** Whether the client reached us by TLS, as far as this server knows. */
int apipool_caller_is_secure(request_rec *r);

#endif
