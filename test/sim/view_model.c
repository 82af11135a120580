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

/* Records of t0 in the order of the server, up to a sequence; returns how many there were. */
static uint64_t fold(struct world *w, uint64_t sequence, struct expected *e, uint64_t *ret_accepted)
{
	struct model *m = &w->model;
	uint32_t topic = model_topic_named(m, "t0");
	uint64_t all = 0, accepted = 0;
	for (size_t i = 0; i < m->sequence_count && m->sequence[i].sequence <= sequence; i++) {
		if (m->sequence[i].topic != topic || topic == UINT32_MAX)
			continue;
		uint32_t batch = m->sequence[i].batch;
		for (int32_t n = 0; n < m->batch[batch].count; n++, all++) {
			struct model_facts r = model_facts(m, batch, (uint32_t)n);
			accepted += r.accepted;
			if (r.accepted && e)
				add(e, &r);
		}
	}
	if (ret_accepted)
		*ret_accepted = accepted;
	return all;
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
	enum err err;
	memset(&e, 0, sizeof(e));
	if (at > w->model.stable)
		audit_log(w);
	(void)fold(w, at, &e, NULL);
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

void view_count(struct world *w, const struct proc_version_status *s)
{
	uint64_t accepted;
	if (s->position > w->model.stable)
		audit_log(w);
	uint64_t all = fold(w, s->position, NULL, &accepted);
	if (s->records != accepted || s->dead_letters != all - accepted)
		violated("view",
		    "%s version %d: %llu accepted and %llu dead of %llu, %llu are good", s->view,
		    s->version, (unsigned long long)s->records, (unsigned long long)s->dead_letters,
		    (unsigned long long)all, (unsigned long long)accepted);
}
