/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Result text: values, rows and whole results as CSV (RFC 4180), NDJSON and aligned tables.
 * interface.md "Outputs that programs read" is the specification; test/processor/format_test.c
 * quotes it.
 */
#include "processor/op/datetime.h"
#include "processor/processor.h"
#include <math.h>

/* ---- values ---------------------------------------------------------------------------------- */

static void write_two(struct writer *w, int value)
{
	uint8_t *p = writer_reserve(w, 2);
	if (!p)
		return;
	p[0] = (uint8_t)('0' + value / 10);
	p[1] = (uint8_t)('0' + value % 10);
}

static void write_date(struct writer *w, const struct civil *c)
{
	/* ISO 8601: year 0 is 1 BC; at least four digits */
	write_printf(
	    w, c->year < 0 ? "-%04lld-" : "%04lld-", (long long)(c->year < 0 ? -c->year : c->year));
	write_two(w, c->month);
	write_u8(w, '-');
	write_two(w, c->day);
}

static void write_time(struct writer *w, enum type_id type, int64_t v)
{
	if (time_is_infinite(v)) {
		write_cstr(w, v == TIME_POS_INFINITY ? "infinity" : "-infinity");
		return;
	}
	struct civil c = type == TYPE_DATE ? civil_of_days(v) : civil_of_timestamp(v);
	write_date(w, &c);
	if (type == TYPE_DATE)
		return;
	write_u8(w, 'T');
	write_two(w, c.hour);
	write_u8(w, ':');
	write_two(w, c.minute);
	write_u8(w, ':');
	write_two(w, c.second);
	write_printf(w, ".%06d", c.us);
	if (type == TYPE_TIMESTAMPTZ)
		write_u8(w, 'Z');
}

static void write_interval_part(struct writer *w, int64_t value, char unit)
{
	if (value != 0)
		write_printf(w, "%lld%c", (long long)value, unit);
}

/* PnYnMnDTnHnMn.nS, each part with its own sign, as PostgreSQL's iso_8601 style. */
static void write_interval(struct writer *w, struct interval iv)
{
	if (iv.us == 0 && iv.days == 0 && iv.months == 0) {
		write_cstr(w, "PT0S");
		return;
	}
	write_u8(w, 'P');
	write_interval_part(w, iv.months / 12, 'Y');
	write_interval_part(w, iv.months % 12, 'M');
	write_interval_part(w, iv.days, 'D');
	if (iv.us == 0)
		return;
	write_u8(w, 'T');
	write_interval_part(w, iv.us / US_PER_HOUR, 'H');
	write_interval_part(w, iv.us % US_PER_HOUR / US_PER_MINUTE, 'M');
	int64_t us = iv.us % US_PER_MINUTE;
	if (us == 0)
		return;
	int64_t fraction = us % US_PER_SECOND;
	if (us < 0)
		write_u8(w, '-');
	write_printf(w, "%lld", (long long)(us < 0 ? -(us / US_PER_SECOND) : us / US_PER_SECOND));
	if (fraction != 0) {
		write_printf(w, ".%06lld", (long long)(fraction < 0 ? -fraction : fraction));
		while (w->len > 0 && w->ptr[w->len - 1] == '0')
			w->len--;
	}
	write_u8(w, 'S');
}

void proc_write_csv_field(struct writer *w, struct type type, struct datum d)
{
	if (d.null)
		return;
	if (type.id == TYPE_BOOL)
		write_cstr(w, d.b ? "true" : "false");
	else if (type.id == TYPE_TIMESTAMPTZ || type.id == TYPE_TIMESTAMP || type.id == TYPE_DATE)
		write_time(w, type.id, d.i);
	else if (type.id == TYPE_INTERVAL)
		write_interval(w, d.iv);
	else if (type.id == TYPE_TEXT || type.id == TYPE_JSONB)
		write_str(w, d.s);
	else
		datum_to_text(w, type.id, d);
}

/* JSON text on one line: line breaks in it are white space, never part of a string. */
static void write_jsonb(struct writer *w, struct str text)
{
	uint8_t *p = writer_reserve(w, text.len);
	for (size_t i = 0; p && i < text.len; i++)
		p[i] = text.ptr[i] == '\n' || text.ptr[i] == '\r' ? ' ' : (uint8_t)text.ptr[i];
}

static bool is_json_number(struct type type, struct datum d)
{
	if (type.id == TYPE_FLOAT4 || type.id == TYPE_FLOAT8)
		return isfinite(d.f);
	return type.id == TYPE_INT2 || type.id == TYPE_INT4 || type.id == TYPE_INT8;
}

/* Text that is no JSON of its own, in quotes. */
static void write_json_text(struct writer *w, struct type type, struct datum d)
{
	write_u8(w, '"');
	if (type.id ==
	    TYPE_BYTEA) /* the backslash of \x: the only character there that JSON escapes */
		write_u8(w, '\\');
	if (type.id == TYPE_TEXT)
		json_write_escaped(w, d.s);
	else
		proc_write_csv_field(w, type, d);
	write_u8(w, '"');
}

void proc_write_json_value(struct writer *w, struct type type, struct datum d)
{
	if (d.null)
		write_cstr(w, "null");
	else if (type.id == TYPE_BOOL || is_json_number(type, d))
		proc_write_csv_field(w, type, d);
	else if (type.id == TYPE_JSONB)
		write_jsonb(w, d.s);
	else
		write_json_text(w, type, d);
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Quotes what RFC 4180 asks for, and the empty string, so that it differs from NULL. */
static void csv_quote(struct writer *w, size_t at, bool always)
{
	if (w->err)
		return;
	size_t len = w->len - at, quotes = 0;
	bool needed = always;
	for (size_t i = at; i < w->len; i++) {
		uint8_t ch = w->ptr[i];
		quotes += ch == '"';
		needed |= ch == '"' || ch == ',' || ch == '\n' || ch == '\r';
	}
	if (!needed || !writer_reserve(w, quotes + 2))
		return;
	uint8_t *to = w->ptr + w->len - 1;
	*to-- = '"';
	for (size_t i = at + len; i > at; i--) {
		uint8_t ch = w->ptr[i - 1];
		*to-- = ch;
		if (ch == '"')
			*to-- = '"';
	}
	*to = '"';
	ASSERT(to == w->ptr + at);
}

void proc_write_csv_header(struct writer *w, const struct proc_column *columns, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			write_u8(w, ',');
		size_t at = w->len;
		write_str(w, columns[i].name);
		csv_quote(w, at, columns[i].name.len == 0);
	}
	write_u8(w, '\n');
}

void proc_write_csv_row(
    struct writer *w, const struct proc_column *columns, const struct datum *values, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (i > 0)
			write_u8(w, ',');
		size_t at = w->len;
		proc_write_csv_field(w, columns[i].type, values[i]);
		csv_quote(w, at, !values[i].null && w->len == at);
	}
	write_u8(w, '\n');
}

void proc_write_json_row(
    struct writer *w, const struct proc_column *columns, const struct datum *values, uint32_t count)
{
	write_u8(w, '{');
	for (uint32_t i = 0; i < count; i++) {
		write_cstr(w, i > 0 ? ",\"" : "\"");
		json_write_escaped(w, columns[i].name);
		write_cstr(w, "\":");
		proc_write_json_value(w, columns[i].type, values[i]);
	}
	write_cstr(w, "}\n");
}
