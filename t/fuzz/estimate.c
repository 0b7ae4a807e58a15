/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: tokens of a body cut anywhere. The first line names its kind; others are answers. */
#include <string.h>

#include "estimate.h"
#include "fuzz.h"

/* Copies each piece to memory of exactly its size. */
static void feed(apipool_estimate_t *e, const char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    MUST(exact);
    memcpy(exact, data, len);
    apipool_estimate_feed(e, exact, len);
    free(exact);
}

/* Feeds pieces of 1 to most bytes: with most 1 byte by byte, with most 0 in one. */
static apr_int64_t estimate(apipool_estimate_kind_e kind, const char *body, size_t len, size_t most)
{
    static apipool_estimate_t e;
    unsigned seed = (unsigned)len;

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
        MUST(apipool_estimate_tokens(&e) >= 0);
    }
    return apipool_estimate_tokens(&e);
}

/* A character has two tokens at most. An image has more; it needs a run, an element of a list or a
 * file. */
static void check_bound(apipool_estimate_kind_e kind, apr_int64_t tokens, size_t len)
{
    static const size_t bytes_of_image[] = {
        [APIPOOL_ESTIMATE_TEXT] = APIPOOL_ESTIMATE_RUN,
        [APIPOOL_ESTIMATE_ANSWER] = SIZE_MAX,
        [APIPOOL_ESTIMATE_IMAGES] = 1,
        [APIPOOL_ESTIMATE_FORM] = sizeof("filename=") - 1,
    };
    size_t images = len / bytes_of_image[kind];
    MUST(tokens >= 0);
    MUST(tokens <= (apr_int64_t)(len * 2 + images * APIPOOL_ESTIMATE_IMAGE));
}

static apipool_estimate_kind_e kind_of(const char *text, size_t len)
{
    static const char *const kinds[] = {
        [APIPOOL_ESTIMATE_TEXT] = "text",
        [APIPOOL_ESTIMATE_ANSWER] = "answer",
        [APIPOOL_ESTIMATE_IMAGES] = "images",
        [APIPOOL_ESTIMATE_FORM] = "form",
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (len == strlen(kinds[i]) && !memcmp(text, kinds[i], len)) {
            return (apipool_estimate_kind_e)i;
        }
    }
    return APIPOOL_ESTIMATE_ANSWER;
}

/* A text counts the same in a member that is text, unless it has a bracket or quote. */
static void check_wrapped(const char *text, size_t len)
{
    static const char begin[] = "{\"content\":\"";
    static apipool_estimate_t e;
    if (len >= APIPOOL_ESTIMATE_RUN || memchr(text, '"', len) || memchr(text, '\\', len) ||
        memchr(text, '\n', len) || memchr(text, '\r', len)) {
        return;
    }
    apipool_estimate_begin(&e, APIPOOL_ESTIMATE_ANSWER);
    feed(&e, begin, sizeof(begin) - 1);
    feed(&e, text, len);
    feed(&e, "\"}", 2);
    MUST(apipool_estimate_tokens(&e) == estimate(APIPOOL_ESTIMATE_TEXT, text, len, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *eol = memchr(text, '\n', size);
    size_t first = eol ? (size_t)(eol - text) : 0, used = eol ? first + 1 : 0;
    apipool_estimate_kind_e kind = kind_of(text, first);

    apr_int64_t whole = estimate(kind, text + used, size - used, 0);
    check_bound(kind, whole, size - used);
    check_wrapped(text + used, size - used);
    for (size_t most = 1; most <= 27; most = most * 3) {
        MUST(estimate(kind, text + used, size - used, most) == whole);
    }
    return 0;
}
