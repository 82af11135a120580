/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Something fails once (H5): a script is played again and again, and each time another call of the
 * I/O seam fails, or another allocation. Whoever gives up is started again, as a supervisor would
 * do, and the script goes on; then power and process go, and what comes back is held to every
 * promise that had been made (outcome.h). Kinds:
 *
 *   EIO, ENOSPC            are told: a request or a start is refused, or a line says what failed.
 *   EMFILE (of open)       Never with an error that speaks of bad data
 *   EINTR, EAGAIN, short   are nobody's business: the run is as if nothing had been
 *   memory                 a request or a start is refused with ERR_NOMEM, or a line says it
 *
 * In each case, after it: no descriptor and no memory is left, each partition takes appends again,
 * what was acknowledged is there once with its bytes, offsets are dense, holes in the sequences are
 * named, what was visible is durable. Linked with --wrap=diag.
 */
#include "test/crash/outcome.h"

enum fault_kind {
	FAULT_EINTR,
	FAULT_EAGAIN,
	FAULT_SHORT,
	FAULT_EIO,
	FAULT_ENOSPC,
	FAULT_EMFILE,
	FAULT_MEMORY
};
enum { FAULT_KINDS = FAULT_MEMORY + 1 };
extern const char *const fault_names[FAULT_KINDS];

struct fault_totals {
	uint64_t sites;  /* calls and allocations that a script makes, times kinds */
	uint64_t played; /* of them */
	uint64_t struck;
	uint64_t told; /* with a refusal or a line */
};
/*
 * Each `stride`th site of the script from `first` on fails (stride 0: only that one). Prints a line
 * for each that breaks a rule; how many they are.
 */
unsigned faults_sweep(const struct run_script *script, enum fault_kind kind, uint64_t first,
    uint64_t stride, struct fault_totals *totals);
