/* SPDX-License-Identifier: Apache-2.0
 * The <Proxy> sections of the upstream that an attempt asks. */
#include "proxy_section.h"

#include <apr_strings.h>
#include <http_request.h>

#include "budget.h"

/* A probe's request is made for its upstream. */
static int is_merged(const apipool_request_t *req)
{
    return req->probing || !req->budget->conf->sec_proxy->nelts ||
           req->attempt.upstream == &APR_ARRAY_IDX(req->pool->upstreams, 0, apipool_upstream_t);
}

void apipool_proxy_section_enter(apipool_request_t *req, const char *url,
                                 apipool_proxy_section_t *before)
{
    request_rec *r = req->r;
    *before = (apipool_proxy_section_t){r->filename, r->per_dir_config, r->log};
    if (is_merged(req)) {
        return;
    }
    /* in the order in which httpd does it: the server, <Proxy>, <Location>, <If> */
    r->filename = apr_pstrcat(r->pool, "proxy:", url, NULL);
    r->per_dir_config = r->server->lookup_defaults;
    ap_run_map_to_storage(r);
    ap_location_walk(r);
    ap_if_walk(r);
    apipool_request_raise_log_level(r);
}

void apipool_proxy_section_leave(request_rec *r, const apipool_proxy_section_t *before)
{
    r->filename = before->filename;
    r->per_dir_config = before->per_dir_config;
    r->log = before->log;
}
