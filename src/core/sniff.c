/* SPDX-License-Identifier: Apache-2.0
 * What the readers of JSON and of forms have in common: bodies in pieces, and values. */
#include "sniff_parts.h"

#include <string.h>

void apipool_sniff_give_up(apipool_sniff_t *s)
{
    s->malformed = 1;
    s->state = APIPOOL_SNIFF_IGNORE;
}

/* Cuts text in front of a character that does not fit as a whole. */
void apipool_sniff_append(apipool_sniff_t *s, const char *data, apr_size_t len, apr_size_t max)
{
    apr_size_t room = max - s->used;

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

/* The length of the character at p, as RFC 3629 has it, or 0. */
static apr_size_t character(const unsigned char *p, apr_size_t len)
{
    apr_size_t n = *p < 0x80   ? 1
                   : *p < 0xc2 ? 0
                   : *p < 0xe0 ? 2
                   : *p < 0xf0 ? 3
                   : *p < 0xf5 ? 4
                               : 0;
    if (n > len || *p == 0) {
        return 0;
    }
    for (apr_size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) ||
        (*p == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    return n;
}

void apipool_sniff_begin_value(apipool_sniff_t *s, apipool_sniff_kind_e kind, apr_off_t at)
{
    s->kind = kind;
    s->at = at;
    s->used = 0;
    s->truncated = 0;
}

/* What was found of that name before is replaced only now, as the value is whole. */
void apipool_sniff_end_value(apipool_sniff_t *s, apr_off_t end)
{
    if (s->current < 0) {
        return;
    }
    apipool_sniffed_t *found = &s->wanted[s->current];
    found->kind = s->kind;
    found->times++;
    found->at = s->at;
    found->len = end - s->at;
    found->truncated = s->truncated;
    memcpy(found->text, s->text, s->used);
    found->text[s->used] = '\0';
    for (apr_size_t i = 0; i < s->used;) {
        apr_size_t n = character((unsigned char *)found->text + i, s->used - i);
        if (n == 0) {
            found->text[i] = '?';
        }
        i += n ? n : 1;
    }
}

void apipool_sniff_begin(apipool_sniff_t *s, const char *content_type, apipool_sniffed_t *wanted,
                         int count)
{
    memset(s, 0, sizeof(*s));
    s->wanted = wanted;
    s->count = count < APIPOOL_SNIFF_WANTED_MAX ? count : APIPOOL_SNIFF_WANTED_MAX;
    s->current = -1;
    for (int i = 0; i < count; i++) {
        wanted[i].kind = APIPOOL_SNIFF_ABSENT;
        wanted[i].times = 0;
        wanted[i].at = wanted[i].len = 0;
        wanted[i].truncated = 0;
        wanted[i].text[0] = '\0';
    }
    if (content_type) {
        apipool_sniff_form_begin(s, content_type);
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
    if (s->seen > 0 && s->state != APIPOOL_SNIFF_BEGIN && s->state != APIPOOL_SNIFF_TRAILER &&
        s->state != APIPOOL_SNIFF_IGNORE) {
        s->malformed = 1;
    }
    s->state = APIPOOL_SNIFF_IGNORE;
}
