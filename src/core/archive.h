/* SPDX-License-Identifier: Apache-2.0
 * Encryption of an archive of keys and clients under a passphrase. */
#ifndef APIPOOL_CORE_ARCHIVE_H
#define APIPOOL_CORE_ARCHIVE_H

#include <apr_pools.h>

/* An archive moves keys and clients to a server with another secret, so nothing in it depends on
 * the secret. Version 1:
 *
 *   8 bytes   "apipoolA"
 *   1 byte    version, 1
 *   3 bytes   cost of scrypt (RFC 7914): log2 of N, r, p
 *   16 bytes  salt of scrypt
 *   12 bytes  nonce
 *   n bytes   the contents, see archive_entry.h, encrypted with AES-256-GCM (NIST SP 800-38D); the
 *             key is scrypt's, the additional data is all of the above
 *   16 bytes  tag
 *   32 bytes  SHA-256 of all of the above, which tells damage from a wrong passphrase
 *
 * Archives must stay readable: a change of the layout or of the contents needs a new version.
 * Thread-safe. scrypt takes a good part of a second and APIPOOL_ARCHIVE_MEMORY at most: call
 * nothing of this with a lock held, and not often at a time. */

#define APIPOOL_ARCHIVE_OVERHEAD       88 /* bytes that surround the contents */
#define APIPOOL_ARCHIVE_MEMORY         ((apr_uint64_t)256 * 1024 * 1024) /* of scrypt, at opening */
#define APIPOOL_ARCHIVE_PASSPHRASE_MIN 12                                /* bytes, for a new one */
#define APIPOOL_ARCHIVE_PASSPHRASE_MAX 1024

/* Cost of scrypt. */
typedef struct {
    unsigned char log_n, r, p;
} apipool_archive_cost_t;

/* Cost of new archives: 64 MiB. */
#define APIPOOL_ARCHIVE_COST ((apipool_archive_cost_t){16, 8, 2})

typedef enum {
    APIPOOL_ARCHIVE_GOOD,
    APIPOOL_ARCHIVE_FOREIGN,   /* no archive at all */
    APIPOOL_ARCHIVE_NEWER,     /* of another version */
    APIPOOL_ARCHIVE_DAMAGED,   /* a byte differs, or the end is missing */
    APIPOOL_ARCHIVE_EXPENSIVE, /* it asks for more memory or time than any real archive */
    APIPOOL_ARCHIVE_LOCKED,    /* intact, but the passphrase is another one */
    APIPOOL_ARCHIVE_FAILED     /* no memory, or libcrypto failed */
} apipool_archive_e;

/** Explains a result: a static sentence for the sender, for a failure a part of one; NULL with
 *  APIPOOL_ARCHIVE_GOOD. */
const char *apipool_archive_explain(apipool_archive_e result);

/* Archive being written. Contents are encrypted as they are added: they never lie in memory as a
 * whole. */
typedef struct apipool_archive_writer_t apipool_archive_writer_t;

/**
 * Begins an archive, which derives its key.
 * @param passphrase its bytes; the caller wipes it
 * @param p          life time of the archive
 * @return NULL if there is no memory or libcrypto failed
 */
apipool_archive_writer_t *apipool_archive_begin(apipool_archive_cost_t cost, const char *passphrase,
                                                apr_size_t len, apr_pool_t *p);

/** Adds contents, which the caller wipes. Returns 0 if there is no memory or libcrypto failed. */
int apipool_archive_add(apipool_archive_writer_t *writer, const void *bytes, apr_size_t len);

/**
 * Ends an archive.
 * @param archive result: lives as long as the pool
 * @return 0 if anything has failed
 */
int apipool_archive_end(apipool_archive_writer_t *writer, const unsigned char **archive,
                        apr_size_t *len);

/**
 * Opens an archive.
 * @param archive  any bytes
 * @param p        life time of the contents, which are wiped with it
 * @param contents result, with APIPOOL_ARCHIVE_GOOD
 */
apipool_archive_e apipool_archive_open(const unsigned char *archive, apr_size_t len,
                                       const char *passphrase, apr_size_t passphrase_len,
                                       apr_pool_t *p, char **contents, apr_size_t *contents_len);

#endif
