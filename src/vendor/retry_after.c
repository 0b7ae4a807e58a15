/* SPDX-License-Identifier: Apache-2.0
 * Reads when a rate limit ends, in every format that vendors use. */
#include "retry_after.h"

#include <apr_date.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "ascii.h"
#include "rfc3339.h"

#define SHORTEST_FIELD 8 /* shortest name, in bytes, of a field about a limit */
#define LONGEST_FIELD  64

/* Reads a decimal number; strtod would also accept hex, "inf" and a locale's comma. */
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

apr_interval_time_t apipool_retry_after_duration(const char *text)
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

static apr_time_t after(apr_time_t now, apr_interval_time_t interval)
{
    return interval < 0 ? 0 : now + interval;
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
    apr_interval_time_t interval = apipool_retry_after_duration(value);
    return interval >= 0 ? after(now, interval) : apipool_rfc3339_read(value);
}

static const char *skip_space(const char *text)
{
    return apipool_ascii_skip_space(text, text + strlen(text));
}

/* Returns the time if it is in the future and not too far ahead, else 0. */
static apr_time_t valid(apr_time_t when, apr_time_t now)
{
    return when > now && when <= now + APIPOOL_RETRY_AFTER_MAX ? when : 0;
}

apr_time_t apipool_retry_after_reset(const char *text, apr_time_t now)
{
    return valid(reset_time(skip_space(text), now), now);
}

static apr_time_t retry_time(const char *value, int is_milliseconds, apr_time_t now)
{
    double number;
    value = skip_space(value);
    const char *end = read_number(value, &number);
    if (end && *end == '\0') {
        return after(now, seconds_to_interval(is_milliseconds ? number / 1000 : number));
    }
    return is_milliseconds ? 0 : apr_date_parse_http(value);
}

apr_time_t apipool_retry_after_field(const apr_table_t *headers, apipool_provider_e provider,
                                     apr_time_t now)
{
    apr_size_t count;
    const apipool_retry_field_t *fields = apipool_provider_retry_fields(&count);
    apr_time_t latest = 0;
    for (apr_size_t i = 0; i < count; i++) {
        const char *value = apipool_provider_holds(fields[i].vendors, provider)
                                ? apr_table_get(headers, fields[i].name)
                                : NULL;
        apr_time_t when = value ? valid(retry_time(value, fields[i].is_milliseconds, now), now) : 0;
        latest = when > latest ? when : latest;
    }
    return latest;
}

/* The fields of one rate limit in an answer. */
typedef struct {
    const char *limit, *remaining, *reset;
} reading_t;

static int is_named(const apipool_field_name_t *field, const char *lower, apr_size_t len)
{
    return field->len == len && len && !memcmp(field->text, lower, len);
}

static void set_first(const char **slot, const char *value)
{
    if (!*slot) {
        *slot = skip_space(value);
    }
}

/* Converts to lower case, eight bytes at a time. Other characters may change, but never into one of
 * a limit's name. */
static void fold(char *to, const char *name, apr_size_t len)
{
    const apr_uint64_t blanks = ~APR_UINT64_C(0) / 255 * ' ';
    apr_uint64_t word;
    for (apr_size_t i = 0, last = len - sizeof(word); i < len; i += sizeof(word)) {
        apr_size_t at = i < last ? i : last;
        memcpy(&word, name + at, sizeof(word));
        word |= blanks;
        memcpy(to + at, &word, sizeof(word));
    }
}

static void read_field(const apipool_limit_fields_t *limits, apr_size_t count,
                       apipool_provider_e provider, const apr_table_entry_t *field,
                       reading_t *readings)
{
    char name[LONGEST_FIELD];
    apr_size_t len = strlen(field->key);
    if (len < SHORTEST_FIELD || len > LONGEST_FIELD) {
        return;
    }
    fold(name, field->key, len);
    for (apr_size_t i = 0; i < count; i++) {
        const char **slot = !apipool_provider_holds(limits[i].vendors, provider) ? NULL
                            : is_named(&limits[i].limit, name, len)     ? &readings[i].limit
                            : is_named(&limits[i].remaining, name, len) ? &readings[i].remaining
                            : is_named(&limits[i].reset, name, len)     ? &readings[i].reset
                                                                        : NULL;
        if (slot) { /* no name is in two rows */
            set_first(slot, field->val);
            return;
        }
    }
}

/* Rules out most fields. */
static int may_be_limit(const char *name)
{
    return apipool_ascii_begins(name, "x-ratelimit") || apipool_ascii_begins(name, "ratelimit") ||
           apipool_ascii_begins(name, "anthropic-ratelimit");
}

static apr_size_t read_limits(const apr_table_t *headers, apipool_provider_e provider,
                              reading_t readings[APIPOOL_LIMITS_MAX])
{
    apr_size_t count;
    const apipool_limit_fields_t *limits = apipool_provider_limits(&count);
    const apr_array_header_t *fields = apr_table_elts(headers);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)fields->elts;

    int found = 0;
    for (int i = 0; i < fields->nelts; i++) {
        if (entries[i].key && entries[i].val && may_be_limit(entries[i].key)) {
            if (!found++) {
                memset(readings, 0, count * sizeof(*readings));
            }
            read_field(limits, count, provider, &entries[i], readings);
        }
    }
    return found ? count : 0;
}

/* Reads a count; a gateway may list further windows after it: "100, 100;w=60". Returns -1 if there
 * is none. */
static double read_count(const char *text)
{
    double number;
    const char *end = text ? read_number(text, &number) : NULL;
    int ends = end && (*end == '\0' || *end == ',' || *end == ';' || apipool_ascii_is_space(*end));
    return ends && number < 1e15 ? number : -1;
}

apr_time_t apipool_retry_after_headers(const apr_table_t *headers, apipool_provider_e provider,
                                       apr_time_t now)
{
    reading_t readings[APIPOOL_LIMITS_MAX];
    apr_size_t count = read_limits(headers, provider, readings);
    apr_time_t latest = apipool_retry_after_field(headers, provider, now);
    for (apr_size_t i = 0; i < count; i++) {
        if (readings[i].reset && read_count(readings[i].remaining) <= 0) {
            apr_time_t when = apipool_retry_after_reset(readings[i].reset, now);
            latest = when > latest ? when : latest;
        }
    }
    return latest;
}

/* Returns when a reading expires; 0 if it has already. */
static apr_time_t reading_end(const reading_t *reading, apr_time_t now)
{
    if (!reading->reset) {
        return now + apr_time_from_sec(60);
    }
    apr_time_t end = reset_time(reading->reset, now);
    if (end > now + APIPOOL_RETRY_AFTER_MAX) {
        return now + APIPOOL_RETRY_AFTER_MAX;
    }
    return end > now ? end : 0;
}

double apipool_retry_after_headroom(const apr_table_t *headers, apipool_provider_e provider,
                                    apr_time_t now, apr_time_t *until)
{
    reading_t readings[APIPOOL_LIMITS_MAX];
    apr_size_t count = read_limits(headers, provider, readings);
    double least = -1;

    *until = 0;
    for (apr_size_t i = 0; i < count; i++) {
        double limit = read_count(readings[i].limit), left = read_count(readings[i].remaining);
        if (limit <= 0 || left < 0) {
            continue;
        }
        double share = left < limit ? left / limit : 1;
        apr_time_t end = reading_end(&readings[i], now);
        if (end && (least < 0 || share < least || (share == least && end > *until))) {
            least = share;
            *until = end;
        }
    }
    return least;
}

/* Returns 0:00 UTC of the first Sunday on or after a day of the month. */
static apr_time_t sunday(int year, int month, int day)
{
    apr_time_exp_t date = {.tm_year = year, .tm_mon = month, .tm_mday = day};
    apr_time_t midnight;
    apr_time_exp_gmt_get(&midnight, &date);
    apr_int64_t days = apr_time_sec(midnight) / 86400; /* 1 January 1970 was a Thursday */
    return apr_time_from_sec((days + (10 - days % 7) % 7) * 86400);
}

/* From 2 a.m. on the second Sunday in March until 2 a.m. on the first Sunday in November: 15 U.S.C.
 * 260a. */
static apr_interval_time_t pacific_offset(apr_time_t when)
{
    apr_time_exp_t date;
    apr_time_exp_gmt(&date, when);
    apr_time_t start = sunday(date.tm_year, 2, 8) + apr_time_from_sec(10 * 3600);
    apr_time_t end = sunday(date.tm_year, 10, 1) + apr_time_from_sec(9 * 3600);
    return apr_time_from_sec(when >= start && when < end ? -7 * 3600 : -8 * 3600);
}

apr_time_t apipool_retry_after_pacific_midnight(apr_time_t now)
{
    const apr_time_t day = apr_time_from_sec(86400);
    apr_interval_time_t offset = pacific_offset(now);
    apr_time_t midnight = ((now + offset) / day + 1) * day - offset;
    return midnight + offset - pacific_offset(midnight);
}
