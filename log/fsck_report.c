/* SPDX-License-Identifier: Apache-2.0 */
/* What fsck says besides verdicts: JSON lines, progress, what lies in quarantine and why. */
#include "log/base/json_write.h"
#include "log/engine.h"
#include "log/fsck.h"
#include <stdio.h>

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A value in quotes ends at the quote that another pair or nothing follows: reasons may quote. */
static size_t quoted_len(struct str s)
{
	for (size_t i = 1; i < s.len; i++) {
		if (s.ptr[i] != '"')
			continue;
		size_t at = i + 1;
		if (at == s.len)
			return i + 1;
		if (s.ptr[at] != ' ')
			continue;
		while (++at < s.len && ((s.ptr[at] >= 'a' && s.ptr[at] <= 'z') || s.ptr[at] == '_'))
			;
		if (at < s.len && s.ptr[at] == '=')
			return i + 1;
	}
	return s.len;
}

static size_t value_len(struct str s)
{
	if (s.len > 0 && s.ptr[0] == '"')
		return quoted_len(s);
	const char *space = memchr(s.ptr, ' ', s.len);
	return space ? (size_t)(space - s.ptr) : s.len;
}

static void json_value(struct json_writer *j, struct str key, struct str value)
{
	int64_t number;
	uint64_t large;
	bool name = str_equal(key, STR("file")) || str_equal(key, STR("partition"));
	json_key(j, key);
	if (value.len >= 2 && value.ptr[0] == '"')
		json_str(j, str_from(value.ptr + 1, value.len - 2));
	else if (!name && str_to_i64(value, &number))
		json_i64(j, number);
	else if (!name && str_to_u64(value, &large))
		json_u64(j, large);
	else
		json_str(j, value);
}

void fsck_json(struct writer *out, struct str logfmt)
{
	struct json_writer j;
	struct str rest = logfmt;
	json_write_init(&j, out);
	json_object_begin(&j);
	while (rest.len > 0) {
		const char *equals = memchr(rest.ptr, '=', rest.len);
		if (!equals)
			break;
		struct str key = str_from(rest.ptr, (size_t)(equals - rest.ptr));
		rest = str_from(equals + 1, rest.len - key.len - 1);
		size_t len = value_len(rest);
		json_value(&j, key, str_from(rest.ptr, len));
		len += len < rest.len ? 1 : 0; /* the space */
		rest = str_from(rest.ptr + len, rest.len - len);
	}
	json_object_end(&j);
}

/* ---- progress -------------------------------------------------------------------------------- */

void fsck_progress(struct fsck *f, uint64_t len)
{
	f->bytes_done += len;
	if (f->bytes_done > f->bytes_total)
		f->bytes_total = f->bytes_done;
	if (f->options.progress)
		f->options.progress(f->options.progress_ctx, f->bytes_done, f->bytes_total);
}

static enum err measure_directory(struct fsck *f, const char *dir)
{
	char path[LOG_PATH_MAX];
	struct io_stat stat;
	struct io_names names;
	TRY(fsck_path(f, path, "topics/%s", dir));
	TRY(io_list(f->io, path, &names));
	enum err err = ERR_OK;
	for (size_t i = 0; i < names.count && err == ERR_OK; i++) {
		size_t len = strlen(names.name[i]);
		if (len < 4 || strcmp(names.name[i] + len - 4, ".log") != 0)
			continue;
		err = fsck_path(f, path, "topics/%s/%s", dir, names.name[i]);
		if (err == ERR_OK)
			err = io_stat(f->io, path, &stat);
		if (err == ERR_OK)
			f->bytes_total += stat.size_bytes;
	}
	io_names_release(&names);
	return err;
}

void fsck_measure(struct fsck *f)
{
	struct io_names dirs = {0};
	if (!f->options.progress)
		return;
	if (fsck_list_topics(f, &dirs) != ERR_OK)
		err_clear();
	for (size_t i = 0; i < dirs.count; i++)
		if (measure_directory(f, dirs.name[i]) != ERR_OK)
			err_clear();
	io_names_release(&dirs);
}

/* ---- quarantine ------------------------------------------------------------------------------ */

static const struct {
	const char *prefix, *reason;
} kept_for[] = {
    {"torn_tail-", "segment bytes behind the last complete round, never acknowledged"},
    {"torn_round-", "the journal's last round, torn, never acknowledged"},
    {"journal-", "a journal that --rebuild-journal replaced"},
};

static const char *reason_of(const char *name)
{
	for (size_t i = 0; i < sizeof(kept_for) / sizeof(kept_for[0]); i++)
		if (strncmp(name, kept_for[i].prefix, strlen(kept_for[i].prefix)) == 0)
			return kept_for[i].reason;
	return "not put here by this program";
}

enum err fsck_quarantine(struct fsck *f)
{
	char path[LOG_PATH_MAX];
	struct io_names names;
	struct io_stat stat;
	TRY(fsck_path(f, path, "quarantine"));
	enum err err = io_list(f->io, path, &names);
	if (err == ERR_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	TRY(err);
	for (size_t i = 0; i < names.count && err == ERR_OK; i++) {
		err = fsck_path(f, path, "quarantine/%s", names.name[i]);
		if (err == ERR_OK)
			err = io_stat(f->io, path, &stat);
		if (err == ERR_OK)
			fsck_find(f, ERR_OK, "file=quarantine/%s bytes=%llu reason=\"%s\"",
			    names.name[i], (unsigned long long)stat.size_bytes,
			    reason_of(names.name[i]));
	}
	io_names_release(&names);
	return err;
}
