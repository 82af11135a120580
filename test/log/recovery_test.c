/* SPDX-License-Identifier: Apache-2.0 */
/* One test per verdict of recovery (reliability: recovery verdicts): what is found, what is said,
 * what is kept. */
#include "test/lib/log_lines.h"
#include "test/lib/log_world.h"
#include <stdio.h>
#include <stdlib.h>

static void configure(struct log_world *world)
{
	world->f.topics[1].config.segment_bytes = 8000;
	world->f.topics[2].config.durability = LOG_DURABILITY_NONE;
}

static struct log_world w = {.configure = configure};

static void file_append(const char *path, const char *bytes)
{
	int fd;
	uint64_t end = log_world_size(&w, path);
	assert_ok(io_open(w.io, path, 0, &fd));
	assert_ok(io_pwrite(w.io, fd, bytes, strlen(bytes), end));
	assert_ok(io_fsync(w.io, fd));
	assert_ok(io_close(w.io, fd));
}

static size_t quarantined(void)
{
	struct io_names names;
	if (io_list(w.io, "/data/quarantine", &names) != ERR_OK)
		return 0;
	size_t count = names.count;
	io_names_release(&names);
	return count;
}

/* Position in journal-0 of the newest entry with frames. */
static uint64_t journal_last_round(struct journal_entry *ret_entry)
{
	struct journal_iter it;
	struct journal_found f;
	uint64_t pos = 0;
	assert_ok(journal_iter_open(&it, w.io, "/data/journal/journal-0", 0));
	while (journal_iter_next(&it, &f) == ERR_OK)
		if (f.entry.kind == JOURNAL_ROUND) {
			pos = f.pos;
			*ret_entry = f.entry;
		}
	journal_iter_release(&it);
	assert_true(pos > 0);
	return pos;
}

/* Another disk, which is taken; nobody serves it. */
static void world_replace(struct sim_disk *disk)
{
	struct sim_disk *old = w.disk;
	w.disk = disk;
	log_world_boot(&w);
	sim_disk_free(old);
}

/* ---- content ---- */

static void fill(int topic, int from, int to)
{
	for (int i = from; i < to; i++)
		assert_int_equal(log_put_ok(&w.f, topic, 0, (uint64_t)i + 1, 1, 500), i);
}

static int64_t end_of(int topic)
{
	return w.f.partitions[topic][0]->visible_end;
}

static enum err append_one(int topic)
{
	size_t len;
	uint8_t *batch = log_batch_new(999, 1, 10, &len);
	return log_put_wait(&w.f, topic, 0, batch, len, NULL);
}

#define SEGMENT_0 "/data/topics/topic0-0/00000000000000000000.log"
#define INDEX_0   "/data/topics/topic0-0/00000000000000000000.idx"

/* ---- verdicts ---- */

static void torn_round_is_dropped_whole_and_kept_in_quarantine(void **state)
{
	struct journal_entry e;
	(void)state;
	fill(0, 0, 5);
	fill(1, 0, 1);
	log_world_end(&w, WORLD_KILLED);
	log_world_flip(&w, "/data/journal/journal-0",
	    journal_last_round(&e) + JOURNAL_ENTRY_HEADER_BYTES + 40, 0x10);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "torn_round", true);
	log_world_assert_told(&w, "torn_tail", true); /* its bytes in the segment */
	assert_true(quarantined() >= 2);
	assert_int_equal(end_of(0), 5);
	assert_int_equal(end_of(1), 0);
	log_world_assert_readable(&w, 0, 0, 5);
	fill(1, 0, 3);
	assert_int_equal(w.f.log->durable_sequence, 8);
}

static void distrust_puts_back_what_the_page_cache_lost(void **state)
{
	(void)state;
	fill(0, 0, 20);
	log_world_end(&w, WORLD_KILLED);
	uint64_t size = log_world_size(&w, SEGMENT_0);
	log_world_cut(&w, SEGMENT_0, SEGMENT_HEADER_BYTES + 700); /* the pages were never written */
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "distrust", true);
	assert_int_equal(log_world_size(&w, SEGMENT_0), size);
	log_world_assert_readable(&w, 0, 0, 20);
}

static void clean_stop_rewrites_nothing(void **state)
{
	(void)state;
	fill(0, 0, 20);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "distrust", false);
	log_world_assert_told(&w, "rebuilt", false);
	log_world_assert_readable(&w, 0, 0, 20);
}

/* Flips a byte of the journal's entry with sequence `sequence` in it. */
static void journal_flip_at(uint64_t sequence, uint32_t at)
{
	struct journal_iter it;
	struct journal_found f;
	uint64_t pos = 0;
	assert_ok(journal_iter_open(&it, w.io, "/data/journal/journal-0", 0));
	while (journal_iter_next(&it, &f) == ERR_OK)
		if (f.entry.kind == JOURNAL_ROUND && f.entry.first_sequence <= sequence &&
		    sequence <= f.entry.last_sequence)
			pos = f.pos;
	journal_iter_release(&it);
	assert_true(pos > 0);
	log_world_flip(&w, "/data/journal/journal-0", pos + at, 0x10);
}

/* ... of its body. */
static void journal_flip(uint64_t sequence)
{
	journal_flip_at(sequence, JOURNAL_ENTRY_HEADER_BYTES + 200);
}

/* The newest record is lost, and a copy has rotted: the entry that it copied is there still. */
static void an_entry_is_used_where_its_copy_has_rotted(void **state)
{
	struct journal_entry original;
	struct journal_iter it;
	struct journal_found f;
	uint64_t copy = 0;
	(void)state;
	fill(0, 0, 3);
	log_world_end(&w, WORLD_KILLED);
	journal_last_round(&original);
	uint64_t size = log_world_size(&w, SEGMENT_0);
	assert_ok(log_fixture_open(&w.f));
	log_world_end(&w, WORLD_KILLED);
	assert_ok(journal_iter_open(&it, w.io, "/data/journal/journal-0", 0));
	while (journal_iter_next(&it, &f) == ERR_OK)
		if (f.entry.kind == JOURNAL_COPY && f.entry.number == original.number + 1)
			copy = f.pos;
	journal_iter_release(&it);
	assert_true(copy > 0);
	log_world_flip(&w, "/data/journal/journal-0", copy + 300, 0x10);
	log_world_flip(&w, "/data/journal/checkpoint-1", 20, 0x10);
	log_world_flip(&w, SEGMENT_0, size - 100, 0x10);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "journal_rot", true);
	assert_int_equal(end_of(0), 3);
	log_world_assert_readable(&w, 0, 0, 3);
}

static void journal_rot_is_repaired_from_the_segments(void **state)
{
	(void)state;
	fill(0, 0, 10);
	log_world_end(&w, WORLD_KILLED);
	journal_flip(5);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "journal_rot", true);
	log_world_assert_told(&w, "repaired", true);
	log_world_assert_told(&w, "damaged", false);
	assert_int_equal(end_of(0), 10);
	log_world_assert_readable(&w, 0, 0, 10);
	assert_ok(append_one(0));
}

static void journal_rot_of_a_partitions_last_frame_is_repaired_too(void **state)
{
	(void)state;
	fill(0, 0, 5);
	fill(1, 0, 3); /* topic 0 has nothing behind sequence 5 */
	log_world_end(&w, WORLD_KILLED);
	journal_flip(5);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "journal_rot", true);
	log_world_assert_told(&w, "repaired", true);
	assert_int_equal(end_of(0), 5);
	log_world_assert_readable(&w, 0, 0, 5);
	log_world_assert_readable(&w, 1, 0, 3);
}

/* Where frame number n of SEGMENT_0, from 1, is. */
static uint32_t frame_pos(int n)
{
	struct segment_walk walk;
	struct frame frame;
	struct bytes batch;
	struct segment_header h;
	char name[TOPIC_NAME_MAX + 1];
	uint32_t pos = 0;
	int fd;
	assert_ok(io_open(w.io, SEGMENT_0, 0, &fd));
	assert_ok(segment_file_header(w.io, fd, name, &h));
	segment_walk_init(&walk, w.io, fd, frame_seed_of(h.seed), 0);
	segment_walk_range(&walk, SEGMENT_HEADER_BYTES, (uint32_t)log_world_size(&w, SEGMENT_0));
	for (int i = 0; i < n; i++)
		assert_ok(segment_walk_next(&walk, &frame, &pos, &batch));
	segment_walk_release(&walk);
	assert_ok(io_close(w.io, fd));
	return pos;
}

static void journal_rot_without_the_segments_bytes_is_damage(void **state)
{
	struct log_read r;
	(void)state;
	fill(0, 0, 10);
	log_world_end(&w, WORLD_KILLED);
	journal_flip(5);
	uint32_t pos = frame_pos(5);
	log_world_flip(&w, SEGMENT_0, pos + 10, 0x10); /* sequence 5: header */
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "journal_rot", true);
	log_world_assert_told(&w, "damaged", true);
	assert_int_equal(end_of(0), 10);
	log_world_assert_readable(&w, 0, 0, 4);
	assert_int_equal(log_read_wait(&w.f, 0, 0, 4, 1, &r), ERR_CORRUPT);
	log_read_release(&r);
	log_world_assert_readable(&w, 0, 5, 10);
	assert_int_equal(append_one(0), ERR_DAMAGED);
	assert_ok(append_one(1));
}

static enum err fsck(void)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	return log_fsck(w.io, "/data", &options, log_lines_collect, NULL);
}

/*
 * Sequence 5 was the last of topic 0, and a power cut took it out of the segment: nothing behind it
 * shows that it is missing. Its offset was given again.
 */
static void journal_rot_of_the_only_copy_is_no_end(void **state)
{
	(void)state;
	for (int header = 0; header < 2; header++) {
		fill(0, header * 4, 5);
		fill(1, 3 * header, 3 * header + 3);
		uint64_t last = w.f.log->durable_sequence - 3;
		log_world_end(&w, WORLD_KILLED);
		if (header)
			journal_flip_at(last, 9);
		else
			journal_flip(last);
		log_world_cut(&w, SEGMENT_0, frame_pos(5));
		assert_int_equal(fsck(), ERR_CORRUPT);
		log_lines_say("verdict=JOURNAL_ROT");
		log_lines_say("verdict=LOST_SUFFIX");
		assert_int_equal(log_fixture_open(&w.f), ERR_LOST_SUFFIX);
		log_world_assert_told(&w, "lost_suffix", true);
		assert_non_null(strstr(err_chain(), "--accept-lost-suffix"));
		log_world_end(&w, WORLD_KILLED);
		w.f.options.accept_lost_suffix = "disk was restored from a copy";
		assert_ok(log_fixture_open(&w.f));
		assert_int_equal(end_of(0), 4);
		log_world_assert_readable(&w, 0, 0, 4);
		w.f.options.accept_lost_suffix = NULL;
	}
}

static void torn_tail_goes_to_quarantine(void **state)
{
	(void)state;
	fill(0, 0, 5);
	log_world_end(&w, WORLD_KILLED);
	file_append(SEGMENT_0, "what a write left behind that nobody was told of");
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "torn_tail", true);
	assert_int_equal(quarantined(), 1);
	log_world_assert_readable(&w, 0, 0, 5);
	assert_ok(append_one(0));
	log_world_end(&w, WORLD_KILLED);
	assert_ok(log_fixture_open(&w.f)); /* once more: nothing is left to cut */
	log_world_assert_told(&w, "torn_tail", false);
	assert_int_equal(end_of(0), 6);
}

static void damaged_range_is_served_around(void **state)
{
	struct log_read r;
	(void)state;
	fill(0, 0, 10);
	log_world_end(&w, WORLD_STOPPED);
	log_world_flip(
	    &w, SEGMENT_0, SEGMENT_HEADER_BYTES + 1000, 0x10); /* in the body of the second frame */
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_readable(&w, 0, 0, 1);
	assert_int_equal(log_read_wait(&w.f, 0, 0, 1, 1, &r), ERR_CORRUPT);
	assert_int_equal(r.next_offset, 2);
	log_read_release(&r);
	log_world_assert_told(&w, "damaged", true);
	log_world_assert_readable(&w, 0, 2, 10);
	assert_int_equal(append_one(0), ERR_DAMAGED);
	assert_int_equal(w.f.log->damaged_partitions, 1);
	assert_int_equal(log_world_size(&w, SEGMENT_0) > 0, 1); /* nothing is cut */
}

static void lost_suffix_is_refused_unless_accepted(void **state)
{
	(void)state;
	fill(0, 0, 10);
	log_world_end(&w, WORLD_STOPPED);
	log_world_cut(&w, SEGMENT_0, log_world_size(&w, SEGMENT_0) - 700);
	assert_int_equal(log_fixture_open(&w.f), ERR_LOST_SUFFIX);
	log_world_assert_told(&w, "lost_suffix", true);
	log_world_end(&w, WORLD_KILLED);
	w.f.options.accept_lost_suffix = "disk was restored from a copy";
	assert_ok(log_fixture_open(&w.f));
	assert_int_equal(end_of(0), 8);
	log_world_assert_readable(&w, 0, 0, 8);
	assert_true(w.f.partitions[0][0]->lost_suffix);
}

static void a_lost_directory_is_a_lost_suffix(void **state)
{
	(void)state;
	fill(0, 0, 3);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(io_unlink(w.io, SEGMENT_0));
	assert_ok(io_unlink(w.io, INDEX_0));
	assert_ok(io_rmdir(w.io, "/data/topics/topic0-0"));
	assert_int_equal(log_fixture_open(&w.f), ERR_LOST_SUFFIX);
	log_world_assert_told(&w, "lost_suffix", true);
}

static void a_missing_journal_is_refused(void **state)
{
	(void)state;
	fill(0, 0, 3);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(io_unlink(w.io, "/data/journal/journal-2"));
	assert_int_equal(log_fixture_open(&w.f), ERR_NO_JOURNAL);
}

static void a_bad_journal_header_is_written_again(void **state)
{
	(void)state;
	fill(0, 0, 3);
	log_world_end(&w, WORLD_KILLED);
	log_world_flip(&w, "/data/journal/journal-0", 30, 0x10);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "journal_rot", true);
	log_world_assert_readable(&w, 0, 0, 3);
	log_world_end(&w, WORLD_STOPPED);
	for (int i = 0; i < JOURNAL_FILES; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/data/journal/journal-%d", i);
		log_world_flip(&w, path, 30, 0x10);
	}
	assert_int_equal(log_fixture_open(&w.f), ERR_NO_JOURNAL);
}

/*
 * The record has the ends of what has left the journal. A start that made another one of what is
 * there gave offsets again that had been acknowledged.
 */
static void without_a_checkpoint_record_a_start_is_refused(void **state)
{
	static const enum log_world_end ends[] = {WORLD_KILLED, WORLD_STOPPED};
	(void)state;
	for (int i = 0; i < 2; i++) {
		fill(0, i * 10, i * 10 + 10);
		log_world_end(&w, ends[i]);
		struct sim_disk *whole = sim_disk_clone(w.disk);
		log_world_lose_records(&w);
		if (i == 1) /* and the end of what was acknowledged */
			log_world_cut(&w, SEGMENT_0, log_world_size(&w, SEGMENT_0) - 700);
		assert_int_equal(log_fixture_open(&w.f), ERR_NO_JOURNAL);
		assert_non_null(strstr(err_chain(), "--rebuild-journal"));
		assert_int_equal(fsck(), ERR_CORRUPT);
		log_lines_say("verdict=NO_JOURNAL what=checkpoint");
		/* without the data it is the journal's entries that say so */
		assert_ok(io_rename(w.io, "/data/topics", "/data/elsewhere"));
		assert_int_equal(log_fixture_open(&w.f), ERR_NO_JOURNAL);
		assert_int_equal(fsck(), ERR_CORRUPT);
		world_replace(whole);
		assert_ok(log_fixture_open(&w.f));
		log_world_assert_readable(&w, 0, 0, i * 10 + 10);
	}
}

/* Its record is durable before anything else is: no other start is refused for the lack of one. */
static void a_first_start_may_end_at_any_call(void **state)
{
	uint64_t calls = 0;
	(void)state;
	for (int kill = 0; kill < 2; kill++) {
		for (uint64_t n = 1;; n++, calls++) {
			world_replace(sim_disk_new(0));
			sim_io_fall_at(w.io, n, kill, n);
			enum err e = log_fixture_open(&w.f);
			struct sim_disk *fallen = sim_io_fallen(w.io);
			if (!fallen) {
				assert_ok(e);
				break;
			}
			world_replace(fallen);
			err_clear();
			(void)fsck(); /* there may be no lock yet, and topics of no catalog */
			log_lines_say_not("NO_JOURNAL");
			assert_ok(log_fixture_open(&w.f));
			fill(0, 0, 2);
		}
	}
	assert_true(calls > 60);
}

/* Stopped cleanly where the next entry does not fit into the journal's file: it is at the beginning
 * of another one, and the record of the stop must not be believed when the newer one rots. */
static void a_clean_end_at_the_edge_of_a_journal_file(void **state)
{
	(void)state;
	const struct journal *j = &w.f.log->journal;
	int end = 0;
	for (; end < 300 && j->pos + JOURNAL_BLOCK != j->file_bytes; end++)
		fill(0, end, end + 1);
	unsigned before = j->current;
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	j = &w.f.log->journal;
	fill(0, end, end + 1);
	assert_int_not_equal(j->current, before);
	unsigned newest = (unsigned)((w.f.log->checkpointer.counter - 1) % CHECKPOINT_SLOTS);
	log_world_end(&w, WORLD_KILLED);
	char path[64];
	snprintf(path, sizeof(path), "/data/journal/checkpoint-%u", newest);
	log_world_flip(&w, path, 20, 0x10);
	assert_ok(log_fixture_open(&w.f));
	assert_int_equal(end_of(0), end + 1);
	log_world_assert_readable(&w, 0, 0, end + 1);
}

static void a_missing_segment_in_the_middle_is_contained(void **state)
{
	struct log_segment_status seg;
	struct log_read r;
	char path[128], name[SEGMENT_NAME_BYTES];
	(void)state;
	fill(1, 0, 40);
	assert_true(log_segment_status(w.f.partitions[1][0], 1, &seg));
	log_world_end(&w, WORLD_STOPPED);
	snprintf(path, sizeof(path), "/data/topics/topic1-0/%s",
	    segment_name(seg.base_offset, ".log", name));
	assert_ok(io_unlink(w.io, path));
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "missing_segment", true);
	assert_int_equal(end_of(1), 40);
	log_world_assert_readable(&w, 1, 0, (int)seg.base_offset);
	assert_int_equal(log_read_wait(&w.f, 1, 0, seg.base_offset, 1, &r), ERR_CORRUPT);
	assert_int_equal(r.next_offset, seg.end_offset);
	log_read_release(&r);
	log_world_assert_readable(&w, 1, (int)seg.end_offset, 40);
	assert_int_equal(append_one(1), ERR_DAMAGED);
}

/*
 * Killed while segments below the log start were being unlinked, one that nobody read any more
 * before an older one that somebody did: the journal still had frames of it, and the start was
 * refused with LOST_SUFFIX.
 */
/* Of a segment of topic 1, by number. */
static int64_t base_of(size_t index)
{
	const struct segment *s = partition_segment(w.f.partitions[1][0], index);
	assert_non_null(s);
	ASSERT(s);
	return s->base_offset;
}

static void segments_below_the_log_start_may_go_in_any_order(void **state)
{
	struct log_segment_status seg;
	char path[128], name[SEGMENT_NAME_BYTES];
	(void)state;
	fill(1, 0, 40);
	assert_true(log_segment_status(w.f.partitions[1][0], 1, &seg));
	log_world_end(&w, WORLD_KILLED); /* the journal has it all */
	snprintf(path, sizeof(path), "/data/topics/topic1-0/%s",
	    segment_name(seg.base_offset, ".log", name));
	assert_ok(io_unlink(w.io, path));
	w.f.log_start[1][0] = seg.end_offset;
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "lost_suffix", false);
	log_world_assert_told(&w, "missing_segment", false);
	assert_int_equal(end_of(1), 40);
	log_world_assert_readable(&w, 1, (int)seg.end_offset, 40);
	assert_int_equal(append_one(1), ERR_OK);
}

/* Everything was deleted but a file that would not go, and a segment without frames is the end. */
static void the_end_is_an_empty_segment_behind_a_leftover(void **state)
{
	char path[128], name[SEGMENT_NAME_BYTES];
	for (int clean = 0; clean < 2; clean++) {
		int from = 40 * clean;
		(void)state;
		fill(1, from, from + 40);
		struct log_partition *p = w.f.partitions[1][0];
		uint32_t before = p->segment_count;
		partition_roll(p);
		for (int i = 0; i < 1000 && p->segment_count == before; i++)
			log_fixture_turn(&w.f);
		assert_int_equal(p->segment_count, before + 1);
		int64_t base[64];
		for (uint32_t i = 0; i < before; i++)
			base[i] = base_of(i);
		log_world_end(&w, clean ? WORLD_STOPPED : WORLD_KILLED);
		for (uint32_t i = 1; i < before; i++) {
			snprintf(path, sizeof(path), "/data/topics/topic1-0/%s",
			    segment_name(base[i], ".log", name));
			assert_ok(io_unlink(w.io, path));
		}
		w.f.log_start[1][0] = from + 40;
		assert_ok(log_fixture_open(&w.f));
		log_world_assert_told(&w, "lost_suffix", false);
		assert_int_equal(end_of(1), from + 40);
	}
	assert_int_equal(append_one(1), ERR_OK);
}

/* The same where the records should be there: the others are served. */
static void a_segment_in_the_middle_that_the_journal_knows_is_missed(void **state)
{
	struct log_segment_status seg;
	char path[128], name[SEGMENT_NAME_BYTES];
	(void)state;
	fill(1, 0, 40);
	assert_true(log_segment_status(w.f.partitions[1][0], 1, &seg));
	log_world_end(&w, WORLD_KILLED);
	snprintf(path, sizeof(path), "/data/topics/topic1-0/%s",
	    segment_name(seg.base_offset, ".log", name));
	assert_ok(io_unlink(w.io, path));
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "missing_segment", true);
	log_world_assert_readable(&w, 1, 0, (int)seg.base_offset);
	log_world_assert_readable(&w, 1, (int)seg.end_offset, 40);
	assert_int_equal(append_one(1), ERR_DAMAGED);
}

/* A segment that begins at offset 1, where the first one has records. */
static void create_overlapping_segment(void)
{
	char name[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	int fd;
	assert_ok(io_open(w.io, "/data/topics/topic1-0/00000000000000000000.log", 0, &fd));
	assert_ok(segment_file_header(w.io, fd, name, &h));
	assert_ok(io_close(w.io, fd));
	h.base_offset = 1;
	assert_ok(segment_file_create(w.io, "/data/topics/topic1-0", &h));
}

static void an_empty_segment_of_a_roll_that_failed_is_dropped(void **state)
{
	struct io_stat st;
	(void)state;
	fill(1, 0, 40);
	log_world_end(&w, WORLD_STOPPED);
	create_overlapping_segment();
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "overlap", false);
	log_world_assert_readable(&w, 1, 0, 40);
	assert_int_equal(
	    io_stat(w.io, "/data/topics/topic1-0/00000000000000000001.log", &st), ERR_NOT_FOUND);
	fill(1, 40, 80);
}

/*
 * A roll torn by the cut that took what it followed: nothing is missing before it, however many
 * sequences the first start has burnt, which was refused for something else and left it alone.
 */
static void an_unborn_segment_stays_one_when_a_start_was_refused(void **state)
{
	char name[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	struct io_stat st;
	int fd;
	(void)state;
	fill(2, 0, 3);
	while (w.f.log->durable_sequence < 3)
		log_fixture_turn(&w.f);
	assert_ok(checkpoint_finish(&w.f.log->checkpointer, false));
	log_world_end(&w, WORLD_KILLED);
	assert_ok(io_open(w.io, "/data/topics/topic2-0/00000000000000000000.log", 0, &fd));
	assert_ok(segment_file_header(w.io, fd, name, &h));
	assert_ok(io_close(w.io, fd));
	h.base_offset = 5;
	h.first_sequence = 6; /* 4 and 5 were told, and are gone */
	assert_ok(segment_file_create(w.io, "/data/topics/topic2-0", &h));
	log_world_cut(
	    &w, "/data/topics/topic2-0/00000000000000000000.log", SEGMENT_HEADER_BYTES + 900);
	assert_int_equal(log_fixture_open(&w.f), ERR_LOST_SUFFIX);
	log_world_end(&w, WORLD_KILLED);
	w.f.options.accept_lost_suffix = "test";
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "missing_segment", false);
	assert_false(w.f.partitions[2][0]->damaged);
	assert_int_equal(end_of(2), 1);
	assert_int_equal(
	    io_stat(w.io, "/data/topics/topic2-0/00000000000000000005.log", &st), ERR_NOT_FOUND);
	fill(2, 1, 4);
}

static void overlapping_segments_are_refused(void **state)
{
	(void)state;
	fill(1, 0, 40);
	log_world_end(&w, WORLD_STOPPED);
	create_overlapping_segment();
	file_append("/data/topics/topic1-0/00000000000000000001.log", "records");
	assert_int_equal(log_fixture_open(&w.f), ERR_OVERLAP);
	log_world_assert_told(&w, "overlap", true);
}

static void a_bad_index_is_rebuilt(void **state)
{
	(void)state;
	fill(0, 0, 10);
	fill(1, 0, 40);
	log_world_end(&w, WORLD_STOPPED);
	log_world_flip(&w, INDEX_0, 3, 0x10); /* header */
	log_world_flip(&w, "/data/topics/topic1-0/00000000000000000000.idx",
	    log_world_size(&w, "/data/topics/topic1-0/00000000000000000000.idx") - 20, 0x10);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "rebuilt", true);
	log_world_assert_readable(&w, 0, 0, 10);
	log_world_assert_readable(&w, 1, 0, 40);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(io_unlink(w.io, INDEX_0));
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "rebuilt", true);
	log_world_assert_readable(&w, 0, 0, 10);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f)); /* it was written again */
	log_world_assert_told(&w, "rebuilt", false);
}

/* Rot of a cache while it is in use: read without it, and nothing is called damaged. */
static void an_index_that_rots_under_a_server_damages_nothing(void **state)
{
	const char *index = "/data/topics/topic1-0/00000000000000000000.idx";
	(void)state;
	fill(1, 0, 40);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	for (uint64_t at = INDEX_HEADER_BYTES; at < log_world_size(&w, index);
	     at += INDEX_ENTRY_BYTES) {
		log_world_flip(&w, index, at, 0x10);     /* offsets */
		log_world_flip(&w, index, at + 9, 0x10); /* positions */
	}
	for (int i = 40; i-- > 0;) /* backwards, so that no read knows where the one before ended */
		log_world_assert_readable(&w, 1, i, i + 1);
	log_world_assert_told(&w, "damaged", false);
	log_world_assert_told(&w, "index_bad", true);
	log_world_cut(&w, index, INDEX_HEADER_BYTES + INDEX_ENTRY_BYTES);
	for (int i = 40; i-- > 0;)
		log_world_assert_readable(&w, 1, i, i + 1);
	log_world_assert_told(&w, "damaged", false);
	assert_ok(append_one(1));
}

static const char *segment_path(int64_t base, const char *suffix)
{
	static char path[100];
	char name[SEGMENT_NAME_BYTES];
	snprintf(path, sizeof(path), "/data/topics/topic1-0/%s", segment_name(base, suffix, name));
	return path;
}

static void assert_corrupt(int topic, int64_t offset)
{
	struct log_read r;
	assert_int_equal(log_read_wait(&w.f, topic, 0, offset, 1, &r), ERR_CORRUPT);
	log_read_release(&r);
}

static void a_bad_frame_that_no_index_knows_is_damage_up_to_the_next_segment(void **state)
{
	struct io_stat st;
	(void)state;
	fill(1, 0, 40);
	int64_t next = base_of(1);
	log_world_end(&w, WORLD_STOPPED);
	log_world_flip(&w, segment_path(0, ".log"), SEGMENT_HEADER_BYTES + 20, 0x10);
	assert_ok(io_unlink(w.io, segment_path(0, ".idx")));
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "damaged", true);
	log_world_assert_told(&w, "missing_segment", false);
	assert_corrupt(1, 0);
	assert_corrupt(1, next - 1);
	log_world_assert_readable(&w, 1, (int)next, 40);
	assert_ok(io_stat(w.io, segment_path(0, ".log"), &st)); /* nobody took it for empty */
	assert_int_equal(append_one(1), ERR_DAMAGED);
}

static void a_bad_frame_at_the_end_that_no_index_knows_is_damage(void **state)
{
	(void)state;
	fill(1, 0, 40);
	int64_t base = base_of(w.f.partitions[1][0]->segment_count - 1);
	log_world_end(&w, WORLD_STOPPED);
	log_world_flip(&w, segment_path(base, ".log"), SEGMENT_HEADER_BYTES + 20, 0x10);
	assert_ok(io_unlink(w.io, segment_path(base, ".idx")));
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "damaged", true);
	log_world_assert_told(&w, "lost_suffix", false);
	assert_int_equal(end_of(1), 40);
	log_world_assert_readable(&w, 1, 0, (int)base);
	assert_corrupt(1, base);
	fill(0, 0, 3); /* the rest is served */
}

static void append_from(int32_t sequence, int64_t offset)
{
	struct log_put put;
	size_t len;
	uint8_t *batch = log_batch_from(7, 0, sequence, (uint64_t)sequence + 1, 1, &len);
	assert_ok(log_put_wait(&w.f, 1, 0, batch, len, &put));
	assert_int_equal(put.req.base_offset, offset);
}

/* What is before the roll may go the next moment, and nothing else knows who wrote there. */
static void a_roll_after_a_start_writes_down_the_producers(void **state)
{
	struct io_stat st;
	(void)state;
	fill(1, 0, 3);
	append_from(0, 3);
	log_world_end(&w, WORLD_KILLED);
	assert_ok(log_fixture_open(&w.f));
	partition_roll_soon(w.f.partitions[1][0]);
	assert_int_equal(log_put_ok(&w.f, 1, 0, 5, 1, 500), 4);
	assert_ok(io_stat(w.io, segment_path(4, ".snap"), &st));
	log_world_end(&w, WORLD_KILLED);
	w.f.log_start[1][0] = 4;
	assert_ok(log_fixture_open(&w.f));
	assert_int_equal(w.f.partitions[1][0]->segment_count, 1);
	append_from(0, 3); /* the same batch again */
	append_from(1, 5);
}

#define SEALED       "/data/topics/topic1-0/00000000000000000000.log"
#define SEALED_INDEX "/data/topics/topic1-0/00000000000000000000.idx"

/* The last entry of the sealed segment's index. */
static struct index_entry sealed_last(void)
{
	uint8_t raw[INDEX_ENTRY_BYTES];
	int fd;
	assert_ok(io_open(w.io, SEALED_INDEX, IO_READONLY, &fd));
	assert_ok(io_pread_all(
	    w.io, fd, raw, sizeof(raw), log_world_size(&w, SEALED_INDEX) - sizeof(raw)));
	assert_ok(io_close(w.io, fd));
	return index_entry_decode(raw);
}

static const struct segment *sealed_segment(void)
{
	struct list_node *first = list_first(&w.f.partitions[1][0]->segments);
	assert_non_null(first);
	ASSERT(first);
	return CONTAINER_OF(first, struct segment, node);
}

static void a_sealed_segment_ends_where_its_index_says(void **state)
{
	struct log_read r;
	(void)state;
	fill(1, 0, 40);
	log_world_end(&w, WORLD_STOPPED);
	struct index_entry last = sealed_last();
	log_world_flip(&w, SEALED, last.pos + 20, 0x10); /* a start does not read it */
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "damaged", false);
	assert_int_equal(end_of(1), 40);
	const struct segment *s = sealed_segment();
	assert_int_equal(s->end_offset, last.base_offset + 1);
	assert_int_equal(s->last_sequence, last.sequence);
	assert_int_equal(
	    s->durable_link, CONTAINER_OF(s->node.next, struct segment, node)->previous_link);
	assert_int_equal(
	    log_read_wait(&w.f, 1, 0, last.base_offset, 1, &r), ERR_CORRUPT); /* a reader does */
	log_read_release(&r);
	log_world_assert_told(&w, "damaged", true);
}

static void the_index_of_a_sealed_segment_that_was_cut_is_not_believed(void **state)
{
	(void)state;
	fill(1, 0, 40);
	log_world_end(&w, WORLD_STOPPED);
	log_world_cut(&w, SEALED, sealed_last().pos + 10);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "damaged", true);
	assert_int_equal(append_one(1), ERR_DAMAGED);
}

static void indexes_of_what_was_put_back_are_written_while_serving(void **state)
{
	struct io_stat st;
	(void)state;
	fill(1, 0, 40);
	log_world_end(&w, WORLD_KILLED); /* before any checkpoint */
	assert_int_equal(io_stat(w.io, SEALED_INDEX, &st), ERR_NOT_FOUND);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "distrust", true);
	assert_int_equal(io_stat(w.io, SEALED_INDEX, &st), ERR_NOT_FOUND);
	log_world_assert_readable(&w, 1, 0, 40); /* from memory */
	for (int64_t end = loop_now_ns(w.f.loop) + 6 * S_NS; loop_now_ns(w.f.loop) < end;)
		log_fixture_turn(&w.f);
	assert_int_equal(sealed_last().base_offset, sealed_segment()->end_offset - 1);
	log_world_assert_readable(&w, 1, 0, 40);
	log_world_end(&w, WORLD_KILLED);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "rebuilt", false);
	log_world_assert_readable(&w, 1, 0, 40);
}

static void sequences_that_were_told_too_early_are_burnt_by_name(void **state)
{
	(void)state;
	fill(2, 0, 3); /* a topic that opted out */
	uint64_t told = w.f.log->rounds.next_sequence - 1;
	while (w.f.log->durable_sequence < told) /* the kill would take what is in the air */
		log_fixture_turn(&w.f);
	log_world_end(&w, WORLD_KILLED);
	uint64_t burnt = metric_value(METRIC_BURNT_SEQUENCES);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "gap", true);
	assert_int_equal(w.f.log->gap_count, 1);
	burnt = metric_value(METRIC_BURNT_SEQUENCES) - burnt;
	assert_int_equal(burnt, w.f.log->gaps[0].last - w.f.log->gaps[0].first + 1);
	assert_true(w.f.log->gaps[0].first > told || w.f.log->gaps[0].first <= told);
	assert_int_equal(w.f.log->rounds.next_sequence, w.f.log->gaps[0].last + 1);
	log_world_assert_readable(&w, 2, 0, 3);
	struct log_put put;
	size_t len;
	uint8_t *batch = log_batch_new(7, 1, 1, &len);
	assert_ok(log_put_wait(&w.f, 2, 0, batch, len, &put));
	assert_int_equal(put.req.sequence, w.f.log->gaps[0].last + 1);
}

static void a_clean_stop_burns_nothing(void **state)
{
	(void)state;
	fill(2, 0, 3);
	uint64_t next = w.f.log->rounds.next_sequence;
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "gap", false);
	assert_int_equal(w.f.log->rounds.next_sequence, next);
}

static void data_that_nobody_opens_are_orphans(void **state)
{
	(void)state;
	fill(0, 0, 3);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(loop_new(w.io, 0, &w.f.loop));
	assert_ok(engine_open(w.f.loop, &w.f.options, &w.f.log));
	engine_serve(w.f.log);
	log_world_assert_told(&w, "orphan", true);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(log_fixture_open(&w.f)); /* and still there */
	log_world_assert_readable(&w, 0, 0, 3);
}

static void a_newer_format_is_refused(void **state)
{
	char name[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	uint8_t block[SEGMENT_HEADER_BYTES];
	int fd;
	(void)state;
	fill(0, 0, 3);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(io_open(w.io, SEGMENT_0, 0, &fd));
	assert_ok(segment_file_header(w.io, fd, name, &h));
	h.format_version = SEGMENT_VERSION_REWRITTEN + 1;
	segment_header_encode(&h, block);
	assert_ok(io_pwrite(w.io, fd, block, sizeof(block), 0));
	assert_ok(io_fsync(w.io, fd));
	assert_ok(io_close(w.io, fd));
	assert_int_equal(log_fixture_open(&w.f), ERR_NEWER_FORMAT);
	assert_non_null(
	    strstr(err_chain(), "version") ? err_chain() : strstr(err_chain(), "format"));
}

static void a_segment_without_a_header_was_never_used(void **state)
{
	int fd;
	(void)state;
	fill(0, 0, 3);
	log_world_end(&w, WORLD_KILLED);
	assert_ok(io_open(w.io, "/data/topics/topic0-0/00000000000000000003.log", IO_CREATE, &fd));
	assert_ok(io_close(w.io, fd));
	assert_ok(log_fixture_open(&w.f));
	log_world_assert_told(&w, "torn_tail", true);
	log_world_assert_told(&w, "damaged", false);
	log_world_assert_readable(&w, 0, 0, 3);
	fill(0, 3, 6);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, log_world_setup, log_world_teardown, &w)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(torn_round_is_dropped_whole_and_kept_in_quarantine),
	    TEST(distrust_puts_back_what_the_page_cache_lost),
	    TEST(clean_stop_rewrites_nothing),
	    TEST(an_entry_is_used_where_its_copy_has_rotted),
	    TEST(journal_rot_is_repaired_from_the_segments),
	    TEST(journal_rot_of_a_partitions_last_frame_is_repaired_too),
	    TEST(journal_rot_without_the_segments_bytes_is_damage),
	    TEST(journal_rot_of_the_only_copy_is_no_end),
	    TEST(torn_tail_goes_to_quarantine),
	    TEST(damaged_range_is_served_around),
	    TEST(lost_suffix_is_refused_unless_accepted),
	    TEST(a_lost_directory_is_a_lost_suffix),
	    TEST(a_missing_journal_is_refused),
	    TEST(a_bad_journal_header_is_written_again),
	    TEST(without_a_checkpoint_record_a_start_is_refused),
	    TEST(a_first_start_may_end_at_any_call),
	    TEST(a_clean_end_at_the_edge_of_a_journal_file),
	    TEST(a_missing_segment_in_the_middle_is_contained),
	    TEST(segments_below_the_log_start_may_go_in_any_order),
	    TEST(the_end_is_an_empty_segment_behind_a_leftover),
	    TEST(a_segment_in_the_middle_that_the_journal_knows_is_missed),
	    TEST(an_empty_segment_of_a_roll_that_failed_is_dropped),
	    TEST(an_unborn_segment_stays_one_when_a_start_was_refused),
	    TEST(overlapping_segments_are_refused),
	    TEST(a_bad_index_is_rebuilt),
	    TEST(an_index_that_rots_under_a_server_damages_nothing),
	    TEST(a_bad_frame_that_no_index_knows_is_damage_up_to_the_next_segment),
	    TEST(a_bad_frame_at_the_end_that_no_index_knows_is_damage),
	    TEST(a_roll_after_a_start_writes_down_the_producers),
	    TEST(a_sealed_segment_ends_where_its_index_says),
	    TEST(the_index_of_a_sealed_segment_that_was_cut_is_not_believed),
	    TEST(indexes_of_what_was_put_back_are_written_while_serving),
	    TEST(sequences_that_were_told_too_early_are_burnt_by_name),
	    TEST(a_clean_stop_burns_nothing),
	    TEST(data_that_nobody_opens_are_orphans),
	    TEST(a_newer_format_is_refused),
	    TEST(a_segment_without_a_header_was_never_used),
	};
	return cmocka_run_group_tests_name("recovery", tests, NULL, NULL);
}
