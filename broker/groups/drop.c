/* SPDX-License-Identifier: Apache-2.0 */
/* Tombstones for offsets and groups, in batches that fit: deletion, expiry, topics that are gone.
 */
#include "groups.h"

enum { DROP_ROWS_MAX = 2000 };

struct drop_put {
	struct log_table_put put;
	struct drop *drop;
};

static void drop_end(struct drop *d)
{
	struct group_entry *e = d->entry;
	mem_free(d->puts);
	d->puts = NULL;
	pending_cut_end(&d->cut);
	e->puts--;
	e->groups->puts--;
	entry_settle(e);
	d->done(d);
}

static void drop_end_later(struct mail *mail)
{
	drop_end(CONTAINER_OF(mail, struct drop, mail));
}

static void on_put(struct log_table_put *put)
{
	struct drop *d = CONTAINER_OF(put, struct drop_put, put)->drop;
	if (put->err != ERR_OK && d->err == ERR_OK)
		d->err = put->err;
	if (--d->pending == 0)
		drop_end(d);
}

static enum err put_rows(struct drop *d, struct row_list *list)
{
	const struct log_row *rows;
	struct drop_put *put = &d->puts[d->put_count];
	TRY(row_list_rows(list, &rows));
	put->drop = d;
	put->put = (struct log_table_put){.partition = entry_partition(d->entry),
	    .rows = rows,
	    .row_count = list->count,
	    .done = on_put};
	d->put_count++;
	d->pending++;
	log_table_put(d->entry->groups->table, &put->put);
	row_list_release(list);
	row_list_init(list);
	return ERR_OK;
}

static enum err put_cut(struct drop *d)
{
	struct drop_put *put = &d->puts[d->put_count];
	TRY(pending_cut_begin(&d->cut, &put->put));
	if (put->put.row_count == 0)
		return ERR_OK;
	put->drop = d;
	put->put.done = on_put;
	d->put_count++;
	d->pending++;
	log_table_put(put->put.table, &put->put);
	return ERR_OK;
}

static enum err put_all(struct drop *d, const struct drop_choice *choice, struct row_list *list)
{
	struct group_entry *e = d->entry;
	size_t cursor = 0;
	const struct offset *o;
	TRY(put_cut(d));
	while ((o = map_next(&e->offsets, &cursor))) {
		if (choice->pick && !choice->pick(choice->ctx, o))
			continue;
		struct offset_commit_key key = {
		    .group = e->group.name, .topic = o->topic, .partition = o->partition};
		row_list_offset(list, &key, NULL);
		if (list->count == DROP_ROWS_MAX)
			TRY(put_rows(d, list));
	}
	if (choice->whole) {
		row_list_group(list, e->group.name, NULL);
		consumer_rows_drop(e, list);
	}
	return list->count ? put_rows(d, list) : ERR_OK;
}

void drop_start(struct drop *d, struct group_entry *e, const struct drop_choice *choice)
{
	struct row_list list;
	d->entry = e;
	d->err = ERR_OK;
	d->put_count = d->pending = 0;
	d->mail.run = drop_end_later;
	e->puts++;
	e->groups->puts++;
	d->puts = mem_calloc(e->offsets.count / DROP_ROWS_MAX + 3, sizeof(*d->puts));
	row_list_init(&list);
	enum err err = d->puts ? put_all(d, choice, &list) : ERR_NOMEM;
	row_list_release(&list);
	if (err != ERR_OK && d->err == ERR_OK)
		d->err = err;
	if (d->pending == 0)
		loop_defer(e->groups->loop, &d->mail);
}
