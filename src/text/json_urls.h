/* SPDX-License-Identifier: Apache-2.0
 * Finds the strings of a JSON text that are URLs, as it comes in pieces. */
#ifndef APIPOOL_TEXT_JSON_URLS_H
#define APIPOOL_TEXT_JSON_URLS_H

#include <apr.h>

/** Bytes of the longest string that is looked at, quotes included. */
#define APIPOOL_JSON_URL_MAX 2048

/** Where the reader stands. All 0 at the beginning of a text. */
typedef struct {
    enum { APIPOOL_JSON_OUTSIDE, APIPOOL_JSON_INSIDE, APIPOOL_JSON_URL } at;
    int is_escaped; /* the next character is, of a string */
    apr_size_t len; /* of what is held back: the beginning of a string that may be a URL */
    char held[APIPOOL_JSON_URL_MAX];
} apipool_json_urls_t;

/** What is done with a text. */
typedef struct {
    /** Returns what to write instead of a URL; NULL: leave it. */
    const char *(*map)(void *data, const char *url);
    /** Takes a piece of the text. */
    void (*write)(void *data, const char *text, apr_size_t len);
    void *data;
} apipool_json_urls_to_t;

/** Reads a piece. A string is a URL if it begins with "http" and has neither blanks nor escapes but
 *  that of a slash; such a string is held back until its end is known. */
void apipool_json_urls_feed(apipool_json_urls_t *urls, const char *text, apr_size_t len,
                            const apipool_json_urls_to_t *to);

/** At the end of the text: writes what is held back. */
void apipool_json_urls_finish(apipool_json_urls_t *urls, const apipool_json_urls_to_t *to);

#endif
