/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feed, see feed.h.
 *
 * Rows wait in the decoder of one source at a time: a batch for another source flushes it first, so
 * that operators see records in sequence order. What rows point to (values, keys) stands in the
 * log's batch, which is gone at the next one; so the records of a small batch are copied to `raw`
 * once, and a large batch is pushed before it goes.
 */
#include "processor/feed.h"

enum {
	FEED_RAW_BYTES_MAX = 256 << 20,
	FEED_GATHER_BYTES = 64 << 10, /* larger batches are not copied but pushed at once */
	FEED_GATHERED_BYTES_MAX = 8 << 20,
};

struct feed_source {
	struct decoder *decoder;
	struct log_uuid topic_id;
	struct str topic;
	uint32_t id;
};
struct feed {
	struct feed_options options;
	struct feed_source *sources;
	uint32_t source_count;
	bool bracketed;
	struct feed_source *current; /* whose decoder holds rows; NULL = none */
	struct arena raw;            /* records of gathered rows */
	size_t raw_bytes;
	struct writer scratch;             /* a decompressed batch */
	const struct decode_input *record; /* bracketed: the record at work */
	bool record_dead;
	enum err err; /* of `dead`, from inside a callback */
	uint64_t records;
};

/* Hands a record to its owner's dead letters; fills in what the feed knows. */
static enum err feed_dead(struct feed *f, const struct feed_source *s, struct feed_dead d)
{
	f->record_dead = true;
	d.topic_id = s->topic_id;
	d.topic = s->topic;
	return f->options.dead(f->options.ctx, &d);
}

struct refuse_ctx {
	struct feed *feed;
	struct feed_source *source;
};

static enum err decode_refused(
    void *ctx, const struct decode_input *in, enum err reason, const char *message)
{
	struct refuse_ctx *r = ctx;
	return feed_dead(r->feed, r->source,
	    (struct feed_dead){.in = in, .op = "decode", .reason = reason, .message = message});
}

/* ---- construction ---------------------------------------------------------------------------- */

/* The refusal contexts stand behind the sources, in the same allocation. */
static struct refuse_ctx *refuse_of(struct feed *f, uint32_t i)
{
	return (struct refuse_ctx *)(void *)(f->sources + f->source_count) + i;
}

static enum err new_source(struct feed *f, uint32_t i, uint32_t rows)
{
	const struct plan *p = f->options.plan->sources[i];
	struct feed_source *s = &f->sources[i];
	ASSERT(p->kind == PLAN_SOURCE);
	*s =
	    (struct feed_source){.topic_id = p->table->topic_id, .topic = p->table->topic, .id = i};
	*refuse_of(f, i) = (struct refuse_ctx){f, s};
	struct decoder_options o = {.table = p->table,
	    .column_needed = p->column_needed,
	    .source_id = i,
	    .topic = s->topic,
	    .capacity = rows,
	    .refuse = decode_refused,
	    .refuse_ctx = refuse_of(f, i)};
	return decoder_new(&o, &s->decoder);
}

static bool topics_repeat(const struct view_plan *plan)
{
	for (uint32_t i = 0; i < plan->source_count; i++)
		for (uint32_t k = 0; k < i; k++)
			if (log_uuid_equal(plan->sources[i]->table->topic_id,
			        plan->sources[k]->table->topic_id))
				return true;
	return false;
}

enum err feed_new(const struct feed_options *options, struct feed **ret_feed)
{
	ASSERT(options->batch_rows > 0 && options->batch_rows <= BATCH_ROWS_MAX && options->dead);
	struct feed *f = mem_calloc(1, sizeof(*f));
	if (!f)
		return ERR_NOMEM;
	f->options = *options;
	f->bracketed =
	    options->one_by_one || op_needs_records(options->tree) || topics_repeat(options->plan);
	arena_init(&f->raw, FEED_RAW_BYTES_MAX);
	writer_init(&f->scratch, FEED_RAW_BYTES_MAX);
	uint32_t count = options->plan->source_count;
	f->sources = mem_calloc(count + 1u, sizeof(*f->sources) + sizeof(struct refuse_ctx));
	enum err err = f->sources ? ERR_OK : ERR_NOMEM;
	f->source_count = count;
	for (uint32_t i = 0; err == ERR_OK && i < count; i++)
		err = new_source(f, i, f->bracketed ? 1 : options->batch_rows);
	if (err) {
		feed_free(f);
		return err;
	}
	*ret_feed = f;
	return ERR_OK;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; f->sources && i < f->source_count; i++)
		decoder_free(f->sources[i].decoder);
	mem_free(f->sources);
	arena_release(&f->raw);
	writer_release(&f->scratch);
	mem_free(f);
}

uint64_t feed_records(const struct feed *f)
{
	return f->records;
}

/* ---- errors of operators --------------------------------------------------------------------- */

void feed_refused(struct feed *f, const struct op_error *e)
{
	struct feed_source *s = f->current;
	const struct decode_input *in = f->record;
	if (e->origin) {
		ASSERT(e->origin->source < f->source_count);
		s = &f->sources[e->origin->source];
		in = decoder_input(s->decoder, e->origin->sequence, e->origin->pos);
	}
	ASSERT(s && in); /* a record that fails is one of those being pushed */
	enum err err = feed_dead(f, s,
	    (struct feed_dead){.in = in, .op = e->op, .reason = e->err, .message = e->message});
	if (f->err == ERR_OK)
		f->err = err;
}

static enum err take_error(struct feed *f)
{
	enum err err = f->err;
	f->err = ERR_OK;
	return err;
}

/* ---- rows gathered --------------------------------------------------------------------------- */

static enum err push_gathered(struct feed *f)
{
	struct feed_source *s = f->current;
	if (!s)
		return ERR_OK;
	struct batch batch;
	TRY(decoder_finish(s->decoder, &batch));
	if (batch.count > 0)
		TRY(op_push(f->options.tree, s->id, &batch));
	TRY(take_error(f));
	f->current = NULL;
	return ERR_OK;
}

enum err feed_flush(struct feed *f)
{
	TRY(push_gathered(f));
	arena_clear(&f->raw);
	f->raw_bytes = 0;
	return ERR_OK;
}

static enum err gather(struct feed *f, struct feed_source *s, const struct decode_input *in)
{
	if (f->current && decoder_count(s->decoder) == f->options.batch_rows)
		TRY(push_gathered(f));
	if (!f->current) {
		decoder_begin(s->decoder);
		f->current = s;
	}
	return decoder_add(s->decoder, in);
}

/* ---- records one at a time ------------------------------------------------------------------- */

/* Decodes for one source and pushes; the record may die on the way. */
static enum err push_record(struct feed *f, struct feed_source *s, const struct decode_input *in)
{
	struct batch batch;
	f->current = s;
	decoder_begin(s->decoder);
	TRY(decoder_add(s->decoder, in));
	TRY(decoder_finish(s->decoder, &batch));
	if (f->record_dead || batch.count == 0)
		return ERR_OK;
	TRY(op_push(f->options.tree, s->id, &batch));
	return take_error(f);
}

static enum err bracket(struct feed *f, struct log_uuid topic_id, const struct decode_input *in)
{
	bool accepted = true;
	struct str topic = {NULL, 0};
	f->record = in;
	f->record_dead = false;
	op_begin_record(f->options.tree);
	for (uint32_t i = 0; i < f->source_count && !f->record_dead; i++)
		if (log_uuid_equal(f->sources[i].topic_id, topic_id)) {
			topic = f->sources[i].topic;
			TRY(push_record(f, &f->sources[i], in));
		}
	bool decode_dead = f->record_dead;
	if (decode_dead)
		TRY(op_abort_record(f->options.tree));
	else
		TRY(op_end_record(f->options.tree, &accepted));
	TRY(take_error(f));
	ASSERT(decode_dead || accepted == !f->record_dead);
	f->current = NULL;
	f->record = NULL;
	if (f->options.record)
		return f->options.record(f->options.ctx, in, topic, !f->record_dead);
	return ERR_OK;
}

/* ---- batches --------------------------------------------------------------------------------- */

static struct feed_source *source_of(struct feed *f, struct log_uuid topic_id)
{
	for (uint32_t i = 0; i < f->source_count; i++)
		if (log_uuid_equal(f->sources[i].topic_id, topic_id))
			return &f->sources[i];
	return NULL;
}

/* Makes the batch's records outlive it. */
static enum err keep_records(struct feed *f, struct record_iter *it)
{
	struct bytes copy = arena_copy(&f->raw, bytes_of(it->records.ptr, it->records.len));
	if (!copy.ptr && it->records.len > 0)
		return ERR_NOMEM;
	it->records.ptr = copy.ptr;
	f->raw_bytes += copy.len;
	return ERR_OK;
}

static enum err feed_records_of(struct feed *f, struct feed_source *s, struct record_iter *it,
    const struct log_batch_view *b, int64_t from_offset)
{
	struct decode_input in = {.sequence = b->sequence,
	    .partition = b->partition,
	    .append_time_ns = b->append_time_ns};
	for (;;) {
		enum err err = record_iter_next(it, &in.record);
		if (err == ERR_EOF)
			return ERR_OK;
		TRY(err);
		in.pos = (uint32_t)(in.record.offset - b->base_offset);
		if (in.record.offset < from_offset)
			continue;
		f->records++;
		if (f->bracketed)
			TRY(bracket(f, b->topic_id, &in));
		else
			TRY(gather(f, s, &in));
	}
}

enum err feed_batch(struct feed *f, const struct log_batch_view *b, int64_t from_offset)
{
	struct record_iter it;
	struct feed_source *s = source_of(f, b->topic_id);
	if (!s)
		return ERR_OK;
	TRY(record_iter_open(&it, b->batch, &f->scratch, FEED_RAW_BYTES_MAX));
	if (it.header.attributes & BATCH_ATTR_CONTROL)
		return ERR_OK;
	if (f->current && f->current != s)
		TRY(feed_flush(f));
	bool small = it.records.len <= FEED_GATHER_BYTES && !f->bracketed;
	if (small)
		TRY(keep_records(f, &it));
	else
		TRY(feed_flush(f));
	TRY(feed_records_of(f, s, &it, b, from_offset));
	if (!small || f->raw_bytes > FEED_GATHERED_BYTES_MAX)
		return feed_flush(f);
	return ERR_OK;
}
