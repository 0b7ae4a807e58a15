/* SPDX-License-Identifier: Apache-2.0
 * What httpd itself says below a pool's location, in the words of the APIs. */
#include "httpd_error.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mod_core.h>

#include "config.h"
#include "reply.h"

static int is_pool_here(const request_rec *r)
{
    const apipool_dir_conf_t *dir = ap_get_module_config(r->per_dir_config, &apipool_module);
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    return dir->use && dir->use->pool && !core->handler && !core->expr_handler;
}

/* The path that a request line asks for, as sections see it; NULL: it has none. Its end may be what
 * is wrong with it. */
static char *path_of_line(apr_pool_t *p, const char *line)
{
    const char *target = line ? strchr(line, ' ') : NULL;
    if (!target) {
        return NULL;
    }
    target += strspn(target, " ");
    const char *authority = ap_strstr_c(target, "://");
    if (*target != '/' && authority) {
        target = authority + 3 + strcspn(authority + 3, "/? ");
    }
    char *path = apr_pstrmemdup(p, target, strcspn(target, "?# "));
    ap_normalize_path(path, AP_NORMALIZE_MERGE_SLASHES | AP_NORMALIZE_DECODE_UNRESERVED);
    ap_unescape_url_keep2f(path, 0);
    return *path == '/' ? path : NULL;
}

/* A request that httpd refuses as soon as it has read it has met no section yet. */
static int is_pool_there(request_rec *r)
{
    ap_conf_vector_t *per_dir_config = r->per_dir_config;
    char *uri = r->uri, *path = path_of_line(r->pool, r->the_request);
    if (per_dir_config != r->server->lookup_defaults || !path) {
        return 0;
    }
    r->uri = path;
    ap_location_walk(r);
    int is_pool = is_pool_here(r);
    r->uri = uri;
    r->per_dir_config = per_dir_config;
    return is_pool;
}

int apipool_httpd_error_make(request_rec *r)
{
    int status = r->status;
    if (status < HTTP_BAD_REQUEST || apr_table_get(r->notes, "proxy-error-override") ||
        ap_response_code_string(r, ap_index_of_response(status)) ||
        (!is_pool_here(r) && !is_pool_there(r))) {
        return 0;
    }
    ap_custom_response(r, status, apipool_reply_page(r->pool, status));
    return 1;
}
