/* SPDX-License-Identifier: Apache-2.0
 * Chooses the language a client prefers, and translates sentences. */
#include "language.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "ascii.h"

/* --- Accept-Language --- */

#define BLANKS    " \t"
#define WEIGHT    1000 /* of "q=1" */
#define NO_WEIGHT (-1)

/* An element of the field: a range and its weight. */
typedef struct {
    const char *text;
    apr_size_t len;
    int weight; /* 0 to WEIGHT; NO_WEIGHT if malformed */
} range_t;

/* qvalue: "0" or "1", then up to three decimals, which must be zeros after "1". */
static int read_weight(const char *text, apr_size_t len)
{
    int weight = 0;
    if (!len || len > 5 || (*text != '0' && *text != '1') || (len > 1 && text[1] != '.')) {
        return NO_WEIGHT;
    }
    for (apr_size_t i = 2; i < 5; i++) {
        if (i < len && !apr_isdigit(text[i])) {
            return NO_WEIGHT;
        }
        weight = weight * 10 + (i < len ? text[i] - '0' : 0);
    }
    return *text == '0' ? weight : weight == 0 ? WEIGHT : NO_WEIGHT;
}

/* language-range [ OWS ";" OWS "q=" qvalue ] */
static range_t read_range(const char *from, const char *end)
{
    range_t range = {.text = from + strspn(from, BLANKS), .weight = WEIGHT};
    while (end > range.text && strchr(BLANKS, end[-1])) {
        end--;
    }
    const char *at = range.text;
    while (at < end && (apipool_ascii_is_alnum(*at) || *at == '-' || *at == '*')) {
        at++;
    }
    range.len = (apr_size_t)(at - range.text);
    at += strspn(at, BLANKS);
    if (at < end) {
        at = *at == ';' ? at + 1 + strspn(at + 1, BLANKS) : end;
        range.weight = end - at > 2 && (*at == 'q' || *at == 'Q') && at[1] == '='
                           ? read_weight(at + 2, (apr_size_t)(end - at - 2))
                           : NO_WEIGHT;
    }
    return range;
}

/* How closely a range matches a tag: 3, 2, 1, or 0 if it does not. */
static int closeness(const range_t *range, const char *tag)
{
    apr_size_t primary = strcspn(tag, "-");
    if (range->len == strlen(tag) && !apr_cstr_casecmpn(range->text, tag, range->len)) {
        return 3;
    }
    if (range->len >= primary && !apr_cstr_casecmpn(range->text, tag, primary) &&
        (range->len == primary || range->text[primary] == '-')) {
        return 2;
    }
    return range->len == 1 && *range->text == '*';
}

/* Returns the weight of a tag, and the place in the field of the range that gives it. */
static int weigh(const char *field, const char *tag, const char **place)
{
    int closest = 0, weight = 0;
    for (const char *at = field; *at;) {
        const char *end = at + strcspn(at, ",");
        range_t range = read_range(at, end);
        int close = range.weight == NO_WEIGHT ? 0 : closeness(&range, tag);
        if (close > closest || (close && close == closest && range.weight > weight)) {
            closest = close;
            weight = range.weight;
            *place = at;
        }
        at = end + (*end == ',');
    }
    return weight;
}

int apipool_language_choose(const char *field, const char *const *tags, int count)
{
    const char *first = NULL;
    int chosen = 0, heaviest = 0;
    for (int i = 0; field && i < count; i++) {
        const char *place = NULL;
        int weight = weigh(field, tags[i], &place);
        if (weight > heaviest || (weight && weight == heaviest && place < first)) {
            chosen = i;
            heaviest = weight;
            first = place;
        }
    }
    return chosen;
}

/* --- Phrases --- */

#define PARTS 9

typedef struct {
    const char *text;
    apr_size_t len;
} part_t;

/* The number of the placeholder at this place, from 1; 0 if it is fixed text. */
static int part_at(const char *pattern)
{
    return pattern[0] == '{' && pattern[1] >= '1' && pattern[1] <= '0' + PARTS && pattern[2] == '}'
               ? pattern[1] - '0'
               : 0;
}

static apr_size_t fixed_len(const char *pattern)
{
    apr_size_t len = 0;
    while (pattern[len] && !part_at(pattern + len)) {
        len++;
    }
    return len;
}

/* Finds fixed text: at the end of the text if nothing follows in the pattern, else as early as
 * possible. */
static const char *find_fixed(const char *text, const char *fixed, apr_size_t len)
{
    apr_size_t left = strlen(text);
    if (!fixed[len]) {
        return left >= len && !memcmp(text + left - len, fixed, len) ? text + left - len : NULL;
    }
    return memmem(text, left, fixed, len);
}

static int fits(const char *pattern, const char *text, part_t parts[PARTS + 1])
{
    apr_size_t len = fixed_len(pattern);
    if (strncmp(pattern, text, len)) {
        return 0;
    }
    for (;;) {
        pattern += len;
        text += len;
        int number = part_at(pattern);
        if (!number) {
            return !*text;
        }
        pattern += strlen("{1}");
        len = fixed_len(pattern);
        const char *next = find_fixed(text, pattern, len);
        if (!next) {
            return 0;
        }
        parts[number] = (part_t){text, (apr_size_t)(next - text)};
        text = next;
    }
}

static const char *fill(const apipool_phrase_t *phrases, const char *translated,
                        const part_t parts[PARTS + 1], apr_pool_t *p)
{
    const char *filled = "";
    while (*translated) {
        apr_size_t len = fixed_len(translated);
        int number = part_at(translated + len);
        const char *fixed = apr_pstrmemdup(p, translated, len), *part = "";
        if (number && parts[number].text) {
            part = apipool_phrase_translate(
                phrases, apr_pstrmemdup(p, parts[number].text, parts[number].len), p);
        }
        filled = apr_pstrcat(p, filled, fixed, part, NULL);
        translated += len + (number ? strlen("{1}") : 0);
    }
    return filled;
}

const char *apipool_phrase_translate(const apipool_phrase_t *phrases, const char *english,
                                     apr_pool_t *p)
{
    for (const apipool_phrase_t *phrase = phrases; phrase->english; phrase++) {
        part_t parts[PARTS + 1] = {{NULL, 0}};
        if (fits(phrase->english, english, parts)) {
            return fill(phrases, phrase->translated, parts, p);
        }
    }
    return english;
}
