/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * ssl.principal.mapping.rules as Kafka has them: who the owner of a certificate is, from its
 * subject. Rules with commas or newlines between, the first that matches counts:
 *   DEFAULT                            the subject as it is
 *   RULE:PATTERN/REPLACEMENT/          where PATTERN matches the whole subject: the subject with
 *                                      each match of PATTERN replaced; $1 is a group, \ takes the
 *                                      meaning of what follows
 *   RULE:PATTERN/REPLACEMENT/L (or U)  the same in small (capital) letters
 * A subject that no rule matches is nobody's. Patterns are PCRE2's, which reads Java's but for a
 * few rare constructs. Immutable once made: any thread.
 */
#include "log/base/base.h"

struct name_rules;
/* INVALID_CONFIG, with what is wrong on the chain. */
MUST_USE enum err name_rules_new(struct str text, struct name_rules **ret_rules);
void name_rules_free(struct name_rules *r);
/* Appends the name of `subject`. UNAUTHORIZED: no rule matches it, or matching takes too much work;
 * NOMEM, LIMIT. */
MUST_USE enum err name_rules_apply(
    const struct name_rules *r, struct str subject, struct writer *w);
