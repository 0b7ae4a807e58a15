/* SPDX-License-Identifier: Apache-2.0
 * Contents of an archive: keys and clients, each a line of JSON. */
#ifndef APIPOOL_CORE_ARCHIVE_ENTRY_H
#define APIPOOL_CORE_ARCHIVE_ENTRY_H

#include <apr_tables.h>

#include "client_key.h"
#include "mod_apipool.h"

/* Each line ends with a newline and is an object with one member; what is null or absent is not
 * set:
 *
 *   {"key":{"pool":"main","upstream":"one","key":"sk-...","label":"...","account":"...",
 *           "weight":1,"enabled":true,"added_at":"2026-01-31T23:59:59Z",
 *           "rpm":60,"rpd":null,"tpm":null,"tpd":null,"concurrency":null}}
 *   {"client":{"name":"alice","digest":"<64 hex digits: SHA-256 of the client's key>",
 *              "enabled":true,"created_at":"...","expires_at":null,
 *              "old_digest":null,"old_until":null,"pools":[],"models":[],"endpoints":[],
 *              "rpm":null,"tpm":null,"tokens_per_day":null,"concurrency":null}}
 *
 * Client keys go on working because their digest does not depend on the secret. Ids of keys do, so
 * they change. Thread-safe with an APR pool per thread. */

#define APIPOOL_ARCHIVE_LINE_MAX 65536 /* bytes */

typedef struct {
    const char *pool, *upstream;                         /* of a key */
    int is_client;                                       /* else it is a key */
    apipool_key_item_t key;                              /* line is not set */
    apr_time_t added_at;                                 /* of either */
    apipool_client_edit_t client;                        /* everything is set */
    unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST];     /* of the client's key */
    unsigned char old_digest[APIPOOL_CLIENT_KEY_DIGEST]; /* of the key before, if old_until */
    apr_time_t old_until;                                /* when that one ends; 0: there is none */
} apipool_archive_entry_t;

/** Writes an entry as a line. Returns its length without NUL; 0 if it is too long or there is no
 *  memory. The caller wipes the line. */
apr_size_t apipool_archive_entry_write(const apipool_archive_entry_t *entry,
                                       char line[APIPOOL_ARCHIVE_LINE_MAX]);

/**
 * Reads a line without its newline: any bytes. A key is one that apipool_key_check() accepts; the
 * names and lists of a client are not checked.
 * @param p     its texts live as long, and are wiped with it
 * @param entry result
 * @return 0 if the line is none of the above
 */
int apipool_archive_entry_read(const char *line, apr_size_t len, apr_pool_t *p,
                               apipool_archive_entry_t *entry);

#endif
