/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/keyed_log.h"
#include "log/catalog.h"
#include "log/catalog_change.h"
#include "log/compact.h"
#include <stdio.h>
#include <stdlib.h>

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

/* ---- life ---- */

static void io_start(struct keyed_log *k, uint64_t seed, bool record)
{
	struct sim_options o = {.seed = seed,
	    .latency_min_ns = 10 * US_NS,
	    .latency_max_ns = 300 * US_NS,
	    .record = record};
	assert_ok(sim_io_new(k->disk, &o, &k->io));
	k->options = (struct log_options){.data_dir = "/data",
	    .journal_bytes = MIB,
	    .checkpoint_ns = 20 * MS_NS,
	    .checkpoint_bytes = 100000};
}

void keyed_init(struct keyed_log *k, uint64_t seed, bool record)
{
	*k = (struct keyed_log){.disk = sim_disk_new(0)};
	io_start(k, seed, record);
	keyed_open(k);
}

void keyed_init_disk(struct keyed_log *k, struct sim_disk *disk, uint64_t seed)
{
	*k = (struct keyed_log){.disk = disk};
	io_start(k, seed, false);
}

void keyed_open(struct keyed_log *k)
{
	assert_ok(loop_new(k->io, 0, &k->loop));
	enum err err = log_open(k->loop, &k->options, &k->log);
	if (err != ERR_OK)
		fail_msg("log_open: %s: %s", err_name(err), err_chain());
}

void keyed_close(struct keyed_log *k)
{
	log_close(k->log);
	loop_free(k->loop);
	k->log = NULL;
	k->loop = NULL;
}

void keyed_release(struct keyed_log *k)
{
	if (k->log)
		keyed_close(k);
	keyed_rows_release(&k->rows);
	io_free(k->io);
	sim_disk_free(k->disk);
}

static void nowhere(void *ctx, const char *line)
{
	(void)ctx;
	(void)line;
}

int keyed_setup(struct keyed_log *k, uint64_t seed, void (*events)(void *ctx, const char *line))
{
	diag_set_sink(events ? events : nowhere, NULL);
	keyed_init(k, seed, false);
	return 0;
}

int keyed_teardown(struct keyed_log *k)
{
	keyed_release(k);
	diag_set_sink(NULL, NULL);
	err_clear();
	return 0;
}

void keyed_turn(struct keyed_log *k)
{
	assert_ok(loop_step(k->loop, 10 * MS_NS));
}

void keyed_sleep(struct keyed_log *k, int64_t ns)
{
	int64_t due = io_clock_ns(k->io, IO_CLOCK_MONOTONIC) + ns;
	while (io_clock_ns(k->io, IO_CLOCK_MONOTONIC) < due)
		assert_ok(loop_step(k->loop, due - io_clock_ns(k->io, IO_CLOCK_MONOTONIC)));
}

struct findings {
	char *text;
	size_t len;
};

static void collect(void *ctx, struct str line)
{
	struct findings *f = ctx;
	size_t at = strlen(f->text);
	snprintf(f->text + at, f->len - at, STR_FMT "\n", STR_ARG(line));
}

void keyed_fsck(struct keyed_log *k, char *ret_text, size_t len)
{
	struct log_fsck_options options = {0};
	char buf[8192] = "";
	struct findings f = {ret_text ? ret_text : buf, ret_text ? len : sizeof(buf)};
	f.text[0] = '\0';
	enum err err = log_fsck(k->io, "/data", &options, collect, &f);
	if (err != ERR_OK)
		fail_msg("fsck: %s: %s\n%s", err_name(err), err_chain(), f.text);
}

/* ---- topics ---- */

void keyed_change_done(struct log_topic_req *req)
{
	req->log = NULL;
}

void keyed_create(
    struct keyed_log *k, const char *topic, uint64_t segment_bytes, const char *const *configs)
{
	struct str pairs[16][2];
	struct log_topic_req req = {.op = LOG_TOPIC_CREATE,
	    .name = str_of(topic),
	    .partition_count = 1,
	    .configs = (const struct str(*)[2])pairs,
	    .done = keyed_change_done};
	for (; configs && configs[req.config_count]; req.config_count++) {
		const char *text = configs[req.config_count], *equals = strchr(text, '=');
		pairs[req.config_count][0] = str_from(text, (size_t)(equals - text));
		pairs[req.config_count][1] = str_of(equals + 1);
	}
	log_topic_submit(k->log, &req);
	while (!log_topic_find(k->log, str_of(topic)))
		keyed_turn(k);
	while (req.log)
		keyed_turn(k);
	assert_ok(req.err);
	topic_of(log_topic_find(k->log, str_of(topic)))->pub.config.segment_bytes = segment_bytes;
}

struct log_partition *keyed_partition(const struct keyed_log *k, const char *topic)
{
	const struct log_topic *t = log_topic_find(k->log, str_of(topic));
	assert_non_null(t);
	return log_partition_find(k->log, t, 0);
}

/* ---- appending ---- */

struct put {
	struct log_append req;
	bool done;
};

static void put_done(struct log_append *req)
{
	CONTAINER_OF(req, struct put, req)->done = true;
}

static struct bytes text_bytes(const char *text)
{
	return text ? bytes_of(text, strlen(text)) : (struct bytes){NULL, 0};
}

static enum err append_batch(
    struct keyed_log *k, const char *topic, struct batch_builder *b, struct log_append *ret_req)
{
	struct writer w;
	writer_init(&w, MIB);
	assert_ok(batch_builder_finish(b, &w));
	batch_builder_release(b);
	struct put put = {.req = {.partition = keyed_partition(k, topic),
	                      .batch = w.ptr,
	                      .batch_len = w.len,
	                      .internal = true,
	                      .done = put_done}};
	struct log_append *req = &put.req;
	log_append(k->log, &req, 1, false);
	while (!put.done)
		keyed_turn(k);
	writer_release(&w);
	*ret_req = put.req;
	return put.req.err;
}

static void builder_start(struct batch_builder *b, const struct keyed_how *how)
{
	batch_builder_init(b, how->codec);
	b->producer_id = how->producer_id;
	b->producer_epoch = how->epoch;
	b->base_sequence = how->sequence;
	b->attributes = how->attributes;
}

enum err keyed_try_append(struct keyed_log *k, const char *topic,
    const struct keyed_record *records, size_t count, const struct keyed_how *how,
    struct log_append *ret_req)
{
	struct batch_builder b;
	int64_t now_ms = io_clock_ns(k->io, IO_CLOCK_REALTIME) / MS_NS;
	builder_start(&b, how);
	for (size_t i = 0; i < count; i++)
		assert_ok(batch_builder_add(&b,
		    records[i].timestamp_ms ? records[i].timestamp_ms : now_ms,
		    text_bytes(records[i].key), text_bytes(records[i].value), NULL, 0));
	return append_batch(k, topic, &b, ret_req);
}

int64_t keyed_append(struct keyed_log *k, const char *topic, const struct keyed_record *records,
    size_t count, const struct keyed_how *how)
{
	struct log_append req;
	enum err err = keyed_try_append(k, topic, records, count, how, &req);
	if (err != ERR_OK)
		fail_msg("append: %s: %s", err_name(err), err_chain());
	return req.base_offset;
}

int64_t keyed_put(struct keyed_log *k, const char *topic, const char *key, const char *value)
{
	const struct keyed_record r = {key, value, 0};
	return keyed_append(k, topic, &r, 1, &KEYED_PLAIN);
}

int64_t keyed_marker(
    struct keyed_log *k, const char *topic, int64_t producer_id, int16_t epoch, bool commit)
{
	struct batch_builder b;
	struct log_append req;
	const uint8_t key[4] = {0, 0, 0, commit}, value[6] = {0};
	const struct keyed_how how = {.producer_id = producer_id,
	    .epoch = epoch,
	    .sequence = -1,
	    .attributes = BATCH_ATTR_CONTROL | BATCH_ATTR_TRANSACTIONAL};
	builder_start(&b, &how);
	assert_ok(batch_builder_add(&b, io_clock_ns(k->io, IO_CLOCK_REALTIME) / MS_NS,
	    bytes_of(key, sizeof(key)), bytes_of(value, sizeof(value)), NULL, 0));
	assert_ok(append_batch(k, topic, &b, &req));
	return req.base_offset;
}

/* ---- compacting ---- */

void keyed_compact(struct keyed_log *k)
{
	struct compactor *c = k->log->catalog->compactor;
	keyed_sleep(k, 50 * MS_NS); /* what was appended is flushed */
	while (compactor_busy(c))
		keyed_turn(k);
	compactor_run(c);
	while (compactor_busy(c))
		keyed_turn(k);
}

/* ---- reading ---- */

static void read_done(struct log_read *read)
{
	*(bool *)read->user = true;
}

static void text_of(char *buf, size_t len, struct bytes b)
{
	assert_true(b.len < len);
	if (b.len > 0)
		memcpy(buf, b.ptr, b.len);
	buf[b.len] = '\0';
}

static void rows_add(struct keyed_rows *rows, const struct record *r)
{
	if (rows->count % 256 == 0) {
		rows->row = realloc(rows->row, (rows->count + 256) * sizeof(*rows->row));
		assert_non_null(rows->row);
	}
	struct keyed_row *row = &rows->row[rows->count];
	*row = (struct keyed_row){.offset = r->offset,
	    .timestamp_ms = r->timestamp_ms,
	    .no_key = !r->key.ptr,
	    .tombstone = !r->value.ptr};
	text_of(row->key, sizeof(row->key), r->key);
	text_of(row->value, sizeof(row->value), r->value);
	/* offsets ascend, whatever was removed */
	assert_true(rows->count == 0 || rows->row[rows->count - 1].offset < r->offset);
	rows->count++;
}

static void read_batch(struct keyed_rows *rows, struct bytes batch)
{
	struct writer scratch;
	struct record_iter it;
	struct record r;
	enum err e;
	writer_init(&scratch, MIB);
	assert_ok(record_iter_open(&it, batch, &scratch, MIB));
	assert_int_equal(crc32c(bytes_slice(batch, 21, batch.len)), it.header.crc);
	rows->batches++;
	rows->empty_batches += it.header.count == 0;
	if (it.header.count > 0)
		rows->codecs |= 1 << batch_codec(&it.header);
	if (it.header.attributes & BATCH_ATTR_CONTROL) {
		rows->control_batches++;
		writer_release(&scratch);
		return;
	}
	int64_t max_ms = -1;
	while ((e = record_iter_next(&it, &r)) == ERR_OK) {
		rows_add(rows, &r);
		max_ms = r.timestamp_ms > max_ms ? r.timestamp_ms : max_ms;
	}
	assert_int_equal(e, ERR_EOF);
	if (it.header.count > 0)
		assert_int_equal(max_ms, it.header.max_timestamp_ms);
	writer_release(&scratch);
}

void keyed_read(struct keyed_log *k, const char *topic, struct keyed_rows *ret_rows)
{
	struct log_partition *p = keyed_partition(k, topic);
	struct log_partition_status st;
	log_partition_status(p, &st);
	*ret_rows = (struct keyed_rows){0};
	for (int64_t offset = st.log_start; offset < st.visible_end;) {
		bool done = false;
		struct log_read read = {.partition = p,
		    .offset = offset,
		    .max_bytes = 700,
		    .user = &done,
		    .done = read_done};
		log_read(k->log, &read);
		while (!done)
			keyed_turn(k);
		if (read.err != ERR_OK)
			fail_msg("read at %lld: %s: %s", (long long)offset, err_name(read.err),
			    err_chain());
		for (size_t i = 0; i < read.batch_count; i++)
			read_batch(ret_rows, read.batches[i]);
		if (read.batch_count == 0)
			break;
		assert_true(read.next_offset > offset);
		offset = read.next_offset;
		log_read_release(&read);
	}
}

int64_t keyed_next_offset(struct keyed_log *k, const char *topic, int64_t offset)
{
	bool done = false;
	struct batch_header h;
	struct log_read read = {.partition = keyed_partition(k, topic),
	    .offset = offset,
	    .max_bytes = 1,
	    .user = &done,
	    .done = read_done};
	log_read(k->log, &read);
	while (!done)
		keyed_turn(k);
	assert_ok(read.err);
	assert_int_equal(read.batch_count, 1);
	assert_ok(batch_header_read(read.batches[0], &h));
	log_read_release(&read);
	return h.base_offset;
}

void keyed_rows_release(struct keyed_rows *rows)
{
	free(rows->row);
	*rows = (struct keyed_rows){0};
}

const char *keyed_value(const struct keyed_rows *rows, const char *key)
{
	for (size_t i = rows->count; i-- > 0;)
		if (!rows->row[i].no_key && strcmp(rows->row[i].key, key) == 0)
			return rows->row[i].tombstone ? NULL : rows->row[i].value;
	return NULL;
}

const char *keyed_text(const struct keyed_rows *rows)
{
	static char text[65536];
	size_t at = 0;
	text[0] = '\0';
	for (size_t i = 0; i < rows->count && at < sizeof(text); i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%lld:%s=%s", i ? " " : "",
		    (long long)rows->row[i].offset, rows->row[i].no_key ? "?" : rows->row[i].key,
		    rows->row[i].tombstone ? "-" : rows->row[i].value);
	return text;
}

const char *keyed_read_text(struct keyed_log *k)
{
	keyed_rows_release(&k->rows);
	keyed_read(k, "t", &k->rows);
	return keyed_text(&k->rows);
}
