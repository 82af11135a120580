/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The native door over nng: the same requests give the same answers as over TCP, byte for byte;
 * limits, access lists, hostile framing, feeds, the end.
 */
#include "test/lib/kafka_calls.h"
#include "test/lib/native_client.h"
#include "test/lib/patience.h"
#include "test/lib/seed.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include "broker/auth/acl.h"
#include <nng/protocol/pubsub0/sub.h>
#include <nng/protocol/reqrep0/req.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct kafka_server server;
static struct kafka_client tcp;
static struct native_client native;
static struct arena arena;
static struct prng rng;
static char *dir, url[112], feed_url[112];

static void start_with(struct broker_options options)
{
	options.native.requests = url;
	options.native.feeds = feed_url;
	kafka_server_start(&server, "threads", &options);
	kafka_connect(&tcp, &server);
	native_connect(&native, broker_native_requests(server.broker));
}

static int start(void **state)
{
	(void)state;
	dir = tempdir_new();
	snprintf(url, sizeof(url), "ipc://%s/kappa.ipc", dir);
	snprintf(feed_url, sizeof(feed_url), "ipc://%s/feed.ipc", dir);
	arena_init(&arena, GIB);
	start_with((struct broker_options){0});
	return 0;
}

static int stop(void **state)
{
	(void)state;
	native_disconnect(&native);
	kafka_disconnect(&tcp);
	kafka_server_remove(&server);
	arena_release(&arena);
	tempdir_remove(dir);
	return 0;
}

/* A request as it goes on the wire, without length prefix. */
static struct bytes frame_of(int16_t key, int16_t version, const void *body)
{
	const struct msg_api *api = msg_api_find(key);
	struct msg_form form = msg_request_form(api, version);
	struct msg_out out;
	msg_out_init(&out, 64 * MIB);
	out.copy = true;
	write_u16_be(&out.w, (uint16_t)key);
	write_u16_be(&out.w, (uint16_t)version);
	write_u32_be(&out.w, 77);
	write_u16_be(&out.w, 0xffff);
	if (form.flexible)
		write_u8(&out.w, 0);
	assert_int_equal(msg_encode(form, body, &out), ERR_OK);
	struct bytes wire = arena_copy(&arena, writer_bytes(&out.w));
	msg_out_release(&out);
	return wire;
}

/* The response in `reply`. */
static void *read_reply(int16_t key, int16_t version, struct bytes reply)
{
	const struct msg_api *api = msg_api_find(key);
	struct msg_form form = msg_response_form(api, version);
	struct reader r = reader_of(reply);
	void *message = arena_calloc(&arena, 1, api->response->size);
	assert_int_equal(read_i32_be(&r), 77);
	if (form.flexible && key != API_API_VERSIONS)
		assert_int_equal(read_u8(&r), 0);
	assert_int_equal(msg_decode(form, &r, &arena, message), ERR_OK);
	assert_int_equal(reader_left(&r), 0);
	return message;
}

static void *call(int16_t key, int16_t version, const void *body)
{
	struct bytes reply;
	if (!native_call(&native, frame_of(key, version, body), 20000, &arena, &reply))
		fail_msg("no answer");
	return read_reply(key, version, reply);
}

static void assert_alive(void)
{
	struct native_client n;
	struct bytes reply;
	struct api_versions_request hello = {STR("t"), STR("1")};
	native_connect(&n, broker_native_requests(server.broker));
	assert_true(native_call(&n, frame_of(API_API_VERSIONS, 3, &hello), 10000, &arena, &reply));
	native_disconnect(&n);
}

/* ---- parity ---------------------------------------------------------------------------------- */

/* What one carrier said: an answer, or that the connection was closed or left waiting. */
struct said {
	bool answered;
	struct bytes reply;
};

static struct said ask_tcp(struct bytes frame)
{
	struct said s = {0};
	struct kafka_client c;
	kafka_connect(&c, &server);
	s.answered = kafka_call_raw(&c, frame, 300, &s.reply);
	if (s.answered)
		s.reply = arena_copy(&arena, s.reply);
	kafka_disconnect(&c);
	return s;
}

static struct said ask_native(struct bytes frame)
{
	struct said s = {0};
	struct native_client n;
	native_connect(&n, broker_native_requests(server.broker));
	s.answered = native_call(&n, frame, 300, &arena, &s.reply);
	native_disconnect(&n);
	return s;
}

static bool same(struct said a, struct said b)
{
	return a.answered == b.answered && (!a.answered || bytes_compare(a.reply, b.reply) == 0);
}

/* True when TCP says the same twice, with native in between, which then must say it too. */
static bool compare(const struct dispatch_row *row, int16_t version, struct bytes frame)
{
	struct said first = ask_tcp(frame), between = ask_native(frame), last = ask_tcp(frame);
	/* produce without acks: silence there, an empty reply here */
	if (row->key == API_PRODUCE && !last.answered && between.answered && between.reply.len == 0)
		return true;
	if (!first.answered || !same(first, last))
		return false;
	if (!same(first, between))
		fail_msg("%s version %d: %zu bytes over TCP, %zu over nng (answered: %d)",
		    msg_api_find(row->key)->name, version, first.reply.len, between.reply.len,
		    between.answered);
	return true;
}

static void each_request_is_answered_as_over_tcp(void **state)
{
	(void)state;
	const struct dispatch_row *row;
	const int tries = getenv("KAPPA_TEST_SMALL") ? 1 : 2;
	int compared = 0, rows = 0;
	kafka_create(&tcp, "t", 3, NULL);
	struct bytes batch = kafka_batch(&tcp, 0, 3, "value");
	kafka_produce(&tcp, 9, "t", 0, batch);
	for (size_t i = 0; (row = dispatch_at(i)); i++) {
		int of_row = 0;
		for (int16_t v = row->min; v <= row->max; v++) {
			for (int n = 0; n < tries; n++)
				of_row +=
				    compare(row, v, random_frame(row, v, &rng, &arena, batch));
			arena_clear(&arena);
		}
		compared += of_row;
		rows += of_row > 0;
	}
	/* the rest answers with what is new each time, or waits */
	print_message("%d requests of %d apis compared\n", compared, rows);
	assert_true(rows >= 36);
}

static void what_was_produced_here_is_fetched_there(void **state)
{
	(void)state;
	kafka_create(&tcp, "t", 1, NULL);
	for (int i = 0; i < 20; i++) {
		struct produce_request_partition p = {0, kafka_batch(&tcp, i * 100, 100, "v")};
		struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
		struct produce_request body = {
		    .acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
		if (i % 2) {
			kafka_produce(&tcp, 9, "t", 0, p.records);
			continue;
		}
		const struct produce_response *r = call(API_PRODUCE, 9, &body);
		assert_int_equal(r->responses.at[0].partition_responses.at[0].error_code, 0);
		assert_int_equal(r->responses.at[0].partition_responses.at[0].base_offset, i * 100);
	}
	struct fetch_request_partition p;
	struct fetch_request_topic t = {.topic = STR("t"), .partitions = {&p, 1}};
	struct fetch_request body;
	msg_init(&fetch_request_partition_shape, &p);
	msg_init(&fetch_request_shape, &body);
	p.partition_max_bytes = (int32_t)MIB;
	body.max_bytes = (int32_t)MIB;
	body.replica_id = -1;
	body.topics.at = &t;
	body.topics.count = 1;
	const struct fetch_response *r = call(API_FETCH, 11, &body);
	assert_int_equal(r->responses.count, 1);
	struct bytes all = kafka_fetched(&tcp, &r->responses.at[0].partitions.at[0]);
	assert_int_equal(kafka_count_records(all, 0), 2000);
	struct bytes frame = frame_of(API_FETCH, 11, &body);
	assert_true(same(ask_tcp(frame), ask_native(frame)));
}

static void a_produce_without_acks_gets_an_empty_reply(void **state)
{
	(void)state;
	struct bytes reply;
	kafka_create(&tcp, "t", 1, NULL);
	struct produce_request_partition p = {0, kafka_batch(&tcp, 0, 1, "v")};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	struct produce_request body = {.acks = 0, .timeout_ms = 5000, .topic_data = {&t, 1}};
	assert_true(native_call(&native, frame_of(API_PRODUCE, 9, &body), 10000, &arena, &reply));
	assert_int_equal(reply.len, 0);
	assert_int_equal(kafka_list_offset(&tcp, 5, "t", 0, -1).offset, 1);
}

/* ---- limits, access lists -------------------------------------------------------------------- */

static void access_lists_hold_here_too(void **state)
{
	(void)state;
	kafka_create(&tcp, "t", 1, NULL);
	native_disconnect(&native);
	kafka_disconnect(&tcp);
	kafka_server_stop(&server);
	start_with((struct broker_options){.allow_if_no_acl = -1});
	struct produce_request_partition p = {0, kafka_batch(&tcp, 0, 1, "v")};
	struct produce_request_topic t = {.name = STR("t"), .partition_data = {&p, 1}};
	struct produce_request body = {.acks = -1, .timeout_ms = 5000, .topic_data = {&t, 1}};
	const struct produce_response *r = call(API_PRODUCE, 9, &body);
	assert_int_equal(
	    r->responses.at[0].partition_responses.at[0].error_code, err_kafka(ERR_TOPIC_DENIED));
	struct create_topics_request_topic nt = {
	    .name = STR("n"), .num_partitions = 1, .replication_factor = 1};
	struct create_topics_request create = {.topics = {&nt, 1}, .timeout_ms = 5000};
	const struct create_topics_response *cr = call(API_CREATE_TOPICS, 7, &create);
	assert_int_equal(cr->topics.at[0].error_code, err_kafka(ERR_TOPIC_DENIED));
}

/* Where the Kafka door asks clients who they are, this one is no way around it. */
static void who_has_to_say_who_he_is_has_to_here(void **state)
{
	(void)state;
	static const struct broker_listener listener = {.protocol = BROKER_SASL_PLAINTEXT};
	struct metadata_request all;
	struct api_versions_request hello = {STR("t"), STR("1")};
	struct sasl_handshake_request choose = {STR("SCRAM-SHA-256")};
	struct bytes reply;
	msg_init(&metadata_request_shape, &all);
	native_disconnect(&native);
	kafka_disconnect(&tcp);
	kafka_server_stop(&server);
	start_with((struct broker_options){
	    .listeners = &listener, .listener_count = 1, .native.sasl = true});
	assert_true(
	    native_call(&native, frame_of(API_API_VERSIONS, 3, &hello), 5000, &arena, &reply));
	const struct sasl_handshake_response *r = call(API_SASL_HANDSHAKE, 1, &choose);
	assert_int_equal(r->error_code, 0);
	struct bytes metadata = frame_of(API_METADATA, 9, &all);
	assert_false(native_call(&native, metadata, 5000, &arena, &reply));
	assert_false(ask_tcp(metadata).answered);
	assert_false(ask_native(metadata).answered);
	/* feeds cannot ask: there they are for those who may open the socket's file */
	assert_non_null(broker_native_feeds(server.broker));
	native_disconnect(&native);
	kafka_disconnect(&tcp);
	kafka_server_stop(&server);
	snprintf(feed_url, sizeof(feed_url), "tcp://127.0.0.1:0");
	struct broker_options o = {.native = {.feeds = feed_url, .sasl = true}};
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct broker *b;
	struct log_options lo = {.data_dir = server.dir, .journal_bytes = JOURNAL_BYTES_MIN * 4};
	assert_int_equal(io_new("threads", &io), ERR_OK);
	assert_int_equal(loop_new(io, 1, &loop), ERR_OK);
	assert_int_equal(log_open(loop, &lo, &log), ERR_OK);
	assert_int_equal(broker_open(loop, log, &o, &b), ERR_REFUSED);
	err_clear();
	log_close(log);
	loop_free(loop);
	io_free(io);
	snprintf(feed_url, sizeof(feed_url), "ipc://%s/feed.ipc", dir);
	start_with((struct broker_options){0});
}

static struct bytes waiting_fetch(void)
{
	struct fetch_request_partition p;
	struct fetch_request_topic t = {.topic = STR("t"), .partitions = {&p, 1}};
	struct fetch_request body;
	msg_init(&fetch_request_partition_shape, &p);
	msg_init(&fetch_request_shape, &body);
	p.partition_max_bytes = body.max_bytes = (int32_t)MIB;
	body.replica_id = -1;
	body.max_wait_ms = 60000;
	body.min_bytes = 1;
	body.topics.at = &t;
	body.topics.count = 1;
	return frame_of(API_FETCH, 11, &body);
}

/* More than may be in flight: the rest waits, in order, and each gets its own answer. */
static void many_requests_of_one_client_wait_their_turn(void **state)
{
	(void)state;
	enum { N = 300 };
	static nng_ctx ctx[N];
	static nng_aio *aio[N];
	kafka_create(&tcp, "t", 1, NULL);
	struct bytes frame = waiting_fetch();
	for (int i = 0; i < N; i++) {
		nng_msg *msg;
		uint8_t *p = (uint8_t *)(uintptr_t)frame.ptr;
		put_u32_be(p + 4, (uint32_t)i); /* correlation id */
		assert_int_equal(nng_ctx_open(&ctx[i], native.socket), 0);
		assert_int_equal(nng_aio_alloc(&aio[i], NULL, NULL), 0);
		assert_int_equal(nng_msg_alloc(&msg, 0), 0);
		assert_int_equal(nng_msg_append(msg, frame.ptr, frame.len), 0);
		nng_aio_set_msg(aio[i], msg);
		nng_ctx_send(ctx[i], aio[i]);
		nng_aio_wait(aio[i]);
		assert_int_equal(nng_aio_result(aio[i]), 0);
		nng_aio_set_timeout(aio[i], PATIENCE_MS);
		nng_ctx_recv(ctx[i], aio[i]);
	}
	kafka_produce(&tcp, 9, "t", 0, kafka_batch(&tcp, 0, 1, "v"));
	for (int i = 0; i < N; i++) {
		nng_aio_wait(aio[i]);
		assert_int_equal(nng_aio_result(aio[i]), 0);
		nng_msg *msg = nng_aio_get_msg(aio[i]);
		assert_int_equal(get_u32_be(nng_msg_body(msg)), i);
		nng_msg_free(msg);
		nng_aio_free(aio[i]);
		nng_ctx_close(ctx[i]);
	}
	assert_alive();
}

static void only_local_addresses_are_served(void **state)
{
	(void)state;
	static const struct {
		const char *url;
		enum err err;
	} cases[] = {{"tcp://0.0.0.0:0", ERR_REFUSED}, {"tcp://192.0.2.1:5555", ERR_REFUSED},
	    {"tcp://*:5555", ERR_REFUSED}, {"tcp://:5555", ERR_REFUSED},
	    {"ws://127.0.0.1:5555/x", ERR_INVALID}, {"tcp4://127.0.0.1:5555", ERR_INVALID},
	    {"tls+tcp://127.0.0.1:5555", ERR_INVALID}, {"abstract://x", ERR_INVALID},
	    {"nonsense", ERR_INVALID}, {"inproc://x", ERR_INVALID}, {"ipc://relative", ERR_INVALID},
	    {"tcp://127.0.0.1", ERR_INVALID}, {"tcp://127.0.0.1:70000", ERR_INVALID},
	    {"ipc:///tmp/"
	     "0123456789012345678901234567890123456789012345678901234567890123456789"
	     "0123456789012345678901234567890123456789",
	        ERR_INVALID}};
	char *other = tempdir_new();
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct io *io;
		struct loop *loop;
		struct log *log;
		struct broker *b;
		struct log_options lo = {.data_dir = other, .journal_bytes = JOURNAL_BYTES_MIN};
		struct broker_options bo = {.native.requests = cases[i].url};
		assert_int_equal(io_new("threads", &io), ERR_OK);
		assert_int_equal(loop_new(io, 1, &loop), ERR_OK);
		assert_int_equal(log_open(loop, &lo, &log), ERR_OK);
		enum err err = broker_open(loop, log, &bo, &b);
		if (err != cases[i].err)
			fail_msg("%s: %s", cases[i].url, err_name(err));
		err_clear();
		log_close(log);
		loop_free(loop);
		io_free(io);
	}
	tempdir_remove(other);
}

static void the_socket_belongs_to_its_user_and_goes_with_the_server(void **state)
{
	(void)state;
	struct stat st;
	assert_int_equal(stat(url + 6, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(feed_url + 6, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	native_disconnect(&native);
	kafka_disconnect(&tcp);
	kafka_server_stop(&server);
	assert_int_not_equal(stat(url + 6, &st), 0);
	/* one that a killed server left behind is no obstacle */
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", url + 6);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	close(fd);
	start_with((struct broker_options){0});
	assert_alive();
}

static void a_loopback_port_serves_too(void **state)
{
	(void)state;
	static const char *const urls[] = {"tcp://127.0.0.1:0", "tcp://[::1]:0"};
	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		native_disconnect(&native);
		kafka_disconnect(&tcp);
		kafka_server_stop(&server);
		snprintf(url, sizeof(url), "%s", urls[i]);
		start_with((struct broker_options){0});
		assert_alive();
	}
}

static void the_door_closes_on_those_who_wait(void **state)
{
	(void)state;
	kafka_create(&tcp, "t", 1, NULL);
	struct bytes frame = waiting_fetch();
	nng_msg *msg;
	assert_int_equal(nng_msg_alloc(&msg, 0), 0);
	assert_int_equal(nng_msg_append(msg, frame.ptr, frame.len), 0);
	assert_int_equal(nng_sendmsg(native.socket, msg, 0), 0);
	usleep(50000);
	kafka_disconnect(&tcp);
	kafka_server_stop(&server);
	assert_int_equal(nng_socket_set_ms(native.socket, NNG_OPT_RECVTIMEO, PATIENCE_MS), 0);
	assert_int_equal(nng_recvmsg(native.socket, &msg, 0), NNG_ECONNRESET);
	kafka_server_start(&server, "threads", NULL);
	kafka_connect(&tcp, &server);
}

/* ---- hostile framing ------------------------------------------------------------------------- */

static int raw_connect(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct timeval timeout = {PATIENCE_NS / S_NS, 0};
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", url + 6);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void raw_send(int fd, const void *ptr, size_t len)
{
	ssize_t n = send(fd, ptr, len, MSG_NOSIGNAL);
	(void)n; /* the server may have closed already: that is a right answer */
}

static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

/* nng's framing over ipc: 1, u64 length, then the message: u32 request id (high bit set), body. */
static void raw_message(int fd, uint64_t announced, struct bytes body)
{
	uint8_t head[9] = {1};
	put_u32_be(head + 1, (uint32_t)(announced >> 32));
	put_u32_be(head + 5, (uint32_t)announced);
	raw_send(fd, head, sizeof(head));
	raw_send(fd, body.ptr, body.len);
}

static bool raw_closed(int fd)
{
	uint8_t byte[64];
	ssize_t n;
	while ((n = recv(fd, byte, sizeof(byte), 0)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

static void bad_framing_ends_the_pipe_and_nothing_else(void **state)
{
	(void)state;
	static const uint8_t no_id[] = {0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1}, short_id[] = {0x80, 0},
	                     only_id[] = {0x80, 0, 0, 1},
	                     garbage[] = {0x80, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5},
	                     tiny[] = {0x80, 0, 0, 1, 0, 18, 0};
	const struct bytes bodies[] = {{no_id, sizeof(no_id)}, {short_id, sizeof(short_id)},
	    {only_id, sizeof(only_id)}, {garbage, sizeof(garbage)}, {tiny, sizeof(tiny)},
	    {NULL, 0}};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		int fd = raw_connect();
		raw_send(fd, hello, sizeof(hello));
		raw_message(fd, bodies[i].len, bodies[i]);
		if (!raw_closed(fd))
			fail_msg("case %zu: the pipe is still open", i);
		close(fd);
	}
	assert_alive();
}

static void a_length_over_the_limit_takes_no_memory(void **state)
{
	(void)state;
	static const uint8_t id[] = {0x80, 0, 0, 1};
	static const uint64_t lengths[] = {
	    UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 32, 101 * MIB};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		int fd = raw_connect();
		raw_send(fd, hello, sizeof(hello));
		raw_message(fd, lengths[i], bytes_of(id, sizeof(id)));
		assert_true(raw_closed(fd));
		close(fd);
	}
	assert_alive();
}

static void random_bytes_leave_the_door_open(void **state)
{
	(void)state;
	for (int i = 0; i < 300; i++) {
		uint8_t noise[256];
		size_t len = prng_below(&rng, sizeof(noise));
		for (size_t j = 0; j < len; j++)
			noise[j] = (uint8_t)prng_u64(&rng);
		int fd = raw_connect();
		if (i % 4)
			raw_send(fd, hello, sizeof(hello));
		if (i % 4 > 1 && len > 8) {
			put_u32_be(noise, 0x80000001);
			put_u16_be(noise + 4, (uint16_t)prng_below(&rng, 80));
			put_u16_be(noise + 6, (uint16_t)prng_below(&rng, 14));
			raw_message(fd, i % 3 ? len : len + 1, bytes_of(noise, len));
		} else {
			raw_send(fd, noise, len);
		}
		close(fd);
	}
	assert_alive();
}

static void bent_requests_leave_the_door_open(void **state)
{
	(void)state;
	size_t rows = 0;
	while (dispatch_at(rows))
		rows++;
	kafka_create(&tcp, "t", 3, NULL);
	struct bytes batch = kafka_batch(&tcp, 0, 3, "value");
	for (int i = 0; i < 500; i++) {
		const struct dispatch_row *row = dispatch_at(prng_below(&rng, rows));
		int16_t version = (int16_t)(row->min + (int16_t)prng_below(&rng,
		                                           (uint64_t)(row->max - row->min + 1)));
		struct bytes wire = random_frame(row, version, &rng, &arena, batch), reply;
		uint8_t *p = (uint8_t *)(uintptr_t)wire.ptr;
		for (uint64_t n = prng_below(&rng, 4); n > 0; n--)
			p[prng_below(&rng, wire.len)] =
			    (uint8_t)(prng_below(&rng, 2) ? 0xff : prng_u64(&rng));
		struct native_client n;
		native_connect(&n, url);
		(void)!native_call(&n, wire, 20, &arena, &reply);
		native_disconnect(&n);
	}
	assert_alive();
}

/* ---- feeds ----------------------------------------------------------------------------------- */

static void subscribers_get_their_topics_only(void **state)
{
	(void)state;
	nng_socket sub;
	nng_msg *msg;
	broker_publish(server.broker, STR("events/x"), str_bytes(STR("nobody is there")));
	assert_int_equal(nng_sub0_open(&sub), 0);
	assert_int_equal(nng_socket_set(sub, NNG_OPT_SUB_SUBSCRIBE, "view/v/1/", 9), 0);
	assert_int_equal(nng_dial(sub, broker_native_feeds(server.broker), NULL, 0), 0);
	for (int ms = 0; ms < PATIENCE_MS && !broker_has_subscribers(server.broker); ms += 10)
		usleep(10000);
	broker_publish(server.broker, STR("view/v/10/k"), str_bytes(STR("not this")));
	broker_publish(server.broker, STR("view/v/1/k"), str_bytes(STR("{\"a\":1}")));
	assert_int_equal(nng_socket_set_ms(sub, NNG_OPT_RECVTIMEO, PATIENCE_MS), 0);
	assert_int_equal(nng_recvmsg(sub, &msg, 0), 0);
	assert_int_equal(nng_msg_len(msg), 10 + 1 + 7);
	assert_memory_equal(nng_msg_body(msg), "view/v/1/k\0{\"a\":1}", 18);
	nng_msg_free(msg);
	nng_close(sub);
	for (int ms = 0; ms < PATIENCE_MS && broker_has_subscribers(server.broker); ms += 10)
		usleep(10000);
	assert_false(broker_has_subscribers(server.broker));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

/* nng frees connections some time after they were closed, on a thread of its own */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
	return "leak:libnng";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (each_request_is_answered_as_over_tcp),
	    EACH (what_was_produced_here_is_fetched_there),
	    EACH (a_produce_without_acks_gets_an_empty_reply),
	    EACH (access_lists_hold_here_too),
	    EACH (who_has_to_say_who_he_is_has_to_here),
	    EACH (many_requests_of_one_client_wait_their_turn),
	    EACH (only_local_addresses_are_served),
	    EACH (the_socket_belongs_to_its_user_and_goes_with_the_server),
	    EACH (a_loopback_port_serves_too),
	    EACH (the_door_closes_on_those_who_wait),
	    EACH (bad_framing_ends_the_pipe_and_nothing_else),
	    EACH (a_length_over_the_limit_takes_no_memory),
	    EACH (random_bytes_leave_the_door_open),
	    EACH (bent_requests_leave_the_door_open),
	    EACH (subscribers_get_their_topics_only),
	};
	prng_init(&rng, test_seed(20260101));
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
