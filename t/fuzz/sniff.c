/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: request bodies cut anywhere, with and without strict mode, compared with jansson.
 * The first line is the content type. */
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "endpoint.h"
#include "fuzz.h"
#include "model_path.h"
#include "sniff.h"

#define PLAIN  6
#define WANTED 8

static const apipool_sniff_name_t names[WANTED] = {{.name = "model", .any_case = 1, .slot = 0},
                                                   {.name = "stream", .slot = 1},
                                                   {.name = "a", .slot = 2},
                                                   {.name = "", .slot = 3},
                                                   {.name = "\xc3\xa9", .slot = 4},
                                                   {.name = "stream_options", .slot = 5},
                                                   {.name = "b/a", .is_path = 1, .slot = 6},
                                                   {.name = "b/b/a", .is_path = 1, .slot = 7}};

typedef struct {
    apipool_sniff_t sniff;
    apipool_sniffed_t found[WANTED];
    char texts[WANTED][APIPOOL_SNIFF_TEXT_USUAL + 1];
    apipool_strict_t strict;
} run_t;

/* Copies each piece to memory of exactly its size. */
static void feed(run_t *run, const char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    MUST(exact);
    memcpy(exact, data, len);
    apipool_sniff_feed(&run->sniff, exact, len);
    free(exact);
}

/* Feeds pieces of 1 to most bytes: with most 1 byte by byte, with most 0 in one. */
static void sniff(run_t *run, const char *type, const char *body, size_t len, size_t most, int asks)
{
    unsigned seed = (unsigned)len;

    apipool_sniff_begin(&run->sniff, type, names, WANTED, run->found, asks ? &run->strict : NULL,
                        NULL);
    for (int i = 0; i < WANTED; i++) {
        run->found[i].room = run->texts[i];
    }
    for (size_t i = 0; i < len;) {
        size_t piece = len;
        if (most) {
            seed = seed * 1103515245 + 12345 + (unsigned char)body[i];
            piece = 1 + (seed >> 16) % most;
        }
        piece = piece < len - i ? piece : len - i;
        feed(run, body + i, piece);
        i += piece;
    }
    apipool_sniff_end(&run->sniff);
}

static void must_be_alike(const run_t *a, const run_t *b)
{
    MUST(a->sniff.body == b->sniff.body && a->sniff.malformed == b->sniff.malformed);
    MUST(a->sniff.seen == b->sniff.seen && a->sniff.inside == b->sniff.inside);
    MUST(a->sniff.members == b->sniff.members);
    for (int i = 0; i < WANTED; i++) {
        const apipool_sniffed_t *x = &a->found[i], *y = &b->found[i];
        MUST(x->kind == y->kind && x->times == y->times && x->truncated == y->truncated);
        MUST(x->at == y->at && x->len == y->len && !strcmp(x->text, y->text));
    }
}

static void check_found(const run_t *run, const char *body, size_t len)
{
    const apipool_sniff_t *s = &run->sniff;
    MUST((size_t)s->seen == len);
    for (int i = 0; i < WANTED; i++) {
        const apipool_sniffed_t *f = &run->found[i];
        json_t *text = json_string(f->text); /* NULL if not UTF-8 */
        MUST(text && strlen(f->text) <= APIPOOL_SNIFF_TEXT_USUAL);
        json_decref(text);
        MUST((f->kind == APIPOOL_SNIFF_ABSENT) == (f->times == 0));
        MUST(f->at >= 0 && f->len >= 0 && (size_t)(f->at + f->len) <= len);
        MUST(f->kind == APIPOOL_SNIFF_ABSENT || s->body != APIPOOL_SNIFF_OTHER);
        if (f->kind != APIPOOL_SNIFF_ABSENT && s->body == APIPOOL_SNIFF_FORM) {
            size_t room = len - (size_t)f->at + 2;
            const char *from = body + f->at - 2;
            const char *hit = memmem(from, room, s->delimiter, s->delimiter_len);
            /* the header's line end may be the delimiter's, even a line feed alone */
            int is_next = room - 2 >= s->delimiter_len - 2 &&
                          !memcmp(from + 2, s->delimiter + 2, s->delimiter_len - 2);
            MUST(is_next ? f->len == 0 : hit && hit == body + f->at + f->len);
        }
    }
}

static apipool_sniff_kind_e kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return APIPOOL_SNIFF_OBJECT;
    case JSON_ARRAY:
        return APIPOOL_SNIFF_ARRAY;
    case JSON_STRING:
        return APIPOOL_SNIFF_STRING;
    case JSON_INTEGER:
    case JSON_REAL:
        return APIPOOL_SNIFF_NUMBER;
    case JSON_TRUE:
        return APIPOOL_SNIFF_TRUE;
    case JSON_FALSE:
        return APIPOOL_SNIFF_FALSE;
    default:
        return APIPOOL_SNIFF_NULL;
    }
}

static void check_text(const apipool_sniffed_t *f, const json_t *value)
{
    size_t used = strlen(f->text);
    if (json_is_string(value)) {
        size_t len = json_string_length(value);
        MUST(used <= len && !memcmp(f->text, json_string_value(value), used));
        MUST(f->truncated == (used < len) &&
             (!f->truncated || used > APIPOOL_SNIFF_TEXT_USUAL - 4));
    }
    else if (!json_is_number(value)) {
        MUST(used == 0 && !f->truncated);
    }
}

/* Finds the member of a name, in any case if allowed, whose value is at that position; NULL without
 * one. Of several that differ only in case the last one counts, whose position jansson does not
 * keep. */
static json_t *find_member(json_t *root, const apipool_sniff_name_t *name, const json_t *there)
{
    const char *key;
    json_t *value, *found = NULL;
    if (!name->any_case) {
        return json_object_get(root, name->name);
    }
    json_object_foreach(root, key, value)
    {
        if (!strcasecmp(key, name->name) && !(found && json_equal(found, there))) {
            found = value;
        }
    }
    return found;
}

/* Of several objects with one name jansson keeps the last, the sniffer members of any of them. */
static void compare_paths(const run_t *run, const char *body, size_t len)
{
    json_t *root = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
    json_t *b = json_object_get(root, "b");
    for (int i = PLAIN; root && i < WANTED; i++) {
        json_t *value = json_object_get(i == PLAIN ? b : json_object_get(b, "b"), "a");
        const apipool_sniffed_t *f = &run->found[i];
        MUST((value == NULL) == (f->kind == APIPOOL_SNIFF_ABSENT));
        MUST(!value || f->kind == kind_of(value));
    }
    json_decref(root);
}

/* Everything that jansson accepts as an object must be one, with the same values at the reported
 * positions. But jansson overlooks a NUL after a number. */
static void compare(const run_t *run, const char *body, size_t len)
{
    json_t *root = json_loadb(body, len, 0, NULL);
    if (!json_is_object(root) || memchr(body, '\0', len)) {
        json_decref(root);
        return;
    }
    MUST(run->sniff.body == APIPOOL_SNIFF_JSON && !run->sniff.malformed);
    MUST((size_t)run->sniff.members >= json_object_size(root));
    MUST(body[run->sniff.inside - 1] == '{');
    compare_paths(run, body, len);
    for (int i = 0; i < PLAIN; i++) {
        const apipool_sniffed_t *f = &run->found[i];
        json_t *there = json_loadb(body + f->at, (size_t)f->len, JSON_DECODE_ANY, NULL);
        json_t *value = find_member(root, &names[i], there);
        if (!value) {
            MUST(f->kind == APIPOOL_SNIFF_ABSENT);
            json_decref(there);
            continue;
        }
        MUST(f->kind == kind_of(value));
        MUST(there && json_equal(there, value));
        if (f->kind == APIPOOL_SNIFF_NUMBER && !f->truncated) {
            MUST((size_t)f->len == strlen(f->text) &&
                 !memcmp(body + f->at, f->text, (size_t)f->len));
        }
        check_text(f, value);
        json_decref(there);
    }
    json_decref(root);
}

static void check_path(const char *path)
{
    char model[40];
    int found = apipool_model_in_path(path, model, sizeof(model));
    MUST(found == 0 || found == 1);
    MUST(memchr(model, '\0', sizeof(model)) && (model[0] != '\0') == found);
    MUST(!found || strcasestr(path, "models/") || strcasestr(path, "deployments/"));
}

/* Case and empty segments do not change what a path is for, and a plain path is readable. */
static void check_endpoint(const char *path)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "BREW"};
    size_t len = strlen(path);
    char *other = malloc(len + 3), *plain = strdup(path);
    MUST(other && plain);
    *other = '/';
    for (size_t i = 0; i < len; i++) {
        char c = path[i];
        other[i + 1] = c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
    }
    strcpy(other + len + 1, "/");
    apipool_endpoint_make_plain(plain);
    MUST(strlen(plain) <= len && (!apipool_endpoint_is_plain(path) || !strcmp(plain, path)));
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
        apipool_endpoint_e kind = apipool_endpoint_find(methods[i], path);
        MUST(kind <= APIPOOL_ENDPOINT_ADMIN && kind == apipool_endpoint_find(methods[i], other));
        MUST(apipool_endpoint_find(methods[i], plain) <= APIPOOL_ENDPOINT_ADMIN);
    }
    MUST(apipool_endpoint_is_below(path, path));
    free(other);
    free(plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static run_t whole, cut;
    const char *text = (const char *)data;
    const char *eol = memchr(text, '\n', size);
    size_t type_len = eol ? (size_t)(eol - text) : 0, used = eol ? type_len + 1 : 0;
    char *type = strndup(text, type_len);

    MUST(type);
    check_path(type);
    check_endpoint(type);
    sniff(&whole, *type ? type : NULL, text + used, size - used, 0, 0);
    check_found(&whole, text + used, size - used);
    if (whole.sniff.body != APIPOOL_SNIFF_FORM) {
        compare(&whole, text + used, size - used);
    }
    for (size_t most = 1; most <= 27; most = most * 3) {
        for (int asks = 0; asks < 2; asks++) {
            sniff(&cut, *type ? type : NULL, text + used, size - used, most, asks);
            must_be_alike(&whole, &cut);
        }
    }
    free(type);
    return 0;
}
