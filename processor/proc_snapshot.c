/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots at one sequence: a barrier brings each version to a checkpoint there, in two steps.
 * First all are told to hold, so that none runs past the place that is then chosen; then each goes
 * on up to it, commits, pins its rows with a reader, and lives on while the others are still on
 * their way.
 */
#include "processor/proc.h"
#include "processor/proc_key.h"
#include <openssl/evp.h>
#include <stdio.h>

enum { SNAPSHOT_ARENA_BYTES_MAX = 16 << 20, BARRIER_POLL_MS = 20, SNAPSHOTS_MAX = 64 };

struct proc_snapshot {
	struct arena arena;
	const struct reg_version *def;
	struct store_reader *reader;
	bool walking;
	struct proc_column *columns;
	uint32_t *keys; /* visible key columns */
	uint32_t key_count;
};

/* ---- life cycle ------------------------------------------------------------------------------ */

static enum err snapshot_new(
    const struct reg_version *def, struct store_reader *reader, struct proc_snapshot **ret)
{
	const struct view_plan *plan = def->plan;
	struct arena arena;
	arena_init(&arena, SNAPSHOT_ARENA_BYTES_MAX);
	struct proc_snapshot *s = arena_calloc(&arena, 1, sizeof(*s));
	struct proc_column *columns =
	    arena_calloc(&arena, plan->visible_count + 1u, sizeof(*columns));
	uint32_t *keys = arena_calloc(&arena, plan->key_count + 1u, sizeof(*keys));
	if (!s || !columns || !keys) {
		arena_release(&arena);
		return ERR_NOMEM;
	}
	for (uint32_t i = 0; i < plan->visible_count; i++)
		columns[i] =
		    (struct proc_column){plan->root->columns[i].name, plan->root->columns[i].type};
	for (uint32_t i = 0; i < plan->key_count; i++)
		if (plan->keys[i] < plan->visible_count)
			keys[s->key_count++] = plan->keys[i];
	s->arena = arena;
	s->def = def;
	s->reader = reader;
	s->columns = columns;
	s->keys = keys;
	*ret = s;
	return ERR_OK;
}

void proc_snapshot_close(struct proc_snapshot *s)
{
	if (!s)
		return;
	store_reader_close(s->reader);
	struct arena arena = s->arena; /* holds the snapshot */
	arena_release(&arena);
}

/* ---- barriers -------------------------------------------------------------------------------- */

struct barrier_set {
	struct proc *proc;
	struct str view;
	size_t count;
	struct reg_version *def[SNAPSHOTS_MAX];
	struct run *run[SNAPSHOTS_MAX];
	struct version_barrier barrier[SNAPSHOTS_MAX];
	size_t set; /* how many have a barrier */
};

/* Under `barriers`, so the runs stay. */
static enum err find_runs(struct barrier_set *b, const int32_t *versions)
{
	enum err err = ERR_OK;
	mutex_lock(&b->proc->mutex);
	for (size_t i = 0; i < b->count && err == ERR_OK; i++) {
		err = proc_find_version(b->proc, b->view, versions[i], &b->def[i]);
		if (err == ERR_OK && !b->def[i]->run)
			err =
			    err_note(ERR_REFUSED, "view \"" STR_FMT "\" version %d has no data yet",
			        STR_ARG(b->view), b->def[i]->def.version);
		else if (err == ERR_OK)
			b->run[i] = b->def[i]->run;
	}
	mutex_unlock(&b->proc->mutex);
	return err;
}

static enum err hold_all(struct barrier_set *b, uint64_t *ret_highest)
{
	uint64_t applied = 0;
	for (; b->set < b->count; b->set++) {
		b->barrier[b->set].hold = true;
		TRY(run_set_barrier(b->run[b->set], &b->barrier[b->set], &applied));
		*ret_highest = applied > *ret_highest ? applied : *ret_highest;
	}
	return ERR_OK;
}

static enum err release_all(struct barrier_set *b, uint64_t sequence)
{
	uint64_t applied;
	for (size_t i = 0; i < b->count; i++) {
		TRY(run_set_barrier(b->run[i], NULL, &applied));
		b->barrier[i] = (struct version_barrier){.sequence = sequence};
		TRY(run_set_barrier(b->run[i], &b->barrier[i], &applied));
	}
	return ERR_OK;
}

static void lift_all(struct barrier_set *b)
{
	uint64_t applied;
	for (size_t i = 0; i < b->set; i++)
		if (run_set_barrier(b->run[i], NULL, &applied) != ERR_OK)
			err_clear();
}

static bool all_done(const struct barrier_set *b, const struct run **ret_stopped)
{
	bool done = true;
	for (size_t i = 0; i < b->count; i++) {
		const struct run *r = b->run[i];
		done &= r->barrier_done;
		if (!r->barrier_done && (r->state == PROC_FAILED || r->state == PROC_SOURCE_GONE))
			*ret_stopped = r;
	}
	return done;
}

static enum err wait_all(struct barrier_set *b, uint64_t sequence, int64_t timeout_ns)
{
	struct proc *p = b->proc;
	int64_t end_ns = io_clock_ns(p->options.io, IO_CLOCK_MONOTONIC) + timeout_ns;
	for (;;) {
		const struct run *stopped = NULL;
		if (p->options.workers == 0)
			(void)proc_step(p);
		mutex_lock(&p->mutex);
		bool done = all_done(b, &stopped);
		if (!done && !stopped && p->options.workers > 0)
			(void)cond_wait_for(&p->changed, &p->mutex, BARRIER_POLL_MS * MS_NS);
		mutex_unlock(&p->mutex);
		if (done)
			return ERR_OK;
		if (stopped)
			return err_note(ERR_REFUSED, "view \"" STR_FMT "\" version %d stopped: %s",
			    STR_ARG(b->view), stopped->def->def.version, stopped->reason);
		if (io_clock_ns(p->options.io, IO_CLOCK_MONOTONIC) > end_ns)
			return err_note(ERR_TIMEOUT,
			    "view \"" STR_FMT "\" did not reach sequence %llu in time: it is still"
			    " reading history, or a transaction is open",
			    STR_ARG(b->view), (unsigned long long)sequence);
	}
}

static void read_stable(void *arg)
{
	struct proc *p = ((void **)arg)[0];
	uint64_t *stable = ((void **)arg)[1];
	struct log_status st;
	log_status(p->options.log, &st);
	*stable = st.stable_sequence;
}

/* The place: as asked for, else everything stable now. No version may have passed it already. */
static enum err choose_sequence(struct barrier_set *b, uint64_t highest, uint64_t *sequence)
{
	uint64_t stable = 0;
	void *arg[2] = {b->proc, &stable};
	loop_call(log_loop(b->proc->options.log), read_stable, arg);
	if (*sequence == 0)
		*sequence = stable > highest ? stable : highest;
	if (*sequence < highest)
		return err_note(ERR_REFUSED,
		    "view \"" STR_FMT "\" stands at sequence %llu already, past %llu",
		    STR_ARG(b->view), (unsigned long long)highest, (unsigned long long)*sequence);
	return ERR_OK;
}

static enum err reach(
    struct barrier_set *b, const int32_t *versions, uint64_t sequence, int64_t timeout_ns)
{
	uint64_t highest = 0;
	TRY(find_runs(b, versions));
	enum err err = hold_all(b, &highest);
	if (err == ERR_OK)
		err = choose_sequence(b, highest, &sequence);
	if (err == ERR_OK)
		err = release_all(b, sequence);
	if (err == ERR_OK)
		err = wait_all(b, sequence, timeout_ns);
	lift_all(b);
	return err;
}

static enum err take_snapshots(struct barrier_set *b, struct proc_snapshot **ret)
{
	enum err err = ERR_OK;
	for (size_t i = 0; i < b->count && err == ERR_OK; i++) {
		err = snapshot_new(b->def[i], b->barrier[i].reader, &ret[i]);
		if (err == ERR_OK)
			b->barrier[i].reader = NULL;
	}
	for (size_t i = 0; i < b->count; i++) {
		store_reader_close(b->barrier[i].reader);
		if (err) {
			proc_snapshot_close(ret[i]);
			ret[i] = NULL;
		}
	}
	return err;
}

enum err proc_snapshot_at(struct proc *p, struct str view, const int32_t *versions, size_t count,
    uint64_t sequence, int64_t timeout_ns, struct proc_snapshot **ret_snapshots)
{
	if (count == 0 || count > SNAPSHOTS_MAX)
		return err_note(ERR_INVALID, "1 to %d versions", SNAPSHOTS_MAX);
	struct barrier_set *b = mem_calloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	*b = (struct barrier_set){.proc = p, .view = view, .count = count};
	memset(ret_snapshots, 0, count * sizeof(struct proc_snapshot *));
	mutex_lock(&p->barriers);
	enum err err = reach(b, versions, sequence, timeout_ns);
	if (err == ERR_OK)
		err = take_snapshots(b, ret_snapshots);
	else
		for (size_t i = 0; i < count; i++)
			store_reader_close(b->barrier[i].reader);
	mutex_unlock(&p->barriers);
	mem_free(b);
	return err;
}

enum err proc_snapshot_last(
    struct proc *p, struct str view, int32_t version, struct proc_snapshot **ret_snapshot)
{
	struct reg_version *def;
	struct store_reader *reader;
	TRY(proc_open_reader(p, view, version, &def, &reader));
	enum err err = snapshot_new(def, reader, ret_snapshot);
	if (err)
		store_reader_close(reader);
	return err;
}

/* ---- reading --------------------------------------------------------------------------------- */

const struct reg_version *proc_snapshot_def(const struct proc_snapshot *s)
{
	return s->def;
}

uint64_t proc_snapshot_sequence(const struct proc_snapshot *s)
{
	return store_reader_head(s->reader)->sequence;
}

uint64_t proc_snapshot_input_hash(const struct proc_snapshot *s)
{
	return s->def->input_hash;
}

void proc_snapshot_columns(const struct proc_snapshot *s, const struct proc_column **ret_columns,
    uint32_t *ret_count, const uint32_t **ret_keys, uint32_t *ret_key_count, bool *ret_keys_visible)
{
	*ret_columns = s->columns;
	*ret_count = s->def->plan->visible_count;
	*ret_keys = s->keys;
	*ret_key_count = s->key_count;
	*ret_keys_visible = s->def->plan->keys_visible;
}

static void fill_row(struct proc_row *row, const struct store_row *r)
{
	*row = (struct proc_row){.key = r->key,
	    .values = r->values,
	    .first_sequence = r->first_sequence,
	    .last_sequence = r->last_sequence,
	    .record_count = r->record_count};
}

enum err proc_snapshot_next(struct proc_snapshot *s, struct proc_row *ret_row)
{
	struct store_row row;
	if (!s->walking)
		TRY(store_rows_begin(s->reader, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}));
	s->walking = true;
	TRY(store_rows_next(s->reader, &row));
	fill_row(ret_row, &row);
	return ERR_OK;
}

enum err proc_snapshot_find(struct proc_snapshot *s, struct bytes key, struct proc_row *ret_row)
{
	struct store_row row;
	s->walking = false;
	TRY(store_rows_find(s->reader, key, &row));
	fill_row(ret_row, &row);
	return ERR_OK;
}

/* ---- root ------------------------------------------------------------------------------------ */

static bool digest(EVP_MD_CTX *md, const struct writer *w)
{
	uint8_t len[4];
	put_u32_le(len, (uint32_t)w->len);
	return EVP_DigestUpdate(md, len, sizeof(len)) == 1 &&
	       EVP_DigestUpdate(md, w->ptr, w->len) == 1;
}

static void write_root_header(struct writer *w, const struct proc_snapshot *s)
{
	for (uint32_t i = 0; i < s->def->plan->visible_count; i++) {
		const struct proc_column *c = &s->columns[i];
		write_u32_le(w, (uint32_t)c->name.len);
		write_str(w, c->name);
		write_cstr(w, type_name(c->type.id));
		write_printf(w, "(%d,%d)", c->type.precision, c->type.scale);
	}
}

static void write_root_row(
    struct writer *w, const struct proc_snapshot *s, const struct proc_row *row)
{
	write_u32_le(w, (uint32_t)row->key.len);
	write_bytes(w, row->key);
	for (uint32_t i = 0; i < s->def->plan->visible_count; i++) {
		write_u8(w, row->values[i].null);
		if (!row->values[i].null)
			datum_write(w, s->columns[i].type.id, row->values[i]);
	}
}

static enum err hash_rows(struct proc_snapshot *s, EVP_MD_CTX *md, struct writer *w)
{
	struct proc_row row;
	enum err err;
	s->walking = false;
	if (EVP_DigestInit_ex(md, EVP_sha256(), NULL) != 1)
		return ERR_NOMEM;
	write_root_header(w, s);
	for (;;) {
		if (w->err)
			return w->err;
		if (!digest(md, w))
			return ERR_NOMEM;
		writer_clear(w);
		err = proc_snapshot_next(s, &row);
		if (err)
			break;
		write_root_row(w, s, &row);
	}
	s->walking = false;
	return err == ERR_EOF ? ERR_OK : err;
}

enum err proc_snapshot_root(struct proc_snapshot *s, uint8_t ret_root[32])
{
	struct writer w;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	if (!md)
		return ERR_NOMEM;
	writer_init(&w, GIB);
	enum err err = hash_rows(s, md, &w);
	if (err == ERR_OK && EVP_DigestFinal_ex(md, ret_root, NULL) != 1)
		err = ERR_NOMEM;
	writer_release(&w);
	EVP_MD_CTX_free(md);
	return err;
}

enum err proc_snapshot_parse_key(struct proc_snapshot *s, struct str text, struct writer *ret_key)
{
	if (!s->def->plan->keys_visible)
		return err_note(ERR_INVALID,
		    "the key of view \"" STR_FMT "\" is not among its columns",
		    STR_ARG(s->def->view->name));
	return key_parse(s->columns, s->keys, s->key_count, text, ret_key);
}
