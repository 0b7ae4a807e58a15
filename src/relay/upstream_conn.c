/* SPDX-License-Identifier: Apache-2.0
 * The connection to an upstream: how long a read may last, and what comes of it. */
#include "upstream_conn.h"

#include <apr_portable.h>
#include <apr_support.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <util_filter.h>

#include "head.h"
#include "upstream_buffer.h"
#include "websocket.h"

#define LOOK_AGAIN 1000 /* milliseconds */

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

static ap_filter_rec_t *read_handle, *write_handle;
static _Thread_local apipool_attempt_t *current;

static void plug_in(apipool_plug_t *plug, int socket)
{
    apr_thread_mutex_lock(plug->mutex);
    plug->socket = socket;
    apr_thread_mutex_unlock(plug->mutex);
}

void apipool_upstream_conn_pull(apipool_plug_t *plug)
{
    apr_thread_mutex_lock(plug->mutex);
    plug->pulled = 1;
    if (plug->socket >= 0) {
        shutdown(plug->socket, SHUT_RDWR);
    }
    apr_thread_mutex_unlock(plug->mutex);
}

/* The socket is about to be closed, by the thread that uses it: its number may soon be another one's. */
static apr_status_t unplug(void *data)
{
    if (current && current->plug) {
        plug_in(current->plug, -1);
    }
    return APR_SUCCESS;
}

apipool_attempt_t *apipool_upstream_conn_attach(apipool_attempt_t *attempt)
{
    apipool_attempt_t *before = current;
    unplug(NULL); /* the connection may be kept, for others */
    current = attempt;
    return before;
}

int apipool_upstream_conn_pre_connection(conn_rec *c, void *socket)
{
    if (!current) {
        return DECLINED;
    }
    current->fresh = 1;
    current->timed_at = 0;
    apr_pool_pre_cleanup_register(c->pool, NULL, unplug);
    ap_add_input_filter_handle(read_handle, apipool_upstream_buffer_make(c), NULL, c);
    ap_add_output_filter_handle(write_handle, NULL, NULL, c);
    return OK;
}

/* The time, a tick of the system's clock late at most: it is asked for before each read that may wait. */
static apr_time_t time_about(void)
{
#ifdef CLOCK_REALTIME_COARSE
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0) {
        return apr_time_make(now.tv_sec, now.tv_nsec / 1000);
    }
#endif
    return apr_time_now();
}

int apipool_upstream_conn_sent(request_rec *r, request_rec *answer)
{
    if (current) {
        current->sent = 1;
        current->first_byte_by = time_about() + current->first_byte_timeout;
    }
    return OK;
}

/* How long the next read or write may wait: for the first byte, or for the next one; and no longer than
 * the request's deadline as long as nothing has gone to the client. */
static apr_interval_time_t patience(const apipool_attempt_t *attempt, apr_time_t now)
{
    apr_interval_time_t wait = attempt->idle_timeout;
    if (attempt->sent && !attempt->answering && !attempt->head.switching) {
        wait = attempt->first_byte_by - now;
    }
    if (attempt->read_by && !attempt->passing && !attempt->head.switching &&
        attempt->read_by - now < wait) {
        wait = attempt->read_by - now;
    }
    return wait;
}

/* For as long as the clock has not ticked and the attempt has not got on, it stays set. */
static apr_status_t set_timeout(apipool_attempt_t *attempt, conn_rec *c)
{
    apr_time_t now = time_about();
    int stage = attempt->sent + attempt->answering + attempt->passing + attempt->head.switching;
    int socket;
    if (now == attempt->timed_at && stage == attempt->timed_stage && !attempt->plug) {
        return APR_SUCCESS;
    }
    apr_interval_time_t wait = patience(attempt, now);
    if (attempt->plug) {
        apr_os_sock_get(&socket, ap_get_conn_socket(c));
        plug_in(attempt->plug, socket);
        if (attempt->plug->pulled) {
            return APR_ECONNABORTED;
        }
    }
    if (wait <= 0) {
        return APR_TIMEUP;
    }
    attempt->timed_at = now;
    attempt->timed_stage = stage;
    return apr_socket_timeout_set(ap_get_conn_socket(c), wait);
}

/* Whether what passes is of a WebSocket whose frames are read. */
static int is_tunnel(const apipool_attempt_t *attempt)
{
    return attempt && attempt->websocket && attempt->head.switching;
}

/* Writes wait as long as reads do, a TLS handshake included, which happens on the first of them. Without
 * this they would wait as long as the last read of the connection was allowed to. */
static apr_status_t write_link(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_status_t rv = current ? set_timeout(current, f->c) : APR_SUCCESS;
    if (rv != APR_SUCCESS) {
        apr_brigade_cleanup(bb);
        return rv;
    }
    return is_tunnel(current) ? apipool_websocket_write(current->websocket, f->next, bb)
                              : ap_pass_brigade(f->next, bb);
}

/* Whether the filters of TLS have something, or can make it of what has come. */
static int is_buffered(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, AP_MODE_SPECULATIVE, APR_NONBLOCK_READ, 1);
    int is_empty = APR_BRIGADE_EMPTY(bb);
    apr_brigade_cleanup(bb);
    return !APR_STATUS_IS_EAGAIN(rv) && !(rv == APR_SUCCESS && is_empty);
}

/* Until the answer begins, or has had its time, or the client has left. Whatever else there is to be said of
 * the upstream's connection, reading from it tells. */
static apr_status_t watch(apipool_attempt_t *attempt, ap_filter_t *f, apr_bucket_brigade *bb)
{
    struct pollfd at[] = {{.events = POLLIN}, {.events = POLLRDHUP}};
    int is_tls = ap_ssl_conn_is_ssl(f->c), ready = 0;
    if (apr_os_sock_get(&at[0].fd, ap_get_conn_socket(f->c)) ||
        apr_os_sock_get(&at[1].fd, ap_get_conn_socket(attempt->client->connection))) {
        return APR_SUCCESS;
    }
    while (ready == 0) {
        apr_time_t wait = apr_time_as_msec(patience(attempt, time_about())) + 1;
        if (wait <= 0) {
            break;
        }
        ready = poll(at, 2, is_tls && wait > LOOK_AGAIN ? LOOK_AGAIN : (int)wait);
        if (ready == 1 && at[1].revents) {
            attempt->client->connection->aborted = 1;
            apipool_request_hush(attempt->client, "mod_proxy_http.c");
            return APR_ECONNABORTED;
        }
        if (is_tls && ready >= 0) { /* what came may be of TLS itself */
            ready = is_buffered(f, bb);
        }
        ready = ready < 0 && errno == EINTR ? 0 : ready;
    }
    return set_timeout(attempt, f->c);
}

/* An answer takes its time, so a read that comes first would be in vain, in each request. Once: later there
 * may be something in the filters below, as there is in those of TLS from its handshake on. */
static apr_status_t wait_for_answer(apipool_attempt_t *attempt, ap_filter_t *f,
                                    apr_bucket_brigade *bb)
{
    if (!attempt->sent || attempt->awaited) {
        return APR_SUCCESS;
    }
    attempt->awaited = 1;
    if (attempt->client) {
        return watch(attempt, f, bb);
    }
    return ap_ssl_conn_is_ssl(f->c) ? APR_SUCCESS
                                    : apr_wait_for_io_or_timeout(NULL, ap_get_conn_socket(f->c), 1);
}

/* Before a read that may wait: for no longer than the attempt may. */
static apr_status_t prepare(apipool_attempt_t *attempt, ap_filter_t *f, apr_bucket_brigade *bb,
                            apr_read_type_e block)
{
    if (!attempt || block == APR_NONBLOCK_READ) {
        return APR_SUCCESS;
    }
    apr_status_t rv = set_timeout(attempt, f->c);
    return rv == APR_SUCCESS ? wait_for_answer(attempt, f, bb) : rv;
}

static apr_status_t fill(apipool_attempt_t *attempt, ap_filter_t *f, apr_bucket_brigade *bb,
                         apr_read_type_e block)
{
    apr_status_t rv = prepare(attempt, f, bb, block);
    return rv == APR_SUCCESS ? apipool_upstream_buffer_fill(f->ctx, f->next, block) : rv;
}

/* Finds the next line that mod_proxy is shown, or a part of a long one, and leaves it where it is.
 * An upstream that breaks off within a line has begun to answer as well. */
static apr_status_t find_line(apipool_attempt_t *attempt, ap_filter_t *f, apr_bucket_brigade *bb,
                              apr_read_type_e block, const char **line, apr_size_t *len)
{
    apipool_upstream_buffer_t *intake = f->ctx;
    for (;;) {
        apr_size_t vetted = intake->vetted;
        while (!(*len = apipool_upstream_buffer_line(intake, line))) {
            apr_status_t rv = fill(attempt, f, bb, block);
            if (rv != APR_SUCCESS &&
                !(APR_STATUS_IS_EOF(rv) && apipool_upstream_buffer_length(intake))) {
                if (attempt && !APR_STATUS_IS_EAGAIN(rv)) {
                    attempt->head.bytes += apipool_upstream_buffer_length(intake);
                }
                return rv;
            }
        }
        if (!attempt || attempt->answering || vetted) {
            return APR_SUCCESS;
        }
        apipool_upstream_buffer_redact(intake, *len, attempt->lease);
        int taken = apipool_head_takes(&attempt->head, *line, *len,
                                       apipool_upstream_buffer_behind(intake, *len));
        if (attempt->head.bytes > APIPOOL_HEAD_MAX) {
            return APR_ENOSPC;
        }
        if (!taken) {
            intake->vetted = *len;
            return APR_SUCCESS;
        }
        apipool_upstream_buffer_skip(intake, *len);
    }
}

static apr_status_t hand_out_line(apipool_attempt_t *attempt, ap_filter_t *f,
                                  apr_bucket_brigade *bb, apr_read_type_e block)
{
    apipool_upstream_buffer_t *intake = f->ctx;
    const char *line;
    apr_size_t len;
    apr_status_t rv = find_line(attempt, f, bb, block, &line, &len);
    if (rv == APR_SUCCESS) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(line, len, bb->bucket_alloc));
        apipool_upstream_buffer_skip(intake, len);
    }
    return rv;
}

/* After each field httpd asks for the byte behind it, to see whether the field goes on in the next line, and
 * then for that line; and before each request it looks whether the connection is still there, and silent. */
static apr_status_t look_ahead(apipool_attempt_t *attempt, ap_filter_t *f, apr_bucket_brigade *bb,
                               apr_read_type_e block, apr_off_t max)
{
    apipool_upstream_buffer_t *intake = f->ctx;
    const char *text;
    apr_size_t len = apipool_upstream_buffer_length(intake);
    apr_status_t rv = APR_SUCCESS;

    if (block == APR_BLOCK_READ && attempt && !attempt->answering) {
        rv = find_line(attempt, f, bb, block, &text, &len);
    }
    else if (!len && block == APR_NONBLOCK_READ && !apipool_upstream_buffer_is_readable(intake)) {
        rv = APR_EAGAIN;
    }
    else if (!len) {
        rv = fill(attempt, f, bb, block);
    }
    if (rv == APR_SUCCESS) {
        apipool_upstream_buffer_show(intake, bb, max);
    }
    return rv;
}

static apr_status_t hand_out_bytes(apipool_attempt_t *attempt, ap_filter_t *f,
                                   apr_bucket_brigade *bb, apr_read_type_e block, apr_off_t max)
{
    apipool_upstream_buffer_t *intake = f->ctx;
    apr_status_t rv = APR_SUCCESS;
    if (!apipool_upstream_buffer_length(intake)) {
        rv = fill(attempt, f, bb, block);
    }
    if (rv == APR_SUCCESS) {
        return apipool_upstream_buffer_take(intake, bb, max);
    }
    if (APR_STATUS_IS_EOF(rv) && block == APR_BLOCK_READ) { /* a body may end so */
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
        return APR_SUCCESS;
    }
    return rv;
}

/* Heads are read here, and so is all the rest if nothing but the socket is below. */
static int is_for_below(const apipool_attempt_t *attempt, const apipool_upstream_buffer_t *intake,
                        ap_input_mode_t mode, apr_read_type_e block)
{
    int is_of_head =
        mode == AP_MODE_GETLINE || (mode == AP_MODE_SPECULATIVE && block == APR_BLOCK_READ);
    return !intake->socket && !apipool_upstream_buffer_length(intake) &&
           !(attempt && !attempt->answering && is_of_head);
}

static apr_status_t read_by_mode(apipool_attempt_t *attempt, ap_filter_t *f, apr_bucket_brigade *bb,
                                 ap_input_mode_t mode, apr_read_type_e block, apr_off_t max)
{
    if (is_for_below(attempt, f->ctx, mode, block)) {
        apr_status_t rv = prepare(attempt, f, bb, block);
        return rv == APR_SUCCESS ? ap_get_brigade(f->next, bb, mode, block, max) : rv;
    }
    switch (mode) {
    case AP_MODE_GETLINE:
        return hand_out_line(attempt, f, bb, block);
    case AP_MODE_SPECULATIVE:
        return look_ahead(attempt, f, bb, block, max);
    case AP_MODE_READBYTES:
        return hand_out_bytes(attempt, f, bb, block, max);
    default: /* of no use to mod_proxy */
        return ap_get_brigade(f->next, bb, mode, block, max);
    }
}

/* The first read of a body does not block, and mod_proxy takes an end that it brings for one of the
 * connection, without showing anybody the head. Of a body that brings nothing it shall ask again, and wait;
 * of a tunnel it would ask no more, and before a request an end is one. */
static int is_end_for_later(const apipool_attempt_t *attempt, ap_input_mode_t mode, apr_status_t rv)
{
    return APR_STATUS_IS_EOF(rv) && mode != AP_MODE_SPECULATIVE && attempt && !attempt->answering &&
           !attempt->head.switching;
}

static apr_status_t read_link(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                              apr_read_type_e block, apr_off_t max)
{
    apipool_attempt_t *attempt = current;
    apipool_upstream_buffer_begin(f->ctx, f->next);
    apr_status_t rv = read_by_mode(attempt, f, bb, mode, block, max);
    if (mode == AP_MODE_READBYTES && is_tunnel(attempt)) {
        rv = apipool_websocket_read(attempt->websocket, bb, rv);
    }
    if (block == APR_NONBLOCK_READ &&
        (APR_STATUS_IS_EAGAIN(rv) || is_end_for_later(attempt, mode, rv))) {
        return APR_SUCCESS;
    }
    return rv;
}

void apipool_upstream_conn_register_filters(void)
{
    /* above mod_ssl's filters, so that they see what TLS carries */
    read_handle = ap_register_input_filter("APIPOOL_LINK", read_link, NULL, AP_FTYPE_CONNECTION);
    write_handle = ap_register_output_filter("APIPOOL_LINK", write_link, NULL, AP_FTYPE_CONNECTION);
}
