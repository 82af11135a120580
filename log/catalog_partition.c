/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows about partitions, and log_trim on top of them. Rows that wait at the same time are put in
 * one batch, but those of one partition one after the other, so that each sees what the one before
 * it left: log_start and leader epoch never go back, whoever asks in whatever order.
 */
#include "log/catalog_change.h"

/* ---- rows ------------------------------------------------------------------------------------ */

static void rows_kick(struct catalog *c)
{
	if (c->rows_posted || !list_empty(&c->rows_put) || list_empty(&c->rows_waiting))
		return;
	c->rows_posted = true;
	loop_defer(c->log->loop, &c->rows_mail);
}

/* Takes over what the catalog has further on. */
static enum err row_advance(const struct catalog *c, struct catalog_partition_row *row)
{
	struct row_name name = {
	    .kind = ROW_PARTITION, .id = row->topic_id, .partition = row->partition};
	const struct catalog_kept *kept = catalog_kept(c, &name);
	int64_t log_start;
	uint32_t epoch;
	if (!kept)
		return ERR_OK;
	TRY(partition_row_parse(kept->value, &log_start, &epoch));
	if (log_start > row->log_start)
		row->log_start = log_start;
	if (epoch > row->leader_epoch)
		row->leader_epoch = epoch;
	return ERR_OK;
}

/* A batch of rows while it is made. */
struct rows {
	struct writer text;
	size_t end[4 * CATALOG_ROWS_MAX]; /* in `text`, of each name and value in turn */
	size_t count;                     /* of these */
	struct log_row row[2 * CATALOG_ROWS_MAX];
};

/* Name and value of the partition, name and value of its gap. */
static void rows_write(struct rows *rs, const struct catalog_partition_row *row)
{
	struct row_name name = {
	    .kind = ROW_PARTITION, .id = row->topic_id, .partition = row->partition};
	row_name_write(&rs->text, &name);
	rs->end[rs->count++] = rs->text.len;
	partition_row_write(&rs->text, row);
	rs->end[rs->count++] = rs->text.len;
	if (!row->gap)
		return;
	name.kind = ROW_GAP;
	name.from = row->gap_from;
	row_name_write(&rs->text, &name);
	rs->end[rs->count++] = rs->text.len;
	gap_row_write(&rs->text, row);
	rs->end[rs->count++] = rs->text.len;
}

static struct bytes rows_text(const struct rows *rs, size_t i)
{
	size_t from = i > 0 ? rs->end[i - 1] : 0;
	return bytes_of(rs->text.ptr + from, rs->end[i] - from);
}

/* All that are under way have ended. */
static void rows_answer(struct catalog *c, enum err err)
{
	struct list rows;
	struct list_node *node;
	list_init(&rows);
	while ((node = list_pop_front(&c->rows_put))) {
		const struct catalog_partition_row *row =
		    CONTAINER_OF(node, struct catalog_partition_row, node);
		struct log_partition *p = catalog_partition(c->log, row->topic_id, row->partition);
		if (p)
			p->row_under_way = false;
		list_push_back(&rows, node);
	}
	rows_kick(c);
	while ((node = list_pop_front(&rows))) {
		struct catalog_partition_row *row =
		    CONTAINER_OF(node, struct catalog_partition_row, node);
		row->err = err;
		row->done(row);
	}
}

static void rows_durable(struct log_table_put *put)
{
	rows_answer(put->table->log->catalog, put->err);
}

/*
 * The first row that waits joins the batch. ERR_AGAIN: another one of its partition is in it, which
 * is to be seen first. Any other error is that row's own.
 */
static enum err rows_add(struct catalog *c, struct rows *rs, struct catalog_partition_row *row)
{
	struct log_partition *p = catalog_partition(c->log, row->topic_id, row->partition);
	if (c->log->closing)
		return ERR_CLOSED;
	if (!p)
		return ERR_UNKNOWN_TOPIC;
	if (p->row_under_way)
		return ERR_AGAIN;
	TRY(row_advance(c, row));
	rows_write(rs, row);
	TRY(rs->text.err);
	p->row_under_way = true;
	list_remove(&row->node);
	list_push_back(&c->rows_put, &row->node);
	return ERR_OK;
}

static void rows_collect(struct catalog *c, struct rows *rs)
{
	struct list_node *node;
	size_t n = 0;
	while (n < CATALOG_ROWS_MAX && (node = list_first(&c->rows_waiting))) {
		struct catalog_partition_row *row =
		    CONTAINER_OF(node, struct catalog_partition_row, node);
		enum err err = rows_add(c, rs, row);
		if (err == ERR_AGAIN)
			return;
		if (err == ERR_OK) {
			n++;
			continue;
		}
		list_remove(node);
		row->err = err;
		row->done(row);
		if (rs->text.err != ERR_OK)
			return;
	}
}

static void rows_submit(struct catalog *c, struct rows *rs)
{
	for (size_t i = 0; i < rs->count; i += 2)
		rs->row[i / 2] = (struct log_row){rows_text(rs, i), rows_text(rs, i + 1)};
	c->put = (struct log_table_put){
	    .rows = rs->row,
	    .row_count = rs->count / 2,
	    .done = rows_durable,
	};
	log_table_put(c->table, &c->put);
}

void catalog_rows_run(struct mail *mail)
{
	struct catalog *c = CONTAINER_OF(mail, struct catalog, rows_mail);
	c->rows_posted = false;
	if (!list_empty(&c->rows_put))
		return;
	struct rows *rs = mem_alloc(sizeof(*rs));
	if (!rs) {
		while (list_first(&c->rows_waiting))
			list_push_back(&c->rows_put, list_pop_front(&c->rows_waiting));
		rows_answer(c, ERR_NOMEM);
		return;
	}
	rs->count = 0;
	writer_init(&rs->text, CATALOG_ROWS_MAX * KIB);
	rows_collect(c, rs);
	if (rs->text.err != ERR_OK)
		rows_answer(c, rs->text.err);
	else if (!list_empty(&c->rows_put))
		rows_submit(c, rs);
	writer_release(&rs->text);
	mem_free(rs);
}

void catalog_put_partition(struct log *log, struct catalog_partition_row *row)
{
	loop_assert_owner(log->loop);
	ASSERT(row->done && row->log_start >= 0);
	list_push_back(&log->catalog->rows_waiting, &row->node);
	rows_kick(log->catalog);
}

/* ---- log_trim -------------------------------------------------------------------------------- */

struct trim {
	struct catalog_partition_row row;
	struct log_trim *req;
};

static void trim_answer(struct mail *mail)
{
	struct log_trim *req = CONTAINER_OF(mail, struct log_trim, mail);
	struct log_partition *p = req->partition;
	p->log->catalog->trims--;
	req->log_start = p->log_start;
	req->done(req);
	partition_unref(p);
}

static void trim_durable(struct catalog_partition_row *row)
{
	struct trim *t = CONTAINER_OF(row, struct trim, row);
	struct log_trim *req = t->req;
	req->err = row->err;
	if (row->err == ERR_OK && req->partition->topic)
		partition_trim(req->partition, row->log_start);
	mem_free(t);
	trim_answer(&req->mail);
}

static enum err trim_check(const struct log_partition *p, int64_t offset)
{
	if (!p->topic)
		return ERR_UNKNOWN_TOPIC;
	if (p->topic->internal)
		return err_note(ERR_INVALID_TOPIC, "the server trims its own topics itself");
	if (!(p->topic->config.cleanup & LOG_CLEANUP_DELETE))
		return err_note(ERR_POLICY_VIOLATION, "cleanup.policy of the topic has no delete");
	if (offset < -1 || offset > p->visible_end)
		return err_note(ERR_OFFSET_OUT_OF_RANGE, "offset %lld, the partition ends at %lld",
		    (long long)offset, (long long)p->visible_end);
	return ERR_OK;
}

/* Starts it; ERR_EXISTS: there is nothing to do. */
static enum err trim_start(struct log *log, struct log_trim *req)
{
	struct log_partition *p = req->partition;
	int64_t offset = req->offset;
	TRY(trim_check(p, offset));
	if (offset < 0 || offset > p->durable_end)
		offset = p->durable_end;
	if (offset <= p->log_start)
		return ERR_EXISTS;
	struct trim *t = mem_calloc(1, sizeof(*t));
	if (!t)
		return ERR_NOMEM;
	t->req = req;
	t->row = (struct catalog_partition_row){
	    .topic_id = p->topic->id,
	    .partition = p->key.partition,
	    .log_start = offset,
	    .leader_epoch = p->leader_epoch,
	    .done = trim_durable,
	};
	catalog_put_partition(log, &t->row);
	return ERR_OK;
}

void log_trim(struct log *log, struct log_trim *req)
{
	loop_assert_owner(log->loop);
	ASSERT(req->done);
	req->mail.run = trim_answer;
	partition_ref(req->partition);
	log->catalog->trims++;
	enum err err = trim_start(log, req);
	if (err == ERR_OK)
		return;
	req->err = err == ERR_EXISTS ? ERR_OK : err;
	loop_defer(log->loop, &req->mail);
}
