/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The group coordinator: all consumer groups of this server, their committed offsets, and
 * __consumer_offsets, which is the truth of both. Thread: the loop's.
 *
 * Invariants
 *   C1 an offset is shown only after its record is durable: memory changes in apply() alone
 *   C2 a group in memory is there for a reason: members, promised ids, offsets, offsets that a
 *      transaction will commit, a stored record, or puts under way (entry_settle frees all others)
 *   C3 one store of a group is under way at a time; what changes meanwhile is stored after it, once
 *   C4 a group is of one kind at a time: `consumer` is there and `group` EMPTY, or it is not; it
 *      changes its kind in one batch of rows
 *   C5 after a restart generation and offsets are those last stored; a group stored as STABLE is
 *      STABLE with its members, whose sessions start anew
 */
#include "broker/broker.h"
#include "broker/groups/consumer.h"
#include "broker/groups/group.h"
#include "broker/groups/rows.h"
#include "broker/transactions/pending.h"
#include "log/log.h"

/* Kafka has 50. Each is a directory; a single server gains nothing by more. Never changed later: it
 * places the records. */
enum { OFFSETS_PARTITIONS = 16 };
enum {
	OFFSET_METADATA_MAX = 4096, /* Kafka: offset.metadata.max.bytes */
	GROUPS_MAX = 100000,
	GROUP_ID_MAX = 32767,
	OFFSETS_MAX = 10000000, /* of all groups */
};

#define GROUPS_BYTES_MAX (512 * MIB) /* protocols and assignments of all members */

struct groups_options {
	int32_t initial_delay_ms;        /* group.initial.rebalance.delay.ms; 0 = 100, -1 = none */
	int32_t session_min_ms;          /* group.min.session.timeout.ms; 0 = 6000 */
	int32_t session_max_ms;          /* group.max.session.timeout.ms; 0 = 1800000 */
	int32_t consumer_session_ms;     /* group.consumer.session.timeout.ms; 0 = 45000 */
	int32_t consumer_heartbeat_ms;   /* group.consumer.heartbeat.interval.ms; 0 = 5000 */
	int64_t offsets_retention_ms;    /* offsets.retention.minutes; 0 = 7 days, -1 = for ever */
	int64_t check_interval_ms;       /* offsets.retention.check.interval.ms; 0 = 10 minutes */
	size_t groups_max;               /* 0 = GROUPS_MAX */
	enum group_migration migration;  /* group.consumer.migration.policy */
	const struct settings *settings; /* what groups have set for themselves; NULL = nothing */
	const struct auth *auth;         /* who sees which topics; NULL = everybody all */
};

struct offset {
	struct bytes key; /* partition i32 big-endian, topic; what the map's key points to */
	struct str topic; /* in key */
	int32_t partition;
	struct log_uuid topic_id; /* of the topic committed for; zero when it did not exist */
	int64_t offset;
	int32_t leader_epoch;
	struct str metadata;
	int64_t commit_ms;
	int64_t expire_ms; /* -1: by the server's retention; else what the client asked for (value
	                      v1) */
};

/* Answered when what a heartbeat has seen is durable (consumer_store). */
struct consumer_waiter {
	struct list_node node;
	uint64_t round;
	void (*done)(struct consumer_waiter *w, enum err e);
};
/* Rows of a consumer group under way: one round at a time. */
struct consumer_round {
	struct log_table_put put;
	bool storing;
	uint64_t number;     /* of the last one started */
	struct list waiting; /* struct consumer_waiter, in order of round */
	struct mail failed;
	enum err err;
};

struct groups;
struct group_entry {
	struct group group; /* first */
	struct groups *groups;
	struct list_node node; /* groups->entries, the one checked longest ago first */
	int64_t checked_ms;    /* wall clock */
	struct loop_timer timer;
	struct map offsets;  /* struct offset */
	struct bytes stored; /* value of its last durable record; ptr NULL = none */
	int64_t state_ms;    /* wall clock: since when it has been EMPTY */
	unsigned puts;       /* commits and tombstones under way */
	bool awaits_commit;  /* transactions have offsets of it: broker/transactions sets it */
	/* the store under way and the one after it (C3) */
	struct log_table_put store;
	bool storing;
	uint64_t storing_id, next_store_id; /* next: 0 = none */
	struct mail store_failed;
	enum err store_err;
	/* the consumer protocol */
	struct consumer_group *consumer; /* NULL = of the classic kind */
	struct consumer_limits limits; /* of `consumer`: the server's, and what the group has set */
	struct map rows;               /* its durable rows, as stored */
	struct consumer_round round;
};

struct groups {
	struct loop *loop;
	struct log *log;
	struct log_table *table;
	struct transactions *transactions; /* what is pending; NULL until they are open */
	struct groups_options options;
	struct group_limits limits;
	struct consumer_limits consumer_limits;
	struct budget budget; /* of members' protocols and assignments */
	struct map by_name;   /* struct group_entry */
	struct list entries;
	size_t entry_count, offset_count;
	struct loop_timer sweep;
	bool loading;
	unsigned puts; /* all entries' */
};

/* ---- life ------------------------------------------------------------------------------------ */
/* Reads __consumer_offsets. Blocks. */
MUST_USE enum err groups_open(struct loop *loop, struct log *log,
    const struct groups_options *options, struct groups **ret_groups);
/* Waits for puts under way (turns the loop). No request may be waiting any more. */
void groups_close(struct groups *g);
int64_t groups_now_ms(const struct groups *g);  /* monotonic */
int64_t groups_wall_ms(const struct groups *g); /* what is stored: log_time_ns */
/* What the ages of that are measured by: log_judging_time_ns. */
int64_t groups_judging_ms(const struct groups *g);

/* ---- entries --------------------------------------------------------------------------------- */
/* NULL when there is none. */
struct group_entry *entry_find(const struct groups *g, struct str name);
/* What the group has set for itself is in force: from the next heartbeat of each member. */
void entry_take_settings(struct group_entry *e);
/* Finds or makes. ERR_INVALID_GROUP (name too long or not text), ERR_LIMIT, ERR_NOMEM. */
MUST_USE enum err entry_make(struct groups *g, struct str name, struct group_entry **ret_entry);
/* After each step on a group: sets its timer, or frees it when nothing is left of it. Do not touch
 * the entry afterwards. */
void entry_settle(struct group_entry *e);
int32_t entry_partition(const struct group_entry *e);
/* The partition of __consumer_offsets that holds what a group commits. */
int32_t groups_partition(struct str group);
/* Java's String.hashCode of UTF-8 text, as Kafka places groups by it. */
int32_t java_hash(struct str s);
/* True when there is nothing in it that DescribeGroups would call a group. */
bool entry_is_vacant(const struct group_entry *e);
/* It has no members, of either kind. */
bool entry_is_empty(const struct group_entry *e);
size_t entry_member_count(const struct group_entry *e);
/* As ListGroups names them: "Stable", "consumer". */
const char *entry_state_name(const struct group_entry *e);
const char *entry_type_name(const struct group_entry *e);
/* "" before the first member. */
struct str entry_protocol_type(const struct group_entry *e);

/* Who wants to commit, by what right. */
struct commit_claim {
	struct str member_id, instance_id; /* ptr NULL = none */
	int32_t epoch;                     /* or generation */
	bool in_transaction;
	bool knows_epochs; /* OffsetCommit 9+ */
};
/*
 * ERR_OK; with *ret_member of a consumer group each partition is to be asked about
 * (consumer_may_commit), NULL: all are good. Else what group_may_commit says, or UNKNOWN_MEMBER,
 * what consumer_stale says, UNSUPPORTED_VERSION.
 */
MUST_USE enum err entry_may_commit(struct group_entry *e, const struct commit_claim *claim,
    const struct consumer_member **ret_member);

/* ---- offsets --------------------------------------------------------------------------------- */
/* NULL when nothing is committed, or it was committed for a topic that is gone. */
const struct offset *entry_offset(const struct group_entry *e, struct str topic, int32_t partition);
/* All that entry_offset would give, ordered by topic and partition; array by mem_free. */
MUST_USE enum err entry_offsets(
    const struct group_entry *e, const struct offset ***ret_offsets, size_t *ret_count);
/* apply() for one row; value NULL removes. */
MUST_USE enum err offset_apply(struct group_entry *e, const struct offset_commit_key *key,
    const struct offset_commit_value *value);
void offsets_release(struct group_entry *e);
/* Committed for a topic that no longer exists, or for an earlier one of its name. */
bool offset_is_orphan(const struct groups *g, const struct offset *o);
void offset_to_rows(const struct group_entry *e, const struct offset *o, struct row_list *list);

/* ---- offsets_put.c ---------------------------------------------------------------------- */
/* Offsets that are committed outside of transactions. In place: init, add, start, or release. */
struct offsets_put {
	struct group_entry *entry;
	struct row_list rows; /* empty: there is nothing to start */
	struct pending_cut cut;
	struct log_table_put puts[2];
	struct log_commit both;
	enum err err;
	void (*done)(struct offsets_put *p);
};
void offsets_put_init(struct offsets_put *p, struct group_entry *e);
void offsets_put_add(struct offsets_put *p, const struct offset_commit_key *key,
    const struct offset_commit_value *value);
/* `done` on the loop, never from inside; the entry has been settled. On an error not at all. */
MUST_USE enum err offsets_put_start(struct offsets_put *p);
/* One that has not started. */
void offsets_put_release(struct offsets_put *p);

/* ---- store.c: the group's own record --------------------------------------------------------- */
/* group_ops.store */
void entry_store(struct group *group, uint64_t store_id);
/* The record as it is to be now, with tombstones for rows of the other kind. Not settled: whoever
 * restores it has to rebalance. */
struct row_list;
MUST_USE enum err entry_group_rows(struct group_entry *e, struct row_list *list, bool settled);
/* The row's value restored into a fresh entry. */
MUST_USE enum err entry_restore(struct group_entry *e, struct bytes value);

/* ---- consumer_store.c: groups of the consumer protocol --------------------------------------- */
/* A fresh one that works for the entry. */
MUST_USE enum err consumer_new(struct group_entry *e, struct consumer_group **ret_consumer);
/* NULL is allowed. */
void consumer_free(struct consumer_group *c);
/* A consumer group without members becomes a classic one. ERR_COORDINATOR_NOT_AVAILABLE: try
 * again. */
MUST_USE enum err consumer_entry_end(struct group_entry *e);
/* apply() for one row, kept as it is; value NULL removes. */
MUST_USE enum err consumer_apply(struct group_entry *e, struct bytes key, struct bytes value);
/* Everything read: the group becomes what its rows say. */
MUST_USE enum err consumer_entry_restore(struct group_entry *e);
void consumer_entry_release(struct group_entry *e);
/* After each change: what is not stored is on its way. True when `w` (NULL = nobody) will be told
 * later, false when all the group is durable already. */
bool consumer_store(struct group_entry *e, struct consumer_waiter *w);
void consumer_rows_each(const struct group_entry *e,
    void (*fn)(void *ctx, struct bytes key, struct bytes value), void *ctx);
/* Tombstones for all of them. */
void consumer_rows_drop(const struct group_entry *e, struct row_list *list);

/* ---- migrate.c: from one kind to the other --------------------------------------------------- */
/*
 * The group's consumers; of a classic one those it would have as a consumer group, beside it: then
 * either consumer_entry_keep makes it that (its waiters are told to join again), or
 * consumer_entry_discard leaves it as it is; both do nothing if they were there before.
 * ERR_GROUP_NOT_FOUND (it has members that cannot come along), COORDINATOR_NOT_AVAILABLE (try
 * again), NOMEM.
 */
MUST_USE enum err consumer_entry_prepare(
    struct group_entry *e, struct consumer_group **ret_consumer);
void consumer_entry_keep(struct group_entry *e, struct consumer_group *c);
void consumer_entry_discard(const struct group_entry *e, struct consumer_group *c);
/* A consumer group that has become one of members of the classic protocol alone is a classic one
 * from now on, and must rebalance: true if so. */
bool consumer_entry_downgrade(struct group_entry *e);

/* ---- drop.c: tombstones ---------------------------------------------------------------------- */
/*
 * Writes tombstones for the offsets `pick` chooses (NULL = all) and, with whole, for the group's
 * record; first what `cut`, which the caller has made, makes void. `done` on the loop, never from
 * inside. The entry may be gone afterwards.
 */
struct drop_put;
struct drop {
	struct group_entry *entry;
	struct pending_cut cut;
	struct drop_put *puts;
	size_t put_count;
	size_t pending;
	enum err err; /* the first */
	struct mail mail;
	void *user;
	void (*done)(struct drop *drop);
};
struct drop_choice {
	bool (*pick)(void *ctx, const struct offset *o);
	void *ctx;
	bool whole;
};
void drop_start(struct drop *drop, struct group_entry *e, const struct drop_choice *choice);

/* What a client is told about `e`: failures of our own become COORDINATOR_NOT_AVAILABLE. */
enum err groups_wire_error(enum err e);

/* ---- handle_classic.c: members of a consumer group that speak the classic protocol ----------- */
struct request;
void classic_join(struct request *req, struct group_entry *e, const struct group_join *join);
void classic_sync(struct request *req, struct group_entry *e);
/* ---- handle_membership.c: group_ops.joined and synced; the waiter is a struct request -------- */
void membership_joined(struct group *group, void *waiter, const struct group_join_result *result);
void membership_synced(struct group *group, void *waiter, const struct group_sync_result *result);

/* ---- sweep.c: expiry ------------------------------------------------------------------------- */
void sweep_start(struct groups *g);
void sweep_stop(struct groups *g);
/* A topic is gone: its offsets are looked for at once. */
void groups_topic_deleted(struct groups *g);
