/* SPDX-License-Identifier: Apache-2.0
 * What is on its way to the client goes out, but nobody waits for a slow one. */
#include "soft_flush.h"

#include <apr_portable.h>
#include <http_core.h>
#include <util_filter.h>
#ifdef __linux__
#include <linux/sockios.h>
#include <sys/ioctl.h>
#endif

#define FEW 8192 /* bytes that an empty send buffer takes in any case */

static apr_status_t read_nothing(apr_bucket *b, const char **text, apr_size_t *len,
                                 apr_read_type_e block)
{
    *text = NULL;
    *len = 0;
    return APR_SUCCESS;
}

static const apr_bucket_type_t type = {"APIPOOL_SOFT_FLUSH",
                                       5, /* functions */
                                       APR_BUCKET_METADATA,
                                       apr_bucket_destroy_noop,
                                       read_nothing,
                                       apr_bucket_setaside_noop,
                                       apr_bucket_split_notimpl,
                                       apr_bucket_simple_copy};

apr_bucket *apipool_soft_flush_bucket(apr_bucket_alloc_t *alloc)
{
    apr_bucket *b = apr_bucket_alloc(sizeof(*b), alloc);
    APR_BUCKET_INIT(b);
    b->free = apr_bucket_free;
    b->list = alloc;
    b->type = &type;
    b->length = 0;
    b->start = 0;
    b->data = NULL;
    return b;
}

/* As the MPM does: the last filter is called without a brigade. */
apr_status_t apipool_soft_flush(conn_rec *c)
{
    ap_filter_t *f = c->output_filters;
    while (f->next) {
        f = f->next;
    }
    return f->frec->filter_func.out_func(f, NULL);
}

int apipool_soft_flush_is_needless(conn_rec *c, apr_off_t len)
{
#ifdef SIOCOUTQ
    apr_os_sock_t fd;
    int unsent = 0;
    return len <= FEW && !c->data_in_output_filters &&
           apr_os_sock_get(&fd, ap_get_conn_socket(c)) == APR_SUCCESS &&
           ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent == 0;
#else
    return 0;
#endif
}
