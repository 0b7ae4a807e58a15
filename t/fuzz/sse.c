/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the text of event streams; dropped chunks are compared with a slow reading of all
 * events. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "sse.h"
#include "fuzz.h"

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

/* Skips blanks, line ends and the joints of two data lines. */
static const char *skip_blanks(const char *p, const char *end)
{
    for (;;) {
        while (p < end && memchr(" \t\r\n", *p, 4)) {
            p++;
        }
        if (end - p < 4 || memcmp(p, "data", 4) || (p[-1] != '\n' && p[-1] != '\r')) {
            return p;
        }
        p += 4;
        p += p < end && *p == ':';
    }
}

/* A usage is searched only if it is written without escapes. */
static int names_usage(const char *text, apr_size_t len)
{
    static const char *const names[] = {"\"usage\"", "\"usageMetadata\"", "\"meta\""};
    for (size_t i = 0; i < 3; i++) {
        const char *at = text, *end = text + len;
        while ((at = memmem(at, (apr_size_t)(end - at), names[i], strlen(names[i]))) != NULL) {
            int is_escaped = at > text && at[-1] == '\\';
            at += strlen(names[i]);
            const char *p = skip_blanks(at, end);
            p = p < end && *p == ':' ? skip_blanks(p + 1, end) : end;
            if (p < end && *p == '{' && !is_escaped) {
                return 1;
            }
        }
    }
    return 0;
}

static int is_nothing(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_array(value) && !json_array_size(value));
}

/* 1: to be dropped, 0: stays, -1: not JSON. */
static int tells_usage(const char *data, apr_size_t len)
{
    json_error_t ignored;
    json_t *root = json_loadb(data, len, JSON_DECODE_INT_AS_REAL, &ignored);
    const json_t *error = json_object_get(root, "error");
    int tells = json_is_object(json_object_get(root, "usage")) &&
                is_nothing(json_object_get(root, "choices")) && (!error || json_is_null(error));
    tells = root ? tells : -1;
    json_decref(root);
    return tells;
}

/* Copies what is left of an event's lines. */
static apr_size_t keep_lines(char *out, const char *text, apr_size_t len)
{
    apr_size_t kept = 0, data = 0;
    for (apr_size_t p = 0, next; p < len; p = next) {
        apr_size_t eol = line_end(text, len, p, &next);
        int complete = eol < len && !(text[eol] == '\r' && eol + 1 == len);
        int has_data = complete && eol - p >= 5 && !memcmp(text + p, "data:", 5);
        if (has_data && tells_usage(text + p + 5, eol - p - 5) == 1) {
            continue;
        }
        memmove(out + kept, text + p, next - p);
        kept += next - p;
        data += has_data != 0;
    }
    return data ? kept : 0;
}

static apr_size_t drop_slowly(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_size_t kept = 0;
    for (apr_size_t p = 0, end; p < len; p = end) {
        char *data = NULL;
        end = event_end(text, len, p);
        if (names_usage(text + p, end - p)) {
            apipool_sse_first(text + p, end - p, pool, &data);
        }
        int tells = data ? tells_usage(data, strlen(data)) : 0;
        if (tells < 0) {
            kept += keep_lines(text + kept, text + p, end - p);
        }
        else if (!tells) {
            memmove(text + kept, text + p, end - p);
            kept += end - p;
        }
    }
    return kept;
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
    apr_size_t right = drop_slowly(other, size, pool);
    MUST(left == right && !memcmp(text, other, left));
    free(text);
    free(other);
    apr_pool_destroy(pool);
    return 0;
}
