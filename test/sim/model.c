/* SPDX-License-Identifier: Apache-2.0 */
#include "test/sim/model.h"
#include "log/base/prng.h"
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>

enum { SCRATCH_BYTES_MAX = 64 << 20 };

void model_init(struct model *m, uint64_t seed, uint32_t value_bytes_max)
{
	*m = (struct model){
	    .seed = seed, .value_bytes_max = value_bytes_max, .batch_count = 1, .txn_count = 1};
	writer_init(&m->scratch, SCRATCH_BYTES_MAX);
	memset(m->commit, 0xff, sizeof(m->commit)); /* all -1 */
}

void model_release(struct model *m)
{
	for (uint32_t t = 0; t < m->topic_count; t++)
		for (int p = 0; p < MODEL_PARTITIONS_MAX; p++)
			free(m->topic[t].partition[p].slot);
	free(m->batch);
	free(m->txn);
	free(m->sequence);
	free(m->stream_last);
	writer_release(&m->scratch);
}

/* ---- records --------------------------------------------------------------------------------- */

/* What a record is about, and how its bytes are made. */
struct facts {
	struct model_facts public;
	uint64_t kind;
	size_t pad;
};
enum { TOMBSTONE_PERCENT = 30 };

static struct facts draw_facts(const struct model *m, uint32_t batch, uint32_t index)
{
	struct prng p;
	struct facts f;
	prng_init(&p, m->seed ^ (uint64_t)batch << 32 ^ (index + 1) * 0x9E3779B9ull);
	f.public.group = (int)prng_below(&p, 8);
	f.public.number = (int64_t)prng_below(&p, 2001) - 1000;
	f.kind = prng_below(&p, 40);
	f.pad = prng_below(&p, 12) ? prng_below(&p, 24) : prng_below(&p, m->value_bytes_max);
	f.public.accepted = f.kind > 2;
	f.public.key = (int)prng_below(&p, MODEL_KEYS);
	f.public.tombstone = prng_below(&p, 100) < TOMBSTONE_PERCENT;
	return f;
}

struct model_facts model_facts(const struct model *m, uint32_t batch, uint32_t index)
{
	return draw_facts(m, batch, index).public;
}

/* printf would be half of what a seed costs. */
static void write_i64(struct writer *w, int64_t v)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	do
		digits[--at] = (char)('0' + left % 10);
	while (left /= 10);
	if (v < 0)
		digits[--at] = '-';
	write_str(w, str_from(digits + at, sizeof(digits) - at));
}

static void write_value(struct writer *w, const struct facts *f)
{
	static const char pad[] =
	    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,";
	if (f->kind == 0) {
		write_str(w, STR("no JSON at all"));
		return;
	}
	write_str(w, f->kind == 1 ? STR("{\"k\":null") : STR("{\"k\":\"k"));
	if (f->kind != 1) {
		write_i64(w, f->public.group);
		write_str(w, STR("\",\"pad\":\""));
		write_str(w, str_from(pad, f->pad % 64));
		write_u8(w, '"');
	}
	write_str(w, STR(",\"v\":"));
	if (f->kind == 2)
		write_str(w, STR("\"many\""));
	else
		write_i64(w, f->public.number);
	write_u8(w, '}');
}

static bool is_keyed(const struct model *m, uint32_t batch)
{
	return m->topic[m->batch[batch].topic].keyed;
}

void model_record(struct model *m, uint32_t batch, uint32_t index, struct model_record *ret)
{
	struct facts f = draw_facts(m, batch, index);
	struct writer *w = &m->scratch;
	writer_clear(w);
	write_i64(w, batch);
	write_u8(w, ':');
	write_i64(w, index);
	size_t key_from = is_keyed(m, batch) ? w->len : 0;
	ret->name = bytes_of(w->ptr, w->len);
	if (key_from > 0) {
		write_u8(w, 'c');
		write_i64(w, f.public.key);
	}
	size_t key_len = w->len;
	write_value(w, &f);
	for (; f.pad > 64 && w->err == ERR_OK; f.pad -= 8)
		write_str(w, STR("        "));
	ASSERT(w->err == ERR_OK);
	ret->name.ptr = w->ptr;
	ret->key = bytes_of(w->ptr + key_from, key_len - key_from);
	ret->value = bytes_of(w->ptr + key_len, w->len - key_len);
	if (key_from > 0 && f.public.tombstone)
		ret->value = bytes_of(NULL, 0);
}

uint32_t model_batch_new(struct model *m, struct model_batch b)
{
	if (m->batch_count >= m->batch_capacity) {
		m->batch_capacity = m->batch_capacity ? m->batch_capacity * 2 : 256;
		m->batch = xrealloc(m->batch, m->batch_capacity * sizeof(*m->batch));
	}
	b.acked = b.seen = -1;
	m->batch[m->batch_count] = b;
	return m->batch_count++;
}

void model_encode(struct model *m, uint32_t batch, const struct model_producer *producer,
    int64_t time_ms, struct writer *out)
{
	const struct model_batch *b = &m->batch[batch];
	struct batch_builder builder;
	batch_builder_init(&builder, b->codec);
	if (producer) {
		builder.producer_id = producer->id;
		builder.producer_epoch = producer->epoch;
		builder.base_sequence = producer->sequence;
		builder.attributes = producer->transactional ? BATCH_ATTR_TRANSACTIONAL : 0;
	}
	for (int32_t i = 0; i < b->count; i++) {
		struct model_record r;
		model_record(m, batch, (uint32_t)i, &r);
		const struct log_row header = {str_bytes(STR("i")), r.name};
		ASSERT(batch_builder_add(&builder, time_ms + i, r.key, r.value, &header,
		           is_keyed(m, batch)) == ERR_OK);
	}
	ASSERT(batch_builder_finish(&builder, out) == ERR_OK);
	batch_builder_release(&builder);
}

/* ---- what happened --------------------------------------------------------------------------- */

void model_producer_id(struct model *m, int64_t id)
{
	for (size_t i = 0; i < m->producer_id_count; i++)
		if (m->producer_id[i] == id)
			violated("producer", "producer id %lld was given before", (long long)id);
	ASSERT(m->producer_id_count < MODEL_PRODUCERS_MAX);
	m->producer_id[m->producer_id_count++] = id;
}

static struct model_partition *partition_of(struct model *m, uint32_t topic, int32_t partition)
{
	ASSERT(topic < m->topic_count && partition >= 0 && partition < MODEL_PARTITIONS_MAX);
	return &m->topic[topic].partition[partition];
}

/* The slot of an offset is this record's, or becomes it. */
static void bind(struct model *m, uint32_t batch, uint32_t index, int64_t offset)
{
	const struct model_batch *b = &m->batch[batch];
	struct model_partition *p = partition_of(m, b->topic, b->partition);
	if (offset < 0 || offset > 1 << 24)
		violated("dense", "%s-%d: offset %lld", m->topic[b->topic].name, b->partition,
		    (long long)offset);
	if (offset >= p->slot_count) {
		int64_t count = offset + 256;
		p->slot = xrealloc(p->slot, (size_t)count * sizeof(*p->slot));
		memset(
		    p->slot + p->slot_count, 0, (size_t)(count - p->slot_count) * sizeof(*p->slot));
		p->slot_count = count;
	}
	struct model_slot *s = &p->slot[offset];
	if (s->batch != 0 && (s->batch != batch || s->index != index))
		violated("phantom",
		    "%s-%d offset %lld was record %u of batch %u, now %u of batch %u",
		    m->topic[b->topic].name, b->partition, (long long)offset, s->index, s->batch,
		    index, batch);
	*s = (struct model_slot){batch, index, s->walk};
}

/* ... and is there. */
static void bind_seen(struct model *m, uint32_t batch, uint32_t index, int64_t offset)
{
	const struct model_batch *b = &m->batch[batch];
	bind(m, batch, index, offset);
	if (m->stream_last)
		partition_of(m, b->topic, b->partition)->slot[offset].walk = m->walk;
}

void model_acked(struct model *m, uint32_t batch, int64_t base_offset)
{
	struct model_batch *b = &m->batch[batch];
	if ((b->acked >= 0 && b->acked != base_offset) || (b->seen >= 0 && b->seen != base_offset))
		violated("twice", "batch %u: acknowledged at %lld, before at %lld, seen at %lld",
		    batch, (long long)base_offset, (long long)b->acked, (long long)b->seen);
	b->acked = base_offset;
	for (int32_t i = 0; i < b->count; i++)
		bind(m, batch, (uint32_t)i, base_offset + i);
}

static void check_record(struct model *m, const struct record *r, uint32_t batch, uint32_t index)
{
	struct model_record want;
	model_record(m, batch, index, &want);
	if (!bytes_equal(r->key, want.key) || !bytes_equal(r->value, want.value) ||
	    !r->value.ptr != !want.value.ptr)
		violated("acknowledged", "offset %lld: not the bytes of record %u of batch %u",
		    (long long)r->offset, index, batch);
}

static void check_batch(struct model *m, uint32_t batch, uint32_t topic, int32_t partition,
    const struct batch_header *h)
{
	struct model_batch *b = &m->batch[batch];
	bool sifted = m->topic[topic].keyed && h->count < b->count;
	if (b->topic != topic || b->partition != partition ||
	    b->count != h->last_offset_delta + 1 || (b->count != h->count && !sifted))
		violated("phantom", "batch %u of %d records for %u-%d is in %u-%d with %d", batch,
		    b->count, b->topic, b->partition, topic, partition, h->count);
	if (b->refused)
		violated("phantom", "batch %u was refused and is there at offset %lld", batch,
		    (long long)h->base_offset);
	if ((b->acked >= 0 && b->acked != h->base_offset) ||
	    (b->seen >= 0 && b->seen != h->base_offset))
		violated("twice", "batch %u is at %lld; acknowledged at %lld, seen at %lld", batch,
		    (long long)h->base_offset, (long long)b->acked, (long long)b->seen);
	b->seen = h->base_offset;
	for (int32_t i = 0; sifted && i < b->count; i++) /* its other records were there */
		bind(m, batch, (uint32_t)i, h->base_offset + i);
	if (b->stream == 0 || !m->stream_last)
		return;
	if (b->number <= m->stream_last[b->stream])
		violated("order", "batch %u, number %u of its producer, stands behind number %u",
		    batch, b->number, m->stream_last[b->stream]);
	m->stream_last[b->stream] = b->number;
}

/* What names a record: its key, in a keyed topic its header. */
static struct bytes name_of(const struct record *r, bool keyed)
{
	struct reader headers = reader_of(r->headers);
	struct str key;
	struct bytes value = {NULL, 0};
	if (!keyed)
		return r->key;
	(void)read_varint32(&headers);
	if (r->header_count != 1 || record_header_next(&headers, &key, &value) != ERR_OK)
		return bytes_of(NULL, 0);
	return value;
}

/* The numbers in "batch:index". */
static bool read_name(struct bytes key, uint32_t *ret_batch, uint32_t *ret_index)
{
	const uint8_t *colon = key.ptr ? memchr(key.ptr, ':', key.len) : NULL;
	uint64_t batch, index;
	if (!colon)
		return false;
	size_t len = (size_t)(colon - key.ptr);
	if (!str_to_u64(str_from(key.ptr, len), &batch) ||
	    !str_to_u64(str_from(colon + 1, key.len - len - 1), &index))
		return false;
	*ret_batch = (uint32_t)batch;
	*ret_index = (uint32_t)index;
	return true;
}

int64_t model_seen(
    struct model *m, uint32_t topic, int32_t partition, struct bytes batch, uint32_t *ret_batch)
{
	struct record_iter it;
	struct record r;
	struct writer scratch;
	uint32_t number = 0, index, i = 0;
	bool keyed = m->topic[topic].keyed;
	struct batch_header marker = batch_peek(batch.ptr);
	if (marker.attributes & BATCH_ATTR_CONTROL) {
		if (ret_batch)
			*ret_batch = 0;
		return marker.base_offset + marker.last_offset_delta + 1;
	}
	writer_init(&scratch, SCRATCH_BYTES_MAX);
	enum err e = record_iter_open(&it, batch, &scratch, SCRATCH_BYTES_MAX);
	for (; e == ERR_OK; i++) {
		uint32_t b;
		e = record_iter_next(&it, &r);
		if (e != ERR_OK)
			break;
		bool known = read_name(name_of(&r, keyed), &b, &index) && b > 0 &&
		             b < m->batch_count && (i == 0 || b == number);
		if (!known || index != (keyed ? r.offset - marker.base_offset : i))
			violated("phantom", "%s-%d offset %lld: nobody sent this record",
			    m->topic[topic].name, partition, (long long)r.offset);
		number = b;
		if (i == 0)
			check_batch(m, b, topic, partition, &it.header);
		check_record(m, &r, b, index);
		bind_seen(m, b, index, r.offset);
	}
	if (e != ERR_EOF || (i == 0 && !keyed))
		violated("acknowledged", "%s-%d: a batch that cannot be read: %s",
		    m->topic[topic].name, partition, err_name(e));
	int64_t end = it.header.base_offset + it.header.last_offset_delta + 1;
	writer_release(&scratch);
	if (ret_batch)
		*ret_batch = number;
	return end;
}

void model_watermark(
    struct model *m, uint32_t topic, int32_t partition, int64_t before, int64_t watermark)
{
	struct model_partition *p = partition_of(m, topic, partition);
	if (watermark < before)
		violated("watermark", "%s-%d: %lld, it was %lld before", m->topic[topic].name,
		    partition, (long long)watermark, (long long)before);
	if (watermark > p->high_watermark)
		p->high_watermark = watermark;
}

void model_start(struct model *m, uint32_t topic, int32_t partition, int64_t start)
{
	struct model_partition *p = partition_of(m, topic, partition);
	if (m->topic[topic].expires && start > p->start_asked)
		p->expired = p->start_asked = start;
	if (start > p->start_asked)
		violated("acknowledged", "%s-%d begins at %lld, and nobody deleted beyond %lld",
		    m->topic[topic].name, partition, (long long)start, (long long)p->start_asked);
	if (start > p->start)
		p->start = start;
}

void model_walk_begin(struct model *m)
{
	free(m->stream_last);
	m->walk++;
	m->stream_last = xcalloc(m->stream_count + 1, sizeof(*m->stream_last));
}

void model_walk_done(struct model *m)
{
	free(m->stream_last);
	m->stream_last = NULL;
}

void model_walk_end(struct model *m, uint32_t topic, int32_t partition, int64_t start, int64_t end)
{
	const struct model_partition *p = partition_of(m, topic, partition);
	for (int64_t o = start; o < p->slot_count; o++)
		if (o >= end && p->slot[o].batch != 0)
			violated(m->batch[p->slot[o].batch].acked >= 0 ? "acknowledged" : "phantom",
			    "%s-%d ends at %lld, and offset %lld was record %u of batch %u",
			    m->topic[topic].name, partition, (long long)end, (long long)o,
			    p->slot[o].index, p->slot[o].batch);
	if (end < p->high_watermark)
		violated("watermark", "%s-%d ends at %lld, and %lld was shown",
		    m->topic[topic].name, partition, (long long)end, (long long)p->high_watermark);
	if (m->topic[topic].keyed)
		model_keys_check(m, topic, partition, start, end);
}

bool model_lost(struct model *m, uint32_t topic, int32_t partition, int64_t end)
{
	struct model_partition *p = partition_of(m, topic, partition);
	bool lost = false;
	if (end < p->flushed)
		violated("acknowledged", "%s-%d ends at %lld, and was flushed up to %lld",
		    m->topic[topic].name, partition, (long long)end, (long long)p->flushed);
	for (int64_t o = end; o < p->slot_count; o++) {
		struct model_batch *b = &m->batch[p->slot[o].batch];
		if (p->slot[o].batch == 0)
			continue;
		lost = true; /* acknowledged, or seen */
		b->acked = b->seen = -1;
		p->slot[o] = (struct model_slot){0};
	}
	p->high_watermark = p->high_watermark < end ? p->high_watermark : end;
	p->stable = p->stable < end ? p->stable : end;
	return lost;
}

static bool same_place(const struct model_sequence *a, const struct model_sequence *b)
{
	return a->sequence == b->sequence && a->topic == b->topic && a->partition == b->partition &&
	       a->base_offset == b->base_offset && a->batch == b->batch;
}

/* Compaction has left nothing of it but its place. */
static bool is_empty(const struct model *m, const struct model_sequence *s)
{
	return s->batch == 0 && s->topic != UINT32_MAX && m->topic[s->topic].keyed;
}

/*
 * A batch may leave the order only with its topic, with what DeleteRecords or retention took, when
 * compaction took its last record (which model_keys_check judges), or when it rots.
 */
static bool may_be_gone(const struct model *m, const struct model_sequence *s)
{
	if (s->topic == UINT32_MAX)
		return false;
	const struct model_topic *t = &m->topic[s->topic];
	return t->delete_sent || t->keyed ||
	       s->base_offset < t->partition[s->partition].start_asked ||
	       model_rot_at(m, s->topic, s->partition, s->base_offset);
}

void model_sequence_seen(struct model *m, size_t at, struct model_sequence s)
{
	struct model_sequence *q = m->sequence;
	while (at < m->sequence_count && q[at].sequence < s.sequence) {
		if (!may_be_gone(m, &q[at]))
			violated("phantom", "sequence %llu was shown, and is gone",
			    (unsigned long long)q[at].sequence);
		memmove(q + at, q + at + 1, (--m->sequence_count - at) * sizeof(*q));
	}
	bool again = s.topic != UINT32_MAX &&
	             model_rot_at(m, s.topic, s.partition, s.base_offset); /* whole again */
	if (at < m->sequence_count && (q[at].sequence == s.sequence || !again)) {
		if (is_empty(m, &s))
			s.batch = q[at].batch;
		else if (is_empty(m, &q[at]))
			q[at].batch = s.batch;
		if (!same_place(&q[at], &s))
			violated("phantom", "sequence %llu is another batch than before",
			    (unsigned long long)s.sequence);
		return;
	}
	if (s.sequence <= m->stable && !again)
		violated("dense", "sequence %llu appears below %llu, where everything was shown",
		    (unsigned long long)s.sequence, (unsigned long long)m->stable);
	if (m->sequence_count == m->sequence_capacity) {
		m->sequence_capacity = m->sequence_capacity ? m->sequence_capacity * 2 : 256;
		m->sequence = xrealloc(m->sequence, m->sequence_capacity * sizeof(*m->sequence));
	}
	q = m->sequence + at;
	memmove(q + 1, q, (m->sequence_count++ - at) * sizeof(*q));
	*q = s;
}

void model_sequences_end(struct model *m, size_t count, uint64_t stable)
{
	while (m->sequence_count > count)
		if (!may_be_gone(m, &m->sequence[--m->sequence_count]))
			violated("phantom", "sequence %llu was shown, and is gone",
			    (unsigned long long)m->sequence[m->sequence_count].sequence);
	if (stable < m->stable)
		violated("watermark", "S_stable is %llu, it was %llu", (unsigned long long)stable,
		    (unsigned long long)m->stable);
	m->stable = stable;
}

/* ---- topics ---------------------------------------------------------------------------------- */

uint32_t model_topic_by_id(const struct model *m, struct log_uuid id)
{
	for (uint32_t t = 0; t < m->topic_count; t++)
		if (log_uuid_equal(m->topic[t].id, id))
			return t;
	return UINT32_MAX;
}

uint32_t model_topic_named(const struct model *m, const char *name)
{
	for (uint32_t t = m->topic_count; t-- > 0;)
		if (!m->topic[t].deleted && strcmp(m->topic[t].name, name) == 0)
			return t;
	return UINT32_MAX;
}

void model_create_sent(struct model *m, const char *name)
{
	for (uint32_t i = 0; i < m->create_sent_count; i++)
		if (strcmp(m->create_sent[i], name) == 0)
			return;
	ASSERT(m->create_sent_count < 8);
	snprintf(m->create_sent[m->create_sent_count++], 16, "%s", name);
}

uint32_t model_topic_seen(struct model *m, struct str name, struct log_uuid id, int32_t partitions)
{
	uint32_t t = model_topic_by_id(m, id);
	char text[16];
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(name));
	if (t != UINT32_MAX) {
		struct model_topic *topic = &m->topic[t];
		if (topic->deleted)
			violated("topic", "%s was deleted, and is there again", topic->name);
		if (strcmp(topic->name, text) != 0)
			violated("topic", "%s is called %s now", topic->name, text);
		if (partitions < topic->partitions || partitions > topic->partitions_asked)
			violated("topic", "%s has %d partitions, not %d to %d", text, partitions,
			    topic->partitions, topic->partitions_asked);
		topic->partitions = partitions;
		return t;
	}
	bool asked = false;
	for (uint32_t i = 0; i < m->create_sent_count; i++)
		asked |= strcmp(m->create_sent[i], text) == 0;
	if (!asked || partitions > MODEL_PARTITIONS_MAX)
		violated("topic", "nobody created %s with %d partitions", text, partitions);
	/* one of this name that was there is gone: somebody must have asked for it */
	uint32_t before = model_topic_named(m, text);
	if (before != UINT32_MAX)
		model_topic_deleted(m, before);
	ASSERT(m->topic_count < MODEL_TOPICS_MAX);
	struct model_topic *topic = &m->topic[m->topic_count];
	*topic = (struct model_topic){
	    .id = id, .partitions = partitions, .partitions_asked = partitions};
	memcpy(topic->name, text, sizeof(text));
	topic->keyed = m->keyed >> (text[1] - '0') & 1;
	topic->expires = m->expires >> (text[1] - '0') & 1;
	topic->tombstones_expire = m->tombstones_expire;
	return m->topic_count++;
}

void model_topic_deleted(struct model *m, uint32_t topic)
{
	if (!m->topic[topic].delete_sent)
		violated("topic", "%s is gone, and nobody deleted it", m->topic[topic].name);
	m->topic[topic].deleted = true;
}

void model_topics_end(struct model *m, const bool *seen)
{
	for (uint32_t t = 0; t < m->topic_count; t++)
		if (!seen[t] && !m->topic[t].deleted)
			model_topic_deleted(m, t);
}
