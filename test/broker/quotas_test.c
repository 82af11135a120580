/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas: which one holds for a client, how buckets fill, and over loopback what a client over its
 * quota is told and that nothing is read from it in the meantime. The test client is User:ANONYMOUS
 * with the client id "test".
 */
#include "broker/quotas/quotas.h"
#include "test/lib/kafka_pair.h"
#include "test/lib/patience.h"
#include "test/lib/log_server.h"
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- requests -------------------------------------------------------------------------------- */

#define DEFAULT_NAME "<default>" /* of an entity */
#define PRODUCER     "producer_byte_rate"
#define CONSUMER     "consumer_byte_rate"

static struct str name_of(const char *name)
{
	return strcmp(name, DEFAULT_NAME) == 0 ? (struct str){NULL, 0} : str_of(name);
}

/* NULL: without that half. value 0: remove. */
static const struct alter_client_quotas_response_entry *alter(
    const char *user, const char *client, const char *key, double value, bool validate_only)
{
	struct alter_client_quotas_request_entity who[2];
	struct alter_client_quotas_request_op op = {
	    .key = str_of(key), .value = value, .remove = value == 0};
	struct alter_client_quotas_request_entry entry = {.entity = {who, 0}, .ops = {&op, 1}};
	struct alter_client_quotas_request body = {
	    .entries = {&entry, 1}, .validate_only = validate_only};
	if (user)
		who[entry.entity.count++] =
		    (struct alter_client_quotas_request_entity){STR("user"), name_of(user)};
	if (client)
		who[entry.entity.count++] =
		    (struct alter_client_quotas_request_entity){STR("client-id"), name_of(client)};
	const struct alter_client_quotas_response *r =
	    kafka_call(&c, API_ALTER_CLIENT_QUOTAS, 1, &body);
	assert_int_equal(r->entries.count, 1);
	return &r->entries.at[0];
}

static void set(const char *user, const char *client, const char *key, double value)
{
	const struct alter_client_quotas_response_entry *e = alter(user, client, key, value, false);
	if (e->error_code != 0)
		fail_msg("%d " STR_FMT, e->error_code, STR_ARG(e->error_message));
}

#define CONNECT "connection_creation_rate"
/* user NULL: the address alone, as it has to be. */
static const struct alter_client_quotas_response_entry *alter_ip(
    const char *address, const char *user, const char *key, double value)
{
	struct alter_client_quotas_request_entity who[2] = {{STR("ip"), name_of(address)},
	    {STR("user"), user ? str_of(user) : (struct str){NULL, 0}}};
	struct alter_client_quotas_request_op op = {
	    .key = str_of(key), .value = value, .remove = value == 0};
	struct alter_client_quotas_request_entry entry = {
	    .entity = {who, user ? 2 : 1}, .ops = {&op, 1}};
	struct alter_client_quotas_request body = {.entries = {&entry, 1}};
	const struct alter_client_quotas_response *r =
	    kafka_call(&c, API_ALTER_CLIENT_QUOTAS, 1, &body);
	return &r->entries.at[0];
}

struct component {
	const char *type;
	int8_t match;
	const char *name;
};
static const struct describe_client_quotas_response *describe(
    const struct component *parts, uint32_t count, bool strict)
{
	struct describe_client_quotas_request_component at[3];
	struct describe_client_quotas_request body = {.components = {at, count}, .strict = strict};
	for (uint32_t i = 0; i < count; i++)
		at[i] = (struct describe_client_quotas_request_component){str_of(parts[i].type),
		    parts[i].match, parts[i].name ? str_of(parts[i].name) : (struct str){NULL, 0}};
	return kafka_call(&c, API_DESCRIBE_CLIENT_QUOTAS, 1, &body);
}

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * S_NS + ts.tv_nsec;
}

static int64_t elapsed_ms(int64_t since_ns)
{
	return (now_ns() - since_ns) / MS_NS;
}

/* ---- the table ------------------------------------------------------------------------------- */

static void what_is_set_is_described_and_survives(void **state)
{
	(void)state;
	set("ann", NULL, PRODUCER, 1000);
	set("ann", NULL, CONSUMER, 2000.5);
	set("ann", "app", CONSUMER, 3000);
	set(NULL, DEFAULT_NAME, PRODUCER, 4000);
	kafka_disconnect(&c);
	kafka_server_stop(&server);
	kafka_server_start(&server, "uring", NULL);
	kafka_connect(&c, &server);
	const struct describe_client_quotas_response *r = describe(NULL, 0, false);
	assert_int_equal(r->entries.count, 3);
	r = describe(&(struct component){"user", 0, "ann"}, 1, true);
	assert_int_equal(r->entries.count, 1);
	assert_int_equal(r->entries.at[0].entity.count, 1);
	assert_true(str_equal(r->entries.at[0].entity.at[0].entity_name, STR("ann")));
	assert_int_equal(r->entries.at[0].values.count, 2);
	assert_true(r->entries.at[0].values.at[0].value == 1000);
	assert_true(r->entries.at[0].values.at[1].value == 2000.5);
	assert_int_equal(
	    describe(&(struct component){"user", 0, "ann"}, 1, false)->entries.count, 2);
	assert_int_equal(
	    describe(&(struct component){"user", 2, NULL}, 1, false)->entries.count, 2);
	r = describe(&(struct component){"client-id", 1, NULL}, 1, false);
	assert_int_equal(r->entries.count, 1);
	assert_null(r->entries.at[0].entity.at[0].entity_name.ptr);
	assert_int_equal(describe(&(struct component){"ip", 2, NULL}, 1, false)->entries.count, 0);
	set("ann", NULL, PRODUCER, 0);
	set("ann", NULL, CONSUMER, 0);
	set("ann", NULL, CONSUMER, 0); /* once more: nothing there */
	assert_int_equal(
	    describe(&(struct component){"user", 0, "ann"}, 1, true)->entries.count, 0);
}

static void what_does_not_exist_is_refused(void **state)
{
	(void)state;
	assert_int_equal(alter("ann", NULL, "requests_per_hour", 50, false)->error_code, 42);
	assert_int_equal(alter("ann", NULL, "request_percentage", 0.001, false)->error_code, 42);
	assert_int_equal(alter("ann", NULL, PRODUCER, -1, false)->error_code, 42);
	assert_int_equal(alter("ann", NULL, PRODUCER, 0.5, false)->error_code, 42);
	assert_int_equal(alter("", NULL, PRODUCER, 5, false)->error_code, 42);
	assert_int_equal(alter(NULL, NULL, PRODUCER, 5, false)->error_code, 42);
	assert_int_equal(alter("ann", NULL, PRODUCER, 5, true)->error_code, 0);
	assert_int_equal(describe(NULL, 0, false)->entries.count, 0);
	assert_int_equal(describe(&(struct component){"group", 2, NULL}, 1, false)->error_code, 35);
	assert_int_equal(describe(&(struct component){"user", 7, NULL}, 1, false)->error_code, 42);
	assert_int_equal(describe(&(struct component){"user", 0, NULL}, 1, false)->error_code, 42);
	const struct component twice[] = {{"user", 2, NULL}, {"user", 1, NULL}};
	assert_int_equal(describe(twice, 2, false)->error_code, 42);
	assert_int_equal(alter("ann", NULL, CONNECT, 5, false)->error_code, 42);
	assert_int_equal(alter_ip("10.0.0.1", NULL, PRODUCER, 5)->error_code, 42);
	assert_int_equal(alter_ip("10.0.0.1", "ann", CONNECT, 5)->error_code, 42);
	assert_int_equal(alter_ip("10.0.0.256", NULL, CONNECT, 5)->error_code, 42);
	assert_int_equal(alter_ip("*", NULL, CONNECT, 5)->error_code, 42);
	assert_int_equal(alter_ip("10.0.0.1", NULL, CONNECT, 0.5)->error_code, 42);
	const struct component both[] = {{"ip", 2, NULL}, {"user", 2, NULL}};
	assert_int_equal(describe(both, 2, false)->error_code, 42);
	assert_int_equal(describe(NULL, 0, false)->entries.count, 0);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void quotas_of_addresses_are_described_and_survive(void **state)
{
	(void)state;
	assert_int_equal(alter_ip("0:0:0:0:0:0:0:1", NULL, CONNECT, 7)->error_code, 0);
	assert_int_equal(alter_ip("10.0.0.1", NULL, CONNECT, 8)->error_code, 0);
	assert_int_equal(alter_ip(DEFAULT_NAME, NULL, CONNECT, 9)->error_code, 0);
	set("10.0.0.1", NULL, PRODUCER, 1000); /* a user who is called so */
	kafka_disconnect(&c);
	kafka_server_stop(&server);
	kafka_server_start(&server, "uring", NULL);
	kafka_connect(&c, &server);
	assert_int_equal(describe(NULL, 0, false)->entries.count, 4);
	assert_int_equal(describe(NULL, 0, true)->entries.count, 0);
	assert_int_equal(describe(&(struct component){"ip", 2, NULL}, 1, false)->entries.count, 3);
	assert_int_equal(
	    describe(&(struct component){"user", 2, NULL}, 1, false)->entries.count, 1);
	const struct describe_client_quotas_response *r =
	    describe(&(struct component){"ip", 0, "::1"}, 1, true);
	assert_int_equal(r->entries.count, 1);
	assert_true(str_equal(r->entries.at[0].entity.at[0].entity_type, STR("ip")));
	assert_true(str_equal(r->entries.at[0].entity.at[0].entity_name, STR("::1")));
	assert_true(str_equal(r->entries.at[0].values.at[0].key, STR(CONNECT)));
	assert_true(r->entries.at[0].values.at[0].value == 7);
	r = describe(&(struct component){"ip", 1, NULL}, 1, false);
	assert_int_equal(r->entries.count, 1);
	assert_null(r->entries.at[0].entity.at[0].entity_name.ptr);
	assert_int_equal(alter_ip("::1", NULL, CONNECT, 0)->error_code, 0);
	assert_int_equal(describe(&(struct component){"ip", 2, NULL}, 1, false)->entries.count, 2);
}

/* Whether it was served, then closed or not; the time of its answer goes to *ret_ns. */
static bool is_served(struct kafka_client *client, int64_t *ret_ns)
{
	uint8_t byte;
	assert_true(kafka_readable(client, PATIENCE_MS));
	*ret_ns = now_ns();
	return recv(client->fd, &byte, 1, MSG_PEEK) > 0;
}

/*
 * Six come at once where two may: the next waits its half second, what would wait for longer than
 * a second is closed. False when the server has not seen them at once: then more are served, yet
 * none too early.
 */
static bool connect_six(void)
{
	enum { COUNT = 6 };
	struct kafka_client many[COUNT];
	struct api_versions_request hello = {STR("t"), STR("1")};
	int64_t begin = now_ns(), at;
	int served = 0;
	for (int i = 0; i < COUNT; i++)
		kafka_connect(&many[i], &server);
	for (int i = 0; i < COUNT; i++)
		kafka_send(&many[i], API_API_VERSIONS, 3, &hello);
	for (int i = 0; i < COUNT; i++) {
		if (!is_served(&many[i], &at))
			continue;
		assert_true(served == i || served >= 4); /* those who came first */
		assert_true((at - begin) / MS_NS >= (served < 2 ? 0 : (served - 1) * 450));
		served++;
	}
	assert_true(served >= 4);
	for (int i = 0; i < COUNT; i++)
		kafka_disconnect(&many[i]);
	return served == 4;
}

static void six_are_four(void)
{
	int tries = 10;
	while (!connect_six()) {
		assert_true(--tries > 0);
		usleep(2500000); /* the bucket is full again */
	}
}

static void an_address_connects_at_the_rate_of_its_quota(void **state)
{
	(void)state;
	assert_int_equal(alter_ip("127.0.0.2", NULL, CONNECT, 1)->error_code, 0);
	assert_int_equal(alter_ip("127.0.0.1", NULL, CONNECT, 2)->error_code, 0);
	six_are_four();
	assert_int_equal(alter_ip("127.0.0.1", NULL, CONNECT, 0)->error_code, 0);
	assert_int_equal(alter_ip(DEFAULT_NAME, NULL, CONNECT, 2)->error_code, 0);
	usleep(2500000);
	six_are_four();
	assert_int_equal(alter_ip("127.0.0.1", NULL, CONNECT, 1000)->error_code, 0);
	struct kafka_client other[20];
	struct api_versions_request hello = {STR("t"), STR("1")};
	for (int i = 0; i < 20; i++) {
		kafka_connect(&other[i], &server);
		kafka_call(&other[i], API_API_VERSIONS, 3, &hello);
		kafka_disconnect(&other[i]);
	}
}

/* More than there may be, then out again: a full table takes removals and changes. */
static void a_full_table_takes_removals(void **state)
{
	enum { COUNT = QUOTAS_MAX + 1 };
	struct alter_client_quotas_request_op op = {.key = STR(PRODUCER), .value = 5};
	struct alter_client_quotas_request_entity *who = mem_calloc(COUNT, sizeof(*who));
	struct alter_client_quotas_request_entry *entry = mem_calloc(COUNT, sizeof(*entry));
	char(*name)[16] = mem_calloc(COUNT, sizeof(*name));
	(void)state;
	for (uint32_t i = 0; i < COUNT; i++) {
		snprintf(name[i], sizeof(name[i]), "u%u", i);
		who[i] = (struct alter_client_quotas_request_entity){STR("user"), str_of(name[i])};
		entry[i].entity.at = &who[i];
		entry[i].ops.at = &op;
		entry[i].entity.count = entry[i].ops.count = 1;
	}
	struct alter_client_quotas_request body = {.entries = {entry, COUNT}};
	const struct alter_client_quotas_response *r =
	    kafka_call(&c, API_ALTER_CLIENT_QUOTAS, 1, &body);
	assert_int_equal(r->entries.at[QUOTAS_MAX - 1].error_code, 0);
	assert_true(r->entries.at[QUOTAS_MAX].error_code != 0);
	set("u7", NULL, PRODUCER, 6);
	set("u7", NULL, PRODUCER, 0);
	set("fresh", NULL, CONSUMER, 6);
	assert_true(alter("one more", NULL, CONSUMER, 6, false)->error_code != 0);
	/* an entry is taken whole or not at all */
	struct alter_client_quotas_request_op two[] = {
	    {STR(PRODUCER), 9, false}, {STR("nonsense"), 9, false}};
	struct alter_client_quotas_request_entry half = {{&who[8], 1}, {two, 2}};
	struct alter_client_quotas_request one = {.entries = {&half, 1}};
	r = kafka_call(&c, API_ALTER_CLIENT_QUOTAS, 1, &one);
	assert_int_equal(r->entries.at[0].error_code, 42);
	assert_true(describe(&(struct component){"user", 0, "u8"}, 1, true)
	                ->entries.at[0]
	                .values.at[0]
	                .value == 5);
	mem_free(name);
	mem_free(entry);
	mem_free(who);
}

/* ---- which one holds, and buckets ------------------------------------------------------------ */

static struct log_server log_server;
static struct quotas *quotas;

static int quotas_start(void **state)
{
	(void)state;
	log_server_init(&log_server);
	assert_int_equal(quotas_open(log_server.log, &quotas), ERR_OK);
	return 0;
}

static int quotas_stop(void **state)
{
	(void)state;
	quotas_close(quotas);
	log_server_release(&log_server);
	return 0;
}

static struct quota_entity entity(const char *user, const char *client)
{
	struct quota_entity who = {0};
	if (user)
		who = (struct quota_entity){
		    *user ? QUOTA_NAMED : QUOTA_DEFAULT, QUOTA_ABSENT, str_of(user), {0}};
	if (client) {
		who.client_is = *client ? QUOTA_NAMED : QUOTA_DEFAULT;
		who.client = str_of(client);
	}
	return who;
}

/* "" is the default. */
static void put(const char *user, const char *client, double rate)
{
	struct quota_entity who = entity(user, client);
	struct writer key, value;
	writer_init(&key, KIB);
	writer_init(&value, KIB);
	quota_row_key(&key, QUOTA_PRODUCE, &who);
	quota_row_value(&value, rate);
	struct log_row row = {.key = writer_bytes(&key), .value = writer_bytes(&value)};
	if (rate == 0)
		row.value = (struct bytes){NULL, 0};
	assert_int_equal(log_table_put_wait(quotas->table, 0, &row, 1), ERR_OK);
	writer_release(&key);
	writer_release(&value);
}

static double rate_of(const char *user, const char *client)
{
	return quota_of(quotas, QUOTA_PRODUCE, str_of(user), str_of(client))->rate[QUOTA_PRODUCE];
}

static void the_most_specific_one_holds(void **state)
{
	static const char *const at[][2] = {{NULL, ""}, {NULL, "app"}, {"", NULL}, {"", ""},
	    {"", "app"}, {"ann", NULL}, {"ann", ""}, {"ann", "app"}};
	(void)state;
	for (int i = 0; i < 8; i++) {
		put(at[i][0], at[i][1], 8 - i);
		assert_true(rate_of("ann", "app") == 8 - i);
		assert_null(quota_of(quotas, QUOTA_FETCH, STR("ann"), STR("app")));
	}
	assert_true(rate_of("ann", "x") == 2);
	assert_true(rate_of("bob", "app") == 4);
	assert_true(rate_of("bob", "") == 5);
	put("ann", "app", 0);
	assert_true(rate_of("ann", "app") == 2);
}

static int64_t charge(const char *user, const char *client, size_t len, int64_t t)
{
	return quota_charge(quotas, QUOTA_PRODUCE, str_of(user), str_of(client), (double)len, t);
}

static void buckets_fill_with_time_and_are_shared(void **state)
{
	int64_t t = S_NS;
	(void)state;
	put(NULL, "", 1000);
	assert_int_equal(charge("u", "a", 10000, t), 0);
	assert_in_range(charge("u", "a", 500, t), 500 * MS_NS, 501 * MS_NS);
	assert_in_range(charge("v", "a", 500, t), S_NS, S_NS + MS_NS); /* the same bucket */
	assert_int_equal(charge("u", "b", 10000, t), 0);               /* another client */
	t += 20 * S_NS;                                                /* full again, not fuller */
	assert_int_equal(charge("u", "a", 10000, t), 0);
	assert_true(charge("u", "a", 100, t) > 0);
	assert_int_equal(quota_charge(quotas, QUOTA_FETCH, STR("u"), STR("a"), 1 << 30, t), 0);
	assert_int_equal(charge("u", "a", 1000000000, t), QUOTA_WAIT_MAX_NS);
}

static size_t room(int64_t t, int64_t *ret_wait_ns)
{
	return quota_room(quotas, QUOTA_PRODUCE, STR("u"), STR("a"), t, ret_wait_ns);
}

static void room_is_what_may_come_now(void **state)
{
	int64_t t = S_NS, wait_ns = -1;
	(void)state;
	assert_true(room(t, &wait_ns) == SIZE_MAX);
	put(NULL, "", 1000);
	assert_int_equal(room(t, &wait_ns), 10000);
	(void)charge("u", "a", 9999, t);
	assert_int_equal(room(t, &wait_ns), 1);
	assert_int_equal(wait_ns, -1); /* untouched */
	(void)charge("u", "a", 2001, t);
	assert_int_equal(room(t, &wait_ns), 0);
	assert_in_range(wait_ns, 2000 * MS_NS, 2002 * MS_NS); /* until there is one again */
	assert_int_equal(room(t + wait_ns, &wait_ns), 1);
	put(NULL, "", 1e300);
	assert_true(room(t + 100 * S_NS, &wait_ns) == SIZE_MAX);
}

/* Many connect again and again instead of waiting: what they leave is paid, or forgotten. */
static void what_is_owed_is_forgotten_after_two_windows(void **state)
{
	int64_t t = QUOTA_WINDOW_NS, wait_ns = 0;
	(void)state;
	put(NULL, "", 1000);
	for (int i = 0; i < 100; i++)
		(void)charge("u", "a", 1000000, t);
	assert_in_range(
	    charge("u", "a", 0, t + QUOTA_WINDOW_NS), QUOTA_WAIT_MAX_NS, QUOTA_WAIT_MAX_NS);
	assert_int_equal(charge("u", "a", 0, t + 2 * QUOTA_WINDOW_NS), 0);
	/* the same over ten windows: it is never more than came in two of them */
	for (int i = 3; i < 13; i++)
		wait_ns = charge("u", "a", 100000, t + i * QUOTA_WINDOW_NS);
	assert_in_range(wait_ns, 100 * S_NS, 201 * S_NS);
}

static void very_many_clients_share_what_buckets_there_are(void **state)
{
	int64_t t = S_NS;
	char name[16];
	(void)state;
	put(NULL, "", 1000);
	for (int i = 0; i < QUOTA_BUCKETS_MAX + 100; i++) {
		snprintf(name, sizeof(name), "c%d", i);
		(void)charge("u", name, 600, t);
	}
	assert_in_range(quotas->buckets.count, QUOTA_BUCKETS_MAX, QUOTA_BUCKETS_MAX + 1);
	assert_true(charge("u", "fresh", 1, t) > 0);
	t += S_NS; /* the full ones make room */
	assert_int_equal(charge("u", "fresh too", 10000, t), 0);
	assert_in_range(quotas->buckets.count, 1, 2);
	put(NULL, "", 0);
	assert_int_equal(quotas->buckets.count, 0);
	assert_int_equal(charge("u", "fresh too", 1000, t), 0);
}

/* ---- over the wire --------------------------------------------------------------------------- */

static const struct produce_response *produce_bulk(size_t total)
{
	struct produce_request_partition p = {0, kafka_bulk(&c, 1000, total)};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	struct produce_request body = {.acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
	return kafka_call(&c, API_PRODUCE, 9, &body);
}

static void a_producer_over_its_quota_is_told_and_rests(void **state)
{
	struct kafka_client other;
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	set(NULL, "test", PRODUCER, 10000);
	int64_t begin = now_ns();
	const struct produce_response *r = produce_bulk(50000);
	assert_int_equal(r->throttle_time_ms, 0);
	int64_t since = now_ns();
	r = produce_bulk(100000);
	assert_int_equal(
	    r->responses.at[0].partition_responses.at[0].error_code, 0); /* it is stored */
	/* five seconds' worth over what may come at once, but for what time has filled up */
	assert_in_range(r->throttle_time_ms, 5000 - elapsed_ms(begin), 5300);
	int32_t told_ms = r->throttle_time_ms;
	kafka_connect(&other, &server); /* another connection is served: it only produces no more */
	(void)kafka_topic_id(&other, "t");
	assert_true(elapsed_ms(since) < told_ms);
	kafka_disconnect(&other);
	(void)kafka_topic_id(&c, "t");
	assert_true(elapsed_ms(since) >= told_ms - 100);
}

static const struct fetch_response *fetch_as(struct kafka_client *client, struct fetch_request ask)
{
	struct fetch_request_partition p;
	struct fetch_request_topic t = {.topic = STR("t"), .partitions = {&p, 1}};
	struct fetch_request body;
	msg_init(&fetch_request_partition_shape, &p);
	msg_init(&fetch_request_shape, &body);
	p.partition_max_bytes = body.max_bytes = 4 * (int32_t)MIB;
	body.min_bytes = 1;
	body.max_wait_ms = ask.max_wait_ms;
	body.session_id = ask.session_id;
	body.session_epoch = ask.session_epoch;
	body.topics.at = &t;
	body.topics.count = ask.session_epoch <= 0;
	return kafka_call(client, API_FETCH, 11, &body);
}
static const struct fetch_request no_session = {.session_epoch = -1};

static size_t bytes_in(const struct fetch_response *r)
{
	size_t sum = 0;
	assert_int_equal(r->error_code, 0);
	for (uint32_t i = 0; i < r->responses.count; i++) {
		const struct fetch_response_partition *p = &r->responses.at[i].partitions.at[0];
		for (uint32_t k = 0; k < p->records.count; k++)
			sum += p->records.at[k].len;
	}
	return sum;
}

static void a_consumer_over_its_quota_is_told_and_rests(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	produce_bulk(550000);
	set("ANONYMOUS", NULL, CONSUMER, 50000);
	int64_t since = now_ns();
	const struct fetch_response *r = fetch_as(&c, no_session);
	assert_in_range(r->throttle_time_ms, 900, 1200);
	assert_true(bytes_in(r) > 0);
	int32_t told_ms = r->throttle_time_ms;
	(void)kafka_topic_id(&c, "t");
	assert_true(elapsed_ms(since) >= told_ms - 100);
}

/* What a fetch brings is bounded by what may come at once, though it asks for all. */
static void one_fetch_brings_no_more_than_the_quota_allows(void **state)
{
	enum { BATCH = 4000, COUNT = 40 };
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	for (int i = 0; i < COUNT; i++)
		produce_bulk(BATCH);
	assert_true(bytes_in(fetch_as(&c, no_session)) > BATCH * COUNT);
	set("ANONYMOUS", NULL, CONSUMER, 1000);
	int64_t since = now_ns();
	const struct fetch_response *r = fetch_as(&c, no_session);
	assert_in_range(bytes_in(r), 2 * BATCH, 10000);
	assert_int_equal(r->throttle_time_ms, 0);
	/* what is left of the allowance is less than a batch, which comes whole */
	r = fetch_as(&c, no_session);
	assert_in_range(bytes_in(r), BATCH, BATCH + 1000);
	assert_in_range(r->throttle_time_ms, elapsed_ms(since) < 2000, 3000);
}

/* Who connects again instead of waiting gets nothing, and makes it no longer for the others. */
static void a_consumer_that_owes_gets_nothing_and_owes_no_more(void **state)
{
	enum { TIMES = 20 };
	struct kafka_client again[TIMES];
	int32_t first_ms, told_ms = 0;
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	produce_bulk(900000);
	for (int i = 0; i < TIMES; i++)
		kafka_connect(&again[i], &server);
	set("ANONYMOUS", NULL, CONSUMER, 1000);
	first_ms = fetch_as(&c, no_session)->throttle_time_ms;
	assert_in_range(first_ms, 880000, 900000);
	for (int i = 0; i < TIMES; i++) {
		/* a long poll does not wait for data that it does not get */
		struct fetch_request ask = no_session;
		ask.max_wait_ms = i % 2 ? 10 * PATIENCE_MS : 0;
		const struct fetch_response *r = fetch_as(&again[i], ask);
		assert_int_equal(r->responses.count, 0);
		assert_int_equal(bytes_in(r), 0);
		assert_in_range(r->throttle_time_ms, 1, first_ms + 1);
		assert_true(told_ms == 0 || r->throttle_time_ms <= told_ms);
		told_ms = r->throttle_time_ms;
	}
	for (int i = 0; i < TIMES; i++)
		kafka_disconnect(&again[i]);
}

/* Two wait for the same record, which costs more than the quota allows at once: one gets it. */
static void of_several_that_wait_one_gets_what_the_quota_allows(void **state)
{
	struct fetch_request_partition p;
	struct fetch_request_topic t = {.topic = STR("t"), .partitions = {&p, 1}};
	struct fetch_request body;
	struct kafka_client two[2];
	int with_data = 0;
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	set("ANONYMOUS", NULL, CONSUMER, 1000);
	msg_init(&fetch_request_partition_shape, &p);
	msg_init(&fetch_request_shape, &body);
	p.partition_max_bytes = body.max_bytes = (int32_t)MIB;
	body.session_epoch = -1;
	body.min_bytes = 1;
	body.max_wait_ms = 10 * PATIENCE_MS;
	body.topics.at = &t;
	body.topics.count = 1;
	for (int i = 0; i < 2; i++) {
		kafka_connect(&two[i], &server);
		kafka_send(&two[i], API_FETCH, 11, &body);
	}
	usleep(200000); /* mostly they wait by then; if not they are answered alike */
	produce_bulk(50000);
	for (int i = 0; i < 2; i++) {
		const struct fetch_response *r = kafka_receive(&two[i], API_FETCH, 11);
		with_data += bytes_in(r) > 0;
		assert_in_range(r->throttle_time_ms, 1, 41000);
	}
	assert_int_equal(with_data, 1);
	for (int i = 0; i < 2; i++)
		kafka_disconnect(&two[i]);
}

/* Over a connection of its own, which may rest for as long as it is told. */
static struct fetch_response fetch_alone(struct fetch_request ask, size_t *ret_bytes)
{
	struct kafka_client own;
	kafka_connect(&own, &server);
	struct fetch_response r = *fetch_as(&own, ask);
	*ret_bytes = bytes_in(&r);
	kafka_disconnect(&own);
	return r;
}

static void a_session_outlives_a_fetch_that_owed(void **state)
{
	size_t len;
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	int32_t id = fetch_as(&c, (struct fetch_request){0})->session_id;
	assert_true(id > 0);
	produce_bulk(500000);
	set("ANONYMOUS", NULL, CONSUMER, 1000);
	struct fetch_response r = fetch_alone(no_session, &len);
	assert_true(len > 0 && r.throttle_time_ms > 0);
	struct fetch_request next = {.session_id = id, .session_epoch = 1};
	r = fetch_alone(next, &len);
	assert_true(r.throttle_time_ms > 0);
	assert_int_equal(r.session_id, id);
	assert_int_equal(r.responses.count, 0);
	/* one that would be made by a fetch that owes is not: its client could not use it */
	uint64_t before = metric_value(METRIC_FETCH_SESSIONS);
	r = fetch_alone((struct fetch_request){0}, &len);
	assert_true(r.throttle_time_ms > 0);
	assert_int_equal(r.session_id, 0);
	assert_int_equal(r.responses.count, 0);
	assert_int_equal(metric_value(METRIC_FETCH_SESSIONS), before);
	set("ANONYMOUS", NULL, CONSUMER, 0);
	next.session_epoch = 2;
	r = fetch_alone(next, &len);
	assert_true(len > 0);
	assert_int_equal(r.session_id, id);
}

static int32_t metadata_throttle(void)
{
	struct metadata_request body;
	msg_init(&metadata_request_shape, &body);
	return ((const struct metadata_response *)kafka_call(&c, API_METADATA, 9, &body))
	    ->throttle_time_ms;
}

/* 0.01 % is 0.1 ms in a second, which a hundred requests about 3,000 partitions are over. */
static void a_client_over_its_share_of_the_loop_is_told_and_rests(void **state)
{
	int32_t told_ms = 0;
	int64_t since = 0;
	(void)state;
	kafka_create(&c, "t", 3000, NULL);
	assert_int_equal(metadata_throttle(), 0);
	set(NULL, "test", "request_percentage", 0.01);
	for (int i = 0; i < 1000 && told_ms == 0; i++) {
		since = now_ns();
		told_ms = metadata_throttle();
	}
	assert_in_range(told_ms, 1, 1000);
	(void)metadata_throttle();
	assert_true(elapsed_ms(since) >= told_ms - 100);
	set(NULL, "test", "request_percentage", 0);
	assert_int_equal(metadata_throttle(), 0);
}

static const struct create_topics_response *create(
    struct kafka_client *client, const char *name, int32_t partitions, int16_t version)
{
	struct create_topics_request_topic t;
	struct create_topics_request body;
	msg_init(&create_topics_request_topic_shape, &t);
	msg_init(&create_topics_request_shape, &body);
	t.name = str_of(name);
	t.num_partitions = partitions;
	t.replication_factor = 1;
	body.topics.at = &t;
	body.topics.count = 1;
	return kafka_call(client, API_CREATE_TOPICS, version, &body);
}

static void topics_are_made_and_deleted_at_the_rate_of_the_quota(void **state)
{
	struct kafka_client other;
	(void)state;
	kafka_connect(&other, &server);
	set(NULL, "test", "controller_mutation_rate", 10);
	/* 110 may come at once; what was let in is done whole */
	int64_t begin = now_ns();
	const struct create_topics_response *r = create(&c, "a", 160, 7);
	assert_int_equal(r->topics.at[0].error_code, 0);
	assert_in_range(r->throttle_time_ms, 4999 - elapsed_ms(begin), 5001);
	r = create(&other, "b", 1, 7);
	assert_int_equal(r->topics.at[0].error_code, 89);
	assert_in_range(r->throttle_time_ms, 1, 5001);
	r = create(&other, "b", 1, 7); /* its connection has rested meanwhile */
	assert_int_equal(r->topics.at[0].error_code, 0);
	/* older clients do not know the error */
	struct str name = STR("a");
	struct delete_topics_request body = {.topic_names = {&name, 1}, .timeout_ms = 1000};
	const struct delete_topics_response *d = kafka_call(&c, API_DELETE_TOPICS, 4, &body);
	assert_int_equal(d->responses.at[0].error_code, 0);
	assert_true(d->throttle_time_ms > 5000);
	kafka_disconnect(&other);
}

static void a_resting_client_that_leaves_is_forgotten(void **state)
{
	(void)state;
	kafka_create(&c, "t", 1, NULL);
	set(NULL, DEFAULT_NAME, PRODUCER, 1);
	assert_true(produce_bulk(5000)->throttle_time_ms > 1000000);
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(describe(NULL, 0, false)->entries.count, 1);
}

static void features_stay_at_their_level(void **state)
{
	struct update_features_request_update u = {
	    .feature = STR("group.version"), .max_version_level = 1, .upgrade_type = 1};
	struct update_features_request body = {.feature_updates = {&u, 1}};
	(void)state;
	for (int16_t v = 0; v <= 2; v++) {
		u.max_version_level = 1;
		const struct update_features_response *r =
		    kafka_call(&c, API_UPDATE_FEATURES, v, &body);
		assert_int_equal(r->error_code, 0);
		assert_int_equal(r->results.count, v < 2);
		u.max_version_level = 0;
		r = kafka_call(&c, API_UPDATE_FEATURES, v, &body);
		assert_int_equal(r->error_code, 95);
		assert_int_equal(r->results.count, 0);
	}
	u.feature = STR("no.such");
	const struct update_features_response *r = kafka_call(&c, API_UPDATE_FEATURES, 2, &body);
	assert_int_equal(r->error_code, 95);
}

#define EACH(fn) cmocka_unit_test_setup_teardown(fn, pair_start, pair_stop)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (what_is_set_is_described_and_survives),
	    EACH (what_does_not_exist_is_refused),
	    EACH (quotas_of_addresses_are_described_and_survive),
	    EACH (an_address_connects_at_the_rate_of_its_quota),
	    EACH (a_full_table_takes_removals),
	    cmocka_unit_test_setup_teardown(the_most_specific_one_holds, quotas_start, quotas_stop),
	    cmocka_unit_test_setup_teardown(
	        buckets_fill_with_time_and_are_shared, quotas_start, quotas_stop),
	    cmocka_unit_test_setup_teardown(room_is_what_may_come_now, quotas_start, quotas_stop),
	    cmocka_unit_test_setup_teardown(
	        what_is_owed_is_forgotten_after_two_windows, quotas_start, quotas_stop),
	    cmocka_unit_test_setup_teardown(
	        very_many_clients_share_what_buckets_there_are, quotas_start, quotas_stop),
	    EACH (a_producer_over_its_quota_is_told_and_rests),
	    EACH (a_consumer_over_its_quota_is_told_and_rests),
	    EACH (one_fetch_brings_no_more_than_the_quota_allows),
	    EACH (a_consumer_that_owes_gets_nothing_and_owes_no_more),
	    EACH (of_several_that_wait_one_gets_what_the_quota_allows),
	    EACH (a_session_outlives_a_fetch_that_owed),
	    EACH (a_client_over_its_share_of_the_loop_is_told_and_rests),
	    EACH (topics_are_made_and_deleted_at_the_rate_of_the_quota),
	    EACH (a_resting_client_that_leaves_is_forgotten),
	    EACH (features_stay_at_their_level),
	};
	return cmocka_run_group_tests_name("quotas", tests, NULL, NULL);
}
