/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The states in which a power cut may leave a simulated disk, by the thousand: their hashes are
 * known before they are made, so that a caller which keeps the hashes makes each state once.
 *
 *   struct sim_cut *c = sim_cut_new(disk);
 *   sim_cut_each(c, &plan, visit, ctx);      visit: seen sim_cut_hash? else sim_cut_make
 *
 * A hash covers what a program can read after the cut: names, sizes and bytes of the files that a
 * name leads to. Two sets of choices that leave the same have the same hash. The disk must not
 * change while its cuts are enumerated. Thread: one.
 */
#include "test/lib/sim_disk.h"

struct sim_cut;

/*
 * What is tried, in units (sim_disk.h: a sector, a size, a name that is not durable). A sector that
 * was written with what it held is a unit only where it may become zeros, garbage or torn:
 *
 *   up to exhaustive_max units   all subsets
 *   more                         none, all, each alone, each missing, prefixes and suffixes, pairs
 *                                alone and missing (all up to pairs_max units, else a sample), all
 *                                subsets of what the newest operation left (up to exhaustive_max
 *                                units of it) before nothing and before everything else
 *   always                       each sector zeros, garbage or torn and each older size, before
 *                                nothing and before everything else; random_count mixtures
 */
struct sim_cut_plan {
	unsigned exhaustive_max; /* <= 16 */
	unsigned pairs_max;
	unsigned random_count;
	uint64_t seed;
	const struct sim_op *newest; /* NULL = none */
};

struct sim_cut *sim_cut_new(const struct sim_disk *disk);
void sim_cut_free(struct sim_cut *cut); /* NULL is allowed */
size_t sim_cut_units(const struct sim_cut *cut);
/* `seed` gives garbage and places of tearing, as in sim_cut_make. */
uint64_t sim_cut_hash(struct sim_cut *cut, const uint32_t *choices, uint64_t seed);
/* The disk after the cut: nothing pending, no descriptor. The caller frees it. */
struct sim_disk *sim_cut_make(struct sim_cut *cut, const uint32_t *choices, uint64_t seed);
/* Choices drawn from `seed`, one per unit. */
void sim_cut_random(const struct sim_cut *cut, uint64_t seed, uint32_t *choices);

/* False ends the enumeration. */
typedef bool (*sim_cut_visit)(void *ctx, const uint32_t *choices, uint64_t seed);
void sim_cut_each(
    struct sim_cut *cut, const struct sim_cut_plan *plan, sim_cut_visit visit, void *ctx);
/* The hash of a disk with nothing pending. */
uint64_t sim_cut_disk_hash(const struct sim_disk *disk);
