/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Members of consumer groups: they join, share the partitions of t0 as their leader says, take up
 * the offset that was committed and commit greater ones, beat, leave, or vanish. What an offset
 * commit acknowledged may never be unseen by a later fetch of the offset; so a member of an old
 * generation must not be able to commit.
 */
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>

enum {
	AGAIN = 7,
	COORDINATOR_LOADING = 14,
	NOT_COORDINATOR = 16,
	ILLEGAL_GENERATION = 22,
	UNKNOWN_MEMBER = 25,
	REBALANCE = 27,
	STORAGE = 56,
	MEMBER_ID_REQUIRED = 79,
};

enum state { OUT, JOINING, JOINED, SYNCING, STABLE };

struct subscriber {
	struct world *w;
	char name[16], group[8], id[128];
	int group_number;
	struct wire wire;
	struct loop_timer tick;
	struct wire_call call;
	bool busy;
	enum state state;
	int32_t generation;
	bool leads;
	char others[MODEL_PARTITIONS_MAX * 4][128]; /* the leader's list */
	uint32_t other_count;
	bool owns[MODEL_PARTITIONS_MAX], fetched[MODEL_PARTITIONS_MAX];
	int64_t position[MODEL_PARTITIONS_MAX];
	int32_t asked; /* partition */
	int64_t asked_offset, acked_before;
	unsigned stable_steps;
	unsigned commits_done; /* in this life */
};

static void again(struct subscriber *m, int64_t ns)
{
	if (!m->w->stopping)
		loop_timer_set(m->w->loop, &m->tick, loop_now_ns(m->w->loop) + ns);
}

static void ask(struct subscriber *m, int16_t key, int16_t version, const void *body,
    void (*done)(struct wire_call *))
{
	m->busy = true;
	m->call = (struct wire_call){.key = key, .version = version, .done = done};
	wire_send(&m->wire, &m->call, body);
}

static struct subscriber *answered(struct wire_call *call)
{
	struct subscriber *m = CONTAINER_OF(call, struct subscriber, call);
	m->busy = false;
	return m;
}

static void leave_state(struct subscriber *m)
{
	m->state = OUT;
	memset(m->owns, 0, sizeof(m->owns));
	memset(m->fetched, 0, sizeof(m->fetched));
}

/* True when the answer is good; else the member begins again. */
static bool is_good(struct subscriber *m, const char *what, int16_t code)
{
	bool trouble = m->w->faulty || m->w->scarce;
	if (code == 0)
		return true;
	trace(m->w, m->name, "%s: error %d", what, code);
	if (code == UNKNOWN_MEMBER)
		m->id[0] = '\0';
	else if (code != ILLEGAL_GENERATION && code != REBALANCE && code != AGAIN &&
	         code != COORDINATOR_LOADING && code != NOT_COORDINATOR && !trouble)
		violated("refused", "%s: %s: error %d", m->name, what, code);
	leave_state(m);
	return false;
}

/* ---- joining --------------------------------------------------------------------------------- */

static void joined(struct wire_call *call)
{
	struct subscriber *m = answered(call);
	const struct join_group_response *r = call->response;
	if (!r) {
		leave_state(m);
		return;
	}
	if (r->error_code == MEMBER_ID_REQUIRED) {
		snprintf(m->id, sizeof(m->id), STR_FMT, STR_ARG(r->member_id));
		m->state = OUT;
		return;
	}
	if (!is_good(m, "join", r->error_code))
		return;
	snprintf(m->id, sizeof(m->id), STR_FMT, STR_ARG(r->member_id));
	m->generation = r->generation_id;
	m->leads = str_equal(r->leader, r->member_id);
	m->other_count = 0;
	for (uint32_t i = 0; i < r->members.count && i < MODEL_PARTITIONS_MAX * 4; i++)
		snprintf(
		    m->others[m->other_count++], 128, STR_FMT, STR_ARG(r->members.at[i].member_id));
	trace(m->w, m->name, "is in generation %d of %s%s", m->generation, m->group,
	    m->leads ? ", and leads" : "");
	m->state = JOINED;
}

static void join(struct subscriber *m)
{
	struct join_group_request_protocol protocol = {STR("share"), str_bytes(STR("x"))};
	struct join_group_request body;
	msg_init(&join_group_request_shape, &body);
	body.group_id = str_of(m->group);
	body.session_timeout_ms = 100 + (int32_t)below(m->w, 400);
	body.rebalance_timeout_ms = 100 + (int32_t)below(m->w, 400);
	body.member_id = str_of(m->id);
	body.protocol_type = STR("sim");
	body.protocols.at = &protocol;
	body.protocols.count = 1;
	m->state = JOINING;
	leave_state(m);
	m->state = JOINING;
	ask(m, API_JOIN_GROUP, (int16_t)(2 + below(m->w, 8)), &body, joined);
}

static void synced(struct wire_call *call)
{
	struct subscriber *m = answered(call);
	const struct sync_group_response *r = call->response;
	if (!r) {
		leave_state(m);
		return;
	}
	if (!is_good(m, "sync", r->error_code))
		return;
	for (size_t i = 0; i < r->assignment.len; i++)
		if (r->assignment.ptr[i] < MODEL_PARTITIONS_MAX)
			m->owns[r->assignment.ptr[i]] = true;
	m->state = STABLE;
	m->stable_steps = 0;
}

/* Partition n goes to member n modulo their number: each to one. */
static void sync(struct subscriber *m)
{
	struct sync_group_request_assignment a[MODEL_PARTITIONS_MAX * 4];
	uint8_t parts[MODEL_PARTITIONS_MAX * 4][MODEL_PARTITIONS_MAX];
	struct sync_group_request body;
	msg_init(&sync_group_request_shape, &body);
	body.group_id = str_of(m->group);
	body.generation_id = m->generation;
	body.member_id = str_of(m->id);
	for (uint32_t i = 0; m->leads && i < m->other_count; i++) {
		size_t count = 0;
		for (uint8_t p = 0; p < MODEL_PARTITIONS_MAX; p++)
			if (p % m->other_count == i)
				parts[i][count++] = p;
		a[i].member_id = str_of(m->others[i]);
		a[i].assignment = bytes_of(parts[i], count);
	}
	body.assignments.at = a;
	body.assignments.count = m->leads ? m->other_count : 0;
	m->state = SYNCING;
	ask(m, API_SYNC_GROUP, (int16_t)below(m->w, 5), &body, synced);
}

/* ---- offsets --------------------------------------------------------------------------------- */

static struct model_commit *commit_of(struct subscriber *m, int32_t partition)
{
	return &m->w->model.commit[m->group_number][partition];
}

static void offset_fetched(struct wire_call *call)
{
	struct subscriber *m = answered(call);
	const struct offset_fetch_response *r = call->response;
	if (!r)
		return;
	if (!is_good(m, "offset fetch", r->error_code) || r->topics.count != 1)
		return;
	const struct offset_fetch_response_partition *p = &r->topics.at[0].partitions.at[0];
	const struct model_commit *c = commit_of(m, m->asked);
	if (p->error_code != 0 && !is_good(m, "offset fetch", p->error_code))
		return;
	if (p->committed_offset < m->acked_before || p->committed_offset > c->sent)
		violated("commit", "%s: %s-%d is at %lld; acknowledged %lld, at most %lld was sent",
		    m->name, m->group, m->asked, (long long)p->committed_offset,
		    (long long)m->acked_before, (long long)c->sent);
	m->position[m->asked] = p->committed_offset < 0 ? 0 : p->committed_offset;
	m->fetched[m->asked] = true;
}

static void fetch_offset(struct subscriber *m, int32_t partition)
{
	struct offset_fetch_request_topic t = {STR("t0"), {&partition, 1}};
	struct offset_fetch_request body;
	msg_init(&offset_fetch_request_shape, &body);
	body.group_id = str_of(m->group);
	body.topics.at = &t;
	body.topics.count = 1;
	m->asked = partition;
	m->acked_before = commit_of(m, partition)->acked;
	ask(m, API_OFFSET_FETCH, (int16_t)(3 + below(m->w, 4)), &body, offset_fetched);
}

static void committed(struct wire_call *call)
{
	struct subscriber *m = answered(call);
	const struct offset_commit_response *r = call->response;
	if (!r)
		return;
	int16_t code = r->topics.at[0].partitions.at[0].error_code;
	if (!is_good(m, "commit", code))
		return;
	struct model_commit *c = commit_of(m, m->asked);
	trace(m->w, m->name, "%s-%d is committed at %lld", m->group, m->asked,
	    (long long)m->asked_offset);
	if (m->asked_offset < c->acked)
		violated("commit", "%s: %lld for %s-%d was accepted behind %lld", m->name,
		    (long long)m->asked_offset, m->group, m->asked, (long long)c->acked);
	c->acked = m->asked_offset;
	m->position[m->asked] = m->asked_offset;
	m->w->commits_acked++;
	m->commits_done++;
}

static void commit(struct subscriber *m, int32_t partition)
{
	struct model_commit *c = commit_of(m, partition);
	struct offset_commit_request_partition p;
	struct offset_commit_request_topic t = {.name = STR("t0"), .partitions = {&p, 1}};
	struct offset_commit_request body;
	msg_init(&offset_commit_request_partition_shape, &p);
	msg_init(&offset_commit_request_shape, &body);
	p.partition_index = partition;
	p.committed_offset = m->position[partition] + 1 + (int64_t)below(m->w, 10);
	p.committed_metadata = STR("sim");
	body.group_id = str_of(m->group);
	body.generation_id_or_member_epoch = m->generation;
	body.member_id = str_of(m->id);
	body.topics.at = &t;
	body.topics.count = 1;
	m->asked = partition;
	m->asked_offset = p.committed_offset;
	if (p.committed_offset > c->sent)
		c->sent = p.committed_offset;
	ask(m, API_OFFSET_COMMIT, (int16_t)(5 + below(m->w, 4)), &body, committed);
}

static void beaten(struct wire_call *call)
{
	struct subscriber *m = answered(call);
	const struct heartbeat_response *r = call->response;
	if (r)
		(void)is_good(m, "heartbeat", r->error_code);
}

static void beat(struct subscriber *m)
{
	struct heartbeat_request body;
	msg_init(&heartbeat_request_shape, &body);
	body.group_id = str_of(m->group);
	body.generation_id = m->generation;
	body.member_id = str_of(m->id);
	ask(m, API_HEARTBEAT, (int16_t)below(m->w, 5), &body, beaten);
}

static void left(struct wire_call *call)
{
	struct subscriber *m = answered(call);
	m->id[0] = '\0';
	leave_state(m);
}

static void leave(struct subscriber *m)
{
	struct leave_group_request_member one = {.member_id = str_of(m->id)};
	struct leave_group_request body = {.group_id = str_of(m->group), .members = {&one, 1}};
	ask(m, API_LEAVE_GROUP, 4, &body, left);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void be_stable(struct subscriber *m)
{
	struct world *w = m->w;
	int32_t partitions = w->model.topic[model_topic_named(&w->model, "t0")].partitions;
	int32_t p = (int32_t)below(w, (uint64_t)partitions);
	m->stable_steps++;
	if (!w->last_life && below(w, 60) == 0)
		leave(m);
	else if (m->owns[p] && !m->fetched[p])
		fetch_offset(m, p);
	else if (m->owns[p] && chance(w, 60))
		commit(m, p);
	else
		beat(m);
}

static void step(struct loop_timer *timer)
{
	struct subscriber *m = CONTAINER_OF(timer, struct subscriber, tick);
	struct world *w = m->w;
	if (w->stopping)
		return;
	/* now and then it is away for longer than its session lasts */
	bool away = !w->last_life && below(w, 80) == 0;
	again(m, away ? S_NS : (int64_t)(1 + below(w, 15)) * MS_NS);
	if (wire_is_idle(&m->wire) && !wire_open(&m->wire))
		return;
	if (!wire_is_open(&m->wire) || m->busy || model_topic_named(&w->model, "t0") == UINT32_MAX)
		return;
	if (m->state == OUT)
		join(m);
	else if (m->state == JOINED)
		sync(m);
	else if (m->state == STABLE)
		be_stable(m);
	if (!w->last_life && chance(w, w->plan.break_percent))
		sim_io_break(w->io, m->wire.fd);
}

static void down(struct wire *wire)
{
	struct subscriber *m = CONTAINER_OF(wire, struct subscriber, wire);
	if (m->state != STABLE)
		m->state = OUT;
	again(m, MS_NS);
}

void subscriber_new(struct world *w, int number)
{
	struct subscriber *m = xcalloc(1, sizeof(*m));
	m->w = w;
	m->group_number = number % MODEL_GROUPS;
	if (chance(w, 50))
		m->group_number = 0;
	snprintf(m->name, sizeof(m->name), "memb%d", number);
	snprintf(m->group, sizeof(m->group), "g%d", m->group_number);
	wire_init(&m->wire, w, m->name, down);
	w->subscribers[number] = m;
}

void subscriber_start(struct subscriber *m)
{
	loop_timer_init(&m->tick, step);
	m->stable_steps = m->commits_done = 0;
	again(m, (int64_t)(1 + below(m->w, 20)) * MS_NS);
}

void subscriber_stop(struct subscriber *m)
{
	loop_timer_cancel(m->w->loop, &m->tick);
	wire_close(&m->wire);
}

bool subscriber_is_resting(const struct subscriber *m)
{
	return wire_is_idle(&m->wire);
}

/* Everybody gets a place in the group again, and each offset was looked at by somebody. */
bool subscriber_is_done(const struct subscriber *m)
{
	return m->stable_steps > 10 || model_topic_named(&m->w->model, "t0") == UINT32_MAX;
}

void subscriber_free(struct subscriber *m)
{
	wire_release(&m->wire);
	free(m);
}
