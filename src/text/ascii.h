/* SPDX-License-Identifier: Apache-2.0
 * Locale-independent classes and cases of ASCII characters; no byte above 127 is in any class. */
#ifndef APIPOOL_TEXT_ASCII_H
#define APIPOOL_TEXT_ASCII_H

#include <apr_cstr.h>
#include <string.h>

static inline char apipool_ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline char apipool_ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c & ~0x20) : c;
}

static inline int apipool_ascii_is_alpha(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline int apipool_ascii_is_alnum(char c)
{
    return apipool_ascii_is_alpha(c) || (c >= '0' && c <= '9');
}

/** ASCII white space. */
static inline int apipool_ascii_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/** Blanks of JSON and of header fields: space, tab, CR, LF. */
static inline int apipool_ascii_is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static inline const char *apipool_ascii_skip_space(const char *p, const char *end)
{
    while (p < end && apipool_ascii_is_space(*p)) {
        p++;
    }
    return p;
}

/** Finds the quote that ends a string of JSON, the first one after an even number of backslashes;
 *  NULL if there is none. */
static inline const char *apipool_ascii_string_end(const char *text, const char *end)
{
    const char *quote;
    for (; (quote = (const char *)memchr(text, '"', (apr_size_t)(end - text))) != NULL;
         text = quote + 1) {
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

static inline int apipool_ascii_is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/** Tests whether a text, in any case, begins with a lower-case word. Reads no further than the
 *  first difference. */
static inline int apipool_ascii_begins(const char *text, const char *word)
{
    while (*word && apipool_ascii_lower(*text) == *word) {
        text++;
        word++;
    }
    return !*word;
}

/** Finds the first occurrence of a word in a text, in any case; NULL if there is none. */
static inline const char *apipool_ascii_find(const char *text, const char *word)
{
    apr_size_t len = strlen(word);
    while (*text && apr_cstr_casecmpn(text, word, len)) {
        text++;
    }
    return *text ? text : NULL;
}

#endif
