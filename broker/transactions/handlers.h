/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What the transaction handlers share. */
#include "broker/kafka/handlers.h"
#include "broker/kafka/transactions.h"
#include "transactions.h"

/* An operation on behalf of a request. */
struct request_op {
	struct transaction_op op;
	struct request *req;
	void *more; /* the handler's */
};
/* In the request's arena; NULL: request_fail was called. */
struct request_op *request_op_new(struct request *req, enum transaction_want want,
    struct transaction_writer by, void (*done)(struct transaction_op *op));
static inline struct request_op *request_op_of(struct transaction_op *op)
{
	return CONTAINER_OF(op, struct request_op, op);
}
/* The code on the wire: those who were before PRODUCER_FENCED know INVALID_PRODUCER_EPOCH. */
int16_t transaction_wire_error(enum err e, bool knows_fenced);
