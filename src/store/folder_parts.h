/* SPDX-License-Identifier: Apache-2.0
 * What the files of the store's folder have in common; for src/store/folder*.c alone. */
#ifndef APIPOOL_STORE_FOLDER_PARTS_H
#define APIPOOL_STORE_FOLDER_PARTS_H

#include <apr_tables.h>

#include "folder.h"

struct apipool_folder_t {
    apipool_folder_settings_t settings; /* its dbm is never NULL */
    const unsigned char *other_mac_key; /* or NULL */
    int dir;                            /* it itself, open */
    apr_pool_t *pool;
    const char *error; /* of opening it; NULL: none */
    /* What load found, and what CURRENT said then: when CURRENT still says so, it is what was loaded that
     * is kept beside the next generation. */
    apr_uint64_t loaded[APIPOOL_STORE_KINDS];
    apr_uint64_t named[APIPOOL_STORE_KINDS];
};

/* A file of a generation. */
typedef struct {
    apipool_store_kind_e kind;
    apr_uint64_t number;
    int is_seal;
    const char *name;
} apipool_folder_file_t;

/* What there is in the folder. */
typedef struct {
    apr_status_t had; /* CURRENT: APR_ENOENT: missing; APR_EINVAL: damaged; an error of libc */
    apipool_current_t current; /* all 0 where it could not be read */
    apr_status_t listed;       /* whether the folder could be read */
    apr_array_header_t
        *files; /* apipool_folder_file_t, newer generations first, of each its seal */
} apipool_folder_contents_t;

/** Looks at what there is. */
void apipool_folder_look(const apipool_folder_t *folder, apipool_folder_contents_t *contents,
                         apr_pool_t *pool);

/** The newest generation of a kind below a number that there are files of, or a seal; 0: none. */
apr_uint64_t apipool_folder_below(const apipool_folder_contents_t *contents,
                                  apipool_store_kind_e kind, apr_uint64_t number, int sealed);

/** Removes what there is of a generation, its seal first: what has none counts as never finished. What cannot
 *  be removed stays. */
void apipool_folder_remove(const apipool_folder_t *folder,
                           const apipool_folder_contents_t *contents, apipool_store_kind_e kind,
                           apr_uint64_t number);

/** The path of a file of the folder: for apr_dbm, and for sentences. */
const char *apipool_folder_file(const apipool_folder_t *folder, const char *name, apr_pool_t *pool);

/** "keys-000012": what the names of a generation's files begin with. */
const char *apipool_folder_name(apipool_store_kind_e kind, apr_uint64_t number, apr_pool_t *pool);

/**
 * Writes CURRENT, and is done when it is on disk.
 * @param stem as of apipool_disk_write(): what a killed writer leaves goes with the generation of that name
 */
apr_status_t apipool_folder_swap(const apipool_folder_t *folder, const apipool_current_t *current,
                                 const char *stem, apr_pool_t *pool);

#endif
