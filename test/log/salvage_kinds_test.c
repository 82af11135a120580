/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Salvage, the new journal and what readers of committed data get of everything that a log may
 * hold: compacted generations, transactions, producers, large batches past the page cache.
 */
#include "log/catalog.h"
#include "log/catalog_change.h"
#include "log/engine.h"
#include "log/frame.h"
#include "test/lib/keyed_log.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include "test/lib/tempdir.h"
#include <stdio.h>
#include <stdlib.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
enum { DIRECT_BYTES = 8 * KIB, TEXT_BYTES = 1 << 16 };
static struct log_server server, copy;
static struct keyed_log k; /* the server, for batches of every kind */
static struct log_files files;
static char *out_parent;
static struct log_salvage_result result;

static void use(const struct log_server *s)
{
	k = (struct keyed_log){.io = s->io, .loop = s->loop, .log = s->log, .options = s->options};
}

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_server_close(&server);
	server.options.direct_bytes = DIRECT_BYTES;
	server.options.checkpoint_ns = 20 * MS_NS;
	log_server_open(&server);
	log_server_init(&copy);
	out_parent = tempdir_new();
	use(&server);
	files = (struct log_files){server.io, server.dir};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	log_server_release(&copy);
	tempdir_remove(out_parent);
	err_clear();
	return 0;
}

static void stop(void)
{
	log_server_close(&server);
}

static const char *out_dir(void)
{
	static char path[4096];
	snprintf(path, sizeof(path), "%s/out", out_parent);
	return path;
}

static void salvage(void)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	assert_ok(log_salvage(
	    server.io, server.dir, out_dir(), &options, log_lines_collect, NULL, &result));
}

static void fsck_is_silent(const char *dir)
{
	const struct log_fsck_options options = {0};
	static char before[TEXT_BYTES];
	memcpy(before, log_lines, sizeof(before));
	log_lines_clear();
	assert_ok(log_fsck(server.io, dir, &options, log_lines_collect, NULL));
	log_lines_say(" findings=0");
	memcpy(log_lines, before, sizeof(before));
}

/* The salvaged directory, served; `k` is it from then on. */
static void open_out(void)
{
	if (copy.log)
		log_server_close(&copy);
	tempdir_remove(copy.dir);
	copy.dir = strdup(out_dir());
	copy.options.data_dir = copy.dir;
	log_server_open(&copy);
	use(&copy);
}

/* ---- what a reader of committed data sees ---------------------------------------------------- */

struct consumer {
	char text[TEXT_BYTES];
	int64_t aborting[64]; /* producers whose batches are to be passed over */
	size_t aborting_count;
};

static bool passed_over(
    struct consumer *r, const struct log_read *read, const struct batch_header *h)
{
	for (size_t i = 0; i < read->aborted_count; i++) {
		const struct log_aborted *a = &read->aborted[i];
		bool known = false;
		for (size_t j = 0; j < r->aborting_count; j++)
			known = known || r->aborting[j] == a->producer_id;
		if (!known && a->producer_id == h->producer_id &&
		    a->first_offset <= h->base_offset) {
			assert_true(r->aborting_count < 64);
			r->aborting[r->aborting_count++] = a->producer_id;
		}
	}
	for (size_t j = 0; j < r->aborting_count; j++)
		if (r->aborting[j] == h->producer_id)
			return true;
	return false;
}

static void add_records(struct consumer *r, struct bytes batch)
{
	struct writer scratch;
	struct record_iter it;
	struct record rec;
	enum err e;
	writer_init(&scratch, MIB);
	assert_ok(record_iter_open(&it, batch, &scratch, MIB));
	while ((e = record_iter_next(&it, &rec)) == ERR_OK) {
		size_t len = strlen(r->text);
		struct str value = bytes_str(rec.value);
		if (value.len > 12)
			value.len = 12;
		snprintf(r->text + len, sizeof(r->text) - len, "%lld:" STR_FMT "=" STR_FMT " ",
		    (long long)rec.offset, STR_ARG(bytes_str(rec.key)), STR_ARG(value));
	}
	assert_int_equal(e, ERR_EOF);
	writer_release(&scratch);
}

static void add_batch(struct consumer *r, const struct log_read *read, struct bytes batch)
{
	struct batch_header h;
	assert_ok(batch_header_read(batch, &h));
	if (!(h.attributes & BATCH_ATTR_CONTROL)) {
		if (!(h.attributes & BATCH_ATTR_TRANSACTIONAL) || !passed_over(r, read, &h))
			add_records(r, batch);
		return;
	}
	for (size_t j = 0; j < r->aborting_count; j++)
		if (r->aborting[j] == h.producer_id)
			r->aborting[j] = r->aborting[--r->aborting_count];
}

static void read_done(struct log_read *read)
{
	*(bool *)read->user = true;
}

/* "offset:key=value ..." and the stable end, as a consumer with isolation.level=read_committed. */
static const char *committed(const char *topic)
{
	static struct consumer reader[2];
	static int turn;
	struct consumer *r = &reader[turn++ % 2];
	struct log_partition_status st;
	*r = (struct consumer){.aborting_count = 0};
	log_partition_status(keyed_partition(&k, topic), &st);
	for (int64_t offset = st.log_start; offset < st.stable_end;) {
		bool done = false;
		struct log_read read = {.partition = keyed_partition(&k, topic),
		    .offset = offset,
		    .max_bytes = 900,
		    .read_committed = true,
		    .user = &done,
		    .done = read_done};
		log_read(k.log, &read);
		while (!done)
			keyed_turn(&k);
		assert_ok(read.err);
		for (size_t i = 0; i < read.batch_count; i++)
			add_batch(r, &read, read.batches[i]);
		bool end = read.batch_count == 0;
		offset = read.next_offset;
		log_read_release(&read);
		if (end)
			break;
	}
	size_t len = strlen(r->text);
	snprintf(r->text + len, sizeof(r->text) - len, "| %lld", (long long)st.stable_end);
	return r->text;
}

/* ---- what is written ------------------------------------------------------------------------- */

static void roll(const char *topic)
{
	partition_roll_soon(keyed_partition(&k, topic));
	keyed_put(&k, topic, "last", "x");
	keyed_sleep(&k, 60 * MS_NS);
}

static int64_t put_of(const char *topic, int64_t producer, int32_t sequence, const char *value)
{
	const struct keyed_record r = {"key", value, 0};
	const struct keyed_how how = {
	    .producer_id = producer, .sequence = sequence, .attributes = BATCH_ATTR_TRANSACTIONAL};
	return keyed_append(&k, topic, &r, 1, &how);
}

/* Two committed transactions, two aborted ones and one that is open, over three segments. */
static void write_transactions(void)
{
	keyed_create(&k, "t", 1 << 20, NULL);
	put_of("t", 100, 0, "in-1");
	put_of("t", 101, 0, "out-1");
	keyed_put(&k, "t", "plain", "1");
	put_of("t", 101, 1, "out-2");
	keyed_marker(&k, "t", 100, 0, true);
	roll("t");
	keyed_marker(&k, "t", 101, 0, false);
	put_of("t", 100, 1, "in-2");
	put_of("t", 102, 0, "out-3");
	keyed_marker(&k, "t", 102, 0, false);
	keyed_marker(&k, "t", 100, 0, true);
	roll("t");
	keyed_put(&k, "t", "plain", "2");
	put_of("t", 103, 0, "open");
	keyed_put(&k, "t", "plain", "3");
}
static const char transactions_text[] =
    "0:key=in-1 2:plain=1 5:last=x 7:key=in-2 11:last=x 12:plain=2 | 13";

static void retry_is_known(const char *topic, int64_t producer, int32_t sequence, int64_t offset)
{
	assert_int_equal(put_of(topic, producer, sequence, "again"), offset);
}

static void trim_done(struct log_trim *req)
{
	*(bool *)req->user = true;
}

static void trim(const char *topic, int64_t offset)
{
	bool done = false;
	struct log_trim req = {.partition = keyed_partition(&k, topic),
	    .offset = offset,
	    .user = &done,
	    .done = trim_done};
	log_trim(k.log, &req);
	while (!done)
		keyed_turn(&k);
	assert_ok(req.err);
	keyed_sleep(&k, 60 * MS_NS); /* the files are unlinked */
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void aborted_transactions_stay_aborted(void **state)
{
	(void)state;
	write_transactions();
	assert_string_equal(committed("t"), transactions_text);
	stop();
	salvage();
	assert_int_equal(result.holes, 0);
	fsck_is_silent(out_dir());
	open_out();
	assert_string_equal(committed("t"), transactions_text);
	retry_is_known("t", 103, 0, 13);
	retry_is_known("t", 100, 1, 7);
	keyed_marker(&k, "t", 103, 0, false);
	log_server_restart(&copy);
	use(&copy);
	assert_string_equal(committed("t"),
	    "0:key=in-1 2:plain=1 5:last=x 7:key=in-2 11:last=x 12:plain=2 14:plain=3 | 16");
}

static void a_new_journal_keeps_them_aborted(void **state)
{
	const struct log_fsck_options options = {0};
	(void)state;
	write_transactions();
	stop();
	log_files_unlink_directory(&files, "journal");
	assert_ok(log_rebuild_journal(server.io, server.dir, &options, log_lines_collect, NULL));
	log_server_open(&server);
	use(&server);
	assert_string_equal(committed("t"), transactions_text);
}

/* The marker of the first aborted transaction is lost with the first batch of a segment. */
static void a_transaction_whose_end_is_lost_is_told(void **state)
{
	(void)state;
	keyed_create(&k, "t", 1 << 20, NULL);
	put_of("t", 101, 0, "out");
	int64_t marker = keyed_marker(&k, "t", 101, 0, false);
	put_of("t", 102, 0, "in");
	keyed_marker(&k, "t", 102, 0, true);
	stop();
	/* the second frame: behind the first */
	struct bytes file;
	const char *name = log_files_segment("t-0", 0, ".log");
	assert_ok(io_read_file(server.io, log_files_path(&files, name), MIB, &file));
	uint32_t first = get_u32_le(file.ptr + SEGMENT_HEADER_BYTES + 8) + FRAME_HEADER_BYTES;
	mem_free((void *)(uintptr_t)file.ptr);
	log_files_flip(&files, name, SEGMENT_HEADER_BYTES + first + FRAME_HEADER_BYTES + 70, 1);
	salvage();
	assert_int_equal(result.lost_offsets, 1);
	log_lines_say("verdict=GAP partition=t-0 what=transaction producer_id=101 first_offset=0 ");
	open_out();
	assert_string_equal(committed("t"), "| 0");
	assert_int_equal(marker, 1);
	keyed_marker(&k, "t", 101, 0, false); /* as an operator ends it */
	assert_string_equal(committed("t"), "2:key=in | 5");
}

static void producers_of_deleted_records_are_known(void **state)
{
	(void)state;
	keyed_create(&k, "t", 1 << 20, NULL);
	put_of("t", 100, 0, "gone");
	keyed_marker(&k, "t", 100, 0, true);
	roll("t");
	keyed_put(&k, "t", "plain", "1");
	trim("t", 3);
	stop();
	salvage();
	open_out();
	assert_string_equal(committed("t"), "3:plain=1 | 4");
	retry_is_known("t", 100, 0, 0);
}

static void compacted_generations_are_copied(void **state)
{
	static const char *const configs[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0", NULL};
	(void)state;
	keyed_create(&k, "t", 1 << 20, configs);
	for (int i = 0; i < 30; i++) {
		char key[16], value[16];
		snprintf(key, sizeof(key), "k%d", i % 4);
		snprintf(value, sizeof(value), "v%d", i);
		keyed_put(&k, "t", key, value);
		if (i % 10 == 9)
			roll("t");
	}
	put_of("t", 100, 0, "aborted");
	keyed_marker(&k, "t", 100, 0, false);
	roll("t");
	keyed_compact(&k);
	keyed_put(&k, "t", "k1", "new");
	char want[TEXT_BYTES];
	snprintf(want, sizeof(want), "%s", committed("t"));
	assert_non_null(strstr(want, "k1=new"));
	assert_null(strstr(want, "=v1 "));
	stop();
	assert_false(log_files_exist(&files, log_files_segment("t-0", 0, ".log")));
	salvage();
	assert_int_equal(result.holes, 0);
	fsck_is_silent(out_dir());
	open_out();
	assert_string_equal(committed("t"), want);
	keyed_put(&k, "t", "k1", "newer");
	roll("t");
	keyed_compact(&k); /* it goes on being compacted */
	assert_null(strstr(committed("t"), "k1=new "));
	assert_non_null(strstr(committed("t"), "k1=newer"));
}

static void a_bad_batch_of_a_generation_is_a_hole(void **state)
{
	static const char *const configs[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0", NULL};
	(void)state;
	keyed_create(&k, "t", 1 << 20, configs);
	for (int i = 0; i < 12; i++)
		keyed_put(&k, "t", i < 8 ? "a" : i < 10 ? "b" : "c", "value");
	roll("t");
	keyed_compact(&k);
	assert_string_equal(committed("t"), "7:a=value 9:b=value 11:c=value 12:last=x | 13");
	stop();
	/* the first frame is a HOLE of offsets 0 to 6; the batch of `a` follows */
	log_files_flip(&files, log_files_segment("t-0", 0, ".g1.log"),
	    SEGMENT_HEADER_BYTES + FRAME_HEADER_BYTES + FRAME_HOLE_BYTES + FRAME_HEADER_BYTES + 70,
	    1);
	salvage();
	assert_int_equal(result.lost_offsets, 1);
	log_lines_say("verdict=GAP partition=t-0 first_offset=7 last_offset=7 ");
	fsck_is_silent(out_dir());
	open_out();
	assert_string_equal(committed("t"), "9:b=value 11:c=value 12:last=x | 13");
}

static void put_large(const char *topic, const char *key, char fill, size_t len)
{
	char *value = mem_alloc(len + 1);
	memset(value, fill, len);
	value[len] = '\0';
	keyed_put(&k, topic, key, value);
	mem_free(value);
}

static void direct_frames_are_copied_live_and_out_of_a_kill(void **state)
{
	(void)state;
	for (int killed = 0; killed < 2; killed++) {
		if (killed) {
			log_server_open(&server);
			use(&server);
		} else {
			keyed_create(&k, "t", 1 << 20, NULL);
		}
		put_large("t", "large", (char)('a' + killed), 3 * DIRECT_BYTES);
		keyed_put(&k, "t", "small", "1");
		put_large("t", "large", (char)('c' + killed), 2 * DIRECT_BYTES + 77);
		char want[TEXT_BYTES];
		snprintf(want, sizeof(want), "%s", committed("t"));
		char *dir = killed ? log_server_copy(&server) : NULL;
		stop();
		if (killed) {
			tempdir_remove(server.dir);
			server.dir = dir;
			server.options.data_dir = files.dir = dir;
		}
		salvage();
		assert_int_equal(result.holes, 0);
		fsck_is_silent(out_dir());
		open_out();
		assert_string_equal(committed("t"), want);
		log_server_close(&copy);
		tempdir_remove(copy.dir);
		copy.dir = tempdir_new();
		copy.log = NULL;
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(aborted_transactions_stay_aborted),
	    TEST(a_new_journal_keeps_them_aborted),
	    TEST(a_transaction_whose_end_is_lost_is_told),
	    TEST(producers_of_deleted_records_are_known),
	    TEST(compacted_generations_are_copied),
	    TEST(a_bad_batch_of_a_generation_is_a_hole),
	    TEST(direct_frames_are_copied_live_and_out_of_a_kill),
	};
	return cmocka_run_group_tests_name("salvage_kinds", tests, NULL, NULL);
}
