/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transaction coordinator over loopback with hand-made requests: the rules of both generations
 * of clients, version by version, what a restart keeps, and what administrators see and do.
 */
#include "broker/kafka/server.h"
#include "broker/transactions/transactions.h"
#include "test/lib/kafka_calls.h"
#include "test/lib/patience.h"
#include "test/lib/test.h"

#include <unistd.h>

static struct kafka_server server;
static struct kafka_client c;
static const char *backend = "uring";

struct who {
	int64_t id;
	int16_t epoch;
};

static int start(void **state)
{
	(void)state;
	kafka_server_start(&server, backend, NULL);
	kafka_connect(&c, &server);
	kafka_create(&c, "t", 2, NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_disconnect(&c);
	kafka_server_remove(&server);
	return 0;
}

static void restart(void)
{
	kafka_disconnect(&c);
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, NULL);
	kafka_connect(&c, &server);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static int init_as(const char *name, struct who before, int32_t timeout_ms, struct who *ret)
{
	struct init_producer_id_request body = {.transactional_id = str_of(name),
	    .transaction_timeout_ms = timeout_ms,
	    .producer_id = before.id,
	    .producer_epoch = before.epoch};
	const struct init_producer_id_response *r = kafka_call(&c, API_INIT_PRODUCER_ID, 5, &body);
	*ret = (struct who){r->producer_id, r->producer_epoch};
	return r->error_code;
}

static struct who init(const char *name)
{
	struct who w;
	assert_int_equal(init_as(name, (struct who){-1, -1}, 60000, &w), 0);
	return w;
}

static int add(
    int16_t version, const char *name, struct who w, const char *topic, int32_t partition)
{
	struct add_partitions_to_txn_request_topic t = {
	    .name = str_of(topic), .partitions = {&partition, 1}};
	struct add_partitions_to_txn_request body = {.transactional_id = str_of(name),
	    .producer_id = w.id,
	    .producer_epoch = w.epoch,
	    .topics = {&t, 1}};
	const struct add_partitions_to_txn_response *r =
	    kafka_call(&c, API_ADD_PARTITIONS_TO_TXN, version, &body);
	return r->results_by_topic.at[0].results_by_partition.at[0].partition_error_code;
}

static int end_as(int16_t version, const char *name, struct who w, bool commit, struct who *ret)
{
	struct end_txn_request body = {.transactional_id = str_of(name),
	    .producer_id = w.id,
	    .producer_epoch = w.epoch,
	    .committed = commit};
	const struct end_txn_response *r = kafka_call(&c, API_END_TXN, version, &body);
	*ret = (struct who){r->producer_id, r->producer_epoch};
	return r->error_code;
}

static int end(int16_t version, const char *name, struct who w, bool commit)
{
	struct who ignored;
	return end_as(version, name, w, commit, &ignored);
}

/* One batch of two records; the error. */
static int write_as(int16_t version, const char *name, struct who w, int32_t sequence)
{
	struct batch_builder b;
	struct writer out;
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&out, MIB);
	b.producer_id = w.id;
	b.producer_epoch = w.epoch;
	b.base_sequence = sequence;
	b.attributes = BATCH_ATTR_TRANSACTIONAL;
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    batch_builder_add(&b, 1, bytes_of("k", 1), bytes_of("v", 1), NULL, 0), ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &out), ERR_OK);
	batch_builder_release(&b);
	struct produce_request_partition p = {0, writer_bytes(&out)};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	if (version >= 13)
		t.topic_id = kafka_topic_id(&c, "t");
	struct produce_request body = {.transactional_id = str_of(name),
	    .acks = -1,
	    .timeout_ms = 1000,
	    .topic_data = {&t, 1}};
	const struct produce_response *r = kafka_call(&c, API_PRODUCE, version, &body);
	writer_release(&out);
	return r->responses.at[0].partition_responses.at[0].error_code;
}

static struct fetch_response_partition fetch(int8_t isolation)
{
	return kafka_fetch(
	    &c, "t", (struct kafka_fetch){.version = 11, .isolation = isolation, .max_wait_ms = 1});
}

/* ---- both generations ------------------------------------------------------------------------ */

static void older_clients_add_partitions_first(void **state)
{
	(void)state;
	struct who w = init("tx"), none;
	assert_int_equal(write_as(7, "tx", w, 0), 48); /* INVALID_TXN_STATE: not added */
	assert_int_equal(add(0, "tx", w, "t", 5), 3);
	assert_int_equal(add(0, "tx", w, "__kappa_cluster", 0), 29);
	for (int16_t v = 0; v <= 3; v++)
		assert_int_equal(add(v, "tx", w, "t", 0), 0);
	assert_int_equal(write_as(7, "tx", w, 0), 0);
	assert_int_equal(write_as(7, "tx", (struct who){w.id + 1, w.epoch}, 0), 49);
	assert_int_equal(write_as(7, "other", w, 0), 49);
	struct fetch_response_partition p = fetch(1);
	assert_int_equal(p.high_watermark, 2);
	assert_int_equal(p.last_stable_offset, 0);
	assert_int_equal(p.records.count, 0);
	assert_int_equal(fetch(0).records.count, 1);
	assert_int_equal(end(0, "tx", w, false), 0);
	assert_int_equal(end(1, "tx", w, false), 0);   /* the same again */
	assert_int_equal(end(1, "tx", w, true), 48);   /* but not the other way */
	assert_int_equal(write_as(7, "tx", w, 2), 48); /* nothing comes behind the end */
	p = fetch(1);
	assert_int_equal(p.last_stable_offset, 3);
	assert_int_equal(p.aborted_transactions.count, 1);
	assert_int_equal(p.aborted_transactions.at[0].producer_id, w.id);
	assert_int_equal(p.aborted_transactions.at[0].first_offset, 0);
	assert_null(fetch(0).aborted_transactions.at);
	assert_int_equal(add(3, "tx", w, "t", 0), 0);
	assert_int_equal(write_as(11, "tx", w, 2), 0);
	assert_int_equal(end_as(4, "tx", w, true, &none), 0);
	assert_int_equal(fetch(1).last_stable_offset, 6);
}

/* The list of aborted transactions that a waiting fetch has seen is not told beside an error. */
static void a_fetch_that_ends_in_an_error_tells_nothing_it_has_read(void **state)
{
	(void)state;
	struct kafka_client other;
	struct who w = init("tx");
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(end_as(5, "tx", w, false, &w), 0);
	kafka_connect(&other, &server);
	kafka_fetch_send(&other, "t",
	    (struct kafka_fetch){
	        .version = 11, .isolation = 1, .max_wait_ms = 1000, .min_bytes = (int32_t)GIB});
	io_sleep_ns(server.io, 200 * MS_NS); /* it waits by now, or the test shows nothing */
	struct delete_records_request_partition p = {.offset = -1};
	struct delete_records_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct delete_records_request body = {.topics = {&t, 1}, .timeout_ms = 10000};
	const struct delete_records_response *r = kafka_call(&c, API_DELETE_RECORDS, 2, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
	struct fetch_response_partition got = kafka_fetch_receive(&other, 11);
	assert_int_equal(got.error_code, 1); /* OFFSET_OUT_OF_RANGE */
	assert_int_equal(got.records.count, 0);
	assert_int_equal(got.aborted_transactions.count, 0);
	kafka_disconnect(&other);
}

static void newer_clients_get_an_epoch_with_each_end(void **state)
{
	(void)state;
	struct who w = init("tx"), next, again;
	assert_int_equal(write_as(12, "tx", w, 0), 0); /* adds the partition by itself */
	assert_int_equal(end_as(5, "tx", w, true, &next), 0);
	assert_int_equal(next.id, w.id);
	assert_int_equal(next.epoch, w.epoch + 1);
	assert_int_equal(end_as(5, "tx", w, true, &again), 0); /* the answer was lost */
	assert_int_equal(again.epoch, next.epoch);
	assert_int_equal(end(5, "tx", w, false), 48);
	assert_int_equal(write_as(12, "tx", w, 2), 47); /* delayed over the end */
	assert_int_equal(write_as(13, "tx", next, 0), 0);
	assert_int_equal(end(5, "tx", w, true), 90);
	assert_int_equal(end_as(5, "tx", next, false, &w), 0);
	assert_int_equal(w.epoch, next.epoch + 1);
	assert_int_equal(end(5, "tx", w, true), 48);           /* nothing to commit */
	assert_int_equal(end_as(5, "tx", w, false, &next), 0); /* nothing to abort: allowed */
	assert_int_equal(next.epoch, w.epoch + 1);
	assert_int_equal(fetch(1).last_stable_offset, 6);
}

static void init_fences_aborts_and_knows_its_own(void **state)
{
	(void)state;
	struct who w = init("tx"), x, y;
	assert_int_equal(init_as("tx", (struct who){-1, -1}, 0, &x), 50);
	assert_int_equal(init_as("tx", (struct who){-1, -1}, 900001, &x), 50);
	assert_int_equal(init_as("", (struct who){-1, -1}, 1000, &x), 42);
	assert_int_equal(init_as("tx", w, 1000, &x), 0);
	assert_int_equal(x.epoch, w.epoch + 1);
	assert_int_equal(init_as("tx", w, 1000, &y), 0); /* the answer was lost */
	assert_int_equal(y.epoch, x.epoch);
	assert_int_equal(write_as(12, "tx", x, 0), 0);
	y = init("tx"); /* another instance: aborts what is open */
	assert_int_equal(y.id, x.id);
	assert_true(y.epoch > x.epoch);
	assert_int_equal(fetch(1).last_stable_offset, 3);
	assert_int_equal(write_as(12, "tx", x, 2), 47);
	assert_int_equal(add(1, "tx", x, "t", 0), 47);
	assert_int_equal(add(2, "tx", x, "t", 0), 90);
	assert_int_equal(end(1, "tx", x, true), 47);
	assert_int_equal(end(2, "tx", x, true), 90);
	assert_int_equal(init_as("tx", x, 1000, &w), 90);
}

/* The server bumps at an end and at a time-out; the answer is lost, or there is none (KIP-360). */
static void init_knows_the_epoch_before_the_servers_bump(void **state)
{
	(void)state;
	struct who w = init("tx"), next, again;
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(end_as(5, "tx", w, true, &next), 0);
	assert_int_equal(init_as("tx", w, 1000, &again), 0);
	assert_int_equal(again.id, next.id);
	assert_int_equal(again.epoch, next.epoch);
	assert_int_equal(write_as(12, "tx", next, 0), 0);
	/* who has begun another did hear of it, so it is not the one */
	assert_int_equal(init_as("tx", w, 1000, &again), 90);
	assert_int_equal(write_as(12, "tx", next, 2), 0);
	assert_int_equal(end_as(5, "tx", next, true, &w), 0);
	assert_int_equal(init_as("tx", (struct who){-1, -1}, 1000, &again), 0);
	assert_int_equal(again.epoch, w.epoch + 1);
	assert_int_equal(init_as("tx", w, 1000, &again), 90);
}

static void exhausted_epochs_bring_a_new_producer(void **state)
{
	(void)state;
	struct who w = init("tx"), next;
	if (backend[0] != 'u')
		skip(); /* 32,766 transactions: once is enough */
	for (int i = w.epoch; i < 32766; i++)
		assert_int_equal(end_as(5, "tx", w, false, &w), 0);
	assert_int_equal(w.epoch, 32766);
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(end_as(5, "tx", w, true, &next), 0);
	assert_int_not_equal(next.id, w.id);
	assert_int_equal(next.epoch, 0);
	assert_int_equal(end_as(5, "tx", w, true, &w), 0); /* once more */
	assert_int_equal(w.id, next.id);
	assert_int_equal(write_as(12, "tx", next, 0), 0);
}

/* Records in the middle of what it wrote are gone, or never came: who has an epoch for each
 * transaction starts at 0 where nothing is known of it. */
static void a_partition_that_knows_nothing_of_a_producer_starts_at_zero(void **state)
{
	(void)state;
	struct who w = init("tx"), old = init("old");
	assert_int_equal(write_as(12, "tx", w, 4), 45);
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(write_as(12, "tx", w, 2), 0);
	assert_int_equal(end_as(5, "tx", w, true, &w), 0);
	assert_int_equal(write_as(12, "tx", w, 4), 45);
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(end_as(5, "tx", w, true, &w), 0);
	/* older clients keep their epoch, and may go on where retention took the rest */
	assert_int_equal(add(3, "old", old, "t", 0), 0);
	assert_int_equal(write_as(11, "old", old, 4), 0);
	assert_int_equal(end_as(3, "old", old, true, &old), 0);
}

static void a_transaction_survives_restarts(void **state)
{
	(void)state;
	struct who w = init("tx");
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	restart();
	assert_int_equal(fetch(1).last_stable_offset, 0);
	assert_int_equal(write_as(12, "tx", w, 2), 0);
	restart();
	assert_int_equal(end_as(5, "tx", w, true, &w), 0);
	restart();
	assert_int_equal(fetch(1).last_stable_offset, 5);
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(end_as(5, "tx", w, false, &w), 0);
	restart();
	struct fetch_response_partition p = fetch(1);
	assert_int_equal(p.last_stable_offset, 8);
	assert_int_equal(p.aborted_transactions.count, 1);
	assert_int_equal(p.aborted_transactions.at[0].first_offset, 5);
}

static void late_transactions_are_aborted_under_a_new_epoch(void **state)
{
	(void)state;
	struct who w;
	assert_int_equal(init_as("tx", (struct who){-1, -1}, 100, &w), 0);
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	struct fetch_response_partition p = kafka_fetch(&c, "t",
	    (struct kafka_fetch){
	        .version = 11, .isolation = 1, .max_wait_ms = 20000, .min_bytes = 1});
	assert_int_equal(p.last_stable_offset, 3); /* the fetch woke with the marker */
	assert_int_equal(p.aborted_transactions.count, 1);
	assert_int_equal(write_as(12, "tx", w, 2), 47);
	struct who again;
	assert_int_equal(init_as("tx", w, 1000, &again), 0);
	assert_int_equal(again.epoch, w.epoch + 1);
	/* as in Kafka: what it asks for did not happen; that it was aborted it may hear */
	assert_int_equal(end(5, "tx", w, true), 48);
	assert_int_equal(end_as(5, "tx", w, false, &w), 0);
	assert_int_equal(write_as(12, "tx", w, 0), 0);
}

/* ---- offsets --------------------------------------------------------------------------------- */

struct claim {
	const char *group;
	int32_t generation;
	const char *member;
};

static int commit_offset_as(int16_t version, struct who w, int64_t offset, struct claim claim)
{
	struct txn_offset_commit_request_partition p = {
	    .partition_index = 0, .committed_offset = offset, .committed_metadata = STR("m")};
	struct txn_offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct txn_offset_commit_request body = {.transactional_id = STR("tx"),
	    .group_id = str_of(claim.group),
	    .producer_id = w.id,
	    .producer_epoch = w.epoch,
	    .generation_id = claim.generation,
	    .member_id = str_of(claim.member),
	    .topics = {&t, 1}};
	const struct txn_offset_commit_response *r =
	    kafka_call(&c, API_TXN_OFFSET_COMMIT, version, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

static int commit_offset(int16_t version, struct who w, int64_t offset)
{
	return commit_offset_as(version, w, offset, (struct claim){"g", -1, ""});
}

static int add_offsets(int16_t version, struct who w)
{
	struct add_offsets_to_txn_request body = {.transactional_id = STR("tx"),
	    .producer_id = w.id,
	    .producer_epoch = w.epoch,
	    .group_id = STR("g")};
	const struct add_offsets_to_txn_response *r =
	    kafka_call(&c, API_ADD_OFFSETS_TO_TXN, version, &body);
	return r->error_code;
}

static int64_t committed(bool stable, int *ret_error)
{
	int32_t zero = 0;
	struct offset_fetch_request_topic t = {.name = STR("t"), .partition_indexes = {&zero, 1}};
	struct offset_fetch_request body = {
	    .group_id = STR("g"), .topics = {&t, 1}, .require_stable = stable};
	const struct offset_fetch_response *r = kafka_call(&c, API_OFFSET_FETCH, 7, &body);
	*ret_error = r->topics.at[0].partitions.at[0].error_code;
	return r->topics.at[0].partitions.at[0].committed_offset;
}

static void offsets_are_committed_with_the_transaction(void **state)
{
	(void)state;
	struct who w = init("tx");
	int error;
	assert_int_equal(commit_offset(3, w, 5), 48); /* the group was not added */
	for (int16_t v = 0; v <= 4; v++) {
		assert_int_equal(add_offsets(v, w), 0);
		assert_int_equal(commit_offset(v, w, 10 + v), 0);
	}
	assert_int_equal(committed(false, &error), -1);
	assert_int_equal(error, 0);
	committed(true, &error);
	assert_int_equal(error, 88);
	restart();
	committed(true, &error);
	assert_int_equal(error, 88);
	assert_int_equal(end(4, "tx", w, true), 0);
	assert_int_equal(committed(true, &error), 14);
	assert_int_equal(error, 0);
	assert_int_equal(commit_offset(5, w, 99), 0); /* adds the group by itself */
	assert_int_equal(end_as(5, "tx", w, false, &w), 0);
	assert_int_equal(committed(true, &error), 14);
	assert_int_equal(error, 0);
	assert_int_equal(commit_offset(5, (struct who){w.id, 0}, 99), 47);
	assert_int_equal(commit_offset_as(5, w, 99, (struct claim){"", -1, ""}), 24);
	assert_int_equal(commit_offset_as(5, w, 99, (struct claim){"new", 3, "x"}), 22);
	assert_int_equal(commit_offset_as(5, w, 99, (struct claim){"new", -1, "x"}), 0);
	restart();
	assert_int_equal(committed(true, &error), 14);
}

/* ---- administrators -------------------------------------------------------------------------- */

static int mark(struct who w, const char *topic, int32_t partition)
{
	struct write_txn_markers_request_topic t = {
	    .name = str_of(topic), .partition_indexes = {&partition, 1}};
	struct write_txn_markers_request_marker m = {
	    .producer_id = w.id, .producer_epoch = w.epoch, .topics = {&t, topic[0] != '\0'}};
	struct write_txn_markers_request body = {.markers = {&m, 1}};
	const struct write_txn_markers_response *r =
	    kafka_call(&c, API_WRITE_TXN_MARKERS, 1, &body);
	return topic[0] ? r->markers.at[0].topics.at[0].partitions.at[0].error_code : 0;
}

static int abort_by_admin(int64_t producer_id, int16_t epoch)
{
	return mark((struct who){producer_id, epoch}, "t", 0);
}

static void administrators_see_and_abort_what_is_open(void **state)
{
	(void)state;
	struct who w = init("tx");
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	struct str ids[2] = {STR("tx"), STR("none")}, states[2] = {STR("Ongoing"), STR("Odd")};
	struct describe_transactions_request describe = {.transactional_ids = {ids, 2}};
	const struct describe_transactions_response *d =
	    kafka_call(&c, API_DESCRIBE_TRANSACTIONS, 0, &describe);
	assert_true(str_equal(d->transaction_states.at[0].transaction_state, STR("Ongoing")));
	assert_int_equal(d->transaction_states.at[0].topics.count, 1);
	assert_int_equal(d->transaction_states.at[1].error_code, 105);
	for (int16_t v = 0; v <= 2; v++) {
		struct list_transactions_request list = {.state_filters = {states, 2},
		    .duration_filter = -1,
		    .transactional_id_pattern = STR("t.")};
		const struct list_transactions_response *l =
		    kafka_call(&c, API_LIST_TRANSACTIONS, v, &list);
		assert_int_equal(l->unknown_state_filters.count, 1);
		assert_int_equal(l->transaction_states.count, 1);
		list.transactional_id_pattern = STR("(");
		l = kafka_call(&c, API_LIST_TRANSACTIONS, v, &list);
		assert_int_equal(l->error_code, v == 2 ? 128 : 0);
	}
	int32_t zero = 0;
	struct describe_producers_request_topic t = {
	    .name = STR("t"), .partition_indexes = {&zero, 1}};
	struct describe_producers_request producers = {.topics = {&t, 1}};
	const struct describe_producers_response *p =
	    kafka_call(&c, API_DESCRIBE_PRODUCERS, 0, &producers);
	assert_int_equal(p->topics.at[0].partitions.at[0].active_producers.count, 1);
	assert_int_equal(
	    p->topics.at[0].partitions.at[0].active_producers.at[0].current_txn_start_offset, 0);
	assert_int_equal(abort_by_admin(w.id, w.epoch), 0);
	assert_int_equal(fetch(1).last_stable_offset, 3);
	assert_int_equal(write_as(12, "tx", w, 2), 47);
	assert_int_equal(end(5, "tx", w, true), 48);
	assert_int_equal(abort_by_admin(-1, 0), 47);
}

/* What an administrator saw may be over: the marker is not for what its producer has open now. */
static void a_marker_that_is_not_of_a_transaction_leaves_it(void **state)
{
	(void)state;
	struct who old = init("tx"), w;
	kafka_create(&c, "u", 1, NULL);
	assert_int_equal(write_as(12, "tx", old, 0), 0);
	assert_int_equal(end_as(5, "tx", old, true, &w), 0);
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(mark(old, "t", 0), 47);
	assert_int_equal(mark((struct who){w.id, 32000}, "t", 0), 47);
	assert_int_equal(mark((struct who){w.id, -1}, "t", 0), 47);
	assert_int_equal(mark(w, "none", 0), 3);
	assert_int_equal(mark(w, "t", 99), 3);
	assert_int_equal(mark(w, "__consumer_offsets", 0), 17);
	assert_int_equal(mark(w, "", 0), 0);
	assert_int_equal(mark(w, "u", 0), 0); /* it has nothing there */
	assert_int_equal(write_as(12, "tx", w, 2), 0);
	assert_int_equal(end_as(5, "tx", w, true, &w), 0);
}

/* ---- what nobody would end ------------------------------------------------------------------- */

struct stray {
	struct log_append append;
	struct who who;
	_Atomic bool done;
};

static void stray_done(struct log_append *append)
{
	CONTAINER_OF(append, struct stray, append)->done = true;
}

/* On the loop: past the coordinator, as data that come from elsewhere. */
static void stray_write(void *ctx)
{
	struct stray *s = ctx;
	struct log_append *one = &s->append;
	server.broker->transactions->options.hang_ms = 100;
	s->append.partition =
	    log_partition_find(server.log, log_topic_find(server.log, STR("t")), 0);
	s->append.done = stray_done;
	log_append(server.log, &one, 1, false);
}

static void stray(struct who w)
{
	struct batch_builder b;
	struct writer out;
	struct stray s = {.who = w};
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&out, MIB);
	b.producer_id = w.id;
	b.producer_epoch = w.epoch;
	b.base_sequence = 0;
	b.attributes = BATCH_ATTR_TRANSACTIONAL;
	assert_int_equal(
	    batch_builder_add(&b, 1, bytes_of("k", 1), bytes_of("v", 1), NULL, 0), ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &out), ERR_OK);
	batch_builder_release(&b);
	s.append.batch = out.ptr;
	s.append.batch_len = out.len;
	loop_call(server.loop, stray_write, &s);
	while (!s.done)
		usleep(1000);
	assert_int_equal(s.append.err, ERR_OK);
	writer_release(&out);
}

static void stable_comes_to(int64_t offset)
{
	for (int ms = 0; fetch(1).last_stable_offset != offset; ms += 10) {
		assert_true(ms < PATIENCE_MS);
		usleep(10000);
	}
}

static void what_is_open_for_nobody_is_ended(void **state)
{
	(void)state;
	stray((struct who){4711, 3});
	stray((struct who){4712, 0});
	stable_comes_to(4); /* two records, two markers */
	struct fetch_response_partition p = fetch(1);
	assert_int_equal(p.aborted_transactions.count, 2);
	struct who w = init("tx");
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	usleep(1500 * 1000); /* a coordinator's own is left alone */
	assert_int_equal(fetch(1).last_stable_offset, 4);
	assert_int_equal(end(5, "tx", w, true), 0);
	assert_int_equal(fetch(1).last_stable_offset, 7);
}

/*
 * A damaged partition was passed over, and what was committed stayed open there until somebody had
 * waited for a minute: aborted then, if the producer had begun another transaction meanwhile.
 */
static void the_end_of_a_transaction_reaches_a_damaged_partition(void **state)
{
	(void)state;
	struct who w = init("tx");
	assert_int_equal(write_as(12, "tx", w, 0), 0);
	assert_int_equal(fetch(1).last_stable_offset, 0);
	kafka_server_damage(&server, "t", 0, true);
	assert_int_equal(end(4, "tx", w, true), 0);
	assert_int_equal(fetch(1).last_stable_offset, 3);
	assert_int_equal(fetch(1).aborted_transactions.count, 0);
	kafka_server_damage(&server, "t", 0, false);
}

static void the_feature_says_which_clients_bump_epochs(void **state)
{
	(void)state;
	struct api_versions_request body = {
	    .client_software_name = STR("test"), .client_software_version = STR("1")};
	for (int16_t v = 3; v <= 4; v++) {
		const struct api_versions_response *r = kafka_call(&c, API_API_VERSIONS, v, &body);
		assert_int_equal(r->finalized_features_epoch, 0);
		int level = -1;
		for (uint32_t i = 0; i < r->finalized_features.count; i++) {
			if (str_equal(r->finalized_features.at[i].name, STR("transaction.version")))
				level = r->finalized_features.at[i].max_version_level;
		}
		assert_int_equal(level, 2);
		uint32_t count = r->finalized_features.count;
		assert_int_equal(r->supported_features.count, v >= 4 ? count : 0); /* KAFKA-17011 */
	}
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (older_clients_add_partitions_first),
	    EACH (a_fetch_that_ends_in_an_error_tells_nothing_it_has_read),
	    EACH (newer_clients_get_an_epoch_with_each_end),
	    EACH (init_fences_aborts_and_knows_its_own),
	    EACH (init_knows_the_epoch_before_the_servers_bump),
	    EACH (a_partition_that_knows_nothing_of_a_producer_starts_at_zero),
	    EACH (a_transaction_survives_restarts),
	    EACH (late_transactions_are_aborted_under_a_new_epoch),
	    EACH (offsets_are_committed_with_the_transaction),
	    EACH (administrators_see_and_abort_what_is_open),
	    EACH (a_marker_that_is_not_of_a_transaction_leaves_it),
	    EACH (what_is_open_for_nobody_is_ended),
	    EACH (the_end_of_a_transaction_reaches_a_damaged_partition),
	    EACH (the_feature_says_which_clients_bump_epochs),
	    EACH (exhausted_epochs_bring_a_new_producer),
	};
	int failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	return failed;
}
