/* SPDX-License-Identifier: Apache-2.0
 * The text of event streams: where lines and events end, what an event says, and the one that tells usage. */
#include "events.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

/* The end of the line at text, and in *next where the one after it begins: CR LF, LF or CR end it. NULL
 * when it is not complete. */
static const char *line_end(const char *text, const char *end, const char **next)
{
    const char *at = text;
    while (at < end && *at != '\n' && *at != '\r') {
        at++;
    }
    if (at == end || (*at == '\r' && at + 1 == end)) {
        return NULL;
    }
    *next = at + (at[0] == '\r' && at[1] == '\n' ? 2 : 1);
    return at;
}

int apipool_events_first(const char *text, apr_size_t len, apr_pool_t *pool, char **found)
{
    const char *end = text + len, *next, *eol;
    *found = NULL;
    for (; (eol = line_end(text, end, &next)); text = next) {
        if (eol == text && *found) {
            return 1;
        }
        if (eol - text >= 5 && !strncmp(text, "data:", 5)) {
            const char *data = text + 5;
            data += data < eol && *data == ' ';
            char *line = apr_pstrmemdup(pool, data, (apr_size_t)(eol - data));
            *found = *found ? apr_pstrcat(pool, *found, "\n", line, NULL) : line;
        }
    }
    return 0;
}

apr_size_t apipool_events_lines(const char *text, apr_size_t len)
{
    while (len && text[len - 1] != '\n') {
        len--;
    }
    return len;
}

/* Whether data ends in an empty line, given the two bytes before it. */
static int ends_event(const char *data, apr_size_t len, const char *before)
{
    char last = len > 1 ? data[len - 2] : before[1];
    char one_before = len > 2 ? data[len - 3] : len > 1 ? before[1] : before[0];
    return data[len - 1] == '\n' && (last == '\n' || (last == '\r' && one_before == '\n'));
}

apr_size_t apipool_events_whole(const char *text, apr_size_t len, const char before[2])
{
    while (len && !ends_event(text, len, before)) {
        len--;
    }
    return len;
}

/* The end of the first empty array, or of one that may have begun before; NULL without one. */
static const char *find_empty_array(const char *data, apr_size_t len)
{
    const char *at = data;
    while ((at = memchr(at, ']', len - (apr_size_t)(at - data))) != NULL) {
        if (at == data || at[-1] == '[' || apr_isspace(at[-1])) {
            return at;
        }
        at++;
    }
    return NULL;
}

int apipool_events_may_tell_usage(const char *text, apr_size_t len)
{
    return find_empty_array(text, len) != NULL;
}

static int is_usage_chunk(const char *text, apr_size_t len, apr_pool_t *p)
{
    json_error_t ignored;
    char *data;
    if (!apipool_events_first(text, len, p, &data)) {
        return 0;
    }
    json_t *root = json_loads(data, 0, &ignored);
    const json_t *choices = json_object_get(root, "choices");
    int found = json_is_object(json_object_get(root, "usage")) && json_is_array(choices) &&
                json_array_size(choices) == 0;
    json_decref(root);
    return found;
}

/* The end of the event that begins at text: behind its empty line, or at the end of all. */
static const char *event_end(const char *text, const char *end)
{
    const char *next, *eol;
    for (; (eol = line_end(text, end, &next)); text = next) {
        if (eol == text) {
            return next;
        }
    }
    return end;
}

/* Where the event begins that a byte is in: behind an empty line, or at the beginning of all. */
static const char *event_start(const char *text, const char *at)
{
    static const char before[2] = {0};
    while (at > text && !ends_event(text, (apr_size_t)(at - text), before)) {
        at--;
    }
    return at;
}

/* Only events with an empty array are looked at: hardly any other has one. */
apr_size_t apipool_events_drop_usage(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    apr_size_t done = 0;
    const char *at;
    apr_pool_create(&scratch, pool);
    while ((at = find_empty_array(text + done, len - done)) != NULL) {
        apr_size_t start = (apr_size_t)(event_start(text + done, at) - text);
        apr_size_t end = (apr_size_t)(event_end(text + start, text + len) - text);
        if (is_usage_chunk(text + start, end - start, scratch)) {
            memmove(text + start, text + end, len - end);
            len -= end - start;
            end = start;
        }
        done = end;
    }
    apr_pool_destroy(scratch);
    return len;
}
