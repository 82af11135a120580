/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Structs to bytes. Record slices are not copied: the output is the writer's bytes with splices in
 * between (struct msg_out), which the connection sends as one iovec.
 */
#include "broker/kafka/codec.h"

struct encoder {
	struct msg_out *out;
	int16_t version;
	bool flexible;
};

static enum err encode_struct(
    struct encoder *e, const struct msg_shape *shape, const void *message);

void msg_out_init(struct msg_out *out, size_t limit)
{
	*out = (struct msg_out){0};
	writer_init(&out->w, limit);
}

void msg_out_release(struct msg_out *out)
{
	writer_release(&out->w);
	mem_free(out->splices);
	out->splices = NULL;
	out->splice_count = out->splice_capacity = out->splice_bytes = 0;
}

static enum err add_splice(struct msg_out *out, struct bytes b)
{
	if (b.len == 0)
		return ERR_OK;
	if (out->copy) {
		write_bytes(&out->w, b);
		return out->w.err;
	}
	if (out->splice_count == out->splice_capacity) {
		size_t capacity = out->splice_capacity ? 2 * out->splice_capacity : 16;
		void *grown = mem_realloc(out->splices, capacity * sizeof(out->splices[0]));
		if (!grown)
			return ERR_NOMEM;
		out->splices = grown;
		out->splice_capacity = capacity;
	}
	out->splices[out->splice_count++] = (struct msg_splice){out->w.len, b};
	out->splice_bytes += b.len;
	return ERR_OK;
}

/* len -1 = null */
static enum err encode_len(struct encoder *e, const struct msg_field *f, int64_t len)
{
	bool is_short = f->type == MSG_STRING && !f->array;
	if (len > (is_short ? INT16_MAX : INT32_MAX - 1))
		return err_note(ERR_LIMIT, "field %s: %lld do not fit", f->name, (long long)len);
	if (e->flexible)
		write_uvarint64(&e->out->w, (uint64_t)(len + 1));
	else if (is_short)
		write_u16_be(&e->out->w, (uint16_t)len);
	else
		write_u32_be(&e->out->w, (uint32_t)len);
	return ERR_OK;
}

static enum err encode_slice(
    struct encoder *e, const struct msg_field *f, bool nullable, struct bytes b)
{
	if (!b.ptr && nullable)
		return encode_len(e, f, -1);
	struct msg_field element = *f;
	element.array = false;
	TRY(encode_len(e, &element, (int64_t)b.len));
	write_bytes(&e->out->w, b);
	return ERR_OK;
}

static enum err encode_slices(
    struct encoder *e, const struct msg_field *f, const struct msg_slices *s)
{
	size_t total = 0;
	if (!s->at && msg_field_nullable(f, e->version))
		return encode_len(e, f, -1);
	for (uint32_t i = 0; i < s->count; i++)
		total += s->at[i].len;
	TRY(encode_len(e, f, (int64_t)total));
	for (uint32_t i = 0; i < s->count; i++)
		TRY(add_splice(e->out, s->at[i]));
	return ERR_OK;
}

static enum err encode_value(
    struct encoder *e, const struct msg_field *f, bool nullable, const void *at)
{
	struct writer *w = &e->out->w;
	uint64_t bits;
	switch ((enum msg_type)f->type) {
	case MSG_BOOL:
		write_u8(w, *(const bool *)at ? 1 : 0);
		return ERR_OK;
	case MSG_I8:
		write_u8(w, (uint8_t) * (const int8_t *)at);
		return ERR_OK;
	case MSG_I16:
		e->out->has_error |= f->is_error && *(const int16_t *)at != 0;
		write_u16_be(w, (uint16_t) * (const int16_t *)at);
		return ERR_OK;
	case MSG_I32:
		write_u32_be(w, (uint32_t) * (const int32_t *)at);
		return ERR_OK;
	case MSG_I64:
		write_u64_be(w, (uint64_t) * (const int64_t *)at);
		return ERR_OK;
	case MSG_F64:
		memcpy(&bits, at, sizeof(bits));
		write_u64_be(w, bits);
		return ERR_OK;
	case MSG_UUID:
		write_bytes(w, bytes_of(at, sizeof(struct log_uuid)));
		return ERR_OK;
	case MSG_STRING:
		return encode_slice(e, f, nullable, str_bytes(*(const struct str *)at));
	case MSG_BYTES:
	case MSG_RECORDS:
		return encode_slice(e, f, nullable, *(const struct bytes *)at);
	case MSG_SLICES:
		return encode_slices(e, f, at);
	case MSG_STRUCT:
		return encode_struct(e, f->shape, at);
	}
	ASSERT(!"a message table names an unknown type");
	return ERR_BUG;
}

static enum err encode_array(
    struct encoder *e, const struct msg_field *f, const struct msg_array *array)
{
	if (!array->at && msg_field_nullable(f, e->version))
		return encode_len(e, f, -1);
	ASSERT(array->at || array->count == 0);
	TRY(encode_len(e, f, array->count));
	size_t size = msg_type_size(f);
	for (uint32_t i = 0; i < array->count; i++)
		TRY(encode_value(e, f, false, (const char *)array->at + i * size));
	return e->out->w.err;
}

static enum err encode_field(struct encoder *e, const struct msg_field *f, const void *message)
{
	const void *at = (const char *)message + f->offset;
	if (f->array)
		return encode_array(e, f, at);
	if (f->type == MSG_STRUCT && f->null_from <= f->null_to) {
		const void *target = *(const void *const *)at;
		write_u8(&e->out->w, target ? 1 : 0xff);
		return target ? encode_struct(e, f->shape, target) : ERR_OK;
	}
	return encode_value(e, f, msg_field_nullable(f, e->version), at);
}

static bool is_sent(const struct encoder *e, const struct msg_field *f, const void *message)
{
	return f->tag >= 0 && msg_field_in(f, e->version) && !msg_field_is_default(f, message);
}

/* A tagged field is preceded by its size, so it is built apart; such fields are few and small. */
static enum err encode_tag(struct encoder *e, const struct msg_field *f, const void *message)
{
	struct msg_out part;
	msg_out_init(&part, e->out->w.limit);
	part.copy = true;
	struct encoder inner = {&part, e->version, e->flexible};
	enum err err = encode_field(&inner, f, message);
	if (err == ERR_OK)
		err = part.w.err;
	if (err == ERR_OK) {
		write_uvarint64(&e->out->w, (uint64_t)f->tag);
		write_uvarint64(&e->out->w, part.w.len);
		write_bytes(&e->out->w, writer_bytes(&part.w));
	}
	msg_out_release(&part);
	return err;
}

static enum err encode_struct(struct encoder *e, const struct msg_shape *shape, const void *message)
{
	uint64_t tags = 0;
	for (size_t i = 0; i < shape->field_count; i++) {
		const struct msg_field *f = &shape->fields[i];
		if (msg_field_in(f, e->version) && f->tag < 0)
			TRY(encode_field(e, f, message));
		tags += is_sent(e, f, message);
	}
	if (!e->flexible)
		return ERR_OK;
	write_uvarint64(&e->out->w, tags);
	for (size_t i = 0; tags > 0 && i < shape->field_count; i++) {
		if (is_sent(e, &shape->fields[i], message))
			TRY(encode_tag(e, &shape->fields[i], message));
	}
	return ERR_OK;
}

enum err msg_encode(struct msg_form form, const void *message, struct msg_out *out)
{
	struct encoder e = {out, form.version, form.flexible};
	TRY(encode_struct(&e, form.shape, message));
	return out->w.err;
}
