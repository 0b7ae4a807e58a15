/* SPDX-License-Identifier: Apache-2.0
 * Lists of a pool's keys by filter, and their sorting by page. */
#include "listing.h"

#include <apr_strings.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ascii.h"
#include "throttle.h"

#define COMPARED_AT_ONCE 512 /* takes some microseconds */

/* Text to search for, ignoring case. */
typedef struct {
    const char *text;
    apr_size_t len;    /* 0: no text */
    apr_uint64_t id;   /* of the key that the text may be */
    char lower, upper; /* first character */
} needle_t;

/* State of a listing. */
typedef struct {
    apipool_segment_t *segment;
    needle_t needle;
    apipool_key_sort_e sort;
    const double *ranks; /* by upstream, for a sort by upstream */
    apr_array_header_t *listed;
} listing_t;

static int is_by_text(apipool_key_sort_e sort)
{
    return sort == APIPOOL_SORT_LABEL || sort == APIPOOL_SORT_ACCOUNT;
}

/* Compares first characters before anything else, as millions of characters are searched. */
static int has_text(const char *where, const needle_t *needle)
{
    for (; *where; where++) {
        if ((*where == needle->lower || *where == needle->upper) &&
            !apr_cstr_casecmpn(where, needle->text, needle->len)) {
            return 1;
        }
    }
    return 0;
}

static int matches(const apipool_view_row_t *row, const needle_t *needle)
{
    char id[APIPOOL_ID_SIZE];
    if (!needle->len) {
        return 1;
    }
    apipool_key_id_hex(row->id, id);
    return row->id == needle->id || has_text(id, needle) || has_text(row->masked, needle) ||
           has_text(row->label, needle) || has_text(row->account, needle);
}

static void add(const listing_t *listing, const apipool_view_row_t *row)
{
    apipool_listed_t *listed = apr_array_push(listing->listed);
    const char *text = listing->sort == APIPOOL_SORT_LABEL ? row->label : row->account;
    listed->id = row->id;
    listed->slot = row->slot;
    listed->value = listing->ranks ? listing->ranks[row->upstream] : row->value;
    listed->text =
        is_by_text(listing->sort) && *text ? apr_pstrdup(listing->listed->pool, text) : NULL;
}

/* Rank of each upstream of a pool by name. */
static double *rank_upstreams(const apipool_segment_t *segment, apr_uint32_t pool, apr_pool_t *p)
{
    double *ranks = apr_pcalloc(p, APIPOOL_UPSTREAMS_MAX * sizeof(*ranks));
    for (apr_uint32_t i = apipool_view_next_upstream(segment, pool, 0); i != APIPOOL_NONE;
         i = apipool_view_next_upstream(segment, pool, i + 1)) {
        for (apr_uint32_t other = apipool_view_next_upstream(segment, pool, 0);
             other != APIPOOL_NONE; other = apipool_view_next_upstream(segment, pool, other + 1)) {
            ranks[i] += strcmp(apipool_view_upstream_name(segment, other),
                               apipool_view_upstream_name(segment, i)) < 0;
        }
    }
    return ranks;
}

/* Reserves room for all keys, which costs nothing until used; growing would take a long step. */
static apr_array_header_t *make_list(const apipool_segment_t *segment, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 1, sizeof(apipool_listed_t));
    list->nalloc = (int)apipool_segment_keys(segment) + 1;
    list->elts = apr_palloc(p, (apr_size_t)list->nalloc * sizeof(apipool_listed_t));
    return list;
}

static apr_status_t find_all(const listing_t *listing, const apipool_view_query_t *query,
                             apr_pool_t *p)
{
    apipool_view_row_t *rows = apr_palloc(p, APIPOOL_VIEW_BATCH * sizeof(*rows));
    apr_uint32_t from = 0, count;
    while (from != APIPOOL_NONE) {
        apr_status_t rv = apipool_view_rows(listing->segment, query, &from, rows, &count);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        apipool_segment_give_way(listing->segment);
        for (apr_uint32_t i = 0; i < count; i++) {
            if (matches(&rows[i], &listing->needle)) {
                add(listing, &rows[i]);
            }
        }
    }
    return APR_SUCCESS;
}

apr_status_t apipool_listing_find(apipool_segment_t *segment, apr_uint32_t pool,
                                  const apipool_key_filter_t *filter, apipool_key_sort_e sort,
                                  apr_time_t now, apr_pool_t *p, apr_array_header_t **listed)
{
    apipool_view_query_t query = {.pool = pool,
                                  .upstream = APIPOOL_NONE,
                                  .states = filter->states,
                                  .value = sort,
                                  .now = now};
    const char *text = filter->text ? filter->text : "";
    listing_t listing = {.segment = segment,
                         .needle = {.text = text,
                                    .len = strlen(text),
                                    .lower = apipool_ascii_lower(*text),
                                    .upper = apipool_ascii_upper(*text)},
                         .sort = sort};
    listing.needle.id = *text ? apipool_segment_key_id(segment, text, listing.needle.len) : 0;
    *listed = listing.listed = make_list(segment, p);
    if (filter->upstream) {
        query.upstream = apipool_view_find_upstream(segment, pool, filter->upstream);
        if (query.upstream == APIPOOL_NONE) {
            return APR_SUCCESS;
        }
    }
    if (*text) {
        query.texts = APIPOOL_VIEW_MASKED | APIPOOL_VIEW_LABEL | APIPOOL_VIEW_ACCOUNT;
    }
    query.texts |= sort == APIPOOL_SORT_LABEL     ? APIPOOL_VIEW_LABEL
                   : sort == APIPOOL_SORT_ACCOUNT ? APIPOOL_VIEW_ACCOUNT
                                                  : 0;
    listing.ranks = sort == APIPOOL_SORT_UPSTREAM ? rank_upstreams(segment, pool, p) : NULL;
    return find_all(&listing, &query, p);
}

/* Order of the elements of a list. */
typedef struct {
    int by_text, by_id;
    int sign;            /* -1: descending */
    unsigned compared;   /* comparisons so far */
    apr_uint32_t random; /* generator for pivots */
} order_t;

static int by_id(const apipool_listed_t *a, const apipool_listed_t *b)
{
    return (a->id > b->id) - (a->id < b->id);
}

/* Texts that differ only in case are ordered, too. */
static int by_text(const char *a, const char *b)
{
    int order = apr_cstr_casecmp(a, b);
    return order ? order : strcmp(a, b);
}

static int compare(const apipool_listed_t *a, const apipool_listed_t *b, order_t *order)
{
    if (++order->compared % COMPARED_AT_ONCE == 0) {
        apipool_throttle();
    }
    int a_known = order->by_text ? a->text != NULL : !isnan(a->value);
    int b_known = order->by_text ? b->text != NULL : !isnan(b->value);
    int result;
    if (order->by_id) {
        return order->sign * by_id(a, b);
    }
    if (!a_known || !b_known) {
        result = b_known - a_known;
    }
    else {
        result = order->sign * (order->by_text ? by_text(a->text, b->text)
                                               : (a->value > b->value) - (a->value < b->value));
    }
    return result ? result : by_id(a, b);
}

static void swap(apipool_listed_t *a, apipool_listed_t *b)
{
    apipool_listed_t kept = *a;
    *a = *b;
    *b = kept;
}

/* Quicksort (Hoare, 1961) of the parts that reach into the page, as in his quickselect. Random
 * pivots avoid bad cases. */
static void sort_page(apipool_listed_t *all, apr_int64_t low, apr_int64_t high, apr_int64_t from,
                      apr_int64_t end, order_t *order)
{
    while (low < high && low < end && high >= from) {
        apr_int64_t i = low - 1, j = high + 1;
        order->random = order->random * 1664525 + 1013904223; /* Numerical Recipes */
        apipool_listed_t pivot = all[low + order->random % (high - low)];
        for (;;) {
            do {
                i++;
            } while (compare(&all[i], &pivot, order) < 0);
            do {
                j--;
            } while (compare(&all[j], &pivot, order) > 0);
            if (i >= j) {
                break;
            }
            swap(&all[i], &all[j]);
        }
        sort_page(all, low, j, from, end, order);
        low = j + 1;
    }
}

apr_uint32_t apipool_listing_sort(apr_array_header_t *listed, apipool_key_sort_e sort,
                                  int descending, apr_uint32_t offset, apr_uint32_t limit)
{
    order_t order = {.by_text = is_by_text(sort),
                     .by_id = sort == APIPOOL_SORT_ID,
                     .sign = descending ? -1 : 1,
                     .random = (apr_uint32_t)apr_time_now()};
    apr_uint32_t count = (apr_uint32_t)listed->nelts;
    apr_uint32_t left = offset < count ? count - offset : 0;
    apr_uint32_t shown = left < limit ? left : limit;
    if (shown) {
        sort_page((apipool_listed_t *)listed->elts, 0, (apr_int64_t)count - 1, offset,
                  (apr_int64_t)offset + shown, &order);
    }
    return shown;
}
