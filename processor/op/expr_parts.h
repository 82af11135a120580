/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* The halves of the evaluator: expr.c dispatches, expr_forms.c has the forms that are not calls. */
#include "processor/op/expr.h"

/* Calls e->func over evaluated arguments. */
MUST_USE enum err expr_call(
    struct eval *ev, const struct expr *e, const struct vec *args, struct vec *ret_vec);
/* Evaluates all arguments. */
MUST_USE enum err expr_args(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec **ret_args);

MUST_USE enum err expr_logic(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec);
MUST_USE enum err expr_choose(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec);
MUST_USE enum err expr_distinct(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec);
MUST_USE enum err expr_nullif(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec);
MUST_USE enum err expr_extreme(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec);
MUST_USE enum err expr_in(
    struct eval *ev, const struct expr *e, const struct batch *in, struct vec *ret_vec);
