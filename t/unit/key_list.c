/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/key_list and src/core/key_element: lists of keys, whole and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <apr_general.h>
#include <cmocka.h>

#include "json.h"
#include "key_doubt.h"
#include "key_list.h"

#define BOM     "\xef\xbb\xbf"
#define CUT_MAX 10000 /* bytes of a text that is cut at every position */

/* Calls of the sink as text: "+key" for a key, "-key" for a disabled one, "?line" for an invalid
 * item, each followed by a blank. */
typedef struct {
    char text[8192];
    size_t used;
    char reason[128];
} told_t;

static void on_key(void *ctx, const apipool_key_item_t *item)
{
    told_t *told = ctx;
    assert_true(told->used + item->len + 3 < sizeof(told->text));
    told->text[told->used++] = item->enabled ? '+' : '-';
    memcpy(told->text + told->used, item->key, item->len);
    told->used += item->len;
    told->text[told->used++] = ' ';
    told->text[told->used] = '\0';
}

static void on_invalid(void *ctx, long line, const char *reason)
{
    told_t *told = ctx;
    if (told->used + 24 < sizeof(told->text)) {
        told->used += (size_t)snprintf(told->text + told->used, 24, "?%ld ", line);
    }
    snprintf(told->reason, sizeof(told->reason), "%s", reason);
}

/* A piece lies in memory of exactly its size, so that a checker sees every access beyond it, and
 * is freed after it was read. */
static int feed(apipool_key_list_t *list, const char *piece, size_t len)
{
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, piece, len);
    int good = apipool_key_list_feed(list, exact, len);
    memset(exact, '!', len);
    free(exact);
    return good;
}

/* A broken list reports nothing else. */
static void finish(apipool_key_list_t *list, int good, told_t *told)
{
    good = good && apipool_key_list_end(list);
    assert_int_equal(good, !list->is_broken);
    apipool_key_list_wipe(list);
    if (!good) {
        memset(told, 0, sizeof(*told));
        on_invalid(told, list->line, list->reason);
    }
}

static void import_in_two(apipool_key_list_form_e form, const char *text, size_t len, size_t cut,
                          told_t *told)
{
    apipool_key_sink_t sink = {.on_key = on_key, .on_invalid = on_invalid, .ctx = told};
    apipool_key_list_t list;
    memset(told, 0, sizeof(*told));
    apipool_key_list_begin(&list, form, &sink);
    finish(&list, feed(&list, text, cut) && feed(&list, text + cut, len - cut), told);
}

static void import_by_bytes(apipool_key_list_form_e form, const char *text, size_t len,
                            told_t *told)
{
    apipool_key_sink_t sink = {.on_key = on_key, .on_invalid = on_invalid, .ctx = told};
    apipool_key_list_t list;
    int good = 1;
    memset(told, 0, sizeof(*told));
    apipool_key_list_begin(&list, form, &sink);
    for (size_t i = 0; good && i < len; i++) {
        good = feed(&list, text + i, 1);
    }
    finish(&list, good, told);
}

static void check_same(const told_t *whole, const told_t *told, const char *text)
{
    if (strcmp(whole->text, told->text) || strcmp(whole->reason, told->reason)) {
        fail_msg("%s: \"%s\" in pieces, \"%s\" whole", text, told->text, whole->text);
    }
}

/* Results do not depend on where a list is cut. */
static void import_as(apipool_key_list_form_e form, const char *text, size_t len, told_t *told)
{
    told_t other;
    import_in_two(form, text, len, 0, told);
    for (size_t cut = 0; cut <= len && len < CUT_MAX; cut++) {
        import_in_two(form, text, len, cut, &other);
        check_same(told, &other, text);
    }
    import_by_bytes(form, text, len, &other);
    check_same(told, &other, text);
}

static void import(const char *text, size_t len, told_t *told)
{
    apipool_key_sink_t sink = {.on_key = on_key, .on_invalid = on_invalid, .ctx = told};
    told_t whole = {.used = 0};
    import_as(APIPOOL_KEY_LIST_FILE, text, len, told);
    sink.ctx = &whole;
    apipool_key_list_read(text, len, &sink);
    check_same(told, &whole, text);
}

/* "told" is as above, "reason" is that of the last fault. */
static void check_cases(const char *file, apipool_key_list_form_e form)
{
    json_error_t error;
    json_t *cases = json_load_file(file, JSON_ALLOW_NUL, &error), *row;
    size_t i;
    if (!cases) {
        fail_msg("%s:%d: %s", file, error.line, error.text);
    }
    assert_true(json_array_size(cases) > 100);
    json_array_foreach(cases, i, row)
    {
        const json_t *text = json_object_get(row, "text"), *reason = json_object_get(row, "reason");
        const char *name = json_string_value(json_object_get(row, "name"));
        told_t told;
        import_as(form, json_string_value(text), json_string_length(text), &told);
        if (strcmp(told.text, json_string_value(json_object_get(row, "told")))) {
            fail_msg("%s: \"%s\"", name, told.text);
        }
        if (strcmp(told.reason, reason ? json_string_value(reason) : "")) {
            fail_msg("%s: \"%s\"", name, told.reason);
        }
    }
    json_decref(cases);
}

static void lists_and_arrays_are_read_by_lines_commas_and_elements(void **unused)
{
    check_cases(APIPOOL_UNIT_DATA "/key_cases.json", APIPOOL_KEY_LIST_FILE);
}

/* The page reads by the same rules: t/page/key_text.test.mjs. */
static void what_is_pasted_or_exported_elsewhere_is_read(void **unused)
{
    check_cases(APIPOOL_UNIT_DATA "/import_cases.json", APIPOOL_KEY_LIST_IMPORT);
}

/* JSON text cannot express the first ones; a reader that sees only a piece could get the others
 * wrong. */
static const struct {
    const char *text, *told;
} lists[] = {
    {"sk-\xe9", "?1 "},
    {"sk-1\nsk-\xc3", "+sk-1 ?2 "},
    {"[\"sk-\xff\"]", "?1 "},
    {"[\n\"sk-1\",\n\"\xe9\"]", "?3 "},
    {"\xef", "?1 "},
    {"\xef\xbbsk-1\nsk-2", "?1 +sk-2 "},
    {BOM BOM "sk-1\nsk-2", "?1 +sk-2 "},
    {",# x\nsk-1", "?1 +sk-1 "},
    {"a  b  ,sk-1 \t", "?1 +sk-1 "},
    {"[{]\n,\"sk-1\"]", "?1 "},
    {"[\"sk-1\"\n]]", "?2 "},
    {"[\"sk-1\",\n}]", "?2 "},
    {"[\"]}\",\"[{,\",\"a\\\"]\",\"sk-1\"]", "+]} +[{, ?3 +sk-1 "},
    {"[\"sk-1\" \"sk-2\"]", "?1 "},
    {"[,\"sk-1\"]", "?1 "},
};

static void lists_are_read_in_pieces_as_they_are_read_whole(void **unused)
{
    told_t told;
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        import(lists[i].text, strlen(lists[i].text), &told);
        if (strcmp(told.text, lists[i].told)) {
            fail_msg("%s: \"%s\"", lists[i].text, told.text);
        }
    }
}

static void count_key(void *ctx, const apipool_key_item_t *item)
{
    apipool_key_item_t *kept = ctx;
    assert_int_equal(item->len, 7);
    kept->len++;
}

/* Attributes of the only key of an import. */
static void keep_item(void *ctx, const apipool_key_item_t *item)
{
    apipool_key_item_t *kept = ctx;
    *kept = *item;
    kept->key = NULL;
    kept->account = item->account ? strdup(item->account) : NULL;
}

static apipool_key_item_t import_one(const char *text)
{
    apipool_key_item_t kept = {.len = 0};
    apipool_key_sink_t sink = {.on_key = keep_item, .ctx = &kept};
    apipool_key_list_read(text, strlen(text), &sink);
    assert_int_equal(kept.len, 4);
    return kept;
}

static const struct {
    const char *text;
    apr_uint32_t weight;
    const char *account;
    apipool_key_limits_t limits;
} attributes[] = {
    {"sk-1", 0, NULL, {0}},
    {"[\"sk-1\"]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\"}]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"weight\":1}]", 1, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"weight\":1000}]", 1000, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"weight\":null,\"account\":null,\"limits\":null}]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"account\":\"acme\"}]", 0, "acme", {0}},
    {"[{\"key\":\"sk-1\",\"account\":\"\"}]", 0, "", {0}},
    {"[{\"key\":\"sk-1\",\"limits\":{}}]", 0, NULL, {0}},
    {"[{\"key\":\"sk-1\",\"limits\":{\"rpm\":60}}]", 0, NULL, {.rpm = 60}},
    {"[{\"key\":\"sk-1\",\"limits\":{\"rpm\":1,\"rpd\":2,\"tpm\":3,\"tpd\":4294967295,"
     "\"concurrency\":5}}]",
     0,
     NULL,
     {1, 2, 3, 4294967295u, 5}},
    {"[{\"limits\":{\"rpm\":null,\"what\":9},\"weight\":7,\"label\":\"x\",\"key\":\"sk-1\"}]",
     7,
     NULL,
     {0}},
};

static void an_object_tells_weight_account_and_limits(void **unused)
{
    for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++) {
        apipool_key_item_t item = import_one(attributes[i].text);
        if (item.weight != attributes[i].weight ||
            memcmp(&item.limits, &attributes[i].limits, sizeof(item.limits))) {
            fail_msg("%s", attributes[i].text);
        }
        assert_int_equal(item.account != NULL, attributes[i].account != NULL);
        if (item.account) {
            assert_string_equal(item.account, attributes[i].account);
        }
        free((void *)(uintptr_t)item.account);
    }
}

/* What tables and other exports say of a key is known of it as well. */
static const struct {
    const char *text, *label, *account;
    apr_uint32_t weight, rpm;
    int line, enabled;
} exported[] = {
    {"key,label,account,weight,rpm\nsk-1,\xc3\xa9\"x,\" team \",7,60", "\xc3\xa9\"x", "team", 7, 60,
     2, 1},
    {"#\nname;key;enabled\n\"a, \"\"b\"\"; c\";sk-1;no", "a, \"b\"; c", NULL, 0, 0, 3, 0},
    {"name,label,key\nx,y,sk-1", "x", NULL, 0, 0, 2, 1},
    {"[{\"key\":\"sk-1\",\"name\":\"a\",\"weight\":0}]", "a", NULL, 0, 0, 1, 1},
    {"[{\"key\":\"sk-1\",\"name\":\"a\",\"label\":\"b\",\"account\":\"c\"}]", "b", "c", 0, 0, 1, 1},
    {"{\"data\":[{\"api_key\":\" sk-1 \",\"weight\":3,\"enabled\":false}]}", NULL, NULL, 3, 0, 1,
     0},
};

static int is_same(const char *one, const char *other)
{
    return one && other ? !strcmp(one, other) : one == other;
}

static void check_exported(void *ctx, const apipool_key_item_t *item)
{
    size_t i = *(const size_t *)ctx;
    if (item->len != 4 || item->weight != exported[i].weight || item->line != exported[i].line ||
        item->enabled != exported[i].enabled || item->limits.rpm != exported[i].rpm ||
        !is_same(item->label, exported[i].label) || !is_same(item->account, exported[i].account)) {
        fail_msg("%s: %s", exported[i].text, item->label ? item->label : "");
    }
    *(size_t *)ctx = i + 1;
}

static void a_table_and_an_export_tell_what_is_known_of_a_key(void **unused)
{
    for (size_t i = 0; i < sizeof(exported) / sizeof(*exported); i++) {
        size_t seen = i;
        apipool_key_sink_t sink = {.on_key = check_exported, .ctx = &seen};
        apipool_key_list_t list;
        apipool_key_list_begin(&list, APIPOOL_KEY_LIST_IMPORT, &sink);
        feed(&list, exported[i].text, strlen(exported[i].text));
        apipool_key_list_end(&list);
        apipool_key_list_wipe(&list);
        assert_int_equal(seen, i + 1);
    }
}

/* The last key of each list, and why it is doubtful. */
static const struct {
    const char *keys[6], *doubt;
} doubts[] = {
    {{"sk-0123456789abcdef"}, NULL},
    {{"sk-0123456789ab"}, "shorter than 16 characters"},
    {{"sk-abcdefghijklmnopqrs"}, "has no digit"},
    {{"sk-abcd**********1234"}, "masked: it contains * or ..."},
    {{"sk-abcd...1234"}, "masked: it contains * or ..."},
    {{"https://api.example.org/v1"}, "an address"},
    {{"carol2@example.org"}, "an address"},
    {{"os.environ/OPENAI_KEY_1"}, "a placeholder, or the name of a variable"},
    {{"<your-key-goes-here-1>"}, "a placeholder, or the name of a variable"},
    {{"${OPENAI_API_KEY_1234}"}, "a placeholder, or the name of a variable"},
    {{"sk-0123456789abcde1", "sk-0123456789abcde2", "sk-0123456789abcde3", "gpt-4o-2024-08-06"},
     "unlike all other keys of the list"},
    {{"sk-0123456789abcde1", "sk-0123456789abcde2", "gpt-4o-2024-08-06"}, NULL},
    {{"sk-0123456789abcde1", "sk-0123456789abcde2", "sk-0123456789abcde3", "sk-01234567890123456"},
     NULL},
    {{"sk-0123456789abcde1", "sk-0123456789abcde2", "sk-0123456789abcde3", "0123456789abcdef012"},
     NULL},
    {{"sk-0123456789abcde1", "gsk_0123456789abcdef", "AIza0123456789abcdefg",
      "xai-0123456789abcdefgh"},
     NULL},
};

static void what_does_not_look_like_a_key_is_doubtful(void **unused)
{
    apipool_key_kinds_t *kinds = malloc(sizeof(*kinds));
    for (size_t i = 0; i < sizeof(doubts) / sizeof(*doubts); i++) {
        const char *key = NULL, *const *keys = doubts[i].keys;
        memset(kinds, 0, sizeof(*kinds));
        for (size_t k = 0; k < 6 && keys[k]; k++) {
            key = keys[k];
            apipool_key_kinds_add(kinds, key, strlen(key));
        }
        const char *doubt = apipool_key_doubt(kinds, key, strlen(key));
        if (!is_same(doubt, doubts[i].doubt)) {
            fail_msg("%s: %s", key, doubt ? doubt : "none");
        }
    }
    free(kinds);
}

static void json_of_a_million_values_is_not_read(void **unused)
{
    static char text[2 * 1000000 + 3];
    told_t told;
    text[0] = '[';
    for (size_t i = 0; i < 1000000; i++) {
        memcpy(text + 1 + 2 * i, "1,", 2);
    }
    memcpy(text + sizeof(text) - 2, "1]", 2);
    import(text, sizeof(text), &told);
    assert_string_equal(told.text, "?1 ");
    assert_string_equal(told.reason, "JSON that is nested too deeply, or has too many values");
}

static void a_key_may_have_4096_bytes_and_no_more(void **unused)
{
    char text[APIPOOL_KEY_MAX + 8];
    told_t told;

    memset(text, 'k', sizeof(text));
    import(text, APIPOOL_KEY_MAX, &told);
    assert_int_equal(told.used, APIPOOL_KEY_MAX + 2);
    text[0] = '\n';
    import(text, APIPOOL_KEY_MAX + 2, &told);
    assert_string_equal(told.text, "?2 ");
    assert_string_equal(told.reason, "key longer than 4096 bytes");
}

/* A key fills an element, including blanks; one byte more does not fit. */
static void an_element_may_have_65536_bytes_and_no_more(void **unused)
{
    static char text[APIPOOL_KEY_LIST_ELEMENT_MAX + 3];
    told_t told;
    memset(text, ' ', sizeof(text));
    memcpy(text, "[\"sk-1\"", 7);
    text[sizeof(text) - 2] = ']';
    import(text, sizeof(text) - 1, &told);
    assert_string_equal(told.text, "+sk-1 ");
    text[sizeof(text) - 2] = ' ';
    text[sizeof(text) - 1] = ']';
    import(text, sizeof(text), &told);
    assert_string_equal(told.text, "?1 ");
    assert_string_equal(told.reason, "element longer than 65536 bytes");
    text[8] = '\xff'; /* which then is the fault */
    import(text, sizeof(text), &told);
    assert_string_equal(told.reason, "malformed JSON");
}

/* Other exports have keys of hundreds of lines. */
static void a_key_of_an_import_may_have_thousands_of_lines(void **unused)
{
    static char text[APIPOOL_KEY_LIST_EXPORT_MAX + 16] = "{\"key\":\"";
    apipool_key_item_t kept = {.len = 0};
    apipool_key_sink_t sink = {.on_key = count_key, .ctx = &kept};
    apipool_key_list_t list;
    size_t used = strlen(text), count = 0;
    while (used + 8 < APIPOOL_KEY_LIST_EXPORT_MAX) {
        memcpy(text + used, "sk-1234\\n", 9);
        used += 9;
        count++;
    }
    strcpy(text + used - 2, "\"}");
    apipool_key_list_begin(&list, APIPOOL_KEY_LIST_IMPORT, &sink);
    assert_true(feed(&list, text, used) && apipool_key_list_end(&list));
    apipool_key_list_wipe(&list);
    assert_int_equal(kept.len, count);
    memset(text + used, ' ', sizeof(text) - used);
    apipool_key_list_begin(&list, APIPOOL_KEY_LIST_IMPORT, &sink);
    assert_false(feed(&list, text, sizeof(text)));
    assert_string_equal(list.reason, "element or object longer than 8 MiB");
    apipool_key_list_wipe(&list);
}

/* Bodies that must be arrays get the same errors as any other body. */
static const char *const broken_arrays[] = {
    "[",
    "[\"sk-1\"",
    "[\"sk-1",
    "[\"sk-1\",]",
    "[,]",
    "[\"sk-1\" \"sk-2\"]",
    "[\n\"sk-1\",\n\"sk-2\n]",
    "[\"sk-1\",\n  {\"key\":\n\"sk-2\",,}]",
    "[\"m\xc3\xbcller\", oops]",
    "[\"sk-\xff\"]",
    "[\"sk-1\",{\"a\":1,\"a\":2}]",
    "[{\"a\\u0000b\":1}]",
    "[1e999]",
    "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]",
    "[\"sk-1\"]]",
    "[01]",
    "[tru]",
    "[\"\\x\"]",
    "[\"\\ud800\"]",
    "[{\"key\" \"sk-1\"}]",
    "[{\"key\":\"sk-1\"]",
};

static void what_is_said_of_an_array_is_said_as_of_any_body(void **unused)
{
    apr_pool_t *p;
    apipool_input_error_t flaw;
    static const apipool_json_member_t none[] = {{NULL}};
    apipool_key_sink_t nobody = {0};
    apipool_key_list_t list;
    apr_pool_create(&p, NULL);
    for (size_t i = 0; i < sizeof(broken_arrays) / sizeof(*broken_arrays); i++) {
        const char *text = broken_arrays[i];
        assert_int_equal(apipool_json_read(p, text, strlen(text), none, NULL, &flaw), 0);
        apipool_key_list_begin(&list, APIPOOL_KEY_LIST_JSON, &nobody);
        int good = feed(&list, text, strlen(text)) && apipool_key_list_end(&list);
        apipool_key_list_wipe(&list);
        assert_false(good);
        const char *said = apipool_key_list_explain(&list, p);
        if (strcmp(said, flaw.message)) {
            fail_msg("%s: \"%s\" instead of \"%s\"", text, said, flaw.message);
        }
    }
    apr_pool_destroy(p);
}

static void what_is_to_be_json_is_nothing_else(void **unused)
{
    static const char *const others[] = {"", " \n", "sk-1", "# [", "{", " {\"key\":1", BOM, "7"};
    apipool_key_sink_t nobody = {0};
    apipool_key_list_t list;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        apipool_key_list_begin(&list, APIPOOL_KEY_LIST_JSON, &nobody);
        int good = feed(&list, others[i], strlen(others[i])) && apipool_key_list_end(&list);
        apipool_key_list_wipe(&list);
        if (good) {
            fail_msg("%s", others[i]);
        }
    }
}

/* Cuts a list off in any state. */
static void nothing_of_a_key_stays(void **unused)
{
    static const char *const texts[] = {"sk-secret",    "[\"sk-secret",   "[{\"key\":\"sk-secret\"",
                                        "sk-secret\n,", "key\nsk-secret", "{\"key\":\"sk-secret"};
    apipool_key_sink_t nobody = {0};
    apipool_key_list_t list;
    for (size_t i = 0; i < 2 * sizeof(texts) / sizeof(*texts); i++) {
        apipool_key_list_begin(&list, i % 2 ? APIPOOL_KEY_LIST_FILE : APIPOOL_KEY_LIST_IMPORT,
                               &nobody);
        feed(&list, texts[i / 2], strlen(texts[i / 2]));
        apipool_key_list_wipe(&list);
        assert_null(memmem(&list, sizeof(list), "secret", 6));
        assert_null(list.element);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_and_arrays_are_read_by_lines_commas_and_elements),
        cmocka_unit_test(what_is_pasted_or_exported_elsewhere_is_read),
        cmocka_unit_test(lists_are_read_in_pieces_as_they_are_read_whole),
        cmocka_unit_test(an_object_tells_weight_account_and_limits),
        cmocka_unit_test(a_table_and_an_export_tell_what_is_known_of_a_key),
        cmocka_unit_test(what_does_not_look_like_a_key_is_doubtful),
        cmocka_unit_test(a_key_of_an_import_may_have_thousands_of_lines),
        cmocka_unit_test(json_of_a_million_values_is_not_read),
        cmocka_unit_test(a_key_may_have_4096_bytes_and_no_more),
        cmocka_unit_test(an_element_may_have_65536_bytes_and_no_more),
        cmocka_unit_test(what_is_said_of_an_array_is_said_as_of_any_body),
        cmocka_unit_test(what_is_to_be_json_is_nothing_else),
        cmocka_unit_test(nothing_of_a_key_stays),
    };
    apr_initialize();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("keylist", tests, NULL, NULL);
}
