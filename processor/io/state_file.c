/* SPDX-License-Identifier: Apache-2.0 */
#include "processor/io/state_file.h"
#include "processor/io/state_page.h"
#include "processor/io/store.h"

enum { BOUND_MAX = 1 << 30 };

/* Statements of one table. Of the one in `rows`: only seek (a key's state) and scan. */
struct state_sql {
	sqlite3_stmt *seek;  /* (key) -> bound, page: that the key belongs to */
	sqlite3_stmt *above; /* (bound) -> bound, page: the next */
	sqlite3_stmt *scan;  /* (key) -> page...: from the one that the key belongs to */
	sqlite3_stmt *put, *del;
};

/* One page being rewritten: `taken` apart, its `rest` still to be copied; what has been merged is
 * in `full`, which waits for the size of the page behind it, and `tail`. */
struct merge {
	struct state_sql *table; /* NULL: none */
	struct writer bound;     /* of the page that was taken, and of the first written */
	struct writer upper;     /* keys from here on belong to other pages, */
	bool bounded;            /* if there are any */
	bool taken_row;          /* there is a row under `bound` */
	bool written;            /* something has been put under it again */
	struct writer taken;
	struct page_cursor rest;
	struct page_builder full, tail;
	struct writer full_bound, tail_bound;
};

struct state_file {
	sqlite3 *db;
	struct state_sql *tables;
	uint32_t table_count;
	int32_t row_state;
	struct merge merge;
	struct writer page;    /* scratch: one page, coded */
	struct writer entries; /* of the page that the last lookup answered from */
	struct page_cursor at;
};

/* ---- statements ------------------------------------------------------------------------------ */

static struct bytes column_blob(sqlite3_stmt *stmt, int column)
{
	const void *p = sqlite3_column_blob(stmt, column);
	return bytes_of(p ? p : "", (size_t)sqlite3_column_bytes(stmt, column));
}

static enum err bind_blob(struct state_file *f, sqlite3_stmt *stmt, int index, struct bytes b)
{
	const void *ptr = b.len > 0 ? (const void *)b.ptr : "";
	return store_error(
	    f->db, sqlite3_bind_blob64(stmt, index, ptr, b.len, SQLITE_STATIC), "bind");
}

/* One step with ?1 = key. *ret_row: there is a row, and the statement stands on it until it is
 * reset. */
static enum err step_with(struct state_file *f, sqlite3_stmt *stmt, struct bytes key, bool *ret_row)
{
	TRY(bind_blob(f, stmt, 1, key));
	int rc = sqlite3_step(stmt);
	*ret_row = rc == SQLITE_ROW;
	enum err err = store_error(f->db, rc, "state");
	if (!*ret_row)
		(void)sqlite3_reset(stmt);
	return err;
}

/* '#' stands for the table's number. */
static enum err prepare(struct state_file *f, uint32_t id, const char *sql, sqlite3_stmt **ret)
{
	struct writer w;
	writer_init(&w, 4096);
	for (; *sql; sql++)
		if (*sql == '#')
			write_printf(&w, "%u", id);
		else
			write_u8(&w, (uint8_t)*sql);
	enum err err = w.err;
	if (err == ERR_OK)
		err = store_error(f->db,
		    sqlite3_prepare_v3(f->db, (const char *)w.ptr, (int)w.len,
		        SQLITE_PREPARE_PERSISTENT, ret, NULL),
		    "prepare");
	writer_release(&w);
	return err;
}

static enum err prepare_table(struct state_file *f, uint32_t id)
{
	struct state_sql *t = &f->tables[id];
	if ((int32_t)id == f->row_state) {
		TRY(prepare(f, id, "SELECT \"_state\" FROM rows WHERE \"_key\" = ?1", &t->seek));
		return prepare(f, id,
		    "SELECT \"_key\", \"_state\" FROM rows WHERE \"_key\" >= ?1 ORDER BY \"_key\"",
		    &t->scan);
	}
	TRY(prepare(f, id,
	    "SELECT bound, page FROM state_# WHERE bound <= ?1 ORDER BY bound DESC LIMIT 1",
	    &t->seek));
	TRY(prepare(f, id,
	    "SELECT bound, page FROM state_# WHERE bound > ?1 ORDER BY bound LIMIT 1", &t->above));
	TRY(prepare(f, id,
	    "SELECT page FROM state_# WHERE bound >= coalesce("
	    "(SELECT max(bound) FROM state_# WHERE bound <= ?1), x'') ORDER BY bound",
	    &t->scan));
	TRY(prepare(f, id, "REPLACE INTO state_# VALUES (?1, ?2)", &t->put));
	return prepare(f, id, "DELETE FROM state_# WHERE bound = ?1", &t->del);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static void merge_init(struct merge *m)
{
	struct writer *const writers[] = {
	    &m->bound, &m->upper, &m->taken, &m->full_bound, &m->tail_bound};
	*m = (struct merge){.table = NULL};
	for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++)
		writer_init(writers[i], BOUND_MAX);
	page_cursor_init(&m->rest);
	page_builder_init(&m->full);
	page_builder_init(&m->tail);
}

static void merge_release(struct merge *m)
{
	writer_release(&m->bound);
	writer_release(&m->upper);
	writer_release(&m->taken);
	writer_release(&m->full_bound);
	writer_release(&m->tail_bound);
	page_cursor_release(&m->rest);
	page_builder_release(&m->full);
	page_builder_release(&m->tail);
}

enum err state_file_new(
    sqlite3 *db, uint32_t table_count, int32_t row_state, struct state_file **ret_file)
{
	struct state_file *f = mem_calloc(1, sizeof(*f));
	if (!f)
		return ERR_NOMEM;
	f->db = db;
	f->row_state = row_state;
	merge_init(&f->merge);
	writer_init(&f->page, BOUND_MAX);
	writer_init(&f->entries, SIZE_MAX);
	page_cursor_init(&f->at);
	f->tables = mem_calloc(table_count + 1u, sizeof(*f->tables));
	enum err err = f->tables ? ERR_OK : ERR_NOMEM;
	if (f->tables)
		f->table_count = table_count;
	for (uint32_t i = 0; err == ERR_OK && i < table_count; i++)
		err = prepare_table(f, i);
	if (err != ERR_OK) {
		state_file_free(f);
		return err;
	}
	*ret_file = f;
	return ERR_OK;
}

void state_file_free(struct state_file *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->table_count; i++) {
		(void)sqlite3_finalize(f->tables[i].seek);
		(void)sqlite3_finalize(f->tables[i].above);
		(void)sqlite3_finalize(f->tables[i].scan);
		(void)sqlite3_finalize(f->tables[i].put);
		(void)sqlite3_finalize(f->tables[i].del);
	}
	mem_free(f->tables);
	merge_release(&f->merge);
	writer_release(&f->page);
	writer_release(&f->entries);
	page_cursor_release(&f->at);
	mem_free(f);
}

/* ---- reading --------------------------------------------------------------------------------- */

static enum err find_in_page(struct state_file *f, struct bytes key, struct bytes *ret_value)
{
	TRY(page_cursor_start(&f->at, writer_bytes(&f->entries)));
	while (f->at.there) {
		int order = bytes_compare(page_cursor_key(&f->at), key);
		if (order == 0) {
			*ret_value = f->at.value;
			return ERR_OK;
		}
		if (order > 0)
			break;
		TRY(page_cursor_next(&f->at));
	}
	return ERR_NOT_FOUND;
}

enum err state_file_lookup(
    struct state_file *f, uint32_t id, struct bytes key, struct bytes *ret_value)
{
	ASSERT(id < f->table_count && !f->merge.table);
	struct state_sql *t = &f->tables[id];
	bool in_rows = (int32_t)id == f->row_state, found;
	TRY(step_with(f, t->seek, key, &found));
	if (!found)
		return ERR_NOT_FOUND;
	writer_clear(&f->entries);
	enum err err = ERR_OK;
	if (in_rows)
		write_bytes(&f->entries, column_blob(t->seek, 0));
	else
		err = page_unpack_add(column_blob(t->seek, 1), &f->entries);
	(void)sqlite3_reset(t->seek);
	TRY(err);
	TRY(f->entries.err);
	if (!in_rows)
		return find_in_page(f, key, ret_value);
	*ret_value = writer_bytes(&f->entries);
	return ERR_OK;
}

struct state_scan {
	struct bytes prefix;
	op_scan_fn fn;
	void *fn_ctx;
	struct writer entries;
	struct page_cursor at;
};

/* *ret_more: a later key may have the prefix. */
static enum err scan_entry(
    const struct state_scan *s, struct bytes key, struct bytes value, bool *ret_more)
{
	struct bytes front = bytes_slice(key, 0, s->prefix.len);
	int order = bytes_compare(front, s->prefix);
	*ret_more = order <= 0;
	return order == 0 ? s->fn(s->fn_ctx, key, value) : ERR_OK;
}

static enum err scan_page(struct state_scan *s, struct bytes page, bool *ret_more)
{
	writer_clear(&s->entries);
	TRY(page_unpack_add(page, &s->entries));
	TRY(page_cursor_start(&s->at, writer_bytes(&s->entries)));
	while (s->at.there && *ret_more) {
		TRY(scan_entry(s, page_cursor_key(&s->at), s->at.value, ret_more));
		TRY(page_cursor_next(&s->at));
	}
	return ERR_OK;
}

enum err state_file_scan(
    struct state_file *f, uint32_t id, struct bytes prefix, op_scan_fn fn, void *fn_ctx)
{
	ASSERT(id < f->table_count && !f->merge.table);
	struct state_scan s = {.prefix = prefix, .fn = fn, .fn_ctx = fn_ctx};
	sqlite3_stmt *stmt = f->tables[id].scan;
	bool in_rows = (int32_t)id == f->row_state, there, more = true;
	writer_init(&s.entries, SIZE_MAX);
	page_cursor_init(&s.at);
	enum err err = step_with(f, stmt, prefix, &there);
	while (err == ERR_OK && there) {
		err = in_rows ? scan_entry(&s, column_blob(stmt, 0), column_blob(stmt, 1), &more)
		              : scan_page(&s, column_blob(stmt, 0), &more);
		if (err != ERR_OK || !more)
			break;
		int rc = sqlite3_step(stmt);
		there = rc == SQLITE_ROW;
		err = store_error(f->db, rc, "state scan");
	}
	(void)sqlite3_reset(stmt);
	writer_release(&s.entries);
	page_cursor_release(&s.at);
	return err;
}

/* ---- merging --------------------------------------------------------------------------------- */

static enum err run(struct state_file *f, sqlite3_stmt *stmt)
{
	enum err err = store_error(f->db, sqlite3_step(stmt), "state page");
	(void)sqlite3_reset(stmt);
	return err;
}

static enum err write_page(struct state_file *f, struct bytes bound, struct bytes entries)
{
	struct merge *m = &f->merge;
	TRY(page_pack(entries, &f->page));
	TRY(bind_blob(f, m->table->put, 1, bound));
	TRY(bind_blob(f, m->table->put, 2, writer_bytes(&f->page)));
	m->written = true;
	return run(f, m->table->put);
}

static enum err delete_page(struct state_file *f, struct bytes bound)
{
	TRY(bind_blob(f, f->merge.table->del, 1, bound));
	return run(f, f->merge.table->del);
}

static void copy_to(struct writer *w, struct bytes b)
{
	writer_clear(w);
	write_bytes(w, b);
}

/* The tail is long enough to be a page: it waits to see what comes behind it. */
static enum err turn_over(struct state_file *f)
{
	struct merge *m = &f->merge;
	if (m->full.entries.len > 0)
		TRY(write_page(f, writer_bytes(&m->full_bound), writer_bytes(&m->full.entries)));
	struct page_builder page = m->full;
	struct writer bound = m->full_bound;
	m->full = m->tail;
	m->full_bound = m->tail_bound;
	m->tail = page;
	m->tail_bound = bound;
	page_builder_clear(&m->tail);
	return ERR_OK;
}

static enum err add(struct state_file *f, struct bytes key, struct bytes value)
{
	struct merge *m = &f->merge;
	if (m->tail.entries.len >= STATE_PAGE_BYTES)
		TRY(turn_over(f));
	if (m->tail.entries.len == 0) {
		bool first = !m->written && m->full.entries.len == 0;
		copy_to(&m->tail_bound, first ? writer_bytes(&m->bound) : key);
		TRY(m->tail_bound.err);
	}
	page_builder_add(&m->tail, key, value);
	return page_builder_error(&m->tail);
}

/* A page that has become nearly empty takes in the one above. */
static enum err absorb(struct state_file *f)
{
	struct merge *m = &f->merge;
	sqlite3_stmt *above = m->table->above;
	bool there;
	if (m->written || m->full.entries.len > 0 || !m->bounded ||
	    m->tail.entries.len >= STATE_PAGE_BYTES / 4)
		return ERR_OK;
	TRY(step_with(f, above, writer_bytes(&m->bound), &there));
	if (!there)
		return ERR_OK;
	struct bytes page = column_blob(above, 1);
	bool fits = page.len <= 2 * STATE_PAGE_BYTES;
	if (fits && m->tail.entries.len == 0)
		copy_to(&m->tail_bound, writer_bytes(&m->bound));
	enum err err = fits ? page_unpack_add(page, &m->tail.entries) : ERR_OK;
	(void)sqlite3_reset(above);
	TRY(err);
	TRY(m->tail_bound.err);
	return fits ? delete_page(f, writer_bytes(&m->upper)) : ERR_OK;
}

static enum err write_merged(struct state_file *f)
{
	struct merge *m = &f->merge;
	struct page_builder *full = &m->full, *tail = &m->tail;
	if (full->entries.len > 0 && tail->entries.len < STATE_PAGE_BYTES / 2) {
		write_bytes(&full->entries, writer_bytes(&tail->entries));
		TRY(full->entries.err);
		page_builder_clear(tail);
	}
	if (full->entries.len > 0)
		TRY(write_page(f, writer_bytes(&m->full_bound), writer_bytes(&full->entries)));
	if (tail->entries.len > 0)
		TRY(write_page(f, writer_bytes(&m->tail_bound), writer_bytes(&tail->entries)));
	return !m->written && m->taken_row ? delete_page(f, writer_bytes(&m->bound)) : ERR_OK;
}

static enum err copy_rest(struct state_file *f)
{
	struct page_cursor *rest = &f->merge.rest;
	while (rest->there) {
		TRY(add(f, page_cursor_key(rest), rest->value));
		TRY(page_cursor_next(rest));
	}
	return ERR_OK;
}

enum err state_file_flush(struct state_file *f)
{
	if (!f->merge.table)
		return ERR_OK;
	TRY(copy_rest(f));
	TRY(absorb(f));
	TRY(write_merged(f));
	f->merge.table = NULL;
	return ERR_OK;
}

void state_file_drop(struct state_file *f)
{
	f->merge.table = NULL;
}

static enum err read_taken(struct state_file *f, struct bytes key)
{
	struct merge *m = &f->merge;
	sqlite3_stmt *seek = m->table->seek, *above = m->table->above;
	enum err err = ERR_OK;
	TRY(step_with(f, seek, key, &m->taken_row));
	if (m->taken_row) {
		write_bytes(&m->bound, column_blob(seek, 0));
		err = page_unpack_add(column_blob(seek, 1), &m->taken);
		(void)sqlite3_reset(seek);
	}
	TRY(err);
	TRY(m->bound.err);
	TRY(step_with(f, above, writer_bytes(&m->bound), &m->bounded));
	if (m->bounded) {
		write_bytes(&m->upper, column_blob(above, 0));
		(void)sqlite3_reset(above);
	}
	TRY(m->upper.err);
	return page_cursor_start(&m->rest, writer_bytes(&m->taken));
}

/* Takes the page apart that `key` belongs to. */
static enum err take_page(struct state_file *f, uint32_t id, struct bytes key)
{
	struct merge *m = &f->merge;
	ASSERT(id < f->table_count && (int32_t)id != f->row_state && !m->table);
	m->table = &f->tables[id];
	m->written = false;
	writer_clear(&m->bound);
	writer_clear(&m->upper);
	writer_clear(&m->taken);
	page_builder_clear(&m->full);
	page_builder_clear(&m->tail);
	return read_taken(f, key);
}

/* Copies what lies below `key`, and leaves out what is there under it. */
static enum err advance(struct state_file *f, uint32_t id, struct bytes key)
{
	struct merge *m = &f->merge;
	struct page_cursor *rest = &m->rest;
	if (m->table && (m->table != &f->tables[id] ||
	                    (m->bounded && bytes_compare(key, writer_bytes(&m->upper)) >= 0)))
		TRY(state_file_flush(f));
	if (!m->table)
		TRY(take_page(f, id, key));
	while (rest->there) {
		int order = bytes_compare(page_cursor_key(rest), key);
		if (order > 0)
			break;
		if (order < 0)
			TRY(add(f, page_cursor_key(rest), rest->value));
		TRY(page_cursor_next(rest));
	}
	return ERR_OK;
}

enum err state_file_put(struct state_file *f, uint32_t id, struct bytes key, struct bytes value)
{
	TRY(advance(f, id, key));
	return add(f, key, value);
}

enum err state_file_del(struct state_file *f, uint32_t id, struct bytes key)
{
	return advance(f, id, key);
}
