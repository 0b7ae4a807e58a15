/* SPDX-License-Identifier: Apache-2.0
 * Classes and cases of ASCII characters, whatever the locale: no byte above 127 belongs to any. */
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

/** Blanks, and what moves to another column or line. */
static inline int apipool_ascii_is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline int apipool_ascii_is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7f;
}

/** Whether a text, in any case, begins with a word of small letters. Looks no further than the first
 *  difference. */
static inline int apipool_ascii_begins(const char *text, const char *word)
{
    while (*word && apipool_ascii_lower(*text) == *word) {
        text++;
        word++;
    }
    return !*word;
}

/** The first place of a word in a text, in any case; NULL: there is none. */
static inline const char *apipool_ascii_find(const char *text, const char *word)
{
    apr_size_t len = strlen(word);
    while (*text && apr_cstr_casecmpn(text, word, len)) {
        text++;
    }
    return *text ? text : NULL;
}

#endif
