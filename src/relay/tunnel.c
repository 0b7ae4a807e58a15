/* SPDX-License-Identifier: Apache-2.0
 * What follows a 101: bytes go both ways, and frames are read as they pass. */
#include "tunnel.h"

#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "websocket.h"

static ap_filter_rec_t *read_handle, *write_handle;

/* mod_proxy's tunnel reads and writes the upstream's connection; these filters read along. */
static apr_status_t read_along(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode,
                               apr_read_type_e block, apr_off_t max)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, mode, block, max);
    if (mode == AP_MODE_READBYTES) {
        rv = apipool_websocket_read(f->ctx, bb, rv);
    }
    return block == APR_NONBLOCK_READ && APR_STATUS_IS_EAGAIN(rv) ? APR_SUCCESS : rv;
}

static apr_status_t write_along(ap_filter_t *f, apr_bucket_brigade *bb)
{
    return apipool_websocket_write(f->ctx, f->next, bb);
}

void apipool_tunnel_register_filters(void)
{
    /* above mod_ssl's filters, so that they see what TLS carries */
    read_handle = ap_register_input_filter("APIPOOL_TUNNEL", read_along, NULL, AP_FTYPE_CONNECTION);
    write_handle =
        ap_register_output_filter("APIPOOL_TUNNEL", write_along, NULL, AP_FTYPE_CONNECTION);
}

/* What came together with the head goes ahead. */
static apr_status_t pass_first(apipool_exchange_t *x)
{
    conn_rec *client = x->req->r->connection;
    apr_bucket_alloc_t *alloc = client->bucket_alloc;
    apr_status_t rv = APR_SUCCESS;
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_transient_create(x->in, x->in_len, alloc));
    if (x->req->websocket) {
        rv = apipool_websocket_read(x->req->websocket, x->out, APR_SUCCESS);
    }
    if (rv == APR_SUCCESS) {
        APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_flush_create(alloc));
        rv = ap_pass_brigade(client->output_filters, x->out);
    }
    apr_brigade_cleanup(x->out);
    return rv;
}

void apipool_tunnel_run(apipool_exchange_t *x)
{
    request_rec *r = x->req->r;
    conn_rec *origin = x->conn.backend->connection;
    proxy_tunnel_rec *tunnel;

    x->keep = 0;
    apr_table_unset(r->headers_out, "Content-Length");
    ap_send_interim_response(r, 1);
    if (x->in_len && pass_first(x) != APR_SUCCESS) {
        return;
    }
    if (x->req->websocket) {
        ap_add_input_filter_handle(read_handle, x->req->websocket, NULL, origin);
        ap_add_output_filter_handle(write_handle, x->req->websocket, NULL, origin);
    }
    apr_status_t rv = ap_proxy_tunnel_create(&tunnel, r, origin, "websocket");
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      APIPOOL_LOG(0014) "could not tunnel a WebSocket");
        return;
    }
    apr_interval_time_t client_timeout = r->server->timeout;
    tunnel->timeout = x->req->attempt.idle_timeout > client_timeout ? x->req->attempt.idle_timeout
                                                                    : client_timeout;
    ap_proxy_tunnel_run(tunnel);
}
