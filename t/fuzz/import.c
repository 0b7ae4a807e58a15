/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: imported lists of keys, whole and in pieces, and masks and redaction of every key they hold.
 * */
#include <string.h>

#include "fuzz.h"
#include "json.h"
#include "key_doubt.h"
#include "key_list.h"

#define KEYS_LOOKED_AT 64 /* per input, to keep it fast */

typedef struct {
    const uint8_t *data;
    size_t size;
    long lines;
    int keys;
} input_t;

/* A key with asterisks in it may look like its own redaction. */
static void check_redaction(const char *text, size_t len, const char *key, size_t key_len)
{
    char *copy = malloc(len ? len : 1);
    MUST(copy);
    memcpy(copy, text, len);
    int found = apipool_key_redact(copy, len, key, key_len);
    MUST((found > 0) == (key_len > 0 && len > 0 && memmem(text, len, key, key_len) != NULL));
    MUST(found == 0 || (size_t)found <= len);
    if (key_len > 0 && !memchr(key, '*', key_len)) {
        MUST(!memmem(copy, len, key, key_len));
    }
    for (size_t i = 0; i < len; i++) {
        MUST(copy[i] == text[i] || (found && copy[i] == '*'));
    }
    free(copy);
}

/* The key at both ends, twice in a row in between, and among its original bytes. */
static void check_key(const input_t *input, const char *key, size_t len)
{
    static char text[4 * APIPOOL_KEY_MAX + 2];
    char masked[APIPOOL_MASKED_SIZE];

    apipool_key_mask(key, len, masked);
    MUST(strlen(masked) == (len < 16 ? 3 : 11));
    for (int i = 0; i < 4; i++) {
        memcpy(text + (size_t)i * len + (i > 0) + (i > 2), key, len);
    }
    text[len] = ' ';
    text[3 * len + 1] = '"';
    check_redaction(text, 4 * len + 2, key, len);
    check_redaction((const char *)input->data, input->size, key, len);
}

static void on_key(void *ctx, const apipool_key_item_t *item)
{
    input_t *input = ctx;
    MUST(item->len >= 1 && item->len <= APIPOOL_KEY_MAX);
    MUST(!apipool_key_check(item->key, item->len));
    MUST(item->enabled == 0 || item->enabled == 1);
    MUST(item->line >= 1 && (item->line <= input->lines || item->line <= (long)input->size));
    apipool_key_doubt_alone(item->key, item->len);
    if (input->keys++ < KEYS_LOOKED_AT) {
        check_key(input, item->key, item->len);
    }
}

/* A list counts lines, an array its elements, which are fewer than bytes. */
static void on_invalid(void *ctx, long line, const char *reason)
{
    const input_t *input = ctx;
    MUST(line >= 1 && (line <= input->lines || line <= (long)input->size));
    MUST(reason && *reason);
}

static long count_lines(const uint8_t *data, size_t size)
{
    long lines = 1;
    for (size_t i = 0; i < size; i++) {
        lines += data[i] == '\n';
    }
    return lines;
}

/* Results of a list, as a number (FNV-1a), and how it ended. */
typedef struct {
    uint64_t hash;
    apipool_key_list_t list;
    int good;
} told_t;

static void note(told_t *told, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        told->hash = (told->hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
    }
}

static void note_text(told_t *told, const char *text)
{
    note(told, text ? text : "-", text ? strlen(text) + 1 : 1);
}

static void note_key(void *ctx, const apipool_key_item_t *item)
{
    note(ctx, item->key, item->len);
    note(ctx, &item->line, sizeof(item->line));
    note(ctx, &item->enabled, sizeof(item->enabled));
    note(ctx, &item->weight, sizeof(item->weight));
    note(ctx, &item->limits, sizeof(item->limits));
    note_text(ctx, item->label);
    note_text(ctx, item->account);
}

static void note_invalid(void *ctx, long line, const char *reason)
{
    note(ctx, &line, sizeof(line));
    note_text(ctx, reason);
}

/* Each piece has memory of its own, so that a checker sees every access beyond it. */
static void read_in_pieces(const uint8_t *data, size_t size, size_t piece,
                           apipool_key_list_form_e form, told_t *told)
{
    apipool_key_sink_t sink = {.on_key = note_key, .on_invalid = note_invalid, .ctx = told};
    told->hash = UINT64_C(0xcbf29ce484222325);
    apipool_key_list_begin(&told->list, form, &sink);
    told->good = 1;
    for (size_t at = 0; told->good && at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece;
        char *copy = malloc(len);
        MUST(copy);
        memcpy(copy, data + at, len);
        told->good = apipool_key_list_feed(&told->list, copy, len);
        free(copy);
    }
    told->good = told->good && apipool_key_list_end(&told->list);
    apipool_key_list_wipe(&told->list);
    MUST(told->good == !told->list.is_broken && !told->list.element);
    MUST(told->good || told->list.reason);
}

static void check_pieces(const uint8_t *data, size_t size, size_t piece,
                         apipool_key_list_form_e form, told_t *whole)
{
    told_t told;
    read_in_pieces(data, size, size ? size : 1, form, whole);
    read_in_pieces(data, size, piece, form, &told);
    MUST(told.good == whole->good && told.hash == whole->hash);
    MUST(told.list.line == whole->list.line && told.list.column == whole->list.column);
    MUST(told.list.reason == whole->list.reason && told.list.message == whole->list.message);
}

/* Arrays are the same for any other reader of bodies. */
static void check_array(const uint8_t *data, size_t size, const told_t *told)
{
    apipool_input_error_t flaw;
    apr_pool_t *p = fuzz_pool();
    static const apipool_json_member_t none[] = {{NULL}};
    apipool_json_read(p, (const char *)data, size, none, NULL, &flaw);
    int is_array = flaw.message && !strcmp(flaw.message, "Must be a JSON object.");
    int is_object = !flaw.message || flaw.field;
    MUST(!told->good || is_array || is_object);
    MUST(told->good || !is_array || size > APIPOOL_KEY_LIST_EXPORT_MAX);
    apr_pool_destroy(p);
}

static void read_import(const uint8_t *data, size_t size, const apipool_key_sink_t *sink)
{
    apipool_key_list_t list;
    apipool_key_list_begin(&list, APIPOOL_KEY_LIST_IMPORT, sink);
    if (apipool_key_list_feed(&list, (const char *)data, size)) {
        apipool_key_list_end(&list);
    }
    apipool_key_list_wipe(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t input = {.data = data, .size = size, .lines = count_lines(data, size)};
    apipool_key_sink_t sink = {.on_key = on_key, .on_invalid = on_invalid, .ctx = &input};
    size_t piece = size ? data[size - 1] % 61 + 1 : 1;
    told_t told;

    check_pieces(data, size, piece, APIPOOL_KEY_LIST_FILE, &told);
    check_pieces(data, size, piece, APIPOOL_KEY_LIST_WORDS, &told);
    check_pieces(data, size, piece, APIPOOL_KEY_LIST_IMPORT, &told);
    check_pieces(data, size, piece, APIPOOL_KEY_LIST_JSON, &told);
    if (size && data[0] != 0xef) { /* not a byte order mark, which only lists may have */
        check_array(data, size, &told);
    }
    apipool_key_list_read((const char *)data, size, &sink);
    read_import(data, size, &sink);
    if (size > 0 && data[0] < size) {
        check_redaction((const char *)data + 1 + data[0], size - 1 - data[0],
                        (const char *)data + 1, data[0]);
    }
    return 0;
}
