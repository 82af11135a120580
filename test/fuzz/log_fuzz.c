/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the log reads back from its files. Checksums would stop nearly every input, so headers are
 * also made of the input's fields and sealed, as a writer with a fault would leave them.
 */
#include "test/fuzz/fuzz.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/segment.h"
#include "log/checksum.h"
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

enum { RAW, SEALED_FRAME, JOURNAL, SEGMENT, MODES };
enum { BATCH_BYTES = 61 };

static void raw(struct bytes in)
{
	uint8_t block[SEGMENT_HEADER_BYTES] = {0};
	struct segment_header segment;
	struct journal_header journal;
	struct index_header index;
	struct journal_entry entry;
	struct frame frame;
	struct frame_seed seed = {1, 2};
	memcpy(block, in.ptr, in.len < sizeof(block) ? in.len : sizeof(block));
	enum err err = segment_header_decode(block, &segment);
	err = journal_header_decode(block, &journal);
	err = index_header_decode(block, &index);
	err = frame_decode(block, seed, &frame);
	err = journal_entry_decode(block, (struct journal_seed){1, 2}, sizeof(block), &entry);
	(void)journal_item_decode(block);
	(void)err;
}

enum { FIELDS = 56, LINK = 56, BODY_HASH = 64, HEADER_HASH = 72 }; /* of a frame, FORMAT.md */

/*
 * A frame of the input's fields (FIELDS bytes from the version on, the length put right unless its
 * high bit says not to) over `body`, sealed: what its writer never makes has right checksums.
 */
static void seal_frame(struct reader *r, struct frame_seed seed, struct bytes body, uint8_t *out)
{
	struct bytes fields = read_bytes(r, FIELDS - 4);
	memset(out, 0, FRAME_HEADER_BYTES);
	put_u32_le(out, FRAME_MAGIC);
	if (fields.len == FIELDS - 4)
		memcpy(out + 4, fields.ptr, fields.len);
	if (!(out[11] & 128))
		put_u32_le(out + 8, (uint32_t)body.len);
	put_u64_le(out + BODY_HASH, checksum64(body.ptr, body.len, seed.body));
	put_u64_le(out + HEADER_HASH, XXH3_64bits_withSeed(out, HEADER_HASH, seed.header));
}

static void sealed_frame(struct reader *r)
{
	uint8_t header[FRAME_HEADER_BYTES];
	struct frame_seed seed = {1, 2};
	struct frame back;
	struct frame_hole hole;
	size_t left = reader_left(r);
	struct bytes body = read_bytes(r, left > FIELDS ? left - FIELDS : 0);
	seal_frame(r, seed, body, header);
	if (frame_decode(header, seed, &back) != ERR_OK)
		return;
	enum err err = frame_check_link(&back, seed, 3);
	err = frame_check_body(&back, seed, body);
	if (err == ERR_OK && (back.flags & FRAME_HOLE))
		err = frame_hole_decode(&back, body, &hole);
}

/* A file of these bytes, by its name. */
static int file_of(const uint8_t *p, size_t len, char *path, size_t path_len)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	ASSERT(fd >= 0 && write(fd, p, len) == (ssize_t)len);
	snprintf(path, path_len, "/proc/self/fd/%d", fd);
	return fd;
}

enum { ENTRY_ITEMS_HASH = 104, ENTRY_BODY_HASH = 112, ENTRY_HASH = 120 };

/* An entry of the input's fields, sealed over the input's bytes. */
static void seal_entry(struct reader *r, struct journal_seed seed, uint8_t *at)
{
	size_t len = reader_left(r);
	struct bytes in = read_bytes(r, len < JOURNAL_BLOCK ? len : JOURNAL_BLOCK);
	if (in.len > 4)
		memcpy(at + 4, in.ptr + 4, in.len - 4);
	put_u32_le(at, JOURNAL_ENTRY_MAGIC);
	uint32_t used = get_u32_le(at + 12), items = get_u32_le(at + 16);
	if (items <= used && used <= JOURNAL_BLOCK)
		put_u64_le(at + ENTRY_ITEMS_HASH, checksum64(at + items, used - items, seed.body));
	put_u64_le(
	    at + ENTRY_BODY_HASH, checksum64(at + JOURNAL_ENTRY_HEADER_BYTES,
	                              JOURNAL_BLOCK - JOURNAL_ENTRY_HEADER_BYTES, seed.body));
	put_u64_le(at + ENTRY_HASH, XXH3_64bits_withSeed(at, ENTRY_HASH, seed.header));
}

static void journal(struct io *io, struct reader *r)
{
	static uint8_t file[3 * JOURNAL_BLOCK];
	char path[64];
	struct journal_header h = {.version = JOURNAL_VERSION, .file_bytes = sizeof(file)};
	struct journal_iter it;
	struct journal_found found;
	memset(file, 0, sizeof(file));
	journal_header_encode(&h, file);
	seal_entry(r, journal_seed_of(h.secret), file + JOURNAL_BLOCK);
	int fd = file_of(file, sizeof(file), path, sizeof(path));
	if (journal_iter_open(&it, io, path, 0) == ERR_OK) {
		while (journal_iter_next(&it, &found) == ERR_OK) {
			for (uint32_t i = 0; found.items_good && i < found.entry.item_count; i++)
				(void)journal_found_item(&found, i);
		}
		journal_iter_release(&it);
	}
	close(fd);
}

/* Frames one behind the other; what a walk does with sizes and flags that do not fit. */
static void segment(struct io *io, struct reader *r)
{
	static uint8_t file[1 << 16];
	char path[64];
	struct frame_seed seed = {1, 2};
	struct segment_walk w;
	size_t at = SEGMENT_HEADER_BYTES;
	memset(file, 0, sizeof(file));
	while (reader_left(r) > FIELDS && at + FRAME_HEADER_BYTES + 300 < sizeof(file)) {
		size_t len = read_u8(r), left = reader_left(r) - (FIELDS - 4);
		struct bytes body = read_bytes(r, len < left ? len : left);
		seal_frame(r, seed, body, file + at);
		if (body.len > 0)
			memcpy(file + at + FRAME_HEADER_BYTES, body.ptr, body.len);
		at += FRAME_HEADER_BYTES + body.len;
	}
	int fd = file_of(file, at, path, sizeof(path));
	struct frame found;
	struct bytes batch;
	uint32_t pos, before = 0;
	segment_walk_init(&w, io, fd, seed, 0);
	w.check_body = w.holes = w.want_pads = true;
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, (uint32_t)at);
	/* a body that does not verify is passed over, a header ends it */
	for (enum err err = ERR_OK; err == ERR_OK || (err == ERR_CORRUPT && w.pos > before);) {
		before = w.pos;
		err = segment_walk_next(&w, &found, &pos, &batch);
		ASSERT(err != ERR_OK || (batch.len <= at && w.pos <= at));
	}
	segment_walk_release(&w);
	close(fd);
}

void log_fuzz(struct bytes in)
{
	static struct io *io;
	if (!io)
		ASSERT(io_new("threads", &io) == ERR_OK);
	struct reader r = reader_of(in);
	switch (read_u8(&r) % MODES) {
	case RAW:
		raw(bytes_slice(in, in.len > 0, in.len));
		break;
	case SEALED_FRAME:
		sealed_frame(&r);
		break;
	case JOURNAL:
		journal(io, &r);
		break;
	default:
		segment(io, &r);
		break;
	}
	err_clear();
}

/* A frame as a writer makes it, in the order in which seal_frame and its callers read. */
static void seed_frame(struct writer *w, uint16_t version, uint16_t flags, uint64_t sequence)
{
	uint8_t f[FIELDS] = {0};
	put_u16_le(f + 4, version);
	put_u16_le(f + 6, flags);
	put_u64_le(f + 16, sequence);
	put_u32_le(f + 32, 2);
	write_bytes(w, bytes_of(f + 4, FIELDS - 4));
}

static void seed_entry(struct writer *w)
{
	uint8_t e[400] = {0};
	struct journal_item item = {.kind = JOURNAL_FRAME,
	    .pos = SEGMENT_HEADER_BYTES,
	    .len = 100,
	    .at = JOURNAL_ENTRY_HEADER_BYTES,
	    .sequence = 1};
	put_u16_le(e + 4, JOURNAL_VERSION);
	put_u16_le(e + 6, JOURNAL_ROUND);
	put_u32_le(e + 8, JOURNAL_BLOCK);
	put_u32_le(e + 12, JOURNAL_BLOCK);
	put_u32_le(e + 16, JOURNAL_BLOCK - JOURNAL_ITEM_BYTES);
	put_u32_le(e + 20, 1);
	put_u64_le(e + 32, 1);
	write_bytes(w, bytes_of(e, sizeof(e)));
	memset(writer_reserve(w, JOURNAL_BLOCK - JOURNAL_ITEM_BYTES - sizeof(e)), 0,
	    JOURNAL_BLOCK - JOURNAL_ITEM_BYTES - sizeof(e));
	journal_item_encode(&item, writer_reserve(w, JOURNAL_ITEM_BYTES));
}

void log_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	static const uint8_t body[BATCH_BYTES] = {1, 0, 0, 0, 0, 0, 0, 0, 1};
	struct writer w;
	writer_init(&w, MIB);
	for (uint8_t mode = 0; mode < MODES; mode++) {
		for (int hole = 0; hole < 2; hole++) {
			size_t len = hole ? (size_t)FRAME_HOLE_BYTES : sizeof(body);
			writer_clear(&w);
			write_u8(&w, mode);
			if (mode == JOURNAL)
				seed_entry(&w);
			for (int i = 1; mode == SEGMENT && i < 4; i++) {
				write_u8(&w, (uint8_t)len);
				write_bytes(&w, bytes_of(body, len));
				seed_frame(&w, hole ? FRAME_VERSION_HOLE : FRAME_VERSION,
				    hole ? FRAME_HOLE : 0, (uint64_t)i);
			}
			if (mode == SEALED_FRAME || mode == RAW) {
				write_bytes(&w, bytes_of(body, len));
				seed_frame(&w, hole ? FRAME_VERSION_HOLE : FRAME_VERSION,
				    hole ? FRAME_HOLE : 0, 1);
				write_u32_be(&w, 0);
			}
			emit(ctx, writer_bytes(&w));
		}
	}
	writer_release(&w);
}
