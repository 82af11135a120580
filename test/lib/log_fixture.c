/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/log_fixture.h"
#include "test/lib/tempdir.h"
#include "test/lib/xmalloc.h"
#include "test/lib/patience.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- life ---- */

static void topics_init(struct log_fixture *f)
{
	for (int i = 0; i < LOG_FIXTURE_TOPICS; i++) {
		struct log_topic *t = &f->topics[i];
		snprintf(f->names[i], sizeof(f->names[i]), "topic%d", i);
		*t = (struct log_topic){
		    .name = str_of(f->names[i]), .partition_count = LOG_FIXTURE_PARTITIONS};
		memset(t->id.b, 0x40 + i, sizeof(t->id.b));
		t->config = (struct log_topic_config){.cleanup = LOG_CLEANUP_DELETE,
		    .retention_ms = -1,
		    .flush_messages = INT64_MAX,
		    .retention_bytes = -1,
		    .segment_bytes = 1 << 20,
		    .segment_ms = -1,
		    .max_message_bytes = BATCH_BYTES_DEFAULT,
		    .compression = -1};
	}
}

void log_fixture_init_io(struct log_fixture *f, struct io *io, const char *data_dir)
{
	*f = (struct log_fixture){.io = io};
	f->data_dir = mem_strdup(str_of(data_dir));
	f->options =
	    (struct log_options){.data_dir = f->data_dir, .journal_bytes = JOURNAL_BYTES_MIN};
	topics_init(f);
}

bool log_fixture_init(struct log_fixture *f, const char *backend)
{
	struct io *io;
	if (io_new(backend, &io) != ERR_OK)
		return false;
	char *dir = tempdir_new();
	log_fixture_init_io(f, io, dir);
	f->own_io = true;
	free(dir);
	return true;
}

void log_fixture_release(struct log_fixture *f)
{
	log_fixture_close(f);
	if (f->own_io) {
		char *dir = strdup(f->data_dir);
		tempdir_remove(dir);
		io_free(f->io);
	}
	mem_free(f->data_dir);
}

int log_fixture_setup(void **state, const char *backend)
{
	struct log_fixture *f = xcalloc(1, sizeof(*f));
	*state = f;
	if (log_fixture_init(f, backend))
		return 0;
	free(f);
	*state = NULL;
	return 0;
}

int log_fixture_teardown(void **state)
{
	if (*state)
		log_fixture_release(*state);
	free(*state);
	return 0;
}

enum err log_fixture_open(struct log_fixture *f)
{
	TRY(loop_new(f->io, f->own_io ? 2 : 0, &f->loop));
	enum err e = engine_open(f->loop, &f->options, &f->log);
	if (e != ERR_OK) {
		loop_free(f->loop);
		f->loop = NULL;
		f->log = NULL;
		return e;
	}
	for (int t = 0; t < LOG_FIXTURE_TOPICS && e == ERR_OK; t++)
		for (int p = 0; p < LOG_FIXTURE_PARTITIONS && e == ERR_OK; p++)
			e = partition_open(
			    f->log, &f->topics[t], p, f->log_start[t][p], 0, &f->partitions[t][p]);
	if (e == ERR_OK)
		engine_serve(f->log);
	else
		log_fixture_close(f);
	return e;
}

void log_fixture_close(struct log_fixture *f)
{
	if (!f->loop)
		return;
	engine_close(f->log);
	loop_free(f->loop);
	f->log = NULL;
	f->loop = NULL;
}

void log_fixture_turn(struct log_fixture *f)
{
	assert_ok(loop_step(f->loop, 10 * MS_NS));
}

static void await(struct log_fixture *f, const unsigned *done)
{
	int64_t started = io_clock_ns(f->io, IO_CLOCK_MONOTONIC);
	for (unsigned turns = 0; !*done; turns++) {
		log_fixture_turn(f);
		if (turns > 10000 && io_clock_ns(f->io, IO_CLOCK_MONOTONIC) - started > PATIENCE_NS)
			fail_msg("not answered");
	}
}

/* ---- batches ---- */

static void value_fill(char *value, size_t len, uint64_t tag, int index)
{
	uint64_t x = tag * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)index;
	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		value[i] = (char)x;
	}
}

static uint8_t *build(
    struct batch_builder *b, uint64_t tag, int count, size_t value_len, size_t *ret_len)
{
	struct writer out;
	char key[32];
	char *value = malloc(value_len + 1);
	assert_non_null(value);
	writer_init(&out, BATCH_BYTES_MAX);
	for (int i = 0; i < count; i++) {
		int n = snprintf(key, sizeof(key), "%llu", (unsigned long long)tag);
		value_fill(value, value_len, tag, i);
		assert_ok(batch_builder_add(b, 1000 + (int64_t)(tag % 1000),
		    bytes_of(key, (size_t)n), bytes_of(value, value_len), NULL, 0));
	}
	assert_ok(batch_builder_finish(b, &out));
	batch_builder_release(b);
	free(value);
	return writer_take(&out, ret_len);
}

uint8_t *log_batch_new(uint64_t tag, int count, size_t value_len, size_t *ret_len)
{
	struct batch_builder b;
	batch_builder_init(&b, BATCH_NONE);
	return build(&b, tag, count, value_len, ret_len);
}

uint8_t *log_batch_from(
    int64_t producer_id, int16_t epoch, int32_t sequence, uint64_t tag, int count, size_t *ret_len)
{
	struct batch_builder b;
	batch_builder_init(&b, BATCH_NONE);
	b.producer_id = producer_id;
	b.producer_epoch = epoch;
	b.base_sequence = sequence;
	return build(&b, tag, count, 20, ret_len);
}

uint64_t log_batch_tag(struct bytes batch)
{
	struct record_iter it;
	struct record rec;
	struct writer scratch;
	uint64_t tag = 0;
	char value[1 << 16];
	writer_init(&scratch, MIB);
	assert_ok(record_iter_open(&it, batch, &scratch, MIB));
	for (int i = 0; record_iter_next(&it, &rec) == ERR_OK; i++) {
		assert_true(str_to_u64(bytes_str(rec.key), &tag));
		if (rec.value.len <= sizeof(value)) {
			value_fill(value, rec.value.len, tag, i);
			assert_memory_equal(value, rec.value.ptr, rec.value.len);
		}
	}
	writer_release(&scratch);
	return tag;
}

/* ---- appends ---- */

static void put_done(struct log_append *req)
{
	struct log_put *put = CONTAINER_OF(req, struct log_put, req);
	put->done++;
	assert_int_equal(put->done, 1);
}

void log_put_init(struct log_put *put, struct log_fixture *f, int topic, int partition,
    uint8_t *batch, size_t len)
{
	*put = (struct log_put){.f = f,
	    .req = {.partition = f->partitions[topic][partition],
	        .batch = batch,
	        .batch_len = len,
	        .done = put_done}};
}

void log_put_release(struct log_put *put)
{
	mem_free(put->req.batch);
	put->req.batch = NULL;
}

void log_put_send(struct log_put *put)
{
	struct log_append *req = &put->req;
	log_append(put->f->log, &req, 1, false);
	assert_int_equal(put->done, 0); /* never from inside the call */
}

void log_put_await(struct log_put *put)
{
	await(put->f, &put->done);
}

enum err log_put_wait(struct log_fixture *f, int topic, int partition, uint8_t *batch, size_t len,
    struct log_put *ret)
{
	struct log_put put;
	struct log_put *p = ret ? ret : &put;
	log_put_init(p, f, topic, partition, batch, len);
	log_put_send(p);
	log_put_await(p);
	log_put_release(p);
	return p->req.err;
}

int64_t log_put_ok(
    struct log_fixture *f, int topic, int partition, uint64_t tag, int count, size_t value_len)
{
	struct log_put put;
	size_t len;
	uint8_t *batch = log_batch_new(tag, count, value_len, &len);
	assert_ok(log_put_wait(f, topic, partition, batch, len, &put));
	return put.req.base_offset;
}

/* ---- reads ---- */

static void read_done(struct log_read *req)
{
	unsigned *done = req->user;
	++*done;
}

enum err log_read_wait(struct log_fixture *f, int topic, int partition, int64_t offset,
    size_t max_bytes, struct log_read *ret)
{
	unsigned done = 0;
	*ret = (struct log_read){.partition = f->partitions[topic][partition],
	    .offset = offset,
	    .max_bytes = max_bytes,
	    .user = &done,
	    .done = read_done};
	log_read(f->log, ret);
	assert_int_equal(done, 0);
	await(f, &done);
	return ret->err;
}
