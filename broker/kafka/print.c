/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as JSON for people: `kappa dump`, debugging, failed tests. Strings are hostile input:
 * anything that is not printable ASCII is escaped.
 */
#include "broker/kafka/codec.h"

enum { PRINTED_BYTES_MAX = 64 };

static void print_string(struct writer *out, struct str s)
{
	if (!s.ptr) {
		write_cstr(out, "null");
		return;
	}
	write_u8(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.ptr[i];
		if (c == '"' || c == '\\')
			write_printf(out, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			write_printf(out, "\\u%04x", c);
		else
			write_u8(out, c);
	}
	write_u8(out, '"');
}

static void print_hex(struct writer *out, struct bytes b)
{
	if (!b.ptr) {
		write_cstr(out, "null");
		return;
	}
	write_u8(out, '"');
	for (size_t i = 0; i < b.len && i < PRINTED_BYTES_MAX; i++)
		write_printf(out, "%02x", b.ptr[i]);
	if (b.len > PRINTED_BYTES_MAX)
		write_printf(out, "... %zu bytes", b.len);
	write_u8(out, '"');
}

static void print_slices(struct writer *out, const struct msg_slices *s)
{
	size_t total = 0;
	for (uint32_t i = 0; i < s->count; i++)
		total += s->at[i].len;
	if (s->at)
		write_printf(out, "{\"bytes\":%zu}", total);
	else
		write_cstr(out, "null");
}

static void print_value(
    struct msg_form form, const struct msg_field *f, const void *at, struct writer *out)
{
	const struct bytes *b = at;
	switch ((enum msg_type)f->type) {
	case MSG_BOOL:
		write_cstr(out, *(const bool *)at ? "true" : "false");
		break;
	case MSG_I8:
		write_printf(out, "%d", *(const int8_t *)at);
		break;
	case MSG_I16:
		write_printf(out, "%d", *(const int16_t *)at);
		break;
	case MSG_I32:
		write_printf(out, "%d", *(const int32_t *)at);
		break;
	case MSG_I64:
		write_printf(out, "%lld", (long long)*(const int64_t *)at);
		break;
	case MSG_F64:
		write_printf(out, "%.17g", *(const double *)at);
		break;
	case MSG_UUID:
		print_hex(out, bytes_of(at, sizeof(struct log_uuid)));
		break;
	case MSG_STRING:
		print_string(out, *(const struct str *)at);
		break;
	case MSG_BYTES:
		print_hex(out, *b);
		break;
	case MSG_RECORDS:
		print_slices(out, &(struct msg_slices){b->ptr ? b : NULL, b->ptr ? 1 : 0});
		break;
	case MSG_SLICES:
		print_slices(out, at);
		break;
	case MSG_STRUCT:
		form.shape = f->shape;
		msg_print(form, at, out);
		break;
	}
}

static void print_array(struct msg_form form, const struct msg_field *f,
    const struct msg_array *array, struct writer *out)
{
	size_t size = msg_type_size(f);
	if (!array->at && msg_field_nullable(f, form.version)) {
		write_cstr(out, "null");
		return;
	}
	write_u8(out, '[');
	for (uint32_t i = 0; i < array->count; i++) {
		if (i > 0)
			write_u8(out, ',');
		print_value(form, f, (const char *)array->at + i * size, out);
	}
	write_u8(out, ']');
}

void msg_print(struct msg_form form, const void *message, struct writer *out)
{
	bool first = true;
	write_u8(out, '{');
	for (size_t i = 0; i < form.shape->field_count; i++) {
		const struct msg_field *f = &form.shape->fields[i];
		const void *at = (const char *)message + f->offset;
		if (!msg_field_in(f, form.version))
			continue;
		write_printf(out, "%s\"%s\":", first ? "" : ",", f->name);
		first = false;
		if (f->array) {
			print_array(form, f, at, out);
		} else if (f->type == MSG_STRUCT && f->null_from <= f->null_to) {
			const void *target = *(const void *const *)at;
			if (target)
				print_value(form, f, target, out);
			else
				write_cstr(out, "null");
		} else {
			print_value(form, f, at, out);
		}
	}
	write_u8(out, '}');
}
