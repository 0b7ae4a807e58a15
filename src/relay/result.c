/* SPDX-License-Identifier: Apache-2.0
 * What an attempt came to, read from what mod_proxy_http and the gate have left behind. */
#include "result.h"

#include "gate.h"

int apipool_result_is_overridden(const apipool_request_t *req, int status)
{
    return status != OK && apr_table_get(req->r->notes, "proxy-error-override") != NULL;
}

int apipool_result_is_tunnelled(const apipool_request_t *req, int status)
{
    return req->r->status == HTTP_SWITCHING_PROTOCOLS && (status == OK || status == DONE);
}

int apipool_result_is_refused_here(const apipool_request_t *req, int status)
{
    return !req->attempt.wired && status == HTTP_BAD_REQUEST;
}

static apipool_phase_e find_phase(const apipool_request_t *req, int status)
{
    const apipool_gate_t *gate = &req->gate;
    const apipool_attempt_t *attempt = &req->attempt;

    if (req->r->connection->aborted) {
        return APIPOOL_PHASE_CLIENT_GONE;
    }
    if (gate->mode == APIPOOL_GATE_PASSING && gate->broke) {
        return APIPOOL_PHASE_BROKE;
    }
    if (gate->mode == APIPOOL_GATE_PASSING || gate->mode == APIPOOL_GATE_HOLDING ||
        (gate->mode == APIPOOL_GATE_DROPPING && !gate->broke) ||
        apipool_result_is_overridden(req, status) || apipool_result_is_tunnelled(req, status) ||
        apipool_result_is_refused_here(req, status)) {
        return APIPOOL_PHASE_ANSWERED;
    }
    /* connect failures are 503, failures of DNS and TLS 500; anything else came while writing */
    if (!attempt->wired || (!attempt->sent && (status == HTTP_SERVICE_UNAVAILABLE ||
                                               status == HTTP_INTERNAL_SERVER_ERROR))) {
        return APIPOOL_PHASE_NOT_SENT;
    }
    return APIPOOL_PHASE_NO_ANSWER;
}

static int is_idempotent(const request_rec *r)
{
    int method = r->method_number; /* M_GET is HEAD as well */
    return method == M_GET || method == M_PUT || method == M_DELETE || method == M_OPTIONS;
}

int apipool_result_is_idle_race(const apipool_request_t *req)
{
    const apipool_attempt_t *attempt = &req->attempt;
    return attempt->wired && !attempt->fresh && attempt->head.bytes == 0;
}

int apipool_result_timed_out(const apipool_request_t *req, int status)
{
    const apipool_attempt_t *attempt = &req->attempt;
    apr_time_t now = apr_time_now();
    return status == HTTP_GATEWAY_TIME_OUT || apr_table_get(req->r->notes, "proxy_timedout") ||
           (attempt->read_by && now >= attempt->read_by) ||
           (attempt->sent && !attempt->answering && now >= attempt->first_byte_by);
}

apipool_verdict_t apipool_result_judge(apipool_request_t *req, int status, apr_time_t now)
{
    char *body = NULL;
    int is_ours =
        apipool_result_is_overridden(req, status) || apipool_result_is_refused_here(req, status);

    if (req->attempt.judged) { /* while it was held; some of it has gone since */
        return *req->attempt.judged;
    }
    apipool_evidence_t evidence = {
        .phase = find_phase(req, status),
        .provider = req->attempt.upstream->provider,
        .custom = (const apipool_custom_rule_t *)req->pool->rules->elts,
        .custom_count = req->pool->rules->nelts,
        .in_band = req->gate.in_band,
        .status = is_ours ? status : req->r->status,
        .headers = req->r->headers_out,
        .now = now,
        .replay_safe = is_idempotent(req->r) ||
                       (apipool_result_is_idle_race(req) && !apipool_result_timed_out(req, status)),
        .body = req->gate.event,
        .body_len = req->gate.event_len};
    if (!req->gate.event && req->gate.held_len > 0) {
        apipool_gate_held(req, &body, &evidence.body_len);
        evidence.body = body;
    }
    return apipool_verdict(&evidence);
}
