/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DISTINCT ON: per key the row that comes first in the order. Over append-only input only that row
 * is kept, and a row that does not beat it changes nothing. Over input that retracts all candidates
 * are kept, ordered, because the best one may go.
 *
 * A candidate is three byte strings: rank (the order columns, memcmp order), row (the columns that
 * are read above, as datum bytes) and lineage (3 uvarints). State bytes of a key: u8 version 1,
 * uvarint rows, uvarint length and rank, lineage, and unless the state travels with the output rows
 * uvarint length and row. Candidates in the parts table: key = entry key, u8 1, uvarint-free rank,
 * row; value = uvarint count, lineage.
 */
#include "processor/op/bag.h"
#include "processor/op/op_node.h"

enum { DISTINCT_STATE_VERSION = 1, CANDIDATE_SLOT = 1 };

/* In the entry. `bytes` = rank, row; row_len 0 when the row is only with the sink. */
struct best {
	struct op_lineage lineage;
	int64_t rows; /* candidates there are; over append-only input 1 */
	uint8_t *bytes;
	uint32_t rank_len, row_len;
	struct bag bag; /* key: rank, row; payload: u32 rank length, lineage */
	int64_t loaded;
};
_Static_assert(sizeof(struct best) % 16 == 0, "width of native state");

/* Part entries: one candidate's count; what the multiset needs to follow an undo. */
struct candidate {
	int64_t count;
	uint32_t key_len, rank_len;
	struct op_lineage lineage;
	int64_t unused;
};
_Static_assert(sizeof(struct candidate) % 16 == 0, "width of native state");

struct distinct_on {
	struct op op;
	struct state_table keys;
	struct state_table parts;
	struct plan_order *order; /* without the key columns, which are equal inside a key */
	uint32_t order_count;
	uint32_t *kept; /* columns that a row keeps: those read above */
	uint32_t kept_count;
	bool retracts;
	bool first_wins; /* the order is that of arrival: a key's first row stays */
	bool with_rows;
	struct writer scratch, part;
};

static struct best *best_of(const struct entry *e)
{
	return entry_state(e);
}
static struct bytes best_rank(const struct best *b)
{
	return bytes_of(b->bytes, b->rank_len);
}
static struct bytes best_row(const struct best *b)
{
	return bytes_of(b->bytes + b->rank_len, b->row_len);
}

/* ---- the best row ---------------------------------------------------------------------------- */

static void drop_best(struct distinct_on *x, struct best *b)
{
	slab_free(&x->keys.slab, b->bytes, (size_t)b->rank_len + b->row_len);
	b->bytes = NULL;
	b->rank_len = b->row_len = 0;
}

static enum err set_best(
    struct distinct_on *x, struct best *b, struct bytes rank, struct bytes row, struct op_lineage l)
{
	uint8_t *bytes = slab_alloc(&x->keys.slab, rank.len + row.len);
	if (!bytes)
		return ERR_NOMEM;
	if (rank.len > 0)
		memcpy(bytes, rank.ptr, rank.len);
	if (row.len > 0)
		memcpy(bytes + rank.len, row.ptr, row.len);
	drop_best(x, b);
	b->bytes = bytes;
	b->rank_len = (uint32_t)rank.len;
	b->row_len = (uint32_t)row.len;
	b->lineage = l;
	return ERR_OK;
}

static void write_lineage(struct writer *w, struct op_lineage l)
{
	write_uvarint64(w, l.first_sequence);
	write_uvarint64(w, l.last_sequence);
	write_uvarint64(w, l.record_count);
}

static struct op_lineage read_lineage(struct reader *r)
{
	struct op_lineage l;
	l.first_sequence = read_uvarint64(r);
	l.last_sequence = read_uvarint64(r);
	l.record_count = read_uvarint64(r);
	return l;
}

/* ---- keys in their table --------------------------------------------------------------------- */

static void best_release(void *ctx, struct entry *e)
{
	struct distinct_on *x = ctx;
	drop_best(x, best_of(e));
	bag_release(&best_of(e)->bag, &x->keys.slab);
}

static void best_reset(void *ctx, struct entry *e)
{
	struct best *b = best_of(e);
	drop_best(ctx, b);
	b->rows = 0;
	b->lineage = (struct op_lineage){0, 0, 0};
}

/* Where the state travels with the rows the row itself is left out: the sink has it. That holds for
 * undo as well: what a record brought is forgotten with it, and what was there before has been
 * sent. */
static void best_write(void *ctx, const struct entry *e, struct writer *w)
{
	const struct distinct_on *x = ctx;
	const struct best *b = best_of(e);
	write_u8(w, DISTINCT_STATE_VERSION);
	write_uvarint64(w, (uint64_t)b->rows);
	write_uvarint64(w, b->rank_len);
	write_bytes(w, best_rank(b));
	write_lineage(w, b->lineage);
	if (x->with_rows)
		return;
	write_uvarint64(w, b->row_len);
	write_bytes(w, best_row(b));
}

static enum err best_read(void *ctx, struct entry *e, struct reader *r)
{
	struct distinct_on *x = ctx;
	struct best *b = best_of(e);
	uint8_t version = read_u8(r);
	if (version != DISTINCT_STATE_VERSION)
		return err_note(ERR_NEWER_FORMAT, "DISTINCT ON state of version %u", version);
	b->rows = (int64_t)read_uvarint64(r);
	uint64_t rank_len = read_uvarint64(r);
	struct bytes rank = read_bytes(r, rank_len);
	struct op_lineage l = read_lineage(r);
	uint64_t row_len = x->with_rows ? 0 : read_uvarint64(r);
	struct bytes row = read_bytes(r, row_len);
	return r->bad || b->rows == 0 ? ERR_OK : set_best(x, b, rank, row, l);
}

static bool best_empty(void *ctx, const struct entry *e)
{
	(void)ctx;
	return best_of(e)->rows == 0;
}

static enum err best_image(void *ctx, struct entry *e, struct arena *arena, struct bytes *ret_image)
{
	const struct distinct_on *x = ctx;
	const struct best *b = best_of(e);
	if (x->with_rows)
		return ERR_OK;
	uint8_t *image = arena_alloc(arena, sizeof b->lineage + b->row_len);
	if (!image)
		return ERR_NOMEM;
	memcpy(image, &b->lineage, sizeof b->lineage);
	memcpy(image + sizeof b->lineage, best_row(b).ptr, b->row_len);
	*ret_image = bytes_of(image, sizeof b->lineage + b->row_len);
	return ERR_OK;
}

static const struct table_kind best_kind = {.width = sizeof(struct best),
    .release = best_release,
    .reset = best_reset,
    .write = best_write,
    .read = best_read,
    .empty = best_empty,
    .image = best_image};

/* ---- candidates ------------------------------------------------------------------------------ */

struct payload {
	struct op_lineage lineage;
	uint64_t rank_len;
};

static enum err put_candidate(struct distinct_on *x, struct best *b, struct bytes own,
    uint32_t rank_len, const struct candidate *c)
{
	struct payload p = {c->lineage, rank_len};
	return bag_set(&b->bag, &x->keys.slab, own, bytes_of(&p, sizeof p), c->count);
}

static void candidate_release(void *ctx, struct entry *e)
{
	(void)ctx;
	(void)e;
}

static void candidate_reset(void *ctx, struct entry *e)
{
	(void)ctx;
	((struct candidate *)entry_state(e))->count = 0;
}

static void candidate_write(void *ctx, const struct entry *e, struct writer *w)
{
	(void)ctx;
	const struct candidate *c = entry_state(e);
	write_uvarint64(w, (uint64_t)c->count);
	write_uvarint64(w, c->rank_len);
	write_lineage(w, c->lineage);
}

static enum err candidate_read(void *ctx, struct entry *e, struct reader *r)
{
	(void)ctx;
	struct candidate *c = entry_state(e);
	c->count = (int64_t)read_uvarint64(r);
	c->rank_len = (uint32_t)read_uvarint64(r);
	c->lineage = read_lineage(r);
	return ERR_OK;
}

static bool candidate_empty(void *ctx, const struct entry *e)
{
	(void)ctx;
	return ((struct candidate *)entry_state(e))->count == 0;
}

static enum err candidate_undone(void *ctx, struct entry *e)
{
	struct distinct_on *x = ctx;
	const struct candidate *c = entry_state(e);
	struct bytes key = entry_key(e);
	struct entry *owner;
	TRY(table_make(&x->keys, bytes_slice(key, 0, c->key_len), &owner));
	return put_candidate(
	    x, best_of(owner), bytes_slice(key, c->key_len + 1, key.len), c->rank_len, c);
}

static const struct table_kind candidate_kind = {.width = sizeof(struct candidate),
    .release = candidate_release,
    .reset = candidate_reset,
    .write = candidate_write,
    .read = candidate_read,
    .empty = candidate_empty,
    .undone = candidate_undone};

struct load {
	struct distinct_on *x;
	struct best *b;
	size_t prefix_len;
};

static enum err load_candidate(void *ctx, struct bytes key, struct bytes value)
{
	struct load *l = ctx;
	struct reader r = reader_of(value);
	struct candidate c = {.count = (int64_t)read_uvarint64(&r)};
	c.rank_len = (uint32_t)read_uvarint64(&r);
	c.lineage = read_lineage(&r);
	if (r.bad || reader_left(&r) > 0 || key.len < l->prefix_len + c.rank_len)
		return err_note(ERR_CORRUPT, "a candidate of DISTINCT ON cannot be read");
	return put_candidate(l->x, l->b, bytes_slice(key, l->prefix_len, key.len), c.rank_len, &c);
}

static enum err load_bag(struct distinct_on *x, struct entry *e)
{
	struct best *b = best_of(e);
	const struct op_store *store = x->parts.store;
	if (b->loaded)
		return ERR_OK;
	writer_clear(&x->part);
	write_bytes(&x->part, entry_key(e));
	write_u8(&x->part, CANDIDATE_SLOT);
	TRY(x->part.err);
	struct load l = {x, b, x->part.len};
	if (store && e->flags & ENTRY_STORED) {
		x->parts.lookups++;
		TRY(store->scan(
		    store->ctx, x->parts.state_id, writer_bytes(&x->part), load_candidate, &l));
	}
	b->loaded = 1;
	return ERR_OK;
}

/* ---- rows in --------------------------------------------------------------------------------- */

/* Descending columns have their value bytes inverted; the tag in front says where NULLs go. */
static void write_rank(struct distinct_on *x, const struct delta *d, uint32_t row, struct writer *w)
{
	writer_clear(w);
	for (uint32_t i = 0; i < x->order_count; i++) {
		const struct plan_order *o = &x->order[i];
		const struct vec *v = &d->b.cols[o->column];
		size_t from = w->len;
		vec_write_key(w, v, row);
		if (w->err != ERR_OK)
			return;
		if (vec_is_null(v, row))
			w->ptr[from] = o->nulls_first ? 0 : 2;
		for (size_t k = from + 1; o->descending && k < w->len; k++)
			w->ptr[k] = (uint8_t)~w->ptr[k];
	}
}

static void write_row(
    const struct distinct_on *x, const struct delta *d, uint32_t row, struct writer *w)
{
	for (uint32_t i = 0; i < x->kept_count; i++)
		vec_write(w, &d->b.cols[x->kept[i]], row);
}

static enum err take_append(
    struct distinct_on *x, struct entry *e, const struct delta *d, uint32_t row)
{
	struct best *b = best_of(e);
	if (x->first_wins && b->rows > 0)
		return ERR_OK;
	write_rank(x, d, row, &x->scratch);
	TRY(x->scratch.err);
	size_t rank_len = x->scratch.len;
	if (b->rows > 0 && bytes_compare(writer_bytes(&x->scratch), best_rank(b)) >= 0)
		return ERR_OK;
	write_row(x, d, row, &x->scratch);
	TRY(x->scratch.err);
	TRY(table_touch(&x->keys, e));
	b->rows = 1;
	struct bytes all = writer_bytes(&x->scratch);
	return set_best(x, b, bytes_slice(all, 0, rank_len), bytes_slice(all, rank_len, all.len),
	    delta_lineage(d, row));
}

static enum err best_from_bag(struct distinct_on *x, struct best *b)
{
	const struct bag_node *n = bag_first(&b->bag);
	struct payload p;
	if (!n) {
		drop_best(x, b);
		b->lineage = (struct op_lineage){0, 0, 0};
		return ERR_OK;
	}
	memcpy(&p, bag_payload(n).ptr, sizeof p);
	struct bytes own = bag_key(n);
	return set_best(x, b, bytes_slice(own, 0, p.rank_len),
	    bytes_slice(own, p.rank_len, own.len), p.lineage);
}

static enum err take_candidate(
    struct distinct_on *x, struct entry *e, const struct delta *d, uint32_t row)
{
	struct best *b = best_of(e);
	struct entry *part;
	int32_t weight = delta_weight(d, row);
	TRY(load_bag(x, e)); /* also its prefix, in x->part, unless it was loaded */
	write_rank(x, d, row, &x->scratch);
	size_t rank_len = x->scratch.len;
	write_row(x, d, row, &x->scratch);
	writer_clear(&x->part);
	write_bytes(&x->part, entry_key(e));
	write_u8(&x->part, CANDIDATE_SLOT);
	write_bytes(&x->part, writer_bytes(&x->scratch));
	TRY(x->scratch.err);
	TRY(x->part.err);
	struct bytes own = writer_bytes(&x->scratch);
	int64_t count = bag_count(&b->bag, own);
	if (count + weight < 0)
		return err_note(ERR_CORRUPT, "a row is taken out of DISTINCT ON that is not in");
	TRY(table_touch(&x->keys, e));
	TRY(table_make(&x->parts, writer_bytes(&x->part), &part));
	struct candidate *c = entry_state(part);
	if (!(part->flags & ENTRY_DIRTY)) {
		part->flags |= ENTRY_PASSING;
		*c = (struct candidate){.count = count,
		    .key_len = e->key_len,
		    .rank_len = (uint32_t)rank_len,
		    .lineage = delta_lineage(d, row)};
	}
	TRY(table_touch(&x->parts, part));
	if (c->count == 0)
		c->lineage = delta_lineage(d, row);
	c->count = count + weight;
	b->rows += weight;
	TRY(put_candidate(x, b, own, (uint32_t)rank_len, c));
	return best_from_bag(x, b);
}

static enum err distinct_push(struct op *op, struct delta *d)
{
	struct distinct_on *x = (struct distinct_on *)op;
	struct key_batch keys;
	struct entry **entries = arena_alloc(d->b.arena, d->b.count * sizeof *entries);
	if (!entries)
		return ERR_NOMEM;
	TRY(keys_of(d->b.arena, &d->b, op->plan->keys, op->plan->key_count, &keys));
	TRY(table_find(&x->keys, &keys, 0, d->b.count, entries));
	for (uint32_t r = 0; r < d->b.count; r++)
		TRY(x->retracts ? take_candidate(x, entries[r], d, r)
		                : take_append(x, entries[r], d, r));
	return ERR_OK;
}

/* ---- rows out -------------------------------------------------------------------------------- */

static enum err put_row(
    struct distinct_on *x, struct delta *d, struct bytes row, struct op_lineage l, int32_t weight)
{
	struct reader r = reader_of(row);
	for (uint32_t i = 0; i < x->kept_count; i++)
		TRY(vec_read(&r, &d->b.cols[x->kept[i]], d->b.count));
	d->lineage[d->b.count] = l;
	if (d->b.weight)
		d->b.weight[d->b.count] = weight;
	d->b.count++;
	return ERR_OK;
}

/* What a record sent is held until it ends, its row perhaps not. */
static enum err put_best(struct distinct_on *x, struct delta *d, const struct best *b)
{
	struct bytes row = best_row(b);
	if (x->op.tree->recording && row.len > 0)
		row = arena_copy(&x->op.arena, row);
	return row.ptr || row.len == 0 ? put_row(x, d, row, b->lineage, 1) : ERR_NOMEM;
}

/* A deleted row of which only the key is left. */
static enum err put_key_only(struct distinct_on *x, struct delta *d, const struct entry *e)
{
	struct reader r = reader_of(entry_key(e));
	for (uint32_t i = 0; i < x->kept_count; i++)
		vec_set(&d->b.cols[x->kept[i]], d->b.count, (struct datum){.null = true});
	for (uint32_t k = 0; k < x->op.plan->key_count; k++) {
		struct vec *v = &d->b.cols[x->op.plan->keys[k]];
		struct datum value;
		TRY(key_decode(&r, &x->op.arena, v->type.id, &value));
		vec_set(v, d->b.count, value);
	}
	d->lineage[d->b.count++] = (struct op_lineage){0, 0, 0};
	return ERR_OK;
}

static enum err send_with_state(struct distinct_on *x, struct delta *d, struct entry *e, bool there)
{
	struct best *b = best_of(e);
	struct bytes state = {NULL, 0};
	bool had = e->flags & ENTRY_SENT;
	if (!there && !had)
		return ERR_OK;
	uint32_t at = d->b.count;
	if (there) {
		TRY(table_state_bytes(&x->keys, e, &state));
		state = arena_copy(&x->op.arena, state);
		if (!state.ptr)
			return ERR_NOMEM;
		TRY(put_best(x, d, b));
	} else {
		TRY(put_key_only(x, d, e));
	}
	d->state[at] = state;
	d->inserted[at] = there && !had;
	d->key[at] = entry_key(e);
	return ERR_OK;
}

static enum err send_changes(struct distinct_on *x, struct delta *d, struct entry *e, bool there)
{
	struct best *b = best_of(e);
	struct op_lineage old;
	struct bytes row = best_row(b);
	if (e->flags & ENTRY_SENT) {
		memcpy(&old, e->old.ptr, sizeof old);
		struct bytes old_row = bytes_slice(e->old, sizeof old, e->old.len);
		if (there && bytes_equal(old_row, row) &&
		    memcmp(&old, &b->lineage, sizeof old) == 0)
			return ERR_OK;
		TRY(put_row(x, d, old_row, old, -1));
	}
	return there ? put_best(x, d, b) : ERR_OK;
}

static enum err begin(struct distinct_on *x, struct delta *d)
{
	TRY(op_delta_new(&x->op, 2 * x->keys.changed.count, d));
	return x->with_rows ? op_delta_with_state(&x->op, d) : ERR_OK;
}

static enum err distinct_flush(struct op *op)
{
	struct distinct_on *x = (struct distinct_on *)op;
	struct delta d;
	if (x->retracts)
		table_flushed(&x->parts);
	if (x->keys.changed.count == 0)
		return ERR_OK;
	TRY(begin(x, &d));
	for (size_t i = 0; i < x->keys.changed.count; i++) {
		struct entry *e = x->keys.changed.items[i];
		bool there = best_of(e)->rows > 0;
		TRY(x->with_rows ? send_with_state(x, &d, e, there)
		                 : send_changes(x, &d, e, there));
		e->flags = there ? e->flags | ENTRY_SENT : e->flags & ~(uint32_t)ENTRY_SENT;
		TRY(op_delta_send(op, &d, false));
	}
	TRY(op_delta_send(op, &d, true));
	table_flushed(&x->keys);
	return ERR_OK;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static void distinct_free(struct op *op)
{
	struct distinct_on *x = (struct distinct_on *)op;
	if (x->keys.kind)
		table_release(&x->keys);
	if (x->parts.kind)
		table_release(&x->parts);
	writer_release(&x->scratch);
	writer_release(&x->part);
	mem_free(x->order);
	mem_free(x->kept);
	mem_free(x);
}

static bool is_key(const struct plan *plan, uint32_t column)
{
	for (uint32_t k = 0; k < plan->key_count; k++)
		if (plan->keys[k] == column)
			return true;
	return false;
}

enum err op_distinct_on_new(struct op_tree *t, const struct plan *plan, struct op **ret_op)
{
	struct distinct_on *x = mem_calloc(1, sizeof *x);
	struct plan_order *order = mem_calloc(plan->order_count + 1, sizeof *order);
	uint32_t *kept = mem_calloc(plan->column_count + 1, sizeof *kept);
	if (!x || !order || !kept) {
		mem_free(x);
		mem_free(order);
		mem_free(kept);
		return ERR_NOMEM;
	}
	op_init(&x->op, t, plan, "distinct on");
	x->op.push = distinct_push;
	x->op.flush = distinct_flush;
	x->op.free = distinct_free;
	x->order = order;
	x->kept = kept;
	for (uint32_t c = 0; c < plan->column_count; c++)
		if (plan->column_needed[c])
			x->kept[x->kept_count++] = c;
	for (uint32_t i = 0; i < plan->order_count; i++)
		if (!is_key(plan, plan->order[i].column))
			x->order[x->order_count++] = plan->order[i];
	x->retracts = !plan->inputs[0]->append_only && !t->env->query;
	x->first_wins = plan->append_only && !t->env->query; /* says the binder */
	if (x->first_wins)
		x->order_count = 0;
	x->with_rows = !t->env->query && t->row_state == (int32_t)plan->state_id;
	writer_init(&x->scratch, UINT32_MAX);
	writer_init(&x->part, UINT32_MAX);
	table_init(&x->keys, &best_kind, x);
	table_bind(&x->keys, t->env, plan->state_id);
	x->keys.with_rows = x->with_rows;
	x->op.tables[0] = &x->keys;
	if (x->retracts) {
		table_init(&x->parts, &candidate_kind, x);
		table_bind(&x->parts, t->env, plan->state_id + t->plan->state_count);
		x->op.tables[1] = &x->parts;
	}
	*ret_op = &x->op;
	return ERR_OK;
}
