/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: names of clients. */
#include <string.h>

#include "client_name.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const char *text = fuzz_text(p, (const char *)data, size);
    const char *name = apipool_client_name_normalise(text, p);
    MUST(!strcmp(apipool_client_name_normalise(name, p), name));
    const char *fault = apipool_client_name_fault(name, p);
    MUST(fault || (*name && *name != '.' && strlen(name) < APIPOOL_CLIENT_NAME_SIZE));
    MUST(fault || !strpbrk(name, "\"'`/\\\n\x7f"));
    apr_pool_destroy(p);
    return 0;
}
