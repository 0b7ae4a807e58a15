/* SPDX-License-Identifier: Apache-2.0
 * The head of an answer, line by line: what is dropped of it, and what passes mod_proxy by. */
#ifndef APIPOOL_TEXT_HEAD_H
#define APIPOOL_TEXT_HEAD_H

#include <apr_tables.h>

/* mod_proxy takes each field apart and writes it anew; Date it reads twice and formats once. Vendors send
 * twenty fields and more that mean nothing to it: those are set aside, and put back behind it. */

/** Bytes of an answer's head, interim answers included; more is no answer. */
#define APIPOOL_HEAD_MAX (256 * 1024)

/* What is known of the head of an answer. */
typedef struct {
    apr_size_t bytes;   /* read while it was awaited */
    int mid_line;       /* the last part of it ended inside a line */
    int dropping;       /* that line is dropped, and its continuations with it */
    int switching;      /* the status line says 101: what follows is a tunnel */
    int in_fields;      /* the last status line is of a final answer, whose fields follow */
    int in_options;     /* the last line is one of Connection, which may go on */
    apr_table_t *aside; /* fields that mod_proxy is not shown */
    apr_array_header_t *options; /* values of Connection, texts that may name fields; or NULL */
} apipool_head_t;

/** Before an attempt. Its fields are kept in p. */
void apipool_head_begin(apipool_head_t *head, apr_pool_t *p);

/**
 * Takes note of the next line, or of a part of a long one.
 * @param line not empty; ends with its line feed unless it is a part
 * @param next the byte behind it, or -1 if that has not come yet
 * @return whether it is not for mod_proxy
 */
int apipool_head_takes(apipool_head_t *head, const char *line, apr_size_t len, int next);

/** Once mod_proxy has made a table of what it was given: adds what it was not, less what the upstream says is
 *  for this connection only (RFC 9110 section 7.6.1). Later calls add nothing. */
void apipool_head_complete(apipool_head_t *head, apr_table_t *fields);

#endif
