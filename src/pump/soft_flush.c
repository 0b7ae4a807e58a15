/* SPDX-License-Identifier: Apache-2.0
 * What is on its way to the client goes out, but nobody waits for a slow one. */
#include "soft_flush.h"

#include <apr_portable.h>
#include <http_core.h>
#include <util_filter.h>
#ifdef __linux__
#include <linux/sock_diag.h>
#include <sys/socket.h>
#endif

#define SPARE 4096 /* bytes of a send buffer that are not counted on */

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

/* What lies in a send buffer takes up to twice its size there. */
int apipool_soft_flush_is_needless(conn_rec *c, apr_off_t len)
{
#ifdef SO_MEMINFO
    apr_os_sock_t fd;
    unsigned memory[SK_MEMINFO_VARS];
    socklen_t size = sizeof(memory);
    return !c->data_in_output_filters &&
           apr_os_sock_get(&fd, ap_get_conn_socket(c)) == APR_SUCCESS &&
           getsockopt(fd, SOL_SOCKET, SO_MEMINFO, memory, &size) == 0 &&
           memory[SK_MEMINFO_WMEM_QUEUED] + 2 * len + SPARE <= memory[SK_MEMINFO_SNDBUF];
#else
    return 0;
#endif
}
