/* SPDX-License-Identifier: Apache-2.0 */
/* A partition directory as Kafka writes it. See export.h. */
#include "log/export.h"
#include <stdio.h>

#define EXPORT_INDEX_INTERVAL ((uint64_t)4096) /* Kafka: index.interval.bytes */
#define EXPORT_WRITE_BYTES    MIB

struct export_producer {
	int64_t id; /* first: the map's key */
	int16_t epoch;
	int32_t last_sequence, offset_delta, coordinator_epoch;
	int64_t last_offset, timestamp_ms;
	int64_t transaction; /* its first offset, -1 = none is open */
};

enum err export_part_open(
    struct export_part *e, struct io *io, const char *dir, uint64_t segment_bytes, int64_t start)
{
	*e = (struct export_part){
	    .io = io, .segment_bytes = segment_bytes, .fd = -1, .next_offset = start};
	writer_init(&e->log, SIZE_MAX);
	writer_init(&e->index, SIZE_MAX);
	writer_init(&e->timeindex, SIZE_MAX);
	writer_init(&e->txnindex, SIZE_MAX);
	map_init(&e->producers);
	int n = snprintf(e->dir, sizeof(e->dir), "%s", dir);
	if (n < 0 || (size_t)n >= sizeof(e->dir))
		return err_note(ERR_LIMIT, "%s: path too long", dir);
	return io_mkdir(io, dir);
}

void export_part_release(struct export_part *e)
{
	size_t cursor = 0;
	struct export_producer *p;
	while ((p = map_next(&e->producers, &cursor)))
		mem_free(p);
	map_release(&e->producers);
	if (e->fd >= 0 && io_close(e->io, e->fd) != ERR_OK)
		diag(DIAG_WARN, "export_close", "dir=%s", e->dir);
	e->fd = -1;
	writer_release(&e->log);
	writer_release(&e->index);
	writer_release(&e->timeindex);
	writer_release(&e->txnindex);
	mem_free(e->epochs);
	e->epochs = NULL;
}

static enum err part_path(const struct export_part *e, int64_t base, const char *suffix, char *buf)
{
	char name[SEGMENT_NAME_BYTES];
	int n = snprintf(buf, LOG_PATH_MAX, "%s/%s", e->dir, segment_name(base, suffix, name));
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: too long", e->dir);
}

/* ---- producers ------------------------------------------------------------------------------- */

static enum err producer_of(struct export_part *e, int64_t id, struct export_producer **ret)
{
	struct export_producer *p = map_get(&e->producers, bytes_of(&id, sizeof(id)));
	if (!p) {
		p = mem_alloc(sizeof(*p));
		if (!p)
			return ERR_NOMEM;
		*p = (struct export_producer){.id = id,
		    .epoch = -1,
		    .last_sequence = -1,
		    .coordinator_epoch = -1,
		    .last_offset = -1,
		    .transaction = -1};
		enum err err = map_put(&e->producers, bytes_of(&p->id, sizeof(p->id)), p);
		if (err != ERR_OK) {
			mem_free(p);
			return err;
		}
	}
	*ret = p;
	return ERR_OK;
}

/* Kafka's lastStableOffset of a transaction that ends at `marker`: where the oldest other begins.
 */
static int64_t stable_offset(
    const struct export_part *e, const struct export_producer *ended, int64_t marker)
{
	int64_t least = marker + 1;
	size_t cursor = 0;
	const struct export_producer *p;
	while ((p = map_next(&e->producers, &cursor)))
		if (p != ended && p->transaction >= 0 && p->transaction < least)
			least = p->transaction;
	return least;
}

/* A marker's key is {version i16, type i16: 0 abort, 1 commit}, its value {version, coordinator}.
 */
static enum err note_marker(struct export_part *e, struct export_producer *p, struct bytes batch)
{
	struct writer scratch;
	struct record_iter it;
	struct record r;
	writer_init(&scratch, BATCH_BYTES_MAX);
	enum err err = record_iter_open(&it, batch, &scratch, BATCH_BYTES_MAX);
	if (err == ERR_OK)
		err = record_iter_next(&it, &r);
	if (err == ERR_OK && r.key.len >= 4) {
		bool aborted = r.key.ptr[2] == 0 && r.key.ptr[3] == 0;
		if (r.value.len >= 6)
			p->coordinator_epoch = (int32_t)get_u32_be(r.value.ptr + 2);
		if (aborted && p->transaction >= 0) {
			write_u16_be(&e->txnindex, 0);
			write_u64_be(&e->txnindex, (uint64_t)p->id);
			write_u64_be(&e->txnindex, (uint64_t)p->transaction);
			write_u64_be(&e->txnindex, (uint64_t)r.offset);
			write_u64_be(&e->txnindex, (uint64_t)stable_offset(e, p, r.offset));
		}
		p->transaction = -1;
	}
	writer_release(&scratch);
	return err == ERR_EOF ? ERR_OK : err;
}

static enum err note_producer(
    struct export_part *e, const struct batch_header *h, struct bytes batch)
{
	struct export_producer *p;
	if (h->producer_id < 0)
		return ERR_OK;
	TRY(producer_of(e, h->producer_id, &p));
	bool control = (h->attributes & BATCH_ATTR_CONTROL) != 0;
	p->epoch = h->producer_epoch;
	p->timestamp_ms = h->max_timestamp_ms;
	if (control)
		return note_marker(e, p, batch);
	p->last_sequence = (int32_t)(((int64_t)h->base_sequence + h->last_offset_delta) &
	                             INT32_MAX); /* they wrap to 0 */
	p->last_offset = h->base_offset + h->last_offset_delta;
	p->offset_delta = h->last_offset_delta;
	if ((h->attributes & BATCH_ATTR_TRANSACTIONAL) && p->transaction < 0)
		p->transaction = h->base_offset;
	return ERR_OK;
}

static enum err write_snapshot(const struct export_part *e, int64_t offset)
{
	char path[LOG_PATH_MAX];
	struct writer w;
	size_t cursor = 0, count = 0;
	const struct export_producer *p;
	writer_init(&w, SIZE_MAX);
	write_u16_be(&w, 1);
	write_u32_be(&w, 0); /* the CRC of all behind it */
	while (map_next(&e->producers, &cursor))
		count++;
	write_u32_be(&w, (uint32_t)count);
	cursor = 0;
	while ((p = map_next(&e->producers, &cursor))) {
		write_u64_be(&w, (uint64_t)p->id);
		write_u16_be(&w, (uint16_t)p->epoch);
		write_u32_be(&w, (uint32_t)p->last_sequence);
		write_u64_be(&w, (uint64_t)p->last_offset);
		write_u32_be(&w, (uint32_t)p->offset_delta);
		write_u64_be(&w, (uint64_t)p->timestamp_ms);
		write_u32_be(&w, (uint32_t)p->coordinator_epoch);
		write_u64_be(&w, (uint64_t)p->transaction);
	}
	enum err err = w.err;
	if (err == ERR_OK) {
		put_u32_be(w.ptr + 2, crc32c(bytes_slice(writer_bytes(&w), 6, w.len)));
		err = part_path(e, offset, ".snapshot", path);
	}
	if (err == ERR_OK)
		err = io_put_file(e->io, path, writer_bytes(&w));
	writer_release(&w);
	return err;
}

/* ---- segments -------------------------------------------------------------------------------- */

static enum err log_write(struct export_part *e)
{
	if (e->log.len == 0)
		return ERR_OK;
	TRY(io_pwrite(e->io, e->fd, e->log.ptr, e->log.len, e->written));
	e->written += e->log.len;
	writer_clear(&e->log);
	return ERR_OK;
}

static enum err segment_begin(struct export_part *e)
{
	char path[LOG_PATH_MAX];
	e->roll = false;
	e->base = e->next_offset;
	e->pos = e->written = e->index_pos = 0;
	e->max_ms = e->max_offset = e->indexed_ms = -1;
	if (e->segments == 0)
		e->first_base = e->base;
	if (e->segments++ > 0)
		TRY(write_snapshot(e, e->base));
	TRY(part_path(e, e->base, ".log", path));
	return io_open(e->io, path, IO_CREATE | IO_EXCLUSIVE, &e->fd);
}

static void time_entry(struct export_part *e)
{
	if (e->max_ms <= e->indexed_ms)
		return;
	write_u64_be(&e->timeindex, (uint64_t)e->max_ms);
	write_u32_be(&e->timeindex, (uint32_t)(e->max_offset - e->base));
	e->indexed_ms = e->max_ms;
}

static enum err write_beside(
    const struct export_part *e, const char *suffix, struct writer *content)
{
	char path[LOG_PATH_MAX];
	TRY(content->err);
	TRY(part_path(e, e->base, suffix, path));
	TRY(io_put_file(e->io, path, writer_bytes(content)));
	writer_clear(content);
	return ERR_OK;
}

static enum err segment_end(struct export_part *e)
{
	TRY(log_write(e));
	int fd = e->fd;
	e->fd = -1;
	TRY(io_close(e->io, fd));
	time_entry(e);
	TRY(write_beside(e, ".index", &e->index));
	TRY(write_beside(e, ".timeindex", &e->timeindex));
	return e->txnindex.len > 0 ? write_beside(e, ".txnindex", &e->txnindex) : e->txnindex.err;
}

static enum err note_epoch(struct export_part *e, const struct batch_header *h)
{
	int32_t last = e->epoch_count > 0 ? e->epochs[e->epoch_count - 1].epoch : -1;
	if (h->leader_epoch <= last)
		return ERR_OK;
	if (e->epoch_count == e->epoch_capacity) {
		size_t capacity = e->epoch_capacity ? e->epoch_capacity * 2 : 8;
		struct export_epoch *grown = mem_realloc(e->epochs, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		e->epochs = grown;
		e->epoch_capacity = capacity;
	}
	e->epochs[e->epoch_count++] = (struct export_epoch){h->leader_epoch, h->base_offset};
	return ERR_OK;
}

enum err export_part_batch(struct export_part *e, struct bytes batch)
{
	struct batch_header h;
	TRY(batch_header_read(batch, &h));
	int64_t last = h.base_offset + h.last_offset_delta;
	if (e->fd >= 0 &&
	    (e->roll || e->pos + batch.len > e->segment_bytes || last - e->base > INT32_MAX)) {
		TRY(segment_end(e));
	}
	if (e->fd < 0) {
		if (h.base_offset < e->next_offset) /* the log starts inside of it */
			e->next_offset = h.base_offset;
		if (h.base_offset - e->next_offset > INT32_MAX / 2)
			e->next_offset = h.base_offset;
		TRY(segment_begin(e));
	}
	TRY(note_epoch(e, &h));
	TRY(note_producer(e, &h, batch));
	if (h.count > 0 && h.max_timestamp_ms > e->max_ms) {
		e->max_ms = h.max_timestamp_ms;
		e->max_offset = last;
	}
	if (e->pos - e->index_pos > EXPORT_INDEX_INTERVAL) {
		write_u32_be(&e->index, (uint32_t)(last - e->base));
		write_u32_be(&e->index, (uint32_t)e->pos);
		time_entry(e);
		e->index_pos = e->pos;
	}
	write_bytes(&e->log, batch);
	TRY(e->log.err);
	e->pos += batch.len;
	e->next_offset = last + 1;
	e->batches++;
	e->bytes += batch.len;
	return e->log.len >= EXPORT_WRITE_BYTES ? log_write(e) : ERR_OK;
}

/* ---- text files ------------------------------------------------------------------------------ */

static enum err write_text(const struct export_part *e, const char *name, struct writer *text)
{
	char path[LOG_PATH_MAX];
	TRY(text->err);
	int n = snprintf(path, sizeof(path), "%s/%s", e->dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "%s: path too long", e->dir);
	TRY(io_put_file(e->io, path, writer_bytes(text)));
	writer_clear(text);
	return ERR_OK;
}

static void write_id(struct writer *w, struct log_uuid id)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	uint32_t bits = 0;
	unsigned have = 0;
	for (size_t i = 0; i < sizeof(id.b); i++) {
		bits = bits << 8 | id.b[i];
		for (have += 8; have >= 6; have -= 6)
			write_u8(w, (uint8_t)digits[bits >> (have - 6) & 63]);
	}
	write_u8(w, (uint8_t)digits[bits << (6 - have) & 63]);
}

enum err export_part_close(struct export_part *e, struct log_uuid topic_id, int64_t log_end)
{
	struct writer text;
	if (e->fd >= 0 && log_end > e->next_offset)
		TRY(segment_end(e)); /* nothing follows, but it counts: an empty segment says so */
	if (log_end > e->next_offset)
		e->next_offset = log_end;
	if (e->fd < 0)
		TRY(segment_begin(e)); /* an empty partition has an empty segment */
	TRY(segment_end(e));
	if (e->next_offset > e->base)
		TRY(write_snapshot(e, e->next_offset));
	writer_init(&text, SIZE_MAX);
	write_printf(&text, "0\n%zu\n", e->epoch_count);
	for (size_t i = 0; i < e->epoch_count; i++)
		write_printf(&text, "%d %lld\n", e->epochs[i].epoch, (long long)e->epochs[i].start);
	enum err err = write_text(e, "leader-epoch-checkpoint", &text);
	write_cstr(&text, "version: 0\ntopic_id: ");
	write_id(&text, topic_id);
	if (err == ERR_OK)
		err = write_text(e, "partition.metadata", &text);
	writer_release(&text);
	return err;
}
