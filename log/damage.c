/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The list of damaged places: see damage.h. The file has lines of 32 bytes, newline included:
 *
 *   kappa damaged places, version 1
 *   <base offset of the segment, 20 digits> <position, 10 digits>     any number of these
 *   xxh3-64 <16 hex digits of XXH3-64 of all lines before>, spaces
 */
#include "log/damage.h"
#include "log/engine.h"
#include "log/partition_drop.h"
#include "log/recovery.h"
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define DAMAGE_HEAD "kappa damaged places, version 1\n"
#define DAMAGE_SEED UINT64_C(0x6d64616d6170706b)
enum {
	LINE = 32,
	SEGMENT_DIGITS = 20,
	POS_DIGITS = 10,
	FILE_MAX = (DAMAGE_PLACES_MAX + 2) * LINE,
};
_Static_assert(sizeof(DAMAGE_HEAD) == LINE + 1, "a line");

/* ---- in memory ------------------------------------------------------------------------------- */

void damage_release(struct damage *d)
{
	ASSERT(!d->saving);
	mem_free(d->place);
	*d = (struct damage){0};
}

static bool has(const struct damage *d, int64_t segment, uint32_t pos)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->place[i].segment == segment && d->place[i].pos == pos)
			return true;
	return false;
}

static enum err add(struct damage *d, int64_t segment, uint32_t pos)
{
	if (d->count == d->capacity) {
		size_t capacity = d->capacity ? 2 * d->capacity : 4;
		struct damage_place *grown = mem_realloc(d->place, capacity * sizeof(*grown));
		if (!grown)
			return ERR_NOMEM;
		d->place = grown;
		d->capacity = capacity;
	}
	d->place[d->count++] = (struct damage_place){segment, pos};
	return ERR_OK;
}

void damage_note(struct log_partition *p, int64_t segment, uint32_t pos)
{
	struct damage *d = &p->damage;
	if (has(d, segment, pos))
		return;
	d->lasting |= d->count >= DAMAGE_PLACES_MAX;
	if (d->count >= DAMAGE_PLACES_MAX)
		return;
	size_t mark = err_mark();
	enum err e = add(d, segment, pos);
	d->unsaved |= e == ERR_OK;
	d->lasting |= e != ERR_OK;
	if (e != ERR_OK)
		diag(DIAG_WARN, "damage_forgotten", "partition=%s segment=%lld pos=%u", p->dir,
		    (long long)segment, pos);
	err_rewind(mark);
	damage_save(p);
}

void damage_mended(struct log_partition *p, int64_t segment, uint32_t pos)
{
	struct damage *d = &p->damage;
	loop_assert_owner(p->log->loop);
	for (size_t i = 0; i < d->count; i++) {
		if (d->place[i].segment != segment || d->place[i].pos != pos)
			continue;
		d->place[i] = d->place[--d->count];
		d->unsaved = true;
		diag(DIAG_INFO, "damage_gone", "partition=%s segment=%lld pos=%u", p->dir,
		    (long long)segment, pos);
		if (d->count == 0 && !d->lasting)
			partition_undamaged(p);
		damage_save(p);
		return;
	}
}

/* ---- the file -------------------------------------------------------------------------------- */

static enum err encode(const struct damage *d, struct writer *out)
{
	char line[LINE + 1];
	write_bytes(out, bytes_of(DAMAGE_HEAD, LINE));
	for (size_t i = 0; i < d->count; i++) {
		snprintf(line, sizeof(line), "%020lld %010u\n", (long long)d->place[i].segment,
		    d->place[i].pos);
		write_bytes(out, bytes_of(line, LINE));
	}
	snprintf(line, sizeof(line), "xxh3-64 %016llx       \n",
	    (unsigned long long)XXH3_64bits_withSeed(out->ptr, out->len, DAMAGE_SEED));
	write_bytes(out, bytes_of(line, LINE));
	return out->err;
}

/* Without a place there is no file. */
static enum err file_write(struct io *io, const char *path, struct bytes text)
{
	if (text.len > (size_t)2 * LINE)
		return io_write_file(io, path, text);
	enum err e = io_unlink(io, path);
	if (e == ERR_NOT_FOUND) {
		err_clear();
		return ERR_OK;
	}
	return e;
}

struct damage_job {
	struct pool_job job;
	struct log_partition *p; /* referenced, its name is held */
	struct writer text;
	char path[LOG_PATH_MAX];
	enum err err;
};

static void save_run(struct pool_job *job)
{
	struct damage_job *j = CONTAINER_OF(job, struct damage_job, job);
	err_clear();
	j->err = file_write(j->p->log->io, j->path, writer_bytes(&j->text));
	if (j->err != ERR_OK)
		diag(DIAG_WARN, "damage_write", "path=%s error=\"%s\"", j->path, err_chain());
}

static void job_free(struct damage_job *j)
{
	writer_release(&j->text);
	mem_free(j);
}

static void save_done(struct pool_job *job)
{
	struct damage_job *j = CONTAINER_OF(job, struct damage_job, job);
	struct log_partition *p = j->p;
	bool failed = j->err != ERR_OK;
	job_free(j);
	p->damage.saving = false;
	p->damage.unsaved |= failed;
	if (!failed)
		damage_save(p); /* what was found meanwhile */
	p->log->drops--;
	partition_name_release(p);
	partition_unref(p);
}

void damage_save(struct log_partition *p)
{
	struct damage *d = &p->damage;
	if (!d->unsaved || d->saving || p->state != PARTITION_OPEN || !p->dir_exists)
		return;
	size_t mark = err_mark();
	struct damage_job *j = mem_calloc(1, sizeof(*j));
	enum err e = j ? ERR_OK : ERR_NOMEM;
	if (e == ERR_OK) {
		*j = (struct damage_job){.job = {.run = save_run, .done = save_done}, .p = p};
		writer_init(&j->text, FILE_MAX);
		e = encode(d, &j->text);
	}
	if (e == ERR_OK)
		e = partition_path(p, DAMAGE_FILE, j->path);
	if (e == ERR_OK)
		e = pool_submit(p->log->loop, &j->job);
	if (e == ERR_OK) {
		d->saving = true;
		d->unsaved = false;
		partition_ref(p);
		partition_name_hold(p);
		p->log->drops++;
	} else if (j) {
		job_free(j);
	}
	if (e != ERR_OK)
		diag(DIAG_WARN, "damage_write", "partition=%s error=%s", p->dir, err_name(e));
	err_rewind(mark);
}

void damage_stop(struct log_partition *p)
{
	struct writer text;
	char path[LOG_PATH_MAX];
	ASSERT(!p->damage.saving);
	if (!p->damage.unsaved || p->state != PARTITION_OPEN || !p->dir_exists)
		return;
	writer_init(&text, FILE_MAX);
	enum err e = encode(&p->damage, &text);
	if (e == ERR_OK)
		e = partition_path(p, DAMAGE_FILE, path);
	if (e == ERR_OK)
		e = file_write(p->log->io, path, writer_bytes(&text));
	writer_release(&text);
	p->damage.unsaved = e != ERR_OK;
	if (e != ERR_OK)
		diag(DIAG_ERROR, "damage_write",
		    "partition=%s error=\"%s\" what=\"the next start does not know of it\"", p->dir,
		    err_chain());
	err_clear();
}

/* ---- a start --------------------------------------------------------------------------------- */

static bool line_parse(const char *line, struct damage_place *ret)
{
	int64_t segment, pos;
	if (line[SEGMENT_DIGITS] != ' ' || line[LINE - 1] != '\n' ||
	    !str_to_i64(str_from(line, SEGMENT_DIGITS), &segment) ||
	    !str_to_i64(str_from(line + SEGMENT_DIGITS + 1, POS_DIGITS), &pos) || segment < 0 ||
	    pos < 0 || pos > UINT32_MAX)
		return false;
	*ret = (struct damage_place){segment, (uint32_t)pos};
	return true;
}

static enum err file_decode(struct bytes file, struct damage *ret)
{
	const char *text = (const char *)file.ptr;
	char last[LINE + 1];
	if (file.len < (size_t)2 * LINE || file.len % LINE != 0 ||
	    memcmp(text, DAMAGE_HEAD, LINE) != 0)
		return err_note(ERR_CORRUPT, "not a list of damaged places");
	size_t body = file.len - LINE;
	snprintf(last, sizeof(last), "xxh3-64 %016llx       \n",
	    (unsigned long long)XXH3_64bits_withSeed(text, body, DAMAGE_SEED));
	if (memcmp(text + body, last, LINE) != 0)
		return err_note(ERR_CORRUPT, "checksum of the list does not verify");
	for (size_t at = LINE; at < body; at += LINE) {
		struct damage_place place;
		if (!line_parse(text + at, &place))
			return err_note(ERR_CORRUPT, "line at %zu of the list", at);
		TRY(add(ret, place.segment, place.pos));
	}
	return ERR_OK;
}

/* Does the frame at this place verify now? ERR_CORRUPT, or what the disk says. */
static enum err frame_check(struct io *io, int fd, const struct segment *s, uint32_t pos)
{
	uint8_t head[FRAME_HEADER_BYTES];
	struct frame f;
	TRY(io_pread_all(io, fd, head, sizeof(head), pos));
	TRY(frame_decode(head, s->seed, &f));
	if (f.length > s->size - pos - FRAME_HEADER_BYTES)
		return err_note(ERR_CORRUPT, "frame passes the end");
	if (f.flags & FRAME_PAD)
		return ERR_OK; /* rot in its bytes is no reader's */
	uint8_t *body = mem_alloc(f.length);
	if (!body)
		return ERR_NOMEM;
	enum err e = io_pread_all(io, fd, body, f.length, pos + FRAME_HEADER_BYTES);
	if (e == ERR_OK)
		e = frame_check_body(&f, s->seed, bytes_of(body, f.length));
	mem_free(body);
	return e;
}

static enum err place_check(
    struct recovery *r, struct log_partition *p, const struct damage_place *place)
{
	char path[LOG_PATH_MAX], name[SEGMENT_NAME_BYTES];
	struct segment *s = recovery_segment(p, place->segment);
	int fd;
	if (!s || place->pos < SEGMENT_HEADER_BYTES || place->pos >= s->size ||
	    s->size - place->pos < FRAME_HEADER_BYTES)
		return ERR_OK; /* what was there is gone */
	TRY(partition_path(p, segment_file_name(s, ".log", name), path));
	err_clear();
	enum err e = io_open(r->log->io, path, IO_READONLY, &fd);
	if (e == ERR_OK) {
		e = frame_check(r->log->io, fd, s, place->pos);
		(void)!io_close(r->log->io, fd); /* nothing was written */
	}
	if (e == ERR_CORRUPT || e == ERR_EOF || e == ERR_IO) {
		partition_damaged(p, s, place->pos, err_chain());
		err_clear();
		return ERR_OK;
	}
	if (e == ERR_OK)
		diag(DIAG_INFO, "damage_gone", "partition=%s segment=%lld pos=%u", p->dir,
		    (long long)place->segment, place->pos);
	return e;
}

static enum err file_read(struct recovery *r, struct log_partition *p, struct damage *ret)
{
	char path[LOG_PATH_MAX];
	struct bytes file;
	TRY(partition_path(p, DAMAGE_FILE, path));
	TRY(io_read_file(r->log->io, path, FILE_MAX, &file));
	enum err e = file_decode(file, ret);
	mem_free((void *)(uintptr_t)file.ptr);
	return e;
}

enum err damage_check(struct recovery *r, struct log_partition *p)
{
	struct damage was = {0}, *d = &p->damage;
	struct list_node *first = list_first(&p->segments);
	if (!d->found)
		return ERR_OK;
	err_clear();
	enum err e = file_read(r, p, &was);
	if (e == ERR_CORRUPT || e == ERR_LIMIT || e == ERR_IO) {
		/* there was something, nobody knows where: that is no place to be kept, the file
		 * stays as it is and says so at each start, until the scrubber has found what it
		 * listed and it is written anew */
		size_t count = d->count;
		partition_damaged(p, CONTAINER_OF(first, struct segment, node),
		    SEGMENT_HEADER_BYTES, "the list of damaged places does not verify");
		d->count = count;
		err_clear();
		e = ERR_OK;
	}
	for (size_t i = 0; i < was.count && e == ERR_OK; i++)
		e = place_check(r, p, &was.place[i]);
	d->unsaved = d->count != was.count;
	for (size_t i = 0; i < d->count; i++)
		d->unsaved |= !has(&was, d->place[i].segment, d->place[i].pos);
	damage_release(&was);
	return e;
}
