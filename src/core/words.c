/* SPDX-License-Identifier: Apache-2.0
 * What a vendor said of an error, in its own words: short, clean, without the key. */
#include "words.h"

#include <apr_strings.h>
#include <string.h>

#include "ascii.h"
#include "key.h"
#include "utf8.h"

#define FIELD_MAX 64 /* of type and code, so that the message finds room */
#define CUT_SHOWN 4  /* as many characters of a key as a mask shows */

/* Appends a text, cleaned, as far as it ends before "end". Returns where the next one begins. */
static char *add(char *out, const char *end, const char *text)
{
    for (apr_size_t len = strlen(text), took; len; text += took, len -= took) {
        apr_uint32_t code = 0;
        apr_size_t read = apipool_utf8_character(text, len, &code);
        took = read ? read : 1;
        if (out + took > end) {
            break;
        }
        if (!read || code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            *out++ = read ? ' ' : '?';
        }
        else {
            memcpy(out, text, read);
            out += read;
        }
    }
    return out;
}

static const char *at_most(const char *end, const char *limit)
{
    return limit < end ? limit : end;
}

void apipool_words_make(apipool_words_t *words, const char *type, const char *code,
                        const char *message)
{
    char *out = words->text;
    const char *end = words->text + APIPOOL_WORDS_SIZE - 1;
    memset(words, 0, sizeof(*words));
    if (!*type && !*code && !*message) {
        return;
    }
    out = add(out, at_most(end, out + FIELD_MAX), type);
    *out++ = '\n';
    out = add(out, at_most(end, out + FIELD_MAX), code);
    *out++ = '\n';
    while (apipool_ascii_is_space(*message)) {
        message++;
    }
    add(out, end, message);
}

void apipool_words_mask(apipool_words_t *words, const char *key, apr_size_t len)
{
    apr_size_t said = strlen(words->text);
    apr_size_t cut = apipool_key_overlap(words->text, said, key, len);
    apipool_key_redact(words->text, said, key, len);
    if (cut > CUT_SHOWN) {
        memset(words->text + said - cut, '*', cut);
    }
}

static const char *read_part(const char *text, char *part)
{
    apr_size_t len = strcspn(text, "\n"), kept = len;
    kept = kept < APIPOOL_WORDS_SIZE ? kept : APIPOOL_WORDS_SIZE - 1;
    memcpy(part, text, kept);
    part[kept] = '\0';
    return text + len + (text[len] == '\n');
}

void apipool_words_read(const char *text, apipool_words_parts_t *parts)
{
    text = read_part(text, parts->type);
    text = read_part(text, parts->code);
    read_part(text, parts->message);
}
