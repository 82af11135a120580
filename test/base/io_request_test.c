/* SPDX-License-Identifier: Apache-2.0 */
/* Asynchronous file requests, polling and waking, on each backend. */
#include "test/lib/io_fixture.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static int open_new(struct io_fixture *f, const char *name)
{
	int fd = -1;
	assert_ok(io_open(f->io, io_path(f, name), IO_CREATE | IO_EXCLUSIVE, &fd));
	return fd;
}

static void a_write_and_a_read_complete_once_from_poll(struct io_fixture *f)
{
	int fd = open_new(f, "a");
	struct io_call c;
	char text[] = "hello world", buf[32] = {0};
	io_call_init(&c, IO_WRITE, fd, text, 11);
	io_call_at(&c, 5);
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, 11);
	io_call_init(&c, IO_FDATASYNC, fd, NULL, 0);
	assert_ok(io_call_run(f, &c));
	io_call_init(&c, IO_WRITEBACK, fd, text, sizeof(text)); /* a hint: only the length counts */
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, 0);
	io_call_init(&c, IO_READ, fd, buf, 11);
	io_call_at(&c, 5);
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, 11);
	assert_memory_equal(buf, text, 11);
	io_call_init(&c, IO_WRITE_DURABLE, fd, text + 6, 5);
	io_call_at(&c, 16);
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, 5);
	assert_ok(io_pread_all(f->io, fd, buf, 16, 5));
	assert_memory_equal(buf, "hello worldworld", 16);
	io_settle(f);
	assert_int_equal(c.done, 1);
	assert_ok(io_close(f->io, fd));
}

static void a_read_stops_at_the_end_of_the_file(struct io_fixture *f)
{
	int fd = open_new(f, "eof");
	assert_ok(io_pwrite(f->io, fd, "abc", 3, 0));
	struct io_call c;
	char buf[8];
	io_call_init(&c, IO_READ, fd, buf, sizeof(buf));
	io_call_at(&c, 1);
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, 2);
	assert_memory_equal(buf, "bc", 2);
	io_call_init(&c, IO_READ, fd, buf, sizeof(buf));
	io_call_at(&c, 100);
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, 0);
	assert_ok(io_close(f->io, fd));
}

static void pieces_are_gathered_and_scattered_in_order(struct io_fixture *f)
{
	int fd = open_new(f, "pieces");
	static uint8_t out[IO_IOV_MAX][7], in[IO_IOV_MAX][7];
	static struct iovec iov[IO_IOV_MAX];
	for (size_t i = 0; i < IO_IOV_MAX; i++) {
		memset(out[i], (int)(i * 31 + 1), sizeof(out[i]));
		iov[i] = (struct iovec){out[i], i % 5 == 4 ? 0 : sizeof(out[i])};
	}
	struct io_call c;
	io_call_init(&c, IO_WRITE, fd, NULL, 0);
	c.req.iov = iov;
	c.req.iov_count = IO_IOV_MAX;
	assert_ok(io_call_run(f, &c));
	int64_t written = c.req.result;
	memset(in, 0, sizeof(in));
	for (size_t i = 0; i < IO_IOV_MAX; i++)
		iov[i].iov_base = in[i];
	io_call_init(&c, IO_READ, fd, NULL, 0);
	c.req.iov = iov;
	c.req.iov_count = IO_IOV_MAX;
	assert_ok(io_call_run(f, &c));
	assert_true(c.req.result == written);
	for (size_t i = 0; i < IO_IOV_MAX; i++)
		assert_memory_equal(in[i], out[i], iov[i].iov_len);
	assert_ok(io_close(f->io, fd));
}

enum { MANY = 3000, BLOCK = 512 };

static void more_requests_than_any_ring_holds_all_complete(struct io_fixture *f)
{
	int fd = open_new(f, "many");
	struct io_call *calls = mem_calloc(MANY, sizeof(*calls));
	uint8_t *data = mem_alloc((size_t)MANY * BLOCK);
	assert_true(calls && data);
	for (size_t i = 0; i < (size_t)MANY * BLOCK; i++)
		data[i] = (uint8_t)(i / BLOCK * 7 + i);
	for (size_t i = 0; i < MANY; i++) {
		io_call_init(&calls[i], IO_WRITE, fd, data + i * BLOCK, BLOCK);
		io_call_at(&calls[i], i * BLOCK);
		io_submit(f->io, &calls[i].req);
	}
	for (size_t i = 0; i < MANY; i++) {
		io_call_wait(f, &calls[i]);
		assert_ok(calls[i].req.err);
	}
	uint8_t *back = mem_alloc((size_t)MANY * BLOCK);
	assert_non_null(back);
	for (size_t i = 0; i < MANY; i++) {
		io_call_init(&calls[i], IO_READ, fd, back + i * BLOCK, BLOCK);
		io_call_at(&calls[i], i * BLOCK);
		io_submit(f->io, &calls[i].req);
	}
	for (size_t i = 0; i < MANY; i++)
		io_call_wait(f, &calls[i]);
	assert_memory_equal(back, data, (size_t)MANY * BLOCK);
	mem_free(back);
	mem_free(data);
	mem_free(calls);
	assert_ok(io_close(f->io, fd));
}

static void a_large_transfer_is_whole(struct io_fixture *f)
{
	int fd = open_new(f, "large");
	size_t len = 24 * MIB;
	uint8_t *data = mem_alloc(len), *back = mem_alloc(len);
	assert_true(data && back);
	for (size_t i = 0; i < len; i++)
		data[i] = (uint8_t)(i >> 8 ^ i);
	struct io_call c;
	io_call_init(&c, IO_WRITE, fd, data, len);
	assert_ok(io_call_run(f, &c));
	assert_true(c.req.result == (int64_t)len);
	io_call_init(&c, IO_READ, fd, back, len);
	assert_ok(io_call_run(f, &c));
	assert_true(c.req.result == (int64_t)len);
	assert_true(memcmp(data, back, len) == 0);
	mem_free(data);
	mem_free(back);
	assert_ok(io_close(f->io, fd));
}

static void failures_carry_their_errno_and_a_note(struct io_fixture *f)
{
	int fd = -1;
	int closed = open_new(f, "x");
	assert_ok(io_close(f->io, closed));
	assert_ok(io_open(f->io, io_path(f, "x"), IO_READONLY, &fd));
	struct io_call c;
	char buf[4] = "abc";
	err_clear();
	io_call_init(&c, IO_WRITE, fd, buf, 3);
	assert_int_not_equal(io_call_run(f, &c), ERR_OK);
	assert_int_not_equal(c.req.sys_errno, 0);
	assert_non_null(strstr(err_chain(), "write"));
	err_clear();
	io_call_init(&c, IO_READ, 1 << 20, buf, 3);
	assert_int_not_equal(io_call_run(f, &c), ERR_OK);
	io_call_init(&c, IO_FDATASYNC, 1 << 20, NULL, 0);
	assert_int_not_equal(io_call_run(f, &c), ERR_OK);
	assert_ok(io_close(f->io, fd));
	err_clear();
}

struct chain {
	struct io_call call;
	struct io_fixture *f;
	int left;
	bool inside;
	char byte;
};

static void chain_next(struct io_req *req)
{
	struct chain *ch = CONTAINER_OF(CONTAINER_OF(req, struct io_call, req), struct chain, call);
	assert_false(ch->inside);
	assert_ok(req->err);
	if (ch->left-- == 0) {
		ch->call.done++;
		return;
	}
	ch->inside = true;
	req->pos++;
	io_submit(ch->f->io, req);
	ch->inside = false;
}

static void a_request_may_be_submitted_again_from_its_done(struct io_fixture *f)
{
	int fd = open_new(f, "chain");
	struct chain ch = {.f = f, .left = 500, .byte = 'z'};
	io_call_init(&ch.call, IO_WRITE, fd, &ch.byte, 1);
	ch.call.req.done = chain_next;
	io_submit(f->io, &ch.call.req);
	io_call_wait(f, &ch.call);
	struct io_stat st;
	assert_ok(io_fstat(f->io, fd, &st));
	assert_int_equal(st.size_bytes, 501);
	assert_ok(io_close(f->io, fd));
}

static void a_cancelled_file_request_completes_once_either_way(struct io_fixture *f)
{
	int fd = open_new(f, "cancel");
	static uint8_t block[65536];
	struct io_call calls[64];
	for (size_t i = 0; i < 64; i++) {
		io_call_init(
		    &calls[i], i % 8 == 7 ? IO_FDATASYNC : IO_WRITE, fd, block, sizeof(block));
		io_call_at(&calls[i], i * sizeof(block));
		io_submit(f->io, &calls[i].req);
	}
	for (size_t i = 0; i < 64; i++)
		io_cancel(f->io, &calls[i].req);
	for (size_t i = 0; i < 64; i++) {
		io_call_wait(f, &calls[i]);
		enum err e = calls[i].req.err;
		assert_true(e == ERR_OK || e == ERR_CANCELLED);
	}
	io_settle(f);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(calls[i].done, 1);
	assert_ok(io_close(f->io, fd));
	err_clear();
}

static void a_poll_waits_its_time_and_no_longer(struct io_fixture *f)
{
	int64_t took = INT64_MAX;
	for (int i = 0; i < 10 && took >= 5 * S_NS; i++) {
		int64_t began = io_clock_ns(f->io, IO_CLOCK_MONOTONIC);
		assert_ok(io_poll(f->io, 0));
		assert_ok(io_poll(f->io, 12 * MS_NS));
		took = io_clock_ns(f->io, IO_CLOCK_MONOTONIC) - began;
		assert_true(took >= 12 * MS_NS);
		assert_true(f->io->turn_monotonic_ns >= began + 12 * MS_NS);
	}
	assert_true(took < 5 * S_NS);
	assert_true(f->io->turn_realtime_ns > 1000000000 * S_NS);
}

static void a_wake_before_the_wait_is_not_lost(struct io_fixture *f)
{
	io_wake(f->io);
	io_wake(f->io);
	assert_ok(io_poll(f->io, -1));
}

static void wake_soon(void *arg)
{
	struct io_fixture *f = arg;
	struct timespec ts = {0, 20 * MS_NS};
	nanosleep(&ts, NULL);
	io_wake(f->io);
}

static void a_wake_from_another_thread_ends_the_wait(struct io_fixture *f)
{
	for (int i = 0; i < 3; i++) {
		struct thread t = {0};
		assert_ok(thread_start(&t, "waker", wake_soon, f));
		int64_t began = io_clock_ns(f->io, IO_CLOCK_MONOTONIC);
		assert_ok(io_poll(f->io, -1));
		while (io_clock_ns(f->io, IO_CLOCK_MONOTONIC) < began + 15 * MS_NS)
			assert_ok(io_poll(f->io, -1));
		thread_join(&t);
	}
}

static void a_write_cut_short_goes_on_until_it_is_refused(struct io_fixture *f)
{
	/*
	 * the kernel writes up to the limit, then says EFBIG: a short result and an error, in two
	 * calls
	 */
	int fd = open_new(f, "limited");
	struct rlimit before, low;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	low = (struct rlimit){100000, before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &low), 0);
	static uint8_t data[200000];
	memset(data, 'd', sizeof(data));
	struct io_call c;
	io_call_init(&c, IO_WRITE, fd, data, sizeof(data));
	enum err e = io_call_run(f, &c);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_DFL);
	assert_int_equal(e, ERR_IO);
	assert_int_equal(c.req.sys_errno, EFBIG);
	struct io_stat st;
	assert_ok(io_fstat(f->io, fd, &st));
	assert_int_equal(st.size_bytes, 100000);
	/* with the limit gone the same request goes through */
	io_call_init(&c, IO_WRITE, fd, data, sizeof(data));
	assert_ok(io_call_run(f, &c));
	assert_int_equal(c.req.result, sizeof(data));
	assert_ok(io_close(f->io, fd));
	err_clear();
}

/* Threads of this process with this name. */
static unsigned count_threads(const char *name)
{
	unsigned count = 0;
	DIR *dir = opendir("/proc/self/task");
	assert_non_null(dir);
	for (const struct dirent *d; (d = readdir(dir));) {
		char path[300], comm[32] = {0};
		snprintf(path, sizeof(path), "/proc/self/task/%s/comm", d->d_name);
		FILE *file = fopen(path, "r");
		if (!file)
			continue;
		count += fgets(comm, sizeof(comm), file) && strncmp(comm, name, strlen(name)) == 0;
		fclose(file);
	}
	closedir(dir);
	return count;
}

static void independent_file_requests_run_in_parallel_on_few_threads(struct io_fixture *f)
{
	/* the ring has the kernel's threads; this is about those of the other backend */
	bool threads = strcmp(f->backend, "threads") == 0;
	assert_int_equal(count_threads("kappa-io"), 0);
	enum { FILES = 32 };
	static struct io_call calls[FILES];
	static uint8_t data[300000];
	int fds[FILES];
	for (size_t i = 0; i < FILES; i++) {
		char name[16];
		snprintf(name, sizeof(name), "f%zu", i);
		fds[i] = open_new(f, name);
		io_call_init(&calls[i], IO_WRITE, fds[i], data, sizeof(data));
		io_submit(f->io, &calls[i].req);
	}
	for (size_t i = 0; i < FILES; i++) {
		io_call_wait(f, &calls[i]);
		assert_ok(calls[i].req.err);
		io_call_init(&calls[i], IO_FDATASYNC, fds[i], NULL, 0);
		io_submit(f->io, &calls[i].req);
	}
	for (size_t i = 0; i < FILES; i++) {
		io_call_wait(f, &calls[i]);
		assert_ok(calls[i].req.err);
		assert_ok(io_close(f->io, fds[i]));
	}
	unsigned count = count_threads("kappa-io");
	assert_true(threads ? count >= 2 && count <= 8 : count == 0);
}

int main(void)
{
	static const struct io_case cases[] = {
	    IO_CASE(a_write_and_a_read_complete_once_from_poll),
	    IO_CASE(a_read_stops_at_the_end_of_the_file),
	    IO_CASE(pieces_are_gathered_and_scattered_in_order),
	    IO_CASE(more_requests_than_any_ring_holds_all_complete),
	    IO_CASE(a_large_transfer_is_whole),
	    IO_CASE(failures_carry_their_errno_and_a_note),
	    IO_CASE(a_request_may_be_submitted_again_from_its_done),
	    IO_CASE(a_cancelled_file_request_completes_once_either_way),
	    IO_CASE(a_poll_waits_its_time_and_no_longer),
	    IO_CASE(a_wake_before_the_wait_is_not_lost),
	    IO_CASE_REAL(a_write_cut_short_goes_on_until_it_is_refused),
	    IO_CASE_REAL(independent_file_requests_run_in_parallel_on_few_threads),
	    IO_CASE_REAL(a_wake_from_another_thread_ends_the_wait),
	    IO_CASES_END,
	};
	return io_cases_main(cases);
}
