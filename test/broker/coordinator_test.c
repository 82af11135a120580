/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group coordinator over loopback with hand-made requests: members, commits, what a restart and
 * a copy of the running directory keep, and the records other programs read.
 */
#include "test/lib/kafka_calls.h"
#include "test/lib/patience.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct kafka_server server;
static struct kafka_client a, b;
static const char *backend = "uring";

/* A group's first rebalance waits for nobody: who meets whom is not decided by the clock. */
static const struct broker_options defaults = {.group_initial_delay_ms = -1};

static int start_with(const struct broker_options *options)
{
	kafka_server_start(&server, backend, options);
	kafka_connect(&a, &server);
	kafka_connect(&b, &server);
	return 0;
}

static int start(void **state)
{
	(void)state;
	start_with(&defaults);
	kafka_create(&a, "t", 3, NULL);
	kafka_create(&a, "u", 1, NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_disconnect(&a);
	kafka_disconnect(&b);
	kafka_server_remove(&server);
	return 0;
}

static void restart(const struct broker_options *options)
{
	kafka_disconnect(&a);
	kafka_disconnect(&b);
	kafka_server_stop(&server);
	start_with(options);
}

/* ---- members ----------------------------------------------------------------------------------- */

static struct join_group_request_protocol range = {{"range", 5}, {(const uint8_t *)"sub", 3}};

static struct join_group_request join_request(struct str member_id)
{
	return (struct join_group_request){
	    .group_id = STR("g"),
	    .session_timeout_ms = 600000,
	    .rebalance_timeout_ms = 500000,
	    .member_id = member_id,
	    .protocol_type = STR("consumer"),
	    .protocols = {&range, 1},
	};
}

/* Joins, after MEMBER_ID_REQUIRED with the id given. */
static void send_join(struct kafka_client *c, int16_t version, struct str member_id)
{
	struct join_group_request join = join_request(member_id);
	if (version >= 4 && !member_id.len) {
		const struct join_group_response *r = kafka_call(c, API_JOIN_GROUP, version, &join);
		assert_int_equal(r->error_code, 79);
		assert_true(r->member_id.len > 36);
		join.member_id = r->member_id;
	}
	kafka_send(c, API_JOIN_GROUP, version, &join);
}

static const struct join_group_response *joined(struct kafka_client *c, int16_t version)
{
	const struct join_group_response *r = kafka_receive(c, API_JOIN_GROUP, version);
	assert_int_equal(r->error_code, 0);
	return r;
}

static struct sync_group_request sync_of(const struct join_group_response *me,
    struct sync_group_request_assignment *assignments, uint32_t count)
{
	return (struct sync_group_request){
	    .group_id = STR("g"),
	    .generation_id = me->generation_id,
	    .member_id = me->member_id,
	    .protocol_type = STR("consumer"),
	    .protocol_name = STR("range"),
	    .assignments = {assignments, count},
	};
}

static int16_t beat(struct kafka_client *c, int16_t version, const struct join_group_response *me)
{
	struct heartbeat_request body = {
	    .group_id = STR("g"), .generation_id = me->generation_id, .member_id = me->member_id};
	const struct heartbeat_response *r = kafka_call(c, API_HEARTBEAT, version, &body);
	return r->error_code;
}

static int16_t leave(struct kafka_client *c, int16_t version, struct str member_id)
{
	struct leave_group_request_member member = {.member_id = member_id};
	struct leave_group_request body = {
	    .group_id = STR("g"), .member_id = member_id, .members = {&member, 1}};
	const struct leave_group_response *r = kafka_call(c, API_LEAVE_GROUP, version, &body);
	return r->error_code || version < 3 ? r->error_code : r->members.at[0].error_code;
}

/* a leads, b follows, both STABLE. */
struct pair {
	const struct join_group_response *a, *b;
};
static struct pair two_members(int16_t join_version, int16_t sync_version)
{
	struct pair p;
	send_join(&a, join_version, STR(""));
	p.a = joined(&a, join_version);
	send_join(&b, join_version, STR(""));
	while (beat(&a, 3, p.a) != 27)
		io_sleep_ns(server.io, MS_NS);
	send_join(&a, join_version, p.a->member_id);
	p.a = joined(&a, join_version);
	p.b = joined(&b, join_version);
	assert_int_equal(p.a->generation_id, p.b->generation_id);
	bool a_leads = p.a->members.count > 0;
	const struct join_group_response *leader = a_leads ? p.a : p.b;
	assert_int_equal(leader->members.count, 2);
	assert_true(str_equal(leader->leader, leader->member_id));
	assert_true(bytes_equal(leader->members.at[1].metadata, bytes_of("sub", 3)));
	struct sync_group_request_assignment both[2] = {
	    {p.a->member_id, bytes_of("for a", 5)}, {p.b->member_id, bytes_of("for b", 5)}};
	struct sync_group_request sa = sync_of(p.a, both, a_leads ? 2 : 0);
	struct sync_group_request sb = sync_of(p.b, both, a_leads ? 0 : 2);
	kafka_send(&a, API_SYNC_GROUP, sync_version, &sa);
	kafka_send(&b, API_SYNC_GROUP, sync_version, &sb);
	const struct sync_group_response *ra = kafka_receive(&a, API_SYNC_GROUP, sync_version);
	const struct sync_group_response *rb = kafka_receive(&b, API_SYNC_GROUP, sync_version);
	assert_int_equal(ra->error_code, 0);
	assert_true(bytes_equal(ra->assignment, bytes_of("for a", 5)));
	assert_true(bytes_equal(rb->assignment, bytes_of("for b", 5)));
	return p;
}

static void members_meet_in_every_version(void **state)
{
	(void)state;
	for (int16_t v = 0; v <= 9; v++) {
		int16_t sync = v < 5 ? v : 5, beat_version = v < 4 ? v : 4;
		struct pair p = two_members(v, sync);
		assert_int_equal(beat(&a, beat_version, p.a), 0);
		assert_int_equal(beat(&b, beat_version, p.b), 0);
		assert_int_equal(leave(&a, sync, p.a->member_id), 0);
		assert_int_equal(beat(&b, beat_version, p.b), 27);
		assert_int_equal(leave(&b, sync, p.b->member_id), 0);
		assert_int_equal(leave(&b, sync, p.b->member_id), 25);
	}
}

static void who_syncs_says_by_which_protocol_from_version_5_on(void **state)
{
	(void)state;
	const struct join_group_response nobody = {.generation_id = 1, .member_id = STR("m")};
	struct sync_group_request type = sync_of(&nobody, NULL, 0), name = type;
	type.protocol_type = (struct str){NULL, 0};
	name.protocol_name = (struct str){NULL, 0};
	name.group_id = STR(""); /* else 24 */
	const struct sync_group_response *r = kafka_call(&a, API_SYNC_GROUP, 5, &type);
	assert_int_equal(r->error_code, 23);
	r = kafka_call(&a, API_SYNC_GROUP, 5, &name);
	assert_int_equal(r->error_code, 23);
	r = kafka_call(&a, API_SYNC_GROUP, 4, &name);
	assert_int_equal(r->error_code, 24);
	r = kafka_call(&a, API_SYNC_GROUP, 4, &type);
	assert_int_equal(r->error_code, 25);
}

static void the_one_who_stays_takes_over(void **state)
{
	(void)state;
	struct pair p = two_members(5, 3);
	assert_int_equal(leave(&b, 3, p.b->member_id), 0);
	assert_int_equal(beat(&a, 3, p.a), 27);
	send_join(&a, 5, p.a->member_id);
	const struct join_group_response *again = joined(&a, 5);
	assert_int_equal(again->generation_id, p.a->generation_id + 1);
	assert_int_equal(again->members.count, 1);
}

static void a_group_needs_a_name_and_a_known_member(void **state)
{
	(void)state;
	struct join_group_request join = join_request(STR("stranger"));
	const struct join_group_response *r = kafka_call(&a, API_JOIN_GROUP, 5, &join);
	assert_int_equal(r->error_code, 25);
	assert_int_equal(r->generation_id, -1);
	join.group_id = STR("");
	r = kafka_call(&a, API_JOIN_GROUP, 5, &join);
	assert_int_equal(r->error_code, 24);
	join = join_request(STR(""));
	join.session_timeout_ms = 100;
	r = kafka_call(&a, API_JOIN_GROUP, 5, &join);
	assert_int_equal(r->error_code, 26);
	join = join_request(STR(""));
	join.group_instance_id = str_from("a\0b", 3);
	r = kafka_call(&a, API_JOIN_GROUP, 5, &join);
	assert_int_equal(r->error_code, 42);
	join = join_request(STR(""));
	join.group_id = STR("g\xff");
	r = kafka_call(&a, API_JOIN_GROUP, 3, &join);
	assert_int_equal(r->error_code, 24);
	/* nothing of all that is left */
	struct list_groups_request all = {0};
	const struct list_groups_response *list = kafka_call(&a, API_LIST_GROUPS, 4, &all);
	assert_int_equal(list->groups.count, 0);
}

static void a_client_may_go_while_it_waits(void **state)
{
	(void)state;
	struct pair p = two_members(3, 3);
	for (int i = 0; i < 5; i++) { /* joins, and is gone before the others have answered */
		struct kafka_client c;
		kafka_connect(&c, &server);
		send_join(&c, 3, STR(""));
		assert_false(kafka_readable(&c, 50));
		kafka_disconnect(&c);
	}
	assert_int_equal(beat(&a, 3, p.a), 27);
	send_join(&a, 3, p.a->member_id);
	send_join(&b, 3, p.b->member_id);
	const struct join_group_response *again = joined(&a, 3);
	assert_int_equal(again->members.count, 7);
	joined(&b, 3);
}

static void the_server_stops_though_members_wait(void **state)
{
	(void)state;
	two_members(3, 3);
	struct kafka_client c;
	kafka_connect(&c, &server);
	send_join(&c, 3, STR(""));
	assert_false(kafka_readable(&c, 50));
	kafka_server_stop(&server);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
	kafka_disconnect(&a);
	kafka_disconnect(&b);
	start_with(&defaults);
}

/* ---- offsets ------------------------------------------------------------------------------------ */

/* Commits t/partition as a client without a group's membership; returns the partition's error. */
static int16_t commit(int16_t version, const char *group, int32_t partition, int64_t offset)
{
	struct offset_commit_request_partition p = {
	    .partition_index = partition,
	    .committed_offset = offset,
	    .committed_leader_epoch = 7,
	    .committed_metadata = STR("m\xc3\xa9ta"),
	};
	struct offset_commit_request_topic topic = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_commit_request body = {
	    .group_id = str_of(group),
	    .generation_id_or_member_epoch = -1,
	    .member_id = STR(""),
	    .retention_time_ms = -1,
	    .topics = {&topic, 1},
	};
	if (version >= 10)
		topic.topic_id = kafka_topic_id(&a, "t");
	const struct offset_commit_response *r = kafka_call(&a, API_OFFSET_COMMIT, version, &body);
	assert_int_equal(r->topics.count, 1);
	assert_int_equal(r->topics.at[0].partitions.count, 1);
	assert_int_equal(r->topics.at[0].partitions.at[0].partition_index, partition);
	return r->topics.at[0].partitions.at[0].error_code;
}

struct committed {
	int64_t offset;
	int32_t leader_epoch;
	struct str metadata;
	int16_t error;
};

static struct committed fetch_new(int16_t version, struct str group, int32_t partition)
{
	struct offset_fetch_request_group_topic topic = {
	    .name = STR("t"), .partition_indexes = {&partition, 1}};
	struct offset_fetch_request_group g = {
	    .group_id = group, .member_epoch = -1, .topics = {&topic, 1}};
	struct offset_fetch_request body = {.groups = {&g, 1}};
	if (version >= 10)
		topic.topic_id = kafka_topic_id(&a, "t");
	const struct offset_fetch_response *r = kafka_call(&a, API_OFFSET_FETCH, version, &body);
	const struct offset_fetch_response_group_partition *p =
	    &r->groups.at[0].topics.at[0].partitions.at[0];
	assert_int_equal(r->groups.at[0].error_code, 0);
	return (struct committed){
	    p->committed_offset, p->committed_leader_epoch, p->metadata, p->error_code};
}

static struct committed fetch(int16_t version, const char *group, int32_t partition)
{
	if (version >= 8)
		return fetch_new(version, str_of(group), partition);
	struct offset_fetch_request_topic topic = {
	    .name = STR("t"), .partition_indexes = {&partition, 1}};
	struct offset_fetch_request body = {.group_id = str_of(group), .topics = {&topic, 1}};
	const struct offset_fetch_response *r = kafka_call(&a, API_OFFSET_FETCH, version, &body);
	const struct offset_fetch_response_partition *p = &r->topics.at[0].partitions.at[0];
	assert_int_equal(r->error_code, 0);
	return (struct committed){
	    p->committed_offset, p->committed_leader_epoch, p->metadata, p->error_code};
}

static void offsets_come_back_as_committed_in_every_version(void **state)
{
	(void)state;
	for (int16_t cv = 2; cv <= 10; cv++) {
		assert_int_equal(commit(cv, "simple", 1, 1000 + cv), 0);
		for (int16_t fv = 1; fv <= 10; fv++) {
			struct committed found = fetch(fv, "simple", 1);
			assert_int_equal(found.offset, 1000 + cv);
			assert_int_equal(found.error, 0);
			assert_true(str_equal(found.metadata, STR("m\xc3\xa9ta")));
			if (fv >= 5)
				assert_int_equal(found.leader_epoch, cv >= 6 ? 7 : -1);
			assert_int_equal(fetch(fv, "simple", 0).offset, -1);
			assert_int_equal(fetch(fv, "nobody", 1).offset, -1);
		}
	}
}

static void all_offsets_of_a_group_are_found_by_topic(void **state)
{
	(void)state;
	for (int32_t p = 2; p >= 0; p--)
		assert_int_equal(commit(8, "g2", p, 10 + p), 0);
	struct offset_fetch_request old = {.group_id = STR("g2"), .topics = {NULL, 0}};
	const struct offset_fetch_response *r = kafka_call(&a, API_OFFSET_FETCH, 7, &old);
	assert_int_equal(r->topics.count, 1);
	assert_int_equal(r->topics.at[0].partitions.count, 3);
	struct offset_fetch_request_group groups[2] = {{.group_id = STR("g2"), .topics = {NULL, 0}},
	    {.group_id = STR("x"), .topics = {NULL, 0}}};
	struct offset_fetch_request body = {.groups = {groups, 2}};
	r = kafka_call(&a, API_OFFSET_FETCH, 10, &body);
	assert_int_equal(r->groups.count, 2);
	assert_int_equal(r->groups.at[1].topics.count, 0);
	const struct offset_fetch_response_group_topic *t = &r->groups.at[0].topics.at[0];
	struct log_uuid id = kafka_topic_id(&a, "t");
	assert_true(log_uuid_equal(t->topic_id, id));
	for (int32_t p = 0; p < 3; p++)
		assert_int_equal(t->partitions.at[p].committed_offset, 10 + p);
}

static void each_partition_of_a_commit_has_its_own_error(void **state)
{
	(void)state;
	char *big = calloc(1, 5001);
	memset(big, 'x', 5000);
	struct offset_commit_request_partition parts[3] = {
	    {.partition_index = 0, .committed_offset = 5},
	    {.partition_index = 3, .committed_offset = 5},
	    {.partition_index = 1, .committed_offset = 5, .committed_metadata = str_of(big)},
	};
	struct offset_commit_request_topic topics[2] = {
	    {.name = STR("t"), .partitions = {parts, 3}},
	    {.name = STR("no"), .partitions = {parts, 1}}};
	struct offset_commit_request body = {.group_id = STR("e"),
	    .generation_id_or_member_epoch = -1,
	    .retention_time_ms = -1,
	    .topics = {topics, 2}};
	const struct offset_commit_response *r = kafka_call(&a, API_OFFSET_COMMIT, 8, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
	assert_int_equal(r->topics.at[0].partitions.at[1].error_code, 3);
	assert_int_equal(r->topics.at[0].partitions.at[2].error_code, 12);
	assert_int_equal(r->topics.at[1].partitions.at[0].error_code, 3);
	struct committed found = fetch(8, "e", 0);
	assert_int_equal(found.offset, 5);
	assert_int_equal(found.metadata.len, 0); /* null comes back as empty */
	free(big);
}

static void a_commit_must_be_of_this_generation(void **state)
{
	(void)state;
	struct pair p = two_members(5, 3);
	assert_int_equal(commit(8, "g", 0, 1), 25); /* not while there are members */
	struct offset_commit_request_partition part = {.committed_offset = 9};
	struct offset_commit_request_topic topic = {.name = STR("t"), .partitions = {&part, 1}};
	struct offset_commit_request body = {.group_id = STR("g"),
	    .generation_id_or_member_epoch = p.a->generation_id,
	    .member_id = p.a->member_id,
	    .retention_time_ms = -1,
	    .topics = {&topic, 1}};
	const struct offset_commit_response *r = kafka_call(&a, API_OFFSET_COMMIT, 8, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
	assert_int_equal(fetch(8, "g", 0).offset, 9);
	body.generation_id_or_member_epoch++;
	r = kafka_call(&a, API_OFFSET_COMMIT, 8, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 22);
	body.group_id = STR("no such group");
	r = kafka_call(&a, API_OFFSET_COMMIT, 8, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 22);
	r = kafka_call(&a, API_OFFSET_COMMIT, 9, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 69);
}

/* ---- what stays ----------------------------------------------------------------------------------- */

static void offsets_and_generation_survive_a_restart(void **state)
{
	(void)state;
	struct pair p = two_members(5, 3);
	int32_t generation = p.a->generation_id;
	char id_a[128], id_b[128];
	snprintf(id_a, sizeof id_a, STR_FMT, STR_ARG(p.a->member_id));
	snprintf(id_b, sizeof id_b, STR_FMT, STR_ARG(p.b->member_id));
	for (int i = 0; i < 500; i++)
		assert_int_equal(commit(7, "kept", i % 3, i), 0);
	restart(&defaults);
	for (int32_t i = 0; i < 3; i++) {
		struct committed found = fetch(7, "kept", i);
		assert_int_equal(found.offset, i == 2 ? 497 : 498 + i);
		assert_int_equal(found.leader_epoch, 7);
		assert_true(str_equal(found.metadata, STR("m\xc3\xa9ta")));
	}
	/* members go on where they were: no rebalance for a restart */
	struct join_group_response me = {.generation_id = generation, .member_id = str_of(id_a)};
	assert_int_equal(beat(&a, 3, &me), 0);
	struct sync_group_request again = sync_of(&me, NULL, 0);
	const struct sync_group_response *r = kafka_call(&a, API_SYNC_GROUP, 5, &again);
	assert_true(bytes_equal(r->assignment, bytes_of("for a", 5)));
	me.member_id = str_of(id_b);
	assert_int_equal(beat(&b, 3, &me), 0);
	send_join(&a, 5, str_of(id_a));
	send_join(&b, 5, str_of(id_b));
	assert_int_equal(joined(&a, 5)->generation_id, generation + 1);
	joined(&b, 5);
}

static void an_acknowledged_commit_is_in_a_copy_of_the_running_directory(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++)
		assert_int_equal(commit(7, "kept", 2, 100 + i), 0);
	char *copy = tempdir_copy(server.dir);
	/* the copy has no clean stop: what it knows comes from the journal */
	struct kafka_server live = server;
	struct kafka_client live_a = a;
	server = (struct kafka_server){.dir = copy};
	kafka_server_start(&server, backend, &defaults);
	kafka_connect(&a, &server);
	assert_int_equal(fetch(7, "kept", 2).offset, 149);
	kafka_disconnect(&a);
	kafka_server_remove(&server);
	server = live;
	a = live_a;
}

static void delete_topic(struct str name)
{
	struct delete_topics_request_topic t = {.name = name};
	struct delete_topics_request body = {.topics = {&t, 1}, .timeout_ms = 5000};
	const struct delete_topics_response *r = kafka_call(&a, API_DELETE_TOPICS, 6, &body);
	assert_int_equal(r->responses.at[0].error_code, 0);
}

static void a_deleted_topic_takes_its_offsets_along(void **state)
{
	(void)state;
	assert_int_equal(commit(7, "kept", 0, 55), 0);
	delete_topic(STR("t"));
	assert_int_equal(fetch(7, "kept", 0).offset, -1);
	kafka_create(&a, "t", 3, NULL);
	assert_int_equal(fetch(7, "kept", 0).offset, -1); /* another topic of the same name */
	struct list_groups_request all = {0};
	const struct list_groups_response *r = NULL;
	for (int ms = 0; ms < PATIENCE_MS; ms += 20) { /* the tombstones follow by themselves */
		r = kafka_call(&a, API_LIST_GROUPS, 4, &all);
		if (r->groups.count == 0)
			break;
		usleep(20000);
	}
	assert_int_equal(r->groups.count, 0);
	restart(&defaults);
	assert_int_equal(fetch(7, "kept", 0).offset, -1);
}

static void offsets_of_an_empty_group_expire(void **state)
{
	(void)state;
	assert_int_equal(commit(7, "old", 0, 1), 0);
	struct pair p = two_members(5, 3);
	struct offset_commit_request_partition part = {.committed_offset = 9};
	struct offset_commit_request_topic topic = {.name = STR("t"), .partitions = {&part, 1}};
	struct offset_commit_request body = {.group_id = STR("g"),
	    .generation_id_or_member_epoch = p.a->generation_id,
	    .member_id = p.a->member_id,
	    .retention_time_ms = -1,
	    .topics = {&topic, 1}};
	kafka_call(&a, API_OFFSET_COMMIT, 8, &body);
	restart(&(struct broker_options){.group_initial_delay_ms = -1,
	    .offsets_retention_ms = 50,
	    .offsets_check_interval_ms = 50});
	for (int ms = 0; ms < PATIENCE_MS && fetch(7, "old", 0).offset >= 0; ms += 20)
		usleep(20000);
	assert_int_equal(fetch(7, "old", 0).offset, -1);
	assert_int_equal(fetch(7, "g", 0).offset, 9); /* it has members */
	struct list_groups_request all = {0};
	const struct list_groups_response *r = kafka_call(&a, API_LIST_GROUPS, 5, &all);
	assert_int_equal(r->groups.count, 1);
	assert_true(str_equal(r->groups.at[0].group_id, STR("g")));
	restart(&defaults);
	assert_int_equal(fetch(7, "old", 0).offset, -1);
}

/* Commits offset 9 of partition 0 of each topic as a member of the group. */
static void commit_as(const struct join_group_response *me, const char *const *topics)
{
	struct offset_commit_request_partition part = {.committed_offset = 9};
	for (; *topics; topics++) {
		struct offset_commit_request_topic topic = {
		    .name = str_of(*topics), .partitions = {&part, 1}};
		struct offset_commit_request body = {.group_id = STR("g"),
		    .generation_id_or_member_epoch = me->generation_id,
		    .member_id = me->member_id,
		    .retention_time_ms = -1,
		    .topics = {&topic, 1}};
		const struct offset_commit_response *r =
		    kafka_call(&a, API_OFFSET_COMMIT, 8, &body);
		assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
	}
}

static int64_t fetch_of(const char *topic)
{
	int32_t zero = 0;
	struct offset_fetch_request_topic t = {
	    .name = str_of(topic), .partition_indexes = {&zero, 1}};
	struct offset_fetch_request body = {.group_id = STR("g"), .topics = {&t, 1}};
	const struct offset_fetch_response *r = kafka_call(&a, API_OFFSET_FETCH, 7, &body);
	return r->topics.at[0].partitions.at[0].committed_offset;
}

static void offsets_of_what_consumers_left_expire_beside_them(void **state)
{
	(void)state;
	static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
	const struct broker_options eager = {.group_initial_delay_ms = -1,
	    .offsets_retention_ms = 50,
	    .offsets_check_interval_ms = 50};
	static const char *const topics[] = {"t", "left", NULL};
	kafka_create(&a, "left", 1, NULL);
	range.metadata = bytes_of(subscription, sizeof subscription);
	send_join(&a, 5, STR(""));
	struct join_group_response me = *joined(&a, 5);
	char id[128];
	snprintf(id, sizeof id, STR_FMT, STR_ARG(me.member_id));
	me.member_id = str_of(id);
	range.metadata = bytes_of("sub", 3);
	struct sync_group_request_assignment mine = {me.member_id, bytes_of("for a", 5)};
	struct sync_group_request sync = sync_of(&me, &mine, 1);
	const struct sync_group_response *r = kafka_call(&a, API_SYNC_GROUP, 5, &sync);
	assert_int_equal(r->error_code, 0);
	commit_as(&me, topics);
	restart(&eager);
	for (int ms = 0; ms < PATIENCE_MS && fetch_of("left") >= 0; ms += 20)
		usleep(20000);
	assert_int_equal(fetch_of("left"), -1);
	assert_int_equal(fetch_of("t"), 9);
	assert_int_equal(beat(&a, 3, &me), 0);
}

/* The value of the newest record with this key in __consumer_offsets, as hexadecimal. */
static void stored_value(struct bytes key, char *hex, size_t len)
{
	struct writer scratch;
	hex[0] = '\0';
	writer_init(&scratch, MIB);
	for (int32_t p = 0; p < 16; p++) {
		struct kafka_fetch f = {.version = 11, .partition = p};
		struct fetch_response_partition part = kafka_fetch(&a, "__consumer_offsets", f);
		struct bytes all = kafka_fetched(&a, &part);
		while (all.len > 12) {
			size_t size = 12 + get_u32_be(all.ptr + 8);
			struct record_iter it;
			struct record r;
			assert_int_equal(
			    record_iter_open(&it, bytes_slice(all, 0, size), &scratch, MIB),
			    ERR_OK);
			while (record_iter_next(&it, &r) == ERR_OK) {
				if (!bytes_equal(r.key, key))
					continue;
				hex[0] = '\0';
				for (size_t i = 0; i < r.value.len && 2 * i + 3 < len; i++)
					snprintf(hex + 2 * i, 3, "%02x", r.value.ptr[i]);
			}
			all = bytes_slice(all, size, all.len);
		}
	}
	writer_release(&scratch);
}

static void the_records_are_those_of_kafka(void **state)
{
	(void)state;
	/* version 1, "simple", "t", partition 2 */
	static const uint8_t offset_key[] = {
	    0, 1, 0, 6, 's', 'i', 'm', 'p', 'l', 'e', 0, 1, 't', 0, 0, 0, 2};
	/* version 2, "g" */
	static const uint8_t group_key[] = {0, 2, 0, 1, 'g'};
	char hex[2048];
	assert_int_equal(commit(7, "simple", 2, 258), 0);
	stored_value(bytes_of(offset_key, sizeof offset_key), hex, sizeof hex);
	/* version 3, offset, leader epoch, metadata, commit timestamp */
	assert_memory_equal(hex,
	    "0003"
	    "0000000000000102"
	    "00000007"
	    "00056dc3a97461"
	    "00000",
	    47);
	assert_int_equal(strlen(hex), 2 * (2 + 8 + 4 + 2 + 5 + 8));
	send_join(&a, 3, STR(""));
	const struct join_group_response *me = joined(&a, 3);
	struct sync_group_request_assignment mine = {me->member_id, bytes_of("mine", 4)};
	struct sync_group_request sync = sync_of(me, &mine, 1);
	kafka_call(&a, API_SYNC_GROUP, 3, &sync);
	stored_value(bytes_of(group_key, sizeof group_key), hex, sizeof hex);
	/* version 3, "consumer", generation 1, "range", leader test-UUID (41 bytes) */
	assert_memory_equal(hex,
	    "0003"
	    "0008636f6e73756d6572"
	    "00000001"
	    "000572616e6765"
	    "0029746573742d",
	    58);
	/* ends: "test", "/127.0.0.1", rebalance 500000, session 600000, subscription, assignment */
	const char *end = "000474657374"
	                  "000a2f3132372e302e302e31"
	                  "0007a120"
	                  "000927c0"
	                  "00000003737562"
	                  "000000046d696e65";
	assert_string_equal(hex + strlen(hex) - strlen(end), end);
}

/* ---- administration -------------------------------------------------------------------------------- */

static void groups_are_listed_and_described(void **state)
{
	(void)state;
	two_members(5, 3);
	commit(7, "simple", 0, 1);
	for (int16_t v = 0; v <= 5; v++) {
		struct list_groups_request all = {0};
		const struct list_groups_response *r = kafka_call(&a, API_LIST_GROUPS, v, &all);
		assert_int_equal(r->groups.count, 2);
		struct str stable = STR("stable"), types[] = {STR("consumer")};
		if (v < 4)
			continue;
		struct list_groups_request some = {.states_filter = {&stable, 1}};
		r = kafka_call(&a, API_LIST_GROUPS, v, &some);
		assert_int_equal(r->groups.count, 1);
		assert_true(str_equal(r->groups.at[0].group_state, STR("Stable")));
		if (v < 5)
			continue;
		some = (struct list_groups_request){.types_filter = {types, 1}};
		r = kafka_call(&a, API_LIST_GROUPS, v, &some);
		assert_int_equal(r->groups.count, 0);
	}
	for (int16_t v = 0; v <= 6; v++) {
		struct str names[] = {STR("g"), STR("simple"), STR("none")};
		struct describe_groups_request body = {.groups = {names, 3}};
		const struct describe_groups_response *r =
		    kafka_call(&a, API_DESCRIBE_GROUPS, v, &body);
		const struct describe_groups_response_group *g = r->groups.at;
		assert_true(str_equal(g[0].group_state, STR("Stable")));
		assert_true(str_equal(g[0].protocol_data, STR("range")));
		assert_int_equal(g[0].members.count, 2);
		assert_true(str_equal(g[0].members.at[0].client_id, STR("test")));
		assert_true(str_equal(g[0].members.at[0].client_host, STR("/127.0.0.1")));
		assert_int_equal(g[0].members.at[0].member_assignment.len, 5);
		assert_true(str_equal(g[1].group_state, STR("Empty")));
		assert_true(str_equal(g[2].group_state, STR("Dead")));
		assert_int_equal(g[2].error_code, v >= 6 ? 69 : 0);
	}
}

static int16_t delete_group(int16_t version, struct str name)
{
	struct delete_groups_request body = {.groups_names = {&name, 1}};
	const struct delete_groups_response *r = kafka_call(&a, API_DELETE_GROUPS, version, &body);
	return r->results.at[0].error_code;
}

static void only_an_empty_group_can_be_deleted(void **state)
{
	(void)state;
	two_members(5, 3);
	for (int16_t v = 0; v <= 2; v++) {
		commit(7, "simple", 0, 1);
		assert_int_equal(delete_group(v, STR("g")), 68);
		assert_int_equal(delete_group(v, STR("none")), 69);
		assert_int_equal(delete_group(v, STR("simple")), 0);
		assert_int_equal(fetch(7, "simple", 0).offset, -1);
		assert_int_equal(delete_group(v, STR("simple")), 69);
	}
	commit(7, "simple", 0, 1);
	delete_group(1, STR("simple"));
	restart(&defaults);
	assert_int_equal(fetch(7, "simple", 0).offset, -1);
}

static void single_offsets_can_be_deleted(void **state)
{
	(void)state;
	for (int32_t i = 0; i < 3; i++)
		commit(7, "simple", i, 10);
	struct offset_delete_request_partition parts[] = {{0}, {2}};
	struct offset_delete_request_topic topic = {STR("t"), {parts, 2}};
	struct offset_delete_request body = {STR("simple"), {&topic, 1}};
	const struct offset_delete_response *r = kafka_call(&a, API_OFFSET_DELETE, 0, &body);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->topics.at[0].partitions.at[1].error_code, 0);
	assert_int_equal(fetch(7, "simple", 0).offset, -1);
	assert_int_equal(fetch(7, "simple", 1).offset, 10);
	assert_int_equal(fetch(7, "simple", 2).offset, -1);
	body.group_id = STR("none");
	r = kafka_call(&a, API_OFFSET_DELETE, 0, &body);
	assert_int_equal(r->error_code, 69);
}

static void offsets_of_a_subscribed_topic_cannot_be_deleted(void **state)
{
	(void)state;
	static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
	range.metadata = bytes_of(subscription, sizeof subscription);
	send_join(&a, 3, STR(""));
	const struct join_group_response *me = joined(&a, 3);
	range.metadata = bytes_of("sub", 3);
	assert_int_equal(me->members.count, 1);
	struct offset_delete_request_partition part = {0};
	struct offset_delete_request_topic topics[] = {
	    {STR("t"), {&part, 1}}, {STR("u"), {&part, 1}}};
	struct offset_delete_request body = {STR("g"), {topics, 2}};
	const struct offset_delete_response *r = kafka_call(&a, API_OFFSET_DELETE, 0, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 86);
	assert_int_equal(r->topics.at[1].partitions.at[0].error_code, 0);
}

#define BOTH(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    BOTH(members_meet_in_every_version),
	    BOTH(who_syncs_says_by_which_protocol_from_version_5_on),
	    BOTH(the_one_who_stays_takes_over),
	    BOTH(a_group_needs_a_name_and_a_known_member),
	    BOTH(a_client_may_go_while_it_waits),
	    BOTH(the_server_stops_though_members_wait),
	    BOTH(offsets_come_back_as_committed_in_every_version),
	    BOTH(all_offsets_of_a_group_are_found_by_topic),
	    BOTH(each_partition_of_a_commit_has_its_own_error),
	    BOTH(a_commit_must_be_of_this_generation),
	    BOTH(offsets_and_generation_survive_a_restart),
	    BOTH(an_acknowledged_commit_is_in_a_copy_of_the_running_directory),
	    BOTH(a_deleted_topic_takes_its_offsets_along),
	    BOTH(offsets_of_an_empty_group_expire),
	    BOTH(offsets_of_what_consumers_left_expire_beside_them),
	    BOTH(the_records_are_those_of_kafka),
	    BOTH(groups_are_listed_and_described),
	    BOTH(only_an_empty_group_can_be_deleted),
	    BOTH(single_offsets_can_be_deleted),
	    BOTH(offsets_of_a_subscribed_topic_cannot_be_deleted),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
