/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rot in kappa.conf (H6), and its end cut off (H7). A person writes it, so it has no checksum, and
 * some flips make another text that is as good. What must hold for every bit and every length:
 *
 *   refused   the error names the file and a line that was touched
 *   another   the settings of that line have other values (or their default), no other setting has
 *   same      in a comment, in white space
 */
#include "test/lib/tempdir.h"
#include "test/lib/test.h"
#include "tools/config.h"

#include <stdio.h>
#include <stdlib.h>

static const char reference[] = "# the server of the shop\n"
                                "listeners = PLAINTEXT://127.0.0.1:9092\n"
                                "kappa.http=127.0.0.1:9644\n"
                                "log.dirs=/var/lib/kappa\n"
                                "\n"
                                "; numbers\n"
                                "num.partitions=4\n"
                                "kappa.journal.bytes=268435456\n"
                                "connections.max.reauth.ms=60000\n"
                                "auto.create.topics.enable=false\n"
                                "log.retention.ms=-1\n"
                                "compression.type=lz4\n"
                                "super.users=User:a;User:b\n"
                                "kappa.durability=fsync\n";
enum { LEN = sizeof(reference) - 1 };

static char *dir, path[300];
static struct config as_written;

static enum err load(struct config *c, const char *text, size_t len)
{
	static const struct command command = {.noun = "serve", .args = ""};
	struct cli cli = {.command = &command, .given_count = 1};
	cli.given[0].name = "config";
	cli.given[0].value = path;
	FILE *f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
	err_clear();
	return config_load(c, &cli);
}

static int setup(void **state)
{
	(void)state;
	dir = tempdir_new();
	snprintf(path, sizeof(path), "%s/kappa.conf", dir);
	assert_int_equal(load(&as_written, reference, LEN), ERR_OK);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	config_release(&as_written);
	tempdir_remove(dir);
	return 0;
}

/* The line of a byte, from 1. */
static int line_of(size_t at)
{
	int line = 1;
	for (size_t i = 0; i < at; i++)
		line += reference[i] == '\n';
	return line;
}

/* What the line sets; "" = nothing. */
static void key_of(int line, char *key, size_t len)
{
	const char *at = reference;
	for (int i = 1; i < line && at; i++) {
		at = strchr(at, '\n');
		at = at ? at + 1 : NULL;
	}
	size_t n = at && *at != '#' && *at != ';' ? strcspn(at, " =\n") : 0;
	snprintf(key, len, "%.*s", (int)n, at ? at : "");
}

static bool of_lines(const char *key, int first, int last)
{
	for (int line = first; line <= last; line++) {
		char own[80];
		key_of(line, own, sizeof(own));
		if (strcmp(own, key) == 0)
			return true;
	}
	return false;
}

struct tally {
	unsigned refused, another, same;
};

/* Lines first..last were touched. */
static void judge(struct tally *t, const char *text, size_t len, int first, int last)
{
	struct config c;
	bool other = false;
	enum err err = load(&c, text, len);
	if (err != ERR_OK) {
		const char *said = strstr(err_chain(), "kappa.conf line ");
		int line = said ? (int)strtol(said + 16, NULL, 10) : 0;
		if (line < first || line > last)
			fail_msg("lines %d to %d were touched: %s", first, last, err_chain());
		t->refused++;
		return;
	}
	for (int k = 0; k < CONFIG_COUNT; k++) {
		if (strcmp(config_get(&c, (enum config_key)k),
		        config_get(&as_written, (enum config_key)k)) == 0)
			continue;
		other = true;
		if (!of_lines(config_name((enum config_key)k), first, last))
			fail_msg("lines %d to %d were touched, and %s is another", first, last,
			    config_name((enum config_key)k));
	}
	config_release(&c);
	t->another += other;
	t->same += !other;
}

static void every_flipped_bit_is_refused_or_stays_on_its_line(void **state)
{
	struct tally t = {0};
	(void)state;
	for (size_t bit = 0; bit < LEN * 8; bit++) {
		char text[LEN];
		memcpy(text, reference, LEN);
		text[bit / 8] = (char)(text[bit / 8] ^ (1 << bit % 8));
		int line = line_of(bit / 8);
		/* without its end a line goes on with the next */
		judge(&t, text, LEN, line, line + (reference[bit / 8] == '\n'));
	}
	printf("%u refused, %u another value, %u the same\n", t.refused, t.another, t.same);
	assert_true(t.refused > t.another && t.same > 0);
}

static void what_is_cut_off_is_missing_and_nothing_else(void **state)
{
	struct tally t = {0};
	int lines = line_of(LEN);
	(void)state;
	for (size_t len = 0; len < LEN; len++)
		judge(&t, reference, len, line_of(len), lines);
	assert_true(t.refused > 0 && t.another > 0);
}

static void bytes_behind_the_end_are_a_line_of_their_own(void **state)
{
	(void)state;
	for (int garbage = 0; garbage < 2; garbage++) {
		for (size_t more = 1; more < 200; more++) {
			struct tally t = {0};
			char text[LEN + 200];
			memcpy(text, reference, LEN);
			for (size_t i = 0; i < more; i++)
				text[LEN + i] = (char)(garbage ? (i * 167 + more) % 251 : 0);
			int last = line_of(LEN);
			for (size_t i = 0; i < more; i++)
				last += text[LEN + i] == '\n';
			judge(&t, text, LEN + more, line_of(LEN), last);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(every_flipped_bit_is_refused_or_stays_on_its_line),
	    TEST(what_is_cut_off_is_missing_and_nothing_else),
	    TEST(bytes_behind_the_end_are_a_line_of_their_own),
	};
	return cmocka_run_group_tests_name("config_flip", tests, NULL, NULL);
}
