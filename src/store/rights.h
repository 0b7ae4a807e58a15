/* SPDX-License-Identifier: Apache-2.0
 * Root's rights, put away while files of others are worked on. */
#ifndef APIPOOL_STORE_RIGHTS_H
#define APIPOOL_STORE_RIGHTS_H

#include <apr_pools.h>
#include <sys/types.h>

/* httpd's parent runs as root and works on files of httpd's children. It does so with the rights of these,
 * so that whatever they have put in its way, such as symbolic links, takes it no further than they get
 * themselves. A helper process would keep no more from them: the parent shares its memory with them anyway,
 * and reads what they write there. */

typedef struct {
    const char *name; /* whose groups it has */
    uid_t user;
    gid_t group;
} apipool_owner_t;

/* What root had before. */
typedef struct {
    int dropped; /* 0: nothing was changed */
    gid_t group;
    int ngroups;
    gid_t *groups;
} apipool_rights_t;

/**
 * Gives this process the rights of the owner, when it runs as root and the owner is somebody else. All of its
 * threads get them: the parent has one while this is called.
 * @param before for apipool_rights_restore(), which must follow
 * @return APR_SUCCESS, or an error of libc: nothing has changed then
 */
apr_status_t apipool_rights_drop(const apipool_owner_t *owner, apipool_rights_t *before,
                                 apr_pool_t *pool);

/** Gives root's rights back. */
void apipool_rights_restore(const apipool_rights_t *before);

#endif
