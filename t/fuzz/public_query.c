/* SPDX-License-Identifier: Apache-2.0
 * Fuzz target: the public part of query strings, which a vendor gets. */
#include <string.h>

#include "fuzz.h"
#include "provider.h"

/* Tests whether the kept part is in the query in the same order, byte by byte. */
static int is_part_of(const char *kept, const char *args)
{
    for (; *args; args++) {
        kept += *kept == *args;
    }
    return !*kept;
}

static apr_size_t count_plain_keys(const char *args)
{
    apr_size_t count = 0;
    for (; args; args = strpbrk(args, "&;"), args = args ? args + 1 : NULL) {
        count += !strncmp(args, "key=", 4) || !strncmp(args, "access_token=", 13);
    }
    return count;
}

/* The first byte selects the vendor. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size) {
        return 0;
    }
    apr_pool_t *p = fuzz_pool();
    apipool_provider_e provider = (apipool_provider_e)(data[0] % APIPOOL_PROVIDER_COUNT);
    const char *args = fuzz_text(p, (const char *)data + 1, size - 1);
    const char *kept = apipool_provider_public_query(p, provider, args);
    MUST(kept == args || !kept || strlen(kept) < strlen(args));
    MUST(!count_plain_keys(args) || kept != args);
    MUST(!kept || (is_part_of(kept, args) && !count_plain_keys(kept)));
    MUST(!kept || apipool_provider_public_query(p, provider, kept) == kept);
    apipool_provider_is_private_field(provider, args);
    apr_pool_destroy(p);
    return 0;
}
