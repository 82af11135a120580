/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch sessions (KIP-227) with hand-made requests, and a model of a client that keeps one: by name
 * and by id, what it receives through a session is what is there.
 */
#include "broker/auth/acl.h"
#include "broker/kafka/server.h"
#include "log/base/prng.h"
#include "test/lib/kafka_pair.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <stdio.h>

/* ---- requests -------------------------------------------------------------------------------- */

struct want {
	const char *topic; /* NULL: the end */
	int32_t partition;
	int64_t offset;
};
struct ask {
	int16_t version; /* 0 = 11 */
	int32_t session_id, epoch;
	int32_t max_wait_ms, max_bytes, min_bytes; /* 0: the last two 1 MiB, 1 */
	int8_t isolation;
	struct want add[8], forget[8];
};

static struct log_uuid id_of(const char *topic, int16_t version)
{
	return version >= 13 ? kafka_topic_id(&c, topic) : (struct log_uuid){{0}};
}

static void ask(struct kafka_client *from, struct ask a)
{
	struct fetch_request_topic topics[8];
	struct fetch_request_partition parts[8];
	struct fetch_request_forgotten forgotten[8];
	struct fetch_request body;
	int16_t version = a.version ? a.version : 11;
	msg_init(&fetch_request_shape, &body);
	body.session_id = a.session_id;
	body.session_epoch = a.epoch;
	body.max_wait_ms = a.max_wait_ms;
	body.min_bytes = a.min_bytes ? a.min_bytes : 1;
	body.isolation_level = a.isolation;
	body.max_bytes = a.max_bytes ? a.max_bytes : (int32_t)MIB;
	body.topics.at = topics;
	body.forgotten_topics_data.at = forgotten;
	for (int i = 0; i < 8 && a.add[i].topic; i++) {
		msg_init(&fetch_request_partition_shape, &parts[i]);
		parts[i].partition = a.add[i].partition;
		parts[i].fetch_offset = a.add[i].offset;
		parts[i].partition_max_bytes = (int32_t)MIB;
		topics[i] = (struct fetch_request_topic){.topic = str_of(a.add[i].topic),
		    .topic_id = id_of(a.add[i].topic, version),
		    .partitions = {&parts[i], 1}};
		body.topics.count++;
	}
	for (int i = 0; i < 8 && a.forget[i].topic; i++) {
		forgotten[i] = (struct fetch_request_forgotten){.topic = str_of(a.forget[i].topic),
		    .topic_id = id_of(a.forget[i].topic, version),
		    .partitions = {&a.forget[i].partition, 1}};
		body.forgotten_topics_data.count++;
	}
	kafka_send(from, API_FETCH, version, &body);
}

static const struct fetch_response *fetch(struct ask a)
{
	ask(&c, a);
	return kafka_receive(&c, API_FETCH, a.version ? a.version : 11);
}

/* Partitions named by the answer. */
static int named(const struct fetch_response *r)
{
	int count = 0;
	for (uint32_t i = 0; i < r->responses.count; i++)
		count += (int)r->responses.at[i].partitions.count;
	return count;
}

static const struct fetch_response_partition *only(const struct fetch_response *r)
{
	assert_int_equal(r->error_code, 0);
	assert_int_equal(named(r), 1);
	return &r->responses.at[0].partitions.at[0];
}

static void produce(int32_t partition, int count)
{
	struct produce_response_partition p =
	    kafka_produce(&c, 9, "t", partition, kafka_batch(&c, 0, count, "v"));
	assert_int_equal(p.error_code, 0);
}

/* ---- the protocol ---------------------------------------------------------------------------- */

static void an_answer_names_only_what_has_news(void **state)
{
	(void)state;
	kafka_create(&c, "t", 3, NULL);
	const struct fetch_response *r =
	    fetch((struct ask){.add = {{"t", 0, 0}, {"t", 1, 0}, {"t", 2, 0}}});
	int32_t id = r->session_id;
	assert_int_equal(r->error_code, 0);
	assert_true(id > 0);
	assert_int_equal(named(r), 3);
	r = fetch((struct ask){.session_id = id, .epoch = 1});
	assert_int_equal(r->session_id, id);
	assert_int_equal(named(r), 0);
	produce(1, 4);
	const struct fetch_response_partition *p =
	    only(fetch((struct ask){.session_id = id, .epoch = 2, .max_wait_ms = 5000}));
	assert_int_equal(p->partition_index, 1);
	assert_int_equal(kafka_count_records(kafka_fetched(&c, p), 0), 4);
	/* it has not said that it got them: they come again */
	p = only(fetch((struct ask){.session_id = id, .epoch = 3}));
	assert_int_equal(kafka_count_records(kafka_fetched(&c, p), 0), 4);
	r = fetch((struct ask){.session_id = id, .epoch = 4, .add = {{"t", 1, 4}}});
	assert_int_equal(named(r), 0);
	/* the log start moves: news without data */
	struct delete_records_request_partition cut = {1, 3};
	struct delete_records_request_topic t = {.name = STR("t"), .partitions = {&cut, 1}};
	struct delete_records_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	(void)kafka_call(&c, API_DELETE_RECORDS, 2, &body);
	p = only(fetch((struct ask){.session_id = id, .epoch = 5}));
	assert_int_equal(p->log_start_offset, 3);
	assert_int_equal(p->records.count, 0);
}

static void epochs_count_and_a_session_is_found_or_not(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	int32_t id = fetch((struct ask){.add = {{"t", 0, 0}}})->session_id;
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = 2})->error_code, 71);
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = 1})->error_code, 0);
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = 1})->error_code, 71);
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = -7})->error_code, 71);
	assert_int_equal(
	    fetch((struct ask){.session_id = id, .epoch = 2, .version = 13})->error_code, 106);
	assert_int_equal(fetch((struct ask){.session_id = id ^ 1, .epoch = 2})->error_code, 70);
	/* a full request that names it ends it */
	const struct fetch_response *r =
	    fetch((struct ask){.session_id = id, .add = {{"t", 0, 0}}});
	int32_t next = r->session_id;
	assert_true(next > 0 && next != id);
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = 2})->error_code, 70);
	/* the last one: none afterwards */
	r = fetch((struct ask){.session_id = next, .epoch = -1, .max_wait_ms = 30000});
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->session_id, 0);
	assert_int_equal(fetch((struct ask){.session_id = next, .epoch = 1})->error_code, 70);
}

static void partitions_come_and_go(void **state)
{
	(void)state;
	kafka_create(&c, "t", 3, NULL);
	for (int i = 0; i < 3; i++)
		produce(i, i + 1);
	int32_t id = fetch((struct ask){.add = {{"t", 0, 1}}})->session_id;
	const struct fetch_response_partition *p = only(fetch((struct ask){
	    .session_id = id, .epoch = 1, .add = {{"t", 2, 0}}, .forget = {{"t", 0, 0}}}));
	assert_int_equal(p->partition_index, 2);
	/* forgotten ones that were never there are no error */
	const struct fetch_response *r = fetch((struct ask){.session_id = id,
	    .epoch = 2,
	    .add = {{"t", 2, 3}, {"t", 1, 0}},
	    .forget = {{"t", 0, 0}, {"none", 0, 0}}});
	assert_int_equal(only(r)->partition_index, 1);
	/* nothing is left: it ends */
	r = fetch((struct ask){.session_id = id,
	    .epoch = 3,
	    .max_wait_ms = 30000,
	    .forget = {{"t", 2, 0}, {"t", 1, 0}}});
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->session_id, 0);
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = 4})->error_code, 70);
}

static void errors_are_told_each_time_and_their_end_too(void **state)
{
	(void)state;
	const struct fetch_response *r = fetch((struct ask){.add = {{"late", 0, 0}}});
	int32_t id = r->session_id;
	assert_int_equal(only(r)->error_code, 3);
	assert_int_equal(only(fetch((struct ask){.session_id = id, .epoch = 1}))->error_code, 3);
	kafka_create(&c, "late", 1, NULL);
	const struct fetch_response_partition *p =
	    only(fetch((struct ask){.session_id = id, .epoch = 2}));
	assert_int_equal(p->error_code, 0);
	assert_int_equal(p->high_watermark, 0);
	assert_int_equal(named(fetch((struct ask){.session_id = id, .epoch = 3})), 0);
}

static void partitions_that_gave_data_wait_for_the_others(void **state)
{
	(void)state;
	bool seen[3] = {false};
	kafka_create(&c, "t", 3, NULL);
	for (int i = 0; i < 3; i++)
		produce(i, 50);
	const struct fetch_response *r =
	    fetch((struct ask){.max_bytes = 1, .add = {{"t", 0, 0}, {"t", 1, 0}, {"t", 2, 0}}});
	int32_t id = r->session_id;
	for (int32_t epoch = 1; epoch <= 3; epoch++) {
		for (uint32_t i = 0; i < r->responses.at[0].partitions.count; i++) {
			const struct fetch_response_partition *p =
			    &r->responses.at[0].partitions.at[i];
			if (p->records.count > 0) {
				assert_false(seen[p->partition_index]);
				seen[p->partition_index] = true;
			}
		}
		r = fetch((struct ask){.session_id = id, .epoch = epoch, .max_bytes = 1});
	}
	assert_true(seen[0] && seen[1] && seen[2]);
}

static void there_are_as_many_as_there_are_slots(void **state)
{
	(void)state;
	pair_restart(&(struct broker_options){.fetch_sessions_max = 2});
	kafka_create(&c, "t", 1, NULL);
	produce(0, 3);
	struct ask full = {.add = {{"t", 0, 0}}};
	int32_t first = fetch(full)->session_id, second = fetch(full)->session_id;
	assert_true(first > 0 && second > 0);
	const struct fetch_response *r = fetch(full); /* goes without */
	assert_int_equal(r->session_id, 0);
	assert_int_equal(kafka_count_records(kafka_fetched(&c, only(r)), 0), 3);
	fetch((struct ask){.session_id = first, .epoch = -1});
	assert_true(fetch(full)->session_id > 0);
	assert_int_equal(fetch((struct ask){.session_id = second, .epoch = 1})->error_code, 0);
}

static void a_session_is_one_fetch_at_a_time(void **state)
{
	(void)state;
	struct kafka_client other;
	struct fetch_request body;
	kafka_create(&c, "t", 1, NULL);
	int32_t id = fetch((struct ask){.add = {{"t", 0, 0}}})->session_id;
	kafka_connect(&other, &server);
	msg_init(&fetch_request_shape, &body);
	body.session_id = id;
	body.session_epoch = 1;
	body.max_wait_ms = 60000;
	body.min_bytes = 1;
	kafka_send(&other, API_FETCH, 11, &body);
	assert_false(kafka_readable(&other, 200));
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = 2})->error_code, 71);
	/* it is ended while that one waits, which is answered all the same */
	assert_int_equal(fetch((struct ask){.session_id = id, .epoch = -1})->error_code, 0);
	produce(0, 2);
	const struct fetch_response *r = kafka_receive(&other, API_FETCH, 11);
	assert_int_equal(only(r)->high_watermark, 2);
	kafka_client_clear(&other);
	/* one that goes away while it waits gives its session back */
	id = fetch((struct ask){.add = {{"t", 0, 2}}})->session_id;
	body.session_id = id;
	kafka_send(&other, API_FETCH, 11, &body);
	assert_false(kafka_readable(&other, 200));
	kafka_disconnect(&other);
	int16_t error = 71;
	for (int i = 0; i < 50 && error == 71; i++)
		error = fetch((struct ask){.session_id = id, .epoch = 2, .max_wait_ms = 20})
		            ->error_code;
	assert_int_equal(error, 0);
}

/* ---- what rests ------------------------------------------------------------------------------ */

struct count {
	int awake, resting;
};

static void count_parts(void *arg)
{
	struct count *count = arg;
	LIST_EACH (&server.broker->fetch_sessions.by_use, n, next) {
		struct fetch_session *s = CONTAINER_OF(n, struct fetch_session, node);
		LIST_EACH (&s->parts, part, after)
			count->awake++;
		count->resting += (int)s->index.count;
	}
	count->resting -= count->awake;
}

static void assert_parts(int awake, int resting)
{
	struct count count = {0};
	loop_call(server.loop, count_parts, &count);
	assert_int_equal(count.awake, awake);
	assert_int_equal(count.resting, resting);
}

/* A transaction's records, for partition `partition` of t; its end. */
static struct init_producer_id_response begin(int32_t partition, int count)
{
	struct init_producer_id_request init = {.transactional_id = STR("x"),
	    .transaction_timeout_ms = 600000,
	    .producer_id = -1,
	    .producer_epoch = -1};
	struct init_producer_id_response who = *(
	    const struct init_producer_id_response *)kafka_call(&c, API_INIT_PRODUCER_ID, 5, &init);
	struct batch_builder b;
	struct writer out;
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&out, MIB);
	b.producer_id = who.producer_id;
	b.producer_epoch = who.producer_epoch;
	b.base_sequence = 0;
	b.attributes = BATCH_ATTR_TRANSACTIONAL;
	for (int i = 0; i < count; i++)
		assert_int_equal(
		    batch_builder_add(&b, 1, bytes_of("k", 1), bytes_of("v", 1), NULL, 0), ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &out), ERR_OK);
	batch_builder_release(&b);
	struct produce_request_partition p = {partition, writer_bytes(&out)};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	struct produce_request body = {
	    .transactional_id = STR("x"), .acks = -1, .timeout_ms = 1000, .topic_data = {&t, 1}};
	const struct produce_response *r = kafka_call(&c, API_PRODUCE, 12, &body);
	assert_int_equal(r->responses.at[0].partition_responses.at[0].error_code, 0);
	writer_release(&out);
	return who;
}

static void commit(struct init_producer_id_response who)
{
	struct end_txn_request body = {.transactional_id = STR("x"),
	    .producer_id = who.producer_id,
	    .producer_epoch = who.producer_epoch,
	    .committed = true};
	const struct end_txn_response *r = kafka_call(&c, API_END_TXN, 5, &body);
	assert_int_equal(r->error_code, 0);
}

/* What is fetched and told costs nothing more; each change of it is told all the same. */
static void partitions_without_news_rest(void **state)
{
	(void)state;
	kafka_create(&c, "t", 3, NULL);
	int32_t id =
	    fetch((struct ask){.add = {{"t", 0, 0}, {"t", 1, 0}, {"t", 2, 0}}})->session_id;
	assert_parts(0, 3);
	produce(1, 4);
	assert_parts(0, 3); /* it is noticed when somebody asks */
	const struct fetch_response_partition *p =
	    only(fetch((struct ask){.session_id = id, .epoch = 1}));
	assert_int_equal(p->partition_index, 1);
	assert_parts(1, 2); /* not said to be received */
	(void)only(fetch((struct ask){.session_id = id, .epoch = 2}));
	assert_int_equal(
	    named(fetch((struct ask){.session_id = id, .epoch = 3, .add = {{"t", 1, 4}}})), 0);
	assert_parts(0, 3);
	/* one that is named is looked at, and one that is left out is not watched any more */
	p = only(fetch((struct ask){.session_id = id, .epoch = 4, .add = {{"t", 1, 0}}}));
	assert_int_equal(kafka_count_records(kafka_fetched(&c, p), 0), 4);
	assert_int_equal(
	    named(fetch((struct ask){.session_id = id, .epoch = 5, .forget = {{"t", 1, 0}}})), 0);
	assert_parts(0, 2);
	produce(1, 1);
	assert_int_equal(named(fetch((struct ask){.session_id = id, .epoch = 6})), 0);
	/* an error is told each time, so that one does not rest */
	struct delete_topics_request_topic gone = {.name = STR("t")};
	struct delete_topics_request body = {.topics = {&gone, 1}, .timeout_ms = 5000};
	(void)kafka_call(&c, API_DELETE_TOPICS, 6, &body);
	for (int i = 0; i < 2; i++) {
		const struct fetch_response *r =
		    fetch((struct ask){.session_id = id, .epoch = 7 + i});
		assert_int_equal(named(r), 2);
		assert_int_equal(r->responses.at[0].partitions.at[0].error_code, 3);
		assert_parts(2, 0);
	}
	kafka_create(&c, "t", 3, NULL);
	assert_int_equal(named(fetch((struct ask){.session_id = id, .epoch = 9})), 2);
	assert_parts(0, 2);
}

/* Older versions have an error that comes with a topic's setting. */
static void sessions_of_old_versions_look_at_all(void **state)
{
	(void)state;
	kafka_create(&c, "t", 2, NULL);
	(void)fetch((struct ask){.version = 9, .add = {{"t", 0, 0}, {"t", 1, 0}}});
	assert_parts(2, 0);
}

/* A reader of committed data is told of ends that others see, and gets what is committed. */
static void a_transaction_wakes_those_who_rest(void **state)
{
	(void)state;
	struct kafka_client other;
	kafka_create(&c, "t", 2, NULL);
	int32_t id =
	    fetch((struct ask){.isolation = 1, .add = {{"t", 0, 0}, {"t", 1, 0}}})->session_id;
	assert_parts(0, 2);
	struct init_producer_id_response who = begin(1, 2);
	const struct fetch_response_partition *p =
	    only(fetch((struct ask){.isolation = 1, .session_id = id, .epoch = 1}));
	assert_int_equal(p->high_watermark, 2);
	assert_int_equal(p->last_stable_offset, 0);
	assert_int_equal(p->records.count, 0);
	assert_parts(0, 2);
	kafka_connect(&other, &server);
	ask(&other,
	    (struct ask){.isolation = 1, .session_id = id, .epoch = 2, .max_wait_ms = 600000});
	assert_false(kafka_readable(&other, 100));
	commit(who);
	p = only(kafka_receive(&other, API_FETCH, 11));
	assert_int_equal(p->last_stable_offset, 3);
	assert_int_equal(kafka_count_records(kafka_fetched(&other, p), 0), 3);
	kafka_disconnect(&other);
	/* of who has it all nothing is held back from one who reads everything, as he does next */
	assert_int_equal(named(fetch((struct ask){
	                     .isolation = 1, .session_id = id, .epoch = 3, .add = {{"t", 1, 3}}})),
	    0);
	who = begin(0, 2);
	(void)only(fetch((struct ask){.isolation = 1, .session_id = id, .epoch = 4}));
	assert_parts(0, 2);
	p = only(fetch((struct ask){.isolation = 0, .session_id = id, .epoch = 5}));
	assert_int_equal(kafka_count_records(kafka_fetched(&c, p), 0), 2);
	commit(who);
}

static void a_right_that_is_gone_is_told(void **state)
{
	(void)state;
	kafka_create(&c, "t", 2, NULL);
	int32_t id = fetch((struct ask){.add = {{"t", 0, 0}, {"t", 1, 0}}})->session_id;
	assert_parts(0, 2);
	struct create_acls_request_creation e = {.resource_type = ACL_TOPIC,
	    .resource_name = STR("t"),
	    .resource_pattern_type = ACL_LITERAL,
	    .principal = STR("User:ANONYMOUS"),
	    .host = STR("*"),
	    .operation = ACL_READ,
	    .permission_type = ACL_DENY};
	struct create_acls_request body = {.creations = {&e, 1}};
	const struct create_acls_response *r = kafka_call(&c, API_CREATE_ACLS, 3, &body);
	assert_int_equal(r->results.at[0].error_code, 0);
	const struct fetch_response *f = fetch((struct ask){.session_id = id, .epoch = 1});
	assert_int_equal(named(f), 2);
	assert_int_equal(f->responses.at[0].partitions.at[1].error_code, 29);
}

/* What comes to partitions that rested counts as what comes to the others. */
static void a_fetch_of_resting_partitions_waits_for_enough(void **state)
{
	(void)state;
	struct kafka_client other;
	kafka_create(&c, "t", 3, NULL);
	int32_t id =
	    fetch((struct ask){.add = {{"t", 0, 0}, {"t", 1, 0}, {"t", 2, 0}}})->session_id;
	int32_t one = (int32_t)kafka_batch(&c, 0, 3, "v").len;
	kafka_connect(&other, &server);
	ask(&other, (struct ask){
	                .session_id = id, .epoch = 1, .max_wait_ms = 600000, .min_bytes = 4 * one});
	for (int i = 0; i < 3; i++) {
		assert_false(kafka_readable(&other, 50));
		produce(i % 2, 3);
	}
	assert_false(kafka_readable(&other, 50));
	produce(2, 3);
	const struct fetch_response *r = kafka_receive(&other, API_FETCH, 11);
	assert_int_equal(named(r), 3);
	kafka_disconnect(&other);
	/* the time is up: what has come is given all the same, and nothing where nothing has */
	const struct want at[] = {{"t", 0, 6}, {"t", 1, 3}, {"t", 2, 3}};
	r = fetch((struct ask){
	    .session_id = id, .epoch = 2, .max_wait_ms = 50, .add = {at[0], at[1], at[2]}});
	assert_int_equal(named(r), 0);
	assert_parts(0, 3);
	r = fetch((struct ask){.session_id = id, .epoch = 3, .max_wait_ms = 50});
	assert_int_equal(named(r), 0);
	assert_parts(0, 3);
}

/* ---- a client's view ------------------------------------------------------------------------- */

enum { PARTS = 4 };
struct model {
	int32_t id, epoch;
	int16_t version;
	bool wanted[PARTS], sent[PARTS]; /* now, and as the session has it */
	int64_t at[PARTS], sent_at[PARTS], end[PARTS];
};

/* What changed since the last request, as a consumer's session handler says it. */
static struct ask next_request(const struct model *m)
{
	struct ask a = {
	    .version = m->version, .session_id = m->id, .epoch = m->epoch, .max_bytes = 2000};
	int adds = 0, drops = 0;
	for (int i = 0; i < PARTS; i++) {
		bool full = m->epoch == 0;
		if (m->wanted[i] && (full || !m->sent[i] || m->sent_at[i] != m->at[i]))
			a.add[adds++] = (struct want){"t", i, m->at[i]};
		if (!m->wanted[i] && m->sent[i] && !full)
			a.forget[drops++] = (struct want){"t", i, 0};
	}
	return a;
}

static void take(struct model *m, const struct fetch_response *r)
{
	for (uint32_t i = 0; i < r->responses.count; i++)
		for (uint32_t k = 0; k < r->responses.at[i].partitions.count; k++) {
			const struct fetch_response_partition *p =
			    &r->responses.at[i].partitions.at[k];
			int at = p->partition_index;
			assert_true(m->wanted[at]);
			assert_int_equal(p->error_code, 0);
			assert_int_equal(p->high_watermark, m->end[at]);
			m->at[at] += kafka_count_records(kafka_fetched(&c, p), m->at[at]);
		}
}

static void a_client_with_a_session_misses_nothing(void **state)
{
	struct prng prng;
	struct model m = {.version = *(const int16_t *)*state};
	prng_init(&prng, test_seed(1));
	kafka_create(&c, "t", PARTS, NULL);
	for (int step = 0; step < 400; step++) {
		int i = (int)prng_below(&prng, PARTS);
		if (step < 350 && prng_below(&prng, 3) == 0) {
			int count = 1 + (int)prng_below(&prng, 20);
			produce(i, count);
			m.end[i] += count;
		}
		if (prng_below(&prng, 8) == 0 || step >= 350)
			m.wanted[i] = step >= 350 || !m.wanted[i];
		if (prng_below(&prng, 40) == 0)
			m.epoch = 0; /* begins again */
		const struct fetch_response *r = fetch(next_request(&m));
		if (r->error_code != 0) { /* it had become empty */
			assert_int_equal(r->error_code, 70);
			m.id = m.epoch = 0;
			continue;
		}
		memcpy(m.sent, m.wanted, sizeof(m.sent));
		memcpy(m.sent_at, m.at, sizeof(m.sent_at));
		take(&m, r);
		m.id = r->session_id;
		m.epoch = m.id == 0 ? 0 : m.epoch + 1;
		kafka_client_clear(&c);
	}
	for (int i = 0; i < PARTS; i++)
		assert_int_equal(m.at[i], m.end[i]);
}

#define EACH(fn) cmocka_unit_test_setup_teardown(fn, pair_start, pair_stop)
int main(void)
{
	static int16_t by_name = 12, by_id = 17;
	const struct CMUnitTest tests[] = {
	    EACH (an_answer_names_only_what_has_news),
	    EACH (epochs_count_and_a_session_is_found_or_not),
	    EACH (partitions_come_and_go),
	    EACH (errors_are_told_each_time_and_their_end_too),
	    EACH (partitions_that_gave_data_wait_for_the_others),
	    EACH (there_are_as_many_as_there_are_slots),
	    EACH (a_session_is_one_fetch_at_a_time),
	    EACH (partitions_without_news_rest),
	    EACH (sessions_of_old_versions_look_at_all),
	    EACH (a_transaction_wakes_those_who_rest),
	    EACH (a_right_that_is_gone_is_told),
	    EACH (a_fetch_of_resting_partitions_waits_for_enough),
	    {"a_client_with_a_session_misses_nothing_by_name",
	        a_client_with_a_session_misses_nothing, pair_start, pair_stop, &by_name},
	    {"a_client_with_a_session_misses_nothing_by_id", a_client_with_a_session_misses_nothing,
	        pair_start, pair_stop, &by_id},
	};
	return cmocka_run_group_tests_name("fetch_session", tests, NULL, NULL);
}
