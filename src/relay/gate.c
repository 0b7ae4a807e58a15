/* SPDX-License-Identifier: Apache-2.0
 * The output filter between an attempt's answer and the client: hold, pass or drop. */
#include "gate.h"

#include <http_protocol.h>
#include <stddef.h>
#include <util_filter.h>

#include "ascii.h"
#include "blame.h"
#include "content_type.h"
#include "cors.h"
#include "error_answer.h"
#include "mask.h"
#include "reply.h"
#include "sse.h"
#include "stream.h"
#include "token_count.h"

#define COMMENTS_MAX apr_time_from_sec(5) /* held back while a stream has brought nothing else */
#define OPENING_MAX  64

static ap_filter_rec_t *gate_handle;

void apipool_gate_install(apipool_request_t *req, int (*goes_on)(apipool_request_t *req))
{
    req->gate.goes_on = goes_on;
    req->gate.filter = ap_add_output_filter_handle(gate_handle, req, req->r, req->r->connection);
    req->gate.held = apr_brigade_create(req->r->pool, req->r->connection->bucket_alloc);
}

void apipool_gate_reset(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    apr_brigade_cleanup(gate->held);
    memset(&gate->mode, 0, offsetof(apipool_gate_t, count) - offsetof(apipool_gate_t, mode));
    gate->count.active = gate->count.readable = gate->count.is_stream = 0;
}

void apipool_gate_open(apipool_request_t *req)
{
    apr_brigade_cleanup(req->gate.held);
    req->gate.mode = APIPOOL_GATE_PASSING;
    req->gate.stream.active = 0;
    req->gate.masking = 0;
}

int apipool_gate_is_overridden(const apipool_request_t *req)
{
    const request_rec *r = req->r;
    return ap_proxy_should_override(ap_get_module_config(r->per_dir_config, &proxy_module),
                                    r->status);
}

void apipool_gate_held(apipool_request_t *req, char **body, apr_size_t *len)
{
    if (apr_brigade_pflatten(req->gate.held, body, len, req->r->pool) != APR_SUCCESS) {
        *body = NULL;
        *len = 0;
    }
}

/* From here on the client gets this attempt's answer, and no other. */
static void begin_passing(apipool_request_t *req)
{
    request_rec *r = req->r;
    req->gate.mode = APIPOOL_GATE_PASSING;
    req->attempt.passing = 1;
    req->first_byte_at = apr_time_now();
    req->gate.masking = apipool_mask_is_for(req);
    if (req->cors) {
        apipool_cors_strip(r);
    }
    if (req->gate.is_events) {
        apipool_stream_begin(req);
    }
    apipool_reply_expose(req);
    if (r->status < 400 && !req->gate.in_band && !req->probing) {
        apipool_pool_proved(apipool_lifecycle_segment(), req->attempt.lease, req->first_byte_at);
        apipool_blame_settle_served(req);
        apipool_token_count_begin(req);
    }
}

static int holds_error(apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_METADATA(b) && AP_BUCKET_IS_ERROR(b)) {
            return 1;
        }
    }
    return 0;
}

/* Moves what a brigade brings into the held answer. */
static apr_status_t hold(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    apr_status_t rv = APR_SUCCESS;

    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb) && rv == APR_SUCCESS;
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;
        gate->complete |= APR_BUCKET_IS_EOS(b);
        gate->flushed |= APR_BUCKET_IS_FLUSH(b);
        if (APR_BUCKET_IS_METADATA(b)) {
            continue;
        }
        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            if (gate->peeking) {
                apipool_sse_peek(&gate->peek, data, len);
            }
            rv = apr_brigade_write(gate->held, NULL, NULL, data, len);
            gate->held_len += (apr_off_t)len;
        }
    }
    apr_brigade_cleanup(bb);
    return rv;
}

static void pass_events(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    if (!holds_error(bb)) {
        apipool_stream_pass_lines(&gate->stream, bb);
    }
    else if (apipool_token_count_is_done(&gate->count)) {
        gate->broke = 0;
        apipool_stream_finish(&gate->stream, bb);
    }
    else {
        gate->broke = 1;
        apipool_stream_break(req, bb);
    }
    if (gate->stream.hiding) {
        apipool_stream_hide_usage(bb, req->r->pool);
    }
}

static apr_status_t pass(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    apipool_token_count_feed(&gate->count, bb);
    if (gate->masking) {
        apipool_mask_body(req, bb);
    }
    if (gate->stream.active) {
        pass_events(req, bb);
    }
    else {
        gate->broke |= holds_error(bb);
    }
    return ap_pass_brigade(gate->filter->next, bb);
}

/* What was held goes out by itself: httpd replaces an answer that begins with an error bucket. */
static void pass_broken_end(apipool_request_t *req)
{
    apr_bucket_alloc_t *alloc = req->r->connection->bucket_alloc;
    apr_bucket_brigade *bb = req->gate.held;
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(alloc));
    pass(req, bb);
    apr_brigade_cleanup(bb);
    APR_BRIGADE_INSERT_TAIL(bb,
                            ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, req->r->pool, alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(alloc));
}

void apipool_gate_release(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    int broke = gate->broke;

    begin_passing(req);
    req->r->eos_sent = 0;
    if (broke) {
        pass_broken_end(req);
    }
    else if (gate->complete) {
        APR_BRIGADE_INSERT_TAIL(gate->held,
                                apr_bucket_eos_create(req->r->connection->bucket_alloc));
    }
    pass(req, gate->held);
    apr_brigade_cleanup(gate->held);
}

static apr_status_t drop(apipool_gate_t *gate, apr_bucket_brigade *bb)
{
    gate->mode = APIPOOL_GATE_DROPPING;
    apr_brigade_cleanup(bb);
    return APR_ECONNABORTED; /* the exchange stops reading and closes the connection */
}

/* What is held is all that will be: it passes if nothing else would be tried, else the rest is not read. */
static apr_status_t decide(apipool_request_t *req)
{
    if (req->gate.goes_on(req)) {
        req->gate.mode = APIPOOL_GATE_DROPPING;
        return APR_ECONNABORTED;
    }
    if (apipool_gate_is_overridden(req)) {
        return APR_ECONNABORTED;
    }
    apipool_gate_release(req);
    return APR_SUCCESS;
}

/* The beginning of an event stream passes, and goes out at once where mod_proxy had flushed it. */
static void let_stream_begin(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    gate->peeking = 0;
    if (gate->flushed && !gate->broke && !gate->complete) {
        APR_BRIGADE_INSERT_TAIL(gate->held,
                                apr_bucket_flush_create(req->r->connection->bucket_alloc));
    }
    apipool_gate_release(req);
}

/* An error that another attempt follows stays held, in case that there is no key for it after all. */
static apr_status_t hold_event(apipool_request_t *req, const char *event)
{
    apipool_gate_t *gate = &req->gate;
    gate->peeking = 0;
    gate->in_band = 1;
    gate->event = apr_pstrdup(req->r->pool, event);
    gate->event_len = strlen(event);
    if (!req->gate.goes_on(req)) {
        apipool_gate_release(req);
        return APR_SUCCESS;
    }
    gate->complete = 1;
    return APR_ECONNABORTED;
}

/* Holds the first event of a stream back, and the comments before it: if it is an error, another key may
 * still answer the request. */
static apr_status_t peek(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    apr_pool_t *scratch;
    char *text = NULL, *event = NULL;
    apr_size_t len = 0;
    apr_status_t rv = APR_SUCCESS;

    apr_pool_create(&scratch, req->r->pool);
    if (gate->peek.ended && gate->peek.has_data) {
        apr_brigade_pflatten(gate->held, &text, &len, scratch);
    }
    int has_event = text && apipool_sse_first(text, len, scratch, &event);
    if (has_event && apipool_error_answer_is_error(event, strlen(event))) {
        rv = hold_event(req, event);
    }
    else if (!has_event && gate->broke) { /* the client has had nothing: there was no answer */
        gate->mode = APIPOOL_GATE_DROPPING;
        rv = APR_ECONNABORTED;
    }
    else if (has_event || gate->complete || gate->held_len > APIPOOL_VERDICT_BODY_MAX ||
             apr_time_now() - gate->held_since > COMMENTS_MAX) {
        let_stream_begin(req);
    }
    apr_pool_destroy(scratch);
    return rv;
}

/* Whether a JSON answer of status 200 begins as an error does, {"error":{ or {"error":"; only the first
 * bytes are looked at. */
static int opens_as_error(apr_bucket_brigade *bb)
{
    static const char opening[] = "{\"error\":";
    const char *data, *want = opening;
    apr_size_t len;
    apr_bucket *b = APR_BRIGADE_FIRST(bb);

    if (b == APR_BRIGADE_SENTINEL(bb) || APR_BUCKET_IS_METADATA(b) ||
        apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
        return 0;
    }
    for (apr_size_t i = 0; i < len && i < OPENING_MAX; i++) {
        if (apipool_ascii_is_space(data[i])) {
            continue;
        }
        if (!*want) {
            return data[i] == '{' || data[i] == '"';
        }
        if (data[i] != *want++) {
            return 0;
        }
    }
    return 0;
}

/* The first brigade of an answer: its head is in the request. */
static apr_status_t first(apipool_request_t *req, apr_bucket_brigade *bb)
{
    if (holds_error(bb)) {
        req->gate.broke = 1;
        return drop(&req->gate, bb);
    }
    int is_good = req->r->status == HTTP_OK;
    req->gate.is_events = apipool_stream_is_one(req, bb);
    req->gate.peeking = is_good && req->gate.is_events;
    req->gate.in_band =
        is_good && apipool_content_is_of_type(req->r, "application/json") && opens_as_error(bb);
    if (req->r->status >= 400 || req->gate.peeking || req->gate.in_band) {
        req->gate.held_since = apr_time_now();
        req->gate.mode = APIPOOL_GATE_HOLDING;
    }
    else {
        begin_passing(req);
    }
    return APR_SUCCESS;
}

static apr_status_t gate_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apipool_request_t *req = f->ctx;
    apipool_gate_t *gate = &req->gate;
    apr_status_t rv;

    if (!req->attempts) { /* what httpd itself says to a client that has left while it waited */
        apipool_gate_open(req);
    }
    if (gate->mode == APIPOOL_GATE_WAITING) {
        rv = first(req, bb);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (gate->mode == APIPOOL_GATE_HOLDING) {
        gate->broke |= holds_error(bb);
        rv = hold(req, bb);
        if (rv == APR_SUCCESS && gate->peeking) {
            return peek(req);
        }
        return rv == APR_SUCCESS && gate->held_len > APIPOOL_VERDICT_BODY_MAX ? decide(req) : rv;
    }
    if (gate->mode == APIPOOL_GATE_DROPPING) {
        return drop(gate, bb);
    }
    return pass(req, bb);
}

void apipool_gate_register_filter(void)
{
    gate_handle =
        ap_register_output_filter("APIPOOL_GATE", gate_filter, NULL, AP_FTYPE_RESOURCE - 1);
}
