/* SPDX-License-Identifier: Apache-2.0
 * Processes that change everything in a segment until they are killed, and checks of what must
 * be left. */
#ifndef APIPOOL_UNIT_REPAIR_FIXTURE_H
#define APIPOOL_UNIT_REPAIR_FIXTURE_H

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "pool_fixture.h"
#include "queue.h"
#include "sessions.h"
#include "stats.h"

#define SLOTS     400
#define UPSTREAMS 4
#define KEYS      160 /* existing from the beginning */
#define LEASES    6   /* per process at a time */
#define MODELS    9
#define CLIENTS   500
#define COMING    1000 /* numbers of keys that come and go and are never lent */
#define GOING     60

/* Results of the processes, in memory of their own: what has certainly been done. */
typedef struct {
    apr_uint32_t added, waiting, stop, strange;
    apr_uint64_t lent, recorded, worked;
} told_t;

static told_t *told;
static apr_uint32_t upstreams[UPSTREAMS]; /* two of the main pool, one each of two others */

/* One process. A modest one avoids fault points that cannot be reached forever: it adds no key
 * and no name, and meets no limit. */
typedef struct {
    apr_uint32_t random, lent, waiter, modest, asks;
    apr_time_t clock;               /* 0: of the system */
    apipool_client_charge_t charge; /* of the last admitted request of a client */
    apipool_lease_t asked;          /* with asks: the key that is being probed */
    apipool_lease_t leases[LEASES];
    apipool_source_t sources[2];
} worker_t;

/* Every seventh key is too long for a slot. The text of a key depends only on its number. */
static inline apr_size_t key_text(char *text, apr_uint32_t number)
{
    apr_size_t len = number % 7 == 3 ? 257 + number * 37 % 1800 : 20;
    snprintf(text, APIPOOL_KEY_MAX, "sk-%06u-", number);
    memset(text + 10, 'a' + (int)(number % 26), len - 10);
    text[len] = '\0';
    return len;
}

static const char *const labels[] = {"", "short",
                                     "a label of more than one block of the arena, so "
                                     "that blocks of several sizes come and go"};

static inline apr_status_t add_numbered(apr_uint32_t upstream, apr_uint32_t number,
                                        apipool_added_e *added)
{
    static const char *const accounts[] = {"", "", "acme", "other"};
    char text[APIPOOL_KEY_MAX + 1];
    apipool_key_item_t item = {.key = text,
                               .len = key_text(text, number),
                               .enabled = number % 50 != 49 && number < COMING,
                               .weight = 1 + number % 3,
                               .label = labels[number % 3],
                               .account = accounts[number % 4]};
    item.limits.rpm = number % 5 ? 0 : 300;
    item.limits.concurrency = number % 3 ? 0 : 2;
    return apipool_pool_add(segment, upstream, &item, NOW, added);
}

static inline void populate(void)
{
    apr_uint32_t other = attach("", "other"), third = attach("vhost", "main");
    upstreams[0] = upstream_a;
    upstreams[1] = upstream_b;
    upstreams[2] = upstream_of(other, "c");
    upstreams[3] = upstream_of(third, "d");
    for (apr_uint32_t i = 0; i < KEYS; i++) {
        apipool_added_e added;
        assert_int_equal(add_numbered(upstreams[i % UPSTREAMS], i, &added), APR_SUCCESS);
        assert_int_equal(added, APIPOOL_ADDED);
    }
    told->added = KEYS;
}

static inline int open_world(void **state)
{
    *state = open_with(SLOTS + GOING);
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (told == MAP_FAILED) {
        return -1;
    }
    populate();
    return 0;
}

static inline int close_world(void **state)
{
    munmap(told, sizeof(*told));
    fixture_close(*state);
    return 0;
}

static inline apr_uint32_t draw(worker_t *worker, apr_uint32_t bound)
{
    return next_random(&worker->random) % bound;
}

static inline apr_time_t time_of(worker_t *worker)
{
    worker->clock += worker->clock ? 20 : 0;
    return worker->clock ? worker->clock : apr_time_now();
}

static inline void note(apr_uint32_t strange)
{
    __atomic_add_fetch(&told->strange, strange, __ATOMIC_RELAXED);
}

/* --- Work of a worker -------------------------------------------------------------------------- */

static inline apipool_lend_request_t draw_request(worker_t *worker)
{
    apr_uint32_t upstream = draw(worker, UPSTREAMS);
    apr_uint64_t model = draw(worker, MODELS);
    apipool_lend_request_t request = want((apipool_strategy_e)draw(worker, APIPOOL_STRATEGY_COUNT));
    worker->sources[0] =
        (apipool_source_t){.upstream = upstreams[upstream], .weight = 1, .model = model};
    worker->sources[1] = (apipool_source_t){.upstream = upstream_b, .weight = 1, .model = model};
    request.sources = worker->sources;
    request.source_count = upstream ? 1 : 2;
    request.pool = segment->upstreams[upstreams[upstream]].pool;
    request.affinity = draw(worker, 4) ? 0 : 1 + draw(worker, 100);
    request.client = draw(worker, 5);
    request.waits_for = 77;
    request.tokens = 1 + draw(worker, 20);
    return request;
}

/* Notes if the lent key is not one that was added. */
static inline void note_key(const apipool_lease_t *lent)
{
    char text[APIPOOL_KEY_MAX + 1];
    apr_size_t len = key_text(text, (apr_uint32_t)strtoul(lent->key + 3, NULL, 10));
    note(len != lent->len || memcmp(text, lent->key, len) != 0);
}

static inline void work_acquire(worker_t *worker)
{
    apipool_lend_request_t request = draw_request(worker);
    apipool_lease_t *lent = &worker->leases[worker->lent];
    apipool_lent_t result;
    if (worker->lent == LEASES) {
        return;
    }
    request.waits_for = 1; /* no other request waits for it */
    note(apipool_pool_lend(segment, &request, time_of(worker), lent, &result) != APR_SUCCESS);
    if (result.result == APIPOOL_ACQUIRED) {
        note_key(lent);
        __atomic_add_fetch(&told->lent, 1, __ATOMIC_RELAXED);
        worker->lent++;
    }
}

static const apipool_policy_t hasty = {.cooldown_min = 2000,
                                       .cooldown_max = 40000,
                                       .recover_min = 3000,
                                       .recover_max = 50000,
                                       .recover_spread = 200,
                                       .max_errors = 3};

static inline apipool_rule_e draw_rule(worker_t *worker)
{
    static const apipool_rule_e rules[] = {
        APIPOOL_RULE_SUCCESS,        APIPOOL_RULE_SUCCESS,    APIPOOL_RULE_SUCCESS,
        APIPOOL_RULE_SUCCESS,        APIPOOL_RULE_SUCCESS,    APIPOOL_RULE_SUCCESS,
        APIPOOL_RULE_CLIENT_GONE,    APIPOOL_RULE_RATE_LIMIT, APIPOOL_RULE_RATE_LIMIT,
        APIPOOL_RULE_RATE_LIMIT,     APIPOOL_RULE_FORBIDDEN,  APIPOOL_RULE_CLIENT_ERROR,
        APIPOOL_RULE_UPSTREAM_ERROR, APIPOOL_RULE_QUOTA,      APIPOOL_RULE_CREDENTIAL};
    return worker->modest ? APIPOOL_RULE_SUCCESS
                          : rules[draw(worker, sizeof(rules) / sizeof(*rules))];
}

static inline void work_report(worker_t *worker)
{
    apipool_verdict_t verdict = verdict_of(draw_rule(worker), 0);
    apipool_report_t what = {.verdict = &verdict,
                             .tokens = (apr_int64_t)draw(worker, 20),
                             .headroom = -1,
                             .client = draw(worker, 5),
                             .policy = &hasty};
    apipool_outcome_t came_of_it;
    if (!worker->lent) {
        return;
    }
    apr_uint32_t which = draw(worker, worker->lent);
    apipool_lease_t *lent = &worker->leases[which];
    if (draw(worker, 4) == 0) {
        note(apipool_pool_proved(segment, lent, time_of(worker)) != APR_SUCCESS);
    }
    if (verdict.rule == APIPOOL_RULE_RATE_LIMIT && draw(worker, 3) == 0) {
        verdict.scope = APIPOOL_SCOPE_KEY;
    }
    note(apipool_pool_report(segment, lent, &what, time_of(worker), &came_of_it) != APR_SUCCESS);
    if (verdict.rule == APIPOOL_RULE_FORBIDDEN) {
        note(apipool_pool_forbidden(segment, lent, &what, time_of(worker)) != APR_SUCCESS);
    }
    *lent = worker->leases[--worker->lent];
}

static inline void ask(worker_t *worker)
{
    apr_uint32_t upstream = upstreams[draw(worker, UPSTREAMS)];
    apr_time_t now = time_of(worker);
    apipool_recovery_search_t search = {.upstream = upstream,
                                        .reasons = APIPOOL_PROBE_DUE | APIPOOL_PROBE_BALANCE,
                                        .policy = &hasty,
                                        .interval = 20000};
    apipool_state_e state;
    unsigned reason = 0;
    note(apipool_recovery_next(segment, &search, now, &worker->asked, &state, &reason) !=
         APR_SUCCESS);
    if (reason) {
        note_key(&worker->asked);
        worker->asks = 1;
    }
}

/* Probes a key, or reports the result. */
static inline void work_probe(worker_t *worker)
{
    apipool_outcome_t came_of_it;
    apipool_probe_report_t what = {.result =
                                       (apipool_probed_e)draw(worker, APIPOOL_PROBED_EMPTY + 1),
                                   .upstream_failed = draw(worker, 2) != 0,
                                   .has_balance = draw(worker, 2) != 0,
                                   .balances = {.count = 2, .of = {{12.5, "USD"}, {1, "CNY"}}},
                                   .policy = &hasty};
    if (!worker->asks) {
        ask(worker);
        return;
    }
    note(apipool_recovery_probed(segment, &worker->asked, &what, time_of(worker), &came_of_it) !=
         APR_SUCCESS);
    worker->asks = 0;
}

/* A number is reserved before its key is added, so that two processes do not add the same one. */
static inline void work_add(worker_t *worker)
{
    apr_uint32_t number = __atomic_fetch_add(&told->added, 1, __ATOMIC_RELAXED);
    apipool_added_e added = APIPOOL_FULL;
    if (number < SLOTS) {
        note(add_numbered(upstreams[draw(worker, UPSTREAMS)], number, &added) != APR_SUCCESS);
    }
}

/* Moves a key to the other upstream of its pool. */
static inline void work_move(worker_t *worker)
{
    apipool_added_e added = APIPOOL_DUPLICATE;
    apr_uint32_t number = draw(worker, KEYS / UPSTREAMS) * UPSTREAMS + draw(worker, 2);
    note(add_numbered(upstreams[draw(worker, 2)], number, &added) != APR_SUCCESS ||
         added != APIPOOL_DUPLICATE);
}

/* Adds or removes an unused key, whether it exists or not. */
static inline void work_come_or_go(worker_t *worker)
{
    apipool_added_e added;
    char text[APIPOOL_KEY_MAX + 1];
    apr_uint32_t number = COMING + draw(worker, GOING), upstream = upstreams[number % UPSTREAMS];
    if (draw(worker, 2)) {
        note(add_numbered(upstream, number, &added) != APR_SUCCESS || added == APIPOOL_FULL);
        return;
    }
    apr_uint64_t id = apipool_key_id(segment->header->store.secret, text, key_text(text, number));
    apr_status_t rv = apipool_pool_remove(segment, segment->upstreams[upstream].pool, id);
    note(rv != APR_SUCCESS && rv != APR_NOTFOUND);
}

static inline void work_edit(worker_t *worker)
{
    char text[APIPOOL_KEY_MAX + 1];
    apr_uint32_t number = draw(worker, KEYS),
                 pool = segment->upstreams[upstreams[number % UPSTREAMS]].pool;
    apr_uint64_t id = apipool_key_id(segment->header->store.secret, text, key_text(text, number));
    apipool_key_patch_t patch = {.edit = {.set = APIPOOL_SET_LABEL | APIPOOL_SET_ENABLED,
                                          .label = labels[draw(worker, 3)],
                                          .enabled = draw(worker, 3) != 0},
                                 .upstream = APIPOOL_NONE};
    note((draw(worker, 4) ? apipool_pool_edit(segment, pool, id, &patch)
                          : apipool_pool_reset(segment, pool, id)) != APR_SUCCESS);
}

/* Creates, removes, moves or changes a client of this process, or uses it. There is room for all of
 * them. */
static inline void work_client(worker_t *worker)
{
    apr_uint32_t number = draw(worker, 12), what = draw(worker, 7);
    apipool_client_image_t image = {.server = "", .terms = {.enabled = 1, .lists_len = 3}};
    apipool_client_pass_t pass;
    apr_time_t now = time_of(worker), at;
    snprintf(image.name, sizeof(image.name), "client %u", number);
    image.digest[0] = image.digest[31] = (unsigned char)number;
    image.old_digest[0] = image.old_digest[31] = (unsigned char)(number + 100);
    image.old_until = number % 4 ? now : 0;
    image.terms.limits[APIPOOL_CLIENT_RPM] = number % 2 ? 50 : 0;
    if (number % 3) {
        memcpy(image.terms.lists, "p\0q\0\0\0e\0", image.terms.lists_len = 9);
    }
    apr_status_t rv =
        what == 0   ? apipool_client_add(segment, &image)
        : what == 1 ? apipool_client_remove(segment, "", image.name)
        : what == 2 ? apipool_client_set_terms(segment, "", image.name, &image.terms)
        : what == 3 ? apipool_client_move(segment, image.digest, draw(worker, 3) ? "" : "elsewhere",
                                          image.name)
        : what == 4 ? apipool_client_set_keys(segment, &image)
                    : apipool_client_recognise(segment, image.digest, "", NULL, now, &pass, NULL);
    note(rv != APR_SUCCESS && rv != APR_NOTFOUND && rv != APR_EEXIST);
    if (what > 4 && rv == APR_SUCCESS) {
        apipool_client_charge_t charge = {
            .index = pass.index, .serial = pass.serial, .tokens = 10, .concurrency = number % 4};
        apipool_client_admitted_e result;
        note(apipool_client_admit(segment, &charge, now, &result, &at) != APR_SUCCESS);
        if (charge.at) {
            note(apipool_client_leave(segment, &worker->charge) != APR_SUCCESS);
            worker->charge = charge;
        }
    }
}

static inline void work_wait(worker_t *worker)
{
    apipool_lend_request_t request = draw_request(worker);
    if (worker->waiter == APIPOOL_NONE) {
        note(apipool_pool_enter_queue(segment, request.pool, request.waits_for, &worker->waiter) !=
             APR_SUCCESS);
    }
    else {
        note(apipool_pool_leave_queue(segment, worker->waiter) != APR_SUCCESS);
        worker->waiter = APIPOOL_NONE;
    }
}

static inline void work_record(worker_t *worker)
{
    char name[32];
    apipool_request_stats_t stats = {
        .entry = {.pool = main_pool, .ending = APIPOOL_ENDED_COMPLETE, .model = "m"},
        .upstream = draw(worker, 2) ? upstream_a : APIPOOL_NONE,
        .finished = {.attempts = 1, .success = 1, .tokens = {3, 4, 0, 7}, .latency = 1000}};
    stats.used = (apipool_client_used_t){
        .charge = worker->charge, .reached = draw(worker, 4) != 0, .tokens = draw(worker, 20)};
    snprintf(name, sizeof(name), "client %u", draw(worker, worker->modest ? 3 : CLIENTS));
    apipool_name_make(&stats.client, name, strlen(name));
    apipool_name_make(&stats.model, "m", 1);
    note(apipool_stats_record(segment, &stats, time_of(worker)) != APR_SUCCESS);
    worker->charge.is_in_flight = 0;
    __atomic_add_fetch(&told->recorded, 1, __ATOMIC_RELAXED);
}

/* Session of an operator. */
static inline void work_session(worker_t *worker)
{
    apr_time_t now = time_of(worker);
    apr_uint64_t who = 1 + draw(worker, 40);
    switch (draw(worker, 4)) {
    case 0:
        note(apipool_sessions_revoke(segment, 1 + draw(worker, 5000), now + SEC(1), now) !=
             APR_SUCCESS);
        break;
    case 1:
        if (!apipool_sessions_login_wait(segment, who, now)) {
            apipool_sessions_login_result(segment, who, draw(worker, 3) == 0, now);
        }
        break;
    case 2:
        apipool_sessions_viewer_enter(segment, 7, 20);
        break;
    default:
        apipool_sessions_viewer_leave(segment, 7);
    }
}

static inline void work_once(worker_t *worker)
{
    apr_uint32_t dice = draw(worker, worker->modest ? 80 : 124);
    if (dice < 35) {
        work_acquire(worker);
    }
    else if (dice < 70) {
        work_report(worker);
    }
    else if (dice < 75) {
        work_wait(worker);
    }
    else if (dice < 80) {
        work_record(worker);
    }
    else if (dice < 88) {
        work_move(worker);
    }
    else if (dice < 99) {
        work_probe(worker);
    }
    else if (dice < 100) {
        work_add(worker);
    }
    else if (dice < 108) {
        work_come_or_go(worker);
    }
    else if (dice < 112) {
        work_edit(worker);
    }
    else if (dice < 116) {
        work_client(worker);
    }
    else {
        work_session(worker);
    }
    __atomic_add_fetch(&told->worked, 1, __ATOMIC_RELAXED);
}

/* Gives back everything that it holds. */
static inline void finish(worker_t *worker)
{
    while (worker->lent) {
        work_report(worker);
    }
    if (worker->asks) {
        work_probe(worker);
    }
    if (worker->waiter != APIPOOL_NONE) {
        work_wait(worker);
    }
}

static inline worker_t a_worker(apr_uint32_t seed)
{
    return (worker_t){.random = seed * 2654435761u | 1, .waiter = APIPOOL_NONE};
}

/* Works until it is killed, has had its turns, or is told to stop. */
static inline pid_t start(fixture_t *f, worker_t worker, long turns, const char *fault)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) {
        return pid;
    }
    if ((fault && setenv("APIPOOL_FAULT", fault, 1)) ||
        apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS) {
        _exit(1);
    }
    segment->mutex = f->mutex;
    apipool_segment_enter(segment);
    alarm(120); /* does not outlive a test that failed long ago */
    while (turns-- && !__atomic_load_n(&told->stop, __ATOMIC_RELAXED)) {
        work_once(&worker);
    }
    finish(&worker);
    _exit(0);
}

/* --- What must be left ------------------------------------------------------------------------- */

static inline void check_whole(const char *when)
{
    assert_int_equal(apipool_segment_lock(segment), APR_SUCCESS);
    const char *fault = consistency_of(segment);
    apipool_segment_unlock(segment);
    if (fault) {
        fail_msg("%s: %s", when, fault);
    }
}

/* The original keys exist: each id once in its pool, with its secret. That secrets match their
 * ids was checked before. */
static inline void check_keys(apr_uint32_t deaths)
{
    apr_uint32_t least = told->added < SLOTS ? told->added : SLOTS;
    char text[APIPOOL_KEY_MAX + 1];
    assert_true(segment->header->slots.used + deaths >= least);
    for (apr_uint32_t number = 0; number < KEYS; number++) {
        apr_uint64_t id =
            apipool_key_id(segment->header->store.secret, text, key_text(text, number));
        apr_uint32_t pool = segment->upstreams[upstreams[number % UPSTREAMS]].pool, found = 0;
        for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
            found += segment->slots[i].id == id && segment->slots[i].pool == pool;
        }
        assert_int_equal(found, 1);
    }
}

/* Requests that are finished or in flight; recorded ones; those counted by the ring. */
static inline void check_sums(apr_uint64_t deaths)
{
    apr_uint64_t requests = 0, recorded = segment->stats[main_pool].counters.counts.requests;
    for (apr_uint32_t i = 0; i < segment->header->slots.used; i++) {
        requests += segment->slots[i].counts.requests + segment->slots[i].in_flight;
    }
    assert_in_range(requests + deaths, told->lent, told->lent + 2 * deaths);
    assert_in_range(recorded + deaths, told->recorded, told->recorded + 2 * deaths);
    assert_in_range(*segment->recent.pushed + deaths, told->recorded, told->recorded + 2 * deaths);
}

#endif
