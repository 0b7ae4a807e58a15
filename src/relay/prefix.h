/* SPDX-License-Identifier: Apache-2.0
 * Names of fields and types in foreign text, in any case. */
#ifndef APIPOOL_RELAY_PREFIX_H
#define APIPOOL_RELAY_PREFIX_H

#include <httpd.h>
#include <string.h>

/**
 * Whether text begins so, in any case of ASCII letters and whatever the locale. What is spelt as it is here,
 * as most is, is found faster.
 * @param len of prefix
 */
static inline int apipool_has_prefix(const char *text, const char *prefix, apr_size_t len)
{
    return !strncmp(text, prefix, len) || !ap_cstr_casecmpn(text, prefix, len);
}

#endif
