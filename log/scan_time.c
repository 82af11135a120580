/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding an offset by append time, from a worker. Append times never go back, so segments and then
 * the entries of one segment's index are searched by halving; each probe reads one frame header.
 */
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/scan.h"
#include <stdio.h>

struct append_search {
	struct log *log;
	struct partition_key key;
	int64_t time_ns;
	/* results of the loop's part */
	struct log_partition *p;
	struct segment *segment; /* held, NULL: nothing that late */
	struct frame_seed seed;
	int64_t end; /* of the partition */
	int64_t segment_base, segment_end;
	uint32_t bytes;
	char path[LOG_PATH_MAX]; /* without suffix */
	enum err err;
};

static void search_segment(void *arg)
{
	struct append_search *a = arg;
	struct log_partition *p = partition_by_key(a->log, a->key);
	char name[SEGMENT_NAME_BYTES];
	if (!p || p->state != PARTITION_OPEN) {
		a->err = ERR_SOURCE_GONE;
		return;
	}
	a->end = p->durable_end;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->durable_size == SEGMENT_HEADER_BYTES || s->last_append_ns < a->time_ns)
			continue;
		a->err = partition_path(p, segment_file_name(s, "", name), a->path);
		if (a->err == ERR_OK && strlen(a->path) + 8 > sizeof(a->path))
			a->err = err_note(ERR_LIMIT, "%s: path too long", a->path);
		if (a->err != ERR_OK)
			return;
		s->holds++;
		a->segment = s;
		a->p = p;
		a->seed = s->seed;
		a->bytes = s->durable_size;
		a->segment_base = s->base_offset;
		a->segment_end = s->end_offset < p->durable_end ? s->end_offset : p->durable_end;
		return;
	}
}

static void search_release(void *arg)
{
	struct append_search *a = arg;
	segment_unhold(a->segment);
}

/* Entry `number`, wherever it is. idx = -1: there is no file. */
static enum err search_entry(
    struct append_search *a, int idx, uint64_t number, struct index_entry *ret)
{
	struct scan_entry get = {.segment = a->segment, .number = number};
	uint8_t raw[INDEX_ENTRY_BYTES];
	loop_call(a->log->loop, scan_entry_get, &get);
	if (get.err == ERR_AGAIN) {
		if (idx < 0)
			return ERR_NOT_FOUND;
		TRY(io_pread_all(a->log->io, idx, raw, sizeof(raw),
		    INDEX_HEADER_BYTES + number * INDEX_ENTRY_BYTES));
		*ret = index_entry_decode(raw);
		return ERR_OK;
	}
	TRY(get.err);
	*ret = get.entry;
	return ERR_OK;
}

/* Without the index: it is a cache, and is not whole or does not agree with its frames. */
static enum err search_walk(struct append_search *a, int fd, int64_t *ret_offset)
{
	struct segment_walk w;
	struct frame f;
	struct bytes batch;
	uint32_t pos;
	err_clear();
	loop_call(a->log->loop, scan_index_doubt, a->segment);
	segment_walk_init(&w, a->log->io, fd, a->seed, 0);
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, a->bytes);
	w.check_body = false;
	w.holes = true;
	enum err e;
	int64_t next = a->segment_base;
	while ((e = segment_walk_next(&w, &f, &pos, &batch)) == ERR_OK &&
	       f.append_time_ns < a->time_ns)
		next = f.base_offset + (int64_t)f.last_offset_delta + 1;
	segment_walk_release(&w);
	/* CORRUPT: a bad header; all before it is older, and what it was may be the one */
	*ret_offset = e == ERR_OK ? f.base_offset : e == ERR_CORRUPT ? next : a->segment_end;
	return e == ERR_EOF || e == ERR_CORRUPT ? ERR_OK : e;
}

static enum err search_entries(struct append_search *a, int fd, int idx, int64_t *ret_offset)
{
	struct scan_entry get = {.segment = a->segment};
	loop_call(a->log->loop, scan_entry_get, &get);
	uint64_t low = 0, high = get.count;
	int64_t offset = a->segment_end;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;
		struct index_entry entry;
		struct frame f;
		uint8_t raw[FRAME_HEADER_BYTES];
		if (search_entry(a, idx, mid, &entry) != ERR_OK)
			return search_walk(a, fd, ret_offset);
		if (entry.pos >= a->bytes) { /* not durable yet */
			high = mid;
			continue;
		}
		enum err e = io_pread_all(a->log->io, fd, raw, sizeof(raw), entry.pos);
		if (e == ERR_OK)
			e = frame_decode(raw, a->seed, &f);
		if (e == ERR_CORRUPT || e == ERR_EOF ||
		    (e == ERR_OK && f.base_offset != entry.base_offset))
			return search_walk(a, fd, ret_offset);
		TRY(e);
		if (f.append_time_ns >= a->time_ns) {
			high = mid;
			offset = entry.base_offset;
		} else {
			low = mid + 1;
		}
	}
	*ret_offset = offset;
	return ERR_OK;
}

static enum err search_files(struct append_search *a, int64_t *ret_offset)
{
	struct io *io = a->log->io;
	size_t len = strlen(a->path);
	int fd, idx = -1;
	memcpy(a->path + len, ".log", 5);
	TRY(io_open(io, a->path, IO_READONLY, &fd));
	memcpy(a->path + len, ".idx", 5);
	if (io_open(io, a->path, IO_READONLY, &idx) != ERR_OK) /* perhaps all are in memory */
		err_clear();
	enum err e = search_entries(a, fd, idx, ret_offset);
	enum err closed = idx >= 0 ? io_close(io, idx) : ERR_OK;
	enum err closed_log = io_close(io, fd);
	TRY(e);
	TRY(closed);
	return closed_log;
}

enum err log_scan_find_append_time(struct log *log, struct log_uuid topic_id, int32_t partition,
    int64_t time_ns, int64_t *ret_offset)
{
	struct append_search a = {.log = log, .key = {topic_id, partition}, .time_ns = time_ns};
	loop_call(log->loop, search_segment, &a);
	TRY(a.err);
	if (!a.segment) {
		*ret_offset = a.end;
		return ERR_OK;
	}
	enum err e = search_files(&a, ret_offset);
	loop_call(log->loop, search_release, &a);
	return e;
}
