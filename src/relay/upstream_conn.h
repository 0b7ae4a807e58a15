/* SPDX-License-Identifier: Apache-2.0
 * The connection to an upstream: opened and kept by mod_proxy, read and written here without
 * waiting. */
#ifndef APIPOOL_RELAY_UPSTREAM_CONN_H
#define APIPOOL_RELAY_UPSTREAM_CONN_H

#include "request.h"

/* One for each exchange; used by the request's thread. */
typedef struct {
    request_rec *r;
    proxy_server_conf *conf;
    proxy_worker *worker;
    const char *scheme; /* "http" or "https" */
    const char *url;
    const struct proxy_remote *remote; /* the forward proxy on the way; NULL: none */
    proxy_conn_rec *backend;           /* NULL: closed, or given back */
    int fd;
    int is_direct; /* nothing stands between the filters' head and the socket */
    int is_reused; /* it has served another exchange before */
    int is_new;    /* nothing has been read from it */
    int is_drained; /* the last direct read has brought less than it could: the next one would be in vain */
    apr_bucket_brigade *bb;
} apipool_upstream_conn_t;

/**
 * Takes a connection to the upstream out of mod_proxy's pool, or a place for one, and finds out
 * where it leads.
 * @param path result: what the request line asks for
 * @param uri  result: where it leads
 * @return OK, or an HTTP status
 */
int apipool_upstream_conn_open(apipool_upstream_conn_t *conn, char **path, apr_uri_t *uri);

/**
 * Connects it, TLS included, unless it is connected already and silent. Waits for as long as the
 * worker's connection timeout allows: for the connection, and then for the whole handshake.
 * @param is_fresh it has to be a new connection
 * @param deadline when a handshake ends in any case; of apipool_monotonic_now(); 0: none
 * @return OK, or an HTTP status: nothing was sent
 */
int apipool_upstream_conn_connect(apipool_upstream_conn_t *conn, int is_fresh, apr_time_t deadline);

/**
 * Sends what goes out without waiting, and removes it from the brigade. TLS may wait for a record,
 * as long as timeout.
 * @return APR_SUCCESS: all is sent; APR_EAGAIN: the socket takes no more for now; or an error
 */
apr_status_t apipool_upstream_conn_send(apipool_upstream_conn_t *conn, apr_bucket_brigade *unsent,
                                        apr_interval_time_t timeout);

/** Reads what has come. Returns APR_SUCCESS with at least a byte, APR_EAGAIN, APR_EOF, or an error.
 *  Never waits. */
apr_status_t apipool_upstream_conn_read(apipool_upstream_conn_t *conn, char *to, apr_size_t size,
                                        apr_size_t *len);

/** Gives it back to mod_proxy's pool; to be kept open or not. Does nothing where there is none. */
void apipool_upstream_conn_release(apipool_upstream_conn_t *conn, int keep);

void apipool_upstream_conn_register_filter(void);

#endif
