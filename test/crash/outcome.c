/* SPDX-License-Identifier: Apache-2.0 */
/* Fingerprints and promises. See outcome.h; the reading is in outcome_read.c. */
#include "test/crash/outcome.h"

#include "log/checksum.h"
#include "log/segment.h"

#include <stdarg.h>
#include <stdio.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* ---- fingerprints ---------------------------------------------------------------------------- */

struct print {
	XXH3_state_t content, caches;
	const struct sim_disk *disk;
	uint32_t topics; /* inode of <data>/topics */
};

static uint32_t look_up(const struct sim_disk *d, uint32_t dir, const char *name)
{
	return dir ? sim_disk_lookup(d, dir, str_of(name)) : 0;
}

static void print_bytes(XXH3_state_t *h, const struct sim_disk *d, uint32_t inode, uint64_t len)
{
	static const uint8_t zeros[SIM_BLOCK];
	if (!inode)
		return;
	const struct sim_content *c = d->inode[inode].cached;
	len = len < c->size_bytes ? len : c->size_bytes;
	for (uint64_t at = 0; at < len; at += SIM_BLOCK) {
		size_t i = (size_t)(at / SIM_BLOCK),
		       n = len - at < SIM_BLOCK ? len - at : SIM_BLOCK;
		bool there = i < c->block_count && c->block[i];
		uint64_t sum = checksum64(there ? c->block[i]->bytes : zeros, n, 0);
		XXH3_64bits_update(h, &sum, sizeof(sum));
	}
}

static void print_segment(struct print *p, uint32_t dir, const struct segment *s)
{
	char name[SEGMENT_NAME_BYTES];
	uint64_t content[] = {(uint64_t)s->base_offset, (uint64_t)s->end_offset, s->size,
	    s->durable_size, s->last_sequence, s->last_link, s->sealed, s->generation,
	    (uint64_t)s->rewrite.clean_end};
	uint64_t caches[] = {s->index.file_count, s->index.fresh.count, s->index_sealed,
	    (uint64_t)s->index.max_timestamp_ms};
	XXH3_64bits_update(&p->content, content, sizeof(content));
	XXH3_64bits_update(&p->caches, caches, sizeof(caches));
	print_bytes(&p->content, p->disk, look_up(p->disk, dir, segment_file_name(s, ".log", name)),
	    s->size);
	uint64_t entries = INDEX_HEADER_BYTES + s->index.file_count * INDEX_ENTRY_BYTES;
	if (s->index.file_count > 0)
		print_bytes(&p->caches, p->disk,
		    look_up(p->disk, dir, segment_file_name(s, ".idx", name)), entries);
	print_bytes(&p->caches, p->disk,
	    look_up(p->disk, dir, segment_name(s->base_offset, ".snap", name)), UINT64_MAX);
}

static void print_partition(struct print *p, const struct log_partition *part)
{
	uint64_t content[] = {(uint64_t)part->key.partition, (uint64_t)part->log_start,
	    (uint64_t)part->visible_end, (uint64_t)part->durable_end, part->leader_epoch,
	    part->damaged, part->state, part->verdict, part->segment_count,
	    (uint64_t)partition_stable_end(part), part->txns.by_id.count};
	XXH3_64bits_update(&p->content, &part->key.topic_id, sizeof(part->key.topic_id));
	XXH3_64bits_update(&p->content, content, sizeof(content));
	uint32_t dir = look_up(p->disk, p->topics, part->dir);
	LIST_EACH (&part->segments, n, next)
		print_segment(p, dir, CONTAINER_OF(n, struct segment, node));
}

void outcome_print(const struct run *run, const struct run_world *w, struct outcome *o)
{
	struct print p = {.disk = sim_io_disk(w->io)};
	const struct log_topic *t;
	size_t cursor = 0;
	*o = (struct outcome){.durable_sequence = w->log->durable_sequence, .epoch = w->log->epoch};
	XXH3_64bits_reset(&p.content);
	XXH3_64bits_reset(&p.caches);
	p.topics = look_up(p.disk, look_up(p.disk, SIM_ROOT, "d"), "topics");
	while ((t = log_topic_next(w->log, &cursor))) {
		uint64_t count = (uint64_t)t->partition_count;
		XXH3_64bits_update(&p.content, &t->id, sizeof(t->id));
		XXH3_64bits_update(&p.content, &count, sizeof(count));
		for (int32_t i = 0; i < t->partition_count; i++)
			print_partition(&p, log_partition_find(w->log, t, i));
	}
	uint64_t scalars[] = {w->log->durable_sequence, w->log->rounds.next_sequence,
	    w->log->damaged_partitions, w->log->failed, w->log->producer_id_reserved,
	    w->log->epoch};
	XXH3_64bits_update(&p.content, scalars, sizeof(scalars));
	if (run->with_table)
		XXH3_64bits_update(&p.content, w->rows, sizeof(w->rows));
	o->content = XXH3_64bits_digest(&p.content);
	o->caches = XXH3_64bits_digest(&p.caches);
}

/* ---- promises -------------------------------------------------------------------------------- */

static bool say(char *why, size_t len, const char *fmt, ...) PRINTF(3, 4);
static bool say(char *why, size_t len, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	vsnprintf(why, len, fmt, args);
	va_end(args);
	return false;
}

static bool check_topics(
    const struct run *r, const struct outcome *o, size_t cut, char *why, size_t len)
{
	for (int i = 0; i < r->topic_count; i++) {
		const struct run_topic *t = &r->topics[i];
		if (t->created <= cut && t->delete_asked > cut && !o->there[i])
			return say(why, len, "topic %d (%s) is gone", i, t->name);
		if (t->deleted <= cut && o->there[i])
			return say(why, len, "topic %d (%s) was deleted and is there", i, t->name);
		if (t->create_asked > cut && o->there[i])
			return say(why, len, "topic %d (%s) before it was asked for", i, t->name);
		bool grown = o->partitions[i] == t->partitions;
		if (o->there[i] && t->grow_from > 0 &&
		    ((t->grown <= cut && !grown) || (t->grow_asked > cut && grown)))
			return say(why, len, "topic %d (%s) has %d partitions", i, t->name,
			    o->partitions[i]);
	}
	return true;
}

/* The configuration is that of the last change that was answered, or of one asked for since. */
static bool check_alters(
    const struct run *r, const struct outcome *o, size_t cut, char *why, size_t len)
{
	bool good[RUN_TOPICS_MAX];
	memset(good, true, sizeof(good));
	for (int i = 0; i < r->alter_count; i++) {
		const struct run_alter *a = &r->alters[i];
		bool same = o->segment_bytes[a->topic] == a->segment_bytes;
		if (a->done <= cut)
			good[a->topic] = same;
		else if (a->asked <= cut)
			good[a->topic] |= same;
	}
	for (int t = 0; t < r->topic_count; t++) {
		if (o->there[t] && !good[t])
			return say(why, len, "topic %d has segments of %llu", t,
			    (unsigned long long)o->segment_bytes[t]);
	}
	return true;
}

static bool in_gap(const struct outcome *o, uint64_t sequence)
{
	for (int i = 0; i < o->gap_count; i++) {
		if (sequence >= o->gaps[i].first && sequence <= o->gaps[i].last)
			return true;
	}
	return false;
}

static bool check_batch(
    const struct run *r, const struct outcome *o, size_t cut, int tag, char *why, size_t len)
{
	const struct run_batch *b = &r->batches[tag];
	if (outcome_has(o, tag))
		return b->sent <= cut || say(why, len, "batch %d before it was sent", tag);
	if (b->acked > cut || !o->there[b->topic])
		return true;
	if (r->topics[b->topic].compacted && r->compact_asked <= cut)
		return true; /* outcome_check_keys */
	if (b->offset + b->count <= o->start[b->topic][b->partition])
		return true; /* trimmed; how far that may go is check_trims' */
	if (!r->topics[b->topic].lazy || b->kept_from <= cut)
		return say(why, len,
		    "batch %d (topic %d-%d offset %lld sequence %llu), acknowledged "
		    "at operation %zu, is gone",
		    tag, b->topic, b->partition, (long long)b->offset,
		    (unsigned long long)b->sequence, b->acked);
	return in_gap(o, b->sequence) ||
	       say(why, len, "batch %d is gone, its sequence %llu is in no gap", tag,
	           (unsigned long long)b->sequence);
}

static bool check_trims(
    const struct run *r, const struct outcome *o, size_t cut, char *why, size_t len)
{
	for (int t = 0; t < r->topic_count; t++) {
		for (int p = 0; p < r->topics[t].partitions && o->there[t]; p++) {
			int64_t least = 0, most = 0;
			for (int i = 0; i < r->trim_count; i++) {
				const struct run_trim *trim = &r->trims[i];
				if (trim->topic != t || trim->partition != p)
					continue;
				if (trim->done <= cut && trim->offset > least)
					least = trim->offset;
				if (trim->asked <= cut && trim->offset > most)
					most = trim->offset;
			}
			if (o->start[t][p] < least || o->start[t][p] > most)
				return say(why, len, "log start of %d-%d is %lld, not %lld..%lld",
				    t, p, (long long)o->start[t][p], (long long)least,
				    (long long)most);
		}
	}
	return true;
}

static bool check_ends(
    const struct run *r, const struct outcome *o, size_t cut, char *why, size_t len)
{
	for (int i = 0; i < r->end_count && r->ends[i].at <= cut; i++) {
		const struct run_end *e = &r->ends[i];
		if (e->topic == RUN_EPOCH && o->epoch <= (uint64_t)e->end)
			return say(
			    why, len, "epoch %u behind epoch %lld", o->epoch, (long long)e->end);
		if (e->topic == RUN_D && o->durable_sequence < (uint64_t)e->end)
			return say(why, len, "D is %llu and was told as %lld",
			    (unsigned long long)o->durable_sequence, (long long)e->end);
		if (e->topic < 0 || !o->there[e->topic])
			continue;
		int64_t end =
		    e->stable ? o->stable[e->topic][e->partition] : o->end[e->topic][e->partition];
		if (end < e->end)
			return say(why, len, "%s end of %d-%d is %lld and was shown as %lld",
			    e->stable ? "stable" : "visible", e->topic, e->partition,
			    (long long)end, (long long)e->end);
	}
	return true;
}

/* A row has the value of its last answered put, or of one asked for since. */
static bool check_row(
    const struct run *r, const struct outcome *o, size_t cut, int key, char *why, size_t len)
{
	int first = -1;
	for (int i = 0; i < r->put_count; i++) {
		if (r->puts[i].key == key && r->puts[i].done <= cut)
			first = i;
	}
	if (first < 0 && o->rows[key] == 0)
		return true;
	for (int i = first < 0 ? 0 : first; i < r->put_count; i++) {
		const struct run_put *p = &r->puts[i];
		if (p->key == key && p->asked <= cut && p->value == o->rows[key])
			return true;
	}
	return say(why, len, "row %d is %lld", key, (long long)o->rows[key]);
}

bool outcome_check(const struct run *r, const struct outcome *o, size_t cut, char *why, size_t len)
{
	if (o->problem[0])
		return say(why, len, "%s", o->problem);
	if (!check_topics(r, o, cut, why, len) || !check_alters(r, o, cut, why, len) ||
	    !check_trims(r, o, cut, why, len) || !check_ends(r, o, cut, why, len))
		return false;
	for (int tag = 1; tag <= r->batch_count; tag++) {
		if (!check_batch(r, o, cut, tag, why, len))
			return false;
	}
	for (int key = 0; r->with_table && key < RUN_KEYS; key++) {
		if (!check_row(r, o, cut, key, why, len))
			return false;
	}
	return outcome_check_keys(r, o, cut, why, len);
}
