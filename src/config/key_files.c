/* SPDX-License-Identifier: Apache-2.0
 * APIPoolKeyFile: reads the file along with the configuration, so that a fault in it is a
 * configuration error. Its keys are added to the pools at start and at every graceful restart. */
#include "deleted.h"
#include "directives.h"
#include "key_files.h"
#include "key_list.h"
#include "keys.h"

#include <apr_file_io.h>
#include <apr_strings.h>
#include <openssl/crypto.h>

#define KEY_FILE_MAX (64 * 1024 * 1024) /* bytes */

static const char *read_file(cmd_parms *cmd, apipool_key_file_t *key_file)
{
    apr_file_t *file;
    apr_finfo_t info;
    char reason[128];
    const char *fault = NULL;
    apr_status_t rv = apr_file_open(&file, key_file->path, APR_FOPEN_READ | APR_FOPEN_BINARY,
                                    APR_FPROT_OS_DEFAULT, cmd->temp_pool);
    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_TYPE, file);
        if (rv == APR_SUCCESS) {
            fault = info.filetype != APR_REG   ? "not a regular file"
                    : info.size > KEY_FILE_MAX ? "larger than 64 MiB"
                                               : NULL;
        }
        if (rv == APR_SUCCESS && !fault) {
            key_file->text = apr_palloc(cmd->pool, (apr_size_t)info.size + 1);
            rv = apr_file_read_full(file, key_file->text, (apr_size_t)info.size, &key_file->len);
            rv = rv == APR_EOF ? APR_SUCCESS : rv;
        }
        apr_file_close(file);
    }
    if (rv != APR_SUCCESS) {
        fault = apr_pstrcat(cmd->pool, "cannot be read: ", apr_strerror(rv, reason, sizeof(reason)),
                            NULL);
    }
    return fault ? apr_psprintf(cmd->pool, "%s %s: %s", cmd->cmd->name, key_file->path, fault)
                 : NULL;
}

typedef struct {
    cmd_parms *cmd;
    const char *path;
    apr_hash_t *ids;
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

/* Id of a key in key_ids, which are made before the secret is known. */
static apr_uint64_t id_without_secret(const char *key, apr_size_t len)
{
    static const unsigned char no_secret[APIPOOL_SECRET_SIZE];
    return apipool_key_id(no_secret, key, len);
}

static void note_key(void *ctx, const apipool_key_item_t *item)
{
    const key_file_check_t *check = ctx;
    apr_uint64_t id = id_without_secret(item->key, item->len);
    const apr_uint64_t *kept = apr_pmemdup(check->cmd->pool, &id, sizeof(id));
    apr_hash_set(check->ids, kept, sizeof(*kept), kept);
}

const char *apipool_directive_key_file(cmd_parms *cmd, void *dir, const char *path,
                                       const char *option)
{
    const char *err;
    const apipool_pool_conf_t *pool = apipool_directive_pool(cmd, &err);
    apipool_key_file_t file = {.path = ap_server_root_relative(cmd->pool, path),
                               .upstream =
                                   option ? apipool_directive_value(option, "upstream=") : NULL};
    if (err) {
        return err;
    }
    if (option && !file.upstream) {
        return apr_psprintf(cmd->pool, "%s: unknown option '%s'; allowed is upstream=NAME",
                            cmd->cmd->name, option);
    }
    if (option && !apipool_config_upstream(pool, file.upstream)) {
        return apr_psprintf(cmd->pool,
                            "%s %s: no APIPoolUpstream named '%s' stands before it in this pool",
                            cmd->cmd->name, path, file.upstream);
    }
    err = file.path ? read_file(cmd, &file)
                    : apr_psprintf(cmd->pool, "%s %s: bad path", cmd->cmd->name, path);
    if (err) {
        return err;
    }
    key_file_check_t check = {.cmd = cmd, .path = file.path, .ids = pool->key_ids};
    apipool_key_sink_t sink = {.on_key = note_key, .on_invalid = refuse_line, .ctx = &check};
    apipool_key_list_read(file.text, file.len, &sink);
    if (!check.fault) {
        APR_ARRAY_PUSH(pool->key_files, apipool_key_file_t) = file;
    }
    return check.fault;
}

int apipool_key_files_list(const apipool_pool_conf_t *pool, const char *key, apr_size_t len)
{
    apr_uint64_t id = id_without_secret(key, len);
    return apr_hash_get(pool->key_ids, &id, sizeof(id)) != NULL;
}

/* --- At start --- */

/* Deletion of a key; both numbers are its key in the hash. */
typedef struct {
    struct {
        apr_uint64_t id, pool;
    } of;
    int is_listed; /* by a file */
} deleted_t;

typedef struct {
    apipool_segment_t *segment;
    apr_uint32_t pool, upstream;
    apr_hash_t *deleted; /* deleted_t */
    apr_time_t now;
    apr_status_t rv;         /* the first error */
    unsigned long counts[3]; /* by apipool_added_e */
    unsigned long passed_over;
} import_t;

apr_hash_t *apipool_key_files_begin(const apipool_segment_t *segment, apr_pool_t *p)
{
    apr_hash_t *deleted = apr_hash_make(p);
    const apipool_deletion_t *rows = apipool_deleted_rows(segment);
    for (apr_uint32_t i = 0; i < apipool_deleted_count(segment); i++) {
        deleted_t *one = apr_pcalloc(p, sizeof(*one));
        one->of.id = rows[i].id;
        one->of.pool = rows[i].pool;
        apr_hash_set(deleted, &one->of, sizeof(one->of), one);
    }
    return deleted;
}

static deleted_t *find_deleted(apr_hash_t *deleted, const apipool_deletion_t *row)
{
    deleted_t wanted = {.of = {.id = row->id, .pool = row->pool}};
    return apr_hash_get(deleted, &wanted.of, sizeof(wanted.of));
}

static int is_deleted(const import_t *import, const apipool_key_item_t *item)
{
    apipool_deletion_t row = {.pool = import->pool};
    if (!apr_hash_count(import->deleted)) {
        return 0;
    }
    row.id = apipool_segment_key_id(import->segment, item->key, item->len);
    deleted_t *deleted = find_deleted(import->deleted, &row);
    if (!deleted || !apipool_deleted_counts(import->segment, &row)) {
        return 0;
    }
    deleted->is_listed = 1;
    return 1;
}

static void add_key(void *ctx, const apipool_key_item_t *item)
{
    import_t *import = ctx;
    apipool_added_e added;
    if (is_deleted(import, item)) {
        import->passed_over++;
        return;
    }
    apr_status_t rv =
        apipool_pool_add(import->segment, import->upstream, item, import->now, &added);
    if (rv == APR_SUCCESS) {
        import->counts[added]++;
    }
    else if (import->rv == APR_SUCCESS) {
        import->rv = rv;
    }
}

static void log_import(const import_t *import, const apipool_pool_conf_t *pool, const char *path)
{
    ap_log_error(APLOG_MARK, import->rv == APR_SUCCESS ? APLOG_INFO : APLOG_ERR, import->rv,
                 pool->server, APIPOOL_LOG(0050) "pool %s: %s: %lu keys added, %lu known already",
                 pool->name, path, import->counts[APIPOOL_ADDED],
                 import->counts[APIPOOL_DUPLICATE]);
    if (import->passed_over) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, pool->server,
                     APIPOOL_LOG(0176) "pool %s: %s: %lu lines passed over: an operator has "
                                       "deleted their keys",
                     pool->name, path, import->passed_over);
    }
    if (import->counts[APIPOOL_FULL]) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, pool->server,
                     APIPOOL_LOG(0051) "pool %s: %s: %lu keys did not fit; raise APIPoolCapacity "
                                       "and restart fully",
                     pool->name, path, import->counts[APIPOOL_FULL]);
    }
}

static apr_status_t import_file(apipool_segment_t *segment, const apipool_pool_conf_t *pool,
                                apipool_key_file_t *file, apr_hash_t *deleted)
{
    import_t import = {.segment = segment,
                       .pool = pool->index,
                       .upstream = apipool_config_upstream(pool, file->upstream)->index,
                       .deleted = deleted,
                       .now = apr_time_now()};
    apipool_key_sink_t sink = {.on_key = add_key, .ctx = &import};

    if (segment) {
        apipool_key_list_read(file->text, file->len, &sink);
    }
    OPENSSL_cleanse(file->text, file->len); /* children do not need it */
    if (segment) {
        log_import(&import, pool, file->path);
    }
    return import.rv;
}

apr_status_t apipool_key_files_import(apipool_segment_t *segment, apipool_pool_conf_t *pool,
                                      apr_hash_t *deleted)
{
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < pool->key_files->nelts; i++) {
        rv = import_file(segment, pool, &APR_ARRAY_IDX(pool->key_files, i, apipool_key_file_t),
                         deleted);
    }
    return rv;
}

static int is_listed(void *deleted, const apipool_deletion_t *row)
{
    const deleted_t *found = find_deleted(deleted, row);
    return found && found->is_listed;
}

void apipool_key_files_end(apipool_segment_t *segment, apr_hash_t *deleted)
{
    if (apr_hash_count(deleted)) {
        apipool_deleted_keep(segment, is_listed, deleted);
    }
}
