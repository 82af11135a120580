/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking walk over a partition at start-up: how the catalog and the tables are read. */
#include "log/engine.h"

static enum err walk_segment(
    struct log_partition *p, struct segment *s, int64_t offset, partition_visit fn, void *ctx)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct io *io = p->log->io;
	struct segment_walk w;
	struct frame f;
	struct bytes batch;
	uint32_t pos;
	int fd;

	TRY(partition_path(p, segment_file_name(s, ".log", name), path));
	TRY(io_open(io, path, IO_READONLY, &fd));
	segment_walk_init(&w, io, fd, s->seed, 0);
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, s->size);
	enum err e, visited = ERR_OK;
	while ((e = segment_walk_next(&w, &f, &pos, &batch)) == ERR_OK) {
		if (f.base_offset >= p->durable_end)
			break;
		if (f.base_offset + (int64_t)f.last_offset_delta >= offset)
			visited = fn(ctx, &f, batch);
		if (visited != ERR_OK)
			break;
	}
	if (e == ERR_CORRUPT)
		partition_damaged(p, s, w.bad_header ? w.pos : pos, "read at start");
	segment_walk_release(&w);
	enum err closed = io_close(io, fd);
	if (e == ERR_OK)
		e = visited;
	if (e != ERR_OK && e != ERR_EOF)
		return err_note(e, "%s", path);
	return closed;
}

enum err partition_walk(struct log_partition *p, int64_t offset, partition_visit fn, void *ctx)
{
	loop_assert_owner(p->log->loop);
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->end_offset > offset)
			TRY(walk_segment(p, s, offset, fn, ctx));
	}
	return ERR_OK;
}
