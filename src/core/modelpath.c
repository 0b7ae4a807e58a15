/* SPDX-License-Identifier: Apache-2.0
 * Segments of a path and what they say about the model. */
#include "modelpath.h"

#include <apr_cstr.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Returns the decoded length, or -1. Control characters are no part of any name, and would end it. */
static long decode(const char *text, apr_size_t len, char *out, apr_size_t size)
{
    apr_size_t used = 0;

    for (apr_size_t i = 0; i < len; i++) {
        int c = (unsigned char)text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex(text[i + 1]) : -1;
            int low = high >= 0 ? hex(text[i + 2]) : -1;
            if (low < 0) {
                return -1;
            }
            c = high << 4 | low;
            i += 2;
        }
        if (c < 0x20 || c == 0x7f || used + 1 >= size) {
            return -1;
        }
        out[used++] = (char)c;
    }
    out[used] = '\0';
    return (long)used;
}

static int is_method(const char *text)
{
    static const char *const stems[] = {"enerate", "mbed", "redict", "ount", "ompute"};

    for (apr_size_t i = 0; i < sizeof(stems) / sizeof(*stems); i++) {
        if (strstr(text, stems[i])) {
            return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
                   strlen(text);
        }
    }
    return 0;
}

/* Some clients encode the colon too, so the method is split off what was decoded. */
static int cut_method(char *name)
{
    char *colon = strrchr(name, ':');
    if (!colon || colon == name || !is_method(colon + 1)) {
        return 0;
    }
    *colon = '\0';
    return 1;
}

/* Who tunes a model gives it any name, that of another model too: what it is stands before it. */
static int decode_tuned(const char *segment, apr_size_t len, char *out, apr_size_t size)
{
    static const char tuned[] = "tunedModels/";
    apr_size_t before = sizeof(tuned) - 1;
    if (size <= before || decode(segment, len, out + before, size - before) <= 0) {
        return 0;
    }
    memcpy(out, tuned, before);
    return cut_method(out + before);
}

int apipool_model_in_path(const char *path, char *out, apr_size_t size)
{
    const char *end = path + strcspn(path, "?#");
    int after_models = 0, after_tuned = 0, after_deployments = 0;

    for (const char *segment = path; segment < end;) {
        const char *slash = memchr(segment, '/', (apr_size_t)(end - segment));
        const char *next = slash ? slash : end;
        apr_size_t len = (apr_size_t)(next - segment);
        int is_last = next >= end;
        if (after_models && is_last && decode(segment, len, out, size) > 0 && cut_method(out)) {
            return 1;
        }
        if (after_tuned && is_last && decode_tuned(segment, len, out, size)) {
            return 1;
        }
        if (after_deployments && next + 1 < end && decode(segment, len, out, size) > 0) {
            return 1;
        }
        after_models = len == 6 && !apr_cstr_casecmpn(segment, "models", len);
        after_tuned = len == 11 && !apr_cstr_casecmpn(segment, "tunedmodels", len);
        after_deployments = len == 11 && !apr_cstr_casecmpn(segment, "deployments", len);
        segment = next + 1;
    }
    out[0] = '\0';
    return 0;
}
