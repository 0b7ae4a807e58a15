/* SPDX-License-Identifier: Apache-2.0
 * The admin module's directives, their merging, and the checks that need the whole
 * configuration. */
#include "admin.h"

#include <apr_fnmatch.h>
#include <apr_hash.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_main.h>

#include "access.h"

#define PICK(base, add, field, unset) ((add)->field != (unset) ? (add)->field : (base)->field)

/* A name in APIPoolAdminPools, and where it is: the pool may be configured later. */
typedef struct {
    const char *name, *file;
    int line;
} named_pool_t;

/* Configuration of a server. */
typedef struct {
    server_rec *server;
    int is_own;                /* the server has admin directives of its own */
    apr_array_header_t *named; /* named_pool_t */
    apr_array_header_t *read;  /* const char *: files that httpd's children have to read */
    apr_hash_t *mounts;        /* paths whose SetHandler names this module, each its own value */
} server_conf_t;

#define VIEWERS_MAX      32 /* shared by all locations ... */
#define VIEWERS_EACH_MIN 4  /* ... but each has at least this many */

static int viewers_each = VIEWERS_MAX;

void *apipool_admin_create_dir(apr_pool_t *p, char *path)
{
    apipool_admin_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    conf->reveal = -1;
    return conf;
}

void *apipool_admin_merge_dir(apr_pool_t *p, void *basev, void *addv)
{
    const apipool_admin_conf_t *base = basev, *add = addv;
    apipool_admin_conf_t *conf = apr_palloc(p, sizeof(*conf));
    conf->root = PICK(base, add, root, NULL);
    conf->mount = PICK(base, add, mount, NULL);
    conf->user_file = PICK(base, add, user_file, NULL);
    conf->auth = PICK(base, add, auth, APIPOOL_ADMIN_AUTH_UNSET);
    conf->pools = PICK(base, add, pools, NULL);
    conf->viewers = PICK(base, add, viewers, NULL);
    conf->session_seconds = PICK(base, add, session_seconds, 0);
    conf->reveal = PICK(base, add, reveal, -1);
    return conf;
}

void *apipool_admin_create_server(apr_pool_t *p, server_rec *s)
{
    server_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    conf->server = s;
    conf->mounts = apr_hash_make(p);
    conf->named = apr_array_make(p, 2, sizeof(named_pool_t));
    conf->read = apr_array_make(p, 2, sizeof(const char *));
    return conf;
}

static server_conf_t *conf_of(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &apipool_admin_module);
}

/* The last step of every directive. <APIPool> accepts all directives that begin with its own
 * prefix. */
static const char *finish(cmd_parms *cmd)
{
    conf_of(cmd->server)->is_own = 1;
    for (const ap_directive_t *d = cmd->directive->parent; d; d = d->parent) {
        if (!ap_cstr_casecmp(d->directive, "<APIPool")) {
            return apr_psprintf(cmd->pool, "%s must stand outside <APIPool>", cmd->cmd->name);
        }
    }
    return NULL;
}

/* The path of the enclosing <Location>, without a trailing slash; "" for a whole server. */
static const char *find_mount(cmd_parms *cmd, const char **mount)
{
    *mount = "";
    for (const ap_directive_t *d = cmd->directive->parent; d; d = d->parent) {
        if (!ap_cstr_casecmp(d->directive, "<VirtualHost")) {
            return NULL;
        }
        if (!ap_cstr_casecmp(d->directive, "<Location")) {
            const char *args = d->args;
            char *path = ap_getword_conf(cmd->pool, &args);
            apr_size_t len = strlen(path);
            while (len && (path[len - 1] == '/' || path[len - 1] == '>')) {
                path[--len] = '\0';
            }
            *mount = path;
            return strcmp(path, "~") && !apr_fnmatch_test(path)
                       ? NULL
                       : "SetHandler " APIPOOL_ADMIN_HANDLER " needs a plain <Location>, without a "
                         "regular expression or wildcards";
        }
        if (ap_cstr_casecmpn(d->directive, "<If", 3) &&
            ap_cstr_casecmpn(d->directive, "<Else", 5)) {
            return apr_psprintf(cmd->pool,
                                "SetHandler " APIPOOL_ADMIN_HANDLER
                                " must stand in <Location>, <If> or a virtual host, not in %s>",
                                d->directive);
        }
    }
    return NULL;
}

const char *apipool_admin_note_handler(cmd_parms *cmd, void *dir, const char *handler)
{
    apipool_admin_conf_t *conf = dir;
    if (strcmp(handler, APIPOOL_ADMIN_HANDLER)) {
        return NULL;
    }
    const char *error = ap_check_cmd_context(cmd, NOT_IN_HTACCESS);
    error = error ? error : find_mount(cmd, &conf->mount);
    if (!error) {
        conf_of(cmd->server)->is_own = 1;
        apr_hash_set(conf_of(cmd->server)->mounts, conf->mount, APR_HASH_KEY_STRING, conf->mount);
    }
    return error;
}

const char *apipool_admin_set_root(cmd_parms *cmd, void *dir, const char *path)
{
    apipool_admin_conf_t *conf = dir;
    conf->root = ap_server_root_relative(cmd->pool, path);
    if (!conf->root || !ap_is_directory(cmd->temp_pool, conf->root)) {
        return apr_psprintf(cmd->pool, "APIPoolAdminRoot %s: not a folder that can be read", path);
    }
    APR_ARRAY_PUSH(conf_of(cmd->server)->read, const char *) =
        apr_pstrcat(cmd->pool, conf->root, "/index.html", NULL);
    return finish(cmd);
}

const char *apipool_admin_set_user_file(cmd_parms *cmd, void *dir, const char *path)
{
    apipool_admin_conf_t *conf = dir;
    const char *other, *fault;
    conf->user_file = ap_server_root_relative(cmd->pool, path);
    if (!conf->user_file) {
        return apr_psprintf(cmd->pool, "APIPoolAdminUserFile %s: bad path", path);
    }
    fault = apipool_password_file_fault(cmd->pool, conf->user_file, &other);
    if (fault) {
        return apr_psprintf(cmd->pool,
                            "APIPoolAdminUserFile %s: %s; make it with htpasswd -B -c %s NAME",
                            path, fault, path);
    }
    APR_ARRAY_PUSH(conf_of(cmd->server)->read, const char *) = conf->user_file;
    if (other) {
        ap_log_perror(APLOG_MARK, APLOG_WARNING | APLOG_STARTUP, 0, cmd->temp_pool,
                      APIPOOL_LOG(0101) "%s: the entry of \"%s\" is not bcrypt, so this user "
                                        "cannot sign in; set the password again with htpasswd -B",
                      conf->user_file, other);
    }
    return finish(cmd);
}

const char *apipool_admin_set_auth(cmd_parms *cmd, void *dir, const char *word)
{
    int own = !ap_cstr_casecmp(word, "session");
    if (!own && ap_cstr_casecmp(word, "httpd")) {
        return apr_psprintf(cmd->pool, "APIPoolAdminAuth %s: session or httpd is needed", word);
    }
    ((apipool_admin_conf_t *)dir)->auth =
        own ? APIPOOL_ADMIN_AUTH_SESSION : APIPOOL_ADMIN_AUTH_HTTPD;
    return finish(cmd);
}

/* Adds a name once. */
static void add_name(cmd_parms *cmd, apr_array_header_t **list, const char *name)
{
    if (!*list) {
        *list = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    if (!ap_array_str_contains(*list, name)) {
        APR_ARRAY_PUSH(*list, const char *) = name;
    }
}

const char *apipool_admin_set_pools(cmd_parms *cmd, void *dir, const char *name)
{
    named_pool_t *named = apr_array_push(conf_of(cmd->server)->named);
    named->name = name;
    named->file = cmd->directive->filename;
    named->line = cmd->directive->line_num;
    add_name(cmd, &((apipool_admin_conf_t *)dir)->pools, name);
    return finish(cmd);
}

const char *apipool_admin_set_viewers(cmd_parms *cmd, void *dir, const char *name)
{
    add_name(cmd, &((apipool_admin_conf_t *)dir)->viewers, name);
    return finish(cmd);
}

const char *apipool_admin_set_session(cmd_parms *cmd, void *dir, const char *seconds)
{
    char *end = NULL;
    apr_int64_t number = apr_strtoi64(seconds, &end, 10);
    if (!apr_isdigit(*seconds) || *end || number < 1 || number > APIPOOL_SESSION_LONGEST) {
        return apr_psprintf(cmd->pool,
                            "APIPoolAdminSession %s: a whole number from 1 to %d is needed",
                            seconds, APIPOOL_SESSION_LONGEST);
    }
    ((apipool_admin_conf_t *)dir)->session_seconds = (int)number;
    return finish(cmd);
}

const char *apipool_admin_set_reveal(cmd_parms *cmd, void *dir, int on)
{
    ((apipool_admin_conf_t *)dir)->reveal = on;
    return finish(cmd);
}

static int check_pools(apr_pool_t *ptemp, server_rec *s)
{
    const server_conf_t *conf = conf_of(s);
    const apr_array_header_t *pools = apipool_admin_api->pools(s, ptemp);
    for (int i = 0; i < conf->named->nelts; i++) {
        const named_pool_t *named = &APR_ARRAY_IDX(conf->named, i, named_pool_t);
        if (!apipool_admin_find_pool(pools, named->name)) {
            ap_log_error(APLOG_MARK, APLOG_EMERG | APLOG_STARTUP, 0, s,
                         APIPOOL_LOG(0102) "%s:%d: APIPoolAdminPools %s: this server and the "
                                           "main server have no such pool",
                         named->file, named->line, named->name);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

/* Tests whether one of these directives defines who may use the API. */
static int names_users(const ap_directive_t *d)
{
    for (; d; d = d->next) {
        if (!ap_cstr_casecmp(d->directive, "APIPoolAdminUserFile") ||
            (!ap_cstr_casecmp(d->directive, "APIPoolAdminAuth") &&
             !ap_cstr_casecmp(d->args, "httpd"))) {
            return 1;
        }
    }
    return 0;
}

/* Tests the same for the sections around a directive, and for other sections with the same path. */
static int has_users(const ap_directive_t *handler)
{
    const ap_directive_t *section = handler->parent;
    for (const ap_directive_t *d = section; d; d = d->parent) {
        if (names_users(d->first_child)) {
            return 1;
        }
    }
    for (const ap_directive_t *d = section && section->parent ? section->parent->first_child
                                                              : ap_conftree;
         section && d; d = d->next) {
        if (!ap_cstr_casecmp(d->directive, section->directive) && !strcmp(d->args, section->args) &&
            names_users(d->first_child)) {
            return 1;
        }
    }
    return names_users(ap_conftree);
}

static void warn_below(server_rec *s, const ap_directive_t *d)
{
    for (; d; d = d->next) {
        if (d->first_child) {
            warn_below(s, d->first_child);
        }
        else if (!ap_cstr_casecmp(d->directive, "SetHandler") &&
                 !ap_cstr_casecmp(d->args, APIPOOL_ADMIN_HANDLER) && !has_users(d)) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                         APIPOOL_LOG(0103) "%s:%d: nobody can use the admin API here: there is "
                                           "neither APIPoolAdminUserFile nor APIPoolAdminAuth "
                                           "httpd",
                         d->filename, d->line_num);
        }
    }
}

/* The configuration is read with root's rights, which the children do not have. */
static void warn_of_unreadable(server_rec *s, apr_pool_t *ptemp)
{
    const apr_array_header_t *files = conf_of(s)->read;
    for (int i = 0; i < files->nelts; i++) {
        const char *path = APR_ARRAY_IDX(files, i, const char *);
        apr_status_t rv = apipool_admin_api->can_read(ap_server_conf, path, ptemp);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_WARNING, rv, s,
                         APIPOOL_LOG(0193) "%s cannot be read by httpd's user, so that nobody can "
                                           "sign in or see the page there; give that user access "
                                           "to the file and to all folders above it",
                         path);
        }
    }
}

void apipool_admin_warn(server_rec *main_server, apr_pool_t *ptemp)
{
    warn_below(main_server, ap_conftree);
    for (server_rec *s = main_server; s; s = s->next) {
        if (s == main_server || conf_of(s) != conf_of(main_server)) {
            warn_of_unreadable(s, ptemp);
        }
    }
}

const server_rec *apipool_admin_owner(const request_rec *r)
{
    const server_conf_t *conf = conf_of(r->server);
    return conf->is_own ? conf->server : ap_server_conf;
}

int apipool_admin_viewers_each(void)
{
    return viewers_each;
}

/* A virtual host with admin directives of its own has the main server's locations in addition to
 * its own. */
static int count_locations(apr_pool_t *ptemp, server_rec *main_server)
{
    int count = 0;
    for (server_rec *s = main_server; s; s = s->next) {
        if (s == main_server || (conf_of(s) != conf_of(main_server) && conf_of(s)->is_own)) {
            count += (int)apr_hash_count(
                apr_hash_overlay(ptemp, conf_of(s)->mounts, conf_of(main_server)->mounts));
        }
    }
    return count;
}

int apipool_admin_check_config(apr_pool_t *ptemp, server_rec *main_server)
{
    for (server_rec *s = main_server; s; s = s->next) {
        if (s != main_server && conf_of(s) == conf_of(main_server)) {
            continue;
        }
        int status = check_pools(ptemp, s);
        if (status != OK) {
            return status;
        }
    }
    int locations = count_locations(ptemp, main_server);
    viewers_each = locations > VIEWERS_MAX / VIEWERS_EACH_MIN
                       ? VIEWERS_EACH_MIN
                       : VIEWERS_MAX / (locations + !locations);
    return OK;
}
