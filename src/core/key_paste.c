/* SPDX-License-Identifier: Apache-2.0
 * Reader of pasted keys: words between all kinds of separators, and YAML. */
#include <apr_cstr.h>
#include <string.h>

#include "ascii.h"
#include "key_list_parts.h"

#define NAMES(names) (names), sizeof(names) / sizeof(*(names))

/* What a character does to the word before it. */
typedef enum {
    PART,  /* belongs to the word */
    BLANK, /* the word ends, unless it is a name: "name = key" */
    QUOTE, /* likewise */
    END,   /* the word ends */
    NAME   /* the word was a name */
} effect_e;

/* Separators outside ASCII, as the last bytes of a text. */
static const struct {
    apr_uint32_t bytes;
    int len;
    effect_e effect;
} wide[] = {
    {0xe38080, 3, BLANK}, /* ideographic space */
    {0xc2a0, 2, BLANK},   /* no-break space */
    {0xe2808b, 3, BLANK}, /* zero-width space */
    {0xefbbbf, 3, BLANK}, /* byte order mark */
    {0xe2809c, 3, QUOTE}, {0xe2809d, 3, QUOTE}, {0xe28098, 3, QUOTE},
    {0xe28099, 3, QUOTE}, {0xefbc8c, 3, END}, /* full-width comma */
    {0xe38081, 3, END},                       /* ideographic comma */
    {0xefbc9b, 3, END},                       /* full-width semicolon */
    {0xefbd9c, 3, END},                       /* full-width vertical bar */
    {0xefbc9a, 3, NAME},                      /* full-width colon */
    {0xefbc9d, 3, NAME},                      /* full-width equals sign */
};

static const char *const skipped[] = {"bearer", "export", "set", "-", "*", "=", "=>", "->", ":"};
static const char *const yaml_names[] = {"api_key", "api_keys", "key", "keys"};

static int is_one_of(const char *word, apr_size_t len, const char *const *names, apr_size_t count)
{
    for (apr_size_t i = 0; i < count; i++) {
        if (strlen(names[i]) == len && !apr_cstr_casecmpn(word, names[i], len)) {
            return 1;
        }
    }
    return 0;
}

static int is_name(const char *text, apr_size_t len)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz_-.$:0123456789";
    apr_size_t i = 0;
    while (i < len && memchr(allowed, apipool_ascii_lower(text[i]), sizeof(allowed) - 1)) {
        i++;
    }
    return i == len && len && !(*text >= '0' && *text <= '9');
}

static void end_name(apipool_key_list_t *list)
{
    list->is_named = list->where == APIPOOL_KEY_LIST_IN_YAML &&
                     is_one_of(list->key, list->used, NAMES(yaml_names));
    list->used = 0;
}

/* Delivers "value" of "name=value", unless that is the padding of Base64. */
static void deliver_word(apipool_key_list_t *list)
{
    apipool_key_item_t item = {.key = list->key, .len = list->used, .enabled = 1};
    const char *equals = list->key;
    while (item.len <= sizeof(list->key) && (equals = memchr(item.key, '=', item.len))) {
        apr_size_t name = (apr_size_t)(equals - item.key);
        if (name + 1 == item.len || equals[1] == '=' || !is_name(item.key, name)) {
            break;
        }
        item.key += name + 1;
        item.len -= name + 1;
    }
    apipool_key_list_deliver(list, &item, list->line);
}

static void end_word(apipool_key_list_t *list)
{
    apr_size_t len = list->used;
    int is_short = len && len <= sizeof(list->key);
    if (is_short && list->key[len - 1] == ':' && is_name(list->key, len - 1)) {
        list->used--;
        end_name(list);
        return;
    }
    if (len && !(is_short && is_one_of(list->key, len, NAMES(skipped))) &&
        (list->where == APIPOOL_KEY_LIST_IN_WORDS || list->is_named)) {
        deliver_word(list);
    }
    list->used = 0;
}

static effect_e effect_of(const apipool_key_list_t *list, char c)
{
    if (c == ' ' || c == '\t' || c == '\r') {
        return BLANK;
    }
    if (c && strchr("\"'`", c)) {
        return QUOTE;
    }
    return c && strchr(list->where == APIPOOL_KEY_LIST_IN_YAML ? ",;|{}[]" : ",;|", c) ? END : PART;
}

/* Adds a byte, and takes a separator off that it completes. */
static effect_e add(apipool_key_list_t *list, char c)
{
    if (list->used < sizeof(list->key)) {
        list->key[list->used] = c;
    }
    list->used++;
    list->tail = list->tail << 8 | (unsigned char)c;
    for (apr_size_t i = 0; (unsigned char)c & 0x80 && i < sizeof(wide) / sizeof(*wide); i++) {
        apr_uint32_t mask = wide[i].len == 2 ? 0xffff : 0xffffff;
        if ((list->tail & mask) == wide[i].bytes && list->used >= (apr_size_t)wide[i].len) {
            list->used -= (apr_size_t)wide[i].len;
            return wide[i].effect;
        }
    }
    return PART;
}

/* A quote behind "name=" makes that a name, unless it closes the quoted word "padding=". */
static void act(apipool_key_list_t *list, effect_e effect)
{
    list->gap = effect == BLANK || effect == QUOTE;
    if (effect == QUOTE) {
        if (list->used && list->used <= sizeof(list->key) && !list->quoted &&
            list->key[list->used - 1] == '=') {
            list->used = 0;
        }
        list->quoted = !list->used;
    }
    else if (effect == END) {
        end_word(list);
    }
    else if (effect == NAME) {
        end_name(list);
    }
}

static void end_line(apipool_key_list_t *list)
{
    end_word(list);
    list->line++;
    list->gap = 1;
    list->in_comment = list->quoted = 0;
    list->tail = 0;
}

/* A word before a blank waits for the next character: "=" and ":" make it a name. */
static void read_word(apipool_key_list_t *list, char c)
{
    if (c == '\n') {
        end_line(list);
        return;
    }
    effect_e effect = list->in_comment ? BLANK : effect_of(list, c);
    if (list->in_comment) {
        return;
    }
    if (effect == PART && list->gap && list->used) {
        if (c == '=' || c == ':') {
            end_name(list);
            return;
        }
        end_word(list);
    }
    if (effect == PART && c == '#' && list->gap) {
        list->in_comment = 1;
        return;
    }
    if (effect == PART) {
        list->quoted = list->used ? list->quoted : list->quoted && list->gap;
        list->gap = 0;
        effect = add(list, c);
    }
    if (effect != PART) {
        act(list, effect);
    }
}

/* LiteLLM's config.yaml begins with one of its sections. */
static int is_yaml(const char *line, apr_size_t len)
{
    static const char *const sections[] = {"model_list",
                                           "litellm_settings",
                                           "general_settings",
                                           "router_settings",
                                           "environment_variables",
                                           "api_keys",
                                           "keys"};
    const char *colon = memchr(line, ':', len);
    return colon && is_one_of(line, (apr_size_t)(colon - line), NAMES(sections));
}

static apr_size_t blanks(const char *text, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r')) {
        i++;
    }
    return i;
}

static int is_rule(const char *text, apr_size_t len)
{
    apr_size_t i = 0;
    while (i < len && strchr("- \t\r", text[i]) && text[i]) {
        i++;
    }
    return i == len && len >= 3 && !memcmp(text, "---", 3);
}

/* Decides by the first line that is no comment or rule; whatever is no head is read again as words. */
static void end_head(apipool_key_list_t *list)
{
    apr_size_t len = list->head_len, start = blanks(list->head, len);
    list->head_len = 0;
    if (start == len || list->head[start] == '#' || is_rule(list->head + start, len - start)) {
        return;
    }
    list->where = is_yaml(list->head, len) ? APIPOOL_KEY_LIST_IN_YAML : APIPOOL_KEY_LIST_IN_WORDS;
    list->head_len = len;
    if (apipool_key_table_begin(list)) {
        list->where = APIPOOL_KEY_LIST_IN_TABLE;
        return;
    }
    for (apr_size_t i = 0; i < len; i++) {
        read_word(list, list->head[i]);
    }
}

static void read_head(apipool_key_list_t *list, char c)
{
    if (c != '\n' && list->head_len < sizeof(list->head)) {
        list->head[list->head_len++] = c;
        return;
    }
    if (c != '\n') { /* too long to be a head */
        list->where = APIPOOL_KEY_LIST_IN_WORDS;
        for (apr_size_t i = 0; i < list->head_len; i++) {
            read_word(list, list->head[i]);
        }
        read_word(list, c);
        return;
    }
    end_head(list);
    if (list->where == APIPOOL_KEY_LIST_IN_HEAD || list->where == APIPOOL_KEY_LIST_IN_TABLE) {
        list->line++;
    }
    else {
        read_word(list, c);
    }
}

void apipool_key_paste_read(apipool_key_list_t *list, char c)
{
    if (list->where == APIPOOL_KEY_LIST_IN_HEAD) {
        read_head(list, c);
    }
    else if (list->where == APIPOOL_KEY_LIST_IN_TABLE) {
        apipool_key_table_read(list, c);
    }
    else {
        read_word(list, c);
    }
}

void apipool_key_paste_end(apipool_key_list_t *list)
{
    if (list->where == APIPOOL_KEY_LIST_IN_HEAD) {
        end_head(list);
    }
    if (list->where == APIPOOL_KEY_LIST_IN_TABLE) {
        apipool_key_table_end(list);
    }
    else if (list->where != APIPOOL_KEY_LIST_IN_HEAD) {
        end_word(list);
    }
}
