/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/pool/client and src/core/client_key: recognition, admission, settlement. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client.h"
#include "consistency.h"
#include "pool_fixture.h"
#include "rebuild.h"

#define FULL 16 /* clients that the fixture's segment has room for */

static apipool_client_image_t an_image(const char *server, const char *name)
{
    apipool_client_image_t image;
    char key[APIPOOL_CLIENT_KEY_LEN + 1];
    memset(&image, 0, sizeof(image));
    snprintf(image.server, sizeof(image.server), "%s", server);
    snprintf(image.name, sizeof(image.name), "%s", name);
    snprintf(key, sizeof(key), "ak-%.20s%020d", name, (int)strlen(server));
    assert_int_equal(apipool_client_key_digest(key, strlen(key), image.digest), 1);
    image.created_at = NOW;
    image.terms.enabled = 1;
    image.terms.lists_len = APIPOOL_CLIENT_LISTS;
    return image;
}

static void add_client(const apipool_client_image_t *image)
{
    assert_int_equal(apipool_client_add(segment, image), APR_SUCCESS);
}

static void check_table(void)
{
    assert_int_equal(apipool_segment_lock(segment), APR_SUCCESS);
    const char *fault = consistency_of(segment);
    apipool_segment_unlock(segment);
    assert_string_equal(fault ? fault : "nothing", "nothing");
}

static apr_status_t recognise(const apipool_client_image_t *image, const char *server,
                              const char *also, apipool_client_pass_t *pass)
{
    return apipool_client_recognise(segment, image->digest, server, also, NOW, pass, NULL);
}

static apipool_client_charge_t charge_of(const apipool_client_pass_t *pass, apr_uint32_t tokens)
{
    return (apipool_client_charge_t){
        .index = pass->index, .serial = pass->serial, .tokens = tokens};
}

static apipool_client_admitted_e admit(apipool_client_charge_t *charge, apr_time_t now,
                                       apr_time_t *retry)
{
    apipool_client_admitted_e result;
    assert_int_equal(apipool_client_admit(segment, charge, now, &result, retry), APR_SUCCESS);
    return result;
}

static void settle(apipool_client_charge_t *charge, int reached, apr_int64_t tokens, apr_time_t now)
{
    apipool_client_used_t used = {.charge = *charge, .reached = reached, .tokens = tokens};
    apipool_finished_t finished = {.success = 1, .first_byte = -1};
    assert_int_equal(apipool_segment_lock(segment), APR_SUCCESS);
    apipool_client_settle_locked(segment, &used, &finished, now);
    apipool_segment_unlock(segment);
    charge->is_in_flight = 0;
}

/* Supplies bytes in turn, from 0 on, so that some are discarded. */
static unsigned char next_byte;

static int counting(unsigned char *bytes, int len)
{
    for (int i = 0; i < len; i++) {
        bytes[i] = next_byte++;
    }
    return 1;
}

static int failing(unsigned char *bytes, int len)
{
    (void)bytes;
    (void)len;
    return 0;
}

static void keys_have_a_form(void **state)
{
    static const char *const others[] = {
        "",
        "ak-",
        "ak-abcdefghijABCDEFGHIJ0123456789abcdefghi",
        "ak-abcdefghijABCDEFGHIJ0123456789abcdefghijk",
        "sk-abcdefghijABCDEFGHIJ0123456789abcdefghij",
        "AK-abcdefghijABCDEFGHIJ0123456789abcdefghij",
        "ak-abcdefghijABCDEFGHIJ0123456789abcdefghi-",
        "ak-abcdefghijABCDEFGHIJ0123456789abcdefgh\xc3\xa4",
    };
    char key[] = "ak-abcdefghijABCDEFGHIJ0123456789abcdefghij";
    assert_int_equal(apipool_client_key_is(key, strlen(key)), 1);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
        assert_int_equal(apipool_client_key_is(others[i], strlen(others[i])), 0);
    }
    key[20] = '\0';
    assert_int_equal(apipool_client_key_is(key, sizeof(key) - 1), 0);
}

/* In every place where a server would read a key, and nowhere else. */
static void keys_are_masked(void **state)
{
#define KEY   "ak-abcdefghijABCDEFGHIJ0123456789abcdefghij"
#define STARS "ak-****************************************"
    static const char *const cases[][2] = {
        {"GET /v1/models?key=" KEY " HTTP/1.1", "GET /v1/models?key=" STARS " HTTP/1.1"},
        {"/a;key=" KEY "/b?KEY=" KEY "&k%65y=" KEY,
         "/a;key=" STARS "/b?KEY=" STARS "&k%65y=" STARS},
        {"aak-ak-" KEY "", "aak-ak-" STARS},
        {KEY "x%20y", STARS "*%20y"},
        {"?k=%61%6B-abcdefghijABCDEFGHIJ0123456789abcdefghi%6a#",
         "?k=%61%6B-******************************************#"},
        {"ak-abcdefghijABCDEFGHIJ0123456789abcdefghi",
         "ak-abcdefghijABCDEFGHIJ0123456789abcdefghi"},
        {"ak-abcdefghijABCDEFGHIJ0123456789abcdefghi%",
         "ak-abcdefghijABCDEFGHIJ0123456789abcdefghi%"},
        {"sk-abcdefghijABCDEFGHIJ0123456789abcdefghij",
         "sk-abcdefghijABCDEFGHIJ0123456789abcdefghij"},
        {"ak-abcdefghijABCDEFGHIJ%00123456789abcdefghij",
         "ak-abcdefghijABCDEFGHIJ%00123456789abcdefghij"},
        {"%", "%"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char *text = strdup(cases[i][0]);
        assert_int_equal(apipool_client_key_mask(text), strcmp(cases[i][0], cases[i][1]) != 0);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
    assert_int_equal(apipool_client_key_mask(NULL), 0);
}

/* All bytes occur equally often, so all letters do. */
static void keys_are_made_without_a_bias(void **state)
{
    char key[APIPOOL_CLIENT_KEY_LEN + 1];
    int counts[256] = {0}, least = 1 << 30, most = 0;
    for (int i = 0; i < 6200; i++) {
        next_byte = (unsigned char)(i * 7);
        assert_int_equal(apipool_client_key_make(counting, key), 1);
        assert_int_equal(apipool_client_key_is(key, strlen(key)), 1);
        for (int at = 3; key[at]; at++) {
            counts[(unsigned char)key[at]]++;
        }
    }
    for (const char *c = "AZaz09GLm5"; *c; c++) {
        least = counts[(unsigned char)*c] < least ? counts[(unsigned char)*c] : least;
        most = counts[(unsigned char)*c] > most ? counts[(unsigned char)*c] : most;
    }
    assert_in_range(least, 6200 * 40 / 62 * 95 / 100, most);
    assert_in_range(most, least, 6200 * 40 / 62 * 105 / 100);
    assert_int_equal(apipool_client_key_make(failing, key), 0);
}

static void lists_are_packed_and_asked(void **state)
{
    apipool_client_terms_t terms = {0};
    apr_array_header_t *models = apr_array_make(((fixture_t *)*state)->pool, 2, sizeof(char *));
    apr_array_header_t *lists[APIPOOL_CLIENT_LISTS] = {NULL, models, NULL};
    APR_ARRAY_PUSH(models, const char *) = "gpt-4o";
    APR_ARRAY_PUSH(models, const char *) = "gpt-4o-mini";
    assert_int_equal(apipool_client_pack(&terms, lists), 1);
    assert_int_equal(apipool_client_lists_are_whole(&terms), 1);
    assert_int_equal(apipool_client_restricts(&terms, APIPOOL_CLIENT_POOLS), 0);
    assert_int_equal(apipool_client_restricts(&terms, APIPOOL_CLIENT_MODELS), 1);
    assert_int_equal(apipool_client_restricts(&terms, APIPOOL_CLIENT_ENDPOINTS), 0);
    assert_int_equal(apipool_client_allows(&terms, APIPOOL_CLIENT_POOLS, "any"), 1);
    assert_int_equal(apipool_client_allows(&terms, APIPOOL_CLIENT_MODELS, "gpt-4o"), 1);
    assert_int_equal(apipool_client_allows(&terms, APIPOOL_CLIENT_MODELS, "gpt-4o-mini"), 1);
    assert_int_equal(apipool_client_allows(&terms, APIPOOL_CLIENT_MODELS, "gpt-4"), 0);
    assert_int_equal(apipool_client_allows(&terms, APIPOOL_CLIENT_MODELS, ""), 0);
    assert_int_equal(apipool_client_allows(&terms, APIPOOL_CLIENT_ENDPOINTS, ""), 1);

    /* 20 bytes are used; 2 of them end the lists behind the models */
    assert_int_equal(terms.lists_len, 1 + 7 + 12 + 1 + 1);
    char *longest = apr_pcalloc(((fixture_t *)*state)->pool, APIPOOL_CLIENT_LISTS_MAX);
    memset(longest, 'x', APIPOOL_CLIENT_LISTS_MAX - terms.lists_len - 1);
    APR_ARRAY_PUSH(models, const char *) = longest;
    assert_int_equal(apipool_client_pack(&terms, lists), 1);
    assert_int_equal(terms.lists_len, APIPOOL_CLIENT_LISTS_MAX);
    assert_int_equal(apipool_client_lists_are_whole(&terms), 1);
    longest[strlen(longest)] = 'x';
    assert_int_equal(apipool_client_pack(&terms, lists), 0);
    APR_ARRAY_IDX(models, 2, const char *) = "";
    assert_int_equal(apipool_client_pack(&terms, lists), 0);
}

static void lists_that_are_torn_are_noticed(void **state)
{
    static const struct {
        const char *lists;
        apr_uint32_t len;
    } torn[] = {{"\0\0", 2},    {"\0\0\0\0", 4}, {"a\0\0\0", 4}, {"a\0\0\0\0\0", 6},
                {"\0\0abc", 5}, {"\0\0a\0", 4},  {"", 0},        {"\0\0\0", 0x7fffffff}};
    apipool_client_terms_t terms;
    for (size_t i = 0; i < sizeof(torn) / sizeof(*torn); i++) {
        memset(&terms, 'x', sizeof(terms));
        terms.lists_len = torn[i].len;
        memcpy(terms.lists, torn[i].lists, torn[i].len < 8 ? torn[i].len : 3);
        assert_int_equal(apipool_client_lists_are_whole(&terms), 0);
    }
}

static void a_key_is_recognised_where_it_belongs(void **state)
{
    apipool_client_image_t one = an_image("", "one"), two = an_image("v:80", "two");
    apipool_client_pass_t pass;
    assert_int_equal(recognise(&one, "", NULL, &pass), APR_NOTFOUND);
    add_client(&one);
    add_client(&two);
    assert_int_equal(recognise(&one, "", NULL, &pass), APR_SUCCESS);
    assert_string_equal(pass.name, "one");
    assert_int_equal(pass.is_of_also, 0);
    assert_int_equal(recognise(&one, "v:80", "", &pass), APR_SUCCESS);
    assert_int_equal(pass.is_of_also, 1);
    assert_int_equal(recognise(&one, "v:80", NULL, &pass), APR_NOTFOUND);
    assert_int_equal(recognise(&two, "v:80", "", &pass), APR_SUCCESS);
    assert_string_equal(pass.name, "two");
    assert_int_equal(recognise(&two, "", NULL, &pass), APR_NOTFOUND);
    assert_int_equal(recognise(&two, "w:80", "", &pass), APR_NOTFOUND);
    two.digest[31] ^= 1;
    assert_int_equal(recognise(&two, "v:80", "", &pass), APR_NOTFOUND);
    check_table();
}

static void one_that_is_switched_off_or_has_expired_is_not(void **state)
{
    apipool_client_image_t one = an_image("", "one");
    apipool_client_pass_t pass;
    add_client(&one);
    apipool_client_terms_t terms = one.terms;
    terms.enabled = 0;
    assert_int_equal(apipool_client_set_terms(segment, "", "one", &terms), APR_SUCCESS);
    assert_int_equal(recognise(&one, "", NULL, &pass), APR_NOTFOUND);
    terms.enabled = 1;
    terms.expires_at = NOW;
    assert_int_equal(apipool_client_set_terms(segment, "", "one", &terms), APR_SUCCESS);
    assert_int_equal(recognise(&one, "", NULL, &pass), APR_NOTFOUND);
    terms.expires_at = NOW + 1;
    assert_int_equal(apipool_client_set_terms(segment, "", "one", &terms), APR_SUCCESS);
    assert_int_equal(recognise(&one, "", NULL, &pass), APR_SUCCESS);
    apipool_client_charge_t charge = charge_of(&pass, 1);
    apr_time_t at;
    assert_int_equal(admit(&charge, NOW + 1, &at), APIPOOL_CLIENT_GONE);
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(apipool_client_set_terms(segment, "", "two", &terms), APR_NOTFOUND);
}

static void a_key_that_was_rotated_has_an_end(void **unused)
{
    apipool_client_image_t image = an_image("", "one"), made = an_image("", "two"), row;
    apipool_client_pass_t pass, again;
    (void)unused;
    add_client(&image);
    assert_int_equal(recognise(&image, "", NULL, &pass), APR_SUCCESS);
    snprintf(made.name, sizeof(made.name), "one");
    memcpy(made.old_digest, image.digest, sizeof(made.old_digest));
    made.old_until = NOW + 1;
    assert_int_equal(apipool_client_set_keys(segment, &made), APR_SUCCESS);
    check_table();
    assert_int_equal(recognise(&image, "", NULL, &again), APR_SUCCESS);
    assert_int_equal(again.serial, pass.serial);
    assert_int_equal(recognise(&made, "", NULL, &again), APR_SUCCESS);
    assert_int_equal(again.serial, pass.serial);
    made.old_until = NOW;
    assert_int_equal(apipool_client_set_keys(segment, &made), APR_SUCCESS);
    assert_int_equal(recognise(&image, "", NULL, &again), APR_NOTFOUND);
    assert_int_equal(recognise(&made, "", NULL, &again), APR_SUCCESS);
    row = an_image("", "one");
    snprintf(row.name, sizeof(row.name), "other");
    assert_int_equal(apipool_client_add(segment, &row), APR_EEXIST); /* the old key of another */
    assert_int_equal(apipool_client_remove(segment, "", "one"), APR_SUCCESS);
    check_table();
    made.old_until = 0;
    assert_int_equal(apipool_client_set_keys(segment, &made), APR_NOTFOUND);
}

static void names_and_keys_are_there_once(void **state)
{
    apipool_client_image_t one = an_image("", "one"), again = an_image("", "one");
    add_client(&one);
    again.digest[0] ^= 1;
    assert_int_equal(apipool_client_add(segment, &again), APR_EEXIST);
    snprintf(again.name, sizeof(again.name), "two");
    memcpy(again.digest, one.digest, sizeof(again.digest));
    assert_int_equal(apipool_client_add(segment, &again), APR_EEXIST);
    again = an_image("v:80", "one");
    add_client(&again); /* of another server */
    check_table();
}

static void the_table_fills_and_its_places_are_used_again(void **state)
{
    apipool_client_row_t row;
    char name[16];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < FULL; i++) {
            snprintf(name, sizeof(name), "client-%d", i);
            apipool_client_image_t image = an_image("", name);
            add_client(&image);
        }
        apipool_client_image_t more = an_image("", "more");
        assert_int_equal(apipool_client_add(segment, &more), APR_ENOMEM);
        assert_int_equal(apipool_client_may_add(segment, &more), APR_ENOMEM);
        assert_int_equal(segment->clients.head->by_digest.linked, FULL);
        check_table();
        for (int i = 0; i < FULL; i++) {
            snprintf(name, sizeof(name), "client-%d", (i * 5 + round) % FULL);
            assert_int_equal(apipool_client_read(segment, "", name, NOW, &row), APR_SUCCESS);
            assert_string_equal(row.image.name, name);
            assert_int_equal(apipool_client_remove(segment, "", name), APR_SUCCESS);
            assert_int_equal(apipool_client_remove(segment, "", name), APR_NOTFOUND);
            check_table();
        }
    }
}

static void rows_are_those_of_a_server(void **state)
{
    apipool_client_row_t rows[3];
    apr_uint32_t from = 0, count, seen = 0;
    for (int i = 0; i < 10; i++) {
        char name[16];
        snprintf(name, sizeof(name), "client-%d", i);
        apipool_client_image_t image = an_image(i % 2 ? "v:80" : "", name);
        add_client(&image);
    }
    while (from != APIPOOL_NONE) {
        assert_int_equal(apipool_client_rows(segment, "v:80", NOW, &from, rows, 3, &count),
                         APR_SUCCESS);
        for (apr_uint32_t i = 0; i < count; i++, seen++) {
            assert_string_equal(rows[i].image.server, "v:80");
        }
    }
    assert_int_equal(seen, 5);
}

static apipool_client_pass_t limited(apr_uint32_t rpm, apr_uint32_t tpm, apr_uint32_t tpd)
{
    apipool_client_image_t one = an_image("", "one");
    apipool_client_pass_t pass;
    one.terms.limits[APIPOOL_CLIENT_RPM] = rpm;
    one.terms.limits[APIPOOL_CLIENT_TPM] = tpm;
    one.terms.limits[APIPOOL_CLIENT_TPD] = tpd;
    add_client(&one);
    assert_int_equal(recognise(&one, "", NULL, &pass), APR_SUCCESS);
    return pass;
}

static void requests_are_admitted_up_to_the_limit(void **state)
{
    apipool_client_pass_t pass = limited(3, 0, 0);
    apipool_client_charge_t charge = charge_of(&pass, 100);
    apr_time_t at;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
        assert_int_equal(charge.at, NOW);
    }
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_OVER_RPM);
    assert_int_equal(charge.at, 0);
    assert_in_range(at, NOW + SEC(60), NOW + SEC(66));
    assert_int_equal(admit(&charge, NOW + SEC(60), &at), APIPOOL_CLIENT_OVER_RPM);
    assert_int_equal(admit(&charge, at, &at), APIPOOL_CLIENT_ADMITTED);
}

static void the_limit_that_lasts_longest_is_named_and_none_is_charged(void **state)
{
    apipool_client_pass_t pass = limited(2, 0, 100);
    apipool_client_charge_t charge = charge_of(&pass, 60);
    apr_time_t at;
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_OVER_TPD);
    assert_in_range(at, NOW + SEC(86400), NOW + SEC(86400 * 1.1));
    charge.tokens = 40;
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_OVER_TPD);
}

static void what_was_used_replaces_what_was_reserved(void **state)
{
    apipool_client_pass_t pass = limited(0, 100, 0);
    apipool_client_charge_t charge = charge_of(&pass, 90), next = charge_of(&pass, 20);
    apr_time_t at;
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&next, NOW, &at), APIPOOL_CLIENT_OVER_TPM);
    settle(&charge, 1, 70, NOW + SEC(1));
    assert_int_equal(admit(&next, NOW + SEC(1), &at), APIPOOL_CLIENT_ADMITTED);
    settle(&next, 1, 31, NOW + SEC(2)); /* more than estimated: 101 in all */
    next.tokens = 1;
    assert_int_equal(admit(&next, NOW + SEC(2), &at), APIPOOL_CLIENT_OVER_TPM);
}

static void what_nobody_knows_stays_charged(void **state)
{
    apipool_client_pass_t pass = limited(0, 100, 0);
    apipool_client_charge_t charge = charge_of(&pass, 90), next = charge_of(&pass, 20);
    apr_time_t at;
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    settle(&charge, 1, -1, NOW + SEC(1));
    assert_int_equal(admit(&next, NOW + SEC(1), &at), APIPOOL_CLIENT_OVER_TPM);
}

static void what_reached_no_upstream_is_given_back(void **state)
{
    apipool_client_pass_t pass = limited(1, 100, 100);
    apipool_client_charge_t charge = charge_of(&pass, 90);
    apr_time_t at;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(admit(&charge, NOW + i, &at), APIPOOL_CLIENT_ADMITTED);
        settle(&charge, 0, -1, NOW + i);
    }
    assert_int_equal(admit(&charge, NOW + 9, &at), APIPOOL_CLIENT_ADMITTED);
    settle(&charge, 1, 0, NOW + 9);
    assert_int_equal(admit(&charge, NOW + 9, &at), APIPOOL_CLIENT_OVER_RPM);
    settle(&charge, 0, 0, NOW + 9); /* it was not admitted */
    assert_int_equal(admit(&charge, NOW + 9, &at), APIPOOL_CLIENT_OVER_RPM);
}

static void a_request_of_one_that_has_gone_is_not_the_next_ones(void **state)
{
    apipool_client_pass_t pass = limited(0, 100, 0), other;
    apipool_client_charge_t charge = charge_of(&pass, 90);
    apipool_client_image_t two = an_image("", "two");
    apipool_client_row_t row;
    apr_time_t at;
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(apipool_client_remove(segment, "", "one"), APR_SUCCESS);
    add_client(&two);
    assert_int_equal(recognise(&two, "", NULL, &other), APR_SUCCESS);
    assert_int_equal(other.index, pass.index);
    assert_int_not_equal(other.serial, pass.serial);
    settle(&charge, 1, 1000, NOW + 1);
    assert_int_equal(apipool_client_read(segment, "", "two", NOW, &row), APR_SUCCESS);
    assert_int_equal(row.counters.requests, 0);
    assert_int_equal(segment->clients.slots[other.index].windows[APIPOOL_CLIENT_TPM].newest, 0);
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_GONE);
    charge = charge_of(&other, 5);
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    settle(&charge, 1, 5, NOW + 1);
    assert_int_equal(apipool_client_read(segment, "", "two", NOW, &row), APR_SUCCESS);
    assert_int_equal(row.counters.requests, 1);
    assert_int_equal(row.last_used_at, NOW);
}

static void what_is_shown_is_what_the_limits_count(void **state)
{
    apipool_client_pass_t pass = limited(0, 100, 1000);
    apipool_client_charge_t charge = charge_of(&pass, 90);
    apipool_client_row_t row;
    apr_time_t at;
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_OVER_TPM);
    assert_int_equal(apipool_client_read(segment, "", "one", at - 1, &row), APR_SUCCESS);
    assert_int_equal(row.counters.tpm, 90); /* set aside, and still in the way */
    assert_int_equal(row.counters.tpd, 90);
    assert_int_equal(apipool_client_read(segment, "", "one", at, &row), APR_SUCCESS);
    assert_int_equal(row.counters.tpm, 0);
}

static void terms_change_while_they_are_read(void **state)
{
    apipool_client_image_t one = an_image("", "one");
    apr_array_header_t *models = apr_array_make(((fixture_t *)*state)->pool, 2, sizeof(char *));
    apr_array_header_t *lists[APIPOOL_CLIENT_LISTS] = {NULL, models, NULL};
    apipool_client_terms_t terms = one.terms;
    apipool_client_pass_t pass;
    add_client(&one);
    APR_ARRAY_PUSH(models, const char *) = "m";
    assert_int_equal(apipool_client_pack(&terms, lists), 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(apipool_client_set_terms(segment, "", "one", i % 2 ? &one.terms : &terms),
                         APR_SUCCESS);
        assert_int_equal(recognise(&one, "", NULL, &pass), APR_SUCCESS);
        assert_int_equal(apipool_client_restricts(&pass.terms, APIPOOL_CLIENT_MODELS), !(i % 2));
        check_table();
    }
}

static apr_uint32_t places_of(const char *name)
{
    apipool_client_row_t row;
    assert_int_equal(apipool_client_read(segment, "", name, NOW, &row), APR_SUCCESS);
    return row.in_flight;
}

static apipool_client_pass_t crowded(apr_uint32_t concurrency)
{
    apipool_client_image_t one = an_image("", "one");
    apipool_client_pass_t pass;
    one.terms.limits[APIPOOL_CLIENT_CONCURRENCY] = concurrency;
    add_client(&one);
    assert_int_equal(recognise(&one, "", NULL, &pass), APR_SUCCESS);
    return pass;
}

static void as_many_are_in_flight_as_may_be(void **state)
{
    apipool_client_pass_t pass = crowded(2);
    apipool_client_charge_t charges[3];
    apr_time_t at;
    for (int i = 0; i < 3; i++) {
        charges[i] = charge_of(&pass, 1);
        charges[i].concurrency = 1; /* its own limit counts */
    }
    assert_int_equal(admit(&charges[0], NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&charges[1], NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&charges[2], NOW, &at), APIPOOL_CLIENT_OVER_CONCURRENCY);
    assert_int_equal(at, NOW + SEC(1));
    assert_int_equal(charges[2].at, 0);
    assert_int_equal(places_of("one"), 2);
    check_table();
    settle(&charges[0], 1, 1, NOW);
    assert_int_equal(places_of("one"), 1);
    assert_int_equal(admit(&charges[2], NOW, &at), APIPOOL_CLIENT_ADMITTED);
    for (int i = 0; i < 2; i++) { /* the second time gives nothing back */
        assert_int_equal(apipool_client_leave(segment, &charges[1]), APR_SUCCESS);
        assert_int_equal(apipool_client_leave(segment, &charges[2]), APR_SUCCESS);
        assert_int_equal(places_of("one"), 0);
    }
    check_table();
}

static apipool_client_entry_t enter(apipool_client_charge_t *charge)
{
    apipool_client_image_t image = an_image("", "one");
    apipool_client_pass_t pass;
    apipool_client_entry_t entry = {.charge = charge};
    assert_int_equal(apipool_client_recognise(segment, image.digest, "", NULL, NOW, &pass, &entry),
                     APR_SUCCESS);
    return entry;
}

static void a_place_is_taken_before_the_rest_is_known(void **state)
{
    apipool_client_pass_t pass = crowded(1);
    apipool_client_charge_t first = {.tokens = 1}, second = {.tokens = 1};
    apr_time_t at;
    assert_int_equal(enter(&first).result, APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(first.index, pass.index);
    assert_int_equal(first.serial, pass.serial);
    assert_int_equal(first.at, 0);
    apipool_client_entry_t entry = enter(&second);
    assert_int_equal(entry.result, APIPOOL_CLIENT_OVER_CONCURRENCY);
    assert_int_equal(entry.retry_at, NOW + SEC(1));
    assert_int_equal(admit(&second, NOW, &at), APIPOOL_CLIENT_OVER_CONCURRENCY);
    assert_int_equal(admit(&first, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(places_of("one"), 1);
    settle(&first, 1, 1, NOW);
    assert_int_equal(places_of("one"), 0);
    assert_int_equal(admit(&second, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    check_table();
}

static void who_has_no_limit_takes_the_pools(void **state)
{
    apipool_client_pass_t pass = crowded(0);
    apipool_client_charge_t first = charge_of(&pass, 1), second = charge_of(&pass, 1);
    apr_time_t at;
    first.concurrency = second.concurrency = 1;
    assert_int_equal(admit(&first, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&second, NOW, &at), APIPOOL_CLIENT_OVER_CONCURRENCY);
    second.concurrency = 0; /* another pool has no default */
    assert_int_equal(admit(&second, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(places_of("one"), 2);
}

static void a_window_that_is_full_takes_no_place(void **state)
{
    apipool_client_pass_t pass = limited(1, 0, 0);
    apipool_client_charge_t first = charge_of(&pass, 1), second = charge_of(&pass, 1);
    apr_time_t at;
    first.concurrency = second.concurrency = 1;
    assert_int_equal(admit(&first, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&second, NOW, &at), APIPOOL_CLIENT_OVER_RPM);
    assert_true(at > NOW + SEC(1));
    assert_int_equal(places_of("one"), 1);
}

static void a_place_of_one_that_has_gone_is_nobodys(void **state)
{
    apipool_client_pass_t pass = crowded(1);
    apipool_client_charge_t charge = charge_of(&pass, 1), next;
    apr_time_t at;
    assert_int_equal(admit(&charge, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(apipool_client_remove(segment, "", "one"), APR_SUCCESS);
    check_table();
    pass = crowded(1);
    assert_int_equal(pass.index, charge.index);
    next = charge_of(&pass, 1);
    assert_int_equal(admit(&next, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(apipool_client_leave(segment, &charge), APR_SUCCESS);
    assert_int_equal(places_of("one"), 1);
    assert_int_equal(apipool_client_leave(segment, &next), APR_SUCCESS);
    assert_int_equal(places_of("one"), 0);
    check_table();
}

/* Four processes ask as fast as they can; no more than the limit are admitted. */
#define CHILDREN 4

/* Takes places, gives some back, and is killed. */
static void take_and_die(fixture_t *f, const apipool_client_pass_t *pass, int number)
{
    apr_uint32_t seed = (apr_uint32_t)number + 1;
    apipool_client_admitted_e result;
    apr_time_t at;
    if (apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS) {
        _exit(1);
    }
    segment->mutex = f->mutex;
    apipool_segment_enter(segment);
    for (int i = 0; i < 500; i++) {
        apipool_client_charge_t charge = charge_of(pass, 1);
        apipool_client_admit(segment, &charge, NOW, &result, &at);
        if (next_random(&seed) % 8 && apipool_client_leave(segment, &charge) != APR_SUCCESS) {
            _exit(1);
        }
        if (segment->clients.slots[pass->index].in_flight > 10) {
            _exit(1);
        }
    }
    kill(getpid(), SIGKILL);
}

static void places_of_children_that_are_killed_come_back(void **state)
{
    fixture_t *f = *state;
    apipool_client_pass_t pass = crowded(10);
    apipool_client_charge_t mine = charge_of(&pass, 1);
    pid_t children[CHILDREN];
    apr_time_t at;
    apipool_segment_enter(segment);
    assert_int_equal(admit(&mine, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    for (int c = 0; c < CHILDREN; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            take_and_die(f, &pass, c);
        }
    }
    for (int c = 0; c < CHILDREN; c++) {
        int status;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(apipool_pool_reclaim(segment, (apr_uint32_t)children[c], NOW),
                         APR_SUCCESS);
        check_table();
    }
    assert_int_equal(places_of("one"), 1);
    segment->clients.slots[pass.index].in_flight = 7; /* a process died holding the lock */
    assert_int_equal(apipool_segment_lock(segment), APR_SUCCESS);
    assert_true(apipool_rebuild_locked(segment));
    apipool_segment_unlock(segment);
    assert_int_equal(places_of("one"), 1);
    check_table();
    assert_int_equal(apipool_pool_reclaim_all(segment, NOW), APR_SUCCESS);
    assert_int_equal(places_of("one"), 0);
}

static void tokens_set_aside_by_the_dead_are_given_back(void **unused)
{
    apipool_client_pass_t pass = limited(0, 10, 10);
    apipool_client_charge_t used = charge_of(&pass, 4), lost = charge_of(&pass, 6),
                            more = charge_of(&pass, 6);
    apr_time_t at;
    segment->process = 100;
    assert_int_equal(admit(&used, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    settle(&used, 1, 4, NOW);
    assert_int_equal(admit(&lost, NOW, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&more, NOW, &at), APIPOOL_CLIENT_OVER_TPD);
    assert_int_equal(apipool_pool_reclaim(segment, 100, NOW + 1), APR_SUCCESS);
    assert_int_equal(admit(&more, NOW + 1, &at), APIPOOL_CLIENT_ADMITTED);
    assert_int_equal(admit(&lost, NOW + 1, &at), APIPOOL_CLIENT_OVER_TPD);
}

static void limits_hold_over_all_processes(void **state)
{
    apipool_client_pass_t pass = limited(1000, 0, 0);
    pid_t children[CHILDREN];
    int admitted = 0;
    for (int c = 0; c < CHILDREN; c++) {
        children[c] = fork();
        if (children[c] == 0) {
            fixture_t *f = *state;
            if (apr_global_mutex_child_init(&f->mutex, NULL, f->pool) != APR_SUCCESS) {
                _exit(1);
            }
            segment->mutex = f->mutex;
            apipool_segment_enter(segment);
            int mine = 0;
            apr_time_t at;
            for (int i = 0; i < 700; i++) {
                apipool_client_charge_t charge = charge_of(&pass, 1);
                apipool_client_admitted_e result = APIPOOL_CLIENT_GONE;
                apipool_client_admit(segment, &charge, NOW + i, &result, &at);
                mine += result == APIPOOL_CLIENT_ADMITTED;
            }
            __atomic_add_fetch(&segment->clients.slots[pass.index].counters.counts.requests,
                               (apr_uint64_t)mine, __ATOMIC_RELAXED);
            _exit(0);
        }
    }
    for (int c = 0; c < CHILDREN; c++) {
        int status;
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        assert_int_equal(status, 0);
    }
    admitted = (int)segment->clients.slots[pass.index].counters.counts.requests;
    assert_int_equal(admitted, 1000);
}

#define WORLD(name) cmocka_unit_test_setup_teardown(name, open_segment, close_segment)

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(keys_have_a_form),
    cmocka_unit_test(keys_are_masked),
    cmocka_unit_test(keys_are_made_without_a_bias),
    WORLD(lists_are_packed_and_asked),
    cmocka_unit_test(lists_that_are_torn_are_noticed),
    WORLD(a_key_is_recognised_where_it_belongs),
    WORLD(one_that_is_switched_off_or_has_expired_is_not),
    WORLD(a_key_that_was_rotated_has_an_end),
    WORLD(names_and_keys_are_there_once),
    WORLD(the_table_fills_and_its_places_are_used_again),
    WORLD(rows_are_those_of_a_server),
    WORLD(requests_are_admitted_up_to_the_limit),
    WORLD(the_limit_that_lasts_longest_is_named_and_none_is_charged),
    WORLD(what_was_used_replaces_what_was_reserved),
    WORLD(what_nobody_knows_stays_charged),
    WORLD(what_reached_no_upstream_is_given_back),
    WORLD(a_request_of_one_that_has_gone_is_not_the_next_ones),
    WORLD(what_is_shown_is_what_the_limits_count),
    WORLD(terms_change_while_they_are_read),
    WORLD(as_many_are_in_flight_as_may_be),
    WORLD(a_place_is_taken_before_the_rest_is_known),
    WORLD(who_has_no_limit_takes_the_pools),
    WORLD(a_window_that_is_full_takes_no_place),
    WORLD(a_place_of_one_that_has_gone_is_nobodys),
    WORLD(places_of_children_that_are_killed_come_back),
    WORLD(tokens_set_aside_by_the_dead_are_given_back),
    WORLD(limits_hold_over_all_processes),
};

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("client", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
