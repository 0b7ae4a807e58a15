/* SPDX-License-Identifier: Apache-2.0
 * Idle connections to upstreams, which may close them at any time. */
#include "idle_conns.h"

#include <apr_reslist.h>
#include <poll.h>

#define FD_MAX    65536 /* connections beyond are left to mod_proxy */
#define POLL_MAX  256   /* that one call looks at */
#define SWEEP_MAX 256   /* of a worker, at once */

#ifndef POLLRDHUP
#define POLLRDHUP POLLIN
#endif

/* By file descriptor. One that was closed behind our back costs one look too many. */
static proxy_worker *idle[FD_MAX];
static int idle_end; /* the highest one that was ever noted, and one */

static proxy_worker *take(int fd)
{
    return __atomic_exchange_n(&idle[fd], NULL, __ATOMIC_RELAXED);
}

void apipool_idle_conns_note(int fd, proxy_worker *worker)
{
    if (fd < 0 || fd >= FD_MAX || !worker->cp->res) {
        return;
    }
    __atomic_store_n(&idle[fd], worker, __ATOMIC_RELEASE);
    int end = __atomic_load_n(&idle_end, __ATOMIC_RELAXED);
    while (fd >= end && !__atomic_compare_exchange_n(&idle_end, &end, fd + 1, 0, __ATOMIC_RELAXED,
                                                     __ATOMIC_RELAXED)) {
    }
}

void apipool_idle_conns_forget(int fd)
{
    if (fd >= 0 && fd < FD_MAX) {
        __atomic_store_n(&idle[fd], NULL, __ATOMIC_RELAXED);
    }
}

/* Takes the idle connections of a worker out of its pool, looks at them, and gives them back.
 * Requests need not wait: half of the places stay free. */
static void sweep(proxy_worker *worker)
{
    proxy_conn_rec *conns[SWEEP_MAX];
    int count = 0, is_last = 0;
    while (count < SWEEP_MAX && !is_last &&
           (int)apr_reslist_acquired_count(worker->cp->res) * 2 < worker->s->hmax &&
           ap_proxy_acquire_connection(worker->s->scheme, &conns[count], worker, ap_server_conf) ==
               OK) {
        proxy_conn_rec *conn = conns[count++];
        is_last = !conn->sock; /* a place without a connection */
        if (!is_last && ap_proxy_check_connection(worker->s->scheme, conn, ap_server_conf, 0,
                                                  PROXY_CHECK_CONN_EMPTY) != APR_SUCCESS) {
            conn->close = 1;
        }
    }
    while (count) {
        ap_proxy_release_connection(worker->s->scheme, conns[--count], ap_server_conf);
    }
}

/* Looks at those between two descriptors without waiting. */
static void look(const struct pollfd *at, nfds_t count)
{
    for (nfds_t i = 0; i < count; i++) {
        proxy_worker *worker = at[i].revents ? take(at[i].fd) : NULL;
        if (worker && !(at[i].revents & POLLNVAL)) {
            sweep(worker);
        }
    }
}

void apipool_idle_conns_sweep(void)
{
    int end = __atomic_load_n(&idle_end, __ATOMIC_RELAXED);
    const proxy_worker *tended = NULL;
    for (int fd = 0; fd < end;) {
        struct pollfd at[POLL_MAX];
        nfds_t count = 0;
        for (; fd < end && count < POLL_MAX; fd++) {
            const proxy_worker *worker = __atomic_load_n(&idle[fd], __ATOMIC_ACQUIRE);
            if (worker && worker != tended) {
                apr_reslist_maintain(worker->cp->res); /* its ttl */
                tended = worker;
            }
            if (worker) {
                at[count++] = (struct pollfd){.fd = fd, .events = POLLRDHUP};
            }
        }
        if (poll(at, count, 0) > 0) {
            look(at, count);
        }
    }
}
