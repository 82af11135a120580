/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One consumer group of the classic protocol as a pure state machine: no wire, no clock, no
 * storage. Time comes in as `now_ms`, answers that wait come back through group_ops, and what must
 * become durable is asked for by `store`. The rules are those of Kafka's group coordinator
 * (GroupCoordinator, KIP-62, 345, 394, 559, 814).
 *
 *   EMPTY --join--> PREPARING --all joined, or timer--> COMPLETING --leader's sync stored--> STABLE
 *     ^               |   ^  ^                              |                                  |
 *     '--nobody left--'   |  '----- join, leave, expiry ----'                                  |
 *                         '------------- join, leave, expiry, leader joins again --------------'
 *
 * Transitions: rebalance_prepare (-> PREPARING), rebalance_complete (-> COMPLETING or EMPTY),
 * group_stored (-> STABLE).
 *
 * Invariants (group_check)
 *   G1 generation never goes down, and rises by one with each completed rebalance
 *   G2 EMPTY has no members; other states have one at least, or are PREPARING on the way to EMPTY
 *   G3 COMPLETING and STABLE have a protocol that all members support, and a leader among them
 *   G4 join waiters exist only in PREPARING, sync waiters only in COMPLETING
 *   G5 each waiter is answered exactly once
 *   G6 members + pending ids <= members_max; an instance id belongs to one member
 *   G7 no deadline is earlier than next_due_ms says
 *   G8 protocols and assignments of all members are within bytes_max and paid from the budget
 * Thread: the owner's (the loop's).
 */
#include "broker/groups/protocols.h"

enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE };
/* As DescribeGroups names it: "Empty", "PreparingRebalance", "CompletingRebalance", "Stable". */
const char *group_state_name(enum group_state state);

struct group_member {
	struct list_node node; /* in group.members, in order of joining */
	char *id;
	char *instance_id; /* NULL = dynamic */
	char *client_id, *client_host;
	int32_t session_timeout_ms, rebalance_timeout_ms;
	struct group_protocol *protocols; /* one block with what they point to */
	size_t protocol_count;
	struct bytes assignment; /* owned; valid in STABLE */
	size_t protocol_bytes;   /* with the assignment: charged to the group (G8) */
	bool is_new;             /* has not been through a rebalance */
	bool awaiting_join, awaiting_sync;
	bool synced;                     /* in this generation */
	void *join_waiter, *sync_waiter; /* NULL: nobody waits any more (client gone) */
	int64_t session_due_ms;
};

/* An id handed out with MEMBER_ID_REQUIRED whose owner has not come back yet. */
struct group_pending {
	struct list_node node;
	char *id;
	int64_t due_ms;
};

struct group;
struct group_join_result {
	enum err err;
	struct str member_id; /* valid during the call */
	int32_t generation;   /* -1 on error */
	struct str protocol_type, protocol, leader;
	bool with_members; /* for the leader: group->members with group_member_metadata */
	bool skip_assignment;
};
struct group_sync_result {
	enum err err;
	struct str protocol_type, protocol;
	struct bytes assignment;
};
struct group_ops {
	/* Each waiter gets exactly one call, maybe from inside the function it was passed to. They
	 * must not call back. */
	void (*joined)(struct group *g, void *waiter, const struct group_join_result *result);
	void (*synced)(struct group *g, void *waiter, const struct group_sync_result *result);
	/* The group as it is now must be made durable; then group_stored(id), never from inside
	 * this call. */
	void (*store)(struct group *g, uint64_t store_id);
	void (*random)(struct group *g, void *buf, size_t len);
};

struct group_limits {
	int32_t session_min_ms, session_max_ms;
	int32_t initial_delay_ms; /* how long the first rebalance waits for more members */
	size_t members_max;
	size_t bytes_max;      /* of the members' protocols and assignments of one group */
	struct budget *budget; /* of all groups; NULL = none */
};
#define GROUP_BYTES_MAX (16 * MIB) /* its record holds them all */
/* 6 s to 30 min, 100 ms, GROUP_MEMBERS_MAX. Kafka waits 3 s: its groups start while servers come up
 * one after the other. */
extern const struct group_limits group_limits_default;
enum {
	GROUP_PROTOCOLS_MAX = 32, /* per member */
	GROUP_NEW_MEMBER_MS =
	    5 * 60 *
	    1000, /* a new member has no heartbeat while it waits: Kafka's NewMemberJoinTimeoutMs */
};

struct group {
	struct str name; /* owned */
	enum group_state state;
	char *protocol_type; /* NULL before the first join */
	char *protocol;      /* NULL while EMPTY */
	int32_t generation;
	struct group_member *leader;
	struct list members;
	size_t member_count, joining_count; /* joining: awaiting_join */
	size_t bytes;                       /* G8 */
	struct map support;                 /* of the members' protocols */
	struct map by_id, by_instance, pending_by_id;
	struct list pending;
	/* PREPARING */
	int64_t rebalance_due_ms;
	bool initial; /* from EMPTY: waits for its timer whoever has joined */
	int64_t initial_left_ms;
	bool joined_since; /* during the initial delay */
	/* COMPLETING and STABLE */
	int64_t sync_due_ms;      /* those that have not synced by then are removed; 0 = none */
	uint64_t store_id;        /* last one asked for */
	uint64_t leader_store_id; /* the one that carries the leader's assignment; 0 = none */
	int64_t state_since_ms;
	int64_t
	    next_due_ms; /* call group_tick then at the latest; INT64_MAX = nothing to wait for */
	const struct group_limits *limits;
	const struct group_ops *ops;
	void *user; /* the coordinator's */
};

MUST_USE enum err group_init(struct group *g, struct str name, const struct group_ops *ops,
    const struct group_limits *limits);
/* EMPTY at its generation, without being stored; who waits is told to join again. */
void group_dissolve(struct group *g);
/* Without answering: only when nobody waits. */
void group_release(struct group *g);
/* Aborts when an invariant does not hold. O(members): tests call it after each step. */
void group_check(const struct group *g);

/* ---- requests -------------------------------------------------------------------------------- */

struct group_join {
	struct str member_id;   /* empty = new */
	struct str instance_id; /* ptr NULL = dynamic */
	struct str client_id, client_host;
	struct str protocol_type;
	int32_t session_timeout_ms, rebalance_timeout_ms;
	const struct group_protocol *protocols;
	size_t protocol_count;
	bool require_known_id;    /* JoinGroup v4+ */
	bool may_skip_assignment; /* JoinGroup v9+ */
	void *waiter;
};
/* What is wrong with it whatever the group is. */
MUST_USE enum err group_join_check(
    const struct group_limits *limits, const struct group_join *join);
/* Answered through ops->joined, now or later. */
void group_join(struct group *g, const struct group_join *join, int64_t now_ms);

struct group_assignment {
	struct str member_id;
	struct bytes assignment;
};
struct group_sync {
	struct str member_id, instance_id;
	int32_t generation;
	struct str protocol_type, protocol;         /* ptr NULL = not given (before v5) */
	const struct group_assignment *assignments; /* the leader's */
	size_t assignment_count;
	void *waiter;
};
/* Answered through ops->synced, now or later. */
void group_sync(struct group *g, const struct group_sync *sync, int64_t now_ms);

/* ERR_OK, UNKNOWN_MEMBER, FENCED_INSTANCE, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS. */
MUST_USE enum err group_heartbeat(struct group *g, struct str member_id, struct str instance_id,
    int32_t generation, int64_t now_ms);
/* member_id empty and instance_id given: removal by an administrator. ERR_OK, UNKNOWN_MEMBER,
 * FENCED_INSTANCE. */
MUST_USE enum err group_leave(
    struct group *g, struct str member_id, struct str instance_id, int64_t now_ms);
/* May these offsets be committed? Counts as a heartbeat of the member. Generation < 0 without ids:
 * only while EMPTY. */
MUST_USE enum err group_may_commit(struct group *g, struct str member_id, struct str instance_id,
    int32_t generation, int64_t now_ms);
/* Timers: call when now_ms >= next_due_ms (calling earlier does no harm). */
void group_tick(struct group *g, int64_t now_ms);
/* A store has become durable, or failed. */
void group_stored(struct group *g, uint64_t store_id, enum err e, int64_t now_ms);
/* Nobody waits for `waiter` any more: it gets no call. The member stays as if it still waited. */
void group_forget_waiter(struct group *g, void *waiter);

/* ---- reading --------------------------------------------------------------------------------- */

struct group_member *group_member_find(const struct group *g, struct str member_id);
/* What the member said for the group's protocol; empty when there is none. */
struct bytes group_member_metadata(const struct group *g, const struct group_member *m);

/* ---- restoring from storage ------------------------------------------------------------------ */

struct group_restore {
	struct str protocol_type, protocol, leader; /* ptr NULL = none */
	int32_t generation;
	int64_t state_since_ms;
};
struct group_restore_member {
	struct str id, instance_id, client_id, client_host;
	int32_t session_timeout_ms, rebalance_timeout_ms;
	const struct group_protocol *protocols; /* NULL: only the group's is known, with... */
	size_t protocol_count;
	struct bytes subscription; /* ...this */
	struct bytes assignment;
};
/* On a fresh group: EMPTY at this generation. Then each member; group_restore_end makes it STABLE
 * with sessions that start now. */
MUST_USE enum err group_restore_begin(struct group *g, const struct group_restore *r);
MUST_USE enum err group_restore_member(struct group *g, const struct group_restore_member *m);
MUST_USE enum err group_restore_end(struct group *g, struct str leader, int64_t now_ms);

/* ---- between the files of the state machine -------------------------------------------------- */

/* member.c */
MUST_USE enum err member_new(struct group *g, const char *id, const struct group_join *join,
    struct group_member **ret_member);
void member_free(struct group *g, struct group_member *m);
/* Replaces protocols and timeouts. GROUP_MAX_SIZE (G8), NOMEM: it is as before. */
MUST_USE enum err member_update(
    struct group *g, struct group_member *m, const struct group_join *join);
MUST_USE enum err member_set_assignment(
    struct group *g, struct group_member *m, struct bytes assignment);
bool member_supports(const struct group_member *m, struct str protocol);
/* Do all members of the group? */
bool group_all_support(const struct group *g, struct str protocol);
/* True when the join says what the member said before. */
bool member_same_protocols(const struct group_member *m, const struct group_join *join);
MUST_USE enum err member_add(struct group *g, struct group_member *m);
/* Takes it out of the group and frees it; its waiters get `e`. */
void member_remove(struct group *g, struct group_member *m, enum err e);
/* ERR_OK with the member, UNKNOWN_MEMBER or FENCED_INSTANCE. */
MUST_USE enum err member_validate(const struct group *g, struct str member_id,
    struct str instance_id, struct group_member **ret_member);
/* Gives a static member a new id; the old one's waiters get FENCED_INSTANCE. */
MUST_USE enum err member_replace_id(struct group *g, struct group_member *m, const char *new_id);
/* "PREFIX-UUID" on the heap; NULL when out of memory. */
char *member_make_id(struct group *g, struct str prefix);
/* Now waits for the rebalance; an earlier waiter of the same member is told REBALANCE_IN_PROGRESS.
 */
void member_await_join(struct group *g, struct group_member *m, void *waiter);
void member_await_sync(struct group *g, struct group_member *m, void *waiter);
void member_answer_join(
    struct group *g, struct group_member *m, const struct group_join_result *result);
void member_answer_sync(struct group *g, struct group_member *m, enum err e);
void member_session_start(struct group *g, struct group_member *m, int64_t now_ms);

/* pending ids */
MUST_USE enum err pending_add(struct group *g, const char *id, int64_t due_ms);
struct group_pending *pending_find(const struct group *g, struct str id);
void pending_remove(struct group *g, struct group_pending *p);

/* group.c */
/* Notes that something is due at `due_ms`. */
void group_due(struct group *g, int64_t due_ms);
/* PREPARING unless it is already; then completes when everybody is there. */
void rebalance_prepare(struct group *g, int64_t now_ms);
/* PREPARING: completes when all members wait and no pending id is out. */
void rebalance_try_complete(struct group *g, int64_t now_ms);
/* The protocol with most votes among those all members support; ptr NULL when there is none. */
struct str group_select_protocol(const struct group *g);
/* Result for a member of the current generation. */
struct group_join_result group_join_ok(const struct group *g, const struct group_member *m);
