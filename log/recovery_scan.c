/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Step 2 of recovery: what is in <data>/topics. A directory becomes a partition by what the headers
 * of its segments say; its name is only where it was found. Sizes are the files'; recovery_settle
 * finds the ends.
 */
#include "log/around.h"
#include "log/engine.h"
#include "log/generation.h"
#include "log/recovery.h"
#include <stdio.h>

struct found_segment {
	int64_t base_offset; /* by its name */
	uint32_t generation; /* by its name */
	struct segment_header header;
	bool opened;
	uint64_t file_bytes; /* of one that was opened */
	char topic_name[TOPIC_NAME_MAX + 1];
};

static enum err read_header(struct io *io, const char *path, struct found_segment *ret)
{
	struct io_stat st;
	int fd;
	TRY(io_open(io, path, IO_READONLY, &fd));
	enum err e = io_fstat(io, fd, &st);
	if (e == ERR_OK) {
		ret->opened = true;
		ret->file_bytes = st.size_bytes;
		e = segment_file_header(io, fd, ret->topic_name, &ret->header);
	}
	enum err closed = io_close(io, fd);
	return e == ERR_OK ? closed : e;
}

static enum err read_found(
    struct recovery *r, const char *dir, const char *name, struct found_segment *ret)
{
	char path[LOG_PATH_MAX];
	enum err e;
	int tries = 0;
	TRY(engine_path(r->log, path, "topics/%s/%s", dir, name));
	ret->opened = false;
	do
		e = read_header(r->log->io, path, ret);
	while (around_again(path, e, tries++));
	TRY(e);
	if (ret->header.base_offset != ret->base_offset)
		return err_note(ERR_CORRUPT, "header says base offset %lld",
		    (long long)ret->header.base_offset);
	if (ret->generation > 0 && ret->header.generation != ret->generation)
		return err_note(ERR_CORRUPT, "header says generation %u", ret->header.generation);
	return ERR_OK;
}

static enum err add_segment(
    struct recovery *r, struct log_partition *p, const struct found_segment *f)
{
	struct segment *s;
	if (f->file_bytes > UINT32_MAX)
		return err_note(
		    ERR_CORRUPT, "segment of %llu bytes", (unsigned long long)f->file_bytes);
	if (f->header.epoch > r->epoch)
		r->epoch = f->header.epoch;
	TRY(segment_new(p, &f->header, &s));
	s->size = (uint32_t)f->file_bytes;
	s->file_generation = f->generation;
	s->created_ns = loop_realtime_ns(r->log->loop);
	struct segment *old = partition_active(p);
	if (old)
		old->sealed = true;
	list_push_back(&p->segments, &s->node);
	p->segment_count++;
	return ERR_OK;
}

/* A header that does not verify or cannot be read. The file stays as it is. */
static void bad_segment(struct log_partition *p, const char *dir, const char *name, enum err why)
{
	metric_add(why == ERR_CORRUPT ? METRIC_DAMAGED_FRAMES : METRIC_READ_ERRORS, 1);
	recovery_verdict(ERR_DAMAGED, "partition=%s segment=%s what=header error=\"%s\"", dir, name,
	    err_chain());
	if (p)
		p->damaged = true;
}

/* A crash while the segment was created: nothing was ever written behind the header. */
static enum err drop_unborn(struct recovery *r, const char *dir, const char *name)
{
	char path[LOG_PATH_MAX];
	TRY(engine_path(r->log, path, "topics/%s/%s", dir, name));
	recovery_verdict(ERR_TORN_TAIL, "partition=%s segment=%s what=unborn", dir, name);
	TRY(io_unlink(r->log->io, path));
	TRY(engine_path(r->log, path, "topics/%s", dir));
	return io_fsync_dir(r->log->io, path);
}

/*
 * A segment of which nothing is known but its name. That is one range, and the rest is served; but
 * without the last one it is not known where the partition ends, and what rot there is judged by
 * (LOST_SUFFIX) is not said of a file that may be whole.
 */
static enum err unknown_segment(struct recovery *r, const struct found_segment *f, const char *dir,
    const char *name, bool last, struct log_partition *p, enum err why)
{
	bool read = why == ERR_CORRUPT; /* what does not read may be good, and the next time does */
	if (last && read && f->opened && f->generation == 0 &&
	    f->file_bytes <= SEGMENT_HEADER_BYTES)
		return drop_unborn(r, dir, name);
	bad_segment(p, dir, name, why);
	r->unread |= !read;
	if (last && !read)
		return err_note(why,
		    "topics/%s/%s is the end of its partition and cannot be read: make it "
		    "readable, or take what can be read with fsck --salvage",
		    dir, name);
	return ERR_OK;
}

static enum err scan_file(
    struct recovery *r, const char *dir, const char *name, bool last, struct log_partition **p)
{
	struct found_segment f;
	err_clear();
	if (!segment_name_parse_of(name, ".log", &f.base_offset, &f.generation))
		return ERR_OK;
	enum err e = read_found(r, dir, name, &f);
	if (e == ERR_OK && *p &&
	    (!log_uuid_equal(f.header.topic_id, (*p)->key.topic_id) ||
	        f.header.partition != (*p)->key.partition))
		e = err_note(ERR_CORRUPT, "header is of another partition");
	if (e != ERR_OK && !around_stops(e))
		return unknown_segment(r, &f, dir, name, last, *p, e);
	TRY(e);
	if (!*p) {
		struct partition_key key = {f.header.topic_id, f.header.partition};
		if (partition_by_key(r->log, key))
			return err_note(ERR_OVERLAP,
			    "topics/%s: this partition is in another directory too", dir);
		TRY(partition_new(r->log, key, str_of(dir), p));
		(*p)->dir_exists = true;
		(*p)->replay = mem_calloc(1, sizeof(*(*p)->replay));
		if (!(*p)->replay)
			return ERR_NOMEM;
		writer_init(&(*p)->replay->buf, SIZE_MAX);
	}
	return add_segment(r, *p, &f);
}

static enum err scan_directory(struct recovery *r, const char *dir, const struct io_names *names)
{
	struct log_partition *p = NULL;
	size_t last = 0;
	int64_t base;
	uint32_t generation;
	r->unread = false;
	for (size_t i = 0; i < names->count; i++)
		if (segment_name_parse_of(names->name[i], ".log", &base, &generation))
			last = i;
	for (size_t i = 0; i < names->count; i++)
		TRY(scan_file(r, dir, names->name[i], i == last, &p));
	if (p)
		p->replay->unread = r->unread;
	for (size_t i = 0; i < names->count && p; i++)
		p->damage.found |= strcmp(names->name[i], DAMAGE_FILE) == 0;
	return ERR_OK;
}

/* The names of a partition's directory without what newer generations have replaced. */
static enum err list_directory(struct recovery *r, const char *path, struct io_names *ret_names)
{
	struct io *io = r->log->io;
	bool again;
	TRY(io_list(io, path, ret_names));
	enum err e = generations_clean(io, path, ret_names, &again);
	if (e != ERR_OK || again)
		io_names_release(ret_names);
	TRY(e);
	return again ? io_list(io, path, ret_names) : ERR_OK;
}

enum err recovery_scan(struct recovery *r)
{
	struct log *log = r->log;
	char path[LOG_PATH_MAX];
	struct io_names dirs, names;
	TRY(engine_path(log, path, "topics"));
	TRY(io_list(log->io, path, &dirs));
	enum err e = ERR_OK;
	for (size_t i = 0; i < dirs.count && e == ERR_OK; i++) {
		struct io_stat st;
		e = engine_path(log, path, "topics/%s", dirs.name[i]);
		if (e == ERR_OK)
			e = io_stat(log->io, path, &st);
		if (e != ERR_OK || !st.is_directory)
			continue;
		e = list_directory(r, path, &names);
		if (e != ERR_OK)
			break;
		e = scan_directory(r, dirs.name[i], &names);
		io_names_release(&names);
	}
	io_names_release(&dirs);
	return e;
}
