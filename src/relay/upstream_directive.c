/* SPDX-License-Identifier: Apache-2.0
 * APIPoolUpstream: an URL and what is said about it. */
#include "directives.h"

#include <apr_strings.h>
#include <apr_uri.h>
#include <jansson.h>

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
    else if (uri->port_str && *uri->port_str &&
             (uri->port == 0 || strtol(uri->port_str, NULL, 10) > 65535)) {
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

static const char *set_provider(cmd_parms *cmd, apipool_upstream_t *upstream, const char *value)
{
    int provider = apipool_provider_by_name(value);
    if (provider < 0) {
        return apr_psprintf(cmd->pool, "%s: unknown provider '%s'; allowed are %s", cmd->cmd->name,
                            value, apipool_provider_names());
    }
    upstream->provider = (apipool_provider_e)provider;
    return NULL;
}

/* FROM:TO,FROM:TO. The first colon separates: a vendor's name may hold more. */
static const char *set_models(cmd_parms *cmd, apipool_upstream_t *upstream, const char *value)
{
    while (*value) {
        char *pair = ap_getword(cmd->pool, &value, ',');
        char *colon = strchr(pair, ':');
        if (!colon || colon == pair || !colon[1]) {
            return apr_psprintf(cmd->pool, "%s: model=%s: FROM:TO is needed", cmd->cmd->name, pair);
        }
        *colon = '\0';
        apipool_model_name_t *name = apr_array_push(upstream->models);
        name->from = pair;
        name->to = colon + 1;
        json_t *text = json_string(name->to);
        char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        if (!quoted) {
            return apr_psprintf(cmd->pool, "%s: model=%s: not UTF-8", cmd->cmd->name, pair);
        }
        name->quoted = apr_pstrdup(cmd->pool, quoted);
        free(quoted);
        json_decref(text);
    }
    return NULL;
}

/* The options that are whole numbers. */
enum { WEIGHT, PRIORITY, TIMEOUT, CONNECT_TIMEOUT, NUMBERS };

static const struct {
    const char *name;
    apr_int64_t min, max;
} numbers[NUMBERS] = {
    [WEIGHT] = {"weight=", 1, APIPOOL_WEIGHT_MAX},
    [PRIORITY] = {"priority=", 0, 1000},
    [TIMEOUT] = {"timeout=", 1, 86400},
    [CONNECT_TIMEOUT] = {"connecttimeout=", 1, 3600},
};

static const char *set_upstream_number(cmd_parms *cmd, apipool_upstream_t *upstream, int which,
                                       const char *value)
{
    apr_int64_t number;
    const char *err =
        apipool_directive_number(cmd, value, numbers[which].min, numbers[which].max, &number);
    if (err) {
        return apr_psprintf(cmd->pool, "%s (%s)", err, numbers[which].name);
    }
    switch (which) {
    case WEIGHT:
        upstream->weight = (apr_uint32_t)number;
        break;
    case PRIORITY:
        upstream->priority = (int)number;
        break;
    case TIMEOUT:
        upstream->timeout = apr_time_from_sec(number);
        break;
    default:
        upstream->connect_timeout = apr_time_from_sec(number);
        break;
    }
    return NULL;
}

static const char *upstream_option(cmd_parms *cmd, apipool_upstream_t *upstream, const char *option)
{
    if (!strncmp(option, "name=", 5)) {
        upstream->name = option + 5;
        return NULL;
    }
    if (!strncmp(option, "provider=", 9)) {
        return set_provider(cmd, upstream, option + 9);
    }
    if (!strncmp(option, "model=", 6)) {
        return set_models(cmd, upstream, option + 6);
    }
    for (int i = 0; i < NUMBERS; i++) {
        apr_size_t len = strlen(numbers[i].name);
        if (!strncmp(option, numbers[i].name, len)) {
            return set_upstream_number(cmd, upstream, i, option + len);
        }
    }
    return apr_psprintf(
        cmd->pool,
        "%s: unknown option '%s'; allowed are name=, provider=, weight=, priority=, "
        "model=FROM:TO, timeout=SECONDS and connecttimeout=SECONDS",
        cmd->cmd->name, option);
}

static const char *check_twins(cmd_parms *cmd, const apipool_pool_t *pool,
                               const apipool_upstream_t *upstream)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t).name, upstream->name)) {
            return apr_psprintf(
                cmd->pool,
                "%s %s: this pool has an upstream named '%s' already; give this one "
                "another name=",
                cmd->cmd->name, upstream->url, upstream->name);
        }
    }
    return NULL;
}

const char *apipool_directive_upstream(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    apipool_upstream_t upstream = {.weight = 1, .connect_timeout = apr_time_from_sec(10)};
    apr_uri_t uri;

    if (err) {
        return err;
    }
    if (pool->upstreams->nelts == APIPOOL_UPSTREAMS_MAX) {
        return apr_psprintf(cmd->pool, "%s: a pool has at most %d upstreams", cmd->cmd->name,
                            APIPOOL_UPSTREAMS_MAX);
    }
    char *url = ap_getword_conf(cmd->pool, &args);
    err = check_url(cmd, url, &uri);
    if (err) {
        return err;
    }
    for (char *end = url + strlen(url) - 1; *end == '/'; end--) {
        *end = '\0';
    }
    upstream.url = url;
    upstream.base_path = uri.path ? apr_pstrdup(cmd->pool, uri.path) : "";
    upstream.name = apr_pstrdup(cmd->pool, uri.hostname);
    upstream.provider = apipool_provider_guess(uri.hostname);
    upstream.models = apr_array_make(cmd->pool, 2, sizeof(apipool_model_name_t));
    while (!err && *args) {
        err = upstream_option(cmd, &upstream, ap_getword_conf(cmd->pool, &args));
    }
    if (!err) {
        err = apipool_directive_name(cmd, upstream.name);
    }
    if (!err) {
        err = check_twins(cmd, pool, &upstream);
    }
    if (!err) {
        APR_ARRAY_PUSH(pool->upstreams, apipool_upstream_t) = upstream;
    }
    return err;
}
