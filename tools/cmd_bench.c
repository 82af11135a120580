/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa bench produce | consume: load on any Kafka-protocol broker through the wire client;
 * latencies from send to answer. The conditions are printed with the figures.
 */
#include "log/batch.h"
#include "tools/bench.h"
#include "tools/commands.h"
#include "tools/topic_admin.h"
#include "tools/wire.h"
#include <time.h>

enum { INFLIGHT_MAX = 64, FETCH_BYTES = 8 << 20, LINE_MAX_BYTES = 1024 };

struct bench {
	struct cli *cli;
	int64_t size, count, duration_ns, partitions, batch_bytes, inflight, throughput;
	int acks, codec;
	const char *topic;
	struct writer batch; /* one RecordBatch */
	int64_t batch_records;
	struct bench_samples samples;
	struct wire wire;
};

static enum exit_code parse(struct bench *b, struct cli *cli)
{
	*b = (struct bench){.cli = cli,
	    .size = 100,
	    .count = -1,
	    .duration_ns = 10 * S_NS,
	    .partitions = 1,
	    .batch_bytes = 64 * 1024,
	    .inflight = 5,
	    .topic = cli_get(cli, "topic", "kappa-bench")};
	const char *acks = cli_get(cli, "acks", "all");
	b->acks = strcmp(acks, "all") == 0 || strcmp(acks, "-1") == 0 ? -1 : acks[0] == '0' ? 0 : 1;
	if (!cli_number(cli, "size", 1, &b->size) || !cli_number(cli, "count", 1, &b->count) ||
	    !cli_duration(cli, "duration", &b->duration_ns) ||
	    !cli_number(cli, "partitions", 1, &b->partitions) ||
	    !cli_number(cli, "batch", 1, &b->batch_bytes) ||
	    !cli_number(cli, "inflight", 1, &b->inflight) ||
	    !cli_number(cli, "throughput", 1, &b->throughput))
		return EXIT_USAGE;
	if (b->inflight > INFLIGHT_MAX || (strcmp(acks, "all") != 0 && strcmp(acks, "-1") != 0 &&
	                                      strcmp(acks, "0") != 0 && strcmp(acks, "1") != 0))
		return cli_usage(cli, "--inflight is at most %d, --acks all, 1 or 0", INFLIGHT_MAX);
	if (b->partitions > TOPIC_PARTITIONS_MAX)
		return cli_usage(cli, "at most %d partitions", TOPIC_PARTITIONS_MAX);
	if (!batch_codec_by_name(str_of(cli_get(cli, "compression", "none")), &b->codec))
		return cli_usage(cli, "-z: none, gzip, snappy, lz4 or zstd");
	return EXIT_OK;
}

/* Records of `size` bytes that compress about as well as JSON does, as many as fit the batch, at
 * least one. */
static enum err make_batch(struct bench *b)
{
	struct batch_builder builder;
	struct prng prng;
	prng_init(&prng, 1);
	char *value = mem_alloc((size_t)b->size);
	if (!value)
		return ERR_NOMEM;
	batch_builder_init(&builder, b->codec);
	enum err e = ERR_OK;
	for (int64_t bytes = 0; e == ERR_OK && (bytes == 0 || bytes + b->size <= b->batch_bytes);
	     bytes += b->size) {
		for (int64_t i = 0; i < b->size; i++)
			value[i] = (char)(' ' + prng_below(&prng, 64));
		e = batch_builder_add(&builder, kclient_now_ms(), (struct bytes){0},
		    bytes_of(value, (size_t)b->size), NULL, 0);
		b->batch_records++;
	}
	writer_init(&b->batch, 128 * MIB);
	if (e == ERR_OK)
		e = batch_builder_finish(&builder, &b->batch);
	batch_builder_release(&builder);
	mem_free(value);
	return e;
}

/* ---- produce --------------------------------------------------------------------------------- */

/* Waits until the next batch is due under --throughput. */
static void pace(const struct bench *b, int64_t start, int64_t sent_records)
{
	if (!b->throughput)
		return;
	int64_t due = start + (int64_t)((double)sent_records / (double)b->throughput * 1e9),
	        wait = due - bench_now_ns();
	if (wait > 0)
		nanosleep(&(struct timespec){wait / S_NS, wait % S_NS}, NULL);
}

static enum err produce_loop(struct bench *b, int64_t *ret_records, double *ret_seconds)
{
	int64_t sent_at[INFLIGHT_MAX], sent = 0, done = 0, offset, start = bench_now_ns();
	int64_t batches =
	    b->count < 0 ? INT64_MAX : (b->count + b->batch_records - 1) / b->batch_records;
	bool more = true;
	while (more || done < sent) {
		more = sent < batches &&
		       (b->count > 0 || bench_now_ns() - start < b->duration_ns) &&
		       !kclient_interrupted();
		if (more && sent - done < b->inflight) {
			pace(b, start, sent * b->batch_records);
			sent_at[sent % INFLIGHT_MAX] = bench_now_ns();
			TRY(wire_produce(&b->wire, b->topic, (int32_t)(sent % b->partitions),
			    (int16_t)b->acks, writer_bytes(&b->batch)));
			sent++;
			if (b->acks == 0)
				done++;
			continue;
		}
		if (done == sent)
			break;
		TRY(wire_produced(&b->wire, &offset));
		bench_samples_add(&b->samples, bench_now_ns() - sent_at[done % INFLIGHT_MAX]);
		done++;
	}
	*ret_records = done * b->batch_records;
	*ret_seconds = (double)(bench_now_ns() - start) / 1e9;
	return ERR_OK;
}

static void print_produce(struct bench *b, int64_t records, double seconds)
{
	struct bench_samples *l = &b->samples;
	bench_samples_end(l);
	double rate = (double)records / seconds, mb = rate * (double)b->size / 1e6;
	double p50 = bench_quantile_ms(l, 0.5), p99 = bench_quantile_ms(l, 0.99),
	       p999 = bench_quantile_ms(l, 0.999);
	const char *codec = batch_codec_name(b->codec);
	char text[LINE_MAX_BYTES];
	const struct bench_figure figures[] = {{"bench", "produce", 0, 0},
	    {"size", NULL, (double)b->size, 0}, {"partitions", NULL, (double)b->partitions, 0},
	    {"batch", NULL, (double)b->batch_bytes, 0},
	    {"batch_records", NULL, (double)b->batch_records, 0}, {"acks", NULL, b->acks, 0},
	    {"inflight", NULL, (double)b->inflight, 0}, {"codec", codec, 0, 0},
	    {"records", NULL, (double)records, 0}, {"seconds", NULL, seconds, 3},
	    {"records_per_s", NULL, rate, 0}, {"mb_per_s", NULL, mb, 1}, {"p50_ms", NULL, p50, 3},
	    {"p99_ms", NULL, p99, 3}, {"p999_ms", NULL, p999, 3}};
	snprintf(text, sizeof text,
	    "bench produce: size=%lld partitions=%lld batch=%lld (%lld records) acks=%d "
	    "inflight=%lld codec=%s\n"
	    "  %lld records in %.3f s: %.0f records/s, %.1f MB/s; latency of a request p50 %.3f "
	    "p99 %.3f p99.9 %.3f ms (%zu samples)\n",
	    (long long)b->size, (long long)b->partitions, (long long)b->batch_bytes,
	    (long long)b->batch_records, b->acks, (long long)b->inflight, codec, (long long)records,
	    seconds, rate, mb, p50, p99, p999, l->count);
	bench_print(b->cli, figures, sizeof figures / sizeof *figures, text);
}

/* Creates the topic; one that is there must have as many partitions as are asked for. */
static enum err have_topic(struct bench *b, rd_kafka_t *rk)
{
	char text[200];
	const struct rd_kafka_metadata *md;
	rd_kafka_NewTopic_t *topic =
	    rd_kafka_NewTopic_new(b->topic, (int)b->partitions, 1, text, sizeof text);
	if (!topic)
		return err_note(ERR_INVALID, "%s", text);
	enum err e = topic_admin_create(rk, topic);
	rd_kafka_NewTopic_destroy(topic);
	if (e != ERR_TOPIC_EXISTS)
		return e;
	err_clear();
	TRY(kclient_topic(rk, b->topic, &md));
	int there = md->topics[0].partition_cnt;
	rd_kafka_metadata_destroy(md);
	if (there < b->partitions)
		return err_note(ERR_REFUSED, "topic %s has %d partitions", b->topic, there);
	return ERR_OK;
}

static enum err open_produce(struct bench *b)
{
	rd_kafka_t *rk = NULL;
	TRY(bench_samples_init(&b->samples));
	TRY(make_batch(b));
	TRY(kclient_new(b->cli, RD_KAFKA_PRODUCER, NULL, &rk));
	enum err e = have_topic(b, rk);
	rd_kafka_destroy(rk);
	return e == ERR_OK ? wire_open(&b->wire, cli_bootstrap(b->cli)) : e;
}

static void close_bench(struct bench *b)
{
	wire_close(&b->wire);
	writer_release(&b->batch);
	bench_samples_release(&b->samples);
}

enum exit_code cmd_bench_produce(struct cli *cli)
{
	struct bench b;
	int64_t records = 0;
	double seconds = 0;
	enum exit_code exit = parse(&b, cli);
	if (exit != EXIT_OK)
		return exit;
	kclient_catch_signals();
	enum err e = open_produce(&b);
	if (e == ERR_OK)
		e = produce_loop(&b, &records, &seconds);
	if (e == ERR_OK)
		print_produce(&b, records, seconds);
	close_bench(&b);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "bench produce");
}

/* ---- consume --------------------------------------------------------------------------------- */

static enum err consume_partition(
    struct bench *b, int32_t partition, int64_t *bytes, int64_t *records)
{
	struct wire_place at = {b->topic, partition, 0};
	for (;;) {
		struct wire_fetched f;
		int64_t start = bench_now_ns();
		TRY(wire_fetch(&b->wire, &at, FETCH_BYTES, &f));
		bench_samples_add(&b->samples, bench_now_ns() - start);
		for (struct bytes rest = f.records; rest.len;) {
			struct batch_header h;
			if (batch_header_read(rest, &h) != ERR_OK ||
			    (size_t)h.length + 12 > rest.len)
				break; /* a cut batch at the end */
			*records += h.count;
			at.offset = h.base_offset + h.last_offset_delta + 1;
			rest = bytes_slice(rest, (size_t)h.length + 12, rest.len);
		}
		err_clear();
		*bytes += (int64_t)f.records.len;
		if (!f.records.len || at.offset >= f.high_watermark ||
		    (b->count > 0 && *records >= b->count))
			return ERR_OK;
	}
}

static enum err open_consume(struct bench *b)
{
	rd_kafka_t *rk = NULL;
	const struct rd_kafka_metadata *md;
	TRY(bench_samples_init(&b->samples));
	TRY(kclient_new(b->cli, RD_KAFKA_PRODUCER, NULL, &rk));
	enum err e = kclient_topic(rk, b->topic, &md);
	if (e == ERR_OK) {
		b->partitions = md->topics[0].partition_cnt;
		rd_kafka_metadata_destroy(md);
	}
	rd_kafka_destroy(rk);
	return e == ERR_OK ? wire_open(&b->wire, cli_bootstrap(b->cli)) : e;
}

static void print_consume(struct bench *b, int64_t bytes, int64_t records, double seconds)
{
	struct bench_samples *l = &b->samples;
	bench_samples_end(l);
	double rate = (double)records / seconds, mb = (double)bytes / seconds / 1e6;
	double p50 = bench_quantile_ms(l, 0.5), p99 = bench_quantile_ms(l, 0.99);
	char text[LINE_MAX_BYTES];
	const struct bench_figure figures[] = {{"bench", "consume", 0, 0},
	    {"topic", b->topic, 0, 0}, {"partitions", NULL, (double)b->partitions, 0},
	    {"fetch_bytes", NULL, FETCH_BYTES, 0}, {"records", NULL, (double)records, 0},
	    {"bytes", NULL, (double)bytes, 0}, {"seconds", NULL, seconds, 3},
	    {"records_per_s", NULL, rate, 0}, {"mb_per_s", NULL, mb, 1}, {"p50_ms", NULL, p50, 3},
	    {"p99_ms", NULL, p99, 3}};
	snprintf(text, sizeof text,
	    "bench consume: topic=%s partitions=%d, one after the other from the start, fetches "
	    "of %d bytes, one under way\n"
	    "  %lld records, %lld bytes of batches in %.3f s: %.0f records/s, %.1f MB/s; latency "
	    "of a fetch p50 %.3f p99 %.3f ms (%zu samples)\n",
	    b->topic, (int)b->partitions, FETCH_BYTES, (long long)records, (long long)bytes,
	    seconds, rate, mb, p50, p99, l->count);
	bench_print(b->cli, figures, sizeof figures / sizeof *figures, text);
}

enum exit_code cmd_bench_consume(struct cli *cli)
{
	struct bench b = {.cli = cli, .count = -1, .topic = cli_get(cli, "topic", "kappa-bench")};
	int64_t bytes = 0, records = 0;
	if (!cli_number(cli, "count", 1, &b.count))
		return EXIT_USAGE;
	enum err e = open_consume(&b);
	int64_t start = bench_now_ns();
	for (int32_t p = 0; e == ERR_OK && p < b.partitions; p++)
		e = consume_partition(&b, p, &bytes, &records);
	if (e == ERR_OK)
		print_consume(&b, bytes, records, (double)(bench_now_ns() - start) / 1e9);
	close_bench(&b);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "bench consume");
}
