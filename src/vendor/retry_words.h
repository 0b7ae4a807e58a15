/* SPDX-License-Identifier: Apache-2.0
 * Reads when to retry from the words of an error message. */
#ifndef APIPOOL_VENDOR_RETRY_WORDS_H
#define APIPOOL_VENDOR_RETRY_WORDS_H

#include <apr_time.h>

/**
 * Finds a time such as "try again in 6m0s", "reset after 2h9m16s" or "retry after 5 seconds" in a
 * message, outside quotation marks: vendors quote what the client sent. For answers that tell the
 * time nowhere else. Pure, thread-safe.
 * @return microseconds from now, or -1 if there is none
 */
apr_interval_time_t apipool_retry_words(const char *message);

#endif
