/* SPDX-License-Identifier: Apache-2.0 */
/* The entries of an index in memory: found across blocks, blocks used again, given back some at a
 * time, and a run that is as it was when there is no memory. */
#include "log/index.h"
#include "test/lib/log_fixture.h"

enum { ENTRIES = 5 * INDEX_BLOCK + 7 };

static struct index_entry entry_of(uint64_t i)
{
	return (struct index_entry){.base_offset = (int64_t)i * 3,
	    .pos = (uint32_t)i * 64,
	    .len = 64,
	    .max_timestamp_ms = (int64_t)i * 2,
	    .sequence = i * 5 + 1};
}

static void push(struct index *x, uint64_t from, uint64_t end)
{
	for (uint64_t i = from; i < end; i++) {
		assert_ok(index_promise(x));
		index_push(x, entry_of(i));
	}
}

/* Entry `i` is found by each key, and what lies between it and the next one. */
static void assert_found(const struct index *x, uint64_t i)
{
	struct index_entry want = entry_of(i), e;
	struct index_probe probes[] = {
	    {INDEX_BY_OFFSET, (uint64_t)want.base_offset},
	    {INDEX_BY_OFFSET, (uint64_t)want.base_offset + 2},
	    {INDEX_BY_TIMESTAMP, (uint64_t)want.max_timestamp_ms},
	    {INDEX_BY_SEQUENCE, want.sequence},
	    {INDEX_BY_SEQUENCE, want.sequence - 1},
	};
	for (size_t k = 0; k < sizeof(probes) / sizeof(probes[0]); k++) {
		uint64_t number = 0;
		assert_ok(index_find_memory(x, probes[k], &e, &number));
		assert_int_equal(number, i);
		assert_int_equal(e.base_offset, want.base_offset);
		assert_int_equal(e.pos, want.pos);
		assert_int_equal(e.sequence, want.sequence);
	}
}

static void assert_all_found(const struct index *x)
{
	assert_int_equal(index_count(x), ENTRIES);
	for (uint64_t i = 0; i < ENTRIES;
	     i += i % INDEX_BLOCK < 4 || i % INDEX_BLOCK > 2040 ? 1 : 97)
		assert_found(x, i);
	assert_found(x, ENTRIES - 1);
}

static void test_finds_entries_across_blocks_and_runs(void **state)
{
	(void)state;
	struct index x;
	index_init(&x, NULL);
	push(&x, 0, ENTRIES / 2);
	assert_true(index_write_begin(&x));
	push(&x, ENTRIES / 2, ENTRIES);
	assert_all_found(&x);
	index_write_end(&x, false); /* the disk was full: all of them are to be written again */
	assert_int_equal(x.writing.count, 0);
	assert_all_found(&x);
	assert_true(index_write_begin(&x));
	index_write_end(&x, true);
	assert_int_equal(x.file_count, ENTRIES);
	assert_int_equal(index_count(&x), ENTRIES);
	index_release(&x);
}

static void test_uses_blocks_again_and_gives_them_back_some_at_a_time(void **state)
{
	(void)state;
	struct index_spare spare = {0};
	struct index x;
	index_init(&x, &spare);
	push(&x, 0, ENTRIES);
	assert_int_equal(spare.count, 0);
	assert_true(index_write_begin(&x));
	index_write_end(&x, true);
	assert_int_equal(spare.count, 6);
	push(&x, ENTRIES, ENTRIES + 2 * INDEX_BLOCK);
	assert_int_equal(spare.count, 4);
	assert_found(&x, ENTRIES + INDEX_BLOCK);
	index_spare_shrink(&spare, 3);
	assert_int_equal(spare.count, 1);
	index_release(&x);
	assert_int_equal(spare.count, 3);
	index_spare_shrink(&spare, SIZE_MAX);
	assert_int_equal(spare.count, 0);
	assert_null(spare.first);
}

static void test_few_entries_take_no_block(void **state)
{
	(void)state;
	struct index_spare spare = {0};
	struct index x;
	index_init(&x, &spare);
	push(&x, 0, 100);
	assert_true(x.fresh.capacity * sizeof(struct index_entry) < INDEX_BLOCK_BYTES / 8);
	index_release(&x);
	assert_int_equal(spare.count, 0);
}

static void test_without_memory_what_is_there_stays(void **state)
{
	(void)state;
	struct index x;
	size_t refused = 0;
	index_init(&x, NULL);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		mem_fail_at(1);
		enum err e = index_promise(&x);
		refused += e == ERR_NOMEM;
		mem_fail_at(2); /* a table and then no block */
		if (e != ERR_OK)
			e = index_promise(&x);
		mem_fail_at(0);
		if (e != ERR_OK)
			assert_ok(index_promise(&x));
		index_push(&x, entry_of(i));
	}
	assert_true(refused > 6);
	assert_all_found(&x);
	index_release(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_finds_entries_across_blocks_and_runs),
	    cmocka_unit_test(test_uses_blocks_again_and_gives_them_back_some_at_a_time),
	    cmocka_unit_test(test_few_entries_take_no_block),
	    cmocka_unit_test(test_without_memory_what_is_there_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
