/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot and bad sectors of the journal, between two lives.
 *
 * A flipped bit in an entry behind which another was begun is rot and not a torn write, and recovery
 * can tell: what the segments have of it is taken from there, else it is DAMAGED or the start is
 * refused. So after a stop nothing is missing. After a power cut, or a kill while the segments of the
 * newest rounds were being written, the journal may have been all there was; then whoever lost
 * something must say so, and the seed ends there. The newest entry is left alone: of that nobody can
 * tell rot from a write that was never complete. A sector that cannot be read may refuse the start at
 * any time.
 */
#include "log/journal.h"
#include "test/lib/sim_io.h"
#include "test/sim/world.h"

#include <stdio.h>

enum { ENTRIES_MAX = 4096, SECTOR_PERCENT = 25 };

struct place {
	uint64_t number, pos;
	uint32_t used;
	unsigned file;
	bool copy;
};
struct places {
	struct place at[ENTRIES_MAX];
	size_t count;
};

static void list_file(struct io *io, unsigned file, struct places *p)
{
	char path[64], name[16];
	struct journal_iter it;
	struct journal_found f;
	snprintf(path, sizeof(path), "/data/journal/%s", journal_file_name(file, name));
	if (journal_iter_open(&it, io, path, 0) == ERR_OK) {
		while (journal_iter_next(&it, &f) == ERR_OK)
			if (p->count < ENTRIES_MAX)
				p->at[p->count++] = (struct place){f.entry.number, f.pos,
				    f.entry.used, file, f.entry.kind == JOURNAL_COPY};
		journal_iter_release(&it);
	}
	err_clear();
}

static const struct place *newest(const struct places *p)
{
	const struct place *last = NULL;
	for (size_t i = 0; i < p->count; i++)
		if (!last || p->at[i].number > last->number)
			last = &p->at[i];
	return last;
}

/* The newest goes, with what it is a copy of. */
static void drop_newest(struct places *p)
{
	const struct place *last;
	bool copy = true;
	while (copy && (last = newest(p))) {
		uint64_t number = last->number;
		size_t kept = 0;
		copy = last->copy;
		for (size_t i = 0; i < p->count; i++)
			if (p->at[i].number != number)
				p->at[kept++] = p->at[i];
		p->count = kept;
	}
}

/* Mostly one of the newest: what is older is in its segment for good. */
static const struct place *choose(struct world *w, struct places *p)
{
	bool any = prng_below(&w->journal_prng, 100) < 20;
	uint64_t back = any ? 0 : prng_below(&w->journal_prng, 6);
	const struct place *last = newest(p);
	ASSERT(last);
	if (any)
		return &p->at[prng_below(&w->journal_prng, p->count)];
	for (size_t i = 0; i < p->count; i++)
		if (p->at[i].number + back == last->number)
			return &p->at[i];
	return last;
}

static uint32_t inode_of(const struct sim_disk *d, unsigned file)
{
	char name[16];
	uint32_t at = sim_disk_lookup(d, SIM_ROOT, STR("data"));
	at = at ? sim_disk_lookup(d, at, STR("journal")) : 0;
	return at ? sim_disk_lookup(d, at, str_of(journal_file_name(file, name))) : 0;
}

static bool pick(struct world *w, struct place *ret)
{
	static struct places p;
	struct sim_options o = {.seed = w->seed};
	struct sim_disk *copy = sim_disk_clone(w->disk);
	struct io *io;
	p.count = 0;
	if (sim_io_new(copy, &o, &io) != ERR_OK)
		violated("bug", "no io");
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		if (inode_of(copy, i) != 0)
			list_file(io, i, &p);
	io_free(io);
	sim_disk_free(copy);
	drop_newest(&p);
	if (p.count > 0)
		*ret = *choose(w, &p);
	return p.count > 0;
}

void journal_rot(struct world *w)
{
	struct place p;
	/* after a failing call what the page cache has, and what the last entry is, is another matter */
	if (w->faulty || w->scarce || prng_below(&w->journal_prng, 100) < 30 || !pick(w, &p))
		return;
	uint64_t byte = p.pos + prng_below(&w->journal_prng, p.used);
	uint64_t bit = prng_below(&w->journal_prng, 8);
	bool sector = prng_below(&w->journal_prng, 100) < SECTOR_PERCENT;
	if (sector)
		sim_disk_spoil(w->disk, inode_of(w->disk, p.file), byte);
	else
		sim_disk_flip(w->disk, inode_of(w->disk, p.file), byte * 8 + bit);
	w->journal_bad = true;
	w->journal_unread |= sector;
	w->journal_rots++;
	trace(w, "rot", "journal-%u entry %llu byte %llu%s, after a %s", p.file,
	    (unsigned long long)p.number, (unsigned long long)byte,
	    sector ? ", with its sector" : "", w->unclean ? "kill or a power cut" : "stop");
}

/* A partition that says it has lost something. */
static bool any_damaged(struct world *w)
{
	const struct log_topic *t;
	size_t cursor = 0;
	while ((t = log_topic_next(w->log, &cursor))) {
		for (int32_t i = 0; i < t->partition_count; i++) {
			struct log_partition_status st;
			log_partition_status(log_partition_find(w->log, t, i), &st);
			if (st.damaged)
				return true;
		}
	}
	return false;
}

/* Of a batch that was deleted since, nobody can tell that it was not lost. */
static bool anything_goes(const struct world *w)
{
	return w->plan.deletions || w->plan.trims || w->plan.expires > 0 || w->plan.keyed > 0 ||
	       w->plan.lazy > 0;
}

bool journal_rot_told(struct world *w, enum err opened, bool dead)
{
	bool may_be_lost = w->journal_bad && (w->unclean || anything_goes(w));
	if (dead || (opened != ERR_OK && (w->faulty || w->scarce)))
		return false; /* it is tried again */
	bool told =
	    opened != ERR_OK ? may_be_lost || w->journal_unread : may_be_lost && any_damaged(w);
	if (told)
		trace(w, "rot", "what the journal has lost is told: the seed ends here");
	if (opened == ERR_OK && !told)
		w->journal_bad = w->unclean = false; /* all of it is in segments, and flushed */
	return told;
}
