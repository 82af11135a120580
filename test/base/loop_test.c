/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"

#include "log/base/base.h"
#include "test/lib/seed.h"
#include "test/lib/patience.h"

#include <signal.h>
#include <time.h>

static const char *backend;

struct fixture {
	struct io *io;
	struct loop *loop;
	struct thread thread;
};

static int open_loop(struct fixture *f, unsigned pool_threads)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(io_new(backend, &f->io), ERR_OK);
	assert_int_equal(loop_new(f->io, pool_threads, &f->loop), ERR_OK);
	return 0;
}

static void run_loop(void *arg)
{
	struct fixture *f = arg;
	ASSERT(loop_run(f->loop) == ERR_OK);
}

static void start_loop(struct fixture *f, unsigned pool_threads)
{
	open_loop(f, pool_threads);
	loop_disown(f->loop);
	assert_int_equal(thread_start(&f->thread, "loop", run_loop, f), ERR_OK);
}

static void close_loop(struct fixture *f)
{
	if (f->thread.started) {
		loop_stop(f->loop);
		thread_join(&f->thread);
		loop_own(f->loop);
	}
	loop_free(f->loop);
	io_free(f->io);
}

/* ---- mail ---- */

enum { POSTERS = 6, LETTERS = 5000 };
struct letter {
	struct mail mail;
	struct poster *poster;
	unsigned number;
};
struct poster {
	struct fixture *f;
	struct letter *letters;
	struct thread thread;
	unsigned next; /* loop's: the number expected next */
	struct gate done;
};

static void receive(struct mail *mail)
{
	struct letter *letter = CONTAINER_OF(mail, struct letter, mail);
	loop_assert_owner(letter->poster->f->loop);
	ASSERT(letter->number == letter->poster->next);
	if (++letter->poster->next == LETTERS)
		gate_open(&letter->poster->done);
}

static void post_all(void *arg)
{
	struct poster *p = arg;
	for (unsigned i = 0; i < LETTERS; i++) {
		p->letters[i] = (struct letter){.mail.run = receive, .poster = p, .number = i};
		loop_post(p->f->loop, &p->letters[i].mail);
	}
}

static void mail_of_many_threads_arrives_once_and_in_order_per_thread(void **state)
{
	(void)state;
	struct fixture f;
	start_loop(&f, 0);
	static struct poster posters[POSTERS];
	for (int i = 0; i < POSTERS; i++) {
		struct poster *p = &posters[i];
		*p = (struct poster){.f = &f};
		p->letters = mem_calloc(LETTERS, sizeof(*p->letters));
		assert_non_null(p->letters);
		gate_init(&p->done);
		assert_int_equal(thread_start(&p->thread, "poster", post_all, p), ERR_OK);
	}
	for (int i = 0; i < POSTERS; i++) {
		loop_wait(f.loop, &posters[i].done);
		thread_join(&posters[i].thread);
		gate_release(&posters[i].done);
		assert_int_equal(posters[i].next, LETTERS);
		mem_free(posters[i].letters);
	}
	close_loop(&f);
}

static void increment(void *arg)
{
	++*(unsigned *)arg;
}

static void a_call_has_run_when_it_returns_from_either_side(void **state)
{
	(void)state;
	struct fixture f;
	start_loop(&f, 0);
	unsigned count = 0;
	for (unsigned i = 0; i < 2000; i++) {
		loop_call(f.loop, increment, &count);
		assert_int_equal(count, i + 1);
	}
	close_loop(&f);
	open_loop(&f, 0);
	loop_call(f.loop, increment, &count);
	assert_int_equal(count, 2001);
	close_loop(&f);
}

struct note {
	struct mail mail;
	struct fixture *f;
	char name;
	int left; /* times to post or defer itself again */
};
static char notes[64];
static size_t note_count;

static void jot(struct mail *mail)
{
	struct note *n = CONTAINER_OF(mail, struct note, mail);
	notes[note_count++] = n->name;
	if (n->left-- > 0)
		n->name == 'd' ? loop_defer(n->f->loop, mail) : loop_post(n->f->loop, mail);
}

static void deferred_mail_runs_after_posted_mail_and_once_per_turn(void **state)
{
	(void)state;
	struct fixture f;
	open_loop(&f, 0);
	note_count = 0;
	memset(notes, 0, sizeof(notes));
	struct note d = {{NULL, jot}, &f, 'd', 2}, p = {{NULL, jot}, &f, 'p', 1};
	loop_defer(f.loop, &d.mail);
	loop_post(f.loop, &p.mail);
	/* what is queued keeps the loop from waiting, however long it may */
	assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	assert_string_equal(notes, "pd");
	assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	assert_string_equal(notes, "pdpd");
	assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	assert_string_equal(notes, "pdpdd");
	close_loop(&f);
}

static void a_loop_may_move_to_another_thread_and_back(void **state)
{
	(void)state;
	struct fixture f;
	unsigned count = 0;
	open_loop(&f, 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(loop_step(f.loop, 0), ERR_OK);
		loop_disown(f.loop);
		assert_false(loop_is_owner(f.loop));
		assert_int_equal(thread_start(&f.thread, "loop", run_loop, &f), ERR_OK);
		loop_call(f.loop, increment, &count);
		loop_stop(f.loop);
		thread_join(&f.thread);
		loop_own(f.loop);
		/* whatever ended with the thread, a wake must still come through */
		io_wake(f.io);
		assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	}
	assert_int_equal(count, 3);
	close_loop(&f);
}

static void mail_left_at_the_end_still_runs(void **state)
{
	(void)state;
	struct fixture f;
	open_loop(&f, 0);
	note_count = 0;
	memset(notes, 0, sizeof(notes));
	struct note d = {{NULL, jot}, &f, 'd', 0}, p = {{NULL, jot}, &f, 'p', 1};
	loop_defer(f.loop, &d.mail);
	loop_post(f.loop, &p.mail);
	close_loop(&f);
	assert_string_equal(notes, "pdp");
}

/* ---- stop ---- */

static struct loop *signalled;
static void on_signal(int number)
{
	(void)number;
	loop_stop(signalled);
}

static void a_signal_handler_stops_an_idle_loop(void **state)
{
	(void)state;
#ifdef __SANITIZE_THREAD__
	/*
	 * the sanitizer delays handlers to the next libc call it knows, and the ring waits without
	 * one
	 */
	if (strcmp(backend, "uring") == 0)
		skip();
#endif
	struct fixture f;
	open_loop(&f, 0);
	signalled = f.loop;
	struct sigaction sa = {.sa_handler = on_signal}, old;
	sigaction(SIGALRM, &sa, &old);
	struct itimerspec in_20_ms = {.it_value.tv_nsec = 20 * MS_NS};
	timer_t timer;
	assert_int_equal(timer_create(CLOCK_MONOTONIC, NULL, &timer), 0);
	assert_int_equal(timer_settime(timer, 0, &in_20_ms, NULL), 0);
	assert_int_equal(loop_run(f.loop), ERR_OK);
	timer_delete(timer);
	sigaction(SIGALRM, &old, NULL);
	close_loop(&f);
}

static void a_stop_before_the_run_is_not_lost(void **state)
{
	(void)state;
	struct fixture f;
	open_loop(&f, 0);
	loop_stop(f.loop);
	assert_int_equal(loop_run(f.loop), ERR_OK);
	close_loop(&f);
}

static void an_idle_loop_uses_no_cpu(void **state)
{
	(void)state;
	struct fixture f;
	start_loop(&f, 2);
	struct timespec before, after;
	uint64_t turns = metric_value(METRIC_LOOP_STALL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	io_sleep_ns(f.io, 200 * MS_NS);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	int64_t used = (after.tv_sec - before.tv_sec) * S_NS + after.tv_nsec - before.tv_nsec;
	assert_true(used < 20 * MS_NS);
	assert_true(metric_value(METRIC_LOOP_STALL) - turns <= 2);
	close_loop(&f);
}

/* ---- timers ---- */

struct tick {
	struct loop_timer timer;
	struct loop *loop;
	int fired;
	int64_t at_ns;
};

static void on_tick(struct loop_timer *timer)
{
	struct tick *t = CONTAINER_OF(timer, struct tick, timer);
	assert_false(loop_timer_is_set(timer));
	t->fired++;
	t->at_ns = loop_now_ns(t->loop);
}

/* How late. */
static int64_t fire_a_timer(void)
{
	struct fixture f;
	open_loop(&f, 0);
	struct tick t = {.loop = f.loop};
	loop_timer_init(&t.timer, on_tick);
	int64_t due = io_clock_ns(f.io, IO_CLOCK_MONOTONIC) + 15 * MS_NS;
	loop_timer_set(f.loop, &t.timer, due);
	while (!t.fired)
		assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	assert_true(t.at_ns >= due);
	assert_int_equal(loop_step(f.loop, 5 * MS_NS), ERR_OK);
	assert_int_equal(t.fired, 1);
	close_loop(&f);
	return t.at_ns - due;
}

static void a_timer_fires_once_and_not_before_it_is_due(void **state)
{
	(void)state;
	assert_true(best_of(20, 500 * MS_NS, fire_a_timer) < 500 * MS_NS);
}

static void a_moved_timer_fires_at_its_last_time_and_a_cancelled_one_never(void **state)
{
	(void)state;
	struct fixture f;
	open_loop(&f, 0);
	struct tick moved = {.loop = f.loop}, cancelled = {.loop = f.loop};
	loop_timer_init(&moved.timer, on_tick);
	loop_timer_init(&cancelled.timer, on_tick);
	int64_t now = io_clock_ns(f.io, IO_CLOCK_MONOTONIC);
	loop_timer_set(f.loop, &moved.timer, now);
	loop_timer_set(f.loop, &cancelled.timer, now);
	loop_timer_set(f.loop, &moved.timer, now + 10 * MS_NS);
	loop_timer_cancel(f.loop, &cancelled.timer);
	loop_timer_cancel(f.loop, &cancelled.timer);
	assert_int_equal(loop_step(f.loop, 0), ERR_OK);
	assert_int_equal(moved.fired, 0);
	while (!moved.fired)
		assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	assert_true(moved.at_ns >= now + 10 * MS_NS);
	assert_int_equal(cancelled.fired, 0);
	close_loop(&f);
}

static void on_restless_tick(struct loop_timer *timer)
{
	struct tick *t = CONTAINER_OF(timer, struct tick, timer);
	t->fired++;
	loop_timer_set(t->loop, timer, 0);
}

static void a_timer_that_sets_itself_for_now_fires_once_per_turn(void **state)
{
	(void)state;
	struct fixture f;
	open_loop(&f, 0);
	struct tick t = {.loop = f.loop};
	loop_timer_init(&t.timer, on_restless_tick);
	loop_timer_set(f.loop, &t.timer, 0);
	for (int i = 1; i <= 3; i++) {
		assert_int_equal(loop_step(f.loop, -1), ERR_OK);
		assert_int_equal(t.fired, i);
	}
	loop_timer_cancel(f.loop, &t.timer);
	close_loop(&f);
}

enum { TICKS = 3000 };
static struct tick ticks[TICKS];
static size_t tick_order[TICKS];
static size_t tick_count;

static void on_ordered_tick(struct loop_timer *timer)
{
	tick_order[tick_count++] = (size_t)(CONTAINER_OF(timer, struct tick, timer) - ticks);
}

static void timers_fire_by_due_time_then_by_order_of_setting(void **state)
{
	(void)state;
	struct fixture f;
	open_loop(&f, 0);
	struct prng p;
	prng_init(&p, test_seed(7));
	static uint64_t set_at[TICKS];
	bool set[TICKS] = {false};
	uint64_t order = 0;
	for (int i = 0; i < TICKS; i++)
		loop_timer_init(&ticks[i].timer, on_ordered_tick);
	for (int n = 0; n < 20000; n++) {
		size_t i = prng_below(&p, TICKS);
		set[i] = prng_below(&p, 4) != 0;
		set_at[i] = ++order;
		if (set[i])
			loop_timer_set(f.loop, &ticks[i].timer, (int64_t)prng_below(&p, 50));
		else
			loop_timer_cancel(f.loop, &ticks[i].timer);
	}
	tick_count = 0;
	assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	size_t expected = 0;
	for (int i = 0; i < TICKS; i++)
		expected += set[i];
	assert_int_equal(tick_count, expected);
	for (size_t i = 1; i < tick_count; i++) {
		size_t a = tick_order[i - 1], b = tick_order[i];
		int64_t due_a = ticks[a].timer.due_ns, due_b = ticks[b].timer.due_ns;
		assert_true(due_a < due_b || (due_a == due_b && set_at[a] < set_at[b]));
	}
	close_loop(&f);
}

/* ---- pool ---- */

struct job {
	struct pool_job job;
	struct fixture *f;
	struct gate *go; /* waited for in run, if set */
	uint64_t ran_on;
	unsigned *done_count;
	struct gate *all_done; /* opened by the job numbered last */
	unsigned last;
};

static void job_run(struct pool_job *job)
{
	struct job *j = CONTAINER_OF(job, struct job, job);
	if (j->go)
		gate_wait(j->go);
	j->ran_on = thread_self();
}

static void job_done(struct pool_job *job)
{
	struct job *j = CONTAINER_OF(job, struct job, job);
	loop_assert_owner(j->f->loop);
	ASSERT(j->ran_on != 0);
	if (++*j->done_count == j->last)
		gate_open(j->all_done);
}

struct batch {
	struct fixture f;
	struct job jobs[200];
	unsigned done_count;
	struct gate all_done;
};

static void submit_batch(void *arg)
{
	struct batch *b = arg;
	for (unsigned i = 0; i < 200; i++) {
		b->jobs[i] = (struct job){.job.run = job_run,
		    .job.done = job_done,
		    .f = &b->f,
		    .done_count = &b->done_count,
		    .all_done = &b->all_done,
		    .last = 200};
		ASSERT(pool_submit(b->f.loop, &b->jobs[i].job) == ERR_OK);
	}
}

static void note_thread(void *arg)
{
	*(uint64_t *)arg = thread_self();
}

static void pool_jobs_run_elsewhere_and_finish_on_the_loop(void **state)
{
	(void)state;
	static struct batch b;
	start_loop(&b.f, 3);
	gate_init(&b.all_done);
	b.done_count = 0;
	loop_call(b.f.loop, submit_batch, &b);
	assert_true(gate_wait_for(&b.all_done, PATIENCE_NS));
	gate_release(&b.all_done);
	uint64_t loop_thread = 0;
	loop_call(b.f.loop, note_thread, &loop_thread);
	close_loop(&b.f);
	for (unsigned i = 0; i < 200; i++) {
		assert_true(b.jobs[i].ran_on != loop_thread);
		assert_true(b.jobs[i].ran_on != thread_self());
	}
}

static void without_threads_jobs_run_in_the_turn(void **state)
{
	(void)state;
	static struct batch b;
	open_loop(&b.f, 0);
	gate_init(&b.all_done);
	b.done_count = 0;
	submit_batch(&b);
	loop_wait(b.f.loop, &b.all_done);
	assert_int_equal(b.done_count, 200);
	for (unsigned i = 0; i < 200; i++)
		assert_true(b.jobs[i].ran_on == thread_self());
	gate_release(&b.all_done);
	close_loop(&b.f);
}

static void jobs_block_in_parallel(void **state)
{
	(void)state;
	/* three jobs wait for one gate, a fourth opens it: they must all be running */
	struct fixture f;
	open_loop(&f, 4);
	struct gate go, all_done;
	gate_init(&go);
	gate_init(&all_done);
	unsigned done = 0;
	struct job jobs[4];
	for (unsigned i = 0; i < 4; i++) {
		jobs[i] = (struct job){.job.run = job_run,
		    .job.done = job_done,
		    .f = &f,
		    .go = i < 3 ? &go : NULL,
		    .done_count = &done,
		    .all_done = &all_done,
		    .last = 4};
		assert_int_equal(pool_submit(f.loop, &jobs[i].job), ERR_OK);
	}
	while (done == 0)
		assert_int_equal(loop_step(f.loop, -1), ERR_OK);
	assert_int_equal(done, 1);
	gate_open(&go);
	loop_wait(f.loop, &all_done);
	close_loop(&f);
	gate_release(&go);
	gate_release(&all_done);
}

static void a_full_pool_refuses_and_freeing_finishes_what_is_queued(void **state)
{
	(void)state;
	struct fixture f;
	open_loop(&f, 1);
	struct gate go, all_done;
	gate_init(&go);
	gate_init(&all_done);
	unsigned done = 0;
	size_t count = POOL_QUEUE_MAX + 2;
	struct job *jobs = mem_calloc(count, sizeof(*jobs));
	assert_non_null(jobs);
	unsigned accepted = 0;
	enum err e = ERR_OK;
	while (accepted < count) {
		jobs[accepted] = (struct job){.job.run = job_run,
		    .job.done = job_done,
		    .f = &f,
		    .go = &go,
		    .done_count = &done,
		    .all_done = &all_done};
		e = pool_submit(f.loop, &jobs[accepted].job);
		if (e != ERR_OK)
			break;
		accepted++;
	}
	assert_int_equal(e, ERR_LIMIT);
	assert_true(accepted >= POOL_QUEUE_MAX);
	err_clear();
	gate_open(&go);
	close_loop(&f);
	assert_int_equal(done, accepted);
	mem_free(jobs);
	gate_release(&go);
	gate_release(&all_done);
}

static void loops_without_memory_are_not_made(void **state)
{
	(void)state;
	struct io *io;
	assert_int_equal(io_new(backend, &io), ERR_OK);
	unsigned failed = 0;
	for (uint64_t nth = 1;; nth++) {
		struct loop *loop = NULL;
		mem_fail_at(nth);
		enum err e = loop_new(io, 0, &loop);
		mem_fail_at(0);
		if (e == ERR_OK) {
			loop_free(loop);
			break;
		}
		assert_int_equal(e, ERR_NOMEM);
		assert_null(loop);
		failed++;
	}
	assert_true(failed >= 2);
	err_clear();
	io_free(io);
	loop_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mail_of_many_threads_arrives_once_and_in_order_per_thread),
	    cmocka_unit_test(a_call_has_run_when_it_returns_from_either_side),
	    cmocka_unit_test(deferred_mail_runs_after_posted_mail_and_once_per_turn),
	    cmocka_unit_test(a_loop_may_move_to_another_thread_and_back),
	    cmocka_unit_test(mail_left_at_the_end_still_runs),
	    cmocka_unit_test(a_signal_handler_stops_an_idle_loop),
	    cmocka_unit_test(a_stop_before_the_run_is_not_lost),
	    cmocka_unit_test(an_idle_loop_uses_no_cpu),
	    cmocka_unit_test(a_timer_fires_once_and_not_before_it_is_due),
	    cmocka_unit_test(a_moved_timer_fires_at_its_last_time_and_a_cancelled_one_never),
	    cmocka_unit_test(a_timer_that_sets_itself_for_now_fires_once_per_turn),
	    cmocka_unit_test(timers_fire_by_due_time_then_by_order_of_setting),
	    cmocka_unit_test(pool_jobs_run_elsewhere_and_finish_on_the_loop),
	    cmocka_unit_test(without_threads_jobs_run_in_the_turn),
	    cmocka_unit_test(jobs_block_in_parallel),
	    cmocka_unit_test(a_full_pool_refuses_and_freeing_finishes_what_is_queued),
	    cmocka_unit_test(loops_without_memory_are_not_made),
	};
	backend = "threads";
	int failed = cmocka_run_group_tests_name("threads", tests, NULL, NULL);
	struct io *io;
	if (io_new("uring", &io) != ERR_OK)
		return failed;
	io_free(io);
	backend = "uring";
	return failed + cmocka_run_group_tests_name("uring", tests, NULL, NULL);
}
