/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an import that did not end has left, and how the next one settles it (import.h).
 * <data>/import is there from the first byte written until the topic's row is durable; import/state
 * in it from the moment on at which directories may have moved to topics/.
 */
#include "log/fsck.h"
#include "log/import.h"
#include <stdio.h>

#define STATE_FMT "topic=%s id=%s first_sequence=%llu last_sequence=%llu\n"

static enum err path_of(char *buf, const char *data_dir, const char *below, const char *name)
{
	int n = snprintf(
	    buf, LOG_PATH_MAX, "%s/%s%s%s", data_dir, below, name ? "/" : "", name ? name : "");
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "path too long");
}

/* ---- the state ------------------------------------------------------------------------------- */

/* Takes `name` and what stands behind it, up to a blank or the line's end, from *rest. */
static bool field_take(struct str *rest, struct str name, struct str *ret_value)
{
	if (rest->len < name.len || memcmp(rest->ptr, name.ptr, name.len) != 0)
		return false;
	size_t n = name.len;
	while (n < rest->len && rest->ptr[n] != ' ' && rest->ptr[n] != '\n')
		n++;
	*ret_value = str_from(rest->ptr + name.len, n - name.len);
	n += n < rest->len;
	*rest = str_from(rest->ptr + n, rest->len - n);
	return true;
}

/* What import_left_note wrote, and nothing else. */
static enum err state_parse(struct str text, struct import_left *l)
{
	struct str topic, id, first, last;
	bool good = field_take(&text, STR("topic="), &topic) &&
	            field_take(&text, STR("id="), &id) &&
	            field_take(&text, STR("first_sequence="), &first) &&
	            field_take(&text, STR("last_sequence="), &last) && text.len == 0 &&
	            log_topic_name_check(topic) == ERR_OK && uuid_parse(id, &l->id) &&
	            str_to_u64(first, &l->first_sequence) && str_to_u64(last, &l->last_sequence);
	if (!good)
		return err_note(ERR_CORRUPT, "import/state says nothing");
	memcpy(l->topic, topic.ptr, topic.len);
	l->topic[topic.len] = '\0';
	l->moved = true;
	return ERR_OK;
}

enum err import_left_read(struct io *io, const char *data_dir, struct import_left *ret_left)
{
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	struct bytes file;
	*ret_left = (struct import_left){.io = io, .data_dir = data_dir};
	TRY(path_of(path, data_dir, "import", NULL));
	enum err err = io_stat(io, path, &stat);
	ret_left->there = err == ERR_OK;
	if (err == ERR_OK)
		TRY(path_of(path, data_dir, "import", "state"));
	if (err == ERR_OK)
		err = io_read_file(io, path, 4 * KIB, &file);
	if (err == ERR_NOT_FOUND) {
		err_clear(); /* nothing was moved */
		return ERR_OK;
	}
	TRY(err);
	err = state_parse(bytes_str(file), ret_left);
	mem_free((void *)(uintptr_t)file.ptr);
	return err;
}

enum err import_left_note(const struct import_left *l)
{
	char path[LOG_PATH_MAX], text[512], id[48];
	int n = snprintf(text, sizeof(text), STATE_FMT, l->topic, uuid_format(l->id, id),
	    (unsigned long long)l->first_sequence, (unsigned long long)l->last_sequence);
	ASSERT(n > 0 && (size_t)n < sizeof(text));
	TRY(path_of(path, l->data_dir, "import", "state"));
	TRY(io_write_file(l->io, path, bytes_of(text, (size_t)n)));
	return io_fsync_dir(l->io, l->data_dir);
}

/* ---- taking away ----------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *end)
{
	size_t a = strlen(name), b = strlen(end);
	return a > b && strcmp(name + a - b, end) == 0;
}

/* A directory with nothing in it but a partition's files. */
static enum err remove_partition(struct io *io, const char *dir)
{
	char path[LOG_PATH_MAX];
	struct io_names names;
	enum err err = io_list(io, dir, &names);
	TRY(err);
	for (size_t i = 0; i < names.count && err == ERR_OK; i++) {
		const char *name = names.name[i];
		if (!ends_in(name, ".log") && !ends_in(name, ".idx") && !ends_in(name, ".snap") &&
		    !ends_in(name, ".new"))
			err =
			    err_note(ERR_EXISTS, "%s/%s is not of an import: remove it", dir, name);
		if (err == ERR_OK)
			err = path_of(path, dir, name, NULL);
		if (err == ERR_OK)
			err = io_unlink(io, path);
	}
	io_names_release(&names);
	return err == ERR_OK ? io_rmdir(io, dir) : err;
}

enum err import_left_remove(const struct import_left *l)
{
	char dir[LOG_PATH_MAX], path[LOG_PATH_MAX];
	struct io_names names;
	TRY(path_of(dir, l->data_dir, "import", NULL));
	enum err err = io_list(l->io, dir, &names);
	if (err == ERR_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	/* the state last: as long as directories may be about it says whose they are */
	for (int last = 0; last < 2; last++) {
		for (size_t i = 0; i < names.count && err == ERR_OK; i++) {
			if ((strncmp(names.name[i], "state", 5) == 0) != last)
				continue;
			err = path_of(path, dir, names.name[i], NULL);
			if (err == ERR_OK)
				err = last ? io_unlink(l->io, path) : remove_partition(l->io, path);
		}
	}
	io_names_release(&names);
	TRY(err);
	TRY(io_rmdir(l->io, dir));
	return io_fsync_dir(l->io, l->data_dir);
}

/* Is every segment in it of that id? */
static enum err is_of(struct io *io, const char *dir, struct log_uuid id, bool *ret_is)
{
	char path[LOG_PATH_MAX], topic[TOPIC_NAME_MAX + 1];
	struct io_names names;
	struct segment_header h;
	enum err err = io_list(io, dir, &names);
	TRY(err);
	*ret_is = true;
	for (size_t i = 0; i < names.count && err == ERR_OK; i++) {
		int fd;
		if (!ends_in(names.name[i], ".log"))
			continue;
		err = path_of(path, dir, names.name[i], NULL);
		if (err == ERR_OK)
			err = io_open(io, path, IO_READONLY, &fd);
		if (err != ERR_OK)
			break;
		err = segment_file_header(io, fd, topic, &h);
		*ret_is = *ret_is && err == ERR_OK && log_uuid_equal(h.topic_id, id);
		enum err closed = io_close(io, fd);
		err = err == ERR_OK ? closed : err;
	}
	io_names_release(&names);
	return err;
}

/* What had moved to topics/ and belongs to no topic. */
static enum err remove_moved(const struct import_left *l)
{
	char topics[LOG_PATH_MAX], dir[LOG_PATH_MAX];
	struct io_names names;
	size_t len = strlen(l->topic);
	TRY(path_of(topics, l->data_dir, "topics", NULL));
	TRY(io_list(l->io, topics, &names));
	enum err err = ERR_OK;
	for (size_t i = 0; i < names.count && err == ERR_OK; i++) {
		int64_t partition;
		bool ours = false;
		if (strncmp(names.name[i], l->topic, len) != 0 || names.name[i][len] != '-' ||
		    !str_to_i64(str_of(names.name[i] + len + 1), &partition))
			continue;
		err = path_of(dir, topics, names.name[i], NULL);
		if (err == ERR_OK)
			err = is_of(l->io, dir, l->id, &ours);
		if (err == ERR_OK && ours)
			err = remove_partition(l->io, dir);
	}
	io_names_release(&names);
	return err == ERR_OK ? io_fsync_dir(l->io, topics) : err;
}

/* Nobody has its sequences then: they are burnt, by name. */
static enum err burn(const struct import_left *l, const char *journal_dir)
{
	struct offline_record record = {.capacity = 0};
	TRY(offline_record_read(l->io, journal_dir, &record));
	struct checkpoint_header *h = &record.record.header;
	enum err err = ERR_OK;
	if (h->gap_count >= CHECKPOINT_GAPS_MAX)
		err = err_note(ERR_REFUSED, "%s was not stopped cleanly", l->data_dir);
	if (err == ERR_OK && l->first_sequence <= l->last_sequence) {
		record.record.gaps[h->gap_count++] =
		    (struct checkpoint_gap){l->first_sequence, l->last_sequence};
		err = offline_record_write(l->io, journal_dir, &record);
	}
	offline_record_release(&record);
	return err;
}

enum err import_left_settle(const struct import_left *l, const char *journal_dir)
{
	if (!l->there)
		return ERR_OK;
	char path[LOG_PATH_MAX];
	TRY(path_of(path, l->data_dir, "import", NULL));
	TRY(io_fsync_dir(l->io, path)); /* what was renamed out of it stays so */
	if (l->moved && !l->known) {
		TRY(burn(l, journal_dir));
		TRY(remove_moved(l));
	}
	return import_left_remove(l);
}
