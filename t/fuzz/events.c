/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the text of event streams; what is dropped is compared with a slow reading of all events. */
#include <apr_general.h>
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

static int tells_usage(const char *text, apr_size_t len, apr_pool_t *pool)
{
    char *data;
    json_error_t ignored;
    if (!apipool_events_first(text, len, pool, &data)) {
        return 0;
    }
    json_t *root = json_loads(data, 0, &ignored);
    const json_t *choices = json_object_get(root, "choices");
    int tells = json_is_object(json_object_get(root, "usage")) && json_is_array(choices) &&
                !json_array_size(choices);
    json_decref(root);
    return tells;
}

static apr_size_t drop_slowly(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_size_t kept = 0;
    for (apr_size_t p = 0, end; p < len; p = end) {
        end = event_end(text, len, p);
        if (!tells_usage(text + p, end - p, pool)) {
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

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    apr_pool_t *pool;
    if (size > 65536) {
        return 0;
    }
    apr_initialize();
    apr_pool_create(&pool, NULL);
    char *text = malloc(size + 1), *other = malloc(size + 1);
    memcpy(text, input, size);
    memcpy(other, input, size);
    for (apr_size_t cut = 0; cut <= size && cut < 64; cut++) {
        check_cut(text, size, cut);
    }
    int noticed = apipool_events_may_tell_usage(text, size);
    apr_size_t left = apipool_events_drop_usage(text, size, pool);
    apr_size_t right = drop_slowly(other, size, pool);
    MUST(left == right && !memcmp(text, other, left));
    MUST(left == size || noticed);
    free(text);
    free(other);
    apr_pool_destroy(pool);
    return 0;
}
