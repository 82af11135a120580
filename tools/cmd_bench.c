/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kappa bench produce | consume: load on any Kafka-protocol broker through the wire client;
 * latencies from send to answer. The conditions are printed with the figures.
 */
#include "log/batch.h"
#include "tools/commands.h"
#include "tools/kclient.h"
#include "tools/wire.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { INFLIGHT_MAX = 64, SAMPLES_MAX = 4000000, FETCH_BYTES = 8 << 20 };

struct bench {
	struct cli *cli;
	int64_t size, count, duration_ns, partitions, batch_bytes, inflight, throughput;
	int acks, codec;
	const char *topic;
	struct writer batch; /* one RecordBatch */
	int64_t batch_records;
	int64_t *samples; /* latencies, ns */
	size_t sample_count;
	struct wire wire;
};

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * S_NS + t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static double quantile_ms(struct bench *b, double q)
{
	if (!b->sample_count)
		return 0;
	size_t i = (size_t)(q * (double)(b->sample_count - 1));
	return (double)b->samples[i] / 1e6;
}

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
	if (b->inflight > INFLIGHT_MAX ||
	    (strcmp(acks, "all") && strcmp(acks, "-1") && strcmp(acks, "0") && strcmp(acks, "1")))
		return cli_usage(cli, "--inflight is at most %d, --acks all, 1 or 0", INFLIGHT_MAX);
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

static enum err create_topic(struct bench *b)
{
	struct cli sub = *b->cli;
	sub.args[0] = b->topic;
	sub.arg_count = 1;
	sub.given[sub.given_count].name = "if-not-exists";
	sub.given[sub.given_count++].value = "";
	return cmd_topic_create(&sub) == EXIT_OK ? ERR_OK
	                                         : err_note(ERR_REFUSED, "topic %s", b->topic);
}

static enum err open_bench(struct bench *b)
{
	b->samples = mem_alloc(SAMPLES_MAX * sizeof *b->samples);
	if (!b->samples)
		return ERR_NOMEM;
	TRY(make_batch(b));
	TRY(create_topic(b));
	return wire_open(&b->wire, cli_bootstrap(b->cli));
}

static void close_bench(struct bench *b)
{
	wire_close(&b->wire);
	writer_release(&b->batch);
	mem_free(b->samples);
}

static void add_sample(struct bench *b, int64_t ns)
{
	if (b->sample_count < SAMPLES_MAX)
		b->samples[b->sample_count++] = ns;
}

static void print_result(struct bench *b, const char *what, int64_t records, double seconds)
{
	qsort(b->samples, b->sample_count, sizeof *b->samples, by_value);
	double rate = (double)records / seconds, mb = rate * (double)b->size / 1e6;
	if (b->cli->json)
		printf("{\"bench\":\"%s\",\"size\":%lld,\"partitions\":%lld,\"records\":%lld,"
		       "\"seconds\":%.3f,"
		       "\"records_per_s\":%.0f,\"mb_per_s\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
		       "\"p999_ms\":%.3f}\n",
		    what, (long long)b->size, (long long)b->partitions, (long long)records, seconds,
		    rate, mb, quantile_ms(b, 0.5), quantile_ms(b, 0.99), quantile_ms(b, 0.999));
	else
		printf("bench %s: size=%lld partitions=%lld batch=%lld acks=%d inflight=%lld "
		       "codec=%s\n"
		       "  %lld records in %.3f s: %.0f records/s, %.1f MB/s; latency p50 %.3f p99 "
		       "%.3f p99.9 %.3f ms (%zu samples)\n",
		    what, (long long)b->size, (long long)b->partitions, (long long)b->batch_bytes,
		    b->acks, (long long)b->inflight, batch_codec_name(b->codec), (long long)records,
		    seconds, rate, mb, quantile_ms(b, 0.5), quantile_ms(b, 0.99),
		    quantile_ms(b, 0.999), b->sample_count);
}

/* ---- produce --------------------------------------------------------------------------------- */

/* Waits until the next batch is due under --throughput. */
static void pace(const struct bench *b, int64_t start, int64_t sent_records)
{
	if (!b->throughput)
		return;
	int64_t due = start + (int64_t)((double)sent_records / (double)b->throughput * 1e9),
	        wait = due - now_ns();
	if (wait > 0)
		nanosleep(&(struct timespec){wait / S_NS, wait % S_NS}, NULL);
}

static enum err produce_loop(struct bench *b, int64_t *ret_records, double *ret_seconds)
{
	int64_t sent_at[INFLIGHT_MAX], sent = 0, done = 0, offset, start = now_ns();
	int64_t batches =
	    b->count < 0 ? INT64_MAX : (b->count + b->batch_records - 1) / b->batch_records;
	bool more = true;
	while (more || done < sent) {
		more = sent < batches && (b->count > 0 || now_ns() - start < b->duration_ns) &&
		       !kclient_interrupted();
		if (more && sent - done < b->inflight) {
			pace(b, start, sent * b->batch_records);
			sent_at[sent % INFLIGHT_MAX] = now_ns();
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
		add_sample(b, now_ns() - sent_at[done % INFLIGHT_MAX]);
		done++;
	}
	*ret_records = done * b->batch_records;
	*ret_seconds = (double)(now_ns() - start) / 1e9;
	return ERR_OK;
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
	enum err e = open_bench(&b);
	if (e == ERR_OK)
		e = produce_loop(&b, &records, &seconds);
	if (e == ERR_OK)
		print_result(&b, "produce", records, seconds);
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
		int64_t start = now_ns();
		TRY(wire_fetch(&b->wire, &at, FETCH_BYTES, &f));
		add_sample(b, now_ns() - start);
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

enum exit_code cmd_bench_consume(struct cli *cli)
{
	struct bench b;
	int64_t bytes = 0, records = 0;
	enum exit_code exit = parse(&b, cli);
	if (exit != EXIT_OK)
		return exit;
	enum err e = open_bench(&b);
	int64_t start = now_ns();
	for (int32_t p = 0; e == ERR_OK && p < b.partitions; p++)
		e = consume_partition(&b, p, &bytes, &records);
	double seconds = (double)(now_ns() - start) / 1e9;
	if (e == ERR_OK) {
		b.inflight = 1;
		print_result(&b, "consume", records, seconds);
		fprintf(stderr, "  %.3f GB of batches on the wire, %.2f GB/s\n",
		    (double)bytes / 1e9, (double)bytes / 1e9 / seconds);
	}
	close_bench(&b);
	return e == ERR_OK ? EXIT_OK : cli_fail(e, NULL, "bench consume");
}
