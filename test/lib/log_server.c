/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/log_server.h"
#include "test/lib/tempdir.h"
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

void log_server_init(struct log_server *s)
{
	*s = (struct log_server){.dir = tempdir_new()};
	assert_int_equal(io_new("threads", &s->io), ERR_OK);
	s->options = (struct log_options){.data_dir = s->dir, .journal_bytes = JOURNAL_BYTES_MIN};
	log_server_open(s);
}

void log_server_open(struct log_server *s)
{
	assert_int_equal(loop_new(s->io, 2, &s->loop), ERR_OK);
	enum err err = log_open(s->loop, &s->options, &s->log);
	if (err != ERR_OK)
		fail_msg("log_open: %s: %s", err_name(err), err_chain());
}

void log_server_close(struct log_server *s)
{
	log_close(s->log);
	loop_free(s->loop);
	s->log = NULL;
	s->loop = NULL;
}

void log_server_restart(struct log_server *s)
{
	log_server_close(s);
	log_server_open(s);
}

void log_server_release(struct log_server *s)
{
	if (s->log)
		log_server_close(s);
	io_free(s->io);
	tempdir_remove(s->dir);
}

/* ---- a crash: a copy of the directory as it is now takes its place ---- */

static const char *copy_from, *copy_to;
static unsigned copied, found;

static int copy_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	char to[4096], buf[65536];
	(void)st;
	(void)ftw;
	copied++;
	snprintf(to, sizeof(to), "%s%s", copy_to, path + strlen(copy_from));
	if (kind == FTW_D)
		return mkdir(to, 0700) == 0 || strcmp(to, copy_to) == 0 ? 0 : -1;
	FILE *in = fopen(path, "rb"), *out = in ? fopen(to, "wb") : NULL;
	bool good = in && out;
	for (size_t n; good && (n = fread(buf, 1, sizeof(buf), in)) > 0;)
		good = fwrite(buf, 1, n, out) == n;
	if (in)
		fclose(in);
	return out && fclose(out) == 0 && good ? 0 : -1;
}

/* -1 unless the copy has the same bytes. */
static int compare_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	char to[4096], a[65536], b[65536];
	(void)st;
	(void)ftw;
	found++;
	if (kind == FTW_D)
		return 0;
	snprintf(to, sizeof(to), "%s%s", copy_to, path + strlen(copy_from));
	FILE *in = fopen(path, "rb"), *out = in ? fopen(to, "rb") : NULL;
	bool same = in && out;
	for (size_t n = 1; same && n > 0;) {
		n = fread(a, 1, sizeof(a), in);
		same = fread(b, 1, sizeof(b), out) == n && memcmp(a, b, n) == 0;
	}
	if (in)
		fclose(in);
	if (out)
		fclose(out);
	return same ? 0 : -1;
}

/*
 * Of one moment: pool and helpers go on writing and unlinking while this copies, and files of
 * different moments are what no crash leaves (a checkpoint record, and a segment from before it).
 * When each file was read twice and was the same, the copy is of the moment between.
 */
char *log_server_copy(const struct log_server *s)
{
	for (int tries = 0;; tries++) {
		char *to = tempdir_new();
		copy_from = s->dir;
		copy_to = to;
		copied = found = 0;
		if (nftw(s->dir, copy_one, 16, FTW_PHYS) == 0 &&
		    nftw(s->dir, compare_one, 16, FTW_PHYS) == 0 && copied == found)
			return to;
		tempdir_remove(to);
		assert_in_range(tries, 0, 1000);
	}
}

void log_server_kill(struct log_server *s)
{
	char *to = log_server_copy(s);
	log_server_close(s);
	tempdir_remove(s->dir);
	s->dir = to;
	s->options.data_dir = to;
}

void log_server_crash(struct log_server *s)
{
	log_server_kill(s);
	log_server_open(s);
}

void log_server_turn(struct log_server *s)
{
	assert_int_equal(loop_step(s->loop, 10 * MS_NS), ERR_OK);
}

/* ---- topics ---- */

struct change {
	struct log_topic_req req;
	bool done;
};

static void change_done(struct log_topic_req *req)
{
	CONTAINER_OF(req, struct change, req)->done = true;
}

enum err log_server_change(struct log_server *s, enum log_topic_op op, const char *name,
    int partitions, const char *const *configs, struct log_topic_req *ret_req)
{
	struct str pairs[16][2];
	struct change c = {
	    .req =
	        {
	            .op = op,
	            .name = str_of(name),
	            .partition_count = partitions,
	            .configs = (const struct str(*)[2])pairs,
	            .done = change_done,
	        },
	};
	for (; configs && configs[c.req.config_count]; c.req.config_count++) {
		const char *text = configs[c.req.config_count], *equals = strchr(text, '=');
		assert_in_range(c.req.config_count, 0, 15);
		pairs[c.req.config_count][0] = str_from(text, (size_t)(equals - text));
		pairs[c.req.config_count][1] = str_of(equals + 1);
	}
	log_topic_submit(s->log, &c.req);
	assert_false(c.done);
	while (!c.done)
		log_server_turn(s);
	if (ret_req)
		*ret_req = c.req;
	return c.req.err;
}

struct log_uuid log_server_create(
    struct log_server *s, const char *name, int partitions, const char *const *configs)
{
	struct log_topic_req req;
	enum err err = log_server_change(s, LOG_TOPIC_CREATE, name, partitions, configs, &req);
	if (err != ERR_OK)
		fail_msg("create %s: %s: %s", name, err_name(err), req.message);
	return req.ret_id;
}

const struct log_topic *log_server_topic(const struct log_server *s, const char *name)
{
	return log_topic_find(s->log, str_of(name));
}

static struct log_partition *partition_of(
    const struct log_server *s, const char *topic, int partition)
{
	const struct log_topic *t = log_server_topic(s, topic);
	assert_non_null(t);
	struct log_partition *p = log_partition_find(s->log, t, partition);
	assert_non_null(p);
	return p;
}

struct log_partition_status log_server_status(
    struct log_server *s, const char *topic, int partition)
{
	struct log_partition_status status;
	log_partition_status(partition_of(s, topic, partition), &status);
	return status;
}

/* ---- records ---- */

struct put {
	struct log_append req;
	bool done;
};

static void put_done(struct log_append *req)
{
	CONTAINER_OF(req, struct put, req)->done = true;
}

enum err log_server_try_append(
    struct log_server *s, const char *topic, int partition, const char *value, int64_t *ret_offset)
{
	struct batch_builder b;
	struct writer w;
	writer_init(&w, MIB);
	batch_builder_init(&b, BATCH_NONE);
	int64_t now_ms = io_clock_ns(s->io, IO_CLOCK_REALTIME) / MS_NS;
	assert_int_equal(
	    batch_builder_add(&b, now_ms, bytes_of("k", 1), str_bytes(str_of(value)), NULL, 0),
	    ERR_OK);
	assert_int_equal(batch_builder_finish(&b, &w), ERR_OK);
	batch_builder_release(&b);
	struct put put = {
	    .req =
	        {
	            .partition = partition_of(s, topic, partition),
	            .batch = w.ptr,
	            .batch_len = w.len,
	            .internal = true,
	            .done = put_done,
	        },
	};
	struct log_append *req = &put.req;
	log_append(s->log, &req, 1, false);
	while (!put.done)
		log_server_turn(s);
	writer_release(&w);
	if (put.req.err == ERR_OK && ret_offset)
		*ret_offset = put.req.base_offset;
	return put.req.err;
}

int64_t log_server_append(struct log_server *s, const char *topic, int partition, const char *value)
{
	int64_t offset = -1;
	assert_int_equal(log_server_try_append(s, topic, partition, value, &offset), ERR_OK);
	return offset;
}

struct get {
	struct log_read req;
	bool done;
};

static void get_done(struct log_read *req)
{
	CONTAINER_OF(req, struct get, req)->done = true;
}

const char *log_server_read(struct log_server *s, const char *topic, int partition, int64_t offset)
{
	const char *value;
	enum err err = log_server_try_read(s, topic, partition, offset, &value);
	if (err == ERR_OFFSET_OUT_OF_RANGE)
		return NULL;
	assert_int_equal(err, ERR_OK);
	return value;
}

enum err log_server_try_read(
    struct log_server *s, const char *topic, int partition, int64_t offset, const char **ret_value)
{
	static char text[65536];
	struct get get = {
	    .req =
	        {
	            .partition = partition_of(s, topic, partition),
	            .offset = offset,
	            .max_bytes = 1,
	            .done = get_done,
	        },
	};
	log_read(s->log, &get.req);
	while (!get.done)
		log_server_turn(s);
	if (get.req.err != ERR_OK)
		return get.req.err;
	struct record_iter it;
	struct record r = {0};
	assert_int_equal(get.req.batch_count, 1);
	assert_int_equal(record_iter_open(&it, get.req.batches[0], NULL, 0), ERR_OK);
	do
		assert_int_equal(record_iter_next(&it, &r), ERR_OK);
	while (r.offset < offset);
	snprintf(text, sizeof(text), STR_FMT, STR_ARG(bytes_str(r.value)));
	log_read_release(&get.req);
	*ret_value = text;
	return ERR_OK;
}
