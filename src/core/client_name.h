/* SPDX-License-Identifier: Apache-2.0
 * Names of clients: allowed characters and normal form. */
#ifndef APIPOOL_CORE_CLIENT_NAME_H
#define APIPOOL_CORE_CLIENT_NAME_H

#include <apr_pools.h>

/* A name is compared by its bytes, appears in paths, logs, labels and "Require user", and is
 * read by people. So it has one form (Unicode's NFC) and no character that is invisible or
 * changes how others look. */

#define APIPOOL_CLIENT_NAME_SIZE 64 /* bytes of UTF-8 with NUL */

/**
 * Normalises a name to NFC, the form in which it is stored. Thread-safe.
 * @param text any bytes
 * @return in p; text itself if it is not UTF-8
 */
const char *apipool_client_name_normalise(const char *text, apr_pool_t *p);

/**
 * Tells why a client cannot have this name. A valid name has 1 to 63 bytes: visible letters,
 * marks and numbers of any script, blanks inside, and ASCII punctuation except quotes, '`', '/',
 * '\\' and a '.' at the beginning. Thread-safe.
 * @param name of apipool_client_name_normalise()
 * @return a sentence in p that names the character, or NULL if the name is valid
 */
const char *apipool_client_name_fault(const char *name, apr_pool_t *p);

#endif
