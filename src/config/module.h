/* SPDX-License-Identifier: Apache-2.0
 * What every file of this room needs: the module's log index and its stable log tags. */
#ifndef APIPOOL_CONFIG_MODULE_H
#define APIPOOL_CONFIG_MODULE_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

/* Defined by AP_DECLARE_MODULE in mod_apipool.c, which must not take this line as well. */
#ifndef APIPOOL_MODULE_RECORD
APLOG_USE_MODULE(apipool);
#endif

/* The only symbol the DSO exports: everything else is built with hidden visibility. */
extern module AP_MODULE_DECLARE_DATA apipool_module __attribute__((visibility("default")));

#define APIPOOL_MUTEX "apipool" /* as the Mutex directive knows it */

/* A tag is never reused: operators search for it. One per call site. */
#define APIPOOL_LOG(number) "AP" #number ": "

#endif
