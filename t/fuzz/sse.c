/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the text of event streams; what is left of chunks that tell usage is compared with
 * what a reader of whole documents leaves. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sse.h"
#include "fuzz.h"

#define CHUNK_FLAGS JSON_DECODE_INT_AS_REAL

/* Returns the end of the line at p, and in *next the beginning of the next line. */
static apr_size_t line_end(const char *text, apr_size_t len, apr_size_t p, apr_size_t *next)
{
    while (p < len && text[p] != '\n' && text[p] != '\r') {
        p++;
    }
    *next = p == len ? len : text[p] == '\r' && p + 1 < len && text[p + 1] == '\n' ? p + 2 : p + 1;
    return p;
}

/* Returns the end of the event at p: after its empty line. */
static apr_size_t event_end(const char *text, apr_size_t len, apr_size_t p)
{
    apr_size_t next;
    while (p < len && line_end(text, len, p, &next) != p) {
        p = next;
    }
    if (p < len) {
        line_end(text, len, p, &p);
    }
    return p;
}

static int is_nothing(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_array(value) && !json_array_size(value));
}

/* What is left of a chunk: NULL if it is to be dropped. Takes over the reference. */
static json_t *reduce(json_t *root)
{
    static const char envelope[] = " id object created model service_tier system_fingerprint usage "
                                   "choices obfuscation error ";
    json_t *usage = json_object_get(root, "usage"), *value;
    const char *name;
    int others = 0;
    if (!json_is_null(usage) &&
        (!json_is_object(usage) || !is_nothing(json_object_get(root, "choices")) ||
         !is_nothing(json_object_get(root, "error")))) {
        return root;
    }
    json_object_foreach(root, name, value)
    {
        char word[32];
        snprintf(word, sizeof(word), " %.28s ", name);
        others += !json_is_null(value) && (strchr(name, ' ') || !*name || !strstr(envelope, word));
    }
    if (json_is_object(usage) && !others) {
        json_decref(root);
        return NULL;
    }
    json_object_del(root, "usage");
    return root;
}

/* The chunks of all events whose data is JSON, one after the other. */
static json_t *chunks_of(const char *text, apr_size_t len, apr_pool_t *pool, int reduces)
{
    json_t *chunks = json_array();
    for (apr_size_t p = 0, end; p < len; p = end) {
        char *data = NULL;
        end = event_end(text, len, p);
        apipool_sse_first(text + p, end - p, pool, &data);
        json_t *root = data ? json_loadb(data, strlen(data), CHUNK_FLAGS, NULL) : NULL;
        root = root && reduces ? reduce(root) : root;
        if (root) {
            json_array_append_new(chunks, root);
        }
    }
    return chunks;
}

/* Names with escapes are not looked for, and of a name that is there twice nobody knows which counts. */
static int is_ambiguous(const char *text, apr_size_t len, apr_pool_t *pool)
{
    int found = memmem(text, len, "\\u", 2) != NULL || memchr(text, '\r', len) != NULL;
    for (apr_size_t p = 0, end; p < len && !found; p = end) {
        char *data = NULL;
        end = event_end(text, len, p);
        apipool_sse_first(text + p, end - p, pool, &data);
        apr_size_t data_len = data ? strlen(data) : 0;
        json_t *lax = data ? json_loadb(data, data_len, CHUNK_FLAGS, NULL) : NULL;
        json_t *strict =
            data ? json_loadb(data, data_len, CHUNK_FLAGS | JSON_REJECT_DUPLICATES, NULL) : NULL;
        found = data && (!lax || !strict) && memmem(text + p, end - p, "usage", 5);
        found |= data && strchr(data, '\n') != NULL;
        json_decref(lax);
        json_decref(strict);
    }
    return found;
}

/* Every chunk is what a reader of whole documents makes of it, and events without usage stay as they are. */
static void check_drop(const char *before, apr_size_t len, const char *after, apr_size_t left,
                       apr_pool_t *pool)
{
    MUST(left <= len);
    if (!memmem(before, len, "\"usage\"", 7)) {
        MUST(left == len && !memcmp(before, after, len));
    }
    if (is_ambiguous(before, len, pool)) {
        return;
    }
    json_t *expected = chunks_of(before, len, pool, 1), *got = chunks_of(after, left, pool, 0);
    MUST(json_equal(expected, got));
    json_decref(expected);
    json_decref(got);
}

/* However a text is cut in two, the parts know where lines and events end. */
static void check_cut(const char *text, apr_size_t len, apr_size_t cut)
{
    static const char none[2] = {0};
    char before[2] = {cut > 1 ? text[cut - 2] : '\0', cut ? text[cut - 1] : '\0'};
    apr_size_t whole = apipool_sse_whole(text, len, none);
    apr_size_t tail = apipool_sse_whole(text + cut, len - cut, before);
    MUST(tail ? cut + tail == whole : whole <= cut);
    MUST(apipool_sse_whole(text, len, none) <= apipool_sse_lines(text, len));
}

/* However it arrives, the end of an event is noticed, and not before it is there. */
static void check_peek(const char *text, apr_size_t len, apr_size_t step, apr_pool_t *pool)
{
    apipool_sse_at_t at = {0};
    int seen = 0;
    for (apr_size_t p = 0; p < len; p += step) {
        apr_size_t piece = len - p < step ? len - p : step;
        seen |= apipool_sse_peek(&at, text + p, piece);
    }
    char *data;
    int complete = apipool_sse_first(text, len, pool, &data);
    MUST(complete ? seen : !seen || text[len - 1] == '\r');
}

/* Event by event, the results equal those of a slow reading, whose last LF may come with the next
 * event. */
static void check_take(const char *text, apr_size_t len, apr_size_t step)
{
    apipool_sse_at_t at = {0};
    apr_size_t begun = 0;
    for (apr_size_t p = 0; p < len;) {
        apr_size_t piece = len - p < step ? len - p : step;
        p += apipool_sse_take(&at, text + p, piece);
        if (at.ended) {
            begun += begun && text[begun - 1] == '\r' && text[begun] == '\n';
            apr_size_t end = event_end(text, len, begun);
            MUST(p == end || (text[p - 1] == '\r' && text[p] == '\n' && p + 1 == end));
            MUST(apipool_sse_next(text + begun, text + len) == text + end ||
                 (end == len && text[len - 1] == '\r'));
            begun = p;
        }
    }
}

/* Joined lines are those that have data, one after the other. */
static void check_join(const char *text, apr_size_t len)
{
    char *joined = malloc(len + 1), *again = malloc(len + 1);
    apr_size_t used = 0;
    MUST(joined && again);
    for (apr_size_t p = 0, next; p < len; p = next) {
        apr_size_t eol = line_end(text, len, p, &next);
        if (eol - p >= 5 && !memcmp(text + p, "data:", 5)) {
            apr_size_t data = p + 5 + (eol > p + 5 && text[p + 5] == ' ');
            memcpy(again + used, text + data, eol - data);
            used += eol - data;
            again[used++] = '\n';
        }
    }
    MUST(apipool_sse_join(joined, text, len) == used && !memcmp(joined, again, used));
    free(joined);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size > 65536) {
        return 0;
    }
    apr_pool_t *pool = fuzz_pool();
    char *text = malloc(size + 1), *other = malloc(size + 1);
    memcpy(text, input, size);
    memcpy(other, input, size);
    for (apr_size_t cut = 0; cut <= size && cut < 64; cut++) {
        check_cut(text, size, cut);
    }
    check_peek(text, size, 1, pool);
    check_peek(text, size, 7, pool);
    check_take(text, size, 1);
    check_take(text, size, 7);
    check_join(text, size);
    apr_size_t left = apipool_sse_drop_usage(text, size, pool);
    check_drop(other, size, text, left, pool);
    free(text);
    free(other);
    apr_pool_destroy(pool);
    return 0;
}
