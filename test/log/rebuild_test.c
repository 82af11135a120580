/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck --rebuild-journal is cut short at each of its calls, by a kill and by a power cut: what then
 * starts, or is rebuilt again, knows what the whole one would have known.
 */
#include "log/offline.h"
#include "test/lib/log_lines.h"
#include "test/lib/log_world.h"
#include <stdio.h>

enum { RECORDS = 10 };

static struct log_world w;

#define SEGMENT "/data/topics/topic0-0/00000000000000000000.log"

static void replace(struct sim_disk *disk)
{
	struct sim_disk *old = w.disk;
	w.disk = disk;
	log_world_boot(&w);
	sim_disk_free(old);
	err_clear();
}

static enum err rebuild(void)
{
	const struct log_fsck_options options = {.journal_bytes = 64 * KIB};
	log_lines_clear();
	return log_rebuild_journal(w.io, "/data", &options, log_lines_collect, NULL);
}

/* ---- what is lost before the tool comes ------------------------------------------------------ */

static void records_lose(void)
{
	log_world_lose_records(&w);
}

static void file_lose(void)
{
	assert_ok(io_unlink(w.io, "/data/journal/journal-2"));
}

/* Records that were acknowledged, at a frame's edge, and a file of the journal. */
static void end_lose(void)
{
	struct log_read r;
	assert_ok(log_fixture_open(&w.f));
	assert_ok(log_read_wait(&w.f, 0, 0, 0, 1, &r));
	size_t frame = FRAME_HEADER_BYTES + r.batches[0].len;
	log_read_release(&r);
	log_world_end(&w, WORLD_STOPPED);
	log_world_cut(&w, SEGMENT, SEGMENT_HEADER_BYTES + (RECORDS - 5) * frame);
	file_lose();
}

/* ---- what must hold ---------------------------------------------------------------------- */

/* What is appended is there after power cuts, too: the new names are durable. */
static void go_on(void)
{
	static const enum log_world_end ends[] = {WORLD_CUT, WORLD_STOPPED, WORLD_CUT};
	for (int i = 0; i < 3; i++) {
		log_world_assert_readable(&w, 0, 0, RECORDS + i);
		assert_int_equal(
		    log_put_ok(&w.f, 0, 0, (uint64_t)(RECORDS + i + 1), 1, 20), RECORDS + i);
		log_world_end(&w, ends[i]);
		assert_ok(log_fixture_open(&w.f));
		log_world_assert_told(&w, "journal_rot", false);
	}
	log_world_assert_readable(&w, 0, 0, RECORDS + 3);
}

/* A start, of which nothing stays: ERR_OK with all records, or refused. */
static enum err start(bool lost)
{
	struct sim_disk *before = sim_disk_clone(w.disk);
	enum err e = log_fixture_open(&w.f);
	if (e == ERR_OK) {
		assert_false(lost);
		go_on();
	}
	replace(before);
	return e;
}

static void check_between(bool lost)
{
	enum err e = start(lost);
	if (e != ERR_OK && e != ERR_NO_JOURNAL && !(lost && e == ERR_LOST_SUFFIX))
		fail_msg("a start in between: %s", err_name(e));
}

static void check_after(enum err e, bool lost)
{
	if (e != ERR_REFUSED && lost)
		log_lines_say("verdict=LOST_SUFFIX partition=topic0-0");
	if (e != ERR_REFUSED && e != ERR_CORRUPT) /* no catalog: ORPHAN */
		fail_msg("rebuilt: %s: %s", err_name(e), err_chain());
	enum err started = start(lost);
	if (started != (lost ? ERR_LOST_SUFFIX : ERR_OK))
		fail_msg("a start after it: %s: %s", err_name(started), err_chain());
}

/* Falls at call `nth`; false: it came to its end before. */
static bool fall(uint64_t nth, bool kill, enum err *ret_err)
{
	sim_io_fall_at(w.io, nth, kill, nth);
	*ret_err = rebuild();
	sim_io_fall_at(w.io, 0, kill, nth);
	struct sim_disk *fallen = sim_io_fallen(w.io);
	if (!fallen)
		return false;
	replace(fallen);
	return true;
}

static void everywhere(void (*lose)(void), enum log_world_end end, bool lost)
{
	enum err e;
	uint64_t calls[2] = {0, 0};
	for (int i = 0; i < RECORDS; i++)
		assert_int_equal(log_put_ok(&w.f, 0, 0, (uint64_t)i + 1, 1, 500), i);
	log_world_end(&w, end);
	lose();
	struct sim_disk *base = sim_disk_clone(w.disk);
	for (int kill = 0; kill < 2; kill++) {
		for (uint64_t nth = 1;; nth++, calls[kill]++) {
			replace(sim_disk_clone(base));
			if (!fall(nth, kill, &e))
				break;
			check_between(lost);
			/* the next one, too, somewhere */
			if (fall(1 + nth * 37 % 90, nth % 2, &e)) {
				check_between(lost);
				e = rebuild();
			}
			check_after(e, lost);
		}
		check_after(e, lost);
	}
	assert_true(calls[0] > 60 && calls[1] > 60);
	sim_disk_free(base);
}

static void a_lost_end_is_missed_wherever_a_rebuild_is_cut_short(void **state)
{
	(void)state;
	everywhere(end_lose, WORLD_STOPPED, true);
}

static void a_lost_file_is_made_again_wherever_a_rebuild_is_cut_short(void **state)
{
	(void)state;
	everywhere(file_lose, WORLD_KILLED, false);
}

static void a_lost_record_is_made_again_wherever_a_rebuild_is_cut_short(void **state)
{
	(void)state;
	everywhere(records_lose, WORLD_KILLED, false);
}

/* ---- what is kept ---------------------------------------------------------------------------- */

static size_t quarantined(void)
{
	struct io_names names;
	assert_ok(io_list(w.io, "/data/quarantine", &names));
	size_t count = names.count;
	io_names_release(&names);
	return count;
}

/* Two within a second: the second one does not take the names of the first. */
static void what_was_kept_is_not_replaced(void **state)
{
	(void)state;
	log_world_end(&w, WORLD_STOPPED);
	for (size_t n = 1; n <= 3; n++) {
		struct io_names names;
		assert_ok(io_list(w.io, "/data/journal", &names));
		size_t there = names.count, before = n > 1 ? quarantined() : 0;
		io_names_release(&names);
		file_lose();
		(void)rebuild();
		err_clear();
		/* all that was there went */
		assert_int_equal(quarantined(), before + there - 1);
	}
}

/* Ranges that were burnt and that the catalog has not named stay named. */
static void burnt_ranges_of_the_old_record_stay(void **state)
{
	struct offline_record record;
	(void)state;
	for (int i = 0; i < RECORDS; i++)
		assert_int_equal(log_put_ok(&w.f, 0, 0, (uint64_t)i + 1, 1, 500), i);
	log_world_end(&w, WORLD_STOPPED);
	assert_ok(offline_record_read(w.io, "/data/journal", &record));
	uint64_t sequence = record.record.header.sequence;
	record.record.header.gap_count = 1;
	record.record.gaps[0] = (struct checkpoint_gap){sequence + 1, sequence + 40};
	record.record.header.sequence = sequence + 40;
	assert_ok(offline_record_write(w.io, "/data/journal", &record));
	offline_record_release(&record);
	for (int n = 0; n < 2; n++) {
		file_lose();
		(void)rebuild();
		err_clear();
		assert_ok(offline_record_read(w.io, "/data/journal", &record));
		assert_int_equal(record.record.header.gap_count, 1);
		assert_int_equal(record.record.gaps[0].first, sequence + 1);
		assert_int_equal(record.record.gaps[0].last, sequence + 40);
		assert_int_equal(record.record.header.sequence, sequence + 40);
		offline_record_release(&record);
	}
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_prestate_setup_teardown(name, log_world_setup, log_world_teardown, &w)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_lost_end_is_missed_wherever_a_rebuild_is_cut_short),
	    TEST(a_lost_file_is_made_again_wherever_a_rebuild_is_cut_short),
	    TEST(a_lost_record_is_made_again_wherever_a_rebuild_is_cut_short),
	    TEST(what_was_kept_is_not_replaced),
	    TEST(burnt_ranges_of_the_old_record_stay),
	};
	return cmocka_run_group_tests_name("rebuild", tests, NULL, NULL);
}
