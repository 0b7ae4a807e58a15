/* SPDX-License-Identifier: Apache-2.0
 * The pools' upstreams as mod_proxy workers. */
#include "workers.h"

#include <apr_strings.h>

#define IDLE_MAX apr_time_from_sec(60) /* that a connection to an upstream is kept */

#define CONNECTIONS_MAX 65536 /* of one process to one upstream */

/* A worker of our own, for requests or for probes. */
static const char *define_worker(const apipool_pool_conf_t *pool,
                                 const apipool_upstream_conf_t *upstream, int probes,
                                 apr_pool_t *pconf, proxy_worker **worker)
{
    const char *err = ap_proxy_define_worker(pconf, worker, NULL, NULL, upstream->url, 0);
    if (err) {
        return err;
    }
    proxy_worker_shared *s = (*worker)->s;
    apr_interval_time_t max = probes           ? APIPOOL_PROBE_TIMEOUT
                              : pool->deadline ? pool->deadline
                                               : upstream->connect_timeout;
    s->timeout = upstream->timeout ? upstream->timeout : pool->idle_timeout;
    s->timeout = probes ? apipool_shorter(s->timeout, max) : s->timeout;
    s->timeout_set = 1;
    s->conn_timeout = apipool_shorter(upstream->connect_timeout, max);
    s->conn_timeout_set = 1;
    s->smax =
        0; /* all idle connections end some time, those that the upstream has closed included */
    s->ttl = IDLE_MAX;
    s->hmax =
        CONNECTIONS_MAX; /* otherwise there is one for each thread, and whoever comes next waits */
    s->retry = 0;
    s->retry_set = 1;
    return NULL;
}

apr_status_t apipool_workers_define(apipool_pool_conf_t *pool, apr_pool_t *pconf)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        apipool_upstream_conf_t *upstream =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        const char *err = define_worker(pool, upstream, 0, pconf, &upstream->worker);
        if (!err) {
            err = define_worker(pool, upstream, 1, pconf, &upstream->probe_worker);
        }
        if (err) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, pool->server,
                         APIPOOL_LOG(0020) "pool %s, upstream %s: %s", pool->name, upstream->url,
                         err);
            return APR_EGENERAL;
        }
    }
    return APR_SUCCESS;
}

/* Proxies are spoken to by HTTP alone, as mod_proxy does. */
static int is_for(const struct proxy_remote *remote, const char *url)
{
    apr_size_t len = strlen(remote->scheme); /* or the beginning of an URL */
    int is_scheme = !ap_strchr_c(remote->scheme, ':');
    if (ap_cstr_casecmp(remote->protocol, "http")) {
        return 0;
    }
    if (remote->use_regex) {
        return ap_regexec(remote->regexp, url, 0, NULL, 0) == 0;
    }
    return !strcmp(remote->scheme, "*") ||
           (!ap_cstr_casecmpn(url, remote->scheme, len) && (!is_scheme || url[len] == ':'));
}

const struct proxy_remote *apipool_workers_remote(const proxy_server_conf *conf, const char *url)
{
    for (int i = 0; i < conf->proxies->nelts; i++) {
        const struct proxy_remote *remote =
            &APR_ARRAY_IDX(conf->proxies, i, const struct proxy_remote);
        if (is_for(remote, url)) {
            return remote;
        }
    }
    return NULL;
}

apr_status_t apipool_workers_init(apipool_pool_conf_t *pool, int probes, apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < pool->upstreams->nelts; i++) {
        const apipool_upstream_conf_t *upstream =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        rv = ap_proxy_initialize_worker(probes ? upstream->probe_worker : upstream->worker,
                                        pool->server, p);
    }
    return rv;
}
