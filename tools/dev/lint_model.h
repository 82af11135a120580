/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * For make lint only, put in front of each file: what clang's analyzer cannot see across files.
 * Without it, it takes `return err_note(ERR_X, ...)` for a possible success and then finds every
 * ret_ result unset.
 */
#include "log/base/err.h"

static inline PRINTF(2, 3) enum err lint_note(enum err e, const char *fmt, ...)
{
	(void)fmt;
	return e;
}
#define err_note(e, ...) lint_note((e), __VA_ARGS__)
#define err_sys(...)     lint_note(ERR_IO, __VA_ARGS__)
