/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 3 of recovery: the journal. First pass: which entries behind the checkpoint are there and
 * good. The numbers say what is torn and what is rot: only the entry with the highest number may be
 * torn, a bad or missing one below it is JOURNAL_ROT. Second pass: the frames of good entries, in
 * order, go back into their segments.
 */
#include "log/engine.h"
#include "log/recovery.h"
#include <stdio.h>
#include <stdlib.h>

struct seen {
	uint64_t number;
	uint64_t pos;
	unsigned file;
	bool good;
	struct journal_entry entry;
};
struct seen_list {
	struct seen *seen;
	size_t count, capacity;
	uint64_t checkpoint; /* greatest checkpoint_number in a good entry */
};

static enum err file_path(const struct recovery *r, unsigned file, char *buf)
{
	char name[16];
	int n = snprintf(
	    buf, LOG_PATH_MAX, "%s/%s", r->log->journal_dir, journal_file_name(file, name));
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : ERR_LIMIT;
}

static enum err seen_add(struct seen_list *l, const struct seen *s)
{
	if (l->count == l->capacity) {
		size_t capacity = l->capacity ? l->capacity * 2 : 256;
		struct seen *grown = mem_realloc(l->seen, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		l->seen = grown;
		l->capacity = capacity;
	}
	l->seen[l->count++] = *s;
	return ERR_OK;
}

/*
 * Entries behind the checkpoint begin where the record says and fill the files in turn from their
 * starts. So a file whose first entry is older than that has nothing new, and in the record's own
 * file what is before the place is old.
 */
static enum err skip_old(struct recovery *r, unsigned file, struct journal_iter *it, bool *ret_old)
{
	struct journal_file *jf = &r->log->journal.files[file];
	struct journal_found f;
	*ret_old = false;
	if (!r->record_found || r->journal_file >= JOURNAL_FILES ||
	    r->journal_pos % JOURNAL_BLOCK != 0)
		return ERR_OK;
	if (file == r->journal_file) {
		jf->last_number = r->number;
		it->pos = r->journal_pos;
		return ERR_OK;
	}
	enum err e = journal_iter_at(it, JOURNAL_BLOCK, &f);
	*ret_old = e == ERR_OK && f.entry.number <= r->number;
	if (*ret_old)
		jf->last_number = r->number;
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

static enum err read_entries(
    struct recovery *r, unsigned file, struct journal_iter *it, struct seen_list *l)
{
	struct journal_found f;
	enum err e;
	while ((e = journal_iter_next(it, &f)) == ERR_OK) {
		struct seen s = {f.entry.number, f.pos, file, f.good, f.entry};
		struct journal_file *jf = &r->log->journal.files[file];
		if (f.entry.number > jf->last_number)
			jf->last_number = f.entry.number;
		if (f.good && f.entry.checkpoint_number > l->checkpoint)
			l->checkpoint = f.entry.checkpoint_number;
		if (f.entry.number >= it->check_from)
			TRY(seen_add(l, &s));
	}
	return e == ERR_EOF ? ERR_OK : e;
}

static enum err read_file(struct recovery *r, unsigned file, struct seen_list *l)
{
	struct journal_iter it;
	char path[LOG_PATH_MAX];
	bool old;
	TRY(file_path(r, file, path));
	TRY(journal_iter_open(&it, r->log->io, path, 0));
	it.check_from = r->record_found ? r->number + 1 : 0;
	enum err e = skip_old(r, file, &it, &old);
	if (e == ERR_OK && !old)
		e = read_entries(r, file, &it, l);
	journal_iter_release(&it);
	return e;
}

static int seen_order(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return (int)y->good - (int)x->good; /* a good one first */
}

/* Sorts, drops what the checkpoint covers and all but one of each number. */
static void seen_sort(struct recovery *r, struct seen_list *l)
{
	size_t kept = 0;
	if (!r->record_found)
		r->number = l->checkpoint;
	if (l->count > 0)
		qsort(l->seen, l->count, sizeof(*l->seen), seen_order);
	for (size_t i = 0; i < l->count; i++) {
		if (l->seen[i].number <= r->number ||
		    (kept > 0 && l->seen[kept - 1].number == l->seen[i].number))
			continue;
		l->seen[kept++] = l->seen[i];
	}
	l->count = kept;
}

static enum err torn(struct recovery *r, const struct seen *s)
{
	char path[LOG_PATH_MAX], name[64];
	recovery_verdict(ERR_TORN_ROUND, "number=%llu file=%u pos=%llu bytes=%u",
	    (unsigned long long)s->number, s->file, (unsigned long long)s->pos, s->entry.length);
	TRY(file_path(r, s->file, path));
	int fd;
	TRY(io_open(r->log->io, path, IO_READONLY, &fd));
	snprintf(name, sizeof(name), "torn_round-%llu", (unsigned long long)s->number);
	enum err e = recovery_quarantine(r, name, fd, s->pos, s->pos + s->entry.length);
	enum err closed = io_close(r->log->io, fd);
	return e == ERR_OK ? closed : e;
}

/* Only the last entry can be torn; when it is a COPY, so can be the one it copies. */
static enum err drop_torn(struct recovery *r, struct seen_list *l)
{
	bool copy = true;
	while (copy && l->count > 0 && !l->seen[l->count - 1].good) {
		TRY(torn(r, &l->seen[l->count - 1]));
		copy = l->seen[--l->count].entry.kind == JOURNAL_COPY;
	}
	return ERR_OK;
}

/* Names what is bad below the last good entry. */
static enum err judge(struct recovery *r, struct seen_list *l)
{
	uint64_t expect = r->number + 1;
	TRY(drop_torn(r, l));
	for (size_t i = 0; i < l->count; i++, expect++) {
		const struct seen *s = &l->seen[i];
		if (s->number == expect + 1 && s->good && s->entry.kind == JOURNAL_COPY)
			expect = s->number; /* the original was never durable */
		if (s->number > expect) {
			r->rot = true;
			recovery_verdict(ERR_JOURNAL_ROT, "from=%llu to=%llu what=missing",
			    (unsigned long long)expect, (unsigned long long)s->number - 1);
			expect = s->number;
		}
		if (s->good)
			continue;
		r->rot = true;
		recovery_verdict(ERR_JOURNAL_ROT,
		    "from=%llu to=%llu what=bad first_sequence=%llu last_sequence=%llu",
		    (unsigned long long)s->number, (unsigned long long)s->number,
		    (unsigned long long)s->entry.first_sequence,
		    (unsigned long long)s->entry.last_sequence);
	}
	return ERR_OK;
}

static void note_entry(struct recovery *r, const struct seen *s)
{
	const struct journal_entry *e = &s->entry;
	r->number = s->number;
	r->journal_file = s->file;
	r->journal_pos = s->pos + e->length;
	if (e->last_sequence > r->sequence)
		r->sequence = e->last_sequence;
	if (e->producer_ids > r->producer_ids)
		r->producer_ids = e->producer_ids;
	if (e->epoch > r->epoch)
		r->epoch = e->epoch;
	r->lazy_bound = e->lazy_bound; /* a CLEAN entry takes it back */
}

static enum err replay_entry(struct recovery *r, struct journal_iter *it, const struct seen *s)
{
	struct journal_found f;
	TRY(journal_iter_at(it, s->pos, &f));
	if (!f.good)
		return err_note(ERR_IO, "journal entry %llu changed while it was read",
		    (unsigned long long)s->number);
	for (uint32_t i = 0; i < f.entry.item_count; i++) {
		struct journal_item item = journal_found_item(&f, i);
		TRY(recovery_frame(r, &f, &item));
	}
	return ERR_OK;
}

/*
 * The last entry may be in the page cache only: the server was killed before its flush, or the
 * flush failed. Before it is used it is written again, behind itself.
 */
static enum err copy_last(struct recovery *r, struct seen_list *l)
{
	struct journal *j = &r->log->journal;
	struct seen last = l->seen[l->count - 1];
	struct journal_iter it;
	struct journal_found f;
	char path[LOG_PATH_MAX];
	bool checkpoint;
	uint64_t pos;
	int fd;
	j->checkpoint_number = r->record_found ? r->record.header.number : r->number;
	j->current = last.file;
	j->pos = last.pos + last.entry.length;
	uint64_t filled[JOURNAL_FILES];
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		filled[i] = j->files[i].filled;
		j->files[i].filled = j->files[i].limit; /* a write may extend the file here */
	}
	enum err placed = journal_place(j, last.entry.length, &fd, &pos, &checkpoint);
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		j->files[i].filled = filled[i];
	if (placed == ERR_OK && pos + last.entry.length > j->files[j->current].filled)
		j->files[j->current].filled = pos + last.entry.length;
	if (placed != ERR_OK)
		return err_note(ERR_NOSPACE, "the journal has no room behind entry %llu",
		    (unsigned long long)last.number);
	TRY(file_path(r, last.file, path));
	TRY(journal_iter_open(&it, r->log->io, path, 0));
	enum err e = journal_iter_at(&it, last.pos, &f);
	if (e == ERR_OK && !f.good)
		e = ERR_IO;
	uint8_t *buf = e == ERR_OK ? mem_alloc_aligned(IO_DIRECT_ALIGN, last.entry.length) : NULL;
	if (e == ERR_OK && !buf)
		e = ERR_NOMEM;
	if (e == ERR_OK) {
		memcpy(buf, f.buf, last.entry.length);
		last.entry.kind = JOURNAL_COPY;
		last.entry.number++;
		journal_entry_seal(&last.entry, j->seed, buf);
		e = io_pwrite(r->log->io, fd, buf, last.entry.length, pos);
		if (e == ERR_OK)
			e = io_fdatasync(r->log->io, fd);
	}
	mem_free(buf);
	journal_iter_release(&it);
	TRY(e);
	last.number++;
	last.file = j->current;
	last.pos = pos;
	j->files[j->current].last_number = last.number;
	return seen_add(l, &last);
}

static enum err replay(struct recovery *r, const struct seen_list *l)
{
	struct journal_iter it = {.fd = -1};
	unsigned open_file = JOURNAL_FILES;
	enum err e = ERR_OK;
	for (size_t i = 0; i < l->count && e == ERR_OK; i++) {
		const struct seen *s = &l->seen[i];
		char path[LOG_PATH_MAX];
		if (s->file != open_file) {
			journal_iter_release(&it);
			open_file = s->file;
			e = file_path(r, s->file, path);
			if (e == ERR_OK)
				e = journal_iter_open(&it, r->log->io, path, 0);
			if (e != ERR_OK)
				break;
		}
		if (s->good)
			e = replay_entry(r, &it, s);
		note_entry(r, s);
	}
	journal_iter_release(&it);
	return e == ERR_OK ? recovery_flush(r) : e;
}

/* After a clean stop the record says where the journal goes on; an entry behind that place belies
 * it. */
static enum err clean_holds(struct recovery *r, bool *ret_holds)
{
	struct journal_iter it;
	struct journal_found f;
	char path[LOG_PATH_MAX];
	*ret_holds = false;
	if (r->journal_file >= JOURNAL_FILES || r->journal_pos % JOURNAL_BLOCK != 0)
		return ERR_OK;
	TRY(file_path(r, r->journal_file, path));
	TRY(journal_iter_open(&it, r->log->io, path, 0));
	it.check_from = UINT64_MAX;
	enum err e = journal_iter_at(&it, r->journal_pos, &f);
	*ret_holds = e == ERR_NOT_FOUND || (e == ERR_OK && f.entry.number <= r->number);
	journal_iter_release(&it);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err recovery_journal(struct recovery *r)
{
	struct seen_list l = {0};
	if (r->clean) {
		TRY(clean_holds(r, &r->clean));
		if (r->clean)
			return ERR_OK;
	}
	enum err e = ERR_OK;
	for (unsigned i = 0; i < JOURNAL_FILES && e == ERR_OK; i++)
		e = read_file(r, i, &l);
	if (e == ERR_OK) {
		if (!r->record_found)
			recovery_verdict(ERR_REBUILT, "what=checkpoint");
		seen_sort(r, &l);
		if (l.count == 0 && !r->record_found)
			r->journal_pos = JOURNAL_BLOCK;
		e = judge(r, &l);
	}
	if (e == ERR_OK && l.count > 0) {
		unsigned kind = l.seen[l.count - 1].entry.kind;
		if (kind == JOURNAL_ROUND || kind == JOURNAL_COPY)
			e = copy_last(r, &l);
	}
	if (e == ERR_OK)
		e = replay(r, &l);
	mem_free(l.seen);
	return e;
}
