/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of answers that were not sent yet: batches read for fetches, and what all other answers
 * are made of and encoded in. One budget for all connections.
 *
 * Who asks and does not read holds his answers until he is ended for it. Those who do read go on
 * beside him:
 *   A1  a connection makes no answers while CONN_OUT_HIGH bytes of them wait (conn.c C2), and has
 *       the data of one fetch (fetch.c F1).
 *   A2  the last eighth of the budget is for clients that have taken all they were sent: an answer
 *       that fits into their sockets is gone at once. Who has not waits.
 *   A3  the size of an answer is known when it is made: one that may be large is begun while there
 *       is room for anything, and may pass the limit.
 *       What is spared (is_spared) is begun over 7/8 of it as well, and when it must be short, over
 *       the limit, as long as its connection takes the answers before it.
 *   A4  who has no request under way goes before those who have.
 *   A5  while somebody has waited for PATIENCE_NS, fetches that wait for data, or for memory, and
 *       name much are answered with what there is, and connections whose sends stand still are
 *       ended, first those that hold the most for the longest time. Nobody is ended for that while
 *       there is memory (but after stall_ns).
 *   A6  what a request takes while it is worked on, or waits, is counted as well, from 32 KiB on
 *       (request.c).
 */
#include "broker/auth/sasl.h"
#include "broker/kafka/server.h"

static const int64_t RELIEF_NS = 250 * MS_NS; /* how often it is looked after those who wait */
static const int64_t PATIENCE_NS = S_NS;
static const int64_t STILL_NS = 2 * S_NS;   /* of a send of 256 KiB: slower ones may be ended */
static const size_t TAKEN_BYTES = 16 * KIB; /* that may be on their way to who has taken all */
enum { WAKES = 8, RELIEF_WAKES = 64, LAST_PART = 8 };

static void on_relief(struct loop_timer *timer);
static void on_wake(struct mail *mail);

void answers_init(struct answers *a)
{
	list_init(&a->crowded);
	list_init(&a->greedy);
	list_init(&a->starved);
	list_init(&a->gated);
	loop_timer_init(&a->relief, on_relief);
	a->wake.run = on_wake;
}

void answers_stop(struct broker *b)
{
	loop_timer_cancel(b->loop, &b->answers.relief);
}

/* ---- room ------------------------------------------------------------------------------------ */

static bool has_taken_all(const struct conn *c)
{
	return !c->sending && io_untaken(c->broker->io, c->fd) <= TAKEN_BYTES;
}

bool answers_fit(const struct conn *c, size_t len)
{
	const struct budget *b = &c->broker->answers.budget;
	size_t used = b->used_bytes + len;
	if (b->used_bytes == 0 || used <= b->limit_bytes - b->limit_bytes / LAST_PART)
		return true;
	return used <= b->limit_bytes && has_taken_all(c);
}

static bool somebody_waits(const struct answers *a)
{
	return !list_empty(&a->crowded) || !list_empty(&a->greedy) || !list_empty(&a->starved) ||
	       !list_empty(&a->gated);
}

/* Somebody begins to wait. */
void answers_pinch(struct broker *b)
{
	struct answers *a = &b->answers;
	if (loop_timer_is_set(&a->relief) || b->closing)
		return;
	a->pinched_ns = loop_now_ns(b->loop);
	loop_timer_set(b->loop, &a->relief, a->pinched_ns + RELIEF_NS);
}

/*
 * What producers, consumers and transactions live by goes on while others wait. The answers of some
 * kinds are always short, or are bounded elsewhere; of others they are as long as the requests, or
 * as what these name besides records; and who is in a group is told what it has given the group, up
 * to GROUP_BYTES_MAX.
 */
enum spared { SPARED_NEVER, SPARED_ALWAYS, SPARED_BY_LENGTH, SPARED_BY_NAMES, SPARED_WITHIN };
#define SPARED_REQUEST_MAX ((size_t)16 * KIB)
#define SPARED_UNSENT_MAX  ((size_t)16 * KIB) /* of short answers, beside which one more is made */

static enum spared spared_kind(int16_t key)
{
	static const struct {
		int16_t key;
		enum spared spared;
	} kinds[] = {
	    {API_PRODUCE, SPARED_BY_NAMES},
	    {API_FETCH, SPARED_BY_LENGTH},
	    {API_OFFSET_COMMIT, SPARED_BY_LENGTH},
	    {API_FIND_COORDINATOR, SPARED_BY_LENGTH},
	    {API_JOIN_GROUP, SPARED_WITHIN},
	    {API_HEARTBEAT, SPARED_ALWAYS},
	    {API_LEAVE_GROUP, SPARED_BY_LENGTH},
	    {API_SYNC_GROUP, SPARED_WITHIN},
	    {API_SASL_HANDSHAKE, SPARED_ALWAYS},
	    {API_API_VERSIONS, SPARED_ALWAYS},
	    {API_INIT_PRODUCER_ID, SPARED_ALWAYS},
	    {API_ADD_PARTITIONS_TO_TXN, SPARED_BY_LENGTH},
	    {API_ADD_OFFSETS_TO_TXN, SPARED_ALWAYS},
	    {API_END_TXN, SPARED_ALWAYS},
	    {API_WRITE_TXN_MARKERS, SPARED_BY_LENGTH},
	    {API_TXN_OFFSET_COMMIT, SPARED_BY_LENGTH},
	    {API_SASL_AUTHENTICATE, SPARED_ALWAYS},
	    {API_CONSUMER_GROUP_HEARTBEAT, SPARED_WITHIN},
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].key == key)
			return kinds[i].spared;
	return SPARED_NEVER;
}

/* It is handled though there is no room for more of others. */
static bool is_spared(const struct conn *c)
{
	const struct budget *b = &c->broker->answers.budget;
	enum spared spared = spared_kind((int16_t)get_u16_be(c->frame.ptr));
	if (spared == SPARED_NEVER)
		return false;
	if (b->used_bytes < b->limit_bytes)
		return true;
	if (c->out_bytes > SPARED_UNSENT_MAX)
		return false; /* answers_taken */
	if (spared == SPARED_BY_LENGTH)
		return c->frame.len <= SPARED_REQUEST_MAX;
	if (spared == SPARED_BY_NAMES)
		return request_names_little(&c->frame);
	return spared == SPARED_ALWAYS;
}

void answers_taken(struct conn *c)
{
	if (c->out_bytes <= SPARED_UNSENT_MAX)
		list_remove(&c->crowded);
}

bool answers_admit(struct conn *c)
{
	struct answers *a = &c->broker->answers;
	if (answers_fit(c, 1) || sasl_expects_token(c) || is_spared(c)) {
		c->crowded_ns = 0;
		return true;
	}
	if (c->crowded_ns == 0)
		c->crowded_ns = loop_now_ns(c->broker->loop);
	list_push_back(list_empty(&c->requests) ? &a->crowded : &a->greedy, &c->crowded);
	answers_pinch(c->broker);
	return false;
}

/* ---- taking and giving ----------------------------------------------------------------------- */

/* Those for whom there is still no room stand at the end then. */
static void wake(struct broker *b, int count)
{
	struct answers *a = &b->answers;
	for (int i = 0; i < count; i++) {
		struct list_node *n = list_pop_front(&a->crowded);
		if (!n && !(n = list_pop_front(&a->greedy)))
			break;
		conn_wake(CONTAINER_OF(n, struct conn, crowded));
	}
	fetch_wake(b, count);
}

static void on_wake(struct mail *mail)
{
	struct broker *b = CONTAINER_OF(mail, struct broker, answers.wake);
	b->answers.wake_queued = false;
	wake(b, WAKES);
}

void answers_take(struct broker *b, size_t len)
{
	b->answers.budget.used_bytes += len;
	metric_set(METRIC_ANSWER_BYTES, (int64_t)b->answers.budget.used_bytes);
}

void answers_give(struct broker *b, size_t len)
{
	struct answers *a = &b->answers;
	budget_give(&a->budget, len);
	metric_set(METRIC_ANSWER_BYTES, (int64_t)a->budget.used_bytes);
	bool full = a->budget.used_bytes >= a->budget.limit_bytes;
	if (full || a->wake_queued || !somebody_waits(a))
		return;
	a->wake_queued = true;
	loop_defer(b->loop, &a->wake);
}

/* ---- relief ---------------------------------------------------------------------------------- */

static size_t held_by(const struct conn *c)
{
	size_t held = 0;
	LIST_EACH (&c->requests, n, tmp) {
		const struct request *req = CONTAINER_OF(n, struct request, node);
		held += req->held + req->fetched;
	}
	return held;
}

/* Its first request waits by its wish (a member for the others of its group), and takes much. */
static bool waits_with_much(const struct conn *c)
{
	struct list_node *n = list_first(&c->requests);
	const struct request *first = n ? CONTAINER_OF(n, struct request, node) : NULL;
	return first && !first->answered && first->closed && first->held >= ANSWER_LARGE_BYTES;
}

/*
 * The memory it holds, times the seconds for which it has taken nothing; 0: it may stay. Nothing is
 * taken either while answers wait behind one that is not there yet: who asks for a long wait first
 * and for much then holds memory, too.
 */
static double burden(const struct conn *c, int64_t now)
{
	int64_t still = now - (c->sending ? c->send_ns : c->active_ns);
	bool holds = c->sending || c->out_bytes > 0 || waits_with_much(c);
	if (c->closing || still < STILL_NS || !holds)
		return 0;
	return (double)held_by(c) * ((double)still / (double)S_NS);
}

/* What one relief is to free: the overdraft, and room for those who wait. */
static size_t relief_bytes(const struct budget *budget)
{
	size_t limit = budget->limit_bytes, used = budget->used_bytes;
	return limit / LAST_PART + (used > limit ? used - limit : 0);
}

/* Those that wait for something and hold much are answered now: nobody has to be ended for them. */
static void hurry(struct broker *b)
{
	size_t want = relief_bytes(&b->answers.budget), held = 0;
	LIST_EACH (&b->conns, n, tmp) {
		struct conn *c = CONTAINER_OF(n, struct conn, node);
		LIST_EACH (&c->requests, m, after) {
			struct request *req = CONTAINER_OF(m, struct request, node);
			if (req->answered || !req->hurry || req->held < ANSWER_LARGE_BYTES ||
			    held >= want)
				continue;
			held += req->held;
			req->hurry(req);
		}
	}
}

static void relieve(struct broker *b)
{
	hurry(b);
	const struct relief r = {
	    .want = relief_bytes(&b->answers.budget),
	    .burden = burden,
	    .held = held_by,
	    .reason = "it does not read its answers, and others wait for the memory",
	};
	metric_add(METRIC_ANSWERS_ENDED, relief_give(b, &r));
}

/* There is memory for whoever reads what he is sent. */
static bool has_room(const struct budget *b)
{
	return b->used_bytes + TAKEN_BYTES <= b->limit_bytes - b->limit_bytes / LAST_PART;
}

static void on_relief(struct loop_timer *timer)
{
	struct broker *b = CONTAINER_OF(timer, struct broker, answers.relief);
	struct answers *a = &b->answers;
	int64_t now = loop_now_ns(b->loop);
	if (!somebody_waits(a))
		return;
	/* first: who is woken in vain begins to wait again, and this wait goes on (answers_pinch)
	 */
	loop_timer_set(b->loop, timer, now + RELIEF_NS);
	if (has_room(&a->budget))
		a->pinched_ns = now; /* for reads that are under way, no more */
	else if (now - a->pinched_ns >= PATIENCE_NS)
		relieve(b);
	wake(b, RELIEF_WAKES); /* sockets may have become empty meanwhile */
}

bool answers_are_short(const struct broker *b)
{
	return loop_timer_is_set(&b->answers.relief);
}
