/* SPDX-License-Identifier: Apache-2.0
 * Of what type an answer is, and whether it can be read. */
#ifndef APIPOOL_RELAY_CONTENT_TYPE_H
#define APIPOOL_RELAY_CONTENT_TYPE_H

#include <httpd.h>
#include <string.h>

/** Whether an answer is of that type. What is spelt as it is here, as most is, is found faster. */
static inline int apipool_content_is_of_type(const request_rec *r, const char *type)
{
    apr_size_t len = strlen(type);
    return r->content_type &&
           (!strncmp(r->content_type, type, len) || !ap_cstr_casecmpn(r->content_type, type, len));
}

/** How it is compressed; NULL if it is not. */
static inline const char *apipool_content_coding(const request_rec *r)
{
    const char *encoding = apr_table_get(r->headers_out, "Content-Encoding");
    return encoding && ap_cstr_casecmp(encoding, "identity") ? encoding : NULL;
}

/** Whether it is compressed, so that it can only be read by decoding a copy. */
static inline int apipool_content_is_encoded(const request_rec *r)
{
    return apipool_content_coding(r) != NULL;
}

#endif
