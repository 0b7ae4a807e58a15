/* SPDX-License-Identifier: Apache-2.0
 * The files of the store's folder: their names, which generations there are, which one is current. */
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

/* The part of a name that cannot be guessed, if there is one: earlier versions had none. */
static const char *after_random(const char *name)
{
    apr_size_t digits = *name == '-' ? strspn(name + 1, "0123456789abcdef") : 0;
    return digits == APIPOOL_DISK_RANDOM_SIZE - 1 ? name + 1 + digits : name;
}

/* Which generation of a kind a file is of, and what its name ends in; 0: none. */
static apr_uint64_t generation_of(const char *name, apipool_store_kind_e kind, const char **suffix)
{
    const char *kind_name = apipool_store_kind_name(kind);
    apr_size_t len = strlen(kind_name);
    char *end;
    if (strncmp(name, kind_name, len) || name[len] != '-' || name[len + 1] < '0' ||
        name[len + 1] > '9') {
        return 0;
    }
    errno = 0;
    unsigned long long number = strtoull(name + len + 1, &end, 10);
    *suffix = after_random(end);
    return errno || number > APR_INT64_MAX || (**suffix && **suffix != '.') ? 0 : number;
}

typedef void (*visit_fn)(void *ctx, const char *name, apr_uint64_t number, const char *suffix);

static apr_status_t visit_files(const apipool_folder_t *folder, apipool_store_kind_e kind,
                                visit_fn visit, void *ctx)
{
    int file = openat(folder->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = file < 0 ? NULL : fdopendir(file);
    struct dirent *entry;
    if (!dir) {
        apr_status_t rv = apipool_disk_errno();
        if (file >= 0) {
            close(file);
        }
        return rv;
    }
    for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
        const char *suffix;
        apr_uint64_t number = generation_of(entry->d_name, kind, &suffix);
        if (number) {
            visit(ctx, entry->d_name, number, suffix);
        }
    }
    apr_status_t rv = errno ? apipool_disk_errno() : APR_SUCCESS;
    closedir(dir);
    return rv;
}

static void list_file(void *ctx, const char *name, apr_uint64_t number, const char *suffix)
{
    apr_array_header_t *listed = ctx;
    int i = 0;
    while (i < listed->nelts && APR_ARRAY_IDX(listed, i, apipool_listed_t).number != number) {
        i++;
    }
    if (i == listed->nelts) {
        APR_ARRAY_PUSH(listed, apipool_listed_t) = (apipool_listed_t){.number = number};
    }
    APR_ARRAY_IDX(listed, i, apipool_listed_t).sealed |= strcmp(suffix, ".seal") == 0;
}

static int newer_first(const void *a, const void *b)
{
    const apipool_listed_t *x = a, *y = b;
    return (x->number < y->number) - (x->number > y->number);
}

apr_status_t apipool_folder_list(const apipool_folder_t *folder, apipool_store_kind_e kind,
                                 apr_array_header_t **listed, apr_pool_t *pool)
{
    *listed = apr_array_make(pool, 4, sizeof(apipool_listed_t));
    apr_status_t rv = visit_files(folder, kind, list_file, *listed);
    qsort((*listed)->elts, (size_t)(*listed)->nelts, sizeof(apipool_listed_t), newer_first);
    return rv;
}

int apipool_folder_any_sealed(const apr_array_header_t *listed)
{
    int i = 0;
    while (i < listed->nelts && !APR_ARRAY_IDX(listed, i, apipool_listed_t).sealed) {
        i++;
    }
    return i < listed->nelts;
}

void apipool_folder_report(const apipool_folder_t *folder, const char *sentence)
{
    folder->settings.report(folder->settings.ctx, sentence);
}

typedef struct {
    const apipool_folder_t *folder;
    apr_uint64_t number;
} removal_t;

static void remove_file(void *ctx, const char *name, apr_uint64_t number, const char *suffix)
{
    const removal_t *removal = ctx;
    if (number == removal->number) {
        unlinkat(removal->folder->dir, name, 0);
    }
}

/* The seal goes first: what has none counts as never finished. */
void apipool_folder_remove(const apipool_folder_t *folder, apipool_store_kind_e kind,
                           apr_uint64_t number, apr_pool_t *pool)
{
    removal_t removal = {.folder = folder, .number = number};
    const char *seal = apr_pstrcat(pool, apipool_folder_name(kind, number, pool), ".seal", NULL);
    unlinkat(folder->dir, seal, 0);
    visit_files(folder, kind, remove_file, &removal);
}

apr_status_t apipool_folder_current(const apipool_folder_t *folder, apipool_current_t *current,
                                    apr_pool_t *pool)
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

apr_status_t apipool_folder_swap(const apipool_folder_t *folder, const apipool_current_t *current,
                                 const char *stem, apr_pool_t *pool)
{
    char text[APIPOOL_SEAL_MAX];
    apr_size_t len = apipool_current_format(current, text);
    if (len == 0) {
        return APR_ENOMEM;
    }
    apr_status_t rv = apipool_disk_write(folder->dir, CURRENT_NAME, stem, text, len, pool);
    return rv == APR_SUCCESS ? apipool_disk_sync(folder->dir, ".") : rv;
}
