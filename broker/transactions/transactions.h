/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The transaction coordinator: all transactional ids of this server. The truth is
 * __transaction_state, in Kafka's format, and __kappa_txn_offsets, which holds the offsets that a
 * transaction will commit. Thread: the loop's.
 *
 *   EMPTY --partitions or offsets added--> ONGOING --end--> COMPLETE_COMMIT or COMPLETE_ABORT
 *     ^                                      ^                        |         |
 *     '-------- InitProducerId (any) --------'---- added again -------'---------'
 *
 * The end is one commit of the log (log_commit): the markers in all partitions, the offsets of all
 * groups, the new state. There is no prepared state: a transaction has ended or it has not, also
 * after a crash. Partitions are written only while the transaction is ONGOING and holds them
 * (transactions_may_write, asked right before each append), so none can be left open.
 *
 * Invariants
 *   N1 memory changes in apply() alone: what is shown is durable
 *   N2 one change of a transaction is under way at a time (`busy`); requests for it wait their turn
 *   N3 a producer id and epoch that was fenced never writes again
 *   N4 partitions <= parts_max, so that the end fits into one round
 */
#include "broker/groups/groups.h"
#include "broker/groups/rows.h"
#include "broker/transactions/pending.h"
#include "log/log.h"

/* Kafka has 50. Never changed later: it places the records. */
enum { TRANSACTIONS_PARTITIONS = 16 };
enum {
	TRANSACTIONS_MAX = 100000,    /* ids */
	TRANSACTION_ID_MAX = 1024,    /* bytes */
	TRANSACTION_EPOCH_MAX = 32766 /* one above is left for fencing */
};
#define TRANSACTION_PENDING_BYTES (512 * KIB) /* offsets of one group in one transaction */

/* As Kafka numbers them in the records. */
enum transaction_state {
	TRANSACTION_EMPTY = 0,
	TRANSACTION_ONGOING = 1,
	TRANSACTION_PREPARE_COMMIT = 2, /* only in records of others */
	TRANSACTION_PREPARE_ABORT = 3,
	TRANSACTION_COMPLETE_COMMIT = 4,
	TRANSACTION_COMPLETE_ABORT = 5,
};
const char *transaction_state_name(enum transaction_state state); /* as Kafka shows it */

struct transactions_options {
	int32_t timeout_max_ms; /* transaction.max.timeout.ms; 0 = 900,000 */
	int64_t expiry_ms;      /* transactional.id.expiration.ms; 0 = 7 days */
	size_t ids_max;         /* 0 = TRANSACTIONS_MAX */
	int64_t check_ms;       /* how often time-outs are looked for; 0 = 500 */
	int64_t hang_ms;        /* open in the log, ongoing for nobody: ended then; 0 = 60,000 */
};

struct transaction_part {
	struct str topic;
	int32_t partition;
};
/* What a record says of a transaction. */
struct transaction_row {
	int64_t producer_id, previous_id;
	int16_t epoch;
	int32_t timeout_ms;
	enum transaction_state state;
	int64_t update_ms, start_ms;
	int16_t client_version; /* 2: its epoch is bumped at each end (KIP-890) */
	const struct transaction_part *parts;
	size_t part_count;
};
/* Offsets that one group will have committed. */
struct pending_group {
	struct list_node node; /* in the transaction */
	struct list_node by_group;
	struct transaction *of;
	struct pending_list *in;
	struct pending_slot **slots; /* of its partitions */
	size_t slot_count;
	struct bytes value; /* PendingOffsetsValue with its version; behind this struct */
};
struct transaction {
	struct transactions *all;
	struct list_node node; /* all->all */
	struct str id;         /* owned; the map's key */
	struct transaction_row row;
	bool stored;         /* there is a record */
	int16_t last_epoch;  /* before the last bump, which its producer may not know; -1 = none */
	struct list pending; /* struct pending_group */
	struct list_node ongoing;
	int64_t since_ns; /* monotonic: ongoing as far as this process knows */
	bool busy;
	bool ending;         /* nothing may be written any more */
	struct list waiting; /* struct transaction_op */
};
/* Where one who goes through all of them over several turns is. */
struct transactions_place {
	struct transactions *all;
	struct list_node node;  /* all->places */
	struct list_node *next; /* in all->all */
};
struct transactions {
	struct loop *loop;
	struct log *log;
	struct groups *groups;
	struct log_table *table, *offsets;
	struct transactions_options options;
	struct map by_id;
	struct list all;    /* the same, in the order in which they came */
	struct list places; /* of listings: handle_list.c */
	struct mail listing;
	bool listing_posted;
	struct map by_group; /* struct pending_list */
	int64_t order;       /* of the next offset that will be pending, or cut: pending.h */
	struct list ongoing;
	size_t parts_max;
	struct loop_timer sweep;
	int64_t expiry_checked_ms, warned_ms;
	uint64_t oldest_sequence; /* the open transaction of the log that held back views last, */
	int64_t oldest_since_ns;  /* and since when (monotonic) */
	struct list ready;        /* struct transaction_op whose turn has come */
	struct mail turn;
	bool turn_posted;
	unsigned changes; /* under way */
	bool loading, closing;
	bool hanging; /* one is being ended: hanging.c */
};

/* ---- life ------------------------------------------------------------------------------------ */
/* Reads its tables. Blocks. */
MUST_USE enum err transactions_open(struct loop *loop, struct log *log, struct groups *groups,
    const struct transactions_options *options, struct transactions **ret_transactions);
/* Waits for changes under way (turns the loop). No request may be waiting any more. */
void transactions_close(struct transactions *ts);
int64_t transactions_wall_ms(const struct transactions *ts); /* what is stored: log_time_ns */
struct transaction *transaction_find(const struct transactions *ts, struct str id);
int32_t transaction_partition(struct str id);

/* ---- rules: transaction.c -------------------------------------------------------------------- */
/* Who speaks for it? PRODUCER_ID_MAPPING, PRODUCER_FENCED. `t` may be NULL. */
MUST_USE enum err transaction_check(
    const struct transaction *t, int64_t producer_id, int16_t epoch);
bool transaction_has(const struct transaction *t, struct str topic, int32_t partition);
/* Right before an append of a transactional batch: may it be? also INVALID_TXN_STATE. */
struct transaction_writer {
	struct str id;
	int64_t producer_id;
	int16_t epoch;
};
MUST_USE enum err transactions_may_write(const struct transactions *ts,
    const struct transaction_writer *w, struct str topic, int32_t partition);
/* Frees it when there is nothing to remember. */
void transaction_settle(struct transaction *t);

/* ---- operations: each waits for its turn, then changes the transaction ----------------------- */
struct transaction_op {
	struct list_node node;
	struct transactions *all;
	struct transaction *t;
	struct transaction_writer by;
	void (*run)(struct transaction_op *op);
	/* results */
	enum err err;
	int64_t producer_id;
	int16_t epoch;
	/* what it wants; slices are borrowed until done */
	enum transaction_want {
		TRANSACTION_INIT,
		TRANSACTION_ADD,
		TRANSACTION_END,
		TRANSACTION_FENCE, /* time-out, admin: abort with a new epoch */
	} want;
	int32_t timeout_ms;                   /* INIT; FENCE: below 0 = whether it is due or not */
	const struct transaction_part *parts; /* ADD */
	size_t part_count;
	struct str group; /* ADD: these offsets of it as well; ptr NULL = none */
	const struct pending_offsets_value_offset *offsets;
	size_t offset_count;
	bool commit;    /* END */
	bool version_2; /* ADD, END: the client speaks KIP-890 */
	/* the coordinator's own */
	struct transaction_row next;
	struct transaction_part *next_parts;
	int16_t next_last_epoch;
	int16_t marker_epoch;
	bool then_init; /* FENCE on behalf of an INIT */
	struct log_producer_id_req new_id;
	struct transaction_commit *commit_job;
	void *user;
	void (*done)(struct transaction_op *op);
};
/*
 * Starts an operation; `done` on the loop, never from inside. INIT makes the id when it is new
 * (LIMIT, INVALID_REQUEST). The others: PRODUCER_ID_MAPPING, PRODUCER_FENCED, INVALID_TXN_STATE,
 * POLICY_VIOLATION (N4), COMMIT_TOO_LARGE, and failures of the log, after which all is as before.
 */
void transaction_start(struct transactions *ts, struct transaction_op *op);
/* Its turn comes when those before it have ended; `t` NULL: it ends with op->err. */
void transaction_enqueue(struct transactions *ts, struct transaction *t, struct transaction_op *op);
/* Its change is durable, or not: on with what follows. */
void transaction_op_end(struct transaction_op *op, enum err err);

/* ---- commit.c: writing ----------------------------------------------------------------------- */
/*
 * Writes op->next, with the pending offsets op asks for. With `ended`: markers for every partition
 * of the transaction at op->marker_epoch, and its offsets if op->commit, which wait for others that
 * write offsets of the same groups. Then transaction_op_end.
 */
void transaction_write(struct transaction_op *op, bool ended);

/* ---- pending.c: what others see of it is in pending.h ---------------------------------------- */
/* apply() of __kappa_txn_offsets: value ptr NULL removes. */
MUST_USE enum err pending_apply(
    struct transactions *ts, struct str id, struct str group, struct bytes value);
MUST_USE enum err pending_cut_apply(
    struct transactions *ts, const struct pending_cut_key *key, int64_t order);
/* Everything is read: cuts that mean nothing are forgotten. */
void pending_loaded(struct transactions *ts);
void pending_cuts_each(const struct transactions *ts,
    void (*fn)(void *ctx, const struct pending_cut_key *key, int64_t order), void *ctx);
struct pending_group *pending_of(const struct transaction *t, struct str group);
struct str pending_group_name(const struct pending_group *p);
void pending_free(struct pending_group *p);
/* The row of what op adds to what is there: into `list`. COMMIT_TOO_LARGE. */
MUST_USE enum err pending_add_row(const struct transaction_op *op, struct row_list *list);
/*
 * The rows of __consumer_offsets that a commit of `p` makes, and cuts for what others have pending
 * there: then *ret_written, else NULL, is to be given to pending_write_end when they are durable.
 */
MUST_USE enum err pending_offset_rows(const struct pending_group *p, struct row_list *list,
    struct row_list *cuts, struct pending_list **ret_written);
void pending_write_end(struct pending_list *l);
/* True: offsets of one of its groups are being written; transaction_write is called again. */
bool pending_must_wait(struct transaction_op *op);

/* ---- records.c ------------------------------------------------------------------------------- */
/* row NULL: a tombstone */
void transaction_row_add(struct row_list *list, struct str id, const struct transaction_row *row);
void pending_row_add(struct row_list *list, struct str id, struct str group,
    const struct pending_offsets_value *value);
void pending_cut_row_add(struct row_list *list, const struct pending_cut_key *key, int64_t order);
/* Reads a record's value; parts are in the arena. CORRUPT. */
MUST_USE enum err transaction_row_read(
    struct bytes value, struct arena *arena, struct transaction_row *ret_row);
MUST_USE enum err pending_value_read(
    struct bytes value, struct arena *arena, struct pending_offsets_value *ret_value);

MUST_USE enum err pending_cut_value_read(struct bytes value, int64_t *ret_order);

/* ---- sweep.c --------------------------------------------------------------------------------- */
/* Ends the oldest of those that are open for nobody, if it is time. */
void transactions_end_hanging(struct transactions *all);
/* Its time-out is over: by the wall clock, or since this process knows of it, which also ends one
 * whose start was stamped by a clock that ran ahead. */
bool transaction_is_due(const struct transaction *t);
/* How long the oldest open transaction of the log (log_txn_oldest) is open; the same two clocks. */
int64_t transactions_open_ms(struct transactions *ts, const struct log_txn *oldest);
void transactions_sweep_start(struct transactions *ts);
void transactions_sweep_stop(struct transactions *ts);
