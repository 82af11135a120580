/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's half of a scan: walking leased slices, merging them by sequence. See scan.h. */
#include "log/scan.h"
#include "log/batch.h"
#include "log/engine.h"
#include <stdio.h>

#define SCAN_BUFFERS_BYTES (64 * MIB) /* of all sources together */
#define SCAN_READ_MIN      (64 * KIB)
#define SCAN_READ_MAX      MIB
enum { SCAN_FRUGAL = 64 /* sources */ };

/* ---- life ------------------------------------------------------------------------------------ */

static void source_close_file(struct log_scan *scan, struct scan_source *s)
{
	if (s->fd >= 0 && io_close(scan->log->io, s->fd) != ERR_OK)
		diag(DIAG_WARN, "scan_close", "error=\"%s\"", err_chain());
	s->fd = -1;
}

void log_scan_close(struct log_scan *scan)
{
	if (!scan)
		return;
	loop_call(scan->log->loop, scan_lease_close, scan);
	for (size_t i = 0; i < scan->count; i++) {
		source_close_file(scan, &scan->sources[i]);
		segment_walk_release(&scan->sources[i].walk);
		mem_free(scan->sources[i].aborted);
	}
	cond_release(&scan->cond);
	mutex_release(&scan->mutex);
	mem_free(scan->sources);
	mem_free(scan->heap);
	mem_free(scan);
}

static void source_loaded(struct log_producers_load *w)
{
	struct scan_load *load = CONTAINER_OF(w, struct scan_load, wait);
	gate_open(&load->gate);
}

/* What was aborted in it must be known before it is read. */
static enum err source_load(struct log *log, const struct log_scan_source *source)
{
	struct scan_load load = {.log = log, .source = source, .wait.done = source_loaded};
	gate_init(&load.gate);
	loop_call(log->loop, scan_load_start, &load);
	loop_wait(log->loop, &load.gate);
	gate_release(&load.gate);
	return load.wait.err;
}

enum err log_scan_open(struct log *log, const struct log_scan_source *sources, size_t count,
    struct log_scan **ret_scan)
{
	struct log_scan *scan = mem_calloc(1, sizeof(*scan));
	if (!scan)
		return ERR_NOMEM;
	scan->log = log;
	scan->count = count;
	scan->limit = UINT64_MAX;
	scan->read_bytes = SCAN_BUFFERS_BYTES / (count ? count : 1);
	if (scan->read_bytes < SCAN_READ_MIN)
		scan->read_bytes = SCAN_READ_MIN;
	if (scan->read_bytes > SCAN_READ_MAX)
		scan->read_bytes = SCAN_READ_MAX;
	scan->loaded = count;
	scan->frugal = count > SCAN_FRUGAL;
	mutex_init(&scan->mutex);
	cond_init(&scan->cond);
	list_node_init(&scan->node);
	scan->sources = mem_calloc(count + 1, sizeof(*scan->sources));
	scan->heap = mem_calloc(count + 1, sizeof(*scan->heap)); /* + 1: calloc of nothing */
	if (!scan->sources || !scan->heap)
		scan->count = 0;
	for (size_t i = 0; i < scan->count; i++) {
		struct scan_source *s = &scan->sources[i];
		s->topic_id = sources[i].topic_id;
		s->partition = sources[i].partition;
		s->next_offset = sources[i].from_offset;
		s->number = (uint32_t)i;
		s->fd = -1;
		s->aborted_to = -1;
		segment_walk_init(&s->walk, log->io, -1, s->seed, scan->read_bytes);
	}
	enum err e = scan->count == count && scan->sources && scan->heap ? ERR_OK : ERR_NOMEM;
	for (size_t i = 0; e == ERR_OK && i < count; i++)
		e = source_load(log, &sources[i]);
	if (e == ERR_OK) {
		loop_call(log->loop, scan_lease_open, scan);
		scan->covered = 0; /* the first log_scan_next refreshes again and loads the heads */
	}
	for (size_t i = 0; e == ERR_OK && i < count; i++)
		e = scan->sources[i].err;
	if (e != ERR_OK) {
		log_scan_close(scan);
		return e;
	}
	*ret_scan = scan;
	return ERR_OK;
}

/* ---- one source ------------------------------------------------------------------------------ */

static enum err entry_of(
    struct log_scan *scan, struct scan_source *s, uint64_t number, struct index_entry *ret)
{
	struct scan_entry get = {.segment = s->segment, .number = number};
	char path[sizeof(s->path) + 8];
	uint8_t raw[INDEX_ENTRY_BYTES];
	int fd;
	loop_call(scan->log->loop, scan_entry_get, &get);
	if (get.err != ERR_AGAIN) {
		*ret = get.entry;
		return get.err;
	}
	snprintf(path, sizeof(path), "%s.idx", s->path);
	TRY(io_open(scan->log->io, path, IO_READONLY, &fd));
	enum err e = io_pread_all(
	    scan->log->io, fd, raw, sizeof(raw), INDEX_HEADER_BYTES + number * INDEX_ENTRY_BYTES);
	enum err closed = io_close(scan->log->io, fd);
	TRY(e);
	*ret = index_entry_decode(raw);
	return closed;
}

/* The entry that holds `offset` among those of the index file. */
static enum err find_in_file(struct log_scan *scan, struct scan_source *s, int64_t offset,
    struct index_entry *ret, uint64_t *ret_number)
{
	struct index_probe probe = {INDEX_BY_OFFSET, (uint64_t)offset};
	char path[sizeof(s->path) + 8];
	int fd;
	snprintf(path, sizeof(path), "%s.idx", s->path);
	TRY(io_open(scan->log->io, path, IO_READONLY, &fd));
	enum err e = index_find_file(scan->log->io, fd, s->file_count, probe, ret, ret_number);
	enum err closed = io_close(scan->log->io, fd);
	return e == ERR_OK ? closed : e;
}

/*
 * Where the index file says that next_offset is, if the frame there has it; else where the first
 * frame is. A frame that is damaged costs that walk too, and is met by it.
 */
static enum err source_look_up(struct log_scan *scan, struct scan_source *s)
{
	struct index_entry entry = {0};
	uint64_t number;
	enum err e = find_in_file(scan, s, s->next_offset, &entry, &number);
	if (e == ERR_NOMEM || e == ERR_LIMIT)
		return e; /* says nothing of the file */
	if (e == ERR_OK && entry.pos < s->end &&
	    segment_frame_holds(scan->log->io, s->fd, s->seed, entry.pos, s->next_offset)) {
		s->pos = entry.pos;
		return ERR_OK;
	}
	diag(DIAG_WARN, "index_bad", "path=%s.idx offset=%lld action=walk", s->path,
	    (long long)s->next_offset);
	err_clear();
	loop_call(scan->log->loop, scan_index_doubt, s->segment);
	s->pos = SEGMENT_HEADER_BYTES;
	return ERR_OK;
}

/* The first step on a new lease: the file, the position of next_offset. */
static enum err source_locate(struct log_scan *scan, struct scan_source *s)
{
	char path[sizeof(s->path) + 8];
	if (s->path[0] == '\0')
		return err_note(ERR_LIMIT, "data directory: path too long");
	source_close_file(scan, s);
	snprintf(path, sizeof(path), "%s.log", s->path);
	enum err e = io_open(scan->log->io, path, IO_READONLY, &s->fd);
	if (e == ERR_OK)
		e = segment_check_file(scan->log->io, s->fd, s->seed);
	if (e == ERR_NOT_FOUND)
		return err_note(ERR_SOURCE_GONE, "%s", path);
	if (s->fd < 0)
		return e;
	if (e != ERR_OK) /* of its header: the frames may be good */
		diag(DIAG_WARN, "scan_header", "path=%s error=\"%s\"", path, err_chain());
	err_clear();
	if (s->in_file)
		TRY(source_look_up(scan, s));
	segment_walk_file(&s->walk, s->fd, s->seed);
	segment_walk_range(&s->walk, s->pos <= s->end ? s->pos : s->end, s->end);
	s->located = true;
	return ERR_OK;
}

/*
 * The head is a hole up to `to_offset`. Where neither frame nor index tells its sequence it is the
 * least that it may have been; sequences ascend, so it is no less than what was returned already.
 */
static void source_hole(
    const struct log_scan *scan, struct scan_source *s, int64_t to_offset, uint64_t sequence)
{
	ASSERT(to_offset > s->next_offset);
	if (sequence == 0 && s->first_sequence > s->frame.sequence)
		sequence = s->first_sequence;
	else if (sequence == 0)
		sequence = s->frame.sequence + 1;
	if (sequence < scan->last)
		sequence = scan->last;
	s->frame = (struct frame){.sequence = sequence,
	    .base_offset = s->next_offset,
	    .last_offset_delta = (uint32_t)(to_offset - s->next_offset - 1)};
	s->damaged = true;
	s->batch = (struct bytes){0};
	s->next_offset = to_offset;
}

/*
 * The entries of the frame at which the walk has stopped and of the one behind it. ERR_NOT_FOUND:
 * the index does not say, or has rotted, too.
 */
static enum err skip_entries(struct log_scan *scan, struct scan_source *s,
    struct index_entry *ret_here, struct index_entry *ret_next)
{
	struct scan_entry get = {.segment = s->segment, .number = 0};
	loop_call(scan->log->loop, scan_entry_get, &get);
	/* by number: the entry whose pos is where the walk stopped */
	uint64_t low = 0, high = get.count;
	enum err e = ERR_OK;
	while (low < high && e == ERR_OK) {
		uint64_t number = low + (high - low) / 2;
		e = entry_of(scan, s, number, ret_here);
		if (ret_here->pos < s->walk.pos)
			low = number + 1;
		else
			high = number;
	}
	if (e == ERR_OK)
		e = entry_of(scan, s, low, ret_here);
	if (e == ERR_OK)
		e = entry_of(scan, s, low + 1, ret_next);
	bool good = e == ERR_OK && ret_here->pos == s->walk.pos && ret_next->pos > s->walk.pos &&
	            ret_next->pos < s->end && ret_next->base_offset > s->next_offset &&
	            ret_next->base_offset < s->end_offset;
	return good || (e != ERR_OK && e != ERR_EOF) ? e : ERR_NOT_FOUND;
}

/* The frame behind tells better what is missing than the index, if it verifies. */
static void skip_check(const struct log_scan *scan, const struct scan_source *s,
    struct index_entry *here, struct index_entry *next)
{
	struct frame f;
	uint8_t raw[FRAME_HEADER_BYTES];
	bool good = io_pread_all(scan->log->io, s->fd, raw, sizeof(raw), next->pos) == ERR_OK &&
	            frame_decode(raw, s->seed, &f) == ERR_OK && f.base_offset > s->next_offset;
	if (good)
		next->base_offset = f.base_offset;
	bool below = good && !(f.flags & FRAME_PAD) ? here->sequence < f.sequence
	                                            : here->sequence <= scan->covered;
	if (!below)
		here->sequence = 0; /* it is none that it can have had */
	err_clear();
}

/*
 * A bad header: the index knows where the next frame is and what is missing; without it, all the
 * rest of the segment is.
 */
static enum err source_skip(struct log_scan *scan, struct scan_source *s)
{
	struct index_entry here = {.base_offset = s->next_offset}, next;
	uint32_t to = s->end;
	int64_t to_offset = s->missing_to ? s->missing_to : s->end_offset;
	enum err e = skip_entries(scan, s, &here, &next);
	if (e == ERR_OK) {
		skip_check(scan, s, &here, &next);
		to = next.pos;
		to_offset = next.base_offset;
	} else if (e == ERR_NOT_FOUND) {
		if (here.pos != s->walk.pos || here.sequence > scan->covered)
			here.sequence = 0;
		err_clear();
	} else {
		return e; /* says nothing of the file: tried again */
	}
	segment_walk_range(&s->walk, to, s->end);
	if (to_offset <= s->next_offset)
		return ERR_EOF; /* nothing was there that anybody knows of */
	source_hole(scan, s, to_offset, here.sequence);
	return ERR_OK;
}

static bool batch_has(struct bytes batch, int attribute)
{
	struct batch_header h;
	return batch_header_read(batch, &h) == ERR_OK && (h.attributes & attribute) != 0;
}

/* The head is at or before `covered`: its transaction has ended. */
static bool head_is_aborted(const struct scan_source *s)
{
	struct batch_header h;
	if (s->damaged || s->aborted_count == 0 || batch_header_read(s->batch, &h) != ERR_OK ||
	    !(h.attributes & BATCH_ATTR_TRANSACTIONAL))
		return false;
	return txn_is_aborted(s->aborted, s->aborted_count, h.producer_id, s->frame.base_offset);
}

/* Makes the next frame the head, markers excepted. ERR_EOF: nothing more up to the lease's end. */
static enum err source_step(struct log_scan *scan, struct scan_source *s)
{
	uint32_t pos;
	s->damaged = false;
	for (;;) {
		if (!s->segment)
			return ERR_EOF;
		if (!s->located)
			TRY(source_locate(scan, s));
		segment_walk_range(&s->walk, s->walk.pos, s->end);
		enum err e = segment_walk_next(&s->walk, &s->frame, &pos, &s->batch);
		if (e == ERR_EOF && s->more && s->next_offset < s->missing_to) {
			if (s->next_offset < s->end_offset)
				s->next_offset = s->end_offset;
			source_hole(scan, s, s->missing_to, 0);
			return ERR_OK;
		}
		if (e == ERR_EOF && s->more) {
			if (s->next_offset < s->end_offset)
				s->next_offset = s->end_offset;
			loop_call(scan->log->loop, scan_lease_next, s);
			TRY(s->err);
			continue;
		}
		if (e == ERR_CORRUPT && s->walk.bad_header) {
			e = source_skip(scan, s);
			if (e == ERR_EOF)
				continue;
			return e;
		}
		if (e == ERR_IO)
			loop_call(scan->log->loop, scan_lease_unread, s);
		if (e != ERR_OK && e != ERR_CORRUPT)
			return e;
		int64_t next = s->frame.base_offset + (int64_t)s->frame.last_offset_delta + 1;
		if (next <= s->next_offset)
			continue; /* before the place asked for */
		s->next_offset = next;
		if (e == ERR_OK && batch_has(s->batch, BATCH_ATTR_CONTROL))
			continue;
		s->damaged = e == ERR_CORRUPT;
		return ERR_OK;
	}
}

/* ---- the heap -------------------------------------------------------------------------------- */

static void heap_down(struct log_scan *scan, size_t at)
{
	struct scan_source **h = scan->heap;
	for (;;) {
		size_t left = 2 * at + 1, right = left + 1, least = at;
		if (left < scan->heap_count && h[left]->frame.sequence < h[least]->frame.sequence)
			least = left;
		if (right < scan->heap_count && h[right]->frame.sequence < h[least]->frame.sequence)
			least = right;
		if (least == at)
			return;
		struct scan_source *swap = h[at];
		h[at] = h[least];
		h[least] = swap;
		at = least;
	}
}

static void heap_push(struct log_scan *scan, struct scan_source *s)
{
	struct scan_source **h = scan->heap;
	size_t at = scan->heap_count++;
	h[at] = s;
	s->in_heap = true;
	while (at > 0 && h[(at - 1) / 2]->frame.sequence > h[at]->frame.sequence) {
		struct scan_source *swap = h[at];
		h[at] = h[(at - 1) / 2];
		h[(at - 1) / 2] = swap;
		at = (at - 1) / 2;
	}
}

/* Nothing to read for now: with many sources none keeps what it does not need. */
static void source_rest(struct log_scan *scan, struct scan_source *s)
{
	if (!scan->frugal || !s->located)
		return;
	segment_walk_release(&s->walk);
	source_close_file(scan, s);
	s->located = false;
	s->in_file = false;
	s->pos = s->walk.pos;
}

/* The head that was returned gives way to its source's next one. */
static enum err scan_advance(struct log_scan *scan)
{
	struct scan_source *s = scan->returned;
	scan->returned = NULL;
	if (!s)
		return ERR_OK;
	ASSERT(scan->heap_count > 0 && scan->heap[0] == s);
	enum err e = source_step(scan, s);
	if (e == ERR_EOF) {
		scan->heap[0] = scan->heap[--scan->heap_count];
		s->in_heap = false;
		source_rest(scan, s);
	} else if (e != ERR_OK) {
		scan->returned = s; /* tried again at the next call */
		if (s->err != ERR_OK)
			scan->err = s->err;
		return e;
	}
	heap_down(scan, 0);
	return ERR_OK;
}

/* Looks for a head of each source after a refresh. Goes on where an error stopped it. */
static enum err scan_load(struct log_scan *scan)
{
	for (; scan->loaded < scan->count; scan->loaded++) {
		struct scan_source *s = &scan->sources[scan->loaded];
		if (s->err != ERR_OK) {
			scan->err = s->err;
			return err_note(s->err, "source %u partition %d", s->number, s->partition);
		}
		if (s->in_heap || !s->segment || (s->located && s->walk.pos >= s->end && !s->more))
			continue;
		enum err e = source_step(scan, s);
		if (e == ERR_OK)
			heap_push(scan, s);
		else if (e != ERR_EOF)
			return e;
		else
			source_rest(scan, s);
	}
	return ERR_OK;
}

/* Everything up to `covered` has been returned. Is there more? */
static bool scan_refresh(struct log_scan *scan)
{
	uint64_t before = scan->covered;
	scan->stable = before;
	loop_call(scan->log->loop, scan_lease_refresh, scan);
	scan->loaded = 0;
	return scan->covered > before;
}

/* ---- public ---------------------------------------------------------------------------------- */

static enum err scan_return(struct log_scan *scan, struct log_batch_view *ret_view)
{
	struct scan_source *s = scan->heap[0];
	int64_t end = s->frame.base_offset + (int64_t)s->frame.last_offset_delta + 1;
	*ret_view = (struct log_batch_view){
	    .topic_id = s->topic_id,
	    .source = s->number,
	    .partition = s->partition,
	    .sequence = s->frame.sequence,
	    .base_offset = s->frame.base_offset,
	    .end_offset = end,
	    .append_time_ns = s->frame.append_time_ns,
	    .principal = s->frame.principal,
	    .batch = s->damaged ? (struct bytes){0} : s->batch,
	};
	scan->returned = s;
	scan->last = s->frame.sequence;
	if (!s->damaged)
		return ERR_OK;
	return err_note(ERR_CORRUPT, "source %u partition %d: offsets %lld to %lld do not verify",
	    s->number, s->partition, (long long)s->frame.base_offset, (long long)end - 1);
}

/* Brings the next batch at or before S_stable and the limit to the top. ERR_AGAIN: there is none.
 */
static enum err scan_step(struct log_scan *scan, uint64_t *ret_stable)
{
	TRY(scan_advance(scan));
	TRY(scan_load(scan));
	/*
	 * A head behind `covered` came with a segment that was leased since, and other sources may
	 * have batches before it that their leases do not reach yet; or it must wait for the end of
	 * a transaction.
	 */
	while (scan->heap_count == 0 || scan->heap[0]->frame.sequence > scan->covered) {
		bool more = scan_refresh(scan);
		TRY(scan_load(scan)); /* also when D stands still: a source may be gone */
		if (more)
			continue;
		*ret_stable = scan->stable < scan->limit ? scan->stable : scan->limit;
		return ERR_AGAIN;
	}
	if (scan->heap[0]->frame.sequence > scan->limit) {
		scan->stable = scan->limit;
		*ret_stable = scan->limit;
		return ERR_AGAIN;
	}
	return ERR_OK;
}

enum err log_scan_next(struct log_scan *scan, struct log_batch_view *ret_view, uint64_t *ret_stable)
{
	TRY(scan->err);
	TRY(scan_step(scan, ret_stable));
	while (head_is_aborted(scan->heap[0])) {
		scan->returned = scan->heap[0];
		TRY(scan_step(scan, ret_stable));
	}
	return scan_return(scan, ret_view);
}

void log_scan_limit(struct log_scan *scan, uint64_t last_sequence)
{
	scan->limit = last_sequence;
}

/* On the loop's own thread (sim) waiting means turning the loop. */
static bool wait_turning(struct log_scan *scan, int64_t timeout_ns)
{
	struct log *log = scan->log;
	int64_t due = io_clock_ns(log->io, IO_CLOCK_MONOTONIC) + timeout_ns;
	while (scan->told <= scan->covered && !scan->woken) {
		int64_t left = due - io_clock_ns(log->io, IO_CLOCK_MONOTONIC);
		if (left <= 0 || loop_step(log->loop, left) != ERR_OK)
			break;
	}
	bool more = scan->told > scan->covered;
	scan->woken = false;
	return more;
}

bool log_scan_wait(struct log_scan *scan, int64_t timeout_ns)
{
	if (loop_is_owner(scan->log->loop))
		return wait_turning(scan, timeout_ns);
	int64_t due = io_clock_ns(scan->log->io, IO_CLOCK_MONOTONIC) + timeout_ns;
	mutex_lock(&scan->mutex);
	while (scan->told <= scan->covered && !scan->woken) {
		int64_t left = due - io_clock_ns(scan->log->io, IO_CLOCK_MONOTONIC);
		if (left <= 0 || !cond_wait_for(&scan->cond, &scan->mutex, left))
			break;
	}
	bool more = scan->told > scan->covered;
	scan->woken = false;
	mutex_unlock(&scan->mutex);
	return more;
}

void log_scan_wake(struct log_scan *scan)
{
	mutex_lock(&scan->mutex);
	scan->woken = true;
	cond_signal(&scan->cond);
	mutex_unlock(&scan->mutex);
}
