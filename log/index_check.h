/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * Is the file of an index what was written? A search by time or sequence believes entries that no
 * frame can vouch for, so it waits until the file was checked once since this start: by its
 * checksum, else by the frames (that of the last segment has none), and then it is made right in
 * its place. A search by offset is vouched for by the frame it ends at and needs no check; where
 * that one does not have the offset, the file is checked again (index_doubt). That of a whole
 * segment which the disk does not read is replaced by another one, made of the frames.
 *
 *   unchecked   adopted by recovery, too long to be read there     index_check, index_sweep
 *   trusted     written by this process, or checked
 *   bad         its segment is damaged too, or it has another number of entries than that frames:
 *               by time and sequence ERR_CORRUPT, by offset walked
 */
#include "log/base/list.h"
#include "log/base/loop.h"

struct log;
struct segment;

struct index_wait {
	struct list_node node;
	enum err err; /* ERR_OK: trusted; CORRUPT, UNKNOWN_TOPIC, NOMEM, LIMIT, IO */
	void (*done)(struct index_wait *w);
};
/* True: checked (w->err says how), else w->done later. The caller holds the segment until then. */
bool index_verify(struct segment *s, struct index_wait *w);
/* Something in it was not so: it is checked again, behind. */
void index_doubt(struct segment *s);
/* After a start: what recovery did not check is checked behind, one file after the other. */
void index_sweep(struct log *log);
