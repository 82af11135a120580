/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* A version at its worker: what worker.c asks of run.c, and the reverse. On the worker's thread. */
#include "processor/worker.h"

void worker_add_run(struct worker *w, struct run *r);
void worker_remove_run(struct worker *w, struct run *r);
struct worker_env *worker_env(const struct worker *w);

bool run_is_live(const struct run *r);
/* At most about budget_ns; true when it has more to do. Opens and retries what must be. */
bool run_turn(struct run *r, int64_t budget_ns);
int64_t run_due_ns(const struct run *r);
void run_close(struct run *r, bool checkpoint);
void run_free(struct run *r);
