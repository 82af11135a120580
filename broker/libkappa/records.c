/* SPDX-License-Identifier: Apache-2.0 */
/* Topics and records: create, produce, offsets, consume. */
#include "broker/libkappa/client.h"
#include "log/batch.h"
#include <time.h>

enum { DECOMPRESSED_MAX = 256 << 20 };

static int server_said(struct kappa *k, int16_t code, struct str message)
{
	if (code == 0)
		return 0;
	if (message.ptr && message.len > 0)
		return kappa_fail(k, code, STR_FMT, STR_ARG(message));
	return kappa_fail(k, code, "the server answered with Kafka's error %d", code);
}

int kappa_topic_create(struct kappa *k, const char *topic, int32_t partitions)
{
	struct create_topics_request_topic t = {
	    .name = str_of(topic), .num_partitions = partitions, .replication_factor = 1};
	struct create_topics_request body = {.topics = {&t, 1}, .timeout_ms = k->timeout_ms};
	struct create_topics_response *r;
	int rc = kappa_ask(k, API_CREATE_TOPICS, 5, &body, 0, (void **)&r);
	if (rc != 0)
		return rc;
	if (r->topics.count != 1)
		return kappa_fail(k, KAPPA_PROTOCOL, "CreateTopics: another answer than asked for");
	return server_said(k, r->topics.at[0].error_code, r->topics.at[0].error_message);
}

/* ---- produce --------------------------------------------------------------------------------- */

static int64_t realtime_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / MS_NS;
}

static enum err build(const struct kappa_record *records, size_t count, struct writer *ret_batch)
{
	struct batch_builder b;
	int64_t now = realtime_ms();
	enum err err = ERR_OK;
	batch_builder_init(&b, BATCH_NONE);
	for (size_t i = 0; err == ERR_OK && i < count; i++) {
		const struct kappa_record *r = &records[i];
		err = batch_builder_add(&b, r->timestamp_ms ? r->timestamp_ms : now,
		    bytes_of(r->key, r->key_len), bytes_of(r->value, r->value_len), NULL, 0);
	}
	if (err == ERR_OK)
		err = batch_builder_finish(&b, ret_batch);
	batch_builder_release(&b);
	return err;
}

int kappa_produce(struct kappa *k, const char *topic, int32_t partition,
    const struct kappa_record *records, size_t count, int64_t *ret_offset)
{
	struct writer batch;
	struct produce_response *r;
	if (!topic || !records || count == 0)
		return kappa_fail(k, KAPPA_INVALID, "a topic and records are needed");
	writer_init(&batch, WIRE_MESSAGE_MAX);
	enum err err = build(records, count, &batch);
	if (err != ERR_OK) {
		writer_release(&batch);
		return kappa_fail_err(k, err, "Produce");
	}
	struct produce_request_partition p = {partition, writer_bytes(&batch)};
	struct produce_request_topic t = {.name = str_of(topic), .partition_data = {&p, 1}};
	struct produce_request body = {
	    .acks = -1, .timeout_ms = k->timeout_ms, .topic_data = {&t, 1}};
	int rc = kappa_ask(k, API_PRODUCE, 9, &body, 0, (void **)&r);
	writer_release(&batch);
	if (rc != 0)
		return rc;
	if (r->responses.count != 1 || r->responses.at[0].partition_responses.count != 1)
		return kappa_fail(k, KAPPA_PROTOCOL, "Produce: another answer than asked for");
	const struct produce_response_partition *out = r->responses.at[0].partition_responses.at;
	rc = server_said(k, out->error_code, out->error_message);
	if (rc == 0 && ret_offset)
		*ret_offset = out->base_offset;
	return rc;
}

/* ---- consume --------------------------------------------------------------------------------- */

static int list_offset(
    struct kappa *k, const char *topic, int32_t partition, int64_t time, int64_t *ret_offset)
{
	struct list_offsets_request_partition p = {
	    .partition_index = partition, .current_leader_epoch = -1, .timestamp = time};
	struct list_offsets_request_topic t = {.name = str_of(topic), .partitions = {&p, 1}};
	struct list_offsets_request body = {.replica_id = -1, .topics = {&t, 1}};
	struct list_offsets_response *r;
	int rc = kappa_ask(k, API_LIST_OFFSETS, 5, &body, 0, (void **)&r);
	if (rc != 0)
		return rc;
	if (r->topics.count != 1 || r->topics.at[0].partitions.count != 1)
		return kappa_fail(k, KAPPA_PROTOCOL, "ListOffsets: another answer than asked for");
	*ret_offset = r->topics.at[0].partitions.at[0].offset;
	return server_said(k, r->topics.at[0].partitions.at[0].error_code, (struct str){0});
}

int kappa_offsets(
    struct kappa *k, const char *topic, int32_t partition, int64_t *ret_start, int64_t *ret_end)
{
	enum { LATEST = -1, EARLIEST = -2 };
	if (!topic || !ret_start || !ret_end)
		return kappa_fail(k, KAPPA_INVALID, "a topic and two results are needed");
	int rc = list_offset(k, topic, partition, EARLIEST, ret_start);
	return rc != 0 ? rc : list_offset(k, topic, partition, LATEST, ret_end);
}

/*
 * Whether a batch belongs to an aborted transaction: the answer lists for each where its producer's
 * first record is; its end is the producer's next abort marker, behind which the entry is used up.
 */
static struct fetch_response_aborted *aborted_entry(
    const struct fetch_response_partition *p, int64_t producer_id, int64_t offset)
{
	for (uint32_t i = 0; i < p->aborted_transactions.count; i++) {
		struct fetch_response_aborted *a = &p->aborted_transactions.at[i];
		if (a->producer_id == producer_id && a->first_offset <= offset)
			return a;
	}
	return NULL;
}

static bool is_passed_over(const struct fetch_response_partition *p, struct bytes batch)
{
	struct batch_header h = batch_peek(batch.ptr);
	struct batch_marker m;
	if (h.attributes & BATCH_ATTR_CONTROL) {
		struct fetch_response_aborted *a = aborted_entry(p, h.producer_id, h.base_offset);
		if (a && batch_marker_read(batch, &m) && !m.commit)
			a->producer_id = -1;
		return true;
	}
	return (h.attributes & BATCH_ATTR_TRANSACTIONAL) &&
	       aborted_entry(p, h.producer_id, h.base_offset);
}

struct consuming {
	struct kappa *k;
	struct kappa_consume *c;
	int (*take)(void *ctx, const struct kappa_record *record);
	void *ctx;
	struct writer scratch;
};

static int take_batch(struct consuming *s, struct bytes batch)
{
	struct record_iter it;
	struct record r;
	enum err err = record_iter_open(&it, batch, &s->scratch, DECOMPRESSED_MAX);
	while (err == ERR_OK && (err = record_iter_next(&it, &r)) == ERR_OK) {
		if (r.offset < s->c->offset)
			continue;
		struct kappa_record out = {
		    r.key.ptr, r.key.len, r.value.ptr, r.value.len, r.timestamp_ms, r.offset};
		s->c->offset = r.offset + 1;
		int rc = s->take(s->ctx, &out);
		if (rc != 0)
			return rc;
	}
	if (err == ERR_EOF)
		return 0;
	kappa_fail_err(s->k, err, "Fetch");
	return KAPPA_CORRUPT;
}

/* All batches of one answer; the last may be cut off. */
static int take_batches(
    struct consuming *s, const struct fetch_response_partition *p, struct bytes b)
{
	struct batch_header h;
	while (b.len > BATCH_HEADER_BYTES && batch_header_read(b, &h) == ERR_OK) {
		struct bytes batch = bytes_slice(b, 0, (size_t)h.length + 12);
		if (batch.len < (size_t)h.length + 12)
			break;
		if (crc32c(bytes_slice(batch, 21, batch.len)) != h.crc)
			return kappa_fail(s->k, KAPPA_CORRUPT, "checksum of the batch at %lld",
			    (long long)h.base_offset);
		int64_t next = h.base_offset + h.last_offset_delta + 1;
		if (next > s->c->offset) {
			int rc = is_passed_over(p, batch) ? 0 : take_batch(s, batch);
			if (rc != 0)
				return rc;
			s->c->offset = next;
		}
		b = bytes_slice(b, batch.len, b.len);
	}
	err_clear();
	return 0;
}

int kappa_consume(struct kappa *k, struct kappa_consume *c,
    int (*take)(void *ctx, const struct kappa_record *record), void *ctx)
{
	struct fetch_request_partition p;
	struct fetch_request_topic t = {.partitions = {&p, 1}};
	struct fetch_request body;
	struct fetch_response *r;
	if (!c || !c->topic || !take)
		return kappa_fail(k, KAPPA_INVALID, "a topic and a function are needed");
	t.topic = str_of(c->topic);
	msg_init(&fetch_request_partition_shape, &p);
	msg_init(&fetch_request_shape, &body);
	p.partition = c->partition;
	p.fetch_offset = c->offset;
	p.partition_max_bytes = body.max_bytes = c->max_bytes > 0 ? c->max_bytes : (int32_t)MIB;
	body.replica_id = -1;
	body.max_wait_ms = c->wait_ms;
	body.min_bytes = 1;
	body.isolation_level = 1;
	body.topics.at = &t;
	body.topics.count = 1;
	int rc = kappa_ask(k, API_FETCH, 11, &body, c->wait_ms > 0 ? c->wait_ms : 0, (void **)&r);
	if (rc == 0)
		rc = server_said(k, r->error_code, (struct str){0});
	if (rc != 0)
		return rc;
	if (r->responses.count != 1 || r->responses.at[0].partitions.count != 1)
		return kappa_fail(k, KAPPA_PROTOCOL, "Fetch: another answer than asked for");
	const struct fetch_response_partition *out = r->responses.at[0].partitions.at;
	rc = server_said(k, out->error_code, (struct str){0});
	struct consuming s = {.k = k, .c = c, .take = take, .ctx = ctx};
	writer_init(&s.scratch, DECOMPRESSED_MAX);
	for (uint32_t i = 0; rc == 0 && i < out->records.count; i++)
		rc = take_batches(&s, out, out->records.at[i]);
	writer_release(&s.scratch);
	return rc;
}
