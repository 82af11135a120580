/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * A Fetch and the partitions that it is about, for fetch.c, where the states are told, and
 * fetch_parts.c. Thread: the loop's.
 */
#include "broker/kafka/fetch_session.h"
#include "broker/kafka/handlers.h"

enum fetch_state { FETCH_QUEUED, FETCH_READING, FETCH_WAITING, FETCH_STARVED, FETCH_ANSWERED };

struct fetch_part {
	struct list_node node; /* owner->parts */
	struct fetch *owner;
	struct str topic; /* ptr NULL: by id */
	struct log_uuid topic_id;
	int32_t current_leader_epoch, max_bytes;
	int64_t fetch_offset;
	struct fetch_session_part *known; /* NULL: no session */
	struct fetch_response_partition out;
	bool has_read;
	bool ends_early;       /* more is there than was read: as much as it gives */
	int64_t seen_end;      /* visible or stable end, as looked at last */
	uint64_t seen_bytes;   /* log_readable_bytes then */
	size_t bytes;          /* read, and come since */
	struct log_read *read; /* NULL: it never had one */
	struct log_waiter waiter;
};

struct fetch {
	struct request *req;
	struct fetch_session *session; /* NULL: none */
	enum fetch_state state;
	bool gone;  /* the connection is */
	bool error; /* a partition has one: answer at once */
	bool owes;  /* to its quota: nothing is read */
	bool full;  /* nothing more fits in */
	bool scant; /* a read took less than it might, for want of memory */
	bool made;  /* the parts are: there was memory for them */
	struct list parts;
	uint32_t count;       /* of them */
	struct list_node *at; /* the part being read; the list's head: all are */
	size_t max_bytes;     /* as asked for */
	size_t room;          /* of this pass: that, or less by a quota */
	size_t total; /* of this pass; while it waits: of the last one, and what has come since */
	size_t asked; /* taken from the budget for the read under way */
	size_t over;  /* that it may have over that: answers.over_bytes */
	int64_t deadline_ns;
	struct loop_timer timer;
	struct list_node starved; /* broker->answers.starved or .gated */
};

/* Makes the parts: those of the session that do not rest, or those of the request. False: no
 * memory. */
bool fetch_parts_make(struct fetch *f);
/* So much memory that takes. */
size_t fetch_parts_bytes(const struct fetch *f);
/* One more of the session; NULL: no memory. */
struct fetch_part *fetch_part_add(struct fetch *f, struct fetch_session_part *known);
/* NULL with *ret_err: it is not there, or not for this client. */
struct log_partition *fetch_part_find(const struct fetch_part *part, enum err *ret_err);
/* Fills in the ends; true when there is something to read in *ret_partition, which is set unless
 * the part has an error. */
bool fetch_part_look(struct fetch_part *part, struct log_partition **ret_partition);
void fetch_part_fail(struct fetch_part *part, enum err err);
/* Nothing of this part is held any more, and nothing points to what was. */
void fetch_part_forget(struct fetch_part *part);
/* It has been told: if nothing more is to be said of it as it is now, the session need not look. */
void fetch_part_rest(struct fetch_part *part);

/* The waiters of a fetch. */
void fetch_data_came(struct log_waiter *waiter);

static inline struct fetch_part *fetch_part_of(struct list_node *node)
{
	return CONTAINER_OF(node, struct fetch_part, node);
}
