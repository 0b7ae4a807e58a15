/* SPDX-License-Identifier: Apache-2.0
 * Names of fields and types in foreign text, in any case, and what type an answer is of. */
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

/** Whether an answer is of that type, and whether it is compressed, so that nobody can read it here. */
static inline int apipool_gate_is_of_type(const request_rec *r, const char *type)
{
    return r->content_type && apipool_has_prefix(r->content_type, type, strlen(type));
}

static inline int apipool_gate_is_encoded(const request_rec *r)
{
    const char *encoding = apr_table_get(r->headers_out, "Content-Encoding");
    return encoding && ap_cstr_casecmp(encoding, "identity");
}

#endif
