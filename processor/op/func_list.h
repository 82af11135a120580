/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Prototypes of all function bodies, from the same table as func_table. */
#include "processor/op/func.h"

#define F(name, body, result, flags, args)                                                         \
	void func_##body(                                                                          \
	    struct eval *ev, const struct expr *call, const struct vec *args_, struct vec *out);
#include "processor/op/func.def"
#undef F
