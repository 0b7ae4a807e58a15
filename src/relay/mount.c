/* SPDX-License-Identifier: Apache-2.0
 * The modules' own pages, the admin API and the metrics: each only where the configuration has put it. */
#include "mount.h"

#include <ap_expr.h>
#include <apr_strings.h>
#include <http_core.h>

#define NOTE "apipool-mount"

/* By their addresses it is known that a note is ours. */
static const char *const handlers[] = {APIPOOL_MOUNT_ADMIN, APIPOOL_MOUNT_METRICS};

static const char *mounted(const request_rec *r)
{
    const char *note = apr_table_get(r->notes, NOTE);
    return note && (note == handlers[0] || note == handlers[1]) ? note : NULL;
}

/* What SetHandler says, which httpd keeps as an expression, whatever was written. */
static const char *configured(request_rec *r)
{
    const core_dir_config *core = ap_get_core_module_config(r->per_dir_config);
    const char *error = NULL;
    const char *handler =
        core->expr_handler ? ap_expr_str_exec(r, core->expr_handler, &error) : core->handler;
    return error ? NULL : handler;
}

int apipool_mount_translate(request_rec *r)
{
    const char *handler = configured(r);
    for (apr_size_t i = 0; handler && i < sizeof(handlers) / sizeof(*handlers); i++) {
        if (!strcmp(handler, handlers[i])) {
            apr_table_setn(r->notes, NOTE, handlers[i]);
            r->handler = handlers[i];
            r->filename = apr_pstrcat(r->pool, handlers[i], ":", r->uri, NULL);
            return OK;
        }
    }
    return DECLINED;
}

int apipool_mount_map_to_storage(request_rec *r)
{
    return mounted(r) ? OK : DECLINED;
}

int apipool_mount_is(request_rec *r, const char *handler)
{
    const char *found = mounted(r);
    return found && !strcmp(found, handler) && r->handler && !strcmp(r->handler, handler);
}
