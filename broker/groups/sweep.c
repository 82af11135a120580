/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expiry: a group at a time, round and round, each every check_interval_ms; after a topic was
 * deleted all of them soon. An offset goes when its topic is gone, or when retention has passed
 * since its commit and, for a group that had members, since it became EMPTY, unless a transaction
 * will commit another one. A group goes when it is EMPTY and its last offset is gone.
 */
#include "groups.h"

enum {
	SWEEP_OFFSETS = 2000,
	SWEEP_GROUPS = 200
}; /* looked at in one turn: well under a millisecond */
#define SWEEP_PAUSE_NS (1 * S_NS)
#define SWEEP_BUSY_NS  (10 * MS_NS)

struct expiry {
	const struct group_entry *entry;
	int64_t now_ms;
};

static bool is_expired(void *ctx, const struct offset *o)
{
	const struct expiry *x = ctx;
	const struct group_entry *e = x->entry;
	int64_t retention_ms = e->groups->options.offsets_retention_ms;
	if (offset_is_orphan(e->groups, o))
		return true;
	if (!entry_is_empty(e))
		return false;
	if (e->awaits_commit &&
	    transactions_pending(e->groups->transactions, e->group.name, o->topic, o->partition))
		return false;
	if (o->expire_ms >= 0)
		return o->expire_ms <= x->now_ms;
	int64_t since = o->commit_ms;
	if ((e->group.protocol_type || e->consumer) && e->state_ms > since)
		since = e->state_ms;
	return retention_ms >= 0 && since <= x->now_ms - retention_ms;
}

static void on_dropped(struct drop *drop)
{
	if (drop->err != ERR_OK)
		diag(DIAG_WARN, "group_expiry_failed", "err=%s", err_name(drop->err));
	mem_free(drop);
}

static void expire_entry(struct group_entry *e, int64_t now_ms)
{
	struct expiry x = {e, now_ms};
	size_t cursor = 0, expired = 0;
	const struct offset *o;
	while ((o = map_next(&e->offsets, &cursor)))
		expired += is_expired(&x, o);
	bool whole = entry_is_empty(e) && !e->awaits_commit && e->group.pending_by_id.count == 0 &&
	             (e->stored.ptr || e->rows.count) && expired == e->offsets.count && !e->storing;
	if ((expired == 0 && !whole) || e->puts > 0)
		return;
	struct drop *drop = mem_calloc(1, sizeof(*drop));
	if (!drop)
		return; /* next time */
	struct drop_choice choice = {.pick = is_expired, .ctx = &x, .whole = whole};
	drop->done = on_dropped;
	pending_cut_init(&drop->cut, NULL, e->group.name); /* what is pending stays */
	diag(DIAG_INFO, "group_expired", "offsets=%zu of=%zu whole=%d", expired, e->offsets.count,
	    whole);
	drop_start(drop, e, &choice);
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
