/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a version has to write, and its checkpoints: dirty rows and dead letters wait in memory as
 * cells, then one transaction takes them with the operators' state, the positions and the head (V1,
 * I4).
 */
#include "processor/io/cell.h"
#include "processor/version_parts.h"

/* ---- changes of rows ------------------------------------------------------------------------- */

static enum err put_change(struct version *v, const struct batch *rows, const struct op_change *c)
{
	struct writer *w = dirty_begin(&v->rows, c->key);
	if (!c->deleted) {
		for (uint32_t i = 0; i < v->spec.store.column_count; i++)
			cell_write(w, rows->cols[i].type.id, vec_get(&rows->cols[i], c->row));
		cell_write_int(w, (int64_t)c->lineage.first_sequence);
		cell_write_int(w, (int64_t)c->lineage.last_sequence);
		cell_write_int(w, (int64_t)c->lineage.record_count);
		cell_write_blob(w, c->state);
	}
	v->row_delta += c->deleted ? -1 : c->inserted;
	return dirty_end(&v->rows, c->deleted);
}

enum err version_sink(
    void *ctx, const struct batch *rows, const struct op_change *changes, uint32_t count)
{
	struct version *v = ctx;
	for (uint32_t i = 0; i < count; i++)
		TRY(put_change(v, rows, &changes[i]));
	v->moved |= count > 0;
	return ERR_OK;
}

/* ---- dead letters ---------------------------------------------------------------------------- */

enum err version_dead(void *ctx, const struct feed_dead *d)
{
	struct version *v = ctx;
	uint8_t key[STORE_DEAD_LETTER_KEY];
	store_dead_letter_key(key, d->in->sequence, d->in->pos);
	struct writer *w = dirty_begin(&v->dead, bytes_of(key, sizeof(key)));
	cell_write_text(w, d->topic);
	cell_write_int(w, d->in->partition);
	cell_write_int(w, d->in->record.offset);
	cell_write_text(w, str_of(d->op));
	cell_write_text(w, str_of(err_name(d->reason)));
	cell_write_text(w, str_of(d->message));
	cell_write_int(w, d->in->append_time_ns / US_NS);
	cell_write_blob(w, d->in->record.key);
	cell_write_blob(w, d->in->record.value);
	TRY(dirty_end(&v->dead, false));
	v->view.head.dead_letters++;
	v->view.reasons[d->reason]++;
	v->moved = true;
	metric_add(METRIC_DEAD_LETTERS, 1);
	return ERR_OK;
}

/* ---- checkpoints ----------------------------------------------------------------------------- */

static enum err put_positions(struct version *v)
{
	for (size_t i = 0; i < v->part_count; i++) {
		const struct version_part *p = &v->parts[i];
		struct store_position position = {p->topic_id, p->partition, p->next_offset};
		if (p->moved)
			TRY(store_put_position(v->store, &position));
	}
	return ERR_OK;
}

static enum err commit(struct version *v)
{
	struct store_head *head = &v->view.head;
	struct store_head next = *head;
	next.sequence = v->view.applied;
	next.time_ns = v->view.applied_time_ns;
	next.rows = (uint64_t)((int64_t)head->rows + v->row_delta);
	TRY(store_begin(v->store));
	TRY(store_put_rows(v->store, &v->rows));
	TRY(op_checkpoint(v->tree));
	TRY(store_put_dead_letters(v->store, &v->dead));
	TRY(put_positions(v));
	TRY(store_commit(v->store, &next));
	*head = *store_head(v->store);
	return ERR_OK;
}

/* Changes of rows are for those who read the view: of a version that was live before them. */
static void tell_changes(struct version *v, bool live)
{
	struct watch_checkpoint c = {.spec = &v->spec,
	    .rows = &v->rows,
	    .previous = v->told,
	    .sequence = v->view.head.sequence};
	if (v->rows.count == 0)
		return;
	v->told = c.sequence;
	if (live)
		watch_tell(v->spec.watch, &c);
}

static void forget_written(struct version *v)
{
	for (size_t i = 0; i < v->part_count; i++)
		v->parts[i].moved = false;
	dirty_clear(&v->rows);
	dirty_clear(&v->dead);
	v->row_delta = 0;
	v->moved = false;
	v->oldest_ns = 0;
}

static enum err write_checkpoint(struct version *v)
{
	TRY(feed_flush(v->feed));
	TRY(op_flush(v->tree));
	v->fresh = false;
	version_count(v);
	bool live = store_head(v->store)->ready;
	TRY(commit(v));
	tell_changes(v, live);
	forget_written(v);
	v->view.checkpoints++;
	metric_add(METRIC_VIEW_CHECKPOINTS, 1);
	return store_trim(v->store, STORE_WAL_BYTES, &v->view.pinned);
}

enum err version_checkpoint(struct version *v)
{
	ASSERT(!v->broken);
	if (!v->moved && !v->fresh)
		return ERR_OK;
	enum err err = write_checkpoint(v);
	if (err) {
		v->broken = true;
		store_rollback(v->store);
	}
	return err;
}

static uint64_t dirty_keys(const struct version *v)
{
	struct op_stats st;
	op_stats(v->tree, &st);
	return st.dirty + v->rows.count;
}

bool checkpoint_is_due(struct version *v)
{
	if (!v->moved)
		return false;
	if (dirty_bytes(&v->rows) > VERSION_ROWS_BYTES ||
	    dirty_bytes(&v->dead) > VERSION_DEAD_BYTES)
		return true;
	uint64_t keys = v->spec.limits.checkpoint_keys;
	if (!v->view.head.ready)
		keys *= VERSION_REBUILD_KEYS;
	return version_due_ns(v) <= 0 || dirty_keys(v) >= keys;
}

int64_t version_due_ns(const struct version *v)
{
	if (!v->moved || v->oldest_ns == 0)
		return INT64_MAX;
	int64_t age = v->spec.limits.checkpoint_ns * (v->view.head.ready ? 1 : VERSION_REBUILD_AGE);
	int64_t due = v->oldest_ns + age - version_now_ns(v);
	return due > 0 ? due : 0;
}
