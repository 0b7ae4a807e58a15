/* SPDX-License-Identifier: Apache-2.0
 * The loop over keys: acquire, send, judge, report, and on or out. */
#include "attempt.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <stddef.h>

#include "body.h"
#include "demand.h"
#include "evidence.h"
#include "gate.h"
#include "link.h"
#include "reply.h"
#include "wait.h"
#include "when.h"

#define BACKOFF_FIRST 500 /* milliseconds, doubled per retry */
#define BACKOFF_MAX   5000
#define WORTH_TRYING  apr_time_from_msec(50) /* less than this before the deadline is not */

/* What a request may still spend, and what every attempt starts from. */
struct apipool_budget_t {
    proxy_server_conf *conf;
    const char *proxyname;
    apr_port_t proxyport;
    apr_time_t deadline; /* 0: none */
    apr_time_t wait_until;
    apr_int64_t rotations, retries;
    int not_found;              /* answers R10 so far: one is worth another try */
    int proving;                /* a key had to prove itself */
    apipool_lease_t *forbidden; /* the lease that met R09, without its secret; NULL: none has */
    apipool_verdict_t forbidden_verdict;
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
    while (APR_ARRAY_IDX(req->pool->upstreams, i, apipool_upstream_t).group != lease->group) {
        i++;
    }
    return &APR_ARRAY_IDX(req->pool->upstreams, i, apipool_upstream_t);
}

static void begin(apipool_request_t *req)
{
    apipool_attempt_t *attempt = &req->attempt;
    apipool_lease_t *lease = attempt->lease;
    const apipool_pool_t *pool = req->pool;

    memset(attempt, 0, sizeof(*attempt));
    attempt->lease = lease;
    attempt->upstream = upstream_of(req, lease);
    wipe_slate(req);
    attempt->clean_headers = req->r->headers_out;
    attempt->read_by = req->budget->deadline;
    attempt->idle_timeout =
        attempt->upstream->timeout ? attempt->upstream->timeout : pool->idle_timeout;
    attempt->first_byte_timeout =
        attempt->upstream->timeout ? attempt->upstream->timeout : pool->first_byte_timeout;
    attempt->asks_usage = req->demand.ask_usage.text &&
                          !apipool_pool_refuses_usage(segment, attempt->upstream->group);
    req->attempts++;
}

/* Sends the request once, with the leased key. Returns what mod_proxy_http returned. */
static int run(apipool_request_t *req)
{
    request_rec *r = req->r;
    const struct apipool_budget_t *budget = req->budget;
    int status;

    begin(req);

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

/* Tokens that the attempt took: what the answer says, nothing where the upstream refused. */
static apr_int64_t tokens_of(const apipool_request_t *req, const apipool_verdict_t *verdict)
{
    apipool_usage_t usage;
    if (req->gate.counting && apipool_usage_result(&req->gate.usage, &usage) && usage.total >= 0) {
        return usage.total;
    }
    switch (verdict->rule) {
    case APIPOOL_R00:
    case APIPOOL_R01:
    case APIPOOL_R02:
    case APIPOOL_R04:
        return apipool_demand_tokens_so_far(req);
    default:
        return 0;
    }
}

static void log_outcome(apipool_request_t *req, const apipool_outcome_t *outcome, int status)
{
    char id[APIPOOL_ID_SIZE];
    int level = outcome->lost                            ? APLOG_WARNING
                : outcome->state == APIPOOL_STATE_ACTIVE ? APLOG_DEBUG
                                                         : APLOG_INFO;
    apipool_key_id_hex(req->attempt.lease->id, id);
    ap_log_rerror(APLOG_MARK, level, 0, req->r,
                  APIPOOL_LOG(0031) "pool %s, attempt %d, upstream %s, key %s: %s (%s), %s",
                  req->pool->name, req->attempts, req->attempt.upstream->name, id,
                  apipool_rule_name(outcome->rule), upstream_status(req, status),
                  apipool_state_name(outcome->state));
}

static void report(apipool_request_t *req, apipool_verdict_t *verdict, int status)
{
    request_rec *r = req->r;
    apr_time_t now = apr_time_now();
    apipool_outcome_t outcome;
    apipool_report_t what = {
        .verdict = verdict,
        .client = req->demand.client,
        .status = apipool_evidence_is_overridden(req) ? status : r->status,
        .tokens = tokens_of(req, verdict),
        .headroom = -1,
        .policy = &req->pool->policy,
    };
    if (req->attempt.answering) {
        what.headroom = apipool_when_headroom(r->headers_out, req->attempt.upstream->provider, now,
                                              &what.headroom_until);
    }
    apr_status_t rv = apipool_pool_report(segment, req->attempt.lease, &what, now, &outcome);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, r,
                      APIPOOL_LOG(0030) "the pool's lock is not to be had; a result is lost");
        return;
    }
    verdict->rule = outcome.rule;
    log_outcome(req, &outcome, status);
}

void apipool_attempt_proved(apipool_request_t *req)
{
    apipool_pool_proved(segment, req->attempt.lease, apr_time_now());
}

/* What the upstream asks for where it is overloaded counts, up to the longest pause there is. */
static apr_interval_time_t pause_before_retry(const apipool_request_t *req,
                                              const apipool_verdict_t *verdict)
{
    apr_int64_t done = req->pool->retries - req->budget->retries;
    apr_int64_t pause = done < 4 ? BACKOFF_FIRST << done : BACKOFF_MAX;
    pause = (pause < BACKOFF_MAX ? pause : BACKOFF_MAX) * (apr_int64_t)ap_random_pick(800, 1200);
    apr_interval_time_t named = verdict->retry_at ? verdict->retry_at - apr_time_now() : 0;
    return named > pause && named <= apr_time_from_msec(BACKOFF_MAX) ? named : pause;
}

/* Pauses before a retry. Returns 0 when the deadline would pass meanwhile. */
static int back_off(const apipool_request_t *req, const apipool_verdict_t *verdict)
{
    const struct apipool_budget_t *budget = req->budget;
    apr_interval_time_t pause = pause_before_retry(req, verdict);
    if (budget->deadline && apr_time_now() + pause + WORTH_TRYING >= budget->deadline) {
        return 0;
    }
    apr_sleep(pause);
    return 1;
}

static int may_rotate(const apipool_request_t *req, apipool_rule_e rule)
{
    const struct apipool_budget_t *budget = req->budget;
    return budget->rotations > 0 && (rule != APIPOOL_R09 || !budget->forbidden) &&
           (rule != APIPOOL_R10 || (!budget->not_found && req->pool->upstreams->nelts > 1));
}

static int has_budget(const apipool_request_t *req, const apipool_verdict_t *verdict)
{
    const struct apipool_budget_t *budget = req->budget;
    if (budget->deadline && apr_time_now() + WORTH_TRYING >= budget->deadline) {
        return 0;
    }
    return (verdict->action == APIPOOL_ROTATE && may_rotate(req, verdict->rule)) ||
           (verdict->action == APIPOOL_RETRY && budget->retries > 0);
}

int apipool_attempt_would_go_on(apipool_request_t *req)
{
    apipool_verdict_t verdict = apipool_evidence_judge(req, OK);
    req->attempt.judged = apr_pmemdup(req->r->pool, &verdict, sizeof(verdict));
    return has_budget(req, &verdict);
}

/* Whether the key is to blame for it shows when another one is tried. */
static void remember_forbidden(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    struct apipool_budget_t *budget = req->budget;
    budget->forbidden = apr_palloc(req->r->pool, sizeof(*budget->forbidden));
    memcpy(budget->forbidden, req->attempt.lease, offsetof(apipool_lease_t, key));
    budget->forbidden_verdict = *verdict;
}

static void blame_forbidden(apipool_request_t *req)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_report_t what = {.verdict = &budget->forbidden_verdict,
                             .status = HTTP_FORBIDDEN,
                             .policy = &req->pool->policy};
    if (budget->forbidden) {
        apipool_pool_forbidden(segment, budget->forbidden, &what, apr_time_now());
    }
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
        if (verdict->rule == APIPOOL_R09) {
            remember_forbidden(req, verdict);
        }
        budget->not_found += verdict->rule == APIPOOL_R10;
        return 1;
    }
    if (!(verdict->rule == APIPOOL_R04 && apipool_evidence_is_idle_race(req)) &&
        !back_off(req, verdict)) {
        return 0;
    }
    budget->retries--;
    return 1;
}

/* What came of looking for a key. */
typedef struct {
    apipool_acquired_e result;
    apr_time_t retry_at;
    int gone; /* the client has left meanwhile */
} found_t;

static apr_status_t acquire_among(apipool_request_t *req, apr_uint32_t without, int tried_count,
                                  apr_time_t wait_until, found_t *found)
{
    apipool_source_t sources[APIPOOL_UPSTREAMS_MAX];
    apipool_wanted_t wanted;
    apipool_demand_wanted(req, without, sources, &wanted);
    wanted.tried = req->budget->tried;
    wanted.tried_count = tried_count;
    wanted.sure_first = req->budget->proving;
    return apipool_wait_acquire(req, segment, &wanted, wait_until, &found->result, &found->retry_at,
                                &found->gone);
}

/* A retry for the upstream's sake goes to another upstream if it can, then to another key, and then to
 * one it has used: the keys that were at fault have left the rotation. */
static apr_status_t acquire_for_retry(apipool_request_t *req, found_t *found)
{
    int tried_count = req->budget->tried_count;
    apr_status_t rv = acquire_among(req, req->attempt.lease->group, tried_count, 0, found);
    if (rv == APR_SUCCESS && found->result != APIPOOL_ACQUIRED) {
        rv = acquire_among(req, APIPOOL_NONE, tried_count, req->budget->wait_until, found);
    }
    if (rv == APR_SUCCESS && found->result == APIPOOL_ALL_TRIED) {
        rv = acquire_among(req, APIPOOL_NONE, 0, req->budget->wait_until, found);
    }
    return rv;
}

static apr_status_t acquire_after(apipool_request_t *req, const apipool_verdict_t *last,
                                  found_t *found)
{
    const struct apipool_budget_t *budget = req->budget;
    if (last->action == APIPOOL_RETRY) {
        return acquire_for_retry(req, found);
    }
    if (last->rule == APIPOOL_R10) { /* the same upstream would say the same */
        return acquire_among(req, req->attempt.lease->group, budget->tried_count, 0, found);
    }
    return acquire_among(req, APIPOOL_NONE, budget->tried_count, budget->wait_until, found);
}

static found_t acquire(apipool_request_t *req, const apipool_verdict_t *last)
{
    struct apipool_budget_t *budget = req->budget;
    found_t found = {.result = APIPOOL_EXHAUSTED};
    apr_status_t rv = acquire_after(req, last, &found);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, rv, req->r,
                      APIPOOL_LOG(0032) "the pool's lock is not to be had");
        found.result = APIPOOL_EXHAUSTED;
    }
    if (found.result == APIPOOL_ACQUIRED) {
        budget->proving |= req->attempt.lease->proving;
        budget->tried[budget->tried_count++] = req->attempt.lease->slot;
    }
    return found;
}

/* An answer that tells when to come back tells it of one key; the client has to know when any is free. */
static void advise(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    apipool_source_t sources[APIPOOL_UPSTREAMS_MAX];
    apipool_wanted_t wanted;
    apipool_acquired_e result;
    apr_time_t retry_at;

    if (verdict->event == APIPOOL_EVENT_NONE && verdict->rule != APIPOOL_R08) {
        return;
    }
    apipool_demand_wanted(req, APIPOOL_NONE, sources, &wanted);
    wanted.look_only = 1;
    if (apipool_pool_acquire(segment, &wanted, apr_time_now(), req->attempt.lease, &result,
                             &retry_at) == APR_SUCCESS) {
        apipool_reply_advise(req, result, retry_at);
    }
}

/* The end of a request whose last attempt did not reach the client. */
static int finish(apipool_request_t *req, const apipool_verdict_t *verdict, int status)
{
    if (req->gate.mode == APIPOOL_GATE_HOLDING) {
        advise(req, verdict);
        apipool_gate_release(req);
        return OK;
    }
    if (verdict->rule == APIPOOL_R01) {
        return DONE;
    }
    if (apipool_evidence_is_overridden(req) || apipool_evidence_is_refused_here(req, status)) {
        return status;
    }
    switch (verdict->rule) {
    case APIPOOL_R07: /* its answer was too large to be kept */
    case APIPOOL_R08:
    case APIPOOL_R09:
        return apipool_reply_error(req, APIPOOL_REPLY_ALL_COOLING,
                                   verdict->retry_at ? verdict->retry_at : apr_time_now());
    case APIPOOL_R05:
    case APIPOOL_R06:
        return apipool_reply_error(req, APIPOOL_REPLY_EXHAUSTED, 0);
    default:
        return apipool_reply_error(req,
                                   apipool_evidence_timed_out(req, status)
                                       ? APIPOOL_REPLY_TIMEOUT
                                       : APIPOOL_REPLY_UNREACHABLE,
                                   0);
    }
}

/* The end of a request that has not had a key at all. */
static int reply_without_key(apipool_request_t *req, const found_t *found)
{
    static const struct {
        apipool_rule_e rule;
        apipool_reply_e reply;
        const char *reason;
    } ends[] = {
        [APIPOOL_ALL_TRIED] = {APIPOOL_R15, APIPOOL_REPLY_EXHAUSTED, "no key is usable"},
        [APIPOOL_ALL_COOLING] = {APIPOOL_R14, APIPOOL_REPLY_ALL_COOLING,
                                 "all usable keys are cooling"},
        [APIPOOL_ALL_BUSY] = {APIPOOL_R14, APIPOOL_REPLY_ALL_COOLING,
                              "all usable keys have as many requests in flight as they may"},
        [APIPOOL_ALL_PAUSED] = {APIPOOL_R03, APIPOOL_REPLY_UNREACHABLE,
                                "the upstreams fail, and are tried once a second"},
        [APIPOOL_QUEUED] = {APIPOOL_R14, APIPOOL_REPLY_ALL_COOLING, "others have waited longer"},
        [APIPOOL_EXHAUSTED] = {APIPOOL_R15, APIPOOL_REPLY_EXHAUSTED, "no key is usable"},
    };
    int level = ends[found->result].rule == APIPOOL_R15 ? APLOG_WARNING : APLOG_INFO;
    ap_log_rerror(APLOG_MARK, level, 0, req->r, APIPOOL_LOG(0033) "pool %s: %s, %s",
                  req->pool->name, apipool_rule_name(ends[found->result].rule),
                  ends[found->result].reason);
    apr_time_t retry_at = found->retry_at ? found->retry_at : apr_time_now();
    return apipool_reply_error(req, ends[found->result].reply,
                               ends[found->result].rule == APIPOOL_R15 ? 0 : retry_at);
}

/* An upstream that does not know the option gets the request again as the client has sent it, with the
 * same key and at no one's cost; and so do all requests from then on. */
static int is_usage_refused(apipool_request_t *req)
{
    char *body;
    apr_size_t len;
    if (!req->attempt.asks_usage || req->gate.mode != APIPOOL_GATE_HOLDING ||
        (req->r->status != HTTP_BAD_REQUEST && req->r->status != HTTP_UNPROCESSABLE_ENTITY)) {
        return 0;
    }
    apipool_gate_held(req, &body, &len);
    body = apr_pstrmemdup(req->r->pool, body ? body : "", len);
    if (!strstr(body, "stream_options") && !strstr(body, "include_usage")) {
        return 0;
    }
    apipool_pool_note_refuses_usage(segment, req->attempt.upstream->group);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, req->r,
                  APIPOOL_LOG(0034) "pool %s: upstream %s refuses stream_options.include_usage; it "
                                    "will not be asked again",
                  req->pool->name, req->attempt.upstream->name);
    req->budget->tried_count--;
    return 1;
}

static int attempt_until_done(apipool_request_t *req)
{
    apipool_verdict_t verdict = {.action = APIPOOL_ROTATE};
    int status = OK;

    for (;;) {
        found_t found = acquire(req, &verdict);
        if (found.gone) {
            return DONE;
        }
        if (found.result != APIPOOL_ACQUIRED) {
            return req->attempts ? finish(req, &verdict, status) : reply_without_key(req, &found);
        }
        status = run(req);
        verdict = apipool_evidence_judge(req, status);
        report(req, &verdict, status);
        if (verdict.rule == APIPOOL_R00) {
            blame_forbidden(req);
        }
        if (req->gate.mode == APIPOOL_GATE_PASSING || apipool_evidence_is_tunnelled(req, status)) {
            return status;
        }
        if (is_usage_refused(req)) {
            verdict.action = APIPOOL_ROTATE;
        }
        else if (!spend(req, &verdict)) {
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
    budget->wait_until = apr_time_now() + pool->wait;
    if (budget->deadline && budget->deadline < budget->wait_until) {
        budget->wait_until = budget->deadline;
    }
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
    apipool_demand_make(req);
    req->attempt.lease = apr_palloc(r->pool, sizeof(*req->attempt.lease));
    req->attempt.lease->len = 0;
    apipool_gate_install(req);
    status = attempt_until_done(req);
    apipool_lease_wipe(req->attempt.lease);
    return status;
}
