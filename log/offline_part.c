/* SPDX-License-Identifier: Apache-2.0 */
/* One partition's segment files and their indexes, written from beginning to end. See offline.h. */
#include "log/batch.h"
#include "log/engine.h"
#include "log/offline.h"
#include <stdio.h>

#define PART_WRITE_BYTES MIB

enum err offline_part_open(struct offline_part *part, struct io *io, const char *dir,
    const char *name, struct partition_key key, struct str topic_name, int64_t start_offset)
{
	ASSERT(topic_name.len > 0 && topic_name.len <= TOPIC_NAME_MAX && start_offset >= 0);
	*part = (struct offline_part){.io = io,
	    .key = key,
	    .epoch = 1,
	    .generation = 1,
	    .next_offset = start_offset,
	    .write_bytes = PART_WRITE_BYTES,
	    .fd = -1};
	memcpy(part->topic, topic_name.ptr, topic_name.len);
	writer_init(&part->buf, SIZE_MAX);
	index_init(&part->index, NULL);
	txns_init(&part->txns);
	int n = snprintf(part->dir, sizeof(part->dir), "%s/%s", dir, name);
	if (n < 0 || (size_t)n >= sizeof(part->dir))
		return err_note(ERR_LIMIT, "%s: path too long", dir);
	return io_mkdir(io, part->dir);
}

void offline_part_release(struct offline_part *part)
{
	if (part->fd >= 0 && io_close(part->io, part->fd) != ERR_OK)
		diag(DIAG_WARN, "offline_close", "path=%s", part->dir);
	part->fd = -1;
	writer_release(&part->buf);
	index_release(&part->index);
	txns_release(&part->txns);
}

/* ---- one segment ----------------------------------------------------------------------------- */

static enum err part_path(const struct offline_part *part, const char *suffix, char *buf)
{
	char name[SEGMENT_NAME_BYTES];
	int n =
	    snprintf(buf, LOG_PATH_MAX, "%s/%s", part->dir, segment_name(part->base, suffix, name));
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: too long", part->dir);
}

static enum err segment_begin(struct offline_part *part, uint64_t first_sequence)
{
	struct segment_header h = {
	    .format_version = SEGMENT_VERSION,
	    .topic_id = part->key.topic_id,
	    .topic_name = str_of(part->topic),
	    .partition = part->key.partition,
	    .base_offset = part->next_offset,
	    .first_sequence = first_sequence,
	    .epoch = part->epoch,
	    .generation = part->generation,
	    .previous_link = part->link,
	};
	char path[LOG_PATH_MAX];
	io_random(part->io, h.seed, sizeof(h.seed));
	part->roll = false;
	part->base = part->next_offset;
	part->base_generation = part->generation;
	part->pos = SEGMENT_HEADER_BYTES;
	part->buf_pos = 0;
	part->seed = frame_seed_of(h.seed);
	writer_clear(&part->buf);
	index_release(&part->index);
	uint8_t *header = writer_reserve(&part->buf, SEGMENT_HEADER_BYTES);
	if (!header)
		return part->buf.err;
	segment_header_encode(&h, header);
	TRY(part_path(part, ".log", path));
	return io_open(part->io, path, IO_CREATE | IO_EXCLUSIVE, &part->fd);
}

static enum err part_write(struct offline_part *part)
{
	if (part->buf.len == 0)
		return ERR_OK;
	TRY(io_pwrite(part->io, part->fd, part->buf.ptr, part->buf.len, part->buf_pos));
	part->buf_pos += (uint32_t)part->buf.len;
	writer_clear(&part->buf);
	return ERR_OK;
}

static enum err index_fill(struct offline_part *part, int fd, bool seal)
{
	struct index_header h = {.version = INDEX_VERSION,
	    .base_offset = part->base,
	    .generation = part->base_generation};
	uint8_t head[INDEX_HEADER_BYTES];
	uint64_t sum = 0;
	if (index_write_begin(&part->index))
		TRY(index_write(part->io, fd, 0, &part->index.writing, &sum));
	if (seal) {
		h.flags = INDEX_SEALED;
		h.count = part->index.writing.count;
		h.segment_bytes = part->pos;
		h.last_append_ns = part->append_ns;
		h.end_offset = part->next_offset;
		TRY(index_file_hash(part->io, fd, h.count, &h.entries_hash));
	}
	index_header_encode(&h, head);
	return io_pwrite(part->io, fd, head, sizeof(head), 0);
}

static enum err segment_end(struct offline_part *part, bool seal)
{
	char path[LOG_PATH_MAX];
	int fd;
	TRY(part_write(part));
	int log_fd = part->fd;
	part->fd = -1;
	TRY(io_close(part->io, log_fd));
	TRY(part_path(part, ".idx", path));
	TRY(io_open(part->io, path, IO_CREATE, &fd));
	enum err err = index_fill(part, fd, seal);
	enum err closed = io_close(part->io, fd);
	return err == ERR_OK ? closed : err;
}

/* ---- transactions ---------------------------------------------------------------------------- */

enum err offline_txns_note(struct txns *txns, const struct frame *f, struct bytes batch)
{
	struct batch_header h;
	TRY(batch_header_read(batch, &h));
	if (h.producer_id < 0)
		return ERR_OK;
	h.base_offset = f->base_offset;
	TRY(txns_load(txns, &h, batch, f->sequence, f->append_time_ns));
	txns_forget_aborted(txns); /* a start finds them in the log */
	return ERR_OK;
}

uint64_t offline_txns_row(const struct txns *txns, int64_t end)
{
	return txns->used ? 1 + (uint64_t)txns_stable_end(txns, end) : 0;
}

/* ---- frames ---------------------------------------------------------------------------------- */

/* max_ms: of the records in the body, -1 when there is none. */
static enum err part_append(
    struct offline_part *part, struct frame *f, struct bytes body, int64_t max_ms)
{
	size_t len = FRAME_HEADER_BYTES + body.len;
	ASSERT(f->base_offset == part->next_offset && f->sequence > part->last_sequence);
	if (part->fd >= 0 && (part->roll || part->pos + len > SEGMENT_BYTES_MAX))
		TRY(segment_end(part, true));
	if (part->fd < 0)
		TRY(segment_begin(part, f->sequence));
	f->length = (uint32_t)body.len;
	if (f->append_time_ns < part->append_ns)
		f->append_time_ns = part->append_ns;
	TRY(index_promise(&part->index));
	uint8_t *out = writer_reserve(&part->buf, len);
	if (!out)
		return part->buf.err;
	frame_encode(f, part->seed, part->link, body, out);
	memcpy(out + FRAME_HEADER_BYTES, body.ptr, body.len);
	index_push(&part->index, (struct index_entry){.base_offset = f->base_offset,
	                             .pos = part->pos,
	                             .len = (uint32_t)len,
	                             .max_timestamp_ms = max_ms,
	                             .sequence = f->sequence});
	part->pos += (uint32_t)len;
	part->link = f->link;
	part->last_sequence = f->sequence;
	part->append_ns = f->append_time_ns;
	part->next_offset = f->base_offset + (int64_t)f->last_offset_delta + 1;
	return part->buf.len >= part->write_bytes ? part_write(part) : ERR_OK;
}

enum err offline_part_frame(struct offline_part *part, const struct frame *meta, struct bytes batch)
{
	struct frame f = *meta;
	struct batch_header h;
	TRY(batch_header_read(batch, &h));
	TRY(offline_txns_note(&part->txns, meta, batch));
	f.version = FRAME_VERSION;
	f.flags = 0;
	part->frames++;
	part->bytes += batch.len;
	return part_append(part, &f, batch, h.count > 0 ? h.max_timestamp_ms : -1);
}

enum err offline_part_hole(struct offline_part *part, struct offline_hole hole)
{
	struct frame_hole body = {hole.first_sequence, hole.batches};
	uint8_t raw[FRAME_HOLE_BYTES];
	int64_t left = hole.to_offset - part->next_offset;
	ASSERT(left > 0 && hole.batches > 0 && hole.first_sequence > part->last_sequence);
	/* one frame reaches over 2^31 offsets; several share the sequences, each has at least one
	 */
	uint64_t pieces = (uint64_t)(left - 1) / INT32_MAX + 1;
	if (hole.last_sequence - hole.first_sequence + 1 < pieces)
		return err_note(ERR_LIMIT, "%s: a hole of %lld offsets has too few sequences",
		    part->dir, (long long)left);
	part->holes++;
	part->hole_offsets += left;
	for (; left > 0; left = hole.to_offset - part->next_offset) {
		int64_t reach = left < INT32_MAX ? left : INT32_MAX;
		bool last = reach == left;
		struct frame f = {
		    .version = FRAME_VERSION_HOLE,
		    .flags = FRAME_HOLE,
		    .sequence = last ? hole.last_sequence : body.first_sequence,
		    .base_offset = part->next_offset,
		    .last_offset_delta = (uint32_t)(reach - 1),
		    .server_epoch = part->epoch,
		    .append_time_ns = part->append_ns,
		};
		uint64_t room = f.sequence - body.first_sequence + 1;
		if (body.batches > room)
			body.batches = room;
		frame_hole_encode(&body, raw);
		TRY(part_append(part, &f, bytes_of(raw, sizeof(raw)), -1));
		body.first_sequence++;
	}
	return ERR_OK;
}

enum err offline_part_close(struct offline_part *part, struct checkpoint_row *ret_row)
{
	if (part->fd >= 0)
		TRY(segment_end(part, false));
	*ret_row = (struct checkpoint_row){
	    .topic_id = part->key.topic_id,
	    .partition = part->key.partition,
	    .log_end = part->next_offset,
	    .segment = part->base,
	    .segment_end = part->pos,
	    .last_sequence = part->last_sequence,
	    .last_link = part->link,
	    .transactions = offline_txns_row(&part->txns, part->next_offset),
	};
	return ERR_OK;
}

/* ---- durability ------------------------------------------------------------------------------ */

enum err offline_sync_open(struct offline_sync *sync, struct io *io, const char *dir)
{
	*sync = (struct offline_sync){io, -1};
	return io_open(io, dir, IO_DIRECTORY, &sync->fd);
}

enum err offline_sync_all(const struct offline_sync *sync)
{
	ASSERT(sync->fd >= 0);
	return io_sync_all(sync->io, sync->fd);
}

void offline_sync_close(struct offline_sync *sync)
{
	if (sync->io && sync->fd >= 0 && io_close(sync->io, sync->fd) != ERR_OK) {
		diag(DIAG_WARN, "offline_close", "error=\"%s\"", err_chain());
		err_clear();
	}
	sync->io = NULL;
}
