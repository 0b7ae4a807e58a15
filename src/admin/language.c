/* SPDX-License-Identifier: Apache-2.0
 * Chooses the language of the messages in an answer. */
#include "admin.h"

static const char *const tags[] = {"en", "zh-CN"};

#define ENGLISH 0
#define TAGS    ((int)(sizeof(tags) / sizeof(*tags)))

/* Chosen once per request; the Vary field tells caches that it was. */
static const char *language_of(request_rec *r)
{
    const char *tag = ap_get_module_config(r->request_config, &apipool_admin_module);
    if (!tag) {
        const char *field = apr_table_get(r->headers_in, "Accept-Language");
        tag = tags[apipool_language_choose(field, tags, TAGS)];
        ap_set_module_config(r->request_config, &apipool_admin_module, (void *)(uintptr_t)tag);
        r->content_languages = apr_array_make(r->pool, 1, sizeof(const char *));
        APR_ARRAY_PUSH(r->content_languages, const char *) = tag;
        apr_table_mergen(r->headers_out, "Vary", "Accept-Language");
    }
    return tag;
}

const char *apipool_admin_text(request_rec *r, const char *english)
{
    return !english || language_of(r) == tags[ENGLISH]
               ? english
               : apipool_phrase_translate(apipool_messages_zh, english, r->pool);
}

void apipool_admin_translate(request_rec *r, json_t *object, const char *member)
{
    const char *english = json_string_value(json_object_get(object, member));
    if (english) {
        json_object_set_new(object, member, json_string(apipool_admin_text(r, english)));
    }
}
