/* SPDX-License-Identifier: Apache-2.0
 * Encryption of an archive of keys and clients under a passphrase. */
#include "archive.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "throttle.h"

#define MAGIC      "apipoolA"
#define MAGIC_SIZE 8
#define VERSION    1
#define AT_VERSION MAGIC_SIZE
#define AT_COST    (AT_VERSION + 1)
#define AT_SALT    (AT_COST + 3)
#define SALT_SIZE  16
#define AT_NONCE   (AT_SALT + SALT_SIZE)
#define NONCE_SIZE 12
#define HEAD_SIZE  (AT_NONCE + NONCE_SIZE)
#define TAG_SIZE   16
#define SUM_SIZE   32
#define KEY_SIZE   32
#define PIECE      (16 * 1024)                  /* bytes encrypted at once */
#define WORK_MAX   (2 * APIPOOL_ARCHIVE_MEMORY) /* bytes that scrypt mixes: about 2 seconds */
#define ROOM_FIRST (64 * 1024)

_Static_assert(HEAD_SIZE + TAG_SIZE + SUM_SIZE == APIPOOL_ARCHIVE_OVERHEAD, "as documented");

struct apipool_archive_writer_t {
    EVP_CIPHER_CTX *cipher;
    unsigned char *bytes; /* malloc; encrypted, so it is never wiped */
    apr_size_t len, room;
    int failed;
};

const char *apipool_archive_explain(apipool_archive_e result)
{
    static const char *const sentences[] = {
        [APIPOOL_ARCHIVE_FOREIGN] = "This is not an archive of mod_apipool.",
        [APIPOOL_ARCHIVE_NEWER] =
            "The archive has a format that this version of mod_apipool does not know.",
        [APIPOOL_ARCHIVE_DAMAGED] = "The archive is damaged or incomplete; copy it again.",
        [APIPOOL_ARCHIVE_EXPENSIVE] =
            "The archive asks for more memory or time than any archive of mod_apipool needs.",
        [APIPOOL_ARCHIVE_LOCKED] = "The passphrase is wrong.",
        [APIPOOL_ARCHIVE_FAILED] =
            "there is no memory for the archive, or OpenSSL could not process it"};
    return sentences[result];
}

/* --- The key --- */

/* Memory and work are compared without overflow: each factor is a byte, or a shift up to 31. */
static int is_cheap(apipool_archive_cost_t cost)
{
    apr_uint64_t memory = (apr_uint64_t)128 * cost.r << (cost.log_n & 31);
    return cost.log_n >= 1 && cost.log_n < 32 && cost.r >= 1 && cost.p >= 1 &&
           cost.log_n < 16 * cost.r && memory <= APIPOOL_ARCHIVE_MEMORY &&
           memory * cost.p <= WORK_MAX;
}

/* Starts the cipher with the key that belongs to a head and a passphrase. */
static EVP_CIPHER_CTX *start_cipher(const unsigned char *head, const char *passphrase,
                                    apr_size_t len, int sealing)
{
    const unsigned char *cost = head + AT_COST;
    unsigned char key[KEY_SIZE];
    int n;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int good =
        ctx &&
        EVP_PBE_scrypt(passphrase, len, head + AT_SALT, SALT_SIZE, (apr_uint64_t)1 << cost[0],
                       cost[1], cost[2], 2 * APIPOOL_ARCHIVE_MEMORY, key, KEY_SIZE) > 0 &&
        EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, head + AT_NONCE, sealing) > 0 &&
        EVP_CipherUpdate(ctx, NULL, &n, head, HEAD_SIZE) > 0;
    OPENSSL_cleanse(key, sizeof(key));
    if (!good) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

/* Encrypts or decrypts, in pieces. */
static int run(EVP_CIPHER_CTX *cipher, const unsigned char *in, apr_size_t len, unsigned char *out)
{
    int n, good = 1;
    for (apr_size_t at = 0; good && at < len; at += PIECE) {
        good = EVP_CipherUpdate(cipher, out + at, &n, in + at,
                                (int)(len - at < PIECE ? len - at : PIECE)) > 0;
        apipool_throttle();
    }
    return good;
}

static int sum(const unsigned char *bytes, apr_size_t len, unsigned char result[SUM_SIZE])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int good = ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL);
    for (apr_size_t at = 0; good && at < len; at += PIECE) {
        good = EVP_DigestUpdate(ctx, bytes + at, len - at < PIECE ? len - at : PIECE);
        apipool_throttle();
    }
    good = good && EVP_DigestFinal_ex(ctx, result, NULL);
    EVP_MD_CTX_free(ctx);
    return good;
}

/* --- Writing --- */

static apr_status_t end_writer(void *data)
{
    apipool_archive_writer_t *writer = data;
    EVP_CIPHER_CTX_free(writer->cipher);
    free(writer->bytes);
    return APR_SUCCESS;
}

/* Makes room for more bytes and those of the end. */
static int make_room(apipool_archive_writer_t *writer, apr_size_t more)
{
    apr_size_t needed = writer->len + more + TAG_SIZE + SUM_SIZE;
    apr_size_t room = writer->room ? writer->room : ROOM_FIRST;
    while (room < needed) {
        room *= 2;
    }
    if (room != writer->room) {
        unsigned char *bytes = realloc(writer->bytes, room);
        if (!bytes) {
            return 0;
        }
        writer->bytes = bytes;
        writer->room = room;
    }
    return 1;
}

apipool_archive_writer_t *apipool_archive_begin(apipool_archive_cost_t cost, const char *passphrase,
                                                apr_size_t len, apr_pool_t *p)
{
    apipool_archive_writer_t *writer = apr_pcalloc(p, sizeof(*writer));
    apr_pool_cleanup_register(p, writer, end_writer, apr_pool_cleanup_null);
    if (!make_room(writer, HEAD_SIZE)) {
        return NULL;
    }
    unsigned char *head = writer->bytes;
    memcpy(head, MAGIC, MAGIC_SIZE);
    head[AT_VERSION] = VERSION;
    memcpy(head + AT_COST, (unsigned char[]){cost.log_n, cost.r, cost.p}, 3);
    if (!is_cheap(cost) || RAND_bytes(head + AT_SALT, SALT_SIZE + NONCE_SIZE) <= 0) {
        return NULL;
    }
    writer->len = HEAD_SIZE;
    writer->cipher = start_cipher(head, passphrase, len, 1);
    return writer->cipher ? writer : NULL;
}

int apipool_archive_add(apipool_archive_writer_t *writer, const void *bytes, apr_size_t len)
{
    if (writer->failed || !make_room(writer, len) ||
        !run(writer->cipher, bytes, len, writer->bytes + writer->len)) {
        writer->failed = 1;
        return 0;
    }
    writer->len += len;
    return 1;
}

int apipool_archive_end(apipool_archive_writer_t *writer, const unsigned char **archive,
                        apr_size_t *len)
{
    unsigned char none[EVP_MAX_BLOCK_LENGTH];
    unsigned char *tag = writer->bytes + writer->len;
    int n;
    if (writer->failed || EVP_CipherFinal_ex(writer->cipher, none, &n) <= 0 ||
        EVP_CIPHER_CTX_ctrl(writer->cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, tag) <= 0 ||
        !sum(writer->bytes, writer->len + TAG_SIZE, tag + TAG_SIZE)) {
        writer->failed = 1;
        return 0;
    }
    *archive = writer->bytes;
    *len = writer->len + TAG_SIZE + SUM_SIZE;
    return 1;
}

/* --- Reading --- */

/* Checks everything that needs no passphrase. */
static apipool_archive_e look_at(const unsigned char *archive, apr_size_t len)
{
    unsigned char actual[SUM_SIZE];
    if (len < AT_COST || memcmp(archive, MAGIC, MAGIC_SIZE)) {
        return APIPOOL_ARCHIVE_FOREIGN;
    }
    if (archive[AT_VERSION] != VERSION) {
        return APIPOOL_ARCHIVE_NEWER;
    }
    if (len < APIPOOL_ARCHIVE_OVERHEAD) {
        return APIPOOL_ARCHIVE_DAMAGED;
    }
    if (!sum(archive, len - SUM_SIZE, actual)) {
        return APIPOOL_ARCHIVE_FAILED;
    }
    if (memcmp(archive + len - SUM_SIZE, actual, SUM_SIZE)) {
        return APIPOOL_ARCHIVE_DAMAGED;
    }
    const unsigned char *cost = archive + AT_COST;
    return is_cheap((apipool_archive_cost_t){cost[0], cost[1], cost[2]})
               ? APIPOOL_ARCHIVE_GOOD
               : APIPOOL_ARCHIVE_EXPENSIVE;
}

/* The contents of an archive, to be wiped. */
typedef struct {
    char *text; /* malloc */
    apr_size_t len;
} plain_t;

static apr_status_t wipe_plain(void *data)
{
    plain_t *plain = data;
    OPENSSL_cleanse(plain->text, plain->len);
    free(plain->text);
    plain->text = NULL;
    plain->len = 0;
    return APR_SUCCESS;
}

apipool_archive_e apipool_archive_open(const unsigned char *archive, apr_size_t len,
                                       const char *passphrase, apr_size_t passphrase_len,
                                       apr_pool_t *p, char **contents, apr_size_t *contents_len)
{
    unsigned char tag[TAG_SIZE], none[EVP_MAX_BLOCK_LENGTH];
    int n;
    apipool_archive_e result = look_at(archive, len);
    if (result != APIPOOL_ARCHIVE_GOOD) {
        return result;
    }
    plain_t *plain = apr_pcalloc(p, sizeof(*plain));
    plain->len = len - APIPOOL_ARCHIVE_OVERHEAD;
    plain->text = malloc(plain->len + 1);
    EVP_CIPHER_CTX *cipher =
        plain->text ? start_cipher(archive, passphrase, passphrase_len, 0) : NULL;
    if (!cipher) {
        free(plain->text);
        return APIPOOL_ARCHIVE_FAILED;
    }
    apr_pool_cleanup_register(p, plain, wipe_plain, apr_pool_cleanup_null);
    memcpy(tag, archive + HEAD_SIZE + plain->len, TAG_SIZE);
    int good = run(cipher, archive + HEAD_SIZE, plain->len, (unsigned char *)plain->text) &&
               EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) > 0 &&
               EVP_CipherFinal_ex(cipher, none, &n) > 0;
    EVP_CIPHER_CTX_free(cipher);
    if (!good) {
        apr_pool_cleanup_run(p, plain, wipe_plain);
        return APIPOOL_ARCHIVE_LOCKED;
    }
    plain->text[plain->len] = '\0';
    *contents = plain->text;
    *contents_len = plain->len;
    return APIPOOL_ARCHIVE_GOOD;
}
