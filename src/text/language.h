/* SPDX-License-Identifier: Apache-2.0
 * Chooses the language a client prefers, and translates sentences. */
#ifndef APIPOOL_TEXT_LANGUAGE_H
#define APIPOOL_TEXT_LANGUAGE_H

#include <apr_pools.h>

/**
 * Chooses a language by an Accept-Language field (RFC 9110 section 12.5.4). A range matches every
 * tag with the same primary language, so that a reader of zh-TW gets zh-CN rather than English. An
 * exact match takes precedence over that, and that over "*"; among equal weights the first range
 * wins. Malformed ranges are skipped. Pure, thread-safe.
 * @param field  NULL if absent
 * @param tags   language tags (RFC 5646); the first is the default
 * @return the index of the tag
 */
int apipool_language_choose(const char *field, const char *const *tags, int count);

/* A sentence and its translation. Placeholders {1} to {9} stand for the variable parts in both.
 * Tables end with NULL. */
typedef struct {
    const char *english, *translated;
} apipool_phrase_t;

/**
 * Translates a sentence by the first phrase that matches it, placeholders matching any text. That
 * text is translated too if there is a phrase for it. O(phrases). Thread-safe.
 * @return a sentence allocated from p, or english itself if no phrase matches
 */
const char *apipool_phrase_translate(const apipool_phrase_t *phrases, const char *english,
                                     apr_pool_t *p);

#endif
