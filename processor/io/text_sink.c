/* SPDX-License-Identifier: Apache-2.0 */
/* Sinks that write a result as text (struct proc_text in processor.h). */
#include "processor/processor.h"

enum { TEXT_CHUNK_BYTES = 64 << 10, TEXT_TABLE_BYTES_MAX = 64 << 20 };

struct proc_text {
	struct proc_sink sink;
	enum proc_format format;
	enum err (*write)(void *ctx, struct str text);
	void *ctx;
	struct proc_column *columns;
	char **names;
	uint32_t count;
	struct writer out; /* text on its way; TABLE: the fields of all rows, each ended by a NUL */
	uint32_t *widths;  /* TABLE: characters */
	uint64_t rows;
};

static enum err flush(struct proc_text *t, size_t above)
{
	if (t->out.err)
		return t->out.err;
	if (t->out.len <= above)
		return ERR_OK;
	enum err err = t->write(t->ctx, bytes_str(writer_bytes(&t->out)));
	writer_clear(&t->out);
	return err;
}

static void forget_columns(struct proc_text *t)
{
	for (uint32_t i = 0; t->names && i < t->count; i++)
		mem_free(t->names[i]);
	mem_free(t->names);
	mem_free(t->columns);
	mem_free(t->widths);
	t->names = NULL;
	t->columns = NULL;
	t->widths = NULL;
	t->count = 0;
}

/* Characters of UTF-8 text: bytes that do not continue one. */
static uint32_t text_width(struct bytes b)
{
	uint32_t width = 0;
	for (size_t i = 0; i < b.len; i++)
		width += (b.ptr[i] & 0xc0) != 0x80;
	return width;
}

static enum err copy_columns(struct proc_text *t, const struct proc_column *columns, uint32_t count)
{
	forget_columns(t);
	t->count = count;
	t->columns = mem_calloc(count + 1u, sizeof(*t->columns));
	t->names = mem_calloc(count + 1u, sizeof(*t->names));
	t->widths = mem_calloc(count + 1u, sizeof(*t->widths));
	if (!t->columns || !t->names || !t->widths)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < count; i++) {
		t->names[i] = mem_strdup(columns[i].name);
		if (!t->names[i])
			return ERR_NOMEM;
		t->columns[i] = (struct proc_column){str_of(t->names[i]), columns[i].type};
		t->widths[i] = text_width(str_bytes(t->columns[i].name));
	}
	return ERR_OK;
}

static enum err text_columns(void *ctx, const struct proc_column *columns, uint32_t count)
{
	struct proc_text *t = ctx;
	TRY(copy_columns(t, columns, count));
	if (t->format == PROC_CSV)
		proc_write_csv_header(&t->out, t->columns, count);
	return t->out.err;
}

/* A table's field: control characters would break the line. */
static void table_field(struct proc_text *t, uint32_t column, struct datum d)
{
	size_t at = t->out.len;
	proc_write_csv_field(&t->out, t->columns[column].type, d);
	if (t->out.err)
		return;
	for (size_t i = at; i < t->out.len; i++)
		if (t->out.ptr[i] < 0x20 || t->out.ptr[i] == 0x7f)
			t->out.ptr[i] = ' ';
	uint32_t width = text_width(bytes_of(t->out.ptr + at, t->out.len - at));
	if (width > t->widths[column])
		t->widths[column] = width;
	write_u8(&t->out, 0);
}

static enum err text_row(void *ctx, const struct datum *values, uint32_t count)
{
	struct proc_text *t = ctx;
	ASSERT(count == t->count);
	t->rows++;
	if (t->format == PROC_TABLE) {
		for (uint32_t i = 0; i < count; i++)
			table_field(t, i, values[i]);
		return t->out.err;
	}
	if (t->format == PROC_CSV)
		proc_write_csv_row(&t->out, t->columns, values, count);
	else
		proc_write_json_row(&t->out, t->columns, values, count);
	return flush(t, TEXT_CHUNK_BYTES);
}

enum err proc_text_new(enum proc_format format, enum err (*write)(void *ctx, struct str text),
    void *ctx, struct proc_text **ret_text)
{
	struct proc_text *t = mem_calloc(1, sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	t->format = format;
	t->write = write;
	t->ctx = ctx;
	t->sink =
	    (struct proc_sink){.ctx = t, .columns = text_columns, .row = text_row, .message = NULL};
	writer_init(&t->out, TEXT_TABLE_BYTES_MAX);
	*ret_text = t;
	return ERR_OK;
}

void proc_text_free(struct proc_text *t)
{
	if (!t)
		return;
	forget_columns(t);
	writer_release(&t->out);
	mem_free(t);
}

const struct proc_sink *proc_text_sink(struct proc_text *t)
{
	return &t->sink;
}

static bool is_right_aligned(enum type_id id)
{
	return id == TYPE_INT2 || id == TYPE_INT4 || id == TYPE_INT8 || id == TYPE_NUMERIC ||
	       id == TYPE_FLOAT4 || id == TYPE_FLOAT8;
}

static void pad(struct writer *w, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		write_u8(w, ' ');
}

static void table_cell(struct proc_text *t, struct writer *w, uint32_t column, struct bytes text)
{
	uint32_t space = t->widths[column] - text_width(text);
	bool right = is_right_aligned(t->columns[column].type.id), last = column + 1 == t->count;
	if (right)
		pad(w, space);
	write_bytes(w, text);
	if (!right && !last)
		pad(w, space);
	write_cstr(w, last ? "\n" : "  ");
}

static enum err table_send(struct proc_text *t, struct writer *w, size_t above)
{
	if (w->err)
		return w->err;
	if (w->len <= above)
		return ERR_OK;
	enum err err = t->write(t->ctx, bytes_str(writer_bytes(w)));
	writer_clear(w);
	return err;
}

static enum err table_write(struct proc_text *t, struct writer *w)
{
	struct reader fields = reader_of(writer_bytes(&t->out));
	for (uint32_t i = 0; i < t->count; i++)
		table_cell(t, w, i, str_bytes(t->columns[i].name));
	for (uint32_t i = 0; i < t->count; i++) {
		for (uint32_t k = 0; k < t->widths[i]; k++)
			write_u8(w, '-');
		write_cstr(w, i + 1 == t->count ? "\n" : "  ");
	}
	for (uint64_t row = 0; row < t->rows; row++) {
		for (uint32_t i = 0; i < t->count; i++) {
			const uint8_t *at = fields.ptr + fields.pos;
			const uint8_t *end = memchr(at, 0, reader_left(&fields));
			ASSERT(end);
			table_cell(t, w, i, read_bytes(&fields, (size_t)(end - at)));
			read_skip(&fields, 1);
		}
		TRY(table_send(t, w, TEXT_CHUNK_BYTES));
	}
	write_printf(w, "(%llu row%s)\n", (unsigned long long)t->rows, t->rows == 1 ? "" : "s");
	return table_send(t, w, 0);
}

enum err proc_text_finish(struct proc_text *t)
{
	if (t->format != PROC_TABLE || !t->columns)
		return flush(t, 0);
	if (t->out.err)
		return err_note(
		    t->out.err, "the result is too large for a table: use --csv or --json");
	struct writer w;
	writer_init(&w, TEXT_TABLE_BYTES_MAX);
	enum err err = table_write(t, &w);
	writer_release(&w);
	writer_clear(&t->out);
	t->rows = 0;
	return err;
}
