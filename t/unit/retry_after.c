/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/vendor/retry_after: header fields and durations in the vendors' formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "retry_after.h"
#include "retry_words.h"

#define NOW      apr_time_from_sec(1795348800) /* Sun, 22 Nov 2026 12:00:00 GMT */
#define MS(n)    (APR_INT64_C(1000) * (n))
#define SEC(n)   apr_time_from_sec(n)
#define HOUR(n)  SEC(3600 * (n))
#define NOTHING  (-NOW) /* so that NOW + NOTHING is 0 */
#define NINES_60 "999999999999999999999999999999999999999999999999999999999999"
#define NINES    NINES_60 NINES_60 NINES_60 NINES_60 NINES_60 NINES_60

typedef struct {
    const char *field, *value;
} field_t;

typedef struct {
    const char *name;
    field_t fields[5];
    apr_interval_time_t in; /* from NOW */
} row_t;

static void check_rows(const row_t *rows, size_t count)
{
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < count; i++) {
        apr_table_t *headers = apr_table_make(pool, 5);
        for (const field_t *field = rows[i].fields; field->field; field++) {
            apr_table_addn(headers, field->field, field->value);
        }
        apr_time_t when = apipool_retry_after_headers(headers, APIPOOL_PROVIDER_GENERIC, NOW);
        if (when != NOW + rows[i].in) {
            fail_msg("%s: now + %" APR_TIME_T_FMT, rows[i].name, when ? when - NOW : NOTHING);
        }
    }
    apr_pool_destroy(pool);
}

static const row_t retry_after[] = {
    {"no field at all", {{NULL, NULL}}, NOTHING},
    {"seconds", {{"Retry-After", "20"}}, SEC(20)},
    {"names in any case", {{"retry-AFTER", "20"}}, SEC(20)},
    {"blanks before", {{"Retry-After", " \t20"}}, SEC(20)},
    {"a fraction of a second", {{"Retry-After", "0.5"}}, MS(500)},
    {"a day", {{"Retry-After", "86400"}}, HOUR(24)},
    {"more than a day is a day", {{"Retry-After", "86401"}}, HOUR(24)},
    {"nearly three days are a day", {{"Retry-After", "241200"}}, HOUR(24)},
    {"zero", {{"Retry-After", "0"}}, NOTHING},
    {"negative", {{"Retry-After", "-20"}}, NOTHING},
    {"a word", {{"Retry-After", "soon"}}, NOTHING},
    {"empty", {{"Retry-After", ""}}, NOTHING},
    {"a unit", {{"Retry-After", "60s"}}, SEC(60)},
    {"a duration", {{"Retry-After", "6m0s"}}, SEC(360)},
    {"the same twice", {{"Retry-After", "30, 30"}}, SEC(30)},
    {"the later of two", {{"Retry-After", "40,30"}}, SEC(40)},
    {"one of two", {{"Retry-After", "soon, 30 "}}, SEC(30)},
    {"two words", {{"Retry-After", "soon, later"}}, NOTHING},
    {"a comma", {{"Retry-After", ","}}, NOTHING},
    {"an ISO date", {{"Retry-After", "2026-11-22T12:00:30Z"}}, SEC(30)},
    {"an ISO date with an offset", {{"Retry-After", "2026-11-22T20:00:30.5+08:00"}}, MS(30500)},
    {"an exponent", {{"Retry-After", "1e12"}}, NOTHING},
    {"hexadecimal", {{"Retry-After", "0x14"}}, NOTHING},
    {"infinity", {{"Retry-After", "inf"}}, NOTHING},
    {"10 to the 12, in 2001", {{"Retry-After", "1000000000000"}}, NOTHING},
    {"a billion, in 2001", {{"Retry-After", "1000000000"}}, NOTHING},
    {"an epoch is a date", {{"Retry-After", "1795348860"}}, SEC(60)},
    {"an epoch days ahead", {{"Retry-After", "1795608000"}}, HOUR(24)},
    {"just no epoch", {{"Retry-After", "999999999"}}, HOUR(24)},
    {"360 digits", {{"Retry-After", NINES}}, NOTHING},
    {"IMF-fixdate", {{"Retry-After", "Sun, 22 Nov 2026 12:00:30 GMT"}}, SEC(30)},
    {"RFC 850 date", {{"Retry-After", "Sunday, 22-Nov-26 12:00:30 GMT"}}, SEC(30)},
    {"asctime date", {{"Retry-After", "Sun Nov 22 12:00:30 2026"}}, SEC(30)},
    {"a date that is now", {{"Retry-After", "Sun, 22 Nov 2026 12:00:00 GMT"}}, NOTHING},
    {"a date in the past", {{"Retry-After", "Sun, 22 Nov 2026 11:59:59 GMT"}}, NOTHING},
    {"a date of 1970", {{"Retry-After", "Thu, 01 Jan 1970 00:00:10 GMT"}}, NOTHING},
    {"a date a day ahead", {{"Retry-After", "Mon, 23 Nov 2026 12:00:00 GMT"}}, HOUR(24)},
    {"a date two days ahead", {{"Retry-After", "Tue, 24 Nov 2026 12:00:00 GMT"}}, HOUR(24)},
    {"a day that does not exist", {{"Retry-After", "Sun, 31 Feb 2027 12:00:00 GMT"}}, NOTHING},
};

static void retry_after_is_seconds_or_a_date(void **unused)
{
    check_rows(retry_after, sizeof(retry_after) / sizeof(*retry_after));
}

static const row_t milliseconds[] = {
    {"OpenAI", {{"retry-after-ms", "1500"}}, MS(1500)},
    {"Azure", {{"x-ms-retry-after-ms", "250"}}, MS(250)},
    {"a fraction", {{"retry-after-ms", "0.5"}}, 500},
    {"a day", {{"retry-after-ms", "86400000"}}, HOUR(24)},
    {"more than a day", {{"retry-after-ms", "86400001"}}, HOUR(24)},
    {"the same twice", {{"retry-after-ms", "1500, 1500"}}, MS(1500)},
    {"zero", {{"retry-after-ms", "0"}}, NOTHING},
    {"negative", {{"retry-after-ms", "-5"}}, NOTHING},
    {"a unit", {{"retry-after-ms", "5ms"}}, NOTHING},
    {"a date", {{"retry-after-ms", "Sun, 22 Nov 2026 12:00:30 GMT"}}, NOTHING},
    {"360 digits", {{"x-ms-retry-after-ms", NINES}}, NOTHING},
};

static void millisecond_fields_are_plain_numbers(void **unused)
{
    check_rows(milliseconds, sizeof(milliseconds) / sizeof(*milliseconds));
}

static const row_t resets[] = {
    {"a duration", {{"x-ratelimit-reset-requests", "6m0s"}}, SEC(360)},
    {"milliseconds", {{"x-ratelimit-reset-tokens", "12ms"}}, MS(12)},
    {"all units", {{"x-ratelimit-reset-tokens", "1h2m3.5s"}}, MS(3723500)},
    {"seconds", {{"x-ratelimit-reset", "59"}}, SEC(59)},
    {"seconds with a fraction", {{"x-ratelimit-reset-requests", "7.5"}}, MS(7500)},
    {"epoch in seconds", {{"x-ratelimit-reset", "1795348860"}}, SEC(60)},
    {"epoch in milliseconds", {{"x-ratelimit-reset", "1795348860250"}}, MS(60250)},
    {"epoch in the past", {{"x-ratelimit-reset", "1795348799"}}, NOTHING},
    {"epoch in microseconds", {{"x-ratelimit-reset", "1795348860000000"}}, SEC(60)},
    {"a number beyond any epoch", {{"x-ratelimit-reset", "1795348860000000000"}}, NOTHING},
    {"an HTTP date", {{"x-ratelimit-reset", "Sun, 22 Nov 2026 12:00:30 GMT"}}, SEC(30)},
    {"several", {{"x-ratelimit-reset", "20, 30"}}, SEC(30)},
    {"epoch more than a day ahead", {{"x-ratelimit-reset", "1795435201"}}, HOUR(24)},
    {"RFC 3339", {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:30Z"}}, SEC(30)},
    {"RFC 3339 in lower case",
     {{"anthropic-ratelimit-tokens-reset", "2026-11-22t12:00:30z"}},
     SEC(30)},
    {"RFC 3339 with a blank",
     {{"anthropic-ratelimit-tokens-reset", "2026-11-22 12:00:30Z"}},
     SEC(30)},
    {"offset east",
     {{"anthropic-ratelimit-input-tokens-reset", "2026-11-22T20:01:00+08:00"}},
     SEC(60)},
    {"offset west",
     {{"anthropic-ratelimit-output-tokens-reset", "2026-11-22T04:31:00-07:30"}},
     SEC(60)},
    {"fraction", {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:30.250Z"}}, MS(30250)},
    {"fraction of nanoseconds",
     {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:30.000001999+00:00"}},
     SEC(30) + 1},
    {"no offset", {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:30.5"}}, NOTHING},
    {"half an offset", {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:30+08"}}, NOTHING},
    {"month 13", {{"anthropic-ratelimit-requests-reset", "2026-13-22T12:00:30Z"}}, NOTHING},
    {"day 0", {{"anthropic-ratelimit-requests-reset", "2026-11-00T12:00:30Z"}}, NOTHING},
    {"hour 24", {{"anthropic-ratelimit-requests-reset", "2026-11-22T24:00:30Z"}}, NOTHING},
    {"minute 60", {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:60:30Z"}}, NOTHING},
    {"second 61", {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:61Z"}}, NOTHING},
    {"leap second", {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:60Z"}}, SEC(60)},
    {"something after it",
     {{"anthropic-ratelimit-requests-reset", "2026-11-22T12:00:30Zulu"}},
     NOTHING},
    {"a date without a time", {{"anthropic-ratelimit-requests-reset", "2026-11-22"}}, NOTHING},
    {"letters for digits",
     {{"anthropic-ratelimit-requests-reset", "20X6-11-22T12:00:30Z"}},
     NOTHING},
    {"year 9999", {{"anthropic-ratelimit-requests-reset", "9999-12-31T23:59:59Z"}}, HOUR(24)},
    {"year 0000", {{"anthropic-ratelimit-requests-reset", "0000-01-01T00:00:00Z"}}, NOTHING},
    {"1970", {{"anthropic-ratelimit-requests-reset", "1970-01-01T00:00:10Z"}}, NOTHING},
    {"a word", {{"x-ratelimit-reset", "tomorrow"}}, NOTHING},
    {"20 letters", {{"x-ratelimit-reset", "aaaaaaaaaaaaaaaaaaaaa"}}, NOTHING},
    {"empty", {{"x-ratelimit-reset", ""}}, NOTHING},
    {"360 digits", {{"x-ratelimit-reset", NINES}}, NOTHING},
};

static void reset_fields_are_durations_epochs_or_rfc_3339(void **unused)
{
    check_rows(resets, sizeof(resets) / sizeof(*resets));
}

static const row_t remaining[] = {
    {"a limit with something left did not stop the request",
     {{"x-ratelimit-reset-requests", "6m"}, {"x-ratelimit-remaining-requests", "3"}},
     NOTHING},
    {"a spent limit did",
     {{"x-ratelimit-reset-requests", "6m"}, {"x-ratelimit-remaining-requests", "0"}},
     SEC(360)},
    {"Azure's -1 is spent",
     {{"x-ratelimit-reset-requests", "6m"}, {"x-ratelimit-remaining-requests", "-1"}},
     SEC(360)},
    {"each limit by itself",
     {{"x-ratelimit-reset-requests", "6m"},
      {"x-ratelimit-remaining-requests", "3"},
      {"x-ratelimit-reset-tokens", "2s"},
      {"x-ratelimit-remaining-tokens", "0"}},
     SEC(2)},
    {"OpenRouter",
     {{"X-RateLimit-Limit", "20"},
      {"X-RateLimit-Remaining", "0"},
      {"X-RateLimit-Reset", "1795348860000"}},
     SEC(60)},
    {"Anthropic",
     {{"anthropic-ratelimit-requests-remaining", "49"},
      {"anthropic-ratelimit-requests-reset", "2026-11-22T12:01:00Z"},
      {"anthropic-ratelimit-input-tokens-remaining", "0"},
      {"anthropic-ratelimit-input-tokens-reset", "2026-11-22T12:00:40Z"}},
     SEC(40)},
    {"Retry-After counts whatever remains",
     {{"Retry-After", "9"}, {"x-ratelimit-remaining-requests", "3"}},
     SEC(9)},
};

static void a_limit_with_something_remaining_does_not_count(void **unused)
{
    check_rows(remaining, sizeof(remaining) / sizeof(*remaining));
}

static const row_t remaining_of_others[] = {
    {"Cerebras",
     {{"x-ratelimit-remaining-tokens-minute", "0"}, {"x-ratelimit-reset-tokens-minute", "11.5"}},
     MS(11500)},
    {"Cerebras, tokens of the hour",
     {{"x-ratelimit-remaining-tokens-hour", "0"}, {"x-ratelimit-reset-tokens-hour", "1811.5"}},
     MS(1811500)},
    {"Cerebras, tokens of the day",
     {{"x-ratelimit-remaining-tokens-day", "0"}, {"x-ratelimit-reset-tokens-day", "33011"}},
     SEC(33011)},
    {"Cerebras, requests of the hour",
     {{"x-ratelimit-remaining-requests-hour", "0"}, {"x-ratelimit-reset-requests-hour", "99"}},
     SEC(99)},
    {"Anthropic's subscription",
     {{"anthropic-ratelimit-unified-status", "rejected"},
      {"anthropic-ratelimit-unified-reset", "1795352400"}},
     HOUR(1)},
    {"Anthropic's subscription, not the reason",
     {{"anthropic-ratelimit-unified-status", "allowed_warning"},
      {"anthropic-ratelimit-unified-reset", "1795352400"},
      {"Retry-After", "9"}},
     SEC(9)},
    {"Mistral", {{"ratelimitbysize-remaining", "0"}, {"ratelimitbysize-reset", "26"}}, SEC(26)},
    {"the draft's", {{"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "42"}}, SEC(42)},
    {"the draft's one field", {{"RateLimit", "\"default\";r=0;t=30"}}, SEC(30)},
    {"... with something left", {{"RateLimit", "\"default\";r=5;t=30"}}, NOTHING},
    {"... of several limits",
     {{"RateLimit", "\"burst, or so\";r=0;t=3, \"daily\";r=0;t=7200,\"other\";r=1;t=9000"}},
     HOUR(2)},
    {"... without a time, but with a policy",
     {{"RateLimit", "\"daily\";r=0"},
      {"RateLimit-Policy", "\"burst\";q=10;w=5, \"daily\";q=1000;w=3600"}},
     HOUR(1)},
    {"... without either", {{"RateLimit", "\"daily\";r=0"}}, NOTHING},
    {"... in its older form", {{"RateLimit", "limit=10, remaining=0, reset=50"}}, SEC(50)},
    {"... days ahead", {{"RateLimit", "\"d\";r=0;t=604800"}}, HOUR(24)},
    {"... not a number", {{"RateLimit", "\"d\";r=0;t=soon"}}, NOTHING},
    {"... an open quotation", {{"RateLimit", "\"d;r=0;t=5, 7"}}, SEC(5)},
    {"... commas", {{"RateLimit", ",, ;,"}}, NOTHING},
    {"several windows",
     {{"x-ratelimit-remaining", "0, 100;w=60"}, {"x-ratelimit-reset", "9"}},
     SEC(9)},
    {"some left in the first window",
     {{"x-ratelimit-remaining", "3, 100;w=60"}, {"x-ratelimit-reset", "9"}},
     NOTHING},
    {"the first of two fields", {{"x-ratelimit-reset", "9"}, {"X-RateLimit-Reset", "90"}}, SEC(9)},
};

static void other_spellings_are_known(void **unused)
{
    check_rows(remaining_of_others, sizeof(remaining_of_others) / sizeof(*remaining_of_others));
}

static const row_t several[] = {
    {"the latest of two", {{"Retry-After", "20"}, {"x-ratelimit-reset-requests", "1m"}}, SEC(60)},
    {"in any order", {{"x-ratelimit-reset-requests", "10s"}, {"Retry-After", "20"}}, SEC(20)},
    {"the latest of four",
     {{"Retry-After", "1"},
      {"retry-after-ms", "1200"},
      {"x-ratelimit-reset-tokens", "700ms"},
      {"anthropic-ratelimit-tokens-reset", "2026-11-22T12:00:01Z"}},
     MS(1200)},
    {"one more than a day ahead is a day",
     {{"Retry-After", "20"}, {"x-ratelimit-reset-requests", "25h"}},
     HOUR(24)},
    {"one in the past is left out",
     {{"Retry-After", "Thu, 01 Jan 1970 00:00:10 GMT"}, {"x-ratelimit-reset", "1795348803"}},
     SEC(3)},
    {"nonsense is left out", {{"Retry-After", "soon"}, {"retry-after-ms", "900"}}, MS(900)},
};

static void the_latest_valid_time_wins(void **unused)
{
    check_rows(several, sizeof(several) / sizeof(*several));
}

static const struct {
    const char *text;
    apr_interval_time_t interval;
} durations[] = {
    {"34s", SEC(34)},
    {"12ms", MS(12)},
    {"6m0s", SEC(360)},
    {"1h2m3.5s", MS(3723500)},
    {"1d", HOUR(24)},
    {"5us", 5},
    {"7", SEC(7)},
    {"7.25", MS(7250)},
    {".5s", MS(500)},
    {"5.", SEC(5)},
    {"0", 0},
    {"0s", 0},
    {"0.5ms", 500},
    {"1m30", SEC(90)},
    {"90m", SEC(5400)},
    {"1h1ms", SEC(3600) + MS(1)},
    {"48h", HOUR(48)},
    {"0000000000000000000000000000012s", SEC(12)},
    {"", -1},
    {"s", -1},
    {".", -1},
    {".s", -1},
    {"-5s", -1},
    {"+5s", -1},
    {"soon", -1},
    {"5 s", SEC(5)}, /* units may be written in any way */
    {"60 seconds", SEC(60)},
    {"1 Minute", SEC(60)},
    {" 5s", -1},
    {"5s ", -1},
    {"5sec", SEC(5)},
    {"60S", SEC(60)},
    {"5 secret", -1},
    {"5x", -1},
    {"1e12", -1},
    {"0x10", -1},
    {"inf", -1},
    {"nan", -1},
    {"5m-3s", -1},
    {"1.2.3s", -1},
    {"1000000000001", -1},
    {NINES "s", -1},
    {NINES "h" NINES "ms", -1},
    {"999999999999h", -1},
    {"2026-11-22T12:00:30Z", -1},
};

static void durations_are_sums_of_numbers_with_units(void **unused)
{
    for (size_t i = 0; i < sizeof(durations) / sizeof(*durations); i++) {
        apr_interval_time_t interval = apipool_retry_after_duration(durations[i].text);
        apr_interval_time_t off = interval - durations[i].interval;
        int rounded = durations[i].interval > 0 && (off == 1 || off == -1);
        if (off != 0 && !rounded) {
            fail_msg("\"%.40s\": %" APR_TIME_T_FMT, durations[i].text, interval);
        }
    }
}

static const struct {
    const char *message;
    apr_interval_time_t in;
} words[] = {
    {"Rate limit reached. Please try again in 6m0s.", SEC(360)},
    {"Your quota will reset after 2h9m16s.", SEC(7756)},
    {"Please try again in 7m12.5s. Visit https://example.test/", MS(432500)},
    {"Please try again in 20s", SEC(20)},
    {"Please try again in 120ms.", MS(120)},
    {"Please retry in 39.25s.", MS(39250)},
    {"Please retry after 5 seconds.", SEC(5)},
    {"Try again in 1 minute and 30 seconds", SEC(90)},
    {"try again in 1 hour, 2 minutes", SEC(3720)},
    {"Individual quota reached. Resets in 108h48m29s.", HOUR(108) + SEC(2909)},
    {"Quota resets in 2 days", HOUR(48)},
    {"the later: try again in 5s, or reset after 8s", SEC(8)},
    {"Please try again later.", -1},
    {"Please try again in a minute.", -1},
    {"Please try again in 20", -1},
    {"Please wait 30 seconds before retrying.", SEC(30)},
    {"请在 6 秒后重试", SEC(6)},
    {"请在6秒钟后重试", SEC(6)},
    {"请等待 2 分钟后再试", SEC(120)},
    {"请在 1 小时 30 分后重试", HOUR(1) + SEC(1800)},
    {"Please try again at 2026-11-22T13:00:00Z.", HOUR(1)},
    {"Please try again at 2026-11-22T13:00:00.5+00:30, or pay.", SEC(1800)},
    {"Your limit resets at 2026-11-22 13:00:00 UTC", HOUR(1)},
    {"Your limit will reset at 2026-11-22 23:00:00", HOUR(3)}, /* in Beijing */
    {"您的限额将在 2026-11-22 23:00:00 重置", HOUR(3)},
    {"try again at 2026-11-22T11:00:00Z", -1},
    {"try again at 2026-11-22", -1},
    {"try again at 2026-99-99 99:99:99", -1},
    {"try again in 20 cats", -1},
    {"try again in s", -1},
    {"try again in 1234567890123456789s", -1},
    {"No such model \"try again in 9s\"", -1},
    {"No such model `try again in 9s`", -1},
    {"No such model 'x try again in 9s'", -1},
    {"You've spent it. Try again in 9s", SEC(9)},
    {"\xe2\x80\x9ctry again in 9s\xe2\x80\x9d", -1},
    {"", -1},
};

static void words_tell_where_nothing_else_does(void **unused)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        apr_interval_time_t in =
            apipool_retry_words(words[i].message, APIPOOL_PROVIDER_GENERIC, NOW);
        if (in != words[i].in) {
            fail_msg("%s: %" APR_TIME_T_FMT, words[i].message, in);
        }
    }
}

static void a_date_without_a_zone_is_read_where_the_zone_is_known(void **unused)
{
    static const char message[] = "Your limit will reset at 2026-11-22 23:00:00";
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        int is_known = p == APIPOOL_PROVIDER_ZHIPU || p == APIPOOL_PROVIDER_GENERIC;
        assert_int_equal(apipool_retry_words(message, p, NOW), is_known ? HOUR(3) : -1);
    }
}

static void fields_are_the_vendors_own(void **unused)
{
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    apr_table_t *headers = apr_table_make(pool, 2);
    apr_table_setn(headers, "anthropic-ratelimit-tokens-reset", "2026-11-22T12:00:30Z");
    apr_table_setn(headers, "x-ms-retry-after-ms", "90");
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        int reset = p == APIPOOL_PROVIDER_ANTHROPIC || p == APIPOOL_PROVIDER_GENERIC;
        int retry = p == APIPOOL_PROVIDER_AZURE || p == APIPOOL_PROVIDER_GENERIC;
        assert_int_equal(apipool_retry_after_headers(headers, p, NOW), reset   ? NOW + SEC(30)
                                                                       : retry ? NOW + MS(90)
                                                                               : 0);
        assert_int_equal(apipool_retry_after_field(headers, p, NOW), retry ? NOW + MS(90) : 0);
    }
    apr_pool_destroy(pool);
}

/* In thousandths, so that the tables need no floating point; -1000 for none. */
static const struct {
    const char *name;
    field_t fields[10];
    int share;
    apr_interval_time_t until;
} rooms[] = {
    {"no limits", {{"Content-Type", "application/json"}, {"X-Request-Id", "r"}}, -1000, NOTHING},
    {"the draft",
     {{"RateLimit", "\"a\";r=25;t=30, \"b\";r=9;t=60"},
      {"RateLimit-Policy", "\"b\";q=10;w=60, \"a\";q=100;w=60"}},
     250,
     SEC(30)},
    {"the draft without a policy", {{"RateLimit", "\"a\";r=25;t=30"}}, -1000, NOTHING},
    {"the draft's older form", {{"RateLimit", "limit=10, remaining=5, reset=50"}}, 500, SEC(50)},
    {"OpenAI",
     {{"x-ratelimit-limit-requests", "500"},
      {"x-ratelimit-remaining-requests", "400"},
      {"x-ratelimit-reset-requests", "120ms"},
      {"x-ratelimit-limit-tokens", "30000"},
      {"x-ratelimit-remaining-tokens", "3000"},
      {"x-ratelimit-reset-tokens", "54s"}},
     100,
     SEC(54)},
    {"the requests are fewer",
     {{"x-ratelimit-limit-requests", "500"},
      {"x-ratelimit-remaining-requests", "5"},
      {"x-ratelimit-reset-requests", "6m0s"},
      {"x-ratelimit-limit-tokens", "30000"},
      {"x-ratelimit-remaining-tokens", "3000"}},
     10,
     SEC(360)},
    {"Anthropic",
     {{"anthropic-ratelimit-input-tokens-limit", "50000"},
      {"anthropic-ratelimit-input-tokens-remaining", "25000"},
      {"anthropic-ratelimit-input-tokens-reset", "2026-11-22T12:00:30Z"},
      {"anthropic-ratelimit-output-tokens-limit", "8000"},
      {"anthropic-ratelimit-output-tokens-remaining", "6000"},
      {"anthropic-ratelimit-output-tokens-reset", "2026-11-22T12:00:15Z"}},
     500,
     SEC(30)},
    {"OpenRouter",
     {{"X-RateLimit-Limit", "20"},
      {"X-RateLimit-Remaining", "19"},
      {"X-RateLimit-Reset", "1795348860000"}},
     950,
     SEC(60)},
    {"no reset", {{"x-ratelimit-limit", "10"}, {"x-ratelimit-remaining", "0"}}, 0, SEC(60)},
    {"a reset of days",
     {{"x-ratelimit-limit", "10"}, {"x-ratelimit-remaining", "5"}, {"x-ratelimit-reset", "48h"}},
     500,
     HOUR(24)},
    {"a reset that has passed",
     {{"x-ratelimit-limit", "10"}, {"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "0s"}},
     -1000,
     NOTHING},
    {"a reset that is none",
     {{"x-ratelimit-limit", "10"}, {"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "soon"}},
     -1000,
     NOTHING},
    {"one that has passed does not hide another",
     {{"x-ratelimit-limit", "10"},
      {"x-ratelimit-remaining", "0"},
      {"x-ratelimit-reset", "1795348800"},
      {"x-ratelimit-limit-tokens", "10"},
      {"x-ratelimit-remaining-tokens", "7"}},
     700,
     SEC(60)},
    {"two that are even: the later end",
     {{"x-ratelimit-limit-requests", "10"},
      {"x-ratelimit-remaining-requests", "1"},
      {"x-ratelimit-reset-requests", "5s"},
      {"x-ratelimit-limit-tokens", "100"},
      {"x-ratelimit-remaining-tokens", "10"},
      {"x-ratelimit-reset-tokens", "7s"}},
     100,
     SEC(7)},
    {"Azure does not know",
     {{"x-ratelimit-limit-tokens", "1000"}, {"x-ratelimit-remaining-tokens", "-1"}},
     -1000,
     NOTHING},
    {"no limit named", {{"x-ratelimit-remaining-tokens", "10"}}, -1000, NOTHING},
    {"a limit of zero",
     {{"x-ratelimit-limit-tokens", "0"}, {"x-ratelimit-remaining-tokens", "0"}},
     -1000,
     NOTHING},
    {"nothing named that remains", {{"x-ratelimit-limit-tokens", "10"}}, -1000, NOTHING},
    {"more than the limit",
     {{"x-ratelimit-limit-tokens", "10"}, {"x-ratelimit-remaining-tokens", "15"}},
     1000,
     SEC(60)},
    {"words",
     {{"x-ratelimit-limit-tokens", "many"}, {"x-ratelimit-remaining-tokens", "few"}},
     -1000,
     NOTHING},
    {"a unit",
     {{"x-ratelimit-limit-tokens", "10k"}, {"x-ratelimit-remaining-tokens", "5k"}},
     -1000,
     NOTHING},
    {"fractions",
     {{"x-ratelimit-limit-tokens", "1.5"}, {"x-ratelimit-remaining-tokens", "0.75"}},
     500,
     SEC(60)},
    {"360 digits",
     {{"x-ratelimit-limit-tokens", NINES}, {"x-ratelimit-remaining-tokens", NINES}},
     -1000,
     NOTHING},
};

static void the_smallest_share_is_the_headroom(void **unused)
{
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < sizeof(rooms) / sizeof(*rooms); i++) {
        apr_time_t until = 1;
        apr_table_t *headers = apr_table_make(pool, 10);
        for (const field_t *field = rooms[i].fields; field->field; field++) {
            apr_table_addn(headers, field->field, field->value);
        }
        double share = apipool_retry_after_headroom(headers, APIPOOL_PROVIDER_GENERIC, NOW, &until);
        double off = share * 1000 - rooms[i].share;
        if (off > 0.001 || off < -0.001 || until != NOW + rooms[i].until) {
            fail_msg("%s: %f, now + %" APR_TIME_T_FMT, rooms[i].name, share,
                     until ? until - NOW : NOTHING);
        }
    }
    apr_pool_destroy(pool);
}

/* Each row on its own: none is missed because of the beginning of its name. */
static void every_limit_is_read_by_its_vendors(void **unused)
{
    apr_size_t count;
    const apipool_limit_fields_t *limits = apipool_provider_limits(&count);
    apr_pool_t *pool;
    assert_int_equal(apr_pool_create(&pool, NULL), APR_SUCCESS);
    for (size_t i = 0; i < count; i++) {
        apr_table_t *headers = apr_table_make(pool, 3);
        if (!limits[i].limit.len) {
            continue; /* its share is not told */
        }
        apr_table_setn(headers, limits[i].limit.text, "4");
        apr_table_setn(headers, limits[i].remaining.text, "1");
        apr_table_setn(headers, limits[i].reset.text, "5");
        for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
            apr_time_t until;
            int is_read = apipool_retry_after_headroom(headers, p, NOW, &until) >= 0;
            assert_int_equal(is_read, apipool_provider_holds(limits[i].vendors, p));
            assert_int_equal(until, is_read ? NOW + SEC(5) : 0);
        }
    }
    apr_pool_destroy(pool);
}

static const struct {
    const char *now, *midnight; /* RFC 3339 */
} days[] = {
    {"2026-11-22T12:00:00Z", "2026-11-23T08:00:00Z"},
    {"2026-07-04T12:00:00Z", "2026-07-05T07:00:00Z"},
    {"2026-07-04T06:59:59.999999Z", "2026-07-04T07:00:00Z"},
    {"2026-07-04T07:00:00Z", "2026-07-05T07:00:00Z"},
    {"2026-03-08T07:59:59Z", "2026-03-08T08:00:00Z"}, /* the day that has 23 hours */
    {"2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"},
    {"2026-03-08T10:00:00Z", "2026-03-09T07:00:00Z"},
    {"2026-11-01T06:59:59Z", "2026-11-01T07:00:00Z"}, /* the day that has 25 hours */
    {"2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"},
    {"2026-11-01T08:59:59Z", "2026-11-02T08:00:00Z"},
    {"2026-11-01T09:00:00Z", "2026-11-02T08:00:00Z"},
    {"2026-12-31T23:00:00Z", "2027-01-01T08:00:00Z"},
    {"2027-01-01T07:59:59Z", "2027-01-01T08:00:00Z"},
    {"2024-03-10T09:00:00Z", "2024-03-11T07:00:00Z"}, /* Sundays of other years */
    {"2025-11-02T08:00:00Z", "2025-11-03T08:00:00Z"},
    {"2027-03-14T08:30:00Z", "2027-03-15T07:00:00Z"},
    {"2027-11-07T07:30:00Z", "2027-11-08T08:00:00Z"},
};

/* Reads one of the forms above. */
static apr_time_t at(const char *text)
{
    apr_time_exp_t when = {.tm_year = atoi(text) - 1900,
                           .tm_mon = atoi(text + 5) - 1,
                           .tm_mday = atoi(text + 8),
                           .tm_hour = atoi(text + 11),
                           .tm_min = atoi(text + 14),
                           .tm_sec = atoi(text + 17),
                           .tm_usec = text[19] == '.' ? atoi(text + 20) : 0};
    apr_time_t result;
    assert_int_equal(apr_time_exp_gmt_get(&result, &when), APR_SUCCESS);
    return result;
}

static void a_day_ends_at_midnight_in_california(void **unused)
{
    for (size_t i = 0; i < sizeof(days) / sizeof(*days); i++) {
        apr_time_t midnight = apipool_retry_after_pacific_midnight(at(days[i].now));
        if (midnight != at(days[i].midnight)) {
            fail_msg("%s: %" APR_TIME_T_FMT " s off", days[i].now,
                     (midnight - at(days[i].midnight)) / APR_USEC_PER_SEC);
        }
    }
    for (apr_time_t hour = 0; hour < 24 * 366 * 2; hour++) {
        apr_time_t now = NOW + HOUR(hour), midnight = apipool_retry_after_pacific_midnight(now);
        assert_true(midnight > now && midnight <= now + HOUR(25));
        assert_true(apipool_retry_after_pacific_midnight(midnight - 1) == midnight);
    }
}

static int begin(void **unused)
{
    return apr_initialize() == APR_SUCCESS ? 0 : -1;
}

static int end(void **unused)
{
    apr_terminate();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(retry_after_is_seconds_or_a_date),
        cmocka_unit_test(millisecond_fields_are_plain_numbers),
        cmocka_unit_test(reset_fields_are_durations_epochs_or_rfc_3339),
        cmocka_unit_test(a_limit_with_something_remaining_does_not_count),
        cmocka_unit_test(the_latest_valid_time_wins),
        cmocka_unit_test(other_spellings_are_known),
        cmocka_unit_test(fields_are_the_vendors_own),
        cmocka_unit_test(the_smallest_share_is_the_headroom),
        cmocka_unit_test(every_limit_is_read_by_its_vendors),
        cmocka_unit_test(a_day_ends_at_midnight_in_california),
        cmocka_unit_test(durations_are_sums_of_numbers_with_units),
        cmocka_unit_test(words_tell_where_nothing_else_does),
        cmocka_unit_test(a_date_without_a_zone_is_read_where_the_zone_is_known),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("when", tests, begin, end);
}
