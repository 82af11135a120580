/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Regular expressions over topic names, in the syntax of RE2 (KIP-848): what RE2 does not have
 * (back-references, looking around, possessive and atomic groups, recursion) is refused. A name
 * must match as a whole. Topic names are ASCII: what a pattern says of other characters is read,
 * and matches nothing.
 *
 * A pattern is a program for a machine that is in many places at once (Thompson's): a byte of a
 * name takes at most as many steps as the program has instructions, whatever the pattern, and each
 * step is counted. Whether a pattern is accepted depends on the pattern alone, never on the names
 * there are: else who may not see a name could ask for it by patterns that are too much work on it.
 * Thread: the owner's.
 */
#include "log/base/base.h"

enum {
	REGEX_OPS_MAX = 3000, /* a longer program is refused */
	REGEX_DEPTH_MAX = 100,
	REGEX_REPEAT_MAX = 1000, /* RE2's */
};

enum regex_op {
	REGEX_SET,   /* a byte that is in `set`; then the next instruction */
	REGEX_SPLIT, /* go on at x and at y */
	REGEX_JUMP,  /* go on at x */
	REGEX_START, /* the next instruction, if at the start of the name; so the following */
	REGEX_END,
	REGEX_BORDER, /* of a word */
	REGEX_NO_BORDER,
	REGEX_FOUND,
};
struct regex_ins {
	uint16_t op, x, y;
	uint64_t set[2]; /* a bit per ASCII character */
};
struct topic_regex {
	size_t count;
	struct regex_ins at[];
};

/* ERR_INVALID_REGEX with a note saying what and where; ERR_NOMEM. */
MUST_USE enum err topic_regex_new(struct str pattern, struct topic_regex **ret_regex);
void topic_regex_free(struct topic_regex *x);
size_t topic_regex_bytes(const struct topic_regex *x);
/* Adds the steps it took to *steps. */
bool topic_regex_match(const struct topic_regex *x, struct str name, uint64_t *steps);
