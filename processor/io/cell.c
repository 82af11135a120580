/* SPDX-License-Identifier: Apache-2.0 */
/* SQL values in SQLite, see cell.h. */
#include "processor/io/cell.h"
#include <math.h>

enum cell_tag { CELL_NULL, CELL_INT, CELL_REAL, CELL_TEXT, CELL_BLOB };

static bool stored_as_integer(enum type_id id)
{
	return id == TYPE_BOOL || id == TYPE_INT2 || id == TYPE_INT4 || id == TYPE_INT8 ||
	       id == TYPE_TIMESTAMP || id == TYPE_TIMESTAMPTZ;
}

static bool stored_as_bytes(enum type_id id)
{
	return id == TYPE_TEXT || id == TYPE_JSONB || id == TYPE_BYTEA;
}

void cell_declare(struct writer *w, struct type type)
{
	if (stored_as_integer(type.id))
		write_cstr(w, "INTEGER");
	else if (type.id == TYPE_BYTEA)
		write_cstr(w, "BLOB");
	else if (type.id != TYPE_FLOAT4 && type.id != TYPE_FLOAT8) /* REAL affinity would lose -0 */
		write_cstr(w, "TEXT");
	write_printf(w, " /* %s", type_name(type.id));
	if (type.id == TYPE_NUMERIC && type.precision > 0)
		write_printf(w, "(%d,%d)", type.precision, type.scale);
	if (type.id == TYPE_TIMESTAMP || type.id == TYPE_TIMESTAMPTZ)
		write_cstr(w, ", microseconds since 1970-01-01");
	write_cstr(w, " */");
}

static void write_slice(struct writer *w, enum cell_tag tag, struct bytes b)
{
	write_u8(w, (uint8_t)tag);
	write_u32_le(w, (uint32_t)b.len);
	write_bytes(w, b);
}

void cell_write_null(struct writer *w)
{
	write_u8(w, CELL_NULL);
}

void cell_write_int(struct writer *w, int64_t v)
{
	uint8_t *p = writer_reserve(w, 9);
	if (!p)
		return;
	p[0] = CELL_INT;
	put_u64_le(p + 1, (uint64_t)v);
}

void cell_write_text(struct writer *w, struct str s)
{
	if (s.ptr)
		write_slice(w, CELL_TEXT, str_bytes(s));
	else
		cell_write_null(w);
}

void cell_write_blob(struct writer *w, struct bytes b)
{
	if (b.ptr)
		write_slice(w, CELL_BLOB, b);
	else
		cell_write_null(w);
}

/* The type's text, with the length patched in afterwards. */
static void write_as_text(struct writer *w, enum type_id type, struct datum d)
{
	write_u8(w, CELL_TEXT);
	size_t at = w->len;
	write_u32_le(w, 0);
	datum_to_text(w, type, d);
	if (w->err == ERR_OK)
		put_u32_le(w->ptr + at, (uint32_t)(w->len - at - 4));
}

static void write_real(struct writer *w, double f)
{
	uint64_t bits;
	if (isnan(f)) {
		cell_write_text(w, STR("NaN"));
		return;
	}
	memcpy(&bits, &f, sizeof(bits));
	write_u8(w, CELL_REAL);
	write_u64_le(w, bits);
}

void cell_write(struct writer *w, enum type_id type, struct datum d)
{
	if (d.null)
		cell_write_null(w);
	else if (type == TYPE_BOOL)
		cell_write_int(w, d.b);
	else if (stored_as_integer(type))
		cell_write_int(w, d.i);
	else if (stored_as_bytes(type))
		write_slice(w, type == TYPE_BYTEA ? CELL_BLOB : CELL_TEXT, str_bytes(d.s));
	else if (type == TYPE_FLOAT4 || type == TYPE_FLOAT8)
		write_real(w, d.f);
	else
		write_as_text(w, type, d);
}

/* A value as it is stored. */
struct cell {
	enum cell_tag tag;
	int64_t i;
	double f;
	struct str s;
};

static bool next_cell(struct reader *r, struct cell *ret_cell)
{
	struct cell c = {.tag = (enum cell_tag)read_u8(r)};
	if (c.tag == CELL_INT) {
		c.i = (int64_t)read_u64_le(r);
	} else if (c.tag == CELL_REAL) {
		uint64_t bits = read_u64_le(r);
		memcpy(&c.f, &bits, sizeof(c.f));
	} else if (c.tag == CELL_TEXT || c.tag == CELL_BLOB) {
		struct bytes b = read_bytes(r, read_u32_le(r));
		c.s = str_from(b.len > 0 ? (const char *)b.ptr : "", b.len);
	} else if (c.tag != CELL_NULL) {
		return false;
	}
	*ret_cell = c;
	return !r->bad;
}

int cell_bind(sqlite3_stmt *stmt, int index, struct reader *r)
{
	struct cell c;
	if (!next_cell(r, &c)) {
		ASSERT(!"a cell");
		return SQLITE_MISUSE;
	}
	switch (c.tag) {
	case CELL_INT:
		return sqlite3_bind_int64(stmt, index, (sqlite3_int64)c.i);
	case CELL_REAL:
		return sqlite3_bind_double(stmt, index, c.f);
	case CELL_TEXT:
		return sqlite3_bind_text64(
		    stmt, index, c.s.ptr, c.s.len, SQLITE_STATIC, SQLITE_UTF8);
	case CELL_BLOB:
		return sqlite3_bind_blob64(stmt, index, c.s.ptr, c.s.len, SQLITE_STATIC);
	case CELL_NULL:
		break;
	}
	return sqlite3_bind_null(stmt, index);
}

static enum err cell_value(
    const struct cell *c, struct type type, struct arena *arena, struct datum *ret_datum)
{
	struct datum d = {0};
	if (c->tag == CELL_NULL) {
		d.null = true;
	} else if (c->tag == CELL_INT && stored_as_integer(type.id)) {
		if (type.id == TYPE_BOOL)
			d.b = c->i != 0;
		else
			d.i = c->i;
	} else if (c->tag == CELL_REAL && (type.id == TYPE_FLOAT4 || type.id == TYPE_FLOAT8)) {
		d.f = c->f;
	} else if (c->tag == (type.id == TYPE_BYTEA ? CELL_BLOB : CELL_TEXT) &&
	           stored_as_bytes(type.id)) {
		d.s = c->s;
	} else if (c->tag == CELL_TEXT && !stored_as_integer(type.id)) {
		/* the stored text was rounded to the column's type already */
		struct type plain = {type.id, 0, 0};
		if (datum_from_text(arena, plain, c->s, &d) != ERR_OK)
			return err_note(
			    ERR_CORRUPT, "a stored value is not of type %s", type_name(type.id));
	} else {
		return err_note(
		    ERR_CORRUPT, "a stored value is not of type %s", type_name(type.id));
	}
	*ret_datum = d;
	return ERR_OK;
}

enum err cell_take(struct reader *r, struct type type, struct arena *arena, struct datum *ret_datum)
{
	struct cell c;
	if (!next_cell(r, &c))
		return err_note(ERR_CORRUPT, "a row that waits for a checkpoint ends early");
	return cell_value(&c, type, arena, ret_datum);
}

enum err cell_read(
    sqlite3_stmt *stmt, int index, struct type type, struct arena *arena, struct datum *ret_datum)
{
	struct cell c = {.tag = CELL_NULL};
	int storage = sqlite3_column_type(stmt, index);
	if (storage == SQLITE_INTEGER) {
		c.tag = CELL_INT;
		c.i = sqlite3_column_int64(stmt, index);
	} else if (storage == SQLITE_FLOAT) {
		c.tag = CELL_REAL;
		c.f = sqlite3_column_double(stmt, index);
	} else if (storage != SQLITE_NULL) {
		c.tag = storage == SQLITE_TEXT ? CELL_TEXT : CELL_BLOB;
		const void *p = storage == SQLITE_TEXT
		                    ? (const void *)sqlite3_column_text(stmt, index)
		                    : sqlite3_column_blob(stmt, index);
		c.s = str_from(p ? p : "", (size_t)sqlite3_column_bytes(stmt, index));
	}
	return cell_value(&c, type, arena, ret_datum);
}
