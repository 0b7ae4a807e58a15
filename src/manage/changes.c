/* SPDX-License-Identifier: Apache-2.0
 * Changes of existing keys by operators: durable edits and removals, resets, checks. */
#include "manage.h"

#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "config.h"
#include "configured.h"
#include "deleted.h"
#include "key_files.h"
#include "keys.h"
#include "lifecycle.h"
#include "listing.h"
#include "recovery.h"
#include "throttle.h"
#include "view.h"

#define LOCK_FAILED "the lock of the shared memory could not be taken"

typedef struct {
    apipool_segment_t *segment;
    apr_uint32_t pool;
    const apipool_key_change_t *change;
    apipool_key_patch_t patch; /* for an edit */
    apr_uint32_t to_pool;      /* the same pool, or the one that the keys move to */
    apr_hash_t *chosen;        /* ids, each pointing to itself */
    apr_hash_t *listed;        /* for a deletion: those of key files, likewise */
    apipool_key_changed_t *result;
    apr_pool_t *p;
} work_t;

/* --- Which keys --- */

static void choose(work_t *work, apr_uint64_t id)
{
    apipool_throttle();
    if (!apr_hash_get(work->chosen, &id, sizeof(id))) {
        const apr_uint64_t *kept = apr_pmemdup(work->p, &id, sizeof(id));
        apr_hash_set(work->chosen, kept, sizeof(*kept), kept);
        APR_ARRAY_PUSH(work->result->done_ids, apr_uint64_t) = id;
        work->result->matched++;
    }
}

static apr_status_t choose_by_id(work_t *work)
{
    apr_status_t rv = APR_SUCCESS;
    for (apr_size_t i = 0; rv == APR_SUCCESS && i < work->change->id_count; i++) {
        apr_uint64_t id = work->change->ids[i];
        rv = apipool_segment_lock(work->segment);
        if (rv != APR_SUCCESS) {
            break;
        }
        int found = apipool_pool_find_locked(work->segment, work->pool, id) != APIPOOL_NONE;
        apipool_segment_unlock(work->segment);
        if (found) {
            choose(work, id);
        }
        else {
            APR_ARRAY_PUSH(work->result->failed, apr_uint64_t) = id;
        }
    }
    return rv;
}

static apr_status_t choose_by_filter(work_t *work)
{
    apr_array_header_t *listed;
    apr_status_t rv = apipool_listing_find(work->segment, work->pool, &work->change->filter,
                                           APIPOOL_SORT_ID, apr_time_now(), work->p, &listed);
    for (int i = 0; rv == APR_SUCCESS && i < listed->nelts; i++) {
        choose(work, APR_ARRAY_IDX(listed, i, apipool_listed_t).id);
    }
    return rv;
}

static apr_status_t choose_all(work_t *work, const char **error)
{
    apr_status_t rv = work->change->ids ? choose_by_id(work) : choose_by_filter(work);
    if (rv != APR_SUCCESS) {
        *error = LOCK_FAILED;
    }
    return rv;
}

static int is_chosen(const work_t *work, const apipool_key_image_t *image)
{
    return image->pool == work->pool && apr_hash_get(work->chosen, &image->id, sizeof(image->id));
}

/* --- The change --- */

/* Room for the new texts, or in the list of the upstream that the keys move to. */
static apr_status_t make_room(const work_t *work, int *has_room)
{
    const unsigned set = work->change->edit.set;
    apipool_capacity_t capacity = {0};
    for (apr_uint32_t i = 0; i < work->result->matched; i++) {
        if (set & (APIPOOL_SET_LABEL | APIPOOL_SET_ACCOUNT)) {
            apipool_capacity_add(&capacity, 0, APIPOOL_LABEL_MAX, APIPOOL_ACCOUNT_MAX);
        }
        capacity.members += (set & APIPOOL_SET_UPSTREAM) != 0;
    }
    return apipool_pool_make_room(
        work->segment, set & APIPOOL_SET_UPSTREAM ? work->patch.upstream : 0, &capacity, has_room);
}

/* The pool with its key files; virtual hosts of one ServerName may share it, each with files of its
 * own. */
static apr_array_header_t *with_key_files(const work_t *work)
{
    const apr_array_header_t *pools = apipool_config_all_pools(work->p, ap_server_conf);
    apr_array_header_t *found = apr_array_make(work->p, 1, sizeof(apipool_pool_conf_t *));
    for (int i = 0; i < pools->nelts; i++) {
        apipool_pool_conf_t *conf = APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *);
        if (conf->index == work->pool && conf->key_files->nelts) {
            APR_ARRAY_PUSH(found, apipool_pool_conf_t *) = conf;
        }
    }
    return found;
}

static int is_in_key_file(const work_t *work, const apr_array_header_t *pools, apr_uint64_t id)
{
    apipool_lease_t secret = {.longest = 0};
    int found = 0;
    if (apipool_view_secret(work->segment, work->pool, id, &secret) != APR_SUCCESS) {
        return 0;
    }
    for (int i = 0; !found && i < pools->nelts; i++) {
        found = apipool_key_files_list(APR_ARRAY_IDX(pools, i, apipool_pool_conf_t *), secret.key,
                                       secret.len);
    }
    apipool_lease_wipe(&secret);
    return found;
}

/* Finds the keys that a key file would bring back, and makes sure that they can be remembered. */
static apr_status_t find_listed(work_t *work, const char **error)
{
    const apr_array_header_t *pools = with_key_files(work);
    apipool_deleted_drop_lifted(work->segment);
    for (int i = 0; pools->nelts && i < work->result->done_ids->nelts; i++) {
        const apr_uint64_t *id = &APR_ARRAY_IDX(work->result->done_ids, i, apr_uint64_t);
        if (is_in_key_file(work, pools, *id)) {
            apr_hash_set(work->listed, id, sizeof(*id), id);
        }
        apipool_segment_give_way(work->segment);
    }
    work->result->listed = apr_hash_count(work->listed);
    if (work->result->listed <= apipool_deleted_room(work->segment)) {
        return APR_SUCCESS;
    }
    *error = "There is no room to remember these deletions; remove the lines of deleted keys from "
             "the key files, then restart httpd gracefully.";
    return APR_ENOMEM;
}

static apr_status_t prepare(void *ctx, int *changes, const char **error)
{
    work_t *work = ctx;
    int has_room = 1;
    apr_status_t rv = choose_all(work, error);
    if (rv == APR_SUCCESS && work->change->action == APIPOOL_DO_EDIT) {
        rv = make_room(work, &has_room);
    }
    if (rv == APR_SUCCESS && !has_room) {
        *error = "There is no room for labels or for keys of that upstream; raise APIPoolCapacity, "
                 "then stop and start httpd.";
        rv = APR_ENOMEM;
    }
    if (rv == APR_SUCCESS && work->change->action == APIPOOL_DO_DELETE) {
        rv = find_listed(work, error);
    }
    *changes = work->result->matched > 0;
    return rv;
}

/* A key that moves to a pool which has it already only goes. */
static int goes(const work_t *work, apr_uint64_t id)
{
    int found = 0;
    if (work->change->action == APIPOOL_DO_EDIT && work->to_pool != work->pool &&
        apipool_segment_lock(work->segment) == APR_SUCCESS) {
        found = apipool_pool_find_locked(work->segment, work->to_pool, id) != APIPOOL_NONE;
        apipool_segment_unlock(work->segment);
    }
    return found || work->change->action == APIPOOL_DO_DELETE;
}

static int write_key(void *ctx, apipool_key_image_t *image)
{
    const work_t *work = ctx;
    int chosen = is_chosen(work, image);
    if (chosen && goes(work, image->id)) {
        image->stays_deleted = apr_hash_get(work->listed, &image->id, sizeof(image->id)) != NULL;
        return 0;
    }
    if (chosen) {
        apipool_key_patch_image(&work->patch, image);
        image->pool = work->to_pool;
    }
    return 1;
}

static apr_status_t remove_one(const work_t *work, apr_uint64_t id)
{
    apr_status_t rv = apipool_pool_remove(work->segment, work->pool, id);
    int is_listed = apr_hash_get(work->listed, &id, sizeof(id)) != NULL;
    return rv == APR_SUCCESS && is_listed && !apipool_deleted_add(work->segment, work->pool, id)
               ? APR_ENOSPC
               : rv;
}

/* A key that was removed meanwhile is no failure. Durable changes cannot meet that, as only one
 * is made at a time. */
static apr_status_t apply_one(const work_t *work, apr_uint64_t id)
{
    apr_status_t rv = APR_SUCCESS;
    if (goes(work, id)) {
        return remove_one(work, id);
    }
    switch (work->change->action) {
    case APIPOOL_DO_EDIT:
    case APIPOOL_DO_DELETE:
        return apipool_pool_edit(work->segment, work->pool, id, &work->patch);
    case APIPOOL_DO_RESET:
        rv = apipool_pool_reset(work->segment, work->pool, id);
        break;
    case APIPOOL_DO_CHECK:
        rv = apipool_recovery_check_soon(work->segment, work->pool, id);
        break;
    }
    return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
}

static apr_status_t apply(void *ctx)
{
    work_t *work = ctx;
    apr_status_t rv = APR_SUCCESS;
    for (int i = 0; rv == APR_SUCCESS && i < work->result->done_ids->nelts; i++) {
        rv = apply_one(work, APR_ARRAY_IDX(work->result->done_ids, i, apr_uint64_t));
        work->result->done += rv == APR_SUCCESS;
        apipool_segment_give_way(work->segment);
    }
    return rv;
}

apr_status_t apipool_manage_key_change(apr_uint32_t pool, const apipool_key_change_t *change,
                                       apr_pool_t *p, apipool_key_changed_t *result,
                                       apipool_input_error_t *flaw)
{
    work_t work = {.segment = apipool_lifecycle_segment(),
                   .pool = pool,
                   .change = change,
                   .patch = {.edit = change->edit, .upstream = APIPOOL_NONE},
                   .to_pool = pool,
                   .chosen = apr_hash_make(p),
                   .listed = apr_hash_make(p),
                   .result = result,
                   .p = p};
    apipool_store_change_t lasting = {
        .prepare = prepare, .key = write_key, .apply = apply, .ctx = &work};

    memset(result, 0, sizeof(*result));
    result->done_ids = apr_array_make(p, 16, sizeof(apr_uint64_t));
    result->failed = apr_array_make(p, 4, sizeof(apr_uint64_t));
    if (change->edit.set & APIPOOL_SET_UPSTREAM) {
        server_rec *server;
        const apipool_upstream_conf_t *to =
            apipool_manage_upstream(change->to_pool, change->to_upstream, p, &server);
        if (!to) {
            *flaw = (apipool_input_error_t){"upstream", "There is no such upstream."};
            return APR_EINVAL;
        }
        work.to_pool = change->to_pool;
        work.patch.upstream = to->index;
    }
    if (change->action == APIPOOL_DO_EDIT || change->action == APIPOOL_DO_DELETE) {
        return apipool_lifecycle_change(&lasting, &flaw->message, p);
    }
    /* the other actions are not durable */
    apr_status_t rv = choose_all(&work, &flaw->message);
    rv = rv == APR_SUCCESS ? apply(&work) : rv;
    flaw->message = rv == APR_SUCCESS ? NULL : LOCK_FAILED;
    return rv;
}
