/* SPDX-License-Identifier: Apache-2.0
 * The pools' upstreams as mod_proxy workers. */
#include "workers.h"

#include <apr_strings.h>
#include <util_cfgtree.h>

/* Where nothing else says so. */
#define CONNECT_TIMEOUT    apr_time_from_sec(10)
#define FIRST_BYTE_TIMEOUT apr_time_from_sec(300)
#define IDLE_TIMEOUT       apr_time_from_sec(120)
#define TTL                apr_time_from_sec(60)
#define FIELD_SIZE         (64 * 1024)

/* Whether a <Proxy "URL"> section on this level of the configuration, or in a virtual host below
 * it, names the worker. */
static int has_section(apr_pool_t *p, const ap_directive_t *nodes, proxy_server_conf *conf,
                       const proxy_worker *worker)
{
    int found = 0;
    for (const ap_directive_t *node = nodes; node && !found; node = node->next) {
        if (!ap_cstr_casecmp(node->directive, "<VirtualHost")) {
            found = has_section(p, node->first_child, conf, worker);
        }
        else if (!ap_cstr_casecmp(node->directive, "<Proxy")) {
            const char *args = apr_pstrmemdup(p, node->args, strcspn(node->args, ">"));
            const char *url = ap_getword_conf(p, &args);
            found = ap_strstr_c(url, "://") && ap_proxy_get_worker(p, NULL, conf, url) == worker;
        }
    }
    return found;
}

/* What such a section has told mod_proxy of an upstream's connections; NULL: nothing. */
static const proxy_worker_shared *find_section(apr_pool_t *p, const server_rec *s, const char *url)
{
    proxy_server_conf *conf = ap_get_module_config(s->module_config, &proxy_module);
    const proxy_worker *worker = ap_proxy_get_worker(p, NULL, conf, url);
    return worker && has_section(p, ap_conftree, conf, worker) ? worker->s : NULL;
}

static apipool_flag_e flag_of(unsigned int is_set, unsigned int value)
{
    return !is_set ? APIPOOL_FLAG_UNSET : value ? APIPOOL_FLAG_ON : APIPOOL_FLAG_OFF;
}

/* What the directive says comes first. */
static void fill_in(apipool_upstream_conf_t *upstream, const proxy_worker_shared *section)
{
    apipool_upstream_conf_t *u = upstream;
    if (section) {
        u->timeout = !u->timeout && section->timeout_set ? section->timeout : u->timeout;
        u->connect_timeout = !u->connect_timeout && section->conn_timeout_set
                                 ? section->conn_timeout
                                 : u->connect_timeout;
        u->ttl = u->ttl ? u->ttl : section->ttl;
        u->max = u->max || section->hmax <= 0 ? u->max : (apr_uint32_t)section->hmax;
        u->field_size = !u->field_size && section->response_field_size_set
                            ? (apr_uint32_t)section->response_field_size
                            : u->field_size;
        u->keepalive =
            u->keepalive ? u->keepalive : flag_of(section->keepalive_set, section->keepalive);
        u->disablereuse = u->disablereuse
                              ? u->disablereuse
                              : flag_of(section->disablereuse_set, section->disablereuse);
    }
    u->connect_timeout = u->connect_timeout ? u->connect_timeout : CONNECT_TIMEOUT;
    u->ttl = u->ttl ? u->ttl : TTL;
    u->field_size = u->field_size ? u->field_size : FIELD_SIZE;
}

static void fill_in_timeouts(apipool_pool_conf_t *pool)
{
    const proxy_server_conf *conf =
        ap_get_module_config(pool->server->module_config, &proxy_module);
    apr_interval_time_t timeout = conf->timeout_set ? conf->timeout : 0;
    if (!pool->first_byte_timeout) {
        pool->first_byte_timeout = timeout ? timeout : FIRST_BYTE_TIMEOUT;
    }
    if (!pool->idle_timeout) {
        pool->idle_timeout = timeout ? timeout : IDLE_TIMEOUT;
    }
}

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
    s->ttl = upstream->ttl;
    s->keepalive = upstream->keepalive == APIPOOL_FLAG_ON;
    s->disablereuse = upstream->disablereuse == APIPOOL_FLAG_ON;
    s->hmax =
        CONNECTIONS_MAX; /* otherwise there is one for each thread, and whoever comes next waits */
    if (!probes && upstream->max) {
        s->hmax = (int)upstream->max;
        s->acquire = s->conn_timeout;
        s->acquire_set = 1;
    }
    s->retry = 0;
    s->retry_set = 1;
    return NULL;
}

apr_status_t apipool_workers_define(apipool_pool_conf_t *pool, apr_pool_t *pconf)
{
    fill_in_timeouts(pool);
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        apipool_upstream_conf_t *upstream =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        fill_in(upstream, find_section(pconf, pool->server, upstream->url));
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
