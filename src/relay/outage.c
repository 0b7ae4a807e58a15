/* SPDX-License-Identifier: Apache-2.0
 * Pools that serve nobody for now: in maintenance, or without their store. */
#include "outage.h"

#include <http_core.h>

#include "maintenance.h"
#include "reply.h"

/* By its address it is known that a note is ours. */
static const char is_out[] = "apipool-out";

#define RETRY apr_time_from_sec(60) /* if nobody knows the end of the maintenance */

int apipool_outage_header_parser(request_rec *r)
{
    const apipool_request_t *req = apipool_request_get(r);
    apr_uint32_t unreported;
    if (!req || !req->pool || !apipool_lifecycle_is_out()) {
        return DECLINED;
    }
    if (apipool_pool_reports_exhausted(apipool_lifecycle_segment(), req->pool->index,
                                       apr_time_now(), &unreported)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      APIPOOL_LOG(0191) "pool %s: answered 503, and %u more requests since the "
                                        "last such line: %s",
                      req->pool->name, unreported, apipool_lifecycle_fault());
    }
    apr_table_setn(r->notes, is_out, is_out);
    apr_table_setn(r->err_headers_out, "x-should-retry", "false");
    ap_custom_response(r, HTTP_SERVICE_UNAVAILABLE,
                       apipool_reply_body(r->pool, APIPOOL_REPLY_UNAVAILABLE));
    return HTTP_SERVICE_UNAVAILABLE;
}

int apipool_outage_is_refused(request_rec *r)
{
    return apr_table_get(r->notes, is_out) == is_out;
}

int apipool_outage_answer(apipool_request_t *req)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apr_time_t now = apr_time_now();
    apipool_maintenance_t maintenance;
    if (!apipool_pool_is_closed(segment, req->pool->index, now) ||
        apipool_pool_maintenance(segment, req->pool->index, now, &maintenance) != APR_SUCCESS ||
        !maintenance.is_on) {
        return 0;
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, req->r,
                  APIPOOL_LOG(0192) "pool %s: refused, it is in maintenance", req->pool->name);
    apipool_reply_maintenance(req, maintenance.message,
                              maintenance.until ? maintenance.until : now + RETRY);
    return 1;
}
