/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A partition and its transactions: what an append checks and notes, what the end of a round ends,
 * what a start must know before anything is served, and what others may ask.
 */
#include "log/engine.h"
#include "log/mend.h"
#include "log/recovery.h"

/* ---- appending ------------------------------------------------------------------------------- */

enum err partition_check_producer(
    struct log_partition *p, const struct batch_header *h, struct producer_batch *ret_original)
{
	ASSERT(!p->frozen); /* its appends wait */
	TRY(producers_check(&p->producers, h, ret_original));
	if (producers_would_begin(&p->producers, h))
		TRY(refusals_check(&p->refusals, h));
	return txns_check(&p->txns, h, p->log_start);
}

static bool opens_txn(const struct batch_header *h)
{
	return (h->attributes & (BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL)) ==
	       BATCH_ATTR_TRANSACTIONAL;
}

enum err partition_promise_producer(struct log_partition *p, const struct batch_header *h)
{
	ASSERT(!p->frozen);
	enum err e = producers_reserve(&p->producers, h->producer_id);
	if (e == ERR_OK && opens_txn(h))
		e = txns_promise(&p->txns, h->producer_id);
	if (e != ERR_OK)
		partition_unpromise_producer(p, h);
	return e;
}

void partition_unpromise_producer(struct log_partition *p, const struct batch_header *h)
{
	ASSERT(!p->frozen);
	txns_unpromise(&p->txns, h->producer_id);
	producers_unreserve(&p->producers, h->producer_id);
}

void partition_note_producer(
    struct log_partition *p, const struct batch_header *h, uint64_t sequence, int64_t append_ns)
{
	bool stamped = p->topic->config.timestamp_type == LOG_TIME_APPEND;
	ASSERT(!p->frozen);
	producers_note(&p->producers, h, sequence, append_ns, stamped ? h->max_timestamp_ms : -1);
	refusals_clear(&p->refusals, h->producer_id);
	txns_note(&p->txns, h, sequence, append_ns);
	struct txn_open *newest = txns_newest(&p->txns);
	if (newest && newest->first_sequence == sequence)
		newest->first_bytes = p->stamped_bytes;
	if (!list_linked(&p->txn_node) && p->state == PARTITION_OPEN && txns_oldest(&p->txns))
		list_push_back(&p->log->txn_partitions, &p->txn_node);
}

void partition_note_refused(struct log_partition *p, struct bytes batch, enum err err)
{
	struct batch_header h;
	if (p->state != PARTITION_OPEN || err == ERR_CORRUPT_MESSAGE ||
	    err == ERR_MESSAGE_TOO_LARGE || err == ERR_INVALID_TOPIC)
		return;
	size_t mark = err_mark();
	if (batch_header_read(batch, &h) == ERR_OK && h.producer_id >= 0)
		refusals_note(&p->refusals, &h);
	err_rewind(mark);
}

void partition_note_marker(struct log_partition *p, struct bytes batch, int64_t offset)
{
	struct batch_marker m;
	ASSERT(!p->frozen); /* a roll waits for markers that are not durable */
	ASSERT(
	    partition_aborted_known(p)); /* a marker waits for it as every producer's batch does */
	if (!batch_marker_read(batch, &m) || !txns_end(&p->txns, &m, offset))
		return;
	if (!txns_oldest(&p->txns))
		list_remove(&p->txn_node);
	partition_wake(p);
}

/* ---- at a start ------------------------------------------------------------------------------ */

/* Where to begin in `s`, open as `log`; its first frame when the index does not help. */
static uint32_t walk_from(struct recovery *r, struct segment *s, int log, int64_t offset)
{
	struct index_probe probe = {INDEX_BY_OFFSET, (uint64_t)offset};
	struct index_entry entry;
	uint64_t number;
	char path[LOG_PATH_MAX] = "", name[SEGMENT_NAME_BYTES];
	int fd;
	if (offset <= s->base_offset)
		return SEGMENT_HEADER_BYTES;
	enum err e = index_find_memory(&s->index, probe, &entry, &number);
	if (e == ERR_AGAIN) {
		e = partition_path(s->partition, segment_file_name(s, ".idx", name), path);
		if (e == ERR_OK)
			e = io_open(r->log->io, path, IO_READONLY, &fd);
		if (e == ERR_OK) {
			e = index_find_file(
			    r->log->io, fd, s->index.file_count, probe, &entry, &number);
			enum err closed = io_close(r->log->io, fd);
			e = e == ERR_OK ? closed : e;
		}
	}
	if (e != ERR_OK && e != ERR_NOT_FOUND) /* all its frames are read then */
		diag(DIAG_WARN, "index_read", "path=%s error=\"%s\"", path, err_chain());
	err_clear();
	if (e == ERR_OK && entry.pos < s->size &&
	    segment_frame_holds(r->log->io, log, s->seed, entry.pos, offset))
		return entry.pos;
	return SEGMENT_HEADER_BYTES;
}

static enum err walk_segment(
    struct recovery *r, struct log_partition *p, struct segment *s, int64_t offset)
{
	struct scrub_piece where = {.io = r->log->io,
	    .journal_dir = r->log->journal_dir,
	    .topic_id = p->key.topic_id,
	    .partition = p->key.partition,
	    .base_offset = s->base_offset,
	    .seed = s->seed,
	    .end = s->size};
	char name[SEGMENT_NAME_BYTES];
	struct mend_walk m;
	struct batch_header h;
	struct frame f;
	struct bytes batch;
	struct around around;
	uint32_t pos;
	int fd;
	TRY(partition_path(p, segment_file_name(s, ".log", name), where.path));
	TRY(io_open(r->log->io, where.path, IO_READONLY, &fd));
	where.pos = walk_from(r, s, fd, offset);
	mend_walk_init(&m, &where, fd);
	recovery_around(s, &around);
	m.walk.around = &around;
	enum err e = ERR_OK;
	while (e == ERR_OK || e == ERR_CORRUPT) {
		e = mend_walk_next(&m, &f, &pos, &batch);
		if (e == ERR_CORRUPT && mend_walk_may_be_marker(&m, &f))
			txns_unsure(&p->txns);
		if (e == ERR_OK && f.base_offset >= offset &&
		    batch_header_read(batch, &h) == ERR_OK && h.producer_id >= 0) {
			h.base_offset = f.base_offset;
			e = txns_load(&p->txns, &h, batch, f.sequence, f.append_time_ns);
		}
	}
	mend_walk_release(&m);
	enum err closed = io_close(r->log->io, fd);
	return e == ERR_EOF ? closed : e;
}

enum err recovery_transactions(struct recovery *r, struct log_partition *p, int64_t from)
{
	if (from == INT64_MAX)
		return ERR_OK;
	LIST_EACH (&p->segments, n, next) {
		struct segment *s = CONTAINER_OF(n, struct segment, node);
		if (s->end_offset > from && s->size > SEGMENT_HEADER_BYTES)
			TRY(walk_segment(r, p, s, from));
	}
	p->txns.used = true;
	txns_forget_aborted(
	    &p->txns); /* of these it saw a part only: they come with the producers */
	return ERR_OK;
}

/* ---- what others may know -------------------------------------------------------------------- */

static struct log_txn txn_of(const struct log_partition *p, const struct txn_open *o)
{
	return (struct log_txn){
	    .topic = p->topic,
	    .partition = p->key.partition,
	    .producer_id = o->producer_id,
	    .producer_epoch = o->epoch,
	    .first_offset = o->first_offset,
	    .first_sequence = o->first_sequence,
	    .started_ns = o->started_ns,
	};
}

bool log_txn_oldest(const struct log *log, struct log_txn *ret_txn)
{
	const struct txn_open *oldest = NULL;
	loop_assert_owner(log->loop);
	LIST_EACH (&log->txn_partitions, n, next) {
		const struct log_partition *p = CONTAINER_OF(n, struct log_partition, txn_node);
		const struct txn_open *o = txns_oldest(&p->txns);
		ASSERT(o);
		if (!oldest || o->first_sequence < oldest->first_sequence) {
			oldest = o;
			*ret_txn = txn_of(p, o);
		}
	}
	return oldest != NULL;
}

bool log_txn_open(const struct log_partition *p, int64_t producer_id, struct log_txn *ret_txn)
{
	loop_assert_owner(p->log->loop);
	const struct txn_open *o = txns_open_of(&p->txns, producer_id);
	if (o)
		*ret_txn = txn_of(p, o);
	return o != NULL;
}

uint64_t log_readable_bytes(const struct log_partition *p, bool committed)
{
	loop_assert_owner(p->log->loop);
	const struct txn_open *oldest = committed ? txns_oldest(&p->txns) : NULL;
	bool behind = oldest && oldest->first_bytes < p->visible_bytes;
	return behind ? oldest->first_bytes : p->visible_bytes;
}

bool log_producers_load(struct log_partition *p, struct log_producers_load *load)
{
	loop_assert_owner(p->log->loop);
	if (p->producers.loaded || p->state != PARTITION_OPEN)
		return true;
	partition_load_and(p, load);
	return false;
}

bool log_producer_next(
    const struct log_partition *p, size_t *cursor, struct log_producer *ret_producer)
{
	const struct producer *of;
	while ((of = producers_next(&p->producers, cursor))) {
		if (of->epoch < 0)
			continue; /* made room for, but never accepted */
		*ret_producer = (struct log_producer){
		    .producer_id = of->id,
		    .producer_epoch = of->epoch,
		    .last_sequence = of->count ? of->batch[of->count - 1].last_sequence : -1,
		    .last_ns = of->last_ns,
		};
		return true;
	}
	return false;
}

/* ---- for reads ------------------------------------------------------------------------------- */

/* Is the batch at `offset` among those read? They ascend. */
static bool read_has(const struct log_read *req, int64_t offset)
{
	size_t low = 0, high = req->batch_count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int64_t base = batch_peek(req->batches[mid].ptr).base_offset;
		if (base == offset)
			return true;
		if (base < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}

/*
 * Has a transaction that was aborted a batch among those read? Compaction takes the marker when all
 * batches are gone: a client that was told of it would wait for the marker, and pass over what the
 * producer has committed since.
 */
static bool read_concerns(const struct log_read *req, const struct txn_aborted *a)
{
	if (a->first_offset >= req->next_offset)
		return false;
	return a->last_offset >= req->next_offset || read_has(req, a->last_offset);
}

enum err partition_read_aborted(struct log_read *req)
{
	const struct txns *t = &req->partition->txns;
	size_t from = txn_aborted_from(t->aborted, t->aborted_count, req->offset), end = from;
	ASSERT(partition_aborted_known(req->partition));
	while (end < t->aborted_count && req->batch_count > 0) {
		const struct txn_aborted *a = &t->aborted[end++];
		req->aborted_count += read_concerns(req, a);
		if (a->stable_offset >= req->next_offset)
			break;
	}
	if (req->aborted_count == 0)
		return ERR_OK;
	req->aborted = mem_alloc(req->aborted_count * sizeof(*req->aborted));
	if (!req->aborted)
		return ERR_NOMEM;
	for (size_t i = from, n = 0; i < end; i++) {
		const struct txn_aborted *a = &t->aborted[i];
		if (read_concerns(req, a))
			req->aborted[n++] = (struct log_aborted){a->producer_id, a->first_offset};
	}
	return ERR_OK;
}
