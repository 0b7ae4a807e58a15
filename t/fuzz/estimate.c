/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: tokens of a body however cut. The first line is its kind, by name; others are requests. */
#include <string.h>

#include "estimate.h"
#include "fuzz.h"

/* Every piece in memory of exactly its size. */
static void feed(apipool_estimate_t *e, const char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    MUST(exact);
    memcpy(exact, data, len);
    apipool_estimate_feed(e, exact, len);
    free(exact);
}

/* In pieces of 1 to most bytes: with most 1 byte by byte, with most 0 in one. What has been counted may
 * be taken back only where a text turns out to be an image, which is more. */
static apr_int64_t estimate(apipool_estimate_kind_e kind, const char *body, size_t len, size_t most)
{
    static apipool_estimate_t e;
    unsigned seed = (unsigned)len;
    apr_int64_t before = 0;

    memset(&e, 0xa5, sizeof(e));
    apipool_estimate_begin(&e, kind);
    for (size_t i = 0; i < len;) {
        size_t piece = len;
        if (most) {
            seed = seed * 1103515245 + 12345 + (unsigned char)body[i];
            piece = 1 + (seed >> 16) % most;
        }
        piece = piece < len - i ? piece : len - i;
        feed(&e, body + i, piece);
        i += piece;
        MUST(apipool_estimate_tokens(&e) >= before);
        before = apipool_estimate_tokens(&e);
    }
    return apipool_estimate_tokens(&e);
}

static int has(const char *body, size_t len, const char *word)
{
    return memmem(body, len, word, strlen(word)) != NULL;
}

/* A text has no more tokens than bytes; an image has, and needs a name, a mark or a form to be one. */
static void check_bound(apr_int64_t tokens, const char *body, size_t len)
{
    static const char *const marks[] = {"\"image",  "\"mask\"",      "\"video", "\"file",
                                        "\"data\"", "\"predictions", "base64",  "--"};
    apr_int64_t most = (apr_int64_t)len + APIPOOL_ESTIMATE_REPLY + 1;
    int has_mark = 0;

    for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
        has_mark |= has(body, len, marks[i]);
    }
    if (has_mark) {
        most += (apr_int64_t)len / 2 * APIPOOL_ESTIMATE_IMAGE;
    }
    MUST(tokens >= 0 && tokens <= most);
}

static apipool_estimate_kind_e kind_of(const char *text, size_t len)
{
    static const char *const kinds[] = {
        [APIPOOL_ESTIMATE_REQUEST] = "request", [APIPOOL_ESTIMATE_RECORDING] = "recording",
        [APIPOOL_ESTIMATE_JSON] = "json",       [APIPOOL_ESTIMATE_STREAM] = "stream",
        [APIPOOL_ESTIMATE_IMAGES] = "images",   [APIPOOL_ESTIMATE_TEXT] = "text",
        [APIPOOL_ESTIMATE_AUDIO] = "audio",
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (len == strlen(kinds[i]) && !memcmp(text, kinds[i], len)) {
            return (apipool_estimate_kind_e)i;
        }
    }
    return APIPOOL_ESTIMATE_REQUEST;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *eol = memchr(text, '\n', size);
    size_t first = eol ? (size_t)(eol - text) : 0, used = eol ? first + 1 : 0;
    apipool_estimate_kind_e kind = kind_of(text, first);

    apr_int64_t whole = estimate(kind, text + used, size - used, 0);
    check_bound(whole, text + used, size - used);
    for (size_t most = 1; most <= 27; most = most * 3) {
        MUST(estimate(kind, text + used, size - used, most) == whole);
    }
    return 0;
}
