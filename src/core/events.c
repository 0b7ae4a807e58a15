/* SPDX-License-Identifier: Apache-2.0
 * The text of event streams: where lines and events end, what they say, and the one that tells usage. */
#include "events.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

static const char data_field[] = "data:";
#define DATA_FIELD (sizeof(data_field) - 1)

int apipool_events_line(const char *text, const char *end, const char **eol, const char **next)
{
    const char *feed = memchr(text, '\n', (apr_size_t)(end - text));
    const char *stop = feed ? feed : end;
    const char *cr = memchr(text, '\r', (apr_size_t)(stop - text));

    *eol = cr ? cr : stop;
    *next = *eol == end ? end : *eol + 1;
    if (cr && cr + 1 == feed) {
        *next = feed + 1;
    }
    return *eol != end && (*next != end || feed);
}

const char *apipool_events_field(const char *line, const char *eol, const char *name)
{
    apr_size_t len = strlen(name);

    if ((apr_size_t)(eol - line) <= len || memcmp(line, name, len) || line[len] != ':') {
        return NULL;
    }
    line += len + 1;
    return line + (line < eol && *line == ' ');
}

const char *apipool_events_next(const char *text, const char *end)
{
    const char *next, *eol;
    for (; apipool_events_line(text, end, &eol, &next); text = next) {
        if (eol == text) {
            return next;
        }
    }
    return end;
}

const char *apipool_events_start(const char *text, const char *at)
{
    static const char before[2] = {0};
    while (at > text && !apipool_events_end(text, (apr_size_t)(at - text), before)) {
        at--;
    }
    return at;
}

/* Adds the line's data, if it is any. Returns how many bytes that takes. */
static apr_size_t add_data(char *to, const char *line, const char *eol)
{
    const char *data = apipool_events_field(line, eol, "data");
    if (!data) {
        return 0;
    }
    apr_size_t len = (apr_size_t)(eol - data);
    memcpy(to, data, len);
    to[len] = '\n';
    return len + 1;
}

apr_size_t apipool_events_join(char *to, const char *text, apr_size_t len)
{
    const char *end = text + len, *eol, *next;
    apr_size_t used = 0;
    for (; text < end; text = next) {
        apipool_events_line(text, end, &eol, &next);
        used += add_data(to + used, text, eol);
    }
    return used;
}

int apipool_events_first(const char *text, apr_size_t len, apr_pool_t *pool, char **data)
{
    const char *end = text + len, *eol, *next;
    char *joined = apr_palloc(pool, len + 1);
    apr_size_t used = 0;
    int complete = 0;
    for (; !complete && apipool_events_line(text, end, &eol, &next); text = next) {
        complete = eol == text && used;
        used += add_data(joined + used, text, eol);
    }
    *data = used ? joined : NULL;
    if (used) {
        joined[used - 1] = '\0';
    }
    return complete;
}

apr_size_t apipool_events_take(apipool_events_at_t *at, const char *text, apr_size_t len)
{
    const unsigned char other = DATA_FIELD + 1;
    const char *p = text, *end = text + len;

    if (at->ended) {
        at->ended = at->has_data = 0;
    }
    while (p < end && !at->ended) {
        char c = *p++;
        int is_second = c == '\n' && at->after_cr;
        at->after_cr = c == '\r';
        if (is_second) {
            continue;
        }
        if (c == '\n' || c == '\r') {
            at->ended = at->matched == 0;
            at->has_data |= at->matched == DATA_FIELD;
            at->matched = 0;
        }
        else if (at->matched < DATA_FIELD) {
            at->matched = c == data_field[at->matched] ? at->matched + 1 : other;
        }
    }
    return (apr_size_t)(p - text);
}

int apipool_events_peek(apipool_events_at_t *at, const char *text, apr_size_t len)
{
    while (len && !(at->ended && at->has_data)) {
        apr_size_t used = apipool_events_take(at, text, len);
        text += used;
        len -= used;
    }
    return at->ended && at->has_data;
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

/* Passes what may stand between a name, its colon and its value, the joint of two lines of data included. */
static const char *skip_blanks(const char *p, const char *end)
{
    for (;;) {
        while (p < end && apr_isspace(*p)) {
            p++;
        }
        if ((apr_size_t)(end - p) < DATA_FIELD || memcmp(p, data_field, DATA_FIELD) ||
            (p[-1] != '\n' && p[-1] != '\r')) {
            return p;
        }
        p += DATA_FIELD;
    }
}

/* The value of a member whose name has begun before p and may go on as Gemini's does; NULL if it is another
 * name, or has no value. */
static const char *value_behind(const char *p, const char *end)
{
    static const char gemini[] = "Metadata";
    const apr_size_t len = sizeof(gemini) - 1;

    p += (apr_size_t)(end - p) >= len && !memcmp(p, gemini, len) ? len : 0;
    if (p == end || *p != '"') {
        return NULL;
    }
    p = skip_blanks(p + 1, end);
    if (p == end || *p != ':') {
        return NULL;
    }
    p = skip_blanks(p + 1, end);
    return p < end && *p != 'n' ? p : NULL;
}

const char *apipool_events_find_usage(const char *text, const char *end, const char **value)
{
    static const char name[] = "\"usage";
    const apr_size_t len = sizeof(name) - 1;
    const char *at = text;
    for (; (at = memmem(at, (apr_size_t)(end - at), name, len)) != NULL; at += len) {
        int is_escaped = at > text && at[-1] == '\\';
        *value = is_escaped ? NULL : value_behind(at + len, end);
        if (*value) {
            return at;
        }
    }
    return NULL;
}

/* Clients may find numbers in it that no integer holds. */
static int is_usage_chunk(const char *data, apr_size_t len, int *is_json)
{
    json_error_t ignored;
    json_t *root = json_loadb(data, len, JSON_DECODE_INT_AS_REAL, &ignored);
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
static apr_size_t drop_lines(char *text, apr_size_t len)
{
    const char *eol, *next;
    int kept = 0, ignored;
    for (char *line = text; apipool_events_line(line, text + len, &eol, &next);) {
        const char *data = apipool_events_field(line, eol, "data");
        if (data && is_usage_chunk(data, (apr_size_t)(eol - data), &ignored)) {
            memmove(line, next, (apr_size_t)(text + len - next));
            len -= (apr_size_t)(next - line);
            continue;
        }
        kept += data != NULL;
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
    if (is_usage_chunk(data, strlen(data), &is_json)) {
        return 0;
    }
    return is_json ? len : drop_lines(text, len);
}

/* Only events with such a member are looked at: hardly any other has one. */
apr_size_t apipool_events_drop_usage(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    apr_size_t done = 0;
    const char *at, *ignored;
    apr_pool_create(&scratch, pool);
    while ((at = apipool_events_find_usage(text + done, text + len, &ignored)) != NULL) {
        apr_size_t start = (apr_size_t)(apipool_events_start(text + done, at) - text);
        apr_size_t end = (apr_size_t)(apipool_events_next(text + start, text + len) - text);
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
