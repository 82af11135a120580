/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One process per seed, `jobs` of them at a time. A seed's process sends one line through a pipe:
 * "ok REPORT" or "RULE\tTEXT"; what dies without a word has broken the rule "crash".
 */
#include "test/sim/campaign.h"
#include "test/lib/xmalloc.h"
#include "test/sim/mutant.h"
#include "test/sim/world.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 64, SECONDS_PER_SEED = 60 };

struct job {
	pid_t pid;
	int fd;
	uint64_t seed;
	char text[CAMPAIGN_TEXT];
	size_t len;
};

static int verdict_fd = -1;

void campaign_verdict(const char *rule, const char *text)
{
	char line[CAMPAIGN_TEXT];
	int len = snprintf(line, sizeof(line) - 1, "%s\t%s", rule, text);
	size_t n = len < 0 ? 0 : (size_t)len < sizeof(line) - 1 ? (size_t)len : sizeof(line) - 2;
	if (verdict_fd < 0) {
		printf("%s\n", line);
		fflush(stdout);
		return;
	}
	ssize_t written = write(verdict_fd, line, n);
	(void)written;
}

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- one seed -------------------------------------------------------------------------------- */

static void run_child(uint64_t seed, int fd, int mutant)
{
	char report[400];
	verdict_fd = fd;
	mutant_use((enum mutant)mutant);
	alarm(SECONDS_PER_SEED);
	world_run(seed, TRACE_NONE, report, sizeof(report), NULL);
	campaign_verdict("ok", report);
	exit(EXIT_SUCCESS);
}

static void start_job(struct job *j, uint64_t seed, int mutant)
{
	int ends[2];
	if (pipe(ends) != 0)
		abort();
	fflush(NULL);
	*j = (struct job){.seed = seed, .fd = ends[0]};
	j->pid = fork();
	if (j->pid < 0)
		abort();
	if (j->pid == 0) {
		close(ends[0]);
		run_child(seed, ends[1], mutant);
	}
	close(ends[1]);
}

/* What its process has said, or how it died. */
static void judge(struct job *j, const char **ret_rule, const char **ret_text)
{
	int status = 0;
	static char how[64];
	waitpid(j->pid, &status, 0);
	j->text[j->len] = '\0';
	char *tab = strchr(j->text, '\t');
	bool said = tab != NULL;
	if (said)
		*tab = '\0';
	*ret_rule = said ? j->text : "crash";
	*ret_text = said ? tab + 1 : "";
	bool ok = said && strcmp(j->text, "ok") == 0;
	if ((ok && status == 0) || (said && !ok && WIFEXITED(status)))
		return;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "ended by signal %d (%s)", WTERMSIG(status),
		    WTERMSIG(status) == SIGALRM ? "it did not come to an end" : "see its output");
	else
		snprintf(how, sizeof(how), "exit %d without a word", WEXITSTATUS(status));
	*ret_rule = "crash";
	*ret_text = how;
}

static void finish_job(struct campaign *c, struct job *j)
{
	const char *rule, *text;
	close(j->fd);
	judge(j, &rule, &text);
	c->done++;
	if (strcmp(rule, "ok") == 0)
		return;
	if (c->failed++ == 0 || j->seed < c->first_failed) {
		c->first_failed = j->seed;
		snprintf(c->rule, sizeof(c->rule), "%s", rule);
		snprintf(c->text, sizeof(c->text), "%s", text);
	}
	if (c->mutant != MUTANT_NONE)
		return;
	const char *commit = getenv("KAPPA_COMMIT");
	printf("seed %llu at %s breaks the rule \"%s\": %s\n  again: make sim SEED=%llu%s\n",
	    (unsigned long long)j->seed, commit ? commit : "an unknown commit", rule, text,
	    (unsigned long long)j->seed, world_rots_more() ? " SIM_FLAGS=-r" : "");
	fflush(stdout);
}

/* True when the process has ended. */
static bool read_job(struct job *j)
{
	ssize_t n = read(j->fd, j->text + j->len, sizeof(j->text) - 1 - j->len);
	if (n > 0)
		j->len += (size_t)n;
	return n <= 0;
}

void campaign_run(struct campaign *c)
{
	struct job job[JOBS_MAX];
	struct pollfd fds[JOBS_MAX];
	unsigned jobs = c->jobs == 0 ? 1 : c->jobs < JOBS_MAX ? c->jobs : JOBS_MAX, running = 0;
	uint64_t next = c->first;
	double begin = now_s();
	for (;;) {
		bool late = c->seconds_max > 0 && now_s() - begin > (double)c->seconds_max;
		bool enough = late || next > c->last || (c->stop_at_first && c->failed > 0);
		while (!enough && running < jobs && next <= c->last)
			start_job(&job[running++], next++, c->mutant);
		if (running == 0)
			break;
		for (unsigned i = 0; i < running; i++)
			fds[i] = (struct pollfd){.fd = job[i].fd, .events = POLLIN};
		(void)poll(fds, running, 1000);
		for (unsigned i = running; i-- > 0;) {
			if (fds[i].revents == 0 || !read_job(&job[i]))
				continue;
			finish_job(c, &job[i]);
			job[i] = job[--running];
		}
	}
	c->seconds = now_s() - begin;
}
