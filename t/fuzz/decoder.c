/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the decoder of compressed content; how it is split makes no difference, and no more comes
 * out than may. The first byte chooses the coding. */
#include <stdlib.h>
#include <string.h>

#include "decoder.h"
#include "fuzz.h"

#define MAX (256 * 1024)

typedef struct {
    char *text;
    size_t len;
} result_t;

static void take(void *ctx, const char *data, apr_size_t len)
{
    result_t *result = ctx;
    MUST(result->len + len <= MAX);
    memcpy(result->text + result->len, data, len);
    result->len += len;
}

/* Copies each piece to memory of exactly its size, so that a checker notices any overrun. */
static int decode(const char *coding, const char *data, size_t size, size_t step, result_t *result,
                  apr_pool_t *pool)
{
    apipool_decoder_t *decoder = apipool_decoder_make(coding, MAX, pool);
    if (!decoder) {
        return 0;
    }
    for (size_t at = 0, len; at < size; at += len) {
        len = size - at < step ? size - at : step;
        char *exact = malloc(len);
        MUST(exact);
        memcpy(exact, data + at, len);
        apipool_decoder_feed(decoder, exact, len, take, result);
        free(exact);
    }
    return apipool_decoder_is_complete(decoder);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static const char *const codings[] = {"gzip", "deflate", "br", "zstd"};
    if (size < 1 || size > 65536) {
        return 0;
    }
    apr_pool_t *pool = fuzz_pool();
    const char *coding = codings[input[0] % 4], *data = (const char *)input + 1;
    result_t whole = {malloc(MAX), 0}, pieces = {malloc(MAX), 0};
    MUST(whole.text && pieces.text);
    int is_complete = decode(coding, data, size - 1, size, &whole, pool);
    MUST(decode(coding, data, size - 1, 7, &pieces, pool) == is_complete);
    if (is_complete) {
        MUST(whole.len == pieces.len && !memcmp(whole.text, pieces.text, whole.len));
    }
    free(whole.text);
    free(pieces.text);
    apr_pool_destroy(pool);
    return 0;
}
