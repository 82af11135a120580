/* SPDX-License-Identifier: Apache-2.0 */
/* Index lookups: memory first, then the file as far as it is cached, then the file on the pool. */
#include "log/lookup.h"
#include "log/engine.h"

static enum err lookup_file(struct lookup *l)
{
	struct io *io = l->segment->partition->log->io;
	int fd;
	TRY(io_open(io, l->path, IO_READONLY, &fd));
	enum err e = index_find_file(io, fd, l->file_count, l->probe, &l->entry, &l->number);
	enum err closed = io_close(io, fd);
	return e == ERR_OK ? closed : e;
}

static void lookup_run(struct pool_job *job)
{
	struct lookup *l = CONTAINER_OF(job, struct lookup, job);
	err_clear();
	l->err = lookup_file(l);
	if (l->err != ERR_OK && l->err != ERR_NOT_FOUND)
		diag(DIAG_ERROR, "index_read", "path=%s error=\"%s\"", l->path, err_chain());
}

static bool lookup_submit(struct lookup *l);

/*
 * An answer from the file. False: it is not among those that the file had, and a checkpoint moved
 * some there meanwhile: the search goes on.
 */
static bool lookup_judge(struct lookup *l)
{
	if (l->err != ERR_NOT_FOUND || l->probe.by == INDEX_BY_OFFSET)
		return true;
	if (l->file_count < l->segment->index.file_count)
		return lookup_submit(l);
	/* the first behind them, if there is one */
	struct index_probe all = {INDEX_BY_SEQUENCE, 0};
	struct index memory = l->segment->index;
	memory.file_count = 0;
	l->err = index_find_memory(&memory, all, &l->entry, &l->number);
	l->number += l->segment->index.file_count;
	return true;
}

static void lookup_done(struct pool_job *job)
{
	struct lookup *l = CONTAINER_OF(job, struct lookup, job);
	mem_free(l->path);
	l->path = NULL;
	if (lookup_judge(l))
		l->done(l);
}

/* True when it ended here (with an error). */
static bool lookup_submit(struct lookup *l)
{
	struct log_partition *p = l->segment->partition;
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	enum err e = partition_path(p, segment_file_name(l->segment, ".idx", name), path);
	if (e == ERR_OK) {
		l->path = mem_strdup(str_of(path));
		l->file_count = l->segment->index.file_count;
		l->job = (struct pool_job){.run = lookup_run, .done = lookup_done};
		/* l->err is the job's from here on */
		e = l->path ? pool_submit(p->log->loop, &l->job) : ERR_NOMEM;
	}
	if (e == ERR_OK)
		return false;
	l->err = e;
	mem_free(l->path);
	l->path = NULL;
	return true;
}

/* The index file is open and pinned. True when it ended here. */
static bool lookup_now(struct lookup *l)
{
	struct segment *s = l->segment;
	l->file_count = s->index.file_count;
	l->err = index_find_now(s->partition->log->io, s->index_file.fd, l->file_count, l->probe,
	    &l->entry, &l->number);
	descriptor_unpin(&s->index_file);
	return l->err == ERR_AGAIN ? lookup_submit(l) : lookup_judge(l);
}

static void lookup_opened(struct descriptor_pin *pin)
{
	struct lookup *l = CONTAINER_OF(pin, struct lookup, pin);
	l->err = pin->err;
	if (l->err != ERR_OK || lookup_now(l))
		l->done(l);
}

static bool lookup_go(struct lookup *l)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct segment *s = l->segment;
	struct index_probe probe = l->probe;
	l->err = index_find_memory(&s->index, probe, &l->entry, &l->number);
	if (l->err != ERR_AGAIN)
		return true;
	l->err = partition_path(s->partition, segment_file_name(s, ".idx", name), path);
	if (l->err != ERR_OK)
		return true;
	l->pin.done = lookup_opened;
	return descriptor_pin(&s->index_file, path, &l->pin) && lookup_now(l);
}

static void lookup_checked(struct index_wait *w)
{
	struct lookup *l = CONTAINER_OF(w, struct lookup, check);
	l->err = w->err;
	if (l->err != ERR_OK || lookup_go(l))
		l->done(l);
}

bool lookup_start(
    struct lookup *l, struct segment *s, struct index_probe probe, void (*done)(struct lookup *l))
{
	*l = (struct lookup){.segment = s, .probe = probe, .done = done};
	if (probe.by == INDEX_BY_OFFSET)
		return lookup_go(l); /* the frame vouches for it */
	l->check.done = lookup_checked;
	if (!index_verify(s, &l->check))
		return false;
	l->err = l->check.err;
	return l->err != ERR_OK || lookup_go(l);
}
