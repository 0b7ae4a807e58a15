/* SPDX-License-Identifier: Apache-2.0
 * The error in something that a caller sent. */
#ifndef APIPOOL_TEXT_INPUT_ERROR_H
#define APIPOOL_TEXT_INPUT_ERROR_H

/* Both are NULL if there is no error. Neither ever holds a value that was sent: it may be a
 * secret. */
typedef struct {
    const char *field;   /* the member or parameter; NULL: the input as a whole */
    const char *message; /* a sentence for the sender */
} apipool_input_error_t;

#endif
