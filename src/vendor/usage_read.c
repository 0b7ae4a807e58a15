/* SPDX-License-Identifier: Apache-2.0
 * Reads token counts in a document: finds the objects that hold them by their place, and parses
 * nothing else. */
#include "usage_parts.h"

#include <apr_lib.h>
#include <jansson.h>
#include <string.h>

#include "ascii.h"

#define COUNT_MAX 1e15
#define LEVELS    3            /* of nested members that lead to counts */
#define NAMES     (LEVELS + 2) /* plus details, and the count itself */

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
    COUNTS("toolUsePromptTokenCount", TOOL_USE),
    COUNTS("total_input_tokens", PROMPT),
    COUNTS("total_tool_use_tokens", TOOL_USE),
    COUNTS("total_cached_tokens", CACHED),
    COUNTS("total_output_tokens", CANDIDATES),
    COUNTS("total_thought_tokens", THOUGHTS),
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
static const member_t document_members[] = {COUNTS("prompt_eval_count", PROMPT),
                                            COUNTS("eval_count", COMPLETION), END};
static const member_t details_members[] = {COUNTS("cached_tokens", CACHED_DETAIL), END};
static const char *const details[] = {"prompt_tokens_details", "input_tokens_details",
                                      "input_token_details"};

#define ELEMENT "\n" /* of an array; no name has one */

/* Objects that hold counts, by their names and those of the enclosing members. */
typedef struct {
    const char *names[LEVELS];
    const member_t *members;
    int is_begun; /* only a stream's first value */
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
    {{"usage", "tokens"}, usage_members, 0},
    {{"usage", "billed_units"}, billed_members, 0},
    {{"delta", "usage"}, usage_members, 0},
    {{"delta", "usage", "tokens"}, usage_members, 0},
    {{"delta", "usage", "billed_units"}, billed_members, 0},
    {{"response", "meta", "tokens"}, usage_members, 0},
    {{"response", "meta", "billed_units"}, billed_members, 0},
    {{"result", "usage"}, usage_members, 0},
    {{"interaction", "usage"}, usage_members, 0},
    {{NULL}, document_members, 0},
};

typedef struct {
    const char *text;
    apr_size_t len;
} name_t;

/* The reader's position. */
typedef struct {
    apr_size_t depth, outside; /* open brackets and braces; those around the document */
    name_t names[NAMES];       /* of the enclosing members, outermost first */
} path_t;

static int is_named(const name_t *name, const char *text)
{
    return name->len && *name->text == *text && strlen(text) == name->len &&
           !memcmp(text, name->text, name->len); /* the first byte rules out most */
}

/* Returns the place that the outermost members, up to levels, lead to; NULL if it has no counts. */
static const place_t *find_place(const path_t *path, apr_size_t levels)
{
    for (apr_size_t i = 0; i < sizeof(places) / sizeof(*places) && levels <= LEVELS; i++) {
        apr_size_t same = 0;
        while (same < levels && places[i].names[same] &&
               is_named(&path->names[same], places[i].names[same])) {
            same++;
        }
        if (same == levels && (levels == LEVELS || !places[i].names[levels])) {
            return &places[i];
        }
    }
    return NULL;
}

static int holds_details(const name_t *name)
{
    return is_named(name, details[0]) || is_named(name, details[1]) || is_named(name, details[2]);
}

/* Returns the count that the innermost member is, or -1. */
static int find_count(const path_t *path, apr_size_t levels)
{
    const member_t *member = details_members;
    const place_t *place = find_place(path, levels - 1);
    if (place) {
        member = place->members;
    }
    else if (levels < 3 || !holds_details(&path->names[levels - 2]) ||
             !find_place(path, levels - 2)) {
        return -1;
    }
    while (member->name && !is_named(&path->names[levels - 1], member->name)) {
        member++;
    }
    return !member->name ? -1
           : place && place->is_begun && member->count == APIPOOL_COUNT_OUTPUT
               ? APIPOOL_COUNT_OUTPUT_BEGUN
               : member->count;
}

static int is_beyond_digits(char c)
{
    return c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

/* Reads a count, or its digits in quotes; -1 if there is none. Nearly all are plain digits. */
static double read_count(const char *text, const char *end)
{
    const int flags = JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_DISABLE_EOF_CHECK;
    const int is_string = *text == '"';
    text += is_string;
    const char *p = text;
    double number = 0;
    while (p < end && *p >= '0' && *p <= '9') {
        number = number * 10 + (*p++ - '0');
    }
    if (!is_string && p < end && is_beyond_digits(*p)) {
        json_error_t read;
        json_t *value = json_loadb(text, (size_t)(end - text), flags, &read);
        while (p < end && (apr_isdigit(*p) || is_beyond_digits(*p))) {
            p++;
        }
        number = json_is_number(value) && text + read.position == p ? json_number_value(value) : -1;
        json_decref(value);
    }
    return p > text && p < end && (!is_string || *p == '"') && number <= COUNT_MAX ? number : -1;
}

static int may_be_count(const char *text, const char *end)
{
    text += *text == '"';
    return text < end && (*text == '-' || apr_isdigit(*text));
}

/* Begins the value of a member. */
static void take_value(apipool_usage_scan_t *scan, const path_t *path, const char *text,
                       const char *end)
{
    apr_size_t levels = path->depth - path->outside;
    if (text == end || !levels || levels > NAMES) {
        return;
    }
    if (may_be_count(text, end)) {
        int count = find_count(path, levels);
        double number = count >= 0 ? read_count(text, end) : -1;
        if (number >= 1 || (number >= 0 && scan->count[count] < 0)) {
            scan->count[count] = (apr_int64_t)number;
        }
    }
}

static void set_name(path_t *path, const char *text, apr_size_t len)
{
    apr_size_t levels = path->depth - path->outside;
    if (levels > 0 && levels <= NAMES) {
        path->names[levels - 1].text = text;
        path->names[levels - 1].len = len;
    }
}

/* Takes a string, and the colon after it if it is a name. Returns where to continue. */
static const char *take_string(apipool_usage_scan_t *scan, path_t *path, const char *text,
                               const char *end)
{
    const char *quote = apipool_ascii_string_end(text, end);
    const char *colon = quote ? apipool_ascii_skip_space(quote + 1, end) : end;
    if (colon == end || *colon != ':') {
        return quote ? quote + 1 : end;
    }
    const char *value = apipool_ascii_skip_space(colon + 1, end);
    set_name(path, text, (apr_size_t)(quote - text));
    take_value(scan, path, value, end);
    return value;
}

static void read_members(apipool_usage_scan_t *scan, path_t *path, const char *text,
                         const char *end)
{
    while (text < end) {
        char c = *text++;
        switch (c) {
        case '"':
            text = take_string(scan, path, text, end);
            break;
        case '{':
        case '[':
            path->outside = path->depth ? path->outside : c == '[';
            path->depth++;
            set_name(path, ELEMENT, sizeof(ELEMENT) - 1);
            break;
        case '}':
        case ']':
            path->depth -= path->depth > 0;
            break;
        default:
            break;
        }
    }
}

void apipool_usage_read(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    path_t path = {0, 0, {{0}}};
    text = apipool_ascii_skip_space(text, end);
    if (text < end && (*text == '{' || *text == '[')) {
        read_members(scan, &path, text, end);
    }
}

/* A stream of documents in lines, as Ollama's, has its counts in the last one. */
static void read_last_line(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    while (end > text && apipool_ascii_is_space(end[-1])) {
        end--;
    }
    const char *feed = memrchr(text, '\n', (size_t)(end - text));
    if (feed) {
        apipool_usage_read(scan, feed + 1, end);
    }
}

void apipool_usage_read_end(apipool_usage_scan_t *scan, const char *text, const char *end)
{
    path_t path = {1, 0, {{places[0].names[0], strlen(places[0].names[0])}}};
    const char *last = NULL;
    for (const char *at = text; (at = apipool_sse_find_usage(at, end)) != NULL; at++) {
        last = at;
    }
    if (last) {
        read_members(scan, &path, last, end);
    }
    else {
        read_last_line(scan, text, end);
    }
}
