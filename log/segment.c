/* SPDX-License-Identifier: Apache-2.0 */
/* Segment files: names, creation, header; and `struct segment` in memory. */
#include "log/segment.h"
#include "log/engine.h"
#include <stdio.h>

const char *segment_name(int64_t base_offset, const char *suffix, char *buf)
{
	enum { DIGITS = 20 };
	size_t len = strlen(suffix);
	ASSERT(base_offset >= 0 && DIGITS + len < SEGMENT_NAME_BYTES);
	/* by hand: a start makes several names per segment */
	for (int i = DIGITS; i-- > 0; base_offset /= 10)
		buf[i] = (char)('0' + base_offset % 10);
	memcpy(buf + DIGITS, suffix, len + 1);
	return buf;
}

const char *segment_name_of(int64_t base_offset, uint32_t generation, const char *suffix, char *buf)
{
	if (generation == 0)
		return segment_name(base_offset, suffix, buf);
	ASSERT(base_offset >= 0);
	int n = snprintf(
	    buf, SEGMENT_NAME_BYTES, "%020lld.g%u%s", (long long)base_offset, generation, suffix);
	ASSERT(n > 0 && n < SEGMENT_NAME_BYTES);
	return buf;
}

const char *segment_file_name(const struct segment *s, const char *suffix, char *buf)
{
	return segment_name_of(s->base_offset, s->file_generation, suffix, buf);
}

bool segment_name_parse_of(
    const char *name, const char *suffix, int64_t *ret_base_offset, uint32_t *ret_generation)
{
	enum { DIGITS = 20, MARK = 2 /* ".g" */ };
	size_t len = strlen(name), end = strlen(suffix);
	int64_t generation;
	*ret_generation = 0;
	if (segment_name_parse(name, suffix, ret_base_offset))
		return true;
	if (len <= DIGITS + MARK + end || memcmp(name + DIGITS, ".g", MARK) != 0 ||
	    memcmp(name + len - end, suffix, end) != 0)
		return false;
	struct str digits = str_from(name + DIGITS + MARK, len - end - DIGITS - MARK);
	if (!str_to_i64(digits, &generation) || generation < 1 || generation > UINT32_MAX ||
	    digits.ptr[0] == '0' || digits.ptr[0] == '+')
		return false;
	*ret_generation = (uint32_t)generation;
	return str_to_i64(str_from(name, DIGITS), ret_base_offset) && *ret_base_offset >= 0;
}

bool segment_name_parse(const char *name, const char *suffix, int64_t *ret_base_offset)
{
	size_t len = strlen(name);
	if (len != 20 + strlen(suffix) || memcmp(name + 20, suffix, len - 20) != 0)
		return false;
	return str_to_i64(str_from(name, 20), ret_base_offset) && *ret_base_offset >= 0;
}

static enum err file_fill(struct io *io, int fd, const struct segment_header *header)
{
	uint8_t *buf = mem_alloc(SEGMENT_HEADER_BYTES);
	if (!buf)
		return ERR_NOMEM;
	segment_header_encode(header, buf);
	enum err e = io_pwrite(io, fd, buf, SEGMENT_HEADER_BYTES, 0);
	mem_free(buf);
	TRY(e);
	return io_fsync(io, fd);
}

/*
 * A roll that failed may leave its file when it cannot be unlinked either. Nothing was ever
 * appended to it: only that is taken away.
 */
static enum err unlink_leftover(struct io *io, const char *path)
{
	struct io_stat stat;
	TRY(io_stat(io, path, &stat));
	if (stat.is_directory || stat.size_bytes > SEGMENT_HEADER_BYTES)
		return err_note(ERR_EXISTS, "%s: there are frames in it", path);
	return io_unlink(io, path);
}

static enum err create_new(struct io *io, const char *path, int *ret_fd)
{
	enum err e = io_open(io, path, IO_CREATE | IO_EXCLUSIVE, ret_fd);
	if (e != ERR_EXISTS)
		return e;
	err_clear();
	TRY(unlink_leftover(io, path));
	return io_open(io, path, IO_CREATE | IO_EXCLUSIVE, ret_fd);
}

enum err segment_file_create(struct io *io, const char *dir, const struct segment_header *header)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	int fd;
	segment_name(header->base_offset, ".log", name);
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "%s: path too long", dir);
	TRY(create_new(io, path, &fd));
	enum err e = file_fill(io, fd, header);
	enum err closed = io_close(io, fd);
	if (e == ERR_OK)
		e = closed;
	if (e == ERR_OK)
		e = io_fsync_dir(io, dir);
	if (e != ERR_OK)
		segment_file_leave(io, path);
	return e;
}

void segment_file_leave(struct io *io, const char *path)
{
	size_t mark = err_mark();
	char dir[4096 /* LOG_PATH_MAX */ + SEGMENT_NAME_BYTES];
	const char *slash = strrchr(path, '/');
	ASSERT(slash && (size_t)(slash - path) < sizeof(dir));
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	/* for good: its topic may be deleted, and a power cut bring it back */
	if (io_unlink(io, path) != ERR_OK || io_fsync_dir(io, dir) != ERR_OK)
		diag(DIAG_WARN, "segment_leftover", "path=%s", path);
	err_rewind(mark);
}

enum err segment_file_header(
    struct io *io, int fd, char *name_buf, struct segment_header *ret_header)
{
	struct segment_header h;
	uint8_t *buf = mem_alloc(SEGMENT_HEADER_BYTES);
	if (!buf)
		return ERR_NOMEM;
	enum err e = io_pread_all(io, fd, buf, SEGMENT_HEADER_BYTES, 0);
	if (e == ERR_EOF)
		e = err_note(ERR_CORRUPT, "segment: shorter than its header");
	if (e == ERR_OK)
		e = segment_header_decode(buf, &h);
	if (e == ERR_OK) {
		memcpy(name_buf, h.topic_name.ptr, h.topic_name.len);
		name_buf[h.topic_name.len] = '\0';
		h.topic_name.ptr = name_buf;
		*ret_header = h;
	}
	mem_free(buf);
	return e;
}

enum err segment_new(
    struct log_partition *p, const struct segment_header *header, struct segment **ret_segment)
{
	struct segment *s = mem_calloc(1, sizeof(*s));
	if (!s)
		return ERR_NOMEM;
	s->partition = p;
	p->order.stale = true;
	s->base_offset = s->end_offset = header->base_offset;
	s->first_sequence = header->first_sequence;
	s->size = s->durable_size = SEGMENT_HEADER_BYTES;
	s->epoch = header->epoch;
	s->generation = header->generation;
	s->rewrite = header->rewrite;
	memcpy(s->secret, header->seed, sizeof(s->secret));
	s->seed = frame_seed_of(header->seed);
	s->previous_link = s->last_link = s->durable_link = header->previous_link;
	s->noted_ns = loop_now_ns(p->log->loop);
	list_node_init(&s->node);
	list_node_init(&s->dirty_node);
	list_node_init(&s->behind_node);
	index_init(&s->index, &p->log->index_spare);
	descriptor_init(&s->file, &p->log->descriptors, 0);
	descriptor_init(&s->direct, &p->log->descriptors, IO_DIRECT);
	descriptor_init(&s->index_file, &p->log->descriptors, IO_READONLY);
	*ret_segment = s;
	return ERR_OK;
}

void segment_free(struct segment *s)
{
	if (!s)
		return;
	ASSERT(s->holds == 0 && !s->dirty && !list_linked(&s->behind_node));
	s->partition->order.stale = true;
	tail_forget(&s->partition->log->tail, s);
	descriptor_release(&s->file);
	descriptor_release(&s->direct);
	descriptor_release(&s->index_file);
	index_release(&s->index);
	mem_free(s);
}
