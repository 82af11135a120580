/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What listeners with TLS and SASL need from files: key and certificates, keys of tokens. Read at
 * the start, where anything wrong is an error, and again while the server runs, on the service
 * pool, where what was good before stays.
 */
#include "broker/auth/jwt.h"
#include "broker/kafka/server.h"
#include "broker/kafka/tls.h"

struct security {
	struct broker *broker;
	struct loop_timer refresh; /* of the keys of tokens */
	struct crypto_work work;
	bool busy;
	bool tls_too;                                 /* asked for; else the refresh is due */
	struct tls_server *tls[BROKER_LISTENERS_MAX]; /* new ones */
	struct jwks *jwks;
	enum err tls_err, jwks_err;
	char tls_why[400], jwks_why[400];
};

/* ---- again ----------------------------------------------------------------------------------- */

static void drop_tls(struct tls_server **all)
{
	for (size_t i = 0; i < BROKER_LISTENERS_MAX; i++) {
		tls_server_free(all[i]);
		all[i] = NULL;
	}
}

/* Of all listeners that have TLS, or of none. */
static enum err read_tls(const struct broker *b, struct tls_server **all)
{
	for (size_t i = 0; i < BROKER_LISTENERS_MAX; i++) {
		enum err err =
		    b->tls[i] ? tls_server_new(b->io, &b->tls_options[i], &all[i]) : ERR_OK;
		if (err != ERR_OK) {
			drop_tls(all);
			return err;
		}
	}
	return ERR_OK;
}

static void run(struct crypto_work *work)
{
	struct security *s = CONTAINER_OF(work, struct security, work);
	const struct broker *b = s->broker;
	s->jwks = NULL;
	err_clear();
	s->tls_err = s->jwks_err = ERR_OK;
	if (s->tls_too)
		s->tls_err = read_tls(b, s->tls);
	diag_quote(s->tls_why, sizeof(s->tls_why), str_of(err_chain()));
	err_clear();
	if (b->jwks)
		s->jwks_err = jwks_new(b->io, b->options.oauth.jwks_path, &s->jwks);
	diag_quote(s->jwks_why, sizeof(s->jwks_why), str_of(err_chain()));
	err_clear();
}

static void take_tls(struct security *s)
{
	struct broker *b = s->broker;
	if (s->tls_err != ERR_OK)
		diag(DIAG_ERROR, "tls_not_reloaded", "err=%s reason=%s", err_name(s->tls_err),
		    s->tls_why);
	for (size_t i = 0; i < BROKER_LISTENERS_MAX; i++) {
		if (!s->tls[i])
			continue;
		tls_server_free(b->tls[i]);
		b->tls[i] = s->tls[i];
		s->tls[i] = NULL;
		diag(DIAG_INFO, "tls_reloaded", "listener=%s:%u certificate=\"%s\"",
		    b->listeners[i].options.host, b->listeners[i].port,
		    b->tls_options[i].certificate_path);
	}
}

static void take_jwks(struct security *s)
{
	struct broker *b = s->broker;
	if (s->jwks) {
		jwks_free(b->jwks);
		b->jwks = s->jwks;
	} else if (s->jwks_err != ERR_OK) {
		diag(DIAG_ERROR, "jwks_not_reloaded", "err=%s reason=%s", err_name(s->jwks_err),
		    s->jwks_why);
	}
	s->jwks = NULL;
}

static void set_refresh(struct security *s)
{
	struct broker *b = s->broker;
	if (b->jwks && !b->closing)
		loop_timer_set(
		    b->loop, &s->refresh, loop_now_ns(b->loop) + b->options.oauth.refresh_ns);
}

static void done(struct crypto_work *work)
{
	struct security *s = CONTAINER_OF(work, struct security, work);
	s->busy = false;
	if (work->err == ERR_OK) {
		take_tls(s);
		take_jwks(s);
	} else {
		diag(DIAG_ERROR, "tls_not_reloaded", "err=%s", err_name(work->err));
	}
	set_refresh(s);
}

static bool has_tls(const struct broker *b)
{
	for (size_t i = 0; i < BROKER_LISTENERS_MAX; i++) {
		if (b->tls[i])
			return true;
	}
	return false;
}

static void start(struct security *s, bool tls_too)
{
	struct broker *b = s->broker;
	if (s->busy || b->closing || (!has_tls(b) && !b->jwks))
		return;
	s->busy = true;
	s->tls_too = tls_too;
	s->work.run = run;
	s->work.done = done;
	crypto_submit(&b->crypto, STR(""), STR(""), &s->work);
}

static void on_refresh(struct loop_timer *timer)
{
	start(CONTAINER_OF(timer, struct security, refresh), false);
}

static void start_all(void *arg)
{
	struct broker *b = arg;
	start(b->security, true);
}

void broker_reload(struct broker *b)
{
	loop_call(b->loop, start_all, b);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static enum err copy(const char **text)
{
	const char *from = *text;
	*text = from ? mem_strdup(str_of(from)) : NULL;
	return from && !*text ? ERR_NOMEM : ERR_OK;
}

/* The options hold what is the caller's: each string becomes a copy, or NULL. */
static enum err copy_strings(const char **const *all, size_t count)
{
	enum err err = ERR_OK;
	for (size_t i = 0; i < count; i++) {
		if (copy(all[i]) != ERR_OK)
			err = ERR_NOMEM;
	}
	return err;
}

enum { TLS_STRINGS = 5, OAUTH_STRINGS = 6 };

static void tls_strings(struct broker_tls_options *o, const char **ret[TLS_STRINGS])
{
	const char **all[] = {&o->certificate_path, &o->key_path, &o->key_password,
	    &o->authorities_path, &o->name_rules};
	memcpy(ret, all, sizeof(all));
}

static void oauth_strings(struct broker_oauth_options *o, const char **ret[OAUTH_STRINGS])
{
	const char **all[] = {&o->jwks_path, &o->issuer, &o->audience, &o->user_claim,
	    &o->scope_claim, &o->required_scope};
	memcpy(ret, all, sizeof(all));
}

static void free_strings(const char **const *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		mem_free((void *)(uintptr_t)*all[i]);
}

static enum err open_tls(struct broker *b, size_t door, const struct broker_tls_options *from)
{
	struct broker_tls_options *o = &b->tls_options[door];
	const char **strings[TLS_STRINGS];
	*o = *from;
	tls_strings(o, strings);
	TRY(copy_strings(strings, TLS_STRINGS));
	if (!o->certificate_path || !o->key_path)
		return err_note(ERR_INVALID_CONFIG, "TLS needs a certificate and its key");
	if (o->client_auth != BROKER_CLIENT_AUTH_NONE && !o->authorities_path)
		return err_note(ERR_INVALID_CONFIG,
		    "client certificates are asked for, but no authority is named that signs them");
	return tls_server_new(b->io, o, &b->tls[door]);
}

/* Without keys, issuer and audience any token would do: then there are none. */
static enum err open_oauth(struct broker *b)
{
	struct broker_oauth_options *o = &b->options.oauth;
	if (!o->jwks_path || !o->issuer || !o->audience || !*o->issuer || !*o->audience)
		return err_note(ERR_INVALID_CONFIG,
		    "OAUTHBEARER needs a file of keys, the issuer and the audience to expect");
	if (o->refresh_ns == 0)
		o->refresh_ns = 60 * S_NS;
	return jwks_new(b->io, o->jwks_path, &b->jwks);
}

static enum err open_listeners_tls(struct broker *b, const struct broker_options *options)
{
	size_t count = options->listener_count;
	for (size_t i = 0; i < count && i < BROKER_LISTENERS_MAX; i++) {
		const struct broker_listener *l = &options->listeners[i];
		if (broker_protocol_tls(l->protocol))
			TRY(open_tls(b, i, l->tls ? l->tls : &options->tls));
	}
	return ERR_OK;
}

enum err security_open(struct broker *b, const struct broker_options *options)
{
	bool sasl = false;
	const char **strings[OAUTH_STRINGS];
	struct security *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	b->security = s;
	s->broker = b;
	loop_timer_init(&s->refresh, on_refresh);
	b->options.tls = (struct broker_tls_options){0}; /* b->tls_options has it */
	oauth_strings(&b->options.oauth, strings);
	TRY(copy_strings(strings, OAUTH_STRINGS));
	for (size_t i = 0; i < options->listener_count; i++)
		sasl |= broker_protocol_sasl(options->listeners[i].protocol);
	TRY(open_listeners_tls(b, options));
	if (sasl && (b->options.sasl.mechanisms & BROKER_SASL_OAUTHBEARER))
		TRY(open_oauth(b));
	set_refresh(s);
	return ERR_OK;
}

void security_stop(struct broker *b)
{
	loop_timer_cancel(b->loop, &b->security->refresh);
}

bool security_busy(const struct broker *b)
{
	return b->security->busy;
}

void security_release(struct broker *b)
{
	if (!b->security)
		return;
	loop_timer_cancel(b->loop, &b->security->refresh);
	ASSERT(!b->security->busy);
	const char **oauth[OAUTH_STRINGS], **tls[TLS_STRINGS];
	for (size_t i = 0; i < BROKER_LISTENERS_MAX; i++) {
		tls_strings(&b->tls_options[i], tls);
		free_strings(tls, TLS_STRINGS);
	}
	drop_tls(b->tls);
	jwks_free(b->jwks);
	oauth_strings(&b->options.oauth, oauth);
	free_strings(oauth, OAUTH_STRINGS);
	mem_free(b->security);
}
