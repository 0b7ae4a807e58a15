/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/vendor/balance: finding an amount in an answer, and what is not an amount. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "balance.h"
#include "provider.h"

#define READ       APIPOOL_BALANCE_READ
#define NONE       APIPOOL_BALANCE_NONE
#define UNREADABLE APIPOOL_BALANCE_UNREADABLE

/* Reads from memory of exactly the right size: the body is not terminated. */
static apipool_balance_e read_at(const char *body, const apipool_balance_place_t *place,
                                 apipool_balances_t *balances)
{
    size_t len = strlen(body);
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, body, len);
    apipool_balance_e result = apipool_balance_read(copy, len, place, balances);
    free(copy);
    return result;
}

static apipool_balance_e read_exactly(const char *body, const char *pointer, const char *currency,
                                      apipool_amount_t *amount)
{
    apipool_balance_place_t place = {.amount = pointer, .currency = currency};
    apipool_balances_t balances = {.of = {*amount}};
    apipool_balance_e result = read_at(body, &place, &balances);
    assert_int_equal(balances.count, result == READ);
    *amount = balances.of[0];
    return result;
}

static const struct {
    apipool_provider_e provider;
    const char *body;
    apipool_balance_e result;
    double amount;
    const char *currency;
    int is_available;
    double other; /* in CNY */
} vendors[] = {
    {APIPOOL_PROVIDER_SILICONFLOW,
     "{\"code\":20000,\"message\":\"OK\",\"status\":true,\"data\":{\"balance\":\"0.88\","
     "\"chargeBalance\":\"88.00\",\"totalBalance\":\"88.88\"}}",
     READ, 88.88, "CNY", -1, 0},
    {APIPOOL_PROVIDER_SILICONFLOW, "{\"code\":20012,\"message\":\"x\",\"data\":null}", UNREADABLE,
     0, "", -1, 0},
    {APIPOOL_PROVIDER_DEEPSEEK,
     "{\"is_available\":true,\"balance_infos\":[{\"currency\":\"USD\",\"total_balance\":\"110.00\"}"
     ","
     "{\"currency\":\"CNY\",\"total_balance\":\"1.00\"}]}",
     READ, 110, "USD", 1, 1},
    {APIPOOL_PROVIDER_DEEPSEEK,
     "{\"balance_infos\":[{\"currency\":\"CNY\",\"total_balance\":\"0.00\"},"
     "{\"currency\":\"USD\",\"total_balance\":\"4.50\"}],\"is_available\":true}",
     READ, 4.5, "USD", 1, 0},
    {APIPOOL_PROVIDER_DEEPSEEK,
     "{\"is_available\":false,\"balance_infos\":[{\"currency\":\"CNY\",\"total_balance\":\"2.25\"},"
     "{\"currency\":\"USD\",\"total_balance\":\"4.50\"},"
     "{\"currency\":\"CNY\",\"total_balance\":1.5},{\"currency\":\"EUR\",\"total_balance\":\"9\"},"
     "{\"currency\":\"USD\",\"total_balance\":\"none\"},7]}",
     READ, 4.5, "USD", 0, 3.75},
    {APIPOOL_PROVIDER_DEEPSEEK, "{\"is_available\":false,\"balance_infos\":[]}", READ, 0, "", 0, 0},
    {APIPOOL_PROVIDER_DEEPSEEK, "{\"is_available\":\"no\",\"balance_infos\":{}}", UNREADABLE, 0, "",
     -1, 0},
    {APIPOOL_PROVIDER_OPENROUTER, "{\"data\":{\"limit\":10,\"limit_remaining\":7.25}}", READ, 7.25,
     "USD", -1, 0},
    {APIPOOL_PROVIDER_OPENROUTER, "{\"data\":{\"limit\":null,\"limit_remaining\":null}}", NONE, 0,
     "", -1, 0},
    {APIPOOL_PROVIDER_MOONSHOT,
     "{\"code\":0,\"data\":{\"available_balance\":-0.5,\"voucher_balance\":0,\"cash_balance\":-0.5}"
     ","
     "\"scode\":\"0x0\",\"status\":true}",
     READ, -0.5, "CNY", -1, 0},
};

static void every_vendor_s_answer_is_read(void **unused)
{
    for (size_t i = 0; i < sizeof(vendors) / sizeof(*vendors); i++) {
        const apipool_balance_t *how = apipool_provider_balance(vendors[i].provider);
        apipool_balances_t got = {.is_available = -1};
        assert_int_equal(read_at(vendors[i].body, &how->place, &got), vendors[i].result);
        assert_int_equal(got.is_available, vendors[i].is_available);
        assert_true(got.of[0].amount == vendors[i].amount);
        assert_string_equal(got.of[0].currency, vendors[i].currency);
        assert_true(got.of[1].amount == vendors[i].other);
        assert_string_equal(got.of[1].currency, got.count > 1 ? "CNY" : "");
    }
}

static const struct {
    const char *body, *pointer;
    apipool_balance_e result;
    double amount;
} pointers[] = {
    {"{\"a\":{\"b\":3}}", "/a/b", READ, 3},
    {"{\"a\":[1,2,3]}", "/a/2", READ, 3},
    {"{\"a\":[1,2,3]}", "/a/3", UNREADABLE, 0},
    {"{\"a\":[1,2,3]}", "/a/02", UNREADABLE, 0},
    {"{\"a\":[1,2,3]}", "/a/-", UNREADABLE, 0},
    {"{\"a\":[1,2,3]}", "/a/", UNREADABLE, 0},
    {"{\"a\":[1,2,3]}", "/a/1x", UNREADABLE, 0},
    {"{\"a\":[1,2,3]}", "/a/4294967297", UNREADABLE, 0},
    {"{\"a/b\":4}", "/a~1b", READ, 4},
    {"{\"m~n\":5}", "/m~0n", READ, 5},
    {"{\"~1\":6}", "/~01", READ, 6},
    {"{\"\":7}", "/", READ, 7},
    {"{\"\":{\"\":8}}", "//", READ, 8},
    {"{\"0\":9}", "/0", READ, 9},
    {"{\"ab\":1}", "/a", UNREADABLE, 0},
    {"{\"a\":1}", "/ab", UNREADABLE, 0},
    {"{\"a\":1}", "/a/b", UNREADABLE, 0},
    {"10", "", READ, 10},
    {"\"10.50\"", "", READ, 10.5},
    {"-3", "", READ, -3},
    {"1e3", "", READ, 1000},
    {"123456789012345678901234567890", "", READ, 123456789012345678901234567890.0},
    {"0", "", READ, 0},
    {"null", "", NONE, 0},
    {"{\"a\":null}", "/a", NONE, 0},
    {"{\"a\":null}", "/a/b", UNREADABLE, 0},
    {"{}", "/a", UNREADABLE, 0},
    {"true", "", UNREADABLE, 0},
    {"[]", "", UNREADABLE, 0},
    {"\"\"", "", UNREADABLE, 0},
    {"\"1,50\"", "", UNREADABLE, 0},
    {"\"$5\"", "", UNREADABLE, 0},
    {"\"[5]\"", "", UNREADABLE, 0},
    {"\"nan\"", "", UNREADABLE, 0},
    {"1e999", "", UNREADABLE, 0},
    {"\"1e999\"", "", UNREADABLE, 0},
    {"", "", UNREADABLE, 0},
    {"5 5", "", UNREADABLE, 0},
    {"{\"a\":1", "/a", UNREADABLE, 0},
    {"<html>503</html>", "/a", UNREADABLE, 0},
};

static void a_pointer_leads_to_a_number_or_to_nothing(void **unused)
{
    for (size_t i = 0; i < sizeof(pointers) / sizeof(*pointers); i++) {
        apipool_amount_t amount = {.amount = 0};
        apipool_balance_e result =
            read_exactly(pointers[i].body, pointers[i].pointer, NULL, &amount);
        if (result != pointers[i].result || amount.amount != pointers[i].amount) {
            fail_msg("%s in %s: %d, %g", pointers[i].pointer, pointers[i].body, (int)result,
                     amount.amount);
        }
        assert_string_equal(amount.currency, "");
    }
}

static const struct {
    const char *currency, *found;
} currencies[] = {
    {"EUR", "EUR"}, {"credits", "credits"}, {"/c", "USD"}, {"/none", ""}, {"/n", ""},
    {"/long", ""},  {"/odd", ""},           {"/", ""},     {NULL, ""},
};

static void a_currency_is_a_short_word_or_none(void **unused)
{
    static const char body[] =
        "{\"a\":1,\"c\":\"USD\",\"n\":5,\"long\":\"EIGHTYES\",\"odd\":\"a\\\"b\"}";
    for (size_t i = 0; i < sizeof(currencies) / sizeof(*currencies); i++) {
        apipool_amount_t amount = {.currency = "before"};
        assert_int_equal(read_exactly(body, "/a", currencies[i].currency, &amount), READ);
        assert_string_equal(amount.currency, currencies[i].found);
    }
}

static void what_an_operator_writes_is_checked(void **unused)
{
    double number = 0;
    assert_true(apipool_balance_is_pointer("") && apipool_balance_is_pointer("/a/0/~0~1"));
    assert_false(apipool_balance_is_pointer("a") || apipool_balance_is_pointer("/~") ||
                 apipool_balance_is_pointer("/~2"));
    assert_true(apipool_balance_is_currency("USD") && apipool_balance_is_currency("credits"));
    assert_false(apipool_balance_is_currency("") || apipool_balance_is_currency("EIGHTYES") ||
                 apipool_balance_is_currency("US D"));
    assert_true(apipool_balance_number("-0.25", &number) && number == -0.25);
    assert_false(apipool_balance_number("", &number) || apipool_balance_number("1 2", &number) ||
                 apipool_balance_number("0x10", &number) || apipool_balance_number("inf", &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_vendor_s_answer_is_read),
        cmocka_unit_test(a_pointer_leads_to_a_number_or_to_nothing),
        cmocka_unit_test(a_currency_is_a_short_word_or_none),
        cmocka_unit_test(what_an_operator_writes_is_checked),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
