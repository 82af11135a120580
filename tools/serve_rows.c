/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/serve_rows.h"
#include "log/base/json_write.h"

enum { FLUSH_BYTES = 32 * 1024, MESSAGES_MAX = 1 << 20, ROW_MAX = 64 << 20 };

static const char *content_type(enum rows_format f)
{
	return f == ROWS_CSV      ? "text/csv; charset=utf-8"
	       : f == ROWS_NDJSON ? "application/x-ndjson"
	                          : "application/json";
}

static enum err flush(struct serve_rows *s)
{
	TRY(s->out.err);
	enum err e = http_reply_write(s->reply, writer_bytes(&s->out));
	writer_clear(&s->out);
	return e;
}

static void csv_field(struct serve_rows *s, struct type type, struct datum d)
{
	struct writer plain;
	if (d.null)
		return;
	writer_init(&plain, ROW_MAX);
	proc_write_csv_field(&plain, type, d);
	bool quote = plain.len == 0;
	for (size_t i = 0; i < plain.len && !quote; i++)
		quote = plain.ptr[i] == ',' || plain.ptr[i] == '"' || plain.ptr[i] == '\n' ||
		        plain.ptr[i] == '\r';
	if (quote)
		write_u8(&s->out, '"');
	for (size_t i = 0; i < plain.len; i++) {
		if (plain.ptr[i] == '"')
			write_u8(&s->out, '"');
		write_u8(&s->out, plain.ptr[i]);
	}
	if (quote)
		write_u8(&s->out, '"');
	if (plain.err != ERR_OK)
		s->out.err = plain.err;
	writer_release(&plain);
}

static enum err on_columns(void *ctx, const struct proc_column *columns, uint32_t count)
{
	struct serve_rows *s = ctx;
	ASSERT(!s->columns);
	s->columns = mem_calloc(count + 1u, sizeof *s->columns);
	if (!s->columns)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < count; i++) {
		char *name = mem_strdup(columns[i].name);
		if (!name)
			return ERR_NOMEM;
		s->columns[i] = (struct proc_column){str_of(name), columns[i].type};
		s->column_count++;
	}
	s->streaming = true;
	TRY(http_reply_stream(s->reply, 200, content_type(s->format)));
	for (uint32_t i = 0; s->format == ROWS_CSV && i < count; i++) {
		if (i)
			write_u8(&s->out, ',');
		csv_field(
		    s, (struct type){.id = TYPE_TEXT}, (struct datum){.s = s->columns[i].name});
	}
	if (s->format != ROWS_NDJSON)
		write_cstr(&s->out, s->format == ROWS_CSV ? "\n" : "[");
	return s->out.err;
}

static enum err on_row(void *ctx, const struct datum *values, uint32_t count)
{
	struct serve_rows *s = ctx;
	ASSERT(count == s->column_count);
	if (s->format == ROWS_JSON && s->rows)
		write_cstr(&s->out, ",\n");
	if (s->format != ROWS_CSV)
		write_u8(&s->out, '{');
	for (uint32_t i = 0; i < count; i++) {
		if (i)
			write_u8(&s->out, ',');
		if (s->format == ROWS_CSV) {
			csv_field(s, s->columns[i].type, values[i]);
			continue;
		}
		write_u8(&s->out, '"');
		json_write_escaped(&s->out, s->columns[i].name);
		write_cstr(&s->out, "\":");
		proc_write_json_value(&s->out, s->columns[i].type, values[i]);
	}
	if (s->format != ROWS_CSV)
		write_u8(&s->out, '}');
	if (s->format != ROWS_JSON)
		write_u8(&s->out, '\n');
	s->rows++;
	return s->out.len >= FLUSH_BYTES ? flush(s) : s->out.err;
}

static enum err on_message(void *ctx, struct str text)
{
	struct serve_rows *s = ctx;
	write_str(&s->messages, text);
	write_u8(&s->messages, '\n');
	return s->messages.err;
}

enum err serve_rows_init(struct serve_rows *s, struct http_request *r, struct http_reply *reply)
{
	struct str format = http_query(r, "format");
	*s = (struct serve_rows){.reply = reply, .sink = {s, on_columns, on_row, on_message}};
	if (str_equal(format, STR("csv")))
		s->format = ROWS_CSV;
	else if (str_equal(format, STR("ndjson")))
		s->format = ROWS_NDJSON;
	else if (format.ptr && !str_equal(format, STR("json")))
		return err_note(
		    ERR_INVALID, "format=" STR_FMT ": json, ndjson or csv", STR_ARG(format));
	writer_init(&s->out, ROW_MAX);
	writer_init(&s->messages, MESSAGES_MAX);
	return ERR_OK;
}

void serve_rows_release(struct serve_rows *s)
{
	for (uint32_t i = 0; i < s->column_count; i++)
		mem_free((void *)(uintptr_t)s->columns[i].name.ptr);
	mem_free(s->columns);
	writer_release(&s->out);
	writer_release(&s->messages);
}

enum err serve_rows_summary(struct serve_rows *s, struct str json)
{
	if (!s->streaming)
		return ERR_OK;
	if (s->format == ROWS_JSON)
		return err_note(ERR_INVALID, "summary=1 goes with format=ndjson or csv");
	write_u8(&s->out, 0x1e);
	write_str(&s->out, json);
	write_u8(&s->out, '\n');
	return s->out.err;
}

/* "line 3:14: message; hint", or the chain; a plan first. */
static enum err problem(struct serve_rows *s, enum err e, const struct sql_error *sql)
{
	struct writer w;
	writer_init(&w, MESSAGES_MAX);
	write_bytes(&w, writer_bytes(&s->messages));
	if (sql && sql->message[0]) {
		if (sql->line)
			write_printf(&w, "line %d:%d: ", sql->line, sql->column);
		write_printf(&w, "%s%s%s", sql->message, sql->hint[0] ? "; " : "", sql->hint);
	} else {
		write_cstr(&w, err_chain()[0] ? err_chain() : err_text(e));
	}
	enum err answered =
	    w.err ? w.err : http_reply_problem(s->reply, e, bytes_str(writer_bytes(&w)));
	writer_release(&w);
	return answered;
}

enum err serve_rows_end(struct serve_rows *s, enum err e, const struct sql_error *sql)
{
	if (s->streaming) {
		if (e == ERR_OK && s->format == ROWS_JSON)
			write_cstr(&s->out, "]\n");
		return e == ERR_OK ? flush(s) : e;
	}
	if (e != ERR_OK)
		return problem(s, e, sql);
	return http_reply_take(s->reply, 200, "text/plain; charset=utf-8", &s->messages);
}
