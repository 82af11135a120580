/* SPDX-License-Identifier: Apache-2.0 */
/* Playing scripts with something that fails. See faults.h. */
#include "test/crash/faults.h"
#include "test/crash/sweep.h"
#include "test/crash/told.h"

#include "test/lib/sim_cut.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const fault_names[FAULT_KINDS] = {
    [FAULT_EIO] = "EIO",
    [FAULT_ENOSPC] = "ENOSPC",
    [FAULT_EMFILE] = "EMFILE",
    [FAULT_EINTR] = "EINTR",
    [FAULT_EAGAIN] = "EAGAIN",
    [FAULT_SHORT] = "short",
    [FAULT_MEMORY] = "memory",
};
static const int fault_errno[FAULT_KINDS] = {
    [FAULT_EIO] = EIO,
    [FAULT_ENOSPC] = ENOSPC,
    [FAULT_EMFILE] = EMFILE,
    [FAULT_EINTR] = EINTR,
    [FAULT_EAGAIN] = EAGAIN,
    [FAULT_SHORT] = SIM_SHORT,
};

/* ---- one run --------------------------------------------------------------------------------- */

static unsigned calls_of(enum fault_kind kind)
{
	return kind == FAULT_EMFILE ? SIM_CALL_OPEN : SIM_CALL_FILES;
}

static struct run_fault fault_of(enum fault_kind kind, uint64_t nth)
{
	if (kind == FAULT_MEMORY)
		return (struct run_fault){.allocation = nth};
	return (struct run_fault){
	    .call = {
	        .calls = calls_of(kind), .nth = nth, .count = 1, .sys_errno = fault_errno[kind]}};
}

static bool say(char *report, size_t len, const char *fmt, ...) PRINTF(3, 4);
static bool say(char *report, size_t len, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(report, len, fmt, args);
	va_end(args);
	return false;
}

/* What is on this disk, by a start without faults. */
static bool promises_kept(
    const struct run *run, struct sim_disk *disk, const char *how, char *report, size_t len)
{
	static struct outcome o;
	struct run_world w;
	char why[384];
	enum err e = run_world_open(run, disk, false, &w);
	if (e != ERR_OK) {
		say(report, len, "%s: open: %s: %s", how, err_name(e), err_chain());
		err_clear();
		return false;
	}
	outcome_read(run, &w, &o);
	run_world_kill(&w);
	return outcome_check(run, &o, 0, why, sizeof(why)) || say(report, len, "%s: %s", how, why);
}

/* Nothing may be lost, whether the power goes or the process. Ends the run's life. */
static bool ends_kept(struct run *run, char *report, size_t len)
{
	struct sim_disk *cut = sim_io_cut_power(run->io, run->seed + 1),
	                *killed = sim_io_kill(run->io, run->seed + 1);
	run_kill(run);
	bool good = promises_kept(run, cut, "after a power cut", report, len) &&
	            promises_kept(run, killed, "after a kill", report, len);
	sim_disk_free(cut);
	sim_disk_free(killed);
	return good;
}

/*
 * The free space is asked for again and again, and writes say it too; what is not closed well was
 * synced before; what the page cache does not give is read.
 */
static bool goes_without_saying(enum sim_call call)
{
	return call == SIM_CALL_SPACE || call == SIM_CALL_CLOSE || call == SIM_CALL_READ_NOW;
}

static bool as_expected(
    const struct run *run, enum fault_kind kind, bool lines, char *report, size_t len)
{
	bool over = kind == FAULT_EINTR || kind == FAULT_EAGAIN || kind == FAULT_SHORT;
	if (run->problem[0])
		return say(report, len, "%s", run->problem);
	if (over && (run->refused > 0 || lines))
		return say(report, len, "it was to be seen by nobody: %s",
		    lines ? told.last : err_name(run->error));
	/* memory may have been got in another way */
	if (!over && kind != FAULT_MEMORY && run->hits > 0 && run->refused == 0 && !lines &&
	    !goes_without_saying(run->struck))
		return say(report, len, "it was told to nobody");
	return true;
}

static const char *const call_names[] = {"open", "close", "read", "write", "sync",
    "sync of a directory", "truncate", "allocate", "stat", "name change", "list", "lock", "space",
    "read of what is cached"};

static const char *call_name(const struct run *run, enum fault_kind kind)
{
	if (kind == FAULT_MEMORY)
		return "allocation";
	return run->struck ? call_names[__builtin_ctz((unsigned)run->struck)] : "no call";
}

struct fault_plan {
	const struct run_script *script;
	uint64_t calls, allocations;
	struct told usual; /* without any fault */
};

static struct fault_plan plan_of(const struct run_script *script, enum fault_kind kind)
{
	struct run_fault none = {.call = {.calls = calls_of(kind)}};
	told_clear();
	struct run *run = run_play_faulty(script, 1, &none);
	struct fault_plan p = {.script = script, .usual = told};
	run_kill(run);
	p.calls = run->calls;
	p.allocations = run->allocations;
	run_free(run);
	return p;
}

/* Site `nth` fails. False with a report. */
static bool one(const struct fault_plan *p, enum fault_kind kind, uint64_t nth,
    struct fault_totals *totals, char *report, size_t len)
{
	struct run_fault fault = fault_of(kind, nth);
	char why[512];
	sweep_alive();
	told_clear();
	struct run *run = run_play_faulty(p->script, 1, &fault);
	bool lines = told_more(&p->usual);
	bool good = ends_kept(run, why, sizeof(why));
	run->hits += kind == FAULT_MEMORY && run->allocations >= nth;
	good = good && as_expected(run, kind, lines, why, sizeof(why));
	totals->played++;
	totals->struck += run->hits > 0;
	totals->told += run->hits > 0 && (run->refused > 0 || lines);
	if (!good)
		say(report, len, "FAULT_SCRIPT=%s FAULT_KIND=%s FAULT_SITE=%llu (%s): %s",
		    p->script->name, fault_names[kind], (unsigned long long)nth,
		    call_name(run, kind), why);
	run_free(run);
	return good;
}

unsigned faults_sweep(const struct run_script *script, enum fault_kind kind, uint64_t first,
    uint64_t stride, struct fault_totals *totals)
{
	struct fault_plan p = plan_of(script, kind);
	uint64_t sites = kind == FAULT_MEMORY ? p.allocations : p.calls;
	unsigned failures = 0;
	totals->sites += stride == 0 ? 1 : sites;
	for (uint64_t nth = first; nth <= sites; nth += stride) {
		char report[1024];
		if (!one(&p, kind, nth, totals, report, sizeof(report))) {
			printf("%s\n", report);
			failures++;
		}
		if (stride == 0)
			break;
	}
	return failures;
}
