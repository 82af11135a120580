/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expiry: a group at a time, round and round, each every check_interval_ms; after a topic was
 * deleted all of them soon. An offset goes when its topic is gone, or when retention has passed
 * since its commit and, for a group that had members, since it became EMPTY, unless a transaction
 * will commit another one. Of a group with members, consumers that are not just rebalancing, those
 * of topics go that no member is subscribed to. A group goes when it is EMPTY and its last offset
 * is gone.
 */
#include "groups.h"
#include "subscribed.h"

enum {
	SWEEP_OFFSETS = 2000,
	SWEEP_GROUPS = 200
}; /* looked at in one turn: well under a millisecond */
#define SWEEP_PAUSE_NS (1 * S_NS)
#define SWEEP_BUSY_NS  (10 * MS_NS)

struct expiry {
	const struct group_entry *entry;
	int64_t now_ms;
	struct subscribed subscribed;
	enum { SUBSCRIBED_UNREAD, SUBSCRIBED_READ, SUBSCRIBED_UNKNOWN } known;
};

/* Whether members' subscriptions say which topics the group works on. */
static bool tells_topics(const struct group_entry *e)
{
	return e->consumer || (e->group.state == GROUP_STABLE && e->group.protocol_type &&
	                          str_equal(str_of(e->group.protocol_type), STR("consumer")));
}

/* Of a group with members: somebody may be working on the topic. Subscriptions are read when the
 * first offset is old enough to ask. */
static bool is_in_use(struct expiry *x, struct str topic)
{
	if (x->known == SUBSCRIBED_UNREAD)
		x->known =
		    tells_topics(x->entry) && subscribed_init(&x->subscribed, x->entry) == ERR_OK
		        ? SUBSCRIBED_READ
		        : SUBSCRIBED_UNKNOWN;
	return x->known == SUBSCRIBED_UNKNOWN || subscribed_to(&x->subscribed, topic);
}

static bool is_expired(void *ctx, const struct offset *o)
{
	struct expiry *x = ctx;
	const struct group_entry *e = x->entry;
	bool empty = entry_is_empty(e);
	int64_t retention_ms = e->groups->options.offsets_retention_ms;
	if (offset_is_orphan(e->groups, o))
		return true;
	if (e->awaits_commit &&
	    transactions_pending(e->groups->transactions, e->group.name, o->topic, o->partition))
		return false;
	int64_t since = o->commit_ms;
	if (empty && (e->group.protocol_type || e->consumer) && e->state_ms > since)
		since = e->state_ms;
	bool old = o->expire_ms >= 0 ? o->expire_ms <= x->now_ms
	                             : retention_ms >= 0 && since <= x->now_ms - retention_ms;
	return old && (empty || !is_in_use(x, o->topic));
}

static void on_dropped(struct drop *drop)
{
	if (drop->err != ERR_OK)
		diag(DIAG_WARN, "group_expiry_failed", "err=%s", err_name(drop->err));
	mem_free(drop);
}

static void expire_some(struct group_entry *e, struct expiry *x)
{
	size_t cursor = 0, expired = 0;
	const struct offset *o;
	while ((o = map_next(&e->offsets, &cursor)))
		expired += is_expired(x, o);
	bool whole = entry_is_empty(e) && !e->awaits_commit && e->group.pending_by_id.count == 0 &&
	             (e->stored.ptr || e->rows.count) && expired == e->offsets.count && !e->storing;
	if ((expired == 0 && !whole) || e->puts > 0)
		return;
	struct drop *drop = mem_calloc(1, sizeof(*drop));
	if (!drop)
		return; /* next time */
	struct drop_choice choice = {.pick = is_expired, .ctx = x, .whole = whole};
	drop->done = on_dropped;
	pending_cut_init(&drop->cut, NULL, e->group.name); /* what is pending stays */
	diag(DIAG_INFO, "group_expired", "offsets=%zu of=%zu whole=%d", expired, e->offsets.count,
	    whole);
	drop_start(drop, e, &choice);
}

static void expire_entry(struct group_entry *e, int64_t now_ms)
{
	struct expiry x = {.entry = e, .now_ms = now_ms};
	map_init(&x.subscribed.names);
	expire_some(e, &x);
	subscribed_release(&x.subscribed);
}

static void on_sweep(struct loop_timer *timer)
{
	struct groups *g = CONTAINER_OF(timer, struct groups, sweep);
	int64_t now_ms = groups_judging_ms(g);
	size_t offsets = 0, count = 0;
	struct list_node *first;
	while (
	    (first = list_first(&g->entries)) && offsets < SWEEP_OFFSETS && count < SWEEP_GROUPS) {
		struct group_entry *e = CONTAINER_OF(first, struct group_entry, node);
		bool due = e->checked_ms <= now_ms - g->options.check_interval_ms ||
		           e->checked_ms > now_ms;
		if (!due)
			break;
		list_remove(first);
		list_push_back(&g->entries, first);
		e->checked_ms = now_ms;
		offsets += e->offsets.count;
		count++;
		expire_entry(e, now_ms);
	}
	int64_t pause_ns =
	    offsets >= SWEEP_OFFSETS || count >= SWEEP_GROUPS ? SWEEP_BUSY_NS : SWEEP_PAUSE_NS;
	loop_timer_set(g->loop, &g->sweep, loop_now_ns(g->loop) + pause_ns);
}

void sweep_start(struct groups *g)
{
	loop_timer_init(&g->sweep, on_sweep);
	loop_timer_set(g->loop, &g->sweep, loop_now_ns(g->loop) + SWEEP_PAUSE_NS);
}

void sweep_stop(struct groups *g)
{
	loop_timer_cancel(g->loop, &g->sweep);
}

void groups_topic_deleted(struct groups *g)
{
	LIST_EACH (&g->entries, node, tmp)
		CONTAINER_OF(node, struct group_entry, node)->checked_ms = 0;
	loop_timer_set(g->loop, &g->sweep, loop_now_ns(g->loop));
}
