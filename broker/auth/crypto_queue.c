/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/auth/crypto_queue.h"
#include <arpa/inet.h>
#include <time.h>

static void start_next(struct crypto_queue *q);

/* Of this thread. */
static int64_t processor_ns(void)
{
	struct timespec ts;
	ASSERT(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts) == 0);
	return ts.tv_sec * S_NS + ts.tv_nsec;
}

static void job_run(struct pool_job *job)
{
	struct crypto_work *work = CONTAINER_OF(job, struct crypto_work, job);
	int64_t before = processor_ns();
	work->run(work);
	work->cost_ns = processor_ns() - before + 1;
}

static void job_done(struct pool_job *job)
{
	struct crypto_work *work = CONTAINER_OF(job, struct crypto_work, job);
	struct crypto_queue *q = work->queue;
	q->running = false;
	work->lane->left_ns -= work->cost_ns;
	start_next(q);
	work->done(work); /* last: it may free the work */
}

static struct list_node *pop_name(struct crypto_lane *lane)
{
	for (uint32_t i = 1; i <= CRYPTO_NAMES; i++) {
		uint32_t name = (lane->last + i) % CRYPTO_NAMES;
		struct list_node *node = list_pop_front(&lane->names[name]);
		if (!node)
			continue;
		lane->last = name;
		return node;
	}
	return NULL;
}

static bool lane_waits(const struct crypto_lane *lane)
{
	for (size_t i = 0; i < CRYPTO_NAMES; i++) {
		if (!list_empty(&lane->names[i]))
			return true;
	}
	return false;
}

/* When it may go on; now or before: it may. */
static int64_t lane_due_ns(const struct crypto_queue *q, struct crypto_lane *lane, int64_t now_ns)
{
	int64_t gained_ns = (now_ns - lane->at_ns) / q->share;
	lane->left_ns += gained_ns;
	lane->at_ns += gained_ns * q->share;
	if (lane->left_ns >= q->burst_ns) {
		lane->left_ns = q->burst_ns;
		lane->at_ns = now_ns;
	}
	return lane->left_ns > 0 ? now_ns : lane->at_ns + (1 - lane->left_ns) * q->share;
}

/* The first of the next lane in turn that is not empty and has time left; NULL: nobody waits, or
 * those who do rest. */
static struct list_node *pop_next(struct crypto_queue *q)
{
	int64_t now_ns = loop_now_ns(q->loop), first_ns = INT64_MAX;
	for (uint32_t i = 1; i <= CRYPTO_LANES; i++) {
		uint32_t at = (q->last + i) % CRYPTO_LANES;
		struct crypto_lane *lane = &q->lanes[at];
		if (!lane_waits(lane))
			continue;
		int64_t due_ns = lane_due_ns(q, lane, now_ns);
		if (due_ns <= now_ns) {
			q->last = at;
			return pop_name(lane);
		}
		first_ns = due_ns < first_ns ? due_ns : first_ns;
	}
	if (first_ns != INT64_MAX)
		loop_timer_set(q->loop, &q->rest, first_ns);
	return NULL;
}

static void on_rested(struct loop_timer *timer)
{
	start_next(CONTAINER_OF(timer, struct crypto_queue, rest));
}

static void start_next(struct crypto_queue *q)
{
	struct list_node *node;
	while (!q->running && (node = pop_next(q))) {
		struct crypto_work *work = CONTAINER_OF(node, struct crypto_work, node);
		work->cost_ns = 0;
		work->job = (struct pool_job){.loop = q->loop, .run = job_run, .done = job_done};
		work->err = pool_submit(q->loop, &work->job);
		if (work->err == ERR_OK)
			q->running = true;
		else
			work->done(work);
	}
}

void crypto_queue_init(struct crypto_queue *q, struct loop *loop)
{
	*q =
	    (struct crypto_queue){.loop = loop, .burst_ns = CRYPTO_BURST_NS, .share = CRYPTO_SHARE};
	loop_timer_init(&q->rest, on_rested);
	for (size_t i = 0; i < CRYPTO_LANES * CRYPTO_NAMES; i++)
		list_init(&q->lanes[i / CRYPTO_NAMES].names[i % CRYPTO_NAMES]);
	for (size_t i = 0; i < CRYPTO_LANES; i++)
		q->lanes[i].left_ns = CRYPTO_BURST_NS;
}

void crypto_queue_release(struct crypto_queue *q)
{
	ASSERT(!q->running);
	loop_timer_cancel(q->loop, &q->rest);
}

/* Whoever has one IPv6 address has its /64. */
static size_t lane_of(struct str address)
{
	struct in6_addr v6;
	char text[INET6_ADDRSTRLEN];
	if (address.len < sizeof(text) && memchr(address.ptr, ':', address.len)) {
		memcpy(text, address.ptr, address.len);
		text[address.len] = '\0';
		if (inet_pton(AF_INET6, text, &v6) == 1)
			return map_hash(bytes_of(v6.s6_addr, 8)) % CRYPTO_LANES;
	}
	return map_hash(str_bytes(address)) % CRYPTO_LANES;
}

void crypto_submit(
    struct crypto_queue *q, struct str address, struct str name, struct crypto_work *work)
{
	struct crypto_lane *lane = &q->lanes[lane_of(address)];
	loop_assert_owner(q->loop);
	work->queue = q;
	work->err = ERR_OK;
	work->lane = lane;
	list_node_init(&work->node);
	list_push_back(&lane->names[map_hash(str_bytes(name)) % CRYPTO_NAMES], &work->node);
	start_next(q);
}

bool crypto_withdraw(struct crypto_work *work)
{
	if (!work->queue || !list_linked(&work->node))
		return false;
	list_remove(&work->node);
	return true;
}
