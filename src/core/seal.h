/* SPDX-License-Identifier: Apache-2.0
 * The small texts of the store: the seal of one generation, and which generation is current. */
#ifndef APIPOOL_CORE_SEAL_H
#define APIPOOL_CORE_SEAL_H

#include <apr.h>

/* Both texts are lines of words, and end with the SHA-256 of all lines above, so that damage is told apart
 * from what another secret has sealed:
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
 * There is one way only to write a seal down: what is parsed and formatted again is the same text. */

#define APIPOOL_SEAL_FILES    2 /* no dbm has more */
#define APIPOOL_SEAL_NAME_MAX 64
#define APIPOOL_SEAL_MAX      1024 /* bytes of either text */
#define APIPOOL_MAC_KEY_SIZE  32
#define APIPOOL_SHA256_SIZE   32

/* What the store keeps apart, each with generations of its own. */
typedef enum { APIPOOL_STORE_KEYS, APIPOOL_STORE_STATS, APIPOOL_STORE_KINDS } apipool_store_kind_e;

typedef struct {
    char name[APIPOOL_SEAL_NAME_MAX]; /* without folder; small letters, digits, '-', '.' and '_' */
    apr_uint64_t size;                /* bytes */
    unsigned char sha256[APIPOOL_SHA256_SIZE];
} apipool_seal_file_t;

typedef struct {
    apipool_store_kind_e kind;
    apr_uint64_t generation; /* from 1 */
    char dbm[APIPOOL_SEAL_NAME_MAX];
    apr_uint64_t records;
    int nfiles; /* from 1 to APIPOOL_SEAL_FILES */
    apipool_seal_file_t files[APIPOOL_SEAL_FILES];
} apipool_seal_t;

typedef enum {
    APIPOOL_SEAL_GOOD,
    APIPOOL_SEAL_DAMAGED, /* or of a version that this one does not know */
    APIPOOL_SEAL_FOREIGN  /* as it was written, but not under this key */
} apipool_seal_e;

/* The current generation of each kind; 0: none. */
typedef struct {
    apr_uint64_t generations[APIPOOL_STORE_KINDS];
} apipool_current_t;

/** "keys" or "stats": in texts and in names of files. */
const char *apipool_store_kind_name(apipool_store_kind_e kind);

/**
 * Writes a seal.
 * @param seal    each field as its comment says
 * @param mac_key APIPOOL_MAC_KEY_SIZE bytes
 * @param text    result, without NUL
 * @return bytes; 0 when libcrypto fails
 */
apr_size_t apipool_seal_format(const apipool_seal_t *seal, const unsigned char *mac_key,
                               char text[APIPOOL_SEAL_MAX]);

/**
 * Reads a seal, of any bytes.
 * @param seal    result, valid when APIPOOL_SEAL_GOOD
 * @param mac_key APIPOOL_MAC_KEY_SIZE bytes
 */
apipool_seal_e apipool_seal_parse(apipool_seal_t *seal, const unsigned char *mac_key,
                                  const char *text, apr_size_t len);

/** Writes which generations are current; as apipool_seal_format(). */
apr_size_t apipool_current_format(const apipool_current_t *current, char text[APIPOOL_SEAL_MAX]);

/**
 * Reads which generations are current, of any bytes.
 * @param current result, all 0 when it fails
 * @return whether the text is whole
 */
int apipool_current_parse(apipool_current_t *current, const char *text, apr_size_t len);

#endif
