/* SPDX-License-Identifier: Apache-2.0
 * The audit log: one line in the error log for each change. */
#include "admin.h"

#include <apr_strings.h>

#include "key.h"

#define IDS_SHOWN 20

/* httpd escapes log text except for quotes: no name may imitate the rest of the line. */
static const char *without_quotes(apr_pool_t *p, const char *user)
{
    char *text = apr_pstrdup(p, user ? user : "");
    for (char *c = strchr(text, '"'); c; c = strchr(c, '"')) {
        *c = '\'';
    }
    return text;
}

const char *apipool_admin_name_set(apr_pool_t *p, const apipool_json_member_t *members,
                                   unsigned set, int enabled)
{
    const char *text = "";
    for (int i = 0; members[i].name; i++) {
        const char *name = members[i].name;
        if (set & 1U << i) {
            text = apr_pstrcat(p, text, " ",
                               !enabled && !strcmp(name, "enabled") ? "disabled" : name, NULL);
        }
    }
    return text;
}

void apipool_admin_audit(const apipool_admin_request_t *request, const char *what,
                         const apr_array_header_t *ids)
{
    apr_pool_t *p = request->r->pool;
    int count = ids ? ids->nelts : 0;
    char hex[APIPOOL_ID_SIZE];
    for (int i = 0; i < count && i < IDS_SHOWN; i++) {
        apipool_key_id_hex(APR_ARRAY_IDX(ids, i, apr_uint64_t), hex);
        what = apr_pstrcat(p, what, i ? " " : ": ", hex, NULL);
    }
    if (count > IDS_SHOWN) {
        what = apr_psprintf(p, "%s and %d more", what, count - IDS_SHOWN);
    }
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, request->r,
                  APIPOOL_LOG(0120) "audit: user \"%s\" from %s: %s",
                  without_quotes(p, request->caller.user), request->r->useragent_ip, what);
}
