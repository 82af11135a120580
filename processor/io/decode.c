/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoder of one table, see decode.h. Row by row: scan the document, convert each declared column
 * into its vector. Then column by column over the batch: generated columns, CHECKs, event time.
 * What fails on the way is refused on the spot.
 */
#include "processor/io/decode.h"
#include "processor/io/decode_fast.h"
#include "processor/io/decode_value.h"
#include "processor/op/expr.h"
#include <stdio.h>

enum { DECODE_TEXT_BYTES_MAX = 256 << 20, DECODE_MESSAGE_MAX = 240 };

struct decoder {
	struct decoder_options options;
	const struct table *table;
	uint32_t column_count; /* declared and hidden */
	struct json_paths *paths;
	struct json_value *values; /* one per path */
	uint32_t *path_column;     /* column of a path */
	struct decode_slot *slots; /* of a path: how its column takes the common spellings */
	uint32_t path_count;
	uint8_t *stored;              /* per column: has a vector */
	uint8_t hidden[HIDDEN_COUNT]; /* the hidden columns that are stored */
	uint32_t hidden_count;
	struct vec *cols;       /* the decoder's own buffers; unstored: data NULL */
	uint8_t **nulls;        /* flags of stored columns: 0 from row `count` on */
	bool *has_nulls;        /* since begin */
	struct vec *batch_cols; /* what a batch gets: the operators may change it */
	struct decode_input *inputs;
	struct origin *origins;
	uint32_t *keep;
	uint32_t count, input_count;
	struct arena text; /* unescaped strings, keys, headers: until begin */
	struct arena temp; /* of expressions: until begin */
	struct row_errors errors;
};

/* ---- construction ---------------------------------------------------------------------------- */

static void mark_columns(const struct expr *e, uint8_t *stored)
{
	if (e->kind == EXPR_COLUMN)
		stored[e->column] = 1;
	for (uint32_t i = 0; i < e->arg_count; i++)
		mark_columns(e->args[i], stored);
}

/* Stored: read by the plan, or by a generated column, a CHECK or the event time of the table
 * itself. */
static void mark_stored(struct decoder *d)
{
	const struct table *t = d->table;
	memcpy(d->stored, d->options.column_needed, d->column_count);
	for (uint32_t i = 0; i < t->column_count; i++)
		if (t->columns[i].generated)
			mark_columns(t->columns[i].generated, d->stored);
	for (uint32_t i = 0; i < t->check_count; i++)
		mark_columns(t->checks[i], d->stored);
	if (t->event_time >= 0)
		d->stored[t->event_time] = 1;
}

static enum err compile_paths(struct decoder *d)
{
	const struct table *t = d->table;
	struct json_path_spec *specs = mem_calloc(t->column_count + 1u, sizeof(*specs));
	d->path_column = mem_calloc(t->column_count + 1u, sizeof(*d->path_column));
	d->slots = mem_calloc(t->column_count + 1u, sizeof(*d->slots));
	d->values = mem_calloc(t->column_count + 1u, sizeof(*d->values));
	enum err err = specs && d->path_column && d->slots && d->values ? ERR_OK : ERR_NOMEM;
	for (uint32_t i = 0; err == ERR_OK && i < t->column_count; i++) {
		const struct table_column *c = &t->columns[i];
		if (c->generated)
			continue;
		d->path_column[d->path_count] = i;
		d->slots[d->path_count] =
		    decode_slot_of(c, &d->cols[i], d->nulls[i], &d->has_nulls[i]);
		specs[d->path_count++] =
		    (struct json_path_spec){.path = c->path.ptr ? c->path : c->name,
		        .is_path = c->path.ptr != NULL,
		        .exact_case = c->quoted};
	}
	if (err == ERR_OK)
		err = json_paths_new(specs, d->path_count, &d->paths);
	mem_free(specs);
	return err;
}

static struct type column_type(const struct decoder *d, uint32_t column)
{
	static const enum type_id hidden[HIDDEN_COUNT] = {
	    [HIDDEN_TOPIC] = TYPE_TEXT,
	    [HIDDEN_PARTITION] = TYPE_INT4,
	    [HIDDEN_OFFSET] = TYPE_INT8,
	    [HIDDEN_TIMESTAMP] = TYPE_TIMESTAMPTZ,
	    [HIDDEN_KEY] = TYPE_TEXT,
	    [HIDDEN_KEY_BYTES] = TYPE_BYTEA,
	    [HIDDEN_HEADERS] = TYPE_JSONB,
	    [HIDDEN_INGEST_TIME] = TYPE_TIMESTAMPTZ,
	    [HIDDEN_SEQUENCE] = TYPE_INT8,
	    [HIDDEN_POS] = TYPE_INT4,
	};
	if (column < d->table->column_count)
		return d->table->columns[column].type;
	return (struct type){hidden[column - d->table->column_count], 0, 0};
}

static enum err new_columns(struct decoder *d)
{
	uint32_t n = d->column_count, rows = d->options.capacity;
	d->stored = mem_calloc(n, 1);
	d->cols = mem_calloc(n, sizeof(*d->cols));
	d->batch_cols = mem_calloc(n, sizeof(*d->batch_cols));
	d->nulls = mem_calloc(n, sizeof(*d->nulls));
	d->has_nulls = mem_calloc(n, sizeof(*d->has_nulls));
	d->inputs = mem_calloc(rows, sizeof(*d->inputs));
	d->origins = mem_calloc(rows, sizeof(*d->origins));
	d->keep = mem_calloc(rows, sizeof(*d->keep));
	if (!d->stored || !d->cols || !d->batch_cols || !d->nulls || !d->has_nulls || !d->inputs ||
	    !d->origins || !d->keep)
		return ERR_NOMEM;
	mark_stored(d);
	for (uint32_t h = 0; h < HIDDEN_COUNT; h++)
		if (d->stored[d->table->column_count + h])
			d->hidden[d->hidden_count++] = (uint8_t)h;
	for (uint32_t i = 0; i < n; i++) {
		d->cols[i].type = column_type(d, i);
		bool generated = i < d->table->column_count && d->table->columns[i].generated;
		if (!d->stored[i] || generated)
			continue;
		d->cols[i].data = mem_calloc(rows, type_width(d->cols[i].type.id));
		d->nulls[i] = mem_calloc(rows, 1);
		if (!d->cols[i].data || !d->nulls[i])
			return ERR_NOMEM;
	}
	return ERR_OK;
}

enum err decoder_new(const struct decoder_options *options, struct decoder **ret_decoder)
{
	ASSERT(options->capacity > 0 && options->capacity <= BATCH_ROWS_MAX && options->refuse);
	struct decoder *d = mem_calloc(1, sizeof(*d));
	if (!d)
		return ERR_NOMEM;
	d->options = *options;
	d->table = options->table;
	d->column_count = d->table->column_count + HIDDEN_COUNT;
	arena_init(&d->text, DECODE_TEXT_BYTES_MAX);
	arena_init(&d->temp, DECODE_TEXT_BYTES_MAX);
	enum err err = new_columns(d);
	if (err == ERR_OK)
		err = compile_paths(d);
	if (err) {
		decoder_free(d);
		return err;
	}
	*ret_decoder = d;
	return ERR_OK;
}

void decoder_free(struct decoder *d)
{
	if (!d)
		return;
	for (uint32_t i = 0; d->cols && d->nulls && i < d->column_count; i++) {
		mem_free(d->cols[i].data);
		mem_free(d->nulls[i]);
	}
	json_paths_free(d->paths);
	mem_free(d->values);
	mem_free(d->path_column);
	mem_free(d->slots);
	mem_free(d->stored);
	mem_free(d->cols);
	mem_free(d->batch_cols);
	mem_free(d->nulls);
	mem_free(d->has_nulls);
	mem_free(d->inputs);
	mem_free(d->origins);
	mem_free(d->keep);
	arena_release(&d->text);
	arena_release(&d->temp);
	row_errors_release(&d->errors);
	mem_free(d);
}

void decoder_begin(struct decoder *d)
{
	d->count = d->input_count = 0;
	arena_clear(&d->text);
	arena_clear(&d->temp);
	for (uint32_t i = 0; i < d->column_count; i++) {
		if (d->has_nulls[i] && d->nulls[i])
			memset(d->nulls[i], 0, d->options.capacity);
		d->has_nulls[i] = false;
	}
}

uint32_t decoder_count(const struct decoder *d)
{
	return d->count;
}

/* ---- hidden columns -------------------------------------------------------------------------- */

/* Bytes as text: as they are when they are UTF-8, else \x and hexadecimal digits. */
static enum err bytes_text(struct decoder *d, struct bytes b, struct str *ret_text)
{
	static const char digits[] = "0123456789abcdef";
	if (str_is_utf8(bytes_str(b))) {
		*ret_text = b.len > 0 ? bytes_str(b) : STR("");
		return ERR_OK;
	}
	char *hex = arena_alloc(&d->text, b.len * 2 + 2);
	if (!hex)
		return ERR_NOMEM;
	hex[0] = '\\';
	hex[1] = 'x';
	for (size_t i = 0; i < b.len; i++) {
		hex[2 + 2 * i] = digits[b.ptr[i] >> 4];
		hex[3 + 2 * i] = digits[b.ptr[i] & 15];
	}
	*ret_text = str_from(hex, b.len * 2 + 2);
	return ERR_OK;
}

static enum err write_headers(struct decoder *d, const struct record *r, struct writer *w)
{
	struct json_writer j;
	struct reader headers = reader_of(r->headers);
	json_write_init(&j, w);
	json_object_begin(&j);
	for (int32_t i = 0; i < r->header_count; i++) {
		struct str key, text;
		struct bytes value;
		TRY(record_header_next(&headers, &key, &value));
		TRY(bytes_text(d, str_bytes(key), &text));
		json_key(&j, text);
		if (value.ptr)
			TRY(bytes_text(d, value, &text));
		json_str(&j, value.ptr ? text : (struct str){NULL, 0});
	}
	json_object_end(&j);
	return w->err;
}

/* Headers as a JSON object; of several with one name the last counts, as in jsonb. */
static enum err headers_json(struct decoder *d, const struct record *r, struct str *ret_text)
{
	struct writer w;
	writer_init(&w, DECODE_TEXT_BYTES_MAX);
	enum err err = write_headers(d, r, &w);
	struct bytes copy = {NULL, 0};
	if (err == ERR_OK) {
		copy = arena_copy(&d->text, writer_bytes(&w));
		err = copy.ptr ? ERR_OK : ERR_NOMEM;
	}
	writer_release(&w);
	if (err == ERR_OK)
		*ret_text = bytes_str(copy);
	return err;
}

/* The hidden columns that are whole numbers: straight into their vectors. */
static bool hidden_number(enum hidden_column h, const struct decode_input *in, int64_t *ret_value)
{
	switch (h) {
	case HIDDEN_PARTITION:
		*ret_value = in->partition;
		return true;
	case HIDDEN_OFFSET:
		*ret_value = in->record.offset;
		return true;
	case HIDDEN_TIMESTAMP:
		*ret_value = in->record.timestamp_ms * 1000;
		return true;
	case HIDDEN_INGEST_TIME:
		*ret_value = in->append_time_ns / 1000;
		return true;
	case HIDDEN_SEQUENCE:
		*ret_value = (int64_t)in->sequence;
		return true;
	case HIDDEN_POS:
		*ret_value = in->pos;
		return true;
	case HIDDEN_TOPIC:
	case HIDDEN_KEY:
	case HIDDEN_KEY_BYTES:
	case HIDDEN_HEADERS:
	case HIDDEN_COUNT:
		break;
	}
	return false;
}

static enum err hidden_text(
    struct decoder *d, enum hidden_column h, const struct decode_input *in, struct datum *ret_datum)
{
	const struct record *r = &in->record;
	struct datum v = {0};
	if (h == HIDDEN_TOPIC) {
		v.s = d->options.topic;
	} else if (h == HIDDEN_HEADERS) {
		TRY(headers_json(d, r, &v.s));
	} else if (!r->key.ptr) {
		v.null = true;
	} else if (h == HIDDEN_KEY) {
		TRY(bytes_text(d, r->key, &v.s));
	} else {
		v.s = bytes_str(r->key);
	}
	*ret_datum = v;
	return ERR_OK;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void store_value(struct decoder *d, uint32_t column, struct datum v)
{
	struct vec *vec = &d->cols[column];
	uint32_t row = d->count;
	if (!vec->data)
		return;
	if (!v.null) {
		vec_set(vec, row, v);
		return;
	}
	d->nulls[column][row] = 1;
	d->has_nulls[column] = true;
}

static enum err refuse(
    struct decoder *d, const struct decode_input *in, enum err reason, const char *message)
{
	enum err err = d->options.refuse(d->options.refuse_ctx, in, reason, message);
	err_clear();
	return err;
}

static enum err refuse_column(
    struct decoder *d, const struct decode_input *in, uint32_t column, enum err reason)
{
	char message[DECODE_MESSAGE_MAX];
	struct str name = d->table->columns[column].name;
	if (reason == ERR_NULL_VALUE)
		(void)snprintf(
		    message, sizeof(message), "column \"" STR_FMT "\" is NULL", STR_ARG(name));
	else
		(void)snprintf(message, sizeof(message), "column \"" STR_FMT "\": %s",
		    STR_ARG(name), err_chain());
	return refuse(d, in, reason, message);
}

/* One value that decode_fast left: of another spelling, of another type, or not allowed. */
static enum err add_value(struct decoder *d, uint32_t path)
{
	uint32_t column = d->path_column[path];
	const struct table_column *c = &d->table->columns[column];
	struct datum v;
	TRY(decode_value(c, &d->values[path], &d->text, &v));
	if (v.null && c->not_null)
		return ERR_NULL_VALUE;
	store_value(d, column, v);
	return ERR_OK;
}

/* The row `count` is given up: the next one begins without NULLs. */
static void forget_nulls(struct decoder *d)
{
	for (uint32_t i = 0; i < d->path_count; i++) {
		uint8_t *nulls = d->nulls[d->path_column[i]];
		if (nulls)
			nulls[d->count] = 0;
	}
}

/* Fills the row `count` from the scanned document. *ret_row false: refused. */
static enum err add_columns(struct decoder *d, const struct decode_input *in, bool *ret_row)
{
	uint32_t i = 0, n = d->path_count;
	while ((i = decode_fast(d->slots, d->values, i, n, d->count)) < n) {
		enum err err = add_value(d, i);
		if (err == ERR_NOMEM)
			return err;
		if (err) {
			*ret_row = false;
			forget_nulls(d);
			return refuse_column(d, in, d->path_column[i], err);
		}
		i++;
	}
	*ret_row = true;
	return ERR_OK;
}

static enum err add_hidden(struct decoder *d, const struct decode_input *in)
{
	for (uint32_t i = 0; i < d->hidden_count; i++) {
		enum hidden_column h = (enum hidden_column)d->hidden[i];
		uint32_t column = d->table->column_count + h;
		struct datum v;
		if (hidden_number(h, in, &d->cols[column].i[d->count]))
			continue;
		TRY(hidden_text(d, h, in, &v));
		store_value(d, column, v);
	}
	return ERR_OK;
}

enum err decoder_add(struct decoder *d, const struct decode_input *in)
{
	ASSERT(d->count < d->options.capacity);
	if (!in->record.value.ptr)
		return refuse(d, in, ERR_NULL_VALUE,
		    "the record has no value, and the table is an append stream");
	enum err err = json_scan(d->paths, bytes_str(in->record.value), d->values);
	if (err == ERR_NOMEM)
		return err;
	if (err)
		return refuse(d, in, err, err_chain());
	bool row = false;
	TRY(add_columns(d, in, &row));
	if (!row)
		return ERR_OK;
	TRY(add_hidden(d, in));
	d->inputs[d->count] = *in;
	d->origins[d->count] = (struct origin){.source = d->options.source_id,
	    .partition = in->partition,
	    .offset = in->record.offset,
	    .sequence = in->sequence,
	    .pos = in->pos};
	d->count++;
	return ERR_OK;
}

const struct decode_input *decoder_input(const struct decoder *d, uint64_t sequence, uint32_t pos)
{
	uint32_t low = 0, high = d->input_count;
	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		const struct decode_input *in = &d->inputs[mid];
		if (in->sequence == sequence && in->pos == pos)
			return in;
		if (in->sequence < sequence || (in->sequence == sequence && in->pos < pos))
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* ---- the contract over a batch --------------------------------------------------------------- */

/* Refuses the rows in `errors` (any order) and keeps the others. */
static enum err drop_failed(struct decoder *d, struct batch *b)
{
	if (d->errors.count == 0)
		return ERR_OK;
	for (uint32_t i = 0; i < b->count; i++)
		d->keep[i] = 1;
	for (uint32_t i = 0; i < d->errors.count; i++) {
		const struct row_error *e = &d->errors.errors[i];
		const struct origin *o = &b->origin[e->row];
		const struct decode_input *in = decoder_input(d, o->sequence, o->pos);
		ASSERT(in && e->row < b->count);
		if (!d->keep[e->row])
			continue;
		d->keep[e->row] = 0;
		TRY(refuse(d, in, e->err, e->message));
	}
	uint32_t kept = 0;
	for (uint32_t i = 0; i < b->count; i++)
		if (d->keep[i])
			d->keep[kept++] = i;
	batch_keep(b, d->keep, kept);
	d->errors.count = 0;
	return ERR_OK;
}

static enum err eval(
    struct decoder *d, const struct expr *e, const struct batch *b, struct vec *ret_vec)
{
	struct eval ev = {.arena = &d->temp,
	    .errors = &d->errors,
	    .count = b->count,
	    .active = NULL,
	    .fatal = ERR_OK};
	return expr_eval(&ev, e, b, ret_vec);
}

static enum err generate_columns(struct decoder *d, struct batch *b)
{
	const struct table *t = d->table;
	for (uint32_t i = 0; i < t->column_count && b->count > 0; i++) {
		const struct table_column *c = &t->columns[i];
		if (!c->generated)
			continue;
		TRY(eval(d, c->generated, b, &b->cols[i]));
		for (uint32_t row = 0; c->not_null && row < b->count; row++)
			if (vec_is_null(&b->cols[i], row))
				row_error_add(&d->errors, row, ERR_NULL_VALUE,
				    "column \"" STR_FMT "\" is NULL", STR_ARG(c->name));
		TRY(drop_failed(d, b));
	}
	return ERR_OK;
}

static enum err check_rows(struct decoder *d, struct batch *b)
{
	const struct table *t = d->table;
	for (uint32_t i = 0; i < t->check_count && b->count > 0; i++) {
		struct vec result;
		TRY(eval(d, t->checks[i], b, &result));
		for (uint32_t row = 0; row < b->count; row++)
			if (!vec_is_null(&result, row) && !result.b[vec_row(&result, row)])
				row_error_add(&d->errors, row, ERR_CHECK_FAILED,
				    "CHECK number %u of table \"" STR_FMT "\" is false", i + 1,
				    STR_ARG(t->name));
		TRY(drop_failed(d, b));
	}
	return ERR_OK;
}

static enum err check_event_time(struct decoder *d, struct batch *b)
{
	const struct table *t = d->table;
	if (t->event_time < 0)
		return ERR_OK;
	const struct vec *time = &b->cols[t->event_time];
	const char *name = t->columns[t->event_time].name.ptr;
	int name_len = (int)t->columns[t->event_time].name.len;
	for (uint32_t row = 0; row < b->count; row++) {
		if (vec_is_null(time, row)) {
			row_error_add(&d->errors, row, ERR_EVENT_TIME,
			    "event time \"%.*s\" is NULL", name_len, name);
			continue;
		}
		int64_t us = time->i[vec_row(time, row)];
		const struct decode_input *in = &d->inputs[row];
		if (b->origin[row].sequence != in->sequence || b->origin[row].pos != in->pos)
			in = decoder_input(d, b->origin[row].sequence, b->origin[row].pos);
		if (in && us > in->append_time_ns / 1000 + t->max_ahead_us)
			row_error_add(&d->errors, row, ERR_EVENT_TIME,
			    "event time \"%.*s\" is more than max_ahead later than the append time",
			    name_len, name);
	}
	return drop_failed(d, b);
}

enum err decoder_finish(struct decoder *d, struct batch *ret_batch)
{
	for (uint32_t i = 0; i < d->column_count; i++) {
		d->batch_cols[i] = d->cols[i];
		d->batch_cols[i].null = d->has_nulls[i] ? d->nulls[i] : NULL;
		d->batch_cols[i].constant = false;
	}
	d->input_count = d->count;
	d->errors.count = 0;
	struct batch b = {.count = d->count,
	    .column_count = d->column_count,
	    .cols = d->batch_cols,
	    .weight = NULL,
	    .origin = d->origins,
	    .arena = &d->temp};
	TRY(generate_columns(d, &b));
	TRY(check_rows(d, &b));
	TRY(check_event_time(d, &b));
	*ret_batch = b;
	return ERR_OK;
}
