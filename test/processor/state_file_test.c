/* SPDX-License-Identifier: Apache-2.0 */
/* Operator state in pages: against a model, through rollback, and over bytes that are no page. */
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include "processor/io/state_file.h"
#include "processor/io/state_page.h"
#include "processor/io/store.h"
#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 3000, KEY_BYTES = 16, VALUE_MAX = 30000 };

struct fixture {
	sqlite3 *db;
	struct state_file *file;
	struct prng prng;
	uint32_t length[2][KEYS]; /* of the value under a key + 1; 0 = none */
};

static void sql(sqlite3 *db, const char *text)
{
	assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
}

static int setup(void **state)
{
	struct fixture *f = mem_calloc(1, sizeof *f);
	assert_int_equal(sqlite3_open(":memory:", &f->db), SQLITE_OK);
	sql(f->db, "CREATE TABLE state_0(bound BLOB PRIMARY KEY, page BLOB) WITHOUT ROWID;"
	           "CREATE TABLE state_1(bound BLOB PRIMARY KEY, page BLOB) WITHOUT ROWID");
	assert_int_equal(state_file_new(f->db, 2, -1, &f->file), ERR_OK);
	prng_init(&f->prng, test_seed(1));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	state_file_free(f->file);
	assert_int_equal(sqlite3_close(f->db), SQLITE_OK);
	mem_free(f);
	return 0;
}

/* Keys share beginnings of many lengths, and key 0 is the empty one. */
static struct bytes key_of(uint32_t n, char buf[KEY_BYTES + 1])
{
	int len = snprintf(buf, KEY_BYTES + 1, "%c%07u%s", n % 2 ? 'a' : 'b', n / 7 * 11,
	    &"\xff\xff\xff\xff\xff\xff\xff"[7 - n % 7]);
	return bytes_of(buf, n == 0 ? 0 : (size_t)(len < KEY_BYTES ? len : KEY_BYTES));
}

static struct bytes value_of(uint32_t n, uint32_t len, uint8_t *buf)
{
	for (uint32_t i = 0; i < len; i++)
		buf[i] = (uint8_t)(n * 31 + i * (len % 3));
	return bytes_of(buf, len);
}

static uint32_t order[KEYS]; /* key numbers in key order */
static int by_key(const void *a, const void *b)
{
	char x[KEY_BYTES + 1], y[KEY_BYTES + 1];
	return bytes_compare(key_of(*(const uint32_t *)a, x), key_of(*(const uint32_t *)b, y));
}
static void sort_keys(void)
{
	for (uint32_t i = 0; i < KEYS; i++)
		order[i] = i;
	qsort(order, KEYS, sizeof *order, by_key);
}

static uint32_t value_len(struct fixture *f)
{
	uint64_t kind = prng_below(&f->prng, 100);
	return kind < 5    ? 0
	       : kind < 97 ? (uint32_t)prng_below(&f->prng, 120)
	                   : (uint32_t)prng_below(&f->prng, VALUE_MAX);
}

/* One checkpoint's changes: every `every`th key on average, of which `deleted` in 100 go away. */
static void change(struct fixture *f, uint64_t every, uint64_t deleted)
{
	static uint8_t value[VALUE_MAX];
	char key[KEY_BYTES + 1];
	for (uint32_t id = 0; id < 2; id++)
		for (uint32_t i = 0; i < KEYS; i++) {
			uint32_t n = order[i];
			if (prng_below(&f->prng, every) != 0)
				continue;
			if (prng_below(&f->prng, 100) < deleted) {
				assert_int_equal(
				    state_file_del(f->file, id, key_of(n, key)), ERR_OK);
				f->length[id][n] = 0;
				continue;
			}
			uint32_t len = value_len(f);
			assert_int_equal(
			    state_file_put(f->file, id, key_of(n, key), value_of(n, len, value)),
			    ERR_OK);
			f->length[id][n] = len + 1;
		}
}

struct expected {
	struct fixture *f;
	uint32_t id, next;
	struct bytes prefix;
};

static bool starts_with(struct bytes key, struct bytes prefix)
{
	return key.len >= prefix.len && memcmp(key.ptr, prefix.ptr, prefix.len) == 0;
}

static enum err expect_entry(void *ctx, struct bytes key, struct bytes value)
{
	static uint8_t buf[VALUE_MAX];
	struct expected *x = ctx;
	char own[KEY_BYTES + 1];
	while (x->f->length[x->id][order[x->next]] == 0 ||
	       !starts_with(key_of(order[x->next], own), x->prefix))
		assert_true(++x->next < KEYS);
	uint32_t n = order[x->next++];
	assert_true(bytes_equal(key, key_of(n, own)));
	assert_true(bytes_equal(value, value_of(n, x->f->length[x->id][n] - 1, buf)));
	return ERR_OK;
}

static void expect_scan(struct fixture *f, uint32_t id, struct bytes prefix)
{
	char own[KEY_BYTES + 1];
	struct expected x = {f, id, 0, prefix};
	assert_int_equal(state_file_scan(f->file, id, prefix, expect_entry, &x), ERR_OK);
	for (; x.next < KEYS; x.next++)
		assert_false(f->length[id][order[x.next]] > 0 &&
		             starts_with(key_of(order[x.next], own), prefix));
}

static void expect_model(struct fixture *f)
{
	static uint8_t buf[VALUE_MAX];
	char key[KEY_BYTES + 1];
	struct bytes value;
	for (uint32_t id = 0; id < 2; id++) {
		for (uint32_t n = 0; n < KEYS; n++) {
			uint32_t len = f->length[id][n];
			enum err err = state_file_lookup(f->file, id, key_of(n, key), &value);
			assert_int_equal(err, len ? ERR_OK : ERR_NOT_FOUND);
			if (len)
				assert_true(bytes_equal(value, value_of(n, len - 1, buf)));
		}
		expect_scan(f, id, bytes_of("", 0));
		expect_scan(f, id, bytes_of("a", 1));
		expect_scan(f, id, bytes_of("b00004", 6));
		expect_scan(f, id, bytes_of("\xff", 1));
		expect_scan(f, id, key_of((uint32_t)prng_below(&f->prng, KEYS), key));
	}
}

static int64_t number(sqlite3 *db, const char *text)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t n = sqlite3_column_int64(stmt, 0);
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
	return n;
}

static void random_changes_agree_with_a_model(void **state)
{
	struct fixture *f = *state;
	sort_keys();
	for (int round = 0; round < 60; round++) {
		static const uint64_t every[] = {1, 3, 40, 1000}, deleted[] = {0, 30, 100};
		sql(f->db, "BEGIN");
		change(f, every[prng_below(&f->prng, 4)], deleted[prng_below(&f->prng, 3)]);
		assert_int_equal(state_file_flush(f->file), ERR_OK);
		sql(f->db, "COMMIT");
		expect_model(f);
		if (round % 10 == 9) { /* nothing is remembered outside the tables */
			state_file_free(f->file);
			assert_int_equal(state_file_new(f->db, 2, -1, &f->file), ERR_OK);
		}
	}
}

static void what_is_rolled_back_was_never_there(void **state)
{
	struct fixture *f = *state;
	sort_keys();
	change(f, 1, 0);
	assert_int_equal(state_file_flush(f->file), ERR_OK);
	uint32_t before[2][KEYS];
	memcpy(before, f->length, sizeof before);
	sql(f->db, "BEGIN");
	change(f, 2, 50);
	sql(f->db, "ROLLBACK");
	state_file_drop(f->file);
	memcpy(f->length, before, sizeof before);
	expect_model(f);
}

static void pages_are_filled_and_emptied(void **state)
{
	struct fixture *f = *state;
	uint8_t key[8], value[40] = {7};
	enum { COUNT = 40000 };
	/* ascending, over many checkpoints: full pages all the same */
	for (uint64_t n = 0; n < COUNT; n++) {
		put_u64_be(key, n);
		put_u64_be(value, n * 0x9e3779b97f4a7c15u);
		assert_int_equal(
		    state_file_put(f->file, 1, bytes_of(key, 8), bytes_of(value, 40)), ERR_OK);
		if (n % 100 == 99)
			assert_int_equal(state_file_flush(f->file), ERR_OK);
	}
	int64_t full = COUNT * 46 / STATE_PAGE_BYTES; /* about 46 bytes an entry */
	assert_in_range(number(f->db, "SELECT count(*) FROM state_1"), full / 2, full * 3 / 2);
	/* all but each hundredth goes, a few at a time: what is left does not stay spread out */
	for (uint64_t turn = 1; turn < 100; turn++) {
		for (uint64_t n = turn; n < COUNT; n += 100) {
			put_u64_be(key, n);
			assert_int_equal(state_file_del(f->file, 1, bytes_of(key, 8)), ERR_OK);
		}
		assert_int_equal(state_file_flush(f->file), ERR_OK);
	}
	assert_in_range(number(f->db, "SELECT count(*) FROM state_1"), 1, full / 20);
	for (uint64_t n = 0; n < COUNT; n += 100) {
		struct bytes found;
		put_u64_be(key, n);
		assert_int_equal(state_file_lookup(f->file, 1, bytes_of(key, 8), &found), ERR_OK);
		assert_int_equal(get_u64_be(found.ptr), n * 0x9e3779b97f4a7c15u);
	}
	for (uint64_t n = 0; n < COUNT; n += 100) {
		put_u64_be(key, n);
		assert_int_equal(state_file_del(f->file, 1, bytes_of(key, 8)), ERR_OK);
	}
	assert_int_equal(state_file_flush(f->file), ERR_OK);
	assert_int_equal(number(f->db, "SELECT count(*) FROM state_1"), 0);
}

/* Whatever the bytes: entries in order, or ERR_CORRUPT. */
static void read_all(struct bytes page, uint32_t *corrupt)
{
	struct writer entries;
	struct page_cursor c;
	writer_init(&entries, SIZE_MAX);
	page_cursor_init(&c);
	enum err err = page_unpack_add(page, &entries);
	if (err == ERR_OK)
		err = page_cursor_start(&c, writer_bytes(&entries));
	while (err == ERR_OK && c.there)
		err = page_cursor_next(&c);
	assert_true(err == ERR_OK || err == ERR_CORRUPT);
	*corrupt += err == ERR_CORRUPT;
	err_clear();
	page_cursor_release(&c);
	writer_release(&entries);
}

static void bytes_that_are_no_page_are_refused(void **state)
{
	struct fixture *f = *state;
	struct page_builder b;
	struct writer page;
	uint32_t corrupt = 0;
	page_builder_init(&b);
	writer_init(&page, SIZE_MAX);
	for (uint32_t n = 0; n < 200; n++) {
		uint8_t key[8];
		put_u64_be(key, n * 3);
		page_builder_add(&b, bytes_of(key, 8), bytes_of("value", n % 6));
	}
	assert_int_equal(page_builder_error(&b), ERR_OK);
	for (int small = 0; small < 2; small++) {
		struct bytes entries = writer_bytes(&b.entries);
		assert_int_equal(
		    page_pack(bytes_slice(entries, 0, small ? 12 : entries.len), &page), ERR_OK);
		assert_int_equal(page.ptr[0], small ? 0 : 1);
		for (size_t len = 0; len < page.len; len++)
			read_all(bytes_of(page.ptr, len), &corrupt);
		assert_true(corrupt >= page.len);
		for (int i = 0; i < 20000; i++) {
			size_t at = prng_below(&f->prng, page.len);
			uint8_t was = page.ptr[at];
			page.ptr[at] = (uint8_t)prng_u64(&f->prng);
			read_all(writer_bytes(&page), &corrupt);
			if (prng_below(&f->prng, 4))
				page.ptr[at] = was;
		}
		corrupt = 0;
	}
	page_builder_release(&b);
	writer_release(&page);
}

#define STATE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    STATE_TEST(random_changes_agree_with_a_model),
	    STATE_TEST(what_is_rolled_back_was_never_there),
	    STATE_TEST(pages_are_filled_and_emptied),
	    STATE_TEST(bytes_that_are_no_page_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
