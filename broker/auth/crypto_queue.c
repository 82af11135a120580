/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/auth/crypto_queue.h"
#include <arpa/inet.h>

static void start_next(struct crypto_queue *q);

static void job_run(struct pool_job *job)
{
	struct crypto_work *work = CONTAINER_OF(job, struct crypto_work, job);
	work->run(work);
}

static void job_done(struct pool_job *job)
{
	struct crypto_work *work = CONTAINER_OF(job, struct crypto_work, job);
	struct crypto_queue *q = work->queue;
	q->running = false;
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

/* The first of the next lane in turn that is not empty; NULL: nobody waits. */
static struct list_node *pop_next(struct crypto_queue *q)
{
	for (uint32_t i = 1; i <= CRYPTO_LANES; i++) {
		uint32_t lane = (q->last + i) % CRYPTO_LANES;
		struct list_node *node = pop_name(&q->lanes[lane]);
		if (!node)
			continue;
		q->last = lane;
		return node;
	}
	return NULL;
}

static void start_next(struct crypto_queue *q)
{
	struct list_node *node;
	while (!q->running && (node = pop_next(q))) {
		struct crypto_work *work = CONTAINER_OF(node, struct crypto_work, node);
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
	*q = (struct crypto_queue){.loop = loop};
	for (size_t i = 0; i < CRYPTO_LANES * CRYPTO_NAMES; i++)
		list_init(&q->lanes[i / CRYPTO_NAMES].names[i % CRYPTO_NAMES]);
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
