/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Writes JSON (RFC 8259) into a struct writer, compact, in one pass, without allocation of its own:
 *
 *   json_write_init(&j, &w);
 *   json_object_begin(&j);
 *   json_key(&j, STR("name"));
 *   json_str(&j, name);
 *   json_object_end(&j);
 *
 * Commas and colons are put here; a value where a key belongs, an unbalanced end or nesting beyond
 * JSON_WRITE_DEPTH_MAX is a bug of the caller and asserts. Errors of the buffer stay in the writer
 * (sticky). Text is escaped completely; each byte that is not part of well-formed UTF-8 becomes
 * U+FFFD, so the output is valid JSON whatever a client stored. For many values in one writer
 * (NDJSON) init again for each line. Thread: the writer's owner.
 */
#include "bytes.h"

enum { JSON_WRITE_DEPTH_MAX = 32 };

struct json_writer {
	struct writer *out;
	uint8_t depth;
	bool after_key;                      /* a key was written, its value is due */
	uint8_t level[JSON_WRITE_DEPTH_MAX]; /* JSON_LEVEL_ bits of each open container */
};

/* Does not clear `out`: appends one JSON value to it. */
void json_write_init(struct json_writer *j, struct writer *out);
/* True when exactly one complete value has been written. */
bool json_write_done(const struct json_writer *j);

void json_object_begin(struct json_writer *j);
void json_object_end(struct json_writer *j);
void json_array_begin(struct json_writer *j);
void json_array_end(struct json_writer *j);
void json_key(struct json_writer *j, struct str key);

/* ptr == NULL writes null. */
void json_str(struct json_writer *j, struct str s);
void json_i64(struct json_writer *j, int64_t v);
void json_u64(struct json_writer *j, uint64_t v);
/* Shortest decimal that reads back as `v`; NaN and the infinities as the strings "NaN", "Infinity",
 * "-Infinity". */
void json_double(struct json_writer *j, double v);
void json_bool(struct json_writer *j, bool v);
void json_null(struct json_writer *j);
/* RFC 4648 base64 with padding, as a string; ptr == NULL writes null. */
void json_base64(struct json_writer *j, struct bytes b);
/* Lower-case hexadecimal, as a string. */
void json_hex(struct json_writer *j, struct bytes b);
/* `text` must be one complete, valid JSON value; it is copied as it is. */
void json_raw(struct json_writer *j, struct str text);

/* Key and value at once. */
void json_key_str(struct json_writer *j, const char *key, struct str s);
void json_key_i64(struct json_writer *j, const char *key, int64_t v);
void json_key_u64(struct json_writer *j, const char *key, uint64_t v);
void json_key_double(struct json_writer *j, const char *key, double v);
void json_key_bool(struct json_writer *j, const char *key, bool v);

/* The escaped characters of `s` without the quotes, for text assembled elsewhere. */
void json_write_escaped(struct writer *out, struct str s);
