/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The loop's service pool; its public face is pool_submit in loop.h. Private to log/base. */
#include "loop.h"

struct pool;
/* threads_max may be 0: jobs then run in pool_run_inline. */
MUST_USE enum err pool_new(struct loop *loop, unsigned threads_max, struct pool **ret_pool);
/* Runs what is queued to its end and joins. NULL is allowed. */
void pool_free(struct pool *pool);
MUST_USE enum err pool_add(struct pool *pool, struct pool_job *job);
bool pool_has_inline(const struct pool *pool);
/* Runs the jobs queued before the call on the calling thread; no-op when the pool has threads. */
void pool_run_inline(struct pool *pool);
