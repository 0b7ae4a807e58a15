/* SPDX-License-Identifier: Apache-2.0
 * What the files of the store's folder have in common; for src/state/folder*.c alone. */
#ifndef APIPOOL_STATE_FOLDER_PARTS_H
#define APIPOOL_STATE_FOLDER_PARTS_H

#include <apr_tables.h>

#include "folder.h"

struct apipool_folder_t {
    apipool_folder_settings_t settings; /* its dbm is never NULL */
    const unsigned char *other_mac_key; /* or NULL */
    int dir;                            /* it itself, open */
    int lock;                           /* open file, kept by children */
    /* What load found, and what CURRENT said then: when CURRENT still says so, it is what was loaded that
     * is kept beside the next generation. */
    apr_uint64_t loaded[APIPOOL_STORE_KINDS];
    apr_uint64_t named[APIPOOL_STORE_KINDS];
};

/* A generation that there are files of. */
typedef struct {
    apr_uint64_t number;
    int sealed;
} apipool_listed_t;

/** The path of a file of the folder: for apr_dbm, and for sentences. */
const char *apipool_folder_file(const apipool_folder_t *folder, const char *name, apr_pool_t *pool);

/** "keys-000012": what the names of a generation's files begin with. */
const char *apipool_folder_name(apipool_store_kind_e kind, apr_uint64_t number, apr_pool_t *pool);

/**
 * Lists the generations of a kind, the newest first.
 * @param listed result, of apipool_listed_t
 */
apr_status_t apipool_folder_list(const apipool_folder_t *folder, apipool_store_kind_e kind,
                                 apr_array_header_t **listed, apr_pool_t *pool);

/** Whether any of them was finished. */
int apipool_folder_any_sealed(const apr_array_header_t *listed);

/** Tells the caller of the folder what was wrong and survived. */
void apipool_folder_report(const apipool_folder_t *folder, const char *sentence);

/** Removes all files of a generation; what cannot be removed stays. */
void apipool_folder_remove(const apipool_folder_t *folder, apipool_store_kind_e kind,
                           apr_uint64_t number, apr_pool_t *pool);

/**
 * Reads CURRENT.
 * @param current result, all 0 when it fails
 * @return APR_SUCCESS; APR_ENOENT when it is missing; APR_EINVAL when it is damaged; an error of libc
 */
apr_status_t apipool_folder_current(const apipool_folder_t *folder, apipool_current_t *current,
                                    apr_pool_t *pool);

/**
 * Writes CURRENT, and is done when it is on disk.
 * @param stem as of apipool_disk_write(): what a killed writer leaves goes with the generation of that name
 */
apr_status_t apipool_folder_swap(const apipool_folder_t *folder, const apipool_current_t *current,
                                 const char *stem, apr_pool_t *pool);

#endif
