/* SPDX-License-Identifier: Apache-2.0 */
#include "test/crash/told.h"

#include <stdarg.h>
#include <stdio.h>

struct told told;
bool told_deaf, told_verbose;

void __wrap_diag(enum diag_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);
void __wrap_diag(enum diag_level level, const char *event, const char *fmt, ...)
{
	va_list args;
	int i = 0;
	if (level < DIAG_WARN || told_deaf)
		return;
	while (told.event[i].name[0] && strcmp(told.event[i].name, event) != 0)
		i++;
	ASSERT(i < TOLD_EVENTS_MAX - 1);
	snprintf(told.event[i].name, sizeof(told.event[i].name), "%s", event);
	told.event[i].lines++;
	int n = snprintf(told.last, sizeof(told.last), "%s ", event);
	va_start(args, fmt);
	vsnprintf(told.last + n, sizeof(told.last) - (size_t)n, fmt, args);
	va_end(args);
	if (told_verbose)
		printf("  %s\n", told.last);
}

void told_clear(void)
{
	for (int i = 0; i < TOLD_EVENTS_MAX; i++)
		told.event[i].lines = 0;
	told.last[0] = '\0';
}

/*
 * What a start finds after a kill in mid-air, which hits another moment when something takes
 * longer.
 */
static bool of_a_kill(const char *event)
{
	return strcmp(event, "torn_round") == 0 || strcmp(event, "torn_tail") == 0 ||
	       strcmp(event, "direct_missing") == 0 || strcmp(event, "distrust") == 0;
}

bool told_more(const struct told *usual)
{
	for (int i = 0; i < TOLD_EVENTS_MAX && told.event[i].name[0]; i++) {
		if (told.event[i].lines > usual->event[i].lines && !of_a_kill(told.event[i].name))
			return true;
	}
	return false;
}

void told_names(const struct told *usual, char *text, size_t len)
{
	const char *after = "";
	size_t used = 0;
	text[0] = '\0';
	for (;;) {
		const char *next = NULL;
		for (int i = 0; i < TOLD_EVENTS_MAX && told.event[i].name[0]; i++) {
			const char *name = told.event[i].name;
			if (told.event[i].lines > usual->event[i].lines &&
			    strcmp(name, after) > 0 && (!next || strcmp(name, next) < 0))
				next = name;
		}
		if (!next)
			return;
		int n = snprintf(text + used, len - used, "%s%s", used > 0 ? "+" : "", next);
		used += n > 0 && (size_t)n < len - used ? (size_t)n : 0;
		after = next;
	}
}
