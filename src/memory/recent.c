/* SPDX-License-Identifier: Apache-2.0
 * Ring of the last requests; its only index is the number of requests ever recorded. */
#include "recent.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "fault.h"

static_assert(offsetof(apipool_recent_entry_t, number) == 0, "the rest lies behind it");
static_assert(sizeof(apipool_recent_entry_t) <= 896, "an entry is bounded");

const char *apipool_ending_name(apipool_ending_e ending)
{
    static const char *const names[APIPOOL_ENDINGS] = {[APIPOOL_ENDED_COMPLETE] = "complete",
                                                       [APIPOOL_ENDED_TRUNCATED] = "truncated",
                                                       [APIPOOL_ENDED_CLIENT_ABORT] =
                                                           "client_abort",
                                                       [APIPOOL_ENDED_REFUSED] = "refused",
                                                       [APIPOOL_ENDED_FAILED] = "failed"};
    return names[ending];
}

const char *apipool_tokens_name(apipool_tokens_e tokens)
{
    static const char *const names[] = {[APIPOOL_TOKENS_NONE] = "none",
                                        [APIPOOL_TOKENS_REPORTED] = "reported",
                                        [APIPOOL_TOKENS_ESTIMATED] = "estimated"};
    return names[tokens];
}

apr_size_t apipool_recent_bytes(apr_uint32_t size)
{
    return sizeof(apr_uint64_t) + (apr_size_t)size * sizeof(apipool_recent_entry_t);
}

apipool_recent_t apipool_recent_view(void *memory, apr_uint32_t size)
{
    apr_uint64_t *pushed = memory;
    return (apipool_recent_t){pushed, (apipool_recent_entry_t *)(void *)(pushed + 1), size};
}

static void terminate(apipool_recent_entry_t *entry)
{
    entry->client[sizeof(entry->client) - 1] = '\0';
    entry->endpoint[sizeof(entry->endpoint) - 1] = '\0';
    entry->model[sizeof(entry->model) - 1] = '\0';
}

/* Length of a text that is cut between characters. */
static apr_size_t cut(const char *text, apr_size_t most)
{
    apr_size_t len = strlen(text);
    len = len < most ? len : most;
    while (len && ((unsigned char)text[len] & 0xc0) == 0x80) {
        len--;
    }
    return len;
}

/* Puts texts, each with NUL, into out, each cut to so many bytes; out may be NULL. Returns their
 * size. */
static apr_size_t put_cut(const char *texts, apr_size_t len, apr_size_t most, char *out)
{
    apr_size_t size = 0;
    for (const char *at = texts; at < texts + len; at += strlen(at) + 1) {
        apr_size_t kept = cut(at, most);
        if (out) {
            memcpy(out + size, at, kept);
            out[size + kept] = '\0';
        }
        size += kept + 1;
    }
    return size;
}

void apipool_recent_said(apipool_recent_entry_t *entry, const apipool_words_t *words)
{
    char all[APIPOOL_RECENT_WORDS + APIPOOL_WORDS_SIZE];
    apr_size_t len = entry->words_len, said = strlen(words->text) + 1, most = APIPOOL_WORDS_SIZE;
    memcpy(all, entry->words, len);
    memcpy(all + len, words->text, said);
    while (most && put_cut(all, len + said, most, NULL) > APIPOOL_RECENT_WORDS) {
        most--;
    }
    if (most) {
        entry->words_len = (apr_uint16_t)put_cut(all, len + said, most, entry->words);
    }
}

const char *apipool_recent_words(const apipool_recent_entry_t *entry, apr_uint32_t attempt)
{
    const char *at = entry->words;
    const char *end = at + entry->words_len;
    while (attempt-- && at < end) {
        at += strlen(at) + 1;
    }
    return at < end ? at : "";
}

void apipool_recent_push_locked(const apipool_recent_t *recent, const apipool_recent_entry_t *entry)
{
    if (!recent->size) {
        return;
    }
    apipool_recent_entry_t *place = &recent->entries[*recent->pushed % recent->size];
    place->number = 0; /* until the entry is complete */
    APIPOOL_IN_ORDER();
    memcpy((char *)place + sizeof(place->number), (const char *)entry + sizeof(entry->number),
           offsetof(apipool_recent_entry_t, words) + entry->words_len - sizeof(entry->number));
    APIPOOL_FAULT("recent-unnumbered");
    terminate(place);
    APIPOOL_IN_ORDER();
    place->number = *recent->pushed + 1;
    APIPOOL_FAULT("recent-uncounted");
    APIPOOL_IN_ORDER(); /* a child that dies before this leaves no half entry at the front */
    ++*recent->pushed;
}

apr_uint32_t apipool_recent_count_locked(const apipool_recent_t *recent)
{
    return *recent->pushed < recent->size ? (apr_uint32_t)*recent->pushed : recent->size;
}

apr_uint32_t apipool_recent_read_locked(const apipool_recent_t *recent, apr_uint32_t offset,
                                        apr_uint32_t limit, apipool_recent_entry_t *out)
{
    apr_uint32_t count = apipool_recent_count_locked(recent), n = 0;

    for (; n < limit && offset < count; offset++) {
        apr_uint64_t number = *recent->pushed - offset;
        const apipool_recent_entry_t *entry = &recent->entries[(number - 1) % recent->size];
        if (entry->number == number) { /* the oldest may be half overwritten by a dead child */
            out[n++] = *entry;
        }
    }
    return n;
}
