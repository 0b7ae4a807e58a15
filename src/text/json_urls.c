/* SPDX-License-Identifier: Apache-2.0
 * Finds the strings of a JSON text that are URLs, as it comes in pieces. */
#include "json_urls.h"

#include <string.h>

#define OPENING "\"http"

void apipool_json_urls_finish(apipool_json_urls_t *urls, const apipool_json_urls_to_t *to)
{
    if (urls->len) {
        to->write(to->data, urls->held, urls->len);
    }
    urls->len = 0;
}

/* The string that is held back is complete but for its end. */
static void end_url(apipool_json_urls_t *urls, const apipool_json_urls_to_t *to)
{
    char url[APIPOOL_JSON_URL_MAX];
    apr_size_t len = 0;
    for (apr_size_t i = 1; i < urls->len; i++) {
        if (urls->held[i] != '\\') {
            url[len++] = urls->held[i];
        }
    }
    url[len] = '\0';
    const char *mapped = to->map(to->data, url);
    if (mapped) {
        to->write(to->data, "\"", 1);
        to->write(to->data, mapped, strlen(mapped));
        urls->len = 0;
    }
    apipool_json_urls_finish(urls, to);
}

/* Takes one more character of what may be a URL. Returns 0 if it is not of it. */
static int hold(apipool_json_urls_t *urls, char c, const apipool_json_urls_to_t *to)
{
    int is_end = c == '"' && urls->len && !urls->is_escaped;
    if (is_end && urls->len >= sizeof(OPENING) - 1) {
        end_url(urls, to);
    }
    int fits = urls->len < sizeof(urls->held) &&
               (urls->len < sizeof(OPENING) - 1 ? c == OPENING[urls->len]
                                                : c > ' ' && (!urls->is_escaped || c == '/'));
    if (is_end || !fits) {
        apipool_json_urls_finish(urls, to);
        return 0;
    }
    urls->is_escaped = c == '\\';
    urls->held[urls->len++] = c;
    return 1;
}

/* Passes a character by. What follows a quote may be a URL. */
static void pass(apipool_json_urls_t *urls, char c)
{
    if (urls->at == APIPOOL_JSON_OUTSIDE) {
        urls->at = c == '"' ? APIPOOL_JSON_URL : APIPOOL_JSON_OUTSIDE;
    }
    else if (urls->is_escaped) {
        urls->is_escaped = 0;
    }
    else {
        urls->is_escaped = c == '\\';
        urls->at = c == '"' ? APIPOOL_JSON_OUTSIDE : APIPOOL_JSON_INSIDE;
    }
}

void apipool_json_urls_feed(apipool_json_urls_t *urls, const char *text, apr_size_t len,
                            const apipool_json_urls_to_t *to)
{
    const char *from = text, *end = text + len;
    for (const char *c = text; c < end; c++) {
        if (urls->at == APIPOOL_JSON_URL) {
            if (hold(urls, *c, to)) {
                continue;
            }
            urls->at = APIPOOL_JSON_INSIDE;
            from = c;
        }
        pass(urls, *c);
        if (urls->at == APIPOOL_JSON_URL) { /* the quote is held with what follows */
            to->write(to->data, from, (apr_size_t)(c - from));
            urls->held[0] = *c;
            urls->len = 1;
        }
    }
    if (urls->at != APIPOOL_JSON_URL && from < end) {
        to->write(to->data, from, (apr_size_t)(end - from));
    }
}
