/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kappa fsck` over the directory, between two lives and at the end: what it says must be what the
 * next start does, and what the model knows. Damage is what has rotted and nothing else.
 */
#include "test/lib/sim_io.h"
#include "test/sim/world.h"


#include <stdio.h>
#include <string.h>

struct findings {
	struct world *w;
	unsigned damaged, others;
	char first[300]; /* of the others */
};

/* "verdict=NAME ... partition=t1-0 ..." */
static bool is_of_rot(const struct world *w, const char *line)
{
	const char *at = strstr(line, "partition=t");
	if (strncmp(line, "verdict=DAMAGED ", 16) != 0 || !at)
		return false;
	const char *name = at + strlen("partition=");
	for (uint32_t t = 0; t < w->model.topic_count; t++)
		if (strncmp(w->model.topic[t].name, name, 2) == 0 &&
		    model_has_rot(&w->model, t, name[3] - '0'))
			return true;
	return false;
}

static void take_line(void *ctx, struct str line)
{
	static const char *const harmless[] = {
	    "OK", "REBUILT", "REPAIRED", "TORN_ROUND", "TORN_TAIL", "DISTRUST", "GAP"};
	struct findings *f = ctx;
	char text[300];
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(line));
	trace(f->w, "fsck", "%s", text);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
		size_t len = strlen(harmless[i]);
		if (strncmp(text, "verdict=", 8) == 0 && strncmp(text + 8, harmless[i], len) == 0 &&
		    text[8 + len] == ' ')
			return;
	}
	if (strncmp(text, "verdict=", 8) != 0)
		return;
	if (is_of_rot(f->w, text)) {
		f->damaged++;
		return;
	}
	if (f->others++ == 0)
		snprintf(f->first, sizeof(f->first), "%s", text);
}

void disk_check(struct world *w, bool stopped)
{
	struct findings f = {.w = w};
	struct sim_options o = {.seed = w->seed};
	struct sim_disk *copy = sim_disk_clone(w->disk);
	struct log_fsck_options options = {.repair_caches = false};
	struct io *io;
	if (sim_io_new(copy, &o, &io) != ERR_OK)
		violated("bug", "no io");
	copy->capacity_bytes = 0;
	enum err err = log_fsck(io, "/data", &options, take_line, &f);
	trace(w, "fsck", "%s: %s", stopped ? "after a stop" : "after a cut", err_name(err));
	if (f.others > 0 || (err != ERR_OK && f.damaged == 0))
		violated("fsck", "%s %s", err_name(err), f.others > 0 ? f.first : err_chain());
	if (stopped && f.damaged == 0 && keeper_bad(w) > 0)
		violated("fsck", "%zu batches are bad, and it says nothing", keeper_bad(w));
	if (err == ERR_OK && f.damaged > 0)
		violated("fsck", "it found damage, and says that all is served");
	err_clear();
	io_free(io);
	sim_disk_free(copy);
}
