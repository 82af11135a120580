/* SPDX-License-Identifier: Apache-2.0 */
#include "test/crash/regions.h"

#include "log/checkpoint.h"
#include "log/frame.h"
#include "log/index.h"
#include "log/journal.h"
#include "test/lib/sim_content.h"
#include "test/lib/xmalloc.h"

#include <string.h>

static void add(struct regions *r, uint64_t to, const char *name)
{
	uint64_t from = r->count > 0 ? r->region[r->count - 1].to : 0;
	if (to <= from)
		return;
	if (r->count == r->capacity) {
		r->capacity = r->capacity ? r->capacity * 2 : 64;
		r->region = xrealloc(r->region, r->capacity * sizeof(*r->region));
	}
	r->region[r->count++] = (struct region){from, to, name};
}

/* ---- segments -------------------------------------------------------------------------------- */

/* Names by place: sealed, active, catalog. */
static const char *const frame_names[3][9] = {
    {"segment header", "frame header", "batch", "last frame: header", "last frame: batch",
        "padding: header", "padding", "hole: header", "hole"},
    {"active segment header", "active: frame header", "active: batch", "active: last frame: header",
        "active: last frame: batch", "active: padding: header", "active: padding",
        "active: hole: header", "active: hole"},
    {"catalog: segment header", "catalog: frame header", "catalog: batch",
        "catalog: last frame: header", "catalog: last frame: batch", "catalog: padding: header",
        "catalog: padding", "catalog: hole: header", "catalog: hole"},
};

enum { SEGMENT_BLOCK = 4096 };

/* What lies behind `image` has another name. */
static void add_split(struct regions *r, uint64_t to, const char *name, uint64_t image, bool direct)
{
	if (to <= image) {
		add(r, to, name);
		return;
	}
	add(r, image, name);
	add(r, to, direct ? "DIRECT frame since the checkpoint" : "frame since the checkpoint");
}

static void segment(
    struct regions *r, const uint8_t *b, uint64_t len, const char *const *names, uint64_t since)
{
	struct segment_header h;
	struct frame f, next;
	/* the journal has an image of the block in which the checkpoint ends */
	uint64_t at = SEGMENT_HEADER_BYTES, image = since - since % SEGMENT_BLOCK;
	ASSERT(len >= at && segment_header_decode(b, &h) == ERR_OK);
	struct frame_seed seed = frame_seed_of(h.seed);
	add(r, at, names[0]);
	while (at + FRAME_HEADER_BYTES <= len && frame_decode(b + at, seed, &f) == ERR_OK) {
		uint64_t end = at + FRAME_HEADER_BYTES + f.length;
		bool last =
		    end + FRAME_HEADER_BYTES > len || frame_decode(b + end, seed, &next) != ERR_OK;
		bool direct = (f.flags & FRAME_DIRECT) != 0;
		int which = f.flags & FRAME_PAD ? 5 : last ? 3 : f.flags & FRAME_HOLE ? 7 : 1;
		add_split(r, at + FRAME_HEADER_BYTES, names[which], image, direct);
		add_split(r, end, names[which + 1], image, direct);
		at = end;
	}
	err_clear();
	add(r, len, "behind the last frame");
}

/* ---- indexes --------------------------------------------------------------------------------- */

/* Names by place, too: the catalog's is searched by offset only, when it is read at a start. */
static const char *const entry_names[2][3][2] = {
    {{"index: first entry", "index: first entry, rest"}, {"index: entry", "index: entry, rest"},
        {"index: last entry", "index: last entry, timestamp"}},
    {{"catalog index: entry", "catalog index: entry, rest"},
        {"catalog index: entry", "catalog index: entry, rest"},
        {"catalog index: last entry", "catalog index: last entry, timestamp"}},
};

static void index_entries(struct regions *r, uint64_t len, bool catalog)
{
	uint64_t count = (len - INDEX_HEADER_BYTES) / INDEX_ENTRY_BYTES;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = INDEX_HEADER_BYTES + i * INDEX_ENTRY_BYTES;
		const char *const *n = entry_names[catalog][i + 1 == count ? 2 : i > 0];
		add(r, at + 12, n[0]);
		add(r, at + 16, i + 1 == count ? n[0] : n[1]);
		add(r, at + 24, n[1]);
		add(r, at + 32, i + 1 == count ? n[0] : n[1]);
	}
	add(r, len, "behind the last entry");
}

/* ---- the journal ----------------------------------------------------------------------------- */

struct place {
	uint64_t pos;
	struct journal_entry e;
};

static void entry(struct regions *r, uint64_t at, const struct journal_entry *e, bool last)
{
	const bool round = e->kind == JOURNAL_ROUND;
	add(r, at + JOURNAL_ENTRY_HEADER_BYTES,
	    last    ? "last entry: header"
	    : round ? "entry: header"
	            : "entry without frames: header");
	add(r, at + e->items_at, last ? "last entry: frames" : "entry: frames");
	add(r, at + e->used, last ? "last entry: items" : "entry: items");
	add(r, at + e->length,
	    last    ? "last entry: zeros"
	    : round ? "entry: zeros"
	            : "entry without frames: zeros");
}

static uint64_t newest_number; /* over the four files, see regions_init */

static void journal(struct regions *r, const uint8_t *b, uint64_t len, uint64_t checkpoint)
{
	struct journal_header h;
	ASSERT(len >= JOURNAL_BLOCK && journal_header_decode(b, &h) == ERR_OK);
	struct journal_seed seed = journal_seed_of(h.secret);
	add(r, JOURNAL_BLOCK, "journal file header");
	for (uint64_t at = JOURNAL_BLOCK; at + JOURNAL_BLOCK <= len;) {
		struct journal_entry e;
		if (journal_entry_decode(b + at, seed, len - at, &e) != ERR_OK) {
			add(r, at + JOURNAL_BLOCK, "unused journal");
			at += JOURNAL_BLOCK;
			continue;
		}
		if (e.number <= checkpoint)
			add(r, at + e.length, "old entry");
		else
			entry(r, at, &e, e.number == newest_number);
		if (e.number > checkpoint)
			r->region[0].name = "current journal file header";
		at += e.length;
	}
	err_clear();
	add(r, len, "unused journal");
}

static uint8_t *content(const struct sim_disk *disk, uint32_t inode, uint64_t *ret_len)
{
	const struct sim_content *c = disk->inode[inode].cached;
	uint8_t *b = xmalloc(c->size_bytes + 1);
	*ret_len = c->size_bytes;
	ASSERT(sim_content_read(c, b, c->size_bytes, 0) == c->size_bytes);
	return b;
}

/* The number of the newest entry in one file. */
static uint64_t newest_in(const struct sim_disk *disk, uint32_t inode)
{
	uint64_t len, newest = 0;
	uint8_t *b = content(disk, inode, &len);
	struct journal_header h;
	struct journal_entry e;
	if (len >= JOURNAL_BLOCK && journal_header_decode(b, &h) == ERR_OK) {
		struct journal_seed seed = journal_seed_of(h.secret);
		for (uint64_t at = JOURNAL_BLOCK; at + JOURNAL_BLOCK <= len; at += JOURNAL_BLOCK) {
			if (journal_entry_decode(b + at, seed, len - at, &e) == ERR_OK &&
			    e.number > newest)
				newest = e.number;
		}
	}
	err_clear();
	free(b);
	return newest;
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool ends(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);
	return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* The newest of the checkpoint records. */
static uint32_t newest_record(const struct sim_disk *disk, uint32_t dir)
{
	uint64_t best = 0;
	uint32_t found = 0;
	for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++) {
		char name[16];
		uint64_t len;
		uint32_t inode =
		    sim_disk_lookup(disk, dir, str_of(checkpoint_file_name(slot, name)));
		if (!inode)
			continue;
		uint8_t *b = content(disk, inode, &len);
		uint64_t counter = len >= 24 ? get_u64_le(b + 16) : 0;
		if (counter > best) {
			best = counter;
			found = inode;
		}
		free(b);
	}
	return found;
}

static uint32_t journal_dir(const struct sim_disk *disk)
{
	uint32_t data = sim_disk_lookup(disk, SIM_ROOT, STR("d")),
	         inside = sim_disk_lookup(disk, data, STR("journal"));
	return inside ? inside : sim_disk_lookup(disk, SIM_ROOT, STR("j"));
}

/* By kind of file. */
static const char *const behind[8][2] = {
    {"zeros behind a sealed segment", "garbage behind a sealed segment"},
    {"zeros behind the active segment", "garbage behind the active segment"},
    {"zeros behind an index", "garbage behind an index"},
    {"zeros behind a snapshot", "garbage behind a snapshot"},
    {"zeros behind a journal file", "garbage behind a journal file"},
    {"zeros behind the checkpoint", "garbage behind the checkpoint"},
    {"zeros behind an older file", "garbage behind an older file"},
    {"zeros behind another file", "garbage behind another file"},
};

/* No later segment is in its directory. */
static bool is_active(const struct region_file *f)
{
	const struct sim_names *names = &f->disk->inode[f->dir].names;
	for (size_t i = 0; i < names->count; i++) {
		if (ends(names->entry[i].name, ".log") &&
		    strncmp(names->entry[i].name, f->name, 20) > 0)
			return false;
	}
	return true;
}

void regions_init(struct regions *r, const struct region_file *f)
{
	uint64_t len;
	const struct sim_disk *disk = f->disk;
	const char *name = f->name;
	uint8_t *b = content(disk, f->inode, &len);
	bool catalog = strstr(f->dir_name, "__") == f->dir_name, active = is_active(f);
	*r = (struct regions){.count = 0};
	r->behind = behind[7];
	if (ends(name, ".log")) {
		r->behind = behind[active];
		segment(
		    r, b, len, frame_names[catalog ? 2 : active], active ? f->since : UINT64_MAX);
	} else if (ends(name, ".idx")) {
		r->behind = behind[2];
		add(r, INDEX_HEADER_BYTES, "index header");
		index_entries(r, len, catalog);
	} else if (ends(name, ".snap")) {
		r->behind = behind[active ? 3 : 6];
		add(r, len, active ? "producer snapshot" : "older producer snapshot");
	} else if (strncmp(name, "journal-", 8) == 0) {
		r->behind = behind[4];
		newest_number = 0;
		for (unsigned i = 0; i < JOURNAL_FILES; i++) {
			char other[16];
			uint32_t file = sim_disk_lookup(
			    disk, journal_dir(disk), str_of(journal_file_name(i, other)));
			uint64_t n = file ? newest_in(disk, file) : 0;
			newest_number = n > newest_number ? n : newest_number;
		}
		journal(r, b, len, f->checkpoint);
	} else if (strncmp(name, "checkpoint-", 11) == 0) {
		bool newest = f->inode == newest_record(disk, journal_dir(disk));
		r->behind = behind[newest ? 5 : 6];
		add(r, len, newest ? "newest checkpoint" : "older checkpoint");
	} else {
		static char kept[8][32];
		static unsigned next;
		char *text = kept[next++ % 8];
		strncpy(text, name, 31);
		add(r, len, text);
	}
	free(b);
}

void regions_release(struct regions *r)
{
	free(r->region);
	*r = (struct regions){.count = 0};
}

const char *regions_at(const struct regions *r, uint64_t pos)
{
	size_t low = 0, high = r->count;
	while (low + 1 < high) {
		size_t mid = low + (high - low) / 2;
		if (r->region[mid].from <= pos)
			low = mid;
		else
			high = mid;
	}
	ASSERT(r->count > 0 && pos < r->region[low].to && pos >= r->region[low].from);
	return r->region[low].name;
}

const char *regions_behind(const struct regions *r, bool garbage)
{
	return r->behind[garbage];
}
