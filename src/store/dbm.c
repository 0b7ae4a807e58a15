/* SPDX-License-Identifier: Apache-2.0
 * Database through apr_dbm: written once from begin to end, then only read. */
#include "dbm.h"

#include <apr_dbm.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "disk.h"
#include "throttle.h"

struct apipool_dbm_t {
    apr_pool_t *pool;
    const char *type;
    const char *path;
    apr_dbm_t *db;   /* NULL when closed */
    char *value;     /* buffer for a value, as apr_dbm takes no constant */
    apr_status_t rv; /* first failure */
    const char *error;
};

/* A page of sdbm and ndbm holds 1 KiB, less than some records. "default" may be either. */
static int is_too_small(const char *type)
{
    return !strcmp(type, "sdbm") || !strcmp(type, "ndbm") || !strcmp(type, "default");
}

static apr_status_t try_type(const char *type, apr_pool_t *pool)
{
    const char *file, *second;
    return apr_dbm_get_usednames_ex(pool, type, "/", &file, &second);
}

apr_status_t apipool_dbm_choose(const char *name, const char **type, const char **error,
                                apr_pool_t *pool)
{
    char why[120];
    *type = name ? name : try_type("gdbm", pool) == APR_SUCCESS ? "gdbm" : "db";
    if (is_too_small(*type)) {
        *error =
            apr_psprintf(pool, "the type %s is too small for the store; use gdbm or db", *type);
        return APR_ENOTIMPL;
    }
    apr_status_t rv = try_type(*type, pool);
    if (rv != APR_SUCCESS && !name) {
        *error = "this APR-util has neither gdbm nor db; install its package for one of them";
    }
    else if (rv != APR_SUCCESS) {
        *error =
            apr_psprintf(pool, "this APR-util has no dbm of the type %s (%s); name another one",
                         *type, apr_strerror(rv, why, sizeof(why)));
    }
    return rv;
}

int apipool_dbm_files(const char *type, const char *path, const char *files[APIPOOL_DBM_FILES],
                      apr_pool_t *pool)
{
    if (apr_dbm_get_usednames_ex(pool, type, path, &files[0], &files[1]) != APR_SUCCESS) {
        return 0;
    }
    return files[1] ? 2 : 1;
}

/* Most types report failures with a generic number of their own; errno has the reason. */
static apr_status_t cause(apr_status_t rv)
{
    return rv == APR_SUCCESS || rv == APR_EGENERAL || rv > APR_OS_START_STATUS
               ? apipool_disk_errno()
               : rv;
}

static const char *say(const char *type, const char *path, const char *doing, apr_status_t rv,
                       apr_pool_t *pool)
{
    char why[120];
    return apr_psprintf(pool, "%s database %s cannot be %s: %s", type, path, doing,
                        apr_strerror(rv, why, sizeof(why)));
}

static apr_status_t open_database(apr_dbm_t **db, const char *type, const char *path, int mode,
                                  const char **error, apr_pool_t *pool)
{
    errno = 0;
    apr_status_t rv = apr_dbm_open_ex(db, type, path, mode, APR_UREAD | APR_UWRITE, pool);
    if (rv != APR_SUCCESS) {
        rv = cause(rv);
        *error = say(type, path, mode == APR_DBM_READONLY ? "opened" : "made", rv, pool);
    }
    return rv;
}

void apipool_dbm_abandon(apipool_dbm_t *dbm)
{
    if (dbm->db) {
        apr_dbm_close(dbm->db);
        dbm->db = NULL;
    }
}

static apr_status_t close_database(void *data)
{
    apipool_dbm_abandon(data);
    return APR_SUCCESS;
}

apr_status_t apipool_dbm_begin(apipool_dbm_t **dbm, const char *type, const char *path,
                               const char **error, apr_pool_t *pool)
{
    apipool_dbm_t *made = apr_palloc(pool, sizeof(*made));
    *made = (apipool_dbm_t){
        .pool = pool, .type = type, .path = path, .value = apr_palloc(pool, APIPOOL_DBM_VALUE_MAX)};
    apr_status_t rv = open_database(&made->db, type, path, APR_DBM_RWTRUNC, error, pool);
    if (rv == APR_SUCCESS) {
        apr_pool_cleanup_register(pool, made, close_database, apr_pool_cleanup_null);
        *dbm = made;
    }
    return rv;
}

apr_status_t apipool_dbm_put(apipool_dbm_t *dbm, const char *key, apr_size_t key_len,
                             const char *value, apr_size_t len)
{
    char name[APIPOOL_DBM_KEY_MAX];
    apr_datum_t key_datum = {.dptr = name, .dsize = key_len};
    apr_datum_t data = {.dptr = dbm->value, .dsize = len};
    if (dbm->rv != APR_SUCCESS) {
        return dbm->rv;
    }
    if (key_len == 0 || key_len > APIPOOL_DBM_KEY_MAX || len > APIPOOL_DBM_VALUE_MAX) {
        dbm->error = apr_psprintf(dbm->pool,
                                  "%s database %s takes no record with a key of %" APR_SIZE_T_FMT
                                  " bytes and a value of %" APR_SIZE_T_FMT,
                                  dbm->type, dbm->path, key_len, len);
        return dbm->rv = APR_EINVAL;
    }
    memcpy(name, key, key_len);
    if (len > 0) {
        memcpy(dbm->value, value, len);
    }
    errno = 0;
    apr_status_t rv = apr_dbm_store(dbm->db, key_datum, data);
    if (rv != APR_SUCCESS) {
        dbm->rv = cause(rv);
        dbm->error = say(dbm->type, dbm->path, "written", dbm->rv, dbm->pool);
    }
    return dbm->rv;
}

apr_status_t apipool_dbm_finish(apipool_dbm_t *dbm, const char **error)
{
    const char *files[APIPOOL_DBM_FILES];
    int count = apipool_dbm_files(dbm->type, dbm->path, files, dbm->pool);

    apipool_dbm_abandon(dbm);
    for (int i = 0; dbm->rv == APR_SUCCESS && i < count; i++) {
        dbm->rv = apipool_disk_sync(AT_FDCWD, files[i]);
        if (dbm->rv != APR_SUCCESS) {
            dbm->error = say(dbm->type, files[i], "brought to disk", dbm->rv, dbm->pool);
        }
    }
    *error = dbm->error;
    return dbm->rv;
}

/* Some types report the end of the keys as a failure, so callers compare the number of records. */
apr_status_t apipool_dbm_read(const char *type, const char *path, apipool_dbm_each_fn each,
                              void *ctx, apr_uint64_t *records, const char **error,
                              apr_pool_t *pool)
{
    apr_dbm_t *db;
    apr_datum_t key, next, value;
    *records = 0;
    *error = NULL;
    apr_status_t rv = open_database(&db, type, path, APR_DBM_READONLY, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (apr_dbm_firstkey(db, &key); rv == APR_SUCCESS && key.dptr; key = next) {
        errno = 0;
        rv = apr_dbm_fetch(db, key, &value);
        next = key;
        if (rv != APR_SUCCESS || !value.dptr) {
            rv = cause(rv);
            *error = say(type, path, "read", rv, pool);
        }
        else {
            ++*records;
            rv = each ? each(ctx, key.dptr, key.dsize, value.dptr, value.dsize) : rv;
            apr_dbm_freedatum(db, value);
            apipool_throttle();
        }
        if (rv == APR_SUCCESS) {
            apr_dbm_nextkey(db, &next);
        }
        apr_dbm_freedatum(db, key);
    }
    apr_dbm_close(db);
    return rv;
}
