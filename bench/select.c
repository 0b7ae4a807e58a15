/* SPDX-License-Identifier: Apache-2.0
 * Measures lending a key and reporting on it, with few keys and with many. */
#include <apr_general.h>
#include <apr_global_mutex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "keys.h"
#include "members.h"
#include "rebuild.h"
#include "segment_layout.h"

/* bench/select [ROUNDS]
 *
 * Each row is measured alternately with 100 and with 100,000 keys. Prints medians of the rounds:
 * the time of a pair of calls, lock included, and how much longer it takes with many keys. */

#define FEW     100
#define MANY    100000
#define PAIRS   20000 /* per measurement */
#define ROUNDS  9
#define MODEL   7
#define START   apr_time_from_sec(1795348800)
#define FOREVER apr_time_from_sec(86400)

static const apipool_policy_t policy = {.cooldown_min = apr_time_from_sec(1),
                                        .cooldown_max = apr_time_from_sec(60),
                                        .recover_min = apr_time_from_sec(30),
                                        .recover_max = apr_time_from_sec(3600),
                                        .max_errors = 3};

/* A row of the table. */
typedef struct {
    const char *name;
    apipool_strategy_e strategy;
    int cooling_permille; /* share of keys that cool down, spread evenly */
    int model_permille;   /* share that cools down for the requested model */
    int limited;          /* all keys have limits, none of which is reached */
    int sticky;           /* each request belongs to another session */
    int refused_each;     /* one request in so many is rate limited; 0: none */
    int exhausted;        /* no key is usable: measures the call that finds out */
} row_t;

static const row_t rows[] = {
    {.name = "smart", .strategy = APIPOOL_STRATEGY_SMART},
    {.name = "round-robin", .strategy = APIPOOL_STRATEGY_ROUND_ROBIN},
    {.name = "least-used", .strategy = APIPOOL_STRATEGY_LEAST_USED},
    {.name = "random", .strategy = APIPOOL_STRATEGY_RANDOM},
    {.name = "fill-first", .strategy = APIPOOL_STRATEGY_FILL_FIRST},
    {.name = "smart, affinity", .strategy = APIPOOL_STRATEGY_SMART, .sticky = 1},
    {.name = "smart, four limits", .strategy = APIPOOL_STRATEGY_SMART, .limited = 1},
    {.name = "round-robin, four limits", .strategy = APIPOOL_STRATEGY_ROUND_ROBIN, .limited = 1},
    {.name = "smart, 1 in 10 limited", .strategy = APIPOOL_STRATEGY_SMART, .refused_each = 10},
    {.name = "round-robin, 1 in 10 limited",
     .strategy = APIPOOL_STRATEGY_ROUND_ROBIN,
     .refused_each = 10},
    {.name = "smart, half cool", .strategy = APIPOOL_STRATEGY_SMART, .cooling_permille = 500},
    {.name = "round-robin, half cool",
     .strategy = APIPOOL_STRATEGY_ROUND_ROBIN,
     .cooling_permille = 500},
    {.name = "random, half cool", .strategy = APIPOOL_STRATEGY_RANDOM, .cooling_permille = 500},
    {.name = "fill-first, half cool",
     .strategy = APIPOOL_STRATEGY_FILL_FIRST,
     .cooling_permille = 500},
    {.name = "smart, 99.9 % cool", .strategy = APIPOOL_STRATEGY_SMART, .cooling_permille = 999},
    {.name = "round-robin, 99.9 % cool",
     .strategy = APIPOOL_STRATEGY_ROUND_ROBIN,
     .cooling_permille = 999},
    {.name = "random, 99.9 % cool", .strategy = APIPOOL_STRATEGY_RANDOM, .cooling_permille = 999},
    {.name = "smart, half cool for the model",
     .strategy = APIPOOL_STRATEGY_SMART,
     .model_permille = 500},
    {.name = "smart, 99.9 % cool for the model",
     .strategy = APIPOOL_STRATEGY_SMART,
     .model_permille = 999},
    {.name = "round-robin, half and nearly half",
     .strategy = APIPOOL_STRATEGY_ROUND_ROBIN,
     .cooling_permille = 500,
     .model_permille = 499},
    {.name = "none left: all cool",
     .strategy = APIPOOL_STRATEGY_SMART,
     .cooling_permille = 1000,
     .exhausted = 1},
    {.name = "none left: all cool for the model",
     .strategy = APIPOOL_STRATEGY_SMART,
     .model_permille = 1000,
     .exhausted = 1},
    {.name = "none left: all cool for both",
     .strategy = APIPOOL_STRATEGY_SMART,
     .cooling_permille = 1000,
     .model_permille = 1000,
     .exhausted = 1},
};
#define ROW_COUNT (sizeof(rows) / sizeof(*rows))

typedef struct {
    apipool_segment_t *segment;
    apr_uint32_t pool, upstream;
    apr_time_t now;
} subject_t;

static void fail_unless(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "select: %s\n", what);
        exit(1);
    }
}

/* Adds keys, of which the row's shares, spread evenly, cool down. */
static void add_keys(subject_t *subject, const row_t *row, apr_uint32_t count)
{
    for (apr_uint32_t i = 0; i < count; i++) {
        char key[32];
        apipool_added_e added;
        int len = snprintf(key, sizeof(key), "sk-bench-%08u", i);
        apipool_key_item_t item = {.key = key, .len = (apr_size_t)len, .enabled = 1};
        if (row->limited) {
            item.limits = (apipool_key_limits_t){
                .rpm = 1000000000, .rpd = 1000000000, .tpm = 2000000000, .tpd = 2000000000};
        }
        fail_unless(apipool_pool_add(subject->segment, subject->upstream, &item, START, &added) ==
                            APR_SUCCESS &&
                        added == APIPOOL_ADDED,
                    "no room for the keys");
    }
}

static void cool_keys(subject_t *subject, const row_t *row, apr_uint32_t count)
{
    apr_uint32_t all = 0, one = 500; /* so that other keys cool down for the model */
    for (apr_uint32_t i = 0; i < count; i++) {
        apr_uint32_t index = (apr_uint32_t)((apr_uint64_t)i * 7919 % count);
        apipool_slot_t *slot = &subject->segment->slots[index];
        apr_time_t until = START + FOREVER + apr_time_from_sec(i % 3600);
        all += (apr_uint32_t)row->cooling_permille;
        one += (apr_uint32_t)row->model_permille;
        if (all >= 1000) {
            all -= 1000;
            slot->state = APIPOOL_STATE_COOLING;
            slot->until[0] = until;
            apipool_members_settle_locked(subject->segment, index);
        }
        if (one >= 1000) {
            one -= 1000;
            apipool_members_cool_locked(subject->segment, index, MODEL, until + FOREVER, START);
        }
    }
}

static subject_t *make_subject(const row_t *row, apr_uint32_t count, apr_pool_t *pool)
{
    subject_t *subject = apr_pcalloc(pool, sizeof(*subject));
    static const unsigned char secret[APIPOOL_SECRET_SIZE] = {1};
    apr_global_mutex_t *mutex;
    apr_shm_t *shm;
    subject->now = START;
    fail_unless(
        apr_global_mutex_create(&mutex, NULL, APR_LOCK_DEFAULT, pool) == APR_SUCCESS &&
            apipool_segment_create(&shm, count, 16, 16, secret, pool) == APR_SUCCESS &&
            apipool_segment_view(&subject->segment, shm, mutex, apipool_rebuild_locked, pool) ==
                APR_SUCCESS &&
            apipool_pool_attach(subject->segment, "", "bench", &subject->pool) == APR_SUCCESS &&
            apipool_pool_upstream(subject->segment, subject->pool, "bench", &subject->upstream) ==
                APR_SUCCESS,
        "no shared memory");
    add_keys(subject, row, count);
    cool_keys(subject, row, count);
    return subject;
}

static double nanoseconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* The mean of so many pairs of calls, 0.1 ms apart by the pool's clock. */
static double measure(subject_t *subject, const row_t *row, int pairs)
{
    static const apipool_key_limits_t no_limits;
    static const apipool_verdict_t success = {.rule = APIPOOL_RULE_SUCCESS,
                                              .event = APIPOOL_EVENT_SUCCESS};
    apipool_source_t source = {.upstream = subject->upstream, .weight = 1, .model = MODEL};
    apipool_lend_request_t request = {.pool = subject->pool,
                                      .sources = &source,
                                      .source_count = 1,
                                      .strategy = row->strategy,
                                      .tokens = 100,
                                      .limits = &no_limits,
                                      .waiter = APIPOOL_NONE};
    static apipool_lease_t lease;
    apipool_lent_t lent;
    apipool_outcome_t outcome;
    apr_uint64_t session = row->sticky;
    double begin = nanoseconds();

    for (int i = 1; i <= pairs; i++) {
        apipool_verdict_t limited = {.rule = APIPOOL_RULE_RATE_LIMIT,
                                     .scope = APIPOOL_SCOPE_MODEL,
                                     .event = APIPOOL_EVENT_RATE_LIMITED,
                                     .retry_at = subject->now + apr_time_from_msec(50)};
        int refused = row->refused_each && i % row->refused_each == 0;
        apipool_report_t report = {.verdict = refused ? &limited : &success,
                                   .status = refused ? 429 : 200,
                                   .tokens = 50,
                                   .headroom = -1,
                                   .policy = &policy};
        subject->now += 100;
        request.affinity = session;
        apr_status_t rv =
            apipool_pool_lend(subject->segment, &request, subject->now, &lease, &lent);
        if (row->exhausted) {
            fail_unless(rv == APR_SUCCESS && lent.result == APIPOOL_ALL_COOLING, "there is a key");
            continue;
        }
        fail_unless(rv == APR_SUCCESS && lent.result == APIPOOL_ACQUIRED, "there is no key");
        if (row->sticky) {
            session = (apr_uint64_t)(i + 1) * 2654435761u;
        }
        fail_unless(apipool_pool_report(subject->segment, &lease, &report, subject->now + 50,
                                        &outcome) == APR_SUCCESS,
                    "no report");
    }
    return (nanoseconds() - begin) / pairs;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[count / 2];
}

/* Returns whether the row is within its limits. */
static int print_row(const row_t *row, int rounds, apr_pool_t *parent)
{
    double few[99], many[99], ratio[99];
    apr_pool_t *pool;
    fail_unless(apr_pool_create(&pool, parent) == APR_SUCCESS, "no memory");
    row_t few_row = *row; /* if hardly any key is usable, as many in both pools */
    int sparse = !row->exhausted && (row->cooling_permille > 500 || row->model_permille > 500);
    if (sparse) {
        few_row.cooling_permille = row->cooling_permille > 500 ? 900 : row->cooling_permille;
        few_row.model_permille = row->model_permille > 500 ? 900 : row->model_permille;
    }
    subject_t *small = make_subject(&few_row, sparse ? 10 * FEW : FEW, pool);
    subject_t *large = make_subject(row, MANY, pool);

    measure(small, row, PAIRS / 10); /* warms up memory and caches */
    measure(large, row, PAIRS);
    for (int i = 0; i < rounds; i++) {
        few[i] = measure(small, row, PAIRS);
        many[i] = measure(large, row, PAIRS);
        ratio[i] = many[i] / few[i];
    }
    double ns = median(many, rounds), times = median(ratio, rounds);
    int good = ns <= 3000;
    printf("%-36s %8.0f %9.0f %7.2f%s\n", row->name, median(few, rounds), ns, times,
           good ? "" : "  above 3,000 ns");
    fflush(stdout);
    apr_pool_destroy(pool);
    return good;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    apr_pool_t *pool;
    int good = 1;

    if (rounds < 1 || rounds > 99 || argc > 2) {
        fprintf(stderr, "usage: select [ROUNDS], from 1 to 99\n");
        return 2;
    }
    fail_unless(apr_initialize() == APR_SUCCESS && apr_pool_create(&pool, NULL) == APR_SUCCESS,
                "no memory");
    printf("%-36s %8s %9s %7s\n", "ns per acquire and report, keys:", "100", "100,000", "ratio");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        good &= print_row(&rows[i], rounds, pool);
    }
    apr_terminate();
    return good ? 0 : 1;
}
