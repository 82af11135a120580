/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Kafka's log-start-offset-checkpoint, which lies beside the directories of partitions. It names
 * the partitions whose log begins behind the beginning of their first file, because records were
 * deleted (DeleteRecords) and a file, or a batch, goes as a whole: who does not read it gives
 * deleted records back. Text: version 0, how many, then a line "topic partition offset" for each.
 */
#include "log/base/base.h"

struct starts_entry {
	struct str topic; /* into the file's text, or as given to starts_set */
	int32_t partition;
	int64_t offset;
};
struct starts {
	struct bytes file;
	bool found;
	struct starts_entry *entry;
	size_t count, capacity;
};
/* Of a directory; empty where the file is not there. ERR_CORRUPT: it says something else. */
MUST_USE enum err starts_read(struct io *io, const char *dir, struct starts *ret);
void starts_release(struct starts *s);
/* 0 = it is not named. Walks over all entries. */
int64_t starts_of(const struct starts *s, struct str topic, int32_t partition);
/* Names it, or no longer with offset 0. Borrows topic. */
MUST_USE enum err starts_set(struct starts *s, struct str topic, int32_t partition, int64_t offset);
/* Atomically and durably; nothing when there is nothing to say and no such file. */
MUST_USE enum err starts_write(struct io *io, const char *dir, const struct starts *s);
