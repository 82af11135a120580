/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/io/state_page.h"
#include <lz4.h>

enum { CODING_PLAIN = 0, CODING_LZ4 = 1, LZ4_RATIO_MAX = 255, PACK_MIN = 128 };
#define ENTRIES_MAX ((size_t)LZ4_MAX_INPUT_SIZE)

void page_builder_init(struct page_builder *b)
{
	writer_init(&b->entries, ENTRIES_MAX);
	writer_init(&b->last, ENTRIES_MAX);
}

void page_builder_release(struct page_builder *b)
{
	writer_release(&b->entries);
	writer_release(&b->last);
}

void page_builder_clear(struct page_builder *b)
{
	writer_clear(&b->entries);
	writer_clear(&b->last);
}

static size_t shared_len(struct bytes a, struct bytes b)
{
	size_t len = a.len < b.len ? a.len : b.len, n = 0;
	while (n < len && a.ptr[n] == b.ptr[n])
		n++;
	return n;
}

/* Whether the key that goes on with `rest` after `shared` bytes of `last` is above it. */
static bool follows(struct bytes last, size_t shared, struct bytes rest)
{
	return bytes_compare(rest, bytes_slice(last, shared, last.len)) > 0;
}

void page_builder_add(struct page_builder *b, struct bytes key, struct bytes value)
{
	struct writer *w = &b->entries;
	size_t shared = w->len > 0 ? shared_len(writer_bytes(&b->last), key) : 0;
	struct bytes rest = bytes_slice(key, shared, key.len);
	ASSERT(w->len == 0 || follows(writer_bytes(&b->last), shared, rest));
	write_uvarint64(w, shared);
	write_uvarint64(w, rest.len);
	write_uvarint64(w, value.len);
	write_bytes(w, rest);
	write_bytes(w, value);
	writer_clear(&b->last);
	write_bytes(&b->last, key);
}

enum err page_builder_error(const struct page_builder *b)
{
	return b->entries.err ? b->entries.err : b->last.err;
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err malformed(void)
{
	return err_note(ERR_CORRUPT, "a page of operator state cannot be read");
}

void page_cursor_init(struct page_cursor *c)
{
	*c = (struct page_cursor){.there = false};
	writer_init(&c->key, ENTRIES_MAX);
}

void page_cursor_release(struct page_cursor *c)
{
	writer_release(&c->key);
}

enum err page_cursor_start(struct page_cursor *c, struct bytes entries)
{
	c->left = reader_of(entries);
	writer_clear(&c->key);
	return page_cursor_next(c);
}

enum err page_cursor_next(struct page_cursor *c)
{
	struct reader *r = &c->left;
	c->there = reader_left(r) > 0;
	if (!c->there)
		return ERR_OK;
	bool first = r->pos == 0;
	uint64_t shared = read_uvarint64(r), rest = read_uvarint64(r), value = read_uvarint64(r);
	struct bytes suffix = read_bytes(r, rest);
	c->value = read_bytes(r, value);
	if (r->bad || shared > c->key.len)
		return malformed();
	if (!first && !follows(writer_bytes(&c->key), shared, suffix))
		return malformed();
	c->key.len = shared;
	write_bytes(&c->key, suffix);
	return c->key.err;
}

/* ---- coding ---------------------------------------------------------------------------------- */

/* LZ4 where it takes less room. */
static size_t pack_lz4(struct bytes entries, struct writer *page)
{
	int bound = LZ4_compressBound((int)entries.len);
	if (entries.len < PACK_MIN)
		return 0;
	uint8_t *to = writer_reserve(page, (size_t)bound);
	if (!to)
		return 0;
	page->len -= (size_t)bound;
	int len =
	    LZ4_compress_default((const char *)entries.ptr, (char *)to, (int)entries.len, bound);
	return len > 0 && (size_t)len < entries.len ? (size_t)len : 0;
}

enum err page_pack(struct bytes entries, struct writer *ret_page)
{
	writer_clear(ret_page);
	write_u8(ret_page, CODING_LZ4);
	write_uvarint64(ret_page, entries.len);
	size_t len = pack_lz4(entries, ret_page);
	if (ret_page->err != ERR_OK)
		return ret_page->err;
	if (len > 0) {
		ret_page->len += len;
		return ERR_OK;
	}
	ret_page->ptr[0] = CODING_PLAIN;
	write_bytes(ret_page, entries);
	return ret_page->err;
}

enum err page_unpack_add(struct bytes page, struct writer *entries)
{
	struct reader r = reader_of(page);
	uint8_t coding = read_u8(&r);
	uint64_t len = read_uvarint64(&r);
	struct bytes coded = read_bytes(&r, reader_left(&r));
	if (r.bad || coding > CODING_LZ4 || len > ENTRIES_MAX || coded.len > ENTRIES_MAX)
		return malformed();
	if (coding == CODING_PLAIN) {
		write_bytes(entries, coded);
		return len == coded.len ? entries->err : malformed();
	}
	if (len / LZ4_RATIO_MAX > coded.len)
		return malformed();
	uint8_t *to = writer_reserve(entries, len);
	if (!to)
		return entries->err;
	int got =
	    LZ4_decompress_safe((const char *)coded.ptr, (char *)to, (int)coded.len, (int)len);
	return got >= 0 && (uint64_t)got == len ? ERR_OK : malformed();
}
