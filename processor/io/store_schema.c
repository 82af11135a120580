/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schema of a view file, see store.h. People read these files with sqlite3: names are plain words,
 * SQL types stand beside the columns as comments, and hidden columns start with an underscore.
 */
#include "processor/io/store_schema.h"
#include "processor/io/cell.h"
#include <ctype.h>
#include <stdio.h>

enum { APPLICATION_ID = 0x6b617070, SCHEMA_SQL_MAX = 1 << 20 }; /* "kapp" */

static const char fixed_tables[] =
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE head(checkpoint INTEGER, sequence INTEGER, time_ns INTEGER, records INTEGER,"
    " dead_letters INTEGER, rows INTEGER, input_bytes INTEGER, ready INTEGER);"
    "INSERT INTO head VALUES(0,0,0,0,0,0,0,0);"
    "CREATE TABLE positions(topic BLOB, partition INTEGER, next_offset INTEGER,"
    " PRIMARY KEY(topic, partition)) WITHOUT ROWID;"
    "CREATE TABLE dead_letters(sequence INTEGER, pos INTEGER, topic TEXT, partition INTEGER, "
    "\"offset\" INTEGER,"
    " operator TEXT, reason TEXT, message TEXT, time /* append time, microseconds since 1970-01-01 "
    "*/ INTEGER,"
    " key BLOB, value BLOB, PRIMARY KEY(sequence, pos)) WITHOUT ROWID;";

static bool same_name(struct str a, struct str b)
{
	return a.len == b.len && strncasecmp(a.ptr, b.ptr, a.len) == 0;
}

static bool is_hidden_name(struct str name)
{
	static const char *const hidden[] = {
	    "_key", "_first_sequence", "_last_sequence", "_record_count", "_state"};
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++)
		if (same_name(name, str_of(hidden[i])))
			return true;
	return false;
}

/* SQLite's names do not tell case apart: a second one gets its column number behind it. */
static void write_name(struct writer *w, const struct plan_column *columns, uint32_t index)
{
	struct str name = columns[index].name;
	bool taken = is_hidden_name(name) || name.len == 0;
	for (uint32_t i = 0; i < index && !taken; i++)
		taken = same_name(columns[i].name, name);
	write_u8(w, '"');
	for (size_t i = 0; i < name.len; i++) {
		if (name.ptr[i] == '"')
			write_u8(w, '"');
		write_u8(w, (uint8_t)name.ptr[i]);
	}
	if (taken)
		write_printf(w, ".%u", index + 1);
	write_u8(w, '"');
}

enum err store_column_list(struct writer *w, const struct plan_column *columns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			write_cstr(w, ", ");
		write_name(w, columns, i);
	}
	return w->err;
}

static enum err exec(sqlite3 *db, struct writer *sql)
{
	write_u8(sql, 0);
	if (sql->err)
		return sql->err;
	enum err err = store_error(
	    db, sqlite3_exec(db, (const char *)sql->ptr, NULL, NULL, NULL), "create tables");
	writer_clear(sql);
	return err;
}

static void write_rows_table(struct writer *w, const struct store_spec *spec)
{
	write_cstr(w, "CREATE TABLE rows(\"_key\" BLOB PRIMARY KEY");
	for (uint32_t i = 0; i < spec->column_count; i++) {
		write_cstr(w, ",\n  ");
		write_name(w, spec->columns, i);
		write_u8(w, ' ');
		cell_declare(w, spec->columns[i].type);
	}
	write_cstr(w, ",\n  \"_first_sequence\" INTEGER, \"_last_sequence\" INTEGER, "
	              "\"_record_count\" INTEGER,"
	              " \"_state\" BLOB) WITHOUT ROWID;");
}

/* ---- meta ------------------------------------------------------------------------------------ */

struct meta {
	const char *name;
	char value[80];
};
enum { META_COUNT = 5 };

static void hex(char *out, const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
}

/* What identifies the file besides the view's name, which may be longer. */
static void meta_fill(struct meta m[META_COUNT], const struct store_spec *spec)
{
	m[0].name = "format";
	(void)snprintf(m[0].value, sizeof(m[0].value), "%d", STORE_FORMAT);
	m[1].name = "version";
	(void)snprintf(m[1].value, sizeof(m[1].value), "%d", spec->version);
	m[2].name = "logic";
	hex(m[2].value, spec->logic, 32);
	m[3].name = "input";
	(void)snprintf(
	    m[3].value, sizeof(m[3].value), "%016llx", (unsigned long long)spec->input_hash);
	m[4].name = "kappa";
	(void)snprintf(m[4].value, sizeof(m[4].value), "%s", KAPPA_VERSION);
}

static enum err meta_put(sqlite3 *db, const char *name, struct str value)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, "INSERT INTO meta VALUES(?1, ?2)", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text64(stmt, 2, value.ptr, value.len, SQLITE_STATIC, SQLITE_UTF8);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	enum err err = store_error(db, rc, "meta");
	(void)sqlite3_finalize(stmt);
	return err;
}

static enum err meta_check(sqlite3 *db, const char *name, struct str expected)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, "SELECT value FROM meta WHERE name = ?1", -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	enum err err = store_error(db, rc, "meta");
	if (err == ERR_OK) {
		const char *found =
		    rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
		if (!found || !str_equal(str_of(found), expected))
			err = err_note(ERR_CORRUPT, "view file: its %s is '%s', not '" STR_FMT "'",
			    name, found ? found : "missing", STR_ARG(expected));
	}
	(void)sqlite3_finalize(stmt);
	return err;
}

static enum err create(sqlite3 *db, const struct store_spec *spec)
{
	struct writer w;
	struct meta m[META_COUNT];
	writer_init(&w, SCHEMA_SQL_MAX);
	write_printf(&w, "BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d; %s",
	    APPLICATION_ID, STORE_FORMAT, fixed_tables);
	write_rows_table(&w, spec);
	enum err err = exec(db, &w);
	writer_release(&w);
	meta_fill(m, spec);
	for (size_t i = 0; err == ERR_OK && i < META_COUNT; i++)
		err = meta_put(db, m[i].name, str_of(m[i].value));
	if (err == ERR_OK)
		err = meta_put(db, "view", spec->view);
	if (err == ERR_OK)
		err = store_error(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), "create");
	return err;
}

static enum err read_pragma(sqlite3 *db, const char *sql, int *ret_value)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	enum err err = store_error(db, rc, sql);
	if (err == ERR_OK)
		*ret_value = rc == SQLITE_ROW ? sqlite3_column_int(stmt, 0) : 0;
	(void)sqlite3_finalize(stmt);
	return err;
}

enum err schema_open(sqlite3 *db, const struct store_spec *spec)
{
	int application = 0, format = 0;
	struct meta m[META_COUNT];
	TRY(read_pragma(db, "PRAGMA application_id", &application));
	TRY(read_pragma(db, "PRAGMA user_version", &format));
	if (application == 0 && format == 0)
		return create(db, spec);
	if (application != APPLICATION_ID)
		return err_note(ERR_CORRUPT, "%s: not a view file", spec->path);
	if (format > STORE_FORMAT)
		return err_note(ERR_NEWER_FORMAT, "%s: view file format %d, this program knows %d",
		    spec->path, format, STORE_FORMAT);
	meta_fill(m, spec);
	for (size_t i = 0; i < META_COUNT - 1; i++) /* the writing program's version may differ */
		TRY(meta_check(db, m[i].name, str_of(m[i].value)));
	return meta_check(db, "view", spec->view);
}

enum err schema_create_state(sqlite3 *db, uint32_t count, int32_t row_state)
{
	struct writer w;
	writer_init(&w, SCHEMA_SQL_MAX);
	for (uint32_t i = 0; i < count; i++)
		if ((int32_t)i != row_state)
			write_printf(&w,
			    "CREATE TABLE IF NOT EXISTS state_%u(bound BLOB PRIMARY KEY, page BLOB)"
			    " WITHOUT ROWID;",
			    i);
	enum err err = exec(db, &w);
	writer_release(&w);
	return err;
}

enum err store_read_head(sqlite3 *db, struct store_head *ret_head)
{
	sqlite3_stmt *stmt;
	int rc = sqlite3_prepare_v2(db,
	    "SELECT checkpoint, sequence, time_ns, records, dead_letters, rows, input_bytes, ready "
	    "FROM head",
	    -1, &stmt, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(stmt);
	enum err err = store_error(db, rc, "head");
	if (err == ERR_OK && rc != SQLITE_ROW)
		err = err_note(ERR_CORRUPT, "view file: no head");
	if (err == ERR_OK)
		*ret_head =
		    (struct store_head){.checkpoint = (uint64_t)sqlite3_column_int64(stmt, 0),
		        .sequence = (uint64_t)sqlite3_column_int64(stmt, 1),
		        .time_ns = sqlite3_column_int64(stmt, 2),
		        .records = (uint64_t)sqlite3_column_int64(stmt, 3),
		        .dead_letters = (uint64_t)sqlite3_column_int64(stmt, 4),
		        .rows = (uint64_t)sqlite3_column_int64(stmt, 5),
		        .input_bytes = (uint64_t)sqlite3_column_int64(stmt, 6),
		        .ready = sqlite3_column_int(stmt, 7) != 0};
	(void)sqlite3_finalize(stmt);
	return err;
}
