/* SPDX-License-Identifier: Apache-2.0 */
#include "log/catalog.h"
#include "log/catalog_change.h"
#include "test/lib/log_server.h"
#include "test/lib/seed.h"
#include <stdio.h>

static struct log_server server;

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	err_clear();
	return 0;
}

static enum err change(
    enum log_topic_op op, const char *name, int partitions, const char *const *configs)
{
	return log_server_change(&server, op, name, partitions, configs, NULL);
}

static void a_new_log_has_only_its_catalog(void **state)
{
	(void)state;
	size_t cursor = 0;
	const struct log_topic *t = log_topic_next(server.log, &cursor);
	assert_int_equal(log_topic_count(server.log), 1);
	assert_true(str_equal(t->name, STR("__kappa_catalog")));
	assert_true(t->internal && log_uuid_equal(t->id, CATALOG_TOPIC_ID));
	assert_null(log_topic_next(server.log, &cursor));
	assert_null(log_server_topic(&server, "orders"));
}

static void check_life(struct log_uuid first, struct log_uuid second)
{
	const struct log_topic *t = log_server_topic(&server, "orders");
	assert_non_null(t);
	assert_true(log_uuid_equal(t->id, second));
	assert_false(log_uuid_equal(first, second));
	assert_ptr_equal(log_topic_by_id(server.log, second), t);
	assert_null(log_topic_by_id(server.log, first));
	assert_int_equal(t->partition_count, 2);
	assert_int_equal(t->set_config_count, 0);
	assert_int_equal(t->config.retention_ms, 604800000);
	assert_string_equal(log_server_read(&server, "orders", 1, 0), "second life");
	assert_int_equal(log_server_status(&server, "orders", 1).log_end, 1);
	assert_int_equal(log_server_status(&server, "orders", 0).log_end, 0);
}

/*
 * Create, configure, add partitions, delete, create again under the same name; `again` after each
 * step.
 */
static void live(void (*again)(struct log_server *s))
{
	const char *const configs[] = {"retention.ms=-1", "cleanup.policy=compact,delete", NULL};
	struct log_uuid first = log_server_create(&server, "orders", 2, configs);
	again(&server);
	log_server_append(&server, "orders", 1, "first life");
	again(&server);
	assert_string_equal(log_server_read(&server, "orders", 1, 0), "first life");
	const char *const others[] = {"segment.ms=60000", NULL};
	assert_int_equal(change(LOG_TOPIC_SET_CONFIG, "orders", 0, others), ERR_OK);
	again(&server);
	const struct log_topic *t = log_server_topic(&server, "orders");
	assert_int_equal(t->config.segment_ms, 60000);
	assert_int_equal(t->config.retention_ms, 604800000);
	assert_int_equal(t->set_config_count, 1);
	assert_true(str_equal(t->set_configs[0][0], STR("segment.ms")));
	assert_int_equal(change(LOG_TOPIC_ADD_PARTITIONS, "orders", 5, NULL), ERR_OK);
	again(&server);
	assert_int_equal(log_server_topic(&server, "orders")->partition_count, 5);
	log_server_append(&server, "orders", 4, "in a new partition");
	again(&server);
	assert_string_equal(log_server_read(&server, "orders", 4, 0), "in a new partition");
	assert_true(log_uuid_equal(log_server_topic(&server, "orders")->id, first));
	assert_int_equal(change(LOG_TOPIC_DELETE, "orders", 0, NULL), ERR_OK);
	again(&server);
	assert_null(log_server_topic(&server, "orders"));
	assert_null(log_topic_by_id(server.log, first));
	struct log_uuid second = log_server_create(&server, "orders", 2, NULL);
	log_server_append(&server, "orders", 1, "second life");
	check_life(first, second);
	again(&server);
	check_life(first, second);
	again(&server);
	check_life(first, second);
}

static void no_pause(struct log_server *s)
{
	(void)s;
}

static void a_topics_life(void **state)
{
	(void)state;
	live(no_pause);
}

static void a_topics_life_survives_a_restart_after_each_step(void **state)
{
	(void)state;
	live(log_server_restart);
}

static void a_topics_life_survives_a_crash_after_each_step(void **state)
{
	(void)state;
	live(log_server_crash);
}

static void the_text_of_rows_is_in_the_catalogs_topic(void **state)
{
	(void)state;
	const char *const configs[] = {"retention.ms=5", NULL};
	char want[200], id[UUID_TEXT_BYTES];
	struct log_uuid topic = log_server_create(&server, "orders", 3, configs);
	snprintf(want, sizeof(want), "id=%s\npartitions=3\nconfig.retention.ms=5\n",
	    uuid_format(topic, id));
	assert_string_equal(log_server_read(&server, "__kappa_catalog", 0, 0), want);
	/* version 4, variant 10 */
	assert_int_equal(topic.b[6] >> 4, 4);
	assert_int_equal(topic.b[8] >> 6, 2);
}

static void wrong_changes_are_refused_with_their_reason(void **state)
{
	(void)state;
	struct log_topic_req req;
	const char *const unknown[] = {"retension.ms=1", NULL}, *const bad[] = {
	                                                            "retention.ms=soon", NULL};
	log_server_create(&server, "orders", 2, NULL);
	assert_int_equal(log_server_change(&server, LOG_TOPIC_CREATE, "orders", 1, NULL, &req),
	    ERR_TOPIC_EXISTS);
	assert_non_null(strstr(req.message, "orders"));
	assert_int_equal(log_server_change(&server, LOG_TOPIC_CREATE, "a", 1, unknown, &req),
	    ERR_INVALID_CONFIG);
	assert_non_null(strstr(req.message, "did you mean retention.ms?"));
	assert_int_equal(change(LOG_TOPIC_CREATE, "a", 1, bad), ERR_INVALID_CONFIG);
	assert_int_equal(change(LOG_TOPIC_CREATE, "a", 0, NULL), ERR_INVALID_PARTITIONS);
	assert_int_equal(change(LOG_TOPIC_CREATE, "a", 10001, NULL), ERR_INVALID_PARTITIONS);
	assert_int_equal(change(LOG_TOPIC_CREATE, "a/b", 1, NULL), ERR_INVALID_TOPIC);
	assert_int_equal(change(LOG_TOPIC_CREATE, "..", 1, NULL), ERR_INVALID_TOPIC);
	assert_int_equal(change(LOG_TOPIC_CREATE, "", 1, NULL), ERR_INVALID_TOPIC);
	assert_int_equal(change(LOG_TOPIC_CREATE, "__kappa_mine", 1, NULL), ERR_INVALID_TOPIC);
	assert_int_equal(
	    change(LOG_TOPIC_CREATE, "__consumer_offsets", 1, NULL), ERR_INVALID_TOPIC);
	assert_int_equal(change(LOG_TOPIC_DELETE, "nobody", 0, NULL), ERR_UNKNOWN_TOPIC);
	assert_int_equal(change(LOG_TOPIC_DELETE, "__kappa_catalog", 0, NULL), ERR_INVALID_TOPIC);
	assert_int_equal(change(LOG_TOPIC_SET_CONFIG, "orders", 0, unknown), ERR_INVALID_CONFIG);
	assert_int_equal(
	    change(LOG_TOPIC_SET_CONFIG, "__kappa_catalog", 0, NULL), ERR_INVALID_TOPIC);
	assert_int_equal(
	    change(LOG_TOPIC_ADD_PARTITIONS, "orders", 2, NULL), ERR_INVALID_PARTITIONS);
	assert_int_equal(
	    change(LOG_TOPIC_ADD_PARTITIONS, "orders", 1, NULL), ERR_INVALID_PARTITIONS);
	assert_int_equal(log_topic_count(server.log), 2);
	assert_int_equal(log_server_status(&server, "__kappa_catalog", 0).log_end, 1);
}

/* Tools have topics of such names: clients write there, after a restart too. */
static void other_names_with_underscores_are_anybodys(void **state)
{
	(void)state;
	assert_int_equal(change(LOG_TOPIC_CREATE, "__debezium-heartbeat.x", 1, NULL), ERR_OK);
	assert_false(log_server_topic(&server, "__debezium-heartbeat.x")->internal);
	log_server_restart(&server);
	assert_false(log_server_topic(&server, "__debezium-heartbeat.x")->internal);
	assert_int_equal(change(LOG_TOPIC_DELETE, "__debezium-heartbeat.x", 0, NULL), ERR_OK);
}

static void a_name_of_249_characters_is_the_longest(void **state)
{
	(void)state;
	char name[251];
	memset(name, 'n', sizeof(name));
	name[250] = '\0';
	assert_int_equal(change(LOG_TOPIC_CREATE, name, 1, NULL), ERR_INVALID_TOPIC);
	name[249] = '\0';
	log_server_create(&server, name, 1, NULL);
	log_server_append(&server, name, 0, "there");
	log_server_restart(&server);
	assert_string_equal(log_server_read(&server, name, 0, 0), "there");
	assert_int_equal(change(LOG_TOPIC_DELETE, name, 0, NULL), ERR_OK);
}

struct counted {
	struct log_topic_req req;
	int *left;
	int order;
};

static void counted_done(struct log_topic_req *req)
{
	struct counted *c = CONTAINER_OF(req, struct counted, req);
	c->order = --*c->left;
}

static void requests_are_made_one_after_the_other(void **state)
{
	(void)state;
	static const enum log_topic_op ops[] = {LOG_TOPIC_CREATE, LOG_TOPIC_CREATE,
	    LOG_TOPIC_ADD_PARTITIONS, LOG_TOPIC_DELETE, LOG_TOPIC_DELETE, LOG_TOPIC_CREATE};
	static const enum err want[] = {
	    ERR_OK, ERR_TOPIC_EXISTS, ERR_OK, ERR_OK, ERR_UNKNOWN_TOPIC, ERR_OK};
	struct counted c[6];
	int left = 6;
	for (int i = 0; i < 6; i++) {
		c[i] = (struct counted){
		    .req = {.op = ops[i],
		        .name = STR("t"),
		        .partition_count = i + 1,
		        .done = counted_done},
		    .left = &left,
		};
		log_topic_submit(server.log, &c[i].req);
	}
	assert_int_equal(left, 6);
	while (left > 0)
		log_server_turn(&server);
	for (int i = 0; i < 6; i++) {
		assert_int_equal(c[i].req.err, want[i]);
		assert_int_equal(c[i].order, 5 - i);
	}
	assert_int_equal(log_server_topic(&server, "t")->partition_count, 6);
}

static void what_is_queued_at_the_stop_is_answered(void **state)
{
	(void)state;
	struct counted c[5];
	char names[5][16];
	int left = 5;
	for (int i = 0; i < 5; i++) {
		snprintf(names[i], sizeof(names[i]), "t%d", i);
		c[i] = (struct counted){
		    .req = {.op = LOG_TOPIC_CREATE,
		        .name = str_of(names[i]),
		        .partition_count = 1,
		        .done = counted_done},
		    .left = &left,
		};
		log_topic_submit(server.log, &c[i].req);
	}
	log_server_turn(&server);
	log_server_restart(&server);
	assert_int_equal(left, 0);
	for (int i = 0; i < 5;
	     i++) /* what was answered with success is there, what was not may be */
		if (c[i].req.err == ERR_OK)
			assert_non_null(log_server_topic(&server, names[i]));
		else
			assert_int_equal(c[i].req.err, ERR_CLOSED);
}

static void validate_only_changes_nothing(void **state)
{
	(void)state;
	int left = 4;
	const struct str config[][2] = {{STR("segment.ms"), STR("7")}};
	log_server_create(&server, "there", 1, NULL);
	struct counted c[4] = {
	    {.req = {.op = LOG_TOPIC_CREATE, .name = STR("a"), .partition_count = 1}},
	    {.req = {.op = LOG_TOPIC_DELETE, .name = STR("there")}},
	    {.req = {.op = LOG_TOPIC_ADD_PARTITIONS, .name = STR("there"), .partition_count = 9}},
	    {.req = {.op = LOG_TOPIC_SET_CONFIG,
	         .name = STR("there"),
	         .configs = config,
	         .config_count = 1}},
	};
	for (int i = 0; i < 4; i++) {
		c[i].left = &left;
		c[i].req.validate_only = true;
		c[i].req.done = counted_done;
		log_topic_submit(server.log, &c[i].req);
	}
	while (left > 0)
		log_server_turn(&server);
	for (int i = 0; i < 4; i++)
		assert_int_equal(c[i].req.err, ERR_OK);
	assert_null(log_server_topic(&server, "a"));
	assert_int_equal(log_server_topic(&server, "there")->partition_count, 1);
	assert_int_equal(log_server_topic(&server, "there")->set_config_count, 0);
	assert_int_equal(log_server_status(&server, "__kappa_catalog", 0).log_end, 1);
}

static void topics_are_listed_by_name(void **state)
{
	(void)state;
	static const char *const names[] = {"m", "a", "z", "b.c", "a-1", "A", "_x"};
	struct str last = STR("");
	size_t cursor = 0, count = 0;
	const struct log_topic *t;
	for (size_t i = 0; i < 7; i++)
		log_server_create(&server, names[i], 1, NULL);
	assert_int_equal(change(LOG_TOPIC_DELETE, "m", 0, NULL), ERR_OK);
	log_server_restart(&server);
	while ((t = log_topic_next(server.log, &cursor))) {
		assert_true(bytes_compare(str_bytes(last), str_bytes(t->name)) < 0);
		last = t->name;
		count++;
	}
	assert_int_equal(count, 7); /* one deleted, one the catalog */
	assert_int_equal(log_topic_count(server.log), 7);
}

static void defaults_of_the_server_hold_for_topics_that_do_not_say(void **state)
{
	(void)state;
	char value[32];
	bool is_set;
	const char *const own[] = {"retention.ms=9", NULL};
	log_server_create(&server, "own", 1, own);
	log_server_create(&server, "plain", 1, NULL);
	assert_int_equal(
	    log_default_config_set(server.log, STR("retention.ms"), STR("77")), ERR_OK);
	assert_int_equal(
	    log_default_config_set(server.log, STR("retention"), STR("77")), ERR_INVALID_CONFIG);
	log_server_create(&server, "later", 1, NULL);
	assert_int_equal(log_server_topic(&server, "own")->config.retention_ms, 9);
	assert_int_equal(log_server_topic(&server, "plain")->config.retention_ms, 77);
	assert_int_equal(log_server_topic(&server, "later")->config.retention_ms, 77);
	assert_int_equal(log_server_topic(&server, "__kappa_catalog")->config.retention_ms, -1);
	const struct log_topic *t = log_server_topic(&server, "plain");
	assert_int_equal(
	    log_topic_config_get(t, STR("retention.ms"), value, sizeof(value), &is_set), ERR_OK);
	assert_string_equal(value, "77");
	assert_false(is_set);
	t = log_server_topic(&server, "own");
	assert_int_equal(
	    log_topic_config_get(t, STR("retention.ms"), value, sizeof(value), &is_set), ERR_OK);
	assert_string_equal(value, "9");
	assert_true(is_set);
	assert_int_equal(log_topic_config_get(t, STR("segment.ms"), value, 4, &is_set), ERR_LIMIT);
	assert_int_equal(log_topic_config_get(t, STR("nothing"), value, sizeof(value), &is_set),
	    ERR_INVALID_CONFIG);
}

static void appends_to_a_deleted_topic_end(void **state)
{
	(void)state;
	log_server_create(&server, "t", 1, NULL);
	struct log_partition *p = log_partition_find(server.log, log_server_topic(&server, "t"), 0);
	log_partition_ref(p);
	log_server_append(&server, "t", 0, "x");
	assert_int_equal(change(LOG_TOPIC_DELETE, "t", 0, NULL), ERR_OK);
	struct log_partition_status status;
	log_partition_status(p, &status);
	assert_null(status.topic);
	log_partition_unref(p);
}

/* ---- rows about partitions ---- */

struct row_call {
	struct catalog_partition_row row;
	bool done;
};

static void row_done(struct catalog_partition_row *row)
{
	CONTAINER_OF(row, struct row_call, row)->done = true;
}

static enum err put_row(struct catalog_partition_row row)
{
	struct row_call call = {.row = row};
	call.row.done = row_done;
	catalog_put_partition(server.log, &call.row);
	assert_false(call.done);
	while (!call.done)
		log_server_turn(&server);
	return call.row.err;
}

static void log_start_and_leader_epoch_survive(void **state)
{
	(void)state;
	struct log_uuid id = log_server_create(&server, "t", 2, NULL);
	for (int i = 0; i < 10; i++)
		log_server_append(&server, "t", 1, "x");
	struct catalog_partition_row row = {
	    .topic_id = id,
	    .partition = 1,
	    .log_start = 4,
	    .leader_epoch = 3,
	    .gap = true,
	    .gap_from = 10,
	    .gap_to = 20,
	    .gap_first_sequence = 5,
	    .gap_last_sequence = 9,
	};
	assert_int_equal(put_row(row), ERR_OK);
	for (int crash = 0; crash < 2; crash++) {
		if (crash)
			log_server_crash(&server);
		else
			log_server_restart(&server);
		assert_int_equal(log_server_status(&server, "t", 1).log_start, 4);
		assert_int_equal(log_server_status(&server, "t", 1).leader_epoch, 3);
		assert_int_equal(log_server_status(&server, "t", 0).log_start, 0);
		struct row_name gap = {.kind = ROW_GAP, .id = id, .partition = 1, .from = 10};
		const struct catalog_kept *kept = catalog_kept(server.log->catalog, &gap);
		assert_non_null(kept);
		assert_true(str_equal(
		    bytes_str(kept->value), STR("to=20\nfirst_sequence=5\nlast_sequence=9\n")));
	}
	row.partition = 2;
	assert_int_equal(put_row(row), ERR_UNKNOWN_TOPIC);
	row.partition = 1;
	row.topic_id.b[0] ^= 1;
	assert_int_equal(put_row(row), ERR_UNKNOWN_TOPIC);
	/* a topic made again under this name starts from nothing */
	assert_int_equal(change(LOG_TOPIC_DELETE, "t", 0, NULL), ERR_OK);
	struct row_name name = {.kind = ROW_PARTITION, .id = id, .partition = 1};
	assert_null(catalog_kept(server.log->catalog, &name));
	log_server_create(&server, "t", 2, NULL);
	log_server_restart(&server);
	assert_int_equal(log_server_status(&server, "t", 1).log_start, 0);
	assert_int_equal(log_server_status(&server, "t", 1).leader_epoch, 0);
}

static uint64_t last_sequence(void)
{
	struct log_status status;
	log_status(server.log, &status);
	return status.next_sequence - 1;
}

/* Rows that wait at the same time are one batch; the second of a partition sees what the first left. */
static void rows_that_wait_go_together(void **state)
{
	enum { PARTITIONS = CATALOG_ROWS_MAX + 44, RECORDS = 5 };
	static struct row_call call[PARTITIONS + 2];
	(void)state;
	struct log_uuid id = log_server_create(&server, "t", PARTITIONS, NULL);
	uint64_t before = last_sequence();
	for (int i = 0; i < PARTITIONS + 2; i++) {
		call[i] = (struct row_call){.row = {.topic_id = id,
		                                .partition = i,
		                                .leader_epoch = (uint32_t)i + 1,
		                                .gap = i % 3 == 0,
		                                .gap_from = i,
		                                .gap_to = i + 1,
		                                .done = row_done}};
		if (i >=
		    PARTITIONS) { /* one of the second batch again, lower; one that is not there */
			call[i].row.partition = i == PARTITIONS ? PARTITIONS - 1 : PARTITIONS + 1;
			call[i].row.leader_epoch = 7;
		}
		catalog_put_partition(server.log, &call[i].row);
	}
	for (int i = 0; i < PARTITIONS + 2; i++) {
		while (!call[i].done)
			log_server_turn(&server);
		assert_int_equal(call[i].row.err, i <= PARTITIONS ? ERR_OK : ERR_UNKNOWN_TOPIC);
	}
	assert_int_equal(call[PARTITIONS].row.leader_epoch, PARTITIONS);
	assert_int_equal(last_sequence() - before, 3);
	log_server_crash(&server);
	for (int i = 0; i < PARTITIONS; i++) {
		struct row_name gap = {.kind = ROW_GAP, .id = id, .partition = i, .from = i};
		assert_int_equal(log_server_status(&server, "t", i).leader_epoch, i + 1);
		assert_int_equal(catalog_kept(server.log->catalog, &gap) != NULL, i % 3 == 0);
	}
}

static void a_thousand_random_changes_are_remembered(void **state)
{
	(void)state;
	enum { NAMES = 12 };
	int partitions[NAMES] = {0};
	struct prng prng;
	prng_init(&prng, test_seed(11));
	for (int step = 0; step < 1000; step++) {
		char name[8];
		size_t n = prng_below(&prng, NAMES);
		snprintf(name, sizeof(name), "t%zu", n);
		enum log_topic_op op = (enum log_topic_op)prng_below(&prng, 3);
		int count = 1 + (int)prng_below(&prng, 4);
		enum err err = change(op, name, count, NULL);
		if (op == LOG_TOPIC_CREATE && partitions[n] == 0)
			partitions[n] = err == ERR_OK ? count : -1;
		else if (op == LOG_TOPIC_DELETE && partitions[n] > 0)
			partitions[n] = err == ERR_OK ? 0 : -1;
		else if (op == LOG_TOPIC_ADD_PARTITIONS && partitions[n] > 0 &&
		         count > partitions[n])
			partitions[n] = err == ERR_OK ? count : -1;
		else
			assert_int_not_equal(err, ERR_OK);
		assert_int_not_equal(partitions[n], -1);
		if (partitions[n] > 0 && prng_below(&prng, 4) == 0)
			log_server_append(&server, name, partitions[n] - 1, name);
		if (prng_below(&prng, 100) == 0)
			log_server_restart(&server);
		else if (prng_below(&prng, 100) == 0)
			log_server_crash(&server);
	}
	log_server_restart(&server);
	for (size_t n = 0; n < NAMES; n++) {
		char name[8];
		snprintf(name, sizeof(name), "t%zu", n);
		const struct log_topic *t = log_server_topic(&server, name);
		assert_int_equal(t ? t->partition_count : 0, partitions[n]);
	}
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_new_log_has_only_its_catalog),
	    TEST(a_topics_life),
	    TEST(a_topics_life_survives_a_restart_after_each_step),
	    TEST(a_topics_life_survives_a_crash_after_each_step),
	    TEST(the_text_of_rows_is_in_the_catalogs_topic),
	    TEST(wrong_changes_are_refused_with_their_reason),
	    TEST(other_names_with_underscores_are_anybodys),
	    TEST(a_name_of_249_characters_is_the_longest),
	    TEST(requests_are_made_one_after_the_other),
	    TEST(what_is_queued_at_the_stop_is_answered),
	    TEST(validate_only_changes_nothing),
	    TEST(topics_are_listed_by_name),
	    TEST(defaults_of_the_server_hold_for_topics_that_do_not_say),
	    TEST(appends_to_a_deleted_topic_end),
	    TEST(log_start_and_leader_epoch_survive),
	    TEST(rows_that_wait_go_together),
	    TEST(a_thousand_random_changes_are_remembered),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
