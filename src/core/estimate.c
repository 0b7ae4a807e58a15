/* SPDX-License-Identifier: Apache-2.0
 * Estimates tokens: event streams to documents, strings to text and what is base64 in them. */
#include "estimate.h"

#include <string.h>

#include "estimate_parts.h"

#define PROBE 64 /* characters of base64 make "data" something else than text */

_Static_assert(sizeof(apipool_estimate_t) <= 512, "one for each request is kept");

enum { LINE_FIELD, LINE_DATA, LINE_OTHER };

static const char base64[256] = {
    ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['0' ... '9'] = 1, ['+'] = 1,
    ['/'] = 1,         ['-'] = 1,         ['_'] = 1,         ['='] = 1,
};

void apipool_estimate_add(apipool_estimate_t *e, unsigned tokens)
{
    e->text.sum += (apr_uint64_t)tokens * APIPOOL_ESTIMATE_TOKEN;
}

void apipool_estimate_string_begin(apipool_estimate_t *e, int is_data)
{
    e->before = e->text.sum;
    e->escape = 0;
    e->matched = 0;
    e->in_data = 0;
    e->probed = is_data ? PROBE : 0;
    apipool_estimate_text_begin(&e->text);
}

static void begin_data(apipool_estimate_t *e)
{
    e->in_data = 1;
    e->matched = 0;
    e->probed = 0;
    apipool_estimate_add(e, APIPOOL_ESTIMATE_IMAGE);
    apipool_estimate_text_begin(&e->text);
}

/* Data may be broken into lines. */
static int goes_on_data(unsigned char c)
{
    return base64[c] || c == '\n' || c == '\r';
}

static void take_byte(apipool_estimate_t *e, char byte)
{
    static const char marker[] = ";base64,";

    if (e->in_data && goes_on_data((unsigned char)byte)) {
        return;
    }
    e->in_data = 0;
    if (e->probed) {
        e->probed = goes_on_data((unsigned char)byte) ? e->probed - 1 : 0;
        if (!e->probed && goes_on_data((unsigned char)byte)) {
            e->text.sum = e->before;
            begin_data(e);
            return;
        }
    }
    e->matched = byte == marker[e->matched] ? e->matched + 1 : byte == ';';
    if (e->matched == sizeof(marker) - 1) {
        begin_data(e);
        return;
    }
    apipool_estimate_text_byte(&e->text, byte);
}

void apipool_estimate_string_unit(apipool_estimate_t *e, unsigned unit)
{
    e->matched = 0;
    if (unit < 0x80) {
        take_byte(e, (char)unit);
        e->matched = 0;
        return;
    }
    e->in_data = 0;
    e->probed = 0;
    apipool_estimate_text_unit(&e->text, unit);
}

const char *apipool_estimate_string_run(apipool_estimate_t *e, const char *p, const char *end,
                                        int is_json)
{
    while (p < end) {
        if (e->in_data) {
            while (p < end && base64[(unsigned char)*p]) {
                p++;
            }
        }
        else if (!e->matched && !e->probed) {
            p = apipool_estimate_text_run(&e->text, p, end, is_json);
        }
        if (p == end || (is_json && (*p == '"' || *p == '\\'))) {
            break;
        }
        take_byte(e, *p++);
    }
    return p;
}

static const char *line_end(const char *p, const char *end)
{
    const char *feed = memchr(p, '\n', (apr_size_t)(end - p));
    const char *stop = feed ? feed : end;
    const char *back = memchr(p, '\r', (apr_size_t)(stop - p));
    return back ? back : stop;
}

/* An event ends with an empty line (WHATWG, "Server-sent events"); in some streams it has none, and its
 * document ends by itself. */
static void end_line(apipool_estimate_t *e)
{
    if (e->line_at == LINE_FIELD && e->line_len == 0) {
        apipool_estimate_json_begin(e);
    }
    e->line_at = LINE_FIELD;
    e->line_len = 0;
}

static const char *read_line(apipool_estimate_t *e, const char *p, const char *end)
{
    static const char field[] = "data:";

    if (e->after_cr) {
        e->after_cr = 0;
        if (*p == '\n') {
            return p + 1;
        }
    }
    if (e->line_at == LINE_FIELD && *p != '\n' && *p != '\r') {
        if (*p == field[e->line_len]) {
            e->line_at = ++e->line_len == sizeof(field) - 1 ? LINE_DATA : LINE_FIELD;
        }
        else {
            e->line_at = LINE_OTHER;
        }
        return p + 1;
    }
    const char *stop = line_end(p, end);
    if (e->line_at == LINE_DATA) {
        apipool_estimate_json_feed(e, p, stop);
    }
    if (stop == end) {
        return end;
    }
    end_line(e);
    e->after_cr = *stop == '\r';
    return stop + 1;
}

void apipool_estimate_begin(apipool_estimate_t *e, apipool_estimate_kind_e kind)
{
    memset(e, 0, sizeof(*e));
    e->kind = (unsigned char)kind;
    apipool_estimate_json_begin(e);
}

void apipool_estimate_feed(apipool_estimate_t *e, const char *data, apr_size_t len)
{
    const char *p = data, *end = data + len;

    switch (e->kind) {
    case APIPOOL_ESTIMATE_STREAM:
        while (p < end) {
            p = read_line(e, p, end);
        }
        break;
    case APIPOOL_ESTIMATE_TEXT:
        apipool_estimate_string_run(e, p, end, 0);
        break;
    case APIPOOL_ESTIMATE_AUDIO:
        e->sound_bytes += len;
        break;
    default:
        apipool_estimate_json_feed(e, p, end);
    }
}

apr_int64_t apipool_estimate_tokens(const apipool_estimate_t *e)
{
    apr_uint64_t encoded = e->audio_bytes + e->sound_bytes / 3 * 4;
    apr_uint64_t audio = encoded / (APIPOOL_ESTIMATE_AUDIO_BYTES / APIPOOL_ESTIMATE_TOKEN);
    return (apr_int64_t)((e->text.sum + audio + APIPOOL_ESTIMATE_TOKEN / 2) /
                         APIPOOL_ESTIMATE_TOKEN);
}
