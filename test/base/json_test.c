/* SPDX-License-Identifier: Apache-2.0 */
/* The projecting scanner: values found, duplicates, malformed documents refused, hostile bytes
 * survived. */
#include "log/base/base.h"
#include "log/base/json.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>

enum { VALUES = 8, MANY = 1600 };

static struct json_paths *compile(const char *const *paths, size_t count)
{
	struct json_path_spec specs[VALUES];
	for (size_t i = 0; i < count; i++) {
		bool is_path = paths[i][0] == '$', quoted = paths[i][0] == '"';
		specs[i] =
		    (struct json_path_spec){str_of(paths[i] + quoted), is_path, is_path || quoted};
	}
	struct json_paths *p = NULL;
	assert_int_equal(json_paths_new(specs, count, &p), ERR_OK);
	return p;
}

/* Scans `doc` for one path and compares kind and text. */
static void expect(const char *path, const char *doc, enum json_kind kind, const char *text)
{
	struct json_paths *p = compile(&path, 1);
	struct json_value v[1];
	assert_int_equal(json_scan(p, str_of(doc), v), ERR_OK);
	assert_int_equal(v[0].kind, kind);
	if (text)
		assert_true(str_equal(v[0].text, str_of(text)));
	json_paths_free(p);
}

static void a_field_is_found_with_its_kind_and_spelling(void **state)
{
	(void)state;
	expect("a", "{\"a\":12.50}", JSON_NUMBER, "12.50");
	expect("a", " { \"b\" : [1,{\"a\":2}] , \"a\" : \"x\\ty\" } ", JSON_STRING, "x\\ty");
	expect("a", "{\"a\":true}", JSON_TRUE, "true");
	expect("a", "{\"a\":null}", JSON_NULL, "null");
	expect("a", "{\"b\":1}", JSON_ABSENT, NULL);
	expect("a", "{}", JSON_ABSENT, NULL);
	expect("a", "{\"a\":{\"x\":[1, 2]}}", JSON_OBJECT, "{\"x\":[1, 2]}");
	expect("a", "\xEF\xBB\xBF{\"a\":[1]}", JSON_ARRAY, "[1]");
	expect("a", "{\"a\":-0.5e+3}", JSON_NUMBER, "-0.5e+3");
	expect("a", "{\"0123456789abcdefghijklmnop\\\"qrstuvwxyz\":1,\"a\":7}", JSON_NUMBER, "7");
}

static void paths_reach_members_and_elements(void **state)
{
	(void)state;
	const char *doc =
	    "{\"m\":{\"a\":{\"b\":5},\"l\":[10,[20,21],{\"k\":\"v\"}]},\"odd key\":3}";
	expect("$.m.a.b", doc, JSON_NUMBER, "5");
	expect("$.m.l[0]", doc, JSON_NUMBER, "10");
	expect("$.m.l[1][1]", doc, JSON_NUMBER, "21");
	expect("$.m.l[2].k", doc, JSON_STRING, "v");
	expect("$['odd key']", doc, JSON_NUMBER, "3");
	expect("$.\"odd key\"", doc, JSON_NUMBER, "3");
	expect("$.m.l[9]", doc, JSON_ABSENT, NULL);
	expect("$.m.a.b.c", doc, JSON_ABSENT, NULL);
}

static void bad_paths_are_refused(void **state)
{
	(void)state;
	const char *bad[] = {
	    "$", "$.", "$x", "$.a[", "$.a[x]", "$.a[-1]", "$.a['b]", "$..a", "$.\"a"};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct json_path_spec spec = {str_of(bad[i]), true, true};
		struct json_paths *p = NULL;
		err_clear();
		assert_int_equal(json_paths_new(&spec, 1, &p), ERR_INVALID);
		assert_null(p);
		assert_true(strlen(err_chain()) > 0);
	}
	err_clear();
}

static void names_match_without_case_but_an_exact_match_wins(void **state)
{
	(void)state;
	expect("userid", "{\"userId\":1}", JSON_NUMBER, "1");
	expect("userid", "{\"userid\":2,\"userId\":1}", JSON_NUMBER, "2");
	expect("userid", "{\"userId\":1,\"userid\":2}", JSON_NUMBER, "2");
	expect("\"userId", "{\"userid\":1}", JSON_ABSENT, NULL);
	expect("$.userid", "{\"userId\":1}", JSON_ABSENT, NULL);
	expect("id", "{\"\\u0069d\":4}", JSON_NUMBER, "4");
}

static void two_columns_can_want_one_key(void **state)
{
	(void)state;
	const char *paths[] = {"id", "\"ID", "$.id", "$.id.x"};
	struct json_paths *p = compile(paths, 4);
	struct json_value v[4];
	assert_int_equal(json_scan(p, STR("{\"ID\":1}"), v), ERR_OK);
	assert_true(str_equal(v[0].text, STR("1")) && str_equal(v[1].text, STR("1")));
	assert_int_equal(v[2].kind, JSON_ABSENT);
	assert_int_equal(json_scan(p, STR("{\"ID\":1,\"id\":{\"x\":2}}"), v), ERR_OK);
	assert_true(str_equal(v[0].text, STR("{\"x\":2}")) && str_equal(v[1].text, STR("1")));
	assert_true(str_equal(v[2].text, STR("{\"x\":2}")) && str_equal(v[3].text, STR("2")));
	json_paths_free(p);
}

static void the_last_duplicate_wins_at_each_level(void **state)
{
	(void)state;
	expect("a", "{\"a\":1,\"a\":2}", JSON_NUMBER, "2");
	expect("$.a.b", "{\"a\":{\"b\":1},\"a\":{\"c\":2}}", JSON_ABSENT, NULL);
	expect("$.a.b", "{\"a\":{\"b\":1},\"a\":7}", JSON_ABSENT, NULL);
	expect("$.a.b", "{\"a\":{\"b\":1,\"b\":3}}", JSON_NUMBER, "3");
}

static void prediction_survives_documents_of_other_shapes(void **state)
{
	(void)state;
	const char *paths[] = {"a", "b", "$.c.d"};
	struct json_paths *p = compile(paths, 3);
	struct json_value v[3];
	const char *docs[] = {"{\"a\":1,\"b\":2,\"c\":{\"d\":3}}",
	    "{\"b\":2,\"a\":1,\"c\":{\"d\":3}}",
	    "{\"x\":0,\"a\":1,\"b\":2,\"c\":{\"e\":9,\"d\":3}}",
	    "{\"a\":1,\"b\":2,\"c\":{\"d\":3}}"};
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
			assert_int_equal(json_scan(p, str_of(docs[i]), v), ERR_OK);
			assert_true(str_equal(v[0].text, STR("1")));
			assert_true(str_equal(v[1].text, STR("2")));
			assert_true(str_equal(v[2].text, STR("3")));
		}
	}
	json_paths_free(p);
}

/* Members come and go, names grow past what is remembered, spaces change: the values do not. */
static void optional_members_do_not_disturb_the_others(void **state)
{
	(void)state;
	const char *paths[] = {"a", "b", "$.c.d"};
	struct json_paths *p = compile(paths, 3);
	struct json_value v[3];
	const char *docs[] = {"{\"a\":1,\"b\":2,\"x\":0,\"y\":0,\"c\":{\"d\":3}}",
	    "{\"a\":1,\"c\":{\"d\":3}}", "{\"b\":2,\"y\":0,\"c\":{\"e\":0,\"d\":3}}",
	    "{ \"a\" : 1, \"b\":  2, \"c\": {\"d\": 3}, \"z\": [] }", "{\"c\":{}}", "{}",
	    "{\"a\":1,\"\":0,\"a_name_that_is_longer_than_what_is_remembered_of_one\":0,\"b\":2}"};
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) {
			assert_int_equal(json_scan(p, str_of(docs[i]), v), ERR_OK);
			assert_int_equal(
			    v[0].kind != JSON_ABSENT, strstr(docs[i], "\"a\"") != NULL);
			assert_int_equal(
			    v[1].kind != JSON_ABSENT, strstr(docs[i], "\"b\"") != NULL);
			assert_int_equal(
			    v[2].kind != JSON_ABSENT, strstr(docs[i], "\"d\"") != NULL);
			for (int c = 0; c < 3; c++)
				assert_true(v[c].kind == JSON_ABSENT ||
				            (v[c].text.len == 1 && v[c].text.ptr[0] == '1' + c));
		}
	}
	json_paths_free(p);
}

static void an_escaped_name_reaches_all_that_want_it(void **state)
{
	(void)state;
	const char *paths[] = {"id", "$.id", "\"ID"};
	struct json_paths *p = compile(paths, 3);
	struct json_value v[3];
	for (int round = 0; round < 2; round++) {
		assert_int_equal(json_scan(p, STR("{\"\\u0069\\u0064\":[{}]}"), v), ERR_OK);
		assert_true(str_equal(v[0].text, STR("[{}]")) && str_equal(v[1].text, STR("[{}]")));
		assert_int_equal(v[2].kind, JSON_ABSENT);
	}
	assert_int_equal(json_scan(p, STR("{\"\\ud800id\":1}"), v), ERR_OK);
	assert_int_equal(v[0].kind, JSON_ABSENT);
	assert_string_equal(err_chain(), "");
	json_paths_free(p);
}

static void values_tell_what_their_text_is_made_of(void **state)
{
	(void)state;
	const char *paths[] = {"n", "s"};
	struct json_paths *p = compile(paths, 2);
	struct json_value v[2];
	static const struct {
		const char *doc;
		bool integer, ascii;
	} cases[] = {{"{\"n\":-17,\"s\":\"plain\"}", true, true},
	    {"{\"n\":1.0,\"s\":\"plain text of more than sixteen bytes\"}", false, true},
	    {"{\"n\":1e3,\"s\":\"\xC3\xA9\"}", false, false},
	    {"{\"n\":123456789012345678901,\"s\":\"sixteen bytes and \xC3\xA9\"}", true, false},
	    {"{\"n\":0,\"s\":\"\"    ,\"t\":\"\xC3\xA9\"}", true, true},
	    {"{\"s\":\"\"  ,\"n\":0.1234567890123456789}", false, true}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		assert_int_equal(json_scan(p, str_of(cases[i].doc), v), ERR_OK);
		assert_int_equal(v[0].kind, JSON_NUMBER);
		assert_int_equal(v[0].integer, cases[i].integer);
		assert_true(v[0].ascii);
		assert_int_equal(v[1].kind, JSON_STRING);
		assert_int_equal(v[1].ascii, cases[i].ascii);
	}
	json_paths_free(p);
}

static void a_table_can_have_all_its_columns(void **state)
{
	(void)state;
	static struct json_path_spec specs[MANY + 1];
	static struct json_value v[MANY];
	static char paths[MANY + 1][24], doc[MANY * 24];
	size_t len = 0;
	for (int i = 0; i <= MANY; i++) {
		snprintf(paths[i], sizeof paths[i], "column_%d", i);
		specs[i] = (struct json_path_spec){str_of(paths[i]), false, false};
	}
	for (int i = 0; i < MANY; i++)
		len += (size_t)snprintf(
		    doc + len, sizeof doc - len, "%c\"%s\":%d", i ? ',' : '{', paths[i], i);
	doc[len++] = '}';
	struct json_paths *p = NULL;
	assert_int_equal(json_paths_new(specs, MANY + 1, &p), ERR_LIMIT);
	err_clear();
	assert_int_equal(json_paths_new(specs, MANY, &p), ERR_OK);
	for (int round = 0; round < 2; round++) {
		assert_int_equal(json_scan(p, str_from(doc, len), v), ERR_OK);
		for (int i = 0; i < MANY; i++) {
			int64_t number = -1;
			assert_true(str_to_i64(v[i].text, &number));
			assert_int_equal(number, i);
		}
	}
	json_paths_free(p);
}

static const char *const malformed[] = {"", " ", "1", "[1]", "\"a\"", "{", "{\"a\"",
    "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{\"a\":1}x", "{\"a\":1}{}",
    "{\"a\":01}", "{\"a\":1.}", "{\"a\":.5}", "{\"a\":+1}", "{\"a\":1e}", "{\"a\":tru}",
    "{\"a\":nul}", "{\"a\":\"x}", "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\u12",
    "{\"b\":\"a\nb\"}", "{\"a\":[1,]}", "{\"a\":[1 2]}", "{\"a\":[}", "{\"a\" 1}", "{'a':1}",
    "{\"a\":-}", "{\"a\":NaN}", "{,}", "{\"b\":\"\\"};

static void malformed_documents_are_refused_with_a_position(void **state)
{
	(void)state;
	const char *path = "a";
	struct json_paths *p = compile(&path, 1);
	struct json_value v[1];
	for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
		err_clear();
		if (json_scan(p, str_of(malformed[i]), v) != ERR_BAD_JSON)
			fail_msg("accepted: %s", malformed[i]);
		assert_non_null(strstr(err_chain(), "at byte"));
	}
	err_clear();
	json_paths_free(p);
}

static void depth_is_bounded(void **state)
{
	(void)state;
	char doc[2 * (JSON_DEPTH_MAX + 2) + 1];
	for (int depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
		memset(doc, '[', (size_t)depth);
		memset(doc + depth, ']', (size_t)depth);
		doc[2 * depth] = 0;
		char whole[sizeof doc + 8];
		snprintf(whole, sizeof whole, "{\"a\":%s}", doc);
		assert_int_equal(json_is_valid(str_of(whole)), depth < JSON_DEPTH_MAX);
		struct json_value v[1];
		const char *path = "a";
		struct json_paths *p = compile(&path, 1);
		enum err expected = depth < JSON_DEPTH_MAX ? ERR_OK : ERR_BAD_JSON;
		assert_int_equal(json_scan(p, str_of(whole), v), expected);
		err_clear();
		json_paths_free(p);
	}
	char *deep = malloc(1 << 20);
	memset(deep, '[', 1 << 20);
	assert_false(json_is_valid(str_from(deep, 1 << 20)));
	free(deep);
}

static enum err unescaped(const char *text, char *out)
{
	struct arena a;
	arena_init(&a, MIB);
	struct str s = {0};
	struct json_value v = {
	    .kind = JSON_STRING, .escaped = strchr(text, '\\') != NULL, .text = str_of(text)};
	enum err e = json_unescape(&a, v, &s);
	if (e == ERR_OK) {
		memcpy(out, s.ptr, s.len);
		out[s.len] = 0;
	}
	arena_release(&a);
	err_clear();
	return e;
}

static void escapes_become_text(void **state)
{
	(void)state;
	char out[100];
	assert_int_equal(unescaped("a\\n\\t\\\"\\\\\\/\\b\\f\\r", out), ERR_OK);
	assert_string_equal(out, "a\n\t\"\\/\b\f\r");
	assert_int_equal(unescaped("\\u00e9\\u20ac\\ud83d\\ude00", out), ERR_OK);
	assert_string_equal(out, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
	assert_int_equal(unescaped("plain \xC3\xA9", out), ERR_OK);
	assert_int_equal(unescaped("\\u0000", out), ERR_BAD_VALUE);
	assert_int_equal(unescaped("\\ud83d", out), ERR_BAD_VALUE);
	assert_int_equal(unescaped("\\ud83d\\u0041", out), ERR_BAD_VALUE);
	assert_int_equal(unescaped("\\ude00", out), ERR_BAD_VALUE);
	assert_int_equal(unescaped("\xC3(", out), ERR_BAD_VALUE);
}

/* Every truncation is refused and every change is survived. The copy is exact, so ASan sees a byte
 * too far. */
static void hostile_bytes_are_survived(void **state)
{
	(void)state;
	const char *doc = "{\"id\":\"us7000abcd\",\"mag\":4.5,\"place\":\"10 km \\u00e9 of X\","
	                  "\"l\":[1,{\"t\":null}],\"ok\":true}";
	const char *paths[] = {"id", "mag", "$.l[1].t", "ok"};
	struct json_paths *p = compile(paths, 4);
	struct json_value v[4];
	size_t len = strlen(doc);
	for (size_t n = 0; n < len; n++) {
		char *copy = malloc(n + 1);
		memcpy(copy, doc, n);
		assert_int_equal(json_scan(p, str_from(copy, n), v), ERR_BAD_JSON);
		free(copy);
	}
	const char *env = getenv("KAPPA_TEST_SEED");
	uint64_t seed = env ? strtoull(env, NULL, 0) : 1;
	print_message("seed %llu\n", (unsigned long long)seed);
	struct prng r;
	prng_init(&r, seed);
	for (int i = 0; i < 20000; i++) {
		char *copy = malloc(len);
		memcpy(copy, doc, len);
		for (uint64_t k = 0, n = 1 + prng_below(&r, 3); k < n; k++)
			copy[prng_below(&r, len)] = (char)prng_u64(&r);
		bool ok = json_scan(p, str_from(copy, len), v) == ERR_OK;
		for (int c = 0; ok && c < 4; c++)
			assert_true(
			    v[c].kind == JSON_ABSENT ||
			    (v[c].text.ptr >= copy && v[c].text.ptr + v[c].text.len <= copy + len));
		free(copy);
	}
	err_clear();
	json_paths_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_field_is_found_with_its_kind_and_spelling),
	    cmocka_unit_test(paths_reach_members_and_elements),
	    cmocka_unit_test(bad_paths_are_refused),
	    cmocka_unit_test(names_match_without_case_but_an_exact_match_wins),
	    cmocka_unit_test(two_columns_can_want_one_key),
	    cmocka_unit_test(the_last_duplicate_wins_at_each_level),
	    cmocka_unit_test(prediction_survives_documents_of_other_shapes),
	    cmocka_unit_test(optional_members_do_not_disturb_the_others),
	    cmocka_unit_test(an_escaped_name_reaches_all_that_want_it),
	    cmocka_unit_test(values_tell_what_their_text_is_made_of),
	    cmocka_unit_test(a_table_can_have_all_its_columns),
	    cmocka_unit_test(malformed_documents_are_refused_with_a_position),
	    cmocka_unit_test(depth_is_bounded),
	    cmocka_unit_test(escapes_become_text),
	    cmocka_unit_test(hostile_bytes_are_survived),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
