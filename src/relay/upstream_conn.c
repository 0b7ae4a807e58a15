/* SPDX-License-Identifier: Apache-2.0
 * The connection to an upstream: opened and kept by mod_proxy, read and written here without waiting. */
#include "upstream_conn.h"

#include <apr_portable.h>
#include <http_core.h>
#include <http_ssl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <util_filter.h>

#include "idle_conns.h"
#include "monotonic.h"

#define PIECES      32          /* of a request that one call sends */
#define TLS_PIECE   (16 * 1024) /* a TLS record (RFC 8446 section 5.1) */
#define TICKETS_MAX 8           /* that servers send after a handshake: OpenSSL two */

int apipool_upstream_conn_open(apipool_upstream_conn_t *conn, char **path, apr_uri_t *uri)
{
    request_rec *r = conn->r;
    char port[32];
    int is_tls = !ap_cstr_casecmpn(conn->url, "https:", 6);
    if (is_tls && !ap_ssl_has_outgoing_handlers()) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    conn->scheme = is_tls ? "https" : "http";
    conn->fd = -1;
    int status = ap_proxy_acquire_connection(conn->scheme, &conn->backend, conn->worker, r->server);
    if (status != OK) {
        conn->backend = NULL;
        return status;
    }
    conn->backend->is_ssl = is_tls;
    *path = apr_pstrdup(r->pool, conn->url);
    return ap_proxy_determine_connection(r->pool, r, conn->conf, conn->worker, conn->backend, uri,
                                         path, conn->remote ? conn->remote->hostname : NULL,
                                         conn->remote ? conn->remote->port : 0, port, sizeof(port));
}

/* The first filter that does more than count bytes, which is of interest for clients only. */
static const ap_filter_t *skip_count(const ap_filter_t *f)
{
    return f && !strcmp(f->frec->name, "log_input_output") ? f->next : f;
}

static int is_named(const ap_filter_t *f, const char *name)
{
    return f && !strcmp(f->frec->name, name);
}

static void look_at(apipool_upstream_conn_t *conn)
{
    const conn_rec *c = conn->backend->connection;
    conn->bb = conn->backend->tmp_bb;
    apr_os_sock_get(&conn->fd, conn->backend->sock);
    apipool_idle_conns_forget(conn->fd);
    conn->is_direct = is_named(skip_count(c->input_filters), "core_in") &&
                      is_named(skip_count(c->output_filters), "core");
}

/* Whether a kept connection is open and silent. One that is not is closed here. */
static int is_idle(apipool_upstream_conn_t *conn)
{
    proxy_conn_rec *backend = conn->backend;
    if (!backend->sock || !backend->connection) {
        return 0;
    }
    look_at(conn);
    if (conn->is_direct && PROXY_WORKER_IS_USABLE(conn->worker)) {
        char byte;
        ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return 1;
        }
    }
    return ap_proxy_check_connection(conn->scheme, backend, conn->r->server, 0,
                                     PROXY_CHECK_CONN_EMPTY) == APR_SUCCESS;
}

typedef struct {
    apr_socket_t *socket;
    apr_time_t end; /* of apipool_monotonic_now() */
} handshake_t;

static ap_filter_rec_t *handshake_handle;

/* The socket's timeout is for each read, and a handshake takes as many as the upstream likes. */
static apr_status_t handshake_filter(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                                     apr_read_type_e block, apr_off_t bytes)
{
    const handshake_t *handshake = f->ctx;
    apr_interval_time_t left = handshake->end - apipool_monotonic_now();
    if (left <= 0) {
        return APR_TIMEUP;
    }
    apr_socket_timeout_set(handshake->socket, left);
    return ap_get_brigade(f->next, bb, mode, block, bytes);
}

/* It stands between mod_ssl and the socket. */
void apipool_upstream_conn_register_filter(void)
{
    handshake_handle =
        ap_register_input_filter("APIPOOL_HANDSHAKE", handshake_filter, NULL, AP_FTYPE_NETWORK - 1);
}

/* The handshake comes with the first use. mod_ssl may hide that it failed behind an error bucket. */
static int shake_hands(apipool_upstream_conn_t *conn, apr_time_t deadline)
{
    conn_rec *c = conn->backend->connection;
    apr_interval_time_t patience = conn->worker->s->conn_timeout;
    handshake_t handshake = {conn->backend->sock, apipool_monotonic_now() + patience};
    if (deadline && deadline < handshake.end) {
        handshake.end = deadline;
    }
    ap_filter_t *filter = ap_add_input_filter_handle(handshake_handle, &handshake, NULL, c);
    apr_socket_timeout_set(handshake.socket, patience);
    APR_BRIGADE_INSERT_TAIL(conn->bb, apr_bucket_flush_create(c->bucket_alloc));
    apr_status_t rv = ap_pass_brigade(c->output_filters, conn->bb);
    apr_brigade_cleanup(conn->bb);
    ap_remove_input_filter(filter);
    const char *note = apr_table_get(c->notes, "SSL_connect_rv");
    return rv == APR_SUCCESS && !(note && !strcmp(note, "err"));
}

int apipool_upstream_conn_connect(apipool_upstream_conn_t *conn, int is_fresh, apr_time_t deadline)
{
    proxy_conn_rec *backend = conn->backend;
    server_rec *s = conn->r->server;
    if (is_fresh && backend->sock) { /* mod_proxy then finds it broken, and makes another one */
        apr_socket_shutdown(backend->sock, APR_SHUTDOWN_READWRITE);
    }
    conn->is_reused = is_idle(conn);
    if (!conn->is_reused &&
        ap_proxy_connect_backend(conn->scheme, backend, conn->worker, s) != OK) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    int status = ap_proxy_connection_create_ex(conn->scheme, backend, conn->r);
    if (status != OK) {
        return status;
    }
    look_at(conn);
    conn->is_drained = 0;
    conn->is_new = !conn->is_reused;
    return conn->is_reused || !backend->is_ssl || shake_hands(conn, deadline)
               ? OK
               : HTTP_INTERNAL_SERVER_ERROR;
}

/* Removes what is sent. */
static apr_status_t consume(apr_bucket_brigade *unsent, apr_size_t len)
{
    while (!APR_BRIGADE_EMPTY(unsent)) {
        apr_bucket *b = APR_BRIGADE_FIRST(unsent);
        if (len < b->length) {
            apr_status_t rv = len ? apr_bucket_split(b, len) : APR_SUCCESS;
            if (len && rv == APR_SUCCESS) {
                apr_bucket_delete(b);
            }
            return rv;
        }
        len -= b->length;
        apr_bucket_delete(b);
    }
    return APR_SUCCESS;
}

/* Files are read as they are sent. */
static apr_status_t gather(apr_bucket_brigade *unsent, apr_size_t max, struct iovec *pieces,
                           int *count)
{
    apr_size_t total = 0;
    *count = 0;
    for (apr_bucket *b = APR_BRIGADE_FIRST(unsent);
         b != APR_BRIGADE_SENTINEL(unsent) && *count < PIECES && total < max;
         b = APR_BUCKET_NEXT(b)) {
        const char *text;
        apr_size_t len;
        apr_status_t rv = apr_bucket_read(b, &text, &len, APR_BLOCK_READ);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        len = len < max - total ? len : max - total;
        pieces[(*count)++] = (struct iovec){(void *)(apr_uintptr_t)text, len};
        total += len;
    }
    return APR_SUCCESS;
}

static apr_status_t send_directly(const apipool_upstream_conn_t *conn, apr_bucket_brigade *unsent)
{
    struct iovec pieces[PIECES];
    struct msghdr message = {.msg_iov = pieces};
    int count;
    apr_status_t rv = gather(unsent, APR_INT32_MAX, pieces, &count);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    message.msg_iovlen = (size_t)count;
    ssize_t n = sendmsg(conn->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        return errno == EINTR ? APR_SUCCESS : errno;
    }
    return consume(unsent, (apr_size_t)n);
}

static apr_status_t send_by_filters(apipool_upstream_conn_t *conn, apr_bucket_brigade *unsent,
                                    apr_interval_time_t timeout)
{
    conn_rec *c = conn->backend->connection;
    struct iovec pieces[PIECES];
    apr_size_t total = 0;
    int count;
    apr_status_t rv = gather(unsent, TLS_PIECE, pieces, &count);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (int i = 0; i < count; i++) {
        APR_BRIGADE_INSERT_TAIL(
            conn->bb,
            apr_bucket_transient_create(pieces[i].iov_base, pieces[i].iov_len, c->bucket_alloc));
        total += pieces[i].iov_len;
    }
    APR_BRIGADE_INSERT_TAIL(conn->bb, apr_bucket_flush_create(c->bucket_alloc));
    apr_socket_timeout_set(conn->backend->sock, timeout > 0 ? timeout : 1);
    rv = ap_pass_brigade(c->output_filters, conn->bb);
    apr_brigade_cleanup(conn->bb);
    return rv == APR_SUCCESS ? consume(unsent, total) : rv;
}

apr_status_t apipool_upstream_conn_send(apipool_upstream_conn_t *conn, apr_bucket_brigade *unsent,
                                        apr_interval_time_t timeout)
{
    apr_status_t rv = APR_SUCCESS;
    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(unsent)) {
        if (conn->is_direct) {
            rv = send_directly(conn, unsent);
        }
        else {
            rv = send_by_filters(conn, unsent, timeout);
            if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(unsent)) {
                return APR_EAGAIN; /* the socket's buffer may be full */
            }
        }
    }
    if (rv == APR_SUCCESS) {
        conn->is_drained = conn->is_direct; /* a response takes its time */
    }
    if (rv == APR_SUCCESS && !conn->is_direct) { /* from here on it is read without waiting */
        apr_socket_timeout_set(conn->backend->sock, 0);
    }
    return rv;
}

static apr_status_t read_directly(apipool_upstream_conn_t *conn, char *to, apr_size_t size,
                                  apr_size_t *len)
{
    ssize_t n;
    if (conn->is_drained) {
        return APR_EAGAIN;
    }
    do {
        n = recv(conn->fd, to, size, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        return errno;
    }
    *len = (apr_size_t)n;
    conn->is_drained = *len < size;
    return n ? APR_SUCCESS : APR_EOF;
}

/* What filters hand out is theirs, and for the moment only. */
static apr_status_t read_once(apipool_upstream_conn_t *conn, char *to, apr_size_t size,
                              apr_size_t *len)
{
    apr_status_t rv = ap_get_brigade(conn->backend->connection->input_filters, conn->bb,
                                     AP_MODE_READBYTES, APR_NONBLOCK_READ, (apr_off_t)size);
    int is_end = APR_STATUS_IS_EOF(rv);
    if (rv == APR_SUCCESS) {
        *len = size;
        is_end = !APR_BRIGADE_EMPTY(conn->bb) && APR_BUCKET_IS_EOS(APR_BRIGADE_LAST(conn->bb));
        rv = apr_brigade_flatten(conn->bb, to, len);
    }
    apr_brigade_cleanup(conn->bb);
    if (rv != APR_SUCCESS || *len) {
        return rv;
    }
    return is_end ? APR_EOF : APR_EAGAIN;
}

/* mod_ssl brings nothing where it has read a record of TLS itself, though there may be more behind
 * it that the filters have taken from the socket. Session tickets come before a first response. */
static apr_status_t read_by_filters(apipool_upstream_conn_t *conn, char *to, apr_size_t size,
                                    apr_size_t *len)
{
    apr_status_t rv = read_once(conn, to, size, len);
    for (int i = 0; i < TICKETS_MAX && conn->is_new && APR_STATUS_IS_EAGAIN(rv); i++) {
        rv = read_once(conn, to, size, len);
    }
    conn->is_new &= APR_STATUS_IS_EAGAIN(rv);
    return rv;
}

apr_status_t apipool_upstream_conn_read(apipool_upstream_conn_t *conn, char *to, apr_size_t size,
                                        apr_size_t *len)
{
    *len = 0;
    return conn->is_direct ? read_directly(conn, to, size, len)
                           : read_by_filters(conn, to, size, len);
}

void apipool_upstream_conn_release(apipool_upstream_conn_t *conn, int keep)
{
    if (conn->backend) {
        conn->backend->close |= !keep;
        if (!conn->backend->close && ap_proxy_connection_reusable(conn->backend)) {
            apipool_idle_conns_note(conn->fd, conn->worker);
        }
        ap_proxy_release_connection(conn->scheme, conn->backend, conn->r->server);
        conn->backend = NULL;
        conn->fd = -1;
    }
}
