/* SPDX-License-Identifier: Apache-2.0
 * Upstream credentials as text: checks, import, ids and masks. */
#include "key.h"

#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdint.h>
#include <string.h>

#include "json.h"

#define ELLIPSIS        "\xe2\x80\xa6"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define SHOWN           4  /* bytes of a key that a mask shows at either end */
#define SHORTEST_SHOWN  16 /* shorter keys are masked whole */

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

const char *apipool_key_check(const char *key, apr_size_t len)
{
    if (len == 0) {
        return "empty key";
    }
    if (len > APIPOOL_KEY_MAX) {
        return "key longer than 4096 bytes";
    }
    for (apr_size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)key[i];
        if (c < 0x20 || c == 0x7f) {
            return "control character in a key";
        }
        if (c == ' ') {
            return "blank inside a key (keys are separated by commas or newlines)";
        }
        if (c == '"' || c == '\'') {
            return "quote in a key";
        }
        if (c > 0x7f) {
            return "character outside ASCII in a key (was it copied in its masked form?)";
        }
    }
    return NULL;
}

static void refuse(const apipool_key_sink_t *sink, long line, const char *reason)
{
    if (sink->on_invalid) {
        sink->on_invalid(sink->ctx, line, reason);
    }
}

static void deliver(const apipool_key_item_t *item, long line, const apipool_key_sink_t *sink)
{
    const char *reason = apipool_key_check(item->key, item->len);
    if (reason) {
        refuse(sink, line, reason);
    }
    else if (sink->on_key) {
        sink->on_key(sink->ctx, item);
    }
}

static void deliver_trimmed(const char *start, const char *end, long line,
                            const apipool_key_sink_t *sink)
{
    while (start < end && is_blank(*start)) {
        start++;
    }
    while (end > start && is_blank(end[-1])) {
        end--;
    }
    if (start < end) {
        apipool_key_item_t item = {.key = start, .len = (apr_size_t)(end - start), .enabled = 1};
        deliver(&item, line, sink);
    }
}

static int is_comment(const char *start, const char *end)
{
    while (start < end && is_blank(*start)) {
        start++;
    }
    return start < end && *start == '#';
}

static void import_lines(const char *text, const char *end, const apipool_key_sink_t *sink)
{
    long line = 1;
    while (text < end) {
        const char *eol = memchr(text, '\n', (apr_size_t)(end - text));
        if (!eol) {
            eol = end;
        }
        if (!is_comment(text, eol)) {
            const char *item = text;
            for (;;) {
                const char *comma = memchr(item, ',', (apr_size_t)(eol - item));
                deliver_trimmed(item, comma ? comma : eol, line, sink);
                if (!comma) {
                    break;
                }
                item = comma + 1;
            }
        }
        text = eol + 1;
        line++;
    }
}

/* Reads a whole number from 1 to max; absent is 0. Returns 0 when it is something else. */
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

int apipool_key_text_is_fit(const char *text, apr_size_t len, apr_size_t max)
{
    for (apr_size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return 0;
        }
    }
    return len <= max;
}

/* A short text, or absent. */
static int is_text(const json_t *value, apr_size_t max)
{
    return !value || json_is_null(value) ||
           (json_is_string(value) &&
            apipool_key_text_is_fit(json_string_value(value), json_string_length(value), max));
}

/* What an object says of a key besides the key. Returns what is wrong with it, or NULL. */
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

static void import_element(const json_t *element, long number, const apipool_key_sink_t *sink)
{
    apipool_key_item_t item = {.enabled = 1};
    const json_t *key = json_is_object(element) ? json_object_get(element, "key") : element;
    const char *fault = json_is_object(element) ? read_attributes(element, &item) : NULL;
    if (!fault && !json_is_string(key)) {
        fault = json_is_object(element) ? "object without a string \"key\""
                                        : "neither a string nor an object";
    }
    if (fault) {
        refuse(sink, number, fault);
        return;
    }
    item.key = json_string_value(key);
    item.len = json_string_length(key);
    deliver(&item, number, sink);
    OPENSSL_cleanse((void *)(uintptr_t)item.key, item.len);
}

static void import_json(const char *text, apr_size_t len, const apipool_key_sink_t *sink)
{
    json_error_t error;
    if (apipool_json_excess(text, len)) { /* values take many times the memory of their text */
        refuse(sink, 1, "JSON that is nested too deeply, or has too many values");
        return;
    }
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!root) {
        refuse(sink, error.line > 0 ? error.line : 1, "malformed JSON");
        return;
    }
    apr_size_t count = json_array_size(root);
    for (apr_size_t i = 0; i < count; i++) {
        import_element(json_array_get(root, i), (long)i + 1, sink);
    }
    json_decref(root);
}

void apipool_key_import(const char *text, apr_size_t len, const apipool_key_sink_t *sink)
{
    const char *end = text + len;
    if (len >= 3 && !memcmp(text, BYTE_ORDER_MARK, 3)) {
        text += 3;
    }
    const char *first = text;
    while (first < end && (is_blank(*first) || *first == '\n')) {
        first++;
    }
    if (first < end && *first == '{') {
        refuse(sink, 1, "a JSON object; an array of keys is needed");
    }
    else if (first < end && *first == '[') {
        import_json(text, (apr_size_t)(end - text), sink);
    }
    else {
        import_lines(text, end, sink);
    }
}

apr_uint64_t apipool_key_id(const unsigned char secret[APIPOOL_SECRET_SIZE], const char *key,
                            apr_size_t len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int digest_len = 0;
    apr_uint64_t id = 0;

    if (!HMAC(EVP_sha256(), secret, APIPOOL_SECRET_SIZE, (const unsigned char *)key, len, digest,
              &digest_len)) {
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        id = id << 8 | digest[i];
    }
    return id;
}

void apipool_key_id_hex(apr_uint64_t id, char out[APIPOOL_ID_SIZE])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 15; i >= 0; i--) {
        out[i] = digits[id & 15];
        id >>= 4;
    }
    out[16] = '\0';
}

void apipool_key_mask(const char *key, apr_size_t len, char out[APIPOOL_MASKED_SIZE])
{
    if (len < SHORTEST_SHOWN) {
        memcpy(out, "***", 4);
        return;
    }
    memcpy(out, key, SHOWN);
    memcpy(out + SHOWN, ELLIPSIS, 3);
    memcpy(out + SHOWN + 3, key + len - SHOWN, SHOWN);
    out[SHOWN + 3 + SHOWN] = '\0';
}

int apipool_key_redact(char *text, apr_size_t text_len, const char *key, apr_size_t key_len)
{
    apr_size_t shown = key_len < SHORTEST_SHOWN ? 0 : SHOWN;
    int found = 0;

    if (key_len == 0) {
        return 0;
    }
    for (apr_size_t i = 0; i + key_len <= text_len;) {
        char *hit = memchr(text + i, key[0], text_len - key_len - i + 1);
        if (!hit) {
            break;
        }
        i = (apr_size_t)(hit - text);
        if (memcmp(hit, key, key_len)) {
            i++;
            continue;
        }
        memset(hit + shown, '*', key_len - 2 * shown);
        i += key_len - shown; /* the next may begin with the bytes that stay */
        found++;
    }
    return found;
}
