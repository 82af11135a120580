/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/seed.h"
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include "processor/io/cell.h"
#include "processor/io/store_reader.h"
#include <math.h>
#include <stdio.h>

enum { COLUMNS = 16 };

struct fixture {
	struct io *io;
	struct vfs *vfs;
	char *dir;
	char path[128];
	struct plan_column columns[COLUMNS];
	uint8_t logic[32];
	struct store_spec spec;
};

static const struct {
	const char *name;
	struct type type;
} column_table[COLUMNS] = {
    {"id", {TYPE_INT8, 0, 0}},
    {"ID", {TYPE_INT4, 0, 0}}, /* SQLite does not tell it from the first */
    {"_key", {TYPE_TEXT, 0, 0}},
    {"say \"hi\"", {TYPE_TEXT, 0, 0}},
    {"small", {TYPE_INT2, 0, 0}},
    {"flag", {TYPE_BOOL, 0, 0}},
    {"f4", {TYPE_FLOAT4, 0, 0}},
    {"f8", {TYPE_FLOAT8, 0, 0}},
    {"amount", {TYPE_NUMERIC, 12, 2}},
    {"raw", {TYPE_BYTEA, 0, 0}},
    {"day", {TYPE_DATE, 0, 0}},
    {"ts", {TYPE_TIMESTAMP, 0, 0}},
    {"tstz", {TYPE_TIMESTAMPTZ, 0, 0}},
    {"iv", {TYPE_INTERVAL, 0, 0}},
    {"u", {TYPE_UUID, 0, 0}},
    {"j", {TYPE_JSONB, 0, 0}},
};

static int setup(void **state)
{
	struct fixture *f = mem_calloc(1, sizeof(*f));
	f->dir = tempdir_new();
	(void)snprintf(f->path, sizeof(f->path), "%s/v1.db", f->dir);
	assert_int_equal(io_new("threads", &f->io), ERR_OK);
	assert_int_equal(vfs_new(f->io, &f->vfs), ERR_OK);
	for (int i = 0; i < COLUMNS; i++)
		f->columns[i] =
		    (struct plan_column){str_of(column_table[i].name), column_table[i].type};
	memset(f->logic, 0x5a, sizeof(f->logic));
	f->spec = (struct store_spec){.vfs = f->vfs,
	    .io = f->io,
	    .path = f->path,
	    .view = STR("felt per day"),
	    .version = 3,
	    .logic = f->logic,
	    .input_hash = 77,
	    .columns = f->columns,
	    .column_count = COLUMNS,
	    .state_count = 2};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	vfs_free(f->vfs);
	io_free(f->io);
	tempdir_remove(f->dir);
	mem_free(f);
	return 0;
}

static struct store *open_store(struct fixture *f)
{
	struct store *s;
	err_clear();
	enum err err = store_open(&f->spec, &s);
	if (err != ERR_OK)
		fail_msg("store_open: %s: %s", err_name(err), err_chain());
	assert_int_equal(store_prepare(s, -1), ERR_OK);
	return s;
}

static struct datum text(const char *s)
{
	return (struct datum){.s = str_of(s)};
}

/* Row number n: all kinds of values, NULLs here and there. */
static void make_row(uint64_t n, struct datum v[COLUMNS])
{
	static const double floats[] = {0.0, -0.0, 1.5, -1e300, 3.0};
	memset(v, 0, COLUMNS * sizeof(*v));
	v[0].i = (int64_t)n;
	v[1].i = INT32_MIN;
	v[2] = text("hidden");
	v[3] = text(n % 2 ? "" : "grün \"x\"");
	v[4].i = -7;
	v[5].b = n % 3 == 0;
	v[6].f = 0.5;
	v[7].f = n % 7 == 5 ? NAN : n % 7 == 6 ? INFINITY : floats[n % 5];
	v[8].num = (struct numeric){(int128)1234500 + (int128)n, 2};
	v[9].s = str_from("\0\xff\x01", n % 4);
	v[10].i = 19000;
	v[11].i = -1;
	v[12].i = n % 11 == 0 ? TIME_POS_INFINITY : 1740830400123456;
	v[13].iv = (struct interval){1500000, 2, 14};
	memset(v[14].uuid, 0xab, 16);
	v[15] = text("{\"a\": [1, 2]}");
	v[n % COLUMNS].null = n % 5 == 0;
}

static void put_row(struct dirty *d, uint64_t key, uint64_t n)
{
	struct datum v[COLUMNS];
	uint8_t k[8];
	make_row(n, v);
	put_u64_be(k, key);
	struct writer *w = dirty_begin(d, bytes_of(k, 8));
	for (int i = 0; i < COLUMNS; i++)
		cell_write(w, column_table[i].type.id, v[i]);
	cell_write_int(w, (int64_t)n);
	cell_write_int(w, (int64_t)n + 1);
	cell_write_int(w, 2);
	cell_write_blob(w, bytes_of("state", 5));
	assert_int_equal(dirty_end(d, false), ERR_OK);
}

static void del_row(struct dirty *d, uint64_t key)
{
	uint8_t k[8];
	put_u64_be(k, key);
	(void)dirty_begin(d, bytes_of(k, 8));
	assert_int_equal(dirty_end(d, true), ERR_OK);
}

static void commit(struct store *s, struct dirty *d, uint64_t sequence)
{
	struct store_head head = *store_head(s);
	head.sequence = sequence;
	assert_int_equal(store_begin(s), ERR_OK);
	assert_int_equal(store_put_rows(s, d), ERR_OK);
	assert_int_equal(store_commit(s, &head), ERR_OK);
	dirty_clear(d);
}

static bool same_datum(enum type_id type, struct datum a, struct datum b)
{
	if (a.null || b.null)
		return a.null == b.null;
	if (type == TYPE_FLOAT8)
		return (isnan(a.f) && isnan(b.f)) || memcmp(&a.f, &b.f, sizeof(a.f)) == 0;
	if (type == TYPE_NUMERIC)
		return a.num.mantissa == b.num.mantissa && a.num.scale == b.num.scale;
	return datum_compare(type, a, b) == 0;
}

static void expect_row(const struct store_row *row, uint64_t n)
{
	struct datum v[COLUMNS];
	make_row(n, v);
	for (int i = 0; i < COLUMNS; i++)
		if (!same_datum(column_table[i].type.id, row->values[i], v[i]))
			fail_msg(
			    "row %llu: column %s", (unsigned long long)n, column_table[i].name);
	assert_int_equal(row->first_sequence, n);
	assert_int_equal(row->last_sequence, n + 1);
	assert_int_equal(row->record_count, 2);
}

static void rows_of_every_type_come_back_as_they_were_after_reopening(void **state)
{
	struct fixture *f = *state;
	struct dirty d;
	struct store_row row;
	struct store_reader *r;
	dirty_init(&d, 64 * MIB);
	struct store *s = open_store(f);
	for (uint64_t n = 0; n < 200; n++)
		put_row(&d, 200 - n, 200 - n);
	commit(s, &d, 500);
	store_close(s);
	s = open_store(f);
	assert_int_equal(store_head(s)->checkpoint, 1);
	assert_int_equal(store_head(s)->sequence, 500);
	assert_int_equal(store_reader_open(&f->spec, &r), ERR_OK);
	assert_int_equal(
	    store_rows_begin(r, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}), ERR_OK);
	for (uint64_t n = 1; n <= 200; n++) {
		assert_int_equal(store_rows_next(r, &row), ERR_OK);
		expect_row(&row, n);
	}
	assert_int_equal(store_rows_next(r, &row), ERR_EOF);
	uint8_t key[8];
	put_u64_be(key, 17);
	assert_int_equal(store_rows_find(r, bytes_of(key, 8), &row), ERR_OK);
	expect_row(&row, 17);
	put_u64_be(key, 1000);
	assert_int_equal(store_rows_find(r, bytes_of(key, 8), &row), ERR_NOT_FOUND);
	store_reader_close(r);
	store_close(s);
	dirty_release(&d);
}

static void the_last_change_of_a_key_counts(void **state)
{
	struct fixture *f = *state;
	struct dirty d;
	struct store_row row;
	struct store_reader *r;
	dirty_init(&d, 64 * MIB);
	struct store *s = open_store(f);
	put_row(&d, 5, 1);
	put_row(&d, 3, 2);
	put_row(&d, 5, 7);
	del_row(&d, 3);
	put_row(&d, 4, 9);
	del_row(&d, 4);
	put_row(&d, 4, 10);
	commit(s, &d, 1);
	assert_int_equal(store_reader_open(&f->spec, &r), ERR_OK);
	assert_int_equal(
	    store_rows_begin(r, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}), ERR_OK);
	assert_int_equal(store_rows_next(r, &row), ERR_OK);
	expect_row(&row, 10);
	assert_int_equal(store_rows_next(r, &row), ERR_OK);
	expect_row(&row, 7);
	assert_int_equal(store_rows_next(r, &row), ERR_EOF);
	store_reader_close(r);
	store_close(s);
	dirty_release(&d);
}

static void a_reader_stays_at_its_checkpoint(void **state)
{
	struct fixture *f = *state;
	struct dirty d;
	struct store_row row;
	struct store_reader *before, *after;
	bool pinned;
	dirty_init(&d, 64 * MIB);
	struct store *s = open_store(f);
	put_row(&d, 1, 1);
	commit(s, &d, 10);
	assert_int_equal(store_reader_open(&f->spec, &before), ERR_OK);
	put_row(&d, 1, 2);
	commit(s, &d, 20);
	assert_int_equal(store_trim(s, 0, &pinned), ERR_OK);
	assert_true(pinned);
	assert_int_equal(store_reader_open(&f->spec, &after), ERR_OK);
	assert_int_equal(store_reader_head(before)->sequence, 10);
	assert_int_equal(store_reader_head(after)->sequence, 20);
	assert_int_equal(
	    store_rows_begin(before, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}), ERR_OK);
	assert_int_equal(store_rows_next(before, &row), ERR_OK);
	expect_row(&row, 1);
	store_reader_close(before);
	store_reader_close(after);
	assert_int_equal(store_trim(s, 0, &pinned), ERR_OK);
	assert_false(pinned);
	store_close(s);
	dirty_release(&d);
}

static void what_was_not_committed_is_gone_after_reopening(void **state)
{
	struct fixture *f = *state;
	struct dirty d;
	dirty_init(&d, 64 * MIB);
	struct store *s = open_store(f);
	put_row(&d, 1, 1);
	commit(s, &d, 10);
	put_row(&d, 2, 2);
	assert_int_equal(store_begin(s), ERR_OK);
	assert_int_equal(store_put_rows(s, &d), ERR_OK);
	struct store_position p = {.partition = 3, .next_offset = 99};
	assert_int_equal(store_put_position(s, &p), ERR_OK);
	store_close(s); /* as a crash would */
	s = open_store(f);
	assert_int_equal(store_head(s)->sequence, 10);
	struct store_reader *r;
	struct store_row row;
	assert_int_equal(store_reader_open(&f->spec, &r), ERR_OK);
	assert_int_equal(
	    store_rows_begin(r, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}), ERR_OK);
	assert_int_equal(store_rows_next(r, &row), ERR_OK);
	assert_int_equal(store_rows_next(r, &row), ERR_EOF);
	store_reader_close(r);
	store_close(s);
	dirty_release(&d);
}

struct collected {
	int count;
	struct store_position last;
	uint8_t keys[64];
	uint64_t sequences[8];
};

static enum err collect_position(void *ctx, const struct store_position *p)
{
	struct collected *c = ctx;
	c->count++;
	c->last = *p;
	return ERR_OK;
}

static void positions_are_replaced_and_come_back(void **state)
{
	struct fixture *f = *state;
	struct store *s = open_store(f);
	struct store_position p = {.topic_id = {{1, 2, 3}}, .partition = 4, .next_offset = 100};
	assert_int_equal(store_begin(s), ERR_OK);
	assert_int_equal(store_put_position(s, &p), ERR_OK);
	p.next_offset = 200;
	assert_int_equal(store_put_position(s, &p), ERR_OK);
	assert_int_equal(store_commit(s, store_head(s)), ERR_OK);
	store_close(s);
	s = open_store(f);
	struct collected c = {0};
	assert_int_equal(store_positions(s, collect_position, &c), ERR_OK);
	assert_int_equal(c.count, 1);
	assert_int_equal(c.last.next_offset, 200);
	assert_int_equal(c.last.partition, 4);
	assert_true(log_uuid_equal(c.last.topic_id, p.topic_id));
	store_close(s);
}

static enum err collect_state(void *ctx, struct bytes key, struct bytes value)
{
	struct collected *c = ctx;
	assert_int_equal(value.len, 1);
	assert_true(key.len > 0);
	c->keys[c->count++] = value.ptr[0];
	return ERR_OK;
}

static void operator_state_is_looked_up_and_scanned_by_prefix(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *key;
		size_t len;
		const char *value;
	} entries[] = {{"a", 1, "1"}, {"ab", 2, "2"}, {"ab\xff", 3, "3"}, {"ac", 2, "4"},
	    {"\xff", 1, "5"}, {"\xff\xff", 2, "6"}};
	struct store *s = open_store(f);
	const struct op_store *ops = store_ops(s);
	assert_int_equal(store_begin(s), ERR_OK);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(ops->put(ops->ctx, 3, bytes_of(entries[i].key, entries[i].len),
		                     bytes_of(entries[i].value, 1)),
		    ERR_OK);
	assert_int_equal(ops->put(ops->ctx, 2, bytes_of("a", 1), bytes_of("x", 1)), ERR_OK);
	assert_int_equal(store_commit(s, store_head(s)), ERR_OK);
	struct bytes value;
	assert_int_equal(ops->lookup(ops->ctx, 3, bytes_of("ab", 2), &value), ERR_OK);
	assert_memory_equal(value.ptr, "2", 1);
	assert_int_equal(ops->lookup(ops->ctx, 2, bytes_of("a", 1), &value), ERR_OK);
	assert_memory_equal(value.ptr, "x", 1);
	assert_int_equal(ops->lookup(ops->ctx, 0, bytes_of("a", 1), &value), ERR_NOT_FOUND);
	struct collected c = {0};
	assert_int_equal(ops->scan(ops->ctx, 3, bytes_of("ab", 2), collect_state, &c), ERR_OK);
	assert_int_equal(c.count, 2);
	assert_memory_equal(c.keys, "23", 2);
	c = (struct collected){0};
	assert_int_equal(ops->scan(ops->ctx, 3, bytes_of("\xff", 1), collect_state, &c), ERR_OK);
	assert_memory_equal(c.keys, "56", 2);
	c = (struct collected){0};
	assert_int_equal(ops->scan(ops->ctx, 3, bytes_of("", 0), collect_state, &c), ERR_OK);
	assert_memory_equal(c.keys, "123456", 6);
	assert_int_equal(store_begin(s), ERR_OK);
	assert_int_equal(ops->del(ops->ctx, 3, bytes_of("ab", 2)), ERR_OK);
	assert_int_equal(store_commit(s, store_head(s)), ERR_OK);
	assert_int_equal(ops->lookup(ops->ctx, 3, bytes_of("ab", 2), &value), ERR_NOT_FOUND);
	store_close(s);
}

static void state_kept_with_the_rows_is_found_there(void **state)
{
	struct fixture *f = *state;
	struct dirty d;
	struct store *s;
	struct bytes value;
	uint8_t key[8];
	dirty_init(&d, 64 * MIB);
	assert_int_equal(store_open(&f->spec, &s), ERR_OK);
	assert_int_equal(store_prepare(s, 1), ERR_OK);
	put_row(&d, 8, 8);
	commit(s, &d, 1);
	put_u64_be(key, 8);
	assert_int_equal(
	    store_ops(s)->lookup(store_ops(s)->ctx, 1, bytes_of(key, 8), &value), ERR_OK);
	assert_int_equal(value.len, 5);
	assert_memory_equal(value.ptr, "state", 5);
	store_close(s);
	dirty_release(&d);
}

static void put_dead_letter(struct dirty *d, uint64_t sequence, uint32_t pos, const char *reason)
{
	uint8_t key[STORE_DEAD_LETTER_KEY];
	store_dead_letter_key(key, sequence, pos);
	struct writer *w = dirty_begin(d, bytes_of(key, sizeof(key)));
	cell_write_text(w, STR("quakes"));
	cell_write_int(w, 2);
	cell_write_int(w, 77);
	cell_write_text(w, STR("decode"));
	cell_write_text(w, str_of(reason));
	cell_write_text(w, STR("because"));
	cell_write_int(w, 5);
	cell_write_blob(w, (struct bytes){NULL, 0});
	cell_write_blob(w, bytes_of("{", 1));
	assert_int_equal(dirty_end(d, false), ERR_OK);
}

static enum err collect_dead_letter(void *ctx, const struct store_dead_letter *l)
{
	struct collected *c = ctx;
	c->sequences[c->count++] = l->sequence * 10 + l->pos;
	assert_true(str_equal(l->topic, STR("quakes")));
	assert_true(str_equal(l->op, STR("decode")));
	assert_true(str_equal(l->message, STR("because")));
	assert_int_equal(l->partition, 2);
	assert_int_equal(l->offset, 77);
	assert_null(l->key.ptr);
	assert_int_equal(l->value.len, 1);
	return ERR_OK;
}

static void count_reason(void *ctx, struct str reason, uint64_t count)
{
	struct collected *c = ctx;
	c->sequences[c->count++] = count;
	c->keys[c->count - 1] = (uint8_t)reason.ptr[0];
}

static void dead_letters_come_in_order_and_are_counted_by_reason(void **state)
{
	struct fixture *f = *state;
	struct dirty d;
	struct store_reader *r;
	dirty_init(&d, MIB);
	struct store *s = open_store(f);
	put_dead_letter(&d, 300, 1, "BAD_JSON");
	put_dead_letter(&d, 20, 2, "NULL_VALUE");
	put_dead_letter(&d, 300, 0, "BAD_JSON");
	assert_int_equal(store_begin(s), ERR_OK);
	assert_int_equal(store_put_dead_letters(s, &d), ERR_OK);
	assert_int_equal(store_commit(s, store_head(s)), ERR_OK);
	assert_int_equal(store_reader_open(&f->spec, &r), ERR_OK);
	struct collected c = {0};
	assert_int_equal(store_dead_letters(r, collect_dead_letter, &c), ERR_OK);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.sequences[0], 202);
	assert_int_equal(c.sequences[1], 3000);
	assert_int_equal(c.sequences[2], 3001);
	c = (struct collected){0};
	assert_int_equal(store_dead_letter_counts(r, count_reason, &c), ERR_OK);
	assert_int_equal(c.count, 2);
	assert_int_equal(c.sequences[0], 2);
	assert_int_equal(c.keys[0], 'B');
	assert_int_equal(c.sequences[1], 1);
	store_reader_close(r);
	store_close(s);
	dirty_release(&d);
}

static void a_file_of_another_logic_version_or_input_is_not_trusted(void **state)
{
	struct fixture *f = *state;
	uint8_t other[32] = {1};
	struct store *s = open_store(f);
	store_close(s);
	struct store_spec spec = f->spec;
	spec.logic = other;
	assert_int_equal(store_open(&spec, &s), ERR_CORRUPT);
	spec = f->spec;
	spec.version = 4;
	assert_int_equal(store_open(&spec, &s), ERR_CORRUPT);
	spec = f->spec;
	spec.input_hash++;
	assert_int_equal(store_open(&spec, &s), ERR_CORRUPT);
	spec = f->spec;
	spec.view = STR("another");
	assert_int_equal(store_open(&spec, &s), ERR_CORRUPT);
	store_close(open_store(f));
	assert_int_equal(store_remove(f->io, f->path), ERR_OK);
	assert_int_equal(store_remove(f->io, f->path), ERR_OK);
	assert_int_equal(store_open(&spec, &s), ERR_OK);
	store_close(s);
}

static void garbage_is_not_a_view_file(void **state)
{
	struct fixture *f = *state;
	struct store *s;
	char garbage[2 * VFS_PAGE_BYTES];
	memset(garbage, 'x', sizeof(garbage));
	assert_int_equal(io_write_file(f->io, f->path, bytes_of(garbage, sizeof(garbage))), ERR_OK);
	assert_int_equal(store_open(&f->spec, &s), ERR_CORRUPT);
	/* a database, but not of ours */
	assert_int_equal(store_remove(f->io, f->path), ERR_OK);
	sqlite3 *db;
	assert_int_equal(sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	                     vfs_name(f->vfs)),
	    SQLITE_OK);
	int reserved = VFS_RESERVED_BYTES;
	assert_int_equal(
	    sqlite3_file_control(db, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, "PRAGMA application_id = 5; CREATE TABLE t(a)", NULL, NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(store_open(&f->spec, &s), ERR_CORRUPT);
	assert_int_equal(
	    sqlite3_open_v2(f->path, &db, SQLITE_OPEN_READWRITE, vfs_name(f->vfs)), SQLITE_OK);
	assert_int_equal(
	    sqlite3_exec(db, "PRAGMA application_id = 1801547888; PRAGMA user_version = 99", NULL,
	        NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_int_equal(store_open(&f->spec, &s), ERR_NEWER_FORMAT);
}

static void copy_file(struct fixture *f, const char *from, const char *to)
{
	struct bytes content;
	assert_int_equal(io_read_file(f->io, from, 64 * MIB, &content), ERR_OK);
	assert_int_equal(io_write_file(f->io, to, content), ERR_OK);
	mem_free((void *)(uintptr_t)content.ptr);
}

/*
 * A killed writer leaves a database into which its write-ahead log has been copied, and that log.
 * When the log loses its end, an older state of some pages would come back over newer ones: rows of
 * two checkpoints in one answer.
 */
static void a_flipped_bit_in_a_dead_writers_log_never_mixes_two_checkpoints(void **state)
{
	struct fixture *f = *state;
	struct dirty d;
	char dead[128], dead_wal[140], wal[140];
	bool pinned;
	uint64_t trusted = 0, refused = 0;
	dirty_init(&d, 64 * MIB);
	struct store *s = open_store(f);
	for (uint64_t n = 0; n < 120; n++)
		put_row(&d, n, 1);
	commit(s, &d, 1);
	assert_int_equal(store_trim(s, 0, &pinned), ERR_OK);
	for (uint64_t c = 2; c <= 4; c++) { /* each checkpoint rewrites every row */
		for (uint64_t n = 0; n < 120; n++)
			put_row(&d, n, c);
		commit(s, &d, c);
	}
	/* copied into the database, but the log is still there */
	assert_int_equal(store_trim(s, 0, &pinned), ERR_OK);
	(void)snprintf(wal, sizeof(wal), "%s-wal", f->path);
	(void)snprintf(dead, sizeof(dead), "%s/dead.db", f->dir);
	(void)snprintf(dead_wal, sizeof(dead_wal), "%s-wal", dead);
	struct io_stat st;
	assert_int_equal(io_stat(f->io, wal, &st), ERR_OK);
	struct store_spec spec = f->spec;
	spec.path = dead;
	for (uint64_t pos = 32; pos < st.size_bytes; pos += 997) {
		int fd;
		uint8_t byte;
		struct store *opened;
		assert_int_equal(store_remove(f->io, dead), ERR_OK);
		copy_file(f, f->path, dead);
		copy_file(f, wal, dead_wal);
		assert_int_equal(io_open(f->io, dead_wal, 0, &fd), ERR_OK);
		assert_int_equal(io_pread_all(f->io, fd, &byte, 1, pos), ERR_OK);
		byte ^= 0x10;
		assert_int_equal(io_pwrite(f->io, fd, &byte, 1, pos), ERR_OK);
		assert_int_equal(io_close(f->io, fd), ERR_OK);
		enum err err = store_open(&spec, &opened);
		if (err) {
			assert_int_equal(err, ERR_CORRUPT);
			refused++;
			err_clear();
			continue;
		}
		trusted++;
		struct store_reader *r;
		struct store_row row;
		assert_int_equal(store_reader_open(&spec, &r), ERR_OK);
		uint64_t sequence = store_reader_head(r)->sequence;
		assert_int_equal(
		    store_rows_begin(r, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}), ERR_OK);
		for (uint64_t n = 0; n < 120; n++) {
			assert_int_equal(store_rows_next(r, &row), ERR_OK);
			assert_int_equal(row.first_sequence, sequence);
		}
		store_reader_close(r);
		store_close(opened);
	}
	assert_true(refused > 0);
	print_message("%llu refused, %llu trusted\n", (unsigned long long)refused,
	    (unsigned long long)trusted);
	store_close(s);
	dirty_release(&d);
}

static void random_changes_agree_with_a_model(void **state)
{
	struct fixture *f = *state;
	enum { KEYS = 300 };
	uint64_t model[KEYS] = {0}; /* 0 = no row */
	struct prng p;
	struct dirty d;
	prng_init(&p, test_seed(1));
	dirty_init(&d, 64 * MIB);
	struct store *s = open_store(f);
	for (uint64_t round = 1; round <= 60; round++) {
		uint64_t changes = prng_below(&p, 400);
		for (uint64_t i = 0; i < changes; i++) {
			uint64_t key = prng_below(&p, KEYS), n = prng_below(&p, 1000000) + 1;
			bool del = prng_below(&p, 3) == 0;
			if (del)
				del_row(&d, key);
			else
				put_row(&d, key, n);
			model[key] = del ? 0 : n;
		}
		commit(s, &d, round);
		if (prng_below(&p, 4) == 0) {
			store_close(s);
			s = open_store(f);
		}
		struct store_reader *r;
		struct store_row row;
		assert_int_equal(store_reader_open(&f->spec, &r), ERR_OK);
		assert_int_equal(
		    store_rows_begin(r, (struct bytes){NULL, 0}, (struct bytes){NULL, 0}), ERR_OK);
		for (uint64_t key = 0; key < KEYS; key++) {
			if (model[key] == 0)
				continue;
			assert_int_equal(store_rows_next(r, &row), ERR_OK);
			assert_int_equal(get_u64_be(row.key.ptr), key);
			expect_row(&row, model[key]);
		}
		assert_int_equal(store_rows_next(r, &row), ERR_EOF);
		store_reader_close(r);
	}
	store_close(s);
	dirty_release(&d);
}

#define STORE_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    STORE_TEST(rows_of_every_type_come_back_as_they_were_after_reopening),
	    STORE_TEST(the_last_change_of_a_key_counts),
	    STORE_TEST(a_reader_stays_at_its_checkpoint),
	    STORE_TEST(what_was_not_committed_is_gone_after_reopening),
	    STORE_TEST(positions_are_replaced_and_come_back),
	    STORE_TEST(operator_state_is_looked_up_and_scanned_by_prefix),
	    STORE_TEST(state_kept_with_the_rows_is_found_there),
	    STORE_TEST(dead_letters_come_in_order_and_are_counted_by_reason),
	    STORE_TEST(a_file_of_another_logic_version_or_input_is_not_trusted),
	    STORE_TEST(garbage_is_not_a_view_file),
	    STORE_TEST(a_flipped_bit_in_a_dead_writers_log_never_mixes_two_checkpoints),
	    STORE_TEST(random_changes_agree_with_a_model),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
