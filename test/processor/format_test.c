/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"
#include "processor/processor.h"
#include <math.h>

static struct datum text(const char *s)
{
	return (struct datum){.s = str_of(s)};
}

static const struct {
	enum type_id type;
	struct datum d;
	const char *csv, *json;
} values[] = {
    {TYPE_BOOL, {.b = true}, "true", "true"},
    {TYPE_BOOL, {.b = false}, "false", "false"},
    {TYPE_INT8, {.i = INT64_MIN}, "-9223372036854775808", "-9223372036854775808"},
    {TYPE_INT8, {.null = true}, "", "null"},
    {TYPE_FLOAT8, {.f = 0.1}, "0.1", "0.1"},
    {TYPE_FLOAT8, {.f = 1e300}, "1e+300", "1e+300"},
    {TYPE_FLOAT8, {.f = -0.0}, "-0", "-0"},
    {TYPE_FLOAT4, {.f = (double)0.1f}, "0.1", "0.1"},
    {TYPE_NUMERIC, {.num = {1250, 2}}, "12.50", "\"12.50\""},
    {TYPE_TIMESTAMPTZ, {.i = 1740830400000000}, "2025-03-01T12:00:00.000000Z",
        "\"2025-03-01T12:00:00.000000Z\""},
    {TYPE_TIMESTAMPTZ, {.i = -1}, "1969-12-31T23:59:59.999999Z", "\"1969-12-31T23:59:59.999999Z\""},
    {TYPE_TIMESTAMPTZ, {.i = TIME_POS_INFINITY}, "infinity", "\"infinity\""},
    {TYPE_TIMESTAMP, {.i = 1740830400000001}, "2025-03-01T12:00:00.000001",
        "\"2025-03-01T12:00:00.000001\""},
    {TYPE_DATE, {.i = 20148}, "2025-03-01", "\"2025-03-01\""},
    {TYPE_INTERVAL, {.iv = {0, 0, 0}}, "PT0S", "\"PT0S\""},
    {TYPE_INTERVAL, {.iv = {93784500000, 3, 14}}, "P1Y2M3DT26H3M4.5S", "\"P1Y2M3DT26H3M4.5S\""},
    {TYPE_INTERVAL, {.iv = {-500000, 0, 0}}, "PT-0.5S", "\"PT-0.5S\""},
    {TYPE_INTERVAL, {.iv = {0, -1, 0}}, "P-1D", "\"P-1D\""},
    {TYPE_INTERVAL, {.iv = {60000000, 0, 0}}, "PT1M", "\"PT1M\""},
};

static void values_are_written_as_the_interface_says(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, KIB);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct type type = {values[i].type, 0, 0};
		writer_clear(&w);
		proc_write_csv_field(&w, type, values[i].d);
		write_u8(&w, 0);
		assert_string_equal((const char *)w.ptr, values[i].csv);
		writer_clear(&w);
		proc_write_json_value(&w, type, values[i].d);
		write_u8(&w, 0);
		assert_string_equal((const char *)w.ptr, values[i].json);
	}
	writer_release(&w);
}

static void not_a_number_and_infinity_are_strings_in_json(void **state)
{
	(void)state;
	struct writer w;
	struct type type = {TYPE_FLOAT8, 0, 0};
	writer_init(&w, KIB);
	proc_write_json_value(&w, type, (struct datum){.f = NAN});
	proc_write_json_value(&w, type, (struct datum){.f = -INFINITY});
	proc_write_csv_field(&w, type, (struct datum){.f = INFINITY});
	assert_true(str_equal(bytes_str(writer_bytes(&w)), STR("\"NaN\"\"-Infinity\"Infinity")));
	writer_release(&w);
}

static const struct proc_column columns[] = {
    {{"a", 1}, {TYPE_TEXT, 0, 0}},
    {{"b,c", 3}, {TYPE_BYTEA, 0, 0}},
    {{"j", 1}, {TYPE_JSONB, 0, 0}},
};

static void expect_text(const struct writer *w, const char *expected)
{
	if (!str_equal(bytes_str(writer_bytes(w)), str_of(expected)))
		fail_msg("got: %.*s", (int)w->len, (const char *)w->ptr);
}

static void csv_quotes_what_rfc_4180_asks_for_and_tells_empty_from_null(void **state)
{
	(void)state;
	struct writer w;
	struct datum row[3] = {text("say \"hi\",\nthen go"), text(""), {.null = true}};
	writer_init(&w, KIB);
	proc_write_csv_header(&w, columns, 3);
	proc_write_csv_row(&w, columns, row, 3);
	row[0] = text("");
	row[1] = (struct datum){.s = str_from("\0\xff", 2)};
	row[2] = text("{\"k\":1}");
	proc_write_csv_row(&w, columns, row, 3);
	expect_text(
	    &w, "a,\"b,c\",j\n\"say \"\"hi\"\",\nthen go\",\\x,\n\"\",\\x00ff,\"{\"\"k\"\":1}\"\n");
	writer_release(&w);
}

static void json_rows_are_one_line_each(void **state)
{
	(void)state;
	struct writer w;
	struct datum row[3] = {
	    text("line\n\"two\""), {.s = str_from("\x01", 1)}, text("{\n \"k\":\r\n [1]}")};
	writer_init(&w, KIB);
	proc_write_json_row(&w, columns, row, 3);
	expect_text(
	    &w, "{\"a\":\"line\\n\\\"two\\\"\",\"b,c\":\"\\\\x01\",\"j\":{  \"k\":   [1]}}\n");
	writer_release(&w);
}

static enum err append(void *ctx, struct str chunk)
{
	write_str(ctx, chunk);
	return ERR_OK;
}

static void a_table_is_aligned_and_counts_its_rows(void **state)
{
	(void)state;
	static const struct proc_column cols[] = {
	    {{"day", 3}, {TYPE_TEXT, 0, 0}}, {{"n", 1}, {TYPE_INT8, 0, 0}}};
	struct writer w;
	struct proc_text *t;
	writer_init(&w, MIB);
	assert_int_equal(proc_text_new(PROC_TABLE, append, &w, &t), ERR_OK);
	const struct proc_sink *sink = proc_text_sink(t);
	assert_int_equal(sink->columns(sink->ctx, cols, 2), ERR_OK);
	struct datum row[2] = {text("grün"), {.i = 5}};
	assert_int_equal(sink->row(sink->ctx, row, 2), ERR_OK);
	row[0] = text("a\tb");
	row[1].i = 12345;
	assert_int_equal(sink->row(sink->ctx, row, 2), ERR_OK);
	assert_int_equal(w.len, 0);
	assert_int_equal(proc_text_finish(t), ERR_OK);
	expect_text(&w, "day       n\n----  -----\ngrün      5\na b   12345\n(2 rows)\n");
	proc_text_free(t);
	writer_release(&w);
}

static enum err refuse(void *ctx, struct str chunk)
{
	(void)ctx, (void)chunk;
	return ERR_CLOSED;
}

static void a_reader_that_goes_away_ends_the_statement(void **state)
{
	(void)state;
	struct proc_text *t;
	assert_int_equal(proc_text_new(PROC_CSV, refuse, NULL, &t), ERR_OK);
	const struct proc_sink *sink = proc_text_sink(t);
	assert_int_equal(sink->columns(sink->ctx, columns, 1), ERR_OK);
	struct datum d = text("0123456789012345678901234567890123456789");
	enum err err = ERR_OK;
	for (int i = 0; err == ERR_OK && i < 10000; i++)
		err = sink->row(sink->ctx, &d, 1);
	assert_int_equal(err, ERR_CLOSED);
	proc_text_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_written_as_the_interface_says),
	    cmocka_unit_test(not_a_number_and_infinity_are_strings_in_json),
	    cmocka_unit_test(csv_quotes_what_rfc_4180_asks_for_and_tells_empty_from_null),
	    cmocka_unit_test(json_rows_are_one_line_each),
	    cmocka_unit_test(a_table_is_aligned_and_counts_its_rows),
	    cmocka_unit_test(a_reader_that_goes_away_ends_the_statement),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
