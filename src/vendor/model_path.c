/* SPDX-License-Identifier: Apache-2.0
 * Finds the model in the segments of a path. */
#include "model_path.h"

#include <apr_cstr.h>
#include <apr_escape.h>
#include <string.h>

/* Returns the decoded length, or -1. Control characters are not allowed in names. No hex digit
 * follows the segment, so nothing after it is decoded. */
static long decode(const char *text, apr_size_t len, char *out, apr_size_t size)
{
    apr_size_t needed = 0;
    apr_unescape_url(NULL, text, (apr_ssize_t)len, NULL, NULL, 0, &needed);
    if (needed > size) {
        return -1;
    }
    apr_status_t rv = apr_unescape_url(out, text, (apr_ssize_t)len, NULL, NULL, 0, NULL);
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        return -1;
    }
    for (const char *c = out; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return -1;
        }
    }
    return (long)needed - 1;
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

/* Some clients encode the colon too, so the method is cut off after decoding. */
static int cut_method(char *name)
{
    char *colon = strrchr(name, ':');
    if (!colon || colon == name || !is_method(colon + 1)) {
        return 0;
    }
    *colon = '\0';
    return 1;
}

/* A tuned model may have any name, even that of another model, so its kind stays in front. */
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
