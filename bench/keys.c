/* SPDX-License-Identifier: Apache-2.0
 * Measures a page of 100 keys out of 100,000, alone and while keys are lent: keys [ROUNDS] */
#include <apr_general.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "keys.h"
#include "listing.h"
#include "rebuild.h"
#include "segment_layout.h"

#define KEYS   100000
#define PAGE   100
#define ROUNDS 21
#define LIMIT  50 /* ms */

static const struct {
    const char *name;
    apipool_key_sort_e sort;
    int descending;
    apr_uint32_t offset;
    apipool_key_filter_t filter;
} rows[] = {
    {"added", APIPOOL_SORT_ADDED, 0, 0, {0, NULL, NULL}},
    {"added, the middle", APIPOOL_SORT_ADDED, 0, KEYS / 2, {0, NULL, NULL}},
    {"id, descending", APIPOOL_SORT_ID, 1, 0, {0, NULL, NULL}},
    {"label", APIPOOL_SORT_LABEL, 0, 0, {0, NULL, NULL}},
    {"total tokens, descending", APIPOOL_SORT_TOTAL_TOKENS, 1, 0, {0, NULL, NULL}},
    {"requests per day, descending", APIPOOL_SORT_RPD, 1, 0, {0, NULL, NULL}},
    {"active, by latency", APIPOOL_SORT_LATENCY, 0, 0, {1 << APIPOOL_STATE_ACTIVE, NULL, NULL}},
    {"text, by requests", APIPOOL_SORT_REQUESTS, 1, 0, {0, "7f", NULL}},
    {"all filters, by label, the middle",
     APIPOOL_SORT_LABEL,
     1,
     KEYS / 8,
     {1 << APIPOOL_STATE_ACTIVE, "b", "bench"}},
};
#define ROW_COUNT (sizeof(rows) / sizeof(*rows))

static apipool_segment_t *segment;
static apr_uint32_t pool_index, upstream;

static void fail_unless(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "keys: %s\n", what);
        exit(1);
    }
}

static double milliseconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void add_keys(void)
{
    for (apr_uint32_t i = 0; i < KEYS; i++) {
        char key[64];
        apipool_added_e added;
        int len = snprintf(key, sizeof(key), "sk-bench-%08x-%08u", i * 2654435761u, i);
        char label[64];
        apipool_key_item_t item = {.key = key,
                                   .len = (apr_size_t)len,
                                   .enabled = i % 4 != 0,
                                   .label = label,
                                   .account = "an account"};
        snprintf(label, sizeof(label), "team %u, bought in %u", i % 1000, 2020 + i % 7);
        fail_unless(apipool_pool_add(segment, upstream, &item, apr_time_now(), &added) ==
                            APR_SUCCESS &&
                        added == APIPOOL_ADDED,
                    "no room for the keys");
        apipool_slot_t *slot = &segment->slots[i];
        slot->counts.total = i * 2654435761u % 1000000;
        slot->counts.requests = slot->counts.total / 1000;
        slot->counts.timed = i % 2;
        slot->counts.latency = (double)(slot->counts.total % 777);
    }
}

static void open_segment(apr_pool_t *p)
{
    static const unsigned char secret[APIPOOL_SECRET_SIZE] = {1};
    apr_global_mutex_t *mutex;
    apr_shm_t *shm;
    fail_unless(apr_global_mutex_create(&mutex, NULL, APR_LOCK_DEFAULT, p) == APR_SUCCESS &&
                    apipool_segment_create(&shm, KEYS, 16, 16, secret, p) == APR_SUCCESS &&
                    apipool_segment_view(&segment, shm, mutex, apipool_rebuild_locked, p) ==
                        APR_SUCCESS &&
                    apipool_pool_attach(segment, "", "bench", &pool_index) == APR_SUCCESS &&
                    apipool_pool_upstream(segment, pool_index, "bench", &upstream) == APR_SUCCESS,
                "no shared memory");
    add_keys();
}

/* --- Requests that go on meanwhile, in a separate process --- */

#define SAMPLES 2000000

/* How long it took to lend a key and give it back, in sequence. */
typedef struct {
    volatile int stop;
    apr_uint32_t count;
    float us[SAMPLES];
} requests_t;

static void lend_once(void)
{
    static const apipool_key_limits_t no_limits;
    static const apipool_policy_t policy = {
        .cooldown_min = 1, .cooldown_max = 1, .recover_min = 1, .recover_max = 1, .max_errors = 5};
    static const apipool_verdict_t success = {.rule = APIPOOL_RULE_SUCCESS,
                                              .event = APIPOOL_EVENT_SUCCESS};
    static apipool_lease_t lease;
    apipool_source_t source = {.upstream = upstream, .weight = 1};
    apipool_lend_request_t request = {.pool = pool_index,
                                      .sources = &source,
                                      .source_count = 1,
                                      .tokens = 100,
                                      .limits = &no_limits,
                                      .waiter = APIPOOL_NONE};
    apipool_report_t report = {
        .verdict = &success, .status = 200, .tokens = 50, .headroom = -1, .policy = &policy};
    apipool_lent_t lent;
    apipool_outcome_t outcome;
    apr_time_t now = apr_time_now();
    fail_unless(apipool_pool_lend(segment, &request, now, &lease, &lent) == APR_SUCCESS &&
                    lent.result == APIPOOL_ACQUIRED &&
                    apipool_pool_report(segment, &lease, &report, now, &outcome) == APR_SUCCESS,
                "no key");
}

/* About 5,000 requests a second. */
static void lend_until_stopped(requests_t *requests)
{
    const struct timespec pause = {.tv_nsec = 150000};
    while (!requests->stop && requests->count < SAMPLES) {
        double begin = milliseconds();
        lend_once();
        requests->us[requests->count++] = (float)((milliseconds() - begin) * 1000);
        nanosleep(&pause, NULL);
    }
}

static pid_t start_requests(requests_t *requests)
{
    requests->stop = 0;
    requests->count = 0;
    pid_t child = fork();
    fail_unless(child >= 0, "no process");
    if (!child) {
        apipool_segment_enter(segment);
        lend_until_stopped(requests);
        _exit(0);
    }
    return child;
}

static int by_size(const void *a, const void *b)
{
    float left = *(const float *)a, right = *(const float *)b;
    return (left > right) - (left < right);
}

static float p99(requests_t *requests)
{
    qsort(requests->us, requests->count, sizeof(*requests->us), by_size);
    return requests->us[(apr_uint64_t)requests->count * 99 / 100];
}

static float stop_requests(requests_t *requests, pid_t child)
{
    requests->stop = 1;
    waitpid(child, NULL, 0);
    fail_unless(requests->count > 0, "no request was served");
    return p99(requests);
}

/* --- Pages --- */

static void list_page(size_t row, apr_pool_t *p)
{
    static apipool_view_key_t keys[PAGE];
    apr_uint64_t ids[PAGE];
    apr_uint32_t slots[PAGE];
    apr_array_header_t *listed;
    apr_time_t now = apr_time_now();
    apr_pool_clear(p);
    fail_unless(apipool_listing_find(segment, pool_index, &rows[row].filter, rows[row].sort, now, p,
                                     &listed) == APR_SUCCESS,
                "no list");
    fail_unless(apipool_listing_sort(listed, rows[row].sort, rows[row].descending, rows[row].offset,
                                     PAGE) == PAGE,
                "the page is not full");
    for (apr_uint32_t i = 0; i < PAGE; i++) {
        apipool_listed_t *one = &APR_ARRAY_IDX(listed, rows[row].offset + i, apipool_listed_t);
        ids[i] = one->id;
        slots[i] = one->slot;
    }
    fail_unless(apipool_view_keys(segment, pool_index, ids, slots, PAGE, now, keys) ==
                        APR_SUCCESS &&
                    keys[PAGE - 1].found,
                "no keys");
}

static double measure(size_t row, int rounds, apr_pool_t *p)
{
    float took[99];
    for (int i = 0; i < rounds; i++) {
        double begin = milliseconds();
        list_page(row, p);
        took[i] = (float)(milliseconds() - begin);
    }
    qsort(took, (size_t)rounds, sizeof(*took), by_size);
    return took[rounds / 2];
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS, good = 1;
    requests_t *requests =
        mmap(NULL, sizeof(*requests), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    apr_pool_t *p, *page;
    if (rounds < 1 || rounds > 99 || argc > 2) {
        fprintf(stderr, "usage: keys [ROUNDS], from 1 to 99\n");
        return 2;
    }
    fail_unless(requests != MAP_FAILED && apr_initialize() == APR_SUCCESS &&
                    apr_pool_create(&p, NULL) == APR_SUCCESS &&
                    apr_pool_create(&page, p) == APR_SUCCESS,
                "no memory");
    open_segment(p);
    pid_t child = start_requests(requests);
    sleep(1);
    printf("requests alone: %.1f us at p99 to lend a key and take it back\n\n",
           stop_requests(requests, child));
    printf("%-36s %8s %8s %13s\n", "ms for 100 of 100,000 keys, by", "alone", "busy",
           "requests p99");
    for (size_t i = 0; i < ROW_COUNT; i++) {
        double alone = measure(i, rounds, page);
        child = start_requests(requests);
        double busy = measure(i, rounds, page);
        float slowest = stop_requests(requests, child);
        int within = alone <= LIMIT && busy <= LIMIT;
        printf("%-36s %8.1f %8.1f %10.1f us%s\n", rows[i].name, alone, busy, slowest,
               within ? "" : "  above 50 ms");
        fflush(stdout);
        good &= within;
    }
    apr_terminate();
    return good ? 0 : 1;
}
