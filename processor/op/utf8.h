/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Positions in UTF-8 text counted in characters. Text that is not well-formed is walked by its lead
 * bytes, never past its end. */
#include "log/base/base.h"

static inline bool utf8_is_lead(char c)
{
	return ((unsigned char)c & 0xc0) != 0x80;
}
static inline size_t utf8_count(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.len; i++)
		n += utf8_is_lead(s.ptr[i]);
	return n;
}
/* Byte position of character number `chars`, s.len when the text is shorter. */
static inline size_t utf8_offset(struct str s, size_t chars)
{
	size_t i = 0;
	for (; i < s.len; i++)
		if (utf8_is_lead(s.ptr[i]) && chars-- == 0)
			break;
	return i;
}
/* Length in bytes of the character that starts at s.ptr[0]; s.len > 0. */
static inline size_t utf8_char_len(struct str s)
{
	size_t n = 1;
	while (n < s.len && !utf8_is_lead(s.ptr[n]))
		n++;
	return n;
}
