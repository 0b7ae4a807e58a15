/* SPDX-License-Identifier: Apache-2.0
 * Reads when to retry from the words of an error message. */
#include "retry_words.h"

#include <apr.h>
#include <apr_lib.h>
#include <string.h>

#include "ascii.h"

#define ROWS(table) (sizeof(table) / sizeof(*(table)))

/* What stands before the time. Sources: messages in public issue trackers. */
static const char *const phrases[] = {
    "try again in ",    /* OpenAI, Groq, Azure */
    "try again after ", /* gateways */
    "retry in ",        /* Gemini */
    "retry after ",     /* Azure */
    "reset after ",     /* Gemini's Code Assist */
    "reset in ",        /* the same */
    "resets in ",       /* the same */
    "resets after ",    "available in ",
};

/* The longest spelling of a unit comes first. */
static const struct {
    const char *unit;
    apr_interval_time_t length; /* in us */
} units[] = {
    {"milliseconds", 1000},
    {"millisecond", 1000},
    {"ms", 1000},
    {"minutes", 60000000},
    {"minute", 60000000},
    {"mins", 60000000},
    {"min", 60000000},
    {"m", 60000000},
    {"seconds", 1000000},
    {"second", 1000000},
    {"secs", 1000000},
    {"sec", 1000000},
    {"s", 1000000},
    {"hours", APR_INT64_C(3600000000)},
    {"hour", APR_INT64_C(3600000000)},
    {"hrs", APR_INT64_C(3600000000)},
    {"hr", APR_INT64_C(3600000000)},
    {"h", APR_INT64_C(3600000000)},
    {"days", APR_INT64_C(86400000000)},
    {"day", APR_INT64_C(86400000000)},
    {"d", APR_INT64_C(86400000000)},
};

/* Reads "2h", "1.5 seconds" or "3 minutes, "; returns NULL if it is none of these. */
static const char *read_part(const char *text, apr_interval_time_t *length)
{
    char digits[12];
    apr_size_t len = strspn(text, "0123456789.");
    if (!apr_isdigit(*text) || len >= sizeof(digits)) {
        return NULL;
    }
    double number = 0, scale = 0;
    for (apr_size_t i = 0; i < len; i++) {
        scale = text[i] == '.' ? 1 : scale / 10;
        number = text[i] == '.' ? number
                 : scale > 0    ? number + scale * (text[i] - '0')
                                : number * 10 + (text[i] - '0');
    }
    text += len;
    text += *text == ' ';
    for (apr_size_t i = 0; i < ROWS(units); i++) {
        const char *end = text + strlen(units[i].unit);
        if (apipool_ascii_begins(text, units[i].unit) && !apipool_ascii_is_alpha(*end)) {
            *length = (apr_interval_time_t)(number * (double)units[i].length);
            return end;
        }
    }
    return NULL;
}

static apr_interval_time_t read_time(const char *text)
{
    apr_interval_time_t total = -1, part = 0;
    while ((text = read_part(text, &part)) != NULL) {
        total = (total < 0 ? 0 : total) + part;
        text += *text == ',';
        text += *text == ' ';
        text += apipool_ascii_begins(text, "and ") ? 4 : 0;
    }
    return total;
}

/* Tests whether a place lies behind an odd number of quotation marks. An apostrophe is none. */
static int is_quoted(const char *text, const char *place)
{
    int quotes = 0, singles = 0;
    for (const char *at = text; at < place; at++) {
        int in_word = at > text && apipool_ascii_is_alpha(at[-1]) && apipool_ascii_is_alpha(at[1]);
        quotes += *at == '"' || *at == '`';
        singles += *at == '\'' && !in_word;
        quotes += !strncmp(at, "\xe2\x80\x9c", 3) || !strncmp(at, "\xe2\x80\x9d", 3);
    }
    return quotes % 2 || singles % 2;
}

apr_interval_time_t apipool_retry_words(const char *message)
{
    apr_interval_time_t longest = -1;
    for (const char *at = message; *at; at++) {
        for (apr_size_t i = 0; i < ROWS(phrases); i++) {
            if (apipool_ascii_begins(at, phrases[i]) && !is_quoted(message, at)) {
                apr_interval_time_t time = read_time(at + strlen(phrases[i]));
                longest = time > longest ? time : longest;
            }
        }
    }
    return longest;
}
