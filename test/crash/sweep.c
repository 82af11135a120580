/* SPDX-License-Identifier: Apache-2.0 */
/* Enumerating and recovering. See sweep.h. */
#include "test/crash/sweep.h"

#include "test/lib/sim_cut.h"
#include "test/lib/xmalloc.h"

#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

double sweep_clock(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- states that are known ------------------------------------------------------------------- */

/* Open addressing; hash 0 = empty. */
struct seen {
	struct seen_state {
		uint64_t hash;
		uint32_t outcome;
	} * state;
	size_t count, capacity;
};

static struct seen_state *seen_slot(const struct seen *s, uint64_t hash)
{
	size_t at = (size_t)hash & (s->capacity - 1);
	while (s->state[at].hash != 0 && s->state[at].hash != hash)
		at = (at + 1) & (s->capacity - 1);
	return &s->state[at];
}

static void seen_add(struct seen *s, uint64_t hash, uint32_t outcome)
{
	if (2 * s->count >= s->capacity) {
		struct seen old = *s;
		s->capacity = old.capacity ? old.capacity * 2 : 1 << 16;
		s->state = xcalloc(s->capacity, sizeof(*s->state));
		for (size_t i = 0; i < old.capacity; i++) {
			if (old.state[i].hash)
				*seen_slot(s, old.state[i].hash) = old.state[i];
		}
		free(old.state);
	}
	*seen_slot(s, hash) = (struct seen_state){hash, outcome};
	s->count++;
}

static uint64_t state_hash(uint64_t hash)
{
	return hash ? hash : 1;
}

/* ---- failing --------------------------------------------------------------------------------- */

static bool broken(struct sweep *s, uint64_t hash, const char *fmt, ...) PRINTF(3, 4);
static bool broken(struct sweep *s, uint64_t hash, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(s->problem, sizeof(s->problem), fmt, args);
	va_end(args);
	s->problem_op = s->op;
	s->problem_hash = hash;
	return false;
}

/* ---- outcomes -------------------------------------------------------------------------------- */

static size_t outcome_find(const struct sweep *s, const struct outcome *o)
{
	for (size_t i = s->outcome_count; i-- > 0;) {
		if (s->outcome[i].content == o->content && s->outcome[i].caches == o->caches)
			return i;
	}
	return s->outcome_count;
}

static void outcome_add(struct sweep *s, const struct outcome *o)
{
	if (s->outcome_count == s->outcome_capacity) {
		s->outcome_capacity = s->outcome_capacity ? s->outcome_capacity * 2 : 64;
		s->outcome = xrealloc(s->outcome, s->outcome_capacity * sizeof(*s->outcome));
		s->checked_at =
		    xrealloc(s->checked_at, s->outcome_capacity * sizeof(*s->checked_at));
	}
	s->outcome[s->outcome_count] = *o;
	s->checked_at[s->outcome_count++] = SIZE_MAX;
	s->outcomes++;
}

/* The promises of this cut; those an outcome was held to already are not looked at again. */
static bool promises_kept(struct sweep *s, size_t outcome, uint64_t hash)
{
	char why[384];
	if (s->checked_at[outcome] == s->op)
		return true;
	s->checked_at[outcome] = s->op;
	if (!outcome_check(s->run, &s->outcome[outcome], s->op, why, sizeof(why)))
		return broken(s, hash, "%s", why);
	return true;
}

/* ---- recoveries ------------------------------------------------------------------------------ */

static volatile sig_atomic_t watch_states; /* moves while recoveries come to an end */

static bool open_world(
    struct sweep *s, struct sim_disk *d, bool record, struct run_world *w, uint64_t hash)
{
	enum err e = run_world_open(s->run, d, record, w);
	s->recoveries++;
	watch_states = (sig_atomic_t)(s->recoveries & 0xffffff);
	if (e == ERR_OK)
		return true;
	broken(s, hash, "open: %s: %s", err_name(e), err_chain());
	err_clear();
	return false;
}

/*
 * The same records, topics, rows and gaps. Not the same fingerprint: a gap that was named before
 * the end is named again, under the same key.
 */
static bool reads_same(const struct outcome *a, const struct outcome *b)
{
	return a->durable_sequence <= b->durable_sequence && a->gap_count == b->gap_count &&
	       memcmp(a->present, b->present, sizeof(a->present)) == 0 &&
	       memcmp(a->kept, b->kept, sizeof(a->kept)) == 0 &&
	       memcmp(a->there, b->there, sizeof(a->there)) == 0 &&
	       memcmp(a->start, b->start, sizeof(a->start)) == 0 &&
	       memcmp(a->end, b->end, sizeof(a->end)) == 0 &&
	       memcmp(a->stable, b->stable, sizeof(a->stable)) == 0 &&
	       memcmp(a->rows, b->rows, sizeof(a->rows)) == 0 &&
	       memcmp(a->gaps, b->gaps, sizeof(a->gaps)) == 0;
}

/* A recovery of what another recovery left, in whole or in part. */
static bool recover_again(
    struct sweep *s, struct sim_disk *d, const struct outcome *same, uint64_t hash)
{
	struct run_world w;
	struct outcome o;
	char why[384];
	if (!open_world(s, d, false, &w, hash))
		return false;
	outcome_print(s->run, &w, &o);
	bool equal = same && o.content == same->content;
	if (!equal)
		outcome_read(s->run, &w, &o);
	run_world_kill(&w);
	if (equal)
		return true;
	if (!outcome_check(s->run, &o, s->op, why, sizeof(why)))
		return broken(s, hash, "%s: %s", same ? "recovered twice" : "cut in recovery", why);
	return !same || reads_same(same, &o) ||
	       broken(s, hash, "a second recovery gives something else");
}

/* Some cuts between the first `count` operations of a recorded recovery are recovered in turn. */
static bool cut_in_recovery(struct sweep *s, const struct sim_disk *before, struct io *recorded,
    size_t count, uint64_t hash)
{
	bool good = true;
	for (unsigned n = 0; n < s->limits.recursion && count > 0 && good; n++) {
		struct sim_disk *d = sim_disk_clone(before);
		size_t end = 1 + (size_t)prng_below(&s->prng, count);
		for (size_t i = 0; i < end; i++)
			(void)sim_disk_apply(d, sim_io_op(recorded, i));
		struct sim_cut *cut = sim_cut_new(d);
		uint32_t *choices = xcalloc(sim_cut_units(cut), sizeof(*choices));
		sim_cut_random(cut, prng_u64(&s->prng), choices);
		struct sim_disk *after = sim_cut_make(cut, choices, prng_u64(&s->prng));
		good = recover_again(s, after, NULL, hash);
		s->recovery_cuts++;
		sim_disk_free(after);
		free(choices);
		sim_cut_free(cut);
		sim_disk_free(d);
	}
	return good;
}

/* The whole check of a state: reads, a second recovery, cuts in the first. */
static bool look_closely(struct sweep *s, struct sim_disk *d, uint64_t hash, struct outcome *ret)
{
	struct sim_disk *before = sim_disk_clone(d);
	struct run_world w;
	bool good = open_world(s, d, true, &w, hash);
	if (good) {
		size_t count = sim_io_op_count(w.io);
		struct sim_disk *killed = sim_disk_clone(d);
		sim_disk_close_all(killed);
		outcome_read(s->run, &w, ret);
		good = cut_in_recovery(s, before, w.io, count, hash);
		run_world_kill(&w);
		good = good && recover_again(s, killed, ret, hash);
		sim_disk_free(killed);
	}
	sim_disk_free(before);
	return good;
}

/* A state not met before. */
static bool state_new(struct sweep *s, const uint32_t *choices, uint64_t seed, uint64_t hash)
{
	struct run_world w;
	struct outcome o;
	bool close = s->limits.sample > 0 && prng_below(&s->prng, s->limits.sample) == 0;
	struct sim_disk *d = sim_cut_make(s->cut, choices, seed);
	bool good = open_world(s, d, false, &w, hash);
	size_t i = 0;
	if (good) {
		outcome_print(s->run, &w, &o);
		run_world_kill(&w);
		i = outcome_find(s, &o);
	}
	if (good && (close || i == s->outcome_count)) {
		struct outcome full;
		sim_disk_free(d);
		d = sim_cut_make(s->cut, choices, seed);
		good = look_closely(s, d, hash, &full);
		if (good && full.content != o.content)
			good = broken(s, hash, "the same disk recovers to something else");
		if (good && i == s->outcome_count)
			outcome_add(s, &full);
		else if (good && full.problem[0])
			good = broken(s, hash, "%s", full.problem);
	}
	sim_disk_free(d);
	if (!good)
		return false;
	seen_add(s->seen, hash, (uint32_t)i);
	s->states++;
	s->op_states++;
	return promises_kept(s, i, hash);
}

/* ---- enumerating ----------------------------------------------------------------------------- */

bool sweep_over(const struct sweep *s)
{
	const struct sweep_limits *l = &s->limits;
	return (l->states > 0 && s->states >= l->states) ||
	       (l->seconds > 0 && s->states % 64 == 0 && sweep_clock() - s->started > l->seconds);
}

static bool visit(void *ctx, const uint32_t *choices, uint64_t seed)
{
	struct sweep *s = ctx;
	uint64_t hash = state_hash(sim_cut_hash(s->cut, choices, seed));
	const struct seen_state *known = s->seen->count ? seen_slot(s->seen, hash) : NULL;
	if (known && known->hash) {
		s->met_again++;
		return promises_kept(s, known->outcome, hash);
	}
	if (!state_new(s, choices, seed, hash))
		return false;
	return !sweep_over(s) &&
	       (s->limits.states_per_op == 0 || s->op_states < s->limits.states_per_op);
}

bool sweep_ops(struct sweep *s, size_t from, size_t to)
{
	for (; s->op < from; s->op++)
		(void)sim_disk_apply(s->disk, s->run->ops[s->op]);
	for (; s->op < to && !sweep_over(s);) {
		struct sim_cut_plan plan = {.exhaustive_max = s->limits.exhaustive_max,
		    .pairs_max = s->limits.pairs_max,
		    .random_count = s->limits.random_count,
		    .seed = prng_u64(&s->prng),
		    .newest = s->run->ops[s->op]};
		int failed = sim_disk_apply(s->disk, s->run->ops[s->op]);
		ASSERT(failed == 0);
		s->op++;
		s->op_states = 0;
		s->cut = sim_cut_new(s->disk);
		sim_cut_each(s->cut, &plan, visit, s);
		sim_cut_free(s->cut);
		s->cut = NULL;
		if (s->problem[0])
			return false;
	}
	return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

void sweep_init(
    struct sweep *s, const struct run *run, const char *script, const struct sweep_limits *limits)
{
	*s = (struct sweep){.run = run, .script = script, .limits = *limits};
	s->disk = sim_disk_new(0);
	s->seen = xcalloc(1, sizeof(*s->seen));
	s->started = sweep_clock();
	prng_init(&s->prng, run->seed);
}

void sweep_release(struct sweep *s)
{
	sim_disk_free(s->disk);
	free(s->seen->state);
	free(s->seen);
	free(s->outcome);
	free(s->checked_at);
}

/* ---- whole scripts --------------------------------------------------------------------------- */

const struct sweep_limits sweep_limits_default = {
    .exhaustive_max = 12, .pairs_max = 40, .random_count = 256, .sample = 1024, .recursion = 4};

const struct sweep_limits sweep_limits_light = {
    .exhaustive_max = 4, .states_per_op = 12, .sample = 64, .recursion = 1};

const struct sweep_limits *sweep_limits_of(size_t index, uint64_t seed)
{
	bool whole = !run_scripts[index].rare || (seed + index) % 4 == 0;
	return whole ? &sweep_limits_default : &sweep_limits_light;
}

static const char *const op_names[] = {[SIM_OP_CREATE] = "create",
    [SIM_OP_MKDIR] = "mkdir",
    [SIM_OP_SYMLINK] = "symlink",
    [SIM_OP_UNLINK] = "unlink",
    [SIM_OP_RMDIR] = "rmdir",
    [SIM_OP_RENAME] = "rename",
    [SIM_OP_WRITE] = "write",
    [SIM_OP_TRUNCATE] = "truncate",
    [SIM_OP_ALLOCATE] = "allocate",
    [SIM_OP_SYNC] = "sync",
    [SIM_OP_SYNC_RANGE] = "durable write's sync",
    [SIM_OP_SYNC_LOST] = "failed sync",
    [SIM_OP_WRITEBACK] = "writeback"};

static void describe(const struct sweep *s, char *text, size_t len)
{
	const struct sim_op *op = s->run->ops[s->problem_op - 1];
	snprintf(text, len,
	    "script %s, seed %llu, cut after operation %zu (%s inode %u pos %llu, %zu bytes), "
	    "state "
	    "%016llx: %s\n(CRASH_SCRIPT=%s KAPPA_TEST_SEED=%llu repeats it)",
	    s->script, (unsigned long long)s->run->seed, s->problem_op, op_names[op->kind],
	    op->inode, (unsigned long long)op->pos, op->data.len,
	    (unsigned long long)s->problem_hash, s->problem, s->script,
	    (unsigned long long)s->run->seed);
}

bool sweep_script(const struct run_script *script, uint64_t seed, const struct sweep_limits *limits,
    struct sweep_totals *totals, char *report, size_t report_len)
{
	if (script->cutless)
		return true;
	struct run *run = run_play(script, seed);
	struct sweep s;
	sweep_init(&s, run, script->name, limits);
	bool good = sweep_ops(&s, 0, run->op_count);
	if (!good)
		describe(&s, report, report_len);
	if (getenv("CRASH_VERBOSE"))
		printf("%-12s seed %llu: %3zu operations, %7llu states, %4llu outcomes, %.0f/s\n",
		    script->name, (unsigned long long)seed, run->op_count,
		    (unsigned long long)s.states, (unsigned long long)s.outcomes,
		    (double)s.states / (sweep_clock() - s.started));
	totals->states += s.states;
	totals->recoveries += s.recoveries;
	totals->outcomes += s.outcomes;
	totals->recovery_cuts += s.recovery_cuts;
	sweep_release(&s);
	run_free(run);
	return good;
}

/* ---- the process ----------------------------------------------------------------------------- */

enum { WATCH_S = 20 };

void sweep_alive(void)
{
	watch_states = (watch_states + 1) & 0xffffff;
}

static void watch(int signal)
{
	static sig_atomic_t last = -1;
	static const char text[] = "a recovery does not end\n";
	(void)signal;
	if (watch_states == last) {
		ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
		(void)ignored;
		abort();
	}
	last = watch_states;
}

void sweep_quiet(void)
{
	struct itimerval every = {.it_interval = {WATCH_S, 0}, .it_value = {WATCH_S, 0}};
	diag_set_level((enum diag_level)(DIAG_ERROR + 1));
	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	mallopt(M_TOP_PAD, 64 << 20);
	signal(SIGPROF, watch);
	setitimer(ITIMER_PROF, &every, NULL); /* CPU time: not when the machine stands still */
}
