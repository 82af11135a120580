/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * For make lint only, put in front of each file: what clang's analyzer cannot see across files.
 * Without it, it takes `return err_note(ERR_X, ...)` for a possible success and then finds every
 * ret_ result unset.
 */
#include "log/base/err.h"

#define err_note(e, ...) ((void)0, (e))
#define err_sys(...)     ((void)0, ERR_IO)
