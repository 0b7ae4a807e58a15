/* SPDX-License-Identifier: Apache-2.0
 * Reads when to retry from the words of an error message. */
#ifndef APIPOOL_VENDOR_RETRY_WORDS_H
#define APIPOOL_VENDOR_RETRY_WORDS_H

#include "provider.h"

/**
 * Finds a time such as "try again in 6m0s", "reset after 2h9m16s" or "reset at 2026-11-22 23:00:00"
 * in a message, outside quotation marks: vendors quote what the client sent. For answers that tell
 * the time nowhere else. A date without a zone is read only where the vendor's zone is known. Pure,
 * thread-safe.
 * @return microseconds from now, the longest time; -1 if there is none
 */
apr_interval_time_t apipool_retry_words(const char *message, apipool_provider_e provider,
                                        apr_time_t now);

#endif
