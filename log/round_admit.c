/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into a round: log_append queues a set, admission checks it as a whole (partitions ready,
 * room, space) and then stamps and copies each batch, once, into the round's entry. Before the
 * first batch of a set is stamped everything that can fail has been tried, so a set is never half
 * in.
 */
#include "log/batch.h"
#include "log/engine.h"
#include "log/partition_drop.h"

static struct log_append *req_of(struct list_node *n)
{
	return CONTAINER_OF(n, struct log_append, node);
}

/* ---- checks ---------------------------------------------------------------------------------- */

struct set_check {
	size_t bytes;        /* of the frames that will go into the entry */
	size_t direct_bytes; /* of those that will not */
	size_t frames;       /* with their padding */
	bool again;
	bool failed;
	bool internal; /* all of them are the server's own */
};

static bool req_idempotent(const struct batch_header *h)
{
	return h->producer_id >= 0;
}

/*
 * Offsets end at 2^63 - 2, by which time no set that is admitted may have passed them. Records are
 * refused long before, and the end of a transaction as late as can be.
 */
static enum err check_offsets_left(const struct log_partition *p, bool marker)
{
	_Static_assert(OFFSET_END_MAX < INT64_MAX - ((int64_t)ROUND_FRAMES_MAX << 31), "one set");
	int64_t most = marker ? INT64_MAX - ROUND_FRAMES_MAX : OFFSET_END_MAX;
	return p->state != PARTITION_OPEN || p->log_end <= most
	           ? ERR_OK
	           : err_note(ERR_POLICY_VIOLATION,
	                 "partition %s ends at %lld: no offsets are left for more", p->dir,
	                 (long long)p->log_end);
}

static enum err req_check(struct log_append *req)
{
	struct log_partition *p = req->partition;
	struct batch_header h;
	if (p->state == PARTITION_OPEN && p->topic->internal && !req->internal)
		return err_note(ERR_INVALID_TOPIC, "%s is internal", p->dir);
	TRY(batch_header_read(bytes_of(req->batch, req->batch_len), &h));
	if (h.last_offset_delta < 0 || (size_t)h.length + 12 != req->batch_len)
		return err_note(ERR_CORRUPT_MESSAGE, "not exactly one record batch");
	/* the end of a transaction is taken all the same, or its readers would wait for ever */
	bool marker = req->internal && (h.attributes & BATCH_ATTR_CONTROL);
	if (p->state == PARTITION_OPEN && partition_blocked(p) && !marker)
		return err_note(ERR_DAMAGED, "partition %s is damaged: run kappa fsck", p->dir);
	TRY(check_offsets_left(p, marker));
	bool direct = round_is_direct(req);
	size_t len = FRAME_HEADER_BYTES + req->batch_len;
	if (direct)
		len = ROUND_PAD_MAX + round_direct_bytes(req->batch_len);
	return partition_ready(p, len, req_idempotent(&h), direct);
}

/* What the request adds: a DIRECT one may need padding before it, which goes into the entry. */
static void check_add(struct set_check *c, const struct log_append *req)
{
	c->internal &= req->internal;
	if (!round_is_direct(req)) {
		c->bytes += FRAME_HEADER_BYTES + req->batch_len;
		c->frames++;
		return;
	}
	c->bytes += ROUND_PAD_MAX;
	c->direct_bytes += round_direct_bytes(req->batch_len);
	c->frames += 3;
}

static struct set_check set_check(struct rounds *rs, struct list_node *first)
{
	struct set_check c = {.internal = true};
	struct list_node *n = first;
	for (uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT]; left > 0;
	     left--, n = n->next) {
		struct log_append *req = req_of(n);
		ASSERT(req->internal_[ROUND_REQ_LEFT] == left);
		if (req->partition->blocked_pass == rs->pass) {
			c.again = true;
			continue;
		}
		err_clear();
		/* a refusal stands while the rest of the set waits: a partition tells of a task
		 * that failed once, and asked again it would try again, for ever */
		if (req->err == ERR_OK || req->err == ERR_AGAIN)
			req->err = req_check(req);
		if (req->err == ERR_AGAIN) {
			c.again = true;
		} else if (req->err != ERR_OK) {
			c.failed = true;
		} else {
			check_add(&c, req);
		}
	}
	return c;
}

/* ---- room ------------------------------------------------------------------------------------ */

static enum err set_room(struct rounds *rs, const struct set_check *c)
{
	struct round *r = rounds_collecting(rs);
	size_t direct = r->direct_bytes + c->direct_bytes;
	size_t need = round_entry_bytes(r, c->bytes, c->frames);
	size_t all = need + (direct > 0 ? round_entry_bytes(r, c->bytes + direct, c->frames) : 0);
	uint64_t most = journal_entry_max(&rs->log->journal);
	bool crowded = need > rs->round_bytes || r->frame_count + c->frames > ROUND_FRAMES_MAX ||
	               (all > most && c->direct_bytes == 0);
	size_t direct_max = rs->direct_max;
	if (rs->shared > 0 && direct_max > ROUND_DIRECT_SHARED)
		direct_max = ROUND_DIRECT_SHARED;
	bool direct_crowded =
	    c->direct_bytes > 0 && (rs->direct_full || direct > direct_max || all > most);
	if (r->frame_count > 0 && (crowded || direct_crowded)) {
		if (direct_crowded)
			rs->direct_full = true;
		else
			rs->full = true;
		return ERR_AGAIN;
	}
	if (all > most)
		return err_note(ERR_MESSAGE_TOO_LARGE,
		    "%zu bytes do not fit into a journal file of %llu", all,
		    (unsigned long long)rs->log->journal.file_bytes);
	if (!r->frames) {
		r->frames = mem_calloc(ROUND_FRAMES_MAX, sizeof(*r->frames));
		if (!r->frames)
			return ERR_NOMEM;
	}
	TRY(round_reserve(r, need));
	return rounds_space_take(
	    rs, c->bytes + c->direct_bytes + c->frames * INDEX_ENTRY_BYTES, c->internal);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void turn_more(struct mail *mail)
{
	struct rounds *rs = CONTAINER_OF(mail, struct rounds, more);
	rs->more_posted = false;
	rounds_kick(rs);
}

static void turn_take(struct rounds *rs, size_t bytes)
{
	uint64_t turn = loop_turns(rs->log->loop);
	rs->turn_bytes = rs->turn == turn ? rs->turn_bytes + bytes : bytes;
	rs->turn = turn;
}

/* Has this turn done its share? Then the next one goes on. */
static bool turn_full(struct rounds *rs)
{
	if (rs->turn != loop_turns(rs->log->loop) || rs->turn_bytes < ROUND_TURN_BYTES)
		return false;
	if (!rs->more_posted) {
		rs->more_posted = true;
		rs->more.run = turn_more;
		loop_post(rs->log->loop, &rs->more);
	}
	return true;
}

/* ---- stamping -------------------------------------------------------------------------------- */

/* Links frame number `frame` to its stretch; what is in the entry is written from there. */
static void stretch_add(struct round *r, struct round_stretch *st, uint32_t frame)
{
	const struct round_frame *f = &r->frames[frame];
	if (st->last == ROUND_NO_FRAME)
		st->first = frame;
	else
		r->frames[st->last].next = frame;
	st->last = frame;
	ASSERT(st->to == f->pos);
	st->to += f->len;
	if (st->direct)
		return; /* round_block_use did it */
	struct iovec *last = st->iov_count ? &st->iov[st->iov_count - 1] : NULL;
	ASSERT(st->iov_count < st->iov_capacity || last);
	if (last && (uintptr_t)last->iov_base + last->iov_len == f->at)
		last->iov_len += f->len;
	else
		st->iov[st->iov_count++] = (struct iovec){(void *)(uintptr_t)f->at, f->len};
}

/* Writes the frame's header to `out`, where its body stands already, and gives it its place. */
static struct round_frame *frame_stamp(
    struct rounds *rs, struct round_stretch *st, struct frame *f, uint8_t *out)
{
	struct round *r = rounds_collecting(rs);
	struct log_partition *p = st->partition;
	bool pad = (f->flags & FRAME_PAD) != 0;
	f->version = FRAME_VERSION;
	f->flags |= st->direct ? FRAME_DIRECT : 0;
	f->base_offset = p->log_end;
	f->server_epoch = rs->log->epoch;
	f->append_time_ns = rs->log->clock.append_ns;
	f->durable_when_written = rs->log->durable_sequence;
	frame_encode(f, st->segment->seed, p->next_link,
	    bytes_of(out + FRAME_HEADER_BYTES, pad ? 0 : f->length), out);
	ASSERT(r->frame_count < ROUND_FRAMES_MAX);
	struct round_frame *rf = &r->frames[r->frame_count];
	*rf = (struct round_frame){.next = ROUND_NO_FRAME,
	    .at = st->direct ? 0 : (uint32_t)r->used,
	    .len = FRAME_HEADER_BYTES + f->length,
	    .flags = f->flags,
	    .pos = p->next_pos,
	    .records = pad ? 0 : f->last_offset_delta + 1,
	    .sequence = pad ? rs->next_sequence - 1 : f->sequence,
	    .frame_hash = f->header_hash,
	    .link = f->link,
	    .base_offset = f->base_offset,
	    .append_ns = f->append_time_ns,
	    .max_timestamp_ms = -1,
	    .stretch = st};
	r->used += st->direct ? 0 : rf->len;
	p->log_end += rf->records;
	p->next_pos += rf->len;
	p->next_link = f->link;
	if (!pad)
		p->stamped_sequence = f->sequence;
	p->frames_pending++;
	st->segment->frames_pending++;
	stretch_add(r, st, r->frame_count++);
	return rf;
}

/* Padding up to the next block, at `out`. */
static void pad_stamp(struct rounds *rs, struct round_stretch *st, uint8_t *out)
{
	uint32_t len = round_pad_bytes(st->partition->next_pos);
	if (len == 0)
		return;
	struct frame f = {.flags = FRAME_PAD, .length = len - FRAME_HEADER_BYTES};
	memset(out + FRAME_HEADER_BYTES, 0, f.length);
	(void)frame_stamp(rs, st, &f, out);
}

/* Memory for the frame at the end of its partition, a DIRECT one at a block. */
static uint8_t *req_place(
    struct rounds *rs, const struct log_append *req, struct round_stretch **ret_stretch)
{
	struct round *r = rounds_collecting(rs);
	struct log_partition *p = req->partition;
	bool direct = round_is_direct(req);
	if (direct && round_pad_bytes(p->next_pos) > 0)
		pad_stamp(rs, rounds_stretch_for(rs, p, false), r->buf + r->used);
	*ret_stretch = rounds_stretch_for(rs, p, direct);
	if (!direct)
		return r->buf + r->used;
	r->direct_bytes += round_direct_bytes(req->batch_len);
	return round_block_use(rs, *ret_stretch, req->batch_len)->buf;
}

/* Gives offset and sequence, and copies the frame to where it is written from. Nothing here can
 * fail. */
static void req_stamp(struct rounds *rs, struct log_append *req, struct batch_header *h)
{
	struct round *r = rounds_collecting(rs);
	struct log_partition *p = req->partition;
	struct round_stretch *st;
	int64_t now = clock_append(&rs->log->clock);
	bool append_time = p->topic->config.timestamp_type == LOG_TIME_APPEND;
	uint8_t *out = req_place(rs, req, &st);
	struct frame f = {
	    .length = (uint32_t)req->batch_len,
	    .principal = req->principal,
	    .sequence = rs->next_sequence++,
	    .last_offset_delta = (uint32_t)h->last_offset_delta,
	};
	h->base_offset = p->log_end;
	batch_stamp(req->batch, p->log_end, (int32_t)p->leader_epoch);
	if (append_time) {
		h->max_timestamp_ms = clock_record_time(&rs->log->clock) / MS_NS;
		batch_stamp_append_time(req->batch, req->batch_len, h->max_timestamp_ms);
	}
	memcpy(out + FRAME_HEADER_BYTES, req->batch, req->batch_len);
	turn_take(rs, req->batch_len);
	r->small += !st->direct;
	struct round_frame *rf = frame_stamp(rs, st, &f, out);
	rf->req = req;
	rf->max_timestamp_ms = h->max_timestamp_ms;
	rf->append_time = append_time;
	if (r->first_sequence == 0)
		r->first_sequence = f.sequence;
	r->last_sequence = f.sequence;
	rf->control = (h->attributes & BATCH_ATTR_CONTROL) != 0;
	st->partition->markers_pending += rf->control;
	ASSERT(!rf->control || !st->direct); /* its bytes are looked at when it is durable */
	if (st->direct)
		pad_stamp(rs, st, out + FRAME_HEADER_BYTES + f.length);
	if (req_idempotent(h))
		partition_note_producer(p, h, f.sequence, now);
	p->stamped_bytes += f.length;
	/* flush.messages: as many records that are not durable yet wait for it, these included */
	if (p->log_end - p->durable_end >= p->topic->config.flush_messages)
		st->lazy = false;
	if (st->lazy && (rs->lazy_bound == 0 || f.sequence + SEQUENCE_RESERVE / 2 > rs->lazy_bound))
		rs->lazy_wanted = true;
	req->sequence = f.sequence;
	req->base_offset = f.base_offset;
	req->append_time_ms = append_time ? h->max_timestamp_ms : -1;
}

/* A batch seen before: answered with the original, at once or with the original's round. */
static void req_duplicate(
    struct rounds *rs, struct log_append *req, const struct producer_batch *original)
{
	struct round *r = rounds_collecting(rs);
	req->duplicate = true;
	req->base_offset = original->base_offset;
	req->sequence = original->sequence;
	req->append_time_ms = original->append_time_ms;
	req->log_start = req->partition->log_start;
	if (original->sequence <= rs->log->durable_sequence) {
		rounds_answer(rs, req, ERR_OK);
		return;
	}
	if (r->frame_count == 0 || original->sequence < r->first_sequence)
		r = &rs->round[rs->collecting ^ 1];
	ASSERT(original->sequence >= r->first_sequence && original->sequence <= r->last_sequence);
	list_push_back(&r->duplicates, &req->node);
}

/* Not taken, through no fault of its producer's order: it will come again. */
static void req_refuse(struct rounds *rs, struct log_append *req, enum err err)
{
	partition_note_refused(req->partition, bytes_of(req->batch, req->batch_len), err);
	rounds_answer(rs, req, err);
}

static enum err check_producer(
    const struct log_append *req, const struct batch_header *h, struct producer_batch *ret_original)
{
	struct log_partition *p = req->partition;
	TRY(partition_check_producer(p, h, ret_original));
	if (req->from_zero && h->base_sequence > 0 && producers_would_begin(&p->producers, h))
		return err_note(ERR_OUT_OF_ORDER_SEQUENCE,
		    "producer %lld: nothing is known of it here, so it starts at sequence 0, "
		    "not %d",
		    (long long)h->producer_id, h->base_sequence);
	return partition_promise_producer(p, h);
}

static void req_admit(struct rounds *rs, struct log_append *req)
{
	struct log_partition *p = req->partition;
	struct producer_batch original;
	struct batch_header h;
	enum err e = batch_header_read(bytes_of(req->batch, req->batch_len), &h);
	ASSERT(e == ERR_OK);
	if (req_idempotent(&h))
		e = check_producer(req, &h, &original);
	if (e == ERR_OK) {
		req_stamp(rs, req, &h);
		return;
	}
	struct segment *s = partition_active(p);
	ASSERT(s);
	s->index.promised--;
	if (e == ERR_EXISTS)
		req_duplicate(rs, req, &original);
	else
		rounds_answer(rs, req, e);
}

/* ---- sets ------------------------------------------------------------------------------------ */

#define SET_EACH(first, req, left)                                                                 \
	for (struct log_append *req = req_of(first), *next_ = req_of(req->node.next); left > 0;    \
	     left--, req = next_, next_ = req_of(req->node.next))

/* A request may begin a stretch; a DIRECT one two, if the first has to be padded. */
static enum err req_reserve(
    struct rounds *rs, const struct log_append *req, const struct set_check *c)
{
	int frames = (int)c->frames;
	struct log_partition *p = req->partition;
	struct round_stretch *st = rounds_stretch_current(rs, p);
	bool direct = round_is_direct(req);
	if (st)
		TRY(rounds_stretch_reserve(st, frames));
	if (c->direct_bytes > 0 || !st || st->direct)
		TRY(rounds_stock_add(rs, frames));
	if (direct) {
		TRY(rounds_stock_add(rs, frames));
		TRY(round_block_reserve(rs, req->batch_len));
	}
	struct segment *s = partition_active(p);
	ASSERT(s);
	return index_promise(&s->index);
}

/* Makes all the room that stamping needs, so that it cannot fail half way. */
static enum err set_reserve(struct rounds *rs, struct list_node *first, const struct set_check *c)
{
	enum err e = ERR_OK;
	uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		if (req->err != ERR_OK)
			continue;
		e = req_reserve(rs, req, c);
		if (e != ERR_OK)
			break;
		req->internal_[ROUND_REQ_PROMISED] = 1;
	}
	if (e == ERR_OK)
		return ERR_OK;
	left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct segment *s = partition_active(req->partition);
		if (req->internal_[ROUND_REQ_PROMISED] && s)
			s->index.promised--;
		req->internal_[ROUND_REQ_PROMISED] = 0;
	}
	rounds_stock_return(rs);
	return e;
}

/* Would the producers' state take every request of an all_or_none set? */
static enum err set_rehearse(struct list_node *first)
{
	uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct producer_batch original;
		struct batch_header h;
		TRY(req->err);
		TRY(batch_header_read(bytes_of(req->batch, req->batch_len), &h));
		if (!req_idempotent(&h))
			continue;
		enum err e = check_producer(req, &h, &original);
		if (e != ERR_OK && e != ERR_EXISTS)
			return e;
	}
	return ERR_OK;
}

/* The set that was rehearsed is not taken now, or never. */
static void set_forget(struct list_node *first)
{
	uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct batch_header h;
		size_t mark = err_mark();
		if (batch_header_read(bytes_of(req->batch, req->batch_len), &h) == ERR_OK &&
		    req_idempotent(&h))
			partition_unpromise_producer(req->partition, &h);
		err_rewind(mark);
	}
}

/* Takes a set out of the queue: every request is answered or in the round. */
static void set_take(struct rounds *rs, struct list_node *first, enum err refuse)
{
	uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
	SET_EACH(first, req, left)
	{
		struct log_partition *p = req->partition;
		list_remove(&req->node);
		enum err e = req->err != ERR_OK ? req->err : refuse;
		if (e != ERR_OK)
			req_refuse(rs, req, e);
		else
			req_admit(rs, req);
		partition_unqueue(p);
		partition_delete_ready(p);
	}
	rounds_stock_return(rs);
}

/* ERR_OK: the set is out of the queue. ERR_AGAIN: it waits, and so do later ones of its partitions.
 */
static enum err set_admit(struct rounds *rs, struct list_node *first)
{
	bool atomic = req_of(first)->internal_[ROUND_REQ_ATOMIC] != 0;
	struct set_check c = set_check(rs, first);
	enum err refuse = ERR_OK;

	if (!c.again && c.frames > 0 && !(atomic && c.failed)) {
		refuse = set_room(rs, &c);
		if (refuse == ERR_OK && atomic)
			refuse = set_rehearse(first);
		if (refuse == ERR_OK)
			refuse = set_reserve(rs, first, &c);
		if (refuse != ERR_OK && atomic)
			set_forget(first);
	} else if (!c.again && atomic && c.failed) {
		refuse = ERR_CANCELLED;
	}
	if (c.again || refuse == ERR_AGAIN) {
		uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT];
		SET_EACH(first, req, left)
		req->partition->blocked_pass = rs->pass;
		return ERR_AGAIN;
	}
	set_take(rs, first, refuse);
	return ERR_OK;
}

void rounds_scan(struct rounds *rs)
{
	if (rs->scanning) { /* called from a task that ended at once */
		rs->scan_again = true;
		return;
	}
	rs->scanning = true;
	do {
		rs->scan_again = false;
		rs->pass++;
		struct list_node *n = rs->waiting.head.next;
		while (n != &rs->waiting.head && !rs->full && !turn_full(rs)) {
			struct list_node *first = n;
			for (uint64_t left = req_of(first)->internal_[ROUND_REQ_LEFT]; left > 0;
			     left--)
				n = n->next;
			(void)set_admit(rs, first); /* ERR_AGAIN: it stays */
		}
	} while (rs->scan_again);
	rs->scanning = false;
}

void rounds_abort(struct rounds *rs, enum err err)
{
	struct list_node *n;
	while ((n = list_pop_front(&rs->waiting))) {
		struct log_append *req = req_of(n);
		partition_unqueue(req->partition);
		req_refuse(rs, req, err);
		partition_delete_ready(req->partition);
	}
}

/* ---- the public call ------------------------------------------------------------------------- */

static enum err append_refused(const struct log *log, size_t bytes, size_t count, bool internal)
{
	const struct rounds *rs = &log->rounds;
	if (log->failed)
		return ERR_IO;
	if (log->closing)
		return ERR_CLOSED;
	if (count > ROUND_FRAMES_MAX)
		return err_note(
		    ERR_LIMIT, "%zu batches in one append, at most %d", count, ROUND_FRAMES_MAX);
	if (rs->no_space && !internal)
		return ERR_NOSPACE;
	if (rs->accepted_bytes > 0 && rs->accepted_bytes + bytes > log->options.append_queue_bytes)
		return ERR_AGAIN; /* one that is larger than the queue goes alone */
	return ERR_OK;
}

void log_append_refused(struct log_partition *p, struct bytes batch, enum err why)
{
	loop_assert_owner(p->log->loop);
	partition_note_refused(p, batch, why);
}

/* True when nothing that waits must come first. */
static bool may_pass(const struct rounds *rs, struct log_append *const *reqs, size_t count)
{
	if (list_empty(&rs->waiting))
		return true;
	for (size_t i = 0; i < count; i++)
		if (reqs[i]->partition->queued > 0)
			return false;
	return !rs->full;
}

void log_append(struct log *log, struct log_append *const *reqs, size_t count, bool all_or_none)
{
	struct rounds *rs = &log->rounds;
	size_t bytes = 0;

	loop_assert_owner(log->loop);
	ASSERT(count > 0);
	bool internal = true;
	for (size_t i = 0; i < count; i++) {
		bytes += reqs[i]->batch_len;
		internal &= reqs[i]->internal;
	}
	enum err refuse = append_refused(log, bytes, count, internal);
	bool direct = refuse == ERR_OK && may_pass(rs, reqs, count);
	for (size_t i = 0; i < count; i++) {
		struct log_append *req = reqs[i];
		ASSERT(req->partition->log == log && req->done);
		req->err = ERR_OK;
		req->base_offset = req->append_time_ms = -1;
		req->log_start = req->partition->log_start;
		req->sequence = 0;
		req->duplicate = false;
		memset(req->internal_, 0, sizeof(req->internal_));
		list_node_init(&req->node);
		partition_ref(req->partition);
		if (refuse != ERR_OK) {
			req_refuse(rs, req, refuse);
			continue;
		}
		req->internal_[ROUND_REQ_LEFT] = count - i;
		req->internal_[ROUND_REQ_ATOMIC] = all_or_none;
		req->internal_[ROUND_REQ_ACCEPTED] = req->batch_len;
		rs->accepted_bytes += req->batch_len;
		req->partition->queued++;
		list_push_back(&rs->waiting, &req->node);
	}
	if (direct && !turn_full(rs)) {
		rs->pass++;
		if (set_admit(rs, &reqs[0]->node) == ERR_OK)
			rounds_start_later(rs);
	}
}
