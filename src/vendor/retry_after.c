/* SPDX-License-Identifier: Apache-2.0
 * Reads when a rate limit ends, in every format that vendors use. */
#include "retry_after.h"

#include <apr_date.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "ascii.h"
#include "rate_limit.h"
#include "rfc3339.h"

#define SHORTEST_FIELD 8 /* shortest name, in bytes, of a field about a limit */
#define LONGEST_FIELD  64
#define LONGEST_TIME   40 /* in a list of several */
#define UNTOLD         60 /* seconds that a reading holds if its reset is not told */

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

/* The longest spelling of a unit comes first. */
static const struct {
    const char *unit;
    double seconds;
} units[] = {
    {"milliseconds", 0.001},
    {"millisecond", 0.001},
    {"ms", 0.001},
    {"us", 0.000001},
    {"minutes", 60},
    {"minute", 60},
    {"mins", 60},
    {"min", 60},
    {"m", 60},
    {"seconds", 1},
    {"second", 1},
    {"secs", 1},
    {"sec", 1},
    {"s", 1},
    {"hours", 3600},
    {"hour", 3600},
    {"hrs", 3600},
    {"hr", 3600},
    {"h", 3600},
    {"days", 86400},
    {"day", 86400},
    {"d", 86400},
    {"毫秒", 0.001}, /* millisecond */
    {"秒", 1},       /* second */
    {"分", 60},      /* minute, with or without 钟 */
    {"小时", 3600},  /* hour */
    {"天", 86400},   /* day */
};

const char *apipool_retry_after_part(const char *text, double *seconds)
{
    text = read_number(text, seconds);
    text = text && *text == ' ' ? text + 1 : text;
    for (apr_size_t i = 0; text && i < sizeof(units) / sizeof(*units); i++) {
        const char *end = text + strlen(units[i].unit);
        if (apipool_ascii_begins(text, units[i].unit) && !apipool_ascii_is_alpha(*end)) {
            *seconds *= units[i].seconds;
            return end;
        }
    }
    return NULL;
}

apr_interval_time_t apipool_retry_after_duration(const char *text)
{
    double total = 0;
    do {
        double seconds;
        const char *end = apipool_retry_after_part(text, &seconds);
        if (!end) { /* the last may be a bare number */
            end = read_number(text, &seconds);
            if (!end || *end) {
                return -1;
            }
        }
        total += seconds;
        text = end;
    } while (*text);
    return seconds_to_interval(total);
}

/* Reads a number as an epoch in s, ms or us. Smaller ones are no epoch: they, and absurd ones, give
 * 0. */
static apr_time_t epoch(double number)
{
    return number >= 1e17   ? 0
           : number >= 1e14 ? (apr_time_t)number
           : number >= 1e11 ? (apr_time_t)(number * 1e3)
           : number >= 1e9  ? (apr_time_t)(number * 1e6)
                            : 0;
}

apr_time_t apipool_retry_after_date(const char *text)
{
    double number;
    const char *end = read_number(text, &number);
    if (end && *end == '\0') {
        return epoch(number);
    }
    apr_time_t date = apipool_rfc3339_read(text);
    return date ? date : apr_date_parse_http(text);
}

static apr_time_t reset_time(const char *value, apr_time_t now)
{
    apr_time_t date = apipool_retry_after_date(value);
    apr_interval_time_t interval = date ? -1 : apipool_retry_after_duration(value);
    return date ? date : interval < 0 ? 0 : now + interval;
}

static const char *skip_space(const char *text)
{
    return apipool_ascii_skip_space(text, text + strlen(text));
}

/* Returns the time if it is in the future, at most a day ahead; else 0. */
static apr_time_t valid(apr_time_t when, apr_time_t now)
{
    apr_time_t last = now + APIPOOL_RETRY_AFTER_MAX;
    return when <= now ? 0 : when < last ? when : last;
}

static apr_time_t milliseconds_time(const char *value, apr_time_t now)
{
    double number;
    const char *end = read_number(value, &number);
    return !end || *end     ? 0
           : number >= 1e11 ? epoch(number)
                            : now + seconds_to_interval(number / 1000);
}

static apr_time_t later(apr_time_t a, apr_time_t b)
{
    return a > b ? a : b;
}

/* Reads one time, or the latest of several: proxies join repeated fields with commas. */
static apr_time_t latest_of(const char *value, int is_milliseconds, apr_time_t now)
{
    apr_time_t (*read)(const char *, apr_time_t) = is_milliseconds ? milliseconds_time : reset_time;
    char item[LONGEST_TIME];
    value = skip_space(value);
    apr_time_t whole = read(value, now), latest = valid(whole, now);
    while (!whole && *value) {
        apr_size_t len = strcspn(value, ",");
        if (len < sizeof(item)) {
            apr_cpystrn(item, value, len + 1);
            apr_collapse_spaces(item, item);
            latest = later(latest, valid(read(item, now), now));
        }
        value += len + (value[len] == ',');
    }
    return latest;
}

apr_time_t apipool_retry_after_in(apr_interval_time_t interval, apr_time_t now)
{
    return interval < APIPOOL_RETRY_AFTER_MAX ? valid(now + interval, now)
                                              : now + APIPOOL_RETRY_AFTER_MAX;
}

apr_time_t apipool_retry_after_reset(const char *text, apr_time_t now)
{
    return latest_of(text, 0, now);
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
        latest = value ? later(latest, latest_of(value, fields[i].is_milliseconds, now)) : latest;
    }
    return latest;
}

/* The fields of one rate limit in an answer. */
typedef struct {
    const char *limit, *remaining, *reset;
} reading_t;

/* What an answer's fields say: one reading for each row of the table, and the draft's fields. */
typedef struct {
    apr_size_t count; /* 0: none was found */
    reading_t rows[APIPOOL_LIMITS_MAX];
    const char *draft, *policy;
} readings_t;

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
                       readings_t *readings)
{
    static const apipool_field_name_t draft = {"ratelimit", 9}, policy = {"ratelimit-policy", 16};
    char name[LONGEST_FIELD];
    apr_size_t len = strlen(field->key);
    if (len < SHORTEST_FIELD || len > LONGEST_FIELD) {
        return;
    }
    fold(name, field->key, len);
    readings->draft = is_named(&draft, name, len) ? field->val : readings->draft;
    readings->policy = is_named(&policy, name, len) ? field->val : readings->policy;
    for (apr_size_t i = 0; i < count; i++) {
        reading_t *row = &readings->rows[i];
        const char **slot = !apipool_provider_holds(limits[i].vendors, provider) ? NULL
                            : is_named(&limits[i].limit, name, len)              ? &row->limit
                            : is_named(&limits[i].remaining, name, len)          ? &row->remaining
                            : is_named(&limits[i].reset, name, len)              ? &row->reset
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

static void read_limits(const apr_table_t *headers, apipool_provider_e provider,
                        readings_t *readings)
{
    apr_size_t count;
    const apipool_limit_fields_t *limits = apipool_provider_limits(&count);
    const apr_array_header_t *fields = apr_table_elts(headers);
    const apr_table_entry_t *entries = (const apr_table_entry_t *)fields->elts;

    readings->count = 0;
    readings->draft = readings->policy = NULL;
    for (int i = 0; i < fields->nelts; i++) {
        if (entries[i].key && entries[i].val && may_be_limit(entries[i].key)) {
            if (!readings->count) {
                memset(readings->rows, 0, count * sizeof(*readings->rows));
                readings->count = count;
            }
            read_field(limits, count, provider, &entries[i], readings);
        }
    }
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

/* Tests whether a limit may have stopped the request. Anthropic's unified limits have a status
 * instead of a number: "allowed", "allowed_warning" or "rejected". */
static int is_spent(const char *remaining)
{
    return read_count(remaining) <= 0 && !(remaining && apipool_ascii_begins(remaining, "allowed"));
}

apr_time_t apipool_retry_after_headers(const apr_table_t *headers, apipool_provider_e provider,
                                       apr_time_t now)
{
    readings_t readings;
    apipool_rate_limit_t limit;
    apr_time_t latest = apipool_retry_after_field(headers, provider, now);
    read_limits(headers, provider, &readings);
    for (const reading_t *row = readings.rows; row < readings.rows + readings.count; row++) {
        if (row->reset && is_spent(row->remaining)) {
            latest = later(latest, apipool_retry_after_reset(row->reset, now));
        }
    }
    while (readings.draft && apipool_rate_limit_next(&readings.draft, readings.policy, &limit)) {
        if (limit.remaining <= 0 && limit.reset > 0) {
            latest = later(latest, apipool_retry_after_in(seconds_to_interval(limit.reset), now));
        }
    }
    return latest;
}

/* Returns when a reading expires; 0 if it has already. */
static apr_time_t reading_end(const reading_t *reading, apr_time_t now)
{
    if (!reading->reset) {
        return now + apr_time_from_sec(UNTOLD);
    }
    return apipool_retry_after_reset(reading->reset, now);
}

/* Keeps the smallest share, and of equal ones the one that expires last. */
static void note_share(double limit, double left, apr_time_t end, double *least, apr_time_t *until)
{
    double share = left < limit ? left / limit : 1;
    if (limit > 0 && left >= 0 && end &&
        (*least < 0 || share < *least || (share == *least && end > *until))) {
        *least = share;
        *until = end;
    }
}

double apipool_retry_after_headroom(const apr_table_t *headers, apipool_provider_e provider,
                                    apr_time_t now, apr_time_t *until)
{
    readings_t readings;
    apipool_rate_limit_t limit;
    double least = -1;

    *until = 0;
    read_limits(headers, provider, &readings);
    for (const reading_t *row = readings.rows; row < readings.rows + readings.count; row++) {
        note_share(read_count(row->limit), read_count(row->remaining), reading_end(row, now),
                   &least, until);
    }
    while (readings.draft && apipool_rate_limit_next(&readings.draft, readings.policy, &limit)) {
        double seconds = limit.reset < 0 ? UNTOLD : limit.reset;
        note_share(limit.limit, limit.remaining,
                   apipool_retry_after_in(seconds_to_interval(seconds), now), &least, until);
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
