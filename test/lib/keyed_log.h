/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A whole commit log on the simulated disk with topics of keyed records, for tests of compaction.
 * Calls wait for their answer by turning the loop. Assertions of cmocka fail the test.
 */
#include "log/batch.h"
#include "log/log.h"
#include "test/lib/sim_io.h"
#include "test/lib/test.h"

/* What a consumer reads. */
struct keyed_row {
	int64_t offset, timestamp_ms;
	char key[24], value[64];
	bool no_key, tombstone;
};
struct keyed_rows {
	struct keyed_row *row; /* malloc'd */
	size_t count;
	size_t batches, empty_batches, control_batches;
	int codecs; /* bit per codec met */
};

struct keyed_log {
	struct sim_disk *disk;
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct log_options options;
	struct keyed_rows rows; /* what keyed_read_text read last */
};
/* On a fresh disk; `record`: keep the log of operations. Opens. */
void keyed_init(struct keyed_log *k, uint64_t seed, bool record);
/* On a disk of the caller's, which is taken. Does not open. */
void keyed_init_disk(struct keyed_log *k, struct sim_disk *disk, uint64_t seed);
void keyed_release(struct keyed_log *k); /* closes first if open; frees the disk */
/*
 * A test's setup and teardown: keyed_init with the log's events going to `events` of diag_set_sink
 * (NULL: nowhere), keyed_release with stderr and an empty error chain again. Both answer 0.
 */
int keyed_setup(struct keyed_log *k, uint64_t seed, void (*events)(void *ctx, const char *line));
int keyed_teardown(struct keyed_log *k);
void keyed_open(struct keyed_log *k);
void keyed_close(struct keyed_log *k);
void keyed_turn(struct keyed_log *k);
/* Time passes: checkpoints are written, timers fire. */
void keyed_sleep(struct keyed_log *k, int64_t ns);
/* fsck finds nothing that a start does not put right; its lines go to `ret_text`, may be NULL. */
void keyed_fsck(struct keyed_log *k, char *ret_text, size_t len);

/* configs: "key=value" texts, NULL-terminated. segment_bytes may be less than the table allows. */
void keyed_create(
    struct keyed_log *k, const char *topic, uint64_t segment_bytes, const char *const *configs);
/* For log_topic_submit: answered when req->log is NULL. */
void keyed_change_done(struct log_topic_req *req);
struct log_partition *keyed_partition(const struct keyed_log *k, const char *topic);

struct keyed_record {
	const char *key;      /* NULL = none */
	const char *value;    /* NULL = tombstone */
	int64_t timestamp_ms; /* 0 = now */
};
/* How a batch is made; a zeroed one with producer_id -1 is plain. */
struct keyed_how {
	int codec;
	int64_t producer_id;
	int16_t epoch;
	int32_t sequence;
	int16_t attributes;
};
#define KEYED_PLAIN ((struct keyed_how){.producer_id = -1, .epoch = -1, .sequence = -1})
/* One batch; its base offset. */
int64_t keyed_append(struct keyed_log *k, const char *topic, const struct keyed_record *records,
    size_t count, const struct keyed_how *how);
enum err keyed_try_append(struct keyed_log *k, const char *topic,
    const struct keyed_record *records, size_t count, const struct keyed_how *how,
    struct log_append *ret_req);
int64_t keyed_put(struct keyed_log *k, const char *topic, const char *key, const char *value);
/* The marker that ends a transaction. */
int64_t keyed_marker(
    struct keyed_log *k, const char *topic, int64_t producer_id, int16_t epoch, bool commit);

/* Compacts and recompresses until there is nothing to do. */
void keyed_compact(struct keyed_log *k);

/* From the log start to the end, control batches left out. */
void keyed_read(struct keyed_log *k, const char *topic, struct keyed_rows *ret_rows);
/* Base offset of the batch that a read at `offset` begins with. */
int64_t keyed_next_offset(struct keyed_log *k, const char *topic, int64_t offset);
void keyed_rows_release(struct keyed_rows *rows);
/* The last value of `key`, NULL: it has none or a tombstone. */
const char *keyed_value(const struct keyed_rows *rows, const char *key);
/* "k1=v1 k2=- ..." in offset order, in a static buffer. */
const char *keyed_text(const struct keyed_rows *rows);
/* The same of what is read now of "t", which k->rows keeps. */
const char *keyed_read_text(struct keyed_log *k);
