/* SPDX-License-Identifier: Apache-2.0
 * When an upstream says a rate limit ends: parses every form that vendors use. */
#include "when.h"

#include <apr_date.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    FORM_SECONDS_OR_DATE, /* Retry-After */
    FORM_MILLISECONDS,    /* a count from now */
    FORM_RESET            /* duration, epoch in s or ms, RFC 3339 */
} form_e;

/* One row per field that names a time. "remaining" is the field that tells whether that limit is the
 * one that was hit. Sources: RFC 9110; OpenAI, Azure, Anthropic and OpenRouter rate-limit guides. */
static const struct {
    const char *field;
    form_e form;
    const char *remaining;
} fields[] = {
    {"Retry-After", FORM_SECONDS_OR_DATE, NULL},
    {"retry-after-ms", FORM_MILLISECONDS, NULL},
    {"x-ms-retry-after-ms", FORM_MILLISECONDS, NULL},
    {"x-ratelimit-reset-requests", FORM_RESET, "x-ratelimit-remaining-requests"},
    {"x-ratelimit-reset-tokens", FORM_RESET, "x-ratelimit-remaining-tokens"},
    {"x-ratelimit-reset", FORM_RESET, "x-ratelimit-remaining"},
    {"anthropic-ratelimit-requests-reset", FORM_RESET, "anthropic-ratelimit-requests-remaining"},
    {"anthropic-ratelimit-tokens-reset", FORM_RESET, "anthropic-ratelimit-tokens-remaining"},
    {"anthropic-ratelimit-input-tokens-reset", FORM_RESET,
     "anthropic-ratelimit-input-tokens-remaining"},
    {"anthropic-ratelimit-output-tokens-reset", FORM_RESET,
     "anthropic-ratelimit-output-tokens-remaining"},
};

/* Reads a decimal number; strtod would also take hex, "inf" and a locale's comma. */
static const char *read_number(const char *text, double *value)
{
    const char *start = text;
    double scale = 1;
    *value = 0;
    while (apr_isdigit(*text)) {
        *value = *value * 10 + (*text++ - '0');
    }
    if (*text == '.') {
        text++;
        while (apr_isdigit(*text)) {
            scale /= 10;
            *value += scale * (*text++ - '0');
        }
    }
    return text == start || (text == start + 1 && *start == '.') ? NULL : text;
}

static apr_interval_time_t seconds_to_interval(double seconds)
{
    return seconds > 1e12 ? -1 : (apr_interval_time_t)(seconds * 1e6);
}

apr_interval_time_t apipool_when_duration(const char *text)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"ms", 0.001}, {"us", 0.000001}, {"h", 3600}, {"m", 60}, {"s", 1}, {"d", 86400}};
    double total = 0;

    do {
        double value;
        text = read_number(text, &value);
        if (!text) {
            return -1;
        }
        if (*text == '\0') {
            return seconds_to_interval(total + value);
        }
        apr_size_t i = 0;
        while (i < sizeof(units) / sizeof(*units) &&
               strncmp(text, units[i].unit, strlen(units[i].unit))) {
            i++;
        }
        if (i == sizeof(units) / sizeof(*units)) {
            return -1;
        }
        total += value * units[i].seconds;
        text += strlen(units[i].unit);
    } while (*text);
    return seconds_to_interval(total);
}

static int two_digits(const char *text)
{
    return apr_isdigit(text[0]) && apr_isdigit(text[1]) ? (text[0] - '0') * 10 + text[1] - '0' : -1;
}

/* "Z" or "+08:00" and nothing behind it. */
static int read_offset(const char *text, apr_int32_t *seconds)
{
    if (*text == 'Z' || *text == 'z') {
        return text[1] == '\0';
    }
    if ((*text != '+' && *text != '-') || two_digits(text + 1) < 0 || text[3] != ':' ||
        two_digits(text + 4) < 0 || text[6] != '\0') {
        return 0;
    }
    *seconds = (two_digits(text + 1) * 60 + two_digits(text + 4)) * (*text == '-' ? -60 : 60);
    return 1;
}

/* RFC 3339 section 5.6, with 'Z' or a numeric offset; 0 when malformed. */
static apr_time_t rfc3339(const char *text)
{
    apr_time_exp_t when;
    apr_time_t result;

    if (strlen(text) < 20 || text[4] != '-' || text[7] != '-' ||
        (text[10] != 'T' && text[10] != 't' && text[10] != ' ') || text[13] != ':' ||
        text[16] != ':' || two_digits(text) < 19) {
        return 0;
    }
    memset(&when, 0, sizeof(when));
    when.tm_year = two_digits(text) * 100 + two_digits(text + 2) - 1900;
    when.tm_mon = two_digits(text + 5) - 1;
    when.tm_mday = two_digits(text + 8);
    when.tm_hour = two_digits(text + 11);
    when.tm_min = two_digits(text + 14);
    when.tm_sec = two_digits(text + 17);
    if (two_digits(text + 2) < 0 || when.tm_mon < 0 || when.tm_mon > 11 || when.tm_mday < 1 ||
        when.tm_mday > 31 || when.tm_hour < 0 || when.tm_hour > 23 || when.tm_min < 0 ||
        when.tm_min > 59 || when.tm_sec < 0 || when.tm_sec > 60) {
        return 0;
    }
    text += 19;
    if (*text == '.') {
        apr_int32_t digit = 100000;
        while (apr_isdigit(*++text)) {
            when.tm_usec += digit * (*text - '0');
            digit /= 10;
        }
    }
    if (!read_offset(text, &when.tm_gmtoff)) {
        return 0;
    }
    return apr_time_exp_gmt_get(&result, &when) == APR_SUCCESS ? result : 0;
}

static apr_time_t after(apr_time_t now, apr_interval_time_t interval)
{
    return interval < 0 || interval > APIPOOL_WHEN_MAX ? 0 : now + interval;
}

static apr_time_t reset_time(const char *value, apr_time_t now)
{
    double number;
    const char *end = read_number(value, &number);
    if (end && *end == '\0') {
        if (number > 1e14) {
            return 0;
        }
        if (number > 1e11) {
            return (apr_time_t)(number * 1000); /* epoch in milliseconds */
        }
        if (number > 1e9) {
            return (apr_time_t)(number * 1e6); /* epoch in seconds */
        }
    }
    apr_interval_time_t interval = apipool_when_duration(value);
    return interval >= 0 ? after(now, interval) : rfc3339(value);
}

static apr_time_t field_time(form_e form, const char *value, apr_time_t now)
{
    double number;
    const char *end;

    while (apr_isspace(*value)) {
        value++;
    }
    end = read_number(value, &number);
    int plain = end && *end == '\0';
    switch (form) {
    case FORM_SECONDS_OR_DATE:
        return plain ? after(now, seconds_to_interval(number)) : apr_date_parse_http(value);
    case FORM_MILLISECONDS:
        return plain ? after(now, seconds_to_interval(number / 1000)) : 0;
    case FORM_RESET:
        return reset_time(value, now);
    }
    return 0;
}

apr_time_t apipool_when_headers(const apr_table_t *headers, apr_time_t now)
{
    apr_time_t latest = 0;
    for (apr_size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const char *value = apr_table_get(headers, fields[i].field);
        if (!value) {
            continue;
        }
        const char *remaining =
            fields[i].remaining ? apr_table_get(headers, fields[i].remaining) : NULL;
        if (remaining && atof(remaining) > 0) {
            continue;
        }
        apr_time_t when = field_time(fields[i].form, value, now);
        if (when > now && when <= now + APIPOOL_WHEN_MAX && when > latest) {
            latest = when;
        }
    }
    return latest;
}
