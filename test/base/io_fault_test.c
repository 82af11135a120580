/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that end early: short transfers, EINTR and EAGAIN are nobody's business but the
 * seam's, on both real backends and in the blocking half. An error is not. The calls of the program
 * are bent at link time (--wrap), one after the other.
 */
#include "log/base/base.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

/* ---- bent calls ------------------------------------------------------------------------------ */

enum { CUT_SHORT = 1 << 16 };
/* The next `left` calls of all kinds say `what` (one, where threads race for it). */
static _Atomic int left;
static int what;
static _Atomic unsigned struck;

static int bend(void)
{
	if (left <= 0 || left-- <= 0)
		return 0;
	struck++;
	return what;
}

static ssize_t fail_with(int sys_errno)
{
	errno = sys_errno;
	return -1;
}

#define REAL(ret, name, ...)                                                                       \
	ret __real_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__);                                                            \
	ret __wrap_##name(__VA_ARGS__)
REAL(ssize_t, pread, int fd, void *buf, size_t len, off_t pos)
{
	int b = bend();
	if (b == CUT_SHORT)
		len = (len + 1) / 2;
	return b == 0 || b == CUT_SHORT ? __real_pread(fd, buf, len, pos) : fail_with(b);
}
REAL(ssize_t, pwrite, int fd, const void *buf, size_t len, off_t pos)
{
	int b = bend();
	if (b == CUT_SHORT)
		len = (len + 1) / 2;
	return b == 0 || b == CUT_SHORT ? __real_pwrite(fd, buf, len, pos) : fail_with(b);
}
REAL(ssize_t, preadv, int fd, const struct iovec *iov, int count, off_t pos)
{
	int b = bend();
	if (b == CUT_SHORT)
		return __real_pread(fd, iov->iov_base, (iov->iov_len + 1) / 2, pos);
	return b == 0 ? __real_preadv(fd, iov, count, pos) : fail_with(b);
}
REAL(ssize_t, pwritev, int fd, const struct iovec *iov, int count, off_t pos)
{
	int b = bend();
	if (b == CUT_SHORT)
		return __real_pwrite(fd, iov->iov_base, (iov->iov_len + 1) / 2, pos);
	return b == 0 ? __real_pwritev(fd, iov, count, pos) : fail_with(b);
}
REAL(ssize_t, pwritev2, int fd, const struct iovec *iov, int count, off_t pos, int flags)
{
	int b = bend();
	struct iovec part = {iov->iov_base, (iov->iov_len + 1) / 2};
	if (b == CUT_SHORT)
		return __real_pwritev2(fd, &part, 1, pos, flags);
	return b == 0 ? __real_pwritev2(fd, iov, count, pos, flags) : fail_with(b);
}
REAL(int, fdatasync, int fd)
{
	int b = bend();
	return b == 0 || b == CUT_SHORT ? __real_fdatasync(fd) : (int)fail_with(b);
}
REAL(int, fsync, int fd)
{
	int b = bend();
	return b == 0 || b == CUT_SHORT ? __real_fsync(fd) : (int)fail_with(b);
}
REAL(int, ftruncate, int fd, off_t size)
{
	int b = bend();
	return b == 0 || b == CUT_SHORT ? __real_ftruncate(fd, size) : (int)fail_with(b);
}

static void bend_next(int how, int count)
{
	what = how;
	struck = 0;
	left = count;
}

static unsigned bent(void)
{
	left = 0;
	return struck;
}

/* ---- tests ----------------------------------------------------------------------------------- */

enum { LEN = 10000 };
static uint8_t in[LEN], out[LEN];
static char path[4200];
static char *dir;

static int setup(void **state)
{
	(void)state;
	dir = tempdir_new();
	snprintf(path, sizeof(path), "%s/file", dir);
	for (int i = 0; i < LEN; i++)
		in[i] = (uint8_t)(i * 7 + i / 251);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bent();
	tempdir_remove(dir);
	return 0;
}

static struct io *io_start(const char *backend, int *ret_fd)
{
	struct io *io;
	assert_int_equal(io_new(backend, &io), ERR_OK);
	assert_int_equal(io_open(io, path, IO_CREATE, ret_fd), ERR_OK);
	return io;
}

static const int over[] = {EINTR, EAGAIN, CUT_SHORT};

static void blocking_calls_go_on(void **state)
{
	int fd;
	struct io *io = io_start("threads", &fd);
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t got = 0;
		memset(out, 0, sizeof(out));
		bend_next(over[i], 3);
		assert_int_equal(io_pwrite(io, fd, in, LEN, 0), ERR_OK);
		assert_int_equal(bent(), 3);
		bend_next(over[i], 3);
		assert_int_equal(io_pread(io, fd, out, LEN, 0, &got), ERR_OK);
		assert_int_equal(bent(), 3);
		assert_int_equal(got, LEN);
		assert_memory_equal(in, out, LEN);
		bend_next(EINTR, 2);
		assert_int_equal(io_fdatasync(io, fd), ERR_OK);
		assert_int_equal(bent(), 2);
		bend_next(EINTR, 2);
		assert_int_equal(io_fsync(io, fd), ERR_OK);
		assert_int_equal(bent(), 2);
		bend_next(EINTR, 2);
		assert_int_equal(io_truncate(io, fd, LEN), ERR_OK);
		assert_int_equal(bent(), 2);
		bend_next(EINTR, 2);
		assert_int_equal(io_fsync_dir(io, dir), ERR_OK);
		assert_int_equal(bent(), 2);
	}
	assert_int_equal(io_close(io, fd), ERR_OK);
	io_free(io);
}

static void an_error_of_a_blocking_call_is_told(void **state)
{
	int fd;
	size_t got = 0;
	struct io *io = io_start("threads", &fd);
	(void)state;
	bend_next(EIO, 1);
	assert_int_equal(io_pwrite(io, fd, in, LEN, 0), ERR_IO);
	bend_next(ENOSPC, 1);
	assert_int_equal(io_pwrite(io, fd, in, LEN, 0), ERR_NOSPACE);
	bend_next(EIO, 1);
	assert_int_equal(io_pread(io, fd, out, LEN, 0, &got), ERR_IO);
	bend_next(EIO, 1);
	assert_int_equal(io_fdatasync(io, fd), ERR_IO);
	assert_int_equal(bent(), 1); /* and not tried again */
	bend_next(EIO, 1);
	assert_int_equal(io_fsync_dir(io, dir), ERR_IO);
	bent();
	assert_int_equal(io_close(io, fd), ERR_OK);
	io_free(io);
}

static void request_done(struct io_req *req)
{
	req->fd = -1;
}

static struct io_req run_request(struct io *io, int fd, enum io_op op, uint8_t *buf)
{
	struct iovec iov[2] = {{buf, 4000}, {buf + 4000, LEN - 4000}};
	struct io_req req = {.op = op,
	    .fd = fd,
	    .iov = op == IO_FDATASYNC ? NULL : iov,
	    .iov_count = op == IO_FDATASYNC ? 0 : 2,
	    .done = request_done};
	io_submit(io, &req);
	while (req.fd >= 0)
		assert_int_equal(io_poll(io, 100 * MS_NS), ERR_OK);
	return req;
}

/* Of the helper threads; what the kernel does in a ring is not ours to bend. */
static void requests_go_on(void **state)
{
	int fd;
	struct io *io = io_start("threads", &fd);
	(void)state;
	for (size_t i = 0; i < 3; i++) {
		memset(out, 0, sizeof(out));
		bend_next(over[i], 3);
		struct io_req req = run_request(io, fd, IO_WRITE, in);
		assert_int_equal(bent(), 3);
		assert_int_equal(req.err, ERR_OK);
		assert_int_equal(req.result, LEN);
		bend_next(over[i], 3);
		req = run_request(io, fd, IO_READ, out);
		assert_int_equal(req.err, ERR_OK);
		assert_int_equal(req.result, LEN);
		bent();
		assert_memory_equal(in, out, LEN);
	}
	bend_next(EINTR, 2);
	assert_int_equal(run_request(io, fd, IO_FDATASYNC, in).err, ERR_OK);
	assert_int_equal(bent(), 2);
	bend_next(EIO, 1);
	assert_int_equal(run_request(io, fd, IO_FDATASYNC, in).err, ERR_IO);
	assert_int_equal(bent(), 1);
	bend_next(ENOSPC, 1);
	assert_int_equal(run_request(io, fd, IO_WRITE, in).err, ERR_NOSPACE);
	bent();
	for (size_t i = 0; i < 3; i++) {
		bend_next(over[i], 3);
		assert_int_equal(run_request(io, fd, IO_WRITE_DURABLE, in).result, LEN);
		assert_int_equal(bent(), 3);
	}
	bend_next(EIO, 1);
	assert_int_equal(run_request(io, fd, IO_WRITE_DURABLE, in).err, ERR_IO);
	assert_int_equal(bent(), 1); /* and not tried again */
	assert_int_equal(io_close(io, fd), ERR_OK);
	io_free(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(blocking_calls_go_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_error_of_a_blocking_call_is_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(requests_go_on, setup, teardown),
	};
	return cmocka_run_group_tests_name("io_fault", tests, NULL, NULL);
}
