/* SPDX-License-Identifier: Apache-2.0
 * What httpd itself says below a pool's location, in the words of the APIs. */
#ifndef APIPOOL_RELAY_HTTPD_ERROR_H
#define APIPOOL_RELAY_HTTPD_ERROR_H

#include <httpd.h>

/** insert_error_filter: makes JSON of the page that httpd is about to send, unless an ErrorDocument
 *  or ProxyErrorOverride says otherwise. Returns whether it has. */
int apipool_httpd_error_make(request_rec *r);

#endif
