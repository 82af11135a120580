/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts do with a directory that nobody serves, and lookups. See run.h. */
#include "test/crash/outcome.h"
#include "test/crash/told.h"
#include "test/lib/log_fixture.h"

#include <stdio.h>

enum { TRIES = 3 };

/* Lines of a tool: whether one of them says that something could not be read. */
struct lines {
	bool unread;
	char bad[256]; /* the first that is not served */
};

static void line_seen(void *ctx, struct str line)
{
	struct lines *l = ctx;
	char text[256];
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(line));
	l->unread |= strstr(text, "cannot be read") != NULL;
	if (!l->bad[0] && strncmp(text, "verdict=OK", 10) != 0)
		memcpy(l->bad, text, sizeof(text));
}

/* Refused once at most: what failed does not fail again. */
static void until_done(struct run *r, const char *what, enum err (*tool)(struct run *r, void *ctx),
    void *ctx, enum err also)
{
	for (int tries = 0; tries < TRIES; tries++) {
		enum err e = run_tool(r, what, tool, ctx);
		if (e == ERR_OK || (e == also && r->refused > 0)) {
			err_clear();
			return;
		}
		run_answer(r, e, what);
	}
	run_problem(r, "%s is refused again and again: %s", what, err_name(r->error));
}

/* ---- fsck ------------------------------------------------------------------------------------ */

static enum err fsck_once(struct run *r, void *ctx)
{
	struct lines *l = ctx;
	const struct log_fsck_options options = {.repair_caches = true};
	*l = (struct lines){false, ""};
	enum err e = log_fsck(r->io, r->options.data_dir, &options, line_seen, l);
	if (e != ERR_CORRUPT)
		return e;
	if (!r->faulty || !l->unread)
		run_problem(r, "fsck: %s", l->bad);
	return err_note(ERR_IO, "%s", l->bad);
}

void run_fsck(struct run *r)
{
	struct lines l;
	until_done(r, "fsck", fsck_once, &l, ERR_OK);
}

/* ---- salvage --------------------------------------------------------------------------------- */

struct salvaging {
	char out[16];
	struct lines lines;
	struct log_salvage_result result;
};

static enum err salvage_once(struct run *r, void *ctx)
{
	struct salvaging *s = ctx;
	const struct log_fsck_options options = {.journal_bytes = r->options.journal_bytes};
	snprintf(s->out, sizeof(s->out), "/o%d", r->out_count++);
	enum err e = log_salvage(
	    r->io, r->options.data_dir, s->out, &options, line_seen, &s->lines, &s->result);
	if (e == ERR_OK && s->result.lost_offsets > 0 && !s->lines.unread)
		run_problem(
		    r, "salvage lost %lld: %s", (long long)s->result.lost_offsets, s->lines.bad);
	return e;
}

/* What was salvaged opens, and has everything. */
static void check_salvaged(struct run *r, const struct salvaging *s)
{
	static struct outcome o;
	struct run_world w;
	char why[200];
	const char *data_dir = r->options.data_dir;
	struct sim_disk *copy = sim_disk_clone(r->disk);
	run_own_begin(r);
	told_deaf = true;
	r->options.data_dir = s->out;
	enum err e = run_world_open(r, copy, false, &w);
	if (e != ERR_OK) {
		run_problem(r, "%s: open: %s: %s", s->out, err_name(e), err_chain());
		err_clear();
	} else {
		outcome_read(r, &w, &o);
		run_world_kill(&w);
		if (!outcome_check(r, &o, run_now(r), why, sizeof(why)))
			run_problem(r, "%s: %s", s->out, why);
	}
	r->options.data_dir = data_dir;
	told_deaf = false;
	sim_disk_free(copy);
	run_own_end(r);
}

void run_salvage(struct run *r)
{
	struct salvaging s = {.lines = {false, ""}};
	until_done(r, "salvage", salvage_once, &s, ERR_OK);
	if (!r->problem[0])
		check_salvaged(r, &s);
}

/* ---- a new journal --------------------------------------------------------------------------- */

static void journal_lost(struct run *r, void *ctx)
{
	struct io_names names;
	(void)ctx;
	assert_ok(io_list(r->io, "/d/journal", &names));
	for (size_t i = 0; i < names.count; i++) {
		char path[300];
		snprintf(path, sizeof(path), "/d/journal/%s", names.name[i]);
		assert_ok(io_unlink(r->io, path));
	}
	io_names_release(&names);
}

static enum err rebuild_once(struct run *r, void *ctx)
{
	struct lines *l = ctx;
	const struct log_fsck_options options = {.journal_bytes = r->options.journal_bytes};
	return log_rebuild_journal(r->io, r->options.data_dir, &options, line_seen, l);
}

void run_rebuild(struct run *r)
{
	struct lines l = {false, ""};
	if (r->hits > 0) { /* the stop was not clean, perhaps: what only the journal has is lost */
		run_start(r);
		run_stop(r);
	}
	run_prepare(r, journal_lost, NULL);
	until_done(r, "rebuild", rebuild_once, &l, ERR_REFUSED);
}

/* ---- export and import ----------------------------------------------------------------------- */

struct exporting {
	const char *topic;
	char out[16];
};

static void nobody(void *ctx, struct str line)
{
	(void)ctx;
	(void)line;
}

static enum err export_once(struct run *r, void *ctx)
{
	struct exporting *x = ctx;
	const struct log_export_options options = {.partition = -1};
	snprintf(x->out, sizeof(x->out), "/x%d", r->out_count++);
	return log_export(r->io, r->options.data_dir, x->topic, x->out, &options, nobody, NULL);
}

/* Bytes of the .log files of a partition. */
static void exported_bytes(struct run *r, void *ctx)
{
	char *path = ctx, file[300];
	struct io_names names;
	struct io_stat st;
	uint64_t bytes = 0;
	assert_ok(io_list(r->io, path, &names));
	for (size_t i = 0; i < names.count; i++) {
		size_t len = strlen(names.name[i]);
		snprintf(file, sizeof(file), "%s/%s", path, names.name[i]);
		if (len < 4 || strcmp(names.name[i] + len - 4, ".log") != 0)
			continue;
		assert_ok(io_stat(r->io, file, &st));
		bytes += st.size_bytes;
	}
	io_names_release(&names);
	memcpy(path, &bytes, sizeof(bytes));
}

void run_export(struct run *r, int topic)
{
	struct exporting x = {.topic = r->topics[topic].name};
	until_done(r, "export", export_once, &x, ERR_OK);
	for (int p = 0; p < r->topics[topic].partitions && !r->problem[0]; p++) {
		char path[64];
		uint64_t want = 0, bytes;
		snprintf(path, sizeof(path), "%s/%s-%d", x.out, x.topic, p);
		run_prepare(r, exported_bytes, path);
		memcpy(&bytes, path, sizeof(bytes));
		for (int tag = 1; tag <= r->batch_count; tag++) {
			const struct run_batch *b = &r->batches[tag];
			if (b->topic == topic && b->partition == p && b->acked != RUN_NEVER)
				want += b->len;
		}
		/* what was refused may be there all the same */
		if (r->refused > 0 ? bytes < want : bytes != want)
			run_problem(r, "export: %s-%d has %llu bytes of %llu", x.topic, p,
			    (unsigned long long)bytes, (unsigned long long)want);
	}
}

struct importing {
	const char *name;
	int first, count; /* tags */
};

static void kafka_directory(struct run *r, void *ctx)
{
	const struct importing *m = ctx;
	char path[64];
	int fd;
	uint64_t at = 0;
	snprintf(path, sizeof(path), "/k-%s/%s-0", m->name, m->name);
	assert_ok(io_mkdir_all(r->io, path));
	snprintf(path, sizeof(path), "/k-%s/%s-0/00000000000000000000.log", m->name, m->name);
	assert_ok(io_open(r->io, path, IO_CREATE, &fd));
	for (int tag = m->first; tag < m->first + m->count; tag++) {
		const struct run_batch *b = &r->batches[tag];
		assert_ok(io_pwrite(r->io, fd, b->bytes, b->len, at));
		at += b->len;
	}
	assert_ok(io_fsync(r->io, fd));
	assert_ok(io_close(r->io, fd));
	snprintf(path, sizeof(path), "/k-%s/%s-0", m->name, m->name);
	assert_ok(io_fsync_dir(r->io, path));
	snprintf(path, sizeof(path), "/k-%s", m->name);
	assert_ok(io_fsync_dir(r->io, path));
	assert_ok(io_fsync_dir(r->io, "/"));
}

enum err run_import_once(const struct run *r, struct io *io, const char *name)
{
	char path[32];
	const struct log_import_options options = {.journal_bytes = r->options.journal_bytes};
	snprintf(path, sizeof(path), "/k-%s", name);
	return log_import(io, path, r->options.data_dir, &options, nobody, NULL);
}

static enum err import_once(struct run *r, void *ctx)
{
	const struct importing *m = ctx;
	enum err e = run_import_once(r, r->io, m->name);
	/* the stop of the log that it opens has failed: it says so, and the next one goes on */
	return e == ERR_REFUSED && r->faulty ? ERR_IO : e;
}

static struct run_topic *topic_entry(struct run *r, const char *name)
{
	ASSERT(r->topic_count < RUN_TOPICS_MAX);
	struct run_topic *t = &r->topics[r->topic_count++];
	*t = (struct run_topic){.partitions = 1,
	    .create_asked = run_now(r),
	    .created = RUN_NEVER,
	    .delete_asked = RUN_NEVER,
	    .deleted = RUN_NEVER,
	    .run = r};
	snprintf(t->name, sizeof(t->name), "%s", name);
	return t;
}

static void import_batches(struct run *r, const struct importing *m, int topic, size_t value_len)
{
	run_own_begin(r);
	for (int i = 0; i < m->count; i++) {
		ASSERT(r->batch_count < RUN_BATCHES_MAX);
		struct run_batch *b = &r->batches[++r->batch_count];
		*b = (struct run_batch){.run = r,
		    .topic = topic,
		    .count = 1,
		    .sent = run_now(r),
		    .acked = RUN_NEVER,
		    .kept_from = RUN_NEVER,
		    .offset = i,
		    .producer = -1,
		    .producer_sequence = -1};
		b->bytes = log_batch_new((uint64_t)r->batch_count, 1, value_len, &b->len);
		put_u64_be(b->bytes, (uint64_t)i);
	}
	run_own_end(r);
}

struct sequences {
	struct run *r;
	int tag, end;
};

static enum err sequence_seen(void *ctx, const struct frame *frame, struct bytes batch)
{
	struct sequences *s = ctx;
	(void)batch;
	if (s->tag < s->end)
		s->r->batches[s->tag++].sequence = frame->sequence;
	return ERR_OK;
}

int run_import(struct run *r, const char *name, int n, size_t value_len)
{
	int topic = r->topic_count;
	struct importing m = {name, r->batch_count + 1, n};
	struct run_topic *t = topic_entry(r, name);
	t->imported = n;
	import_batches(r, &m, topic, value_len);
	run_prepare(r, kafka_directory, &m);
	until_done(r, "import", import_once, &m, ERR_TOPIC_EXISTS);
	size_t done = run_now(r);
	run_start(r);
	const struct log_topic *found = log_topic_find(r->log, str_of(name));
	if (!found) {
		run_problem(r, "%s was imported and is not there", name);
		return topic;
	}
	struct sequences s = {r, m.first, m.first + n};
	struct log_partition *p = log_partition_find(r->log, found, 0);
	t->id = found->id;
	t->created = done;
	run_own_begin(r);
	for (int tries = 0; tries < 2 && s.tag != s.end; tries++) {
		s.tag = m.first;
		run_answer(r, partition_walk(p, 0, sequence_seen, &s), "walk");
	}
	run_own_end(r);
	if (s.tag != s.end)
		run_problem(r, "%s: %d of %d batches", name, s.tag - m.first, n);
	for (int tag = m.first; tag < m.first + n; tag++)
		r->batches[tag].acked = done;
	return topic;
}

/* ---- lookups --------------------------------------------------------------------------------- */

struct look {
	struct log_find_time by_time;
	struct log_find_sequence by_sequence;
	struct log_read by_offset;
	bool done;
};

static void time_found(struct log_find_time *req)
{
	CONTAINER_OF(req, struct look, by_time)->done = true;
}

static void sequence_found(struct log_find_sequence *req)
{
	CONTAINER_OF(req, struct look, by_sequence)->done = true;
}

static void offset_read(struct log_read *req)
{
	CONTAINER_OF(req, struct look, by_offset)->done = true;
}

static void look_wait(struct run *r, struct look *look)
{
	for (int i = 0; !look->done; i++) {
		run_turns(r, 1);
		ASSERT(i < 10000);
	}
	look->done = false;
}

enum { BY_OFFSET, BY_SEQUENCE, BY_TIME, WAYS };
static const char *const ways[] = {"offset", "sequence", "time"};

/* The offset at which batch `tag` is found. */
static enum err find(struct run *r, struct log_partition *p, int tag, int way, int64_t *ret_offset)
{
	const struct run_batch *b = &r->batches[tag];
	struct look look = {
	    .by_time = {.partition = p, .timestamp_ms = 1000 + tag, .done = time_found},
	    .by_sequence = {.partition = p, .sequence = b->sequence, .done = sequence_found},
	    .by_offset = {
	        .partition = p, .offset = b->offset, .max_bytes = 1, .done = offset_read}};
	if (way == BY_TIME)
		log_find_time(r->log, &look.by_time);
	else if (way == BY_SEQUENCE)
		log_find_sequence(r->log, &look.by_sequence);
	else
		log_read(r->log, &look.by_offset);
	look_wait(r, &look);
	if (way == BY_TIME) {
		*ret_offset = look.by_time.offset;
		return look.by_time.err;
	}
	if (way == BY_SEQUENCE) {
		*ret_offset = look.by_sequence.offset;
		return look.by_sequence.err;
	}
	*ret_offset = -1;
	if (look.by_offset.err == ERR_OK && look.by_offset.batch_count == 1)
		*ret_offset = batch_peek(look.by_offset.batches[0].ptr).base_offset;
	log_read_release(&look.by_offset);
	return look.by_offset.err;
}

static void find_each_way(struct run *r, int tag)
{
	const struct run_batch *b = &r->batches[tag];
	for (int way = 0; way < WAYS; way++) {
		int64_t offset = -1;
		enum err e = ERR_AGAIN;
		for (int tries = 0; tries < TRIES && e != ERR_OK; tries++) {
			const struct log_topic *t = log_topic_by_id(r->log, r->topics[b->topic].id);
			e = find(r, log_partition_find(r->log, t, b->partition), tag, way, &offset);
			run_answer(r, e, ways[way]);
		}
		if (e != ERR_OK || offset != b->offset)
			run_problem(r, "batch %d by %s: %s, offset %lld, was %lld", tag, ways[way],
			    err_name(e), (long long)offset, (long long)b->offset);
	}
}

/* Of keyed batches: the times of their records ascend. */
void run_lookups(struct run *r, int topic, int partition)
{
	for (int tag = 1; tag <= r->batch_count; tag++) {
		const struct run_batch *b = &r->batches[tag];
		if (b->topic == topic && b->partition == partition && b->keys[0] &&
		    b->acked != RUN_NEVER)
			find_each_way(r, tag);
	}
	run_revive(r);
}
