/* SPDX-License-Identifier: Apache-2.0
 * The text of event streams: where lines and events end, what an event says, and the one that tells usage. */
#include "events.h"

#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

#include "ascii.h"

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

int apipool_events_peek(apipool_events_peek_t *peek, const char *text, apr_size_t len)
{
    static const char field[] = "data:";
    const unsigned char whole = sizeof(field) - 1, other = whole + 1;
    for (const char *p = text, *end = text + len; p < end && !peek->complete; p++) {
        int is_second = *p == '\n' && peek->after_cr;
        peek->after_cr = *p == '\r';
        if (is_second) {
            continue;
        }
        if (*p == '\n' || *p == '\r') {
            peek->complete = peek->matched == 0 && peek->has_data;
            peek->has_data |= peek->matched == whole;
            peek->matched = 0;
        }
        else if (peek->matched < whole) {
            peek->matched = *p == field[peek->matched] ? peek->matched + 1 : other;
        }
    }
    return peek->complete;
}

apr_size_t apipool_events_lines(const char *text, apr_size_t len)
{
    while (len && text[len - 1] != '\n') {
        len--;
    }
    return len;
}

int apipool_events_end(const char *data, apr_size_t len, const char before[2])
{
    char last = len > 1 ? data[len - 2] : before[1];
    char one_before = len > 2 ? data[len - 3] : len > 1 ? before[1] : before[0];
    return data[len - 1] == '\n' && (last == '\n' || (last == '\r' && one_before == '\n'));
}

apr_size_t apipool_events_whole(const char *text, apr_size_t len, const char before[2])
{
    while (len && !apipool_events_end(text, len, before)) {
        len--;
    }
    return len;
}

/* Steps back over what may stand between a name, its colon and its value, the joint of two lines of data
 * included. */
static const char *skip_blanks_back(const char *text, const char *p)
{
    for (;;) {
        while (p > text && apipool_ascii_is_space(p[-1])) {
            p--;
        }
        int is_joint = p - text >= 5 && !memcmp(p - 5, "data:", 5) &&
                       (p - 5 == text || p[-6] == '\n' || p[-6] == '\r');
        if (!is_joint) {
            return p;
        }
        p -= 5;
    }
}

/* The first object that is the value of a usage; NULL without one. */
static const char *find_usage(const char *text, const char *end)
{
    static const char name[] = "\"usage\"";
    const apr_size_t len = sizeof(name) - 1;
    const char *at = text;
    for (; (at = memchr(at, '{', (apr_size_t)(end - at))) != NULL; at++) {
        const char *p = skip_blanks_back(text, at);
        if (p > text && p[-1] == ':') {
            p = skip_blanks_back(text, p - 1);
            if ((apr_size_t)(p - text) >= len && !memcmp(p - len, name, len)) {
                return at;
            }
        }
    }
    return NULL;
}

/* Clients may find numbers in it that no integer holds. */
static int is_usage_chunk(const char *data, int *is_json)
{
    json_error_t ignored;
    json_t *root = json_loads(data, JSON_DECODE_INT_AS_REAL, &ignored);
    const json_t *choices = json_object_get(root, "choices");
    const json_t *error = json_object_get(root, "error");
    int has_choices = choices && !json_is_null(choices) &&
                      !(json_is_array(choices) && json_array_size(choices) == 0);
    int found = json_is_object(json_object_get(root, "usage")) && !has_choices &&
                (!error || json_is_null(error));
    *is_json = root != NULL;
    json_decref(root);
    return found;
}

/* Takes such chunks out of an event each of whose lines is one; what is left of it. */
static apr_size_t drop_lines(char *text, apr_size_t len, apr_pool_t *p)
{
    const char *next, *eol;
    int kept = 0, ignored;
    for (char *line = text; (eol = line_end(line, text + len, &next)) != NULL;) {
        int has_data = eol - line >= 5 && !strncmp(line, "data:", 5);
        if (has_data &&
            is_usage_chunk(apr_pstrmemdup(p, line + 5, (apr_size_t)(eol - line - 5)), &ignored)) {
            memmove(line, next, (apr_size_t)(text + len - next));
            len -= (apr_size_t)(next - line);
            continue;
        }
        kept += has_data;
        line += next - line;
    }
    return kept ? len : 0;
}

/* What is left of one event. */
static apr_size_t drop_from_event(char *text, apr_size_t len, apr_pool_t *p)
{
    char *data;
    int is_json;
    apipool_events_first(text, len, p, &data);
    if (!data) {
        return len;
    }
    if (is_usage_chunk(data, &is_json)) {
        return 0;
    }
    return is_json ? len : drop_lines(text, len, p);
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
    while (at > text && !apipool_events_end(text, (apr_size_t)(at - text), before)) {
        at--;
    }
    return at;
}

/* Only events with such an object are looked at: hardly any other has one. */
apr_size_t apipool_events_drop_usage(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    apr_size_t done = 0;
    const char *at;
    apr_pool_create(&scratch, pool);
    while ((at = find_usage(text + done, text + len)) != NULL) {
        apr_size_t start = (apr_size_t)(event_start(text + done, at) - text);
        apr_size_t end = (apr_size_t)(event_end(text + start, text + len) - text);
        apr_size_t left = end - start;
        if (at < text + end) { /* not so where an event before ends in CR alone */
            left = drop_from_event(text + start, left, scratch);
        }
        memmove(text + start + left, text + end, len - end);
        len -= end - start - left;
        done = start + left;
    }
    apr_pool_destroy(scratch);
    return len;
}
