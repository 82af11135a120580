/* SPDX-License-Identifier: Apache-2.0 */
/* See journal_where.h. */
#include "log/journal_where.h"
#include "log/catalog.h"
#include "log/journal.h"
#include <stdio.h>

enum { NOTE_BYTES_MAX = 2 * LOG_PATH_MAX };

/* What there is, before anything is decided. */
struct found {
	bool location, owner; /* the two files */
	bool journal;         /* a first journal file in w->dir */
	bool inside;          /* the same in <data>/journal */
	bool topics;          /* <data>/topics has something in it */
	char location_dir[LOG_PATH_MAX];
	struct log_uuid location_id, owner_id;
	char owner_data[LOG_PATH_MAX];
};

/* ---- the two files --------------------------------------------------------------------------- */

static enum err path_in(char *buf, const char *dir, const char *name)
{
	int n = snprintf(buf, LOG_PATH_MAX, "%s/%s", dir, name);
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: path too long", dir);
}

/* "id=" and one path, in lines. ERR_NOT_FOUND, ERR_CORRUPT. */
static enum err note_read(
    struct io *io, const char *path, struct str key, char *ret_path, struct log_uuid *ret_id)
{
	struct bytes file;
	TRY(io_read_file(io, path, NOTE_BYTES_MAX, &file));
	struct str rest = bytes_str(file);
	bool id = false, named = false;
	while (rest.len > 0) {
		const char *end = memchr(rest.ptr, '\n', rest.len);
		struct str line = str_from(rest.ptr, end ? (size_t)(end - rest.ptr) : rest.len);
		size_t step = line.len + (end ? 1 : 0);
		if (line.len > 3 && memcmp(line.ptr, "id=", 3) == 0) {
			id = uuid_parse(str_from(line.ptr + 3, line.len - 3), ret_id);
		} else if (line.len > key.len && memcmp(line.ptr, key.ptr, key.len) == 0 &&
		           line.len - key.len < LOG_PATH_MAX) {
			memcpy(ret_path, line.ptr + key.len, line.len - key.len);
			ret_path[line.len - key.len] = '\0';
			named = true;
		}
		rest = str_from(rest.ptr + step, rest.len - step);
	}
	mem_free((void *)(uintptr_t)file.ptr);
	if (!id || !named)
		return err_note(ERR_CORRUPT,
		    "%s: id= and " STR_FMT " are expected; if it was "
		    "damaged, move the journal back into the data directory",
		    path, STR_ARG(key));
	return ERR_OK;
}

static enum err note_write(
    struct io *io, const char *path, const char *key, const char *value, struct log_uuid id)
{
	char text[NOTE_BYTES_MAX], uuid[UUID_TEXT_BYTES];
	int n = snprintf(text, sizeof(text), "%s=%s\nid=%s\n", key, value, uuid_format(id, uuid));
	ASSERT(n > 0 && (size_t)n < sizeof(text));
	return io_write_file(io, path, bytes_of(text, (size_t)n));
}

enum err journal_where_note(struct io *io, const char *data_dir, struct journal_where *w)
{
	char path[LOG_PATH_MAX];
	if (!w->outside)
		return ERR_OK;
	if (log_uuid_is_zero(w->id))
		w->id = uuid_random(io);
	TRY(path_in(path, w->dir, "owner"));
	TRY(note_write(io, path, "data", data_dir, w->id));
	TRY(path_in(path, data_dir, "journal.location"));
	return note_write(io, path, "dir", w->dir, w->id);
}

/* ---- looking --------------------------------------------------------------------------------- */

static enum err there(struct io *io, const char *dir, const char *name, bool *ret_there)
{
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	TRY(path_in(path, dir, name));
	enum err err = io_stat(io, path, &stat);
	*ret_there = err == ERR_OK;
	if (err == ERR_NOT_FOUND)
		err_clear();
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err topics_there(struct io *io, const char *data_dir, bool *ret_there)
{
	char path[LOG_PATH_MAX];
	struct io_names names;
	*ret_there = false;
	TRY(path_in(path, data_dir, "topics"));
	enum err err = io_list(io, path, &names);
	if (err == ERR_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	*ret_there = names.count > 0;
	io_names_release(&names);
	return ERR_OK;
}

/* Of a file that was made, but never appended to, little is filled. */
static enum err entry_there(struct io *io, const char *path, bool *ret_there)
{
	struct journal_iter it;
	struct journal_found found;
	enum err err = journal_iter_open(&it, io, path, 0);
	*ret_there = false;
	if (err == ERR_NOT_FOUND || err == ERR_CORRUPT) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	it.check_from = UINT64_MAX; /* headers only */
	err = journal_iter_next(&it, &found);
	*ret_there = err == ERR_OK;
	journal_iter_release(&it);
	return err == ERR_EOF ? ERR_OK : err;
}

enum err journal_where_unused(
    struct io *io, const char *data_dir, const char *journal_dir, bool *ret_unused)
{
	bool used;
	TRY(topics_there(io, data_dir, &used));
	for (unsigned i = 0; i < JOURNAL_FILES && !used; i++) {
		char path[LOG_PATH_MAX], name[16];
		TRY(path_in(path, journal_dir, journal_file_name(i, name)));
		TRY(entry_there(io, path, &used));
	}
	*ret_unused = !used;
	return ERR_OK;
}

static enum err read_location(struct io *io, const char *data_dir, struct found *f)
{
	char path[LOG_PATH_MAX];
	TRY(path_in(path, data_dir, "journal.location"));
	enum err err = note_read(io, path, STR("dir="), f->location_dir, &f->location_id);
	f->location = err == ERR_OK;
	if (err == ERR_NOT_FOUND)
		err_clear();
	return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static enum err look(
    struct io *io, const char *data_dir, const struct journal_where *w, struct found *f)
{
	char path[LOG_PATH_MAX], name[16];
	TRY(path_in(path, w->dir, "owner"));
	enum err err = note_read(io, path, STR("data="), f->owner_data, &f->owner_id);
	f->owner = err == ERR_OK;
	if (err == ERR_NOT_FOUND) {
		err_clear();
		err = ERR_OK;
	}
	TRY(err);
	TRY(there(io, w->dir, journal_file_name(0, name), &f->journal));
	TRY(path_in(path, data_dir, "journal"));
	TRY(there(io, path, journal_file_name(0, name), &f->inside));
	return topics_there(io, data_dir, &f->topics);
}

/* Without slashes at the end. */
static enum err set_dir(struct journal_where *w, const char *data_dir, const char *dir)
{
	char inside[LOG_PATH_MAX];
	size_t len = strlen(dir);
	while (len > 1 && dir[len - 1] == '/')
		len--;
	TRY(path_in(inside, data_dir, "journal"));
	if (len >= LOG_PATH_MAX - 32)
		return err_note(ERR_LIMIT, "%s: path too long", dir);
	memcpy(w->dir, dir, len);
	w->dir[len] = '\0';
	w->outside = strcmp(w->dir, inside) != 0;
	if (w->outside && w->dir[0] != '/')
		return err_note(
		    ERR_INVALID, "journal directory %s: an absolute path is needed", dir);
	return ERR_OK;
}

/*
 * The server empties trash/ and renames and removes what is in topics/ and others: of the data
 * directory only <data>/journal is for a journal.
 */
static enum err check_place(struct io *io, const char *data_dir, const struct journal_where *w)
{
	char below[IO_PATH_MAX];
	struct io_stat stat;
	bool in;
	enum err err = w->outside ? ERR_OK : io_stat(io, w->dir, &stat);
	if (!w->outside && (err == ERR_NOT_FOUND || (err == ERR_OK && !stat.is_link))) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	TRY(io_path_below(io, w->dir, data_dir, &in, below));
	if (!in || strcmp(below, "journal") == 0)
		return ERR_OK;
	return err_note(ERR_INVALID_CONFIG,
	    "the journal cannot be in %s, which is %s of the data directory %s: what is in there "
	    "the server empties, renames and removes; leave kappa.journal.dir empty (that is "
	    "%s/journal), or name a directory outside",
	    w->dir, below[0] ? below : "all", data_dir, data_dir);
}

/* ---- judging --------------------------------------------------------------------------------- */

/* The location names an id: what must be in w->dir. */
static enum err judge_located(
    const char *data_dir, const struct journal_where *w, const struct found *f)
{
	if (!f->owner)
		return err_note(ERR_NO_JOURNAL,
		    "the journal of %s is not in %s (is that disk mounted?); %s/journal.location "
		    "says %s",
		    data_dir, w->dir, data_dir, f->location_dir);
	if (!log_uuid_equal(f->owner_id, f->location_id))
		return err_note(ERR_REFUSED,
		    "%s has the journal of another log, %s; that of %s is in %s by "
		    "journal.location",
		    w->dir, f->owner_data, data_dir, f->location_dir);
	return ERR_OK;
}

/* There is no location, and the journal shall be outside. */
static enum err judge_first(
    const char *data_dir, const struct journal_where *w, const struct found *f)
{
	if (f->inside && (f->journal || f->owner))
		return err_note(ERR_REFUSED,
		    "there is a journal in %s and one in %s/journal: take the one away that is "
		    "not this log's",
		    w->dir, data_dir);
	if (f->inside)
		return err_note(ERR_NO_JOURNAL,
		    "the journal is in %s/journal: move its files to %s, or leave "
		    "kappa.journal.dir empty",
		    data_dir, w->dir);
	if (f->owner && f->journal)
		return err_note(
		    ERR_REFUSED, "%s has the journal of another log, %s", w->dir, f->owner_data);
	if (f->journal && !f->topics)
		return err_note(ERR_REFUSED,
		    "%s has a journal, and %s is empty: it is another log's", w->dir, data_dir);
	if (!f->journal && f->topics)
		return err_note(ERR_NO_JOURNAL,
		    "the journal of %s is not in %s (is that disk "
		    "mounted?)",
		    data_dir, w->dir);
	return ERR_OK;
}

static enum err judge(const char *data_dir, const struct journal_where *w, const struct found *f)
{
	if (f->location)
		return judge_located(data_dir, w, f);
	return w->outside ? judge_first(data_dir, w, f) : ERR_OK;
}

enum err journal_where_find(
    struct io *io, const char *data_dir, const char *configured, struct journal_where *ret)
{
	char inside[LOG_PATH_MAX];
	struct found f = {0};
	*ret = (struct journal_where){.lock = DIRLOCK_NONE};
	TRY(path_in(inside, data_dir, "journal"));
	TRY(set_dir(ret, data_dir, inside));
	TRY(read_location(io, data_dir, &f));
	TRY(look(io, data_dir, ret, &f));
	if (f.location)
		TRY(set_dir(ret, data_dir, f.location_dir));
	else if (configured && !f.inside)
		TRY(set_dir(ret, data_dir, configured));
	TRY(look(io, data_dir, ret, &f));
	ret->id = f.location ? f.location_id : f.owner_id;
	return judge(data_dir, ret, &f);
}

/* ---- a start --------------------------------------------------------------------------------- */

enum err journal_where_lock(struct io *io, struct journal_where *w, enum dirlock_use use)
{
	if (!w->outside)
		return ERR_OK; /* whoever has the data directory has it */
	enum err err = dirlock_take(io, w->dir, use, &w->lock);
	return err == ERR_LOCKED
	           ? err_note(
	                 err, "journal in %s: is this a copy of another server's data?", w->dir)
	           : err;
}

/* Moved back into the data directory, with its owner: the two files have done their work. */
static enum err forget(struct io *io, const char *data_dir, const struct journal_where *w)
{
	char path[LOG_PATH_MAX];
	TRY(path_in(path, data_dir, "journal.location"));
	TRY(io_unlink(io, path));
	TRY(io_fsync_dir(io, data_dir));
	TRY(path_in(path, w->dir, "owner"));
	return io_unlink(io, path);
}

static enum err take(struct io *io, const char *data_dir, struct journal_where *w)
{
	struct found f = {0};
	TRY(check_place(io, data_dir, w));
	TRY(read_location(io, data_dir, &f));
	if (!w->outside && !f.location)
		return io_mkdir_all(io, w->dir);
	TRY(look(io, data_dir, w, &f));
	TRY(judge(data_dir, w, &f));
	if (!w->outside)
		return forget(io, data_dir, w);
	w->id = f.location ? f.location_id : f.owner_id;
	TRY(io_mkdir_all(io, w->dir));
	TRY(journal_where_lock(io, w, DIRLOCK_WRITE));
	bool same = f.location && strcmp(f.location_dir, w->dir) == 0 &&
	            strcmp(f.owner_data, data_dir) == 0;
	if (same)
		return ERR_OK;
	diag(DIAG_INFO, "journal_place", "dir=%s was=%s", w->dir,
	    f.location ? f.location_dir : "new");
	return journal_where_note(io, data_dir, w);
}

enum err journal_where_take(
    struct io *io, const char *data_dir, const char *configured, struct journal_where *ret)
{
	char inside[LOG_PATH_MAX];
	struct found f = {0};
	*ret = (struct journal_where){.lock = DIRLOCK_NONE};
	TRY(read_location(io, data_dir, &f));
	TRY(path_in(inside, data_dir, "journal"));
	TRY(set_dir(ret, data_dir, configured ? configured : f.location ? f.location_dir : inside));
	return take(io, data_dir, ret);
}

void journal_where_release(struct io *io, struct journal_where *w)
{
	dirlock_release(io, &w->lock);
}
