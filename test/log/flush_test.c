/* SPDX-License-Identifier: Apache-2.0 */
/* When topics that need not wait do: flush.messages. */
#include "log/engine.h"
#include "test/lib/keyed_log.h"

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

enum { ROUNDS = 40 };
static struct keyed_log k;
static uint64_t not_durable; /* what the metric has shown, added up */

static int setup(void **state)
{
	(void)state;
	keyed_init(&k, 11, false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	keyed_release(&k);
	err_clear();
	return 0;
}

struct one {
	struct log_append req; /* first */
	bool done, durable;
};

static void on_done(struct log_append *req)
{
	struct one *o = (struct one *)req;
	assert_int_equal(req->err, ERR_OK);
	o->durable = req->sequence <= k.log->durable_sequence;
	o->done = true;
}

/* Was the record durable when it was acknowledged? Waits for the end of its round, and for no
 * checkpoint: what follows one waits in any case. */
static bool waits(void)
{
	struct batch_builder b;
	struct writer out;
	batch_builder_init(&b, BATCH_NONE);
	writer_init(&out, MIB);
	assert_ok(batch_builder_add(&b, 1, bytes_of("k", 1), bytes_of("v", 1), NULL, 0));
	assert_ok(batch_builder_finish(&b, &out));
	batch_builder_release(&b);
	struct one o = {.req = {.partition = keyed_partition(&k, "t"),
	                    .batch = out.ptr,
	                    .batch_len = out.len,
	                    .done = on_done}};
	struct log_append *req = &o.req;
	log_append(k.log, &req, 1, false);
	while (!o.done)
		keyed_turn(&k);
	const struct log_partition *p = keyed_partition(&k, "t");
	assert_int_equal(metric_value(METRIC_NOT_DURABLE), p->visible_end - p->durable_end);
	not_durable += metric_value(METRIC_NOT_DURABLE);
	while (!rounds_idle(&k.log->rounds))
		keyed_turn(&k);
	assert_int_equal(metric_value(METRIC_NOT_DURABLE), 0);
	writer_release(&out);
	return o.durable;
}

static void create(const char *durability, const char *flush)
{
	const char *const configs[] = {durability, flush, NULL};
	keyed_create(&k, "t", 1 << 20, configs);
	(void)waits(); /* reserves sequences: this one waits in any case */
}

/* The simulated disk ends the segment's write before the entry's, or behind it, as it draws. */
static int waited(void)
{
	int count = 0;
	for (int i = 0; i < ROUNDS; i++)
		count += waits();
	return count;
}

static void nobody_waits_who_has_opted_out(void **state)
{
	(void)state;
	create("kappa.durability=none", NULL);
	not_durable = 0;
	assert_true(waited() < ROUNDS);
	assert_true(not_durable > 0);
}

static void one_message_is_flushed_before_its_answer(void **state)
{
	(void)state;
	create("kappa.durability=none", "flush.messages=1");
	assert_int_equal(waited(), ROUNDS);
}

static void interval_obeys_too(void **state)
{
	(void)state;
	create("kappa.durability=interval", "flush.messages=1");
	assert_int_equal(waited(), ROUNDS);
}

/* What was durable meanwhile does not count: each of these is the first of its round. */
static void fewer_than_that_do_not_wait(void **state)
{
	(void)state;
	create("kappa.durability=interval", "flush.messages=2");
	assert_true(waited() < ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(nobody_waits_who_has_opted_out, setup, teardown),
	    cmocka_unit_test_setup_teardown(
	        one_message_is_flushed_before_its_answer, setup, teardown),
	    cmocka_unit_test_setup_teardown(interval_obeys_too, setup, teardown),
	    cmocka_unit_test_setup_teardown(fewer_than_that_do_not_wait, setup, teardown),
	};
	return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
