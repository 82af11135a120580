/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ends that are lost: a partition has less than the checkpoint record says was durable. Refused, or
 * accepted (--accept-lost-suffix): then it is named before anything is served (gap.c), and nothing
 * that speaks of what was lost stays behind. Offsets are given again from there on: a snapshot of
 * producers that knows the lost batches would tell them as stored once the log is as long again.
 */
#include "log/engine.h"
#include "log/recovery.h"
#include <stdio.h>

enum err recovery_short_segment(struct recovery *r, struct segment *s, uint32_t end)
{
	struct log_partition *p = s->partition;
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	recovery_verdict(ERR_LOST_SUFFIX, "partition=%s segment=%lld end=%u found=%u", p->dir,
	    (long long)s->base_offset, end, s->size);
	p->lost_suffix = true;
	if (!r->log->options.accept_lost_suffix) {
		p->verdict = ERR_LOST_SUFFIX;
		return ERR_OK;
	}
	/* its entries are made from the frames that are left */
	TRY(partition_path(p, segment_file_name(s, ".idx", name), path));
	enum err e = io_unlink(r->log->io, path);
	if (e == ERR_NOT_FOUND) {
		err_clear();
		e = ERR_OK;
	}
	return e;
}

/*
 * The frame that the record knows as the last one is there. Offsets behind it had none: the log
 * start had been moved past an end that was lost (partition_open).
 */
static bool has_last(const struct log_partition *p, const struct recovery_row *row)
{
	const struct segment *s = partition_durable_segment(p);
	return s && s->base_offset == row->segment && s->durable_size == row->segment_end &&
	       s->durable_link == row->last_link;
}

void recovery_short(struct recovery *r, struct log_partition *p, const struct recovery_row *row)
{
	bool early = row && row->log_end > p->log_end;
	if (early && !p->lost_suffix && p->verdict == ERR_OK && !has_last(p, row)) {
		recovery_verdict(ERR_LOST_SUFFIX, "partition=%s log_end=%lld found=%lld", p->dir,
		    (long long)row->log_end, (long long)p->log_end);
		if (!r->log->options.accept_lost_suffix)
			p->verdict = ERR_LOST_SUFFIX;
		p->lost_suffix = true;
	}
	if (p->lost_suffix)
		partition_lose(p, early ? row->log_end : p->log_end, row ? row->last_sequence : 0);
}

/* ---- snapshots ------------------------------------------------------------------------------- */

/* Is it a snapshot of more than there is up to `end`? One that does not verify counts nowhere. */
static enum err snap_is_of_more(struct io *io, const char *path, int64_t end, bool *ret_more)
{
	struct snap_header h;
	struct bytes file;
	*ret_more = false;
	enum err e = io_read_file(io, path, snap_bytes_max(), &file);
	if (e == ERR_OK) {
		*ret_more = snap_decode(file, NULL, NULL, &h) == ERR_OK && h.offset > end;
		mem_free((void *)(uintptr_t)file.ptr);
	} else if (!around_stops(e)) {
		diag(DIAG_WARN, "snapshot_read", "path=%s error=\"%s\"", path, err_chain());
		e = ERR_OK;
	}
	err_clear();
	return e;
}

static enum err forget_one(struct io *io, const char *dir, const char *name, int64_t end)
{
	char path[LOG_PATH_MAX];
	int64_t base;
	bool more;
	if (!segment_name_parse(name, ".snap", &base))
		return ERR_OK;
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (n < 0 || n >= LOG_PATH_MAX)
		return err_note(ERR_LIMIT, "%s: path too long", dir);
	TRY(snap_is_of_more(io, path, end, &more));
	return more ? io_unlink(io, path) : ERR_OK;
}

enum err recovery_forget(struct io *io, const char *dir, int64_t end)
{
	struct io_names names;
	enum err e = io_list(io, dir, &names);
	if (e == ERR_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	TRY(e);
	for (size_t i = 0; i < names.count && e == ERR_OK; i++)
		e = forget_one(io, dir, names.name[i], end);
	io_names_release(&names);
	return e == ERR_OK ? io_fsync_dir(io, dir) : e;
}
