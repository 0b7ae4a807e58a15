/* SPDX-License-Identifier: Apache-2.0
 * Matches paths against the table of endpoints, segment by segment. */
#include "endpoint_parts.h"

#include <apr_cstr.h>
#include <apr_lib.h>
#include <string.h>

#include "ascii.h"
#include "percent.h"

#define SEGMENTS_MAX 32

typedef struct {
    const char *text;
    apr_size_t len;
    char first; /* first letter, in lower case */
} segment_t;

typedef struct {
    segment_t segments[SEGMENTS_MAX];
    int count;
    apr_uint64_t
        starts; /* bit i: an endpoint may start at segment i, after the prefix of a base URL */
} path_t;

static segment_t segment_of(const char *text, apr_size_t len)
{
    return (segment_t){text, len, apipool_ascii_lower(*text)};
}

/* The first letter rules out most words. */
static inline int is_word(const segment_t *segment, const char *word)
{
    return segment->first == *word && !apr_cstr_casecmpn(segment->text, word, segment->len) &&
           !word[segment->len];
}

static int is_among(const segment_t *segment, const char *const *words)
{
    while (*words && !is_word(segment, *words)) {
        words++;
    }
    return *words != NULL;
}

/* "v1", "v1beta", "v4". */
static int is_version(const segment_t *segment)
{
    return segment->len >= 2 && (segment->text[0] | 0x20) == 'v' && apr_isdigit(segment->text[1]);
}

/* The number of segments from there on that may belong to a base URL: 0, 1, or 2 if the second is
 * an id. */
static int prefix_length(const path_t *path, int at)
{
    static const char *const named[] = {"deployments", "engines",    "projects",
                                        "locations",   "publishers", NULL};
    const segment_t *segment = &path->segments[at];
    return is_version(segment) || is_among(segment, apipool_endpoint_prefixes) ? 1
           : is_among(segment, named)                                          ? 2
                                                                               : 0;
}

/* Of a path with more segments than any endpoint has, only the last ones are kept, and none of them
 * begins it. */
static void split(const char *text, path_t *path)
{
    int is_cut = 0;
    path->count = 0;
    while (*(text += strspn(text, "/"))) {
        if (path->count == SEGMENTS_MAX) {
            memmove(path->segments, path->segments + 1, sizeof(path->segments) - sizeof(segment_t));
            path->count--;
            is_cut = 1;
        }
        apr_size_t len = strcspn(text, "/");
        path->segments[path->count++] = segment_of(text, len);
        text += len;
    }
    path->starts = !is_cut;
    for (int i = 0; i < path->count; i++) {
        if (path->starts >> i & 1) {
            path->starts |= (APR_UINT64_C(1) << (i + prefix_length(path, i)));
        }
    }
}

/* The last letter rules out most rows. */
static int may_match(const apipool_endpoint_row_t *row, const path_t *path)
{
    const segment_t *last = &path->segments[path->count - 1];
    char c = row->pattern[row->len - 1];
    return c == '*' || c == apipool_ascii_lower(last->text[last->len - 1]);
}

/* Compares from the end. Returns the index of the first matching segment, or -1. */
static int match(const apipool_endpoint_row_t *row, const path_t *path)
{
    const char *p = row->pattern + row->len;
    int at = path->count;
    for (;;) {
        if (at == 0) {
            return -1;
        }
        const segment_t *segment = &path->segments[--at];
        const char *c = segment->text + segment->len;
        if (p[-1] == '*') {
            p--;
            c = segment->text;
        }
        while (p > row->pattern && p[-1] != '/') {
            if (c == segment->text || apipool_ascii_lower(*--c) != *--p) {
                return -1;
            }
        }
        if (c != segment->text) {
            return -1;
        }
        if (p == row->pattern) {
            return at;
        }
        p--;
    }
}

static unsigned method_of(const char *method)
{
    switch (*method) {
    case 'P':
        return !strcmp(method, "POST")                              ? APIPOOL_METHOD_POST
               : !strcmp(method, "PUT") || !strcmp(method, "PATCH") ? APIPOOL_METHOD_CHANGE
                                                                    : 0;
    case 'D':
        return !strcmp(method, "DELETE") ? APIPOOL_METHOD_DELETE : 0;
    default:
        return !strcmp(method, "GET") || !strcmp(method, "HEAD") || !strcmp(method, "OPTIONS")
                   ? APIPOOL_METHOD_READ
                   : 0;
    }
}

/* A word of the table may have a second segment, which may be "*", or may be a prefix: "admin*". */
static int is_admin_at(const path_t *path, int at, const char *word)
{
    const segment_t *segment = &path->segments[at];
    for (;;) {
        apr_size_t len = strcspn(word, "/*");
        if (word[len] == '*' && len) {
            return segment->len >= len && !apr_cstr_casecmpn(segment->text, word, len);
        }
        if (len && (segment->len != len || apr_cstr_casecmpn(segment->text, word, len))) {
            return 0;
        }
        word += len + (word[len] == '*');
        if (!*word) {
            return 1;
        }
        word++;
        if (++at == path->count) {
            return 0;
        }
        segment = &path->segments[at];
    }
}

/* Ids, and everything after "models", may be any word. */
static int is_admin(const path_t *path)
{
    for (int i = 0; i < path->count && !is_word(&path->segments[i], "models"); i++) {
        for (const char *const *word = apipool_endpoint_admin; *word; word++) {
            if (path->segments[i].first == **word &&
                apipool_ascii_lower(path->segments[i].text[1]) == (*word)[1] &&
                is_admin_at(path, i, *word)) {
                return 1;
            }
        }
        i += is_among(&path->segments[i], apipool_endpoint_collections);
    }
    return 0;
}

/* Tests whether the last segment is an id in a collection at the beginning of the path. */
static int names_object(const path_t *path)
{
    int at = path->count - 2;
    return at >= 0 && path->starts >> at & 1 &&
           (is_word(&path->segments[at], "models") ||
            is_among(&path->segments[at], apipool_endpoint_collections));
}

/* Returns the row of a Gemini method, or NULL. */
static const apipool_endpoint_row_t *find_method(const path_t *path)
{
    const segment_t *last = &path->segments[path->count - 1];
    const char *colon = last->text + last->len;
    while (colon > last->text && *--colon != ':') {
    }
    apr_size_t len = (apr_size_t)(last->text + last->len - colon - 1);
    if (colon == last->text || !len) {
        return NULL;
    }
    segment_t name = segment_of(colon + 1, len);
    const apipool_endpoint_row_t *row = apipool_endpoint_methods;
    while (row->pattern && !is_word(&name, row->pattern)) {
        row++;
    }
    return row->pattern && (row->kind != APIPOOL_ENDPOINT_FREE || names_object(path)) ? row : NULL;
}

/* Tests for a list of models or one model, whose name may contain slashes. */
static int lists_models(const path_t *path)
{
    for (int i = 0; i + 1 < path->count; i++) {
        if (path->starts >> i & 1 && is_word(&path->segments[i], "models")) {
            return 1;
        }
    }
    return 0;
}

static const apipool_endpoint_row_t *find_row(const apipool_endpoint_row_t *row, unsigned method,
                                              const path_t *path)
{
    for (; path->count && row->pattern; row++) {
        int at = row->methods & method && may_match(row, path) ? match(row, path) : -1;
        if (at >= 0 && (row->kind != APIPOOL_ENDPOINT_FREE || path->starts >> at & 1)) {
            return row;
        }
    }
    return NULL;
}

apipool_endpoint_e apipool_endpoint_find(const char *method, const char *path)
{
    unsigned bit = method_of(method);
    path_t parts;
    split(path, &parts);
    if (is_admin(&parts)) {
        return APIPOOL_ENDPOINT_ADMIN;
    }
    const apipool_endpoint_row_t *row = parts.count ? find_method(&parts) : NULL;
    row = row ? row : find_row(apipool_endpoint_rows, bit, &parts);
    int lists = bit == APIPOOL_METHOD_READ && (!parts.count || lists_models(&parts));
    return row ? row->kind : lists ? APIPOOL_ENDPOINT_FREE : APIPOOL_ENDPOINT_UNLISTED;
}

int apipool_endpoint_is_below(const char *path, const char *prefix)
{
    apr_size_t len = strlen(prefix);
    len -= len && prefix[len - 1] == '/';
    return !apr_cstr_casecmpn(path, prefix, len) && (!path[len] || path[len] == '/');
}

/* The length of a path without a slash at its end. */
static apr_size_t length_of(const char *path)
{
    apr_size_t len = strlen(path);
    return len - (len > 0 && path[len - 1] == '/');
}

static int ends_with(const char *path, apr_size_t len, const char *end)
{
    apr_size_t tail = strlen(end);
    return len >= tail && !apr_cstr_casecmpn(path + len - tail, end, tail);
}

int apipool_endpoint_is_responses(const char *path)
{
    return ends_with(path, length_of(path), "/responses");
}

int apipool_endpoint_speaks_events(const char *path)
{
    apr_size_t len = length_of(path);
    return apipool_endpoint_is_responses(path) || ends_with(path, len, "/realtime") ||
           ends_with(path, len, "/realtime/translations");
}

int apipool_endpoint_is_plain(const char *path)
{
    return !strpbrk(path, "%\\;") && !strstr(path, "//");
}

void apipool_endpoint_make_plain(char *path)
{
    const char *at = path;
    char *end = path;
    while (*at) {
        if (*at == ';') {
            at += strcspn(at, "/");
            continue;
        }
        char c = apipool_percent_next(&at);
        c = c == '\\' ? '/' : c;
        if (c != '/' || end == path || end[-1] != '/') {
            *end++ = c;
        }
    }
    *end = '\0';
}
