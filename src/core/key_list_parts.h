/* SPDX-License-Identifier: Apache-2.0
 * What the readers of the forms of key lists share. */
#ifndef APIPOOL_CORE_KEY_LIST_PARTS_H
#define APIPOOL_CORE_KEY_LIST_PARTS_H

#include <jansson.h>

#include "key_list.h"

/** Reports an invalid item. */
void apipool_key_list_refuse(const apipool_key_list_t *list, long line, const char *reason);

/** Checks a key and delivers or refuses it. */
void apipool_key_list_deliver(const apipool_key_list_t *list, apipool_key_item_t *item, long line);

/** Adds a byte to the element. Returns 0 if the element is too long, or memory is short. */
int apipool_key_list_keep(apipool_key_list_t *list, char c);

/* --- Pasted text: key_paste.c --- */

/** Reads a byte of a head, words, YAML or a table. */
void apipool_key_paste_read(apipool_key_list_t *list, char c);

/** Ends such a text. */
void apipool_key_paste_end(apipool_key_list_t *list);

/* --- Tables: key_table.c --- */

/** Returns 1 if the head of the list names the columns of a table, and notes them. */
int apipool_key_table_begin(apipool_key_list_t *list);

/** Reads a byte of a row. */
void apipool_key_table_read(apipool_key_list_t *list, char c);

/** Ends the last row. */
void apipool_key_table_end(apipool_key_list_t *list);

/* --- JSON: key_export.c --- */

/** Delivers the keys of an element of an array, or of a whole object, and may change it. */
void apipool_key_export_read(apipool_key_list_t *list, json_t *value);

/**
 * Delivers the keys of an object with "key", each with its other attributes.
 * @param line of the object
 * @return number of keys delivered or refused
 */
int apipool_key_export_object(const apipool_key_list_t *list, json_t *object, long line);

#endif
