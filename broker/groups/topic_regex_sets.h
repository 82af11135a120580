/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Sets of ASCII characters for topic_regex_parse.c: a bit each. All add to what is in the set. */
#include "log/base/base.h"

void regex_set_range(uint64_t set[2], uint32_t from, uint32_t to);
void regex_set_join(uint64_t set[2], const uint64_t more[2], bool negated);
/* The letters of a set, small and capital, with the two characters beyond ASCII that fold to one:
 * the long s and the sign of kelvin, if they are between `from` and `to`. */
void regex_set_fold(uint64_t set[2], uint32_t from, uint32_t to);
/* By name, false: there is none. "alpha" of [[:alpha:]], 'd' of \d, "Lu" of \p{Lu}. */
bool regex_set_class(uint64_t set[2], struct str name);
bool regex_set_letter(uint64_t set[2], char letter);
bool regex_set_property(uint64_t set[2], struct str name);
