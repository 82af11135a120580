/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of logins and handshakes: addresses and names take turns, and an address that has had
 * its share of the processor rests. What counts here is who is done, not when.
 */
#include "broker/auth/crypto_queue.h"
#include "test/lib/log_server.h"
#include "test/lib/patience.h"
#include <stdio.h>

enum { MANY = 20, OTHERS = 10 };

static struct log_server s; /* for its loop and pool */
static struct crypto_queue q;
static int order[2 * MANY + OTHERS], done_count; /* works in the order in which they ended */

struct work {
	struct crypto_work crypto;
	int number;
	bool done;
};
static struct work guess[MANY], other[OTHERS];

static int setup(void **state)
{
	(void)state;
	map_set_seed(1); /* these addresses have lanes of their own then */
	log_server_init(&s);
	crypto_queue_init(&q, s.loop);
	memset(guess, 0, sizeof(guess));
	memset(other, 0, sizeof(other));
	done_count = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	crypto_queue_release(&q);
	log_server_release(&s);
	return 0;
}

static void run(struct crypto_work *work)
{
	(void)work;
}

static void done(struct crypto_work *work)
{
	struct work *w = CONTAINER_OF(work, struct work, crypto);
	assert_int_equal(work->err, ERR_OK);
	assert_true(work->cost_ns > 0);
	w->done = true;
	order[done_count++] = w->number;
}

static void submit(struct work *w, int number, const char *address, const char *name)
{
	w->number = number;
	w->crypto.run = run;
	w->crypto.done = done;
	crypto_submit(&q, str_of(address), str_of(name), &w->crypto);
}

/* Many names from one address, then one each from others. */
static void submit_all(void)
{
	for (int i = 0; i < MANY; i++) {
		char name[16];
		snprintf(name, sizeof(name), "name%d", i);
		submit(&guess[i], i, "10.0.0.1", name);
	}
	for (int i = 0; i < OTHERS; i++) {
		char address[32];
		snprintf(address, sizeof(address), "10.0.1.%d", i);
		submit(&other[i], MANY + i, address, "alice");
	}
}

static bool others_are_done(void)
{
	for (int i = 0; i < OTHERS; i++) {
		if (!other[i].done)
			return false;
	}
	return true;
}

static int guesses_done(void)
{
	int count = 0;
	for (int i = 0; i < MANY; i++)
		count += guess[i].done;
	return count;
}

static void turn_until(bool (*over)(void))
{
	for (int i = 0; i < PATIENCE_MS && !over(); i++)
		assert_int_equal(loop_step(s.loop, MS_NS), ERR_OK);
	assert_true(over());
}

static bool all_are_done(void)
{
	return done_count == MANY + OTHERS;
}

static void an_address_waits_for_one_piece_of_another(void **state)
{
	(void)state;
	submit_all();
	turn_until(all_are_done);
	/* one was at work already when the others came, and one has its turn among them */
	int before = 0;
	for (int i = 0; i < done_count; i++) {
		if (order[i] < MANY) {
			before++;
			continue;
		}
		assert_true(before <= 2);
	}
}

/* However many names it guesses at: no more of the processor than its share. */
static void an_address_over_its_share_rests(void **state)
{
	(void)state;
	q.burst_ns = 1;
	q.share = 1000 * S_NS; /* next to nothing comes back */
	for (size_t i = 0; i < CRYPTO_LANES; i++)
		q.lanes[i].left_ns = q.burst_ns;
	submit_all();
	turn_until(others_are_done);
	for (int i = 0; i < 100; i++)
		assert_int_equal(loop_step(s.loop, 0), ERR_OK);
	assert_int_equal(guesses_done(), 1); /* what took more than was left */
	/* who leaves is not waited for */
	assert_true(crypto_withdraw(&guess[MANY - 1].crypto));
	assert_false(crypto_withdraw(&guess[MANY - 1].crypto));
	done_count++;
	/* time comes back: the rest is done without anybody asking */
	loop_timer_cancel(s.loop, &q.rest);
	q.share = 1;
	for (size_t i = 0; i < CRYPTO_LANES; i++)
		q.lanes[i].at_ns = loop_now_ns(s.loop);
	submit(&other[0], MANY, "10.0.1.0", "alice");
	done_count--;
	turn_until(all_are_done);
	assert_int_equal(guesses_done(), MANY - 1);
}

static void what_has_rested_may_come_at_once_and_no_more(void **state)
{
	(void)state;
	struct crypto_lane *lane;
	submit(&other[0], 0, "10.0.1.0", "alice");
	lane = other[0].crypto.lane;
	while (!other[0].done)
		assert_int_equal(loop_step(s.loop, MS_NS), ERR_OK);
	assert_true(lane->left_ns < CRYPTO_BURST_NS);
	lane->left_ns = -S_NS;
	lane->at_ns = loop_now_ns(s.loop) - 3600 * S_NS; /* long ago */
	other[0].done = false;
	submit(&other[0], 0, "10.0.1.0", "alice");
	while (!other[0].done)
		assert_int_equal(loop_step(s.loop, MS_NS), ERR_OK);
	assert_true(lane->left_ns < CRYPTO_BURST_NS && lane->left_ns > -S_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(
	        an_address_waits_for_one_piece_of_another, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_address_over_its_share_rests, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        what_has_rested_may_come_at_once_and_no_more, setup, teardown),
	};
	return cmocka_run_group_tests_name("crypto_queue", tests, NULL, NULL);
}
