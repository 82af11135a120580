/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_dump_file: recognises a file by its first bytes; lines in logfmt or JSON; batches and
 * records.
 */
#include "log/dump.h"
#include "log/batch.h"
#include "log/catalog.h"
#include "log/checkpoint.h"
#include "log/index.h"
#include "log/journal.h"
#include "log/producer.h"
#include <stdio.h>

/* ---- lines ----------------------------------------------------------------------------------- */

static void key_of(struct dump *d, const char *key)
{
	if (d->options.json)
		json_key(&d->json, str_of(key));
	else
		write_printf(&d->line, "%s%s=", d->line.len > 0 ? " " : "", key);
}

void dump_begin(struct dump *d, const char *kind)
{
	writer_clear(&d->line);
	if (d->options.json) {
		json_write_init(&d->json, &d->line);
		json_object_begin(&d->json);
	}
	dump_str(d, "kind", str_of(kind));
}

void dump_u64(struct dump *d, const char *key, uint64_t v)
{
	key_of(d, key);
	if (d->options.json)
		json_u64(&d->json, v);
	else
		write_printf(&d->line, "%llu", (unsigned long long)v);
}

void dump_i64(struct dump *d, const char *key, int64_t v)
{
	key_of(d, key);
	if (d->options.json)
		json_i64(&d->json, v);
	else
		write_printf(&d->line, "%lld", (long long)v);
}

void dump_bool(struct dump *d, const char *key, bool v)
{
	key_of(d, key);
	if (d->options.json)
		json_bool(&d->json, v);
	else
		write_cstr(&d->line, v ? "true" : "false");
}

/* True for text that logfmt can have without quotes. */
static bool is_bare(struct str v)
{
	for (size_t i = 0; i < v.len; i++)
		if (v.ptr[i] <= ' ' || v.ptr[i] == '"' || v.ptr[i] == '=' || v.ptr[i] == '\\' ||
		    v.ptr[i] >= 0x7f)
			return false;
	return v.len > 0;
}

void dump_str(struct dump *d, const char *key, struct str v)
{
	key_of(d, key);
	if (d->options.json) {
		json_str(&d->json, v);
	} else if (is_bare(v)) {
		write_str(&d->line, v);
	} else {
		write_u8(&d->line, '"');
		json_write_escaped(&d->line, v);
		write_u8(&d->line, '"');
	}
}

void dump_hash(struct dump *d, const char *key, uint64_t v)
{
	char text[17];
	snprintf(text, sizeof(text), "%016llx", (unsigned long long)v);
	dump_str(d, key, str_of(text));
}

void dump_uuid(struct dump *d, const char *key, struct log_uuid id)
{
	char text[UUID_TEXT_BYTES];
	dump_str(d, key, str_of(uuid_format(id, text)));
}

static void dump_base64(struct dump *d, const char *key, struct bytes v)
{
	char name[64];
	struct json_writer value;
	snprintf(name, sizeof(name), "%s_base64", key);
	key_of(d, name);
	if (d->options.json) {
		json_base64(&d->json, v);
		return;
	}
	json_write_init(&value, &d->line);
	json_base64(&value, v);
}

void dump_bytes(struct dump *d, const char *key, struct bytes v)
{
	if (v.ptr && !str_is_utf8(bytes_str(v))) {
		dump_base64(d, key, v);
	} else if (v.ptr) {
		dump_str(d, key, bytes_str(v));
	} else {
		key_of(d, key);
		if (d->options.json)
			json_null(&d->json);
		else
			write_cstr(&d->line, "null");
	}
}

enum err dump_end(struct dump *d)
{
	if (d->options.json)
		json_object_end(&d->json);
	if (d->line.err != ERR_OK)
		return err_note(d->line.err, "line of the dump");
	d->print(d->ctx, bytes_str(writer_bytes(&d->line)));
	return ERR_OK;
}

enum err dump_damage(struct dump *d, uint64_t pos, enum err err)
{
	d->damage++;
	dump_begin(d, "damage");
	dump_u64(d, "pos", pos);
	dump_str(d, "err", str_of(err_name(err)));
	dump_str(d, "reason", str_of(err_chain()));
	err_clear();
	return dump_end(d);
}

/* ---- batches --------------------------------------------------------------------------------- */

static enum err dump_header(struct dump *d, const struct batch_header *h)
{
	dump_begin(d, "batch");
	dump_i64(d, "base_offset", h->base_offset);
	dump_i64(d, "count", h->count);
	dump_i64(d, "leader_epoch", h->leader_epoch);
	dump_str(d, "codec", str_of(batch_codec_name(batch_codec(h))));
	dump_bool(d, "append_time", h->attributes & BATCH_ATTR_APPEND_TIME);
	dump_bool(d, "transactional", h->attributes & BATCH_ATTR_TRANSACTIONAL);
	dump_bool(d, "control", h->attributes & BATCH_ATTR_CONTROL);
	dump_i64(d, "base_timestamp", h->base_timestamp_ms);
	dump_i64(d, "max_timestamp", h->max_timestamp_ms);
	dump_i64(d, "producer_id", h->producer_id);
	dump_i64(d, "producer_epoch", h->producer_epoch);
	dump_i64(d, "base_sequence", h->base_sequence);
	return dump_end(d);
}

static enum err dump_record(struct dump *d, const struct record *r)
{
	struct reader headers = reader_of(r->headers);
	struct str name;
	struct bytes value;
	dump_begin(d, "record");
	dump_i64(d, "offset", r->offset);
	dump_i64(d, "timestamp", r->timestamp_ms);
	dump_bytes(d, "key", r->key);
	dump_bytes(d, "value", r->value);
	dump_i64(d, "headers", r->header_count);
	TRY(dump_end(d));
	(void)read_varint32(&headers);
	for (int32_t i = 0; i < r->header_count; i++) {
		TRY(record_header_next(&headers, &name, &value));
		dump_begin(d, "header");
		dump_i64(d, "offset", r->offset);
		dump_bytes(d, "name", str_bytes(name));
		dump_bytes(d, "value", value);
		TRY(dump_end(d));
	}
	return ERR_OK;
}

enum err dump_batch(struct dump *d, struct bytes batch)
{
	struct record_iter it;
	struct record r;
	if (!d->options.deep)
		return ERR_OK;
	struct batch_header h;
	TRY(batch_header_read(batch, &h));
	uint32_t crc = crc32c(bytes_slice(batch, 21, (size_t)h.length - 9));
	if (crc != h.crc)
		return err_note(
		    ERR_CORRUPT_MESSAGE, "batch at offset %lld: CRC", (long long)h.base_offset);
	TRY(dump_header(d, &h));
	TRY(record_iter_open(&it, batch, &d->scratch, BATCH_PLAIN_MAX));
	enum err err;
	while ((err = record_iter_next(&it, &r)) == ERR_OK)
		TRY(dump_record(d, &r));
	return err == ERR_EOF ? ERR_OK : err;
}

/* ---- the file -------------------------------------------------------------------------------- */

static enum err dump_by_magic(struct dump *d, int fd)
{
	uint8_t head[8] = {0};
	size_t len;
	TRY(io_pread(d->io, fd, head, sizeof(head), 0, &len));
	if (memcmp(head, "KAPPASEG", 8) == 0)
		return dump_segment(d, fd);
	switch (get_u32_le(head)) {
	case INDEX_MAGIC:
		return dump_index(d, fd);
	case SNAP_MAGIC:
		return dump_snap(d);
	case JOURNAL_MAGIC:
		return dump_journal(d);
	case CHECKPOINT_MAGIC:
		return dump_checkpoint(d);
	default:
		return err_note(
		    ERR_INVALID, "not a segment, index, snapshot, journal or checkpoint file");
	}
}

enum err log_dump_file(struct io *io, const char *path, const struct log_dump_options *options,
    log_print print, void *ctx)
{
	struct dump d = {.io = io, .path = path, .options = *options, .print = print, .ctx = ctx};
	int fd;
	TRY(io_open(io, path, IO_READONLY, &fd));
	writer_init(&d.line, SIZE_MAX);
	writer_init(&d.scratch, SIZE_MAX);
	enum err err = dump_by_magic(&d, fd);
	enum err closed = io_close(io, fd);
	writer_release(&d.line);
	writer_release(&d.scratch);
	TRY(err);
	TRY(closed);
	if (d.damage > 0)
		return err_note(
		    ERR_CORRUPT, "%s: %llu damaged places", path, (unsigned long long)d.damage);
	return ERR_OK;
}
