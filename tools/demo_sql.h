/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The demo's table and its view in two versions of logic; `bench view` measures the same two. */

extern const char demo_table_sql[];
extern const char demo_v1_sql[];       /* felt_per_day: every revision is a quake */
extern const char demo_v2_sql[];       /* felt_per_day, version 2: one row of state per id */
extern const char demo_v2_bench_sql[]; /* the same logic as a view of its own, felt_once */
