/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/quakes.h"
#include <stdio.h>
#include <time.h>

#define FIRST_DAY_MS ((int64_t)1740787200000) /* 2025-03-01T00:00:00Z */
#define DAY_MS       ((int64_t)86400000)

const char quakes_table[] =
    "CREATE TABLE quakes (id text NOT NULL, rev int NOT NULL, at timestamptz OPTIONS (unit 'ms') "
    "NOT NULL,"
    " felt bigint CHECK (felt >= 0), status text) WITH (topic = 'quakes', format = json);";
#define V1_SELECT                                                                                  \
	"SELECT date_trunc('day', at) AS day, count(*) AS quakes, sum(felt) AS felt FROM quakes "  \
	"GROUP BY 1"
#define V2_SELECT                                                                                  \
	"SELECT date_trunc('day', at) AS day, count(*) AS quakes, sum(felt) AS felt FROM (SELECT " \
	"DISTINCT ON (id) id, at,"                                                                 \
	" felt, status FROM quakes ORDER BY id, _sequence DESC, _pos DESC) AS last WHERE status "  \
	"<> 'withdrawn' GROUP BY 1"
const char quakes_v1[] = "CREATE MATERIALIZED VIEW felt_per_day AS " V1_SELECT ";";
const char quakes_v2[] = "CREATE MATERIALIZED VIEW felt_per_day AS " V2_SELECT ";";
const char quakes_v2_next[] =
    "CREATE MATERIALIZED VIEW felt_per_day WITH (version = 2) AS " V2_SELECT ";";

void quakes_init(struct quakes *q, uint64_t seed)
{
	*q = (struct quakes){.bad_percent = 4};
	prng_init(&q->prng, seed);
}

void quakes_release(struct quakes *q)
{
	mem_free(q->all);
	*q = (struct quakes){0};
}

static void write_good(struct quake *e)
{
	(void)snprintf(e->text, sizeof(e->text),
	    "{\"id\":\"q%d\",\"rev\":%d,\"at\":%lld,\"felt\":%d,\"status\":\"%s\"}", e->id, e->rev,
	    (long long)e->at_ms, e->felt, e->withdrawn ? "withdrawn" : "automatic");
}

static void write_bad(struct quake *e, uint64_t kind)
{
	static const char *const texts[] = {"{\"id\":\"q1\",\"rev\":1",
	    "{\"rev\":1,\"at\":1740787200000,\"felt\":1}",
	    "{\"id\":\"q1\",\"rev\":\"one\",\"at\":1740787200000}",
	    "{\"id\":\"q1\",\"rev\":1,\"at\":\"yesterday\"}",
	    "{\"id\":\"q1\",\"rev\":1,\"at\":1740787200000,\"felt\":-5}", "not json"};
	e->bad = true;
	e->null = kind == 6;
	(void)snprintf(e->text, sizeof(e->text), "%s", e->null ? "" : texts[kind]);
}

const struct quake *quakes_next(struct quakes *q)
{
	if (q->count == q->capacity) {
		q->capacity = q->capacity ? q->capacity * 2 : 1024;
		q->all = mem_realloc(q->all, q->capacity * sizeof(*q->all));
		ASSERT(q->all);
	}
	struct quake *e = &q->all[q->count++];
	*e = (struct quake){.felt = (int)prng_below(&q->prng, 500)};
	e->at_ms = FIRST_DAY_MS + (int64_t)prng_below(&q->prng, QUAKE_DAYS * (uint64_t)DAY_MS);
	bool revision = q->ids > 0 && prng_below(&q->prng, 100) < 40;
	e->id = revision ? (int)prng_below(&q->prng, (uint64_t)q->ids) : q->ids++;
	e->rev = revision ? 2 : 1;
	e->withdrawn = revision && prng_below(&q->prng, 4) == 0;
	if (prng_below(&q->prng, 100) < (uint64_t)q->bad_percent)
		write_bad(e, prng_below(&q->prng, 7));
	else
		write_good(e);
	return e;
}

struct days {
	long long count[QUAKE_DAYS], felt[QUAKE_DAYS];
};

static void add(struct days *d, const struct quake *e)
{
	int64_t day = (e->at_ms - FIRST_DAY_MS) / DAY_MS;
	d->count[day]++;
	d->felt[day] += e->felt;
}

static char *write_days(const struct days *d)
{
	struct writer w;
	size_t len;
	writer_init(&w, MIB);
	write_cstr(&w, "day,quakes,felt\n");
	for (int i = 0; i < QUAKE_DAYS; i++) {
		time_t t = (time_t)((FIRST_DAY_MS + i * DAY_MS) / 1000);
		struct tm tm;
		(void)gmtime_r(&t, &tm);
		if (d->count[i] > 0)
			write_printf(&w, "%04d-%02d-%02dT00:00:00.000000Z,%lld,%lld\n",
			    tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, d->count[i], d->felt[i]);
	}
	write_u8(&w, 0);
	return (char *)writer_take(&w, &len);
}

char *quakes_expect_v1(const struct quakes *q, size_t count)
{
	struct days d = {0};
	for (size_t i = 0; i < count; i++)
		if (!q->all[i].bad)
			add(&d, &q->all[i]);
	return write_days(&d);
}

char *quakes_expect_v2(const struct quakes *q, size_t count)
{
	struct days d = {0};
	const struct quake **last = mem_calloc((size_t)q->ids + 1, sizeof(*last));
	for (size_t i = 0; i < count; i++)
		if (!q->all[i].bad)
			last[q->all[i].id] = &q->all[i];
	for (int i = 0; i < q->ids; i++)
		if (last[i] && !last[i]->withdrawn)
			add(&d, last[i]);
	mem_free(last);
	return write_days(&d);
}

size_t quakes_bad(const struct quakes *q, size_t count)
{
	size_t bad = 0;
	for (size_t i = 0; i < count; i++)
		bad += q->all[i].bad;
	return bad;
}
