/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/query: parameters by type and range, and errors by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "query.h"

static apr_pool_t *pool;

static const char *const orders[] = {"asc", "desc"};

typedef struct {
    const char *text;
    apr_int64_t limit;
    int order;
} parameters_t;

/* Reads the parameters of a list of keys; returns 1 if nothing is wrong. */
static int read_all(const char *text, parameters_t *read, apipool_input_error_t *flaw)
{
    apipool_query_t query;
    apipool_query_open(&query, pool, text, flaw);
    read->text = apipool_query_string(&query, "q", 8);
    read->limit = apipool_query_integer(&query, "limit", 1, 1000, 100);
    read->order = apipool_query_choice(&query, "order", orders, 2, 0);
    return apipool_query_close(&query);
}

static void parameters_are_read(void **unused)
{
    parameters_t read;
    apipool_input_error_t flaw;
    (void)unused;
    assert_true(read_all(NULL, &read, &flaw));
    assert_null(read.text);
    assert_true(read.limit == 100 && read.order == 0);
    assert_true(read_all("", &read, &flaw));
    assert_true(read_all("q=a%20b+%C3%A4&limit=1000&order=desc", &read, &flaw));
    assert_string_equal(read.text, "a b \xc3\xa4");
    assert_true(read.limit == 1000 && read.order == 1);
    assert_true(read_all("q=&limit=&order=", &read, &flaw));
    assert_null(read.text);
    assert_true(read_all("&&limit=7&", &read, &flaw));
    assert_true(read.limit == 7);
}

static const struct {
    const char *text, *field;
} wrong[] = {
    {"limit=-1", "limit"},
    {"limit=0", "limit"},
    {"limit=1001", "limit"},
    {"limit=1e2", "limit"},
    {"limit=0x10", "limit"},
    {"limit=%2B5", "limit"},
    {"limit=+5", "limit"},
    {"limit=99999999999999999999", "limit"},
    {"limit=999999999999999999999", "limit"},
    {"limit=1&limit=2", "limit"},
    {"order=up", "order"},
    {"order=ASC", "order"},
    {"q=123456789", "q"},
    {"q=%", "q"},
    {"q=%4", "q"},
    {"q=%zz", "q"},
    {"q=%00", "q"},
    {"q=%0a", "q"},
    {"q=%ff", "q"},
    {"q=%c0%80", "q"},
    {"q=%ed%a0%80", "q"},
    {"q=%f5%80%80%80", "q"},
    {"q=%c3", "q"},
    {"more=1", "more"},
    {"more", "more"},
    {"%ff=1", NULL},
    {"%=1", NULL},
};

static void what_is_wrong_is_named(void **unused)
{
    parameters_t read;
    apipool_input_error_t flaw;
    (void)unused;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_false(read_all(wrong[i].text, &read, &flaw));
        assert_non_null(flaw.message);
        if (wrong[i].field) {
            assert_string_equal(flaw.field, wrong[i].field);
        }
        else {
            assert_null(flaw.field);
        }
    }
}

static void there_are_bounds(void **unused)
{
    parameters_t read;
    apipool_input_error_t flaw;
    char *text = apr_pcalloc(pool, APIPOOL_QUERY_MAX + 2);
    const char *many = "";
    (void)unused;
    memset(text, '&', APIPOOL_QUERY_MAX);
    assert_true(read_all(text, &read, &flaw));
    text[APIPOOL_QUERY_MAX] = '&';
    assert_false(read_all(text, &read, &flaw));
    for (int i = 0; i <= APIPOOL_QUERY_PARAMETERS; i++) {
        many = apr_psprintf(pool, "%s&p%d=1", many, i);
    }
    assert_false(read_all(many, &read, &flaw));
    assert_null(flaw.field);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_read),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(there_are_bounds),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests_name("query", tests, NULL, NULL);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed;
}
