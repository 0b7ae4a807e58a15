/* SPDX-License-Identifier: Apache-2.0
 * Between the files of strict. */
#ifndef APIPOOL_CORE_STRICT_PARTS_H
#define APIPOOL_CORE_STRICT_PARTS_H

#include "strict.h"

/** Notes what readers disagree about, unless something was noted before. Returns 0. */
int apipool_strict_doubt(apipool_strict_t *s, const char *what);

/**
 * Takes a header field's value and its parameters apart in place: words of letters, digits and the marks of a
 * token, values of that kind or in quotes without a backslash.
 * @param text  moves behind what was read
 * @param name  the parameter's name, in small letters
 * @return 1, 0 at the end, -1 where readers disagree
 */
int apipool_strict_parameter(char **text, char **name, char **value);

/** The word that a header field's value begins with, with a slash in it or not; NULL where there is none. */
char *apipool_strict_word(char **text, char *end);

/** Whether a charset is one of those in which all readers find the same text. */
int apipool_strict_is_utf8(const char *charset);

/** Whether bytes are UTF-8 without control characters and marks of byte order. */
int apipool_strict_is_clean(const char *text, apr_size_t len);

/** Each looks at a piece, and at the end. */
void apipool_strict_form_feed(apipool_strict_t *s, const char *data, apr_size_t len);
void apipool_strict_form_end(apipool_strict_t *s);
void apipool_strict_form_begin(apipool_strict_t *s, const char *boundary);
void apipool_strict_json_feed(apipool_strict_t *s, const char *data, apr_size_t len);
void apipool_strict_json_end(apipool_strict_t *s);

#endif
