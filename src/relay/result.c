/* SPDX-License-Identifier: Apache-2.0
 * What came of an attempt, read from what the exchange and the gate have seen. */
#include "result.h"

#include "content_type.h"
#include "gate.h"

int apipool_result_is_tunnelled(const apipool_request_t *req)
{
    return req->attempt.answering && req->r->status == HTTP_SWITCHING_PROTOCOLS;
}

static apipool_phase_e find_phase(const apipool_request_t *req)
{
    const apipool_gate_t *gate = &req->gate;
    if (req->attempt.phase == APIPOOL_PHASE_CLIENT_GONE) {
        return APIPOOL_PHASE_CLIENT_GONE;
    }
    if (gate->failed) { /* it has said why, whatever came after that */
        return APIPOOL_PHASE_ANSWERED;
    }
    if (gate->broke && gate->mode == APIPOOL_GATE_PASSING) {
        return APIPOOL_PHASE_BROKE;
    }
    if (gate->broke && gate->mode == APIPOOL_GATE_DROPPING) { /* before anything of a body came */
        return APIPOOL_PHASE_NO_ANSWER;
    }
    return req->attempt.phase;
}

static int is_idempotent(const request_rec *r)
{
    int method = r->method_number; /* M_GET is HEAD as well */
    return method == M_GET || method == M_PUT || method == M_DELETE || method == M_OPTIONS;
}

apipool_verdict_t apipool_result_judge(apipool_request_t *req, apr_time_t now)
{
    char *body = NULL;
    if (req->attempt.judged) { /* while it was held; some of it has gone since */
        return *req->attempt.judged;
    }
    apipool_evidence_t evidence = {.phase = find_phase(req),
                                   .provider = req->attempt.upstream->provider,
                                   .custom = (const apipool_custom_rule_t *)req->pool->rules->elts,
                                   .custom_count = req->pool->rules->nelts,
                                   .in_band = req->gate.in_band || req->gate.failed,
                                   .status = req->r->status,
                                   .headers = req->r->headers_out,
                                   .now = now,
                                   .replay_safe = is_idempotent(req->r) || req->pool->resends,
                                   .is_out_of_time = req->attempt.is_out_of_time,
                                   .body = req->gate.event,
                                   .body_len = req->gate.event_len};
    if (!req->gate.event && req->gate.held_len > 0) {
        apipool_gate_held(req, &body, &evidence.body_len);
        const char *coding = apipool_content_coding(req->r);
        char *decoded = body && coding
                            ? apipool_decoder_text(coding, body, &evidence.body_len,
                                                   APIPOOL_VERDICT_BODY_MAX, req->r->pool)
                            : NULL;
        evidence.body = decoded ? decoded : body;
    }
    apipool_verdict_t verdict = apipool_verdict(&evidence);
    apipool_words_mask(&verdict.words, req->attempt.lease->key, req->attempt.lease->len);
    return verdict;
}
