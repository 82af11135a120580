/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Projecting JSON scanner: compiled paths in, one value slice per path out, everything else skipped
 * after a full walk (truncated or malformed documents are errors). RFC 8259; duplicate keys: the
 * last wins; a UTF-8 BOM is skipped; depth at most JSON_DEPTH_MAX. Strings of projected values are
 * validated as UTF-8 when they are unescaped. The order of names is predicted from the documents
 * before. No allocation per document. A json_paths is immutable after compile except its
 * predictor: one thread at a time.
 */
#include "mem.h"

enum json_kind {
	JSON_ABSENT, /* the path is not in the document */
	JSON_NULL,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NUMBER, /* text: as spelled */
	JSON_STRING, /* text: between the quotes, as spelled; see `escaped` and `ascii` */
	JSON_OBJECT, /* text: the whole value, braces included */
	JSON_ARRAY,
};
struct json_value {
	enum json_kind kind;
	bool escaped; /* a string that json_unescape has to write anew */
	bool ascii;   /* a string or number of bytes below 0x80 only: UTF-8 for sure */
	bool integer; /* a number without point and exponent */
	bool exact;   /* the name was spelled as in the path, case included */
	struct str text;
};

struct json_paths;
struct json_path_spec {
	struct str path; /* '$.a.b', or a bare key name when !is_path */
	bool is_path;
	bool exact_case; /* false: ASCII case-insensitive, an exact match first (SQL's unquoted
	                    names) */
};
/* values[i] of a scan belongs to specs[i]. ERR_INVALID for a path that is not $(.key | ."key" |
 * ['key'] | [n])*. */
MUST_USE enum err json_paths_new(
    const struct json_path_spec *specs, size_t count, struct json_paths **ret_paths);
void json_paths_free(struct json_paths *p);
/*
 * Walks one whole document, which must be an object (ERR_BAD_JSON otherwise, and for trailing
 * bytes); fills `values` (count of them, borrowed from doc). The chain says what and at which byte.
 */
MUST_USE enum err json_scan(struct json_paths *p, struct str doc, struct json_value *values);
/* Unescapes a JSON_STRING's text: a slice of it when not escaped, else written to the arena.
 * ERR_BAD_VALUE for \u0000, a lone surrogate, or bytes that are not UTF-8. */
MUST_USE enum err json_unescape(struct arena *a, struct json_value v, struct str *ret_text);
/* True when `doc` is one well-formed JSON text of any kind. */
bool json_is_valid(struct str doc);
