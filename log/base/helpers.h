/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The threads backend's helpers: they run READ, WRITE and FDATASYNC requests, each on one thread
 * from beginning to end, several at once. Threads start when work comes and none is idle. Private
 * to log/base. helpers_* are called on the loop's thread only.
 */
#include "io.h"

struct helpers;
MUST_USE enum err helpers_new(struct io *io, unsigned threads_max, struct helpers **ret_helpers);
void helpers_free(struct helpers *h); /* joins; NULL is allowed */
/* Takes the request; fails only when no thread can be started. */
MUST_USE enum err helpers_add(struct helpers *h, struct io_req *req);
/* True when the request had not begun and is the caller's again. */
bool helpers_cancel(struct helpers *h, struct io_req *req);
/*
 * Announces that the caller is about to wait: the next request to finish calls io_wake. True = one
 * has already.
 */
bool helpers_before_wait(struct helpers *h);
/* The finished requests, in order of finishing, linked by next; ends the announcement. */
struct io_req *helpers_take(struct helpers *h);
/*
 * Runs a READ at once if the page cache holds all of it. False: not done, nothing changed but the
 * buffer.
 */
bool helpers_read_cached(struct io_req *req);
