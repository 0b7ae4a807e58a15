/* SPDX-License-Identifier: Apache-2.0
 * Common parts of the JSON and form readers: feeding pieces, and storing values. */
#include "sniff_parts.h"

#include <stddef.h>
#include <string.h>

void apipool_sniff_ambiguous(apipool_sniff_t *s, const char *what)
{
    if (s->is_strict) {
        s->strict->ambiguity = what;
        s->is_strict = 0;
    }
}

void apipool_sniff_give_up(apipool_sniff_t *s, const char *what)
{
    apipool_sniff_ambiguous(s, what);
    s->malformed = 1;
    s->state = APIPOOL_SNIFF_IGNORE;
}

void apipool_sniff_append(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    apr_size_t room = s->text_max - s->used;

    if (s->truncated) {
        return;
    }
    memcpy(s->text + s->used, data, len < room ? len : room);
    s->used += len < room ? len : room;
    if (len > room) {
        s->truncated = 1;
        for (int i = 0; i < 4 && (data[room] & 0xc0) == 0x80 && s->used > 0; i++) {
            if ((s->text[--s->used] & 0xc0) != 0x80) {
                break;
            }
        }
    }
}

void apipool_sniff_begin_value(apipool_sniff_t *s, apipool_sniff_kind_e kind, apr_off_t at)
{
    s->kind = kind;
    s->at = at;
    s->used = 0;
    s->truncated = 0;
}

static void keep_text(const apipool_sniff_t *s, apipool_sniffed_t *found)
{
    found->text = "";
    if (!found->room && s->pool && s->used) {
        found->room = apr_palloc(s->pool, s->text_max + 1);
    }
    if (!found->room || !s->used) {
        return;
    }
    memcpy(found->room, s->text, s->used);
    found->room[s->used] = '\0';
    for (apr_size_t i = 0; i < s->used;) {
        apr_uint32_t code = 0;
        apr_size_t n = apipool_utf8_character(found->room + i, s->used - i, &code);
        if (code == 0) {
            found->room[i] = '?';
        }
        i += n ? n : 1;
    }
    found->text = found->room;
}

/* An earlier result for this name is replaced only now that the value is complete. */
void apipool_sniff_end_value(apipool_sniff_t *s, apr_off_t end)
{
    if (s->current < 0) {
        return;
    }
    apipool_sniffed_t *found = &s->found[s->names[s->current].slot];
    found->kind = s->kind;
    found->times++;
    found->at = s->at;
    found->len = end - s->at;
    found->truncated = s->truncated;
    keep_text(s, found);
}

void apipool_sniff_begin(apipool_sniff_t *s, const char *content_type,
                         const apipool_sniff_name_t *names, int count, apipool_sniffed_t *found,
                         apipool_strict_t *strict, apr_pool_t *pool)
{
    memset(s, 0, sizeof(*s));
    s->text_max = APIPOOL_SNIFF_TEXT_USUAL;
    s->names = names;
    s->found = found;
    s->count = count < APIPOOL_SNIFF_NAMES_MAX ? count : APIPOOL_SNIFF_NAMES_MAX;
    s->current = -1;
    for (int i = 0; i < count; i++) {
        found[names[i].slot] = (apipool_sniffed_t){.text = ""};
    }
    s->pool = pool;
    s->strict = strict;
    s->is_strict = strict != NULL;
    if (strict) {
        memset(strict, 0, offsetof(apipool_strict_t, line));
    }
    if (content_type) {
        apipool_sniff_type(s, content_type);
    }
}

void apipool_sniff_feed(apipool_sniff_t *s, const char *data, apr_size_t len)
{
    while (len > 0) {
        apr_size_t done = s->state == APIPOOL_SNIFF_IGNORE ? len
                          : s->body == APIPOOL_SNIFF_FORM  ? apipool_sniff_form_step(s, data, len)
                                                           : apipool_sniff_json_step(s, data, len);
        s->seen += (apr_off_t)done;
        data += done;
        len -= done;
    }
}

void apipool_sniff_end(apipool_sniff_t *s)
{
    if (s->seen == 0) {
        if (s->strict) {
            s->strict->ambiguity = NULL;
        }
    }
    else if (s->body == APIPOOL_SNIFF_FORM) {
        apipool_sniff_form_end(s);
    }
    else {
        apipool_sniff_json_end(s);
    }
    if (s->seen > 0 && s->state != APIPOOL_SNIFF_BEGIN && s->state != APIPOOL_SNIFF_TRAILER &&
        s->state != APIPOOL_SNIFF_IGNORE) {
        s->malformed = 1;
    }
    s->state = APIPOOL_SNIFF_IGNORE;
}
