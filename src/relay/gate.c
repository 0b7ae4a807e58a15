/* SPDX-License-Identifier: Apache-2.0
 * The output filter between an attempt's answer and the client: hold, pass or drop. */
#include "gate.h"

#include <http_protocol.h>
#include <stddef.h>
#include <util_filter.h>

#include "ascii.h"
#include "blame.h"
#include "client_conn.h"
#include "content_type.h"
#include "cors.h"
#include "mask.h"
#include "monotonic.h"
#include "reply.h"
#include "sse.h"
#include "stream.h"
#include "token_count.h"

#define OPENING_MAX apr_time_from_sec(5) /* held back while an answer has brought no content */

static ap_filter_rec_t *gate_handle;

void apipool_gate_install(apipool_request_t *req, int (*goes_on)(apipool_request_t *req))
{
    req->gate.goes_on = goes_on;
    req->gate.filter = ap_add_output_filter_handle(gate_handle, req, req->r, req->r->connection);
    req->gate.held = apr_brigade_create(req->r->pool, req->r->connection->bucket_alloc);
}

/* What is held is not read any longer. */
static void end_peeking(apipool_gate_t *gate)
{
    gate->peeking = gate->peeking_json = 0;
    if (gate->decoding) {
        apr_pool_destroy(gate->decoding);
        gate->decoding = NULL;
        gate->decoder = NULL;
    }
}

void apipool_gate_reset(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    end_peeking(gate);
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

/* What a GET reads was made earlier. */
static int reads_object(const request_rec *r)
{
    return r->method_number != M_POST;
}

/* Whether it may be JSON, which upstreams send under other types as well. */
static int is_document(const request_rec *r)
{
    const char *type = r->content_type;
    apr_size_t len = type ? strcspn(type, "; ") : 0;
    return !type || apipool_content_is_of_type(r, "text/plain") ||
           (len > 4 && !ap_cstr_casecmpn(type + len - 4, "json", 4));
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

/* Keeps a bucket. Small ones that follow are put together, so that an answer that comes byte by
 * byte does not cost a buffer for each. */
static apr_status_t keep(apr_bucket_brigade *held, apr_bucket *b, const char *data, apr_size_t len)
{
    if (!APR_BRIGADE_EMPTY(held) || !(APR_BUCKET_IS_HEAP(b) || APR_BUCKET_IS_IMMORTAL(b))) {
        return apr_brigade_write(held, NULL, NULL, data, len);
    }
    APR_BUCKET_REMOVE(b);
    APR_BRIGADE_INSERT_TAIL(held, b);
    return APR_SUCCESS;
}

/* Whether a brigade brings nothing of an answer: the head alone came, and was to go out at once. */
static int is_head_only(apr_bucket_brigade *bb)
{
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (!APR_BUCKET_IS_METADATA(b) || APR_BUCKET_IS_EOS(b) || AP_BUCKET_IS_ERROR(b)) {
            return 0;
        }
    }
    return 1;
}

static void read_plain(void *ctx, const char *data, apr_size_t len)
{
    apipool_gate_t *gate = ctx;
    gate->read_len += (apr_off_t)len;
    if (gate->peeking) {
        gate->has_event |= apipool_sse_peek(&gate->peek, data, len);
    }
    if (gate->decoder) {
        apr_brigade_write(gate->plain, NULL, NULL, data, len);
    }
}

static void read_held(apipool_gate_t *gate, const char *data, apr_size_t len)
{
    if (!gate->decoder) {
        read_plain(gate, data, len);
    }
    else if (!apipool_decoder_feed(gate->decoder, data, len, read_plain, gate)) {
        gate->unreadable = 1;
    }
}

/* Moves what a brigade brings into the held answer. */
static apr_status_t hold(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    apr_status_t rv = APR_SUCCESS;

    gate->flushed = 0; /* who has flushed before sees to it that more is flushed after it */
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb), *next;
         b != APR_BRIGADE_SENTINEL(bb) && rv == APR_SUCCESS; b = next) {
        const char *data;
        apr_size_t len;
        next = APR_BUCKET_NEXT(b);
        gate->complete |= APR_BUCKET_IS_EOS(b);
        gate->flushed |= APR_BUCKET_IS_FLUSH(b);
        if (APR_BUCKET_IS_METADATA(b)) {
            continue;
        }
        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            if (gate->peeking || gate->peeking_json) {
                read_held(gate, data, len);
            }
            rv = keep(gate->held, b, data, len);
            gate->held_len += (apr_off_t)len;
        }
    }
    apr_brigade_cleanup(bb);
    return rv;
}

static void pass_events(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    int breaks = holds_error(bb);
    if (!breaks) {
        apipool_stream_pass_lines(&gate->stream, bb);
    }
    apipool_stream_watch(req, bb);
    breaks |= apipool_stream_is_cut(req, bb);
    if (breaks && (gate->failed || apipool_token_count_is_done(&gate->count))) {
        gate->broke = 0;
        apipool_stream_finish(&gate->stream, bb);
    }
    else if (breaks) {
        gate->broke = 1;
        apipool_stream_break(req, bb);
    }
    if (gate->stream.hiding) {
        apipool_stream_hide_usage(bb, req->r->pool);
    }
}

static int has_end(apr_bucket_brigade *bb)
{
    return !APR_BRIGADE_EMPTY(bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb));
}

/* With APIPoolOnAbort finish, nobody gets the rest of a response whose client has left. */
static apr_status_t deliver(apipool_request_t *req, apr_bucket_brigade *bb)
{
    conn_rec *client = req->r->connection;
    int is_end = has_end(bb);
    apr_status_t rv = APR_SUCCESS;
    if (!req->client_left) {
        rv = ap_pass_brigade(req->gate.filter->next, bb);
    }
    if (!req->client_left && client->aborted) {
        apipool_client_conn_has_left(req, 0);
    }
    if (req->client_left) {
        apr_brigade_cleanup(bb);
        client->aborted = is_end;
        rv = APR_SUCCESS;
    }
    return rv;
}

/* Looks for an error behind the content of a document that has passed. */
static void look_back(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    apr_size_t len;
    const char *text = apipool_token_count_tail(&gate->count, &len);
    if (text && req->r->status == HTTP_OK && !gate->in_band && !reads_object(req->r) &&
        is_document(req->r)) {
        gate->event = apipool_opening_late_error(text, len, req->r->pool);
        gate->failed = gate->event != NULL;
        gate->event_len = gate->failed ? strlen(gate->event) : 0;
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
        if (has_end(bb) && !gate->broke) {
            look_back(req);
        }
    }
    return deliver(req, bb);
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

/* What is held is all that will be: it passes if nothing else would be tried, else the rest is not
 * read. */
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

/* The beginning of an answer passes, and goes out at once where it was to. */
static void let_begin(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    end_peeking(gate);
    if (gate->flushed && !gate->broke && !gate->complete) {
        APR_BRIGADE_INSERT_TAIL(gate->held,
                                apr_bucket_flush_create(req->r->connection->bucket_alloc));
    }
    apipool_gate_release(req);
}

/* An error that another attempt follows stays held, in case that there is no key for it after all.
 * */
static apr_status_t hold_event(apipool_request_t *req, const char *event)
{
    apipool_gate_t *gate = &req->gate;
    end_peeking(gate);
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

/* What is held, decoded. */
static apr_bucket_brigade *readable(apipool_gate_t *gate)
{
    return gate->decoder ? gate->plain : gate->held;
}

/* Judges the events that have been held so far. An event that the end of the stream has cut its blank line
 * off from is one as well. */
static apipool_opens_e judge_events(apipool_gate_t *gate, apr_pool_t *scratch, const char **error)
{
    apr_size_t len = (apr_size_t)gate->read_len;
    char *text = apr_palloc(scratch, len + 2);
    apipool_opens_e opens = APIPOOL_OPENS_NEITHER;

    apr_brigade_flatten(readable(gate), text, &len);
    text[len] = text[len + 1] = '\n';
    const char *at = text + gate->looked_at, *next;
    const char *end = text + len + (gate->complete && !gate->broke ? 2 : 0);
    apipool_sse_event_t event;
    while (opens == APIPOOL_OPENS_NEITHER &&
           (next = apipool_sse_read(at, end, scratch, &event)) != NULL) {
        opens = apipool_opening_of_event(&event, &gate->ends);
        *error = event.data;
        at = next;
    }
    gate->looked_at = at - text;
    gate->has_event = len && text[len - 1] == '\r'; /* the line feed after it may be to come */
    return opens;
}

static apipool_opens_e judge_document(const request_rec *r, apipool_gate_t *gate,
                                      apr_pool_t *scratch)
{
    char *text = NULL;
    apr_size_t len = 0;
    gate->looked_at = gate->read_len;
    apr_brigade_pflatten(readable(gate), &text, &len, scratch);
    return apipool_opening_of_document(text ? text : "", len, gate->complete && !gate->broke,
                                       reads_object(r));
}

/* A document is not read again before it has doubled. */
static int is_worth_a_look(const apipool_gate_t *gate)
{
    return gate->complete || gate->has_event ||
           (gate->peeking_json && gate->read_len >= 2 * gate->looked_at);
}

/* A document that is an error is held as those with another status are. */
static apr_status_t hold_document(apipool_request_t *req)
{
    end_peeking(&req->gate);
    req->gate.in_band = 1;
    return req->gate.held_len > APIPOOL_VERDICT_BODY_MAX ? decide(req) : APR_SUCCESS;
}

/* Holds the beginning of an answer back until there is content in it: if it is an error, another key may
 * still answer the request. */
static apr_status_t peek(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    apr_pool_t *scratch;
    const char *event = NULL;
    apipool_opens_e opens = APIPOOL_OPENS_NEITHER;
    apr_status_t rv = APR_SUCCESS;

    apr_pool_create(&scratch, req->r->pool);
    if (is_worth_a_look(gate)) {
        opens = gate->peeking ? judge_events(gate, scratch, &event)
                              : judge_document(req->r, gate, scratch);
    }
    if (opens == APIPOOL_OPENS_ERROR) {
        rv = gate->peeking ? hold_event(req, event) : hold_document(req);
    }
    else if (opens == APIPOOL_OPENS_NEITHER && gate->broke) { /* the client has had nothing */
        gate->mode = APIPOOL_GATE_DROPPING;
        rv = APR_ECONNABORTED;
    }
    else if (opens == APIPOOL_OPENS_CONTENT || gate->complete || gate->unreadable ||
             gate->held_len > APIPOOL_VERDICT_BODY_MAX ||
             apipool_monotonic_now() - gate->held_since > OPENING_MAX) {
        let_begin(req);
    }
    apr_pool_destroy(scratch);
    return rv;
}

apr_interval_time_t apipool_gate_patience(const apipool_request_t *req)
{
    const apipool_gate_t *gate = &req->gate;
    apr_interval_time_t left = gate->held_since + OPENING_MAX - apipool_monotonic_now();
    return gate->mode != APIPOOL_GATE_HOLDING || !(gate->peeking || gate->peeking_json) ? -1
           : left > 0                                                                   ? left
                                                                                        : 0;
}

void apipool_gate_expire(apipool_request_t *req)
{
    req->gate.flushed = 0; /* the exchange flushes, which may not wait for the client */
    let_begin(req);
}

/* Most documents are decided by the first piece, and pass without being copied. */
static int is_document_to_hold(const request_rec *r, const apr_bucket_brigade *bb)
{
    const char *data;
    apr_size_t len;
    apr_bucket *b = APR_BRIGADE_FIRST(bb);
    if (b == APR_BRIGADE_SENTINEL(bb) || APR_BUCKET_IS_METADATA(b)) {
        return b == APR_BRIGADE_SENTINEL(bb) || !APR_BUCKET_IS_EOS(b);
    }
    int is_complete =
        APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(bb)) && APR_BUCKET_NEXT(b) == APR_BRIGADE_LAST(bb);
    return apr_bucket_read(b, &data, &len, APR_BLOCK_READ) == APR_SUCCESS &&
           apipool_opening_of_document(data, len, is_complete, reads_object(r)) !=
               APIPOOL_OPENS_CONTENT;
}

/* Compressed answers are held until enough of them is decoded. */
static int begin_decoding(apipool_request_t *req)
{
    apipool_gate_t *gate = &req->gate;
    apr_pool_create(&gate->decoding, req->r->pool);
    gate->plain = apr_brigade_create(gate->decoding, req->r->connection->bucket_alloc);
    gate->decoder = apipool_decoder_make(apipool_content_coding(req->r), APIPOOL_VERDICT_BODY_MAX,
                                         gate->decoding);
    return gate->decoder != NULL;
}

static void begin_peeking(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    if (!apipool_content_is_encoded(req->r)) {
        gate->peeking = gate->is_events;
        gate->peeking_json =
            !gate->is_events && is_document(req->r) && is_document_to_hold(req->r, bb);
        return;
    }
    gate->peeking = apipool_content_is_of_type(req->r, "text/event-stream");
    gate->peeking_json = !gate->peeking && is_document(req->r);
    if ((gate->peeking || gate->peeking_json) && !begin_decoding(req)) {
        end_peeking(gate);
    }
}

/* The first brigade of an answer: its head is in the request. */
static apr_status_t first(apipool_request_t *req, apr_bucket_brigade *bb)
{
    apipool_gate_t *gate = &req->gate;
    if (req->r->status < 400 && holds_error(bb)) { /* the status of an error tells enough */
        gate->broke = 1;
        return drop(gate, bb);
    }
    gate->is_events = apipool_stream_is_one(req, bb);
    if (req->r->status == HTTP_OK) {
        begin_peeking(req, bb);
    }
    if (req->r->status >= 400 || gate->peeking || gate->peeking_json) {
        gate->held_since = apipool_monotonic_now();
        gate->mode = APIPOOL_GATE_HOLDING;
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
    if (gate->mode == APIPOOL_GATE_WAITING && req->r->status < 400 && is_head_only(bb)) {
        apr_brigade_cleanup(bb); /* without a byte of the body, another attempt may follow */
        return APR_SUCCESS;
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
        if (rv == APR_SUCCESS && (gate->peeking || gate->peeking_json)) {
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
