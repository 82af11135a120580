/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of transactions. See model.h. */
#include "test/lib/xmalloc.h"
#include "test/sim/model.h"
#include "test/sim/world.h"

uint32_t model_txn_new(struct model *m, bool sure)
{
	if (m->txn_count >= m->txn_capacity) {
		m->txn_capacity = m->txn_capacity ? m->txn_capacity * 2 : 64;
		m->txn = xrealloc(m->txn, m->txn_capacity * sizeof(*m->txn));
	}
	m->txn[m->txn_count] = (struct model_txn){.sure = sure};
	return m->txn_count++;
}

void model_txn_ending(struct model *m, uint32_t txn, bool commit)
{
	m->txn[txn].fate = commit ? TXN_ENDING : TXN_ABORTED;
}

void model_txn_committed(struct model *m, uint32_t txn)
{
	if (m->txn[txn].passed_over)
		violated("committed", "transaction %u is committed, and was passed over", txn);
	m->txn[txn].fate = TXN_COMMITTED;
}

void model_txn_abandoned(struct model *m, uint32_t txn)
{
	if (m->txn[txn].fate == TXN_OPEN)
		m->txn[txn].fate = TXN_ABORTED;
}

void model_committed_seen(struct model *m, uint32_t batch)
{
	if (batch == 0 || m->batch[batch].txn == 0)
		return; /* nothing is left of it; of no transaction */
	struct model_txn *t = &m->txn[m->batch[batch].txn];
	if (t->fate == TXN_OPEN || t->fate == TXN_ABORTED || t->passed_over)
		violated("aborted", "batch %u of transaction %u, which %s, is shown", batch,
		    m->batch[batch].txn,
		    t->fate == TXN_OPEN      ? "is open"
		    : t->fate == TXN_ABORTED ? "was aborted"
		                             : "was passed over");
	t->shown = true;
}

void model_aborted_seen(struct model *m, uint32_t batch)
{
	struct model_txn *t = &m->txn[m->batch[batch].txn];
	if (m->batch[batch].txn == 0 || t->fate == TXN_COMMITTED || t->shown)
		violated("committed", "batch %u of transaction %u is passed over", batch,
		    m->batch[batch].txn);
	t->passed_over = true;
}

void model_hole(struct model *m, uint32_t topic, int32_t partition, int64_t from, int64_t to)
{
	const struct model_partition *p = &m->topic[topic].partition[partition];
	for (int64_t o = from; o < to && o < p->slot_count; o++) {
		uint32_t batch = p->slot[o].batch;
		if (batch != 0)
			model_aborted_seen(m, batch);
	}
}

/* What is open for sure holds it back, but for what has rotted: nobody is shown that. */
static void check_open(struct model *m, uint32_t topic, int32_t partition, int64_t stable)
{
	const struct model_partition *p = &m->topic[topic].partition[partition];
	for (uint32_t b = 1; b < m->batch_count; b++) {
		const struct model_batch *batch = &m->batch[b];
		const struct model_txn *t = &m->txn[batch->txn];
		if (batch->txn == 0 || batch->topic != topic || batch->partition != partition ||
		    batch->acked < p->start_asked || t->fate != TXN_OPEN || !t->sure ||
		    model_rot_at(m, topic, partition, batch->acked))
			continue;
		if (batch->acked < stable)
			violated("stable", "%s-%d: %lld, and batch %u at %lld is open",
			    m->topic[topic].name, partition, (long long)stable, b,
			    (long long)batch->acked);
	}
}

void model_stable(
    struct model *m, uint32_t topic, int32_t partition, int64_t before, int64_t stable)
{
	struct model_partition *p = &m->topic[topic].partition[partition];
	if (stable < before)
		violated("stable", "%s-%d: %lld, it was %lld before", m->topic[topic].name,
		    partition, (long long)stable, (long long)before);
	if (m->txn_count > 1)
		check_open(m, topic, partition, stable);
	if (stable > p->stable)
		p->stable = stable;
}
