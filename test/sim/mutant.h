/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Known-bad servers: each must be found by the simulation, or it proves nothing. The product has no
 * switch for them: the simulation is linked with wrappers (-Wl,--wrap) of a few functions, or its
 * I/O seam lies.
 */
enum mutant {
	MUTANT_NONE,
	MUTANT_NO_FLUSH,        /* the journal's flush does nothing: acknowledged before durable */
	MUTANT_NO_REPLAY,       /* recovery passes over one round in four */
	MUTANT_TWICE_IN_VIEW,   /* a view takes one batch in sixteen twice */
	MUTANT_NO_DUPLICATES,   /* a retry is stored again */
	MUTANT_EARLY_WATERMARK, /* what is not durable yet is shown */
	MUTANT_SCAN_SKIPS,      /* one batch in 32 is missing in scans */
	MUTANT_FORGETS_COMMIT,  /* an offset commit is acknowledged, and not stored */
	MUTANT_ABORT_COMMITS,   /* the end of an aborted transaction is taken for a commit */
	MUTANT_OPEN_IS_SHOWN,   /* what is open does not hold back readers of committed data */
	MUTANT_LEAVES_OPEN,     /* the end of a transaction forgets one of its partitions */
	MUTANT_DROPS_NEWEST,    /* compaction takes the newest record of some keys */
	MUTANT_KEEPS_OLD,     /* compaction leaves old records of keys and drops their tombstones */
	MUTANT_EXPIRES_MORE,  /* retention takes one segment too many */
	MUTANT_SCRUB_BLIND,   /* the scrubber passes over what is bad */
	MUTANT_GAP_UNNAMED,   /* burnt sequences are not in the catalog */
	MUTANT_FSCK_BLIND,    /* fsck keeps damage to itself */
	MUTANT_CONFIG_LOST,   /* a change of configuration is answered, and not made */
	MUTANT_HOLE_UNTOLD,   /* a view passes over a batch that has rotted, without a word */
	MUTANT_SCAN_BLIND,    /* a scan passes over what has rotted, without a word */
	MUTANT_JOURNAL_BLIND, /* what a checksum of the journal says is not heeded */
	MUTANT_COUNT,
};
void mutant_use(enum mutant m);
enum mutant mutant_used(void);
const char *mutant_name(enum mutant m);
