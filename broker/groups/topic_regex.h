/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Regular expressions over topic names, in the syntax of RE2 (KIP-848): what RE2 does not have
 * (back-references, looking around, possessive and atomic groups, recursion) is refused, what is
 * left is matched by automaton (pcre2_dfa_match), so no pattern makes a match explode. A name must
 * match as a whole. Thread: the owner's.
 */
#include "log/base/base.h"

struct topic_regex;
/* ERR_INVALID_REGEX with a note saying where; ERR_NOMEM. */
MUST_USE enum err topic_regex_new(struct str pattern, struct topic_regex **ret_regex);
void topic_regex_free(struct topic_regex *x);
/* ERR_INVALID_REGEX when the limits on work and memory are passed. */
MUST_USE enum err topic_regex_match(struct topic_regex *x, struct str name, bool *ret_matches);
