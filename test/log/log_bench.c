/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One measurement of the log engine per call, as one line `key=value ...`; test/log/bench_log.py
 * puts them beside fio and prints the table (`make bench-log`). It judges nothing.
 *
 *   log_bench append DIR PARTITIONS WRITERS BATCH_BYTES RECORD_BYTES fsync|interval|none SECONDS
 *   log_bench fair DIR LARGE_WRITERS SECONDS     a writer of 100 bytes alone, then beside writers
 * of 1 MiB log_bench admit DIR                  log_append alone, 1,000 records of 100 bytes per
 * batch, no disk log_bench scan DIR MIB               log_scan over MIB of such batches, from the
 * page cache log_bench lookup DIR MIB             offset and time lookups in a partition of MIB
 *   log_bench fill DIR MIB SEGMENTS      fills, says so and waits to be killed
 *   log_bench open DIR                   time until an engine is open, and its memory
 *   log_bench producers DIR COUNT        turns while so many idempotent producers append and a
 * segment rolls, and while a start gets to know them
 *   log_bench plain DIR direct|buffered BLOCK SECONDS     write and fdatasync, one after the other
 *   log_bench cost BATCH_BYTES           checksum and copy of one batch alone
 *
 * DIR must not exist for those that write; they remove nothing. KAPPA_BENCH_IO: uring or threads;
 * KAPPA_BENCH_DIRECT: log_options.direct_bytes; KAPPA_BENCH_SEGMENT: segment.bytes.
 */
#include "log/batch.h"
#include "log/frame.h"
#include "log/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SAMPLES_MAX = 2000000, PARTITIONS_MAX = 1024, POOL_THREADS = 2 };

static void must(enum err e, const char *what)
{
	if (e == ERR_OK)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, err_name(e), err_chain());
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

static double timeval_s(struct timeval t)
{
	return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

struct cpu {
	double process, thread_user, thread_sys;
};

static struct cpu cpu_now(void)
{
	struct rusage all, mine;
	getrusage(RUSAGE_SELF, &all);
	getrusage(RUSAGE_THREAD, &mine);
	return (struct cpu){timeval_s(all.ru_utime) + timeval_s(all.ru_stime),
	    timeval_s(mine.ru_utime), timeval_s(mine.ru_stime)};
}

/* "VmRSS:" or "VmHWM:" of this process, in MiB. */
static double memory_mib(const char *key)
{
	char line[256];
	double kib = 0;
	FILE *f = fopen("/proc/self/status", "r");
	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtod(line + strlen(key), NULL);
	if (f)
		fclose(f);
	return kib / 1024;
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

struct samples {
	int64_t *ns;
	size_t count;
};

static void sample(struct samples *s, int64_t ns)
{
	if (s->count < SAMPLES_MAX)
		s->ns[s->count++] = ns;
}

static double quantile_ms(const struct samples *s, double q)
{
	return s->count ? (double)s->ns[(size_t)((double)(s->count - 1) * q)] / 1e6 : 0;
}

static void samples_sort(struct samples *s)
{
	qsort(s->ns, s->count, sizeof *s->ns, by_value);
}

/* ---- a log ----------------------------------------------------------------------------------- */

struct bench {
	struct io *io;
	struct loop *loop;
	struct log *log;
	struct log_partition *partition[PARTITIONS_MAX];
	struct log_uuid topic_id;
	struct samples samples;
	struct writer batch; /* the one that everybody appends a copy of */
	int64_t records;     /* in it */
};

static void bench_open(struct bench *b, const char *dir)
{
	const char *backend = getenv("KAPPA_BENCH_IO"), *direct = getenv("KAPPA_BENCH_DIRECT");
	struct log_options options = {.data_dir = dir, .append_queue_bytes = 256 * MIB};
	if (direct)
		options.direct_bytes = strtoull(direct, NULL, 10);
	*b = (struct bench){.samples.ns = malloc(SAMPLES_MAX * sizeof(int64_t))};
	must(io_new(backend ? backend : "auto", &b->io), "io");
	must(loop_new(b->io, POOL_THREADS, &b->loop), "loop");
	must(log_open(b->loop, &options, &b->log), "open");
	writer_init(&b->batch, 128 * MIB);
}

static void bench_close(struct bench *b)
{
	log_close(b->log);
	loop_free(b->loop);
	io_free(b->io);
	writer_release(&b->batch);
	free(b->samples.ns);
}

struct created {
	struct log_topic_req req;
	struct gate gate;
};

static void topic_done(struct log_topic_req *req)
{
	gate_open(&CONTAINER_OF(req, struct created, req)->gate);
}

static void bench_topic(
    struct bench *b, int32_t partitions, const char *durability, uint64_t segment_bytes)
{
	const char *asked = getenv("KAPPA_BENCH_SEGMENT");
	if (asked && segment_bytes == SEGMENT_BYTES_DEFAULT)
		segment_bytes = strtoull(asked, NULL, 10);
	char segment[32];
	snprintf(segment, sizeof segment, "%llu", (unsigned long long)segment_bytes);
	struct str configs[2][2] = {
	    {STR("kappa.durability"), str_of(durability)}, {STR("segment.bytes"), str_of(segment)}};
	struct created c = {.req = {.op = LOG_TOPIC_CREATE,
	                        .name = STR("bench"),
	                        .partition_count = partitions,
	                        .configs = (const struct str(*)[2])configs,
	                        .config_count = 2,
	                        .done = topic_done}};
	gate_init(&c.gate);
	log_topic_submit(b->log, &c.req);
	loop_wait(b->loop, &c.gate);
	gate_release(&c.gate);
	must(c.req.err, "topic");
	const struct log_topic *topic = log_topic_find(b->log, STR("bench"));
	b->topic_id = topic->id;
	for (int32_t i = 0; i < partitions; i++)
		b->partition[i] = log_partition_find(b->log, topic, i);
}

/* About batch_bytes of records of record_bytes; timestamps are `ms`. */
static void bench_batch(struct bench *b, size_t batch_bytes, size_t record_bytes, int64_t ms)
{
	struct batch_builder builder;
	struct prng p;
	uint8_t *value = malloc(record_bytes);
	prng_init(&p, 1);
	batch_builder_init(&builder, BATCH_NONE);
	b->records = 0;
	for (size_t bytes = 0; bytes == 0 || bytes + record_bytes <= batch_bytes;
	     bytes += record_bytes) {
		for (size_t i = 0; i < record_bytes; i++)
			value[i] = (uint8_t)prng_u64(&p);
		must(batch_builder_add(
		         &builder, ms, (struct bytes){0}, bytes_of(value, record_bytes), NULL, 0),
		    "record");
		b->records++;
	}
	writer_clear(&b->batch);
	must(batch_builder_finish(&builder, &b->batch), "batch");
	batch_builder_release(&builder);
	free(value);
}

/* ---- append ---------------------------------------------------------------------------------- */

struct writers;
struct one {
	struct log_append req;
	struct writers *all;
	uint8_t *batch;
	size_t batch_len;
	int64_t sent_ns;
};
struct writers {
	struct bench *b;
	struct one *one;
	int count, active;
	int64_t end_ns, done, limit, begin_ns; /* samples count from begin_ns */
	int64_t turn_ns, turn_cpu_ns;          /* of the longest turn, and what it ran of that */
};

static void one_send(struct one *o, struct log_partition *p);

static void one_done(struct log_append *req)
{
	struct one *o = req->user;
	struct writers *w = o->all;
	int64_t now = now_ns();
	must(req->err, "append");
	if (now >= w->begin_ns) {
		w->done++;
		sample(&w->b->samples, now - o->sent_ns);
	}
	if (now < w->end_ns && w->done < w->limit)
		one_send(o, req->partition);
	else
		w->active--;
}

static void one_send(struct one *o, struct log_partition *p)
{
	const struct bench *b = o->all->b;
	o->req = (struct log_append){.partition = p,
	    .batch = o->batch,
	    .batch_len = o->batch_len,
	    .user = o,
	    .done = one_done};
	o->sent_ns = now_ns();
	struct log_append *req = &o->req;
	log_append(b->log, &req, 1, false);
}

static int64_t thread_cpu_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

/*
 * One turn of the loop. A turn that is longer than its thread ran was interrupted by others; the
 * CPU time is that of the whole call, with what io_uring does before it sleeps.
 */
static void turn(struct writers *w)
{
	int64_t cpu = thread_cpu_ns();
	must(loop_step(w->b->loop, S_NS), "loop");
	int64_t took = metric_max_ns(METRIC_LOOP_STALL);
	if (took <= w->turn_ns)
		return;
	w->turn_ns = took;
	w->turn_cpu_ns = thread_cpu_ns() - cpu;
}

static void writers_run(struct writers *w, int partitions)
{
	struct bench *b = w->b;
	w->one = calloc((size_t)w->count, sizeof *w->one);
	for (int i = 0; i < w->count; i++) {
		w->one[i] = (struct one){
		    .all = w, .batch = malloc(b->batch.len), .batch_len = b->batch.len};
		memcpy(w->one[i].batch, b->batch.ptr, b->batch.len);
	}
	w->active = w->count;
	for (int i = 0; i < w->count; i++)
		one_send(&w->one[i], b->partition[i % partitions]);
	while (w->active > 0)
		turn(w);
	for (int i = 0; i < w->count; i++)
		free(w->one[i].batch);
	free(w->one);
}

static int cmd_append(char **a)
{
	struct bench b;
	int partitions = (int)strtol(a[1], NULL, 10), writers = (int)strtol(a[2], NULL, 10);
	double seconds = strtod(a[6], NULL);
	bench_open(&b, a[0]);
	bench_topic(&b, partitions, a[5], SEGMENT_BYTES_DEFAULT);
	bench_batch(&b, strtoull(a[3], NULL, 10), strtoull(a[4], NULL, 10), 1);
	struct writers w = {.b = &b, .count = writers, .limit = INT64_MAX};
	int64_t warm = now_ns();
	/* files, buffers, page faults; zeros into the journal of a new directory */
	w.begin_ns = w.end_ns = warm + S_NS;
	writers_run(&w, partitions);
	metrics_reset();
	struct cpu before = cpu_now();
	int64_t start = now_ns();
	w.begin_ns = start;
	w.done = 0;
	w.turn_ns = 0;
	b.samples.count = 0;
	w.end_ns = start + (int64_t)(seconds * 1e9);
	writers_run(&w, partitions);
	double wall = (double)(now_ns() - start) / 1e9,
	       bytes = (double)w.done * (double)b.batch.len;
	struct cpu after = cpu_now();
	samples_sort(&b.samples);
	printf("io=%s batch=%zu records=%lld mb_s=%.1f batches_s=%.0f records_s=%.0f p50_ms=%.3f "
	       "p99_ms=%.3f "
	       "max_ms=%.3f cpu_s_gb=%.3f loop_user_us_mib=%.1f loop_sys_us_mib=%.1f rounds_s=%.0f "
	       "fsync_p50_ms=%.3f "
	       "stall_p50_ms=%.3f stall_p99_ms=%.3f stall_max_ms=%.3f stall_max_cpu_ms=%.3f "
	       "peak_mib=%.1f "
	       "writers_mib=%.1f\n",
	    io_name(b.io), b.batch.len, (long long)b.records, bytes / wall / 1e6,
	    (double)w.done / wall, (double)(w.done * b.records) / wall,
	    quantile_ms(&b.samples, 0.5), quantile_ms(&b.samples, 0.99), quantile_ms(&b.samples, 1),
	    (after.process - before.process) / (bytes / 1e9),
	    (after.thread_user - before.thread_user) * 1e6 / (bytes / 1048576.0),
	    (after.thread_sys - before.thread_sys) * 1e6 / (bytes / 1048576.0),
	    (double)metric_value(METRIC_ROUNDS) / wall,
	    (double)metric_quantile_ns(METRIC_FSYNC, 0.5) / 1e6,
	    (double)metric_quantile_ns(METRIC_LOOP_STALL, 0.5) / 1e6,
	    (double)metric_quantile_ns(METRIC_LOOP_STALL, 0.99) / 1e6,
	    (double)metric_max_ns(METRIC_LOOP_STALL) / 1e6, (double)w.turn_cpu_ns / 1e6,
	    memory_mib("VmRSS:"), (double)writers * (double)b.batch.len / 1048576.0);
	bench_close(&b);
	return 0;
}

/* ---- producers ------------------------------------------------------------------------------- */

enum { PASSES = 6, PRODUCER_BATCH_BYTES = 256 /* about, with its frame */ };

static void pass_done(struct log_append *req);

struct pass {
	struct writers w;
	int64_t next, count; /* producers */
	int32_t number;
};

/* The batch of the next producer, while there is one. */
static void pass_next(struct one *o)
{
	struct pass *s = CONTAINER_OF(o->all, struct pass, w);
	struct batch_builder builder;
	struct writer batch;
	mem_free(o->batch);
	o->batch = NULL;
	if (s->next == s->count)
		return;
	batch_builder_init(&builder, BATCH_NONE);
	builder.producer_id = s->next++;
	builder.base_sequence = s->number;
	writer_init(&batch, MIB);
	must(batch_builder_add(&builder, 1, (struct bytes){0},
	         bytes_of("0123456789012345678901234567890123456789", 40), NULL, 0),
	    "record");
	must(batch_builder_finish(&builder, &batch), "batch");
	batch_builder_release(&builder);
	o->batch = batch.ptr;
	o->batch_len = batch.len;
	one_send(o, s->w.b->partition[0]);
	o->req.done = pass_done;
	s->w.active++;
}

static void pass_done(struct log_append *req)
{
	struct one *o = req->user;
	must(req->err, "append");
	sample(&o->all->b->samples, now_ns() - o->sent_ns);
	o->all->active--;
	pass_next(o);
}

/* Each of `count` producers appends its batch of that number, 64 at a time; the longest turn. */
static struct writers pass_run(struct bench *b, int64_t count, int32_t number)
{
	struct one one[64] = {0};
	struct pass s = {.w.b = b, .count = count, .number = number};
	metrics_reset();
	for (int i = 0; i < 64; i++) {
		one[i].all = &s.w;
		pass_next(&one[i]);
	}
	while (s.w.active > 0)
		turn(&s.w);
	return s.w;
}

static void producers_print(const char *what, const struct bench *b, const struct writers *w)
{
	int64_t longest = 0;
	for (size_t i = 0; i < b->samples.count; i++)
		longest = b->samples.ns[i] > longest ? b->samples.ns[i] : longest;
	printf("%s_turn_ms=%.3f %s_turn_cpu_ms=%.3f %s_append_ms=%.3f ", what,
	    (double)w->turn_ns / 1e6, what, (double)w->turn_cpu_ns / 1e6, what,
	    (double)longest / 1e6);
}

static int cmd_producers(char **a)
{
	struct bench b;
	int64_t count = strtoll(a[1], NULL, 10);
	uint64_t pass_bytes = (uint64_t)count * PRODUCER_BATCH_BYTES;
	bench_open(&b, a[0]);
	bench_topic(&b, 1, "fsync", pass_bytes + pass_bytes / 2); /* not in the first pass */
	struct writers first = pass_run(&b, count, 0), rolls = {0};
	producers_print("first", &b, &first);
	b.samples.count = 0;
	for (int32_t pass = 1; pass < PASSES; pass++) {
		struct writers w = pass_run(&b, count, pass);
		if (w.turn_ns > rolls.turn_ns)
			rolls = w;
	}
	producers_print("roll", &b, &rolls);
	bench_close(&b);
	bench_open(&b, a[0]);
	b.partition[0] = log_partition_find(b.log, log_topic_find(b.log, STR("bench")), 0);
	struct writers load = pass_run(&b, 1, PASSES);
	producers_print("load", &b, &load);
	printf("rss_mib=%.1f\n", memory_mib("VmRSS:"));
	bench_close(&b);
	return 0;
}

/* ---- fairness -------------------------------------------------------------------------------- */

/* One small writer on partition 0 beside `large` of 1 MiB on partition 1; their bytes in MB/s. */
static double fair_run(struct bench *b, int large, double seconds)
{
	struct bench quiet = *b; /* the same log, samples of their own */
	quiet.samples = (struct samples){.ns = malloc(SAMPLES_MAX * sizeof(int64_t))};
	int64_t start = now_ns(), end = start + (int64_t)(seconds * 1e9);
	struct writers w = {
	    .b = b, .limit = INT64_MAX, .begin_ns = start, .end_ns = end, .active = 1};
	struct writers l = {
	    .b = &quiet, .limit = INT64_MAX, .begin_ns = start, .end_ns = end, .active = large};
	struct one *one = calloc((size_t)large + 1, sizeof *one);
	b->samples.count = 0;
	for (int i = 0; i <= large; i++) {
		bench_batch(b, i == large ? 100 : MIB, i == large ? 100 : MIB, 1);
		one[i] = (struct one){.all = i == large ? &w : &l,
		    .batch = malloc(b->batch.len),
		    .batch_len = b->batch.len};
		memcpy(one[i].batch, b->batch.ptr, b->batch.len);
		one_send(&one[i], b->partition[i == large ? 0 : 1]);
	}
	while (w.active + l.active > 0)
		must(loop_step(b->loop, S_NS), "loop");
	double wall = (double)(now_ns() - start) / 1e9;
	for (int i = 0; i <= large; i++)
		free(one[i].batch);
	free(one);
	free(quiet.samples.ns);
	samples_sort(&b->samples);
	return (double)l.done * (double)MIB / wall / 1e6;
}

static int cmd_fair(char **a)
{
	struct bench b;
	double seconds = strtod(a[2], NULL), alone[2];
	bench_open(&b, a[0]);
	bench_topic(&b, 2, "fsync", SEGMENT_BYTES_DEFAULT);
	fair_run(&b, 1, 0.2);
	fair_run(&b, 0, seconds);
	alone[0] = quantile_ms(&b.samples, 0.5);
	alone[1] = quantile_ms(&b.samples, 0.99);
	double mb_s = fair_run(&b, (int)strtol(a[1], NULL, 10), seconds);
	printf("alone_p50_ms=%.3f alone_p99_ms=%.3f beside_p50_ms=%.3f beside_p99_ms=%.3f "
	       "beside_max_ms=%.3f large_mb_s=%.0f\n",
	    alone[0], alone[1], quantile_ms(&b.samples, 0.5), quantile_ms(&b.samples, 0.99),
	    quantile_ms(&b.samples, 1), mb_s);
	bench_close(&b);
	return 0;
}

/* ---- in process ------------------------------------------------------------------------------ */

static void admit_done(struct log_append *req)
{
	must(req->err, "append");
	--*(int *)req->user;
}

/* Only the calls of log_append are timed: check of the header, stamps, copy, checksum of the frame.
 */
static int cmd_admit(char **a)
{
	enum { AT_ONCE = 30, TIMES = 200 };
	struct bench b;
	struct log_append req[AT_ONCE], *one;
	int left = 0;
	int64_t spent = 0;
	bench_open(&b, a[0]);
	bench_topic(&b, 1, "fsync", SEGMENT_BYTES_DEFAULT);
	bench_batch(&b, 100000, 100, 1);
	uint8_t *batches = malloc(AT_ONCE * b.batch.len);
	for (int t = 0; t < TIMES; t++) {
		for (int i = 0; i < AT_ONCE; i++)
			memcpy(batches + (size_t)i * b.batch.len, b.batch.ptr, b.batch.len);
		int64_t start = now_ns();
		for (int i = 0; i < AT_ONCE; i++) {
			req[i] = (struct log_append){.partition = b.partition[0],
			    .batch = batches + (size_t)i * b.batch.len,
			    .batch_len = b.batch.len,
			    .user = &left,
			    .done = admit_done};
			one = &req[i];
			left++;
			log_append(b.log, &one, 1, false);
		}
		sample(&b.samples, now_ns() - start);
		spent += t > 0 ? now_ns() - start : 0;
		while (left > 0)
			must(loop_step(b.loop, S_NS), "loop");
	}
	samples_sort(&b.samples);
	struct batch_rules rules = {.max_bytes = UINT32_MAX, .decompressed_max = 64 * MIB};
	int32_t bad;
	int64_t start = now_ns();
	for (int i = 0; i < 300; i++)
		must(batch_check(writer_bytes(&b.batch), &rules, &bad), "check");
	double check_s = (double)(now_ns() - start) / 1e9 / 300;
	double batch_s = (double)spent / 1e9 / (AT_ONCE * (TIMES - 1));
	printf("batch=%zu records=%lld append_records_s=%.0f best_records_s=%.0f "
	       "check_records_s=%.0f us_batch=%.1f\n",
	    b.batch.len, (long long)b.records, (double)b.records / batch_s,
	    (double)b.records * AT_ONCE / ((double)b.samples.ns[0] / 1e9),
	    (double)b.records / check_s, batch_s * 1e6);
	free(batches);
	bench_close(&b);
	return 0;
}

/* Appends `mib` with `inflight` writers; each batch is the same but for its stamps. */
static void fill(struct bench *b, uint64_t mib)
{
	struct writers w = {.b = b, .count = 16, .end_ns = INT64_MAX};
	w.limit = (int64_t)(mib * MIB / b->batch.len);
	writers_run(&w, 1);
}

static int cmd_scan(char **a)
{
	struct bench b;
	uint64_t mib = strtoull(a[1], NULL, 10);
	bench_open(&b, a[0]);
	bench_topic(&b, 1, "fsync", SEGMENT_BYTES_DEFAULT);
	bench_batch(&b, 100000, 100, 1);
	fill(&b, mib);
	double best = 0, best_cpu = 0;
	for (int run = 0; run < 4; run++) {
		struct log_scan_source source = {b.topic_id, 0, 0};
		struct log_batch_view view;
		struct log_scan *scan;
		uint64_t stable, bytes = 0;
		enum err e;
		struct cpu c = cpu_now();
		int64_t start = now_ns();
		must(log_scan_open(b.log, &source, 1, &scan), "scan");
		while ((e = log_scan_next(scan, &view, &stable)) == ERR_OK)
			bytes += view.batch.len;
		double wall = (double)(now_ns() - start) / 1e9;
		struct cpu d = cpu_now();
		double cpu = d.thread_user + d.thread_sys - c.thread_user - c.thread_sys;
		if (e != ERR_AGAIN)
			must(e, "scan");
		log_scan_close(scan);
		if ((double)bytes / wall > best)
			best = (double)bytes / wall;
		if (cpu > 0 && (double)bytes / cpu > best_cpu)
			best_cpu = (double)bytes / cpu;
	}
	printf("batch=%zu gb_s=%.2f gb_cpu_s=%.2f\n", b.batch.len, best / 1e9, best_cpu / 1e9);
	bench_close(&b);
	return 0;
}

/* ---- lookup ---------------------------------------------------------------------------------- */

struct look {
	struct log_find_time find;
	struct log_read read;
	bool done;
};

static void find_done(struct log_find_time *f)
{
	must(f->err, "find");
	CONTAINER_OF(f, struct look, find)->done = true;
}

static void read_done(struct log_read *r)
{
	must(r->err, "read");
	log_read_release(r);
	CONTAINER_OF(r, struct look, read)->done = true;
}

static void look_up(struct bench *b, struct samples *s, bool by_time, struct prng *p)
{
	struct log_partition_status st;
	struct look l = {0};
	log_partition_status(b->partition[0], &st);
	int64_t offset = (int64_t)prng_below(p, (uint64_t)st.visible_end);
	int64_t start = now_ns();
	if (by_time) {
		l.find = (struct log_find_time){.partition = b->partition[0],
		    .timestamp_ms = (int64_t)prng_below(p, 2),
		    .done = find_done};
		log_find_time(b->log, &l.find);
	} else {
		l.read = (struct log_read){.partition = b->partition[0],
		    .offset = offset,
		    .max_bytes = 1,
		    .done = read_done};
		log_read(b->log, &l.read);
	}
	while (!l.done)
		must(loop_step(b->loop, S_NS), "loop");
	sample(s, now_ns() - start);
}

static int cmd_lookup(char **a)
{
	struct bench b;
	struct prng p;
	struct samples by_time = {.ns = malloc(SAMPLES_MAX * sizeof(int64_t))};
	uint64_t mib = strtoull(a[1], NULL, 10);
	prng_init(&p, 7);
	bench_open(&b, a[0]);
	bench_topic(&b, 1, "fsync", SEGMENT_BYTES_DEFAULT);
	bench_batch(&b, 16000, 100, 1);
	fill(&b, mib);
	for (int64_t end = now_ns() + 6 * S_NS; now_ns() < end;)
		must(loop_step(b.loop, 100 * MS_NS), "loop"); /* the checkpoint writes the index */
	for (int i = 0; i < 20000; i++) {
		b.samples.count = i == 10000 ? 0 : b.samples.count; /* warm */
		look_up(&b, &b.samples, false, &p);
	}
	for (int i = 0; i < 2000; i++)
		look_up(&b, &by_time, true, &p);
	samples_sort(&b.samples);
	samples_sort(&by_time);
	printf("mib=%llu batch=%zu read_p50_us=%.1f read_p99_us=%.1f time_p50_us=%.1f "
	       "time_p99_us=%.1f\n",
	    (unsigned long long)mib, b.batch.len, quantile_ms(&b.samples, 0.5) * 1e3,
	    quantile_ms(&b.samples, 0.99) * 1e3, quantile_ms(&by_time, 0.5) * 1e3,
	    quantile_ms(&by_time, 0.99) * 1e3);
	free(by_time.ns);
	bench_close(&b);
	return 0;
}

/* ---- start after kill -9 --------------------------------------------------------------------- */

static int cmd_fill(char **a)
{
	struct bench b;
	uint64_t mib = strtoull(a[1], NULL, 10), segments = strtoull(a[2], NULL, 10);
	bench_open(&b, a[0]);
	bench_topic(&b, 1, "fsync", mib * MIB / segments);
	bench_batch(&b, mib * MIB / segments < MIB ? 16000 : 250000, 100, 1);
	fill(&b, mib);
	printf("filled=%llu\n", (unsigned long long)mib);
	fflush(stdout);
	while (getppid() != 1) /* until it is killed, or who started it has gone */
		must(loop_step(b.loop, S_NS), "loop");
	bench_close(&b);
	return 0;
}

static int cmd_open(char **a)
{
	struct bench b;
	double before = memory_mib("VmRSS:");
	int64_t start = now_ns();
	bench_open(&b, a[0]);
	printf("ready_s=%.3f rss_before_mib=%.1f rss_mib=%.1f peak_mib=%.1f\n",
	    (double)(now_ns() - start) / 1e9, before, memory_mib("VmRSS:"), memory_mib("VmHWM:"));
	bench_close(&b);
	return 0;
}

/* ---- what is below --------------------------------------------------------------------------- */

static int cmd_plain(char **a)
{
	struct samples s = {.ns = malloc(SAMPLES_MAX * sizeof(int64_t))};
	size_t len = strtoull(a[2], NULL, 10);
	bool direct = strcmp(a[1], "direct") == 0;
	int64_t duration = (int64_t)(strtod(a[3], NULL) * 1e9), start;
	struct io *io;
	char path[4096];
	int fd;
	void *buf = mem_alloc_aligned(IO_DIRECT_ALIGN, len);
	memset(buf, 7, len);
	must(io_new("threads", &io), "io");
	snprintf(path, sizeof path, "%s/plain", a[0]);
	must(io_mkdir_all(io, a[0]), "mkdir");
	must(io_open(io, path, IO_CREATE | (direct ? IO_DIRECT : 0), &fd), "open");
	for (start = now_ns(); now_ns() - start < duration;) {
		int64_t at = now_ns();
		must(io_pwrite(io, fd, buf, len, s.count * len), "write");
		must(io_fdatasync(io, fd), "flush");
		sample(&s, now_ns() - at);
	}
	double wall = (double)(now_ns() - start) / 1e9;
	samples_sort(&s);
	printf("mb_s=%.1f p50_ms=%.3f p99_ms=%.3f\n", (double)(s.count * len) / wall / 1e6,
	    quantile_ms(&s, 0.5), quantile_ms(&s, 0.99));
	must(io_close(io, fd), "close");
	must(io_unlink(io, path), "unlink");
	mem_free(buf);
	io_free(io);
	free(s.ns);
	return 0;
}

static int cmd_cost(char **a)
{
	enum { TIMES = 400 };
	size_t len = strtoull(a[0], NULL, 10);
	uint8_t *from = mem_alloc_aligned(64, len), *to = mem_alloc_aligned(64, len),
	        head[FRAME_HEADER_BYTES];
	uint8_t secret[16] = {1};
	struct frame_seed seed = frame_seed_of(secret);
	memset(from, 1, len);
	memset(to, 2, len);
	int64_t start = now_ns();
	for (int i = 0; i < TIMES; i++) {
		struct frame f = {.version = FRAME_VERSION, .length = (uint32_t)len, .sequence = 1};
		frame_encode(&f, seed, 0, bytes_of(from, len), head);
	}
	double hash = (double)(now_ns() - start) / TIMES / 1e3;
	start = now_ns();
	for (int i = 0; i < TIMES; i++) {
		memcpy(to, from, len);
		__asm__ volatile("" : : "r"(to) : "memory");
	}
	double copy = (double)(now_ns() - start) / TIMES / 1e3;
	double mib = (double)len / 1048576.0;
	printf("checksum_us_mib=%.1f copy_us_mib=%.1f\n", hash / mib, copy / mib);
	mem_free(from);
	mem_free(to);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		int (*run)(char **args);
	} commands[] = {
	    {"append", 7, cmd_append},
	    {"fair", 3, cmd_fair},
	    {"admit", 1, cmd_admit},
	    {"scan", 2, cmd_scan},
	    {"lookup", 2, cmd_lookup},
	    {"fill", 3, cmd_fill},
	    {"open", 1, cmd_open},
	    {"producers", 2, cmd_producers},
	    {"plain", 4, cmd_plain},
	    {"cost", 1, cmd_cost},
	};
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (argc > 1 && strcmp(argv[1], commands[i].name) == 0 &&
		    argc == commands[i].args + 2)
			return commands[i].run(argv + 2);
	fprintf(stderr, "see the head of test/log/log_bench.c\n");
	return 2;
}
