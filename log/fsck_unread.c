/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fsck does where the disk does not read: each range is told once, and the walk goes on behind
 * it (around.h). See fsck.h.
 */
#include "log/fsck.h"
#include <stdarg.h>
#include <stdio.h>

#define SCAN_BYTES (256 * KIB)

/* ---- ranges ---------------------------------------------------------------------------------- */

static void range_keep(struct fsck_unread *u, uint64_t from, uint64_t to)
{
	if (u->count == u->capacity) {
		size_t capacity = u->capacity ? 2 * u->capacity : 16;
		struct fsck_range *grown = mem_realloc(u->range, capacity * sizeof(*grown));
		if (!grown)
			return; /* it was told; a reason may be less exact */
		u->range = grown;
		u->capacity = capacity;
	}
	u->range[u->count++] = (struct fsck_range){from, to};
}

/* Places are read in ascending order, and some of them twice. */
static void range_seen(void *ctx, uint64_t pos, uint64_t len)
{
	struct fsck_unread *u = ctx;
	uint64_t from = pos > u->told ? pos : u->told;
	uint64_t to = pos + len < u->limit ? pos + len : u->limit;
	if (from >= to)
		return;
	u->told = to;
	range_keep(u, from, to);
	fsck_find(u->f, u->verdict, "%s pos=%llu bytes=%llu reason=\"" FSCK_UNREAD "\"", u->what,
	    (unsigned long long)from, (unsigned long long)(to - from));
}

void fsck_unread_init(struct fsck_unread *u, struct fsck *f, enum err verdict, const char *fmt, ...)
{
	va_list args;
	*u = (struct fsck_unread){.f = f, .verdict = verdict, .limit = UINT64_MAX};
	u->around = (struct around){range_seen, u};
	va_start(args, fmt);
	vsnprintf(u->what, sizeof(u->what), fmt, args);
	va_end(args);
}

void fsck_unread_release(struct fsck_unread *u)
{
	mem_free(u->range);
	u->range = NULL;
	u->count = u->capacity = 0;
}

bool fsck_unread_has(const struct fsck_unread *u, uint64_t from, uint64_t to)
{
	size_t low = 0, high = u->count; /* the first that ends behind `from` */
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (u->range[mid].to <= from)
			low = mid + 1;
		else
			high = mid;
	}
	return low < u->count && u->range[low].from < to;
}

enum err fsck_read_file(struct io *io, const char *path, size_t limit, struct bytes *ret_content)
{
	enum err err;
	int tries = 0;
	do
		err = io_read_file(io, path, limit, ret_content);
	while (around_again(path, err, tries++));
	return err;
}

/* ---- the next frame -------------------------------------------------------------------------- */

/* Its checksum is seeded by the segment's secret: what verifies is a frame of it. */
static bool header_in(struct frame_seed seed, const uint8_t *buf, size_t len, size_t *ret_at)
{
	struct frame frame;
	bool found = false;
	size_t mark = err_mark();
	for (size_t at = 0; at + FRAME_HEADER_BYTES <= len && !found; at++) {
		found = get_u32_le(buf + at) == FRAME_MAGIC &&
		        frame_decode(buf + at, seed, &frame) == ERR_OK;
		*ret_at = at;
		err_rewind(mark);
	}
	return found;
}

enum err fsck_next_frame(const struct fsck_scan *scan, uint64_t from, uint64_t *ret_pos)
{
	uint8_t *buf = mem_alloc(SCAN_BYTES);
	enum err e = buf ? ERR_NOT_FOUND : ERR_NOMEM;
	struct around_read read = {scan->io, scan->fd, from};
	while (e == ERR_NOT_FOUND && read.pos + FRAME_HEADER_BYTES <= scan->end) {
		size_t want = SCAN_BYTES, len, at = 0;
		if (want > scan->end - read.pos)
			want = (size_t)(scan->end - read.pos);
		enum err got = around_pread(scan->around, &read, buf, want, &len);
		if (got != ERR_OK)
			e = got;
		else if (header_in(scan->seed, buf, len, &at))
			e = ERR_OK;
		else if (len < want || len < FRAME_HEADER_BYTES)
			break;
		*ret_pos = read.pos + at;
		read.pos += len - FRAME_HEADER_BYTES + 1;
	}
	mem_free(buf);
	return e;
}
