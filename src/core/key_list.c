/* SPDX-License-Identifier: Apache-2.0
 * Incremental reader of key lists, as text or JSON. */
#include "key_list.h"

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "key_element.h"
#include "key_list_parts.h"

static const char byte_order_mark[] = "\xef\xbb\xbf";
#define MARK_LEN 3

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

void apipool_key_list_refuse(const apipool_key_list_t *list, long line, const char *reason)
{
    if (list->sink->on_invalid) {
        list->sink->on_invalid(list->sink->ctx, line, reason);
    }
}

void apipool_key_list_deliver(const apipool_key_list_t *list, apipool_key_item_t *item, long line)
{
    item->line = line;
    const char *reason = apipool_key_check(item->key, item->len);
    if (reason) {
        apipool_key_list_refuse(list, line, reason);
    }
    else if (list->sink->on_key) {
        list->sink->on_key(list->sink->ctx, item);
    }
}

/* --- Text --- */

static void end_item(apipool_key_list_t *list)
{
    apipool_key_item_t item = {.key = list->key, .len = list->key_len, .enabled = 1};
    if (item.len) {
        apipool_key_list_deliver(list, &item, list->line);
    }
    list->used = list->key_len = 0;
}

/* Keeps only the length of an item that is too long. */
static void add_to_item(apipool_key_list_t *list, char c)
{
    if (list->used < sizeof(list->key)) {
        list->key[list->used] = c;
    }
    list->used++;
    if (!is_blank(c)) {
        list->key_len = list->used;
    }
}

static void read_text(apipool_key_list_t *list, char c)
{
    if (c == '\n') {
        end_item(list);
        list->line++;
        list->in_line = list->in_comment = 0;
    }
    else if (list->in_comment || (is_blank(c) && !list->used)) {
        return;
    }
    else if (c == '#' && !list->in_line) {
        list->in_comment = 1;
    }
    else {
        list->in_line = 1;
        if (c == ',') {
            end_item(list);
        }
        else {
            add_to_item(list, c);
        }
    }
}

/* --- Arrays --- */

static int fail(apipool_key_list_t *list, const char *message, const char *reason)
{
    list->is_broken = 1;
    list->message = message;
    list->reason = reason;
    return 0;
}

static int fail_here(apipool_key_list_t *list)
{
    return fail(list, NULL, "malformed JSON");
}

static int fail_excess(apipool_key_list_t *list, const char *message)
{
    list->line = 1; /* the error concerns the whole list */
    return fail(list, message, "JSON that is nested too deeply, or has too many values");
}

/* Counts like the parser: continuation bytes of a character are not columns. */
static void note_place(apipool_key_list_t *list, char c)
{
    if (c == '\n') {
        list->line++;
        list->column = 0;
    }
    else if (((unsigned char)c & 0xc0) != 0x80) {
        list->column++;
    }
}

/* Converts a position within the element, as the parser reports it. */
static int fail_there(apipool_key_list_t *list, const json_error_t *error)
{
    list->column = error->column + (error->line > 1 ? 0 : list->begin_column);
    list->line = list->begin_line + (error->line > 1 ? error->line - 1 : 0);
    return fail(list, apipool_json_reason(error), "malformed JSON");
}

static json_t *parse(const apipool_key_list_t *list, json_error_t *error)
{
    return json_loadb(list->element, list->used,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, error);
}

static apr_size_t max_element(const apipool_key_list_t *list)
{
    return list->form == APIPOOL_KEY_LIST_FILE ? APIPOOL_KEY_LIST_ELEMENT_MAX
                                               : APIPOOL_KEY_LIST_EXPORT_MAX;
}

static void wipe_element(apipool_key_list_t *list)
{
    if (list->element) {
        OPENSSL_cleanse(list->element, list->element_size);
        free(list->element);
    }
}

int apipool_key_list_keep(apipool_key_list_t *list, char c)
{
    if (list->used == list->element_size) {
        apr_size_t size =
            list->element_size ? 2 * list->element_size : APIPOOL_KEY_LIST_ELEMENT_MAX;
        char *grown = size > max_element(list) ? NULL : malloc(size);
        if (!grown) {
            return 0;
        }
        memcpy(grown, list->element ? list->element : grown, list->used);
        wipe_element(list);
        list->element = grown;
        list->element_size = size;
    }
    list->element[list->used++] = c;
    return 1;
}

/* Also parses what cannot be an element, to find out why. */
static int end_element(apipool_key_list_t *list)
{
    json_error_t error;
    apipool_key_item_t item;
    json_t *element = parse(list, &error);
    list->elements++;
    if (!element) {
        return fail_there(list, &error);
    }
    const char *fault =
        list->form == APIPOOL_KEY_LIST_FILE ? apipool_key_element(element, &item) : NULL;
    if (list->form != APIPOOL_KEY_LIST_FILE) {
        apipool_key_export_read(list, element);
    }
    else if (fault) {
        apipool_key_list_refuse(list, list->elements, fault);
    }
    else {
        apipool_key_list_deliver(list, &item, list->elements);
    }
    apipool_json_release(element);
    list->used = 0;
    return 1;
}

static int fail_long(apipool_key_list_t *list)
{
    json_error_t error;
    json_t *element = parse(list, &error);
    if (element) {
        apipool_json_release(element);
    }
    else if (json_error_code(&error) != json_error_premature_end_of_input) {
        return fail_there(list, &error);
    }
    return list->form == APIPOOL_KEY_LIST_FILE
               ? fail(list, NULL, "element longer than 65536 bytes")
               : fail(list, "An element of the array, or an object, is longer than 8 MiB.",
                      "element or object longer than 8 MiB");
}

static int add_to_element(apipool_key_list_t *list, char c)
{
    if (!list->used) {
        if (is_blank(c) || c == '\n') {
            return 1;
        }
        list->begin_line = list->line;
        list->begin_column = list->column - 1;
    }
    return apipool_key_list_keep(list, c) ? 1 : fail_long(list);
}

/* A line cannot end inside a string, so what follows is not read as part of it. */
static int read_string(apipool_key_list_t *list, char c)
{
    if (!add_to_element(list, c)) {
        return 0;
    }
    if ((unsigned char)c < ' ') {
        return end_element(list) ? fail_here(list) : 0;
    }
    if (list->escaped || c == '\\') {
        list->escaped = !list->escaped;
    }
    else if (c == '"') {
        list->in_string = 0;
    }
    return 1;
}

/* Reads a separator between elements. The parser finds brackets that do not match. */
static int read_array_end(apipool_key_list_t *list, char c)
{
    int is_empty = c == ']' && !list->used && !list->elements;
    if (!is_empty && !(list->used ? end_element(list) : fail_here(list))) {
        return 0;
    }
    if (c == ']') {
        list->where = APIPOOL_KEY_LIST_AFTER_ARRAY;
    }
    return 1;
}

static int read_structure(apipool_key_list_t *list, char c)
{
    list->in_string = c == '"';
    list->depth += c == '[' || c == '{';
    list->depth -= (c == ']' || c == '}') && list->depth > 1;
    const char *excess = apipool_json_excess(list->depth, list->values);
    return excess ? fail_excess(list, excess) : add_to_element(list, c);
}

static int read_array(apipool_key_list_t *list, char c)
{
    if (list->in_string) {
        return read_string(list, c);
    }
    list->values += c == ',' || c == '[' || c == '{';
    if ((c == ',' || c == ']') && list->depth == 1) {
        return read_array_end(list, c);
    }
    return read_structure(list, c);
}

/* An object is read as a whole; the parser finds out where it ends. */
static int read_object(apipool_key_list_t *list, char c)
{
    if (list->in_string) {
        return read_string(list, c);
    }
    list->values += c == ',' || c == '[' || c == '{';
    return read_structure(list, c);
}

/* --- Lists --- */

static int start_array(apipool_key_list_t *list)
{
    list->where = APIPOOL_KEY_LIST_IN_ARRAY;
    list->depth = 1;
    list->values = 1;
    return 1;
}

/* Decides by the first character. */
static int read_start(apipool_key_list_t *list, char c)
{
    if (is_blank(c) || c == '\n') {
        return 1;
    }
    if (c == '[') {
        return start_array(list);
    }
    if (c == '{' && list->form != APIPOOL_KEY_LIST_FILE) {
        list->where = APIPOOL_KEY_LIST_IN_OBJECT;
        return read_object(list, c);
    }
    if (list->form == APIPOOL_KEY_LIST_JSON) {
        return fail_here(list);
    }
    if (list->form == APIPOOL_KEY_LIST_IMPORT) {
        list->where = APIPOOL_KEY_LIST_IN_HEAD;
        apipool_key_paste_read(list, c);
        return 1;
    }
    if (c == '{') {
        apipool_key_list_refuse(list, 1, "a JSON object; an array of keys is needed");
        list->where = APIPOOL_KEY_LIST_REFUSED;
        return 1;
    }
    list->where = APIPOOL_KEY_LIST_TEXT;
    read_text(list, c);
    return 1;
}

static int read_char(apipool_key_list_t *list, char c)
{
    switch (list->where) {
    case APIPOOL_KEY_LIST_TEXT:
        read_text(list, c);
        return 1;
    case APIPOOL_KEY_LIST_BEFORE:
        note_place(list, c);
        return read_start(list, c);
    case APIPOOL_KEY_LIST_IN_ARRAY:
        note_place(list, c);
        return read_array(list, c);
    case APIPOOL_KEY_LIST_IN_OBJECT:
        note_place(list, c);
        return read_object(list, c);
    case APIPOOL_KEY_LIST_AFTER_ARRAY:
        note_place(list, c);
        return is_blank(c) || c == '\n' ? 1 : fail_here(list);
    case APIPOOL_KEY_LIST_REFUSED:
        return 1;
    default:
        apipool_key_paste_read(list, c);
        return 1;
    }
}

/* Reads the bytes of an incomplete byte order mark as ordinary text. */
static int read_no_mark(apipool_key_list_t *list)
{
    int had = list->mark, good = 1;
    list->mark = -1;
    for (int i = 0; good && i < had; i++) {
        good = read_char(list, byte_order_mark[i]);
    }
    return good;
}

static int read_mark(apipool_key_list_t *list, char c)
{
    if (c != byte_order_mark[list->mark]) {
        return read_no_mark(list) && read_char(list, c);
    }
    if (++list->mark == MARK_LEN) {
        list->mark = -1;
    }
    return 1;
}

void apipool_key_list_begin(apipool_key_list_t *list, apipool_key_list_form_e form,
                            const apipool_key_sink_t *sink)
{
    memset(list, 0, sizeof(*list));
    list->form = form;
    list->sink = sink;
    list->line = 1;
    list->gap = list->at_cell = 1;
    list->where =
        form == APIPOOL_KEY_LIST_WORDS ? APIPOOL_KEY_LIST_IN_WORDS : APIPOOL_KEY_LIST_BEFORE;
    list->mark = form == APIPOOL_KEY_LIST_WORDS ? -1 : 0;
}

int apipool_key_list_feed(apipool_key_list_t *list, const char *piece, apr_size_t len)
{
    for (apr_size_t i = 0; !list->is_broken && i < len; i++) {
        if (list->mark >= 0) {
            read_mark(list, piece[i]);
        }
        else {
            read_char(list, piece[i]);
        }
    }
    return !list->is_broken;
}

int apipool_key_list_end(apipool_key_list_t *list)
{
    if (list->is_broken || (list->mark > 0 && !read_no_mark(list))) {
        return 0;
    }
    if (list->where == APIPOOL_KEY_LIST_IN_ARRAY) { /* the incomplete element may show why */
        return !list->used || end_element(list) ? fail_here(list) : 0;
    }
    if (list->where == APIPOOL_KEY_LIST_IN_OBJECT) {
        return end_element(list);
    }
    if (list->where == APIPOOL_KEY_LIST_BEFORE && list->form == APIPOOL_KEY_LIST_JSON) {
        return fail_here(list);
    }
    if (list->where >= APIPOOL_KEY_LIST_IN_HEAD) {
        apipool_key_paste_end(list);
    }
    else if (list->where == APIPOOL_KEY_LIST_TEXT) {
        end_item(list);
    }
    return 1;
}

void apipool_key_list_wipe(apipool_key_list_t *list)
{
    OPENSSL_cleanse(list->key, sizeof(list->key));
    OPENSSL_cleanse(list->head, sizeof(list->head));
    wipe_element(list);
    list->element = NULL;
}

const char *apipool_key_list_explain(const apipool_key_list_t *list, apr_pool_t *p)
{
    return list->message
               ? list->message
               : apr_psprintf(p, "Invalid JSON at line %ld, column %ld.", list->line, list->column);
}

/* Checks the whole list before it reports anything. */
void apipool_key_list_read(const char *text, apr_size_t len, const apipool_key_sink_t *sink)
{
    static const apipool_key_sink_t nobody;
    apipool_key_list_t list;
    apipool_key_list_begin(&list, APIPOOL_KEY_LIST_FILE, &nobody);
    int good = apipool_key_list_feed(&list, text, len) && apipool_key_list_end(&list);
    apipool_key_list_wipe(&list);
    if (!good) {
        if (sink->on_invalid) {
            sink->on_invalid(sink->ctx, list.line, list.reason);
        }
        return;
    }
    apipool_key_list_begin(&list, APIPOOL_KEY_LIST_FILE, sink);
    apipool_key_list_feed(&list, text, len);
    apipool_key_list_end(&list);
    apipool_key_list_wipe(&list);
}
