/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/log_fixture.h"
#include "test/lib/sim_io.h"

#include <stdio.h>

/*
 * Large files go piece by piece (partition_drop.c): the name first, so that no start finds half a
 * segment, then 64 MiB at a time. Seen in the operations on the simulated disk.
 */
enum { PIECE_MIB = 64 };

struct dropped {
	bool unlinked;
	unsigned pieces;
	uint64_t size; /* left */
};

static struct sim_disk *disk;
static struct io *io;
static struct log_fixture f;

static void open_world(void)
{
	const struct sim_options o = {.seed = 1, .record = true};
	assert_ok(sim_io_new(disk, &o, &io));
	log_fixture_init_io(&f, io, "/data");
	f.options.journal_bytes = MIB;
}

static void close_world(void)
{
	log_fixture_release(&f);
	io_free(io);
}

static void make_file(const char *path, uint64_t bytes)
{
	int fd;
	assert_ok(io_open(io, path, IO_CREATE, &fd));
	assert_ok(io_truncate(io, fd, bytes));
	assert_ok(io_close(io, fd));
}

/* What was done to the file of this inode, from operation `from` on. */
static struct dropped look(size_t from, uint32_t inode, const char *name, uint64_t bytes)
{
	struct dropped d = {.size = bytes};
	for (size_t i = from; i < sim_io_op_count(io); i++) {
		const struct sim_op *op = sim_io_op(io, i);
		d.unlinked |= op->kind == SIM_OP_UNLINK && strcmp(op->name, name) == 0;
		if (op->kind != SIM_OP_TRUNCATE || op->inode != inode)
			continue;
		assert_true(d.unlinked); /* the name first */
		assert_true(op->pos < d.size);
		assert_true(d.size - op->pos <= PIECE_MIB * MIB);
		d.size = op->pos;
		d.pieces++;
	}
	return d;
}

static void a_large_file_of_a_deleted_topic_goes_in_pieces(void **state)
{
	static const uint64_t sizes[] = {0, MIB, PIECE_MIB * MIB, PIECE_MIB * MIB + 1, 200 * MIB};
	static const unsigned pieces[] = {0, 0, 0, 1, 3};
	uint32_t inode[5];
	(void)state;
	disk = sim_disk_new(0);
	open_world();
	assert_ok(log_fixture_open(&f));
	log_fixture_close(&f);
	assert_ok(io_mkdir_all(io, "/data/trash/x-0"));
	uint32_t dir = sim_disk_lookup(disk, SIM_ROOT, STR("data"));
	dir = sim_disk_lookup(disk, sim_disk_lookup(disk, dir, STR("trash")), STR("x-0"));
	for (int i = 0; i < 5; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/data/trash/x-0/%d.log", i);
		make_file(path, sizes[i]);
		inode[i] = sim_disk_lookup(disk, dir, str_of(path + strlen("/data/trash/x-0/")));
		assert_true(inode[i] > 0);
	}
	size_t from = sim_io_op_count(io);
	assert_ok(log_fixture_open(&f));
	for (int turns = 0; f.log->drops > 0 && turns < 1000; turns++)
		log_fixture_turn(&f);
	for (int i = 0; i < 5; i++) {
		char name[16];
		snprintf(name, sizeof(name), "%d.log", i);
		struct dropped d = look(from, inode[i], name, sizes[i]);
		assert_true(d.unlinked);
		assert_int_equal(d.pieces, pieces[i]);
		assert_true(d.size <= PIECE_MIB * MIB);
	}
	struct io_names names;
	assert_ok(io_list(io, "/data/trash", &names));
	assert_int_equal(names.count, 0);
	io_names_release(&names);
	close_world();
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_large_file_of_a_deleted_topic_goes_in_pieces),
	};
	return cmocka_run_group_tests_name("unlink", tests, NULL, NULL);
}
