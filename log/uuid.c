/* SPDX-License-Identifier: Apache-2.0 */
/* Topic ids: random UUIDs (version 4, RFC 9562) and their text. */
#include "log/catalog.h"

const struct log_uuid CATALOG_TOPIC_ID = {
    {'k', 'a', 'p', 'p', 'a', 0, 0x40, 'c', 0x80, 'a', 't', 'a', 'l', 'o', 'g', 1}};

/* Bytes before which the text has a hyphen. */
static bool hyphen_before(size_t byte)
{
	return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

const char *uuid_format(struct log_uuid id, char *buf)
{
	static const char digits[] = "0123456789abcdef";
	size_t at = 0;
	for (size_t i = 0; i < sizeof(id.b); i++) {
		if (hyphen_before(i))
			buf[at++] = '-';
		buf[at++] = digits[id.b[i] >> 4];
		buf[at++] = digits[id.b[i] & 15];
	}
	buf[at++] = '\0';
	ASSERT(at == UUID_TEXT_BYTES);
	return buf;
}

/* -1 when it is not a hexadecimal digit. */
static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool uuid_parse(struct str text, struct log_uuid *ret_id)
{
	struct log_uuid id;
	size_t at = 0;
	if (text.len != UUID_TEXT_BYTES - 1)
		return false;
	for (size_t i = 0; i < sizeof(id.b); i++) {
		if (hyphen_before(i) && text.ptr[at++] != '-')
			return false;
		int high = digit_of(text.ptr[at]), low = digit_of(text.ptr[at + 1]);
		if (high < 0 || low < 0)
			return false;
		id.b[i] = (uint8_t)(high << 4 | low);
		at += 2;
	}
	*ret_id = id;
	return true;
}

struct log_uuid uuid_random(struct io *io)
{
	struct log_uuid id;
	io_random(io, id.b, sizeof(id.b));
	id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40);
	id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
	return id;
}
