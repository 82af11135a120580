/* SPDX-License-Identifier: Apache-2.0 */
#include "golden.h"

#include "test.h"

#include <stdio.h>
#include <stdlib.h>

void golden_open(struct golden *g, const char *path)
{
	*g = (struct golden){0};
	arena_init(&g->arena, 512 * MIB);
	FILE *f = fopen(path, "rb");
	if (!f)
		fail_msg("cannot open %s: run from the source directory", path);
	fseek(f, 0, SEEK_END);
	long len = ftell(f);
	rewind(f);
	assert_true(len > 0);
	char *text = arena_alloc(&g->arena, (size_t)len);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)len, f), len);
	fclose(f);
	g->rest = str_from(text, (size_t)len);
}

/* Takes the text up to `end` off the front, unescaped in place. */
static struct str take_field(struct golden *g, const char *end)
{
	size_t raw = (size_t)(end - g->rest.ptr), n = 0;
	char *to = arena_alloc(&g->arena, raw);
	assert_non_null(to);
	for (size_t i = 0; i < raw; i++) {
		char c = g->rest.ptr[i];
		if (c == '\\' && i + 1 < raw) {
			c = g->rest.ptr[++i];
			c = c == 't' ? '\t' : c == 'n' ? '\n' : c;
		}
		to[n++] = c;
	}
	return str_from(to, n);
}

bool golden_next(struct golden *g, struct golden_row *ret_row)
{
	struct golden_row row = {.line = ++g->line};
	if (g->rest.len == 0)
		return false;
	for (bool last = false; !last;) {
		const char *stop = g->rest.ptr + g->rest.len, *end = g->rest.ptr;
		while (end < stop && *end != '\t' && *end != '\n')
			end++;
		assert_true(row.count < GOLDEN_FIELDS_MAX);
		row.fields[row.count++] = take_field(g, end);
		last = end == stop || *end == '\n';
		g->rest =
		    end == stop ? str_from(end, 0) : str_from(end + 1, (size_t)(stop - end - 1));
	}
	*ret_row = row;
	return true;
}

void golden_close(struct golden *g)
{
	arena_release(&g->arena);
}

struct type golden_type(struct str name)
{
	static const struct {
		const char *name;
		enum type_id id;
	} names[] = {{"timestamptz", TYPE_TIMESTAMPTZ}, {"timestamp", TYPE_TIMESTAMP},
	    {"varchar", TYPE_TEXT}, {"character varying", TYPE_TEXT}, {"bool", TYPE_BOOL},
	    {"int8", TYPE_INT8}, {"int4", TYPE_INT4}, {"int2", TYPE_INT2}, {"float8", TYPE_FLOAT8},
	    {"float4", TYPE_FLOAT4}};
	struct type t = {TYPE_UNKNOWN, 0, 0};
	const char *paren = memchr(name.ptr, '(', name.len);
	struct str base = paren ? str_from(name.ptr, (size_t)(paren - name.ptr)) : name;
	for (int id = TYPE_BOOL; id < TYPE_COUNT; id++)
		if (str_equal(base, str_of(type_name((enum type_id)id))))
			t.id = (enum type_id)id;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (str_equal(base, str_of(names[i].name)))
			t.id = names[i].id;
	if (t.id == TYPE_UNKNOWN)
		fail_msg("golden file names an unknown type %.*s", STR_ARG(name));
	if (paren) {
		char *end;
		t.precision = (int16_t)strtol(paren + 1, &end, 10);
		t.scale = (int16_t)(*end == ',' ? strtol(end + 1, NULL, 10) : 0);
	}
	return t;
}
