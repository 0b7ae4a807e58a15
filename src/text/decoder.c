/* SPDX-License-Identifier: Apache-2.0
 * Decodes compressed content as it passes: gzip and deflate, Brotli and Zstandard where their
 * libraries were there at configure. */
#include "decoder.h"

#include <string.h>
#include <zlib.h>
#ifdef APIPOOL_HAVE_BROTLI
#include <brotli/decode.h>
#endif
#ifdef APIPOOL_HAVE_ZSTD
#include <zstd.h>
#endif

#include "ascii.h"

#define PIECE           (16 * 1024)
#define ZSTD_WINDOW_LOG 23

/* One call of a library: what is left of input and output. */
typedef struct {
    const unsigned char *in;
    unsigned char *out;
    apr_size_t in_len, out_len;
} step_t;

/* How a coding is decoded. step returns 1 at an end of the coding, 0 if it goes on, -1 if it is broken. */
typedef struct {
    const char *name;
    int (*open)(apipool_decoder_t *decoder);
    int (*step)(apipool_decoder_t *decoder, step_t *step);
    void (*close)(apipool_decoder_t *decoder);
} coding_t;

struct apipool_decoder_t {
    const coding_t *coding;
    union {
        z_stream zlib;
#ifdef APIPOOL_HAVE_BROTLI
        BrotliDecoderState *brotli;
#endif
#ifdef APIPOOL_HAVE_ZSTD
        ZSTD_DStream *zstd;
#endif
    } of;
    apr_uint64_t left; /* bytes that may still come out */
    unsigned char failed, begun, ended;
    unsigned char is_raw; /* deflate without the header of zlib */
    unsigned char piece[PIECE];
};

#define GZIP_BITS (MAX_WBITS + 16)

static int open_gzip(apipool_decoder_t *decoder)
{
    return inflateInit2(&decoder->of.zlib, GZIP_BITS) == Z_OK;
}

static int open_deflate(apipool_decoder_t *decoder)
{
    return inflateInit2(&decoder->of.zlib, MAX_WBITS) == Z_OK;
}

static void close_zlib(apipool_decoder_t *decoder)
{
    inflateEnd(&decoder->of.zlib);
}

static int step_zlib(apipool_decoder_t *decoder, step_t *step)
{
    z_stream *z = &decoder->of.zlib;
    z->next_in = (Bytef *)(apr_uintptr_t)step->in;
    z->avail_in = (uInt)(step->in_len < PIECE ? step->in_len : PIECE);
    z->next_out = step->out;
    z->avail_out = (uInt)step->out_len;
    int result = inflate(z, Z_SYNC_FLUSH);
    step->in_len -= (apr_size_t)(z->next_in - step->in);
    step->in = z->next_in;
    step->out_len = z->avail_out;
    return result == Z_STREAM_END ? 1 : result == Z_OK || result == Z_BUF_ERROR ? 0 : -1;
}

/* A gzip file may have several members (RFC 1952 section 2.2). */
static int step_gzip(apipool_decoder_t *decoder, step_t *step)
{
    if (decoder->ended && inflateReset2(&decoder->of.zlib, GZIP_BITS) != Z_OK) {
        return -1;
    }
    return step_zlib(decoder, step);
}

/* Some senders leave out the header of zlib (RFC 9110 section 8.4.1.2). The first byte tells: 8 is
 * the method, which a raw stream can have there only by an unusual block. */
static int step_deflate(apipool_decoder_t *decoder, step_t *step)
{
    if (!decoder->begun && step->in_len && (*step->in & 0x0f) != Z_DEFLATED) {
        decoder->is_raw = 1;
        if (inflateReset2(&decoder->of.zlib, -MAX_WBITS) != Z_OK) {
            return -1;
        }
    }
    return decoder->ended ? -1 : step_zlib(decoder, step);
}

#ifdef APIPOOL_HAVE_BROTLI
static int open_brotli(apipool_decoder_t *decoder)
{
    decoder->of.brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    return decoder->of.brotli != NULL;
}

static void close_brotli(apipool_decoder_t *decoder)
{
    BrotliDecoderDestroyInstance(decoder->of.brotli);
}

static int step_brotli(apipool_decoder_t *decoder, step_t *step)
{
    if (decoder->ended) {
        return -1;
    }
    BrotliDecoderResult result = BrotliDecoderDecompressStream(
        decoder->of.brotli, &step->in_len, &step->in, &step->out_len, &step->out, NULL);
    return result == BROTLI_DECODER_RESULT_SUCCESS ? 1
           : result == BROTLI_DECODER_RESULT_ERROR ? -1
                                                   : 0;
}
#endif

#ifdef APIPOOL_HAVE_ZSTD
static int open_zstd(apipool_decoder_t *decoder)
{
    decoder->of.zstd = ZSTD_createDStream();
    return decoder->of.zstd && !ZSTD_isError(ZSTD_DCtx_setParameter(
                                   decoder->of.zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG));
}

static void close_zstd(apipool_decoder_t *decoder)
{
    ZSTD_freeDStream(decoder->of.zstd);
}

/* Frames may follow each other (RFC 8878 section 3). */
static int step_zstd(apipool_decoder_t *decoder, step_t *step)
{
    ZSTD_inBuffer in = {step->in, step->in_len, 0};
    ZSTD_outBuffer out = {step->out, step->out_len, 0};
    apr_size_t result = ZSTD_decompressStream(decoder->of.zstd, &out, &in);
    step->in += in.pos;
    step->in_len -= in.pos;
    step->out_len -= out.pos;
    return ZSTD_isError(result) ? -1 : result == 0;
}
#endif

static const coding_t codings[] = {
    {"gzip", open_gzip, step_gzip, close_zlib},
    {"x-gzip", open_gzip, step_gzip, close_zlib},
    {"deflate", open_deflate, step_deflate, close_zlib},
#ifdef APIPOOL_HAVE_BROTLI
    {"br", open_brotli, step_brotli, close_brotli},
#endif
#ifdef APIPOOL_HAVE_ZSTD
    {"zstd", open_zstd, step_zstd, close_zstd},
#endif
};

static apr_status_t close_decoder(void *data)
{
    apipool_decoder_t *decoder = data;
    decoder->coding->close(decoder);
    return APR_SUCCESS;
}

static const coding_t *find_coding(const char *name)
{
    for (apr_size_t i = 0; i < sizeof(codings) / sizeof(*codings); i++) {
        apr_size_t len = strlen(codings[i].name);
        if (!apr_cstr_casecmpn(name, codings[i].name, len) &&
            !name[len + strspn(name + len, " \t")]) {
            return &codings[i];
        }
    }
    return NULL;
}

apipool_decoder_t *apipool_decoder_make(const char *coding, apr_uint64_t max, apr_pool_t *pool)
{
    const coding_t *found = find_coding(coding);
    if (!found) {
        return NULL;
    }
    apipool_decoder_t *decoder = apr_pcalloc(pool, sizeof(*decoder));
    decoder->coding = found;
    decoder->left = max;
    if (!found->open(decoder)) {
        found->close(decoder);
        return NULL;
    }
    apr_pool_cleanup_register(pool, decoder, close_decoder, apr_pool_cleanup_null);
    return decoder;
}

/* Goes on for as long as there is input, or the last call has filled the room for output. */
int apipool_decoder_feed(apipool_decoder_t *decoder, const char *data, apr_size_t len,
                         apipool_decoder_take_t *take, void *ctx)
{
    step_t step = {.in = (const unsigned char *)data, .in_len = len};
    int is_full = 0;
    while (!decoder->failed && (step.in_len || is_full)) {
        apr_size_t before = step.in_len;
        step.out = decoder->piece;
        step.out_len = PIECE;
        int result = decoder->coding->step(decoder, &step);
        apr_size_t made = PIECE - step.out_len;
        is_full = !step.out_len && result == 0;
        decoder->begun = 1;
        decoder->ended = result == 1;
        /* what goes neither forth nor out is no input either */
        decoder->failed =
            result < 0 || made > decoder->left || (step.in_len && !made && before == step.in_len);
        if (!decoder->failed && made) {
            decoder->left -= made;
            take(ctx, (const char *)decoder->piece, made);
        }
    }
    return !decoder->failed;
}

int apipool_decoder_is_complete(const apipool_decoder_t *decoder)
{
    return decoder->ended && !decoder->failed;
}

typedef struct {
    char *text;
    apr_size_t len, max;
} text_t;

static void add_text(void *ctx, const char *data, apr_size_t len)
{
    text_t *to = ctx;
    len = len < to->max - to->len ? len : to->max - to->len;
    memcpy(to->text + to->len, data, len);
    to->len += len;
}

char *apipool_decoder_text(const char *coding, const char *text, apr_size_t *len, apr_size_t max,
                           apr_pool_t *pool)
{
    apipool_decoder_t *decoder = apipool_decoder_make(coding, max + PIECE, pool);
    if (!decoder) {
        return NULL;
    }
    text_t to = {.text = apr_palloc(pool, max), .max = max};
    apipool_decoder_feed(decoder, text, *len, add_text, &to);
    *len = to.len;
    return to.text;
}
