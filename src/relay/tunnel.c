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
static apr_status_t pass_first(const apipool_request_t *req, const char *first, apr_size_t len)
{
    conn_rec *client = req->r->connection;
    apr_bucket_alloc_t *alloc = client->bucket_alloc;
    apr_bucket_brigade *bb = apr_brigade_create(req->r->pool, alloc);
    apr_status_t rv = APR_SUCCESS;
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(first, len, alloc));
    if (req->websocket) {
        rv = apipool_websocket_read(req->websocket, bb, APR_SUCCESS);
    }
    if (rv == APR_SUCCESS) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(alloc));
        rv = ap_pass_brigade(client->output_filters, bb);
    }
    apr_brigade_destroy(bb);
    return rv;
}

void apipool_tunnel_run(const apipool_request_t *req, conn_rec *origin, const char *first,
                        apr_size_t first_len)
{
    request_rec *r = req->r;
    proxy_tunnel_rec *tunnel;

    apr_table_unset(r->headers_out, "Content-Length");
    ap_send_interim_response(r, 1);
    if (first_len && pass_first(req, first, first_len) != APR_SUCCESS) {
        return;
    }
    if (req->websocket) {
        ap_add_input_filter_handle(read_handle, req->websocket, NULL, origin);
        ap_add_output_filter_handle(write_handle, req->websocket, NULL, origin);
    }
    apr_status_t rv = ap_proxy_tunnel_create(&tunnel, r, origin, "websocket");
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      APIPOOL_LOG(0014) "could not tunnel a WebSocket");
        return;
    }
    tunnel->timeout = req->attempt.idle_timeout > r->server->timeout ? req->attempt.idle_timeout
                                                                     : r->server->timeout;
    ap_proxy_tunnel_run(tunnel);
}
