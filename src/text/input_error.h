/* SPDX-License-Identifier: Apache-2.0
 * What is wrong with something that a caller sent. */
#ifndef APIPOOL_TEXT_INPUT_ERROR_H
#define APIPOOL_TEXT_INPUT_ERROR_H

/* Both are NULL while nothing is wrong. Neither ever holds a value that was sent: it may be a secret. */
typedef struct {
    const char *field;   /* the member or parameter; NULL: the whole */
    const char *message; /* a sentence for whoever sent it */
} apipool_input_error_t;

#endif
