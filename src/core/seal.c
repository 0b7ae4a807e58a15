/* SPDX-License-Identifier: Apache-2.0
 * Small text files of the store: the seal of a generation, and the current generations. */
#include "seal.h"

#include <apr_escape.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#define HEX_SIZE (2 * APIPOOL_SHA256_SIZE)
#define WORDS    32
#define MAC_WORD "hmac "
#define SUM_WORD "sha256 "

static const char *const kind_names[] = {"keys", "stats"};

const char *apipool_store_kind_name(apipool_store_kind_e kind)
{
    return kind_names[kind];
}

static apr_size_t put_digest(char *text, apr_size_t len, const char *word,
                             const unsigned char *digest)
{
    char hex[HEX_SIZE + 1];
    apr_escape_hex(hex, digest, APIPOOL_SHA256_SIZE, 0, NULL);
    return len + (apr_size_t)apr_snprintf(text + len, APIPOOL_SEAL_MAX - len, "%s%s\n", word, hex);
}

/* Adds the last line, the digest of everything above. Returns the total size, 0 when libcrypto
 * fails. */
static apr_size_t put_sum(char *text, apr_size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    return EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL)
               ? put_digest(text, len, SUM_WORD, digest)
               : 0;
}

/* Writes all lines but the last two. */
static apr_size_t put_facts(const apipool_seal_t *seal, char *text)
{
    apr_size_t len = (apr_size_t)apr_snprintf(
        text, APIPOOL_SEAL_MAX,
        "apipool-seal 1\nkind %s\ngeneration %" APR_UINT64_T_FMT
        "\ndbm %s\nrecords %" APR_UINT64_T_FMT "\n",
        kind_names[seal->kind], seal->generation, seal->dbm, seal->records);
    for (int i = 0; i < seal->nfiles; i++) {
        len += (apr_size_t)apr_snprintf(text + len, APIPOOL_SEAL_MAX - len,
                                        "file %s %" APR_UINT64_T_FMT, seal->files[i].name,
                                        seal->files[i].size);
        len = put_digest(text, len, " ", seal->files[i].sha256);
    }
    return len;
}

static int authenticate(const char *text, apr_size_t len, const unsigned char *mac_key,
                        unsigned char digest[EVP_MAX_MD_SIZE])
{
    return HMAC(EVP_sha256(), mac_key, APIPOOL_MAC_KEY_SIZE, (const unsigned char *)text, len,
                digest, NULL) != NULL;
}

apr_size_t apipool_seal_format(const apipool_seal_t *seal, const unsigned char *mac_key,
                               char text[APIPOOL_SEAL_MAX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    apr_size_t len = put_facts(seal, text);
    return authenticate(text, len, mac_key, digest)
               ? put_sum(text, put_digest(text, len, MAC_WORD, digest))
               : 0;
}

apr_size_t apipool_current_format(const apipool_current_t *current, char text[APIPOOL_SEAL_MAX])
{
    return put_sum(text, (apr_size_t)apr_snprintf(text, APIPOOL_SEAL_MAX,
                                                  "apipool-current 1\nkeys %" APR_UINT64_T_FMT
                                                  "\nstats %" APR_UINT64_T_FMT "\n",
                                                  current->generations[APIPOOL_STORE_KEYS],
                                                  current->generations[APIPOOL_STORE_STATS]));
}

/* --- Reading: words by position; the result is formatted again and must be the same text --- */

typedef struct {
    char text[APIPOOL_SEAL_MAX + 1];
    const char *words[WORDS];
    int count;
} words_t;

static int split(words_t *words, const char *text, apr_size_t len)
{
    char *state;
    if (len > APIPOOL_SEAL_MAX) {
        return 0;
    }
    memcpy(words->text, text, len);
    words->text[len] = '\0';
    words->count = 0;
    for (char *word = apr_strtok(words->text, " \n", &state); word && words->count < WORDS;
         word = apr_strtok(NULL, " \n", &state)) {
        words->words[words->count++] = word;
    }
    return words->count;
}

static apr_uint64_t number(const char *word)
{
    return strtoull(word, NULL, 10);
}

/* Returns 0 unless the word is a file or dbm name as this module writes it. */
static int take_name(const char *word, char name[APIPOOL_SEAL_NAME_MAX])
{
    apr_cpystrn(name, word, APIPOOL_SEAL_NAME_MAX);
    return !strchr("-._", *word) && !word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-._")];
}

static int take_digest(const char *word, unsigned char digest[APIPOOL_SHA256_SIZE])
{
    apr_size_t len;
    return strlen(word) == HEX_SIZE &&
           apr_unescape_hex(digest, word, HEX_SIZE, 0, &len) == APR_SUCCESS;
}

/* Ten words, four for each file, and four for the two digests. */
static int take_seal(const words_t *words, apipool_seal_t *seal,
                     unsigned char mac[APIPOOL_SHA256_SIZE])
{
    const char *const *word = words->words;
    int nfiles = (words->count - 14) / 4;
    if (nfiles < 1 || nfiles > APIPOOL_SEAL_FILES || !take_name(word[7], seal->dbm) ||
        !take_digest(word[words->count - 3], mac)) {
        return 0;
    }
    seal->kind =
        strcmp(word[3], kind_names[APIPOOL_STORE_STATS]) ? APIPOOL_STORE_KEYS : APIPOOL_STORE_STATS;
    seal->generation = number(word[5]);
    seal->records = number(word[9]);
    for (word += 11; seal->nfiles < nfiles; word += 4) {
        apipool_seal_file_t *file = &seal->files[seal->nfiles++];
        file->size = number(word[1]);
        if (!take_name(word[0], file->name) || !take_digest(word[2], file->sha256)) {
            return 0;
        }
    }
    return seal->generation > 0;
}

apipool_seal_e apipool_seal_parse(apipool_seal_t *seal, const unsigned char *mac_key,
                                  const char *text, apr_size_t len)
{
    unsigned char stated[APIPOOL_SHA256_SIZE], actual[EVP_MAX_MD_SIZE];
    char again[APIPOOL_SEAL_MAX];
    words_t words;

    memset(seal, 0, sizeof(*seal));
    if (!split(&words, text, len) || !take_seal(&words, seal, stated)) {
        return APIPOOL_SEAL_DAMAGED;
    }
    apr_size_t facts = put_facts(seal, again);
    if (put_sum(again, put_digest(again, facts, MAC_WORD, stated)) != len ||
        memcmp(again, text, len) || !authenticate(again, facts, mac_key, actual)) {
        return APIPOOL_SEAL_DAMAGED;
    }
    return CRYPTO_memcmp(stated, actual, sizeof(stated)) ? APIPOOL_SEAL_FOREIGN : APIPOOL_SEAL_GOOD;
}

int apipool_current_parse(apipool_current_t *current, const char *text, apr_size_t len)
{
    char again[APIPOOL_SEAL_MAX];
    words_t words;
    if (split(&words, text, len) == 8) {
        *current = (apipool_current_t){{number(words.words[3]), number(words.words[5])}};
        if (apipool_current_format(current, again) == len && !memcmp(again, text, len)) {
            return 1;
        }
    }
    memset(current, 0, sizeof(*current));
    return 0;
}
