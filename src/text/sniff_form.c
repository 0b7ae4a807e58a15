/* SPDX-License-Identifier: Apache-2.0
 * Reads the parts of a multipart/form-data body: delimiters, header lines and values. */
#include "sniff_parts.h"

#include <string.h>

#include "ascii.h"

enum {
    TRAILER = APIPOOL_SNIFF_TRAILER,
    DATA = APIPOOL_SNIFF_OWN, /* before the first delimiter, or in a part */
    DELIMITED,
    HEADER,
    HEADER_END
};

static const char BESIDES[] = "the form has something before, behind or beside its delimiters";
static const char INSIDE[] = "the boundary of the form stands inside of a part";

void apipool_sniff_form_begin(apipool_sniff_t *s)
{
    s->body = APIPOOL_SNIFF_FORM;
    s->matched = 2; /* a form may begin with a delimiter without the line end before it */
    s->state = DATA;
}

/* --- Values --- */

/* Looks for boundaries without a line end before them, which some readers take for delimiters. They
 * may stand only at the end of the data. */
static void check_data(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apipool_strict_t *strict = s->strict;
    const char *p = data, *end = data + len, *pattern = s->delimiter + 2;
    int is_end = s->state == DELIMITED, matched = strict->matched;
    while (p < end && (matched || (p = memchr(p, '-', (apr_size_t)(end - p))))) {
        while (matched && pattern[matched] != *p) {
            matched = strict->back[matched - 1];
        }
        matched += pattern[matched] == *p++;
        if (matched + 2 == (int)s->delimiter_len && !(is_end && p == end)) {
            apipool_sniff_ambiguous(s, INSIDE);
            return;
        }
    }
    strict->matched = is_end ? 0 : matched;
}

/* Ends a part's data after a complete delimiter. */
static void end_data(apipool_sniff_t *s, apr_off_t behind)
{
    apr_off_t end = behind - (apr_off_t)s->delimiter_len;
    if (!s->has_part && end != -2) {
        apipool_sniff_ambiguous(s, BESIDES);
    }
    else if (s->has_part && end < s->at) {
        apipool_sniff_ambiguous(s, INSIDE);
    }
    else if (s->has_part && s->data_length >= 0 && s->data_length != end - s->at) {
        apipool_sniff_ambiguous(s, "the Content-Length of a part is not its length");
    }
    apipool_sniff_end_value(s, end > s->at ? end : s->at);
    s->current = -1;
    s->matched = 0;
    s->due = NULL;
    s->state = DELIMITED;
}

/* Continues or breaks off a partly matched delimiter. A CR occurs only as its first byte, so after
 * a mismatch it can only begin anew. */
static apr_size_t match(apipool_sniff_t *s, char c, apr_off_t at)
{
    if (c != s->delimiter[s->matched]) {
        /* the header's line end may be the delimiter's too, but is not part of the value */
        apr_off_t since = at - s->at;
        apr_size_t own = since < (apr_off_t)s->matched ? (apr_size_t)since : s->matched;
        apipool_sniff_append(s, s->delimiter + s->matched - own, own);
        s->matched = 0;
        return 0;
    }
    if (++s->matched == s->delimiter_len) {
        end_data(s, at + 1);
    }
    return 1;
}

static apr_size_t step_data(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && s->state == DATA) {
        if (s->matched) {
            i += match(s, data[i], s->seen + (apr_off_t)i);
            continue;
        }
        const char *cr = memchr(data + i, '\r', len - i);
        apr_size_t run = cr ? (apr_size_t)(cr - data) - i : len - i;
        apipool_sniff_append(s, data + i, run);
        i += run + (cr != NULL);
        s->matched = cr != NULL;
    }
    if (s->is_strict) {
        check_data(s, data, i);
    }
    return i;
}

/* --- Delimiters --- */

/* All readers accept only a line end after a delimiter, and at most that after the last one. */
static void check_behind(apipool_sniff_t *s, char c)
{
    const char *due = s->due ? s->due : c == '-' ? "--\r\n" : "\r\n";
    if (!*due || c != *due) {
        apipool_sniff_ambiguous(s, BESIDES);
        return;
    }
    s->due = due + 1;
}

/* Two hyphens end the form, a line end begins the next part. Anything else but blanks is a
 * delimiter to some readers and data to others. */
static apr_size_t step_delimited(apipool_sniff_t *s, char c)
{
    check_behind(s, c);
    if (c == '-' && s->matched < 2) {
        s->state = ++s->matched == 2 ? TRAILER : DELIMITED;
        return 1;
    }
    if (s->matched || !apipool_ascii_is_blank(c)) {
        apipool_sniff_give_up(s, BESIDES);
        return 1;
    }
    if (c == '\n') {
        s->state = HEADER;
        s->used = 0;
        s->truncated = s->is_file = 0;
        s->has_part = 1;
        s->has_disposition = s->has_type = s->is_text = s->has_file_name = s->is_model = 0;
        s->data_length = -1;
    }
    return 1;
}

static apr_size_t step_trailer(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    for (apr_size_t i = 0; i < len && s->is_strict; i++) {
        check_behind(s, data[i]);
    }
    return len;
}

/* --- Part headers --- */

static char *line_of(apipool_sniff_t *s)
{
    return s->strict ? s->strict->line : s->text;
}

static void add_to_line(apipool_sniff_t *s, char c)
{
    apr_size_t max = s->strict ? APIPOOL_STRICT_LINE_MAX + 1 : APIPOOL_SNIFF_LINE_MAX;
    if (s->used < max) {
        line_of(s)[s->used++] = c;
        s->truncated |= s->used > APIPOOL_SNIFF_LINE_MAX;
        return;
    }
    s->truncated = 1;
    apipool_sniff_ambiguous(s, "the head of a part has a line that is too long");
}

static apr_size_t step_header(apipool_sniff_t *s, char c)
{
    if (c != '\n') {
        add_to_line(s, c);
        return 1;
    }
    if (s->used > 0 && line_of(s)[s->used - 1] == '\r') {
        s->used--;
    }
    else {
        apipool_sniff_ambiguous(s, "the head of a part has line ends other than CR LF");
    }
    if (s->used > 0) {
        s->state = HEADER_END;
        return 1;
    }
    apipool_sniff_head_end(s);
    s->current = s->is_file ? -1 : s->current;
    apipool_sniff_begin_value(s, APIPOOL_SNIFF_STRING, s->seen + 1);
    s->matched = 2;
    s->state = DATA;
    return 1;
}

/* A line that begins with a blank continues the one before (RFC 5322 section 2.2.3). */
static apr_size_t step_header_end(apipool_sniff_t *s, char c)
{
    if (c == ' ' || c == '\t') {
        apipool_sniff_ambiguous(s, "the head of a part has a field that is read in several ways");
    }
    else {
        line_of(s)[s->used] = '\0';
        apipool_sniff_head(s, line_of(s), s->used);
        s->used = 0;
        s->truncated = 0;
    }
    s->state = HEADER;
    return 0;
}

apr_size_t apipool_sniff_form_step(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    switch (s->state) {
    case DELIMITED:
        return step_delimited(s, *data);
    case HEADER:
        return step_header(s, *data);
    case HEADER_END:
        return step_header_end(s, *data);
    case TRAILER:
        return step_trailer(s, data, len);
    default:
        return step_data(s, data, len);
    }
}

void apipool_sniff_form_end(apipool_sniff_t *s)
{
    if (s->state != TRAILER || *s->due == '\n') {
        apipool_sniff_ambiguous(s, "the form has no end");
    }
}
