/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SASL on the wire, on both I/O backends: what is served before, amid and after, bare tokens,
 * renewal, refusals and their time, users by the admin requests, and bytes that mean nothing.
 */
#include "test/lib/kafka_calls.h"
#include "test/lib/patience.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include "broker/auth/scram.h"
#include "broker/kafka/request.h"
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

static struct kafka_server server;
static const char *backend = "uring";
static struct prng rng;
static const struct broker_listener listeners[] = {
    {.protocol = BROKER_SASL_PLAINTEXT}, {.protocol = BROKER_PLAINTEXT}};
enum { REFUSAL_MS = 150, DENIED = 58, UNACCEPTABLE = 93, WRONG_STATE = 34, WRONG_MECHANISM = 33 };

static struct broker_options options(void)
{
	return (struct broker_options){.listeners = listeners,
	    .listener_count = 2,
	    .super_users = "User:ANONYMOUS;User:alice",
	    .sasl = {.plain_without_tls = true, .refusal_delay_ns = REFUSAL_MS * MS_NS}};
}

static void connect_inside(struct kafka_client *c)
{
	struct kafka_server inside = server;
	inside.port = broker_port(server.broker, 1);
	kafka_connect(c, &inside);
}

/* ---- users ----------------------------------------------------------------------------------- */

static void salted(const char *password, uint8_t ret_salted[32])
{
	assert_int_equal(
	    PKCS5_PBKDF2_HMAC(password, (int)strlen(password), (const uint8_t *)"0123456789abcdef",
	        16, 4096, EVP_sha256(), 32, ret_salted),
	    1);
}

static int16_t put_user(
    struct kafka_client *c, struct str name, const char *password, int32_t iterations)
{
	uint8_t key[32];
	salted(password, key);
	struct alter_user_scram_credentials_request_upsertion up = {.name = name,
	    .mechanism = SCRAM_SHA_256,
	    .iterations = iterations,
	    .salt = bytes_of("0123456789abcdef", 16),
	    .salted_password = bytes_of(key, sizeof(key))};
	struct alter_user_scram_credentials_request body = {.upsertions = {&up, 1}};
	const struct alter_user_scram_credentials_response *r =
	    kafka_call(c, API_ALTER_USER_SCRAM_CREDENTIALS, 0, &body);
	assert_int_equal(r->results.count, 1);
	return r->results.at[0].error_code;
}

static int start(void **state)
{
	struct broker_options o = options();
	struct kafka_client c;
	(void)state;
	kafka_server_start(&server, backend, &o);
	connect_inside(&c);
	assert_int_equal(put_user(&c, STR("alice"), "secret", 4096), 0);
	assert_int_equal(put_user(&c, STR("bob"), "builder", 4096), 0);
	kafka_disconnect(&c);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	kafka_server_remove(&server);
	return 0;
}

/* ---- a client -------------------------------------------------------------------------------- */

static int16_t handshake(struct kafka_client *c, int16_t version, struct str mechanism)
{
	struct sasl_handshake_request body = {.mechanism = mechanism};
	const struct sasl_handshake_response *r = kafka_call(c, API_SASL_HANDSHAKE, version, &body);
	assert_true(r->mechanisms.count > 0 || r->error_code == WRONG_STATE);
	return r->error_code;
}

static const struct sasl_authenticate_response *authenticate(
    struct kafka_client *c, struct bytes token)
{
	struct sasl_authenticate_request body = {.auth_bytes = token};
	return kafka_call(c, API_SASL_AUTHENTICATE, 2, &body);
}

static int16_t plain(struct kafka_client *c, const char *token, size_t len)
{
	assert_int_equal(handshake(c, 1, STR("PLAIN")), 0);
	return authenticate(c, bytes_of(token, len))->error_code;
}
#define PLAIN(c, token) plain(c, token, sizeof(token) - 1)

static int16_t metadata(struct kafka_client *c)
{
	struct metadata_request body = {.topics = {NULL, 0}};
	const struct metadata_response *r = kafka_call(c, API_METADATA, 12, &body);
	return r->brokers.count == 1 ? 0 : -1;
}

static void assert_gone_after(int16_t key, int16_t version, const void *body, bool amid)
{
	struct kafka_client c;
	kafka_connect(&c, &server);
	if (amid)
		assert_int_equal(handshake(&c, 1, STR("PLAIN")), 0);
	kafka_send(&c, key, version, body);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
}

/* ---- states ---------------------------------------------------------------------------------- */

static void before_it_only_three_requests_are_served(void **state)
{
	struct api_versions_request hello = {STR("t"), STR("1")};
	(void)state;
	for (size_t i = 0; dispatch_at(i); i++) {
		const struct dispatch_row *row = dispatch_at(i);
		const struct msg_api *api = msg_api_find(row->key);
		struct arena arena;
		if (row->key == API_API_VERSIONS || row->key == API_SASL_HANDSHAKE)
			continue;
		arena_init(&arena, MIB);
		void *body = msg_new_array(api->request, 1, &arena);
		assert_gone_after(row->key, row->max, body, false);
		if (row->key != API_SASL_AUTHENTICATE)
			assert_gone_after(row->key, row->max, body, true);
		arena_release(&arena);
	}
	assert_gone_after(API_API_VERSIONS, 3, &hello, true);
	struct sasl_handshake_request again = {.mechanism = STR("PLAIN")};
	assert_gone_after(API_SASL_HANDSHAKE, 1, &again, true);
}

static void the_right_password_opens_everything(void **state)
{
	struct kafka_client c;
	struct api_versions_request hello = {STR("t"), STR("1")};
	(void)state;
	kafka_connect(&c, &server);
	kafka_call(&c, API_API_VERSIONS, 3, &hello);
	assert_int_equal(PLAIN(&c, "\0alice\0secret"), 0);
	assert_int_equal(metadata(&c), 0);
	/* without an end of the session there is nothing to renew */
	assert_int_equal(handshake(&c, 1, STR("PLAIN")), WRONG_STATE);
	assert_int_equal(authenticate(&c, bytes_of("x", 1))->error_code, WRONG_STATE);
	assert_int_equal(metadata(&c), 0);
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(PLAIN(&c, "alice\0alice\0secret"), 0);
	kafka_disconnect(&c);
}

static void a_pipeline_behind_the_password_waits_for_it(void **state)
{
	struct kafka_client c;
	struct sasl_handshake_request first = {.mechanism = STR("PLAIN")};
	struct sasl_authenticate_request second = {.auth_bytes = bytes_of("\0alice\0secret", 13)};
	struct metadata_request third = {.topics = {NULL, 0}};
	(void)state;
	kafka_connect(&c, &server);
	kafka_send(&c, API_SASL_HANDSHAKE, 1, &first);
	kafka_send(&c, API_SASL_AUTHENTICATE, 2, &second);
	kafka_send(&c, API_METADATA, 12, &third);
	kafka_receive(&c, API_SASL_HANDSHAKE, 1);
	const struct sasl_authenticate_response *r = kafka_receive(&c, API_SASL_AUTHENTICATE, 2);
	assert_int_equal(r->error_code, 0);
	kafka_receive(&c, API_METADATA, 12);
	kafka_disconnect(&c);
	/* and a wrong one is the end of the pipeline */
	second.auth_bytes = bytes_of("\0alice\0guess", 12);
	kafka_connect(&c, &server);
	kafka_send(&c, API_SASL_HANDSHAKE, 1, &first);
	kafka_send(&c, API_SASL_AUTHENTICATE, 2, &second);
	kafka_send(&c, API_METADATA, 12, &third);
	kafka_receive(&c, API_SASL_HANDSHAKE, 1);
	r = kafka_receive(&c, API_SASL_AUTHENTICATE, 2);
	assert_int_equal(r->error_code, DENIED);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
}

static int64_t now_ms(void)
{
	return io_clock_ns(server.io, IO_CLOCK_MONOTONIC) / MS_NS;
}

static void refusals_are_alike_and_late(void **state)
{
	static const struct {
		const char *token;
		size_t len;
	} bad[] = {{"\0alice\0wrong", 12}, {"\0nobody\0secret", 14}, {"\0bob\0secret", 11},
	    {"bob\0alice\0secret", 16}, {"\0alice\0", 7}, {"\0\0secret", 8}, {"alice", 5}, {"", 0},
	    {"\0alice\0secret\0", 14}, {"\0\0\0\0", 4}};
	struct str text = {NULL, 0};
	char copy[200] = "";
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct kafka_client c;
		kafka_connect(&c, &server);
		assert_int_equal(handshake(&c, 1, STR("PLAIN")), 0);
		int64_t begin = now_ms();
		const struct sasl_authenticate_response *r =
		    authenticate(&c, bytes_of(bad[i].token, bad[i].len));
		assert_true(now_ms() - begin >= REFUSAL_MS / 2);
		assert_int_equal(r->error_code, DENIED);
		assert_int_equal(r->auth_bytes.len, 0);
		if (text.ptr)
			assert_true(str_equal(r->error_message, text));
		snprintf(copy, sizeof(copy), STR_FMT, STR_ARG(r->error_message));
		text = str_of(copy);
		assert_true(kafka_is_closed(&c));
		kafka_disconnect(&c);
	}
}

static void who_goes_while_it_is_decided_leaves_nothing(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		struct kafka_client c;
		struct sasl_authenticate_request body = {
		    .auth_bytes = bytes_of(i % 2 ? "\0alice\0wrong" : "\0alice\0secret", 12)};
		kafka_connect(&c, &server);
		assert_int_equal(handshake(&c, 1, STR("PLAIN")), 0);
		kafka_send(&c, API_SASL_AUTHENTICATE, 2, &body);
		kafka_disconnect(&c);
	}
	struct kafka_client c;
	kafka_connect(&c, &server);
	assert_int_equal(PLAIN(&c, "\0alice\0secret"), 0);
	kafka_disconnect(&c);
}

static void an_unknown_mechanism_is_named_with_those_there_are(void **state)
{
	struct kafka_client c;
	struct sasl_handshake_request body = {.mechanism = STR("GSSAPI")};
	(void)state;
	kafka_connect(&c, &server);
	const struct sasl_handshake_response *r = kafka_call(&c, API_SASL_HANDSHAKE, 1, &body);
	assert_int_equal(r->error_code, WRONG_MECHANISM);
	assert_int_equal(r->mechanisms.count, 3);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
	connect_inside(&c);
	assert_int_equal(handshake(&c, 1, STR("PLAIN")), WRONG_STATE);
	kafka_disconnect(&c);
}

/* ---- SCRAM and bare tokens ------------------------------------------------------------------- */

static void hmac(const uint8_t *key, struct str text, uint8_t ret[32])
{
	unsigned len = 32;
	assert_non_null(
	    HMAC(EVP_sha256(), key, 32, (const uint8_t *)text.ptr, text.len, ret, &len));
}

/* The final message of a client with this nonce; `doubled` as librdkafka before 2.6.1. */
static void scram_proof(const char *bare, struct str challenge, const char *password, bool doubled,
    char *ret_final, size_t len)
{
	char all[1024], nonce[256];
	uint8_t salt[32], client[32], stored[32], signature[32], proof[32];
	snprintf(nonce, sizeof(nonce), "%s%.*s", doubled ? "fyko" : "",
	    (int)strcspn(challenge.ptr + 2, ","), challenge.ptr + 2);
	salted(password, salt);
	hmac(salt, STR("Client Key"), client);
	assert_int_equal(EVP_Digest(client, 32, stored, NULL, EVP_sha256(), NULL), 1);
	snprintf(all, sizeof(all), "%s," STR_FMT ",c=biws,r=%s", bare, STR_ARG(challenge), nonce);
	hmac(stored, str_of(all), signature);
	for (size_t i = 0; i < 32; i++)
		proof[i] = client[i] ^ signature[i];
	char text[64];
	EVP_EncodeBlock((uint8_t *)text, proof, 32);
	snprintf(ret_final, len, "c=biws,r=%s,p=%s", nonce, text);
}

static int16_t scram(struct kafka_client *c, const char *user, const char *password, bool doubled)
{
	char bare[128], first[160], final[512], challenge[512];
	assert_int_equal(handshake(c, 1, STR("SCRAM-SHA-256")), 0);
	snprintf(bare, sizeof(bare), "n=%s,r=fyko", user);
	snprintf(first, sizeof(first), "n,,%s", bare);
	const struct sasl_authenticate_response *r =
	    authenticate(c, bytes_of(first, strlen(first)));
	assert_int_equal(r->error_code, 0);
	snprintf(challenge, sizeof(challenge), "%.*s", (int)r->auth_bytes.len, r->auth_bytes.ptr);
	assert_non_null(strstr(challenge, ",i=4096"));
	scram_proof(bare, str_of(challenge), password, doubled, final, sizeof(final));
	r = authenticate(c, bytes_of(final, strlen(final)));
	if (r->error_code == 0)
		assert_memory_equal(r->auth_bytes.ptr, "v=", 2);
	return r->error_code;
}

static void scram_lets_in_who_knows_the_password(void **state)
{
	struct kafka_client c;
	(void)state;
	for (int doubled = 0; doubled < 2; doubled++) {
		kafka_connect(&c, &server);
		assert_int_equal(scram(&c, "alice", "secret", doubled), 0);
		assert_int_equal(metadata(&c), 0);
		kafka_disconnect(&c);
	}
	kafka_connect(&c, &server);
	assert_int_equal(scram(&c, "alice", "builder", false), DENIED);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(scram(&c, "nobody", "secret", false), DENIED);
	kafka_disconnect(&c);
}

/* What nobody has looks as if somebody had it: the same salt each time. */
static void unknown_users_have_a_salt_that_stays(void **state)
{
	char salt[2][64];
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct kafka_client c;
		kafka_connect(&c, &server);
		assert_int_equal(handshake(&c, 1, STR("SCRAM-SHA-256")), 0);
		const struct sasl_authenticate_response *r =
		    authenticate(&c, bytes_of("n,,n=nobody,r=abc", 17));
		const char *at = memmem(r->auth_bytes.ptr, r->auth_bytes.len, ",s=", 3);
		assert_non_null(at);
		snprintf(salt[i], sizeof(salt[i]), "%.24s", at + 3);
		kafka_disconnect(&c);
	}
	assert_string_equal(salt[0], salt[1]);
}

static void send_token(struct kafka_client *c, struct bytes token)
{
	uint8_t len[4];
	put_u32_be(len, (uint32_t)token.len);
	kafka_send_raw(c, bytes_of(len, 4));
	kafka_send_raw(c, token);
}

static void bare_tokens_of_old_clients_are_understood(void **state)
{
	struct kafka_client c;
	uint8_t answer[4];
	(void)state;
	kafka_connect(&c, &server);
	assert_int_equal(handshake(&c, 0, STR("PLAIN")), 0);
	send_token(&c, bytes_of("\0alice\0secret", 13));
	kafka_receive_raw(&c, answer, 4);
	assert_int_equal(get_u32_be(answer), 0);
	assert_int_equal(metadata(&c), 0);
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(handshake(&c, 0, STR("PLAIN")), 0);
	send_token(&c, bytes_of("\0alice\0secre_", 13));
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(handshake(&c, 0, STR("PLAIN")), 0);
	kafka_send_raw(&c, bytes_of("\0\0\0\0", 4));
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
}

/* ---- sessions -------------------------------------------------------------------------------- */

static void start_with_sessions(int64_t ms)
{
	struct broker_options o = options();
	o.sasl.session_ns = ms * MS_NS;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
}

static void a_session_ends_unless_it_is_renewed(void **state)
{
	struct kafka_client c;
	(void)state;
	start_with_sessions(4000);
	kafka_connect(&c, &server);
	assert_int_equal(handshake(&c, 1, STR("PLAIN")), 0);
	const struct sasl_authenticate_response *r =
	    authenticate(&c, bytes_of("\0alice\0secret", 13));
	assert_int_equal(r->session_lifetime_ms, 4000);
	/* too soon after the last: as Kafka */
	assert_int_equal(handshake(&c, 1, STR("PLAIN")), WRONG_STATE);
	for (int i = 0; i < 3; i++) {
		io_sleep_ns(server.io, 1400 * MS_NS);
		assert_int_equal(PLAIN(&c, "\0alice\0secret"), 0);
		assert_int_equal(metadata(&c), 0);
	}
	io_sleep_ns(server.io, 4100 * MS_NS);
	struct metadata_request body = {.topics = {NULL, 0}};
	kafka_send(&c, API_METADATA, 12, &body);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
}

static void nobody_becomes_another_by_renewal(void **state)
{
	struct kafka_client c;
	(void)state;
	start_with_sessions(60000);
	kafka_connect(&c, &server);
	assert_int_equal(PLAIN(&c, "\0alice\0secret"), 0);
	io_sleep_ns(server.io, 1100 * MS_NS);
	assert_int_equal(PLAIN(&c, "\0bob\0builder"), DENIED);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(PLAIN(&c, "\0alice\0secret"), 0);
	io_sleep_ns(server.io, 1100 * MS_NS);
	assert_int_equal(handshake(&c, 1, STR("SCRAM-SHA-256")), WRONG_MECHANISM);
	assert_true(kafka_is_closed(&c));
	kafka_disconnect(&c);
}

/* ---- users by the admin requests ------------------------------------------------------------- */

static void users_are_described_and_altered(void **state)
{
	struct kafka_client c;
	(void)state;
	connect_inside(&c);
	struct describe_user_scram_credentials_request all = {.users = {NULL, 0}};
	const struct describe_user_scram_credentials_response *r =
	    kafka_call(&c, API_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, &all);
	assert_int_equal(r->results.count, 2);
	assert_true(str_equal(r->results.at[1].user, STR("bob")));
	assert_int_equal(r->results.at[1].credential_infos.at[0].iterations, 4096);
	struct describe_user_scram_credentials_request_user names[] = {
	    {STR("bob")}, {STR("nobody")}, {STR("alice")}, {STR("alice")}};
	all.users.at = names;
	all.users.count = 4;
	r = kafka_call(&c, API_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, &all);
	assert_int_equal(r->results.count, 3);
	assert_int_equal(r->results.at[0].error_code, 0);
	assert_int_equal(r->results.at[1].error_code, 91);
	assert_int_equal(r->results.at[2].error_code, 92);
	assert_int_equal(put_user(&c, STR("eve"), "x", 4095), 93);
	assert_int_equal(put_user(&c, STR("eve"), "x", 16385), 93);
	assert_int_equal(put_user(&c, STR("eve"), "x", -1), 93);
	assert_int_equal(put_user(&c, STR(""), "x", 4096), 93);
	struct alter_user_scram_credentials_request_deletion gone[] = {{STR("bob"), SCRAM_SHA_256},
	    {STR("alice"), SCRAM_SHA_512}, {STR("eve"), 9}, {STR("carol"), SCRAM_SHA_256},
	    {STR("carol"), SCRAM_SHA_256}};
	struct alter_user_scram_credentials_request body = {.deletions = {gone, 5}};
	const struct alter_user_scram_credentials_response *a =
	    kafka_call(&c, API_ALTER_USER_SCRAM_CREDENTIALS, 0, &body);
	assert_int_equal(a->results.count, 4);
	assert_int_equal(a->results.at[0].error_code, 0);
	assert_int_equal(a->results.at[1].error_code, 91);
	assert_int_equal(a->results.at[2].error_code, WRONG_MECHANISM);
	assert_int_equal(a->results.at[3].error_code, 91);
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(PLAIN(&c, "\0bob\0builder"), DENIED);
	kafka_disconnect(&c);
}

static void nobody_is_given_the_name_of_nobody_or_of_all(void **state)
{
	struct kafka_client c;
	(void)state;
	connect_inside(&c);
	assert_int_equal(put_user(&c, STR("ANONYMOUS"), "x", 4096), UNACCEPTABLE);
	assert_int_equal(put_user(&c, STR("*"), "x", 4096), UNACCEPTABLE);
	assert_int_equal(put_user(&c, STR("anonymous"), "x", 4096), 0);
	kafka_disconnect(&c);
}

static void only_who_may_alter_the_cluster_makes_users(void **state)
{
	struct kafka_client c;
	(void)state;
	kafka_connect(&c, &server);
	assert_int_equal(PLAIN(&c, "\0bob\0builder"), 0);
	assert_int_equal(put_user(&c, STR("eve"), "x", 4096), 31);
	struct describe_user_scram_credentials_request all = {.users = {NULL, 0}};
	const struct describe_user_scram_credentials_response *r =
	    kafka_call(&c, API_DESCRIBE_USER_SCRAM_CREDENTIALS, 0, &all);
	assert_int_equal(r->error_code, 31);
	assert_int_equal(r->results.count, 0);
	kafka_disconnect(&c);
	kafka_connect(&c, &server);
	assert_int_equal(PLAIN(&c, "\0alice\0secret"), 0);
	assert_int_equal(put_user(&c, STR("eve"), "x", 4096), 0);
	kafka_disconnect(&c);
}

/* ---- how many -------------------------------------------------------------------------------- */

static void strangers_make_room_for_each_other_and_for_others(void **state)
{
	struct broker_options o = options();
	struct kafka_client honest, stranger[6];
	(void)state;
	o.connections_max = 4;
	o.strangers_max = 3;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	kafka_connect(&honest, &server);
	assert_int_equal(PLAIN(&honest, "\0alice\0secret"), 0);
	for (int i = 0; i < 6; i++) {
		kafka_connect(&stranger[i], &server);
		struct api_versions_request hello = {STR("t"), STR("1")};
		kafka_call(&stranger[i], API_API_VERSIONS, 3, &hello);
	}
	for (int i = 0; i < 3; i++)
		assert_true(kafka_is_closed(&stranger[i]));
	assert_int_equal(metadata(&honest), 0);
	assert_int_equal(PLAIN(&stranger[5], "\0alice\0secret"), 0);
	for (int i = 0; i < 6; i++)
		kafka_disconnect(&stranger[i]);
	kafka_disconnect(&honest);
}

/* Those who guess, and those who come after, close nobody whose password waits to be verified. */
static void guessing_closes_no_login(void **state)
{
	enum { GUESSERS = 8, LATER = 12 };
	struct broker_options o = options();
	struct kafka_client honest, guess[GUESSERS], later[LATER], inside;
	struct sasl_authenticate_request wrong = {.auth_bytes = bytes_of("\0slow\0wrong", 11)};
	struct sasl_authenticate_request right = {.auth_bytes = bytes_of("\0alice\0secret", 13)};
	(void)state;
	o.strangers_max = GUESSERS + 1;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	connect_inside(&inside);
	put_user(&inside, STR("slow"), "x", 16384); /* it takes longest to verify */
	kafka_connect(&honest, &server);
	assert_int_equal(handshake(&honest, 1, STR("PLAIN")), 0);
	for (int i = 0; i < GUESSERS; i++) {
		kafka_connect(&guess[i], &server);
		assert_int_equal(handshake(&guess[i], 1, STR("PLAIN")), 0);
	}
	for (int i = 0; i < GUESSERS; i++)
		kafka_send(&guess[i], API_SASL_AUTHENTICATE, 2, &wrong);
	kafka_send(&honest, API_SASL_AUTHENTICATE, 2, &right);
	for (int i = 0; i < LATER; i++)
		kafka_connect(&later[i], &server);
	const struct sasl_authenticate_response *r =
	    kafka_receive(&honest, API_SASL_AUTHENTICATE, 2);
	assert_int_equal(r->error_code, 0);
	assert_int_equal(metadata(&honest), 0);
	for (int i = 0; i < LATER; i++)
		kafka_disconnect(&later[i]);
	for (int i = 0; i < GUESSERS; i++)
		kafka_disconnect(&guess[i]);
	kafka_disconnect(&honest);
	kafka_disconnect(&inside);
}

enum { GUESSES = 40 };

/* How many guesses at another's password, sent before from the same address, are decided when an
 * honest client comes in. */
static int guesses_before_an_honest_one(const char *token, size_t token_len)
{
	struct kafka_client honest, guess[GUESSES];
	struct sasl_authenticate_request wrong = {.auth_bytes = bytes_of("\0slow\0wrong", 11)};
	int decided = 0;
	kafka_connect(&honest, &server);
	assert_int_equal(handshake(&honest, 1, STR("PLAIN")), 0);
	for (int i = 0; i < GUESSES; i++) {
		kafka_connect(&guess[i], &server);
		assert_int_equal(handshake(&guess[i], 1, STR("PLAIN")), 0);
	}
	for (int i = 0; i < GUESSES; i++)
		kafka_send(&guess[i], API_SASL_AUTHENTICATE, 2, &wrong);
	assert_int_equal(authenticate(&honest, bytes_of(token, token_len))->error_code, 0);
	for (int i = 0; i < GUESSES; i++)
		decided += kafka_readable(&guess[i], 0);
	assert_int_equal(metadata(&honest), 0);
	for (int i = 0; i < GUESSES; i++) {
		const struct sasl_authenticate_response *r =
		    kafka_receive(&guess[i], API_SASL_AUTHENTICATE, 2);
		assert_int_equal(r->error_code, DENIED);
		kafka_disconnect(&guess[i]);
	}
	kafka_disconnect(&honest);
	return decided;
}

/* A guesser behind the same address: what he tries is his to wait for. (Of the names that an address
 * has, each sixteenth shares its turns with his: not all of these do.) */
static void guessing_one_name_does_not_hold_up_others_of_its_address(void **state)
{
	struct broker_options o = options();
	struct kafka_client inside;
	int least = GUESSES;
	(void)state;
	o.sasl.refusal_delay_ns = MS_NS;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	connect_inside(&inside);
	put_user(&inside, STR("slow"), "x", 16384);
	for (int i = 0; i < 6 && least > GUESSES / 2; i++) {
		char token[16] = "";
		int len = snprintf(token + 1, sizeof(token) - 1, "honest%d", i);
		put_user(&inside, str_of(token + 1), "x", 4096);
		memcpy(token + 1 + len, "\0x", 2);
		int decided = guesses_before_an_honest_one(token, (size_t)len + 3);
		least = decided < least ? decided : least;
	}
	printf("# %d of %d guesses were decided before\n", least, GUESSES);
	assert_true(least <= GUESSES / 2);
	kafka_disconnect(&inside);
}

/* A flood in which each stops between two steps: they make room for each other, within the time,
 * the count and the memory of strangers, and honest clients come in all the while. */
static void who_stops_between_two_steps_makes_room(void **state)
{
	enum { FLOOD = 400, STRANGERS = 50 };
	static struct kafka_client flood[FLOOD];
	struct broker_options o = options();
	int ended = 0;
	(void)state;
	o.strangers_max = STRANGERS;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	for (int i = 0; i < FLOOD; i++) {
		kafka_connect(&flood[i], &server);
		assert_int_equal(handshake(&flood[i], 1, STR("SCRAM-SHA-256")), 0);
		if (i % 2) /* the client's first message, and no more */
			kafka_client_clear(&flood[i]);
		if (i % 2)
			authenticate(&flood[i], bytes_of("n,,n=alice,r=abcdefgh", 21));
		if (i % 20 == 0) {
			struct kafka_client honest;
			kafka_connect(&honest, &server);
			assert_int_equal(PLAIN(&honest, "\0alice\0secret"), 0);
			assert_int_equal(metadata(&honest), 0);
			kafka_disconnect(&honest);
		}
	}
	for (int i = 0; i < FLOOD - STRANGERS; i++)
		ended += kafka_is_closed(&flood[i]);
	assert_int_equal(ended, FLOOD - STRANGERS);
	assert_true(metric_value(METRIC_CONNECTIONS) <= STRANGERS + 1);
	for (int i = 0; i < FLOOD; i++)
		kafka_disconnect(&flood[i]);
}

/* What has begun to say who it is ends in time, too, though it says a little more now and then. */
static void a_step_now_and_then_is_not_enough(void **state)
{
	struct broker_options o = options();
	struct kafka_client slow;
	struct api_versions_request hello = {STR("t"), STR("1")};
	(void)state;
	o.authentication_ns = S_NS;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	kafka_connect(&slow, &server);
	kafka_call(&slow, API_API_VERSIONS, 3, &hello);
	assert_int_equal(handshake(&slow, 1, STR("SCRAM-SHA-256")), 0);
	authenticate(&slow, bytes_of("n,,n=alice,r=abcdefgh", 21));
	assert_true(kafka_is_closed(&slow));
	kafka_disconnect(&slow);
}

/* Not who came first: who has sent nothing for longest. */
static void the_most_silent_makes_room(void **state)
{
	struct broker_options o = options();
	struct api_versions_request hello = {STR("t"), STR("1")};
	struct kafka_client c[4];
	(void)state;
	o.strangers_max = 3;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	for (int i = 0; i < 3; i++) {
		kafka_connect(&c[i], &server);
		kafka_call(&c[i], API_API_VERSIONS, 3, &hello);
	}
	kafka_call(&c[0], API_API_VERSIONS, 3, &hello);
	kafka_connect(&c[3], &server);
	kafka_call(&c[3], API_API_VERSIONS, 3, &hello);
	assert_true(kafka_is_closed(&c[1]));
	kafka_call(&c[0], API_API_VERSIONS, 3, &hello);
	for (int i = 0; i < 4; i++)
		kafka_disconnect(&c[i]);
}

static void one_address_gets_so_many_connections(void **state)
{
	struct broker_options o = options();
	struct kafka_client c[3];
	(void)state;
	o.connections_per_ip_max = 2;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 2; i++) {
			connect_inside(&c[i]);
			assert_int_equal(metadata(&c[i]), 0);
		}
		connect_inside(&c[2]);
		assert_true(kafka_is_closed(&c[2]));
		for (int i = 0; i < 3; i++)
			kafka_disconnect(&c[i]);
		assert_true(metric_falls(METRIC_CONNECTIONS, 0));
	}
}

/* ---- bytes that mean nothing ----------------------------------------------------------------- */

static void noise_never_comes_in(void **state)
{
	static const struct str mechanisms[] = {
	    {"PLAIN", 5}, {"SCRAM-SHA-256", 13}, {"SCRAM-SHA-512", 13}};
	static const char seed[] = "n,,n=alice,r=abc,c=biws,p=v,s=i=\0alice\0secre";
	struct broker_options o = options();
	(void)state;
	o.sasl.refusal_delay_ns = -1;
	kafka_server_stop(&server);
	kafka_server_start(&server, backend, &o);
	for (int i = 0; i < 600; i++) {
		struct kafka_client c;
		uint8_t noise[128];
		size_t len = prng_below(&rng, sizeof(noise));
		for (size_t k = 0; k < len; k++)
			noise[k] = prng_below(&rng, 8)
			               ? (uint8_t)seed[(k + (size_t)i) % (sizeof(seed) - 1)]
			               : (uint8_t)prng_u64(&rng);
		kafka_connect(&c, &server);
		assert_int_equal(handshake(&c, 1, mechanisms[i % 3]), 0);
		const struct sasl_authenticate_response *r = authenticate(&c, bytes_of(noise, len));
		if (r->error_code == 0) { /* a first message: the second is noise too */
			assert_true(i % 3 > 0 && r->auth_bytes.len > 0);
			r = authenticate(&c, bytes_of(noise, len));
		}
		assert_int_equal(r->error_code, DENIED);
		assert_true(kafka_is_closed(&c));
		kafka_disconnect(&c);
	}
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    EACH (before_it_only_three_requests_are_served),
	    EACH (the_right_password_opens_everything),
	    EACH (a_pipeline_behind_the_password_waits_for_it),
	    EACH (refusals_are_alike_and_late),
	    EACH (who_goes_while_it_is_decided_leaves_nothing),
	    EACH (an_unknown_mechanism_is_named_with_those_there_are),
	    EACH (scram_lets_in_who_knows_the_password),
	    EACH (unknown_users_have_a_salt_that_stays),
	    EACH (bare_tokens_of_old_clients_are_understood),
	    EACH (a_session_ends_unless_it_is_renewed),
	    EACH (nobody_becomes_another_by_renewal),
	    EACH (users_are_described_and_altered),
	    EACH (nobody_is_given_the_name_of_nobody_or_of_all),
	    EACH (only_who_may_alter_the_cluster_makes_users),
	    EACH (strangers_make_room_for_each_other_and_for_others),
	    EACH (guessing_closes_no_login),
	    EACH (guessing_one_name_does_not_hold_up_others_of_its_address),
	    EACH (who_stops_between_two_steps_makes_room),
	    EACH (a_step_now_and_then_is_not_enough),
	    EACH (the_most_silent_makes_room),
	    EACH (one_address_gets_so_many_connections),
	    EACH (noise_never_comes_in),
	};
	prng_init(&rng, test_seed(20250302));
	diag_set_level(DIAG_ERROR);
	int failed = cmocka_run_group_tests_name("uring", tests, NULL, NULL);
	backend = "threads";
	failed += cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	return failed;
}
