/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups whose members change between the classic and the consumer protocol while they run, over
 * loopback with hand-made requests: who holds what at each step, what a restart keeps, which groups
 * do not change.
 */
#include "test/lib/kafka_calls.h"
#include "test/lib/patience.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <unistd.h>

enum { PARTITIONS = 4, ALL = 15, REBALANCE = 27, ILLEGAL_GENERATION = 22, UNKNOWN_MEMBER = 25 };

static struct kafka_server server;
static struct kafka_client admin;
static struct log_uuid topic;
static struct broker_options options;
static int32_t rebalance_ms; /* who does not do its part for so long is out */
static bool crashing;        /* after each step of a member */

/* A member of either kind. */
struct member {
	struct kafka_client c;
	const char *instance;
	const char *protocol; /* NULL: the consumer protocol */
	char id[64];
	int32_t epoch;
	unsigned holds; /* bits: partitions it works on */
	bool in, moved; /* moved: `holds` is not told yet */
	bool leads;
};
static struct member m[4];

static void start_server(void)
{
	kafka_server_start(&server, "uring", &options);
	kafka_connect(&admin, &server);
	for (int i = 0; i < 4; i++)
		kafka_connect(&m[i].c, &server);
}

static void disconnect(void)
{
	for (int i = 0; i < 4; i++)
		kafka_disconnect(&m[i].c);
	kafka_disconnect(&admin);
}

static int start(void **state)
{
	(void)state;
	memset(m, 0, sizeof m);
	crashing = false;
	rebalance_ms = 600000;
	options = (struct broker_options){.group_initial_delay_ms = -1};
	start_server();
	topic = kafka_create(&admin, "t", PARTITIONS, NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	disconnect();
	kafka_server_remove(&server);
	return 0;
}

static void restart(void)
{
	disconnect();
	kafka_server_stop(&server);
	start_server();
}

/* A copy of the running directory goes on: it has had no clean stop. */
static void crash(void)
{
	char *copy = tempdir_copy(server.dir);
	disconnect();
	kafka_server_remove(&server);
	server.dir = copy;
	start_server();
}

/* ---- what classic members say to each other ------------------------------------------------------ */

static size_t put_parts(uint8_t *at, unsigned parts)
{
	uint8_t *p = at;
	put_u32_be(p, parts ? 1 : 0);
	p += 4;
	if (!parts)
		return 4;
	put_u16_be(p, 1);
	p[2] = 't';
	put_u32_be(p + 3, (uint32_t)__builtin_popcount(parts));
	p += 7;
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		if (parts & 1U << i) {
			put_u32_be(p, i);
			p += 4;
		}
	}
	return (size_t)(p - at);
}

static struct bytes subscription(uint8_t *at, unsigned owned)
{
	static const uint8_t head[] = {0, 1, 0, 0, 0, 1, 0, 1, 't', 0xff, 0xff, 0xff, 0xff};
	memcpy(at, head, sizeof head);
	return bytes_of(at, sizeof head + put_parts(at + sizeof head, owned));
}

static struct bytes assignment(uint8_t *at, unsigned parts)
{
	put_u16_be(at, 1);
	size_t len = 2 + put_parts(at + 2, parts);
	put_u32_be(at + len, UINT32_MAX);
	return bytes_of(at, len + 4);
}

static unsigned read_assignment(struct bytes b)
{
	unsigned parts = 0;
	struct reader r = reader_of(b);
	assert_int_equal(read_i16_be(&r), 1); /* as the subscription */
	uint32_t topics = read_u32_be(&r);
	assert_true(topics <= 1);
	if (topics) {
		struct bytes name = read_bytes(&r, read_u16_be(&r));
		assert_true(bytes_equal(name, bytes_of("t", 1)));
		for (uint32_t n = read_u32_be(&r); n > 0; n--)
			parts |= 1U << read_u32_be(&r);
	}
	assert_int_equal(read_u32_be(&r), UINT32_MAX);
	assert_true(!r.bad && reader_left(&r) == 0);
	return parts;
}

/* ---- classic requests ---------------------------------------------------------------------------- */

static void send_join(struct member *w)
{
	uint8_t buf[64];
	if (strcmp(w->protocol, "range") == 0)
		w->holds = 0; /* gives everything up first */
	struct join_group_request_protocol p[] = {
	    {.name = str_of(w->protocol), .metadata = subscription(buf, w->holds)},
	    {.name = STR("other"), .metadata = subscription(buf, w->holds)}};
	struct join_group_request body = {.group_id = STR("g"),
	    .session_timeout_ms = 600000,
	    .rebalance_timeout_ms = rebalance_ms,
	    .member_id = str_of(w->id),
	    .group_instance_id = str_of(w->instance),
	    .protocol_type = STR("consumer"),
	    .protocols = {p, 2}};
	kafka_send(&w->c, API_JOIN_GROUP, 9, &body);
}

static int16_t receive_join(struct member *w)
{
	const struct join_group_response *r = kafka_receive(&w->c, API_JOIN_GROUP, 9);
	if (r->error_code == 0 || r->error_code == 79)
		snprintf(w->id, sizeof w->id, STR_FMT, STR_ARG(r->member_id));
	if (r->error_code == 0) {
		w->epoch = r->generation_id;
		w->in = true;
		w->leads = str_equal(r->leader, r->member_id);
		assert_true(str_equal(r->protocol_type, STR("consumer")));
		assert_true(str_equal(r->protocol_name, str_of(w->protocol)));
	}
	return r->error_code;
}

static int16_t join(struct member *w)
{
	send_join(w);
	return receive_join(w);
}

static int16_t sync_with(
    struct member *w, struct sync_group_request_assignment *list, uint32_t count)
{
	struct sync_group_request body = {.group_id = STR("g"),
	    .generation_id = w->epoch,
	    .member_id = str_of(w->id),
	    .group_instance_id = str_of(w->instance),
	    .protocol_type = STR("consumer"),
	    .protocol_name = str_of(w->protocol),
	    .assignments = {list, count}};
	const struct sync_group_response *r = kafka_call(&w->c, API_SYNC_GROUP, 5, &body);
	if (r->error_code == 0)
		w->holds = read_assignment(r->assignment);
	return r->error_code;
}

static int16_t beat(struct member *w)
{
	struct heartbeat_request body = {.group_id = STR("g"),
	    .generation_id = w->epoch,
	    .member_id = str_of(w->id),
	    .group_instance_id = str_of(w->instance)};
	const struct heartbeat_response *r = kafka_call(&w->c, API_HEARTBEAT, 4, &body);
	return r->error_code;
}

static int16_t leave(struct member *w)
{
	struct leave_group_request_member who = {
	    .member_id = str_of(w->id), .group_instance_id = str_of(w->instance)};
	struct leave_group_request body = {.group_id = STR("g"), .members = {&who, 1}};
	const struct leave_group_response *r = kafka_call(&w->c, API_LEAVE_GROUP, 5, &body);
	w->in = false;
	w->holds = 0;
	return r->error_code ? r->error_code : r->members.at[0].error_code;
}

/* m[0] and m[1] in a classic group, with two partitions each. */
static void classic_pair(const char *protocol)
{
	uint8_t buf[2][64];
	for (int i = 0; i < 2; i++) {
		m[i].protocol = protocol;
		if (!m[i].instance)
			assert_int_equal(join(&m[i]), 79);
		send_join(&m[i]);
		if (i == 0)
			assert_int_equal(receive_join(&m[i]), 0);
	}
	while (beat(&m[0]) != REBALANCE)
		usleep(1000);
	assert_int_equal(join(&m[0]), 0);
	assert_int_equal(receive_join(&m[1]), 0);
	struct sync_group_request_assignment list[] = {
	    {.member_id = str_of(m[0].id), .assignment = assignment(buf[0], 3)},
	    {.member_id = str_of(m[1].id), .assignment = assignment(buf[1], 12)}};
	assert_int_equal(sync_with(&m[0], list, 2), 0);
	assert_int_equal(sync_with(&m[1], NULL, 0), 0);
	assert_int_equal(m[0].holds | m[1].holds, ALL);
}

/* ---- the consumer protocol ----------------------------------------------------------------------- */

static int16_t say(struct member *w, int32_t epoch)
{
	static struct str names[] = {{"t", 1}};
	int32_t partitions[PARTITIONS];
	struct consumer_group_heartbeat_request_topic owned = {
	    .topic_id = topic, .partitions = {partitions, 0}};
	for (int32_t i = 0; i < PARTITIONS; i++) {
		if (epoch > 0 && w->holds & 1U << i)
			partitions[owned.partitions.count++] = i;
	}
	struct consumer_group_heartbeat_request body = {.group_id = STR("g"),
	    .member_id = str_of(w->id),
	    .instance_id = str_of(w->instance),
	    .member_epoch = epoch,
	    .rebalance_timeout_ms = epoch == 0 ? rebalance_ms : -1,
	    .topic_partitions = {&owned, owned.partitions.count > 0}};
	if (epoch == 0)
		body.subscribed_topic_names = (typeof(body.subscribed_topic_names)){names, 1};
	const struct consumer_group_heartbeat_response *r =
	    kafka_call(&w->c, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
	w->moved = false;
	if (r->error_code)
		return r->error_code;
	w->epoch = r->member_epoch;
	w->in = epoch >= 0;
	if (epoch < 0)
		w->holds = 0;
	if (r->assignment) {
		unsigned before = w->holds;
		w->holds = 0;
		for (uint32_t t = 0; t < r->assignment->topic_partitions.count; t++) {
			for (uint32_t p = 0;
			     p < r->assignment->topic_partitions.at[t].partitions.count; p++)
				w->holds |=
				    1U << r->assignment->topic_partitions.at[t].partitions.at[p];
		}
		w->moved = w->holds != before;
	}
	return 0;
}

static int16_t join_consumer(struct member *w, const char *id)
{
	w->protocol = NULL;
	snprintf(w->id, sizeof w->id, "%s", id);
	w->holds = 0;
	return say(w, 0);
}

/* ---- all together -------------------------------------------------------------------------------- */

static void check_disjoint(void)
{
	unsigned held = 0;
	for (int i = 0; i < 4; i++) {
		if (!m[i].in)
			continue;
		assert_int_equal(held & m[i].holds, 0);
		held |= m[i].holds;
	}
}

/* One step of a member of a consumer group; true when it had something to do. */
static bool step(struct member *w)
{
	if (!w->in)
		return false;
	if (!w->protocol) {
		assert_int_equal(say(w, w->epoch), 0);
		return w->moved;
	}
	int16_t e = beat(w);
	if (e == 0)
		return false;
	assert_int_equal(e, REBALANCE);
	assert_int_equal(join(w), 0);
	e = sync_with(w, NULL, 0);
	assert_true(e == 0 || e == REBALANCE);
	return true;
}

/* Until everything has an owner and nobody has anything to do. */
static void settle(void)
{
	int quiet = 0;
	for (int round = 0; quiet < 3; round++) {
		bool busy = false;
		assert_true(round < 30);
		for (int i = 0; i < 4; i++) {
			bool did = step(&m[i]);
			if (did && crashing)
				crash();
			busy = did || busy;
			check_disjoint();
		}
		quiet = busy ? 0 : quiet + 1;
	}
	assert_int_equal(m[0].holds | m[1].holds | m[2].holds | m[3].holds, ALL);
}

static const struct consumer_group_describe_response_group *describe(void)
{
	struct str g = STR("g");
	struct consumer_group_describe_request body = {.group_ids = {&g, 1}};
	const struct consumer_group_describe_response *r =
	    kafka_call(&admin, API_CONSUMER_GROUP_DESCRIBE, 1, &body);
	return &r->groups.at[0];
}

static void check_type(const char *type)
{
	struct str g = STR("g");
	struct describe_groups_request body = {.groups = {&g, 1}};
	const struct describe_groups_response *d =
	    kafka_call(&admin, API_DESCRIBE_GROUPS, 6, &body);
	bool classic = strcmp(type, "classic") == 0;
	assert_int_equal(d->groups.at[0].error_code, classic ? 0 : 69);
	assert_int_equal(describe()->error_code, classic ? 69 : 0);
	struct list_groups_request list = {0};
	const struct list_groups_response *l = kafka_call(&admin, API_LIST_GROUPS, 5, &list);
	assert_int_equal(l->groups.count, 1);
	assert_true(str_equal(l->groups.at[0].group_type, str_of(type)));
	assert_true(str_equal(l->groups.at[0].protocol_type, STR("consumer")));
}

static int16_t commit(struct member *w, int32_t partition, int32_t epoch, int16_t version)
{
	struct offset_commit_request_partition p = {
	    .partition_index = partition, .committed_offset = 7, .committed_metadata = STR("")};
	struct offset_commit_request_topic t = {
	    .name = STR("t"), .topic_id = topic, .partitions = {&p, 1}};
	struct offset_commit_request body = {.group_id = STR("g"),
	    .generation_id_or_member_epoch = epoch,
	    .member_id = str_of(w->id),
	    .retention_time_ms = -1,
	    .topics = {&t, 1}};
	const struct offset_commit_response *r =
	    kafka_call(&w->c, API_OFFSET_COMMIT, version, &body);
	return r->topics.at[0].partitions.at[0].error_code;
}

/* A classic group rebalances: m[0] and m[1] come back and share. */
static void rebalance_classic(void)
{
	uint8_t buf[2][64];
	assert_int_equal(beat(&m[0]), REBALANCE);
	assert_int_equal(beat(&m[1]), REBALANCE);
	send_join(&m[0]);
	assert_int_equal(join(&m[1]), 0);
	assert_int_equal(receive_join(&m[0]), 0);
	struct sync_group_request_assignment list[] = {
	    {.member_id = str_of(m[0].id), .assignment = assignment(buf[0], 3)},
	    {.member_id = str_of(m[1].id), .assignment = assignment(buf[1], 12)}};
	struct member *leader = m[0].leads ? &m[0] : &m[1];
	assert_true(leader->leads);
	assert_int_equal(sync_with(leader, list, 2), 0);
	assert_int_equal(sync_with(leader == m ? &m[1] : m, NULL, 0), 0);
	check_disjoint();
	assert_int_equal(beat(&m[0]), 0);
}

/* ---- tests --------------------------------------------------------------------------------------- */

static void a_classic_group_is_upgraded_with(const char *protocol)
{
	classic_pair(protocol);
	int32_t generation = m[0].epoch;
	assert_int_equal(join_consumer(&m[2], "x"), 0);
	assert_int_equal(m[2].epoch, generation + 1);
	assert_int_equal(m[2].holds, 0); /* the others hold everything yet */
	check_type("consumer");
	const struct consumer_group_describe_response_group *g = describe();
	assert_int_equal(g->members.count, 3);
	assert_int_equal(g->members.at[0].member_type, 0);
	assert_int_equal(g->members.at[1].member_type, 0);
	assert_int_equal(g->members.at[2].member_type, 1);
	assert_int_equal(g->members.at[0].member_epoch, generation);
	assert_int_equal(g->members.at[0].assignment.topic_partitions.at[0].partitions.count, 2);
	assert_true(str_equal(g->members.at[0].member_id, str_of(m[0].id)));
	assert_int_equal(commit(&m[0], 0, generation, 8), 0); /* before it gives up anything */
	settle(); /* of its partitions 0 and 1 it has kept one, and may still commit that */
	assert_int_equal(commit(&m[0], (m[0].holds & 3) == 2, generation, 8), 0);
	assert_int_equal(commit(&m[0], (m[0].holds & 3) == 1, generation, 8), ILLEGAL_GENERATION);
	assert_int_equal(commit(&m[2], 0, m[2].epoch, 8), 35);
	assert_int_equal(commit(&m[2], 0, m[2].epoch, 9), 0);
	assert_true(m[2].holds != 0);
	assert_true(str_equal(describe()->group_state, STR("Stable")));
}

static void an_eager_group_is_upgraded(void **state)
{
	(void)state;
	a_classic_group_is_upgraded_with("range");
}

static void a_cooperative_group_is_upgraded(void **state)
{
	(void)state;
	a_classic_group_is_upgraded_with("cooperative-sticky");
}

static void an_upgrade_can_be_completed(void **state)
{
	(void)state;
	a_classic_group_is_upgraded_with("cooperative-sticky");
	assert_int_equal(leave(&m[0]), 0);
	assert_int_equal(join_consumer(&m[0], "y"), 0);
	settle();
	assert_int_equal(leave(&m[1]), 0);
	assert_int_equal(join_consumer(&m[1], "z"), 0);
	settle();
	check_type("consumer");
	restart();
	settle();
	for (int i = 0; i < 3; i++)
		assert_int_equal(say(&m[i], -1), 0);
	check_type("consumer");
}

static void a_group_is_downgraded(void **state)
{
	(void)state;
	a_classic_group_is_upgraded_with("range");
	int32_t epoch = m[0].epoch;
	assert_int_equal(say(&m[2], -1), 0);
	check_type("classic");
	rebalance_classic();
	assert_int_equal(m[0].epoch, epoch + 1);
	assert_int_equal(commit(&m[0], 0, m[0].epoch, 8), 0);
	restart();
	check_type("classic");
	assert_int_equal(beat(&m[0]), 0); /* its assignment is durable */
	assert_int_equal(beat(&m[1]), 0);
	assert_int_equal(join_consumer(&m[3], "x"), 0); /* and up again */
	settle();
	check_type("consumer");
}

/* All that its members know, not only what they were last assigned by. */
static void a_downgraded_group_knows_all_protocols(void **state)
{
	(void)state;
	a_classic_group_is_upgraded_with("range");
	assert_int_equal(say(&m[2], -1), 0);
	check_type("classic");
	m[3].protocol = "other";
	assert_int_equal(join(&m[3]), 79);
	send_join(&m[3]);
	m[0].protocol = m[1].protocol = "other";
	send_join(&m[0]);
	assert_int_equal(join(&m[1]), 0);
	assert_int_equal(receive_join(&m[0]), 0);
	assert_int_equal(receive_join(&m[3]), 0);
	assert_int_equal(m[0].leads + m[1].leads + m[3].leads, 1);
}

static void a_mixed_group_survives_a_restart(void **state)
{
	(void)state;
	classic_pair("cooperative-sticky");
	assert_int_equal(join_consumer(&m[2], "x"), 0);
	restart();
	check_type("consumer");
	const struct consumer_group_describe_response_group *g = describe();
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(
		    g->members.at[i].member_type, str_equal(g->members.at[i].member_id, STR("x")));
	assert_int_equal(beat(&m[0]), REBALANCE);
	settle();
	restart();
	assert_int_equal(beat(&m[0]), 0);
	settle();
	assert_int_equal(say(&m[2], -1), 0);
	restart(); /* the rebalance after the downgrade is due yet */
	check_type("classic");
	rebalance_classic();
	restart();
	assert_int_equal(beat(&m[0]), 0);
}

/* What a member was told is so after a kill behind each of its steps. */
static void a_kill_at_each_step_with(const char *protocol)
{
	crashing = true;
	classic_pair(protocol);
	crash();
	check_type("classic");
	assert_int_equal(join_consumer(&m[2], "x"), 0);
	crash();
	check_type("consumer");
	assert_int_equal(describe()->members.count, 3);
	settle();
	check_type("consumer");
	assert_int_equal(say(&m[2], -1), 0);
	crash(); /* the rebalance that has begun starts over, with the same members */
	check_type("classic");
	check_disjoint(); /* they go on with what they hold, and may commit */
	assert_int_equal(commit(&m[0], 0, m[0].epoch, 8), 0);
	rebalance_classic();
	crash();
	check_type("classic");
	assert_int_equal(beat(&m[0]), 0);
	assert_int_equal(beat(&m[1]), 0);
}

static void a_kill_at_each_step_of_an_eager_group(void **state)
{
	(void)state;
	a_kill_at_each_step_with("range");
}

static void a_kill_at_each_step_of_a_cooperative_group(void **state)
{
	(void)state;
	a_kill_at_each_step_with("cooperative-sticky");
}

static void a_classic_member_joins_a_consumer_group(void **state)
{
	(void)state;
	assert_int_equal(join_consumer(&m[0], "x"), 0);
	m[1].protocol = "range";
	assert_int_equal(join(&m[1]), 79);
	assert_int_equal(join(&m[1]), 0);
	assert_int_equal(sync_with(&m[1], NULL, 0), 0);
	settle();
	assert_int_equal(__builtin_popcount(m[1].holds), 2);
	/* another must have a protocol in common with those */
	m[2].protocol = "strange";
	assert_int_equal(join(&m[2]), 79); /* "other" */
	struct join_group_request_protocol p = {.name = STR("strange")};
	struct join_group_request body = {.group_id = STR("g"),
	    .session_timeout_ms = 600000,
	    .rebalance_timeout_ms = rebalance_ms,
	    .member_id = str_of(m[2].id),
	    .protocol_type = STR("consumer"),
	    .protocols = {&p, 1}};
	const struct join_group_response *r = kafka_call(&m[2].c, API_JOIN_GROUP, 9, &body);
	assert_int_equal(r->error_code, 23);
	p.name = STR("range"); /* whose subscription is not one */
	r = kafka_call(&m[2].c, API_JOIN_GROUP, 9, &body);
	assert_int_equal(r->error_code, 23);
	body.session_timeout_ms = 1;
	r = kafka_call(&m[2].c, API_JOIN_GROUP, 9, &body);
	assert_int_equal(r->error_code, 26);
	body.protocol_type = STR("connect");
	body.session_timeout_ms = 600000;
	r = kafka_call(&m[2].c, API_JOIN_GROUP, 9, &body);
	assert_int_equal(r->error_code, 23);
	assert_int_equal(describe()->members.count, 2);
	/* the classic requests are for classic members */
	struct heartbeat_request hb = {
	    .group_id = STR("g"), .generation_id = m[0].epoch, .member_id = STR("x")};
	const struct heartbeat_response *h = kafka_call(&admin, API_HEARTBEAT, 4, &hb);
	assert_int_equal(h->error_code, UNKNOWN_MEMBER);
	hb.member_id = str_of(m[1].id);
	hb.generation_id = m[1].epoch - 1;
	h = kafka_call(&admin, API_HEARTBEAT, 4, &hb);
	assert_int_equal(h->error_code, ILLEGAL_GENERATION);
	assert_int_equal(leave(&m[1]), 0);
	assert_int_equal(leave(&m[1]), UNKNOWN_MEMBER);
	settle();
	check_type("consumer");
}

/* m[1]'s subscription, with t owned `topics` times, partition 0 of it `twins` times each. */
static struct bytes subscription_of(uint32_t topics, uint32_t twins)
{
	static uint8_t at[4100000];
	uint8_t none[64], *p = at;
	struct bytes head = subscription(none, 0);
	memcpy(p, head.ptr, head.len);
	p += head.len;
	put_u32_be(p - 4, topics);
	for (uint32_t i = 0; i < topics; i++) {
		put_u16_be(p, 1);
		p[2] = 't';
		put_u32_be(p + 3, twins);
		memset(p + 7, 0, (size_t)4 * twins);
		p += 7 + (size_t)4 * twins;
	}
	return bytes_of(at, (size_t)(p - at));
}

static int16_t join_owning(const char *protocol, uint32_t topics, uint32_t twins)
{
	struct join_group_request_protocol p = {
	    .name = str_of(protocol), .metadata = subscription_of(topics, twins)};
	struct join_group_request body = {.group_id = STR("g"),
	    .session_timeout_ms = 600000,
	    .rebalance_timeout_ms = rebalance_ms,
	    .member_id = str_of(m[1].id),
	    .protocol_type = STR("consumer"),
	    .protocols = {&p, 1}};
	const struct join_group_response *r = kafka_call(&m[1].c, API_JOIN_GROUP, 9, &body);
	if (r->error_code == 79)
		snprintf(m[1].id, sizeof m[1].id, STR_FMT, STR_ARG(r->member_id));
	return r->error_code;
}

static int16_t say_owning(uint32_t topics, uint32_t twins)
{
	static int32_t zeros[1000001];
	struct consumer_group_heartbeat_request_topic owned[2] = {
	    {.topic_id = topic, .partitions = {zeros, twins}},
	    {.topic_id = topic, .partitions = {zeros, twins}}};
	struct consumer_group_heartbeat_request body = {.group_id = STR("g"),
	    .member_id = str_of(m[0].id),
	    .member_epoch = m[0].epoch,
	    .rebalance_timeout_ms = -1,
	    .topic_partitions = {owned, topics}};
	const struct consumer_group_heartbeat_response *r =
	    kafka_call(&m[0].c, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
	return r->error_code;
}

static void nobody_owns_more_than_there_is(void **state)
{
	(void)state;
	assert_int_equal(join_consumer(&m[0], "x"), 0);
	assert_int_equal(say_owning(2, 1), 42);
	assert_int_equal(say_owning(1, PARTITIONS + 1), 42);
	assert_int_equal(say_owning(1, 1000001), 42);
	assert_int_equal(say_owning(1, PARTITIONS), 0); /* twins, but not many */
	assert_int_equal(join_owning("range", 1, 1), 79);
	assert_int_equal(join_owning("range", 2, 1), 23);
	assert_int_equal(join_owning("range", 1, PARTITIONS + 1), 23);
	assert_int_equal(join_owning("range", 1, 1000001), 23);
	assert_int_equal(describe()->members.count, 1);
	assert_int_equal(join_owning("range", 1, PARTITIONS), 0);
}

static void one_that_owns_more_than_there_is_stays_classic(void **state)
{
	(void)state;
	assert_int_equal(join_owning("range", 1, PARTITIONS + 1), 79);
	assert_int_equal(join_owning("range", 1, PARTITIONS + 1), 0);
	assert_int_equal(join_consumer(&m[2], "x"), 69);
	check_type("classic");
}

static void static_members_change_their_protocol(void **state)
{
	(void)state;
	m[0].instance = "i0";
	m[1].instance = "i1";
	classic_pair("range");
	unsigned held = m[0].holds;
	char old[64];
	snprintf(old, sizeof old, "%s", m[0].id);
	/* i0 comes back with the consumer protocol: it has what it had, nobody rebalances */
	assert_int_equal(join_consumer(&m[0], "x"), 0);
	assert_int_equal(m[0].holds, held);
	check_type("consumer");
	settle();
	assert_int_equal(m[0].holds, held);
	assert_int_equal(describe()->members.count, 2);
	struct member zombie = m[0];
	zombie.protocol = "range";
	snprintf(zombie.id, sizeof zombie.id, "%s", old);
	assert_int_equal(beat(&zombie), 82);
	/* another of the consumer protocol may not take its place, one of the classic may */
	m[2].instance = "i0";
	assert_int_equal(join_consumer(&m[2], "y"), 111);
	m[0].protocol = "range";
	m[0].id[0] = '\0';
	assert_int_equal(join(&m[0]), 0);
	check_type("classic"); /* the last one of the consumer protocol has gone */
	assert_int_equal(sync_with(&m[0], NULL, 0), REBALANCE);
	m[0].holds = 0;
	rebalance_classic();
}

static void a_silent_consumer_ends_the_upgrade(void **state)
{
	(void)state;
	classic_pair("cooperative-sticky");
	assert_int_equal(join_consumer(&m[2], "x"), 0);
	check_type("consumer");
	settle();
	m[2].in = false;
	options.consumer_session_ms = 300;
	restart();
	for (int ms = 0; ms < PATIENCE_MS && describe()->error_code == 0; ms += 20)
		usleep(20000);
	check_type("classic");
	m[2].holds = 0;
	rebalance_classic();
}

static void a_classic_member_has_to_do_its_part_in_time(void **state)
{
	(void)state;
	rebalance_ms = 5000;
	classic_pair("range");
	assert_int_equal(join_consumer(&m[2], "x"), 0);
	assert_int_equal(beat(&m[0]), REBALANCE);
	assert_int_equal(beat(&m[1]), REBALANCE);
	assert_int_equal(join(&m[1]), 0);
	/* m[0] does not join, m[1] does not sync: their sessions go on */
	for (int ms = 0; ms < PATIENCE_MS && describe()->members.count > 1; ms += 100) {
		beat(&m[0]);
		beat(&m[1]);
		usleep(100000);
	}
	m[0].in = m[1].in = false;
	m[0].holds = m[1].holds = 0;
	assert_int_equal(describe()->members.count, 1);
	settle();
	assert_int_equal(m[2].holds, ALL);
}

static void a_refused_consumer_changes_nothing(void **state)
{
	(void)state;
	classic_pair("range");
	struct str names[] = {{"t", 1}};
	struct consumer_group_heartbeat_request_topic none = {0};
	struct consumer_group_heartbeat_request body = {.group_id = STR("g"),
	    .member_id = STR("x"),
	    .rebalance_timeout_ms = rebalance_ms,
	    .subscribed_topic_names = {names, 1},
	    .server_assignor = STR("mine"),
	    .topic_partitions = {&none, 0}};
	const struct consumer_group_heartbeat_response *r =
	    kafka_call(&admin, API_CONSUMER_GROUP_HEARTBEAT, 1, &body);
	assert_int_equal(r->error_code, 112);
	check_type("classic");
	assert_int_equal(beat(&m[0]), 0);
	assert_int_equal(beat(&m[1]), 0);
}

/* m[0] has been told to give up partition 1 and has not come back yet, then m[2] comes. */
static void upgraded_while_one_revokes(const char *protocol)
{
	uint8_t buf[2][64];
	classic_pair(protocol);
	send_join(&m[0]); /* the leader, again */
	while (beat(&m[1]) != REBALANCE)
		usleep(1000);
	assert_int_equal(join(&m[1]), 0);
	assert_int_equal(receive_join(&m[0]), 0);
	assert_true(m[0].leads);
	struct sync_group_request_assignment list[] = {
	    {.member_id = str_of(m[0].id), .assignment = assignment(buf[0], 1)},
	    {.member_id = str_of(m[1].id), .assignment = assignment(buf[1], 12)}};
	assert_int_equal(sync_with(&m[0], list, 2), 0);
	assert_int_equal(sync_with(&m[1], NULL, 0), 0);
	assert_int_equal(m[0].holds, 1);
	assert_int_equal(join_consumer(&m[2], "x"), 0);
}

static void what_is_being_revoked_is_not_given_away(void **state)
{
	(void)state;
	upgraded_while_one_revokes("cooperative-sticky");
	assert_int_equal(m[2].holds, 0);
	assert_int_equal(commit(&m[0], 0, m[0].epoch, 8), 0);
	crash();
	assert_int_equal(say(&m[2], m[2].epoch), 0);
	assert_int_equal(m[2].holds, 0);
	assert_int_equal(sync_with(&m[0], NULL, 0), 0); /* what it keeps */
	assert_int_equal(m[0].holds, 1);
	assert_int_equal(beat(&m[0]), REBALANCE);
	assert_int_equal(commit(&m[0], 0, m[0].epoch, 8), 0);
	m[0].holds = 3; /* it has not come to it */
	assert_int_equal(join(&m[0]), 0);
	assert_int_equal(say(&m[2], m[2].epoch), 0);
	assert_int_equal(m[2].holds, 0);
	assert_int_equal(sync_with(&m[0], NULL, 0), 0);
	assert_int_equal(m[0].holds, 1);
	assert_int_equal(beat(&m[0]), REBALANCE);
	assert_int_equal(join(&m[0]), 0); /* now it has */
	assert_int_equal(say(&m[2], m[2].epoch), 0);
	assert_int_equal(m[2].holds, 2);
	settle();
}

static void nobody_waits_for_ever_for_what_is_being_revoked(void **state)
{
	(void)state;
	rebalance_ms = 5000;
	upgraded_while_one_revokes("cooperative-sticky");
	for (int ms = 0; ms < PATIENCE_MS && describe()->members.count > 2; ms += 50) {
		beat(&m[0]); /* alive, but it does not join */
		beat(&m[1]);
		assert_int_equal(say(&m[2], m[2].epoch), 0);
		if (m[2].holds & 2) /* m[0] has gone just now */
			break;
		join(&m[1]);
		sync_with(&m[1], NULL, 0);
		usleep(50000);
	}
	assert_int_equal(beat(&m[0]), UNKNOWN_MEMBER);
	m[0].in = false;
	m[0].holds = 0;
	settle();
}

/* m[0] does all its steps in time, and names each time what it is to give up. */
static void one_that_never_revokes_is_out_after_its_rebalance_timeout(void **state)
{
	(void)state;
	rebalance_ms = 5000;
	upgraded_while_one_revokes("cooperative-sticky");
	int16_t e = 0;
	for (int ms = 0; ms < PATIENCE_MS && e != UNKNOWN_MEMBER; ms += 50) {
		e = beat(&m[0]);
		m[0].holds = 3;
		if (e != UNKNOWN_MEMBER)
			e = join(&m[0]);
		if (e == 0)
			e = sync_with(&m[0], NULL, 0);
		step(&m[1]);
		assert_int_equal(say(&m[2], m[2].epoch), 0);
		assert_true(e == UNKNOWN_MEMBER || (m[2].holds & 2) == 0);
		usleep(50000);
	}
	assert_int_equal(e, UNKNOWN_MEMBER);
	m[0].in = false;
	m[0].holds = 0;
	settle();
	assert_int_equal(m[1].holds | m[2].holds, ALL);
}

static void an_eager_member_has_nothing_to_revoke(void **state)
{
	(void)state;
	upgraded_while_one_revokes("range");
	assert_int_equal(m[2].holds, 2);
	settle();
}

/* m[0] alone, its assignment with a byte of user data. */
static void classic_with_data(const char *protocol)
{
	uint8_t buf[64];
	m[0].protocol = protocol;
	assert_int_equal(join(&m[0]), 79);
	assert_int_equal(join(&m[0]), 0);
	struct bytes b = assignment(buf, ALL);
	put_u32_be(buf + b.len - 4, 1);
	buf[b.len] = 'u';
	b.len++;
	struct sync_group_request_assignment mine = {.member_id = str_of(m[0].id), .assignment = b};
	struct sync_group_request body = {.group_id = STR("g"),
	    .generation_id = m[0].epoch,
	    .member_id = str_of(m[0].id),
	    .assignments = {&mine, 1}};
	const struct sync_group_response *r = kafka_call(&m[0].c, API_SYNC_GROUP, 4, &body);
	assert_int_equal(r->error_code, 0);
	m[0].holds = ALL;
}

static void an_assignor_with_data_of_its_own_stays_classic(void **state)
{
	(void)state;
	classic_with_data("mine");
	assert_int_equal(join_consumer(&m[2], "x"), 69);
	check_type("classic");
	assert_int_equal(beat(&m[0]), 0);
}

static void data_of_a_common_assignor_is_of_no_use(void **state)
{
	(void)state;
	classic_with_data("cooperative-sticky"); /* as librdkafka does */
	assert_int_equal(join_consumer(&m[2], "x"), 0);
	settle();
	check_type("consumer");
}

static void policies_are_kept(void **state)
{
	(void)state;
	const enum group_migration policy[] = {GROUP_MIGRATION_UPGRADE, GROUP_MIGRATION_DOWNGRADE,
	    GROUP_MIGRATION_DISABLED, GROUP_MIGRATION_BOTH};
	classic_pair("range");
	for (int i = 0; i < 4; i++) {
		bool up = policy[i] == GROUP_MIGRATION_UPGRADE || policy[i] == GROUP_MIGRATION_BOTH;
		options.group_migration = policy[i];
		restart();
		check_type("classic");
		assert_int_equal(join_consumer(&m[2], "x"), up ? 0 : 69);
		if (!up)
			continue;
		settle();
		assert_int_equal(say(&m[2], -1), 0);
		if (policy[i] == GROUP_MIGRATION_BOTH) {
			check_type("classic");
			break;
		}
		check_type("consumer"); /* with classic members alone */
		settle();
		options.group_migration = GROUP_MIGRATION_DOWNGRADE;
		restart();
		check_type("consumer");
		assert_int_equal(join_consumer(&m[2], "x"), 0);
		settle();
		assert_int_equal(say(&m[2], -1), 0);
		check_type("classic");
		rebalance_classic();
	}
}

static void members_that_wait_are_told_to_join_again(void **state)
{
	(void)state;
	classic_pair("cooperative-sticky");
	m[2].protocol = "cooperative-sticky";
	assert_int_equal(join(&m[2]), 79);
	send_join(&m[2]); /* waits for the others */
	while (beat(&m[0]) != REBALANCE)
		usleep(1000);
	assert_int_equal(join_consumer(&m[3], "x"), 0);
	assert_int_equal(receive_join(&m[2]), REBALANCE);
	assert_int_equal(join(&m[2]), 0);
	assert_int_equal(sync_with(&m[2], NULL, 0), 0);
	settle();
	assert_int_equal(describe()->members.count, 4);
}

#define ONE(f) cmocka_unit_test_setup_teardown(f, start, stop)
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    ONE(an_eager_group_is_upgraded),
	    ONE(a_cooperative_group_is_upgraded),
	    ONE(an_upgrade_can_be_completed),
	    ONE(a_group_is_downgraded),
	    ONE(a_downgraded_group_knows_all_protocols),
	    ONE(a_mixed_group_survives_a_restart),
	    ONE(a_kill_at_each_step_of_an_eager_group),
	    ONE(a_kill_at_each_step_of_a_cooperative_group),
	    ONE(a_classic_member_joins_a_consumer_group),
	    ONE(nobody_owns_more_than_there_is),
	    ONE(one_that_owns_more_than_there_is_stays_classic),
	    ONE(static_members_change_their_protocol),
	    ONE(a_silent_consumer_ends_the_upgrade),
	    ONE(a_classic_member_has_to_do_its_part_in_time),
	    ONE(a_refused_consumer_changes_nothing),
	    ONE(what_is_being_revoked_is_not_given_away),
	    ONE(nobody_waits_for_ever_for_what_is_being_revoked),
	    ONE(one_that_never_revokes_is_out_after_its_rebalance_timeout),
	    ONE(an_eager_member_has_nothing_to_revoke),
	    ONE(an_assignor_with_data_of_its_own_stays_classic),
	    ONE(data_of_a_common_assignor_is_of_no_use),
	    ONE(policies_are_kept),
	    ONE(members_that_wait_are_told_to_join_again),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
