/* SPDX-License-Identifier: Apache-2.0
 * An estimate of the tokens in a request or an answer as it passes, for upstreams that report none. */
#ifndef APIPOOL_TEXT_ESTIMATE_H
#define APIPOOL_TEXT_ESTIMATE_H

#include <apr.h>

/* The rules are simple, so that anybody can tell why an estimate is what it is:
 *
 * Text. Four bytes of ASCII are a token. A character of another script is a part of a token, by the first
 *   byte of its UTF-8: a Han character 0.8, Cyrillic 0.4, an emoji 2; estimate.c has the table. An escape of
 *   JSON counts as the character that it stands for.
 * Requests in JSON count as they stand. Names and punctuation of a message, 30 bytes or so, stand for what a
 *   message costs besides its text; those of a tool's schema are read by the model.
 * Base64. A run of 1,024 characters or more is an image in a request, however long it is. In an answer
 *   4,096 of them are a token, as they are of audio.
 * Images. One is 765 tokens: 1024 x 1024 in high detail, OpenAI guide "Images and vision", "Calculating
 *   costs". A form has one for each of its files; an answer that is a list of images has one for each element
 *   of its first array, whatever is in it.
 * Audio. 3,072 bytes are a token, which are 4,096 in base64. OpenAI's audio models count 10 tokens a second;
 *   a second is 16 kB of MP3 at 128 kbit/s, 48 kB of PCM at 24 kHz.
 * Answers in JSON or in events have the text of the members in which models write: "content", "text",
 *   "reasoning_content", "arguments" and a few more. Once a stream has sent text as "delta" only that counts,
 *   for its last events repeat all of it; so do the "segments" and "words" of a transcript. What has only
 *   numbers, embeddings for example, has no text. Arguments of a tool's call that are JSON and no string
 *   do not count.
 *
 * Against the mean of OpenAI's encodings o200k_base and cl100k_base source code and most languages come out
 * within a fifth, prose in English at up to 1.4 times, a table of numbers at half. */

#define APIPOOL_ESTIMATE_ASCII    4    /* bytes to one token */
#define APIPOOL_ESTIMATE_BASE64   4096 /* characters to one token, of an answer */
#define APIPOOL_ESTIMATE_RUN      1024 /* characters that make base64 of what might be a word */
#define APIPOOL_ESTIMATE_IMAGE    765
#define APIPOOL_ESTIMATE_NAME_MAX 17 /* longest name of a member that matters */

typedef enum {
    APIPOOL_ESTIMATE_TEXT,   /* all of it: a request in JSON, an answer that is no JSON */
    APIPOOL_ESTIMATE_ANSWER, /* generated text in JSON or in an event stream */
    APIPOOL_ESTIMATE_IMAGES, /* a JSON answer that is a list of images */
    APIPOOL_ESTIMATE_FORM    /* the files of a form (RFC 7578); its text is not looked at */
} apipool_estimate_kind_e;

/* Nothing in it is for callers. */
typedef struct {
    apr_uint64_t sum;                       /* in parts of a token, see estimate.c */
    apr_uint64_t base64;                    /* characters, of an answer */
    apr_uint64_t sum_before, base64_before; /* as the string began */
    apr_uint64_t
        depth;     /* brackets and braces open in what does not count, or in the list of images */
    unsigned run;  /* characters that may be base64, so far */
    unsigned unit; /* of \u */
    unsigned char kind;
    unsigned char escape; /* 1 after a backslash, 5 to 2 where a hex digit is due */
    unsigned char in_string, muted,
        ended;          /* ended: of a string it is not known yet whether it is a name */
    unsigned char rule; /* of the last name */
    unsigned char has_deltas, is_over;
    unsigned char matched;  /* of what says that a form's part is a file */
    unsigned char name_len; /* one more where the string is longer */
    char name[APIPOOL_ESTIMATE_NAME_MAX];
} apipool_estimate_t;

/** Starts. It needs no memory but its own and nothing at its end. */
void apipool_estimate_begin(apipool_estimate_t *e, apipool_estimate_kind_e kind);

/**
 * Takes the next bytes, which may begin and end anywhere. Nothing is an error: what cannot be read does
 * not count.
 */
void apipool_estimate_feed(apipool_estimate_t *e, const char *data, apr_size_t len);

/** Tokens so far, 0 or more. May be asked at any time; a run or a string that is not over may count for more
 *  than it will in the end. */
apr_int64_t apipool_estimate_tokens(const apipool_estimate_t *e);

/** Tokens of audio that is not in base64. */
apr_int64_t apipool_estimate_audio(apr_uint64_t bytes);

#endif
