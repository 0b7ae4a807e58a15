/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: Accept-Language, and sentences with arbitrary parts. */
#include <string.h>

#include "fuzz.h"
#include "language.h"

static const char *const tags[] = {"en", "zh-CN", "de"};

static const apipool_phrase_t phrases[] = {
    {"From {1} to {2}.", "{2} - {1}"},
    {"({1})", "[{1}]"},
    {NULL, NULL},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const char *text = fuzz_text(p, (const char *)data, size);
    int chosen = apipool_language_choose(text, tags, 3);
    MUST(chosen >= 0 && chosen < 3);
    MUST(!chosen || strpbrk(text, "zZdD*"));
    if (size < 512) {
        const char *made = apipool_phrase_translate(phrases, text, p);
        MUST(made == text || *text == 'F' || *text == '(');
    }
    apr_pool_destroy(p);
    return 0;
}
