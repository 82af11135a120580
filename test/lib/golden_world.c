/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/golden_world.h"

#include "log/partition.h"
#include "log/segment.h"
#include "test/lib/xmalloc.h"

#include <stdio.h>
#include <string.h>

#define OK(expr) assert_int_equal((expr), ERR_OK)
enum { DIRECT_BYTES = 2000, DIRECT_VALUE = 2100 };
#define NO_ROLL ((uint64_t)1 << 30)

/* ---- lives ----------------------------------------------------------------------------------- */

char golden_world_said[GOLDEN_SAID_BYTES];

static void note(void *ctx, const char *line)
{
	size_t used = strlen(golden_world_said);
	(void)ctx;
	snprintf(golden_world_said + used, sizeof(golden_world_said) - used, "%s\n", line);
}

static void options_set(struct golden_world *w)
{
	diag_set_sink(note, NULL);
	map_set_seed(1);
	w->f.log_options = (struct log_options){
	    .journal_bytes = 192 * KIB, .checkpoint_ns = S_NS, .direct_bytes = DIRECT_BYTES};
	w->f.options.checkpoint_ns = S_NS;
}

enum err golden_world_try_open(struct golden_world *w)
{
	const struct sim_options o = {.seed = 1700 + w->lives++,
	    .latency_min_ns = 10 * US_NS,
	    .latency_max_ns = 10 * US_NS,
	    .still = true};
	OK(sim_io_new(w->disk, &o, &w->io));
	golden_world_said[0] = '\0';
	enum err err = view_try_start_on(&w->f, w->io, GOLDEN_DATA);
	w->k = (struct keyed_log){.disk = w->disk, .io = w->io, .loop = w->f.loop, .log = w->f.log};
	return err;
}

void golden_world_open(struct golden_world *w)
{
	if (golden_world_try_open(w) != ERR_OK)
		fail_msg("the server did not start: %s", w->f.why);
}

static void end(struct golden_world *w, struct sim_disk *left)
{
	view_stop(&w->f);
	io_free(w->io);
	w->io = NULL;
	if (!left)
		return;
	sim_disk_free(w->disk);
	w->disk = left;
}

void golden_world_stop(struct golden_world *w)
{
	end(w, NULL);
}

void golden_world_kill(struct golden_world *w)
{
	end(w, sim_io_kill(w->io, 1));
}

void golden_world_release(struct golden_world *w)
{
	if (w->io)
		end(w, NULL);
	sim_disk_free(w->disk);
	view_remove(&w->f);
	diag_set_sink(NULL, NULL);
	err_clear();
}

uint32_t golden_world_dir(const struct golden_world *w)
{
	uint32_t dir = sim_disk_lookup(w->disk, SIM_ROOT, STR("data"));
	assert_true(dir != 0);
	return dir;
}

void golden_world_on(struct golden_world *w, struct sim_disk *disk)
{
	*w = (struct golden_world){.disk = disk, .lives = 100};
	options_set(w);
}

void golden_world_load(struct golden_world *w, const struct tree *tree)
{
	const struct sim_op make = {.kind = SIM_OP_MKDIR, .inode = SIM_ROOT, .name = "data"},
	                    sync = {.kind = SIM_OP_SYNC, .inode = SIM_ROOT};
	golden_world_on(w, sim_disk_new(0));
	assert_int_equal(sim_disk_apply(w->disk, &make), 0);
	assert_int_equal(sim_disk_apply(w->disk, &sync), 0);
	tree_to_disk(tree, w->disk, golden_world_dir(w));
}

bool golden_world_try_catch_up(struct golden_world *w)
{
	struct log_status st;
	log_status(w->f.log, &st);
	for (int i = 0; i < 10000; i++) {
		struct proc_version_status s = view_status(&w->f, GOLDEN_VIEW, 0);
		if (s.state == PROC_READY && s.position >= st.stable_sequence)
			return true;
		if (s.state == PROC_FAILED)
			return false;
		(void)proc_step(w->f.proc);
		keyed_turn(&w->k);
	}
	return false;
}

void golden_world_catch_up(struct golden_world *w)
{
	if (golden_world_try_catch_up(w))
		return;
	struct proc_version_status s = view_status(&w->f, GOLDEN_VIEW, 0);
	fail_msg("%s does not catch up: %s", GOLDEN_VIEW, s.reason);
}

/* ---- what is written ------------------------------------------------------------------------- */

static void roll(struct golden_world *w, const char *topic)
{
	partition_roll_soon(keyed_partition(&w->k, topic));
	keyed_put(&w->k, topic, "rolled", "here");
}

static struct keyed_how of_producer(int64_t id, int32_t sequence, bool transactional)
{
	return (struct keyed_how){.producer_id = id,
	    .epoch = 0,
	    .sequence = sequence,
	    .attributes = transactional ? BATCH_ATTR_TRANSACTIONAL : 0};
}

static void put_from(struct golden_world *w, const char *topic, struct keyed_how how,
    const char *key, const char *value)
{
	const struct keyed_record r = {key, value, 1740787201000};
	keyed_append(&w->k, topic, &r, 1, &how);
}

static void make_topics(struct golden_world *w)
{
	static const char *const compact[] = {
	    "cleanup.policy=compact", "min.cleanable.dirty.ratio=0", NULL};
	static const char *const packed[] = {"compression.type=lz4", NULL};
	static const char *const lazy[] = {"kappa.durability=none", NULL};
	keyed_create(&w->k, "plain", NO_ROLL, NULL);
	keyed_create(&w->k, "direct", NO_ROLL, NULL);
	keyed_create(&w->k, "compact", NO_ROLL, compact);
	keyed_create(&w->k, "packed", NO_ROLL, packed);
	keyed_create(&w->k, "txn", NO_ROLL, NULL);
	keyed_create(&w->k, "lazy", NO_ROLL, lazy);
	keyed_create(&w->k, "orders", NO_ROLL, NULL);
}

static void fill_plain(struct golden_world *w)
{
	const struct keyed_record three[] = {
	    {"a", "1", 1740787200500}, {NULL, "no key", 1740787200400}, {"b", NULL, 1740787200600}};
	keyed_put(&w->k, "plain", "first", "record");
	keyed_append(&w->k, "plain", three, 3, &KEYED_PLAIN);
	put_from(w, "plain", of_producer(7, 0, false), "p", "seven 0");
	put_from(w, "plain", of_producer(7, 1, false), "p", "seven 1");
	roll(w, "plain");
}

static void put_direct(struct golden_world *w, char fill)
{
	char value[DIRECT_VALUE + 1];
	memset(value, fill, DIRECT_VALUE);
	value[DIRECT_VALUE] = '\0';
	const struct keyed_record r = {"large", value, 1740787202000};
	keyed_append(&w->k, "direct", &r, 1, &KEYED_PLAIN);
}

static void fill_direct(struct golden_world *w)
{
	keyed_put(&w->k, "direct", "small", "before");
	put_direct(w, 'd');
	keyed_put(&w->k, "direct", "small", "behind");
}

static void fill_compact(struct golden_world *w)
{
	const struct keyed_record abc[] = {
	    {"a", "1", 1740787200100}, {"b", "2", 1740787200200}, {"c", "3", 1740787200300}};
	keyed_append(&w->k, "compact", abc, 3, &KEYED_PLAIN);
	keyed_put(&w->k, "compact", "a", "4");
	keyed_put(&w->k, "compact", "a", "5");
	put_from(w, "compact", of_producer(9, 0, false), "d", "6");
	put_from(w, "compact", of_producer(100, 0, true), "e", "7");
	keyed_marker(&w->k, "compact", 100, 0, true);
	put_from(w, "compact", of_producer(101, 0, true), "f", "8");
	keyed_marker(&w->k, "compact", 101, 0, false);
	keyed_put(&w->k, "compact", "d", "9");
	keyed_put(&w->k, "compact", "b", NULL);
	keyed_put(&w->k, "compact", "a", "10");
	roll(w, "compact");
}

static void fill_packed(struct golden_world *w)
{
	struct keyed_record r[8];
	for (int i = 0; i < 8; i++)
		r[i] = (struct keyed_record){
		    "key", "a value that is always the same", 1740787200000 + i};
	keyed_append(&w->k, "packed", r, 8, &KEYED_PLAIN);
	keyed_append(&w->k, "packed", r, 5, &KEYED_PLAIN);
	roll(w, "packed");
}

static void fill_txn(struct golden_world *w)
{
	put_from(w, "txn", of_producer(100, 0, true), "k", "committed");
	put_from(w, "txn", of_producer(101, 0, true), "k", "aborted");
	keyed_put(&w->k, "txn", "k", "beside");
	keyed_marker(&w->k, "txn", 101, 0, false);
	put_from(w, "txn", of_producer(102, 0, true), "k", "open over the roll");
	keyed_marker(&w->k, "txn", 100, 0, true);
	roll(w, "txn");
}

static void orders(struct golden_world *w, const char *more)
{
	const char *const docs[] = {"{\"id\":1,\"product\":\"tea\",\"amount\":\"2.50\"}",
	    "{\"id\":2,\"product\":\"milk\",\"amount\":\"1.20\"}", "{\"id\":3,\"product\"", more};
	view_produce(&w->f, "orders", 0, docs, more ? 4 : 3);
	golden_world_catch_up(w);
}

static void make_view(struct golden_world *w)
{
	(void)view_sql(&w->f, "CREATE TABLE orders (id bigint NOT NULL, product text NOT NULL,"
	                      " amount numeric(12,2) NOT NULL) WITH (topic = 'orders',"
	                      " format = json)");
	(void)view_sql(&w->f, "CREATE MATERIALIZED VIEW per_product AS SELECT product, count(*) AS"
	                      " orders, sum(amount) AS revenue, max(id) AS newest,"
	                      " count(DISTINCT id) AS ids FROM orders GROUP BY product");
}

/* A turn of the journal, and checkpoints on the way. */
static void lap(struct golden_world *w)
{
	for (int i = 0; i < 24; i++) {
		char value[24];
		snprintf(value, sizeof(value), "lap %d", i);
		keyed_put(&w->k, "plain", "lap", value);
	}
	keyed_sleep(&w->k, 1200 * MS_NS);
}

static void first_life(struct golden_world *w)
{
	golden_world_open(w);
	make_topics(w);
	make_view(w);
	fill_plain(w);
	fill_direct(w);
	fill_compact(w);
	fill_packed(w);
	fill_txn(w);
	orders(w, NULL);
	keyed_sleep(&w->k, 1200 * MS_NS); /* a checkpoint: what is sealed may be written anew */
	keyed_compact(&w->k);
	lap(w);
	golden_world_stop(w);
}

/* The power goes when something was told that is not durable. */
static void second_life(struct golden_world *w)
{
	golden_world_open(w);
	keyed_put(&w->k, "lazy", "kept", "flushed");
	keyed_sleep(&w->k, 1200 * MS_NS);
	put_from(w, "txn", of_producer(103, 0, true), "k", "open over the cut");
	keyed_marker(&w->k, "txn", 102, 0, true);
	keyed_put(&w->k, "lazy", "lost", "told and not flushed");
	end(w, sim_io_cut_power(w->io, 7));
}

/* Bytes that nobody has acknowledged, behind the end of a segment. */
static void spoil(struct golden_world *w)
{
	static const uint8_t torn[24] = "torn tail of a frame";
	const char *const dirs[] = {"data", "topics", "plain-0"};
	uint32_t dir = SIM_ROOT;
	for (int i = 0; i < 3; i++)
		dir = sim_disk_lookup(w->disk, dir, str_of(dirs[i]));
	const struct sim_names *names = &w->disk->inode[dir].names;
	for (size_t i = names->count; i-- > 0;) {
		const char *suffix = strrchr(names->entry[i].name, '.');
		uint32_t inode = names->entry[i].inode;
		if (!suffix || strcmp(suffix, ".log") != 0)
			continue;
		const struct sim_op op = {.kind = SIM_OP_WRITE,
		    .inode = inode,
		    .pos = w->disk->inode[inode].cached->size_bytes,
		    .data = bytes_of(torn, sizeof(torn))};
		assert_int_equal(sim_disk_apply(w->disk, &op), 0);
		return;
	}
	fail_msg("no segment to spoil");
}

static void last_life(struct golden_world *w)
{
	golden_world_open(w);
	put_direct(w, 'e');
	orders(w, "{\"id\":4,\"product\":\"tea\",\"amount\":\"3.00\"}");
	put_from(w, "txn", of_producer(104, 0, true), "k", "aborted later");
	keyed_marker(&w->k, "txn", 104, 0, false);
	keyed_sleep(&w->k, 150 * MS_NS); /* D is restated */
	keyed_put(&w->k, "plain", "last", "in the journal");
	golden_world_kill(w);
}

void golden_world_play(struct golden_world *w)
{
	*w = (struct golden_world){.disk = sim_disk_new(0)};
	options_set(w);
	first_life(w);
	second_life(w);
	golden_world_open(w); /* the gap is named */
	keyed_put(&w->k, "lazy", "kept", "behind the gap");
	keyed_put(&w->k, "plain", "copied", "the last entry is a round");
	golden_world_kill(w);
	spoil(w);
	last_life(w);
}

/* ---- what is read ---------------------------------------------------------------------------- */

static void read_done(struct log_read *req)
{
	*(bool *)req->user = true;
}

static void read_at(struct golden_world *w, struct log_partition *p, int64_t offset, bool committed,
    struct log_read *ret)
{
	bool done = false;
	*ret = (struct log_read){.partition = p,
	    .offset = offset,
	    .max_bytes = 64 * KIB,
	    .read_committed = committed,
	    .user = &done,
	    .done = read_done};
	log_read(w->f.log, ret);
	while (!done)
		keyed_turn(&w->k);
	OK(ret->err);
}

static void put_field(struct writer *out, struct bytes b)
{
	if (b.ptr)
		write_printf(out, "%zu:%08x", b.len, crc32c(b));
	else
		write_cstr(out, "null");
}

static void put_batch(struct writer *out, const char *name, struct bytes batch)
{
	struct record_iter it;
	struct record r;
	struct writer scratch;
	writer_init(&scratch, MIB);
	OK(record_iter_open(&it, batch, &scratch, MIB));
	const struct batch_header *h = &it.header;
	write_printf(out,
	    "batch %s %lld+%d attributes=%d producer=%lld epoch=%d sequence=%d count=%d crc=%08x\n",
	    name, (long long)h->base_offset, h->last_offset_delta, h->attributes,
	    (long long)h->producer_id, h->producer_epoch, h->base_sequence, h->count, h->crc);
	while (record_iter_next(&it, &r) == ERR_OK) {
		write_printf(out, "record %s %lld %lld ", name, (long long)r.offset,
		    (long long)r.timestamp_ms);
		put_field(out, r.key);
		write_u8(out, ' ');
		put_field(out, r.value);
		write_u8(out, '\n');
	}
	err_clear();
	writer_release(&scratch);
}

static void put_aborted(
    struct golden_world *w, struct log_partition *p, const char *name, struct writer *out)
{
	struct log_read req;
	struct log_partition_status st;
	log_partition_status(p, &st);
	if (st.log_start == st.stable_end)
		return;
	read_at(w, p, st.log_start, true, &req);
	for (size_t i = 0; i < req.aborted_count; i++)
		write_printf(out, "aborted %s %lld %lld\n", name,
		    (long long)req.aborted[i].producer_id, (long long)req.aborted[i].first_offset);
	log_read_release(&req);
}

static void put_partition(struct golden_world *w, const char *topic, struct writer *out)
{
	char name[80];
	struct log_partition *p = keyed_partition(&w->k, topic);
	struct log_partition_status st;
	log_partition_status(p, &st);
	snprintf(name, sizeof(name), "%s-0", topic);
	write_printf(out, "partition %s log_start=%lld end=%lld stable=%lld leader_epoch=%u\n",
	    name, (long long)st.log_start, (long long)st.visible_end, (long long)st.stable_end,
	    st.leader_epoch);
	put_aborted(w, p, name, out);
	for (int64_t at = st.log_start; at < st.visible_end;) {
		struct log_read req;
		read_at(w, p, at, false, &req);
		for (size_t i = 0; i < req.batch_count; i++)
			put_batch(out, name, req.batches[i]);
		at = req.batch_count > 0 ? req.next_offset : st.visible_end;
		log_read_release(&req);
	}
}

void golden_world_contents(struct golden_world *w, struct writer *out)
{
	static const char *const topics[] = {
	    "compact", "direct", "lazy", "orders", "packed", "plain", "txn"};
	for (size_t i = 0; i < sizeof(topics) / sizeof(*topics); i++)
		put_partition(w, topics[i], out);
	OK(out->err);
}
