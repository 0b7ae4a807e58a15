/* SPDX-License-Identifier: Apache-2.0
 * What a vendor said of an error, in its own words: short, clean, without the key. */
#ifndef APIPOOL_CORE_WORDS_H
#define APIPOOL_CORE_WORDS_H

#include <apr.h>

#define APIPOOL_WORDS_SIZE 200 /* bytes with NUL */

/* Type, code and message, each but the last with a line feed behind it; all zero: the vendor said
 * nothing. UTF-8 without any other control character. */
typedef struct {
    char text[APIPOOL_WORDS_SIZE];
} apipool_words_t;

/** Makes words of the fields of an error answer. What is not UTF-8 becomes "?", a control
 *  character a blank; what does not fit is cut between characters. */
void apipool_words_make(apipool_words_t *words, const char *type, const char *code,
                        const char *message);

/** Masks a key in words, and at their end any beginning of it that the cut has left. */
void apipool_words_mask(apipool_words_t *words, const char *key, apr_size_t len);

/* The parts; each is "" where the vendor did not say it. */
typedef struct {
    char type[APIPOOL_WORDS_SIZE], code[APIPOOL_WORDS_SIZE], message[APIPOOL_WORDS_SIZE];
} apipool_words_parts_t;

/** Takes words apart; any text will do. */
void apipool_words_read(const char *text, apipool_words_parts_t *parts);

#endif
