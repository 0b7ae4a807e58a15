/* SPDX-License-Identifier: Apache-2.0
 * The <Proxy> sections of the upstream that an attempt asks. */
#ifndef APIPOOL_RELAY_PROXY_SECTION_H
#define APIPOOL_RELAY_PROXY_SECTION_H

#include "request.h"

/* httpd has merged the sections of the pool's first upstream into the request, before it is known who will be
 * asked. What they say, of TLS above all, must hold for no other upstream. */
typedef struct {
    char *filename;
    ap_conf_vector_t *per_dir_config;
    const struct ap_logconf *log;
} apipool_proxy_section_t;

/** Merges the sections of url, as for plain ProxyPass, for one attempt at the request's upstream.
 *  @param before what was there, for apipool_proxy_section_leave() */
void apipool_proxy_section_enter(apipool_request_t *req, const char *url,
                                 apipool_proxy_section_t *before);

void apipool_proxy_section_leave(request_rec *r, const apipool_proxy_section_t *before);

#endif
