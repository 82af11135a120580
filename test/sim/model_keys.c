/* SPDX-License-Identifier: Apache-2.0 */
/* What compaction and retention may take, and what has rotted. See model.h. */
#include "test/sim/model.h"
#include "test/sim/world.h"

/* ---- compaction ------------------------------------------------------------------------------ */

struct keys {
	int64_t newest[MODEL_KEYS], present[MODEL_KEYS]; /* offsets, -1 */
	bool doubtful[MODEL_KEYS]; /* a later tombstone may have been there, and gone */
};

static void find_newest(const struct model *m, const struct model_partition *p, int64_t start,
    int64_t end, struct keys *k)
{
	for (int i = 0; i < MODEL_KEYS; i++)
		k->newest[i] = k->present[i] = -1;
	for (int64_t o = start; o < end && o < p->slot_count; o++) {
		const struct model_slot *s = &p->slot[o];
		if (s->batch == 0)
			continue;
		int key = model_facts(m, s->batch, s->index).key;
		k->newest[key] = o;
		if (s->walk == m->walk)
			k->present[key] = o;
	}
}

/* Batches of which nobody knows whether they were ever there. */
static void find_doubts(const struct model *m, uint32_t topic, int32_t partition, struct keys *k)
{
	memset(k->doubtful, 0, sizeof(k->doubtful));
	for (uint32_t b = 1; b < m->batch_count; b++) {
		const struct model_batch *batch = &m->batch[b];
		if (batch->topic != topic || batch->partition != partition || batch->acked >= 0 ||
		    batch->seen >= 0 || batch->refused)
			continue;
		for (int32_t i = 0; i < batch->count; i++) {
			struct model_facts f = model_facts(m, b, (uint32_t)i);
			k->doubtful[f.key] |= f.tombstone;
		}
	}
}

void model_keys_check(
    struct model *m, uint32_t topic, int32_t partition, int64_t start, int64_t end)
{
	const struct model_topic *t = &m->topic[topic];
	const struct model_partition *p = &t->partition[partition];
	struct keys k;
	find_newest(m, p, start, end, &k);
	find_doubts(m, topic, partition, &k);
	for (int key = 0; key < MODEL_KEYS; key++) {
		int64_t newest = k.newest[key];
		if (newest < 0 || k.present[key] == newest)
			continue;
		const struct model_slot *s = &p->slot[newest];
		bool tombstone = model_facts(m, s->batch, s->index).tombstone;
		const struct model_rot *rot = model_rot_at(m, topic, partition, newest);
		if (rot && rot->walk == m->walk)
			continue; /* lost, and said so: older ones may be there */
		if (k.present[key] >= 0)
			violated("compacted",
			    "%s-%d: the newest record of key c%d, at %lld, is gone, an older one "
			    "at %lld is there",
			    t->name, partition, key, (long long)newest, (long long)k.present[key]);
		if (!k.doubtful[key] && !(tombstone && t->tombstones_expire))
			violated("compacted",
			    "%s-%d: the newest record of key c%d, %s at %lld, is gone", t->name,
			    partition, key, tombstone ? "a tombstone" : "a value",
			    (long long)newest);
	}
}

/* ---- retention ------------------------------------------------------------------------------- */

void model_expiry_check(
    struct model *m, uint32_t topic, int32_t partition, const struct model_limits *l)
{
	const struct model_topic *t = &m->topic[topic];
	const struct model_partition *p = &t->partition[partition];
	bool may_be_large = l->retention_bytes < 0 || l->size_bytes >= (uint64_t)l->retention_bytes;
	if (p->expired == 0 || (l->retention_bytes >= 0 && may_be_large))
		return;
	if (l->retention_ms < 0)
		violated("retention", "%s-%d begins at %lld and has %llu bytes left, %lld may stay",
		    t->name, partition, (long long)p->expired, (unsigned long long)l->size_bytes,
		    (long long)l->retention_bytes);
	for (int64_t o = 0; l->now_ns > 0 && o < p->expired && o < p->slot_count; o++) {
		const struct model_batch *b = &m->batch[p->slot[o].batch];
		if (p->slot[o].batch != 0 && l->now_ns - b->sent_ns < l->retention_ms * MS_NS)
			violated("retention", "%s-%d offset %lld is gone %lld ms after it was sent",
			    t->name, partition, (long long)o,
			    (long long)((l->now_ns - b->sent_ns) / MS_NS));
	}
}

/* ---- rot ------------------------------------------------------------------------------------- */

void model_rotten(struct model *m, struct model_rot rot)
{
	ASSERT(m->rot_count < MODEL_ROT_MAX);
	m->rot[m->rot_count++] = rot;
}

const struct model_rot *model_rot_at(
    const struct model *m, uint32_t topic, int32_t partition, int64_t offset)
{
	for (size_t i = 0; i < m->rot_count; i++) {
		const struct model_rot *r = &m->rot[i];
		if (r->topic == topic && r->partition == partition && offset >= r->base &&
		    offset < r->end)
			return r;
	}
	return NULL;
}

const struct model_rot *model_rot_behind(
    const struct model *m, uint32_t topic, int32_t partition, int64_t offset)
{
	const struct model_rot *first = NULL;
	for (size_t i = 0; i < m->rot_count; i++) {
		const struct model_rot *r = &m->rot[i];
		if (r->topic == topic && r->partition == partition && offset < r->end &&
		    (!first || r->base < first->base))
			first = r;
	}
	return first;
}

void model_rot_told(struct model *m, const struct model_rot *rot)
{
	for (size_t i = 0; i < m->rot_count; i++) /* it may have rotted twice */
		if (m->rot[i].topic == rot->topic && m->rot[i].partition == rot->partition &&
		    m->rot[i].base == rot->base)
			m->rot[i].walk = m->walk;
}

bool model_has_rot(const struct model *m, uint32_t topic, int32_t partition)
{
	for (size_t i = 0; i < m->rot_count; i++)
		if (m->rot[i].topic == topic && (partition < 0 || m->rot[i].partition == partition))
			return true;
	return false;
}
