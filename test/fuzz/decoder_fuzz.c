/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every request, response and record of the message table: the first three bytes choose which, the
 * rest is decoded. What can be decoded can be written, and read again to the same.
 */
#include "test/fuzz/fuzz.h"
#include "test/lib/kafka_random.h"

static struct msg_form form_of(struct reader *r)
{
	const struct msg_api *a = &msg_apis[read_u8(r) % msg_api_count];
	int16_t version = (int16_t)(a->min + read_u8(r) % (a->max - a->min + 1));
	bool response = (read_u8(r) & 1) && a->response;
	return response ? msg_response_form(a, version) : msg_request_form(a, version);
}

void decoder_fuzz(struct bytes in)
{
	struct reader r = reader_of(in);
	struct msg_form form = form_of(&r);
	struct arena arena, again;
	struct msg_out out;
	size_t left = reader_left(&r);
	if (r.bad)
		return;
	arena_init(&arena, msg_arena_limit(left));
	arena_init(&again, GIB);
	msg_out_init(&out, GIB);
	out.copy = true;
	void *first = mem_calloc(1, form.shape->size), *second = mem_calloc(1, form.shape->size);
	ASSERT(first && second);
	if (msg_decode(form, &r, &arena, first) == ERR_OK) {
		ASSERT(msg_encode(form, first, &out) == ERR_OK);
		struct reader back = reader_of(writer_bytes(&out.w));
		ASSERT(msg_decode(form, &back, &again, second) == ERR_OK);
		ASSERT(reader_left(&back) == 0 && msg_equal(form, first, second));
		writer_clear(&out.w);
		msg_print(form, first, &out.w);
	}
	ASSERT(arena.used_bytes <= arena.limit_bytes);
	err_clear();
	mem_free(first);
	mem_free(second);
	msg_out_release(&out);
	arena_release(&arena);
	arena_release(&again);
}

void decoder_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	struct arena arena;
	struct prng rng;
	struct kafka_random k = {.rng = &rng, .arena = &arena, .tame = true};
	prng_init(&rng, 1);
	arena_init(&arena, 64 * MIB);
	for (size_t i = 0; i < 2 * msg_api_count; i++) {
		const struct msg_api *a = &msg_apis[i / 2];
		bool response = (i & 1) && a->response;
		struct msg_form form =
		    response ? msg_response_form(a, a->max) : msg_request_form(a, a->max);
		struct msg_out out;
		void *message = arena_calloc(&arena, 1, form.shape->size);
		kafka_random_fill(&k, form, message);
		msg_out_init(&out, MIB);
		out.copy = true;
		write_u8(&out.w, (uint8_t)(i / 2));
		write_u8(&out.w, (uint8_t)(a->max - a->min));
		write_u8(&out.w, i & 1);
		ASSERT(msg_encode(form, message, &out) == ERR_OK);
		emit(ctx, writer_bytes(&out.w));
		msg_out_release(&out);
		arena_clear(&arena);
	}
	arena_release(&arena);
}
