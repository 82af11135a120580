/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ssl.principal.mapping.rules: what Kafka's documentation and the tests of its SslPrincipalMapper
 * say that rules come to, what is refused, and that no rule takes for ever.
 */
#include "broker/auth/name_rules.h"
#include "test/lib/test.h"

static void assert_named(const char *rules, const char *subject, const char *name)
{
	struct name_rules *r;
	struct writer w;
	assert_int_equal(name_rules_new(str_of(rules), &r), ERR_OK);
	writer_init(&w, 64 * KIB);
	enum err err = name_rules_apply(r, str_of(subject), &w);
	if (!name) {
		assert_int_equal(err, ERR_UNAUTHORIZED);
	} else {
		assert_int_equal(err, ERR_OK);
		if (!str_equal(bytes_str(writer_bytes(&w)), str_of(name)))
			fail_msg("%s of %s: " STR_FMT, rules, subject, (int)w.len, w.ptr);
	}
	err_clear();
	writer_release(&w);
	name_rules_free(r);
}

#define SOME_RULES                                                                                 \
	"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L, "                                                 \
	"RULE:^CN=(.*?),OU=(.*?),O=(.*?),L=(.*?),ST=(.*?),C=(.*?)$/$1@$2/L, "                      \
	"RULE:^cn=(.*?),ou=(.*?),dc=(.*?),dc=(.*?)$/$1@$2/U, "                                     \
	"RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U, DEFAULT"

static void rules_are_tried_in_order(void **state)
{
	(void)state;
	assert_named(SOME_RULES, "CN=Duke,OU=ServiceUsers,O=Org,C=US", "duke");
	assert_named(SOME_RULES, "CN=Duke,OU=SME,O=mycp,L=Fulton,ST=MD,C=US", "duke@sme");
	assert_named(SOME_RULES, "cn=duke,ou=sme,dc=mycp,dc=com", "DUKE@SME");
	assert_named(SOME_RULES, "O=SME,C=US,cn=Duke.x", "DUKE.X");
	assert_named(SOME_RULES, "OU=JavaSoft,O=Sun", "OU=JavaSoft,O=Sun");
	assert_named("DEFAULT", "CN=a", "CN=a");
	assert_named("\n DEFAULT ,\n", "CN=a", "CN=a");
}

static void who_no_rule_speaks_of_is_nobody(void **state)
{
	(void)state;
	assert_named("RULE:^CN=(.*?),OU=x$/$1/", "CN=a,OU=y", NULL);
	assert_named("RULE:CN=a/b/", "CN=abc", NULL); /* the whole subject has to match */
	assert_named("RULE:^CN=(.*)$/$1/", "", NULL);
}

static void replacements_are_as_java_reads_them(void **state)
{
	(void)state;
	assert_named("RULE:^CN=(\\w+),.*$/\\$1-$1\\/$0/", "CN=a,C=D", "$1-a/CN=a,C=D");
	assert_named("RULE:^CN=(\\w+)\\/x$/$12/", "CN=a/x", "a2"); /* one group: $1, then 2 */
	assert_named("RULE:^(CN=)(x)?(.*)$/[$2]$3/", "CN=a", "[]a");
	assert_named("RULE:.*/x/", "CN=a", "xx"); /* once more at the end, as replaceAll does */
	assert_named("RULE:^CN=(.*)$//", "CN=a", "");
	assert_named("RULE:^CN=(.*)$/$1, $1/", "CN=a", "a, a");
	assert_named("RULE:^CN=(.*)$/$1/U", "CN=\xc3\xa4\xce\xb2x", "\xc3\x84\xce\x92X");
	assert_named("RULE:^CN=(.*)$/$1/L", "CN=\xc3\x84X", "\xc3\xa4x");
}

static void what_is_no_rule_is_refused(void **state)
{
	static const char *const bad[] = {"", " , ", "default", "DEFAULTX", "RULE:", "RULE:a",
	    "RULE:a/b", "RULE:a/b/x", "RULE:a/b/LU", "RULE:(/b/", "RULE:a/$1/", "RULE:a/$/",
	    "RULE:a/${x}/", "RULE:a/b\\", "RULE:a/b/ DEFAULT", "RULE:\\", "RULE:a/\xff/"};
	struct name_rules *r;
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(name_rules_new(str_of(bad[i]), &r), ERR_INVALID_CONFIG);
		err_clear();
	}
}

static void no_rule_takes_for_ever(void **state)
{
	char subject[4000];
	(void)state;
	memset(subject, 'a', sizeof(subject) - 1);
	subject[sizeof(subject) - 1] = 0;
	assert_named("RULE:^(a|aa)+[bc]$/$1/,DEFAULT", subject, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rules_are_tried_in_order),
	    cmocka_unit_test(who_no_rule_speaks_of_is_nobody),
	    cmocka_unit_test(replacements_are_as_java_reads_them),
	    cmocka_unit_test(what_is_no_rule_is_refused),
	    cmocka_unit_test(no_rule_takes_for_ever),
	};
	diag_set_level(DIAG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
