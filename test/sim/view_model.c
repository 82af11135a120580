/* SPDX-License-Identifier: Apache-2.0 */
/* What the four views hold, computed from the model's records without any of the product's code. */
#include "test/sim/views.h"

#include <stdio.h>

enum { GROUPS = 8, NUMBERS = 2001 };

struct group {
	int64_t n, sum, min, max, last, distinct;
	uint8_t seen[NUMBERS];
};
struct expected {
	struct group group[GROUPS];
	/* rows of VIEW_ALL, as a set */
	int64_t count;
	uint64_t hash;
};

static uint64_t row_hash(int group, int64_t number)
{
	uint64_t x = (uint64_t)group << 32 ^ (uint64_t)(number + 5000);
	x *= 0x9E3779B97F4A7C15ull;
	return x ^ x >> 29;
}

static void add(struct expected *e, const struct model_facts *r)
{
	int g = r->group;
	struct group *group = &e->group[g];
	if (r->number >= 0) {
		e->count++;
		e->hash += row_hash(g, r->number);
	}
	group->min = group->n == 0 || r->number < group->min ? r->number : group->min;
	group->max = group->n == 0 || r->number > group->max ? r->number : group->max;
	group->n++;
	group->sum += r->number;
	group->last = r->number;
	group->distinct += !group->seen[r->number + 1000];
	group->seen[r->number + 1000] = 1;
}

/* ---- batches that have rotted ---------------------------------------------------------------- */

struct hole {
	int32_t partition;
	int64_t offset;
};
/* What a version could not read, as its dead letters name it. */
struct holes {
	struct world *w;
	struct hole hole[MODEL_ROT_MAX];
	size_t count;
	uint64_t letters; /* of all reasons */
};

/* Only what has rotted may be a hole. */
static enum err take_letter(void *ctx, const struct proc_dead_letter *d)
{
	struct holes *h = ctx;
	struct model *m = &h->w->model;
	h->letters++;
	if (d->reason != ERR_DAMAGED)
		return ERR_OK;
	const struct model_rot *r =
	    model_rot_at(m, model_topic_named(m, "t0"), d->partition, d->offset);
	if (!r)
		violated("rot", "a dead letter says that t0-%d is damaged at %lld, which it is not",
		    d->partition, (long long)d->offset);
	if (h->count < MODEL_ROT_MAX)
		h->hole[h->count++] = (struct hole){d->partition, r->base};
	return ERR_OK;
}

/* False: they cannot be read any more. */
static bool read_holes(struct world *w, enum view_kind kind, int32_t version, struct holes *ret)
{
	*ret = (struct holes){.w = w};
	enum err err = proc_dead_letters(w->proc, str_of(view_name(kind)), version, (struct str){0},
	    UINT64_MAX, take_letter, ret);
	if (err != ERR_OK && !sim_io_is_dead(w->io))
		violated("view", "dead letters of %s version %d: %s: %s", view_name(kind), version,
		    err_name(err), err_chain());
	err_clear();
	return err == ERR_OK;
}

static bool in_holes(const struct holes *h, int32_t partition, int64_t base)
{
	for (size_t i = 0; i < h->count; i++)
		if (h->hole[i].partition == partition && h->hole[i].offset == base)
			return true;
	return false;
}

/* The first that has rotted in (after, before), as a scan would have shown it; NULL. */
static const struct model_rot *next_rot(
    const struct model *m, uint32_t topic, uint64_t after, uint64_t before)
{
	const struct model_rot *found = NULL;
	for (size_t i = 0; i < m->rot_count; i++) {
		const struct model_rot *r = &m->rot[i];
		if (r->topic == topic && r->sequence > after && r->sequence < before &&
		    (!found || r->sequence < found->sequence))
			found = r;
	}
	return found;
}

/* Who read a batch before it rotted has it, if its transaction was not aborted. */
static bool was_shown(const struct model *m, const struct model_rot *r)
{
	const struct model_txn *t = &m->txn[m->batch[r->batch].txn];
	return r->batch != 0 && (m->batch[r->batch].txn == 0 || t->fate == TXN_COMMITTED ||
	                            (t->fate == TXN_ENDING && t->shown));
}

/* ---- folding --------------------------------------------------------------------------------- */

struct fold {
	struct world *w;
	struct expected *e; /* NULL: only counted */
	uint64_t all, accepted;
};

static void fold_batch(struct fold *f, uint32_t batch)
{
	const struct model *m = &f->w->model;
	for (int32_t n = 0; n < m->batch[batch].count; n++, f->all++) {
		struct model_facts r = model_facts(m, batch, (uint32_t)n);
		f->accepted += r.accepted;
		if (r.accepted && f->e)
			add(f->e, &r);
	}
}

/* Records of t0 in the order of the server, up to a sequence, without those in holes. */
static struct fold fold(
    struct world *w, uint64_t sequence, const struct holes *holes, struct expected *e)
{
	struct model *m = &w->model;
	struct fold f = {.w = w, .e = e};
	uint32_t topic = model_topic_named(m, "t0");
	uint64_t last = 0;
	for (size_t i = 0; i <= m->sequence_count && topic != UINT32_MAX; i++) {
		const struct model_sequence *s = &m->sequence[i];
		bool end = i == m->sequence_count || s->sequence > sequence;
		const struct model_rot *r;
		while ((r = next_rot(m, topic, last, end ? sequence + 1 : s->sequence))) {
			last = r->sequence;
			if (was_shown(m, r) && !in_holes(holes, r->partition, r->base))
				fold_batch(&f, r->batch);
		}
		if (end)
			break;
		last = s->sequence;
		if (s->topic == topic && !in_holes(holes, s->partition, s->base_offset))
			fold_batch(&f, s->batch);
	}
	return f;
}

static int row_group(const struct proc_row *row)
{
	struct str k = row->values[0].s;
	if (row->values[0].null || k.len != 2 || k.ptr[0] != 'k' || k.ptr[1] < '0' ||
	    k.ptr[1] > '7')
		violated("view", "a row with the key \"" STR_FMT "\"", STR_ARG(k));
	return k.ptr[1] - '0';
}

/* The row of a group is as it should be; -1 in `values` is for columns there are not. */
static bool is_right(enum view_kind kind, const struct group *g, const struct proc_row *row)
{
	const struct datum *v = row->values;
	switch (kind) {
	case VIEW_SUM:
		return v[1].i == g->n && v[2].i == g->sum;
	case VIEW_LAST:
		return v[1].i == g->last;
	case VIEW_RANGE:
		return v[1].i == g->min && v[2].i == g->max && v[3].i == g->distinct;
	case VIEW_ALL:
		break;
	}
	return true;
}

void view_compare(
    struct world *w, enum view_kind kind, int32_t version, struct proc_snapshot *snapshot)
{
	static struct expected e;
	struct proc_row row;
	uint64_t at = proc_snapshot_sequence(snapshot), hash = 0;
	int64_t count = 0, groups = 0;
	struct holes holes;
	enum err err;
	memset(&e, 0, sizeof(e));
	if (!read_holes(w, kind, version, &holes))
		return;
	if (at > w->model.stable)
		audit_log(w);
	(void)fold(w, at, &holes, &e);
	for (int g = 0; g < GROUPS; g++)
		groups += e.group[g].n > 0;
	while ((err = proc_snapshot_next(snapshot, &row)) == ERR_OK) {
		int g = row_group(&row);
		count++;
		hash += kind == VIEW_ALL ? row_hash(g, row.values[1].i) : 0;
		if (!is_right(kind, &e.group[g], &row))
			violated("view",
			    "view %d version %d at sequence %llu: the row of k%d has %lld, not "
			    "what %lld "
			    "records with the sum %lld make",
			    kind, version, (unsigned long long)at, g, (long long)row.values[1].i,
			    (long long)e.group[g].n, (long long)e.group[g].sum);
	}
	if (sim_io_is_dead(w->io))
		return;
	if (err != ERR_EOF)
		violated("view", "the rows of view %d: %s: %s", kind, err_name(err), err_chain());
	int64_t want = kind == VIEW_ALL ? e.count : groups;
	if (count != want || (kind == VIEW_ALL && hash != e.hash))
		violated("view",
		    "view %d version %d at sequence %llu has %lld rows, %lld are right", kind,
		    version, (unsigned long long)at, (long long)count, (long long)want);
	err_clear();
}

void view_count(struct world *w, enum view_kind kind, const struct proc_version_status *s)
{
	struct holes holes;
	if (s->position > w->model.stable)
		audit_log(w);
	if (!read_holes(w, kind, s->version, &holes))
		return;
	struct fold f = fold(w, s->position, &holes, NULL);
	uint64_t dead = f.all - f.accepted + holes.count;
	if (s->records != f.accepted || s->dead_letters != dead || holes.letters != dead)
		violated("view",
		    "%s version %d: %llu accepted and %llu dead, %llu in its table, of %llu and "
		    "%zu holes; %llu are good",
		    s->view, s->version, (unsigned long long)s->records,
		    (unsigned long long)s->dead_letters, (unsigned long long)holes.letters,
		    (unsigned long long)f.all, holes.count, (unsigned long long)f.accepted);
}

bool view_same_holes(struct world *w, enum view_kind kind, int32_t one, int32_t other)
{
	struct holes a, b;
	if (!read_holes(w, kind, one, &a) || !read_holes(w, kind, other, &b) || a.count != b.count)
		return false;
	for (size_t i = 0; i < a.count; i++)
		if (!in_holes(&b, a.hole[i].partition, a.hole[i].offset))
			return false;
	return true;
}
