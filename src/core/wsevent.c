/* SPDX-License-Identifier: Apache-2.0
 * One event of OpenAI's realtime and responses protocols, read as its bytes pass: the few members that
 * count. */
#include "wsevent.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define OVERLONG 0xff /* a length that no name has */
#define NO_FIELD 0xff

/* The objects that matter; whatever else there is, is skipped. */
enum { NOWHERE, TOP, RESPONSE, DETAILS, ERROR, SESSION, AUDIO, INPUT, TRANSCRIPTION, PLACES };

enum { AT_START, AT_TOKEN, AT_NAME, AT_TEXT, AT_OTHER, AT_NUMBER, AT_SKIPPED, AT_END };

typedef struct {
    const char *name;
    unsigned char child, field;
} member_t;

#define HOLDS(name, child) {name, child, NO_FIELD}
#define TELLS(name, field) {name, NOWHERE, APIPOOL_WSEVENT_##field}
#define END                {NULL, NOWHERE, NO_FIELD}

static const member_t of_top[] = {
    TELLS("event_id", EVENT_ID),
    TELLS("type", TYPE),        TELLS("status", STATUS),      TELLS("status_code", STATUS),
    TELLS("model", MODEL),      TELLS("delta", DELTA),        TELLS("max_output_tokens", MAX_TOKENS),
    TELLS("code", ERROR_CODE),  TELLS("message", ERROR_MESSAGE), HOLDS("response", RESPONSE),
    HOLDS("session", SESSION),  HOLDS("error", ERROR),        END,
};

static const member_t of_response[] = {
    TELLS("id", RESPONSE_ID),
    TELLS("model", RESPONSE_MODEL),
    TELLS("status", RESPONSE_STATUS),
    TELLS("max_output_tokens", MAX_TOKENS),
    HOLDS("error", ERROR),
    HOLDS("status_details", DETAILS),
    END,
};

static const member_t of_details[] = {HOLDS("error", ERROR), END};

static const member_t of_error[] = {
    TELLS("type", ERROR_TYPE),
    TELLS("code", ERROR_CODE),
    TELLS("message", ERROR_MESSAGE),
    END,
};

static const member_t of_session[] = {
    TELLS("model", SESSION_MODEL),
    HOLDS("audio", AUDIO),
    HOLDS("input_audio_transcription", TRANSCRIPTION),
    END,
};

static const member_t of_audio[] = {HOLDS("input", INPUT), END};
static const member_t of_input[] = {HOLDS("transcription", TRANSCRIPTION), END};
static const member_t of_transcription[] = {TELLS("model", TRANSCRIPTION), END};
static const member_t of_nothing[] = {END};

static const member_t *const members[PLACES] = {
    [NOWHERE] = of_nothing,     [TOP] = of_top,         [RESPONSE] = of_response,
    [DETAILS] = of_details,     [ERROR] = of_error,     [SESSION] = of_session,
    [AUDIO] = of_audio,         [INPUT] = of_input,     [TRANSCRIPTION] = of_transcription,
};

void apipool_wsevent_begin(apipool_wsevent_t *event)
{
    memset(event->len, 0, sizeof(*event) - offsetof(apipool_wsevent_t, len));
    for (int i = 0; i < APIPOOL_WSEVENT_FIELDS; i++) {
        event->text[i][0] = '\0';
    }
}

static void forget_name(apipool_wsevent_t *event)
{
    event->is_named = 0;
    event->child = NOWHERE;
    event->field = NO_FIELD;
}

static void enter(apipool_wsevent_t *event, unsigned char place)
{
    event->place[event->depth++] = place;
    event->at = AT_TOKEN;
    forget_name(event);
}

static void leave(apipool_wsevent_t *event)
{
    event->at = --event->depth ? AT_TOKEN : AT_END;
    forget_name(event);
}

static void end_name(apipool_wsevent_t *event)
{
    const member_t *member = members[event->place[event->depth - 1]];
    event->at = AT_TOKEN;
    forget_name(event);
    if (event->name_len == OVERLONG) {
        return;
    }
    while (member->name && (strlen(member->name) != event->name_len ||
                            memcmp(member->name, event->name, event->name_len) != 0)) {
        member++;
    }
    event->child = member->child;
    event->field = member->field;
}

static void begin_field(apipool_wsevent_t *event)
{
    if (event->field != NO_FIELD) {
        event->len[event->field] = 0;
        event->text[event->field][0] = '\0';
        event->is_set[event->field] = 0;
    }
}

static void end_field(apipool_wsevent_t *event)
{
    if (event->field != NO_FIELD) {
        event->is_set[event->field] = 1;
    }
    event->at = AT_TOKEN;
    forget_name(event);
}

static void keep(apipool_wsevent_t *event, const char *p, apr_size_t len)
{
    if (event->field == NO_FIELD) {
        return;
    }
    const apr_size_t max = APIPOOL_WSEVENT_TEXT - 1;
    char *text = event->text[event->field];
    apr_uint64_t *all = &event->len[event->field];
    apr_size_t used = *all < max ? (apr_size_t)*all : max, room = max - used;
    memcpy(text + used, p, len < room ? len : room);
    text[used + (len < room ? len : room)] = '\0';
    *all += len;
}

static void keep_name(apipool_wsevent_t *event, const char *p, apr_size_t len)
{
    if (event->name_len == OVERLONG || len > sizeof(event->name) - event->name_len) {
        event->name_len = OVERLONG;
        return;
    }
    memcpy(event->name + event->name_len, p, len);
    event->name_len += (unsigned char)len;
}

/* The character behind a backslash, as far as it is of one letter. */
static void end_escape(apipool_wsevent_t *event, char c)
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/  \n\r\t";
    const char *at = c ? strchr(escapes, c) : NULL;
    event->escaped = 0;
    event->hex = c == 'u' ? 4 : 0;
    if (event->at == AT_NAME) {
        event->name_len = OVERLONG;
    }
    else if (event->at == AT_TEXT) {
        keep(event, at ? &meant[at - escapes] : "?", 1);
    }
}

/* Inside of a string, be it a name, a value or of what is skipped. */
static const char *read_string(apipool_wsevent_t *event, const char *p, const char *end)
{
    if (event->escaped) {
        end_escape(event, *p);
        return p + 1;
    }
    if (event->hex) {
        event->hex--;
        return p + 1;
    }
    const char *stop = apipool_find_either(p, end, '"', '\\');
    if (event->at == AT_NAME) {
        keep_name(event, p, (apr_size_t)(stop - p));
    }
    else if (event->at == AT_TEXT) {
        keep(event, p, (apr_size_t)(stop - p));
    }
    if (stop == end) {
        return end;
    }
    if (*stop == '\\') {
        event->escaped = 1;
    }
    else if (event->at == AT_NAME) {
        end_name(event);
    }
    else if (event->at == AT_TEXT) {
        end_field(event);
    }
    else {
        event->at = event->skipped ? AT_SKIPPED : AT_TOKEN;
    }
    return stop + 1;
}

/* Where a value or a name begins, or an object ends. */
static const char *read_token(apipool_wsevent_t *event, const char *p)
{
    switch (*p) {
    case '"':
        event->name_len = 0;
        event->at = event->is_named ? AT_TEXT : AT_NAME;
        if (event->is_named) {
            begin_field(event);
        }
        break;
    case ':':
        event->is_named = 1;
        break;
    case ',':
        forget_name(event);
        break;
    case '{':
        if (event->child != NOWHERE && event->is_named && event->depth < APIPOOL_WSEVENT_DEPTH) {
            enter(event, event->child);
            break;
        }
        /* fall through */
    case '[':
        event->skipped = 1;
        event->at = AT_SKIPPED;
        break;
    case '}':
    case ']':
        leave(event);
        break;
    case '-':
    case '0' ... '9':
        begin_field(event);
        event->at = AT_NUMBER;
        return p;
    default: /* blanks and literals */
        break;
    }
    return p + 1;
}

static const char *read_number(apipool_wsevent_t *event, const char *p, const char *end)
{
    const char *stop = p;
    while (stop < end && ((*stop >= '0' && *stop <= '9') || *stop == '-' || *stop == '+' ||
                          *stop == '.' || *stop == 'e' || *stop == 'E')) {
        stop++;
    }
    keep(event, p, (apr_size_t)(stop - p));
    if (stop < end) {
        end_field(event);
    }
    return stop;
}

static const char *skip(apipool_wsevent_t *event, const char *p, const char *end)
{
    while (p < end) {
        char c = *p++;
        if (c == '"') {
            event->at = AT_OTHER;
            return p;
        }
        event->skipped += c == '{' || c == '[';
        if ((c == '}' || c == ']') && --event->skipped == 0) {
            event->at = AT_TOKEN;
            return p;
        }
    }
    return p;
}

static const char *read_start(apipool_wsevent_t *event, const char *p)
{
    if (*p == '{') {
        enter(event, TOP);
    }
    else if (*p != ' ' && *p != '\t' && *p != '\r' && *p != '\n') {
        event->at = AT_END;
    }
    return p + 1;
}

void apipool_wsevent_feed(apipool_wsevent_t *event, const char *data, apr_size_t len)
{
    const char *p = data, *end = data + len;
    while (p < end && event->at != AT_END) {
        switch (event->at) {
        case AT_START:
            p = read_start(event, p);
            break;
        case AT_TOKEN:
            p = read_token(event, p);
            break;
        case AT_NUMBER:
            p = read_number(event, p, end);
            break;
        case AT_SKIPPED:
            p = skip(event, p, end);
            break;
        default:
            p = read_string(event, p, end);
        }
    }
}

const char *apipool_wsevent_text(const apipool_wsevent_t *event, apipool_wsevent_field_e field)
{
    return event->is_set[field] ? event->text[field] : "";
}

apr_int64_t apipool_wsevent_number(const apipool_wsevent_t *event, apipool_wsevent_field_e field)
{
    const char *text = apipool_wsevent_text(event, field);
    char *end;
    apr_int64_t value = strtoll(text, &end, 10);
    return *text && !*end && value >= 0 ? value : -1;
}

int apipool_wsevent_is(const apipool_wsevent_t *event, const char *type)
{
    return !strcmp(apipool_wsevent_text(event, APIPOOL_WSEVENT_TYPE), type);
}
