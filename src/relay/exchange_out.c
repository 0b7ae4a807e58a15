/* SPDX-License-Identifier: Apache-2.0
 * What has come of a response on its way to the client: a pump never waits for a slow client, and a
 * response may go on without one. */
#include <util_filter.h>

#include "client_conn.h"
#include "exchange_parts.h"
#include "soft_flush.h"

apr_status_t apipool_exchange_pass(apipool_exchange_t *x)
{
    apr_status_t rv = ap_pass_brigade(x->req->r->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    x->is_unflushed = 1;
    return rv;
}

int apipool_exchange_pass_on(apipool_exchange_t *x)
{
    return apipool_exchange_pass(x) == APR_SUCCESS && !x->req->r->connection->aborted;
}

/* Whether what goes out now, with what the gate has held of it, is so little that nobody waits. */
static int is_little(const apipool_exchange_t *x)
{
    const apipool_gate_t *gate = &x->req->gate;
    apr_off_t length = 0;
    return apr_brigade_length(x->out, 0, &length) == APR_SUCCESS && length >= 0 &&
           apipool_soft_flush_is_needless(x->req->r->connection,
                                          length + gate->held_len + gate->stream.rest_len);
}

/* The result of writing to the connection behind the gate's back. */
static apr_status_t unless_read_alone(apipool_exchange_t *x, apr_status_t rv)
{
    return x->req->r->connection->aborted && !apipool_client_conn_has_left(x->req, 0) ? APR_SUCCESS
                                                                                      : rv;
}

/* The gate may keep the first bucket, which makes filters let go. */
static apr_status_t flush_softly(apipool_exchange_t *x)
{
    conn_rec *client = x->req->r->connection;
    apr_bucket_alloc_t *alloc = client->bucket_alloc;
    APR_BRIGADE_INSERT_TAIL(x->out, apipool_soft_flush_bucket(alloc));
    if (!apipool_exchange_pass_on(x)) {
        return APR_ECONNABORTED;
    }
    if (x->req->client_left) {
        return APR_SUCCESS;
    }
    APR_BRIGADE_INSERT_TAIL(x->out, apipool_soft_flush_bucket(alloc));
    apr_status_t rv = ap_pass_brigade(client->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    return unless_read_alone(x, rv == APR_SUCCESS ? apipool_soft_flush(client) : rv);
}

static apr_status_t flush_firmly(apipool_exchange_t *x)
{
    APR_BRIGADE_INSERT_TAIL(x->out, apr_bucket_flush_create(x->req->r->connection->bucket_alloc));
    return apipool_exchange_pass_on(x) ? APR_SUCCESS : APR_ECONNABORTED;
}

apr_status_t apipool_exchange_flush(apipool_exchange_t *x)
{
    return x->is_suspended && !is_little(x) ? flush_softly(x) : flush_firmly(x);
}

int apipool_exchange_is_clogged(const apipool_exchange_t *x)
{
    return !x->req->client_left && x->req->r->connection->data_in_output_filters;
}

apr_status_t apipool_exchange_unclog(apipool_exchange_t *x)
{
    return unless_read_alone(x, apipool_soft_flush(x->req->r->connection));
}
