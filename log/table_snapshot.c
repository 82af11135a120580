/* SPDX-License-Identifier: Apache-2.0 */
/* Snapshots of tables at the roll of a segment: states and invariants in table.h. */
#include "log/table.h"

#define SNAPSHOT_BATCH_BYTES                                                                       \
	(256 * KIB) /* of records: one append, well below any journal's longest entry */

/* The records of one batch of a snapshot; compressed when it is appended, one per turn. */
struct snapshot_batch {
	struct list_node node;
	struct batch_builder builder;
};
struct table_snapshot {
	struct table_part *part;
	struct list batches; /* struct snapshot_batch still to be appended */
	struct batch_builder builder;
	int64_t time_ms;
	enum err err; /* first failure of emit */
	int64_t from; /* offset of its first batch */
	uint64_t bytes;
	struct log_append append;
	struct catalog_partition_row row;
};

static void snapshot_free(struct table_snapshot *s)
{
	struct list_node *node;
	while ((node = list_pop_front(&s->batches))) {
		struct snapshot_batch *b = CONTAINER_OF(node, struct snapshot_batch, node);
		batch_builder_release(&b->builder);
		mem_free(b);
	}
	batch_builder_release(&s->builder);
	mem_free(s->append.batch);
	mem_free(s);
}

/* ---- taking the rows ------------------------------------------------------------------------- */

static enum err snapshot_cut(struct table_snapshot *s)
{
	if (s->builder.count == 0)
		return ERR_OK;
	struct snapshot_batch *b = mem_calloc(1, sizeof(*b));
	if (!b)
		return ERR_NOMEM;
	b->builder = s->builder;
	list_push_back(&s->batches, &b->node);
	batch_builder_init(&s->builder, BATCH_NONE);
	return ERR_OK;
}

static void snapshot_emit(void *ctx, struct bytes key, struct bytes value)
{
	struct table_snapshot *s = ctx;
	if (s->err != ERR_OK)
		return;
	s->err = batch_builder_add(&s->builder, s->time_ms, key, value, NULL, 0);
	if (s->err == ERR_OK && s->builder.records.len >= SNAPSHOT_BATCH_BYTES)
		s->err = snapshot_cut(s);
}

/* ---- the end, good or bad -------------------------------------------------------------------- */

static int64_t active_base(const struct table_part *part)
{
	const struct segment *active = partition_active(part->partition);
	return active ? active->base_offset : -1;
}

static void release_waiting(struct table_part *part)
{
	struct list_node *node;
	part->state = TABLE_IDLE;
	while ((node = list_pop_front(&part->waiting))) {
		struct log_append *append = CONTAINER_OF(node, struct log_append, node);
		table_submit(part, CONTAINER_OF(append, struct log_table_put, append));
	}
}

static void snapshot_leave(struct table_snapshot *s, enum err err)
{
	struct table_part *part = s->part;
	struct log_table *table = part->table;
	if (err != ERR_OK)
		diag(DIAG_WARN, "table_snapshot_failed", "topic=" STR_FMT " partition=%d err=%s",
		    STR_ARG(table->topic->pub.name), part->index, err_name(err));
	snapshot_free(s);
	table->in_flight--;
	table_settle(table);
}

/* log_start is durable in the catalog: what lies before the snapshot may go. */
static void log_start_durable(struct catalog_partition_row *row)
{
	struct table_snapshot *s = CONTAINER_OF(row, struct table_snapshot, row);
	if (row->err == ERR_OK && !s->part->table->closed)
		partition_trim(s->part->partition, row->log_start);
	snapshot_leave(s, row->err);
}

/* All batches are durable. */
static void snapshot_end(struct table_snapshot *s)
{
	struct table_part *part = s->part;
	struct log_partition *p = part->partition;
	part->snapshot = NULL;
	part->snapshot_bytes = s->bytes;
	part->put_bytes = 0;
	part->segment_base = active_base(part); /* its own rolls do not call for another */
	s->row = (struct catalog_partition_row){
	    .topic_id = part->table->topic->pub.id,
	    .partition = part->index,
	    .log_start = s->from,
	    .leader_epoch = p->leader_epoch,
	    .done = log_start_durable,
	};
	release_waiting(part);
	catalog_put_partition(part->table->log, &s->row);
}

static void snapshot_abandon(struct table_snapshot *s, enum err err)
{
	struct table_part *part = s->part;
	part->snapshot = NULL;
	part->segment_base = active_base(part); /* the next roll tries again */
	release_waiting(part);
	snapshot_leave(s, err);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void snapshot_next(struct table_snapshot *s);

static enum err snapshot_build(struct snapshot_batch *b, uint8_t **ret_batch, size_t *ret_len)
{
	struct writer out;
	writer_init(&out, BATCH_BYTES_MAX);
	batch_builder_server_codec(&b->builder);
	enum err err = batch_builder_finish(&b->builder, &out);
	if (err == ERR_OK)
		*ret_batch = writer_take(&out, ret_len);
	else
		writer_release(&out);
	return err;
}

static void snapshot_batch_done(struct log_append *append)
{
	struct table_snapshot *s = CONTAINER_OF(append, struct table_snapshot, append);
	mem_free(append->batch);
	append->batch = NULL;
	if (append->err != ERR_OK || s->part->table->closed) {
		snapshot_abandon(s, append->err);
		return;
	}
	if (s->from < 0)
		s->from = append->base_offset;
	snapshot_next(s);
}

static void snapshot_next(struct table_snapshot *s)
{
	struct list_node *node = list_pop_front(&s->batches);
	if (!node) {
		snapshot_end(s);
		return;
	}
	struct snapshot_batch *b = CONTAINER_OF(node, struct snapshot_batch, node);
	struct log_append *append = &s->append;
	uint8_t *batch = NULL;
	size_t len = 0;
	enum err err = snapshot_build(b, &batch, &len);
	batch_builder_release(&b->builder);
	mem_free(b);
	if (err != ERR_OK) {
		snapshot_abandon(s, err);
		return;
	}
	s->bytes += len;
	*append = (struct log_append){
	    .partition = s->part->partition,
	    .batch = batch,
	    .batch_len = len,
	    .internal = true,
	    .done = snapshot_batch_done,
	};
	list_node_init(&append->node);
	log_append(s->part->table->log, &append, 1, false);
}

static void snapshot_start(struct table_part *part)
{
	struct log_table *table = part->table;
	struct table_snapshot *s = mem_calloc(1, sizeof(*s));
	if (!s) {
		diag(DIAG_WARN, "table_snapshot_failed", "topic=" STR_FMT " partition=%d err=NOMEM",
		    STR_ARG(table->topic->pub.name), part->index);
		part->segment_base = active_base(part);
		release_waiting(part);
		return;
	}
	*s = (struct table_snapshot){
	    .part = part,
	    .time_ms = loop_realtime_ns(table->log->loop) / MS_NS,
	    .from = -1,
	};
	list_init(&s->batches);
	batch_builder_init(&s->builder, BATCH_NONE);
	part->state = TABLE_WRITING;
	part->snapshot = s;
	table->in_flight++;
	table->ops.snapshot(table->ctx, part->index, snapshot_emit, s);
	if (s->err == ERR_OK)
		s->err = snapshot_cut(s);
	if (s->err != ERR_OK) {
		snapshot_abandon(s, s->err);
		return;
	}
	if (list_empty(&s->batches)) /* no row is alive: everything so far may go */
		s->from = part->partition->durable_end;
	snapshot_next(s);
}

void table_look(struct table_part *part)
{
	struct log_table *table = part->table;
	bool ending = table->closed || table->log->failed || table->log->closing;
	if (part->state == TABLE_IDLE) {
		const struct segment *active = ending ? NULL : partition_active(part->partition);
		if (active && part->segment_base < 0)
			part->segment_base =
			    partition_segment(part->partition, 0)->base_offset; /* its first */
		bool rolled = active && active->base_offset != part->segment_base;
		if (!rolled || !table->ops.snapshot || part->put_bytes < part->snapshot_bytes)
			return;
		part->state = TABLE_DRAINING;
	}
	if (part->state != TABLE_DRAINING || part->in_flight > 0)
		return;
	if (ending)
		release_waiting(part); /* the log answers them */
	else
		snapshot_start(part);
}
