/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Changes of rows, told to the one who watches (struct proc_watch): by a version's worker, right
 * after the checkpoint that committed them, for versions that are live. Nobody watching costs one
 * load per checkpoint.
 */
#include "processor/processor.h"
#include "processor/version.h"

struct watch {
	struct mutex mutex; /* held while changes are told, and while `to` changes */
	const struct proc_watch *to;
	struct shared_u64 set; /* to != NULL, readable without the mutex */
};
void watch_init(struct watch *w);
void watch_release(struct watch *w);
/* NULL = nobody. Returns when the one before is not being told anything any more. */
void watch_set(struct watch *w, const struct proc_watch *to);
/* Which checkpoint, of what. */
struct watch_checkpoint {
	const struct version_spec *spec;
	const struct dirty *rows; /* sorted, as written */
	uint64_t previous, sequence;
};
/* Failures are the watcher's gap (it sees indexes missing), not the version's. */
void watch_tell(struct watch *w, const struct watch_checkpoint *c);
