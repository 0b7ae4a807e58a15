/* SPDX-License-Identifier: Apache-2.0
 * Looking for the key of the next attempt, and waiting for one: APIPoolWait. */
#include "acquire.h"

#include <stddef.h>

#include "budget.h"
#include "client_conn.h"
#include "facts.h"
#include "monotonic.h"
#include "queue.h"
#include "reply.h"

/* a key may be given back */
#define LOOK_AGAIN apr_time_from_msec(100)
#define WHEN_BUSY  apr_time_from_msec(10)
#define SHORTEST   apr_time_from_msec(1)

static int is_worth_waiting(apipool_acquired_e result)
{
    return result == APIPOOL_ALL_COOLING || result == APIPOOL_ALL_BUSY ||
           result == APIPOOL_ALL_PAUSED || result == APIPOOL_QUEUED;
}

static apr_interval_time_t pause_before_next(const apipool_found_t *found, apr_time_t now,
                                             apr_time_t until)
{
    apr_interval_time_t pause =
        apipool_shorter(found->lent.result == APIPOOL_ALL_BUSY ? WHEN_BUSY : LOOK_AGAIN,
                        until - apipool_monotonic_now());
    pause = found->lent.retry_at ? apipool_shorter(pause, found->lent.retry_at - now) : pause;
    return pause > SHORTEST ? pause : SHORTEST;
}

/* A lease that is kept takes no more memory than its key does. */
static void keep(apipool_request_t *req, const apipool_lease_t *lease)
{
    apipool_lease_t *kept = req->attempt.lease;
    apr_uint32_t longest = kept && kept->longest > lease->len ? kept->longest : lease->len;
    if (!kept || lease->len > req->lease_room) {
        if (kept) {
            apipool_lease_wipe(kept);
        }
        kept = apr_palloc(req->r->pool, offsetof(apipool_lease_t, key) + lease->len + 1);
        req->lease_room = longest = lease->len;
        req->attempt.lease = kept;
    }
    memcpy(kept, lease, offsetof(apipool_lease_t, key) + lease->len + 1);
    kept->longest = longest;
}

static apr_status_t look(apipool_request_t *req, const apipool_lend_request_t *wanted,
                         apr_time_t now, apipool_found_t *found)
{
    apipool_lease_t lease;
    lease.len = lease.longest = 0;
    apr_status_t rv =
        apipool_pool_lend(apipool_lifecycle_segment(), wanted, now, &lease, &found->lent);
    if (rv == APR_SUCCESS && found->lent.result == APIPOOL_ACQUIRED && !wanted->look_only) {
        keep(req, &lease);
    }
    apipool_lease_wipe(&lease);
    return rv;
}

/* One search for a key; a request that gets none makes another one, in a wider circle. */
typedef struct {
    apr_uint32_t without; /* an upstream's index, or APIPOOL_NONE */
    int tried_count;      /* keys that are left out */
    int waits;            /* for a key to come free */
} search_t;

#define SEARCHES 3

/* A request in line with others for a key. */
struct apipool_line_t {
    apipool_lend_request_t wanted;
    apipool_source_t sources[APIPOOL_UPSTREAMS_PER_POOL];
    int search; /* which one waits */
};

/* A retry for the upstream's sake goes to another upstream if it can, then to another key, and then
 * to one it has used: the keys that were at fault have left the rotation, or are in doubt. */
static int plan(const apipool_request_t *req, const apipool_verdict_t *last, search_t *searches)
{
    const struct apipool_budget_t *budget = req->budget;
    if (last->action == APIPOOL_RETRY) {
        searches[0] = (search_t){req->attempt.lease->upstream, budget->tried_count, 0};
        searches[1] = (search_t){APIPOOL_NONE, budget->tried_count, 1};
        searches[2] = (search_t){APIPOOL_NONE, budget->doubted_count, 1};
        return SEARCHES;
    }
    int is_elsewhere = apipool_rule(last->rule)->again == APIPOOL_AGAIN_ELSEWHERE;
    searches[0] = (search_t){is_elsewhere ? req->attempt.lease->upstream : APIPOOL_NONE,
                             budget->tried_count, !is_elsewhere};
    return 1;
}

/* Gets in line, without holding anything. Keys that are in doubt for one request are there for all
 * others, who would not get them with that one at the head of their line. While it waits, keys that
 * this request has used before count as any other: they have come free since. */
static apr_status_t get_in_line(apipool_request_t *req, const apipool_lend_request_t *wanted,
                                int search)
{
    struct apipool_line_t *line = apr_palloc(req->r->pool, sizeof(*line));
    line->wanted = *wanted;
    line->search = search;
    memcpy(line->sources, wanted->sources,
           (apr_size_t)wanted->source_count * sizeof(*wanted->sources));
    line->wanted.sources = line->sources;
    line->wanted.tried_count = wanted->doubted_count;
    if (!wanted->doubted_count) {
        apr_status_t rv = apipool_pool_enter_queue(apipool_lifecycle_segment(), wanted->pool,
                                                   wanted->waits_for, &line->wanted.waiter);
        if (rv != APR_SUCCESS || line->wanted.waiter == APIPOOL_NONE) {
            return rv;
        }
    }
    req->budget->line = line;
    return APR_SUCCESS;
}

/* Whether it goes on to wait. */
static int waits(const apipool_request_t *req, apipool_found_t *found, apr_time_t now)
{
    apr_time_t until = req->budget->wait_until;
    if (found->gone || !is_worth_waiting(found->lent.result) || apipool_monotonic_now() >= until) {
        return 0;
    }
    found->pause = pause_before_next(found, now, until);
    return 1;
}

static apr_status_t leave_line(apipool_request_t *req, apipool_found_t *found)
{
    apipool_lend_request_t *wanted = &req->budget->line->wanted;
    apr_status_t rv = APR_SUCCESS;
    req->budget->line = NULL;
    if (wanted->waiter != APIPOOL_NONE) {
        rv = apipool_pool_leave_queue(apipool_lifecycle_segment(), wanted->waiter);
        wanted->waiter = APIPOOL_NONE;
    }
    if (rv == APR_SUCCESS && found->lent.result == APIPOOL_QUEUED) {
        /* who was not the first in line does not know yet when a key comes free */
        apipool_found_t when = {.lent.result = APIPOOL_QUEUED};
        wanted->look_only = 1;
        rv = look(req, wanted, apipool_lifecycle_now(), &when);
        found->lent.retry_at = when.lent.retry_at;
    }
    return rv;
}

static apr_status_t look_from_line(apipool_request_t *req, apipool_found_t *found)
{
    apr_time_t now = apipool_lifecycle_now();
    apr_status_t rv = APR_SUCCESS;
    found->lent.result = APIPOOL_QUEUED;
    found->gone = apipool_client_conn_is_gone(req);
    if (!found->gone) {
        rv = look(req, &req->budget->line->wanted, now, found);
    }
    if (rv == APR_SUCCESS && waits(req, found, now)) {
        return rv;
    }
    apr_status_t left = leave_line(req, found);
    return rv == APR_SUCCESS ? left : rv;
}

static apr_status_t look_among(apipool_request_t *req, const search_t *search, int index,
                               apipool_found_t *found)
{
    apr_time_t now = apipool_lifecycle_now();
    apipool_source_t sources[APIPOOL_UPSTREAMS_PER_POOL];
    apipool_lend_request_t wanted;
    apipool_facts_wanted(req, search->without, sources, &wanted);
    wanted.tried = req->budget->tried;
    wanted.tried_count = search->tried_count;
    wanted.doubted_count = req->budget->doubted_count;
    wanted.sure_first = req->budget->proving;
    apr_status_t rv = look(req, &wanted, now, found);
    if (rv == APR_SUCCESS && search->waits && waits(req, found, now)) {
        rv = get_in_line(req, &wanted, index);
        found->pause = req->budget->line ? found->pause : 0;
    }
    return rv;
}

/* The last search tries keys that were used before, where no other is left. */
static int is_enough(int search, const apipool_found_t *found)
{
    apipool_acquired_e result = found->lent.result;
    return result == APIPOOL_ACQUIRED || found->gone || found->pause ||
           (search > 0 && result != APIPOOL_ALL_TRIED);
}

static apr_status_t search_on(apipool_request_t *req, const apipool_verdict_t *last,
                              apipool_found_t *found)
{
    search_t searches[SEARCHES];
    int count = plan(req, last, searches), i = 0;
    apr_status_t rv = APR_SUCCESS;
    if (req->budget->line) {
        i = req->budget->line->search;
        rv = look_from_line(req, found);
        if (rv != APR_SUCCESS || is_enough(i, found)) {
            return rv;
        }
        i++;
    }
    for (; i < count; i++) {
        rv = look_among(req, &searches[i], i, found);
        if (rv != APR_SUCCESS || is_enough(i, found)) {
            return rv;
        }
    }
    return rv;
}

apipool_found_t apipool_acquire(apipool_request_t *req, const apipool_verdict_t *last)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_found_t found = {.lent.result = APIPOOL_EXHAUSTED};
    apr_status_t rv = search_on(req, last, &found);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(
            APLOG_MARK, APLOG_CRIT, rv, req->r,
            APIPOOL_LOG(0032) "could not acquire the shared-memory lock; no key was lent");
        found = (apipool_found_t){.lent.result = APIPOOL_EXHAUSTED};
    }
    if (found.lent.result == APIPOOL_ACQUIRED) {
        budget->proving |= req->attempt.lease->proving;
        budget->tried[budget->tried_count++] = req->attempt.lease->slot;
    }
    return found;
}

/* Looks whether there is a key, and else when; lends none. */
static apr_status_t look_ahead(apipool_request_t *req, apr_time_t now, apipool_found_t *found)
{
    apipool_source_t sources[APIPOOL_UPSTREAMS_PER_POOL];
    apipool_lend_request_t wanted;
    apipool_facts_wanted(req, APIPOOL_NONE, sources, &wanted);
    wanted.look_only = 1;
    return look(req, &wanted, now, found);
}

void apipool_acquire_advise(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    apipool_found_t found;
    if (verdict->event == APIPOOL_EVENT_NONE &&
        apipool_rule(verdict->rule)->says != APIPOOL_SAYS_COOLING) {
        return;
    }
    apr_time_t now = apipool_lifecycle_now();
    if (look_ahead(req, now, &found) == APR_SUCCESS) {
        apipool_reply_advise(req, found.lent.result, found.lent.retry_at);
    }
}

apr_time_t apipool_acquire_when(apipool_request_t *req)
{
    apipool_found_t found;
    apr_time_t now = apipool_lifecycle_now();
    return look_ahead(req, now, &found) == APR_SUCCESS && found.lent.retry_at > now
               ? found.lent.retry_at
               : now;
}
