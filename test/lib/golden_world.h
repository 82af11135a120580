/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The directory of test/golden/directory: a server without doors on a simulated disk whose clock
 * stands still, so that the same work leaves the same bytes. golden_world_play makes the directory;
 * golden_world_load takes the one that is kept.
 *
 * What is in it: segments plain, rolled, compacted (`compact-0`: holes, an empty batch, a delete
 * horizon, markers), recompressed (`packed-0`), with DIRECT frames and padding (`direct-0`), with
 * committed, aborted and open transactions (`txn-0`) and their snapshots; sealed and open indexes;
 * a topic that has lost records and says so (`lazy-0`, a gap/ row); a journal that has gone round,
 * with each kind of entry and item; three checkpoint records; what a start has put into quarantine;
 * definitions, state and dead letters of a view (`views/`). It was left by a kill: what is behind
 * the last checkpoint is in the journal.
 */
#include "test/lib/keyed_log.h"
#include "test/lib/tree.h"
#include "test/lib/view_fixture.h"

#define GOLDEN_DIRECTORY "test/golden/directory"
#define GOLDEN_DATA      "/data"
#define GOLDEN_VIEW      "per_product"

/* What the operator would have read since the last start. */
enum { GOLDEN_SAID_BYTES = 1 << 16 };
extern char golden_world_said[GOLDEN_SAID_BYTES];

struct golden_world {
	struct sim_disk *disk;
	struct io *io;
	struct view_fixture f;
	struct keyed_log k; /* f's log, for records */
	uint64_t lives;
};
/* Ends with the kill: the world is closed, its disk is what is left. */
void golden_world_play(struct golden_world *w);
/* A disk that has such a directory, which is taken; closed. */
void golden_world_on(struct golden_world *w, struct sim_disk *disk);
/* The kept directory on a disk of its own; closed. */
void golden_world_load(struct golden_world *w, const struct tree *tree);
MUST_USE enum err golden_world_try_open(struct golden_world *w);
void golden_world_open(struct golden_world *w);
void golden_world_stop(struct golden_world *w); /* cleanly */
void golden_world_kill(struct golden_world *w);
/* The view has everything that it may have; false: it has failed, or does not move. */
bool golden_world_try_catch_up(struct golden_world *w);
void golden_world_catch_up(struct golden_world *w);
void golden_world_release(struct golden_world *w);
/* The inode of its data directory. */
uint32_t golden_world_dir(const struct golden_world *w);
/*
 * What readers get of the users' topics, a line per partition, aborted transaction, batch and
 * record: test/e2e/log_format_test.py makes the same out of the files.
 */
void golden_world_contents(struct golden_world *w, struct writer *out);
