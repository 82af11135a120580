/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/op/func_list.h"

#define A0                   {0}, 0
#define A1(a)                {TYPE_##a}, 1
#define A2(a, b)             {TYPE_##a, TYPE_##b}, 2
#define A3(a, b, c)          {TYPE_##a, TYPE_##b, TYPE_##c}, 3
#define A4(a, b, c, d)       {TYPE_##a, TYPE_##b, TYPE_##c, TYPE_##d}, 4
#define A6(a, b, c, d, e, f) {TYPE_##a, TYPE_##b, TYPE_##c, TYPE_##d, TYPE_##e, TYPE_##f}, 6
#define FAIL                 FUNC_CAN_FAIL
#define LOOSE                FUNC_NOT_STRICT
#define VARIADIC             FUNC_VARIADIC
#define IMPLICIT             FUNC_CAST_IMPLICIT
#define ASSIGNMENT           FUNC_CAST_ASSIGNMENT
#define EXPLICIT             FUNC_CAST_EXPLICIT

const struct func func_table[] = {
#define F(name, body, result, flags, args) {name, args, TYPE_##result, flags, func_##body},
#include "processor/op/func.def"
#undef F
};
const size_t func_table_count = sizeof func_table / sizeof *func_table;

const struct func *func_cast(enum type_id from, enum type_id to, unsigned levels)
{
	for (size_t i = 0; i < func_table_count; i++) {
		const struct func *f = &func_table[i];
		if (f->args[0] == from && f->result == to && f->arg_count == 1 &&
		    f->flags & levels && strcmp(f->name, "cast") == 0)
			return f;
	}
	return NULL;
}
