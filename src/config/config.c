/* SPDX-License-Identifier: Apache-2.0
 * The configuration: defaults, merging, and checks that need all of it. */
#include "config.h"

#include "ascii.h"

#include <http_ssl.h>
#include <unixd.h>

#include <apr_hash.h>
#include <apr_strings.h>
#include <math.h>

#include "server_address.h"

#define PICK(base, add, field, unset) ((add)->field != (unset) ? (add)->field : (base)->field)

static const apipool_endpoint_t default_endpoints[] = {
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
    conf->expose = -1;
    conf->rewrites = -1;
    return conf;
}

void *apipool_config_merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    const apipool_dir_conf_t *base = basev, *add = addv;
    apipool_dir_conf_t *conf = apr_palloc(p, sizeof(*conf));
    conf->use = PICK(base, add, use, NULL);
    conf->expose = PICK(base, add, expose, -1);
    conf->rewrites = PICK(base, add, rewrites, -1);
    conf->cors = PICK(base, add, cors, NULL);
    return conf;
}

void *apipool_config_create_server(apr_pool_t *p, server_rec *s)
{
    apipool_server_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    conf->pools = apr_array_make(p, 2, sizeof(apipool_pool_conf_t *));
    conf->uses = apr_array_make(p, 2, sizeof(apipool_use_t *));
    conf->capacity = s->is_virtual ? 0 : 4096;
    conf->client_capacity = s->is_virtual ? 0 : 1024;
    conf->recent = 1000;
    conf->scope = "";
    conf->store = APIPOOL_STORE;
    conf->secret_file = APIPOOL_SECRET;
    conf->save_interval = apr_time_from_sec(60);
    conf->max_pending = 1000;
    conf->async = 1;
    conf->notify.marks.balance = NAN;
    conf->notify.percent = 80;
    conf->notify.every = apr_time_from_sec(10);
    conf->notify.longest = apr_time_from_sec(10);
    return conf;
}

/* Pools and uses belong to the server they are configured in; a virtual host looks up the main
 * server's pools there. So merging keeps each in one list only, and no pool is set up twice. */
void *apipool_config_merge_server(apr_pool_t *p, void *base, void *add)
{
    return add;
}

apipool_pool_conf_t *apipool_config_make_pool(apr_pool_t *p, server_rec *s, const char *name)
{
    apipool_pool_conf_t *pool = apr_pcalloc(p, sizeof(*pool));
    pool->name = name;
    pool->server = s;
    pool->upstreams = apr_array_make(p, 2, sizeof(apipool_upstream_conf_t));
    pool->key_files = apr_array_make(p, 2, sizeof(apipool_key_file_t));
    pool->key_ids = apr_hash_make(p);
    pool->strategies = apr_array_make(p, 2, sizeof(apipool_endpoint_strategy_t));
    pool->endpoints = apr_array_make(p, 8, sizeof(apipool_endpoint_t));
    for (apr_size_t i = 0; i < sizeof(default_endpoints) / sizeof(*default_endpoints); i++) {
        APR_ARRAY_PUSH(pool->endpoints, apipool_endpoint_t) = default_endpoints[i];
    }
    pool->allowed = apr_array_make(p, 2, sizeof(const char *));
    pool->rules = apr_array_make(p, 2, sizeof(apipool_custom_rule_t));
    pool->strategy = APIPOOL_STRATEGY_SMART;
    APR_ARRAY_PUSH(pool->strategies, apipool_endpoint_strategy_t) =
        (apipool_endpoint_strategy_t){"images", APIPOOL_STRATEGY_ROUND_ROBIN};
    pool->rotations = 3;
    pool->retries = 1;
    pool->deadline = apr_time_from_sec(600);
    pool->body_limit = 512 * 1024 * 1024;
    pool->stream_usage = 1;
    pool->balance.interval = apr_time_from_sec(3600);
    pool->notify = (apipool_notify_marks_t){.low = -1, .balance = NAN};
    pool->policy.cooldown_min = apr_time_from_sec(1);
    pool->policy.cooldown_max = apr_time_from_sec(60);
    pool->policy.recover_min = apr_time_from_sec(60);
    pool->policy.recover_max = apr_time_from_sec(3600);
    pool->policy.recover_spread = 100;
    pool->policy.max_errors = 5;
    return pool;
}

apipool_server_conf_t *apipool_config_server(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &apipool_module);
}

static apipool_pool_conf_t *find_own_pool(const server_rec *s, const char *name)
{
    const apr_array_header_t *pools = apipool_config_server(s)->pools;
    for (int i = 0; i < pools->nelts; i++) {
        apipool_pool_conf_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        if (!strcmp(pool->name, name)) {
            return pool;
        }
    }
    return NULL;
}

apipool_pool_conf_t *apipool_config_find_pool(server_rec *s, const char *name)
{
    apipool_pool_conf_t *pool = find_own_pool(s, name);
    return pool || !s->is_virtual ? pool : find_own_pool(ap_server_conf, name);
}

apipool_upstream_conf_t *apipool_config_upstream(const apipool_pool_conf_t *pool, const char *name)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        apipool_upstream_conf_t *upstream =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        if (!strcmp(upstream->name, name)) {
            return upstream;
        }
    }
    return NULL;
}

/* A virtual host without directives of this module uses the main server's configuration and has no
 * share. */
static int has_share(const server_rec *s)
{
    return s->is_virtual && apipool_config_server(s) != apipool_config_server(ap_server_conf);
}

apr_uint32_t apipool_config_share(server_rec *s)
{
    return has_share(s) ? apipool_config_server(s)->capacity : 0;
}

apr_uint32_t apipool_config_client_share(server_rec *s)
{
    return has_share(s) && apipool_config_server(s)->pools->nelts
               ? apipool_config_server(s)->client_capacity
               : 0;
}

void apipool_config_store(server_rec *main_server, apipool_store_settings_t *settings)
{
    const apipool_server_conf_t *conf = apipool_config_server(main_server);
    *settings = (apipool_store_settings_t){.path = conf->store,
                                           .dbm = conf->dbm,
                                           .secret_path = conf->secret_file,
                                           .owner = {.name = ap_unixd_config.user_name,
                                                     .user = ap_unixd_config.user_id,
                                                     .group = ap_unixd_config.group_id},
                                           .interval = conf->save_interval,
                                           .max_pending = conf->max_pending};
}

apipool_strategy_e apipool_config_strategy(const apipool_pool_conf_t *pool, const char *endpoint)
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

static apipool_endpoint_t *find_endpoint(const apipool_pool_conf_t *pool, const char *alias)
{
    for (int i = 0; i < pool->endpoints->nelts; i++) {
        apipool_endpoint_t *endpoint = &APR_ARRAY_IDX(pool->endpoints, i, apipool_endpoint_t);
        if (!strcmp(endpoint->alias, alias)) {
            return endpoint;
        }
    }
    return NULL;
}

const apipool_model_name_t *apipool_config_renamed(const apipool_upstream_conf_t *upstream,
                                                   const char *model)
{
    for (int i = 0; model && i < upstream->models->nelts; i++) {
        const apipool_model_name_t *name =
            &APR_ARRAY_IDX(upstream->models, i, apipool_model_name_t);
        if (!strcmp(name->from, model)) {
            return name;
        }
    }
    return NULL;
}

void apipool_config_set_endpoint(apipool_pool_conf_t *pool, const char *alias, const char *path)
{
    apipool_endpoint_t *endpoint = find_endpoint(pool, alias);
    if (!endpoint) {
        endpoint = apr_array_push(pool->endpoints);
    }
    *endpoint = (apipool_endpoint_t){alias, path};
}

const char *apipool_config_endpoint(const apipool_pool_conf_t *pool, const char *alias)
{
    const apipool_endpoint_t *endpoint = find_endpoint(pool, alias);
    return endpoint ? endpoint->path : NULL;
}

const char *apipool_config_scope(const server_rec *s)
{
    return apipool_config_server(s)->scope;
}

const char *apipool_config_host(apr_pool_t *p, const server_rec *s)
{
    char *host = apr_pstrdup(p, s->server_hostname ? s->server_hostname : "");
    for (char *c = host; *c; c++) {
        *c = apipool_ascii_lower(*c);
    }
    return host;
}

const char *apipool_config_address(apr_pool_t *p, const server_rec *s)
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
        const apr_array_header_t *pools = apipool_config_server(from)->pools;
        for (int i = 0; i < pools->nelts; i++) {
            const char *name = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *)->name;
            names = names ? apr_pstrcat(p, names, ", ", name, NULL) : name;
        }
    }
    return names ? names : "none";
}

static int resolve_uses(apr_pool_t *p, server_rec *s)
{
    const apr_array_header_t *uses = apipool_config_server(s)->uses;
    int faults = 0;
    for (int i = 0; i < uses->nelts; i++) {
        apipool_use_t *use = APR_ARRAY_IDX(uses, i, apipool_use_t *);
        if (!use->name) {
            continue;
        }
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

static int check_upstreams(const apipool_pool_conf_t *pool)
{
    if (pool->upstreams->nelts == 0) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, pool->server,
                     APIPOOL_LOG(0002) "Syntax error on line %d of %s: <APIPool %s>: no "
                                       "APIPoolUpstream inside; at least one is needed",
                     pool->line, pool->file, pool->name);
        return 1;
    }
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const char *url = APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t).url;
        if (!strncmp(url, "https:", 6) && !ap_ssl_has_outgoing_handlers()) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, pool->server,
                         APIPOOL_LOG(0003) "Syntax error on line %d of %s: <APIPool %s>: upstream "
                                           "%s needs mod_ssl, which is not loaded",
                         pool->line, pool->file, pool->name, url);
            return 1;
        }
    }
    return 0;
}

/* Virtual hosts of one ServerName share a pool of one name, as certbot copies them for TLS. Then
 * no key may be sent to the upstream of another. */
static int check_copy(const apipool_pool_conf_t *pool, const apipool_pool_conf_t *other)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const apipool_upstream_conf_t *own =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        const apipool_upstream_conf_t *its = apipool_config_upstream(other, own->name);
        if (its && strcmp(its->url, own->url)) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, pool->server,
                         APIPOOL_LOG(0005) "Syntax error on line %d of %s: <APIPool %s>: a virtual "
                                           "host of the same ServerName has a pool of that name, "
                                           "on line %d of %s, whose upstream %s is %s, not %s; "
                                           "give them different ServerNames, or names",
                         pool->line, pool->file, pool->name, other->line, other->file, own->name,
                         its->url, own->url);
            return 1;
        }
    }
    return 0;
}

/* Returns the pool that this one shares its keys with, or NULL. */
static const apipool_pool_conf_t *find_copy(apr_pool_t *p, const apipool_pool_conf_t *pool,
                                            apr_hash_t *seen)
{
    const char *scope = pool->server->is_virtual ? apipool_config_host(p, pool->server) : "";
    const char *identity = apr_pstrcat(p, scope, "/", pool->name, NULL);
    const apipool_pool_conf_t *other = apr_hash_get(seen, identity, APR_HASH_KEY_STRING);
    if (!other) {
        apr_hash_set(seen, identity, APR_HASH_KEY_STRING, pool);
    }
    return other;
}

apr_array_header_t *apipool_config_all_pools(apr_pool_t *p, server_rec *main_server)
{
    apr_array_header_t *all = apr_array_make(p, 4, sizeof(apipool_pool_conf_t *));
    for (server_rec *s = main_server; s; s = s->next) {
        if (s == main_server || apipool_config_server(s) != apipool_config_server(main_server)) {
            apr_array_cat(all, apipool_config_server(s)->pools);
        }
    }
    return all;
}

/* Checks that a virtual host's key files fit into its share, so that it takes no room of
 * another. */
static int check_share(server_rec *s, const apr_array_header_t *pools)
{
    apr_uint32_t keys = 0, share = apipool_config_share(s);
    for (int i = 0; share && i < pools->nelts; i++) {
        const apipool_pool_conf_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        keys += pool->server == s ? apr_hash_count(pool->key_ids) : 0;
    }
    if (keys > share) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     APIPOOL_LOG(0006) "the key files of this virtual host hold %u keys, but its "
                                       "APIPoolCapacity is %u; set %u or more there",
                     keys, share, keys);
    }
    return keys > share;
}

/* Shares may add up to more than the capacity, but then they are not guaranteed. */
static void warn_of_shares(server_rec *main_server, const char *directive, const char *what,
                           apr_uint32_t (*share)(server_rec *s), apr_uint32_t whole)
{
    apr_uint64_t sum = 0;
    for (server_rec *s = main_server->next; s; s = s->next) {
        sum += share(s);
    }
    if (sum > whole) {
        ap_log_error(
            APLOG_MARK, APLOG_WARNING, 0, main_server,
            APIPOOL_LOG(0155) "%s of the virtual hosts adds up to %" APR_UINT64_T_FMT
                              " %s, but there is room for %u: one of them may find no room "
                              "although its share is not full; set %" APR_UINT64_T_FMT
                              " or more in the main server",
            directive, sum, what, whole, sum);
    }
}

void apipool_config_warn(server_rec *main_server)
{
    const apipool_server_conf_t *conf = apipool_config_server(main_server);
    warn_of_shares(main_server, "APIPoolCapacity", "keys", apipool_config_share, conf->capacity);
    warn_of_shares(main_server, "APIPoolClientCapacity", "clients", apipool_config_client_share,
                   conf->client_capacity);
}

/* httpd's children run it; whether they may, only they can tell. */
static void warn_of_program(apr_pool_t *p, server_rec *main_server)
{
    char *const *program = apipool_config_server(main_server)->notify.program;
    const apr_int32_t wanted = APR_FINFO_TYPE | APR_FINFO_PROT;
    const apr_fileperms_t any = APR_FPROT_UEXECUTE | APR_FPROT_GEXECUTE | APR_FPROT_WEXECUTE;
    apr_finfo_t info;
    if (!program) {
        return;
    }
    apr_status_t rv = apr_stat(&info, program[0], wanted, p);
    if (rv != APR_SUCCESS || info.filetype != APR_REG || !(info.protection & any)) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, rv, main_server,
                     APIPOOL_LOG(0184) "APIPoolNotify: %s is no program that can be run, so "
                                       "nobody will be told of events",
                     program[0]);
    }
}

/* A virtual host without directives of this module shares the main server's configuration. */
static void note_addresses(apr_pool_t *p, server_rec *main_server)
{
    for (server_rec *s = main_server; s; s = s->next) {
        if (s == main_server || has_share(s)) {
            apipool_config_server(s)->address = apipool_server_address(p, s);
        }
    }
}

int apipool_config_check(apr_pool_t *p, server_rec *main_server)
{
    apr_array_header_t *pools = apipool_config_all_pools(p, main_server);
    apr_hash_t *identities = apr_hash_make(p);
    apr_uint32_t keys = 0, capacity = apipool_config_server(main_server)->capacity;
    int faults = 0;

    for (server_rec *s = main_server; s; s = s->next) {
        faults += resolve_uses(p, s) + check_share(s, pools);
    }
    note_addresses(p, main_server);
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_conf_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        const apipool_pool_conf_t *copy = find_copy(p, pool, identities);
        faults += check_upstreams(pool) + (copy ? check_copy(pool, copy) : 0);
        keys += copy ? 0 : apr_hash_count(pool->key_ids);
    }
    if (keys > capacity) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, main_server,
                     APIPOOL_LOG(0004) "the key files hold %u keys, but APIPoolCapacity is %u; "
                                       "set APIPoolCapacity %u or more",
                     keys, capacity, keys);
        faults++;
    }
    warn_of_program(p, main_server);
    return faults ? HTTP_INTERNAL_SERVER_ERROR : OK;
}
