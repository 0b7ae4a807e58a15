/* SPDX-License-Identifier: Apache-2.0
 * Reads the text of event streams: ends of lines and events, their data, and the event that reports
 * usage. */
#include "sse.h"

#include <apr_strings.h>
#include <jansson.h>
#include <string.h>

#include "ascii.h"

static const char data_field[] = "data:";
#define DATA_FIELD (sizeof(data_field) - 1)

int apipool_sse_line(const char *text, const char *end, const char **eol, const char **next)
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

const char *apipool_sse_field(const char *line, const char *eol, const char *name)
{
    apr_size_t len = strlen(name);

    if ((apr_size_t)(eol - line) <= len || memcmp(line, name, len) || line[len] != ':') {
        return NULL;
    }
    line += len + 1;
    return line + (line < eol && *line == ' ');
}

const char *apipool_sse_next(const char *text, const char *end)
{
    const char *next, *eol;
    for (; apipool_sse_line(text, end, &eol, &next); text = next) {
        if (eol == text) {
            return next;
        }
    }
    return end;
}

const char *apipool_sse_start(const char *text, const char *at)
{
    static const char none[2] = {0};
    return text + apipool_sse_whole(text, (apr_size_t)(at - text), none);
}

/* Adds the line's data if it has any. Returns the number of bytes added. */
static apr_size_t add_data(char *to, const char *line, const char *eol)
{
    const char *data = apipool_sse_field(line, eol, "data");
    if (!data) {
        return 0;
    }
    apr_size_t len = (apr_size_t)(eol - data);
    memcpy(to, data, len);
    to[len] = '\n';
    return len + 1;
}

apr_size_t apipool_sse_join(char *to, const char *text, apr_size_t len)
{
    const char *end = text + len, *eol, *next;
    apr_size_t used = 0;
    for (; text < end; text = next) {
        apipool_sse_line(text, end, &eol, &next);
        used += add_data(to + used, text, eol);
    }
    return used;
}

int apipool_sse_first(const char *text, apr_size_t len, apr_pool_t *pool, char **data)
{
    const char *end = text + len, *eol, *next;
    char *joined = apr_palloc(pool, len + 1);
    apr_size_t used = 0;
    int complete = 0;
    for (; !complete && apipool_sse_line(text, end, &eol, &next); text = next) {
        complete = eol == text && used;
        used += add_data(joined + used, text, eol);
    }
    *data = used ? joined : NULL;
    if (used) {
        joined[used - 1] = '\0';
    }
    return complete;
}

const char *apipool_sse_read(const char *text, const char *end, apr_pool_t *pool,
                             apipool_sse_event_t *event)
{
    const char *eol, *next, *name;
    char *data = apr_palloc(pool, (apr_size_t)(end - text) + 1);
    apr_size_t used = 0;
    int complete = 0;
    event->name = "";
    for (; !complete && apipool_sse_line(text, end, &eol, &next); text = next) {
        complete = eol == text;
        used += add_data(data + used, text, eol);
        if ((name = apipool_sse_field(text, eol, "event")) != NULL) {
            event->name = apr_pstrmemdup(pool, name, (apr_size_t)(eol - name));
        }
    }
    event->len = used ? used - 1 : 0;
    data[event->len] = '\0';
    event->data = data;
    return complete ? text : NULL;
}

apr_size_t apipool_sse_take(apipool_sse_at_t *at, const char *text, apr_size_t len)
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

int apipool_sse_peek(apipool_sse_at_t *at, const char *text, apr_size_t len)
{
    int found = 0;
    while (len) {
        apr_size_t used = apipool_sse_take(at, text, len);
        text += used;
        len -= used;
        found |= at->ended && at->has_data;
    }
    return found;
}

apr_size_t apipool_sse_lines(const char *text, apr_size_t len)
{
    const char *feed = memrchr(text, '\n', len);
    return feed ? (apr_size_t)(feed + 1 - text) : 0;
}

int apipool_sse_end(const char *data, apr_size_t len, const char before[2])
{
    char last = len > 1 ? data[len - 2] : before[1];
    char one_before = len > 2 ? data[len - 3] : len > 1 ? before[1] : before[0];
    return data[len - 1] == '\n' && (last == '\n' || (last == '\r' && one_before == '\n'));
}

apr_size_t apipool_sse_whole(const char *text, apr_size_t len, const char before[2])
{
    while ((len = apipool_sse_lines(text, len)) > 0 && !apipool_sse_end(text, len, before)) {
        len--;
    }
    return len;
}

/* Steps back over what may stand between a name, its colon and its value, including the joint of
 * two data lines. */
static const char *skip_back(const char *text, const char *p)
{
    apr_size_t joint = 0;
    do {
        p -= joint;
        while (p > text && apipool_ascii_is_blank(p[-1])) {
            p--;
        }
        apr_size_t len = (apr_size_t)(p - text);
        joint = len >= 5 && !memcmp(p - 5, "data:", 5)  ? 5
                : len >= 4 && !memcmp(p - 4, "data", 4) ? 4
                                                        : 0;
    } while (joint &&
             (p - joint == text || p[-1 - (int)joint] == '\n' || p[-1 - (int)joint] == '\r'));
    return p;
}

static inline int ends_with(const char *text, const char *p, const char *name, apr_size_t len)
{
    return (apr_size_t)(p - text) >= len && !memcmp(p - len, name, len) &&
           (p - len == text || p[-1 - (int)len] != '\\');
}

/* Returns the end of the name of a member whose value begins with a brace, or NULL. The beginning
 * of an event, an element of an array and a member without blanks, which nearly all braces are,
 * cost a few comparisons. */
static const char *name_before(const char *text, const char *brace)
{
    apr_size_t len = (apr_size_t)(brace - text);
    if (!len || brace[-1] == '[' || (len >= 8 && !memcmp(brace - 8, "\n\ndata: ", 8))) {
        return NULL;
    }
    if (len >= 2 && brace[-1] == ':' && brace[-2] == '"') {
        return brace - 1;
    }
    const char *p = skip_back(text, brace);
    return p == text || p[-1] != ':' ? NULL : skip_back(text, p - 1);
}

/* Searches by braces, of which an event has few. */
const char *apipool_sse_find_usage(const char *text, const char *end)
{
    const char *at = text;
    for (; (at = memchr(at, '{', (apr_size_t)(end - at))) != NULL; at++) {
        const char *p = name_before(text, at);
        if (!p) {
            continue;
        }
        if (ends_with(text, p, "\"usage\"", 7) || ends_with(text, p, "\"usageMetadata\"", 15) ||
            ends_with(text, p, "\"meta\"", 6)) {
            return at;
        }
    }
    return NULL;
}

/* Tests for a chunk with usage and no choices. Its numbers may exceed any integer. */
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

/* Removes such chunks from an event of which each line is a chunk. Returns the bytes left. */
static apr_size_t drop_lines(char *text, apr_size_t len)
{
    const char *eol, *next;
    int kept = 0, ignored;
    for (char *line = text; apipool_sse_line(line, text + len, &eol, &next);) {
        const char *data = apipool_sse_field(line, eol, "data");
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

/* Returns the bytes left of one event. */
static apr_size_t drop_from_event(char *text, apr_size_t len, apr_pool_t *p)
{
    char *data;
    int is_json;
    apipool_sse_first(text, len, p, &data);
    if (!data) {
        return len;
    }
    if (is_usage_chunk(data, strlen(data), &is_json)) {
        return 0;
    }
    return is_json ? len : drop_lines(text, len);
}

/* Reads only events that have a usage member, which are rare. */
apr_size_t apipool_sse_drop_usage(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_pool_t *scratch;
    apr_size_t done = 0;
    const char *at;
    apr_pool_create(&scratch, pool);
    while ((at = apipool_sse_find_usage(text + done, text + len)) != NULL) {
        apr_size_t start = (apr_size_t)(apipool_sse_start(text + done, at) - text);
        apr_size_t end = (apr_size_t)(apipool_sse_next(text + start, text + len) - text);
        apr_size_t left = end - start;
        if (at < text + end) { /* false if the event before ends in a bare CR */
            left = drop_from_event(text + start, left, scratch);
        }
        memmove(text + start + left, text + end, len - end);
        len -= end - start - left;
        done = start + left;
    }
    apr_pool_destroy(scratch);
    return len;
}
