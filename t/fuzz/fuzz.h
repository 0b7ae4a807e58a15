/* SPDX-License-Identifier: Apache-2.0
 * What every fuzz target defines, called by libFuzzer or by replay.c. */
#ifndef APIPOOL_FUZZ_H
#define APIPOOL_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert, but there whatever NDEBUG says. */
#define MUST(condition)                                                                            \
    ((condition)                                                                                   \
         ? (void)0                                                                                 \
         : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition), abort()))

#endif
