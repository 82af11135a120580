/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server does by itself every minute or hour, brought forward: retention, compaction and
 * recompression, rolls. And what a disk does by itself: bits flip in segments that are sealed.
 */
#include "log/catalog_change.h"
#include "log/compact.h"
#include "log/engine.h"
#include "log/frame.h"
#include "log/retention.h"
#include "test/lib/xmalloc.h"
#include "test/sim/world.h"

#include <stdio.h>

/* ---- housekeeping ---------------------------------------------------------------------------- */

static struct log_partition *pick_partition(struct world *w)
{
	const struct model *m = &w->model;
	if (m->topic_count == 0)
		return NULL;
	const struct model_topic *t = &m->topic[below(w, m->topic_count)];
	const struct log_topic *topic = log_topic_by_id(w->log, t->id);
	int32_t partition = (int32_t)below(w, (uint64_t)t->partitions);
	return topic ? log_partition_find(w->log, topic, partition) : NULL;
}

static void roll_all(struct world *w)
{
	for (uint32_t t = 0; t < w->model.topic_count; t++) {
		const struct log_topic *topic = log_topic_by_id(w->log, w->model.topic[t].id);
		for (int32_t i = 0; topic && i < topic->partition_count; i++) {
			struct log_partition *p = log_partition_find(w->log, topic, i);
			p->compact_after_ns = 0;
			partition_roll(p);
		}
	}
}

void keeper_settle(struct world *w)
{
	struct compactor *c = w->log->catalog->compactor;
	int64_t end = world_now_ns(w) + 60 * S_NS;
	for (int i = 0; w->plan.keeper && !w->reopened && i < 3; i++) {
		roll_all(w);
		world_turn(w, 50 * MS_NS);
		retention_run(w->log->catalog->retention);
		compactor_run(c);
		do {
			world_turn(w, 10 * MS_NS);
			if (world_now_ns(w) > end)
				violated("progress", "compaction has not ended in a minute");
		} while (compactor_busy(c) || retention_busy(w->log->catalog->retention));
	}
}

void keeper_step(struct world *w)
{
	struct log_status st;
	log_status(w->log, &st);
	w->durable_seen = st.durable_sequence;
	if (w->plan.caches_rot && below(w, 50) == 0)
		keeper_rot_cache(w);
	if (!w->plan.keeper || w->steps < w->keeper_calm)
		return;
	w->keeper_calm = w->steps + 5 + below(w, 100);
	struct log_partition *p = pick_partition(w);
	if (p)
		p->compact_after_ns = 0;
	if (p && chance(w, 40))
		partition_roll(p);
	if (chance(w, 30))
		retention_run(w->log->catalog->retention);
	if (chance(w, 40))
		compactor_run(w->log->catalog->compactor);
	if (w->plan.rots > 0 && below(w, 20) == 0)
		keeper_rot(w);
}

/* ---- rot ------------------------------------------------------------------------------------- */

struct image {
	uint8_t *bytes;
	size_t len;
	struct frame_seed seed;
	struct segment_header header;
};

/* A file of a partition, by its whole name. */
static uint32_t topics_inode(const struct sim_disk *d)
{
	uint32_t at = sim_disk_lookup(d, SIM_ROOT, STR("data"));
	return at ? sim_disk_lookup(d, at, STR("topics")) : 0;
}

static uint32_t directory_inode(const struct sim_disk *d, const char *topic, int32_t partition)
{
	char dir[32];
	uint32_t at = topics_inode(d);
	snprintf(dir, sizeof(dir), "%s-%d", topic, partition);
	return at ? sim_disk_lookup(d, at, str_of(dir)) : 0;
}

struct place {
	const struct model_topic *topic;
	int32_t partition;
	int64_t base;
	uint32_t generation;
};

static uint32_t file_inode(const struct sim_disk *d, const struct place *p, const char *suffix)
{
	char name[SEGMENT_NAME_BYTES];
	uint32_t at = directory_inode(d, p->topic->name, p->partition);
	return at ? sim_disk_lookup(
	                d, at, str_of(segment_name_of(p->base, p->generation, suffix, name)))
	          : 0;
}

/* The segment of that topic, whole; false when there is none. */
static bool load_image(struct sim_disk *d, const struct place *p, struct image *ret)
{
	uint32_t inode = file_inode(d, p, ".log");
	if (inode == 0)
		return false;
	const struct sim_content *c = sim_disk_inode(d, inode)->cached;
	*ret = (struct image){.len = (size_t)c->size_bytes};
	ret->bytes = xmalloc(ret->len + 1);
	(void)sim_content_read(c, ret->bytes, ret->len, 0);
	bool good = ret->len > SEGMENT_HEADER_BYTES &&
	            segment_header_decode(ret->bytes, &ret->header) == ERR_OK &&
	            log_uuid_equal(ret->header.topic_id, p->topic->id);
	err_clear();
	ret->seed = frame_seed_of(ret->header.seed);
	if (!good)
		free(ret->bytes);
	return good;
}

static bool frame_at(const struct image *x, uint32_t pos, struct frame *ret)
{
	bool good = x->len - pos >= FRAME_HEADER_BYTES &&
	            frame_decode(x->bytes + pos, x->seed, ret) == ERR_OK &&
	            x->len - pos >= FRAME_HEADER_BYTES + (size_t)ret->length &&
	            frame_check_body(ret, x->seed,
	                bytes_of(x->bytes + pos + FRAME_HEADER_BYTES, ret->length)) == ERR_OK;
	err_clear();
	return good;
}

/*
 * One of its batches at random. The newest ones are left alone: of the last round's DIRECT frames
 * nobody can tell whether they rotted or were never whole.
 */
static bool pick_frame(struct world *w, const struct image *x, struct frame *ret, uint32_t *ret_pos)
{
	struct frame f;
	uint64_t seen = 0;
	for (uint32_t pos = SEGMENT_HEADER_BYTES; pos < x->len && frame_at(x, pos, &f);
	     pos += FRAME_HEADER_BYTES + f.length) {
		if ((f.flags & (FRAME_PAD | FRAME_HOLE)) || f.sequence >= w->durable_seen ||
		    below(w, ++seen) != 0)
			continue;
		*ret = f;
		*ret_pos = pos;
	}
	return seen > 0;
}

struct file {
	int64_t base, end; /* end 0: it stands for itself alone */
	uint32_t generation;
};

/* Another one stands for it: nobody reads it any more. */
static bool is_superseded(const struct file *files, size_t count, const struct file *f)
{
	for (size_t i = 0; i < count; i++)
		if (files[i].generation > f->generation && files[i].base <= f->base &&
		    f->base < files[i].end)
			return true;
	return false;
}

/* The segments of a partition that count, ascending; the last is not sealed. */
static size_t list_segments(struct sim_disk *d, const struct model_topic *topic, int32_t partition,
    struct file *files, size_t max)
{
	size_t count = 0, live = 0;
	uint32_t at = directory_inode(d, topic->name, partition);
	const struct sim_names *names = at ? &sim_disk_inode(d, at)->names : NULL;
	for (size_t i = 0; names && i < names->count && count < max; i++) {
		struct file *f = &files[count];
		struct image x;
		if (!segment_name_parse_of(names->entry[i].name, ".log", &f->base, &f->generation))
			continue;
		const struct place p = {topic, partition, f->base, f->generation};
		f->end = 0;
		if (f->generation > 0 && load_image(d, &p, &x)) {
			f->end = x.header.rewrite.end_offset;
			free(x.bytes);
		}
		count++;
	}
	struct file *all = xcalloc(count + 1, sizeof(*all));
	memcpy(all, files, count * sizeof(*all));
	for (size_t i = 0; i < count; i++)
		if (!is_superseded(all, count, &all[i]))
			files[live++] = all[i];
	free(all);
	return live;
}

/*
 * Is its index sealed, on the disk? Behind a bad frame header only an index knows where the next
 * frame is: without one, all that follows in the segment is lost to readers, though not to salvage.
 */
static bool has_index(struct sim_disk *d, const struct place *p)
{
	uint8_t raw[INDEX_HEADER_BYTES];
	struct index_header h;
	uint32_t inode = file_inode(d, p, ".idx");
	const struct sim_content *c = inode ? sim_disk_inode(d, inode)->durable : NULL;
	bool sealed = c && sim_content_read(c, raw, sizeof(raw), 0) == sizeof(raw) &&
	              index_header_decode(raw, &h) == ERR_OK && (h.flags & INDEX_SEALED);
	err_clear();
	return sealed;
}

/* A bit of a batch of this segment. */
static void rot_segment(struct world *w, uint32_t topic, const struct place *p, struct image *x)
{
	struct model *m = &w->model;
	struct frame f;
	uint32_t pos;
	if (!pick_frame(w, x, &f, &pos))
		return;
	/* of a compacted topic bodies only: what an index is worth there is not in the model */
	bool anywhere = has_index(w->disk, p) && !p->topic->keyed;
	size_t from = anywhere ? 0 : FRAME_HEADER_BYTES;
	uint64_t byte = pos + from + below(w, FRAME_HEADER_BYTES + f.length - from);
	uint64_t bit = below(w, 8);
	struct model_rot rot = {topic, p->partition, f.base_offset,
	    f.base_offset + (int64_t)f.last_offset_delta + 1, f.sequence, 0, 0};
	/* nobody may have seen it before: views know what it says, if they were fast */
	(void)model_seen(m, topic, p->partition,
	    bytes_of(x->bytes + pos + FRAME_HEADER_BYTES, f.length), &rot.batch);
	sim_disk_flip(w->disk, file_inode(w->disk, p, ".log"), byte * 8 + bit);
	model_rotten(m, rot);
	w->rot[w->rot_count++] =
	    (struct world_rot){p->topic->id, p->partition, p->base, p->generation, pos};
	trace(w, "rot", "%s-%d segment %lld.%u byte %llu: offsets %lld to %lld", p->topic->name,
	    p->partition, (long long)p->base, p->generation, (unsigned long long)byte,
	    (long long)rot.base, (long long)rot.end - 1);
}

static void rot_once(struct world *w)
{
	struct file files[512];
	struct model *m = &w->model;
	struct image x;
	if (m->topic_count == 0 || w->rot_count == WORLD_ROT_MAX || m->rot_count == MODEL_ROT_MAX)
		return;
	uint32_t topic = (uint32_t)below(w, m->topic_count);
	const struct model_topic *t = &m->topic[topic];
	struct place p = {t, (int32_t)below(w, (uint64_t)t->partitions), 0, 0};
	if (!world_is(w->plan.rots, t->name) || t->delete_sent)
		return;
	size_t count = list_segments(w->disk, t, p.partition, files, 512);
	if (count < 2)
		return;
	const struct file *f = &files[below(w, count - 1)];
	p.base = f->base;
	p.generation = f->generation;
	if (!load_image(w->disk, &p, &x))
		return;
	rot_segment(w, topic, &p, &x);
	free(x.bytes);
}

void keeper_rot(struct world *w)
{
	size_t before = w->rot_count;
	for (int i = 0; i < 6 && w->rot_count == before; i++) /* a partition may have nothing */
		rot_once(w);
}

/*
 * A bit of an index or a producer snapshot of any partition, the server's own too: caches, so
 * nobody sees anything of it. Where frames rot as well, indexes are left alone: only they know what
 * is behind a bad header.
 */
void keeper_rot_cache(struct world *w)
{
	uint32_t at = topics_inode(w->disk);
	const struct sim_names *dirs = at ? &sim_disk_inode(w->disk, at)->names : NULL;
	if (!dirs || dirs->count == 0)
		return;
	const struct sim_entry *dir = &dirs->entry[below(w, dirs->count)];
	if (dir->name[0] == 't' && world_is(w->plan.rots, dir->name))
		return;
	const struct sim_names *files = &sim_disk_inode(w->disk, dir->inode)->names;
	if (files->count == 0)
		return;
	const struct sim_entry *file = &files->entry[below(w, files->count)];
	const char *suffix = strrchr(file->name, '.');
	uint64_t bytes = sim_disk_inode(w->disk, file->inode)->cached->size_bytes;
	/* where records go, only a snapshot knows the producers of those that are gone */
	bool snap = suffix && strcmp(suffix, ".snap") == 0 && !w->plan.trims && !w->plan.expires;
	if (!suffix || bytes == 0 || (strcmp(suffix, ".idx") != 0 && !snap))
		return;
	uint64_t bit = below(w, bytes * 8);
	sim_disk_flip(w->disk, file->inode, bit);
	trace(
	    w, "rot", "%s/%s bit %llu of a cache", dir->name, file->name, (unsigned long long)bit);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* On the disk, in a file that counts. */
static bool is_bad(struct world *w, const struct world_rot *r)
{
	const struct model_topic *t = &w->model.topic[model_topic_by_id(&w->model, r->topic_id)];
	const struct place p = {t, r->partition, r->segment, r->generation};
	struct file files[512];
	struct image x;
	struct frame f;
	bool counts = false;
	if (t->delete_sent || !load_image(w->disk, &p, &x))
		return false;
	size_t count = list_segments(w->disk, t, r->partition, files, 512);
	for (size_t i = 0; i < count; i++)
		counts |= files[i].base == p.base && files[i].generation == p.generation;
	bool good = frame_at(&x, r->pos, &f);
	free(x.bytes);
	return counts && !good;
}

size_t keeper_bad(struct world *w)
{
	size_t count = 0;
	for (size_t i = 0; i < w->rot_count; i++)
		count += is_bad(w, &w->rot[i]);
	return count;
}

static void check_known(struct world *w, const struct world_rot *r)
{
	const struct model_topic *t = &w->model.topic[model_topic_by_id(&w->model, r->topic_id)];
	const struct log_topic *found = log_topic_by_id(w->log, r->topic_id);
	struct log_partition_status st;
	if (!found || !is_bad(w, r))
		return;
	log_partition_status(log_partition_find(w->log, found, r->partition), &st);
	if (!st.damaged)
		violated("rot", "%s-%d segment %lld is bad at %u, and nobody has noticed", t->name,
		    r->partition, (long long)r->segment, r->pos);
}

/* The time of the scrubber's last pass, as it keeps it for the next start. */
static void read_scrubbed(const struct sim_disk *d, char *ret, size_t len)
{
	uint32_t at = sim_disk_lookup(d, SIM_ROOT, STR("data"));
	at = at ? sim_disk_lookup(d, at, STR("scrub")) : 0;
	memset(ret, 0, len);
	if (at)
		(void)sim_content_read(d->inode[at].cached, ret, len - 1, 0);
}

static void await_scrub(struct world *w)
{
	int64_t end = world_now_ns(w) + 60 * S_NS;
	char before[64], now[64];
	read_scrubbed(w->disk, before, sizeof(before));
	do {
		world_turn(w, 10 * MS_NS);
		if (world_now_ns(w) > end)
			violated("progress", "the scrubber has not come round in a minute");
		read_scrubbed(w->disk, now, sizeof(now));
	} while (strcmp(before, now) == 0);
}

void keeper_finish(struct world *w)
{
	for (int i = 0; w->plan.rots > 0 && i < 2; i++)
		await_scrub(w); /* the second has begun after this */
	for (size_t i = 0; i < w->rot_count; i++)
		check_known(w, &w->rot[i]);
}
