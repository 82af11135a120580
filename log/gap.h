/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Naming what is gone (I1): sequences burnt by a crash of topics that opted out of waiting for the
 * disk, and ends that an operator gave up (--accept-lost-suffix). Each becomes a row of the
 * catalog, for ever, and the partitions concerned get the next leader epoch, so that consumers
 * notice (KIP-320).
 */
#include "log/log.h"

/* After the catalog is open, before serving. Blocks (turns the loop). */
MUST_USE enum err gaps_name(struct log *log);
