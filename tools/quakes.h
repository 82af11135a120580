/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The demo's events: earthquakes with revisions, as a seismic network publishes them. A seed and
 * integer arithmetic only: the same bytes on every machine. Event n is a new quake, or a revision
 * (other magnitude, other number of reports, sometimes withdrawn) of one of the last quakes. One
 * thread.
 *   {"id":"kq000042","rev":2,"time":1735689723456,"updated":1735690023456,"mag":4.5,
 *    "felt":17,"status":"reviewed","place":"..."}
 */
#include "log/base/base.h"

enum { QUAKES_RECENT = 256, QUAKE_JSON_MAX = 256 };

struct quake {
	uint32_t id, rev;
	int64_t time_ms, updated_ms;
	int mag_tenths, felt, place;
	bool withdrawn;
};
struct quakes {
	struct prng prng;
	uint32_t next_id;
	int64_t clock_ms; /* 2025-01-01 and then forward */
	struct quake recent[QUAKES_RECENT];
};
void quakes_init(struct quakes *q, uint64_t seed);
/* The next event as one JSON object without newline; returns its length. */
size_t quakes_next(struct quakes *q, char *buf, size_t len);
