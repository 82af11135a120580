/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Constant arguments that can only be wrong: a regular expression that does not compile,
 * date_trunc('decennium', ts). Without a look at them every record would fail later. The call is
 * tried once with harmless values in place of its columns.
 */
#include "processor/sql/bind.h"

static bool is_probed(const struct expr *call)
{
	static const char *const names[] = {"~", "!~", "~*", "!~*", "regexp_like", "regexp_replace",
	    "regexp_count", "regexp_substr", "date_trunc", "extract", "date_part", "encode",
	    "decode", "convert_from", "convert_to", NULL};
	struct str name = str_of(call->func->name);
	for (const char *const *n = names; *n; n++)
		if (str_equal(name, str_of(*n)))
			return true;
	return str_equal(name, STR("substring")) && call->arg_count == 2 &&
	       call->func->args[1] == TYPE_TEXT;
}

/* False when there is no harmless value of the type. */
static bool harmless(enum type_id id, struct datum *d)
{
	*d = (struct datum){.i = 0};
	if (id == TYPE_TEXT || id == TYPE_BYTEA)
		d->s = STR("");
	else if (id == TYPE_INTERVAL)
		d->iv = (struct interval){0, 0, 0};
	else
		return id == TYPE_DATE || id == TYPE_TIMESTAMP || id == TYPE_TIMESTAMPTZ;
	return true;
}

enum err bind_probe(struct binder *b, const struct scope *s, const struct expr *call)
{
	bool has_const = false, has_column = false;
	if (!is_probed(call))
		return ERR_OK;
	struct expr *probe = expr_new(b, EXPR_CALL, call->type, call->arg_count, call->location);
	if (!probe)
		return bind_nomem(b);
	probe->func = call->func;
	for (uint32_t i = 0; i < call->arg_count; i++) {
		const struct expr *arg = call->args[i];
		struct datum d = arg->value;
		bool constant = arg->kind == EXPR_CONST;
		if (constant ? d.null : !harmless(arg->type.id, &d))
			return ERR_OK;
		has_const |= constant;
		has_column |= !constant;
		probe->args[i] = expr_const(b, arg->type, d, arg->location);
		if (!probe->args[i])
			return bind_nomem(b);
	}
	struct expr *ignored = NULL;
	return has_const && has_column ? expr_done(b, s, probe, &ignored) : ERR_OK;
}
