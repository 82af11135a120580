/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuild, wait, diff, promote, rollback, explain-row: one server in this process, compared with
 * counts done the slow way. */
#include "log/base/json.h"
#include "test/lib/quakes.h"
#include "test/lib/seed.h"
#include "test/lib/view_fixture.h"
#include "test/lib/patience.h"
#include <stdio.h>

struct scene {
	struct view_fixture f;
	struct quakes q;
};

/* A server with `count` reports in two partitions and version 1 over them. */
static struct scene *scene_new(size_t count, uint64_t seed)
{
	struct scene *s = mem_calloc(1, sizeof(*s));
	quakes_init(&s->q, test_seed(seed));
	view_start(&s->f, "threads");
	view_create_topic(&s->f, "quakes", 2);
	(void)view_sql(&s->f, quakes_table);
	(void)view_sql(&s->f, quakes_v1);
	view_produce_quakes(&s->f, &s->q, count, 2, 40);
	view_catch_up(&s->f, "felt_per_day", 0);
	return s;
}

static void scene_free(struct scene *s)
{
	view_remove(&s->f);
	quakes_release(&s->q);
	mem_free(s);
}

static void expect_rows(struct scene *s, int32_t version, char *expected)
{
	const char *rows = view_rows(&s->f, "felt_per_day", version);
	if (strcmp(rows, expected) != 0)
		fail_msg("version %d has\n%sand not\n%s", version, rows, expected);
	mem_free(expected);
}

static int32_t rebuild(struct scene *s, const char *sql, const char *from)
{
	struct replay_rebuild req = {.view = STR("felt_per_day"),
	    .sql = str_of(sql),
	    .from = str_of(from),
	    .principal = STR("test")};
	if (replay_rebuild(s->f.replay, &req) != ERR_OK)
		fail_msg("rebuild: %s", req.error.message);
	return req.version;
}

static enum err try_rebuild(struct scene *s, const char *sql, const char *from)
{
	struct replay_rebuild req = {
	    .view = STR("felt_per_day"), .sql = str_of(sql), .from = str_of(from)};
	err_clear();
	return replay_rebuild(s->f.replay, &req);
}

static void wait_version(struct scene *s, int32_t version)
{
	if (replay_wait(s->f.replay, STR("felt_per_day"), version, 0, PATIENCE_NS, NULL, NULL) !=
	    ERR_OK)
		fail_msg("wait: %s", err_chain());
}

/* ---- rebuild ----------------------------------------------------------------------- */

static void a_rebuild_stands_beside_the_live_version_which_goes_on(void **state)
{
	(void)state;
	struct scene *s = scene_new(1000, 101);
	assert_int_equal(rebuild(s, quakes_v2, NULL), 2);
	view_produce_quakes(&s->f, &s->q, 500, 2, 40);
	wait_version(s, 2);
	view_catch_up(&s->f, "felt_per_day", 1);
	view_catch_up(&s->f, "felt_per_day", 2);
	expect_rows(s, 0, quakes_expect_v1(&s->q, s->q.count));
	expect_rows(s, 1, quakes_expect_v1(&s->q, s->q.count));
	expect_rows(s, 2, quakes_expect_v2(&s->q, s->q.count));
	assert_true(view_status(&s->f, "felt_per_day", 1).active);
	assert_false(view_status(&s->f, "felt_per_day", 2).active);
	scene_free(s);
}

static void a_rebuild_is_refused_with_the_reason(void **state)
{
	(void)state;
	struct scene *s = scene_new(100, 102);
	assert_int_equal(
	    try_rebuild(s,
	        "CREATE MATERIALIZED VIEW felt_per_day WITH (version = 1) AS SELECT id FROM quakes",
	        NULL),
	    ERR_EXISTS);
	assert_int_equal(
	    try_rebuild(s, "CREATE MATERIALIZED VIEW other AS SELECT id FROM quakes", NULL),
	    ERR_INVALID);
	assert_int_equal(try_rebuild(s, "SELECT 1", NULL), ERR_INVALID);
	assert_int_equal(
	    try_rebuild(
	        s, "CREATE MATERIALIZED VIEW felt_per_day AS SELECT nothing FROM quakes", NULL),
	    ERR_SQL_NAME);
	assert_int_equal(try_rebuild(s, "CREATE MATERIALIZED", NULL), ERR_SQL_SYNTAX);
	assert_int_equal(try_rebuild(s, quakes_v2, "@2025-03-01T12:00:00"), ERR_INVALID);
	assert_int_equal(try_rebuild(s, quakes_v2, "stored"), ERR_INVALID);
	struct replay_rebuild req = {.view = STR("nothing"), .sql = str_of(quakes_v2)};
	assert_int_equal(replay_rebuild(s->f.replay, &req), ERR_NOT_FOUND);
	assert_int_equal(rebuild(s, quakes_v2_next, NULL), 2);
	assert_int_equal(view_try_sql(&s->f, quakes_v2_next), ERR_EXISTS);
	scene_free(s);
}

static void a_rebuild_may_start_later(void **state)
{
	(void)state;
	struct scene *s = mem_calloc(1, sizeof(*s));
	quakes_init(&s->q, test_seed(103));
	s->q.bad_percent = 0;
	view_start(&s->f, "threads");
	view_create_topic(&s->f, "quakes", 1);
	(void)view_sql(&s->f, quakes_table);
	(void)view_sql(&s->f, quakes_v1);
	view_produce_quakes(&s->f, &s->q, 300, 1, 17);
	static const struct {
		const char *from;
		size_t records;
	} cases[] = {{"100", 200}, {"-50", 50}, {"+290", 10}, {"end", 0}, {"1000", 0},
	    {"-1000", 300}, {"start", 300}, {"@2020-01-01T00:00:00Z", 300}, {"@-1h", 300}};
	int32_t version = 1;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		version = rebuild(s, quakes_v1, cases[i].from);
		wait_version(s, version);
		struct proc_version_status st = view_status(&s->f, "felt_per_day", version);
		if (st.records != cases[i].records)
			fail_msg(
			    "from %s: %llu records", cases[i].from, (unsigned long long)st.records);
		assert_int_equal(st.from_start, strcmp(cases[i].from, "start") == 0);
	}
	/* the place is remembered over a restart */
	view_produce_quakes(&s->f, &s->q, 10, 1, 5);
	view_catch_up(&s->f, "felt_per_day", 2);
	view_stop(&s->f);
	view_start(&s->f, "threads");
	view_catch_up(&s->f, "felt_per_day", 2);
	assert_int_equal(view_status(&s->f, "felt_per_day", 2).records, 210);
	view_catch_up(&s->f, "felt_per_day", 5);
	assert_int_equal(view_status(&s->f, "felt_per_day", 5).records, 10);
	scene_free(s);
}

static void a_version_without_data_waits_for_its_rebuild(void **state)
{
	(void)state;
	struct scene *s = scene_new(200, 104);
	(void)view_sql(&s->f, "CREATE MATERIALIZED VIEW felt_per_day WITH (version = 2) AS SELECT "
	                      "count(*) AS n FROM quakes"
	                      " WITH NO DATA");
	assert_int_equal(view_status(&s->f, "felt_per_day", 2).position, 0);
	assert_int_equal(
	    replay_promote(s->f.replay, STR("felt_per_day"), 2, 0, STR("")), ERR_REFUSED);
	view_stop(&s->f);
	view_start(&s->f, "threads");
	assert_int_equal(view_status(&s->f, "felt_per_day", 2).records, 0);
	(void)view_sql(&s->f, "CALL rebuild('felt_per_day', version => 2, from_offset => 'start')");
	wait_version(s, 2);
	assert_int_equal(view_status(&s->f, "felt_per_day", 2).records,
	    s->q.count - quakes_bad(&s->q, s->q.count));
	scene_free(s);
}

/* ---- promote and rollback ---------------------------------------------------------- */

static int32_t active(struct scene *s)
{
	return view_status(&s->f, "felt_per_day", 0).version;
}

static void promote_and_rollback_are_one_record_each_and_survive_a_restart(void **state)
{
	(void)state;
	struct scene *s = scene_new(400, 105);
	int32_t version = 0;
	assert_int_equal(
	    replay_rollback(s->f.replay, STR("felt_per_day"), STR(""), &version), ERR_REFUSED);
	(void)rebuild(s, quakes_v2, NULL);
	wait_version(s, 2);
	assert_int_equal(
	    replay_promote(s->f.replay, STR("felt_per_day"), 2, -1, STR("counts revisions once")),
	    ERR_OK);
	assert_int_equal(active(s), 2);
	view_stop(&s->f);
	view_start(&s->f, "threads");
	assert_int_equal(active(s), 2);
	/* the version before is fed on, so going back loses nothing */
	view_produce_quakes(&s->f, &s->q, 200, 2, 20);
	view_catch_up(&s->f, "felt_per_day", 2);
	expect_rows(s, 0, quakes_expect_v2(&s->q, s->q.count));
	view_catch_up(&s->f, "felt_per_day", 1);
	assert_int_equal(
	    replay_rollback(s->f.replay, STR("felt_per_day"), STR("wrong"), &version), ERR_OK);
	assert_int_equal(version, 1);
	expect_rows(s, 0, quakes_expect_v1(&s->q, s->q.count));
	assert_int_equal(
	    replay_rollback(s->f.replay, STR("felt_per_day"), STR("again"), &version), ERR_REFUSED);
	view_stop(&s->f);
	view_start(&s->f, "threads");
	assert_int_equal(active(s), 1);
	assert_int_equal(
	    replay_rollback(s->f.replay, STR("felt_per_day"), STR("again"), &version), ERR_REFUSED);
	/* promoted again, by SQL */
	wait_version(s, 2);
	(void)view_sql(&s->f, "ALTER MATERIALIZED VIEW felt_per_day SET (active_version = 2)");
	assert_int_equal(active(s), 2);
	assert_int_equal(
	    view_try_sql(&s->f, "ALTER MATERIALIZED VIEW felt_per_day SET (active_version = 2)"),
	    ERR_REFUSED);
	assert_int_equal(
	    view_try_sql(&s->f, "ALTER MATERIALIZED VIEW felt_per_day SET (active_version = 9)"),
	    ERR_NOT_FOUND);
	scene_free(s);
}

static void the_version_before_is_dropped_when_its_window_is_over(void **state)
{
	(void)state;
	struct scene *s = scene_new(100, 106);
	struct proc_version_status st;
	struct io_stat file;
	char path[400];
	int32_t version;
	(void)rebuild(s, quakes_v2, NULL);
	wait_version(s, 2);
	assert_int_equal(replay_promote(s->f.replay, STR("felt_per_day"), 2, 0, STR("")), ERR_OK);
	assert_int_equal(
	    proc_version_status(s->f.proc, STR("felt_per_day"), 1, &st), ERR_NOT_FOUND);
	assert_int_equal(
	    replay_rollback(s->f.replay, STR("felt_per_day"), STR(""), &version), ERR_REFUSED);
	(void)snprintf(path, sizeof(path), "%s/views/felt_per_day/v1.db", s->f.data_dir);
	assert_int_equal(io_stat(s->f.io, path, &file), ERR_NOT_FOUND);
	(void)snprintf(path, sizeof(path), "%s/views/felt_per_day/current.db", s->f.data_dir);
	assert_int_equal(io_stat(s->f.io, path, &file), ERR_OK);
	assert_true(file.is_link);
	assert_int_equal(rebuild(s, quakes_v1, NULL), 3); /* numbers are not used twice */
	wait_version(s, 3);
	assert_int_equal(
	    replay_promote(s->f.replay, STR("felt_per_day"), 3, 50 * MS_NS, STR("")), ERR_OK);
	enum err err = ERR_OK;
	for (int ms = 0; ms < PATIENCE_MS && err == ERR_OK; ms += 10) {
		proc_pause(s->f.proc, 10 * MS_NS);
		err = proc_version_status(s->f.proc, STR("felt_per_day"), 2, &st);
	}
	assert_int_equal(err, ERR_NOT_FOUND);
	expect_rows(s, 0, quakes_expect_v1(&s->q, s->q.count));
	scene_free(s);
}

/* ---- diff -------------------------------------------------------------------------- */

struct diff_out {
	struct writer w;
	struct proc_column columns[16];
	uint32_t count;
};

static enum err diff_columns(void *ctx, const struct proc_column *columns, uint32_t count)
{
	struct diff_out *o = ctx;
	assert_true(count <= 16);
	memcpy(o->columns, columns, count * sizeof(*columns));
	o->count = count;
	proc_write_csv_header(&o->w, columns, count);
	return ERR_OK;
}

static enum err diff_row(void *ctx, const struct datum *values, uint32_t count)
{
	struct diff_out *o = ctx;
	proc_write_csv_row(&o->w, o->columns, values, count);
	return ERR_OK;
}

static const char *diff_text(struct scene *s, struct diff_out *o, struct replay_diff *req)
{
	struct proc_sink sink = {.ctx = o, .columns = diff_columns, .row = diff_row};
	writer_clear(&o->w);
	err_clear();
	if (replay_diff(s->f.replay, req, &sink) != ERR_OK)
		fail_msg("diff: %s", err_chain());
	write_u8(&o->w, 0);
	return (const char *)o->w.ptr;
}

static void produce_one(struct scene *s, const char *json)
{
	view_produce(&s->f, "quakes", 0, &json, 1);
}

static struct scene *small_scene(void)
{
	struct scene *s = mem_calloc(1, sizeof(*s));
	quakes_init(&s->q, 1);
	view_start(&s->f, "threads");
	view_create_topic(&s->f, "quakes", 1);
	(void)view_sql(&s->f, quakes_table);
	(void)view_sql(&s->f, quakes_v1);
	/* day 1: a, a again; day 2: b, withdrawn; day 3: c */
	produce_one(s,
	    "{\"id\":\"a\",\"rev\":1,\"at\":1740787200000,\"felt\":10,\"status\":\"automatic\"}");
	produce_one(s,
	    "{\"id\":\"b\",\"rev\":1,\"at\":1740873600000,\"felt\":20,\"status\":\"automatic\"}");
	produce_one(
	    s, "{\"id\":\"a\",\"rev\":2,\"at\":1740787200000,\"felt\":15,\"status\":\"reviewed\"}");
	produce_one(s,
	    "{\"id\":\"c\",\"rev\":1,\"at\":1740960000000,\"felt\":30,\"status\":\"automatic\"}");
	produce_one(s,
	    "{\"id\":\"b\",\"rev\":2,\"at\":1740873600000,\"felt\":20,\"status\":\"withdrawn\"}");
	(void)rebuild(s, quakes_v2, NULL);
	wait_version(s, 2);
	return s;
}

static void a_diff_pairs_rows_by_key_at_one_sequence(void **state)
{
	(void)state;
	struct scene *s = small_scene();
	struct diff_out o = {0};
	writer_init(&o.w, MIB);
	struct replay_diff req = {.view = STR("felt_per_day"), .a = 1, .b = 2};
	assert_string_equal(diff_text(s, &o, &req),
	    "change,day,quakes_v1,quakes_v2,felt_v1,felt_v2\n"
	    "changed,2025-03-01T00:00:00.000000Z,2,1,25,15\n"
	    "removed,2025-03-02T00:00:00.000000Z,2,,40,\n");
	assert_int_equal(req.counts.added, 0);
	assert_int_equal(req.counts.removed, 1);
	assert_int_equal(req.counts.changed, 1);
	assert_int_equal(req.counts.same, 1);
	assert_true(req.counts.sequence > 0);
	req.with_same = true;
	req.a = 2;
	req.b = 1;
	assert_string_equal(diff_text(s, &o, &req),
	    "change,day,quakes_v2,quakes_v1,felt_v2,felt_v1\n"
	    "changed,2025-03-01T00:00:00.000000Z,1,2,15,25\n"
	    "added,2025-03-02T00:00:00.000000Z,,2,,40\n"
	    "same,2025-03-03T00:00:00.000000Z,1,1,30,30\n");
	req = (struct replay_diff){
	    .view = STR("felt_per_day"), .a = 1, .b = 2, .key = STR("2025-03-01")};
	assert_string_equal(diff_text(s, &o, &req),
	    "change,day,quakes_v1,quakes_v2,felt_v1,felt_v2\n"
	    "changed,2025-03-01T00:00:00.000000Z,2,1,25,15\n");
	req.key = STR("day=2025-03-03T00:00:00Z");
	assert_string_equal(
	    diff_text(s, &o, &req), "change,day,quakes_v1,quakes_v2,felt_v1,felt_v2\n");
	assert_int_equal(req.counts.same, 1);
	assert_string_equal(view_sql(&s->f, "SELECT change, day, quakes_v1 FROM "
	                                    "diff('felt_per_day', 1, 2) WHERE change <> 'same'"
	                                    " ORDER BY day DESC"),
	    "change,day,quakes_v1\nremoved,2025-03-02T00:00:00.000000Z,2\nchanged,2025-03-01T00:00:"
	    "00.000000Z,2\n");
	assert_string_equal(view_sql(&s->f, "SELECT change, count(*) AS n FROM "
	                                    "diff('felt_per_day', 1, 2) GROUP BY 1 ORDER BY 1"),
	    "change,n\nchanged,1\nremoved,1\nsame,1\n");
	writer_release(&o.w);
	scene_free(s);
}

static void a_diff_of_the_same_logic_is_empty_while_records_come_in(void **state)
{
	(void)state;
	struct scene *s = scene_new(500, 107);
	struct diff_out o = {0};
	writer_init(&o.w, MIB);
	(void)rebuild(s, quakes_v1, NULL);
	for (int i = 0; i < 20; i++) {
		view_produce_quakes(&s->f, &s->q, 50, 2, 10);
		struct replay_diff req = {.view = STR("felt_per_day"), .a = 1, .b = 2};
		assert_string_equal(
		    diff_text(s, &o, &req), "change,day,quakes_v1,quakes_v2,felt_v1,felt_v2\n");
		assert_int_equal(req.counts.same, QUAKE_DAYS);
	}
	writer_release(&o.w);
	scene_free(s);
}

static void rows_without_a_visible_key_are_compared_as_multisets(void **state)
{
	(void)state;
	struct scene *s = small_scene();
	struct diff_out o = {0};
	writer_init(&o.w, MIB);
	(void)view_sql(&s->f, "CREATE MATERIALIZED VIEW felt AS SELECT felt FROM quakes;"
	                      "CREATE MATERIALIZED VIEW felt WITH (version = 2) AS SELECT felt + 5 "
	                      "AS felt FROM quakes");
	view_catch_up(&s->f, "felt", 1);
	view_catch_up(&s->f, "felt", 2);
	struct replay_diff req = {.view = STR("felt"), .a = 1, .b = 2};
	/* v1: 10 15 20 20 30; v2: 15 20 25 25 35 */
	assert_string_equal(diff_text(s, &o, &req),
	    "change,felt\nremoved,10\nremoved,20\nadded,25\nadded,25\nremoved,30\nadded,35\n");
	assert_int_equal(req.counts.same, 2);
	req.key = STR("10");
	struct proc_sink sink = {.ctx = &o, .columns = diff_columns, .row = diff_row};
	assert_int_equal(replay_diff(s->f.replay, &req, &sink), ERR_INVALID);
	writer_release(&o.w);
	scene_free(s);
}

static void versions_over_different_input_are_compared_only_on_demand(void **state)
{
	(void)state;
	struct scene *s = scene_new(200, 108);
	struct diff_out o = {0};
	struct proc_sink sink = {.ctx = &o, .columns = diff_columns, .row = diff_row};
	writer_init(&o.w, MIB);
	(void)rebuild(s, quakes_v1, "+10");
	wait_version(s, 2);
	struct replay_diff req = {.view = STR("felt_per_day"), .a = 1, .b = 2};
	assert_int_equal(replay_diff(s->f.replay, &req, &sink), ERR_DIFFERENT_INPUT);
	req.different_input = true;
	writer_clear(&o.w);
	assert_int_equal(replay_diff(s->f.replay, &req, &sink), ERR_OK);
	assert_true(req.counts.changed > 0);
	req = (struct replay_diff){.view = STR("felt_per_day"), .a = 1, .b = 7};
	assert_int_equal(replay_diff(s->f.replay, &req, &sink), ERR_NOT_FOUND);
	/* another partition, added later, is the same input for both */
	writer_release(&o.w);
	scene_free(s);
}

/* ---- explain-row ------------------------------------------------------------------- */

static const char *explain(
    struct scene *s, int32_t version, const char *key, uint64_t limit, struct writer *w)
{
	writer_clear(w);
	err_clear();
	if (replay_explain_row(s->f.replay, STR("felt_per_day"), version, str_of(key), limit, w) !=
	    ERR_OK)
		fail_msg("explain-row: %s", err_chain());
	assert_true(json_is_valid(bytes_str(writer_bytes(w))));
	write_u8(w, 0);
	return (const char *)w->ptr;
}

static void expect_part(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no %s in %s", part, text);
}

static void a_row_names_the_records_it_was_made_of(void **state)
{
	(void)state;
	struct scene *s = small_scene();
	struct writer w;
	writer_init(&w, MIB);
	const char *text = explain(s, 1, "2025-03-01", 100, &w);
	expect_part(text, "\"view\":\"felt_per_day\",\"version\":1,");
	expect_part(text, "\"key\":{\"day\":\"2025-03-01T00:00:00.000000Z\"}");
	expect_part(
	    text, "\"row\":{\"day\":\"2025-03-01T00:00:00.000000Z\",\"quakes\":2,\"felt\":\"25\"}");
	expect_part(text, "\"topic\":\"quakes\",\"partition\":0,\"offset\":0,");
	expect_part(text, "\"offset\":2,");
	expect_part(text, "\"effect\":1,\"value\":{\"id\":\"a\",\"rev\":2,");
	expect_part(text, "\"total\":2,\"complete\":true}");
	text = explain(s, 1, "day=2025-03-01", 1, &w);
	expect_part(text, "\"total\":2,\"complete\":false}");
	/* version 2: the second revision took the place of the first */
	text = explain(s, 2, "2025-03-01", 100, &w);
	expect_part(text, "\"quakes\":1,\"felt\":\"15\"");
	expect_part(text, "\"offset\":2,");
	err_clear();
	assert_int_equal(
	    replay_explain_row(s->f.replay, STR("felt_per_day"), 2, STR("2025-03-02"), 100, &w),
	    ERR_NOT_FOUND);
	assert_int_equal(
	    replay_explain_row(s->f.replay, STR("felt_per_day"), 1, STR("nonsense"), 100, &w),
	    ERR_INVALID);
	assert_int_equal(
	    replay_explain_row(s->f.replay, STR("felt_per_day"), 1, STR("month=3"), 100, &w),
	    ERR_INVALID);
	writer_release(&w);
	scene_free(s);
}

/* Every record of a day, counted the slow way. */
static void totals_of_all_rows_are_all_accepted_records(void **state)
{
	(void)state;
	struct scene *s = scene_new(800, 109);
	struct writer w;
	uint64_t sum = 0;
	writer_init(&w, 16 * MIB);
	char *rows = mem_strdup(str_of(view_rows(&s->f, "felt_per_day", 1)));
	char *save = NULL;
	for (char *line = strtok_r(rows, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char key[40];
		unsigned long long count, total;
		if (sscanf(line, "%30[^,],%llu", key, &count) != 2)
			continue;
		const char *text = explain(s, 1, key, 1000000, &w);
		const char *at = strstr(text, "\"total\":");
		assert_non_null(at);
		assert_int_equal(sscanf(at, "\"total\":%llu", &total), 1);
		assert_int_equal(total, count);
		sum += total;
	}
	assert_int_equal(sum, s->q.count - quakes_bad(&s->q, s->q.count));
	mem_free(rows);
	writer_release(&w);
	scene_free(s);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_rebuild_stands_beside_the_live_version_which_goes_on),
	    cmocka_unit_test(a_rebuild_is_refused_with_the_reason),
	    cmocka_unit_test(a_rebuild_may_start_later),
	    cmocka_unit_test(a_version_without_data_waits_for_its_rebuild),
	    cmocka_unit_test(promote_and_rollback_are_one_record_each_and_survive_a_restart),
	    cmocka_unit_test(the_version_before_is_dropped_when_its_window_is_over),
	    cmocka_unit_test(a_diff_pairs_rows_by_key_at_one_sequence),
	    cmocka_unit_test(a_diff_of_the_same_logic_is_empty_while_records_come_in),
	    cmocka_unit_test(rows_without_a_visible_key_are_compared_as_multisets),
	    cmocka_unit_test(versions_over_different_input_are_compared_only_on_demand),
	    cmocka_unit_test(a_row_names_the_records_it_was_made_of),
	    cmocka_unit_test(totals_of_all_rows_are_all_accepted_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
