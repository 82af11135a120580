/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_import, its steps for one topic, so that a power cut leaves something that can be judged:
 *
 *   1 the log is opened and stopped: it is settled, clean, and has no topic of that name; what
 *     another import has left is taken away (import.h)
 *   2 segments are written to <data>/import/<topic>-<p>, under the directory's lock
 *   3 a checkpoint record with the partitions and with their sequences as burnt ones; import/state;
 *     the directories move to topics/; a record without the burnt ones
 *   4 the log is opened for rows about log starts and leader epochs, then for the topic's: from
 *     there on there is a topic, and all of it
 *   5 <data>/import goes
 */
#include "log/import.h"
#include "log/fsck.h"
#include "log/producer.h"
#include <stdarg.h>
#include <stdio.h>

#define IMPORT_BUFFER_BYTES (256 * MIB) /* of all partitions together, reading and writing */
#define IMPORT_BUFFER_LEAST (8 * KIB)
#define IMPORT_HOLE_PIECES_MAX                                                                     \
	65536 /* 2^47 offsets; each piece is a frame and takes a sequence                          \
	       */
enum { IMPORT_PRODUCER_IDS = 1000 };

struct import_part {
	struct import_source source;
	struct offline_part out;
	uint32_t leader_epoch;
	int64_t log_start, log_end;
	bool open;
};
struct import {
	struct io *io;
	const struct log_import_options *options;
	const char *data_dir;
	struct fsck_teller teller;
	char topic[TOPIC_NAME_MAX + 1];
	struct log_uuid id;
	const struct starts *starts;
	struct import_part **parts; /* sorted by nothing; one per directory found */
	size_t count, capacity;
	struct import_part **heap; /* those with a batch, the oldest first */
	size_t heap_count;
	uint64_t bytes_done, bytes_total; /* of Kafka's files */
	int32_t partitions;
	struct offline_record record;
	struct journal_where where;
	struct import_left left;
	struct offline_sync sync;
	uint64_t sequence, producer_ids;
	uint64_t batches, bytes, records;
	int64_t now_ns;
	struct writer plain; /* decompressed records of one batch */
};

static enum err path_of(const struct import *m, char *buf, const char *below, const char *name)
{
	int n = snprintf(
	    buf, LOG_PATH_MAX, "%s/%s%s%s", m->data_dir, below, name ? "/" : "", name ? name : "");
	return n > 0 && n < LOG_PATH_MAX ? ERR_OK : err_note(ERR_LIMIT, "path too long");
}

/* ---- what is there --------------------------------------------------------------------------- */

/* "orders-3" into topic and partition; false for what is none ("orders-3.<id>-delete" too). */
static bool parse_directory(const char *name, struct str *ret_topic, int32_t *ret_partition)
{
	const char *dash = strrchr(name, '-');
	int64_t partition;
	if (!dash || dash == name || !str_to_i64(str_of(dash + 1), &partition) || partition < 0 ||
	    partition >= TOPIC_PARTITIONS_MAX)
		return false;
	*ret_topic = str_from(name, (size_t)(dash - name));
	*ret_partition = (int32_t)partition;
	bool good = log_topic_name_check(*ret_topic) == ERR_OK;
	err_clear();
	return good;
}

static enum err add_part(struct import *m, const char *dir, int32_t partition)
{
	struct import_part *part = mem_calloc(1, sizeof(*part));
	if (!part)
		return ERR_NOMEM;
	if (m->count == m->capacity) {
		size_t capacity = m->capacity ? m->capacity * 2 : 16;
		struct import_part **grown =
		    mem_realloc(m->parts, capacity * sizeof(struct import_part *));
		if (!grown) {
			mem_free(part);
			return ERR_NOMEM;
		}
		m->parts = grown;
		m->capacity = capacity;
	}
	m->parts[m->count++] = part;
	if (partition >= m->partitions)
		m->partitions = partition + 1;
	TRY(import_source_open(&part->source, m->io, dir, partition));
	part->source.plain = &m->plain;
	part->log_start = starts_of(m->starts, str_of(m->topic), partition);
	import_source_begin(&part->source, part->log_start);
	if (part->log_start < part->source.first_offset)
		part->log_start = part->source.first_offset;
	if (part->log_start > OFFSET_END_MAX)
		return err_note(ERR_LIMIT,
		    "%s begins at %lld: the offsets of a partition end at 2^62", dir,
		    (long long)part->log_start);
	TRY(import_read_topic_id(&part->source, &m->id));
	return import_read_leader_epoch(&part->source, &part->leader_epoch);
}

static void release_parts(struct import *m)
{
	for (size_t i = 0; i < m->count; i++) {
		import_source_release(&m->parts[i]->source);
		if (m->parts[i]->open)
			offline_part_release(&m->parts[i]->out);
		mem_free(m->parts[i]);
	}
	mem_free(m->parts);
	mem_free(m->heap);
	m->parts = m->heap = NULL;
	m->count = m->capacity = 0;
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Ascending by the next batch's time; of the same time by partition, so that the order is one. */
static bool comes_before(const struct import_part *a, const struct import_part *b)
{
	int64_t x = a->source.header.max_timestamp_ms, y = b->source.header.max_timestamp_ms;
	return x != y ? x < y : a->source.partition < b->source.partition;
}

static void heap_sink(struct import *m, size_t at)
{
	struct import_part *part = m->heap[at];
	for (size_t child; (child = 2 * at + 1) < m->heap_count; at = child) {
		if (child + 1 < m->heap_count && comes_before(m->heap[child + 1], m->heap[child]))
			child++;
		if (!comes_before(m->heap[child], part))
			break;
		m->heap[at] = m->heap[child];
	}
	m->heap[at] = part;
}

/* All parts that have a batch. */
static enum err heap_make(struct import *m)
{
	m->heap = mem_calloc(m->count + 1, sizeof(struct import_part *));
	if (!m->heap)
		return ERR_NOMEM;
	for (size_t i = 0; i < m->count; i++)
		if (m->parts[i]->source.have)
			m->heap[m->heap_count++] = m->parts[i];
	for (size_t i = m->heap_count; i > 0; i--)
		heap_sink(m, i - 1);
	return ERR_OK;
}

/* The first part of the heap goes on to its next batch. */
static enum err heap_advance(struct import *m)
{
	struct import_part *part = m->heap[0];
	m->bytes_done += part->source.batch.len;
	TRY(import_source_next(&part->source));
	if (!part->source.have)
		m->heap[0] = m->heap[--m->heap_count];
	if (m->heap_count > 0)
		heap_sink(m, 0);
	if (m->options->progress)
		m->options->progress(m->options->progress_ctx, m->bytes_done, m->bytes_total);
	return ERR_OK;
}

/* Offsets that the Kafka log does not have; each piece of the hole takes a sequence. */
static enum err put_hole(struct import *m, struct import_part *p, int64_t to)
{
	uint64_t pieces = (uint64_t)(to - p->out.next_offset - 1) / INT32_MAX + 1;
	if (pieces > IMPORT_HOLE_PIECES_MAX)
		return err_note(ERR_LIMIT,
		    "partition %s-%d has no offsets from %lld to %lld: no compaction leaves such a "
		    "hole",
		    m->topic, p->source.partition, (long long)p->out.next_offset, (long long)to);
	struct offline_hole hole = {to, m->sequence + 1, m->sequence + pieces, pieces};
	m->sequence += pieces;
	if (p->out.append_ns == 0)
		p->out.append_ns = m->now_ns;
	return offline_part_hole(&p->out, hole);
}

static enum err put_batch(struct import *m, struct import_part *p)
{
	const struct batch_header *h = &p->source.header;
	if (p->source.new_file)
		p->out.roll = true;
	if (h->base_offset > p->out.next_offset)
		TRY(put_hole(m, p, h->base_offset));
	const struct frame f = {
	    .sequence = ++m->sequence,
	    .base_offset = h->base_offset,
	    .last_offset_delta = (uint32_t)h->last_offset_delta,
	    .server_epoch = p->out.epoch,
	    .append_time_ns = m->now_ns,
	    .durable_when_written = m->sequence - 1,
	};
	if (h->leader_epoch > 0 && (uint32_t)h->leader_epoch > p->leader_epoch)
		p->leader_epoch = (uint32_t)h->leader_epoch;
	producer_id_used(&m->producer_ids, h->producer_id);
	m->batches++;
	m->records += (uint64_t)h->count;
	m->bytes += p->source.batch.len;
	return offline_part_frame(&p->out, &f, p->source.batch);
}

static enum err open_import(struct import *m)
{
	char dir[LOG_PATH_MAX];
	TRY(path_of(m, dir, "import", NULL));
	TRY(io_mkdir(m->io, dir));
	return offline_sync_open(&m->sync, m->io, dir);
}

/* What is written is about as long as what is read. */
static enum err check_space(const struct import *m)
{
	uint64_t left, total;
	TRY(io_space(m->io, m->data_dir, &left, &total));
	return left > m->bytes_total
	           ? ERR_OK
	           : err_note(ERR_NOSPACE, "%llu bytes to import, %llu are free in %s",
	                 (unsigned long long)m->bytes_total, (unsigned long long)left, m->data_dir);
}

static enum err open_outputs(struct import *m)
{
	char dir[LOG_PATH_MAX], name[TOPIC_NAME_MAX + 16];
	size_t share = IMPORT_BUFFER_BYTES / 2 / (m->count + 1);
	share = share < IMPORT_BUFFER_LEAST ? IMPORT_BUFFER_LEAST : share;
	uint64_t bytes;
	TRY(path_of(m, dir, "import", NULL));
	for (size_t i = 0; i < m->count; i++) {
		struct import_part *p = m->parts[i];
		struct partition_key key = {m->id, p->source.partition};
		snprintf(name, sizeof(name), "%s-%d", m->topic, p->source.partition);
		p->open = true;
		TRY(offline_part_open(
		    &p->out, m->io, dir, name, key, str_of(m->topic), p->source.first_offset));
		p->out.epoch = m->record.record.header.epoch;
		p->out.write_bytes = share < p->out.write_bytes ? share : p->out.write_bytes;
		p->source.read_bytes = share < p->source.read_bytes ? share : p->source.read_bytes;
		TRY(import_source_bytes(&p->source, &bytes));
		m->bytes_total += bytes;
		TRY(import_source_next(&p->source));
	}
	return check_space(m);
}

static enum err close_outputs(struct import *m)
{
	for (size_t i = 0; i < m->count; i++) {
		struct import_part *p = m->parts[i];
		struct checkpoint_row row;
		p->log_end = p->source.next_offset;
		if (p->log_end < p->log_start)
			p->log_end = p->log_start; /* all of it was deleted, as Kafka sees it */
		if (p->log_end > p->out.next_offset && p->out.frames > 0)
			TRY(put_hole(m, p, p->log_end));
		TRY(offline_part_close(&p->out, &row));
		if (p->out.frames > 0)
			TRY(offline_record_put(&m->record, &row));
		if (p->source.torn_bytes > 0)
			fsck_tell(&m->teller, ERR_TORN_TAIL,
			    "partition=%s-%d pos=%llu bytes=%llu reason=\"%s\"", m->topic,
			    p->source.partition, (unsigned long long)p->source.torn_pos,
			    (unsigned long long)p->source.torn_bytes, p->source.torn_why);
		fsck_tell(&m->teller, ERR_OK,
		    "partition=%s-%d action=imported batches=%llu bytes=%llu holes=%llu "
		    "log_start=%lld log_end=%lld",
		    m->topic, p->source.partition, (unsigned long long)p->out.frames,
		    (unsigned long long)p->out.bytes, (unsigned long long)p->out.holes,
		    (long long)p->log_start, (long long)p->log_end);
	}
	return ERR_OK;
}

static enum err copy_batches(struct import *m)
{
	TRY(open_outputs(m));
	TRY(heap_make(m));
	while (m->heap_count > 0) {
		TRY(put_batch(m, m->heap[0]));
		TRY(heap_advance(m));
	}
	return close_outputs(m);
}

/* ---- the directory --------------------------------------------------------------------------- */

static enum err move_in(struct import *m)
{
	char from[LOG_PATH_MAX], to[LOG_PATH_MAX], name[TOPIC_NAME_MAX + 32];
	for (size_t i = 0; i < m->count; i++) {
		int32_t partition = m->parts[i]->source.partition;
		snprintf(name, sizeof(name), "%s-%d", m->topic, partition);
		TRY(path_of(m, from, "import", name));
		TRY(path_of(m, to, "topics", name));
		TRY(m->parts[i]->out.frames > 0 ? io_rename(m->io, from, to)
		                                : io_rmdir(m->io, from));
	}
	TRY(path_of(m, to, "topics", NULL));
	TRY(io_fsync_dir(m->io, to));
	TRY(path_of(m, from, "import", NULL));
	return io_fsync_dir(m->io, from);
}

static void close_files(struct import *m)
{
	for (size_t i = 0; i < m->count; i++) {
		if (m->parts[i]->open)
			offline_part_release(&m->parts[i]->out);
		m->parts[i]->open = false;
	}
}

/* Under the lock: steps 2 and 3. */
static enum err write_locked(struct import *m)
{
	struct checkpoint_header *h = &m->record.record.header;
	TRY(import_left_settle(&m->left, m->where.dir));
	TRY(offline_record_read(m->io, m->where.dir, &m->record));
	if (!h->clean || h->gap_count >= CHECKPOINT_GAPS_MAX)
		return err_note(ERR_REFUSED, "%s was not stopped cleanly", m->data_dir);
	m->sequence = h->sequence;
	m->producer_ids = h->producer_ids;
	m->now_ns = io_clock_ns(m->io, IO_CLOCK_REALTIME);
	if (m->now_ns < h->last_append_ns)
		m->now_ns = h->last_append_ns;
	uint64_t first = m->sequence + 1;
	TRY(open_import(m));
	enum err err = copy_batches(m);
	if (err == ERR_OK)
		err = offline_sync_all(&m->sync);
	offline_sync_close(&m->sync);
	if (err != ERR_OK) {
		size_t mark = err_mark();
		close_files(m);
		if (import_left_remove(&m->left) != ERR_OK) /* the next import does it */
			diag(DIAG_WARN, "import_leftover", "error=\"%s\"", err_chain());
		err_rewind(mark);
		return err;
	}
	h->sequence = m->sequence;
	h->last_append_ns = m->now_ns;
	h->producer_ids = m->producer_ids + IMPORT_PRODUCER_IDS;
	if (m->sequence >= first)
		m->record.record.gaps[h->gap_count++] = (struct checkpoint_gap){first, m->sequence};
	TRY(offline_record_write(m->io, m->where.dir, &m->record));
	m->left.id = m->id;
	memcpy(m->left.topic, m->topic, sizeof(m->topic));
	m->left.first_sequence = first;
	m->left.last_sequence = m->sequence;
	TRY(import_left_note(&m->left));
	TRY(move_in(m));
	if (m->sequence >= first)
		h->gap_count--;
	return offline_record_write(m->io, m->where.dir, &m->record);
}

static enum err settle_locked(struct import *m)
{
	return import_left_settle(&m->left, m->where.dir);
}

static enum err end_locked(struct import *m)
{
	return import_left_remove(&m->left);
}

static enum err locked(struct import *m, enum err (*fn)(struct import *m))
{
	struct dirlock lock;
	enum err err = dirlock_take_data(m->io, m->data_dir, DIRLOCK_WRITE, &lock);
	m->where.lock = DIRLOCK_NONE;
	if (err == ERR_OK)
		err = journal_where_find(m->io, m->data_dir, NULL, &m->where);
	if (err == ERR_OK)
		err = journal_where_lock(m->io, &m->where, DIRLOCK_WRITE);
	if (err == ERR_OK)
		err = fn(m);
	journal_where_release(m->io, &m->where);
	dirlock_release(m->io, &lock);
	return err;
}

/* ---- the catalog ----------------------------------------------------------------------------- */

static enum err check_free(void *ctx, struct log *log)
{
	struct import *m = ctx;
	TRY(import_left_read(m->io, m->data_dir, &m->left));
	m->left.known = m->left.moved && log_topic_by_id(log, m->left.id);
	if (log_topic_find(log, str_of(m->topic)))
		return err_note(ERR_TOPIC_EXISTS, "there is a topic %s", m->topic);
	if (log_uuid_is_zero(m->id) || log_topic_by_id(log, m->id))
		m->id = uuid_random(m->io);
	return ERR_OK;
}

/* Its partitions are not there yet, so these are rows like any others. */
static enum err put_partition(struct import *m, struct log *log, const struct import_part *p)
{
	const struct catalog_partition_row row = {.topic_id = m->id,
	    .partition = p->source.partition,
	    .log_start = p->out.frames > 0 ? p->log_start : p->log_end,
	    .leader_epoch = p->leader_epoch};
	if (row.log_start == 0 && row.leader_epoch == 0)
		return ERR_OK;
	return offline_put_early(log, &row);
}

static enum err put_rows(void *ctx, struct log *log)
{
	struct import *m = ctx;
	for (size_t i = 0; i < m->count; i++)
		TRY(put_partition(m, log, m->parts[i]));
	return offline_put_topic(
	    log, &(struct offline_topic){str_of(m->topic), m->id, m->partitions,
	             m->options->configs, m->options->config_count});
}

/* m->parts are found. */
static enum err import_topic(struct import *m)
{
	const struct offline_open open = {
	    .io = m->io, .data_dir = m->data_dir, .journal_bytes = m->options->journal_bytes};
	enum err err = offline_with_log(&open, check_free, m);
	if (err == ERR_TOPIC_EXISTS && m->left.there && (m->left.known || !m->left.moved)) {
		size_t mark = err_mark(); /* that import came to its end but for its directory */
		if (locked(m, settle_locked) != ERR_OK)
			diag(DIAG_WARN, "import_leftover", "error=\"%s\"", err_chain());
		err_rewind(mark);
	}
	TRY(err);
	TRY(locked(m, write_locked));
	TRY(offline_with_log(&open, put_rows, m));
	TRY(locked(m, end_locked));
	fsck_tell(&m->teller, ERR_OK,
	    "action=imported topic=%s partitions=%d batches=%llu records=%llu bytes=%llu", m->topic,
	    m->partitions, (unsigned long long)m->batches, (unsigned long long)m->records,
	    (unsigned long long)m->bytes);
	return ERR_OK;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const char *last_name(const char *path, char *buf, size_t len)
{
	size_t end = strlen(path);
	while (end > 1 && path[end - 1] == '/')
		end--;
	size_t from = end;
	while (from > 0 && path[from - 1] != '/')
		from--;
	snprintf(buf, len, "%.*s", (int)(end - from), path + from);
	return buf;
}

/* Every directory of `parent` that belongs to m->topic. */
static enum err find_parts(struct import *m, const char *parent, const struct io_names *names)
{
	for (size_t i = 0; i < names->count; i++) {
		struct str topic;
		int32_t partition;
		char path[LOG_PATH_MAX];
		if (!parse_directory(names->name[i], &topic, &partition) ||
		    !str_equal(topic, str_of(m->topic)))
			continue;
		int n = snprintf(path, sizeof(path), "%s/%s", parent, names->name[i]);
		if (n < 0 || (size_t)n >= sizeof(path))
			return err_note(ERR_LIMIT, "%s: path too long", parent);
		TRY(add_part(m, path, partition));
	}
	return ERR_OK;
}

static enum err import_named(
    const struct import *base, struct str topic, const char *path, const struct io_names *names)
{
	struct import m = *base;
	int32_t partition = 0;
	writer_init(&m.plain, BATCH_PLAIN_MAX);
	struct str from;
	char name[TOPIC_NAME_MAX + 32];
	memcpy(m.topic, topic.ptr, topic.len);
	m.topic[topic.len] = '\0';
	enum err err;
	if (names)
		err = find_parts(&m, path, names);
	else if (parse_directory(last_name(path, name, sizeof(name)), &from, &partition))
		err = add_part(&m, path, partition);
	else
		err = err_note(ERR_INVALID, "%s is not named TOPIC-PARTITION", path);
	if (err == ERR_OK && m.options->as) {
		struct str as = str_of(m.options->as);
		err = log_topic_name_check(as); /* whole: a long name must not become another */
		if (err == ERR_OK) {
			memcpy(m.topic, as.ptr, as.len);
			m.topic[as.len] = '\0';
		}
	}
	if (err == ERR_OK)
		err = import_topic(&m);
	release_parts(&m);
	writer_release(&m.plain);
	offline_record_release(&m.record);
	return err;
}

/* Walks over the topics of a directory: names are sorted, so a topic's partitions mostly follow. */
struct topic_walk {
	size_t at;
	char last[TOPIC_NAME_MAX + 1];
	struct str topic;
	int32_t partition; /* its first there */
};

static bool is_kafkas_own(struct str topic)
{
	return log_topic_name_reserved(topic) || str_equal(topic, STR("__cluster_metadata")) ||
	       str_equal(topic, STR("__share_group_state"));
}

/* The next one that is asked for, Kafka's own aside. */
static bool next_topic(const struct import *m, const struct io_names *names, struct topic_walk *w)
{
	while (w->at < names->count) {
		if (!parse_directory(names->name[w->at++], &w->topic, &w->partition) ||
		    is_kafkas_own(w->topic) || str_equal(w->topic, str_of(w->last)) ||
		    (m->options->topic && !str_equal(w->topic, str_of(m->options->topic))))
			continue;
		memcpy(w->last, w->topic.ptr, w->topic.len);
		w->last[w->topic.len] = '\0';
		return true;
	}
	return false;
}

/* A directory of partitions: each topic in turn. */
static enum err import_all(const struct import *m, const char *path, const struct io_names *names)
{
	struct topic_walk w = {.at = 0}, count = {.at = 0};
	size_t topics = 0;
	if (m->options->as && next_topic(m, names, &count) && next_topic(m, names, &count))
		return err_note(ERR_INVALID, "several topics and one name for them");
	while (next_topic(m, names, &w)) {
		enum err err = import_named(m, w.topic, path, names);
		if (err == ERR_TOPIC_EXISTS && w.partition > 0 && !m->options->topic) {
			err_clear(); /* "a-1" after "a-b-0": imported already, or told at its 0 */
			continue;
		}
		TRY(err);
		topics++;
	}
	return topics > 0 ? ERR_OK : err_note(ERR_NOT_FOUND, "%s has no partition to import", path);
}

/* names: of what is in `path`. */
static enum err import_path(struct import *m, const char *path, const struct io_names *names)
{
	char name[TOPIC_NAME_MAX + 32], parent[LOG_PATH_MAX];
	struct starts starts;
	struct str topic;
	int32_t number;
	int64_t base;
	bool partition = false;
	for (size_t i = 0; i < names->count && !partition; i++)
		partition = segment_name_parse(names->name[i], ".log", &base);
	/* it lies beside partitions */
	struct str beside = partition ? io_parent(path) : str_of(path);
	int n = snprintf(parent, sizeof(parent), STR_FMT, STR_ARG(beside));
	if (n < 0 || n >= (int)sizeof(parent))
		return err_note(ERR_LIMIT, "%s: path too long", path);
	TRY(starts_read(m->io, parent, &starts));
	m->starts = &starts;
	enum err err;
	if (!partition)
		err = import_all(m, path, names);
	else if (parse_directory(last_name(path, name, sizeof(name)), &topic, &number))
		err = import_named(m, topic, path, NULL);
	else
		err = err_note(ERR_INVALID, "%s is not named TOPIC-PARTITION", path);
	starts_release(&starts);
	return err;
}

enum err log_import(struct io *io, const char *path, const char *data_dir,
    const struct log_import_options *options, log_print print, void *ctx)
{
	struct import m = {.io = io,
	    .options = options,
	    .data_dir = data_dir,
	    .teller = {options->json, print, ctx}};
	struct io_names names;
	TRY(io_list(io, path, &names));
	enum err err = import_path(&m, path, &names);
	io_names_release(&names);
	return err;
}
