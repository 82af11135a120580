/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/test.h"

#include "log/base/base.h"

#include <signal.h>
#include <stdio.h>
#include <time.h>

static void sleep_ms(int64_t ms)
{
	struct timespec ts = {0, ms * MS_NS};
	nanosleep(&ts, NULL);
}

struct worker {
	struct thread thread;
	struct mutex *mutex;
	struct cond *cond;
	struct shared_u64 *count;
	unsigned *plain; /* under the mutex */
	uint64_t self;
};

static void work(void *arg)
{
	struct worker *w = arg;
	w->self = thread_self();
	for (int i = 0; i < 10000; i++) {
		mutex_lock(w->mutex);
		++*w->plain;
		mutex_unlock(w->mutex);
		shared_add(w->count, 1);
	}
	mutex_lock(w->mutex);
	cond_broadcast(w->cond);
	mutex_unlock(w->mutex);
}

static void nothing_is_lost_between_threads_and_each_has_its_own_id(void **state)
{
	(void)state;
	struct mutex mutex;
	struct cond cond;
	struct shared_u64 count = {0};
	unsigned plain = 0;
	mutex_init(&mutex);
	cond_init(&cond);
	struct worker w[4];
	for (int i = 0; i < 4; i++) {
		w[i] = (struct worker){.mutex = &mutex, .cond = &cond, .count = &count,
		    .plain = &plain};
		assert_int_equal(thread_start(&w[i].thread, "a name that is too long", work, &w[i]),
		    ERR_OK);
	}
	mutex_lock(&mutex);
	while (plain < 40000)
		cond_wait(&cond, &mutex);
	mutex_unlock(&mutex);
	for (int i = 0; i < 4; i++) {
		thread_join(&w[i].thread);
		thread_join(&w[i].thread);
		assert_true(w[i].self != thread_self());
		for (int n = 0; n < i; n++)
			assert_true(w[i].self != w[n].self);
	}
	assert_int_equal(shared_load(&count), 40000);
	cond_release(&cond);
	mutex_release(&mutex);
}

static void look_at_mask(void *arg)
{
	sigset_t mask;
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	*(bool *)arg = sigismember(&mask, SIGTERM) && sigismember(&mask, SIGCHLD);
}

static void signals_are_blocked_in_threads_and_not_in_their_maker(void **state)
{
	(void)state;
	bool blocked = false, mine = true;
	struct thread t = {0};
	assert_int_equal(thread_start(&t, "mask", look_at_mask, &blocked), ERR_OK);
	thread_join(&t);
	look_at_mask(&mine);
	assert_true(blocked);
	assert_false(mine);
}

static void a_thread_without_memory_is_not_started(void **state)
{
	(void)state;
	struct thread t = {0};
	mem_fail_at(1);
	assert_int_equal(thread_start(&t, "x", look_at_mask, NULL), ERR_NOMEM);
	mem_fail_at(0);
	assert_false(t.started);
	thread_join(&t);
	err_clear();
}

static void open_soon(void *arg)
{
	sleep_ms(20);
	gate_open(arg);
}

static void a_gate_lets_pass_once_open_and_times_out_until_then(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		struct gate g;
		struct thread t = {0};
		gate_init(&g);
		assert_false(gate_is_open(&g));
		assert_false(gate_wait_for(&g, 0));
		assert_false(gate_wait_for(&g, 1 * MS_NS));
		assert_int_equal(thread_start(&t, "opener", open_soon, &g), ERR_OK);
		if (i % 2)
			gate_wait(&g);
		else
			assert_true(gate_wait_for(&g, INT64_MAX));
		assert_true(gate_is_open(&g));
		gate_wait(&g);
		assert_true(gate_wait_for(&g, 0));
		thread_join(&t);
		gate_release(&g);
	}
}

static void a_condition_times_out_after_its_time(void **state)
{
	(void)state;
	struct mutex m;
	struct cond c;
	mutex_init(&m);
	cond_init(&c);
	struct timespec a, b;
	clock_gettime(CLOCK_MONOTONIC, &a);
	mutex_lock(&m);
	while (cond_wait_for(&c, &m, 15 * MS_NS))
		;
	mutex_unlock(&m);
	clock_gettime(CLOCK_MONOTONIC, &b);
	assert_true((b.tv_sec - a.tv_sec) * S_NS + b.tv_nsec - a.tv_nsec >= 14 * MS_NS);
	cond_release(&c);
	mutex_release(&m);
}

/* ---- metrics ---- */

static void a_histogram_is_right_within_a_quarter(void **state)
{
	(void)state;
	metrics_reset();
	assert_int_equal(metric_quantile_ns(METRIC_FSYNC, 0.5), 0);
	for (int64_t ns = 1; ns <= 100000; ns++)
		metric_observe_ns(METRIC_FSYNC, ns);
	assert_int_equal(metric_value(METRIC_FSYNC), 100000);
	assert_int_equal(metric_max_ns(METRIC_FSYNC), 100000);
	for (int percent = 1; percent <= 100; percent++) {
		int64_t exact = percent * 1000;
		int64_t q = metric_quantile_ns(METRIC_FSYNC, percent / 100.0);
		assert_true(q >= exact && q <= exact + exact / 4 + 1);
	}
	metrics_reset();
	metric_observe_ns(METRIC_FSYNC, -5);
	metric_observe_ns(METRIC_FSYNC, INT64_MAX);
	assert_int_equal(metric_quantile_ns(METRIC_FSYNC, 0.1), 0);
	assert_true(metric_max_ns(METRIC_FSYNC) == INT64_MAX);
	metrics_reset();
}

static void collect(void *ctx, struct writer *out)
{
	const struct str labels[][2] = {{STR("topic"), STR("a\"b\\c\nd")}, {STR("p"), STR("0")}};
	metrics_sample(out, "kappa_test", labels, 2, *(double *)ctx);
}

static bool contains(struct writer *w, const char *text)
{
	write_u8(w, 0);
	bool found = w->err == ERR_OK && strstr((const char *)w->ptr, text);
	w->len--;
	return found;
}

static void the_exposition_has_types_buckets_and_collected_samples(void **state)
{
	(void)state;
	metrics_reset();
	metric_add(METRIC_APPENDS, 7);
	metric_set(METRIC_CONNECTIONS, -3);
	metric_observe_ns(METRIC_FSYNC, 1500);
	metric_observe_ns(METRIC_FSYNC, 3 * S_NS);
	double value = 2.5;
	metric_collector_add(collect, &value);
	struct writer w;
	writer_init(&w, 1 << 20);
	metrics_write(&w);
	assert_true(contains(&w,
	    "# TYPE kappa_append_batches_total counter\nkappa_append_batches_total 7\n"));
	assert_true(contains(&w, "kappa_connections -3\n"));
	assert_true(contains(&w, "kappa_fsync_seconds_bucket{le=\"1.024e-06\"} 0\n"));
	assert_true(contains(&w, "kappa_fsync_seconds_bucket{le=\"2.048e-06\"} 1\n"));
	assert_true(contains(&w, "kappa_fsync_seconds_bucket{le=\"+Inf\"} 2\n"));
	assert_true(contains(&w,
	    "kappa_fsync_seconds_sum 3.000001500\nkappa_fsync_seconds_count 2\n"));
	assert_true(contains(&w, "kappa_test{topic=\"a\\\"b\\\\c\\nd\",p=\"0\"} 2.5\n"));
	metric_collector_remove(collect, &value);
	writer_clear(&w);
	metrics_write(&w);
	assert_false(contains(&w, "kappa_test{"));
	writer_release(&w);
	metrics_reset();
}

static void sample_values_print_as_prometheus_reads_them(void **state)
{
	(void)state;
	struct writer w;
	writer_init(&w, 1000);
	metrics_sample(&w, "a", NULL, 0, 5);
	metrics_sample(&w, "b", NULL, 0, 0.1);
	metrics_sample(&w, "c", NULL, 0, __builtin_nan(""));
	metrics_sample(&w, "d", NULL, 0, -__builtin_inf());
	metrics_sample(&w, "e", NULL, 0, 1e300);
	assert_true(contains(&w, "a 5\nb 0.1\n"));
	assert_true(contains(&w, "\nc NaN\nd -Inf\ne 1e+300\n"));
	writer_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_lost_between_threads_and_each_has_its_own_id),
	    cmocka_unit_test(signals_are_blocked_in_threads_and_not_in_their_maker),
	    cmocka_unit_test(a_thread_without_memory_is_not_started),
	    cmocka_unit_test(a_gate_lets_pass_once_open_and_times_out_until_then),
	    cmocka_unit_test(a_condition_times_out_after_its_time),
	    cmocka_unit_test(a_histogram_is_right_within_a_quarter),
	    cmocka_unit_test(the_exposition_has_types_buckets_and_collected_samples),
	    cmocka_unit_test(sample_values_print_as_prometheus_reads_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
