/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Slices, the sticky reader and the bounded writer: the only places where wire and disk bytes are
 * addressed by pointer. Slices are passed by value and own nothing; whoever made them says how long
 * the bytes live. Readers never read past their end: a read beyond sets `bad`, returns zero or an
 * empty slice, and every later read does the same, so a whole message is read flat and checked
 * once. _be = big-endian (Kafka wire), _le = little-endian (kappa's files). Thread: whoever owns
 * the object.
 */
#include "err.h"
#include <endian.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

struct bytes {
	const uint8_t *ptr;
	size_t len;
};

/* Text, UTF-8 unless said otherwise, not NUL-terminated. ptr == NULL means SQL/Kafka null. */
struct str {
	const char *ptr;
	size_t len;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_FMT      "%.*s"
#define STR_ARG(s)   (int)(s).len, (s).ptr ? (s).ptr : ""

static inline struct bytes bytes_of(const void *ptr, size_t len)
{
	return (struct bytes){(const uint8_t *)ptr, len};
}
static inline struct str str_of(const char *cstr)
{
	return (struct str){cstr, cstr ? strlen(cstr) : 0};
}
static inline struct str str_from(const void *ptr, size_t len)
{
	return (struct str){(const char *)ptr, len};
}
static inline struct bytes str_bytes(struct str s)
{
	return (struct bytes){(const uint8_t *)s.ptr, s.len};
}
static inline struct str bytes_str(struct bytes b)
{
	return (struct str){(const char *)b.ptr, b.len};
}
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline bool bytes_zero(struct bytes b)
{
	/* each byte equals the one before it, and the first is zero */
	return b.len == 0 || (b.ptr[0] == 0 && memcmp(b.ptr, b.ptr + 1, b.len - 1) == 0);
}
static inline bool str_equal(struct str a, struct str b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
/* memcmp order, the shorter first on a common prefix (the "C" collation). */
int bytes_compare(struct bytes a, struct bytes b);
/* The part [from, from + len), clipped to b. */
struct bytes bytes_slice(struct bytes b, size_t from, size_t len);
/* True when `s` is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_is_utf8(struct str s);
/* Parses the whole of `s` as a decimal integer in range; false otherwise. */
bool str_to_i64(struct str s, int64_t *ret_value);
bool str_to_u64(struct str s, uint64_t *ret_value);

/* ---- fixed positions in a buffer ------------------------------------------------------------- */
static inline uint16_t get_u16_be(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}
static inline void put_u16_be(uint8_t *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}
static inline uint16_t get_u16_le(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}
static inline void put_u16_le(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}
static inline uint32_t get_u32_be(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}
static inline void put_u32_be(uint8_t *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}
static inline uint32_t get_u32_le(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}
static inline void put_u32_le(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}
static inline uint64_t get_u64_be(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}
static inline void put_u64_be(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}
static inline uint64_t get_u64_le(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}
static inline void put_u64_le(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

/* ---- reader ---------------------------------------------------------------------------------- */
struct reader {
	const uint8_t *ptr;
	size_t len;
	size_t pos;
	bool bad; /* sticky: something was read past the end or was malformed */
};

static inline struct reader reader_of(struct bytes b)
{
	return (struct reader){b.ptr, b.len, 0, false};
}
static inline size_t reader_left(const struct reader *r)
{
	return r->bad ? 0 : r->len - r->pos;
}
/* `len` bytes in place, or NULL and `bad` when fewer are left. */
static inline const uint8_t *reader_take(struct reader *r, size_t len)
{
	if (__builtin_expect(r->bad || r->len - r->pos < len, 0)) {
		r->bad = true;
		return NULL;
	}
	const uint8_t *p = r->ptr + r->pos;
	r->pos += len;
	return p;
}
static inline uint8_t read_u8(struct reader *r)
{
	const uint8_t *p = reader_take(r, 1);
	return p ? *p : 0;
}
static inline uint16_t read_u16_be(struct reader *r)
{
	const uint8_t *p = reader_take(r, 2);
	return p ? get_u16_be(p) : 0;
}
static inline uint32_t read_u32_be(struct reader *r)
{
	const uint8_t *p = reader_take(r, 4);
	return p ? get_u32_be(p) : 0;
}
static inline uint64_t read_u64_be(struct reader *r)
{
	const uint8_t *p = reader_take(r, 8);
	return p ? get_u64_be(p) : 0;
}
static inline uint16_t read_u16_le(struct reader *r)
{
	const uint8_t *p = reader_take(r, 2);
	return p ? get_u16_le(p) : 0;
}
static inline uint32_t read_u32_le(struct reader *r)
{
	const uint8_t *p = reader_take(r, 4);
	return p ? get_u32_le(p) : 0;
}
static inline uint64_t read_u64_le(struct reader *r)
{
	const uint8_t *p = reader_take(r, 8);
	return p ? get_u64_le(p) : 0;
}
static inline int8_t read_i8(struct reader *r)
{
	return (int8_t)read_u8(r);
}
static inline int16_t read_i16_be(struct reader *r)
{
	return (int16_t)read_u16_be(r);
}
static inline int32_t read_i32_be(struct reader *r)
{
	return (int32_t)read_u32_be(r);
}
static inline int64_t read_i64_be(struct reader *r)
{
	return (int64_t)read_u64_be(r);
}
/*
 * Base-128 varints as in Protocol Buffers and Kafka: at most 5 (32 bit) or 10 (64 bit) bytes. Bits
 * beyond the type's width are malformed; encodings longer than needed are accepted, as Kafka does.
 */
uint64_t read_uvarint_slow(struct reader *r, unsigned bits);
static inline uint32_t read_uvarint32(struct reader *r)
{
	if (!r->bad && r->pos < r->len && r->ptr[r->pos] < 0x80)
		return r->ptr[r->pos++];
	return (uint32_t)read_uvarint_slow(r, 32);
}
static inline uint64_t read_uvarint64(struct reader *r)
{
	if (!r->bad && r->pos < r->len && r->ptr[r->pos] < 0x80)
		return r->ptr[r->pos++];
	return read_uvarint_slow(r, 64);
}
/*
 * The same by value, for loops that must keep their position in a register: the varint at `p`, of
 * which `left` bytes are there. len 0: it is malformed or cut short (beyond 64 bits, no end).
 */
struct uvarint {
	uint64_t value;
	size_t len;
};
struct uvarint uvarint_at_slow(const uint8_t *p, size_t left);
static inline struct uvarint uvarint_at(const uint8_t *p, size_t left)
{
	if (__builtin_expect(left >= 1 && p[0] < 0x80, 1))
		return (struct uvarint){p[0], 1};
	if (__builtin_expect(left >= 2 && p[1] < 0x80, 1))
		return (struct uvarint){(p[0] & 0x7Fu) | (uint64_t)p[1] << 7, 2};
	return uvarint_at_slow(p, left);
}
static inline uint64_t zigzag_encode(int64_t v)
{
	return ((uint64_t)v << 1) ^ (v < 0 ? UINT64_MAX : 0);
}
static inline int64_t zigzag_decode(uint64_t v)
{
	return (int64_t)((v >> 1) ^ (0 - (v & 1)));
}
static inline int32_t read_varint32(struct reader *r) /* zigzag */
{
	return (int32_t)zigzag_decode(read_uvarint32(r));
}
static inline int64_t read_varint64(struct reader *r) /* zigzag */
{
	return zigzag_decode(read_uvarint64(r));
}
/* `len` bytes in place, borrowed from the reader's buffer. */
static inline struct bytes read_bytes(struct reader *r, size_t len)
{
	const uint8_t *p = reader_take(r, len);
	return (struct bytes){p, p ? len : 0};
}
static inline void read_skip(struct reader *r, size_t len)
{
	(void)reader_take(r, len);
}

/* ---- writer ---------------------------------------------------------------------------------- */
/*
 * Appends to a heap buffer that grows up to `limit` bytes; beyond it, or when allocation fails,
 * `err` is set (ERR_LIMIT, ERR_NOMEM), stays set, and every later write is a no-op. writer_release
 * frees it; writer_clear keeps the memory for reuse.
 */
struct writer {
	uint8_t *ptr;
	size_t len;
	size_t capacity;
	size_t limit;
	enum err err;
};

void writer_init(struct writer *w, size_t limit);
void writer_release(struct writer *w);
void writer_clear(struct writer *w);
static inline struct bytes writer_bytes(const struct writer *w)
{
	return (struct bytes){w->ptr, w->len};
}
/*
 * Hands the buffer over; the caller releases with mem_free. The writer is empty afterwards. NULL
 * with *ret_len = 0 when nothing was written; NULL with *ret_len untouched after an error (check
 * `err` first).
 */
uint8_t *writer_take(struct writer *w, size_t *ret_len);
uint8_t *writer_reserve_slow(struct writer *w, size_t len);
/*
 * Appends `len` uninitialised bytes and returns where they are, NULL on error; valid until the next
 * write.
 */
static inline uint8_t *writer_reserve(struct writer *w, size_t len)
{
	if (__builtin_expect(w->err != ERR_OK || !w->ptr || w->capacity - w->len < len, 0))
		return writer_reserve_slow(w, len);
	uint8_t *at = w->ptr + w->len;
	w->len += len;
	return at;
}
void write_bytes(struct writer *w, struct bytes b);
void write_str(struct writer *w, struct str s);
void write_cstr(struct writer *w, const char *s);
void write_printf(struct writer *w, const char *fmt, ...) PRINTF(2, 3);
/* Bytes that write_uvarint64 and write_varint64 (zigzag) take. */
static inline size_t uvarint_len(uint64_t v)
{
	return (size_t)(70 - __builtin_clzll(v | 1)) / 7;
}
static inline size_t varint_len(int64_t v)
{
	return uvarint_len(zigzag_encode(v));
}
static inline void write_u8(struct writer *w, uint8_t v)
{
	uint8_t *at = writer_reserve(w, 1);
	if (at)
		*at = v;
}
static inline void write_u16_be(struct writer *w, uint16_t v)
{
	uint8_t *at = writer_reserve(w, 2);
	if (at)
		put_u16_be(at, v);
}
static inline void write_u32_be(struct writer *w, uint32_t v)
{
	uint8_t *at = writer_reserve(w, 4);
	if (at)
		put_u32_be(at, v);
}
static inline void write_u64_be(struct writer *w, uint64_t v)
{
	uint8_t *at = writer_reserve(w, 8);
	if (at)
		put_u64_be(at, v);
}
static inline void write_u16_le(struct writer *w, uint16_t v)
{
	uint8_t *at = writer_reserve(w, 2);
	if (at)
		put_u16_le(at, v);
}
static inline void write_u32_le(struct writer *w, uint32_t v)
{
	uint8_t *at = writer_reserve(w, 4);
	if (at)
		put_u32_le(at, v);
}
static inline void write_u64_le(struct writer *w, uint64_t v)
{
	uint8_t *at = writer_reserve(w, 8);
	if (at)
		put_u64_le(at, v);
}
void write_uvarint64(struct writer *w, uint64_t v);
void write_varint64(struct writer *w, int64_t v); /* zigzag */
/* Overwrites bytes already written, at `pos` from the start. */
void writer_patch_u32_be(struct writer *w, size_t pos, uint32_t v);
