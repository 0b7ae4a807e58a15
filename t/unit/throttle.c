/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/throttle: when long work sleeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>
#include <cmocka.h>

#include "throttle.h"

#define WORK 20000 /* microseconds of processor time */

static long worked(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent);
    return spent.tv_sec * 1000000 + spent.tv_nsec / 1000;
}

/* Counts how often a thread that works for so long goes to sleep. */
static long sleeps(void)
{
    struct rusage before, after;
    long begin = worked();
    getrusage(RUSAGE_THREAD, &before);
    while (worked() - begin < WORK) {
        apipool_throttle();
    }
    getrusage(RUSAGE_THREAD, &after);
    return after.ru_nvcsw - before.ru_nvcsw;
}

/* A busy machine may interrupt the work and thus add pauses, so only a lower bound is exact. */
static void work_pauses_once_requests_are_served(void **unused)
{
    long others = sleeps();
    apipool_throttle_share();
    assert_true(sleeps() >= others + WORK / APIPOOL_THROTTLE_WORK / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_pauses_once_requests_are_served),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
