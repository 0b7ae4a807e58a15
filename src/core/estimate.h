/* SPDX-License-Identifier: Apache-2.0
 * An estimate of the tokens in a request or an answer as it passes, for upstreams that report none. */
#ifndef APIPOOL_CORE_ESTIMATE_H
#define APIPOOL_CORE_ESTIMATE_H

#include <apr.h>

/* What counts is the text of JSON strings, escapes decoded, without the syntax around it.
 *
 * Not counted: names of members; ids, roles, types and other settings ("model", "finish_reason", ...);
 * what repeats other text (logprobs, annotations, an answer's echo of its instructions, the last events
 * of a stream that has sent its text in "delta"); embeddings, signatures and "b64_json". Definitions
 * of tools ("parameters", "input_schema", "schema") and arguments that are JSON themselves ("args",
 * "input" of a tool's use) are read by the model as they stand, so their names count.
 *
 * A request also has
 *   4 tokens for each "role" and 3 for the reply: OpenAI Cookbook, "How to count tokens with tiktoken",
 *     rounded up to whole messages;
 *   1 for each number of "input" or "prompt" where that is an array of tokens, or of such arrays: OpenAI
 *     API reference, "Create embeddings" and "Create completion";
 *   a fixed number for each image, file or video, however long it is: given as "image_url" and the like,
 *     as base64 in "data", or as base64 of a data URL (RFC 2397) in any text, in answers too. 765 is an
 *     image of 1024 x 1024 in high detail, OpenAI guide "Images and vision", "Calculating costs": 85 and
 *     170 for each of 4 tiles. In low detail it would be 85; Anthropic's "Vision" gives about 1,600 for
 *     the largest, Gemini's "Understand and count tokens" 258 for each tile;
 *   1 for each 4 KiB of "input_audio" and "audio" as written, in answers too. OpenAI's audio models count
 *     10 a second; a second is 21 kB of base64 as MP3 of 128 kbit/s, 64 kB as PCM of 24 kHz. Audio that is
 *     not in base64, in answers and in the forms of recordings, counts as what it would be in base64.
 * An answer that is a list of images has an image for each element of its first list that is called "data",
 * "images" or "predictions", whatever is in it; vendors repeat the list under another name.
 * One that begins with "--" is a form (RFC 7578): its fields are text, a file is as an image is. Of any
 * other body nothing counts.
 *
 * Text is counted by the word and by the character, with the weights of estimate_text.c. Against OpenAI's
 * encodings o200k_base and cl100k_base the estimate is within a fifth for English and source code. Other
 * languages, where these two differ by up to three times, come out between them, mostly within a third of
 * o200k_base. Digits and base64 in a text are estimated at three quarters of what they are. */

#define APIPOOL_ESTIMATE_MESSAGE     4
#define APIPOOL_ESTIMATE_REPLY       3
#define APIPOOL_ESTIMATE_IMAGE       765
#define APIPOOL_ESTIMATE_AUDIO_BYTES 4096 /* to one token */

#define APIPOOL_ESTIMATE_DEPTH_MAX     256 /* of brackets and braces: what is deeper does not count */
#define APIPOOL_ESTIMATE_LINE_MAX      160 /* of a part's header */
#define APIPOOL_ESTIMATE_DELIMITER_MAX 80  /* RFC 2046 allows 74 */

typedef enum {
    APIPOOL_ESTIMATE_REQUEST,
    APIPOOL_ESTIMATE_RECORDING, /* a request in whose form files are audio */
    APIPOOL_ESTIMATE_JSON,      /* an answer, or several that follow each other */
    APIPOOL_ESTIMATE_STREAM,    /* an answer of type text/event-stream */
    APIPOOL_ESTIMATE_IMAGES,    /* a JSON answer that is a list of images */
    APIPOOL_ESTIMATE_TEXT,      /* an answer that is text and nothing else */
    APIPOOL_ESTIMATE_AUDIO      /* an answer that is audio */
} apipool_estimate_kind_e;

/* Text so far. */
typedef struct {
    apr_uint64_t sum;    /* in parts of a token, see estimate_parts.h */
    unsigned char last;  /* class of the last character */
    unsigned char run;   /* how many before it were of its kind */
    unsigned char first; /* byte of a character of three or four, or 0 */
} apipool_estimate_text_t;

/* Nothing in it is for callers. */
typedef struct {
    apipool_estimate_text_t text;
    apr_uint64_t before;      /* sum as the string began */
    apr_uint64_t audio_bytes; /* in base64 */
    apr_uint64_t sound_bytes; /* as they are */
    apr_uint64_t skipped;     /* brackets and braces open in what does not count */
    unsigned char kind, at;
    unsigned char begun, has_roles, has_deltas;
    unsigned char line_at, line_len, after_cr;               /* of an event stream */
    unsigned char rule, valued, in_number, in_tokens;        /* rule is that of the next value */
    unsigned char escape, matched, probed, in_data;          /* of a string */
    unsigned char in_string, in_audio;                       /* of what does not count */
    unsigned char is_text, is_file, delimited, before_value; /* of a form's part */
    unsigned char name_len, delimiter_len;
    unsigned short depth, whole, images; /* the last two: depth of the container, or 0 */
    unsigned unit;                       /* of \u */
    unsigned char is_array[APIPOOL_ESTIMATE_DEPTH_MAX / 8];
    char line[APIPOOL_ESTIMATE_LINE_MAX]; /* a member's name or a line of a form, so far */
    char delimiter[APIPOOL_ESTIMATE_DELIMITER_MAX];
} apipool_estimate_t;

/** Starts. It needs no memory but its own and nothing at its end. */
void apipool_estimate_begin(apipool_estimate_t *e, apipool_estimate_kind_e kind);

/**
 * Takes the next bytes, which may begin and end anywhere. Nothing is an error: what cannot be read does
 * not count. A name written with escapes, as no client does, is none that is known.
 */
void apipool_estimate_feed(apipool_estimate_t *e, const char *data, apr_size_t len);

/** Tokens so far, 0 or more. May be asked at any time. */
apr_int64_t apipool_estimate_tokens(const apipool_estimate_t *e);

#endif
