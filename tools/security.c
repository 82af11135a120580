/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/security.h"

static enum err mechanism_named(const char *name, unsigned *ret_mechanism)
{
	static const struct {
		const char *name;
		unsigned mechanism;
	} all[] = {{"PLAIN", BROKER_SASL_PLAIN}, {"SCRAM-SHA-256", BROKER_SASL_SCRAM_256},
	    {"SCRAM-SHA-512", BROKER_SASL_SCRAM_512}, {"OAUTHBEARER", BROKER_SASL_OAUTHBEARER}};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (strcmp(all[i].name, name) != 0)
			continue;
		*ret_mechanism = all[i].mechanism;
		return ERR_OK;
	}
	return err_note(ERR_INVALID_CONFIG,
	    "sasl.enabled.mechanisms: %s: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER",
	    name);
}

static enum err sasl_options(
    const struct config *c, const struct listeners *l, struct broker_sasl_options *o)
{
	char name[64];
	struct str rest = str_of(config_get(c, CONFIG_SASL_MECHANISMS));
	while (list_next(&rest, name, sizeof name)) {
		unsigned mechanism = 0;
		TRY(mechanism_named(name, &mechanism));
		o->mechanisms |= mechanism;
	}
	o->plain_without_tls = config_bool(c, CONFIG_PLAIN_WITHOUT_TLS);
	int64_t delay_ms = config_number(c, CONFIG_REFUSAL_DELAY);
	o->refusal_delay_ns = delay_ms ? delay_ms * MS_NS : -1;
	o->session_ns = config_number(c, CONFIG_REAUTH) * MS_NS;
	for (size_t i = 0; i < l->count; i++) {
		unsigned set = o->mechanisms;
		if (!broker_protocol_tls(l->at[i].protocol) && !o->plain_without_tls)
			set &= ~(unsigned)BROKER_SASL_PLAIN;
		if (broker_protocol_sasl(l->at[i].protocol) && set == 0)
			return err_note(ERR_INVALID_CONFIG,
			    "sasl.enabled.mechanisms=%s: nothing is left for the listener %s "
			    "(PLAIN is for TLS, unless kappa.sasl.plain.without.tls=true)",
			    config_get(c, CONFIG_SASL_MECHANISMS), l->name[i]);
	}
	return ERR_OK;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

static const char *text_or_null(const struct config *c, enum config_key key)
{
	const char *text = config_get(c, key);
	return *text ? text : NULL;
}

static const char *text_of(const struct config *c, const char *listener, enum config_key key)
{
	const char *text = config_get_of(c, listener, key);
	return *text ? text : NULL;
}

static enum err check_is(
    const struct config *c, const char *listener, enum config_key key, const char *only)
{
	const char *text = config_get_of(c, listener, key);
	if (strcmp(text, only) == 0)
		return ERR_OK;
	return err_note(
	    ERR_INVALID_CONFIG, "%s=%s: only %s is there", config_name(key), text, only);
}

static enum err client_auth(
    const struct config *c, const char *listener, enum broker_client_auth *ret_auth)
{
	static const char *const names[] = {[BROKER_CLIENT_AUTH_NONE] = "none",
	    [BROKER_CLIENT_AUTH_REQUESTED] = "requested",
	    [BROKER_CLIENT_AUTH_REQUIRED] = "required"};
	const char *text = config_get_of(c, listener, CONFIG_SSL_CLIENT_AUTH);
	for (int i = 0; i < 3; i++) {
		if (strcmp(names[i], text) != 0)
			continue;
		*ret_auth = (enum broker_client_auth)i;
		return ERR_OK;
	}
	return err_note(
	    ERR_INVALID_CONFIG, "ssl.client.auth=%s: none, requested or required", text);
}

static enum err protocols(
    const struct config *c, const char *listener, struct broker_tls_options *o)
{
	char name[64];
	bool v2 = false, v3 = false;
	struct str rest = str_of(config_get_of(c, listener, CONFIG_SSL_PROTOCOLS));
	while (list_next(&rest, name, sizeof name)) {
		bool is2 = strcmp(name, "TLSv1.2") == 0, is3 = strcmp(name, "TLSv1.3") == 0;
		if (!is2 && !is3)
			return err_note(ERR_INVALID_CONFIG,
			    "ssl.enabled.protocols: %s: TLSv1.2 or TLSv1.3", name);
		v2 |= is2;
		v3 |= is3;
	}
	if (!v2 && !v3)
		return err_note(ERR_INVALID_CONFIG, "ssl.enabled.protocols: none is left");
	o->only_1_2 = !v3;
	o->only_1_3 = !v2;
	return ERR_OK;
}

/* Of the listener `name`. */
static enum err listener_tls(const struct config *c, const char *name, struct broker_tls_options *o)
{
	const char *both = text_of(c, name, CONFIG_SSL_KEYSTORE);
	*o = (struct broker_tls_options){0};
	TRY(check_is(c, name, CONFIG_SSL_KEYSTORE_TYPE, "PEM"));
	TRY(check_is(c, name, CONFIG_SSL_TRUSTSTORE_TYPE, "PEM"));
	TRY(client_auth(c, name, &o->client_auth));
	TRY(protocols(c, name, o));
	o->certificate_path = both ? both : text_of(c, name, CONFIG_SSL_CERTIFICATE);
	o->key_path = both ? both : text_of(c, name, CONFIG_SSL_KEY);
	o->key_password = text_of(c, name, CONFIG_SSL_KEY_PASSWORD);
	o->authorities_path = text_of(c, name, CONFIG_SSL_TRUSTSTORE);
	o->name_rules = text_of(c, name, CONFIG_SSL_MAPPING);
	if (o->name_rules && strcmp(o->name_rules, "DEFAULT") == 0)
		o->name_rules = NULL;
	if (!o->certificate_path || !o->key_path)
		return err_note(ERR_INVALID_CONFIG,
		    "a listener with TLS needs ssl.keystore.location, a PEM file with key and "
		    "certificate (or ssl.key.location and ssl.certificate.location)");
	if (o->client_auth != BROKER_CLIENT_AUTH_NONE && !o->authorities_path)
		return err_note(ERR_INVALID_CONFIG,
		    "ssl.client.auth=%s needs ssl.truststore.location, the authorities that sign "
		    "clients' certificates",
		    config_get_of(c, name, CONFIG_SSL_CLIENT_AUTH));
	return ERR_OK;
}

static enum err tls_options(const struct config *c, struct listeners *l)
{
	for (size_t i = 0; i < l->count; i++) {
		l->at[i].tls = NULL;
		if (!broker_protocol_tls(l->at[i].protocol))
			continue;
		enum err err = listener_tls(c, l->name[i], &l->tls[i]);
		if (err != ERR_OK)
			return err_note(err, "listener %s", l->name[i]);
		l->at[i].tls = &l->tls[i];
	}
	return ERR_OK;
}

/* ---- bearer tokens --------------------------------------------------------------------------- */

static enum err oauth_options(
    const struct config *c, const struct broker_sasl_options *sasl, struct broker_oauth_options *o)
{
	const char *url = config_get(c, CONFIG_OAUTH_JWKS), *scheme = "file://";
	bool wanted = sasl->mechanisms & BROKER_SASL_OAUTHBEARER;
	if (*url && strncmp(url, scheme, strlen(scheme)) != 0)
		return err_note(ERR_INVALID_CONFIG,
		    "sasl.oauthbearer.jwks.endpoint.url=%s: only file:///PATH is there", url);
	o->jwks_path = *url ? url + strlen(scheme) : NULL;
	o->issuer = text_or_null(c, CONFIG_OAUTH_ISSUER);
	o->audience = text_or_null(c, CONFIG_OAUTH_AUDIENCE);
	o->user_claim = config_get(c, CONFIG_OAUTH_SUB_CLAIM);
	o->scope_claim = config_get(c, CONFIG_OAUTH_SCOPE_CLAIM);
	o->required_scope = text_or_null(c, CONFIG_OAUTH_SCOPE);
	o->skew_s = config_number(c, CONFIG_OAUTH_SKEW);
	o->refresh_ns = config_number(c, CONFIG_OAUTH_REFRESH) * MS_NS;
	if (strpbrk(o->user_claim, "\"\\") || strpbrk(o->scope_claim, "\"\\") ||
	    strlen(o->user_claim) > 60 || strlen(o->scope_claim) > 60)
		return err_note(ERR_INVALID_CONFIG, "sasl.oauthbearer: a claim without a name");
	if (wanted && (!o->jwks_path || !o->issuer || !o->audience))
		return err_note(ERR_INVALID_CONFIG,
		    "OAUTHBEARER needs sasl.oauthbearer.jwks.endpoint.url=file:///PATH, "
		    "sasl.oauthbearer.expected.issuer and sasl.oauthbearer.expected.audience: "
		    "without them any token would do");
	return ERR_OK;
}

static enum err count_option(const struct config *c, enum config_key key, uint32_t *ret_count)
{
	int64_t n = config_number(c, key);
	if (n < 1 || n > INT32_MAX)
		return err_note(
		    ERR_INVALID_CONFIG, "%s=%s: 1 or more", config_name(key), config_get(c, key));
	*ret_count = (uint32_t)n;
	return ERR_OK;
}

enum err security_options(const struct config *c, struct listeners *l, struct broker_options *o)
{
	TRY(sasl_options(c, l, &o->sasl));
	TRY(tls_options(c, l));
	TRY(oauth_options(c, &o->sasl, &o->oauth));
	o->authentication_ns = config_number(c, CONFIG_AUTH_TIMEOUT) * MS_NS;
	TRY(count_option(c, CONFIG_CONNECTIONS_MAX, &o->connections_max));
	TRY(count_option(c, CONFIG_STRANGERS_MAX, &o->strangers_max));
	TRY(count_option(c, CONFIG_CONNECTIONS_PER_IP, &o->connections_per_ip_max));
	if (o->connections_per_ip_max == INT32_MAX)
		o->connections_per_ip_max = 0; /* Kafka's way of saying: any number */
	return ERR_OK;
}
