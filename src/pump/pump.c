/* SPDX-License-Identifier: Apache-2.0
 * A thread that drives suspended requests: it waits for the sockets of all, and never for one. */
#include "pump.h"

#ifdef APIPOOL_CAN_SUSPEND

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <apr_thread_proc.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "monotonic.h"

#define EVENTS     64
#define LOOK_AGAIN apr_time_from_sec(1)
#define RESTS      apr_time_from_msec(10) /* between two looks at all seats */
#define COUNTED    apr_time_from_msec(10)
#define BUSY       2000 /* events a second */
#define REST       apr_time_from_msec(4)

APR_RING_HEAD(seat_ring_t, apipool_seat_t);

struct apipool_pump_t {
    int epoll, wake; /* descriptors */
    apr_thread_t *thread;

    /* the thread's own */
    struct seat_ring_t seats;
    apr_time_t next_look; /* at all of them */
    struct epoll_event events[EVENTS];
    int event_count;
    apr_time_t counted_since;
    apr_int64_t events_counted; /* since then */
    int is_busy;

    apr_thread_mutex_t *mutex;       /* of what follows, and of some of each seat */
    apr_thread_cond_t *handed_back;  /* a seat that was wanted */
    struct seat_ring_t inbox, ended; /* to be taken by the thread; to be taken by the MPM */
    int is_stopping, is_stopped;
    int wants_some; /* back */
};

static void keep_watch(apipool_seat_t *seat, unsigned *interest, int is_client, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = &seat->ends[is_client]};
    int op = !*interest ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    if (*interest != events) {
        epoll_ctl(seat->pump->epoll, op, is_client ? seat->client : seat->wait->fd, &event);
        *interest = events;
    }
}

/* A socket of no interest is not watched at all, since epoll tells of errors nevertheless. */
static void watch(apipool_seat_t *seat, apipool_wait_e what)
{
    apipool_wait_t *wait = seat->wait;
    unsigned events = what == APIPOOL_WAIT_CLIENT     ? 0
                      : what == APIPOOL_WAIT_WRITABLE ? EPOLLIN | EPOLLOUT
                                                      : EPOLLIN;
    if (wait->watched_by < 0) {
        seat->socket_interest = 0;
    }
    if (wait->fd >= 0) {
        keep_watch(seat, &seat->socket_interest, 0, events);
    }
    wait->watched_by = seat->socket_interest ? seat->pump->epoll : -1;
    unsigned of_client = what == APIPOOL_WAIT_CLIENT ? EPOLLERR | EPOLLOUT : EPOLLERR;
    keep_watch(seat, &seat->client_interest, 1,
               wait->client_events < 0 ? 0 : (unsigned)wait->client_events | of_client);
}

void apipool_wait_forget_socket(apipool_wait_t *wait)
{
    if (wait->watched_by >= 0) {
        epoll_ctl(wait->watched_by, EPOLL_CTL_DEL, wait->fd, NULL);
        wait->watched_by = -1;
    }
}

static void drain(int eventfd)
{
    eventfd_t unused;
    eventfd_read(eventfd, &unused);
}

/* The last that a pump does with a seat. Other events that have come for it are void. */
static void hand_back(apipool_pump_t *pump, apipool_seat_t *seat)
{
    for (int i = 0; i < pump->event_count; i++) {
        if (pump->events[i].data.ptr == &seat->ends[0] ||
            pump->events[i].data.ptr == &seat->ends[1]) {
            pump->events[i].events = 0;
        }
    }
    keep_watch(seat, &seat->client_interest, 1, 0);
    apipool_wait_forget_socket(seat->wait);
    APR_RING_REMOVE(seat, link);
    apr_thread_mutex_lock(pump->mutex);
    APR_RING_INSERT_TAIL(&pump->ended, seat, apipool_seat_t, link);
    seat->is_pumped = 0;
    eventfd_write(seat->done, 1);
    if (seat->is_wanted) {
        apr_thread_cond_broadcast(pump->handed_back);
    }
    apr_thread_mutex_unlock(pump->mutex);
}

/* When it must be looked at, whatever its sockets tell. */
static apr_time_t due(const apipool_seat_t *seat)
{
    apr_time_t at = seat->parked_at + seat->mpm_waits / 2;
    at = seat->wait->due < at ? seat->wait->due : at;
    return seat->wait->looks && seat->look_at < at ? seat->look_at : at;
}

/* Returns 0 if the seat is the pump's no more. */
static int step(apipool_pump_t *pump, apipool_seat_t *seat)
{
    apipool_wait_e what = seat->wait->calls->step(seat->wait);
    if (what == APIPOOL_WAIT_NOTHING || what == APIPOOL_WAIT_THREAD) {
        hand_back(pump, seat);
        return 0;
    }
    watch(seat, what);
    seat->look_at = apipool_monotonic_now() + (what == APIPOOL_WAIT_TURN ? RESTS : LOOK_AGAIN);
    pump->next_look = due(seat) < pump->next_look ? due(seat) : pump->next_look;
    return 1;
}

static void take_inbox(apipool_pump_t *pump)
{
    apr_time_t now = apipool_monotonic_now();
    int wants_some;
    struct seat_ring_t taken;
    APR_RING_INIT(&taken, apipool_seat_t, link);
    drain(pump->wake);
    apr_thread_mutex_lock(pump->mutex);
    APR_RING_CONCAT(&taken, &pump->inbox, apipool_seat_t, link);
    wants_some = pump->wants_some;
    pump->wants_some = 0;
    apr_thread_mutex_unlock(pump->mutex);
    while (!APR_RING_EMPTY(&taken, apipool_seat_t, link)) {
        apipool_seat_t *seat = APR_RING_FIRST(&taken);
        APR_RING_REMOVE(seat, link);
        APR_RING_INSERT_TAIL(&pump->seats, seat, apipool_seat_t, link);
        seat->parked_at = now;
        seat->look_at = now + LOOK_AGAIN;
        watch(seat, APIPOOL_WAIT_READABLE);
        pump->next_look = due(seat) < pump->next_look ? due(seat) : pump->next_look;
    }
    for (apipool_seat_t *seat = APR_RING_FIRST(&pump->seats), *next;
         wants_some && seat != APR_RING_SENTINEL(&pump->seats, apipool_seat_t, link); seat = next) {
        next = APR_RING_NEXT(seat, link);
        apr_thread_mutex_lock(pump->mutex);
        int is_wanted = seat->is_wanted;
        apr_thread_mutex_unlock(pump->mutex);
        if (is_wanted) {
            seat->wait->calls->leave(seat->wait);
            hand_back(pump, seat);
        }
    }
}

static void take_event(apipool_pump_t *pump, const struct epoll_event *event)
{
    const struct {
        apipool_seat_t *seat;
        int is_client;
    } *end = event->data.ptr;
    if (!event->events) {
        return;
    }
    if (!end) {
        take_inbox(pump);
        return;
    }
    apipool_seat_t *seat = end->seat;
    if (end->is_client && event->events & ~(unsigned)EPOLLOUT) {
        if (seat->wait->calls->hear_client(seat->wait, (int)event->events)) {
            hand_back(pump, seat);
            return;
        }
    }
    step(pump, seat);
}

static void look_at_all(apipool_pump_t *pump, apr_time_t now)
{
    apr_time_t next_look = now + apr_time_from_sec(3600);
    for (apipool_seat_t *seat = APR_RING_FIRST(&pump->seats), *next;
         seat != APR_RING_SENTINEL(&pump->seats, apipool_seat_t, link); seat = next) {
        next = APR_RING_NEXT(seat, link);
        if (seat->wait->due <= now) {
            seat->wait->calls->expire(seat->wait);
            hand_back(pump, seat);
            continue;
        }
        if (seat->wait->looks && seat->look_at <= now && !step(pump, seat)) {
            continue;
        }
        if (seat->parked_at + seat->mpm_waits / 2 <= now) { /* before the MPM takes it for dead */
            seat->parked_at = now;
            eventfd_write(seat->done, 1);
        }
        next_look = due(seat) < next_look ? due(seat) : next_look;
    }
    pump->next_look = next_look > now + RESTS ? next_look : now + RESTS;
}

static int milliseconds_to_wait(const apipool_pump_t *pump)
{
    if (APR_RING_EMPTY(&pump->seats, apipool_seat_t, link)) {
        return -1;
    }
    apr_time_t left = pump->next_look - apipool_monotonic_now();
    return left > 0 ? (int)apr_time_as_msec(left) + 1 : 0;
}

static int is_stopping(apipool_pump_t *pump)
{
    apr_thread_mutex_lock(pump->mutex);
    int stops = pump->is_stopping;
    apr_thread_mutex_unlock(pump->mutex);
    return stops;
}

/* Where there is much to do, what comes of a stream in a few milliseconds takes one step and not many. */
static void rest(apipool_pump_t *pump)
{
    apr_time_t now = apr_time_now(), passed = now - pump->counted_since;
    pump->events_counted += pump->event_count;
    if (passed < 0 || passed >= COUNTED) {
        pump->is_busy = passed > 0 && pump->events_counted * APR_USEC_PER_SEC / passed > BUSY;
        pump->events_counted = 0;
        pump->counted_since = now;
    }
    if (pump->is_busy) {
        apr_sleep(REST);
    }
}

static void *APR_THREAD_FUNC run(apr_thread_t *thread, void *data)
{
    apipool_pump_t *pump = data;
    while (!is_stopping(pump)) {
        pump->event_count = 0;
        int count = epoll_wait(pump->epoll, pump->events, EVENTS, milliseconds_to_wait(pump));
        pump->event_count = count > 0 ? count : 0;
        for (int i = 0; i < pump->event_count; i++) {
            take_event(pump, &pump->events[i]);
        }
        apr_time_t now = apipool_monotonic_now();
        if (now >= pump->next_look) {
            look_at_all(pump, now);
        }
        rest(pump);
    }
    apr_thread_exit(thread, APR_SUCCESS);
    return NULL;
}

/* Signals are for httpd's own threads: one that ends the process would end it in a pump. */
static apr_status_t create_thread(apipool_pump_t *pump, apr_pool_t *p)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    apr_status_t rv = ap_thread_create(&pump->thread, NULL, run, pump, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rv;
}

apr_status_t apipool_pump_start(apipool_pump_t **result, apr_pool_t *p)
{
    apipool_pump_t *pump = apr_pcalloc(p, sizeof(*pump));
    struct epoll_event event = {.events = EPOLLIN};
    APR_RING_INIT(&pump->seats, apipool_seat_t, link);
    APR_RING_INIT(&pump->inbox, apipool_seat_t, link);
    APR_RING_INIT(&pump->ended, apipool_seat_t, link);
    pump->epoll = epoll_create1(EPOLL_CLOEXEC);
    pump->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pump->epoll < 0 || pump->wake < 0 ||
        epoll_ctl(pump->epoll, EPOLL_CTL_ADD, pump->wake, &event)) {
        return errno;
    }
    apr_status_t rv = apr_thread_mutex_create(&pump->mutex, APR_THREAD_MUTEX_DEFAULT, p);
    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&pump->handed_back, p);
    }
    if (rv == APR_SUCCESS) {
        rv = create_thread(pump, p);
    }
    *result = pump;
    return rv;
}

void apipool_pump_take(apipool_pump_t *pump, apipool_seat_t *seat)
{
    seat->pump = pump;
    seat->wait->watched_by = -1;
    seat->client_interest = seat->socket_interest = 0;
    for (int i = 0; i < 2; i++) {
        seat->ends[i].seat = seat;
        seat->ends[i].is_client = i;
    }
    apr_thread_mutex_lock(pump->mutex);
    int was_empty = APR_RING_EMPTY(&pump->inbox, apipool_seat_t, link);
    seat->is_pumped = 1;
    seat->is_wanted = 0;
    APR_RING_INSERT_TAIL(&pump->inbox, seat, apipool_seat_t, link);
    apr_thread_mutex_unlock(pump->mutex);
    if (was_empty) {
        eventfd_write(pump->wake, 1);
    }
}

int apipool_pump_has_done(apipool_seat_t *seat)
{
    apr_thread_mutex_lock(seat->pump->mutex);
    int is_done = !seat->is_pumped;
    drain(seat->done);
    if (is_done) {
        APR_RING_REMOVE(seat, link);
    }
    apr_thread_mutex_unlock(seat->pump->mutex);
    return is_done;
}

int apipool_pump_reclaim(apipool_seat_t *seat)
{
    apipool_pump_t *pump = seat->pump;
    apr_thread_mutex_lock(pump->mutex);
    int was_pumped = seat->is_pumped;
    if (was_pumped && pump->is_stopped) {
        apipool_wait_forget_socket(seat->wait);
        seat->wait->calls->leave(seat->wait);
    }
    else if (was_pumped) {
        seat->is_wanted = pump->wants_some = 1;
        eventfd_write(pump->wake, 1);
        while (seat->is_pumped) {
            apr_thread_cond_wait(pump->handed_back, pump->mutex);
        }
    }
    APR_RING_REMOVE(seat, link);
    seat->is_pumped = 0;
    drain(seat->done);
    apr_thread_mutex_unlock(pump->mutex);
    return was_pumped;
}

/* end() takes the seat out of its ring. */
static void end_all(const struct seat_ring_t *ring, void (*end)(apipool_seat_t *seat))
{
    while (!APR_RING_EMPTY(ring, apipool_seat_t, link)) {
        end(APR_RING_FIRST(ring));
    }
}

void apipool_pump_stop(apipool_pump_t *pump, void (*end)(apipool_seat_t *seat))
{
    apr_status_t rv;
    apr_thread_mutex_lock(pump->mutex);
    pump->is_stopping = 1;
    apr_thread_mutex_unlock(pump->mutex);
    eventfd_write(pump->wake, 1);
    apr_thread_join(&rv, pump->thread);
    pump->is_stopped = 1;
    end_all(&pump->inbox, end);
    end_all(&pump->seats, end);
    end_all(&pump->ended, end);
    close(pump->epoll);
    close(pump->wake);
}

#endif
