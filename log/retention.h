/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Retention: whole sealed segments go when the newest record in them was appended more than
 * retention.ms ago, or while the partition is larger than retention.bytes without them. log_start
 * is durable in the catalog before anything is unlinked; what a lease holds is unlinked when it is
 * returned (partition_trim). Loop's thread.
 *
 *   every RETENTION_INTERVAL: retention_run -> for each partition, one at a time:
 *     new log_start -> catalog_put_partition -> durable -> partition_trim
 *
 * Times are append times of the server, never those of clients: a producer's clock deletes nothing.
 * Nor does a wall clock that was or is wrong: ages are judged by clock_judging and clock_age_ns
 * (clock.h), so that times far ahead keep nothing for ever either. An active
 * segment that is too old is rolled, so that its records go too when nobody appends any more.
 */
#include "log/catalog.h"

#define RETENTION_INTERVAL_NS (60 * S_NS)

struct retention;
MUST_USE enum err retention_new(struct log *log, struct retention **ret_retention);
/* Waits for nothing: a row under way is answered later and then freed. Takes NULL. */
void retention_free(struct retention *r);
/* Starts a pass now (tests, a full disk); no-op while one is under way. */
void retention_run(struct retention *r);
bool retention_busy(const struct retention *r);
/*
 * Where log_start would go by the topic's configuration at `now_ns` (wall clock); = p->log_start
 * when nothing is due. At most some segments further: ask again from there.
 */
int64_t retention_target(const struct log_partition *p, int64_t now_ns);
