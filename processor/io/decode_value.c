/* SPDX-License-Identifier: Apache-2.0 */
/* JSON value -> SQL value of any type, see decode_value.h. */
#include "processor/io/decode_value.h"
#include "processor/io/decode_fast.h"

enum err decode_unix_time(struct str text, int64_t unit_us, int64_t *ret_us)
{
	int64_t value, us;
	if (decode_integer(text, &value)) {
		if (__builtin_mul_overflow(value, unit_us, &us) || us == INT64_MIN ||
		    us == INT64_MAX)
			return err_note(ERR_NUMERIC_OVERFLOW,
			    "'" STR_FMT "' is out of range for a time", STR_ARG(text));
		*ret_us = us;
		return ERR_OK;
	}
	/* through numeric, exactly: at most 6 decimals count, the rest is rounded */
	struct datum d;
	TRY(datum_from_text(NULL, (struct type){TYPE_NUMERIC, 0, 0}, text, &d));
	int128 scaled = d.num.mantissa, divisor = 1;
	for (int32_t i = 0; i < d.num.scale; i++)
		divisor *= 10;
	if (__builtin_mul_overflow(scaled, (int128)unit_us, &scaled))
		return err_note(ERR_NUMERIC_OVERFLOW, "'" STR_FMT "' is out of range for a time",
		    STR_ARG(text));
	int128 quotient = scaled / divisor, rest = scaled % divisor;
	rest = rest < 0 ? -rest : rest;
	if (rest >= divisor - rest)
		quotient += scaled < 0 ? -1 : 1;
	if (quotient <= INT64_MIN || quotient >= INT64_MAX)
		return err_note(ERR_NUMERIC_OVERFLOW, "'" STR_FMT "' is out of range for a time",
		    STR_ARG(text));
	*ret_us = (int64_t)quotient;
	return ERR_OK;
}

/* The value's text as ->> gives it. */
static enum err value_text(const struct json_value *v, struct arena *arena, struct str *ret_text)
{
	if (v->kind == JSON_STRING)
		return json_unescape(arena, *v, ret_text);
	if ((v->kind == JSON_OBJECT || v->kind == JSON_ARRAY) && !str_is_utf8(v->text))
		return err_note(ERR_BAD_VALUE, "the JSON text is not valid UTF-8");
	*ret_text = v->text;
	return ERR_OK;
}

/* A jsonb column keeps the value as it was written, quotes included. */
static enum err decode_jsonb(
    const struct json_value *v, struct arena *arena, struct datum *ret_datum)
{
	struct str text;
	TRY(value_text(v, arena, &text));
	if (v->kind == JSON_STRING)
		text = str_from(v->text.ptr - 1, v->text.len + 2);
	*ret_datum = (struct datum){.s = text};
	return ERR_OK;
}

enum err decode_value(const struct table_column *c, const struct json_value *v, struct arena *arena,
    struct datum *ret_datum)
{
	if (v->kind == JSON_ABSENT || v->kind == JSON_NULL) {
		*ret_datum = (struct datum){.null = true};
		return ERR_OK;
	}
	if (c->type.id == TYPE_JSONB)
		return decode_jsonb(v, arena, ret_datum);
	if (c->unit_us != 0 && v->kind == JSON_NUMBER) {
		int64_t us;
		TRY(decode_unix_time(v->text, c->unit_us, &us));
		*ret_datum = (struct datum){.i = us};
		return ERR_OK;
	}
	struct str text;
	TRY(value_text(v, arena, &text));
	if (c->type.id == TYPE_TEXT && c->type.precision == 0) {
		*ret_datum = (struct datum){.s = text};
		return ERR_OK;
	}
	if (decode_text(c->type, text, ret_datum))
		return ERR_OK;
	return datum_from_text(arena, c->type, text, ret_datum);
}
