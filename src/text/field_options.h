/* SPDX-License-Identifier: Apache-2.0
 * Lists of tokens in a field, as Connection has them (RFC 9110 sections 5.6.1 and 7.6.1). */
#ifndef APIPOOL_TEXT_FIELD_OPTIONS_H
#define APIPOOL_TEXT_FIELD_OPTIONS_H

/** Whether a list names a token, in any case. list may be NULL. */
int apipool_field_options_name(const char *list, const char *token);

#endif
