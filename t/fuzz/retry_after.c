/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: header fields with a time, one per line, and their values as durations. */
#include <string.h>

#include "fuzz.h"
#include "retry_after.h"
#include "retry_words.h"

#define NOW apr_time_from_sec(1795348800)

static void check_time(apr_time_t when)
{
    MUST(when == 0 || (when > NOW && when <= NOW + APIPOOL_RETRY_AFTER_MAX));
}

/* Adds "Name: value" to the table; skips lines without a colon. */
static void add_line(apr_table_t *headers, char *line)
{
    char *value = strchr(line, ':');
    if (value) {
        *value++ = '\0';
        value += *value == ' ';
        apr_table_addn(headers, line, value);
    }
    check_time(apipool_retry_after_reset(value ? value : line, NOW));
    apr_interval_time_t interval = apipool_retry_after_duration(value ? value : line);
    MUST(interval >= -1 && interval <= apr_time_from_sec(APR_INT64_C(1000000000000)));
    MUST(apipool_retry_words(value ? value : line, APIPOOL_PROVIDER_GENERIC, NOW) >= -1);
}

static void check_headers(const apr_table_t *headers, apipool_provider_e provider)
{
    apr_time_t until, when = apipool_retry_after_headers(headers, provider, NOW);
    apr_time_t asked = apipool_retry_after_field(headers, provider, NOW);
    double share = apipool_retry_after_headroom(headers, provider, NOW, &until);
    check_time(when);
    check_time(asked);
    check_time(until);
    MUST(asked <= when);
    MUST(apipool_retry_after_headers(headers, provider, NOW) == when);
    MUST(share < 0 ? share == -1 && !until : share <= 1 && until);
}

static apr_status_t free_line(void *line)
{
    free(line);
    return APR_SUCCESS;
}

/* Not from the pool: in memory of exactly its size a checker notices any overrun of a line. */
static char *copy_line(apr_pool_t *pool, const uint8_t *data, size_t len)
{
    char *line = malloc(len + 1);
    MUST(line);
    memcpy(line, data, len);
    line[len] = '\0';
    apr_pool_cleanup_register(pool, line, free_line, apr_pool_cleanup_null);
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{

    apr_pool_t *pool = fuzz_pool();
    apr_table_t *headers = apr_table_make(pool, 8);
    for (size_t i = 0; i < size;) {
        const uint8_t *eol = memchr(data + i, '\n', size - i);
        size_t len = eol ? (size_t)(eol - data) - i : size - i;
        add_line(headers, copy_line(pool, data + i, len));
        i += len + 1;
    }
    for (apipool_provider_e p = 0; p < APIPOOL_PROVIDER_COUNT; p++) {
        check_headers(headers, p);
    }
    apr_pool_destroy(pool);
    return 0;
}
