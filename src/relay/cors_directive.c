/* SPDX-License-Identifier: Apache-2.0
 * The directive APIPoolCORS. */
#include "directives.h"

#include <apr_strings.h>

#include "ascii.h"

/* What is wrong with an origin, as browsers write it (RFC 6454 section 6.2): scheme://host[:port]. */
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
    if (apipool_directive_server(cmd)->open_pool) {
        return apr_psprintf(cmd->pool, "%s must stand outside <APIPool>", cmd->cmd->name);
    }
    if (argc == 0) {
        return apr_psprintf(cmd->pool, "%s needs at least one origin, * or off", cmd->cmd->name);
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
