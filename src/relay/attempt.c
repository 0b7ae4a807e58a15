/* SPDX-License-Identifier: Apache-2.0
 * The loop over keys: acquire, send, judge, report, and on or out. */
#include "attempt.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "body.h"
#include "evidence.h"
#include "gate.h"
#include "link.h"
#include "reply.h"

#define BACKOFF_FIRST 500 /* milliseconds, doubled per retry */
#define BACKOFF_MAX   5000
#define WORTH_TRYING  apr_time_from_msec(50) /* less than this before the deadline is not */
#define COOLDOWN_MIN  apr_time_from_sec(1)
#define COOLDOWN_MAX  apr_time_from_sec(60)

/* What a request may still spend, and what every attempt starts from. */
struct apipool_budget_t {
    proxy_server_conf *conf;
    const char *proxyname;
    apr_port_t proxyport;
    apr_time_t deadline; /* 0: none */
    apr_int64_t rotations, retries;
    apr_uint32_t *tried;
    int tried_count;
    apr_table_t *headers_out, *err_headers_out;
};

static apipool_segment_t *segment;

void apipool_attempt_use_segment(apipool_segment_t *shared)
{
    segment = shared;
}

int apipool_attempt_pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                                proxy_server_conf *conf, char **url)
{
    apipool_request_t *req = apipool_request_get(r);
    (void)balancer;
    (void)conf;
    (void)url;
    if (!req) {
        return DECLINED;
    }
    *worker = APR_ARRAY_IDX(req->pool->upstreams, 0, apipool_upstream_t).worker;
    return OK;
}

/* mod_proxy_http writes into the request as if it were its only attempt. */
static void wipe_slate(apipool_request_t *req)
{
    static const char *const notes[] = {
        "proxy-error-override", "error-notes",        "verbose-error-to",  "proxy_timedout",
        "proxy-status",         "proxy-100-continue", "proxy-source-port", "SSL_connect_rv"};
    request_rec *r = req->r;
    const struct apipool_budget_t *budget = req->budget;

    if (req->attempts) {
        r->headers_out = apr_table_copy(r->pool, budget->headers_out);
    }
    r->err_headers_out = apr_table_copy(r->pool, budget->err_headers_out);
    r->status = HTTP_OK;
    r->status_line = NULL;
    r->content_type = NULL;
    r->content_encoding = NULL; /* mod_mime may have guessed from the path */
    r->content_languages = NULL;
    r->sent_bodyct = 0;
    r->eos_sent = 0;
    r->no_cache = 0;
    for (apr_size_t i = 0; i < sizeof(notes) / sizeof(*notes); i++) {
        apr_table_unset(r->notes, notes[i]);
    }
    apipool_body_rewind(req);
    apipool_gate_reset(req);
}

static const apipool_upstream_t *upstream_of(const apipool_request_t *req,
                                             const apipool_lease_t *lease)
{
    int i = 0;
    while (req->pool->groups[i] != lease->group) {
        i++;
    }
    return &APR_ARRAY_IDX(req->pool->upstreams, i, apipool_upstream_t);
}

/* Sends the request once, with the leased key. Returns what mod_proxy_http returned. */
static int run(apipool_request_t *req)
{
    request_rec *r = req->r;
    const struct apipool_budget_t *budget = req->budget;
    apipool_lease_t *lease = req->attempt.lease;
    int status;

    memset(&req->attempt, 0, sizeof(req->attempt));
    req->attempt.lease = lease;
    req->attempt.upstream = upstream_of(req, lease);
    wipe_slate(req);
    req->attempt.clean_headers = r->headers_out;
    req->attempt.read_by = budget->deadline;
    req->attempts++;

    req->inside = 1;
    apipool_attempt_t *outer = apipool_link_attach(&req->attempt);
    status = proxy_run_scheme_handler(r, req->attempt.upstream->worker, budget->conf,
                                      apipool_request_url(req, req->attempt.upstream),
                                      budget->proxyname, budget->proxyport);
    apipool_link_attach(outer);
    req->inside = 0;
    return status;
}

static const char *upstream_status(const apipool_request_t *req, int status)
{
    int shown = apipool_evidence_is_overridden(req) ? status : req->r->status;
    return req->attempt.answering || apipool_evidence_is_overridden(req)
               ? apr_itoa(req->r->pool, shown)
               : "no answer";
}

/* Operators want to know when a key is lost; a cooling one comes back by itself. */
static int log_level(apipool_event_e event)
{
    switch (event) {
    case APIPOOL_EVENT_QUOTA_SPENT:
    case APIPOOL_EVENT_REJECTED:
        return APLOG_WARNING;
    case APIPOOL_EVENT_RATE_LIMITED:
        return APLOG_INFO;
    default:
        return APLOG_DEBUG;
    }
}

static void report(apipool_request_t *req, const apipool_verdict_t *verdict, int status)
{
    request_rec *r = req->r;
    char id[APIPOOL_ID_SIZE];
    apipool_report_t what = {
        .event = verdict->event,
        .status = apipool_evidence_is_overridden(req) ? status : r->status,
        .retry_at = verdict->retry_at,
        .cooldown_min = COOLDOWN_MIN,
        .cooldown_max = COOLDOWN_MAX,
    };
    apr_status_t rv = apipool_pool_report(segment, req->attempt.lease, &what, apr_time_now());
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, r,
                      APIPOOL_LOG(0030) "the pool's lock is not to be had; a result is lost");
    }
    apipool_key_id_hex(req->attempt.lease->id, id);
    ap_log_rerror(APLOG_MARK, log_level(verdict->event), 0, r,
                  APIPOOL_LOG(0031) "pool %s, attempt %d, upstream %s, key %s: %s (%s)",
                  req->pool->name, req->attempts, req->attempt.upstream->name, id,
                  apipool_rule_name(verdict->rule), upstream_status(req, status));
}

/* Pauses before a retry. Returns 0 when the deadline would pass meanwhile. */
static int back_off(const apipool_request_t *req)
{
    const struct apipool_budget_t *budget = req->budget;
    apr_int64_t done = req->pool->retries - budget->retries;
    apr_int64_t pause = done < 4 ? BACKOFF_FIRST << done : BACKOFF_MAX;
    pause = (pause < BACKOFF_MAX ? pause : BACKOFF_MAX) * (apr_int64_t)ap_random_pick(800, 1200);
    if (budget->deadline && apr_time_now() + pause + WORTH_TRYING >= budget->deadline) {
        return 0;
    }
    apr_sleep(pause);
    return 1;
}

static int has_budget(const apipool_request_t *req, const apipool_verdict_t *verdict)
{
    const struct apipool_budget_t *budget = req->budget;
    if (budget->deadline && apr_time_now() + WORTH_TRYING >= budget->deadline) {
        return 0;
    }
    return (verdict->action == APIPOOL_ROTATE && budget->rotations > 0) ||
           (verdict->action == APIPOOL_RETRY && budget->retries > 0);
}

int apipool_attempt_would_go_on(apipool_request_t *req)
{
    apipool_verdict_t verdict = apipool_evidence_judge(req, OK);
    req->attempt.judged = apr_pmemdup(req->r->pool, &verdict, sizeof(verdict));
    return has_budget(req, &verdict);
}

/* Takes from the budget what the next attempt costs. Returns 0 when there shall be none. */
static int spend(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    struct apipool_budget_t *budget = req->budget;
    if (!has_budget(req, verdict)) {
        return 0;
    }
    if (verdict->action == APIPOOL_ROTATE) {
        budget->rotations--;
        return 1;
    }
    if (!(verdict->rule == APIPOOL_R04 && apipool_evidence_is_idle_race(req)) && !back_off(req)) {
        return 0;
    }
    budget->retries--;
    return 1;
}

static apr_status_t acquire_among(apipool_request_t *req, const apr_uint32_t *groups, int count,
                                  int tried_count, apipool_acquired_e *result, apr_time_t *retry_at)
{
    apipool_wanted_t wanted = {
        .pool = req->pool->index,
        .groups = groups,
        .group_count = count,
        .strategy = apipool_config_strategy(req->pool, req->endpoint),
        .tried = req->budget->tried,
        .tried_count = tried_count,
    };
    *result = APIPOOL_EXHAUSTED;
    return apipool_pool_acquire(segment, &wanted, apr_time_now(), req->attempt.lease, result,
                                retry_at);
}

/* A retry for the upstream's sake goes to another upstream if it can, then to another key, and then to
 * one it has used: the keys that were at fault have left the rotation. */
static apr_status_t acquire_for_retry(apipool_request_t *req, apipool_acquired_e *result,
                                      apr_time_t *retry_at)
{
    const apipool_pool_t *pool = req->pool;
    int tried_count = req->budget->tried_count;
    apr_uint32_t others[APIPOOL_UPSTREAMS_MAX];
    int count = 0;

    for (int i = 0; i < pool->upstreams->nelts; i++) {
        if (pool->groups[i] != req->attempt.lease->group) {
            others[count++] = pool->groups[i];
        }
    }
    apr_status_t rv = acquire_among(req, others, count, tried_count, result, retry_at);
    if (rv == APR_SUCCESS && *result != APIPOOL_ACQUIRED) {
        rv =
            acquire_among(req, pool->groups, pool->upstreams->nelts, tried_count, result, retry_at);
    }
    if (rv == APR_SUCCESS && *result == APIPOOL_ALL_TRIED) {
        rv = acquire_among(req, pool->groups, pool->upstreams->nelts, 0, result, retry_at);
    }
    return rv;
}

static apipool_acquired_e acquire(apipool_request_t *req, const apipool_verdict_t *last,
                                  apr_time_t *retry_at)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_acquired_e result;
    apr_status_t rv = last->action == APIPOOL_RETRY
                          ? acquire_for_retry(req, &result, retry_at)
                          : acquire_among(req, req->pool->groups, req->pool->upstreams->nelts,
                                          budget->tried_count, &result, retry_at);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, req->r,
                      APIPOOL_LOG(0032) "the pool's lock is not to be had");
        return APIPOOL_EXHAUSTED;
    }
    if (result == APIPOOL_ACQUIRED) {
        budget->tried[budget->tried_count++] = req->attempt.lease->slot;
    }
    return result;
}

/* The end of a request whose last attempt did not reach the client. */
static int finish(apipool_request_t *req, const apipool_verdict_t *verdict, int status)
{
    if (req->gate.mode == APIPOOL_GATE_HOLDING) {
        apipool_gate_release(req);
        return OK;
    }
    if (verdict->rule == APIPOOL_R01) {
        return DONE;
    }
    if (apipool_evidence_is_overridden(req) || apipool_evidence_is_refused_here(req, status)) {
        return status;
    }
    if (verdict->rule == APIPOOL_R07) { /* its answer was too large to be kept */
        return apipool_reply_error(req, APIPOOL_REPLY_ALL_COOLING, verdict->retry_at);
    }
    if (verdict->rule == APIPOOL_R05 || verdict->rule == APIPOOL_R06) {
        return apipool_reply_error(req, APIPOOL_REPLY_EXHAUSTED, 0);
    }
    return apipool_reply_error(req,
                               apipool_evidence_timed_out(req, status) ? APIPOOL_REPLY_TIMEOUT
                                                                       : APIPOOL_REPLY_UNREACHABLE,
                               0);
}

static int reply_without_key(apipool_request_t *req, apipool_acquired_e result, apr_time_t retry_at)
{
    int cooling = result == APIPOOL_ALL_COOLING;
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, req->r, APIPOOL_LOG(0033) "pool %s: %s, %s",
                  req->pool->name, apipool_rule_name(cooling ? APIPOOL_R14 : APIPOOL_R15),
                  cooling ? "all usable keys are cooling" : "no key is usable");
    return apipool_reply_error(req, cooling ? APIPOOL_REPLY_ALL_COOLING : APIPOOL_REPLY_EXHAUSTED,
                               retry_at);
}

static int attempt_until_done(apipool_request_t *req)
{
    apipool_verdict_t verdict = {.action = APIPOOL_ROTATE};
    int status = OK;

    for (;;) {
        apr_time_t retry_at;
        apipool_acquired_e result = acquire(req, &verdict, &retry_at);
        if (result != APIPOOL_ACQUIRED && req->attempts == 0) {
            return reply_without_key(req, result, retry_at);
        }
        if (result != APIPOOL_ACQUIRED) {
            return finish(req, &verdict, status);
        }
        status = run(req);
        verdict = apipool_evidence_judge(req, status);
        report(req, &verdict, status);
        if (req->gate.mode == APIPOOL_GATE_PASSING || apipool_evidence_is_tunnelled(req, status)) {
            return status;
        }
        if (!spend(req, &verdict)) {
            return finish(req, &verdict, status);
        }
    }
}

static struct apipool_budget_t *make_budget(const apipool_request_t *req, proxy_server_conf *conf,
                                            const char *proxyname, apr_port_t proxyport)
{
    request_rec *r = req->r;
    const apipool_pool_t *pool = req->pool;
    struct apipool_budget_t *budget = apr_pcalloc(r->pool, sizeof(*budget));
    budget->conf = conf;
    budget->proxyname = proxyname;
    budget->proxyport = proxyport;
    budget->rotations = pool->rotations;
    budget->retries = pool->retries;
    budget->deadline = pool->deadline ? apr_time_now() + pool->deadline : 0;
    budget->tried = apr_palloc(r->pool, sizeof(*budget->tried) *
                                            (apr_size_t)(pool->rotations + pool->retries + 1));
    budget->headers_out = r->headers_out; /* mod_proxy_http makes a table of its own for a head */
    budget->err_headers_out = r->err_headers_out;
    return budget;
}

int apipool_attempt_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                            char *url, const char *proxyname, apr_port_t proxyport)
{
    apipool_request_t *req = apipool_request_get(r);
    (void)worker;
    (void)url;

    if (!req || req->inside) {
        return DECLINED;
    }
    int status = apipool_body_capture(req);
    if (status == HTTP_REQUEST_ENTITY_TOO_LARGE) {
        r->connection->keepalive = AP_CONN_CLOSE; /* the rest of the body is not read */
        return apipool_reply_error(req, APIPOOL_REPLY_TOO_LARGE, 0);
    }
    if (status != OK) {
        return status;
    }
    req->budget = make_budget(req, conf, proxyname, proxyport);
    req->attempt.lease = apr_palloc(r->pool, sizeof(*req->attempt.lease));
    req->attempt.lease->len = 0;
    apipool_gate_install(req);
    status = attempt_until_done(req);
    apipool_lease_wipe(req->attempt.lease);
    return status;
}
