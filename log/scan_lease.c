/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: the loop's half of a scan. Everything here runs on the loop, inside loop_call. */
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/scan.h"
#include <stdio.h>

static void lease_drop(struct scan_source *s)
{
	if (s->segment)
		segment_unhold(s->segment);
	s->segment = NULL;
}

/* Where next_offset is in the leased segment. */
static void lease_locate(struct scan_source *s)
{
	struct index_probe probe = {INDEX_BY_OFFSET, (uint64_t)s->next_offset};
	struct index_entry entry;
	uint64_t number;
	s->located = false;
	s->in_file = false;
	s->pos = SEGMENT_HEADER_BYTES;
	if (s->next_offset <= s->base_offset)
		return;
	enum err e = index_find_memory(&s->segment->index, probe, &entry, &number);
	if (e == ERR_OK)
		s->pos = entry.pos;
	s->in_file = e == ERR_AGAIN;
	s->file_count = s->segment->index.file_count;
}

static void lease_extend(struct scan_source *s)
{
	struct segment *seg = s->segment;
	s->end = seg->durable_size;
	s->end_offset = seg->end_offset < s->p->durable_end ? seg->end_offset : s->p->durable_end;
	/* what is in flight for a sealed segment is not passed over */
	s->more = seg->frames_pending == 0 && (seg->gone || seg->node.next != &s->p->segments.head);
	s->missing_to = 0;
	if (!s->more || seg->gone)
		return;
	const struct segment *next = CONTAINER_OF(seg->node.next, struct segment, node);
	if (next->base_offset > seg->end_offset)
		s->missing_to = next->base_offset;
}

static void lease_take(struct scan_source *s, struct segment *seg)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	lease_drop(s);
	seg->holds++;
	s->segment = seg;
	s->base_offset = seg->base_offset;
	s->first_sequence = seg->first_sequence;
	s->seed = seg->seed;
	s->path[0] = '\0';
	if (partition_path(s->p, segment_file_name(seg, "", name), path) == ERR_OK &&
	    strlen(path) + 8 < sizeof(s->path))
		memcpy(s->path, path, strlen(path) + 1);
	lease_extend(s);
	lease_locate(s);
}

/* Keeps a source up to date: gone, overtaken by retention, a first segment, more bytes. */
static void lease_refresh(struct scan_source *s)
{
	struct log_partition *p = s->p;
	if (!p || p->state != PARTITION_OPEN) {
		s->err = ERR_SOURCE_GONE;
		return;
	}
	if (s->segment) {
		lease_extend(s);
		return;
	}
	if (s->next_offset < p->log_start || s->next_offset > p->log_end) {
		s->err = ERR_OFFSET_OUT_OF_RANGE;
		return;
	}
	if (s->next_offset >= p->durable_end)
		return;
	struct segment *seg = partition_segment_of(p, s->next_offset);
	if (seg && s->next_offset >= seg->end_offset && seg->node.next != &p->segments.head)
		seg = CONTAINER_OF(
		    seg->node.next, struct segment, node); /* what was between is missing */
	if (!seg && !list_empty(&p->segments))
		seg = CONTAINER_OF(list_first(&p->segments), struct segment, node);
	if (seg)
		lease_take(s, seg);
}

void scan_lease_next(void *arg)
{
	struct scan_source *s = arg;
	struct log_partition *p = s->p;
	if (p->state != PARTITION_OPEN) {
		s->err = ERR_SOURCE_GONE;
		return;
	}
	if (s->segment->gone) { /* retention took it and perhaps what follows: by offset */
		lease_drop(s);
		lease_refresh(s);
		return;
	}
	ASSERT(s->segment->node.next != &p->segments.head);
	lease_take(s, CONTAINER_OF(s->segment->node.next, struct segment, node));
}

void scan_lease_unread(void *arg)
{
	const struct scan_source *s = arg;
	partition_unread(s->p, s->segment, s->walk.pos, ERR_IO);
}

/* ---- transactions ---------------------------------------------------------------------------- */

/* Copies what was aborted since the last time and forgets what the source has passed. NOMEM. */
static enum err aborted_refresh(struct scan_source *s)
{
	const struct txns *t = &s->p->txns;
	int64_t at = s->in_heap ? s->frame.base_offset : s->next_offset;
	size_t passed = txn_aborted_from(s->aborted, s->aborted_count, at);
	size_t from = txn_aborted_from(
	    t->aborted, t->aborted_count, s->aborted_to >= at ? s->aborted_to + 1 : at);
	size_t more = t->aborted_count - from, kept = s->aborted_count - passed;
	if (more == 0)
		return ERR_OK;
	if (passed > 0)
		memmove(s->aborted, s->aborted + passed, kept * sizeof(*s->aborted));
	s->aborted_count = kept;
	if (kept + more > s->aborted_capacity) {
		size_t capacity = 2 * (kept + more);
		struct txn_aborted *grown = mem_realloc(s->aborted, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		s->aborted = grown;
		s->aborted_capacity = capacity;
	}
	memcpy(s->aborted + kept, t->aborted + from, more * sizeof(*s->aborted));
	s->aborted_count += more;
	s->aborted_to = s->aborted[s->aborted_count - 1].last_offset;
	return ERR_OK;
}

static uint64_t scan_stable(const struct log_scan *scan)
{
	uint64_t stable = scan->log->durable_sequence;
	if (list_empty(&scan->log->txn_partitions))
		return stable;
	for (size_t i = 0; i < scan->count; i++)
		if (scan->sources[i].p)
			stable = partition_stable_sequence(scan->sources[i].p, stable);
	return stable;
}

void scan_load_start(void *arg)
{
	struct scan_load *load = arg;
	struct log_partition *p = partition_by_key(
	    load->log, (struct partition_key){load->source->topic_id, load->source->partition});
	if (p && p->state == PARTITION_OPEN && !partition_aborted_known(p)) {
		partition_load_and(p, &load->wait);
		return;
	}
	load->wait.err = ERR_OK;
	load->wait.done(&load->wait);
}

void scan_lease_refresh(void *arg)
{
	struct log_scan *scan = arg;
	enum err e = ERR_OK;
	for (size_t i = 0; i < scan->count; i++) {
		struct scan_source *s = &scan->sources[i];
		lease_refresh(s);
		if (s->err == ERR_OK && e == ERR_OK)
			e = aborted_refresh(s);
	}
	if (e == ERR_OK) /* else nothing new is shown, and the next look tries again */
		scan->covered = scan_stable(scan);
}

void scan_lease_open(void *arg)
{
	struct log_scan *scan = arg;
	for (size_t i = 0; i < scan->count; i++) {
		struct scan_source *s = &scan->sources[i];
		struct log_partition *p =
		    partition_by_key(scan->log, (struct partition_key){s->topic_id, s->partition});
		if (p && p->state == PARTITION_OPEN) {
			partition_ref(p);
			s->p = p;
		}
	}
	list_push_back(&scan->log->scans, &scan->node);
	scan->told = scan_stable(scan);
	scan_lease_refresh(scan);
}

void scan_lease_close(void *arg)
{
	struct log_scan *scan = arg;
	list_remove(&scan->node);
	for (size_t i = 0; i < scan->count; i++) {
		struct scan_source *s = &scan->sources[i];
		lease_drop(s);
		if (s->p)
			partition_unref(s->p);
		s->p = NULL;
	}
}

void scan_entry_get(void *arg)
{
	struct scan_entry *get = arg;
	const struct index *x = &get->segment->index;
	get->file_count = x->file_count;
	get->count = index_count(x);
	get->err = ERR_NOT_FOUND;
	if (get->number >= get->count)
		return;
	get->err = ERR_AGAIN;
	if (get->number < x->file_count)
		return;
	get->entry = *index_memory_entry(x, get->number);
	get->err = ERR_OK;
}

void scan_index_doubt(void *segment)
{
	index_doubt(segment);
}

void scans_wake(struct log *log)
{
	LIST_EACH (&log->scans, n, next) {
		struct log_scan *scan = CONTAINER_OF(n, struct log_scan, node);
		mutex_lock(&scan->mutex);
		scan->told = scan_stable(scan);
		cond_signal(&scan->cond);
		mutex_unlock(&scan->mutex);
	}
}
