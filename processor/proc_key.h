/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Text of a key -> its encoded form, and back. See proc_key.c for the grammar. Pure. */
#include "processor/processor.h"

/* `keys` are indexes of `columns`, in the order of the encoding. ERR_INVALID with what was
 * expected. */
MUST_USE enum err key_parse(const struct proc_column *columns, const uint32_t *keys,
    uint32_t key_count, struct str text, struct writer *ret_key);
/* The key's text, one datum per key column, so that key_parse reads the same key. */
void key_write(struct writer *w, const struct proc_column *keys, uint32_t key_count,
    const struct datum *values);
