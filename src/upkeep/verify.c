/* SPDX-License-Identifier: Apache-2.0
 * Warns at start where an upstream would be believed to be who it says it is. */
#include "verify.h"

#include <apr_strings.h>
#include <util_cfgtree.h>

/* What stands in a server's part of the configuration: -1 not said, else whether it is as it should be. */
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

/* A section may be for the upstream or for another one: what it has is taken for right. */
static void read_section(apr_pool_t *p, const ap_directive_t *node, settings_t *settings)
{
    settings_t found = {-1, -1, -1};
    for (const ap_directive_t *inner = node->first_child; inner; inner = inner->next) {
        read_directive(p, inner, &found);
    }
    settings->engine = found.engine >= 0 ? 1 : settings->engine;
    settings->required = found.required >= 0 ? 1 : settings->required;
    settings->authority = found.authority >= 0 ? 1 : settings->authority;
}

static int is_section(const ap_directive_t *node, const char *name)
{
    return !ap_cstr_casecmpn(node->directive, name, strlen(name));
}

static void read_level(apr_pool_t *p, const ap_directive_t *nodes, settings_t *settings)
{
    for (const ap_directive_t *node = nodes; node; node = node->next) {
        if (is_section(node, "<Proxy")) {
            read_section(p, node, settings);
        }
        else {
            read_directive(p, node, settings);
        }
    }
}

/* A virtual host has what the main server says, but for what it says itself. */
static settings_t settings_of(apr_pool_t *p, const server_rec *s)
{
    settings_t settings = {-1, -1, -1};
    read_level(p, ap_conftree, &settings);
    for (const ap_directive_t *node = ap_conftree; node && s->is_virtual; node = node->next) {
        if (is_section(node, "<VirtualHost") && node->line_num == (int)s->defn_line_number &&
            !strcmp(node->filename, s->defn_name)) {
            read_level(p, node->first_child, &settings);
        }
    }
    return settings;
}

static const apipool_upstream_t *first_https(const apipool_pool_t *pool)
{
    for (int i = 0; i < pool->upstreams->nelts; i++) {
        const apipool_upstream_t *upstream = &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t);
        if (!strncmp(upstream->url, "https:", 6)) {
            return upstream;
        }
    }
    return NULL;
}

static void warn(apr_pool_t *p, const apipool_pool_t *pool, const apipool_upstream_t *upstream)
{
    settings_t settings = settings_of(p, pool->server);
    if (settings.engine != 1) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, pool->server,
                     APIPOOL_LOG(0065) "pool %s: upstream %s cannot be reached without "
                                       "SSLProxyEngine on in this server",
                     pool->name, upstream->url);
        return;
    }
    if (settings.required != 1 || settings.authority != 1) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, pool->server,
                     APIPOOL_LOG(0066) "pool %s: upstream %s is not verified, and may be somebody "
                                       "else who takes the keys; in this server %s missing",
                     pool->name, upstream->url,
                     settings.required == 1    ? "SSLProxyCACertificateFile is"
                     : settings.authority == 1 ? "SSLProxyVerify require is"
                                               : "SSLProxyVerify require and "
                                                 "SSLProxyCACertificateFile are");
    }
}

void apipool_verify_warn(const apr_array_header_t *pools)
{
    for (int i = 0; i < pools->nelts; i++) {
        const apipool_pool_t *pool = APR_ARRAY_IDX(pools, i, apipool_pool_t *);
        const apipool_upstream_t *upstream = first_https(pool);
        if (upstream) {
            warn(pools->pool, pool, upstream);
        }
    }
}
