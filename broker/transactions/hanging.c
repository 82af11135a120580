/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transactions that are open in the log and ongoing for nobody. Of a healthy log there are none: a
 * batch is written only while its transaction is ongoing, and all markers with its end. But where
 * the disk has lost a marker, or data come from elsewhere (salvage, import), nobody would ever end
 * them, and readers of committed data and views would wait for ever. So after a while they are
 * ended here, one after the other: as the coordinator has ended them if its row still says so,
 * else aborted, because what may not have been committed is not shown as committed.
 */
#include "transactions.h"

#include "log/batch.h"

struct hanging_end {
	struct transactions *all;
	struct log_append append;
	uint8_t batch[BATCH_MARKER_BYTES];
};

static bool is_ongoing(const struct transactions *ts, int64_t producer_id)
{
	LIST_EACH (&ts->ongoing, n, next) {
		if (CONTAINER_OF(n, struct transaction, ongoing)->row.producer_id == producer_id)
			return true;
	}
	return false;
}

/* Its producer's last transaction was this one, and it was committed. */
static bool was_committed(const struct transactions *ts, const struct log_txn *t)
{
	const struct transaction *known;
	int64_t started_ms = t->started_ns / MS_NS;
	size_t cursor = 0;
	while ((known = map_next(&ts->by_id, &cursor))) {
		const struct transaction_row *row = &known->row;
		if (row->producer_id == t->producer_id || row->previous_id == t->producer_id)
			return row->state == TRANSACTION_COMPLETE_COMMIT &&
			       row->start_ms <= started_ms && started_ms <= row->update_ms;
	}
	return false;
}

static void on_ended(struct log_append *append)
{
	struct hanging_end *h = CONTAINER_OF(append, struct hanging_end, append);
	if (append->err != ERR_OK) /* the next sweep tries again */
		diag(DIAG_WARN, "transaction_hanging_failed", "err=%s", err_name(append->err));
	h->all->changes--;
	h->all->hanging = false;
	mem_free(h);
}

static void end(struct transactions *ts, const struct log_txn *t, int64_t open_ms)
{
	struct hanging_end *h = mem_calloc(1, sizeof(*h));
	const struct batch_marker marker = {.producer_id = t->producer_id,
	    .producer_epoch = t->producer_epoch,
	    .commit = was_committed(ts, t)};
	struct writer out;
	if (!h)
		return; /* next time */
	writer_init(&out, sizeof(h->batch));
	if (batch_marker_build(&marker, transactions_wall_ms(ts), &out) != ERR_OK) {
		err_clear();
		writer_release(&out);
		mem_free(h);
		return;
	}
	memcpy(h->batch, out.ptr, out.len);
	diag(DIAG_WARN, "transaction_hanging",
	    "producer=%lld epoch=%d topic=" STR_FMT
	    " partition=%d offset=%lld open_s=%lld ended=%s",
	    (long long)t->producer_id, t->producer_epoch, STR_ARG(t->topic->name), t->partition,
	    (long long)t->first_offset, (long long)open_ms / 1000,
	    marker.commit ? "commit" : "abort");
	h->all = ts;
	h->append =
	    (struct log_append){.partition = log_partition_find(ts->log, t->topic, t->partition),
	        .batch = h->batch,
	        .batch_len = out.len,
	        .internal = true,
	        .done = on_ended};
	writer_release(&out);
	ts->changes++;
	ts->hanging = true;
	struct log_append *one = &h->append;
	log_append(ts->log, &one, 1, false);
}

void transactions_end_hanging(struct transactions *ts)
{
	struct log_txn t;
	if (ts->hanging || ts->closing || !log_txn_oldest(ts->log, &t) || !t.topic)
		return;
	int64_t open_ms = transactions_open_ms(ts, &t);
	if (open_ms < ts->options.hang_ms || is_ongoing(ts, t.producer_id))
		return;
	end(ts, &t, open_ms);
}
