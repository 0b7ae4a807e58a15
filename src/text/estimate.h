/* SPDX-License-Identifier: Apache-2.0
 * Estimates the tokens of a request or an answer as it passes, for upstreams that report none. */
#ifndef APIPOOL_TEXT_ESTIMATE_H
#define APIPOOL_TEXT_ESTIMATE_H

#include <apr.h>

/* The rules are simple, so that anybody can retrace an estimate:
 *
 * Text. Four bytes of ASCII are one token. A character of another script counts by the first byte
 * of its UTF-8: a Han character 0.8 tokens, Cyrillic 0.4, an emoji 2; estimate.c has the table. A
 * JSON escape counts as the character it stands for.
 * JSON requests count as they stand. The names and punctuation of a message, some 30 bytes, stand
 * for its overhead in tokens; those of a tool's schema are read by the model.
 * Base64. In a request, a run of 1,024 characters or more is one image, however long it is. In an
 * answer 4,096 of them are one token, as for audio.
 * Images. One is 765 tokens: 1024 x 1024 in high detail, OpenAI guide "Images and vision",
 * "Calculating costs". In a form each file is an image. In an answer that is a list of images, each
 * element of its first array is one, whatever it holds.
 * Audio. 3,072 bytes are one token, or 4,096 in base64. OpenAI's audio models count 10 tokens a
 * second; a second is 16 kB of MP3 at 128 kbit/s, 48 kB of PCM at 24 kHz.
 * Answers in JSON or events. Only members in which models write text count: "content", "text",
 * "reasoning_content", "arguments" and a few more. Once a stream has sent text as "delta", only
 * that counts, since its last events repeat all of it, as do the "segments" and "words" of a
 * transcript. An answer of numbers only, such as embeddings, has no text. Tool call arguments that
 * are JSON rather than a string do not count.
 *
 * Compared with the mean of OpenAI's encodings o200k_base and cl100k_base, estimates of source code
 * and of most languages are within 20 %, English prose comes out at up to 1.4 times, a table of
 * numbers at half. */

#define APIPOOL_ESTIMATE_ASCII    4    /* bytes per token */
#define APIPOOL_ESTIMATE_BASE64   4096 /* characters per token, in an answer */
#define APIPOOL_ESTIMATE_RUN      1024 /* shortest run that is base64 rather than a word */
#define APIPOOL_ESTIMATE_IMAGE    765
#define APIPOOL_ESTIMATE_NAME_MAX 17 /* longest member name that matters */

typedef enum {
    APIPOOL_ESTIMATE_TEXT,   /* everything: a request in JSON, an answer that is not JSON */
    APIPOOL_ESTIMATE_ANSWER, /* generated text in JSON or in an event stream */
    APIPOOL_ESTIMATE_IMAGES, /* a JSON answer that is a list of images */
    APIPOOL_ESTIMATE_FORM    /* the files of a form (RFC 7578); its text does not count */
} apipool_estimate_kind_e;

/* Internal; callers use none of it. */
typedef struct {
    apr_uint64_t sum;                       /* in fractions of a token, see estimate.c */
    apr_uint64_t base64;                    /* characters, in an answer */
    apr_uint64_t sum_before, base64_before; /* where the current string began */
    apr_uint64_t depth; /* open brackets of a value that does not count, or of the image list */
    unsigned run;       /* characters so far that may be base64 */
    unsigned unit;      /* of \u */
    unsigned char kind;
    unsigned char escape; /* 1 after a backslash, 5 to 2 while hex digits are due */
    unsigned char in_string, muted, ended; /* ended: a string that may be a name */
    unsigned char rule;                    /* of the last name */
    unsigned char has_deltas, is_over;
    unsigned char matched;  /* bytes matched of the pattern that marks a form's part as a file */
    unsigned char name_len; /* one more than the maximum if the string is longer */
    char name[APIPOOL_ESTIMATE_NAME_MAX];
} apipool_estimate_t;

/** Begins. Needs no other memory and no cleanup. */
void apipool_estimate_begin(apipool_estimate_t *e, apipool_estimate_kind_e kind);

/**
 * Takes the next bytes, split anywhere. There are no errors: what cannot be read does not count.
 */
void apipool_estimate_feed(apipool_estimate_t *e, const char *data, apr_size_t len);

/** Returns the tokens so far, 0 or more. May be called at any time; an unfinished run or string may
 *  count for more than it will in the end. */
apr_int64_t apipool_estimate_tokens(const apipool_estimate_t *e);

/** Returns the tokens of audio that is not in base64. */
apr_int64_t apipool_estimate_audio(apr_uint64_t bytes);

#endif
