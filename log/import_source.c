/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one partition directory of Kafka. See import.h. */
#include "log/batch.h"
#include "log/import.h"
#include <stdio.h>

#define SOURCE_READ_BYTES   (256 * KIB) /* unless there are many partitions */
#define SOURCE_SEARCH_BYTES GIB         /* of what looks like batches behind a bad place */
enum { BATCH_MAGIC_AT = 16, BATCH_CRC_AT = 17, BATCH_CRC_FROM = 21, BATCH_DELTA_AT = 23 };
enum { BATCH_LENGTH_EXCLUDES = 12, BATCH_ATTR_KNOWN = 0x7f };

/* ---- files ----------------------------------------------------------------------------------- */

/* Where one of the files begins. */
static int64_t file_base(const struct import_source *s, size_t file)
{
	int64_t base;
	bool parsed = segment_name_parse(s->names.name[s->files[file]], ".log", &base);
	ASSERT(parsed);
	return base;
}

enum err import_source_open(
    struct import_source *s, struct io *io, const char *dir, int32_t partition)
{
	int64_t base = 0;
	*s = (struct import_source){
	    .io = io, .partition = partition, .fd = -1, .read_bytes = SOURCE_READ_BYTES};
	int n = snprintf(s->dir, sizeof(s->dir), "%s", dir);
	if (n < 0 || (size_t)n >= sizeof(s->dir))
		return err_note(ERR_LIMIT, "%s: path too long", dir);
	TRY(io_list(io, dir, &s->names));
	s->files = mem_calloc(s->names.count + 1, sizeof(*s->files));
	if (!s->files)
		return ERR_NOMEM;
	for (size_t i = 0; i < s->names.count; i++)
		if (segment_name_parse(s->names.name[i], ".log", &base))
			s->files[s->file_count++] = i;
	if (s->file_count == 0)
		return err_note(ERR_NOT_FOUND, "%s has no Kafka segment", dir);
	if (base > OFFSET_END_MAX) /* the last one's */
		return err_note(ERR_LIMIT, "%s/%s: the offsets of a partition end at 2^62", dir,
		    s->names.name[s->files[s->file_count - 1]]);
	import_source_begin(s, 0);
	return ERR_OK;
}

void import_source_begin(struct import_source *s, int64_t log_start)
{
	ASSERT(s->fd < 0 && !s->have);
	while (s->file + 1 < s->file_count && file_base(s, s->file + 1) <= log_start)
		s->file++;
	s->next_offset = s->first_offset = file_base(s, s->file);
}

enum err import_source_bytes(const struct import_source *s, uint64_t *ret_bytes)
{
	uint64_t bytes = 0;
	for (size_t i = s->file; i < s->file_count; i++) {
		char path[LOG_PATH_MAX];
		struct io_stat stat;
		int n = snprintf(path, sizeof(path), "%s/%s", s->dir, s->names.name[s->files[i]]);
		if (n < 0 || (size_t)n >= sizeof(path))
			return err_note(ERR_LIMIT, "%s: path too long", s->dir);
		TRY(io_stat(s->io, path, &stat));
		bytes += stat.size_bytes;
	}
	*ret_bytes = bytes;
	return ERR_OK;
}

static void file_close(struct import_source *s)
{
	if (s->fd >= 0 && io_close(s->io, s->fd) != ERR_OK)
		diag(DIAG_WARN, "import_close", "dir=%s", s->dir);
	s->fd = -1;
}

void import_source_release(struct import_source *s)
{
	file_close(s);
	io_names_release(&s->names);
	mem_free(s->files);
	mem_free(s->buf);
	s->files = NULL;
	s->buf = NULL;
}

static enum err file_open(struct import_source *s)
{
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	const char *name = s->names.name[s->files[s->file]];
	int n = snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "%s: path too long", s->dir);
	TRY(io_open(s->io, path, IO_READONLY, &s->fd));
	TRY(io_fstat(s->io, s->fd, &stat));
	s->file_bytes = stat.size_bytes;
	s->pos = s->buf_pos = s->len = 0;
	s->new_file = true;
	return ERR_OK;
}

/* `len` bytes at s->pos; NULL with ERR_OK: the file ends before. */
static enum err need(struct import_source *s, size_t len, const uint8_t **ret)
{
	*ret = NULL;
	if (len > s->file_bytes - s->pos)
		return ERR_OK;
	if (s->pos < s->buf_pos || s->pos + len > s->buf_pos + s->len) {
		size_t want = len > s->read_bytes ? len : s->read_bytes;
		if (want > s->capacity) {
			mem_free(s->buf);
			s->buf = mem_alloc(want);
			s->capacity = s->buf ? want : 0;
			if (!s->buf)
				return ERR_NOMEM;
		}
		s->buf_pos = s->pos;
		s->len = 0;
		TRY(io_pread(s->io, s->fd, s->buf, want, s->pos, &s->len));
		if (s->len < len)
			return err_note(ERR_IO, "%s: a file became shorter", s->dir);
	}
	*ret = s->buf + (s->pos - s->buf_pos);
	return ERR_OK;
}

/* ---- batches --------------------------------------------------------------------------------- */

static enum err corrupt(const struct import_source *s, const char *fault)
{
	return err_note(ERR_CORRUPT, "%s/%s at %llu: %s", s->dir, s->names.name[s->files[s->file]],
	    (unsigned long long)s->pos, fault);
}

static bool crc_is_right(struct bytes batch)
{
	return crc32c(bytes_slice(batch, BATCH_CRC_FROM, batch.len)) ==
	       get_u32_be(batch.ptr + BATCH_CRC_AT);
}

/* What is wrong with the whole batch; NULL = nothing. */
static const char *batch_fault(const struct import_source *s)
{
	const struct batch_header *h = &s->header;
	if (h->last_offset_delta < 0 || h->count < 0)
		return "negative offset delta or count";
	if (h->base_offset < s->next_offset)
		return "its offset does not ascend";
	if (h->base_offset > OFFSET_END_MAX - 1 - (int64_t)h->last_offset_delta)
		return "its offsets pass 2^62, where those of a partition end";
	return NULL;
}

/*
 * Its bytes are those that were written, by the CRC: what cannot be read of it nobody has ever
 * read. Compaction leaves gaps between the offsets, so count and delta need not agree.
 */
static enum err check_records(struct import_source *s)
{
	struct record_iter it;
	struct record r;
	int64_t last = s->header.base_offset - 1;
	if (s->header.count == 0 && s->batch.len == BATCH_HEADER_BYTES)
		return ERR_OK; /* it carries on a producer's sequence */
	enum err e = record_iter_open(&it, s->batch, s->plain, s->plain->limit);
	while (e == ERR_OK && (e = record_iter_next(&it, &r)) == ERR_OK) {
		if (r.offset <= last ||
		    r.offset > s->header.base_offset + (int64_t)s->header.last_offset_delta)
			e = err_note(
			    ERR_CORRUPT_MESSAGE, "record %d is out of place", it.next_index - 1);
		last = r.offset;
	}
	if (e == ERR_EOF)
		return ERR_OK;
	if (e == ERR_NOMEM)
		return e;
	return err_note(ERR_CORRUPT, "%s/%s at %llu: the batch of offset %lld cannot be read",
	    s->dir, s->names.name[s->files[s->file]], (unsigned long long)s->pos,
	    (long long)s->header.base_offset);
}

/* Is there a length at s->pos that a batch can have? One that is too long and there is no end. */
static enum err check_length(struct import_source *s, uint32_t length, const char **ret_fault)
{
	uint64_t len = (uint64_t)length + BATCH_LENGTH_EXCLUDES;
	*ret_fault =
	    len < BATCH_HEADER_BYTES || len > BATCH_BYTES_MAX ? "not a record batch" : NULL;
	if (len <= BATCH_BYTES_MAX || len > s->file_bytes - s->pos)
		return ERR_OK;
	return err_note(ERR_MESSAGE_TOO_LARGE, "%s/%s at %llu: a batch of %llu bytes, at most %zu",
	    s->dir, s->names.name[s->files[s->file]], (unsigned long long)s->pos,
	    (unsigned long long)len, BATCH_BYTES_MAX);
}

/*
 * The batch at s->pos. *ret_fault: it is none that was written to its end, and why. One of a right
 * CRC was: what is wrong with it is ERR_CORRUPT, wherever it is.
 */
static enum err read_batch(struct import_source *s, const char **ret_fault)
{
	const uint8_t *at;
	TRY(need(s, BATCH_HEADER_BYTES, &at));
	*ret_fault = "cut off";
	if (!at)
		return ERR_OK;
	uint32_t length = get_u32_be(at + 8);
	if (at[BATCH_MAGIC_AT] < 2 && length > 0)
		return err_note(ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
		    "%s/%s at %llu: message format %u, of before Kafka 0.11; copy the topic "
		    "through "
		    "a Kafka 3 broker first",
		    s->dir, s->names.name[s->files[s->file]], (unsigned long long)s->pos,
		    at[BATCH_MAGIC_AT]);
	TRY(check_length(s, length, ret_fault));
	if (*ret_fault)
		return ERR_OK;
	*ret_fault = "cut off";
	TRY(need(s, length + (size_t)BATCH_LENGTH_EXCLUDES, &at));
	if (!at)
		return ERR_OK;
	s->batch = bytes_of(at, length + (size_t)BATCH_LENGTH_EXCLUDES);
	*ret_fault = "its CRC does not verify";
	if (!crc_is_right(s->batch))
		return ERR_OK;
	*ret_fault = "not a record batch";
	if (batch_header_read(s->batch, &s->header) == ERR_OK)
		*ret_fault = batch_fault(s);
	err_clear();
	return *ret_fault ? corrupt(s, *ret_fault) : check_records(s);
}

static enum err rest_is_zero(struct import_source *s, bool *ret_zero)
{
	uint8_t buf[4096];
	size_t len = 0;
	*ret_zero = true;
	for (uint64_t at = s->pos; at < s->file_bytes && *ret_zero; at += len) {
		TRY(io_pread(s->io, s->fd, buf, sizeof(buf), at, &len));
		for (size_t i = 0; i < len && *ret_zero; i++)
			*ret_zero = buf[i] == 0;
		if (len == 0)
			break;
	}
	return ERR_OK;
}

/* May a batch begin with this header? As much as can be said without its CRC; its length. */
static bool looks_like_batch(const uint8_t *at, uint64_t room, size_t *ret_len)
{
	uint64_t len = (uint64_t)get_u32_be(at + 8) + BATCH_LENGTH_EXCLUDES;
	*ret_len = (size_t)len;
	return at[BATCH_MAGIC_AT] == 2 && len >= BATCH_HEADER_BYTES && len <= BATCH_BYTES_MAX &&
	       len <= room && (at[0] & 0x80) == 0 && (at[BATCH_DELTA_AT] & 0x80) == 0 &&
	       at[BATCH_CRC_FROM] == 0 && at[BATCH_CRC_FROM + 1] <= BATCH_ATTR_KNOWN;
}

/*
 * Is there a good batch anywhere behind the bad place at s->pos? Then it is none that was being
 * written. Where so much looks like batches that telling takes too long it is no torn end either.
 */
static enum err goes_on(struct import_source *s, bool *ret_goes_on)
{
	uint64_t from = s->pos, searched = 0;
	enum err e = ERR_OK;
	*ret_goes_on = false;
	for (s->pos++; e == ERR_OK && !*ret_goes_on; s->pos++) {
		const uint8_t *at;
		size_t len;
		e = need(s, BATCH_HEADER_BYTES, &at);
		if (e != ERR_OK || !at)
			break;
		if (!looks_like_batch(at, s->file_bytes - s->pos, &len))
			continue;
		searched += len;
		e = need(s, len, &at);
		*ret_goes_on = e == ERR_OK &&
		               (searched > SOURCE_SEARCH_BYTES || crc_is_right(bytes_of(at, len)));
	}
	s->pos = from;
	return e;
}

/* No batch at s->pos: the preallocated or torn end of the last file, or damage. */
static enum err bad_place(struct import_source *s, const char *fault)
{
	bool zero, damage = s->file + 1 < s->file_count;
	TRY(rest_is_zero(s, &zero));
	if (!zero && !damage)
		TRY(goes_on(s, &damage));
	if (!zero && damage)
		return corrupt(s, fault);
	if (!zero) {
		s->torn_pos = s->pos;
		s->torn_bytes = s->file_bytes - s->pos;
		snprintf(s->torn_why, sizeof(s->torn_why), "%s", fault);
	}
	s->pos = s->file_bytes;
	return ERR_OK;
}

enum err import_source_next(struct import_source *s)
{
	if (s->have) {
		s->next_offset = s->header.base_offset + (int64_t)s->header.last_offset_delta + 1;
		s->pos += s->batch.len;
		s->new_file = false;
		s->have = false;
	}
	while (s->file < s->file_count) {
		const char *fault;
		if (s->fd < 0)
			TRY(file_open(s));
		if (s->pos < s->file_bytes) {
			TRY(read_batch(s, &fault));
			s->have = !fault;
			if (s->have)
				return ERR_OK;
			TRY(bad_place(s, fault));
			continue;
		}
		file_close(s);
		s->file++;
		if (s->file < s->file_count && file_base(s, s->file) > s->next_offset)
			s->next_offset = file_base(s, s->file); /* nothing behind is before it */
	}
	return ERR_OK;
}

/* ---- text files ------------------------------------------------------------------------------ */

/* An empty text when there is no such file. */
static enum err read_text(const struct import_source *s, const char *name, struct bytes *ret)
{
	char path[LOG_PATH_MAX];
	*ret = (struct bytes){NULL, 0};
	int n = snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	if (n < 0 || (size_t)n >= sizeof(path))
		return err_note(ERR_LIMIT, "%s: path too long", s->dir);
	enum err err = io_read_file(s->io, path, MIB, ret);
	if (err != ERR_NOT_FOUND)
		return err;
	err_clear();
	return ERR_OK;
}

static int base64url(char c)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	const char *at = c ? strchr(digits, c) : NULL;
	return at ? (int)(at - digits) : -1;
}

/* 22 digits of base64url; Kafka writes ids so. */
static bool parse_id(struct str text, struct log_uuid *ret_id)
{
	struct log_uuid id = {{0}};
	uint32_t bits = 0;
	size_t count = 0, out = 0;
	if (text.len < 22)
		return false;
	for (size_t i = 0; i < 22; i++) {
		int digit = base64url(text.ptr[i]);
		if (digit < 0)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		count += 6;
		if (count >= 8 && out < sizeof(id.b)) {
			count -= 8;
			id.b[out++] = (uint8_t)(bits >> count);
		}
	}
	*ret_id = id;
	return out == sizeof(id.b) && !log_uuid_is_zero(id);
}

enum err import_read_topic_id(const struct import_source *s, struct log_uuid *ret_id)
{
	static const char key[] = "topic_id: ";
	struct bytes text;
	TRY(read_text(s, "partition.metadata", &text));
	const char *at = text.len > 0 ? memmem(text.ptr, text.len, key, sizeof(key) - 1) : NULL;
	if (at) {
		const char *from = at + sizeof(key) - 1, *end = (const char *)text.ptr + text.len;
		struct log_uuid id;
		if (parse_id(str_from(from, (size_t)(end - from)), &id))
			*ret_id = id;
	}
	mem_free((void *)(uintptr_t)text.ptr);
	return ERR_OK;
}

enum err import_read_leader_epoch(const struct import_source *s, uint32_t *ret_epoch)
{
	struct bytes text;
	TRY(read_text(s, "leader-epoch-checkpoint", &text));
	struct str rest = bytes_str(text);
	for (int line = 0; rest.len > 0; line++) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		size_t len = end ? (size_t)(end - rest.ptr) : rest.len;
		const char *space = memchr(rest.ptr, ' ', len);
		int64_t epoch;
		if (line >= 2 && space && /* version, count, then "epoch start" */
		    str_to_i64(str_from(rest.ptr, (size_t)(space - rest.ptr)), &epoch) &&
		    epoch >= 0 && epoch <= INT32_MAX && (uint32_t)epoch > *ret_epoch)
			*ret_epoch = (uint32_t)epoch;
		len += end ? 1 : 0;
		rest = str_from(rest.ptr + len, rest.len - len);
	}
	mem_free((void *)(uintptr_t)text.ptr);
	return ERR_OK;
}
