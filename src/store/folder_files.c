/* SPDX-License-Identifier: Apache-2.0
 * Files of the store's folder: names, generations, CURRENT. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "folder_parts.h"

#define CURRENT_NAME "CURRENT"

const char *apipool_folder_file(const apipool_folder_t *folder, const char *name, apr_pool_t *pool)
{
    return apr_pstrcat(pool, folder->settings.path, "/", name, NULL);
}

const char *apipool_folder_name(apipool_store_kind_e kind, apr_uint64_t number, apr_pool_t *pool)
{
    return apr_psprintf(pool, "%s-%06" APR_UINT64_T_FMT, apipool_store_kind_name(kind), number);
}

/* Skips the random part of a name, which files of earlier versions lack. */
static const char *after_random(const char *name)
{
    apr_size_t digits = *name == '-' ? strspn(name + 1, "0123456789abcdef") : 0;
    return digits == APIPOOL_DISK_RANDOM_SIZE - 1 ? name + 1 + digits : name;
}

/* Returns 1 if a file belongs to a generation, and sets which one. */
static int is_of_generation(const char *name, apipool_folder_file_t *file)
{
    char *end;
    file->kind = *name == 'k' ? APIPOOL_STORE_KEYS : APIPOOL_STORE_STATS;
    const char *kind = apipool_store_kind_name(file->kind);
    apr_size_t len = strlen(kind);
    if (strncmp(name, kind, len) || name[len] != '-' || !apr_isdigit(name[len + 1])) {
        return 0;
    }
    errno = 0;
    file->number = strtoull(name + len + 1, &end, 10);
    const char *suffix = after_random(end);
    file->is_seal = strcmp(suffix, ".seal") == 0;
    return !errno && file->number && file->number <= APR_INT64_MAX && (!*suffix || *suffix == '.');
}

static int newer_first(const void *a, const void *b)
{
    const apipool_folder_file_t *x = a, *y = b;
    return x->number != y->number ? (x->number < y->number) - (x->number > y->number)
                                  : y->is_seal - x->is_seal;
}

static apr_status_t list_files(const apipool_folder_t *folder, apr_array_header_t *files,
                               apr_pool_t *pool)
{
    apipool_folder_file_t found;
    struct dirent *entry;
    int file = openat(folder->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = file < 0 ? NULL : fdopendir(file);
    if (!dir) {
        apr_status_t rv = apipool_disk_errno();
        if (file >= 0) {
            close(file);
        }
        return rv;
    }
    for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
        if (is_of_generation(entry->d_name, &found)) {
            found.name = apr_pstrdup(pool, entry->d_name);
            APR_ARRAY_PUSH(files, apipool_folder_file_t) = found;
        }
    }
    apr_status_t rv = errno ? apipool_disk_errno() : APR_SUCCESS;
    closedir(dir);
    qsort(files->elts, (size_t)files->nelts, sizeof(found), newer_first);
    return rv;
}

static apr_status_t read_current(const apipool_folder_t *folder, apipool_current_t *current)
{
    char text[APIPOOL_SEAL_MAX];
    apr_size_t len;
    apr_status_t rv = apipool_disk_read(folder->dir, CURRENT_NAME, text, sizeof(text), &len);

    memset(current, 0, sizeof(*current));
    if (rv == APR_SUCCESS && !apipool_current_parse(current, text, len)) {
        rv = APR_EINVAL;
    }
    return rv == APR_EBADF || rv == APR_FROM_OS_ERROR(EIO) ? APR_EINVAL : rv;
}

void apipool_folder_look(const apipool_folder_t *folder, apipool_folder_contents_t *contents,
                         apr_pool_t *pool)
{
    contents->had = read_current(folder, &contents->current);
    contents->files = apr_array_make(pool, 8, sizeof(apipool_folder_file_t));
    contents->listed = list_files(folder, contents->files, pool);
}

apr_uint64_t apipool_folder_below(const apipool_folder_contents_t *contents,
                                  apipool_store_kind_e kind, apr_uint64_t number, int sealed)
{
    for (int i = 0; i < contents->files->nelts; i++) {
        const apipool_folder_file_t *file =
            &APR_ARRAY_IDX(contents->files, i, apipool_folder_file_t);
        if (file->kind == kind && file->number < number && file->is_seal >= sealed) {
            return file->number;
        }
    }
    return 0;
}

void apipool_folder_remove(const apipool_folder_t *folder,
                           const apipool_folder_contents_t *contents, apipool_store_kind_e kind,
                           apr_uint64_t number)
{
    for (int i = 0; i < contents->files->nelts; i++) {
        const apipool_folder_file_t *file =
            &APR_ARRAY_IDX(contents->files, i, apipool_folder_file_t);
        if (file->kind == kind && file->number == number) {
            unlinkat(folder->dir, file->name, 0);
        }
    }
}

apr_status_t apipool_folder_swap(const apipool_folder_t *folder, const apipool_current_t *current,
                                 const char *stem, apr_pool_t *pool)
{
    char text[APIPOOL_SEAL_MAX];
    apr_size_t len = apipool_current_format(current, text);
    return len ? apipool_disk_write(folder->dir, CURRENT_NAME, stem, text, len, pool) : APR_ENOMEM;
}
