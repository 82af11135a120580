/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What clients know: every batch that was sent, where it was acknowledged, what was seen of it, and
 * the order of the whole server as scans have shown it. The functions that take in something new
 * check it against the rest:
 *
 *   acknowledged   an acknowledged batch is at its offset, once, with its bytes
 *   twice          no batch is in the log twice, whoever retried it
 *   phantom        what was seen at an offset stays; records that nobody sent are not there
 *   order          batches of one idempotent producer stand in a partition in the order of sending
 *   dense          offsets and sequences without holes
 *   watermark      a high watermark never goes back
 *   producer       no producer id is given twice
 *   commit         a group's offset never goes back behind an acknowledged commit
 *   aborted        nobody who asked for committed data, no scan and no view is shown a batch of a
 *                  transaction that was not committed, nor part of one
 *   committed      all of a transaction that was committed is shown
 *   stable         the last stable offset stays before what is open, and never goes back
 *   topic          a created topic is there until somebody deletes it, a deleted one never again
 *   compacted      of a keyed topic the newest record of each key is there, or it is a tombstone
 *                  whose time was over and nothing older of its key is there; what is there has
 *                  the offset and the bytes it was sent with
 *   retention      a topic that expires begins where its configuration lets it
 *   rot            what cannot be read is what rotted, to the record; the newest record of a key
 *                  may be lost with its batch, if everybody is told so
 *
 * A record's key tells its batch and its place in it, from which its bytes can be made again; in
 * keyed topics, where keys come again, its header does.
 */
#include "log/batch.h"

enum {
	MODEL_TOPICS_MAX = 64,
	MODEL_PARTITIONS_MAX = 4,
	MODEL_GROUPS = 2,
	MODEL_KEYS = 12, /* of keyed topics */
	MODEL_ROT_MAX = 64,
	MODEL_PRODUCERS_MAX = 64
};

struct model_batch {
	uint32_t topic;
	int32_t partition;
	int32_t count;
	uint32_t stream; /* 0: no order is promised */
	uint32_t number; /* in its stream */
	int codec;
	int64_t sent_ns; /* wall clock */
	int64_t acked;   /* base offset, -1 */
	int64_t seen;    /* base offset, -1 */
	bool refused;    /* answered with an error that says it is not there */
	uint32_t txn;    /* 0: of no transaction */
};

/* OPEN: its end was not sent. ENDING: a commit was, and nobody knows. */
enum model_txn_fate { TXN_OPEN, TXN_ENDING, TXN_COMMITTED, TXN_ABORTED };
struct model_txn {
	enum model_txn_fate fate;
	bool sure; /* nobody else may end it */
	bool shown, passed_over;
};

struct model_slot {
	uint32_t batch; /* 0: not known yet */
	uint32_t index;
	uint32_t walk; /* the last that has met it */
};
struct model_partition {
	struct model_slot *slot;
	int64_t slot_count;
	int64_t high_watermark; /* the highest shown */
	int64_t stable;         /* the highest last stable offset shown */
	int64_t start;          /* log start, as shown or asked for */
	int64_t expired;        /* moved there by retention, as shown */
	int64_t flushed;        /* of a topic that opted out: nothing below may be lost */
	uint32_t leader_epoch;  /* likewise: as it was before the end of a life */
	int64_t start_asked;    /* by DeleteRecords */
	int64_t start_acked;
};
struct model_topic {
	struct log_uuid id;
	char name[16];
	int32_t partitions;       /* acknowledged or shown */
	int32_t partitions_asked; /* by CreatePartitions */
	bool delete_sent, deleted;
	bool keyed, expires;
	bool tombstones_expire; /* soon enough to be seen */
	struct model_partition partition[MODEL_PARTITIONS_MAX];
};

/* The batch with a sequence, as a scan has shown it; batch 0: the server's own or of unknown bytes.
 */
struct model_sequence {
	uint64_t sequence;
	uint32_t topic; /* UINT32_MAX: internal */
	int32_t partition;
	int64_t base_offset;
	uint32_t batch;
};

/* A batch of which a bit was flipped; perhaps it is whole again, out of the journal. */
struct model_rot {
	uint32_t topic;
	int32_t partition;
	int64_t base, end;
	uint64_t sequence;
	uint32_t batch; /* 0: a marker, or nothing is left of it */
	uint32_t walk;  /* the last that was told of it */
};

struct model_commit {
	int64_t acked, sent; /* greatest */
};

struct model {
	uint64_t seed;
	uint32_t value_bytes_max;
	unsigned keyed, expires; /* bit n: topics named t<n> */
	bool tombstones_expire;
	struct model_batch *batch; /* from 1 */
	uint32_t batch_count, batch_capacity;
	struct model_topic topic[MODEL_TOPICS_MAX];
	uint32_t topic_count;
	struct model_sequence *sequence;
	size_t sequence_count, sequence_capacity;
	uint64_t stable;       /* all up to here are in `sequence` */
	struct model_txn *txn; /* from 1 */
	uint32_t txn_count, txn_capacity;
	uint32_t stream_count;
	uint32_t *stream_last; /* by stream: the number seen last, while a partition is walked */
	uint32_t walk;         /* number of the last walk */
	struct model_rot rot[MODEL_ROT_MAX];
	size_t rot_count;
	int64_t producer_id[MODEL_PRODUCERS_MAX];
	size_t producer_id_count;
	struct model_commit commit[MODEL_GROUPS][MODEL_PARTITIONS_MAX];
	char create_sent[8][16]; /* names for which a creation is under way or unknown */
	uint32_t create_sent_count;
	struct writer scratch;
};

void model_init(struct model *m, uint64_t seed, uint32_t value_bytes_max);
void model_release(struct model *m);

/* ---- records --------------------------------------------------------------------------------- */
struct model_record {
	struct bytes name;       /* which record it is */
	struct bytes key, value; /* in the model's scratch: until the next call */
};
struct model_facts {
	int group;      /* the number in its "k" */
	int64_t number; /* its "v" */
	bool accepted;  /* by the table that views read */
	int key;        /* in a keyed topic */
	bool tombstone; /* there */
};
struct model_facts model_facts(const struct model *m, uint32_t batch, uint32_t index);
void model_record(struct model *m, uint32_t batch, uint32_t index, struct model_record *ret);
uint32_t model_batch_new(struct model *m, struct model_batch b);
/* Appends the RecordBatch. */
struct model_producer {
	int64_t id;
	int16_t epoch;
	int32_t sequence;
	bool transactional;
};
void model_encode(struct model *m, uint32_t batch, const struct model_producer *producer,
    int64_t time_ms, struct writer *out);

/* ---- what happened --------------------------------------------------------------------------- */
void model_producer_id(struct model *m, int64_t id);
void model_acked(struct model *m, uint32_t batch, int64_t base_offset);
/* A RecordBatch at its place; returns the offset behind it, *ret_batch its number. */
int64_t model_seen(
    struct model *m, uint32_t topic, int32_t partition, struct bytes batch, uint32_t *ret_batch);
/* `before`: the highest that was known when the question was sent. */
void model_watermark(
    struct model *m, uint32_t topic, int32_t partition, int64_t before, int64_t watermark);
void model_start(struct model *m, uint32_t topic, int32_t partition, int64_t start);
/* A walk over partitions from their start to their end: while it lasts order is checked. */
void model_walk_begin(struct model *m);
void model_walk_done(struct model *m);
/* One partition of it was read to its end: whatever is known must have been there. */
void model_walk_end(struct model *m, uint32_t topic, int32_t partition, int64_t start, int64_t end);
/* The next batch of a scan in sequence order, number `at` of it. */
void model_sequence_seen(struct model *m, size_t at, struct model_sequence s);
/* The scan has ended: everything up to `stable` was shown. */
void model_sequences_end(struct model *m, size_t count, uint64_t stable);

/* ---- what goes and what rots (model_keys.c) -------------------------------------------------- */
/* A partition of a keyed topic was walked from `start` to `end`. */
void model_keys_check(
    struct model *m, uint32_t topic, int32_t partition, int64_t start, int64_t end);
struct model_limits {
	int64_t retention_ms, retention_bytes; /* -1: any */
	int64_t now_ns;                        /* wall clock; 0: it cannot be trusted */
	uint64_t size_bytes;
};
/* Retention has moved the start of a partition: was it allowed to? */
void model_expiry_check(
    struct model *m, uint32_t topic, int32_t partition, const struct model_limits *l);
void model_rotten(struct model *m, struct model_rot rot);
/* The rot that `offset` is in, NULL. */
const struct model_rot *model_rot_at(
    const struct model *m, uint32_t topic, int32_t partition, int64_t offset);
/* The first in a partition that ends behind `offset`, NULL. */
const struct model_rot *model_rot_behind(
    const struct model *m, uint32_t topic, int32_t partition, int64_t offset);
/* A walk is told that this batch cannot be read. */
void model_rot_told(struct model *m, const struct model_rot *rot);
/* Has anything of the partition rotted? partition -1: of the topic. */
bool model_has_rot(const struct model *m, uint32_t topic, int32_t partition);

/* A topic that opted out ends at `end` after a start: true when something is gone that was known.
 */
bool model_lost(struct model *m, uint32_t topic, int32_t partition, int64_t end);

/* ---- transactions ---------------------------------------------------------------------------- */
/* sure: nobody but who begins it may end it. */
uint32_t model_txn_new(struct model *m, bool sure);
void model_txn_ending(struct model *m, uint32_t txn, bool commit);
void model_txn_committed(struct model *m, uint32_t txn);
/* Its producer began anew: what was not to be committed never will be. */
void model_txn_abandoned(struct model *m, uint32_t txn);
/* A batch was shown as committed, or passed over as aborted. Of no transaction: no matter. */
void model_committed_seen(struct model *m, uint32_t batch);
void model_aborted_seen(struct model *m, uint32_t batch);
/* A scan has nothing between two offsets: what is known to be there was not committed. */
void model_hole(struct model *m, uint32_t topic, int32_t partition, int64_t from, int64_t to);
/* `before`: the highest that was known when the question was sent. */
void model_stable(
    struct model *m, uint32_t topic, int32_t partition, int64_t before, int64_t stable);

/* ---- topics ---------------------------------------------------------------------------------- */
/* UINT32_MAX: not known. */
uint32_t model_topic_by_id(const struct model *m, struct log_uuid id);
uint32_t model_topic_named(const struct model *m, const char *name); /* the one not deleted */
void model_create_sent(struct model *m, const char *name);
/* A topic was shown or its creation answered. */
uint32_t model_topic_seen(struct model *m, struct str name, struct log_uuid id, int32_t partitions);
void model_topic_deleted(struct model *m, uint32_t topic);
/* The list of topics is complete: those not `seen` (by index) must have a reason. */
void model_topics_end(struct model *m, const bool *seen);
