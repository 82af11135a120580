/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals: where, why, what to do instead; and the nearest known name. */
#include "processor/sql/bind.h"

#include <stdarg.h>
#include <stdio.h>

/* Cuts a message that does not fit at a character's start, so that it stays UTF-8. */
__attribute__((format(printf, 3, 0))) static void format(
    char *out, size_t size, const char *fmt, va_list args)
{
	int len = vsnprintf(out, size, fmt, args);
	if (len < 0 || (size_t)len < size)
		return;
	size_t end = size - 1;
	while (end > 0 && ((uint8_t)out[end - 1] & 0xc0) == 0x80)
		end--;
	if (end > 0 && ((uint8_t)out[end - 1] & 0x80) != 0)
		end--;
	out[end] = '\0';
}

void sql_error_at(struct sql_error *e, struct str input, int32_t location)
{
	e->line = e->column = 0;
	if (location < 0 || (size_t)location > input.len)
		return;
	e->line = e->column = 1;
	for (size_t i = 0; i < (size_t)location; i++) {
		uint8_t c = (uint8_t)input.ptr[i];
		if (c == '\n') {
			e->line++;
			e->column = 1;
		} else if ((c & 0xc0) != 0x80) {
			e->column++;
		}
	}
}

enum err bind_fail(struct binder *b, int32_t location, enum err err, const char *fmt, ...)
{
	if (b->error->err != ERR_OK)
		return b->error->err;
	b->error->err = err;
	sql_error_at(b->error, b->input, location);
	va_list args;
	va_start(args, fmt);
	format(b->error->message, sizeof b->error->message, fmt, args);
	va_end(args);
	return err;
}

void bind_hint(struct binder *b, const char *fmt, ...)
{
	if (b->error->err != ERR_OK)
		return;
	va_list args;
	va_start(args, fmt);
	format(b->error->hint, sizeof b->error->hint, fmt, args);
	va_end(args);
}

enum err bind_nomem(struct binder *b)
{
	return bind_fail(b, -1, ERR_NOMEM, "the statement needs more memory than there is");
}

enum err bind_not_yet(struct binder *b, int32_t location, const char *what)
{
	return bind_fail(b, location, ERR_NOT_YET, "%s not there yet", what);
}

/* ---- nearest name ---------------------------------------------------------------------------- */

enum { NEAREST_LEN_MAX = 63 };

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static uint32_t min3(uint32_t a, uint32_t b, uint32_t c)
{
	uint32_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Levenshtein, one row at a time. */
static uint32_t edit_distance(struct str a, struct str b)
{
	uint32_t row[NEAREST_LEN_MAX + 1];
	for (uint32_t j = 0; j <= b.len; j++)
		row[j] = j;
	for (uint32_t i = 1; i <= a.len; i++) {
		uint32_t diagonal = row[0];
		row[0] = i;
		for (uint32_t j = 1; j <= b.len; j++) {
			uint32_t above = row[j];
			bool same = lower(a.ptr[i - 1]) == lower(b.ptr[j - 1]);
			row[j] = min3(diagonal + (same ? 0 : 1), above + 1, row[j - 1] + 1);
			diagonal = above;
		}
	}
	return row[b.len];
}

void nearest_init(struct nearest *n, struct str name)
{
	*n = (struct nearest){name, {NULL, 0}, 0};
	n->distance = name.len <= 1   ? 1
	              : name.len <= 3 ? 2
	              : name.len <= 6 ? 3
	                              : 4; /* a candidate must be nearer */
}

void nearest_offer(struct nearest *n, struct str candidate)
{
	if (candidate.len == 0 || candidate.len > NEAREST_LEN_MAX || n->name.len > NEAREST_LEN_MAX)
		return;
	uint32_t d = edit_distance(n->name, candidate);
	if (d >= n->distance)
		return;
	n->distance = d;
	n->best = candidate;
}
