/* SPDX-License-Identifier: Apache-2.0
 * Loading the store: the current generation of a kind, or the last intact one. */
#include <apr_strings.h>
#include <errno.h>
#include <string.h>

#include "disk.h"
#include "folder_parts.h"

typedef struct {
    apipool_folder_t *folder;
    apipool_store_kind_e kind;
    apipool_folder_contents_t contents;
    apr_uint64_t named;  /* by CURRENT; 0: none, or CURRENT is damaged */
    const char *current; /* problem of CURRENT; NULL: none */
    const char *first;   /* problem of the first generation that was checked */
    apipool_seal_t seal; /* of the intact one */
    const char *error;
    apr_pool_t *pool;
} search_t;

/* Returns 1 if a file is damaged or missing. Other errors, such as too many open files, may
 * pass, and must not lead to an older generation. */
static int is_damage(apr_status_t rv)
{
    return rv == APR_ENOENT || rv == APR_EBADF || rv == APR_EINVAL || rv == APR_FROM_OS_ERROR(EIO);
}

static void report(const search_t *search, const char *sentence)
{
    const apipool_folder_settings_t *settings = &search->folder->settings;
    settings->report(settings->ctx,
                     apr_pstrcat(search->pool, "store ", settings->path, ": ", sentence, NULL));
}

static apr_status_t cannot_look(search_t *search, const char *name, apr_status_t rv)
{
    char why[120];
    search->error = apr_psprintf(search->pool, "%s cannot be read: %s",
                                 apipool_folder_file(search->folder, name, search->pool),
                                 apr_strerror(rv, why, sizeof(why)));
    return rv;
}

/* Checks a seal; *why is NULL if it is good. */
static apr_status_t check_seal(search_t *search, apr_uint64_t number, const char **why)
{
    char text[APIPOOL_SEAL_MAX];
    apr_size_t len;
    apipool_seal_t *seal = &search->seal;
    const char *name = apr_pstrcat(
        search->pool, apipool_folder_name(search->kind, number, search->pool), ".seal", NULL);
    apr_status_t rv = apipool_disk_read(search->folder->dir, name, text, sizeof(text), &len);

    if (rv != APR_SUCCESS && !is_damage(rv)) {
        return cannot_look(search, name, rv);
    }
    if (rv != APR_SUCCESS) {
        *why = rv == APR_ENOENT ? "it has no seal" : "its seal cannot be read";
        return APR_SUCCESS;
    }
    const apipool_folder_t *folder = search->folder;
    apipool_seal_e found = apipool_seal_parse(seal, folder->settings.mac_key, text, len);
    if (found == APIPOOL_SEAL_FOREIGN && folder->other_mac_key) {
        found = apipool_seal_parse(seal, folder->other_mac_key, text, len);
    }
    *why = found == APIPOOL_SEAL_DAMAGED   ? "its seal is damaged, or of another version"
           : found == APIPOOL_SEAL_FOREIGN ? "it was sealed with another secret"
           : seal->kind != search->kind || seal->generation != number
               ? "its seal is that of another generation"
               : NULL;
    return APR_SUCCESS;
}

static apr_status_t check_file(search_t *search, const apipool_seal_file_t *file, const char **why)
{
    unsigned char sha256[APIPOOL_SHA256_SIZE];
    apr_uint64_t size;
    apr_status_t rv = apipool_disk_digest(search->folder->dir, file->name, sha256, &size);

    if (rv != APR_SUCCESS && !is_damage(rv)) {
        return cannot_look(search, file->name, rv);
    }
    if (rv != APR_SUCCESS) {
        *why = apr_psprintf(search->pool, "%s %s", file->name,
                            rv == APR_ENOENT ? "is missing" : "cannot be read");
    }
    else if (size != file->size || memcmp(sha256, file->sha256, sizeof(sha256))) {
        *why = apr_psprintf(search->pool, "%s is not as it was sealed", file->name);
    }
    return APR_SUCCESS;
}

/* Searches downwards for an intact generation: *found is its number, and the seal is its own.
 * Stops at above, and skips generations without a seal if sealed is set. */
static apr_status_t look_down(search_t *search, apr_uint64_t number, apr_uint64_t above, int sealed,
                              apr_uint64_t *found)
{
    apr_status_t rv = APR_SUCCESS;
    for (; rv == APR_SUCCESS && !*found && number > above;
         number = apipool_folder_below(&search->contents, search->kind, number, sealed)) {
        const char *why = NULL;
        rv = check_seal(search, number, &why);
        for (int i = 0; rv == APR_SUCCESS && !why && i < search->seal.nfiles; i++) {
            rv = check_file(search, &search->seal.files[i], &why);
        }
        if (why) {
            why = apr_psprintf(search->pool, "generation %s cannot be used: %s",
                               apipool_folder_name(search->kind, number, search->pool), why);
            search->first = search->first ? search->first : why;
            report(search, why);
        }
        *found = rv == APR_SUCCESS && !why ? number : 0;
    }
    return rv;
}

/* A newer generation without a seal was left by a killed writer and is no damage. */
static apr_status_t find_whole(search_t *search, apr_uint64_t *found)
{
    apr_status_t rv = look_down(search, search->named, 0, 0, found);
    if (rv == APR_SUCCESS) {
        rv = look_down(search,
                       apipool_folder_below(&search->contents, search->kind, APR_UINT64_MAX, 1),
                       search->named, 1, found);
    }
    if (*found && search->first) {
        report(search, apr_psprintf(search->pool, "generation %s is used instead",
                                    apipool_folder_name(search->kind, *found, search->pool)));
    }
    return rv;
}

static apr_status_t none_whole(search_t *search)
{
    const char *path = search->folder->settings.path, *mark = search->folder->settings.mark;
    search->error = apr_psprintf(
        search->pool,
        "store %s has no whole generation of %s (%s%s%s), and no pool "
        "starts empty "
        "over existing data; put back the files, or the secret they were "
        "sealed with, from a backup, "
        "or begin anew: mv %s %s.broken%s%s",
        path, apipool_store_kind_name(search->kind), search->current ? search->current : "",
        search->current && search->first ? ", " : "", search->first ? search->first : "", path,
        path, mark ? " && rm -f " : "", mark ? mark : "");
    return APR_EGENERAL;
}

/* The name of the database is that of its files up to the first '.'. */
static apr_status_t read_generation(search_t *search, apipool_dbm_each_fn each, void *ctx)
{
    apr_uint64_t records;
    const char *file = search->seal.files[0].name;
    const char *name = apr_pstrmemdup(search->pool, file, strcspn(file, "."));
    const char *path = apipool_folder_file(search->folder, name, search->pool);
    const char *type;
    apr_status_t rv = apipool_dbm_choose(search->seal.dbm, &type, &search->error, search->pool);
    if (rv != APR_SUCCESS) {
        search->error = apr_psprintf(search->pool,
                                     "%s cannot be read: %s (if an earlier version wrote it, start "
                                     "that one with dbm=gdbm and change a key)",
                                     path, search->error);
        return rv;
    }
    rv = apipool_dbm_read(type, path, each, ctx, &records, &search->error, search->pool);
    if (rv == APR_SUCCESS && records != search->seal.records) {
        search->error = apr_psprintf(
            search->pool, "%s gave %" APR_UINT64_T_FMT " of its %" APR_UINT64_T_FMT " records",
            path, records, search->seal.records);
        rv = APR_EGENERAL;
    }
    return rv;
}

/* Sets *is_empty if nothing was ever saved. */
static apr_status_t look_around(search_t *search, int *is_empty)
{
    const apipool_folder_contents_t *contents = &search->contents;
    apipool_folder_look(search->folder, &search->contents, search->pool);
    search->named = contents->current.generations[search->kind];
    if (contents->had == APR_ENOENT || contents->had == APR_EINVAL) {
        search->current = contents->had == APR_ENOENT ? "CURRENT is missing" : "CURRENT is damaged";
        report(search, apr_psprintf(search->pool, "%s; looking for the newest %s", search->current,
                                    apipool_store_kind_name(search->kind)));
    }
    else if (contents->had != APR_SUCCESS) {
        return cannot_look(search, "CURRENT", contents->had);
    }
    if (contents->listed != APR_SUCCESS) {
        return cannot_look(search, "", contents->listed);
    }
    *is_empty = !search->named &&
                !apipool_folder_below(contents, search->kind, APR_UINT64_MAX, !search->current);
    return APR_SUCCESS;
}

static apr_status_t load(search_t *search, apipool_dbm_each_fn each, void *ctx,
                         apr_uint64_t *loaded)
{
    apr_uint64_t found = 0;
    int is_empty = 0;
    apr_status_t rv = look_around(search, &is_empty);
    if (rv != APR_SUCCESS || is_empty) {
        return rv;
    }
    rv = find_whole(search, &found);
    if (rv == APR_SUCCESS) {
        rv = found ? read_generation(search, each, ctx) : none_whole(search);
    }
    if (rv == APR_SUCCESS) {
        search->folder->loaded[search->kind] = *loaded = found;
        search->folder->named[search->kind] = search->named;
    }
    return rv;
}

apr_status_t apipool_folder_load(apipool_folder_t *folder, apipool_store_kind_e kind,
                                 apipool_dbm_each_fn each, void *ctx, apr_uint64_t *loaded,
                                 const char **error, apr_pool_t *pool)
{
    search_t search = {.folder = folder, .kind = kind};
    apipool_rights_t rights;
    apr_pool_create(&search.pool, pool);
    *loaded = 0;
    apr_status_t rv = apipool_rights_drop(&folder->settings.owner, &rights, search.pool);
    if (rv == APR_SUCCESS) {
        rv = load(&search, each, ctx, loaded);
        apipool_rights_restore(&rights);
    }
    *error = search.error ? apr_pstrdup(pool, search.error) : NULL;
    apr_pool_destroy(search.pool);
    return rv;
}
