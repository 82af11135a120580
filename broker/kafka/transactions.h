/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The handlers of the transaction coordinator (broker/transactions), one per api. */
#include "broker/kafka/request.h"

/* InitProducerId with a transactional id. */
void handle_init_transaction(struct request *req);
void handle_add_partitions_to_txn(struct request *req);
void handle_add_offsets_to_txn(struct request *req);
void handle_end_txn(struct request *req);
void handle_txn_offset_commit(struct request *req);
void handle_write_txn_markers(struct request *req);
void handle_describe_producers(struct request *req);
void handle_describe_transactions(struct request *req);
void handle_list_transactions(struct request *req);
