/* SPDX-License-Identifier: Apache-2.0
 * Writes the store: the next generation of a kind, which becomes the current one when it is on disk. */
#include <apr_strings.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "folder_parts.h"
#include "pace.h"

struct apipool_generation_t {
    apipool_folder_t *folder;
    apipool_store_kind_e kind;
    apr_uint64_t number;
    const char *name; /* "keys-000012" */
    const char *path; /* of the database */
    apipool_dbm_t *dbm;
    apr_uint64_t records;
    apipool_seal_t seal;
    const char *error;
    int ended;
    pid_t writer; /* a child that is forked meanwhile must leave the files alone */
    apr_pool_t *pool;
};

static apr_status_t refuse(apipool_generation_t *generation, apr_status_t rv, const char *name,
                           const char *doing)
{
    char why[120];
    generation->error = apr_psprintf(generation->pool, "store %s: %s cannot be %s: %s",
                                     generation->folder->settings.path, name, doing,
                                     apr_strerror(rv, why, sizeof(why)));
    return rv;
}

/* Databases of writers that were killed take up room, and are of no use to anyone. */
static void remove_unsealed(const apipool_generation_t *generation, apr_array_header_t *listed,
                            apr_uint64_t named)
{
    for (int i = 0; i < listed->nelts; i++) {
        const apipool_listed_t *one = &APR_ARRAY_IDX(listed, i, apipool_listed_t);
        if (!one->sealed && one->number != named) {
            apipool_folder_remove(generation->folder, generation->kind, one->number,
                                  generation->pool);
        }
    }
}

/* One more than any that there are files of, or that CURRENT names. */
static apr_status_t choose_number(apipool_generation_t *generation)
{
    apipool_current_t current;
    apr_array_header_t *listed;
    apr_status_t rv =
        apipool_folder_list(generation->folder, generation->kind, &listed, generation->pool);
    if (rv != APR_SUCCESS) {
        return refuse(generation, rv, "the folder", "read");
    }
    rv = apipool_folder_current(generation->folder, &current, generation->pool);
    apr_uint64_t named = current.generations[generation->kind];
    apr_uint64_t newest = listed->nelts ? APR_ARRAY_IDX(listed, 0, apipool_listed_t).number : 0;
    generation->number = (newest > named ? newest : named) + 1;
    if (rv == APR_SUCCESS) {
        remove_unsealed(generation, listed, named);
    }
    return APR_SUCCESS;
}

/* Nobody can have put anything in the way of a name that cannot be guessed. */
static apr_status_t choose_name(apipool_generation_t *generation)
{
    char random[APIPOOL_DISK_RANDOM_SIZE];
    generation->name = apipool_folder_name(generation->kind, generation->number, generation->pool);
    if (!apipool_disk_random(random)) {
        return refuse(generation, APR_EGENERAL, generation->name, "named");
    }
    generation->path = apipool_folder_file(
        generation->folder, apr_pstrcat(generation->pool, generation->name, "-", random, NULL),
        generation->pool);
    return APR_SUCCESS;
}

/* What is there of it goes, but not from under the one who writes. */
static void discard(apipool_generation_t *generation)
{
    generation->ended = 1;
    if (generation->dbm) {
        apipool_dbm_abandon(generation->dbm);
    }
    if (generation->writer == getpid()) {
        apipool_folder_remove(generation->folder, generation->kind, generation->number,
                              generation->pool);
    }
}

static apr_status_t abort_left(void *data)
{
    apipool_generation_abort(data);
    return APR_SUCCESS;
}

apr_status_t apipool_folder_begin(apipool_folder_t *folder, apipool_store_kind_e kind,
                                  apipool_generation_t **generation, const char **error,
                                  apr_pool_t *pool)
{
    apipool_generation_t *made = apr_pcalloc(pool, sizeof(*made));
    made->folder = folder;
    made->kind = kind;
    made->writer = getpid();
    made->pool = pool;
    apr_status_t rv = choose_number(made);
    if (rv == APR_SUCCESS) {
        rv = choose_name(made);
    }
    if (rv == APR_SUCCESS) {
        rv = apipool_dbm_begin(&made->dbm, folder->settings.dbm, made->path, &made->error, pool);
        if (rv != APR_SUCCESS) {
            discard(made);
        }
    }
    *error = made->error;
    if (rv == APR_SUCCESS) {
        apr_pool_cleanup_register(pool, made, abort_left, apr_pool_cleanup_null);
        *generation = made;
    }
    return rv;
}

apr_status_t apipool_generation_put(apipool_generation_t *generation, const char *key,
                                    apr_size_t key_len, const char *value, apr_size_t len)
{
    generation->records++;
    return apipool_dbm_put(generation->dbm, key, key_len, value, len);
}

static apr_status_t accept_record(void *ctx, const char *key, apr_size_t key_len, const char *value,
                                  apr_size_t len)
{
    apipool_pace();
    return APR_SUCCESS;
}

/* Closing a database tells no error, and what is sealed must be readable: so it is read. */
static apr_status_t read_back(apipool_generation_t *generation)
{
    apr_uint64_t records;
    apr_pool_t *scratch;
    apr_pool_create(&scratch, generation->pool);
    apr_status_t rv = apipool_dbm_read(generation->folder->settings.dbm, generation->path,
                                       accept_record, NULL, &records, &generation->error, scratch);
    generation->error = generation->error ? apr_pstrdup(generation->pool, generation->error) : NULL;
    apr_pool_destroy(scratch);
    if (rv == APR_SUCCESS && records != generation->records) {
        generation->error = apr_psprintf(generation->pool,
                                         "%s has %" APR_UINT64_T_FMT " records instead of the "
                                         "%" APR_UINT64_T_FMT " that were put in",
                                         generation->path, records, generation->records);
        rv = APR_EGENERAL;
    }
    return rv;
}

static apr_status_t describe_file(apipool_generation_t *generation, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    apipool_seal_file_t *file = &generation->seal.files[generation->seal.nfiles++];

    apr_cpystrn(file->name, name, sizeof(file->name));
    apr_status_t rv = apipool_disk_digest(generation->folder->dir, name, file->sha256, &file->size);
    return rv == APR_SUCCESS ? rv : refuse(generation, rv, name, "sealed");
}

static apr_status_t describe(apipool_generation_t *generation)
{
    const char *files[APIPOOL_DBM_FILES];
    const char *type = generation->folder->settings.dbm;
    int count = apipool_dbm_files(type, generation->path, files, generation->pool);
    apipool_seal_t *seal = &generation->seal;
    apr_status_t rv = APR_SUCCESS;

    seal->kind = generation->kind;
    seal->generation = generation->number;
    seal->records = generation->records;
    apr_cpystrn(seal->dbm, type, sizeof(seal->dbm));
    for (int i = 0; rv == APR_SUCCESS && i < count; i++) {
        rv = describe_file(generation, files[i]);
    }
    return rv;
}

static apr_status_t write_seal(apipool_generation_t *generation)
{
    char text[APIPOOL_SEAL_MAX];
    const apipool_folder_t *folder = generation->folder;
    const char *name = apr_pstrcat(generation->pool, generation->name, ".seal", NULL);
    apr_size_t len = apipool_seal_format(&generation->seal, folder->settings.mac_key, text);
    apr_status_t rv =
        len ? apipool_disk_write(folder->dir, name, name, text, len, generation->pool) : APR_ENOMEM;
    if (rv == APR_SUCCESS) {
        rv = apipool_disk_sync(folder->dir, ".");
    }
    return rv == APR_SUCCESS ? rv : refuse(generation, rv, "the seal", "written");
}

/* Of the generations before, the one stays that was good when it was last looked at. */
static void remove_older(const apipool_generation_t *generation, apr_uint64_t named)
{
    const apipool_folder_t *folder = generation->folder;
    apr_array_header_t *listed;
    apr_uint64_t keep =
        named == folder->named[generation->kind] ? folder->loaded[generation->kind] : named;

    if (apipool_folder_list(folder, generation->kind, &listed, generation->pool) != APR_SUCCESS) {
        return;
    }
    for (int i = 0; i < listed->nelts; i++) {
        apr_uint64_t number = APR_ARRAY_IDX(listed, i, apipool_listed_t).number;
        if (number != generation->number && number != keep) {
            apipool_folder_remove(folder, generation->kind, number, generation->pool);
        }
    }
}

/* Where CURRENT is not whole: the newest of each kind that was finished, so that nothing acknowledged is
 * lost. */
static apr_status_t guess_current(const apipool_generation_t *generation,
                                  apipool_current_t *current)
{
    for (int kind = 0; kind < APIPOOL_STORE_KINDS; kind++) {
        apr_array_header_t *listed;
        apr_status_t rv = apipool_folder_list(generation->folder, (apipool_store_kind_e)kind,
                                              &listed, generation->pool);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        for (int i = listed->nelts - 1; i >= 0; i--) {
            const apipool_listed_t *one = &APR_ARRAY_IDX(listed, i, apipool_listed_t);
            current->generations[kind] = one->sealed ? one->number : current->generations[kind];
        }
    }
    return APR_SUCCESS;
}

/* When CURRENT is swapped, but not known to be on disk, the one before is put back. Where it was not whole,
 * nothing older is removed, for what is good is not known. */
static apr_status_t make_current(apipool_generation_t *generation)
{
    apipool_current_t before, current;
    const apipool_folder_t *folder = generation->folder;
    apr_status_t had = apipool_folder_current(folder, &before, generation->pool);
    apr_status_t rv =
        had == APR_ENOENT || had == APR_EINVAL ? guess_current(generation, &before) : had;
    if (rv != APR_SUCCESS) {
        return refuse(generation, rv, "CURRENT", "read");
    }
    current = before;
    current.generations[generation->kind] = generation->number;
    rv = apipool_folder_swap(folder, &current, generation->name, generation->pool);
    if (rv == APR_SUCCESS && had == APR_SUCCESS) {
        remove_older(generation, before.generations[generation->kind]);
    }
    else if (rv != APR_SUCCESS && had == APR_SUCCESS) {
        apipool_folder_swap(folder, &before, generation->name, generation->pool);
    }
    return rv == APR_SUCCESS ? rv : refuse(generation, rv, "CURRENT", "written");
}

static apr_status_t commit(apipool_generation_t *generation)
{
    apr_status_t rv = apipool_dbm_finish(generation->dbm, &generation->error);
    if (rv == APR_SUCCESS) {
        rv = read_back(generation);
    }
    if (rv == APR_SUCCESS) {
        rv = describe(generation);
    }
    if (rv == APR_SUCCESS) {
        rv = write_seal(generation);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return make_current(generation);
}

apr_status_t apipool_generation_commit(apipool_generation_t *generation, const char **error)
{
    apr_status_t rv = commit(generation);
    generation->ended = 1;
    if (rv != APR_SUCCESS) {
        discard(generation);
    }
    *error = generation->error;
    return rv;
}

apr_uint64_t apipool_generation_number(const apipool_generation_t *generation)
{
    return generation->number;
}

void apipool_generation_abort(apipool_generation_t *generation)
{
    if (!generation->ended) {
        discard(generation);
    }
}
