/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"

#include "log/base/base.h"
#include "test/lib/seed.h"


struct item {
	uint8_t key[8];
	bool in;    /* the model: is it in the map? */
	bool seen;  /* by the iteration under way */
};
enum { ITEMS = 700 };
static struct item items[ITEMS];

static struct bytes key_of(const struct item *i)
{
	return bytes_of(i->key, sizeof(i->key));
}


static void check_against_model(const struct map *m)
{
	size_t count = 0, found = 0, cursor = 0;
	for (size_t i = 0; i < ITEMS; i++) {
		items[i].seen = false;
		count += items[i].in;
		assert_ptr_equal(map_get(m, key_of(&items[i])), items[i].in ? &items[i] : NULL);
	}
	assert_int_equal(m->count, count);
	for (struct item *it; (it = map_next(m, &cursor)); found++) {
		assert_true(it->in && !it->seen);
		it->seen = true;
	}
	assert_int_equal(found, count);
	assert_null(map_next(m, &cursor));
}

static void a_map_agrees_with_its_model_after_any_puts_and_removes(void **state)
{
	(void)state;
	struct prng p;
	prng_init(&p, test_seed(20250301));
	struct map m;
	map_init(&m);
	for (uint64_t i = 0; i < ITEMS; i++)
		put_u64_le(items[i].key, i);
	for (int n = 0; n < 60000; n++) {
		/* waves of growth and shrinking */
		bool grow = (n / 3000) % 2 == 0;
		struct item *it = &items[prng_below(&p, ITEMS)];
		if (prng_below(&p, 10) < (grow ? 7u : 3u)) {
			assert_int_equal(map_put(&m, key_of(it), it), ERR_OK);
			it->in = true;
		} else {
			assert_ptr_equal(map_remove(&m, key_of(it)), it->in ? it : NULL);
			it->in = false;
		}
		if (n % 500 == 0)
			check_against_model(&m);
	}
	check_against_model(&m);
	map_release(&m);
}

static void iteration_may_remove_what_it_returns(void **state)
{
	(void)state;
	struct prng p;
	prng_init(&p, test_seed(20250301));
	for (int round = 0; round < 300; round++) {
		map_set_seed(prng_u64(&p));
		size_t n = 1 + prng_below(&p, 100);
		struct map m;
		map_init(&m);
		for (size_t i = 0; i < ITEMS; i++) {
			put_u64_le(items[i].key, i);
			items[i].in = i < n;
			items[i].seen = false;
			if (i < n)
				assert_int_equal(map_put(&m, key_of(&items[i]), &items[i]), ERR_OK);
		}
		size_t cursor = 0, visited = 0;
		for (struct item *it; (it = map_next(&m, &cursor)); visited++) {
			assert_false(it->seen);
			it->seen = true;
			if (prng_below(&p, 3) == 0)
				continue;
			assert_ptr_equal(map_remove(&m, key_of(it)), it);
			it->in = false;
		}
		assert_int_equal(visited, n);
		check_against_model(&m);
		map_release(&m);
	}
}

static void a_put_replaces_value_and_key(void **state)
{
	(void)state;
	struct map m;
	map_init(&m);
	char first[] = "same", second[] = "same";
	int a, b;
	assert_int_equal(map_put(&m, bytes_of(first, 4), &a), ERR_OK);
	assert_int_equal(map_put(&m, bytes_of(second, 4), &b), ERR_OK);
	memset(first, 'x', 4);
	assert_ptr_equal(map_get(&m, bytes_of("same", 4)), &b);
	assert_int_equal(m.count, 1);
	assert_null(map_get(&m, bytes_of("", 0)));
	assert_int_equal(map_put(&m, bytes_of(NULL, 0), &a), ERR_OK);
	assert_ptr_equal(map_get(&m, bytes_of("", 0)), &a);
	map_release(&m);
	assert_null(map_get(&m, bytes_of("same", 4)));
	assert_null(map_remove(&m, bytes_of("same", 4)));
}

static void a_put_without_memory_changes_nothing(void **state)
{
	(void)state;
	struct map m;
	map_init(&m);
	static int values[100];
	static uint8_t keys[100][4];
	size_t refused = 0;
	for (uint32_t i = 0; i < 100; i++) {
		put_u32_le(keys[i], i);
		size_t before = m.count;
		mem_fail_at(1);
		enum err e = map_put(&m, bytes_of(keys[i], 4), &values[i]);
		mem_fail_at(0);
		if (e != ERR_OK) {
			assert_int_equal(e, ERR_NOMEM);
			assert_int_equal(m.count, before);
			assert_null(map_get(&m, bytes_of(keys[i], 4)));
			refused++;
			assert_int_equal(map_put(&m, bytes_of(keys[i], 4), &values[i]), ERR_OK);
		}
	}
	assert_true(refused > 3);
	for (uint32_t i = 0; i < 100; i++)
		assert_ptr_equal(map_get(&m, bytes_of(keys[i], 4)), &values[i]);
	map_release(&m);
	err_clear();
}

static void the_hash_depends_on_the_seed(void **state)
{
	(void)state;
	map_set_seed(1);
	uint64_t a = map_hash(bytes_of("key", 3));
	map_set_seed(2);
	assert_true(map_hash(bytes_of("key", 3)) != a);
	map_set_seed(1);
	assert_true(map_hash(bytes_of("key", 3)) == a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_map_agrees_with_its_model_after_any_puts_and_removes),
	    cmocka_unit_test(iteration_may_remove_what_it_returns),
	    cmocka_unit_test(a_put_replaces_value_and_key),
	    cmocka_unit_test(a_put_without_memory_changes_nothing),
	    cmocka_unit_test(the_hash_depends_on_the_seed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
