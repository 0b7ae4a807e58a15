/* SPDX-License-Identifier: Apache-2.0
 * Calls mod_apipool's table of functions as its admin module does: GET ?LEVEL sets the level of its log. */

/* Apache::Test builds it; "SetHandler set-log-level" is all the configuration there is. */
#define HTTPD_TEST_REQUIRE_APACHE 2

#if CONFIG_FOR_HTTPD_TEST
#endif

#include <ap_provider.h>
#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>

#include <stdlib.h>

#include "mod_apipool.h"

static int answer(request_rec *r)
{
    const apipool_api_t *api;

    if (!r->handler || strcmp(r->handler, "set-log-level")) {
        return DECLINED;
    }
    api = ap_lookup_provider(APIPOOL_API_GROUP, APIPOOL_API_NAME, APIPOOL_API_VERSION);
    if (!api) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    if (r->args) {
        api->set_log_level(atoi(r->args));
    }
    ap_set_content_type(r, "text/plain");
    ap_rprintf(r, "%d", api->log_level());
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(answer, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA log_level_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks};
