/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Operator state in a view file. Table n is state_<n>(bound, page): a page (state_page.h) holds the
 * entries from its bound, inclusive, to the bound of the next; the bound of the lowest is empty.
 * The table that row_state names lives in the column _state of `rows` and is only read here.
 *
 * Changes come in key order. The page a change falls into is taken apart, what comes is merged into
 * it on the way, and new pages are written when they are full, so that a checkpoint touches each
 * page once: a page is written when it has STATE_PAGE_BYTES, and none that stays grows beyond twice
 * that unless one entry does. A page left nearly empty takes the next one in. Private to
 * processor/io; one thread.
 */
#include "processor/op/op.h"
#include <sqlite3.h>

enum { STATE_PAGE_BYTES = 8192 }; /* of entries, before they are compressed */

struct state_file;
/* Over existing tables. */
MUST_USE enum err state_file_new(
    sqlite3 *db, uint32_t table_count, int32_t row_state, struct state_file **ret_file);
void state_file_free(struct state_file *f); /* takes NULL; before the connection is closed */

/* As in struct op_store, inside a transaction of the caller's. */
MUST_USE enum err state_file_lookup(
    struct state_file *f, uint32_t id, struct bytes key, struct bytes *ret_value);
MUST_USE enum err state_file_scan(
    struct state_file *f, uint32_t id, struct bytes prefix, op_scan_fn fn, void *fn_ctx);
MUST_USE enum err state_file_put(
    struct state_file *f, uint32_t id, struct bytes key, struct bytes value);
MUST_USE enum err state_file_del(struct state_file *f, uint32_t id, struct bytes key);
/* Writes the page that is being merged: before COMMIT. */
MUST_USE enum err state_file_flush(struct state_file *f);
/* Forgets it: after ROLLBACK. */
void state_file_drop(struct state_file *f);
