/* SPDX-License-Identifier: Apache-2.0
 * What has come of a response on its way to the client. */
#include <util_filter.h>

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

/* The gate may keep the first bucket, which makes filters let go. */
static apr_status_t flush_softly(apipool_exchange_t *x)
{
    conn_rec *client = x->req->r->connection;
    apr_bucket_alloc_t *alloc = client->bucket_alloc;
    APR_BRIGADE_INSERT_TAIL(x->out, apipool_soft_flush_bucket(alloc));
    if (!apipool_exchange_pass_on(x)) {
        return APR_ECONNABORTED;
    }
    APR_BRIGADE_INSERT_TAIL(x->out, apipool_soft_flush_bucket(alloc));
    apr_status_t rv = ap_pass_brigade(client->output_filters, x->out);
    apr_brigade_cleanup(x->out);
    return rv == APR_SUCCESS ? apipool_soft_flush(client) : rv;
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
