/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Power cuts and kills at random moments, on the simulated disk. A model remembers what was sent and what was
 * answered; after each recovery the log is compared with it:
 *
 *   every acknowledged batch is there, once, at the offset and sequence that were answered, with its bytes
 *   nothing else is there but batches that were sent and not answered
 *   offsets are dense in each partition, sequences dense over all of them, but for holes that recovery named
 *   a set that asked for it is there whole or not at all
 *   recovering again, after another cut in the middle of it or right behind it, gives the same
 *
 * KAPPA_TEST_SEED repeats one seed, KAPPA_TEST_RUNS says how many are tried.
 */
#include "test/lib/log_fixture.h"
#include "test/lib/seed.h"
#include "test/lib/sim_io.h"
#include <stdio.h>
#include <stdlib.h>

enum { MODEL_MAX = 4096, CYCLES = 3, TOPICS = 3, PARTITIONS = 2 };

struct sent {
	int topic, partition;
	int count;
	int set;       /* > 0: all or none with the others of this number */
	bool acked;
	bool lazy;     /* an acknowledgement of a topic that opted out promises less */
	int64_t offset;
	uint64_t sequence;
	bool seen;     /* by the check under way, at ... */
	int64_t found_offset;
	uint64_t found_sequence;
};
struct model {
	struct sent sent[MODEL_MAX]; /* by tag; 0 is unused */
	unsigned count;
	int sets;
	uint64_t seed;
	struct prng prng;
	struct sim_disk *disk;
	struct io *io;
	struct log_fixture f;
	struct log_put *puts;
	size_t put_count;
};

static uint64_t below(struct model *m, uint64_t bound)
{
	return prng_below(&m->prng, bound);
}

/* ---- the world ---- */

static void world_open(struct model *m)
{
	struct sim_options o = {.seed = prng_u64(&m->prng), .latency_min_ns = 10 * US_NS,
		.latency_max_ns = 300 * US_NS, .writeback_ppm = 20000, .refuse_direct = below(m, 4) == 0};
	assert_ok(sim_io_new(m->disk, &o, &m->io));
	log_fixture_init_io(&m->f, m->io, "/data");
	m->f.options.journal_bytes = MIB;
	m->f.options.checkpoint_ns = (int64_t)below(m, 20) * MS_NS + MS_NS;
	m->f.options.direct_bytes = below(m, 3) > 0 ? 300 + below(m, 3000) : SIZE_MAX;
	m->f.options.checkpoint_bytes = 20000 + below(m, 100000);
	for (int t = 0; t < TOPICS; t++)
		m->f.topics[t].config.segment_bytes = 6000 + (uint64_t)t * 4000;
	m->f.topics[2].config.durability = LOG_DURABILITY_INTERVAL;
}

/* The disk as the cut leaves it takes the place of the old one; the old server is torn down in peace. */
static void world_cut(struct model *m)
{
	uint64_t seed = prng_u64(&m->prng);
	struct sim_disk *after = below(m, 4) == 0 ? sim_io_kill(m->io, seed) : sim_io_cut_power(m->io, seed);
	log_fixture_release(&m->f);
	io_free(m->io);
	sim_disk_free(m->disk);
	m->disk = after;
	for (size_t i = 0; i < m->put_count; i++)
		log_put_release(&m->puts[i]);
	m->put_count = 0;
}

/* ---- work ---- */

static void work_harvest(struct model *m)
{
	for (size_t i = 0; i < m->put_count; i++) {
		struct log_put *put = &m->puts[i];
		uint64_t tag = (uint64_t)(uintptr_t)put->req.user;
		struct sent *s = &m->sent[tag];
		if (!put->done || s->acked || put->req.err != ERR_OK)
			continue;
		s->acked = true;
		s->offset = put->req.base_offset;
		s->sequence = put->req.sequence;
	}
}

static void work_send(struct model *m)
{
	struct log_append *reqs[4];
	size_t n = 1 + below(m, 4);
	bool atomic = n > 1 && below(m, 2);
	int set = atomic ? ++m->sets : 0;
	if (m->count + n >= MODEL_MAX)
		return;
	for (size_t i = 0; i < n; i++) {
		uint64_t tag = ++m->count;
		struct sent *s = &m->sent[tag];
		size_t len;
		*s = (struct sent){.topic = (int)below(m, TOPICS), .partition = (int)below(m, PARTITIONS),
			.count = 1 + (int)below(m, 3), .set = set};
		s->lazy = s->topic == 2;
		size_t value = below(m, 20) == 0 ? 3000 : below(m, 300);
		uint8_t *batch = log_batch_new(tag, s->count, value, &len);
		struct log_put *put = &m->puts[m->put_count++];
		log_put_init(put, &m->f, s->topic, s->partition, batch, len);
		put->req.user = (void *)(uintptr_t)tag;
		reqs[i] = &put->req;
	}
	log_append(m->f.log, reqs, n, atomic);
}

static void work(struct model *m)
{
	unsigned steps = (unsigned)below(m, 60);
	for (unsigned i = 0; i < steps; i++) {
		if (below(m, 3) > 0)
			work_send(m);
		if (below(m, 30) == 0)
			io_sleep_ns(m->io, 150 * MS_NS); /* D is restated, checkpoints run */
		log_fixture_turn(&m->f);
		work_harvest(m);
	}
}

/* ---- checks ---- */

static void check_batch(struct model *m, int topic, int partition, int64_t offset,
    struct bytes batch)
{
	struct batch_header h;
	assert_ok(batch_header_read(batch, &h));
	assert_int_equal(h.base_offset, offset);
	uint64_t tag = log_batch_tag(batch);
	assert_true(tag > 0 && tag <= m->count);
	struct sent *s = &m->sent[tag];
	assert_false(s->seen); /* once */
	s->seen = true;
	s->found_offset = offset;
	assert_int_equal(s->topic, topic);
	assert_int_equal(s->partition, partition);
	assert_int_equal(s->count, h.last_offset_delta + 1);
	if (s->acked)
		assert_int_equal(s->offset, offset);
}

static void check_partition(struct model *m, int topic, int partition)
{
	struct log_partition_status st;
	struct log_read r;
	log_partition_status(m->f.partitions[topic][partition], &st);
	assert_int_equal(st.durable_end, st.visible_end);
	assert_false(st.damaged);
	for (int64_t offset = 0; offset < st.visible_end;) {
		assert_ok(log_read_wait(&m->f, topic, partition, offset, 64 * KIB, &r));
		assert_true(r.batch_count > 0);
		for (size_t i = 0; i < r.batch_count; i++) {
			struct batch_header h;
			check_batch(m, topic, partition, offset, r.batches[i]);
			assert_ok(batch_header_read(r.batches[i], &h));
			offset += h.last_offset_delta + 1;
		}
		assert_int_equal(r.next_offset, offset);
		log_read_release(&r);
	}
}

/* The first sequence from `next` on that no named hole covers. */
static uint64_t behind_gaps(const struct model *m, uint64_t next)
{
	const struct log *log = m->f.log;
	for (unsigned i = 0; i < log->gap_count; i++)
		if (next >= log->gaps[i].first && next <= log->gaps[i].last)
			next = log->gaps[i].last + 1;
	return next;
}

/* Sequence order, by a scan over all partitions: dense up to D but for named gaps. */
static void check_sequences(struct model *m)
{
	struct log_scan_source sources[TOPICS * PARTITIONS];
	struct log_scan *scan;
	struct log_batch_view v;
	uint64_t stable = 0, next = 1;
	enum err e;
	for (int i = 0; i < TOPICS * PARTITIONS; i++)
		sources[i] = (struct log_scan_source){m->f.topics[i / PARTITIONS].id, i % PARTITIONS, 0};
	assert_ok(log_scan_open(m->f.log, sources, TOPICS * PARTITIONS, &scan));
	while ((e = log_scan_next(scan, &v, &stable)) == ERR_OK) {
		if (v.sequence > next)
			next = behind_gaps(m, next);
		assert_int_equal(v.sequence, next);
		next++;
		struct sent *s = &m->sent[log_batch_tag(v.batch)];
		s->found_sequence = v.sequence;
		if (s->acked)
			assert_int_equal(s->sequence, v.sequence);
	}
	assert_int_equal(e, ERR_AGAIN);
	assert_int_equal(stable, m->f.log->durable_sequence);
	if (next <= stable)
		next = behind_gaps(m, next);
	assert_int_equal(next, stable + 1);
	log_scan_close(scan);
}

static void check_model(struct model *m)
{
	int present[MODEL_MAX] = {0}, absent[MODEL_MAX] = {0};
	for (unsigned tag = 1; tag <= m->count; tag++) {
		struct sent *s = &m->sent[tag];
		assert_true(s->seen || !s->acked || s->lazy);
		if (s->set)
			(s->seen ? present : absent)[s->set]++;
		/* What is there now stays: it has been served. What is not will never come. */
		if (s->seen) {
			s->acked = true;
			s->lazy = false;
			s->offset = s->found_offset;
			s->sequence = s->found_sequence;
		}
	}
	for (int set = 1; set <= m->sets; set++)
		assert_true(present[set] == 0 || absent[set] == 0);
}

static void check(struct model *m)
{
	for (unsigned tag = 1; tag <= m->count; tag++)
		m->sent[tag].seen = false;
	for (int t = 0; t < TOPICS; t++)
		for (int p = 0; p < PARTITIONS; p++)
			check_partition(m, t, p);
	check_sequences(m);
	check_model(m);
}

/* ---- runs ---- */

static void quiet(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

/* Opens, perhaps cut in the middle of recovery a few times first. */
static void recover(struct model *m)
{
	while (below(m, 3) == 0) {
		world_open(m);
		sim_io_fault(m->io, (struct sim_fault){.calls = SIM_CALL_FILES, .nth = 1 + below(m, 200), .sys_errno = 5});
		enum err e = log_fixture_open(&m->f);
		(void)e; /* whether it came through does not matter */
		world_cut(m);
	}
	world_open(m);
	enum err e = log_fixture_open(&m->f);
	if (e != ERR_OK)
		fail_msg("seed %llu: %s: %s", (unsigned long long)m->seed, err_name(e), err_chain());
}

static void run(struct model *m, uint64_t seed)
{
	memset(m->sent, 0, sizeof(m->sent));
	m->count = 0;
	m->sets = 0;
	m->seed = seed;
	prng_init(&m->prng, seed);
	map_set_seed(seed);
	m->disk = sim_disk_new(0);
	world_open(m);
	assert_ok(log_fixture_open(&m->f));
	for (int cycle = 0; cycle < CYCLES; cycle++) {
		work(m);
		bool clean = below(m, 8) == 0;
		if (clean) {
			log_fixture_close(&m->f);
			for (size_t i = 0; i < m->put_count; i++)
				assert_int_equal(m->puts[i].done, 1);
			work_harvest(m);
		}
		world_cut(m);
		recover(m);
		check(m);
	}
	log_fixture_close(&m->f);
	assert_int_equal(sim_io_open_count(m->io), 0);
	world_cut(m);
	sim_disk_free(m->disk);
}

static void acknowledged_batches_survive_any_cut(void **state)
{
	(void)state;
	const char *runs = getenv("KAPPA_TEST_RUNS");
	uint64_t seed = test_seed(1), count = runs ? strtoull(runs, NULL, 10) : 500;
	struct model *m = calloc(1, sizeof(*m));
	assert_non_null(m);
	m->puts = calloc(MODEL_MAX, sizeof(*m->puts));
	assert_non_null(m->puts);
	if (!getenv("KAPPA_TEST_VERBOSE"))
		diag_set_sink(quiet, NULL);
	for (uint64_t i = 0; i < count; i++) {
		m->seed = seed + i;
		if (getenv("KAPPA_TEST_VERBOSE"))
			printf("seed %llu\n", (unsigned long long)m->seed);
		run(m, seed + i);
	}
	diag_set_sink(NULL, NULL);
	free(m->puts);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(acknowledged_batches_survive_any_cut),
	};
	return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
