/* SPDX-License-Identifier: Apache-2.0
 * One element of an array of keys: what it says. */
#ifndef APIPOOL_CORE_KEY_ELEMENT_H
#define APIPOOL_CORE_KEY_ELEMENT_H

#include <jansson.h>

#include "key.h"

/**
 * Reads a string, which is a key, or an object with "key" and optional "enabled", "label", "weight",
 * "account" and "limits"; other members are ignored. The key is not checked.
 * @param item result; its texts are those of the element
 * @return what is wrong with it, a static sentence; or NULL
 */
const char *apipool_key_element(const json_t *element, apipool_key_item_t *item);

#endif
