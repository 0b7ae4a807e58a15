/* SPDX-License-Identifier: Apache-2.0
 * Which language a client prefers, and sentences in it. */
#ifndef APIPOOL_TEXT_LANGUAGE_H
#define APIPOOL_TEXT_LANGUAGE_H

#include <apr_pools.h>

/**
 * Chooses a language by a field Accept-Language (RFC 9110 section 12.5.4). A range fits a tag of the same
 * primary language, so that whoever reads zh-TW gets zh-CN rather than English. What is said of the tag
 * itself counts before that, and that before "*"; of equal weights the one that is named first wins. What is
 * no range is skipped. Pure, thread-safe.
 * @param field  NULL: there is none
 * @param tags   language tags (RFC 5646); the first one is chosen where nothing else is wanted
 * @return the number of the tag
 */
int apipool_language_choose(const char *field, const char *const *tags, int count);

/* A sentence and its translation. What varies stands as {1} to {9} in both. Tables end with NULL. */
typedef struct {
    const char *english, *translated;
} apipool_phrase_t;

/**
 * Translates a sentence: by the phrase that it is, or whose fixed parts it has with anything in between.
 * What is in between is translated too where there is a phrase for it. O(phrases). Thread-safe.
 * @return a sentence in p, or english itself where there is no phrase for it
 */
const char *apipool_phrase_translate(const apipool_phrase_t *phrases, const char *english,
                                     apr_pool_t *p);

#endif
