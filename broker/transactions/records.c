/* SPDX-License-Identifier: Apache-2.0 */
/* Records of __transaction_state, as Kafka's TransactionLog writes them, and of
 * __kappa_txn_offsets. */
#include "transactions.h"

enum { KEY_VERSION = 0, VALUE_VERSION = 1, PENDING_KEY = 0, PENDING_VERSION = 1 };
enum { CUT_KEY = 1, CUT_VERSION = 0 };

/* Parts of one topic stand together: the topics of the record's list. */
static size_t count_topics(const struct transaction_row *row)
{
	size_t n = 0;
	for (size_t i = 0; i < row->part_count; i++)
		n += i == 0 || !str_equal(row->parts[i].topic, row->parts[i - 1].topic);
	return n;
}

static bool fill_topics(
    struct transaction_log_value *v, const struct transaction_row *row, struct arena *arena)
{
	size_t topics = count_topics(row);
	int32_t *ids = arena_alloc(arena, (row->part_count + 1) * sizeof(*ids));
	v->transaction_partitions.at =
	    msg_new_array(&transaction_log_value_topic_shape, topics, arena);
	if (!ids || !v->transaction_partitions.at)
		return false;
	struct transaction_log_value_topic *t = v->transaction_partitions.at - 1;
	for (size_t i = 0; i < row->part_count; i++) {
		ids[i] = row->parts[i].partition;
		if (i == 0 || !str_equal(row->parts[i].topic, row->parts[i - 1].topic)) {
			t++;
			t->topic = row->parts[i].topic;
			t->partition_ids.at = &ids[i];
		}
		t->partition_ids.count++;
	}
	v->transaction_partitions.count = (uint32_t)topics;
	return true;
}

void transaction_row_add(struct row_list *list, struct str id, const struct transaction_row *row)
{
	struct transaction_log_key key = {.transactional_id = id};
	struct transaction_log_value v;
	struct arena arena;
	struct row_half k = {&transaction_log_key_shape, &key, KEY_VERSION, false};
	if (!row) {
		row_list_add(
		    list, k, (struct row_half){&transaction_log_value_shape, NULL, 0, false});
		return;
	}
	arena_init(&arena, SIZE_MAX);
	msg_init(&transaction_log_value_shape, &v);
	v.producer_id = row->producer_id;
	v.previous_producer_id = row->previous_id;
	v.producer_epoch = row->epoch;
	v.transaction_timeout_ms = row->timeout_ms;
	v.transaction_status = (int8_t)row->state;
	v.transaction_last_update_timestamp_ms = row->update_ms;
	v.transaction_start_timestamp_ms = row->start_ms;
	v.client_transaction_version = row->client_version;
	if (row->part_count > 0 && !fill_topics(&v, row, &arena))
		list->err = ERR_NOMEM;
	else
		row_list_add(list, k,
		    (struct row_half){&transaction_log_value_shape, &v, VALUE_VERSION, true});
	arena_release(&arena);
}

void pending_row_add(struct row_list *list, struct str id, struct str group,
    const struct pending_offsets_value *value)
{
	struct pending_offsets_key key = {.transactional_id = id, .group = group};
	row_list_add(list, (struct row_half){&pending_offsets_key_shape, &key, PENDING_KEY, false},
	    (struct row_half){&pending_offsets_value_shape, value, PENDING_VERSION, false});
}

void pending_cut_row_add(struct row_list *list, const struct pending_cut_key *key, int64_t order)
{
	struct pending_cut_value value = {.order = order};
	row_list_add(list, (struct row_half){&pending_cut_key_shape, key, CUT_KEY, false},
	    (struct row_half){&pending_cut_value_shape, &value, CUT_VERSION, false});
}

enum err pending_cut_value_read(struct bytes value, int64_t *ret_order)
{
	struct reader r = reader_of(value);
	int16_t version = read_i16_be(&r);
	int64_t order = read_i64_be(&r);
	if (r.bad || version != CUT_VERSION || reader_left(&r) > 0)
		return err_note(ERR_CORRUPT, "PendingCutValue of %zu bytes", value.len);
	*ret_order = order;
	return ERR_OK;
}

static enum err flatten(
    const struct transaction_log_value *v, struct arena *arena, struct transaction_row *row)
{
	size_t count = 0, n = 0;
	for (uint32_t i = 0; i < v->transaction_partitions.count; i++)
		count += v->transaction_partitions.at[i].partition_ids.count;
	struct transaction_part *parts = arena_alloc(arena, (count + 1) * sizeof(*parts));
	if (!parts)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < v->transaction_partitions.count; i++) {
		const struct transaction_log_value_topic *t = &v->transaction_partitions.at[i];
		for (uint32_t p = 0; p < t->partition_ids.count; p++)
			parts[n++] = (struct transaction_part){t->topic, t->partition_ids.at[p]};
	}
	row->parts = parts;
	row->part_count = count;
	return ERR_OK;
}

enum err transaction_row_read(
    struct bytes value, struct arena *arena, struct transaction_row *ret_row)
{
	struct transaction_log_value v;
	struct reader r = reader_of(value);
	int16_t version = read_i16_be(&r);
	if (r.bad || version < 0 || version > VALUE_VERSION)
		return err_note(ERR_CORRUPT, "TransactionLogValue version %d", version);
	struct msg_form form = {&transaction_log_value_shape, version, version >= 1};
	enum err e = msg_decode(form, &r, arena, &v);
	if (e == ERR_NOMEM || e == ERR_LIMIT)
		return e;
	bool known = v.transaction_status >= TRANSACTION_EMPTY &&
	             v.transaction_status <= TRANSACTION_COMPLETE_ABORT;
	if (e != ERR_OK || reader_left(&r) > 0 || v.producer_id < 0 || v.producer_epoch < 0 ||
	    !known)
		return err_note(ERR_CORRUPT, "TransactionLogValue of %zu bytes", value.len);
	*ret_row = (struct transaction_row){
	    .producer_id = v.producer_id,
	    .previous_id = v.previous_producer_id,
	    .epoch = v.producer_epoch,
	    .timeout_ms = v.transaction_timeout_ms,
	    .state = (enum transaction_state)v.transaction_status,
	    .update_ms = v.transaction_last_update_timestamp_ms,
	    .start_ms = v.transaction_start_timestamp_ms,
	    .client_version = v.client_transaction_version,
	};
	return flatten(&v, arena, ret_row);
}

enum err pending_value_read(
    struct bytes value, struct arena *arena, struct pending_offsets_value *ret_value)
{
	struct reader r = reader_of(value);
	int16_t version = read_i16_be(&r);
	if (r.bad || version < 0 || version > PENDING_VERSION)
		return err_note(ERR_CORRUPT, "PendingOffsetsValue version %d", version);
	struct msg_form form = {&pending_offsets_value_shape, version, false};
	enum err e = msg_decode(form, &r, arena, ret_value);
	if (e == ERR_NOMEM || e == ERR_LIMIT)
		return e;
	if (e != ERR_OK || reader_left(&r) > 0)
		return err_note(ERR_CORRUPT, "PendingOffsetsValue of %zu bytes", value.len);
	return ERR_OK;
}
