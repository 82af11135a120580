/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `kappa fsck` over the directory, between two lives and at the end: what it says must be what the
 * next start does, and what the model knows. Damage is what has rotted and nothing else.
 */
#include "test/lib/sim_io.h"
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct findings {
	struct world *w;
	unsigned damaged, others;
	char first[300];  /* of the others */
	bool journal_rot; /* bad enough, although the next start makes it good */
	bool counted;     /* its account of sequences */
	uint64_t in_holes, named, lost;
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

static uint64_t number_of(const char *line, const char *key)
{
	const char *at = strstr(line, key);
	if (!at)
		violated("fsck", "no %s in: %s", key, line);
	return strtoull(at + strlen(key), NULL, 10);
}

/* "verdict=OK sequences=..." */
static void take_account(struct findings *f, const char *line)
{
	f->counted = true;
	f->in_holes = number_of(line, " in_holes=");
	f->named = number_of(line, " named=");
	f->lost = number_of(line, " deleted_or_lost=");
}

static bool anything_deleted(const struct model *m)
{
	for (uint32_t t = 0; t < m->topic_count; t++) {
		if (m->topic[t].delete_sent)
			return true;
		for (int p = 0; p < MODEL_PARTITIONS_MAX; p++)
			if (m->topic[t].partition[p].start_asked > 0)
				return true;
	}
	return false;
}

/*
 * Whatever else goes on, a sequence that nobody has was burnt and is named, was taken by a
 * compaction whose hole counts it, was deleted, or has rotted.
 */
static void check_account(const struct findings *f)
{
	size_t bad = keeper_bad(f->w);
	if (!f->counted)
		violated("fsck", "it gives no account of sequences");
	if (anything_deleted(&f->w->model)) /* between the others', too */
		return;
	/* a bad header's sequence may lie between those of another partition's hole */
	if (f->in_holes + f->lost > f->named + bad || f->lost > bad)
		violated("gap",
		    "%llu sequences are missing in holes that name %llu, %llu elsewhere, %zu "
		    "batches "
		    "are bad",
		    (unsigned long long)f->in_holes, (unsigned long long)f->named,
		    (unsigned long long)f->lost, bad);
}

static void take_line(void *ctx, struct str line)
{
	static const char *const harmless[] = {
	    "OK", "REBUILT", "REPAIRED", "TORN_ROUND", "TORN_TAIL", "DISTRUST", "GAP"};
	struct findings *f = ctx;
	char text[300];
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(line));
	trace(f->w, "fsck", "%s", text);
	if (strncmp(text, "verdict=OK sequences=", 21) == 0)
		take_account(f, text);
	if (f->w->journal_rots > 0 && strncmp(text, "verdict=JOURNAL_ROT ", 20) == 0) {
		f->journal_rot = true;
		return;
	}
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
	if (f.others > 0 || (err != ERR_OK && f.damaged == 0 && !f.journal_rot))
		violated("fsck", "%s %s", err_name(err), f.others > 0 ? f.first : err_chain());
	if (stopped && f.damaged == 0 && keeper_bad(w) > 0)
		violated("fsck", "%zu batches are bad, and it says nothing", keeper_bad(w));
	if (stopped)
		check_account(&f);
	if (err == ERR_OK && f.damaged > 0)
		violated("fsck", "it found damage, and says that all is served");
	err_clear();
	io_free(io);
	sim_disk_free(copy);
}

/* Name, length and a hash of the bytes of each file below `dir`. */
static void tell_files(struct world *w, uint32_t dir, const char *path)
{
	const struct sim_names *names = &w->disk->inode[dir].names;
	for (size_t i = 0; i < names->count; i++) {
		const struct sim_inode *inode = &w->disk->inode[names->entry[i].inode];
		char name[300];
		snprintf(name, sizeof(name), "%s/%s", path, names->entry[i].name);
		if (inode->kind == SIM_DIRECTORY)
			tell_files(w, names->entry[i].inode, name);
		if (inode->kind != SIM_FILE)
			continue;
		size_t len = (size_t)inode->cached->size_bytes;
		uint8_t *bytes = xmalloc(len + 1);
		(void)sim_content_read(inode->cached, bytes, len, 0);
		trace(w, "disk", "%s %zu %016llx", name, len,
		    (unsigned long long)hash_bytes(bytes, len, 0));
		free(bytes);
	}
}

void disk_tell(struct world *w)
{
	if (w->hashing || getenv("KAPPA_SIM_DISK"))
		tell_files(w, SIM_ROOT, "");
}
