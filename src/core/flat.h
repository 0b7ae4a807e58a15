/* SPDX-License-Identifier: Apache-2.0
 * Numbers as rows of integers, for records: what is counted, written out and read back. */
#ifndef APIPOOL_CORE_FLAT_H
#define APIPOOL_CORE_FLAT_H

#include "numbers.h"
#include "window.h"

/* Each kind takes a fixed number of places in a row, in an order that never changes; what is added later
 * goes to the end of a record's row, and readers of shorter rows find zeros there. Writers return the place
 * behind what they wrote. Readers make something sane of any row: averages are finite and not negative,
 * counts are cut to what their place can hold. Thread-safe; the caller owns both sides. */

#define APIPOOL_FLAT_WINDOW    (1 + APIPOOL_WINDOW_BUCKETS)
#define APIPOOL_FLAT_COUNTS    14
#define APIPOOL_FLAT_NUMBERS   (APIPOOL_FLAT_COUNTS + APIPOOL_NUMBERS_WINDOWS * APIPOOL_FLAT_WINDOW)
#define APIPOOL_FLAT_HISTOGRAM (APIPOOL_HISTOGRAM_BUCKETS + 2)

apr_uint64_t *apipool_flat_window(apr_uint64_t *row, const apipool_window_t *window);
apr_uint64_t *apipool_flat_counts(apr_uint64_t *row, const apipool_counts_t *counts);
apr_uint64_t *apipool_flat_numbers(apr_uint64_t *row, const apipool_numbers_t *numbers);
apr_uint64_t *apipool_flat_histogram(apr_uint64_t *row, const apipool_histogram_t *histogram);

const apr_uint64_t *apipool_unflat_window(const apr_uint64_t *row, apipool_window_t *window);
const apr_uint64_t *apipool_unflat_counts(const apr_uint64_t *row, apipool_counts_t *counts);
const apr_uint64_t *apipool_unflat_numbers(const apr_uint64_t *row, apipool_numbers_t *numbers);
const apr_uint64_t *apipool_unflat_histogram(const apr_uint64_t *row,
                                             apipool_histogram_t *histogram);

/** A value that fits 32 bits: itself, or the largest one. */
apr_uint32_t apipool_flat_u32(apr_uint64_t value);

#endif
