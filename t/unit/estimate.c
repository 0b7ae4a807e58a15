/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/estimate: how near it comes to real counts, what counts, and any way to cut a body. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "estimate.h"

#define REQUEST APIPOOL_ESTIMATE_REQUEST
#define ANSWER  APIPOOL_ESTIMATE_JSON
#define STREAM  APIPOOL_ESTIMATE_STREAM
#define IMAGE   APIPOOL_ESTIMATE_IMAGE

/* The piece is copied to memory of exactly its size, so that a checker sees every step beyond it. */
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

/* Whole, in two pieces cut anywhere, and byte by byte. */
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

/* A JSON string; with everything escaped that can be, if so wished. */
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

/* Counted with the encodings of OpenAI's tiktoken. */
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

static void texts_come_near_to_their_real_counts(void **unused)
{
    static char quoted[20000], body[20100];
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        long mean = (texts[i].o200k_base + texts[i].cl100k_base) / 2;
        quote(quoted, sizeof(quoted), texts[i].text, 0);
        sprintf(body, "{\"input\":%s}", quoted);
        long tokens = tokens_of(texts[i].name, REQUEST, body);
        if (tokens * 100 < mean * 65 || tokens * 100 > mean * 135) {
            fail_msg("%s: %ld tokens, not %ld", texts[i].name, tokens, mean);
        }
    }
}

static void escapes_make_no_difference(void **unused)
{
    static char quoted[20000], body[20100];
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        quote(quoted, sizeof(quoted), texts[i].text, 0);
        sprintf(body, "{\"input\":%s}", quoted);
        long plain = tokens_cut(REQUEST, body, strlen(body), 0);
        quote(quoted, sizeof(quoted), texts[i].text, 1);
        sprintf(body, "{\"input\":%s}", quoted);
        if (tokens_of(texts[i].name, REQUEST, body) != plain) {
            fail_msg("%s: other tokens with escapes than %ld", texts[i].name, plain);
        }
    }
}

typedef struct {
    const char *name;
    apipool_estimate_kind_e kind;
    const char *body;
    long tokens;
} row_t;

static void check_rows(const row_t *rows, size_t count)
{
    int failed = 0;
    for (size_t i = 0; i < count; i++) {
        long tokens = tokens_of(rows[i].name, rows[i].kind, rows[i].body);
        if (tokens != rows[i].tokens) {
            print_error("%s: %ld tokens, not %ld\n", rows[i].name, tokens, rows[i].tokens);
            failed = 1;
        }
    }
    assert_false(failed);
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof(*(rows)))

static const row_t requests[] = {
    {"a chat", REQUEST,
     "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"one two\"},"
     "{\"role\":\"user\",\"content\":\"three\"}],\"stream\":true,\"max_tokens\":100}",
     4 + 4 + 3 + 3},
    {"parts of a message", REQUEST,
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"one two\"},"
     "{\"text\":\"three\",\"type\":\"text\"}]}]}",
     4 + 3 + 3},
    {"a response's input", REQUEST,
     "{\"model\":\"m\",\"instructions\":\"one\",\"input\":[{\"role\":\"user\",\"content\":"
     "[{\"type\":\"input_text\",\"text\":\"two\"}]}],\"previous_response_id\":\"resp_123\"}",
     4 + 3 + 2},
    {"a message of Anthropic's", REQUEST,
     "{\"model\":\"claude\",\"system\":\"one two\",\"messages\":[{\"role\":\"user\","
     "\"content\":\"three\"}],\"max_tokens\":1,\"metadata\":{\"user_id\":\"someone else\"}}",
     4 + 3 + 3},
    {"Gemini's contents", REQUEST,
     "{\"systemInstruction\":{\"parts\":[{\"text\":\"one two\"}]},\"contents\":[{\"parts\":"
     "[{\"text\":\"three\"}],\"role\":\"user\"}],\"safetySettings\":[{\"category\":\"HARM\"}]}",
     4 + 3 + 3},
    {"a completion", REQUEST, "{\"prompt\":\"one two three\",\"stop\":[\"four\"],\"n\":1}", 3},
    {"an embedding of a text", REQUEST,
     "{\"model\":\"m\",\"input\":\"one two three\",\"encoding_format\":\"float\"}", 3},
    {"of several", REQUEST, "{\"input\":[\"one two\",\"three\"],\"model\":\"m\"}", 3},
    {"of tokens", REQUEST, "{\"input\":[1, 22,333],\"dimensions\":256}", 3},
    {"of arrays of tokens", REQUEST, "{\"input\":[[1,22],[ 333 , 4444]],\"dimensions\":256}", 4},
    {"a completion of tokens", REQUEST, "{\"prompt\":[1,22],\"logit_bias\":{\"50\":[1,2]}}", 2},
    {"numbers that are no tokens", REQUEST,
     "{\"input\":[{\"a\":[1,2],\"b\":3}],\"bias\":[1,2],\"seed\":-1.5e3}", 0},
    {"a tool", REQUEST,
     "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":"
     "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\"},\"days\":{\"minimum\":1}}"
     "}}}]}",
     11},
    {"a tool's use", REQUEST,
     "{\"content\":[{\"type\":\"tool_use\",\"id\":\"toolu_01\",\"name\":\"weather\",\"input\":"
     "{\"city\":\"Paris\",\"days\":3}},{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_01\"}]}",
     5},
    {"a role that is none", REQUEST, "{\"a\":{\"role\":{\"type\":\"string\"}}}", 0},
    {"an array", REQUEST, "[{\"role\":\"user\",\"content\":\"one two\"}]", 4 + 3 + 2},
    {"blanks and a byte order mark", REQUEST, "\xef\xbb\xbf \r\n{ \"input\" :\t\"one\" }\n", 1},
    {"half a request", REQUEST, "{\"input\":\"one two three", 3},
    {"nothing", REQUEST, "", 0},
    {"no JSON", REQUEST, "one two three", 0},
    {"a form of the old kind", REQUEST, "prompt=one+two", 0},
};

static void the_text_of_a_request_counts(void **unused)
{
    CHECK(requests);
}

#define PIXELS                                                                                     \
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+"                                \
    "M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

static const row_t media[] = {
    {"an image by its URL", REQUEST,
     "{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"https://example.com/a.png\","
     "\"detail\":\"high\"}},{\"type\":\"text\",\"text\":\"one\"}]}",
     IMAGE + 1},
    {"an image by a data URL", REQUEST,
     "{\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64," PIXELS
     "\"}}]}",
     IMAGE},
    {"of a response's input", REQUEST,
     "{\"type\":\"input_image\",\"image_url\":\"data:image/png;base64," PIXELS "\"}", IMAGE},
    {"by its file", REQUEST, "{\"type\":\"input_image\",\"file_id\":\"file-abc\"}", IMAGE},
    {"a file", REQUEST,
     "{\"type\":\"file\",\"file\":{\"file_data\":\"data:application/pdf;base64," PIXELS "\"}}",
     IMAGE},
    {"Anthropic's", REQUEST,
     "{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":"
     "\"" PIXELS "\"}}",
     IMAGE},
    {"Gemini's", REQUEST, "{\"inlineData\":{\"data\":\"" PIXELS "\",\"mimeType\":\"image/png\"}}",
     IMAGE},
    {"with slashes escaped", REQUEST,
     "{\"data\":\"iVBORw0KGgo\\/AAAADUlEQVR42mNk\\u002bM9QDwADhgGAWjR9awAAAABJRU5ErkJggg==" PIXELS
     "\"}",
     IMAGE},
    {"a document that is text", REQUEST,
     "{\"source\":{\"type\":\"text\",\"media_type\":\"text/plain\",\"data\":\"one two three\"}}",
     3},
    {"Ollama's", REQUEST, "{\"images\":[\"" PIXELS "\",\"" PIXELS "\"],\"prompt\":\"one\"}",
     2 * IMAGE + 1},
    {"images to edit", REQUEST,
     "{\"images\":[{\"image_url\":\"https://"
     "example.com\"},{\"file_id\":\"f\"}],\"mask\":{\"file_id\":"
     "\"f\"},\"prompt\":\"one\"}",
     3 * IMAGE + 1},
    {"a data URL in a text", REQUEST,
     "{\"content\":\"![](data:image/png;base64," PIXELS ") one two\"}", IMAGE + 11},
    {"nearly one", REQUEST, "{\"content\":\";base64 ;base6;base64\"}", 8},
    {"audio", REQUEST,
     "{\"type\":\"input_audio\",\"input_audio\":{\"data\":\"" PIXELS "\",\"format\":\"wav\"}}", 0},
    {"an answer with an image", ANSWER,
     "{\"choices\":[{\"message\":{\"images\":[{\"image_url\":{\"url\":\"data:image/"
     "png;base64," PIXELS "\"}}]}}]}",
     IMAGE},
};

static void media_count_whatever_their_length(void **unused)
{
    CHECK(media);
}

static const row_t answers[] = {
    {"a chat", ANSWER,
     "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"gpt-4o\","
     "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"one two\","
     "\"refusal\":null,\"annotations\":[{\"url\":\"https://example.com\"}]},\"logprobs\":{"
     "\"content\":[{\"token\":\"one\"}]},\"finish_reason\":\"stop\"}],"
     "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_1\"}",
     2},
    {"thoughts and a tool's call", ANSWER,
     "{\"choices\":[{\"message\":{\"reasoning_content\":\"one two\",\"tool_calls\":[{\"id\":"
     "\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"three\",\"arguments\":\"{}\"}}]}}]"
     "}",
     4},
    {"a completion", ANSWER, "{\"choices\":[{\"text\":\"one two\",\"index\":0}]}", 2},
    {"a response", ANSWER,
     "{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"instructions\":\"be "
     "brief\",\"output\":[{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\","
     "\"content\":"
     "[{\"type\":\"output_text\",\"text\":\"one two\",\"annotations\":[]}]}],\"tools\":[{\"name\":"
     "\"weather\"}],\"tool_choice\":\"auto\"}",
     2},
    {"Anthropic's", ANSWER,
     "{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":"
     "\"thinking\",\"thinking\":\"one\",\"signature\":\"EqQBCgIYAhIM\"},{\"type\":\"text\","
     "\"text\":"
     "\"two\"},{\"type\":\"tool_use\",\"name\":\"three\",\"input\":{\"four\":\"five\"}}],"
     "\"stop_reason\":\"tool_use\"}",
     5},
    {"Gemini's, in an array", ANSWER,
     "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"one\"}],\"role\":\"model\"},"
     "\"finishReason\":\"STOP\"}],\"modelVersion\":\"gemini\"},\n{\"candidates\":[{\"content\":{"
     "\"parts\":[{\"text\":\" two\"}]}}]}]",
     2},
    {"lines", ANSWER,
     "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"one\"}}\n"
     "{\"model\":\"m\",\"message\":{\"content\":\"two\"},\"done\":true}\n",
     2},
    {"embeddings", ANSWER,
     "{\"data\":[{\"embedding\":[0.1,-2e-3],\"index\":0},{\"embedding\":\"AAAAAAAA\"}],"
     "\"object\":\"list\"}",
     0},
    {"images", ANSWER, "{\"created\":1,\"data\":[{\"b64_json\":\"" PIXELS "\"}]}", 0},
    {"a transcription", ANSWER,
     "{\"text\":\"one two\",\"segments\":[{\"text\":\"one two\"}],\"words\":[{\"word\":\"one\"}]}",
     2},
    {"ranks", ANSWER, "{\"results\":[{\"index\":0,\"document\":{\"text\":\"one two\"}}]}", 0},
    {"a fault", ANSWER, "{\"error\":{\"message\":\"one two\"}}", 0},
    {"a name with escapes is another", ANSWER, "{\"rol\\u0065\":\"one\",\"\\\"id\":\"two\"}", 2},
    {"names that begin or end alike", ANSWER, "{\"ids\":\"one\",\"rid\":\"two\",\"\":\"three\"}",
     3},
    {"a form is none", ANSWER, "--a\r\nContent-Disposition: form-data; name=a\r\n\r\none", 0},
};

static void the_text_of_an_answer_counts(void **unused)
{
    CHECK(answers);
}

#define EVENT(data) "data: " data "\n\n"

static const row_t streams[] = {
    {"a chat", STREAM,
     EVENT(
         "{\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{"
         "\"role\":\"assistant\",\"content\":\"\"}}],\"obfuscation\":\"abc\"}")
         EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}],\"usage\":null}")
             EVENT("{\"choices\":[{\"index\":0,\"delta\":{\"content\":\" two\"}}]}")
                 EVENT("{\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}")
                     EVENT("[DONE]"),
     2},
    {"a response", STREAM,
     "event: response.created\n" EVENT(
         "{\"type\":\"response.created\",\"response\":{"
         "\"instructions\":\"be brief\"}}") "event: "
                                            "response.output_text."
                                            "delta\n" EVENT("{\"type\":"
                                                            "\"response.output_"
                                                            "text.delta\",\"item_"
                                                            "id\":\"msg\","
                                                            "\"delta\":\"one "
                                                            "two\"}") EVENT("{\"type\":"
                                                                            "\"response."
                                                                            "output_text."
                                                                            "done\",\"text\":"
                                                                            "\"one two\"}")
                                                EVENT("{\"type\":"
                                                      "\"response."
                                                      "output_item."
                                                      "done\","
                                                      "\"item\":{"
                                                      "\"content\":"
                                                      "[{\"text\":"
                                                      "\"one "
                                                      "two\"}]}}") EVENT("{\"type"
                                                                         "\":"
                                                                         "\"respon"
                                                                         "se."
                                                                         "complete"
                                                                         "d\","
                                                                         "\"respon"
                                                                         "se\":{"
                                                                         "\"output"
                                                                         "\":[{"
                                                                         "\"text\""
                                                                         ":\"one "
                                                                         "two\"}]}"
                                                                         "}"),
     2},
    {"Anthropic's", STREAM,
     EVENT("{\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[]}}") EVENT(
         "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"text\",\"text\":\"\"}}")
         EVENT("{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":"
               "\"one\"}}") EVENT("{\"type\":\"content_block_start\",\"content_block\":{\"type\":"
                                  "\"tool_use\",\"id\":\"t\","
                                  "\"name\":\"two\",\"input\":{}}}")
             EVENT("{\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"three\"}}")
                 EVENT("{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"}}")
                     EVENT("{\"type\":\"message_stop\"}"),
     3},
    {"an assistant's run", STREAM,
     EVENT("{\"object\":\"thread.run\",\"instructions\":\"be brief\",\"tools\":[]}")
         EVENT("{\"object\":\"thread.message.delta\",\"delta\":{\"content\":[{\"type\":\"text\","
               "\"text\":{"
               "\"value\":\"one two\"}}]}}")
             EVENT("{\"object\":\"thread.message\",\"content\":[{\"text\":{\"value\":\"one "
                   "two\"}}]}") "event: done\n" EVENT("[DONE]"),
     2},
    {"speech", STREAM, EVENT("{\"type\":\"speech.audio.delta\",\"audio\":\"" PIXELS "\"}"), 0},
    {"lines end with CR and LF", STREAM,
     ": comment\r\n\r\ndata:{\"text\":\"one\"}\r\n\r\nevent: text\r\nid: one\r\ndata: "
     "{\"text\":\"two\"}\r\n\r\n",
     2},
    {"or with CR", STREAM,
     "data:{\"text\":\"one\"}\r\rdata:{\"text\":\r\rdata:{\"text\":\"two\"}\r\r", 2},
    {"a document on several lines", STREAM, "data: {\"text\":\ndata: \"one\"\nid: 1\ndata: }\n\n",
     1},
    {"no empty lines", STREAM, "data: {\"text\":\"one\"}\ndata: {\"text\":\"two\"}\n", 2},
    {"a broken document", STREAM, "data: {\"text\":\"one\n\ndata: {\"text\":\"two\"}\n\n", 2},
    {"no JSON", STREAM, "data: one\n\ndata: {\"text\":\"two\"}\n\ndatas: {\"text\":\"three\"}\n\n",
     1},
};

static void the_text_of_a_stream_counts_once(void **unused)
{
    CHECK(streams);
}

#define FIELD "Content-Disposition: form-data; name="

static const row_t forms[] = {
    {"an image to edit", REQUEST,
     "--XyZ\r\n" FIELD "\"model\"\r\n\r\ngpt-image-1\r\n--XyZ\r\n" FIELD
     "\"image\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\none \r\n--Xy\r\n two\r\n"
     "--XyZ\r\n" FIELD "\"prompt\"\r\n\r\none two three\r\n--XyZ--\r\n",
     IMAGE + 3},
    {"names without quotes, a header folded", REQUEST,
     "--XyZ\r\ncontent-disposition: form-data; NAME=prompt\r\n\r\none two\r\n--XyZ\r\n" FIELD
     "prompt;\r\n filename*=UTF-8''a\r\n\r\none two\r\n--XyZ--",
     IMAGE + 2},
    {"empty values", REQUEST,
     "--XyZ\r\n" FIELD "\"prompt\"\r\n\r\n\r\n--XyZ\r\n" FIELD "\"prompt\"\r\n\r\n--XyZ--", 0},
    {"quotes and delimiters that break off", REQUEST,
     "--XyZ\r\n" FIELD "\"prompt\"\r\n\r\n\"one\\\"\r\n--XyA\r\n--XyZ--", 6},
    {"no disposition", REQUEST, "--XyZ\r\n\r\none two\r\n--XyZ--", 0},
    {"what follows", REQUEST,
     "--XyZ\r\n" FIELD "prompt\r\n\r\none\r\n--XyZ--\r\n" FIELD "prompt\r\n\r\none two\r\n", 1},
    {"a delimiter that is too long", REQUEST,
     "--012345678901234567890123456789012345678901234567890123456789012345678901234567\r\n" FIELD
     "prompt\r\n\r\none",
     0},
    {"one hyphen", REQUEST, "-\r\n", 0},
};

static void fields_of_a_form_count_and_files_are_images(void **unused)
{
    CHECK(forms);
}

static void scripts_are_told_apart(void **unused)
{
    static const struct {
        const char *character;
        long of_a_thousand;
    } scripts[] = {
        {"a ", 938},
        {"7", 317},
        {"\xe4\xbd\xa0", 797},
        {"\xe3\x81\x82", 703},
        {"\xea\xb0\x80", 750},
        {"\xd0\xb6", 391},
        {"\xd8\xb9", 500},
        {"\xe0\xa4\x95", 547},
        {"\xe0\xb8\x81", 594},
        {"\xf0\x9f\x98\x80", 2000},
        {"\xf0\xa0\x80\x80", 797},
        {" ", 25},
    };
    char body[8000];
    for (size_t i = 0; i < sizeof(scripts) / sizeof(*scripts); i++) {
        size_t used = (size_t)sprintf(body, "{\"input\":\"");
        for (int k = 0; k < 1000; k++) {
            used += (size_t)sprintf(body + used, "%s", scripts[i].character);
        }
        strcpy(body + used, "\"}");
        long tokens = tokens_cut(REQUEST, body, used + 2, 0);
        if (labs(tokens - scripts[i].of_a_thousand) > 2) {
            fail_msg("%s: %ld, not %ld", scripts[i].character, tokens, scripts[i].of_a_thousand);
        }
    }
}

static void audio_counts_by_its_length(void **unused)
{
    size_t bytes = 64000 * 60; /* a minute of PCM */
    char *body = malloc(bytes + 100);
    assert_non_null(body);
    size_t used = (size_t)sprintf(body, "{\"input_audio\":{\"data\":\"");
    memset(body + used, 'A', bytes);
    used += bytes;
    used += (size_t)sprintf(body + used, "\",\"format\":\"wav\"}}");
    long tokens = tokens_cut(REQUEST, body, used, used / 3);
    assert_in_range(tokens, bytes / APIPOOL_ESTIMATE_AUDIO_BYTES,
                    bytes / APIPOOL_ESTIMATE_AUDIO_BYTES + 1);
    free(body);
}

#define IMAGES APIPOOL_ESTIMATE_IMAGES
#define TEXT   APIPOOL_ESTIMATE_TEXT

static const row_t by_kind[] = {
    {"images in base64", IMAGES,
     "{\"created\":1,\"data\":[{\"b64_json\":\"" PIXELS "\",\"revised_prompt\":\"one two\"},"
     "{\"b64_json\":\"" PIXELS "\"}]}",
     2 * IMAGE},
    {"addresses of images", IMAGES, "{\"data\":[{\"url\":\"https://x/y\"}]}", IMAGE},
    {"the same list twice", IMAGES,
     "{\"images\":[{\"url\":\"https://x/y\"}],\"timings\":{\"inference\":1.5},"
     "\"data\":[{\"url\":\"https://x/y\"}]}",
     IMAGE},
    {"no image", IMAGES, "{\"data\":[],\"text\":\"one two\"}", 0},
    {"predictions", IMAGES, "{\"predictions\":[{\"bytesBase64Encoded\":\"" PIXELS "\"}]}", IMAGE},
    {"text", TEXT, "one two three", 3},
    {"text that looks like JSON", TEXT, "{", 1},
    {"a recording", APIPOOL_ESTIMATE_RECORDING,
     "--XyZ\r\n" FIELD "\"file\"; filename=\"a.mp3\"\r\n\r\n" PIXELS "\r\n--XyZ\r\n" FIELD
     "\"prompt\"\r\n\r\none two\r\n--XyZ--",
     2},
};

static void what_else_counts_depends_on_the_kind(void **unused)
{
    CHECK(by_kind);
}

static void audio_that_is_not_in_base64_counts_as_if_it_were(void **unused)
{
    static const char begin[] = "--X\r\n" FIELD "\"file\"; filename=\"a\"\r\n\r\n",
                      end[] = "\r\n--X--";
    size_t bytes = APIPOOL_ESTIMATE_AUDIO_BYTES / 4 * 3 * 100;
    char *body = calloc(1, sizeof(begin) + bytes + sizeof(end));
    assert_non_null(body);
    assert_int_equal(tokens_cut(APIPOOL_ESTIMATE_AUDIO, body, bytes, 1000), 100);
    memcpy(body, begin, sizeof(begin) - 1);
    memcpy(body + sizeof(begin) - 1 + bytes, end, sizeof(end) - 1);
    assert_int_equal(
        tokens_cut(APIPOOL_ESTIMATE_RECORDING, body, bytes + sizeof(begin) + sizeof(end) - 2, 1000),
        100);
    free(body);
}

static void what_is_too_deep_does_not_count(void **unused)
{
    size_t deep = 100000;
    char *body = malloc(deep * 2 + 100);
    assert_non_null(body);
    memset(body, '[', deep);
    size_t used = deep + (size_t)sprintf(body + deep, "\"one two\"");
    memset(body + used, ']', deep - APIPOOL_ESTIMATE_DEPTH_MAX);
    used += deep - APIPOOL_ESTIMATE_DEPTH_MAX;
    used += (size_t)sprintf(body + used, ",\"three\"");
    assert_int_equal(tokens_cut(ANSWER, body, used, deep + 4), 1);
    free(body);
}

static void bytes_that_are_not_utf8_do_no_harm(void **unused)
{
    char body[] = "{\"input\":\"?????\",\"a\":\"one\"}";
    for (unsigned i = 0x80; i < 0x100; i++) {
        for (unsigned k = 0x20; k < 0x100; k++) {
            memcpy(body + 10, (char[]){(char)i, (char)k, (char)i, 'a', (char)k}, 5);
            long tokens = tokens_cut(REQUEST, body, sizeof(body) - 1, 12);
            assert_in_range(tokens, 0, 10);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_come_near_to_their_real_counts),
        cmocka_unit_test(escapes_make_no_difference),
        cmocka_unit_test(the_text_of_a_request_counts),
        cmocka_unit_test(media_count_whatever_their_length),
        cmocka_unit_test(the_text_of_an_answer_counts),
        cmocka_unit_test(the_text_of_a_stream_counts_once),
        cmocka_unit_test(fields_of_a_form_count_and_files_are_images),
        cmocka_unit_test(scripts_are_told_apart),
        cmocka_unit_test(audio_counts_by_its_length),
        cmocka_unit_test(what_else_counts_depends_on_the_kind),
        cmocka_unit_test(audio_that_is_not_in_base64_counts_as_if_it_were),
        cmocka_unit_test(what_is_too_deep_does_not_count),
        cmocka_unit_test(bytes_that_are_not_utf8_do_no_harm),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("estimate", tests, NULL, NULL);
}
