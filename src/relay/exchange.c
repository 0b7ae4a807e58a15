/* SPDX-License-Identifier: Apache-2.0
 * One HTTP/1.1 exchange with an upstream: a request goes out, its response comes in. */
#include <http_protocol.h>
#include <stddef.h>
#include <util_filter.h>

#include "body.h"
#include "budget.h"
#include "exchange_parts.h"
#include "gate.h"
#include "key.h"
#include "monotonic.h"
#include "outgoing.h"
#include "response_head.h"
#include "tunnel.h"
#include "workers.h"

#define PIECE       APR_BUCKET_BUFF_SIZE /* fits a block that bucket allocators keep */
#define PIECE_BIG   (4 * PIECE)          /* once there is more than one */
#define LITTLE      1024
#define INTERIM_MAX 10
#define PIECES_MAX  16 /* that a pump passes before others have their turn */

/* An upstream may close a kept connection while a request is on its way (RFC 9112 section 9.3.1).
 * After more than that it has seen the request. */
#define RACE_MAX apr_time_from_sec(1)

/* ---- how long, and how it ends ---- */

/* The deadline counts until the client has got something. */
static void be_patient(apipool_exchange_t *x, apr_interval_time_t patience)
{
    const apipool_attempt_t *attempt = &x->req->attempt;
    apr_time_t now = apipool_monotonic_now();
    x->wait.due = now + patience;
    if (x->first_byte_due && !attempt->passing && x->first_byte_due < x->wait.due) {
        x->wait.due = x->first_byte_due;
    }
    if (attempt->deadline && !attempt->passing && attempt->deadline < x->wait.due) {
        x->wait.due = attempt->deadline;
    }
}

static void plug_in(apipool_plug_t *plug, int fd)
{
    if (plug) {
        apr_thread_mutex_lock(plug->mutex);
        plug->socket = fd;
        apr_thread_mutex_unlock(plug->mutex);
    }
}

/* A pump must not watch a socket that is another's. */
static void release(apipool_exchange_t *x, int keep)
{
    apipool_wait_forget_socket(&x->wait);
    apipool_upstream_conn_release(&x->conn, keep);
    x->wait.fd = -1;
}

static apipool_wait_e end(apipool_exchange_t *x, apipool_phase_e phase, int keep)
{
    x->req->attempt.phase = phase;
    x->stage = APIPOOL_STAGE_ENDED;
    plug_in(x->req->attempt.plug, -1);
    release(x, keep && x->keep);
    if (x->in) {
        apr_bucket_free(x->in);
        x->in = NULL;
    }
    return APIPOOL_WAIT_NOTHING;
}

/* The client has left, or does not want the rest. */
static apipool_wait_e end_for_client(apipool_exchange_t *x)
{
    int has_left = x->req->r->connection->aborted;
    return end(x, has_left ? APIPOOL_PHASE_CLIENT_GONE : APIPOOL_PHASE_ANSWERED, 0);
}

static void report(const apipool_exchange_t *x, apr_status_t rv, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, rv, x->req->r,
                  APIPOOL_LOG(0013) "pool %s: upstream %s %s", x->req->pool->name,
                  x->req->attempt.upstream->name, what);
}

/* The upstream is at fault. What the client has had of a response ends with an error bucket. */
static apipool_wait_e fail(apipool_exchange_t *x, apr_status_t rv, const char *what)
{
    request_rec *r = x->req->r;
    report(x, rv, what);
    if (r->connection->aborted) {
        return end(x, APIPOOL_PHASE_CLIENT_GONE, 0);
    }
    if (!x->req->attempt.answering) {
        return end(x, APIPOOL_PHASE_NO_ANSWER, 0);
    }
    apr_brigade_cleanup(x->out);
    ap_proxy_backend_broke(r, x->out);
    ap_pass_brigade(r->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    return end(x, APIPOOL_PHASE_ANSWERED, 0);
}

static apipool_wait_e fail_in_time(apipool_exchange_t *x)
{
    static const char *const what[] = {
        [APIPOOL_STAGE_REQUEST] = "took too long to take the request",
        [APIPOOL_STAGE_HEAD] = "sent no response in time",
        [APIPOOL_STAGE_BODY] = "stopped in the middle of a response"};
    x->req->attempt.timed_out = 1;
    x->req->attempt.is_out_of_time = x->wait.due == x->req->attempt.deadline;
    return fail(x, APR_TIMEUP, what[x->stage]);
}

/* ---- the request ---- */

static apr_status_t make_request(apipool_exchange_t *x, const char *target, const apr_uri_t *uri)
{
    apipool_request_t *req = x->req;
    request_rec *r = req->r;
    apr_off_t length = -1;
    apr_size_t len;

    apr_status_t rv = apipool_body_copy(req, x->unsent);
    if (rv == APR_SUCCESS &&
        (!APR_BRIGADE_EMPTY(x->unsent) || apr_table_get(r->headers_in, "Content-Length") ||
         apr_table_get(r->headers_in, "Transfer-Encoding"))) {
        rv = apr_brigade_length(x->unsent, 1, &length);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apipool_outgoing_t outgoing = {
        .target = target, .uri = uri, .conf = x->conn.conf, .length = length, .keep = x->keep};
    char *head = apipool_outgoing_head(req, &outgoing, &len);
    APR_BRIGADE_INSERT_HEAD(x->unsent,
                            apr_bucket_immortal_create(head, len, r->connection->bucket_alloc));
    return APR_SUCCESS;
}

/* Connects, and makes what is to be sent. */
static apipool_wait_e connect_upstream(apipool_exchange_t *x)
{
    apipool_attempt_t *attempt = &x->req->attempt;
    request_rec *r = x->req->r;
    char *target;
    apr_uri_t uri;
    int status = apipool_upstream_conn_open(&x->conn, &target, &uri);
    if (status == OK) {
        status = apipool_upstream_conn_connect(&x->conn, x->is_retried, attempt->deadline);
    }
    if (status != OK) {
        attempt->timed_out = attempt->deadline && apipool_monotonic_now() >= attempt->deadline;
        attempt->is_full = status == HTTP_SERVICE_UNAVAILABLE && !x->conn.backend;
        attempt->is_out_of_time = attempt->timed_out || attempt->is_full;
        report(x, 0, "could not be reached");
        return end(x, APIPOOL_PHASE_NOT_SENT, 0);
    }
    x->keep = ap_proxy_connection_reusable(x->conn.backend) &&
              !apr_table_get(r->subprocess_env, "proxy-nokeepalive");
    apr_status_t rv = make_request(x, target, &uri);
    if (rv != APR_SUCCESS) {
        report(x, rv, "did not get the request, whose body could not be read again");
        return end(x, APIPOOL_PHASE_NOT_SENT, 0);
    }
    x->wait.fd = x->conn.fd;
    x->wait.looks = !x->conn.is_direct;
    plug_in(attempt->plug, x->conn.fd);
    if (attempt->plug && attempt->plug->pulled) {
        return end(x, APIPOOL_PHASE_NOT_SENT, 0);
    }
    x->stage = APIPOOL_STAGE_REQUEST;
    x->begun_at = apipool_monotonic_now();
    be_patient(x, attempt->idle_timeout);
    return APIPOOL_WAIT_WRITABLE;
}

/* The upstream has closed the connection, or what it says cannot be read. */
static apipool_wait_e fail_to_get_response(apipool_exchange_t *x, apr_status_t rv)
{
    int is_race = x->conn.is_reused && !x->in_len && !x->interims && !x->is_retried &&
                  !x->req->attempt.plug && apipool_monotonic_now() - x->begun_at < RACE_MAX;
    if (!is_race) {
        return fail(x, rv, "closed the connection without a response");
    }
    x->is_retried = 1;
    release(x, 0);
    apr_brigade_cleanup(x->unsent);
    x->stage = APIPOOL_STAGE_CONNECT;
    return APIPOOL_WAIT_THREAD;
}

/* ---- the response ---- */

/* The client has some time to take what is there. */
static apipool_wait_e wait_for_client(apipool_exchange_t *x)
{
    x->waits_for_client = 1;
    x->wait.due = apipool_monotonic_now() + x->req->r->connection->base_server->timeout;
    return APIPOOL_WAIT_CLIENT;
}

/* The beginning of an answer that the gate holds is not held for ever. */
static void hold_for_a_while(apipool_exchange_t *x)
{
    apr_interval_time_t patience = apipool_gate_patience(x->req);
    apr_time_t until = apipool_monotonic_now() + patience;
    if (patience >= 0 && until < x->wait.due) {
        x->wait.due = until;
    }
}

/* Nothing more has come for now: what there is goes out at once. */
static apipool_wait_e flush(apipool_exchange_t *x)
{
    if (!x->is_unflushed && APR_BRIGADE_EMPTY(x->out)) {
        return APIPOOL_WAIT_READABLE;
    }
    if (apipool_exchange_flush(x) != APR_SUCCESS) {
        return end_for_client(x);
    }
    x->is_unflushed = 0;
    be_patient(x, x->req->attempt.idle_timeout);
    hold_for_a_while(x);
    return x->is_suspended && apipool_exchange_is_clogged(x) ? wait_for_client(x)
                                                             : APIPOOL_WAIT_READABLE;
}

/* The response is complete. The connection goes to others before the client has got the end. */
static apipool_wait_e complete(apipool_exchange_t *x)
{
    request_rec *r = x->req->r;
    plug_in(x->req->attempt.plug, -1);
    release(x, x->keep);
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_eos_create(r->connection->bucket_alloc));
    /* a stream of HTTP/2 that has got all may be gone by now */
    return apipool_exchange_pass(x) == APR_SUCCESS ? end(x, APIPOOL_PHASE_ANSWERED, 0)
                                                   : end_for_client(x);
}

/* Takes the framing off. Returns how many bytes of a body are left, or -1. */
static apr_ssize_t unframe(apipool_exchange_t *x, char *text, apr_size_t len, int *is_complete)
{
    apr_size_t used = len;
    apr_ssize_t n = (apr_ssize_t)len;
    switch (x->response.framing) {
    case APIPOOL_BY_CHUNKS:
        n = apipool_chunked_decode(&x->chunked, text, len, &used);
        *is_complete = apipool_chunked_is_complete(&x->chunked);
        break;
    case APIPOOL_BY_LENGTH:
        if ((apr_off_t)len > x->response.left) {
            used = (apr_size_t)x->response.left;
        }
        n = (apr_ssize_t)used;
        x->response.left -= n;
        *is_complete = x->response.left == 0;
        break;
    case APIPOOL_NO_BODY:
        used = 0;
        n = 0;
        *is_complete = 1;
        break;
    default:
        *is_complete = 0;
    }
    x->keep &= used == len; /* more than was announced */
    return n;
}

/* A piece of the body goes to the client.
 * buffer: of a bucket allocator, with the piece in it, which is taken over; or NULL: the piece lasts
 * as long as the request */
static apipool_wait_e take_body(apipool_exchange_t *x, char *buffer, char *text, apr_size_t len)
{
    apr_bucket_alloc_t *alloc = x->req->r->connection->bucket_alloc;
    int is_complete;
    apr_ssize_t n = unframe(x, text, len, &is_complete);
    if (n > 0 && buffer) {
        apr_size_t start = (apr_size_t)(text - buffer);
        apr_bucket *b =
            apr_bucket_heap_create(buffer, start + (apr_size_t)n, apr_bucket_free, alloc);
        b->start += (apr_off_t)start;
        b->length -= start;
        APR_BRIGADE_INSERT_TAIL(x->out, b);
    }
    else if (n > 0) {
        APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_immortal_create(text, (apr_size_t)n, alloc));
    }
    else if (buffer) {
        apr_bucket_free(buffer);
    }
    if (n < 0) {
        return fail(x, 0, "sent a malformed chunk");
    }
    return is_complete ? complete(x) : APIPOOL_WAIT_READABLE;
}

/* What has come of the body with the head. A little of it does not keep a buffer from others. */
static apipool_wait_e take_rest(apipool_exchange_t *x, char *buffer, apr_size_t start,
                                apr_size_t len)
{
    if (len > LITTLE) {
        return take_body(x, buffer, buffer + start, len);
    }
    char *text = apr_pmemdup(x->req->r->pool, buffer + start, len);
    apr_bucket_free(buffer);
    x->is_unflushed |= !len;
    return len || x->response.framing == APIPOOL_NO_BODY ? take_body(x, NULL, text, len)
                                                         : APIPOOL_WAIT_READABLE;
}

/* Makes room for more of the head. Buffers are the client's, who may get the rest of it. */
static int make_room(apipool_exchange_t *x)
{
    apr_bucket_alloc_t *alloc = x->req->r->connection->bucket_alloc;
    if (x->in && x->in_len < x->in_size) {
        return 1;
    }
    if (x->in_len >= APIPOOL_RESPONSE_HEAD_MAX) {
        return 0;
    }
    apr_size_t size = x->in ? 2 * x->in_size : PIECE;
    char *in = apr_bucket_alloc(size, alloc);
    if (x->in) {
        memcpy(in, x->in, x->in_len);
        apr_bucket_free(x->in);
    }
    x->in = in;
    x->in_size = size;
    return 1;
}

/* Removes what has been read of the head's buffer. */
static void skip(apipool_exchange_t *x, apr_size_t len)
{
    x->in_len -= len;
    memmove(x->in, x->in + len, x->in_len);
    x->searched = 0;
}

/* A complete head has come, and maybe some of the body. */
static apipool_wait_e take_head(apipool_exchange_t *x, apr_size_t len)
{
    request_rec *r = x->req->r;
    apipool_attempt_t *attempt = &x->req->attempt;
    char *head = apr_pstrmemdup(r->pool, x->in, len), *rest = x->in;
    apr_size_t rest_len = x->in_len - len;

    apipool_key_redact(head, len, attempt->lease->key, attempt->lease->len);
    switch (apipool_response_read(x->req, x->conn.conf, head, len, &x->response)) {
    case APIPOOL_RESPONSE_MALFORMED:
        return fail(x, 0, "sent a malformed response head");
    case APIPOOL_RESPONSE_INTERIM:
        skip(x, len);
        return ++x->interims > INTERIM_MAX ? fail(x, 0, "sent interim responses without end")
                                           : APIPOOL_WAIT_READABLE;
    case APIPOOL_RESPONSE_SWITCHES:
        attempt->answering = 1;
        x->stage = APIPOOL_STAGE_TUNNEL;
        skip(x, len);
        return APIPOOL_WAIT_NOTHING;
    default:
        break;
    }
    attempt->answering = 1;
    apr_table_setn(r->notes, "proxy-source-port",
                   apr_itoa(r->pool, x->conn.backend->connection->local_addr->port));
    x->stage = APIPOOL_STAGE_BODY;
    x->in = NULL;
    x->keep &= x->response.keep && APR_BRIGADE_EMPTY(x->unsent);
    be_patient(x, attempt->idle_timeout);
    return take_rest(x, rest, len, rest_len);
}

static apipool_wait_e read_head(apipool_exchange_t *x)
{
    apr_size_t len;
    if (!make_room(x)) {
        return fail(x, APR_ENOSPC, "sent a response head that is too large");
    }
    apr_status_t rv =
        apipool_upstream_conn_read(&x->conn, x->in + x->in_len, x->in_size - x->in_len, &len);
    if (APR_STATUS_IS_EAGAIN(rv)) {
        if (!x->in_len) { /* a request that waits holds no buffer */
            apr_bucket_free(x->in);
            x->in = NULL;
        }
        return APR_BRIGADE_EMPTY(x->unsent) ? APIPOOL_WAIT_READABLE : APIPOOL_WAIT_WRITABLE;
    }
    if (rv != APR_SUCCESS) {
        return fail_to_get_response(x, rv);
    }
    x->in_len += len;
    return APIPOOL_WAIT_READABLE;
}

/* Some append a blank line to the response before (RFC 9112 section 2.2). Returns 0 if what comes
 * is no response, or an endless number of such lines. */
static int is_http(apipool_exchange_t *x)
{
    while (x->in_len >= 2 && x->in[0] == '\r' && x->in[1] == '\n') {
        skip(x, 2);
        if (++x->interims > INTERIM_MAX) {
            return 0;
        }
    }
    return (x->in_len == 1 && x->in[0] == '\r') || apipool_response_head_is_http(x->in, x->in_len);
}

/* Reads heads until one is final. */
static apipool_wait_e get_head(apipool_exchange_t *x)
{
    while (x->stage == APIPOOL_STAGE_HEAD || x->stage == APIPOOL_STAGE_REQUEST) {
        if (x->in && !is_http(x)) {
            return fail(x, 0, "sent what is no HTTP/1 response");
        }
        char *end_of_head = x->in ? apipool_response_head_end(x->in, x->in_len, x->searched) : NULL;
        if (end_of_head) {
            apipool_wait_e wait = take_head(x, (apr_size_t)(end_of_head - x->in));
            if (wait == APIPOOL_WAIT_NOTHING) {
                return wait;
            }
            continue;
        }
        apr_size_t had = x->in_len;
        x->searched = had;
        apipool_wait_e wait = read_head(x);
        if (wait != APIPOOL_WAIT_READABLE || x->in_len == had) {
            return wait;
        }
    }
    return APIPOOL_WAIT_READABLE;
}

/* Some upstreams answer before they have got all, and read no more of the request. */
static apipool_wait_e send_on(apipool_exchange_t *x)
{
    apipool_attempt_t *attempt = &x->req->attempt;
    apr_bucket *first = APR_BRIGADE_FIRST(x->unsent);
    apr_size_t length = first->length;
    apr_status_t rv =
        apipool_upstream_conn_send(&x->conn, x->unsent, x->wait.due - apipool_monotonic_now());
    if (rv == APR_SUCCESS) {
        x->stage = APIPOOL_STAGE_HEAD;
        be_patient(x, attempt->first_byte_timeout);
        x->first_byte_due = x->wait.due;
        return APIPOOL_WAIT_READABLE;
    }
    if (APR_STATUS_IS_EAGAIN(rv)) {
        if (APR_BRIGADE_FIRST(x->unsent) != first || first->length != length) {
            be_patient(x, attempt->idle_timeout);
        }
        return get_head(x);
    }
    if (APR_STATUS_IS_TIMEUP(rv)) {
        return fail_in_time(x);
    }
    x->stage = APIPOOL_STAGE_HEAD; /* it may have said why */
    apipool_wait_e wait = get_head(x);
    return x->stage == APIPOOL_STAGE_HEAD ? fail_to_get_response(x, rv) : wait;
}

/* Whether more of a response may be read: a client that is slow keeps its upstream waiting. */
static apipool_wait_e make_way(apipool_exchange_t *x)
{
    if (apipool_exchange_is_clogged(x) && apipool_exchange_unclog(x) != APR_SUCCESS) {
        return end_for_client(x);
    }
    if (apipool_exchange_is_clogged(x)) {
        return wait_for_client(x);
    }
    if (x->waits_for_client) {
        x->waits_for_client = 0;
        be_patient(x, x->req->attempt.idle_timeout);
    }
    return APIPOOL_WAIT_READABLE;
}

static apipool_wait_e get_body(apipool_exchange_t *x)
{
    apr_bucket_alloc_t *alloc = x->req->r->connection->bucket_alloc;
    int pieces = 0;
    for (apr_size_t len, size = PIECE;; size = PIECE_BIG) {
        apipool_wait_e wait = x->is_suspended ? make_way(x) : APIPOOL_WAIT_READABLE;
        if (wait != APIPOOL_WAIT_READABLE) {
            return wait;
        }
        if (x->is_suspended && ++pieces > PIECES_MAX) {
            return APIPOOL_WAIT_TURN;
        }
        if (x->conn.is_drained) {
            return flush(x);
        }
        char *buffer = apr_bucket_alloc(size, alloc);
        apr_status_t rv = apipool_upstream_conn_read(&x->conn, buffer, size, &len);
        if (rv != APR_SUCCESS) {
            apr_bucket_free(buffer);
            if (APR_STATUS_IS_EAGAIN(rv)) {
                return flush(x);
            }
            return APR_STATUS_IS_EOF(rv) && x->response.framing == APIPOOL_BY_CLOSE
                       ? complete(x)
                       : fail(x, rv, "broke off in the middle of a response");
        }
        if (take_body(x, buffer, buffer, len) == APIPOOL_WAIT_NOTHING) {
            return APIPOOL_WAIT_NOTHING;
        }
        if (!x->conn.is_drained && !apipool_exchange_pass_on(x)) {
            return end_for_client(x);
        }
    }
}

apipool_wait_e apipool_exchange_step(apipool_exchange_t *x)
{
    apipool_wait_e wait = APIPOOL_WAIT_READABLE;
    if (x->stage == APIPOOL_STAGE_CONNECT) {
        wait = x->is_suspended ? APIPOOL_WAIT_THREAD : connect_upstream(x);
    }
    if (x->stage == APIPOOL_STAGE_REQUEST) {
        wait = send_on(x);
    }
    if (x->stage == APIPOOL_STAGE_HEAD && wait == APIPOOL_WAIT_READABLE) {
        wait = get_head(x);
    }
    if (x->stage == APIPOOL_STAGE_BODY) {
        wait = get_body(x);
    }
    return x->stage == APIPOOL_STAGE_TUNNEL || x->stage == APIPOOL_STAGE_ENDED
               ? APIPOOL_WAIT_NOTHING
               : wait;
}

void apipool_exchange_expire(apipool_exchange_t *x)
{
    if (apipool_gate_patience(x->req) == 0) {
        apipool_gate_expire(x->req);
        x->is_unflushed = 1;
        be_patient(x, x->req->attempt.idle_timeout);
        return;
    }
    if (x->waits_for_client) {
        apipool_exchange_leave(x);
    }
    else {
        fail_in_time(x);
    }
}

void apipool_exchange_leave(apipool_exchange_t *x)
{
    x->req->r->connection->aborted = 1;
    end_for_client(x);
}

int apipool_exchange_finish(apipool_exchange_t *x)
{
    const conn_rec *client = x->req->r->connection;
    if (x->stage == APIPOOL_STAGE_TUNNEL) {
        apipool_tunnel_run(x->req, x->conn.backend->connection, x->in, x->in_len);
        end(x, client->aborted ? APIPOOL_PHASE_CLIENT_GONE : APIPOOL_PHASE_ANSWERED, 0);
    }
    apr_brigade_destroy(x->unsent);
    apr_brigade_destroy(x->out);
    return client->aborted || x->req->gate.broke ? DONE : OK;
}
