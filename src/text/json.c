/* SPDX-License-Identifier: Apache-2.0
 * Reads JSON from a caller. */
#include "json.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <stdint.h>
#include <string.h>

#include "ascii.h"
#include "rfc3339.h"

#define NAME_SHOWN 64 /* bytes of a member's name shown in an error */

/* The result of scanning a text for strings and brackets, without parsing it. */
typedef struct {
    const char *name; /* the last member name of the outermost object */
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

/* Only plain names are shown: a text that is not JSON may have anything in their place. */
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

/* The parser's own message would quote the text. */
static const char *explain(const json_error_t *error, apr_pool_t *p)
{
    const char *reason = apipool_json_reason(error);
    return reason
               ? reason
               : apr_psprintf(p, "Invalid JSON at line %d, column %d.", error->line, error->column);
}

/* Overwrites text, which may be a password or a key. The depth is bounded, so recursion is safe. */
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

/* Parses an object or array that lives as long as the pool. On error returns NULL and sets the
 * flaw, which names the enclosing member if there is one. */
static const json_t *parse(apr_pool_t *p, const char *text, apr_size_t len,
                           apipool_input_error_t *flaw)
{
    look_t look;
    json_error_t error;

    while (len && apipool_ascii_is_blank(*text)) {
        text++;
        len--;
    }
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

/* Explains why a value is not a text of at most max bytes; NULL if it is. */
static const char *text_fault(apr_pool_t *p, const json_t *value, apr_size_t max)
{
    const char *text = json_string_value(value);
    apr_size_t len = json_string_length(value);
    if (!json_is_string(value)) {
        return "Must be a string.";
    }
    if (len > max) {
        return apr_psprintf(p, "Must be at most %" APR_SIZE_T_FMT " bytes long.", max);
    }
    for (apr_size_t i = 0; i < len; i++) {
        if (apipool_ascii_is_control(text[i])) {
            return apr_psprintf(p, "Must not contain the control character U+%04X.",
                                (unsigned char)text[i]);
        }
    }
    return NULL;
}

static const char *take_strings(apr_pool_t *p, const apipool_json_member_t *member,
                                const json_t *value, apr_array_header_t **texts)
{
    if (!json_is_array(value) || json_array_size(value) > (apr_size_t)member->count) {
        return apr_psprintf(p, "Must be an array of at most %d strings.", member->count);
    }
    *texts = apr_array_make(p, (int)json_array_size(value) + 1, sizeof(const char *));
    for (apr_size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        const char *fault = text_fault(p, one, (apr_size_t)member->max);
        if (fault || !json_string_length(one)) {
            return fault ? fault : "Must not contain an empty string.";
        }
        APR_ARRAY_PUSH(*texts, const char *) = json_string_value(one);
    }
    return NULL;
}

/* Stores a value in its place, or explains why it is invalid. */
static const char *take(apr_pool_t *p, const apipool_json_member_t *member, const json_t *value,
                        void *to)
{
    const char *fault;
    switch (member->kind) {
    case APIPOOL_JSON_STRING:
        *(const char **)to = json_string_value(value);
        return text_fault(p, value, (apr_size_t)member->max);
    case APIPOOL_JSON_BOOLEAN:
        *(int *)to = json_is_true(value);
        return json_is_boolean(value) ? NULL : "Must be true or false.";
    case APIPOOL_JSON_INTEGER:
    case APIPOOL_JSON_COUNT:
        *(apr_uint32_t *)to = (apr_uint32_t)json_integer_value(value);
        return json_is_integer(value) &&
                       json_integer_value(value) >= (member->kind == APIPOOL_JSON_INTEGER) &&
                       json_integer_value(value) <= member->max
                   ? NULL
                   : apr_psprintf(p, "Must be a whole number from %d to %" APR_INT64_T_FMT ".",
                                  member->kind == APIPOOL_JSON_INTEGER, member->max);
    case APIPOOL_JSON_TIME:
        fault = text_fault(p, value, APIPOOL_RFC3339_SIZE * 2);
        *(apr_time_t *)to = fault ? 0 : apipool_rfc3339_read(json_string_value(value));
        return fault || *(apr_time_t *)to > 0 ? fault
                                              : "Must be a time such as 2030-12-31T23:59:59Z.";
    case APIPOOL_JSON_STRINGS:
        return take_strings(p, member, value, to);
    default:
        return "Must be a JSON object.";
    }
}

/* Explains why a member may not be absent or null; NULL if it may. */
static const char *absence_fault(const apipool_json_member_t *member, const json_t *value)
{
    return member->need == APIPOOL_JSON_REQUIRED            ? "This member is required."
           : value && member->need == APIPOOL_JSON_NOT_NULL ? "Must not be null."
                                                            : NULL;
}

/* Shortens a name for an error message, at a character boundary. */
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

/* An object being read into a struct. */
typedef struct {
    apr_pool_t *p;
    const char *prefix; /* put before names in errors: "limits." */
    void *to;
    apipool_input_error_t *flaw;
} reading_t;

static void refuse(const reading_t *reading, const char *name, const char *message)
{
    reading->flaw->field = apr_pstrcat(reading->p, reading->prefix, name, NULL);
    reading->flaw->message = message;
}

static void refuse_unknown(const reading_t *reading, const json_t *object,
                           const apipool_json_member_t *members)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, name, value)
    {
        const apipool_json_member_t *member = members;
        while (member->name && strcmp(member->name, name)) {
            member++;
        }
        if (!member->name) {
            refuse(reading, cut_name(reading->p, name), "Unknown member.");
            return;
        }
    }
}

static unsigned read_object(const reading_t *reading, const json_t *object,
                            const apipool_json_member_t *members)
{
    unsigned given = 0;
    for (int i = 0; members[i].name && !reading->flaw->message; i++) {
        const apipool_json_member_t *member = &members[i];
        const json_t *value = json_object_get(object, member->name);
        const char *fault = NULL;
        if (!value || json_is_null(value)) {
            fault = absence_fault(member, value);
            given |= value && member->need != APIPOOL_JSON_OPTIONAL ? 1U << i : 0;
        }
        else if (member->kind == APIPOOL_JSON_OBJECT && json_is_object(value)) {
            reading_t inner = *reading;
            inner.prefix = apr_pstrcat(inner.p, inner.prefix, member->name, ".", NULL);
            read_object(&inner, value, member->members);
            if (member->offset) {
                *(int *)((char *)reading->to + member->offset) = 1;
            }
            given |= 1U << i;
        }
        else {
            fault = take(reading->p, member, value, (char *)reading->to + member->offset);
            given |= 1U << i;
        }
        if (fault) {
            refuse(reading, member->name, fault);
        }
    }
    if (!reading->flaw->message) {
        refuse_unknown(reading, object, members);
    }
    return given;
}

unsigned apipool_json_read(apr_pool_t *p, const char *text, apr_size_t len,
                           const apipool_json_member_t *members, void *to,
                           apipool_input_error_t *flaw)
{
    memset(flaw, 0, sizeof(*flaw));
    const json_t *root = parse(p, text, len, flaw);
    reading_t reading = {p, "", to, flaw};
    if (root && !json_is_object(root)) {
        flaw->message = "Must be a JSON object.";
    }
    return flaw->message ? 0 : read_object(&reading, root, members);
}
