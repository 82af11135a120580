/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What bad entries of the journal had, and no segment has. A frame in the middle leaves a hole that
 * what is behind it shows (DAMAGED); behind the last frame of a partition nothing shows it: its
 * offsets would be given again. But an entry's header, or those of its neighbours, say which
 * sequences it had, and each of them must be somewhere.
 */
#include "log/engine.h"
#include "log/recovery.h"

enum err recovery_lost_add(struct recovery *r, uint64_t first, uint64_t last)
{
	if (last < first)
		return ERR_OK; /* it had no frames */
	if (r->lost_count == r->lost_capacity) {
		size_t capacity = r->lost_capacity ? 2 * r->lost_capacity : 16;
		struct recovery_lost *grown = mem_realloc(r->lost, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		r->lost = grown;
		r->lost_capacity = capacity;
	}
	r->lost[r->lost_count++] = (struct recovery_lost){first, last, 0};
	return ERR_OK;
}

/* Sequences [first, last] are accounted for. */
static void found(struct recovery *r, uint64_t first, uint64_t last)
{
	for (size_t i = 0; i < r->lost_count; i++) {
		struct recovery_lost *l = &r->lost[i];
		uint64_t from = first > l->first ? first : l->first;
		uint64_t to = last < l->last ? last : l->last;
		if (from <= to)
			l->found += to - from + 1;
	}
}

static enum err count_segment(struct recovery *r, struct segment *s)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct segment_walk w;
	struct around around;
	struct frame f;
	struct bytes body;
	uint32_t pos;
	int fd;
	TRY(partition_path(s->partition, segment_file_name(s, ".log", name), path));
	TRY(io_open(r->log->io, path, IO_READONLY, &fd));
	segment_walk_init(&w, r->log->io, fd, s->seed, 0);
	segment_walk_range(&w, SEGMENT_HEADER_BYTES, s->size);
	recovery_around(s, &around);
	w.around = &around;
	w.check_body = false; /* they were just now, or are older than the checkpoint */
	w.holes = true;
	enum err e;
	while ((e = segment_walk_next(&w, &f, &pos, &body)) == ERR_OK) {
		bool hole = (f.flags & FRAME_HOLE) && body.len >= 8;
		found(r, hole ? get_u64_le(body.ptr) : f.sequence, f.sequence);
	}
	segment_walk_release(&w);
	enum err closed = io_close(r->log->io, fd);
	return e == ERR_EOF || e == ERR_CORRUPT ? closed : e;
}

/* True: somebody says already that something is missing. */
static enum err count_all(struct recovery *r, bool *ret_damaged)
{
	struct log_partition *p;
	size_t cursor = 0;
	uint64_t first = UINT64_MAX;
	for (size_t i = 0; i < r->lost_count; i++)
		first = r->lost[i].first < first ? r->lost[i].first : first;
	while ((p = map_next(&r->log->partitions, &cursor))) {
		*ret_damaged |= p->damaged || p->verdict != ERR_OK || p->lost_suffix;
		LIST_EACH (&p->segments, n, next) {
			struct segment *s = CONTAINER_OF(n, struct segment, node);
			if (s->last_sequence >= first && s->size > SEGMENT_HEADER_BYTES)
				TRY(count_segment(r, s));
		}
	}
	for (uint64_t i = 0; i < r->record.header.gap_count; i++) /* burnt: nobody has them */
		found(r, r->record.gaps[i].first, r->record.gaps[i].last);
	return ERR_OK;
}

enum err recovery_check_lost(struct recovery *r)
{
	bool damaged = false;
	if (r->lost_count == 0)
		return ERR_OK;
	TRY(count_all(r, &damaged));
	for (size_t i = 0; i < r->lost_count; i++) {
		const struct recovery_lost *l = &r->lost[i];
		if (l->found > l->last - l->first)
			continue;
		recovery_verdict(damaged ? ERR_DAMAGED : ERR_LOST_SUFFIX,
		    "first_sequence=%llu last_sequence=%llu found=%llu what=\"journal entry\"",
		    (unsigned long long)l->first, (unsigned long long)l->last,
		    (unsigned long long)l->found);
		if (!damaged && !r->log->options.accept_lost_suffix)
			return err_note(ERR_LOST_SUFFIX,
			    "a bad journal entry had sequences %llu to %llu, and no segment has "
			    "them all; " LOG_LOST_SUFFIX_HELP,
			    (unsigned long long)l->first, (unsigned long long)l->last);
	}
	return ERR_OK;
}
