/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Record batches as a client may send them: the check, records, headers, decompression. The first
 * byte chooses: bare codecs, a batch as it is, or one whose length and CRC are put right, so that
 * the records behind them are reached.
 */
#include "test/fuzz/fuzz.h"
#include "log/batch.h"

enum { CAP = 1 << 20 };

static void walk(struct bytes batch)
{
	struct record_iter it;
	struct record r;
	struct writer scratch;
	writer_init(&scratch, CAP);
	enum err err = record_iter_open(&it, batch, &scratch, CAP);
	while (err == ERR_OK && (err = record_iter_next(&it, &r)) == ERR_OK) {
		struct reader headers = reader_of(r.headers);
		(void)read_varint32(&headers);
		for (int32_t i = 0; i < r.header_count; i++) {
			struct str key;
			struct bytes value;
			if (record_header_next(&headers, &key, &value) != ERR_OK)
				break;
		}
	}
	ASSERT(scratch.len <= CAP);
	writer_release(&scratch);
}

static void bare_codec(int codec, struct bytes in)
{
	struct writer out;
	writer_init(&out, 2 * (size_t)CAP);
	enum err err = codec_decompress(codec, in, CAP, &out);
	ASSERT(err != ERR_OK || out.len <= CAP);
	writer_release(&out);
}

static void whole_batch(uint8_t mode, uint8_t *batch, size_t len)
{
	const struct batch_rules rules = {.max_bytes = CAP,
	    .decompressed_max = CAP,
	    .keys_required = mode & 1,
	    .zstd_allowed = true};
	int32_t bad;
	struct batch_marker marker;
	if ((mode & 2) && len >= BATCH_HEADER_BYTES) {
		put_u32_be(batch + 8, (uint32_t)(len - 12));
		batch[16] = 2;
		put_u32_be(batch + 17, crc32c(bytes_of(batch + 21, len - 21)));
	}
	struct bytes b = bytes_of(batch, len);
	enum err err = batch_check_mend(batch, len, &rules, &bad);
	if (err == ERR_OK)
		ASSERT(batch_check(b, &rules, &bad) == ERR_OK);
	struct batch_header h;
	if (batch_header_read(b, &h) == ERR_OK) {
		(void)batch_marker_read(b, &marker);
		walk(b);
	}
}

void batch_fuzz(struct bytes in)
{
	if (in.len < 1)
		return;
	uint8_t mode = in.ptr[0];
	in = bytes_slice(in, 1, in.len);
	uint8_t *copy = mem_alloc(in.len ? in.len : 1);
	ASSERT(copy);
	memcpy(copy, in.ptr, in.len);
	if (mode < BATCH_CODECS)
		bare_codec(mode, bytes_of(copy, in.len));
	else
		whole_batch(mode, copy, in.len);
	err_clear();
	mem_free(copy);
}

void batch_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	static const char text[] = "seven is a number, seven is a number, seven is a number";
	for (int codec = BATCH_NONE; codec < BATCH_CODECS; codec++) {
		struct batch_builder b;
		struct writer w;
		const struct log_row header = {str_bytes(STR("h")), str_bytes(STR("v"))};
		batch_builder_init(&b, codec);
		for (int i = 0; i < 3; i++)
			ASSERT(batch_builder_add(&b, 1000 + i, str_bytes(STR("key")),
			           str_bytes(str_of(text)), &header, 1) == ERR_OK);
		writer_init(&w, MIB);
		write_u8(&w, 0xfe);
		ASSERT(batch_builder_finish(&b, &w) == ERR_OK);
		emit(ctx, writer_bytes(&w));
		writer_clear(&w);
		write_u8(&w, (uint8_t)codec);
		ASSERT(codec == BATCH_NONE ||
		       codec_compress(codec, str_bytes(str_of(text)), &w) == ERR_OK);
		emit(ctx, writer_bytes(&w));
		writer_release(&w);
		batch_builder_release(&b);
	}
}
