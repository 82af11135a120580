/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts and kills while topics live, a table is put into and trimmed by snapshots, and records
 * are deleted, on the simulated disk. After each cut fsck must find nothing worse than what a start
 * puts right; after the start:
 *
 *   a topic is as its last answered change left it, or as one that was not answered would have
 *   its records up to the last answered append are there, those of a deleted namesake are not
 *   each row of the table has the value of its last answered put or of a later one
 *   log_start is at or behind the last answered deletion, and never beyond what was asked for
 *
 * KAPPA_TEST_SEED repeats one seed, KAPPA_TEST_RUNS says how many are tried.
 */
#include "log/batch.h"
#include "log/catalog.h"
#include "log/engine.h"
#include "test/lib/log_fixture.h"
#include "test/lib/seed.h"
#include "test/lib/sim_io.h"
#include <stdio.h>
#include <stdlib.h>

enum { NAMES = 4, KEYS = 12, CYCLES = 4, STEPS = 60, PENDING = 16 };

struct world;

/* What is known of a topic of one name. */
struct name_model {
	struct world *w;
	char name[16];
	bool there;
	int partitions;
	int64_t segment_ms; /* -1 = not set */
	struct log_uuid id;
	int64_t appended; /* answered, all to partition 0 */
	int64_t sent;
	int64_t trimmed, trim_asked;
	/* the change under way */
	bool changing;
	struct log_topic_req req;
	struct str config[1][2];
	char ms[24];
	/* the append and the deletion under way */
	bool appending, trimming;
	struct log_append append;
	uint8_t *batch;
	struct log_trim trim;
};
/* What is known of a row: its value and what puts under way may have made of it. */
struct row_model {
	int64_t value; /* 0 = not there */
	int64_t maybe[PENDING];
	int maybe_count;
};
struct row_put {
	struct log_table_put put;
	struct log_row row;
	struct world *w;
	int key;
	int64_t value;
	bool used;
	char key_text[8], text[700];
};
struct world {
	uint64_t seed;
	struct prng prng;
	struct sim_disk *disk;
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct log_options options;
	struct log_table *table;
	struct name_model names[NAMES];
	struct row_model rows[KEYS];
	int64_t now[KEYS]; /* the table in memory, as applied */
	int64_t next_value;
	struct row_put puts[PENDING];
	unsigned snapshots, changes, acks;
};

static uint64_t below(struct world *w, uint64_t bound)
{
	return prng_below(&w->prng, bound);
}

/* ---- the table ---- */

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct world *w = ctx;
	uint64_t k, v = 0;
	(void)timestamp_ms;
	if (partition != 0 || !str_to_u64(bytes_str(key), &k) || k >= KEYS)
		return ERR_CORRUPT;
	if (value.ptr && (value.len < 12 || !str_to_u64(str_from(value.ptr, 12), &v)))
		return ERR_CORRUPT;
	w->now[k] = (int64_t)v;
	return ERR_OK;
}

static size_t value_text(char *text, size_t len, int64_t value)
{
	memset(text, '.', len);
	int n = snprintf(text, len, "%012lld", (long long)value);
	text[n] = '.';
	return len;
}

static void snapshot(
    void *ctx, int32_t partition, void (*emit)(void *, struct bytes, struct bytes), void *emit_ctx)
{
	struct world *w = ctx;
	char key[8], text[700];
	(void)partition;
	w->snapshots++;
	for (int k = 0; k < KEYS; k++) {
		if (w->now[k] == 0)
			continue;
		int n = snprintf(key, sizeof(key), "%d", k);
		size_t len = value_text(text, sizeof(text), w->now[k]);
		emit(emit_ctx, bytes_of(key, (size_t)n), bytes_of(text, len));
	}
}

static void put_done(struct log_table_put *put)
{
	struct row_put *p = CONTAINER_OF(put, struct row_put, put);
	struct row_model *row = &p->w->rows[p->key];
	p->used = false;
	if (put->err != ERR_OK)
		return;
	/* answered in order: earlier ones of this row are overwritten */
	int i = 0;
	while (i < row->maybe_count && row->maybe[i] != p->value)
		i++;
	assert_true(i < row->maybe_count);
	row->value = p->value;
	row->maybe_count -= i + 1;
	memmove(row->maybe, row->maybe + i + 1, (size_t)row->maybe_count * sizeof(row->maybe[0]));
	p->w->acks++;
}

static void step_put(struct world *w)
{
	struct row_put *p = NULL;
	for (int i = 0; i < PENDING && !p; i++)
		if (!w->puts[i].used)
			p = &w->puts[i];
	int key = (int)below(w, KEYS);
	struct row_model *row = &w->rows[key];
	if (!p || row->maybe_count == PENDING)
		return;
	p->used = true;
	p->w = w;
	p->key = key;
	p->value = below(w, 5) == 0 ? 0 : ++w->next_value;
	if (p->value == 0 && row->maybe_count > 0)
		p->value = ++w->next_value; /* values tell puts apart: no two deletions wait */
	row->maybe[row->maybe_count++] = p->value;
	int n = snprintf(p->key_text, sizeof(p->key_text), "%d", key);
	size_t len = value_text(p->text, sizeof(p->text), p->value);
	p->row.key = bytes_of(p->key_text, (size_t)n);
	p->row.value = p->value ? bytes_of(p->text, len) : (struct bytes){NULL, 0};
	p->put = (struct log_table_put){.rows = &p->row, .row_count = 1, .done = put_done};
	log_table_put(w->table, &p->put);
}

/* ---- topics ---- */

static void change_done(struct log_topic_req *req)
{
	struct name_model *n = CONTAINER_OF(req, struct name_model, req);
	n->changing = false;
	if (req->err != ERR_OK)
		return;
	n->w->acks++;
	switch (req->op) {
	case LOG_TOPIC_CREATE:
		n->there = true;
		n->id = req->ret_id;
		n->partitions = req->partition_count;
		n->segment_ms = -1;
		n->appended = n->sent = n->trimmed = n->trim_asked = 0;
		break;
	case LOG_TOPIC_DELETE:
		n->there = false;
		break;
	case LOG_TOPIC_ADD_PARTITIONS:
		n->partitions = req->partition_count;
		break;
	case LOG_TOPIC_SET_CONFIG:
		n->segment_ms = strtoll(n->ms, NULL, 10);
		break;
	}
}

static void step_change(struct world *w, struct name_model *n)
{
	if (n->changing || n->appending || n->trimming)
		return;
	n->req = (struct log_topic_req){.name = str_of(n->name), .done = change_done};
	if (!n->there) {
		n->req.op = LOG_TOPIC_CREATE;
		n->req.partition_count = 1 + (int32_t)below(w, 3);
	} else if (below(w, 3) == 0) {
		n->req.op = LOG_TOPIC_DELETE;
	} else if (below(w, 2) == 0) {
		n->req.op = LOG_TOPIC_ADD_PARTITIONS;
		n->req.partition_count = n->partitions + 1;
	} else {
		snprintf(n->ms, sizeof(n->ms), "%d", 60000 + (int)below(w, 1000));
		n->config[0][0] = STR("segment.ms");
		n->config[0][1] = str_of(n->ms);
		n->req.op = LOG_TOPIC_SET_CONFIG;
		n->req.configs = (const struct str(*)[2])n->config;
		n->req.config_count = 1;
	}
	n->changing = true;
	w->changes++;
	log_topic_submit(w->log, &n->req);
}

static struct log_partition *first_partition(struct world *w, const struct name_model *n)
{
	const struct log_topic *t = log_topic_find(w->log, str_of(n->name));
	return t ? log_partition_find(w->log, t, 0) : NULL;
}

static void append_done(struct log_append *append)
{
	struct name_model *n = CONTAINER_OF(append, struct name_model, append);
	n->appending = false;
	if (append->err == ERR_OK) {
		assert_int_equal(append->base_offset, n->appended);
		n->appended++;
		n->w->acks++;
	}
	mem_free(n->batch);
	n->batch = NULL;
}

/* The tag of the record at `offset` of this topic, different for its namesakes. */
static uint64_t tag_of(const struct name_model *n, int64_t offset)
{
	return (uint64_t)offset + 1 + ((uint64_t)n->id.b[0] << 32 | (uint64_t)n->id.b[1] << 40);
}

static void step_append(struct world *w, struct name_model *n)
{
	struct log_partition *p = first_partition(w, n);
	size_t len;
	if (!n->there || n->changing || n->appending || !p)
		return;
	topic_of(p->topic)->pub.config.segment_bytes = 6000;
	n->batch = log_batch_new(tag_of(n, n->appended), 1, below(w, 900), &len);
	n->append = (struct log_append){
	    .partition = p, .batch = n->batch, .batch_len = len, .done = append_done};
	n->appending = true;
	n->sent = n->appended + 1;
	struct log_append *one = &n->append;
	log_append(w->log, &one, 1, false);
}

static void trim_done(struct log_trim *trim)
{
	struct name_model *n = CONTAINER_OF(trim, struct name_model, trim);
	n->trimming = false;
	if (trim->err == ERR_OK && trim->offset > n->trimmed)
		n->trimmed = trim->offset;
}

static void step_trim(struct world *w, struct name_model *n)
{
	struct log_partition *p = first_partition(w, n);
	if (!n->there || n->changing || n->trimming || !p || n->appended == 0)
		return;
	n->trim = (struct log_trim){.partition = p, .done = trim_done};
	n->trim.offset = (int64_t)below(w, (uint64_t)n->appended + 1);
	if (n->trim.offset > n->trim_asked)
		n->trim_asked = n->trim.offset;
	n->trimming = true;
	log_trim(w->log, &n->trim);
}

/* ---- the world ---- */

static void world_open(struct world *w)
{
	static const struct log_table_ops ops = {.apply = apply, .snapshot = snapshot};
	w->options = (struct log_options){
	    .data_dir = "/data",
	    .journal_bytes = MIB,
	    .checkpoint_ns = (1 + (int64_t)below(w, 20)) * MS_NS,
	    .checkpoint_bytes = 20000 + below(w, 50000),
	};
	memset(w->now, 0, sizeof(w->now));
	assert_ok(loop_new(w->io, 0, &w->loop));
	enum err err = log_open(w->loop, &w->options, &w->log);
	if (err != ERR_OK)
		fail_msg(
		    "seed %llu: %s: %s", (unsigned long long)w->seed, err_name(err), err_chain());
	assert_ok(log_table_open(w->log, STR("__kappa_rows"), 1, &ops, w, &w->table));
	topic_of(log_topic_find(w->log, STR("__kappa_rows")))->pub.config.segment_bytes = 20000;
	topic_of(log_topic_find(w->log, STR(CATALOG_TOPIC_NAME)))->pub.config.segment_bytes = 6000;
}

static void world_io(struct world *w)
{
	struct sim_options o = {.seed = prng_u64(&w->prng),
	    .latency_min_ns = 10 * US_NS,
	    .latency_max_ns = 300 * US_NS,
	    .writeback_ppm = 20000,
	    .refuse_direct = below(w, 4) == 0};
	assert_ok(sim_io_new(w->disk, &o, &w->io));
}

static void world_close(struct world *w)
{
	log_close(w->log);
	log_table_close(w->table);
	loop_free(w->loop);
	w->log = NULL;
	w->table = NULL;
}

/* What was answered so far counts; answers that come while the old server is torn down do not. */
static void world_cut(struct world *w)
{
	uint64_t seed = prng_u64(&w->prng);
	struct sim_disk *after =
	    below(w, 4) == 0 ? sim_io_kill(w->io, seed) : sim_io_cut_power(w->io, seed);
	struct name_model names[NAMES];
	struct row_model rows[KEYS];
	memcpy(names, w->names, sizeof(names));
	memcpy(rows, w->rows, sizeof(rows));
	world_close(w);
	memcpy(w->rows, rows, sizeof(rows));
	for (int i = 0; i < NAMES; i++) {
		mem_free(w->names[i].batch);
		w->names[i] = names[i];
		w->names[i].batch = NULL;
	}
	io_free(w->io);
	sim_disk_free(w->disk);
	w->disk = after;
	world_io(w);
}

/* ---- checks ---- */

static char findings[8192];
static void collect(void *ctx, struct str line)
{
	size_t len = strlen(findings);
	(void)ctx;
	snprintf(findings + len, sizeof(findings) - len, STR_FMT "\n", STR_ARG(line));
}

static void check_fsck(struct world *w)
{
	struct log_fsck_options options = {0};
	findings[0] = '\0';
	enum err err = log_fsck(w->io, "/data", &options, collect, NULL);
	if (err != ERR_OK)
		fail_msg("seed %llu: fsck: %s: %s\n%s", (unsigned long long)w->seed, err_name(err),
		    err_chain(), findings);
}

static void get_done(struct log_read *read)
{
	*(bool *)read->user = true;
}

static uint64_t read_tag(struct world *w, struct log_partition *p, int64_t offset)
{
	bool done = false;
	struct log_read read = {
	    .partition = p, .offset = offset, .max_bytes = 1, .user = &done, .done = get_done};
	log_read(w->log, &read);
	while (!done)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	assert_ok(read.err);
	assert_int_equal(read.batch_count, 1);
	uint64_t tag = log_batch_tag(read.batches[0]);
	log_read_release(&read);
	return tag;
}

/* The topic as it is, against what it was and what the change under way would make of it. */
static void check_topic(struct world *w, struct name_model *n)
{
	const struct log_topic *t = log_topic_find(w->log, str_of(n->name));
	bool pending = n->changing;
	enum log_topic_op op = n->req.op;
	n->changing = n->appending = n->trimming = false;
	bool may_be_gone = !n->there || (pending && op == LOG_TOPIC_DELETE);
	if (!t) {
		assert_true(may_be_gone);
		n->there = false;
		return;
	}
	if (!n->there) {
		assert_true(pending && op == LOG_TOPIC_CREATE);
		n->there = true;
		n->id = t->id;
		n->partitions = n->req.partition_count;
		n->segment_ms = -1;
		n->appended = n->sent = n->trimmed = n->trim_asked = 0;
	}
	assert_true(log_uuid_equal(t->id, n->id));
	if (t->partition_count != n->partitions) {
		assert_true(pending && op == LOG_TOPIC_ADD_PARTITIONS);
		assert_int_equal(t->partition_count, n->req.partition_count);
		n->partitions = t->partition_count;
	}
	int64_t ms = t->set_config_count > 0 ? t->config.segment_ms : -1;
	if (ms != n->segment_ms) {
		assert_true(pending && op == LOG_TOPIC_SET_CONFIG);
		assert_int_equal(ms, strtoll(n->ms, NULL, 10));
		n->segment_ms = ms;
	}
	struct log_partition *p = first_partition(w, n);
	assert_false(p->damaged);
	assert_in_range(p->log_end, n->appended, n->sent);
	assert_true(p->log_start >= n->trimmed);
	assert_true(p->log_start <= n->trim_asked);
	for (int64_t offset = p->log_start; offset < p->log_end; offset++)
		assert_int_equal(read_tag(w, p, offset), tag_of(n, offset));
	n->appended = n->sent = p->log_end;
	n->trimmed = p->log_start;
}

static void check_rows(struct world *w)
{
	for (int k = 0; k < KEYS; k++) {
		struct row_model *row = &w->rows[k];
		bool allowed = w->now[k] == row->value;
		for (int i = 0; i < row->maybe_count; i++)
			allowed |= w->now[k] == row->maybe[i];
		if (!allowed)
			fail_msg("seed %llu: row %d is %lld, was %lld", (unsigned long long)w->seed,
			    k, (long long)w->now[k], (long long)row->value);
		row->value = w->now[k];
		row->maybe_count = 0;
	}
	memset(w->puts, 0, sizeof(w->puts));
}

static void step(struct world *w)
{
	struct name_model *n = &w->names[below(w, NAMES)];
	switch (below(w, 6)) {
	case 0:
		step_change(w, n);
		break;
	case 1:
		step_trim(w, n);
		break;
	case 2:
	case 3:
		step_append(w, n);
		break;
	default:
		step_put(w);
	}
	if (below(w, 3) == 0)
		assert_ok(loop_step(w->loop, 10 * MS_NS));
	if (below(w, 40) == 0)
		io_sleep_ns(w->io, 150 * MS_NS);
}

static void run(uint64_t seed, unsigned *snapshots, unsigned *acks)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->seed = seed;
	prng_init(&w->prng, seed);
	w->disk = sim_disk_new(0);
	world_io(w);
	for (int i = 0; i < NAMES; i++) {
		w->names[i].w = w;
		snprintf(w->names[i].name, sizeof(w->names[i].name), "t%d", i % 10);
	}
	world_open(w);
	for (int cycle = 0; cycle < CYCLES; cycle++) {
		for (uint64_t steps = below(w, 3 * STEPS); steps > 0; steps--)
			step(w);
		world_cut(w);
		check_fsck(w);
		world_open(w);
		struct log_status status;
		log_status(w->log, &status);
		if (status.damaged_partitions > 0)
			fail_msg("seed %llu: a partition is damaged", (unsigned long long)seed);
		for (int i = 0; i < NAMES; i++)
			check_topic(w, &w->names[i]);
		check_rows(w);
	}
	*snapshots += w->snapshots;
	*acks += w->acks;
	world_close(w);
	check_fsck(w);
	assert_null(strstr(findings, "DISTRUST"));
	assert_int_equal(sim_io_open_count(w->io), 0);
	io_free(w->io);
	sim_disk_free(w->disk);
	free(w);
}

static void topics_rows_and_deletions_survive_cuts(void **state)
{
	(void)state;
	const char *env = getenv("KAPPA_TEST_RUNS");
	uint64_t first = test_seed(1000), runs = env ? strtoull(env, NULL, 10) : 100;
	unsigned snapshots = 0, acks = 0;
	if (getenv("KAPPA_TEST_SEED"))
		runs = 1;
	for (uint64_t i = 0; i < runs; i++)
		run(first + i, &snapshots, &acks);
	print_message(
	    "%llu runs, %u answers, %u snapshots\n", (unsigned long long)runs, acks, snapshots);
	if (runs >= 100) {
		assert_true(acks > runs * 20);
		assert_true(snapshots > runs / 4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(topics_rows_and_deletions_survive_cuts),
	};
	diag_set_level((enum diag_level)(DIAG_ERROR + 1));
	return cmocka_run_group_tests_name("catalog_crash", tests, NULL, NULL);
}
