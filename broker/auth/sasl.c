/* SPDX-License-Identifier: Apache-2.0 */
/* The conversation and its mechanisms. See sasl.h. */
#include "broker/auth/sasl.h"
#include "broker/auth/auth.h"
#include "broker/auth/handlers.h"
#include "broker/auth/jwt.h"
#include "broker/kafka/server.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

enum { NONCE_BYTES = 24, TOKEN_MAX = SCRAM_MESSAGE_MAX, BEARER_MAX = JWT_BYTES_MAX + 1024 };
static const int64_t AGAIN_NS = S_NS; /* Kafka: no re-authentication sooner after the last */
static const int64_t LIFETIME_MAX_NS = 100 * INT64_C(365) * 86400 * S_NS; /* of a bearer */

struct sasl {
	struct conn *conn;
	unsigned mechanism; /* one of BROKER_SASL_ */
	bool raw;           /* bare tokens */
	bool again;         /* the connection is admitted already */
	bool challenged;
	bool known; /* the user is there */
	bool right; /* PLAIN: the password is */
	struct scram scram;
	struct request *deciding; /* whose token it is */
	struct crypto_work work;  /* PLAIN */
	uint8_t *password;
	size_t password_len;
	struct loop_timer refusal;
	int64_t expires_in_ns; /* OAUTHBEARER: until the token ends; else 0 */
};

static const struct {
	unsigned mechanism;
	struct str name;
} names[] = {
    {BROKER_SASL_PLAIN, {"PLAIN", 5}},
    {BROKER_SASL_SCRAM_256, {"SCRAM-SHA-256", 13}},
    {BROKER_SASL_SCRAM_512, {"SCRAM-SHA-512", 13}},
    {BROKER_SASL_OAUTHBEARER, {"OAUTHBEARER", 11}},
};
enum { NAME_COUNT = sizeof(names) / sizeof(names[0]) };

static struct str name_of(unsigned mechanism)
{
	for (size_t i = 0; i < NAME_COUNT; i++) {
		if (names[i].mechanism == mechanism)
			return names[i].name;
	}
	return STR("none");
}

static const struct broker_sasl_options *options_of(const struct conn *c)
{
	return &c->broker->options.sasl;
}

/* Those offered where `c` came in. */
static unsigned offered(const struct conn *c)
{
	const struct broker_sasl_options *o = options_of(c);
	unsigned set = o->mechanisms;
	if (!c->listener || !broker_protocol_sasl(c->listener->options.protocol))
		return 0;
	if (!broker_protocol_tls(c->listener->options.protocol) && !o->plain_without_tls)
		set &= ~(unsigned)BROKER_SASL_PLAIN;
	if (!c->broker->jwks)
		set &= ~(unsigned)BROKER_SASL_OAUTHBEARER;
	return set;
}

/* ---- what is served when --------------------------------------------------------------------- */

enum err sasl_admits(const struct conn *c, int16_t key)
{
	if (c->sasl)
		return key == API_SASL_AUTHENTICATE
		           ? ERR_OK
		           : err_note(ERR_UNAUTHORIZED, "api key %d amid authentication", key);
	if (!c->admitted)
		return key == API_API_VERSIONS || key == API_SASL_HANDSHAKE
		           ? ERR_OK
		           : err_note(ERR_UNAUTHORIZED, "api key %d before authentication", key);
	if (c->session_end_ns && loop_now_ns(c->broker->loop) >= c->session_end_ns &&
	    key != API_SASL_HANDSHAKE)
		return err_note(ERR_UNAUTHORIZED, "the session has ended");
	return ERR_OK;
}

bool sasl_expects_token(const struct conn *c)
{
	return c->sasl && c->sasl->raw;
}

bool sasl_decides(const struct conn *c)
{
	return c->sasl && c->sasl->deciding;
}

bool sasl_verifies(const struct conn *c)
{
	return sasl_decides(c) && !loop_timer_is_set(&c->sasl->refusal);
}

/* ---- the ends of a conversation -------------------------------------------------------------- */

static void forget_password(struct sasl *s)
{
	if (s->password)
		OPENSSL_cleanse(s->password, s->password_len);
	mem_free(s->password);
	s->password = NULL;
	s->password_len = 0;
}

void sasl_free(struct sasl *s)
{
	if (!s)
		return;
	ASSERT(!s->deciding && !loop_timer_is_set(&s->refusal));
	forget_password(s);
	scram_release(&s->scram);
	mem_free(s);
}

/* `token` is for the client. */
static void reply(struct request *req, bool raw, struct bytes token, int64_t lifetime_ns)
{
	struct sasl_authenticate_response *r = req->response;
	if (raw) {
		request_answer_raw(req, token);
		return;
	}
	r->auth_bytes = arena_copy(&req->arena, token);
	r->session_lifetime_ms = lifetime_ns / MS_NS;
	if (token.len > 0 && !r->auth_bytes.ptr)
		request_fail(req, ERR_NOMEM);
	else
		request_answer(req);
}

/* GONE: what is said to the client is the same for every reason (S2). */
static void send_refusal(struct sasl *s)
{
	struct request *req = s->deciding;
	struct conn *c = s->conn;
	s->deciding = NULL;
	req->closed = NULL;
	if (s->raw) {
		conn_close(c, ERR_OK, "authentication failed");
		request_end_silently(req);
		return;
	}
	struct sasl_authenticate_response *r = req->response;
	struct str name = name_of(s->mechanism);
	r->error_code = err_kafka(ERR_UNAUTHORIZED);
	r->error_message = request_text(req,
	    "Authentication failed during authentication due to invalid credentials with SASL "
	    "mechanism " STR_FMT,
	    STR_ARG(name));
	c->last = true;
	request_answer(req);
}

static void on_refusal_due(struct loop_timer *timer)
{
	send_refusal(CONTAINER_OF(timer, struct sasl, refusal));
}

/* The connection has gone. */
static void drop(struct sasl *s)
{
	struct request *req = s->deciding;
	s->deciding = NULL;
	forget_password(s);
	request_end_silently(req);
}

static void on_closed(struct request *req)
{
	struct sasl *s = req->conn->sasl;
	bool waits = loop_timer_is_set(&s->refusal);
	if (waits)
		loop_timer_cancel(s->conn->broker->loop, &s->refusal);
	if (waits || crypto_withdraw(&s->work))
		drop(s); /* else on_password_checked comes */
}

/* Takes the reason, for the operator, from the error chain. */
static void refuse(struct sasl *s, struct request *req)
{
	struct conn *c = s->conn;
	char user[400], reason[400];
	struct str name = name_of(s->mechanism);
	diag(DIAG_WARN, "kafka_authentication_failed",
	    "peer=%s:%u mechanism=" STR_FMT " user=%s reason=%s", c->peer.host, c->peer.port,
	    STR_ARG(name), diag_quote(user, sizeof(user), str_of(s->scram.user)),
	    diag_quote(reason, sizeof(reason), str_of(err_chain())));
	err_clear();
	metric_add(METRIC_AUTH_FAILURES, 1);
	forget_password(s);
	s->deciding = req;
	req->closed = on_closed;
	loop_timer_set(
	    c->broker->loop, &s->refusal, req->received_ns + options_of(c)->refusal_delay_ns);
}

static enum err take_principal(struct sasl *s)
{
	struct conn *c = s->conn;
	char principal[SCRAM_USER_MAX + 8];
	snprintf(principal, sizeof(principal), "User:%s", s->scram.user);
	if (auth_is_reserved(str_of(principal)))
		return err_note(ERR_UNAUTHORIZED, "nobody logs in as %s", principal);
	if (s->again && strcmp(c->user, principal) != 0)
		return err_note(ERR_UNAUTHORIZED, "%s came back as %s", c->user, principal);
	if (!s->again)
		c->user = mem_strdup(str_of(principal));
	return c->user ? ERR_OK : err_note(ERR_NOMEM, "no memory for a principal");
}

/* ADMITTED: the conversation is over. */
static void sasl_admit(struct sasl *s, struct request *req, struct bytes token)
{
	struct conn *c = s->conn;
	int64_t lifetime_ns = options_of(c)->session_ns;
	if (s->expires_in_ns && (!lifetime_ns || s->expires_in_ns < lifetime_ns))
		lifetime_ns = s->expires_in_ns;
	bool raw = s->raw;
	if (take_principal(s) != ERR_OK) {
		refuse(s, req);
		return;
	}
	c->admitted = true;
	admission_known(c);
	c->mechanism = s->mechanism;
	c->session_end_ns = lifetime_ns ? loop_now_ns(c->broker->loop) + lifetime_ns : 0;
	c->sasl = NULL;
	sasl_free(s);
	metric_add(METRIC_AUTH_SUCCESSES, 1);
	reply(req, raw, token, lifetime_ns);
}

/* ---- PLAIN (RFC 4616) ------------------------------------------------------------------------ */

/* [authzid] NUL user NUL password */
static enum err read_plain(struct sasl *s, struct bytes token, struct str *ret_password)
{
	struct str part[3] = {{NULL, 0}, {NULL, 0}, {NULL, 0}};
	size_t from = 0, n = 0;
	for (size_t i = 0; i <= token.len; i++) {
		if (i < token.len && token.ptr[i] != 0)
			continue;
		if (n == 3)
			return err_note(ERR_UNAUTHORIZED, "PLAIN: more than three parts");
		part[n++] = str_from(token.ptr + from, i - from);
		from = i + 1;
	}
	if (n != 3 || part[1].len == 0 || part[2].len == 0)
		return err_note(ERR_UNAUTHORIZED, "PLAIN: no user or no password");
	if (part[1].len > SCRAM_USER_MAX)
		return err_note(ERR_UNAUTHORIZED, "PLAIN: a user name that nobody has");
	memcpy(s->scram.user, part[1].ptr, part[1].len);
	s->scram.user[part[1].len] = '\0';
	if (part[0].len > 0 && !str_equal(part[0], part[1]))
		return err_note(ERR_UNAUTHORIZED, "PLAIN: nobody may act for another user");
	*ret_password = part[2];
	return ERR_OK;
}

static void check_password(struct crypto_work *work)
{
	struct sasl *s = CONTAINER_OF(work, struct sasl, work);
	s->right =
	    scram_verify_password(&s->scram.credential, str_from(s->password, s->password_len));
}

static void on_password_checked(struct crypto_work *work)
{
	struct sasl *s = CONTAINER_OF(work, struct sasl, work);
	struct request *req = s->deciding;
	if (s->conn->closing) {
		drop(s);
		return;
	}
	s->deciding = NULL;
	req->closed = NULL;
	err_clear();
	bool known = users_find(&s->conn->broker->auth->users, str_of(s->scram.user),
	                 s->scram.credential.mechanism) != NULL;
	if (work->err == ERR_OK && s->known && s->right && known) {
		sasl_admit(s, req, bytes_of("", 0));
		return;
	}
	if (work->err != ERR_OK)
		err_note(work->err, "no room in the service pool");
	else
		err_note(ERR_UNAUTHORIZED, s->known ? "wrong password" : "unknown user");
	refuse(s, req);
}

/* Of the user, or one that looks like it: the work is the same. */
static void find_credential(struct sasl *s, enum scram_mechanism mechanism)
{
	const struct users *users = &s->conn->broker->auth->users;
	const struct user *user = users_find(users, str_of(s->scram.user), mechanism);
	s->known = user != NULL;
	if (user)
		s->scram.credential = user->credential;
	else
		users_invent(users, str_of(s->scram.user), mechanism, &s->scram.credential);
}

static enum err step_plain(struct sasl *s, struct request *req, struct bytes token)
{
	struct str password = {NULL, 0};
	TRY(read_plain(s, token, &password));
	find_credential(s, SCRAM_SHA_256);
	if (!s->known)
		find_credential(s, SCRAM_SHA_512);
	s->password = mem_alloc(password.len);
	if (!s->password)
		return err_note(ERR_NOMEM, "no memory for a password");
	memcpy(s->password, password.ptr, password.len);
	s->password_len = password.len;
	s->deciding = req;
	req->closed = on_closed;
	s->work.run = check_password;
	s->work.done = on_password_checked;
	crypto_submit(
	    &s->conn->broker->crypto, str_of(s->conn->peer.host), str_of(s->scram.user), &s->work);
	return ERR_OK;
}

/* ---- SCRAM ----------------------------------------------------------------------------------- */

static enum err begin_scram(struct sasl *s, struct bytes token, struct writer *out)
{
	uint8_t random[NONCE_BYTES];
	char nonce[4 * NONCE_BYTES / 3 + 1];
	TRY(scram_first(&s->scram, token));
	find_credential(s, s->mechanism == BROKER_SASL_SCRAM_512 ? SCRAM_SHA_512 : SCRAM_SHA_256);
	struct scram_credential credential = s->scram.credential;
	io_random(s->conn->broker->io, random, sizeof(random));
	EVP_EncodeBlock((uint8_t *)nonce, random, sizeof(random));
	enum err err = scram_challenge(&s->scram, &credential, str_of(nonce), out);
	OPENSSL_cleanse(&credential, sizeof(credential));
	s->challenged = true;
	return err;
}

static enum err step_scram(struct sasl *s, struct request *req, struct bytes token)
{
	struct writer out;
	writer_init(&out, SCRAM_TEXT_MAX);
	bool ends = s->challenged;
	enum err err = ends ? scram_final(&s->scram, token, &out) : begin_scram(s, token, &out);
	/* one that went meanwhile does not come in */
	if (err == ERR_OK && ends &&
	    (!s->known || !users_find(&s->conn->broker->auth->users, str_of(s->scram.user),
	                      s->scram.credential.mechanism)))
		err = err_note(ERR_UNAUTHORIZED, "unknown user");
	if (err == ERR_OK && ends)
		sasl_admit(s, req, writer_bytes(&out));
	else if (err == ERR_OK)
		reply(req, s->raw, writer_bytes(&out), 0);
	writer_release(&out);
	return err;
}

/* ---- OAUTHBEARER (RFC 7628) ------------------------------------------------------------------ */

/* n,[a=authzid],^Aauth=Bearer TOKEN^A[key=value^A]^A */
static enum err read_bearer(struct str message, struct str *ret_authzid, struct str *ret_token)
{
	static const char bearer[] = "auth=Bearer ";
	struct str rest = message;
	size_t comma = 2;
	*ret_authzid = *ret_token = (struct str){NULL, 0};
	if (rest.len < 3 || (rest.ptr[0] != 'n' && rest.ptr[0] != 'y') || rest.ptr[1] != ',')
		return err_note(ERR_UNAUTHORIZED, "OAUTHBEARER: a message that begins otherwise");
	while (comma < rest.len && rest.ptr[comma] != ',')
		comma++;
	if (comma >= 4 && memcmp(rest.ptr + 2, "a=", 2) == 0)
		*ret_authzid = str_from(rest.ptr + 4, comma - 4);
	else if (comma > 2)
		return err_note(ERR_UNAUTHORIZED, "OAUTHBEARER: a message that begins otherwise");
	for (size_t at = comma + 1, end; at < rest.len; at = end) {
		struct str item = str_from(rest.ptr + at + 1, rest.len - at - 1);
		end = at + 1;
		while (end < rest.len && rest.ptr[end] != 1)
			end++;
		item.len = end - at - 1;
		if (rest.ptr[at] != 1)
			break;
		if (item.len > sizeof(bearer) - 1 &&
		    memcmp(item.ptr, bearer, sizeof(bearer) - 1) == 0 && !ret_token->ptr)
			*ret_token =
			    str_from(item.ptr + sizeof(bearer) - 1, item.len - sizeof(bearer) + 1);
	}
	return ret_token->ptr ? ERR_OK : err_note(ERR_UNAUTHORIZED, "OAUTHBEARER: no token");
}

/* A token may end centuries from now: nanoseconds do not reach that far. */
static int64_t lifetime_of(int64_t seconds)
{
	return (seconds < LIFETIME_MAX_NS / S_NS ? seconds : LIFETIME_MAX_NS / S_NS) * S_NS;
}

static enum err step_bearer(struct sasl *s, struct request *req, struct bytes message)
{
	const struct broker *b = s->conn->broker;
	const struct broker_oauth_options *o = &b->options.oauth;
	const struct jwt_rules rules = {.issuer = o->issuer,
	    .audience = o->audience,
	    .user_claim = o->user_claim ? o->user_claim : "sub",
	    .scope_claim = o->scope_claim ? o->scope_claim : "scope",
	    .required_scope = o->required_scope,
	    .skew_s = o->skew_s};
	struct str authzid, token;
	struct jwt jwt;
	int64_t now_s = loop_realtime_ns(b->loop) / S_NS;
	if (!b->jwks)
		return err_note(ERR_UNAUTHORIZED, "OAUTHBEARER: no keys");
	TRY(read_bearer(bytes_str(message), &authzid, &token));
	TRY(jwt_verify(b->jwks, &rules, token, now_s, &jwt));
	_Static_assert(sizeof(jwt.user) <= sizeof(s->scram.user), "a user is a user");
	memcpy(s->scram.user, jwt.user, sizeof(jwt.user));
	if (authzid.len > 0 && !str_equal(authzid, str_of(jwt.user)))
		return err_note(ERR_UNAUTHORIZED, "OAUTHBEARER: nobody may act for another user");
	s->expires_in_ns = lifetime_of(jwt.expires_s - now_s);
	sasl_admit(s, req, bytes_of("", 0));
	return ERR_OK;
}

/* ---- requests -------------------------------------------------------------------------------- */

static void step(struct sasl *s, struct request *req, struct bytes token)
{
	enum err err;
	err_clear();
	bool bearer = s->mechanism == BROKER_SASL_OAUTHBEARER;
	if (token.len > (bearer ? (size_t)BEARER_MAX : TOKEN_MAX))
		err = err_note(ERR_UNAUTHORIZED, "a token of %zu bytes", token.len);
	else if (bearer)
		err = step_bearer(s, req, token);
	else if (s->mechanism == BROKER_SASL_PLAIN)
		err = step_plain(s, req, token);
	else
		err = step_scram(s, req, token);
	if (err != ERR_OK)
		refuse(s, req);
}

void handle_sasl_authenticate(struct request *req)
{
	const struct sasl_authenticate_request *body = req->body;
	struct sasl_authenticate_response *r = req->response;
	struct sasl *s = req->conn->sasl;
	if (s) {
		step(s, req, body->auth_bytes);
		return;
	}
	r->error_code = err_kafka(ERR_SASL_STATE);
	r->error_message = STR("no authentication is under way here");
	request_answer(req);
}

void sasl_token(struct request *req)
{
	struct sasl *s = req->conn->sasl;
	ASSERT(sasl_expects_token(req->conn) && !sasl_decides(req->conn));
	step(s, req, bytes_of(req->frame, req->frame_len));
}

/* Kafka lets a session be renewed when it has an end, and not more often than once a second. */
static bool may_come_again(const struct request *req)
{
	const struct conn *c = req->conn;
	return c->session_end_ns && req->version >= 1 &&
	       loop_now_ns(c->broker->loop) - c->again_ns >= AGAIN_NS;
}

static enum err begin(struct request *req, unsigned mechanism)
{
	struct conn *c = req->conn;
	struct sasl *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->conn = c;
	s->mechanism = mechanism;
	s->raw = req->version == 0;
	s->again = c->admitted;
	c->again_ns = loop_now_ns(c->broker->loop);
	scram_init(&s->scram);
	list_node_init(&s->work.node);
	loop_timer_init(&s->refusal, on_refusal_due);
	c->sasl = s;
	return ERR_OK;
}

/* The names of what is offered; returns the one asked for, 0 when it is not among them. */
static unsigned fill_mechanisms(struct request *req, struct str asked)
{
	struct sasl_handshake_response *r = req->response;
	unsigned set = offered(req->conn), found = 0;
	r->mechanisms.at = request_alloc(req, NAME_COUNT * sizeof(*r->mechanisms.at));
	for (size_t i = 0; r->mechanisms.at && i < NAME_COUNT; i++) {
		if (!(set & names[i].mechanism))
			continue;
		r->mechanisms.at[r->mechanisms.count++] = names[i].name;
		if (str_equal(names[i].name, asked))
			found = names[i].mechanism;
	}
	return found;
}

void handle_sasl_handshake(struct request *req)
{
	const struct sasl_handshake_request *body = req->body;
	struct sasl_handshake_response *r = req->response;
	struct conn *c = req->conn;
	enum err err = ERR_OK;
	unsigned mechanism = fill_mechanisms(req, body->mechanism);
	if (!r->mechanisms.at)
		err = ERR_NOMEM;
	else if (c->admitted && !may_come_again(req))
		r->error_code = err_kafka(ERR_SASL_STATE);
	else if (mechanism == 0 || (c->admitted && mechanism != c->mechanism))
		r->error_code = err_kafka(ERR_SASL_MECHANISM);
	else
		err = begin(req, mechanism);
	if (err != ERR_OK) {
		request_fail(req, err);
		return;
	}
	/* who asks for what is not there has nothing else to say */
	c->last = r->error_code == err_kafka(ERR_SASL_MECHANISM);
	request_answer(req);
}
