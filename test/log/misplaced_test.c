/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames and segments whose checksums hold and that stand where others were written: a misdirected
 * or lost write, a file that was put back or renamed. fsck says what is wrong and where.
 */
#include "log/batch.h"
#include "log/frame.h"
#include "test/lib/log_files.h"
#include "test/lib/log_lines.h"
#include <stdio.h>

static struct log_server server;
static struct log_files files;

static int setup(void **state)
{
	(void)state;
	log_server_init(&server);
	log_example_fill(&server);
	log_server_close(&server);
	files = (struct log_files){server.io, server.dir};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_server_release(&server);
	err_clear();
	return 0;
}

static void says(const char *text)
{
	const struct log_fsck_options options = {0};
	log_lines_clear();
	assert_int_equal(
	    log_fsck(server.io, server.dir, &options, log_lines_collect, NULL), ERR_CORRUPT);
	log_lines_say(text);
}

/* ---- one frame ------------------------------------------------------------------------------- */

/* The second frame of t-0, taken apart; put() writes it again, checksums and all. */
struct forged {
	const char *name;
	struct bytes file;
	struct frame_seed seed;
	struct frame f;
	uint64_t previous;
	uint32_t pos;
	uint8_t *body;
};

static struct forged take(void)
{
	struct forged x = {.name = log_files_segment("t-0", 0, ".log")};
	struct segment_header h;
	assert_int_equal(
	    io_read_file(server.io, log_files_path(&files, x.name), MIB, &x.file), ERR_OK);
	assert_int_equal(segment_header_decode(x.file.ptr, &h), ERR_OK);
	x.seed = frame_seed_of(h.seed);
	x.pos = SEGMENT_HEADER_BYTES;
	assert_int_equal(frame_decode(x.file.ptr + x.pos, x.seed, &x.f), ERR_OK);
	x.previous = x.f.link;
	x.pos += FRAME_HEADER_BYTES + x.f.length;
	assert_int_equal(frame_decode(x.file.ptr + x.pos, x.seed, &x.f), ERR_OK);
	x.body = (uint8_t *)(uintptr_t)x.file.ptr + x.pos + FRAME_HEADER_BYTES;
	return x;
}

static void put(struct forged *x)
{
	frame_encode(&x->f, x->seed, x->previous, bytes_of(x->body, x->f.length),
	    x->body - FRAME_HEADER_BYTES);
	assert_int_equal(
	    io_write_file(server.io, log_files_path(&files, x->name), x->file), ERR_OK);
	mem_free((void *)(uintptr_t)x->file.ptr);
}

static void it_says_of_the_frame(const struct forged *x, const char *reason)
{
	char at[64];
	says(reason);
	snprintf(at, sizeof(at), "verdict=DAMAGED partition=t-0 segment=0 pos=%u ", x->pos);
	log_lines_say(at);
}

static void a_frame_behind_another_one_is_told(void **state)
{
	struct forged x = take();
	(void)state;
	x.previous++;
	put(&x);
	it_says_of_the_frame(&x, "reason=\"does not follow the frame before it\"");
}

static void offsets_that_jump_are_told(void **state)
{
	struct forged x = take();
	(void)state;
	x.f.base_offset = 7;
	put_u64_be(x.body, 7); /* not under the batch's CRC */
	put(&x);
	it_says_of_the_frame(&x, "reason=\"offsets are not contiguous\"");
}

static void a_sequence_that_comes_again_is_told(void **state)
{
	struct forged x = take();
	(void)state;
	x.f.sequence--;
	put(&x);
	it_says_of_the_frame(&x, "reason=\"sequence does not ascend\"");
	log_lines_say("reason=\"another batch has this sequence\"");
}

static void a_frame_of_another_offset_than_its_batch_is_told(void **state)
{
	struct forged x = take();
	(void)state;
	x.f.last_offset_delta = 3;
	put(&x);
	it_says_of_the_frame(&x, "reason=\"batch and frame differ in offsets\"");
}

static void a_body_that_is_no_batch_is_told(void **state)
{
	struct forged x = take();
	(void)state;
	x.body[16] = 9; /* magic */
	put(&x);
	it_says_of_the_frame(&x, "reason=\"not a record batch\"");
}

static void a_batch_that_rotted_before_it_was_framed_is_told(void **state)
{
	struct forged x = take();
	(void)state;
	x.body[x.f.length - 1] ^= 1;
	put(&x);
	it_says_of_the_frame(&x, "reason=\"CRC of the batch\"");
}

static void padding_with_something_in_it_is_told(void **state)
{
	struct forged x = take();
	(void)state;
	uint32_t length = x.f.length;
	x.f = (struct frame){.version = FRAME_VERSION,
	    .flags = FRAME_PAD,
	    .length = length,
	    .base_offset = x.f.base_offset};
	frame_encode(&x.f, x.seed, x.previous, bytes_of("", 0), x.body - FRAME_HEADER_BYTES);
	assert_int_equal(io_write_file(server.io, log_files_path(&files, x.name), x.file), ERR_OK);
	mem_free((void *)(uintptr_t)x.file.ptr);
	it_says_of_the_frame(&x, "reason=\"padding is not zero\"");
}

/* ---- one segment ----------------------------------------------------------------------------- */

static void rename_segment(const char *from, const char *to)
{
	assert_int_equal(
	    io_rename(server.io, log_files_path(&files, from), log_files_path(&files, to)), ERR_OK);
}

static void a_segment_under_another_name_is_told(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 1);
	rename_segment(
	    log_files_segment("t-0", base, ".log"), log_files_segment("t-0", base + 1, ".log"));
	says("reason=\"the header has another base offset\"");
}

static void a_segment_of_another_partition_is_told(void **state)
{
	(void)state;
	log_files_unlink(
	    &files, log_files_segment("t-0", log_files_base(&files, "t-0", 1), ".log"));
	rename_segment("topics/u-1/00000000000000000000.log",
	    log_files_segment("t-0", log_files_base(&files, "t-0", 1) - 1, ".log"));
	says("verdict=DAMAGED partition=t-0 segment=");
	log_lines_say("verdict=LOST_SUFFIX partition=u-1 ");
}

/* Its header with `change` done to it, sealed anew. */
static void forge_header(const char *name, void (*change)(struct segment_header *h))
{
	struct bytes file;
	struct segment_header h;
	char topic[TOPIC_NAME_MAX + 1];
	assert_int_equal(io_read_file(server.io, log_files_path(&files, name), MIB, &file), ERR_OK);
	assert_int_equal(segment_header_decode(file.ptr, &h), ERR_OK);
	snprintf(topic, sizeof(topic), STR_FMT, STR_ARG(h.topic_name));
	h.topic_name = str_of(topic);
	change(&h);
	segment_header_encode(&h, (uint8_t *)(uintptr_t)file.ptr);
	assert_int_equal(io_write_file(server.io, log_files_path(&files, name), file), ERR_OK);
	mem_free((void *)(uintptr_t)file.ptr);
}

static void other_link(struct segment_header *h)
{
	h->previous_link++;
}

static void other_partition(struct segment_header *h)
{
	h->partition = 5;
}

static void a_segment_behind_another_one_is_told(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 2);
	forge_header(log_files_segment("t-0", base, ".log"), other_link);
	says("reason=\"does not follow the segment before it\"");
}

static void a_segment_that_says_it_is_of_another_partition_is_told(void **state)
{
	(void)state;
	int64_t base = log_files_base(&files, "t-0", 2);
	forge_header(log_files_segment("t-0", base, ".log"), other_partition);
	says("reason=\"the header is of another partition\"");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(a_frame_behind_another_one_is_told),
	    TEST(offsets_that_jump_are_told),
	    TEST(a_sequence_that_comes_again_is_told),
	    TEST(a_frame_of_another_offset_than_its_batch_is_told),
	    TEST(a_body_that_is_no_batch_is_told),
	    TEST(a_batch_that_rotted_before_it_was_framed_is_told),
	    TEST(padding_with_something_in_it_is_told),
	    TEST(a_segment_under_another_name_is_told),
	    TEST(a_segment_of_another_partition_is_told),
	    TEST(a_segment_behind_another_one_is_told),
	    TEST(a_segment_that_says_it_is_of_another_partition_is_told),
	};
	return cmocka_run_group_tests_name("misplaced", tests, NULL, NULL);
}
