/* SPDX-License-Identifier: Apache-2.0
 * Weighs text by what its characters are and how many of a kind stand together. */
#include "estimate_parts.h"

/* Those of ASCII come first, those that end a run of it last. */
enum {
    BLANK,
    NEWLINE,
    LOWER,
    UPPER,
    DIGIT,
    MARK,
    ACCENTED, /* Latin letters beyond ASCII */
    CYRILLIC,
    GREEK,
    HEBREW,
    ARABIC,
    INDIC,
    THAI,
    HAN,
    KANA,
    HANGUL,
    SIGN, /* punctuation, arrows, lines */
    EMOJI,
    RARE, /* scripts that tokenizers have not learned */
    NOTHING,
    SEMICOLON,
    QUOTE,
    BACKSLASH,
    BEYOND, /* ASCII */
    CLASSES
};

#define RUN 16 /* a longer one begins anew */

/* What each character of a run weighs, from the first on, in 64ths of a token. Found by least squares on
 * manuals, catalogues of messages and source code, counted with o200k_base and cl100k_base. A word is a
 * token, and its letters from the seventh on a bit more; digits go by three; the marks of an operator or
 * of nested brackets go together. A Han character is 0.8, Kana 0.7, Hangul 0.75: between o200k_base and
 * the encodings of Chinese vendors, which have more of them. */
#define ALL(weight)                                                                                \
    {                                                                                              \
        [0 ... RUN - 1] = (weight)                                                                 \
    }
#define FIRST(first, other)                                                                        \
    {                                                                                              \
        (first), [1 ... RUN - 1] = (other)                                                         \
    }
#define MARKS                                                                                      \
    {                                                                                              \
        40, 29, [2 ... RUN - 1] = 14                                                               \
    }

static const unsigned char weights[CLASSES][RUN] = {
    [BLANK] = {0, 26},
    [NEWLINE] = {51},
    [LOWER] = {60, [6 ... RUN - 1] = 13},
    [UPPER] = FIRST(60, 14),
    [DIGIT] = {68, [3] = 64, [6] = 64, [9] = 64, [12] = 64},
    [MARK] = MARKS,
    [ACCENTED] = FIRST(104, 52),
    [CYRILLIC] = ALL(25),
    [GREEK] = ALL(38),
    [HEBREW] = ALL(42),
    [ARABIC] = ALL(32),
    [INDIC] = ALL(35),
    [THAI] = ALL(38),
    [HAN] = ALL(51),
    [KANA] = ALL(45),
    [HANGUL] = ALL(48),
    [SIGN] = FIRST(58, 32),
    [EMOJI] = ALL(128),
    [RARE] = ALL(64),
    [SEMICOLON] = MARKS,
    [QUOTE] = MARKS,
    [BACKSLASH] = MARKS,
};

/* After which classes a class goes on with the run: "Name" is one word, "getName" two. A mask, for speed. */
#define ON (RUN - 1)
#define ALL_LETTERS                                                                                \
    {                                                                                              \
        [LOWER] = ON, [UPPER] = ON, [ACCENTED] = ON                                                \
    }
#define ALL_MARKS                                                                                  \
    {                                                                                              \
        [MARK] = ON, [SEMICOLON] = ON, [QUOTE] = ON, [BACKSLASH] = ON                              \
    }

static const unsigned char goes_on[CLASSES][CLASSES] = {
    [BLANK] = {[BLANK] = ON}, [NEWLINE] = {[NEWLINE] = ON},
    [LOWER] = ALL_LETTERS,    [UPPER] = {[UPPER] = ON, [ACCENTED] = ON},
    [DIGIT] = {[DIGIT] = ON}, [MARK] = ALL_MARKS,
    [ACCENTED] = ALL_LETTERS, [SIGN] = {[SIGN] = ON},
    [SEMICOLON] = ALL_MARKS,  [QUOTE] = ALL_MARKS,
    [BACKSLASH] = ALL_MARKS,
};

static const unsigned char ascii[256] = {
    [0 ... 9] = BLANK,     ['\n'] = NEWLINE,     [11 ... 12] = BLANK, ['\r'] = NEWLINE,
    [14 ... ' '] = BLANK,  ['!'] = MARK,         ['"'] = QUOTE,       ['#' ... '/'] = MARK,
    ['0' ... '9'] = DIGIT, [':'] = MARK,         [';'] = SEMICOLON,   ['<' ... '@'] = MARK,
    ['A' ... 'Z'] = UPPER, ['['] = MARK,         ['\\'] = BACKSLASH,  [']' ... '`'] = MARK,
    ['a' ... 'z'] = LOWER, ['{' ... '~'] = MARK, [127] = BLANK,       [128 ... 255] = BEYOND,
};

/* By 64 code points, the first two of which are ASCII. Where blocks of Unicode meet inside of 64 the one
 * more often used has them. */
#define BLOCKS(first, last) [(first) >> 6 ...(last) >> 6]

static const unsigned char plane0[1024] = {
    BLOCKS(0x0000, 0x007f) = NOTHING,  BLOCKS(0x0080, 0x00bf) = SIGN,
    BLOCKS(0x00c0, 0x036f) = ACCENTED, BLOCKS(0x0380, 0x03ff) = GREEK,
    BLOCKS(0x0400, 0x053f) = CYRILLIC, BLOCKS(0x0540, 0x057f) = RARE,
    BLOCKS(0x0580, 0x05ff) = HEBREW,   BLOCKS(0x0600, 0x07ff) = ARABIC,
    BLOCKS(0x0800, 0x08bf) = RARE,     BLOCKS(0x08c0, 0x08ff) = ARABIC,
    BLOCKS(0x0900, 0x0dff) = INDIC,    BLOCKS(0x0e00, 0x0eff) = THAI,
    BLOCKS(0x0f00, 0x10bf) = RARE,     BLOCKS(0x10c0, 0x10ff) = INDIC,
    BLOCKS(0x1100, 0x11ff) = HANGUL,   BLOCKS(0x1200, 0x1dff) = RARE,
    BLOCKS(0x1e00, 0x1eff) = ACCENTED, BLOCKS(0x1f00, 0x1fff) = GREEK,
    BLOCKS(0x2000, 0x25ff) = SIGN,     BLOCKS(0x2600, 0x27bf) = EMOJI,
    BLOCKS(0x27c0, 0x2e7f) = SIGN,     BLOCKS(0x2e80, 0x2fff) = HAN,
    BLOCKS(0x3000, 0x303f) = SIGN,     BLOCKS(0x3040, 0x30ff) = KANA,
    BLOCKS(0x3100, 0x31bf) = HANGUL,   BLOCKS(0x31c0, 0x33ff) = KANA,
    BLOCKS(0x3400, 0x4dbf) = HAN,      BLOCKS(0x4dc0, 0x4dff) = SIGN,
    BLOCKS(0x4e00, 0x9fff) = HAN,      BLOCKS(0xa000, 0xabff) = RARE,
    BLOCKS(0xac00, 0xd7bf) = HANGUL,   BLOCKS(0xd7c0, 0xf8ff) = RARE,
    BLOCKS(0xf900, 0xfaff) = HAN,      BLOCKS(0xfb00, 0xfdff) = ARABIC,
    BLOCKS(0xfe00, 0xfe3f) = NOTHING,  BLOCKS(0xfe40, 0xfeff) = ARABIC,
    BLOCKS(0xff00, 0xff3f) = SIGN,     BLOCKS(0xff40, 0xff7f) = KANA,
    BLOCKS(0xff80, 0xffbf) = KANA,     BLOCKS(0xffc0, 0xffff) = SIGN,
};

/* The other planes, by 4,096 code points. */
static unsigned class_beyond(unsigned code)
{
    unsigned block = code >> 12;
    return block == 0x1f                    ? EMOJI
           : block == 0x1d                  ? SIGN
           : block >= 0x20 && block <= 0x3f ? HAN
           : block >= 0xe0 && block <= 0xef ? NOTHING
                                            : RARE;
}

static inline void add(apipool_estimate_text_t *t, unsigned class)
{
    t->run = (unsigned char)((t->run + 1) & goes_on[class][t->last]);
    t->last = (unsigned char)class;
    t->sum += weights[class][t->run];
}

/* The first two bytes tell what a character is. Stray ones are nothing. */
static inline void add_beyond(apipool_estimate_text_t *t, unsigned char byte)
{
    unsigned char first = t->first;

    t->first = 0;
    if (byte >= 0xe0) {
        t->first = byte;
    }
    else if (byte >= 0xc0) {
        add(t, plane0[byte & 0x1f]);
    }
    else if (first >= 0xf0) {
        add(t, class_beyond((first & 7u) << 18 | (byte & 0x3fu) << 12));
    }
    else if (first) {
        add(t, plane0[(first & 0xfu) << 6 | (byte & 0x3fu)]);
    }
}

void apipool_estimate_text_begin(apipool_estimate_text_t *t)
{
    t->last = NOTHING;
    t->run = 0;
    t->first = 0;
}

void apipool_estimate_text_unit(apipool_estimate_text_t *t, unsigned unit)
{
    t->first = 0;
    if (unit < 0x80) {
        add(t, ascii[unit]);
    }
    else if (unit < 0xd800 || unit >= 0xe000) {
        add(t, plane0[unit >> 6]);
    }
    else if (unit < 0xdc00) {
        add(t, class_beyond(0x10000 + ((unit - 0xd800) << 10)));
    }
}

void apipool_estimate_text_byte(apipool_estimate_text_t *t, char byte)
{
    unsigned char c = (unsigned char)byte;
    if (c < 0x80) {
        apipool_estimate_text_unit(t, c);
    }
    else {
        add_beyond(t, c);
    }
}

/* The weight of a run of ASCII, where nearly all time is spent: what add() does, in registers. */
static const char *add_ascii(apipool_estimate_text_t *t, const char *p, const char *end)
{
    unsigned last = t->last, run = t->run, class = ascii[(unsigned char)*p];
    apr_uint64_t sum = 0;

    do {
        run = (run + 1) & goes_on[class][last];
        last = class;
        sum += weights[class][run];
        p++;
    } while (p < end && (class = ascii[(unsigned char)*p]) < SEMICOLON);
    t->sum += sum;
    t->last = (unsigned char)last;
    t->run = (unsigned char)run;
    t->first = 0;
    return p;
}

static int is_inner(char byte)
{
    return (byte & 0xc0) == 0x80;
}

/* One of three bytes at once, as those of Chinese are, or else a byte. */
static const char *add_character(apipool_estimate_text_t *t, const char *p, const char *end)
{
    if (end - p >= 3 && (*p & 0xf0) == 0xe0 && is_inner(p[1]) && is_inner(p[2])) {
        t->first = 0;
        add(t, plane0[(*p & 0xfu) << 6 | (p[1] & 0x3fu)]);
        return p + 3;
    }
    add_beyond(t, (unsigned char)*p);
    return p + 1;
}

const char *apipool_estimate_text_run(apipool_estimate_text_t *t, const char *p, const char *end,
                                      int is_json)
{
    while (p < end) {
        unsigned class = ascii[(unsigned char)*p];
        if (class == BEYOND) {
            p = add_character(t, p, end);
        }
        else if (class == SEMICOLON || (class > SEMICOLON && is_json)) {
            break;
        }
        else {
            p = add_ascii(t, p, end);
        }
    }
    return p;
}
