/* SPDX-License-Identifier: Apache-2.0
 * One database through apr_dbm: written once from begin to end, or read so; never changed in place. */
#include "dbm.h"

#include <apr_dbm.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "disk.h"

struct apipool_dbm_t {
    apr_pool_t *pool;
    const char *type;
    const char *path;
    apr_dbm_t *db;   /* NULL when closed */
    char *value;     /* room for one: apr_dbm takes no constant */
    apr_status_t rv; /* the first failure */
    const char *error;
};

/* A page of sdbm and ndbm holds 1 KiB, less than the records of some keys. "default" may be either. */
static int is_too_small(const char *type)
{
    return !strcmp(type, "sdbm") || !strcmp(type, "ndbm") || !strcmp(type, "default");
}

static apr_status_t try_type(const char *type, apr_pool_t *pool)
{
    const char *file, *second;
    return apr_dbm_get_usednames_ex(pool, type, "/", &file, &second);
}

apr_status_t apipool_dbm_choose(const char *wanted, const char **type, const char **error,
                                apr_pool_t *pool)
{
    char why[120];
    *type = wanted ? wanted : try_type("gdbm", pool) == APR_SUCCESS ? "gdbm" : "db";
    if (is_too_small(*type)) {
        *error =
            apr_psprintf(pool, "the type %s is too small for the store; use gdbm or db", *type);
        return APR_ENOTIMPL;
    }
    apr_status_t rv = try_type(*type, pool);
    if (rv != APR_SUCCESS && !wanted) {
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

/* Most types have numbers of their own that say no more than that something failed; libc knows what. */
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

static apr_status_t close_database(void *data)
{
    apipool_dbm_abandon(data);
    return APR_SUCCESS;
}

apr_status_t apipool_dbm_begin(apipool_dbm_t **dbm, const char *type, const char *path,
                               const char **error, apr_pool_t *pool)
{
    apipool_dbm_t *made = apr_pcalloc(pool, sizeof(*made));
    apr_status_t rv = open_database(&made->db, type, path, APR_DBM_RWTRUNC, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    made->pool = pool;
    made->type = type;
    made->path = path;
    made->value = apr_palloc(pool, APIPOOL_DBM_VALUE_MAX);
    apr_pool_cleanup_register(pool, made, close_database, apr_pool_cleanup_null);
    *dbm = made;
    return APR_SUCCESS;
}

static apr_status_t fail(apipool_dbm_t *dbm, apr_status_t rv, const char *error)
{
    dbm->rv = rv;
    dbm->error = error;
    return rv;
}

static apr_status_t store(apipool_dbm_t *dbm, char *key, apr_size_t key_len, const char *value,
                          apr_size_t len)
{
    apr_datum_t name = {.dptr = key, .dsize = key_len};
    apr_datum_t data = {.dptr = dbm->value, .dsize = len};

    if (len > 0) {
        memcpy(dbm->value, value, len);
    }
    errno = 0;
    apr_status_t rv = apr_dbm_store(dbm->db, name, data);
    if (rv != APR_SUCCESS) {
        rv = cause(rv);
        return fail(dbm, rv, say(dbm->type, dbm->path, "written", rv, dbm->pool));
    }
    return rv;
}

apr_status_t apipool_dbm_put(apipool_dbm_t *dbm, const char *key, apr_size_t key_len,
                             const char *value, apr_size_t len)
{
    char name[APIPOOL_DBM_KEY_MAX];
    if (dbm->rv != APR_SUCCESS) {
        return dbm->rv;
    }
    if (key_len == 0 || key_len > APIPOOL_DBM_KEY_MAX || len > APIPOOL_DBM_VALUE_MAX) {
        return fail(dbm, APR_EINVAL,
                    apr_psprintf(dbm->pool,
                                 "%s database %s takes no record with a key of %" APR_SIZE_T_FMT
                                 " bytes and a value of %" APR_SIZE_T_FMT,
                                 dbm->type, dbm->path, key_len, len));
    }
    memcpy(name, key, key_len);
    return store(dbm, name, key_len, value, len);
}

void apipool_dbm_abandon(apipool_dbm_t *dbm)
{
    if (dbm->db) {
        apr_dbm_close(dbm->db);
        dbm->db = NULL;
    }
}

apr_status_t apipool_dbm_finish(apipool_dbm_t *dbm, const char **error)
{
    const char *files[APIPOOL_DBM_FILES];
    int count = apipool_dbm_files(dbm->type, dbm->path, files, dbm->pool);

    apipool_dbm_abandon(dbm);
    for (int i = 0; dbm->rv == APR_SUCCESS && i < count; i++) {
        apr_status_t rv = apipool_disk_sync(AT_FDCWD, files[i]);
        if (rv != APR_SUCCESS) {
            fail(dbm, rv, say(dbm->type, files[i], "brought to disk", rv, dbm->pool));
        }
    }
    *error = dbm->error;
    return dbm->rv;
}

typedef struct {
    apr_dbm_t *db;
    const char *type;
    const char *path;
    apipool_dbm_each_fn each;
    void *ctx;
    apr_uint64_t records;
    const char *error;
    apr_pool_t *pool;
} reading_t;

static apr_status_t read_record(reading_t *reading, apr_datum_t key)
{
    apr_datum_t value;
    errno = 0;
    apr_status_t rv = apr_dbm_fetch(reading->db, key, &value);
    if (rv != APR_SUCCESS || !value.dptr) {
        rv = cause(rv);
        reading->error = say(reading->type, reading->path, "read", rv, reading->pool);
        return rv;
    }
    reading->records++;
    rv = reading->each(reading->ctx, key.dptr, key.dsize, value.dptr, value.dsize);
    apr_dbm_freedatum(reading->db, value);
    return rv;
}

/* The end of the keys looks like a failure in some types: whoever knows the number of records sees. */
static apr_status_t read_records(reading_t *reading)
{
    apr_datum_t key, next;
    apr_status_t rv = APR_SUCCESS;

    apr_dbm_firstkey(reading->db, &key);
    while (rv == APR_SUCCESS && key.dptr) {
        rv = read_record(reading, key);
        next = key;
        if (rv == APR_SUCCESS) {
            apr_dbm_nextkey(reading->db, &next);
        }
        apr_dbm_freedatum(reading->db, key);
        key = next;
    }
    return rv;
}

apr_status_t apipool_dbm_read(const char *type, const char *path, apipool_dbm_each_fn each,
                              void *ctx, apr_uint64_t *records, const char **error,
                              apr_pool_t *pool)
{
    reading_t reading = {.type = type, .path = path, .each = each, .ctx = ctx, .pool = pool};
    *records = 0;
    *error = NULL;
    apr_status_t rv = open_database(&reading.db, type, path, APR_DBM_READONLY, error, pool);
    if (rv == APR_SUCCESS) {
        rv = read_records(&reading);
        *error = reading.error;
        *records = reading.records;
        apr_dbm_close(reading.db);
    }
    return rv;
}
