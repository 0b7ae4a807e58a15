/* SPDX-License-Identifier: Apache-2.0
 * The head of an answer, line by line: what is dropped of it, and what passes mod_proxy by. */
#ifndef APIPOOL_RELAY_HEAD_H
#define APIPOOL_RELAY_HEAD_H

#include "request.h"

/* mod_proxy takes each field apart and writes it anew; Date it reads twice and formats once. Vendors send twenty
 * fields and more that mean nothing to it: those are set aside as they are and put back behind it. */

/** Bytes of an answer's head, interim answers included; more is no answer. */
#define APIPOOL_HEAD_MAX (256 * 1024)

/** Before an attempt. Its fields are kept in p. */
void apipool_head_begin(apipool_head_t *head, apr_pool_t *p);

/**
 * Takes note of the next line, or of a part of a long one.
 * @param line not empty; ends with its line feed unless it is a part
 * @param next the byte behind it, or -1 if that has not come yet
 * @return whether it is not for mod_proxy
 */
int apipool_head_takes(apipool_head_t *head, const char *line, apr_size_t len, int next);

/** Once mod_proxy has made a table of what it was given: adds what it was not, less what the upstream says is for
 *  this connection only (RFC 9110 section 7.6.1). Later calls add nothing. */
void apipool_head_complete(apipool_head_t *head, apr_table_t *fields);

#endif
