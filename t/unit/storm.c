/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/pool with many processes and threads at once, some of which are killed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "pool_fixture.h"

#define PROCESSES 4
#define THREADS   3
#define KEYS      30
#define MODELS    4
#define RPM       50
#define PARALLEL  4 /* requests in flight per key at most */

static int operations_per_thread(void)
{
    const char *wish = getenv("APIPOOL_TEST_OPS");
    int count = wish ? atoi(wish) : 0;
    return count > 0 ? count : 10000;
}

/* Results of the children, in memory of their own. */
typedef struct {
    apr_uint64_t requests, successes, strange;
    apr_uint32_t lent[KEYS];
} told_t;

static told_t *told;

/* Work of one thread; its verdicts follow a pattern. */
typedef struct {
    apr_uint32_t random;
    int count;
    int frozen; /* the clock stands still, so that limits are met exactly */
} worker_t;

static apipool_rule_e rule_of(apr_uint32_t dice)
{
    return dice % 50 == 0    ? APIPOOL_RULE_RATE_LIMIT
           : dice % 211 == 0 ? APIPOOL_RULE_QUOTA
           : dice % 307 == 0 ? APIPOOL_RULE_CREDENTIAL
           : dice % 41 == 0  ? APIPOOL_RULE_UPSTREAM_ERROR
           : dice % 13 == 0  ? APIPOOL_RULE_CLIENT_ERROR
                             : APIPOOL_RULE_SUCCESS;
}

static void one_request(worker_t *worker, const apipool_lease_t *lent)
{
    static const apipool_policy_t hasty = {.cooldown_min = 200,
                                           .cooldown_max = 2000,
                                           .recover_min = 300,
                                           .recover_max = 5000,
                                           .max_errors = 3};
    apipool_verdict_t verdict = verdict_of(
        worker->frozen ? APIPOOL_RULE_SUCCESS : rule_of(next_random(&worker->random)), 0);
    apipool_report_t what = {.verdict = &verdict,
                             .tokens = (apr_int64_t)(next_random(&worker->random) % 20),
                             .headroom = -1,
                             .policy = &hasty};
    apipool_outcome_t came_of_it;
    apr_time_t now = worker->frozen ? NOW : apr_time_now();
    int good = strncmp(lent->key, "key 0", 5) == 0 &&
               segment->slots[lent->slot].in_flight <= PARALLEL &&
               apipool_pool_report(segment, lent, &what, now, &came_of_it) == APR_SUCCESS;

    __atomic_add_fetch(&told->strange, !good, __ATOMIC_RELAXED);
    __atomic_add_fetch(&told->requests, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&told->successes, verdict.event == APIPOOL_EVENT_SUCCESS, __ATOMIC_RELAXED);
    __atomic_add_fetch(&told->lent[lent->slot], 1, __ATOMIC_RELAXED);
}

static void *work(void *data)
{
    worker_t *worker = data;
    apipool_source_t both[] = {sources[0], sources[1]};
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    apipool_lent_t result;
    apipool_lease_t lent;

    request.sources = both;
    request.tokens = 20;
    for (int i = 0; i < worker->count; i++) {
        both[0].model = both[1].model = next_random(&worker->random) % MODELS;
        request.strategy =
            (apipool_strategy_e)(next_random(&worker->random) % APIPOOL_STRATEGY_COUNT);
        request.affinity = next_random(&worker->random) % 3 ? 0 : next_random(&worker->random);
        if (apipool_pool_lend(segment, &request, worker->frozen ? NOW : apr_time_now(), &lent,
                              &result) != APR_SUCCESS) {
            __atomic_add_fetch(&told->strange, 1, __ATOMIC_RELAXED);
            return NULL;
        }
        if (result.result == APIPOOL_ACQUIRED) {
            one_request(worker, &lent);
        }
    }
    return NULL;
}

/* Work of a child. Assertions would write TAP of their own, so failures are counted. */
static void run_threads(fixture_t *f, worker_t pattern, int child)
{
    pthread_t threads[THREADS];
    static worker_t workers[THREADS];

    if (apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS) {
        _exit(1);
    }
    segment->mutex = f->mutex;
    apipool_segment_enter(segment);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = pattern;
        workers[i].random = 1000003u * (apr_uint32_t)(child * THREADS + i + 1);
        if (pthread_create(&threads[i], NULL, work, &workers[i])) {
            _exit(2);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    _exit(0);
}

static pid_t start(fixture_t *f, worker_t pattern, int child)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_threads(f, pattern, child);
    }
    return pid;
}

static void wait_for(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void run_processes(fixture_t *f, worker_t pattern)
{
    pid_t children[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = start(f, pattern, i);
    }
    for (int i = 0; i < PROCESSES; i++) {
        wait_for(children[i]);
    }
}

/* Keys of two upstreams, a third of them of one account. */
static void populate(void)
{
    char key[16];
    for (int i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "key %04d", i);
        add_of(i % 2 ? upstream_a : upstream_b, key, i % 3 ? "" : "acme");
    }
}

static int open_storm(void **state)
{
    open_segment(state);
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    populate();
    return told == MAP_FAILED ? -1 : 0;
}

static int close_storm(void **state)
{
    munmap(told, sizeof(*told));
    return close_segment(state);
}

static void check_whole(void)
{
    const char *fault = consistency_of(segment);
    if (fault) {
        fail_msg("%s", fault);
    }
}

static void many_processes_lose_no_count(void **state)
{
    worker_t pattern = {.count = operations_per_thread()};
    limits.concurrency = PARALLEL;
    run_processes(*state, pattern);
    apipool_totals_t a = totals_of(upstream_a), b = totals_of(upstream_b);
    assert_int_equal(told->strange, 0);
    assert_int_equal(a.requests + b.requests, told->requests);
    assert_int_equal(a.successes + b.successes, told->successes);
    assert_int_equal(a.in_flight + b.in_flight, 0);
    assert_true(told->requests > 1000);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(segment->slots[i].counts.requests, told->lent[i]);
    }
    check_whole();
}

static void a_limit_is_exact_whoever_asks(void **state)
{
    worker_t pattern = {.count = KEYS * RPM, .frozen = 1};
    limits.rpm = RPM;
    limits.concurrency = PARALLEL;
    run_processes(*state, pattern);
    assert_int_equal(told->strange, 0);
    assert_int_equal(told->requests, KEYS * RPM);
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(told->lent[i], RPM);
    }
    check_whole();
}

/* A process that is killed while the parent holds the lock does not hold it. */
static pid_t kill_one(pid_t child)
{
    int status;
    assert_int_equal(apipool_segment_lock(segment), APR_SUCCESS);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    apipool_segment_unlock(segment);
    assert_true(WIFSIGNALED(status));
    return child;
}

static void the_killed_leave_nothing_behind(void **state)
{
    worker_t forever = {.count = 1000000000};
    pid_t children[PROCESSES];
    limits.concurrency = PARALLEL;
    for (int i = 0; i < PROCESSES; i++) {
        children[i] = start(*state, forever, i);
    }
    for (int i = 0; i < 20; i++) {
        int victim = i % PROCESSES;
        usleep(10000);
        pid_t dead = kill_one(children[victim]);
        assert_int_equal(apipool_pool_reclaim(segment, (apr_uint32_t)dead, NOW), APR_SUCCESS);
        children[victim] = start(*state, forever, i + PROCESSES);
    }
    for (int i = 0; i < PROCESSES; i++) {
        pid_t dead = kill_one(children[i]);
        assert_int_equal(apipool_pool_reclaim(segment, (apr_uint32_t)dead, NOW), APR_SUCCESS);
    }
    assert_int_equal(told->strange, 0);
    assert_int_equal(in_flight(), 0);
    check_whole();
    for (int i = 0; i < KEYS; i++) {
        assert_int_equal(segment->slots[i].proving, 0);
    }
}

static void a_process_that_dies_with_the_lock_does_not_stop_the_others(void **state)
{
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            fixture_t *f = *state;
            int failed = apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS ||
                         apipool_segment_lock(segment) != APR_SUCCESS;
            _exit(failed);
        }
        wait_for(child);
        alarm(10); /* ends this program if the lock is lost */
        assert_int_equal(acquire(NOW), APIPOOL_ACQUIRED);
        report(APIPOOL_RULE_SUCCESS, 0, NOW);
        alarm(0);
    }
}

#define STORM(name) cmocka_unit_test_setup_teardown(name, open_storm, close_storm)

static const struct CMUnitTest tests[] = {
    STORM(many_processes_lose_no_count),
    STORM(a_limit_is_exact_whoever_asks),
    STORM(the_killed_leave_nothing_behind),
    STORM(a_process_that_dies_with_the_lock_does_not_stop_the_others),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("storm", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
