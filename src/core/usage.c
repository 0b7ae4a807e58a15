/* SPDX-License-Identifier: Apache-2.0
 * Token counts out of an answer as it passes: the events of a stream, and what the counts mean. */
#include "usage_json.h"

#define END_MARK "[DONE]"
#define NO_MARK  0xff
#define OVERLONG 0xff /* a length that no name has */
#define SEEN     3    /* from a suspect's first byte to the last one that makes it suspect */
#define REACH    6    /* … or that clears it */

enum { LINE_FIELD, LINE_BLANK, LINE_VALUE };
enum { FIELD_OTHER, FIELD_DATA, FIELD_EVENT };

static void keep_line(apipool_usage_scan_t *scan, char c)
{
    if (scan->line_len < sizeof(scan->line)) {
        scan->line[scan->line_len++] = c;
    }
    else {
        scan->line_len = OVERLONG;
    }
}

static int line_is(const apipool_usage_scan_t *scan, const char *name)
{
    apr_size_t len = strlen(name);
    return scan->line_len == len && !memcmp(scan->line, name, len);
}

static void end_field_name(apipool_usage_scan_t *scan)
{
    static const char joint = '\n';
    scan->line_field = FIELD_OTHER;
    if (line_is(scan, "data")) {
        scan->line_field = FIELD_DATA;
        scan->mark = 0;
        apipool_usage_json_feed(scan, &joint, &joint + 1);
    }
    else if (line_is(scan, "event")) {
        scan->line_field = FIELD_EVENT;
    }
    scan->line_at = LINE_BLANK;
    scan->line_len = 0;
}

/* Looked for line by line: not every upstream puts a blank line before it. */
static void find_mark(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    for (; p < end && scan->mark < sizeof(END_MARK) - 1; p++) {
        scan->mark = *p == END_MARK[scan->mark] ? scan->mark + 1 : NO_MARK;
    }
    if (scan->mark == sizeof(END_MARK) - 1) {
        scan->done = 1;
    }
}

static void read_line(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    while (p < end && scan->line_at == LINE_FIELD && scan->line_len != OVERLONG) {
        if (*p == ':') {
            end_field_name(scan);
        }
        else if (scan->later_line || (unsigned char)*p < 0x80) { /* but for a byte order mark */
            keep_line(scan, *p);
        }
        p++;
    }
    if (p < end && scan->line_at == LINE_BLANK) {
        scan->line_at = LINE_VALUE;
        p += *p == ' ';
    }
    if (scan->line_field == FIELD_DATA && p < end) {
        find_mark(scan, p, end);
        apipool_usage_json_feed(scan, p, end);
    }
    while (scan->line_field == FIELD_EVENT && p < end && scan->line_len != OVERLONG) {
        keep_line(scan, *p++);
    }
}

static void end_line(apipool_usage_scan_t *scan)
{
    if (scan->line_at == LINE_FIELD && scan->line_len == 0) {
        apipool_usage_json_begin(scan);
    }
    else if (scan->line_at == LINE_FIELD) {
        end_field_name(scan);
    }
    if (scan->line_field == FIELD_EVENT && line_is(scan, "done")) {
        scan->done = 1;
    }
    scan->line_at = LINE_FIELD;
    scan->line_field = FIELD_OTHER;
    scan->line_len = 0;
    scan->later_line = 1;
}

/* Lines end with LF, CR or both (WHATWG HTML, section 9.2.6). Out of line: passing over events, which is
 * what matters, is the faster for it. */
__attribute__((noinline)) static const char *feed_line(apipool_usage_scan_t *scan, const char *p,
                                                       const char *end)
{
    if (scan->after_cr && *p == '\n') {
        p++;
    }
    scan->after_cr = 0;
    const char *eol = apipool_find_either(p, end, '\n', '\r');
    read_line(scan, p, eol);
    if (eol == end) {
        return end;
    }
    end_line(scan);
    scan->after_cr = *eol == '\r';
    return eol + 1;
}

static inline int begins_with(const char *p, const char *end, const char *text)
{
    apr_size_t len = strlen(text);
    return (apr_size_t)(end - p) >= len && !memcmp(p, text, len);
}

/* Whether a name's value may be an object. All that may be between the two are blanks, the colon and
 * the end of a line. */
static int may_hold(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == ':')) {
        p++;
    }
    return p == end || *p == '{' || *p == '\n' || *p == '\r';
}

static int is_name(const char *p, const char *end)
{
    if (begins_with(p, end, "sage\"")) {
        return may_hold(p + 5, end);
    }
    if (begins_with(p, end, "sageMetadata\"")) {
        return may_hold(p + 13, end);
    }
    return begins_with(p, end, "sage_stop\"");
}

/* Whether there is at p some of a name that counts stand below, or of what says that the stream is
 * complete. Which bytes of them is SUSPECTS()' choice. */
static int is_report(const char *p, const char *end)
{
    int is = 0;
    switch (*p) {
    case 's':
        is = is_name(p, end);
        break;
    case 'a':
        is = begins_with(p, end, "ailed\"");
        break;
    case 'D':
        is = begins_with(p, end, "DONE]");
        break;
    case 'd':
        is = begins_with(p, end, "done\"") || begins_with(p, end, "done\n") ||
             begins_with(p, end, "done\r");
        break;
    case 'l':
        is = begins_with(p, end, "lete\"") || begins_with(p, end, "leted\"");
        break;
    default:
        break;
    }
    return is || (begins_with(p + 2, end, "meta\"") && may_hold(p + 7, end));
}

/* A block of two vectors, and of its bytes which is_report() is to look at. */
typedef struct {
    const char *at;
    apr_uint64_t suspects;
} block_t;

/* All that is_report() knows has an e, three bytes before which is an a or s, or a d or l, or one before
 * which is an m; little else in most events has, but for "usage":null, which the n gives away. The masks make
 * one of two letters. */
#define BYTES(vector, p) (*(const vector *)(p))
#define SUSPECTS(vector, p)                                                                        \
    ((vector)(((BYTES(vector, (p) + 3) | 0x20) == 'e') &                                           \
              (((BYTES(vector, p) == 's') & (BYTES(vector, (p) + REACH) != 'n')) |                 \
               (BYTES(vector, p) == 'a') | ((BYTES(vector, p) | 0x28) == 'l') |                    \
               (BYTES(vector, (p) + 2) == 'm'))))

/* The body of a search for a block with suspects, of which the one at last overlaps the one before. */
#define FIND_SUSPECTS(vector, bits)                                                                \
    for (;; p += 2 * sizeof(vector)) {                                                             \
        p = p < last ? p : last;                                                                   \
        vector found[2] = {SUSPECTS(vector, p), SUSPECTS(vector, p + sizeof(vector))};             \
        if (bits(found[0] | found[1])) {                                                           \
            apr_uint64_t second = (apr_uint64_t)bits(found[1]) << sizeof(vector);                  \
            return (block_t){p, bits(found[0]) | second};                                          \
        }                                                                                          \
        if (p == last) {                                                                           \
            return (block_t){p, 0};                                                                \
        }                                                                                          \
    }

#ifdef __SSE2__
#define NARROW_BITS(vector) APIPOOL_NARROW_BITS(vector)
#else
static unsigned narrow_bits(apipool_narrow_t vector)
{
    apr_uint64_t words[2];
    unsigned bits = 0;
    memcpy(words, &vector, sizeof(words));
    if (words[0] | words[1]) {
        for (unsigned i = 0; i < sizeof(vector); i++) {
            bits |= (vector[i] & 1U) << i;
        }
    }
    return bits;
}
#define NARROW_BITS(vector) narrow_bits(vector)
#endif

static block_t find_narrow(const char *p, const char *last)
{
    FIND_SUSPECTS(apipool_narrow_t, NARROW_BITS)
}

#ifdef __SSE2__
typedef unsigned char wide_t __attribute__((vector_size(32), aligned(1), may_alias));
typedef char signed_wide_t __attribute__((vector_size(32)));
#define WIDE_BITS(vector) ((unsigned)__builtin_ia32_pmovmskb256((signed_wide_t)(vector)))

__attribute__((target("avx2"))) static block_t find_wide(const char *p, const char *last)
{
    FIND_SUSPECTS(wide_t, WIDE_BITS)
}
#endif

/* Out of line, as above. */
__attribute__((noinline)) static const char *first_report(block_t block, const char *end)
{
    for (; block.suspects; block.suspects &= block.suspects - 1) {
        const char *suspect = block.at + __builtin_ctzll(block.suspects);
        if (is_report(suspect, end)) {
            return suspect;
        }
    }
    return NULL;
}

/* Where there is not enough behind a suspect to be cleared by. */
static const char *search_end(const char *end)
{
    for (const char *p = end - REACH; p < end - SEEN; p++) {
        if (is_report(p, end)) {
            return p;
        }
    }
    return end;
}

static inline const char *search(const char *p, const char *end, apr_size_t size,
                                 block_t (*find)(const char *, const char *))
{
    const char *last = end - size - REACH;
    for (;;) {
        block_t block = find(p, last);
        const char *report = block.suspects ? first_report(block, end) : NULL;
        if (report) {
            return report;
        }
        if (!block.suspects || block.at == last) {
            return search_end(end);
        }
        p = block.at + size;
    }
}

/* The first thing that may make a difference in whole events, or end. What is too short to be looked
 * through makes one. */
static const char *find_report(const char *p, const char *end)
{
    const apr_size_t narrow = 2 * sizeof(apipool_narrow_t);
#ifdef __SSE2__
    const apr_size_t wide = 2 * sizeof(wide_t);
    if ((apr_size_t)(end - p) >= wide + REACH && __builtin_cpu_supports("avx2")) {
        return search(p, end, wide, find_wide);
    }
#endif
    return (apr_size_t)(end - p) >= narrow + REACH ? search(p, end, narrow, find_narrow) : p;
}

/* The end of the last blank line after p, or p. Where lines end with CR alone none is found. */
static const char *last_event_end(const char *p, const char *end)
{
    while (end - p >= 2) {
        int is_feed = end[-1] == '\n';
        if (is_feed && (end[-2] == '\n' || (end - p >= 3 && end[-2] == '\r' && end[-3] == '\n'))) {
            return end;
        }
        end--;
        while (end - p >= 8 && !apipool_bytes_equal(apipool_word(end - 8), '\n')) {
            end -= 8;
        }
    }
    return p;
}

/* Whether all that may yet make a difference in this event is still to come, to its first byte. */
static int may_skip(const apipool_usage_scan_t *scan)
{
    int in_data = scan->line_at == LINE_VALUE && scan->line_field == FIELD_DATA;
    return (scan->line_at == LINE_FIELD || (in_data && scan->mark == NO_MARK)) &&
           apipool_usage_json_is_idle(scan);
}

static void skip_events(apipool_usage_scan_t *scan)
{
    scan->line_at = LINE_FIELD;
    scan->line_field = FIELD_OTHER;
    scan->line_len = 0;
    scan->after_cr = 0;
    scan->later_line = 1;
    apipool_usage_json_begin(scan);
}

/* Whole events that report nothing, which are nearly all, are not read but passed over. A report is
 * looked for only behind the one before, so that no byte is looked at twice. */
static void feed_events(apipool_usage_scan_t *scan, const char *p, const char *end)
{
    const char *whole = last_event_end(p, end), *report = p;
    while (p < end) {
        if (p < whole && p >= report && may_skip(scan)) {
            report = find_report(p, whole);
            const char *skipped = report < whole ? last_event_end(p, report) : whole;
            if (skipped > p) {
                skip_events(scan);
                p = skipped;
                continue;
            }
        }
        p = feed_line(scan, p, end);
    }
}

void apipool_usage_begin(apipool_usage_scan_t *scan, int is_event_stream)
{
    memset(scan, 0, sizeof(*scan));
    scan->is_event_stream = is_event_stream != 0;
    for (int i = 0; i < APIPOOL_USAGE_COUNTS; i++) {
        scan->count[i] = -1;
    }
}

void apipool_usage_feed(apipool_usage_scan_t *scan, const char *data, apr_size_t len)
{
    if (scan->is_event_stream) {
        feed_events(scan, data, data + len);
    }
    else {
        apipool_usage_json_feed(scan, data, data + len);
    }
}

/* Relays fill both of two names that mean the same, one of them with zero. */
static apr_int64_t either(apr_int64_t first, apr_int64_t second)
{
    return first > 0 || second < 0 ? first : second;
}

/* The sum of what is known, or -1. */
static apr_int64_t sum(apr_int64_t a, apr_int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a + b;
}

int apipool_usage_is_final(const apipool_usage_scan_t *scan)
{
    return scan->done || scan->count[APIPOOL_COUNT_OUTPUT_BEGUN] < 0 ||
           scan->count[APIPOOL_COUNT_OUTPUT] >= 0;
}

/* Where nothing else is told. */
static void take_from_choice(const apr_int64_t *count, apipool_usage_t *usage)
{
    if (usage->prompt < 0 && usage->completion < 0 && usage->total < 0) {
        usage->prompt = count[APIPOOL_COUNT_CHOICE_PROMPT];
        usage->completion = count[APIPOOL_COUNT_CHOICE_COMPLETION];
        usage->cached = either(usage->cached, count[APIPOOL_COUNT_CHOICE_CACHED]);
        usage->total = count[APIPOOL_COUNT_CHOICE_TOTAL];
    }
}

int apipool_usage_result(const apipool_usage_scan_t *scan, apipool_usage_t *usage)
{
    const apr_int64_t *count = scan->count;
    apr_int64_t input = count[APIPOOL_COUNT_INPUT];
    if (input >= 0) {
        input =
            sum(input, sum(count[APIPOOL_COUNT_CACHE_WRITTEN], count[APIPOOL_COUNT_CACHE_READ]));
    }
    usage->prompt = either(count[APIPOOL_COUNT_PROMPT], input);
    if (usage->prompt < 0) {
        usage->prompt = count[APIPOOL_COUNT_BILLED_INPUT];
    }
    apr_int64_t output = count[APIPOOL_COUNT_OUTPUT] >= 0 ? count[APIPOOL_COUNT_OUTPUT]
                                                          : count[APIPOOL_COUNT_OUTPUT_BEGUN];
    usage->completion = either(count[APIPOOL_COUNT_COMPLETION], output);
    if (usage->completion < 0) {
        usage->completion = sum(count[APIPOOL_COUNT_CANDIDATES], count[APIPOOL_COUNT_THOUGHTS]);
    }
    if (usage->completion < 0) {
        usage->completion = count[APIPOOL_COUNT_BILLED_OUTPUT];
    }
    usage->cached =
        either(either(count[APIPOOL_COUNT_CACHED_DETAIL], count[APIPOOL_COUNT_CACHED]),
               either(count[APIPOOL_COUNT_CACHED_HIT], count[APIPOOL_COUNT_CACHE_READ]));
    usage->total = count[APIPOOL_COUNT_TOTAL];
    take_from_choice(count, usage);
    if (usage->total < 0) {
        usage->total = sum(usage->prompt, usage->completion);
    }
    return usage->prompt >= 0 || usage->completion >= 0 || usage->cached >= 0 || usage->total >= 0;
}
