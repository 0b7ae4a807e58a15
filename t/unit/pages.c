/* SPDX-License-Identifier: Apache-2.0
 * Tests of src/state/pages: the same memory at another address, and large pages where it is full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pool_fixture.h"

#include <sys/mman.h>
#include <unistd.h>

#include "pages.h"

#define LARGE APIPOOL_PAGES_LARGE

/* Bytes of these that lie in large pages, as Linux tells. */
static size_t large_bytes(const char *from, const char *to)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long begin = 0, first, last, kilobytes;
    size_t sum = 0;
    while (maps && fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2) {
            begin = first;
        }
        if (sscanf(line, "ShmemPmdMapped: %lu kB", &kilobytes) == 1 &&
            begin >= (uintptr_t)from / 4096 * 4096 && begin < (uintptr_t)to) {
            sum += kilobytes * 1024;
        }
    }
    if (maps) {
        fclose(maps);
    }
    return sum;
}

/* Whether this kernel makes a large page of small ones that are all there. */
static int makes_large_pages(void)
{
#ifdef __linux__
    size_t size = 2 * LARGE;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    char *aligned = apipool_pages_align(memory, size);
    memset(memory, 1, size);
    int made = aligned != memory && madvise(aligned, LARGE, 25) == 0;
    munmap(memory, size);
    return made;
#else
    return 0;
#endif
}

static char *map(size_t size)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void two_addresses_are_one_memory(void **unused)
{
    size_t size = 3 * LARGE + 4096;
    char *memory = map(size);
    memory[0] = 'a';
    char *aligned = apipool_pages_align(memory, size);
    if (aligned == memory) {
        munmap(memory, size);
        skip();
    }
    assert_int_equal((uintptr_t)aligned % LARGE, 0);
    assert_int_equal(aligned[0], 'a');
    aligned[size - 1] = 'z';
    assert_int_equal(memory[size - 1], 'z');
    munmap(memory, size);
}

static void what_is_full_becomes_large_and_no_more(void **unused)
{
    size_t size = 4 * LARGE;
    char *memory = map(size);
    char *aligned = apipool_pages_align(memory, size);
    memset(aligned, 'x', 3 * LARGE);
    assert_int_equal(apipool_pages_enlarge(aligned, 0, LARGE - 1, 9), 0);
    assert_int_equal(apipool_pages_enlarge(aligned + 1, 0, LARGE, 9),
                     LARGE - 1); /* where one may begin */
    assert_int_equal(apipool_pages_enlarge(aligned, 0, 3 * LARGE, 0), 0);
    assert_int_equal(large_bytes(aligned, aligned + size), 0);
    assert_int_equal(apipool_pages_enlarge(aligned, LARGE, 3 * LARGE, 1), 2 * LARGE);
    size_t large = large_bytes(aligned, aligned + size);
    for (size_t i = 0; i < 3 * LARGE; i++) {
        if (aligned[i] != 'x') {
            fail_msg("byte %zu has changed", i);
        }
    }
    munmap(memory, size);
    if (!large && !makes_large_pages()) {
        skip();
    }
    assert_int_equal(large, LARGE);
}

static void many_keys_lie_in_large_pages(void **unused)
{
    fixture_t *f = open_with(10000);
    char key[32];
    for (int i = 0; i < 7000; i++) {
        snprintf(key, sizeof(key), "sk-pages-%06d", i);
        assert_int_equal(add(group_a, key), APIPOOL_ADDED);
    }
    apipool_segment_enlarge_pages(segment, 0);
    assert_int_equal(large_bytes((char *)segment->header, (char *)segment->arena), 0);
    apipool_segment_enlarge_pages(segment, 1);
    size_t one = large_bytes((char *)segment->header, (char *)segment->arena);
    apipool_segment_enlarge_pages(segment, 1000);
    size_t large = large_bytes((char *)segment->header, (char *)segment->arena);
    apipool_segment_t *again;
    assert_int_equal(apipool_segment_view(&again, f->shm, f->mutex, f->pool), APR_SUCCESS);
    assert_ptr_equal(again->header, segment->header);
    assert_int_equal(add(group_a, "sk-pages-000000"), APIPOOL_DUPLICATE);
    assert_int_equal(add(group_a, "sk-pages-006999"), APIPOOL_DUPLICATE);
    fixture_close(f);
    if (!large && !makes_large_pages()) {
        skip();
    }
    assert_int_equal(one, LARGE);
    assert_true(large >= 2 * LARGE);
}

static void a_few_keys_ask_for_none(void **unused)
{
    fixture_t *f = open_with(CAPACITY);
    assert_int_equal(segment->header->aligned, 0);
    fixture_close(f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_addresses_are_one_memory),
        cmocka_unit_test(what_is_full_becomes_large_and_no_more),
        cmocka_unit_test(many_keys_lie_in_large_pages),
        cmocka_unit_test(a_few_keys_ask_for_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (apr_initialize() != APR_SUCCESS) {
        return 1;
    }
    int failed = cmocka_run_group_tests_name("pages", tests, NULL, NULL);
    apr_terminate();
    return failed;
}
