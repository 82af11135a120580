/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of consumer groups (KIP-848) one by one, patterns, and the assignors. */
#include "broker/groups/consumer.h"
#include "test/lib/consumer_stub.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>

static struct {
	struct consumer_group group;
	struct consumer_limits limits;
	struct log_topic topic[4];
	uint64_t version;
	int64_t now;
	struct consumer_answer answer;
} t;

static const struct log_topic *topic_find(struct consumer_group *c, struct str name)
{
	(void)c;
	for (int i = 0; i < 3; i++) {
		if (t.topic[i].partition_count && str_equal(t.topic[i].name, name))
			return &t.topic[i];
	}
	return NULL;
}

static const struct log_topic *topic_next(struct consumer_group *c, size_t *cursor)
{
	(void)c;
	return *cursor < 3 ? &t.topic[(*cursor)++] : NULL;
}

static uint64_t topics_version(struct consumer_group *c)
{
	(void)c;
	return t.version;
}

static void random_bytes(struct consumer_group *c, void *buf, size_t len)
{
	static uint8_t next;
	(void)c;
	memset(buf, ++next, len);
}

static const struct log_topic *topic_by_id(struct consumer_group *c, struct log_uuid id)
{
	(void)c;
	for (int i = 0; i < 3; i++) {
		if (t.topic[i].partition_count && log_uuid_equal(t.topic[i].id, id))
			return &t.topic[i];
	}
	return NULL;
}

static const struct consumer_ops ops = {topic_find, topic_by_id, topic_next, topics_version,
    consumer_may_see_all, consumer_rights_stay, random_bytes};

static int setup(void **state)
{
	(void)state;
	memset(&t, 0, sizeof t);
	t.limits = consumer_limits_default;
	t.now = 1000;
	consumer_init(&t.group, &ops, &t.limits);
	t.topic[0] = (struct log_topic){.name = STR("a"), .partition_count = 4};
	t.topic[1] = (struct log_topic){.name = STR("b"), .partition_count = 2};
	t.topic[2] =
	    (struct log_topic){.name = STR("__secret"), .partition_count = 1, .internal = true};
	for (uint8_t i = 0; i < 3; i++)
		t.topic[i].id.b[0] = (uint8_t)(i + 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	consumer_release(&t.group);
	return 0;
}

/* ---- members driven by hand --------------------------------------------------------------------- */

static const struct str only_a[] = {{"a", 1}}, both[] = {{"a", 1}, {"b", 1}};
static const struct consumer_parts nothing = {NULL, 0};

static struct consumer_beat join_of(const char *id)
{
	return (struct consumer_beat){
	    .member_id = str_of(id),
	    .client_id = STR("client"),
	    .client_host = STR("/127.0.0.1"),
	    .rebalance_timeout_ms = 10000,
	    .names = only_a,
	    .name_count = 1,
	    .owned = &nothing,
	};
}

static enum err send(const struct consumer_beat *beat)
{
	enum err e = consumer_beat(&t.group, beat, t.now, &t.answer);
	consumer_check(&t.group);
	err_clear();
	return e;
}

static enum err join(const char *id)
{
	struct consumer_beat b = join_of(id);
	return send(&b);
}

static enum err beat(const char *id, int32_t epoch, const struct consumer_parts *owned)
{
	struct consumer_beat b = {
	    .member_id = str_of(id), .epoch = epoch, .rebalance_timeout_ms = -1, .owned = owned};
	return send(&b);
}

static struct consumer_member *member(const char *id)
{
	return consumer_find(&t.group, str_of(id));
}

/* Partitions `from` to `end` of topic a. */
static struct consumer_parts parts_of_a(int32_t from, int32_t end)
{
	static struct consumer_part at[8];
	struct consumer_parts set = {at, 0};
	for (int32_t p = from; p < end; p++)
		at[set.count++] = (struct consumer_part){.topic = t.topic[0].id, .partition = p};
	return set;
}

static void pass(int64_t ms)
{
	t.now += ms;
	consumer_tick(&t.group, t.now);
	consumer_check(&t.group);
}

/* ---- joining, staying, leaving ------------------------------------------------------------------- */

static void the_first_member_has_everything_at_once(void **state)
{
	(void)state;
	assert_int_equal(join("x"), ERR_OK);
	assert_int_equal(t.answer.epoch, 1);
	assert_true(t.answer.with_assignment);
	assert_int_equal(t.answer.member->assigned.count, 4);
	assert_string_equal(consumer_state_name(&t.group), "Stable");
	assert_int_equal(beat("x", 1, NULL), ERR_OK);
	assert_false(t.answer.with_assignment);
}

static void a_partition_moves_when_its_owner_says_that_it_has_let_go(void **state)
{
	(void)state;
	join("x");
	assert_int_equal(join("y"), ERR_OK);
	assert_int_equal(t.answer.epoch, 2);
	assert_int_equal(t.answer.member->assigned.count, 0); /* all is x's still */
	assert_string_equal(consumer_state_name(&t.group), "Reconciling");
	struct consumer_parts all = parts_of_a(0, 4);
	assert_int_equal(beat("x", 1, &all), ERR_OK);
	assert_true(t.answer.with_assignment);
	assert_int_equal(t.answer.member->assigned.count, 2);
	assert_int_equal(t.answer.epoch, 1); /* until it has revoked */
	/* a heartbeat that says nothing about partitions confirms nothing */
	assert_int_equal(beat("x", 1, NULL), ERR_OK);
	assert_int_equal(beat("y", 2, NULL), ERR_OK);
	assert_int_equal(member("y")->assigned.count, 0);
	/* nor does one that still names one of them */
	assert_int_equal(beat("x", 1, &all), ERR_OK);
	assert_int_equal(member("x")->revoking.count, 2);
	struct consumer_parts kept = {member("x")->assigned.at, member("x")->assigned.count};
	assert_int_equal(beat("x", 1, &kept), ERR_OK);
	assert_int_equal(t.answer.epoch, 2);
	assert_int_equal(beat("y", 2, NULL), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 2);
	assert_string_equal(consumer_state_name(&t.group), "Stable");
}

static void what_a_member_leaves_behind_goes_to_the_others(void **state)
{
	(void)state;
	join("x");
	join("y");
	assert_int_equal(beat("x", CONSUMER_LEAVES, NULL), ERR_OK);
	assert_null(t.answer.member);
	assert_int_equal(t.answer.epoch, -1);
	assert_string_equal(consumer_state_name(&t.group), "Assigning");
	assert_int_equal(beat("y", 2, NULL), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 4);
	assert_int_equal(beat("y", CONSUMER_LEAVES, NULL), ERR_OK);
	assert_string_equal(consumer_state_name(&t.group), "Empty");
	assert_int_equal(beat("y", 3, NULL), ERR_UNKNOWN_MEMBER);
}

static void who_is_silent_for_its_session_is_removed(void **state)
{
	(void)state;
	join("x");
	join("y");
	pass(44000);
	assert_int_equal(beat("y", 2, NULL), ERR_OK);
	pass(1500);
	assert_null(member("x"));
	assert_int_equal(beat("x", 1, NULL), ERR_UNKNOWN_MEMBER);
	assert_int_equal(beat("y", 2, NULL), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 4);
}

static void who_does_not_revoke_in_time_is_removed(void **state)
{
	(void)state;
	join("x");
	join("y");
	struct consumer_parts all = parts_of_a(0, 4);
	beat("x", 1, &all);
	pass(9000);
	assert_int_equal(beat("x", 1, &all), ERR_OK);
	pass(2000);
	assert_null(member("x"));
}

static void a_wrong_epoch_is_fenced(void **state)
{
	(void)state;
	join("x");
	assert_int_equal(beat("x", 2, NULL), ERR_FENCED_MEMBER_EPOCH);
	t.topic[0].partition_count = 5;
	t.version++;
	struct consumer_parts four = parts_of_a(0, 4);
	assert_int_equal(beat("x", 1, NULL), ERR_OK);
	assert_int_equal(t.answer.epoch, 2);
	/* the answer may have been lost: the epoch before is good with what it may own */
	assert_int_equal(beat("x", 1, NULL), ERR_FENCED_MEMBER_EPOCH);
	assert_int_equal(beat("x", 1, &four), ERR_OK);
	assert_int_equal(t.answer.epoch, 2);
	struct consumer_parts more = parts_of_a(0, 6);
	assert_int_equal(beat("x", 1, &more), ERR_FENCED_MEMBER_EPOCH);
	/* and it may join again, with nothing */
	assert_int_equal(join("x"), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 5);
}

static void bounds_hold(void **state)
{
	(void)state;
	t.limits.members_max = 1;
	join("x");
	assert_int_equal(join("y"), ERR_GROUP_MAX_SIZE);
	struct consumer_beat b = join_of("x");
	b.assignor = STR("mine");
	assert_int_equal(send(&b), ERR_UNSUPPORTED_ASSIGNOR);
	t.limits.bytes_max = 0;
	t.limits.members_max = 10;
	assert_int_equal(join("z"), ERR_GROUP_MAX_SIZE);
	b = join_of("bad\xff");
	assert_int_equal(send(&b), ERR_INVALID_REQUEST);
}

/* ---- static members -------------------------------------------------------------------------------- */

static enum err send_static(const char *id, int32_t epoch)
{
	struct consumer_beat b = join_of(id);
	b.instance_id = STR("i");
	b.epoch = epoch;
	return send(&b);
}

static void a_static_member_that_comes_back_has_what_it_had(void **state)
{
	(void)state;
	assert_int_equal(send_static("x", 0), ERR_OK);
	join("y");
	assert_int_equal(send_static("x2", 0), ERR_UNRELEASED_INSTANCE);
	assert_int_equal(send_static("x", CONSUMER_LEAVES_SOON), ERR_OK);
	assert_int_equal(t.answer.epoch, -2);
	int32_t epoch = t.group.epoch;
	assert_int_equal(beat("y", 2, NULL), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 0); /* they are reserved */
	assert_int_equal(send_static("x2", 0), ERR_OK);
	assert_int_equal(t.group.epoch, epoch); /* no rebalance */
	assert_int_equal(t.answer.epoch, t.group.target_epoch);
	assert_int_equal(t.answer.member->assigned.count, 2);
	assert_null(member("x"));
	assert_int_equal(send_static("x", 1), ERR_FENCED_INSTANCE);
	assert_int_equal(send_static("x", CONSUMER_LEAVES), ERR_FENCED_INSTANCE);
	/* who stays away is removed like any other */
	assert_int_equal(send_static("x2", CONSUMER_LEAVES_SOON), ERR_OK);
	pass(44000);
	beat("y", t.group.target_epoch, NULL);
	pass(2000);
	assert_int_equal(t.group.member_count, 1);
	assert_int_equal(consumer_evict(&t.group, STR("i")), ERR_UNKNOWN_MEMBER);
}

static void an_administrator_removes_a_static_member(void **state)
{
	(void)state;
	send_static("x", 0);
	assert_int_equal(consumer_evict(&t.group, STR("i")), ERR_OK);
	consumer_check(&t.group);
	assert_int_equal(t.group.member_count, 0);
}

/* ---- offsets ------------------------------------------------------------------------------------- */

static void an_older_epoch_is_good_for_what_was_assigned_then(void **state)
{
	(void)state;
	const struct consumer_member *found;
	join("x");
	t.topic[0].partition_count = 5;
	t.version++;
	beat("x", 1, NULL);
	assert_int_equal(consumer_validate(&t.group, STR("x"), 3, &found), ERR_STALE_MEMBER_EPOCH);
	assert_int_equal(consumer_validate(&t.group, STR("z"), 1, &found), ERR_UNKNOWN_MEMBER);
	assert_int_equal(consumer_validate(&t.group, STR("x"), 1, &found), ERR_OK);
	assert_int_equal(consumer_may_commit(found, 2, t.topic[0].id, 4), ERR_OK);
	assert_int_equal(consumer_may_commit(found, 1, t.topic[0].id, 0), ERR_OK);
	assert_int_equal(consumer_may_commit(found, 1, t.topic[0].id, 4), ERR_STALE_MEMBER_EPOCH);
}

/* ---- subscriptions -------------------------------------------------------------------------------- */

static void topics_are_followed_as_they_come_grow_and_go(void **state)
{
	(void)state;
	struct consumer_beat b = join_of("x");
	b.names = both;
	b.name_count = 2;
	t.topic[1].partition_count = 0; /* not there */
	send(&b);
	assert_int_equal(t.answer.member->assigned.count, 4);
	t.topic[1].partition_count = 2;
	t.version++;
	assert_int_equal(beat("x", 1, NULL), ERR_OK);
	assert_true(t.answer.with_assignment);
	assert_int_equal(t.answer.epoch, 2);
	assert_int_equal(t.answer.member->assigned.count, 6);
	t.version++; /* another topic: nothing to do with us */
	assert_int_equal(beat("x", 2, NULL), ERR_OK);
	assert_int_equal(t.answer.epoch, 2);
	t.topic[0].partition_count = 0;
	t.version++;
	assert_int_equal(beat("x", 2, &nothing), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 2);
	assert_true(consumer_is_subscribed(&t.group, &t.topic[1]));
	assert_false(consumer_is_subscribed(&t.group, &t.topic[2]));
}

static void a_pattern_finds_internal_topics_as_in_kafka_but_none_of_ours(void **state)
{
	(void)state;
	struct consumer_beat b = join_of("x");
	t.topic[2].name = STR("__kappa_secret");
	b.names = NULL;
	b.pattern = STR(".*");
	assert_int_equal(send(&b), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 6);
	assert_false(consumer_is_subscribed(&t.group, &t.topic[2]));
	t.topic[2].name = STR("__consumer_offsets");
	t.topic[2].born = ++t.version;
	assert_int_equal(send(&b), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 7);
	assert_true(consumer_is_subscribed(&t.group, &t.topic[2]));
	b.pattern = STR("[b-z]");
	assert_int_equal(send(&b), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 2);
	b.pattern = STR("(");
	assert_int_equal(send(&b), ERR_INVALID_REGEX);
	consumer_check(&t.group);
}

static void a_pattern_looks_at_a_name_once(void **state)
{
	(void)state;
	struct consumer_beat b = join_of("x");
	b.names = NULL;
	b.pattern = STR("[a-d]");
	assert_int_equal(send(&b), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 6);
	/* under another name, which is not looked at, they would not match */
	t.topic[0].name = STR("x");
	t.topic[1].name = STR("y");
	t.topic[2] =
	    (struct log_topic){.name = STR("c"), .partition_count = 3, .born = ++t.version};
	t.topic[2].id.b[0] = 9;
	assert_int_equal(beat("x", t.answer.epoch, NULL), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 9);
	t.topic[1].partition_count = 0; /* gone */
	t.version++;
	assert_int_equal(beat("x", t.answer.epoch, &nothing), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 7);
	assert_int_equal(t.answer.member->subscription->finds->count, 2);
}

/* ---- many names -------------------------------------------------------------------------------- */

enum { MANY = 2000 };
static struct {
	struct log_topic topic[MANY];
	char name[MANY][240];
	size_t count, looks, judged;
	uint64_t rights;
	const char *hidden; /* prefix of names that are */
} many;

static const struct log_topic *many_find(struct consumer_group *c, struct str name)
{
	(void)c;
	for (size_t i = 0; i < many.count; i++) {
		if (str_equal(many.topic[i].name, name))
			return &many.topic[i];
	}
	return NULL;
}

static const struct log_topic *many_by_id(struct consumer_group *c, struct log_uuid id)
{
	size_t i = get_u32_be(id.b);
	(void)c;
	return i < many.count ? &many.topic[i] : NULL;
}

static const struct log_topic *many_next(struct consumer_group *c, size_t *cursor)
{
	(void)c;
	many.looks++;
	return *cursor < many.count ? &many.topic[(*cursor)++] : NULL;
}

static bool many_may_see(struct consumer_group *c, struct str viewer, struct str topic)
{
	size_t len = many.hidden ? strlen(many.hidden) : 0;
	(void)c;
	many.judged++;
	assert_true(viewer.len > 0);
	return !many.hidden || topic.len < len || memcmp(topic.ptr, many.hidden, len) != 0;
}

static uint64_t many_rights(struct consumer_group *c)
{
	(void)c;
	return many.rights;
}

static void many_add(const char *head, size_t len)
{
	struct log_topic *topic = &many.topic[many.count];
	char *name = many.name[many.count];
	memset(name, 'a', len);
	snprintf(name + len, sizeof(many.name[0]) - len, "%s%05zu", head, many.count);
	*topic =
	    (struct log_topic){.name = str_of(name), .partition_count = 1, .born = ++t.version};
	put_u32_be(topic->id.b, (uint32_t)many.count++);
}

static void start_many(size_t count, size_t len)
{
	static const struct consumer_ops many_ops = {many_find, many_by_id, many_next,
	    topics_version, many_may_see, many_rights, random_bytes};
	memset(&many, 0, sizeof many);
	t.group.ops = &many_ops;
	for (size_t i = 0; i < count; i++)
		many_add("", len);
}

static void much_work_goes_on_from_heartbeat_to_heartbeat(void **state)
{
	(void)state;
	static const char *const patterns[] = {"(.*a){30}.*", "((.*a){3}|(.*a){5}){9}.*"};
	for (size_t i = 0; i < 2; i++) {
		struct consumer_beat b = join_of("x"), other = join_of("y");
		size_t beats = 1;
		start_many(500, 230);
		b.names = NULL;
		b.pattern = str_of(patterns[i]);
		assert_int_equal(send(&b), ERR_OK);
		assert_int_equal(t.answer.member->assigned.count, 0);
		assert_true(many.looks < 400); /* most of them are still to come */
		other.names = NULL;
		other.pattern =
		    STR("a*00007"); /* waits for its turn, not for the other to be done */
		assert_int_equal(send(&other), ERR_OK);
		assert_int_equal(beat("y", t.answer.epoch, NULL), ERR_OK);
		for (; t.group.patterns_behind; beats++) {
			many.looks = 0;
			assert_int_equal(beat("x", member("x")->epoch, NULL), ERR_OK);
			assert_true(many.looks < 700);
			if (beats == 3) /* the names move under it */
				many_add("", 100);
		}
		assert_true(beats > 3);
		assert_int_equal(t.group.topic_count, 501);
		/* one more costs one look with the pattern */
		many_add("", 230);
		assert_int_equal(beat("x", member("x")->epoch, NULL), ERR_OK);
		assert_false(t.group.patterns_behind);
		assert_int_equal(t.group.topic_count, 502);
		b = (struct consumer_beat){.member_id = STR("x"), .epoch = CONSUMER_LEAVES};
		assert_int_equal(send(&b), ERR_OK);
		b.member_id = STR("y");
		assert_int_equal(send(&b), ERR_OK);
	}
}

static void a_restored_group_loads_until_its_patterns_are_through(void **state)
{
	(void)state;
	struct consumer_restore from = {.id = STR("x"),
	    .client_id = STR(""),
	    .client_host = STR(""),
	    .pattern = STR("(.*a){30}.*"),
	    .rebalance_timeout_ms = 1000};
	struct consumer_member *m;
	int beats = 0;
	enum err e;
	start_many(200, 230);
	consumer_take_epoch(&t.group, 7);
	assert_int_equal(consumer_restore_member(&t.group, &from, &m), ERR_OK);
	m->epoch = 7;
	m->target.at = mem_calloc(1, sizeof(*m->target.at));
	m->target.count = 1;
	m->target.at[0].topic = many.topic[3].id;
	m->assigned.at = mem_calloc(1, sizeof(*m->assigned.at));
	m->assigned.count = 1;
	m->assigned.at[0] = m->target.at[0];
	assert_int_equal(consumer_restored(&t.group, t.now), ERR_OK);
	while ((e = beat("x", 7, NULL)) == ERR_COORDINATOR_LOADING) {
		assert_int_equal(member("x")->assigned.count, 1); /* keeps what it has */
		assert_int_equal(t.group.epoch, 7);
		beats++;
	}
	assert_int_equal(e, ERR_OK);
	assert_true(beats > 1);
	assert_int_equal(member("x")->assigned.count, 200);
}

static void a_pattern_finds_what_its_client_may_see(void **state)
{
	(void)state;
	struct consumer_beat b = join_of("x");
	start_many(3, 1);
	many_add("secret", 1);
	many.hidden = "asecret";
	b.names = NULL;
	b.pattern = STR("a.*");
	b.viewer = STR("\nUser:a");
	assert_int_equal(send(&b), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 3);
	assert_false(consumer_is_subscribed(&t.group, &many.topic[3]));
	many_add("secret", 1); /* nor one that comes later */
	assert_int_equal(beat("x", t.answer.epoch, NULL), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 3);
	many.judged = 0; /* nobody is asked again while nothing changes */
	assert_int_equal(beat("x", t.answer.epoch, NULL), ERR_OK);
	assert_int_equal(many.judged, 0);
	many.hidden = NULL; /* the lists change */
	many.rights++;
	assert_int_equal(beat("x", t.answer.epoch, NULL), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 5);
	many.hidden = "a0000";
	many.rights++;
	assert_int_equal(beat("x", t.answer.epoch, &nothing), ERR_OK);
	assert_int_equal(t.answer.member->assigned.count, 2);
	/* another client's finds are its own; nobody of whom nothing is restricted is asked about */
	many.judged = 0;
	b = join_of("y");
	b.names = NULL;
	b.pattern = STR("a.*");
	b.viewer = STR("");
	assert_int_equal(send(&b), ERR_OK);
	assert_int_equal(many.judged, 0);
	assert_int_equal(t.group.topic_count, 5);
	assert_int_equal(member("x")->subscription->topic_count, 2);
}

/* ---- assignors ------------------------------------------------------------------------------------ */

static void uniform_shares_evenly_and_moves_little(void **state)
{
	(void)state;
	char id[16];
	t.topic[0].partition_count = 100;
	for (int n = 1; n <= 7; n++) {
		snprintf(id, sizeof id, "m%d", n);
		struct consumer_parts before[8];
		for (int i = 1; i < n; i++) {
			char old[16];
			snprintf(old, sizeof old, "m%d", i);
			const struct consumer_parts *target = &member(old)->target;
			before[i].count = target->count;
			before[i].at = malloc((target->count + 1) * sizeof *target->at);
			assert_non_null(before[i].at);
			memcpy(before[i].at, target->at, target->count * sizeof *target->at);
		}
		assert_int_equal(join(id), ERR_OK);
		for (int i = 1; i <= n; i++) {
			char one[16];
			snprintf(one, sizeof one, "m%d", i);
			const struct consumer_parts *target = &member(one)->target;
			assert_in_range(target->count, 100 / n, (100 + n - 1) / n);
			for (size_t k = 0; i < n && k < target->count; k++) /* nobody gains */
				assert_non_null(consumer_parts_find(
				    &before[i], target->at[k].topic, target->at[k].partition));
			if (i < n)
				free(before[i].at);
		}
	}
}

static void uniform_balances_what_different_members_want(void **state)
{
	(void)state;
	t.topic[0].partition_count = 6;
	t.topic[1].partition_count = 6;
	struct consumer_beat b = join_of("both");
	b.names = both;
	b.name_count = 2;
	send(&b);
	join("a1");
	join("a2");
	/* twelve for three, but b is for one alone */
	assert_int_equal(member("both")->target.count, 6);
	assert_int_equal(member("a1")->target.count, 3);
	assert_int_equal(member("a2")->target.count, 3);
}

static void range_gives_runs_of_each_topic(void **state)
{
	(void)state;
	t.topic[1].partition_count = 4;
	static const char *const ids[] = {"z", "y", "x"};
	for (int i = 0; i < 3; i++) {
		struct consumer_beat b = join_of(ids[i]);
		b.names = both;
		b.name_count = 2;
		b.assignor = STR("range");
		assert_int_equal(send(&b), ERR_OK);
	}
	assert_true(str_equal(consumer_assignor(&t.group), STR("range")));
	const struct consumer_parts *x = &member("x")->target;
	assert_int_equal(x->count, 4); /* the first by name: two of each */
	assert_int_equal(x->at[0].partition, 0);
	assert_int_equal(x->at[1].partition, 1);
	assert_int_equal(x->at[2].partition, 0);
	assert_int_equal(x->at[3].partition, 1);
	assert_int_equal(member("y")->target.at[0].partition, 2);
	assert_int_equal(member("z")->target.at[0].partition, 3);
}

static void out_of_memory_leaves_a_group_that_holds(void **state)
{
	(void)state;
	join("x");
	for (uint64_t nth = 1; nth < 200; nth++) {
		struct consumer_beat b = join_of("y");
		b.names = both;
		b.name_count = 2;
		mem_fail_at(nth);
		enum err e = consumer_beat(&t.group, &b, t.now, &t.answer);
		mem_fail_at(0);
		err_clear();
		consumer_check(&t.group);
		if (e == ERR_OK && nth > 40)
			break;
		assert_true(e == ERR_OK || e == ERR_NOMEM);
		if (member("y"))
			beat("y", CONSUMER_LEAVES, NULL);
	}
}

#define ONE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    ONE(the_first_member_has_everything_at_once),
	    ONE(a_partition_moves_when_its_owner_says_that_it_has_let_go),
	    ONE(what_a_member_leaves_behind_goes_to_the_others),
	    ONE(who_is_silent_for_its_session_is_removed),
	    ONE(who_does_not_revoke_in_time_is_removed),
	    ONE(a_wrong_epoch_is_fenced),
	    ONE(bounds_hold),
	    ONE(a_static_member_that_comes_back_has_what_it_had),
	    ONE(an_administrator_removes_a_static_member),
	    ONE(an_older_epoch_is_good_for_what_was_assigned_then),
	    ONE(topics_are_followed_as_they_come_grow_and_go),
	    ONE(a_pattern_finds_internal_topics_as_in_kafka_but_none_of_ours),
	    ONE(a_pattern_looks_at_a_name_once),
	    ONE(much_work_goes_on_from_heartbeat_to_heartbeat),
	    ONE(a_restored_group_loads_until_its_patterns_are_through),
	    ONE(a_pattern_finds_what_its_client_may_see),
	    ONE(uniform_shares_evenly_and_moves_little),
	    ONE(uniform_balances_what_different_members_want),
	    ONE(range_gives_runs_of_each_topic),
	    ONE(out_of_memory_leaves_a_group_that_holds),
	};
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
