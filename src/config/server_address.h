/* SPDX-License-Identifier: Apache-2.0
 * A server's section in the configuration, and the address by which clients reach the server. */
#ifndef APIPOOL_CONFIG_SERVER_ADDRESS_H
#define APIPOOL_CONFIG_SERVER_ADDRESS_H

#include <util_cfgtree.h>

#include "module.h"

/** Returns the directives in the section of a virtual host; NULL for the main server. While the
 *  configuration is checked, or later. */
const ap_directive_t *apipool_server_section(const server_rec *s);

/**
 * Returns scheme, host and port by which clients reach a server, as the configuration says:
 * "https://gw.example.org:8443". The scheme is that of ServerName, else https if TLS is on. The
 * port is left out if it is the usual one or is not known.
 */
const char *apipool_server_address(apr_pool_t *p, const server_rec *s);

#endif
