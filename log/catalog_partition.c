/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows about partitions, and log_trim on top of them. Rows are put one at a time, so that each sees
 * what the one before it left: log_start and leader epoch never go back, whoever asks in whatever
 * order.
 */
#include "log/catalog_change.h"

/* ---- rows ------------------------------------------------------------------------------------ */

static void rows_kick(struct catalog *c)
{
	if (c->rows_posted || c->row || list_empty(&c->rows_waiting))
		return;
	c->rows_posted = true;
	loop_defer(c->log->loop, &c->rows_mail);
}

static void row_durable(struct log_table_put *put)
{
	struct catalog_partition_row *row = CONTAINER_OF(put, struct catalog_partition_row, put);
	struct catalog *c = put->table->log->catalog;
	ASSERT(c->row == row);
	c->row = NULL;
	rows_kick(c);
	row->err = put->err;
	row->done(row);
}

/* Text of a row: name and value of the partition, name and value of its gap. */
static enum err write_rows(const struct catalog_partition_row *row, struct writer text[4])
{
	struct row_name name = {
	    .kind = ROW_PARTITION, .id = row->topic_id, .partition = row->partition};
	row_name_write(&text[0], &name);
	partition_row_write(&text[1], row);
	if (row->gap) {
		name.kind = ROW_GAP;
		name.from = row->gap_from;
		row_name_write(&text[2], &name);
		gap_row_write(&text[3], row);
	}
	for (int i = 0; i < 4; i++)
		if (text[i].err != ERR_OK)
			return text[i].err;
	return ERR_OK;
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

static enum err row_put(struct catalog *c, struct catalog_partition_row *row)
{
	struct writer text[4];
	if (c->log->closing)
		return ERR_CLOSED;
	if (!catalog_partition(c->log, row->topic_id, row->partition))
		return ERR_UNKNOWN_TOPIC;
	TRY(row_advance(c, row));
	for (int i = 0; i < 4; i++)
		writer_init(&text[i], KIB);
	enum err err = write_rows(row, text);
	const struct log_row rows[2] = {
	    {writer_bytes(&text[0]), writer_bytes(&text[1])},
	    {writer_bytes(&text[2]), writer_bytes(&text[3])},
	};
	row->put = (struct log_table_put){
	    .rows = rows,
	    .row_count = row->gap ? 2 : 1,
	    .done = row_durable,
	};
	if (err == ERR_OK) {
		c->row = row;
		log_table_put(c->table, &row->put);
	}
	for (int i = 0; i < 4; i++)
		writer_release(&text[i]);
	return err;
}

void catalog_rows_run(struct mail *mail)
{
	struct catalog *c = CONTAINER_OF(mail, struct catalog, rows_mail);
	struct list_node *node;
	c->rows_posted = false;
	while (!c->row && (node = list_pop_front(&c->rows_waiting))) {
		struct catalog_partition_row *row =
		    CONTAINER_OF(node, struct catalog_partition_row, node);
		row->err = row_put(c, row);
		if (row->err != ERR_OK)
			row->done(row);
	}
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
