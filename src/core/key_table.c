/* SPDX-License-Identifier: Apache-2.0
 * Reader of tables of keys: CSV whose first line names the columns (RFC 4180). */
#include <apr_cstr.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "key_doubt.h"
#include "key_list_parts.h"

enum { TEXT, NUMBER, FLAG, LIMIT };

/* Names of columns, in English and Chinese, and the members that they become. */
static const struct {
    const char *name, *member;
    int kind;
} columns[] = {
    {"key", "key", TEXT},
    {"api_key", "key", TEXT},
    {"apikey", "key", TEXT},
    {"key_value", "key", TEXT},
    {"密钥", "key", TEXT},
    {"label", "label", TEXT},
    {"name", "label", TEXT},
    {"标签", "label", TEXT},
    {"名称", "label", TEXT},
    {"account", "account", TEXT},
    {"账号", "account", TEXT},
    {"weight", "weight", NUMBER},
    {"权重", "weight", NUMBER},
    {"enabled", "enabled", FLAG},
    {"rpm", "rpm", LIMIT},
    {"rpd", "rpd", LIMIT},
    {"tpm", "tpm", LIMIT},
    {"tpd", "tpd", LIMIT},
    {"concurrency", "concurrency", LIMIT},
};

static int is_margin(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '"' || c == '\'';
}

static void trim(const char **text, apr_size_t *len)
{
    while (*len && is_margin(**text)) {
        (*text)++;
        (*len)--;
    }
    while (*len && is_margin((*text)[*len - 1])) {
        (*len)--;
    }
}

/* Ignores case, and takes a blank or a hyphen for an underscore. */
static int is_named(const char *text, apr_size_t len, const char *name)
{
    apr_size_t i = 0;
    while (i < len && name[i]) {
        int is_blank = text[i] == ' ' || text[i] == '-';
        if (apipool_ascii_lower(text[i]) != name[i] && !(is_blank && name[i] == '_')) {
            return 0;
        }
        i++;
    }
    return i == len && !name[i];
}

static signed char find_column(const char *text, apr_size_t len)
{
    for (apr_size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
        if (is_named(text, len, columns[i].name)) {
            return (signed char)i;
        }
    }
    return -1;
}

static int is_key_column(signed char column)
{
    return column >= 0 && !strcmp(columns[(int)column].member, "key");
}

static int is_delimiter(char c)
{
    return c == ',' || c == ';' || c == '|' || c == '\t';
}

/* No line with a key in it is a head. */
int apipool_key_table_begin(apipool_key_list_t *list)
{
    const char *at = list->head, *end = at + list->head_len;
    apr_size_t first = 0;
    int has_key = 0;
    while (first < list->head_len && !is_delimiter(list->head[first])) {
        first++;
    }
    list->delimiter = first < list->head_len ? list->head[first] : ',';
    list->column_count = 0;
    while (at <= end && list->column_count < APIPOOL_KEY_LIST_COLUMNS) {
        const char *next = memchr(at, list->delimiter, (apr_size_t)(end - at));
        const char *cell = at;
        apr_size_t len = (apr_size_t)((next ? next : end) - at);
        trim(&cell, &len);
        if (len && !apipool_key_doubt_alone(cell, len)) {
            return 0;
        }
        signed char column = find_column(cell, len);
        list->columns[list->column_count++] = column;
        has_key = has_key || is_key_column(column);
        at = next ? next + 1 : end + 1;
    }
    return has_key;
}

/* What is no number or flag stays a text, which is then refused with the reason. */
static json_t *value_of(int kind, const char *text, apr_size_t len)
{
    static const char *const flags[] = {"0", "1", "false", "true", "no", "yes"};
    for (int i = 0; kind == FLAG && i < 6; i++) {
        if (strlen(flags[i]) == len && !apr_cstr_casecmpn(text, flags[i], len)) {
            return json_boolean(i % 2);
        }
    }
    int is_number = len <= 10 && (kind == NUMBER || kind == LIMIT);
    json_int_t number = 0;
    for (apr_size_t i = 0; is_number && i < len; i++) {
        is_number = text[i] >= '0' && text[i] <= '9';
        number = number * 10 + (text[i] - '0');
    }
    return is_number ? json_integer(number) : json_stringn(text, len);
}

static int set_cell(json_t *object, signed char column, const char *text, apr_size_t len)
{
    if (column < 0 || !len) {
        return 1;
    }
    json_t *value = value_of(columns[(int)column].kind, text, len), *to = object;
    if (columns[(int)column].kind == LIMIT) {
        to = json_object_get(object, "limits");
        if (!to) {
            to = json_object();
            json_object_set_new(object, "limits", to);
        }
    }
    if (!value || json_object_get(to, columns[(int)column].member)) {
        json_decref(value);
        return value != NULL;
    }
    return !json_object_set_new(to, columns[(int)column].member, value);
}

static void end_row(apipool_key_list_t *list)
{
    json_t *object = json_object();
    const char *at = list->element;
    apr_size_t left = list->used;
    int good = 1, is_empty = 1;
    for (int i = 0; left && i < list->column_count; i++) {
        apr_size_t cell_len = strnlen(at, left), len = cell_len;
        const char *cell = at;
        trim(&cell, &len);
        is_empty = is_empty && !len;
        good = good && set_cell(object, list->columns[i], cell, len);
        at += cell_len + 1;
        left -= cell_len + 1;
    }
    if (!good) {
        apipool_key_list_refuse(list, list->begin_line, "not UTF-8");
    }
    else if (!is_empty && !apipool_key_export_object(list, object, list->begin_line)) {
        apipool_key_list_refuse(list, list->begin_line, "empty key");
    }
    json_decref(object);
    list->used = 0;
    list->at_cell = 1;
    list->in_quotes = list->after_quote = 0;
}

/* A row that is too long is cut. */
static void end_cell(apipool_key_list_t *list)
{
    if (list->used) {
        apipool_key_list_keep(list, '\0');
    }
    list->at_cell = 1;
    list->after_quote = 0;
}

static void add(apipool_key_list_t *list, char c)
{
    if (!list->used) {
        list->begin_line = list->line;
    }
    list->at_cell = list->at_cell && (c == ' ' || c == '\t');
    apipool_key_list_keep(list, c ? c : '\x01');
}

void apipool_key_table_read(apipool_key_list_t *list, char c)
{
    int opens = c == '"' && !list->in_quotes && (list->at_cell || list->after_quote);
    if (opens) {
        if (list->after_quote) {
            add(list, c);
        }
        list->in_quotes = 1;
        list->after_quote = list->at_cell = 0;
    }
    else if (c == '"' && list->in_quotes) {
        list->in_quotes = 0;
        list->after_quote = 1;
    }
    else if (!list->in_quotes && c == '\n') {
        apipool_key_table_end(list);
    }
    else if (!list->in_quotes && c == list->delimiter) {
        if (!list->used) {
            add(list, ' ');
        }
        end_cell(list);
    }
    else {
        add(list, c);
    }
    list->line += c == '\n';
}

void apipool_key_table_end(apipool_key_list_t *list)
{
    if (list->used) {
        apipool_key_list_keep(list, '\0');
        end_row(list);
    }
    list->at_cell = 1;
    list->in_quotes = list->after_quote = 0;
}
