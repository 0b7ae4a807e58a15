/* SPDX-License-Identifier: Apache-2.0
 * The pools' upstreams as mod_proxy workers. */
#include "upstream.h"

#include <apr_strings.h>

apr_status_t apipool_upstream_define(apipool_pool_t *pool, apr_pool_t *pconf)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        apipool_upstream_t *upstream = &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t);
        const char *err =
            ap_proxy_define_worker(pconf, &upstream->worker, NULL, NULL, upstream->url, 0);
        if (err) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, pool->server,
                         APIPOOL_LOG(0020) "pool %s, upstream %s: %s", pool->name, upstream->url,
                         err);
            return APR_EGENERAL;
        }
        proxy_worker_shared *s = upstream->worker->s;
        s->timeout = upstream->timeout ? upstream->timeout : pool->idle_timeout;
        s->timeout_set = 1;
        s->conn_timeout = upstream->connect_timeout;
        if (pool->deadline && pool->deadline < s->conn_timeout) {
            s->conn_timeout = pool->deadline;
        }
        s->conn_timeout_set = 1;
        s->retry = 0;
        s->retry_set = 1;
        apr_cpystrn(s->upgrade, "WebSocket", sizeof(s->upgrade));
    }
    return APR_SUCCESS;
}

apr_status_t apipool_upstream_init_child(apipool_pool_t *pool, apr_pool_t *pchild)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        proxy_worker *worker = APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t).worker;
        apr_status_t rv = ap_proxy_initialize_worker(worker, pool->server, pchild);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}
