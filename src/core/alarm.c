/* SPDX-License-Identifier: Apache-2.0
 * Alarms for operators: events, and the message that tells of one. */
#include "alarm.h"

#include <apr_strings.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "render.h"

static const struct {
    const char *name, *one, *many; /* title of one, and behind a number */
} events[] = {
    [APIPOOL_ALARM_KEY_LOST] = {"key_lost", "a key is lost", "keys are lost"},
    [APIPOOL_ALARM_KEY_BACK] = {"key_back", "a key is back", "keys are back"},
    [APIPOOL_ALARM_POOL_LOW] = {"pool_low", "few keys are usable", NULL},
    [APIPOOL_ALARM_POOL_EXHAUSTED] = {"pool_exhausted", "no key is usable", NULL},
    [APIPOOL_ALARM_UPSTREAM_PAUSED] = {"upstream_paused", "an upstream is paused",
                                       "upstreams are paused"},
    [APIPOOL_ALARM_UPSTREAM_BACK] = {"upstream_back", "an upstream is back", "upstreams are back"},
    [APIPOOL_ALARM_BALANCE_LOW] = {"balance_low", "the balance of a key is low",
                                   "balances are low"},
    [APIPOOL_ALARM_CLIENT_NEAR_LIMIT] = {"client_near_limit", "a client is near a limit",
                                         "clients are near a limit"},
    [APIPOOL_ALARM_CLIENT_OVER_LIMIT] = {"client_over_limit", "a client has reached a limit",
                                         "clients have reached a limit"},
    [APIPOOL_ALARM_STORE_NOT_SAVED] = {"store_not_saved", "the store could not be saved", NULL},
};

const char *apipool_alarm_name(apipool_alarm_e event)
{
    return events[event].name;
}

/* Begins with the module's name, a keyword by which DingTalk's robots can tell their messages. */
static const char *title_of(apr_pool_t *p, const apipool_alarm_t *alarm)
{
    const char *many = events[alarm->event].many;
    const char *what = many && alarm->count > 1 ? apr_psprintf(p, "%u %s", alarm->count, many)
                                                : events[alarm->event].one;
    return apr_pstrcat(p, "apipool on ", alarm->host, ": ", alarm->pool ? "pool " : "",
                       alarm->pool ? alarm->pool : "", alarm->pool ? ": " : "", what, NULL);
}

/* The title, as many lines as fit whole, and how many things have none. */
static const char *text_of(apr_pool_t *p, const apipool_alarm_t *alarm, const char *title)
{
    const apr_size_t room = APIPOOL_ALARM_TEXT - sizeof("\nand 4294967295 more");
    char *text = apr_pstrdup(p, title);
    int told = 0;
    for (; told < alarm->lines->nelts; told++) {
        const char *line = APR_ARRAY_IDX(alarm->lines, told, const char *);
        if (strlen(text) + strlen(line) + 1 > room) {
            break;
        }
        text = apr_pstrcat(p, text, "\n", line, NULL);
    }
    if (alarm->count > (apr_uint32_t)told && alarm->lines->nelts) {
        text = apr_psprintf(p, "%s\nand %u more", text, alarm->count - (apr_uint32_t)told);
    }
    for (char *c = text; *c; c++) {
        *c = (char)(*c == '<' ? '(' : *c == '>' ? ')' : *c);
    }
    return text;
}

static json_t *base64_of(apr_pool_t *p, const char *text)
{
    apr_size_t len = strlen(text);
    unsigned char *base64 = apr_palloc(p, 4 * ((len + 2) / 3) + 1);
    EVP_EncodeBlock(base64, (const unsigned char *)text, (int)len);
    return json_string((char *)base64);
}

/* Adds a member as a line; the value is released. */
static void add(apr_pool_t *p, apr_array_header_t *lines, const char *name, json_t *value)
{
    char *json = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    const char *line =
        apr_pstrcat(p, lines->nelts ? ",\n\"" : "\"", name, "\": ", json ? json : "null", NULL);
    APR_ARRAY_PUSH(lines, const char *) = line;
    free(json);
    json_decref(value);
}

static void add_rows(apr_pool_t *p, apr_array_header_t *lines, const apipool_alarm_t *alarm)
{
    const char *name;
    json_t *value;
    if (alarm->members) {
        add(p, lines, "count", json_integer(alarm->count));
        add(p, lines, alarm->members, json_incref(alarm->rows));
    }
    else {
        json_object_foreach(alarm->rows, name, value)
        {
            add(p, lines, name, json_incref(value));
        }
    }
    json_decref(alarm->rows);
}

const char *apipool_alarm_message(apr_pool_t *p, const apipool_alarm_t *alarm)
{
    apr_array_header_t *lines = apr_array_make(p, 12, sizeof(const char *));
    const char *title = title_of(p, alarm), *text = text_of(p, alarm, title);
    add(p, lines, "event", json_string(apipool_alarm_name(alarm->event)));
    add(p, lines, "time", apipool_render_time(alarm->at));
    add(p, lines, "host", json_string(alarm->host));
    if (alarm->pool) {
        add(p, lines, "server", json_string(alarm->server));
        add(p, lines, "pool", json_string(alarm->pool));
    }
    add_rows(p, lines, alarm);
    add(p, lines, "title", apipool_render_text(title));
    add(p, lines, "text", apipool_render_text(text));
    add(p, lines, "text_base64", base64_of(p, text));
    return apr_pstrcat(p, "{\n", apr_array_pstrcat(p, lines, 0), "\n}\n", NULL);
}
