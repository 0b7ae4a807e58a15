/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/deleted and src/store/store_deleted: deletions that key files must not undo. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "deleted.h"
#include "store_fixture.h"

/* Deletion of one key. */
typedef struct {
    const life_t *life;
    apr_uint32_t pool;
    apr_uint64_t id;
    int dies; /* before memory has it */
} deletion_t;

static apr_uint64_t id_of(const life_t *life, const char *key)
{
    return apipool_segment_key_id(life->segment, key, strlen(key));
}

static int write_key(void *ctx, apipool_key_image_t *image)
{
    const deletion_t *deletion = ctx;
    image->stays_deleted = 1;
    return image->id != deletion->id || image->pool != deletion->pool;
}

static apr_status_t apply(void *ctx)
{
    const deletion_t *deletion = ctx;
    if (deletion->dies) {
        return APR_EGENERAL;
    }
    assert_true(apipool_deleted_add(deletion->life->segment, deletion->pool, deletion->id));
    return apipool_pool_remove(deletion->life->segment, deletion->pool, deletion->id);
}

static apr_status_t delete (const life_t *life, apr_uint32_t pool, const char *key, int dies)
{
    deletion_t deletion = {life, pool, id_of(life, key), dies};
    apipool_store_change_t made = {.key = write_key, .apply = apply, .ctx = &deletion};
    apipool_deleted_drop_lifted(life->segment);
    return apipool_store_change(life->store, &made, &error, life->f->pool);
}

static int is_deleted(const life_t *life, apr_uint32_t pool, const char *key)
{
    const apipool_deletion_t *rows = apipool_deleted_rows(life->segment);
    int found = 0;
    for (apr_uint32_t i = 0; i < apipool_deleted_count(life->segment); i++) {
        found += rows[i].pool == pool && rows[i].id == id_of(life, key) &&
                 apipool_deleted_counts(life->segment, &rows[i]);
    }
    return found;
}

static void a_deletion_is_there_in_the_next_life(void **unused)
{
    life_t life = start("deleted");
    apr_uint32_t p = attach(&life, "", "p"), q = attach(&life, "v:80", "p");
    add(&life, upstream_of(&life, p, "one"), "sk-gone");
    add(&life, upstream_of(&life, q, "one"), "sk-gone");
    assert_int_equal(delete (&life, p, "sk-gone", 0), APR_SUCCESS);
    life_t next = start("deleted");
    p = attach(&next, "", "p");
    q = attach(&next, "v:80", "p");
    assert_int_equal(is_deleted(&next, p, "sk-gone"), 1);
    assert_int_equal(is_deleted(&next, q, "sk-gone"), 0);
    life_t third = restart(&next, "deleted"); /* what others write keeps it */
    assert_int_equal(is_deleted(&third, attach(&third, "", "p"), "sk-gone"), 1);
    end(&life);
    end(&next);
    end(&third);
}

static void adding_the_key_again_lifts_it(void **unused)
{
    life_t life = start("lifted");
    apr_uint32_t p = attach(&life, "", "p"), one = upstream_of(&life, p, "one");
    for (int i = 0; i < 3; i++) {
        add(&life, one, "sk-again");
        assert_int_equal(is_deleted(&life, p, "sk-again"), 0);
        assert_int_equal(delete (&life, p, "sk-again", 0), APR_SUCCESS);
        assert_int_equal(is_deleted(&life, p, "sk-again"), 1);
    }
    assert_int_equal(apipool_deleted_count(life.segment), 1);
    add(&life, one, "sk-again");
    life_t next = restart(&life, "lifted");
    assert_int_equal(apipool_deleted_count(next.segment), 0);
    end(&life);
    end(&next);
}

static void an_interrupted_deletion_is_completed(void **unused)
{
    life_t life = start("interrupted");
    apr_uint32_t p = attach(&life, "", "p"), one = upstream_of(&life, p, "one");
    add(&life, one, "sk-first");
    add(&life, one, "sk-second");
    add(&life, one, "sk-third");
    assert_int_equal(delete (&life, p, "sk-first", 0), APR_SUCCESS);
    assert_int_not_equal(delete (&life, p, "sk-second", 1), APR_SUCCESS);
    assert_int_equal(is_deleted(&life, p, "sk-second"), 0);
    assert_int_equal(delete (&life, p, "sk-third", 0), APR_SUCCESS);
    assert_int_equal(is_deleted(&life, p, "sk-first"), 1);
    assert_int_equal(is_deleted(&life, p, "sk-second"), 1);
    assert_int_equal(is_deleted(&life, p, "sk-third"), 1);
    end(&life);
}

static int is_odd(void *unused, const apipool_deletion_t *row)
{
    (void)unused;
    return row->id % 2;
}

static void there_is_room_for_twice_as_many_as_keys(void **unused)
{
    life_t life = start("full");
    apr_uint32_t p = attach(&life, "", "p");
    apr_uint32_t room = apipool_deleted_room(life.segment);
    assert_int_equal(room, 2 * apipool_segment_capacity(life.segment));
    for (apr_uint32_t i = 0; i < room; i++) {
        assert_true(apipool_deleted_add(life.segment, p, i + 1));
    }
    assert_false(apipool_deleted_add(life.segment, p, 1));
    apipool_deleted_keep(life.segment, is_odd, NULL);
    assert_int_equal(apipool_deleted_count(life.segment), room / 2);
    life_t next = restart(&life, "full");
    assert_int_equal(apipool_deleted_count(next.segment), room / 2);
    end(&life);
    end(&next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deletion_is_there_in_the_next_life),
        cmocka_unit_test(adding_the_key_again_lifts_it),
        cmocka_unit_test(an_interrupted_deletion_is_completed),
        cmocka_unit_test(there_is_room_for_twice_as_many_as_keys),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
