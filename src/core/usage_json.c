/* SPDX-License-Identifier: Apache-2.0
 * The tokenizer of the usage scanner: follows JSON to the few members that hold counts, skips the rest. */
#include "usage_json.h"

#define COUNT_MAX    APR_UINT64_C(1000000000000000)
#define DIGITS_MAX   APR_UINT64_C(100000000000000000) /* digits beyond it only scale */
#define EXPONENT_MAX 100
#define OVERLONG     0xff /* a length that no name has */
#define TYPE         0xfe /* not a count: the string that names an event */
#define NO_COUNT     0xff

/* The containers that matter; all others are skipped without looking at their names. CHUNKS is the
 * array around Gemini's chunks, TOP a document's object, HOLDER one in TOP that has a usage, MESSAGE the
 * one that Anthropic's streams begin with. CHOICES is an array of CHOICE. */
enum {
    NOWHERE,
    CHUNKS,
    TOP,
    HOLDER,
    MESSAGE,
    CHOICES,
    CHOICE,
    META, /* from here on, names are looked at to the end */
    USAGE,
    USAGE_BEGUN,
    USAGE_OF_CHOICE,
    BILLED,
    DETAILS
};

enum { AT_START, AT_TOKEN, AT_STRING, AT_NUMBER, AT_SKIPPED, AT_NOTHING };

typedef struct apipool_usage_member {
    const char *name;
    unsigned char len, child, count;
} member_t;

#define NAME(name)          name, sizeof(name) - 1
#define HOLDS(name, child)  NAME(name), child, NO_COUNT
#define COUNTS(name, count) NAME(name), NOWHERE, APIPOOL_COUNT_##count
#define END                 NULL, 0, NOWHERE, NO_COUNT

/* The names here and in holder_members, and those of last_events, are known to is_report() in usage.c. */
static const member_t top_members[] = {
    {HOLDS("usage", USAGE)},     {HOLDS("usageMetadata", USAGE)}, {HOLDS("response", HOLDER)},
    {HOLDS("message", MESSAGE)}, {HOLDS("x_groq", HOLDER)},       {HOLDS("meta", META)},
    {HOLDS("choices", CHOICES)}, {NAME("type"), NOWHERE, TYPE},   {END},
};

static const member_t holder_members[] = {
    {HOLDS("usage", USAGE)},
    {HOLDS("usageMetadata", USAGE)},
    {END},
};

static const member_t message_members[] = {
    {HOLDS("usage", USAGE_BEGUN)},
    {HOLDS("usageMetadata", USAGE)},
    {END},
};

static const member_t choice_members[] = {
    {HOLDS("usage", USAGE_OF_CHOICE)},
    {END},
};

static const member_t meta_members[] = {
    {HOLDS("tokens", USAGE)},
    {HOLDS("billed_units", BILLED)},
    {HOLDS("usage", USAGE)},
    {END},
};

static const member_t usage_members[] = {
    {COUNTS("prompt_tokens", PROMPT)},
    {COUNTS("completion_tokens", COMPLETION)},
    {COUNTS("total_tokens", TOTAL)},
    {COUNTS("input_tokens", INPUT)},
    {COUNTS("output_tokens", OUTPUT)},
    {COUNTS("cache_creation_input_tokens", CACHE_WRITTEN)},
    {COUNTS("cache_read_input_tokens", CACHE_READ)},
    {COUNTS("prompt_cache_hit_tokens", CACHED_HIT)},
    {COUNTS("cached_tokens", CACHED)},
    {COUNTS("promptTokenCount", PROMPT)},
    {COUNTS("candidatesTokenCount", CANDIDATES)},
    {COUNTS("thoughtsTokenCount", THOUGHTS)},
    {COUNTS("cachedContentTokenCount", CACHED)},
    {COUNTS("totalTokenCount", TOTAL)},
    {HOLDS("prompt_tokens_details", DETAILS)},
    {HOLDS("input_tokens_details", DETAILS)},
    {HOLDS("input_token_details", DETAILS)},
    {END},
};

static const member_t usage_of_choice_members[] = {
    {COUNTS("prompt_tokens", CHOICE_PROMPT)},
    {COUNTS("completion_tokens", CHOICE_COMPLETION)},
    {COUNTS("total_tokens", CHOICE_TOTAL)},
    {COUNTS("cached_tokens", CHOICE_CACHED)},
    {END},
};

static const member_t billed_members[] = {
    {COUNTS("input_tokens", BILLED_INPUT)},
    {COUNTS("output_tokens", BILLED_OUTPUT)},
    {END},
};

static const member_t details_members[] = {
    {COUNTS("cached_tokens", CACHED_DETAIL)},
    {END},
};

static const member_t no_members[] = {{END}};

static const member_t *const members[] = {
    [NOWHERE] = no_members,
    [CHUNKS] = no_members,
    [TOP] = top_members,
    [HOLDER] = holder_members,
    [MESSAGE] = message_members,
    [CHOICES] = no_members,
    [CHOICE] = choice_members,
    [META] = meta_members,
    [USAGE] = usage_members,
    [USAGE_BEGUN] = usage_members,
    [USAGE_OF_CHOICE] = usage_of_choice_members,
    [BILLED] = billed_members,
    [DETAILS] = details_members,
};

/* What the elements of an array are. */
static const unsigned char elements[] = {[CHUNKS] = TOP, [CHOICES] = CHOICE, [DETAILS] = NOWHERE};

/* The types of the events after which a stream has nothing more to say. */
static const struct {
    const char *name;
    apr_size_t len;
} last_events[] = {
    {NAME("response.completed")},   {NAME("response.incomplete")},
    {NAME("response.failed")},      {NAME("message_stop")},
    {NAME("speech.audio.done")},    {NAME("transcript.text.done")},
    {NAME("image_edit.completed")}, {NAME("image_generation.completed")},
};

/* The next quote, brace or bracket. Braces and brackets are 0x7f under the mask; so are a few letters,
 * which the caller passes over. */
static inline const char *find_structure(const char *p, const char *end)
{
#ifdef __SSE2__
    for (; end - p >= (int)sizeof(apipool_narrow_t); p += sizeof(apipool_narrow_t)) {
        apipool_narrow_t bytes = *(const apipool_narrow_t *)p;
        unsigned found = APIPOOL_NARROW_BITS((bytes == '"') | ((bytes | 0x26) == 0x7f));
        if (found) {
            return p + __builtin_ctz(found);
        }
    }
#else
    const apr_uint64_t mask = ~APR_UINT64_C(0) / 255 * 0x26;
    for (; end - p >= 8; p += 8) {
        apr_uint64_t word = apipool_word(p);
        apr_uint64_t found =
            apipool_bytes_equal(word, '"') | apipool_bytes_equal(word | mask, 0x7f);
        if (found) {
            return p + __builtin_ctzll(found) / 8;
        }
    }
#endif
    while (p < end && *p != '"' && (*p | 0x26) != 0x7f) {
        p++;
    }
    return p;
}

void apipool_usage_json_begin(apipool_usage_scan_t *scan)
{
    scan->at = AT_START;
    scan->depth = 0;
    scan->skipped = 0;
    scan->escaped = 0;
    scan->named = 0;
    scan->member = NULL;
}

int apipool_usage_json_is_idle(const apipool_usage_scan_t *scan)
{
    if (scan->at == AT_START || scan->at == AT_NOTHING) {
        return 1;
    }
    int in_value = scan->skipped || (scan->at == AT_STRING && scan->text_len == OVERLONG);
    return in_value && scan->place[scan->depth] < META;
}

static void enter(apipool_usage_scan_t *scan, unsigned char place)
{
    scan->place[++scan->depth] = place;
    scan->at = AT_TOKEN;
    scan->named = 0;
    scan->member = NULL;
}

/* What follows is no member's value until a comma and a name have come. */
static void end_value(apipool_usage_scan_t *scan)
{
    scan->at = AT_TOKEN;
    scan->named = 1;
    scan->member = NULL;
}

static void leave(apipool_usage_scan_t *scan)
{
    if (--scan->depth) {
        end_value(scan);
    }
    else {
        apipool_usage_json_begin(scan);
    }
}

static int is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Documents may follow each other, and a byte order mark may be before them. What begins with neither
 * brace nor bracket cannot have a usage. */
static const char *read_start(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    while (p < end && (is_blank(*p) || *p == '\xef' || *p == '\xbb' || *p == '\xbf')) {
        p++;
    }
    if (p == end) {
        return p;
    }
    if (*p != '{' && *p != '[') {
        scan->at = AT_NOTHING;
        return end;
    }
    enter(scan, *p == '{' ? TOP : CHUNKS);
    return p + 1;
}

static void open_container(apipool_usage_scan_t *scan, char c)
{
    unsigned char element = elements[scan->place[scan->depth]];
    unsigned char child = scan->named && scan->member ? scan->member->child : NOWHERE;
    child = element != NOWHERE ? element : child;
    if (child != NOWHERE && (c == '[') == (child == CHOICES)) {
        scan->told |= child >= USAGE;
        enter(scan, child);
        return;
    }
    scan->skipped = 1;
    scan->at = AT_SKIPPED;
}

static int in_name(const apipool_usage_scan_t *scan)
{
    return !scan->skipped && !scan->named && elements[scan->place[scan->depth]] == NOWHERE;
}

static int in_type(const apipool_usage_scan_t *scan)
{
    return !scan->skipped && scan->named && scan->member && scan->member->count == TYPE;
}

static void open_string(apipool_usage_scan_t *scan)
{
    scan->at = AT_STRING;
    scan->text_len = in_name(scan) || in_type(scan) ? 0 : OVERLONG;
}

static void open_other(apipool_usage_scan_t *scan, char c)
{
    int counts = scan->named && scan->member && scan->member->count < APIPOOL_USAGE_COUNTS;
    if (!counts || (c != '-' && (c < '0' || c > '9'))) {
        scan->member = NULL;
        return;
    }
    scan->at = AT_NUMBER;
    scan->text_len = 0;
}

static void keep_text(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    if ((apr_size_t)(end - p) > sizeof(scan->text) - scan->text_len) {
        scan->text_len = OVERLONG;
        return;
    }
    memcpy(scan->text + scan->text_len, p, (apr_size_t)(end - p));
    scan->text_len += (unsigned char)(end - p);
}

static void end_name(apipool_usage_scan_t *scan, const char *text, apr_size_t len)
{
    const member_t *member = members[scan->place[scan->depth]];
    while (member->name && (member->len != len || memcmp(text, member->name, len))) {
        member++;
    }
    scan->member = member->name ? member : NULL;
    scan->at = AT_TOKEN;
}

static void end_type(apipool_usage_scan_t *scan, const char *text, apr_size_t len)
{
    for (apr_size_t i = 0; i < sizeof(last_events) / sizeof(*last_events); i++) {
        if (last_events[i].len == len && !memcmp(text, last_events[i].name, len)) {
            scan->done = scan->is_event_stream;
        }
    }
    end_value(scan);
}

/* A string ends whose last part is from p to end. The text of most is in one piece: it is not copied. */
static void end_string(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    if (scan->skipped) {
        scan->at = AT_SKIPPED;
        return;
    }
    apr_size_t len = (apr_size_t)(end - p);
    if (scan->text_len) {
        if (scan->text_len != OVERLONG) {
            keep_text(scan, p, end);
        }
        p = scan->text;
        len = scan->text_len;
    }
    if (in_name(scan)) {
        end_name(scan, p, len);
    }
    else if (in_type(scan)) {
        end_type(scan, p, len);
    }
    else {
        end_value(scan);
    }
}

/* Of a string that does not matter, and most of an answer is one, only the end is looked for: a quote that no
 * odd number of backslashes stands before. */
static const char *skip_string(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    while (p < end) {
        const char *quote = memchr(p, '"', (apr_size_t)(end - p));
        const char *stop = quote ? quote : end, *before = stop;
        while (before > p && before[-1] == '\\') {
            before--;
        }
        int escapes = (stop - before) % 2;
        if (!quote) {
            scan->escaped = (unsigned char)escapes;
            break;
        }
        if (!escapes) {
            end_string(scan, p, quote);
            return quote + 1;
        }
        p = quote + 1;
    }
    return end;
}

/* Text with an escape in it is no name that matters, so it is only looked through for its end. */
static const char *read_string(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    if (scan->escaped) {
        scan->escaped = 0;
        p++;
    }
    if (scan->text_len == OVERLONG) {
        return skip_string(scan, p, end);
    }
    const char *stop = apipool_find_either(p, end, '"', '\\');
    if (stop == end) {
        keep_text(scan, p, stop);
        return end;
    }
    if (*stop == '"') {
        end_string(scan, p, stop);
        return stop + 1;
    }
    scan->text_len = OVERLONG;
    return skip_string(scan, stop, end);
}

static const char *open_and_read(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    open_string(scan);
    return read_string(scan, p, end);
}

/* Most names and values are in one piece and have no escape: those need no state. */
static const char *read_name(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    const char *stop = apipool_find_either(p, end, '"', '\\');
    if (stop == end || *stop != '"') {
        return open_and_read(scan, p, end);
    }
    end_name(scan, p, (apr_size_t)(stop - p));
    return stop + 1;
}

static const char *read_value_string(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    const char *quote = in_type(scan) ? NULL : memchr(p, '"', (apr_size_t)(end - p));
    if (!quote || (quote > p && quote[-1] == '\\')) {
        return open_and_read(scan, p, end);
    }
    end_value(scan);
    return quote + 1;
}

/* Reads on in a container that matters, to the next thing that has a state of its own. */
static const char *read_tokens(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    while (p < end && scan->at == AT_TOKEN) {
        char c = *p++;
        switch (c) {
        case '"':
            p = in_name(scan) ? read_name(scan, p, end) : read_value_string(scan, p, end);
            break;
        case ':':
            scan->named = 1;
            break;
        case ',':
            scan->named = 0;
            scan->member = NULL;
            break;
        case '{':
        case '[':
            open_container(scan, c);
            break;
        case '}':
        case ']':
            leave(scan);
            break;
        default:
            if (!is_blank(c)) {
                open_other(scan, c);
                p -= scan->at == AT_NUMBER;
            }
        }
    }
    return p;
}

static const char *skip_container(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    for (;;) {
        p = find_structure(p, end);
        if (p == end) {
            return p;
        }
        switch (*p++) {
        case '"':
            open_string(scan);
            p = read_string(scan, p, end);
            if (scan->at == AT_STRING) {
                return p;
            }
            break;
        case '{':
        case '[':
            scan->skipped++;
            break;
        case '}':
        case ']':
            if (--scan->skipped == 0) {
                end_value(scan);
                return p;
            }
            break;
        default:
            break;
        }
    }
}

static int is_digit(const char *p, const char *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static const char *read_exponent(const char *p, const char *end, int *exponent)
{
    int value = 0;
    int negative = p < end && *p == '-';
    p += p < end && (*p == '-' || *p == '+');
    for (; is_digit(p, end); p++) {
        value = value < EXPONENT_MAX ? value * 10 + *p - '0' : value;
    }
    *exponent = negative ? -value : value;
    return p;
}

/* @return -1 when it is no count */
static apr_int64_t number_of(const char *p, const char *end)
{
    apr_uint64_t digits = 0;
    int power = 0, exponent = 0, fraction = 0;
    int negative = p < end && *p == '-';

    p += negative;
    if (!is_digit(p, end)) {
        return -1;
    }
    for (; is_digit(p, end) || (p < end && *p == '.' && !fraction); p++) {
        if (*p == '.') {
            fraction = 1;
        }
        else if (digits < DIGITS_MAX) {
            digits = digits * 10 + (apr_uint64_t)(*p - '0');
            power -= fraction;
        }
        else {
            power += !fraction;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        p = read_exponent(p + 1, end, &exponent);
    }
    if (p < end || (negative && digits)) {
        return -1;
    }
    for (power += exponent; power < 0 && digits; power++) {
        digits /= 10;
    }
    for (; power > 0 && digits && digits <= COUNT_MAX; power--) {
        digits *= 10;
    }
    return digits <= COUNT_MAX ? (apr_int64_t)digits : -1;
}

static apr_int64_t *count_here(apipool_usage_scan_t *scan)
{
    int count = scan->member->count;
    if (count == APIPOOL_COUNT_OUTPUT && scan->place[scan->depth] == USAGE_BEGUN) {
        count = APIPOOL_COUNT_OUTPUT_BEGUN;
    }
    return &scan->count[count];
}

static int is_of_number(char c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E';
}

/* A number counts when something follows it: it may go on in bytes that never came. */
static const char *read_number(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    const char *stop = p;
    while (stop < end && is_of_number(*stop)) {
        stop++;
    }
    if (scan->text_len != OVERLONG) {
        keep_text(scan, p, stop);
    }
    if (stop < end) {
        apr_int64_t value = -1;
        if (scan->text_len != OVERLONG) {
            value = number_of(scan->text, scan->text + scan->text_len);
        }
        if (value >= 0) {
            *count_here(scan) = value;
        }
        end_value(scan);
    }
    return stop;
}

void apipool_usage_json_feed(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    while (p < end) {
        switch (scan->at) {
        case AT_START:
            p = read_start(scan, p, end);
            break;
        case AT_TOKEN:
            p = read_tokens(scan, p, end);
            break;
        case AT_STRING:
            p = read_string(scan, p, end);
            break;
        case AT_NUMBER:
            p = read_number(scan, p, end);
            break;
        case AT_SKIPPED:
            p = skip_container(scan, p, end);
            break;
        default:
            return;
        }
    }
}
