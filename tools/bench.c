/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/bench.h"
#include "log/base/json_write.h"
#include <stdlib.h>
#include <time.h>

int64_t bench_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

/* ---- latencies ------------------------------------------------------------------------------- */

enum err bench_samples_init(struct bench_samples *s)
{
	*s = (struct bench_samples){.capacity = BENCH_SAMPLES_MAX};
	s->ns = mem_alloc(s->capacity * sizeof *s->ns);
	return s->ns ? ERR_OK : ERR_NOMEM;
}

void bench_samples_release(struct bench_samples *s)
{
	mem_free(s->ns);
	*s = (struct bench_samples){0};
}

void bench_samples_add(struct bench_samples *s, int64_t ns)
{
	if (s->count < s->capacity)
		s->ns[s->count++] = ns;
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

void bench_samples_end(struct bench_samples *s)
{
	if (s->count)
		qsort(s->ns, s->count, sizeof *s->ns, by_value);
}

double bench_quantile_ms(const struct bench_samples *s, double q)
{
	if (!s->count)
		return 0;
	return (double)s->ns[(size_t)(q * (double)(s->count - 1))] / 1e6;
}

/* ---- figures --------------------------------------------------------------------------------- */

static void print_json(const struct bench_figure *f, size_t count, struct writer *w)
{
	struct json_writer j;
	char number[64];
	json_write_init(&j, w);
	json_object_begin(&j);
	for (size_t i = 0; i < count; i++) {
		json_key(&j, str_of(f[i].name));
		snprintf(number, sizeof number, "%.*f", f[i].digits, f[i].value);
		if (f[i].text)
			json_str(&j, str_of(f[i].text));
		else
			json_raw(&j, str_of(number));
	}
	json_object_end(&j);
	write_u8(w, '\n');
}

static void print_csv(const struct bench_figure *f, size_t count, struct writer *w)
{
	static bool header; /* one run of the program, one table */
	for (size_t i = 0; !header && i < count; i++)
		write_printf(w, "%s%s", i ? "," : "", f[i].name);
	write_cstr(w, header ? "" : "\n");
	header = true;
	for (size_t i = 0; i < count; i++) {
		write_cstr(w, i ? "," : "");
		if (f[i].text)
			write_cstr(w, f[i].text);
		else
			write_printf(w, "%.*f", f[i].digits, f[i].value);
	}
	write_u8(w, '\n');
}

void bench_print(
    const struct cli *cli, const struct bench_figure *figures, size_t count, const char *text)
{
	struct writer w;
	writer_init(&w, MIB);
	if (cli->json)
		print_json(figures, count, &w);
	else if (cli->csv)
		print_csv(figures, count, &w);
	else
		write_cstr(&w, text);
	if (!cli_flush(&w))
		err_clear(); /* the end of the command reports it */
	writer_release(&w);
}
