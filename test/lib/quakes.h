/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Earthquake reports with revisions, from a seed, and what the two views of the demonstration make
 * of them, computed the slow way: an array of accepted records in the order they were produced.
 */
#include "log/base/base.h"

enum { QUAKE_DAYS = 20, QUAKE_TEXT_MAX = 200 };

struct quake {
	int id;
	int rev;
	int64_t at_ms;
	int felt;
	bool withdrawn;
	bool bad;  /* breaks the contract: a dead letter */
	bool null; /* a null value: one as well */
	char text[QUAKE_TEXT_MAX];
};
struct quakes {
	struct prng prng;
	struct quake *all;
	size_t count, capacity;
	int ids;
	int bad_percent;
};
void quakes_init(struct quakes *q, uint64_t seed);
void quakes_release(struct quakes *q);
/* The next report: a new quake, or a revision of one (40 %), or a bad document. */
const struct quake *quakes_next(struct quakes *q);

/* CREATE TABLE quakes over topic quakes. */
extern const char quakes_table[];
/* Views felt_per_day: v1 counts every revision, v2 the last one of each quake unless it was
 * withdrawn. */
extern const char quakes_v1[], quakes_v2[], quakes_v2_next[]; /* the last one WITH (version = 2) */

/* CSV of the views over the first `count` reports. mem_free. */
char *quakes_expect_v1(const struct quakes *q, size_t count);
char *quakes_expect_v2(const struct quakes *q, size_t count);
size_t quakes_bad(const struct quakes *q, size_t count);
