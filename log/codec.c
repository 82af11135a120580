/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four codecs of RecordBatch v2. Input is hostile: output never passes the cap (a bomb is
 * ERR_LIMIT after at most `cap` bytes), memory follows the bytes really produced and not what a
 * header claims, and the input must end exactly where the compressed stream ends.
 *
 *   gzip    RFC 1952, one or more members
 *   snappy  a raw block, or xerial's framing (Java's default): magic, two versions, then
 *           {i32 length, block}...
 *   lz4     exactly one LZ4 frame (magic 0x184D2204)
 *   zstd    one or more frames (RFC 8878)
 *
 * The zstd window (up to 2^27, what level 22 asks for) is reserved by the library but touched only
 * as far as output is written, so the cap bounds it too.
 */
#include "log/batch.h"
#define ZLIB_CONST
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

enum {
	SINK_STEP = 64 * 1024,
	SNAPPY_RATIO_MAX = 22, /* a copy element makes 64 bytes of 3 */
	XERIAL_BLOCK_BYTES = 32 * 1024,
	GZIP_WINDOW = 15 + 16, /* zlib: 32 KiB window, gzip wrapper */
};
static const uint8_t XERIAL_MAGIC[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};

/* ---- sink: where output goes, and the cap ---------------------------------------------------- */

/*
 * When there is no room left one byte of probe is offered: a decoder that is at its end does not
 * use it, one that writes there has more than the cap.
 */
struct sink {
	struct writer *out;
	size_t cap;
	size_t made;
	size_t offered;
	bool probing;
	uint8_t probe;
};

static size_t sink_left(const struct sink *s)
{
	size_t by_cap = s->cap - s->made;
	size_t by_writer = s->out->limit - s->out->len;
	return by_cap < by_writer ? by_cap : by_writer;
}

/* Offers up to `want` bytes at *ret_at; every offer is ended by sink_commit. */
static enum err sink_offer(struct sink *s, size_t want, uint8_t **ret_at, size_t *ret_len)
{
	size_t len = sink_left(s);
	if (len > want)
		len = want;
	s->probing = len == 0;
	s->offered = len;
	if (s->probing) {
		*ret_at = &s->probe;
		*ret_len = 1;
		return ERR_OK;
	}
	uint8_t *at = writer_reserve(s->out, len);
	if (!at)
		return s->out->err;
	*ret_at = at;
	*ret_len = len;
	return ERR_OK;
}

static enum err sink_commit(struct sink *s, size_t used)
{
	if (s->probing)
		return used == 0
		           ? ERR_OK
		           : err_note(ERR_LIMIT, "more than %zu bytes after decompression", s->cap);
	ASSERT(used <= s->offered);
	s->out->len -= s->offered - used;
	s->made += used;
	return ERR_OK;
}

static enum err codec_corrupt(int codec, const char *what)
{
	return err_note(ERR_CORRUPT_MESSAGE, "%s: %s", batch_codec_name(codec), what);
}

/* ---- gzip ------------------------------------------------------------------------------------ */

static void *zlib_alloc(void *ctx, unsigned count, unsigned len)
{
	(void)ctx;
	return mem_calloc(count, len);
}

static void zlib_free(void *ctx, void *ptr)
{
	(void)ctx;
	mem_free(ptr);
}

/* One call of inflate; Z_BUF_ERROR means it wants input that is not there. */
static enum err gunzip_step(z_stream *z, struct sink *s, int *ret_rc)
{
	uint8_t *at;
	size_t len;
	TRY(sink_offer(s, SINK_STEP, &at, &len));
	z->next_out = at;
	z->avail_out = (unsigned)len;
	int rc = inflate(z, Z_NO_FLUSH);
	TRY(sink_commit(s, len - z->avail_out));
	*ret_rc = rc;
	return ERR_OK;
}

static enum err gunzip_members(z_stream *z, struct sink *s)
{
	for (;;) {
		int rc;
		TRY(gunzip_step(z, s, &rc));
		if (rc == Z_STREAM_END && z->avail_in == 0)
			return ERR_OK;
		if (rc == Z_STREAM_END)
			rc = inflateReset(z);
		if (rc == Z_MEM_ERROR)
			return ERR_NOMEM;
		if (rc != Z_OK)
			return codec_corrupt(
			    BATCH_GZIP, rc == Z_BUF_ERROR ? "cut short" : "malformed");
	}
}

static enum err gzip_decompress(struct bytes in, struct sink *s)
{
	z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
	z.next_in = in.ptr;
	z.avail_in = (unsigned)in.len;
	if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
		return ERR_NOMEM;
	enum err err = gunzip_members(&z, s);
	inflateEnd(&z);
	return err;
}

static enum err gzip_compress(struct bytes in, struct writer *out)
{
	z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
	if (deflateInit2(
	        &z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return ERR_NOMEM;
	size_t room = deflateBound(&z, in.len);
	uint8_t *at = writer_reserve(out, room);
	if (!at) {
		deflateEnd(&z);
		return out->err;
	}
	z.next_in = in.ptr;
	z.avail_in = (unsigned)in.len;
	z.next_out = at;
	z.avail_out = (unsigned)room;
	int rc = deflate(&z, Z_FINISH);
	out->len -= z.avail_out;
	deflateEnd(&z);
	ASSERT(rc == Z_STREAM_END); /* deflateBound is a bound */
	return ERR_OK;
}

/* ---- snappy ---------------------------------------------------------------------------------- */

static enum err snappy_block(struct bytes in, struct sink *s)
{
	size_t claimed;
	if (snappy_uncompressed_length((const char *)in.ptr, in.len, &claimed) != SNAPPY_OK)
		return codec_corrupt(BATCH_SNAPPY, "no length");
	if (claimed > in.len * SNAPPY_RATIO_MAX)
		return codec_corrupt(BATCH_SNAPPY, "claims more than its bytes can hold");
	if (claimed > sink_left(s))
		return err_note(ERR_LIMIT, "more than %zu bytes after decompression", s->cap);
	uint8_t none;
	uint8_t *at = &none; /* a block may hold nothing, which needs no room */
	size_t len = 0;
	if (claimed > 0)
		TRY(sink_offer(s, claimed, &at, &len));
	size_t made = claimed;
	if (snappy_uncompress((const char *)in.ptr, in.len, (char *)at, &made) != SNAPPY_OK ||
	    made != claimed)
		return codec_corrupt(BATCH_SNAPPY, "malformed block");
	return claimed > 0 ? sink_commit(s, made) : ERR_OK;
}

static enum err xerial_blocks(struct reader *r, struct sink *s)
{
	while (reader_left(r) > 0) {
		struct bytes block = read_bytes(r, read_u32_be(r));
		if (r->bad)
			return codec_corrupt(BATCH_SNAPPY, "cut short");
		TRY(snappy_block(block, s));
	}
	return ERR_OK;
}

static enum err snappy_decompress(struct bytes in, struct sink *s)
{
	if (in.len < sizeof(XERIAL_MAGIC) ||
	    memcmp(in.ptr, XERIAL_MAGIC, sizeof(XERIAL_MAGIC)) != 0)
		return snappy_block(in, s);
	struct reader r = reader_of(in);
	read_skip(&r, sizeof(XERIAL_MAGIC) + 4);
	uint32_t compatible = read_u32_be(&r);
	if (r.bad || compatible != 1)
		return codec_corrupt(BATCH_SNAPPY, "framing of an unknown version");
	return xerial_blocks(&r, s);
}

/* Framed as Java's consumers expect it. */
static enum err snappy_frame_compress(struct bytes in, struct writer *out)
{
	write_bytes(out, bytes_of(XERIAL_MAGIC, sizeof(XERIAL_MAGIC)));
	write_u32_be(out, 1);
	write_u32_be(out, 1);
	for (size_t from = 0; from < in.len; from += XERIAL_BLOCK_BYTES) {
		struct bytes part = bytes_slice(in, from, XERIAL_BLOCK_BYTES);
		size_t len_at = out->len;
		write_u32_be(out, 0);
		size_t room = snappy_max_compressed_length(part.len);
		uint8_t *at = writer_reserve(out, room);
		if (!at)
			return out->err;
		size_t made = room;
		int rc = (int)snappy_compress((const char *)part.ptr, part.len, (char *)at, &made);
		ASSERT(rc == (int)SNAPPY_OK);
		out->len -= room - made;
		writer_patch_u32_be(out, len_at, (uint32_t)made);
	}
	return out->err;
}

/* ---- lz4 ------------------------------------------------------------------------------------- */

static enum err lz4_frame(LZ4F_dctx *ctx, struct bytes in, struct sink *s)
{
	struct reader r = reader_of(in);
	if (in.len < 4 || get_u32_le(in.ptr) != LZ4F_MAGICNUMBER)
		return codec_corrupt(BATCH_LZ4, "not an LZ4 frame");
	for (;;) {
		uint8_t *at;
		size_t made;
		TRY(sink_offer(s, SINK_STEP, &at, &made));
		size_t taken = reader_left(&r);
		bool starved = taken == 0;
		size_t hint = LZ4F_decompress(ctx, at, &made, in.ptr + r.pos, &taken, NULL);
		TRY(sink_commit(s, LZ4F_isError(hint) ? 0 : made));
		if (LZ4F_isError(hint))
			return codec_corrupt(BATCH_LZ4, LZ4F_getErrorName(hint));
		read_skip(&r, taken);
		if (hint == 0)
			return reader_left(&r) == 0
			           ? ERR_OK
			           : codec_corrupt(BATCH_LZ4, "bytes after the frame");
		if (starved && made == 0)
			return codec_corrupt(BATCH_LZ4, "cut short");
	}
}

static enum err lz4_decompress(struct bytes in, struct sink *s)
{
	LZ4F_dctx *ctx;
	if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
		return ERR_NOMEM;
	enum err err = lz4_frame(ctx, in, s);
	LZ4F_freeDecompressionContext(ctx);
	return err;
}

static enum err lz4_compress(struct bytes in, struct writer *out)
{
	/* 64 KiB independent blocks: what Kafka's Java reader supports */
	LZ4F_preferences_t how = {
	    .frameInfo = {.blockSizeID = LZ4F_max64KB, .blockMode = LZ4F_blockIndependent},
	};
	size_t room = LZ4F_compressFrameBound(in.len, &how);
	uint8_t *at = writer_reserve(out, room);
	if (!at)
		return out->err;
	size_t made = LZ4F_compressFrame(at, room, in.ptr, in.len, &how);
	if (LZ4F_isError(made)) {
		out->len -= room;
		return ERR_NOMEM; /* the bound holds, so nothing else can fail */
	}
	out->len -= room - made;
	return ERR_OK;
}

/* ---- zstd ------------------------------------------------------------------------------------ */

static enum err zstd_frames(ZSTD_DCtx *ctx, struct bytes in, struct sink *s)
{
	ZSTD_inBuffer src = {in.ptr, in.len, 0};
	for (;;) {
		uint8_t *at;
		size_t len;
		TRY(sink_offer(s, SINK_STEP, &at, &len));
		ZSTD_outBuffer dst = {at, len, 0};
		bool starved = src.pos == src.size;
		size_t hint = ZSTD_decompressStream(ctx, &dst, &src);
		TRY(sink_commit(s, ZSTD_isError(hint) ? 0 : dst.pos));
		if (ZSTD_isError(hint))
			return codec_corrupt(BATCH_ZSTD, ZSTD_getErrorName(hint));
		if (hint == 0 && src.pos == src.size)
			return ERR_OK;
		if (starved && dst.pos == 0)
			return codec_corrupt(BATCH_ZSTD, "cut short");
	}
}

static enum err zstd_decompress(struct bytes in, struct sink *s)
{
	if (in.len == 0)
		return codec_corrupt(BATCH_ZSTD, "cut short");
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	if (!ctx)
		return ERR_NOMEM;
	enum err err = zstd_frames(ctx, in, s);
	ZSTD_freeDCtx(ctx);
	return err;
}

static enum err zstd_compress(struct bytes in, struct writer *out)
{
	size_t room = ZSTD_compressBound(in.len);
	uint8_t *at = writer_reserve(out, room);
	if (!at)
		return out->err;
	size_t made = ZSTD_compress(at, room, in.ptr, in.len, ZSTD_CLEVEL_DEFAULT);
	if (ZSTD_isError(made)) {
		out->len -= room;
		return ERR_NOMEM; /* the bound holds, so nothing else can fail */
	}
	out->len -= room - made;
	return ERR_OK;
}

/* ---- all ------------------------------------------------------------------------------------- */

static enum err plain_copy(struct bytes in, struct sink *s)
{
	if (in.len > sink_left(s))
		return err_note(ERR_LIMIT, "more than %zu bytes", s->cap);
	write_bytes(s->out, in);
	return s->out->err;
}

enum err codec_decompress(int codec, struct bytes in, size_t cap, struct writer *out)
{
	static enum err (*const decoders[BATCH_CODECS])(struct bytes, struct sink *) = {
	    [BATCH_NONE] = plain_copy,
	    [BATCH_GZIP] = gzip_decompress,
	    [BATCH_SNAPPY] = snappy_decompress,
	    [BATCH_LZ4] = lz4_decompress,
	    [BATCH_ZSTD] = zstd_decompress,
	};
	if (codec < 0 || codec >= BATCH_CODECS)
		return err_note(ERR_UNSUPPORTED_COMPRESSION, "codec %d", codec);
	if (out->err != ERR_OK)
		return out->err;
	if (in.len > UINT32_MAX)
		return err_note(ERR_LIMIT, "%zu compressed bytes", in.len);
	size_t start = out->len;
	struct sink sink = {.out = out, .cap = cap};
	enum err err = decoders[codec](in, &sink);
	if (err != ERR_OK)
		out->len = start;
	return err;
}

enum err codec_compress(int codec, struct bytes in, struct writer *out)
{
	if (in.len > UINT32_MAX / 2)
		return err_note(ERR_LIMIT, "%zu bytes to compress", in.len);
	switch (codec) {
	case BATCH_NONE:
		write_bytes(out, in);
		return out->err;
	case BATCH_GZIP:
		return gzip_compress(in, out);
	case BATCH_SNAPPY:
		return snappy_frame_compress(in, out);
	case BATCH_LZ4:
		return lz4_compress(in, out);
	case BATCH_ZSTD:
		return zstd_compress(in, out);
	default:
		return err_note(ERR_UNSUPPORTED_COMPRESSION, "codec %d", codec);
	}
}
