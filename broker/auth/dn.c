/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/auth/dn.h"
#include <openssl/crypto.h>
#include <openssl/objects.h>

static const char *keyword(int nid)
{
	static const struct {
		int nid;
		const char *keyword;
	} all[] = {{NID_commonName, "CN"}, {NID_countryName, "C"}, {NID_localityName, "L"},
	    {NID_stateOrProvinceName, "ST"}, {NID_organizationName, "O"},
	    {NID_organizationalUnitName, "OU"}, {NID_streetAddress, "STREET"},
	    {NID_domainComponent, "DC"}, {NID_userId, "UID"}};
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (all[i].nid == nid)
			return all[i].keyword;
	}
	return NULL;
}

static bool is_text(const ASN1_STRING *s)
{
	switch (ASN1_STRING_type(s)) {
	case V_ASN1_UTF8STRING:
	case V_ASN1_PRINTABLESTRING:
	case V_ASN1_T61STRING:
	case V_ASN1_IA5STRING:
	case V_ASN1_BMPSTRING:
	case V_ASN1_UNIVERSALSTRING:
		return true;
	default:
		return false;
	}
}

/* The value's encoding, tag and length included. */
static enum err write_hex(struct writer *w, const ASN1_STRING *s)
{
	unsigned char *der = NULL;
	ASN1_TYPE any = {0};
	any.type = ASN1_STRING_type(s);
	any.value.asn1_string = (ASN1_STRING *)(uintptr_t)s;
	int len = i2d_ASN1_TYPE(&any, &der);
	if (len < 0)
		return err_note(ERR_INVALID, "a name that cannot be encoded");
	write_u8(w, '#');
	for (int i = 0; i < len; i++)
		write_printf(w, "%02x", der[i]);
	OPENSSL_free(der);
	return w->err;
}

/* With a backslash before what would end or begin something else. */
static enum err write_text(struct writer *w, const ASN1_STRING *s)
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, s);
	if (len < 0)
		return err_note(ERR_INVALID, "a name that is no text");
	int lead = 0, trail = len;
	while (lead < len && text[lead] == ' ')
		lead++;
	while (trail > lead && text[trail - 1] == ' ')
		trail--;
	for (int i = 0; i < len; i++) {
		unsigned char c = text[i];
		if (c == 0) {
			write_cstr(w, "\\00");
			continue;
		}
		if (strchr(",+<>;\"\\", c) || (i == 0 && c == '#') || i < lead || i >= trail)
			write_u8(w, '\\');
		write_u8(w, c);
	}
	OPENSSL_free(text);
	return w->err;
}

static enum err write_entry(struct writer *w, const X509_NAME_ENTRY *entry)
{
	const ASN1_OBJECT *object = X509_NAME_ENTRY_get_object(entry);
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(entry);
	const char *key = keyword(OBJ_obj2nid(object));
	char number[128];
	if (!key && OBJ_obj2txt(number, sizeof(number), object, 1) >= (int)sizeof(number))
		return err_note(ERR_INVALID, "a name with a number that is too long");
	write_printf(w, "%s=", key ? key : number);
	return key && is_text(value) ? write_text(w, value) : write_hex(w, value);
}

/* Entries of one set number are one part of the name, joined by +; parts go from last to first. */
enum err dn_write(struct writer *w, const X509_NAME *name)
{
	int end = X509_NAME_entry_count(name);
	while (end > 0) {
		int first = end - 1, set = X509_NAME_ENTRY_set(X509_NAME_get_entry(name, first));
		while (
		    first > 0 && X509_NAME_ENTRY_set(X509_NAME_get_entry(name, first - 1)) == set)
			first--;
		for (int i = first; i < end; i++) {
			if (i > first)
				write_u8(w, '+');
			TRY(write_entry(w, X509_NAME_get_entry(name, i)));
		}
		if (first > 0)
			write_u8(w, ',');
		end = first;
	}
	return w->err;
}
