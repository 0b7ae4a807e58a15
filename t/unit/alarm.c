/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/alarm: the message that tells of an event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <cmocka.h>

#include "alarm.h"

static apr_pool_t *p;

static int open_pool(void **unused)
{
    return apr_pool_create(&p, NULL) != APR_SUCCESS;
}

static int close_pool(void **unused)
{
    apr_pool_destroy(p);
    return 0;
}

static apipool_alarm_t keys_lost(apr_uint32_t count, const char *line)
{
    apipool_alarm_t alarm = {.event = APIPOOL_ALARM_KEY_LOST,
                             .at = apr_time_from_sec(1795348800),
                             .host = "gateway",
                             .pool = "main",
                             .server = "",
                             .count = count,
                             .members = "keys",
                             .rows = json_pack("[{s:s}]", "key", "sk-0"),
                             .lines = apr_array_make(p, 2, sizeof(const char *))};
    for (apr_uint32_t i = 0; i < count && i < APIPOOL_ALARM_ROWS; i++) {
        APR_ARRAY_PUSH(alarm.lines, const char *) = line;
    }
    return alarm;
}

static json_t *message_of(const apipool_alarm_t *alarm)
{
    json_t *message = json_loads(apipool_alarm_message(p, alarm), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(message);
    return message;
}

static const char *member(const json_t *message, const char *name)
{
    return json_string_value(json_object_get(message, name));
}

static void each_member_has_a_line_of_its_own(void **unused)
{
    const apipool_alarm_t alarm = keys_lost(1, "sk-0 says \"no\"\nat all");
    assert_string_equal(apipool_alarm_message(p, &alarm),
                        "{\n"
                        "\"event\": \"key_lost\",\n"
                        "\"time\": \"2026-11-22T12:00:00Z\",\n"
                        "\"host\": \"gateway\",\n"
                        "\"server\": \"\",\n"
                        "\"pool\": \"main\",\n"
                        "\"count\": 1,\n"
                        "\"keys\": [{\"key\":\"sk-0\"}],\n"
                        "\"title\": \"apipool on gateway: pool main: a key is lost\",\n"
                        "\"text\": \"apipool on gateway: pool main: a key is lost\\n"
                        "sk-0 says \\\"no\\\"\\nat all\",\n"
                        "\"text_base64\": \"YXBpcG9vbCBvbiBnYXRld2F5OiBwb29sIG1haW46IGEga2V5IGlzIG"
                        "xvc3QKc2stMCBzYXlzICJubyIKYXQgYWxs\"\n"
                        "}\n");
}

static void the_text_is_short_and_says_how_much_it_leaves_out(void **unused)
{
    apipool_alarm_t alarm = keys_lost(1000, "sk-\xe2\x80\xa6: quota");
    json_t *message = message_of(&alarm);
    assert_string_equal(member(message, "title"),
                        "apipool on gateway: pool main: 1000 keys are lost");
    assert_string_equal(strrchr(member(message, "text"), '\n'), "\nand 980 more");
    assert_int_equal(json_integer_value(json_object_get(message, "count")), 1000);
    json_decref(message);

    char line[1000];
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    alarm = keys_lost(3, line);
    message = message_of(&alarm);
    assert_true(strlen(member(message, "text")) < APIPOOL_ALARM_TEXT);
    assert_string_equal(strrchr(member(message, "text"), '\n'), "\nand 2 more");
    json_decref(message);
}

static void chats_find_no_markup_in_it(void **unused)
{
    const apipool_alarm_t alarm = keys_lost(1, "<!channel> <at user_id=\"all\">");
    json_t *message = message_of(&alarm);
    assert_null(strpbrk(member(message, "text"), "<>"));
    json_decref(message);
}

static void an_event_of_no_pool_has_members_of_its_own(void **unused)
{
    const apipool_alarm_t alarm = {.event = APIPOOL_ALARM_STORE_NOT_SAVED,
                                   .host = "gateway",
                                   .count = 1,
                                   .rows = json_pack("{s:i}", "more", 7),
                                   .lines = apr_array_make(p, 1, sizeof(const char *))};
    json_t *message = message_of(&alarm);
    assert_null(json_object_get(message, "pool"));
    assert_null(json_object_get(message, "count"));
    assert_int_equal(json_integer_value(json_object_get(message, "more")), 7);
    assert_string_equal(member(message, "text"),
                        "apipool on gateway: the store could not be saved");
    json_decref(message);
}

static void every_event_has_a_name(void **unused)
{
    for (int i = 0; i < APIPOOL_ALARM_COUNT; i++) {
        assert_non_null(apipool_alarm_name((apipool_alarm_e)i));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_pool, close_pool)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_member_has_a_line_of_its_own),
        TEST(the_text_is_short_and_says_how_much_it_leaves_out), TEST(chats_find_no_markup_in_it),
        TEST(an_event_of_no_pool_has_members_of_its_own), cmocka_unit_test(every_event_has_a_name)};
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("alarm", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
