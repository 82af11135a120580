/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * log_import from inside: a Kafka log directory into ours.
 *
 *   source    the .log files of one partition, batch after batch, checked     import_source.c
 *   import    finds partitions, merges them into one order, writes them       import.c
 *   left      what one that did not end has left                              import_left.c
 *
 * Batches stay byte for byte, with offset, leader epoch and CRC; their records are looked at: a
 * batch of a right CRC whose records cannot be read would fail each reader, so it is refused.
 * Offsets that the Kafka log does not have (compaction, transactions' ends) become HOLE frames.
 * Order between partitions of a topic is that of their greatest timestamps, since Kafka keeps none:
 * a heap of the partitions by their next batch, and buffers that share IMPORT_BUFFER_BYTES, however
 * many partitions there are.
 */
#include "log/batch.h"
#include "log/offline.h"
#include "log/starts.h"

struct import_source {
	struct io *io;
	char dir[LOG_PATH_MAX];
	int32_t partition;
	struct io_names names;   /* all of the directory */
	size_t *files;           /* indexes of the .log files, by base offset */
	size_t file_count, file; /* the one that is read; file_count = at the end */
	int fd;
	uint64_t file_bytes, pos; /* of the next batch */
	size_t read_bytes;        /* at a time; more when a batch is larger */
	uint8_t *buf;
	size_t capacity, len;
	uint64_t buf_pos;
	int64_t first_offset; /* by the name of the first file that is read */
	int64_t next_offset;
	/* the batch that comes next; valid until import_source_next */
	bool have;
	bool new_file; /* it is the first of its file */
	struct batch_header header;
	struct bytes batch;
	struct writer *plain; /* the importer's: its records, decompressed to be looked at */
	/* the end of the last file */
	uint64_t torn_pos, torn_bytes; /* bytes 0 = it is whole */
	char torn_why[160];
};
/* ERR_NOT_FOUND: no .log file in it. */
MUST_USE enum err import_source_open(
    struct import_source *s, struct io *io, const char *dir, int32_t partition);
void import_source_release(struct import_source *s);
/* Passes over the files that have nothing from log_start on. Before anything is read. */
void import_source_begin(struct import_source *s, int64_t log_start);
/* The length of all files that are read. */
MUST_USE enum err import_source_bytes(const struct import_source *s, uint64_t *ret_bytes);
/*
 * Makes the next batch `have`, false at the end. Only the last file has a torn end: bytes of which
 * no whole batch of a right CRC can be made, anywhere in them. Any other bad batch is ERR_CORRUPT,
 * with its place, so that what is left out is nothing that anybody could have read.
 * ERR_MESSAGE_TOO_LARGE: over BATCH_BYTES_MAX; ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT: magic 0 or 1.
 */
MUST_USE enum err import_source_next(struct import_source *s);
/* The small text files beside it; the defaults stay when they are not there. */
MUST_USE enum err import_read_topic_id(const struct import_source *s, struct log_uuid *ret_id);
MUST_USE enum err import_read_leader_epoch(const struct import_source *s, uint32_t *ret_epoch);

/*
 * <data>/import of an import that did not end, whatever ended it: a signal, a full disk, a power
 * cut. Its topic is there with everything, or not at all; a server starts as if nothing had been.
 * The next import, of whatever topic, begins by settling it: what was written and belongs to no
 * topic is taken away, and the sequences of what had moved to topics/ already are named as burnt.
 * It begins anew: the sequences that it would go on with may have been given to others.
 */
struct import_left {
	struct io *io;
	const char *data_dir;
	bool there;
	bool moved; /* import/state is there; the rest is its content */
	bool known; /* the catalog has the topic: the import had ended but for this directory */
	char topic[TOPIC_NAME_MAX + 1];
	struct log_uuid id;
	uint64_t first_sequence, last_sequence; /* empty when last < first */
};
MUST_USE enum err import_left_read(
    struct io *io, const char *data_dir, struct import_left *ret_left);
/* Durable from here on, before anything moves. */
MUST_USE enum err import_left_note(const struct import_left *left);
/* Under the lock, of a directory that was stopped cleanly. ERR_EXISTS: there is something else in
 * it.
 */
MUST_USE enum err import_left_settle(const struct import_left *left, const char *journal_dir);
MUST_USE enum err import_left_remove(const struct import_left *left);
