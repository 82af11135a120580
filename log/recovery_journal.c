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
 * starts. So a file whose first entry is older than that has nothing new, but the record's own
 * behind the place. (When nothing followed there, the journal may have come round to that file.)
 */
static enum err skip_old(struct recovery *r, unsigned file, struct journal_iter *it, bool *ret_old)
{
	struct journal_file *jf = &r->log->journal.files[file];
	struct journal_found f;
	*ret_old = false;
	if (r->journal_file >= JOURNAL_FILES || r->journal_pos % JOURNAL_BLOCK != 0)
		return ERR_OK;
	enum err e = journal_iter_at(it, JOURNAL_BLOCK, &f);
	bool old = e == ERR_OK && f.entry.number <= r->number;
	if (old || file == r->journal_file)
		jf->last_number = r->number;
	*ret_old = old && file != r->journal_file;
	if (old && file == r->journal_file)
		it->pos = r->journal_pos;
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
		if (f.entry.number >= it->check_from)
			TRY(seen_add(l, &s));
		if (f.good && f.entry.number >= it->check_from)
			TRY(recovery_direct_ahead(r, &f));
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
	it.check_from = r->number + 1;
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

/* The newest entry of the list that lies in `file`, else what the checkpoint covers. */
static uint64_t newest_in(const struct recovery *r, const struct seen_list *l, unsigned file)
{
	for (size_t i = l->count; i-- > 0;)
		if (l->seen[i].file == file)
			return l->seen[i].number;
	return r->number;
}

/* Nothing needs its file any more: a number that no checkpoint covers would keep it. */
static enum err drop_last(struct recovery *r, struct seen_list *l)
{
	const struct seen *s = &l->seen[l->count - 1];
	TRY(torn(r, s));
	l->count--;
	r->log->journal.files[s->file].last_number = newest_in(r, l, s->file);
	return ERR_OK;
}

/* Only the last entry can be torn; when it is a COPY, so can be the one it copies. */
static enum err drop_torn(struct recovery *r, struct seen_list *l)
{
	bool copy = true;
	while (copy && l->count > 0 && !l->seen[l->count - 1].good) {
		copy = l->seen[l->count - 1].entry.kind == JOURNAL_COPY;
		TRY(drop_last(r, l));
	}
	return ERR_OK;
}

/* An entry that verifies but does not count: it must not be found again under a number given anew.
 */
static enum err erase(struct recovery *r, const struct seen *s)
{
	uint8_t *zeros = mem_alloc_aligned(IO_DIRECT_ALIGN, JOURNAL_BLOCK);
	int fd = r->log->journal.files[s->file].fd;
	if (!zeros)
		return ERR_NOMEM;
	memset(zeros, 0, JOURNAL_BLOCK);
	enum err e = io_pwrite(r->log->io, fd, zeros, JOURNAL_BLOCK, s->pos);
	mem_free(zeros);
	return e == ERR_OK ? io_fdatasync(r->log->io, fd) : e;
}

/*
 * The last entry verifies, but do its DIRECT frames? Only when nothing was begun behind it: else it
 * was complete. A COPY was written after they had been found good and made durable.
 */
static enum err drop_torn_direct(struct recovery *r, struct seen_list *l, bool *ret_dropped)
{
	struct journal_iter it;
	struct journal_found f;
	char path[LOG_PATH_MAX];
	if (l->count == 0)
		return ERR_OK;
	const struct seen *last = &l->seen[l->count - 1];
	if (!last->good || last->entry.kind != JOURNAL_ROUND)
		return ERR_OK;
	TRY(file_path(r, last->file, path));
	TRY(journal_iter_open(&it, r->log->io, path, 0));
	err_clear();
	enum err e = journal_iter_at(&it, last->pos, &f);
	if (e == ERR_OK && !f.good)
		e = ERR_IO;
	if (e == ERR_OK)
		e = recovery_direct_last(r, &f);
	journal_iter_release(&it);
	if (e != ERR_CORRUPT)
		return e;
	diag(DIAG_WARN, "direct_missing", "number=%llu reason=\"%s\"",
	    (unsigned long long)last->number, err_chain());
	*ret_dropped = true;
	TRY(drop_last(r, l));
	return erase(r, last);
}

/* Names what is bad below the last good entry. */
static enum err judge(struct recovery *r, struct seen_list *l)
{
	uint64_t expect = r->number + 1, sequence = r->sequence;
	bool dropped = false;
	TRY(drop_torn_direct(r, l, &dropped));
	if (!dropped) /* else what is before it was complete when it was begun */
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
			TRY(recovery_lost_add(r, sequence + 1, s->entry.first_sequence - 1));
		}
		if (s->entry.last_sequence > sequence)
			sequence = s->entry.last_sequence;
		if (s->good)
			continue;
		r->rot = true;
		recovery_verdict(ERR_JOURNAL_ROT,
		    "from=%llu to=%llu what=bad first_sequence=%llu last_sequence=%llu",
		    (unsigned long long)s->number, (unsigned long long)s->number,
		    (unsigned long long)s->entry.first_sequence,
		    (unsigned long long)s->entry.last_sequence);
		TRY(recovery_lost_add(r, s->entry.first_sequence, s->entry.last_sequence));
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
 * The place for the copy of the last entry, `len` bytes, of the list. A copy's own is where it is:
 * if writing it again tears it, there is the original, or nobody was ever told of it; and however
 * often a start is cut short, the journal needs room for one (J4).
 */
static enum err copy_place(
    struct recovery *r, const struct seen_list *l, uint32_t len, struct seen *ret)
{
	struct journal *j = &r->log->journal;
	const struct seen *last = &l->seen[l->count - 1];
	struct journal_file *f = &j->files[last->file];
	*ret = *last;
	j->current = last->file;
	if (last->entry.kind == JOURNAL_COPY)
		return ERR_OK;
	j->checkpoint_number = r->record.header.number;
	j->pos = last->pos + last->entry.length;
	/* as it was when the entry was placed: it is not what its file is needed for */
	const struct seen_list others = {.seen = l->seen, .count = l->count - 1};
	uint64_t newest = f->last_number;
	f->last_number = newest_in(r, &others, last->file);
	enum err placed = journal_place_copy(j, len, &ret->file, &ret->pos);
	f->last_number = newest;
	if (placed != ERR_OK)
		return err_note(ERR_NOSPACE, "the journal has no room behind entry %llu",
		    (unsigned long long)last->number);
	ret->number = last->number + 1;
	f = &j->files[ret->file];
	if (ret->pos + len > f->filled)
		f->filled = ret->pos + len; /* the write may extend the file */
	return ERR_OK;
}

static enum err copy_write(
    struct recovery *r, const struct seen_list *l, const struct journal_found *f, struct seen *ret)
{
	struct journal *j = &r->log->journal;
	struct journal_entry e;
	uint32_t room = f->entry.length + recovery_copy_more(f);
	uint8_t *buf = mem_alloc_aligned(IO_DIRECT_ALIGN, room);
	if (!buf)
		return ERR_NOMEM;
	enum err err = recovery_copy(r, f, buf, &e);
	if (err == ERR_OK)
		err = copy_place(r, l, e.length, ret);
	if (err == ERR_OK) {
		ASSERT(e.length <= room);
		e.number = ret->number;
		journal_entry_seal(&e, j->seed, buf);
		int fd = j->files[ret->file].fd;
		err = io_pwrite(r->log->io, fd, buf, e.length, ret->pos);
		if (err == ERR_OK)
			err = io_fdatasync(r->log->io, fd);
	}
	mem_free(buf);
	TRY(err);
	ret->entry = e;
	if (e.number > j->files[ret->file].last_number)
		j->files[ret->file].last_number = e.number;
	return ERR_OK;
}

/*
 * The last entry may be in the page cache only: the server was killed before its flush, or the
 * flush failed. Before it is used it is written again, behind itself, with the bytes of its DIRECT
 * frames.
 */
static enum err copy_last(struct recovery *r, struct seen_list *l)
{
	const struct seen last = l->seen[l->count - 1];
	struct seen copy = {0};
	struct journal_iter it;
	struct journal_found f;
	char path[LOG_PATH_MAX];
	TRY(file_path(r, last.file, path));
	TRY(journal_iter_open(&it, r->log->io, path, 0));
	enum err e = journal_iter_at(&it, last.pos, &f);
	if (e == ERR_OK && !f.good)
		e = ERR_IO;
	if (e == ERR_OK)
		e = copy_write(r, l, &f, &copy);
	journal_iter_release(&it);
	return e == ERR_OK && copy.number > last.number ? seen_add(l, &copy) : e;
}

/* A good COPY right behind an entry has all of it, and more. */
static bool is_copied(const struct seen_list *l, size_t i)
{
	return i + 1 < l->count && l->seen[i + 1].good &&
	       l->seen[i + 1].entry.kind == JOURNAL_COPY &&
	       l->seen[i + 1].number == l->seen[i].number + 1;
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
		if (s->good && !is_copied(l, i))
			e = replay_entry(r, &it, s);
		note_entry(r, s);
	}
	journal_iter_release(&it);
	return e == ERR_OK ? recovery_flush(r) : e;
}

/* Is there an entry newer than the record at this place? */
static enum err newer_at(struct recovery *r, unsigned file, uint64_t pos, bool *newer)
{
	struct journal_iter it;
	struct journal_found f;
	char path[LOG_PATH_MAX];
	TRY(file_path(r, file, path));
	TRY(journal_iter_open(&it, r->log->io, path, 0));
	it.check_from = UINT64_MAX;
	enum err e = journal_iter_at(&it, pos, &f);
	*newer |= e == ERR_OK && f.entry.number > r->number;
	journal_iter_release(&it);
	return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/*
 * After a clean stop the record says where the journal goes on: there, or, where the next entry did
 * not fit any more, at the beginning of another file. An entry in one of these places belies it.
 */
static enum err clean_holds(struct recovery *r, bool *ret_holds)
{
	bool newer = false;
	*ret_holds = false;
	if (r->journal_file >= JOURNAL_FILES || r->journal_pos % JOURNAL_BLOCK != 0)
		return ERR_OK;
	TRY(newer_at(r, r->journal_file, r->journal_pos, &newer));
	for (unsigned i = 0; i < JOURNAL_FILES && !newer; i++)
		if (i != r->journal_file)
			TRY(newer_at(r, i, JOURNAL_BLOCK, &newer));
	*ret_holds = !newer;
	return ERR_OK;
}

/* Behind these ends no file has anything that this start or the next one needs. */
static enum err give_back(struct recovery *r, const struct seen_list *l)
{
	uint64_t ends[JOURNAL_FILES];
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		ends[i] = JOURNAL_BLOCK;
	if (r->journal_file < JOURNAL_FILES)
		ends[r->journal_file] = r->journal_pos;
	for (size_t i = 0; i < l->count; i++) {
		uint64_t end = l->seen[i].pos + l->seen[i].entry.length;
		if (end > ends[l->seen[i].file])
			ends[l->seen[i].file] = end;
	}
	return journal_give_back(&r->log->journal, ends);
}

enum err recovery_journal(struct recovery *r)
{
	struct seen_list l = {0};
	if (r->clean) {
		TRY(clean_holds(r, &r->clean));
		if (r->clean)
			return give_back(r, &l);
	}
	enum err e = ERR_OK;
	for (unsigned i = 0; i < JOURNAL_FILES && e == ERR_OK; i++)
		e = read_file(r, i, &l);
	if (e == ERR_OK) {
		seen_sort(r, &l);
		e = give_back(r, &l); /* before anything is written */
	}
	if (e == ERR_OK)
		e = judge(r, &l);
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
