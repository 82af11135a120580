/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects as Java's X500Principal.getName() writes them. */
#include "broker/auth/dn.h"
#include "test/lib/test.h"
#include <openssl/objects.h>

struct part {
	int nid, type;
	const char *value;
	int set; /* X509_NAME_add_entry: 0 = a part of its own, -1 = joined to the one before */
};

static void assert_written(const struct part *parts, size_t count, const char *text)
{
	X509_NAME *name = X509_NAME_new();
	struct writer w;
	writer_init(&w, KIB);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(X509_NAME_add_entry_by_NID(name, parts[i].nid, parts[i].type,
		                     (const unsigned char *)parts[i].value, -1, -1, parts[i].set),
		    1);
	assert_int_equal(dn_write(&w, name), ERR_OK);
	write_u8(&w, 0);
	assert_string_equal((const char *)w.ptr, text);
	writer_release(&w);
	X509_NAME_free(name);
}
#define WRITTEN(text, ...)                                                                         \
	do {                                                                                       \
		const struct part parts[] = {__VA_ARGS__};                                         \
		assert_written(parts, sizeof(parts) / sizeof(parts[0]), text);                     \
	} while (0)

static void the_last_part_comes_first(void **state)
{
	(void)state;
	WRITTEN("CN=client,OU=x,O=y,C=US", {NID_countryName, MBSTRING_ASC, "US", 0},
	    {NID_organizationName, MBSTRING_UTF8, "y", 0},
	    {NID_organizationalUnitName, MBSTRING_UTF8, "x", 0},
	    {NID_commonName, MBSTRING_UTF8, "client", 0});
	WRITTEN("UID=u,STREET=a,DC=com,L=b,ST=c", {NID_stateOrProvinceName, MBSTRING_UTF8, "c", 0},
	    {NID_localityName, MBSTRING_UTF8, "b", 0},
	    {NID_domainComponent, MBSTRING_ASC, "com", 0},
	    {NID_streetAddress, MBSTRING_UTF8, "a", 0}, {NID_userId, MBSTRING_UTF8, "u", 0});
	assert_written(NULL, 0, "");
}

static void special_characters_are_escaped(void **state)
{
	(void)state;
	WRITTEN("CN=a\\,b\\+c\\\"d\\\\e\\<f\\>g\\;h",
	    {NID_commonName, MBSTRING_UTF8, "a,b+c\"d\\e<f>g;h", 0});
	WRITTEN("CN=\\#a#b", {NID_commonName, MBSTRING_UTF8, "#a#b", 0});
	WRITTEN("CN=\\ \\ a b\\ ", {NID_commonName, MBSTRING_UTF8, "  a b ", 0});
	WRITTEN("CN=J\xc3\xbcrgen=x", {NID_commonName, MBSTRING_UTF8, "J\xc3\xbcrgen=x", 0});
}

/* One certificate must not be able to look like another's subject. */
static void a_comma_in_a_name_is_no_further_part(void **state)
{
	(void)state;
	WRITTEN("CN=alice\\,O=Example", {NID_commonName, MBSTRING_UTF8, "alice,O=Example", 0});
}

static void parts_of_several_values_are_joined(void **state)
{
	(void)state;
	WRITTEN("CN=a+OU=b,O=c", {NID_organizationName, MBSTRING_UTF8, "c", 0},
	    {NID_commonName, MBSTRING_UTF8, "a", 0},
	    {NID_organizationalUnitName, MBSTRING_UTF8, "b", -1});
}

static void what_java_has_no_keyword_for_is_hexadecimal(void **state)
{
	(void)state;
	WRITTEN("1.2.840.113549.1.9.1=#1603614062,CN=x", {NID_commonName, MBSTRING_UTF8, "x", 0},
	    {NID_pkcs9_emailAddress, V_ASN1_IA5STRING, "a@b", 0});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_last_part_comes_first),
	    cmocka_unit_test(special_characters_are_escaped),
	    cmocka_unit_test(a_comma_in_a_name_is_no_further_part),
	    cmocka_unit_test(parts_of_several_values_are_joined),
	    cmocka_unit_test(what_java_has_no_keyword_for_is_hexadecimal),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
