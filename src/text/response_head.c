/* SPDX-License-Identifier: Apache-2.0
 * The head of an HTTP/1 response, taken apart in place. */
#include "response_head.h"

#include <string.h>

#include "ascii.h"

static const char version[] = "HTTP/1.";
#define VERSION_LEN (sizeof(version) - 1)
#define STATUS_AT   (VERSION_LEN + 2) /* "HTTP/1.1 200" */

int apipool_response_head_is_http(const char *text, apr_size_t len)
{
    return !memcmp(text, version, len < VERSION_LEN ? len : VERSION_LEN);
}

char *apipool_response_head_end(char *text, apr_size_t len, apr_size_t from)
{
    char *end = text + len;
    char *at = text + (from > 2 ? from - 2 : 0);
    while ((at = memchr(at, '\n', (apr_size_t)(end - at)))) {
        at++;
        if (at < end && *at == '\n') {
            return at + 1;
        }
        if (end - at > 1 && at[0] == '\r' && at[1] == '\n') {
            return at + 2;
        }
    }
    return NULL;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Skips eight bytes at a time that are no control characters. */
static char *skip_clean(char *text, const char *end)
{
    const apr_uint64_t ones = ~APR_UINT64_C(0) / 255;
    for (; end - text >= 8; text += 8) {
        apr_uint64_t word, deleted;
        memcpy(&word, text, sizeof(word));
        deleted = word ^ (ones * 0x7f);
        if ((((word - ones * 0x20) & ~word) | ((deleted - ones) & ~deleted)) & (ones * 0x80)) {
            break;
        }
    }
    return text;
}

/* Control characters, a tab apart, become blanks; the text ends in a zero. */
static void clean(char *text, char *end)
{
    *end = '\0';
    for (text = skip_clean(text, end); text < end; text++) {
        if (apipool_ascii_is_control(*text) && *text != '\t') {
            *text = ' ';
        }
    }
}

/* Where a line ends before its line feed, which there must be. */
static char *line_end(const char *line, char *feed)
{
    return feed > line && feed[-1] == '\r' ? feed - 1 : feed;
}

int apipool_response_head_status(char **at, char *end, apipool_status_line_t *line)
{
    char *text = *at, *feed = memchr(text, '\n', (apr_size_t)(end - text));
    char *status = text + STATUS_AT;
    if (!feed || line_end(text, feed) - status < 3 ||
        !apipool_response_head_is_http(text, VERSION_LEN) || !is_digit(text[VERSION_LEN]) ||
        text[VERSION_LEN + 1] != ' ' || status[0] < '1' || !is_digit(status[0]) ||
        !is_digit(status[1]) || !is_digit(status[2])) {
        return 0;
    }
    char *after = line_end(text, feed);
    *at = feed + 1;
    line->minor = text[VERSION_LEN] - '0';
    line->status = (status[0] - '0') * 100 + (status[1] - '0') * 10 + status[2] - '0';
    line->text = status;
    if (after == status + 3 &&
        after < feed) { /* room for the blank that must follow: the line's CR */
        *after++ = ' ';
    }
    else if (after == status + 3) { /* moved to the left, over the blank before it */
        line->text = memmove(status - 1, status, 3);
        after[-1] = ' ';
    }
    clean(status, after);
    return line->text[3] == ' ';
}

/* Joins the lines that continue a field to it, with a blank between (RFC 9112 section 5.2).
 * Returns the line feed that ends the last of them, and where the joined line ends. */
static char *unfold(char *line, char *end, char **joined)
{
    char *feed = memchr(line, '\n', (apr_size_t)(end - line));
    *joined = feed ? line_end(line, feed) : NULL;
    while (feed && feed + 1 < end && is_blank(feed[1])) {
        char *more = feed + 1;
        while (more < end && is_blank(*more)) {
            more++;
        }
        feed = memchr(more, '\n', (apr_size_t)(end - more));
        if (feed) {
            apr_size_t len = (apr_size_t)(line_end(more, feed) - more);
            *(*joined)++ = ' ';
            memmove(*joined, more, len);
            *joined += len;
        }
    }
    return feed;
}

/* Behind a token (RFC 9110 section 5.6.2). A line feed, or a blank of a joined line, ends it. */
static char *skip_token(char *text)
{
    static const char is_token[256] = {
        ['!'] = 1,         ['#' ... '\''] = 1, ['*'] = 1,         ['+'] = 1, ['-'] = 1, ['.'] = 1,
        ['0' ... '9'] = 1, ['A' ... 'Z'] = 1,  ['^' ... 'z'] = 1, ['|'] = 1, ['~'] = 1};
    while (is_token[(unsigned char)*text]) {
        text++;
    }
    return text;
}

int apipool_response_head_field(char **at, char *end, char **name, char **value)
{
    char *line = *at;
    char *last, *feed = line < end ? unfold(line, end, &last) : NULL;
    if (!feed) {
        return -1;
    }
    *at = feed + 1;
    if (last == line) {
        return 0;
    }
    char *name_end = skip_token(line), *colon = name_end;
    while (colon < last && is_blank(*colon)) { /* a proxy removes them (RFC 9112 section 5.1) */
        colon++;
    }
    if (name_end == line || colon == last || *colon != ':') {
        return -1;
    }
    char *text = colon + 1;
    while (text < last && is_blank(*text)) {
        text++;
    }
    while (last > text && is_blank(last[-1])) {
        last--;
    }
    *name_end = '\0';
    clean(text, last);
    *name = line;
    *value = text;
    return 1;
}
