/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/group_fixture.h"
#include "test/lib/test.h"
#include <stdio.h>

struct group_fixture t;

static void copy_text(char *to, size_t len, struct str from)
{
	snprintf(to, len, STR_FMT, STR_ARG(from));
}

static void on_joined(struct group *g, void *waiter, const struct group_join_result *r)
{
	struct told *told = waiter;
	told->answers++;
	told->err = r->err;
	told->generation = r->generation;
	told->with_members = r->with_members;
	told->skip = r->skip_assignment;
	copy_text(told->member_id, ID_BYTES, r->member_id);
	copy_text(told->leader, ID_BYTES, r->leader);
	copy_text(told->protocol, sizeof told->protocol, r->protocol);
	told->member_count = 0;
	if (!r->with_members)
		return;
	LIST_EACH(&g->members, node, tmp)
	{
		struct group_member *m = CONTAINER_OF(node, struct group_member, node);
		copy_text(told->members[told->member_count++], ID_BYTES, str_of(m->id));
	}
}

static void on_synced(struct group *g, void *waiter, const struct group_sync_result *r)
{
	struct told *told = waiter;
	(void)g;
	told->answers++;
	told->sync = true;
	told->err = r->err;
	told->assignment_len = r->assignment.len;
	if (r->assignment.len && r->assignment.len < sizeof told->assignment)
		memcpy(told->assignment, r->assignment.ptr, r->assignment.len);
}

static void on_store(struct group *g, uint64_t id)
{
	(void)g;
	t.stored = id;
	t.stores++;
}

static void on_random(struct group *g, void *buf, size_t len)
{
	(void)g;
	memset(buf, 0, len);
	t.random++;
	memcpy(buf, &t.random, sizeof t.random);
}

static const struct group_ops ops = {on_joined, on_synced, on_store, on_random};

void settle(void)
{
	while (t.stored && !t.hold_store) {
		uint64_t id = t.stored;
		t.stored = 0;
		group_stored(&t.group, id, ERR_OK, t.now);
	}
	group_check(&t.group);
}

void pass(int64_t ms)
{
	int64_t end = t.now + ms;
	while (t.group.next_due_ms <= end) {
		t.now = t.group.next_due_ms > t.now ? t.group.next_due_ms : t.now;
		group_tick(&t.group, t.now);
		settle();
		assert_true(t.group.next_due_ms > t.now);
	}
	t.now = end;
}

int group_fixture_start(void **state)
{
	(void)state;
	memset(&t, 0, sizeof t);
	t.limits = group_limits_default;
	t.limits.members_max = 16;
	t.now = 1000000;
	assert_int_equal(group_init(&t.group, STR("g"), &ops, &t.limits), ERR_OK);
	return 0;
}

int group_fixture_stop(void **state)
{
	(void)state;
	for (size_t i = 0; i < WAITERS; i++)
		group_forget_waiter(&t.group, &t.told[i]);
	group_release(&t.group);
	return 0;
}

/* ---- hand-driven members ------------------------------------------------------------------- */

const struct group_protocol range = {{"range", 5}, {(const uint8_t *)"r1", 2}};
const struct group_protocol sticky[2] = {
    {{"sticky", 6}, {(const uint8_t *)"s1", 2}}, {{"range", 5}, {(const uint8_t *)"r1", 2}}};

struct group_join join_of(int waiter, const char *member_id)
{
	t.told[waiter] = (struct told){0};
	return (struct group_join){
	    .member_id = str_of(member_id),
	    .client_id = STR("client"),
	    .client_host = STR("/127.0.0.1"),
	    .protocol_type = STR("consumer"),
	    .session_timeout_ms = 10000,
	    .rebalance_timeout_ms = 60000,
	    .protocols = &range,
	    .protocol_count = 1,
	    .waiter = &t.told[waiter],
	};
}

struct told *send_join(const struct group_join *join)
{
	group_join(&t.group, join, t.now);
	settle();
	return join->waiter;
}

struct told *join(int waiter, const char *member_id)
{
	struct group_join j = join_of(waiter, member_id);
	return send_join(&j);
}

struct told *join_static(int waiter, const char *instance)
{
	struct group_join j = join_of(waiter, "");
	j.instance_id = str_of(instance);
	return send_join(&j);
}

struct told *sync_with(int waiter, const char *member_id, int32_t generation,
    const struct group_assignment *assignments, size_t count)
{
	t.told[waiter] = (struct told){0};
	struct group_sync s = {
	    .member_id = str_of(member_id),
	    .generation = generation,
	    .assignments = assignments,
	    .assignment_count = count,
	    .waiter = &t.told[waiter],
	};
	group_sync(&t.group, &s, t.now);
	settle();
	return &t.told[waiter];
}
