/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The group state machine against simulated clients that join, sync, beat, stall, leave, crash and
 * come back. Every promise is checked at each answer, every invariant after each step; and when the
 * clients behave again, the group must become STABLE with all of them.
 */
#include "test/lib/group_fixture.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 8 };
enum client_phase { OUT, JOINING, JOINED, SYNCING, MEMBER };

struct client {
	enum client_phase phase;
	char id[ID_BYTES];
	char instance[24];
	int32_t generation;
	bool leads;
	size_t roster_count;
	char roster[32][ID_BYTES];
	struct told told;
	int64_t contact; /* last time the group heard of it */
	bool crashed;
};

static struct {
	struct client client[CLIENTS];
	struct prng prng;
	int32_t last_generation;
	char generation_leader[ID_BYTES];
	char generation_protocol[32];
	int32_t seen_generation;
	uint64_t joins, syncs, failures;
} model;

static bool chance(uint64_t percent)
{
	return prng_below(&model.prng, 100) < percent;
}

static void client_reset(struct client *c)
{
	c->phase = OUT;
	c->id[0] = '\0';
	c->generation = -1;
	c->leads = false;
}

static void client_joined(struct client *c)
{
	const struct told *told = &c->told;
	assert_int_equal(told->answers, 1);
	assert_false(told->sync);
	c->contact = t.now;
	if (told->err != ERR_OK) {
		model.failures++;
		if (told->err == ERR_MEMBER_ID_REQUIRED)
			snprintf(c->id, ID_BYTES, "%s", told->member_id);
		else if (told->err != ERR_REBALANCE_IN_PROGRESS)
			c->id[0] = '\0';
		c->phase = OUT;
		return;
	}
	model.joins++;
	assert_true(told->generation >= model.seen_generation); /* G1 */
	if (told->generation > model.seen_generation) {
		model.seen_generation = told->generation;
		snprintf(model.generation_leader, ID_BYTES, "%s", told->leader);
		snprintf(model.generation_protocol, sizeof model.generation_protocol, "%s",
		    told->protocol);
	}
	assert_string_equal(told->protocol, model.generation_protocol);
	if (!c->instance[0]) /* a static member's successor is told the old leader's name on purpose
	                      */
		assert_true(told->with_members == (strcmp(told->leader, told->member_id) == 0));
	snprintf(c->id, ID_BYTES, "%s", told->member_id);
	c->generation = told->generation;
	c->leads = told->with_members;
	c->roster_count = told->member_count;
	memcpy(c->roster, told->members, sizeof c->roster);
	c->phase = JOINED;
}

static void client_synced(struct client *c)
{
	assert_int_equal(c->told.answers, 1);
	assert_true(c->told.sync);
	c->contact = t.now;
	if (c->told.err != ERR_OK) {
		model.failures++;
		if (c->told.err != ERR_REBALANCE_IN_PROGRESS)
			c->id[0] = '\0';
		c->phase = OUT;
		return;
	}
	model.syncs++;
	assert_int_equal(c->generation, t.group.generation);
	if (c->told.assignment_len != 10) { /* else the leader forgot it on purpose */
		char expected[64];          /* the leader writes generation and member */
		snprintf(expected, sizeof expected, "%d:%.40s", c->generation, c->id);
		if (!c->instance[0])
			assert_string_equal(c->told.assignment, expected);
		else
			assert_int_equal(strtol(c->told.assignment, NULL, 10), c->generation);
	}
	c->phase = MEMBER;
}

static void client_collect(struct client *c)
{
	assert_true(c->told.answers <= 1); /* G5 */
	if (c->told.answers && c->phase == JOINING)
		client_joined(c);
	else if (c->told.answers && c->phase == SYNCING)
		client_synced(c);
}

static void collect(void)
{
	for (int i = 0; i < CLIENTS; i++)
		client_collect(&model.client[i]);
	group_check(&t.group);
	assert_true(t.group.generation >= model.last_generation);
	model.last_generation = t.group.generation;
}

static void client_join(struct client *c, uint64_t variant)
{
	struct group_join j = join_of(0, c->id);
	j.waiter = &c->told;
	c->told = (struct told){0};
	j.require_known_id = variant & 1;
	j.may_skip_assignment = variant & 2;
	if (c->instance[0])
		j.instance_id = str_of(c->instance);
	if (variant & 4) {
		j.protocols = sticky;
		j.protocol_count = 2;
	}
	c->phase = JOINING;
	group_join(&t.group, &j, t.now);
}

static void client_sync(struct client *c, bool forgetful)
{
	struct group_assignment list[32];
	char text[32][64];
	size_t count = c->leads ? c->roster_count : 0;
	for (size_t i = 0; i < count; i++) {
		snprintf(text[i], sizeof text[i], "%d:%.40s", c->generation, c->roster[i]);
		list[i] = (struct group_assignment){
		    str_of(c->roster[i]), bytes_of(text[i], strlen(text[i]))};
	}
	if (forgetful && count > 0)
		count--;
	struct group_sync s = {
	    .member_id = str_of(c->id),
	    .generation = c->generation,
	    .assignments = list,
	    .assignment_count = count,
	    .waiter = &c->told,
	};
	if (c->instance[0])
		s.instance_id = str_of(c->instance);
	c->told = (struct told){0};
	c->phase = SYNCING;
	group_sync(&t.group, &s, t.now);
}

static void client_beat(struct client *c)
{
	struct str instance = c->instance[0] ? str_of(c->instance) : (struct str){NULL, 0};
	enum err e = group_heartbeat(&t.group, str_of(c->id), instance, c->generation, t.now);
	if (e == ERR_OK)
		assert_int_equal(c->generation, t.group.generation);
	if (t.now - c->contact > 10000 + 1) /* its session was over */
		assert_true(e == ERR_UNKNOWN_MEMBER || e == ERR_FENCED_INSTANCE);
	if (e == ERR_OK || e == ERR_REBALANCE_IN_PROGRESS)
		c->contact = t.now;
	if (e == ERR_REBALANCE_IN_PROGRESS || e == ERR_ILLEGAL_GENERATION)
		c->phase = OUT; /* join again with its id */
	else if (e != ERR_OK)
		client_reset(c);
}

static void client_crash(struct client *c)
{
	group_forget_waiter(&t.group, &c->told);
	client_reset(c);
}

static void client_leave(struct client *c)
{
	struct str instance = c->instance[0] ? str_of(c->instance) : (struct str){NULL, 0};
	enum err e = group_leave(&t.group, str_of(c->id), instance, t.now);
	(void)e; /* it may have been removed already */
	client_collect(c);
	client_reset(c);
}

static void client_act(struct client *c, bool honest)
{
	client_collect(c);
	if (!honest && chance(3)) {
		client_crash(c);
		return;
	}
	if (!honest && chance(3) && c->id[0]) {
		client_leave(c);
		return;
	}
	switch (c->phase) {
	case OUT:
		client_join(c, honest ? 3 : prng_u64(&model.prng));
		break;
	case JOINED:
		if (honest || chance(80))
			client_sync(c, !honest && chance(5));
		else
			client_beat(c);
		break;
	case MEMBER:
		client_beat(c);
		break;
	case JOINING:
	case SYNCING:
	default:
		break; /* waits */
	}
}

static void model_time(int64_t ms)
{
	int64_t end = t.now + ms;
	for (;;) {
		if (t.stored && (!t.hold_store || chance(50))) {
			uint64_t id = t.stored;
			t.stored = 0;
			group_stored(
			    &t.group, id, t.hold_store && chance(10) ? ERR_NOSPACE : ERR_OK, t.now);
			collect();
		}
		if (t.group.next_due_ms > end)
			break;
		t.now = t.group.next_due_ms > t.now ? t.group.next_due_ms : t.now;
		group_tick(&t.group, t.now);
		collect();
	}
	t.now = end;
}

static void model_quiet_ends_stable(void)
{
	t.hold_store = false;
	for (int round = 0; round < 100; round++) { /* 200 s: longer than any timeout */
		for (int i = 0; i < CLIENTS; i++) {
			client_act(&model.client[i], true);
			collect();
		}
		model_time(2000);
	}
	assert_int_equal(t.group.state, GROUP_STABLE);
	assert_int_equal(t.group.member_count, CLIENTS);
	for (int i = 0; i < CLIENTS; i++) {
		assert_int_equal(model.client[i].phase, MEMBER);
		assert_int_equal(model.client[i].generation, t.group.generation);
	}
}

static void model_round(uint64_t seed)
{
	memset(&model, 0, sizeof model);
	prng_init(&model.prng, seed);
	t.limits.initial_delay_ms = chance(50) ? 100 : 0;
	for (int i = 0; i < CLIENTS; i++) {
		client_reset(&model.client[i]);
		model.client[i].contact = t.now;
		if (chance(30))
			snprintf(model.client[i].instance, sizeof model.client[i].instance,
			    "host-%d", i);
	}
	for (int step = 0; step < 1500; step++) {
		t.hold_store = step % 300 > 150;
		client_act(&model.client[prng_below(&model.prng, CLIENTS)], false);
		collect();
		model_time((int64_t)prng_below(&model.prng, chance(5) ? 15000 : 800));
	}
	model_quiet_ends_stable();
	assert_true(model.joins > 100 && model.syncs > 20 && model.failures > 20);
	for (int i = 0; i < CLIENTS; i++)
		group_forget_waiter(&t.group, &model.client[i].told);
}

static void random_clients_never_break_a_promise(void **state)
{
	uint64_t seed = test_seed(848);
	for (uint64_t i = 0; i < 60; i++) {
		group_fixture_start(state);
		model_round(seed + i);
		group_fixture_stop(state);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(random_clients_never_break_a_promise),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
