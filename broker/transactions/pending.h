/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Offsets that open transactions will commit, by group and partition, and which of them are void.
 *
 * Each has an order: a number that grows with every such offset written. What is committed or
 * deleted outside of transactions while offsets are pending for the same partition, and what
 * another transaction commits there, is a cut: a row with an order, in the same round. A commit
 * skips what has a smaller order than the cut of its partition, as Kafka does by the offsets of its
 * records. Cuts of partitions for which nothing is pending mean nothing and are forgotten.
 *
 * Invariant: who writes a cut counts as a writer of the group from then until it is durable or
 * refused; a transaction does not commit offsets of a group while one writes. Writers never wait:
 * while a transaction does, they are refused. Thread: the loop's.
 */
#include "broker/groups/rows.h"
#include "log/log.h"

struct transactions;
struct transaction_op;
struct pending_list; /* of one group, of whatever transaction */

/* Offsets that somebody who is in no transaction commits or deletes. */
struct pending_cut {
	struct transactions *ts;
	struct pending_list *list; /* NULL: nothing of the group is pending */
	struct row_list rows;
	bool writing;
};
/* `ts` may be NULL: nothing is pending. */
void pending_cut_init(struct pending_cut *cut, struct transactions *ts, struct str group);
void pending_cut_add(struct pending_cut *cut, struct str topic, int32_t partition);
void pending_cut_all(struct pending_cut *cut);
/*
 * The row that goes into the same round, into *ret_put; row_count 0: none is needed. Then, or if it
 * is not used, pending_cut_end. COORDINATOR_NOT_AVAILABLE: a transaction is about to commit some.
 */
MUST_USE enum err pending_cut_begin(struct pending_cut *cut, struct log_table_put *ret_put);
/* It is durable, or not. May come again. */
void pending_cut_end(struct pending_cut *cut);

/* Is something pending for the partition that a commit would not skip? */
bool transactions_pending(
    const struct transactions *ts, struct str group, struct str topic, int32_t partition);
