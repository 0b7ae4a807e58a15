/* SPDX-License-Identifier: Apache-2.0
 * Large pages for what is read at random: a processor cannot keep in mind where many small ones lie; and
 * pages that no core dump shows. */
#ifndef APIPOOL_STATE_PAGES_H
#define APIPOOL_STATE_PAGES_H

#include <apr_pools.h>

/* Linux puts small pages together into a large one when it is asked to, whatever is set for memory that does
 * not ask, if they lie where a large one could be. Elsewhere, and where that fails, all stays as it is. */

#define APIPOOL_PAGES_LARGE ((apr_size_t)2 * 1024 * 1024)

/**
 * Shared memory seen from an address at which large pages can be: the same bytes, twice in the address space.
 * The second address stays until the process ends. A pool could not take it back: the segment's outlives this
 * code, which httpd unloads before it ends.
 * @param memory as it was mapped, from the beginning of a page on
 * @return memory itself where there is none
 */
char *apipool_pages_align(char *memory, apr_size_t size);

/**
 * Makes large pages, as many as that at most, of small ones that are full: of memory that is filled from its
 * beginning on, behind those bytes for which it has been done. Each takes milliseconds, in which the
 * processor serves nobody else; not for where one holds a lock. All bytes stay, others may read and write
 * them meanwhile.
 * @param from   what the call before has returned, 0 at first
 * @param filled bytes, more than before or as many
 * @return how many bytes need not be looked at again
 */
apr_size_t apipool_pages_enlarge(char *memory, apr_size_t from, apr_size_t filled, int most);

/** Leaves mapped memory out of core dumps, of this process and of those that it forks, where that can be. */
void apipool_pages_conceal(char *memory, apr_size_t size);

/**
 * Memory of its own pages, all zeros, that is left out of core dumps.
 * @param pool unmaps it
 * @return NULL when there is none
 */
void *apipool_pages_concealed(apr_size_t size, apr_pool_t *pool);

#endif
