/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner against json-c over random documents, whole and damaged: both accept or both refuse,
 * and what a path finds is what json-c holds there.
 *
 * Known differences. json-c 0.16, even strict, takes some texts that are no JSON (RFC 8259); each
 * is looked for in the document before a disagreement is forgiven (accepts_too_much): numbers with
 * a needless zero in front or nothing on one side of the point, NaN and Infinity, names and strings
 * in single quotes, control characters in strings, a text that ends at a NUL. And it makes U+FFFD
 * of a lone surrogate and keeps \u0000 and bytes that are not UTF-8, which json_unescape refuses:
 * such strings are not compared.
 */
#include "log/base/json.h"
#include "log/base/limits.h"
#include "log/base/prng.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>

enum { DOC_MAX = 32768, DOCUMENTS = 60000, PATHS = 9, COLUMNS = 5 };

/* The first COLUMNS are names of any case, the others exact. */
static const char *const paths[PATHS] = {"id", "mag", "place", "a_name_of_more_than_sixteen_bytes",
    "felt", "$.geo.lat", "$.l[1]", "$.geo", "$.l[2].k"};
static const char *const names[] = {"id", "mag", "place", "a_name_of_more_than_sixteen_bytes",
    "felt", "geo", "l", "ID", "Mag", "k", "lat", "", "unknown", "\\u0069d",
    "a_name_that_no_one_asked_for_and_that_is_longer_than_most"};

/* ---- documents ------------------------------------------------------------------------------ */

struct text {
	struct prng prng;
	size_t len;
	int spaces; /* 0: none, 1: one behind colon and comma, 2: any */
	char bytes[DOC_MAX];
};

static uint64_t below(struct text *t, uint64_t bound)
{
	return prng_below(&t->prng, bound);
}

static void put(struct text *t, const char *s)
{
	size_t len = strlen(s);
	if (len > DOC_MAX - t->len)
		return;
	memcpy(t->bytes + t->len, s, len);
	t->len += len;
}

static void put_space(struct text *t, bool usual)
{
	static const char *const spaces[] = {"", " ", "\n", "\t", "\r\n    "};
	if (t->spaces == 1 && usual)
		put(t, " ");
	if (t->spaces == 2)
		put(t, spaces[below(t, 5)]);
}

static void put_string(struct text *t)
{
	static const char *const odd[] = {"\\n", "\\\"", "\\\\", "\\u00e9", "\\ud83d\\ude00",
	    "\xC3\xA9", "\xE2\x82\xAC", "\\/", "\\u0000", "\\ud83d", "\xFF", "\x7F"};
	uint64_t len = below(t, 4) ? below(t, 12) : below(t, 50);
	uint64_t plain = below(t, 2) ? 10 : 1000;
	put(t, "\"");
	for (uint64_t i = 0; i < len; i++) {
		char c[2] = {(char)('a' + below(t, 26)), 0};
		put(t, below(t, plain) ? c : odd[below(t, sizeof(odd) / sizeof(*odd))]);
	}
	put(t, "\"");
}

static void put_number(struct text *t)
{
	char s[64];
	unsigned long long any = (unsigned long long)(prng_u64(&t->prng) >> below(t, 64));
	int digits = (int)below(t, 18);
	switch (below(t, 5)) {
	case 0:
		snprintf(s, sizeof(s), "%llu", any);
		break;
	case 1:
		snprintf(s, sizeof(s), "-%llu", any);
		break;
	case 2:
		snprintf(s, sizeof(s), "%.*f", digits, (double)(int64_t)(any >> 30) / 977.0);
		break;
	case 3:
		snprintf(s, sizeof(s), "-%.*e", digits, (double)any / 977.0);
		break;
	default:
		snprintf(s, sizeof(s), "%llu.0E%+d", any % 10, digits - 9);
	}
	put(t, s);
}

static void put_value(struct text *t, int depth);

static void put_object(struct text *t, int depth)
{
	uint64_t count = below(t, depth ? 4 : 10), known = sizeof(names) / sizeof(*names);
	bool in_order = below(t, 3) != 0;
	put(t, "{");
	for (uint64_t i = 0; i < count; i++) {
		put(t, i ? "," : "");
		put_space(t, i > 0);
		put(t, "\"");
		put(t, names[in_order && depth == 0 ? i : below(t, known)]);
		put(t, "\"");
		put_space(t, false);
		put(t, ":");
		put_space(t, true);
		put_value(t, depth + 1);
		put_space(t, false);
	}
	put(t, "}");
}

static void put_array(struct text *t, int depth)
{
	uint64_t count = below(t, 5);
	put(t, "[");
	for (uint64_t i = 0; i < count; i++) {
		put(t, i ? "," : "");
		put_space(t, i > 0);
		put_value(t, depth + 1);
		put_space(t, false);
	}
	put(t, "]");
}

static void put_value(struct text *t, int depth)
{
	static const char *const words[] = {"true", "false", "null"};
	uint64_t kind = below(t, depth > 5 ? 7 : 10);
	if (kind < 3)
		put(t, words[kind]);
	else if (kind < 5)
		put_number(t);
	else if (kind < 7)
		put_string(t);
	else if (kind < 9)
		put_object(t, depth);
	else
		put_array(t, depth);
}

static void damage(struct text *t)
{
	static const char meaning[] = "{}[]:,\"'\\0123456789.eE+- \t\ntfnulNI";
	for (uint64_t n = 1 + below(t, 2); n > 0 && t->len > 1; n--) {
		size_t at = (size_t)below(t, t->len);
		switch (below(t, 4)) {
		case 0:
			t->len = at;
			break;
		case 1:
			t->bytes[at] = (char)prng_u64(&t->prng);
			break;
		case 2:
			t->bytes[at] = meaning[below(t, sizeof(meaning) - 1)];
			break;
		default:
			memmove(t->bytes + at, t->bytes + at + 1, t->len - at - 1);
			t->len--;
		}
	}
}

/* ---- judgement ------------------------------------------------------------------------------ */

/* What json-c makes of the whole text; false: refused. */
static bool peer_parse(struct str doc, json_object **ret_object)
{
	struct json_tokener *t = json_tokener_new_ex(JSON_DEPTH_MAX);
	assert_non_null(t);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT);
	char *closed = strndup(doc.ptr, doc.len); /* a number at the end needs to see it */
	assert_non_null(closed);
	*ret_object = json_tokener_parse_ex(t, closed, (int)strlen(closed) + 1);
	bool ok = json_tokener_get_error(t) == json_tokener_success;
	free(closed);
	json_tokener_free(t);
	return ok;
}

/* At a number outside of a string: one that json-c takes and RFC 8259 does not. */
static bool is_lax_number(const char *at, const char *end)
{
	at += *at == '-';
	if (at < end && *at == '.')
		return true;
	if (end - at >= 2 && at[0] == '0' && at[1] >= '0' && at[1] <= '9')
		return true;
	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at < end && *at == '.' && (end - at < 2 || at[1] < '0' || at[1] > '9');
}

static bool accepts_too_much(struct str doc)
{
	const char *end = doc.ptr + doc.len;
	bool inside = false, number = false;
	for (const char *at = doc.ptr; at < end; at++) {
		if (*at == 0 || (inside && (uint8_t)*at < 32))
			return true;
		if (*at == '"')
			inside = !inside;
		if (inside) {
			at += *at == '\\';
			continue;
		}
		if (*at == '\'' || *at == 'N' || *at == 'I')
			return true;
		bool starts = !number && (*at == '-' || (*at >= '0' && *at <= '9'));
		if (starts && is_lax_number(at, end))
			return true;
		number = (*at >= '0' && *at <= '9') || *at == '-' || *at == '.' || *at == '+' ||
		         (*at | 32) == 'e';
	}
	return false;
}

/* ---- values --------------------------------------------------------------------------------- */

static void same_string(const struct json_value *v, json_object *o)
{
	struct arena a;
	struct str text;
	arena_init(&a, MIB);
	if (json_unescape(&a, *v, &text) == ERR_OK) {
		assert_int_equal(text.len, json_object_get_string_len(o));
		assert_memory_equal(text.ptr, json_object_get_string(o), text.len);
	}
	err_clear();
	arena_release(&a);
}

static void same_number(const struct json_value *v, json_object *o)
{
	char text[512];
	int64_t whole;
	if (v->text.len >= sizeof(text))
		return;
	memcpy(text, v->text.ptr, v->text.len);
	text[v->text.len] = 0;
	assert_int_equal(v->integer, json_object_is_type(o, json_type_int));
	if (v->integer && str_to_i64(v->text, &whole))
		assert_int_equal(whole, json_object_get_int64(o));
	if (!v->integer)
		assert_true(strtod(text, NULL) == json_object_get_double(o));
}

static void same_value(const struct json_value *v, bool found, json_object *o)
{
	static const enum json_type type_of[] = {[JSON_NULL] = json_type_null,
	    [JSON_TRUE] = json_type_boolean,
	    [JSON_FALSE] = json_type_boolean,
	    [JSON_STRING] = json_type_string,
	    [JSON_OBJECT] = json_type_object,
	    [JSON_ARRAY] = json_type_array};
	json_object *again;
	assert_int_equal(v->kind != JSON_ABSENT, found);
	if (!found)
		return;
	if (v->kind == JSON_NUMBER) {
		same_number(v, o);
		return;
	}
	assert_int_equal(type_of[v->kind], json_object_get_type(o));
	if (v->kind == JSON_STRING)
		same_string(v, o);
	if (v->kind == JSON_TRUE || v->kind == JSON_FALSE)
		assert_int_equal(v->kind == JSON_TRUE, json_object_get_boolean(o));
	if (v->kind != JSON_OBJECT && v->kind != JSON_ARRAY)
		return;
	assert_true(peer_parse(v->text, &again));
	assert_true(json_object_equal(o, again));
	json_object_put(again);
}

/* Members that differ from `name` in case only: how many, and one of them. */
static int folded(json_object *root, const char *name, json_object **ret_object)
{
	int count = 0;
	json_object_object_foreach(root, key, value)
	{
		if (strcasecmp(key, name) == 0) {
			*ret_object = value;
			count++;
		}
	}
	return count;
}

static void same_columns(const struct json_value *v, json_object *root)
{
	for (int i = 0; i < COLUMNS; i++) {
		json_object *o = NULL;
		if (json_object_object_get_ex(root, paths[i], &o)) {
			same_value(&v[i], true, o);
			continue;
		}
		int count = folded(root, paths[i], &o);
		if (count < 2) /* of several, json-c does not tell the last */
			same_value(&v[i], count == 1, o);
	}
}

static void same_paths(const struct json_value *v, json_object *root)
{
	json_object *geo = NULL, *lat = NULL, *l = NULL, *k = NULL, *third = NULL;
	bool has_geo = json_object_object_get_ex(root, "geo", &geo);
	bool has_lat = json_object_object_get_ex(geo, "lat", &lat);
	json_object_object_get_ex(root, "l", &l);
	bool is_array = json_object_is_type(l, json_type_array);
	size_t count = is_array ? json_object_array_length(l) : 0;
	third = count > 2 ? json_object_array_get_idx(l, 2) : NULL;
	bool has_k = json_object_object_get_ex(third, "k", &k);
	same_value(&v[5], has_lat, lat);
	same_value(&v[6], count > 1, count > 1 ? json_object_array_get_idx(l, 1) : NULL);
	same_value(&v[7], has_geo, geo);
	same_value(&v[8], has_k, k);
}

/* ---- the comparison ------------------------------------------------------------------------- */

static void disagreed(const struct text *t, uint64_t seed, const char *who)
{
	fail_msg("seed %llu: only %s accepts: %.*s", (unsigned long long)seed, who, (int)t->len,
	    t->bytes);
}

/* An exact copy, so that a sanitizer sees a byte too far. Returns whether both accepted. */
static bool compare(struct json_paths *p, const struct text *t, uint64_t seed)
{
	char *copy = malloc(t->len + 1);
	assert_non_null(copy);
	memcpy(copy, t->bytes, t->len);
	copy[t->len] = 0;
	struct str doc = str_from(copy, t->len);
	struct json_value v[PATHS];
	json_object *root = NULL;
	bool valid = json_is_valid(doc), peer_valid = peer_parse(doc, &root);
	if (valid && !peer_valid)
		disagreed(t, seed, "the scanner");
	if (!valid && peer_valid && !accepts_too_much(doc))
		disagreed(t, seed, "json-c");
	bool object = valid && json_object_is_type(root, json_type_object);
	assert_int_equal(json_scan(p, doc, v) == ERR_OK, object);
	if (object) {
		same_columns(v, root);
		same_paths(v, root);
	}
	json_object_put(root);
	err_clear();
	free(copy);
	return valid;
}

static void the_scanner_and_json_c_agree(void **state)
{
	(void)state;
	struct json_path_spec specs[PATHS];
	for (int i = 0; i < PATHS; i++)
		specs[i] = (struct json_path_spec){str_of(paths[i]), i >= COLUMNS, i >= COLUMNS};
	struct json_paths *p = NULL;
	assert_int_equal(json_paths_new(specs, PATHS, &p), ERR_OK);
	struct text *t = calloc(1, sizeof(*t));
	assert_non_null(t);
	uint64_t seed = test_seed(1);
	int accepted = 0;
	prng_init(&t->prng, seed);
	for (int i = 0; i < DOCUMENTS; i++) {
		t->len = 0;
		t->spaces = (int)below(t, 3);
		put_object(t, 0);
		if (below(t, 2))
			damage(t);
		accepted += compare(p, t, seed);
	}
	/* the generator makes both kinds, or nothing was compared */
	assert_in_range(accepted, DOCUMENTS / 2, DOCUMENTS * 9 / 10);
	json_paths_free(p);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_scanner_and_json_c_agree)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
