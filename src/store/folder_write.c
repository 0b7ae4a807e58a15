/* SPDX-License-Identifier: Apache-2.0
 * Writing the store: the next generation of a kind, which becomes current once it is on disk. */
#include <apr_strings.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "folder_parts.h"

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
    pid_t writer; /* children forked meanwhile must leave the files alone */
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

/* Takes the next number after all files and CURRENT. Removes databases of killed writers, which
 * only take up space. */
static apr_status_t choose_number(apipool_generation_t *generation)
{
    apipool_store_kind_e kind = generation->kind;
    apipool_folder_contents_t contents;
    apipool_folder_look(generation->folder, &contents, generation->pool);
    if (contents.listed != APR_SUCCESS) {
        return refuse(generation, contents.listed, "the folder", "read");
    }
    apr_uint64_t named = contents.current.generations[kind];
    apr_uint64_t newest = apipool_folder_below(&contents, kind, APR_UINT64_MAX, 0);
    generation->number = (newest > named ? newest : named) + 1;
    for (apr_uint64_t number = newest; number && contents.had == APR_SUCCESS;
         number = apipool_folder_below(&contents, kind, number, 0)) {
        if (number != named && apipool_folder_below(&contents, kind, number + 1, 1) != number) {
            apipool_folder_remove(generation->folder, &contents, kind, number);
        }
    }
    return APR_SUCCESS;
}

/* Uses a name that cannot be guessed, so that nothing can be placed in its way. */
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

/* Removes the files of the generation, unless another process is writing it. */
static void discard(apipool_generation_t *generation)
{
    generation->ended = 1;
    if (generation->dbm) {
        apipool_dbm_abandon(generation->dbm);
    }
    if (generation->writer == getpid()) {
        apipool_folder_contents_t contents;
        apipool_folder_look(generation->folder, &contents, generation->pool);
        apipool_folder_remove(generation->folder, &contents, generation->kind, generation->number);
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

/* Reads the database back, as closing it reports no errors and only a readable one may be
 * sealed. */
static apr_status_t read_back(apipool_generation_t *generation)
{
    apr_uint64_t records;
    apr_status_t rv = apipool_dbm_read(generation->folder->settings.dbm, generation->path, NULL,
                                       NULL, &records, &generation->error, generation->pool);
    if (rv == APR_SUCCESS && records != generation->records) {
        generation->error = apr_psprintf(generation->pool,
                                         "%s has %" APR_UINT64_T_FMT " records instead of the "
                                         "%" APR_UINT64_T_FMT " that were put in",
                                         generation->path, records, generation->records);
        rv = APR_EGENERAL;
    }
    return rv;
}

static apr_status_t describe(apipool_generation_t *generation)
{
    const char *paths[APIPOOL_DBM_FILES];
    const char *type = generation->folder->settings.dbm;
    int count = apipool_dbm_files(type, generation->path, paths, generation->pool);
    apipool_seal_t *seal = &generation->seal;

    seal->kind = generation->kind;
    seal->generation = generation->number;
    seal->records = generation->records;
    apr_cpystrn(seal->dbm, type, sizeof(seal->dbm));
    while (seal->nfiles < count) {
        const char *path = paths[seal->nfiles], *slash = strrchr(path, '/');
        apipool_seal_file_t *file = &seal->files[seal->nfiles++];
        apr_cpystrn(file->name, slash ? slash + 1 : path, sizeof(file->name));
        apr_status_t rv =
            apipool_disk_digest(generation->folder->dir, file->name, file->sha256, &file->size);
        if (rv != APR_SUCCESS) {
            return refuse(generation, rv, file->name, "sealed");
        }
    }
    return APR_SUCCESS;
}

static apr_status_t write_seal(apipool_generation_t *generation)
{
    char text[APIPOOL_SEAL_MAX];
    const apipool_folder_t *folder = generation->folder;
    const char *name = apr_pstrcat(generation->pool, generation->name, ".seal", NULL);
    apr_size_t len = apipool_seal_format(&generation->seal, folder->settings.mac_key, text);
    apr_status_t rv =
        len ? apipool_disk_write(folder->dir, name, name, text, len, generation->pool) : APR_ENOMEM;
    return rv == APR_SUCCESS ? rv : refuse(generation, rv, "the seal", "written");
}

/* Keeps the previous generation that was intact when it was last checked. */
static void remove_older(const apipool_generation_t *generation,
                         const apipool_folder_contents_t *contents)
{
    const apipool_folder_t *folder = generation->folder;
    apipool_store_kind_e kind = generation->kind;
    apr_uint64_t number = APR_UINT64_MAX, keep = contents->current.generations[kind];
    keep = keep == folder->named[kind] ? folder->loaded[kind] : keep;
    while ((number = apipool_folder_below(contents, kind, number, 0)) != 0) {
        if (number != generation->number && number != keep) {
            apipool_folder_remove(folder, contents, kind, number);
        }
    }
}

/* If CURRENT is damaged, it is set to the newest finished generation of each kind, so that
 * nothing acknowledged is lost, and nothing older is removed, as it is unknown which one is
 * intact. If the new CURRENT is not known to be on disk, the old one is restored. */
static apr_status_t make_current(apipool_generation_t *generation)
{
    const apipool_folder_t *folder = generation->folder;
    apipool_folder_contents_t contents;
    apipool_folder_look(folder, &contents, generation->pool);
    apipool_current_t current = contents.current;
    int is_lost = contents.had == APR_ENOENT || contents.had == APR_EINVAL;
    apr_status_t rv = is_lost ? contents.listed : contents.had;
    if (rv != APR_SUCCESS) {
        return refuse(generation, rv, "CURRENT", "read");
    }
    for (int kind = 0; is_lost && kind < APIPOOL_STORE_KINDS; kind++) {
        current.generations[kind] =
            apipool_folder_below(&contents, (apipool_store_kind_e)kind, APR_UINT64_MAX, 1);
    }
    current.generations[generation->kind] = generation->number;
    rv = apipool_folder_swap(folder, &current, generation->name, generation->pool);
    if (rv == APR_SUCCESS && !is_lost) {
        remove_older(generation, &contents);
    }
    else if (rv != APR_SUCCESS && !is_lost) {
        apipool_folder_swap(folder, &contents.current, generation->name, generation->pool);
    }
    return rv == APR_SUCCESS ? rv : refuse(generation, rv, "CURRENT", "written");
}

static apr_status_t finish(apipool_generation_t *generation)
{
    return apipool_dbm_finish(generation->dbm, &generation->error);
}

apr_status_t apipool_generation_commit(apipool_generation_t *generation, const char **error)
{
    apr_status_t (*const steps[])(apipool_generation_t *) = {finish, read_back, describe,
                                                             write_seal, make_current};
    apr_status_t rv = APR_SUCCESS;
    for (apr_size_t i = 0; rv == APR_SUCCESS && i < sizeof(steps) / sizeof(*steps); i++) {
        rv = steps[i](generation);
    }
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
