/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Cells: one SQL value as SQLite stores it, and the bytes in which it waits for its checkpoint.
 *
 *   boolean                INTEGER 0/1          numeric, uuid, date, interval   TEXT as PostgreSQL
 * prints it smallint .. bigint     INTEGER              text, jsonb                     TEXT
 *   timestamp, timestamptz INTEGER, us of 1970  bytea                           BLOB
 *   real, double precision REAL; NaN, which SQLite cannot store, as TEXT
 *
 * Columns are declared without an affinity that could change a value; the SQL type stands beside
 * them as a comment. Pure: any thread.
 */
#include "processor/op/vec.h"
#include <sqlite3.h>

/* "INTEGER /" "* bigint *" "/" and the like, for CREATE TABLE. */
void cell_declare(struct writer *w, struct type type);
/* Appends the cell's bytes. */
void cell_write(struct writer *w, enum type_id type, struct datum d);
void cell_write_null(struct writer *w);
void cell_write_int(struct writer *w, int64_t v);
void cell_write_text(struct writer *w, struct str s);   /* ptr NULL = NULL */
void cell_write_blob(struct writer *w, struct bytes b); /* ptr NULL = NULL */
/* Binds the next cell of `r` to parameter `index`; the bytes must stay until the statement is
 * reset. An SQLite code. */
int cell_bind(sqlite3_stmt *stmt, int index, struct reader *r);
/*
 * The next cell of `r`, as it was written for a column of that type. Text and bytes are borrowed
 * from `r`; what must be parsed goes to `arena`. ERR_CORRUPT when it is no value of that type.
 */
MUST_USE enum err cell_take(
    struct reader *r, struct type type, struct arena *arena, struct datum *ret_datum);
/* Column `index` of the current row. Text and bytes are borrowed until the next step; what must be
 * parsed goes to `arena`. ERR_CORRUPT when the stored value cannot be of that type. */
MUST_USE enum err cell_read(
    sqlite3_stmt *stmt, int index, struct type type, struct arena *arena, struct datum *ret_datum);
