/* SPDX-License-Identifier: Apache-2.0
 * The small texts of the store: the seal of one generation, and which generation is current. */
#include "seal.h"

#include <apr_escape.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "ascii.h"

#define SEAL_HEAD    "apipool-seal 1\n"
#define CURRENT_HEAD "apipool-current 1\n"
#define HEX_SIZE     (2 * APIPOOL_SHA256_SIZE)
#define MAC_WORD     "hmac "
#define SUM_WORD     "sha256 "

static const char *const kind_names[] = {"keys", "stats"};

const char *apipool_store_kind_name(apipool_store_kind_e kind)
{
    return kind_names[kind];
}

typedef struct {
    char *text;
    apr_size_t len;
} writer_t;

static void put_text(writer_t *writer, const char *text)
{
    apr_size_t len = strlen(text);
    memcpy(writer->text + writer->len, text, len);
    writer->len += len;
}

static void put_number(writer_t *writer, apr_uint64_t number)
{
    char digits[24];
    apr_snprintf(digits, sizeof(digits), "%" APR_UINT64_T_FMT, number);
    put_text(writer, digits);
}

static void put_hex(writer_t *writer, const unsigned char *bytes)
{
    apr_escape_hex(writer->text + writer->len, bytes, APIPOOL_SHA256_SIZE, 0, NULL);
    writer->len += HEX_SIZE;
}

static void put_named_number(writer_t *writer, const char *name, apr_uint64_t number)
{
    put_text(writer, name);
    put_text(writer, " ");
    put_number(writer, number);
    put_text(writer, "\n");
}

static void put_named_digest(writer_t *writer, const char *name, const unsigned char *digest)
{
    put_text(writer, name);
    put_hex(writer, digest);
    put_text(writer, "\n");
}

static int sum(const char *text, apr_size_t len, unsigned char digest[EVP_MAX_MD_SIZE])
{
    return EVP_Digest(text, len, digest, NULL, EVP_sha256(), NULL);
}

static int authenticate(const char *text, apr_size_t len, const unsigned char *mac_key,
                        unsigned char digest[EVP_MAX_MD_SIZE])
{
    return HMAC(EVP_sha256(), mac_key, APIPOOL_MAC_KEY_SIZE, (const unsigned char *)text, len,
                digest, NULL) != NULL;
}

/* The last line. Returns how long the whole is. */
static apr_size_t put_sum(writer_t *writer)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (!sum(writer->text, writer->len, digest)) {
        return 0;
    }
    put_named_digest(writer, SUM_WORD, digest);
    return writer->len;
}

apr_size_t apipool_seal_format(const apipool_seal_t *seal, const unsigned char *mac_key,
                               char text[APIPOOL_SEAL_MAX])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    writer_t writer = {.text = text};

    put_text(&writer, SEAL_HEAD "kind ");
    put_text(&writer, kind_names[seal->kind]);
    put_text(&writer, "\n");
    put_named_number(&writer, "generation", seal->generation);
    put_text(&writer, "dbm ");
    put_text(&writer, seal->dbm);
    put_text(&writer, "\n");
    put_named_number(&writer, "records", seal->records);
    for (int i = 0; i < seal->nfiles; i++) {
        put_text(&writer, "file ");
        put_text(&writer, seal->files[i].name);
        put_text(&writer, " ");
        put_number(&writer, seal->files[i].size);
        put_named_digest(&writer, " ", seal->files[i].sha256);
    }
    if (!authenticate(text, writer.len, mac_key, digest)) {
        return 0;
    }
    put_named_digest(&writer, MAC_WORD, digest);
    return put_sum(&writer);
}

apr_size_t apipool_current_format(const apipool_current_t *current, char text[APIPOOL_SEAL_MAX])
{
    writer_t writer = {.text = text};

    put_text(&writer, CURRENT_HEAD);
    for (int kind = 0; kind < APIPOOL_STORE_KINDS; kind++) {
        put_named_number(&writer, kind_names[kind], current->generations[kind]);
    }
    return put_sum(&writer);
}

/* Each take_ function steps over what it has read, or says 0. */
typedef struct {
    const char *at;
    const char *end;
} reader_t;

static int take_text(reader_t *reader, const char *text)
{
    apr_size_t len = strlen(text);
    if ((apr_size_t)(reader->end - reader->at) < len || memcmp(reader->at, text, len)) {
        return 0;
    }
    reader->at += len;
    return 1;
}

/* No sign, no leading zero, no more than 64 bits. */
static int take_number(reader_t *reader, apr_uint64_t *number)
{
    const char *begin = reader->at;
    *number = 0;
    for (; reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9'; reader->at++) {
        apr_uint64_t digit = (apr_uint64_t)(*reader->at - '0');
        if (*number > (APR_UINT64_MAX - digit) / 10) {
            return 0;
        }
        *number = *number * 10 + digit;
    }
    return reader->at > begin && (*begin != '0' || reader->at == begin + 1);
}

static int take_name(reader_t *reader, char name[APIPOOL_SEAL_NAME_MAX])
{
    int len = 0;
    for (; reader->at < reader->end; reader->at++) {
        char c = *reader->at;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (len && strchr("-._", c) && c))) {
            break;
        }
        if (len == APIPOOL_SEAL_NAME_MAX - 1) {
            return 0;
        }
        name[len++] = c;
    }
    name[len] = '\0';
    return len > 0;
}

static int take_hex(reader_t *reader, unsigned char *bytes)
{
    apr_size_t len;
    if (reader->end - reader->at < HEX_SIZE ||
        apr_unescape_hex(bytes, reader->at, HEX_SIZE, 0, &len) != APR_SUCCESS ||
        len != APIPOOL_SHA256_SIZE) {
        return 0;
    }
    for (int i = 0; i < HEX_SIZE; i++) {
        if (apipool_ascii_is_upper(*reader->at++)) { /* there is one way to write it */
            return 0;
        }
    }
    return 1;
}

static int take_named_number(reader_t *reader, const char *name, apr_uint64_t *number)
{
    return take_text(reader, name) && take_text(reader, " ") && take_number(reader, number) &&
           take_text(reader, "\n");
}

static int take_kind(reader_t *reader, apipool_store_kind_e *kind)
{
    for (int i = 0; i < APIPOOL_STORE_KINDS; i++) {
        if (take_text(reader, kind_names[i])) {
            *kind = (apipool_store_kind_e)i;
            return take_text(reader, "\n");
        }
    }
    return 0;
}

static int take_file(reader_t *reader, apipool_seal_file_t *file)
{
    return take_name(reader, file->name) && take_text(reader, " ") &&
           take_number(reader, &file->size) && take_text(reader, " ") &&
           take_hex(reader, file->sha256) && take_text(reader, "\n");
}

static int take_seal(reader_t *reader, apipool_seal_t *seal)
{
    if (!take_text(reader, SEAL_HEAD "kind ") || !take_kind(reader, &seal->kind) ||
        !take_named_number(reader, "generation", &seal->generation) || seal->generation == 0 ||
        !take_text(reader, "dbm ") || !take_name(reader, seal->dbm) || !take_text(reader, "\n") ||
        !take_named_number(reader, "records", &seal->records)) {
        return 0;
    }
    while (seal->nfiles < APIPOOL_SEAL_FILES && take_text(reader, "file ")) {
        if (!take_file(reader, &seal->files[seal->nfiles++])) {
            return 0;
        }
    }
    return seal->nfiles > 0 && reader->at == reader->end;
}

/* Takes the last line off, which must be the word and a digest. */
static int take_last(reader_t *reader, const char *word, unsigned char *digest)
{
    apr_size_t size = strlen(word) + HEX_SIZE + 1;
    if ((apr_size_t)(reader->end - reader->at) < size) {
        return 0;
    }
    reader_t last = {.at = reader->end - size, .end = reader->end};
    reader->end = last.at;
    return take_text(&last, word) && take_hex(&last, digest) && take_text(&last, "\n");
}

static int take_sum(reader_t *reader)
{
    unsigned char said[APIPOOL_SHA256_SIZE], is[EVP_MAX_MD_SIZE];
    if (!take_last(reader, SUM_WORD, said)) {
        return 0;
    }
    return sum(reader->at, (apr_size_t)(reader->end - reader->at), is) &&
           memcmp(said, is, sizeof(said)) == 0;
}

apipool_seal_e apipool_seal_parse(apipool_seal_t *seal, const unsigned char *mac_key,
                                  const char *text, apr_size_t len)
{
    unsigned char said[APIPOOL_SHA256_SIZE], is[EVP_MAX_MD_SIZE];
    reader_t reader = {.at = text, .end = text + len};

    memset(seal, 0, sizeof(*seal));
    if (len > APIPOOL_SEAL_MAX || !take_sum(&reader) || !take_last(&reader, MAC_WORD, said)) {
        return APIPOOL_SEAL_DAMAGED;
    }
    if (!authenticate(text, (apr_size_t)(reader.end - text), mac_key, is) ||
        !take_seal(&reader, seal)) {
        return APIPOOL_SEAL_DAMAGED;
    }
    return CRYPTO_memcmp(said, is, sizeof(said)) ? APIPOOL_SEAL_FOREIGN : APIPOOL_SEAL_GOOD;
}

int apipool_current_parse(apipool_current_t *current, const char *text, apr_size_t len)
{
    apipool_current_t read;
    reader_t reader = {.at = text, .end = text + len};

    memset(current, 0, sizeof(*current));
    if (!take_sum(&reader) || !take_text(&reader, CURRENT_HEAD)) {
        return 0;
    }
    for (int kind = 0; kind < APIPOOL_STORE_KINDS; kind++) {
        if (!take_named_number(&reader, kind_names[kind], &read.generations[kind])) {
            return 0;
        }
    }
    if (reader.at != reader.end) {
        return 0;
    }
    *current = read;
    return 1;
}
