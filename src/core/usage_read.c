/* SPDX-License-Identifier: Apache-2.0
 * Counts of tokens in a document: finds the objects that hold them by their place, and parses no more. */
#include "usage_read.h"

#include <apr_lib.h>
#include <jansson.h>
#include <string.h>

#define COUNT_MAX 1e15
#define LEVELS    3 /* of members inside each other */

typedef struct {
    const char *name;
    int count;
} member_t;

#define COUNTS(name, count)                                                                        \
    {                                                                                              \
        name, APIPOOL_COUNT_##count                                                                \
    }
#define END                                                                                        \
    {                                                                                              \
        NULL, 0                                                                                    \
    }

static const member_t usage_members[] = {
    COUNTS("prompt_tokens", PROMPT),
    COUNTS("completion_tokens", COMPLETION),
    COUNTS("total_tokens", TOTAL),
    COUNTS("input_tokens", INPUT),
    COUNTS("output_tokens", OUTPUT),
    COUNTS("cache_creation_input_tokens", CACHE_WRITTEN),
    COUNTS("cache_read_input_tokens", CACHE_READ),
    COUNTS("prompt_cache_hit_tokens", CACHED_HIT),
    COUNTS("cached_tokens", CACHED),
    COUNTS("promptTokenCount", PROMPT),
    COUNTS("candidatesTokenCount", CANDIDATES),
    COUNTS("thoughtsTokenCount", THOUGHTS),
    COUNTS("cachedContentTokenCount", CACHED),
    COUNTS("totalTokenCount", TOTAL),
    END,
};

static const member_t choice_members[] = {
    COUNTS("prompt_tokens", CHOICE_PROMPT),
    COUNTS("completion_tokens", CHOICE_COMPLETION),
    COUNTS("cached_tokens", CHOICE_CACHED),
    COUNTS("total_tokens", CHOICE_TOTAL),
    END,
};

static const member_t billed_members[] = {COUNTS("input_tokens", BILLED_INPUT),
                                          COUNTS("output_tokens", BILLED_OUTPUT), END};
static const member_t details_members[] = {COUNTS("cached_tokens", CACHED_DETAIL), END};
static const char *const details[] = {"prompt_tokens_details", "input_tokens_details",
                                      "input_token_details"};

#define ELEMENT "\n" /* of an array; no name has one */

/* Objects that hold counts, by their names and those of the members around them. */
typedef struct {
    const char *names[LEVELS];
    const member_t *members;
    int is_begun; /* Anthropic's streams begin with it */
} place_t;

static const place_t places[] = {
    {{"usage"}, usage_members, 0},
    {{"usageMetadata"}, usage_members, 0},
    {{"response", "usage"}, usage_members, 0},
    {{"response", "usageMetadata"}, usage_members, 0},
    {{"x_groq", "usage"}, usage_members, 0},
    {{"x_groq", "usageMetadata"}, usage_members, 0},
    {{"message", "usage"}, usage_members, 1},
    {{"message", "usageMetadata"}, usage_members, 0},
    {{"meta", "tokens"}, usage_members, 0},
    {{"meta", "usage"}, usage_members, 0},
    {{"meta", "billed_units"}, billed_members, 0},
    {{"choices", ELEMENT, "usage"}, choice_members, 0},
};

/* Where the reader is. */
typedef struct {
    apr_size_t depth,
        outside; /* brackets and braces that are open, and those of them around the document */
    struct {
        const char *text;
        apr_size_t len;
    } names[LEVELS]; /* of the members around, from the outermost on */
} path_t;

static void take_counts(apipool_usage_scan_t *scan, const json_t *object, const member_t *member,
                        int is_begun)
{
    for (; member->name; member++) {
        const json_t *value = json_object_get(object, member->name);
        double number = json_number_value(value);
        int is_output = is_begun && member->count == APIPOOL_COUNT_OUTPUT;
        if (json_is_number(value) && number >= 0 && number <= COUNT_MAX) {
            scan->count[is_output ? APIPOOL_COUNT_OUTPUT_BEGUN : member->count] =
                (apr_int64_t)number;
        }
    }
}

/* Reads the object that begins at text, whatever follows it. */
static void take_object(apipool_usage_scan_t *scan, const place_t *place, const char *text,
                        const char *end)
{
    const int flags = JSON_DECODE_INT_AS_REAL | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL;
    json_error_t ignored;
    json_t *object = json_loadb(text, (size_t)(end - text), flags, &ignored);
    scan->told |= json_is_object(object);
    take_counts(scan, object, place->members, place->is_begun);
    for (int i = 0; i < 3; i++) {
        take_counts(scan, json_object_get(object, details[i]), details_members, 0);
    }
    json_decref(object);
}

static int is_at(const path_t *path, const place_t *place)
{
    apr_size_t levels = path->depth - path->outside;
    for (apr_size_t i = 0; i < levels && i < LEVELS; i++) {
        const char *name = place->names[i];
        if (!name || strlen(name) != path->names[i].len ||
            memcmp(name, path->names[i].text, path->names[i].len)) {
            return 0;
        }
    }
    return levels == LEVELS || (levels < LEVELS && !place->names[levels]);
}

static void set_name(path_t *path, const char *text, apr_size_t len)
{
    apr_size_t levels = path->depth - path->outside;
    if (levels > 0 && levels <= LEVELS) {
        path->names[levels - 1].text = text;
        path->names[levels - 1].len = len;
    }
}

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && apr_isspace(*p)) {
        p++;
    }
    return p;
}

/* The quote that ends a string, which no odd number of backslashes stands before; NULL without one. */
static const char *string_end(const char *text, const char *end)
{
    const char *quote;
    for (; (quote = memchr(text, '"', (size_t)(end - text))) != NULL; text = quote + 1) {
        const char *slash = quote;
        while (slash > text && slash[-1] == '\\') {
            slash--;
        }
        if ((quote - slash) % 2 == 0) {
            break;
        }
    }
    return quote;
}

/* Takes a string, and the colon behind it if it is a name. Returns where to go on. */
static const char *take_string(apipool_usage_scan_t *scan, path_t *path, const char *text,
                               const char *end)
{
    const char *quote = string_end(text, end);
    const char *colon = quote ? skip_blanks(quote + 1, end) : end;
    if (colon == end || *colon != ':') {
        return quote ? quote + 1 : end;
    }
    const char *value = skip_blanks(colon + 1, end);
    set_name(path, text, (apr_size_t)(quote - text));
    for (apr_size_t i = 0; value < end && *value == '{' && i < sizeof(places) / sizeof(*places);
         i++) {
        if (is_at(path, &places[i])) {
            take_object(scan, &places[i], value, end);
        }
    }
    return value;
}

/* An array of numbers, as embeddings are, is passed at once. */
static const char *skip_numbers(const char *text, const char *end)
{
    int is_number = text < end && (apr_isdigit(*text) || *text == '-');
    const char *close = is_number ? memchr(text, ']', (size_t)(end - text)) : NULL;
    size_t len = close ? (size_t)(close - text) : 0;
    int has_more = memchr(text, '"', len) || memchr(text, '[', len) || memchr(text, '{', len);
    return has_more ? text : text + len;
}

void apipool_usage_read(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    path_t path = {0, 0, {{0}}};
    text = skip_blanks(text, end);
    if (text == end || (*text != '{' && *text != '[')) {
        return;
    }
    while (text < end) {
        char c = *text++;
        switch (c) {
        case '"':
            text = take_string(scan, &path, text, end);
            break;
        case '{':
        case '[':
            path.outside = path.depth ? path.outside : c == '[';
            path.depth++;
            set_name(&path, ELEMENT, sizeof(ELEMENT) - 1);
            text = skip_numbers(text, end);
            break;
        case '}':
        case ']':
            path.depth -= path.depth > 0;
            break;
        default:
            break;
        }
    }
}

void apipool_usage_read_end(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    const char *last = NULL;
    while ((text = apipool_events_find_usage(text, end)) != NULL) {
        last = text++;
    }
    if (last) {
        take_object(scan, &places[0], last, end);
    }
}
