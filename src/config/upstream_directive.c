/* SPDX-License-Identifier: Apache-2.0
 * APIPoolUpstream: a URL and its options. */
#include "directives.h"

#include <apr_strings.h>
#include <apr_uri.h>
#include <jansson.h>

#include "response_head.h"

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

static const char *set_name(cmd_parms *cmd, void *upstream, const char *value)
{
    ((apipool_upstream_conf_t *)upstream)->name = value;
    return NULL;
}

static const char *set_provider(cmd_parms *cmd, void *upstream, const char *value)
{
    int provider = apipool_provider_by_name(value);
    if (provider < 0) {
        return apr_psprintf(cmd->pool, "%s: unknown provider '%s'; allowed are %s", cmd->cmd->name,
                            value, apipool_provider_names());
    }
    ((apipool_upstream_conf_t *)upstream)->provider = (apipool_provider_e)provider;
    return NULL;
}

static const char *read_flag(cmd_parms *cmd, const char *name, const char *value,
                             apipool_flag_e *flag)
{
    int on = !ap_cstr_casecmp(value, "on");
    *flag = on ? APIPOOL_FLAG_ON : APIPOOL_FLAG_OFF;
    return on || !ap_cstr_casecmp(value, "off")
               ? NULL
               : apr_psprintf(cmd->pool, "%s: %s%s: On or Off is needed", cmd->cmd->name, name,
                              value);
}

static const char *set_keepalive(cmd_parms *cmd, void *upstream, const char *value)
{
    return read_flag(cmd, "keepalive=", value, &((apipool_upstream_conf_t *)upstream)->keepalive);
}

static const char *set_disablereuse(cmd_parms *cmd, void *upstream, const char *value)
{
    return read_flag(cmd, "disablereuse=", value,
                     &((apipool_upstream_conf_t *)upstream)->disablereuse);
}

/* FROM:TO,FROM:TO. The first colon separates, since a vendor's name may contain more. */
static const char *set_models(cmd_parms *cmd, void *upstream, const char *value)
{
    while (*value) {
        char *pair = ap_getword(cmd->pool, &value, ',');
        char *colon = strchr(pair, ':');
        if (!colon || colon == pair || !colon[1]) {
            return apr_psprintf(cmd->pool, "%s: model=%s: FROM:TO is needed", cmd->cmd->name, pair);
        }
        *colon = '\0';
        json_t *text = json_string(colon + 1);
        char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;
        if (!quoted) {
            return apr_psprintf(cmd->pool, "%s: model=%s: not UTF-8", cmd->cmd->name, pair);
        }
        APR_ARRAY_PUSH(((apipool_upstream_conf_t *)upstream)->models, apipool_model_name_t) =
            (apipool_model_name_t){pair, colon + 1, apr_pstrdup(cmd->pool, quoted)};
        free(quoted);
        json_decref(text);
    }
    return NULL;
}

#define NUMBER(name, member, min, max, unit)                                                       \
    {                                                                                              \
        name, NULL, APIPOOL_NUMBER(apipool_upstream_conf_t, member, min, max, unit)                \
    }

static const apipool_option_t options[] = {
    NUMBER("weight=", weight, 1, APIPOOL_WEIGHT_MAX, 1),
    NUMBER("priority=", priority, 0, 1000, 1),
    NUMBER("timeout=", timeout, 1, 86400, APR_USEC_PER_SEC),
    NUMBER("connecttimeout=", connect_timeout, 1, 3600, APR_USEC_PER_SEC),
    NUMBER("ttl=", ttl, 1, 86400, APR_USEC_PER_SEC),
    NUMBER("max=", max, 1, 100000, 1),
    NUMBER("responsefieldsize=", field_size, 256, APIPOOL_RESPONSE_HEAD_MAX, 1),
    {.name = "keepalive=", .set = set_keepalive},
    {.name = "disablereuse=", .set = set_disablereuse},
    {.name = "name=", .set = set_name},
    {.name = "provider=", .set = set_provider},
    {.name = "model=", .set = set_models},
    {NULL}};

/* The message for a wrong number also names the option. */
static const char *set_option(cmd_parms *cmd, apipool_upstream_conf_t *upstream, const char *word)
{
    const char *err = apipool_directive_option(
        cmd, word, options, upstream, "option",
        "are name=, provider=, weight=, priority=, model=FROM:TO, timeout=SECONDS, "
        "connecttimeout=SECONDS, ttl=SECONDS, max=N, keepalive=On|Off, disablereuse=On|Off and "
        "responsefieldsize=BYTES");
    for (const apipool_option_t *option = options; err && !option->set; option++) {
        if (!strncmp(word, option->name, strlen(option->name))) {
            return apr_psprintf(cmd->pool, "%s (%s)", err, option->name);
        }
    }
    return err;
}

const char *apipool_directive_upstream(cmd_parms *cmd, void *dir, const char *args)
{
    const char *err;
    apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    apipool_upstream_conf_t upstream = {.weight = 1};
    apr_uri_t uri;

    if (err) {
        return err;
    }
    if (pool->upstreams->nelts == APIPOOL_UPSTREAMS_PER_POOL) {
        return apr_psprintf(cmd->pool, "%s: a pool has at most %d upstreams", cmd->cmd->name,
                            APIPOOL_UPSTREAMS_PER_POOL);
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
        err = set_option(cmd, &upstream, ap_getword_conf(cmd->pool, &args));
    }
    err = err ? err : apipool_directive_name(cmd, upstream.name);
    if (!err && apipool_config_upstream(pool, upstream.name)) {
        err = apr_psprintf(cmd->pool,
                           "%s %s: this pool has an upstream named '%s' already; give this one "
                           "another name=",
                           cmd->cmd->name, upstream.url, upstream.name);
    }
    if (!err) {
        APR_ARRAY_PUSH(pool->upstreams, apipool_upstream_conf_t) = upstream;
    }
    return err;
}
