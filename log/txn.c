/* SPDX-License-Identifier: Apache-2.0 */
/* Open and aborted transactions of one partition. See txn.h for the states and invariants. */
#include "log/txn.h"

static struct bytes txn_key(const int64_t *producer_id)
{
	return bytes_of(producer_id, sizeof(*producer_id));
}

/* Its open transaction; one that is only promised is none. */
static struct txn_open *txn_find(const struct txns *t, int64_t producer_id)
{
	struct txn_open *o = map_get(&t->by_id, txn_key(&producer_id));
	return o && list_linked(&o->node) ? o : NULL;
}

const struct txn_open *txns_open_of(const struct txns *t, int64_t producer_id)
{
	return txn_find(t, producer_id);
}

void txns_init(struct txns *t)
{
	*t = (struct txns){0};
	map_init(&t->by_id);
	list_init(&t->open);
}

void txns_release(struct txns *t)
{
	struct txn_open *o;
	size_t cursor = 0;
	while ((o = map_next(&t->by_id, &cursor)))
		mem_free(o);
	map_release(&t->by_id);
	mem_free(t->aborted);
	txns_init(t);
}

static void forget_open(struct txns *t, struct txn_open *o)
{
	map_remove(&t->by_id, txn_key(&o->producer_id));
	mem_free(o);
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Room for one more in the list of aborted ones than could come to be there now. */
static enum err reserve(struct txns *t)
{
	size_t need = t->aborted_count + t->by_id.count + 1;
	if (need <= t->aborted_capacity)
		return ERR_OK;
	size_t capacity = t->aborted_capacity ? 2 * t->aborted_capacity : 16;
	while (capacity < need)
		capacity *= 2;
	struct txn_aborted *grown = mem_realloc(t->aborted, capacity * sizeof(*grown));
	if (!grown)
		return ERR_NOMEM;
	t->aborted = grown;
	t->aborted_capacity = capacity;
	return ERR_OK;
}

enum err txns_promise(struct txns *t, int64_t producer_id)
{
	TRY(reserve(t));
	if (map_get(&t->by_id, txn_key(&producer_id)))
		return ERR_OK;
	struct txn_open *o = mem_calloc(1, sizeof(*o));
	if (!o)
		return ERR_NOMEM;
	o->producer_id = producer_id;
	list_node_init(&o->node);
	enum err e = map_put(&t->by_id, txn_key(&o->producer_id), o);
	if (e != ERR_OK)
		mem_free(o);
	return e;
}

void txns_unpromise(struct txns *t, int64_t producer_id)
{
	struct txn_open *o = map_get(&t->by_id, txn_key(&producer_id));
	if (o && !list_linked(&o->node))
		forget_open(t, o);
}

static enum err check_room(struct txns *t, int64_t log_start)
{
	if (t->by_id.count >= TXN_OPEN_MAX)
		return err_note(ERR_POLICY_VIOLATION,
		    "the partition has %d open transactions, which is the limit", TXN_OPEN_MAX);
	if (t->aborted_count + t->by_id.count >= TXN_ABORTED_MAX)
		txns_prune(t, log_start);
	if (t->aborted_count + t->by_id.count >= TXN_ABORTED_MAX)
		return err_note(ERR_POLICY_VIOLATION,
		    "the partition keeps %d aborted transactions, which is the limit",
		    TXN_ABORTED_MAX);
	return ERR_OK;
}

enum err txns_check(struct txns *t, const struct batch_header *h, int64_t log_start)
{
	ASSERT(h->producer_id >= 0);
	if (h->attributes & BATCH_ATTR_CONTROL)
		return ERR_OK; /* room was made when its transaction opened */
	const struct txn_open *open = txn_find(t, h->producer_id);
	if (!(h->attributes & BATCH_ATTR_TRANSACTIONAL))
		return open ? err_note(ERR_INVALID_TXN_STATE,
		                  "producer %lld writes outside of its open transaction",
		                  (long long)h->producer_id)
		            : ERR_OK;
	bool promised = !open && map_get(&t->by_id, txn_key(&h->producer_id));
	return promised || (open && !open->unsure) ? ERR_OK : check_room(t, log_start);
}

/* Ended as aborted, at `offset` for want of its marker's; the list stays in its order. */
static void end_unsure(struct txns *t, struct txn_open *o, int64_t offset)
{
	size_t at = txn_aborted_from(t->aborted, t->aborted_count, offset);
	ASSERT(t->aborted_count < t->aborted_capacity && offset >= o->first_offset);
	memmove(
	    t->aborted + at + 1, t->aborted + at, (t->aborted_count - at) * sizeof(t->aborted[0]));
	t->aborted[at] = (struct txn_aborted){
	    .producer_id = o->producer_id,
	    .first_offset = o->first_offset,
	    .last_offset = offset,
	    .stable_offset = 0, /* others that end later may have begun before it */
	};
	t->aborted_count++;
	t->guessed++;
	list_remove(&o->node);
}

void txns_note(struct txns *t, const struct batch_header *h, uint64_t sequence, int64_t append_ns)
{
	bool opens = (h->attributes & (BATCH_ATTR_TRANSACTIONAL | BATCH_ATTR_CONTROL)) ==
	             BATCH_ATTR_TRANSACTIONAL;
	if (!opens)
		return;
	t->used = true;
	struct txn_open *o = map_get(&t->by_id, txn_key(&h->producer_id));
	ASSERT(o);
	if (list_linked(&o->node) && !o->unsure)
		return;
	if (list_linked(&o->node))
		end_unsure(t, o, h->base_offset - 1);
	o->unsure = false;
	o->epoch = h->producer_epoch;
	o->first_offset = h->base_offset;
	o->first_sequence = sequence;
	o->started_ns = append_ns;
	o->first_bytes = 0;
	const struct txn_open *newest = txns_newest(t);
	ASSERT(!newest || newest->first_offset < o->first_offset);
	list_push_back(&t->open, &o->node);
}

/* ---- ending ---------------------------------------------------------------------------------- */

bool txns_end(struct txns *t, const struct batch_marker *m, int64_t offset)
{
	struct txn_open *o = txn_find(t, m->producer_id);
	if (!o)
		return false;
	list_remove(&o->node);
	if (!m->commit) {
		ASSERT(t->aborted_count < t->aborted_capacity);
		t->aborted[t->aborted_count++] = (struct txn_aborted){
		    .producer_id = o->producer_id,
		    .first_offset = o->first_offset,
		    .last_offset = offset,
		    .stable_offset = txns_stable_end(t, offset + 1),
		};
	}
	forget_open(t, o);
	return true;
}

/* ---- a load ---------------------------------------------------------------------------------- */

void txns_unsure(struct txns *t)
{
	LIST_EACH (&t->open, n, next)
		CONTAINER_OF(n, struct txn_open, node)->unsure = true;
}

/* What was guessed of a producer from `offset` on is withdrawn. */
static void withdraw(struct txns *t, int64_t producer_id, int64_t offset)
{
	size_t kept = 0;
	for (size_t i = 0; i < t->aborted_count; i++) {
		const struct txn_aborted *a = &t->aborted[i];
		if (a->producer_id != producer_id || a->first_offset < offset)
			t->aborted[kept++] = *a;
	}
	t->guessed -= t->aborted_count - kept < t->guessed ? t->aborted_count - kept : t->guessed;
	t->aborted_count = kept;
}

void txns_end_unknown(struct txns *t, const struct txns *known, int64_t end)
{
	LIST_EACH (&t->open, n, next) {
		struct txn_open *o = CONTAINER_OF(n, struct txn_open, node);
		const struct txn_open *k = txn_find(known, o->producer_id);
		if (k && k->first_offset == o->first_offset)
			continue;
		if (k && k->first_offset < o->first_offset) { /* it was read when it was good */
			withdraw(t, o->producer_id, k->first_offset);
			continue;
		}
		end_unsure(t, o, k ? k->first_offset - 1 : end - 1);
		forget_open(t, o);
	}
}

enum err txns_load(struct txns *t, const struct batch_header *h, struct bytes batch,
    uint64_t sequence, int64_t append_ns)
{
	struct batch_marker m;
	if (h->attributes & BATCH_ATTR_CONTROL) {
		if (batch_marker_read(batch, &m))
			txns_end(t, &m, h->base_offset);
		return ERR_OK;
	}
	if (!(h->attributes & BATCH_ATTR_TRANSACTIONAL))
		return ERR_OK;
	TRY(txns_promise(t, h->producer_id));
	txns_note(t, h, sequence, append_ns);
	return ERR_OK;
}

enum err txns_take_aborted(struct txns *t, struct txns *from)
{
	ASSERT(t->aborted_count == 0);
	mem_free(t->aborted);
	t->aborted = from->aborted;
	t->aborted_count = from->aborted_count;
	t->aborted_capacity = from->aborted_capacity;
	t->used |= from->used || from->by_id.count > 0;
	from->aborted = NULL;
	from->aborted_count = from->aborted_capacity = 0;
	return reserve(t);
}

void txns_forget_aborted(struct txns *t)
{
	t->aborted_count = 0;
}

void txns_prune(struct txns *t, int64_t log_start)
{
	size_t from = txn_aborted_from(t->aborted, t->aborted_count, log_start);
	if (from == 0)
		return;
	t->aborted_count -= from;
	memmove(t->aborted, t->aborted + from, t->aborted_count * sizeof(t->aborted[0]));
}

size_t txns_drop_aborted(struct txns *t, const int64_t *offsets, size_t count)
{
	size_t kept = 0, at = 0;
	for (size_t i = 0; i < t->aborted_count; i++) {
		while (at < count && offsets[at] < t->aborted[i].last_offset)
			at++;
		if (at < count && offsets[at] == t->aborted[i].last_offset)
			continue;
		t->aborted[kept++] = t->aborted[i];
	}
	size_t dropped = t->aborted_count - kept;
	t->aborted_count = kept;
	return dropped;
}

int64_t txns_stable_end(const struct txns *t, int64_t end)
{
	const struct txn_open *oldest = txns_oldest(t);
	return oldest && oldest->first_offset < end ? oldest->first_offset : end;
}

/* ---- lookups --------------------------------------------------------------------------------- */

size_t txn_aborted_from(const struct txn_aborted *list, size_t count, int64_t offset)
{
	size_t low = 0, high = count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (list[mid].last_offset < offset)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

bool txn_is_aborted(
    const struct txn_aborted *list, size_t count, int64_t producer_id, int64_t offset)
{
	for (size_t i = txn_aborted_from(list, count, offset); i < count; i++) {
		if (list[i].producer_id == producer_id && list[i].first_offset <= offset)
			return true;
		if (list[i].stable_offset > offset)
			break;
	}
	return false;
}

/* ---- snapshot -------------------------------------------------------------------------------- */

void txns_encode(const struct txns *t, struct writer *out)
{
	uint32_t open = 0;
	LIST_EACH (&t->open, n, next)
		open++;
	write_u32_le(out, open);
	write_u32_le(out, (uint32_t)t->aborted_count);
	LIST_EACH (&t->open, n, next) {
		const struct txn_open *o = CONTAINER_OF(n, struct txn_open, node);
		write_u64_le(out, (uint64_t)o->producer_id);
		write_u64_le(out, (uint64_t)o->first_offset);
		write_u64_le(out, o->first_sequence);
		write_u64_le(out, (uint64_t)o->started_ns);
		write_u16_le(out, (uint16_t)o->epoch);
		write_u16_le(out, 0);
		write_u32_le(out, 0);
	}
	for (size_t i = 0; i < t->aborted_count; i++) {
		write_u64_le(out, (uint64_t)t->aborted[i].producer_id);
		write_u64_le(out, (uint64_t)t->aborted[i].first_offset);
		write_u64_le(out, (uint64_t)t->aborted[i].last_offset);
		write_u64_le(out, (uint64_t)t->aborted[i].stable_offset);
	}
}

static enum err decode_open(struct reader *r, struct txns *t, int64_t *last_offset)
{
	struct batch_header h = {.attributes = BATCH_ATTR_TRANSACTIONAL};
	h.producer_id = (int64_t)read_u64_le(r);
	h.base_offset = (int64_t)read_u64_le(r);
	uint64_t sequence = read_u64_le(r);
	int64_t started_ns = (int64_t)read_u64_le(r);
	h.producer_epoch = (int16_t)read_u16_le(r);
	bool zero = bytes_zero(read_bytes(r, 6));
	if (r->bad || !zero || h.producer_id < 0 || h.base_offset <= *last_offset)
		return err_note(ERR_CORRUPT, "snapshot: impossible open transaction");
	*last_offset = h.base_offset;
	if (!t)
		return ERR_OK;
	if (txn_find(t, h.producer_id))
		return err_note(ERR_CORRUPT, "snapshot: a producer with two transactions");
	TRY(txns_promise(t, h.producer_id));
	txns_note(t, &h, sequence, started_ns);
	return ERR_OK;
}

static enum err decode_aborted(struct reader *r, struct txns *t, int64_t *last_offset)
{
	struct txn_aborted a = {.producer_id = (int64_t)read_u64_le(r)};
	a.first_offset = (int64_t)read_u64_le(r);
	a.last_offset = (int64_t)read_u64_le(r);
	a.stable_offset = (int64_t)read_u64_le(r);
	/* guessed ones (X6) end where no marker is: at a place of others, or where they began */
	if (r->bad || a.producer_id < 0 || a.first_offset < 0 || a.last_offset < *last_offset ||
	    a.first_offset > a.last_offset)
		return err_note(ERR_CORRUPT, "snapshot: impossible aborted transaction");
	*last_offset = a.last_offset;
	if (!t)
		return ERR_OK;
	TRY(reserve(t));
	t->aborted[t->aborted_count++] = a;
	t->used = true;
	return ERR_OK;
}

enum err txns_decode(struct reader *r, struct txns *t)
{
	uint32_t open = read_u32_le(r), aborted = read_u32_le(r);
	int64_t last = -1;
	if (r->bad || open > TXN_OPEN_MAX || aborted > TXN_ABORTED_MAX)
		return err_note(ERR_CORRUPT, "snapshot: impossible counts of transactions");
	for (uint32_t i = 0; i < open; i++)
		TRY(decode_open(r, t, &last));
	last = -1;
	for (uint32_t i = 0; i < aborted; i++)
		TRY(decode_aborted(r, t, &last));
	return ERR_OK;
}
