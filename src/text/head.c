/* SPDX-License-Identifier: Apache-2.0
 * The head of an answer, line by line: what is dropped of it, and what passes mod_proxy by. */
#include "head.h"

#include <apr_strings.h>
#include <string.h>

#include "ascii.h"

#define ASIDE_MAX 1024 /* bytes of a line; of longer ones mod_proxy may have an opinion */

/* What becomes of a field. What a vendor tells about itself or its customer is dropped, before httpd can
 * pass it on with any status, 101 included, and so are extensions of a WebSocket, for which nobody has
 * asked. What neither mod_proxy nor HTTP has a rule for is set aside, and so is Date, which mod_proxy
 * would only spell differently. */
typedef enum { SHOWN, DROPPED, ASIDE } fate_e;

#define SAME_LETTER_MAX 4
#define IS(text)        text, sizeof(text) - 1

typedef struct {
    const char *name; /* or how it begins; lower case */
    apr_size_t len;
    fate_e fate;
} known_t;

/* By their first letters. */
static const known_t known[][SAME_LETTER_MAX + 1] = {
    ['a' - 'a'] = {{IS("anthropic-"), ASIDE}},
    ['c' - 'a'] = {{IS("cf-"), ASIDE}},
    ['d' - 'a'] = {{IS("date:"), ASIDE}},
    ['o' - 'a'] = {{IS("openai-organization:"), DROPPED}, {IS("openai-"), ASIDE}},
    ['s' - 'a'] = {{IS("set-cookie:"), DROPPED},
                   {IS("set-cookie2:"), DROPPED},
                   {IS("sec-websocket-extensions:"), DROPPED},
                   {IS("server:"), ASIDE}},
    /* mod_proxy drops those that are not as old as a Date it has seen */
    ['w' - 'a'] = {{IS("warning:"), ASIDE}},
    ['x' - 'a'] = {{IS("x-"), ASIDE}},
};

static fate_e fate_of(const char *line, apr_size_t len)
{
    apr_size_t letter = (unsigned char)(*line | 0x20) - (apr_size_t)'a';
    if (letter >= sizeof(known) / sizeof(*known)) {
        return SHOWN;
    }
    for (const known_t *field = known[letter]; field->name; field++) {
        if (len >= field->len && apipool_ascii_begins(line, field->name)) {
            return field->fate;
        }
    }
    return SHOWN;
}

void apipool_head_begin(apipool_head_t *head, apr_pool_t *p)
{
    memset(head, 0, sizeof(*head));
    head->aside = apr_table_make(p, 16);
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* What stands in a line behind its colon, without blanks around it. */
static void trim(const char **value, const char **end)
{
    while (*value < *end && is_blank(**value)) {
        ++*value;
    }
    while (*end > *value && (is_blank((*end)[-1]) || (*end)[-1] == '\r' || (*end)[-1] == '\n')) {
        --*end;
    }
}

/* Behind a name, if it is one as vendors make them; there may be others (RFC 9110 section 5.6.2). */
static const char *skip_name(const char *text, const char *end)
{
    static const char common[256] = {
        ['-'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['_'] = 1, ['a' ... 'z'] = 1};
    while (text < end && common[(unsigned char)*text]) {
        text++;
    }
    return text;
}

/* Whether eight bytes are ASCII without control characters. */
static int are_plain(const char *text)
{
    const apr_uint64_t ones = ~APR_UINT64_C(0) / 255;
    apr_uint64_t word;
    memcpy(&word, text, sizeof(word));
    return !(((word - ones * ' ') | ((word ^ ones * 0x7f) - ones) | word) & (ones * 0x80));
}

/* Whether there are no control characters but tabs. */
static int is_common_value(const char *text, const char *end)
{
    const char *last = end - text >= 8 ? end - 8 : text;
    while (text < last && are_plain(text)) {
        text += 8;
    }
    if (text >= last && end - last >= 8 && are_plain(last)) {
        return 1;
    }
    while (text < end && (*text == '\t' || !apipool_ascii_is_control(*text))) {
        text++;
    }
    return text >= end;
}

/* Only what is spelt as most are: the rest is judged where all of it is. */
static int set_aside(apipool_head_t *head, const char *line, apr_size_t len)
{
    apr_pool_t *p = apr_table_elts(head->aside)->pool;
    const char *end = line + len, *colon = skip_name(line, end);
    if (len > ASIDE_MAX || colon == end || *colon != ':') {
        return 0;
    }
    const char *value = colon + 1;
    trim(&value, &end);
    if (!is_common_value(value, end)) {
        return 0;
    }
    char *name = apr_pstrmemdup(p, line, (apr_size_t)(end - line));
    name[colon - line] = '\0';
    apr_table_addn(head->aside, name, name + (value - line));
    return 1;
}

/* Whether a connection's options are the one that most are, and that names no field. */
static int is_keep_alive(const char *value, const char *end)
{
    static const char text[] = "keep-alive";
    return end - value == sizeof(text) - 1 && !apr_cstr_casecmpn(value, text, sizeof(text) - 1);
}

static void note_options(apipool_head_t *head, const char *value, const char *end)
{
    trim(&value, &end);
    if (!is_keep_alive(value, end)) {
        if (!head->options) {
            head->options = apr_array_make(apr_table_elts(head->aside)->pool, 2, sizeof(char *));
        }
        APR_ARRAY_PUSH(head->options, char *) =
            apr_pstrmemdup(head->options->pool, value, (apr_size_t)(end - value));
    }
}

static void note_connection(apipool_head_t *head, const char *line, apr_size_t len)
{
    static const char name[] = "connection:";
    apr_size_t name_len = sizeof(name) - 1;
    head->in_options = len > name_len && !apr_cstr_casecmpn(line, name, name_len);
    if (head->in_options) {
        note_options(head, line + name_len, line + len);
    }
}

/* "HTTP/1.1 200 ...". After interim answers there is another one. */
static void note_status(apipool_head_t *head, const char *line, apr_size_t len)
{
    static const char version[] = "HTTP/1.1 ";
    apr_size_t at = sizeof(version) - 1;
    int is_status = len > at + 3 && !memcmp(line, version, at - 2) && line[at - 1] == ' ';
    head->in_fields = is_status && line[at] >= '2' && line[at] <= '5';
    head->options = is_status ? NULL : head->options;
    head->switching |= is_status && !memcmp(line, version, at) && !memcmp(line + at, "101", 3);
}

int apipool_head_takes(apipool_head_t *head, const char *line, apr_size_t len, int next)
{
    int continues = head->mid_line || is_blank(*line);
    int whole = !head->mid_line && line[len - 1] == '\n' && next >= 0 && !is_blank((char)next);

    head->bytes += len;
    head->mid_line = line[len - 1] != '\n';
    if (continues) { /* obs-fold (RFC 9112 section 5.2) as well: it goes with the line it continues */
        if (head->in_options) {
            note_options(head, line, line + len);
        }
        return head->dropping;
    }
    head->in_options = 0;
    if (*line == 'H') {
        note_status(head, line, len);
    }
    else if (*line == '\r' || *line == '\n') {
        head->in_fields = 0;
    }
    else if ((*line | 0x20) == 'c') {
        note_connection(head, line, len);
    }
    fate_e fate = fate_of(line, len);
    head->dropping = fate == DROPPED;
    return head->dropping ||
           (fate == ASIDE && whole && head->in_fields && set_aside(head, line, len));
}

void apipool_head_complete(apipool_head_t *head, apr_table_t *fields)
{
    const apr_array_header_t *list = apr_table_elts(head->aside);
    for (int i = 0; head->options && i < head->options->nelts; i++) {
        char *last, *text = APR_ARRAY_IDX(head->options, i, char *);
        for (char *name; (name = apr_strtok(text, ",; \t", &last)); text = NULL) {
            apr_table_unset(head->aside, name);
        }
    }
    for (int i = 0; i < list->nelts; i++) {
        const apr_table_entry_t *field = &APR_ARRAY_IDX(list, i, apr_table_entry_t);
        apr_table_addn(fields, field->key, field->val);
    }
    apr_table_clear(head->aside);
}
