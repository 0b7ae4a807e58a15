/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/consistent_hash: fair shares, and moves when a place is added. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consistent_hash.h"

#define SESSIONS 20000

static apr_uint64_t session(int i)
{
    return (apr_uint64_t)i; /* hashes may be poor */
}

static void without_places_or_with_one_it_is_the_first(void **unused)
{
    for (int i = 0; i < 100; i++) {
        assert_int_equal(apipool_consistent_hash(session(i), 0), 0);
        assert_int_equal(apipool_consistent_hash(session(i), 1), 0);
    }
}

static void one_more_place_takes_sessions_and_moves_no_other(void **unused)
{
    static apr_uint32_t before[SESSIONS];
    for (apr_uint32_t places = 1; places <= 300; places++) {
        int moved = 0;
        for (int i = 0; i < SESSIONS; i++) {
            apr_uint32_t place = apipool_consistent_hash(session(i), places);
            assert_true(place < places);
            if (place != before[i]) {
                assert_int_equal(place, places - 1);
                moved++;
            }
            before[i] = place;
        }
        int fair = SESSIONS / (int)places;
        assert_in_range(moved, places == 1 ? 0 : fair * 2 / 5, fair * 2);
    }
}

static void every_place_has_its_share(void **unused)
{
    static const apr_uint32_t sizes[] = {2, 3, 7, 8, 9, 31, 33, 64, 65, 100, 127, 200};
    for (size_t n = 0; n < sizeof(sizes) / sizeof(*sizes); n++) {
        int counts[200] = {0};
        for (int i = 0; i < 100 * SESSIONS / 10; i++) {
            counts[apipool_consistent_hash(session(i) * 977, sizes[n])]++;
        }
        int fair = 100 * SESSIONS / 10 / (int)sizes[n];
        for (apr_uint32_t place = 0; place < sizes[n]; place++) {
            assert_in_range(counts[place], fair * 8 / 10, fair * 12 / 10);
        }
    }
}

static void many_places_work_too(void **unused)
{
    apr_uint32_t highest = 0;
    for (int i = 0; i < SESSIONS; i++) {
        apr_uint32_t place = apipool_consistent_hash(session(i), UINT32_C(1) << 31);
        assert_true(place < UINT32_C(1) << 31);
        highest = place > highest ? place : highest;
    }
    assert_true(highest > UINT32_C(1) << 30);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_places_or_with_one_it_is_the_first),
        cmocka_unit_test(one_more_place_takes_sessions_and_moves_no_other),
        cmocka_unit_test(every_place_has_its_share),
        cmocka_unit_test(many_places_work_too),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
