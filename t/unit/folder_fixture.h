/* SPDX-License-Identifier: Apache-2.0
 * Store folder for tests: generations that hold their serial number, and messages of load. */
#ifndef APIPOOL_UNIT_FOLDER_FIXTURE_H
#define APIPOOL_UNIT_FOLDER_FIXTURE_H

#include <apr_errno.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <glob.h>

#include "folder.h"
#include "scratch.h"

#define KEYS  APIPOOL_STORE_KEYS
#define STATS APIPOOL_STORE_STATS

static apr_pool_t *pool;
static const char *error;
static unsigned char mac_key[APIPOOL_MAC_KEY_SIZE] = "the secret";
static int reports;
static int *kept_lock; /* for the settings; NULL: the store's own */
static char last_report[1000];

typedef struct {
    apipool_folder_t *folder;
    apr_pool_t *pool;
    int *lock; /* of its own */
} store_t;

typedef struct {
    int count;
    int serial; /* the same in all records */
} content_t;

static inline void on_report(void *ctx, const char *sentence)
{
    assert_ptr_equal(ctx, &reports);
    reports++;
    snprintf(last_report, sizeof(last_report), "%s", sentence);
}

static inline apr_status_t try_open(store_t *store, const char *name, const char *type, uid_t user)
{
    apr_pool_create(&store->pool, pool);
    store->lock = apr_palloc(store->pool, sizeof(*store->lock));
    *store->lock = -1;
    apipool_folder_settings_t settings = {
        .path = apr_pstrdup(store->pool, path_of(name)),
        .dbm = type,
        .owner = {.name = "nobody", .user = user, .group = getegid()},
        .mac_key = mac_key,
        .lock = kept_lock ? kept_lock : store->lock,
        .report = on_report,
        .ctx = &reports};
    return apipool_folder_open(&store->folder, &settings, &error, store->pool);
}

static inline store_t open_store(const char *name, const char *type)
{
    store_t store;
    error = "";
    apr_status_t rv = try_open(&store, name, type, geteuid());
    if (rv != APR_SUCCESS) {
        fail_msg("%s", error);
    }
    return store;
}

static inline void close_store(store_t *store)
{
    if (*store->lock >= 0) {
        close(*store->lock);
    }
    apr_pool_destroy(store->pool);
}

/* Its records hold the serial, and there are as many as it says. */
static inline apr_status_t write_serial(store_t *store, apipool_store_kind_e kind, int serial)
{
    apipool_generation_t *generation;
    apr_pool_t *scratch_pool;
    apr_pool_create(&scratch_pool, store->pool);
    error = NULL;
    apr_status_t rv = apipool_folder_begin(store->folder, kind, &generation, &error, scratch_pool);
    for (int i = 0; rv == APR_SUCCESS && i < serial % 7 + 2; i++) {
        char key[32], value[700];
        memset(value, ' ', sizeof(value));
        snprintf(value, sizeof(value), "%d", serial);
        snprintf(key, sizeof(key), "record-%d", i);
        apipool_generation_put(generation, key, strlen(key), value, sizeof(value));
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_generation_commit(generation, &error);
    }
    assert_true((rv == APR_SUCCESS) == (error == NULL));
    error = error ? apr_pstrdup(pool, error) : NULL;
    apr_pool_destroy(scratch_pool);
    return rv;
}

static inline apr_status_t read_record(void *ctx, const char *key, apr_size_t key_len,
                                       const char *value, apr_size_t len)
{
    content_t *content = ctx;
    int serial = atoi(value);
    assert_int_equal(len, 700);
    assert_true(content->count == 0 || serial == content->serial);
    content->serial = serial;
    content->count++;
    return APR_SUCCESS;
}

/* Serial of the loaded generation; 0: none. Counts reports from 0. */
static inline int load_serial(store_t *store, apipool_store_kind_e kind)
{
    content_t content = {0};
    apr_uint64_t loaded;
    reports = 0;
    apr_status_t rv =
        apipool_folder_load(store->folder, kind, read_record, &content, &loaded, &error, pool);
    if (rv != APR_SUCCESS) {
        fail_msg("%s", error);
    }
    assert_null(error);
    assert_true((loaded == 0) == (content.count == 0));
    assert_int_equal(content.count, loaded ? content.serial % 7 + 2 : 0);
    return content.serial;
}

/* Loading fails, returns no record, and reports these words. */
static inline void load_fails(store_t *store, apipool_store_kind_e kind, const char *words)
{
    content_t content = {0};
    apr_uint64_t loaded = 1;
    reports = 0;
    assert_int_equal(
        apipool_folder_load(store->folder, kind, read_record, &content, &loaded, &error, pool),
        APR_EGENERAL);
    assert_int_equal(loaded, 0);
    assert_int_equal(content.count, 0);
    assert_non_null(strstr(error, words));
    assert_non_null(strstr(error, "no pool starts empty"));
    assert_non_null(strstr(error, "mv /"));
}

/* Path of a file in a store. The names of database files have a random part behind the first 11
 * bytes; they are found without it, as "name/keys-000002.pag". If there is none: like path_of(). */
static inline const char *stored(const char *name)
{
    const char *file = strrchr(name, '/') + 1, *end = strchr(file, '.');
    apr_size_t len = end ? (apr_size_t)(end - file) : strlen(file);
    glob_t found;
    const char *path = path_of(name);
    char *pattern = apr_psprintf(pool, "%s/%.*s-????????????????%s", scratch,
                                 (int)(file - name + (long)len), name, end ? end : "");
    if (glob(pattern, 0, NULL, &found) == 0) {
        path = apr_pstrdup(pool, found.gl_pathv[0]);
        globfree(&found);
    }
    return path;
}

static inline int exists(const char *name)
{
    struct stat info;
    return lstat(strchr(name, '/') ? stored(name) : path_of(name), &info) == 0;
}

#endif
