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

int cell_bind(sqlite3_stmt *stmt, int index, struct reader *r)
{
	enum cell_tag tag = (enum cell_tag)read_u8(r);
	switch (tag) {
	case CELL_NULL:
		return sqlite3_bind_null(stmt, index);
	case CELL_INT:
		return sqlite3_bind_int64(stmt, index, (sqlite3_int64)read_u64_le(r));
	case CELL_REAL: {
		uint64_t bits = read_u64_le(r);
		double f;
		memcpy(&f, &bits, sizeof(f));
		return sqlite3_bind_double(stmt, index, f);
	}
	case CELL_TEXT:
	case CELL_BLOB: {
		struct bytes b = read_bytes(r, read_u32_le(r));
		const char *p = b.len > 0 ? (const char *)b.ptr : "";
		ASSERT(!r->bad);
		if (tag == CELL_TEXT)
			return sqlite3_bind_text64(
			    stmt, index, p, b.len, SQLITE_STATIC, SQLITE_UTF8);
		return sqlite3_bind_blob64(stmt, index, p, b.len, SQLITE_STATIC);
	}
	}
	ASSERT(!"a cell's tag");
	return SQLITE_MISUSE;
}

static struct str column_bytes(sqlite3_stmt *stmt, int index, int storage)
{
	const void *p = storage == SQLITE_TEXT ? (const void *)sqlite3_column_text(stmt, index)
	                                       : sqlite3_column_blob(stmt, index);
	size_t len = (size_t)sqlite3_column_bytes(stmt, index);
	return str_from(p ? p : "", len);
}

enum err cell_read(
    sqlite3_stmt *stmt, int index, struct type type, struct arena *arena, struct datum *ret_datum)
{
	int storage = sqlite3_column_type(stmt, index);
	struct datum d = {0};
	if (storage == SQLITE_NULL) {
		d.null = true;
	} else if (storage == SQLITE_INTEGER && stored_as_integer(type.id)) {
		int64_t v = sqlite3_column_int64(stmt, index);
		if (type.id == TYPE_BOOL)
			d.b = v != 0;
		else
			d.i = v;
	} else if (storage == SQLITE_FLOAT && (type.id == TYPE_FLOAT4 || type.id == TYPE_FLOAT8)) {
		d.f = sqlite3_column_double(stmt, index);
	} else if (storage == (type.id == TYPE_BYTEA ? SQLITE_BLOB : SQLITE_TEXT) &&
	           stored_as_bytes(type.id)) {
		d.s = column_bytes(stmt, index, storage);
	} else if (storage == SQLITE_TEXT && !stored_as_integer(type.id)) {
		/* the stored text was rounded to the column's type already */
		struct type plain = {type.id, 0, 0};
		if (datum_from_text(arena, plain, column_bytes(stmt, index, storage), &d) != ERR_OK)
			return err_note(
			    ERR_CORRUPT, "a stored value is not of type %s", type_name(type.id));
	} else {
		return err_note(
		    ERR_CORRUPT, "a stored value is not of type %s", type_name(type.id));
	}
	*ret_datum = d;
	return ERR_OK;
}
