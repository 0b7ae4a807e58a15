/* SPDX-License-Identifier: Apache-2.0
 * Small text files of the store: the seal of a generation, and the current generations. */
#ifndef APIPOOL_CORE_SEAL_H
#define APIPOOL_CORE_SEAL_H

#include <apr.h>

/* Both are lines of words and end with the SHA-256 of all lines above, which tells damage from a
 * seal made with another secret:
 *
 *   apipool-seal 1                     apipool-current 1
 *   kind keys                          keys 12
 *   generation 12                      stats 7
 *   dbm gdbm                           sha256 <64 hex digits>
 *   records 3
 *   file keys-000012 24576 <SHA-256>
 *   hmac <HMAC-SHA-256 of all above>
 *   sha256 <64 hex digits>
 *
 * A seal has a single representation: parsing and formatting it again gives the same text. */

#define APIPOOL_SEAL_FILES    2 /* no dbm has more files */
#define APIPOOL_SEAL_NAME_MAX 64
#define APIPOOL_SEAL_MAX      1024 /* bytes of either text */
#define APIPOOL_MAC_KEY_SIZE  32
#define APIPOOL_SHA256_SIZE   32

/* Kinds of content of the store, each with its own generations. */
typedef enum { APIPOOL_STORE_KEYS, APIPOOL_STORE_STATS, APIPOOL_STORE_KINDS } apipool_store_kind_e;

typedef struct {
    char name[APIPOOL_SEAL_NAME_MAX]; /* no folder; small letters, digits, '-', '.' and '_' */
    apr_uint64_t size;                /* bytes */
    unsigned char sha256[APIPOOL_SHA256_SIZE];
} apipool_seal_file_t;

typedef struct {
    apipool_store_kind_e kind;
    apr_uint64_t generation; /* counts from 1 */
    char dbm[APIPOOL_SEAL_NAME_MAX];
    apr_uint64_t records;
    int nfiles; /* 1 to APIPOOL_SEAL_FILES */
    apipool_seal_file_t files[APIPOOL_SEAL_FILES];
} apipool_seal_t;

typedef enum {
    APIPOOL_SEAL_GOOD,
    APIPOOL_SEAL_DAMAGED, /* or of an unknown version */
    APIPOOL_SEAL_FOREIGN  /* intact, but made with another key */
} apipool_seal_e;

/* Current generation of each kind; 0: none. */
typedef struct {
    apr_uint64_t generations[APIPOOL_STORE_KINDS];
} apipool_current_t;

/** "keys" or "stats", as in texts and file names. */
const char *apipool_store_kind_name(apipool_store_kind_e kind);

/**
 * Writes a seal.
 * @param seal    valid fields
 * @param mac_key APIPOOL_MAC_KEY_SIZE bytes
 * @param text    result, without NUL
 * @return bytes; 0 when libcrypto fails
 */
apr_size_t apipool_seal_format(const apipool_seal_t *seal, const unsigned char *mac_key,
                               char text[APIPOOL_SEAL_MAX]);

/**
 * Reads a seal.
 * @param seal    result, valid with APIPOOL_SEAL_GOOD
 * @param mac_key APIPOOL_MAC_KEY_SIZE bytes
 * @param text    any bytes
 */
apipool_seal_e apipool_seal_parse(apipool_seal_t *seal, const unsigned char *mac_key,
                                  const char *text, apr_size_t len);

/** Writes the current generations, like apipool_seal_format(). */
apr_size_t apipool_current_format(const apipool_current_t *current, char text[APIPOOL_SEAL_MAX]);

/**
 * Reads the current generations.
 * @param current result, all 0 on failure
 * @param text    any bytes
 * @return 1 if the text is intact
 */
int apipool_current_parse(apipool_current_t *current, const char *text, apr_size_t len);

#endif
