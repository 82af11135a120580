/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A group under test: virtual time, waiters that note what they were told, a store that confirms by
 * itself or not, and members driven by hand. One group per process: `t`.
 */
#include "broker/groups/group.h"

enum { WAITERS = 64, ID_BYTES = 96 };

/* What one waiter was told. */
struct told {
	int answers;
	enum err err;
	bool sync;
	char member_id[ID_BYTES], leader[ID_BYTES], protocol[32];
	int32_t generation;
	bool with_members, skip;
	size_t member_count;
	char members[32][ID_BYTES];
	char assignment[64];
	size_t assignment_len;
};

struct group_fixture {
	struct group group;
	int64_t now;
	struct told told[WAITERS];
	uint64_t stored; /* last id asked for, 0 = none outstanding */
	size_t stores;
	bool hold_store; /* do not confirm by itself */
	uint64_t random;
	struct group_limits limits;
};
extern struct group_fixture t;

/* cmocka set-up and tear-down: an empty group "g" at time 1000000, at most 16 members. */
int group_fixture_start(void **state);
int group_fixture_stop(void **state);
/* Confirms stores unless they are held, and checks the invariants. */
void settle(void);
/* Lets time go on, ticking when something is due. */
void pass(int64_t ms);

extern const struct group_protocol range;     /* "range" */
extern const struct group_protocol sticky[2]; /* "sticky", "range" */
/* A dynamic consumer with 10 s session and 60 s rebalance timeout, answered into t.told[waiter]. */
struct group_join join_of(int waiter, const char *member_id);
/* Send and settle; the answer, if there is one already. */
struct told *send_join(const struct group_join *join);
struct told *join(int waiter, const char *member_id);
struct told *join_static(int waiter, const char *instance);
struct told *sync_with(int waiter, const char *member_id, int32_t generation,
    const struct group_assignment *assignments, size_t count);
