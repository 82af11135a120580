/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_commit: rows of tables and batches of partitions in one round. A table that is writing a
 * snapshot takes no rows (T2): the whole commit waits in that partition's queue and looks again
 * when it is let go.
 */
#include "log/table.h"

static void commit_landed(struct log_commit *c, enum err err)
{
	bool cancelled = err == ERR_CANCELLED && c->err == ERR_OK; /* another one says why */
	if (err != ERR_OK && (c->err == ERR_OK || c->err == ERR_CANCELLED))
		c->err = cancelled ? ERR_CANCELLED : err;
	ASSERT(c->pending > 0);
	if (--c->pending > 0)
		return;
	mem_free(c->reqs);
	c->reqs = NULL;
	c->done(c);
}

static void put_landed(struct log_table_put *put)
{
	commit_landed(put->commit, put->err);
}

static void append_landed(struct log_append *append)
{
	commit_landed(append->user, append->err);
}

void commit_submit(struct log_commit *c)
{
	size_t n = 0;
	for (size_t i = 0; i < c->put_count; i++) {
		struct table_part *part = table_part_of(&c->puts[i]);
		if (part->state == TABLE_IDLE)
			continue;
		list_push_back(&part->waiting, &c->puts[i].append.node);
		return;
	}
	for (size_t i = 0; i < c->put_count; i++) {
		table_part_of(&c->puts[i])->in_flight++;
		c->reqs[n++] = &c->puts[i].append;
	}
	for (size_t i = 0; i < c->append_count; i++)
		c->reqs[n++] = &c->appends[i];
	log_append(c->log, c->reqs, n, true);
}

static void commit_failed(struct mail *mail)
{
	struct log_commit *c = CONTAINER_OF(mail, struct log_commit, mail);
	c->done(c);
}

void log_commit(struct log *log, struct log_commit *c)
{
	size_t count = c->put_count + c->append_count;
	loop_assert_owner(log->loop);
	ASSERT(count > 0 && c->done);
	c->log = log;
	c->err = ERR_OK;
	c->pending = count;
	c->reqs = mem_calloc(count, sizeof(*c->reqs));
	enum err err = c->reqs ? ERR_OK : ERR_NOMEM;
	size_t built = 0;
	for (; built < c->put_count && err == ERR_OK; built++) {
		c->puts[built].commit = c;
		c->puts[built].done = put_landed;
		err = table_prepare(&c->puts[built]);
	}
	if (err != ERR_OK) {
		for (size_t i = 0; i + 1 < built; i++)
			table_unprepare(&c->puts[i]);
		mem_free(c->reqs);
		c->err = err;
		c->mail.run = commit_failed;
		loop_defer(log->loop, &c->mail);
		return;
	}
	for (size_t i = 0; i < c->append_count; i++) {
		c->appends[i].user = c;
		c->appends[i].done = append_landed;
	}
	commit_submit(c);
}

size_t log_commit_max(const struct log *log)
{
	/* each batch may be the first of its segment behind a checkpoint */
	const size_t each = ROUND_TAIL_BLOCK + 1024;
	size_t max = journal_entry_max(&log->journal) / 2 / each;
	return max < ROUND_FRAMES_MAX / 2 ? max : ROUND_FRAMES_MAX / 2;
}
