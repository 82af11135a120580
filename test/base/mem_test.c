/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"

#include "log/base/base.h"
#include "test/lib/seed.h"

static void allocations_fail_on_demand_and_only_then(void **state)
{
	(void)state;
	mem_fail_at(3);
	void *a = mem_alloc(10), *b = mem_calloc(2, 5), *c = mem_alloc(10), *d = mem_alloc(10);
	assert_int_equal(mem_fail_count(), 4);
	mem_fail_at(0);
	assert_non_null(a);
	assert_non_null(b);
	assert_null(c);
	assert_non_null(d);
	mem_fail_at(1);
	assert_null(mem_realloc(a, 20));
	mem_fail_at(1);
	assert_null(mem_alloc_aligned(64, 64));
	mem_fail_at(1);
	assert_null(mem_alloc_pages(MEM_LARGE_PAGE));
	mem_fail_at(1);
	assert_null(mem_strdup(STR("x")));
	mem_fail_at(0);
	mem_free(a);
	mem_free(b);
	mem_free(d);
	mem_free(NULL);
}

static void zero_bytes_are_a_valid_pointer_and_overflow_is_none(void **state)
{
	(void)state;
	void *a = mem_alloc(0), *b = mem_calloc(0, 8), *c = mem_realloc(NULL, 0);
	assert_true(a && b && c);
	mem_free(a);
	mem_free(b);
	mem_free(c);
	/* volatile: the compiler would warn of what is tested here */
	volatile size_t huge = SIZE_MAX / 2;
	assert_null(mem_calloc(huge, 4));
	char *copy = mem_strdup(str_from("ab\0c", 4));
	assert_memory_equal(copy, "ab\0c", 5);
	mem_free(copy);
	uint8_t *pages = mem_alloc_pages(2 * MEM_LARGE_PAGE);
	assert_int_equal((uintptr_t)pages % MEM_LARGE_PAGE, 0);
	assert_int_equal(pages[0] | pages[2 * MEM_LARGE_PAGE - 1], 0);
	memset(pages, 1, 2 * MEM_LARGE_PAGE);
	mem_free_pages(pages, 2 * MEM_LARGE_PAGE);
	mem_free_pages(NULL, MEM_LARGE_PAGE);
	for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
		void *p = mem_alloc_aligned(alignment, 100);
		assert_int_equal((uintptr_t)p % alignment, 0);
		mem_free(p);
	}
}

struct piece {
	uint8_t *ptr;
	size_t len;
	uint8_t fill;
};

static void arena_pieces_are_aligned_and_do_not_overlap(void **state)
{
	(void)state;
	struct prng p;
	prng_init(&p, test_seed(3));
	struct arena a;
	arena_init(&a, 64 * MIB);
	static struct piece pieces[4000];
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 4000; i++) {
			size_t len = prng_below(&p, 50) == 0 ? prng_below(&p, 300000)
			    : prng_below(&p, 200);
			pieces[i] = (struct piece){arena_alloc(&a, len), len, (uint8_t)i};
			assert_non_null(pieces[i].ptr);
			assert_int_equal((uintptr_t)pieces[i].ptr % 16, 0);
			memset(pieces[i].ptr, pieces[i].fill, len);
		}
		for (size_t i = 0; i < 4000; i++) {
			for (size_t n = 0; n < pieces[i].len; n++)
				assert_int_equal(pieces[i].ptr[n], pieces[i].fill);
		}
		size_t before = a.used_bytes;
		arena_clear(&a);
		assert_true(a.used_bytes < before && a.used_bytes <= 64 * KIB);
	}
	arena_release(&a);
	assert_int_equal(a.used_bytes, 0);
	arena_release(&a);
}

static void an_arena_never_holds_more_than_its_limit(void **state)
{
	(void)state;
	static const size_t limits[] = {0, 1, 16, 100, 4096, 5000, 100000};
	for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++) {
		struct arena a;
		arena_init(&a, limits[i]);
		size_t got = 0;
		while (arena_alloc(&a, 40)) {
			got += 40;
			assert_true(a.used_bytes <= limits[i]);
		}
		assert_true(got <= limits[i]);
		/* most of the limit is of use */
		assert_true(limits[i] < 4096 || got > limits[i] / 2);
		assert_null(arena_alloc(&a, SIZE_MAX));
		assert_null(arena_alloc(&a, SIZE_MAX - 15));
		assert_null(arena_calloc(&a, SIZE_MAX / 2, 4));
		arena_clear(&a);
		assert_true(limits[i] < 4096 || arena_alloc(&a, 40));
		arena_release(&a);
	}
}

static void an_arena_without_memory_says_so_and_goes_on(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 1 * MIB);
	mem_fail_at(1);
	assert_null(arena_alloc(&a, 10));
	mem_fail_at(1);
	assert_null(arena_copy(&a, bytes_of("x", 1)).ptr);
	mem_fail_at(0);
	assert_non_null(arena_copy(&a, bytes_of("x", 1)).ptr);
	arena_release(&a);
	arena_init(&a, 1 * MIB);
	assert_non_null(arena_alloc(&a, 4000));
	mem_fail_at(1);
	assert_null(arena_printf(&a, "%0500d", 1));
	mem_fail_at(0);
	assert_non_null(arena_printf(&a, "%0500d", 1));
	arena_release(&a);
}

static void arena_text_is_copied_and_terminated(void **state)
{
	(void)state;
	struct arena a;
	arena_init(&a, 1 * MIB);
	char source[] = "source";
	struct str s = arena_copy_str(&a, str_of(source));
	char *c = arena_cstr(&a, str_from(source, 3));
	char *f = arena_printf(&a, "%s-%d", source, 42);
	memset(source, 'x', 6);
	assert_true(str_equal(s, STR("source")));
	assert_string_equal(c, "sou");
	assert_string_equal(f, "source-42");
	uint8_t *z = arena_calloc(&a, 100, 10);
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(z[i], 0);
	assert_non_null(arena_copy(&a, bytes_of(NULL, 0)).ptr);
	assert_string_equal(arena_cstr(&a, str_of(NULL)), "");
	arena_release(&a);
}

static void a_budget_gives_what_it_has_and_no_more(void **state)
{
	(void)state;
	struct budget b = {.limit_bytes = 100};
	assert_true(budget_take(&b, 60));
	assert_false(budget_take(&b, 41));
	assert_false(budget_take(&b, SIZE_MAX));
	assert_true(budget_take(&b, 40));
	assert_false(budget_take(&b, 1));
	budget_give(&b, 60);
	assert_true(budget_take(&b, 60));
	budget_give(&b, 100);
	assert_int_equal(b.used_bytes, 0);
	/* a limit lowered below what is used refuses until it has come back */
	assert_true(budget_take(&b, 80));
	b.limit_bytes = 50;
	assert_false(budget_take(&b, 1));
	budget_give(&b, 80);
}

static void numbers_follow_their_seed_and_fill_their_range(void **state)
{
	(void)state;
	struct prng a, b, c;
	prng_init(&a, 42);
	prng_init(&b, 42);
	prng_init(&c, 43);
	unsigned same = 0;
	for (int i = 0; i < 1000; i++) {
		uint64_t x = prng_u64(&a);
		assert_true(x == prng_u64(&b));
		same += x == prng_u64(&c);
	}
	assert_int_equal(same, 0);
	/* xoshiro256** seeded by splitmix64(0), from the authors' code */
	prng_init(&a, 0);
	assert_true(prng_u64(&a) == 0x99EC5F36CB75F2B4u);
	assert_true(prng_u64(&a) == 0xBF6E1F784956452Au);
	unsigned counts[7] = {0};
	for (int i = 0; i < 70000; i++)
		counts[prng_below(&a, 7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(counts[i], 9500, 10500);
	assert_int_equal(prng_below(&a, 1), 0);
}

static void a_list_keeps_its_order_under_removal(void **state)
{
	(void)state;
	struct list l;
	struct list_node n[5];
	list_init(&l);
	assert_true(list_empty(&l));
	assert_null(list_pop_front(&l));
	for (int i = 0; i < 5; i++) {
		list_node_init(&n[i]);
		list_push_back(&l, &n[i]);
	}
	int seen = 0;
	LIST_EACH(&l, node, next) {
		assert_ptr_equal(node, &n[seen]);
		if (seen++ % 2)
			list_remove(node);
	}
	assert_int_equal(seen, 5);
	assert_false(list_linked(&n[1]));
	list_remove(&n[1]);
	list_push_front(&l, &n[3]);
	assert_ptr_equal(list_pop_front(&l), &n[3]);
	assert_ptr_equal(list_pop_front(&l), &n[0]);
	assert_ptr_equal(list_pop_front(&l), &n[2]);
	assert_ptr_equal(list_first(&l), &n[4]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(allocations_fail_on_demand_and_only_then),
	    cmocka_unit_test(zero_bytes_are_a_valid_pointer_and_overflow_is_none),
	    cmocka_unit_test(arena_pieces_are_aligned_and_do_not_overlap),
	    cmocka_unit_test(an_arena_never_holds_more_than_its_limit),
	    cmocka_unit_test(an_arena_without_memory_says_so_and_goes_on),
	    cmocka_unit_test(arena_text_is_copied_and_terminated),
	    cmocka_unit_test(a_budget_gives_what_it_has_and_no_more),
	    cmocka_unit_test(numbers_follow_their_seed_and_fill_their_range),
	    cmocka_unit_test(a_list_keeps_its_order_under_removal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
