/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The two times of a log. What is *stamped* takes the later one, what is *judged* the earlier one:
 * a wall clock that is wrong makes things stay longer, and never takes anything away.
 *
 *   append   never goes back, also not over restarts; a wall clock that runs more than an hour
 *            ahead of the boot clock is not followed
 *   judging  what ages are measured by (retention, compaction, producers, offsets): the wall clock
 *            as far as it is believed, never ahead of it because of a time that is stored
 *
 * After a start with the wall clock more than CLOCK_GAP ahead of the newest record nobody can tell
 * whether the server was off that long or the clock is wrong, and a wrong one would delete
 * everything: for CLOCK_DOUBT, judging goes on from the newest record's time. What is appended in
 * that hour, or while stored times are ahead of the wall clock, is no witness for the next start:
 * <data>/clock says what was known before, until the clock is believed. Loop's thread.
 */
#include "log/base/loop.h"

#define CLOCK_AHEAD_NS (3600 * S_NS)
#define CLOCK_GAP_NS   (24 * 3600 * S_NS)
#define CLOCK_DOUBT_NS (3600 * S_NS)

struct log;
struct clock {
	struct log *log;
	int64_t append_ns;      /* append time given last */
	int64_t boot_anchor_ns; /* wall clock minus boot time, the most that was believed */
	/* since the start; monotonic where they say opened */
	bool doubted;
	bool noted; /* <data>/clock is there */
	int64_t witness_ns, opened_ns;
};
void clock_init(struct clock *c, struct log *log);
/* Recovery found `newest_ns`, the last append time; 0 = no record. Says so when the wall clock is
 * far from it. Blocks. */
MUST_USE enum err clock_start(struct clock *c, int64_t newest_ns);
/* What an append is stamped with. */
int64_t clock_append(struct clock *c);
/* What ages are measured by. */
int64_t clock_judging(struct clock *c);
/*
 * How long ago what is stamped `append_ns` was appended, at least: by `now_ns`, which is the
 * judging time, or by the time that this server has run since it was appended or found, whatever
 * the clocks say: times that are years ahead keep nothing for years. `noted_ns`: loop time of that.
 */
int64_t clock_age_ns(const struct clock *c, int64_t append_ns, int64_t noted_ns, int64_t now_ns);
/* What records get by message.timestamp.type=LogAppendTime: the append time given last, unless that
 * is more than CLOCK_AHEAD ahead of the wall clock; then the wall clock, as in Kafka. */
int64_t clock_record_time(const struct clock *c);
