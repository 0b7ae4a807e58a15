/* SPDX-License-Identifier: Apache-2.0
 * APIPoolKeyFile: reads the file while the configuration is read, so that a fault in it is one of the
 * configuration's. */
#include "directives.h"
#include "keylist.h"

#include <apr_file_io.h>
#include <apr_strings.h>

#define KEY_FILE_MAX (64 * 1024 * 1024) /* bytes */

static const char *read_file(cmd_parms *cmd, const char *path, apipool_key_file_t *key_file)
{
    apr_file_t *file;
    apr_finfo_t info;
    char reason[128];
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY,
                                    APR_FPROT_OS_DEFAULT, cmd->temp_pool);
    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
        if (rv == APR_SUCCESS && info.filetype != APR_REG) {
            return apr_psprintf(cmd->pool, "%s %s: not a regular file", cmd->cmd->name, path);
        }
        if (rv == APR_SUCCESS && info.size > KEY_FILE_MAX) {
            return apr_psprintf(cmd->pool, "%s %s: larger than 64 MiB", cmd->cmd->name, path);
        }
        if (rv == APR_SUCCESS) {
            char *text = apr_palloc(cmd->pool, (apr_size_t)info.size + 1);
            rv = apr_file_read_full(file, text, (apr_size_t)info.size, &key_file->len);
            key_file->text = text;
            if (rv == APR_EOF) {
                rv = APR_SUCCESS;
            }
        }
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "%s %s: cannot be read: %s", cmd->cmd->name, path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    return NULL;
}

typedef struct {
    cmd_parms *cmd;
    const char *path;
    const char *fault; /* the first one */
} key_file_check_t;

static void refuse_line(void *ctx, long line, const char *reason)
{
    key_file_check_t *check = ctx;
    if (!check->fault) {
        check->fault = apr_psprintf(check->cmd->pool, "%s %s: line %ld: %s", check->cmd->cmd->name,
                                    check->path, line, reason);
    }
}

const char *apipool_directive_key_file(cmd_parms *cmd, void *dir, const char *path,
                                       const char *option)
{
    const char *err;
    apipool_pool_t *pool = apipool_directive_pool(cmd, &err);
    apipool_key_file_t file = {.path = ap_server_root_relative(cmd->pool, path)};

    if (err) {
        return err;
    }
    if (option && (strncmp(option, "upstream=", 9) || !option[9])) {
        return apr_psprintf(cmd->pool, "%s: unknown option '%s'; allowed is upstream=NAME",
                            cmd->cmd->name, option);
    }
    file.upstream = option ? option + 9 : NULL;
    int known = !option;
    for (int i = 0; !known && i < pool->upstreams->nelts; i++) {
        known = !strcmp(APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_t).name, file.upstream);
    }
    if (!known) {
        return apr_psprintf(cmd->pool,
                            "%s %s: no APIPoolUpstream named '%s' stands before it in this pool",
                            cmd->cmd->name, path, file.upstream);
    }
    err = file.path ? read_file(cmd, file.path, &file)
                    : apr_psprintf(cmd->pool, "%s %s: bad path", cmd->cmd->name, path);
    if (err) {
        return err;
    }
    key_file_check_t check = {.cmd = cmd, .path = file.path};
    apipool_key_sink_t sink = {.on_invalid = refuse_line, .ctx = &check};
    apipool_keylist_read(file.text, file.len, &sink);
    if (!check.fault) {
        APR_ARRAY_PUSH(pool->key_files, apipool_key_file_t) = file;
    }
    return check.fault;
}
