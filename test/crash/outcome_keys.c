/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What compaction may take. Of each key of a compacted partition the newest record of those that
 * count stays; older ones and aborted ones may go, once compaction was asked for. A newest record
 * that is a tombstone may go when nothing older of its key is left.
 */
#include "test/crash/outcome.h"

#include <ctype.h>
#include <stdio.h>

static bool is_there(const struct outcome *o, int tag, int i)
{
	return outcome_has(o, tag) && (o->kept[tag] >> i & 1);
}

static bool counts(const struct run *r, const struct outcome *o, size_t cut, int tag)
{
	const struct run_batch *b = &r->batches[tag];
	size_t promised = r->topics[b->topic].lazy ? b->kept_from : b->acked;
	return outcome_has(o, tag) || promised <= cut;
}

/* Is what it says in force: no transaction's, or a committed one's? */
static bool in_force(const struct run *r, const struct outcome *o, size_t cut, int tag)
{
	const struct run_batch *b = &r->batches[tag];
	if (!b->transactional)
		return true;
	return b->ended_by > 0 && r->batches[b->ended_by].marker == RUN_COMMIT &&
	       counts(r, o, cut, b->ended_by);
}

static bool may_be_aborted(const struct run *r, size_t cut, int tag)
{
	const struct run_batch *b = &r->batches[tag];
	return b->transactional && b->ended_by > 0 && r->batches[b->ended_by].marker == RUN_ABORT &&
	       r->batches[b->ended_by].sent <= cut;
}

struct newest {
	int tag, record; /* 0: none */
};

static struct newest newest_of(const struct run *r, const struct outcome *o, size_t cut,
    const struct run_batch *like, char key)
{
	struct newest n = {0, 0};
	for (int tag = 1; tag <= r->batch_count; tag++) {
		const struct run_batch *b = &r->batches[tag];
		if (b->topic != like->topic || b->partition != like->partition ||
		    b->marker != RUN_DATA || !counts(r, o, cut, tag) || !in_force(r, o, cut, tag))
			continue;
		for (int i = 0; b->keys[i]; i++) {
			if (tolower((unsigned char)b->keys[i]) == tolower((unsigned char)key))
				n = (struct newest){tag, i};
		}
	}
	return n;
}

static bool check_record(const struct run *r, const struct outcome *o, size_t cut, int tag, int i)
{
	const struct run_batch *b = &r->batches[tag];
	struct newest n = newest_of(r, o, cut, b, b->keys[i]);
	bool there = is_there(o, tag, i), is_newest = n.tag == tag && n.record == i;
	bool older = n.tag > tag || (n.tag == tag && n.record > i);
	bool tombstone = isupper((unsigned char)b->keys[i]) != 0;
	if (there) /* nothing comes back when its tombstone is gone */
		return !older || is_there(o, n.tag, n.record) || !in_force(r, o, cut, tag);
	return r->compact_asked <= cut &&
	       (older || (is_newest && tombstone) || may_be_aborted(r, cut, tag));
}

bool outcome_check_keys(
    const struct run *r, const struct outcome *o, size_t cut, char *why, size_t why_len)
{
	for (int tag = 1; tag <= r->batch_count; tag++) {
		const struct run_batch *b = &r->batches[tag];
		if (!r->topics[b->topic].compacted || !o->there[b->topic] ||
		    !counts(r, o, cut, tag) || b->marker != RUN_DATA ||
		    (b->acked != RUN_NEVER && b->offset < o->start[b->topic][b->partition]))
			continue;
		for (int i = 0; b->keys[i]; i++) {
			if (check_record(r, o, cut, tag, i))
				continue;
			snprintf(why, why_len,
			    "record %d (key %c) of batch %d (topic %d-%d offset %lld) is %s", i,
			    b->keys[i], tag, b->topic, b->partition, (long long)b->offset,
			    is_there(o, tag, i) ? "there without its newer one" : "gone");
			return false;
		}
	}
	return true;
}
