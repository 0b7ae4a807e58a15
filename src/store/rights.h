/* SPDX-License-Identifier: Apache-2.0
 * Temporary change of root's rights to those of another user. */
#ifndef APIPOOL_STORE_RIGHTS_H
#define APIPOOL_STORE_RIGHTS_H

#include <apr_pools.h>
#include <sys/types.h>

/* httpd's parent runs as root and works on files of httpd's children. It uses their rights, so
 * that nothing that they put in its way, such as symbolic links, gives them access that they
 * lack. A helper process would protect no better: the parent shares memory with the children and
 * reads what they write there. */

typedef struct {
    const char *name; /* for its groups */
    uid_t user;
    gid_t group;
} apipool_owner_t;

/* Rights of root before the change. */
typedef struct {
    int dropped; /* 0: unchanged */
    gid_t group;
    int ngroups;
    gid_t *groups;
} apipool_rights_t;

/**
 * Switches this process to the rights of the owner, if it runs as root and the owner is another
 * user. This affects all threads; the parent has only one then.
 * @param before for apipool_rights_restore(), which must follow
 * @return APR_SUCCESS, or an error of libc with nothing changed
 */
apr_status_t apipool_rights_drop(const apipool_owner_t *owner, apipool_rights_t *before,
                                 apr_pool_t *pool);

/** Restores root's rights. */
void apipool_rights_restore(const apipool_rights_t *before);

#endif
