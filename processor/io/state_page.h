/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Pages of operator state: many entries, in key order, in one blob, so that a checkpoint writes
 * a row of SQLite per page and not per entry.
 *
 *   page     u8 coding (0 plain, 1 LZ4 block), uvarint length of the entries, the entries coded
 *   entry    uvarint bytes of the key that are those of the entry before, uvarint bytes of the key
 *            that follow, uvarint length of the value, those bytes of the key, the value
 *
 * The first entry of a page repeats nothing, so the entries of two pages that follow each other
 * are, put together, those of one page. The bytes come from a file whose pages carry checksums;
 * what does not parse is ERR_CORRUPT all the same. One thread.
 */
#include "log/base/base.h"

/* Entries being written. */
struct page_builder {
	struct writer entries, last; /* last: the newest key */
};
void page_builder_init(struct page_builder *b);
void page_builder_release(struct page_builder *b);
void page_builder_clear(struct page_builder *b); /* keeps the memory */
/* Keys ascend. Errors stay in b->entries.err: see page_builder_error. */
void page_builder_add(struct page_builder *b, struct bytes key, struct bytes value);
enum err page_builder_error(const struct page_builder *b);

/* Entries being read: there is one at hand while `there`. */
struct page_cursor {
	struct reader left;
	struct writer key;
	struct bytes value;
	bool there;
};
void page_cursor_init(struct page_cursor *c);
void page_cursor_release(struct page_cursor *c);
/* Goes to the first of `entries`, which are borrowed. */
MUST_USE enum err page_cursor_start(struct page_cursor *c, struct bytes entries);
MUST_USE enum err page_cursor_next(struct page_cursor *c);
static inline struct bytes page_cursor_key(const struct page_cursor *c)
{
	return writer_bytes(&c->key);
}

/* Between entries and the blob; both replace what is in the writer, or add to it. */
MUST_USE enum err page_pack(struct bytes entries, struct writer *ret_page);
MUST_USE enum err page_unpack_add(struct bytes page, struct writer *entries);
