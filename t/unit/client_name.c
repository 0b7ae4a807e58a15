/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/core/client_name: normal form, and faults by code point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "client_name.h"

static apr_pool_t *pool;

#define E_ACUTE    "\xc3\xa9"
#define E_AND_MARK "e\xcc\x81"

static const struct {
    const char *text, *name;
} forms[] = {
    {"alice", "alice"},
    {E_ACUTE, E_ACUTE},
    {E_AND_MARK, E_ACUTE},
    {"\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c"}, /* Hangul jamo to one syllable */
    {"\xe2\x84\xab", "\xc3\x85"},                             /* angstrom sign */
    {"\xef\xa4\x80", "\xe8\xb1\x88"},                         /* CJK compatibility ideograph */
    {"\xef\xbc\xa1", "\xef\xbc\xa1"},                         /* a wide A stays wide */
    {"\xff", "\xff"},                                         /* not UTF-8 */
    {"", ""},
};

static void names_have_one_form(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        assert_string_equal(apipool_client_name_normalise(forms[i].text, pool), forms[i].name);
    }
}

static void letters_of_any_script_are_allowed(void **unused)
{
    static const char *const good[] = {
        "alice",
        "a b",
        "x@example.org",
        "-_.~!#$%&()*+,:;<=>?[]^{|}",
        "\xe5\xbc\xa0\xe4\xb8\x89",                                     /* Chinese */
        "\xd0\x98\xd0\xb2\xd0\xb0\xd0\xbd 2",                           /* Cyrillic */
        "\xe0\xa4\xb9\xe0\xa4\xbf\xe0\xa4\xa8\xe0\xa5\x8d\xe0\xa4\xa6", /* Devanagari, with marks */
        "\xd8\xb9\xd9\x84\xd9\x8a\xd9\xa3",                             /* Arabic, and a digit */
        "\xf0\xa0\xae\xb7",                                             /* beyond the basic plane */
        "\xe2\x85\xa7\xc2\xbd",                                         /* numbers */
    };
    (void)unused;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_null(apipool_client_name_fault(good[i], pool));
    }
}

static const struct {
    const char *name, *fault;
} bad[] = {
    {"", "1 to 63 bytes"},
    {"\xff", "1 to 63 bytes"},
    {"a\xed\xa0\x80", "1 to 63 bytes"}, /* half a surrogate */
    {" a", "begin or end with a blank"},
    {"a ", "begin or end with a blank"},
    {".a", "begin with '.'"},
    {"a/b", "U+002F"},
    {"a\"b", "U+0022"},
    {"a'b", "U+0027"},
    {"a`b", "U+0060"},
    {"a\\b", "U+005C"},
    {"a\tb", "U+0009"},
    {"a\x7f", "U+007F"},
    {"a\xc2\x85", "U+0085"},
    {"a\xc2\xa0"
     "b",
     "U+00A0"}, /* no-break space */
    {"a\xe3\x80\x80"
     "b",
     "U+3000"}, /* ideographic space */
    {"a\xe2\x80\xa8"
     "b",
     "U+2028"}, /* line separator */
    {"a\xe2\x80\xae"
     "b",
     "U+202E"}, /* right-to-left override */
    {"a\xe2\x80\x8b"
     "b",
     "U+200B"}, /* zero-width space */
    {"a\xe2\x80\x8d"
     "b",
     "U+200D"}, /* zero-width joiner */
    {"a\xef\xbb\xbf", "U+FEFF"},
    {"a\xef\xb8\x80", "U+FE00"},       /* variation selector: an invisible mark */
    {"\xe3\x85\xa4", "U+3164"},        /* Hangul filler: an invisible letter */
    {"a\xee\x80\x80", "U+E000"},       /* private use */
    {"a\xcd\xb8", "U+0378"},           /* not assigned */
    {"a\xf4\x8f\xbf\xbf", "U+10FFFF"}, /* no character */
    {"a\xf0\x9f\x94\x91", "U+1F511"},  /* a symbol */
    {"a\xef\xbc\x8c"
     "b",
     "U+FF0C"}, /* punctuation outside ASCII */
};

static void what_is_wrong_is_named(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        const char *fault = apipool_client_name_fault(bad[i].name, pool);
        assert_non_null(fault);
        assert_non_null(strstr(fault, bad[i].fault));
    }
}

static void bytes_are_counted_in_the_form_that_is_kept(void **unused)
{
    char text[256] = "";
    (void)unused;
    for (int i = 0; i < 31; i++) {
        strcat(text, E_AND_MARK);
    }
    const char *name = apipool_client_name_normalise(text, pool);
    assert_int_equal(strlen(name), 62);
    assert_null(apipool_client_name_fault(name, pool));
    name = apr_pstrcat(pool, name, "x", NULL);
    assert_null(apipool_client_name_fault(name, pool));
    assert_non_null(apipool_client_name_fault(apr_pstrcat(pool, name, "x", NULL), pool));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_one_form),
        cmocka_unit_test(letters_of_any_script_are_allowed),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(bytes_are_counted_in_the_form_that_is_kept),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
