/* SPDX-License-Identifier: Apache-2.0 */
#include "log/catalog.h"
#include "log/table.h"
#include "test/lib/log_server.h"
#include "test/lib/seed.h"
#include "test/lib/patience.h"
#include <stdio.h>

enum { PARTITIONS = 3, KEYS = 200 };

/* An in-memory table of small numbers: model and view at once. */
struct numbers {
	int64_t value[PARTITIONS][KEYS]; /* 0 = not there */
	int64_t at[PARTITIONS][KEYS];    /* its timestamp */
	unsigned applied;
	unsigned snapshots;
	enum err fail; /* returned by apply */
};
static struct log_server server;
static struct log_table *table;
static struct numbers numbers;

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct numbers *n = ctx;
	uint64_t k, v = 0;
	if (n->fail != ERR_OK)
		return n->fail;
	if (!str_to_u64(bytes_str(key), &k) || k >= KEYS || partition >= PARTITIONS)
		return err_note(ERR_CORRUPT, "key " STR_FMT, STR_ARG(bytes_str(key)));
	if (value.ptr && !str_to_u64(str_from(value.ptr, value.len < 12 ? value.len : 12), &v))
		return ERR_CORRUPT;
	n->value[partition][k] = (int64_t)v;
	n->at[partition][k] = timestamp_ms;
	n->applied++;
	return ERR_OK;
}

static bool dots; /* padding that compresses well */

/* Values of 12 digits and, so that segments fill, a lot of padding. */
static struct bytes value_text(char *buf, size_t len, int64_t value)
{
	uint64_t x = (uint64_t)value + 1;
	for (size_t i = 0; i < len; i++) {
		x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
		buf[i] = dots ? '.' : (char)(x >> 56);
	}
	int n = snprintf(buf, len, "%012lld", (long long)value);
	buf[n] = '.';
	return bytes_of(buf, len);
}

static void snapshot(
    void *ctx, int32_t partition, void (*emit)(void *, struct bytes, struct bytes), void *emit_ctx)
{
	struct numbers *n = ctx;
	char key[16], value[4096];
	n->snapshots++;
	for (int k = 0; k < KEYS; k++) {
		if (n->value[partition][k] == 0)
			continue;
		int len = snprintf(key, sizeof(key), "%d", k);
		emit(emit_ctx, bytes_of(key, (size_t)len),
		    value_text(value, sizeof(value), n->value[partition][k]));
	}
}

static const struct log_table_ops WITH_SNAPSHOT = {.apply = apply, .snapshot = snapshot};
static const struct log_table_ops HISTORY = {.apply = apply};

static enum err open_table(const struct log_table_ops *ops)
{
	numbers = (struct numbers){0};
	return log_table_open(
	    server.log, STR("__kappa_numbers"), PARTITIONS, ops, &numbers, &table);
}

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	table = NULL;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_table_close(table);
	table = NULL;
	log_server_release(&server);
	err_clear();
	return 0;
}

static void restart(const struct log_table_ops *ops, bool crash)
{
	if (crash)
		log_server_crash(&server);
	else
		log_server_restart(&server);
	log_table_close(table);
	table = NULL;
	assert_int_equal(open_table(ops), ERR_OK);
}

struct put {
	struct log_table_put put;
	struct log_row row;
	char key[16], value[4096];
	int *left;
};

static void put_done(struct log_table_put *put)
{
	--*CONTAINER_OF(put, struct put, put)->left;
}

static void put_start(struct put *p, int partition, int k, int64_t value, int *left)
{
	int len = snprintf(p->key, sizeof(p->key), "%d", k);
	p->row.key = bytes_of(p->key, (size_t)len);
	p->row.value =
	    value ? value_text(p->value, sizeof(p->value), value) : (struct bytes){NULL, 0};
	p->left = left;
	p->put = (struct log_table_put){
	    .partition = partition, .rows = &p->row, .row_count = 1, .done = put_done};
	log_table_put(table, &p->put);
}

static enum err put_one(int partition, int k, int64_t value)
{
	static struct put p;
	int left = 1;
	put_start(&p, partition, k, value, &left);
	assert_int_equal(left, 1);
	while (left > 0)
		log_server_turn(&server);
	return p.put.err;
}

static void rows_are_applied_after_they_are_durable_and_come_back(void **state)
{
	(void)state;
	assert_int_equal(open_table(&WITH_SNAPSHOT), ERR_OK);
	assert_int_equal(put_one(0, 5, 50), ERR_OK);
	assert_int_equal(numbers.value[0][5], 50);
	assert_int_equal(put_one(2, 5, 51), ERR_OK);
	assert_int_equal(put_one(2, 6, 61), ERR_OK);
	assert_int_equal(put_one(2, 5, 0), ERR_OK);
	for (int crash = 0; crash < 2; crash++) {
		restart(&WITH_SNAPSHOT, crash);
		assert_int_equal(numbers.value[0][5], 50);
		assert_int_equal(numbers.value[2][5], 0);
		assert_int_equal(numbers.value[2][6], 61);
		assert_int_equal(numbers.applied, 4);
	}
	assert_true(log_server_topic(&server, "__kappa_numbers")->internal);
	assert_int_equal(
	    log_server_topic(&server, "__kappa_numbers")->config.cleanup, LOG_CLEANUP_COMPACT);
}

static void rows_of_one_put_are_one_batch_with_its_time(void **state)
{
	(void)state;
	int left = 1;
	struct put p = {.left = &left};
	const struct log_row rows[] = {
	    {bytes_of("1", 1), bytes_of("000000000010", 12)},
	    {bytes_of("2", 1), bytes_of("000000000020", 12)},
	    {bytes_of("1", 1), {NULL, 0}},
	};
	assert_int_equal(open_table(&HISTORY), ERR_OK);
	p.put = (struct log_table_put){
	    .partition = 1, .rows = rows, .row_count = 3, .timestamp_ms = 12345, .done = put_done};
	log_table_put(table, &p.put);
	while (left > 0)
		log_server_turn(&server);
	assert_int_equal(p.put.err, ERR_OK);
	assert_true(p.put.sequence > 0);
	assert_int_equal(numbers.value[1][1], 0);
	assert_int_equal(numbers.value[1][2], 20);
	assert_int_equal(numbers.at[1][2], 12345);
	assert_int_equal(log_server_status(&server, "__kappa_numbers", 1).log_end, 3);
}

static void put_and_wait_works_on_the_loops_own_thread(void **state)
{
	(void)state;
	const struct log_row row = {bytes_of("7", 1), bytes_of("000000000070", 12)};
	assert_int_equal(open_table(&HISTORY), ERR_OK);
	assert_int_equal(log_table_put_wait(table, 0, &row, 1), ERR_OK);
	assert_int_equal(numbers.value[0][7], 70);
}

struct other_thread {
	struct shared_u64 ended;
	enum err err[20];
};

static void put_from_there(void *arg)
{
	struct other_thread *t = arg;
	for (int i = 0; i < 20; i++) {
		char key[16];
		int len = snprintf(key, sizeof(key), "%d", i);
		const struct log_row row = {
		    bytes_of(key, (size_t)len), bytes_of("000000000001", 12)};
		t->err[i] = log_table_put_wait(table, 1, &row, 1);
	}
	shared_store(&t->ended, 1);
}

static void put_and_wait_works_from_another_thread(void **state)
{
	(void)state;
	struct other_thread t = {{0}, {0}};
	struct thread thread = {0};
	assert_int_equal(open_table(&HISTORY), ERR_OK);
	assert_int_equal(thread_start(&thread, "putter", put_from_there, &t), ERR_OK);
	while (!shared_load(&t.ended))
		log_server_turn(&server);
	thread_join(&thread);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(t.err[i], ERR_OK);
		assert_int_equal(numbers.value[1][i], 1);
	}
}

static void a_table_keeps_its_number_of_partitions(void **state)
{
	(void)state;
	struct log_table *other;
	assert_int_equal(open_table(&WITH_SNAPSHOT), ERR_OK);
	assert_int_equal(
	    log_table_open(server.log, STR("__kappa_numbers"), 4, &WITH_SNAPSHOT, &numbers, &other),
	    ERR_INVALID_PARTITIONS);
}

static void a_row_that_cannot_be_read_refuses_to_open(void **state)
{
	(void)state;
	assert_int_equal(open_table(&HISTORY), ERR_OK);
	assert_int_equal(put_one(0, 5, 50), ERR_OK);
	log_table_close(table);
	table = NULL;
	log_server_append(&server, "__kappa_numbers", 0, "not a number of twelve digits");
	assert_int_equal(open_table(&HISTORY), ERR_CORRUPT);
	assert_non_null(strstr(err_chain(), "__kappa_numbers"));
	assert_non_null(strstr(err_chain(), "offset 1"));
}

static void a_durable_row_that_cannot_be_applied_stops_the_log(void **state)
{
	(void)state;
	assert_int_equal(open_table(&HISTORY), ERR_OK);
	diag_set_level(DIAG_ERROR + 1);
	numbers.fail = ERR_NOMEM;
	(void)put_one(0, 5, 50);
	diag_set_level(DIAG_ERROR);
	struct log_status status;
	log_status(server.log, &status);
	assert_true(status.failed);
	numbers.fail = ERR_OK;
	assert_int_not_equal(put_one(0, 6, 60), ERR_OK);
	restart(&HISTORY, false); /* memory is made again from the log */
	assert_int_equal(numbers.value[0][5], 50);
	assert_int_equal(numbers.value[0][6], 0);
}

/* ---- snapshots ---- */

static void small_segments(void)
{
	struct topic *t = topic_of(log_server_topic(&server, "__kappa_numbers"));
	t->pub.config.segment_bytes = 64 * KIB;
}

/* Puts many rows, several in flight, against a model; restarts and crashes in between. */
static void rolls_are_bounded_by_snapshots(void **state)
{
	(void)state;
	enum { WIDTH = 40 };
	static struct put puts[WIDTH];
	static struct numbers model;
	struct prng prng;
	uint64_t most = 0;
	unsigned snapshots = 0;
	prng_init(&prng, test_seed(21));
	memset(&model, 0, sizeof(model));
	assert_int_equal(open_table(&WITH_SNAPSHOT), ERR_OK);
	small_segments();
	for (int round = 0; round < 150; round++) {
		int left = 0;
		for (int i = 0; i < WIDTH; i++) {
			int partition = (int)prng_below(&prng, PARTITIONS);
			int k = (int)prng_below(&prng, 20) + (partition == 2 ? 100 : 0);
			int64_t value =
			    prng_below(&prng, 4) ? 1 + (int64_t)prng_below(&prng, 1000000) : 0;
			model.value[partition][k] = value;
			left++;
			put_start(&puts[i], partition, k, value, &left);
			if (prng_below(&prng, 8) == 0)
				log_server_turn(&server);
		}
		bool crash = prng_below(&prng, 20) == 0, stop = prng_below(&prng, 20) == 0;
		while (left > 0)
			log_server_turn(&server);
		for (int i = 0; i < WIDTH; i++)
			assert_int_equal(puts[i].put.err, ERR_OK);
		assert_memory_equal(numbers.value, model.value, sizeof(model.value));
		for (int p = 0; p < PARTITIONS; p++) {
			struct log_partition_status status =
			    log_server_status(&server, "__kappa_numbers", p);
			if (round > 20 && status.segment_count > most)
				most = status.segment_count;
		}
		if (!crash && !stop)
			continue;
		snapshots += numbers.snapshots;
		restart(&WITH_SNAPSHOT, crash);
		small_segments();
		assert_memory_equal(numbers.value, model.value, sizeof(model.value));
	}
	snapshots += numbers.snapshots;
	assert_true(snapshots >= 10);
	/*
	 * 24 MB were put; a partition holds a snapshot of 80 KiB, as much again, and what is in
	 * flight
	 */
	assert_in_range(most, 1, 10);
	assert_true(log_server_status(&server, "__kappa_numbers", 0).log_start > 0);
}

static void a_table_without_snapshots_keeps_everything(void **state)
{
	(void)state;
	assert_int_equal(open_table(&HISTORY), ERR_OK);
	assert_int_equal(log_server_topic(&server, "__kappa_numbers")->config.retention_ms, -1);
	small_segments();
	for (int i = 0; i < 100; i++)
		assert_int_equal(put_one(0, i % KEYS, i + 1), ERR_OK);
	assert_int_equal(log_server_status(&server, "__kappa_numbers", 0).log_start, 0);
	assert_true(log_server_status(&server, "__kappa_numbers", 0).segment_count > 4);
	restart(&HISTORY, false);
	assert_int_equal(numbers.applied, 100);
}

struct codecs {
	unsigned seen; /* a bit per codec */
	bool done;
	struct log_read read;
};

static void codecs_read(struct log_read *read)
{
	struct codecs *c = CONTAINER_OF(read, struct codecs, read);
	for (size_t i = 0; i < read->batch_count; i++) {
		struct batch_header h;
		assert_int_equal(batch_header_read(read->batches[i], &h), ERR_OK);
		c->seen |= 1u << batch_codec(&h);
	}
	c->done = true;
}

/* What is long is written in LZ4, short rows are left as they are; both are read back. */
static void long_rows_are_compressed(void **state)
{
	(void)state;
	dots = true;
	assert_int_equal(open_table(&HISTORY), ERR_OK);
	for (int i = 0; i < 20; i++)
		assert_int_equal(put_one(0, i % KEYS, i + 1), ERR_OK);
	assert_int_equal(put_one(0, 0, 0), ERR_OK); /* a tombstone is short */
	assert_in_range(
	    log_server_status(&server, "__kappa_numbers", 0).size_bytes, 4096, 4096 + 21 * 400);
	struct codecs c = {.read = {.partition = log_partition_find(server.log,
	                                log_server_topic(&server, "__kappa_numbers"), 0),
	                       .max_bytes = MIB,
	                       .done = codecs_read}};
	log_read(server.log, &c.read);
	while (!c.done)
		log_server_turn(&server);
	assert_int_equal(c.read.err, ERR_OK);
	log_read_release(&c.read);
	assert_int_equal(c.seen, 1u << BATCH_NONE | 1u << BATCH_LZ4);
	restart(&HISTORY, true);
	assert_int_equal(numbers.applied, 21);
	assert_true(numbers.value[0][1] > 0);
	assert_int_equal(numbers.value[0][0], 0);
	dots = false;
}

static void an_emptied_table_lets_everything_go(void **state)
{
	(void)state;
	assert_int_equal(open_table(&WITH_SNAPSHOT), ERR_OK);
	small_segments();
	for (int i = 0; i < 60; i++) {
		assert_int_equal(put_one(0, 1, i + 1), ERR_OK);
		assert_int_equal(put_one(0, 1, 0), ERR_OK);
	}
	int64_t until = io_clock_ns(server.io, IO_CLOCK_MONOTONIC) + PATIENCE_NS;
	while (log_server_status(&server, "__kappa_numbers", 0).log_start == 0 &&
	       io_clock_ns(server.io, IO_CLOCK_MONOTONIC) < until)
		log_server_turn(&server);
	assert_true(log_server_status(&server, "__kappa_numbers", 0).log_start > 0);
	restart(&WITH_SNAPSHOT, false);
	assert_int_equal(numbers.value[0][1], 0);
}

static void the_catalog_is_bounded_by_its_own_snapshots(void **state)
{
	(void)state;
	struct topic *t = topic_of(log_server_topic(&server, "__kappa_catalog"));
	char value[4200];
	struct log_uuid id = log_server_create(&server, "keeper", 2, NULL);
	memset(value, 'x', sizeof(value));
	memcpy(value, "kappa.contract=", 15);
	value[4000] = '\0';
	t->pub.config.segment_bytes = 64 * KIB;
	for (int i = 0; i < 100; i++) {
		const char *const configs[] = {value, NULL};
		value[20] = (char)('a' + i % 26);
		assert_int_equal(
		    log_server_change(&server, LOG_TOPIC_SET_CONFIG, "keeper", 0, configs, NULL),
		    ERR_OK);
	}
	assert_in_range(log_server_status(&server, "__kappa_catalog", 0).segment_count, 1, 4);
	for (int crash = 0; crash < 2; crash++) {
		if (crash)
			log_server_crash(&server);
		else
			log_server_restart(&server);
		const struct log_topic *keeper = log_server_topic(&server, "keeper");
		assert_true(log_uuid_equal(keeper->id, id));
		assert_true(str_equal(keeper->set_configs[0][1], str_of(value + 15)));
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(rows_are_applied_after_they_are_durable_and_come_back),
	    TEST(rows_of_one_put_are_one_batch_with_its_time),
	    TEST(put_and_wait_works_on_the_loops_own_thread),
	    TEST(put_and_wait_works_from_another_thread),
	    TEST(a_table_keeps_its_number_of_partitions),
	    TEST(a_row_that_cannot_be_read_refuses_to_open),
	    TEST(a_durable_row_that_cannot_be_applied_stops_the_log),
	    TEST(rolls_are_bounded_by_snapshots),
	    TEST(a_table_without_snapshots_keeps_everything),
	    TEST(long_rows_are_compressed),
	    TEST(an_emptied_table_lets_everything_go),
	    TEST(the_catalog_is_bounded_by_its_own_snapshots),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
