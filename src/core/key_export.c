/* SPDX-License-Identifier: Apache-2.0
 * Keys in what other tools export as JSON: one-api, new-api, gpt-load, LiteLLM. */
#include <string.h>

#include "json.h"
#include "key_element.h"
#include "key_list_parts.h"

/* Members that hold a key, in the order of preference, and such that hold many. */
static const char *const key_names[] = {"key", "api_key", "apikey", "apiKey", "key_value"};
static const char *const list_names[] = {"keys", "api_keys", "data", "items"};

#define COUNT(names) (sizeof(names) / sizeof(*(names)))

/* Words of a text that may hold several keys. */
typedef struct {
    const apipool_key_list_t *list;
    const apipool_key_item_t *item; /* with the attributes of each */
    long line;
    int count;
} split_t;

static void on_key(void *ctx, const apipool_key_item_t *word)
{
    split_t *split = ctx;
    apipool_key_item_t item = *split->item;
    item.key = word->key;
    item.len = word->len;
    split->count++;
    apipool_key_list_deliver(split->list, &item, split->line);
}

static void on_invalid(void *ctx, long line, const char *reason)
{
    split_t *split = ctx;
    (void)line;
    split->count++;
    apipool_key_list_refuse(split->list, split->line, reason);
}

/* Most texts are one key, which no separator can be in, and which is no word that is skipped. */
static int is_one(const char *text, apr_size_t len)
{
    int has_digit = 0;
    for (apr_size_t i = 0; i < len; i++) {
        if (strchr(",;|=#:`", text[i])) {
            return 0;
        }
        has_digit = has_digit || (text[i] >= '0' && text[i] <= '9');
    }
    return has_digit && !apipool_key_check(text, len);
}

static int deliver_all(const apipool_key_list_t *list, apipool_key_item_t *item, long line)
{
    split_t split = {.list = list, .item = item, .line = line};
    apipool_key_sink_t sink = {.on_key = on_key, .on_invalid = on_invalid, .ctx = &split};
    apipool_key_list_t words;
    if (is_one(item->key, item->len)) {
        apipool_key_list_deliver(list, item, line);
        return 1;
    }
    apipool_key_list_begin(&words, APIPOOL_KEY_LIST_WORDS, &sink);
    apipool_key_list_feed(&words, item->key, item->len);
    apipool_key_list_end(&words);
    apipool_key_list_wipe(&words);
    if (!split.count) {
        apipool_key_list_refuse(list, line, "empty key");
    }
    return split.count ? split.count : 1;
}

/* Other tools say 0 for a weight of no meaning, and "name" for a label. */
static void adapt(json_t *object)
{
    json_t *name = json_object_get(object, "name");
    if (json_is_integer(json_object_get(object, "weight")) &&
        !json_integer_value(json_object_get(object, "weight"))) {
        json_object_del(object, "weight");
    }
    if (json_is_string(name) && !json_object_get(object, "label") &&
        apipool_key_text_is_fit(json_string_value(name), json_string_length(name),
                                APIPOOL_LABEL_MAX)) {
        json_object_set(object, "label", name);
    }
}

int apipool_key_export_object(const apipool_key_list_t *list, json_t *object, long line)
{
    apipool_key_item_t item;
    json_t *key = NULL;
    for (apr_size_t i = 0; !key && i < COUNT(key_names); i++) {
        key = json_object_get(object, key_names[i]);
        key = json_is_string(key) ? key : NULL;
    }
    if (!key) {
        return 0;
    }
    json_object_set(object, "key", key);
    adapt(object);
    const char *fault = apipool_key_element(object, &item);
    if (fault) {
        apipool_key_list_refuse(list, line, fault);
        return 1;
    }
    return deliver_all(list, &item, line);
}

static int is_one_of(const char *name, const char *const *names, apr_size_t count)
{
    for (apr_size_t i = 0; i < count; i++) {
        if (!strcmp(name, names[i])) {
            return 1;
        }
    }
    return 0;
}

/* In an object, what holds keys is counted; in an array, its elements are. */
static long next_line(apipool_key_list_t *list)
{
    list->elements += list->where == APIPOOL_KEY_LIST_IN_OBJECT;
    return list->elements;
}

static int read_text(apipool_key_list_t *list, const json_t *value)
{
    apipool_key_item_t item = {
        .key = json_string_value(value), .len = json_string_length(value), .enabled = 1};
    return deliver_all(list, &item, next_line(list));
}

/* Returns how many keys were delivered or refused. The depth is limited by the reader. */
static int walk(apipool_key_list_t *list, json_t *value, int is_key)
{
    int count = 0;
    size_t i;
    const char *name;
    json_t *part;
    if (json_is_string(value)) {
        return is_key ? read_text(list, value) : 0;
    }
    json_array_foreach(value, i, part)
    {
        count += walk(list, part, is_key);
    }
    for (i = 0; json_is_object(value) && i < COUNT(key_names); i++) {
        if (json_is_string(json_object_get(value, key_names[i]))) {
            return apipool_key_export_object(list, value, next_line(list));
        }
    }
    json_object_foreach(value, name, part)
    {
        count += walk(list, part,
                      is_one_of(name, key_names, COUNT(key_names)) ||
                          is_one_of(name, list_names, COUNT(list_names)));
    }
    return count;
}

void apipool_key_export_read(apipool_key_list_t *list, json_t *value)
{
    long line = list->elements;
    list->elements -= list->where == APIPOOL_KEY_LIST_IN_OBJECT;
    if (!json_is_string(value) && !json_is_object(value)) {
        apipool_key_list_refuse(list, line, "neither a string nor an object");
    }
    else if (!walk(list, value, 1)) {
        apipool_key_list_refuse(list, line, "object without a string \"key\"");
    }
}
