/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/sniff and model_path: members, fields and their positions, bodies cut anywhere,
 * with and without strict mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "model_path.h"
#include "sniff.h"

#define BOM     "\xef\xbb\xbf"
#define E_ACUTE "\xc3\xa9"
#define FACE    "\xf0\x9f\x98\x80"
#define UNKNOWN "\xef\xbf\xbd"

static apr_pool_t *pool; /* for the texts found */

static const apipool_sniff_name_t names[] = {{.name = "model", .slot = 0},
                                             {.name = "stream", .slot = 1},
                                             {.name = "n", .slot = 2},
                                             {.name = "stream_options", .slot = 3},
                                             {.name = "mod" E_ACUTE "l", .slot = 4}};
#define COUNT ((int)(sizeof(names) / sizeof(*names)))

typedef struct {
    apipool_sniff_t sniff;
    apipool_sniffed_t found[COUNT];
    apipool_strict_t strict;
} run_t;

static void begin_either(run_t *run, const char *type, int asks)
{
    memset(run, 0xa5, sizeof(*run));
    apipool_sniff_begin(&run->sniff, type, names, COUNT, run->found, asks ? &run->strict : NULL,
                        pool);
}

static void begin(run_t *run, const char *type)
{
    begin_either(run, type, 0);
}

/* Copies the piece to memory of exactly its size, so that a checker notices any overrun. */
static void feed(run_t *run, const char *data, size_t len)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, data, len);
    apipool_sniff_feed(&run->sniff, exact, len);
    free(exact);
}

/* Describes the results: "model=string 10+7 <gpt-4>; ". */
static void describe(const run_t *run, char *out, size_t size)
{
    static const char *const kinds[] = {"absent", "string", "number", "true",
                                        "false",  "null",   "object", "array"};
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < COUNT; i++) {
        const apipool_sniffed_t *f = &run->found[i];
        if (f->kind == APIPOOL_SNIFF_ABSENT) {
            assert_int_equal(f->times + f->truncated + f->at + f->len + f->text[0], 0);
            continue;
        }
        used += (size_t)snprintf(out + used, size - used, "%s=%s %ld+%ld", names[i].name,
                                 kinds[f->kind], (long)f->at, (long)f->len);
        if (f->times > 1) {
            used += (size_t)snprintf(out + used, size - used, " x%d", f->times);
        }
        if (f->text[0]) {
            used += (size_t)snprintf(out + used, size - used, " <%s>", f->text);
        }
        used += (size_t)snprintf(out + used, size - used, "%s; ", f->truncated ? " cut" : "");
    }
    snprintf(out + used, size - used, "%s",
             run->sniff.malformed                     ? "malformed"
             : run->sniff.body == APIPOOL_SNIFF_OTHER ? "other"
                                                      : "");
}

typedef struct {
    const char *name, *type, *body, *expected;
} row_t;

static void check_told(const run_t *run, const row_t *row, const char *how)
{
    char result[4096];
    describe(run, result, sizeof(result));
    assert_int_equal(run->sniff.seen, strlen(row->body));
    if (strcmp(result, row->expected)) {
        fail_msg("%s (%s): \"%s\"", row->name, how, result);
    }
}

/* Feeds the body whole, in two pieces cut anywhere, and byte by byte. */
static void check_rows(const row_t *rows, size_t count)
{
    static run_t run;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(rows[i].body);
        for (size_t cut = 0; cut <= 2 * len; cut++) {
            size_t first = cut % (len + 1);
            begin_either(&run, rows[i].type, cut > len);
            feed(&run, rows[i].body, first);
            feed(&run, rows[i].body + first, len - first);
            apipool_sniff_end(&run.sniff);
            check_told(&run, &rows[i], cut > len ? "cut, exact" : "cut");
        }
        begin(&run, rows[i].type);
        for (size_t k = 0; k < len; k++) {
            feed(&run, rows[i].body + k, 1);
        }
        apipool_sniff_end(&run.sniff);
        check_told(&run, &rows[i], "bytes");
    }
}

#define CHECK(rows) check_rows(rows, sizeof(rows) / sizeof(*(rows)))
#define JSON        "application/json"

static const row_t objects[] = {
    {"a chat request", JSON, "{\"model\":\"gpt-4\",\"messages\":[],\"stream\":true}",
     "model=string 9+7 <gpt-4>; stream=true 40+4; "},
    {"blanks everywhere", JSON, " \r\n{\t\"model\" : \"m\" , \"n\"\n:\n1 }\r\n",
     "model=string 15+3 <m>; n=number 27+1 <1>; "},
    {"every kind", JSON,
     "{\"model\":null,\"stream\":false,\"n\":[1,[2]],\"stream_options\":{\"a\":{}}}",
     "model=null 9+4; stream=false 23+5; n=array 33+7; stream_options=object 58+8; "},
    {"empty object", JSON, "{}", ""},
    {"empty values", JSON, "{\"model\":\"\",\"n\":[],\"stream_options\":{}}",
     "model=string 9+2; n=array 16+2; stream_options=object 36+2; "},
    {"other members", JSON, "{\"modem\":1,\"mode\":\"a\",\"models\":[],\"\":{},\"Model\":2}", ""},
    {"nested members do not count", JSON,
     "{\"a\":{\"model\":\"x\"},\"b\":[{\"model\":\"y\"}],\"c\":\"\\\"model\\\":1\"}", ""},
    {"the last one counts", JSON, "{\"model\":\"long one\",\"n\":1,\"model\":\"b\",\"n\":{}}",
     "model=string 34+3 x2 <b>; n=object 42+2 x2; "},
    {"brackets in strings", JSON, "{\"a\":[\"]}\\\"]}\",{\"}\":\"\\\\\"}],\"n\":2}",
     "n=number 31+1 <2>; "},
    {"name with escapes", JSON, "{\"\\u006dod\\u0065l\":\"m\",\"mod\\u00e9l\":1}",
     "model=string 19+3 <m>; mod" E_ACUTE "l=number 36+1 <1>; "},
    {"name in UTF-8", JSON, "{\"mod" E_ACUTE "l\":1}", "mod" E_ACUTE "l=number 10+1 <1>; "},
    {"name with NUL behind", JSON, "{\"model\\u0000\":1}", ""},
    {"escapes in a value", JSON, "{\"model\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\"}",
     "model=string 9+30 <\"\\/\b\f\n\r\t" E_ACUTE "\xe2\x82\xac>; "},
    {"pair of surrogates", JSON, "{\"model\":\"\\ud83d\\uDE00\"}",
     "model=string 9+14 <" FACE ">; "},
    {"halves of pairs", JSON, "{\"model\":\"\\ud83dx\\ude00\\ud83d\\ud83d\\n\\ud83d\"}",
     "model=string 9+35 <" UNKNOWN "x" UNKNOWN UNKNOWN UNKNOWN "\n" UNKNOWN ">; "},
    {"NUL in a value", JSON, "{\"model\":\"a\\u0000b\"}", "model=string 9+10 <a" UNKNOWN "b>; "},
    {"bytes that are not UTF-8", JSON, "{\"model\":\"a\xff" E_ACUTE "\xc3\",\"n\":1}",
     "model=string 9+7 <a?" E_ACUTE "?>; n=number 21+1 <1>; "},
    {"numbers", JSON, "{\"n\":-0.50e+10,\"model\":0}",
     "model=number 23+1 <0>; n=number 5+9 <-0.50e+10>; "},
    {"byte order mark", JSON, BOM " {\"n\":1}", "n=number 9+1 <1>; "},
    {"without a content type", NULL, "{\"n\":1}", "n=number 5+1 <1>; "},
    {"with another content type", "text/plain", "\n{\"n\":1}", "n=number 6+1 <1>; "},
    {"a JSON dialect", "application/vnd.api+json; charset=utf-8", "{\"n\":1}",
     "n=number 5+1 <1>; "},
    {"a form without a boundary", "multipart/form-data", "{\"n\":1}", "n=number 5+1 <1>; "},
};

static void members_of_an_object_are_found_with_their_places(void **unused)
{
    CHECK(objects);
}

static const row_t others[] = {
    {"nothing", JSON, "", "other"},
    {"blanks", JSON, " \n", "other"},
    {"array", JSON, "[{\"n\":1}]", "other"},
    {"string", JSON, "\"{\"", "other"},
    {"form of the old kind", "application/x-www-form-urlencoded", "n=1&model={", "other"},
    {"part of a byte order mark", JSON, "\xef\xbb{\"n\":1}", "other"},
    {"byte order mark after a blank", JSON, " " BOM "{\"n\":1}", "other"},
    {"two of them", JSON, BOM BOM "{\"n\":1}", "other"},
    {"bytes", "application/octet-stream", "\x01\x02{\"n\":1}", "other"},
};

static void nothing_is_found_in_other_bodies(void **unused)
{
    CHECK(others);
}

static const row_t broken[] = {
    {"open object", JSON, "{\"n\":1,", "n=number 5+1 <1>; malformed"},
    {"open string", JSON, "{\"n\":1,\"model\":\"a", "n=number 5+1 <1>; malformed"},
    {"open number", JSON, "{\"n\":1", "malformed"},
    {"open array", JSON, "{\"n\":1,\"n\":[[]", "n=number 5+1 <1>; malformed"},
    {"the whole value stays", JSON, "{\"model\":\"a\",\"model\":\"bcd",
     "model=string 9+3 <a>; malformed"},
    {"no colon", JSON, "{\"n\" 1}", "malformed"},
    {"no comma", JSON, "{\"n\":1 \"model\":2}", "n=number 5+1 <1>; malformed"},
    {"comma at the end", JSON, "{\"n\":1,}", "n=number 5+1 <1>; malformed"},
    {"comma at the beginning", JSON, "{,\"n\":1}", "malformed"},
    {"no value", JSON, "{\"n\":}", "malformed"},
    {"no name", JSON, "{1:1}", "malformed"},
    {"brackets that do not match", JSON, "{\"n\":[1},\"model\":1}", "malformed"},
    {"closed by the wrong one", JSON, "{\"n\":1]", "malformed"},
    {"something behind", JSON, "{\"n\":1}{\"n\":2}", "n=number 5+1 <1>; malformed"},
    {"no such escape", JSON, "{\"n\":1,\"model\":\"\\x\"}", "n=number 5+1 <1>; malformed"},
    {"no hex digits", JSON,
     "{\"model\":\"\\u00\x13"
     "0\"}",
     "malformed"},
    {"escape cut short", JSON, "{\"model\":\"\\u00\"}", "malformed"},
    {"no such literal", JSON, "{\"n\":1,\"model\":nul}", "n=number 5+1 <1>; malformed"},
    {"literal and more", JSON, "{\"n\":trues}", "malformed"},
    {"a leading zero", JSON, "{\"n\":01}", "malformed"},
    {"a minus alone", JSON, "{\"n\":-}", "malformed"},
    {"two minuses", JSON, "{\"n\":--1}", "malformed"},
    {"a point without digits", JSON, "{\"n\":1.}", "malformed"},
    {"no digits before the point", JSON, "{\"n\":.1}", "malformed"},
    {"an exponent without digits", JSON, "{\"n\":1e+}", "malformed"},
    {"a plus", JSON, "{\"n\":+1}", "malformed"},
    {"hex", JSON, "{\"n\":0x1}", "malformed"},
};

static void what_was_found_before_a_fault_stays(void **unused)
{
    CHECK(broken);
}

#define FORM  "multipart/form-data; boundary=XyZ"
#define FIELD "Content-Disposition: form-data; name="

static const row_t forms[] = {
    {"a field", FORM, "--XyZ\r\n" FIELD "\"model\"\r\n\r\nwhisper-1\r\n--XyZ--\r\n",
     "model=string 55+9 <whisper-1>; "},
    {"a file and fields", FORM,
     "--XyZ\r\n" FIELD
     "\"file\"; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\n\r\n-\r\n--Xy\r\n"
     "--XyZ\r\n" FIELD "\"n\"\r\n\r\n2\r\n--XyZ\r\n" FIELD "\"model\"\r\n\r\nm\r\n--XyZ--",
     "model=string 218+1 <m>; n=string 160+1 <2>; "},
    {"a file is no field", FORM,
     "--XyZ\r\n" FIELD "\"model\"; filename=\"m\"\r\n\r\nm\r\n"
     "--XyZ\r\n" FIELD "\"n\"; filename*=UTF-8''m\r\n\r\nm\r\n--XyZ--",
     ""},
    {"boundary in quotes", "Multipart/Form-Data; charset=utf-8; Boundary=\"a b;\\\"c\"",
     "--a b;\"c\r\n" FIELD "model\r\n\r\nm\r\n--a b;\"c--", "model=string 56+1 <m>; "},
    {"names in any case, header folded", FORM,
     "--XyZ\r\ncontent-type: text/plain\r\nCONTENT-DISPOSITION:FORM-DATA ;\r\n\tNAME = "
     "\"n\"\r\n\r\n1\r\n--XyZ--",
     "n=string 81+1 <1>; "},
    {"file name in a folded line", FORM,
     "--XyZ\r\n" FIELD "\"n\";\r\n filename=\"x\"\r\n\r\n1\r\n--XyZ--", ""},
    {"preamble and epilogue", FORM,
     "--XyY\r\n" FIELD "\"n\"\r\n\r\n1\r\n--XyZ\r\n" FIELD "\"model\"\r\n\r\nm\r\n--XyZ--\r\n"
     "--XyZ\r\n" FIELD "\"stream\"\r\n\r\nm\r\n--XyZ--",
     "model=string 109+1 <m>; "},
    {"empty values", FORM,
     "--XyZ\r\n" FIELD "\"n\"\r\n\r\n\r\n--XyZ\r\n" FIELD "\"model\"\r\n\r\n--XyZ--",
     "model=string 108+0; n=string 51+0; "},
    {"delimiters that begin and break off", FORM,
     "--XyZ\r\n" FIELD "\"n\"\r\n\r\n--Xy\r\r\n\r\n-\r\n--XyY\r\n--Xy\r\n--XyZ--",
     "n=string 51+23 <--Xy\r\r\n\r\n-\r\n--XyY\r\n--Xy>; "},
    {"blanks behind the delimiter", FORM, "--XyZ \t\r\n" FIELD "\"n\"\r\n\r\n1\r\n--XyZ--  \r\n",
     "n=string 53+1 <1>; "},
    {"the last one counts", FORM,
     "--XyZ\r\n" FIELD "\"n\"\r\n\r\n11\r\n--XyZ\r\n" FIELD "\"n\"\r\n\r\n2\r\n--XyZ--",
     "n=string 106+1 x2 <2>; "},
    {"not UTF-8, and a quote in a name", FORM,
     "--XyZ\r\n" FIELD "\"a\\\"b\"\r\n\r\n1\r\n--XyZ\r\n" FIELD "\"n\"\r\n\r\n\xe9\r\n--XyZ--",
     "n=string 108+1 <?>; "},
    {"no disposition, or another", FORM,
     "--XyZ\r\n\r\nname=\"n\"\r\n--XyZ\r\nContent-Disposition: attachment; "
     "name=\"n\"\r\n\r\n1\r\n--XyZ--",
     ""},
    {"not to be read", FORM,
     "--XyZ\r\n" FIELD "\"n\r\n\r\n1\r\n--XyZ\r\n" FIELD "\"n\"; x\r\n\r\n1\r\n--XyZ--", ""},
    {"nothing", FORM, "", ""},
    {"no part", FORM, "--XyZ--", ""},
    {"no delimiter", FORM, "{\"n\":1}", "malformed"},
    {"open", FORM, "--XyZ\r\n" FIELD "\"n\"\r\n\r\n1\r\n--XyZ\r\n" FIELD "\"model\"\r\n\r\nm",
     "n=string 51+1 <1>; malformed"},
    {"a delimiter that goes on", FORM,
     "--XyZ\r\n" FIELD "\"n\"\r\n\r\n1\r\n--XyZa\r\n\r\n1\r\n--XyZ--",
     "n=string 51+1 <1>; malformed"},
    {"one hyphen", FORM, "--XyZ-\r\n", "malformed"},
};

static void fields_of_a_form_are_found_and_files_are_not(void **unused)
{
    CHECK(forms);
}

static void a_part_with_a_header_line_too_long_is_no_field(void **unused)
{
    static char body[1200];
    static run_t run;
    for (int blanks = 400; blanks < 600; blanks++) {
        int len = snprintf(body, sizeof(body), "--XyZ\r\n" FIELD "\"n\";%*s\r\n\r\n1\r\n--XyZ--",
                           blanks, "filename=f");
        begin(&run, FORM);
        feed(&run, body, (size_t)len);
        apipool_sniff_end(&run.sniff);
        assert_int_equal(run.found[2].kind, APIPOOL_SNIFF_ABSENT);
        assert_false(run.sniff.malformed);
    }
}

/* The value is cut after 255 bytes or before a character that would not fit. */
static void a_long_text_ends_with_a_whole_character(void **unused)
{
    static const char *const tails[] = {"a",  E_ACUTE,   "\xe2\x82\xac",
                                        FACE, "\\u00e9", "\\ud83d\\ude00"};
    static const size_t widths[] = {1, 2, 3, 4, 2, 4};
    static char body[1000];
    static run_t run;

    for (int before = 245; before < 260; before++) {
        for (size_t t = 0; t < sizeof(tails) / sizeof(*tails); t++) {
            int len = snprintf(body, sizeof(body), "{\"model\":\"%0*d%s\\n%s\",\"n\":1}", before, 0,
                               tails[t], tails[t]);
            size_t used = (size_t)before, want[] = {widths[t], 1, widths[t]};
            int cut = used > 255;
            used = cut ? 255 : used;
            for (int i = 0; i < 3 && !cut; i++) {
                cut = used + want[i] > 255;
                used += cut ? 0 : want[i];
            }
            begin(&run, JSON);
            for (int i = 0; i < len; i += 7) {
                feed(&run, body + i, (size_t)(len - i < 7 ? len - i : 7));
            }
            apipool_sniff_end(&run.sniff);
            assert_int_equal(strlen(run.found[0].text), used);
            assert_int_equal(run.found[0].truncated, cut);
            assert_int_equal(run.found[0].at + run.found[0].len, len - 7);
            assert_int_equal(run.found[2].kind, APIPOOL_SNIFF_NUMBER);
            assert_false(run.sniff.malformed);
        }
    }
}

static void images_and_depth_are_skipped(void **unused)
{
    size_t deep = 100000, image = 3000000;
    char *body = malloc(image + 2 * deep + 100);
    static run_t run;
    assert_non_null(body);
    size_t used = (size_t)sprintf(body, "{\"a\":");
    memset(body + used, '[', deep);
    used += deep;
    body[used++] = '"';
    memset(body + used, 'A', image);
    used += image;
    memcpy(body + used - 1, "\\\"\"", 3);
    used += 2;
    memset(body + used, ']', deep);
    used += deep;
    used += (size_t)sprintf(body + used, ",\"model\":\"m\"}");
    for (size_t piece = 8000; piece < 8010; piece++) {
        begin(&run, JSON);
        for (size_t i = 0; i < used; i += piece) {
            feed(&run, body + i, used - i < piece ? used - i : piece);
        }
        apipool_sniff_end(&run.sniff);
        assert_string_equal(run.found[0].text, "m");
        assert_int_equal(run.found[0].at, used - 4);
        assert_false(run.sniff.malformed);
    }
    free(body);
}

static void a_place_for_another_member_is_told(void **unused)
{
    static const struct {
        const char *body;
        int inside, members;
    } rows[] = {
        {"{}", 1, 0}, {" { }", 2, 0}, {BOM "{\"a\":{\"b\":1}}", 4, 1}, {"{\"a\":1,\"a\":2}", 1, 2}};
    static run_t run;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        begin(&run, NULL);
        feed(&run, rows[i].body, strlen(rows[i].body));
        apipool_sniff_end(&run.sniff);
        assert_int_equal(run.sniff.inside, rows[i].inside);
        assert_int_equal(run.sniff.members, rows[i].members);
    }
}

static void capitals_make_no_difference_where_they_should_not(void **unused)
{
    static const char body[] = "{\"MODEL\":\"a\",\"mod\\u0045l\":\"b\",\"mOdEm\":1,\"modelS\":2,"
                               "\"Stream\":true}";
    static const apipool_sniff_name_t wanted[] = {{.name = "model", .any_case = 1, .slot = 0},
                                                  {.name = "stream", .slot = 1}};
    apipool_sniffed_t found[2];
    apipool_sniff_t sniff;
    for (size_t cut = 0; cut <= strlen(body); cut++) {
        apipool_sniff_begin(&sniff, JSON, wanted, 2, found, NULL, pool);
        apipool_sniff_feed(&sniff, body, cut);
        apipool_sniff_feed(&sniff, body + cut, strlen(body) - cut);
        apipool_sniff_end(&sniff);
        assert_int_equal(found[0].times, 2);
        assert_string_equal(found[0].text, "b");
        assert_int_equal(found[1].times, 0);
    }
}

static const struct {
    const char *body, *expected; /* id and code, of paths and of other names */
} inner[] = {
    {"{\"a\":{\"id\":\"1\",\"b\":{\"code\":\"2\"}},\"id\":\"3\"}", "1,2,3"},
    {"{\"a\":{\"b\":{},\"id\":7},\"a\":{\"b\":{\"c\":{\"code\":1},\"code\":8}}}", "7,8,"},
    {"{\"a\":[{\"id\":1}],\"b\":{\"code\":2},\"c\":{\"a\":{\"id\":3}}}", ",,"},
    {"{\"a/id\":1,\"a\":{\"b/code\":2,\"i\\u0064\":\"4\"},\"a\\/id\":3}", "4,,"},
    {"{\"a\":{\"id\":\"1\",\"b\":{\"code\":\"2\"]},\"id\":\"3\"}", "1,2,"},
    {"{\"a\":{\"x\":[[\"]\"],{\"y\":\"}\"}],\"id\":\"5\"},\"z\":[],\"id\":null}", "5,,"},
    {"{\"a\":{\"x\":[{]],\"id\":\"5\"}}", "5,,"},
};

static void members_of_members_are_found(void **unused)
{
    static const apipool_sniff_name_t wanted[] = {{.name = "a/id", .is_path = 1, .slot = 0},
                                                  {.name = "a/b/code", .is_path = 1, .slot = 1},
                                                  {.name = "id", .slot = 2}};
    static apipool_strict_t strict;
    apipool_sniffed_t found[3];
    apipool_sniff_t sniff;
    for (size_t i = 0; i < sizeof(inner) / sizeof(*inner); i++) {
        for (size_t cut = 0; cut <= 2 * strlen(inner[i].body) + 1; cut++) {
            const char *body = inner[i].body;
            char result[64];
            size_t first = cut / 2;
            apipool_sniff_begin(&sniff, JSON, wanted, 3, found, cut % 2 ? &strict : NULL, pool);
            apipool_sniff_feed(&sniff, body, first);
            apipool_sniff_feed(&sniff, body + first, strlen(body) - first);
            apipool_sniff_end(&sniff);
            snprintf(result, sizeof(result), "%.9s,%.9s,%.9s", found[0].text, found[1].text,
                     found[2].text);
            assert_string_equal(result, inner[i].expected);
        }
    }
}

static void nothing_or_too_much_may_be_wanted(void **unused)
{
    static apipool_sniff_name_t many[70];
    static apipool_sniffed_t found[70];
    static char many_names[70][12];
    apipool_sniff_t s;
    assert_true(sizeof(s) <= 1024);

    for (int i = 0; i < 70; i++) {
        snprintf(many_names[i], sizeof(many_names[i]), "%d", i);
        many[i] = (apipool_sniff_name_t){.name = many_names[i], .slot = (unsigned char)i};
    }
    apipool_sniff_begin(&s, NULL, many, 70, found, NULL, pool);
    apipool_sniff_feed(&s, "{\"0\":1,\"63\":2,\"64\":3}", 21);
    apipool_sniff_end(&s);
    assert_string_equal(found[0].text, "1");
    assert_string_equal(found[63].text, "2");
    assert_int_equal(found[64].kind, APIPOOL_SNIFF_ABSENT);
    apipool_sniff_begin(&s, NULL, NULL, 0, NULL, NULL, NULL);
    apipool_sniff_feed(&s, "{\"0\":1,\"\":\"\"}", 13);
    apipool_sniff_end(&s);
    assert_false(s.malformed);
    assert_int_equal(s.members, 2);
}

static const struct {
    const char *path, *model; /* NULL: none */
} paths[] = {
    {"/v1beta/models/gemini-2.0-flash:generateContent", "gemini-2.0-flash"},
    {"/v1beta/models/gemini-2.0-flash:streamGenerateContent?alt=sse", "gemini-2.0-flash"},
    {"/models/text-embedding-004:batchEmbedContents", "text-embedding-004"},
    {"/v1/projects/p/locations/l/publishers/google/models/g%2Dpro%3ArawPredict", "g-pro"},
    {"models/m:countTokens", "m"},
    {"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", "gpt-4o"},
    {"/openai/deployments/my%20model/x", "my model"},
    {"/deployments/a/deployments/b/c", "a"},
    {"/models/a/models/b:embedContent", "b"},
    {"/v1/models", NULL},
    {"/v1/models/", NULL},
    {"/v1/models/gpt-4o", NULL},
    {"/v1/models/ft:gpt-4o:acme::7p4lURel", NULL},
    {"/v1/models/:generateContent", NULL},
    {"/v1/models/m:", NULL},
    {"/v1/models/m:generate.Content", NULL},
    {"/v1/models/m:generateContent/x", NULL},
    {"/v1/mymodels/m:generateContent", NULL},
    {"/v1/x?/models/m:generateContent", NULL},
    {"/v1beta/tunedModels/mine:generateContent", "tunedModels/mine"},
    {"/v1beta/tunedmodels/m%3astreamGenerateContent", "tunedModels/m"},
    {"/v1beta/tunedModels/mine", NULL},
    {"/v1beta/tunedModels/01234567890123456789012345678:generateContent", NULL},
    {"/openai/deployments", NULL},
    {"/openai/deployments/gpt-4o", NULL},
    {"/openai/deployments/gpt-4o/", NULL},
    {"/openai/deployments//chat", NULL},
    {"/openai/deployments/gpt%00/chat", NULL},
    {"/openai/deployments/gpt%4/chat", NULL},
    {"/openai/deployments/gpt%zz/chat", NULL},
    {"/openai/deployments/012345678901234567890123456789012345678/chat",
     "012345678901234567890123456789012345678"},
    {"/openai/deployments/0123456789012345678901234567890123456789/chat", NULL},
    {"/chat/completions", NULL},
    {"/", NULL},
    {"", NULL},
};

static void a_path_may_name_the_model(void **unused)
{
    char model[40];
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        int found = apipool_model_in_path(paths[i].path, model, sizeof(model));
        if (found != (paths[i].model != NULL) || strcmp(model, found ? paths[i].model : "")) {
            fail_msg("%s: %d, \"%s\"", paths[i].path, found, model);
        }
    }
}

static int set_up(void **unused)
{
    return apr_initialize() == APR_SUCCESS && apr_pool_create(&pool, NULL) == APR_SUCCESS ? 0 : -1;
}

static int tear_down(void **unused)
{
    apr_terminate();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_an_object_are_found_with_their_places),
        cmocka_unit_test(nothing_is_found_in_other_bodies),
        cmocka_unit_test(what_was_found_before_a_fault_stays),
        cmocka_unit_test(fields_of_a_form_are_found_and_files_are_not),
        cmocka_unit_test(a_part_with_a_header_line_too_long_is_no_field),
        cmocka_unit_test(a_long_text_ends_with_a_whole_character),
        cmocka_unit_test(images_and_depth_are_skipped),
        cmocka_unit_test(a_place_for_another_member_is_told),
        cmocka_unit_test(capitals_make_no_difference_where_they_should_not),
        cmocka_unit_test(members_of_members_are_found),
        cmocka_unit_test(nothing_or_too_much_may_be_wanted),
        cmocka_unit_test(a_path_may_name_the_model),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("sniff", tests, set_up, tear_down);
}
