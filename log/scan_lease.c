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
}

static void lease_take(struct scan_source *s, struct segment *seg)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	lease_drop(s);
	seg->holds++;
	s->segment = seg;
	s->base_offset = seg->base_offset;
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

void scan_lease_refresh(void *arg)
{
	struct log_scan *scan = arg;
	for (size_t i = 0; i < scan->count; i++)
		lease_refresh(&scan->sources[i]);
	scan->covered = scan->log->durable_sequence;
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
	scan->durable = scan->log->durable_sequence;
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
	uint64_t i = get->number - x->file_count;
	get->entry =
	    i < x->writing.count ? x->writing.entry[i] : x->fresh.entry[i - x->writing.count];
	get->err = ERR_OK;
}

void scans_wake(struct log *log)
{
	LIST_EACH (&log->scans, n, next) {
		struct log_scan *scan = CONTAINER_OF(n, struct log_scan, node);
		mutex_lock(&scan->mutex);
		scan->durable = log->durable_sequence;
		cond_signal(&scan->cond);
		mutex_unlock(&scan->mutex);
	}
}
