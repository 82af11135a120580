/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Counters, gauges and histograms, declared once in metrics.def:
 *   METRIC(ID, kind, "kappa_name", "unit", "help")       kind: COUNTER, GAUGE, HISTOGRAM
 * Process-wide totals live here as relaxed atomics (each is independent: no order is needed between
 * them); metrics with labels (per topic, group, view) are produced at scrape time by collectors
 * that rooms register. Histograms are log-linear (4 buckets per power of two) over nanoseconds,
 * exposed in seconds.
 */
#include "bytes.h"

enum metric {
#define METRIC(id, kind, name, unit, help) METRIC_##id,
#include "metrics.def"
#undef METRIC
	METRIC_COUNT
};

void metric_add(enum metric m, uint64_t n);
void metric_set(enum metric m, int64_t value);
void metric_observe_ns(enum metric m, int64_t value_ns);
uint64_t metric_value(enum metric m); /* counter or gauge; histogram: count */
/* The q-quantile (0..1) of a histogram in ns, upper bound of its bucket; 0 when empty. */
int64_t metric_quantile_ns(enum metric m, double q);
int64_t metric_max_ns(enum metric m);

/*
 * A collector appends Prometheus text (with # HELP and # TYPE) for its labelled metrics. Called on
 * the scraping thread. At most 32.
 */
typedef void (*metric_collector)(void *ctx, struct writer *out);
void metric_collector_add(metric_collector fn, void *ctx);
void metric_collector_remove(metric_collector fn, void *ctx);
/* The whole exposition, Prometheus text format 0.0.4. */
void metrics_write(struct writer *out);
/* Writes `name{k1="v1"} value\n` with escaping; labels are label_count pairs (key, value). */
void metrics_sample(struct writer *out, const char *name, const struct str (*labels)[2],
    size_t label_count, double value);
void metrics_reset(void); /* tests */
