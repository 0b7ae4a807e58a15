/* SPDX-License-Identifier: Apache-2.0
 * The directives outside of pools: where a pool is used, and what holds for the whole server. */
#include "directives.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>

/* For what concerns a location or the whole server. */
static const char *inside_pool(cmd_parms *cmd)
{
    return apipool_directive_server(cmd)->open_pool
               ? apr_psprintf(cmd->pool, "%s must stand outside <APIPool>", cmd->cmd->name)
               : NULL;
}

/* A number that holds for the whole server. */
static const char *set_number(cmd_parms *cmd, const char *arg, unsigned forbidden, apr_int64_t min,
                              apr_int64_t max, int *setting)
{
    apr_int64_t number;
    const char *err = ap_check_cmd_context(cmd, forbidden);
    if (!err) {
        err = inside_pool(cmd);
    }
    if (!err) {
        err = apipool_directive_number(cmd, arg, min, max, &number);
    }
    if (!err) {
        *setting = (int)number;
    }
    return err;
}

/* The same, of which a virtual host may have a share. */
static const char *set_share(cmd_parms *cmd, const char *arg, apr_int64_t min, apr_int64_t max,
                             int *setting)
{
    return set_number(cmd, arg, NOT_IN_DIR_CONTEXT, cmd->server->is_virtual ? 1 : min, max,
                      setting);
}

const char *apipool_directive_capacity(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_share(cmd, arg, APIPOOL_CAPACITY_MIN, APIPOOL_CAPACITY_MAX,
                     &apipool_directive_server(cmd)->capacity);
}

const char *apipool_directive_client_capacity(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_share(cmd, arg, APIPOOL_CLIENT_CAPACITY_MIN, APIPOOL_CLIENT_CAPACITY_MAX,
                     &apipool_directive_server(cmd)->client_capacity);
}

const char *apipool_directive_recent(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_number(cmd, arg, GLOBAL_ONLY, 0, APIPOOL_RECENT_MAX,
                      &apipool_directive_server(cmd)->recent);
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

const char *apipool_directive_use(cmd_parms *cmd, void *dirv, const char *name)
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
    APR_ARRAY_PUSH(apipool_directive_server(cmd)->uses, apipool_use_t *) = use;
    return find_mount(cmd, &use->mount);
}

const char *apipool_directive_expose(cmd_parms *cmd, void *dir, int on)
{
    ((apipool_dir_conf_t *)dir)->expose = on;
    return inside_pool(cmd);
}
