/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The consumer group state machine against simulated clients that join, beat, revoke late, lose
 * answers, leave, crash and come back, some of them with the classic protocol, eager or
 * cooperative, while topics come, grow and go and the server starts anew from its rows. After each
 * step every invariant is checked and no partition is in the hands of two clients; when the clients
 * behave again, everything is assigned within a few rounds.
 */
#include "broker/groups/consumer_rows.h"
#include "test/lib/consumer_stub.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include "test/lib/xmalloc.h"
#include <stdio.h>
#include <stdlib.h>

enum { CLIENTS = 7, TOPICS = 5, PARTITIONS = 12, STEPS = 6000, SESSION_MS = 45000 };

struct client {
	bool in; /* believes that it is a member */
	bool crashed;
	bool classic, eager; /* how it speaks; changes while it is away */
	bool joined;         /* classic: has to fetch its assignment */
	char id[40];
	char instance[16];
	int32_t epoch;
	bool owns[TOPICS][PARTITIONS];  /* what it consumes: none of it is another's */
	bool wants[TOPICS][PARTITIONS]; /* what it was told last */
	uint64_t born[TOPICS];          /* of the topics it was told about */
	bool said;                      /* it has told the group what it owns */
	int64_t contact;
};

struct topic_of_model {
	struct log_topic topic;
	char name[16];
	bool there;
	uint64_t born;
};

static struct {
	struct consumer_group group;
	struct consumer_limits limits;
	struct prng prng;
	struct client client[CLIENTS];
	struct topic_of_model topic[TOPICS];
	uint64_t version, births, rebirths, beats, fenced, ids, joins, mixed;
	int64_t now;
	int32_t last_epoch;
	bool by_range, with_classic;
} m;

static bool chance(uint64_t percent)
{
	return prng_below(&m.prng, 100) < percent;
}

/* ---- the world of the group -------------------------------------------------------------------- */

static const struct log_topic *topic_find(struct consumer_group *c, struct str name)
{
	(void)c;
	for (int i = 0; i < TOPICS; i++) {
		if (m.topic[i].there && str_equal(m.topic[i].topic.name, name))
			return &m.topic[i].topic;
	}
	return NULL;
}

static const struct log_topic *topic_by_id(struct consumer_group *c, struct log_uuid id)
{
	(void)c;
	for (int i = 0; i < TOPICS; i++) {
		if (m.topic[i].there && log_uuid_equal(m.topic[i].topic.id, id))
			return &m.topic[i].topic;
	}
	return NULL;
}

static const struct log_topic *topic_next(struct consumer_group *c, size_t *cursor)
{
	(void)c;
	while (*cursor < TOPICS) {
		const struct topic_of_model *t = &m.topic[(*cursor)++];
		if (t->there)
			return &t->topic;
	}
	return NULL;
}

static uint64_t topics_version(struct consumer_group *c)
{
	(void)c;
	return m.version;
}

static void random_bytes(struct consumer_group *c, void *buf, size_t len)
{
	(void)c;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)prng_below(&m.prng, 256);
}

static const struct consumer_ops ops = {
    .topic_find = topic_find,
    .topic_by_id = topic_by_id,
    .topic_next = topic_next,
    .may_see = consumer_may_see_all,
    .rights_version = consumer_rights_stay,
    .topics_version = topics_version,
    .random = random_bytes,
};

static void topic_birth(int i)
{
	struct topic_of_model *t = &m.topic[i];
	t->there = true;
	t->born = ++m.births;
	snprintf(t->name, sizeof t->name, "topic-%d", i);
	t->topic = (struct log_topic){
	    .name = str_of(t->name), .partition_count = 1 + (int32_t)prng_below(&m.prng, 6)};
	put_u64_be(t->topic.id.b, prng_below(&m.prng, 1000));
	put_u64_be(t->topic.id.b + 8, t->born);
	t->topic.born = ++m.version;
}

static void topic_change(void)
{
	int i = (int)prng_below(&m.prng, TOPICS);
	struct topic_of_model *t = &m.topic[i];
	if (!t->there) {
		topic_birth(i);
	} else if (chance(30)) {
		t->there = false;
		m.version++;
	} else if (t->topic.partition_count < PARTITIONS) {
		t->topic.partition_count++;
		m.version++;
	}
}

static int topic_index(struct log_uuid id)
{
	for (int i = 0; i < TOPICS; i++) {
		if (m.topic[i].there && log_uuid_equal(m.topic[i].topic.id, id))
			return i;
	}
	return -1;
}

/* ---- clients ------------------------------------------------------------------------------------ */

static void forget(struct client *c)
{
	c->in = false;
	c->epoch = 0;
	memset(c->owns, 0, sizeof c->owns);
	memset(c->wants, 0, sizeof c->wants);
	c->said = c->joined = false;
}

static void told(struct client *c, const struct consumer_answer *answer)
{
	assert_non_null(answer->member);
	snprintf(c->id, sizeof c->id, "%s", answer->member->id);
	assert_true(answer->epoch >= c->epoch);
	c->epoch = answer->epoch;
	c->in = true;
	if (!answer->with_assignment)
		return;
	memset(c->wants, 0, sizeof c->wants);
	for (size_t i = 0; i < answer->member->assigned.count; i++) {
		const struct consumer_part *part = &answer->member->assigned.at[i];
		int t = topic_index(part->topic);
		if (t < 0)
			continue; /* deleted a moment ago */
		c->wants[t][part->partition] = true;
		c->born[t] = m.topic[t].born;
	}
	/* what it is not to have any more it may go on with for a while; what it gets it takes at
	 * once */
	for (int t = 0; t < TOPICS; t++) {
		for (int p = 0; p < PARTITIONS; p++)
			c->owns[t][p] = c->owns[t][p] || c->wants[t][p];
	}
}

static void revoke(struct client *c)
{
	for (int t = 0; t < TOPICS; t++) {
		for (int p = 0; p < PARTITIONS; p++)
			c->owns[t][p] = c->owns[t][p] && c->wants[t][p];
	}
}

/* Topics that are gone are nobody's, and neither is one that has come back under the name. */
static void lose_topics(void)
{
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &m.client[i];
		for (int t = 0; t < TOPICS; t++) {
			if (m.topic[t].there && c->born[t] == m.topic[t].born)
				continue;
			memset(c->owns[t], 0, sizeof c->owns[t]);
			memset(c->wants[t], 0, sizeof c->wants[t]);
		}
	}
}

static size_t owned_parts(const struct client *c, struct consumer_part *parts)
{
	size_t count = 0;
	for (int t = 0; t < TOPICS; t++) {
		for (int p = 0; p < PARTITIONS; p++) {
			if (c->owns[t][p])
				parts[count++] = (struct consumer_part){
				    .topic = m.topic[t].topic.id, .partition = p};
		}
	}
	for (size_t i = 1; i < count; i++) {
		struct consumer_part part = parts[i];
		size_t k = i;
		for (; k > 0 && consumer_part_order(&parts[k - 1], &part) > 0; k--)
			parts[k] = parts[k - 1];
		parts[k] = part;
	}
	return count;
}

/* Most want all topics, some only some, some by a pattern. */
static void subscribe(const struct client *c, struct consumer_beat *b, struct str *names)
{
	size_t kind = (size_t)(c - m.client) % 4;
	b->names = names;
	if (kind == 3) {
		b->pattern = STR("topic-[0-2]");
		return;
	}
	for (int t = 0; t < TOPICS; t++) {
		static const char *const all[] = {
		    "topic-0", "topic-1", "topic-2", "topic-3", "topic-4"};
		if (kind != 2 || t % 2 == 0)
			names[b->name_count++] = str_of(all[t]);
	}
}

/* Anything is taken but a member that is not one of the group's any more. */
static void check_refusal(struct client *c, enum err e)
{
	assert_true(e == ERR_UNKNOWN_MEMBER || e == ERR_FENCED_MEMBER_EPOCH ||
	            e == ERR_UNRELEASED_INSTANCE || e == ERR_FENCED_INSTANCE ||
	            e == ERR_ILLEGAL_GENERATION);
	m.fenced++;
	forget(c);
	if (e == ERR_FENCED_INSTANCE)
		snprintf(c->id, sizeof c->id, "m%llu", (unsigned long long)++m.ids);
}

static void sync_classic(struct client *c, struct str instance)
{
	struct consumer_answer answer = {.epoch = c->epoch, .with_assignment = true};
	struct group_sync sync = {.member_id = str_of(c->id),
	    .instance_id = instance,
	    .generation = c->epoch,
	    .protocol_type = STR("consumer")};
	enum err e = consumer_sync(&m.group, &sync, m.now, &answer.member);
	if (e == ERR_OK) {
		told(c, &answer);
		c->joined = false;
	} else if (e != ERR_REBALANCE_IN_PROGRESS) {
		check_refusal(c, e);
	}
}

static void join_classic(struct client *c, struct str instance, bool lost)
{
	struct consumer_part parts[TOPICS * PARTITIONS];
	struct str names[TOPICS];
	struct consumer_answer answer;
	const struct group_protocol protocols[] = {
	    {c->eager ? STR("eager") : STR("cooperative"), {(const uint8_t *)"x", 1}},
	    {STR("both"), {0}}};
	const struct consumer_speech speech = {10000, protocols, 2};
	if (c->eager)
		memset(c->owns, 0, sizeof c->owns);
	struct consumer_parts owned = {parts, owned_parts(c, parts)};
	struct consumer_beat b = {
	    .member_id = instance.ptr && !c->in ? STR("") : str_of(c->id),
	    .instance_id = instance,
	    .client_id = STR("client"),
	    .client_host = STR("/127.0.0.1"),
	    .rebalance_timeout_ms = 10000,
	    .owned = &owned,
	    .classic = &speech,
	};
	subscribe(c, &b, names);
	if (!b.name_count)
		names[b.name_count++] = STR("topic-0");
	b.pattern = STR("");
	m.joins++;
	enum err e = consumer_join(&m.group, &b, NULL, m.now, &answer);
	if (e != ERR_OK) {
		check_refusal(c, e);
		return;
	}
	if (lost) {
		forget(c);
		return;
	}
	answer.with_assignment = false;
	told(c, &answer);
	c->joined = true;
	sync_classic(c, instance);
}

static void beat_classic(struct client *c, bool lost)
{
	struct str instance = c->instance[0] ? str_of(c->instance) : (struct str){NULL, 0};
	enum err e = ERR_REBALANCE_IN_PROGRESS;
	m.mixed += m.group.classic_count > 0 && m.group.classic_count < m.group.member_count;
	if (c->in)
		e = consumer_heartbeat(&m.group, str_of(c->id), instance, c->epoch, m.now);
	c->contact = m.now;
	if (e == ERR_REBALANCE_IN_PROGRESS)
		join_classic(c, instance, lost);
	else if (e != ERR_OK)
		check_refusal(c, e);
	else if (c->joined)
		sync_classic(c, instance);
	err_clear();
}

static void beat(struct client *c, bool full, bool lost)
{
	if (!c->in && m.with_classic && chance(30)) {
		c->classic = !c->classic;
		c->eager = chance(50);
	}
	if (c->classic) {
		beat_classic(c, lost);
		return;
	}
	struct consumer_part parts[TOPICS * PARTITIONS];
	struct str names[TOPICS];
	struct consumer_parts owned = {parts, owned_parts(c, parts)};
	struct consumer_answer answer;
	struct consumer_beat b = {
	    .member_id = str_of(c->id),
	    .instance_id = c->instance[0] ? str_of(c->instance) : (struct str){NULL, 0},
	    .client_id = STR("client"),
	    .client_host = STR("/127.0.0.1"),
	    .epoch = c->in ? c->epoch : 0,
	    .rebalance_timeout_ms = -1,
	};
	if (!c->in || full) {
		b.rebalance_timeout_ms = 10000;
		b.owned = &owned;
		if (m.by_range)
			b.assignor = STR("range");
		subscribe(c, &b, names);
	}
	m.beats++;
	enum err e = consumer_beat(&m.group, &b, m.now, &answer);
	if (e == ERR_OK) {
		c->contact = m.now;
		if (!lost)
			told(c, &answer);
	} else {
		check_refusal(c, e);
	}
	err_clear();
}

static void leave(struct client *c)
{
	struct consumer_answer answer;
	struct consumer_beat b = {
	    .member_id = str_of(c->id),
	    .instance_id = c->instance[0] ? str_of(c->instance) : (struct str){NULL, 0},
	    .epoch = c->instance[0] && chance(60) ? CONSUMER_LEAVES_SOON : CONSUMER_LEAVES,
	    .rebalance_timeout_ms = -1,
	};
	enum err e = c->classic ? consumer_leave(&m.group, b.member_id, b.instance_id)
	                        : consumer_beat(&m.group, &b, m.now, &answer);
	assert_true(e == ERR_OK || e == ERR_UNKNOWN_MEMBER || e == ERR_FENCED_INSTANCE);
	err_clear();
	forget(c);
	if (chance(50))
		snprintf(c->id, sizeof c->id, "m%llu", (unsigned long long)++m.ids);
}

/* ---- the server starts anew --------------------------------------------------------------------- */

static void restore_row(const struct log_row *row, void *ctx)
{
	enum consumer_row kind;
	struct str group, member;
	enum consumer_row *pass = ctx;
	assert_int_equal(consumer_row_key(row->key, &kind, &group, &member), ERR_OK);
	assert_true(str_equal(group, STR("g")));
	bool late = kind == CONSUMER_ROW_TARGET || kind == CONSUMER_ROW_CURRENT;
	if (late == (*pass == CONSUMER_ROW_CURRENT))
		assert_int_equal(consumer_row_read(&m.group, kind, member, row->value), ERR_OK);
}

static void restart(void)
{
	struct row_list list;
	const struct log_row *rows;
	enum consumer_row passes[] = {CONSUMER_ROW_MEMBER, CONSUMER_ROW_CURRENT};
	int32_t epoch = m.group.epoch, target = m.group.target_epoch;
	size_t members = m.group.member_count;
	row_list_init(&list);
	consumer_mark_all(&m.group);
	assert_int_equal(consumer_rows(&list, STR("g"), &m.group), ERR_OK);
	assert_int_equal(row_list_rows(&list, &rows), ERR_OK);
	consumer_release(&m.group);
	consumer_init(&m.group, &ops, &m.limits);
	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < list.count; i++)
			restore_row(&rows[i], &passes[pass]);
	}
	assert_int_equal(consumer_restored(&m.group, m.now), ERR_OK);
	assert_int_equal(m.group.epoch, epoch);
	assert_int_equal(m.group.target_epoch, target);
	assert_int_equal(m.group.member_count, members);
	row_list_release(&list);
	for (int i = 0; i < CLIENTS; i++)
		m.client[i].contact = m.now;
	m.rebirths++;
}

/* ---- what must hold ----------------------------------------------------------------------------- */

static void check(void)
{
	consumer_check(&m.group);
	assert_true(m.group.epoch >= m.last_epoch);
	m.last_epoch = m.group.epoch;
	for (int t = 0; t < TOPICS; t++) {
		for (int p = 0; p < PARTITIONS; p++) {
			int owners = 0;
			for (int i = 0; i < CLIENTS; i++)
				owners += m.client[i].owns[t][p];
			assert_true(owners <= 1);
		}
	}
}

/* A client that has heard nothing for its session, or has not revoked in time, is none any more and
 * knows it: its own timers run too. */
static void expire(void)
{
	consumer_tick(&m.group, m.now);
	for (int i = 0; i < CLIENTS; i++) {
		struct client *c = &m.client[i];
		if ((c->in || c->crashed) && !consumer_find(&m.group, str_of(c->id)))
			forget(c);
	}
}

static void step(void)
{
	struct client *c = &m.client[prng_below(&m.prng, CLIENTS)];
	uint64_t what = prng_below(&m.prng, 100);
	m.now += (int64_t)prng_below(&m.prng, chance(5) ? 20000 : 1500);
	expire();
	if (what < 3)
		topic_change();
	else if (what < 5)
		restart();
	else if (what < 8 && c->in)
		leave(c);
	else if (what < 10)
		c->crashed = !c->crashed;
	else if (what < 40)
		revoke(c);
	else if (!c->crashed)
		beat(c, !c->in || chance(60), chance(8));
	lose_topics();
	check();
}

/* Everybody behaves: in the end all is assigned to those who want it, and shared. */
static void settle(void)
{
	for (int round = 0; round < 30; round++) {
		m.now += 1000;
		expire();
		for (int i = 0; i < CLIENTS; i++) {
			m.client[i].crashed = false;
			revoke(&m.client[i]);
			beat(&m.client[i], true, false);
			lose_topics();
			check();
		}
	}
	assert_string_equal(consumer_state_name(&m.group), "Stable");
	assert_int_equal(m.group.member_count, CLIENTS);
	for (int t = 0; t < TOPICS; t++) {
		for (int p = 0; m.topic[t].there && p < m.topic[t].topic.partition_count; p++) {
			int owners = 0;
			for (int i = 0; i < CLIENTS; i++)
				owners += m.client[i].owns[t][p];
			assert_int_equal(owners, 1);
		}
	}
}

static void run(uint64_t seed, bool by_range, bool with_classic)
{
	memset(&m, 0, sizeof m);
	prng_init(&m.prng, seed);
	m.limits = consumer_limits_default;
	m.by_range = by_range;
	m.with_classic = with_classic;
	m.now = 1000000;
	consumer_init(&m.group, &ops, &m.limits);
	for (int i = 0; i < TOPICS; i++)
		topic_birth(i);
	for (int i = 0; i < CLIENTS; i++) {
		snprintf(m.client[i].id, sizeof m.client[i].id, "c%d", i);
		if (i % 3 == 1)
			snprintf(m.client[i].instance, sizeof m.client[i].instance, "i%d", i);
	}
	for (int part = 0; part < 6; part++) {
		for (int i = 0; i < STEPS / 6; i++)
			step();
		settle();
	}
	assert_true(m.rebirths > 0 && m.fenced > 0);
	assert_true(!with_classic || (m.joins > 100 && m.mixed > 100));
	consumer_release(&m.group);
}

static void no_partition_has_two_owners_and_all_find_one(void **state)
{
	(void)state;
	uint64_t seed = test_seed(848);
	for (uint64_t i = 0; i < 6; i++)
		run(seed + i, i % 2, false);
}

static void nor_with_members_of_both_protocols(void **state)
{
	(void)state;
	uint64_t seed = test_seed(1848);
	for (uint64_t i = 0; i < 6; i++)
		run(seed + i, i % 2, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_partition_has_two_owners_and_all_find_one),
	    cmocka_unit_test(nor_with_members_of_both_protocols),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
