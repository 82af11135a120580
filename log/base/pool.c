/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue and threads that start when work comes and none is idle. A job is linked through its mail
 * until it runs, then the mail carries it back to the loop.
 */
#include "pool.h"

#include "limits.h"
#include "mem.h"

enum { POOL_THREADS_MAX = 64 };

struct pool {
	struct loop *loop;
	unsigned threads_max;
	unsigned threads_started;
	struct thread threads[POOL_THREADS_MAX];

	struct mutex mutex; /* covers what follows */
	struct cond work;
	struct mail *head;
	struct mail **tail;
	size_t count;
	unsigned idle;
	bool stop;
};

static void post_done(struct mail *mail)
{
	struct pool_job *job = CONTAINER_OF(mail, struct pool_job, mail);
	job->done(job);
}

static void run_job(struct pool *pool, struct pool_job *job)
{
	job->run(job);
	job->mail.run = post_done;
	loop_post(pool->loop, &job->mail);
}

/* With the lock held. */
static struct pool_job *pop(struct pool *pool)
{
	struct mail *mail = pool->head;
	if (!mail)
		return NULL;
	pool->head = mail->next;
	if (!pool->head)
		pool->tail = &pool->head;
	pool->count--;
	return CONTAINER_OF(mail, struct pool_job, mail);
}

static void serve(void *arg)
{
	struct pool *pool = arg;
	mutex_lock(&pool->mutex);
	for (;;) {
		struct pool_job *job = pop(pool);
		if (job) {
			mutex_unlock(&pool->mutex);
			run_job(pool, job);
			err_clear();
			mutex_lock(&pool->mutex);
			continue;
		}
		if (pool->stop)
			break;
		pool->idle++;
		cond_wait(&pool->work, &pool->mutex);
		pool->idle--;
	}
	mutex_unlock(&pool->mutex);
}

enum err pool_new(struct loop *loop, unsigned threads_max, struct pool **ret_pool)
{
	struct pool *pool = mem_calloc(1, sizeof(*pool));
	if (!pool)
		return err_note(ERR_NOMEM, "service pool");
	pool->loop = loop;
	pool->threads_max = threads_max < POOL_THREADS_MAX ? threads_max : POOL_THREADS_MAX;
	pool->tail = &pool->head;
	mutex_init(&pool->mutex);
	cond_init(&pool->work);
	*ret_pool = pool;
	return ERR_OK;
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	mutex_lock(&pool->mutex);
	pool->stop = true;
	cond_broadcast(&pool->work);
	mutex_unlock(&pool->mutex);
	for (unsigned i = 0; i < pool->threads_started; i++)
		thread_join(&pool->threads[i]);
	while (pool_has_inline(pool))
		pool_run_inline(pool);
	cond_release(&pool->work);
	mutex_release(&pool->mutex);
	mem_free(pool);
}

enum err pool_add(struct pool *pool, struct pool_job *job)
{
	mutex_lock(&pool->mutex);
	bool full = pool->count >= POOL_QUEUE_MAX;
	bool more = pool->threads_started < pool->threads_max && pool->idle <= pool->count;
	mutex_unlock(&pool->mutex);
	if (full)
		return err_note(
		    ERR_LIMIT, "service pool: %d jobs wait already", (int)POOL_QUEUE_MAX);
	if (more) {
		struct thread *t = &pool->threads[pool->threads_started];
		size_t mark = err_mark();
		enum err e = thread_start(t, "kappa-pool", serve, pool);
		if (e != ERR_OK && pool->threads_started == 0)
			return e;
		/* fewer threads are slower, not wrong */
		if (e != ERR_OK)
			err_rewind(mark);
		else
			pool->threads_started++;
	}
	mutex_lock(&pool->mutex);
	job->mail.next = NULL;
	*pool->tail = &job->mail;
	pool->tail = &job->mail.next;
	pool->count++;
	cond_signal(&pool->work);
	mutex_unlock(&pool->mutex);
	return ERR_OK;
}

bool pool_has_inline(const struct pool *pool)
{
	return pool->threads_max == 0 && pool->head;
}

void pool_run_inline(struct pool *pool)
{
	if (pool->threads_max > 0)
		return;
	for (size_t left = pool->count; left > 0; left--) {
		struct pool_job *job = pop(pool);
		if (!job)
			break;
		run_job(pool, job);
	}
}
