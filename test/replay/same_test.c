/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The same records give the same rows, roots and dead letters (I4, I5), whatever the sizes of the
 * batches inside the processor, whenever it stops, and if it comes back with a view file that is
 * older than it was, or none; and views that do not depend on order hold the same rows however the
 * records are spread over partitions.
 *
 * One directory is made with the topic and the views, and copied for each run, so that topic ids
 * and sequences are the same in all.
 */
#include "test/lib/seed.h"
#include "test/lib/tempdir.h"
#include "test/lib/view_fixture.h"
#include <stdio.h>
#include <stdlib.h>

enum { ORDERS = 701 /* prime */, JSON_MAX = 160, BATCH_MAX = 40 };

static const char table_sql[] =
    "CREATE TABLE orders (id bigint NOT NULL, rev integer NOT NULL, product text NOT NULL,"
    " region text, amount numeric(12,2) NOT NULL CHECK (amount >= 0), units integer NOT NULL,"
    " ts timestamptz OPTIONS (unit 'ms') NOT NULL) WITH (topic = 'orders', format = json)";

/* Each reads what stands before it. */
static const struct {
	const char *name, *select;
	bool ordered; /* which records it refuses depends on the order they came in */
} views[] = {
    {"latest",
        "SELECT DISTINCT ON (id) id, rev, product, region, amount, units FROM orders"
        " ORDER BY id, rev DESC, _sequence DESC, _pos DESC",
        false},
    {"per_product",
        "SELECT product, count(*) AS orders, sum(amount) AS revenue, min(amount) AS lowest,"
        " max(amount) AS highest, avg(amount) AS mean, count(DISTINCT region) AS regions,"
        " count(DISTINCT id) FILTER (WHERE units > 5) AS big FROM latest GROUP BY product",
        false},
    {"per_count",
        "SELECT orders, count(*) AS products, sum(revenue) AS revenue, max(highest) AS highest,"
        " min(mean) AS mean FROM per_product GROUP BY orders",
        false},
    {"records",
        "SELECT product, region, count(*) AS n, count(DISTINCT id) AS ids, sum(amount) AS amount,"
        " avg(units) AS units, min(ts) AS first, max(rev) AS rev FROM orders"
        " GROUP BY product, region",
        false},
    {"windows",
        "SELECT window_start, product, sum(amount) AS revenue, count(DISTINCT id) AS ids"
        " FROM tumble(orders, ts, interval '1 minute') GROUP BY window_start, product",
        false},
    {"each", "SELECT id, rev, amount / units AS price FROM orders WHERE product <> 'none'", false},
    {"newest",
        "SELECT DISTINCT ON (product) product, id, rev, amount FROM latest"
        " ORDER BY product, amount DESC, id, rev",
        false},
    {"places", "SELECT DISTINCT product, region FROM latest", false},
    /* what fails stands above state: the record is undone in it */
    {"price_of_latest", "SELECT product, sum(amount / units) AS price FROM latest GROUP BY product",
        true},
};
enum { VIEWS = sizeof views / sizeof views[0] };

/* ---- records --------------------------------------------------------------------------------- */

struct orders {
	char json[ORDERS][JSON_MAX];
	const char *values[ORDERS]; /* NULL = a null value */
	int bad;                    /* refused by the table */
};

static const char *const spoiled[] = {"{\"id\":1,\"rev\":", "[]", "{\"rev\":1,\"product\":\"a\"}",
    "{\"id\":5,\"rev\":1,\"product\":\"a\",\"amount\":-1,\"units\":1,\"ts\":1}",
    "{\"id\":5,\"rev\":1,\"product\":\"a\",\"amount\":1e15,\"units\":1,\"ts\":1}",
    "{\"id\":5.5,\"rev\":1,\"product\":\"a\",\"amount\":1,\"units\":1,\"ts\":1}"};
enum { SPOILED = sizeof spoiled / sizeof spoiled[0] };

/* Revisions of an order come in any order, and each (id, rev) once. */
static void make_orders(struct orders *o, uint64_t seed)
{
	static const char *const products[] = {"tea", "café", "\\u00fcber", "none", "a \\\"b\\\""};
	static const char *const regions[] = {"\"north\"", "\"south\"", "null", "\"\""};
	struct prng p;
	prng_init(&p, seed);
	o->bad = 0;
	for (uint64_t i = 0; i < ORDERS; i++) {
		uint64_t turn = i * 11 % ORDERS;
		o->values[i] = o->json[i];
		(void)snprintf(o->json[i], JSON_MAX,
		    "{\"id\":%llu,\"rev\":%llu,\"product\":\"%s\",\"region\":%s,\"amount\":%llu.%"
		    "02llu,"
		    "\"units\":%llu,\"ts\":%llu}",
		    (unsigned long long)(turn % 220), (unsigned long long)(turn / 220),
		    products[prng_below(&p, 5)], regions[prng_below(&p, 4)],
		    (unsigned long long)(prng_u64(&p) >> (34 + prng_below(&p, 29))),
		    (unsigned long long)prng_below(&p, 100), (unsigned long long)prng_below(&p, 12),
		    (unsigned long long)(1750000000000 + prng_below(&p, 600000)));
		uint64_t kind = prng_below(&p, 100);
		if (kind < SPOILED)
			o->values[i] = spoiled[kind];
		else if (kind == SPOILED)
			o->values[i] = NULL;
		o->bad += kind <= SPOILED;
	}
}

/* ---- what a run ends with -------------------------------------------------------------------- */

struct result {
	char root[65];
	char *rows;    /* sorted lines */
	char *letters; /* which records were refused, where and why */
	uint64_t records, dead_letters;
};

static enum err write_letter(void *ctx, const struct proc_dead_letter *d)
{
	write_printf(ctx, "%d/%lld %s %s " STR_FMT "\n", d->partition, (long long)d->offset,
	    d->op.ptr, err_name(d->reason), STR_ARG(d->message));
	return ERR_OK;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *sorted(const char *text)
{
	char *copy = mem_strdup(str_of(text)), *lines[ORDERS + 2], *save = NULL;
	struct writer w;
	size_t n = 0;
	for (char *l = strtok_r(copy, "\n", &save); l; l = strtok_r(NULL, "\n", &save)) {
		assert_true(n < ORDERS + 2);
		lines[n++] = l;
	}
	qsort(lines, n, sizeof *lines, by_text);
	writer_init(&w, MIB);
	for (size_t i = 0; i < n; i++)
		write_printf(&w, "%s\n", lines[i]);
	char *out = mem_strdup(bytes_str(writer_bytes(&w)));
	writer_release(&w);
	mem_free(copy);
	return out;
}

static struct result result_of(struct view_fixture *f, const char *view, int32_t version)
{
	struct result r = {.rows = sorted(view_rows(f, view, version))};
	struct proc_version_status s = view_status(f, view, version);
	struct writer w;
	(void)view_root(f, view, version, r.root);
	writer_init(&w, MIB);
	assert_int_equal(proc_dead_letters(f->proc, str_of(view), version, (struct str){NULL, 0},
	                     UINT64_MAX, write_letter, &w),
	    ERR_OK);
	r.letters = mem_strdup(bytes_str(writer_bytes(&w)));
	writer_release(&w);
	r.records = s.records;
	r.dead_letters = s.dead_letters;
	return r;
}

static void result_release(struct result *r)
{
	mem_free(r->rows);
	mem_free(r->letters);
}

static void expect_same(
    const char *what, const char *view, const struct result *r, const struct result *first)
{
	if (strcmp(r->rows, first->rows) != 0)
		fail_msg("%s: %s has\n%s\nand not\n%s", what, view, r->rows, first->rows);
	if (strcmp(r->letters, first->letters) != 0)
		fail_msg("%s: %s refused\n%s\nand not\n%s", what, view, r->letters, first->letters);
	if (strcmp(r->root, first->root) != 0)
		fail_msg("%s: the root of %s is %s and not %s", what, view, r->root, first->root);
	assert_int_equal(r->records, first->records);
	assert_int_equal(r->dead_letters, first->dead_letters);
}

/* ---- runs ------------------------------------------------------------------------------------ */

static void create(struct view_fixture *f, int32_t partitions)
{
	view_create_topic(f, "orders", partitions);
	(void)view_sql(f, table_sql);
	for (int i = 0; i < VIEWS; i++) {
		char sql[600];
		(void)snprintf(sql, sizeof sql, "CREATE MATERIALIZED VIEW %s AS %s", views[i].name,
		    views[i].select);
		(void)view_sql(f, sql);
	}
}

/* What stands at `to` becomes a copy of `from`, or goes away when that is NULL. */
static void put_dir(const char *dir, const char *from, const char *to)
{
	char command[600];
	int len = from ? snprintf(command, sizeof command,
	                     "rm -rf '%s/%s' && cp -a '%s/%s' '%s/%s'", dir, to, dir, from, dir, to)
	               : snprintf(command, sizeof command, "rm -rf '%s/%s'", dir, to);
	assert_in_range(len, 1, sizeof command - 1);
	assert_int_equal(system(command), 0);
}

/* Stops; and starts with the view files as they are, as they were at an earlier stop, or gone. */
static void restart(struct view_fixture *f, struct prng *p, bool *kept)
{
	view_stop(f);
	uint64_t kind = prng_below(p, 5);
	if (kind == 0)
		put_dir(f->dir, NULL, "data/views");
	else if (kind == 1 && *kept)
		put_dir(f->dir, "kept", "data/views");
	else if (kind <= 2)
		put_dir(f->dir, "data/views", "kept");
	*kept = *kept || kind == 1 || kind == 2;
	view_start(f, "threads");
}

static void feed(struct view_fixture *f, const struct orders *o, struct prng *how)
{
	bool kept = false;
	struct prng p;
	prng_init(&p, 5); /* the log is the same in all runs */
	for (size_t at = 0; at < ORDERS;) {
		size_t n = 1 + (size_t)prng_below(&p, BATCH_MAX);
		n = n < ORDERS - at ? n : ORDERS - at;
		view_produce(f, "orders", (int32_t)prng_below(&p, 4), &o->values[at], n);
		at += n;
		if (how && prng_below(how, 7) == 0)
			restart(f, how, &kept);
	}
}

/* A copy of the directory of `from`, which is stopped. */
static void start_copy(
    struct view_fixture *f, const struct view_fixture *from, uint32_t batch_rows, uint64_t keys)
{
	char command[600];
	*f = (struct view_fixture){.dir = tempdir_new()};
	f->options.batch_rows = batch_rows;
	f->options.checkpoint_keys = (uint32_t)keys;
	(void)snprintf(command, sizeof command, "cp -a '%s/data' '%s/data'", from->dir, f->dir);
	assert_int_equal(system(command), 0);
	view_start(f, "threads");
}

static void take_results(struct view_fixture *f, int32_t version, struct result results[VIEWS])
{
	for (int i = 0; i < VIEWS; i++) {
		view_catch_up(f, views[i].name, version);
		results[i] = result_of(f, views[i].name, version);
	}
}

static void compare(
    const char *what, struct result results[VIEWS], const struct result first[VIEWS])
{
	for (int i = 0; i < VIEWS; i++) {
		expect_same(what, views[i].name, &results[i], &first[i]);
		result_release(&results[i]);
	}
}

/* That there is something to get wrong. */
static void expect_content(const struct orders *o, const struct result results[VIEWS])
{
	for (int i = 0; i < VIEWS; i++) {
		bool divides = strstr(views[i].select, "/ units") != NULL;
		assert_true(strlen(results[i].rows) > 100);
		assert_int_equal(results[i].records + results[i].dead_letters, ORDERS);
		if (divides)
			assert_true(results[i].dead_letters > (uint64_t)o->bad + 10);
		else
			assert_int_equal(results[i].dead_letters, o->bad);
	}
	assert_true(o->bad > 20);
}

static void batch_sizes_and_restarts_change_no_row_no_root_and_no_dead_letter(void **state)
{
	(void)state;
	static const uint32_t sizes[] = {4096, 1, 3, 64, 1000, 4095};
	static struct orders orders;
	struct result first[VIEWS], results[VIEWS];
	struct view_fixture base = {0}, f;
	struct prng p;
	make_orders(&orders, test_seed(51));
	view_start(&base, "threads");
	create(&base, 4);
	view_stop(&base);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		char what[60];
		prng_init(&p, test_seed(51) + i);
		start_copy(&f, &base, sizes[i], i == 0 ? 100000 : 1 + prng_below(&p, 60));
		feed(&f, &orders, i == 0 ? NULL : &p);
		(void)snprintf(what, sizeof what, "batches of %u", sizes[i]);
		take_results(&f, 1, i == 0 ? first : results);
		if (i == 0)
			expect_content(&orders, first);
		else
			compare(what, results, first);
		for (int k = 0; i % 3 == 0 && k < VIEWS; k++) {
			char sql[100];
			(void)snprintf(sql, sizeof sql, "CALL rebuild('%s')", views[k].name);
			(void)view_sql(&f, sql);
		}
		if (i % 3 == 0) {
			take_results(&f, 2, results);
			compare("a rebuild", results, first);
		}
		view_remove(&f);
	}
	for (int i = 0; i < VIEWS; i++)
		result_release(&first[i]);
	view_remove(&base);
}

/* The records in any order, to any partition. */
static void feed_shuffled(struct view_fixture *f, const struct orders *o, int32_t partitions)
{
	const char *values[ORDERS];
	struct prng p;
	prng_init(&p, test_seed(61) + (uint64_t)partitions);
	memcpy(values, o->values, sizeof values);
	for (size_t i = ORDERS - 1; i > 0; i--) {
		size_t k = (size_t)prng_below(&p, i + 1);
		const char *v = values[i];
		values[i] = values[k];
		values[k] = v;
	}
	for (size_t at = 0, n; at < ORDERS; at += n) {
		n = 1 + (size_t)prng_below(&p, BATCH_MAX);
		n = n < ORDERS - at ? n : ORDERS - at;
		int32_t partition = (int32_t)prng_below(&p, (uint64_t)partitions);
		view_produce(f, "orders", partition, &values[at], n);
	}
}

static void partitions_and_order_change_no_row(void **state)
{
	(void)state;
	static const int32_t partitions[] = {1, 2, 8};
	static struct orders orders;
	struct result first[VIEWS], results[VIEWS];
	make_orders(&orders, test_seed(61));
	for (int i = 0; i < 3; i++) {
		struct view_fixture f = {0};
		view_start(&f, "threads");
		create(&f, partitions[i]);
		feed_shuffled(&f, &orders, partitions[i]);
		take_results(&f, 1, i == 0 ? first : results);
		for (int k = 0; k < VIEWS; k++) {
			const struct result *r = i == 0 ? &first[k] : &results[k];
			assert_int_equal(r->records + r->dead_letters, ORDERS);
			if (views[k].ordered)
				continue;
			if (strcmp(r->rows, first[k].rows) != 0)
				fail_msg("%d partitions: %s has\n%s\nand not\n%s", partitions[i],
				    views[k].name, r->rows, first[k].rows);
			assert_int_equal(r->dead_letters, first[k].dead_letters);
		}
		for (int k = 0; i > 0 && k < VIEWS; k++)
			result_release(&results[k]);
		view_remove(&f);
	}
	for (int k = 0; k < VIEWS; k++)
		result_release(&first[k]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(batch_sizes_and_restarts_change_no_row_no_root_and_no_dead_letter),
	    cmocka_unit_test(partitions_and_order_change_no_row),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
