/* SPDX-License-Identifier: Apache-2.0
 * Random events over src/pool/pool: invariants always hold, and every key comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "account.h"
#include "breaker.h"
#include "pool_fixture.h"
#include "queue.h"
#include "slots.h"

#define KEYS      24
#define ACCOUNTS  3 /* 0: none */
#define MODELS    10
#define LEASES    24
#define PROBES    4
#define PROCESSES 4
#define LOG       64
#define DAY       SEC(86400)
#define NAMED_MAX DAY /* longest time that an upstream names */
#define WAY_OUT   (policy.recover_max + SEC(25 * 3600))

/* State of a key outside the segment. */
typedef struct {
    apr_time_t floor[MODELS]; /* not to be lent earlier; [0]: for all models */
    struct {
        apr_time_t at;
        apr_uint32_t tokens, lease;
    } log[LOG]; /* requests that it was lent for */
    apr_uint32_t logged, proving, in_flight, account;
    int probing;
    apr_time_t asked_at;
} known_t;

typedef struct {
    apr_uint32_t random;
    apr_time_t now;
    const apipool_rule_e *rules; /* verdicts are drawn from these */
    apr_uint32_t rule_count;
    apipool_lease_t leases[LEASES];
    apr_uint32_t owner[LEASES], serial[LEASES];
    apr_uint32_t lent, serials;
    known_t keys[KEYS];
    apr_time_t account_floor[ACCOUNTS][MODELS];
    apr_uint64_t requests, successes, errors, verdicts, lost;
    apr_uint32_t waiter;
    apipool_lease_t probe[PROBES];
    apr_uint32_t prober[PROBES], probes;
    int harmless; /* no probe reports anything bad */
} world_t;

static world_t world;

static apr_uint32_t draw(apr_uint32_t bound)
{
    return next_random(&world.random) % bound;
}

static apr_time_t later(apr_time_t a, apr_time_t b)
{
    return a > b ? a : b;
}

/* A third of the keys has its own limits, half of them an account. */
static void populate(void)
{
    char key[16];
    static const char *const accounts[ACCOUNTS] = {"", "acme", "other"};
    for (apr_uint32_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        apipool_key_item_t item = {.key = key,
                                   .len = strlen(key),
                                   .enabled = 1,
                                   .weight = 1 + i % 3,
                                   .account = accounts[i % 6 < 4 ? 0 : i % 6 - 3]};
        if (i % 3 == 1) {
            item.limits = (apipool_key_limits_t){.rpm = 20, .tpm = 600, .concurrency = 3};
        }
        assert_int_equal(add_item(i % 2 ? upstream_a : upstream_b, &item), APIPOOL_ADDED);
        world.keys[i].account = i % 6 < 4 ? 0 : i % 6 - 3;
    }
}

static void begin(const apipool_rule_e *rules, apr_uint32_t rule_count, apr_uint32_t seed)
{
    memset(&world, 0, sizeof(world));
    world.random = seed;
    world.now = NOW;
    world.rules = rules;
    world.rule_count = rule_count;
    world.waiter = APIPOOL_NONE;
    probed = 0;
    limits = (apipool_key_limits_t){.rpm = 40, .concurrency = 6};
    populate();
}

/* Requests within the last minute must be within the limits. */
static void check_limits(apr_uint32_t key)
{
    const known_t *known = &world.keys[key];
    const apipool_slot_t *slot = &segment->slots[key];
    apr_uint32_t requests = 0, tokens = 0;
    for (apr_uint32_t i = 0; i < LOG && i < known->logged; i++) {
        if (known->log[i].at > world.now - SEC(60)) {
            requests++;
            tokens += known->log[i].tokens;
        }
    }
    assert_true(requests <= apipool_slot_limit(slot, &limits, APIPOOL_RPM));
    assert_true(!slot->limits.tpm || tokens <= slot->limits.tpm);
    assert_true(known->in_flight <= (slot->limits.concurrency ? slot->limits.concurrency : 6));
}

static void note_lent(apr_uint32_t tokens)
{
    known_t *known = &world.keys[lease.slot];
    apr_uint32_t model = (apr_uint32_t)lease.model;

    assert_true(known->floor[model] <= world.now || (lease.proving && model == 0));
    if (!lease.proving) {
        assert_true(known->floor[0] <= world.now);
        assert_true(known->account == 0 ||
                    (world.account_floor[known->account][0] <= world.now &&
                     world.account_floor[known->account][model] <= world.now));
    }
    known->proving += lease.proving != 0;
    assert_true(known->proving <= 1);
    known->in_flight++;
    known->log[known->logged % LOG].at = world.now;
    known->log[known->logged % LOG].tokens = tokens;
    known->log[known->logged++ % LOG].lease = ++world.serials;
    world.serial[world.lent] = world.serials;
    world.owner[world.lent] = segment->process;
    world.leases[world.lent++] = lease;
    world.requests++;
    check_limits(lease.slot);
}

/* Returns 1 if nothing known prevents lending a key. */
static int is_idle(const apipool_lend_request_t *request, apr_uint32_t key)
{
    apipool_slot_t *slot = &segment->slots[key];
    const apipool_upstream_t *u = &segment->upstreams[slot->upstream];
    apr_uint64_t model = request->sources[0].model;
    apr_uint32_t model_slot = apipool_members_model_slot_locked(segment, slot->upstream, model);
    int wanted_here = 0;

    for (int i = 0; i < request->source_count; i++) {
        wanted_here |= request->sources[i].upstream == slot->upstream;
    }
    for (int i = 0; i < request->tried_count; i++) {
        wanted_here &= request->tried[i] != key;
    }
    if (!wanted_here || apipool_breaker_until_locked(u, model, request->client, world.now) ||
        apipool_breaker_is_last_resort_locked(u, model, request->client, world.now) ||
        (model_slot && slot->place[model_slot] != APIPOOL_NONE &&
         slot->until[model_slot] > world.now)) {
        return 0;
    }
    if (apipool_slot_admits_at_locked(slot, request->limits, request->tokens, world.now) >
        world.now) {
        return 0;
    }
    const apipool_account_limit_t *account_limit =
        apipool_account_find_locked(segment, slot->pool, slot->account, model, world.now);
    int waits_for_requests =
        slot->state == APIPOOL_STATE_COOLING || slot->state == APIPOOL_STATE_HALF_OPEN;
    return !account_limit &&
           (slot->usable || (waits_for_requests && slot->heap && slot->until[0] <= world.now));
}

static void check_nothing_idle(const apipool_lend_request_t *request, apipool_acquired_e result)
{
    for (apr_uint32_t key = 0; result != APIPOOL_QUEUED && key < KEYS; key++) {
        if (is_idle(request, key)) {
            fail_msg("key %u is idle, and there is none: %d", key, (int)result);
        }
    }
    if (result == APIPOOL_ALL_COOLING || result == APIPOOL_ALL_PAUSED || result == APIPOOL_QUEUED) {
        assert_true(retry_at > world.now);
    }
}

static int promises;

/* Retry-After never promises earlier than the first key that can serve, if nothing happens until then. For what is in
 * flight it is a guess of one second. It is for a later request, which has tried none. */
static void check_promise(apipool_lend_request_t *request, apipool_acquired_e result)
{
    apr_time_t promised = retry_at;
    int is_known = (result == APIPOOL_ALL_COOLING || result == APIPOOL_ALL_PAUSED) &&
                   promised <= world.now + SEC(60) && promised != world.now + SEC(1);
    if (!is_known || draw(4)) {
        return;
    }
    request->look_only = 1;
    request->tried_count = 0;
    world.now = promised;
    apipool_acquired_e then = acquire_request(request, world.now);
    assert_true(then == APIPOOL_ACQUIRED || then == APIPOOL_ALL_BUSY);
    promises++;
}

/* Both upstreams or one, of one priority or two. */
static apipool_lend_request_t draw_request(apr_uint32_t model)
{
    static apr_uint32_t tried[4];
    apipool_lend_request_t request = want((apipool_strategy_e)draw(APIPOOL_STRATEGY_COUNT));
    sources[0].model = sources[1].model = model;
    sources[1].priority = draw(3) == 0;
    sources[1].weight = 1 + draw(2);
    request.source_count = draw(4) ? 2 : 1;
    request.affinity = draw(5) ? 0 : 1 + draw(50);
    request.tokens = draw(10) ? 1 + draw(50) : 1 + draw(600);
    request.waits_for = model;
    request.look_only = draw(10) == 0;
    request.tried = tried;
    while (request.tried_count < 4 && draw(3) == 0) {
        tried[request.tried_count++] = draw(KEYS);
    }
    return request;
}

static void random_acquire(void)
{
    apipool_lend_request_t request = draw_request(draw(3) ? draw(3) : draw(MODELS));
    if (world.lent == LEASES) {
        return;
    }
    segment->process = 1 + draw(PROCESSES);
    request.client = draw(3);
    apipool_acquired_e result = acquire_request(&request, world.now);
    if (result != APIPOOL_ACQUIRED) {
        check_nothing_idle(&request, result);
        check_promise(&request, result);
    }
    else if (!request.look_only) {
        for (int i = 0; i < request.tried_count; i++) {
            assert_int_not_equal(lease.slot, request.tried[i]);
        }
        note_lent(request.tokens);
    }
}

static void forget_lease(apr_uint32_t which)
{
    known_t *known = &world.keys[world.leases[which].slot];
    known->in_flight--;
    known->proving -= world.leases[which].proving != 0;
    world.lent--;
    world.leases[which] = world.leases[world.lent];
    world.owner[which] = world.owner[world.lent];
    world.serial[which] = world.serial[world.lent];
}

/* A limit applies to the key, and to its account if the scope says so, from when the key could
 * be lent. */
static void note_limit(const apipool_lease_t *lent, const apipool_verdict_t *verdict,
                       apipool_state_e before)
{
    known_t *known = &world.keys[lent->slot];
    int whole = verdict->scope != APIPOOL_SCOPE_MODEL;
    apr_uint32_t model = whole ? 0 : (apr_uint32_t)lent->model;
    apr_time_t until = verdict->retry_at > world.now              ? verdict->retry_at
                       : outcome.rule == APIPOOL_RULE_SHARED_FATE ? 0
                                                                  : world.now + policy.cooldown_min;
    if (before != APIPOOL_STATE_ACTIVE && before != APIPOOL_STATE_COOLING) {
        return;
    }
    known->floor[model] = later(known->floor[model], until);
    if (known->account && verdict->scope != APIPOOL_SCOPE_KEY) {
        apr_time_t *floor = &world.account_floor[known->account][model];
        *floor = later(*floor, until);
    }
}

static void note_tokens(apr_uint32_t which, apr_uint32_t used)
{
    known_t *known = &world.keys[world.leases[which].slot];
    for (apr_uint32_t i = 0; i < LOG; i++) {
        if (known->log[i].lease == world.serial[which]) {
            known->log[i].tokens = used;
        }
    }
}

/* The account has worked, so its limits are obsolete. */
static void note_proof(const apipool_lease_t *lent)
{
    world.account_floor[world.keys[lent->slot].account][0] = 0;
}

static apipool_verdict_t draw_verdict(void)
{
    static const apipool_scope_e scopes[] = {APIPOOL_SCOPE_MODEL, APIPOOL_SCOPE_MODEL,
                                             APIPOOL_SCOPE_KEY, APIPOOL_SCOPE_ACCOUNT};
    apipool_rule_e rule = world.rules[draw(world.rule_count)];
    apr_interval_time_t span = draw(20) ? SEC(30) : NAMED_MAX;
    apipool_verdict_t verdict =
        verdict_of(rule, draw(2) ? world.now + (apr_time_t)(draw(1000) * (span / 1000)) : 0);
    if (rule == APIPOOL_RULE_RATE_LIMIT) {
        verdict.scope = scopes[draw(4)];
    }
    return verdict;
}

/* Another key has meanwhile served the same request. */
static void forbid(const apipool_lease_t *lent, const apipool_verdict_t *verdict)
{
    apipool_report_t what = {.verdict = verdict, .headroom = -1, .tokens = -1, .policy = &policy};
    const apipool_slot_t *slot = &segment->slots[lent->slot];
    apipool_state_e before = slot->state;
    apr_uint64_t errors = slot->counts.errors;
    assert_int_equal(apipool_pool_forbidden(segment, lent, &what, world.now), APR_SUCCESS);
    world.errors += slot->counts.errors - errors;
    if (slot->counts.errors > errors) {
        note_limit(lent, verdict, before);
    }
}

static void random_report(void)
{
    if (!world.lent) {
        return;
    }
    apr_uint32_t which = draw(world.lent);
    const apipool_lease_t lent = world.leases[which];
    apipool_slot_t *slot = &segment->slots[lent.slot];
    apipool_state_e before = slot->state;
    apipool_verdict_t verdict = draw_verdict();
    apr_int64_t tokens = draw(3) ? (apr_int64_t)draw(lent.tokens + 1) : -1;

    client = draw(3);
    may_doubt = draw(2) != 0;
    report_as(&lent, &verdict, tokens, world.now);
    assert_int_equal(outcome.state, slot->state);
    if (tokens >= 0) {
        note_tokens(which, (apr_uint32_t)tokens);
    }
    if (verdict.event == APIPOOL_EVENT_RATE_LIMITED && verdict.rule != APIPOOL_RULE_FORBIDDEN) {
        note_limit(&lent, &verdict, before);
    }
    else if (verdict.rule == APIPOOL_RULE_FORBIDDEN && outcome.rule != APIPOOL_RULE_SHARED_FATE &&
             draw(2)) {
        forbid(&lent, &verdict);
    }
    if (verdict.event == APIPOOL_EVENT_SUCCESS && lent.proving) {
        note_proof(&lent);
    }
    world.successes += verdict.event == APIPOOL_EVENT_SUCCESS;
    world.errors += outcome.rule != APIPOOL_RULE_SHARED_FATE &&
                    outcome.rule != APIPOOL_RULE_FORBIDDEN && !outcome.doubted &&
                    verdict.event != APIPOOL_EVENT_SUCCESS && verdict.event != APIPOOL_EVENT_NONE;
    world.verdicts++;
    world.lost += outcome.lost != 0;
    forget_lease(which);
    if (outcome.doubted) {
        apr_uint64_t errors = slot->counts.errors;
        settle_doubt(&lent, &verdict, (apipool_doubted_e)draw(3), world.now);
        world.errors += slot->counts.errors - errors;
        world.lost += outcome.lost != 0;
    }
}

static void random_proof(void)
{
    if (world.lent) {
        apipool_lease_t *lent = &world.leases[draw(world.lent)];
        known_t *known = &world.keys[lent->slot];
        if (lent->proving) {
            note_proof(lent);
        }
        known->proving -= lent->proving != 0;
        assert_int_equal(apipool_pool_proved(segment, lent, world.now), APR_SUCCESS);
        assert_int_equal(lent->proving, 0);
    }
}

static void forget_probe(apr_uint32_t which)
{
    world.keys[world.probe[which].slot].probing = 0;
    world.probes--;
    world.probe[which] = world.probe[world.probes];
    world.prober[which] = world.prober[world.probes];
}

static void random_death(void)
{
    apr_uint32_t process = 1 + draw(PROCESSES);
    assert_int_equal(apipool_pool_reclaim(segment, process, world.now), APR_SUCCESS);
    for (apr_uint32_t i = world.lent; i-- > 0;) {
        if (world.owner[i] == process) {
            note_tokens(i, 0);
            forget_lease(i);
        }
    }
    for (apr_uint32_t i = world.probes; i-- > 0;) {
        if (world.prober[i] == process) {
            forget_probe(i);
        }
    }
    world.waiter = APIPOOL_NONE; /* all processes take turns with it */
    assert_int_equal(apipool_pool_reclaim(segment, 99, world.now), APR_SUCCESS);
}

/* The same key is added to the other upstream. */
static void random_import(void)
{
    char name[16];
    apr_uint32_t key = draw(KEYS);
    apr_uint32_t upstream = draw(2) ? upstream_a : upstream_b;
    snprintf(name, sizeof(name), "key %u", key);
    if (segment->slots[key].upstream != upstream) { /* its limits for models end */
        memset(&world.keys[key].floor[1], 0, (MODELS - 1) * sizeof(apr_time_t));
    }
    assert_int_equal(add(upstream, name), APIPOOL_DUPLICATE);
}

/* A probe begins, or a running one ends. A waiting key is not probed twice within an interval. */
static void random_probe(void)
{
    apr_uint32_t upstream = draw(2) ? upstream_a : upstream_b;
    apipool_state_e state;
    if (world.probes < PROBES && draw(2)) {
        apipool_lease_t *probe = &world.probe[world.probes];
        int found;
        segment->process = 1 + draw(PROCESSES);
        if (draw(4)) {
            found = lend_due(upstream, world.now, probe, &state);
        }
        else if (draw(2)) {
            found = lend_probe(upstream, APIPOOL_PROBE_CHECK, 0, world.now, probe, &state);
        }
        else {
            found = lend_probe(upstream, APIPOOL_PROBE_BALANCE, SEC(600), world.now, probe, &state);
        }
        if (found) {
            known_t *known = &world.keys[probe->slot];
            assert_false(known->probing);
            assert_true(!apipool_health_is_recovering(state) || state == APIPOOL_STATE_QUOTA ||
                        world.now >= known->asked_at + policy.recover_min);
            known->probing = 1;
            known->asked_at = world.now;
            world.prober[world.probes++] = segment->process;
        }
    }
    else if (world.probes) {
        apr_uint32_t which = draw(world.probes);
        apipool_probed_e any = (apipool_probed_e)draw(world.harmless ? APIPOOL_PROBED_REJECTED : 6);
        apipool_probe_report_t what = {.result = draw(8) ? APIPOOL_PROBED_ACCEPTED : any,
                                       .has_balance = draw(2) != 0,
                                       .upstream_failed = draw(2) != 0,
                                       .policy = &policy};
        apipool_lease_t probe = world.probe[which];
        forget_probe(which);
        assert_int_equal(apipool_recovery_probed(segment, &probe, &what, world.now, &outcome),
                         APR_SUCCESS);
        if ((what.result == APIPOOL_PROBED_ACCEPTED || what.result == APIPOOL_PROBED_EMPTY) &&
            what.has_balance) {
            note_proof(&probe);
        }
    }
}

static void random_wait(void)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    request.waits_for = MODELS - 1 - draw(2); /* rarely requested */
    segment->process = 99;
    if (world.waiter == APIPOOL_NONE) {
        assert_int_equal(
            apipool_pool_enter_queue(segment, request.pool, request.waits_for, &world.waiter),
            APR_SUCCESS);
    }
    else {
        assert_int_equal(apipool_pool_leave_queue(segment, world.waiter), APR_SUCCESS);
        world.waiter = APIPOOL_NONE;
    }
}

static void random_event(void)
{
    apr_uint32_t dice = draw(1000);
    if (dice < 400) {
        random_acquire();
    }
    else if (dice < 780) {
        random_report();
    }
    else if (dice < 860) {
        random_probe();
    }
    else if (dice < 960) {
        world.now += draw(draw(50) ? SEC(2) : draw(10) ? SEC(60) : SEC(2000));
    }
    else if (dice < 985) {
        random_proof();
    }
    else if (dice < 990) {
        random_death();
    }
    else if (dice < 994) {
        random_import();
    }
    else {
        random_wait();
    }
}

static void check_counts(void)
{
    const char *fault = consistency_of(segment);
    if (fault) {
        fail_msg("%s", fault);
    }
    apipool_totals_t a = totals_of(upstream_a), b = totals_of(upstream_b);
    apr_uint64_t verdicts = 0;
    for (int i = 0; i < APIPOOL_RULE_COUNT; i++) {
        verdicts += a.rules[i] + b.rules[i];
    }
    assert_int_equal(a.requests + b.requests, world.requests);
    assert_int_equal(a.successes + b.successes, world.successes);
    assert_int_equal(a.errors + b.errors, world.errors);
    assert_int_equal(a.in_flight + b.in_flight, world.lent);
    assert_int_equal(verdicts, world.verdicts);
}

/* Lends each available key once, for any model or for one of them. */
static int count_usable(apr_uint32_t model)
{
    static apipool_lease_t lent[KEYS];
    apr_uint32_t tried[KEYS];
    int count = 0;
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_ROUND_ROBIN);
    sources[0].model = sources[1].model = model;
    sources[1].priority = 0;
    request.tried = tried;
    while (count < KEYS && acquire_request(&request, world.now) == APIPOOL_ACQUIRED) {
        tried[request.tried_count++] = lease.slot;
        lent[count++] = lease;
    }
    for (int i = 0; i < count; i++) {
        report_lease(&lent[i], APIPOOL_RULE_SUCCESS, 0, world.now);
    }
    return count;
}

/* From here on all answers are good. */
static void check_the_way_out(void)
{
    apr_time_t end = world.now + WAY_OUT;
    int usable = 0;
    assert_int_equal(apipool_pool_reclaim_all(segment, world.now), APR_SUCCESS);
    sources[1].priority = 0;
    probed = 1;
    for (int i = 0; world.now < end; i++) {
        sources[0].model = sources[1].model = (apr_uint64_t)(i % MODELS);
        apipool_acquired_e result = acquire_by(APIPOOL_STRATEGY_SMART, world.now);
        if (result == APIPOOL_ACQUIRED) {
            report(APIPOOL_RULE_SUCCESS, 0, world.now);
        }
        world.now += result == APIPOOL_ACQUIRED && i % 20 ? SEC(1) / 2 : SEC(20);
    }
    for (apr_uint32_t key = 0; key < KEYS; key++) {
        if (segment->slots[key].state != APIPOOL_STATE_ACTIVE) {
            fail_msg("key %u is %s", key, apipool_state_name(segment->slots[key].state));
        }
    }
    for (apr_uint32_t model = 0; model < MODELS; model++) {
        world.now += SEC(3600);
        usable = count_usable(model);
        if (usable != KEYS) {
            fail_msg("%d keys for model %u", usable, model);
        }
    }
}

static int steps(void)
{
    const char *wish = getenv("APIPOOL_TEST_STEPS");
    int count = wish ? atoi(wish) : 0;
    return count > 0 ? count : 1000000;
}

static const apipool_rule_e all_rules[] = {
    APIPOOL_RULE_SUCCESS,        APIPOOL_RULE_SUCCESS,      APIPOOL_RULE_SUCCESS,
    APIPOOL_RULE_SUCCESS,        APIPOOL_RULE_SUCCESS,      APIPOOL_RULE_CLIENT_GONE,
    APIPOOL_RULE_BROKE_OFF,      APIPOOL_RULE_NOT_SENT,     APIPOOL_RULE_NO_ANSWER,
    APIPOOL_RULE_QUOTA,          APIPOOL_RULE_CREDENTIAL,   APIPOOL_RULE_RATE_LIMIT,
    APIPOOL_RULE_RATE_LIMIT,     APIPOOL_RULE_RATE_LIMIT,   APIPOOL_RULE_FORBIDDEN,
    APIPOOL_RULE_NO_MODEL,       APIPOOL_RULE_CLIENT_ERROR, APIPOOL_RULE_UPSTREAM_ERROR,
    APIPOOL_RULE_UPSTREAM_ERROR, APIPOOL_RULE_OVERLOADED};

/* Runs several worlds one after the other, so that failures occur close to the beginning. */
static void whatever_happens_every_promise_is_kept(void **unused)
{
    int worlds = 10, requests = 0, lost = 0;
    for (int w = 0; w < worlds; w++) {
        fixture_t *f = open_with(CAPACITY);
        begin(all_rules, sizeof(all_rules) / sizeof(*all_rules), 1234567u + (apr_uint32_t)w);
        for (int i = 0; i < steps() / worlds; i++) {
            random_event();
            if (i % 500 == 0) {
                check_counts();
            }
        }
        check_counts();
        check_the_way_out();
        requests += (int)world.requests;
        lost += (int)world.lost;
        fixture_close(f);
    }
    assert_true(steps() < 100000 ||
                (requests > steps() / 20 && lost > steps() / 1000 && promises > steps() / 1000));
}

static const apipool_rule_e harmless_rules[] = {APIPOOL_RULE_SUCCESS,      APIPOOL_RULE_CLIENT_GONE,
                                                APIPOOL_RULE_BROKE_OFF,    APIPOOL_RULE_NOT_SENT,
                                                APIPOOL_RULE_NO_ANSWER,    APIPOOL_RULE_NO_MODEL,
                                                APIPOOL_RULE_CLIENT_ERROR, APIPOOL_RULE_OVERLOADED};
static const apipool_rule_e limiting_rules[] = {
    APIPOOL_RULE_SUCCESS,      APIPOOL_RULE_CLIENT_GONE, APIPOOL_RULE_BROKE_OFF,
    APIPOOL_RULE_NOT_SENT,     APIPOOL_RULE_NO_ANSWER,   APIPOOL_RULE_RATE_LIMIT,
    APIPOOL_RULE_RATE_LIMIT,   APIPOOL_RULE_FORBIDDEN,   APIPOOL_RULE_NO_MODEL,
    APIPOOL_RULE_CLIENT_ERROR, APIPOOL_RULE_OVERLOADED};

static void check_that_none_is_lost(const apipool_rule_e *rules, apr_uint32_t rule_count)
{
    begin(rules, rule_count, 7654321);
    world.harmless = 1;
    for (int i = 0; i < steps() / 10; i++) {
        random_event();
        assert_int_equal(world.lost, 0);
    }
    check_counts();
    for (apr_uint32_t key = 0; key < KEYS; key++) {
        apipool_state_e state = segment->slots[key].state;
        assert_true(state == APIPOOL_STATE_ACTIVE || state == APIPOOL_STATE_COOLING);
    }
    check_the_way_out();
}

static void what_is_no_fault_of_a_key_never_costs_it_anything(void **unused)
{
    check_that_none_is_lost(harmless_rules, sizeof(harmless_rules) / sizeof(*harmless_rules));
    for (apr_uint32_t key = 0; key < KEYS; key++) {
        assert_int_equal(segment->slots[key].counts.errors, 0);
    }
}

static void rate_limits_make_keys_cool_and_no_more(void **unused)
{
    check_that_none_is_lost(limiting_rules, sizeof(limiting_rules) / sizeof(*limiting_rules));
}

/* One client is refused with any key, or served at will; the others must not notice. */
#define ATTACKER   666
#define ATTEMPTS   4
#define ASKED_EACH SEC(10)
#define ASKED_MAX  16 /* per upstream, in that time */

static struct {
    apr_time_t of_key[KEYS];
    apr_time_t of_upstream[2][ASKED_MAX];
    apr_uint32_t count[2], total, refusals;
} asked;

static int lend_one(apr_uint64_t who, const apr_uint32_t *tried, int tried_count)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    sources[0].model = sources[1].model = draw(3);
    request.client = client = who;
    request.tried = tried;
    request.tried_count = tried_count;
    return acquire_request(&request, world.now) == APIPOOL_ACQUIRED;
}

/* Refused by some keys, and sometimes served by another upstream. */
static void attack(void)
{
    apipool_lease_t lent[ATTEMPTS];
    apipool_verdict_t verdicts[ATTEMPTS];
    apr_uint32_t tried[ATTEMPTS];
    int count = 0;
    may_doubt = 1;
    while (count < ATTEMPTS && lend_one(ATTACKER, tried, count)) {
        if (count && lease.upstream != lent[0].upstream && draw(2)) {
            report(APIPOOL_RULE_SUCCESS, 0, world.now);
            break;
        }
        verdicts[count] = verdict_of(draw(2) ? APIPOOL_RULE_QUOTA : APIPOOL_RULE_CREDENTIAL, 0);
        report_as(&lease, &verdicts[count], 0, world.now);
        assert_true(outcome.doubted);
        tried[count] = lease.slot;
        lent[count++] = lease;
    }
    for (int i = 0; i < count; i++) {
        settle_doubt(&lent[i], &verdicts[i], APIPOOL_DOUBT_ENDED, world.now);
        assert_false(outcome.lost);
    }
    asked.refusals += (apr_uint32_t)count;
    may_doubt = 0;
}

static void serve(apr_uint64_t who)
{
    if (lend_one(who, NULL, 0)) {
        report(APIPOOL_RULE_SUCCESS, 0, world.now);
    }
}

static void check_asked(const apipool_lease_t *probe)
{
    int u = probe->upstream == upstream_b;
    apr_time_t *before = &asked.of_upstream[u][asked.count[u]++ % ASKED_MAX];
    assert_true(world.now - asked.of_key[probe->slot] >= ASKED_EACH);
    assert_true(world.now - *before >= ASKED_EACH);
    asked.of_key[probe->slot] = *before = world.now;
    asked.total++;
}

/* No probe blames a key, as none is at fault. */
static void ask_or_answer(void)
{
    static const apipool_probed_e answers[] = {APIPOOL_PROBED_ACCEPTED, APIPOOL_PROBED_ACCEPTED,
                                               APIPOOL_PROBED_NOT_FOUND, APIPOOL_PROBED_UNKNOWN};
    apipool_state_e state;
    if (world.probes < PROBES && draw(3)) {
        apipool_lease_t *probe = &world.probe[world.probes];
        segment->process = 1 + draw(PROCESSES);
        if (lend_probe(draw(2) ? upstream_a : upstream_b, APIPOOL_PROBE_CHECK, 0, world.now, probe,
                       &state)) {
            check_asked(probe);
            world.prober[world.probes++] = segment->process;
        }
    }
    else if (world.probes) {
        apipool_probe_report_t what = {.result = answers[draw(4)],
                                       .has_balance = draw(4) == 0,
                                       .upstream_failed = draw(8) == 0,
                                       .status = draw(8) ? 200 : 0,
                                       .is_check = 1,
                                       .policy = &policy};
        apipool_lease_t probe = world.probe[--world.probes];
        assert_int_equal(apipool_recovery_probed(segment, &probe, &what, world.now, &outcome),
                         APR_SUCCESS);
    }
}

static void attack_or_not(void)
{
    apr_uint32_t dice = draw(100);
    if (dice < 40) {
        attack();
    }
    else if (dice < 55) {
        serve(draw(2) ? ATTACKER : 1 + draw(2));
    }
    else if (dice < 75) {
        ask_or_answer();
    }
    else if (dice < 99) {
        world.now += draw(draw(20) ? SEC(1) : draw(10) ? SEC(30) : SEC(2000));
    }
    else {
        random_death();
    }
}

static void no_client_takes_out_a_key(void **unused)
{
    begin(all_rules, 1, 192837465);
    limits = (apipool_key_limits_t){0};
    memset(&asked, 0, sizeof(asked));
    for (apr_uint32_t tried[KEYS], i = 0; i < KEYS; i++) { /* all of them have served */
        assert_true(lend_one(1, tried, (int)i));
        tried[i] = lease.slot;
        report(APIPOOL_RULE_SUCCESS, 0, world.now);
    }
    for (int i = 0; i < steps() / 10; i++) {
        attack_or_not();
        for (apr_uint32_t key = 0; key < KEYS; key++) {
            assert_true(segment->slots[key].state == APIPOOL_STATE_ACTIVE ||
                        segment->slots[key].state == APIPOOL_STATE_COOLING);
            assert_int_equal(segment->slots[key].counts.errors, 0);
        }
    }
    assert_true(steps() < 100000 || (asked.total > 100 && asked.refusals > 10 * asked.total));
}

/* --- Requests at fault, over scripted vendors -------------------------------------------------- */

#define HONEST_MODEL 77

/* What vendors say of a request that is at fault; they say it whatever the key, or to every other
 * key. Bodies as reported by users. */
static const struct {
    int status;
    const char *body;
    int by_key; /* other keys serve it */
} faulty[] = {
    {403,
     "{\"code\":30011,\"message\":\"The selected model requires paid balance. Your paid balance is "
     "insufficient. Please top up and try again.\",\"data\":null}",
     1},
    {401, "{\"error\":{\"type\":\"ModelError\",\"message\":\"Model is not supported\"}}", 1},
    {401, "{\"error\":{\"type\":\"key_model_access_denied\",\"code\":\"401\"}}", 1},
    {429, "{\"error\":{\"message\":\"insufficient balance (1008)\"}}", 1},
    {402, "{\"error\":{\"code\":402,\"message\":\"Insufficient credits\"}}", 1},
    {429, "{\"error\":{\"code\":\"1113\",\"message\":\"in arrears\"}}", 1},
    {401, "{\"error\":{\"code\":\"invalid_api_key\",\"message\":\"Incorrect API key\"}}", 0},
    {402, "{\"error\":{\"message\":\"Insufficient Balance\"}}", 0},
    {403, "{\"error\":{\"code\":\"unsupported_country_region_territory\"}}", 0},
    {404, "{\"error\":{\"code\":\"model_not_found\"}}", 0},
    {400, "{\"error\":{\"type\":\"invalid_request_error\"}}", 0},
    {413, "", 0},
    {415, "unsupported media type", 0},
    {422, "not JSON at all", 0},
    {500, "{\"error\":{\"type\":\"server_error\"}}", 0},
    {503, "{\"error\":{\"code\":\"model_not_found\",\"message\":\"no channel\"}}", 0},
};

static apipool_verdict_t judge_faulty(apr_uint32_t fault)
{
    apipool_evidence_t evidence = {.phase = APIPOOL_PHASE_ANSWERED,
                                   .status = faulty[fault].status,
                                   .body = faulty[fault].body,
                                   .body_len = strlen(faulty[fault].body),
                                   .now = world.now};
    return apipool_verdict(&evidence);
}

static int lend_model(apr_uint64_t model, const apr_uint32_t *tried, int tried_count)
{
    apipool_lend_request_t request = want(APIPOOL_STRATEGY_SMART);
    sources[0].model = sources[1].model = model;
    request.client = client;
    request.tried = tried;
    request.tried_count = tried_count;
    return acquire_request(&request, world.now) == APIPOOL_ACQUIRED;
}

/* What became of the attempts of one request. */
static struct {
    apipool_lease_t lent[ATTEMPTS], forbidden;
    apipool_verdict_t verdicts[ATTEMPTS], forbidden_by;
    int count, has_forbidden;
} at_fault;

/* As src/relay does it at the end of a request: see blame.c. */
static void settle_faulty(apr_uint32_t served_by)
{
    for (int i = 0; i < at_fault.count; i++) {
        settle_doubt(&at_fault.lent[i], &at_fault.verdicts[i],
                     at_fault.lent[i].upstream != served_by ? APIPOOL_DOUBT_ENDED
                     : at_fault.count > 1                   ? APIPOOL_DOUBT_SERVED
                                                            : APIPOOL_DOUBT_BLAMED,
                     world.now);
    }
    if (at_fault.has_forbidden && served_by != APIPOOL_NONE) {
        apipool_report_t what = {
            .verdict = &at_fault.forbidden_by, .headroom = -1, .tokens = -1, .policy = &policy};
        assert_int_equal(apipool_pool_forbidden(segment, &at_fault.forbidden, &what, world.now),
                         APR_SUCCESS);
    }
}

static void note_faulty(const apipool_verdict_t *verdict)
{
    if (outcome.doubted) {
        at_fault.verdicts[at_fault.count] = *verdict;
        at_fault.lent[at_fault.count++] = lease;
    }
    if (verdict->rule == APIPOOL_RULE_FORBIDDEN) {
        at_fault.has_forbidden = 1;
        at_fault.forbidden = lease;
        at_fault.forbidden_by = *verdict;
    }
}

/* Any model but that of the honest client, now and then none; the same one often. */
static void send_faulty(void)
{
    apr_uint32_t fault = draw(sizeof(faulty) / sizeof(*faulty)), tried[ATTEMPTS];
    apr_uint64_t model = draw(10) ? 1000 + draw(draw(2) ? 4 : 100000) : 0;
    apr_uint32_t served_by = APIPOOL_NONE;
    int by_key = faulty[fault].by_key && model && draw(2), count = 0;
    memset(&at_fault, 0, sizeof(at_fault));
    client = 1 + draw(3);
    may_doubt = 1;
    while (count < ATTEMPTS && lend_model(model, tried, count)) {
        tried[count++] = lease.slot;
        if (by_key && lease.slot / 2 % 2) {
            report(APIPOOL_RULE_SUCCESS, 0, world.now);
            served_by = lease.upstream;
            break;
        }
        apipool_verdict_t verdict = judge_faulty(fault);
        report_as(&lease, &verdict, 0, world.now);
        note_faulty(&verdict);
        if (verdict.action == APIPOOL_PASS) {
            break;
        }
    }
    settle_faulty(served_by);
}

/* No key is at fault, so no probe says so; not every vendor can be asked. */
static void ask_scripted(int vendor)
{
    static const apipool_probed_e answers[] = {APIPOOL_PROBED_ACCEPTED, APIPOOL_PROBED_NOT_FOUND,
                                               APIPOOL_PROBED_UNKNOWN};
    apipool_lease_t probe;
    apipool_state_e state;
    while (lend_probe(draw(2) ? upstream_a : upstream_b, APIPOOL_PROBE_CHECK, 0, world.now, &probe,
                      &state)) {
        apipool_probe_report_t what = {
            .result = answers[vendor], .status = 200, .is_check = 1, .policy = &policy};
        assert_int_equal(apipool_recovery_probed(segment, &probe, &what, world.now, &outcome),
                         APR_SUCCESS);
    }
}

/* An upstream that has just rejected every key is the last one to be asked, for a second. */
static void check_all_serve(void)
{
    world.now += SEC(1);
    client = 99;
    may_doubt = 0;
    for (apr_uint32_t tried[KEYS], i = 0; i < KEYS; i++) {
        if (!lend_model(HONEST_MODEL, tried, (int)i)) {
            fail_msg("%u keys serve; key 0 is %s because of %s", i,
                     apipool_state_name(segment->slots[0].state),
                     apipool_slot_reason_code(&segment->slots[0]));
        }
        tried[i] = lease.slot;
        report(APIPOOL_RULE_SUCCESS, 0, world.now);
    }
}

static int requests_at_fault(void)
{
    const char *wish = getenv("APIPOOL_TEST_REQUESTS");
    int count = wish ? atoi(wish) : 0;
    return count > 0 ? count : 10000;
}

/* By vendor: whether its probes are conclusive. By turns: an honest client is served meanwhile, or
 * only before and afterwards. */
static void whatever_clients_send_all_keys_serve_an_honest_one(void **unused)
{
    for (int turn = 0; turn < 6; turn++) {
        fixture_t *f = open_with(CAPACITY);
        begin(all_rules, 1, 24681357u + (apr_uint32_t)turn);
        limits = (apipool_key_limits_t){0};
        for (apr_uint32_t key = 0; key < KEYS; key++) {
            segment->slots[key].limits = limits;
        }
        check_all_serve();
        for (int i = 0; i < requests_at_fault(); i++) {
            send_faulty();
            world.now += draw(10) ? draw(SEC(1) / 10) : draw(SEC(5));
            if (draw(20) == 0) {
                ask_scripted(turn / 2);
            }
            if (turn % 2 && draw(50) == 0) {
                check_all_serve();
            }
        }
        check_all_serve();
        assert_int_equal(totals_of(upstream_a).keys[APIPOOL_STATE_ACTIVE] +
                             totals_of(upstream_b).keys[APIPOOL_STATE_ACTIVE],
                         KEYS);
        fixture_close(f);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(whatever_happens_every_promise_is_kept),
    TEST(what_is_no_fault_of_a_key_never_costs_it_anything),
    TEST(rate_limits_make_keys_cool_and_no_more),
    TEST(no_client_takes_out_a_key),
    cmocka_unit_test(whatever_clients_send_all_keys_serve_an_honest_one),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("property", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
