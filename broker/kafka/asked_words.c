/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/kafka/handlers.h"
#include <strings.h>

static bool is_in(const struct asked_words *a, const char *word)
{
	size_t len = strlen(word);
	for (uint32_t i = 0; i < a->count; i++) {
		struct str s = a->at[i];
		if (s.len == len && (a->any_case ? strncasecmp(s.ptr, word, len) == 0
		                                 : memcmp(s.ptr, word, len) == 0))
			return true;
	}
	return false;
}

bool asked_word(struct asked_words *a, const char *word)
{
	size_t i = 0;
	if (a->count == 0)
		return true;
	while (i < a->known && a->memo[i].word != word)
		i++;
	if (i < a->known)
		return a->memo[i].asked;
	bool asked = is_in(a, word);
	if (i < ASKED_WORDS_KNOWN) {
		a->memo[i].word = word;
		a->memo[i].asked = asked;
		a->known++;
	}
	return asked;
}
