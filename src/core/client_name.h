/* SPDX-License-Identifier: Apache-2.0
 * Names of clients: which there may be, and the one form in which each is kept. */
#ifndef APIPOOL_CORE_CLIENT_NAME_H
#define APIPOOL_CORE_CLIENT_NAME_H

#include <apr_pools.h>

/* A name is compared by its bytes, stands in paths, logs, labels and "Require user", and is read by people:
 * it has one form (Unicode's NFC), and nothing in it is invisible or changes how the rest looks. */

#define APIPOOL_CLIENT_NAME_SIZE 64 /* bytes of UTF-8, with NUL */

/**
 * The form in which a name is kept: NFC. Thread-safe.
 * @param text any bytes
 * @return in p; text itself where it is no UTF-8
 */
const char *apipool_client_name_normalise(const char *text, apr_pool_t *p);

/**
 * Why a name cannot be given to a client. One that can has 1 to 63 bytes: letters, marks and numbers of any
 * script that can be seen, blanks inside, and ASCII punctuation but for quotes, '`', '/', '\\' and a '.' at
 * its beginning. Thread-safe.
 * @param name of apipool_client_name_normalise()
 * @return a sentence in p that names the character, or NULL: it can
 */
const char *apipool_client_name_fault(const char *name, apr_pool_t *p);

#endif
