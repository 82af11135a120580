/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writer's side of a view file, see store.h.
 *
 * States of the connection: IDLE -> (lookup) READING -> IDLE -> store_begin WRITING -> store_commit
 * IDLE. READING is a read transaction that is kept open over many lookups; it ends before a write
 * begins, so that the writer never reads an older state than it has committed.
 */
#include "processor/io/store.h"
#include "processor/io/cell.h"
#include "processor/io/state_file.h"
#include "processor/io/store_schema.h"
#include <stdio.h>

enum store_state { STORE_IDLE, STORE_READING, STORE_WRITING };

struct store {
	struct store_spec spec;
	sqlite3 *db;
	enum store_state state;
	struct store_head head;
	struct op_store ops;
	struct state_file *states; /* from store_prepare on */
	sqlite3_stmt *row_put, *row_del, *dead_put, *position_put, *head_put;
};

enum err store_error(sqlite3 *db, int rc, const char *what)
{
	int extended = db ? sqlite3_extended_errcode(db) : rc;
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return ERR_OK;
	case SQLITE_NOMEM:
		return ERR_NOMEM;
	case SQLITE_FULL:
		return err_note(ERR_NOSPACE, "view file: %s", what);
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_note(ERR_LOCKED, "view file: %s: another program writes to it", what);
	case SQLITE_INTERRUPT:
		return err_note(ERR_CANCELLED, "view file: %s", what);
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_ERROR: /* a statement that does not fit the schema: not a file of ours */
	case SQLITE_SCHEMA:
	case SQLITE_MISMATCH:
	case SQLITE_CONSTRAINT:
		return err_note(ERR_CORRUPT, "view file: %s: %s", what,
		    db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	default:
		if (extended == SQLITE_IOERR_DATA || rc == SQLITE_IOERR_DATA)
			return err_note(ERR_CORRUPT, "view file: %s: a page does not verify", what);
		return err_note(ERR_IO, "view file: %s: %s", what,
		    db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
	}
}

static enum err run(struct store *s, const char *sql)
{
	return store_error(s->db, sqlite3_exec(s->db, sql, NULL, NULL, NULL), sql);
}

static enum err prepare(struct store *s, struct writer *sql, sqlite3_stmt **ret_stmt)
{
	if (sql->err)
		return sql->err;
	int rc = sqlite3_prepare_v3(s->db, (const char *)sql->ptr, (int)sql->len,
	    SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);
	writer_clear(sql);
	return store_error(s->db, rc, "prepare");
}

/* Runs a statement that returns no row. */
static enum err step_done(struct store *s, sqlite3_stmt *stmt, const char *what)
{
	int rc = sqlite3_step(stmt);
	enum err err = store_error(s->db, rc, what);
	(void)sqlite3_reset(stmt);
	return err;
}

/* ---- operator state -------------------------------------------------------------------------- */

static enum err begin_reading(struct store *s)
{
	if (s->state != STORE_IDLE)
		return ERR_OK;
	TRY(run(s, "BEGIN"));
	s->state = STORE_READING;
	return ERR_OK;
}

static enum err end_reading(struct store *s)
{
	if (s->state != STORE_READING)
		return ERR_OK;
	s->state = STORE_IDLE;
	return run(s, "COMMIT");
}

static struct bytes column_blob(sqlite3_stmt *stmt, int column)
{
	const void *p = sqlite3_column_blob(stmt, column);
	return bytes_of(p ? p : "", (size_t)sqlite3_column_bytes(stmt, column));
}

static int bind_blob(sqlite3_stmt *stmt, int index, struct bytes b)
{
	return sqlite3_bind_blob64(
	    stmt, index, b.len > 0 ? (const void *)b.ptr : "", b.len, SQLITE_STATIC);
}

static enum err state_lookup(
    void *ctx, uint32_t state_id, struct bytes key, struct bytes *ret_value)
{
	struct store *s = ctx;
	TRY(begin_reading(s));
	return state_file_lookup(s->states, state_id, key, ret_value);
}

static enum err state_scan(
    void *ctx, uint32_t state_id, struct bytes prefix, op_scan_fn fn, void *fn_ctx)
{
	struct store *s = ctx;
	TRY(begin_reading(s));
	return state_file_scan(s->states, state_id, prefix, fn, fn_ctx);
}

static enum err state_put(void *ctx, uint32_t state_id, struct bytes key, struct bytes value)
{
	struct store *s = ctx;
	ASSERT(s->state == STORE_WRITING);
	return state_file_put(s->states, state_id, key, value);
}

static enum err state_del(void *ctx, uint32_t state_id, struct bytes key)
{
	struct store *s = ctx;
	ASSERT(s->state == STORE_WRITING);
	return state_file_del(s->states, state_id, key);
}

const struct op_store *store_ops(struct store *s)
{
	return &s->ops;
}

/* ---- statements ------------------------------------------------------------------------------ */

static enum err prepare_rows(struct store *s, struct writer *w)
{
	write_cstr(w, "REPLACE INTO rows VALUES (?");
	for (uint32_t i = 0; i < s->spec.column_count + 4; i++)
		write_cstr(w, ", ?");
	write_cstr(w, ")");
	TRY(prepare(s, w, &s->row_put));
	write_cstr(w, "DELETE FROM rows WHERE \"_key\" = ?1");
	TRY(prepare(s, w, &s->row_del));
	write_cstr(w, "REPLACE INTO dead_letters VALUES (?,?,?,?,?,?,?,?,?,?,?)");
	TRY(prepare(s, w, &s->dead_put));
	write_cstr(w, "REPLACE INTO positions VALUES (?1, ?2, ?3)");
	TRY(prepare(s, w, &s->position_put));
	write_cstr(w, "UPDATE head SET checkpoint=?1, sequence=?2, time_ns=?3, records=?4, "
	              "dead_letters=?5, rows=?6,"
	              " input_bytes=?7, ready=?8");
	return prepare(s, w, &s->head_put);
}

enum err store_prepare(struct store *s, int32_t row_state)
{
	struct writer w;
	uint32_t table_count = s->spec.state_count * 2;
	ASSERT(!s->states);
	TRY(end_reading(s));
	TRY(schema_create_state(s->db, table_count, row_state));
	writer_init(&w, MIB);
	enum err err = prepare_rows(s, &w);
	writer_release(&w);
	TRY(err);
	return state_file_new(s->db, table_count, row_state, &s->states);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static const char *const open_pragmas[] = {
    "PRAGMA page_size = 4096",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA secure_delete = OFF",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA wal_autocheckpoint = 0",
    "PRAGMA synchronous = NORMAL",
};

static enum err open_connection(struct store *s)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int reserved = VFS_RESERVED_BYTES;
	int rc = sqlite3_open_v2(s->spec.path, &s->db, flags, vfs_name(s->spec.vfs));
	TRY(store_error(s->db, rc, s->spec.path));
	(void)sqlite3_extended_result_codes(s->db, 1);
	rc = sqlite3_file_control(s->db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
	TRY(store_error(s->db, rc, "reserve bytes"));
	for (size_t i = 0; i < sizeof(open_pragmas) / sizeof(open_pragmas[0]); i++)
		TRY(run(s, open_pragmas[i]));
	char cache[64];
	size_t bytes = s->spec.cache_bytes ? s->spec.cache_bytes : 16 * MIB;
	(void)snprintf(cache, sizeof(cache), "PRAGMA cache_size = -%zu", bytes / KIB);
	TRY(run(s, cache));
	return run(s, "PRAGMA journal_mode = WAL");
}

static void set_stamp(struct store *s, uint64_t stamp)
{
	(void)sqlite3_file_control(s->db, "main", VFS_FCNTL_STAMP, &stamp);
}

/* Checks the pages, opens, and reads what the file says of itself. */
static enum err open_file(struct store *s)
{
	struct vfs_verdict verdict = {0};
	enum err err = vfs_verify(s->spec.io, s->spec.path, &verdict);
	if (err && err != ERR_NOT_FOUND)
		return err;
	if (err)
		err_clear();
	TRY(open_connection(s));
	TRY(schema_open(s->db, &s->spec));
	TRY(store_read_head(s->db, &s->head));
	if (verdict.max_stamp > s->head.checkpoint)
		return err_note(ERR_CORRUPT,
		    "%s: holds pages of checkpoint %llu, but its log ends at %llu", s->spec.path,
		    (unsigned long long)verdict.max_stamp, (unsigned long long)s->head.checkpoint);
	set_stamp(s, s->head.checkpoint);
	return ERR_OK;
}

enum err store_open(const struct store_spec *spec, struct store **ret_store)
{
	struct store *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->spec = *spec;
	s->ops = (struct op_store){.ctx = s,
	    .lookup = state_lookup,
	    .scan = state_scan,
	    .put = state_put,
	    .del = state_del};
	enum err err = open_file(s);
	if (err) {
		store_close(s);
		return err;
	}
	*ret_store = s;
	return ERR_OK;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->state == STORE_WRITING)
		store_rollback(s);
	else if (s->db && end_reading(s) != ERR_OK)
		err_clear();
	state_file_free(s->states);
	(void)sqlite3_finalize(s->row_put);
	(void)sqlite3_finalize(s->row_del);
	(void)sqlite3_finalize(s->dead_put);
	(void)sqlite3_finalize(s->position_put);
	(void)sqlite3_finalize(s->head_put);
	int rc = sqlite3_close(s->db);
	ASSERT(rc == SQLITE_OK);
	mem_free(s);
}

enum err store_remove(struct io *io, const char *path)
{
	static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
	enum err first = ERR_OK;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		char name[1200];
		if (snprintf(name, sizeof(name), "%s%s", path, suffixes[i]) >= (int)sizeof(name))
			return err_note(ERR_INVALID, "%s: path too long", path);
		enum err err = io_unlink(io, name);
		if (err && err != ERR_NOT_FOUND && first == ERR_OK)
			first = err;
	}
	if (first == ERR_OK)
		err_clear();
	return first;
}

const struct store_head *store_head(const struct store *s)
{
	return &s->head;
}

enum err store_positions(
    struct store *s, enum err (*fn)(void *ctx, const struct store_position *p), void *ctx)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(
	    s->db, "SELECT topic, partition, next_offset FROM positions", -1, &stmt, NULL);
	enum err err = store_error(s->db, rc, "positions");
	while (err == ERR_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		struct store_position p = {.partition = sqlite3_column_int(stmt, 1),
		    .next_offset = sqlite3_column_int64(stmt, 2)};
		struct bytes id = column_blob(stmt, 0);
		if (id.len != sizeof(p.topic_id.b)) {
			err = err_note(ERR_CORRUPT, "view file: a topic id has %zu bytes", id.len);
			break;
		}
		memcpy(p.topic_id.b, id.ptr, id.len);
		err = fn(ctx, &p);
	}
	if (err == ERR_OK)
		err = store_error(s->db, rc, "positions");
	(void)sqlite3_finalize(stmt);
	return err;
}

/* ---- transactions ---------------------------------------------------------------------------- */

enum err store_begin(struct store *s)
{
	ASSERT(s->state != STORE_WRITING && s->states);
	TRY(end_reading(s));
	TRY(run(s, "BEGIN IMMEDIATE"));
	s->state = STORE_WRITING;
	return ERR_OK;
}

static enum err put_entry(
    struct store *s, const struct dirty *d, const struct dirty_entry *e, sqlite3_stmt *stmt)
{
	struct reader r = reader_of(dirty_cells(d, e));
	TRY(store_error(s->db, bind_blob(stmt, 1, dirty_key(d, e)), "bind"));
	for (int index = 2; reader_left(&r) > 0; index++)
		TRY(store_error(s->db, cell_bind(stmt, index, &r), "bind"));
	return step_done(s, stmt, "row");
}

enum err store_put_rows(struct store *s, struct dirty *d)
{
	ASSERT(s->state == STORE_WRITING);
	dirty_sort(d);
	for (size_t i = 0; i < d->count; i++) {
		const struct dirty_entry *e = &d->entries[i];
		if (!dirty_deleted(e)) {
			TRY(put_entry(s, d, e, s->row_put));
			continue;
		}
		TRY(store_error(s->db, bind_blob(s->row_del, 1, dirty_key(d, e)), "bind"));
		TRY(step_done(s, s->row_del, "row"));
	}
	return ERR_OK;
}

void store_dead_letter_key(uint8_t key[STORE_DEAD_LETTER_KEY], uint64_t sequence, uint32_t pos)
{
	put_u64_be(key, sequence);
	put_u32_be(key + 8, pos);
}

enum err store_put_dead_letters(struct store *s, struct dirty *d)
{
	ASSERT(s->state == STORE_WRITING);
	dirty_sort(d);
	for (size_t i = 0; i < d->count; i++) {
		const struct dirty_entry *e = &d->entries[i];
		struct bytes key = dirty_key(d, e);
		struct reader r = reader_of(dirty_cells(d, e));
		ASSERT(key.len == STORE_DEAD_LETTER_KEY && !dirty_deleted(e));
		sqlite3_stmt *stmt = s->dead_put;
		TRY(store_error(s->db,
		    sqlite3_bind_int64(stmt, 1, (sqlite3_int64)get_u64_be(key.ptr)), "bind"));
		TRY(store_error(
		    s->db, sqlite3_bind_int64(stmt, 2, get_u32_be(key.ptr + 8)), "bind"));
		for (int index = 3; reader_left(&r) > 0; index++)
			TRY(store_error(s->db, cell_bind(stmt, index, &r), "bind"));
		TRY(step_done(s, stmt, "dead letter"));
	}
	return ERR_OK;
}

enum err store_put_position(struct store *s, const struct store_position *p)
{
	ASSERT(s->state == STORE_WRITING);
	sqlite3_stmt *stmt = s->position_put;
	TRY(store_error(
	    s->db, bind_blob(stmt, 1, bytes_of(p->topic_id.b, sizeof(p->topic_id.b))), "bind"));
	TRY(store_error(s->db, sqlite3_bind_int64(stmt, 2, p->partition), "bind"));
	TRY(store_error(s->db, sqlite3_bind_int64(stmt, 3, p->next_offset), "bind"));
	return step_done(s, stmt, "position");
}

static enum err put_head(struct store *s, const struct store_head *h)
{
	const int64_t values[] = {(int64_t)h->checkpoint, (int64_t)h->sequence, h->time_ns,
	    (int64_t)h->records, (int64_t)h->dead_letters, (int64_t)h->rows,
	    (int64_t)h->input_bytes, h->ready};
	for (int i = 0; i < (int)(sizeof(values) / sizeof(values[0])); i++)
		TRY(store_error(s->db, sqlite3_bind_int64(s->head_put, i + 1, values[i]), "bind"));
	return step_done(s, s->head_put, "head");
}

enum err store_commit(struct store *s, const struct store_head *head)
{
	ASSERT(s->state == STORE_WRITING);
	struct store_head h = *head;
	h.checkpoint = s->head.checkpoint + 1;
	TRY(state_file_flush(s->states));
	TRY(put_head(s, &h));
	TRY(run(s, "COMMIT"));
	s->state = STORE_IDLE;
	s->head = h;
	set_stamp(s, h.checkpoint); /* pages copied out from now on may hold this checkpoint */
	return ERR_OK;
}

void store_rollback(struct store *s)
{
	if (s->state != STORE_WRITING)
		return;
	s->state = STORE_IDLE;
	state_file_drop(s->states);
	if (!sqlite3_get_autocommit(s->db) && run(s, "ROLLBACK") != ERR_OK)
		err_clear();
}

enum err store_set_durable(struct store *s, bool full)
{
	ASSERT(s->state != STORE_WRITING);
	TRY(end_reading(s));
	return run(s, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

enum err store_trim(struct store *s, size_t bytes, bool *ret_pinned)
{
	ASSERT(s->state != STORE_WRITING);
	struct io_stat st;
	char wal[1200];
	*ret_pinned = false;
	if (snprintf(wal, sizeof(wal), "%s-wal", s->spec.path) >= (int)sizeof(wal))
		return err_note(ERR_INVALID, "%s: path too long", s->spec.path);
	enum err err = io_stat(s->spec.io, wal, &st);
	if (err == ERR_NOT_FOUND || (err == ERR_OK && st.size_bytes <= bytes)) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	TRY(end_reading(s));
	int frames = 0, copied = 0;
	int rc =
	    sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_RESTART, &frames, &copied);
	if (rc == SQLITE_BUSY || copied < frames) {
		*ret_pinned = true;
		return ERR_OK;
	}
	return store_error(s->db, rc, "checkpoint of the write-ahead log");
}
