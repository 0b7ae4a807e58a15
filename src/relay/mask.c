/* SPDX-License-Identifier: Apache-2.0
 * Keeps the lent key out of the bodies that an upstream sends. */
#include "mask.h"

#include "ascii.h"
#include "content_type.h"
#include "key.h"

#define WORD_MAX 15 /* a shorter key is a word such as "EMPTY", which a good answer may well hold */

int apipool_mask_is_for(const apipool_request_t *req)
{
    const request_rec *r = req->r;
    const char *type = r->content_type;
    if (r->status < 200 || r->status > 299 || req->gate.in_band) {
        return 1;
    }
    return req->attempt.lease->len > WORD_MAX && !apipool_content_is_encoded(r) &&
           (!type || apipool_ascii_find(type, "json") || apipool_content_is_of_type(r, "text/"));
}

static int is_end(const apr_bucket *b)
{
    return APR_BUCKET_IS_EOS(b) || AP_BUCKET_IS_EOC(b) || AP_BUCKET_IS_ERROR(b);
}

/* What was carried and a bucket become one, of our own, in the bucket's place. Returns its bytes. */
static char *take_over(apr_bucket_brigade *carry, apr_size_t carried, apr_bucket **b,
                       const char *data, apr_size_t len)
{
    apr_bucket *old = *b;
    char *text = apr_bucket_alloc(carried + len, old->list);
    apr_brigade_flatten(carry, text, &carried);
    apr_brigade_cleanup(carry);
    memcpy(text + carried, data, len);
    *b = apr_bucket_heap_create(text, carried + len, apr_bucket_free, old->list);
    APR_BUCKET_INSERT_BEFORE(old, *b);
    apr_bucket_delete(old);
    return text;
}

/* Returns what comes behind the bucket; NULL: it cannot be read. */
static apr_bucket *mask(apr_bucket_brigade *carry, apr_bucket *b, const apipool_lease_t *lease)
{
    const char *data;
    apr_size_t len;
    apr_off_t carried = 0;
    if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS ||
        apr_brigade_length(carry, 1, &carried) != APR_SUCCESS) {
        return NULL;
    }
    apr_size_t tail;
    if (carried || memmem(data, len, lease->key, lease->len)) {
        char *text = take_over(carry, (apr_size_t)carried, &b, data, len);
        data = text;
        len += (apr_size_t)carried;
        tail = apipool_key_overlap(text, len, lease->key, lease->len);
        apipool_key_redact(text, len, lease->key, lease->len);
    }
    else {
        tail = apipool_key_overlap(data, len, lease->key, lease->len);
    }
    apr_bucket *next = APR_BUCKET_NEXT(b);
    if (tail) {
        apr_brigade_write(carry, NULL, NULL, data + len - tail, tail);
        if (tail < len) {
            apr_bucket_split(b, len - tail);
            b = APR_BUCKET_NEXT(b);
        }
        apr_bucket_delete(b);
    }
    return next;
}

void apipool_mask_body(apipool_request_t *req, apr_bucket_brigade *bb)
{
    if (!req->gate.carry) {
        req->gate.carry = apr_brigade_create(req->r->pool, bb->bucket_alloc);
    }
    for (apr_bucket *b = APR_BRIGADE_FIRST(bb); b && b != APR_BRIGADE_SENTINEL(bb);) {
        if (!APR_BUCKET_IS_METADATA(b)) {
            b = mask(req->gate.carry, b, req->attempt.lease);
            continue;
        }
        while (is_end(b) && !APR_BRIGADE_EMPTY(req->gate.carry)) {
            apr_bucket *kept = APR_BRIGADE_FIRST(req->gate.carry);
            APR_BUCKET_REMOVE(kept);
            APR_BUCKET_INSERT_BEFORE(b, kept);
        }
        b = APR_BUCKET_NEXT(b);
    }
}
