/* SPDX-License-Identifier: Apache-2.0
 * Clients as records, and changes of them that last. */
#include <string.h>

#include "client.h"
#include "store_parts.h"

apr_status_t apipool_store_create_client(apipool_store_t *store,
                                         const apipool_client_image_t *image, const char **error,
                                         apr_pool_t *pool)
{
    (void)error;(void)pool;
    return apipool_client_add(store->segment, image);
}

apr_status_t apipool_store_change_client(apipool_store_t *store, const char *server,
                                         const char *name,
                                         apr_status_t (*edit)(void *ctx,
                                                              apipool_client_terms_t *terms),
                                         void *ctx, const char **error, apr_pool_t *pool)
{
    apipool_client_row_t row;
    apr_status_t rv = apipool_client_read(store->segment, server, name, 0, &row);
    (void)error;(void)pool;
    rv = rv == APR_SUCCESS ? edit(ctx, &row.image.terms) : rv;
    return rv == APR_SUCCESS
               ? apipool_client_set_terms(store->segment, server, name, &row.image.terms)
               : rv;
}

apr_status_t apipool_store_delete_client(apipool_store_t *store, const char *server,
                                         const char *name, const char **error, apr_pool_t *pool)
{
    (void)error;(void)pool;
    return apipool_client_remove(store->segment, server, name);
}
