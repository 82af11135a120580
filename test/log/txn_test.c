/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions against a model: random ones over some partitions, committed and aborted, with plain
 * batches between them and restarts of both kinds. After each step a reader of committed data (as a
 * Kafka client filters it) and a scan must give what the model says, and nothing beyond the stable
 * ends.
 */
#include "log/mend.h"
#include "test/lib/log_world.h"
#include "test/lib/seed.h"
#include "log/base/prng.h"
#include <stdio.h>
#include <time.h>

enum { PARTS = 3, PRODUCERS = 5, BATCHES = 4096, TOPIC = 0 };
enum fate { PLAIN, OPEN, COMMITTED, ABORTED, MARKER };

struct entry {
	int part;
	int64_t producer; /* -1 = none */
	int64_t base, end;
	uint64_t sequence, tag;
	enum fate fate;
};
struct history {
	struct entry log[BATCHES];
	size_t count;
	int32_t next[PARTS][PRODUCERS]; /* sequences */
	int16_t epoch[PRODUCERS];
	bool open[PARTS][PRODUCERS];
};
static struct history hist;
static void configure(struct log_world *world)
{
	world->f.topics[TOPIC].config.segment_bytes = 6000;
}

static struct log_world w = {.configure = configure};

static int setup(void **state)
{
	hist = (struct history){.count = 0};
	return log_world_setup(state);
}

static void restart(bool clean)
{
	log_world_end(&w, clean ? WORLD_STOPPED : WORLD_KILLED);
	assert_ok(log_fixture_open(&w.f));
}

/* ---- steps ----------------------------------------------------------------------------------- */

static struct entry *note(int part, int producer, enum fate fate, const struct log_append *req)
{
	assert_true(hist.count < BATCHES);
	struct entry *e = &hist.log[hist.count++];
	*e = (struct entry){.part = part,
	    .producer = producer < 0 ? -1 : producer + 100,
	    .base = req->base_offset,
	    .end = req->base_offset + 1,
	    .sequence = req->sequence,
	    .tag = hist.count,
	    .fate = fate};
	return e;
}

static uint8_t *batch_of(int producer, int32_t sequence, int16_t attributes, int count, size_t *len)
{
	struct batch_builder b;
	struct writer out;
	char key[24];
	int n = snprintf(key, sizeof(key), "%zu", hist.count + 1);
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&out, MIB);
	b.attributes = attributes;
	if (producer >= 0) {
		b.producer_id = producer + 100;
		b.producer_epoch = hist.epoch[producer];
		b.base_sequence = sequence;
	}
	for (int i = 0; i < count; i++)
		assert_ok(batch_builder_add(&b, 1000 + i, bytes_of(key, (size_t)n),
		    bytes_of("0123456789012345678901234567890123456789", 40), NULL, 0));
	assert_ok(batch_builder_finish(&b, &out));
	batch_builder_release(&b);
	return writer_take(&out, len);
}

static enum err put_plain(int part, int producer)
{
	struct log_put put;
	size_t len;
	uint8_t *b = batch_of(producer, producer < 0 ? -1 : hist.next[part][producer], 0, 2, &len);
	enum err e = log_put_wait(&w.f, TOPIC, part, b, len, &put);
	if (e != ERR_OK)
		return e;
	if (producer >= 0)
		hist.next[part][producer] += 2;
	note(part, producer, PLAIN, &put.req)->end += 1;
	return ERR_OK;
}

static enum err put_txn(int part, int producer)
{
	struct log_put put;
	size_t len;
	uint8_t *b =
	    batch_of(producer, hist.next[part][producer], BATCH_ATTR_TRANSACTIONAL, 3, &len);
	enum err e = log_put_wait(&w.f, TOPIC, part, b, len, &put);
	if (e != ERR_OK)
		return e;
	hist.next[part][producer] += 3;
	hist.open[part][producer] = true;
	note(part, producer, OPEN, &put.req)->end += 2;
	return ERR_OK;
}

/* A marker that is not sent yet. */
static void marker_init(struct log_put *put, int part, int producer, int16_t epoch, bool commit)
{
	struct batch_marker m = {
	    .producer_id = producer + 100, .producer_epoch = epoch, .commit = commit};
	struct writer out;
	size_t len;
	writer_init(&out, BATCH_MARKER_BYTES);
	assert_ok(batch_marker_build(&m, 2000, &out));
	uint8_t *b = writer_take(&out, &len);
	log_put_init(put, &w.f, TOPIC, part, b, len);
	put->req.internal = true;
}

static enum err put_marker(int part, int producer, int16_t epoch, bool commit)
{
	struct log_put put;
	marker_init(&put, part, producer, epoch, commit);
	log_put_send(&put);
	log_put_await(&put);
	log_put_release(&put);
	if (put.req.err == ERR_OK)
		note(part, producer, MARKER, &put.req);
	return put.req.err;
}

/* Ends a producer's transaction everywhere, with the next epoch as KIP-890 has it. */
static void end_all(int producer, bool commit)
{
	hist.epoch[producer]++;
	for (int part = 0; part < PARTS; part++) {
		hist.next[part][producer] = 0;
		if (!hist.open[part][producer])
			continue;
		assert_ok(put_marker(part, producer, hist.epoch[producer], commit));
		hist.open[part][producer] = false;
		for (size_t i = 0; i < hist.count; i++)
			if (hist.log[i].part == part && hist.log[i].producer == producer + 100 &&
			    hist.log[i].fate == OPEN)
				hist.log[i].fate = commit ? COMMITTED : ABORTED;
	}
}

/* ---- checks ---------------------------------------------------------------------------------- */

static uint64_t model_stable_sequence(int only)
{
	uint64_t stable = hist.count ? hist.log[hist.count - 1].sequence : 0;
	for (size_t i = hist.count; i-- > 0;)
		if (hist.log[i].fate == OPEN && (only < 0 || only == hist.log[i].part))
			stable = hist.log[i].sequence - 1;
	return stable;
}

static int64_t model_stable_end(int part)
{
	int64_t end = 0;
	for (size_t i = 0; i < hist.count; i++) {
		if (hist.log[i].part != part)
			continue;
		if (hist.log[i].fate == OPEN)
			return hist.log[i].base;
		end = hist.log[i].end;
	}
	return end;
}

static void read_done(struct log_read *req)
{
	*(bool *)req->user = true;
}

static bool is_on(const struct log_read *r, const bool *dropped, int64_t producer)
{
	for (size_t i = 0; i < r->aborted_count; i++)
		if (dropped[i] && r->aborted[i].producer_id == producer)
			return true;
	return false;
}

/* What a client makes of one answer: the offsets of the batches it shows. */
static size_t client_filter(const struct log_read *r, int64_t *shown, size_t count)
{
	bool dropped[512] = {0};
	assert_true(r->aborted_count < 512);
	for (size_t i = 0; i < r->batch_count; i++) {
		struct batch_header h;
		struct batch_marker m;
		assert_ok(batch_header_read(r->batches[i], &h));
		for (size_t a = 0; a < r->aborted_count; a++)
			dropped[a] |=
			    r->aborted[a].first_offset <= h.base_offset + h.last_offset_delta;
		if (batch_marker_read(r->batches[i], &m)) {
			for (size_t a = 0; a < r->aborted_count && !m.commit; a++)
				if (dropped[a] && r->aborted[a].producer_id == m.producer_id)
					r->aborted[a].producer_id = -2; /* it is over */
			continue;
		}
		if (h.producer_id >= 0 && (h.attributes & BATCH_ATTR_TRANSACTIONAL) &&
		    is_on(r, dropped, h.producer_id))
			continue;
		shown[count++] = h.base_offset;
	}
	return count;
}

static void check_reader(int part, size_t max_bytes)
{
	static int64_t shown[BATCHES];
	size_t count = 0, expected = 0;
	int64_t offset = 0, end = model_stable_end(part);
	while (offset < end) {
		bool done = false;
		struct log_read r = {.partition = w.f.partitions[TOPIC][part],
		    .offset = offset,
		    .max_bytes = max_bytes,
		    .read_committed = true,
		    .user = &done,
		    .done = read_done};
		log_read(w.f.log, &r);
		while (!done)
			log_fixture_turn(&w.f);
		assert_ok(r.err);
		assert_true(r.batch_count > 0 && r.next_offset <= end);
		assert_int_equal(r.stable_end, end);
		count = client_filter(&r, shown, count);
		offset = r.next_offset;
		log_read_release(&r);
	}
	assert_int_equal(offset, end);
	for (size_t i = 0; i < hist.count; i++) {
		const struct entry *e = &hist.log[i];
		if (e->part != part || e->base >= end || (e->fate != PLAIN && e->fate != COMMITTED))
			continue;
		assert_true(expected < count);
		assert_int_equal(shown[expected++], e->base);
	}
	assert_int_equal(expected, count);
}

/* A scan of one partition, or with -1 of all. */
static void check_scan(int only)
{
	struct log_scan_source sources[PARTS];
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable = 0, want = model_stable_sequence(only);
	size_t n = 0, i = 0;
	for (int part = 0; part < PARTS; part++)
		if (only < 0 || only == part)
			sources[n++] = (struct log_scan_source){w.f.topics[TOPIC].id, part, 0};
	assert_ok(log_scan_open(w.f.log, sources, n, &scan));
	enum err e;
	while ((e = log_scan_next(scan, &v, &stable)) == ERR_OK) {
		while (i < hist.count &&
		       ((only >= 0 && hist.log[i].part != only) ||
		           (hist.log[i].fate != PLAIN && hist.log[i].fate != COMMITTED)))
			i++;
		assert_true(i < hist.count);
		assert_int_equal(v.sequence, hist.log[i].sequence);
		assert_int_equal(v.base_offset, hist.log[i].base);
		assert_true(v.sequence <= want);
		i++;
	}
	assert_int_equal(e, ERR_AGAIN);
	assert_int_equal(stable, want);
	for (; i < hist.count && hist.log[i].sequence <= want; i++)
		assert_true((only >= 0 && hist.log[i].part != only) ||
		            (hist.log[i].fate != PLAIN && hist.log[i].fate != COMMITTED));
	log_scan_close(scan);
}

static void check(void)
{
	struct log_status st;
	log_status(w.f.log, &st);
	assert_int_equal(st.stable_sequence, model_stable_sequence(-1));
	for (int part = 0; part < PARTS; part++) {
		struct log_partition_status ps;
		log_partition_status(w.f.partitions[TOPIC][part], &ps);
		assert_int_equal(ps.stable_end, model_stable_end(part));
		check_reader(part, 1 + 700 * (size_t)part);
		check_scan(part);
	}
	check_scan(-1);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void readers_of_committed_data_agree_with_a_model(void **state)
{
	struct prng rng;
	(void)state;
	prng_init(&rng, test_seed(20));
	for (int step = 0; step < 600; step++) {
		int part = (int)prng_below(&rng, PARTS),
		    producer = (int)prng_below(&rng, PRODUCERS);
		switch (prng_below(&rng, 12)) {
		case 0:
			assert_ok(put_plain(part, -1));
			break;
		case 1:
			assert_int_equal(put_plain(part, producer),
			    hist.open[part][producer] ? ERR_INVALID_TXN_STATE : ERR_OK);
			break;
		case 2:
		case 3:
			end_all(producer, true);
			break;
		case 4:
		case 5:
			end_all(producer, false);
			break;
		default:
			assert_ok(put_txn(part, producer));
		}
		if (step % 40 == 17)
			restart(prng_below(&rng, 2));
		if (step % 20 == 7 || step % 40 == 17)
			check();
	}
	for (int producer = 0; producer < PRODUCERS; producer++)
		end_all(producer, producer % 2);
	check();
}

static void a_scan_that_runs_sees_transactions_end(void **state)
{
	struct log_scan_source s = {w.f.topics[TOPIC].id, 0, 0};
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable;
	(void)state;
	assert_ok(put_plain(0, -1));
	assert_ok(log_scan_open(w.f.log, &s, 1, &scan));
	assert_ok(log_scan_next(scan, &v, &stable));
	assert_ok(put_txn(0, 0));
	assert_ok(put_txn(0, 1));
	assert_ok(put_plain(0, -1));
	assert_int_equal(log_scan_next(scan, &v, &stable), ERR_AGAIN);
	assert_int_equal(stable, hist.log[0].sequence);
	assert_false(log_scan_wait(scan, MS_NS)); /* D is ahead, S_stable is not */
	end_all(0, false);
	assert_int_equal(log_scan_next(scan, &v, &stable), ERR_AGAIN);
	assert_int_equal(stable, hist.log[2].sequence - 1);
	end_all(1, true);
	assert_true(log_scan_wait(scan, MS_NS));
	assert_ok(log_scan_next(scan, &v, &stable));
	assert_int_equal(v.sequence, hist.log[2].sequence);
	assert_ok(log_scan_next(scan, &v, &stable));
	assert_int_equal(v.sequence, hist.log[3].sequence);
	assert_int_equal(log_scan_next(scan, &v, &stable), ERR_AGAIN);
	assert_int_equal(stable, hist.log[hist.count - 1].sequence);
	log_scan_close(scan);
}

/* The transaction of one partition does not hold back who does not read it. */
static void only_its_own_sources_hold_a_scan_back(void **state)
{
	(void)state;
	assert_ok(put_txn(1, 0));
	assert_ok(put_plain(0, -1));
	struct log_txn t;
	assert_true(log_txn_oldest(w.f.log, &t));
	assert_int_equal(t.producer_id, 100);
	assert_int_equal(t.partition, 1);
	check_scan(0);
	check_scan(1);
	end_all(0, true);
	assert_false(log_txn_oldest(w.f.log, &t));
	check();
}

static void zombies_are_fenced_by_the_marker(void **state)
{
	(void)state;
	assert_ok(put_txn(0, 0));
	end_all(0, false);
	hist.epoch[0]--;
	assert_int_equal(put_txn(0, 0), ERR_INVALID_PRODUCER_EPOCH);
	assert_int_equal(put_marker(0, 0, hist.epoch[0], true), ERR_INVALID_PRODUCER_EPOCH);
	restart(false);
	assert_int_equal(put_txn(0, 0), ERR_INVALID_PRODUCER_EPOCH);
	hist.epoch[0]++;
	assert_ok(put_txn(0, 0));
	end_all(0, true);
	check();
}

static void fired(struct log_waiter *waiter)
{
	(void)waiter;
	hist.log[BATCHES - 1].tag++;
}

/* Its snapshot would have the transaction open for ever: the marker is before its offset. */
static void a_roll_waits_for_markers_that_are_in_flight(void **state)
{
	struct log_put marker, plain;
	struct log_append *reqs[] = {&marker.req, &plain.req};
	struct producers producers;
	struct txns txns;
	struct snap_header h;
	struct bytes file;
	size_t len;
	(void)state;
	assert_ok(put_txn(0, 0));
	uint8_t *b = batch_of(-1, -1, 0, 1, &len);
	marker_init(&marker, 0, 0, hist.epoch[0], true);
	log_put_init(&plain, &w.f, TOPIC, 0, b, len);
	log_append(w.f.log, &reqs[0], 1, false);
	partition_roll_soon(w.f.partitions[TOPIC][0]);
	log_append(w.f.log, &reqs[1], 1, false);
	log_put_await(&marker);
	log_put_await(&plain);
	assert_ok(marker.req.err);
	assert_ok(plain.req.err);
	assert_int_equal(w.f.partitions[TOPIC][0]->segment_count, 2);
	log_put_release(&marker);
	log_put_release(&plain);
	assert_ok(
	    io_read_file(w.io, "/data/topics/topic0-0/00000000000000000004.snap", MIB, &file));
	producers_init(&producers);
	txns_init(&txns);
	assert_ok(snap_decode(file, &producers, &txns, &h));
	assert_int_equal(h.offset, 4);
	assert_null(txns_oldest(&txns));
	producers_release(&producers);
	txns_release(&txns);
	mem_free((void *)(uintptr_t)file.ptr);
}

static void a_waiter_for_committed_data_wakes_with_the_marker(void **state)
{
	struct log_waiter waiter;
	(void)state;
	assert_ok(put_txn(0, 0));
	log_waiter_init(&waiter, fired);
	waiter.committed = true;
	log_wait(w.f.partitions[TOPIC][0], 0, &waiter);
	assert_ok(put_plain(0, -1));
	for (int i = 0; i < 10; i++)
		log_fixture_turn(&w.f);
	assert_int_equal(hist.log[BATCHES - 1].tag, 0);
	end_all(0, true);
	for (int i = 0; i < 10; i++)
		log_fixture_turn(&w.f);
	assert_int_equal(hist.log[BATCHES - 1].tag, 1);
}

static uint64_t readable(bool committed)
{
	return log_readable_bytes(w.f.partitions[TOPIC][0], committed);
}

static void what_becomes_readable_is_counted(void **state)
{
	(void)state;
	assert_ok(put_plain(0, -1));
	uint64_t begin = readable(false);
	assert_int_equal(readable(true), begin);
	assert_ok(put_plain(0, -1));
	uint64_t plain = readable(false) - begin;
	assert_true(plain > 2 * 40 && plain < 300);
	assert_int_equal(readable(true), begin + plain);
	/* behind an open transaction nothing counts for readers of committed data */
	assert_ok(put_txn(0, 0));
	assert_ok(put_plain(0, -1));
	assert_ok(put_txn(0, 1));
	assert_true(readable(false) > begin + 3 * plain);
	assert_int_equal(readable(true), begin + plain);
	end_all(0, true);
	uint64_t next = readable(true);
	assert_true(next > begin + 2 * plain && next < readable(false));
	end_all(1, false);
	assert_int_equal(readable(true), readable(false));
	/* one that was open at the start hides all of it, and then no less than there is */
	assert_ok(put_txn(0, 0));
	restart(true);
	assert_ok(put_plain(0, -1));
	assert_int_equal(readable(true), 0);
	end_all(0, true);
	assert_int_equal(readable(true), readable(false));
	assert_true(readable(true) > plain);
}

static int64_t lookups_of(const struct txns *t, int64_t producer_id)
{
	struct timespec a, b;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(txns_open_of(t, producer_id)->producer_id, producer_id);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	return (b.tv_sec - a.tv_sec) * S_NS + b.tv_nsec - a.tv_nsec;
}

/* The first batch of a transaction of a producer that nobody has heard of, epoch 0. */
static void stranger(struct log_put *ret, int part, int64_t id, int32_t sequence)
{
	struct batch_builder b;
	struct writer out;
	size_t len;
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&out, MIB);
	b.attributes = BATCH_ATTR_TRANSACTIONAL;
	b.producer_id = id;
	b.producer_epoch = 0;
	b.base_sequence = sequence;
	assert_ok(batch_builder_add(&b, 1000, bytes_of("k", 1), bytes_of("v", 1), NULL, 0));
	assert_ok(batch_builder_finish(&b, &out));
	batch_builder_release(&b);
	uint8_t *batch = writer_take(&out, &len);
	log_put_init(ret, &w.f, TOPIC, part, batch, len);
	ret->req.from_zero = true;
}

static enum err put_stranger(int part, int64_t id, int32_t sequence)
{
	struct log_put put;
	stranger(&put, part, id, sequence);
	log_put_send(&put);
	log_put_await(&put);
	log_put_release(&put);
	return put.req.err;
}

/* Two strangers, all or none. */
static enum err put_two(int64_t id, int32_t second_sequence)
{
	struct log_put put[2];
	struct log_append *reqs[2] = {&put[0].req, &put[1].req};
	stranger(&put[0], 0, id, 0);
	stranger(&put[1], 1, id, second_sequence);
	log_append(w.f.log, reqs, 2, true);
	for (int i = 0; i < 2; i++) {
		log_put_await(&put[i]);
		log_put_release(&put[i]);
	}
	assert_int_equal(put[0].req.err == ERR_OK, put[1].req.err == ERR_OK);
	return put[1].req.err;
}

/* Neither the places of open transactions nor those of producers that are known. */
static void what_is_refused_takes_nobodys_place(void **state)
{
	(void)state;
	const struct log_partition *p = w.f.partitions[TOPIC][0];
	assert_ok(put_plain(0, 1));
	for (int64_t id = 0; id <= PRODUCERS_MAX; id++)
		assert_int_equal(put_stranger(0, 1000 + id, 5), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_int_equal(p->txns.by_id.count, 0);
	assert_int_equal(p->producers.count, 1);
	for (int64_t id = 0; id < 10; id++)
		assert_int_equal(put_two(1000 + id, 5), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_int_equal(p->txns.by_id.count, 0);
	assert_int_equal(p->producers.count, 1);
	assert_int_equal(p->log_end, 2);
	assert_ok(put_stranger(0, 1000, 0));
}

static void a_set_may_open_the_last_transaction_there_is_room_for(void **state)
{
	(void)state;
	for (int64_t id = 0; id < TXN_OPEN_MAX - 1; id++)
		assert_ok(put_stranger(0, 1000 + id, 0));
	assert_ok(put_two(100000, 0));
	assert_int_not_equal(put_two(100001, 0), ERR_OK);
	assert_int_equal(w.f.partitions[TOPIC][1]->log_end, 1);
	assert_int_equal(put_stranger(0, 100001, 0), ERR_POLICY_VIOLATION);
}

/* Who describes producers asks this of each of them. */
static void an_open_transaction_is_found_without_a_walk(void **state)
{
	struct txns t;
	struct batch_header h = {.attributes = BATCH_ATTR_TRANSACTIONAL};
	(void)state;
	txns_init(&t);
	for (int i = 0; i < TXN_OPEN_MAX; i++) {
		h.producer_id = i;
		h.base_offset = i;
		assert_ok(txns_check(&t, &h, 0));
		assert_ok(txns_promise(&t, h.producer_id));
		txns_note(&t, &h, (uint64_t)i + 1, 0);
	}
	assert_null(txns_open_of(&t, TXN_OPEN_MAX));
	int64_t oldest = lookups_of(&t, 0), newest = lookups_of(&t, TXN_OPEN_MAX - 1);
	printf("# oldest %lld us, newest %lld us\n", (long long)(oldest / US_NS),
	    (long long)(newest / US_NS));
	assert_true(newest < 100 * oldest); /* 10,000 times as much by a walk */
	txns_release(&t);
}

static void the_list_of_aborted_transactions_is_bounded(void **state)
{
	struct txns t;
	struct batch_header h = {
	    .attributes = BATCH_ATTR_TRANSACTIONAL, .producer_id = 7, .producer_epoch = 0};
	struct batch_marker m = {.producer_id = 7};
	(void)state;
	txns_init(&t);
	for (int64_t i = 0; i < TXN_ABORTED_MAX; i++) {
		h.base_offset = 2 * i;
		assert_ok(txns_check(&t, &h, 0));
		assert_ok(txns_promise(&t, h.producer_id));
		txns_note(&t, &h, (uint64_t)i + 1, 0);
		assert_true(txns_end(&t, &m, 2 * i + 1));
	}
	h.base_offset += 2;
	assert_int_equal(txns_check(&t, &h, 0), ERR_POLICY_VIOLATION);
	assert_ok(txns_check(&t, &h, 2)); /* the first is below the log start now */
	assert_int_equal(t.aborted_count, TXN_ABORTED_MAX - 1);
	txns_release(&t);
}

/* The journal comes to have nothing but what another partition was told. */
static void fill_journal(void)
{
	for (int i = 0; i < 70; i++) {
		struct log_put put;
		size_t len;
		uint8_t *b = batch_of(-1, -1, 0, 400, &len);
		assert_ok(log_put_wait(&w.f, TOPIC, PARTS - 1, b, len, &put));
	}
}

enum { HEADER = 17, BODY = FRAME_HEADER_BYTES + 70 };

/* A byte of frame number n of the first segment of a partition. */
static void flip_frame(int part, int n, uint32_t at)
{
	char path[64];
	uint8_t head[FRAME_HEADER_BYTES];
	uint32_t pos = SEGMENT_HEADER_BYTES;
	int fd;
	snprintf(path, sizeof(path), "/data/topics/topic0-%d/00000000000000000000.log", part);
	assert_ok(io_open(w.io, path, IO_READONLY, &fd));
	for (int i = 0; i <= n; i++) {
		assert_ok(io_pread_all(w.io, fd, head, sizeof(head), pos));
		if (i < n)
			pos += FRAME_HEADER_BYTES + get_u32_le(head + 8);
	}
	assert_ok(io_close(w.io, fd));
	log_world_flip(&w, path, (uint64_t)pos + at, 1);
}

/* A start without snapshots of partition 0. */
static void start_anew(void)
{
	static const char dir[] = "/data/topics/topic0-0";
	struct io_names names;
	char path[300];
	assert_ok(io_list(w.io, dir, &names));
	for (size_t i = 0; i < names.count; i++) {
		if (!strstr(names.name[i], ".snap"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, names.name[i]);
		assert_ok(io_unlink(w.io, path));
	}
	io_names_release(&names);
	assert_ok(log_fixture_open(&w.f));
}

/* Frame number n of partition 0, spoiled while the server was away; and no snapshots. */
static void spoil_frame(int n, uint32_t at)
{
	log_world_end(&w, WORLD_STOPPED);
	flip_frame(0, n, at);
	start_anew();
}

/* What of a partition a reader of committed data is shown, batch by batch: their offsets. */
static const char *shown_of(int part)
{
	static char text[256];
	struct log_scan_source source = {w.f.topics[TOPIC].id, part, 0};
	struct log_batch_view v;
	struct log_scan *scan;
	uint64_t stable;
	enum err e;
	text[0] = '\0';
	assert_ok(log_scan_open(w.f.log, &source, 1, &scan));
	while ((e = log_scan_next(scan, &v, &stable)) == ERR_OK || e == ERR_CORRUPT)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%lld%s ",
		    (long long)v.base_offset, e == ERR_OK ? "" : "?");
	assert_int_equal(e, ERR_AGAIN);
	log_scan_close(scan);
	return text;
}

/*
 * Without a snapshot the markers are all that tells. An abort that could not be read was passed
 * over, and its transaction was shown as committed.
 */
static void a_marker_that_cannot_be_read_commits_nothing(void **state)
{
	(void)state;
	assert_ok(put_plain(0, -1));                       /* 0 */
	assert_ok(put_txn(0, 0));                          /* 2 */
	assert_ok(put_marker(0, 0, hist.epoch[0], false)); /* 5: spoiled */
	assert_ok(put_txn(0, 1));                          /* 6 */
	assert_ok(put_marker(0, 1, hist.epoch[1], true));  /* 9 */
	fill_journal();
	spoil_frame(2, BODY);
	assert_string_equal(shown_of(0), "0 5? 6 ");
}

/* The next transaction of that producer ends well: that says nothing of the one before. */
static void a_later_commit_is_not_that_of_an_unreadable_marker(void **state)
{
	(void)state;
	assert_ok(put_txn(0, 0)); /* 0 */
	assert_ok(put_txn(0, 1)); /* 3: ends below, by a marker that is there */
	assert_ok(put_marker(0, 0, hist.epoch[0], false)); /* 6: spoiled */
	assert_ok(put_txn(0, 0));                          /* 7 */
	assert_ok(put_marker(0, 1, hist.epoch[1], true));  /* 10 */
	assert_ok(put_marker(0, 0, hist.epoch[0], true));  /* 11 */
	assert_ok(put_plain(0, -1));                       /* 12 */
	fill_journal();
	spoil_frame(2, BODY);
	assert_string_equal(shown_of(0), "3 6? 7 12 ");
	restart(true); /* now by a snapshot, if there is one */
	assert_string_equal(shown_of(0), "3 6? 7 12 ");
}

/*
 * A batch that could not be read opened no transaction, so its abort ended none; when the journal
 * gave the batch back later it was shown as committed.
 */
static void what_the_journal_gives_back_stays_aborted(void **state)
{
	(void)state;
	assert_ok(put_plain(0, -1));                       /* 0 */
	assert_ok(put_txn(0, 0));                          /* 2: spoiled */
	assert_ok(put_marker(0, 0, hist.epoch[0], false)); /* 5 */
	assert_ok(put_plain(0, -1));                       /* 6 */
	spoil_frame(1, BODY);
	assert_string_equal(shown_of(0), "0 6 ");
	log_world_assert_told(&w, "repaired", true);
	log_world_assert_told(&w, "damaged", false);
}

static bool is_loaded;
static void loaded(struct log_producers_load *load)
{
	assert_ok(load->err);
	is_loaded = true;
}

/* A fetch had met it before: produce was refused until the next start. */
static void a_partition_is_mended_with_its_frame(void **state)
{
	struct log_partition *p;
	struct log_read read;
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_ok(put_plain(0, -1));
	spoil_frame(1, BODY);
	p = w.f.partitions[TOPIC][0];
	assert_int_equal(log_read_wait(&w.f, TOPIC, 0, 2, MIB, &read), ERR_CORRUPT);
	log_read_release(&read);
	assert_int_equal(put_plain(0, -1), ERR_DAMAGED);
	assert_int_equal(w.f.log->damaged_partitions, 1);
	struct log_producers_load load = {.done = loaded};
	is_loaded = false;
	assert_false(log_producers_load(p, &load));
	while (!is_loaded)
		log_fixture_turn(&w.f);
	log_world_assert_told(&w, "damage_gone", true);
	assert_int_equal(w.f.log->damaged_partitions, 0);
	assert_ok(put_plain(0, -1));
	restart(true);
	assert_ok(put_plain(0, -1));
	log_world_assert_told(&w, "damaged", false);
	log_world_assert_told(&w, "damage_gone", false);
}

/* More than a load puts back: what it could not read is not in what is known of producers. */
static void what_a_load_passes_over_stays_until_the_next_start(void **state)
{
	enum { FRAMES = MEND_TRIES + 2 };
	struct log_read read;
	(void)state;
	w.f.topics[TOPIC].config.segment_bytes = 1 << 20;
	for (int i = 0; i < FRAMES; i++)
		assert_ok(put_plain(0, -1));
	log_world_end(&w, WORLD_STOPPED);
	for (int i = 0; i < FRAMES; i++)
		flip_frame(0, i, BODY);
	start_anew();
	assert_int_equal(log_read_wait(&w.f, TOPIC, 0, 0, MIB, &read), ERR_CORRUPT);
	log_read_release(&read);
	struct log_producers_load load = {.done = loaded};
	is_loaded = false;
	assert_false(log_producers_load(w.f.partitions[TOPIC][0], &load));
	while (!is_loaded)
		log_fixture_turn(&w.f);
	log_world_assert_told(&w, "damage_gone", true);
	assert_int_equal(put_plain(0, -1), ERR_DAMAGED);
}

/* Likewise at a start: the last stable offset passed it. */
static void what_the_journal_gives_back_is_open_still(void **state)
{
	(void)state;
	assert_ok(put_plain(0, -1)); /* 0 */
	assert_ok(put_txn(0, 0));    /* 2: spoiled */
	assert_ok(put_plain(0, -1)); /* 5 */
	spoil_frame(1, BODY);
	assert_int_equal(partition_stable_end(w.f.partitions[TOPIC][0]), 2);
	assert_string_equal(shown_of(0), "0 ");
}

/* What may have ended it could not be read: the next batch of its producer is another one's. */
static void a_start_ends_what_a_bad_marker_may_have_ended(void **state)
{
	(void)state;
	assert_ok(put_txn(0, 0));                          /* 0 */
	assert_ok(put_marker(0, 0, hist.epoch[0], false)); /* 3: spoiled */
	assert_ok(put_txn(0, 0));                          /* 4 */
	fill_journal();
	log_world_end(&w, WORLD_KILLED); /* the checkpoint's last stable offset is that of then */
	flip_frame(0, 1, BODY);
	start_anew();
	struct log_partition *p = w.f.partitions[TOPIC][0];
	assert_in_range(partition_stable_end(p), 4, 4);
	assert_ok(put_marker(0, 0, hist.epoch[0], true)); /* 7 */
	assert_string_equal(shown_of(0), "3? 4 ");
	restart(true);
	assert_string_equal(shown_of(0), "3? 4 ");
}

/*
 * The start has read all of it, then a marker of somebody else rots: for the load it may have been
 * that of a transaction which is open, and whose next batch seemed to begin another one. The two
 * contradicted each other, and the server gave up.
 */
static void what_a_start_has_read_is_not_guessed_later(void **state)
{
	(void)state;
	assert_ok(put_txn(0, 0));                          /* 0 */
	assert_ok(put_txn(0, 1));                          /* 3 */
	assert_ok(put_marker(0, 1, hist.epoch[1], false)); /* 6: spoiled */
	assert_ok(put_txn(0, 0));                          /* 7 */
	assert_ok(put_plain(0, -1));                       /* 10 */
	fill_journal();
	log_world_end(&w, WORLD_STOPPED);
	start_anew();
	flip_frame(0, 2, BODY);
	assert_int_equal(partition_stable_end(w.f.partitions[TOPIC][0]), 0);
	assert_ok(put_marker(0, 0, hist.epoch[0], true)); /* 12 */
	assert_string_equal(shown_of(0), "0 6? 7 10 ");
	restart(true);
	assert_string_equal(shown_of(0), "0 6? 7 10 ");
}

/* Readers go on behind a bad header by the index: so must who looks for what was aborted. */
static void what_is_behind_a_bad_header_stays_aborted(void **state)
{
	(void)state;
	assert_ok(put_plain(0, -1));                       /* 0: spoiled */
	assert_ok(put_txn(0, 0));                          /* 2 */
	assert_ok(put_marker(0, 0, hist.epoch[0], false)); /* 5 */
	assert_ok(put_plain(0, -1));                       /* 6 */
	for (int i = 0; i < 40; i++)
		assert_ok(put_plain(0, -1)); /* the segment is sealed: its index is whole */
	fill_journal();
	spoil_frame(0, HEADER);
	assert_memory_equal(shown_of(0), "0? 6 8 ", 7);
}

/* Damage stops producers, not the ends of what they have begun: readers would wait for ever. */
static void the_end_of_a_transaction_goes_into_a_damaged_partition(void **state)
{
	(void)state;
	struct log_partition *p = w.f.partitions[TOPIC][0];
	assert_ok(put_txn(0, 0));
	p->damaged = true; /* as a read would find it */
	assert_int_equal(put_txn(0, 0), ERR_DAMAGED);
	assert_int_equal(put_plain(0, -1), ERR_DAMAGED);
	assert_int_equal(partition_stable_end(p), 0);
	assert_ok(put_marker(0, 0, 1, true));
	assert_int_equal(partition_stable_end(p), 4);
	p->damaged = false;
}

#define TEST(name) cmocka_unit_test_prestate_setup_teardown(name, setup, log_world_teardown, &w)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(readers_of_committed_data_agree_with_a_model),
	    TEST(a_scan_that_runs_sees_transactions_end),
	    TEST(only_its_own_sources_hold_a_scan_back),
	    TEST(zombies_are_fenced_by_the_marker),
	    TEST(a_roll_waits_for_markers_that_are_in_flight),
	    TEST(a_waiter_for_committed_data_wakes_with_the_marker),
	    TEST(the_end_of_a_transaction_goes_into_a_damaged_partition),
	    TEST(what_becomes_readable_is_counted),
	    TEST(what_is_refused_takes_nobodys_place),
	    TEST(a_set_may_open_the_last_transaction_there_is_room_for),
	    cmocka_unit_test(an_open_transaction_is_found_without_a_walk),
	    cmocka_unit_test(the_list_of_aborted_transactions_is_bounded),
	    TEST(a_marker_that_cannot_be_read_commits_nothing),
	    TEST(a_later_commit_is_not_that_of_an_unreadable_marker),
	    TEST(what_the_journal_gives_back_stays_aborted),
	    TEST(a_partition_is_mended_with_its_frame),
	    TEST(what_a_load_passes_over_stays_until_the_next_start),
	    TEST(what_the_journal_gives_back_is_open_still),
	    TEST(a_start_ends_what_a_bad_marker_may_have_ended),
	    TEST(what_a_start_has_read_is_not_guessed_later),
	    TEST(what_is_behind_a_bad_header_stays_aborted),
	};
	return cmocka_run_group_tests_name("log/txn_test", tests, NULL, NULL);
}
