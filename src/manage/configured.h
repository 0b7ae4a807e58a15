/* SPDX-License-Identifier: Apache-2.0
 * The configuration behind a pool of the operator's API. */
#ifndef APIPOOL_MANAGE_CONFIGURED_H
#define APIPOOL_MANAGE_CONFIGURED_H

#include "config.h"

/** The pool of that index, if a server sees it; else NULL. O(pools). No lock. */
apipool_pool_t *apipool_manage_configured(server_rec *s, apr_uint32_t index, apr_pool_t *p);

#endif
