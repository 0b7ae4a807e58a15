/* SPDX-License-Identifier: Apache-2.0
 * The directives outside of pools: where a pool is used, who may read its answers, and what is
 * stored. */
#include "directives.h"

#include <apr_fnmatch.h>
#include <apr_strings.h>

#include "ascii.h"
#include "dbm.h"

/* Sets the path prefix that requests lose: that of the enclosing <Location>, or none for a whole
 * server. */
static const char *find_mount(cmd_parms *cmd, apipool_use_t *use)
{
    const ap_directive_t *d = cmd->directive->parent;
    use->mount = "";
    for (; d && ap_cstr_casecmp(d->directive, "<VirtualHost"); d = d->parent) {
        if (!ap_cstr_casecmp(d->directive, "<Location")) {
            const char *args = d->args;
            char *path = ap_getword_conf(cmd->pool, &args);
            apr_size_t len = strlen(path);
            if (len && path[len - 1] == '>') {
                path[--len] = '\0';
            }
            if (!strcmp(path, "~") || apr_fnmatch_test(path)) {
                use->is_conditional = 1;
                return "APIPoolUse needs a plain <Location>, without a regular expression or "
                       "wildcards";
            }
            while (len && path[len - 1] == '/') {
                path[--len] = '\0';
            }
            use->mount = path;
            use->is_location = 1;
            return NULL;
        }
        use->is_conditional = 1;
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
    const char *err = apipool_directive_outside(cmd, 0);

    if (err) {
        return err;
    }
    dir->use = use;
    *use = (apipool_use_t){.name = ap_cstr_casecmp(name, "off") ? name : NULL,
                           .server = cmd->server,
                           .file = cmd->directive->filename,
                           .line = cmd->directive->line_num};
    APR_ARRAY_PUSH(apipool_config_server(cmd->server)->uses, apipool_use_t *) = use;
    err = find_mount(cmd, use);
    return use->name ? err : NULL;
}

const char *apipool_directive_expose(cmd_parms *cmd, void *dir, int on)
{
    ((apipool_dir_conf_t *)dir)->expose = on;
    return apipool_directive_outside(cmd, 0);
}

const char *apipool_directive_rewrite(cmd_parms *cmd, void *dir, int on)
{
    ((apipool_dir_conf_t *)dir)->rewrites = on;
    return apipool_directive_outside(cmd, 0);
}

/* Explains what is wrong with an origin, which must be as browsers send it (RFC 6454 section 6.2):
 * scheme://host[:port]. */
static const char *fault_of(const char *origin)
{
    const char *host = ap_strstr_c(origin, "://");
    apr_size_t len = host ? (apr_size_t)(host - origin) : 0;
    if (!len || !apipool_ascii_is_alpha(*origin) ||
        strspn(origin, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.") < len) {
        return "an origin is scheme://host or scheme://host:port, * stands for all, or off";
    }
    host += 3;
    apr_size_t name = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (strchr(host, '/') || strpbrk(host, "?#@* ")) {
        return "an origin has no path, no user and no wildcard; not even a '/' at its end";
    }
    if (!name || name > strlen(host) || (host[name] && host[name] != ':')) {
        return "an origin has a host";
    }
    const char *port = host[name] ? host + name + 1 : NULL;
    if (port && (!*port || port[strspn(port, "0123456789")] || apr_atoi64(port) > 65535)) {
        return "a port is a number up to 65535";
    }
    if (port && ((!ap_cstr_casecmpn(origin, "http:", 5) && !strcmp(port, "80")) ||
                 (!ap_cstr_casecmpn(origin, "https:", 6) && !strcmp(port, "443")))) {
        return "browsers leave the default port out; do so as well";
    }
    return NULL;
}

const char *apipool_directive_cors(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    apipool_cors_t *cors = apr_pcalloc(cmd->pool, sizeof(*cors));
    cors->origins = apr_array_make(cmd->pool, argc, sizeof(const char *));
    ((apipool_dir_conf_t *)dir)->cors = cors;
    const char *err = apipool_directive_outside(cmd, 0);
    if (err || argc == 0) {
        return err ? err
                   : apr_psprintf(cmd->pool, "%s needs at least one origin, * or off",
                                  cmd->cmd->name);
    }
    for (int i = 0; i < argc; i++) {
        int is_word = !strcmp(argv[i], "*") || !ap_cstr_casecmp(argv[i], "off");
        const char *fault = is_word ? NULL : fault_of(argv[i]);
        if (is_word && argc > 1) {
            fault = "* and off stand alone";
        }
        if (fault) {
            return apr_psprintf(cmd->pool, "%s %s: %s", cmd->cmd->name, argv[i], fault);
        }
        if (!is_word) {
            APR_ARRAY_PUSH(cors->origins, const char *) = argv[i];
        }
    }
    cors->any = !strcmp(argv[0], "*");
    return NULL;
}

static const char *take_path(cmd_parms *cmd, const char *path, const char **setting)
{
    const char *err = apipool_directive_outside(cmd, GLOBAL_ONLY);
    *setting = err ? NULL : ap_server_root_relative(cmd->pool, path);
    if (!err && (!*setting || strlen(*setting) >= APIPOOL_STORE_PATH_MAX)) {
        err = apr_psprintf(cmd->pool, "%s %s: bad path", cmd->cmd->name, path);
    }
    return err;
}

const char *apipool_directive_store(cmd_parms *cmd, void *dir, const char *path, const char *option)
{
    apipool_server_conf_t *conf = apipool_config_server(cmd->server);
    const char *error, *err = take_path(cmd, path, &conf->store);
    const char *type = option ? apipool_directive_value(option, "dbm=") : NULL;
    if (err || !option) {
        return err;
    }
    if (!type) {
        return apr_psprintf(cmd->pool, "%s: unknown option '%s'; allowed is dbm=TYPE",
                            cmd->cmd->name, option);
    }
    return apipool_dbm_choose(type, &conf->dbm, &error, cmd->pool) == APR_SUCCESS
               ? NULL
               : apr_psprintf(cmd->pool, "%s %s: %s", cmd->cmd->name, option, error);
}

const char *apipool_directive_secret_file(cmd_parms *cmd, void *dir, const char *path)
{
    return take_path(cmd, path, &apipool_config_server(cmd->server)->secret_file);
}
