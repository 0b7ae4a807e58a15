/* SPDX-License-Identifier: Apache-2.0
 * The connection to the client: whether there is still somebody at its other end. */
#include "client_conn.h"

#include <apr_portable.h>
#include <http_core.h>
#include <http_ssl.h>
#include <util_filter.h>

#include "soft_flush.h"

#define RESET_MAX 100 /* milliseconds: how long a reset is waited for before another attempt */

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

short apipool_client_conn_events(const apipool_request_t *req)
{
    return req->client_left ? -1 : req->client_half_closed ? 0 : POLLRDHUP;
}

int apipool_client_conn_watch(const apipool_request_t *req, struct pollfd *at)
{
    conn_rec *client = req->r->connection;
    apr_os_sock_t fd;
    if (req->probing || req->client_left || client->master ||
        apr_os_sock_get(&fd, ap_get_conn_socket(client))) {
        return 0;
    }
    *at = (struct pollfd){.fd = fd, .events = apipool_client_conn_events(req)};
    return 1;
}

/* Over TLS nobody closes one side alone; HTTP/1.0 has no interim responses, and nor has the middle
 * of a response. */
static int may_wait_for_response(const apipool_request_t *req)
{
    return !req->first_byte_at && !req->websocket && req->r->proto_num >= HTTP_VERSION(1, 1) &&
           !ap_ssl_conn_is_ssl(req->r->connection);
}

static void send_continue(conn_rec *client)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    apr_bucket_alloc_t *alloc = client->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(client->pool, alloc);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_immortal_create(text, sizeof(text) - 1, alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apipool_soft_flush_bucket(alloc));
    if (ap_pass_brigade(client->output_filters, bb) == APR_SUCCESS) {
        apipool_soft_flush(client);
    }
    apr_brigade_destroy(bb);
}

static int look(apipool_request_t *req, int events)
{
    conn_rec *client = req->r->connection;
    int is_closed = (events & (POLLERR | POLLHUP | POLLNVAL)) != 0;
    if (is_closed || (events && !may_wait_for_response(req))) {
        client->aborted = 1;
    }
    else if (events) {
        req->client_half_closed = 1;
        client->keepalive = AP_CONN_CLOSE;
        send_continue(client);
    }
    return client->aborted;
}

/* The exchange takes the client for one that is there; the gate throws away what it would get. */
int apipool_client_conn_has_left(apipool_request_t *req, int events)
{
    conn_rec *client = req->r->connection;
    int has_left = req->client_left ? (int)client->aborted : look(req, events);
    if (!has_left || !req->pool->finishes || req->probing || req->websocket) {
        return has_left;
    }
    req->client_left = 1;
    client->aborted = 0;
    return 0;
}

int apipool_client_conn_is_gone(apipool_request_t *req)
{
    struct pollfd at;
    if (req->client_left) {
        return 1;
    }
    if (req->r->connection->aborted || !apipool_client_conn_watch(req, &at)) {
        return req->r->connection->aborted;
    }
    int was_half_closed = req->client_half_closed;
    int has_left = look(req, poll(&at, 1, 0) > 0 ? at.revents : 0);
    if (req->client_half_closed == was_half_closed) {
        return has_left;
    }
    at.events = 0;
    return look(req, poll(&at, 1, RESET_MAX) > 0 ? at.revents : 0);
}
