/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * I/O tests are written once and run on each backend (uring, threads, sim): an array of cases ended
 * by IO_CASES_END, given to io_cases_main. A backend that the kernel refuses is skipped.
 */
#include "test/lib/test.h"

#include "log/base/base.h"

struct sim_disk;

struct io_fixture {
	const char *backend;
	struct io *io; /* NULL: the kernel refuses this backend, the test is skipped */
	char *dir;     /* an empty directory */
	bool simulated;
	struct sim_disk *disk; /* simulated */
};

struct io_case {
	const char *name;
	void (*run)(struct io_fixture *f);
	bool real_only; /* about the kernel or other threads: not for sim */
};
#define IO_CASE(function) {#function, function, false}
#define IO_CASE_REAL(function) {#function, function, true}
#define IO_CASES_END {NULL, NULL, false}
/*
 * The main of a test program: each case on each backend, as <backend>_<case>. Ends with the exit
 * status.
 */
int io_cases_main(const struct io_case *cases);

/* dir/name, in one of a few static buffers. */
const char *io_path(const struct io_fixture *f, const char *name);

/* A request with its buffer description and completion count. */
struct io_call {
	struct io_req req;
	struct iovec iov;
	unsigned done;
};
void io_call_init(struct io_call *c, enum io_op op, int fd, void *buf, size_t len);
void io_call_at(struct io_call *c, uint64_t pos);
/* Polls until the call has completed; fails the test after 30 s. Asserts that it completed once. */
void io_call_wait(struct io_fixture *f, struct io_call *c);
/* init, submit, wait; the error of the request. */
enum err io_call_run(struct io_fixture *f, struct io_call *c);
/* Polls without waiting until nothing more happens. */
void io_settle(struct io_fixture *f);

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
