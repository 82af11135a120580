/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be ready before a partition can take an append, and the pool jobs that make it so:
 *
 *   CREATING  the directory, the first or the next segment, the producers' snapshot at the roll
 *   OPENING   the active segment's descriptor
 *   LOADING   producer state, with the first idempotent append after a start
 *
 * While a task runs the partition's appends wait in the round's queue; everybody else's pass. So
 * nothing but retention and compaction would change producers and transactions while CREATING
 * writes them down, and these wait, too (`frozen`): the pool reads them where they are. A
 * task that fails is told to the append that waits first; the next one tries again.
 */
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/partition_load.h"
#include <stdio.h>

/* What a segment takes besides its frames: header, partial blocks of it and its index, its names.
 */
enum { CREATE_BYTES = 4 * 4096 };
/* Producers that a roll forgets at most: a tenth of a millisecond. The rest goes with the next. */
enum { EXPIRE_AT_ONCE = 1000 };

struct partition_create {
	struct pool_job job;
	struct log_partition *p;
	struct segment_header header;
	char topic_name[TOPIC_NAME_MAX + 1];
	char topics[LOG_PATH_MAX]; /* parent of dir */
	char dir[LOG_PATH_MAX];
	bool make_dir, dir_made;
	bool with_snap; /* of the partition's producers, which are frozen meanwhile */
	struct snap_header snap;
	struct segment *segment;
	int fd;
	enum err err;
};

/* Those who wait for the producers go on. */
static void loaded(struct log_partition *p, enum err e)
{
	struct list waiting;
	struct list_node *n;
	list_init(&waiting);
	while ((n = list_pop_front(&p->load_waiting)))
		list_push_back(&waiting, n);
	while ((n = list_pop_front(&waiting))) {
		struct log_producers_load *w = CONTAINER_OF(n, struct log_producers_load, node);
		w->err = e;
		w->done(w);
	}
}

static void task_ended(struct log_partition *p, enum partition_task task, enum err e)
{
	ASSERT(p->tasks & task);
	p->tasks &= ~(unsigned)task;
	if (e != ERR_OK && e != ERR_NOSPACE) /* a full disk was told to everybody who waited */
		p->task_err = e;
	if (task == PARTITION_LOADING)
		loaded(p, e);
	rounds_kick(&p->log->rounds);
	partition_delete_ready(p);
	partition_unref(p);
}

/* ---- loading producers ----------------------------------------------------------------------- */

static void load_done(struct log_partition *p, enum err e)
{
	task_ended(p, PARTITION_LOADING, e);
}

static enum err load_start(struct log_partition *p)
{
	TRY(partition_load_producers(p, load_done));
	partition_ref(p);
	p->tasks |= PARTITION_LOADING;
	return ERR_AGAIN;
}

void partition_load_and(struct log_partition *p, struct log_producers_load *w)
{
	partition_ref(p);
	list_node_init(&w->node);
	list_push_back(&p->load_waiting, &w->node);
	if (!(p->tasks & PARTITION_LOADING)) {
		enum err e = load_start(p);
		if (e != ERR_AGAIN) /* AGAIN: on its way */
			loaded(p, e);
	}
	partition_unref(p);
}

/* ---- creating a segment ---------------------------------------------------------------------- */

static void snap_write(struct io *io, const struct partition_create *c, struct bytes content)
{
	char path[LOG_PATH_MAX + SEGMENT_NAME_BYTES], name[SEGMENT_NAME_BYTES];
	int fd;
	snprintf(path, sizeof(path), "%s/%s", c->dir,
	    segment_name(c->header.base_offset, ".snap", name));
	/* A cache, and no reason to fail. But flushed: once the segments before it are deleted,
	 * nothing else knows who wrote there. Its name is synced with the segment's. */
	enum err e = io_open(io, path, IO_CREATE, &fd);
	if (e == ERR_OK) {
		e = io_pwrite(io, fd, content.ptr, content.len, 0);
		if (e == ERR_OK) /* a roll that failed may have left a longer one */
			e = io_truncate(io, fd, content.len);
		if (e == ERR_OK)
			e = io_fdatasync(io, fd);
		enum err closed = io_close(io, fd);
		e = e == ERR_OK ? closed : e;
	}
	if (e == ERR_OK)
		return;
	diag(DIAG_WARN, "snapshot_write", "path=%s error=\"%s\"", path, err_chain());
	/* half of one takes room on a full disk, and is good for nothing */
	e = io_unlink(io, path);
	if (e != ERR_OK && e != ERR_NOT_FOUND)
		diag(DIAG_WARN, "snapshot_unlink", "path=%s error=\"%s\"", path, err_chain());
}

/* Milliseconds, for many producers: not the loop's. */
static enum err snap_make(struct io *io, const struct partition_create *c)
{
	struct writer out;
	writer_init(&out, snap_bytes_max());
	enum err e = snap_encode(&c->p->producers, &c->p->txns, &c->snap, &out);
	if (e == ERR_OK)
		snap_write(io, c, writer_bytes(&out));
	writer_release(&out);
	return e;
}

static enum err create_files(struct io *io, struct partition_create *c)
{
	char path[LOG_PATH_MAX + SEGMENT_NAME_BYTES], name[SEGMENT_NAME_BYTES];
	if (c->make_dir) {
		enum err e = io_mkdir(io, c->dir);
		if (e != ERR_OK &&
		    e != ERR_EXISTS) /* left by a crash between mkdir and the first segment */
			return e;
		TRY(io_fsync_dir(io, c->topics));
		c->dir_made = true;
	}
	if (c->with_snap)
		TRY(snap_make(io, c));
	TRY(segment_file_create(io, c->dir, &c->header));
	snprintf(
	    path, sizeof(path), "%s/%s", c->dir, segment_name(c->header.base_offset, ".log", name));
	enum err e = io_open(io, path, 0, &c->fd);
	if (e != ERR_OK)
		segment_file_leave(io, path);
	return e;
}

static void create_run(struct pool_job *job)
{
	struct partition_create *c = CONTAINER_OF(job, struct partition_create, job);
	err_clear();
	c->err = create_files(c->p->log->io, c);
	if (c->err != ERR_OK)
		diag(DIAG_ERROR, "segment_create", "partition=%s base=%lld error=\"%s\"", c->p->dir,
		    (long long)c->header.base_offset, err_chain());
}

static void create_free(struct partition_create *c)
{
	segment_free(c->segment);
	mem_free(c);
}

static void create_adopt(struct partition_create *c)
{
	struct log_partition *p = c->p;
	struct segment *s = c->segment, *old = partition_active(p);
	if (old)
		old->sealed = true;
	if (old && !old->dirty && old->size > SEGMENT_HEADER_BYTES)
		checkpoint_seal(&p->log->checkpointer, old);
	c->segment = NULL;
	s->created_ns = loop_realtime_ns(p->log->loop);
	descriptor_adopt(&s->file, c->fd);
	descriptor_unpin(&s->file);
	list_push_back(&p->segments, &s->node);
	p->segment_count++;
	p->size_bytes += s->size;
	p->dir_exists = true;
	p->next_pos = SEGMENT_HEADER_BYTES;
	p->next_link = s->last_link;
	p->roll_soon = false;
	diag(DIAG_DEBUG, "segment_roll", "partition=%s base=%lld", p->dir,
	    (long long)s->base_offset);
}

static void create_done(struct pool_job *job)
{
	struct partition_create *c = CONTAINER_OF(job, struct partition_create, job);
	struct log_partition *p = c->p;
	enum err e = c->err;
	p->frozen = false;
	if (c->with_snap) /* what the log start has passed meanwhile */
		txns_prune(&p->txns, p->log_start);
	p->dir_exists |= c->dir_made; /* also when the rest failed: it goes with its topic */
	if (e == ERR_OK && p->state == PARTITION_OPEN) {
		create_adopt(c);
	} else if (e == ERR_OK) { /* deleted meanwhile: the file goes with its directory */
		if (io_close(p->log->io, c->fd) != ERR_OK)
			diag(DIAG_WARN, "segment_close", "error=\"%s\"", err_chain());
	}
	if (e == ERR_NOSPACE)
		rounds_space_lost(&p->log->rounds);
	create_free(c);
	task_ended(p, PARTITION_CREATING, e);
}

/*
 * A roll writes down who the producers are, because retention may take what is before it: so they
 * must be known, also when nobody has asked for them since the start. Without a snapshot at each
 * roll the next start would have to read everything again to know them. The server's own topics
 * have none.
 */
static bool partition_knows(const struct log_partition *p)
{
	return p->producers.loaded || p->topic->internal;
}

/*
 * Does the snapshot go into the space budget? On a disk that is nearly full it is left out: a load
 * goes on from the one before it, through the frames. ERR_AGAIN: not known yet.
 */
static enum err snap_room(struct log_partition *p, bool *ret_room)
{
	*ret_room = false;
	if (!partition_active(p) || !p->producers.loaded)
		return ERR_OK;
	producers_expire(&p->producers, clock_judging(&p->log->clock), EXPIRE_AT_ONCE);
	size_t len = snap_bytes(&p->producers, &p->txns);
	enum err e = rounds_space_cache(&p->log->rounds, len);
	*ret_room = e == ERR_OK;
	if (e == ERR_NOSPACE)
		diag(DIAG_WARN, "snapshot_left_out", "partition=%s base=%lld bytes=%zu", p->dir,
		    (long long)p->log_end, len);
	return e == ERR_AGAIN ? e : ERR_OK;
}

static struct snap_header snap_header_of(const struct log_partition *p)
{
	return (struct snap_header){.version = SNAP_VERSION,
	    .topic_id = p->key.topic_id,
	    .partition = p->key.partition,
	    .offset = p->log_end,
	    .sequence = p->stamped_sequence};
}

static enum err create_prepare(struct log_partition *p, struct partition_create *c, bool snap)
{
	const struct log *log = p->log;
	ASSERT(!partition_active(p) || partition_knows(p));
	c->p = p;
	ASSERT(p->topic->name.len <= TOPIC_NAME_MAX);
	memcpy(c->topic_name, p->topic->name.ptr, p->topic->name.len);
	c->header = (struct segment_header){
	    .format_version = SEGMENT_VERSION,
	    .topic_id = p->key.topic_id,
	    .topic_name = str_from(c->topic_name, p->topic->name.len),
	    .partition = p->key.partition,
	    .base_offset = p->log_end,
	    .first_sequence = log->rounds.next_sequence,
	    .epoch = log->epoch,
	    .generation = 0,
	    .previous_link = partition_active(p) ? p->next_link : 0,
	};
	io_random(log->io, c->header.seed, sizeof(c->header.seed));
	c->make_dir = !p->dir_exists;
	TRY(engine_path(log, c->topics, "topics"));
	TRY(engine_path(log, c->dir, "topics/%s", p->dir));
	c->with_snap = snap;
	c->snap = snap_header_of(p);
	return segment_new(p, &c->header, &c->segment);
}

static enum err create_start(struct log_partition *p)
{
	bool snap;
	TRY(snap_room(p, &snap));
	struct partition_create *c = mem_calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->job = (struct pool_job){.run = create_run, .done = create_done};
	enum err e = create_prepare(p, c, snap);
	if (e == ERR_OK)
		e = pool_submit(p->log->loop, &c->job);
	if (e != ERR_OK) {
		create_free(c);
		return e;
	}
	partition_ref(p);
	p->tasks |= PARTITION_CREATING;
	p->frozen = snap;
	rounds_space_charge(&p->log->rounds, CREATE_BYTES);
	return ERR_AGAIN;
}

void partition_roll(struct log_partition *p)
{
	const struct segment *active = partition_active(p);
	loop_assert_owner(p->log->loop);
	if (p->state != PARTITION_OPEN || !p->topic || partition_blocked(p) || p->tasks != 0 ||
	    p->queued > 0 || p->frames_pending > 0 || p->log->closing || !active ||
	    active->size == SEGMENT_HEADER_BYTES)
		return;
	enum err e = partition_knows(p) ? create_start(p) : load_start(p); /* then the next time */
	if (e != ERR_AGAIN)
		diag(DIAG_WARN, "segment_roll", "partition=%s err=%s", p->dir, err_name(e));
}

/* ---- opening the active segment -------------------------------------------------------------- */

static void open_done(struct descriptor_pin *pin)
{
	struct log_partition *p = CONTAINER_OF(pin, struct log_partition, opening);
	struct segment *s = p->opening_segment;
	struct descriptor *d = p->opening_direct ? &s->direct : &s->file;
	enum err e = pin->err;
	if (e == ERR_OK) {
		/* the append that waits takes it when its whole set is ready: until then it does
		 * not make room for the others, or they would close each other for ever */
		descriptor_want(d, p->queued > 0);
		descriptor_unpin(d);
	}
	if (p->opening_direct && e == ERR_UNSUPPORTED) {
		if (!p->log->direct_refused)
			diag(DIAG_INFO, "segments_buffered",
			    "partition=%s reason=\"no O_DIRECT here\"", p->dir);
		p->log->direct_refused = true; /* the batch that waits goes INLINE */
		e = ERR_OK;
	}
	segment_unhold(s);
	task_ended(p, PARTITION_OPENING, e);
}

static enum err open_start(struct log_partition *p, struct segment *s, bool direct)
{
	struct descriptor *d = direct ? &s->direct : &s->file;
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	if (descriptors_full(&p->log->descriptors)) {
		checkpoint_start(&p->log->checkpointer); /* unpins what is dirty, then kicks */
		return ERR_AGAIN;
	}
	TRY(partition_path(p, segment_file_name(s, ".log", name), path));
	partition_ref(p);
	s->holds++;
	p->tasks |= PARTITION_OPENING;
	p->opening_segment = s;
	p->opening_direct = direct;
	p->opening.done = open_done;
	if (!descriptor_pin(d, path, &p->opening))
		return ERR_AGAIN;
	descriptor_unpin(d);
	segment_unhold(s);
	p->tasks &= ~(unsigned)PARTITION_OPENING;
	p->refs--;
	return ERR_OK;
}

void partition_unqueue(struct log_partition *p)
{
	struct segment *s = partition_active(p);
	ASSERT(p->queued > 0);
	if (--p->queued == 0 && s) {
		descriptor_want(&s->file, false);
		descriptor_want(&s->direct, false);
	}
}

/* ---- */

static bool roll_due(const struct log_partition *p, const struct segment *s, size_t len)
{
	const struct log_topic_config *config = &p->topic->config;
	if (p->next_pos == SEGMENT_HEADER_BYTES) /* empty: nothing to roll, if it can go on */
		return s->base_offset != p->log_end;
	if (p->roll_soon || p->next_pos + (uint64_t)len > config->segment_bytes)
		return true;
	int64_t age_ns = loop_realtime_ns(p->log->loop) - s->created_ns;
	int64_t age_max_ms = config->segment_ms;
	if ((config->cleanup & LOG_CLEANUP_COMPACT) && config->max_compaction_lag_ms < age_max_ms)
		age_max_ms = config->max_compaction_lag_ms;
	return age_max_ms > 0 && age_ns / MS_NS >= age_max_ms;
}

enum err partition_ready(struct log_partition *p, size_t len, bool idempotent, bool direct)
{
	if (p->state != PARTITION_OPEN || !p->topic)
		return ERR_UNKNOWN_TOPIC;
	if (p->task_err != ERR_OK && p->tasks == 0) {
		enum err e = p->task_err;
		p->task_err = ERR_OK;
		return e;
	}
	if (p->tasks & (PARTITION_CREATING | PARTITION_OPENING))
		return ERR_AGAIN;
	struct segment *s = partition_active(p);
	bool due = !s || roll_due(p, s, len);
	if (s && due && !partition_knows(p))
		return p->tasks & PARTITION_LOADING ? ERR_AGAIN : load_start(p);
	if (due) {
		/* the snapshot at the roll says which transactions are open, and which were
		 * aborted: of those that are just ending it would know neither. The end of their
		 * round looks here again. */
		return p->markers_pending > 0 ? ERR_AGAIN : create_start(p);
	}
	if (idempotent && !p->producers.loaded)
		return p->tasks & PARTITION_LOADING ? ERR_AGAIN : load_start(p);
	if (s->file.state != DESCRIPTOR_OPEN)
		return open_start(p, s, false);
	if (direct && s->direct.state != DESCRIPTOR_OPEN)
		return open_start(p, s, true);
	return ERR_OK;
}

void partition_snap(struct log_partition *p)
{
	struct segment *s = partition_active(p);
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct writer out;
	if (p->state != PARTITION_OPEN || !s || !p->producers.loaded || !p->producers.changed)
		return;
	writer_init(&out, snap_bytes_max());
	struct snap_header h = snap_header_of(p);
	enum err e = snap_encode(&p->producers, &p->txns, &h, &out);
	if (e == ERR_OK)
		e = partition_path(p, segment_name(s->base_offset, ".snap", name), path);
	if (e == ERR_OK)
		e = io_write_file(p->log->io, path, writer_bytes(&out));
	writer_release(&out);
	if (e != ERR_OK) /* a cache: the next start reads the frames instead */
		diag(DIAG_WARN, "snapshot_write", "partition=%s error=\"%s\"", p->dir, err_chain());
	else
		p->producers.changed = false;
}
