/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * The cache of open segment files, with a limit. A pinned descriptor is never closed: it is pinned
 * while it is read and from the first dirty byte to the successful flush (reliability rule 4).
 * Files are opened and closed on the service pool, never on the loop.
 *
 *   CLOSED -> OPENING -> OPEN (pins > 0: in use; pins = 0: in the LRU list, may be closed)
 */
#include "log/log.h"

struct descriptors {
	struct log *log;
	struct list idle; /* struct descriptor, least recently used first */
	size_t open;      /* open or opening */
	size_t max;
	size_t closing; /* jobs on the pool */
};

enum descriptor_state { DESCRIPTOR_CLOSED, DESCRIPTOR_OPENING, DESCRIPTOR_OPEN };
struct descriptor {
	struct list_node idle_node;
	enum descriptor_state state;
	unsigned flags; /* of io_open */
	int fd;         /* -1 unless OPEN */
	unsigned pins;
	bool wanted;         /* by an append that waits for more than this one: stays open */
	struct list waiting; /* struct descriptor_pin */
	struct descriptors *cache;
	struct pool_job job;
	struct mail failed;
	char *path; /* while opening */
	enum err err;
};

struct descriptor_pin {
	struct list_node node;
	enum err err;
	void (*done)(struct descriptor_pin *pin); /* on the loop; ERR_OK: pinned */
};

void descriptors_init(struct descriptors *c, struct log *log, size_t max);
void descriptor_init(struct descriptor *d, struct descriptors *cache, unsigned flags);
/* Closes it if open (blocking: at stop, or when nothing else can use it). Nothing may be pinned or
 * waiting. */
void descriptor_release(struct descriptor *d);
/* Says whether an append that waits in the queue will take it; until then it is not closed for
 * room, though more than the limit are open. Being held ends it. */
void descriptor_want(struct descriptor *d, bool wanted);
/* True: pinned now, d->fd is valid. False: pin->done is called later. `path` is copied. */
bool descriptor_pin(struct descriptor *d, const char *path, struct descriptor_pin *pin);
/* Adopts an fd that is already open (recovery, creation) and pins it. */
void descriptor_adopt(struct descriptor *d, int fd);
/* Another pin on one that is open. */
void descriptor_hold(struct descriptor *d);
/* Closes it on the pool if it is open; it is not pinned. */
void descriptor_discard(struct descriptor *d);
void descriptor_unpin(struct descriptor *d);
/* True when so many are pinned that opening another would pass the limit. */
bool descriptors_full(const struct descriptors *c);
