/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's log-start-offset-checkpoint. See starts.h. */
#include "log/starts.h"
#include <stdio.h>

#define STARTS_BYTES_MAX (64 * MIB)

static enum err path_of(const char *dir, char *buf)
{
	int n = snprintf(buf, IO_PATH_MAX, "%s/log-start-offset-checkpoint", dir);
	return n > 0 && n < IO_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "%s: path too long", dir);
}

/* Up to `end`, or all; *rest begins behind it. */
static struct str cut(struct str *rest, char end)
{
	const char *at = rest->len > 0 ? memchr(rest->ptr, end, rest->len) : NULL;
	size_t len = at ? (size_t)(at - rest->ptr) : rest->len, past = len + (at ? 1 : 0);
	struct str head = str_from(rest->ptr, len);
	*rest = str_from(rest->ptr + past, rest->len - past);
	return head;
}

static enum err add(struct starts *s, struct starts_entry entry)
{
	if (s->count == s->capacity) {
		size_t capacity = s->capacity ? s->capacity * 2 : 16;
		struct starts_entry *grown = mem_realloc(s->entry, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		s->entry = grown;
		s->capacity = capacity;
	}
	s->entry[s->count++] = entry;
	return ERR_OK;
}

static bool parse_entry(struct str line, struct starts_entry *ret)
{
	int64_t partition;
	ret->topic = cut(&line, ' ');
	bool good = ret->topic.len > 0 && str_to_i64(cut(&line, ' '), &partition) &&
	            partition >= 0 && partition <= INT32_MAX && str_to_i64(line, &ret->offset) &&
	            ret->offset >= 0;
	ret->partition = good ? (int32_t)partition : -1;
	return good;
}

static enum err parse(struct starts *s, const char *path)
{
	struct str rest = bytes_str(s->file);
	int64_t version, count, line = 1;
	bool good = str_to_i64(cut(&rest, '\n'), &version) && version == 0 && ++line &&
	            str_to_i64(cut(&rest, '\n'), &count) && count >= 0;
	while (good && rest.len > 0) {
		struct starts_entry entry;
		line++;
		good = parse_entry(cut(&rest, '\n'), &entry);
		if (good)
			TRY(add(s, entry));
	}
	if (good && (uint64_t)count == s->count)
		return ERR_OK;
	return err_note(ERR_CORRUPT,
	    "%s line %lld is not what Kafka writes; without that file what it deleted is taken for "
	    "there",
	    path, (long long)line);
}

enum err starts_read(struct io *io, const char *dir, struct starts *ret)
{
	char path[IO_PATH_MAX];
	*ret = (struct starts){.found = false};
	TRY(path_of(dir, path));
	size_t mark = err_mark();
	enum err err = io_read_file(io, path, STARTS_BYTES_MAX, &ret->file);
	if (err == ERR_NOT_FOUND) {
		err_rewind(mark);
		return ERR_OK;
	}
	TRY(err);
	ret->found = true;
	err = parse(ret, path);
	if (err != ERR_OK)
		starts_release(ret);
	return err;
}

void starts_release(struct starts *s)
{
	mem_free((void *)(uintptr_t)s->file.ptr);
	mem_free(s->entry);
	*s = (struct starts){.found = false};
}

/* ---- entries --------------------------------------------------------------------------------- */

static bool names(const struct starts_entry *e, struct str topic, int32_t partition)
{
	return e->partition == partition && str_equal(e->topic, topic);
}

int64_t starts_of(const struct starts *s, struct str topic, int32_t partition)
{
	int64_t most = 0;
	for (size_t i = 0; i < s->count; i++)
		if (names(&s->entry[i], topic, partition) && s->entry[i].offset > most)
			most = s->entry[i].offset;
	return most;
}

enum err starts_set(struct starts *s, struct str topic, int32_t partition, int64_t offset)
{
	size_t kept = 0;
	for (size_t i = 0; i < s->count; i++)
		if (!names(&s->entry[i], topic, partition))
			s->entry[kept++] = s->entry[i];
	s->count = kept;
	return offset > 0 ? add(s, (struct starts_entry){topic, partition, offset}) : ERR_OK;
}

enum err starts_write(struct io *io, const char *dir, const struct starts *s)
{
	char path[IO_PATH_MAX];
	struct writer text;
	if (!s->found && s->count == 0)
		return ERR_OK;
	TRY(path_of(dir, path));
	writer_init(&text, STARTS_BYTES_MAX);
	write_printf(&text, "0\n%zu\n", s->count);
	for (size_t i = 0; i < s->count; i++)
		write_printf(&text, STR_FMT " %d %lld\n", STR_ARG(s->entry[i].topic),
		    s->entry[i].partition, (long long)s->entry[i].offset);
	enum err err = text.err;
	if (err == ERR_OK)
		err = io_write_file(io, path, writer_bytes(&text));
	writer_release(&text);
	return err;
}
