/* SPDX-License-Identifier: Apache-2.0
 * Needed by every file of this DSO: the module's log index and its stable log tags. */
#ifndef APIPOOL_CONFIG_MODULE_H
#define APIPOOL_CONFIG_MODULE_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

/* AP_DECLARE_MODULE in mod_apipool.c defines this too, so that file must not. */
#ifndef APIPOOL_MODULE_RECORD
APLOG_USE_MODULE(apipool);
#endif

/* The only exported symbol of the DSO: everything else has hidden visibility. */
extern module AP_MODULE_DECLARE_DATA apipool_module __attribute__((visibility("default")));

#define APIPOOL_MUTEX "apipool" /* name in the Mutex directive */

/* A tag is never reused, since operators search for it. Each call site has its own. */
#define APIPOOL_LOG(number) "AP" #number ": "

#endif
