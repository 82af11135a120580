/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* What fsck, salvage, import and export say, line by line; and a directory to ask them about. */
#include "test/lib/log_server.h"

extern char log_lines[1 << 16];                     /* each line ends with a newline */
void log_lines_clear(void);                         /* the error chain, too */
void log_lines_collect(void *ctx, struct str line); /* a log_print */
/* Asserts that the lines have this text, or have it not. */
void log_lines_say(const char *text);
void log_lines_say_not(const char *text);

/* Topic `t` of one partition: records of 8,000 bytes, all 'a' + offset, in four segments. */
enum { LOG_EXAMPLE_RECORDS = 24, LOG_EXAMPLE_VALUE_BYTES = 8000 };
void log_example_fill_t(struct log_server *s);
/* And `u` of two with one record. */
void log_example_fill(struct log_server *s);
