/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to structs. Invariants:
 *   D1  nothing is allocated before the bytes that justify it are known to be there: an array of n
 *       elements needs n times the shortest element, or the message is refused.
 *   D2  unknown tagged fields are stepped over and never kept; KAFKA_UNKNOWN_TAGS_MAX of them per
 *       structure.
 *   D3  a known tagged field must fill its size exactly.
 *   D4  nesting is that of the table: no input can make the recursion deeper.
 */
#include "broker/kafka/codec.h"

struct decoder {
	struct reader *r;
	struct arena *arena;
	int16_t version;
	bool flexible;
};

/* Zero bytes still need an address: NULL means null. */
static const uint8_t nothing[1];

static enum err decode_struct(struct decoder *d, const struct msg_shape *shape, void *out);

static enum err malformed(const struct decoder *d, const struct msg_field *f, const char *what)
{
	return err_note(ERR_INVALID_REQUEST, "field %s at byte %zu: %s", f->name, d->r->pos, what);
}

/* The shortest wire form of one value. */
static size_t min_bytes(const struct decoder *d, const struct msg_field *f)
{
	size_t sum = d->flexible ? 1 : 0;
	switch ((enum msg_type)f->type) {
	case MSG_BOOL:
	case MSG_I8:
		return 1;
	case MSG_I16:
		return 2;
	case MSG_I32:
		return 4;
	case MSG_I64:
	case MSG_F64:
		return 8;
	case MSG_UUID:
		return 16;
	case MSG_STRING:
		return d->flexible ? 1 : 2;
	case MSG_BYTES:
	case MSG_RECORDS:
	case MSG_SLICES:
		return d->flexible ? 1 : 4;
	case MSG_STRUCT:
		break;
	}
	for (size_t i = 0; i < f->shape->field_count; i++) {
		const struct msg_field *g = &f->shape->fields[i];
		if (!msg_field_in(g, d->version) || g->tag >= 0)
			continue;
		if (g->array)
			sum += d->flexible ? 1 : 4;
		else if (g->type == MSG_STRUCT && msg_field_nullable(g, d->version))
			sum += 1;
		else
			sum += min_bytes(d, g);
	}
	return sum ? sum : 1;
}

/* Length of a string, bytes or array: -1 = null, -2 = malformed. */
static int64_t read_len(struct decoder *d, bool is_short)
{
	if (d->flexible)
		return (int64_t)read_uvarint32(d->r) - 1;
	int64_t len = is_short ? read_i16_be(d->r) : read_i32_be(d->r);
	return len < -1 ? -2 : len;
}

static enum err decode_slice(
    struct decoder *d, const struct msg_field *f, bool nullable, struct bytes *ret_slice)
{
	int64_t len = read_len(d, f->type == MSG_STRING);
	if (d->r->bad || len < -1)
		return malformed(d, f, "bad length");
	if (len == -1) {
		if (!nullable)
			return malformed(d, f, "null where none is allowed");
		*ret_slice = (struct bytes){NULL, 0};
		return ERR_OK;
	}
	if ((uint64_t)len > reader_left(d->r))
		return malformed(d, f, "length beyond the message");
	struct bytes b = read_bytes(d->r, (size_t)len);
	*ret_slice = len ? b : (struct bytes){nothing, 0};
	return ERR_OK;
}

static enum err decode_slices(
    struct decoder *d, const struct msg_field *f, struct msg_slices *ret_slices)
{
	struct bytes b;
	TRY(decode_slice(d, f, msg_field_nullable(f, d->version), &b));
	*ret_slices = (struct msg_slices){NULL, 0};
	if (!b.ptr)
		return ERR_OK;
	struct bytes *one = arena_alloc(d->arena, sizeof(*one));
	if (!one)
		return err_note(ERR_LIMIT, "field %s: no memory left for this message", f->name);
	*one = b;
	*ret_slices = (struct msg_slices){one, b.len ? 1 : 0};
	return ERR_OK;
}

static enum err decode_number(struct decoder *d, const struct msg_field *f, void *out)
{
	uint8_t flag;
	if (f->type == MSG_BOOL) {
		flag = read_u8(d->r);
		*(bool *)out = flag != 0;
	} else if (f->type == MSG_I8) {
		*(int8_t *)out = read_i8(d->r);
	} else if (f->type == MSG_I16) {
		*(int16_t *)out = read_i16_be(d->r);
	} else if (f->type == MSG_I32) {
		*(int32_t *)out = read_i32_be(d->r);
	} else if (f->type == MSG_I64) {
		*(int64_t *)out = read_i64_be(d->r);
	} else {
		ASSERT(f->type == MSG_F64);
		int64_t bits = read_i64_be(d->r);
		memcpy(out, &bits, sizeof(bits));
	}
	return d->r->bad ? malformed(d, f, "message too short") : ERR_OK;
}

/* One value that is neither array nor nullable structure. */
static enum err decode_value(struct decoder *d, const struct msg_field *f, bool nullable, void *out)
{
	struct bytes b;
	switch ((enum msg_type)f->type) {
	case MSG_STRING:
		TRY(decode_slice(d, f, nullable, &b));
		*(struct str *)out = bytes_str(b);
		return ERR_OK;
	case MSG_BYTES:
	case MSG_RECORDS:
		return decode_slice(d, f, nullable, out);
	case MSG_SLICES:
		return decode_slices(d, f, out);
	case MSG_UUID:
		b = read_bytes(d->r, sizeof(struct log_uuid));
		if (d->r->bad)
			return malformed(d, f, "message too short");
		memcpy(out, b.ptr, sizeof(struct log_uuid));
		return ERR_OK;
	case MSG_STRUCT:
		return decode_struct(d, f->shape, out);
	case MSG_BOOL:
	case MSG_I8:
	case MSG_I16:
	case MSG_I32:
	case MSG_I64:
	case MSG_F64:
		break;
	}
	return decode_number(d, f, out);
}

static enum err decode_array(struct decoder *d, const struct msg_field *f, struct msg_array *out)
{
	int64_t count = read_len(d, false);
	if (d->r->bad || count < -1)
		return malformed(d, f, "bad count");
	if (count == -1 && !msg_field_nullable(f, d->version))
		return malformed(d, f, "null where none is allowed");
	*out = (struct msg_array){NULL, 0};
	if (count == -1)
		return ERR_OK;
	if ((uint64_t)count > reader_left(d->r) / min_bytes(d, f))
		return malformed(d, f, "count beyond the message");
	size_t size = msg_type_size(f);
	char *items = arena_alloc(d->arena, count ? (size_t)count * size : 1);
	if (!items)
		return err_note(ERR_LIMIT, "field %s: no memory left for this message", f->name);
	for (int64_t i = 0; i < count; i++)
		TRY(decode_value(d, f, false, items + (size_t)i * size));
	*out = (struct msg_array){items, (uint32_t)count};
	return ERR_OK;
}

static enum err decode_pointer(struct decoder *d, const struct msg_field *f, void **out)
{
	int8_t there = read_i8(d->r);
	if (d->r->bad || (there != -1 && there != 1))
		return malformed(d, f, "bad marker of a nullable structure");
	if (there == -1) {
		*out = NULL;
		return ERR_OK;
	}
	*out = msg_new_array(f->shape, 1, d->arena);
	if (!*out)
		return err_note(ERR_LIMIT, "field %s: no memory left for this message", f->name);
	return decode_struct(d, f->shape, *out);
}

static enum err decode_field(struct decoder *d, const struct msg_field *f, void *message)
{
	void *out = (char *)message + f->offset;
	if (f->array)
		return decode_array(d, f, out);
	if (f->type == MSG_STRUCT && f->null_from <= f->null_to)
		return decode_pointer(d, f, out);
	return decode_value(d, f, msg_field_nullable(f, d->version), out);
}

static const struct msg_field *tagged_field(
    const struct decoder *d, const struct msg_shape *shape, uint32_t tag)
{
	for (size_t i = 0; i < shape->field_count; i++) {
		const struct msg_field *f = &shape->fields[i];
		if (f->tag >= 0 && (uint32_t)f->tag == tag && msg_field_in(f, d->version))
			return f;
	}
	return NULL;
}

static enum err decode_tagged(struct decoder *d, const struct msg_shape *shape, void *out)
{
	uint32_t count = read_uvarint32(d->r), unknown = 0;
	int64_t last = -1;
	if (d->r->bad || count > reader_left(d->r) / 2)
		return err_note(
		    ERR_INVALID_REQUEST, "%s: tagged fields beyond the message", shape->name);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t tag = read_uvarint32(d->r);
		uint32_t size = read_uvarint32(d->r);
		if (d->r->bad || size > reader_left(d->r) || (int64_t)tag <= last)
			return err_note(
			    ERR_INVALID_REQUEST, "%s: tagged fields malformed", shape->name);
		last = tag;
		const struct msg_field *f = tagged_field(d, shape, tag);
		struct reader part = reader_of(read_bytes(d->r, size));
		if (!f) {
			if (++unknown > KAFKA_UNKNOWN_TAGS_MAX)
				return err_note(ERR_LIMIT, "%s: more than %d unknown tagged fields",
				    shape->name, KAFKA_UNKNOWN_TAGS_MAX);
			continue;
		}
		struct decoder inner = {&part, d->arena, d->version, d->flexible};
		TRY(decode_field(&inner, f, out));
		if (part.bad || reader_left(&part) > 0)
			return malformed(d, f, "tagged field of a wrong size");
	}
	return ERR_OK;
}

static enum err decode_struct(struct decoder *d, const struct msg_shape *shape, void *out)
{
	msg_init(shape, out);
	for (size_t i = 0; i < shape->field_count; i++) {
		const struct msg_field *f = &shape->fields[i];
		if (msg_field_in(f, d->version) && f->tag < 0)
			TRY(decode_field(d, f, out));
	}
	return d->flexible ? decode_tagged(d, shape, out) : ERR_OK;
}

enum err msg_decode(struct msg_form form, struct reader *r, struct arena *arena, void *ret_message)
{
	struct decoder d = {r, arena, form.version, form.flexible};
	TRY(decode_struct(&d, form.shape, ret_message));
	ASSERT(!r->bad);
	return ERR_OK;
}
