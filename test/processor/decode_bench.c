/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What one record costs from the bytes of its RecordBatch to the rows of column vectors: walk over
 * the records, JSON, types, NOT NULL, a CHECK, the event time. `make bench-decode` counts the
 * instructions of decode_all, which do not depend on who else uses the machine:
 *
 *     decode_bench [ROUNDS]    each round decodes RECORDS records; prints ns per record
 */
#include "log/batch.h"
#include "processor/io/decode.h"
#include "test/lib/sql_fixture.h"
#include "test/lib/test.h"
#include "tools/quakes.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RECORDS = 20000, PER_BATCH = 500, BATCHES = RECORDS / PER_BATCH };

static const char table_sql[] =
    "CREATE TABLE quakes (id text NOT NULL, rev integer NOT NULL, "
    "time timestamptz OPTIONS (unit 'ms') NOT NULL, updated timestamptz OPTIONS (unit 'ms'), "
    "mag numeric(3,1), felt integer, place text, CHECK (felt >= 0)) "
    "WITH (topic = 'quakes', event_time = time);";

struct bench {
	struct writer batches[BATCHES];
	struct decoder *decoder;
	uint64_t record_bytes;
	uint64_t refused;
	uint64_t sum; /* of a column, so that nothing is left out */
};

static enum err count_refused(
    void *ctx, const struct decode_input *in, enum err reason, const char *message)
{
	struct bench *b = ctx;
	(void)reason;
	if (b->refused++ == 0)
		print_message("offset %lld: %s\n", (long long)in->record.offset, message);
	return ERR_OK;
}

static void make_batches(struct bench *b)
{
	struct quakes quakes;
	quakes_init(&quakes, 1);
	for (uint32_t i = 0, n = 0; i < BATCHES; i++) {
		struct batch_builder builder;
		batch_builder_init(&builder, BATCH_NONE);
		for (int k = 0; k < PER_BATCH; k++, n++) {
			char doc[QUAKE_JSON_MAX];
			size_t len = quakes_next(&quakes, doc, sizeof(doc));
			b->record_bytes += len;
			assert_int_equal(batch_builder_add(&builder, 1735689600000 + n,
			                     bytes_of(doc + 7, 8), bytes_of(doc, len), NULL, 0),
			    ERR_OK);
		}
		writer_init(&b->batches[i], MIB);
		assert_int_equal(batch_builder_finish(&builder, &b->batches[i]), ERR_OK);
		batch_stamp(b->batches[i].ptr, (int64_t)i * PER_BATCH, 0);
		batch_builder_release(&builder);
	}
}

static void take_rows(struct bench *b)
{
	struct batch rows;
	assert_int_equal(decoder_finish(b->decoder, &rows), ERR_OK);
	for (uint32_t i = 0; i < rows.count; i++)
		b->sum += (uint64_t)rows.cols[2].i[i];
}

static void decode_batch(struct bench *b, uint32_t number)
{
	struct writer scratch;
	struct record_iter it;
	struct decode_input in = {.sequence = number + 1, .append_time_ns = 1900000000 * S_NS};
	writer_init(&scratch, MIB);
	assert_int_equal(
	    record_iter_open(&it, writer_bytes(&b->batches[number]), &scratch, MIB), ERR_OK);
	while (record_iter_next(&it, &in.record) == ERR_OK) {
		if (decoder_count(b->decoder) == BATCH_ROWS_MAX) {
			take_rows(b);
			decoder_begin(b->decoder);
		}
		if (decoder_add(b->decoder, &in) != ERR_OK)
			fail();
		in.pos++;
	}
	writer_release(&scratch);
}

__attribute__((noinline)) static void decode_all(struct bench *b)
{
	decoder_begin(b->decoder);
	for (uint32_t i = 0; i < BATCHES; i++)
		decode_batch(b, i);
	take_rows(b);
}

static int rounds = 50;

static void decode_rounds(void **state)
{
	(void)state;
	static struct bench b;
	struct sql_fixture fixture;
	struct timespec from, to;
	uint8_t needed[7 + HIDDEN_COUNT];
	memset(needed, 1, sizeof(needed));
	memset(needed + 7, 0, HIDDEN_COUNT);
	sql_fixture_init(&fixture);
	sql_fixture_run(&fixture, table_sql);
	struct decoder_options o = {.table = fixture.tables[0],
	    .column_needed = needed,
	    .topic = STR("quakes"),
	    .capacity = BATCH_ROWS_MAX,
	    .refuse = count_refused,
	    .refuse_ctx = &b};
	assert_int_equal(decoder_new(&o, &b.decoder), ERR_OK);
	make_batches(&b);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (int i = 0; i < rounds; i++)
		decode_all(&b);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	assert_int_equal(b.refused, 0);
	double ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
	print_message("%d records of %.0f bytes on average, %.0f ns each (sum %llx)\n", RECORDS,
	    (double)b.record_bytes / RECORDS, ns / RECORDS / rounds, (unsigned long long)b.sum);
	for (int i = 0; i < BATCHES; i++)
		writer_release(&b.batches[i]);
	decoder_free(b.decoder);
	sql_fixture_release(&fixture);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(decode_rounds)};
	if (argc > 1)
		rounds = (int)strtol(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
