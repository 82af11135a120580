/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/security.h"

static enum err mechanism_named(const char *name, unsigned *ret_mechanism)
{
	static const struct {
		const char *name;
		unsigned mechanism;
	} all[] = {{"PLAIN", BROKER_SASL_PLAIN}, {"SCRAM-SHA-256", BROKER_SASL_SCRAM_256},
	    {"SCRAM-SHA-512", BROKER_SASL_SCRAM_512}};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		if (strcmp(all[i].name, name) != 0)
			continue;
		*ret_mechanism = all[i].mechanism;
		return ERR_OK;
	}
	return err_note(ERR_INVALID_CONFIG,
	    "sasl.enabled.mechanisms: %s: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", name);
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

enum err security_options(
    const struct config *c, const struct listeners *l, struct broker_options *o)
{
	TRY(sasl_options(c, l, &o->sasl));
	o->authentication_ns = config_number(c, CONFIG_AUTH_TIMEOUT) * MS_NS;
	return ERR_OK;
}
