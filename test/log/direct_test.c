/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DIRECT frames: written once, past the page cache, to their segment. What is read back, what
 * padding does, and what recovery says when the bytes of one are not there.
 */
#include "test/lib/log_world.h"
#include <stdio.h>

enum { DIRECT_BYTES = 2000, LARGE = 3000, SMALL = 100 };
#define SEGMENT_0 "/data/topics/topic0-0/00000000000000000000.log"
#define INDEX_0   "/data/topics/topic0-0/00000000000000000000.idx"

static bool small_journal;

static void configure(struct log_world *world)
{
	if (small_journal)
		world->f.options.journal_bytes = 288 * KIB;
	world->f.options.direct_bytes = DIRECT_BYTES;
	world->f.topics[1].config.segment_bytes = 40000;
	world->f.topics[2].config.durability = LOG_DURABILITY_NONE;
}

static struct log_world w = {.configure = configure};

/* ---- content ---- */

/* Record number i of topic 0: every third is small. */
static size_t value_len(int i)
{
	return i % 3 == 2 ? SMALL : LARGE;
}

static void fill(int topic, int from, int to)
{
	for (int i = from; i < to; i++)
		assert_int_equal(log_put_ok(&w.f, topic, 0, (uint64_t)i + 1, 1, value_len(i)), i);
}

static int64_t end_of(int topic)
{
	return w.f.partitions[topic][0]->visible_end;
}

static void assert_readable(int topic, int from, int to)
{
	struct log_read r;
	log_world_assert_readable(&w, topic, from, to);
	for (int64_t i = from; i < to; i = r.next_offset) { /* as a consumer goes */
		assert_ok(log_read_wait(&w.f, topic, 0, i, 5000, &r));
		assert_true(r.batch_count > 0);
		log_read_release(&r);
	}
}

static char lines[8192];

static void collect(void *ctx, struct str line)
{
	(void)ctx;
	size_t used = strlen(lines);
	snprintf(lines + used, sizeof(lines) - used, STR_FMT "\n", STR_ARG(line));
}

/* fsck of the directory of a server that is gone; the fixture has no catalog, which fsck says. */
static void assert_fsck(const char *verdict, bool expected)
{
	struct log_fsck_options options = {0};
	char text[64];
	lines[0] = '\0';
	enum err e = log_fsck(w.io, "/data", &options, collect, NULL);
	(void)e;
	err_clear();
	snprintf(text, sizeof(text), "verdict=%s ", verdict);
	if ((strstr(lines, text) != NULL) != expected)
		fail_msg("%s %s in:\n%s", text, expected ? "not" : "is", lines);
}

/* Position of the frame with sequence `sequence` in segment 0; 0 = none. */
static uint32_t frame_pos(uint64_t sequence, struct frame *ret_frame)
{
	struct segment_header h;
	struct segment_walk walk;
	struct bytes batch;
	char name[TOPIC_NAME_MAX + 1];
	uint32_t pos = 0, found = 0;
	struct io_stat st;
	int fd;
	assert_ok(io_open(w.io, SEGMENT_0, IO_READONLY, &fd));
	assert_ok(io_fstat(w.io, fd, &st));
	assert_ok(segment_file_header(w.io, fd, name, &h));
	segment_walk_init(&walk, w.io, fd, frame_seed_of(h.seed), 0);
	segment_walk_range(&walk, SEGMENT_HEADER_BYTES, (uint32_t)st.size_bytes);
	while (!found && segment_walk_next(&walk, ret_frame, &pos, &batch) == ERR_OK)
		if (ret_frame->sequence == sequence)
			found = pos;
	segment_walk_release(&walk);
	assert_ok(io_close(w.io, fd));
	return found;
}

/* ---- tests ---- */

static void large_batches_go_direct_and_are_read_from_memory_and_disk(void **state)
{
	struct frame f;
	(void)state;
	fill(0, 0, 12);
	assert_false(list_empty(&w.f.log->tail.cached));
	assert_readable(0, 0, 12);
	uint32_t pos = frame_pos(1, &f);
	assert_int_equal(f.flags, FRAME_DIRECT);
	assert_int_equal(pos % 4096, 0);
	frame_pos(3, &f); /* the small one */
	assert_int_equal(f.flags, 0);
	log_world_end(&w, WORLD_STOPPED);
	assert_fsck("DAMAGED", false);
	assert_ok(log_fixture_open(&w.f));
	assert_true(list_empty(&w.f.log->tail.cached));
	assert_readable(0, 0, 12);
	fill(0, 12,
	    15); /* padding before the first of a new round, in a block that is durable already */
	assert_readable(0, 0, 15);
}

static void the_tail_cache_is_bounded(void **state)
{
	struct log *log = w.f.log;
	(void)state;
	for (int i = 0; i < 600; i++)
		log_put_ok(&w.f, 0, 0, (uint64_t)i + 1, 1, LARGE);
	assert_true(log->tail.cached_bytes <= TAIL_BYTES_MAX);
	assert_true(log->tail.spare_bytes <= TAIL_SPARE_MAX);
	struct log_read r;
	for (int i = 0; i < 600; i += 37) {
		assert_ok(log_read_wait(&w.f, 0, 0, i, 1, &r));
		assert_int_equal(log_batch_tag(r.batches[0]), i + 1);
		log_read_release(&r);
	}
}

/* Reads as two consumers do, one behind the other, in pieces of different sizes. */
static void assert_two_readers(int to)
{
	enum { READERS = 2 };
	static const size_t most[] = {100 * KIB, 1, 600 * KIB, 70 * KIB};
	int64_t at[READERS] = {0};
	struct log_read r;
	for (int turn = 0; at[READERS - 1] < to; turn++) {
		int64_t *offset = &at[turn % READERS];
		if (*offset >= to || (turn % READERS && turn < 3 * READERS))
			continue;
		assert_ok(log_read_wait(&w.f, 0, 0, *offset, most[turn % 7 % 4], &r));
		assert_true(r.batch_count > 0);
		for (size_t i = 0; i < r.batch_count; i++)
			assert_int_equal(log_batch_tag(r.batches[i]), *offset + (int64_t)i + 1);
		*offset += (int64_t)r.batch_count;
		assert_int_equal(r.next_offset, *offset);
		log_read_release(&r);
	}
}

/* The simulated page cache says by chance that it has or lacks something. */
static void what_the_page_cache_lacks_is_read_past_it(void **state)
{
	enum { COUNT = 900 };
	(void)state;
	fill(0, 0, COUNT / 2);
	log_put_ok(&w.f, 0, 0, COUNT / 2 + 1, 1, 200 * KIB); /* more than one read asks for */
	fill(0, COUNT / 2 + 1, COUNT);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	assert_two_readers(COUNT);
	const struct segment *s = partition_active(w.f.partitions[0][0]);
	assert_true(s && s->read_direct);
	assert_two_readers(COUNT);
	log_world_end(&w, WORLD_STOPPED);
	w.options.refuse_direct = true; /* another file system now */
	log_world_boot(&w);
	assert_ok(log_fixture_open(&w.f));
	assert_two_readers(COUNT);
}

static void direct_frames_survive_kill_and_power_cut(void **state)
{
	(void)state;
	fill(0, 0, 10);
	fill(1, 0, 40); /* rolls */
	for (int i = 0; i < 4; i++) {
		log_world_end(&w, i % 2 ? WORLD_CUT : WORLD_KILLED);
		assert_fsck("DAMAGED", false);
		assert_fsck("TORN_ROUND", false);
		assert_ok(log_fixture_open(&w.f));
		log_world_assert_told(&w, "damaged", false);
		assert_int_equal(end_of(0), 10 + i);
		assert_readable(0, 0, 10 + i);
		assert_readable(1, 0, 40);
		fill(0, 10 + i, 11 + i);
	}
}

static void a_last_round_without_its_direct_bytes_is_torn(void **state)
{
	struct frame f;
	(void)state;
	fill(0, 0, 4);
	log_world_end(&w, WORLD_KILLED);
	log_world_flip(&w, SEGMENT_0, frame_pos(4, &f) + FRAME_HEADER_BYTES + 1000, 0x10);
	assert_fsck("TORN_ROUND", true);
	assert_fsck("DAMAGED", false);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "torn_round", true);
	log_world_assert_told(&w, "torn_tail", true);
	log_world_assert_told(&w, "damaged", false);
	assert_int_equal(end_of(0), 3);
	assert_readable(0, 0, 3);
	fill(0, 3, 6); /* in its place, under its number */
	log_world_end(&w, WORLD_CUT);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "torn_round", false);
	assert_int_equal(end_of(0), 6);
	assert_readable(0, 0, 6);
	assert_int_equal(w.f.log->durable_sequence, 6);
}

static void an_earlier_round_without_its_direct_bytes_is_damaged(void **state)
{
	struct log_read r;
	struct frame f;
	(void)state;
	fill(0, 0, 4);
	log_world_end(&w, WORLD_KILLED);
	log_world_flip(&w, SEGMENT_0, frame_pos(1, &f) + 20,
	    0x10); /* its header: not served, and nothing is cut */
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "torn_round", false);
	log_world_assert_told(&w, "damaged", true);
	assert_int_equal(end_of(0), 4);
	assert_int_equal(log_read_wait(&w.f, 0, 0, 0, 1, &r), ERR_CORRUPT);
	log_read_release(&r);
	assert_readable(0, 1, 4);
}

static void a_bad_body_of_an_earlier_round_is_told_when_it_is_read(void **state)
{
	struct log_read r;
	struct frame f;
	(void)state;
	fill(0, 0, 4);
	log_world_end(&w, WORLD_KILLED);
	log_world_flip(&w, SEGMENT_0, frame_pos(2, &f) + FRAME_HEADER_BYTES + 500, 0x10);
	assert_fsck("DAMAGED", true);
	assert_ok(log_fixture_open(&w.f));
	assert_int_equal(log_read_wait(&w.f, 0, 0, 1, 1, &r), ERR_CORRUPT);
	log_read_release(&r);
	assert_readable(0, 2, 4);
}

/* ---- a journal of 68 blocks, and a DIRECT frame that the last entry names, at each place of it ---- */

enum { BLOCKS = 72, HUGE_LEN = 24000 };

static int small_setup(void **state)
{
	small_journal = true;
	return log_world_setup(state);
}

static int small_teardown(void **state)
{
	small_journal = false;
	return log_world_teardown(state);
}

/* `n` rounds of a block each, and one with a large DIRECT frame; then the server is killed. */
static void fill_and_kill(int n)
{
	for (int i = 0; i <= n; i++) {
		int64_t at = end_of(0);
		size_t len = i == n ? HUGE_LEN : SMALL;
		assert_int_equal(log_put_ok(&w.f, 0, 0, (uint64_t)at + 1, 1, len), at);
	}
	log_world_end(&w, WORLD_KILLED);
}

static void a_copy_of_the_last_entry_has_room_at_each_place(void **state)
{
	(void)state;
	for (int n = 0; n < BLOCKS; n++) {
		int64_t end = end_of(0) + n + 1;
		fill_and_kill(n);
		assert_ok(log_fixture_open(&w.f));
		assert_int_equal(end_of(0), end);
		assert_readable(0, (int)end - n - 1, (int)end);
	}
}

/* The journal goes on where it was, perhaps before the entry; its number is given again. */
static void a_torn_round_does_not_come_back_at_any_place(void **state)
{
	(void)state;
	for (int n = 0; n < BLOCKS; n++) {
		int64_t end = end_of(0) + n;
		fill_and_kill(n);
		log_world_flip(&w, SEGMENT_0, log_world_size(&w, SEGMENT_0) - HUGE_LEN / 2, 0x10);
		assert_ok(log_fixture_open(&w.f));
		assert_int_equal(end_of(0), end);
		for (int64_t i = end; i < end + 2; i++)
			log_put_ok(&w.f, 0, 0, (uint64_t)i + 1, 1, SMALL);
		log_world_end(&w, WORLD_KILLED);
		assert_ok(log_fixture_open(&w.f));
		assert_false(w.f.partitions[0][0]->damaged);
		assert_int_equal(end_of(0), end + 2);
		assert_readable(0, (int)end, (int)end + 2);
	}
}

/* Append times go on from what was put back, whatever the wall clock says. */
static void append_times_go_on_behind_direct_frames(void **state)
{
	struct frame before, after;
	(void)state;
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f)); /* what follows is not in its record */
	sim_io_jump_clock(w.io, 60 * S_NS);
	log_put_ok(&w.f, 0, 0, 1, 1, LARGE);
	uint64_t entry = w.f.log->journal.next_number;
	while (
	    w.f.log->journal.next_number == entry) /* a mark: what is last has its bytes copied */
		log_fixture_turn(&w.f);
	log_world_end(&w, WORLD_KILLED);
	frame_pos(1, &before);
	assert_ok(log_fixture_open(&w.f));
	log_put_ok(&w.f, 0, 0, 2, 1, LARGE);
	assert_true(frame_pos(2, &after) > 0);
	assert_true(before.append_time_ns > 50 * S_NS + io_clock_ns(w.io, IO_CLOCK_REALTIME));
	assert_true(after.append_time_ns >= before.append_time_ns);
}

/* A failed flush leaves pages that look written: recovery must not believe them. */
static void a_round_whose_flush_failed_is_there_for_good_or_not_at_all(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth <= 3; nth++) {
		int64_t before = end_of(0), after;
		size_t len;
		uint8_t *batch = log_batch_new((uint64_t)before + 1, 1, LARGE, &len);
		sim_io_fault(
		    w.io, (struct sim_fault){
		              .calls = SIM_CALL_SYNC, .nth = nth, .count = 1, .sys_errno = 5});
		enum err e = log_put_wait(&w.f, 0, 0, batch, len, NULL);
		log_world_end(&w, WORLD_KILLED);
		assert_ok(log_fixture_open(&w.f));
		after = end_of(0);
		assert_true(after == before + 1 || (after == before && e != ERR_OK));
		log_world_end(&w, WORLD_CUT);
		assert_ok(log_fixture_open(&w.f));
		assert_int_equal(end_of(0), after);
		log_world_assert_told(&w, "damaged", false);
		for (int64_t i = 0; i < after; i++) {
			struct log_read r;
			assert_ok(log_read_wait(&w.f, 0, 0, i, 1, &r));
			log_read_release(&r);
		}
	}
}

static void an_index_is_made_again_over_padding(void **state)
{
	(void)state;
	fill(0, 0, 11); /* ends with padding */
	log_world_end(&w, WORLD_STOPPED);
	log_world_flip(&w, INDEX_0, 4, 0x10);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "rebuilt", true);
	log_world_assert_told(&w, "torn_tail", false);
	assert_int_equal(end_of(0), 11);
	assert_readable(0, 0, 11);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "rebuilt", false);
}

static void without_o_direct_every_frame_is_inline(void **state)
{
	struct frame f;
	(void)state;
	log_world_end(&w, WORLD_STOPPED);
	w.options.refuse_direct = true;
	log_world_boot(&w);
	assert_ok(log_fixture_open(&w.f));
	fill(0, 0, 5);
	assert_readable(0, 0, 5);
	frame_pos(1, &f);
	assert_int_equal(f.flags, 0);
	assert_true(list_empty(&w.f.log->tail.cached));
}

static void sets_may_mix_direct_and_inline_over_partitions(void **state)
{
	enum { N = 9 };
	struct log_put puts[N];
	struct log_append *reqs[N];
	int next[2] = {0, 0};
	(void)state;
	for (int i = 0; i < N; i++) {
		int topic = i % 2;
		size_t len;
		uint8_t *batch = log_batch_new((uint64_t)next[topic] + 1, 1, value_len(i), &len);
		next[topic]++;
		log_put_init(&puts[i], &w.f, topic, 0, batch, len);
		reqs[i] = &puts[i].req;
	}
	log_append(w.f.log, reqs, N, true);
	for (int i = 0; i < N; i++) {
		log_put_await(&puts[i]);
		assert_ok(puts[i].req.err);
		log_put_release(&puts[i]);
	}
	log_world_end(&w, WORLD_CUT);
	assert_ok(log_fixture_open(&w.f));
	assert_readable(0, 0, next[0]);
	assert_readable(1, 0, next[1]);
}

/* An answer, not a search without end. */
static void a_frame_whose_file_was_cut_under_a_server_is_damage(void **state)
{
	struct log_read r;
	int fd;
	(void)state;
	fill(0, 0, 4);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	assert_ok(io_open(w.io, SEGMENT_0, 0, &fd));
	assert_ok(io_truncate(w.io, fd, 2 * SEGMENT_HEADER_BYTES + 500));
	assert_ok(io_close(w.io, fd));
	assert_readable(0, 0, 1);
	assert_int_equal(log_read_wait(&w.f, 0, 0, 1, 64 * KIB, &r), ERR_CORRUPT);
	assert_int_equal(r.next_offset, 2);
	log_read_release(&r);
	log_world_assert_told(&w, "damaged", true);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, log_world_setup, log_world_teardown, &w)
#define SMALL_TEST(name)                                                                           \
	cmocka_unit_test_prestate_setup_teardown(name, small_setup, small_teardown, &w)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(large_batches_go_direct_and_are_read_from_memory_and_disk),
	    TEST(the_tail_cache_is_bounded),
	    TEST(what_the_page_cache_lacks_is_read_past_it),
	    TEST(direct_frames_survive_kill_and_power_cut),
	    TEST(a_last_round_without_its_direct_bytes_is_torn),
	    TEST(an_earlier_round_without_its_direct_bytes_is_damaged),
	    TEST(a_bad_body_of_an_earlier_round_is_told_when_it_is_read),
	    TEST(a_round_whose_flush_failed_is_there_for_good_or_not_at_all),
	    TEST(a_frame_whose_file_was_cut_under_a_server_is_damage),
	    SMALL_TEST(a_copy_of_the_last_entry_has_room_at_each_place),
	    SMALL_TEST(a_torn_round_does_not_come_back_at_any_place),
	    TEST(append_times_go_on_behind_direct_frames),
	    TEST(an_index_is_made_again_over_padding),
	    TEST(without_o_direct_every_frame_is_inline),
	    TEST(sets_may_mix_direct_and_inline_over_partitions),
	};
	return cmocka_run_group_tests_name("direct", tests, NULL, NULL);
}
