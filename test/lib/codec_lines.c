/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/codec_lines.h"
#include "test/lib/kafka_random.h"
#include <stdio.h>

static const struct msg_shape *shape_of(const struct msg_api *api, struct str kind)
{
	if (str_equal(kind, STR("data")))
		return api->key < 0 ? api->request : NULL;
	if (api->key < 0)
		return NULL;
	if (str_equal(kind, STR("request")))
		return api->request;
	return str_equal(kind, STR("response")) ? api->response : NULL;
}

/* ---- verifying ------------------------------------------------------------------------------- */

static struct str word(struct str *rest)
{
	size_t n = 0;
	while (n < rest->len && rest->ptr[n] != ' ')
		n++;
	struct str w = str_from(rest->ptr, n);
	n += n < rest->len;
	*rest = str_from(rest->ptr + n, rest->len - n);
	return w;
}

static int digit(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static struct bytes from_hex(struct str hex, struct arena *arena)
{
	uint8_t *p = arena_alloc(arena, hex.len / 2 + 1);
	ASSERT(p && hex.len % 2 == 0);
	for (size_t i = 0; i < hex.len / 2; i++)
		p[i] = (uint8_t)(digit(hex.ptr[2 * i]) << 4 | digit(hex.ptr[2 * i + 1]));
	return bytes_of(p, hex.len / 2);
}

static void to_hex(struct bytes b, struct writer *out)
{
	for (size_t i = 0; i < b.len; i++)
		write_printf(out, "%02x", b.ptr[i]);
}

/* Why the message is not the same; NULL when it is. */
static const char *check(struct msg_form form, struct bytes in, struct arena *arena)
{
	static char why[300];
	struct reader r = reader_of(in);
	struct msg_out out;
	void *message = arena_calloc(arena, 1, form.shape->size);
	err_clear();
	enum err err = msg_decode(form, &r, arena, message);
	if (err != ERR_OK) {
		snprintf(why, sizeof(why), "%s: %s", err_name(err), err_chain());
		return why;
	}
	if (reader_left(&r) > 0)
		return "bytes are left";
	msg_out_init(&out, 64 * MIB);
	out.copy = true;
	err = msg_encode(form, message, &out);
	const char *bad = err != ERR_OK ? err_name(err)
	                  : bytes_compare(writer_bytes(&out.w), in) != 0
	                      ? "written again it is different"
	                      : NULL;
	msg_out_release(&out);
	return bad;
}

static const char *check_line(struct str line, struct arena *arena)
{
	char name[80];
	int64_t version;
	struct str w = word(&line), kind = word(&line);
	snprintf(name, sizeof(name), STR_FMT, STR_ARG(w));
	const struct msg_api *api = msg_api_by_name(name);
	const struct msg_shape *shape = api ? shape_of(api, kind) : NULL;
	if (!shape || !str_to_i64(word(&line), &version))
		return "there is no such message";
	struct msg_form form = {shape, (int16_t)version, version >= api->flexible};
	return check(form, from_hex(line, arena), arena);
}

void codec_lines_verify(struct codec_lines *l, struct str text)
{
	struct arena arena;
	arena_init(&arena, 64 * MIB);
	while (text.len > 0) {
		const char *end = memchr(text.ptr, '\n', text.len);
		size_t len = end ? (size_t)(end - text.ptr) : text.len;
		struct str line = str_from(text.ptr, len);
		text = str_from(text.ptr + len + (end != NULL), text.len - len - (end != NULL));
		const char *bad = check_line(line, &arena);
		l->same += !bad;
		if (bad && l->different++ < 20)
			printf(STR_FMT "\n  %s\n", STR_ARG(line), bad);
		arena_clear(&arena);
	}
	arena_release(&arena);
}

/* ---- making ---------------------------------------------------------------------------------- */

void codec_lines_list(struct writer *out)
{
	for (size_t i = 0; i < msg_api_count; i++) {
		const struct msg_api *a = &msg_apis[i];
		if (a->key < 0)
			write_printf(out, "%s data %d %d\n", a->name, a->min, a->max);
		else
			write_printf(out, "%s request %d %d\n%s response %d %d\n", a->name, a->min,
			    a->max, a->name, a->min, a->max);
	}
}

static void generate(struct kafka_random *k, const char *name, const char *kind,
    struct msg_form form, struct writer *out)
{
	struct msg_out message;
	void *body = arena_calloc(k->arena, 1, form.shape->size);
	kafka_random_fill(k, form, body);
	msg_out_init(&message, 64 * MIB);
	message.copy = true;
	ASSERT(msg_encode(form, body, &message) == ERR_OK);
	write_printf(out, "%s %s %d ", name, kind, form.version);
	to_hex(writer_bytes(&message.w), out);
	write_u8(out, '\n');
	msg_out_release(&message);
}

void codec_lines_generate(uint64_t seed, int count, struct writer *out)
{
	static const struct str names[] = {
	    {"", 0}, {"a", 1}, {"topic-1", 7}, {"\xc3\xa4\xe2\x82\xac", 5}};
	struct arena arena;
	struct prng rng;
	struct kafka_random k = {.rng = &rng,
	    .arena = &arena,
	    .names = names,
	    .name_count = sizeof(names) / sizeof(names[0]),
	    .names_only = true};
	prng_init(&rng, seed);
	arena_init(&arena, 64 * MIB);
	for (size_t i = 0; i < msg_api_count; i++) {
		const struct msg_api *a = &msg_apis[i];
		for (int n = 0; n < count * (a->max - a->min + 1); n++) {
			int16_t v = (int16_t)(a->min + n / count);
			bool flexible = v >= a->flexible;
			generate(&k, a->name, a->key < 0 ? "data" : "request",
			    (struct msg_form){a->request, v, flexible}, out);
			if (a->key >= 0)
				generate(&k, a->name, "response",
				    (struct msg_form){a->response, v, flexible}, out);
			arena_clear(&arena);
		}
	}
	arena_release(&arena);
}
