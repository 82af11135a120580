/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Consumer groups on their way into __consumer_offsets and out of it. A heartbeat changes the group
 * at once and is answered when all that it has seen of the group is durable. One round of rows is
 * under way at a time; what changes meanwhile goes with the next one. When a round fails everything
 * is stored anew by the next, so that the records never tell less than what a member was told.
 */
#include "consumer_rows.h"
#include "groups.h"
#include "broker/auth/auth.h"
#include "broker/settings/settings.h"
#include <stdlib.h>

/* ---- what is stored -------------------------------------------------------------------------- */

/* A durable row, in one block with its bytes. */
struct stored_row {
	struct bytes key, value;
};

enum err consumer_apply(struct group_entry *e, struct bytes key, struct bytes value)
{
	struct stored_row *old;
	if (!value.ptr) {
		mem_free(map_remove(&e->rows, key));
		return ERR_OK;
	}
	struct stored_row *row = mem_alloc(sizeof(*row) + key.len + value.len);
	if (!row)
		return ERR_NOMEM;
	uint8_t *at = (uint8_t *)(row + 1);
	memcpy(at, key.ptr, key.len);
	memcpy(at + key.len, value.ptr, value.len);
	row->key = bytes_of(at, key.len);
	row->value = bytes_of(at + key.len, value.len);
	old = map_remove(&e->rows, key); /* its key goes with it */
	mem_free(old);
	if (map_put(&e->rows, row->key, row) == ERR_OK)
		return ERR_OK;
	mem_free(row);
	return ERR_NOMEM;
}

void consumer_rows_each(const struct group_entry *e,
    void (*fn)(void *ctx, struct bytes key, struct bytes value), void *ctx)
{
	size_t cursor = 0;
	const struct stored_row *row;
	while ((row = map_next(&e->rows, &cursor)))
		fn(ctx, row->key, row->value);
}

static int by_key(const void *a, const void *b)
{
	const struct stored_row *x = *(struct stored_row *const *)a,
	                        *y = *(struct stored_row *const *)b;
	return bytes_compare(x->key, y->key);
}

/* In order of key: those of the group, who is a member, what they have. */
static struct stored_row **sorted_rows(const struct group_entry *e)
{
	struct stored_row **all = mem_alloc((e->rows.count + 1) * sizeof(struct stored_row *));
	size_t count = 0, cursor = 0;
	struct stored_row *row;
	while (all && (row = map_next(&e->rows, &cursor)))
		all[count++] = row;
	if (count)
		qsort(all, count, sizeof(struct stored_row *), by_key);
	return all;
}

static bool has_group_row(const struct group_entry *e)
{
	size_t cursor = 0;
	const struct stored_row *row;
	while ((row = map_next(&e->rows, &cursor))) {
		if (get_u16_be(row->key.ptr) == CONSUMER_ROW_GROUP)
			return true;
	}
	return false;
}

enum err consumer_entry_restore(struct group_entry *e)
{
	if (!has_group_row(e))
		return ERR_OK;
	TRY(consumer_new(e, &e->consumer));
	struct stored_row **all = sorted_rows(e);
	enum err err = all ? ERR_OK : ERR_NOMEM;
	for (size_t i = 0; err == ERR_OK && i < e->rows.count; i++) {
		enum consumer_row row;
		struct str group, member;
		err = consumer_row_key(all[i]->key, &row, &group, &member);
		if (err == ERR_OK)
			err = consumer_row_read(e->consumer, row, member, all[i]->value);
	}
	mem_free(all);
	if (err == ERR_OK)
		err = consumer_restored(e->consumer, groups_now_ms(e->groups));
	e->state_ms = 0; /* only the commits say how old it is */
	return err == ERR_OK ? ERR_OK : err_note(err, "group " STR_FMT, STR_ARG(e->group.name));
}

/* ---- of one kind or the other ---------------------------------------------------------------- */

static const struct log_topic *on_topic_find(struct consumer_group *c, struct str name)
{
	const struct group_entry *e = c->user;
	return log_topic_find(e->groups->log, name);
}

static const struct log_topic *on_topic_by_id(struct consumer_group *c, struct log_uuid id)
{
	const struct group_entry *e = c->user;
	return log_topic_by_id(e->groups->log, id);
}

static const struct log_topic *on_topic_next(struct consumer_group *c, size_t *cursor)
{
	const struct group_entry *e = c->user;
	return log_topic_next(e->groups->log, cursor);
}

static uint64_t on_topics_version(struct consumer_group *c)
{
	const struct group_entry *e = c->user;
	return log_topics_version(e->groups->log);
}

static bool on_may_see(struct consumer_group *c, struct str viewer, struct str topic)
{
	const struct group_entry *e = c->user;
	const struct auth *auth = e->groups->options.auth;
	return !auth || auth_sees(auth, viewer, topic);
}

static uint64_t on_rights_version(struct consumer_group *c)
{
	const struct group_entry *e = c->user;
	return e->groups->options.auth ? e->groups->options.auth->acls_version : 0;
}

static void on_random(struct consumer_group *c, void *buf, size_t len)
{
	const struct group_entry *e = c->user;
	io_random(loop_io(e->groups->loop), buf, len);
}

void entry_take_settings(struct group_entry *e)
{
	const struct settings *s = e->groups->options.settings;
	e->limits = e->groups->consumer_limits;
	e->limits.session_timeout_ms = settings_group_number(
	    s, SETTING_GROUP_SESSION, e->group.name, e->limits.session_timeout_ms);
	e->limits.heartbeat_interval_ms = settings_group_number(
	    s, SETTING_GROUP_HEARTBEAT, e->group.name, e->limits.heartbeat_interval_ms);
}

enum err consumer_new(struct group_entry *e, struct consumer_group **ret_consumer)
{
	static const struct consumer_ops ops = {
	    .topic_find = on_topic_find,
	    .topic_by_id = on_topic_by_id,
	    .topic_next = on_topic_next,
	    .topics_version = on_topics_version,
	    .may_see = on_may_see,
	    .rights_version = on_rights_version,
	    .random = on_random,
	};
	struct consumer_group *c = mem_calloc(1, sizeof(*c));
	if (!c)
		return ERR_NOMEM;
	entry_take_settings(e);
	consumer_init(c, &ops, &e->limits);
	c->user = e;
	*ret_consumer = c;
	return ERR_OK;
}

void consumer_free(struct consumer_group *c)
{
	if (c)
		consumer_release(c);
	mem_free(c);
}

enum err consumer_entry_end(struct group_entry *e)
{
	if (!e->consumer)
		return ERR_OK;
	ASSERT(e->consumer->member_count == 0);
	if (e->round.storing || e->consumer->dirty)
		return err_note(ERR_COORDINATOR_NOT_AVAILABLE, "the group is being stored");
	if (e->group.generation < e->consumer->epoch)
		e->group.generation = e->consumer->epoch; /* G1, also over the change */
	consumer_free(e->consumer);
	e->consumer = NULL;
	return ERR_OK;
}

void consumer_entry_release(struct group_entry *e)
{
	size_t cursor = 0;
	void *row;
	consumer_free(e->consumer);
	while ((row = map_next(&e->rows, &cursor)))
		mem_free(row);
	map_release(&e->rows);
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void round_start(struct group_entry *e);

static void round_end(struct group_entry *e, enum err err)
{
	struct list_node *first;
	e->round.storing = false;
	e->groups->puts--;
	e->puts--;
	if (err != ERR_OK) {
		diag(DIAG_WARN, "group_store_failed", "err=%s", err_name(err));
		if (e->consumer)
			consumer_mark_all(e->consumer);
	}
	while ((first = list_first(&e->round.waiting))) {
		struct consumer_waiter *w = CONTAINER_OF(first, struct consumer_waiter, node);
		if (w->round > e->round.number)
			break;
		list_remove(first);
		w->done(w, err);
	}
	if (!list_empty(&e->round.waiting) || (err == ERR_OK && e->consumer && e->consumer->dirty))
		round_start(e);
	entry_settle(e);
}

static void on_stored(struct log_table_put *put)
{
	round_end(CONTAINER_OF(put, struct group_entry, round.put), put->err);
}

static void on_failed(struct mail *mail)
{
	struct group_entry *e = CONTAINER_OF(mail, struct group_entry, round.failed);
	round_end(e, e->round.err);
}

static void add_tombstones(const struct group_entry *e, struct row_list *list)
{
	size_t cursor = 0;
	const struct stored_row *row;
	while ((row = map_next(&e->rows, &cursor))) {
		enum consumer_row kind;
		struct str group, member;
		if (consumer_row_key(row->key, &kind, &group, &member) == ERR_OK && member.ptr &&
		    !consumer_find(e->consumer, member))
			row_list_raw(list, row->key, (struct bytes){NULL, 0});
	}
}

static enum err round_rows(struct group_entry *e, struct row_list *list)
{
	if (consumer_entry_downgrade(e)) {
		enum err err = entry_group_rows(e, list, false);
		rebalance_prepare(&e->group, groups_now_ms(e->groups));
		return err;
	}
	if (e->consumer->removed)
		add_tombstones(e, list);
	if (e->stored.ptr) /* it was a classic group */
		row_list_group(list, e->group.name, NULL);
	TRY(consumer_rows(list, e->group.name, e->consumer));
	return ERR_OK;
}

static enum err submit(struct group_entry *e)
{
	struct row_list list;
	const struct log_row *rows;
	row_list_init(&list);
	enum err err = round_rows(e, &list);
	if (err == ERR_OK)
		err = row_list_rows(&list, &rows);
	if (err == ERR_OK) {
		e->round.put = (struct log_table_put){.partition = entry_partition(e),
		    .rows = rows,
		    .row_count = list.count,
		    .done = on_stored};
		if (e->consumer)
			consumer_rows_clean(e->consumer);
		if (list.count > 0)
			log_table_put(e->groups->table, &e->round.put);
		else /* it came and went before it was ever stored */
			loop_defer(e->groups->loop, &e->round.failed);
	}
	row_list_release(&list);
	return err;
}

static void round_start(struct group_entry *e)
{
	ASSERT(!e->round.storing && e->consumer);
	if (e->consumer->member_count == 0)
		e->state_ms = groups_wall_ms(e->groups);
	e->round.storing = true;
	e->round.number++;
	e->groups->puts++;
	e->puts++;
	e->round.failed.run = on_failed;
	e->round.err = submit(e);
	if (e->round.err != ERR_OK) /* never from inside */
		loop_defer(e->groups->loop, &e->round.failed);
}

bool consumer_store(struct group_entry *e, struct consumer_waiter *w)
{
	bool dirty = e->consumer->dirty;
	if (w && (dirty || e->round.storing)) {
		w->round = e->round.number + dirty;
		list_node_init(&w->node);
		list_push_back(&e->round.waiting, &w->node);
	}
	if (dirty && !e->round.storing)
		round_start(e);
	return w && list_linked(&w->node);
}

void consumer_rows_drop(const struct group_entry *e, struct row_list *list)
{
	size_t cursor = 0;
	const struct stored_row *row;
	while ((row = map_next(&e->rows, &cursor)))
		row_list_raw(list, row->key, (struct bytes){NULL, 0});
}
