/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Seeds, each in a process of its own: a crash is a finding like any other, and nothing global is
 * left from one seed to the next.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CAMPAIGN_VIOLATED = 3, CAMPAIGN_TEXT = 1200 };

struct campaign {
	uint64_t first, last;
	unsigned jobs;       /* processes at a time; 0 = 1 */
	int64_t seconds_max; /* no new seed is begun after that; 0 = no limit */
	bool stop_at_first;
	int mutant; /* enum mutant */
	/* results */
	uint64_t done, failed;
	uint64_t first_failed; /* seed */
	char rule[32], text[CAMPAIGN_TEXT];
	double seconds;
};
/* Runs them; each finding is printed with the command that repeats it. */
void campaign_run(struct campaign *c);
/* In a seed's process: what it ends with. */
void campaign_verdict(const char *rule, const char *text);
