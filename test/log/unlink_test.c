/* SPDX-License-Identifier: Apache-2.0 */
#include "log/index_check.h"
#include "log/partition_drop.h"
#include "log/scrub.h"
#include "test/lib/log_fixture.h"
#include "test/lib/sim_io.h"

#include <stdio.h>

/*
 * Large files go piece by piece (partition_drop.c): the name first, so that no start finds half a
 * segment, then 64 MiB at a time. Seen in the operations on the simulated disk.
 */
enum { PIECE_MIB = 64 };
#define TRASH_NAME "0123456789abcdef0123456789abcdef-0"
#define TRASH      "/data/trash/" TRASH_NAME

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
	assert_ok(io_mkdir_all(io, TRASH));
	uint32_t dir = sim_disk_lookup(disk, SIM_ROOT, STR("data"));
	dir = sim_disk_lookup(disk, sim_disk_lookup(disk, dir, STR("trash")), STR(TRASH_NAME));
	for (int i = 0; i < 5; i++) {
		char path[64];
		snprintf(path, sizeof(path), "%s/%d.log", TRASH, i);
		make_file(path, sizes[i]);
		inode[i] = sim_disk_lookup(disk, dir, str_of(path + strlen(TRASH "/")));
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

/* What the server did not put there is not its to take away. */
static void what_else_lies_in_the_trash_stays(void **state)
{
	static const char *const others[] = {"j", TRASH_NAME "x", "0123456789abcdef-0",
	    "0123456789abcdef0123456789abcdef0-0", "0123456789ABCDEF0123456789abcdef-0",
	    "0123456789abcdef0123456789abcdef-", "0123456789abcdef0123456789abcdef--1"};
	enum { OTHERS = sizeof(others) / sizeof(others[0]) };
	char path[128];
	(void)state;
	disk = sim_disk_new(0);
	open_world();
	for (int i = 0; i < OTHERS; i++) {
		snprintf(path, sizeof(path), "/data/trash/%s", others[i]);
		assert_ok(io_mkdir_all(io, path));
		snprintf(path, sizeof(path), "/data/trash/%s/journal-0", others[i]);
		make_file(path, 1);
	}
	assert_ok(io_mkdir_all(io, TRASH));
	assert_ok(log_fixture_open(&f));
	for (int turns = 0; f.log->drops > 0 && turns < 1000; turns++)
		log_fixture_turn(&f);
	struct io_names names;
	struct io_stat stat;
	assert_ok(io_list(io, "/data/trash", &names));
	assert_int_equal(names.count, OTHERS);
	io_names_release(&names);
	for (int i = 0; i < OTHERS; i++) {
		snprintf(path, sizeof(path), "/data/trash/%s/journal-0", others[i]);
		assert_ok(io_stat(io, path, &stat));
	}
	log_fixture_close(&f);
	close_world();
	sim_disk_free(disk);
}

/* ---- a topic deleted, and one of its name made ------------------------------------------------ */

struct deletion {
	struct partition_delete_req req;
	bool done;
};

static void deleted(struct partition_delete_req *req)
{
	CONTAINER_OF(req, struct deletion, req)->done = true;
}

static void deletion_start(struct deletion *d)
{
	*d = (struct deletion){.req = {.partition = f.partitions[0][0], .done = deleted}};
	partition_ref(f.partitions[0][0]);
	partition_delete(f.log, &d->req);
}

static void deletion_await(struct deletion *d)
{
	for (int turns = 0; !d->done && turns < 1000; turns++)
		log_fixture_turn(&f);
	assert_true(d->done);
	assert_ok(d->req.err);
	partition_unref(f.partitions[0][0]);
	memset(f.topics[0].id.b, 0x77, sizeof(f.topics[0].id.b)); /* the next of that name */
	assert_ok(partition_open(f.log, &f.topics[0], 0, 0, 0, &f.partitions[0][0]));
}

static void world_with_records(int count)
{
	disk = sim_disk_new(0);
	open_world();
	assert_ok(log_fixture_open(&f));
	for (int i = 0; i < count; i++)
		log_put_ok(&f, 0, 0, (uint64_t)i + 1, 1, 30);
}

static uint32_t inode_of(const char *name)
{
	uint32_t dir = sim_disk_lookup(disk, SIM_ROOT, STR("data"));
	dir = sim_disk_lookup(disk, dir, STR("topics"));
	dir = sim_disk_lookup(disk, dir, STR("topic0-0"));
	return sim_disk_lookup(disk, dir, str_of(name));
}

static void checkpoint(void)
{
	checkpoint_start(&f.log->checkpointer);
	for (int turns = 0; f.log->checkpointer.state != CHECKPOINT_IDLE && turns < 1000; turns++)
		log_fixture_turn(&f);
	assert_int_equal(f.log->checkpointer.state, CHECKPOINT_IDLE);
}

static struct segment *first_segment(void)
{
	struct list_node *first = list_first(&f.partitions[0][0]->segments);
	assert_non_null(first);
	ASSERT(first);
	return CONTAINER_OF(first, struct segment, node);
}

/* What was not flushed when the topic went is of no use, and there is another file of that name. */
static void entries_of_a_deleted_topic_do_not_go_into_the_next_ones_index(void **state)
{
	struct deletion d;
	(void)state;
	world_with_records(20);
	deletion_start(&d);
	deletion_await(&d);
	log_put_ok(&f, 0, 0, 1, 1, 30);
	size_t from = sim_io_op_count(io);
	checkpoint();
	uint32_t inode = inode_of("00000000000000000000.idx");
	assert_true(inode > 0);
	uint64_t end = 0;
	for (size_t i = from; i < sim_io_op_count(io); i++) {
		const struct sim_op *op = sim_io_op(io, i);
		if (op->kind == SIM_OP_WRITE && op->inode == inode && op->pos + op->data.len > end)
			end = op->pos + op->data.len;
	}
	assert_int_equal(end, INDEX_HEADER_BYTES + INDEX_ENTRY_BYTES); /* of one record */
	close_world();
	sim_disk_free(disk);
}

/* The name is not given away while somebody is about to write under it. */
static void a_delete_waits_for_the_flush_of_an_index(void **state)
{
	struct deletion d;
	(void)state;
	world_with_records(5);
	checkpoint_start(&f.log->checkpointer);
	assert_int_equal(f.log->checkpointer.jobs, 1);
	deletion_start(&d);
	assert_ptr_equal(f.partitions[0][0]->deleting, &d.req); /* not with the pool */
	while (f.log->checkpointer.jobs > 0) {
		assert_ptr_equal(f.partitions[0][0]->deleting, &d.req);
		log_fixture_turn(&f);
	}
	deletion_await(&d);
	close_world();
	sim_disk_free(disk);
}

static void a_delete_waits_for_the_check_of_an_index(void **state)
{
	struct deletion d;
	(void)state;
	world_with_records(5);
	checkpoint();
	struct segment *s = first_segment();
	index_doubt(s);
	assert_non_null(s->checking);
	s->holds++; /* so that it can be looked at */
	deletion_start(&d);
	while (s->checking) {
		assert_ptr_equal(f.partitions[0][0]->deleting, &d.req);
		log_fixture_turn(&f);
	}
	struct index_wait wait;
	s->index.trusted = false;
	assert_true(index_verify(s, &wait)); /* no new one is begun */
	assert_int_equal(wait.err, ERR_UNKNOWN_TOPIC);
	segment_unhold(s);
	deletion_await(&d);
	close_world();
	sim_disk_free(disk);
}

/* It repairs what the journal still has, and goes on elsewhere when the topic is gone. */
static void a_delete_waits_for_the_scrubber(void **state)
{
	struct deletion d;
	(void)state;
	disk = sim_disk_new(0);
	open_world();
	f.options.scrub_bytes_per_second = 100000000;
	f.options.scrub_rest_ns = 50 * MS_NS;
	assert_ok(log_fixture_open(&f));
	log_put_ok(&f, 0, 0, 1, 1, 30);
	struct segment *s = first_segment();
	for (int turns = 0; !(scrub_busy(f.log->scrub) && s->holds > 0) && turns < 10000; turns++)
		log_fixture_turn(&f);
	assert_true(scrub_busy(f.log->scrub));
	s->holds++;
	deletion_start(&d);
	assert_ptr_equal(f.partitions[0][0]->deleting, &d.req);
	while (s->holds > 1) {
		assert_true(!scrub_busy(f.log->scrub) || f.partitions[0][0]->deleting == &d.req);
		log_fixture_turn(&f);
	}
	segment_unhold(s);
	deletion_await(&d);
	close_world();
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_large_file_of_a_deleted_topic_goes_in_pieces),
	    cmocka_unit_test(what_else_lies_in_the_trash_stays),
	    cmocka_unit_test(entries_of_a_deleted_topic_do_not_go_into_the_next_ones_index),
	    cmocka_unit_test(a_delete_waits_for_the_flush_of_an_index),
	    cmocka_unit_test(a_delete_waits_for_the_check_of_an_index),
	    cmocka_unit_test(a_delete_waits_for_the_scrubber),
	};
	return cmocka_run_group_tests_name("unlink", tests, NULL, NULL);
}
