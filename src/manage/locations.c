/* SPDX-License-Identifier: Apache-2.0
 * Where clients reach a pool. */
#include "locations.h"

#include <apr_strings.h>

/* Tests whether one of a server's APIPoolUse, from the given one on, replaces another one: it has
 * the same path and no condition. */
static int is_replaced(const apipool_use_t *use, const server_rec *s, int from)
{
    const apr_array_header_t *uses = apipool_config_server(s)->uses;
    for (int i = from; i < uses->nelts; i++) {
        const apipool_use_t *other = APR_ARRAY_IDX(uses, i, apipool_use_t *);
        if (!other->is_conditional && !strcmp(other->mount, use->mount)) {
            return 1;
        }
    }
    return 0;
}

/* Virtual hosts inherit the main server's locations. */
static int is_here(const server_rec *s, const apipool_use_t *use)
{
    return use->server == s || (!use->server->is_virtual &&
                                (apipool_config_server(s) == apipool_config_server(use->server) ||
                                 !is_replaced(use, s, 0)));
}

static void add_of(json_t *array, const server_rec *s, const server_rec *of,
                   const apipool_pool_conf_t *pool)
{
    const apr_array_header_t *uses = apipool_config_server(of)->uses;
    for (int i = 0; i < uses->nelts; i++) {
        const apipool_use_t *use = APR_ARRAY_IDX(uses, i, apipool_use_t *);
        if (use->pool == pool && !is_replaced(use, of, i + 1)) {
            json_array_append_new(array,
                                  json_pack("{s:s,s:s+,s:b,s:b}", "path", use->mount, "url",
                                            apipool_config_server(of)->address, use->mount, "here",
                                            is_here(s, use), "conditional", use->is_conditional));
        }
    }
}

json_t *apipool_manage_locations(const server_rec *s, const apipool_pool_conf_t *pool)
{
    json_t *array = json_array();
    for (const server_rec *of = ap_server_conf; of; of = of->next) {
        if (of == ap_server_conf ||
            apipool_config_server(of) != apipool_config_server(ap_server_conf)) {
            add_of(array, s, of, pool);
        }
    }
    return array;
}
