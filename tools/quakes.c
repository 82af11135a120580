/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/quakes.h"
#include <stdio.h>

enum {
	NEW_PER_100 = 62,      /* of 100 events so many are new quakes, the rest revisions */
	WITHDRAWN_PER_100 = 7, /* of 100 revisions so many withdraw the quake */
	MEAN_GAP_MS = 210000,  /* 200,000 events span about 16 months */
};
#define START_MS INT64_C(1735689600000) /* 2025-01-01T00:00:00Z */

static const char *const places[] = {"Hokkaido, Japan", "off the coast of Oregon", "Central Alaska",
    "South of Fiji", "Near Izmir, Türkiye", "Atacama, Chile", "Banda Sea", "Reykjanes Ridge",
    "Nepal-India border region", "Kermadec Islands", "Central Italy", "Gulf of California"};
enum { PLACES = sizeof places / sizeof *places };

void quakes_init(struct quakes *q, uint64_t seed)
{
	*q = (struct quakes){.clock_ms = START_MS};
	prng_init(&q->prng, seed);
}

static int below(struct quakes *q, uint64_t bound)
{
	return (int)prng_below(&q->prng, bound);
}

/* Small ones are common: each half step of magnitude is about three times rarer. */
static int magnitude(struct quakes *q)
{
	int mag = 20 + below(q, 10);
	while (mag < 85 && below(q, 3) == 0)
		mag += 5;
	return mag;
}

static int reports(struct quakes *q, int mag_tenths)
{
	if (mag_tenths < 25 && below(q, 4))
		return 0;
	return below(q, (uint64_t)(mag_tenths * mag_tenths) / 20 + 1);
}

static struct quake *new_quake(struct quakes *q)
{
	struct quake *e = &q->recent[q->next_id % QUAKES_RECENT];
	*e = (struct quake){
	    .id = q->next_id++, .rev = 1, .time_ms = q->clock_ms - 60000 - below(q, 240000)};
	e->updated_ms = q->clock_ms;
	e->mag_tenths = magnitude(q);
	e->felt = reports(q, e->mag_tenths);
	e->place = below(q, PLACES);
	return e;
}

static struct quake *revise(struct quakes *q)
{
	uint32_t known = q->next_id < QUAKES_RECENT ? q->next_id : QUAKES_RECENT;
	struct quake *e = &q->recent[(q->next_id - 1 - (uint32_t)below(q, known)) % QUAKES_RECENT];
	e->rev++;
	e->updated_ms = q->clock_ms;
	e->withdrawn = below(q, 100) < WITHDRAWN_PER_100;
	e->mag_tenths += below(q, 7) - 3;
	e->felt += below(q, 12);
	return e;
}

size_t quakes_next(struct quakes *q, char *buf, size_t len)
{
	q->clock_ms += 1 + below(q, 2 * MEAN_GAP_MS);
	const struct quake *e =
	    q->next_id == 0 || below(q, 100) < NEW_PER_100 ? new_quake(q) : revise(q);
	const char *status = e->withdrawn ? "withdrawn" : e->rev > 1 ? "reviewed" : "automatic";
	int n = snprintf(buf, len,
	    "{\"id\":\"kq%06u\",\"rev\":%u,\"time\":%lld,\"updated\":%lld,\"mag\":%d.%d,\"felt\":%"
	    "d,\"status\":\"%s\","
	    "\"place\":\"%s\"}",
	    e->id, e->rev, (long long)e->time_ms, (long long)e->updated_ms, e->mag_tenths / 10,
	    e->mag_tenths % 10, e->felt, status, places[e->place]);
	ASSERT(n > 0 && (size_t)n < len);
	return (size_t)n;
}
