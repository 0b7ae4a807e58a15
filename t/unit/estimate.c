/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/estimate: what counts and how much, bodies cut anywhere, and accuracy against
 * real counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "estimate.h"

#define TEXT   APIPOOL_ESTIMATE_TEXT
#define ANSWER APIPOOL_ESTIMATE_ANSWER
#define IMAGES APIPOOL_ESTIMATE_IMAGES
#define FORM   APIPOOL_ESTIMATE_FORM

/* The rules, in 64ths of a token. */
#define TOKEN     64
#define OF_ASCII  (TOKEN / 4)
#define OF_IMAGE  (765L * TOKEN)
#define OF_BASE64 (TOKEN / 4096.0) /* in an answer */

/* Copies the piece to memory of exactly its size, so that a checker notices any overrun. */
static void feed(apipool_estimate_t *e, const char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, data, len);
    apipool_estimate_feed(e, exact, len);
    free(exact);
}

static long tokens_cut(apipool_estimate_kind_e kind, const char *body, size_t len, size_t cut)
{
    apipool_estimate_t e;
    memset(&e, 0xa5, sizeof(e));
    apipool_estimate_begin(&e, kind);
    assert_int_equal(apipool_estimate_tokens(&e), 0);
    feed(&e, body, cut);
    feed(&e, body + cut, len - cut);
    return (long)apipool_estimate_tokens(&e);
}

static long tokens_by_byte(apipool_estimate_kind_e kind, const char *body, size_t len)
{
    apipool_estimate_t e;
    apipool_estimate_begin(&e, kind);
    for (size_t i = 0; i < len; i++) {
        feed(&e, body + i, 1);
    }
    return (long)apipool_estimate_tokens(&e);
}

/* Feeds the body whole, in two pieces cut anywhere, and byte by byte. */
static long tokens_of(const char *name, apipool_estimate_kind_e kind, const char *body)
{
    size_t len = strlen(body);
    long whole = tokens_cut(kind, body, len, 0);

    for (size_t cut = 1; cut <= len; cut++) {
        long cut_tokens = tokens_cut(kind, body, len, cut);
        if (cut_tokens != whole) {
            fail_msg("%s: %ld tokens, cut at %zu %ld", name, whole, cut, cut_tokens);
        }
    }
    if (tokens_by_byte(kind, body, len) != whole) {
        fail_msg("%s: other tokens byte by byte", name);
    }
    return whole;
}

/* Writes a JSON string, on request with everything escaped that can be. */
static void quote(char *out, size_t size, const char *text, int escape_all)
{
    static const char plain[] = "\n\t\"\\", letters[] = "nt\"\\";
    const unsigned char *p = (const unsigned char *)text;
    char *end = out + size - 20;

    *out++ = '"';
    while (*p) {
        const char *at = strchr(plain, *p);
        assert_true(out < end);
        if (at && !escape_all) {
            *out++ = '\\';
            *out++ = letters[at - plain];
            p++;
        }
        else if (!escape_all) {
            *out++ = (char)*p++;
        }
        else {
            int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : *p >= 0xc0 ? 1 : 0;
            unsigned code = more ? *p & (0x3fu >> more) : *p;
            for (p++; more > 0; more--) {
                code = code << 6 | (*p++ & 0x3fu);
            }
            out += code < 0x10000 ? sprintf(out, "\\u%04x", code)
                                  : sprintf(out, "\\u%04X\\u%04X", 0xd7c0 + (code >> 10),
                                            0xdc00 + (code & 0x3ff));
        }
    }
    strcpy(out, "\"");
}

/* Counted with OpenAI's tiktoken. */
static const struct {
    const char *name, *text;
    int o200k_base, cl100k_base;
} texts[] = {
    {"English",
     "The committee met on Tuesday to discuss the annual budget, which had grown by "
     "almost twelve percent since the previous spring. Several members argued that the "
     "increase was unavoidable, because the price of electricity and heating had doubled. "
     "Others wanted to know why the library, which few people visited during the winter, "
     "needed three new employees. After two hours of conversation nobody had changed "
     "their mind, so the chairman suggested that they vote by secret ballot the following "
     "week.",
     88, 88},
    {"Python",
     "def merge(left, right):\n    \"\"\"Merge two sorted lists into one.\"\"\"\n    result = []\n"
     "    i = j = 0\n    while i < len(left) and j < len(right):\n        if left[i] <= right[j]:\n"
     "            result.append(left[i])\n            i += 1\n        else:\n"
     "            result.append(right[j])\n            j += 1\n    result.extend(left[i:])\n"
     "    result.extend(right[j:])\n    return result\n",
     92, 92},
    {"JSON in a string",
     "{\"city\":\"Paris\",\"days\":3,\"units\":\"metric\",\"include\":[\"temperature\",\"wind_"
     "speed\",\"humidity\"],\"location\":{\"latitude\":48.8566,\"longitude\":2.3522}}",
     39, 38},
    {"Chinese",
     "人工智能正在改变我们的生活方式。从智能手机到自动驾驶汽车，越来越多的产品开始使"
     "用机器学习技术。很多专家认为，未来十年里，医疗、教育和金融行业将受到最大的影响"
     "。不过，也有人担心这些技术会带来失业和隐私问题，因此各国政府正在讨论新的法律。",
     69, 134},
    {"Japanese",
     "昨日は友達と一緒に新しいレストランへ行きました。料理はとても美味しかったですが"
     "、少し値段が高いと思いました。食事の後で、近くの公園をゆっくり散歩しながら、来"
     "月の旅行について話しました。コンピューターで予約をするつもりです。",
     81, 114},
    {"Korean",
     "어제 친구와 함께 새로 생긴 식당에 갔습니다. 음식은 아주 맛있었지만 가격이 조금"
     " 비싸다고 생각했습니다. 식사를 마친 뒤에 근처 공원을 천천히 걸으면서 다음 달 여"
     "행에 대해 이야기했습니다.",
     56, 106},
    {"Russian",
     "Вчера мы с друзьями ходили в новый ресторан, который открылся недалеко от вокзала. "
     "Еда оказалась очень вкусной, но цены были немного выше, чем мы ожидали. После "
     "ужина мы долго гуляли по набережной и обсуждали планы на летний отпуск.",
     63, 114},
    {"German",
     "Gestern haben wir mit Freunden ein neues Restaurant besucht, das in der Nähe des "
     "Bahnhofs eröffnet wurde. Das Essen schmeckte ausgezeichnet, allerdings waren die "
     "Preise etwas höher als erwartet. Danach spazierten wir lange am Fluss entlang "
     "und besprachen unsere Pläne für den Sommerurlaub.",
     58, 77},
    {"Chinese and English",
     "请帮我写一个 Python 函数，读取 config.yaml 文件，并把其中的 database.host 改成"
     " 10.0.0.5。如果 file not found，请返回 None，并打印 error message。最后用 pytest "
     "写两个测试用例。",
     52, 60},
    {"a list with numbers",
     "1. Revenue: $4,250,300 (up 12.5%)\n"
     "2. Costs: $3,100,000\n"
     "3. Margin: 27.1%\n"
     "\n"
     "| Year | Units | Price |\n"
     "|------|-------|-------|\n"
     "| 2023 | 15200 | 19.99 |\n"
     "| 2024 | 18750 | 21.49 |\n",
     79, 80},
    {"emoji", "Great job! 🎉🎉 See you tomorrow 😀👍 at the beach 🏖️", 19, 23},
};

typedef struct {
    const char *name;
    apipool_estimate_kind_e kind;
    const char *body;
    const char *text; /* text that counts, all ASCII */
    long images;
    long base64; /* characters of base64 */
} row_t;

static long expected(const row_t *row)
{
    double sum = (double)strlen(row->text) * OF_ASCII + (double)(row->images * OF_IMAGE) +
                 (double)row->base64 * OF_BASE64;
    return (long)((long)sum + TOKEN / 2) / TOKEN;
}

static void check_rows(const row_t *rows, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        long tokens = tokens_of(rows[i].name, rows[i].kind, rows[i].body);
        if (tokens != expected(&rows[i])) {
            print_error("%s: %ld tokens, not %ld\n", rows[i].name, tokens, expected(&rows[i]));
            failed = 1;
        }
    }
    assert_false(failed);
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof(*(rows)))

#define WHOLE(name, body)                                                                          \
    {                                                                                              \
        name, TEXT, body, body, 0, 0                                                               \
    }

static const row_t requests[] = {
    WHOLE("a chat",
          "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"one two\"},"
          "{\"role\":\"user\",\"content\":\"three\"}],\"stream\":true,\"max_tokens\":100}"),
    WHOLE("what a message costs besides its text", "{\"role\":\"user\",\"content\":\"\"},"),
    WHOLE("parts of a message",
          "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one two\"},"
          "{\"text\":\"three\",\"type\":\"text\"}]}]}"),
    WHOLE("Gemini's contents",
          "{\"systemInstruction\":{\"parts\":[{\"text\":\"one two\"}]},\"contents\":[{\"parts\":"
          "[{\"text\":\"three\"}],\"role\":\"user\"}]}"),
    WHOLE("an embedding of texts", "{\"input\":[\"one two\",\"three\"],\"model\":\"m\"}"),
    WHOLE("of tokens", "{\"input\":[1, 22,333],\"dimensions\":256}"),
    WHOLE("a tool",
          "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":"
          "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"}}}}}]}"),
    WHOLE("an image by its address",
          "{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.png\"}}"),
    WHOLE("half a request", "{\"input\":\"one two three"),
    WHOLE("text that is no JSON", "one two three"),
    WHOLE("a bracket", "{"),
    WHOLE("nothing", ""),
    {"escapes are the characters that they stand for", TEXT,
     "{\"input\":\"one\\ntwo \\\"three\\\" \\\\ \\/ \\u0041\\u005a\"}",
     "{\"input\":\"one two \"three\" \\ / AZ\"}", 0, 0},
    {"escapes that are none", TEXT, "\\u12\"x\\", "\"x", 0, 0},
};

static void all_of_a_request_counts(void **unused)
{
    CHECK(requests);
}

#define RUN64   "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9Q"
#define RUN256  RUN64 RUN64 RUN64 RUN64
#define RUN1024 RUN256 RUN256 RUN256 RUN256
#define RUN1023                                                                                    \
    RUN256 RUN256 RUN256 RUN64 RUN64 RUN64                                                         \
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9"

#define PART(url)                                                                                  \
    "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64," url "\"}}"

static const row_t base64[] = {
    {"an image", TEXT, PART(RUN1024), PART(""), 1, 0},
    {"however long it is", TEXT, PART(RUN1024 RUN1024 RUN1024 "=="), PART(""), 1, 0},
    {"another one", TEXT, PART(RUN1024) PART(RUN1024), PART("") PART(""), 2, 0},
    {"too short to be one", TEXT, PART(RUN1023), PART(RUN1023), 0, 0},
    {"in lines", TEXT, PART(RUN256 "\\n" RUN256 "\\r\\n" RUN256 "\\n" RUN256), PART(""), 1, 0},
    {"with escapes of PHP and .NET", TEXT, PART(RUN256 "\\/" RUN256 "\\u002B" RUN256 RUN256),
     PART(""), 1, 0},
    {"for the web", TEXT, "{\"data\":\"" RUN1024 "-_\"}", "{\"data\":\"\"}", 1, 0},
    {"text behind it", TEXT, RUN1024 " one " RUN64, " one " RUN64, 1, 0},
    {"in an answer's text", ANSWER,
     "{\"content\":\"![a](data:image/png;base64," RUN1024 RUN1024 ")\"}",
     "![a](data:image/png;base64,)", 0, 2048},
    {"too short in an answer", ANSWER, "{\"content\":\"" RUN1023 "\"}", RUN1023, 0, 0},
    {"audio with an answer", ANSWER,
     "{\"message\":{\"audio\":{\"id\":\"audio_1\",\"data\":\"" RUN256
     "\",\"transcript\":\"one two\"}}}",
     "one two", 0, 256},
    {"speech in events", ANSWER,
     "data: {\"type\":\"speech.audio.delta\",\"audio\":\"" RUN1024 RUN1024 "\"}\n\n"
     "data: {\"type\":\"speech.audio.delta\",\"audio\":\"" RUN1024 RUN1024 "\"}\n\n",
     "", 0, 4096},
};

static void base64_is_an_image_or_counts_by_its_length(void **unused)
{
    CHECK(base64);
}

static const row_t answers[] = {
    {"a chat", ANSWER,
     "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"gpt-4o\","
     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"one two\","
     "\"refusal\":null,\"annotations\":[{\"url\":\"https://example.com\"}]},\"logprobs\":{"
     "\"content\":[{\"token\":\"one\"}]},\"finish_reason\":\"stop\"}],"
     "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\"}",
     "one two", 0, 0},
    {"thoughts and a tool's call", ANSWER,
     "{\"choices\":[{\"message\":{\"reasoning_content\":\"one two\",\"tool_calls\":[{\"id\":"
     "\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"three\",\"arguments\":\"{}\"}}]}}]"
     "}",
     "one two{}", 0, 0},
    {"a completion", ANSWER, "{\"choices\":[{\"text\":\"one two\",\"index\":0}]}", "one two", 0, 0},
    {"a response", ANSWER,
     "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"instructions\":\"be "
     "brief\",\"output\":[{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\","
     "\"content\":"
     "[{\"type\":\"output_text\",\"text\":\"one two\",\"annotations\":[]}]}],\"tools\":[{\"name\":"
     "\"weather\"}],\"tool_choice\":\"auto\"}",
     "one two", 0, 0},
    {"Anthropic's, but for arguments in JSON", ANSWER,
     "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":"
     "\"thinking\",\"thinking\":\"one\",\"signature\":\"EqQBCgIYAhIM\"},{\"type\":\"text\","
     "\"text\":"
     "\"two\"},{\"type\":\"tool_use\",\"name\":\"three\",\"input\":{\"four\":\"five\"}}],"
     "\"stop_reason\":\"tool_use\"}",
     "onetwo", 0, 0},
    {"Gemini's, in an array", ANSWER,
     "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"one\"}],\"role\":\"model\"},"
     "\"finishReason\":\"STOP\"}],\"modelVersion\":\"gemini\"},\n{\"candidates\":[{\"content\":{"
     "\"parts\":[{\"text\":\" two\"}]}}]}]",
     "one two", 0, 0},
    {"lines, of which one has broken off", ANSWER,
     "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"one\"}}\n"
     "{\"model\":\"m\",\"message\":{\"content\":\"two\n"
     "{\"model\":\"m\",\"response\":\"three\",\"done\":true}\n",
     "onetwothree", 0, 0},
    {"blanks, and texts in an array", ANSWER,
     "{ \"id\" : \"x\" ,\n \"content\" : [ \"one\" , \"two\" ] , \"a\" : \"three\" }", "onetwo", 0,
     0},
    {"escapes", ANSWER, "{\"text\":\"\\\"one\\n\\u0041\",\"a\":\"\\\"\",\"text\":\"two\"}",
     "\"one Atwo", 0, 0},
    {"embeddings", ANSWER,
     "{\"data\":[{\"embedding\":[0.1,-2e-3],\"index\":0},{\"embedding\":\"AAAAAAAA\"}],"
     "\"object\":\"list\"}",
     "", 0, 0},
    {"images", ANSWER, "{\"created\":1,\"data\":[{\"b64_json\":\"" RUN1024 "\"}]}", "", 0, 0},
    {"a transcript and its parts", ANSWER,
     "{\"text\":\"one two\",\"segments\":[{\"text\":\"one\",\"a\":[\"]\"]},{\"text\":\"two\"}],"
     "\"words\":[{\"text\":\"one\"}],\"text\":\"three\"}",
     "one twothree", 0, 0},
    {"thoughts and their details", ANSWER,
     "{\"reasoning\":\"one "
     "two\",\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"one "
     "two\"}],\"content\":\"three\"}",
     "one twothree", 0, 0},
    {"a fault", ANSWER, "{\"error\":{\"message\":\"one two\"}}", "", 0, 0},
    {"a name with escapes is another", ANSWER, "{\"t\\u0065xt\":\"one\",\"\\\"text\":\"two\"}", "",
     0, 0},
    {"names that begin or end alike", ANSWER,
     "{\"texts\":\"one\",\"ext\":\"two\",\"\":\"three\",\"reasoning_contents\":\"four\"}", "", 0,
     0},
    {"no JSON", ANSWER, "one two \"three\"", "", 0, 0},
};

static void the_text_of_an_answer_counts(void **unused)
{
    CHECK(answers);
}

#define EVENT(data) "data: " data "\n\n"

static const row_t streams[] = {
    {"a chat", ANSWER,
     EVENT(
         "{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{"
         "\"role\":\"assistant\",\"content\":\"\"}}],\"obfuscation\":\"abc\"}")
         EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}],\"usage\":null}")
             EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\" two\"}}]}")
                 EVENT("{\"choices\":[{\"index\":0,\"delta\":null,\"finish_reason\":\"stop\"}]}")
                     EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\" three\"}}]}")
                         EVENT("[DONE]"),
     "one two three", 0, 0},
    {"a response, whose last events repeat its text", ANSWER,
     "event: response.created\n" EVENT("{\"response\":{\"instructions\":\"be brief\"}}")
         EVENT("{\"item_id\":\"msg\",\"delta\":\"one two\"}")
             EVENT("{\"item_id\":\"msg\",\"delta\":\" three\"}")
                 EVENT("{\"type\":\"response.output_text.done\",\"text\":\"one two three\"}")
                     EVENT("{\"item\":{\"content\":[{\"text\":\"one two three\"}]}}")
                         EVENT("{\"response\":{\"output\":[{\"text\":\"one two three\"}]}}"),
     "one two three", 0, 0},
    {"Anthropic's", ANSWER,
     EVENT("{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[]}}") EVENT(
         "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}")
         EVENT("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":"
               "\"one\"}}") EVENT("{\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"two\"}}")
             EVENT("{\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"three\"}}")
                 EVENT("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}")
                     EVENT("{\"type\":\"message_stop\"}"),
     "onetwothree", 0, 0},
    {"lines end with CR and LF, or with CR", ANSWER,
     ": a \"comment\r\n\r\ndata:{\"text\":\"one\"}\r\n\r\nevent: text\r\nid: one\r\rdata: "
     "{\"text\":\"two\"}\r\r",
     "onetwo", 0, 0},
    {"a document on several lines", ANSWER, "data: {\"text\":\ndata: \"one\"\nid: 1\ndata: }\n\n",
     "one", 0, 0},
    {"no empty lines", ANSWER, "data: {\"text\":\"one\"}\ndata: {\"text\":\"two\"}\n", "onetwo", 0,
     0},
    {"a broken document", ANSWER, "data: {\"text\":\"one\n\ndata: {\"text\":\"two\"}\n\n", "onetwo",
     0, 0},
    {"no JSON", ANSWER, "data: one\n\ndata: {\"text\":\"two\"}\n\n", "two", 0, 0},
};

static void the_text_of_a_stream_counts_once(void **unused)
{
    CHECK(streams);
}

#define FIELD "Content-Disposition: form-data; name="

static const row_t lists[] = {
    {"images in base64", IMAGES,
     "{\"created\":1,\"data\":[{\"b64_json\":\"" RUN1024 "\",\"a\":[{}],\"b\":{\"c\":\"d\"}},"
     "{\"b64_json\":\"" RUN1024 "\"}]}",
     "", 2, 0},
    {"objects with addresses", IMAGES, "{\"data\":[{\"url\":\"https://x/y\"}]}", "", 1, 0},
    {"addresses alone", IMAGES, "{\"a\":{\"urls\":[\"https://x/y\", \"]\\\"}\"]}}", "", 2, 0},
    {"the same list twice", IMAGES,
     "{\"images\":[{\"url\":\"https://x/y\"}],\"timings\":{\"inference\":1.5},"
     "\"data\":[{\"url\":\"https://x/y\"}]}",
     "", 1, 0},
    {"no image", IMAGES, "{\"data\":[],\"text\":\"one two\"}", "", 0, 0},
    {"predictions", IMAGES, "{\"predictions\":[{\"bytesBase64Encoded\":\"" RUN1024 "\"}]}", "", 1,
     0},
    {"a form with a file", FORM,
     "--XyZ\r\n" FIELD "\"model\"\r\n\r\ngpt-image-1\r\n--XyZ\r\n" FIELD
     "\"image\"; filename=\"a.png\"\r\n\r\n\x89PNG\r\n--XyZ--\r\n",
     "", 1, 0},
    {"with two, in other letters", FORM,
     "--XyZ\r\n" FIELD "a; FileName=a\r\n\r\n\r\n--XyZ\r\n" FIELD "b; ffilefilename=b\r\n\r\n", "",
     2, 0},
    {"with none", FORM, "--XyZ\r\n" FIELD "filename\r\n\r\nfilenam e=\r\n--XyZ--", "", 0, 0},
};

static void images_count_by_their_number(void **unused)
{
    CHECK(lists);
}

static void scripts_are_told_apart_by_their_first_byte(void **unused)
{
    static const struct {
        const char *character, *escaped;
        long weight;
    } scripts[] = {
        {"a ", "\\u0061\\u0020", 2 * OF_ASCII},
        {"\xc3\xa9", "\\u00e9", 52},
        {"\xce\xb1", "\\u03B1", 38},
        {"\xd0\xb6", "\\u0436", 25},
        {"\xd7\xa9", "\\u05e9", 42},
        {"\xd8\xb9", "\\u0639", 32},
        {"\xe0\xa4\x95", "\\u0915", 36},
        {"\xe0\xb8\x81", "\\u0e01", 36},
        {"\xe1\xba\xa1", "\\u1ea1", 52},
        {"\xe2\x80\x9c", "\\u201c", 45},
        {"\xe3\x81\x82", "\\u3042", 45},
        {"\xe4\xbd\xa0", "\\u4f60", 51},
        {"\xe9\x9b\xa8", "\\u96E8", 51},
        {"\xea\xb0\x80", "\\uac00", 48},
        {"\xef\xbc\x8c", "\\uff0c", 48},
        {"\xf0\x9f\x98\x80", "\\ud83d\\ude00", 128},
    };
    char plain[4100], escaped[12100];
    for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
        plain[0] = escaped[0] = '\0';
        for (int k = 0; k < 1000; k++) {
            strcpy(plain + (size_t)k * strlen(scripts[i].character), scripts[i].character);
            strcpy(escaped + (size_t)k * strlen(scripts[i].escaped), scripts[i].escaped);
        }
        long tokens = (scripts[i].weight * 1000 + TOKEN / 2) / TOKEN;
        assert_int_equal(tokens_cut(TEXT, plain, strlen(plain), 1), tokens);
        assert_int_equal(tokens_cut(TEXT, escaped, strlen(escaped), 9), tokens);
    }
}

/* English prose has words longer than four bytes; in a table every number is several tokens. */
static void texts_come_near_to_their_real_counts(void **unused)
{
    int within_a_fifth = 0, count = (int)(sizeof(texts) / sizeof(*texts));
    for (int i = 0; i < count; i++) {
        long mean = (texts[i].o200k_base + texts[i].cl100k_base) / 2;
        long tokens = tokens_of(texts[i].name, TEXT, texts[i].text);
        within_a_fifth += tokens * 100 >= mean * 80 && tokens * 100 <= mean * 120;
        if (tokens * 100 < mean * 50 || tokens * 100 > mean * 145) {
            fail_msg("%s: %ld tokens, not %ld", texts[i].name, tokens, mean);
        }
    }
    assert_true(within_a_fifth >= count - 2);
}

static void escapes_make_no_difference(void **unused)
{
    static char quoted[20000], body[20100];
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        quote(quoted, sizeof(quoted), texts[i].text, 0);
        sprintf(body, "{\"content\":%s}", quoted);
        long plain = tokens_cut(ANSWER, body, strlen(body), 0);
        assert_int_equal(plain, tokens_cut(TEXT, texts[i].text, strlen(texts[i].text), 0));
        quote(quoted, sizeof(quoted), texts[i].text, 1);
        sprintf(body, "{\"content\":%s}", quoted);
        if (tokens_of(texts[i].name, ANSWER, body) != plain) {
            fail_msg("%s: other tokens with escapes than %ld", texts[i].name, plain);
        }
    }
}

static void audio_counts_by_its_length(void **unused)
{
    assert_int_equal(apipool_estimate_audio(0), 0);
    assert_int_equal(apipool_estimate_audio(3072 / 2), 1);
    assert_int_equal(apipool_estimate_audio(3072 * 100), 100);
    assert_int_equal(apipool_estimate_audio(48000 * 60),
                     48000 * 60 / 3072 + 1); /* a minute, rounded up */
}

static void an_answer_may_be_nested_as_deep_as_it_likes(void **unused)
{
    static const char begin[] = "{\"text\":\"one \",\"segments\":",
                      end[] = ",\"text\":\"two three\"}";
    size_t deep = 100000, used = sizeof(begin) - 1;
    char *body = malloc(sizeof(begin) + sizeof(end) + 2 * deep);
    assert_non_null(body);
    memcpy(body, begin, used);
    memset(body + used, '[', deep);
    memset(body + used + deep, ']', deep);
    memcpy(body + used + 2 * deep, end, sizeof(end) - 1);
    used += 2 * deep + sizeof(end) - 1;
    assert_int_equal(tokens_cut(ANSWER, body, used, deep), (sizeof("one two three") - 1 + 2) / 4);
    free(body);
}

static void bytes_that_are_not_utf8_do_no_harm(void **unused)
{
    char body[] = "{\"text\":\"?????\",\"a\":\"one\"}";
    for (unsigned i = 0x80; i < 0x100; i++) {
        for (unsigned k = 0x20; k < 0x100; k++) {
            memcpy(body + 9, (char[]){(char)i, (char)k, (char)i, 'a', (char)k}, 5);
            assert_in_range(tokens_cut(ANSWER, body, sizeof(body) - 1, 12), 0, 10);
            assert_in_range(tokens_cut(TEXT, body, sizeof(body) - 1, 12), 0, 20);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_near_to_their_real_counts),
        cmocka_unit_test(escapes_make_no_difference),
        cmocka_unit_test(all_of_a_request_counts),
        cmocka_unit_test(base64_is_an_image_or_counts_by_its_length),
        cmocka_unit_test(the_text_of_an_answer_counts),
        cmocka_unit_test(the_text_of_a_stream_counts_once),
        cmocka_unit_test(images_count_by_their_number),
        cmocka_unit_test(scripts_are_told_apart_by_their_first_byte),
        cmocka_unit_test(audio_counts_by_its_length),
        cmocka_unit_test(an_answer_may_be_nested_as_deep_as_it_likes),
        cmocka_unit_test(bytes_that_are_not_utf8_do_no_harm),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("estimate", tests, NULL, NULL);
}
