/* SPDX-License-Identifier: Apache-2.0
 * Where clients reach a pool. */
#include "locations.h"

#include <apr_strings.h>

/* Tests whether an APIPoolUse decides for all paths of another one, as httpd merges them: what is
 * said for a server, then locations, each in the order of the configuration, then what has a
 * condition. */
static int is_stronger(const apipool_use_t *by, const apipool_use_t *use, int is_later)
{
    apr_size_t len = strlen(by->mount);
    return !by->is_conditional && !use->is_conditional &&
           (by->is_location == use->is_location ? is_later : by->is_location) &&
           !strncmp(use->mount, by->mount, len) && (!use->mount[len] || use->mount[len] == '/');
}

/* is_later: whether the use itself is behind us. */
static int has_stronger(const server_rec *s, const apipool_use_t *use, int *is_later)
{
    const apr_array_header_t *uses = apipool_config_server(s)->uses;
    for (int i = 0; i < uses->nelts; i++) {
        const apipool_use_t *by = APR_ARRAY_IDX(uses, i, apipool_use_t *);
        if (by != use && is_stronger(by, use, *is_later)) {
            return 1;
        }
        *is_later |= by == use;
    }
    return 0;
}

static int has_own(const server_rec *s)
{
    return apipool_config_server(s) != apipool_config_server(ap_server_conf);
}

/* Virtual hosts inherit what the main server says, before their own. */
static int is_replaced(const server_rec *s, const apipool_use_t *use)
{
    int is_later = 0;
    return has_stronger(ap_server_conf, use, &is_later) ||
           (has_own(s) && has_stronger(s, use, &is_later));
}

static void add_of(json_t *array, const server_rec *s, const server_rec *of,
                   const apipool_pool_conf_t *pool)
{
    const apr_array_header_t *uses = apipool_config_server(of)->uses;
    for (int i = 0; i < uses->nelts; i++) {
        const apipool_use_t *use = APR_ARRAY_IDX(uses, i, apipool_use_t *);
        if (use->pool == pool && !is_replaced(of, use)) {
            int is_here = (of == s || !of->is_virtual) && !is_replaced(s, use);
            json_array_append_new(array,
                                  json_pack("{s:s,s:s+,s:b,s:b}", "path", use->mount, "url",
                                            apipool_config_server(of)->address, use->mount, "here",
                                            is_here, "conditional", use->is_conditional));
        }
    }
}

json_t *apipool_manage_locations(const server_rec *s, const apipool_pool_conf_t *pool)
{
    json_t *array = json_array();
    for (const server_rec *of = ap_server_conf; of; of = of->next) {
        if (of == ap_server_conf || has_own(of)) {
            add_of(array, s, of, pool);
        }
    }
    return array;
}
