/* SPDX-License-Identifier: Apache-2.0
 * Reads when to retry from the words of an error message. */
#include "retry_words.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "ascii.h"
#include "retry_after.h"
#include "rfc3339.h"

#define ROWS(table) (sizeof(table) / sizeof(*(table)))

/* What stands before the time, be it a duration or a date. */
static const char *const phrases[] = {
    "try again in ",    /* OpenAI: codel 72; Groq: eliza 4040 */
    "try again after ", /* Vercel's AI gateway, no report found */
    "try again at ",    /* OpenAI's Codex: codex 28089 */
    "retry in ",        /* Gemini's guide to errors */
    "retry after ",     /* Azure: openai-node 1108 */
    "please wait ",     /* membrane/api-gateway 2965 */
    "reset after ",     /* Gemini's Code Assist: gemini-cli 25103 */
    "reset in ",        /* Ollama Cloud: OmniRoute 6731 */
    "reset at ",        /* Zhipu: hermes-agent 103038 */
    "resets in ",       /* Gemini's Code Assist: gemini-cli 29425 */
    "resets at ",       /* OpenAI's Codex, Claude: codex 3465 */
    "resets after ",    /* its like, no report of its own */
    "available in ",    /* read by hermes-agent 103038 as well */
    "请在",             /* please (retry) after: dmxapi, error 163, of Azure */
    "请等待",           /* please wait: no report found */
    "将在",             /* Zhipu in Chinese, will reset at: dirge 818 */
    "将于",             /* the same in other words, no report */
};

#define DATE 19 /* bytes of a date and a time without a zone */

static apr_interval_time_t read_duration(const char *text)
{
    double total = -1, part;
    while ((text = apipool_retry_after_part(text, &part)) != NULL) {
        total = (total < 0 ? 0 : total) + part;
        text += *text == ',';
        text += *text == ' ';
        text += apipool_ascii_begins(text, "and ") ? 4 : 0;
    }
    return total < 0 || total > 1e12 ? -1 : (apr_interval_time_t)(total * 1e6 + 0.5);
}

/* Reads an RFC 3339 time that other words may follow. */
static apr_interval_time_t read_date(const char *text, const char *zone, apr_time_t now)
{
    char date[DATE + sizeof("+08:00")];
    if (strnlen(text, DATE) < DATE) {
        return -1;
    }
    apr_cpystrn(date, text, DATE + 1);
    text += DATE;
    text += *text == '.' ? 1 + strspn(text + 1, "0123456789") : 0;
    if (*text == 'Z' || apipool_ascii_begins(text, " utc") || apipool_ascii_begins(text, " gmt")) {
        zone = "Z";
    }
    else if (*text == '+' || *text == '-') {
        zone = text;
    }
    apr_cpystrn(date + DATE, zone, sizeof(date) - DATE);
    apr_time_t when = apipool_rfc3339_read(date);
    return when > now ? when - now : -1;
}

static apr_interval_time_t read_time(const char *text, const char *zone, apr_time_t now)
{
    text += *text == ' ';
    apr_interval_time_t time = read_duration(text);
    return time < 0 ? read_date(text, zone, now) : time;
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

apr_interval_time_t apipool_retry_words(const char *message, apipool_provider_e provider,
                                        apr_time_t now)
{
    /* Zhipu tells the time of Beijing: model-hotel 955 */
    const char *zone =
        apipool_provider_holds(APIPOOL_OF(APIPOOL_PROVIDER_ZHIPU), provider) ? "+08:00" : "";
    apr_interval_time_t longest = -1;
    for (const char *at = message; *at; at++) {
        for (apr_size_t i = 0; i < ROWS(phrases); i++) {
            if (apipool_ascii_begins(at, phrases[i]) && !is_quoted(message, at)) {
                apr_interval_time_t time = read_time(at + strlen(phrases[i]), zone, now);
                longest = time > longest ? time : longest;
            }
        }
    }
    return longest;
}
