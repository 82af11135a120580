/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generated tables and what decoder, encoder and printer share: look-up, defaults, comparison.
 */
#include "broker/kafka/codec.h"
#include "broker/kafka/message_tables.h"

_Static_assert(sizeof(struct msg_array) == sizeof(struct msg_slices), "all arrays have one layout");
_Static_assert(offsetof(struct produce_request, topic_data.count) -
                       offsetof(struct produce_request, topic_data.at) ==
                   offsetof(struct msg_array, count),
    "all arrays have one layout");

const struct msg_api *msg_api_find(int16_t key)
{
	for (size_t i = 0; i < msg_api_count; i++) {
		if (msg_apis[i].key == key && key >= 0)
			return &msg_apis[i];
	}
	return NULL;
}

const struct msg_api *msg_api_by_name(const char *name)
{
	for (size_t i = 0; i < msg_api_count; i++) {
		if (strcmp(msg_apis[i].name, name) == 0)
			return &msg_apis[i];
	}
	return NULL;
}

size_t msg_type_size(const struct msg_field *f)
{
	switch ((enum msg_type)f->type) {
	case MSG_BOOL:
		return sizeof(bool);
	case MSG_I8:
		return sizeof(int8_t);
	case MSG_I16:
		return sizeof(int16_t);
	case MSG_I32:
		return sizeof(int32_t);
	case MSG_I64:
		return sizeof(int64_t);
	case MSG_F64:
		return sizeof(double);
	case MSG_UUID:
		return sizeof(struct log_uuid);
	case MSG_STRING:
		return sizeof(struct str);
	case MSG_BYTES:
	case MSG_RECORDS:
		return sizeof(struct bytes);
	case MSG_SLICES:
		return sizeof(struct msg_slices);
	case MSG_STRUCT:
		return f->shape->size;
	}
	ASSERT(!"a message table names an unknown type");
	return 0;
}

/* True for a structure that is a pointer in its owner. */
static bool is_pointer(const struct msg_field *f)
{
	return f->type == MSG_STRUCT && !f->array && f->null_from <= f->null_to;
}

static void init_number(const struct msg_field *f, void *at)
{
	int64_t v = f->default_number;
	if (f->type == MSG_BOOL)
		*(bool *)at = v != 0;
	else if (f->type == MSG_I8)
		*(int8_t *)at = (int8_t)v;
	else if (f->type == MSG_I16)
		*(int16_t *)at = (int16_t)v;
	else if (f->type == MSG_I32)
		*(int32_t *)at = (int32_t)v;
	else if (f->type == MSG_I64)
		*(int64_t *)at = v;
}

/* Only there it matters whether an array is null or empty before anybody has written to it. */
static bool is_tagged_nullable(const struct msg_field *f)
{
	return f->tag >= 0 && f->null_from <= f->null_to;
}

void msg_init(const struct msg_shape *shape, void *ret_message)
{
	static char empty[1];
	memset(ret_message, 0, shape->size);
	for (size_t i = 0; i < shape->field_count; i++) {
		const struct msg_field *f = &shape->fields[i];
		void *at = (char *)ret_message + f->offset;
		if (f->array && is_tagged_nullable(f) && !f->default_null)
			((struct msg_array *)at)->at = empty;
		if (f->array || is_pointer(f))
			continue;
		if (f->type == MSG_STRUCT)
			msg_init(f->shape, at);
		else if (f->default_number != 0)
			init_number(f, at);
	}
}

void *msg_new_array(const struct msg_shape *shape, size_t count, struct arena *arena)
{
	ASSERT(shape->size > 0);
	if (count > SIZE_MAX / shape->size)
		return NULL;
	char *items = arena_alloc(arena, count ? count * shape->size : 1);
	for (size_t i = 0; items && i < count; i++)
		msg_init(shape, items + i * shape->size);
	return items;
}

static int64_t number_at(const struct msg_field *f, const void *at)
{
	int64_t bits;
	switch ((enum msg_type)f->type) {
	case MSG_BOOL:
		return *(const bool *)at;
	case MSG_I8:
		return *(const int8_t *)at;
	case MSG_I16:
		return *(const int16_t *)at;
	case MSG_I32:
		return *(const int32_t *)at;
	case MSG_I64:
		return *(const int64_t *)at;
	case MSG_F64:
		memcpy(&bits, at, sizeof(bits));
		return bits;
	case MSG_UUID:
	case MSG_STRING:
	case MSG_BYTES:
	case MSG_RECORDS:
	case MSG_SLICES:
	case MSG_STRUCT:
		break;
	}
	ASSERT(!"not a number");
	return 0;
}

bool msg_field_is_default(const struct msg_field *f, const void *message)
{
	const char *at = (const char *)message + f->offset;
	if (f->array || f->type == MSG_SLICES) {
		const struct msg_array *a = (const void *)at;
		return a->count == 0 && (!is_tagged_nullable(f) || !a->at == f->default_null);
	}
	switch ((enum msg_type)f->type) {
	case MSG_UUID:
		return log_uuid_is_zero(*(const struct log_uuid *)(const void *)at);
	case MSG_STRING: {
		const struct str *s = (const struct str *)(const void *)at;
		return !s->ptr || (s->len == 0 && !f->default_null);
	}
	case MSG_BYTES:
	case MSG_RECORDS: {
		const struct bytes *b = (const struct bytes *)(const void *)at;
		return !b->ptr || (b->len == 0 && !f->default_null);
	}
	case MSG_STRUCT:
		if (is_pointer(f))
			return *(const void *const *)(const void *)at == NULL;
		for (size_t i = 0; i < f->shape->field_count; i++) {
			if (!msg_field_is_default(&f->shape->fields[i], at))
				return false;
		}
		return true;
	case MSG_BOOL:
	case MSG_I8:
	case MSG_I16:
	case MSG_I32:
	case MSG_I64:
	case MSG_F64:
	case MSG_SLICES:
		break;
	}
	return number_at(f, at) == f->default_number;
}

/* ---- comparison ------------------------------------------------------------------------------ */

static bool slices_equal(const struct msg_slices *a, const struct msg_slices *b)
{
	size_t i = 0, j = 0, at_i = 0, at_j = 0;
	if ((a->at == NULL) != (b->at == NULL))
		return false;
	for (;;) {
		for (; i < a->count && at_i == a->at[i].len; i++)
			at_i = 0;
		for (; j < b->count && at_j == b->at[j].len; j++)
			at_j = 0;
		if (i == a->count || j == b->count)
			return i == a->count && j == b->count;
		if (a->at[i].ptr[at_i++] != b->at[j].ptr[at_j++])
			return false;
	}
}

static bool value_equal(
    struct msg_form form, const struct msg_field *f, const void *a, const void *b)
{
	const struct str *s = a, *t = b;
	const struct bytes *x = a, *y = b;
	bool nullable = msg_field_nullable(f, form.version) && !f->array;
	switch ((enum msg_type)f->type) {
	case MSG_UUID:
		return log_uuid_equal(*(const struct log_uuid *)a, *(const struct log_uuid *)b);
	case MSG_STRING:
		return str_equal(*s, *t) && (!nullable || (s->ptr == NULL) == (t->ptr == NULL));
	case MSG_BYTES:
	case MSG_RECORDS:
		return bytes_equal(*x, *y) && (!nullable || (x->ptr == NULL) == (y->ptr == NULL));
	case MSG_SLICES:
		return slices_equal(a, b);
	case MSG_STRUCT:
		form.shape = f->shape;
		return msg_equal(form, a, b);
	case MSG_BOOL:
	case MSG_I8:
	case MSG_I16:
	case MSG_I32:
	case MSG_I64:
	case MSG_F64:
		break;
	}
	return number_at(f, a) == number_at(f, b);
}

static bool array_equal(
    struct msg_form form, const struct msg_field *f, const void *a, const void *b)
{
	const struct msg_array *x = a, *y = b;
	if (x->count != y->count)
		return false;
	if (msg_field_nullable(f, form.version) && (x->at == NULL) != (y->at == NULL))
		return false;
	size_t size = msg_type_size(f);
	for (uint32_t i = 0; i < x->count; i++) {
		if (!value_equal(
		        form, f, (const char *)x->at + i * size, (const char *)y->at + i * size))
			return false;
	}
	return true;
}

bool msg_equal(struct msg_form form, const void *a, const void *b)
{
	for (size_t i = 0; i < form.shape->field_count; i++) {
		const struct msg_field *f = &form.shape->fields[i];
		const void *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
		if (!msg_field_in(f, form.version))
			continue;
		if (is_pointer(f)) {
			x = *(const void *const *)x;
			y = *(const void *const *)y;
			if ((x == NULL) != (y == NULL))
				return false;
			if (!x)
				continue;
		}
		if (f->array ? !array_equal(form, f, x, y) : !value_equal(form, f, x, y))
			return false;
	}
	return true;
}
