/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Recompression of sealed segments, for topics whose compression.type names a codec. Batches are
 * appended and acknowledged as they were sent (a client's bytes are not decoded on the way in, as
 * Kafka would); when their segment is sealed it is written anew, batch by batch, each in the
 * topic's codec where that makes it smaller. Offsets, sequences, timestamps and records stay as
 * they are. The driver is that of compaction (compact.c), one segment at a time.
 */
#include "log/compact_job.h"

/* The codec that the topic's batches are to have at rest, -1 = as sent. `uncompressed` is as sent:
 * nothing is made larger. */
int recompress_codec(const struct log_topic_config *config);
/* The first segment that is to be looked at; false = none. */
bool compact_plan_codec(struct log_partition *p, struct compact_plan *ret_plan);
/* [pool] The first phase: ERR_EOF when all headers have been read; then j->limit is 0 when no batch
 * has another codec. */
MUST_USE enum err recompress_survey_step(struct compact_job *j);
