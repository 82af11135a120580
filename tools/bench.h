/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the verbs of `kappa bench` share: a clock, latencies and their quantiles, and figures that
 * come out as text, JSON or CSV. One thread: the command's.
 */
#include "tools/cli.h"

int64_t bench_now_ns(void);

/* Latencies in ns; those past the capacity are counted in the rate, not in the quantiles. */
enum { BENCH_SAMPLES_MAX = 4000000 };
struct bench_samples {
	int64_t *ns;
	size_t count, capacity;
};
MUST_USE enum err bench_samples_init(struct bench_samples *s);
void bench_samples_release(struct bench_samples *s);
void bench_samples_add(struct bench_samples *s, int64_t ns);
/* Sorts, once no more are added. */
void bench_samples_end(struct bench_samples *s);
/* After bench_samples_end: the sample at q of 0..1 in ms; 0 where there is none. */
double bench_quantile_ms(const struct bench_samples *s, double q);

/* One figure or condition: text where it is not NULL, else the value with so many digits. */
struct bench_figure {
	const char *name;
	const char *text;
	double value;
	int digits;
};
/* With --json one object, with --csv a row (behind the header, the first time), else `text`. */
void bench_print(
    const struct cli *cli, const struct bench_figure *figures, size_t count, const char *text);
