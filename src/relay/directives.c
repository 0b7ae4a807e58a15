/* SPDX-License-Identifier: Apache-2.0
 * The directives: reading each one, and saying what is wrong with it. */
#include "config.h"

#include <apr_file_io.h>
#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>
#include <stddef.h>

#include "layout.h"

#define KEY_FILE_MAX (64 * 1024 * 1024) /* bytes */

static apipool_server_conf_t *server_conf(cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config, &apipool_module);
}

/* Reads a whole number within bounds; returns a sentence that names value and bounds otherwise. */
static const char *read_number(cmd_parms *cmd, const char *text, apr_int64_t min, apr_int64_t max,
                               apr_int64_t *value)
{
    char *end;
    *value = apr_strtoi64(text, &end, 10);
    if (errno || end == text || *end || !apr_isdigit(*text) || *value < min || *value > max) {
        return apr_psprintf(cmd->pool,
                            "%s %s: a whole number from %" APR_INT64_T_FMT " to %" APR_INT64_T_FMT
                            " is needed",
                            cmd->cmd->name, text, min, max);
    }
    return NULL;
}

static const char *check_name(cmd_parms *cmd, const char *name)
{
    const char *c = name;
    while (apr_isalnum(*c) || (*c && strchr("_.:-", *c))) {
        c++;
    }
    if (c == name || *c || c - name >= APIPOOL_NAME_MAX) {
        return apr_psprintf(cmd->pool,
                            "%s: the name '%s' is not allowed; use 1 to %d letters, digits, '_', "
                            "'.', ':' or '-'",
                            cmd->cmd->name, name, APIPOOL_NAME_MAX - 1);
    }
    return NULL;
}

static const char *outside_pool(cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s must stand inside <APIPool NAME>", cmd->cmd->name);
}

/* For what concerns a location or the whole server. */
static const char *inside_pool(cmd_parms *cmd)
{
    return server_conf(cmd)->open_pool
               ? apr_psprintf(cmd->pool, "%s must stand outside <APIPool>", cmd->cmd->name)
               : NULL;
}

static const char *check_strategies(cmd_parms *cmd, const apipool_pool_t *pool)
{
    for (int i = 0; i < pool->strategies->nelts; i++) {
        const char *alias =
            APR_ARRAY_IDX(pool->strategies, i, apipool_endpoint_strategy_t).endpoint;
        if (!apipool_config_endpoint(pool, alias)) {
            return apr_psprintf(cmd->pool,
                                "<APIPool %s>: APIPoolStrategy for '%s', which is no alias; "
                                "APIPoolEndpoint %s PATH would make it one",
                                pool->name, alias, alias);
        }
    }
    return NULL;
}

/* <APIPool NAME>: only directives of pools may stand inside. */
static const char *section(cmd_parms *cmd, void *dir, const char *args)
{
    apipool_server_conf_t *conf = server_conf(cmd);
    const char *end = ap_strrchr_c(args, '>');
    (void)dir;

    if (!end) {
        return "<APIPool> directive missing closing '>'";
    }
    args = apr_pstrmemdup(cmd->temp_pool, args, (apr_size_t)(end - args));
    const char *name = ap_getword_conf(cmd->pool, &args);
    if (*args) {
        return apr_psprintf(cmd->pool, "<APIPool %s>: one name only, '%s' is too many", name, args);
    }
    const char *err = check_name(cmd, name);
    if (err) {
        return err;
    }
    for (int i = 0; i < conf->pools->nelts; i++) {
        const apipool_pool_t *other = APR_ARRAY_IDX(conf->pools, i, apipool_pool_t *);
        if (!strcmp(other->name, name)) {
            return apr_psprintf(cmd->pool,
                                "<APIPool %s>: this server has a pool of that name already, on "
                                "line %d of %s",
                                name, other->line, other->file);
        }
    }
    for (const ap_directive_t *d = cmd->directive->first_child; d; d = d->next) {
        if (ap_cstr_casecmpn(d->directive, "APIPool", 7)) {
            return apr_psprintf(cmd->pool, "<APIPool %s>: %s is not allowed inside", name,
                                d->directive);
        }
    }
    apipool_pool_t *pool = apipool_config_make_pool(cmd->pool, cmd->server, name);
    pool->file = cmd->directive->filename;
    pool->line = cmd->directive->line_num;
    conf->open_pool = pool;
    err = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    conf->open_pool = NULL;
    if (!err) {
        err = check_strategies(cmd, pool);
    }
    if (!err) {
        APR_ARRAY_PUSH(conf->pools, apipool_pool_t *) = pool;
    }
    return err;
}

static const char *check_url(cmd_parms *cmd, const char *url, apr_uri_t *uri)
{
    const char *fault = NULL;
    if (apr_uri_parse(cmd->temp_pool, url, uri) != APR_SUCCESS || !uri->scheme) {
        fault = "not an URL; http:// or https:// with a host is needed";
    }
    else if (!strcmp(uri->scheme, "h2") || !strcmp(uri->scheme, "h2c")) {
        fault = "HTTP/2 upstreams would be sent the client's own credentials; use http:// or "
                "https://";
    }
    else if (strcmp(uri->scheme, "http") && strcmp(uri->scheme, "https")) {
        fault = "the scheme must be http or https";
    }
    else if (!uri->hostname || !*uri->hostname) {
        fault = "a host is missing";
    }
    else if (uri->port_str && *uri->port_str && (uri->port == 0 || atoi(uri->port_str) > 65535)) {
        fault = "the port must be from 1 to 65535";
    }
    else if (uri->query || uri->fragment) {
        fault = "neither a query nor a fragment is allowed";
    }
    else if (uri->user || uri->password) {
        url = apr_psprintf(cmd->pool, "%s://...@%s", uri->scheme, uri->hostname);
        fault = "no user or password is allowed; keys belong in APIPoolKeyFile";
    }
    else if (strlen(url) >= PROXY_WORKER_MAX_NAME_SIZE) {
        fault = "too long";
    }
    return fault ? apr_psprintf(cmd->pool, "%s %s: %s", cmd->cmd->name, url, fault) : NULL;
}

static const char *upstream_option(cmd_parms *cmd, apipool_upstream_t *upstream, const char *option)
{
    const char *value = ap_strchr_c(option, '=');
    apr_int64_t number;
    const char *err;

    if (value && !strncmp(option, "name=", 5)) {
        upstream->name = value + 1;
        return NULL;
    }
    if (value && !strncmp(option, "timeout=", 8)) {
        err = read_number(cmd, value + 1, 1, 86400, &number);
        upstream->timeout = apr_time_from_sec(number);
        return err;
    }
    if (value && !strncmp(option, "connecttimeout=", 15)) {
        err = read_number(cmd, value + 1, 1, 3600, &number);
        upstream->connect_timeout = apr_time_from_sec(number);
        return err;
    }
    return apr_psprintf(cmd->pool,
                        "%s: unknown option '%s'; allowed are name=NAME, timeout=SECONDS and "
                        "connecttimeout=SECONDS",
                        cmd->cmd->name, option);
}

static const char *add_upstream(cmd_parms *cmd, void *dir, const char *args)
{
    apipool_pool_t *pool = server_conf(cmd)->open_pool;
    apipool_upstream_t upstream = {0};
    apr_uri_t uri;
    (void)dir;

    if (!pool) {
        return outside_pool(cmd);
    }
    if (pool->upstreams->nelts == APIPOOL_UPSTREAMS_MAX) {
        return apr_psprintf(cmd->pool, "%s: a pool has at most %d upstreams", cmd->cmd->name,
                            APIPOOL_UPSTREAMS_MAX);
    }
    char *url = ap_getword_conf(cmd->pool, &args);
    const char *err = check_url(cmd, url, &uri);
    if (err) {
        return err;
    }
    for (char *end = url + strlen(url) - 1; *end == '/'; end--) {
        *end = '\0';
    }
    upstream.url = url;
    upstream.name = apr_pstrdup(cmd->pool, uri.hostname);
    upstream.timeout = apr_time_from_sec(300);
    upstream.connect_timeout = apr_time_from_sec(10);
    while (!err && *args) {
        err = upstream_option(cmd, &upstream, ap_getword_conf(cmd->pool, &args));
    }
    if (!err) {
        err = check_name(cmd, upstream.name);
    }
    for (int i = 0; !err && i < pool->upstreams->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t).name, upstream.name)) {
            err = apr_psprintf(cmd->pool,
                               "%s %s: this pool has an upstream named '%s' already; give this one "
                               "another name=",
                               cmd->cmd->name, url, upstream.name);
        }
    }
    if (!err) {
        APR_ARRAY_PUSH(pool->upstreams, apipool_upstream_t) = upstream;
    }
    return err;
}

static const char *read_file(cmd_parms *cmd, const char *path, apipool_key_file_t *key_file)
{
    apr_file_t *file;
    apr_finfo_t info;
    char reason[128];
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY,
                                    APR_FPROT_OS_DEFAULT, cmd->temp_pool);
    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
        if (rv == APR_SUCCESS && info.filetype != APR_REG) {
            return apr_psprintf(cmd->pool, "%s %s: not a regular file", cmd->cmd->name, path);
        }
        if (rv == APR_SUCCESS && info.size > KEY_FILE_MAX) {
            return apr_psprintf(cmd->pool, "%s %s: larger than 64 MiB", cmd->cmd->name, path);
        }
        if (rv == APR_SUCCESS) {
            char *text = apr_palloc(cmd->pool, (apr_size_t)info.size + 1);
            rv = apr_file_read_full(file, text, (apr_size_t)info.size, &key_file->len);
            key_file->text = text;
            if (rv == APR_EOF) {
                rv = APR_SUCCESS;
            }
        }
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "%s %s: cannot be read: %s", cmd->cmd->name, path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    return NULL;
}

typedef struct {
    cmd_parms *cmd;
    const char *path;
    const char *fault; /* the first one */
} key_file_check_t;

static void refuse_line(void *ctx, long line, const char *reason)
{
    key_file_check_t *check = ctx;
    if (!check->fault) {
        check->fault = apr_psprintf(check->cmd->pool, "%s %s: line %ld: %s", check->cmd->cmd->name,
                                    check->path, line, reason);
    }
}

static const char *add_key_file(cmd_parms *cmd, void *dir, const char *path, const char *option)
{
    apipool_pool_t *pool = server_conf(cmd)->open_pool;
    apipool_key_file_t file = {.path = ap_server_root_relative(cmd->pool, path)};
    (void)dir;

    if (!pool) {
        return outside_pool(cmd);
    }
    if (option && (strncmp(option, "upstream=", 9) || !option[9])) {
        return apr_psprintf(cmd->pool, "%s: unknown option '%s'; allowed is upstream=NAME",
                            cmd->cmd->name, option);
    }
    file.upstream = option ? option + 9 : NULL;
    int known = !option;
    for (int i = 0; !known && i < pool->upstreams->nelts; i++) {
        known = !strcmp(APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t).name, file.upstream);
    }
    if (!known) {
        return apr_psprintf(cmd->pool,
                            "%s %s: no APIPoolUpstream named '%s' stands before it in this pool",
                            cmd->cmd->name, path, file.upstream);
    }
    const char *err = file.path ? read_file(cmd, file.path, &file)
                                : apr_psprintf(cmd->pool, "%s %s: bad path", cmd->cmd->name, path);
    if (err) {
        return err;
    }
    key_file_check_t check = {.cmd = cmd, .path = file.path};
    apipool_key_sink_t sink = {.on_invalid = refuse_line, .ctx = &check};
    apipool_key_import(file.text, file.len, &sink);
    if (!check.fault) {
        APR_ARRAY_PUSH(pool->key_files, apipool_key_file_t) = file;
    }
    return check.fault;
}

static const char *add_endpoint(cmd_parms *cmd, void *dir, const char *alias, const char *path)
{
    apipool_pool_t *pool = server_conf(cmd)->open_pool;
    const char *err = pool ? check_name(cmd, alias) : outside_pool(cmd);
    (void)dir;

    if (err) {
        return err;
    }
    const char *c = path;
    while (*c > ' ' && *c < 0x7f && *c != '?' && *c != '#') {
        c++;
    }
    if (*path != '/' || *c) {
        return apr_psprintf(cmd->pool,
                            "%s %s %s: the path must begin with '/' and have no query and no "
                            "blanks",
                            cmd->cmd->name, alias, path);
    }
    apipool_config_set_endpoint(pool, alias, path);
    return NULL;
}

static const char *set_strategy(cmd_parms *cmd, void *dir, const char *name, const char *endpoint)
{
    apipool_pool_t *pool = server_conf(cmd)->open_pool;
    int strategy = apipool_strategy_by_name(name);
    (void)dir;

    if (!pool) {
        return outside_pool(cmd);
    }
    if (strategy < 0) {
        return apr_psprintf(cmd->pool, "%s %s: unknown strategy; allowed are %s", cmd->cmd->name,
                            name, apipool_strategy_names());
    }
    if (!endpoint) {
        pool->strategy = (apipool_strategy_e)strategy;
        return NULL;
    }
    apipool_endpoint_strategy_t *entry = apr_array_push(pool->strategies);
    entry->endpoint = endpoint;
    entry->strategy = (apipool_strategy_e)strategy;
    return NULL;
}

/* A setting of a pool that is one whole number. */
typedef struct {
    apr_size_t offset; /* of an apr_int64_t in apipool_pool_t */
    apr_int64_t min, max;
    apr_int64_t unit; /* what one stands for */
} number_t;

static number_t rotations = {offsetof(apipool_pool_t, rotations), 0, 100, 1};
static number_t retries = {offsetof(apipool_pool_t, retries), 0, 10, 1};
static number_t deadline = {offsetof(apipool_pool_t, deadline), 0, 86400, APR_USEC_PER_SEC};
static number_t body_limit = {offsetof(apipool_pool_t, body_limit), 1, APR_INT64_C(1) << 40, 1};

static const char *set_number(cmd_parms *cmd, void *dir, const char *arg)
{
    apipool_pool_t *pool = server_conf(cmd)->open_pool;
    const number_t *number = cmd->info;
    apr_int64_t value;
    const char *err =
        pool ? read_number(cmd, arg, number->min, number->max, &value) : outside_pool(cmd);
    (void)dir;

    if (!err) {
        *(apr_int64_t *)((char *)pool + number->offset) = value * number->unit;
    }
    return err;
}

static const char *set_capacity(cmd_parms *cmd, void *dir, const char *arg)
{
    apr_int64_t number;
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    (void)dir;

    if (!err) {
        err = inside_pool(cmd);
    }
    if (!err) {
        err = read_number(cmd, arg, APIPOOL_CAPACITY_MIN, APIPOOL_CAPACITY_MAX, &number);
    }
    if (!err) {
        server_conf(cmd)->capacity = (int)number;
    }
    return err;
}

/* The path that requests lose: that of the <Location> around, or nothing for a whole server. */
static const char *find_mount(cmd_parms *cmd, const char **mount)
{
    const ap_directive_t *d = cmd->directive->parent;
    *mount = "";
    for (; d && ap_cstr_casecmp(d->directive, "<VirtualHost"); d = d->parent) {
        if (!ap_cstr_casecmp(d->directive, "<Location")) {
            const char *args = d->args;
            char *path = ap_getword_conf(cmd->pool, &args);
            apr_size_t len = strlen(path);
            if (len && path[len - 1] == '>') {
                path[--len] = '\0';
            }
            if (!strcmp(path, "~") || apr_fnmatch_test(path)) {
                return "APIPoolUse needs a plain <Location>, without a regular expression or "
                       "wildcards";
            }
            while (len && path[len - 1] == '/') {
                path[--len] = '\0';
            }
            *mount = path;
            return NULL;
        }
        if (ap_cstr_casecmpn(d->directive, "<If", 3) &&
            ap_cstr_casecmpn(d->directive, "<Else", 5)) {
            return apr_psprintf(cmd->pool,
                                "APIPoolUse must stand in <Location>, <If> or a virtual host, "
                                "not in %s>",
                                d->directive);
        }
    }
    return NULL;
}

static const char *set_use(cmd_parms *cmd, void *dirv, const char *name)
{
    apipool_dir_conf_t *dir = dirv;
    apipool_use_t *use = apr_pcalloc(cmd->pool, sizeof(*use));
    const char *err = inside_pool(cmd);

    if (err) {
        return err;
    }
    dir->use = use;
    if (!ap_cstr_casecmp(name, "off")) {
        return NULL;
    }
    use->name = name;
    use->server = cmd->server;
    use->file = cmd->directive->filename;
    use->line = cmd->directive->line_num;
    APR_ARRAY_PUSH(server_conf(cmd)->uses, apipool_use_t *) = use;
    return find_mount(cmd, &use->mount);
}

static const char *set_expose(cmd_parms *cmd, void *dir, int on)
{
    ((apipool_dir_conf_t *)dir)->expose = on;
    return inside_pool(cmd);
}

const command_rec apipool_directives[] = {
    AP_INIT_RAW_ARGS("<APIPool", section, NULL, RSRC_CONF, "the name of a pool of keys"),
    AP_INIT_RAW_ARGS("APIPoolUpstream", add_upstream, NULL, RSRC_CONF,
                     "URL [name=NAME] [timeout=SECONDS] [connecttimeout=SECONDS]"),
    AP_INIT_TAKE12("APIPoolKeyFile", add_key_file, NULL, RSRC_CONF,
                   "a file of keys, and optionally upstream=NAME"),
    AP_INIT_TAKE2("APIPoolEndpoint", add_endpoint, NULL, RSRC_CONF,
                  "an alias below the mount and the upstream path it stands for"),
    AP_INIT_TAKE12(
        "APIPoolStrategy", set_strategy, NULL, RSRC_CONF,
        "how a key is chosen: round-robin or least-used, and optionally for which alias"),
    AP_INIT_TAKE1("APIPoolRotations", set_number, &rotations, RSRC_CONF,
                  "how many further keys are tried at once when one is refused"),
    AP_INIT_TAKE1("APIPoolRetries", set_number, &retries, RSRC_CONF,
                  "how often a fault of the upstream is retried after a pause"),
    AP_INIT_TAKE1("APIPoolDeadline", set_number, &deadline, RSRC_CONF,
                  "seconds until the first byte of the answer, all attempts together; 0 for none"),
    AP_INIT_TAKE1("APIPoolBodyLimit", set_number, &body_limit, RSRC_CONF,
                  "largest request body in bytes"),
    AP_INIT_TAKE1("APIPoolCapacity", set_capacity, NULL, RSRC_CONF,
                  "how many keys fit into shared memory"),
    AP_INIT_TAKE1("APIPoolUse", set_use, NULL, RSRC_CONF | ACCESS_CONF,
                  "the pool that serves requests here, or off"),
    AP_INIT_FLAG("APIPoolExpose", set_expose, NULL, RSRC_CONF | ACCESS_CONF,
                 "On to tell clients the key's id and the number of attempts"),
    {NULL},
};
