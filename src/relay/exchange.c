/* SPDX-License-Identifier: Apache-2.0
 * One HTTP/1.1 exchange with an upstream: a request goes out, its response comes in. */
#include "exchange.h"

#include <http_core.h>
#include <http_protocol.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <util_filter.h>

#include "body.h"
#include "budget.h"
#include "chunked.h"
#include "client_conn.h"
#include "key.h"
#include "monotonic.h"
#include "outgoing.h"
#include "response.h"
#include "response_head.h"
#include "tunnel.h"
#include "upstream_conn.h"
#include "workers.h"

#define PIECE       APR_BUCKET_BUFF_SIZE /* fits a block that bucket allocators keep */
#define PIECE_BIG   (4 * PIECE)          /* once there is more than one */
#define INTERIM_MAX 10

/* An upstream may close a kept connection while a request is on its way (RFC 9112 section 9.3.1).
 * After more than that it has seen the request. */
#define RACE_MAX apr_time_from_sec(1)

/* Milliseconds between two looks at what no socket tells: that somebody leaves a stream of HTTP/2;
 * that TLS filters have something after all. */
#define LOOK_AT_STREAM 250
#define LOOK_AT_TLS    1000

/* Where an exchange stands. */
typedef enum {
    IN_REQUEST, /* some of the request is still to be sent */
    IN_HEAD,    /* the response's head is awaited */
    IN_BODY,    /* its body is */
    IN_TUNNEL,  /* a 101 has come: bytes go both ways */
    ENDED
} stage_e;

typedef struct {
    apipool_request_t *req;
    apipool_upstream_conn_t conn;
    stage_e stage;
    apr_time_t due;             /* when the stage's patience ends; of apipool_monotonic_now() */
    apr_time_t begun_at;        /* when sending began */
    apr_time_t first_byte_due;  /* when the client must have got something; 0: not yet sent */
    apr_bucket_brigade *unsent; /* of the request */
    int is_retried; /* a kept connection had been closed by the upstream; this is a new one */

    char *in; /* the head as far as it came */
    apr_size_t in_len, in_size, searched;
    int interims;
    apipool_response_t response;
    apipool_chunked_t chunked;
    int keep;                /* the connection may serve another exchange */
    apr_bucket_brigade *out; /* what is about to be passed to the client */
    int is_unflushed;        /* something was passed, or the head is to be */
} exchange_t;

/* What a step waits for. */
typedef enum { WAIT_READABLE, WAIT_WRITABLE, NOTHING } wait_e;

/* ---- how long, and how it ends ---- */

/* The deadline counts until the client has got something. */
static void be_patient(exchange_t *x, apr_interval_time_t patience)
{
    const apipool_attempt_t *attempt = &x->req->attempt;
    apr_time_t now = apipool_monotonic_now();
    x->due = now + patience;
    if (x->first_byte_due && !attempt->passing && x->first_byte_due < x->due) {
        x->due = x->first_byte_due;
    }
    if (attempt->deadline && !attempt->passing && attempt->deadline < x->due) {
        x->due = attempt->deadline;
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

void apipool_exchange_pull(apipool_plug_t *plug)
{
    apr_thread_mutex_lock(plug->mutex);
    plug->pulled = 1;
    if (plug->socket >= 0) {
        shutdown(plug->socket, SHUT_RDWR);
    }
    apr_thread_mutex_unlock(plug->mutex);
}

static wait_e end(exchange_t *x, apipool_phase_e phase, int keep)
{
    x->req->attempt.phase = phase;
    x->stage = ENDED;
    plug_in(x->req->attempt.plug, -1);
    apipool_upstream_conn_release(&x->conn, keep && x->keep);
    if (x->in) {
        apr_bucket_free(x->in);
        x->in = NULL;
    }
    return NOTHING;
}

/* The client has left, or does not want the rest. */
static wait_e end_for_client(exchange_t *x)
{
    int has_left = x->req->r->connection->aborted;
    return end(x, has_left ? APIPOOL_PHASE_CLIENT_GONE : APIPOOL_PHASE_ANSWERED, 0);
}

static void report(const exchange_t *x, apr_status_t rv, const char *what)
{
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, rv, x->req->r,
                  APIPOOL_LOG(0013) "pool %s: upstream %s %s", x->req->pool->name,
                  x->req->attempt.upstream->name, what);
}

/* The upstream is at fault. What the client has had of a response ends with an error bucket. */
static wait_e fail(exchange_t *x, apr_status_t rv, const char *what)
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

static wait_e fail_in_time(exchange_t *x)
{
    static const char *const what[] = {[IN_REQUEST] = "took too long to take the request",
                                       [IN_HEAD] = "sent no response in time",
                                       [IN_BODY] = "stopped in the middle of a response"};
    x->req->attempt.timed_out = 1;
    x->req->attempt.is_out_of_time = x->due == x->req->attempt.deadline;
    return fail(x, APR_TIMEUP, what[x->stage]);
}

/* ---- the request ---- */

static apr_status_t make_request(exchange_t *x, const char *target, const apr_uri_t *uri)
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
static wait_e begin(exchange_t *x, int is_fresh)
{
    apipool_attempt_t *attempt = &x->req->attempt;
    request_rec *r = x->req->r;
    char *target;
    apr_uri_t uri;
    int status = apipool_upstream_conn_open(&x->conn, &target, &uri);
    if (status == OK) {
        status = apipool_upstream_conn_connect(&x->conn, is_fresh);
    }
    if (status != OK) {
        attempt->timed_out = attempt->deadline && apipool_monotonic_now() >= attempt->deadline;
        attempt->is_out_of_time = attempt->timed_out;
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
    plug_in(attempt->plug, x->conn.fd);
    if (attempt->plug && attempt->plug->pulled) {
        return end(x, APIPOOL_PHASE_NOT_SENT, 0);
    }
    x->stage = IN_REQUEST;
    x->begun_at = apipool_monotonic_now();
    be_patient(x, attempt->idle_timeout);
    return WAIT_WRITABLE;
}

/* The upstream has closed the connection, or what it says cannot be read. */
static wait_e fail_to_get_response(exchange_t *x, apr_status_t rv)
{
    int is_race = x->conn.is_reused && !x->in_len && !x->is_retried && !x->req->attempt.plug &&
                  apipool_monotonic_now() - x->begun_at < RACE_MAX;
    if (!is_race) {
        return fail(x, rv, "closed the connection without a response");
    }
    x->is_retried = 1;
    apipool_upstream_conn_release(&x->conn, 0);
    apr_brigade_cleanup(x->unsent);
    return begin(x, 1);
}

/* ---- the response ---- */

/* Passes what has come. */
static apr_status_t pass(exchange_t *x)
{
    apr_status_t rv = ap_pass_brigade(x->req->r->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    x->is_unflushed = 1;
    return rv;
}

/* The same. Returns whether the client takes more. */
static int pass_on(exchange_t *x)
{
    return pass(x) == APR_SUCCESS && !x->req->r->connection->aborted;
}

/* Nothing more has come for now: what there is goes out at once. */
static wait_e flush(exchange_t *x)
{
    if (x->is_unflushed || !APR_BRIGADE_EMPTY(x->out)) {
        APR_BRIGADE_INSERT_TAIL(x->out,
                                apr_bucket_flush_create(x->req->r->connection->bucket_alloc));
        if (!pass_on(x)) {
            return end_for_client(x);
        }
        x->is_unflushed = 0;
        be_patient(x, x->req->attempt.idle_timeout);
    }
    return WAIT_READABLE;
}

/* The response is complete. The connection goes to others before the client has got the end. */
static wait_e complete(exchange_t *x)
{
    request_rec *r = x->req->r;
    plug_in(x->req->attempt.plug, -1);
    apipool_upstream_conn_release(&x->conn, x->keep);
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_eos_create(r->connection->bucket_alloc));
    /* a stream of HTTP/2 that has got all may be gone by now */
    return pass(x) == APR_SUCCESS ? end(x, APIPOOL_PHASE_ANSWERED, 0) : end_for_client(x);
}

/* Takes the framing off. Returns how many bytes of a body are left, or -1. */
static apr_ssize_t unframe(exchange_t *x, char *text, apr_size_t len, int *is_complete)
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

/* A piece of the body, which starts in a buffer of a bucket allocator, goes to the client. Takes
 * the buffer over. */
static wait_e take_body(exchange_t *x, char *buffer, apr_size_t start, apr_size_t len)
{
    int is_complete;
    apr_ssize_t n = unframe(x, buffer + start, len, &is_complete);
    if (n > 0) {
        apr_bucket *b = apr_bucket_heap_create(buffer, start + (apr_size_t)n, apr_bucket_free,
                                               x->req->r->connection->bucket_alloc);
        b->start += (apr_off_t)start;
        b->length -= start;
        APR_BRIGADE_INSERT_TAIL(x->out, b);
    }
    else {
        apr_bucket_free(buffer);
    }
    if (n < 0) {
        return fail(x, 0, "sent a malformed chunk");
    }
    return is_complete ? complete(x) : WAIT_READABLE;
}

/* Makes room for more of the head. Buffers are the client's, who may get the rest of it. */
static int make_room(exchange_t *x)
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
static void skip(exchange_t *x, apr_size_t len)
{
    x->in_len -= len;
    memmove(x->in, x->in + len, x->in_len);
    x->searched = 0;
}

/* A complete head has come, and maybe some of the body. */
static wait_e take_head(exchange_t *x, apr_size_t len)
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
                                           : WAIT_READABLE;
    case APIPOOL_RESPONSE_SWITCHES:
        attempt->answering = 1;
        x->stage = IN_TUNNEL;
        skip(x, len);
        return NOTHING;
    default:
        break;
    }
    attempt->answering = 1;
    apr_table_setn(r->notes, "proxy-source-port",
                   apr_itoa(r->pool, x->conn.backend->connection->local_addr->port));
    x->stage = IN_BODY;
    x->in = NULL;
    x->keep &= x->response.keep && APR_BRIGADE_EMPTY(x->unsent);
    be_patient(x, attempt->idle_timeout);
    if (!rest_len && x->response.framing != APIPOOL_NO_BODY) {
        apr_bucket_free(rest);
        x->is_unflushed = 1;
        return WAIT_READABLE;
    }
    return take_body(x, rest, len, rest_len);
}

static wait_e read_head(exchange_t *x)
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
        return APR_BRIGADE_EMPTY(x->unsent) ? WAIT_READABLE : WAIT_WRITABLE;
    }
    if (rv != APR_SUCCESS) {
        return fail_to_get_response(x, rv);
    }
    x->in_len += len;
    return WAIT_READABLE;
}

/* Some append a blank line to the response before (RFC 9112 section 2.2). Returns 0 if what comes is no
 * response, or an endless number of such lines. */
static int is_http(exchange_t *x)
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
static wait_e get_head(exchange_t *x)
{
    while (x->stage == IN_HEAD || x->stage == IN_REQUEST) {
        if (x->in && !is_http(x)) {
            return fail(x, 0, "sent what is no HTTP/1 response");
        }
        char *end_of_head = x->in ? apipool_response_head_end(x->in, x->in_len, x->searched) : NULL;
        if (end_of_head) {
            wait_e wait = take_head(x, (apr_size_t)(end_of_head - x->in));
            if (wait == NOTHING) {
                return wait;
            }
            continue;
        }
        apr_size_t had = x->in_len;
        x->searched = had;
        wait_e wait = read_head(x);
        if (wait != WAIT_READABLE || x->in_len == had) {
            return wait;
        }
    }
    return WAIT_READABLE;
}

/* Some upstreams answer before they have got all, and read no more of the request. */
static wait_e send_on(exchange_t *x)
{
    apipool_attempt_t *attempt = &x->req->attempt;
    apr_bucket *first = APR_BRIGADE_FIRST(x->unsent);
    apr_size_t length = first->length;
    apr_status_t rv =
        apipool_upstream_conn_send(&x->conn, x->unsent, x->due - apipool_monotonic_now());
    if (rv == APR_SUCCESS) {
        x->stage = IN_HEAD;
        be_patient(x, attempt->first_byte_timeout);
        x->first_byte_due = x->due;
        return WAIT_READABLE;
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
    x->stage = IN_HEAD; /* it may have said why */
    wait_e wait = get_head(x);
    return wait == NOTHING || x->stage == IN_BODY ? wait : fail_to_get_response(x, rv);
}

static wait_e get_body(exchange_t *x)
{
    apr_bucket_alloc_t *alloc = x->req->r->connection->bucket_alloc;
    for (apr_size_t len, size = PIECE;; size = PIECE_BIG) {
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
        if (take_body(x, buffer, 0, len) == NOTHING) {
            return NOTHING;
        }
        if (!x->conn.is_drained && !pass_on(x)) {
            return end_for_client(x);
        }
    }
}

/* Does what can be done without waiting for the upstream. */
static wait_e step(exchange_t *x)
{
    wait_e wait = WAIT_READABLE;
    if (x->stage == IN_REQUEST) {
        wait = send_on(x);
    }
    if (wait != NOTHING && x->stage == IN_HEAD) {
        wait = get_head(x);
    }
    if (wait != NOTHING && x->stage == IN_BODY) {
        wait = get_body(x);
    }
    return wait;
}

/* ---- in a thread of its own ---- */

/* Waits until the upstream is ready, the client has left, or patience is at its end. Returns
 * whether it may go on. */
static int await(exchange_t *x, wait_e wait)
{
    apipool_request_t *req = x->req;
    struct pollfd at[2] = {
        {.fd = x->conn.fd, .events = wait == WAIT_WRITABLE ? POLLIN | POLLOUT : POLLIN}};
    for (;;) {
        int has_socket = apipool_client_conn_watch(req, &at[1]);
        int longest = !has_socket ? LOOK_AT_STREAM : x->conn.is_direct ? INT_MAX : LOOK_AT_TLS;
        apr_time_t left = x->due - apipool_monotonic_now();
        int ms = left > 0 ? (int)apr_time_as_msec(left) + 1 : 0;
        int n = poll(at, has_socket ? 2 : 1, ms < longest ? ms : longest);
        if (apipool_client_conn_has_left(req, has_socket && n > 0 ? at[1].revents : 0)) {
            end_for_client(x);
            return 0;
        }
        if (n == 0 && left <= 0) {
            fail_in_time(x);
            return 0;
        }
        if ((n > 0 && at[0].revents) || (n == 0 && !x->conn.is_direct)) {
            x->conn.is_drained = 0;
            return 1;
        }
    }
}

int apipool_exchange_run(apipool_request_t *req, proxy_worker *worker, const char *url)
{
    request_rec *r = req->r;
    apr_bucket_alloc_t *alloc = r->connection->bucket_alloc;
    exchange_t x = {.req = req,
                    .conn = {.r = r,
                             .conf = req->budget->conf,
                             .worker = worker,
                             .url = url,
                             .remote = apipool_workers_remote(req->budget->conf, url)},
                    .unsent = apr_brigade_create(r->pool, alloc),
                    .out = apr_brigade_create(r->pool, alloc)};
    wait_e wait = begin(&x, 0);
    while (wait != NOTHING) {
        wait = step(&x);
        if (wait != NOTHING && !await(&x, wait)) {
            wait = NOTHING;
        }
    }
    if (x.stage == IN_TUNNEL) {
        apipool_tunnel_run(req, x.conn.backend->connection, x.in, x.in_len);
        end(&x, r->connection->aborted ? APIPOOL_PHASE_CLIENT_GONE : APIPOOL_PHASE_ANSWERED, 0);
    }
    apr_brigade_destroy(x.unsent);
    apr_brigade_destroy(x.out);
    return r->connection->aborted || req->gate.broke ? DONE : OK;
}
