/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction, on the simulated disk: what goes, what stays, and who may still read. */
#include "log/catalog.h"
#include "log/catalog_change.h"
#include "log/compact.h"
#include "log/compact_job.h"
#include "log/engine.h"
#include "test/lib/keyed_log.h"
#include <stdio.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
static struct keyed_log k;

static int setup(void **state)
{
	(void)state;
	return keyed_setup(&k, 7, NULL);
}

static int teardown(void **state)
{
	(void)state;
	return keyed_teardown(&k);
}

static void create(uint64_t segment_bytes, const char *a, const char *b)
{
	const char *const configs[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0", a, a ? b : NULL, NULL};
	keyed_create(&k, "t", segment_bytes, configs);
}

/* The next append begins a segment: what is there so far can be compacted. */
static void roll(void)
{
	partition_roll_soon(keyed_partition(&k, "t"));
	keyed_put(&k, "t", "last", "x");
}

static void restart(void)
{
	keyed_close(&k);
	keyed_fsck(&k, NULL, 0);
	keyed_open(&k);
}

static void the_newest_record_of_each_key_stays_at_its_offset(void **state)
{
	(void)state;
	create(1 << 20, NULL, NULL);
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "b", "2");
	const struct keyed_record three[] = {{"a", "3", 1000}, {"c", "4", 5000}, {"a", "5", 2000}};
	keyed_append(&k, "t", three, 3, &KEYED_PLAIN);
	keyed_put(&k, "t", "b", "6");
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "3:c=4 4:a=5 5:b=6 6:last=x");
	assert_int_equal(k.rows.row[0].timestamp_ms, 5000);
	assert_int_equal(k.rows.row[1].timestamp_ms, 2000);
	struct log_partition_status st;
	log_partition_status(keyed_partition(&k, "t"), &st);
	assert_int_equal(st.log_end, 7);
	restart();
	assert_string_equal(keyed_read_text(&k), "3:c=4 4:a=5 5:b=6 6:last=x");
	assert_int_equal(keyed_put(&k, "t", "d", "7"), 7);
}

static void the_active_segment_and_young_ones_are_left_alone(void **state)
{
	(void)state;
	create(1 << 20, "min.compaction.lag.ms=60000", NULL);
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "a", "2");
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "0:a=1 1:a=2");
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "0:a=1 1:a=2 2:last=x");
	keyed_sleep(&k, 61 * S_NS);
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=2 2:last=x");
}

static void a_share_of_it_must_be_dirty(void **state)
{
	(void)state;
	const char *const configs[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0.6", NULL};
	keyed_create(&k, "t", 1 << 20, configs);
	for (int i = 0; i < 20; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", i);
		keyed_put(&k, "t", key, "1");
	}
	roll();
	keyed_compact(&k); /* all of it was dirty */
	assert_int_equal(partition_segment(keyed_partition(&k, "t"), 0)->generation, 1);
	keyed_put(&k, "t", "k0", "2");
	keyed_put(&k, "t", "k0", "3");
	roll();
	keyed_compact(&k); /* half of it and less */
	struct log_partition *p = keyed_partition(&k, "t");
	struct compact_plan plan;
	int64_t now = io_clock_ns(k.io, IO_CLOCK_REALTIME);
	assert_false(compact_plan_keys(p, now, &plan));
	topic_of(p->topic)->pub.config.min_cleanable_ratio = 0.3;
	assert_true(compact_plan_keys(p, now, &plan));
	/* or it has waited for so long */
	topic_of(p->topic)->pub.config.min_cleanable_ratio = 1.0;
	topic_of(p->topic)->pub.config.max_compaction_lag_ms = 1000;
	assert_false(compact_plan_keys(p, now, &plan));
	assert_true(compact_plan_keys(p, now + 3 * S_NS, &plan));
}

static void tombstones_stay_for_their_time_and_nothing_comes_back(void **state)
{
	(void)state;
	create(1 << 20, "delete.retention.ms=10000", NULL);
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "b", "2");
	keyed_put(&k, "t", "a", NULL);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:b=2 2:a=- 3:last=x");
	int64_t told_ms = k.rows.row[1].timestamp_ms;
	assert_in_range(told_ms, 1, io_clock_ns(k.io, IO_CLOCK_REALTIME) / MS_NS);
	keyed_sleep(&k, 5 * S_NS);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:b=2 2:a=- 3:last=x 4:last=x");
	assert_int_equal(k.rows.row[1].timestamp_ms, told_ms); /* the horizon moved the base only */
	restart();
	keyed_sleep(&k, 6 * S_NS);
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:b=2 4:last=x 5:last=x");
	restart();
	assert_string_equal(keyed_read_text(&k), "1:b=2 4:last=x 5:last=x");
}

static void records_without_a_key_go(void **state)
{
	(void)state;
	create(1 << 20, NULL, NULL);
	keyed_put(&k, "t", NULL, "from before the policy");
	keyed_put(&k, "t", "a", "1");
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=1 2:last=x");
}

static void neighbours_are_merged_and_holes_are_named(void **state)
{
	(void)state;
	create(700, NULL, NULL);
	for (int i = 0; i < 40; i++)
		keyed_put(&k, "t", i % 2 ? "a" : "b", "some value");
	struct log_partition *p = keyed_partition(&k, "t");
	uint32_t before = p->segment_count;
	assert_true(before > 5);
	topic_of(p->topic)->pub.config.segment_bytes = 1 << 20;
	uint64_t size = p->size_bytes;
	keyed_compact(&k);
	assert_int_equal(p->segment_count, 2);
	assert_true(p->size_bytes < size / 3);
	keyed_read_text(&k);
	assert_true(k.rows.count < 10);
	assert_string_equal(keyed_value(&k.rows, "a"), "some value");
	/* each batch that was there is there or in a hole */
	struct segment *s = partition_segment(p, 0);
	assert_int_equal(s->base_offset, 0);
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct segment_walk w;
	struct frame f;
	struct bytes body;
	uint32_t pos;
	uint64_t batches = 0;
	int64_t next = 0;
	int fd;
	assert_ok(partition_path(p, segment_file_name(s, ".log", name), path));
	assert_ok(io_open(k.io, path, IO_READONLY, &fd));
	segment_walk_init(&w, k.io, fd, s->seed, 0);
	w.holes = true;
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, s->size);
	while (segment_walk_next(&w, &f, &pos, &body) == ERR_OK) {
		struct frame_hole hole = {.batches = 1};
		assert_int_equal(f.base_offset, next);
		next = f.base_offset + (int64_t)f.last_offset_delta + 1;
		if (f.flags & FRAME_HOLE)
			assert_ok(frame_hole_decode(&f, body, &hole));
		batches += hole.batches;
	}
	segment_walk_release(&w);
	assert_ok(io_close(k.io, fd));
	assert_int_equal(next, s->end_offset);
	assert_int_equal(batches, s->end_offset);
	size = p->size_bytes;
	restart();
	assert_int_equal(keyed_partition(&k, "t")->segment_count, 2);
	assert_int_equal(keyed_partition(&k, "t")->size_bytes, size);
}

/* Who has read the last batch before a hole goes on at the hole, not behind it. */
static void a_read_that_ends_before_a_hole_goes_on_in_it(void **state)
{
	(void)state;
	create(1 << 20, NULL, NULL);
	keyed_put(&k, "t", "u", "first");
	for (int i = 0; i < 5; i++)
		keyed_put(&k, "t", "a", "old");
	keyed_put(&k, "t", "v", "behind it");
	roll();
	keyed_put(&k, "t", "a", "new");
	keyed_compact(&k);
	assert_int_equal(keyed_next_offset(&k, "t", 0), 0);
	assert_int_equal(keyed_next_offset(&k, "t", 1), 5);
	assert_string_equal(
	    keyed_read_text(&k), "0:u=first 5:a=old 6:v=behind it 7:last=x 8:a=new");
	assert_false(keyed_partition(&k, "t")->damaged);
}

static void a_read_of_any_offset_finds_what_comes_next(void **state)
{
	(void)state;
	create(700, NULL, NULL);
	for (int i = 0; i < 60; i++)
		keyed_put(&k, "t", i % 7 == 0 ? "z" : "a", "some value");
	for (int again = 0; again < 2; again++) {
		keyed_compact(&k);
		keyed_read_text(&k);
		struct log_partition *p = keyed_partition(&k, "t");
		size_t at = 0;
		for (int64_t offset = 0; offset < p->visible_end; offset++) {
			while (k.rows.row[at].offset < offset)
				at++;
			assert_int_equal(keyed_next_offset(&k, "t", offset), k.rows.row[at].offset);
		}
		restart();
	}
}

static void compressed_batches_keep_their_codec(void **state)
{
	(void)state;
	create(1 << 20, NULL, NULL);
	for (int codec = BATCH_NONE; codec < BATCH_CODECS; codec++) {
		struct keyed_how how = KEYED_PLAIN;
		how.codec = codec;
		char kept[16];
		snprintf(kept, sizeof(kept), "k%d", codec);
		const struct keyed_record two[] = {{"a", "goes", 0}, {kept, "stays", 0}};
		keyed_append(&k, "t", two, 2, &how);
	}
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k),
	    "1:k0=stays 3:k1=stays 5:k2=stays 7:k3=stays 8:a=goes 9:k4=stays 10:last=x");
	assert_int_equal(k.rows.codecs, 0x1f);
	restart();
	keyed_read_text(&k);
	assert_int_equal(k.rows.codecs, 0x1f);
}

static void a_table_that_is_full_takes_several_passes(void **state)
{
	(void)state;
	char key[16], value[16];
	create(2000, NULL, NULL);
	k.log->options.compact_map_bytes = 64 * COMPACT_SLOT_BYTES; /* 48 keys */
	for (int round = 0; round < 3; round++)
		for (int i = 0; i < 150; i++) {
			snprintf(key, sizeof(key), "k%d", i);
			snprintf(value, sizeof(value), "%d", round);
			keyed_put(&k, "t", key, value);
		}
	roll();
	keyed_compact(&k);
	keyed_read_text(&k);
	assert_int_equal(k.rows.count, 151);
	for (int i = 0; i < 150; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_string_equal(keyed_value(&k.rows, key), "2");
	}
	restart();
}

/* ---- producers -------------------------------------------------------------------------------- */

static struct keyed_how producer(int64_t id, int32_t sequence)
{
	return (struct keyed_how){.producer_id = id, .epoch = 0, .sequence = sequence};
}

static void remove_file(const char *name)
{
	char path[256];
	struct io_names names;
	snprintf(path, sizeof(path), "/data/topics/%s", name);
	assert_ok(io_list(k.io, path, &names));
	for (size_t i = 0; i < names.count; i++) {
		size_t len = strlen(names.name[i]);
		char file[512];
		snprintf(file, sizeof(file), "%s/%s", path, names.name[i]);
		if (len > 5 && strcmp(names.name[i] + len - 5, ".snap") == 0)
			assert_ok(io_unlink(k.io, file));
	}
	io_names_release(&names);
}

/* The last batches that a producer is known by stay, empty if need be: also without snapshots. */
static void a_producer_is_known_as_before(void **state)
{
	(void)state;
	create(1 << 20, NULL, NULL);
	int64_t offset[9];
	for (int i = 0; i < 9; i++) {
		const struct keyed_record r = {"a", "1", 0};
		struct keyed_how how = producer(4711, i);
		offset[i] = keyed_append(&k, "t", &r, 1, &how);
	}
	keyed_put(&k, "t", "a", "newest");
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "9:a=newest 10:last=x");
	assert_int_equal(k.rows.empty_batches, PRODUCER_BATCHES_KEPT);
	keyed_close(&k);
	remove_file("t-0");
	keyed_open(&k);
	for (int i = 3; i < 9; i++) {
		const struct keyed_record r = {"a", "1", 0};
		struct keyed_how how = producer(4711, i);
		struct log_append req;
		enum err e = keyed_try_append(&k, "t", &r, 1, &how, &req);
		if (i < 4) {
			assert_int_equal(e, ERR_OUT_OF_ORDER_SEQUENCE); /* as it was before */
			continue;
		}
		assert_ok(e);
		assert_true(req.duplicate);
		assert_int_equal(req.base_offset, offset[i]);
	}
	const struct keyed_record r = {"b", "1", 0};
	struct keyed_how next = producer(4711, 9), skipping = producer(4711, 12);
	struct log_append req;
	assert_int_equal(
	    keyed_try_append(&k, "t", &r, 1, &skipping, &req), ERR_OUT_OF_ORDER_SEQUENCE);
	assert_ok(keyed_try_append(&k, "t", &r, 1, &next, &req));
	assert_false(req.duplicate);
	/* a day of silence later nobody needs them */
	keyed_sleep(&k, PRODUCER_EXPIRY_NS + S_NS);
	roll();
	keyed_compact(&k);
	keyed_read_text(&k);
	assert_int_equal(k.rows.empty_batches, 0);
	err_clear();
}

/* ---- transactions ----------------------------------------------------------------------------- */

static struct keyed_how transactional(int64_t id, int32_t sequence)
{
	struct keyed_how how = producer(id, sequence);
	how.attributes = BATCH_ATTR_TRANSACTIONAL;
	return how;
}

static void put_in_transaction(int64_t id, int32_t sequence, const char *key, const char *value)
{
	const struct keyed_record r = {key, value, 0};
	struct keyed_how how = transactional(id, sequence);
	keyed_append(&k, "t", &r, 1, &how);
}

static void aborted_records_go_and_shadow_nothing(void **state)
{
	(void)state;
	create(1 << 20, "delete.retention.ms=1000", NULL);
	keyed_put(&k, "t", "a", "old");             /* 0 */
	put_in_transaction(1, 0, "a", "aborted");   /* 1 */
	put_in_transaction(2, 0, "b", "committed"); /* 2 */
	keyed_marker(&k, "t", 1, 0, false);         /* 3 */
	keyed_marker(&k, "t", 2, 0, true);          /* 4 */
	put_in_transaction(1, 1, "c", "committed"); /* 5 */
	keyed_marker(&k, "t", 1, 0, true);          /* 6 */
	keyed_put(&k, "t", "b", "newer");           /* 7 */
	roll();                                     /* 8 */
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "0:a=old 5:c=committed 7:b=newer 8:last=x");
	/* batches of 1 and 2 carry their sequences, so their markers stay */
	assert_int_equal(k.rows.control_batches, 3);
	assert_int_equal(k.rows.empty_batches, 2);
	restart();
	assert_string_equal(keyed_read_text(&k), "0:a=old 5:c=committed 7:b=newer 8:last=x");
	/* when the producers are forgotten: their empty batches, then the markers, after their
	 * horizon */
	keyed_sleep(&k, PRODUCER_EXPIRY_NS + S_NS);
	roll();
	keyed_compact(&k);
	keyed_read_text(&k);
	assert_int_equal(k.rows.empty_batches, 0);
	assert_int_equal(k.rows.control_batches, 3);
	for (int i = 0; i < 2; i++) {
		keyed_sleep(&k, 2 * S_NS);
		roll();
		keyed_compact(&k);
	}
	keyed_read_text(&k);
	assert_int_equal(k.rows.control_batches, 1); /* that of c, whose record is there */
	assert_string_equal(keyed_value(&k.rows, "c"), "committed");
}

/* Who fences a producer aborts with the next epoch: only the marker tells it, also without snapshots. */
static void a_marker_that_tells_its_producers_epoch_stays(void **state)
{
	(void)state;
	create(1 << 20, "delete.retention.ms=1000", NULL);
	put_in_transaction(1, 0, "a", "aborted");
	keyed_marker(&k, "t", 1, 1, false);
	keyed_put(&k, "t", "a", "newer");
	for (int i = 0; i < 4; i++) {
		roll();
		keyed_compact(&k);
		keyed_sleep(&k, 2 * S_NS);
	}
	keyed_read_text(&k);
	assert_int_equal(k.rows.empty_batches, 0);
	keyed_close(&k);
	remove_file("t-0");
	keyed_open(&k);
	const struct keyed_record r = {"a", "zombie", 0};
	struct keyed_how how = transactional(1, 1);
	struct log_append req;
	assert_int_equal(keyed_try_append(&k, "t", &r, 1, &how, &req), ERR_INVALID_PRODUCER_EPOCH);
	err_clear();
}

static void an_open_transaction_is_waited_for(void **state)
{
	(void)state;
	create(1 << 20, NULL, NULL);
	keyed_put(&k, "t", "a", "1");
	keyed_put(&k, "t", "a", "2");
	put_in_transaction(1, 0, "a", "open");
	keyed_put(&k, "t", "a", "3");
	keyed_put(&k, "t", "a", "4");
	roll();
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "1:a=2 2:a=open 3:a=3 4:a=4 5:last=x");
	keyed_marker(&k, "t", 1, 0, false);
	roll();
	keyed_sleep(&k, 301 * S_NS); /* it is not tried again at once */
	keyed_compact(&k);
	assert_string_equal(keyed_read_text(&k), "4:a=4 5:last=x 7:last=x");
	restart();
	assert_string_equal(keyed_read_text(&k), "4:a=4 5:last=x 7:last=x");
}

static bool keeps_second(void *ctx, const struct record *record)
{
	(void)ctx;
	return record->offset == 1;
}

/* What a few bytes decompress to is had for that batch, and given back. */
static void a_large_batch_does_not_keep_its_memory(void **state)
{
	enum { LARGE = 24 << 20 };
	struct batch_rewriter w;
	struct batch_builder b;
	struct writer batch;
	enum batch_outcome outcome;
	struct batch_counts counts = {0};
	uint8_t *zeros = mem_calloc(1, LARGE);
	(void)state;
	assert_non_null(zeros);
	batch_builder_init(&b, BATCH_ZSTD);
	writer_init(&batch, SIZE_MAX);
	for (int i = 0; i < 2; i++)
		assert_ok(batch_builder_add(
		    &b, 1000, str_bytes(STR("a")), bytes_of(zeros, LARGE), NULL, 0));
	assert_ok(batch_builder_finish(&b, &batch));
	batch_builder_release(&b);
	mem_free(zeros);
	batch_rewriter_init(&w);
	const struct batch_change change = {.keep = keeps_second, .codec = -1, .horizon_ms = -1};
	assert_ok(batch_rewrite(&w, writer_bytes(&batch), &change, &outcome, &counts));
	assert_int_equal(outcome, BATCH_CHANGED);
	assert_int_equal(counts.kept, 1);
	/* while the new one is made there is what it has, once */
	assert_true(w.plain.capacity <= LARGE + ((size_t)17 << 20));
	batch_rewriter_trim(&w);
	assert_true(w.plain.capacity + w.out.capacity <= (size_t)17 << 20);
	batch_rewriter_release(&w);
	writer_release(&batch);
}

enum { MIXED = 400, MIXED_VALUE = 300 };

static size_t mixed_value(int i)
{
	return (size_t)(i * 37 % MIXED_VALUE);
}

static bool keeps_two_of_three(void *ctx, const struct record *record)
{
	(void)ctx;
	return record->offset % 3 != 1;
}

static void mixed_batch(enum batch_codec codec, int64_t base_ms, struct writer *ret)
{
	static uint8_t value[MIXED_VALUE];
	struct batch_builder b;
	batch_builder_init(&b, codec);
	writer_init(ret, SIZE_MAX);
	for (int i = 0; i < MIXED; i++) {
		char key[16];
		snprintf(key, sizeof(key), "%d", i);
		memset(value, i, sizeof(value));
		struct bytes v = bytes_of(value, mixed_value(i));
		assert_ok(batch_builder_add(&b, base_ms + i, str_bytes(str_of(key)),
		    i % 5 ? v : (struct bytes){0}, NULL, 0));
	}
	assert_ok(batch_builder_finish(&b, ret));
	batch_builder_release(&b);
}

static void assert_mixed(struct bytes batch, int64_t base_ms)
{
	struct writer scratch;
	struct record_iter it;
	struct record r;
	int i = 0;
	writer_init(&scratch, MIB);
	assert_ok(record_iter_open(&it, batch, &scratch, MIB));
	for (; record_iter_next(&it, &r) == ERR_OK; i++) {
		i += i % 3 == 1;
		assert_int_equal(r.offset, i);
		assert_int_equal(r.timestamp_ms, base_ms + i);
		if (i % 5 == 0) {
			assert_null(r.value.ptr);
			continue;
		}
		assert_int_equal(r.value.len, mixed_value(i));
		for (size_t at = 0; at < r.value.len; at++)
			assert_int_equal(r.value.ptr[at], (uint8_t)i);
	}
	err_clear();
	assert_int_equal(i, MIXED);
	writer_release(&scratch);
}

/* Those kept move within the memory of all of them; a delete horizon makes each longer or shorter. */
static void what_is_kept_is_as_it_was_wherever_the_horizon_is(void **state)
{
	static const int64_t horizons[] = {-1, 0, 999, 1000, 1200, 1000000, INT64_C(1) << 50};
	(void)state;
	for (int codec = BATCH_NONE; codec < BATCH_CODECS; codec++) {
		for (size_t h = 0; h < sizeof(horizons) / sizeof(*horizons); h++) {
			struct batch_rewriter w;
			struct batch_counts counts = {0};
			enum batch_outcome outcome;
			struct writer batch;
			int64_t ms;
			mixed_batch((enum batch_codec)codec, 1000, &batch);
			batch_rewriter_init(&w);
			const struct batch_change change = {
			    .keep = keeps_two_of_three, .codec = -1, .horizon_ms = horizons[h]};
			assert_ok(
			    batch_rewrite(&w, writer_bytes(&batch), &change, &outcome, &counts));
			assert_int_equal(outcome, BATCH_CHANGED);
			assert_int_equal(counts.records, MIXED);
			assert_mixed(writer_bytes(&w.out), 1000);
			struct batch_header header;
			assert_ok(batch_header_read(writer_bytes(&w.out), &header));
			assert_int_equal(batch_delete_horizon(&header, &ms), horizons[h] >= 0);
			assert_true(horizons[h] < 0 || ms == horizons[h]);
			batch_rewriter_release(&w);
			writer_release(&batch);
		}
	}
}

/* ---- more producers than are held ------------------------------------------------------------- */

enum { MANY = 20, HELD = 4, EACH = 3 };

static void many_put(int from, int64_t offset[MANY])
{
	for (int i = from; i < from + EACH; i++)
		for (int id = 0; id < MANY; id++) {
			const struct keyed_record r = {"a", "1", 0};
			struct keyed_how how = producer(100 + id, i);
			offset[id] = keyed_append(&k, "t", &r, 1, &how);
		}
}

/* The last batch of each is a duplicate, the next one follows. */
static void many_are_known(int next, const int64_t offset[MANY])
{
	for (int id = 0; id < MANY; id++) {
		const struct keyed_record r = {"a", "1", 0};
		struct keyed_how last = producer(100 + id, next - 1);
		struct keyed_how skip = producer(100 + id, next + 1);
		struct log_append req;
		assert_ok(keyed_try_append(&k, "t", &r, 1, &last, &req));
		assert_true(req.duplicate);
		assert_int_equal(req.base_offset, offset[id]);
		assert_int_equal(
		    keyed_try_append(&k, "t", &r, 1, &skip, &req), ERR_OUT_OF_ORDER_SEQUENCE);
	}
	err_clear();
}

static void more_producers_than_are_held_stop_no_compaction(void **state)
{
	int64_t offset[MANY];
	(void)state;
	create(1 << 20, NULL, NULL);
	k.log->options.compact_producers = HELD;
	for (int turn = 0; turn < 3; turn++) {
		many_put(turn * EACH, offset);
		keyed_put(&k, "t", "a", "newest");
		roll();
		keyed_compact(&k);
		keyed_read_text(&k);
		assert_int_equal(k.rows.count, turn == 0 ? 2 : 3); /* and what rolls it */
		assert_string_equal(keyed_value(&k.rows, "a"), "newest");
		/* of those that are held at most five, of the others all that are a day young */
		size_t all = (size_t)(turn + 1) * EACH * MANY;
		assert_true(k.rows.empty_batches <= all);
		assert_true(k.rows.empty_batches >= (size_t)MANY * EACH);
	}
	keyed_close(&k);
	remove_file("t-0"); /* the snapshots: who they are is read from the batches */
	keyed_open(&k);
	many_are_known(3 * EACH, offset);
	k.log->options.compact_producers = HELD;
	keyed_sleep(&k, PRODUCER_EXPIRY_NS + S_NS);
	roll();
	keyed_compact(&k);
	keyed_read_text(&k);
	assert_int_equal(k.rows.empty_batches, 0);
}

/* Who is not held has transactions all the same, as many as are open at once. */
static void transactions_of_more_producers_than_are_held(void **state)
{
	char text[200] = "", key[16];
	(void)state;
	create(1 << 20, "delete.retention.ms=1000", NULL);
	k.log->options.compact_producers = HELD;
	keyed_put(&k, "t", "a", "old");
	for (int id = 0; id < MANY; id++)
		put_in_transaction(100 + id, 0, "a", "aborted");
	for (int id = 0; id < MANY; id++)
		keyed_marker(&k, "t", 100 + id, 0, id % 2 == 1);
	for (int id = 0; id < MANY; id++) {
		snprintf(key, sizeof(key), "b%d", id);
		put_in_transaction(100 + id, 1, key, "v");
		keyed_marker(&k, "t", 100 + id, 0, id % 3 == 0);
	}
	roll();
	keyed_compact(&k);
	keyed_read_text(&k);
	assert_string_equal(keyed_value(&k.rows, "a"), "aborted"); /* the last of those committed */
	for (int id = 0; id < MANY; id++) {
		snprintf(key, sizeof(key), "b%d", id);
		assert_int_equal(keyed_value(&k.rows, key) != NULL, id % 3 == 0);
	}
	snprintf(text, sizeof(text), "%s", keyed_read_text(&k));
	restart();
	assert_string_equal(keyed_read_text(&k), text);
	k.log->options.compact_producers = HELD;
	/* when they are forgotten, what is empty goes, and then the markers */
	keyed_sleep(&k, PRODUCER_EXPIRY_NS + S_NS);
	for (int i = 0; i < 3; i++) {
		roll();
		keyed_compact(&k);
		keyed_sleep(&k, 2 * S_NS);
	}
	*strstr(text, "last=x") = '\0';
	text[strlen(text) - 3] = '\0'; /* its offset: it is put again by each roll */
	assert_memory_equal(keyed_read_text(&k), text, strlen(text));
	assert_int_equal(k.rows.empty_batches, 0);
	assert_int_equal(k.rows.control_batches, 1 + (MANY + 2) / 3); /* of what is there */
}

/* ---- those who read meanwhile ----------------------------------------------------------------- */

static void a_scan_goes_on_in_the_generation_it_began(void **state)
{
	(void)state;
	struct log_scan *scan;
	struct log_batch_view v;
	uint64_t stable, last = 0;
	create(700, NULL, NULL);
	for (int i = 0; i < 40; i++)
		keyed_put(&k, "t", "a", "some value");
	struct log_partition *p = keyed_partition(&k, "t");
	struct log_scan_source source = {p->key.topic_id, 0, 0};
	assert_ok(log_scan_open(k.log, &source, 1, &scan));
	assert_ok(log_scan_next(scan, &v, &stable));
	assert_int_equal(v.base_offset, 0);
	int64_t in_first =
	    p->segments.head.next
	        ? CONTAINER_OF(p->segments.head.next, struct segment, node)->end_offset
	        : 0;
	topic_of(p->topic)->pub.config.segment_bytes = 1 << 20;
	keyed_compact(&k);
	assert_int_equal(p->segment_count, 2);
	int64_t offset = 0;
	unsigned batches = 1;
	while (log_scan_next(scan, &v, &stable) == ERR_OK) {
		assert_true(v.sequence > last);
		assert_true(v.base_offset > offset);
		last = v.sequence;
		offset = v.base_offset;
		batches++;
	}
	/* all of the segment that it had leased, then what is left of the rest */
	assert_int_equal(offset, 39);
	assert_true(batches >= in_first && batches < 40);
	log_scan_close(scan);
	/* and a new one sees the new generation only, in order of sequences */
	assert_ok(log_scan_open(k.log, &source, 1, &scan));
	for (batches = 0; log_scan_next(scan, &v, &stable) == ERR_OK; batches++)
		;
	log_scan_close(scan);
	keyed_read_text(&k);
	assert_int_equal(batches, k.rows.batches);
	assert_int_equal(stable, k.log->durable_sequence);
}

static size_t files_of(const char *suffix)
{
	struct io_names names;
	size_t count = 0, end = strlen(suffix);
	assert_ok(io_list(k.io, "/data/topics/t-0", &names));
	for (size_t i = 0; i < names.count; i++) {
		size_t len = strlen(names.name[i]);
		count += len > end && strcmp(names.name[i] + len - end, suffix) == 0;
	}
	io_names_release(&names);
	return count;
}

static void old_files_go_when_nobody_reads_them(void **state)
{
	(void)state;
	struct log_scan *scan;
	struct log_batch_view v;
	uint64_t stable;
	create(700, NULL, NULL);
	for (int i = 0; i < 20; i++)
		keyed_put(&k, "t", "a", "some value");
	struct log_partition *p = keyed_partition(&k, "t");
	struct log_scan_source source = {p->key.topic_id, 0, 0};
	topic_of(p->topic)->pub.config.segment_bytes = 1 << 20;
	assert_ok(log_scan_open(k.log, &source, 1, &scan));
	assert_ok(log_scan_next(scan, &v, &stable));
	keyed_compact(&k);
	keyed_sleep(&k, S_NS);
	assert_int_equal(files_of(".log"), 3); /* the new one, the leased one, the active one */
	log_scan_close(scan);
	keyed_sleep(&k, S_NS);
	assert_int_equal(files_of(".log"), 2);
	assert_int_equal(files_of(".new"), 0);
}

static void retention_and_deletion_meet_a_compaction(void **state)
{
	(void)state;
	struct compactor *c = k.log->catalog->compactor;
	for (int turns = 0; turns < 30; turns++) {
		char topic[16];
		snprintf(topic, sizeof(topic), "t%d", turns);
		const char *const configs[] = {
		    "cleanup.policy=compact,delete", "min.cleanable.dirty.ratio=0", NULL};
		keyed_create(&k, topic, 700, configs);
		for (int i = 0; i < 20; i++)
			keyed_put(&k, topic, i % 3 ? "a" : "b", "some value");
		keyed_sleep(&k, 50 * MS_NS);
		struct log_partition *p = keyed_partition(&k, topic);
		compactor_run(c);
		for (int i = 0; i < turns; i++)
			assert_ok(loop_step(k.loop, 0));
		if (turns % 2) {
			struct log_topic_req req = {.op = LOG_TOPIC_DELETE,
			    .name = str_of(topic),
			    .done = keyed_change_done};
			log_topic_submit(k.log, &req);
			while (req.log)
				keyed_turn(&k);
			assert_ok(req.err);
		} else {
			partition_trim(p, 5 + turns % 12);
		}
		while (compactor_busy(c))
			keyed_turn(&k);
		if (turns % 2 == 0) {
			struct keyed_rows got;
			keyed_read(&k, topic, &got);
			assert_string_equal(keyed_value(&got, "a"), "some value");
			assert_int_equal(got.row[got.count - 1].offset, 19);
			keyed_rows_release(&got);
		}
	}
	keyed_close(&k);
	keyed_open(&k);
}

/* The pool reads the partition's transactions for its snapshot, and the swap forgets some. */
static void a_swap_waits_while_the_partition_rolls(void **state)
{
	(void)state;
	create(700, NULL, NULL);
	for (int i = 0; i < 20; i++)
		keyed_put(&k, "t", "a", "some value");
	struct log_partition *p = keyed_partition(&k, "t");
	topic_of(p->topic)->pub.config.segment_bytes = 1 << 20;
	uint32_t before = p->segment_count;
	assert_true(before > 5);
	log_compact_interval_set(k.log, 100 * MS_NS);
	p->frozen = true;
	keyed_sleep(&k, 5 * S_NS);
	assert_true(files_of(".log") > before); /* the new generation is there */
	assert_int_equal(p->segment_count, before);
	p->frozen = false;
	keyed_sleep(&k, S_NS);
	assert_int_equal(files_of(".log"), 2);
	assert_int_equal(p->segment_count, 2);
}

/* A frame whose body does not verify: it is the damaged place, not the one behind it, and a start
 * looks there. */
static void what_it_finds_bad_is_known_to_the_next_start(void **state)
{
	(void)state;
	struct index_entry bad;
	uint64_t number;
	uint8_t byte;
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	int fd;
	create(1 << 20, NULL, NULL);
	for (int i = 0; i < 5; i++)
		keyed_put(&k, "t", "a", "some value");
	struct log_partition *p = keyed_partition(&k, "t");
	struct segment *s = partition_segment(p, 0);
	const struct index_probe probe = {INDEX_BY_OFFSET, 2};
	assert_ok(index_find_memory(&s->index, probe, &bad, &number));
	roll();
	assert_ok(partition_path(p, segment_file_name(s, ".log", name), path));
	assert_ok(io_open(k.io, path, 0, &fd));
	assert_ok(io_pread_all(k.io, fd, &byte, 1, bad.pos + bad.len - 1));
	byte ^= 1;
	assert_ok(io_pwrite(k.io, fd, &byte, 1, bad.pos + bad.len - 1));
	assert_ok(io_fsync(k.io, fd));
	assert_ok(io_close(k.io, fd));
	keyed_compact(&k);
	assert_true(p->damaged);
	assert_int_equal(p->damage.count, 1);
	assert_int_equal(p->damage.place[0].segment, 0);
	assert_int_equal(p->damage.place[0].pos, bad.pos);
	keyed_close(&k);
	keyed_open(&k);
	assert_true(keyed_partition(&k, "t")->damaged);
}

/* Unless it is told, it looks after 15 s. */
static void it_looks_as_often_as_it_is_told(void **state)
{
	(void)state;
	create(700, NULL, NULL);
	for (int i = 0; i < 20; i++)
		keyed_put(&k, "t", "a", "some value");
	topic_of(keyed_partition(&k, "t")->topic)->pub.config.segment_bytes = 1 << 20;
	log_compact_interval_set(k.log, 100 * MS_NS);
	keyed_sleep(&k, 5 * S_NS);
	assert_int_equal(files_of(".log"), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        the_newest_record_of_each_key_stays_at_its_offset, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        the_active_segment_and_young_ones_are_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_swap_waits_while_the_partition_rolls, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_share_of_it_must_be_dirty, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        tombstones_stay_for_their_time_and_nothing_comes_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(records_without_a_key_go, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        neighbours_are_merged_and_holes_are_named, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_read_that_ends_before_a_hole_goes_on_in_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_read_of_any_offset_finds_what_comes_next, setup, teardown),
	    cmocka_unit_test_setup_teardown(compressed_batches_keep_their_codec, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_table_that_is_full_takes_several_passes, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        what_it_finds_bad_is_known_to_the_next_start, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_producer_is_known_as_before, setup, teardown),
	    cmocka_unit_test_setup_teardown(aborted_records_go_and_shadow_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_marker_that_tells_its_producers_epoch_stays, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_open_transaction_is_waited_for, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_large_batch_does_not_keep_its_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        what_is_kept_is_as_it_was_wherever_the_horizon_is, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        more_producers_than_are_held_stop_no_compaction, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        transactions_of_more_producers_than_are_held, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_scan_goes_on_in_the_generation_it_began, setup, teardown),
	    cmocka_unit_test_setup_teardown(old_files_go_when_nobody_reads_them, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        retention_and_deletion_meet_a_compaction, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_looks_as_often_as_it_is_told, setup, teardown),
	};
	return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}
