/* SPDX-License-Identifier: Apache-2.0
 * Element of a JSON array of keys. */
#include "key_element.h"

/* Reads a whole number from 1 to max; 0 if absent. Returns 0 for anything else. */
static int read_count(const json_t *object, const char *name, json_int_t max, apr_uint32_t *count)
{
    const json_t *value = json_object_get(object, name);
    json_int_t number = json_integer_value(value);
    *count = (apr_uint32_t)number;
    return !value || json_is_null(value) || (json_is_integer(value) && number > 0 && number <= max);
}

static const char *read_limits(const json_t *limits, apipool_key_limits_t *out)
{
    if (!limits || json_is_null(limits)) {
        return NULL;
    }
    return json_is_object(limits) && read_count(limits, "rpm", APR_UINT32_MAX, &out->rpm) &&
                   read_count(limits, "rpd", APR_UINT32_MAX, &out->rpd) &&
                   read_count(limits, "tpm", APR_UINT32_MAX, &out->tpm) &&
                   read_count(limits, "tpd", APR_UINT32_MAX, &out->tpd) &&
                   read_count(limits, "concurrency", APR_UINT32_MAX, &out->concurrency)
               ? NULL
               : "\"limits\" is not an object of whole numbers above 0";
}

/* Returns 1 for a valid short text, or if absent. */
static int is_text(const json_t *value, apr_size_t max)
{
    return !value || json_is_null(value) ||
           (json_is_string(value) &&
            apipool_key_text_is_fit(json_string_value(value), json_string_length(value), max));
}

/* Reads the attributes of an object. Returns NULL, or what is wrong. */
static const char *read_attributes(const json_t *object, apipool_key_item_t *item)
{
    const json_t *flag = json_object_get(object, "enabled");
    const json_t *account = json_object_get(object, "account");
    const json_t *label = json_object_get(object, "label");
    if (flag && !json_is_boolean(flag)) {
        return "\"enabled\" is neither true nor false";
    }
    item->enabled = !json_is_false(flag);
    if (!read_count(object, "weight", APIPOOL_WEIGHT_MAX, &item->weight)) {
        return "\"weight\" is not a whole number from 1 to 1000";
    }
    if (!is_text(account, APIPOOL_ACCOUNT_MAX)) {
        return "\"account\" is not a string of at most 64 bytes without control characters";
    }
    if (!is_text(label, APIPOOL_LABEL_MAX)) {
        return "\"label\" is not a string of at most 120 bytes without control characters";
    }
    item->account = json_string_value(account);
    item->label = json_string_value(label);
    return read_limits(json_object_get(object, "limits"), &item->limits);
}

const char *apipool_key_element(const json_t *element, apipool_key_item_t *item)
{
    int is_object = json_is_object(element);
    const json_t *key = is_object ? json_object_get(element, "key") : element;
    *item = (apipool_key_item_t){.enabled = 1};
    const char *fault = is_object ? read_attributes(element, item) : NULL;
    if (!fault && !json_is_string(key)) {
        fault = is_object ? "object without a string \"key\"" : "neither a string nor an object";
    }
    item->key = json_string_value(key);
    item->len = json_string_length(key);
    return fault;
}
