/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server under random requests of every api and version, whole, cut and bent: each connection
 * gets an answer or is closed, and the server goes on serving (I8). Run under CONFIG=asan for what
 * a plain build does not show.
 */
#include "test/lib/kafka_calls.h"
#include "test/lib/kafka_random.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include "broker/kafka/request.h"
#include <sys/socket.h>

static struct kafka_server server;
static struct prng rng;
static const char *backend = "uring";
static const struct broker_listener closed_door = {.protocol = BROKER_SASL_PLAINTEXT};

static int start(void **state)
{
	(void)state;
	kafka_server_start(&server, backend, NULL);
	return 0;
}

static int start_closed(void **state)
{
	(void)state;
	kafka_server_start(&server, backend,
	    &(struct broker_options){.listeners = &closed_door,
	        .listener_count = 1,
	        .sasl = {.plain_without_tls = true, .refusal_delay_ns = -1}});
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_server_remove(&server);
	return 0;
}

static void assert_alive(void)
{
	struct kafka_client c;
	kafka_connect(&c, &server);
	struct api_versions_request hello = {STR("t"), STR("1")};
	const struct api_versions_response *r = kafka_call(&c, API_API_VERSIONS, 3, &hello);
	assert_int_equal(r->error_code, 0);
	kafka_disconnect(&c);
}

/* A request of this row as it goes on the wire. */
static struct bytes random_request(
    const struct dispatch_row *row, struct kafka_client *c, struct bytes batch)
{
	static const struct str names[] = {{"t", 1}, {"u", 1}, {"__kappa_catalog", 15}, {"", 0},
	    {"1", 1}, {"retention.ms", 12}, {"cleanup.policy", 14}, {"compact", 7}, {"a b", 3}};
	const struct msg_api *api = msg_api_find(row->key);
	int16_t version =
	    (int16_t)(row->min + (int16_t)prng_below(&rng, (uint64_t)(row->max - row->min + 1)));
	struct msg_form form = msg_request_form(api, version);
	struct kafka_random k = {.rng = &rng,
	    .arena = &c->arena,
	    .names = names,
	    .name_count = sizeof(names) / sizeof(names[0]),
	    .records = &batch,
	    .records_count = 1,
	    .tame = true};
	void *body = arena_calloc(&c->arena, 1, api->request->size);
	struct msg_out out;
	kafka_random_fill(&k, form, body);
	msg_out_init(&out, MIB);
	out.copy = true;
	write_u32_be(&out.w, 0);
	write_u16_be(&out.w, (uint16_t)row->key);
	write_u16_be(&out.w, (uint16_t)version);
	write_u32_be(&out.w, 1);
	write_u16_be(&out.w, 0xffff);
	if (form.flexible)
		write_u8(&out.w, 0);
	assert_int_equal(msg_encode(form, body, &out), ERR_OK);
	writer_patch_u32_be(&out.w, 0, (uint32_t)(out.w.len - 4));
	struct bytes wire = arena_copy(&c->arena, writer_bytes(&out.w));
	msg_out_release(&out);
	return wire;
}

static void send_some(struct kafka_client *c, struct bytes wire)
{
	/* the server may have closed already: that is one of the right answers */
	ssize_t n = send(c->fd, wire.ptr, wire.len, MSG_NOSIGNAL);
	(void)n;
}

static void bend(struct bytes wire)
{
	uint8_t *p = (uint8_t *)(uintptr_t)wire.ptr;
	for (uint64_t n = prng_below(&rng, 4); n > 0; n--)
		p[4 + prng_below(&rng, wire.len - 4)] =
		    (uint8_t)(prng_below(&rng, 2) ? 0xff : prng_u64(&rng));
}

static void run(int requests, void (*change)(struct bytes wire))
{
	size_t rows = 0;
	while (dispatch_at(rows))
		rows++;
	for (int i = 0; i < requests; i++) {
		struct kafka_client c;
		kafka_connect(&c, &server);
		struct bytes batch = kafka_batch(&c, 0, 3, "value");
		for (uint64_t n = 1 + prng_below(&rng, 5); n > 0; n--) {
			struct bytes wire =
			    random_request(dispatch_at(prng_below(&rng, rows)), &c, batch);
			if (change)
				change(wire);
			send_some(&c, wire);
		}
		if (prng_below(&rng, 2))
			kafka_readable(&c, 20);
		kafka_disconnect(&c);
	}
	assert_alive();
}

static void random_requests_leave_the_server_alive(void **state)
{
	(void)state;
	struct kafka_client c;
	kafka_connect(&c, &server);
	kafka_create(&c, "t", 3, NULL);
	kafka_disconnect(&c);
	run(1000, NULL);
}

static void bent_requests_leave_the_server_alive(void **state)
{
	(void)state;
	run(1000, bend);
}

static void strangers_leave_the_server_alive(void **state)
{
	(void)state;
	run(500, NULL);
	run(500, bend);
}

static void random_bytes_leave_the_server_alive(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++) {
		struct kafka_client c;
		uint8_t noise[256];
		size_t len = prng_below(&rng, sizeof(noise));
		for (size_t j = 0; j < len; j++)
			noise[j] = (uint8_t)prng_u64(&rng);
		if (len > 8) { /* a believable length and api, so that it gets further */
			put_u32_be(noise, (uint32_t)(len - 4));
			put_u16_be(noise + 4, (uint16_t)prng_below(&rng, 80));
			put_u16_be(noise + 6, (uint16_t)prng_below(&rng, 14));
		}
		kafka_connect(&c, &server);
		send_some(&c, bytes_of(noise, len));
		kafka_disconnect(&c);
	}
	assert_alive();
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (random_requests_leave_the_server_alive),
	    EACH (bent_requests_leave_the_server_alive),
	    EACH (random_bytes_leave_the_server_alive),
	    cmocka_unit_test_setup_teardown(strangers_leave_the_server_alive, start_closed, stop),
	};
	prng_init(&rng, test_seed(20250301));
	diag_set_level(DIAG_ERROR);
	int failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	return failed;
}
