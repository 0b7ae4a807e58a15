/* SPDX-License-Identifier: Apache-2.0
 * What is on its way to the client goes out, but nobody waits for a slow one. */
#ifndef APIPOOL_PUMP_SOFT_FLUSH_H
#define APIPOOL_PUMP_SOFT_FLUSH_H

#include <apr_buckets.h>
#include <httpd.h>

/** A bucket that makes filters let go of what they hold, as far as they do so for any metadata. A
 *  FLUSH bucket would make httpd's last filter wait for the client. */
apr_bucket *apipool_soft_flush_bucket(apr_bucket_alloc_t *alloc);

/** Writes what httpd's last filter holds, as much as goes without waiting.
 *  c->data_in_output_filters tells whether something is left. Returns an error, and the connection
 *  is aborted, where the client has left. */
apr_status_t apipool_soft_flush(conn_rec *c);

/** Whether a FLUSH bucket would do, since it would not wait: the client's send buffer has room for
 *  len bytes more. */
int apipool_soft_flush_is_needless(conn_rec *c, apr_off_t len);

#endif
