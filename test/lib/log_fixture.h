/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A commit log for one test: the engine with topics made up here (no catalog), on any I/O backend, with small
 * files. Calls wait for their answer by turning the loop; a call that is not answered in 30 s (10,000 turns on sim) fails
 * the test.
 */
#include "test/lib/test.h"

#include "log/batch.h"
#include "log/engine.h"

enum { LOG_FIXTURE_TOPICS = 4, LOG_FIXTURE_PARTITIONS = 4 };

struct log_fixture {
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct log_options options;
	char *data_dir;
	bool own_io;
	struct log_topic topics[LOG_FIXTURE_TOPICS];
	char names[LOG_FIXTURE_TOPICS][24];
	struct log_partition *partitions[LOG_FIXTURE_TOPICS][LOG_FIXTURE_PARTITIONS];
	int64_t log_start[LOG_FIXTURE_TOPICS]
	                 [LOG_FIXTURE_PARTITIONS]; /* what a catalog would remember */
};

/* A fresh directory on "uring" or "threads"; false when the kernel refuses the backend. */
bool log_fixture_init(struct log_fixture *f, const char *backend);
/* On an I/O seam of the caller's (sim): data_dir must not exist. */
void log_fixture_init_io(struct log_fixture *f, struct io *io, const char *data_dir);
void log_fixture_release(struct log_fixture *f);
/* A test's setup and teardown: *state is a fixture on the backend, NULL where the kernel refuses it. */
int log_fixture_setup(void **state, const char *backend);
int log_fixture_teardown(void **state);
/* Begins a test that has them: `f`, or the test is skipped. */
#define LOG_FIXTURE                                                                                \
	struct log_fixture *f = *state;                                                            \
	if (!f)                                                                                    \
	skip()
/* Opens the engine and every partition. */
MUST_USE enum err log_fixture_open(struct log_fixture *f);
void log_fixture_close(struct log_fixture *f);
/* One turn of the loop. */
void log_fixture_turn(struct log_fixture *f);

/* A batch of `count` records whose values are `value_len` bytes made from `tag`; heap, mem_free. */
uint8_t *log_batch_new(uint64_t tag, int count, size_t value_len, size_t *ret_len);
/* The same from an idempotent producer. */
uint8_t *log_batch_from(
    int64_t producer_id, int16_t epoch, int32_t sequence, uint64_t tag, int count, size_t *ret_len);
/* The tag of a batch made by these, checked against its values; 0 when it is none. */
uint64_t log_batch_tag(struct bytes batch);

/* An append whose batch belongs to it. */
struct log_put {
	struct log_append req;
	struct log_fixture *f;
	unsigned done;
};
void log_put_init(struct log_put *put, struct log_fixture *f, int topic, int partition,
    uint8_t *batch, size_t len);
void log_put_release(struct log_put *put);
/* Submits one and waits; the error. The batch is taken. */
enum err log_put_wait(struct log_fixture *f, int topic, int partition, uint8_t *batch, size_t len,
    struct log_put *ret);
/* Appends `count` records in one batch; asserts that it went well; returns the base offset. */
int64_t log_put_ok(
    struct log_fixture *f, int topic, int partition, uint64_t tag, int count, size_t value_len);
/* Waits until put->done. */
void log_put_await(struct log_put *put);
/* Submits and turns once; put->done tells. */
void log_put_send(struct log_put *put);

/* Reads; release with log_read_release. */
enum err log_read_wait(struct log_fixture *f, int topic, int partition, int64_t offset,
    size_t max_bytes, struct log_read *ret);
#define assert_ok(expr) assert_int_equal((expr), ERR_OK)
