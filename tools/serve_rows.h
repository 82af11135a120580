/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Results of statements as HTTP answers: a proc_sink that streams rows as a JSON array (default),
 * as NDJSON or as CSV. Statements without rows answer their messages, as text lines. Lives on the
 * handler's stack; one thread.
 */
#include "broker/broker.h"
#include "broker/http.h"
#include "processor/processor.h"

enum rows_format { ROWS_JSON, ROWS_NDJSON, ROWS_CSV };
enum { ROWS_COLUMNS_MAX = VIEW_COLUMNS_MAX };

struct serve_rows {
	struct http_reply *reply;
	enum rows_format format;
	struct proc_sink sink; /* hand this to the executor */
	struct writer out;
	struct writer messages;
	struct proc_column *columns;
	uint32_t column_count;
	uint64_t rows;
	bool streaming;
};
/* ?format=json|ndjson|csv; ERR_INVALID otherwise. */
MUST_USE enum err serve_rows_init(
    struct serve_rows *s, struct http_request *r, struct http_reply *reply);
void serve_rows_release(struct serve_rows *s);
/* Ends the answer. `e` is the executor's result: before the first row it becomes a problem document
 * whose detail has line and column and, for a plan that needs execute, the plan. */
MUST_USE enum err serve_rows_end(struct serve_rows *s, enum err e, const struct sql_error *sql);
/* Appends one line behind the rows, marked by RS (0x1e), for callers that asked with ?summary=1. */
MUST_USE enum err serve_rows_summary(struct serve_rows *s, struct str json);
