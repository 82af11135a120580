/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that a checkpoint wrote, decoded again for the one who watches, see watch.h. */
#include "processor/watch.h"
#include "processor/io/cell.h"
#include "processor/proc_key.h"

enum { WATCH_ARENA_BYTES_MAX = 64 << 20, WATCH_KEY_BYTES_MAX = 1 << 20 };

void watch_init(struct watch *w)
{
	*w = (struct watch){0};
	mutex_init(&w->mutex);
}

void watch_release(struct watch *w)
{
	mutex_release(&w->mutex);
}

void watch_set(struct watch *w, const struct proc_watch *to)
{
	mutex_lock(&w->mutex);
	w->to = to;
	shared_store(&w->set, to != NULL);
	mutex_unlock(&w->mutex);
}

/* One checkpoint on its way: the columns once, the rest for each row. */
struct telling {
	const struct proc_watch *to;
	const struct watch_checkpoint *c;
	struct proc_column *columns, *keys;
	struct datum *values, *key_values;
	struct arena arena; /* of one row */
	struct writer key;
};

static enum err prepare(struct telling *t, struct arena *arena)
{
	const struct version_spec *spec = t->c->spec;
	const struct view_plan *plan = spec->plan;
	t->columns = arena_calloc(arena, spec->store.column_count + 1u, sizeof(*t->columns));
	t->keys = arena_calloc(arena, plan->key_count + 1u, sizeof(*t->keys));
	t->values = arena_calloc(arena, spec->store.column_count + 1u, sizeof(*t->values));
	t->key_values = arena_calloc(arena, plan->key_count + 1u, sizeof(*t->key_values));
	if (!t->columns || !t->keys || !t->values || !t->key_values)
		return ERR_NOMEM;
	for (uint32_t i = 0; i < spec->store.column_count; i++)
		t->columns[i] =
		    (struct proc_column){spec->store.columns[i].name, spec->store.columns[i].type};
	for (uint32_t i = 0; i < plan->key_count; i++) {
		const struct plan_column *k = &plan->root->columns[plan->keys[i]];
		t->keys[i] = (struct proc_column){k->name, k->type};
	}
	return ERR_OK;
}

static enum err write_key(struct telling *t, struct bytes encoded)
{
	struct reader r = reader_of(encoded);
	uint32_t count = t->c->spec->plan->key_count;
	for (uint32_t i = 0; i < count; i++)
		TRY(key_decode(&r, &t->arena, t->keys[i].type.id, &t->key_values[i]));
	writer_clear(&t->key);
	key_write(&t->key, t->keys, count, t->key_values);
	return t->key.err;
}

static enum err tell_row(struct telling *t, size_t index)
{
	const struct dirty_entry *e = &t->c->rows->entries[index];
	const struct store_spec *store = &t->c->spec->store;
	struct reader cells = reader_of(dirty_cells(t->c->rows, e));
	arena_clear(&t->arena);
	TRY(write_key(t, dirty_key(t->c->rows, e)));
	for (uint32_t i = 0; i < store->column_count && !dirty_deleted(e); i++)
		TRY(cell_take(&cells, t->columns[i].type, &t->arena, &t->values[i]));
	struct proc_change change = {.view = store->view,
	    .version = store->version,
	    .key = str_from((const char *)t->key.ptr, t->key.len),
	    .columns = t->columns,
	    .column_count = store->column_count,
	    .values = dirty_deleted(e) ? NULL : t->values,
	    .sequence = t->c->sequence,
	    .previous = t->c->previous,
	    .index = index,
	    .count = t->c->rows->count};
	t->to->change(t->to->ctx, &change);
	return ERR_OK;
}

static enum err tell_all(struct telling *t)
{
	for (size_t i = 0; i < t->c->rows->count; i++)
		TRY(tell_row(t, i));
	return ERR_OK;
}

void watch_tell(struct watch *w, const struct watch_checkpoint *c)
{
	struct arena arena;
	if (shared_load(&w->set) == 0)
		return;
	mutex_lock(&w->mutex);
	if (w->to && w->to->wanted(w->to->ctx)) {
		struct telling t = {.to = w->to, .c = c};
		arena_init(&arena, WATCH_ARENA_BYTES_MAX);
		arena_init(&t.arena, WATCH_ARENA_BYTES_MAX);
		writer_init(&t.key, WATCH_KEY_BYTES_MAX);
		enum err err = prepare(&t, &arena);
		if (err == ERR_OK)
			err = tell_all(&t);
		if (err)
			diag(DIAG_WARN, "changes_not_told", "view=" STR_FMT " version=%d error=%s",
			    STR_ARG(c->spec->store.view), c->spec->store.version, err_name(err));
		err_clear();
		writer_release(&t.key);
		arena_release(&t.arena);
		arena_release(&arena);
	}
	mutex_unlock(&w->mutex);
}
