/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* From text to classified statements; used by the binder for the SQL of views it inlines and for
 * predicates. */
#include "processor/sql/bind.h"

/* Checks and parses into b->arena; b->input is `text`. */
MUST_USE enum err sql_tree(struct binder *b, struct str text, PgQuery__ParseResult **ret_tree);
/* Fills all of `s` but text and start; refuses what is no statement of the dialect. */
MUST_USE enum err sql_classify(struct binder *b, const PgQuery__Node *n, struct sql_statement *s);
