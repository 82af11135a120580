/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * One consumer group of the newer protocol (KIP-848) as a pure state machine: no wire, no clock, no
 * storage, no catalog of its own. Members say what they want and what they hold by heartbeats; the
 * group decides who shall have which partition (the target) and takes each member there step by
 * step, so that no partition ever has two owners.
 *
 *   group epoch    rises when members, subscriptions or their topics change
 *   target epoch   the group epoch the target was computed for; follows at the next heartbeat
 *   member epoch   the target epoch the member has been taken to
 *
 *   a member:  STABLE --target moved, holds what is not its own any more--> UNREVOKED
 *              UNREVOKED --its heartbeat names none of that as owned--> STABLE or UNRELEASED
 *              STABLE, UNREVOKED --what it shall have is still another's--> UNRELEASED
 *              UNRELEASED --freed by the other--> STABLE
 *   All transitions: reconcile (consumer_reconcile.c). A member of a classic group that becomes one
 *   of this kind may begin as UNREVOKED (consumer_take_owned).
 *
 * While a group changes from the classic protocol to this one or back, some of its members speak
 * the classic protocol (consumer_classic.c). Their JoinGroup is a heartbeat with all they want and
 * own, their generation is the member's epoch, SyncGroup tells them what is `assigned`, and a
 * Heartbeat that finds more to do answers REBALANCE_IN_PROGRESS: join again.
 *
 * Invariants (consumer_check)
 *   N1 a partition is in `assigned` or `revoking` of at most one member, and its slot names it
 *   N2 epochs never go down; target_epoch <= epoch; a member's epoch <= target_epoch
 *   N3 only UNREVOKED members have partitions to revoke
 *   N4 an instance id belongs to one member
 *   N5 no deadline is earlier than next_due_ms says
 *   N6 targets of the target epoch are disjoint and within their members' subscriptions
 *   N7 the members that speak the classic protocol are counted, and have a protocol in common
 * Thread: the owner's (the loop's).
 */
#include "broker/groups/group.h"
#include "broker/groups/topic_regex.h"
#include "log/log.h"

enum {
	CONSUMER_LEAVES = -1, /* member epoch in a heartbeat: gone for good */
	CONSUMER_LEAVES_SOON =
	    -2, /* a static member that comes back: its partitions stay its own */
	CONSUMER_TOPICS_MAX = 10000,       /* names in one subscription */
	CONSUMER_PARTITIONS_MAX = 1000000, /* of the topics a group is subscribed to */
	CONSUMER_PATTERN_MAX = 4096,       /* bytes of a regular expression */
};

/* ---- sets of partitions ---------------------------------------------------------------------- */

struct consumer_part {
	struct log_uuid topic;
	int32_t partition;
	int32_t epoch; /* member epoch it was assigned at; only in `assigned` and `revoking` */
};
/* In order of topic id and partition, without twins. */
struct consumer_parts {
	struct consumer_part *at; /* owned */
	size_t count;
};
int consumer_part_order(const struct consumer_part *a, const struct consumer_part *b);
/* NULL when it is not in the set. */
const struct consumer_part *consumer_parts_find(
    const struct consumer_parts *set, struct log_uuid topic, int32_t partition);
void consumer_parts_release(struct consumer_parts *set);

/* ---- topics and subscriptions ---------------------------------------------------------------- */

/* A topic the group is subscribed to and that exists. */
struct consumer_topic {
	struct log_uuid id;
	int32_t partition_count;
	size_t first; /* its partition 0 among all partitions of the group's topics */
};

/* A topic that a pattern matches. */
struct consumer_finding {
	struct log_uuid topic;
	bool seen; /* its viewer may describe it */
};
/* A pattern on its way through the topics there are, a slice at a time. */
struct consumer_pass {
	bool under_way;
	uint64_t topics_version, rights_version; /* when it began */
	size_t kept;                             /* findings that have been looked at again */
	size_t cursor;                           /* of topic_next */
	uint64_t cursor_version;                 /* that it is good for */
	uint8_t last[TOPIC_NAME_MAX];            /* name of the last topic looked at */
	size_t last_len;
};
/* A pattern and on whose behalf it looks, shared by all subscriptions with both. */
struct consumer_pattern {
	struct list_node node; /* in group.patterns, the one that had its turn longest ago first */
	struct str key;        /* owned: pattern, viewer */
	struct str viewer;     /* in key; see auth_sees */
	struct topic_regex *regex;
	size_t holders, bytes;
	bool looked;                             /* it has been through once: */
	bool restored;                           /* with its group, from storage */
	uint64_t topics_version, rights_version; /* as they were then */
	struct consumer_finding *found;
	size_t count, capacity;
	struct consumer_pass pass;
};

/* What members want, shared by all who want the same. */
struct consumer_subscription {
	struct list_node node;
	struct str key;    /* owned: its names, its pattern and whose it is, canonical */
	struct str *names; /* in order, without twins; in one block with the array */
	size_t name_count;
	struct str pattern; /* ptr NULL = none; in key */
	struct str viewer;  /* on whose behalf the pattern looks; in key, empty without one */
	struct consumer_pattern *finds;
	size_t members;
	uint32_t *topics; /* indices into the group's topics, in order */
	size_t topic_count;
};

/* What a member that speaks the classic protocol says besides. */
struct consumer_speech {
	int32_t session_timeout_ms;
	const struct group_protocol *protocols; /* it works by the first one */
	size_t protocol_count;
};
struct consumer_classic {
	int32_t session_timeout_ms;
	struct group_protocol *protocols; /* owned, one block */
	size_t protocol_count;
	int64_t join_due_ms; /* was told to join again: must have by then; 0 = it need not */
	int64_t sync_due_ms; /* has joined: must fetch its assignment by then; 0 = it has */
};

enum consumer_state { CONSUMER_STABLE, CONSUMER_UNREVOKED, CONSUMER_UNRELEASED };

struct consumer_member {
	struct list_node node; /* in group.members, in order of joining */
	char *id;
	char *instance_id;        /* NULL = dynamic */
	char *rack_id, *assignor; /* NULL = none */
	char *client_id, *client_host;
	struct consumer_subscription *subscription;
	struct consumer_classic *classic; /* NULL = speaks the consumer protocol */
	int32_t rebalance_timeout_ms;
	int32_t epoch, previous_epoch; /* CONSUMER_LEAVES_SOON: a static member that is away */
	enum consumer_state state;
	struct consumer_parts assigned, revoking, target;
	int64_t session_due_ms;
	int64_t rebalance_due_ms; /* UNREVOKED: must have revoked by then; 0 = nothing to revoke */
	size_t bytes;             /* charged to the budget */
	bool metadata_dirty, target_dirty, current_dirty; /* not stored as they are */
};

/* Who holds a partition. Stays while it is held or of a subscribed topic. */
struct consumer_slot {
	struct consumer_part part;
	struct consumer_member *owner; /* NULL = free */
	uint64_t mark;                 /* of the refresh that last saw it */
};

struct consumer_limits {
	int32_t session_timeout_ms, heartbeat_interval_ms;
	size_t members_max;
	size_t bytes_max;      /* of one group's subscriptions and names */
	struct budget *budget; /* of all groups; NULL = none */
};
/* 45 s, 5 s, 10,000 members, 16 MiB: Kafka's where it has one. */
extern const struct consumer_limits consumer_limits_default;

struct consumer_group;
struct consumer_ops {
	/* The catalog: by name, by id, and all of them in order of name (NULL at the end). */
	const struct log_topic *(*topic_find)(struct consumer_group *c, struct str name);
	const struct log_topic *(*topic_by_id)(struct consumer_group *c, struct log_uuid id);
	const struct log_topic *(*topic_next)(struct consumer_group *c, size_t *cursor);
	/* Another number when a topic has come, gone or grown. */
	uint64_t (*topics_version)(struct consumer_group *c);
	/* Whether who is named there may describe a topic; another number when that may have
	 * changed. */
	bool (*may_see)(struct consumer_group *c, struct str viewer, struct str topic);
	uint64_t (*rights_version)(struct consumer_group *c);
	void (*random)(struct consumer_group *c, void *buf, size_t len);
};

struct consumer_group {
	int32_t epoch, target_epoch;
	struct list members;
	size_t member_count;
	size_t classic_count; /* of them: speak the classic protocol */
	struct map support;   /* of their protocols */
	struct map by_id, by_instance;
	struct list subscriptions;
	struct map by_key; /* struct consumer_subscription */
	struct list patterns;
	struct map by_pattern;
	bool patterns_behind;          /* some have not looked at all topics */
	struct consumer_topic *topics; /* in order of id */
	size_t topic_count, partition_count;
	int64_t topics_hash; /* of topics; 0 = none */
	uint64_t topics_version, rights_version;
	bool topics_stale; /* subscriptions have changed since topics were looked up */
	struct map slots;
	uint64_t mark;
	size_t bytes;
	bool epoch_dirty, target_epoch_dirty; /* not stored as they are */
	bool removed;                         /* members have gone whose records are still there */
	bool dirty;                           /* any of these, or of the members' */
	int64_t next_due_ms;                  /* call consumer_tick then at the latest */
	const struct consumer_limits *limits;
	const struct consumer_ops *ops;
	void *user;
};

void consumer_init(
    struct consumer_group *c, const struct consumer_ops *ops, const struct consumer_limits *limits);
void consumer_release(struct consumer_group *c);
/* Aborts when an invariant does not hold. O(partitions): tests call it after each step. */
void consumer_check(const struct consumer_group *c);
/* As ListGroups names it: "Empty", "Assigning", "Reconciling", "Stable". */
const char *consumer_state_name(const struct consumer_group *c);

/* ---- requests -------------------------------------------------------------------------------- */

struct consumer_beat {
	struct str member_id; /* empty when joining: a new one is made */
	struct str instance_id, rack_id, client_id, client_host; /* ptr NULL = not given */
	int32_t epoch;                                           /* 0 = joins */
	int32_t rebalance_timeout_ms;                            /* -1 = as before */
	const struct str *names;                                 /* NULL = as before */
	size_t name_count;
	struct str pattern;                    /* ptr NULL = as before, empty = none */
	struct str viewer;                     /* who sends it; ptr NULL = as before */
	struct str assignor;                   /* ptr NULL = as before */
	const struct consumer_parts *owned;    /* NULL = as before */
	const struct consumer_speech *classic; /* NULL = speaks the consumer protocol */
};
struct consumer_answer {
	const struct consumer_member *member; /* NULL when it has left */
	int32_t epoch;
	bool with_assignment;
};
/*
 * Joins, stays or leaves. ERR_UNKNOWN_MEMBER, FENCED_MEMBER_EPOCH, FENCED_INSTANCE,
 * UNRELEASED_INSTANCE, UNSUPPORTED_ASSIGNOR, INVALID_REGEX, GROUP_MAX_SIZE, LIMIT, NOMEM: the
 * member is as before. COORDINATOR_LOADING: a restored group is still looking for the topics of its
 * patterns; to be sent again.
 */
MUST_USE enum err consumer_beat(struct consumer_group *c, const struct consumer_beat *beat,
    int64_t now_ms, struct consumer_answer *ret_answer);
/* Removal of a static member by an administrator. ERR_UNKNOWN_MEMBER. */
MUST_USE enum err consumer_evict(struct consumer_group *c, struct str instance_id);
/* What one is told who names another epoch: STALE_MEMBER_EPOCH, or ILLEGAL_GENERATION (it speaks
 * the classic protocol). */
MUST_USE enum err consumer_stale(const struct consumer_member *m);
/* The member with this epoch: ERR_UNKNOWN_MEMBER, or consumer_stale. An older epoch is good for
 * what it has been assigned since no later than then (KIP-1251): see consumer_may_commit. */
MUST_USE enum err consumer_validate(const struct consumer_group *c, struct str member_id,
    int32_t epoch, const struct consumer_member **ret_member);
/* May a member at `epoch` commit an offset of this partition? ERR_OK, or consumer_stale. */
MUST_USE enum err consumer_may_commit(
    const struct consumer_member *m, int32_t epoch, struct log_uuid topic, int32_t partition);
/* Timers: call when now_ms >= next_due_ms. */
void consumer_tick(struct consumer_group *c, int64_t now_ms);
/* A pattern that has not looked at the topic may match it: then true. */
bool consumer_is_subscribed(struct consumer_group *c, const struct log_topic *topic);
struct consumer_member *consumer_find(const struct consumer_group *c, struct str member_id);
/* The assignor that most members ask for. */
struct str consumer_assignor(const struct consumer_group *c);
/* Everything must be stored anew: a store has failed. */
void consumer_mark_all(struct consumer_group *c);

/* ---- members that speak the classic protocol ------------------------------------------------- */

/*
 * JoinGroup, as a heartbeat with `classic`: epoch counts for nothing, member_id is empty for a new
 * member, `owned` is what it will go on working on. Where `ret_id` is not NULL a new dynamic member
 * is only told its id and has to come again: MEMBER_ID_REQUIRED, *ret_id on the heap. Else as
 * consumer_beat, and INCONSISTENT_GROUP_PROTOCOL.
 */
MUST_USE enum err consumer_join(struct consumer_group *c, const struct consumer_beat *beat,
    char **ret_id, int64_t now_ms, struct consumer_answer *ret_answer);
/* SyncGroup. *ret_member: with what is assigned to it. ERR_UNKNOWN_MEMBER, FENCED_INSTANCE,
 * ILLEGAL_GENERATION, INCONSISTENT_GROUP_PROTOCOL, REBALANCE_IN_PROGRESS. */
MUST_USE enum err consumer_sync(struct consumer_group *c, const struct group_sync *sync,
    int64_t now_ms, const struct consumer_member **ret_member);
/* As group_heartbeat. */
MUST_USE enum err consumer_heartbeat(struct consumer_group *c, struct str member_id,
    struct str instance_id, int32_t generation, int64_t now_ms);
/* As group_leave; an administrator may remove members of both kinds. */
MUST_USE enum err consumer_leave(
    struct consumer_group *c, struct str member_id, struct str instance_id);

/* ---- a classic group's members --------------------------------------------------------------- */

/* On a fresh group: at this epoch, every member there. */
void consumer_take_epoch(struct consumer_group *c, int32_t epoch);
/* A member that has been assigned `parts` (sorted; those that another has are left out). */
MUST_USE enum err consumer_take(struct consumer_group *c, const struct consumer_beat *beat,
    const struct consumer_parts *parts, int64_t now_ms);
/* When all have been taken: what a cooperative member owned when it joined and has not been
 * assigned it may be still working on. Where it is nobody else's it has to revoke it. */
MUST_USE enum err consumer_take_owned(
    struct consumer_group *c, struct str member_id, const struct consumer_parts *owned);

/* ---- restoring from storage ------------------------------------------------------------------ */

struct consumer_restore {
	struct str id, instance_id, rack_id, client_id, client_host, assignor, pattern, viewer;
	const struct str *names;
	size_t name_count;
	int32_t rebalance_timeout_ms;
	const struct consumer_speech *classic; /* NULL = speaks the consumer protocol */
};
/* A member as stored, without partitions; then its sets may be put in place: in order, without
 * twins, owned by the member. consumer_restored makes the whole what it was, with sessions that
 * start now; ERR_CORRUPT when a partition has two owners. */
MUST_USE enum err consumer_restore_member(struct consumer_group *c,
    const struct consumer_restore *from, struct consumer_member **ret_member);
MUST_USE enum err consumer_restored(struct consumer_group *c, int64_t now_ms);

/* ---- between the files of the state machine -------------------------------------------------- */

/* consumer.c */
/* Something is due then. */
void consumer_due(struct consumer_group *c, int64_t due_ms);
void consumer_session_start(struct consumer_group *c, struct consumer_member *m, int64_t now_ms);
/* What is to be done by a member and the group after it has spoken. */
MUST_USE enum err consumer_step(struct consumer_group *c, struct consumer_member *m,
    const struct consumer_beat *beat, bool changed, int64_t now_ms,
    struct consumer_answer *ret_answer);
void consumer_raise_epoch(struct consumer_group *c);
/* A static member is back under another id (empty: a new one): what it had is still its own. */
MUST_USE enum err consumer_come_back(
    struct consumer_group *c, struct consumer_member *m, struct str id);

/* consumer_member.c */
/* A new member id on the heap. */
char *consumer_make_id(struct consumer_group *c);
MUST_USE enum err consumer_member_new(struct consumer_group *c, struct str id,
    const struct consumer_beat *beat, struct consumer_member **ret_member);
void consumer_member_remove(struct consumer_group *c, struct consumer_member *m);
/* Takes over what the heartbeat says; *ret_changed: what the target depends on has changed. */
MUST_USE enum err consumer_member_update(struct consumer_group *c, struct consumer_member *m,
    const struct consumer_beat *beat, bool *ret_changed);
MUST_USE enum err consumer_member_rename(
    struct consumer_group *c, struct consumer_member *m, struct str id);
/* Frees what it holds; `all`: also what it keeps, not only what it is to revoke. */
void consumer_member_drop(struct consumer_group *c, struct consumer_member *m, bool all);

/* consumer_topics.c */
MUST_USE enum err consumer_subscribe(struct consumer_group *c, const struct consumer_beat *beat,
    const struct consumer_subscription *before, struct consumer_subscription **ret_subscription);
void consumer_unsubscribe(struct consumer_group *c, struct consumer_subscription *s);
/* Looks the subscribed topics up again if need be; *ret_changed when they are others. */
MUST_USE enum err consumer_refresh(struct consumer_group *c, bool *ret_changed);
struct consumer_slot *consumer_slot(
    const struct consumer_group *c, struct log_uuid topic, int32_t partition);
MUST_USE enum err consumer_slot_make(
    struct consumer_group *c, const struct consumer_part *part, struct consumer_slot **ret_slot);
/* Index into the group's topics, or SIZE_MAX. */
size_t consumer_topic_index(const struct consumer_group *c, struct log_uuid id);

/* consumer_pattern.c */
/* Finds or makes; held until dropped (NULL is allowed). INVALID_REGEX, GROUP_MAX_SIZE, NOMEM. */
MUST_USE enum err consumer_pattern_hold(struct consumer_group *c, struct str text,
    struct str viewer, struct consumer_pattern **ret_pattern);
void consumer_pattern_drop(struct consumer_group *c, struct consumer_pattern *p);
/* Whether a pattern may find it: like Kafka's own internal topics, but not the tables of this
 * server. */
bool consumer_pattern_sees(const struct log_topic *topic);
/* A slice of work for those that have something to look at. COORDINATOR_LOADING: see
 * consumer_beat; GROUP_MAX_SIZE, NOMEM. */
MUST_USE enum err consumer_patterns_look(struct consumer_group *c);
/* Those that are there have been restored. */
void consumer_patterns_restored(struct consumer_group *c);
/* Some pattern has not looked at the topic yet. */
bool consumer_patterns_missed(struct consumer_group *c, const struct log_topic *topic);

/* assignor.c: a new target for every member. */
bool assignor_exists(struct str name);
MUST_USE enum err assignor_run(struct consumer_group *c);

/* consumer_reconcile.c: one step of a member towards its target. *ret_changed: it has other
 * partitions than before. */
MUST_USE enum err consumer_reconcile(struct consumer_group *c, struct consumer_member *m,
    const struct consumer_parts *owned, bool *ret_changed);
