/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4; reflected polynomial 0x82F63B78), the checksum of
 * RecordBatch v2.
 *
 * The crc32 instruction of SSE4.2 takes 8 bytes with a latency of 3 cycles and a throughput of 1,
 * so three lanes run beside each other over adjacent blocks and are joined: a CRC is linear, and
 * passing n zero bytes multiplies it by x^(8n) modulo the polynomial; for the two block lengths
 * that product is a table lookup. Elsewhere, and for what is left, eight bytes at a time by tables.
 *
 * Where there are carry-less products of 512 bits, long input is folded first: sixteen pieces of
 * 128 bits stand for all bytes so far, and passing FOLD bytes multiplies each by x^(8 * FOLD), its
 * halves by x^(8 * FOLD + 63) and x^(8 * FOLD - 1) modulo the polynomial (a product of reflected
 * halves is one bit short, hence one power less). What is left at the end are FOLD bytes with the
 * same CRC.
 *
 * Tables are built before main, so no thread sees half of one.
 */
#include "log/batch.h"
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLYNOMIAL UINT32_C(0x82F63B78)
enum {
	LANE_LONG = 4096,
	LANE_SHORT = 256,
	POWERS = 32 + 3,
	FOLD = 256,     /* four registers of 64 bytes */
	FOLD_MIN = 1024 /* shorter input is not worth it */
};

static uint32_t byte_table[8][256];  /* [k][b]: byte b followed by k zero bytes */
static uint32_t long_table[4][256];  /* the product of x^(8 * LANE_LONG) and b << 8k */
static uint32_t short_table[4][256]; /* ... LANE_SHORT */
static uint32_t powers[POWERS];      /* x^(2^k) */
static uint64_t fold_by[2];          /* of the earlier and the later half of 128 bits */
static uint32_t (*extend_raw)(uint32_t crc, const uint8_t *p, size_t len);

/* a * b modulo the polynomial; bit 31 is x^0. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;
	for (uint32_t bit = UINT32_C(1) << 31; bit != 0; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = (b & 1) ? (b >> 1) ^ POLYNOMIAL : b >> 1;
	}
	return product;
}

/* x^n */
static uint32_t power(uint64_t n)
{
	uint32_t p = UINT32_C(1) << 31;
	ASSERT(n >> POWERS == 0);
	for (unsigned k = 0; n != 0; k++, n >>= 1)
		if (n & 1)
			p = multiply(powers[k], p);
	return p;
}

static uint32_t zeros_power(uint64_t len)
{
	ASSERT(len <= UINT32_MAX);
	return power(8 * len);
}

static inline uint32_t lookup(uint32_t table[4][256], uint32_t crc)
{
	return table[0][crc & 255] ^ table[1][(crc >> 8) & 255] ^ table[2][(crc >> 16) & 255] ^
	       table[3][crc >> 24];
}

static inline uint64_t load_u64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return v;
}

static uint32_t extend_tables(uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len >= 8; p += 8, len -= 8) {
		uint64_t v = get_u64_le(p) ^ crc;
		crc = byte_table[7][v & 255] ^ byte_table[6][(v >> 8) & 255] ^
		      byte_table[5][(v >> 16) & 255] ^ byte_table[4][(v >> 24) & 255] ^
		      byte_table[3][(v >> 32) & 255] ^ byte_table[2][(v >> 40) & 255] ^
		      byte_table[1][(v >> 48) & 255] ^ byte_table[0][v >> 56];
	}
	for (; len > 0; p++, len--)
		crc = (crc >> 8) ^ byte_table[0][(crc ^ *p) & 255];
	return crc;
}

#if defined(__x86_64__)
/* Three lanes of `lane` bytes each, joined by `table`. */
__attribute__((target("sse4.2"))) static inline uint32_t extend_lanes(
    uint32_t crc, const uint8_t *p, size_t lane, uint32_t table[4][256])
{
	uint64_t a = crc, b = 0, c = 0;
	for (size_t i = 0; i < lane; i += 8) {
		a = __builtin_ia32_crc32di(a, load_u64(p + i));
		b = __builtin_ia32_crc32di(b, load_u64(p + lane + i));
		c = __builtin_ia32_crc32di(c, load_u64(p + 2 * lane + i));
	}
	uint32_t joined = lookup(table, (uint32_t)a) ^ (uint32_t)b;
	return lookup(table, joined) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t extend_sse42(
    uint32_t crc, const uint8_t *p, size_t len)
{
	for (; len >= (size_t)3 * LANE_LONG; p += 3 * LANE_LONG, len -= (size_t)3 * LANE_LONG)
		crc = extend_lanes(crc, p, LANE_LONG, long_table);
	for (; len >= (size_t)3 * LANE_SHORT; p += 3 * LANE_SHORT, len -= (size_t)3 * LANE_SHORT)
		crc = extend_lanes(crc, p, LANE_SHORT, short_table);
	uint64_t wide = crc;
	for (; len >= 8; p += 8, len -= 8)
		wide = __builtin_ia32_crc32di(wide, load_u64(p));
	crc = (uint32_t)wide;
	for (; len > 0; p++, len--)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return crc;
}

#define FOLD_TARGET __attribute__((target("avx512f,vpclmulqdq")))

FOLD_TARGET static inline __m512i fold(__m512i x, __m512i by, const uint8_t *next)
{
	__m512i early = _mm512_clmulepi64_epi128(x, by, 0x00),
	        late = _mm512_clmulepi64_epi128(x, by, 0x11);
	return _mm512_ternarylogic_epi64(early, late, _mm512_loadu_si512(next), 0x96); /* xor */
}

FOLD_TARGET static uint32_t extend_fold(uint32_t crc, const uint8_t *p, size_t len)
{
	if (len < FOLD_MIN)
		return extend_sse42(crc, p, len);
	const __m512i by =
	    _mm512_broadcast_i32x4(_mm_set_epi64x((long long)fold_by[1], (long long)fold_by[0]));
	__m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64),
	        c = _mm512_loadu_si512(p + 128), d = _mm512_loadu_si512(p + 192);
	a = _mm512_xor_si512(a, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)crc)));
	for (p += FOLD, len -= FOLD; len >= FOLD; p += FOLD, len -= FOLD) {
		a = fold(a, by, p);
		b = fold(b, by, p + 64);
		c = fold(c, by, p + 128);
		d = fold(d, by, p + 192);
	}
	uint8_t left[FOLD];
	_mm512_storeu_si512(left, a);
	_mm512_storeu_si512(left + 64, b);
	_mm512_storeu_si512(left + 128, c);
	_mm512_storeu_si512(left + 192, d);
	return extend_sse42(extend_sse42(0, left, FOLD), p, len);
}
#endif

static void build_lane_table(uint32_t table[4][256], size_t lane)
{
	uint32_t by = zeros_power(lane);
	for (unsigned k = 0; k < 4; k++)
		for (uint32_t b = 0; b < 256; b++)
			table[k][b] = multiply(by, b << (8 * k));
}

__attribute__((constructor)) static void crc32c_init(void)
{
	powers[0] = UINT32_C(1) << 30;
	for (unsigned k = 1; k < POWERS; k++)
		powers[k] = multiply(powers[k - 1], powers[k - 1]);
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t crc = b;
		for (unsigned bit = 0; bit < 8; bit++)
			crc = (crc & 1) ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
		byte_table[0][b] = crc;
	}
	for (unsigned k = 1; k < 8; k++)
		for (uint32_t b = 0; b < 256; b++) {
			uint32_t crc = byte_table[k - 1][b];
			byte_table[k][b] = (crc >> 8) ^ byte_table[0][crc & 255];
		}
	build_lane_table(long_table, LANE_LONG);
	build_lane_table(short_table, LANE_SHORT);
	fold_by[0] = (uint64_t)power(8 * FOLD + 63) << 32;
	fold_by[1] = (uint64_t)power(8 * FOLD - 1) << 32;
	(void)crc32c_use(CRC32C_FOLD);
}

enum crc32c_way crc32c_use(enum crc32c_way most)
{
	enum crc32c_way way = CRC32C_TABLES;
	extend_raw = extend_tables;
#if defined(__x86_64__)
	__builtin_cpu_init();
	if (most >= CRC32C_LANES && __builtin_cpu_supports("sse4.2")) {
		way = CRC32C_LANES;
		extend_raw = extend_sse42;
		if (most >= CRC32C_FOLD && __builtin_cpu_supports("avx512f") &&
		    __builtin_cpu_supports("vpclmulqdq")) {
			way = CRC32C_FOLD;
			extend_raw = extend_fold;
		}
	}
#else
	(void)most;
#endif
	return way;
}

uint32_t crc32c_extend(uint32_t crc, struct bytes b)
{
	return ~extend_raw(~crc, b.ptr, b.len);
}

uint32_t crc32c(struct bytes b)
{
	return crc32c_extend(0, b);
}

uint32_t crc32c_mend(uint32_t crc, struct bytes change, size_t after)
{
	return crc ^ multiply(zeros_power(after), extend_raw(0, change.ptr, change.len));
}
