/* SPDX-License-Identifier: Apache-2.0
 * The module record of mod_apipool, its hooks and their order. */
#define APIPOOL_MODULE_RECORD
#include "include/mod_apipool.h"

#include "attempt.h"
#include "auth.h"
#include "clock.h"
#include "config.h"
#include "cors.h"
#include "credential.h"
#include "deleted.h"
#include "gate.h"
#include "key_files.h"
#include "lifecycle.h"
#include "manage.h"
#include "metrics.h"
#include "mount.h"
#include "outage.h"
#include "probe.h"
#include "request.h"
#include "request_accounting.h"
#include "rewrite.h"
#include "scope.h"
#include "scopes.h"
#include "status.h"
#include "suspend.h"
#include "tunnel.h"
#include "upstream_conn.h"
#include "warnings.h"
#include "workers.h"

#include <ap_provider.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_status.h>
#include <mpm_common.h>
#include <util_mutex.h>

static int healthy(void)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    if (!segment || apipool_segment_lock(segment) != APR_SUCCESS) {
        return 0;
    }
    apipool_segment_unlock(segment);
    return 1;
}

static const char *store_fault(int *is_out)
{
    *is_out = apipool_lifecycle_is_out();
    return apipool_lifecycle_fault();
}

static int log_level(void)
{
    const apipool_segment_t *segment = apipool_lifecycle_segment();
    return segment ? apipool_segment_log_level(segment) : 0;
}

static void set_log_level(int level)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    if (segment) {
        apipool_segment_set_log_level(segment, level);
    }
}

static const apipool_api_t api = {
    .healthy = healthy,
    .store_fault = store_fault,
    .can_read = apipool_manage_can_read,
    .is_mounted = apipool_mount_is,
    .log_level = log_level,
    .set_log_level = set_log_level,
    .clients = apipool_manage_clients,
    .client = apipool_manage_client,
    .client_create = apipool_manage_client_create,
    .client_rotate = apipool_manage_client_rotate,
    .client_end_old_key = apipool_manage_client_end_old_key,
    .client_change = apipool_manage_client_change,
    .client_delete = apipool_manage_client_delete,
    .system = apipool_manage_system,
    .pools = apipool_manage_pools,
    .pool = apipool_manage_pool,
    .pool_maintain = apipool_manage_pool_maintain,
    .stats = apipool_manage_stats,
    .requests = apipool_manage_requests,
    .keys = apipool_manage_keys,
    .key = apipool_manage_key,
    .key_reveal = apipool_manage_key_reveal,
    .key_import = apipool_manage_key_import,
    .key_change = apipool_manage_key_change,
    .key_check = apipool_manage_key_check,
    .unreached = apipool_manage_unreached,
    .unreached_move = apipool_manage_unreached_move,
    .archive_export = apipool_manage_archive_export,
    .archive_import = apipool_manage_archive_import,
    .session_secret = apipool_manage_session_secret,
    .session_revoke = apipool_manage_session_revoke,
    .session_is_revoked = apipool_manage_session_is_revoked,
    .sessions_end = apipool_manage_sessions_end,
    .sessions_ended = apipool_manage_sessions_ended,
    .login_wait = apipool_manage_login_wait,
    .login_result = apipool_manage_login_result,
    .viewer_enter = apipool_manage_viewer_enter,
    .viewer_leave = apipool_manage_viewer_leave,
};

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    apr_status_t rv = ap_mutex_register(pconf, APIPOOL_MUTEX, NULL, APR_LOCK_DEFAULT, 0);
    return rv == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    return apipool_config_check(pconf, s);
}

/* Adds the keys of key files if `deleted` tells of which not to. */
static apr_status_t open_pool(apipool_pool_conf_t *pool, apr_hash_t *deleted, apr_pool_t *pconf)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    apr_status_t rv =
        apipool_pool_attach(segment, apipool_config_scope(pool->server), pool->name, &pool->index);
    if (rv == APR_SUCCESS && pool->server->is_virtual) {
        apipool_config_server(pool->server)->scope = apipool_scope_of(segment, pool->index);
    }
    for (int i = 0; rv == APR_SUCCESS && i < pool->upstreams->nelts; i++) {
        apipool_upstream_conf_t *upstream =
            &APR_ARRAY_IDX(pool->upstreams, i, apipool_upstream_conf_t);
        rv = apipool_pool_upstream(segment, pool->index, upstream->name, &upstream->index);
        if (rv == APR_SUCCESS) {
            rv = apipool_pool_lift(segment, upstream->index, &pool->limits, apr_time_now());
        }
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, pool->server,
                     APIPOOL_LOG(0042) "pool %s: could not be set up in shared memory", pool->name);
        return rv;
    }
    rv = apipool_workers_define(pool, pconf);
    return rv == APR_SUCCESS ? apipool_key_files_import(deleted ? segment : NULL, pool, deleted)
                             : rv;
}

static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                       server_rec *main_server)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    apipool_segment_t *segment = apipool_lifecycle_open(pconf, main_server);
    if (!segment) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apr_array_header_t *pools = apipool_config_all_pools(pconf, main_server);
    if (apipool_pool_retire_all(segment) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apr_status_t rv = APR_SUCCESS;
    int may_import = apipool_lifecycle_hold(pconf, main_server, ptemp);
    apr_hash_t *deleted = may_import ? apipool_key_files_begin(segment, ptemp) : NULL;
    rv = apipool_scopes_settle(main_server, segment, ptemp);
    for (int i = 0; rv == APR_SUCCESS && i < pools->nelts; i++) {
        rv = open_pool(APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *), deleted, pconf);
    }
    if (rv == APR_SUCCESS && deleted) {
        apipool_key_files_end(segment, deleted);
    }
    apipool_lifecycle_release();
    if (rv != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apipool_scopes_warn(main_server, segment, ptemp);
    apipool_lifecycle_keep_keys(main_server, ptemp);
    apipool_config_warn(main_server);
    apipool_warnings_upstreams(pools);
    ap_add_version_component(pconf, "mod_apipool/" APIPOOL_VERSION);
    return apipool_clock_register(pconf, main_server, segment, pools);
}

/* httpd -t looks where a start would. */
static void test_config(apr_pool_t *pconf, server_rec *main_server)
{
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST &&
        apipool_config_all_pools(pconf, main_server)->nelts) {
        apipool_lifecycle_look(main_server, pconf);
    }
}

static void child_init(apr_pool_t *pchild, server_rec *main_server)
{
    apr_status_t rv = apipool_lifecycle_enter(pchild);
    apr_array_header_t *pools = apipool_config_all_pools(pchild, main_server);
    for (int i = 0; i < pools->nelts && rv == APR_SUCCESS; i++) {
        rv = apipool_workers_init(APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *), 0, pchild);
    }
    if (rv == APR_SUCCESS && pools->nelts && apipool_config_server(main_server)->async) {
        rv = apipool_suspend_child_init(pchild, main_server);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(
            APLOG_MARK, APLOG_EMERG, rv, main_server,
            APIPOOL_LOG(0043) "a child process could not attach to the shared memory of the "
                              "pools");
        exit(APEXIT_CHILDSICK); /* child_init has no other way to report failure */
    }
}

/* Runs in the parent. A child that exited normally has returned everything. */
static void child_status(server_rec *s, pid_t pid, ap_generation_t generation, int slot,
                         mpm_child_status status)
{
    apipool_segment_t *segment = apipool_lifecycle_segment();
    if (status != MPM_CHILD_EXITED || !segment) {
        return;
    }
    apr_status_t rv = apipool_pool_reclaim(segment, (apr_uint32_t)pid, apipool_lifecycle_now());
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     APIPOOL_LOG(0045) "could not reclaim the keys held by an exited child");
    }
    apipool_lifecycle_note_repairs(s);
}

static int metrics_handler(request_rec *r)
{
    if (!apipool_mount_is(r, APIPOOL_MOUNT_METRICS)) {
        return DECLINED;
    }
    return apipool_metrics_answer(r, apipool_lifecycle_segment(), apipool_config_scope(r->server));
}

static int status_section(request_rec *r, int flags)
{
    return apipool_status_write(r, flags, apipool_lifecycle_segment(),
                                apipool_config_scope(r->server));
}

static void register_hooks(apr_pool_t *p)
{
    ap_register_provider(p, APIPOOL_API_GROUP, APIPOOL_API_NAME, APIPOOL_API_VERSION, &api);
    apipool_auth_register_filter();
    apipool_gate_register_filter();
    apipool_rewrite_register_filter();
    apipool_tunnel_register_filters();
    apipool_upstream_conn_register_filter();
    apipool_probe_register_filters();

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);

    /* in the order a request passes them; before any ProxyPass or RewriteRule that matches
     * everything */
    ap_hook_post_read_request(apipool_credential_hide_line, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_pre_translate_name(apipool_request_pre_translate, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(apipool_request_translate, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(apipool_mount_translate, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_map_to_storage(apipool_mount_map_to_storage, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_header_parser(apipool_cors_header_parser, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_header_parser(apipool_outage_header_parser, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_force_authn(apipool_auth_force, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_authn(apipool_auth_check, NULL, NULL, APR_HOOK_MIDDLE, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_note_auth_failure(apipool_auth_note_failure, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_insert_error_filter(apipool_credential_hide_refused, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_insert_error_filter(apipool_auth_insert_error_filter, NULL, NULL, APR_HOOK_LAST);
    apipool_suspend_register_hooks(apipool_attempt_resume);
    proxy_hook_pre_request(apipool_attempt_pre_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    proxy_hook_scheme_handler(apipool_attempt_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(apipool_credential_hide_from_logs, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_log_transaction(apipool_request_accounting_log, NULL, NULL, APR_HOOK_REALLY_FIRST);
    APR_OPTIONAL_HOOK(ap, status_hook, status_section, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(apipool_credential_hide_from_environment, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(metrics_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(apipool) = {
    STANDARD20_MODULE_STUFF,
    apipool_config_create_dir,
    apipool_config_merge_dir,
    apipool_config_create_server,
    apipool_config_merge_server,
    apipool_directives,
    register_hooks,
    0,
};
