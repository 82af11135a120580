/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * I/O tests are written once and run on each backend (uring, threads, sim): an array of cases ended by
 * IO_CASES_END, given to io_cases_main. A backend that the kernel refuses is skipped.
 */
#include "test/lib/test.h"

#include "log/base/base.h"

struct sim_disk;

struct fixture {
	const char *backend;
	struct io *io; /* NULL: the kernel refuses this backend, the test is skipped */
	char *dir;     /* an empty directory */
	bool simulated;
	struct sim_disk *disk; /* simulated */
};

struct io_case {
	const char *name;
	void (*run)(struct fixture *f);
};
#define IO_CASE(function) {#function, function}
#define IO_CASES_END {NULL, NULL}
/* The main of a test program: each case on each backend, as <backend>_<case>. Ends with the exit status. */
int io_cases_main(const struct io_case *cases);

/* dir/name, in one of a few static buffers. */
const char *path_in(const struct fixture *f, const char *name);

/* A request with its buffer description and completion count. */
struct call {
	struct io_req req;
	struct iovec iov;
	unsigned done;
};
void call_init(struct call *c, enum io_op op, int fd, void *buf, size_t len);
void call_at(struct call *c, uint64_t pos);
/* Polls until the call has completed; fails the test after 30 s. Asserts that it completed once. */
void call_wait(struct fixture *f, struct call *c);
/* init, submit, wait; the error of the request. */
enum err call_run(struct fixture *f, struct call *c);
/* Polls without waiting until nothing more happens. */
void settle(struct fixture *f);

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
