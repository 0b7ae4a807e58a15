/* SPDX-License-Identifier: Apache-2.0
 * The modules' own pages, the admin API and the metrics: each only where the configuration has put it. */
#ifndef APIPOOL_RELAY_MOUNT_H
#define APIPOOL_RELAY_MOUNT_H

#include <httpd.h>

#define APIPOOL_MOUNT_ADMIN   "apipool-admin"
#define APIPOOL_MOUNT_METRICS "apipool-metrics"

/** translate_name: where SetHandler in a location or server names one of this module's handlers, no file is
 *  looked for. No .htaccess has been read then, and none is read later. Returns OK or DECLINED. */
int apipool_mount_translate(request_rec *r);

/** map_to_storage: such a request looks at no folder. Returns OK or DECLINED. */
int apipool_mount_map_to_storage(request_rec *r);

/** Whether the configuration has given a request to that handler: 0 when AddHandler, .htaccess or a
 *  RewriteRule has. */
int apipool_mount_is(request_rec *r, const char *handler);

#endif
