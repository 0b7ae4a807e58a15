/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: what passes as unambiguous, cut anywhere, must be so for jansson and for a lax
 * reader of forms. The first line is the content type; it is also read as a query's argument
 * names. */
#include <jansson.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "sniff.h"

static const char *read_in(const char *type, const char *body, size_t len, size_t step)
{
    static apipool_strict_t strict;
    apipool_sniff_t s;
    apipool_sniff_begin(&s, type, NULL, 0, NULL, &strict, NULL);
    for (size_t i = 0; i < len; i += step) {
        size_t n = len - i < step ? len - i : step;
        char *exact = malloc(n);
        MUST(exact);
        memcpy(exact, body + i, n);
        apipool_sniff_feed(&s, exact, n);
        free(exact);
    }
    apipool_sniff_end(&s);
    MUST(strict.ambiguity || !s.malformed);
    return strict.ambiguity;
}

/* jansson refuses numbers out of range, and duplicate names only on request. */
static void compare_json(const char *body, size_t len)
{
    json_error_t error;
    json_t *root = json_loadb(body, len, JSON_ALLOW_NUL, &error);
    MUST(json_is_object(root) || json_error_code(&error) == json_error_numeric_overflow ||
         json_error_code(&error) == json_error_invalid_syntax);
    MUST(root || json_error_code(&error) == json_error_numeric_overflow || strstr(body, "\\u"));
    json_decref(root);
}

/* A reader that splits at every boundary, and finds every name in a header, in any case. */
static int count_models(const char *body, size_t len, const char *delimiter)
{
    int count = 0;
    const char *end = body + len;
    for (const char *p = body; (p = memmem(p, (size_t)(end - p), delimiter, strlen(delimiter)));) {
        p += strlen(delimiter);
        const char *head = memmem(p, (size_t)(end - p), "\r\n\r\n", 4);
        char *text = strndup(p, (size_t)((head ? head : end) - p));
        MUST(text);
        count += strcasestr(text, "name=\"model\"") || strcasestr(text, "name=model;") ||
                 strcasestr(text, "name=model\r") ||
                 (strlen(text) > 10 && !strcasecmp(text + strlen(text) - 10, "name=model"));
        free(text);
    }
    return count;
}

static void compare_form(const char *type, const char *body, size_t len)
{
    static apipool_sniff_t sniff;
    static const apipool_sniff_name_t name = {.name = "model", .slot = 0};
    apipool_sniffed_t model;
    apipool_sniff_begin(&sniff, type, &name, 1, &model, NULL, NULL);
    apipool_sniff_feed(&sniff, body, len);
    apipool_sniff_end(&sniff);
    MUST(sniff.body == APIPOOL_SNIFF_FORM && !sniff.malformed);
    MUST(model.times == count_models(body, len, sniff.delimiter + 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *eol = memchr(text, '\n', size);
    size_t used = eol ? (size_t)(eol - text) + 1 : 0, len = size - used;
    char *type = strndup(text, used ? used - 1 : 0);
    char *body = malloc(len + 1);
    MUST(type && body);
    memcpy(body, text + used, len);
    body[len] = '\0';
    const char *content_type = *type ? type : NULL;
    const char *ambiguity = read_in(content_type, body, len, len ? len : 1);
    for (size_t step = 1; step < 20; step += 3) {
        MUST((read_in(content_type, body, len, step) == NULL) == (ambiguity == NULL));
    }
    if (!ambiguity && len && strncasecmp(type, "multipart", 9)) {
        compare_json(body, len);
    }
    else if (!ambiguity && len) {
        compare_form(content_type, body, len);
    }
    MUST(!apipool_strict_is_argument(type) || apipool_strict_name(type) != APIPOOL_NAME_AMBIGUOUS);
    free(body);
    free(type);
    return 0;
}
