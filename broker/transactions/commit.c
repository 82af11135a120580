/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a change of a transaction: its record, and at the end all that goes with it, in one
 * round. */
#include "log/batch.h"
#include "transactions.h"

struct transaction_commit {
	struct log_commit commit;
	struct transaction_op *op;
	struct row_list *lists;        /* one per put */
	struct pending_list **written; /* whose cuts go with it */
	size_t written_count;
	struct log_table_put *puts;
	struct log_append *appends;
	struct writer markers; /* one behind the other */
	size_t marker_len;
	size_t list_count, append_count;
	enum err err;
	struct mail failed;
};

static void commit_free(struct transaction_commit *c)
{
	for (size_t i = 0; c->lists && i < c->list_count; i++)
		row_list_release(&c->lists[i]);
	for (size_t i = 0; i < c->written_count; i++)
		pending_write_end(c->written[i]);
	mem_free(c->written);
	writer_release(&c->markers);
	mem_free(c->lists);
	mem_free(c->puts);
	mem_free(c->appends);
	mem_free(c);
}

/* What others meet when the log refuses for now; the state is as it was. */
static enum err commit_error(enum err e)
{
	switch ((int)e) {
	case ERR_CANCELLED:
	case ERR_AGAIN:
	case ERR_NOSPACE:
	case ERR_NOMEM:
	case ERR_IO:
	case ERR_CLOSED:
	case ERR_UNKNOWN_TOPIC: /* a partition was deleted just now: the next try leaves it out */
	case ERR_DAMAGED:
		return ERR_COORDINATOR_NOT_AVAILABLE;
	default:
		return e;
	}
}

static void end(struct transaction_commit *c, enum err e)
{
	struct transaction_op *op = c->op;
	if (e == ERR_OK)
		op->t->last_epoch = op->next_last_epoch;
	else
		diag(DIAG_WARN, "transaction_write_failed", "id=\"" STR_FMT "\" err=%s",
		    STR_ARG(op->t->id), err_name(e));
	commit_free(c);
	op->commit_job = NULL;
	transaction_op_end(op, commit_error(e));
}

static void on_committed(struct log_commit *commit)
{
	struct transaction_commit *c = CONTAINER_OF(commit, struct transaction_commit, commit);
	end(c, commit->err);
}

static void on_failed(struct mail *mail)
{
	struct transaction_commit *c = CONTAINER_OF(mail, struct transaction_commit, failed);
	end(c, c->err);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static struct row_list *list_new(
    struct transaction_commit *c, struct log_table *table, int32_t partition)
{
	struct row_list *list = &c->lists[c->list_count];
	c->puts[c->list_count] = (struct log_table_put){.table = table, .partition = partition};
	c->list_count++;
	row_list_init(list);
	return list;
}

/* Of one group, unless all of them are void. */
static enum err add_offsets(
    struct transaction_commit *c, const struct pending_group *p, struct row_list *cuts)
{
	struct pending_list *written = NULL;
	struct row_list *list =
	    list_new(c, c->op->t->all->groups->table, groups_partition(pending_group_name(p)));
	TRY(pending_offset_rows(p, list, cuts, &written));
	if (written)
		c->written[c->written_count++] = written;
	if (list->count == 0) {
		row_list_release(list);
		c->list_count--;
	}
	return list->err;
}

static enum err add_rows(struct transaction_commit *c, bool ended)
{
	const struct transaction *t = c->op->t;
	struct transactions *ts = t->all;
	transaction_row_add(
	    list_new(c, ts->table, transaction_partition(t->id)), t->id, &c->op->next);
	if (c->op->want == TRANSACTION_ADD && c->op->offsets)
		return pending_add_row(c->op, list_new(c, ts->offsets, 0));
	if (!ended || list_empty(&t->pending))
		return ERR_OK;
	struct row_list *gone = list_new(c, ts->offsets, 0);
	LIST_EACH (&t->pending, n, next) {
		const struct pending_group *p = CONTAINER_OF(n, struct pending_group, node);
		pending_row_add(gone, t->id, pending_group_name(p), NULL);
		if (c->op->commit)
			TRY(add_offsets(c, p, gone));
	}
	return ERR_OK;
}

static enum err take_rows(struct transaction_commit *c)
{
	for (size_t i = 0; i < c->list_count; i++) {
		TRY(row_list_rows(&c->lists[i], &c->puts[i].rows));
		c->puts[i].row_count = c->lists[i].count;
	}
	return ERR_OK;
}

/* ---- markers --------------------------------------------------------------------------------- */

static void add_marker(struct transaction_commit *c, const struct transaction_part *part)
{
	const struct transactions *ts = c->op->t->all;
	const struct log_topic *topic = log_topic_find(ts->log, part->topic);
	if (!topic || topic->internal)
		return; /* deleted since; offsets are rows of their table */
	struct log_partition *p = log_partition_find(ts->log, topic, part->partition);
	if (!p)
		return;
	c->appends[c->append_count++] =
	    (struct log_append){.partition = p, .internal = true, .batch_len = c->marker_len};
}

static enum err add_markers(struct transaction_commit *c)
{
	const struct transaction *t = c->op->t;
	struct batch_marker m = {.producer_id = t->row.producer_id,
	    .producer_epoch = c->op->marker_epoch,
	    .commit = c->op->commit};
	int64_t now_ms = transactions_wall_ms(t->all);
	writer_init(&c->markers, (t->row.part_count + 1) * BATCH_MARKER_BYTES);
	TRY(batch_marker_build(&m, now_ms, &c->markers));
	c->marker_len = c->markers.len;
	for (size_t i = 0; i < t->row.part_count; i++)
		add_marker(c, &t->row.parts[i]);
	/* each has its own copy: the log stamps it */
	for (size_t i = 1; i < c->append_count; i++)
		TRY(batch_marker_build(&m, now_ms, &c->markers));
	for (size_t i = 0; i < c->append_count; i++)
		c->appends[i].batch = c->markers.ptr + i * c->marker_len;
	return ERR_OK;
}

/* ---- */

static enum err build(struct transaction_commit *c, bool ended)
{
	const struct transaction *t = c->op->t;
	size_t groups = 0, parts = ended ? t->row.part_count : 0;
	LIST_EACH (&t->pending, n, next)
		groups++;
	c->lists = mem_calloc(groups + 2, sizeof(*c->lists));
	c->puts = mem_calloc(groups + 2, sizeof(*c->puts));
	c->appends = mem_calloc(parts + 1, sizeof(*c->appends));
	c->written = mem_calloc(groups + 1, sizeof(struct pending_list *));
	if (!c->written || !c->lists || !c->puts || !c->appends)
		return ERR_NOMEM;
	TRY(add_rows(c, ended));
	TRY(take_rows(c));
	return ended ? add_markers(c) : ERR_OK;
}

void transaction_write(struct transaction_op *op, bool ended)
{
	if (ended && op->commit && pending_must_wait(op))
		return;
	struct transaction_commit *c = mem_calloc(1, sizeof(*c));
	if (!c) {
		transaction_op_end(op, ERR_COORDINATOR_NOT_AVAILABLE);
		return;
	}
	c->op = op;
	op->commit_job = c;
	c->err = build(c, ended);
	if (c->err != ERR_OK) {
		c->failed.run = on_failed;
		loop_defer(op->t->all->loop, &c->failed);
		return;
	}
	c->commit = (struct log_commit){.puts = c->puts,
	    .put_count = c->list_count,
	    .appends = c->appends,
	    .append_count = c->append_count,
	    .done = on_committed};
	log_commit(op->t->all->log, &c->commit);
}
