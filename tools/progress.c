/* SPDX-License-Identifier: Apache-2.0 */
/* Progress of long work on stderr: interface.md "progress". */
#include "tools/cli.h"
#include <stdarg.h>
#include <time.h>
#include <unistd.h>

enum { BAR_WIDTH = 30 };

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

void progress_begin(struct progress *p, const struct cli *cli, const char *op, const char *fmt, ...)
{
	*p = (struct progress){.cli = cli, .op = op, .start_ns = now_ns()};
	p->shown_ns = p->start_ns;
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(p->what, sizeof p->what, fmt, ap);
	va_end(ap);
}

static void show_bar(struct progress *p, uint64_t done, uint64_t total, double rate)
{
	double part = total ? (double)done / (double)total : 1;
	int filled = (int)(part * BAR_WIDTH);
	char bar[BAR_WIDTH + 1];
	for (int i = 0; i < BAR_WIDTH; i++)
		bar[i] = i < filled ? '#' : '.';
	bar[BAR_WIDTH] = 0;
	double eta = rate > 0 && total > done ? (double)(total - done) / rate : 0;
	fprintf(
	    stderr, "\r%s [%s] %5.1f%% %.0f/s ETA %.0f s\033[K", p->op, bar, part * 100, rate, eta);
	p->shown = true;
}

/* "k=v k=v" -> "k":"v","k":"v" for the JSON form; values are plain words and numbers. */
static void show_json_pairs(const char *pairs)
{
	bool in_value = false;
	fputc('"', stderr);
	for (; *pairs; pairs++) {
		if (*pairs == '=' && !in_value) {
			fputs("\":\"", stderr);
			in_value = true;
		} else if (*pairs == ' ') {
			fputs("\",\"", stderr);
			in_value = false;
		} else {
			fputc(*pairs, stderr);
		}
	}
	fputc('"', stderr);
}

static void show_line(
    struct progress *p, uint64_t done, uint64_t total, double rate, uint64_t position)
{
	double eta = rate > 0 && total > done ? (double)(total - done) / rate : 0;
	if (strcmp(cli_get(p->cli, "progress", "auto"), "json") == 0) {
		fprintf(stderr, "{\"progress\":true,\"op\":\"%s\",", p->op);
		show_json_pairs(p->what);
		fprintf(stderr,
		    ",\"done\":%llu,\"total\":%llu,\"rate\":%.0f,\"eta_s\":%.0f,\"position\":%llu}"
		    "\n",
		    (unsigned long long)done, (unsigned long long)total, rate, eta,
		    (unsigned long long)position);
	} else {
		fprintf(stderr,
		    "progress op=%s %s done=%llu total=%llu rate=%.0f eta_s=%.0f position=%llu\n",
		    p->op, p->what, (unsigned long long)done, (unsigned long long)total, rate, eta,
		    (unsigned long long)position);
	}
}

void progress_update(
    struct progress *p, uint64_t done, uint64_t total, double rate, uint64_t position)
{
	const char *mode = cli_get(p->cli, "progress", "auto");
	if (strcmp(mode, "never") == 0)
		return;
	bool json = strcmp(mode, "json") == 0, bar = !json && isatty(STDERR_FILENO);
	int64_t now = now_ns();
	if (bar && now - p->start_ns >= S_NS && now - p->shown_ns >= 100 * MS_NS) {
		show_bar(p, done, total, rate);
		p->shown_ns = now;
	} else if (!bar && now - p->shown_ns >= (json ? 1 : 10) * S_NS) {
		show_line(p, done, total, rate, position);
		p->shown_ns = now;
	}
}

int64_t progress_elapsed_ns(const struct progress *p)
{
	return now_ns() - p->start_ns;
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
