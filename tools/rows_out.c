/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/rows_out.h"
#include <stdarg.h>

enum { SUMMARY_MARK = 0x1e, WIDTH_MAX = 60 };
#define TABLE_SAMPLE_BYTES (256 * KIB) /* widths are chosen from this much */

void rows_out_init(struct rows_out *o, const struct cli *cli)
{
	*o = (struct rows_out){.cli = cli};
	writer_init(&o->pending, 256 * MIB);
	writer_init(&o->summary, MIB);
}

void rows_out_release(struct rows_out *o)
{
	writer_release(&o->pending);
	writer_release(&o->summary);
	mem_free(o->widths);
}

const char *rows_out_format(const struct rows_out *o)
{
	return o->cli->json ? "ndjson" : "csv";
}

/* ---- table ----------------------------------------------------------------------------------- */

/* The next CSV field of a line: its text with quotes taken off, into `field`. False at the line's
 * end. */
static bool next_field(struct str csv, size_t *at, struct writer *field, bool *ret_line_end)
{
	writer_clear(field);
	bool quoted = *at < csv.len && csv.ptr[*at] == '"';
	size_t i = *at + quoted;
	for (; i < csv.len; i++) {
		char c = csv.ptr[i];
		if (quoted && c == '"') {
			if (i + 1 >= csv.len || csv.ptr[i + 1] != '"') {
				quoted = false;
				continue;
			}
			i++;
		} else if (!quoted && (c == ',' || c == '\n')) {
			break;
		}
		write_u8(field, (uint8_t)(c == '\n' || c == '\t' ? ' ' : c));
	}
	if (i >= csv.len)
		return false;
	*ret_line_end = csv.ptr[i] == '\n';
	*at = i + 1;
	return true;
}

/* Characters, not bytes. */
static size_t text_width(struct bytes b)
{
	size_t n = 0;
	for (size_t i = 0; i < b.len; i++)
		n += (b.ptr[i] & 0xC0) != 0x80;
	return n;
}

static enum err choose_widths(struct rows_out *o, struct writer *field)
{
	struct str csv = bytes_str(writer_bytes(&o->pending));
	size_t column = 0, capacity = 0;
	bool line_end = false;
	for (size_t at = 0; next_field(csv, &at, field, &line_end);) {
		if (column == capacity) {
			size_t *grown = mem_realloc(o->widths, (capacity + 64) * sizeof *grown);
			if (!grown)
				return ERR_NOMEM;
			memset(grown + capacity, 0, 64 * sizeof *grown);
			o->widths = grown;
			capacity += 64;
		}
		size_t w = text_width(writer_bytes(field));
		if (w > o->widths[column])
			o->widths[column] = w > WIDTH_MAX ? WIDTH_MAX : w;
		column = line_end ? 0 : column + 1;
		if (column > o->column_count)
			o->column_count = column;
	}
	o->column_count++;
	return ERR_OK;
}

static void print_rule(const struct rows_out *o, struct writer *out)
{
	for (size_t c = 0; c < o->column_count; c++) {
		for (size_t i = 0; i < o->widths[c] + 2; i++)
			write_u8(out, '-');
		write_u8(out, c + 1 < o->column_count ? '+' : '\n');
	}
}

/* Prints whole lines of the pending CSV; what is left of a cut line stays. */
static enum err print_table(struct rows_out *o)
{
	struct writer field, out;
	writer_init(&field, 64 * MIB);
	writer_init(&out, 256 * MIB);
	enum err e = o->widths ? ERR_OK : choose_widths(o, &field);
	struct str csv = bytes_str(writer_bytes(&o->pending));
	size_t done = 0, column = 0, line_start = 0;
	bool line_end = false;
	for (size_t at = 0; e == ERR_OK && next_field(csv, &at, &field, &line_end);) {
		size_t w = text_width(writer_bytes(&field)),
		       pad = column < o->column_count && w < o->widths[column]
		                 ? o->widths[column] - w
		                 : 0;
		write_printf(&out, "%s", column ? "| " : " ");
		write_bytes(&out, writer_bytes(&field));
		for (size_t i = 0; !line_end && i <= pad; i++)
			write_u8(&out, ' ');
		column++;
		if (line_end) {
			write_u8(&out, '\n');
			if (o->lines++ == 0)
				print_rule(o, &out);
			column = 0;
			done = at;
			line_start = out.len;
		}
	}
	out.len = line_start;
	if (e == ERR_OK)
		e = out.err;
	if (e == ERR_OK && !cli_flush(&out))
		o->broken_pipe = true;
	memmove(o->pending.ptr, o->pending.ptr + done, o->pending.len - done);
	o->pending.len -= done;
	writer_release(&field);
	writer_release(&out);
	return e;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

bool rows_out_piece(void *ctx, struct bytes piece)
{
	struct rows_out *o = ctx;
	const uint8_t *mark =
	    o->in_summary ? piece.ptr : memchr(piece.ptr, SUMMARY_MARK, piece.len);
	size_t rows = mark ? (size_t)(mark - piece.ptr) : piece.len;
	if (mark) {
		size_t skip = rows + !o->in_summary;
		write_bytes(&o->summary, bytes_slice(piece, skip, piece.len - skip));
		o->in_summary = true;
	}
	if (o->cli->json || o->cli->csv)
		return fwrite(piece.ptr, 1, rows, stdout) == rows;
	write_bytes(&o->pending, bytes_of(piece.ptr, rows));
	if (o->pending.len >= TABLE_SAMPLE_BYTES && print_table(o) != ERR_OK)
		return false;
	return o->pending.err == ERR_OK && !o->broken_pipe;
}

enum err rows_out_end(struct rows_out *o)
{
	TRY(o->pending.err);
	if (o->pending.len)
		TRY(print_table(o));
	if (!o->cli->json && !o->cli->csv && o->lines)
		fprintf(stderr, "(%llu rows)\n", (unsigned long long)o->lines - 1);
	return fflush(stdout) == 0 || cli_reader_gone() ? ERR_OK
	                                                : err_sys("write to standard output");
}

enum err rows_out_get(struct rows_out *o, const char *fmt, ...)
{
	struct http_call call = {
	    .method = "GET", .on_body = rows_out_piece, .ctx = o, .timeout_ms = -1};
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(call.path, sizeof call.path, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof call.path)
		return err_note(
		    ERR_LIMIT, "the request path is longer than %zu bytes", sizeof call.path);
	TRY(http_do(o->cli, &call));
	return rows_out_end(o);
}
