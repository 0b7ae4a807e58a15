/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/sniff and strict: what clients really send passes, ambiguous bodies do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "sniff.h"

#define JSON "application/json"
#define FORM "multipart/form-data; boundary=XyZ"
#define D    "Content-Disposition: form-data; "
/* a form of one part with that header, and a form with that part before the model */
#define PART(head)    "--XyZ\r\n" head "\r\n\r\nm\r\n"
#define FORM_OF(head) PART(head) "--XyZ--\r\n"
#define BESIDES(head) PART(D "name=\"model\"") FORM_OF(head)
#define FIELD(more)   FORM_OF(D "name=\"model\"\r\n" more)

typedef struct {
    const char *type, *body;
} row_t;

/* Feeds the body in one piece, in two cut anywhere, and byte by byte; each of exactly its size. */
static const char *read_in(const row_t *row, size_t first, size_t step)
{
    static apipool_strict_t strict;
    apipool_sniff_t s;
    size_t len = strlen(row->body);
    apipool_sniff_begin(&s, row->type, NULL, 0, NULL, &strict, NULL);
    for (size_t at = 0, n = first; at < len; at += n, n = step) {
        n = n > len - at ? len - at : n;
        char *exact = malloc(n ? n : 1);
        assert_non_null(exact);
        memcpy(exact, row->body + at, n);
        apipool_sniff_feed(&s, exact, n);
        free(exact);
    }
    apipool_sniff_end(&s);
    return strict.ambiguity;
}

static void check(const row_t *rows, size_t count, int passes)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].body);
        for (size_t cut = 1; cut <= len + 1; cut++) {
            const char *ambiguity = read_in(&rows[i], cut, cut == len + 1 ? 1 : len);
            if ((ambiguity == NULL) != passes) {
                fail_msg("row %zu, cut %zu: %s: \"%s\"", i, cut, ambiguity ? ambiguity : "passes",
                         rows[i].body);
            }
        }
        assert_int_equal(read_in(&rows[i], 1, 1) == NULL, passes);
    }
}

static const row_t honest[] = {
    {JSON,
     "{\"model\":\"m\",\"n\":[1,-0.5e+3,{}],\"s\":\"\\ud83d \\\"\\\\\",\"t\":true,\"u\":null}"},
    {JSON "; charset=utf-8", " {\r\n\t\"model\" : \"\xe5\xbc\xa0\" } \n"},
    {"application/vnd.api+json;charset=\"UTF-8\"", "{}"},
    {NULL,
     "{\"metadata\":{\"model\":\"x\"},\"long\":\"0123456789abcdef0123456789abcdef\xc3\xa9\"}"},
    {"text/plain", "{\"model\":\"m\"}"},
    {"application/octet-stream", "{\"model\":\"m\"}"},
    {"anything; at=\"all", ""},
    {FORM, FORM_OF(D "name=\"model\"")},
    {FORM, "--XyZ--"},
    {"multipart/form-data; boundary=\"----=_Part.1\"; charset=utf-8",
     "------=_Part.1\r\n" D
     "name=model\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nm\r\n------=_Part.1--\r\n"},
    {FORM, BESIDES(D "name=\"file\"; filename=\"a b;c.wav\"\r\nContent-Type: audio/wav")},
    {FORM, BESIDES(D "name=\"file\"; filename=\"\xe5\xbc\xa0.mp3\"")},
    {FORM, BESIDES(D "name=file; filename=a.mp3; filename*=utf-8''%E5%BC%A0.mp3")},
    {FORM, BESIDES(D "name=\"file\"; filename*=UTF-8''%E5%BC%A0\r\nContent-Type: audio/mpeg")},
    {FORM, BESIDES(D "name=\"timestamp_granularities[]\"\r\nContent-Length: 1")},
    {FORM, BESIDES("Content-Transfer-Encoding: binary\r\n" D "name=\"n\"")},
    {FORM, BESIDES(D "name=\"model_id\"")},
    {FORM, "--XyZ\r\n" D "name=\"a\"\r\n\r\n\r\n--Xy\r\n--XyY\n-----Xy\r\n--XyZ--"},
};

static void what_clients_send_passes(void **unused)
{
    check(honest, sizeof(honest) / sizeof(*honest), 1);
}

static const row_t ambiguous[] = {
    {JSON, "{\"a\":[/*\"*/],\"model\":\"x\",\"b\":[/*\"*/]}"},
    {JSON, "{\"a\":[1,],\"model\":\"m\"}"},
    {JSON, "{\"a\":NaN}"},
    {JSON, "{\"a\":[01]}"},
    {JSON, "{\"a\":['\"'],\"model\":\"x\"}"},
    {JSON, "{\"a\":[}]}"},
    {JSON, "{\"a\":{\"b\":tru}}"},
    {JSON, "{\"a\":1}{\"model\":\"x\"}"},
    {JSON, "[{\"model\":\"x\"}]"},
    {JSON, "\xef\xbb\xbf{}"},
    {JSON, "{\"a\":\"\xc0\xa2,\\\"\"}"},
    {JSON, "{\"mo\xff"
           "del\":\"x\"}"},
    {JSON, "{\"a\":\"\xed\xa0\x80\"}"},
    {JSON, "{\"plain\x88\":\"text\"}"},
    {JSON, "{\"a\":\"plain text\xae\"}"},
    {JSON, "{\"model\\u0000\":\"x\"}"},
    {JSON, "{\"model\\ud800\":\"x\"}"},
    {JSON, "{\"a\":\"\n\"}"},
    {JSON, "{\"a\":\"\\x\"}"},
    {JSON, "{\"a\":1"},
    {JSON "; charset=utf-16", "{}"},
    {JSON ", " FORM, "{}"},
    {JSON "; x=\"multipart/form-data; boundary=B\"", "{}"},
    {JSON "; charset=utf-8; charset=utf-7", "{}"},
    {"application/x-www-form-urlencoded", "{\"a\":\"&model=x&\"}"},
    {"application/x-www-form-urlencoded", "model=x"},
    {"text/xml", "{}"},
    {"multipart/mixed; boundary=XyZ", FIELD("")},
    {"multipart/form-data", "{}"},
    {"multipart/form-data; boundary=XyZ; boundary=B", "--XyZ--"},
    {"multipart/form-data; boundary*=utf-8''XyZ", "--XyZ--"},
    {"multipart/form-data; boundary*0=Xy; boundary*1=Z", "--XyZ--"},
    {"multipart/form-data; boundary=\"X\\yZ\"", "--XyZ--"},
    {"multipart/form-data; boundary=\"X Z\"", "--X Z--"},
    {"multipart/form-data; x=\"boundary=B\"; boundary=XyZ", "--XyZ--"},
    {FORM, FORM_OF(D "name=\"model\"; filename=\"\"")},
    {FORM, FORM_OF(D "name=\"model\"; filename=\"x\"")},
    {FORM, FORM_OF(D "name=\"model\"; filename*=utf-8''x")},
    {FORM, FORM_OF(D "name*=utf-8''model")},
    {FORM, FORM_OF(D "name=\"a\"; name=\"model\"")},
    {FORM, FORM_OF(D "name=\"a\"\r\n" D "name=\"model\"")},
    {FORM, FORM_OF("Content-Disposition: attachment; name=\"model\"")},
    {FORM, FORM_OF(D "filename=\"x\"; name=\"a\"")},
    {FORM, FORM_OF(D "name=\"a\"; filename=\"x;name=model\"")},
    {FORM, FORM_OF(D "name=\"a\\\"; name=\\\"model\"")},
    {FORM, FORM_OF(D "name=\"model")},
    {FORM, FORM_OF(D "name=\"MODEL\"")},
    {FORM, FORM_OF(D "name=\"model[]\"")},
    {FORM, FORM_OF(D "name=\"[model]\"")},
    {FORM, FORM_OF(D "name=\"model.name\"")},
    {FORM, FORM_OF(D "name=\" model\"")},
    {FORM, FORM_OF(D "name=\"mod%65l\"")},
    {FORM, FORM_OF(D "name=\"\xef\xbb\xbfmodel\"")},
    {FORM, FORM_OF(D "name=\"_charset_\"")},
    {FORM, FORM_OF(D "name=\"a\";\r\n name=\"model\"")},
    {FORM, FORM_OF(D "name=\"a\"\nX: y")},
    {FORM, FORM_OF(D "name=\"a\"\rX: y")},
    {FORM, FORM_OF(D "name=\"a\"\r\nX-Other: y")},
    {FORM, FORM_OF(D "name=\"a\"\r\nContent-Transfer-Encoding: base64")},
    {FORM, FORM_OF(D "name=\"a\"\r\nContent-Length: 2")},
    {FORM, FORM_OF(D "name=\"a\"\r\nContent-Type: text/plain; charset=utf-16le")},
    {FORM, FORM_OF(D "name=\"a\"\r\nContent-Type: application/json")},
    {FORM, FORM_OF(D "name=\"a\"; filename=\"b\"\r\nContent-Type: multipart/mixed; boundary=c")},
    {FORM, FORM_OF("X: y")},
    {FORM, "--XyZ\r\n\r\nm\r\n--XyZ--"},
    {FORM, "x\r\n--XyZ--"},
    {FORM, "\r\n--XyZ--"},
    {FORM, "--XyZ \r\n" D "name=\"a\"\r\n\r\nm\r\n--XyZ--"},
    {FORM, "--XyZ\n" D "name=\"a\"\r\n\r\nm\r\n--XyZ--"},
    {FORM, "--XyZ--\r\nx"},
    {FORM, PART(D "name=\"a\"")},
    {FORM, "--XyZ\r\n" D "name=\"a\"\r\n\r\nx\n--XyZ\r\n" D "name=\"model\"\r\n\r\nx\r\n--XyZ--"},
    {FORM, "--XyZ\r\n" D "name=\"a\"\r\n\r\nx--XyZ\r\n" D "name=\"model\"\r\n\r\nx\r\n--XyZ--"},
    {FORM, "--XyZ\r\n" D "name=\"a\"\r\n\r\nx\r\n---XyZ\r\n\r\n--XyZ--"},
    {FORM, "--XyZ\r\n" D "name=\"a\"\r\n\r\n--XyZ--"},
    {FORM, "--XyZ\r\n" D "name=\"a\"\r\n\r\nx\r\n--XyZa\r\n--XyZ--"},
};

static void what_readers_disagree_about_does_not(void **unused)
{
    check(ambiguous, sizeof(ambiguous) / sizeof(*ambiguous), 0);
}

static void names(void **unused)
{
    assert_int_equal(apipool_strict_name("Model"), APIPOOL_NAME_MODEL);
    assert_int_equal(apipool_strict_name("deployment"), APIPOOL_NAME_MODEL);
    assert_int_equal(apipool_strict_name("model[0]"), APIPOOL_NAME_AMBIGUOUS);
    assert_int_equal(apipool_strict_name("a[model]"), APIPOOL_NAME_AMBIGUOUS);
    assert_int_equal(apipool_strict_name("mod%65l"), APIPOOL_NAME_AMBIGUOUS);
    assert_int_equal(apipool_strict_name("models"), APIPOOL_NAME_OTHER);
    assert_int_equal(apipool_strict_name("api-version"), APIPOOL_NAME_OTHER);
    assert_false(apipool_strict_is_argument("model "));
    assert_false(apipool_strict_is_argument("mod\xc1\xa5l"));
    assert_true(apipool_strict_is_argument("expires_after[seconds]"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_clients_send_passes),
                                       cmocka_unit_test(what_readers_disagree_about_does_not),
                                       cmocka_unit_test(names)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
