/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Tables of a view file: making them, and checking that a file is the one it should be. Private to
 * processor/io. */
#include "processor/io/store.h"

/* Creates the fixed tables of a new file, or checks those of an old one. ERR_CORRUPT,
 * ERR_NEWER_FORMAT. */
MUST_USE enum err schema_open(sqlite3 *db, const struct store_spec *spec);
/* state_0 .. state_<count - 1>, without that of row_state. */
MUST_USE enum err schema_create_state(sqlite3 *db, uint32_t count, int32_t row_state);
