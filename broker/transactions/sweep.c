/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time: a transaction that is open for longer than its time-out is aborted under a new epoch, so
 * that its producer is fenced before its data is given up. An id that was not used for long is
 * forgotten. Ages are measured by log_judging_time_ns.
 */
#include "transactions.h"

enum {
	EXPIRE_EVERY_MS = 600 * 1000,
	SWEEP_MAX = 200,          /* aborts begun in one turn */
	WARN_AFTER_MS = 60 * 1000 /* of views that wait */
};

static void on_fenced(struct transaction_op *op)
{
	if (op->err != ERR_OK)
		diag(DIAG_WARN, "transaction_timeout_failed", "id=\"" STR_FMT "\" err=%s",
		    STR_ARG(op->by.id), err_name(op->err));
	mem_free(op);
}

static void time_out(struct transaction *t)
{
	struct transaction_op *op = mem_calloc(1, sizeof(*op));
	if (!op)
		return; /* next time */
	diag(DIAG_WARN, "transaction_timeout", "id=\"" STR_FMT "\" producer=%lld epoch=%d ms=%d",
	    STR_ARG(t->id), (long long)t->row.producer_id, t->row.epoch, t->row.timeout_ms);
	op->want = TRANSACTION_FENCE;
	op->by = (struct transaction_writer){t->id, t->row.producer_id, t->row.epoch};
	op->done = on_fenced;
	transaction_start(t->all, op);
}

struct forget {
	struct log_table_put put;
	struct transactions *all;
	struct row_list list;
};

static void on_forgotten(struct log_table_put *put)
{
	struct forget *f = CONTAINER_OF(put, struct forget, put);
	if (put->err != ERR_OK)
		diag(DIAG_WARN, "transaction_expiry_failed", "err=%s", err_name(put->err));
	f->all->changes--;
	row_list_release(&f->list);
	mem_free(f);
}

static void forget(struct transaction *t)
{
	struct forget *f = mem_calloc(1, sizeof(*f));
	if (!f)
		return;
	f->all = t->all;
	row_list_init(&f->list);
	transaction_row_add(&f->list, t->id, NULL);
	f->put = (struct log_table_put){
	    .partition = transaction_partition(t->id), .row_count = 1, .done = on_forgotten};
	if (row_list_rows(&f->list, &f->put.rows) != ERR_OK) {
		row_list_release(&f->list);
		mem_free(f);
		return;
	}
	t->all->changes++;
	log_table_put(t->all->table, &f->put);
}

static void expire(struct transactions *ts, int64_t now_ms)
{
	struct transaction *t;
	size_t cursor = 0, count = 0;
	ts->expiry_checked_ms = now_ms;
	while ((t = map_next(&ts->by_id, &cursor)) && count < SWEEP_MAX) {
		if (t->busy || !t->stored || t->row.state == TRANSACTION_ONGOING ||
		    t->row.update_ms + ts->options.expiry_ms > now_ms)
			continue;
		forget(t);
		count++;
	}
}

bool transaction_is_due(const struct transaction *t)
{
	const struct transactions *ts = t->all;
	int64_t since_ms = (loop_now_ns(ts->loop) - t->since_ns) / MS_NS;
	int64_t age_ms = log_judging_time_ns(ts->log) / MS_NS - t->row.start_ms;
	return age_ms >= t->row.timeout_ms || since_ms >= t->row.timeout_ms;
}

int64_t transactions_open_ms(struct transactions *ts, const struct log_txn *oldest)
{
	int64_t now_ns = loop_now_ns(ts->loop);
	if (ts->oldest_sequence != oldest->first_sequence) {
		ts->oldest_sequence = oldest->first_sequence;
		ts->oldest_since_ns = now_ns;
	}
	int64_t since_ms = (now_ns - ts->oldest_since_ns) / MS_NS;
	int64_t age_ms = (log_judging_time_ns(ts->log) - oldest->started_ns) / MS_NS;
	return age_ms > since_ms ? age_ms : since_ms;
}

/* Views wait behind the oldest open transaction: for how long, and whose it is. */
static void watch_oldest(struct transactions *ts)
{
	struct log_txn t;
	int64_t age_ms = 0, open = 0, now_ms = loop_now_ns(ts->loop) / MS_NS;
	LIST_EACH (&ts->ongoing, n, next)
		open++;
	if (log_txn_oldest(ts->log, &t))
		age_ms = transactions_open_ms(ts, &t);
	metric_set(METRIC_TRANSACTIONS_OPEN, open);
	metric_set(METRIC_TRANSACTION_AGE, age_ms / 1000);
	if (age_ms < WARN_AFTER_MS || now_ms - ts->warned_ms < WARN_AFTER_MS)
		return;
	ts->warned_ms = now_ms;
	struct str name = STR("unknown");
	LIST_EACH (&ts->ongoing, n, next) {
		const struct transaction *of = CONTAINER_OF(n, struct transaction, ongoing);
		if (of->row.producer_id == t.producer_id)
			name = of->id;
	}
	diag(DIAG_WARN, "transaction_delays_views",
	    "id=\"" STR_FMT "\" producer=%lld topic=" STR_FMT
	    " partition=%d offset=%lld open_s=%lld",
	    STR_ARG(name), (long long)t.producer_id,
	    STR_ARG(t.topic ? t.topic->name : STR("deleted")), t.partition,
	    (long long)t.first_offset, (long long)(age_ms / 1000));
}

static void on_sweep(struct loop_timer *timer)
{
	struct transactions *ts = CONTAINER_OF(timer, struct transactions, sweep);
	int64_t now_ms = log_judging_time_ns(ts->log) / MS_NS;
	int count = 0;
	watch_oldest(ts);
	LIST_EACH (&ts->ongoing, n, next) {
		struct transaction *t = CONTAINER_OF(n, struct transaction, ongoing);
		if (t->busy || !transaction_is_due(t))
			continue;
		time_out(t);
		if (++count == SWEEP_MAX)
			break;
	}
	transactions_end_hanging(ts);
	if (now_ms - ts->expiry_checked_ms >= EXPIRE_EVERY_MS || now_ms < ts->expiry_checked_ms)
		expire(ts, now_ms);
	transactions_sweep_start(ts);
}

void transactions_sweep_start(struct transactions *ts)
{
	if (!ts->sweep.fire)
		loop_timer_init(&ts->sweep, on_sweep);
	loop_timer_set(ts->loop, &ts->sweep, loop_now_ns(ts->loop) + ts->options.check_ms * MS_NS);
}

void transactions_sweep_stop(struct transactions *ts)
{
	loop_timer_cancel(ts->loop, &ts->sweep);
}
