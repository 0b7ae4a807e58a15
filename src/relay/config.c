/* SPDX-License-Identifier: Apache-2.0
 * The configuration: defaults, merging, and the checks that need all of it. */
#include "config.h"

#include <http_ssl.h>

#include <apr_strings.h>

#define PICK(base, add, field, unset) ((add)->field != (unset) ? (add)->field : (base)->field)

static const struct {
    const char *alias, *path;
} default_endpoints[] = {
    {"chat", "/chat/completions"},
    {"embeddings", "/embeddings"},
    {"images", "/images/generations"},
    {"models", "/models"},
    {"userInfo", "/user/info"},
    {"audio", "/audio/transcriptions"},
    {"rerank", "/rerank"},
};

void *apipool_config_create_dir(apr_pool_t *p, char *path)
{
    apipool_dir_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    (void)path;
    conf->expose = -1;
    return conf;
}

void *apipool_config_merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    const apipool_dir_conf_t *base = basev, *add = addv;
    apipool_dir_conf_t *conf = apr_palloc(p, sizeof(*conf));
    conf->use = PICK(base, add, use, NULL);
    conf->expose = PICK(base, add, expose, -1);
    return conf;
}

void *apipool_config_create_server(apr_pool_t *p, server_rec *s)
{
    apipool_server_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    (void)s;
    conf->pools = apr_array_make(p, 2, sizeof(apipool_pool_t *));
    conf->uses = apr_array_make(p, 2, sizeof(apipool_use_t *));
    return conf;
}

/* Pools and uses belong to the server they stand in; a virtual host finds the main server's pools by
 * looking there. Merging keeps each in one list, so that none is set up twice. */
void *apipool_config_merge_server(apr_pool_t *p, void *base, void *add)
{
    (void)p;
    (void)base;
    return add;
}

apipool_pool_t *apipool_config_make_pool(apr_pool_t *p, server_rec *s, const char *name)
{
    apipool_pool_t *pool = apr_pcalloc(p, sizeof(*pool));
    pool->name = name;
    pool->server = s;
    pool->upstreams = apr_array_make(p, 2, sizeof(apipool_upstream_t));
    pool->key_files = apr_array_make(p, 2, sizeof(apipool_key_file_t));
    pool->strategies = apr_array_make(p, 2, sizeof(apipool_endpoint_strategy_t));
    pool->endpoints = apr_table_make(p, 8);
    for (apr_size_t i = 0; i < sizeof(default_endpoints) / sizeof(*default_endpoints); i++) {
        apr_table_setn(pool->endpoints, default_endpoints[i].alias, default_endpoints[i].path);
    }
    pool->strategy = APIPOOL_STRATEGY_LEAST_USED;
    apipool_endpoint_strategy_t *images = apr_array_push(pool->strategies);
    images->endpoint = "images";
    images->strategy = APIPOOL_STRATEGY_ROUND_ROBIN;
    pool->rotations = 3;
    pool->retries = 1;
    pool->deadline = apr_time_from_sec(120);
    pool->body_limit = 100 * 1024 * 1024;
    return pool;
}

static apipool_pool_t *find_own_pool(server_rec *s, const char *name)
{
    apipool_server_conf_t *conf = ap_get_module_config(s->module_config, &apipool_module);
    for (int i = 0; i < conf->pools->nelts; i++) {
        apipool_pool_t *pool = APR_ARRAY_IDX(conf->pools, i, apipool_pool_t *);
        if (!strcmp(pool->name, name)) {
            return pool;
        }
    }
    return NULL;
}

apipool_pool_t *apipool_config_find_pool(server_rec *s, const char *name)
{
    apipool_pool_t *pool = find_own_pool(s, name);
    return pool || !s->is_virtual ? pool : find_own_pool(ap_server_conf, name);
}

apr_uint32_t apipool_config_capacity(server_rec *main_server)
{
    apipool_server_conf_t *conf = ap_get_module_config(main_server->module_config, &apipool_module);
    return conf->capacity ? (apr_uint32_t)conf->capacity : 4096;
}

apipool_strategy_e apipool_config_strategy(const apipool_pool_t *pool, const char *endpoint)
{
    for (int i = pool->strategies->nelts - 1; endpoint && i >= 0; i--) {
        const apipool_endpoint_strategy_t *entry =
            &APR_ARRAY_IDX(pool->strategies, i, apipool_endpoint_strategy_t);
        if (!strcmp(entry->endpoint, endpoint)) {
            return entry->strategy;
        }
    }
    return pool->strategy;
}

const char *apipool_config_server_name(apr_pool_t *p, server_rec *s)
{
    const char *name = "";
    if (!s->is_virtual) {
        return name;
    }
    for (server_addr_rec *addr = s->addrs; addr; addr = addr->next) {
        name = apr_psprintf(p, "%s%s:%hu ", name, addr->virthost, addr->host_port);
    }
    return apr_pstrcat(p, name, s->server_hostname, NULL);
}

static const char *pool_names(apr_pool_t *p, server_rec *s)
{
    const char *names = NULL;
    for (server_rec *from = s; from; from = from->is_virtual ? ap_server_conf : NULL) {
        apipool_server_conf_t *conf = ap_get_module_config(from->module_config, &apipool_module);
        for (int i = 0; i < conf->pools->nelts; i++) {
            const char *name = APR_ARRAY_IDX(conf->pools, i, apipool_pool_t *)->name;
            names = names ? apr_pstrcat(p, names, ", ", name, NULL) : name;
        }
    }
    return names ? names : "none";
}

static int resolve_uses(apr_pool_t *p, server_rec *s)
{
    apipool_server_conf_t *conf = ap_get_module_config(s->module_config, &apipool_module);
    int faults = 0;
    for (int i = 0; i < conf->uses->nelts; i++) {
        apipool_use_t *use = APR_ARRAY_IDX(conf->uses, i, apipool_use_t *);
        use->pool = apipool_config_find_pool(use->server, use->name);
        if (!use->pool) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                         APIPOOL_LOG(0001) "Syntax error on line %d of %s: APIPoolUse %s: no pool "
                                           "of that name; defined for this server: %s",
                         use->line, use->file, use->name, pool_names(p, use->server));
            faults++;
        }
    }
    return faults;
}

static void count_key(void *count, const apipool_key_item_t *item)
{
    (void)item;
    ++*(apr_uint32_t *)count;
}

static void ignore_invalid(void *ctx, long line, const char *reason)
{
    (void)ctx;
    (void)line;
    (void)reason;
}

static int check_pool(apipool_pool_t *pool, apr_uint32_t *keys)
{
    if (pool->upstreams->nelts == 0) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, pool->server,
                     APIPOOL_LOG(0002) "Syntax error on line %d of %s: <APIPool %s>: no "
                                       "APIPoolUpstream inside; at least one is needed",
                     pool->line, pool->file, pool->name);
        return 1;
    }
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const char *url = APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t).url;
        if (!strncmp(url, "https:", 6) && !ap_ssl_has_outgoing_handlers()) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, pool->server,
                         APIPOOL_LOG(0003) "Syntax error on line %d of %s: <APIPool %s>: upstream "
                                           "%s needs mod_ssl, which is not loaded",
                         pool->line, pool->file, pool->name, url);
            return 1;
        }
    }
    for (int i = 0; i < pool->key_files->nelts; i++) {
        const apipool_key_file_t *file = &APR_ARRAY_IDX(pool->key_files, i, apipool_key_file_t);
        apipool_key_sink_t sink = {.on_key = count_key, .on_invalid = ignore_invalid, .ctx = keys};
        apipool_key_import(file->text, file->len, &sink);
    }
    return 0;
}

int apipool_config_check(apr_pool_t *p, server_rec *main_server)
{
    apr_uint32_t keys = 0;
    int faults = 0;
    for (server_rec *s = main_server; s; s = s->next) {
        apipool_server_conf_t *conf = ap_get_module_config(s->module_config, &apipool_module);
        faults += resolve_uses(p, s);
        for (int i = 0; i < conf->pools->nelts; i++) {
            faults += check_pool(APR_ARRAY_IDX(conf->pools, i, apipool_pool_t *), &keys);
        }
    }
    if (keys > apipool_config_capacity(main_server)) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server,
                     APIPOOL_LOG(0004) "the key files hold %u keys, but APIPoolCapacity is %u; "
                                       "set APIPoolCapacity %u or more",
                     keys, apipool_config_capacity(main_server), keys);
        faults++;
    }
    return faults ? HTTP_INTERNAL_SERVER_ERROR : OK;
}
