/* SPDX-License-Identifier: Apache-2.0 */
/* What a power cut makes of a simulated disk, and the enumeration of such cuts. */
#include "log/base/prng.h"
#include "test/lib/sim_names.h"
#include "test/lib/xmalloc.h"

struct unit_list {
	struct sim_unit *unit;
	size_t count, capacity;
};

static void add_unit(struct unit_list *l, enum sim_unit_kind kind, uint32_t inode, uint64_t at)
{
	if (l->count == l->capacity) {
		l->capacity = l->capacity ? l->capacity * 2 : 64;
		l->unit = xrealloc(l->unit, l->capacity * sizeof(*l->unit));
	}
	l->unit[l->count++] = (struct sim_unit){kind, inode, at};
}

struct sim_unit *sim_disk_units(const struct sim_disk *d, size_t *ret_count)
{
	struct unit_list l = {NULL, 0, 0};
	for (size_t i = 0; i < d->name_op_count; i++)
		add_unit(&l, SIM_UNIT_NAME, d->name_op[i].inode, i);
	for (uint32_t i = 1; i < d->inode_count; i++) {
		const struct sim_inode *n = &d->inode[i];
		if (!n->used || n->kind != SIM_FILE)
			continue;
		if (n->size_count > 0)
			add_unit(&l, SIM_UNIT_SIZE, i, n->size_count);
		for (uint64_t s = 0; sim_next_dirty(n, &s); s++)
			add_unit(&l, SIM_UNIT_SECTOR, i, s);
	}
	*ret_count = l.count;
	return l.unit;
}

/* ---- one cut --------------------------------------------------------------------------------- */

static void crash_sector(struct sim_inode *n, struct sim_content **after, uint64_t sector,
    uint32_t choice, struct prng *p)
{
	uint8_t old[SIM_SECTOR], bytes[SIM_SECTOR];
	sim_content_get_sector(*after, sector, old);
	sim_content_get_sector(n->cached, sector, bytes);
	if (choice == SIM_ZEROS)
		memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; choice == SIM_GARBAGE && i < sizeof(bytes); i += 8)
		put_u64_le(bytes + i, prng_u64(p));
	if (choice == SIM_TORN) {
		size_t cut = 1 + (size_t)prng_below(p, SIM_SECTOR - 1);
		memcpy(bytes + cut, old + cut, SIM_SECTOR - cut);
	}
	sim_content_put_sector(after, sector, bytes);
}

/* The state after the cut becomes both states of the file. */
static void settle_file(struct sim_inode *n, struct sim_content *after)
{
	sim_content_unref(n->cached);
	sim_content_unref(n->durable);
	n->cached = after;
	n->durable = sim_content_ref(after);
	free(n->dirty);
	free(n->sizes);
	n->dirty = NULL;
	n->sizes = NULL;
	n->dirty_blocks = n->dirty_count = n->size_count = 0;
	n->lost = false;
}

static uint64_t chosen_size(const struct sim_inode *n, uint32_t choice)
{
	if (choice == SIM_LOST)
		return n->durable->size_bytes;
	size_t i = choice == SIM_KEPT ? n->size_count - 1 : choice - 2;
	ASSERT(i < n->size_count);
	return n->sizes[i];
}

/* Applies the units of one file, which start at *at; advances it. */
static void crash_file(struct sim_disk *d, uint32_t inode, const struct unit_list *l,
    const uint32_t *choices, size_t *at, struct prng *p)
{
	struct sim_inode *n = &d->inode[inode];
	struct sim_content *after = sim_content_ref(n->durable);
	uint64_t size = n->durable->size_bytes;
	for (; *at < l->count && l->unit[*at].inode == inode; ++*at) {
		const struct sim_unit *unit = &l->unit[*at];
		uint32_t choice = choices[*at];
		if (unit->kind == SIM_UNIT_SIZE)
			size = chosen_size(n, choice);
		else if (choice != SIM_LOST)
			crash_sector(n, &after, unit->at, choice, p);
	}
	if (after != n->durable || size != after->size_bytes)
		sim_content_resize(&after, size);
	settle_file(n, after);
}

void sim_disk_recount(struct sim_disk *d)
{
	d->used_bytes = 0;
	for (uint32_t i = 1; i < d->inode_count; i++) {
		if (d->inode[i].used && d->inode[i].kind == SIM_FILE)
			d->used_bytes += sim_content_blocks(d->inode[i].cached) * SIM_BLOCK;
	}
}

struct sim_disk *sim_disk_crash(const struct sim_disk *disk, const uint32_t *choices, uint64_t seed)
{
	struct sim_disk *d = sim_disk_clone(disk);
	struct unit_list l = {NULL, 0, 0};
	struct prng p;
	size_t at = 0;
	prng_init(&p, seed);
	l.unit = sim_disk_units(d, &l.count);
	for (; at < l.count && l.unit[at].kind == SIM_UNIT_NAME; at++) {
		if (choices[at] != SIM_LOST)
			sim_name_op_commit(d, &d->name_op[at]);
	}
	for (size_t i = 0; i < d->name_op_count; i++)
		sim_name_op_release(&d->name_op[i]);
	d->name_op_count = 0;
	for (uint32_t i = 1; i < d->inode_count; i++) {
		struct sim_inode *n = &d->inode[i];
		if (!n->used)
			continue;
		n->open_count = 0;
		n->unlinked = n->space_given = false;
		if (n->kind == SIM_FILE) {
			crash_file(d, i, &l, choices, &at, &p);
		} else if (n->kind == SIM_DIRECTORY) {
			sim_names_release(&n->names);
			sim_names_copy(&n->names, &n->durable_names);
		}
	}
	ASSERT(at == l.count);
	free(l.unit);
	sim_disk_recount(d);
	sim_disk_collect(d);
	return d;
}

/* ---- many cuts ------------------------------------------------------------------------------- */

static uint32_t random_choice(const struct sim_unit *unit, struct prng *p)
{
	if (unit->kind == SIM_UNIT_NAME)
		return (uint32_t)prng_below(p, 2);
	if (unit->kind == SIM_UNIT_SIZE)
		return (uint32_t)prng_below(p, unit->at + 2);
	/* old and new are what mostly happens */
	static const uint32_t sector[] = {SIM_LOST, SIM_LOST, SIM_LOST, SIM_KEPT, SIM_KEPT,
	    SIM_KEPT,
	    SIM_ZEROS, SIM_GARBAGE, SIM_TORN};
	return sector[prng_below(p, sizeof(sector) / sizeof(*sector))];
}

struct sim_disk *sim_disk_crash_random(const struct sim_disk *disk, uint64_t seed)
{
	struct prng p;
	prng_init(&p, seed);
	size_t count;
	struct sim_unit *units = sim_disk_units(disk, &count);
	uint32_t *choices = xcalloc(count, sizeof(*choices));
	/* a cut may come just before or long after writeback: the share of what survives varies */
	uint64_t mood = prng_below(&p, 4);
	for (size_t i = 0; i < count; i++) {
		choices[i] = mood == 0 ? SIM_LOST : mood == 1 ? SIM_KEPT
		    : random_choice(&units[i], &p);
		if (mood < 2 && prng_below(&p, 8) == 0)
			choices[i] = random_choice(&units[i], &p);
	}
	struct sim_disk *after = sim_disk_crash(disk, choices, prng_u64(&p));
	free(choices);
	free(units);
	return after;
}

/* Units singled out when there are many. */
enum { SHAPES_MAX = 64 };

struct enumeration {
	const struct sim_disk *disk;
	const struct sim_unit *units;
	uint32_t *choices;
	size_t count;
	sim_crash_check check;
	void *ctx;
	struct prng prng;
	uint64_t tried;
	bool stopped;
};

static void try_choices(struct enumeration *e)
{
	if (e->stopped)
		return;
	struct sim_disk *after = sim_disk_crash(e->disk, e->choices, prng_u64(&e->prng));
	e->tried++;
	e->stopped = !e->check(e->ctx, after);
	sim_disk_free(after);
}

static void fill(struct enumeration *e, uint32_t choice)
{
	for (size_t i = 0; i < e->count; i++)
		e->choices[i] = choice;
}

/* Distance to the next unit to single out: 1, or a random one that leaves about SHAPES_MAX. */
static size_t sample_step(struct enumeration *e)
{
	if (e->count <= SHAPES_MAX)
		return 1;
	return 1 + (size_t)prng_below(&e->prng, 2 * e->count / SHAPES_MAX);
}

static void try_all_subsets(struct enumeration *e)
{
	for (uint32_t set = 0; set < 1u << e->count && !e->stopped; set++) {
		for (size_t i = 0; i < e->count; i++)
			e->choices[i] = set >> i & 1 ? SIM_KEPT : SIM_LOST;
		try_choices(e);
	}
}

/*
 * Each one alone, each one missing, prefixes and suffixes in order of the units; of many units a
 * sample.
 */
static void try_shapes(struct enumeration *e)
{
	fill(e, SIM_LOST);
	try_choices(e);
	for (size_t i = 0; i < e->count && !e->stopped; i += sample_step(e)) {
		fill(e, SIM_LOST);
		e->choices[i] = SIM_KEPT;
		try_choices(e);
		fill(e, SIM_KEPT);
		e->choices[i] = SIM_LOST;
		try_choices(e);
		for (size_t n = 0; n < e->count; n++)
			e->choices[n] = n <= i ? SIM_KEPT : SIM_LOST;
		try_choices(e);
		for (size_t n = 0; n < e->count; n++)
			e->choices[n] = n <= i ? SIM_LOST : SIM_KEPT;
		try_choices(e);
	}
}

/*
 * All kept but one sector, which is zeros, garbage or torn; all kept but one size, which is an
 * older one.
 */
static void try_damage(struct enumeration *e)
{
	for (size_t i = 0; i < e->count && !e->stopped; i += sample_step(e)) {
		if (e->units[i].kind == SIM_UNIT_NAME)
			continue;
		bool size = e->units[i].kind == SIM_UNIT_SIZE;
		uint64_t end = size ? e->units[i].at + 2 : SIM_TORN + 1;
		if (end > 12)
			end = 12;
		for (uint32_t choice = SIM_ZEROS; choice < end && !e->stopped; choice++) {
			fill(e, SIM_KEPT);
			e->choices[i] = choice;
			try_choices(e);
		}
	}
}

uint64_t sim_disk_each_crash(const struct sim_disk *disk, const struct sim_crash_plan *plan,
    sim_crash_check check, void *ctx)
{
	ASSERT(plan->exhaustive_max <= 16);
	struct enumeration e = {.disk = disk, .check = check, .ctx = ctx};
	prng_init(&e.prng, plan->seed);
	struct sim_unit *units = sim_disk_units(disk, &e.count);
	e.units = units;
	e.choices = xcalloc(e.count, sizeof(*e.choices));
	if (e.count <= plan->exhaustive_max)
		try_all_subsets(&e);
	else
		try_shapes(&e);
	try_damage(&e);
	for (unsigned n = 0; n < plan->random_count && e.count > 0 && !e.stopped; n++) {
		for (size_t i = 0; i < e.count; i++)
			e.choices[i] = random_choice(&units[i], &e.prng);
		try_choices(&e);
	}
	free(e.choices);
	free(units);
	return e.tried;
}
