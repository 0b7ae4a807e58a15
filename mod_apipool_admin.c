/* SPDX-License-Identifier: Apache-2.0
 * The module record of mod_apipool_admin: its directives, its handler, and its way to the pools. */
#define APIPOOL_MODULE_RECORD
#include "src/admin/admin.h"

#include <ap_provider.h>
#include <apr_strings.h>

static void *create_dir(apr_pool_t *p, char *path)
{
    apipool_admin_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    conf->mount = path;
    return conf;
}

static void *merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    const apipool_admin_conf_t *base = basev, *add = addv;
    apipool_admin_conf_t *conf = apr_palloc(p, sizeof(*conf));
    conf->root = add->root ? add->root : base->root;
    conf->mount = add->mount ? add->mount : base->mount;
    return conf;
}

static const char *set_root(cmd_parms *cmd, void *dir, const char *path)
{
    apipool_admin_conf_t *conf = dir;
    conf->root = ap_server_root_relative(cmd->pool, path);
    if (!conf->root || !ap_is_directory(cmd->temp_pool, conf->root)) {
        return apr_psprintf(cmd->pool, "APIPoolAdminRoot %s: not a folder that can be read", path);
    }
    return NULL;
}

/* check_config, so that httpd -t says it too */
static int find_pools(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    (void)pconf;
    (void)plog;
    (void)ptemp;
    const apipool_api_t *api =
        ap_lookup_provider(APIPOOL_API_GROUP, APIPOOL_API_NAME, APIPOOL_API_VERSION);
    if (!api) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "AP0100: mod_apipool_admin needs mod_apipool of the same version; load "
                     "apipool_module before apipool_admin_module");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apipool_admin_use_api(api);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_check_config(find_pools, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(apipool_admin_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

static const command_rec directives[] = {
    AP_INIT_TAKE1("APIPoolAdminRoot", set_root, NULL, ACCESS_CONF | RSRC_CONF,
                  "the folder of the dashboard's files"),
    {NULL},
};

AP_DECLARE_MODULE(apipool_admin) = {
    STANDARD20_MODULE_STUFF, create_dir, merge_dir, NULL, NULL, directives, register_hooks, 0,
};
