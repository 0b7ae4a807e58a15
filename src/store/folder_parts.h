/* SPDX-License-Identifier: Apache-2.0
 * Internals of the store's folder; only for src/store/folder*.c. */
#ifndef APIPOOL_STORE_FOLDER_PARTS_H
#define APIPOOL_STORE_FOLDER_PARTS_H

#include <apr_tables.h>

#include "folder.h"

struct apipool_folder_t {
    apipool_folder_settings_t settings; /* dbm is never NULL */
    const unsigned char *other_mac_key; /* or NULL */
    int dir;                            /* the folder itself, open */
    apr_pool_t *pool;
    const char *error; /* of opening the folder; NULL: none */
    /* Loaded generations, and those that CURRENT named then: while CURRENT is unchanged, the
     * loaded one is kept beside the next generation. */
    apr_uint64_t loaded[APIPOOL_STORE_KINDS];
    apr_uint64_t named[APIPOOL_STORE_KINDS];
};

/* File of a generation. */
typedef struct {
    apipool_store_kind_e kind;
    apr_uint64_t number;
    int is_seal;
    const char *name;
} apipool_folder_file_t;

/* Content of the folder. */
typedef struct {
    apr_status_t had; /* of CURRENT; APR_ENOENT: missing; APR_EINVAL: damaged; an error of libc */
    apipool_current_t current; /* all 0 if CURRENT could not be read */
    apr_status_t listed;       /* status of reading the folder */
    apr_array_header_t *files; /* apipool_folder_file_t, newest first, seals first */
} apipool_folder_contents_t;

/** Reads the content of the folder. */
void apipool_folder_look(const apipool_folder_t *folder, apipool_folder_contents_t *contents,
                         apr_pool_t *pool);

/** Newest generation of a kind below a number that has files, or a seal; 0: none. */
apr_uint64_t apipool_folder_below(const apipool_folder_contents_t *contents,
                                  apipool_store_kind_e kind, apr_uint64_t number, int sealed);

/** Removes the files of a generation, its seal first: without a seal it counts as unfinished.
 *  Ignores failures. */
void apipool_folder_remove(const apipool_folder_t *folder,
                           const apipool_folder_contents_t *contents, apipool_store_kind_e kind,
                           apr_uint64_t number);

/** Path of a file in the folder, for apr_dbm and messages. */
const char *apipool_folder_file(const apipool_folder_t *folder, const char *name, apr_pool_t *pool);

/** Beginning of the file names of a generation, for example "keys-000012". */
const char *apipool_folder_name(apipool_store_kind_e kind, apr_uint64_t number, apr_pool_t *pool);

/**
 * Writes CURRENT and waits until it is on disk.
 * @param stem as in apipool_disk_write(): files of a killed writer are removed with the
 *             generation of that name
 */
apr_status_t apipool_folder_swap(const apipool_folder_t *folder, const apipool_current_t *current,
                                 const char *stem, apr_pool_t *pool);

#endif
