/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck over all partitions (I1): a sequence is given once, and each that nobody has lies in a hole
 * that something names: a HOLE frame, a GAP row of the catalog, a gap of the checkpoint record that
 * the catalog has not named yet. Where records or topics were deleted, or a batch is damaged, the
 * rest may be theirs, and cannot be told from a loss; else it is told as a GAP that nobody names.
 *
 * Sequences are dense, so a bit for each does: 2 MB for 16 million batches.
 */
#include "log/fsck.h"
#include <stdlib.h>

enum {
	CHUNK_SHIFT = 16,
	CHUNK_SEQUENCES = 1 << CHUNK_SHIFT,
	CHUNK_WORDS = CHUNK_SEQUENCES / 64,
	TWICE_LINES = 10, /* told one by one */
};
#define SEQUENCES_MAX ((uint64_t)1 << 36) /* accounted for; the table of chunks is 8 MB then */

/* ---- while partitions are read --------------------------------------------------------------- */

static enum err chunk_of(struct fsck_sequences *s, uint64_t sequence, uint64_t **ret_chunk)
{
	size_t at = (size_t)(sequence >> CHUNK_SHIFT);
	if (at >= s->chunk_count) {
		size_t count = at + at / 2 + 16;
		uint64_t **grown = mem_realloc(s->chunks, count * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		memset(grown + s->chunk_count, 0, (count - s->chunk_count) * sizeof(*grown));
		s->chunks = grown;
		s->chunk_count = count;
	}
	if (!s->chunks[at]) {
		s->chunks[at] = mem_calloc(CHUNK_WORDS, sizeof(uint64_t));
		if (!s->chunks[at])
			return ERR_NOMEM;
	}
	*ret_chunk = s->chunks[at];
	return ERR_OK;
}

enum err fsck_sequence(struct fsck *f, const char *dir, uint64_t sequence)
{
	struct fsck_sequences *s = &f->sequences;
	uint64_t *chunk;
	if (sequence == 0 || sequence >= SEQUENCES_MAX) {
		s->beyond++;
		return ERR_OK;
	}
	TRY(chunk_of(s, sequence, &chunk));
	uint64_t *word = &chunk[sequence % CHUNK_SEQUENCES / 64],
	         bit = (uint64_t)1 << sequence % 64;
	if (sequence > s->last)
		s->last = sequence;
	if (!(*word & bit)) {
		*word |= bit;
		s->count++;
		return ERR_OK;
	}
	if (s->twice++ < TWICE_LINES)
		fsck_find(f, ERR_DAMAGED,
		    "partition=%s sequence=%llu reason=\"another batch has this sequence\"", dir,
		    (unsigned long long)sequence);
	return ERR_OK;
}

static enum err add_range(
    struct checkpoint_gap **list, size_t *count, size_t *capacity, struct checkpoint_gap range)
{
	if (*count == *capacity) {
		size_t more = *capacity ? *capacity * 2 : 64;
		struct checkpoint_gap *grown = mem_realloc(*list, more * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		*list = grown;
		*capacity = more;
	}
	(*list)[(*count)++] = range;
	return ERR_OK;
}

enum err fsck_sequence_rotten(struct fsck *f, uint64_t first, uint64_t last)
{
	struct fsck_sequences *s = &f->sequences;
	if (first == 0 || last < first)
		return ERR_OK;
	return add_range(&s->rotten, &s->rotten_count, &s->rotten_capacity,
	    (struct checkpoint_gap){first, last});
}

enum err fsck_sequence_hole(struct fsck *f, uint64_t first, uint64_t last, uint64_t batches)
{
	struct fsck_sequences *s = &f->sequences;
	if (first == 0 || last < first)
		return ERR_OK;
	TRY(add_range(
	    &s->holes, &s->hole_count, &s->hole_capacity, (struct checkpoint_gap){first, last}));
	s->named += batches;
	return ERR_OK;
}

/* ---- the account ----------------------------------------------------------------------------- */

static uint64_t bits_in_chunk(const uint64_t *chunk, uint64_t from, uint64_t end)
{
	uint64_t count = 0;
	for (uint64_t i = from; i < end;) {
		uint64_t word = chunk[i / 64] >> i % 64, left = 64 - i % 64;
		uint64_t take = end - i < left ? end - i : left;
		if (take < 64)
			word &= ((uint64_t)1 << take) - 1;
		count += (uint64_t)__builtin_popcountll(word);
		i += take;
	}
	return count;
}

/* How many of [first, last] nobody has. */
static uint64_t missing_in(const struct fsck_sequences *s, uint64_t first, uint64_t last)
{
	uint64_t there = 0;
	uint64_t known = (uint64_t)s->chunk_count << CHUNK_SHIFT; /* nobody has one above */
	for (uint64_t at = first; at <= last && at < known;) {
		uint64_t chunk = at >> CHUNK_SHIFT, end = (chunk + 1) << CHUNK_SHIFT;
		end = end - 1 > last ? last + 1 : end;
		if (s->chunks[chunk])
			there += bits_in_chunk(
			    s->chunks[chunk], at % CHUNK_SEQUENCES, end - (chunk << CHUNK_SHIFT));
		at = end;
	}
	return last - first + 1 - there;
}

static int hole_order(const void *a, const void *b)
{
	const struct checkpoint_gap *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

/* Those of [from, last] outside of every hole; the first of them in *ret_at. */
static uint64_t unnamed(struct fsck_sequences *s, uint64_t from, uint64_t last, uint64_t *ret_at)
{
	uint64_t count = 0;
	*ret_at = 0;
	if (s->hole_count > 0)
		qsort(s->holes, s->hole_count, sizeof(s->holes[0]), hole_order);
	for (size_t i = 0; i <= s->hole_count && from <= last; i++) {
		uint64_t end = i < s->hole_count ? s->holes[i].first : last + 1;
		end = end > last + 1 ? last + 1 : end;
		uint64_t missing = end > from ? missing_in(s, from, end - 1) : 0;
		if (missing > 0 && *ret_at == 0)
			*ret_at = from;
		count += missing;
		if (i < s->hole_count && s->holes[i].last >= from)
			from = s->holes[i].last + 1;
	}
	return count;
}

/* Sequences in any of these ranges, which are put in order, that nobody has: where an end was given
 * up, other partitions have some. */
static uint64_t covered(const struct fsck_sequences *s, struct checkpoint_gap *gaps, size_t count)
{
	uint64_t sum = 0, from = 0;
	if (count > 0)
		qsort(gaps, count, sizeof(*gaps), hole_order);
	for (size_t i = 0; i < count; i++) {
		uint64_t first = gaps[i].first > from ? gaps[i].first : from;
		if (gaps[i].last < first)
			continue;
		sum += missing_in(s, first, gaps[i].last);
		from = gaps[i].last + 1;
	}
	return sum;
}

/* A burnt range is named by the catalog for each partition that it touches, and by the record until
 * then: it counts once. */
static enum err add_gaps(struct fsck *f)
{
	struct fsck_sequences *s = &f->sequences;
	size_t before = s->hole_count;
	size_t cursor = 0;
	const struct fsck_row *row;
	uint64_t first, last;
	while ((row = map_next(&f->rows, &cursor))) {
		enum row_kind kind = row_name_parse(row->key).kind;
		f->sequences.deleted |= kind == ROW_TRASH;
		if (kind == ROW_GAP && gap_row_parse(row->value, &first, &last) == ERR_OK)
			TRY(fsck_sequence_hole(f, first, last, 0));
		err_clear();
	}
	for (uint32_t i = 0; f->record_found && i < f->record.header.gap_count; i++) {
		const struct checkpoint_gap *g = &f->record.gaps[i];
		TRY(fsck_sequence_hole(f, g->first, g->last, 0));
	}
	s->named += covered(s, s->holes + before, s->hole_count - before);
	return ERR_OK;
}

/* What bad journal entries had must be in segments; else a start refuses, unless something that is
 * damaged says so. */
static void judge_rotten(struct fsck *f)
{
	struct fsck_sequences *s = &f->sequences;
	uint64_t at;
	for (size_t i = 0; i < s->rotten_count && !f->lossy; i++) {
		uint64_t lost = unnamed(s, s->rotten[i].first, s->rotten[i].last, &at);
		if (lost > 0)
			fsck_find(f, ERR_LOST_SUFFIX,
			    "first_sequence=%llu last_sequence=%llu missing=%llu "
			    "what=\"journal entry\"",
			    (unsigned long long)s->rotten[i].first,
			    (unsigned long long)s->rotten[i].last, (unsigned long long)lost);
	}
}

enum err fsck_sequences(struct fsck *f)
{
	struct fsck_sequences *s = &f->sequences;
	TRY(add_gaps(f));
	uint64_t at, all = s->last > 0 ? missing_in(s, 1, s->last) : 0,
	             lost = unnamed(s, 1, s->last, &at);
	judge_rotten(f);
	bool explained = s->deleted || f->bad || s->beyond > 0;
	if (s->twice > TWICE_LINES)
		fsck_find(f, ERR_DAMAGED, "sequences=%llu reason=\"given twice\"",
		    (unsigned long long)s->twice);
	if (lost > 0 && !explained)
		fsck_find(f, ERR_GAP,
		    "sequences=%llu behind=%llu reason=\"nobody has them, nothing names them, and "
		    "nothing was deleted\"",
		    (unsigned long long)lost, (unsigned long long)at);
	fsck_find(f, ERR_OK,
	    "sequences=%llu last=%llu missing=%llu in_holes=%llu named=%llu deleted_or_lost=%llu",
	    (unsigned long long)s->count, (unsigned long long)s->last, (unsigned long long)all,
	    (unsigned long long)(all - lost), (unsigned long long)s->named,
	    (unsigned long long)lost);
	return ERR_OK;
}

void fsck_sequences_release(struct fsck *f)
{
	for (size_t i = 0; i < f->sequences.chunk_count; i++)
		mem_free(f->sequences.chunks[i]);
	mem_free(f->sequences.chunks);
	mem_free(f->sequences.holes);
	mem_free(f->sequences.rotten);
	f->sequences = (struct fsck_sequences){0};
}
