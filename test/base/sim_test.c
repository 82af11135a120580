/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated backend keeps its own fault model: what it may lose it does lose, what it may not
 * it never does.
 */
#include "test/lib/test.h"

#include "log/base/base.h"
#include "test/lib/seed.h"
#include "test/lib/sim_io.h"
#include "test/lib/xmalloc.h"

#include <errno.h>
#include <stdio.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

static struct io *open_sim(struct sim_disk *disk, uint64_t seed)
{
	struct io *io;
	struct sim_options options = {.seed = seed};
	assert_ok(sim_io_new(disk, &options, &io));
	return io;
}

static int open_file(struct io *io, const char *path)
{
	int fd;
	assert_ok(io_open(io, path, IO_CREATE, &fd));
	return fd;
}

/* A durable file with this content, and its durable name. */
static void make_file(struct io *io, const char *path, const void *content, size_t len)
{
	int fd = open_file(io, path);
	assert_ok(io_pwrite(io, fd, content, len, 0));
	assert_ok(io_fsync(io, fd));
	assert_ok(io_fsync_dir(io, "/"));
	assert_ok(io_close(io, fd));
}

/* The content of `path` on a disk, or NULL when it is missing; free with mem_free. */
static uint8_t *read_from(struct sim_disk *disk, const char *path, size_t *ret_len)
{
	struct io *io = open_sim(disk, 0);
	struct bytes content = {NULL, 0};
	enum err e = io_read_file(io, path, 1 << 24, &content);
	assert_true(e == ERR_OK || e == ERR_NOT_FOUND);
	io_free(io);
	err_clear();
	*ret_len = content.len;
	return (uint8_t *)(uintptr_t)content.ptr;
}

static bool has_content(struct sim_disk *disk, const char *path, const void *content, size_t len)
{
	size_t got;
	uint8_t *bytes = read_from(disk, path, &got);
	bool equal = bytes && got == len && memcmp(bytes, content, len) == 0;
	mem_free(bytes);
	return equal;
}

/* ---- power cuts ---- */

static void what_was_synced_survives_every_cut(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	uint8_t data[3000];
	memset(data, 'd', sizeof(data));
	make_file(io, "/kept", data, sizeof(data));
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct sim_disk *after = sim_disk_crash_random(disk, seed);
		assert_true(has_content(after, "/kept", data, sizeof(data)));
		sim_disk_free(after);
	}
	io_free(io);
	sim_disk_free(disk);
}

/* What became of sectors and size, over all cuts that are tried. */
struct outcomes {
	const uint8_t *old, *new;
	bool sector_old, sector_new, sector_zeros, sector_garbage, sector_torn;
	bool size_old, size_new, size_between;
	bool first_without_second, second_without_first;
	size_t old_len, new_len;
};

static void see_sector(struct outcomes *o, const uint8_t *at, size_t i)
{
	static const uint8_t zeros[SIM_SECTOR];
	const uint8_t *old = o->old + i * SIM_SECTOR, *new = o->new + i *SIM_SECTOR;
	if (memcmp(at, old, SIM_SECTOR) == 0)
		o->sector_old = true;
	else if (memcmp(at, new, SIM_SECTOR) == 0)
		o->sector_new = true;
	else if (memcmp(at, zeros, SIM_SECTOR) == 0)
		o->sector_zeros = true;
	else if (at[0] == new[0] && at[SIM_SECTOR - 1] == old[SIM_SECTOR - 1])
		o->sector_torn = true;
	else
		o->sector_garbage = true;
}

static bool see_overwrite(void *ctx, struct sim_disk *after)
{
	struct outcomes *o = ctx;
	size_t len;
	uint8_t *bytes = read_from(after, "/f", &len);
	assert_non_null(bytes);
	assert_int_equal(len, o->old_len);
	for (size_t i = 0; i < 2; i++)
		see_sector(o, bytes + i * SIM_SECTOR, i);
	bool first = memcmp(bytes, o->new, SIM_SECTOR) == 0;
	bool second = memcmp(bytes + SIM_SECTOR, o->new + SIM_SECTOR, SIM_SECTOR) == 0;
	o->first_without_second |= first && !second;
	o->second_without_first |= second && !first;
	/* F2 concerns only what was written */
	assert_memory_equal(bytes + 2 * SIM_SECTOR, o->old + 2 * SIM_SECTOR, SIM_SECTOR);
	mem_free(bytes);
	return true;
}

static void each_unsynced_sector_has_each_fate(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	uint8_t old[3 * SIM_SECTOR], new[2 * SIM_SECTOR];
	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	make_file(io, "/f", old, sizeof(old));
	int fd = open_file(io, "/f");
	assert_ok(io_pwrite(io, fd, new, sizeof(new), 0));
	struct outcomes o = {.old = old, .new = new, .old_len = sizeof(old)};
	struct sim_crash_plan plan = {.exhaustive_max = 12, .random_count = 50, .seed = 1};
	/* 4 subsets of two sectors, 3 kinds of damage to each, 50 mixtures */
	assert_int_equal(sim_disk_each_crash(disk, &plan, see_overwrite, &o), 4 + 6 + 50);
	assert_true(
	    o.sector_old && o.sector_new && o.sector_zeros && o.sector_garbage && o.sector_torn);
	assert_true(o.first_without_second && o.second_without_first);
	/* the disk itself has not changed */
	assert_ok(io_fsync(io, fd));
	struct sim_disk *after = sim_disk_crash_random(disk, 1);
	uint8_t both[3 * SIM_SECTOR];
	memcpy(both, new, sizeof(new));
	memcpy(both + sizeof(new), old, SIM_SECTOR);
	assert_true(has_content(after, "/f", both, sizeof(both)));
	sim_disk_free(after);
	assert_ok(io_close(io, fd));
	io_free(io);
	sim_disk_free(disk);
}

static bool see_append(void *ctx, struct sim_disk *after)
{
	struct outcomes *o = ctx;
	size_t len;
	uint8_t *bytes = read_from(after, "/f", &len);
	assert_non_null(bytes);
	o->size_old |= len == o->old_len;
	o->size_new |= len == o->new_len;
	o->size_between |= len == o->old_len + SIM_SECTOR;
	assert_true(len == o->old_len || len == o->new_len || len == o->old_len + SIM_SECTOR);
	if (len == o->new_len && bytes[SIM_SECTOR] == 0)
		o->sector_zeros = true;
	mem_free(bytes);
	return true;
}

static void an_append_may_leave_the_size_without_the_data_or_any_size_it_had(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	uint8_t data[SIM_SECTOR];
	memset(data, 'a', sizeof(data));
	make_file(io, "/f", data, sizeof(data));
	int fd = open_file(io, "/f");
	assert_ok(io_pwrite(io, fd, data, sizeof(data), SIM_SECTOR));
	assert_ok(io_pwrite(io, fd, data, sizeof(data), 2 * SIM_SECTOR));
	struct outcomes o = {.old_len = SIM_SECTOR, .new_len = 3 * SIM_SECTOR};
	struct sim_crash_plan plan = {.exhaustive_max = 12, .seed = 1};
	assert_true(sim_disk_each_crash(disk, &plan, see_append, &o) >= 8);
	assert_true(o.size_old && o.size_new && o.size_between && o.sector_zeros);
	assert_ok(io_close(io, fd));
	io_free(io);
	sim_disk_free(disk);
}

struct presence {
	const char *path;
	unsigned seen, missing;
};

static bool see_presence(void *ctx, struct sim_disk *after)
{
	struct presence *p = ctx;
	size_t len;
	uint8_t *bytes = read_from(after, p->path, &len);
	if (bytes)
		p->seen++;
	else
		p->missing++;
	mem_free(bytes);
	return true;
}

static struct presence presence_of(const struct sim_disk *disk, const char *path)
{
	struct presence p = {.path = path};
	struct sim_crash_plan plan = {.exhaustive_max = 10, .random_count = 30, .seed = 3};
	(void)sim_disk_each_crash(disk, &plan, see_presence, &p);
	return p;
}

static void a_name_is_durable_only_after_its_directory_is_synced(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	assert_ok(io_mkdir(io, "/d"));
	int fd = open_file(io, "/d/new");
	assert_ok(io_pwrite(io, fd, "x", 1, 0));
	assert_ok(io_fsync(io, fd));
	struct presence p = presence_of(disk, "/d/new");
	assert_true(p.seen > 0 && p.missing > 0);
	assert_ok(io_fsync_dir(io, "/d"));
	p = presence_of(disk, "/d/new");
	assert_true(p.seen > 0 && p.missing > 0); /* its directory's own name may be lost */
	assert_ok(io_fsync_dir(io, "/"));
	p = presence_of(disk, "/d/new");
	assert_int_equal(p.missing, 0);
	/* a removal comes back as long as it is not synced */
	assert_ok(io_close(io, fd));
	assert_ok(io_unlink(io, "/d/new"));
	p = presence_of(disk, "/d/new");
	assert_true(p.seen > 0 && p.missing > 0);
	assert_ok(io_fsync_dir(io, "/d"));
	p = presence_of(disk, "/d/new");
	assert_int_equal(p.seen, 0);
	io_free(io);
	sim_disk_free(disk);
}

/* mkdir_all, killed before its nth call; false when it came to its end. */
static bool mkdir_killed(struct sim_disk **disk, uint64_t nth)
{
	struct io *io = open_sim(*disk, nth);
	sim_io_fall_at(io, nth, true, nth);
	enum err e = io_mkdir_all(io, "/a/b/c");
	struct sim_disk *after = sim_io_fallen(io);
	io_free(io);
	err_clear();
	assert_int_equal(e, after ? ERR_IO : ERR_OK);
	if (!after)
		return false;
	sim_disk_free(*disk);
	*disk = after;
	return true;
}

static void mkdir_all_makes_durable_what_a_killed_one_has_left(void **state)
{
	(void)state;
	bool killed = true;
	uint64_t nth = 1;
	for (; killed; nth++) {
		/* killed twice: the second must not pass over what the first has left */
		for (uint64_t second = 0; second <= nth; second++) {
			struct sim_disk *disk = sim_disk_new(0);
			killed = mkdir_killed(&disk, nth);
			if (killed && second > 0)
				(void)mkdir_killed(&disk, second);
			struct io *io = open_sim(disk, 1);
			assert_ok(io_mkdir_all(io, "/a/b/c"));
			int fd = open_file(io, "/a/b/c/f");
			assert_ok(io_fsync(io, fd));
			assert_ok(io_fsync_dir(io, "/a/b/c"));
			assert_int_equal(presence_of(disk, "/a/b/c/f").missing, 0);
			assert_ok(io_close(io, fd));
			io_free(io);
			sim_disk_free(disk);
		}
	}
	assert_true(nth > 6);
}

static void a_rename_between_directories_needs_both_synced(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	assert_ok(io_mkdir_all(io, "/a"));
	assert_ok(io_mkdir_all(io, "/b"));
	make_file(io, "/a/f", "x", 1);
	assert_ok(io_fsync_dir(io, "/a"));
	assert_ok(io_rename(io, "/a/f", "/b/g"));
	assert_ok(io_fsync_dir(io, "/b"));
	struct presence from = presence_of(disk, "/a/f"), to = presence_of(disk, "/b/g");
	assert_true(from.seen > 0 && from.missing > 0 && to.seen > 0 && to.missing > 0);
	/* atomic: in one place or the other */
	assert_int_equal(from.seen, to.missing);
	assert_ok(io_fsync_dir(io, "/a"));
	from = presence_of(disk, "/a/f");
	assert_int_equal(from.seen, 0);
	io_free(io);
	sim_disk_free(disk);
}

static void a_failed_sync_loses_what_a_later_sync_does_not_bring_back(void **state)
{
	(void)state;
	unsigned lost = 0;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct sim_disk *disk = sim_disk_new(0);
		struct io *io = open_sim(disk, seed);
		uint8_t old[8 * SIM_SECTOR], new[8 * SIM_SECTOR];
		memset(old, 'o', sizeof(old));
		memset(new, 'n', sizeof(new));
		make_file(io, "/f", old, sizeof(old));
		int fd = open_file(io, "/f");
		assert_ok(io_pwrite(io, fd, new, sizeof(new), 0));
		sim_io_fault(io, (struct sim_fault){SIM_CALL_SYNC, 1, 1, EIO});
		assert_int_equal(io_fdatasync(io, fd), ERR_IO);
		assert_int_equal(sim_io_fault_hits(io), 1);
		assert_ok(io_fdatasync(io, fd));
		/* still read from the cache */
		uint8_t back[8 * SIM_SECTOR];
		assert_ok(io_pread_all(io, fd, back, sizeof(back), 0));
		assert_memory_equal(back, new, sizeof(new));
		struct sim_disk *after = sim_disk_crash_random(disk, seed);
		lost += !has_content(after, "/f", new, sizeof(new));
		sim_disk_free(after);
		assert_ok(io_close(io, fd));
		io_free(io);
		sim_disk_free(disk);
		err_clear();
	}
	assert_true(lost > 15);
}

static void writeback_makes_the_first_of_two_writes_survive(void **state)
{
	(void)state;
	unsigned first = 0;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct sim_disk *disk = sim_disk_new(0);
		struct sim_options options = {.seed = seed, .writeback_ppm = 500000};
		struct io *io;
		assert_ok(sim_io_new(disk, &options, &io));
		make_file(io, "/f", "0", 1);
		int fd = open_file(io, "/f");
		assert_ok(io_pwrite(io, fd, "1", 1, 0));
		struct io_stat st;
		assert_ok(io_fstat(io, fd, &st)); /* a moment in between */
		assert_ok(io_pwrite(io, fd, "2", 1, 0));
		size_t count;
		free(sim_disk_units(disk, &count));
		uint32_t *choices = xcalloc(count, sizeof(*choices)); /* everything lost */
		struct sim_disk *after = sim_disk_crash(disk, choices, 1);
		first += has_content(after, "/f", "1", 1);
		free(choices);
		sim_disk_free(after);
		assert_ok(io_close(io, fd));
		io_free(io);
		sim_disk_free(disk);
	}
	assert_true(first > 5);
}

/* ---- a protocol under all cuts: io_write_file, and one that forgets to sync ---- */

struct replace {
	const char *old, *new;
	unsigned old_seen, new_seen, bad;
	bool acknowledged;
};

static bool see_replace(void *ctx, struct sim_disk *after)
{
	struct replace *r = ctx;
	bool old = has_content(after, "/conf", r->old, strlen(r->old));
	bool new = has_content(after, "/conf", r->new, strlen(r->new));
	r->old_seen += old;
	r->new_seen += new;
	r->bad += (!old && !new) || (r->acknowledged && !new);
	return true;
}

/* Replays the recorded operations one by one and cuts the power after each. */
static void cut_after_each_op(struct io *io, size_t base, struct replace *r)
{
	struct sim_disk *disk = sim_disk_new(0);
	struct sim_crash_plan plan = {.exhaustive_max = 12, .random_count = 20, .seed = 5};
	size_t count = sim_io_op_count(io);
	assert_true(count > base + 3);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(sim_disk_apply(disk, sim_io_op(io, i)), 0);
		r->acknowledged = i + 1 == count;
		if (i + 1 >= base)
			assert_true(sim_disk_each_crash(disk, &plan, see_replace, r) > 0);
	}
	sim_disk_free(disk);
}

static struct io *record_first_content(struct sim_disk *disk, const struct replace *r)
{
	struct sim_options options = {.seed = 1, .record = true};
	struct io *io;
	assert_ok(sim_io_new(disk, &options, &io));
	assert_ok(io_write_file(io, "/conf", str_bytes(str_of(r->old))));
	return io;
}

static void write_file_is_atomic_and_durable_under_every_cut(void **state)
{
	(void)state;
	char big[1700];
	memset(big, 'b', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	struct replace r = {.old = "the first content", .new = big};
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = record_first_content(disk, &r);
	size_t base = sim_io_op_count(io);
	assert_ok(io_write_file(io, "/conf", str_bytes(str_of(r.new))));
	cut_after_each_op(io, base, &r);
	assert_int_equal(r.bad, 0);
	assert_true(r.old_seen > 0 && r.new_seen > 0);
	io_free(io);
	sim_disk_free(disk);
}

static void the_enumeration_finds_a_missing_sync(void **state)
{
	(void)state;
	struct replace r = {.old = "the first content", .new = "the second"};
	for (int missing = 0; missing < 2; missing++) {
		struct sim_disk *disk = sim_disk_new(0);
		struct io *io = record_first_content(disk, &r);
		size_t base = sim_io_op_count(io);
		int fd = open_file(io, "/conf.tmp");
		assert_ok(io_truncate(io, fd, 0));
		assert_ok(io_pwrite(io, fd, r.new, strlen(r.new), 0));
		if (missing != 0)
			assert_ok(io_fsync(io, fd));
		assert_ok(io_rename(io, "/conf.tmp", "/conf"));
		if (missing != 1)
			assert_ok(io_fsync_dir(io, "/"));
		assert_ok(io_close(io, fd));
		r.bad = 0;
		cut_after_each_op(io, base, &r);
		assert_true(r.bad > 0);
		io_free(io);
		sim_disk_free(disk);
	}
}

/* ---- faults ---- */

static void each_failing_call_is_reported_and_leaves_a_whole_file(void **state)
{
	(void)state;
	static const int errnos[] = {EIO, ENOSPC};
	for (size_t k = 0; k < 2; k++) {
		for (uint64_t nth = 1;; nth++) {
			struct sim_disk *disk = sim_disk_new(0);
			struct io *io = open_sim(disk, nth);
			make_file(io, "/conf", "old", 3);
			sim_io_fault(io, (struct sim_fault){SIM_CALL_ANY, nth, 1, errnos[k]});
			enum err e = io_write_file(io, "/conf", bytes_of("new", 3));
			uint64_t hits = sim_io_fault_hits(io);
			sim_io_fault(io, (struct sim_fault){.nth = 0});
			assert_int_equal(sim_io_open_count(io), 0);
			io_free(io);
			bool old = has_content(disk, "/conf", "old", 3);
			bool new = has_content(disk, "/conf", "new", 3);
			sim_disk_free(disk);
			err_clear();
			assert_true(old || new);
			if (hits == 0) {
				assert_ok(e);
				assert_true(new &&nth > 5);
				break;
			}
			assert_int_equal(e, err_from_errno(errnos[k]));
		}
	}
}

static void a_full_disk_takes_what_fits_and_space_comes_back(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(10 * SIM_BLOCK);
	struct io *io = open_sim(disk, 1);
	static uint8_t data[8 * SIM_BLOCK];
	memset(data, 1, sizeof(data));
	int a = open_file(io, "/a"), b = open_file(io, "/b");
	assert_ok(io_pwrite(io, a, data, sizeof(data), 0));
	assert_int_equal(io_pwrite(io, b, data, sizeof(data), 0), ERR_NOSPACE);
	struct io_stat st;
	assert_ok(io_fstat(io, b, &st));
	assert_true(st.size_bytes > 0 && st.size_bytes <= 2 * SIM_BLOCK);
	assert_ok(io_truncate(io, b, 0));
	assert_int_equal(io_fallocate(io, b, 0, 3 * SIM_BLOCK), ERR_NOSPACE);
	/* overwriting needs no new space */
	assert_ok(io_pwrite(io, a, data, sizeof(data), 0));
	uint64_t free_bytes, total_bytes;
	assert_ok(io_space(io, "/", &free_bytes, &total_bytes));
	assert_int_equal(free_bytes, 2 * SIM_BLOCK);
	/* an open file keeps its space */
	assert_ok(io_unlink(io, "/a"));
	assert_int_equal(io_pwrite(io, b, data, sizeof(data), 0), ERR_NOSPACE);
	assert_ok(io_close(io, a));
	assert_ok(io_pwrite(io, b, data, sizeof(data), 0));
	assert_ok(io_close(io, b));
	io_free(io);
	sim_disk_free(disk);
	err_clear();
}

static void direct_io_must_be_aligned(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	int fd;
	assert_ok(io_open(io, "/d", IO_CREATE | IO_DIRECT, &fd));
	uint8_t *buf = mem_alloc_aligned(4096, 8192);
	memset(buf, 1, 8192);
	assert_ok(io_pwrite(io, fd, buf, 4096, 4096));
	assert_int_equal(io_pwrite(io, fd, buf, 4096, 512), ERR_INVALID);
	assert_int_equal(io_pwrite(io, fd, buf, 100, 0), ERR_INVALID);
	assert_int_equal(io_pwrite(io, fd, buf + 8, 4096, 0), ERR_INVALID);
	mem_free(buf);
	assert_ok(io_close(io, fd));
	io_free(io);
	sim_disk_free(disk);
	err_clear();
}

/* ---- power and process ---- */

struct flying {
	struct io_req req;
	struct iovec iov;
	unsigned done;
};

static void on_done(struct io_req *req)
{
	CONTAINER_OF(req, struct flying, req)->done++;
}

static void a_durable_write_keeps_its_own_sectors_and_no_others(void **state)
{
	(void)state;
	unsigned others = 0;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct sim_disk *disk = sim_disk_new(0);
		struct io *io = open_sim(disk, seed);
		uint8_t old[6 * SIM_SECTOR], new[6 * SIM_SECTOR];
		memset(old, 'o', sizeof(old));
		memset(new, 'n', sizeof(new));
		make_file(io, "/f", old, sizeof(old));
		int fd = open_file(io, "/f");
		assert_ok(io_pwrite(io, fd, new, 2 * SIM_SECTOR, 0));
		struct flying w = {.req = {.op = IO_WRITE_DURABLE,
		                       .fd = fd,
		                       .pos = 4 * SIM_SECTOR,
		                       .iov_count = 1,
		                       .done = on_done}};
		w.iov = (struct iovec){new, sizeof(new)};
		w.req.iov = &w.iov;
		io_submit(io, &w.req);
		while (w.done == 0)
			assert_ok(io_poll(io, -1));
		assert_ok(w.req.err);
		struct sim_disk *after = sim_disk_crash_random(disk, seed);
		size_t len;
		uint8_t *bytes = read_from(after, "/f", &len);
		assert_int_equal(len, 10 * SIM_SECTOR);
		assert_memory_equal(bytes + 4 * SIM_SECTOR, new, sizeof(new));
		assert_memory_equal(bytes + 2 * SIM_SECTOR, old, 2 * SIM_SECTOR);
		others += memcmp(bytes, new, 2 * SIM_SECTOR) == 0;
		mem_free(bytes);
		sim_disk_free(after);
		assert_ok(io_close(io, fd));
		io_free(io);
		sim_disk_free(disk);
	}
	assert_true(others > 0 && others < 50);
}

static void a_cut_catches_requests_in_the_air_and_ends_the_io(void **state)
{
	(void)state;
	unsigned arrived = 0, lost = 0;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct sim_disk *disk = sim_disk_new(0);
		struct io *io = open_sim(disk, seed);
		make_file(io, "/f", "old", 3);
		int fd = open_file(io, "/f");
		char data[] = "new";
		struct flying w = {
		    .req = {.op = IO_WRITE, .fd = fd, .iov_count = 1, .done = on_done}};
		w.iov = (struct iovec){data, 3};
		w.req.iov = &w.iov;
		io_submit(io, &w.req);
		struct sim_disk *after =
		    seed % 2 ? sim_io_cut_power(io, seed) : sim_io_kill(io, seed);
		arrived += has_content(after, "/f", "new", 3);
		lost += has_content(after, "/f", "old", 3);
		sim_disk_free(after);
		/* the server is torn down in the usual way, with errors */
		while (w.done == 0)
			assert_ok(io_poll(io, -1));
		assert_int_equal(w.req.err, ERR_IO);
		assert_int_equal(io_pwrite(io, fd, "x", 1, 0), ERR_IO);
		assert_int_equal(io_fsync(io, fd), ERR_IO);
		assert_int_equal(io_close(io, fd), ERR_IO);
		io_free(io);
		assert_true(has_content(disk, "/f", "old", 3));
		sim_disk_free(disk);
		err_clear();
	}
	assert_true(arrived > 3 && lost > 3);
}

static void a_killed_process_leaves_the_page_cache(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	int fd = open_file(io, "/f");
	assert_ok(io_lock(io, fd, false));
	assert_ok(io_pwrite(io, fd, "cached", 6, 0));
	struct sim_disk *after = sim_io_kill(io, 1);
	io_free(io);
	assert_true(has_content(after, "/f", "cached", 6));
	io = open_sim(after, 1);
	fd = open_file(io, "/f");
	assert_ok(io_lock(io, fd, false));
	io_free(io);
	sim_disk_free(after);
	sim_disk_free(disk);
}

/* ---- time, order, determinism ---- */

static uint64_t run_mixture(uint64_t seed)
{
	struct sim_disk *disk = sim_disk_new(0);
	struct sim_options options = {.seed = seed, .writeback_ppm = 50000, .record = true};
	struct io *io;
	assert_ok(sim_io_new(disk, &options, &io));
	int fd = open_file(io, "/f");
	static struct flying w[50];
	static char data[50][100];
	for (size_t i = 0; i < 50; i++) {
		memset(data[i], (int)i, sizeof(data[i]));
		w[i] = (struct flying){.req = {.op = i % 10 == 9 ? IO_FDATASYNC : IO_WRITE,
		                           .fd = fd,
		                           .pos = i * 60,
		                           .iov_count = 1,
		                           .done = on_done}};
		w[i].iov = (struct iovec){data[i], sizeof(data[i])};
		w[i].req.iov = &w[i].iov;
		io_submit(io, &w[i].req);
	}
	for (size_t i = 0; i < 50; i++) {
		while (w[i].done == 0)
			assert_ok(io_poll(io, -1));
	}
	/* a digest of what happened and when */
	uint64_t digest = (uint64_t)io_clock_ns(io, IO_CLOCK_MONOTONIC);
	for (size_t i = 0; i < sim_io_op_count(io); i++) {
		const struct sim_op *op = sim_io_op(io, i);
		digest = digest * 31 + op->pos * 7 + (uint64_t)op->kind;
	}
	assert_ok(io_close(io, fd));
	io_free(io);
	sim_disk_free(disk);
	return digest;
}

static void one_seed_is_one_history(void **state)
{
	(void)state;
	uint64_t seed = test_seed(11), first = run_mixture(seed);
	assert_true(run_mixture(seed) == first);
	assert_true(run_mixture(seed + 1) != first);
}

static void hours_pass_in_no_time_and_waiting_for_nothing_is_an_error(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	int64_t mono = io_clock_ns(io, IO_CLOCK_MONOTONIC),
	        real = io_clock_ns(io, IO_CLOCK_REALTIME);
	io_sleep_ns(io, 3600 * S_NS);
	assert_ok(io_poll(io, 3600 * S_NS));
	assert_true(io_clock_ns(io, IO_CLOCK_MONOTONIC) == mono + 7200 * S_NS);
	sim_io_jump_clock(io, -86400 * S_NS);
	assert_true(io_clock_ns(io, IO_CLOCK_MONOTONIC) == mono + 7200 * S_NS);
	assert_true(io_clock_ns(io, IO_CLOCK_REALTIME) == real - 79200 * S_NS);
	err_clear();
	assert_int_equal(io_poll(io, -1), ERR_TIMEOUT);
	err_clear();
	io_free(io);
	sim_disk_free(disk);
}

static unsigned ticks;
static struct loop *ticking;
static void on_tick(struct loop_timer *timer)
{
	ticks++;
	loop_timer_set(ticking, timer, loop_now_ns(ticking) + 60 * S_NS);
}

static void a_loop_runs_a_simulated_day_at_once(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	assert_ok(loop_new(io, 0, &ticking));
	struct loop_timer timer;
	loop_timer_init(&timer, on_tick);
	int64_t began = loop_now_ns(ticking);
	loop_timer_set(ticking, &timer, began);
	ticks = 0;
	while (loop_now_ns(ticking) < began + 86400 * S_NS)
		assert_ok(loop_step(ticking, -1));
	assert_int_equal(ticks, 1441);
	loop_timer_cancel(ticking, &timer);
	loop_free(ticking);
	io_free(io);
	sim_disk_free(disk);
}

static void a_broken_connection_is_an_error_on_both_ends(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	int listener, client;
	uint16_t port;
	assert_ok(io_listen(io, "127.0.0.1", 9092, &listener, &port));
	assert_int_equal(port, 9092);
	assert_ok(sim_io_connect(io, port, &client));
	struct flying a = {.req = {.op = IO_ACCEPT, .fd = listener, .done = on_done}};
	io_submit(io, &a.req);
	while (a.done == 0)
		assert_ok(io_poll(io, -1));
	int server = (int)a.req.result;
	char buf[4];
	struct flying r[2];
	for (int i = 0; i < 2; i++) {
		r[i] = (struct flying){.req = {.op = IO_RECV,
		                           .fd = i ? client : server,
		                           .iov_count = 1,
		                           .done = on_done},
		    .iov = {buf, sizeof(buf)}};
		r[i].req.iov = &r[i].iov;
		io_submit(io, &r[i].req);
	}
	sim_io_break(io, client);
	for (int i = 0; i < 2; i++) {
		while (r[i].done == 0)
			assert_ok(io_poll(io, -1));
		assert_int_equal(r[i].req.err, ERR_CLOSED);
		assert_int_equal(r[i].req.sys_errno, ECONNRESET);
	}
	assert_ok(io_close(io, server));
	assert_ok(io_close(io, client));
	assert_ok(io_close(io, listener));
	io_free(io);
	sim_disk_free(disk);
}

/* ---- the disk against a model ---- */

enum { MODEL_BYTES = 20000 };

static void a_file_agrees_with_a_plain_array_through_syncs_and_clones(void **state)
{
	(void)state;
	struct prng p;
	prng_init(&p, test_seed(21));
	static uint8_t cached[MODEL_BYTES], durable[MODEL_BYTES], back[MODEL_BYTES], data[3000];
	size_t cached_len = 0, durable_len = 0;
	memset(cached, 0, sizeof(cached));
	struct sim_disk *disk = sim_disk_new(0);
	struct io *io = open_sim(disk, 1);
	make_file(io, "/f", "", 0);
	int fd = open_file(io, "/f");
	for (int n = 0; n < 3000; n++) {
		uint64_t dice = prng_below(&p, 20);
		size_t pos = prng_below(&p, MODEL_BYTES - sizeof(data)),
		       len = prng_below(&p, sizeof(data));
		if (dice < 12) {
			memset(data, (int)prng_below(&p, 3), len);
			assert_ok(io_pwrite(io, fd, data, len, pos));
			memcpy(cached + pos, data, len);
			cached_len = len > 0 && pos + len > cached_len ? pos + len : cached_len;
		} else if (dice < 15) {
			assert_ok(io_truncate(io, fd, pos));
			if (pos < cached_len)
				memset(cached + pos, 0, cached_len - pos);
			cached_len = pos;
		} else if (dice < 17) {
			assert_ok(io_fdatasync(io, fd));
			memcpy(durable, cached, sizeof(cached));
			durable_len = cached_len;
		} else if (dice < 18) {
			size_t count;
			free(sim_disk_units(disk, &count));
			uint32_t *choices = xcalloc(count, sizeof(*choices));
			struct sim_disk *after = sim_disk_crash(disk, choices, 1);
			assert_true(has_content(after, "/f", durable, durable_len));
			sim_disk_free(after);
			for (size_t i = 0; i < count; i++)
				choices[i] = SIM_KEPT;
			after = sim_disk_crash(disk, choices, 1);
			assert_true(has_content(after, "/f", cached, cached_len));
			sim_disk_free(after);
			free(choices);
		}
		size_t got;
		assert_ok(io_pread(io, fd, back, sizeof(back), 0, &got));
		assert_int_equal(got, cached_len);
		assert_true(memcmp(back, cached, got) == 0);
	}
	assert_ok(io_close(io, fd));
	io_free(io);
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_synced_survives_every_cut),
	    cmocka_unit_test(each_unsynced_sector_has_each_fate),
	    cmocka_unit_test(an_append_may_leave_the_size_without_the_data_or_any_size_it_had),
	    cmocka_unit_test(a_name_is_durable_only_after_its_directory_is_synced),
	    cmocka_unit_test(mkdir_all_makes_durable_what_a_killed_one_has_left),
	    cmocka_unit_test(a_rename_between_directories_needs_both_synced),
	    cmocka_unit_test(a_failed_sync_loses_what_a_later_sync_does_not_bring_back),
	    cmocka_unit_test(a_durable_write_keeps_its_own_sectors_and_no_others),
	    cmocka_unit_test(writeback_makes_the_first_of_two_writes_survive),
	    cmocka_unit_test(write_file_is_atomic_and_durable_under_every_cut),
	    cmocka_unit_test(the_enumeration_finds_a_missing_sync),
	    cmocka_unit_test(each_failing_call_is_reported_and_leaves_a_whole_file),
	    cmocka_unit_test(a_full_disk_takes_what_fits_and_space_comes_back),
	    cmocka_unit_test(direct_io_must_be_aligned),
	    cmocka_unit_test(a_cut_catches_requests_in_the_air_and_ends_the_io),
	    cmocka_unit_test(a_killed_process_leaves_the_page_cache),
	    cmocka_unit_test(one_seed_is_one_history),
	    cmocka_unit_test(hours_pass_in_no_time_and_waiting_for_nothing_is_an_error),
	    cmocka_unit_test(a_loop_runs_a_simulated_day_at_once),
	    cmocka_unit_test(a_broken_connection_is_an_error_on_both_ends),
	    cmocka_unit_test(a_file_agrees_with_a_plain_array_through_syncs_and_clones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
