/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: imported lists of keys, and masks and redaction of every key they hold. */
#include <string.h>

#include "fuzz.h"
#include "key.h"

#define KEYS_LOOKED_AT 64 /* of one input, to keep it fast */

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

/* The key at both ends, twice in a row in between, and among the bytes it came with. */
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
    if (input->keys++ < KEYS_LOOKED_AT) {
        check_key(input, item->key, item->len);
    }
}

/* A list counts lines, an array its elements, of which there are fewer than bytes. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input_t input = {.data = data, .size = size, .lines = count_lines(data, size)};
    apipool_key_sink_t sink = {.on_key = on_key, .on_invalid = on_invalid, .ctx = &input};

    apipool_key_import((const char *)data, size, &sink);
    if (size > 0 && data[0] < size) {
        check_redaction((const char *)data + 1 + data[0], size - 1 - data[0],
                        (const char *)data + 1, data[0]);
    }
    return 0;
}
