/* SPDX-License-Identifier: Apache-2.0
 * The head of an HTTP/1 response, taken apart in place (RFC 9112 sections 4 and 5). */
#ifndef APIPOOL_TEXT_RESPONSE_HEAD_H
#define APIPOOL_TEXT_RESPONSE_HEAD_H

#include <apr.h>

/** Bytes of a head, interim responses included; more is no response. */
#define APIPOOL_RESPONSE_HEAD_MAX (256 * 1024)

/** A status line. */
typedef struct {
    int minor;        /* version: HTTP/1.minor */
    int status;       /* 100 to 999 */
    const char *text; /* from the status on: "200 OK"; ends with a blank where there is no reason */
} apipool_status_line_t;

/** Whether what has come may be the beginning of a response. len may be 0. */
int apipool_response_head_is_http(const char *text, apr_size_t len);

/**
 * Finds the end of a head: the byte behind its empty line.
 * @param from how many bytes were looked at before, in vain
 * @return NULL if the head is not complete
 */
char *apipool_response_head_end(char *text, apr_size_t len, apr_size_t from);

/**
 * Reads the status line. The head must be complete.
 * @param at where it begins; moved to the first field
 * @return 0 if it is malformed
 */
int apipool_response_head_status(char **at, char *end, apipool_status_line_t *line);

/**
 * Reads the next field. Its name and value end in zeros, which replace what stood behind them.
 * Folded lines become one, and control characters become blanks (RFC 9110 section 5.5).
 * @param at where it begins; moved to the next one
 * @return 1; 0 at the end of the head; -1 if it is malformed
 */
int apipool_response_head_field(char **at, char *end, char **name, char **value);

#endif
