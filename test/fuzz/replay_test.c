/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kept inputs of each fuzz target (test/fuzz/corpus/NAME.hex, one per line), cut off anywhere
 * and changed here and there: what a campaign has found stays found. Also unpacks and packs them:
 *   replay_test seeds|unpack NAME DIR     one file per input, for libFuzzer
 *   replay_test pack NAME DIR             all files of DIR as NAME.hex on stdout
 */
#include "test/fuzz/fuzz.h"
#include "test/lib/seed.h"
#include "test/lib/test.h"
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 1 << 20 };

static struct prng rng;
static struct io *io;

/* ---- kept inputs ----------------------------------------------------------------------------- */

static int digit(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static void each_line(const char *name, void (*fn)(void *ctx, struct bytes in), void *ctx)
{
	static uint8_t in[INPUT_MAX];
	char path[200];
	struct bytes text;
	size_t len = 0;
	snprintf(path, sizeof(path), "test/fuzz/corpus/%s.hex", name);
	assert_int_equal(io_read_file(io, path, 64 * MIB, &text), ERR_OK);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] == '\n') {
			fn(ctx, bytes_of(in, len));
			len = 0;
			continue;
		}
		assert_true(i + 1 < text.len && len < sizeof(in));
		in[len++] = (uint8_t)(digit((char)text.ptr[i]) << 4 | digit((char)text.ptr[i + 1]));
		i++;
	}
	mem_free((void *)(uintptr_t)text.ptr);
}

/* ---- replay ---------------------------------------------------------------------------------- */

struct replay {
	const struct fuzz_target *target;
	unsigned inputs;
};

/* In memory of exactly its size: what is read behind it is seen. */
static void run_copy(const struct fuzz_target *t, struct bytes in, bool bend)
{
	uint8_t *p = malloc(in.len ? in.len : 1);
	assert_non_null(p);
	memcpy(p, in.ptr, in.len);
	for (uint64_t n = bend && in.len > 0 ? 1 + prng_below(&rng, 4) : 0; n > 0; n--)
		p[prng_below(&rng, in.len)] =
		    (uint8_t)(prng_below(&rng, 2) ? 0xff * prng_below(&rng, 2) : prng_u64(&rng));
	t->run(bytes_of(p, in.len));
	free(p);
}

static void replay_input(void *ctx, struct bytes in)
{
	struct replay *r = ctx;
	unsigned changes = getenv("KAPPA_TEST_SMALL") ? r->target->changes / 4 : r->target->changes;
	r->inputs++;
	run_copy(r->target, in, false);
	for (unsigned i = 0; i < changes; i++) {
		size_t len = i % 3 ? in.len : prng_below(&rng, in.len + 1);
		run_copy(r->target, bytes_slice(in, 0, len), i % 3 > 0);
	}
}

static void replay(void **state)
{
	struct replay r = {.target = *state};
	each_line(r.target->name, replay_input, &r);
	assert_true(r.inputs > 0);
}

static int replay_all(void)
{
	struct CMUnitTest tests[16] = {0};
	static char names[16][64];
	assert_true(fuzz_target_count <= 16);
	prng_init(&rng, test_seed(20260701));
	for (size_t i = 0; i < fuzz_target_count; i++) {
		snprintf(names[i], sizeof(names[i]), "kept_inputs_of_%s", fuzz_targets[i].name);
		tests[i] = (struct CMUnitTest){.name = names[i],
		    .test_func = replay,
		    .initial_state = (void *)(uintptr_t)&fuzz_targets[i]};
	}
	return _cmocka_run_group_tests("replay", tests, fuzz_target_count, NULL, NULL);
}

/* ---- files ----------------------------------------------------------------------------------- */

struct files {
	const char *dir;
	unsigned count;
};

static void write_input(void *ctx, struct bytes in)
{
	struct files *f = ctx;
	char path[400];
	snprintf(path, sizeof(path), "%s/kept-%04u", f->dir, f->count++);
	FILE *out = fopen(path, "wb");
	ASSERT(out && fwrite(in.ptr, 1, in.len, out) == in.len && fclose(out) == 0);
}

static int pack(const char *dir)
{
	struct io_names names;
	ASSERT(io_list(io, dir, &names) == ERR_OK);
	for (size_t i = 0; i < names.count; i++) {
		char path[400];
		struct bytes in;
		snprintf(path, sizeof(path), "%s/%s", dir, names.name[i]);
		ASSERT(io_read_file(io, path, INPUT_MAX, &in) == ERR_OK);
		for (size_t k = 0; k < in.len; k++)
			printf("%02x", in.ptr[k]);
		printf("\n");
		mem_free((void *)(uintptr_t)in.ptr);
	}
	io_names_release(&names);
	return 0;
}

int main(int argc, char **argv)
{
	diag_set_level(DIAG_ERROR);
	if (io_new("threads", &io) != ERR_OK)
		return 1;
	if (argc != 4)
		return replay_all();
	const struct fuzz_target *t = fuzz_target_find(argv[2]);
	struct files f = {.dir = argv[3]};
	if (!t)
		return 1;
	if (strcmp(argv[1], "seeds") == 0)
		t->seeds(write_input, &f);
	else if (strcmp(argv[1], "unpack") == 0)
		each_line(t->name, write_input, &f);
	else
		return pack(argv[3]);
	return 0;
}
