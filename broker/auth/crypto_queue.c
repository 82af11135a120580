/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/auth/crypto_queue.h"

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

static void start_next(struct crypto_queue *q)
{
	struct list_node *node;
	while (!q->running && (node = list_pop_front(&q->waiting))) {
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
	list_init(&q->waiting);
}

void crypto_submit(struct crypto_queue *q, struct crypto_work *work)
{
	loop_assert_owner(q->loop);
	work->queue = q;
	work->err = ERR_OK;
	list_node_init(&work->node);
	list_push_back(&q->waiting, &work->node);
	start_next(q);
}

bool crypto_withdraw(struct crypto_work *work)
{
	if (!work->queue || !list_linked(&work->node))
		return false;
	list_remove(&work->node);
	return true;
}
