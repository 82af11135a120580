/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns over topic names: RE2's syntax, what they match (against PCRE2), what they cost. */
#include "broker/groups/topic_regex.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* 1, 0; -1: refused. */
static int matches(struct str pattern, struct str name, uint64_t *steps)
{
	struct topic_regex *x;
	enum err e = topic_regex_new(pattern, &x);
	err_clear();
	if (e != ERR_OK) {
		assert_int_equal(e, ERR_INVALID_REGEX);
		return -1;
	}
	bool yes = topic_regex_match(x, name, steps);
	topic_regex_free(x);
	return yes;
}

struct example {
	const char *pattern, *name;
	int matches;
};

static void check(const struct example *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t steps = 0;
		int got = matches(str_of(all[i].pattern), str_of(all[i].name), &steps);
		if (got != all[i].matches)
			fail_msg("%s on %s: %d", all[i].pattern, all[i].name, got);
	}
}

static void patterns_are_those_of_re2(void **state)
{
	(void)state;
	static const struct example all[] = {
	    {"a.c", "abc", 1},
	    {"a.c", "abcd", 0},
	    {"a.c", "xabc", 0},
	    {"a|ab", "ab", 1},
	    {"a|b|cd|", "cd", 1},
	    {"a|b|cd|", "", 1},
	    {"a|b|cd|", "c", 0},
	    {"(?i)ABC", "abc", 1},
	    {"(?i:A)B", "aB", 1},
	    {"(?i:A)B", "ab", 0},
	    {"a(?i)b|c", "C", 1},
	    {"(a(?i)b)c", "aBC", 0},
	    {"(?i-i)A", "a", 0},
	    {"(?i)[^b-d]", "C", 0},
	    {"(?i)\\x{212a}\\x{17f}", "ks", 1},
	    {"(?:a|b)+", "abab", 1},
	    {"(?P<n>a)b", "ab", 1},
	    {"\\Qa.b\\E", "a.b", 1},
	    {"\\Qa.b\\E", "axb", 0},
	    {"\\Qab\\E+", "abbb", 1},
	    {"\\Qab\\E+", "abab", 0},
	    {"\\Qa.", "a.", 1},
	    {"[[:alpha:]]+\\d{2,3}", "ab12", 1},
	    {"[[:^alpha:]_]+", "12_", 1},
	    {"[]a]+", "a]", 1},
	    {"[^]a]+", "b]", 0},
	    {"[a\\-c]+", "a-c", 1},
	    {"[a\\-c]+", "b", 0},
	    {"[a-c-]+", "b-", 1},
	    {"[\\d\\W]+", "1.-", 1},
	    {"a+?b", "aab", 1},
	    {"a{2}", "aa", 1},
	    {"a{2}", "aaa", 0},
	    {"a{2,}", "aaaa", 1},
	    {"a{0,2}", "", 1},
	    {"a{0,2}", "aaa", 0},
	    {"a{0}b", "b", 1},
	    {"(ab|c){1,3}", "abcab", 1},
	    {"a{,2}", "a{,2}", 1}, /* not a repetition in RE2 */
	    {"a{x", "a{x", 1},
	    {"\\p{L}+\\pN", "ab7", 1},
	    {"\\P{Lu}\\p{^Lu}", "ab", 1},
	    {"\\p{Latin}", "-", 0},
	    {"[\\p{Pd}\\p{Pc}.]+", "-_.", 1},
	    {"\xc3\xa9*a[\xc3\xa9-\xc3\xbf]?", "a", 1},
	    {"\\x61\\x{62}\\061?", "ab1", 1},
	    {"^a$", "a", 1},
	    {"\\Aa\\z", "a", 1},
	    {"a\\b-\\Bx*", "a-", 1},
	    {"a\\Bb\\b.*", "ab.c", 1},
	    {"a\\bb", "ab", 0},
	    {"(|a)*(^|$)*", "aaa", 1},
	    {"((a*)*)*", "aaa", 1},
	    {"", "", 1},
	    {"", "a", 0},
	};
	check(all, sizeof all / sizeof all[0]);
}

static void what_re2_does_not_have_is_refused(void **state)
{
	(void)state;
	static const char *const all[] = {"(a)\\1", "(?=a)a", "(?<=a)b", "(?>a+)b", "a++b", "a{2}+",
	    "a**", "a+{2}", "*a", "(+)", "a|*", "(?i)*", "(?R)", "(*UTF)a", "a\\Kb", "a\\", "[a",
	    "(?#x)a", "(", ")", "a)", "(a", "(?", "(?i", "(?P<", "(?P<>a)", "(?--i)a", "[b-a]",
	    "[a-\\d]", "[[:nothing:]]", "[", "[^", "[\\", "\\p", "\\p{", "\\p{Klingon}", "\\pX",
	    "\\8", "\\C", "\\x", "\\x4", "\\x{}", "\\x{110000}", "\\x{61", "a{1001}", "a{2,1}",
	    "a{0,1001}", "\\E", "\\Q\\E*", "\xff", "a\\\xc3\xa9"};
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		uint64_t steps = 0;
		if (matches(str_of(all[i]), STR("a"), &steps) != -1)
			fail_msg("%s is not refused", all[i]);
	}
}

/* ---- cost -------------------------------------------------------------------------------------- */

static void a_byte_takes_no_more_steps_than_the_program_has(void **state)
{
	(void)state;
	static const char *const all[] = {"(a*)*(a|a)*(a+)+b", "(.*a){30}", "(.*a|.*aa){20}",
	    "((.*a){3}|(.*a){5}){9}", "(?:a?){200}a{200}", "(.?.*a){40}", "((((a?){9}){9}){9})",
	    "(?:.?){120}(?:.?){120}x", "(a|ab|abc|b)*x"};
	char name[TOPIC_NAME_MAX];
	memset(name, 'a', sizeof name);
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
		struct topic_regex *x;
		uint64_t steps = 0;
		assert_int_equal(topic_regex_new(str_of(all[i]), &x), ERR_OK);
		(void)topic_regex_match(x, str_from(name, sizeof name), &steps);
		/* each is pushed twice at most for each instruction that leads there, and tried */
		assert_true(steps <= 4 * x->count * (sizeof name + 1));
		topic_regex_free(x);
	}
}

static void a_pattern_that_is_too_large_is_refused(void **state)
{
	(void)state;
	static const char *const all[] = {"(?:(?:a{0,30}){0,30}){0,30}", "(a{1000}){4}",
	    "(((((a{1000}){1000}){1000}){1000}){1000}){1000}",
	    "((((()?){1000}){1000}){1000}){1000}"};
	char deep[2 * REGEX_DEPTH_MAX + 5];
	uint64_t steps = 0;
	for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
		assert_int_equal(matches(str_of(all[i]), STR("a"), &steps), -1);
	size_t depth = REGEX_DEPTH_MAX;
	for (; depth <= REGEX_DEPTH_MAX + 1; depth++) {
		memset(deep, '(', depth);
		deep[depth] = 'a';
		memset(deep + depth + 1, ')', depth);
		int got = matches(str_from(deep, 2 * depth + 1), STR("a"), &steps);
		assert_int_equal(got, depth <= REGEX_DEPTH_MAX ? 1 : -1);
	}
	assert_int_equal(matches(STR("(a{1000}){2}"), STR("a"), &steps), 0);
}

/* ---- against PCRE2 ----------------------------------------------------------------------------- */

static struct prng prng;

static void put(char **at, const char *text)
{
	size_t len = strlen(text);
	memcpy(*at, text, len);
	*at += len;
}

static void random_pattern(char **at, int depth)
{
	static const char *const atoms[] = {"a", "b", "A", "-", "_", ".", "[ab]", "[^a]", "[^-_]",
	    "\\w", "\\W", "[a-b_]", "\\b", "\\B", "^", "$", "[[:alpha:]-]", "\\.", "\\Qa.\\E",
	    "\\pL"};
	static const char *const counts[] = {"*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,}",
	    "{0,2}", "{1,3}", "{2,2}?", "{0,}"};
	size_t parts = prng_below(&prng, 4);
	for (size_t i = 0; i < parts; i++) {
		uint64_t what = prng_below(&prng, 10);
		bool place = false;
		if (what < 3 && depth > 0) {
			put(at, what == 0 ? "(?i:" : what == 1 ? "(?:" : "(");
			random_pattern(at, depth - 1);
			put(at, ")");
		} else {
			const char *atom = atoms[prng_below(&prng, sizeof atoms / sizeof atoms[0])];
			put(at, atom);
			place = !strcmp(atom, "^") || !strcmp(atom, "$") || !strcmp(atom, "\\b") ||
			        !strcmp(atom, "\\B"); /* PCRE2 does not repeat them */
		}
		if (!place && prng_below(&prng, 3) == 0)
			put(at, counts[prng_below(&prng, sizeof counts / sizeof counts[0])]);
		if (prng_below(&prng, 5) == 0)
			put(at, "|");
	}
}

static void names_match_as_pcre2_says(void **state)
{
	(void)state;
	char pattern[4096], name[8];
	int yes = 0, rounds = 20000;
	prng_init(&prng, test_seed(1));
	for (int i = 0; i < rounds; i++) {
		char *end = pattern;
		random_pattern(&end, 3);
		size_t len = (size_t)(end - pattern);
		struct topic_regex *x;
		int error;
		PCRE2_SIZE at;
		pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern, len,
		    PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &error,
		    &at, NULL);
		if (!code || topic_regex_new(str_from(pattern, len), &x) != ERR_OK)
			fail_msg("%.*s: not a pattern for one of us", (int)len, pattern);
		pcre2_match_data *match = pcre2_match_data_create_from_pattern(code, NULL);
		for (int k = 0; k < 10; k++) {
			size_t n = prng_below(&prng, sizeof name);
			uint64_t steps = 0;
			for (size_t c = 0; c < n; c++)
				name[c] = "abAB-_.a"[prng_below(&prng, 8)];
			int rc = pcre2_match(code, (PCRE2_SPTR)name, n, 0, 0, match, NULL);
			if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
				continue; /* too much for it */
			yes += rc >= 0;
			if (topic_regex_match(x, str_from(name, n), &steps) != (rc >= 0))
				fail_msg("%.*s on %.*s: PCRE2 says %d", (int)len, pattern, (int)n,
				    name, rc >= 0);
		}
		pcre2_match_data_free(match);
		pcre2_code_free(code);
		topic_regex_free(x);
	}
	assert_true(yes > rounds / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(patterns_are_those_of_re2),
	    cmocka_unit_test(what_re2_does_not_have_is_refused),
	    cmocka_unit_test(a_byte_takes_no_more_steps_than_the_program_has),
	    cmocka_unit_test(a_pattern_that_is_too_large_is_refused),
	    cmocka_unit_test(names_match_as_pcre2_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
