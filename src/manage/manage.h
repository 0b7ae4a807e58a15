/* SPDX-License-Identifier: Apache-2.0
 * Functions of mod_apipool for the operator's API: the table in mod_apipool.h. */
#ifndef APIPOOL_MANAGE_MANAGE_H
#define APIPOOL_MANAGE_MANAGE_H

#include "client_table.h"
#include "mod_apipool.h"

/* This room lies between the admin module and the pools: it turns an operator's requests into
 * calls of other rooms, and their data into snapshots. The table documents each function. */

/* pools.c */
apr_array_header_t *apipool_manage_pools(struct server_rec *s, apr_pool_t *p);
apr_status_t apipool_manage_pool(struct server_rec *s, apr_uint32_t pool, apr_pool_t *p,
                                 json_t **result);
apr_status_t apipool_manage_pool_maintain(apr_uint32_t pool,
                                          const apipool_maintenance_t *maintenance, apr_pool_t *p,
                                          apipool_input_error_t *flaw);

/* history.c */
apr_status_t apipool_manage_stats(apr_uint32_t pool, int by_hour, apr_pool_t *p, json_t **result);
apr_status_t apipool_manage_requests(const apr_array_header_t *pools, apr_uint32_t limit,
                                     apr_pool_t *p, json_t **result);

/* keys.c */
apr_status_t apipool_manage_keys(struct server_rec *s, apr_uint32_t pool,
                                 const apipool_key_query_t *query, apr_pool_t *p, json_t **result);
apr_status_t apipool_manage_key(struct server_rec *s, apr_uint32_t pool, apr_uint64_t id,
                                apr_pool_t *p, json_t **result);
apr_status_t apipool_manage_key_reveal(apr_uint32_t pool, apr_uint64_t id, apr_pool_t *p,
                                       char **key);

/* archive_export.c and archive_import.c */
apr_status_t apipool_manage_archive_export(struct server_rec *s, const char *passphrase,
                                           apr_pool_t *p, apipool_archived_t *result,
                                           apipool_input_error_t *flaw);
apr_status_t apipool_manage_archive_import(struct server_rec *s,
                                           const apipool_archive_source_t *source, apr_pool_t *p,
                                           json_t **result, apr_array_header_t **ids,
                                           apipool_input_error_t *flaw);

/* changes.c */
apr_status_t apipool_manage_key_import(apr_uint32_t pool, const char *upstream,
                                       const apipool_import_source_t *source, unsigned options,
                                       apr_pool_t *p, apipool_import_t *result,
                                       apipool_input_error_t *flaw);
apr_status_t apipool_manage_key_change(apr_uint32_t pool, const apipool_key_change_t *change,
                                       apr_pool_t *p, apipool_key_changed_t *result,
                                       apipool_input_error_t *flaw);

/* check.c */
apr_status_t apipool_manage_key_check(struct server_rec *s, apr_uint32_t pool, apr_uint64_t id,
                                      apr_pool_t *p, json_t **result);

/* system.c */
apr_status_t apipool_manage_system(json_t **result);
apr_status_t apipool_manage_can_read(struct server_rec *s, const char *path, apr_pool_t *p);

/* clients.c */
apr_status_t apipool_manage_clients(struct server_rec *s, apr_pool_t *p, json_t **result);
apr_status_t apipool_manage_client(struct server_rec *s, const char *name, apr_pool_t *p,
                                   json_t **result);
apr_status_t apipool_manage_client_create(struct server_rec *s, const apipool_client_edit_t *edit,
                                          apr_pool_t *p, char *key, apipool_input_error_t *flaw);
apr_status_t apipool_manage_client_rotate(struct server_rec *s, const char *name,
                                          apr_uint32_t overlap, apr_pool_t *p, char *key,
                                          apipool_input_error_t *flaw);
apr_status_t apipool_manage_client_end_old_key(struct server_rec *s, const char *name,
                                               apr_pool_t *p, apipool_input_error_t *flaw);
apr_status_t apipool_manage_client_change(struct server_rec *s, const char *name,
                                          const apipool_client_edit_t *edit, apr_pool_t *p,
                                          apipool_input_error_t *flaw);
apr_status_t apipool_manage_client_delete(struct server_rec *s, const char *name, apr_pool_t *p,
                                          apipool_input_error_t *flaw);

/** Checks a client that was not made here, and fills in all but its digest and its time: for
 *  archive_import.c. */
apr_status_t apipool_manage_client_fill(struct server_rec *s, const apipool_client_edit_t *edit,
                                        apr_pool_t *p, apipool_client_image_t *image,
                                        apipool_input_error_t *flaw);

/* unreached.c */
apr_status_t apipool_manage_unreached(struct server_rec *s, apr_pool_t *p, json_t **result);
apr_status_t apipool_manage_unreached_move(struct server_rec *s, const apipool_move_t *move,
                                           apr_pool_t *p, apipool_moved_t *result,
                                           apipool_input_error_t *flaw);

/* sessions.c */
apr_status_t apipool_manage_session_secret(unsigned char secret[32]);
apr_status_t apipool_manage_session_revoke(apr_uint64_t jti, apr_time_t until, apr_pool_t *p,
                                           apipool_input_error_t *flaw);
int apipool_manage_session_is_revoked(apr_uint64_t jti);
apr_status_t apipool_manage_sessions_end(apr_uint64_t place, apr_pool_t *p,
                                         apipool_input_error_t *flaw);
apr_time_t apipool_manage_sessions_ended(apr_uint64_t place);
apr_interval_time_t apipool_manage_login_wait(apr_uint64_t address, apr_time_t now);
void apipool_manage_login_result(apr_uint64_t address, int right, apr_time_t now);
int apipool_manage_viewer_enter(apr_uint64_t place, int max);
void apipool_manage_viewer_leave(apr_uint64_t place);

#endif
