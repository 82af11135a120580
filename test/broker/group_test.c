/* SPDX-License-Identifier: Apache-2.0 */
/* The group state machine: its rules one by one, with members driven by hand. */
#include "test/lib/group_fixture.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>

/* Two members in a STABLE group; their ids in a and b. */
static void two_members(char *a, char *b)
{
	join(0, "");
	join(1, "");
	pass(60000 < t.limits.initial_delay_ms ? 0 : 2 * t.limits.initial_delay_ms);
	assert_int_equal(t.told[0].answers + t.told[1].answers, 2);
	snprintf(a, ID_BYTES, "%s", t.told[0].member_id);
	snprintf(b, ID_BYTES, "%s", t.told[1].member_id);
	assert_string_equal(t.told[1].leader, a);
	struct group_assignment both[] = {
	    {str_of(a), bytes_of("for a", 5)}, {str_of(b), bytes_of("for b", 5)}};
	sync_with(3, b, t.group.generation, NULL, 0);
	assert_int_equal(t.told[3].answers, 0);
	sync_with(2, a, t.group.generation, both, 2);
	assert_int_equal(t.told[3].answers, 1);
	assert_string_equal(t.told[2].assignment, "for a");
	assert_string_equal(t.told[3].assignment, "for b");
	assert_int_equal(t.group.state, GROUP_STABLE);
}

static enum err beat(const char *id)
{
	enum err e =
	    group_heartbeat(&t.group, str_of(id), (struct str){NULL, 0}, t.group.generation, t.now);
	settle();
	return e;
}

/* Keeps both sessions alive while time goes on. */
static void pass_beating(int64_t ms, const char *a, const char *b)
{
	for (int64_t at = 0; at < ms; at += 3000) {
		beat(a);
		if (b)
			beat(b);
		pass(3000);
	}
}

static void the_first_rebalance_waits_for_more_members(void **state)
{
	(void)state;
	struct told *first = join(0, "");
	pass(t.limits.initial_delay_ms - 1);
	assert_int_equal(first->answers, 0);
	struct told *second = join(1, "");
	pass(t.limits.initial_delay_ms); /* somebody came: once more */
	assert_int_equal(first->answers, 0);
	pass(1);
	assert_int_equal(first->answers, 1);
	assert_int_equal(second->answers, 1);
	assert_int_equal(first->generation, 1);
	assert_true(first->with_members);
	assert_int_equal(first->member_count, 2);
	assert_false(second->with_members);
	assert_string_equal(second->leader, first->member_id);
	assert_string_equal(second->protocol, "range");
}

static void without_a_delay_the_first_member_starts_at_once(void **state)
{
	(void)state;
	t.limits.initial_delay_ms = 0;
	assert_int_equal(join(0, "")->answers, 1);
	assert_int_equal(t.group.state, GROUP_COMPLETING);
}

static void the_first_rebalance_does_not_wait_longer_than_the_rebalance_timeout(void **state)
{
	(void)state;
	t.limits.initial_delay_ms = 3000;
	struct group_join j = join_of(0, "");
	j.rebalance_timeout_ms = 7000;
	struct told *first = send_join(&j);
	for (int i = 1; i < 10 && !first->answers; i++) {
		pass(900);
		struct group_join more = join_of(i, "");
		more.rebalance_timeout_ms = 7000;
		send_join(&more);
	}
	assert_int_equal(first->answers, 1);
	assert_true(t.now <= 1000000 + 7000 + 900);
}

static void assignments_reach_their_members(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	/* and again, for one who asks again */
	assert_string_equal(sync_with(4, b, t.group.generation, NULL, 0)->assignment, "for b");
	assert_int_equal(beat(a), ERR_OK);
}

static void an_assignment_is_given_only_when_it_is_stored(void **state)
{
	(void)state;
	t.limits.initial_delay_ms = 0;
	t.hold_store = true;
	char *id = join(0, "")->member_id;
	struct group_assignment mine = {str_of(id), bytes_of("x", 1)};
	struct told *sync = sync_with(1, id, 1, &mine, 1);
	assert_int_equal(sync->answers, 0);
	group_stored(&t.group, t.stored, ERR_OK, t.now);
	group_check(&t.group);
	assert_int_equal(sync->answers, 1);
	assert_int_equal(sync->err, ERR_OK);
}

static void an_assignment_that_cannot_be_stored_starts_over(void **state)
{
	char a[ID_BYTES];
	(void)state;
	t.limits.initial_delay_ms = 0;
	t.hold_store = true;
	snprintf(a, sizeof a, "%s", join(0, "")->member_id);
	struct told *sync = sync_with(1, a, 1, NULL, 0);
	group_stored(&t.group, t.stored, ERR_NOSPACE, t.now);
	group_check(&t.group);
	assert_int_equal(sync->err, ERR_NOSPACE);
	assert_int_equal(t.group.state, GROUP_PREPARING);
	assert_int_equal(join(2, a)->generation, 2);
}

static void a_late_confirmation_of_an_old_store_changes_nothing(void **state)
{
	char a[ID_BYTES];
	(void)state;
	t.limits.initial_delay_ms = 0;
	t.hold_store = true;
	snprintf(a, sizeof a, "%s", join(0, "")->member_id);
	struct told *sync = sync_with(1, a, 1, NULL, 0);
	uint64_t old = t.stored;
	join(2, "");
	assert_int_equal(sync->err, ERR_REBALANCE_IN_PROGRESS);
	join(3, a);
	assert_int_equal(t.group.state, GROUP_COMPLETING);
	group_stored(&t.group, old, ERR_OK, t.now);
	assert_int_equal(t.group.state, GROUP_COMPLETING);
}

static void a_member_the_leader_forgot_gets_an_empty_but_valid_assignment(void **state)
{
	(void)state;
	t.limits.initial_delay_ms = 0;
	char *id = join(0, "")->member_id;
	struct told *sync = sync_with(1, id, 1, NULL, 0);
	assert_int_equal(sync->err, ERR_OK);
	assert_int_equal(sync->assignment_len, 10);
	assert_memory_equal(sync->assignment, "\0\0\0\0\0\0\xff\xff\xff\xff", 10);
}

static void a_new_member_id_is_promised_before_it_may_join(void **state)
{
	(void)state;
	struct group_join j = join_of(0, "");
	j.require_known_id = true;
	struct told *first = send_join(&j);
	assert_int_equal(first->err, ERR_MEMBER_ID_REQUIRED);
	assert_int_equal(strncmp(first->member_id, "client-", 7), 0);
	assert_int_equal(t.group.state, GROUP_EMPTY);
	struct told *second = join(1, first->member_id);
	pass(200);
	assert_int_equal(second->err, ERR_OK);
	assert_string_equal(second->member_id, first->member_id);
	/* a static member is known by its instance */
	j = join_of(2, "");
	j.require_known_id = true;
	j.instance_id = STR("i");
	assert_int_equal(send_join(&j)->answers, 0);
}

static void a_promised_id_expires(void **state)
{
	(void)state;
	struct group_join j = join_of(0, "");
	j.require_known_id = true;
	struct told *first = send_join(&j);
	pass(10001);
	assert_int_equal(join(1, first->member_id)->err, ERR_UNKNOWN_MEMBER);
}

static void a_rebalance_waits_for_promised_members(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	struct group_join j = join_of(10, "");
	j.require_known_id = true;
	struct told *promised = send_join(&j);
	join(11, a);
	join(12, b);
	assert_int_equal(t.told[11].answers, 0);
	join(13, promised->member_id);
	assert_int_equal(t.told[11].answers, 1);
	assert_int_equal(t.told[13].answers, 1);
	assert_int_equal(t.group.generation, 2);
}

static void a_third_member_makes_the_others_join_again(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	struct told *third = join(10, "");
	assert_int_equal(beat(a), ERR_REBALANCE_IN_PROGRESS);
	join(11, a);
	assert_int_equal(third->answers, 0);
	join(12, b);
	assert_int_equal(third->answers, 1);
	assert_int_equal(t.told[11].member_count, 3);
	assert_int_equal(t.group.generation, 2);
	assert_int_equal(sync_with(13, a, 1, NULL, 0)->err, ERR_ILLEGAL_GENERATION);
}

static void who_does_not_join_again_in_time_is_left_out(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	join(10, "");
	join(11, a);
	pass_beating(60000, b, NULL); /* alive, but never joins */
	assert_int_equal(t.told[11].answers, 1);
	assert_int_equal(t.told[11].member_count, 2);
	assert_int_equal(beat(b), ERR_UNKNOWN_MEMBER);
}

static void who_joins_but_never_syncs_is_evicted(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	join(10, a);
	join(11, b);
	sync_with(12, a, 2, NULL, 0);
	pass_beating(63000, a, b); /* b beats, but never syncs */
	assert_int_equal(beat(b), ERR_UNKNOWN_MEMBER);
	assert_int_equal(t.group.member_count, 1);
	assert_int_equal(beat(a), ERR_REBALANCE_IN_PROGRESS);
}

static void a_silent_member_loses_its_session(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	pass_beating(12000, a, NULL);
	assert_int_equal(t.group.member_count, 1);
	assert_int_equal(beat(b), ERR_UNKNOWN_MEMBER);
	assert_int_equal(beat(a), ERR_REBALANCE_IN_PROGRESS);
}

static void the_last_one_leaves_an_empty_group_with_its_generation(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	size_t before = t.stores;
	assert_int_equal(group_leave(&t.group, str_of(a), (struct str){NULL, 0}, t.now), ERR_OK);
	assert_int_equal(group_leave(&t.group, str_of(b), (struct str){NULL, 0}, t.now), ERR_OK);
	settle();
	assert_int_equal(t.group.state, GROUP_EMPTY);
	assert_int_equal(t.group.generation, 2);
	assert_int_equal(t.stores, before + 1);
	assert_int_equal(
	    group_leave(&t.group, str_of(b), (struct str){NULL, 0}, t.now), ERR_UNKNOWN_MEMBER);
}

static void the_leader_joining_again_starts_a_rebalance_a_follower_does_not(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	struct told *again = join(10, b);
	assert_int_equal(again->err, ERR_OK);
	assert_int_equal(again->generation, 1);
	assert_int_equal(t.group.state, GROUP_STABLE);
	assert_int_equal(join(11, a)->answers, 0);
	assert_int_equal(t.group.state, GROUP_PREPARING);
}

static void changed_metadata_starts_a_rebalance(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	struct group_protocol other = {{"range", 5}, {(const uint8_t *)"r2", 2}};
	struct group_join j = join_of(10, b);
	j.protocols = &other;
	assert_int_equal(send_join(&j)->answers, 0);
	assert_int_equal(t.group.state, GROUP_PREPARING);
}

static void the_protocol_all_support_and_most_prefer_wins(void **state)
{
	(void)state;
	struct group_join j = join_of(0, "");
	j.protocols = sticky;
	j.protocol_count = 2;
	send_join(&j);
	struct group_join k = join_of(1, "");
	k.protocols = sticky;
	k.protocol_count = 2;
	send_join(&k);
	pass(300);
	assert_string_equal(t.told[0].protocol, "sticky");
	join(2, ""); /* knows range only */
	j = join_of(3, t.told[0].member_id);
	j.protocols = sticky;
	j.protocol_count = 2;
	send_join(&j);
	k = join_of(4, t.told[1].member_id);
	k.protocols = sticky;
	k.protocol_count = 2;
	send_join(&k);
	assert_string_equal(t.told[4].protocol, "range");
}

static void members_must_agree_on_type_and_protocol(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	struct group_join j = join_of(10, "");
	j.protocol_type = STR("connect");
	assert_int_equal(send_join(&j)->err, ERR_INCONSISTENT_GROUP_PROTOCOL);
	struct group_protocol other = {{"other", 5}, {NULL, 0}};
	j = join_of(10, "");
	j.protocols = &other;
	assert_int_equal(send_join(&j)->err, ERR_INCONSISTENT_GROUP_PROTOCOL);
	j = join_of(10, "");
	j.protocol_count = 0;
	assert_int_equal(send_join(&j)->err, ERR_INCONSISTENT_GROUP_PROTOCOL);
	struct group_sync s = {.member_id = str_of(a),
	    .generation = 1,
	    .protocol = STR("other"),
	    .waiter = &t.told[10]};
	group_sync(&t.group, &s, t.now);
	assert_int_equal(t.told[10].err, ERR_INCONSISTENT_GROUP_PROTOCOL);
}

static void session_timeouts_have_bounds(void **state)
{
	(void)state;
	static const struct {
		int32_t ms;
		enum err err;
	} cases[] = {{5999, ERR_INVALID_SESSION_TIMEOUT}, {6000, ERR_OK}, {1800000, ERR_OK},
	    {1800001, ERR_INVALID_SESSION_TIMEOUT}, {-1, ERR_INVALID_SESSION_TIMEOUT}};
	for (int i = 0; i < 5; i++) {
		struct group_join j = join_of(i, "");
		j.session_timeout_ms = cases[i].ms;
		struct told *told = send_join(&j);
		assert_int_equal(told->answers, cases[i].err == ERR_OK ? 0 : 1);
		assert_int_equal(told->err, cases[i].err);
	}
}

static void a_group_has_a_largest_size(void **state)
{
	(void)state;
	for (int i = 0; i < 15; i++)
		join(i, "");
	struct group_join j = join_of(15, "");
	j.require_known_id = true;
	assert_int_equal(send_join(&j)->err, ERR_MEMBER_ID_REQUIRED);
	assert_int_equal(join(16, "")->err, ERR_GROUP_MAX_SIZE);
	assert_int_equal(join(17, t.told[15].member_id)->answers, 0);
}

static void a_group_holds_only_so_many_bytes(void **state)
{
	(void)state;
	struct budget budget = {.limit_bytes = 1500};
	static uint8_t big[2000];
	struct group_protocol heavy = {{"range", 5}, {big, 800}};
	t.limits.bytes_max = 1000;
	t.limits.budget = &budget;
	t.limits.initial_delay_ms = 0;
	struct group_join j = join_of(0, "");
	j.protocols = &heavy;
	const char *id = send_join(&j)->member_id;
	assert_int_equal(t.told[0].err, ERR_OK);
	j = join_of(1, "");
	j.protocols = &heavy;
	assert_int_equal(send_join(&j)->err, ERR_GROUP_MAX_SIZE);
	assert_int_equal(t.group.member_count, 1);
	heavy.metadata.len = 1900;
	j = join_of(2, id);
	j.protocols = &heavy;
	assert_int_equal(send_join(&j)->err, ERR_GROUP_MAX_SIZE); /* stays as it was */
	assert_int_equal(group_member_metadata(&t.group, t.group.leader).len, 800);
	struct group_assignment mine = {str_of(id), bytes_of(big, 300)};
	assert_int_equal(sync_with(3, id, 1, &mine, 1)->err, ERR_GROUP_MAX_SIZE);
	t.limits.bytes_max = 100000; /* the budget of all groups holds less */
	heavy.metadata.len = 1600;
	j = join_of(4, "");
	j.protocols = &heavy;
	assert_int_equal(send_join(&j)->err, ERR_GROUP_MAX_SIZE);
	assert_int_equal(group_leave(&t.group, str_of(id), (struct str){NULL, 0}, t.now), ERR_OK);
	settle();
	assert_int_equal(budget.used_bytes, 0);
	t.limits.budget = NULL;
}

static void a_static_member_comes_back_without_a_rebalance(void **state)
{
	char old_id[ID_BYTES];
	(void)state;
	t.limits.initial_delay_ms = 0;
	snprintf(old_id, sizeof old_id, "%s", join_static(0, "host-1")->member_id);
	assert_int_equal(strncmp(old_id, "host-1-", 7), 0);
	struct group_assignment mine = {str_of(old_id), bytes_of("mine", 4)};
	sync_with(1, old_id, 1, &mine, 1);
	struct told *back = join_static(2, "host-1");
	assert_int_equal(back->err, ERR_OK);
	assert_int_equal(back->generation, 1);
	assert_string_not_equal(back->member_id, old_id);
	assert_string_equal(back->leader, old_id); /* so that it does not think it leads */
	assert_false(back->with_members);
	assert_string_equal(sync_with(3, back->member_id, 1, NULL, 0)->assignment, "mine");
	/* from v9 on it is told */
	struct group_join j = join_of(4, "");
	j.instance_id = STR("host-1");
	j.may_skip_assignment = true;
	struct told *again = send_join(&j);
	assert_true(again->skip && again->with_members);
	assert_string_equal(again->leader, again->member_id);
	/* the former incarnation is fenced */
	assert_int_equal(group_heartbeat(&t.group, str_of(old_id), STR("host-1"), 1, t.now),
	    ERR_FENCED_INSTANCE);
	assert_int_equal(
	    group_heartbeat(&t.group, str_of(again->member_id), STR("nobody"), 1, t.now),
	    ERR_UNKNOWN_MEMBER);
}

static void a_waiting_static_member_is_fenced_by_its_successor(void **state)
{
	(void)state;
	struct told *old = join_static(0, "i");
	struct told *new = join_static(1, "i");
	assert_int_equal(old->err, ERR_FENCED_INSTANCE);
	pass(300);
	assert_int_equal(new->err, ERR_OK);
	assert_int_equal(t.group.member_count, 1);
}

static void a_static_member_may_be_away_during_a_rebalance(void **state)
{
	(void)state;
	char id[ID_BYTES];
	t.limits.initial_delay_ms = 0;
	snprintf(id, sizeof id, "%s", join_static(0, "i")->member_id);
	sync_with(1, id, 1, NULL, 0);
	struct group_join j = join_of(2, "");
	j.session_timeout_ms = 1800000;
	send_join(&j);
	/* the static one does not come; its session is longer than the rebalance timeout */
	struct group_member *m = group_member_find(&t.group, str_of(id));
	m->session_timeout_ms = 300000;
	member_session_start(&t.group, m, t.now);
	pass(60000);
	assert_int_equal(t.told[2].answers, 1);
	assert_int_equal(t.told[2].member_count, 2);
}

static void an_administrator_removes_a_static_member_by_its_instance(void **state)
{
	(void)state;
	join_static(0, "i");
	pass(300);
	assert_int_equal(group_leave(&t.group, STR(""), STR("other"), t.now), ERR_UNKNOWN_MEMBER);
	assert_int_equal(group_leave(&t.group, STR("wrong"), STR("i"), t.now), ERR_FENCED_INSTANCE);
	assert_int_equal(group_leave(&t.group, STR(""), STR("i"), t.now), ERR_OK);
	settle();
	assert_int_equal(t.group.state, GROUP_EMPTY);
}

static void asking_twice_answers_the_first_question_too(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	(void)state;
	two_members(a, b);
	join(10, a);
	join(11, a);
	assert_int_equal(t.told[10].answers, 1);
	assert_int_equal(t.told[10].err, ERR_REBALANCE_IN_PROGRESS);
	join(12, b);
	assert_int_equal(t.told[11].err, ERR_OK);
	sync_with(13, b, 2, NULL, 0);
	sync_with(14, b, 2, NULL, 0);
	assert_int_equal(t.told[13].answers, 1);
	assert_int_equal(t.told[13].err, ERR_REBALANCE_IN_PROGRESS);
	sync_with(15, a, 2, NULL, 0);
	assert_int_equal(t.told[14].err, ERR_OK);
}

static void a_new_member_does_not_wait_for_ever(void **state)
{
	char a[ID_BYTES];
	(void)state;
	struct group_join j = join_of(0, "");
	j.rebalance_timeout_ms = 3600000; /* an hour for its processing */
	snprintf(a, sizeof a, "%s", send_join(&j)->member_id);
	pass(200);
	snprintf(a, sizeof a, "%s", t.told[0].member_id);
	sync_with(1, a, 1, NULL, 0);
	join(2, "");
	pass_beating(GROUP_NEW_MEMBER_MS - 10000, a, NULL); /* busy, but alive */
	assert_int_equal(t.told[2].answers, 0);
	pass_beating(13000, a, NULL);
	assert_int_equal(t.told[2].err, ERR_UNKNOWN_MEMBER);
	assert_int_equal(t.group.member_count, 1);
}

static void leaving_answers_who_still_waits(void **state)
{
	(void)state;
	struct group_join j = join_of(0, "");
	j.require_known_id = true;
	send_join(&j);
	struct told *waiting = join(1, t.told[0].member_id);
	assert_int_equal(
	    group_leave(&t.group, str_of(t.told[0].member_id), (struct str){NULL, 0}, t.now),
	    ERR_OK);
	settle();
	assert_int_equal(waiting->answers, 1);
	assert_int_equal(waiting->err, ERR_UNKNOWN_MEMBER);
}

static void commits_are_for_members_of_this_generation(void **state)
{
	char a[ID_BYTES], b[ID_BYTES];
	const struct str none = {NULL, 0};
	(void)state;
	assert_int_equal(group_may_commit(&t.group, STR(""), none, -1, t.now), ERR_OK);
	assert_int_equal(group_may_commit(&t.group, STR("own-id"), none, -1, t.now), ERR_OK);
	assert_int_equal(group_may_commit(&t.group, STR("x"), none, 0, t.now), ERR_UNKNOWN_MEMBER);
	two_members(a, b);
	assert_int_equal(group_may_commit(&t.group, STR(""), none, -1, t.now), ERR_UNKNOWN_MEMBER);
	assert_int_equal(
	    group_may_commit(&t.group, STR("own-id"), none, -1, t.now), ERR_UNKNOWN_MEMBER);
	assert_int_equal(group_may_commit(&t.group, str_of(a), none, 1, t.now), ERR_OK);
	assert_int_equal(
	    group_may_commit(&t.group, str_of(a), none, 2, t.now), ERR_ILLEGAL_GENERATION);
	join(10, "");
	assert_int_equal(
	    group_may_commit(&t.group, str_of(a), none, 1, t.now), ERR_OK); /* the last chance */
	join(11, a);
	join(12, b);
	assert_int_equal(
	    group_may_commit(&t.group, str_of(a), none, 1, t.now), ERR_ILLEGAL_GENERATION);
	assert_int_equal(
	    group_may_commit(&t.group, str_of(a), none, 2, t.now), ERR_REBALANCE_IN_PROGRESS);
}

static void a_restored_group_goes_on_where_it_was(void **state)
{
	(void)state;
	struct group_restore r = {.protocol_type = STR("consumer"),
	    .protocol = STR("range"),
	    .leader = STR("m2"),
	    .generation = 41};
	assert_int_equal(group_restore_begin(&t.group, &r), ERR_OK);
	for (int i = 1; i <= 2; i++) {
		char id[16];
		snprintf(id, sizeof id, "m%d", i);
		struct group_restore_member m = {.id = str_of(id),
		    .client_id = STR("c"),
		    .client_host = STR("/h"),
		    .session_timeout_ms = 10000,
		    .rebalance_timeout_ms = 60000,
		    .subscription = bytes_of("r1", 2),
		    .assignment = bytes_of(id, 2)};
		assert_int_equal(group_restore_member(&t.group, &m), ERR_OK);
		assert_int_equal(group_restore_member(&t.group, &m), ERR_CORRUPT);
	}
	assert_int_equal(group_restore_end(&t.group, r.leader, t.now), ERR_OK);
	group_check(&t.group);
	assert_int_equal(beat("m1"), ERR_OK);
	assert_string_equal(sync_with(0, "m1", 41, NULL, 0)->assignment, "m1");
	assert_string_equal(t.group.leader->id, "m2");
	pass_beating(12000, "m1", NULL);
	assert_int_equal(beat("m2"), ERR_UNKNOWN_MEMBER);
	assert_int_equal(join(1, "m1")->generation, 42);
}

static void running_out_of_memory_leaves_the_group_whole(void **state)
{
	for (uint64_t nth = 1; nth < 60; nth++) {
		group_fixture_start(state);
		t.limits.initial_delay_ms = 0;
		mem_fail_at(nth);
		join(0, "");
		join_static(1, "i");
		if (t.told[0].err == ERR_OK && t.told[0].answers)
			sync_with(2, t.told[0].member_id, t.told[0].generation, NULL, 0);
		join_static(3, "i");
		mem_fail_at(0);
		pass(120000);
		struct told *late = join(4, "");
		pass(600000);
		assert_int_equal(late->answers, 1);
		group_fixture_stop(state);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, group_fixture_start, group_fixture_stop)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(the_first_rebalance_waits_for_more_members),
	    CASE(without_a_delay_the_first_member_starts_at_once),
	    CASE(the_first_rebalance_does_not_wait_longer_than_the_rebalance_timeout),
	    CASE(assignments_reach_their_members),
	    CASE(an_assignment_is_given_only_when_it_is_stored),
	    CASE(an_assignment_that_cannot_be_stored_starts_over),
	    CASE(a_late_confirmation_of_an_old_store_changes_nothing),
	    CASE(a_member_the_leader_forgot_gets_an_empty_but_valid_assignment),
	    CASE(a_new_member_id_is_promised_before_it_may_join),
	    CASE(a_promised_id_expires),
	    CASE(a_rebalance_waits_for_promised_members),
	    CASE(a_third_member_makes_the_others_join_again),
	    CASE(who_does_not_join_again_in_time_is_left_out),
	    CASE(who_joins_but_never_syncs_is_evicted),
	    CASE(a_silent_member_loses_its_session),
	    CASE(the_last_one_leaves_an_empty_group_with_its_generation),
	    CASE(the_leader_joining_again_starts_a_rebalance_a_follower_does_not),
	    CASE(changed_metadata_starts_a_rebalance),
	    CASE(the_protocol_all_support_and_most_prefer_wins),
	    CASE(members_must_agree_on_type_and_protocol),
	    CASE(session_timeouts_have_bounds),
	    CASE(a_group_has_a_largest_size),
	    CASE(a_group_holds_only_so_many_bytes),
	    CASE(a_static_member_comes_back_without_a_rebalance),
	    CASE(a_waiting_static_member_is_fenced_by_its_successor),
	    CASE(a_static_member_may_be_away_during_a_rebalance),
	    CASE(an_administrator_removes_a_static_member_by_its_instance),
	    CASE(asking_twice_answers_the_first_question_too),
	    CASE(a_new_member_does_not_wait_for_ever),
	    CASE(leaving_answers_who_still_waits),
	    CASE(commits_are_for_members_of_this_generation),
	    CASE(a_restored_group_goes_on_where_it_was),
	    cmocka_unit_test(running_out_of_memory_leaves_the_group_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
