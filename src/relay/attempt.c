/* SPDX-License-Identifier: Apache-2.0
 * The loop over keys: acquire, send, judge, report, and on or out. */
#include "attempt.h"

#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>

#include "acquire.h"
#include "attempt_accounting.h"
#include "authz.h"
#include "blame.h"
#include "body.h"
#include "budget.h"
#include "client_conn.h"
#include "exchange.h"
#include "facts.h"
#include "gate.h"
#include "monotonic.h"
#include "outage.h"
#include "pause.h"
#include "reply.h"
#include "request_accounting.h"
#include "result.h"
#include "rewrite.h"
#include "websocket.h"
#include "workers.h"

#define REFUSAL_HOLDS    apr_time_from_sec(3600)
#define REFUSAL_MAY_HOLD apr_time_from_sec(60) /* what has passed may have been something else */

int apipool_attempt_pre_request(proxy_worker **worker, proxy_balancer **balancer, request_rec *r,
                                proxy_server_conf *conf, char **url)
{
    apipool_request_t *req = apipool_request_get(r);
    if (!req) {
        return DECLINED;
    }
    *worker = APR_ARRAY_IDX(req->pool->upstreams, 0, apipool_upstream_conf_t).worker;
    return OK;
}

/* An attempt writes into the request as if it were its only one. */
static void wipe_slate(apipool_request_t *req)
{
    static const char *const notes[] = {"error-notes", "verbose-error-to", "proxy-status",
                                        "proxy-source-port"};
    request_rec *r = req->r;
    const struct apipool_budget_t *budget = req->budget;

    for (apr_size_t i = 0; req->attempts && i < sizeof(notes) / sizeof(*notes); i++) {
        apr_table_unset(r->notes, notes[i]);
    }
    r->headers_out = budget->headers_out;
    r->status = HTTP_OK;
    r->status_line = NULL;
    r->content_type = NULL;
    r->content_encoding = NULL; /* mod_mime may have guessed from the path */
    r->content_languages = NULL;
    r->sent_bodyct = 0;
    r->eos_sent = 0;
    r->no_cache = 0;
    apipool_gate_reset(req);
}

static const apipool_upstream_conf_t *upstream_of(const apipool_request_t *req)
{
    const apipool_upstream_conf_t *upstream =
        (const apipool_upstream_conf_t *)req->pool->upstreams->elts;
    while (upstream->index != req->attempt.lease->upstream) {
        upstream++;
    }
    return upstream;
}

static void begin(apipool_request_t *req)
{
    apipool_attempt_t *attempt = &req->attempt;
    const apipool_probing_t *probing = req->probing;
    const apipool_upstream_conf_t *upstream = probing ? probing->upstream : upstream_of(req);
    const apipool_pool_conf_t *pool = req->pool;

    *attempt = (apipool_attempt_t){
        .lease = attempt->lease,
        .upstream = upstream,
        .deadline = req->budget->deadline,
        .idle_timeout = upstream->timeout ? upstream->timeout : pool->idle_timeout,
        .first_byte_timeout = upstream->timeout ? upstream->timeout : pool->first_byte_timeout,
        .asks_usage = req->demand.ask_usage.text &&
                      !apipool_pool_refuses_usage(apipool_lifecycle_segment(), upstream->index,
                                                  apipool_lifecycle_now())};
    wipe_slate(req);
    if (probing) {
        attempt->deadline = apipool_monotonic_now() + APIPOOL_PROBE_TIMEOUT;
        attempt->idle_timeout = apipool_shorter(attempt->idle_timeout, APIPOOL_PROBE_TIMEOUT);
        attempt->first_byte_timeout =
            apipool_shorter(attempt->first_byte_timeout, APIPOOL_PROBE_TIMEOUT);
        attempt->plug = probing->plug;
    }
    req->attempts++;
}

/* httpd has merged the <Proxy> sections of the pool's first upstream into the request, before it
 * was known who would be asked. What they say, of TLS above all, must hold for no other upstream. A
 * probe's request is made for its upstream. */
static int has_sections_of_another(const apipool_request_t *req)
{
    return !req->probing && req->budget->conf->sec_proxy->nelts &&
           req->attempt.upstream !=
               &APR_ARRAY_IDX(req->pool->upstreams, 0, apipool_upstream_conf_t);
}

/* Merges those of a URL, in the order in which httpd does it: server, <Proxy>, <Location>, <If>. */
static void merge_sections(request_rec *r, const char *url)
{
    r->filename = apr_pstrcat(r->pool, "proxy:", url, NULL);
    r->per_dir_config = r->server->lookup_defaults;
    ap_run_map_to_storage(r);
    ap_location_walk(r);
    ap_if_walk(r);
    apipool_request_raise_log_level(r);
}

/* Begins an attempt with the leased key. */
static void start(apipool_request_t *req)
{
    request_rec *r = req->r;
    req->before = (apipool_before_t){r->filename, r->per_dir_config, r->log};
    begin(req);
    const apipool_upstream_conf_t *upstream = req->attempt.upstream;
    proxy_worker *worker =
        req->probing && !req->probing->with_request ? upstream->probe_worker : upstream->worker;
    char *url = apipool_request_url(req, upstream);
    if (has_sections_of_another(req)) {
        merge_sections(r, url);
    }
    req->exchange = apipool_exchange_make(req, worker, url);
}

/* Sends the request and passes its response, or goes on with that. Returns what the handler returns
 * if the response has passed; or SUSPENDED. */
static int run(apipool_request_t *req)
{
    request_rec *r = req->r;
    int status = apipool_exchange_run(req->exchange);
    if (status != SUSPENDED) {
        r->filename = req->before.filename;
        r->per_dir_config = req->before.per_dir_config;
        r->log = req->before.log;
        req->exchange = NULL;
    }
    return status;
}

static int names_the_option(apipool_request_t *req)
{
    char *body;
    apr_size_t len;
    apipool_gate_held(req, &body, &len);
    return body &&
           (memmem(body, len, "stream_options", 14) || memmem(body, len, "include_usage", 13));
}

/* Until an upstream has served a request with the option, any error that it answers may be about it. After
 * that, only one that speaks of it, and is not about the key. */
static int is_usage_refused(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    const apipool_attempt_t *attempt = &req->attempt;
    int status = req->r->status;
    if (!attempt->asks_usage || !attempt->answering || req->gate.mode == APIPOOL_GATE_PASSING ||
        (status < 400 && !req->gate.in_band) || verdict->rule == APIPOOL_RULE_CLIENT_GONE) {
        return 0;
    }
    return !apipool_pool_accepts_usage(apipool_lifecycle_segment(), attempt->upstream->index) ||
           (verdict->event == APIPOOL_EVENT_NONE && req->gate.mode == APIPOOL_GATE_HOLDING &&
            (status == HTTP_BAD_REQUEST || status == HTTP_UNPROCESSABLE_ENTITY) &&
            names_the_option(req));
}

/* For the gate: whether the answer that it holds would be followed by another attempt. */
static int would_go_on(apipool_request_t *req)
{
    apipool_verdict_t verdict = apipool_result_judge(req, apipool_lifecycle_now());
    req->attempt.judged = apr_pmemdup(req->r->pool, &verdict, sizeof(verdict));
    return apipool_budget_allows(req, &verdict) || is_usage_refused(req, &verdict);
}

/* An answer of our own, which the gate lets pass. */
static int reply(apipool_request_t *req, apipool_reply_e which, apr_time_t retry_at)
{
    apipool_gate_open(req);
    int status = apipool_reply_error(req, which, retry_at); /* which waits for the handler's end */
    apipool_request_accounting_count(req);
    return status;
}

/* ProxyErrorOverride: httpd's own page takes the place of the answer. */
static int override(apipool_request_t *req)
{
    request_rec *r = req->r;
    int status = r->status;
    const char *challenge = apr_table_get(r->headers_out, "WWW-Authenticate");
    if (status == HTTP_UNAUTHORIZED && challenge) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate", challenge);
    }
    apipool_gate_open(req);
    r->status = HTTP_OK;
    apr_table_setn(r->notes, "proxy-error-override", "1");
    return status;
}

/* The end of a request whose last attempt did not reach the client. */
static int finish(apipool_request_t *req, const apipool_verdict_t *verdict)
{
    if (req->gate.mode == APIPOOL_GATE_HOLDING) {
        if (apipool_gate_is_overridden(req)) {
            return override(req);
        }
        apipool_acquire_advise(req, verdict);
        if (req->r->status >= 400) { /* costs nothing that is not known yet */
            req->first_byte_at = apr_time_now();
            apipool_request_accounting_count(req);
        }
        apipool_gate_release(req);
        return OK;
    }
    switch (apipool_rule(verdict->rule)->says) {
    case APIPOOL_SAYS_NOTHING:
        return DONE;
    case APIPOOL_SAYS_COOLING: /* the upstream's answer was too large to be kept */
        return reply(req, APIPOOL_REPLY_ALL_COOLING, apipool_acquire_when(req));
    case APIPOOL_SAYS_EXHAUSTED:
        return reply(req, APIPOOL_REPLY_EXHAUSTED, 0);
    default:
        return req->attempt.is_full ? reply(req, APIPOOL_REPLY_FULL, apipool_lifecycle_now())
                                    : reply(req,
                                            req->attempt.timed_out ? APIPOOL_REPLY_TIMEOUT
                                                                   : APIPOOL_REPLY_UNREACHABLE,
                                            0);
    }
}

/* The end of a request that has not had a key at all. */
static int reply_without_key(apipool_request_t *req, const apipool_found_t *found)
{
    static const struct {
        apipool_rule_e rule;
        apipool_reply_e reply;
        const char *reason;
    } ends[] = {
        [APIPOOL_ALL_TRIED] = {APIPOOL_RULE_EXHAUSTED, APIPOOL_REPLY_EXHAUSTED, "no key is usable"},
        [APIPOOL_ALL_COOLING] = {APIPOOL_RULE_ALL_COOLING, APIPOOL_REPLY_ALL_COOLING,
                                 "all usable keys are cooling"},
        [APIPOOL_ALL_BUSY] = {APIPOOL_RULE_ALL_COOLING, APIPOOL_REPLY_ALL_COOLING,
                              "all usable keys have as many requests in flight as they may"},
        [APIPOOL_ALL_PAUSED] = {APIPOOL_RULE_NOT_SENT, APIPOOL_REPLY_UNREACHABLE,
                                "the upstreams fail, and are tried once a second"},
        [APIPOOL_QUEUED] = {APIPOOL_RULE_ALL_COOLING, APIPOOL_REPLY_ALL_COOLING,
                            "others have waited longer"},
        [APIPOOL_EXHAUSTED] = {APIPOOL_RULE_EXHAUSTED, APIPOOL_REPLY_EXHAUSTED, "no key is usable"},
    };
    apr_time_t now = apipool_lifecycle_now(),
               retry_at = found->lent.retry_at ? found->lent.retry_at : now;
    apr_uint32_t untold = 0;
    req->rule = ends[found->lent.result].rule;
    int is_exhausted = req->rule == APIPOOL_RULE_EXHAUSTED;
    if (!is_exhausted || apipool_pool_reports_exhausted(apipool_lifecycle_segment(),
                                                        req->pool->index, now, &untold)) {
        ap_log_rerror(APLOG_MARK, is_exhausted ? APLOG_WARNING : APLOG_INFO, 0, req->r,
                      APIPOOL_LOG(0033) "pool %s: %s, %s%s", req->pool->name,
                      apipool_rule_name(req->rule), ends[found->lent.result].reason,
                      untold ? apr_psprintf(req->r->pool,
                                            "; so it was for %u more since the last line", untold)
                             : "");
    }
    return reply(req, ends[found->lent.result].reply, is_exhausted ? 0 : retry_at);
}

/* Such an upstream gets the request again as the client has sent it, at the cost of no budget and with any
 * key, the same one included. Nobody is blamed for the error: whether it was the option shows then. What may
 * have passed by itself is not remembered for long, and where the client has options of its own, those may
 * have been refused. */
static void take_back_usage(apipool_request_t *req, apipool_verdict_t *verdict)
{
    int is_about_the_request = verdict->event == APIPOOL_EVENT_NONE && !verdict->upstream_fault;
    if (req->body.sniffed[APIPOOL_BODY_STREAM_OPTIONS].kind == APIPOOL_SNIFF_ABSENT) {
        req->demand.refused_by = req->attempt.upstream->index;
        req->demand.refused_for = is_about_the_request ? REFUSAL_HOLDS : REFUSAL_MAY_HOLD;
    }
    req->demand.ask_usage.text = NULL;
    *verdict = (apipool_verdict_t){
        .rule = APIPOOL_RULE_CLIENT_ERROR, .action = APIPOOL_ROTATE, .scope = APIPOOL_SCOPE_CLIENT};
}

/* Which of both has served decides about the option in other requests. */
static void remember_usage(const apipool_request_t *req)
{
    apr_uint32_t upstream = req->attempt.upstream->index;
    if (req->attempt.asks_usage) {
        apipool_pool_note_accepts_usage(apipool_lifecycle_segment(), upstream);
        return;
    }
    if (req->demand.refused_by != upstream) {
        return;
    }
    apipool_pool_note_refuses_usage(apipool_lifecycle_segment(), upstream,
                                    apipool_lifecycle_now() + req->demand.refused_for);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, req->r,
                  APIPOOL_LOG(0034) "pool %s: upstream %s rejects stream_options.include_usage; "
                                    "it will not be sent for %s",
                  req->pool->name, req->attempt.upstream->name,
                  req->demand.refused_for == REFUSAL_HOLDS ? "an hour" : "a minute");
}

/* Its attempt is over: judges and reports it. Returns 1 if the option for usage is taken back, and
 * the request goes out again. */
static int settle(apipool_request_t *req)
{
    apr_time_t now = apipool_lifecycle_now();
    apipool_verdict_t *verdict = &req->budget->verdict;
    if (req->websocket) {
        apipool_websocket_end(req->websocket, now);
    }
    *verdict = apipool_result_judge(req, now);
    int is_refused = is_usage_refused(req, verdict);
    if (is_refused) {
        take_back_usage(req, verdict);
    }
    apipool_attempt_accounting_report(req, verdict, now);
    if (verdict->rule == APIPOOL_RULE_SUCCESS) {
        apipool_blame_settle_served(req);
        apipool_attempt_accounting_forbidden(req);
        remember_usage(req);
    }
    return is_refused;
}

/* Leases a key, and starts an attempt with it; or sets the pause before another look. Returns 0 if
 * there will be no attempt: the request has its end. */
static int begin_next(apipool_request_t *req, int *status)
{
    struct apipool_budget_t *budget = req->budget;
    apipool_found_t found = {.gone = req->attempts && apipool_client_conn_is_gone(req)};
    if (!found.gone || budget->line) {
        found = apipool_acquire(req, &budget->verdict);
    }
    budget->pause = found.pause;
    if (found.pause) {
        return 1;
    }
    if (found.gone) {
        req->rule = APIPOOL_RULE_CLIENT_GONE;
        *status = DONE;
        return 0;
    }
    if (found.lent.result != APIPOOL_ACQUIRED) {
        *status = req->attempts ? finish(req, &budget->verdict) : reply_without_key(req, &found);
        return 0;
    }
    start(req);
    return 1;
}

/* Runs the attempt, or goes on with it. Returns 0 if no other follows now. */
static int attempt(apipool_request_t *req, int *status)
{
    *status = run(req);
    if (*status == SUSPENDED) {
        return 0;
    }
    int is_refused = settle(req);
    if (req->gate.mode == APIPOOL_GATE_PASSING || apipool_result_is_tunnelled(req)) {
        return 0;
    }
    if (is_refused) {
        req->budget->tried_count--;
    }
    else if (!apipool_budget_spend(req, &req->budget->verdict)) {
        *status = finish(req, &req->budget->verdict);
        return 0;
    }
    return 1;
}

/* Begins, or goes on where the request was suspended. */
static int attempt_until_done(apipool_request_t *req)
{
    int status = OK;
    while (req->exchange ? attempt(req, &status) : begin_next(req, &status)) {
        if (req->budget->pause && apipool_pause(req, req->budget->pause) == SUSPENDED) {
            return SUSPENDED;
        }
    }
    return status;
}

static int attempt_with_key(apipool_request_t *req)
{
    int status = attempt_until_done(req);
    if (status != SUSPENDED) {
        apipool_blame_settle(req);
        if (req->attempt.lease) {
            apipool_lease_wipe(req->attempt.lease);
        }
    }
    return status;
}

int apipool_attempt_resume(request_rec *r)
{
    return attempt_with_key(apipool_request_get(r));
}

static int attempt_without_client(apipool_request_t *req)
{
    start(req);
    return run(req);
}

/* The proxy's name was found for the pool's first upstream; each attempt finds its own. */
int apipool_attempt_handler(request_rec *r, proxy_worker *worker, proxy_server_conf *conf,
                            char *url, const char *proxyname, apr_port_t proxyport)
{
    apipool_request_t *req = apipool_request_get(r);

    if (!req) {
        return DECLINED;
    }
    req->reached = 1;
    apipool_request_raise_log_level(r);
    if (!req->probing && (!apipool_authz_place(req) || apipool_outage_answer(req))) {
        return OK;
    }
    int status = apipool_body_capture(req);
    if (status == HTTP_REQUEST_ENTITY_TOO_LARGE) {
        r->connection->keepalive = AP_CONN_CLOSE; /* the rest of the body is not read */
        return apipool_reply_error(req, APIPOOL_REPLY_TOO_LARGE, 0);
    }
    if (status != OK) {
        req->rule = req->body.broke ? APIPOOL_RULE_CLIENT_GONE : req->rule;
        return status;
    }
    req->budget = apipool_budget_make(req, conf);
    apipool_facts_make(req);
    if (!apipool_authz_demand(req)) {
        return OK;
    }
    req->websocket = apipool_websocket_make(req);
    apipool_gate_install(req, would_go_on);
    apipool_rewrite_install(req);
    return req->probing ? attempt_without_client(req) : attempt_with_key(req);
}
