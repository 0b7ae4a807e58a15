/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the text of event streams; what is dropped is compared with a slow reading of all events. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "fuzz.h"

/* The end of the line at p: where its text ends, and in *next where the line after it begins. */
static apr_size_t line_end(const char *text, apr_size_t len, apr_size_t p, apr_size_t *next)
{
    while (p < len && text[p] != '\n' && text[p] != '\r') {
        p++;
    }
    *next = p == len ? len : text[p] == '\r' && p + 1 < len && text[p + 1] == '\n' ? p + 2 : p + 1;
    return p;
}

/* The end of the event that begins at p: behind its empty line. */
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

/* Only where it is written out is a usage looked for. */
static int names_usage(const char *text, apr_size_t len)
{
    const char *at = text, *end = text + len;
    while ((at = memmem(at, (apr_size_t)(end - at), "\"usage\"", 7)) != NULL) {
        at += 7;
        const char *p = at;
        int colons = 0;
        for (; p < end && (memchr(" \t\r\n\v\f:", *p, 7) || !strncmp(p, "data:", 5)); p++) {
            int is_joint = *p == 'd' && (p[-1] == '\n' || p[-1] == '\r');
            if (*p == 'd' && !is_joint) {
                break;
            }
            p += is_joint ? 4 : 0;
            colons += *p == ':' && !is_joint;
        }
        if (p < end && *p == '{' && colons == 1) {
            return 1;
        }
    }
    return 0;
}

static int is_nothing(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_array(value) && !json_array_size(value));
}

/* 1: it is to go, 0: it stays, -1: it is no JSON. */
static int tells_usage(const char *data)
{
    json_error_t ignored;
    json_t *root = json_loads(data, JSON_DECODE_INT_AS_REAL, &ignored);
    const json_t *error = json_object_get(root, "error");
    int tells = json_is_object(json_object_get(root, "usage")) &&
                is_nothing(json_object_get(root, "choices")) && (!error || json_is_null(error));
    tells = root ? tells : -1;
    json_decref(root);
    return tells;
}

/* Copies what is left of the lines of an event. */
static apr_size_t keep_lines(char *out, const char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_size_t kept = 0, data = 0;
    for (apr_size_t p = 0, next; p < len; p = next) {
        apr_size_t eol = line_end(text, len, p, &next);
        int complete = eol < len && !(text[eol] == '\r' && eol + 1 == len);
        int has_data = complete && eol - p >= 5 && !memcmp(text + p, "data:", 5);
        if (has_data && tells_usage(fuzz_text(pool, text + p + 5, eol - p - 5)) == 1) {
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
            apipool_events_first(text + p, end - p, pool, &data);
        }
        int tells = data ? tells_usage(data) : 0;
        if (tells < 0) {
            kept += keep_lines(text + kept, text + p, end - p, pool);
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
    apr_size_t whole = apipool_events_whole(text, len, none);
    apr_size_t tail = apipool_events_whole(text + cut, len - cut, before);
    MUST(tail ? cut + tail == whole : whole <= cut);
    MUST(apipool_events_whole(text, len, none) <= apipool_events_lines(text, len));
}

/* However it comes, the end of the first event is seen, and no sooner than it is there. */
static void check_peek(const char *text, apr_size_t len, apr_size_t step, apr_pool_t *pool)
{
    apipool_events_at_t peek = {0};
    for (apr_size_t at = 0; at < len; at += step) {
        apr_size_t piece = len - at < step ? len - at : step;
        apipool_events_peek(&peek, text + at, piece);
    }
    char *data;
    int complete = apipool_events_first(text, len, pool, &data);
    MUST(complete ? peek.complete : !peek.complete || text[len - 1] == '\r');
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
    apr_size_t left = apipool_events_drop_usage(text, size, pool);
    apr_size_t right = drop_slowly(other, size, pool);
    MUST(left == right && !memcmp(text, other, left));
    free(text);
    free(other);
    apr_pool_destroy(pool);
    return 0;
}
