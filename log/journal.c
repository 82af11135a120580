/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal's files: creation, filling with zeros ahead of the writer, and where the next entry
 * goes. The entries themselves are made in round.c; their bytes are journal_entry.c's.
 */
#include "log/engine.h"
#include <stdio.h>

/* Of the first file, before ready; zeros for well over a second of small rounds. */
#define FILL_HEAD_BYTES (4 * MIB)
#define FILL_STEP_BYTES (16 * MIB) /* one job */
#define GIVE_BACK_LEAST MIB        /* stays of each file, for the next entries */
/* A round waits for the write of zeros that is under way: beside 1 MiB it takes four times as long.
 * That is right only when the zeros are what rounds are about to wait for. */
#define FILL_WRITE_BYTES      (64 * KIB)
#define FILL_SOON_WRITE_BYTES MIB
#define FILL_SOON_BYTES       (2 * MIB)

/* J4: an entry and its copy lie in two files, or both in one. */
uint64_t journal_entry_max(const struct journal *j)
{
	uint64_t first = 0, second = 0;
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		uint64_t limit = j->files[i].limit;
		uint64_t room = limit > JOURNAL_BLOCK ? limit - JOURNAL_BLOCK : 0;
		if (room > first) {
			second = first;
			first = room;
		} else if (room > second) {
			second = room;
		}
	}
	uint64_t both = first / 2 / JOURNAL_BLOCK * JOURNAL_BLOCK;
	uint64_t max = second > both ? second : both;
	return max < UINT32_MAX / 2 ? max : UINT32_MAX / 2;
}

static enum err journal_path(const struct journal *j, unsigned file, char *buf)
{
	char name[16];
	int n = snprintf(
	    buf, LOG_PATH_MAX, "%s/%s", j->log->journal_dir, journal_file_name(file, name));
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "journal path too long");
}

/* O_DIRECT where the file system takes it. */
static enum err file_open(struct journal *j, const char *path, unsigned flags, int *ret_fd)
{
	enum err e = ERR_UNSUPPORTED;
	if (j->direct)
		e = io_open(j->log->io, path, flags | IO_DIRECT, ret_fd);
	if (e != ERR_UNSUPPORTED)
		return e;
	if (j->direct)
		diag(DIAG_INFO, "journal_buffered", "path=%s reason=\"no O_DIRECT here\"", path);
	j->direct = false;
	err_clear();
	return io_open(j->log->io, path, flags & ~(unsigned)IO_EXCLUSIVE, ret_fd);
}

/* ---- filling --------------------------------------------------------------------------------- */

/* Writes zeros to [from, to), `most` bytes at a time. */
static enum err fill_range(struct io *io, int fd, uint64_t from, uint64_t to, uint64_t most)
{
	size_t zeros_len = (size_t)(to - from < most ? to - from : most);
	uint8_t *zeros = mem_alloc_aligned(IO_DIRECT_ALIGN, zeros_len);
	if (!zeros)
		return ERR_NOMEM;
	memset(zeros, 0, zeros_len);
	enum err e = ERR_OK;
	for (uint64_t pos = from; pos < to && e == ERR_OK; pos += most) {
		uint64_t len = to - pos < most ? to - pos : most;
		e = io_pwrite(io, fd, zeros, (size_t)len, pos);
	}
	mem_free(zeros);
	return e == ERR_OK ? io_fdatasync(io, fd) : e;
}

/*
 * Zeros are worth less than records: the journal leaves what clients' appends leave, and as much
 * again for them.
 */
static enum err space_for(struct io *io, const char *dir, uint64_t *ret_left, uint64_t *ret_keep)
{
	uint64_t total;
	TRY(io_space(io, dir, ret_left, &total));
	*ret_keep = 2 * round_space_reserve(total);
	return ERR_OK;
}

/* Makes *to what may be filled from `from`. */
static enum err fill_room(struct journal *j, uint64_t from, uint64_t *to)
{
	uint64_t left, keep;
	TRY(space_for(j->log->io, j->log->journal_dir, &left, &keep));
	uint64_t room = left > keep ? (left - keep) / JOURNAL_BLOCK * JOURNAL_BLOCK : 0;
	if (room == 0)
		return err_note(ERR_NOSPACE, "%s: %llu bytes are free", j->log->journal_dir,
		    (unsigned long long)left);
	if (*to - from > room)
		*to = from + room;
	return ERR_OK;
}

/* With a descriptor of its own: two syncs never race on one (reliability rule 4). */
static void fill_run(struct pool_job *job)
{
	struct journal *j = CONTAINER_OF(job, struct journal, fill);
	struct io *io = j->log->io;
	char path[LOG_PATH_MAX];
	int fd;
	err_clear();
	j->fill_err = journal_path(j, j->fill_file, path);
	if (j->fill_err == ERR_OK)
		j->fill_err = fill_room(j, j->fill_from, &j->fill_to);
	if (j->fill_err == ERR_OK)
		j->fill_err = io_open(io, path, j->direct ? IO_DIRECT : 0, &fd);
	if (j->fill_err != ERR_OK)
		return;
	j->fill_err = fill_range(io, fd, j->fill_from, j->fill_to, j->fill_write);
	enum err closed = io_close(io, fd);
	if (j->fill_err == ERR_OK)
		j->fill_err = closed;
}

static void fill_done(struct pool_job *job)
{
	struct journal *j = CONTAINER_OF(job, struct journal, fill);
	struct journal_file *f = &j->files[j->fill_file];
	j->filling = false;
	if (j->fill_err == ERR_OK) {
		f->filled = j->fill_to;
	} else {
		/* Use what there is; a full disk is no reason to stop. */
		f->limit = f->filled;
		diag(DIAG_WARN, "journal_short", "file=%u bytes=%llu error=%s", j->fill_file,
		    (unsigned long long)f->filled, err_name(j->fill_err));
	}
	journal_fill(j);
	rounds_kick(&j->log->rounds);
}

/* Will the next entries come to where `file` has no zeros? The files between are filled. */
static bool needed_soon(const struct journal *j, unsigned file)
{
	uint64_t left = j->files[file].filled;
	if (file != j->current)
		left += j->files[j->current].limit;
	return left < j->pos + FILL_SOON_BYTES;
}

static void fill_start(struct journal *j, unsigned file)
{
	struct journal_file *f = &j->files[file];
	if (j->filling)
		return;
	j->fill_file = file;
	j->fill_from = f->filled;
	j->fill_write = needed_soon(j, file) ? FILL_SOON_WRITE_BYTES : FILL_WRITE_BYTES;
	j->fill_to =
	    f->limit - f->filled < FILL_STEP_BYTES ? f->limit : f->filled + FILL_STEP_BYTES;
	j->fill = (struct pool_job){.run = fill_run, .done = fill_done};
	j->filling = pool_submit(j->log->loop, &j->fill) == ERR_OK;
	if (j->filling)
		rounds_space_charge(&j->log->rounds, (size_t)(j->fill_to - j->fill_from));
}

void journal_fill(struct journal *j)
{
	if (j->log->closing)
		return; /* ahead of nobody; what the last entry needs, journal_place asks for */
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		unsigned file = (j->current + i) % JOURNAL_FILES;
		if (j->files[file].filled < j->files[file].limit) {
			fill_start(j, file);
			return;
		}
	}
}

/* ---- creating and opening -------------------------------------------------------------------- */

static enum err create_file(struct journal *j, unsigned file)
{
	struct io *io = j->log->io;
	struct journal_header h = {
	    .version = JOURNAL_VERSION, .file = file, .file_bytes = j->file_bytes};
	char path[LOG_PATH_MAX];
	TRY(journal_path(j, file, path));
	TRY(file_open(j, path, IO_CREATE, &j->files[file].fd));
	int fd = j->files[file].fd;
	uint8_t *block = mem_alloc_aligned(IO_DIRECT_ALIGN, JOURNAL_BLOCK);
	if (!block)
		return ERR_NOMEM;
	memcpy(h.secret, j->secret, sizeof(h.secret));
	journal_header_encode(&h, block);
	enum err e = io_truncate(io, fd, 0);
	if (e == ERR_OK)
		e = io_pwrite(io, fd, block, JOURNAL_BLOCK, 0);
	mem_free(block);
	TRY(e);
	j->files[file].filled = JOURNAL_BLOCK;
	if (file == 0) {
		uint64_t head = j->file_bytes < FILL_HEAD_BYTES ? j->file_bytes : FILL_HEAD_BYTES;
		TRY(fill_range(io, fd, JOURNAL_BLOCK, head, FILL_SOON_WRITE_BYTES));
		j->files[file].filled = head;
	}
	return io_fsync(io, fd);
}

enum err journal_fitting(
    struct io *io, const char *journal_dir, uint64_t bytes, uint64_t *ret_bytes)
{
	uint64_t left, keep;
	TRY(space_for(io, journal_dir, &left, &keep));
	while (bytes >= JOURNAL_BYTES_MIN && left < bytes + keep)
		bytes /= 2;
	*ret_bytes = bytes >= JOURNAL_BYTES_MIN ? bytes : 0;
	return ERR_OK;
}

static enum err check_space(const struct log *log, uint64_t bytes)
{
	uint64_t left, keep;
	TRY(space_for(log->io, log->journal_dir, &left, &keep));
	if (left >= bytes + keep)
		return ERR_OK;
	return err_note(ERR_NOSPACE,
	    "%s has %llu bytes free, and the journal takes %llu and leaves %llu: choose less by "
	    "kappa.journal.bytes, or another disk by kappa.journal.dir",
	    log->journal_dir, (unsigned long long)left, (unsigned long long)bytes,
	    (unsigned long long)keep);
}

static void journal_init(struct journal *j, struct log *log)
{
	*j = (struct journal){.log = log, .direct = true, .pos = JOURNAL_BLOCK, .next_number = 1};
	for (unsigned i = 0; i < JOURNAL_FILES; i++)
		j->files[i].fd = -1;
}

enum err journal_create(struct journal *j, struct log *log, uint64_t bytes)
{
	ASSERT(bytes / JOURNAL_FILES >= 4 * JOURNAL_BLOCK);
	journal_init(j, log);
	TRY(check_space(log, bytes));
	j->file_bytes = bytes / JOURNAL_FILES / JOURNAL_BLOCK * JOURNAL_BLOCK;
	io_random(log->io, j->secret, sizeof(j->secret));
	j->seed = journal_seed_of(j->secret);
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		j->files[i].limit = j->file_bytes;
		TRY(create_file(j, i));
	}
	return io_fsync_dir(log->io, log->journal_dir);
}

/* One good header gives the secret of all; a bad one is written again. */
static enum err open_headers(struct journal *j, uint8_t *block)
{
	struct journal_header good = {0}, h;
	bool bad[JOURNAL_FILES] = {false};
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		enum err e = io_pread_all(j->log->io, j->files[i].fd, block, JOURNAL_BLOCK, 0);
		e = e == ERR_OK ? journal_header_decode(block, &h) : e;
		if (e == ERR_NEWER_FORMAT)
			return e;
		bad[i] = e != ERR_OK || h.file != i;
		if (!bad[i])
			good = h;
	}
	if (good.version == 0)
		return err_note(
		    ERR_NO_JOURNAL, "%s: no journal file has a good header", j->log->journal_dir);
	j->file_bytes = good.file_bytes;
	memcpy(j->secret, good.secret, sizeof(j->secret));
	j->seed = journal_seed_of(j->secret);
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		if (!bad[i])
			continue;
		diag(DIAG_ERROR, "journal_rot", "file=%u what=header action=rewritten", i);
		good.file = i;
		journal_header_encode(&good, block);
		TRY(io_pwrite(j->log->io, j->files[i].fd, block, JOURNAL_BLOCK, 0));
		TRY(io_fdatasync(j->log->io, j->files[i].fd));
	}
	return ERR_OK;
}

enum err journal_open(struct journal *j, struct log *log)
{
	char path[LOG_PATH_MAX];
	journal_init(j, log);
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		TRY(journal_path(j, i, path));
		enum err e = file_open(j, path, 0, &j->files[i].fd);
		if (e == ERR_CORRUPT)
			return err_note(ERR_NO_JOURNAL, "%s is no journal file", path);
		if (e != ERR_OK)
			return e == ERR_NOT_FOUND ? err_note(ERR_NO_JOURNAL, "%s is missing", path)
			                          : e;
	}
	uint8_t *block = mem_alloc_aligned(IO_DIRECT_ALIGN, JOURNAL_BLOCK);
	if (!block)
		return ERR_NOMEM;
	enum err e = open_headers(j, block);
	mem_free(block);
	TRY(e);
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		struct io_stat st;
		TRY(io_fstat(log->io, j->files[i].fd, &st));
		j->files[i].filled = st.size_bytes / JOURNAL_BLOCK * JOURNAL_BLOCK;
		if (j->files[i].filled > j->file_bytes)
			j->files[i].filled = j->file_bytes;
		j->files[i].limit = j->file_bytes;
	}
	/* who made them, or the records, may have been killed before their names were durable */
	return io_fsync_dir(log->io, log->journal_dir);
}

/* ... of what is free of the reserve when a start finds too little. */
enum { FULL_PART = 4 };

enum err journal_give_back(struct journal *j, const uint64_t ends[JOURNAL_FILES])
{
	uint64_t left, keep, size = 0;
	TRY(space_for(j->log->io, j->log->journal_dir, &left, &keep));
	if (left >= keep / 2 / FULL_PART)
		return ERR_OK;
	for (unsigned i = 0; i < JOURNAL_FILES && left < keep; i++) {
		struct journal_file *f = &j->files[i];
		uint64_t lacks = (keep - left + JOURNAL_BLOCK - 1) / JOURNAL_BLOCK * JOURNAL_BLOCK;
		uint64_t least = ends[i] + GIVE_BACK_LEAST;
		if (f->filled <= least)
			continue;
		size = f->filled - least > lacks ? f->filled - lacks : least;
		TRY(io_truncate(j->log->io, f->fd, size));
		diag(DIAG_WARN, "journal_given_back",
		    "file=%u bytes=%llu free=%llu what=\"the disk "
		    "is full\"",
		    i, (unsigned long long)(f->filled - size), (unsigned long long)left);
		left += f->filled - size;
		f->filled = size;
	}
	return ERR_OK;
}

void journal_close(struct journal *j)
{
	if (!j->log)
		return;
	ASSERT(!j->filling);
	for (unsigned i = 0; i < JOURNAL_FILES; i++) {
		if (j->files[i].fd >= 0 && io_close(j->log->io, j->files[i].fd) != ERR_OK) {
			diag(DIAG_WARN, "journal_close", "error=\"%s\"", err_chain());
			err_clear();
		}
		j->files[i].fd = -1;
	}
}

/* ---- the place of an entry ------------------------------------------------------------------- */

/*
 * The first place for `len` bytes at or behind *file, *pos. False: the next in turn is a file that
 * is still needed.
 */
static bool place_find(const struct journal *j, uint64_t len, unsigned *file, uint64_t *pos)
{
	unsigned at = *file;
	uint64_t from = *pos;
	for (unsigned i = 0; i <= JOURNAL_FILES; i++) {
		const struct journal_file *f = &j->files[at];
		/* round to where it began: not over what is there */
		uint64_t limit = i == JOURNAL_FILES && *pos < f->limit ? *pos : f->limit;
		if (from + len <= limit) {
			if (i > 0 && f->last_number > j->checkpoint_number)
				return false;
			*file = at;
			*pos = from;
			return true;
		}
		at = (at + 1) % JOURNAL_FILES;
		from = JOURNAL_BLOCK;
	}
	return false;
}

enum err journal_place_copy(
    const struct journal *j, uint64_t len, unsigned *ret_file, uint64_t *ret_pos)
{
	unsigned file = j->current;
	uint64_t pos = j->pos;
	if (!place_find(j, len, &file, &pos))
		return ERR_AGAIN;
	*ret_file = file;
	*ret_pos = pos;
	return ERR_OK;
}

enum err journal_place(
    struct journal *j, uint64_t len, int *ret_fd, uint64_t *ret_pos, bool *ret_checkpoint)
{
	ASSERT(len % JOURNAL_BLOCK == 0 && len > 0 && len <= journal_entry_max(j));
	unsigned file = j->current;
	uint64_t pos = j->pos;
	bool found = place_find(j, len, &file, &pos);
	unsigned copy_file = file;
	uint64_t copy_pos = pos + len;
	*ret_checkpoint = !found || !place_find(j, len, &copy_file, &copy_pos);
	if (*ret_checkpoint)
		return ERR_AGAIN;
	if (pos + len > j->files[file].filled) {
		fill_start(j, file);
		return ERR_AGAIN;
	}
	j->current = file;
	j->pos = pos;
	*ret_fd = j->files[file].fd;
	*ret_pos = pos;
	return ERR_OK;
}

void journal_placed(struct journal *j, uint64_t len, uint64_t number)
{
	ASSERT(number == j->next_number);
	j->files[j->current].last_number = number;
	j->pos += len;
	j->next_number = number + 1;
}
