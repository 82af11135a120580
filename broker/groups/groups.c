/* SPDX-License-Identifier: Apache-2.0 */
/* All groups: opening, finding, making, settling. See groups.h for the invariants. */
#include "consumer_rows.h"
#include "groups.h"

/* ---- names ----------------------------------------------------------------------------------- */

/* One code point of well-formed UTF-8. */
static uint32_t code_point(const uint8_t *p, size_t *ret_len)
{
	if (p[0] < 0x80) {
		*ret_len = 1;
		return p[0];
	}
	size_t len = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = p[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++)
		c = c << 6 | (p[i] & 0x3f);
	*ret_len = len;
	return c;
}

int32_t java_hash(struct str s)
{
	uint32_t hash = 0;
	size_t len;
	for (size_t i = 0; i < s.len; i += len) {
		uint32_t c = code_point((const uint8_t *)s.ptr + i, &len);
		if (c >= 0x10000) { /* Java sees two UTF-16 units */
			hash = hash * 31 + (0xd7c0 + (c >> 10));
			c = 0xdc00 | (c & 0x3ff);
		}
		hash = hash * 31 + c;
	}
	return (int32_t)hash;
}

int32_t groups_partition(struct str group)
{
	int32_t hash = java_hash(group); /* Kafka's Utils.abs */
	return hash == INT32_MIN ? 0 : (hash < 0 ? -hash : hash) % OFFSETS_PARTITIONS;
}

int32_t entry_partition(const struct group_entry *e)
{
	return groups_partition(e->group.name);
}

/* ---- entries --------------------------------------------------------------------------------- */

static void on_random(struct group *group, void *buf, size_t len)
{
	struct group_entry *e = CONTAINER_OF(group, struct group_entry, group);
	io_random(loop_io(e->groups->loop), buf, len);
}

static const struct group_ops ops = {
    .joined = membership_joined,
    .synced = membership_synced,
    .store = entry_store,
    .random = on_random,
};

int64_t groups_now_ms(const struct groups *g)
{
	return loop_now_ns(g->loop) / MS_NS;
}

int64_t groups_wall_ms(const struct groups *g)
{
	return log_time_ns(g->log) / MS_NS;
}

int64_t groups_judging_ms(const struct groups *g)
{
	return log_judging_time_ns(g->log) / MS_NS;
}

struct group_entry *entry_find(const struct groups *g, struct str name)
{
	return map_get(&g->by_name, str_bytes(name));
}

static void on_timer(struct loop_timer *timer)
{
	struct group_entry *e = CONTAINER_OF(timer, struct group_entry, timer);
	group_tick(&e->group, groups_now_ms(e->groups));
	if (e->consumer) {
		consumer_tick(e->consumer, groups_now_ms(e->groups));
		consumer_store(e, NULL);
	}
	entry_settle(e);
}

/* That there is no room does not pass: who is told to try again does so for days. */
static enum err check_room(const struct groups *g)
{
	size_t max = g->options.groups_max ? g->options.groups_max : GROUPS_MAX;
	if (g->entry_count >= max) {
		diag(DIAG_WARN, "groups_full", "groups=%zu limit=%zu", g->entry_count, max);
		return err_note(ERR_GROUP_MAX_SIZE,
		    "there are %zu groups, which is the limit: delete some", g->entry_count);
	}
	if (g->entry_count == max - max / 10)
		diag(DIAG_WARN, "groups_nearly_full", "groups=%zu limit=%zu", g->entry_count, max);
	return ERR_OK;
}

enum err entry_make(struct groups *g, struct str name, struct group_entry **ret_entry)
{
	struct group_entry *e = entry_find(g, name);
	if (e) {
		*ret_entry = e;
		return ERR_OK;
	}
	if (!name.ptr || name.len > GROUP_ID_MAX || !str_is_utf8(name))
		return err_note(ERR_INVALID_GROUP, "group id of %zu bytes", name.len);
	if (g->transactions) /* what is stored is read in any case, theirs last */
		TRY(check_room(g));
	e = mem_calloc(1, sizeof(*e));
	if (!e)
		return ERR_NOMEM;
	enum err err = group_init(&e->group, name, &ops, &g->limits);
	if (err == ERR_OK)
		err = map_put(&g->by_name, str_bytes(e->group.name), e);
	if (err != ERR_OK) {
		if (e->group.name.ptr)
			group_release(&e->group);
		mem_free(e);
		return err;
	}
	e->groups = g;
	e->state_ms = e->checked_ms = groups_wall_ms(g);
	map_init(&e->offsets);
	map_init(&e->rows);
	list_init(&e->round.waiting);
	loop_timer_init(&e->timer, on_timer);
	list_push_back(&g->entries, &e->node);
	g->entry_count++;
	metric_set(METRIC_GROUPS, (int64_t)g->entry_count);
	*ret_entry = e;
	return ERR_OK;
}

static void entry_free(struct group_entry *e)
{
	struct groups *g = e->groups;
	loop_timer_cancel(g->loop, &e->timer);
	map_remove(&g->by_name, str_bytes(e->group.name));
	list_remove(&e->node);
	g->entry_count--;
	metric_set(METRIC_GROUPS, (int64_t)g->entry_count);
	offsets_release(e);
	consumer_entry_release(e);
	mem_free((void *)(uintptr_t)e->stored.ptr);
	group_release(&e->group);
	mem_free(e);
}

bool entry_is_vacant(const struct group_entry *e)
{
	return entry_is_empty(e) && e->offsets.count == 0 && !e->awaits_commit && !e->stored.ptr &&
	       e->rows.count == 0;
}

bool entry_is_empty(const struct group_entry *e)
{
	return e->group.state == GROUP_EMPTY && (!e->consumer || e->consumer->member_count == 0);
}

size_t entry_member_count(const struct group_entry *e)
{
	return e->consumer ? e->consumer->member_count : e->group.member_count;
}

const char *entry_state_name(const struct group_entry *e)
{
	return e->consumer ? consumer_state_name(e->consumer) : group_state_name(e->group.state);
}

const char *entry_type_name(const struct group_entry *e)
{
	return e->consumer ? "consumer" : "classic";
}

struct str entry_protocol_type(const struct group_entry *e)
{
	if (e->consumer)
		return STR("consumer");
	return e->group.protocol_type ? str_of(e->group.protocol_type) : STR("");
}

void entry_settle(struct group_entry *e)
{
	struct groups *g = e->groups;
	if (entry_is_vacant(e) && list_empty(&e->group.pending) && e->puts == 0 && !e->storing) {
		entry_free(e);
		return;
	}
	int64_t due_ms = e->group.next_due_ms;
	if (e->consumer && e->consumer->next_due_ms < due_ms)
		due_ms = e->consumer->next_due_ms;
	if (due_ms == INT64_MAX)
		loop_timer_cancel(g->loop, &e->timer);
	else
		loop_timer_set(g->loop, &e->timer, due_ms * MS_NS);
}

/* ---- the table ------------------------------------------------------------------------------- */

static enum err keep_stored(struct group_entry *e, struct bytes value)
{
	uint8_t *copy = NULL;
	if (value.ptr) {
		copy = mem_alloc(value.len ? value.len : 1);
		if (!copy)
			return ERR_NOMEM;
		memcpy(copy, value.ptr, value.len);
	}
	mem_free((void *)(uintptr_t)e->stored.ptr);
	e->stored = (struct bytes){copy, copy ? value.len : 0};
	return ERR_OK;
}

static enum err apply_offset(
    struct group_entry *e, const struct offset_commit_key *key, struct bytes value)
{
	struct offset_commit_value v;
	struct arena arena;
	if (!value.ptr)
		return offset_apply(e, key, NULL);
	arena_init(&arena, msg_arena_limit(value.len));
	enum err err = row_offset_read(value, &arena, &v);
	if (err == ERR_OK)
		err = offset_apply(e, key, &v);
	arena_release(&arena);
	return err;
}

static enum err apply_consumer(struct groups *g, struct bytes key, struct bytes value)
{
	struct group_entry *e;
	enum consumer_row row;
	struct str group, member;
	TRY(consumer_row_key(key, &row, &group, &member));
	TRY(entry_make(g, group, &e));
	enum err err = consumer_apply(e, key, value);
	if (!g->loading && e->puts == 0 && !e->storing)
		entry_settle(e);
	return err;
}

static enum err apply(
    void *ctx, int32_t partition, struct bytes key, struct bytes value, int64_t timestamp_ms)
{
	struct groups *g = ctx;
	struct group_entry *e;
	struct offset_commit_key k;
	enum row_kind kind;
	(void)partition;
	(void)timestamp_ms;
	if (key.len >= 2 && consumer_row_is((int16_t)get_u16_be(key.ptr)))
		return apply_consumer(g, key, value);
	TRY(row_key_read(key, &kind, &k));
	if (kind == ROW_UNKNOWN) {
		diag(DIAG_WARN, "group_row_ignored",
		    "key_bytes=%zu reason=\"written by a newer version\"", key.len);
		return ERR_OK;
	}
	TRY(entry_make(g, k.group, &e));
	enum err err = kind == ROW_OFFSET ? apply_offset(e, &k, value) : keep_stored(e, value);
	if (!g->loading && e->puts == 0 && !e->storing)
		entry_settle(e); /* nobody else will */
	return err;
}

struct snapshot {
	struct groups *groups;
	void (*emit)(void *ctx, struct bytes key, struct bytes value);
	void *ctx;
	struct row_list list;
};

static void snapshot_flush(struct snapshot *s)
{
	const struct log_row *rows;
	/* a snapshot that is not whole must not be: there is no way to give it up half-way */
	ASSERT(row_list_rows(&s->list, &rows) == ERR_OK);
	for (size_t i = 0; i < s->list.count; i++)
		s->emit(s->ctx, rows[i].key, rows[i].value);
	row_list_release(&s->list);
	row_list_init(&s->list);
}

static void snapshot_entry(struct snapshot *s, const struct group_entry *e)
{
	size_t cursor = 0;
	const struct offset *o;
	while ((o = map_next(&e->offsets, &cursor))) {
		offset_to_rows(e, o, &s->list);
		if (s->list.count >= 1000)
			snapshot_flush(s);
	}
	if (e->stored.ptr) {
		row_list_group(
		    &s->list, e->group.name, NULL); /* for its key: the value is as it was stored */
		const struct log_row *rows;
		size_t last = s->list.count - 1;
		ASSERT(row_list_rows(&s->list, &rows) == ERR_OK);
		s->emit(s->ctx, rows[last].key, e->stored);
		s->list.count--;
	}
	snapshot_flush(s);
	consumer_rows_each(e, s->emit, s->ctx);
}

static void snapshot(void *ctx, int32_t partition,
    void (*emit)(void *emit_ctx, struct bytes key, struct bytes value), void *emit_ctx)
{
	struct groups *g = ctx;
	struct snapshot s = {.groups = g, .emit = emit, .ctx = emit_ctx};
	row_list_init(&s.list);
	LIST_EACH (&g->entries, node, tmp) {
		const struct group_entry *e = CONTAINER_OF(node, struct group_entry, node);
		if (entry_partition(e) == partition)
			snapshot_entry(&s, e);
	}
	row_list_release(&s.list);
}

/* ---- open, close ----------------------------------------------------------------------------- */

static void take_options(struct groups *g, const struct groups_options *from)
{
	g->options = *from;
	g->limits = group_limits_default;
	g->budget.limit_bytes = GROUPS_BYTES_MAX;
	g->limits.budget = &g->budget;
	if (from->initial_delay_ms)
		g->limits.initial_delay_ms =
		    from->initial_delay_ms > 0 ? from->initial_delay_ms : 0;
	if (from->session_min_ms)
		g->limits.session_min_ms = from->session_min_ms;
	if (from->session_max_ms)
		g->limits.session_max_ms = from->session_max_ms;
	g->consumer_limits = consumer_limits_default;
	g->consumer_limits.budget = &g->budget;
	if (from->consumer_session_ms)
		g->consumer_limits.session_timeout_ms = from->consumer_session_ms;
	if (from->consumer_heartbeat_ms)
		g->consumer_limits.heartbeat_interval_ms = from->consumer_heartbeat_ms;
	if (!from->offsets_retention_ms)
		g->options.offsets_retention_ms = (int64_t)7 * 24 * 3600 * 1000;
	if (!from->check_interval_ms)
		g->options.check_interval_ms = 600 * 1000;
}

/* Everything read: groups become what their last record says. */
static enum err restore_all(struct groups *g)
{
	LIST_EACH (&g->entries, node, tmp) {
		struct group_entry *e = CONTAINER_OF(node, struct group_entry, node);
		if (e->stored.ptr)
			TRY(entry_restore(e, e->stored));
		else
			TRY(consumer_entry_restore(e));
		entry_settle(e);
	}
	return ERR_OK;
}

static void groups_free(struct groups *g)
{
	LIST_EACH (&g->entries, node, tmp)
		entry_free(CONTAINER_OF(node, struct group_entry, node));
	map_release(&g->by_name);
	mem_free(g);
}

enum err groups_open(struct loop *loop, struct log *log, const struct groups_options *options,
    struct groups **ret_groups)
{
	static const struct log_table_ops table_ops = {.apply = apply, .snapshot = snapshot};
	struct groups *g = mem_calloc(1, sizeof(*g));
	if (!g)
		return ERR_NOMEM;
	g->loop = loop;
	g->log = log;
	map_init(&g->by_name);
	list_init(&g->entries);
	take_options(g, options);
	g->loading = true;
	enum err err = log_table_open(
	    log, STR("__consumer_offsets"), OFFSETS_PARTITIONS, &table_ops, g, &g->table);
	if (err == ERR_OK)
		err = restore_all(g);
	g->loading = false;
	if (err != ERR_OK) {
		log_table_close(g->table);
		groups_free(g);
		return err_note(err, "consumer groups");
	}
	sweep_start(g);
	*ret_groups = g;
	return ERR_OK;
}

void groups_close(struct groups *g)
{
	if (!g)
		return;
	sweep_stop(g);
	LIST_EACH (&g->entries, node, tmp)
		loop_timer_cancel(g->loop, &CONTAINER_OF(node, struct group_entry, node)->timer);
	while (g->puts > 0)
		ASSERT(loop_step(g->loop, 100 * MS_NS) == ERR_OK);
	log_table_close(g->table);
	groups_free(g);
}
