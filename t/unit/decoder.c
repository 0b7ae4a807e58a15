/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/decoder: every coding, split anywhere, broken, cut off, too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <zlib.h>

#include "decoder.h"

#define TEXT "{\"model\":\"m\",\"max_tokens\":5}"

static apr_pool_t *pool;

typedef struct {
    char text[4096];
    size_t len, most; /* most: of one piece */
} result_t;

static void take(void *ctx, const char *data, apr_size_t len)
{
    result_t *result = ctx;
    if (result->len + len <= sizeof(result->text)) {
        memcpy(result->text + result->len, data, len);
    }
    result->len += len;
    result->most = len > result->most ? len : result->most;
}

/* bits as those of deflateInit2. */
static size_t compress_with(int bits, const char *text, size_t len, char *out, size_t size)
{
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text;
    z.avail_in = (uInt)len;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)size;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size = z.total_out;
    deflateEnd(&z);
    return size;
}

static void check_splits(const char *coding, const char *packed, size_t len, const char *expected)
{
    for (size_t at = 0; at <= len; at++) {
        result_t result = {.len = 0};
        apipool_decoder_t *decoder = apipool_decoder_make(coding, 4096, pool);
        assert_non_null(decoder);
        assert_true(apipool_decoder_feed(decoder, packed, at, take, &result));
        assert_true(apipool_decoder_feed(decoder, packed + at, len - at, take, &result));
        assert_true(apipool_decoder_is_complete(decoder));
        assert_int_equal(result.len, strlen(expected));
        assert_memory_equal(result.text, expected, result.len);
    }
}

static void every_coding_is_decoded_however_it_comes(void **unused)
{
    char packed[512];
    size_t len = compress_with(MAX_WBITS + 16, TEXT, strlen(TEXT), packed, sizeof(packed));
    check_splits("gzip", packed, len, TEXT);
    check_splits("X-GZIP", packed, len, TEXT);
    len += compress_with(MAX_WBITS + 16, " x", 2, packed + len, sizeof(packed) - len);
    check_splits("gzip", packed, len, TEXT " x");
    len = compress_with(MAX_WBITS, TEXT, strlen(TEXT), packed, sizeof(packed));
    check_splits("deflate", packed, len, TEXT);
    len = compress_with(-MAX_WBITS, TEXT, strlen(TEXT), packed, sizeof(packed));
    check_splits("deflate ", packed, len, TEXT);
#ifdef APIPOOL_HAVE_BROTLI
    check_splits("br", "\x0b\x02\x80hello\x03", 9, "hello");
#endif
#ifdef APIPOOL_HAVE_ZSTD
    static const char frame[] = "\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello";
    check_splits("zstd", frame, sizeof(frame) - 1, "hello");
#endif
}

static void other_codings_are_not_known(void **unused)
{
    static const char *const names[] = {"", "identity", "gzip, br", "gzipped", "compress", "zip"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        assert_null(apipool_decoder_make(names[i], 1, pool));
    }
}

/* Whatever is wrong, it stays so. */
static void check_fails(const char *coding, const char *packed, size_t len, apr_uint64_t max)
{
    result_t result = {.len = 0};
    apipool_decoder_t *decoder = apipool_decoder_make(coding, max, pool);
    assert_false(apipool_decoder_feed(decoder, packed, len, take, &result));
    assert_false(apipool_decoder_feed(decoder, packed, 1, take, &result));
    assert_false(apipool_decoder_is_complete(decoder));
    assert_true(result.len <= max);
}

static void what_is_broken_or_cut_off_is_noticed(void **unused)
{
    char packed[512];
    result_t result = {.len = 0};
    size_t len = compress_with(MAX_WBITS + 16, TEXT, strlen(TEXT), packed, sizeof(packed));
    memcpy(packed + len, "xx", 2);
    check_fails("gzip", packed, len + 2, 4096);
    check_fails("gzip", TEXT, strlen(TEXT), 4096);
    check_fails("gzip", packed, len, strlen(TEXT) - 1);
    apipool_decoder_t *decoder = apipool_decoder_make("gzip", 4096, pool);
    assert_true(apipool_decoder_feed(decoder, packed, len - 1, take, &result));
    assert_false(apipool_decoder_is_complete(decoder));
    packed[len - 5] ^= 1; /* of the check sum */
    check_fails("gzip", packed, len, 4096);
    len = compress_with(MAX_WBITS, TEXT, strlen(TEXT), packed, sizeof(packed));
    packed[len] = '\0';
    check_fails("deflate", packed, len + 1, 4096);
#ifdef APIPOOL_HAVE_BROTLI
    check_fails("br", "\x0b\x02\x80hello\x03x", 10, 4096);
    check_fails("br", TEXT, strlen(TEXT), 4096);
#endif
#ifdef APIPOOL_HAVE_ZSTD
    check_fails("zstd", TEXT, strlen(TEXT), 4096);
    /* a window of 128 MiB */
    check_fails("zstd", "\x28\xb5\x2f\xfd\x00\x88\x00", 7, 4096);
#endif
}

/* 16 MiB of zeros are a few KiB, of which no more is made than is asked for. */
static void a_bomb_is_stopped_in_time(void **unused)
{
    const size_t size = 16 << 20;
    char *zeros = calloc(1, size), *packed = malloc(65536);
    result_t result = {.len = 0};
    assert_non_null(zeros);
    assert_non_null(packed);
    size_t len = compress_with(MAX_WBITS + 16, zeros, size, packed, 65536);
    apipool_decoder_t *decoder = apipool_decoder_make("gzip", 1 << 20, pool);
    assert_false(apipool_decoder_feed(decoder, packed, len, take, &result));
    assert_true(result.len <= 1 << 20);
    assert_true(result.most <= 65536);
    apr_size_t some = len;
    assert_non_null(apipool_decoder_text("gzip", packed, &some, 1000, pool));
    assert_int_equal(some, 1000);
    free(zeros);
    free(packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_coding_is_decoded_however_it_comes),
        cmocka_unit_test(other_codings_are_not_known),
        cmocka_unit_test(what_is_broken_or_cut_off_is_noticed),
        cmocka_unit_test(a_bomb_is_stopped_in_time),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&pool, NULL) != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("decoder", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
