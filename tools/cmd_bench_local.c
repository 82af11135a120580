/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa bench append | view: the engine in this process, without network. `append` stands beside
 * plain writes with fdatasync in the same directory; `view` rebuilds the demo's two views from a
 * log it has filled first.
 */
#include "log/batch.h"
#include "processor/processor.h"
#include "tools/bench.h"
#include "tools/commands.h"
#include "tools/demo_sql.h"
#include "tools/quakes.h"
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	APPENDS_MAX = 512,
	WRITERS_MAX = 65536,
	POOL_THREADS = 2,
	VIEW_BATCH_RECORDS = 1000,
	LINE_MAX_BYTES = 1024
};
#define PLAIN_FILE_BYTES ((uint64_t)64 * MIB)

struct local {
	struct cli *cli;
	char dir[300];
	struct io *io;
	struct loop *loop;
	struct log *log;
};

static double cpu_seconds(void)
{
	struct rusage u;
	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static enum err local_open(struct local *l, struct cli *cli)
{
	*l = (struct local){.cli = cli};
	const char *parent = cli_get(cli, "data", "/tmp");
	snprintf(l->dir, sizeof l->dir, "%s/kappa-bench-XXXXXX", parent);
	if (strlen(parent) > 200 || !mkdtemp(l->dir))
		return err_sys("create a directory in %s", parent);
	struct log_options options = {.data_dir = l->dir, .append_queue_bytes = 256 * MIB};
	TRY(io_new(cli_get(cli, "io", "auto"), &l->io));
	TRY(loop_new(l->io, POOL_THREADS, &l->loop));
	return log_open(l->loop, &options, &l->log);
}

static void remove_dir(struct io *io, const char *dir)
{
	struct io_names names;
	if (io_list(io, dir, &names) != ERR_OK)
		return;
	for (size_t i = 0; i < names.count; i++) {
		char path[4096];
		struct io_stat st;
		snprintf(path, sizeof path, "%s/%s", dir, names.name[i]);
		enum err e = io_stat(io, path, &st);
		if (e == ERR_OK && st.is_directory && !st.is_link)
			remove_dir(io, path);
		else
			e = io_unlink(io, path);
		if (e != ERR_OK)
			err_clear();
	}
	io_names_release(&names);
	if (io_rmdir(io, dir) != ERR_OK)
		err_clear();
}

static void local_close(struct local *l)
{
	log_close(l->log);
	loop_free(l->loop);
	if (l->io)
		remove_dir(l->io, l->dir);
	io_free(l->io);
}

/* ---- topic ----------------------------------------------------------------------------------- */

struct topic_wait {
	struct log_topic_req req;
	struct gate gate;
};

static void topic_done(struct log_topic_req *req)
{
	struct topic_wait *w = CONTAINER_OF(req, struct topic_wait, req);
	gate_open(&w->gate);
}

static enum err create_topic(struct local *l, struct str name, int32_t partitions)
{
	struct topic_wait w = {.req = {.op = LOG_TOPIC_CREATE,
	                           .name = name,
	                           .partition_count = partitions,
	                           .done = topic_done}};
	gate_init(&w.gate);
	log_topic_submit(l->log, &w.req);
	loop_wait(l->loop, &w.gate);
	gate_release(&w.gate);
	return w.req.err;
}

/* ---- append ---------------------------------------------------------------------------------- */

struct appender {
	struct log_append req;
	struct append_bench *bench;
	uint8_t *batch;
	int64_t sent_ns;
	int32_t partition;
};
struct append_bench {
	struct local *l;
	struct log_partition *partitions[APPENDS_MAX];
	struct writer batch;
	int64_t records_per_batch, done, batches_max, end_ns;
	struct bench_samples samples;
	int32_t partition_count;
	int writers, active;
	enum err err;
};

static void append_next(struct appender *a);

static void append_done(struct log_append *req)
{
	struct appender *a = req->user;
	struct append_bench *b = a->bench;
	int64_t now = bench_now_ns();
	if (req->err != ERR_OK && b->err == ERR_OK)
		b->err = req->err;
	b->done++;
	bench_samples_add(&b->samples, now - a->sent_ns);
	if (b->err == ERR_OK && now < b->end_ns && b->done < b->batches_max)
		append_next(a);
	else
		b->active--;
}

static void append_next(struct appender *a)
{
	struct append_bench *b = a->bench;
	a->req = (struct log_append){.partition = b->partitions[a->partition],
	    .batch = a->batch,
	    .batch_len = b->batch.len,
	    .user = a,
	    .done = append_done};
	a->sent_ns = bench_now_ns();
	struct log_append *one = &a->req;
	log_append(b->l->log, &one, 1, false);
}

static enum err fill_batch(struct append_bench *b, int64_t size, int64_t batch_bytes)
{
	struct batch_builder builder;
	struct prng prng;
	uint8_t *value = mem_alloc((size_t)size);
	if (!value)
		return ERR_NOMEM;
	prng_init(&prng, 1);
	batch_builder_init(&builder, BATCH_NONE);
	enum err e = ERR_OK;
	for (int64_t bytes = 0; e == ERR_OK && (bytes == 0 || bytes + size <= batch_bytes);
	     bytes += size) {
		for (int64_t i = 0; i < size; i++)
			value[i] = (uint8_t)prng_u64(&prng);
		e = batch_builder_add(
		    &builder, 1, (struct bytes){0}, bytes_of(value, (size_t)size), NULL, 0);
		b->records_per_batch++;
	}
	writer_init(&b->batch, 128 * MIB);
	if (e == ERR_OK)
		e = batch_builder_finish(&builder, &b->batch);
	batch_builder_release(&builder);
	mem_free(value);
	return e;
}

/* ---- beside it: what a plain program reaches ------------------------------------------------- */

struct plain {
	const char *name;
	bool
	    direct; /* O_DIRECT over a file written before, in circles, as the journal is written */
	bool absent; /* the file system has no O_DIRECT */
	size_t len;
	double mb_per_s, p50_ms, p99_ms;
};

static enum err plain_prepare(struct io *io, int fd, const void *buf, size_t len)
{
	for (uint64_t at = 0; at < PLAIN_FILE_BYTES; at += len)
		TRY(io_pwrite(io, fd, buf, len, at));
	return io_fdatasync(io, fd);
}

static enum err plain_writes(
    struct io *io, int fd, const void *buf, struct plain *p, int64_t duration_ns)
{
	struct bench_samples samples;
	uint64_t blocks = p->direct ? (PLAIN_FILE_BYTES + p->len - 1) / p->len : UINT64_MAX, n = 0;
	enum err e = bench_samples_init(&samples);
	if (e == ERR_OK && p->direct)
		e = plain_prepare(io, fd, buf, p->len);
	int64_t start = bench_now_ns(), at = start;
	while (e == ERR_OK && at - start < duration_ns && n < BENCH_SAMPLES_MAX) {
		e = io_pwrite(io, fd, buf, p->len, n++ % blocks * p->len);
		if (e == ERR_OK)
			e = io_fdatasync(io, fd);
		int64_t now = bench_now_ns();
		bench_samples_add(&samples, now - at);
		at = now;
	}
	if (e == ERR_OK) {
		p->mb_per_s = (double)(n * p->len) / ((double)(at - start) / 1e9) / 1e6;
		bench_samples_end(&samples);
		p->p50_ms = bench_quantile_ms(&samples, 0.5);
		p->p99_ms = bench_quantile_ms(&samples, 0.99);
	}
	bench_samples_release(&samples);
	return e;
}

/* One write of p->len bytes and fdatasync after the other, in the scratch directory. */
static enum err plain_run(struct local *l, struct plain *p, int64_t duration_ns)
{
	char path[400];
	int fd;
	void *buf = mem_alloc_aligned(IO_DIRECT_ALIGN, p->len);
	if (!buf)
		return ERR_NOMEM;
	memset(buf, 7, p->len);
	snprintf(path, sizeof path, "%s/plain", l->dir);
	enum err e = io_open(l->io, path, IO_CREATE | (p->direct ? IO_DIRECT : 0), &fd);
	if (e == ERR_UNSUPPORTED && p->direct) {
		err_clear();
		p->absent = true;
		e = ERR_OK;
	} else if (e == ERR_OK) {
		e = plain_writes(l->io, fd, buf, p, duration_ns);
		enum err closed = io_close(l->io, fd);
		if (e == ERR_OK)
			e = closed;
	}
	if (io_unlink(l->io, path) != ERR_OK && e == ERR_OK)
		err_clear();
	mem_free(buf);
	return e;
}

/* ---- append: the run ------------------------------------------------------------------------- */

static enum err run_appends(
    struct append_bench *b, int writers, int32_t partitions, int64_t duration_ns)
{
	const struct log_topic *topic;
	struct appender *a = mem_calloc((size_t)writers, sizeof *a);
	enum err e = a ? create_topic(b->l, STR("bench"), partitions) : ERR_NOMEM;
	if (e == ERR_OK)
		e = bench_samples_init(&b->samples);
	topic = e == ERR_OK ? log_topic_find(b->l->log, STR("bench")) : NULL;
	for (int32_t p = 0; topic && p < partitions; p++)
		b->partitions[p] = log_partition_find(b->l->log, topic, p);
	b->end_ns = bench_now_ns() + duration_ns;
	for (int i = 0; e == ERR_OK && i < writers; i++) {
		a[i] = (struct appender){
		    .bench = b, .partition = i % partitions, .batch = mem_alloc(b->batch.len)};
		if (!a[i].batch) {
			b->err = ERR_NOMEM;
			break;
		}
		memcpy(a[i].batch, b->batch.ptr, b->batch.len);
		b->active++;
		append_next(&a[i]);
	}
	while (e == ERR_OK && b->active)
		e = loop_step(b->l->loop, S_NS);
	for (int i = 0; a && i < writers; i++)
		mem_free(a[i].batch);
	mem_free(a);
	return e == ERR_OK ? b->err : e;
}

enum { PLAIN_BUFFERED, PLAIN_DIRECT, PLAINS };

static void print_append(
    struct append_bench *b, const struct plain *plain, double seconds, double cpu)
{
	struct bench_samples *l = &b->samples;
	bench_samples_end(l);
	const struct plain *buffered = &plain[PLAIN_BUFFERED], *direct = &plain[PLAIN_DIRECT];
	double bytes = (double)b->done * (double)b->batch.len, mb = bytes / seconds / 1e6;
	double records = (double)(b->done * b->records_per_batch) / seconds;
	double p50 = bench_quantile_ms(l, 0.5), p99 = bench_quantile_ms(l, 0.99);
	const char *io = io_name(b->l->io);
	char text[LINE_MAX_BYTES], direct_text[200] = "not on this file system";
	if (!direct->absent)
		snprintf(direct_text, sizeof direct_text, "%.1f MB/s, p50 %.3f p99 %.3f ms",
		    direct->mb_per_s, direct->p50_ms, direct->p99_ms);
	const struct bench_figure figures[] = {{"bench", "append", 0, 0}, {"io", io, 0, 0},
	    {"partitions", NULL, b->partition_count, 0}, {"writers", NULL, b->writers, 0},
	    {"batch", NULL, (double)b->batch.len, 0},
	    {"batch_records", NULL, (double)b->records_per_batch, 0},
	    {"batches", NULL, (double)b->done, 0}, {"seconds", NULL, seconds, 3},
	    {"records_per_s", NULL, records, 0}, {"mb_per_s", NULL, mb, 1},
	    {"p50_ms", NULL, p50, 3}, {"p99_ms", NULL, p99, 3},
	    {"cpu_s_per_gb", NULL, cpu / (bytes / 1e9), 3},
	    {"plain_bytes", NULL, (double)buffered->len, 0},
	    {"buffered_mb_per_s", NULL, buffered->mb_per_s, 1},
	    {"buffered_p50_ms", NULL, buffered->p50_ms, 3},
	    {"buffered_p99_ms", NULL, buffered->p99_ms, 3},
	    {"direct_mb_per_s", NULL, direct->mb_per_s, 1},
	    {"direct_p50_ms", NULL, direct->p50_ms, 3}, {"direct_p99_ms", NULL, direct->p99_ms, 3}};
	snprintf(text, sizeof text,
	    "bench append: io=%s partitions=%d writers=%d batch=%zu bytes, %lld records each\n"
	    "  %lld batches in %.2f s: %.0f batches/s, %.0f records/s, %.1f MB/s; p50 %.3f p99 "
	    "%.3f ms; CPU %.2f s/GB\n"
	    "  beside it, plain writes of %zu bytes, each with its fdatasync, one at a time:\n"
	    "    buffered, the file grows:       %.1f MB/s, p50 %.3f p99 %.3f ms; append reaches "
	    "%.2f of it\n"
	    "    O_DIRECT, written before:       %s\n",
	    io, b->partition_count, b->writers, b->batch.len, (long long)b->records_per_batch,
	    (long long)b->done, seconds, (double)b->done / seconds, records, mb, p50, p99,
	    cpu / (bytes / 1e9), buffered->len, buffered->mb_per_s, buffered->p50_ms,
	    buffered->p99_ms, mb / buffered->mb_per_s, direct_text);
	bench_print(b->l->cli, figures, sizeof figures / sizeof *figures, text);
}

static enum err bench_append(struct append_bench *b, int64_t size, int64_t batch, int64_t duration)
{
	struct plain plain[PLAINS] = {{.direct = false}, {.direct = true}};
	TRY(fill_batch(b, size, batch));
	for (int i = 0; i < PLAINS; i++) {
		/* whole blocks, as O_DIRECT wants them */
		plain[i].len =
		    (b->batch.len + IO_DIRECT_ALIGN - 1) & ~(size_t)(IO_DIRECT_ALIGN - 1);
		TRY(plain_run(b->l, &plain[i], duration / 4));
	}
	int64_t start = bench_now_ns();
	double cpu = cpu_seconds();
	TRY(run_appends(b, b->writers, b->partition_count, duration));
	if (b->done)
		print_append(b, plain, (double)(bench_now_ns() - start) / 1e9, cpu_seconds() - cpu);
	return ERR_OK;
}

enum exit_code cmd_bench_append(struct cli *cli)
{
	int64_t size = 1 << 20, batch = 1 << 20, partitions = 1, inflight = 1, duration = 5 * S_NS,
	        count = INT64_MAX;
	if (!cli_number(cli, "size", 1, &size) || !cli_number(cli, "batch", 1, &batch) ||
	    !cli_number(cli, "partitions", 1, &partitions) ||
	    !cli_number(cli, "inflight", 1, &inflight) ||
	    !cli_duration(cli, "duration", &duration) || !cli_number(cli, "count", 1, &count))
		return EXIT_USAGE;
	if (partitions > APPENDS_MAX || inflight > WRITERS_MAX / partitions)
		return cli_usage(
		    cli, "at most %d partitions and %d writers", APPENDS_MAX, WRITERS_MAX);
	struct local l;
	struct append_bench b = {.l = &l,
	    .batches_max = count,
	    .partition_count = (int32_t)partitions,
	    .writers = (int)(partitions * inflight)};
	enum err e = local_open(&l, cli);
	if (e == ERR_OK)
		e = bench_append(&b, size, batch, duration);
	bench_samples_release(&b.samples);
	writer_release(&b.batch);
	local_close(&l);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "bench append");
}

/* ---- view ------------------------------------------------------------------------------------ */

struct append_wait {
	struct log_append req;
	struct gate gate;
};

static void wait_done(struct log_append *req)
{
	struct append_wait *w = CONTAINER_OF(req, struct append_wait, req);
	gate_open(&w->gate);
}

static enum err append_builder(struct local *l, struct batch_builder *builder, struct writer *bytes)
{
	struct append_wait w = {.req = {.done = wait_done}};
	writer_clear(bytes);
	TRY(batch_builder_finish(builder, bytes));
	batch_builder_clear(builder);
	w.req.partition = log_partition_find(l->log, log_topic_find(l->log, STR("quakes")), 0);
	w.req.batch = bytes->ptr;
	w.req.batch_len = bytes->len;
	gate_init(&w.gate);
	struct log_append *one = &w.req;
	log_append(l->log, &one, 1, false);
	loop_wait(l->loop, &w.gate);
	gate_release(&w.gate);
	return w.req.err;
}

static enum err fill_quakes(struct local *l, int64_t count, int codec)
{
	struct quakes q;
	struct batch_builder builder;
	struct writer bytes;
	char line[QUAKE_JSON_MAX];
	TRY(create_topic(l, STR("quakes"), 1));
	quakes_init(&q, 1);
	batch_builder_init(&builder, codec);
	writer_init(&bytes, 64 * MIB);
	enum err e = ERR_OK;
	for (int64_t i = 0; e == ERR_OK && i < count; i++) {
		size_t n = quakes_next(&q, line, sizeof line);
		e = batch_builder_add(
		    &builder, q.clock_ms, (struct bytes){0}, bytes_of(line, n), NULL, 0);
		if (e == ERR_OK && (builder.count == VIEW_BATCH_RECORDS || i + 1 == count))
			e = append_builder(l, &builder, &bytes);
	}
	batch_builder_release(&builder);
	writer_release(&bytes);
	return e;
}

static enum err ignore_columns(void *ctx, const struct proc_column *columns, uint32_t count)
{
	(void)ctx, (void)columns, (void)count;
	return ERR_OK;
}
static enum err ignore_row(void *ctx, const struct datum *values, uint32_t count)
{
	(void)ctx, (void)values, (void)count;
	return ERR_OK;
}
static enum err ignore_message(void *ctx, struct str text)
{
	(void)ctx, (void)text;
	return ERR_OK;
}

static enum err execute(struct proc *proc, const char *sql)
{
	static const struct proc_sink sink = {NULL, ignore_columns, ignore_row, ignore_message};
	struct sql_script script;
	struct sql_error error = {0};
	struct proc_execute how = {.principal = STR("bench")};
	enum err e = sql_parse(str_of(sql), &script, &error);
	if (e == ERR_OK) {
		for (uint32_t i = 0; e == ERR_OK && i < script.count; i++)
			e = proc_execute(proc, &script.statements[i], &how, &sink, &error);
		sql_script_release(&script);
	}
	return e == ERR_OK ? e
	                   : err_note(e, "line %d:%d: %s", error.line, error.column, error.message);
}

/* Creates one view and waits until it has read everything. */
static enum err time_view(
    struct cli *cli, struct proc *proc, const char *name, const char *sql, int64_t count)
{
	struct proc_version_status s;
	int64_t start = bench_now_ns();
	double cpu = cpu_seconds();
	TRY(execute(proc, sql));
	do {
		usleep(2000);
		TRY(proc_version_status(proc, str_of(name), 1, &s));
		if (s.state == PROC_FAILED)
			return err_note(ERR_REFUSED, "%s failed: %s", name, s.reason);
	} while (s.state != PROC_READY || s.position < s.stable);
	double seconds = (double)(bench_now_ns() - start) / 1e9;
	cpu = cpu_seconds() - cpu;
	double rate = (double)count / seconds, cpu_rate = (double)count / cpu;
	char text[LINE_MAX_BYTES];
	const struct bench_figure figures[] = {{"bench", "view", 0, 0}, {"view", name, 0, 0},
	    {"events", NULL, (double)count, 0}, {"seconds", NULL, seconds, 3},
	    {"cpu_seconds", NULL, cpu, 3}, {"events_per_s", NULL, rate, 0},
	    {"events_per_cpu_s", NULL, cpu_rate, 0}, {"rows", NULL, (double)s.rows, 0},
	    {"dead_letters", NULL, (double)s.dead_letters, 0}};
	snprintf(text, sizeof text,
	    "bench view %s: %lld events in %.3f s: %.2f M events/s by the clock, %.2f M/s per "
	    "CPU second; %llu rows, %llu dead letters\n",
	    name, (long long)count, seconds, rate / 1e6, cpu_rate / 1e6, (unsigned long long)s.rows,
	    (unsigned long long)s.dead_letters);
	bench_print(cli, figures, sizeof figures / sizeof *figures, text);
	return ERR_OK;
}

static void run_loop(void *arg)
{
	if (loop_run(arg) != ERR_OK)
		fprintf(stderr, "kappa: the loop failed: %s\n", err_chain());
}

static enum err bench_views(struct local *l, int64_t count, int codec)
{
	struct proc *proc = NULL;
	struct thread loop_thread = {0};
	struct proc_options options = {
	    .log = l->log, .io = l->io, .data_dir = l->dir, .workers = 1};
	TRY(fill_quakes(l, count, codec));
	TRY(proc_open(&options, &proc));
	loop_disown(l->loop);
	enum err e = thread_start(&loop_thread, "kappa-loop", run_loop, l->loop);
	if (e == ERR_OK)
		e = execute(proc, demo_table_sql);
	if (e == ERR_OK)
		e = time_view(l->cli, proc, "felt_per_day", demo_v1_sql, count);
	if (e == ERR_OK)
		e = time_view(l->cli, proc, "felt_once", demo_v2_bench_sql, count);
	proc_close(proc);
	loop_stop(l->loop);
	thread_join(&loop_thread);
	loop_own(l->loop);
	return e;
}

enum exit_code cmd_bench_view(struct cli *cli)
{
	int64_t count = 2000000;
	int codec = BATCH_NONE;
	if (!cli_number(cli, "count", 1, &count))
		return EXIT_USAGE;
	if (!batch_codec_by_name(str_of(cli_get(cli, "compression", "none")), &codec))
		return cli_usage(cli, "-z: none, gzip, snappy, lz4 or zstd");
	struct local l;
	enum err e = local_open(&l, cli);
	if (e == ERR_OK)
		e = bench_views(&l, count, codec);
	local_close(&l);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "bench view");
}
