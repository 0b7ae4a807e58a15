/* SPDX-License-Identifier: Apache-2.0
 * Decodes compressed content as it passes: gzip and deflate, Brotli and Zstandard where their
 * libraries were there at configure. */
#ifndef APIPOOL_TEXT_DECODER_H
#define APIPOOL_TEXT_DECODER_H

#include <apr_pools.h>

typedef struct apipool_decoder_t apipool_decoder_t;

/** Takes decoded bytes, which are valid only during the call. */
typedef void apipool_decoder_take_t(void *ctx, const char *data, apr_size_t len);

/**
 * Begins to decode.
 * @param coding a value of Content-Encoding (RFC 9110 section 8.4.1), in any case
 * @param max    decoded bytes; what has more is not decoded to its end
 * @param pool   owns the decoder, which takes memory of the size of the coding's window, 8 MiB at most
 *               for Zstandard and 16 for Brotli
 * @return NULL if the coding is unknown, or is several
 */
apipool_decoder_t *apipool_decoder_make(const char *coding, apr_uint64_t max, apr_pool_t *pool);

/**
 * Decodes the next bytes, split anywhere.
 * @return 1, or 0 if they are not of that coding, follow its end, or are too many when decoded. Once it
 *         has failed it always fails
 */
int apipool_decoder_feed(apipool_decoder_t *decoder, const char *data, apr_size_t len,
                         apipool_decoder_take_t *take, void *ctx);

/** Tests whether all was decoded up to an end of the coding. */
int apipool_decoder_is_complete(const apipool_decoder_t *decoder);

/**
 * Decodes as much of a text as there is, up to max bytes.
 * @param len of the text; set to that of the result
 * @return the result, allocated from pool, not terminated; NULL if the coding is unknown
 */
char *apipool_decoder_text(const char *coding, const char *text, apr_size_t *len, apr_size_t max,
                           apr_pool_t *pool);

#endif
