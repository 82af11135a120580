/* SPDX-License-Identifier: Apache-2.0 */
/* Access lists as a data structure: rules by hand, and the sorted set against a plain search. */
#include "broker/auth/auth.h"
#include "log/base/prng.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <stdio.h>

static struct acl_set set;

static int clean(void **state)
{
	(void)state;
	acl_set_release(&set);
	return 0;
}

static struct acl allow(enum acl_pattern pattern, const char *name, enum acl_operation op)
{
	return (struct acl){.resource = ACL_TOPIC,
	    .pattern = (uint8_t)pattern,
	    .operation = (uint8_t)op,
	    .permission = ACL_ALLOW,
	    .name = str_of(name),
	    .principal = STR("User:a"),
	    .host = STR("*")};
}

static void put(struct acl acl)
{
	assert_int_equal(acl_check(&acl), ERR_OK);
	assert_int_equal(acl_set_add(&set, &acl), ERR_OK);
}

static enum acl_verdict judge(const char *user, enum acl_operation op, const char *topic)
{
	struct acl_query q = {str_of(user), STR("10.0.0.1"), op, ACL_TOPIC, str_of(topic)};
	return acl_set_judge(&set, &q);
}

static void what_nobody_speaks_of_has_no_verdict(void **state)
{
	(void)state;
	assert_int_equal(judge("User:a", ACL_READ, "t"), ACL_VERDICT_NONE);
	put(allow(ACL_LITERAL, "t", ACL_READ));
	assert_int_equal(judge("User:a", ACL_READ, "t"), ACL_VERDICT_ALLOW);
	assert_int_equal(judge("User:a", ACL_READ, "tt"), ACL_VERDICT_NONE);
	assert_int_equal(judge("User:b", ACL_READ, "t"), ACL_VERDICT_DENY);
	assert_int_equal(judge("User:a", ACL_WRITE, "t"), ACL_VERDICT_DENY);
	assert_int_equal(judge("User:aa", ACL_READ, "t"), ACL_VERDICT_DENY);
}

static void operations_imply_what_they_do_in_kafka(void **state)
{
	static const enum acl_operation implying[] = {ACL_READ, ACL_WRITE, ACL_DELETE, ACL_ALTER};
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		clean(NULL);
		put(allow(ACL_LITERAL, "t", implying[i]));
		assert_int_equal(judge("User:a", ACL_DESCRIBE, "t"), ACL_VERDICT_ALLOW);
		assert_int_equal(judge("User:a", ACL_DESCRIBE_CONFIGS, "t"), ACL_VERDICT_DENY);
		assert_int_equal(judge("User:a", ACL_CREATE, "t"), ACL_VERDICT_DENY);
	}
	clean(NULL);
	put(allow(ACL_LITERAL, "t", ACL_ALTER_CONFIGS));
	assert_int_equal(judge("User:a", ACL_DESCRIBE_CONFIGS, "t"), ACL_VERDICT_ALLOW);
	assert_int_equal(judge("User:a", ACL_DESCRIBE, "t"), ACL_VERDICT_DENY);
	clean(NULL);
	put(allow(ACL_LITERAL, "t", ACL_ALL));
	for (int op = ACL_READ; op <= ACL_IDEMPOTENT_WRITE; op++)
		assert_int_equal(judge("User:a", (enum acl_operation)op, "t"), ACL_VERDICT_ALLOW);
}

static void deny_wins_over_every_allow_and_implies_nothing(void **state)
{
	struct acl deny = allow(ACL_PREFIXED, "pay", ACL_DESCRIBE);
	(void)state;
	deny.permission = ACL_DENY;
	put(allow(ACL_LITERAL, "payments", ACL_ALL));
	put(allow(ACL_LITERAL, "*", ACL_ALL));
	put(deny);
	assert_int_equal(judge("User:a", ACL_DESCRIBE, "payments"), ACL_VERDICT_DENY);
	assert_int_equal(judge("User:a", ACL_READ, "payments"), ACL_VERDICT_ALLOW);
	deny.operation = ACL_ALL;
	put(deny);
	assert_int_equal(judge("User:a", ACL_READ, "payments"), ACL_VERDICT_DENY);
	assert_int_equal(judge("User:a", ACL_READ, "pa"), ACL_VERDICT_ALLOW);
	acl_set_remove(&set, &deny);
	assert_int_equal(judge("User:a", ACL_READ, "payments"), ACL_VERDICT_ALLOW);
}

static void hosts_and_everybody_are_matched(void **state)
{
	struct acl acl = allow(ACL_LITERAL, "t", ACL_READ);
	(void)state;
	acl.host = STR("10.0.0.2");
	put(acl);
	assert_int_equal(judge("User:a", ACL_READ, "t"), ACL_VERDICT_DENY);
	acl.host = STR("10.0.0.1");
	put(acl);
	assert_int_equal(judge("User:a", ACL_READ, "t"), ACL_VERDICT_ALLOW);
	acl.principal = ACL_EVERYBODY;
	assert_int_equal(judge("User:b", ACL_READ, "t"), ACL_VERDICT_DENY);
	put(acl);
	assert_int_equal(judge("User:b", ACL_READ, "t"), ACL_VERDICT_ALLOW);
}

static void entries_that_mean_nothing_are_refused(void **state)
{
	struct acl good = allow(ACL_LITERAL, "t", ACL_READ), bad[12];
	(void)state;
	assert_int_equal(acl_check(&good), ERR_OK);
	for (size_t i = 0; i < 12; i++)
		bad[i] = good;
	bad[0].resource = ACL_RESOURCE_ANY;
	bad[1].resource = 6;
	bad[2].pattern = ACL_PATTERN_MATCH;
	bad[3].operation = ACL_OPERATION_ANY;
	bad[4].operation = 255;
	bad[5].permission = ACL_PERMISSION_ANY;
	bad[6].name = STR("");
	bad[7].principal = STR("a");
	bad[8].principal = STR("User:");
	bad[9].host = STR("");
	bad[10].host = STR("example.org");
	bad[11].resource = ACL_CLUSTER;
	for (size_t i = 0; i < 12; i++)
		assert_int_equal(acl_check(&bad[i]), ERR_INVALID_REQUEST);
	err_clear();
}

static bool allows_some(void)
{
	const struct acl_query q = {
	    STR("User:a"), STR("10.0.0.1"), ACL_WRITE, ACL_TOPIC, (struct str){NULL, 0}};
	return acl_set_allows_some(&set, &q);
}

static void put_denial(enum acl_pattern pattern, const char *name)
{
	struct acl acl = allow(pattern, name, ACL_WRITE);
	acl.permission = ACL_DENY;
	put(acl);
}

/* Who may write to some topic: what denies all that an entry allows, and what does not. */
static void a_prefix_is_denied_by_prefixes_of_it_alone(void **state)
{
	(void)state;
	assert_false(allows_some());
	put(allow(ACL_LITERAL, "pp", ACL_READ));
	assert_false(allows_some());
	put(allow(ACL_LITERAL, "pp", ACL_WRITE));
	assert_true(allows_some());
	put_denial(ACL_LITERAL, "pp");
	assert_false(allows_some());
	put(allow(ACL_PREFIXED, "pp", ACL_WRITE)); /* "ppp" is left of it */
	assert_true(allows_some());
	put_denial(ACL_PREFIXED, "ppp");
	assert_true(allows_some());
	put_denial(ACL_PREFIXED, "p");
	assert_false(allows_some());
	put(allow(ACL_LITERAL, "q", ACL_WRITE));
	assert_true(allows_some());
	put_denial(ACL_LITERAL, "*");
	assert_false(allows_some());
}

static void rows_are_read_as_written_and_every_cut_is_noticed(void **state)
{
	struct acl acl = allow(ACL_PREFIXED, "orders-", ACL_WRITE), read;
	struct writer w;
	(void)state;
	writer_init(&w, KIB);
	acl_row_key(&w, &acl);
	assert_int_equal(acl_row_read(writer_bytes(&w), &read), ERR_OK);
	assert_true(str_equal(read.name, acl.name) && str_equal(read.principal, acl.principal) &&
	            str_equal(read.host, acl.host));
	assert_int_equal(read.pattern, acl.pattern);
	assert_int_equal(read.operation, acl.operation);
	for (size_t len = 0; len < w.len; len++)
		assert_int_not_equal(acl_row_read(bytes_of(w.ptr, len), &read), ERR_OK);
	w.ptr[0] = 1;
	assert_int_equal(acl_row_read(writer_bytes(&w), &read), ERR_NEWER_FORMAT);
	writer_release(&w);
	err_clear();
}

/* ---- against a plain search ------------------------------------------------------------------ */

static struct prng prng;

static struct str random_name(char *text, size_t max)
{
	size_t len = 1 + prng_below(&prng, max);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + prng_below(&prng, 2));
	return prng_below(&prng, 10) == 0 ? STR("*") : str_from(text, len);
}

static struct acl random_acl(char *text)
{
	static const struct str hosts[] = {{"*", 1}, {"10.0.0.1", 8}, {"10.0.0.2", 8}};
	static const struct str users[] = {{"User:*", 6}, {"User:a", 6}, {"User:b", 6}};
	return (struct acl){.resource = (uint8_t)(ACL_TOPIC + prng_below(&prng, 2)),
	    .pattern = (uint8_t)(ACL_LITERAL + prng_below(&prng, 2)),
	    .operation = (uint8_t)(ACL_ALL + prng_below(&prng, 4)),
	    .permission = (uint8_t)(ACL_DENY + prng_below(&prng, 2)),
	    .name = random_name(text, 6),
	    .principal = users[prng_below(&prng, 3)],
	    .host = hosts[prng_below(&prng, 3)]};
}

static enum acl_verdict plain_judge(const struct acl_query *q)
{
	bool spoken_of = false, allowed = false, denied = false;
	for (size_t i = 0; i < set.count; i++) {
		const struct acl *a = set.at[i];
		bool prefix = a->name.len <= q->name.len &&
		              memcmp(a->name.ptr, q->name.ptr, a->name.len) == 0;
		bool named = a->pattern == ACL_PREFIXED
		                 ? prefix
		                 : str_equal(a->name, q->name) || str_equal(a->name, STR("*"));
		bool describes = q->operation == ACL_DESCRIBE && a->operation >= ACL_READ &&
		                 a->operation <= ACL_WRITE;
		bool same = a->operation == ACL_ALL || a->operation == (uint8_t)q->operation;
		if (a->resource != (uint8_t)q->resource || !named)
			continue;
		spoken_of = true;
		if (!str_equal(a->principal, q->principal) &&
		    !str_equal(a->principal, ACL_EVERYBODY))
			continue;
		if (!str_equal(a->host, q->host) && !str_equal(a->host, STR("*")))
			continue;
		if (a->permission == ACL_DENY)
			denied |= same;
		else
			allowed |= same || describes;
	}
	if (!spoken_of)
		return ACL_VERDICT_NONE;
	return allowed && !denied ? ACL_VERDICT_ALLOW : ACL_VERDICT_DENY;
}

static void verdicts_are_those_of_a_plain_search(void **state)
{
	static const enum acl_operation ops[] = {ACL_READ, ACL_WRITE, ACL_CREATE, ACL_DESCRIBE};
	char text[16], name[16];
	size_t seen[3] = {0};
	(void)state;
	prng_init(&prng, test_seed(1));
	for (int round = 0; round < 300; round++) {
		size_t target = prng_below(&prng, 40);
		while (set.count < target) {
			struct acl acl = random_acl(text);
			put(acl);
			if (prng_below(&prng, 4) == 0) {
				acl_set_remove(&set, &acl);
				acl_set_remove(&set, &acl);
			}
		}
		for (int i = 0; i < 100; i++) {
			struct acl_query q = {.principal = STR("User:a"),
			    .host = STR("10.0.0.1"),
			    .operation = ops[prng_below(&prng, 4)],
			    .resource = ACL_TOPIC,
			    .name = random_name(name, 8)};
			enum acl_verdict expected = plain_judge(&q);
			seen[expected]++;
			assert_int_equal(acl_set_judge(&set, &q), expected);
		}
		clean(NULL);
	}
	for (size_t i = 0; i < 3; i++)
		assert_true(seen[i] > 100);
}

static void hosts_have_one_spelling(void **state)
{
	static const char *const same[][2] = {{"*", "*"}, {"10.0.0.1", "10.0.0.1"}, {"::1", "::1"},
	    {"0:0:0:0:0:0:0:1", "::1"}, {"::0001", "::1"}, {"FE80::A", "fe80::a"},
	    {"::ffff:10.0.0.1", "10.0.0.1"}, {"::FFFF:0a00:0001", "10.0.0.1"}};
	static const char *const none[] = {"", "....", "abc", "10.0.0", "10.0.0.256", "1", ":",
	    "10.0.0.1 ", "::1%lo", "fe80:::1", "10.0.0.0/8",
	    "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001"};
	char text[ACL_HOST_MAX];
	struct str host;
	(void)state;
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
		assert_int_equal(acl_host_read(str_of(same[i][0]), text, &host), ERR_OK);
		assert_true(str_equal(host, str_of(same[i][1])));
	}
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_int_equal(acl_host_read(str_of(none[i]), text, &host), ERR_INVALID_REQUEST);
	assert_int_equal(acl_host_read(str_from("::1\0", 4), text, &host), ERR_INVALID_REQUEST);
	err_clear();
}

/* Rows of before there was one spelling count as well. */
static void a_denial_counts_however_its_host_is_spelled(void **state)
{
	static const char *const hosts[] = {
	    "::ffff:10.0.0.1", "::FFFF:A00:1", "....", "abc", "10.0.0.1"};
	struct acl deny = allow(ACL_LITERAL, "t", ACL_ALL);
	(void)state;
	deny.permission = ACL_DENY;
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		put(allow(ACL_LITERAL, "t", ACL_ALL));
		deny.host = str_of(hosts[i]);
		put(deny);
		assert_int_equal(judge("User:a", ACL_READ, "t"), ACL_VERDICT_DENY);
		clean(NULL);
	}
	struct acl nowhere = allow(ACL_LITERAL, "t", ACL_ALL);
	nowhere.host = STR("....");
	put(nowhere);
	assert_int_equal(judge("User:a", ACL_READ, "t"), ACL_VERDICT_DENY);
	clean(NULL);
	put(allow(ACL_LITERAL, "t", ACL_ALL));
	deny.host = STR("fe80::1");
	put(deny);
	struct acl_query q = {STR("User:a"), STR("fe80::1%eth0"), ACL_READ, ACL_TOPIC, STR("t")};
	assert_int_equal(acl_set_judge(&set, &q), ACL_VERDICT_DENY);
}

static void set_has_a_limit(void **state)
{
	(void)state;
	for (int i = 0; i < ACLS_MAX; i++) {
		char name[16];
		snprintf(name, sizeof(name), "t%07d", i);
		put(allow(ACL_LITERAL, name, ACL_READ));
	}
	struct acl more = allow(ACL_LITERAL, "x", ACL_READ);
	assert_int_equal(acl_set_add(&set, &more), ERR_LIMIT);
	assert_int_equal(judge("User:a", ACL_READ, "t0012345"), ACL_VERDICT_ALLOW);
	err_clear();
}

int main(void)
{
#define EACH(test) cmocka_unit_test_teardown(test, clean)
	const struct CMUnitTest tests[] = {
	    EACH (what_nobody_speaks_of_has_no_verdict),
	    EACH (operations_imply_what_they_do_in_kafka),
	    EACH (hosts_have_one_spelling),
	    EACH (a_denial_counts_however_its_host_is_spelled),
	    EACH (deny_wins_over_every_allow_and_implies_nothing),
	    EACH (hosts_and_everybody_are_matched),
	    EACH (entries_that_mean_nothing_are_refused),
	    EACH (a_prefix_is_denied_by_prefixes_of_it_alone),
	    EACH (rows_are_read_as_written_and_every_cut_is_noticed),
	    EACH (verdicts_are_those_of_a_plain_search),
	    EACH (set_has_a_limit),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
