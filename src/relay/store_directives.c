/* SPDX-License-Identifier: Apache-2.0
 * The directives of what is kept: where, sealed with what, and how often. */
#include "directives.h"

#include <apr_strings.h>

#include "dbm.h"

static const char *outside(cmd_parms *cmd)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    if (!err && apipool_directive_server(cmd)->open_pool) {
        err = apr_psprintf(cmd->pool, "%s must stand outside <APIPool>", cmd->cmd->name);
    }
    return err;
}

static const char *take_path(cmd_parms *cmd, const char *path, const char **setting)
{
    const char *err = outside(cmd);
    *setting = err ? NULL : ap_server_root_relative(cmd->pool, path);
    if (!err && (!*setting || strlen(*setting) >= APIPOOL_STORE_PATH_MAX)) {
        err = apr_psprintf(cmd->pool, "%s %s: bad path", cmd->cmd->name, path);
    }
    return err;
}

const char *apipool_directive_store(cmd_parms *cmd, void *dir, const char *path, const char *option)
{
    apipool_server_conf_t *conf = apipool_directive_server(cmd);
    const char *type = NULL, *error, *err = take_path(cmd, path, &conf->store);
    if (!err && option && (strncmp(option, "dbm=", 4) || !option[4])) {
        err = apr_psprintf(cmd->pool, "%s: unknown option '%s'; allowed is dbm=TYPE",
                           cmd->cmd->name, option);
    }
    if (!err && option && apipool_dbm_choose(option + 4, &type, &error, cmd->pool) != APR_SUCCESS) {
        err = apr_psprintf(cmd->pool, "%s %s: %s", cmd->cmd->name, option, error);
    }
    conf->dbm = type;
    return err;
}

const char *apipool_directive_secret_file(cmd_parms *cmd, void *dir, const char *path)
{
    return take_path(cmd, path, &apipool_directive_server(cmd)->secret_file);
}

static const char *take_number(cmd_parms *cmd, const char *arg, apr_int64_t max, apr_int64_t unit,
                               apr_int64_t *setting)
{
    const char *err = outside(cmd);
    if (!err) {
        err = apipool_directive_number(cmd, arg, 1, max, setting);
        *setting *= unit;
    }
    return err;
}

const char *apipool_directive_save_interval(cmd_parms *cmd, void *dir, const char *arg)
{
    return take_number(cmd, arg, 86400, APR_USEC_PER_SEC,
                       &apipool_directive_server(cmd)->save_interval);
}

const char *apipool_directive_max_pending(cmd_parms *cmd, void *dir, const char *arg)
{
    return take_number(cmd, arg, 1000000000, 1, &apipool_directive_server(cmd)->max_pending);
}
