/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint records and empty journals for a directory that nobody serves. See offline.h. */
#include "log/engine.h"
#include "log/offline.h"
#include <stdio.h>

void offline_record_release(struct offline_record *r)
{
	checkpoint_record_release(&r->record);
	r->capacity = 0;
}

struct checkpoint_row *offline_record_row(struct offline_record *r, struct partition_key key)
{
	for (uint64_t i = 0; i < r->record.header.row_count; i++) {
		struct checkpoint_row *row = &r->record.rows[i];
		if (log_uuid_equal(row->topic_id, key.topic_id) && row->partition == key.partition)
			return row;
	}
	return NULL;
}

enum err offline_record_put(struct offline_record *r, const struct checkpoint_row *row)
{
	struct checkpoint_record *record = &r->record;
	struct checkpoint_row *old =
	    offline_record_row(r, (struct partition_key){row->topic_id, row->partition});
	if (old) {
		*old = *row;
		return ERR_OK;
	}
	if (record->header.row_count >= r->capacity) {
		size_t capacity = (size_t)record->header.row_count * 2 + 16;
		struct checkpoint_row *grown =
		    mem_realloc(record->rows, capacity * sizeof(*record->rows));
		if (!grown)
			return ERR_NOMEM;
		record->rows = grown;
		r->capacity = capacity;
	}
	record->rows[record->header.row_count++] = *row;
	return ERR_OK;
}

static enum err record_path(const char *journal_dir, unsigned slot, char *buf)
{
	char name[16];
	int n = snprintf(buf, LOG_PATH_MAX, "%s/%s", journal_dir, checkpoint_file_name(slot, name));
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "path too long");
}

enum err offline_record_read(
    struct io *io, const char *journal_dir, struct offline_record *ret_record)
{
	struct offline_record best = {0};
	bool found = false;
	for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
		char path[LOG_PATH_MAX];
		struct checkpoint_record r;
		TRY(record_path(journal_dir, slot, path));
		enum err err = checkpoint_read(io, path, &r);
		if (err != ERR_OK && err != ERR_NOT_FOUND && err != ERR_CORRUPT) {
			offline_record_release(&best);
			return err;
		}
		err_clear();
		if (err != ERR_OK)
			continue;
		if (found && best.record.header.counter > r.header.counter) {
			checkpoint_record_release(&r);
			continue;
		}
		offline_record_release(&best);
		best.record = r;
		best.capacity = (size_t)r.header.row_count;
		found = true;
	}
	if (!found)
		return err_note(ERR_NOT_FOUND, "%s has no checkpoint record", journal_dir);
	*ret_record = best;
	return ERR_OK;
}

enum err offline_record_write(struct io *io, const char *journal_dir, struct offline_record *r)
{
	struct checkpoint_header *h = &r->record.header;
	char path[LOG_PATH_MAX];
	h->version = CHECKPOINT_VERSION;
	h->counter++;
	h->written_ns = io_clock_ns(io, IO_CLOCK_REALTIME);
	size_t rows = (size_t)h->row_count * CHECKPOINT_ROW_BYTES;
	size_t len = CHECKPOINT_HEADER_BYTES + rows + (size_t)h->gap_count * CHECKPOINT_GAP_BYTES;
	uint8_t *buf = mem_calloc(1, len);
	if (!buf)
		return ERR_NOMEM;
	for (uint64_t i = 0; i < h->row_count; i++)
		checkpoint_row_encode(
		    &r->record.rows[i], buf + CHECKPOINT_HEADER_BYTES + i * CHECKPOINT_ROW_BYTES);
	for (uint32_t i = 0; i < h->gap_count; i++)
		checkpoint_gap_encode(&r->record.gaps[i],
		    buf + CHECKPOINT_HEADER_BYTES + rows + (size_t)i * CHECKPOINT_GAP_BYTES);
	checkpoint_header_encode(h, buf, len);
	enum err err =
	    record_path(journal_dir, (unsigned)((h->counter - 1) % CHECKPOINT_SLOTS), path);
	if (err == ERR_OK)
		err = io_write_file(io, path, bytes_of(buf, len));
	mem_free(buf);
	return err;
}

enum err offline_journal_make(struct io *io, const char *journal_dir, uint64_t bytes)
{
	struct journal journal;
	TRY(io_mkdir_all(io, journal_dir));
	if (bytes == 0) {
		TRY(journal_fitting(io, journal_dir, JOURNAL_BYTES_DEFAULT, &bytes));
		bytes = bytes ? bytes : JOURNAL_BYTES_MIN; /* which says what is missing */
		if (bytes < JOURNAL_BYTES_DEFAULT)
			diag(DIAG_WARN, "journal_small", "dir=%s bytes=%llu reason=\"that fits\"",
			    journal_dir, (unsigned long long)bytes);
	}
	/* the journal asks its log for these two and nothing else while it is made */
	struct log *log = mem_calloc(1, sizeof(*log));
	if (!log)
		return ERR_NOMEM;
	log->io = io;
	log->journal_dir = mem_strdup(str_of(journal_dir));
	enum err err = log->journal_dir ? journal_create(&journal, log, bytes) : ERR_NOMEM;
	if (log->journal_dir)
		journal_close(&journal);
	mem_free(log->journal_dir);
	mem_free(log);
	return err;
}
