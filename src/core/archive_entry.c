/* SPDX-License-Identifier: Apache-2.0
 * Contents of an archive: keys and clients, each a line of JSON. */
#include "archive_entry.h"

#include <apr_escape.h>
#include <openssl/crypto.h>
#include <string.h>

#include "json.h"
#include "render.h"

#define TEXT_MAX 255 /* bytes of the name of a pool, an upstream or a client, or of a list's text */
#define LIST_MAX 2048
#define HEX_SIZE (2 * APIPOOL_CLIENT_KEY_DIGEST + 1)

static const char *const list_names[] = {APIPOOL_CLIENT_LIST_NAMES};
static const char *const limit_names[] = {APIPOOL_CLIENT_LIMIT_NAMES};

/* --- Writing --- */

static json_t *key_object(const apipool_archive_entry_t *entry)
{
    const apipool_key_item_t *key = &entry->key;
    json_t *object = json_pack(
        "{s:s,s:s,s:s%,s:o,s:o,s:I,s:b,s:o}", "pool", entry->pool, "upstream", entry->upstream,
        "key", key->key, key->len, "label", apipool_render_text(key->label), "account",
        apipool_render_text(key->account), "weight", (json_int_t)(key->weight ? key->weight : 1),
        "enabled", key->enabled != 0, "added_at", apipool_render_time(entry->added_at));
    apipool_render_add(object, apipool_render_limits(&key->limits));
    return object;
}

static json_t *client_object(const apipool_archive_entry_t *entry)
{
    const apipool_client_edit_t *client = &entry->client;
    char hex[HEX_SIZE];
    apr_escape_hex(hex, entry->digest, sizeof(entry->digest), 0, NULL);
    json_t *object =
        json_pack("{s:s,s:s,s:b,s:o,s:o}", "name", client->name, "digest", hex, "enabled",
                  client->enabled != 0, "created_at", apipool_render_time(entry->added_at),
                  "expires_at", apipool_render_time(client->expires_at));
    if (entry->old_until) {
        apr_escape_hex(hex, entry->old_digest, sizeof(entry->old_digest), 0, NULL);
        json_object_set_new(object, "old_digest", json_string(hex));
        json_object_set_new(object, "old_until", apipool_render_time(entry->old_until));
    }
    for (int i = 0; i < APIPOOL_CLIENT_LISTS; i++) {
        json_object_set_new(object, list_names[i],
                            client->lists[i] ? apipool_render_texts(client->lists[i])
                                             : json_array());
    }
    for (int i = 0; i < APIPOOL_CLIENT_LIMITS; i++) {
        json_object_set_new(object, limit_names[i], apipool_render_limit(client->limits[i]));
    }
    return object;
}

apr_size_t apipool_archive_entry_write(const apipool_archive_entry_t *entry,
                                       char line[APIPOOL_ARCHIVE_LINE_MAX])
{
    json_t *object = json_pack("{s:o}", entry->is_client ? "client" : "key",
                               entry->is_client ? client_object(entry) : key_object(entry));
    apr_size_t len =
        object ? json_dumpb(object, line, APIPOOL_ARCHIVE_LINE_MAX - 1, JSON_COMPACT) : 0;
    apipool_json_release(object);
    if (!len || len >= APIPOOL_ARCHIVE_LINE_MAX - 1) {
        return 0;
    }
    line[len] = '\n';
    return len + 1;
}

/* --- Reading --- */

/* A line as read. */
typedef struct {
    apipool_archive_entry_t entry;
    const char *digest, *old_digest;
    int has_key, has_client;
} line_t;

#define TO(member) offsetof(line_t, member)
#define LIMIT(name, member)                                                                        \
    {                                                                                              \
        name, APIPOOL_JSON_INTEGER, .offset = TO(member), .max = APR_UINT32_MAX                    \
    }
#define LIST(name, i)                                                                              \
    {                                                                                              \
        name, APIPOOL_JSON_STRINGS, .offset = TO(entry.client.lists[i]), .max = TEXT_MAX,          \
                                    .count = LIST_MAX                                              \
    }

static const apipool_json_member_t key_members[] = {
    {"pool", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(entry.pool), .max = TEXT_MAX},
    {"upstream", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(entry.upstream),
     .max = TEXT_MAX},
    {"key", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(entry.key.key),
     .max = APIPOOL_KEY_MAX},
    {"label", APIPOOL_JSON_STRING, .offset = TO(entry.key.label), .max = APIPOOL_LABEL_MAX},
    {"account", APIPOOL_JSON_STRING, .offset = TO(entry.key.account), .max = APIPOOL_ACCOUNT_MAX},
    {"weight", APIPOOL_JSON_INTEGER, .offset = TO(entry.key.weight), .max = APIPOOL_WEIGHT_MAX},
    {"enabled", APIPOOL_JSON_BOOLEAN, .offset = TO(entry.key.enabled)},
    {"added_at", APIPOOL_JSON_TIME, .offset = TO(entry.added_at)},
    LIMIT("rpm", entry.key.limits.rpm),
    LIMIT("rpd", entry.key.limits.rpd),
    LIMIT("tpm", entry.key.limits.tpm),
    LIMIT("tpd", entry.key.limits.tpd),
    LIMIT("concurrency", entry.key.limits.concurrency),
    {NULL}};
static const apipool_json_member_t client_members[] = {
    {"name", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(entry.client.name),
     .max = TEXT_MAX},
    {"digest", APIPOOL_JSON_STRING, APIPOOL_JSON_REQUIRED, .offset = TO(digest),
     .max = HEX_SIZE - 1},
    {"old_digest", APIPOOL_JSON_STRING, .offset = TO(old_digest), .max = HEX_SIZE - 1},
    {"old_until", APIPOOL_JSON_TIME, .offset = TO(entry.old_until)},
    {"enabled", APIPOOL_JSON_BOOLEAN, .offset = TO(entry.client.enabled)},
    {"created_at", APIPOOL_JSON_TIME, .offset = TO(entry.added_at)},
    {"expires_at", APIPOOL_JSON_TIME, .offset = TO(entry.client.expires_at)},
    LIST("pools", 0),
    LIST("models", 1),
    LIST("endpoints", 2),
    LIMIT("rpm", entry.client.limits[0]),
    LIMIT("tpm", entry.client.limits[1]),
    LIMIT("tokens_per_day", entry.client.limits[2]),
    LIMIT("concurrency", entry.client.limits[3]),
    {NULL}};
static const apipool_json_member_t members[] = {{"key", APIPOOL_JSON_OBJECT, APIPOOL_JSON_OPTIONAL,
                                                 .offset = TO(has_key), .members = key_members},
                                                {"client", APIPOOL_JSON_OBJECT,
                                                 APIPOOL_JSON_OPTIONAL, .offset = TO(has_client),
                                                 .members = client_members},
                                                {NULL}};

static int is_fit(const char *text, apr_size_t max)
{
    return !text || apipool_key_text_is_fit(text, strlen(text), max);
}

static int finish_key(apipool_key_item_t *key)
{
    key->len = strlen(key->key);
    key->label = key->label && *key->label ? key->label : NULL;
    key->account = key->account && *key->account ? key->account : NULL;
    return !apipool_key_check(key->key, key->len) && is_fit(key->label, APIPOOL_LABEL_MAX) &&
           is_fit(key->account, APIPOOL_ACCOUNT_MAX);
}

static int read_digest(const char *hex, unsigned char digest[APIPOOL_CLIENT_KEY_DIGEST])
{
    apr_size_t bytes = 0;
    return hex && strlen(hex) == HEX_SIZE - 1 &&
           apr_unescape_hex(digest, hex, HEX_SIZE - 1, 0, &bytes) == APR_SUCCESS &&
           bytes == APIPOOL_CLIENT_KEY_DIGEST;
}

int apipool_archive_entry_read(const char *line, apr_size_t len, apr_pool_t *p,
                               apipool_archive_entry_t *entry)
{
    line_t read = {.entry = {.key.enabled = 1, .client.enabled = 1}};
    apipool_input_error_t flaw;
    if (len >= APIPOOL_ARCHIVE_LINE_MAX) {
        return 0;
    }
    apipool_json_read(p, line, len, members, &read, &flaw);
    if (flaw.message || read.has_key == read.has_client) {
        return 0;
    }
    *entry = read.entry;
    entry->is_client = read.has_client;
    entry->client.set = APIPOOL_CLIENT_SET_ALL;
    return read.has_key
               ? finish_key(&entry->key)
               : read_digest(read.digest, entry->digest) &&
                     (!entry->old_until || read_digest(read.old_digest, entry->old_digest));
}
