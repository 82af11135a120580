/* SPDX-License-Identifier: Apache-2.0 */
#include "test/lib/log_lines.h"
#include <stdio.h>

char log_lines[1 << 16];

void log_lines_clear(void)
{
	log_lines[0] = '\0';
	err_clear();
}

void log_lines_collect(void *ctx, struct str line)
{
	(void)ctx;
	size_t len = strlen(log_lines);
	assert_true(len + line.len + 2 < sizeof(log_lines));
	snprintf(log_lines + len, sizeof(log_lines) - len, STR_FMT "\n", STR_ARG(line));
}

void log_lines_say(const char *text)
{
	if (!strstr(log_lines, text))
		fail_msg("no \"%s\" in:\n%s", text, log_lines);
}

void log_lines_say_not(const char *text)
{
	if (strstr(log_lines, text))
		fail_msg("\"%s\" in:\n%s", text, log_lines);
}

void log_example_fill_t(struct log_server *s)
{
	const char *const configs[] = {"segment.bytes=65536", NULL};
	char value[LOG_EXAMPLE_VALUE_BYTES];
	log_server_create(s, "t", 1, configs);
	for (int i = 0; i < LOG_EXAMPLE_RECORDS; i++) {
		memset(value, 'a' + i, sizeof(value));
		value[sizeof(value) - 1] = '\0';
		log_server_append(s, "t", 0, value);
	}
}

void log_example_fill(struct log_server *s)
{
	log_example_fill_t(s);
	log_server_create(s, "u", 2, NULL);
	log_server_append(s, "u", 1, "one");
}
