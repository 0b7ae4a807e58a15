/* SPDX-License-Identifier: Apache-2.0
 * Temporary change of root's rights to those of another user. */
#include "rights.h"

#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <unistd.h>

#include "disk.h"

/* Without its rights the parent could neither stop its children nor restart, so failure is
 * fatal. */
void apipool_rights_restore(const apipool_rights_t *before)
{
    int errno_of_work = errno;
    if (before->dropped && (seteuid(0) != 0 || setegid(before->group) != 0 ||
                            setgroups((size_t)before->ngroups, before->groups) != 0)) {
        abort();
    }
    errno = errno_of_work;
}

apr_status_t apipool_rights_drop(const apipool_owner_t *owner, apipool_rights_t *before,
                                 apr_pool_t *pool)
{
    *before = (apipool_rights_t){.dropped = geteuid() == 0 && owner->user != 0};
    if (!before->dropped) {
        return APR_SUCCESS;
    }
    before->group = getegid();
    before->ngroups = getgroups(0, NULL);
    before->groups = apr_palloc(pool, sizeof(gid_t) * (size_t)(before->ngroups + 1));
    before->ngroups = getgroups(before->ngroups, before->groups);
    if (before->ngroups >= 0 && initgroups(owner->name, owner->group) == 0 &&
        setegid(owner->group) == 0 && seteuid(owner->user) == 0) {
        return APR_SUCCESS;
    }
    apr_status_t rv = apipool_disk_errno();
    before->ngroups = before->ngroups < 0 ? 0 : before->ngroups;
    apipool_rights_restore(before);
    before->dropped = 0;
    return rv;
}
