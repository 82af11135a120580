/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fetch: read what there is, or wait for it.
 *
 * A fetch goes QUEUED (earlier answers of the connection are still on their way) -> READING
 * (partition after partition, one log_read at a time) -> answered, or -> WAITING (for more data or
 * the end of max_wait) -> READING, or -> STARVED (no memory budget) -> READING. Each pass starts
 * from the first partition and forgets the last one.
 *
 * While it waits what comes is counted, of the partition that it comes to, and the next pass is
 * made when it is enough: an append costs the same however much is named beside. One that names
 * much is answered with what there is while memory is short.
 *
 * Invariants:
 *   F1  a connection holds the data of one fetch at most: it starts when it is the first in line.
 *   F2  the first batch of the answer is there whatever its size (KIP-74); after it max_bytes
 *       holds. Reads that may so bring more than they took from the budget are begun while those
 *       under way may pass it by less than an eighth.
 *   F3  data not yet sent is in the budget of answers (answers.c); of its last quarter a read takes
 *       little, of its last eighth less. Its slices live in the log's read buffers until the answer
 *       is sent.
 *   F4  the parts are those of the session (fetch_session.h), which is this fetch's alone until the
 *       answer is built, or those of the request. What rests in the session becomes a part when it
 *       changes, and what the answer leaves nothing to say of rests afterwards.
 *   F5  of a client that owes (quotas.h) nothing is read, and nothing is charged to it: the answer
 *       names no partition and tells how long to wait. Of another a pass reads what may come at
 *       once, but for F2.
 */
#include "broker/kafka/fetch.h"
#include "broker/quotas/quotas.h"

enum { OVER_PART = 8 };                       /* of the budget: what first batches may pass it by */
#define FETCH_SHORT_BYTES ((size_t)256 * KIB) /* of a read when the budget runs short */
#define FETCH_LEAST_BYTES ((size_t)16 * KIB)  /* and when it is all but used up */
static const int64_t MAX_WAIT_NS =
    300 * S_NS; /* longer long polls end earlier, which is always legal */

static void pass(struct fetch *f);
static void step(struct fetch *f);

/* ---- memory ---------------------------------------------------------------------------------- */

/* Each takes of the budget, or stands at the end of a line again. */
static void wake_line(struct list *line, int count)
{
	struct list_node *n;
	const struct list_node *last = list_last(line);
	for (int i = 0; i < count && (n = list_pop_front(line)); i++) {
		step(CONTAINER_OF(n, struct fetch, starved));
		if (n == last)
			break;
	}
}

void fetch_wake(struct broker *b, int count)
{
	wake_line(&b->answers.gated, count);
	wake_line(&b->answers.starved, count);
}

/* Gives a pass's data back and lets starved fetches go on. */
static void drop_reads(struct fetch *f)
{
	LIST_EACH (&f->parts, n, next)
		fetch_part_forget(fetch_part_of(n));
	answers_give(f->req->broker, f->req->fetched);
	f->req->fetched = 0;
}

static void on_release(struct request *req)
{
	drop_reads(req->user);
}

/* ---- answer and wait ------------------------------------------------------------------------- */

static void stop_waiting(struct fetch *f)
{
	LIST_EACH (&f->parts, n, next)
		log_wait_cancel(&fetch_part_of(n)->waiter);
	if (f->session)
		log_watches_cancel(&f->session->watches);
	loop_timer_cancel(f->req->loop, &f->timer);
	list_remove(&f->starved);
}

/* Of a client that owes: no partition, which is legal where the time to wait is told. A session
 * that this request made would not be found in it. */
static void build_throttled(struct fetch *f)
{
	const struct fetch_request *body = f->req->body;
	struct fetch_response *r = f->req->response;
	drop_reads(f);
	if (f->session && body->session_epoch == 0)
		fetch_session_revoke(&f->req->broker->fetch_sessions, f->session);
	else if (f->session)
		r->session_id = f->session->id;
}

/* Takes the parts that have something to say into the response, neighbours of one topic together.
 */
static bool build(struct fetch *f)
{
	struct request *req = f->req;
	struct fetch_response *r = req->response;
	/* another one of the same client may have been answered since */
	if (f->owes || (f->total > 0 && request_room(req, QUOTA_FETCH) == 0)) {
		build_throttled(f);
		return true;
	}
	struct fetch_response_topic *topics =
	    request_new(req, &fetch_response_topic_shape, f->count);
	struct fetch_response_partition *parts =
	    request_new(req, &fetch_response_partition_shape, f->count);
	const struct fetch_part *before = NULL;
	if (!topics || !parts)
		return false;
	(void)request_charge(req, QUOTA_FETCH, (double)f->total);
	r->session_id = f->session ? f->session->id : 0;
	r->responses.at = topics;
	LIST_EACH (&f->parts, n, next) {
		struct fetch_part *part = fetch_part_of(n);
		bool told = !part->known || fetch_session_tell(f->session, part->known, &part->out);
		fetch_part_rest(part);
		if (!told)
			continue;
		bool same = before && before->topic.ptr == part->topic.ptr &&
		            log_uuid_equal(before->topic_id, part->topic_id);
		struct fetch_response_topic *t = &topics[r->responses.count - same];
		if (!same) {
			t->topic = part->topic;
			t->topic_id = part->topic_id;
			t->partitions.at = parts;
			r->responses.count++;
		}
		t->partitions.count++;
		*parts++ = part->out;
		before = part;
	}
	return true;
}

static void leave_session(struct fetch *f)
{
	if (f->session)
		fetch_session_end(&f->req->broker->fetch_sessions, f->session);
	f->session = NULL;
}

static void answer(struct fetch *f)
{
	ASSERT(f->state != FETCH_ANSWERED);
	f->state = FETCH_ANSWERED;
	stop_waiting(f);
	f->req->closed = f->req->hurry = NULL;
	bool built = f->gone || build(f);
	if (built)
		request_answer(f->req); /* nothing is sent to one that is gone */
	else
		request_fail(f->req, ERR_LIMIT);
	leave_session(f); /* the answer has been encoded with its names */
}

static void on_closed(struct request *req)
{
	struct fetch *f = req->user;
	f->gone = true;
	if (f->state == FETCH_WAITING || f->state == FETCH_STARVED)
		answer(f);
	/* READING: the read comes back and ends it */
}

static void on_deadline(struct loop_timer *timer)
{
	struct fetch *f = CONTAINER_OF(timer, struct fetch, timer);
	if (f->state != FETCH_WAITING)
		return;
	stop_waiting(f);
	pass(f);
}

/* For more than was seen when it was looked at. */
static void wait_for(struct fetch_part *part)
{
	enum err err;
	struct log_partition *p = fetch_part_find(part, &err);
	int64_t from = part->fetch_offset > part->seen_end ? part->fetch_offset : part->seen_end;
	if (p)
		log_wait(p, from, &part->waiter);
}

static void wait(struct fetch *f)
{
	f->state = FETCH_WAITING;
	drop_reads(f);
	loop_timer_set(f->req->loop, &f->timer, f->deadline_ns);
	LIST_EACH (&f->parts, n, next)
		wait_for(fetch_part_of(n));
	if (f->session) {
		f->session->fetch = f;
		log_watches_wait(f->req->log, &f->session->watches);
	}
}

static bool is_enough(const struct fetch *f)
{
	const struct fetch_request *body = f->req->body;
	return body->min_bytes <= 0 || f->total >= (size_t)body->min_bytes || f->total >= f->room;
}

static void end_of_pass(struct fetch *f)
{
	bool late = loop_now_ns(f->req->loop) >= f->deadline_ns;
	bool enough =
	    is_enough(f) || f->full || (f->count == 0 && !f->session) || (f->scant && f->total > 0);
	/* what waits holds memory that others wait for */
	bool hurried = f->req->held >= ANSWER_LARGE_BYTES && answers_are_short(f->req->broker);
	if (f->gone || f->error || late || enough || hurried)
		answer(f);
	else
		wait(f);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* The read of one part is done: keeps what fits. */
static void take_read(struct fetch *f, struct fetch_part *part)
{
	struct broker *b = f->req->broker;
	struct log_read *r = part->read;
	b->answers.over_bytes -= f->over;
	answers_give(b, f->asked);
	f->asked = f->over = 0;
	if (r->err != ERR_OK) {
		fetch_part_fail(part, r->err);
		return;
	}
	bool fits = f->total == 0 || f->total + r->bytes_total <= f->room;
	if (!fits || r->batch_count == 0) {
		f->full |= !fits;
		log_read_release(r);
		part->has_read = false;
		return;
	}
	/* a first batch may be larger than what was asked for: the budget is overdrawn by it */
	answers_take(b, r->bytes_total);
	f->req->fetched += r->bytes_total;
	f->total += r->bytes_total;
	part->bytes = r->bytes_total;
	part->ends_early = r->next_offset < part->seen_end;
	f->full |= f->total >= f->room;
	part->out.high_watermark = r->visible_end;
	part->out.last_stable_offset = r->stable_end;
	part->out.log_start_offset = r->log_start;
	part->out.records = (struct msg_slices){r->batches, (uint32_t)r->batch_count};
	_Static_assert(sizeof(*r->aborted) == sizeof(*part->out.aborted_transactions.at) &&
	                   offsetof(struct log_aborted, first_offset) ==
	                       offsetof(struct fetch_response_aborted, first_offset),
	    "the log's list is sent as it is");
	if (r->aborted_count > 0)
		part->out.aborted_transactions.at = (void *)r->aborted;
	part->out.aborted_transactions.count = (uint32_t)r->aborted_count;
}

static void on_read(struct log_read *read)
{
	struct fetch_part *part = read->user;
	struct fetch *f = part->owner;
	ASSERT(f->state == FETCH_READING && &part->node == f->at);
	take_read(f, part);
	f->at = f->at->next;
	step(f);
}

/*
 * What a read may take. Clients that ask for much and do not read their answers cannot take the
 * last of the budget from those who do: small answers fit into their sockets.
 */
static size_t read_share(struct fetch *f, const struct fetch_part *part)
{
	const struct budget *budget = &f->req->broker->answers.budget;
	size_t left = f->room - f->total, want = (size_t)part->max_bytes;
	size_t eighth = budget->limit_bytes / 8, used = budget->used_bytes;
	if (part->max_bytes < 0 || want > left)
		want = left;
	size_t most = want;
	if (used + want > 6 * eighth && want > FETCH_SHORT_BYTES)
		want = FETCH_SHORT_BYTES;
	if (used + want > 7 * eighth && want > FETCH_LEAST_BYTES)
		want = FETCH_LEAST_BYTES;
	f->scant |= want < most;
	return want;
}

/*
 * What a read of `want` bytes may bring over them: a batch comes whole. Little more than was asked
 * for, as the default of clients is of that of topics, is not looked at.
 */
static size_t read_over(const struct fetch_part *part, size_t want)
{
	enum err err;
	const struct log_topic *t =
	    topic_named(part->owner->req, part->topic, part->topic_id, &err);
	size_t most = t ? t->config.max_message_bytes : 0;
	return most > want + FETCH_LEAST_BYTES ? most - want : 0;
}

static void starve(struct fetch *f, struct list *line)
{
	f->state = FETCH_STARVED;
	list_push_back(line, &f->starved);
	answers_pinch(f->req->broker);
}

/* Takes memory for a read of `want` bytes. False: the fetch waits for it, or ends with what it has.
 */
static bool take_budget(struct fetch *f, const struct fetch_part *part, size_t want)
{
	struct answers *a = &f->req->broker->answers;
	size_t over = read_over(part, want);
	bool fits = answers_fit(f->req->conn, want);
	if (!fits && f->total > 0) {
		f->full = true;
		return false;
	}
	/* reads that are under way end by themselves */
	bool gated =
	    over > 0 && a->over_bytes > 0 && a->over_bytes >= a->budget.limit_bytes / OVER_PART;
	if (!fits || gated) {
		starve(f, fits ? &a->gated : &a->starved);
		return false;
	}
	answers_take(f->req->broker, want);
	a->over_bytes += over;
	f->asked = want;
	f->over = over;
	return true;
}

static void read_part(struct fetch_part *part, struct log_partition *p, size_t want)
{
	const struct fetch_request *body = part->owner->req->body;
	part->has_read = true;
	*part->read = (struct log_read){.partition = p,
	    .offset = part->fetch_offset,
	    .max_bytes = want,
	    .read_committed = body->isolation_level == 1,
	    .user = part,
	    .done = on_read};
	log_read(part->owner->req->log, part->read);
}

static bool make_parts(struct fetch *f)
{
	while (f->session && fetch_session_changed(f->session))
		;
	size_t need = fetch_parts_bytes(f);
	if (need > FETCH_LEAST_BYTES && !f->full && !answers_fit(f->req->conn, need)) {
		starve(f, &f->req->broker->answers.starved);
		return false;
	}
	if (!fetch_parts_make(f)) {
		f->state = FETCH_ANSWERED;
		f->req->closed = f->req->hurry = NULL;
		leave_session(f);
		request_fail(f->req, ERR_LIMIT);
		return false;
	}
	f->at = f->parts.head.next;
	return true;
}

/* Goes on with the pass until a read is under way or all parts are done. */
static void step(struct fetch *f)
{
	if (!f->made && !f->gone && !make_parts(f))
		return;
	f->state = FETCH_READING;
	for (; f->at != &f->parts.head && !f->gone; f->at = f->at->next) {
		struct fetch_part *part = fetch_part_of(f->at);
		struct log_partition *p;
		fetch_part_forget(part);
		part->bytes = 0;
		part->ends_early = false;
		if (!fetch_part_look(part, &p) || f->full)
			continue;
		if (!part->read && !(part->read = request_alloc(f->req, sizeof(*part->read)))) {
			f->full = true; /* what it may have for itself is used up */
			continue;
		}
		size_t want = read_share(f, part);
		if (!take_budget(f, part, want)) {
			if (f->state == FETCH_STARVED)
				return;
			continue;
		}
		read_part(part, p, want);
		return;
	}
	end_of_pass(f);
}

/* What has changed since it last began is looked at, too. */
static void pass(struct fetch *f)
{
	struct fetch_session_part *known;
	bool all = true; /* that have changed are parts; else the next fetch looks at them */
	while (all && f->made && f->session && (known = fetch_session_changed(f->session)))
		all = fetch_part_add(f, known) != NULL;
	f->at = f->parts.head.next;
	f->total = 0;
	f->error = f->scant = false;
	f->full = !all;
	size_t room = f->gone ? 0 : request_room(f->req, QUOTA_FETCH);
	f->owes = room == 0;
	f->room = room < f->max_bytes ? room : f->max_bytes;
	if (f->owes)
		answer(f);
	else
		step(f);
}

/* What has come counts as far as a read would bring it. */
static void add_come(struct fetch_part *part, uint64_t come)
{
	size_t room = SIZE_MAX;
	if (part->ends_early)
		room = 0;
	else if (part->bytes > 0 && part->max_bytes >= 0) /* a first batch comes whole */
		room = (size_t)part->max_bytes > part->bytes ? (size_t)part->max_bytes - part->bytes
		                                             : 0;
	size_t add = come < room ? (size_t)come : room;
	part->bytes += add;
	part->owner->total += add;
}

/* Only this part is looked at, until there is enough of all. */
void fetch_data_came(struct log_waiter *waiter)
{
	struct fetch_part *part = CONTAINER_OF(waiter, struct fetch_part, waiter);
	struct fetch *f = part->owner;
	struct log_partition *p = NULL;
	if (f->state != FETCH_WAITING)
		return;
	uint64_t before = part->seen_bytes;
	bool more = fetch_part_look(part, &p);
	if (more)
		add_come(part, part->seen_bytes - before);
	if (!f->error && !is_enough(f)) {
		log_wait(p, part->seen_end, waiter);
		return;
	}
	stop_waiting(f);
	pass(f);
}

/* Memory is short: the ends are told, with what has been read, and it may come again. */
static void on_hurry(struct request *req)
{
	struct fetch *f = req->user;
	if (f->state != FETCH_WAITING && f->state != FETCH_STARVED)
		return; /* the log has it now */
	if (f->state == FETCH_WAITING) {
		stop_waiting(f);
		f->at = f->parts.head.next;
		f->total = 0;
		f->error = false;
	}
	list_remove(&f->starved);
	f->full = true;
	step(f);
}

/* Partitions that rested: they are of this fetch now. */
void fetch_changed(struct log_waiter *waiter)
{
	struct fetch_session *s = CONTAINER_OF(waiter, struct fetch_session, watches.waiter);
	struct fetch *f = s->fetch;
	struct fetch_session_part *known;
	ASSERT(f->session == s && f->state == FETCH_WAITING);
	while ((known = fetch_session_changed(s))) {
		struct fetch_part *part = fetch_part_add(f, known);
		struct log_partition *p;
		if (!part) {
			on_hurry(f->req);
			return;
		}
		if (fetch_part_look(part, &p))
			add_come(part, part->seen_bytes - known->seen_bytes);
		wait_for(part);
	}
	if (f->error || is_enough(f)) {
		stop_waiting(f);
		pass(f);
	} else {
		log_watches_wait(f->req->log, &s->watches);
	}
}

/* ---- request --------------------------------------------------------------------------------- */

/* Versions without an error code of their own tell it of each partition. */
static bool refuse_parts(struct fetch *f, enum err err)
{
	if (!fetch_parts_make(f))
		return false;
	LIST_EACH (&f->parts, n, next)
		fetch_part_fail(fetch_part_of(n), err);
	return true;
}

static void refuse(struct fetch *f, enum err err)
{
	struct fetch_response *r = f->req->response;
	err_clear();
	f->state = FETCH_ANSWERED;
	if (f->req->version >= 7)
		r->error_code = err_kafka(err);
	if ((f->req->version >= 7 || refuse_parts(f, err)) && build(f))
		request_answer(f->req);
	else
		request_fail(f->req, ERR_LIMIT);
}

/* Its turn: no earlier answer of the connection is on its way, so a session is asked for in order.
 */
static void on_turn(struct request *req)
{
	struct fetch *f = req->user;
	f->gone = req->conn->closing;
	enum err err = f->gone ? ERR_OK : fetch_session_begin(req, &f->session);
	if (err != ERR_OK) {
		refuse(f, err);
		return;
	}
	req->closed = on_closed;
	req->hurry = on_hurry;
	pass(f);
}

static enum err refusal(const struct request *req)
{
	const struct fetch_request *body = req->body;
	/* this server has no followers: only one who wants to see more than consumers do says it is
	 * one */
	if (body->replica_id >= 0 || body->replica_state.replica_id >= 0)
		return ERR_PERMISSION;
	if (body->isolation_level != 0 && body->isolation_level != 1)
		return ERR_INVALID_REQUEST;
	return ERR_OK;
}

void handle_fetch(struct request *req)
{
	const struct fetch_request *body = req->body;
	struct fetch *f = request_alloc(req, sizeof(*f));
	if (!f) {
		request_fail(req, ERR_LIMIT);
		return;
	}
	f->req = req;
	list_init(&f->parts);
	f->at = &f->parts.head;
	list_node_init(&f->starved);
	loop_timer_init(&f->timer, on_deadline);
	enum err err = refusal(req);
	if (err != ERR_OK) {
		refuse(f, err);
		return;
	}
	int64_t max_wait_ns = body->max_wait_ms > 0 ? body->max_wait_ms * MS_NS : 0;
	f->deadline_ns = req->received_ns + (max_wait_ns < MAX_WAIT_NS ? max_wait_ns : MAX_WAIT_NS);
	f->max_bytes = req->broker->options.fetch_bytes_max;
	if (body->max_bytes >= 0 && (size_t)body->max_bytes < f->max_bytes)
		f->max_bytes = (size_t)body->max_bytes;
	req->user = f;
	req->release = on_release;
	request_when_first(req, on_turn);
}
