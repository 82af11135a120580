/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include "processor/io/decode.h"
#include "processor/io/decode_value.h"
#include "processor/op/expr.h"
#include <stdio.h>
#include <string.h>

/* ---- a table by hand --------------------------------------------------------------- */

enum { COLUMNS_MAX = 8, ROWS = 64 };
struct refused {
	uint64_t sequence;
	uint32_t pos;
	enum err reason;
	char message[240];
};
struct fixture {
	struct table table;
	struct table_column columns[COLUMNS_MAX];
	struct expr *checks[2];
	uint8_t needed[COLUMNS_MAX + HIDDEN_COUNT];
	struct decoder *decoder;
	struct refused refused[ROWS];
	uint32_t refused_count;
	struct batch batch;
	uint32_t pos;
};

static enum err note_refusal(
    void *ctx, const struct decode_input *in, enum err reason, const char *message)
{
	struct fixture *f = ctx;
	struct refused *r = &f->refused[f->refused_count++];
	*r = (struct refused){.sequence = in->sequence, .pos = in->pos, .reason = reason};
	(void)snprintf(r->message, sizeof(r->message), "%s", message);
	return ERR_OK;
}

static int setup(void **state)
{
	struct fixture *f = mem_calloc(1, sizeof(*f));
	f->table = (struct table){.name = STR("quakes"),
	    .topic = STR("quakes"),
	    .columns = f->columns,
	    .event_time = -1,
	    .checks = f->checks,
	    .max_ahead_us = 86400000000};
	memset(f->needed, 1, sizeof(f->needed));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	decoder_free(f->decoder);
	mem_free(f);
	return 0;
}

static struct table_column *add_column(struct fixture *f, const char *name, enum type_id id)
{
	struct table_column *c = &f->columns[f->table.column_count++];
	*c = (struct table_column){.name = str_of(name), .type = {id, 0, 0}};
	return c;
}

static void begin(struct fixture *f)
{
	struct decoder_options o = {.table = &f->table,
	    .column_needed = f->needed,
	    .source_id = 3,
	    .topic = STR("quakes"),
	    .capacity = ROWS,
	    .refuse = note_refusal,
	    .refuse_ctx = f};
	if (!f->decoder)
		assert_int_equal(decoder_new(&o, &f->decoder), ERR_OK);
	f->refused_count = 0;
	f->pos = 0;
	decoder_begin(f->decoder);
}

static void add(struct fixture *f, const char *json)
{
	struct decode_input in = {.record = {.offset = 100 + f->pos,
	                              .timestamp_ms = 5000,
	                              .value = bytes_of(json, json ? strlen(json) : 0),
	                              .key = bytes_of("k", 1)},
	    .sequence = 42,
	    .pos = f->pos++,
	    .partition = 7,
	    .append_time_ns = 6000000001};
	assert_int_equal(decoder_add(f->decoder, &in), ERR_OK);
}

static void finish(struct fixture *f)
{
	assert_int_equal(decoder_finish(f->decoder, &f->batch), ERR_OK);
}

/* Decodes one document of one column; false when it was refused. */
static bool decode_one(struct fixture *f, const char *json, struct datum *ret_datum)
{
	begin(f);
	add(f, json);
	finish(f);
	if (f->batch.count == 0) {
		assert_int_equal(f->refused_count, 1);
		return false;
	}
	*ret_datum = vec_get(&f->batch.cols[0], 0);
	return true;
}

/* ---- values ------------------------------------------------------------------------ */

struct value_case {
	enum type_id type;
	int16_t precision, scale;
	int64_t unit_us;
	const char *json; /* of the field */
	const char *text; /* as PostgreSQL prints it; NULL = NULL; "!" = refused */
};

static const struct value_case value_cases[] = {
    {TYPE_INT8, 0, 0, 0, "42", "42"},
    {TYPE_INT8, 0, 0, 0, "-9223372036854775808", "-9223372036854775808"},
    {TYPE_INT8, 0, 0, 0, "9223372036854775808", "!"},
    {TYPE_INT8, 0, 0, 0, "\" 12 \"", "12"},
    {TYPE_INT8, 0, 0, 0, "1.0", "!"},
    {TYPE_INT8, 0, 0, 0, "1e2", "!"},
    {TYPE_INT8, 0, 0, 0, "true", "!"},
    {TYPE_INT8, 0, 0, 0, "null", NULL},
    {TYPE_INT4, 0, 0, 0, "2147483648", "!"},
    {TYPE_INT2, 0, 0, 0, "-32768", "-32768"},
    {TYPE_INT2, 0, 0, 0, "32768", "!"},
    {TYPE_BOOL, 0, 0, 0, "true", "t"},
    {TYPE_BOOL, 0, 0, 0, "\"off\"", "f"},
    {TYPE_BOOL, 0, 0, 0, "1", "t"},
    {TYPE_BOOL, 0, 0, 0, "2", "!"},
    {TYPE_NUMERIC, 0, 0, 0, "12.50", "12.50"},
    {TYPE_NUMERIC, 0, 0, 0, "1e3", "1000"},
    {TYPE_NUMERIC, 12, 2, 0, "12.5", "12.50"},
    {TYPE_NUMERIC, 12, 2, 0, "12.345", "12.35"},
    {TYPE_NUMERIC, 12, 2, 0, "-12.345", "-12.35"},
    {TYPE_NUMERIC, 12, 2, 0, "12345678901", "!"},
    {TYPE_NUMERIC, 12, 2, 0, "\"12.50\"", "12.50"},
    {TYPE_NUMERIC, 0, 0, 0, "\"abc\"", "!"},
    {TYPE_FLOAT8, 0, 0, 0, "0.1", "0.1"},
    {TYPE_FLOAT8, 0, 0, 0, "\"NaN\"", "NaN"},
    {TYPE_TEXT, 0, 0, 0, "\"a\\u00fcb\\n\"",
        "a\xc3\xbc"
        "b\n"},
    {TYPE_TEXT, 0, 0, 0, "1.50", "1.50"},
    {TYPE_TEXT, 0, 0, 0, "false", "false"},
    {TYPE_TEXT, 0, 0, 0, "{\"a\": [1]}", "{\"a\": [1]}"},
    {TYPE_TEXT, 0, 0, 0, "\"\"", ""},
    {TYPE_TEXT, 0, 0, 0, "\"\\u0000\"", "!"},
    {TYPE_TEXT, 0, 0, 0, "\"\\ud800\"", "!"},
    {TYPE_TEXT, 0, 0, 0, "\"\xff\"", "!"},
    {TYPE_TEXT, 3, 0, 0, "\"abcd\"", "!"},
    {TYPE_TEXT, 3, 0, 0, "\"abc\"", "abc"},
    {TYPE_TIMESTAMPTZ, 0, 0, 0, "\"2025-03-01T12:00:00Z\"", "2025-03-01 12:00:00+00"},
    {TYPE_TIMESTAMPTZ, 0, 0, 0, "\"2025-03-01 12:00:00.25+02:00\"", "2025-03-01 10:00:00.25+00"},
    {TYPE_TIMESTAMPTZ, 0, 0, 0, "\"2025-02-29T12:00:00Z\"", "!"},
    {TYPE_TIMESTAMPTZ, 0, 0, 0, "1740830400000", "!"},
    {TYPE_TIMESTAMPTZ, 0, 0, 1000, "1740830400123", "2025-03-01 12:00:00.123+00"},
    {TYPE_TIMESTAMPTZ, 0, 0, 1000000, "1740830400", "2025-03-01 12:00:00+00"},
    {TYPE_TIMESTAMPTZ, 0, 0, 1000000, "1740830400.1234565", "2025-03-01 12:00:00.123457+00"},
    {TYPE_TIMESTAMPTZ, 0, 0, 1000, "\"2025-03-01T12:00:00Z\"", "2025-03-01 12:00:00+00"},
    {TYPE_TIMESTAMPTZ, 0, 0, 1000000, "9223372036855", "!"},
    {TYPE_TIMESTAMP, 0, 0, 0, "\"2025-03-01T12:00:00\"", "2025-03-01 12:00:00"},
    {TYPE_DATE, 0, 0, 0, "\"2025-03-01\"", "2025-03-01"},
    {TYPE_UUID, 0, 0, 0, "\"00112233-4455-6677-8899-aabbccddeeff\"",
        "00112233-4455-6677-8899-aabbccddeeff"},
    {TYPE_BYTEA, 0, 0, 0, "\"\\\\x00ff\"", "\\x00ff"},
    {TYPE_JSONB, 0, 0, 0, "{\"a\":1}", "{\"a\":1}"},
    {TYPE_JSONB, 0, 0, 0, "\"s\"", "\"s\""},
    {TYPE_JSONB, 0, 0, 0, "null", NULL},
};

static void run_value_case(const struct value_case *c)
{
	struct fixture *f;
	struct datum d;
	char json[200];
	setup((void **)&f);
	struct table_column *col = add_column(f, "x", c->type);
	col->type.precision = c->precision;
	col->type.scale = c->scale;
	col->unit_us = c->unit_us;
	(void)snprintf(json, sizeof(json), "{\"x\":%s}", c->json);
	bool accepted = decode_one(f, json, &d);
	if (c->text && strcmp(c->text, "!") == 0) {
		if (accepted)
			fail_msg("%s as %s was accepted", c->json, type_name(c->type));
	} else if (!accepted) {
		fail_msg(
		    "%s as %s was refused: %s", c->json, type_name(c->type), f->refused[0].message);
	} else if (d.null || !c->text) {
		assert_int_equal(d.null, c->text == NULL);
	} else {
		struct writer w;
		writer_init(&w, KIB);
		datum_to_text(&w, c->type, d);
		if (!str_equal(bytes_str(writer_bytes(&w)), str_of(c->text)))
			fail_msg("%s as %s gave %.*s", c->json, type_name(c->type), (int)w.len,
			    (const char *)w.ptr);
		writer_release(&w);
	}
	teardown((void **)&f);
}

static void a_field_means_what_a_cast_of_its_text_means(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(value_cases) / sizeof(value_cases[0]); i++)
		run_value_case(&value_cases[i]);
}

/* Text that looks like a number or a time, nearly always right. */
static void random_text(struct prng *p, char *out, size_t len, bool time)
{
	static const char digits[] = "0123456789";
	size_t n = 0;
	if (time) {
		(void)snprintf(out, len, "%04d-%02d-%02d%c%02d:%02d:%02d",
		    (int)prng_below(p, 200) + 1900, (int)prng_below(p, 13), (int)prng_below(p, 32),
		    "T "[prng_below(p, 2)], (int)prng_below(p, 25), (int)prng_below(p, 60),
		    (int)prng_below(p, 61));
		n = strlen(out);
		if (prng_below(p, 2)) {
			out[n++] = '.';
			for (uint64_t k = prng_below(p, 8); k > 0; k--)
				out[n++] = digits[prng_below(p, 10)];
		}
		if (prng_below(p, 2))
			out[n++] = 'Z';
	} else {
		if (prng_below(p, 3) == 0)
			out[n++] = "-+ "[prng_below(p, 3)];
		for (uint64_t k = prng_below(p, 22); k > 0; k--)
			out[n++] = digits[prng_below(p, 10)];
		if (prng_below(p, 2))
			out[n++] = '.';
		for (uint64_t k = prng_below(p, 5); k > 0; k--)
			out[n++] = digits[prng_below(p, 10)];
		if (prng_below(p, 8) == 0)
			out[n++] = 'e';
	}
	out[n] = '\0';
}

static void fast_paths_agree_with_the_input_functions(void **state)
{
	(void)state;
	static const struct type types[] = {{TYPE_INT8, 0, 0}, {TYPE_INT4, 0, 0}, {TYPE_INT2, 0, 0},
	    {TYPE_NUMERIC, 0, 0}, {TYPE_NUMERIC, 12, 2}, {TYPE_NUMERIC, 5, 0},
	    {TYPE_TIMESTAMPTZ, 0, 0}, {TYPE_TIMESTAMP, 0, 0}};
	struct prng p;
	struct arena arena;
	struct writer a, b;
	uint64_t accepted = 0;
	prng_init(&p, test_seed(7));
	arena_init(&arena, MIB);
	writer_init(&a, KIB);
	writer_init(&b, KIB);
	for (int i = 0; i < 40000; i++) {
		struct type type = types[prng_below(&p, 8)];
		char text[64];
		struct datum x, y;
		random_text(&p, text, sizeof(text),
		    type.id == TYPE_TIMESTAMPTZ || type.id == TYPE_TIMESTAMP);
		struct table_column c = {.name = STR("x"), .type = type};
		struct json_value v = {.kind = JSON_STRING, .text = str_of(text)};
		enum err fast = decode_value(&c, &v, &arena, &x);
		enum err slow = datum_from_text(&arena, type, str_of(text), &y);
		if (fast != slow)
			fail_msg("'%s' as %s: %s, not %s", text, type_name(type.id), err_name(fast),
			    err_name(slow));
		err_clear();
		arena_clear(&arena);
		if (fast)
			continue;
		accepted++;
		writer_clear(&a);
		writer_clear(&b);
		datum_to_text(&a, type.id, x);
		datum_to_text(&b, type.id, y);
		if (!bytes_equal(writer_bytes(&a), writer_bytes(&b)))
			fail_msg("'%s' as %s: %.*s, not %.*s", text, type_name(type.id), (int)a.len,
			    (const char *)a.ptr, (int)b.len, (const char *)b.ptr);
	}
	assert_true(accepted > 10000);
	writer_release(&a);
	writer_release(&b);
	arena_release(&arena);
}

/* One column of `type`: rows of random text, as JSON numbers where they are, against the input
 * function. Returns how many rows were accepted. */
static uint32_t compare_rows(struct fixture *f, struct prng *p, struct type type)
{
	char docs[ROWS][96], texts[ROWS][64];
	bool time = type.id == TYPE_TIMESTAMPTZ || type.id == TYPE_TIMESTAMP;
	struct arena arena;
	uint32_t row = 0, refused = 0;
	arena_init(&arena, MIB);
	begin(f);
	for (uint32_t i = 0; i < ROWS; i++) {
		random_text(p, texts[i], sizeof(texts[i]), time);
		bool number = texts[i][0] != ' ' && json_is_valid(str_of(texts[i]));
		(void)snprintf(docs[i], sizeof(docs[i]),
		    number ? "{\"x\":%s}" : "{\"x\":\"%s\"%20s}", texts[i], "");
		add(f, docs[i]);
	}
	finish(f);
	for (uint32_t i = 0; i < ROWS; i++) {
		struct datum expected;
		bool good = datum_from_text(&arena, type, str_of(texts[i]), &expected) == ERR_OK;
		err_clear();
		if (!good) {
			assert_true(refused < f->refused_count && f->refused[refused].pos == i);
			refused++;
			continue;
		}
		if (row == f->batch.count || f->batch.origin[row].pos != i)
			fail_msg("%s as %s was refused", docs[i], type_name(type.id));
		struct datum found = vec_get(&f->batch.cols[0], row++);
		if (datum_compare(type.id, found, expected) != 0 ||
		    (type.id == TYPE_NUMERIC && found.num.scale != expected.num.scale))
			fail_msg("%s as %s", docs[i], type_name(type.id));
	}
	assert_int_equal(row, f->batch.count);
	assert_int_equal(refused, f->refused_count);
	arena_release(&arena);
	return row;
}

static void rows_agree_with_the_input_functions(void **state)
{
	(void)state;
	static const struct type types[] = {{TYPE_INT8, 0, 0}, {TYPE_INT4, 0, 0}, {TYPE_INT2, 0, 0},
	    {TYPE_NUMERIC, 0, 0}, {TYPE_NUMERIC, 12, 2}, {TYPE_NUMERIC, 5, 0},
	    {TYPE_TIMESTAMPTZ, 0, 0}, {TYPE_TIMESTAMP, 0, 0}};
	struct prng p;
	uint32_t accepted = 0;
	prng_init(&p, test_seed(11));
	for (size_t t = 0; t < sizeof(types) / sizeof(*types); t++) {
		void *f;
		setup(&f);
		add_column(f, "x", types[t].id)->type = types[t];
		for (int i = 0; i < 60; i++)
			accepted += compare_rows(f, &p, types[t]);
		teardown(&f);
	}
	assert_true(accepted > 8000);
}

/* ---- the contract ------------------------------------------------------------------ */

static void expect_refused(const struct fixture *f, uint32_t i, uint32_t pos, enum err reason)
{
	assert_true(i < f->refused_count);
	assert_int_equal(f->refused[i].pos, pos);
	assert_string_equal(err_name(f->refused[i].reason), err_name(reason));
}

static void bad_records_are_refused_with_a_reason_and_the_others_stay(void **state)
{
	struct fixture *f = *state;
	add_column(f, "id", TYPE_INT8)->not_null = true;
	add_column(f, "name", TYPE_TEXT);
	begin(f);
	add(f, "{\"id\":1,\"name\":\"a\"}");
	add(f, "{\"id\":1");
	add(f, NULL);
	add(f, "{\"name\":\"b\"}");
	add(f, "[1]");
	add(f, "{\"id\":\"x\",\"name\":\"b\"}");
	add(f, "");
	add(f, "{\"id\":2}");
	finish(f);
	assert_int_equal(f->batch.count, 2);
	assert_int_equal(f->refused_count, 6);
	expect_refused(f, 0, 1, ERR_BAD_JSON);
	expect_refused(f, 1, 2, ERR_NULL_VALUE);
	expect_refused(f, 2, 3, ERR_NULL_VALUE);
	expect_refused(f, 3, 4, ERR_BAD_JSON);
	expect_refused(f, 4, 5, ERR_BAD_VALUE);
	expect_refused(f, 5, 6, ERR_BAD_JSON);
	assert_non_null(strstr(f->refused[4].message, "\"id\""));
	assert_int_equal(f->batch.cols[0].i[0], 1);
	assert_int_equal(f->batch.cols[0].i[1], 2);
	assert_false(vec_is_null(&f->batch.cols[1], 0));
	assert_true(vec_is_null(&f->batch.cols[1], 1));
	assert_int_equal(f->batch.origin[1].pos, 7);
	assert_int_equal(f->batch.origin[1].offset, 107);
	assert_int_equal(f->batch.origin[1].source, 3);
}

static void a_column_that_nobody_reads_is_checked_all_the_same(void **state)
{
	struct fixture *f = *state;
	add_column(f, "id", TYPE_INT8);
	add_column(f, "extra", TYPE_INT4);
	f->needed[1] = 0;
	begin(f);
	add(f, "{\"id\":1,\"extra\":\"no number\"}");
	add(f, "{\"id\":2,\"extra\":5}");
	finish(f);
	assert_int_equal(f->batch.count, 1);
	expect_refused(f, 0, 0, ERR_BAD_VALUE);
	assert_null(f->batch.cols[1].data);
}

static void names_and_paths_find_their_fields(void **state)
{
	struct fixture *f = *state;
	add_column(f, "id", TYPE_INT8);
	struct table_column *quoted = add_column(f, "Name", TYPE_TEXT);
	quoted->quoted = true;
	add_column(f, "deep", TYPE_INT8)->path = STR("$.meta.created");
	begin(f);
	add(f, "{\"ID\":5,\"name\":\"no\",\"Name\":\"yes\",\"meta\":{\"created\":9}}");
	finish(f);
	assert_int_equal(f->batch.count, 1);
	assert_int_equal(f->batch.cols[0].i[0], 5);
	assert_true(str_equal(f->batch.cols[1].s[0], STR("yes")));
	assert_int_equal(f->batch.cols[2].i[0], 9);
}

static void hidden_columns_say_where_a_record_came_from(void **state)
{
	struct fixture *f = *state;
	add_column(f, "id", TYPE_INT8);
	begin(f);
	add(f, "{\"id\":1}");
	uint8_t headers[] = {
	    2, 'a', 4, 0xff, 0xfe, 2, 'n', 1}; /* varints zigzag: 1 'a' 2 bytes; 1 'n' null */
	struct decode_input in = {.record = {.offset = 9,
	                              .timestamp_ms = -5,
	                              .value = bytes_of("{\"id\":2}", 8),
	                              .key = bytes_of("\xff\x01", 2),
	                              .headers = bytes_of(headers, sizeof(headers)),
	                              .header_count = 2},
	    .sequence = 43,
	    .pos = 3,
	    .partition = 1,
	    .append_time_ns = 1234567};
	assert_int_equal(decoder_add(f->decoder, &in), ERR_OK);
	finish(f);
	const struct vec *h = &f->batch.cols[1];
	assert_int_equal(f->batch.count, 2);
	assert_true(str_equal(h[HIDDEN_TOPIC].s[1], STR("quakes")));
	assert_int_equal(h[HIDDEN_PARTITION].i[1], 1);
	assert_int_equal(h[HIDDEN_OFFSET].i[1], 9);
	assert_int_equal(h[HIDDEN_TIMESTAMP].i[1], -5000);
	assert_true(str_equal(h[HIDDEN_KEY].s[0], STR("k")));
	assert_true(str_equal(h[HIDDEN_KEY].s[1], STR("\\xff01")));
	assert_int_equal(h[HIDDEN_KEY_BYTES].s[1].len, 2);
	assert_true(str_equal(h[HIDDEN_HEADERS].s[0], STR("{}")));
	assert_true(str_equal(h[HIDDEN_HEADERS].s[1], STR("{\"a\":\"\\\\xfffe\",\"n\":null}")));
	assert_int_equal(h[HIDDEN_INGEST_TIME].i[1], 1234);
	assert_int_equal(h[HIDDEN_SEQUENCE].i[1], 43);
	assert_int_equal(h[HIDDEN_POS].i[1], 3);
}

static void an_event_time_that_is_missing_or_too_far_ahead_is_refused(void **state)
{
	struct fixture *f = *state;
	struct table_column *c = add_column(f, "at", TYPE_TIMESTAMPTZ);
	c->unit_us = 1000;
	f->table.event_time = 0;
	f->table.max_ahead_us = 1000000; /* append time is 6 s */
	begin(f);
	add(f, "{\"at\":7000}");
	add(f, "{\"at\":7001}");
	add(f, "{}");
	add(f, "{\"at\":\"infinity\"}");
	add(f, "{\"at\":-1}");
	finish(f);
	assert_int_equal(f->batch.count, 2);
	expect_refused(f, 0, 1, ERR_EVENT_TIME);
	expect_refused(f, 1, 2, ERR_EVENT_TIME);
	expect_refused(f, 2, 3, ERR_EVENT_TIME);
	assert_int_equal(f->batch.origin[1].pos, 4);
}

/* id / (id - 2): fails for 2; as a generated column and, compared with 1, as a CHECK. */
static const struct func *find_func(const char *name, enum type_id a, enum type_id b)
{
	for (size_t i = 0; i < func_table_count; i++)
		if (strcmp(func_table[i].name, name) == 0 && func_table[i].arg_count == 2 &&
		    func_table[i].args[0] == a && func_table[i].args[1] == b)
			return &func_table[i];
	fail_msg("no %s", name);
	return NULL;
}

static void generated_columns_and_checks_are_part_of_the_contract(void **state)
{
	struct fixture *f = *state;
	struct type i8 = {TYPE_INT8, 0, 0};
	struct expr id = {.kind = EXPR_COLUMN, .type = i8, .column = 0, .location = -1};
	struct expr two = {.kind = EXPR_CONST, .type = i8, .value = {.i = 2}, .location = -1};
	struct expr *minus_args[] = {&id, &two};
	struct expr minus = {.kind = EXPR_CALL,
	    .type = i8,
	    .func = find_func("-", TYPE_INT8, TYPE_INT8),
	    .args = minus_args,
	    .arg_count = 2,
	    .can_fail = true,
	    .location = -1};
	struct expr *div_args[] = {&id, &minus};
	struct expr div = {.kind = EXPR_CALL,
	    .type = i8,
	    .func = find_func("/", TYPE_INT8, TYPE_INT8),
	    .args = div_args,
	    .arg_count = 2,
	    .can_fail = true,
	    .location = -1};
	struct expr nine = {.kind = EXPR_CONST, .type = i8, .value = {.i = 9}, .location = -1};
	struct expr *check_args[] = {&id, &nine};
	struct expr check = {.kind = EXPR_CALL,
	    .type = {TYPE_BOOL, 0, 0},
	    .func = find_func("<", TYPE_INT8, TYPE_INT8),
	    .args = check_args,
	    .arg_count = 2,
	    .location = -1};
	add_column(f, "id", TYPE_INT8);
	struct table_column *g = add_column(f, "ratio", TYPE_INT8);
	g->generated = &div;
	g->not_null = true;
	f->checks[0] = &check;
	f->table.check_count = 1;
	begin(f);
	add(f, "{\"id\":3}");
	add(f, "{\"id\":2}");
	add(f, "{}");
	add(f, "{\"id\":9}");
	add(f, "{\"id\":4,\"ratio\":77}");
	finish(f);
	assert_int_equal(f->batch.count, 2);
	assert_int_equal(f->refused_count, 3);
	expect_refused(f, 0, 1, ERR_DIVISION_BY_ZERO);
	expect_refused(f, 1, 2, ERR_NULL_VALUE);
	expect_refused(f, 2, 3, ERR_CHECK_FAILED);
	assert_int_equal(vec_get(&f->batch.cols[1], 0).i, 3);
	assert_int_equal(vec_get(&f->batch.cols[1], 1).i, 2);
	assert_non_null(decoder_input(f->decoder, 42, 4));
	assert_null(decoder_input(f->decoder, 42, 9));
}

static void a_decoder_forgets_the_batch_before(void **state)
{
	struct fixture *f = *state;
	add_column(f, "id", TYPE_INT8);
	begin(f);
	add(f, "{}");
	add(f, "{\"id\":5}");
	finish(f);
	assert_true(vec_is_null(&f->batch.cols[0], 0));
	begin(f);
	add(f, "{\"id\":6}");
	finish(f);
	assert_int_equal(f->batch.count, 1);
	assert_false(vec_is_null(&f->batch.cols[0], 0));
	assert_null(f->batch.cols[0].null);
}

static void a_refused_row_leaves_no_null_behind(void **state)
{
	struct fixture *f = *state;
	add_column(f, "name", TYPE_TEXT);
	add_column(f, "id", TYPE_INT8)->not_null = true;
	begin(f);
	add(f, "{\"id\":1,\"name\":\"a\"}");
	add(f, "{\"name\":null}");
	add(f, "{\"id\":\"x\"}");
	add(f, "{\"id\":2,\"name\":\"b\"}");
	add(f, "{\"id\":3}");
	finish(f);
	assert_int_equal(f->batch.count, 3);
	assert_false(vec_is_null(&f->batch.cols[0], 0));
	assert_false(vec_is_null(&f->batch.cols[0], 1));
	assert_true(vec_is_null(&f->batch.cols[0], 2));
	begin(f);
	for (int i = 0; i < 3; i++)
		add(f, i == 1 ? "{\"id\":4}" : "{\"id\":4,\"name\":\"c\"}");
	finish(f);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(vec_is_null(&f->batch.cols[0], i), i == 1);
}

#define DECODE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_field_means_what_a_cast_of_its_text_means),
	    cmocka_unit_test(fast_paths_agree_with_the_input_functions),
	    cmocka_unit_test(rows_agree_with_the_input_functions),
	    DECODE_TEST(bad_records_are_refused_with_a_reason_and_the_others_stay),
	    DECODE_TEST(a_column_that_nobody_reads_is_checked_all_the_same),
	    DECODE_TEST(names_and_paths_find_their_fields),
	    DECODE_TEST(hidden_columns_say_where_a_record_came_from),
	    DECODE_TEST(an_event_time_that_is_missing_or_too_far_ahead_is_refused),
	    DECODE_TEST(generated_columns_and_checks_are_part_of_the_contract),
	    DECODE_TEST(a_decoder_forgets_the_batch_before),
	    DECODE_TEST(a_refused_row_leaves_no_null_behind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
