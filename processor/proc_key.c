/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys as people write them: col=value[,col=value], or a bare value where the key has one column. A
 * value with commas, quotes or an equals sign in front stands in double quotes, with quotes in it
 * doubled; NULL without quotes is the null value.
 */
#include "processor/proc_key.h"

enum { KEY_COLUMNS_MAX = 64, KEY_ARENA_BYTES_MAX = 1 << 20 };

struct key_text {
	const struct proc_column *columns;
	const uint32_t *keys;
	uint32_t key_count;
	struct str text;
	size_t pos;
	struct arena *arena;
	struct datum values[KEY_COLUMNS_MAX];
	bool given[KEY_COLUMNS_MAX];
};

static struct str column_name(const struct key_text *k, uint32_t i)
{
	return k->columns[k->keys[i]].name;
}

/* The key columns, for messages. */
static enum err bad_key(const struct key_text *k, const char *what)
{
	char names[200];
	size_t len = 0;
	for (uint32_t i = 0; i < k->key_count; i++) {
		struct str n = column_name(k, i);
		if (len + n.len + 2 >= sizeof(names))
			break;
		if (i > 0)
			names[len++] = ',';
		memcpy(names + len, n.ptr, n.len);
		len += n.len;
	}
	names[len] = '\0';
	return err_note(ERR_INVALID, "key '" STR_FMT "': %s; the key of this view is (%s)",
	    STR_ARG(k->text), what, names);
}

/* The value at pos: quoted, or up to the next comma. */
static enum err read_value(struct key_text *k, struct str *ret_value, bool *ret_quoted)
{
	const char *p = k->text.ptr;
	*ret_quoted = k->pos < k->text.len && p[k->pos] == '"';
	if (!*ret_quoted) {
		size_t start = k->pos;
		while (k->pos < k->text.len && p[k->pos] != ',')
			k->pos++;
		*ret_value = str_from(p + start, k->pos - start);
		return ERR_OK;
	}
	char *out = arena_alloc(k->arena, k->text.len + 1);
	size_t len = 0;
	if (!out)
		return ERR_NOMEM;
	for (k->pos++; k->pos < k->text.len; k->pos++) {
		if (p[k->pos] == '"' && !(k->pos + 1 < k->text.len && p[k->pos + 1] == '"'))
			break;
		if (p[k->pos] == '"')
			k->pos++;
		out[len++] = p[k->pos];
	}
	if (k->pos >= k->text.len)
		return bad_key(k, "a quote is not closed");
	k->pos++;
	*ret_value = str_from(out, len);
	return ERR_OK;
}

static enum err set_value(struct key_text *k, uint32_t i, struct str value, bool quoted)
{
	if (k->given[i])
		return bad_key(k, "a column is given twice");
	k->given[i] = true;
	if (!quoted && value.len == 4 && strncasecmp(value.ptr, "null", 4) == 0) {
		k->values[i] = (struct datum){.null = true};
		return ERR_OK;
	}
	struct type type = k->columns[k->keys[i]].type;
	if (datum_from_text(k->arena, type, value, &k->values[i]) != ERR_OK)
		return err_note(ERR_INVALID, "key column \"" STR_FMT "\" is a %s",
		    STR_ARG(column_name(k, i)), type_name(type.id));
	return ERR_OK;
}

/* The key column whose name and '=' stand at pos; -1 = none. */
static int column_at(const struct key_text *k)
{
	for (uint32_t i = 0; i < k->key_count; i++) {
		struct str n = column_name(k, i);
		if (k->text.len - k->pos > n.len &&
		    memcmp(k->text.ptr + k->pos, n.ptr, n.len) == 0 &&
		    k->text.ptr[k->pos + n.len] == '=')
			return (int)i;
	}
	return -1;
}

static enum err read_pairs(struct key_text *k)
{
	for (;;) {
		struct str value;
		bool quoted;
		int i = column_at(k);
		if (i < 0)
			return bad_key(k, "col=value is expected");
		k->pos += column_name(k, (uint32_t)i).len + 1;
		TRY(read_value(k, &value, &quoted));
		TRY(set_value(k, (uint32_t)i, value, quoted));
		if (k->pos == k->text.len)
			return ERR_OK;
		if (k->text.ptr[k->pos++] != ',')
			return bad_key(k, "a comma is expected");
	}
}

static enum err read_key(struct key_text *k)
{
	if (k->key_count == 1 && column_at(k) < 0) {
		struct str value = k->text;
		bool quoted =
		    value.len > 1 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
		if (quoted)
			TRY(read_value(k, &value, &quoted));
		return set_value(k, 0, value, quoted);
	}
	TRY(read_pairs(k));
	for (uint32_t i = 0; i < k->key_count; i++)
		if (!k->given[i])
			return bad_key(k, "a column is missing");
	return ERR_OK;
}

enum err key_parse(const struct proc_column *columns, const uint32_t *keys, uint32_t key_count,
    struct str text, struct writer *ret_key)
{
	struct arena arena;
	if (key_count > KEY_COLUMNS_MAX)
		return err_note(ERR_LIMIT, "a key of more than %d columns", KEY_COLUMNS_MAX);
	struct key_text *k = mem_calloc(1, sizeof(*k));
	if (!k)
		return ERR_NOMEM;
	arena_init(&arena, KEY_ARENA_BYTES_MAX);
	*k = (struct key_text){.columns = columns,
	    .keys = keys,
	    .key_count = key_count,
	    .text = text,
	    .arena = &arena};
	enum err err = key_count == 0 && text.len == 0 ? ERR_OK : read_key(k);
	for (uint32_t i = 0; err == ERR_OK && i < key_count; i++)
		key_encode(ret_key, columns[keys[i]].type.id, k->values[i]);
	arena_release(&arena);
	mem_free(k);
	return err ? err : ret_key->err;
}

/* ---- and back -------------------------------------------------------------------------------- */

static bool needs_quotes(struct str s)
{
	if (s.len == 0 || (s.len == 4 && strncasecmp(s.ptr, "null", 4) == 0))
		return true;
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] == ',' || s.ptr[i] == '"' || s.ptr[i] == '=')
			return true;
	return false;
}

/* As results print it, so that what was read is what one asks for. */
static void write_value(struct writer *w, struct type type, struct datum d)
{
	struct writer text;
	if (d.null) {
		write_cstr(w, "NULL");
		return;
	}
	writer_init(&text, w->limit);
	proc_write_csv_field(&text, type, d);
	struct str s = str_from((const char *)text.ptr, text.len);
	const char *quote = needs_quotes(s) ? "\"" : "";
	if (text.err && !w->err)
		w->err = text.err;
	write_cstr(w, quote);
	for (size_t i = 0; i < s.len; i++) {
		if (s.ptr[i] == '"')
			write_u8(w, '"');
		write_u8(w, (uint8_t)s.ptr[i]);
	}
	write_cstr(w, quote);
	writer_release(&text);
}

void key_write(struct writer *w, const struct proc_column *keys, uint32_t key_count,
    const struct datum *values)
{
	for (uint32_t i = 0; i < key_count; i++) {
		if (i > 0)
			write_u8(w, ',');
		if (key_count > 1) {
			write_str(w, keys[i].name);
			write_u8(w, '=');
		}
		write_value(w, keys[i].type, values[i]);
	}
}
