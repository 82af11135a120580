/* SPDX-License-Identifier: Apache-2.0 */
/* Processes and what they have in common. See split.h. */
#include "test/crash/split.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/*
 * Scripts that are swept whole with one seed in four (sweep_limits_of) must not all fall to one
 * process, nor a script with all its seeds.
 */
bool split_has(const struct split_part *part, size_t index, uint64_t seed)
{
	return ((index + seed) / 4 + index) % (uint64_t)part->jobs == (uint64_t)part->job;
}

uint64_t split_share(const struct split_part *part, uint64_t want)
{
	uint64_t jobs = (uint64_t)part->jobs, job = (uint64_t)part->job;
	return want / jobs + (job < want % jobs);
}

bool split_sweep(
    struct split_part *part, size_t index, uint64_t seed, const struct sweep_limits *limits)
{
	snprintf(part->at, sizeof(part->at), "script %s, seed %llu", run_scripts[index].name,
	    (unsigned long long)seed);
	return sweep_script(
	    &run_scripts[index], seed, limits, &part->totals, part->report, sizeof(part->report));
}

int split_jobs(int fallback)
{
	const char *env = getenv("CRASH_JOBS");
	uint64_t jobs = (uint64_t)fallback;
	if (env && !str_to_u64(str_of(env), &jobs)) {
		fprintf(stderr, "CRASH_JOBS=%s is not a number\n", env);
		abort();
	}
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (jobs == 0)
		jobs = processors > 0 ? (uint64_t)processors : 1;
	return jobs < SPLIT_JOBS_MAX ? (int)jobs : SPLIT_JOBS_MAX;
}

static void work_one(split_work work, void *ctx, struct split_part *part)
{
	double started = sweep_clock();
	sweep_quiet();
	work(ctx, part);
	part->seconds = sweep_clock() - started;
}

/* A child is on its own: what a test framework does about signals is not for it. */
static pid_t start(split_work work, void *ctx, struct split_part *part)
{
	fflush(NULL);
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	for (int s = 1; s < SIGRTMIN; s++)
		signal(s, SIG_DFL);
	work_one(work, ctx, part);
	exit(part->report[0] ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* What is told of a process that ended, for the sum. */
static void take(struct split_part *sum, struct split_part *part, int status)
{
	sum->totals.states += part->totals.states;
	sum->totals.recoveries += part->totals.recoveries;
	sum->totals.outcomes += part->totals.outcomes;
	sum->totals.recovery_cuts += part->totals.recovery_cuts;
	sum->seconds += part->seconds;
	bool good = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
	if (good || sum->report[0])
		return;
	if (part->report[0])
		memcpy(sum->report, part->report, sizeof(sum->report));
	else
		snprintf(sum->report, sizeof(sum->report), "process %d of %d ended by %s %d at %s",
		    part->job + 1, part->jobs, WIFSIGNALED(status) ? "signal" : "exit",
		    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), part->at);
}

/* Waits for all; when one has failed the others end too. */
static void reap(pid_t *pids, struct split_part *parts, int jobs, struct split_part *sum)
{
	for (int left = jobs; left > 0;) {
		int status = 0;
		pid_t pid = wait(&status);
		ASSERT(pid > 0);
		for (int i = 0; i < jobs; i++) {
			if (pids[i] != pid)
				continue;
			pids[i] = 0;
			left--;
			take(sum, &parts[i], status);
		}
		for (int i = 0; i < jobs && sum->report[0]; i++) {
			if (pids[i] > 0)
				kill(pids[i], SIGKILL);
		}
	}
}

static double clock_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Some processes, and what they have in common. */
static void run_all(int jobs, split_work work, void *ctx, struct split_part *sum)
{
	pid_t pids[SPLIT_JOBS_MAX];
	size_t len = (size_t)jobs * sizeof(struct split_part);
	struct split_part *parts =
	    mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT(parts != MAP_FAILED);
	for (int i = 0; i < jobs; i++) {
		parts[i] = (struct split_part){.job = i, .jobs = jobs};
		pids[i] = start(work, ctx, &parts[i]);
		ASSERT(pids[i] > 0);
	}
	reap(pids, parts, jobs, sum);
	munmap(parts, len);
}

bool split_run(int jobs, split_work work, void *ctx, struct split_part *ret_sum)
{
	double started = clock_s();
	ASSERT(jobs >= 1 && jobs <= SPLIT_JOBS_MAX);
	*ret_sum = (struct split_part){.jobs = jobs};
	if (jobs == 1)
		work_one(work, ctx, ret_sum);
	else
		run_all(jobs, work, ctx, ret_sum);
	ret_sum->elapsed = clock_s() - started;
	return ret_sum->report[0] == '\0';
}
