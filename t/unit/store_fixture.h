/* SPDX-License-Identifier: Apache-2.0
 * Lives of a server for tests of the store: each has a segment, filled from a folder and saved
 * to it. */
#ifndef APIPOOL_UNIT_STORE_FIXTURE_H
#define APIPOOL_UNIT_STORE_FIXTURE_H

#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "consistency.h"
#include "fixture.h"
#include "keys.h"
#include "scratch.h"
#include "store_parts.h"

/* One life of a server: a segment and its store. */
typedef struct {
    fixture_t *f;
    apipool_segment_t *segment;
    apipool_store_t *store;
    apr_uint32_t stored; /* keys that were read */
} life_t;

static apr_time_t now;
static const char *error;
static char last_report[1000];

static inline void on_report(void *ctx, const char *sentence)
{
    (void)ctx;
    snprintf(last_report, sizeof(last_report), "%s", sentence);
}

static inline apipool_store_settings_t settings_of(const char *name, apr_pool_t *pool)
{
    return (apipool_store_settings_t){.path = apr_pstrdup(pool, path_of(name)),
                                      .secret_path =
                                          apr_pstrcat(pool, path_of(name), ".secret", NULL),
                                      .owner = {.user = geteuid(), .group = getegid()},
                                      .interval = apr_time_from_sec(60),
                                      .max_pending = 1000,
                                      .report = on_report};
}

/* Starts and loads; the caller checks for failures. */
static inline apr_status_t try_start(life_t *life, const char *name)
{
    apipool_stored_keys_t *keys;
    apr_global_mutex_t *writer;
    life->f = fixture_open(64);
    apipool_store_kept_t *kept = apr_pcalloc(life->f->pool, sizeof(*kept));
    kept->lock = -1;
    assert_int_equal(apr_global_mutex_create(&writer, NULL, APR_LOCK_DEFAULT, life->f->pool),
                     APR_SUCCESS);
    life->segment = life->f->segment;
    apipool_store_settings_t settings = settings_of(name, life->f->pool);
    error = NULL;
    now = apr_time_now();
    apr_status_t rv = apipool_store_open(&life->store, &settings, kept, &error, life->f->pool);
    if (rv == APR_SUCCESS) {
        rv = apipool_store_read_keys(life->store, &keys, &life->stored, &error, life->f->pool);
    }
    if (rv == APR_SUCCESS) {
        apipool_store_use(life->store, life->segment, writer);
        rv = apipool_store_fill(life->store, keys, &error, life->f->pool);
    }
    close(kept->lock); /* the next life starts while the previous ones are still examined */
    return rv;
}

static inline life_t start(const char *name)
{
    life_t life = {0};
    if (try_start(&life, name) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
    return life;
}

static inline void save(life_t *life)
{
    if (apipool_store_save_keys(life->store, &error, life->f->pool) != APR_SUCCESS ||
        apipool_store_save_stats(life->store, &error, life->f->pool) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
}

static inline void end(life_t *life)
{
    if (life->stored) {
        assert_null(consistency_of(life->segment));
    }
    fixture_close(life->f);
}

static inline life_t restart(life_t *life, const char *name)
{
    save(life);
    return start(name);
}

static inline apr_uint32_t attach(const life_t *life, const char *server, const char *name)
{
    apr_uint32_t pool;
    assert_int_equal(apipool_pool_attach(life->segment, server, name, &pool), APR_SUCCESS);
    return pool;
}

static inline apr_uint32_t upstream_of(const life_t *life, apr_uint32_t pool, const char *name)
{
    apr_uint32_t upstream;
    assert_int_equal(apipool_pool_upstream(life->segment, pool, name, &upstream), APR_SUCCESS);
    return upstream;
}

static inline apipool_slot_t *slot_of(const life_t *life, apr_uint32_t pool, const char *key,
                                      apr_size_t len)
{
    apr_uint64_t id = apipool_key_id(life->segment->header->store.secret, key, len);
    apr_uint32_t index = apipool_pool_find_locked(life->segment, pool, id);
    assert_int_not_equal(index, APIPOOL_NONE);
    return &life->segment->slots[index];
}

static inline apipool_slot_t *add_item(life_t *life, apr_uint32_t upstream,
                                       const apipool_key_item_t *item)
{
    apipool_added_e added;
    assert_int_equal(apipool_pool_add(life->segment, upstream, item, now - 5, &added), APR_SUCCESS);
    assert_int_equal(added, APIPOOL_ADDED);
    return slot_of(life, life->segment->upstreams[upstream].pool, item->key, item->len);
}

static inline apipool_slot_t *add(life_t *life, apr_uint32_t upstream, const char *key)
{
    apipool_key_item_t item = {.key = key, .len = strlen(key), .enabled = 1};
    return add_item(life, upstream, &item);
}

/* Slot of a key in pool "main" of the main server. */
static inline apipool_slot_t *main_slot(const life_t *life, const char *key)
{
    return slot_of(life, attach(life, "", "main"), key, strlen(key));
}

static inline int set_up_store(void **unused)
{
    return apr_initialize() == APR_SUCCESS ? make_scratch(unused) : -1;
}

#endif
