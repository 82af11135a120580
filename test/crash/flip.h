/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * flip_test from inside: reading a directory that harm was done to (flip_read.c), and the tables of
 * what must come of it (flip_wants.c).
 */
#include "test/crash/regions.h"
#include "test/crash/run.h"
#include "test/crash/told.h"

/*
 * Which verdict each region must yield: what a reader finds, and what the start or the read says
 * beyond what it says of the directory as it was. NULL: this must not come. Two lines for a region:
 * either, and why says on what it depends. Bits without a verdict are harmless, and why says why.
 */
struct flip_want {
	const char *region, *clean, *killed, *why;
};
enum { FLIP_WANTS_MAX = 64 };
extern const char flip_large_only[]; /* a why: only the larger directory has it */
/* What is done to a file. Each table ends with a region NULL. */
enum flip_harm { FLIP_BIT, FLIP_CUT, FLIP_LONGER, FLIP_HARMS };
/* Of every directory; of the one that has every form; of the one whose journal is elsewhere. */
extern const struct flip_want *const flip_wants[FLIP_HARMS];
extern const struct flip_want *const flip_wants_forms[FLIP_HARMS];
extern const struct flip_want *const flip_wants_outside[FLIP_HARMS];

/* What readers get of the directory as it was. */
struct flip_reference;
struct flip_reference *flip_reference_new(const struct run *run);
void flip_reference_free(struct flip_reference *ref);
/*
 * From now on a change is followed by a look for every nth batch alone, by offset and by time; the
 * next change by one for the next of them. At first by one for all.
 */
void flip_look_for(struct flip_reference *ref, unsigned nth);
/* What comes of `disk`, with the events that were told beyond `usual` behind a colon. */
void flip_judge(struct flip_reference *ref, struct sim_disk *disk, const struct told *usual,
    char *text, size_t len);
