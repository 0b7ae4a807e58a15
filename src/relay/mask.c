/* SPDX-License-Identifier: Apache-2.0
 * Keeps the lent key out of the bodies that an upstream sends. */
#include "mask.h"

#include "ascii.h"
#include "key.h"
#include "prefix.h"

#define WORD_MAX 15 /* a shorter key is a word such as "EMPTY", which a good answer may well hold */

int apipool_mask_is_for(const apipool_request_t *req)
{
    const request_rec *r = req->r;
    const char *type = r->content_type;
    if (r->status < 200 || r->status > 299 || req->gate.in_band) {
        return 1;
    }
    return req->attempt.lease->len > WORD_MAX && !apipool_gate_is_encoded(r) &&
           (!type || apipool_ascii_find(type, "json") || apipool_gate_is_of_type(r, "text/"));
}

static int is_end(const apr_bucket *b)
{
    return APR_BUCKET_IS_EOS(b) || AP_BUCKET_IS_EOC(b) || AP_BUCKET_IS_ERROR(b);
}

/* The next bucket with bytes; *end is set where nothing comes after what has come. */
static apr_bucket *next_data(apr_bucket_brigade *bb, apr_bucket *b, int *end)
{
    while (b != APR_BRIGADE_SENTINEL(bb) && APR_BUCKET_IS_METADATA(b)) {
        *end |= is_end(b);
        b = APR_BUCKET_NEXT(b);
    }
    return b;
}

/* Puts a bucket of len bytes where another one was. */
static apr_bucket *replace(apr_bucket *old, char *text, apr_size_t len)
{
    apr_bucket *b = apr_bucket_heap_create(text, len, apr_bucket_free, old->list);
    APR_BUCKET_INSERT_BEFORE(old, b);
    apr_bucket_delete(old);
    return b;
}

static apr_bucket *redact(apr_bucket *b, const char *text, apr_size_t len,
                          const apipool_lease_t *lease)
{
    if (!memmem(text, len, lease->key, lease->len)) {
        return b;
    }
    char *copy = apr_bucket_alloc(len, b->list);
    memcpy(copy, text, len);
    apipool_key_redact(copy, len, lease->key, lease->len);
    return replace(b, copy, len);
}

/* The last bytes of a bucket that may be the beginning of a key, and those of the bucket that follows. */
static apr_bucket *join(apr_bucket *tail, apr_bucket *b)
{
    const char *parts[2];
    apr_size_t lens[2];
    if (apr_bucket_read(tail, &parts[0], &lens[0], APR_BLOCK_READ) != APR_SUCCESS ||
        apr_bucket_read(b, &parts[1], &lens[1], APR_BLOCK_READ) != APR_SUCCESS) {
        return b;
    }
    char *text = apr_bucket_alloc(lens[0] + lens[1], b->list);
    memcpy(text, parts[0], lens[0]);
    memcpy(text + lens[0], parts[1], lens[1]);
    apr_bucket_delete(tail);
    return replace(b, text, lens[0] + lens[1]);
}

static void leave_behind(apipool_request_t *req, apr_bucket *tail)
{
    const char *text;
    apr_size_t len;
    if (apr_bucket_read(tail, &text, &len, APR_BLOCK_READ) == APR_SUCCESS) {
        apr_brigade_write(req->gate.carry, NULL, NULL, text, len);
        apr_bucket_delete(tail);
    }
}

void apipool_mask_body(apipool_request_t *req, apr_bucket_brigade *bb)
{
    const apipool_lease_t *lease = req->attempt.lease;
    int end = 0;

    if (!req->gate.carry) {
        req->gate.carry = apr_brigade_create(req->r->pool, bb->bucket_alloc);
    }
    APR_BRIGADE_PREPEND(bb, req->gate.carry);
    apr_bucket *b = next_data(bb, APR_BRIGADE_FIRST(bb), &end);
    while (b != APR_BRIGADE_SENTINEL(bb)) {
        const char *text;
        apr_size_t len;
        if (apr_bucket_read(b, &text, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            return;
        }
        apr_size_t tail = apipool_key_overlap(text, len, lease->key, lease->len);
        b = redact(b, text, len, lease);
        if (tail && tail < len) {
            apr_bucket_split(b, len - tail);
            b = APR_BUCKET_NEXT(b);
        }
        apr_bucket *next = next_data(bb, APR_BUCKET_NEXT(b), &end);
        if (!tail) {
            b = next;
        }
        else if (next != APR_BRIGADE_SENTINEL(bb)) {
            b = join(b, next);
        }
        else {
            if (!end) {
                leave_behind(req, b);
            }
            return;
        }
    }
}
