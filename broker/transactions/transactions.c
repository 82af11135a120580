/* SPDX-License-Identifier: Apache-2.0 */
/* All transactions: their tables, opening, finding, making. See transactions.h. */
#include "transactions.h"

int64_t transactions_wall_ms(const struct transactions *ts)
{
	return log_time_ns(ts->log) / MS_NS;
}

struct transaction *transaction_find(const struct transactions *ts, struct str id)
{
	return map_get(&ts->by_id, str_bytes(id));
}

int32_t transaction_partition(struct str id)
{
	int32_t hash = java_hash(id); /* Kafka's Utils.abs */
	return hash == INT32_MIN ? 0 : (hash < 0 ? -hash : hash) % TRANSACTIONS_PARTITIONS;
}

static enum err check_room(const struct transactions *ts)
{
	size_t max = ts->options.ids_max ? ts->options.ids_max : TRANSACTIONS_MAX;
	size_t count = ts->by_id.count;
	if (count >= max) {
		diag(DIAG_WARN, "transactional_ids_full", "ids=%zu limit=%zu", count, max);
		return err_note(ERR_POLICY_VIOLATION,
		    "there are %zu transactional ids, which is the limit", count);
	}
	if (count == max - max / 10)
		diag(DIAG_WARN, "transactional_ids_nearly_full", "ids=%zu limit=%zu", count, max);
	return ERR_OK;
}

static enum err make(struct transactions *ts, struct str id, struct transaction **ret)
{
	if (id.len == 0 || id.len > TRANSACTION_ID_MAX || !str_is_utf8(id))
		return err_note(ERR_INVALID_REQUEST, "transactional id of %zu bytes", id.len);
	if (!ts->loading)
		TRY(check_room(ts));
	struct transaction *t = mem_calloc(1, sizeof(*t) + id.len);
	if (!t)
		return ERR_NOMEM;
	memcpy(t + 1, id.ptr, id.len);
	t->all = ts;
	t->id = str_from(t + 1, id.len);
	t->last_epoch = -1;
	t->row.producer_id = -1;
	list_init(&t->pending);
	list_init(&t->waiting);
	list_node_init(&t->ongoing);
	list_node_init(&t->node);
	enum err e = map_put(&ts->by_id, str_bytes(t->id), t);
	if (e != ERR_OK) {
		mem_free(t);
		return e;
	}
	list_push_back(&ts->all, &t->node);
	metric_set(METRIC_TRANSACTIONAL_IDS, (int64_t)ts->by_id.count);
	*ret = t;
	return ERR_OK;
}

static void transaction_free(struct transaction *t)
{
	struct list_node *n;
	while ((n = list_first(&t->pending)))
		pending_free(CONTAINER_OF(n, struct pending_group, node));
	LIST_EACH (&t->all->places, m, next) {
		struct transactions_place *p = CONTAINER_OF(m, struct transactions_place, node);
		if (p->next == &t->node)
			p->next = t->node.next;
	}
	list_remove(&t->node);
	list_remove(&t->ongoing);
	map_remove(&t->all->by_id, str_bytes(t->id));
	metric_set(METRIC_TRANSACTIONAL_IDS, (int64_t)t->all->by_id.count);
	mem_free((void *)(uintptr_t)t->row.parts);
	mem_free(t);
}

void transaction_settle(struct transaction *t)
{
	if (!t->stored && !t->busy && !t->all->loading && list_empty(&t->pending))
		transaction_free(t);
}

void transaction_start(struct transactions *ts, struct transaction_op *op)
{
	struct transaction *t = transaction_find(ts, op->by.id);
	op->all = ts;
	op->err = ERR_OK;
	if (ts->closing)
		op->err = ERR_CLOSED;
	else if (!t && op->want == TRANSACTION_INIT)
		op->err = make(ts, op->by.id, &t);
	else if (!t)
		op->err = ERR_PRODUCER_ID_MAPPING;
	transaction_enqueue(ts, t, op);
}

/* ---- the tables ------------------------------------------------------------------------------ */

/* Parts in a block of their own, names behind them. */
static enum err copy_parts(const struct transaction_row *row, const struct transaction_part **ret)
{
	size_t len = row->part_count * sizeof(struct transaction_part), names = 0;
	*ret = NULL;
	if (row->part_count == 0)
		return ERR_OK;
	for (size_t i = 0; i < row->part_count; i++)
		names += row->parts[i].topic.len;
	struct transaction_part *parts = mem_alloc(len + names);
	if (!parts)
		return ERR_NOMEM;
	uint8_t *at = (uint8_t *)parts + len;
	for (size_t i = 0; i < row->part_count; i++) {
		struct str topic = row->parts[i].topic;
		memcpy(at, topic.ptr, topic.len);
		parts[i] =
		    (struct transaction_part){str_from(at, topic.len), row->parts[i].partition};
		at += topic.len;
	}
	*ret = parts;
	return ERR_OK;
}

static enum err take_row(struct transaction *t, const struct transaction_row *row)
{
	const struct transaction_part *parts;
	if (row->state == TRANSACTION_PREPARE_COMMIT || row->state == TRANSACTION_PREPARE_ABORT)
		return err_note(ERR_CORRUPT,
		    "transaction " STR_FMT
		    " was being ended by another broker: let that one finish",
		    STR_ARG(t->id));
	TRY(copy_parts(row, &parts));
	mem_free((void *)(uintptr_t)t->row.parts);
	t->row = *row;
	t->row.parts = parts;
	t->stored = true;
	if (!list_linked(&t->ongoing))
		t->since_ns = loop_now_ns(t->all->loop);
	list_remove(&t->ongoing);
	if (row->state == TRANSACTION_ONGOING)
		list_push_back(&t->all->ongoing, &t->ongoing);
	return ERR_OK;
}

static enum err key_read(
    struct bytes key, const struct msg_shape *shape, void *ret_key, bool *ret_known)
{
	struct reader r = reader_of(key);
	int16_t version = read_i16_be(&r);
	*ret_known = !r.bad && version == (shape == &pending_cut_key_shape);
	if (r.bad)
		return err_note(ERR_CORRUPT, "%s of %zu bytes", shape->name, key.len);
	if (!*ret_known) {
		diag(DIAG_WARN, "transaction_row_ignored",
		    "version=%d reason=\"written by a newer version\"", version);
		return ERR_OK;
	}
	enum err e = msg_decode((struct msg_form){shape, version, false}, &r, NULL, ret_key);
	if (e != ERR_OK || reader_left(&r) > 0)
		return err_note(ERR_CORRUPT, "%s of %zu bytes", shape->name, key.len);
	return ERR_OK;
}

static enum err apply_state(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct transactions *ts = ctx;
	struct transaction_log_key k;
	struct transaction_row row;
	struct arena arena;
	bool known;
	(void)partition, (void)timestamp_ms;
	TRY(key_read(key, &transaction_log_key_shape, &k, &known));
	struct transaction *t = known ? transaction_find(ts, k.transactional_id) : NULL;
	if (!known || (!t && !value.ptr))
		return ERR_OK;
	if (!value.ptr) {
		t->stored = false;
		t->row.state = TRANSACTION_EMPTY;
		list_remove(&t->ongoing);
		transaction_settle(t);
		return ERR_OK;
	}
	if (!t)
		TRY(make(ts, k.transactional_id, &t));
	arena_init(&arena, msg_arena_limit(value.len) + 8 * value.len);
	enum err e = transaction_row_read(value, &arena, &row);
	if (e == ERR_OK)
		e = take_row(t, &row);
	arena_release(&arena);
	return e;
}

static enum err apply_cut(struct transactions *ts, struct bytes key, struct bytes value)
{
	struct pending_cut_key k;
	int64_t order = 0;
	bool known;
	TRY(key_read(key, &pending_cut_key_shape, &k, &known));
	if (!value.ptr)
		return ERR_OK;
	TRY(pending_cut_value_read(value, &order));
	return pending_cut_apply(ts, &k, order);
}

static enum err apply_offsets(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct transactions *ts = ctx;
	struct pending_offsets_key k;
	struct transaction *t;
	bool known;
	(void)partition, (void)timestamp_ms;
	if (key.len >= 2 && get_u16_be(key.ptr) == 1)
		return apply_cut(ctx, key, value);
	TRY(key_read(key, &pending_offsets_key_shape, &k, &known));
	if (known && ts->loading && value.ptr && !transaction_find(ts, k.transactional_id))
		TRY(make(ts, k.transactional_id, &t)); /* forgotten since: read_through */
	return known ? pending_apply(ctx, k.transactional_id, k.group, value) : ERR_OK;
}

typedef void (*emit_fn)(void *ctx, struct bytes key, struct bytes value);

static void emit_rows(struct row_list *list, emit_fn emit, void *emit_ctx)
{
	const struct log_row *rows;
	/* a snapshot that is not whole must not be: there is no way to give it up half-way */
	ASSERT(row_list_rows(list, &rows) == ERR_OK);
	for (size_t i = 0; i < list->count; i++)
		emit(emit_ctx, rows[i].key, rows[i].value);
	row_list_release(list);
	row_list_init(list);
}

static void snapshot_state(void *ctx, int32_t partition, emit_fn emit, void *emit_ctx)
{
	struct transactions *ts = ctx;
	const struct transaction *t;
	struct row_list list;
	size_t cursor = 0;
	row_list_init(&list);
	while ((t = map_next(&ts->by_id, &cursor))) {
		if (!t->stored || transaction_partition(t->id) != partition)
			continue;
		transaction_row_add(&list, t->id, &t->row);
		if (list.count >= 1000)
			emit_rows(&list, emit, emit_ctx);
	}
	emit_rows(&list, emit, emit_ctx);
	row_list_release(&list);
}

struct cuts {
	emit_fn emit;
	void *ctx;
};

static void emit_cut(void *ctx, const struct pending_cut_key *key, int64_t order)
{
	const struct cuts *to = ctx;
	struct row_list list;
	row_list_init(&list);
	pending_cut_row_add(&list, key, order);
	emit_rows(&list, to->emit, to->ctx);
	row_list_release(&list);
}

static void snapshot_offsets(void *ctx, int32_t partition, emit_fn emit, void *emit_ctx)
{
	struct transactions *ts = ctx;
	(void)partition;
	LIST_EACH (&ts->ongoing, n, next) {
		const struct transaction *t = CONTAINER_OF(n, struct transaction, ongoing);
		LIST_EACH (&t->pending, m, after) {
			const struct pending_group *p = CONTAINER_OF(m, struct pending_group, node);
			const struct log_row *rows;
			struct row_list list;
			row_list_init(&list);
			pending_row_add(
			    &list, t->id, pending_group_name(p), NULL); /* for its key */
			ASSERT(row_list_rows(&list, &rows) == ERR_OK);
			emit(emit_ctx, rows[0].key, p->value);
			row_list_release(&list);
		}
	}
	struct cuts to = {emit, emit_ctx};
	pending_cuts_each(ts, emit_cut, &to);
}

/*
 * All rows are read. Of ids that were forgotten there are some yet: in this table's log behind what
 * made it forget them, in that of the offsets because it is cut at other times.
 */
static enum err read_through(struct transactions *ts)
{
	LIST_EACH (&ts->all, n, next) {
		struct transaction *t = CONTAINER_OF(n, struct transaction, node);
		if (!t->stored && !list_empty(&t->pending))
			return err_note(ERR_CORRUPT,
			    "offsets of transaction " STR_FMT ", which is unknown", STR_ARG(t->id));
		transaction_settle(t);
	}
	pending_loaded(ts);
	return ERR_OK;
}

/* ---- open, close ----------------------------------------------------------------------------- */

static enum err open_tables(struct transactions *ts)
{
	static const struct log_table_ops state_ops = {
	    .apply = apply_state, .snapshot = snapshot_state};
	static const struct log_table_ops offsets_ops = {
	    .apply = apply_offsets, .snapshot = snapshot_offsets};
	TRY(log_table_open(ts->log, STR("__transaction_state"), TRANSACTIONS_PARTITIONS, &state_ops,
	    ts, &ts->table));
	return log_table_open(
	    ts->log, STR("__kappa_txn_offsets"), 1, &offsets_ops, ts, &ts->offsets);
}

static void free_all(struct transactions *ts)
{
	struct list_node *n;
	log_table_close(ts->table);
	log_table_close(ts->offsets);
	while ((n = list_first(&ts->all)))
		transaction_free(CONTAINER_OF(n, struct transaction, node));
	pending_loaded(ts);
	map_release(&ts->by_id);
	map_release(&ts->by_group);
	mem_free(ts);
}

enum err transactions_open(struct loop *loop, struct log *log, struct groups *groups,
    const struct transactions_options *options, struct transactions **ret_transactions)
{
	struct transactions *ts = mem_calloc(1, sizeof(*ts));
	if (!ts)
		return ERR_NOMEM;
	ts->loop = loop;
	ts->log = log;
	ts->groups = groups;
	ts->options = *options;
	ts->order = 1;
	if (ts->options.timeout_max_ms == 0)
		ts->options.timeout_max_ms = 900000;
	if (ts->options.expiry_ms == 0)
		ts->options.expiry_ms = (int64_t)7 * 24 * 3600 * 1000;
	if (ts->options.check_ms == 0)
		ts->options.check_ms = 500;
	if (ts->options.hang_ms == 0)
		ts->options.hang_ms = 60 * 1000;
	/* state, pending offsets, a group's offsets for each of the partitions */
	ts->parts_max = log_commit_max(log) / 2;
	map_init(&ts->by_id);
	map_init(&ts->by_group);
	list_init(&ts->ongoing);
	list_init(&ts->all);
	list_init(&ts->places);
	list_init(&ts->ready);
	ts->loading = true;
	enum err e = open_tables(ts);
	ts->loading = false;
	if (e == ERR_OK)
		e = read_through(ts);
	if (e != ERR_OK) {
		free_all(ts);
		return err_note(e, "transactions");
	}
	groups->transactions = ts;
	transactions_sweep_start(ts);
	*ret_transactions = ts;
	return ERR_OK;
}

void transactions_close(struct transactions *ts)
{
	if (!ts)
		return;
	ts->closing = true;
	transactions_sweep_stop(ts);
	while (ts->changes > 0 || ts->turn_posted || ts->listing_posted)
		ASSERT(loop_step(ts->loop, 100 * MS_NS) == ERR_OK);
	ts->groups->transactions = NULL;
	free_all(ts);
}
