/* SPDX-License-Identifier: Apache-2.0
 * The module record of mod_apipool_admin: its directives, its handler, and its access to the
 * pools. */
#define APIPOOL_MODULE_RECORD
#include "src/admin/admin.h"

#include <ap_provider.h>
#include <http_core.h>

#include "src/core/throttle.h"

/* in check_config, so that httpd -t reports it too */
static int find_pools(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const apipool_api_t *api =
        ap_lookup_provider(APIPOOL_API_GROUP, APIPOOL_API_NAME, APIPOOL_API_VERSION);
    if (!api) {
        ap_log_error(
            APLOG_MARK, APLOG_EMERG, 0, s,
            APIPOOL_LOG(0100) "mod_apipool_admin needs mod_apipool of the same version; load "
                              "apipool_module before apipool_admin_module");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apipool_admin_api = api;
    return apipool_admin_check_config(ptemp, s);
}

static int warn(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) != AP_SQ_MS_CREATE_PRE_CONFIG) {
        apipool_admin_warn(s, ptemp);
    }
    return OK;
}

/* httpd -t warns as a start does. */
static void test_config(apr_pool_t *pconf, server_rec *s)
{
    if (ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST) {
        apipool_admin_warn(s, pconf);
    }
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    apipool_throttle_share();
}

static void register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(find_pools, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(warn, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(apipool_admin_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

static const command_rec directives[] = {
    AP_INIT_TAKE1("SetHandler", apipool_admin_note_handler, NULL, OR_FILEINFO, "a handler"),
    AP_INIT_TAKE1("APIPoolAdminRoot", apipool_admin_set_root, NULL, ACCESS_CONF | RSRC_CONF,
                  "the folder of the dashboard's files"),
    AP_INIT_TAKE1("APIPoolAdminUserFile", apipool_admin_set_user_file, NULL,
                  ACCESS_CONF | RSRC_CONF, "htpasswd file of those who may sign in, bcrypt"),
    AP_INIT_TAKE1("APIPoolAdminAuth", apipool_admin_set_auth, NULL, ACCESS_CONF | RSRC_CONF,
                  "session: own login; httpd: whoever httpd authenticated"),
    AP_INIT_ITERATE("APIPoolAdminPools", apipool_admin_set_pools, NULL, ACCESS_CONF | RSRC_CONF,
                    "the only pools that may be seen here"),
    AP_INIT_ITERATE("APIPoolAdminViewers", apipool_admin_set_viewers, NULL, ACCESS_CONF | RSRC_CONF,
                    "users who may look but not change"),
    AP_INIT_TAKE1("APIPoolAdminSession", apipool_admin_set_session, NULL, ACCESS_CONF | RSRC_CONF,
                  "seconds that a session lasts"),
    AP_INIT_FLAG("APIPoolAdminReveal", apipool_admin_set_reveal, NULL, ACCESS_CONF | RSRC_CONF,
                 "whether an admin may see a whole key after saying the password again"),
    {NULL},
};

AP_DECLARE_MODULE(apipool_admin) = {
    STANDARD20_MODULE_STUFF,
    apipool_admin_create_dir,
    apipool_admin_merge_dir,
    apipool_admin_create_server,
    NULL,
    directives,
    register_hooks,
    0,
};
