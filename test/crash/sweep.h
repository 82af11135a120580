/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The crash-state enumerator (H2): after every operation of a recorded run, every cut of the plan
 * is made on a copy of the disk, the log is opened on it and compared with what had been promised.
 *
 *   each state       log_open; fingerprint; the promises of the cut (outcome.h). A state met again
 *                    later is not recovered again: its outcome is held against the later promises
 *   each outcome     the whole log read, sequences counted, appended to; recovered a second time,
 *   and a sample     which must give the same; cut again in the middle of recovery
 *
 * Counted are distinct states: bytes, sizes and names that can be read after the cut (sim_cut.h).
 */
#include "test/crash/outcome.h"

struct sweep_limits {
	unsigned exhaustive_max, pairs_max, random_count; /* struct sim_cut_plan */
	size_t states_per_op; /* distinct ones, then on to the next operation; 0 = all */
	unsigned sample;      /* one of so many states is checked like a new outcome */
	unsigned recursion;   /* random cuts in the middle of such a recovery */
	uint64_t states;      /* stop when so many were checked; 0 = all */
	double seconds;       /* 0 = no bound */
};
struct sweep {
	const struct run *run;
	const char *script;
	struct sweep_limits limits;
	/* what was done */
	uint64_t states;     /* distinct */
	uint64_t recoveries; /* log_open calls */
	uint64_t met_again;  /* cuts that gave a state already known */
	uint64_t outcomes;
	uint64_t recovery_cuts;
	char problem[512]; /* empty = none */
	size_t problem_op;
	uint64_t problem_hash;
	/* inside */
	struct sim_disk *disk;
	struct sim_cut *cut;
	size_t op; /* operations done */
	uint64_t op_states;
	struct seen *seen;
	struct outcome *outcome;
	size_t
	    *checked_at; /* of each outcome: the newest operation whose promises it was held to */
	size_t outcome_count, outcome_capacity;
	double started;
	struct prng prng;
};
void sweep_init(
    struct sweep *s, const struct run *run, const char *script, const struct sweep_limits *limits);
void sweep_release(struct sweep *s);
/* Operations [from, to) of the run; false when a state broke a promise, which is in `problem`. */
bool sweep_ops(struct sweep *s, size_t from, size_t to);
/* Has a bound been reached? */
bool sweep_over(const struct sweep *s);
/* CPU seconds of this process: what a shared machine takes away does not count. */
double sweep_clock(void);

/* ---- whole scripts --------------------------------------------------------------------------- */

/* The plan of reliability H2. */
extern const struct sweep_limits sweep_limits_default;
/* Little, but after every operation: what most mistakes do not survive. */
extern const struct sweep_limits sweep_limits_light;
/* Of script number `index`, with this seed. */
const struct sweep_limits *sweep_limits_of(size_t index, uint64_t seed);
struct sweep_totals {
	uint64_t states, recoveries, outcomes, recovery_cuts;
};
/*
 * Plays a script and sweeps it, adding to the totals. False with a report that tells how to see the
 * state again.
 */
bool sweep_script(const struct run_script *script, uint64_t seed, const struct sweep_limits *limits,
    struct sweep_totals *totals, char *report, size_t report_len);
/* For a program that sweeps: no diagnostics, a heap that keeps its memory, an end for a recovery
 * that has none. */
void sweep_quiet(void);
/* Something has come to its end, say those who do without sweep_ops. */
void sweep_alive(void);
