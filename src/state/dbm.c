/* SPDX-License-Identifier: Apache-2.0
 * One database through apr_dbm: written once from begin to end, or read so; never changed in place. */
#include "dbm.h"

#include <apr_dbm.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "disk.h"

/* A page of sdbm is 1 KiB and must hold several pairs: two keys whose pairs do not fit into one page, but
 * whose hashes agree in ten bits more than the database uses, end it with ENOSPC. */
#define PIECE       200 /* bytes of a value; the last piece of each value is shorter */
#define NUMBER_SIZE 2   /* bytes that each key of a piece has more: which one it is */

struct apipool_dbm_t {
    apr_pool_t *pool;
    const char *type;
    const char *path;
    apr_dbm_t *db;         /* NULL when closed */
    char *value;           /* room for one: apr_dbm takes no constant */
    const char *directory; /* that of sdbm; NULL for other types */
    off_t directory_size;
    int in_pieces;
    apr_status_t rv; /* the first failure */
    const char *error;
};

static int needs_pieces(const char *type)
{
    return strcmp(type, "gdbm") != 0 && strcmp(type, "db") != 0;
}

apr_status_t apipool_dbm_choose(const char *wanted, const char **type, const char **error,
                                apr_pool_t *pool)
{
    const char *unused1, *unused2;
    char why[120];
    *type = wanted ? wanted : "gdbm";
    apr_status_t rv = apr_dbm_get_usednames_ex(pool, *type, "/", &unused1, &unused2);
    if (rv != APR_SUCCESS && !wanted) {
        *type = "sdbm";
        rv = apr_dbm_get_usednames_ex(pool, *type, "/", &unused1, &unused2);
    }
    if (rv != APR_SUCCESS) {
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
    made->in_pieces = needs_pieces(type);
    if (strcmp(type, "sdbm") == 0) {
        const char *files[APIPOOL_DBM_FILES];
        made->directory = apipool_dbm_files(type, path, files, pool) == 2 ? files[1] : NULL;
    }
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

/* A handle of sdbm that makes its directory longer by more than a block does not know how long it is, and
 * stores where no reader looks; one that is opened again knows. */
static apr_status_t know_directory(apipool_dbm_t *dbm)
{
    struct stat info;
    if (!dbm->directory) {
        return APR_SUCCESS;
    }
    if (stat(dbm->directory, &info) != 0) {
        apr_status_t rv = apipool_disk_errno();
        return fail(dbm, rv, say(dbm->type, dbm->directory, "looked at", rv, dbm->pool));
    }
    if (info.st_size == dbm->directory_size) {
        return APR_SUCCESS;
    }
    dbm->directory_size = info.st_size;
    apr_dbm_close(dbm->db);
    dbm->db = NULL;
    dbm->rv =
        open_database(&dbm->db, dbm->type, dbm->path, APR_DBM_READWRITE, &dbm->error, dbm->pool);
    return dbm->rv;
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
    return know_directory(dbm);
}

static apr_size_t name_piece(char *name, apr_size_t key_len, unsigned number)
{
    name[key_len] = (char)(number >> 8);
    name[key_len + 1] = (char)(number & 0xff);
    return key_len + NUMBER_SIZE;
}

static apr_status_t store_pieces(apipool_dbm_t *dbm, char *name, apr_size_t key_len,
                                 const char *value, apr_size_t len)
{
    apr_status_t rv = APR_SUCCESS;
    for (unsigned number = 0; rv == APR_SUCCESS && number <= len / PIECE; number++) {
        apr_size_t from = (apr_size_t)number * PIECE;
        apr_size_t size = len - from < PIECE ? len - from : PIECE;
        rv = store(dbm, name, name_piece(name, key_len, number), value + from, size);
    }
    return rv;
}

apr_status_t apipool_dbm_put(apipool_dbm_t *dbm, const char *key, apr_size_t key_len,
                             const char *value, apr_size_t len)
{
    char name[APIPOOL_DBM_KEY_MAX + NUMBER_SIZE];
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
    return dbm->in_pieces ? store_pieces(dbm, name, key_len, value, len)
                          : store(dbm, name, key_len, value, len);
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

/* While the cursor goes over the keys, values are fetched elsewhere: in some types fetching moves it. */
typedef struct {
    apr_dbm_t *cursor;
    apr_dbm_t *values;
    const char *type;
    const char *path;
    char *whole; /* room for a value in pieces; NULL when there are none */
    apipool_dbm_each_fn each;
    void *ctx;
    apr_uint64_t records;
    const char *error;
    apr_pool_t *pool;
} reading_t;

static apr_status_t unreadable(reading_t *reading, apr_status_t rv)
{
    reading->error = say(reading->type, reading->path, "read", rv, reading->pool);
    return rv;
}

static apr_status_t fetch(reading_t *reading, apr_datum_t key, apr_datum_t *value)
{
    errno = 0;
    apr_status_t rv = apr_dbm_fetch(reading->values, key, value);
    if (rv != APR_SUCCESS || !value->dptr) {
        return unreadable(reading, cause(rv));
    }
    return APR_SUCCESS;
}

static apr_status_t read_whole(reading_t *reading, apr_datum_t key)
{
    apr_datum_t value;
    apr_status_t rv = fetch(reading, key, &value);
    if (rv == APR_SUCCESS) {
        reading->records++;
        rv = reading->each(reading->ctx, key.dptr, key.dsize, value.dptr, value.dsize);
        apr_dbm_freedatum(reading->values, value);
    }
    return rv;
}

/* All pieces, when the cursor is at the first one. */
static apr_status_t read_pieces(reading_t *reading, apr_datum_t key)
{
    char name[APIPOOL_DBM_KEY_MAX + NUMBER_SIZE];
    apr_datum_t at = {.dptr = name, .dsize = key.dsize}, value;
    apr_size_t len = 0;

    if (key.dsize <= NUMBER_SIZE || key.dsize > sizeof(name)) {
        return unreadable(reading, APR_EGENERAL);
    }
    apr_size_t key_len = key.dsize - NUMBER_SIZE;
    if (key.dptr[key_len] || key.dptr[key_len + 1]) {
        return APR_SUCCESS;
    }
    memcpy(name, key.dptr, key_len);
    do {
        name_piece(name, key_len, (unsigned)(len / PIECE));
        apr_status_t rv = fetch(reading, at, &value);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        if (value.dsize > PIECE || len + value.dsize > APIPOOL_DBM_VALUE_MAX) {
            return unreadable(reading, APR_EGENERAL);
        }
        memcpy(reading->whole + len, value.dptr, value.dsize);
        len += value.dsize;
        apr_dbm_freedatum(reading->values, value);
    } while (value.dsize == PIECE);
    reading->records++;
    return reading->each(reading->ctx, name, key_len, reading->whole, len);
}

/* The end of the keys looks like a failure in some types: whoever knows the number of records sees. */
static apr_status_t read_records(reading_t *reading)
{
    apr_datum_t key, next;
    apr_status_t rv = APR_SUCCESS;

    apr_dbm_firstkey(reading->cursor, &key);
    while (rv == APR_SUCCESS && key.dptr) {
        rv = reading->whole ? read_pieces(reading, key) : read_whole(reading, key);
        next = key;
        if (rv == APR_SUCCESS) {
            apr_dbm_nextkey(reading->cursor, &next);
        }
        apr_dbm_freedatum(reading->cursor, key);
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
    apr_status_t rv = open_database(&reading.cursor, type, path, APR_DBM_READONLY, error, pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    reading.values = reading.cursor;
    if (needs_pieces(type)) {
        reading.whole = apr_palloc(pool, APIPOOL_DBM_VALUE_MAX);
        rv = open_database(&reading.values, type, path, APR_DBM_READONLY, error, pool);
    }
    if (rv == APR_SUCCESS) {
        rv = read_records(&reading);
        *error = reading.error;
        *records = reading.records;
    }
    if (reading.values && reading.values != reading.cursor) {
        apr_dbm_close(reading.values);
    }
    apr_dbm_close(reading.cursor);
    return rv;
}
