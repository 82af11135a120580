/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes and making of single cuts; which ones are tried is in sim_cut_plan.c.
 *
 * The hash of a state is a sum: one term per sector of each file that a name leads to (zeros count
 * nothing, so a hole is what it reads as), one per size, one per name. A sector's term depends on
 * its choice and, where the size cuts it, on the file's size; so all terms are computed once per
 * disk, and the hash of a state is a sum of table entries.
 */
#include "test/lib/sim_cut.h"

#include "log/base/prng.h"
#include "test/lib/sim_cut_state.h"
#include "test/lib/xmalloc.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- terms ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t in[3] = {a, b, c};
	return XXH3_64bits(in, sizeof(in));
}

static uint64_t sector_term(uint32_t inode, const uint8_t *bytes, size_t len, uint64_t sector)
{
	static const uint8_t zeros[SIM_SECTOR];
	if (len == 0 || memcmp(bytes, zeros, len) == 0)
		return 0;
	uint8_t whole[SIM_SECTOR] = {0};
	memcpy(whole, bytes, len);
	return XXH3_64bits_withSeed(whole, SIM_SECTOR, ((uint64_t)inode << 32) + sector + 1);
}

/* The bytes of a sector that lie below `size`. */
static size_t sector_len(uint64_t sector, uint64_t size)
{
	uint64_t at = sector * SIM_SECTOR;
	return at >= size ? 0 : size - at < SIM_SECTOR ? (size_t)(size - at) : SIM_SECTOR;
}

static uint64_t content_term(
    const struct sim_content *c, uint32_t inode, uint64_t sector, uint64_t size)
{
	uint8_t bytes[SIM_SECTOR];
	size_t len = sector_len(sector, size);
	size_t index = (size_t)(sector / SIM_SECTORS_PER_BLOCK);
	if (len == 0 || index >= c->block_count || !c->block[index])
		return 0;
	sim_content_get_sector(c, sector, bytes);
	return sector_term(inode, bytes, len, sector);
}

static uint64_t size_term(uint32_t inode, uint64_t size)
{
	return mix(inode, size, 1);
}

static uint64_t name_terms(const struct sim_names *names, uint32_t dir)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < names->count; i++) {
		const struct sim_entry *e = &names->entry[i];
		sum += mix(dir, e->inode, XXH3_64bits(e->name, strlen(e->name)));
	}
	return sum;
}

/* ---- one file -------------------------------------------------------------------------------- */

static uint64_t option_size(const struct sim_inode *n, size_t option)
{
	return option == 0 ? n->durable->size_bytes : n->sizes[option - 1];
}

/* The sum over the sectors that are not in doubt. */
static uint64_t clean_terms(const struct sim_inode *n, uint32_t inode, uint64_t size)
{
	uint64_t sum = size_term(inode, size), dirty = 0;
	bool more = sim_next_dirty(n, &dirty);
	for (uint64_t s = 0; s < n->durable->block_count * SIM_SECTORS_PER_BLOCK; s++) {
		if (more && s == dirty) {
			dirty++;
			more = sim_next_dirty(n, &dirty);
			continue;
		}
		sum += content_term(n->durable, inode, s, size);
	}
	return sum;
}

/* Is something else there when the sector is lost, whatever the size? */
static bool is_live(const struct cut_file *f, size_t i)
{
	for (size_t o = 0; o < f->options; o++) {
		const uint64_t *term = f->term + (o * f->sector_count + i) * 3;
		if (term[SIM_LOST] != term[SIM_KEPT])
			return true;
	}
	return false;
}

static void file_terms(struct sim_cut *c, struct cut_file *f)
{
	const struct sim_inode *n = &c->disk->inode[f->inode];
	f->options = n->size_count + 1;
	f->clean = xmalloc(f->options * sizeof(*f->clean));
	f->term = xmalloc((f->sector_count * f->options * 3 + 1) * sizeof(*f->term));
	for (size_t o = 0; o < f->options; o++) {
		uint64_t size = option_size(n, o);
		f->clean[o] = clean_terms(n, f->inode, size);
		for (size_t i = 0; i < f->sector_count; i++) {
			uint64_t sector = c->unit[f->first_sector + i].at;
			uint64_t *term = f->term + (o * f->sector_count + i) * 3;
			term[SIM_LOST] = content_term(n->durable, f->inode, sector, size);
			term[SIM_KEPT] = content_term(n->cached, f->inode, sector, size);
			term[SIM_ZEROS] = 0;
		}
	}
}

static void add_file(struct sim_cut *c, uint32_t inode, size_t *unit)
{
	struct cut_file *f = &c->file[c->file_count++];
	*f = (struct cut_file){.inode = inode, .size_unit = SIZE_MAX};
	if (*unit < c->count && c->unit[*unit].inode == inode &&
	    c->unit[*unit].kind == SIM_UNIT_SIZE)
		f->size_unit = (*unit)++;
	f->first_sector = *unit;
	while (*unit < c->count && c->unit[*unit].inode == inode)
		++*unit;
	f->sector_count = *unit - f->first_sector;
	file_terms(c, f);
	if (f->size_unit != SIZE_MAX)
		c->live[c->live_count++] = f->size_unit;
	for (size_t i = 0; i < f->sector_count; i++) {
		if (is_live(f, i))
			c->live[c->live_count++] = f->first_sector + i;
	}
}

/* ---- life ------------------------------------------------------------------------------------ */

struct sim_cut *sim_cut_new(const struct sim_disk *disk)
{
	struct sim_cut *c = xcalloc(1, sizeof(*c));
	size_t unit = 0;
	c->disk = disk;
	c->unit = sim_disk_units(disk, &c->count);
	while (unit < c->count && c->unit[unit].kind == SIM_UNIT_NAME)
		unit++;
	c->name_count = unit;
	c->live = xmalloc((c->count + 1) * sizeof(*c->live));
	for (; c->live_count < unit; c->live_count++)
		c->live[c->live_count] = c->live_count;
	c->file = xmalloc(disk->inode_count * sizeof(*c->file));
	for (uint32_t i = 1; i < disk->inode_count; i++) {
		if (disk->inode[i].used && disk->inode[i].kind == SIM_FILE)
			add_file(c, i, &unit);
	}
	ASSERT(unit == c->count);
	return c;
}

void sim_cut_free(struct sim_cut *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->file_count; i++) {
		free(c->file[i].clean);
		free(c->file[i].term);
	}
	for (size_t i = 0; i < c->template_count; i++) {
		sim_disk_free(c->template[i].disk);
		free(c->template[i].names);
	}
	free(c->file);
	free(c->live);
	free(c->unit);
	free(c);
}

size_t sim_cut_units(const struct sim_cut *c)
{
	return c->count;
}

/* ---- names ----------------------------------------------------------------------------------- */

static void template_make(struct sim_cut *c, struct cut_template *t, const uint32_t *choices)
{
	uint32_t *names_only = xcalloc(c->count, sizeof(*names_only));
	memcpy(names_only, choices, c->name_count * sizeof(*choices));
	t->names = xmalloc(c->name_count * sizeof(*choices));
	memcpy(t->names, choices, c->name_count * sizeof(*choices));
	t->disk = sim_disk_crash(c->disk, names_only, 0);
	t->hash = 0;
	for (uint32_t i = 1; i < t->disk->inode_count; i++) {
		const struct sim_inode *n = &t->disk->inode[i];
		if (n->used && n->kind == SIM_DIRECTORY)
			t->hash += name_terms(&n->names, i);
		if (n->used && n->kind == SIM_LINK)
			t->hash += mix(i, XXH3_64bits(n->target, strlen(n->target)), 2);
	}
	free(names_only);
}

/* The disk with these names and all content as it is durable, made once. */
static const struct cut_template *template_of(struct sim_cut *c, const uint32_t *choices)
{
	size_t len = c->name_count * sizeof(*choices);
	for (size_t i = 0; i < c->template_count; i++) {
		if (memcmp(c->template[i].names, choices, len) == 0)
			return &c->template[i];
	}
	struct cut_template *t;
	if (c->template_count < CUT_TEMPLATES) {
		t = &c->template[c->template_count++];
	} else {
		t = &c->template[c->template_next++ % CUT_TEMPLATES];
		sim_disk_free(t->disk);
		free(t->names);
	}
	template_make(c, t, choices);
	return t;
}

/* ---- one state ------------------------------------------------------------------------------- */

static size_t chosen_option(
    const struct sim_cut *c, const struct cut_file *f, const uint32_t *choices)
{
	if (f->size_unit == SIZE_MAX)
		return 0;
	uint32_t choice = choices[f->size_unit];
	size_t option = choice == SIM_LOST ? 0 : choice == SIM_KEPT ? f->options - 1 : choice - 1;
	ASSERT(option < f->options);
	(void)c;
	return option;
}

uint64_t sim_cut_hash(struct sim_cut *c, const uint32_t *choices, uint64_t seed)
{
	const struct cut_template *t = template_of(c, choices);
	uint64_t sum = t->hash;
	for (size_t i = 0; i < c->file_count; i++) {
		const struct cut_file *f = &c->file[i];
		if (!t->disk->inode[f->inode].used)
			continue;
		size_t option = chosen_option(c, f, choices);
		const uint64_t *term = f->term + option * f->sector_count * 3;
		sum += f->clean[option];
		for (size_t s = 0; s < f->sector_count; s++) {
			uint32_t choice = choices[f->first_sector + s];
			sum += choice <= SIM_ZEROS ? term[s * 3 + choice]
			                           : mix(seed, f->first_sector + s, choice);
		}
	}
	return sum;
}

static void put_sector(struct sim_inode *n, const struct sim_content *cached, uint64_t sector,
    uint32_t choice, uint64_t seed)
{
	uint8_t old[SIM_SECTOR], bytes[SIM_SECTOR];
	struct prng p;
	if (choice == SIM_KEPT) {
		sim_content_copy_sector(&n->cached, cached, sector);
		return;
	}
	prng_init(&p, seed);
	sim_content_get_sector(n->cached, sector, old);
	sim_content_get_sector(cached, sector, bytes);
	if (choice == SIM_ZEROS)
		memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; choice == SIM_GARBAGE && i < sizeof(bytes); i += 8)
		put_u64_le(bytes + i, prng_u64(&p));
	if (choice == SIM_TORN) {
		size_t cut = 1 + (size_t)prng_below(&p, SIM_SECTOR - 1);
		memcpy(bytes + cut, old + cut, SIM_SECTOR - cut);
	}
	sim_content_put_sector(&n->cached, sector, bytes);
}

static void make_file(const struct sim_cut *c, const struct cut_file *f, struct sim_inode *n,
    const uint32_t *choices, uint64_t seed)
{
	const struct sim_inode *from = &c->disk->inode[f->inode];
	uint64_t size = option_size(from, chosen_option(c, f, choices));
	for (size_t s = 0; s < f->sector_count; s++) {
		size_t unit = f->first_sector + s;
		/* what the size hides is not there */
		if (choices[unit] != SIM_LOST && sector_len(c->unit[unit].at, size) > 0)
			put_sector(n, from->cached, c->unit[unit].at, choices[unit],
			    mix(seed, unit, choices[unit]));
	}
	if (n->cached->size_bytes != size || n->cached != n->durable)
		sim_content_resize(&n->cached, size);
	if (n->cached != n->durable) {
		sim_content_unref(n->durable);
		n->durable = sim_content_ref(n->cached);
	}
}

struct sim_disk *sim_cut_make(struct sim_cut *c, const uint32_t *choices, uint64_t seed)
{
	struct sim_disk *d = sim_disk_clone(template_of(c, choices)->disk);
	for (size_t i = 0; i < c->file_count; i++) {
		const struct cut_file *f = &c->file[i];
		bool doubt = f->size_unit != SIZE_MAX || f->sector_count > 0;
		if (doubt && d->inode[f->inode].used)
			make_file(c, f, &d->inode[f->inode], choices, seed);
	}
	if (d->capacity_bytes > 0)
		sim_disk_recount(d);
	return d;
}

uint64_t sim_cut_disk_hash(const struct sim_disk *disk)
{
	struct sim_cut *c = sim_cut_new(disk);
	ASSERT(c->count == 0);
	uint64_t hash = sim_cut_hash(c, NULL, 0);
	sim_cut_free(c);
	return hash;
}
