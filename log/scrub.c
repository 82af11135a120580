/* SPDX-License-Identifier: Apache-2.0 */
/* The scrubber's half on the loop: which piece is next, what a finding means. See scrub.h. */
#include "log/scrub.h"
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/recovery.h"
#include <stdio.h>

#define SCRUB_REST_NS ((int64_t)3600 * S_NS) /* between two passes over a small log */

struct scrub {
	struct log *log;
	struct loop_timer timer;
	struct pool_job job;
	bool busy, stopping;
	uint32_t pass;
	int64_t begun_ns;    /* of this pass, wall clock */
	int64_t finished_ns; /* of the last whole pass, wall clock; start-up when there is none */
	struct segment *segment; /* held while pieces of it are read, and until the next one is */
	bool segment_read;       /* all pieces of it */
	struct scrub_piece piece;
	unsigned tries; /* at this piece that failed */
	uint64_t pass_bytes, pass_errors;
	struct scrub_looks looks;
};

enum { SCRUB_LOOKS = 256 /* in one turn of the loop: many partitions have nothing to read */ };

static enum err state_path(const struct scrub *c, char *buf)
{
	return engine_path(c->log, buf, "scrub");
}

static void tell_age(const struct scrub *c)
{
	int64_t age = loop_realtime_ns(c->log->loop) - c->finished_ns;
	metric_set(METRIC_SCRUB_AGE, age > 0 ? age / S_NS : 0);
}

static void wait_for(struct scrub *c, int64_t ns)
{
	if (!c->stopping)
		loop_timer_set(c->log->loop, &c->timer, loop_now_ns(c->log->loop) + ns);
}

/* ---- which segment --------------------------------------------------------------------------- */

/* The segment of `p` behind `at`, else at its place; NULL when this pass is through with it. */
static struct segment *segment_behind(struct log_partition *p, const struct segment *at)
{
	if (p->state != PARTITION_OPEN)
		return NULL;
	if (!at || at->partition != p || at->gone)
		return partition_segment_from(p, p->scrub_from);
	return at == partition_active(p) ? NULL : CONTAINER_OF(at->node.next, struct segment, node);
}

/*
 * One that this pass has not seen. NULL: there is none, or *ret_more is set and the rest is for
 * another turn. The partition that is first in the queue is where the last one was; those that the
 * pass is through with are behind those to come, and a new one is put first (partition.c).
 */
static struct segment *next_segment(struct scrub *c, bool *ret_more)
{
	struct list *queue = &c->log->scrub_queue;
	const struct segment *at = c->segment;
	struct list_node *n;
	unsigned looks = 0;
	while ((n = list_first(queue))) {
		struct log_partition *p = CONTAINER_OF(n, struct log_partition, scrub_node);
		if (p->scrub_pass == c->pass)
			return NULL;
		*ret_more = looks == SCRUB_LOOKS;
		if (*ret_more)
			return NULL;
		c->looks.all++;
		if (++looks > c->looks.most)
			c->looks.most = looks;
		struct segment *s = segment_behind(p, at);
		at = s;
		if (!s) {
			p->scrub_pass = c->pass;
			p->scrub_from = 0;
			list_remove(n);
			list_push_back(queue, n);
			continue;
		}
		p->scrub_from = s->base_offset + 1;
		if (s->durable_size > SEGMENT_HEADER_BYTES)
			return s;
	}
	return NULL;
}

static void let_go(struct scrub *c)
{
	struct segment *s = c->segment;
	c->segment = NULL;
	if (s)
		segment_unhold(s);
}

static enum err take(struct scrub *c, struct segment *s)
{
	struct log_partition *p = s->partition;
	char name[SEGMENT_NAME_BYTES];
	c->piece = (struct scrub_piece){
	    .io = c->log->io,
	    .journal_dir = c->log->journal_dir,
	    .topic_id = p->key.topic_id,
	    .partition = p->key.partition,
	    .base_offset = s->base_offset,
	    .seed = s->seed,
	    .pos = SEGMENT_HEADER_BYTES,
	    .end = s->durable_size, /* what is appended meanwhile is for the next pass */
	    .cached = s->dirty || !s->sealed,
	};
	TRY(partition_path(p, segment_file_name(s, ".log", name), c->piece.path));
	s->holds++;
	c->segment = s;
	c->segment_read = false;
	c->tries = 0;
	return ERR_OK;
}

/* ---- findings -------------------------------------------------------------------------------- */

static void found(struct scrub *c)
{
	const struct scrub_piece *piece = &c->piece;
	struct log_partition *p = c->segment->partition;
	metric_add(METRIC_SCRUB_ERRORS, 1);
	c->pass_errors++;
	if (piece->finding != SCRUB_REPAIRED) {
		partition_damaged(p, c->segment, piece->bad_pos, piece->why);
		return;
	}
	recovery_verdict(ERR_REPAIRED, "partition=%s segment=%lld pos=%u what=scrub", p->dir,
	    (long long)piece->base_offset, piece->bad_pos);
	damage_mended(p, piece->base_offset, piece->bad_pos);
}

enum { SCRUB_TRIES = 3 };

/*
 * A piece that could not be looked at is looked at again later. A disk that does not read then:
 * that range fails, the rest is served. Anything else (no descriptor, no memory) says nothing of
 * the data: the next pass comes by.
 */
static void not_looked_at(struct scrub *c)
{
	struct log_partition *p = c->segment->partition;
	struct scrub_piece *piece = &c->piece;
	if (p->state != PARTITION_OPEN || c->segment->gone)
		return; /* its files went away meanwhile */
	if (++c->tries < SCRUB_TRIES) {
		diag(DIAG_WARN, "scrub_again", "partition=%s segment=%lld pos=%u error=%s", p->dir,
		    (long long)piece->base_offset, piece->pos, err_name(piece->err));
		piece->next_pos = piece->pos;
		return;
	}
	metric_add(METRIC_SCRUB_ERRORS, 1);
	c->pass_errors++;
	if (piece->unread || piece->err == ERR_NOT_FOUND) {
		partition_damaged(p, c->segment, piece->pos, err_text(piece->err));
		p->damage.lasting = true; /* of how many frames nobody knows */
	} else {
		diag(DIAG_WARN, "scrub_passed_over", "partition=%s segment=%lld error=%s", p->dir,
		    (long long)piece->base_offset, err_name(piece->err));
	}
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step(struct scrub *c);

static void piece_run(struct pool_job *job)
{
	scrub_read(&CONTAINER_OF(job, struct scrub, job)->piece);
}

static void piece_done(struct pool_job *job)
{
	struct scrub *c = CONTAINER_OF(job, struct scrub, job);
	struct scrub_piece *piece = &c->piece;
	c->busy = false;
	partition_name_release(c->segment->partition);
	metric_add(METRIC_SCRUB_BYTES, piece->bytes);
	c->pass_bytes += piece->bytes;
	if (piece->err != ERR_OK)
		not_looked_at(c);
	else if (piece->finding != SCRUB_GOOD)
		found(c);
	if (piece->next_pos != piece->pos)
		c->tries = 0;
	piece->pos = piece->next_pos;
	c->segment_read = piece->pos >= piece->end;
	if (c->segment->gone && !c->segment_read) /* what has its place is still to be read */
		c->segment->partition->scrub_from = c->segment->base_offset;
	if (c->segment->gone || c->stopping)
		let_go(c);
	uint64_t bytes = piece->bytes > IO_DIRECT_ALIGN ? piece->bytes : IO_DIRECT_ALIGN;
	wait_for(c, c->tries > 0 ? S_NS
	                         : (int64_t)((double)bytes * (double)S_NS /
	                                     (double)c->log->options.scrub_bytes_per_second));
}

/* The time of the whole pass, for the next start. A file that cannot be written is no harm. */
static void finish_run(struct pool_job *job)
{
	struct scrub *c = CONTAINER_OF(job, struct scrub, job);
	char text[64];
	int n = snprintf(text, sizeof(text), "finished_ns=%lld\n", (long long)c->finished_ns);
	err_clear();
	if (io_write_file(c->log->io, c->piece.path, bytes_of(text, (size_t)n)) != ERR_OK)
		diag(DIAG_WARN, "scrub_state", "error=\"%s\"", err_chain());
	err_clear();
}

static void finish_done(struct pool_job *job)
{
	struct scrub *c = CONTAINER_OF(job, struct scrub, job);
	int64_t rest = c->log->options.scrub_rest_ns;
	c->busy = false;
	c->pass++;
	c->begun_ns = 0;
	wait_for(c, rest ? rest : SCRUB_REST_NS);
}

static void submit(struct scrub *c, void (*run)(struct pool_job *), void (*done)(struct pool_job *))
{
	c->job = (struct pool_job){.run = run, .done = done};
	c->busy = pool_submit(c->log->loop, &c->job) == ERR_OK;
	if (c->busy)
		return;
	err_clear();
	wait_for(c, S_NS);
}

/* Where a read has failed before this pass began, the disk reads now; or it is DAMAGED since. */
static void read_again(const struct scrub *c)
{
	struct log_partition *p;
	size_t cursor = 0;
	while (c->log->unread_partitions > 0 && (p = map_next(&c->log->partitions, &cursor)))
		if (p->unread && p->unread_pass < c->pass)
			partition_read_again(p);
}

static void pass_ended(struct scrub *c)
{
	read_again(c);
	c->finished_ns = loop_realtime_ns(c->log->loop);
	tell_age(c);
	diag(DIAG_INFO, "scrubbed", "bytes=%llu errors=%llu seconds=%lld",
	    (unsigned long long)c->pass_bytes, (unsigned long long)c->pass_errors,
	    (long long)((c->finished_ns - c->begun_ns) / S_NS));
	c->pass_bytes = c->pass_errors = 0;
	if (state_path(c, c->piece.path) == ERR_OK)
		submit(c, finish_run, finish_done);
}

/* To the first piece of the next segment; false: not in this turn. */
static bool step_on(struct scrub *c)
{
	bool more = false;
	struct segment *s = next_segment(c, &more);
	let_go(c);
	if (more) {
		wait_for(c, MS_NS);
	} else if (!s) {
		pass_ended(c);
	} else if (take(c, s) != ERR_OK) {
		err_clear();
		wait_for(c, S_NS);
	}
	return c->segment != NULL;
}

static void step(struct scrub *c)
{
	if (c->begun_ns == 0)
		c->begun_ns = loop_realtime_ns(c->log->loop);
	if (c->segment && c->segment->partition->state != PARTITION_OPEN)
		let_go(c); /* deleted between two pieces */
	if ((!c->segment || c->segment_read) && !step_on(c))
		return;
	submit(c, piece_run, piece_done);
	if (c->busy)
		partition_name_hold(c->segment->partition);
}

static void on_timer(struct loop_timer *timer)
{
	struct scrub *c = CONTAINER_OF(timer, struct scrub, timer);
	tell_age(c);
	if (!c->busy && !c->stopping)
		step(c);
}

/* ---- life ------------------------------------------------------------------------------------ */

static void read_state(struct scrub *c)
{
	struct bytes file;
	enum err err = state_path(c, c->piece.path);
	if (err == ERR_OK)
		err = io_read_file(c->log->io, c->piece.path, KIB, &file);
	if (err != ERR_OK && err != ERR_NOT_FOUND) /* the age of the last pass is not known */
		diag(DIAG_WARN, "scrub_state", "error=\"%s\"", err_chain());
	if (err == ERR_OK) {
		struct str text = bytes_str(file);
		int64_t ns;
		if (text.len > 13 && memcmp(text.ptr, "finished_ns=", 12) == 0 &&
		    str_to_i64(str_from(text.ptr + 12, text.len - 13), &ns) && ns < c->finished_ns)
			c->finished_ns = ns;
		mem_free((void *)(uintptr_t)file.ptr);
	}
	err_clear();
}

enum err scrub_start(struct log *log, struct scrub **ret_scrub)
{
	*ret_scrub = NULL;
	if (log->options.scrub_bytes_per_second == 0)
		return ERR_OK;
	struct scrub *c = mem_calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	c->log = log;
	c->pass = 1;
	c->finished_ns = loop_realtime_ns(log->loop);
	read_state(c);
	loop_timer_init(&c->timer, on_timer);
	wait_for(c, 100 * MS_NS);
	*ret_scrub = c;
	return ERR_OK;
}

void scrub_stop(struct scrub *scrub)
{
	if (!scrub)
		return;
	scrub->stopping = true;
	loop_timer_cancel(scrub->log->loop, &scrub->timer);
	if (!scrub->busy)
		let_go(scrub);
}

uint32_t scrub_pass(const struct scrub *scrub)
{
	return scrub ? scrub->pass : 0;
}

struct scrub_looks scrub_looks(const struct scrub *scrub)
{
	return scrub->looks;
}

bool scrub_busy(const struct scrub *scrub)
{
	return scrub && scrub->busy;
}

void scrub_free(struct scrub *scrub)
{
	ASSERT(!scrub_busy(scrub));
	mem_free(scrub);
}
