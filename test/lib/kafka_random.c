/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/kafka_random.h"

static uint64_t below(const struct kafka_random *k, uint64_t bound)
{
	return prng_below(k->rng, bound);
}

static struct bytes random_bytes(const struct kafka_random *k, size_t max)
{
	size_t len = below(k, max);
	uint8_t *p = arena_alloc(k->arena, len ? len : 1);
	ASSERT(p);
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)prng_u64(k->rng);
	return bytes_of(p, len);
}

static struct bytes random_slice(const struct kafka_random *k, const struct msg_field *f)
{
	if (f->type == MSG_STRING && k->name_count > 0 && (k->names_only || below(k, 8) > 0))
		return str_bytes(k->names[below(k, k->name_count)]);
	if (f->type == MSG_RECORDS && k->records_count > 0 && below(k, 8) > 0)
		return k->records[below(k, k->records_count)];
	return random_bytes(k, 40);
}

static uint64_t random_number(const struct kafka_random *k)
{
	static const int64_t usual[] = {0, 1, -1, 2, -2, 3, 4, 5, 100};
	if (k->tame && below(k, 8) > 0)
		return (uint64_t)usual[below(k, sizeof(usual) / sizeof(usual[0]))];
	return prng_u64(k->rng);
}

static void fill_number(const struct kafka_random *k, const struct msg_field *f, void *at)
{
	uint64_t number = random_number(k);
	if (f->type == MSG_BOOL)
		*(bool *)at = number & 1;
	else if (f->type == MSG_I8)
		*(int8_t *)at = (int8_t)number;
	else if (f->type == MSG_I16)
		*(int16_t *)at = (int16_t)number;
	else if (f->type == MSG_I32)
		*(int32_t *)at = (int32_t)number;
	else if (f->type == MSG_I64)
		*(int64_t *)at = (int64_t)number;
	else
		*(double *)at = (double)(int64_t)number / 8;
}

static void fill_value(
    const struct kafka_random *k, struct msg_form form, const struct msg_field *f, void *at)
{
	bool null = !f->array && msg_field_nullable(f, form.version) && below(k, 4) == 0;
	struct bytes b = null ? bytes_of(NULL, 0) : random_slice(k, f);
	switch ((enum msg_type)f->type) {
	case MSG_UUID:
		*(struct log_uuid *)at = (struct log_uuid){{(uint8_t)below(k, 256), 1}};
		break;
	case MSG_STRING:
		*(struct str *)at = bytes_str(b);
		break;
	case MSG_BYTES:
	case MSG_RECORDS:
		*(struct bytes *)at = b;
		break;
	case MSG_SLICES: {
		struct bytes *slices = arena_alloc(k->arena, 3 * sizeof(*slices));
		for (int i = 0; i < 3; i++)
			slices[i] = random_bytes(k, 40);
		*(struct msg_slices *)at = (struct msg_slices){null ? NULL : slices, null ? 0 : 3};
		break;
	}
	case MSG_STRUCT:
		form.shape = f->shape;
		kafka_random_fill(k, form, at);
		break;
	case MSG_BOOL:
	case MSG_I8:
	case MSG_I16:
	case MSG_I32:
	case MSG_I64:
	case MSG_F64:
		fill_number(k, f, at);
		break;
	}
}

static void fill_field(
    const struct kafka_random *k, struct msg_form form, const struct msg_field *f, void *at)
{
	bool null = msg_field_nullable(f, form.version) && below(k, 4) == 0;
	if (f->array) {
		uint32_t count = null ? 0 : (uint32_t)below(k, 4);
		size_t size = msg_type_size(f);
		char *items = arena_calloc(k->arena, count ? count : 1, size);
		for (uint32_t i = 0; i < count; i++)
			fill_value(k, form, f, items + i * size);
		*(struct msg_array *)at = (struct msg_array){null ? NULL : items, count};
	} else if (f->type == MSG_STRUCT && f->null_from <= f->null_to) {
		void *target = arena_calloc(k->arena, 1, f->shape->size);
		form.shape = f->shape;
		kafka_random_fill(k, form, target);
		*(void **)at = null ? NULL : target;
	} else {
		fill_value(k, form, f, at);
	}
}

void kafka_random_fill(const struct kafka_random *k, struct msg_form form, void *message)
{
	msg_init(form.shape, message);
	for (size_t i = 0; i < form.shape->field_count; i++) {
		const struct msg_field *f = &form.shape->fields[i];
		if (msg_field_in(f, form.version) && (f->tag < 0 || below(k, 2)))
			fill_field(k, form, f, (char *)message + f->offset);
	}
}
