/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts do with keys, transactions, compaction and retention. See run.h. */
#include "log/batch.h"
#include "log/catalog_change.h"
#include "log/compact.h"
#include "log/retention.h"
#include "test/crash/run.h"
#include "test/lib/log_fixture.h"

#include <ctype.h>
#include <stdio.h>

enum { PRODUCER_ID = 100, VALUE_BYTES = 90 };

/* ---- keyed batches --------------------------------------------------------------------------- */

/* The tag is in a header, for compaction takes values and changes batches. */
static void add_record(struct batch_builder *b, int tag, char key)
{
	char name[2] = {(char)tolower((unsigned char)key), 0}, text[16], value[VALUE_BYTES];
	int n = snprintf(text, sizeof(text), "%d", tag);
	struct log_row header = {bytes_of("t", 1), bytes_of(text, (size_t)n)};
	bool tombstone = isupper((unsigned char)key) != 0;
	memset(value, '.', sizeof(value));
	snprintf(value, sizeof(value), "value %c of %d", key, tag);
	assert_ok(batch_builder_add(b, 1000 + tag, bytes_of(name, 1),
	    tombstone ? (struct bytes){NULL, 0} : bytes_of(value, sizeof(value)), &header, 1));
}

static struct run_batch *keyed_new(
    struct run *r, int topic, int partition, const char *keys, const struct batch_builder *as)
{
	size_t count = strlen(keys);
	struct batch_builder b;
	struct writer out;
	ASSERT(count > 0 && count <= RUN_RECORDS_MAX);
	run_own_begin(r);
	struct run_batch *batch = run_batch_new(r, topic, partition, (int)count);
	batch_builder_init(&b, BATCH_NONE);
	if (as) {
		b.producer_id = batch->producer = as->producer_id;
		b.producer_epoch = batch->producer_epoch = as->producer_epoch;
		b.base_sequence = batch->producer_sequence = as->base_sequence;
		b.attributes = as->attributes;
	}
	snprintf(batch->keys, sizeof(batch->keys), "%s", keys);
	for (size_t i = 0; i < count; i++)
		add_record(&b, r->batch_count, keys[i]);
	writer_init(&out, BATCH_BYTES_MAX);
	assert_ok(batch_builder_finish(&b, &out));
	batch_builder_release(&b);
	batch->bytes = writer_take(&out, &batch->len);
	run_own_end(r);
	return batch;
}

int run_append_keys(struct run *r, int topic, int partition, const char *keys)
{
	run_batch_send(r, keyed_new(r, topic, partition, keys, NULL));
	return r->batch_count;
}

/* ---- transactions ---------------------------------------------------------------------------- */

int run_append_txn(struct run *r, int producer, int topic, int partition, const char *keys)
{
	struct run_producer *p = &r->producers[producer];
	int32_t *next = &p->next[topic][partition];
	const struct batch_builder as = {.producer_id = PRODUCER_ID + producer,
	    .producer_epoch = p->epoch,
	    .base_sequence = *next,
	    .attributes = BATCH_ATTR_TRANSACTIONAL};
	struct run_batch *b = keyed_new(r, topic, partition, keys, &as);
	b->transactional = true;
	p->open[topic][partition] = true;
	*next += b->count;
	run_batch_send(r, b);
	return r->batch_count;
}

static void commit_done(struct log_commit *commit)
{
	struct run_commit *c = CONTAINER_OF(commit, struct run_commit, commit);
	struct run *r = c->run;
	r->pending--;
	c->refused = commit->err != ERR_OK && !r->killing;
	run_answer(r, commit->err, "commit");
	if (commit->err != ERR_OK)
		return;
	for (size_t i = 0; i < commit->append_count; i++) {
		struct run_batch *b = &r->batches[c->tags[i]];
		b->acked = run_now(r);
		if (c->put >= 0) /* its round has a row that is flushed */
			b->kept_from = run_now(r);
		b->offset = c->appends[i].base_offset;
		b->sequence = c->appends[i].sequence;
	}
	if (c->put >= 0)
		r->puts[c->put].done = run_now(r);
}

static void add_marker(struct run *r, struct run_commit *c, int topic, int partition,
    const struct batch_marker *marker)
{
	struct run_batch *b = run_batch_new(r, topic, partition, 1);
	struct writer out;
	size_t i = c->commit.append_count++;
	b->set = r->set_count;
	b->marker = marker->commit ? RUN_COMMIT : RUN_ABORT;
	b->producer = marker->producer_id;
	b->producer_epoch = marker->producer_epoch;
	run_own_begin(r);
	writer_init(&out, BATCH_MARKER_BYTES);
	assert_ok(batch_marker_build(marker, 2000, &out));
	b->bytes = writer_take(&out, &b->len);
	run_own_end(r);
	c->tags[i] = r->batch_count;
	c->appends[i] = (struct log_append){.partition = b->req.partition,
	    .batch = b->bytes,
	    .batch_len = b->len,
	    .internal = true};
	for (int tag = 1; tag < r->batch_count; tag++) {
		struct run_batch *d = &r->batches[tag];
		if (d->transactional && d->ended_by == 0 && d->producer == b->producer &&
		    d->topic == topic && d->partition == partition)
			d->ended_by = r->batch_count;
	}
}

void run_txn_end(struct run *r, int producer, bool commit)
{
	struct run_producer *p = &r->producers[producer];
	ASSERT(r->commit_count < RUN_COMMITS_MAX);
	struct run_commit *c = &r->commits[r->commit_count++];
	*c = (struct run_commit){.run = r, .put = -1, .commit.done = commit_done};
	/* with the next epoch, as KIP-890 has it */
	const struct batch_marker marker = {
	    .producer_id = PRODUCER_ID + producer, .producer_epoch = ++p->epoch, .commit = commit};
	r->set_count++;
	for (int t = 0; t < r->topic_count; t++) {
		for (int i = 0; i < r->topics[t].partitions; i++) {
			p->next[t][i] = 0;
			if (p->open[t][i])
				add_marker(r, c, t, i, &marker);
			p->open[t][i] = false;
		}
	}
	if (r->table) {
		struct run_put *put = run_put_new(r, producer, ++p->ended);
		put->set = r->set_count;
		put->put =
		    (struct log_table_put){.table = r->table, .rows = &put->row, .row_count = 1};
		c->put = r->put_count - 1;
		c->commit.puts = &put->put;
		c->commit.put_count = 1;
	}
	c->commit.appends = c->appends;
	r->pending++;
	log_commit(r->log, &c->commit);
}

/* ---- what was refused comes again ------------------------------------------------------------ */

struct marker_look {
	const struct run_batch *marker;
	bool found;
};

static enum err marker_seen(void *ctx, const struct frame *frame, struct bytes batch)
{
	struct marker_look *look = ctx;
	struct batch_marker m;
	(void)frame;
	look->found |= batch_marker_read(batch, &m) && m.producer_id == look->marker->producer &&
	               m.producer_epoch == look->marker->producer_epoch;
	return ERR_OK;
}

static struct log_partition *partition_of(const struct run *r, const struct run_batch *b)
{
	const struct log_topic *t = log_topic_by_id(r->log, r->topics[b->topic].id);
	return t ? log_partition_find(r->log, t, b->partition) : NULL;
}

/* Its round may have become durable although the answer was a refusal: all of it, or nothing. */
static bool commit_landed(struct run *r, const struct run_commit *c)
{
	if (c->commit.append_count == 0)
		return c->put < 0 || r->rows[r->puts[c->put].key] >= r->puts[c->put].value;
	const struct run_batch *b = &r->batches[c->tags[0]];
	struct log_partition *p = partition_of(r, b);
	struct marker_look look = {b, false};
	if (!p)
		return true; /* its topic is deleted */
	run_own_begin(r);
	assert_ok(partition_walk(p, p->log_start, marker_seen, &look));
	run_own_end(r);
	return look.found;
}

/* As the coordinator does it, which has the transaction's end in its table. */
static void commit_again(struct run *r, struct run_commit *c)
{
	for (size_t i = 0; i < c->commit.append_count; i++) {
		struct run_batch *b = &r->batches[c->tags[i]];
		c->appends[i] = (struct log_append){.partition = partition_of(r, b),
		    .batch = b->bytes,
		    .batch_len = b->len,
		    .internal = true};
	}
	if (c->put >= 0)
		r->puts[c->put].put.table = r->table;
	c->commit.err = ERR_OK;
	r->pending++;
	log_commit(r->log, &c->commit);
	run_settle(r);
}

void run_commits_again(struct run *r)
{
	for (int i = 0; i < r->commit_count; i++) {
		struct run_commit *c = &r->commits[i];
		for (int tries = 0; c->refused && tries < 10; tries++) {
			c->refused = !commit_landed(r, c);
			if (c->refused)
				commit_again(r, c);
			if (c->refused)
				run_rest(r, S_NS);
		}
		if (c->refused)
			run_problem(r, "a transaction does not end: %s", err_name(r->error));
		c->refused = false;
	}
}

/* ---- compaction and retention ---------------------------------------------------------------- */

void run_compact_start(struct run *r)
{
	if (r->compact_asked == RUN_NEVER)
		r->compact_asked = run_now(r);
	compactor_run(r->log->catalog->compactor);
}

static void compactor_wait(struct run *r)
{
	for (int i = 0; compactor_busy(r->log->catalog->compactor); i++) {
		run_turns(r, 1);
		ASSERT(i < 10000);
	}
	run_revive(r);
}

void run_compact(struct run *r)
{
	compactor_wait(r);
	run_compact_start(r);
	compactor_wait(r);
	run_rest(r, 20 * MS_NS); /* the old files are unlinked */
	run_revive(r);
}

/* The log start it came to is known only afterwards; before that it may be anything up to there. */
void run_retain(struct run *r, int topic, int partition)
{
	ASSERT(r->trim_count < RUN_TRIMS_MAX);
	struct run_trim *t = &r->trims[r->trim_count++];
	struct log_partition_status st;
	*t = (struct run_trim){.run = r,
	    .topic = topic,
	    .partition = partition,
	    .asked = run_now(r),
	    .done = RUN_NEVER};
	retention_run(r->log->catalog->retention);
	for (int i = 0; retention_busy(r->log->catalog->retention); i++) {
		run_turns(r, 1);
		ASSERT(i < 10000);
	}
	run_revive(r);
	const struct log_topic *found = log_topic_by_id(r->log, r->topics[topic].id);
	log_partition_status(log_partition_find(r->log, found, partition), &st);
	t->offset = st.log_start;
	t->done = run_now(r);
	run_rest(r, 20 * MS_NS);
	run_revive(r);
}
