/* SPDX-License-Identifier: Apache-2.0
 * A server's section in the configuration, and the address by which clients reach the server. */
#include "server_address.h"

#include <ap_listen.h>
#include <apr_strings.h>

const ap_directive_t *apipool_server_section(const server_rec *s)
{
    const ap_directive_t *node = s->is_virtual ? ap_conftree : NULL;
    while (node &&
           (ap_cstr_casecmpn(node->directive, "<VirtualHost", 12) ||
            node->line_num != (int)s->defn_line_number || strcmp(node->filename, s->defn_name))) {
        node = node->next;
    }
    return node ? node->first_child : NULL;
}

/* Reads whether TLS is on from the directives of a level of the configuration. */
static void read_engine(const ap_directive_t *node, int *is_on)
{
    for (; node; node = node->next) {
        if (!ap_cstr_casecmp(node->directive, "SSLEngine") ||
            !ap_cstr_casecmp(node->directive, "GnuTLSEnable")) {
            *is_on = !ap_cstr_casecmp(node->args, "on");
        }
    }
}

static const char *scheme_of(const server_rec *s)
{
    int is_on = 0;
    if (s->server_scheme && *s->server_scheme) {
        return s->server_scheme;
    }
    read_engine(ap_conftree, &is_on);
    read_engine(apipool_server_section(s), &is_on);
    return is_on ? "https" : "http";
}

/* Where the configuration names no port, the server answers on all: the usual one if httpd listens
 * there, else the first Listen's, which is the last in httpd's list. */
static apr_port_t listening(apr_port_t usual)
{
    apr_port_t port = 0;
    for (const ap_listen_rec *l = ap_listeners; l && port != usual; l = l->next) {
        port = l->bind_addr->port;
    }
    return port;
}

const char *apipool_server_address(apr_pool_t *p, const server_rec *s)
{
    const char *scheme = scheme_of(s), *host = s->server_hostname ? s->server_hostname : "";
    int is_ipv6 = strchr(host, ':') && *host != '[';
    apr_port_t usual = strcmp(scheme, "https") ? 80 : 443;
    apr_port_t port = s->port ? s->port : s->addrs ? s->addrs->host_port : 0;
    port = port ? port : listening(usual);
    const char *address =
        apr_pstrcat(p, scheme, "://", is_ipv6 ? "[" : "", host, is_ipv6 ? "]" : "", NULL);
    return port && port != usual ? apr_psprintf(p, "%s:%hu", address, port) : address;
}
