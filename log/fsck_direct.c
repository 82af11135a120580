/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck of the last journal entry's DIRECT frames, as a start looks at them (recovery_direct.c):
 * they verify in their segments, or the entry is a torn round.
 */
#include "log/engine.h"
#include "log/fsck.h"
#include <stdio.h>

static enum err frame_stands(
    struct fsck *f, int fd, struct frame_seed seed, const struct fsck_frame *at)
{
	struct writer buf;
	struct frame frame;
	writer_init(&buf, BATCH_BYTES_MAX + FRAME_HEADER_BYTES);
	uint8_t *raw = writer_reserve(&buf, at->len);
	enum err e = raw ? io_pread_all(f->io, fd, raw, at->len, at->pos) : buf.err;
	if (e == ERR_EOF)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = frame_decode(raw, seed, &frame);
	if (e == ERR_OK && frame.header_hash != at->frame_hash)
		e = ERR_CORRUPT;
	if (e == ERR_OK)
		e = frame_check_body(
		    &frame, seed, bytes_of(raw + FRAME_HEADER_BYTES, at->len - FRAME_HEADER_BYTES));
	writer_release(&buf);
	return e;
}

/* The frame in the segment of directory `dir`, when it is that partition's. ERR_NOT_FOUND: it is
 * not. */
static enum err look_in(struct fsck *f, const char *dir, const struct fsck_frame *at)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES], topic[TOPIC_NAME_MAX + 1];
	struct segment_header h;
	int fd;
	TRY(fsck_path(f, path, "topics/%s/%s", dir, segment_name(at->segment, ".log", name)));
	TRY(io_open(f->io, path, IO_READONLY, &fd));
	enum err e = segment_file_header(f->io, fd, topic, &h);
	if (e == ERR_CORRUPT || (e == ERR_OK && (!log_uuid_equal(h.topic_id, at->key.topic_id) ||
	                                            h.partition != at->key.partition)))
		e = ERR_NOT_FOUND;
	if (e == ERR_OK)
		e = frame_stands(f, fd, frame_seed_of(h.seed), at);
	enum err closed = io_close(f->io, fd);
	return e == ERR_OK ? closed : e;
}

/* A segment that is in no directory is lost, not torn: that is told when its partition is looked
 * at. */
static enum err frame_holds(
    struct fsck *f, const struct io_names *dirs, const struct fsck_frame *at)
{
	for (size_t i = 0; i < dirs->count; i++) {
		enum err e = look_in(f, dirs->name[i], at);
		if (e != ERR_NOT_FOUND)
			return e;
	}
	return ERR_OK;
}

static void forget(struct fsck *f, uint64_t number)
{
	size_t kept = 0;
	for (size_t i = 0; i < f->frame_count; i++)
		if (f->frames[i].number != number)
			f->frames[kept++] = f->frames[i];
	f->frame_count = kept;
	kept = 0;
	for (size_t i = 0; i < f->image_count; i++)
		if (f->images[i].number != number)
			f->images[kept++] = f->images[i];
	f->image_count = kept;
}

enum err fsck_direct(struct fsck *f, uint64_t number, bool *ret_holds)
{
	struct io_names dirs = {0};
	enum err e = ERR_OK;
	for (size_t i = 0; i < f->frame_count && e == ERR_OK; i++) {
		if (f->frames[i].number != number || !f->frames[i].direct)
			continue;
		if (!dirs.name)
			e = fsck_list_topics(f, &dirs);
		if (e == ERR_OK)
			e = frame_holds(f, &dirs, &f->frames[i]);
	}
	io_names_release(&dirs);
	err_clear();
	*ret_holds = e != ERR_CORRUPT;
	if (e == ERR_IO) { /* not to be known: it is not called torn, and the walk tells of it */
		f->ends_unknown = true;
		return ERR_OK;
	}
	if (e != ERR_CORRUPT)
		return e;
	forget(f, number);
	return ERR_OK;
}
