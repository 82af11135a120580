/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/io_fixture.h"
#include "test/lib/patience.h"

#include "test/lib/seed.h"
#include "test/lib/sim_io.h"
#include "test/lib/tempdir.h"
#include "test/lib/xmalloc.h"

#include <stdio.h>
#include <time.h>

const char *io_path(const struct io_fixture *f, const char *name)
{
	static char buffers[4][512];
	static unsigned next;
	char *buf = buffers[next++ % 4];
	snprintf(buf, sizeof(buffers[0]), "%s/%s", f->dir, name);
	return buf;
}

static void on_done(struct io_req *req)
{
	CONTAINER_OF(req, struct io_call, req)->done++;
}

void io_call_init(struct io_call *c, enum io_op op, int fd, void *buf, size_t len)
{
	*c = (struct io_call){.req.op = op, .req.fd = fd, .req.done = on_done};
	c->iov = (struct iovec){buf, len};
	if (buf) {
		c->req.iov = &c->iov;
		c->req.iov_count = 1;
	}
}

void io_call_at(struct io_call *c, uint64_t pos)
{
	c->req.pos = pos;
}

static int64_t real_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * S_NS + ts.tv_nsec;
}

void io_call_wait(struct io_fixture *f, struct io_call *c)
{
	int64_t due = real_now_ns() + PATIENCE_NS;
	while (c->done == 0) {
		assert_ok(io_poll(f->io, 100 * MS_NS));
		assert_true(real_now_ns() < due);
	}
	assert_int_equal(c->done, 1);
}

enum err io_call_run(struct io_fixture *f, struct io_call *c)
{
	io_submit(f->io, &c->req);
	assert_int_equal(c->done, 0);
	io_call_wait(f, c);
	return c->req.err;
}

void io_settle(struct io_fixture *f)
{
	for (int i = 0; i < 20; i++)
		assert_ok(io_poll(f->io, MS_NS));
}

/* ---- the table ------------------------------------------------------------------------------- */

enum { CASES_MAX = 256, NAME_MAX_LEN = 128 };
struct slot {
	const struct io_case *c;
	struct io_fixture fixture;
	char name[NAME_MAX_LEN];
};
static struct slot slots[CASES_MAX];
static struct CMUnitTest tests[CASES_MAX];
static size_t test_count;

static uint64_t sim_seed;

static int set_up_sim(struct io_fixture *f)
{
	struct sim_options options = {.seed = sim_seed, .writeback_ppm = 100000};
	f->disk = sim_disk_new(0);
	f->dir = xstrdup("/t");
	if (sim_io_new(f->disk, &options, &f->io) != ERR_OK)
		return -1;
	return io_mkdir(f->io, "/t") == ERR_OK ? 0 : -1;
}

static int set_up(void **state)
{
	struct slot *s = *state;
	struct io_fixture *f = &s->fixture;
	err_clear();
	f->simulated = strcmp(f->backend, "sim") == 0;
	if (f->simulated)
		return set_up_sim(f);
	enum err e = io_new(f->backend, &f->io);
	if (e == ERR_UNSUPPORTED && strcmp(f->backend, "uring") == 0) {
		print_message("uring refused: %s\n", err_chain());
		return 0;
	}
	if (e != ERR_OK) {
		print_error("%s: %s %s\n", f->backend, err_name(e), err_chain());
		return -1;
	}
	f->dir = tempdir_new();
	return 0;
}

static int tear_down(void **state)
{
	struct io_fixture *f = &((struct slot *)*state)->fixture;
	io_free(f->io);
	f->io = NULL;
	if (f->simulated)
		free(f->dir);
	else
		tempdir_remove(f->dir);
	sim_disk_free(f->disk);
	f->disk = NULL;
	f->dir = NULL;
	return 0;
}

static void run_case(void **state)
{
	struct slot *s = *state;
	if (!s->fixture.io)
		skip();
	assert_string_equal(io_name(s->fixture.io), s->fixture.backend);
	s->c->run(&s->fixture);
}

static void add_cases(const char *backend, const struct io_case *cases)
{
	for (; cases->name; cases++) {
		if (cases->real_only && strcmp(backend, "sim") == 0)
			continue;
		ASSERT(test_count < CASES_MAX);
		struct slot *s = &slots[test_count];
		s->c = cases;
		s->fixture.backend = backend;
		snprintf(s->name, sizeof(s->name), "%s_%s", backend, cases->name);
		tests[test_count++] = (struct CMUnitTest){s->name, run_case, set_up, tear_down, s};
	}
}

int io_cases_main(const struct io_case *cases)
{
	static const char *const backends[] = {"threads", "uring", "sim"};
	sim_seed = test_seed(1);
	for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++)
		add_cases(backends[i], cases);
	return _cmocka_run_group_tests("io", tests, test_count, NULL, NULL);
}
