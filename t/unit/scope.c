/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/scope: what is taken over, and what moves. With arguments, FOLDER SCOPE ..., it writes a store
 * as an earlier version would have; see t/certbot.t. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "client.h"
#include "scope.h"
#include "store_fixture.h"

#define OLD "*:80 Old.example"
#define NEW "new.example"

static void create(const life_t *life, const char *server, const char *name, const char *key)
{
    apipool_client_image_t image = {.created_at = now};
    snprintf(image.server, sizeof(image.server), "%s", server);
    snprintf(image.name, sizeof(image.name), "%s", name);
    image.terms.enabled = 1;
    image.terms.lists_len = APIPOOL_CLIENT_LISTS;
    assert_int_equal(apipool_client_key_digest(key, strlen(key), image.digest), 1);
    assert_int_equal(apipool_client_add(life->segment, &image), APR_SUCCESS);
}

static int has(const life_t *life, const char *server, const char *name)
{
    apipool_client_row_t row;
    return apipool_client_read(life->segment, server, name, now, &row) == APR_SUCCESS;
}

static void pools_are_taken_over_with_their_keys(void **unused)
{
    life_t life = start("pools");
    apr_uint32_t empty = attach(&life, NEW, "main"), old = attach(&life, OLD, "main");
    add(&life, upstream_of(&life, old, "one"), "sk-one");
    add(&life, upstream_of(&life, attach(&life, OLD, "other"), "two"), "sk-two");
    assert_true(apipool_scope_is_used(life.segment, OLD));
    assert_false(apipool_scope_is_used(life.segment, NEW));
    assert_true(apipool_scope_has_pool(life.segment, OLD, "other"));
    assert_string_equal(apipool_scope_host(OLD), "Old.example");
    assert_string_equal(apipool_scope_host(NEW), NEW);
    assert_int_equal(apipool_scope_all(life.segment, life.f->pool)->nelts, 1);
    assert_int_equal(apipool_scope_take_pools(life.segment, OLD, NEW), APR_SUCCESS);
    assert_int_equal(attach(&life, NEW, "main"), old);
    assert_int_not_equal(empty, old);
    assert_true(apipool_store_has_unsaved_keys(life.store));
    life_t next = restart(&life, "pools");
    assert_int_equal(next.stored, 2);
    assert_int_equal(apipool_pool_retire_all(next.segment), APR_SUCCESS);
    slot_of(&next, attach(&next, NEW, "main"), "sk-one", 6);
    const apr_array_header_t *left = apipool_scope_unused(next.segment, next.f->pool);
    assert_int_equal(left->nelts, 2); /* "main" has no upstream yet, "other" is not there at all */
    assert_int_equal(APR_ARRAY_IDX(left, 0, apipool_unused_t).has_pool +
                         APR_ARRAY_IDX(left, 1, apipool_unused_t).has_pool,
                     1);
    end(&life);
    end(&next);
}

static void clients_move_and_one_whose_name_is_taken_says_whence(void **unused)
{
    apr_uint32_t left;
    life_t life = start("clients");
    create(&life, OLD, "ann", "1");
    create(&life, OLD, "bob", "2");
    create(&life, OLD, "a name of 59 bytes, which leaves no room for that of a host", "3");
    create(&life, "", "a name of 59 bytes, which leaves no room for that of a host", "4");
    create(&life, "", "ann", "5");
    const apr_array_header_t *clients = apipool_scope_clients(life.segment, life.f->pool);
    assert_int_equal(clients->nelts, 1);
    assert_int_equal(APR_ARRAY_IDX(clients, 0, apipool_scope_clients_t).clients, 3);
    const apr_array_header_t *moves =
        apipool_scope_plan(life.segment, OLD, "", &left, life.f->pool);
    assert_int_equal(moves->nelts, 2);
    assert_int_equal(left, 1);
    for (int i = 0; i < moves->nelts; i++) {
        const apipool_client_move_t *move = &APR_ARRAY_IDX(moves, i, apipool_client_move_t);
        assert_int_equal(apipool_client_move(life.segment, move->digest, "", move->name),
                         APR_SUCCESS);
    }
    assert_true(has(&life, "", "ann@Old.example") && has(&life, "", "bob"));
    assert_false(has(&life, OLD, "ann") || has(&life, OLD, "bob"));
    const unsigned char *digest = APR_ARRAY_IDX(moves, 0, apipool_client_move_t).digest;
    assert_int_equal(apipool_client_move(life.segment, digest, "", "bob"), APR_EEXIST);
    assert_int_equal(apipool_client_move(life.segment, (const unsigned char *)NEW NEW NEW, "", "x"),
                     APR_NOTFOUND);
    life_t next = restart(&life, "clients");
    assert_true(has(&next, "", "ann@Old.example") && has(&next, "", "bob"));
    end(&life);
    end(&next);
}

/* Each scope gets a key and a client ann. Their texts are the same but for one letter. */
static void write_store(int count, char *const *scopes)
{
    life_t life = start("store");
    for (int i = 0; i < count; i++) {
        char key[] = "sk-ok-certbot-old-aaaaaaaa",
             client[] = "ak-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
        key[sizeof(key) - 2] = client[sizeof(client) - 2] = (char)('a' + i);
        add(&life, upstream_of(&life, attach(&life, scopes[i], "own"), "one"), key);
        create(&life, scopes[i], "ann", client);
    }
    save(&life);
    end(&life);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pools_are_taken_over_with_their_keys),
        cmocka_unit_test(clients_move_and_one_whose_name_is_taken_says_whence),
    };
    if (argc > 2) {
        snprintf(scratch, sizeof(scratch), "%s", argv[1]);
        apr_initialize();
        write_store(argc - 2, argv + 2);
        return 0;
    }
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up_store, remove_scratch);
}
