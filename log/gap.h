/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Naming what is gone (I1): sequences burnt by a crash of topics that opted out of waiting for the
 * disk, and ends that an operator gave up (--accept-lost-suffix). Each becomes a row of the
 * catalog, for ever, and the partitions concerned get the next leader epoch, so that consumers
 * notice (KIP-320).
 */
#include "log/log.h"

struct partition_key;

/*
 * After the catalog is open, before serving. Blocks (turns the loop). Ends that were given up are
 * in no checkpoint record before all is named: a start that is cut short here is followed by one
 * that has to accept them again.
 */
MUST_USE enum err gaps_name(struct log *log);
/* Does a row of the catalog say that the offsets [from, to) of the partition are gone? */
bool gap_is_named(const struct log *log, struct partition_key key, int64_t from, int64_t to);
