/* SPDX-License-Identifier: Apache-2.0
 * Element of a JSON array of keys. */
#ifndef APIPOOL_CORE_KEY_ELEMENT_H
#define APIPOOL_CORE_KEY_ELEMENT_H

#include <jansson.h>

#include "key.h"

/**
 * Reads a string, which is a key, or an object with "key" and optional "enabled", "label",
 * "weight", "account" and "limits"; other members are ignored. The key is not checked.
 * @param item result; its texts belong to the element
 * @return NULL, or a static sentence that tells what is wrong
 */
const char *apipool_key_element(const json_t *element, apipool_key_item_t *item);

#endif
