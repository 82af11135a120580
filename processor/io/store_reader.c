/* SPDX-License-Identifier: Apache-2.0 */
/* Reader's side of a view file, see store_reader.h. */
#include "processor/io/store_reader.h"
#include "processor/io/cell.h"

enum { ROW_ARENA_BYTES_MAX = 1 << 30 };

struct store_reader {
	const struct plan_column *columns; /* owned copy, names not used */
	uint32_t column_count;
	sqlite3 *db;
	sqlite3_stmt *walk, *find;
	struct store_head head;
	struct datum *values;
	struct arena arena; /* of the current row */
	struct writer from, to;
};

static enum err prepare(struct store_reader *r, struct writer *sql, sqlite3_stmt **ret_stmt)
{
	if (sql->err)
		return sql->err;
	int rc = sqlite3_prepare_v2(r->db, (const char *)sql->ptr, (int)sql->len, ret_stmt, NULL);
	writer_clear(sql);
	return store_error(r->db, rc, "prepare");
}

static enum err prepare_rows(struct store_reader *r, const struct store_spec *spec)
{
	struct writer w;
	writer_init(&w, MIB);
	enum err err = ERR_OK;
	for (int i = 0; i < 2 && err == ERR_OK; i++) {
		write_cstr(&w,
		    "SELECT \"_key\", \"_first_sequence\", \"_last_sequence\", \"_record_count\"");
		if (spec->column_count > 0)
			write_cstr(&w, ", ");
		err = store_column_list(&w, spec->columns, spec->column_count);
		write_cstr(&w, " FROM rows WHERE ");
		write_cstr(&w,
		    i == 0 ? "\"_key\" >= ?1 AND (?2 IS NULL OR \"_key\" < ?2) ORDER BY \"_key\""
		           : "\"_key\" = ?1");
		if (err == ERR_OK)
			err = prepare(r, &w, i == 0 ? &r->walk : &r->find);
	}
	writer_release(&w);
	return err;
}

/* The file is made before its tables are. */
static enum err check_created(struct store_reader *r)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(r->db, "PRAGMA user_version", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	enum err err = store_error(r->db, rc, "open");
	if (err == ERR_OK && (rc != SQLITE_ROW || sqlite3_column_int(stmt, 0) == 0))
		err = ERR_AGAIN;
	(void)sqlite3_finalize(stmt);
	return err;
}

static enum err open_reader(struct store_reader *r, const struct store_spec *spec)
{
	int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX;
	int rc = sqlite3_open_v2(spec->path, &r->db, flags, vfs_name(spec->vfs));
	if ((rc & 0xff) == SQLITE_CANTOPEN)
		return err_note(ERR_AGAIN, "%s: there is no file yet", spec->path);
	TRY(store_error(r->db, rc, spec->path));
	(void)sqlite3_extended_result_codes(r->db, 1);
	(void)sqlite3_db_config(r->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	rc = sqlite3_exec(r->db,
	    "PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
	    "BEGIN",
	    NULL, NULL, NULL);
	TRY(store_error(r->db, rc, "open"));
	TRY(check_created(r));
	TRY(store_read_head(r->db, &r->head));
	return prepare_rows(r, spec);
}

enum err store_reader_open(const struct store_spec *spec, struct store_reader **ret_reader)
{
	struct store_reader *r = mem_calloc(1, sizeof(*r));
	if (!r)
		return ERR_NOMEM;
	struct plan_column *columns = mem_calloc(spec->column_count + 1u, sizeof(*columns));
	r->values = mem_calloc(spec->column_count + 1u, sizeof(*r->values));
	arena_init(&r->arena, ROW_ARENA_BYTES_MAX);
	writer_init(&r->from, ROW_ARENA_BYTES_MAX);
	writer_init(&r->to, ROW_ARENA_BYTES_MAX);
	r->columns = columns;
	r->column_count = spec->column_count;
	enum err err = columns && r->values ? ERR_OK : ERR_NOMEM;
	if (err == ERR_OK) {
		for (uint32_t i = 0; i < spec->column_count; i++)
			columns[i].type = spec->columns[i].type;
		err = open_reader(r, spec);
	}
	if (err) {
		store_reader_close(r);
		return err;
	}
	*ret_reader = r;
	return ERR_OK;
}

void store_reader_close(struct store_reader *r)
{
	if (!r)
		return;
	(void)sqlite3_finalize(r->walk);
	(void)sqlite3_finalize(r->find);
	int rc = sqlite3_close(r->db);
	ASSERT(rc == SQLITE_OK);
	arena_release(&r->arena);
	writer_release(&r->from);
	writer_release(&r->to);
	mem_free((void *)(uintptr_t)r->columns);
	mem_free(r->values);
	mem_free(r);
}

const struct store_head *store_reader_head(const struct store_reader *r)
{
	return &r->head;
}

void store_reader_interrupt(struct store_reader *r)
{
	sqlite3_interrupt(r->db);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static enum err bind_bound(
    struct store_reader *r, struct writer *copy, struct bytes bound, int index)
{
	writer_clear(copy);
	write_bytes(copy, bound);
	if (copy->err)
		return copy->err;
	const void *p = copy->len > 0 ? (const void *)copy->ptr : "";
	return store_error(
	    r->db, sqlite3_bind_blob64(r->walk, index, p, copy->len, SQLITE_STATIC), "bind");
}

enum err store_rows_begin(struct store_reader *r, struct bytes from, struct bytes to)
{
	(void)sqlite3_reset(r->find);
	(void)sqlite3_reset(r->walk);
	TRY(bind_bound(r, &r->from, from, 1));
	if (to.ptr)
		return bind_bound(r, &r->to, to, 2);
	return store_error(r->db, sqlite3_bind_null(r->walk, 2), "bind");
}

static enum err read_row(struct store_reader *r, sqlite3_stmt *stmt, struct store_row *ret_row)
{
	arena_clear(&r->arena);
	for (uint32_t i = 0; i < r->column_count; i++)
		TRY(cell_read(stmt, (int)i + 4, r->columns[i].type, &r->arena, &r->values[i]));
	const void *key = sqlite3_column_blob(stmt, 0);
	*ret_row = (struct store_row){
	    .key = bytes_of(key ? key : "", (size_t)sqlite3_column_bytes(stmt, 0)),
	    .values = r->values,
	    .first_sequence = (uint64_t)sqlite3_column_int64(stmt, 1),
	    .last_sequence = (uint64_t)sqlite3_column_int64(stmt, 2),
	    .record_count = sqlite3_column_int64(stmt, 3),
	};
	return ERR_OK;
}

enum err store_rows_next(struct store_reader *r, struct store_row *ret_row)
{
	int rc = sqlite3_step(r->walk);
	if (rc == SQLITE_ROW)
		return read_row(r, r->walk, ret_row);
	enum err err = store_error(r->db, rc, "rows");
	(void)sqlite3_reset(r->walk);
	return err ? err : ERR_EOF;
}

enum err store_rows_find(struct store_reader *r, struct bytes key, struct store_row *ret_row)
{
	(void)sqlite3_reset(r->walk);
	(void)sqlite3_reset(r->find);
	const void *p = key.len > 0 ? (const void *)key.ptr : "";
	TRY(store_error(
	    r->db, sqlite3_bind_blob64(r->find, 1, p, key.len, SQLITE_TRANSIENT), "bind"));
	int rc = sqlite3_step(r->find);
	if (rc == SQLITE_ROW)
		return read_row(r, r->find, ret_row);
	enum err err = store_error(r->db, rc, "row");
	return err ? err : ERR_NOT_FOUND;
}

/* ---- dead letters ---------------------------------------------------------------------------- */

static struct str column_str(sqlite3_stmt *stmt, int i)
{
	const char *p = (const char *)sqlite3_column_text(stmt, i);
	return str_from(p ? p : "", (size_t)sqlite3_column_bytes(stmt, i));
}

static struct bytes column_bytes_or_null(sqlite3_stmt *stmt, int i)
{
	if (sqlite3_column_type(stmt, i) == SQLITE_NULL)
		return (struct bytes){NULL, 0};
	const void *p = sqlite3_column_blob(stmt, i);
	return bytes_of(p ? p : "", (size_t)sqlite3_column_bytes(stmt, i));
}

enum err store_dead_letters(
    struct store_reader *r, enum err (*fn)(void *ctx, const struct store_dead_letter *d), void *ctx)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(r->db,
	    "SELECT sequence, pos, topic, partition, \"offset\", operator, reason, message, time, "
	    "key, value"
	    " FROM dead_letters ORDER BY sequence, pos",
	    -1, &stmt, NULL);
	enum err err = store_error(r->db, rc, "dead letters");
	while (err == ERR_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_dead_letter d = {
		    .sequence = (uint64_t)sqlite3_column_int64(stmt, 0),
		    .pos = (uint32_t)sqlite3_column_int64(stmt, 1),
		    .topic = column_str(stmt, 2),
		    .partition = sqlite3_column_int(stmt, 3),
		    .offset = sqlite3_column_int64(stmt, 4),
		    .op = column_str(stmt, 5),
		    .reason = column_str(stmt, 6),
		    .message = column_str(stmt, 7),
		    .time_us = sqlite3_column_int64(stmt, 8),
		    .key = column_bytes_or_null(stmt, 9),
		    .value = column_bytes_or_null(stmt, 10),
		};
		err = fn(ctx, &d);
	}
	if (err == ERR_OK)
		err = store_error(r->db, rc, "dead letters");
	(void)sqlite3_finalize(stmt);
	return err;
}

enum err store_dead_letter_counts(
    struct store_reader *r, void (*fn)(void *ctx, struct str reason, uint64_t count), void *ctx)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(r->db,
	    "SELECT reason, count(*) FROM dead_letters GROUP BY reason ORDER BY reason", -1, &stmt,
	    NULL);
	enum err err = store_error(r->db, rc, "dead letters");
	while (err == ERR_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		fn(ctx, column_str(stmt, 0), (uint64_t)sqlite3_column_int64(stmt, 1));
	if (err == ERR_OK)
		err = store_error(r->db, rc, "dead letters");
	(void)sqlite3_finalize(stmt);
	return err;
}
