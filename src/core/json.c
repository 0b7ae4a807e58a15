/* SPDX-License-Identifier: Apache-2.0
 * Reads JSON that a caller sent. */
#include "json.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#include "ascii.h"
#include "stamp.h"

#define NAME_SHOWN 64 /* bytes of a member's name in a flaw */

/* What a look over a text has found; it knows strings, brackets and nothing else of JSON. */
typedef struct {
    const char *name; /* the last name of a member of the outermost object */
    apr_size_t name_len;
    int deepest;
    apr_size_t values;
} look_t;

static void look_over(look_t *look, const char *text, apr_size_t len)
{
    const char *end = text + len;
    int depth = 0, wants_name = 0;
    memset(look, 0, sizeof(*look));
    for (const char *c = text; c < end; c++) {
        int opens = *c == '{' || *c == '[';
        depth += opens - (*c == '}' || *c == ']');
        look->deepest = depth > look->deepest ? depth : look->deepest;
        look->values += opens || *c == ',';
        if (opens || *c == ',') {
            wants_name = depth == 1 && *text == '{';
        }
        else if (*c == '"') {
            const char *from = ++c;
            while (c < end && *c != '"') {
                c += *c == '\\' ? 2 : 1;
            }
            look->name = wants_name ? from : look->name;
            look->name_len = !wants_name ? look->name_len : c < end ? (apr_size_t)(c - from) : 0;
            wants_name = 0;
        }
    }
}

/* Nothing but plain names is shown: a text that is no JSON may have anything in their place. */
static const char *show_name(const look_t *look, apr_pool_t *p)
{
    if (!look->name || !look->name_len || look->name_len > NAME_SHOWN) {
        return NULL;
    }
    for (apr_size_t i = 0; i < look->name_len; i++) {
        if (!apipool_ascii_is_alnum(look->name[i]) && look->name[i] != '_') {
            return NULL;
        }
    }
    return apr_pstrmemdup(p, look->name, look->name_len);
}

const char *apipool_json_reason(const json_error_t *error)
{
    switch (json_error_code(error)) {
    case json_error_invalid_utf8:
        return "Must be UTF-8.";
    case json_error_duplicate_key:
        return "Duplicate member.";
    case json_error_null_byte_in_key:
    case json_error_null_character:
        return "NUL is not allowed.";
    case json_error_numeric_overflow:
        return "The number is too large.";
    default:
        return NULL;
    }
}

/* What the parser says would quote the text. */
static const char *explain(const json_error_t *error, apr_pool_t *p)
{
    const char *reason = apipool_json_reason(error);
    return reason
               ? reason
               : apr_psprintf(p, "Invalid JSON at line %d, column %d.", error->line, error->column);
}

/* Overwrites text: it may have been a password or a key. The tree is not deep. */
static void wipe(const json_t *value)
{
    const char *name;
    json_t *member;
    apr_size_t i;
    if (json_is_string(value)) {
        OPENSSL_cleanse((void *)(uintptr_t)json_string_value(value), json_string_length(value));
    }
    else if (json_is_array(value)) {
        json_array_foreach(value, i, member)
        {
            wipe(member);
        }
    }
    else if (json_is_object(value)) {
        json_object_foreach((json_t *)(uintptr_t)value, name, member)
        {
            wipe(member);
        }
    }
}

void apipool_json_release(json_t *value)
{
    wipe(value);
    json_decref(value);
}

static apr_status_t release(void *root)
{
    apipool_json_release(root);
    return APR_SUCCESS;
}

const char *apipool_json_excess(int depth, apr_size_t values)
{
    return depth > APIPOOL_JSON_DEPTH     ? "Nested too deeply."
           : values > APIPOOL_JSON_VALUES ? "Too many values."
                                          : NULL;
}

const json_t *apipool_json_parse(apr_pool_t *p, const char *text, apr_size_t len,
                                 apipool_flaw_t *flaw)
{
    look_t look;
    json_error_t error;

    while (len && (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')) {
        text++;
        len--;
    }
    memset(flaw, 0, sizeof(*flaw));
    look_over(&look, text, len);
    flaw->message = apipool_json_excess(look.deepest, look.values);
    if (flaw->message) {
        return NULL;
    }
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!root) {
        apr_size_t until = error.position > 0 ? (apr_size_t)error.position : 0;
        look_over(&look, text, until < len ? until : len);
        flaw->field = show_name(&look, p);
        flaw->message = explain(&error, p);
        return NULL;
    }
    apr_pool_cleanup_register(p, root, release, apr_pool_cleanup_null);
    return root;
}

static void open_object(apipool_json_t *json, apr_pool_t *p, const json_t *object,
                        const char *prefix, apipool_flaw_t *flaw)
{
    memset(json, 0, sizeof(*json));
    json->p = p;
    json->object = object;
    json->prefix = prefix;
    json->flaw = flaw;
}

int apipool_json_open(apipool_json_t *json, apr_pool_t *p, const char *text, apr_size_t len,
                      apipool_flaw_t *flaw)
{
    const json_t *root = apipool_json_parse(p, text, len, flaw);
    open_object(json, p, root, "", flaw);
    if (root && !json_is_object(root)) {
        flaw->message = "Must be a JSON object.";
    }
    return !flaw->message;
}

void apipool_json_refuse(apipool_json_t *json, const char *name, const char *message)
{
    if (!json->flaw->message) {
        json->flaw->field = apr_pstrcat(json->p, json->prefix, name, NULL);
        json->flaw->message = message;
    }
}

/* The member, from now on known; NULL where it is absent, or there is a flaw. */
static const json_t *find(apipool_json_t *json, const char *name)
{
    if (json->flaw->message) {
        return NULL;
    }
    if (json->known_count < APIPOOL_JSON_MEMBERS) {
        json->known[json->known_count++] = name;
    }
    return json_object_get(json->object, name);
}

/* What can be said before the type is looked at. */
static apipool_json_e presence(const json_t *value)
{
    return !value                ? APIPOOL_JSON_ABSENT
           : json_is_null(value) ? APIPOOL_JSON_NULL
                                 : APIPOOL_JSON_GIVEN;
}

static apipool_json_e refused(apipool_json_t *json, const char *name, const char *message)
{
    apipool_json_refuse(json, name, message);
    return APIPOOL_JSON_ABSENT;
}

/* Why a value is no text of at most max bytes, or NULL. */
static const char *text_fault(apipool_json_t *json, const json_t *value, apr_size_t max)
{
    const char *text = json_string_value(value);
    apr_size_t len = json_string_length(value);
    if (!json_is_string(value)) {
        return "Must be a string.";
    }
    if (len > max) {
        return apr_psprintf(json->p, "Must be at most %" APR_SIZE_T_FMT " bytes long.", max);
    }
    for (apr_size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f) {
            return apr_psprintf(json->p, "Must not contain the control character U+%04X.",
                                (unsigned char)text[i]);
        }
    }
    return NULL;
}

apipool_json_e apipool_json_string(apipool_json_t *json, const char *name, apr_size_t max,
                                   const char **value)
{
    const json_t *member = find(json, name);
    apipool_json_e result = presence(member);
    const char *fault = result == APIPOOL_JSON_GIVEN ? text_fault(json, member, max) : NULL;
    if (fault) {
        return refused(json, name, fault);
    }
    if (result == APIPOOL_JSON_GIVEN) {
        *value = json_string_value(member);
    }
    return result;
}

apipool_json_e apipool_json_boolean(apipool_json_t *json, const char *name, int *value)
{
    const json_t *member = find(json, name);
    apipool_json_e result = presence(member);
    if (result == APIPOOL_JSON_GIVEN && !json_is_boolean(member)) {
        return refused(json, name, "Must be true or false.");
    }
    if (result == APIPOOL_JSON_GIVEN) {
        *value = json_is_true(member);
    }
    return result;
}

apipool_json_e apipool_json_integer(apipool_json_t *json, const char *name, apr_int64_t min,
                                    apr_int64_t max, apr_int64_t *value)
{
    const json_t *member = find(json, name);
    apipool_json_e result = presence(member);
    if (result != APIPOOL_JSON_GIVEN) {
        return result;
    }
    if (!json_is_integer(member) || json_integer_value(member) < min ||
        json_integer_value(member) > max) {
        return refused(json, name,
                       apr_psprintf(json->p,
                                    "Must be a whole number from %" APR_INT64_T_FMT
                                    " to %" APR_INT64_T_FMT ".",
                                    min, max));
    }
    *value = json_integer_value(member);
    return result;
}

apipool_json_e apipool_json_time(apipool_json_t *json, const char *name, apr_time_t *value)
{
    const char *text = NULL;
    apipool_json_e result = apipool_json_string(json, name, APIPOOL_STAMP_SIZE * 2, &text);
    apr_time_t time = result == APIPOOL_JSON_GIVEN ? apipool_stamp_read(text) : 0;
    if (result == APIPOOL_JSON_GIVEN && time <= 0) {
        return refused(json, name, "Must be a time such as 2030-12-31T23:59:59Z.");
    }
    if (result == APIPOOL_JSON_GIVEN) {
        *value = time;
    }
    return result;
}

apipool_json_e apipool_json_strings(apipool_json_t *json, const char *name, int max_count,
                                    apr_size_t max, apr_array_header_t **values)
{
    const json_t *member = find(json, name);
    apipool_json_e result = presence(member);
    if (result != APIPOOL_JSON_GIVEN) {
        return result;
    }
    if (!json_is_array(member) || json_array_size(member) > (apr_size_t)max_count) {
        return refused(json, name,
                       apr_psprintf(json->p, "Must be an array of at most %d strings.", max_count));
    }
    *values = apr_array_make(json->p, (int)json_array_size(member) + 1, sizeof(const char *));
    for (apr_size_t i = 0; i < json_array_size(member); i++) {
        const json_t *one = json_array_get(member, i);
        const char *fault = text_fault(json, one, max);
        if (!fault && !json_string_length(one)) {
            fault = "Must not contain an empty string.";
        }
        if (fault) {
            return refused(json, name, fault);
        }
        APR_ARRAY_PUSH(*values, const char *) = json_string_value(one);
    }
    return result;
}

apipool_json_e apipool_json_object(apipool_json_t *json, const char *name, apipool_json_t *member)
{
    const json_t *value = find(json, name);
    apipool_json_e result = presence(value);
    if (result == APIPOOL_JSON_GIVEN && !json_is_object(value)) {
        return refused(json, name, "Must be a JSON object.");
    }
    if (result == APIPOOL_JSON_GIVEN) {
        open_object(member, json->p, value, apr_pstrcat(json->p, json->prefix, name, ".", NULL),
                    json->flaw);
    }
    return result;
}

void apipool_json_require(apipool_json_t *json, const char *name, apipool_json_e result)
{
    if (result != APIPOOL_JSON_GIVEN) {
        apipool_json_refuse(json, name, "This member is required.");
    }
}

/* What can be shown of a name, cut between two characters. */
static const char *cut_name(apr_pool_t *p, const char *name)
{
    apr_size_t len = strnlen(name, NAME_SHOWN + 1);
    if (len > NAME_SHOWN) {
        len = NAME_SHOWN;
        while (len && ((unsigned char)name[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    return apr_pstrmemdup(p, name, len);
}

int apipool_json_close(apipool_json_t *json)
{
    const char *name;
    json_t *value;
    if (json->flaw->message) {
        return 0;
    }
    json_object_foreach((json_t *)(uintptr_t)json->object, name, value)
    {
        int i = 0;
        while (i < json->known_count && strcmp(json->known[i], name)) {
            i++;
        }
        if (i == json->known_count) {
            apipool_json_refuse(json, cut_name(json->p, name), "Unknown member.");
            return 0;
        }
    }
    return 1;
}
