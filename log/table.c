/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tables over internal topics: load, put, apply. See table.h for invariants; snapshots are in
 * table_snapshot.c.
 */
#include "log/table.h"
#include "log/catalog_change.h"

/* ---- load ------------------------------------------------------------------------------------ */

struct load {
	struct log_table *table;
	int32_t partition;
	struct writer scratch;
	uint64_t rows;
};

static enum err load_batch(void *ctx, const struct frame *frame, struct bytes batch)
{
	struct load *load = ctx;
	struct record_iter it;
	struct record r;
	TRY(record_iter_open(&it, batch, &load->scratch, BATCH_BYTES_MAX));
	if (it.header.attributes & BATCH_ATTR_CONTROL)
		return ERR_OK;
	enum err err;
	while ((err = record_iter_next(&it, &r)) == ERR_OK) {
		load->rows++;
		err = load->table->ops.apply(
		    load->table->ctx, load->partition, r.key, r.value, r.timestamp_ms);
		if (err != ERR_OK)
			return err_note(err, "record at offset %lld (sequence %llu)",
			    (long long)r.offset, (unsigned long long)frame->sequence);
	}
	return err == ERR_EOF ? ERR_OK : err;
}

static enum err load_partition(struct log_table *table, struct table_part *part)
{
	struct load load = {.table = table, .partition = part->index};
	struct log_partition *p = part->partition;
	writer_init(&load.scratch, BATCH_BYTES_MAX);
	enum err err = partition_walk(p, p->log_start, load_batch, &load);
	writer_release(&load.scratch);
	if (err != ERR_OK)
		return err_note(err, "table " STR_FMT " partition %d",
		    STR_ARG(table->topic->pub.name), part->index);
	/* more than one segment: a snapshot was due when the server stopped */
	const struct segment *first = partition_segment(p, 0);
	part->segment_base = first ? first->base_offset : -1;
	part->put_bytes = p->size_bytes;
	return ERR_OK;
}

static void answer_failed(struct mail *mail)
{
	struct log_table *table = CONTAINER_OF(mail, struct log_table, failed_mail);
	struct list_node *node;
	table->failed_posted = false;
	while ((node = list_pop_front(&table->failed))) {
		struct log_append *append = CONTAINER_OF(node, struct log_append, node);
		struct log_table_put *put = CONTAINER_OF(append, struct log_table_put, append);
		table->in_flight--;
		put->done(put);
	}
	table_settle(table);
}

enum err table_attach(struct log *log, struct topic *topic, const struct log_table_ops *ops,
    void *ctx, struct log_table **ret_table)
{
	int32_t count = topic->pub.partition_count;
	struct log_table *table =
	    mem_calloc(1, sizeof(*table) + (size_t)count * sizeof(table->part[0]));
	if (!table)
		return ERR_NOMEM;
	*table = (struct log_table){
	    .log = log,
	    .topic = topic,
	    .ops = *ops,
	    .ctx = ctx,
	    .failed_mail = {.run = answer_failed},
	    .part_count = count,
	};
	list_init(&table->failed);
	enum err err = ERR_OK;
	for (int32_t i = 0; i < count && err == ERR_OK; i++) {
		struct table_part *part = &table->part[i];
		*part = (struct table_part){
		    .table = table,
		    .index = i,
		    .partition = topic->partitions[i],
		};
		list_init(&part->waiting);
		err = load_partition(table, part);
	}
	if (err != ERR_OK) {
		mem_free(table);
		return err;
	}
	*ret_table = table;
	return ERR_OK;
}

/* ---- open and close -------------------------------------------------------------------------- */

struct create_wait {
	struct log_topic_req req;
	struct gate gate;
};

static void create_wait_done(struct log_topic_req *req)
{
	struct create_wait *wait = CONTAINER_OF(req, struct create_wait, req);
	gate_open(&wait->gate);
}

static enum err create_topic(struct log *log, struct str name, int32_t partition_count, bool table)
{
	struct create_wait wait = {
	    .req =
	        {
	            .op = LOG_TOPIC_CREATE,
	            .name = name,
	            .partition_count = partition_count,
	            .internal = true,
	            .done = create_wait_done,
	        },
	};
	wait.req.configs = topic_internal_configs(table, &wait.req.config_count);
	gate_init(&wait.gate);
	log_topic_submit(log, &wait.req);
	loop_wait(log->loop, &wait.gate);
	gate_release(&wait.gate);
	if (wait.req.err == ERR_OK)
		return ERR_OK;
	return err_note(wait.req.err, "table " STR_FMT ": %s", STR_ARG(name), wait.req.message);
}

enum err log_table_open(struct log *log, struct str topic, int32_t partition_count,
    const struct log_table_ops *ops, void *ctx, struct log_table **ret_table)
{
	loop_assert_owner(log->loop);
	if (!log_topic_find(log, topic))
		TRY(create_topic(log, topic, partition_count, ops->snapshot != NULL));
	const struct log_topic *found = log_topic_find(log, topic);
	if (found->partition_count != partition_count)
		return err_note(ERR_INVALID_PARTITIONS,
		    "table " STR_FMT " has %d partitions, not %d", STR_ARG(topic),
		    found->partition_count, partition_count);
	return table_attach(log, topic_of(found), ops, ctx, ret_table);
}

void table_settle(struct log_table *table)
{
	if (table->closed && table->in_flight == 0)
		mem_free(table);
}

void log_table_close(struct log_table *table)
{
	if (!table)
		return;
	ASSERT(!table->closed);
	table->closed = true;
	table_settle(table);
}

/* ---- put ------------------------------------------------------------------------------------- */

/* done(err) later in this turn: never from inside the call that started it. */
static void put_fail(struct log_table *table, struct log_table_put *put, enum err err)
{
	put->err = err;
	list_push_back(&table->failed, &put->append.node);
	table->in_flight++;
	if (!table->failed_posted) {
		table->failed_posted = true;
		loop_defer(table->log->loop, &table->failed_mail);
	}
}

static enum err apply_rows(struct table_part *part, const struct log_append *append)
{
	struct log_table *table = part->table;
	struct record_iter it;
	struct record r;
	struct writer scratch;
	writer_init(&scratch, BATCH_BYTES_MAX);
	enum err err = record_iter_open(
	    &it, bytes_of(append->batch, append->batch_len), &scratch, BATCH_BYTES_MAX);
	while (err == ERR_OK && (err = record_iter_next(&it, &r)) == ERR_OK)
		err = table->ops.apply(table->ctx, part->index, r.key, r.value, r.timestamp_ms);
	writer_release(&scratch);
	return err == ERR_EOF ? ERR_OK : err;
}

static void put_done(struct log_append *append)
{
	struct log_table_put *put = CONTAINER_OF(append, struct log_table_put, append);
	struct log_table *table = put->table;
	struct table_part *part = &table->part[put->partition];
	put->err = append->err;
	put->sequence = append->sequence;
	if (append->err == ERR_OK && !table->closed) {
		part->put_bytes += append->batch_len;
		enum err err = apply_rows(part, append);
		/* the record is durable, memory does not have it: only a restart mends that */
		if (err != ERR_OK)
			engine_fail(table->log, err, "a durable row could not be applied");
	}
	mem_free(append->batch);
	append->batch = NULL;
	put->done(put);
	part->in_flight--;
	table->in_flight--;
	table_look(part);
	table_settle(table);
}

void table_submit(struct table_part *part, struct log_table_put *put)
{
	struct log_append *append = &put->append;
	if (put->commit) {
		commit_submit(put->commit);
		return;
	}
	part->in_flight++;
	log_append(part->table->log, &append, 1, false);
}

static enum err put_build(
    struct log_table *table, const struct log_table_put *put, uint8_t **ret_batch, size_t *ret_len)
{
	struct batch_builder b;
	struct writer out;
	int64_t now_ms = loop_realtime_ns(table->log->loop) / MS_NS;
	int64_t time_ms = put->timestamp_ms != 0 ? put->timestamp_ms : now_ms;
	enum err err = ERR_OK;
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&out, BATCH_BYTES_MAX);
	for (size_t i = 0; i < put->row_count && err == ERR_OK; i++)
		err = batch_builder_add(&b, time_ms, put->rows[i].key, put->rows[i].value, NULL, 0);
	batch_builder_server_codec(&b);
	if (err == ERR_OK)
		err = batch_builder_finish(&b, &out);
	batch_builder_release(&b);
	if (err != ERR_OK) {
		writer_release(&out);
		return err;
	}
	*ret_batch = writer_take(&out, ret_len);
	return ERR_OK;
}

enum err table_prepare(struct log_table_put *put)
{
	struct log_table *table = put->table;
	ASSERT(!table->closed && put->done);
	ASSERT(put->partition >= 0 && put->partition < table->part_count);
	uint8_t *batch;
	size_t len;
	put->sequence = 0;
	put->append = (struct log_append){
	    .done = put_done, .internal = true, .partition = table_part_of(put)->partition};
	list_node_init(&put->append.node);
	TRY(put_build(table, put, &batch, &len));
	put->append.batch = batch;
	put->append.batch_len = len;
	table->in_flight++;
	return ERR_OK;
}

void table_unprepare(struct log_table_put *put)
{
	mem_free(put->append.batch);
	put->append.batch = NULL;
	put->table->in_flight--;
}

void log_table_put(struct log_table *table, struct log_table_put *put)
{
	loop_assert_owner(table->log->loop);
	put->table = table;
	put->commit = NULL;
	enum err err = table_prepare(put);
	if (err != ERR_OK) {
		put_fail(table, put, err);
		return;
	}
	struct table_part *part = table_part_of(put);
	if (part->state == TABLE_IDLE)
		table_submit(part, put);
	else
		list_push_back(&part->waiting, &put->append.node);
}

/* ---- put and wait ---------------------------------------------------------------------------- */

struct put_wait {
	struct log_table_put put;
	struct log_table *table;
	struct gate gate;
};

static void put_wait_done(struct log_table_put *put)
{
	struct put_wait *wait = CONTAINER_OF(put, struct put_wait, put);
	gate_open(&wait->gate);
}

static void put_wait_start(void *arg)
{
	struct put_wait *wait = arg;
	log_table_put(wait->table, &wait->put);
}

enum err log_table_put_wait(
    struct log_table *table, int32_t partition, const struct log_row *rows, size_t count)
{
	struct put_wait wait = {
	    .table = table,
	    .put = {.partition = partition,
	        .rows = rows,
	        .row_count = count,
	        .done = put_wait_done},
	};
	gate_init(&wait.gate);
	loop_call(table->log->loop, put_wait_start, &wait);
	loop_wait(table->log->loop, &wait.gate);
	gate_release(&wait.gate);
	return wait.put.err;
}
