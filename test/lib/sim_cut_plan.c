/* SPDX-License-Identifier: Apache-2.0 */
/* Which cuts are tried. See sim_cut.h for the list. */
#include "log/base/prng.h"
#include "test/lib/sim_cut_state.h"
#include "test/lib/xmalloc.h"

struct walk {
	struct sim_cut *cut;
	const struct sim_cut_plan *plan;
	uint32_t *choices;
	sim_cut_visit visit;
	void *ctx;
	struct prng prng;
	bool stopped;
};

static void try_choices(struct walk *w)
{
	if (!w->stopped)
		w->stopped = !w->visit(w->ctx, w->choices, prng_u64(&w->prng));
}

static void fill(struct walk *w, uint32_t choice)
{
	for (size_t i = 0; i < w->cut->count; i++)
		w->choices[i] = choice;
}

/* All subsets of the units listed, the others as they are. */
static void try_subsets(struct walk *w, const size_t *unit, size_t count)
{
	for (uint32_t set = 0; set < 1u << count && !w->stopped; set++) {
		for (size_t i = 0; i < count; i++)
			w->choices[unit[i]] = set >> i & 1 ? SIM_KEPT : SIM_LOST;
		try_choices(w);
	}
}

static void try_all(struct walk *w)
{
	fill(w, SIM_KEPT);
	try_subsets(w, w->cut->live, w->cut->live_count);
}

/* Was the unit made or touched by `op`? */
static bool is_of(const struct sim_unit *u, const struct sim_op *op)
{
	if (u->kind == SIM_UNIT_NAME || u->inode != op->inode)
		return false;
	if (u->kind == SIM_UNIT_SIZE)
		return op->kind == SIM_OP_WRITE || op->kind == SIM_OP_TRUNCATE;
	return op->kind == SIM_OP_WRITE && u->at >= op->pos / SIM_SECTOR &&
	       u->at * SIM_SECTOR < op->pos + op->data.len;
}

static void try_newest(struct walk *w)
{
	size_t unit[16], count = 0;
	if (!w->plan->newest)
		return;
	for (size_t i = 0; i < w->cut->live_count && count < w->plan->exhaustive_max; i++) {
		if (is_of(&w->cut->unit[w->cut->live[i]], w->plan->newest))
			unit[count++] = w->cut->live[i];
	}
	if (count == 0)
		return;
	fill(w, SIM_LOST);
	try_subsets(w, unit, count);
	fill(w, SIM_KEPT);
	try_subsets(w, unit, count);
}

static void try_one(struct walk *w, size_t i)
{
	fill(w, SIM_LOST);
	w->choices[i] = SIM_KEPT;
	try_choices(w);
	fill(w, SIM_KEPT);
	w->choices[i] = SIM_LOST;
	try_choices(w);
}

static void try_prefix(struct walk *w, size_t end)
{
	for (size_t i = 0; i < w->cut->live_count; i++)
		w->choices[w->cut->live[i]] = i < end ? SIM_KEPT : SIM_LOST;
	try_choices(w);
	for (size_t i = 0; i < w->cut->live_count; i++)
		w->choices[w->cut->live[i]] = i < end ? SIM_LOST : SIM_KEPT;
	try_choices(w);
}

static void try_pair(struct walk *w, size_t a, size_t b)
{
	fill(w, SIM_LOST);
	w->choices[a] = w->choices[b] = SIM_KEPT;
	try_choices(w);
	fill(w, SIM_KEPT);
	w->choices[a] = w->choices[b] = SIM_LOST;
	try_choices(w);
}

static void try_pairs(struct walk *w)
{
	const size_t *live = w->cut->live;
	size_t count = w->cut->live_count;
	if (count <= w->plan->pairs_max) {
		for (size_t a = 0; a < count && !w->stopped; a++)
			for (size_t b = a + 1; b < count && !w->stopped; b++)
				try_pair(w, live[a], live[b]);
		return;
	}
	size_t sample = (size_t)w->plan->pairs_max * w->plan->pairs_max / 2;
	for (size_t i = 0; i < sample && !w->stopped; i++)
		try_pair(w, live[prng_below(&w->prng, count)], live[prng_below(&w->prng, count)]);
}

static void try_shapes(struct walk *w)
{
	for (size_t i = 0; i < w->cut->live_count && !w->stopped; i++) {
		try_one(w, w->cut->live[i]);
		try_prefix(w, i);
	}
	try_newest(w);
	try_pairs(w);
}

/* One unit that is neither old nor new, the others all lost or all kept. */
static void try_damage(struct walk *w, uint32_t others)
{
	for (size_t i = w->cut->name_count; i < w->cut->count && !w->stopped; i++) {
		const struct sim_unit *u = &w->cut->unit[i];
		uint64_t end = u->kind == SIM_UNIT_SIZE ? u->at + 2 : SIM_TORN + 1;
		fill(w, others);
		for (uint32_t choice = SIM_ZEROS; choice < end && !w->stopped; choice++) {
			w->choices[i] = choice;
			try_choices(w);
		}
	}
}

static uint32_t random_choice(const struct sim_unit *u, struct prng *p)
{
	if (u->kind == SIM_UNIT_NAME)
		return (uint32_t)prng_below(p, 2);
	if (u->kind == SIM_UNIT_SIZE)
		return (uint32_t)prng_below(p, u->at + 2);
	/* old and new are what mostly happens */
	uint64_t dice = prng_below(p, 12);
	return dice < 5    ? SIM_LOST
	       : dice < 10 ? SIM_KEPT
	                   : (uint32_t)(SIM_ZEROS + prng_below(p, 3));
}

void sim_cut_random(const struct sim_cut *cut, uint64_t seed, uint32_t *choices)
{
	struct prng p;
	prng_init(&p, seed);
	/* a cut may come just before or long after writeback: the share of what survives varies */
	uint64_t share = prng_below(&p, 17);
	for (size_t i = 0; i < cut->count; i++) {
		choices[i] = prng_below(&p, 16) < share ? SIM_KEPT : SIM_LOST;
		if (prng_below(&p, 8) == 0)
			choices[i] = random_choice(&cut->unit[i], &p);
	}
}

void sim_cut_each(
    struct sim_cut *cut, const struct sim_cut_plan *plan, sim_cut_visit visit, void *ctx)
{
	struct walk w = {.cut = cut, .plan = plan, .visit = visit, .ctx = ctx};
	ASSERT(plan->exhaustive_max <= 16);
	prng_init(&w.prng, plan->seed);
	w.choices = xcalloc(cut->count, sizeof(*w.choices));
	fill(&w, SIM_LOST);
	try_choices(&w);
	fill(&w, SIM_KEPT);
	try_choices(&w);
	if (cut->live_count <= plan->exhaustive_max)
		try_all(&w);
	else
		try_shapes(&w);
	try_damage(&w, SIM_KEPT);
	try_damage(&w, SIM_LOST);
	/* of few units there are few mixtures that are new */
	size_t random = plan->random_count;
	if (random > 8 * cut->count)
		random = 8 * cut->count;
	for (size_t n = 0; n < random && !w.stopped; n++) {
		sim_cut_random(cut, prng_u64(&w.prng), w.choices);
		try_choices(&w);
	}
	free(w.choices);
}
