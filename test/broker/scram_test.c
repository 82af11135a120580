/* SPDX-License-Identifier: Apache-2.0 */
/* SCRAM against the example of RFC 7677, and against every byte of it changed. */
#include "broker/auth/scram.h"
#include "test/lib/test.h"

static const char first[] = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
static const char ours[] = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
static const char challenge[] = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                                "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
static const char final[] = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
                            "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
static const char verdict[] = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
static const uint8_t salt[16] = {
    0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81};

static struct scram_credential credential(void)
{
	struct scram_credential c = {
	    .mechanism = SCRAM_SHA_256, .iterations = 4096, .salt_len = sizeof(salt)};
	memcpy(c.salt, salt, sizeof(salt));
	assert_int_equal(scram_derive_password(&c, STR("pencil")), ERR_OK);
	return c;
}

static enum err run(const struct scram_credential *c, const char *last, struct writer *out)
{
	struct scram s;
	scram_init(&s);
	enum err e = scram_first(&s, bytes_of(first, sizeof(first) - 1));
	if (e == ERR_OK)
		e = scram_challenge(&s, c, str_of(ours), out);
	assert_int_equal(e, ERR_OK);
	assert_string_equal(s.user, "user");
	assert_true(bytes_equal(writer_bytes(out), bytes_of(challenge, sizeof(challenge) - 1)));
	writer_clear(out);
	e = scram_final(&s, bytes_of(last, strlen(last)), out);
	scram_release(&s);
	err_clear();
	return e;
}

static void example_of_the_rfc_is_answered_as_there(void **state)
{
	struct scram_credential c = credential();
	struct writer out;
	(void)state;
	writer_init(&out, KIB);
	assert_int_equal(run(&c, final, &out), ERR_OK);
	assert_true(bytes_equal(writer_bytes(&out), bytes_of(verdict, sizeof(verdict) - 1)));
	writer_release(&out);
}

static void every_changed_byte_of_the_proof_is_refused(void **state)
{
	struct scram_credential c = credential();
	char changed[sizeof(final)];
	struct writer out;
	(void)state;
	writer_init(&out, KIB);
	for (size_t i = 0; i + 1 < sizeof(final); i++) {
		memcpy(changed, final, sizeof(final));
		changed[i] = changed[i] == 'A' ? 'B' : 'A';
		writer_clear(&out);
		assert_int_equal(run(&c, changed, &out), ERR_UNAUTHORIZED);
		assert_int_equal(out.len, 0);
	}
	writer_release(&out);
}

static void passwords_are_verified(void **state)
{
	struct scram_credential c = credential();
	(void)state;
	assert_true(scram_verify_password(&c, STR("pencil")));
	assert_false(scram_verify_password(&c, STR("pencil2")));
	assert_false(scram_verify_password(&c, STR("")));
}

static void malformed_first_messages_are_refused(void **state)
{
	static const char *const bad[] = {"", "n", "n,,", "n,,r=x,n=u", "n,,n=,r=x", "n,,n=u",
	    "n,,n=u,r=", "p=tls-unique,,n=u,r=x", "n,a=v,n=u,r=x", "n,,n=a=b,r=x", "n,,n=u,r=a b",
	    "x,,n=u,r=x"};
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct scram s;
		scram_init(&s);
		assert_int_equal(
		    scram_first(&s, bytes_of(bad[i], strlen(bad[i]))), ERR_UNAUTHORIZED);
		scram_release(&s);
		err_clear();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(example_of_the_rfc_is_answered_as_there),
	    cmocka_unit_test(every_changed_byte_of_the_proof_is_refused),
	    cmocka_unit_test(passwords_are_verified),
	    cmocka_unit_test(malformed_first_messages_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
