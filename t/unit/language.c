/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/text/language: Accept-Language by RFC 9110, and sentences with variable parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <apr_general.h>

#include "language.h"

static apr_pool_t *pool;

static const char *const tags[] = {"en", "zh-CN"};

enum { EN, ZH };

static const struct {
    const char *field;
    int chosen;
} fields[] = {
    {NULL, EN},
    {"", EN},
    {"en", EN},
    {"zh", ZH},
    {"ZH-cn", ZH},
    {"zh-CN,zh;q=0.9", ZH},
    {"zh-CN,zh;q=0.9,en;q=0.8", ZH},
    {"zh-TW", ZH},
    {"zh-Hans-CN, en;q=0.9", ZH},
    {"en-US,en;q=0.9,zh-CN;q=0.8", EN},
    {"en;q=0.8, zh;q=0.9", ZH},
    {"en;q=0.800, zh;q=0.801", ZH},
    {"de, zh;q=0.1", ZH},
    {"de, fr;q=0.5", EN},
    /* equal weights: the first wins */
    {"zh, en", ZH},
    {"en, zh", EN},
    {"en;q=0.5,zh;q=0.5", EN},
    /* not acceptable */
    {"zh;q=0", EN},
    {"zh-CN;q=0.000", EN},
    {"en;q=0, zh;q=0", EN},
    {"en;q=0, *", ZH},
    {"zh;q=0, *", EN},
    {"*", EN},
    {"*;q=0.5, zh;q=0.4", EN},
    {"*;q=0.4, zh;q=0.5", ZH},
    /* the closer range wins */
    {"zh-CN;q=0, zh, en;q=0.5", EN},
    {"zh-TW;q=0.9, zh-CN;q=0.1, en;q=0.5", EN},
    {"zh-TW;q=0, zh;q=0.9, en;q=0.5", ZH},
    /* blanks, and the case of "q" */
    {" \tzh \t; \tQ=0.9 ,\ten;q=0.1", ZH},
    {",,zh,,", ZH},
    /* malformed ranges are skipped */
    {"zh;q=2, en;q=0.1", EN},
    {"zh;q=-1", EN},
    {"zh;q=0.9999", EN},
    {"zh;q=1.1", EN},
    {"zh;q=1.000", ZH},
    {"zh;q=.5", EN},
    {"zh;q=", EN},
    {"zh;level=1", EN},
    {"zh q=1", EN},
    {"zhx, x-zh, z, zh_CN", EN},
    {"zh\xe4\xb8\xad", EN},
};

static void languages_are_chosen(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        if (apipool_language_choose(fields[i].field, tags, 2) != fields[i].chosen) {
            fail_msg("%s", fields[i].field);
        }
    }
}

static const apipool_phrase_t phrases[] = {
    {"Fixed.", "fest"},
    {"From {1} to {2}.", "bis {2} ab {1}"},
    {"{1}: {2} end", "<{1}|{2}>"},
    {"All of {1}", "{1}, {1} {x} {"},
    {"empty", "leer"},
    {NULL, NULL},
};

static const struct {
    const char *english, *translated;
} sentences[] = {
    {"Fixed.", "fest"},
    {"Fixed", "Fixed"},
    {"Fixed.!", "Fixed.!"},
    {"", ""},
    {"From 1 to 20.", "bis 20 ab 1"},
    {"From  to .", "bis  ab "},
    {"From 1 to 20", "From 1 to 20"},
    {"From 1 to 20 to 3.", "bis 20 to 3 ab 1"},
    {"From %s to {1}.", "bis {1} ab %s"},
    {"a: b end end", "<a|b end>"},
    {"All of ", ",  {x} {"},
    /* parts are translated too, once */
    {"All of empty", "leer, leer {x} {"},
    {"From empty to Fixed..", "bis fest ab leer"},
    {"All of From 1 to 2.", "bis 2 ab 1, bis 2 ab 1 {x} {"},
};

static void sentences_are_translated(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(sentences) / sizeof(*sentences); i++) {
        assert_string_equal(apipool_phrase_translate(phrases, sentences[i].english, pool),
                            sentences[i].translated);
    }
    const char *unknown = "Nobody knows this.";
    assert_ptr_equal(apipool_phrase_translate(phrases, unknown, pool), unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(languages_are_chosen),
        cmocka_unit_test(sentences_are_translated),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    apr_initialize();
    apr_pool_create(&pool, NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    apr_terminate();
    return failed;
}
