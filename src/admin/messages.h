/* SPDX-License-Identifier: Apache-2.0
 * What the API says to people, by language. */
#ifndef APIPOOL_ADMIN_MESSAGES_H
#define APIPOOL_ADMIN_MESSAGES_H

#include "language.h"

/* A row for each sentence; t/check_messages knows where they come from. */
extern const apipool_phrase_t apipool_messages_zh[];
extern const apr_size_t apipool_messages_zh_count;

#endif
