/* SPDX-License-Identifier: Apache-2.0
 * Warns at start about upstreams whose certificate is not verified. */
#include "warnings.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>
#include <util_cfgtree.h>

#include "server_address.h"

/* Whether the directives that verify an upstream are set. */
typedef struct {
    int engine, required, authority;
} settings_t;

static void read_directive(apr_pool_t *p, const ap_directive_t *node, settings_t *settings)
{
    const char *args = node->args;
    const char *word = ap_getword_conf(p, &args);
    if (!ap_cstr_casecmp(node->directive, "SSLProxyEngine")) {
        settings->engine = !ap_cstr_casecmp(word, "on");
    }
    else if (!ap_cstr_casecmp(node->directive, "SSLProxyVerify")) {
        settings->required = !ap_cstr_casecmp(word, "require");
    }
    else if (!ap_cstr_casecmp(node->directive, "SSLProxyCACertificateFile") ||
             !ap_cstr_casecmp(node->directive, "SSLProxyCACertificatePath")) {
        settings->authority = 1;
    }
}

static int is_section(const ap_directive_t *node, const char *name)
{
    return !ap_cstr_casecmpn(node->directive, name, strlen(name));
}

/* Matches as mod_proxy does: a regular expression, a pattern, or the beginning of the URL. */
static int is_for(apr_pool_t *p, const ap_directive_t *node, const char *url)
{
    const char *args = apr_pstrmemdup(p, node->args, strcspn(node->args, ">"));
    int is_regex = is_section(node, "<ProxyMatch");
    char *pattern = ap_getword_conf(p, &args);
    if (!strcmp(pattern, "~")) {
        pattern = ap_getword_conf(p, &args);
        is_regex = 1;
    }
    if (is_regex) {
        const ap_regex_t *regex = ap_pregcomp(p, pattern, AP_REG_EXTENDED);
        return regex && !ap_regexec(regex, url, 0, NULL, 0);
    }
    return apr_fnmatch_test(pattern) ? apr_fnmatch(pattern, url, 0) == APR_SUCCESS
                                     : !strncmp(url, pattern, strlen(pattern));
}

/* Reads one level of the configuration, or the <Proxy> sections in it for a URL. */
static void read_level(apr_pool_t *p, const ap_directive_t *nodes, const char *url,
                       settings_t *settings)
{
    for (const ap_directive_t *node = nodes; node; node = node->next) {
        if (!url) {
            read_directive(p, node, settings);
        }
        else if (is_section(node, "<Proxy") && is_for(p, node, url)) {
            read_level(p, node->first_child, NULL, settings);
        }
    }
}

/* A virtual host's settings override the main server's; <Proxy> sections override both. */
static settings_t settings_of(apr_pool_t *p, const server_rec *s, const char *url)
{
    settings_t settings = {0, 0, 0};
    const ap_directive_t *own = apipool_server_section(s);
    read_level(p, ap_conftree, NULL, &settings);
    read_level(p, own, NULL, &settings);
    read_level(p, ap_conftree, url, &settings);
    read_level(p, own, url, &settings);
    return settings;
}

static void warn(apr_pool_t *p, const apipool_pool_conf_t *pool,
                 const apipool_upstream_conf_t *upstream)
{
    settings_t settings = settings_of(p, pool->server, upstream->url);
    if (!settings.engine) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, pool->server,
                     APIPOOL_LOG(0065) "pool %s: upstream %s cannot be reached without "
                                       "SSLProxyEngine on in this server",
                     pool->name, upstream->url);
        return;
    }
    if (!settings.required || !settings.authority) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, pool->server,
                     APIPOOL_LOG(0066) "pool %s: the certificate of upstream %s is not "
                                       "verified, so another host could take its place and "
                                       "collect the keys; in this server %s missing",
                     pool->name, upstream->url,
                     settings.required    ? "SSLProxyCACertificateFile is"
                     : settings.authority ? "SSLProxyVerify require is"
                                          : "SSLProxyVerify require and "
                                            "SSLProxyCACertificateFile are");
    }
}

void apipool_warnings_upstreams(const apr_array_header_t *pools)
{
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_conf_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        for (int j = 0; j < pool->upstreams->nelts; j++) {
            const apipool_upstream_conf_t *upstream =
                &APR_ARRAY_IDX(pool->upstreams, j, apipool_upstream_conf_t);
            if (!strncmp(upstream->url, "https:", 6)) {
                warn(pools->pool, pool, upstream);
            }
        }
    }
}
