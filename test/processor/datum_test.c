/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text, bytes and keys, against PostgreSQL's answers in test/golden/sql/types.tsv and
 * against each other. */
#include "processor/op/datetime.h"
#include "processor/op/numeric.h"
#include "processor/op/vec.h"
#include "test/lib/golden.h"
#include "test/lib/test.h"

static struct str printed(struct arena *a, struct type type, struct datum d)
{
	struct writer w;
	writer_init(&w, MIB);
	datum_to_text(&w, type.id, d);
	assert_int_equal(w.err, ERR_OK);
	struct str s = arena_copy_str(a, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	return s;
}

static int check_text(struct arena *a, const struct golden_row *row)
{
	struct type type = golden_type(row->fields[0]);
	struct datum d;
	enum err e = datum_from_text(a, type, row->fields[1], &d);
	struct str got = e == ERR_OK ? printed(a, type, d) : STR("ERROR");
	if (str_equal(got, row->fields[2]))
		return 0;
	print_error("line %u: %.*s '%.*s' gave %.*s, PostgreSQL %.*s\n", row->line,
	    STR_ARG(row->fields[0]), STR_ARG(row->fields[1]), STR_ARG(got),
	    STR_ARG(row->fields[2]));
	return 1;
}

static void text_reads_and_prints_as_postgresql_does(void **state)
{
	(void)state;
	struct golden g;
	golden_open(&g, "test/golden/sql/types.tsv");
	int wrong = 0, rows = 0;
	struct golden_row row;
	for (; golden_next(&g, &row); rows++)
		wrong += check_text(&g.arena, &row);
	golden_close(&g);
	assert_true(rows > 1000);
	assert_int_equal(wrong, 0);
}

/* Every value of the golden file that reads, per type. */
struct sample {
	struct type type;
	struct datum value;
};
static size_t samples(struct golden *g, struct sample *to, size_t max)
{
	struct golden_row row;
	size_t n = 0;
	golden_open(g, "test/golden/sql/types.tsv");
	while (golden_next(g, &row) && n < max) {
		to[n].type = golden_type(row.fields[0]);
		if (datum_from_text(&g->arena, to[n].type, row.fields[1], &to[n].value) == ERR_OK)
			n++;
	}
	return n;
}

static void state_bytes_give_the_value_back_exactly(void **state)
{
	(void)state;
	static struct sample s[2000];
	struct golden g;
	size_t n = samples(&g, s, 2000);
	assert_true(n > 500);
	for (size_t i = 0; i < n; i++) {
		struct writer w;
		writer_init(&w, MIB);
		datum_write(&w, s[i].type.id, s[i].value);
		struct reader r = reader_of(writer_bytes(&w));
		struct datum back;
		assert_int_equal(datum_read(&r, s[i].type.id, &back), ERR_OK);
		assert_int_equal(reader_left(&r), 0);
		assert_true(str_equal(
		    printed(&g.arena, s[i].type, s[i].value), printed(&g.arena, s[i].type, back)));
		/* every prefix is an error, never a value */
		for (size_t cut = 0; cut < w.len; cut++) {
			r = reader_of(bytes_of(w.ptr, cut));
			assert_int_equal(datum_read(&r, s[i].type.id, &back), ERR_CORRUPT);
		}
		writer_release(&w);
	}
	err_clear();
	golden_close(&g);
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static void keys_sort_as_values_do_and_decode_to_equal_values(void **state)
{
	(void)state;
	static struct sample s[2000];
	static struct bytes keys[2000];
	struct golden g;
	size_t n = samples(&g, s, 2000);
	for (size_t i = 0; i < n; i++) {
		struct writer w;
		struct datum back;
		writer_init(&w, MIB);
		key_encode(&w, s[i].type.id, s[i].value);
		keys[i] = arena_copy(&g.arena, writer_bytes(&w));
		writer_release(&w);
		struct reader r = reader_of(keys[i]);
		assert_int_equal(key_decode(&r, &g.arena, s[i].type.id, &back), ERR_OK);
		assert_int_equal(reader_left(&r), 0);
		assert_int_equal(datum_compare(s[i].type.id, s[i].value, back), 0);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			if (s[i].type.id == s[k].type.id)
				assert_int_equal(sign(bytes_compare(keys[i], keys[k])),
				    sign(datum_compare(s[i].type.id, s[i].value, s[k].value)));
	golden_close(&g);
}

static void null_keys_come_last_and_a_key_never_is_a_prefix_of_another(void **state)
{
	(void)state;
	struct writer a, b;
	writer_init(&a, KIB);
	writer_init(&b, KIB);
	key_encode(&a, TYPE_INT8, (struct datum){.i = INT64_MAX});
	key_encode(&b, TYPE_INT8, (struct datum){.null = true});
	assert_true(bytes_compare(writer_bytes(&a), writer_bytes(&b)) < 0);
	writer_clear(&a);
	writer_clear(&b);
	/* ('a', 'b') against ('a\0', ...) and ('ab') */
	key_encode(&a, TYPE_TEXT, (struct datum){.s = STR("a")});
	key_encode(&a, TYPE_TEXT, (struct datum){.s = STR("\xff")});
	key_encode(&b, TYPE_TEXT, (struct datum){.s = STR("a\0")});
	key_encode(&b, TYPE_TEXT, (struct datum){.s = STR("")});
	assert_true(bytes_compare(writer_bytes(&a), writer_bytes(&b)) < 0);
	writer_release(&a);
	writer_release(&b);
}

static void calendar_round_trips_over_its_whole_range(void **state)
{
	(void)state;
	for (int64_t day = DATE_MIN; day < 4000000; day += 13) {
		struct civil c = civil_of_days(day);
		assert_true(c.month >= 1 && c.month <= 12 && c.day >= 1 &&
		            c.day <= days_in_month(c.year, c.month));
		assert_int_equal(days_from_civil(c.year, c.month, c.day), day);
	}
	assert_int_equal(days_from_civil(2000, 3, 1), 11017);
	assert_int_equal(days_from_civil(-4713, 11, 24), DATE_MIN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(text_reads_and_prints_as_postgresql_does),
	    cmocka_unit_test(state_bytes_give_the_value_back_exactly),
	    cmocka_unit_test(keys_sort_as_values_do_and_decode_to_equal_values),
	    cmocka_unit_test(null_keys_come_last_and_a_key_never_is_a_prefix_of_another),
	    cmocka_unit_test(calendar_round_trips_over_its_whole_range),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
