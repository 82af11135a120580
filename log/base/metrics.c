/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All cells are relaxed atomics: each is a sum of its own, a scrape may see one a moment older than
 * another. A histogram has 4 buckets per power of two: bucket index = 4 * (exponent - 1) + the two
 * bits below the leading one; values under 4 ns have a bucket each. Its quantiles are off by at
 * most a quarter.
 */
#include "metrics.h"

#include "limits.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>

enum kind { COUNTER, GAUGE, HISTOGRAM };

static const struct {
	const char *name;
	const char *help;
	enum kind kind;
} table[METRIC_COUNT] = {
#define METRIC(id, kind, name, unit, help) [METRIC_##id] = {name, help, kind},
#include "metrics.def"
#undef METRIC
};

/* HISTOGRAM_<ID> numbers the histograms alone. */
enum histogram_index {
#define SLOT_COUNTER(id)
#define SLOT_GAUGE(id)
#define SLOT_HISTOGRAM(id)                 HISTOGRAM_##id,
#define METRIC(id, kind, name, unit, help) SLOT_##kind(id)
#include "metrics.def"
#undef METRIC
	HISTOGRAM_COUNT
};

enum { BUCKETS = 248 };
struct histogram {
	uint64_t bucket[BUCKETS];
	uint64_t sum_ns;
	uint64_t max_ns;
};
static uint64_t cells[METRIC_COUNT];
static struct histogram histograms[HISTOGRAM_COUNT];

static struct histogram *histogram_of(enum metric m)
{
	static const uint8_t index[METRIC_COUNT] = {
#define INDEX_COUNTER(id)
#define INDEX_GAUGE(id)
#define INDEX_HISTOGRAM(id)                [METRIC_##id] = HISTOGRAM_##id,
#define METRIC(id, kind, name, unit, help) INDEX_##kind(id)
#include "metrics.def"
#undef METRIC
	};
	_Static_assert(HISTOGRAM_COUNT < 256, "index is u8");
	ASSERT(m < METRIC_COUNT && table[m].kind == HISTOGRAM);
	return &histograms[index[m]];
}

static uint64_t get(const uint64_t *cell)
{
	return __atomic_load_n(cell, __ATOMIC_RELAXED);
}

static void add(uint64_t *cell, uint64_t n)
{
	__atomic_fetch_add(cell, n, __ATOMIC_RELAXED);
}

void metric_add(enum metric m, uint64_t n)
{
	add(&cells[m], n);
}

void metric_set(enum metric m, int64_t value)
{
	ASSERT(table[m].kind == GAUGE);
	__atomic_store_n(&cells[m], (uint64_t)value, __ATOMIC_RELAXED);
}

static unsigned bucket_of(uint64_t v)
{
	if (v < 4)
		return (unsigned)v;
	unsigned exponent = 63u - (unsigned)__builtin_clzll(v);
	return 4 * (exponent - 1) + (unsigned)((v >> (exponent - 2)) & 3);
}

/* The largest value of a bucket. */
static uint64_t bucket_top(unsigned bucket)
{
	if (bucket < 4)
		return bucket;
	unsigned exponent = bucket / 4 + 1;
	return ((uint64_t)(4 + bucket % 4 + 1) << (exponent - 2)) - 1;
}

void metric_observe_ns(enum metric m, int64_t value_ns)
{
	struct histogram *h = histogram_of(m);
	uint64_t v = value_ns < 0 ? 0 : (uint64_t)value_ns;
	add(&h->bucket[bucket_of(v)], 1);
	add(&h->sum_ns, v);
	add(&cells[m], 1);
	uint64_t max = get(&h->max_ns);
	while (v > max && !__atomic_compare_exchange_n(
	                      &h->max_ns, &max, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

uint64_t metric_value(enum metric m)
{
	return get(&cells[m]);
}

int64_t metric_max_ns(enum metric m)
{
	return (int64_t)get(&histogram_of(m)->max_ns);
}

int64_t metric_quantile_ns(enum metric m, double q)
{
	const struct histogram *h = histogram_of(m);
	uint64_t count = 0;
	for (unsigned i = 0; i < BUCKETS; i++)
		count += get(&h->bucket[i]);
	if (count == 0)
		return 0;
	double rank = q * (double)count;
	uint64_t seen = 0;
	for (unsigned i = 0; i < BUCKETS; i++) {
		uint64_t here = get(&h->bucket[i]);
		seen += here;
		if (here > 0 && (double)seen >= rank) {
			uint64_t max = get(&h->max_ns);
			return (int64_t)(bucket_top(i) < max ? bucket_top(i) : max);
		}
	}
	return metric_max_ns(m);
}

void metrics_reset(void)
{
	for (unsigned m = 0; m < METRIC_COUNT; m++)
		__atomic_store_n(&cells[m], 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < HISTOGRAM_COUNT; i++) {
		for (unsigned b = 0; b < BUCKETS; b++)
			__atomic_store_n(&histograms[i].bucket[b], 0, __ATOMIC_RELAXED);
		__atomic_store_n(&histograms[i].sum_ns, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&histograms[i].max_ns, 0, __ATOMIC_RELAXED);
	}
}

/* ---- exposition ------------------------------------------------------------------------------ */

enum { COLLECTORS_MAX = 32 };
static struct {
	metric_collector fn;
	void *ctx;
} collectors[COLLECTORS_MAX];
static unsigned collector_count;
static struct mutex collectors_mutex = {PTHREAD_MUTEX_INITIALIZER};

void metric_collector_add(metric_collector fn, void *ctx)
{
	mutex_lock(&collectors_mutex);
	ASSERT(collector_count < COLLECTORS_MAX);
	collectors[collector_count].fn = fn;
	collectors[collector_count++].ctx = ctx;
	mutex_unlock(&collectors_mutex);
}

void metric_collector_remove(metric_collector fn, void *ctx)
{
	mutex_lock(&collectors_mutex);
	for (unsigned i = 0; i < collector_count; i++) {
		if (collectors[i].fn == fn && collectors[i].ctx == ctx) {
			collectors[i] = collectors[--collector_count];
			break;
		}
	}
	mutex_unlock(&collectors_mutex);
}

/* One bucket line per power of two from 1 us to 69 s; the exact bound is one nanosecond less. */
static void write_histogram(struct writer *out, enum metric m)
{
	const struct histogram *h = histogram_of(m);
	uint64_t seen = 0;
	unsigned next = 0;
	for (unsigned exponent = 10; exponent <= 36; exponent++) {
		for (; next < 4 * (exponent - 1); next++)
			seen += get(&h->bucket[next]);
		write_printf(out, "%s_bucket{le=\"%.9g\"} %llu\n", table[m].name,
		    (double)((uint64_t)1 << exponent) / 1e9, (unsigned long long)seen);
	}
	for (; next < BUCKETS; next++)
		seen += get(&h->bucket[next]);
	write_printf(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9f\n%s_count %llu\n",
	    table[m].name, (unsigned long long)seen, table[m].name, (double)get(&h->sum_ns) / 1e9,
	    table[m].name, (unsigned long long)seen);
}

void metrics_write(struct writer *out)
{
	static const char *const kinds[] = {"counter", "gauge", "histogram"};
	for (unsigned i = 0; i < METRIC_COUNT; i++) {
		enum metric m = (enum metric)i;
		write_printf(out, "# HELP %s %s\n# TYPE %s %s\n", table[m].name, table[m].help,
		    table[m].name, kinds[table[m].kind]);
		if (table[m].kind == HISTOGRAM)
			write_histogram(out, m);
		else if (table[m].kind == GAUGE)
			write_printf(out, "%s %lld\n", table[m].name, (long long)metric_value(m));
		else
			write_printf(
			    out, "%s %llu\n", table[m].name, (unsigned long long)metric_value(m));
	}
	mutex_lock(&collectors_mutex);
	for (unsigned i = 0; i < collector_count; i++)
		collectors[i].fn(collectors[i].ctx, out);
	mutex_unlock(&collectors_mutex);
}

static void write_label_value(struct writer *out, struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		char c = s.ptr[i];
		if (c == '\n') {
			write_cstr(out, "\\n");
			continue;
		}
		if (c == '\\' || c == '"')
			write_u8(out, '\\');
		write_u8(out, (uint8_t)c);
	}
}

/* The fewest digits that read back as the same number. */
static void write_shortest(struct writer *out, double value)
{
	char text[40];
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	write_printf(out, " %s\n", text);
}

void metrics_sample(struct writer *out, const char *name, const struct str (*labels)[2],
    size_t label_count, double value)
{
	write_cstr(out, name);
	for (size_t i = 0; i < label_count; i++) {
		write_u8(out, i == 0 ? '{' : ',');
		write_str(out, labels[i][0]);
		write_cstr(out, "=\"");
		write_label_value(out, labels[i][1]);
		write_u8(out, '"');
	}
	if (label_count > 0)
		write_u8(out, '}');
	if (value >= -9e15 && value <= 9e15 && value == (double)(int64_t)value)
		write_printf(out, " %lld\n", (long long)value);
	else if (__builtin_isnan(value))
		write_cstr(out, " NaN\n");
	else if (__builtin_isinf(value))
		write_cstr(out, value > 0 ? " +Inf\n" : " -Inf\n");
	else
		write_shortest(out, value);
}
