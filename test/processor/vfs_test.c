/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include "processor/io/vfs.h"
#include "processor/io/vfs_lock.h"
#include <sqlite3.h>
#include <stdio.h>

struct fixture {
	struct io *io;
	struct vfs *vfs;
	char *dir;
	char path[96];
};

static int setup(void **state)
{
	struct fixture *f = mem_calloc(1, sizeof(*f));
	f->dir = tempdir_new();
	(void)snprintf(f->path, sizeof(f->path), "%s/a.db", f->dir);
	assert_int_equal(io_new("threads", &f->io), ERR_OK);
	assert_int_equal(vfs_new(f->io, &f->vfs), ERR_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	vfs_free(f->vfs);
	io_free(f->io);
	tempdir_remove(f->dir);
	mem_free(f);
	return 0;
}

static sqlite3 *open_db(struct fixture *f, const char *vfs)
{
	sqlite3 *db;
	int reserved = VFS_RESERVED_BYTES;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	assert_int_equal(sqlite3_open_v2(f->path, &db, flags, vfs), SQLITE_OK);
	(void)sqlite3_extended_result_codes(db, 1);
	assert_int_equal(
	    sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved), SQLITE_OK);
	return db;
}

static void run(sqlite3 *db, const char *sql)
{
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static int64_t scalar(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	int64_t v = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_finalize(stmt);
	return v;
}

static const char fill[] =
    "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
    "INSERT INTO t SELECT i, 'value number ' || i || ' of the table' FROM n;";

static void what_is_written_is_read_back_also_by_other_sqlite_programs(void **state)
{
	struct fixture *f = *state;
	sqlite3 *db = open_db(f, vfs_name(f->vfs));
	run(db, "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;");
	run(db, fill);
	/* another program reads while the writer is there, from the write-ahead log */
	sqlite3 *foreign = open_db(f, "unix");
	assert_int_equal(scalar(foreign, "SELECT count(*) FROM t"), 300);
	run(db, "INSERT INTO t VALUES (1000, 'later')");
	assert_int_equal(scalar(foreign, "SELECT count(*) FROM t"), 301);
	(void)sqlite3_close(foreign);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	/* and from the database alone */
	foreign = open_db(f, "unix");
	assert_int_equal(scalar(foreign, "SELECT count(*) FROM t"), 301);
	assert_int_equal(
	    scalar(foreign,
	        "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"),
	    1);
	(void)sqlite3_close(foreign);
	db = open_db(f, vfs_name(f->vfs));
	assert_int_equal(scalar(db, "SELECT sum(a) FROM t"), 300 * 301 / 2 + 1000);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void make_database(struct fixture *f)
{
	sqlite3 *db = open_db(f, vfs_name(f->vfs));
	run(db, "PRAGMA journal_mode = WAL");
	run(db, fill);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void every_flipped_bit_of_a_database_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct vfs_verdict verdict;
	struct bytes content;
	make_database(f);
	assert_int_equal(vfs_verify(f->io, f->path, &verdict), ERR_OK);
	assert_true(verdict.pages >= 4);
	assert_int_equal(io_read_file(f->io, f->path, MIB, &content), ERR_OK);
	int fd;
	assert_int_equal(io_open(f->io, f->path, 0, &fd), ERR_OK);
	for (size_t pos = 0; pos < content.len; pos++) {
		for (int bit = 0; bit < 8; bit += 1 + (int)(pos % 5)) {
			uint8_t flipped = (uint8_t)(content.ptr[pos] ^ (1u << bit));
			assert_int_equal(io_pwrite(f->io, fd, &flipped, 1, pos), ERR_OK);
			if (vfs_verify(f->io, f->path, &verdict) != ERR_CORRUPT)
				fail_msg("bit %d of byte %zu was not noticed", bit, pos);
			assert_int_equal(verdict.bad_page, pos / VFS_PAGE_BYTES + 1);
		}
		assert_int_equal(io_pwrite(f->io, fd, content.ptr + pos, 1, pos), ERR_OK);
		err_clear();
	}
	assert_int_equal(vfs_verify(f->io, f->path, &verdict), ERR_OK);
	assert_int_equal(io_close(f->io, fd), ERR_OK);
	mem_free((void *)(uintptr_t)content.ptr);
}

static void a_statement_that_meets_a_bad_page_fails_instead_of_answering(void **state)
{
	struct fixture *f = *state;
	make_database(f);
	int fd;
	uint8_t byte = 0xa5;
	assert_int_equal(io_open(f->io, f->path, 0, &fd), ERR_OK);
	assert_int_equal(io_pwrite(f->io, fd, &byte, 1, 3 * VFS_PAGE_BYTES + 1000), ERR_OK);
	assert_int_equal(io_close(f->io, fd), ERR_OK);
	sqlite3 *db = open_db(f, vfs_name(f->vfs));
	sqlite3_stmt *stmt;
	assert_int_equal(
	    sqlite3_prepare_v2(db, "SELECT sum(length(b)) FROM t", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_IOERR_DATA);
	(void)sqlite3_finalize(stmt);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_page_in_the_wrong_place_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct vfs_verdict verdict;
	uint8_t page[VFS_PAGE_BYTES];
	int fd;
	make_database(f);
	assert_int_equal(io_open(f->io, f->path, 0, &fd), ERR_OK);
	assert_int_equal(io_pread_all(f->io, fd, page, sizeof(page), 2 * VFS_PAGE_BYTES), ERR_OK);
	assert_int_equal(io_pwrite(f->io, fd, page, sizeof(page), 3 * VFS_PAGE_BYTES), ERR_OK);
	assert_int_equal(io_close(f->io, fd), ERR_OK);
	assert_int_equal(vfs_verify(f->io, f->path, &verdict), ERR_CORRUPT);
	assert_int_equal(verdict.bad_page, 4);
}

static void a_file_cut_inside_a_page_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct vfs_verdict verdict;
	struct io_stat st;
	int fd;
	make_database(f);
	assert_int_equal(io_stat(f->io, f->path, &st), ERR_OK);
	assert_int_equal(io_open(f->io, f->path, 0, &fd), ERR_OK);
	assert_int_equal(io_truncate(f->io, fd, st.size_bytes - 1), ERR_OK);
	assert_int_equal(io_close(f->io, fd), ERR_OK);
	assert_int_equal(vfs_verify(f->io, f->path, &verdict), ERR_CORRUPT);
}

static void stamps_tell_the_newest_checkpoint_a_page_may_hold(void **state)
{
	struct fixture *f = *state;
	struct vfs_verdict verdict;
	uint64_t stamp = 41;
	sqlite3 *db = open_db(f, vfs_name(f->vfs));
	run(db, "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;");
	run(db, fill);
	assert_int_equal(sqlite3_file_control(db, "main", VFS_FCNTL_STAMP, &stamp), SQLITE_OK);
	run(db, "PRAGMA wal_checkpoint");
	assert_int_equal(vfs_verify(f->io, f->path, &verdict), ERR_OK);
	assert_int_equal(verdict.max_stamp, 41);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_hundred_connections_share_a_file_and_keep_its_locks(void **state)
{
	struct fixture *f = *state;
	sqlite3 *writer = open_db(f, vfs_name(f->vfs));
	run(writer, "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;");
	run(writer, fill);
	for (int i = 0; i < 100; i++) {
		sqlite3 *reader = open_db(f, vfs_name(f->vfs));
		run(reader, "BEGIN");
		assert_int_equal(scalar(reader, "SELECT count(*) FROM t"), 300 + i);
		run(writer, "INSERT INTO t(b) VALUES ('x')");
		assert_int_equal(scalar(reader, "SELECT count(*) FROM t"), 300 + i);
		assert_int_equal(sqlite3_close(reader), SQLITE_OK);
	}
	/* had a lock been lost, a foreign last connection would have taken the write-ahead log away
	 */
	sqlite3 *foreign = open_db(f, "unix");
	assert_int_equal(scalar(foreign, "SELECT count(*) FROM t"), 400);
	(void)sqlite3_close(foreign);
	run(writer, "INSERT INTO t(b) VALUES ('y')");
	assert_int_equal(scalar(writer, "SELECT count(*) FROM t"), 401);
	assert_int_equal(sqlite3_close(writer), SQLITE_OK);
}

static void locks_in_memory_keep_sqlites_rules(void **state)
{
	(void)state;
	struct vfs_locks l = {0};
	struct vfs_holder a = {0}, b = {0};
	assert_int_equal(vfs_lock(&l, &a, SQLITE_LOCK_SHARED), SQLITE_OK);
	assert_int_equal(vfs_lock(&l, &b, SQLITE_LOCK_SHARED), SQLITE_OK);
	assert_int_equal(vfs_lock(&l, &a, SQLITE_LOCK_RESERVED), SQLITE_OK);
	assert_int_equal(vfs_lock(&l, &b, SQLITE_LOCK_RESERVED), SQLITE_BUSY);
	assert_int_equal(vfs_lock(&l, &a, SQLITE_LOCK_EXCLUSIVE), SQLITE_BUSY);
	assert_int_equal(a.level, SQLITE_LOCK_PENDING);
	assert_int_equal(vfs_unlock(&l, &b, SQLITE_LOCK_NONE), SQLITE_OK);
	assert_int_equal(
	    vfs_lock(&l, &b, SQLITE_LOCK_SHARED), SQLITE_BUSY); /* the pending writer comes first */
	assert_int_equal(vfs_lock(&l, &a, SQLITE_LOCK_EXCLUSIVE), SQLITE_OK);
	assert_int_equal(vfs_unlock(&l, &a, SQLITE_LOCK_NONE), SQLITE_OK);
	assert_int_equal(vfs_lock(&l, &b, SQLITE_LOCK_EXCLUSIVE), SQLITE_OK);
	assert_int_equal(vfs_unlock(&l, &b, SQLITE_LOCK_SHARED), SQLITE_OK);
	assert_int_equal(vfs_lock(&l, &a, SQLITE_LOCK_SHARED), SQLITE_OK);

	assert_int_equal(
	    vfs_shm_lock(&l, &a, 3, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_OK);
	assert_int_equal(
	    vfs_shm_lock(&l, &b, 3, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_OK);
	assert_int_equal(
	    vfs_shm_lock(&l, &b, 2, 3, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE), SQLITE_BUSY);
	assert_int_equal(
	    vfs_shm_lock(&l, &a, 3, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED), SQLITE_OK);
	assert_int_equal(
	    vfs_shm_lock(&l, &b, 2, 3, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE), SQLITE_OK);
	assert_int_equal(
	    vfs_shm_lock(&l, &a, 4, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_BUSY);
	vfs_shm_drop(&l, &b);
	assert_int_equal(
	    vfs_shm_lock(&l, &a, 4, 1, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE), SQLITE_OK);
	void volatile *p = NULL;
	assert_int_equal(vfs_shm_map(&l, 0, 32768, 0, &p), SQLITE_OK);
	assert_null((void *)(uintptr_t)p);
	assert_int_equal(vfs_shm_map(&l, 0, 32768, 1, &p), SQLITE_OK);
	assert_non_null((void *)(uintptr_t)p);
	vfs_locks_release(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        what_is_written_is_read_back_also_by_other_sqlite_programs, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        every_flipped_bit_of_a_database_is_noticed, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_statement_that_meets_a_bad_page_fails_instead_of_answering, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_page_in_the_wrong_place_is_noticed, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_file_cut_inside_a_page_is_noticed, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        stamps_tell_the_newest_checkpoint_a_page_may_hold, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        a_hundred_connections_share_a_file_and_keep_its_locks, setup, teardown),
	    cmocka_unit_test(locks_in_memory_keep_sqlites_rules),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
