/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON scanner: projected values, their unescaped text, and what it has learnt of the document
 * before: the same document again gives the same. In front of a zero byte the input is a path.
 */
#include "test/fuzz/fuzz.h"
#include "log/base/json.h"

enum { VALUES = 6 };

static bool same(const struct json_value *a, const struct json_value *b)
{
	return a->kind == b->kind && a->text.ptr == b->text.ptr && a->text.len == b->text.len &&
	       a->escaped == b->escaped && a->exact == b->exact;
}

static void scan(struct json_paths *paths, struct str doc)
{
	struct json_value first[VALUES], second[VALUES];
	struct arena arena;
	enum err err = json_scan(paths, doc, first);
	err_clear();
	ASSERT(json_scan(paths, doc, second) == err);
	err_clear();
	if (err != ERR_OK)
		return;
	ASSERT(json_is_valid(doc));
	arena_init(&arena, 4 * doc.len + 64 * KIB);
	for (int i = 0; i < VALUES; i++) {
		struct str text;
		ASSERT(same(&first[i], &second[i]));
		if (first[i].kind == JSON_STRING &&
		    json_unescape(&arena, first[i], &text) == ERR_OK)
			ASSERT(str_is_utf8(text) && text.len <= first[i].text.len);
		err_clear();
	}
	arena_release(&arena);
}

void json_fuzz(struct bytes in)
{
	static struct json_paths *paths;
	const struct json_path_spec fixed[VALUES] = {{STR("a"), false, false},
	    {STR("B"), false, true}, {STR("$.a.b"), true, true}, {STR("$.list[1].x"), true, false},
	    {STR("$.a"), true, true}, {STR("long_name_of_a_column"), false, false}};
	struct json_path_spec specs[VALUES];
	const uint8_t *zero = in.len > 0 ? memchr(in.ptr, 0, in.len) : NULL;
	struct json_paths *own;
	if (!paths)
		ASSERT(json_paths_new(fixed, VALUES, &paths) == ERR_OK);
	(void)json_is_valid(bytes_str(in));
	if (!zero) {
		scan(paths, bytes_str(in));
		return;
	}
	memcpy(specs, fixed, sizeof(specs));
	size_t at = (size_t)(zero - in.ptr);
	specs[0] =
	    (struct json_path_spec){bytes_str(bytes_slice(in, 0, at)), at % 2 == 0, at % 3 == 0};
	if (json_paths_new(specs, VALUES, &own) != ERR_OK) {
		err_clear();
		return;
	}
	scan(own, bytes_str(bytes_slice(in, at + 1, in.len)));
	json_paths_free(own);
}

void json_seeds(void (*emit)(void *ctx, struct bytes in), void *ctx)
{
	const struct str seeds[] = {
	    STR("{\"a\":{\"b\":1.5e3},\"list\":[0,{\"x\":\"\\u00e4\\ud83d\\ude00\"}],\"B\":null}"),
	    STR("\xef\xbb\xbf{ \"A\" : \"t\\\"\\n\" , \"a\" : [true,false,-0.1E+2,\"\"] }"),
	    STR("$.\"k\"[3]['q'].z\0{\"k\":[0,1,2,{\"q\":{\"z\":9}}]}"),
	    STR("{\"long_name_of_a_column\":\"x\",\"long_name_of_a_column\":\"y\"}"),
	    STR("[[[[[[1]]]]]]")};
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
		emit(ctx, str_bytes(seeds[i]));
}
