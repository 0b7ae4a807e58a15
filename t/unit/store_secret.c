/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/store/store_secret: a secret moves out of the store, is replaced, and an emptied
 * store is noticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <apr_strings.h>
#include <unistd.h>

#include "folder_parts.h"
#include "secret.h"
#include "store_fixture.h"

static void settle(life_t *life)
{
    *last_report = '\0';
    if (apipool_store_settle(life->store, &error, life->f->pool) != APR_SUCCESS) {
        fail_msg("%s", error);
    }
}

/* A server with two keys, which ends and leaves its store. Returns the id of the first one. */
static apr_uint64_t leave(const char *name)
{
    life_t life = start(name);
    apr_uint32_t upstream = upstream_of(&life, attach(&life, "", "main"), "one");
    add(&life, upstream, "sk-one");
    add(&life, upstream, "sk-two");
    settle(&life);
    save(&life);
    apr_uint64_t id = apipool_key_id(life.segment->header->store.secret, "sk-one", 6);
    end(&life);
    return id;
}

static int has_key(const life_t *life, apr_uint64_t id)
{
    for (apr_uint32_t i = 0; i < life->segment->header->slots.used; i++) {
        if (life->segment->slots[i].id == id) {
            return 1;
        }
    }
    return 0;
}

static const char *file(const char *name, const char *more)
{
    static char path[400];
    snprintf(path, sizeof(path), "%s/%s%s", scratch, name, more);
    return path;
}

static int is_there(const char *name, const char *more)
{
    return access(file(name, more), F_OK) == 0;
}

static void begin_replacing(const char *name)
{
    char bytes[APIPOOL_SECRET_SIZE + 1];
    snprintf(bytes, sizeof(bytes), "the next secret of %-13.13s", name);
    put_file(file(name, ".secret.new"), bytes, APIPOOL_SECRET_SIZE, 0600);
}

/* The writes of a replacement that is interrupted before the last ones. */
static void replace_in_part(life_t *life, int writes)
{
    static const apipool_store_kind_e kinds[] = {APIPOOL_STORE_KEYS, APIPOOL_STORE_KEYS,
                                                 APIPOOL_STORE_STATS, APIPOOL_STORE_STATS};
    memcpy(life->store->secret, life->store->next_secret, APIPOOL_SECRET_SIZE);
    life->store->vault = life->store->next_vault;
    for (int i = 0; i < writes; i++) {
        assert_int_equal(apipool_store_write(life->store, kinds[i], NULL, &error, life->f->pool),
                         APR_SUCCESS);
    }
}

static void a_replacement_may_be_cut_off_anywhere(void **unused)
{
    for (int writes = 0; writes <= 4; writes++) {
        char name[] = "replace-0";
        name[8] = (char)('0' + writes);
        apr_uint64_t id = leave(name);
        begin_replacing(name);
        life_t cut_off = start(name);
        assert_int_equal(cut_off.store->has_next, 1);
        replace_in_part(&cut_off, writes);
        end(&cut_off);

        life_t life = start(name);
        assert_true(has_key(&life, id));
        assert_int_equal(life.stored, 2);
        settle(&life);
        assert_non_null(strstr(last_report, "the secret was replaced"));
        assert_false(is_there(name, ".secret.new"));
        end(&life);

        life = start(name); /* with only the new secret */
        assert_true(has_key(&life, id));
        assert_memory_equal(life.segment->header->store.sealed_with, "the next secret of", 18);
        assert_memory_not_equal(life.segment->header->store.secret, "the next secret of", 18);
        end(&life);
    }
}

static void the_old_secret_opens_nothing_afterwards(void **unused)
{
    size_t len;
    leave("gone");
    char *old = get_file(file("gone", ".secret"), &len);
    begin_replacing("gone");
    life_t life = start("gone");
    settle(&life);
    end(&life);
    put_file(file("gone", ".secret"), old, len, 0600);
    free(old);
    assert_int_not_equal(try_start(&life, "gone"), APR_SUCCESS);
    assert_non_null(strstr(error, "sealed with another secret"));
    fixture_close(life.f);
}

/* A child from before the replacement writes with the secret that is current by then. */
static void whoever_has_the_old_secret_follows(void **unused)
{
    leave("follows");
    begin_replacing("follows");
    life_t life = start("follows");
    apipool_store_t child = *life.store;
    child.folder = apr_pmemdup(life.f->pool, child.folder, sizeof(*child.folder));
    child.folder->settings.mac_key = child.vault.mac_key;
    settle(&life);
    assert_int_equal(apipool_store_save_keys(&child, &error, life.f->pool), APR_SUCCESS);
    assert_memory_equal(child.secret, life.store->secret, APIPOOL_SECRET_SIZE);
    end(&life);
    *last_report = '\0';
    life = start("follows");
    assert_int_equal(life.stored, 2);
    assert_string_equal(last_report, "");
    end(&life);
}

static void a_new_secret_that_is_none_stops_a_start(void **unused)
{
    life_t life;
    leave("none");
    put_file(file("none", ".secret.new"), "short", 5, 0600);
    assert_int_not_equal(try_start(&life, "none"), APR_SUCCESS);
    assert_non_null(strstr(error, "none.secret.new does not have 32 bytes"));
    fixture_close(life.f);
}

/* Removes the mark of a store, as earlier versions made none. */
static void forget(const char *name)
{
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    const char *secret = apr_pstrdup(pool, file(name, ".secret"));
    assert_int_equal(unlink(apipool_secret_mark(secret, file(name, ""), pool)), 0);
    apr_pool_destroy(pool);
}

static void a_secret_in_the_store_moves_when_it_has_opened_it(void **unused)
{
    apr_uint64_t id = leave("carried");
    char *in_store = strdup(file("carried", "/secret"));
    assert_int_equal(rename(file("carried", ".secret"), in_store), 0);
    life_t life;
    assert_int_not_equal(try_start(&life, "carried"), APR_SUCCESS);
    assert_non_null(strstr(error, "secret is missing"));
    fixture_close(life.f);
    forget("carried");
    life = start("carried");
    assert_true(is_there("carried", "/secret"));
    settle(&life);
    assert_non_null(strstr(last_report, "the secret file has moved"));
    assert_false(is_there("carried", "/secret"));
    end(&life);
    life = start("carried");
    assert_true(has_key(&life, id));
    end(&life);
    assert_int_equal(unlink(file("carried", ".secret")), 0);
    forget("carried");
    put_file(in_store, "somebody else's secret, 32 bytes", APIPOOL_SECRET_SIZE, 0600);
    assert_int_not_equal(try_start(&life, "carried"), APR_SUCCESS);
    assert_non_null(strstr(error, "sealed with another secret"));
    assert_false(is_there("carried", ".secret"));
    fixture_close(life.f);
    free(in_store);
}

static void a_store_that_was_emptied_is_not_a_new_one(void **unused)
{
    life_t life;
    leave("emptied");
    apr_pool_t *pool;
    apr_pool_create(&pool, NULL);
    const char *mark = apipool_secret_mark(path_of("emptied.secret"), path_of("emptied"), pool);
    remove_tree(path_of("emptied"));
    assert_int_not_equal(try_start(&life, "emptied"), APR_SUCCESS);
    assert_non_null(strstr(error, "is empty, but"));
    assert_non_null(strstr(error, mark));
    fixture_close(life.f);
    assert_int_equal(unlink(mark), 0);
    life = start("emptied");
    settle(&life);
    assert_int_equal(access(mark, F_OK), 0);
    end(&life);
    apr_pool_destroy(pool);
}

/* Checks in smaps that the memory at an address is left out of core dumps. */
static void is_concealed(const void *at)
{
    char line[400];
    int is_it = 0, found = 0;
    FILE *maps = fopen("/proc/self/smaps", "r");
    if (!maps) {
        return; /* not available on this system */
    }
    while (fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            is_it = (uintptr_t)at >= from && (uintptr_t)at < to;
        }
        found |= is_it && !strncmp(line, "VmFlags:", 8) && strstr(line, " dd") != NULL;
    }
    fclose(maps);
    assert_true(found);
}

static void no_core_dump_shows_keys_and_secrets(void **unused)
{
    life_t life = start("concealed");
    is_concealed(life.store->secret);
    is_concealed(&life.store->vault);
    is_concealed(life.segment->header);
    is_concealed(life.segment->slots);
    is_concealed(life.segment->arena);
    end(&life);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_replacement_may_be_cut_off_anywhere),
        cmocka_unit_test(the_old_secret_opens_nothing_afterwards),
        cmocka_unit_test(whoever_has_the_old_secret_follows),
        cmocka_unit_test(a_new_secret_that_is_none_stops_a_start),
        cmocka_unit_test(a_secret_in_the_store_moves_when_it_has_opened_it),
        cmocka_unit_test(a_store_that_was_emptied_is_not_a_new_one),
        cmocka_unit_test(no_core_dump_shows_keys_and_secrets),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
