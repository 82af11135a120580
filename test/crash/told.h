/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What the operator would have read: warnings and errors of the log, counted by event. Programs
 * that use it are linked with --wrap=diag; nothing is written.
 */
#include "log/base/base.h"

enum { TOLD_EVENTS_MAX = 64 };
struct told {
	struct {
		char name[24];
		unsigned lines;
	} event[TOLD_EVENTS_MAX];
	char last[512]; /* the line told last */
};
extern struct told told;
extern bool told_deaf;    /* what is said now does not count */
extern bool told_verbose; /* and goes to stdout */
void told_clear(void);
/* An event that was told more often than in `usual`. */
bool told_more(const struct told *usual);
/* Those events in the order of the alphabet, with "+" between them. */
void told_names(const struct told *usual, char *text, size_t len);
