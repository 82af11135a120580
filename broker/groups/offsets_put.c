/* SPDX-License-Identifier: Apache-2.0 */
/* Committing offsets of a group outside of transactions: its rows, and cuts for what transactions
 * have pending there, in one round. */
#include "groups.h"

void offsets_put_init(struct offsets_put *p, struct group_entry *e)
{
	p->entry = e;
	row_list_init(&p->rows);
	pending_cut_init(&p->cut, e->groups->transactions, e->group.name);
}

void offsets_put_release(struct offsets_put *p)
{
	row_list_release(&p->rows);
	row_list_init(&p->rows);
	pending_cut_end(&p->cut);
}

void offsets_put_add(struct offsets_put *p, const struct offset_commit_key *key,
    const struct offset_commit_value *value)
{
	row_list_offset(&p->rows, key, value);
	pending_cut_add(&p->cut, key->topic, key->partition);
}

static void end(struct offsets_put *p, enum err err)
{
	struct group_entry *e = p->entry;
	p->err = err;
	pending_cut_end(&p->cut);
	e->puts--;
	e->groups->puts--;
	entry_settle(e);
	p->done(p);
}

static void on_put(struct log_table_put *put)
{
	end(CONTAINER_OF(put, struct offsets_put, puts[0]), put->err);
}

static void on_committed(struct log_commit *commit)
{
	end(CONTAINER_OF(commit, struct offsets_put, both), commit->err);
}

enum err offsets_put_start(struct offsets_put *p)
{
	struct groups *g = p->entry->groups;
	const struct log_row *rows;
	TRY(row_list_rows(&p->rows, &rows));
	TRY(pending_cut_begin(&p->cut, &p->puts[1]));
	p->entry->puts++;
	g->puts++;
	p->puts[0] = (struct log_table_put){.table = g->table,
	    .partition = entry_partition(p->entry),
	    .rows = rows,
	    .row_count = p->rows.count,
	    .done = on_put};
	if (p->puts[1].row_count == 0) {
		log_table_put(g->table, &p->puts[0]);
	} else {
		p->both =
		    (struct log_commit){.puts = p->puts, .put_count = 2, .done = on_committed};
		log_commit(g->log, &p->both);
	}
	row_list_release(&p->rows); /* copied */
	row_list_init(&p->rows);
	return ERR_OK;
}
