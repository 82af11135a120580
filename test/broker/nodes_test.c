/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several listeners seen as several brokers, for test suites that expect a cluster: each question
 * that a client asks of all brokers, or about them, answered the same way at every one.
 */
#include "test/lib/kafka_calls.h"
#include "test/lib/test.h"
#include <stdio.h>

enum { NODES = 3, NAMES = 40 };
static struct kafka_server server;
static struct kafka_client c[NODES];
static uint16_t port[NODES];

static void open_with(bool test_brokers, int32_t node_id)
{
	static const struct broker_listener at[NODES] = {{.protocol = BROKER_PLAINTEXT},
	    {.protocol = BROKER_PLAINTEXT}, {.protocol = BROKER_PLAINTEXT}};
	struct broker_options o = {.listeners = at,
	    .listener_count = NODES,
	    .test_brokers = test_brokers,
	    .node_id = node_id,
	    .default_partitions = NODES};
	kafka_server_start(&server, "uring", &o);
	for (size_t i = 0; i < NODES; i++) {
		port[i] = server.port = broker_port(server.broker, i);
		kafka_connect(&c[i], &server);
	}
}

static void close_all(void)
{
	for (size_t i = 0; i < NODES; i++)
		kafka_disconnect(&c[i]);
	kafka_server_stop(&server);
}

static int start(void **state)
{
	(void)state;
	open_with(true, 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	close_all();
	kafka_server_remove(&server);
	return 0;
}

static struct str name_of(int n)
{
	static char text[NAMES][16];
	snprintf(text[n], sizeof text[n], "name-%d", n);
	return str_of(text[n]);
}

static const struct metadata_response *metadata_at(size_t node, const char *topic)
{
	struct metadata_request_topic t = {.name = str_of(topic)};
	struct metadata_request body = {.topics = {&t, 1}, .allow_auto_topic_creation = true};
	return kafka_call(&c[node], API_METADATA, 9, &body);
}

/* ---- who is there ---------------------------------------------------------------------------- */

static void metadata_names_every_broker_and_deals_the_partitions_out(void **state)
{
	(void)state;
	for (size_t n = 0; n < NODES; n++) {
		const struct metadata_response *r = metadata_at(n, "t");
		assert_int_equal(r->brokers.count, NODES);
		assert_int_equal(r->controller_id, 1);
		for (uint32_t i = 0; i < NODES; i++) {
			assert_int_equal(r->brokers.at[i].node_id, 1 + (int)i);
			assert_int_equal(r->brokers.at[i].port, port[i]);
			assert_true(str_equal(r->brokers.at[i].host, STR("127.0.0.1")));
		}
		int leads[NODES + 1] = {0};
		assert_int_equal(r->topics.at[0].partitions.count, NODES);
		for (uint32_t p = 0; p < NODES; p++) {
			const struct metadata_response_partition *at =
			    &r->topics.at[0].partitions.at[p];
			int copies[NODES + 1] = {0};
			leads[at->leader_id]++;
			assert_int_equal(at->replica_nodes.count, NODES);
			assert_int_equal(at->isr_nodes.count, NODES);
			assert_int_equal(at->replica_nodes.at[0], at->leader_id);
			for (uint32_t k = 0; k < NODES; k++)
				copies[at->replica_nodes.at[k]]++;
			for (int id = 1; id <= NODES; id++)
				assert_int_equal(copies[id], 1);
		}
		for (int id = 1; id <= NODES; id++)
			assert_int_equal(leads[id], 1);
	}
}

static void leaders_are_the_same_at_every_broker_and_after_a_restart(void **state)
{
	(void)state;
	int32_t leader = metadata_at(0, "t")->topics.at[0].partitions.at[0].leader_id;
	for (int again = 0; again < 2; again++) {
		for (size_t n = 0; n < NODES; n++) {
			struct describe_topic_partitions_request_topic t = {.name = STR("t")};
			struct describe_topic_partitions_request body = {
			    .topics = {&t, 1}, .response_partition_limit = 100};
			const struct describe_topic_partitions_response *d =
			    kafka_call(&c[n], API_DESCRIBE_TOPIC_PARTITIONS, 0, &body);
			assert_int_equal(d->topics.at[0].partitions.at[0].leader_id, leader);
			assert_int_equal(
			    metadata_at(n, "t")->topics.at[0].partitions.at[0].leader_id, leader);
		}
		close_all();
		open_with(true, 0);
	}
}

static void the_cluster_is_described_with_every_broker(void **state)
{
	(void)state;
	struct describe_cluster_request body = {.endpoint_type = 1};
	struct describe_configs_request_resource resource = {
	    .resource_type = 4, .resource_name = STR("3")};
	struct describe_configs_request asked = {.resources = {&resource, 1}};
	for (size_t n = 0; n < NODES; n++) {
		const struct describe_cluster_response *r =
		    kafka_call(&c[n], API_DESCRIBE_CLUSTER, 0, &body);
		assert_int_equal(r->brokers.count, NODES);
		for (uint32_t i = 0; i < NODES; i++) {
			assert_int_equal(r->brokers.at[i].broker_id, 1 + (int)i);
			assert_int_equal(r->brokers.at[i].port, port[i]);
		}
	}
	resource.resource_name = STR("3");
	const struct describe_configs_response *d =
	    kafka_call(&c[2], API_DESCRIBE_CONFIGS, 1, &asked);
	assert_int_equal(d->results.at[0].error_code, 0);
	assert_true(str_equal(d->results.at[0].configs.at[0].value, STR("3")));
	resource.resource_name = STR("4");
	d = kafka_call(&c[2], API_DESCRIBE_CONFIGS, 1, &asked);
	assert_int_equal(d->results.at[0].error_code, 42);
}

static void as_many_copies_are_granted_as_there_are_brokers(void **state)
{
	(void)state;
	struct create_topics_request_topic t[2] = {
	    {.name = STR("three"), .num_partitions = 1, .replication_factor = 3},
	    {.name = STR("four"), .num_partitions = 1, .replication_factor = 4}};
	struct create_topics_request body = {.topics = {t, 2}, .timeout_ms = 5000};
	const struct create_topics_response *r = kafka_call(&c[1], API_CREATE_TOPICS, 5, &body);
	assert_int_equal(r->topics.at[0].error_code, 0);
	assert_int_equal(r->topics.at[0].replication_factor, 3);
	assert_int_equal(r->topics.at[1].error_code, 38);
}

static void copies_are_assigned_to_brokers_that_are_there(void **state)
{
	(void)state;
	int32_t good[] = {3, 1}, bad[] = {1, 4};
	struct create_topics_request_assignment a = {.broker_ids = {good, 2}};
	struct create_topics_request_topic t = {.name = STR("a"),
	    .num_partitions = -1,
	    .replication_factor = -1,
	    .assignments = {&a, 1}};
	struct create_topics_request create = {.topics = {&t, 1}, .timeout_ms = 5000};
	const struct create_topics_response *r = kafka_call(&c[0], API_CREATE_TOPICS, 5, &create);
	assert_int_equal(r->topics.at[0].error_code, 0);
	t.name = STR("b");
	a.broker_ids.at = bad;
	r = kafka_call(&c[0], API_CREATE_TOPICS, 5, &create);
	assert_int_equal(r->topics.at[0].error_code, 39);
	struct create_partitions_request_assignment more = {.broker_ids = {bad, 2}};
	struct create_partitions_request_topic grown = {
	    .name = STR("a"), .count = 2, .assignments = {&more, 1}};
	struct create_partitions_request grow = {.topics = {&grown, 1}, .timeout_ms = 5000};
	const struct create_partitions_response *g =
	    kafka_call(&c[0], API_CREATE_PARTITIONS, 1, &grow);
	assert_int_equal(g->results.at[0].error_code, 39);
	more.broker_ids.at = good;
	g = kafka_call(&c[0], API_CREATE_PARTITIONS, 1, &grow);
	assert_int_equal(g->results.at[0].error_code, 0);
}

/* ---- who coordinates ------------------------------------------------------------------------- */

static int32_t coordinator_at(size_t node, int8_t type, struct str key, int32_t *ret_port)
{
	struct find_coordinator_request body = {.key_type = type, .coordinator_keys = {&key, 1}};
	const struct find_coordinator_response *r =
	    kafka_call(&c[node], API_FIND_COORDINATOR, 4, &body);
	assert_int_equal(r->coordinators.at[0].error_code, 0);
	*ret_port = r->coordinators.at[0].port;
	body = (struct find_coordinator_request){.key_type = type, .key = key};
	const struct find_coordinator_response *old =
	    kafka_call(&c[node], API_FIND_COORDINATOR, 3, &body);
	assert_int_equal(old->node_id, r->coordinators.at[0].node_id);
	return old->node_id;
}

static void every_broker_names_the_same_coordinator(void **state)
{
	(void)state;
	int coordinated[NODES + 1] = {0};
	for (int i = 0; i < NAMES; i++) {
		int32_t first_port, other_port;
		int32_t id = coordinator_at(0, 0, name_of(i), &first_port);
		assert_in_range(id, 1, NODES);
		assert_int_equal(first_port, port[id - 1]);
		coordinated[id]++;
		for (size_t n = 1; n < NODES; n++) {
			assert_int_equal(coordinator_at(n, 0, name_of(i), &other_port), id);
			assert_int_equal(other_port, first_port);
		}
		kafka_client_clear(&c[0]);
	}
	for (int id = 1; id <= NODES; id++)
		assert_true(coordinated[id] > 0);
}

static void make_group(struct str name)
{
	struct offset_commit_request_partition p = {
	    .partition_index = 0, .committed_offset = 0, .committed_metadata = STR("")};
	struct offset_commit_request_topic t = {.name = STR("t"), .partitions = {&p, 1}};
	struct offset_commit_request body = {
	    .group_id = name, .generation_id_or_member_epoch = -1, .topics = {&t, 1}};
	const struct offset_commit_response *r = kafka_call(&c[0], API_OFFSET_COMMIT, 2, &body);
	assert_int_equal(r->topics.at[0].partitions.at[0].error_code, 0);
}

static void make_transaction(struct str name)
{
	struct init_producer_id_request body = {.transactional_id = name,
	    .transaction_timeout_ms = 60000,
	    .producer_id = -1,
	    .producer_epoch = -1};
	const struct init_producer_id_response *r =
	    kafka_call(&c[0], API_INIT_PRODUCER_ID, 4, &body);
	assert_int_equal(r->error_code, 0);
}

static void groups_and_transactions_are_listed_by_their_coordinators_only(void **state)
{
	(void)state;
	uint32_t groups = 0, transactions = 0;
	int32_t where;
	metadata_at(0, "t");
	for (int i = 0; i < NAMES; i++) {
		make_group(name_of(i));
		make_transaction(name_of(i));
	}
	for (size_t n = 0; n < NODES; n++) {
		struct list_groups_request g = {0};
		struct list_transactions_request t = {.duration_filter = -1};
		const struct list_groups_response *gr = kafka_call(&c[n], API_LIST_GROUPS, 3, &g);
		groups += gr->groups.count;
		for (uint32_t i = 0; i < gr->groups.count; i++)
			assert_int_equal(
			    coordinator_at(n, 0, gr->groups.at[i].group_id, &where), n + 1);
		const struct list_transactions_response *tr =
		    kafka_call(&c[n], API_LIST_TRANSACTIONS, 1, &t);
		transactions += tr->transaction_states.count;
		for (uint32_t i = 0; i < tr->transaction_states.count; i++)
			assert_int_equal(coordinator_at(n, 1,
			                     tr->transaction_states.at[i].transactional_id, &where),
			    n + 1);
	}
	assert_int_equal(groups, NAMES);
	assert_int_equal(transactions, NAMES);
}

/* ---- elections and moves --------------------------------------------------------------------- */

static void no_election_is_ever_needed(void **state)
{
	(void)state;
	metadata_at(0, "t");
	int32_t parts[] = {0, NODES - 1, NODES};
	struct elect_leaders_request_topic t[] = {{.topic = STR("t"), .partitions = {parts, 3}},
	    {.topic = STR("none"), .partitions = {parts, 1}}};
	for (int16_t v = 0; v <= 2; v++) {
		struct elect_leaders_request body = {.topic_partitions = {t, 2}};
		const struct elect_leaders_response *r =
		    kafka_call(&c[0], API_ELECT_LEADERS, v, &body);
		assert_int_equal(r->error_code, 0);
		assert_int_equal(r->replica_election_results.count, 2);
		const struct elect_leaders_response_topic *first =
		    &r->replica_election_results.at[0];
		assert_int_equal(first->partition_results.count, 3);
		assert_int_equal(first->partition_results.at[0].error_code, 84);
		assert_int_equal(first->partition_results.at[1].error_code, 84);
		assert_int_equal(first->partition_results.at[2].error_code, 3);
		assert_int_equal(
		    r->replica_election_results.at[1].partition_results.at[0].error_code, 3);
	}
	struct elect_leaders_request every = {.election_type = 1};
	const struct elect_leaders_response *r = kafka_call(&c[0], API_ELECT_LEADERS, 2, &every);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->replica_election_results.count, 0);
	every.election_type = 2;
	r = kafka_call(&c[0], API_ELECT_LEADERS, 2, &every);
	assert_int_equal(r->error_code, 42);
}

static int16_t reassigned(struct str topic, int32_t partition, int32_t *ids, uint32_t count)
{
	struct alter_partition_reassignments_request_partition p = {
	    .partition_index = partition, .replicas = {ids, count}};
	struct alter_partition_reassignments_request_topic t = {
	    .name = topic, .partitions = {&p, 1}};
	struct alter_partition_reassignments_request body = {.topics = {&t, 1}};
	const struct alter_partition_reassignments_response *r =
	    kafka_call(&c[0], API_ALTER_PARTITION_REASSIGNMENTS, 0, &body);
	assert_int_equal(r->error_code, 0);
	return r->responses.at[0].partitions.at[0].error_code;
}

static void partitions_stay_where_they_are(void **state)
{
	(void)state;
	int32_t all[] = {2, 3, 1}, two[] = {1, 2}, twice[] = {1, 2, 2}, other[] = {1, 2, 4};
	metadata_at(0, "t");
	assert_int_equal(reassigned(STR("t"), 0, all, 3), 0);
	assert_int_equal(reassigned(STR("t"), 0, two, 2), 39);
	assert_int_equal(reassigned(STR("t"), 0, twice, 3), 39);
	assert_int_equal(reassigned(STR("t"), 0, other, 3), 39);
	assert_int_equal(reassigned(STR("t"), NODES, all, 3), 3);
	assert_int_equal(reassigned(STR("none"), 0, all, 3), 3);
	assert_int_equal(reassigned(STR("t"), 0, NULL, 0), 85); /* to cancel */
	struct list_partition_reassignments_request body = {0};
	const struct list_partition_reassignments_response *r =
	    kafka_call(&c[0], API_LIST_PARTITION_REASSIGNMENTS, 0, &body);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(r->topics.count, 0);
}

/* ---- without it ------------------------------------------------------------------------------ */

static void listeners_are_one_broker_unless_asked_for(void **state)
{
	(void)state;
	close_all();
	open_with(false, 7);
	for (size_t n = 0; n < NODES; n++) {
		const struct metadata_response *r = metadata_at(n, "t");
		assert_int_equal(r->brokers.count, 1);
		assert_int_equal(r->brokers.at[0].node_id, 7);
		assert_int_equal(r->brokers.at[0].port, port[n]);
		assert_int_equal(r->topics.at[0].partitions.at[2].leader_id, 7);
		assert_int_equal(r->topics.at[0].partitions.at[2].replica_nodes.count, 1);
	}
	close_all();
	open_with(false, -1);
	assert_int_equal(metadata_at(0, "t")->brokers.at[0].node_id, 0);
	close_all();
	open_with(false, 7);
	int32_t self[] = {7}, other[] = {8};
	assert_int_equal(reassigned(STR("t"), 0, self, 1), 0);
	assert_int_equal(reassigned(STR("t"), 0, other, 1), 39);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (metadata_names_every_broker_and_deals_the_partitions_out),
	    EACH (leaders_are_the_same_at_every_broker_and_after_a_restart),
	    EACH (the_cluster_is_described_with_every_broker),
	    EACH (as_many_copies_are_granted_as_there_are_brokers),
	    EACH (copies_are_assigned_to_brokers_that_are_there),
	    EACH (every_broker_names_the_same_coordinator),
	    EACH (groups_and_transactions_are_listed_by_their_coordinators_only),
	    EACH (no_election_is_ever_needed),
	    EACH (partitions_stay_where_they_are),
	    EACH (listeners_are_one_broker_unless_asked_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
