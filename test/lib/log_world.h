/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * An engine (log_fixture) on a simulated disk that outlives it: it is stopped, loses its power or
 * is killed, and what follows works on the files that are left, below /data. What the log says is
 * kept.
 */
#include "test/lib/log_fixture.h"
#include "test/lib/sim_io.h"

struct log_world {
	struct sim_disk *disk;
	struct io *io;
	struct log_fixture f;
	struct sim_options options;             /* of each life; its seed is that of its end, too */
	void (*configure)(struct log_world *w); /* before each open; NULL = as the fixture is */
	char events[65536];                     /* since the last boot */
};

/* Before and after a test whose state is a world, of which all but `configure` is made anew: a new
 * disk and a fixture that is open, journal of 1 MiB, latencies of 10 to 20 us. */
int log_world_setup(void **state);
int log_world_teardown(void **state);
/*
 * The server is gone: cleanly, then the power too; by a power cut; killed (the page cache stays).
 * The fixture is another one then, not open.
 */
enum log_world_end { WORLD_STOPPED, WORLD_CUT, WORLD_KILLED };
void log_world_end(struct log_world *w, enum log_world_end how);
/* Without an end of the server's life: the same disk, an empty page of events; for other options.
 */
void log_world_boot(struct log_world *w);

bool log_world_told(const struct log_world *w, const char *event);
void log_world_assert_told(const struct log_world *w, const char *event, bool told);

/* The files, by path; what is changed is on the disk. */
uint64_t log_world_size(struct log_world *w, const char *path);
void log_world_flip(struct log_world *w, const char *path, uint64_t pos, uint8_t mask);
void log_world_cut(struct log_world *w, const char *path, uint64_t size);
/* The checkpoint records that are there do not verify. */
void log_world_lose_records(struct log_world *w);

/* Asserts that batches of one record [from, to), tags offset + 1, are read one by one. */
void log_world_assert_readable(struct log_world *w, int topic, int64_t from, int64_t to);
