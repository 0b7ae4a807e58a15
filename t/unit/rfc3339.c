/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/rfc3339: reads every form of RFC 3339, and writes one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rfc3339.h"

static const struct {
    const char *text;
    apr_time_t seconds; /* 0: invalid */
    apr_time_t micros;
} times[] = {
    {"2027-01-15T08:00:00Z", 1800000000, 0},
    {"2027-01-15t08:00:00z", 1800000000, 0},
    {"2027-01-15T16:00:00+08:00", 1800000000, 0},
    {"2027-01-15T03:30:00-04:30", 1800000000, 0},
    {"2027-01-15T08:00:00.25Z", 1800000000, 250000},
    {"2024-02-29T00:00:00Z", 1709164800, 0},
    {"2027-01-15T08:00:00", 0, 0},
    {"2027-01-15", 0, 0},
    {"2027-13-15T08:00:00Z", 0, 0},
    {"2027-01-32T08:00:00Z", 0, 0},
    {"2027-02-29T08:00:00Z", 0, 0},
    {"2100-02-29T08:00:00Z", 0, 0},
    {"2027-04-31T08:00:00Z", 0, 0},
    {"2027-01-15T08:00:00+24:00", 0, 0},
    {"2027-01-15T08:00:00-00:60", 0, 0},
    {"2027-01-15T08:00:00.Z", 0, 0},
    {"9999-12-31T23:59:59Z", APR_INT64_C(253402300799), 0},
    {"9999-12-31T23:59:59-00:01", 0, 0},
    {"2027-01-15T24:00:00Z", 0, 0},
    {"2027-01-15T08:60:00Z", 0, 0},
    {"2027-01-15T08:00:00Z ", 0, 0},
    {"2027-01-15T08:00:00+8:00", 0, 0},
    {"1800000000", 0, 0},
    {"", 0, 0},
};

static void times_are_read(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
        assert_true(apipool_rfc3339_read(times[i].text) ==
                    apr_time_from_sec(times[i].seconds) + times[i].micros);
    }
}

static void what_is_written_can_be_read(void **unused)
{
    char text[APIPOOL_RFC3339_SIZE];
    (void)unused;
    apipool_rfc3339_write(apr_time_from_sec(1800000000) + 999999, text);
    assert_string_equal(text, "2027-01-15T08:00:00Z");
    for (apr_time_t second = 1; second < APR_INT64_C(4102444800); second += 86399 * 31) {
        apipool_rfc3339_write(apr_time_from_sec(second), text);
        assert_true(apipool_rfc3339_read(text) == apr_time_from_sec(second));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_are_read),
        cmocka_unit_test(what_is_written_can_be_read),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("stamp", tests, NULL, NULL);
}
