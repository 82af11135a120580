/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A power cut at any operation of an export and of a salvage: their files are flushed all at once,
 * so before that anything may be there of them; but what is there under the name of something whole
 * is whole. (Of an import: script `imports` of test/crash.)
 */
#include "log/dirlock.h"
#include "log/log.h"
#include "log/starts.h"
#include "test/lib/log_fixture.h"
#include "test/lib/log_server.h"
#include "test/lib/sim_io.h"

#include <stdio.h>

enum { PARTITIONS = 2, RECORDS = 8 };

static struct sim_disk *source; /* all of it durable */
static struct io *io;
static uint64_t seed;

static void quiet(void *ctx, struct str line)
{
	(void)ctx;
	(void)line;
}

static void mute(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

static void boot(struct sim_disk *disk, bool record)
{
	const struct sim_options options = {.seed = ++seed, .record = record};
	assert_int_equal(sim_io_new(disk, &options, &io), ERR_OK);
}

static enum err server_open(struct log_server *s, const char *dir)
{
	*s = (struct log_server){.io = io};
	s->options = (struct log_options){.data_dir = dir, .journal_bytes = JOURNAL_BYTES_MIN};
	assert_int_equal(loop_new(io, 0, &s->loop), ERR_OK);
	enum err err = log_open(s->loop, &s->options, &s->log);
	if (err != ERR_OK)
		loop_free(s->loop);
	return err;
}

struct calls {
	struct log_append append;
	struct log_trim trim;
	bool done;
};

static void appended(struct log_append *req)
{
	CONTAINER_OF(req, struct calls, append)->done = true;
}

static void trimmed(struct log_trim *req)
{
	CONTAINER_OF(req, struct calls, trim)->done = true;
}

/* The last partition starts in the middle of a batch, so that an export has to say it (starts.h).
 */
static void trim(struct log_server *s)
{
	struct log_partition *p =
	    log_partition_find(s->log, log_server_topic(s, "t"), PARTITIONS - 1);
	struct calls calls = {.append = {.partition = p, .done = appended},
	    .trim = {.partition = p, .offset = RECORDS - 1, .done = trimmed}};
	struct log_append *append = &calls.append;
	append->batch = log_batch_new(1, 2, 5, &append->batch_len);
	log_append(s->log, &append, 1, false);
	while (!calls.done)
		log_server_turn(s);
	assert_int_equal(append->err, ERR_OK);
	mem_free(append->batch);
	calls.done = false;
	log_trim(s->log, &calls.trim);
	while (!calls.done)
		log_server_turn(s);
	assert_int_equal(calls.trim.err, ERR_OK);
}

static int setup(void **state)
{
	static const char *const configs[] = {"segment.bytes=400", NULL};
	struct log_server s;
	int fd;
	(void)state;
	diag_set_sink(mute, NULL);
	source = sim_disk_new(0);
	boot(source, false);
	assert_int_equal(server_open(&s, "/data"), ERR_OK);
	log_server_create(&s, "t", PARTITIONS, configs);
	for (int i = 0; i < RECORDS; i++)
		for (int p = 0; p < (i < RECORDS - 2 ? PARTITIONS : PARTITIONS - 1); p++)
			assert_int_equal(log_server_append(&s, "t", p, "value"), i);
	trim(&s);
	log_server_close(&s);
	assert_int_equal(io_open(io, "/data", IO_DIRECTORY, &fd), ERR_OK);
	assert_int_equal(io_sync_all(io, fd), ERR_OK);
	assert_int_equal(io_close(io, fd), ERR_OK);
	io_free(io);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_disk_free(source);
	diag_set_sink(NULL, NULL);
	err_clear();
	return 0;
}

static enum err run_export(void)
{
	const struct log_export_options options = {.partition = -1};
	return log_export(io, "/data", "t", "/out", &options, quiet, NULL);
}

static enum err run_salvage(void)
{
	const struct log_fsck_options options = {.journal_bytes = JOURNAL_BYTES_MIN};
	struct log_salvage_result result;
	return log_salvage(io, "/data", "/out", &options, quiet, NULL, &result);
}

static bool is_there(const char *path)
{
	struct io_stat stat;
	enum err err = io_stat(io, path, &stat);
	err_clear();
	return err == ERR_OK;
}

/* Bytes of all files of a directory; 0 files when it is not there. */
struct sum {
	size_t files;
	uint64_t bytes, hash;
};

static struct sum sum_of(const char *dir)
{
	struct sum sum = {0};
	struct io_names names;
	if (!is_there(dir))
		return sum;
	assert_int_equal(io_list(io, dir, &names), ERR_OK);
	for (size_t i = 0; i < names.count; i++) {
		char path[300];
		struct bytes b;
		snprintf(path, sizeof(path), "%s/%s", dir, names.name[i]);
		assert_int_equal(io_read_file(io, path, MIB, &b), ERR_OK);
		sum.files++;
		sum.bytes += b.len;
		for (size_t at = 0; at < b.len; at++)
			sum.hash = sum.hash * 31 + b.ptr[at];
		mem_free((void *)(uintptr_t)b.ptr);
	}
	io_names_release(&names);
	return sum;
}

static struct sum whole[PARTITIONS];
static unsigned done, not_done;

/* Is the log start of the last partition told? */
static bool start_is_told(void)
{
	struct starts starts;
	assert_int_equal(starts_read(io, "/out", &starts), ERR_OK);
	int64_t start = starts_of(&starts, str_of("t"), PARTITIONS - 1);
	starts_release(&starts);
	return start == RECORDS - 1;
}

/* A partition under its name has every byte, and begins where its log does. */
static void check_export(void)
{
	for (int p = 0; p < PARTITIONS; p++) {
		char dir[32];
		snprintf(dir, sizeof(dir), "/out/t-%d", p);
		struct sum sum = sum_of(dir);
		done += sum.files > 0;
		not_done += !is_there(dir);
		if (is_there(dir))
			assert_memory_equal(&sum, &whole[p], sizeof(sum));
		if (is_there(dir) && p == PARTITIONS - 1)
			assert_true(start_is_told());
	}
}

/* What a server or fsck takes has every record. */
static void check_salvage(void)
{
	const struct log_fsck_options options = {0};
	struct log_server s;
	if (!is_there("/out/topics") && !is_there("/out/journal")) {
		not_done++;
		return; /* nothing: a server would begin anew */
	}
	enum err err = log_fsck(io, "/out", &options, quiet, NULL);
	enum err opened = server_open(&s, "/out");
	if (opened != ERR_OK) {
		if (opened != ERR_REFUSED || err != ERR_REFUSED)
			fail_msg("open: %s, fsck: %s (%s)", err_name(opened), err_name(err),
			    err_chain());
		not_done++;
		err_clear();
		return;
	}
	assert_int_equal(err, ERR_OK);
	for (int p = 0; p < PARTITIONS; p++)
		assert_int_equal(log_server_status(&s, "t", p).log_end, RECORDS);
	log_server_close(&s);
	done++;
}

/* All that a cut after the first `ops` operations of the tool may leave, drawn `times` times. */
static void cut_at(struct sim_disk *start, struct io *recorded, size_t ops, void (*check)(void))
{
	struct sim_disk *disk = sim_disk_clone(start);
	for (size_t i = 0; i < ops; i++)
		(void)sim_disk_apply(disk, sim_io_op(recorded, i));
	for (uint64_t times = 0; times < 3; times++) {
		struct sim_disk *after = sim_disk_crash_random(disk, ops * 3 + times);
		boot(after, false);
		check();
		io_free(io);
		sim_disk_free(after);
	}
	sim_disk_free(disk);
}

static void cut_everywhere(enum err (*tool)(void), void (*check)(void))
{
	struct sim_disk *start = sim_disk_clone(source), *disk = sim_disk_clone(source);
	done = not_done = 0;
	boot(disk, true);
	struct io *recorded = io;
	assert_int_equal(tool(), ERR_OK);
	for (int p = 0; p < PARTITIONS; p++)
		whole[p] = sum_of(p == 0 ? "/out/t-0" : "/out/t-1");
	size_t all = sim_io_op_count(recorded);
	assert_true(all > 30);
	for (size_t ops = 0; ops <= all; ops++)
		cut_at(start, recorded, ops, check);
	assert_true(done > 0 && not_done > all);
	io_free(recorded);
	sim_disk_free(disk);
	sim_disk_free(start);
}

static void an_export_that_was_cut_is_no_partition(void **state)
{
	(void)state;
	cut_everywhere(run_export, check_export);
}

static void a_salvage_that_was_cut_is_no_data_directory(void **state)
{
	(void)state;
	cut_everywhere(run_salvage, check_salvage);
}

static void what_was_not_ended_is_told(void **state)
{
	const struct log_fsck_options options = {0};
	(void)state;
	struct sim_disk *disk = sim_disk_clone(source);
	boot(disk, false);
	assert_int_equal(io_mkdir_all(io, "/out/t-1.unfinished"), ERR_OK);
	assert_int_equal(run_export(), ERR_EXISTS);
	assert_non_null(strstr(err_chain(), "t-1.unfinished"));
	assert_false(is_there("/out/t-0"));
	assert_int_equal(dirlock_unfinished(io, "/data", "a test"), ERR_OK);
	assert_int_equal(log_fsck(io, "/data", &options, quiet, NULL), ERR_REFUSED);
	assert_int_equal(run_export(), ERR_REFUSED);
	assert_non_null(strstr(err_chain(), "unfinished"));
	assert_int_equal(dirlock_finish(io, "/data"), ERR_OK);
	assert_int_equal(log_fsck(io, "/data", &options, quiet, NULL), ERR_OK);
	io_free(io);
	sim_disk_free(disk);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(an_export_that_was_cut_is_no_partition),
	    TEST(a_salvage_that_was_cut_is_no_data_directory),
	    TEST(what_was_not_ended_is_told),
	};
	return cmocka_run_group_tests_name("offline_crash", tests, NULL, NULL);
}
