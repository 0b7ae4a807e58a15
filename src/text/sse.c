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

/* What becomes of a chunk. */
typedef enum {
    CHUNK_KEEP,
    CHUNK_CUT, /* its usage goes, the rest stays */
    CHUNK_DROP
} chunk_e;

static const char usage_name[] = "\"usage\"";
#define USAGE_NAME (sizeof(usage_name) - 1)

/* A member of a chunk with everything that has to go with it, and its value. */
typedef struct {
    const char *from, *to, *value;
} member_t;

static int names_member(const char *name, const char *end, const char **value)
{
    const char *colon = name + USAGE_NAME;
    if ((apr_size_t)(end - name) <= USAGE_NAME || memcmp(name, usage_name, USAGE_NAME)) {
        return 0;
    }
    colon = apipool_ascii_skip_space(colon, end);
    *value = colon < end && *colon == ':' ? apipool_ascii_skip_space(colon + 1, end) : NULL;
    return *value != NULL;
}

/* Finds the usage among the members of the outermost object. */
static int find_member(const char *text, const char *end, member_t *found)
{
    const char *comma = NULL, *p = memchr(text, '{', (apr_size_t)(end - text));
    int depth = 0;

    found->from = NULL;
    for (; p && p < end; p++) {
        switch (*p) {
        case '"':
            if (depth == 1 && !found->from && names_member(p, end, &found->value)) {
                found->from = comma ? comma : p;
            }
            p = apipool_ascii_string_end(p + 1, end);
            if (!p) {
                return 0;
            }
            break;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            found->to = p;
            if (--depth == 0) {
                return found->from != NULL;
            }
            break;
        case ',':
            if (depth == 1 && found->from) { /* a comma goes too: the one before, if there is one */
                found->to = comma ? p : p + 1;
                return 1;
            }
            comma = depth == 1 ? p : comma;
            break;
        default:
            break;
        }
    }
    return 0;
}

/* Members that say to which answer a chunk belongs, and nothing that a client could miss. */
static int is_of_every_chunk(const char *name)
{
    static const char *const names[] = {
        "id",    "object",  "created",     "model", "service_tier", "system_fingerprint",
        "usage", "choices", "obfuscation", "error"};
    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!strcmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

static int is_nothing(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_array(value) && json_array_size(value) == 0);
}

/* Judges a chunk that has usage. Its numbers may exceed any integer. */
static chunk_e judge(json_t *root)
{
    const char *name;
    json_t *value;
    const json_t *usage = json_object_get(root, "usage");

    if (json_is_null(usage)) {
        return CHUNK_CUT;
    }
    if (!json_is_object(usage) || !is_nothing(json_object_get(root, "choices")) ||
        !is_nothing(json_object_get(root, "error"))) {
        return CHUNK_KEEP;
    }
    json_object_foreach(root, name, value)
    {
        if (!is_of_every_chunk(name) && !json_is_null(value)) {
            return CHUNK_CUT;
        }
    }
    return CHUNK_DROP;
}

static int is_line_ends(const char *p, const char *end)
{
    while (p < end && (*p == '\r' || *p == '\n')) {
        p++;
    }
    return p == end;
}

static apr_size_t cut(char *text, apr_size_t len, const member_t *member)
{
    char *from = text + (member->from - text);
    memmove(from, member->to, (apr_size_t)(text + len - member->to));
    return len - (apr_size_t)(member->to - member->from);
}

/* Where an event is one chunk whose last member is a usage of null, as nearly all are, it need not be parsed.
 * Returns the bytes left. */
static apr_size_t cut_null(char *text, apr_size_t len)
{
    static const char null[] = "null}";
    const apr_size_t size = sizeof(null) - 1;
    member_t usage;
    if (!find_member(text, text + len, &usage)) {
        return len;
    }
    apr_size_t rest = (apr_size_t)(text + len - usage.value);
    return rest > size && rest <= size + 4 && !memcmp(usage.value, null, size) &&
                   is_line_ends(usage.value + size, text + len)
               ? cut(text, len, &usage)
               : len;
}

/* Takes the usage out of text that holds one chunk, of which data is the JSON. Returns the bytes left. */
static apr_size_t edit_chunk(char *text, apr_size_t len, const char *data, apr_size_t data_len,
                             int *is_json)
{
    member_t usage;
    json_error_t ignored;
    *is_json = 1;
    int has_usage = find_member(text, text + len, &usage);
    json_t *root = json_loadb(data, data_len, JSON_DECODE_INT_AS_REAL, &ignored);
    chunk_e what = judge(root);
    *is_json = root != NULL;
    json_decref(root);
    return what == CHUNK_CUT && has_usage ? cut(text, len, &usage) : what == CHUNK_DROP ? 0 : len;
}

/* Edits an event of which each line is a chunk. Returns the bytes left. */
static apr_size_t edit_lines(char *text, apr_size_t len)
{
    const char *eol, *next;
    int kept = 0, ignored;
    for (char *line = text; apipool_sse_line(line, text + len, &eol, &next);) {
        const char *data = apipool_sse_field(line, eol, "data");
        apr_size_t whole = (apr_size_t)(next - line), left = whole;
        if (data) {
            left = edit_chunk(line, whole, data, (apr_size_t)(eol - data), &ignored);
            kept += left > 0;
        }
        memmove(line + left, next, (apr_size_t)(text + len - next));
        len -= whole - left;
        line += left;
    }
    return kept ? len : 0;
}

/* Returns the bytes left of one event. */
static apr_size_t edit_event(char *text, apr_size_t len, apr_pool_t *p)
{
    char *data;
    int is_json;
    apr_size_t left = cut_null(text, len);
    if (left < len) {
        return left;
    }
    apipool_sse_first(text, len, p, &data);
    if (!data) {
        return len;
    }
    left = edit_chunk(text, len, data, strlen(data), &is_json);
    return is_json ? left : edit_lines(text, len);
}

/* Reads only events that name usage, and moves what is kept but once. */
apr_size_t apipool_sse_drop_usage(char *text, apr_size_t len, apr_pool_t *pool)
{
    apr_pool_t *scratch = NULL;
    const char *in = text, *end = text + len, *at = text;
    char *out = text;
    while ((at = memmem(at, (apr_size_t)(end - at), usage_name, USAGE_NAME)) != NULL) {
        const char *start = apipool_sse_start(in, at);
        const char *next = apipool_sse_next(start, end);
        apr_size_t left = (apr_size_t)(next - start);
        if (!scratch) {
            apr_pool_create(&scratch, pool);
        }
        memmove(out, in, (apr_size_t)(next - in));
        out += start - in;
        if (at < next) { /* false if the event before ends in a bare CR */
            left = edit_event(out, left, scratch);
        }
        out += left;
        in = at = next;
    }
    memmove(out, in, (apr_size_t)(end - in));
    if (scratch) {
        apr_pool_destroy(scratch);
    }
    return (apr_size_t)(out - text) + (apr_size_t)(end - in);
}
