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
	bool tls_too; /* asked for; else the refresh is due */
	struct tls_server *tls;
	struct jwks *jwks;
	enum err tls_err, jwks_err;
	char tls_why[400], jwks_why[400];
};

/* ---- again ----------------------------------------------------------------------------------- */

static void run(struct crypto_work *work)
{
	struct security *s = CONTAINER_OF(work, struct security, work);
	const struct broker *b = s->broker;
	s->tls = NULL;
	s->jwks = NULL;
	err_clear();
	s->tls_err = s->jwks_err = ERR_OK;
	if (b->tls && s->tls_too)
		s->tls_err = tls_server_new(b->io, &b->options.tls, &s->tls);
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
	if (s->tls) {
		tls_server_free(b->tls);
		b->tls = s->tls;
		diag(DIAG_INFO, "tls_reloaded", "certificate=\"%s\"",
		    b->options.tls.certificate_path);
	} else if (s->tls_err != ERR_OK) {
		diag(DIAG_ERROR, "tls_not_reloaded", "err=%s reason=%s", err_name(s->tls_err),
		    s->tls_why);
	}
	s->tls = NULL;
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

static void start(struct security *s, bool tls_too)
{
	struct broker *b = s->broker;
	if (s->busy || b->closing || (!b->tls && !b->jwks))
		return;
	s->busy = true;
	s->tls_too = tls_too;
	s->work.run = run;
	s->work.done = done;
	crypto_submit(&b->crypto, STR(""), &s->work);
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
static enum err copy_strings(struct broker_options *o)
{
	const char **all[] = {&o->tls.certificate_path, &o->tls.key_path, &o->tls.key_password,
	    &o->tls.authorities_path, &o->oauth.jwks_path, &o->oauth.issuer, &o->oauth.audience,
	    &o->oauth.user_claim, &o->oauth.scope_claim, &o->oauth.required_scope};
	enum err err = ERR_OK;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (copy(all[i]) != ERR_OK)
			err = ERR_NOMEM;
	}
	return err;
}

static void free_strings(struct broker_options *o)
{
	const char *all[] = {o->tls.certificate_path, o->tls.key_path, o->tls.key_password,
	    o->tls.authorities_path, o->oauth.jwks_path, o->oauth.issuer, o->oauth.audience,
	    o->oauth.user_claim, o->oauth.scope_claim, o->oauth.required_scope};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		mem_free((void *)(uintptr_t)all[i]);
}

static enum err open_tls(struct broker *b)
{
	const struct broker_tls_options *o = &b->options.tls;
	if (!o->certificate_path || !o->key_path)
		return err_note(ERR_INVALID_CONFIG, "TLS needs a certificate and its key");
	if (o->client_auth != BROKER_CLIENT_AUTH_NONE && !o->authorities_path)
		return err_note(ERR_INVALID_CONFIG,
		    "client certificates are asked for, but no authority is named that signs them");
	return tls_server_new(b->io, o, &b->tls);
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

enum err security_open(struct broker *b, const struct broker_options *options)
{
	bool tls = false, sasl = false;
	struct security *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	b->security = s;
	s->broker = b;
	loop_timer_init(&s->refresh, on_refresh);
	TRY(copy_strings(&b->options));
	for (size_t i = 0; i < options->listener_count; i++) {
		tls |= broker_protocol_tls(options->listeners[i].protocol);
		sasl |= broker_protocol_sasl(options->listeners[i].protocol);
	}
	if (tls)
		TRY(open_tls(b));
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
	tls_server_free(b->tls);
	jwks_free(b->jwks);
	free_strings(&b->options);
	mem_free(b->security);
}
