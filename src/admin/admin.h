/* SPDX-License-Identifier: Apache-2.0
 * The admin module's own header: its configuration and its handler. */
#ifndef APIPOOL_ADMIN_ADMIN_H
#define APIPOOL_ADMIN_ADMIN_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "mod_apipool.h"

#ifndef APIPOOL_MODULE_RECORD
APLOG_USE_MODULE(apipool_admin);
#endif

/* The only symbol the DSO exports: everything else is built with hidden visibility. */
extern module AP_MODULE_DECLARE_DATA apipool_admin_module __attribute__((visibility("default")));

typedef struct {
    const char *root; /* APIPoolAdminRoot; NULL: where make install put the files */
    const char
        *mount; /* path of the <Location>; NULL where only httpd's own directives stand in it */
} apipool_admin_conf_t;

/** Set once, when the configuration is checked. */
void apipool_admin_use_api(const apipool_api_t *api);

/** Writes a JSON error, {"error":{"code","message"}}, and returns OK: the answer is on its way. */
int apipool_admin_error(request_rec *r, int status, const char *code, const char *message);

/** Sends a file of the dashboard; path is relative to the root and does not begin with '/'. */
int apipool_admin_send_page(request_rec *r, const char *root, const char *path);

/** Handler hook: serves locations with SetHandler apipool-admin. */
int apipool_admin_handler(request_rec *r);

#endif
