/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Reading jsonb values kept as text: one value at a time, by key, index or path, without building a
 * tree. Documents were checked on their way in (json_text_valid), so a malformed one here only
 * means "absent", never a read out of bounds. Duplicate keys: the last wins. Any thread.
 */
#include "processor/op/vec.h"

enum json_text_kind {
	JSON_TEXT_NONE,
	JSON_TEXT_NULL,
	JSON_TEXT_BOOL,
	JSON_TEXT_NUMBER,
	JSON_TEXT_STRING,
	JSON_TEXT_OBJECT,
	JSON_TEXT_ARRAY
};
/* RFC 8259, one value with blanks around, depth at most JSON_DEPTH_MAX, strings that can be
 * unescaped to UTF-8 without NUL. */
bool json_text_valid(struct str doc);
enum json_text_kind json_text_kind(struct str doc);
/* The value under `key` of an object, or at `index` of an array (negative: from the end); ptr NULL
 * when there is none. */
struct str json_text_member(struct str doc, struct str key);
struct str json_text_element(struct str doc, int64_t index);
int64_t json_text_length(struct str array);
/* ->> : strings unescaped, null as SQL NULL (ptr NULL), anything else its text. ERR_NOMEM;
 * ERR_BAD_VALUE for \u0000. */
MUST_USE enum err json_text_as_text(struct arena *a, struct str value, struct str *ret_text);
/* Appends `s` as a JSON string with quotes. */
void json_text_quote(struct writer *w, struct str s);
